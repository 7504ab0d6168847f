//! Selection of the frames of one stream to send.

use std::sync::Arc;

use super::Layers;
use super::targets::TargetSelector;
use crate::media::producer::frames::FrameInfo;
use crate::media::producer::packet_buffer::StoredPacket;
use tureen_rtc::wire::codecs::dependency_descriptor::Structure;

/// Maximum number of spatial layers within a stream.
const MAX_SPATIAL: usize = 8;
/// Number of dropped frames kept, enough for some round trips.
const MAX_LEFT_OUT: usize = 32;

/// Layers and marker of a frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// Layers being sent.
    pub(super) layers: Layers,
    /// The same layers in one byte, from which the selection of a late packet is repeated.
    pub(super) limit: u8,
    /// True if the packet is the last one sent of its picture.
    pub(super) last_of_picture: bool,
    /// Number of decode targets and a bit mask of those that are sent, if not all of them are.
    pub(super) active_targets: Option<(u8, u32)>,
}

/// Selects frames: by dependency descriptors if present, otherwise by layer ids.
#[derive(Debug)]
pub(super) struct FrameSelector {
    ids: IdSelector,
    targets: TargetSelector,
    by_targets: bool,
}

impl FrameSelector {
    /// `k_svc`: spatial layers depend on each other at key frames only.
    pub(super) fn new(k_svc: bool) -> Self {
        Self { ids: IdSelector::new(k_svc), targets: TargetSelector::default(), by_targets: false }
    }

    /// Restarts with a key frame, from which these layers are sent.
    pub(super) fn restart(&mut self, wanted: Layers) {
        self.ids.restart(wanted);
        self.targets.restart(wanted);
    }

    /// Sets the wanted layers.
    pub(super) fn aim(&mut self, wanted: Layers) {
        self.ids.wanted = wanted;
        self.targets.aim(wanted);
    }

    /// True if the wanted spatial layer can be sent only from a key frame on.
    pub(super) fn awaits_key_frame(&self) -> bool {
        if self.by_targets { self.targets.awaits_key_frame() } else { self.ids.awaits_key_frame() }
    }

    /// Decides on the next packet in order; `None` drops the packet.
    pub(super) fn select(
        &mut self,
        packet: &StoredPacket<'_>,
        structure: Option<&Arc<Structure>>,
    ) -> Option<Selected> {
        if packet.info.key_frame {
            self.by_targets = packet.info.frame.is(FrameInfo::HAS_TARGETS);
        }
        if self.by_targets { self.targets.select(packet, structure) } else { self.ids.select(packet) }
    }

    /// Decides on a late packet by the limit at its sequence number, unless its frame was dropped already.
    pub(super) fn select_late(&self, packet: &StoredPacket<'_>, limit: u8) -> Option<Selected> {
        if self.by_targets {
            self.targets.select_late(&packet.info.frame, limit)
        } else {
            self.ids.select_late(packet, limit)
        }
    }
}

/// Selects frames by spatial and temporal layer ids (VP8, VP9, H265, AV1 without dependency descriptor).
#[derive(Debug)]
struct IdSelector {
    k_svc: bool,
    wanted: Layers,
    /// Layers being sent.
    current: Layers,
    /// Timestamp of the picture being sent; `decided` holds the decision on each of its layers.
    picture: Option<u32>,
    decided: [Option<bool>; MAX_SPATIAL],
    /// The last dropped frames, by timestamp and spatial layer, oldest first from `next_left_out` on.
    left_out: [Option<(u32, u8)>; MAX_LEFT_OUT],
    next_left_out: usize,
}

impl IdSelector {
    fn new(k_svc: bool) -> Self {
        Self {
            k_svc,
            wanted: Layers::default(),
            current: Layers::default(),
            picture: None,
            decided: [None; MAX_SPATIAL],
            left_out: [None; MAX_LEFT_OUT],
            next_left_out: 0,
        }
    }

    fn restart(&mut self, wanted: Layers) {
        self.wanted = wanted;
        self.picture = None;
    }

    fn awaits_key_frame(&self) -> bool {
        self.wanted.spatial > self.current.spatial
            || (self.k_svc && self.wanted.spatial != self.current.spatial)
    }

    fn select(&mut self, packet: &StoredPacket<'_>) -> Option<Selected> {
        let frame = &packet.info.frame;
        if self.picture != Some(packet.info.timestamp) {
            self.picture = Some(packet.info.timestamp);
            self.decided = [None; MAX_SPATIAL];
            self.start_picture();
        }
        if packet.info.key_frame {
            // No later frame depends on an earlier one.
            self.current = self.wanted;
        }
        let spatial = usize::from(frame.spatial_layer);
        let decided = *self.decided.get(spatial)?;
        let selected = decided.unwrap_or_else(|| self.decide(frame));
        self.decided[spatial] = Some(selected);
        if !selected && decided.is_none() {
            self.left_out[self.next_left_out] = Some((packet.info.timestamp, frame.spatial_layer));
            self.next_left_out = (self.next_left_out + 1) % MAX_LEFT_OUT;
        }
        selected.then(|| self.selected(frame, self.current))
    }

    /// Starts a picture; layers can be dropped between pictures only.
    fn start_picture(&mut self) {
        if !self.k_svc {
            self.current.spatial = self.current.spatial.min(self.wanted.spatial);
        }
        self.current.temporal = self.current.temporal.min(self.wanted.temporal);
    }

    fn decide(&mut self, frame: &FrameInfo) -> bool {
        if !self.has_spatial(frame, self.current) {
            return false;
        }
        let temporal = frame.temporal_layer;
        if temporal > self.current.temporal
            && temporal <= self.wanted.temporal
            && frame.is(FrameInfo::SWITCH_UP)
            && frame.is(FrameInfo::START)
        {
            self.current.temporal = temporal;
        }
        temporal <= self.current.temporal
    }

    fn has_spatial(&self, frame: &FrameInfo, layers: Layers) -> bool {
        let needed_above = !self.k_svc || !frame.is(FrameInfo::INTER_PICTURE);
        frame.spatial_layer == layers.spatial || (frame.spatial_layer < layers.spatial && needed_above)
    }

    fn select_late(&self, packet: &StoredPacket<'_>, limit: u8) -> Option<Selected> {
        let frame = &packet.info.frame;
        if self.left_out.contains(&Some((packet.info.timestamp, frame.spatial_layer))) {
            return None;
        }
        let layers = layers_of_limit(limit);
        let within = self.has_spatial(frame, layers) && frame.temporal_layer <= layers.temporal;
        within.then(|| self.selected(frame, layers))
    }

    fn selected(&self, frame: &FrameInfo, layers: Layers) -> Selected {
        Selected {
            layers,
            limit: limit_of_layers(layers),
            last_of_picture: frame.is(FrameInfo::END) && frame.spatial_layer == layers.spatial,
            active_targets: None,
        }
    }
}

/// Layer limit with four bits for each kind of layer; all spatial layers of a simulcast stream are sent.
fn limit_of_layers(layers: Layers) -> u8 {
    layers.spatial.min(15) << 4 | layers.temporal.min(15)
}

fn layers_of_limit(limit: u8) -> Layers {
    Layers { spatial: limit >> 4, temporal: limit & 0x0f }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::media::producer::frames::FrameReader;
    use crate::media::producer::packet_buffer::{PacketBuffer, PacketBufferConfig, PacketInfo};
    use tureen_rtc::wire::codecs::CodecKind;

    /// VP9 frames of three spatial layers, one packet each, in flexible mode.
    struct Stream {
        reader: FrameReader,
        buffer: PacketBuffer,
        picture: u16,
        seq: u64,
    }

    impl Stream {
        fn new() -> Self {
            let config = PacketBufferConfig {
                initial_bytes: 4096,
                max_bytes: 4096,
                retention: Duration::from_secs(1),
            };
            let buffer = PacketBuffer::new(config);
            Self { reader: FrameReader::new(CodecKind::Vp9), buffer, picture: 0, seq: 70_000 }
        }

        /// Spatial layers of the next picture that are sent, and those with the marker bit.
        fn picture(
            &mut self,
            selector: &mut FrameSelector,
            key: bool,
            temporal: u8,
            switch: bool,
        ) -> Vec<(u8, bool)> {
            self.picture += 1;
            let mut sent = Vec::new();
            for spatial in 0..3u8 {
                let [high, low] = (self.picture | 0x8000).to_be_bytes();
                let inter = !key;
                let mut payload = vec![0b1011_1100 | u8::from(inter) << 6, high, low];
                payload.push(temporal << 5 | u8::from(switch) << 4 | spatial << 1 | u8::from(spatial > 0));
                payload.extend(inter.then_some(2));
                payload.push(0xff);
                let read = self.reader.read(&payload, None, true);
                let info = PacketInfo {
                    seq: self.seq,
                    timestamp: u32::from(self.picture) * 3000,
                    marker: spatial == 2,
                    payload_type: 96,
                    key_frame: read.key_frame,
                    frame: read.info,
                };
                self.seq += 1;
                assert!(self.buffer.insert(Instant::now(), info, std::iter::empty(), &payload));
                let packet = self.buffer.get(info.seq).unwrap();
                if let Some(selected) = selector.select(&packet, None) {
                    sent.push((spatial, selected.last_of_picture));
                }
            }
            sent
        }
    }

    fn layers(spatial: u8, temporal: u8) -> Layers {
        Layers { spatial, temporal }
    }

    #[test]
    fn full_svc_goes_down_at_the_next_picture_and_up_at_a_key_frame() {
        let (mut stream, mut selector) = (Stream::new(), FrameSelector::new(false));
        selector.restart(layers(2, 0));
        assert_eq!(stream.picture(&mut selector, true, 0, true), [(0, false), (1, false), (2, true)]);
        selector.aim(layers(1, 0));
        assert!(!selector.awaits_key_frame());
        assert_eq!(stream.picture(&mut selector, false, 0, true), [(0, false), (1, true)]);
        selector.aim(layers(2, 0));
        assert!(selector.awaits_key_frame());
        assert_eq!(stream.picture(&mut selector, false, 0, true), [(0, false), (1, true)]);
        assert_eq!(stream.picture(&mut selector, true, 0, true), [(0, false), (1, false), (2, true)]);
        assert!(!selector.awaits_key_frame());
    }

    #[test]
    fn key_svc_sends_lower_layers_with_key_frames_only_and_changes_at_them() {
        let (mut stream, mut selector) = (Stream::new(), FrameSelector::new(true));
        selector.restart(layers(2, 0));
        assert_eq!(stream.picture(&mut selector, true, 0, true), [(0, false), (1, false), (2, true)]);
        assert_eq!(stream.picture(&mut selector, false, 0, true), [(2, true)]);
        selector.aim(layers(1, 0));
        assert!(selector.awaits_key_frame());
        assert_eq!(stream.picture(&mut selector, false, 0, true), [(2, true)]);
        assert_eq!(stream.picture(&mut selector, true, 0, true), [(0, false), (1, true)]);
        assert_eq!(stream.picture(&mut selector, false, 0, true), [(1, true)]);
    }

    #[test]
    fn temporal_layer_returns_at_a_switching_point() {
        let (mut stream, mut selector) = (Stream::new(), FrameSelector::new(false));
        selector.restart(layers(0, 0));
        stream.picture(&mut selector, true, 0, true);
        selector.aim(layers(0, 2));
        assert_eq!(stream.picture(&mut selector, false, 2, false), []);
        assert_eq!(stream.picture(&mut selector, false, 1, true), [(0, true)]);
        assert_eq!(stream.picture(&mut selector, false, 2, false), []);
        assert_eq!(stream.picture(&mut selector, false, 2, true), [(0, true)]);
        assert_eq!(stream.picture(&mut selector, false, 2, false), [(0, true)]);
        selector.aim(layers(0, 1));
        assert_eq!(stream.picture(&mut selector, false, 2, true), []);
        assert_eq!(stream.picture(&mut selector, false, 1, false), [(0, true)]);
    }

    #[test]
    fn late_packet_is_decided_by_the_layers_of_its_time() {
        let (mut stream, mut selector) = (Stream::new(), FrameSelector::new(false));
        selector.restart(layers(2, 2));
        stream.picture(&mut selector, true, 0, true);
        let packet = stream.buffer.get(70_000).unwrap();
        let then = selector.select(&packet, None).unwrap().limit;
        selector.aim(layers(0, 0));
        stream.picture(&mut selector, false, 0, true);
        let top = stream.buffer.get(70_002).unwrap();
        assert!(selector.select_late(&top, then).is_some_and(|selected| selected.last_of_picture));
        assert_eq!(selector.select_late(&top, limit_of_layers(layers(1, 2))), None);
    }

    #[test]
    fn rest_of_a_dropped_frame_is_dropped() {
        let (mut stream, mut selector) = (Stream::new(), FrameSelector::new(false));
        selector.restart(layers(0, 1));
        stream.picture(&mut selector, true, 0, true);
        selector.aim(layers(0, 0));
        assert_eq!(stream.picture(&mut selector, false, 1, true), []);
        let part = stream.buffer.get(70_003).unwrap();
        let before = limit_of_layers(layers(0, 1));
        assert_eq!(selector.select_late(&part, before), None, "though the limit is that of the frame before");
    }
}
