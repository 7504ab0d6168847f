//! Which frames of one stream are sent.

use std::sync::Arc;

use super::Layers;
use super::targets::TargetSelector;
use crate::producer::frames::FrameInfo;
use crate::producer::packet_buffer::StoredPacket;
use crate::wire::codecs::dependency_descriptor::Structure;

/// Spatial layers within a stream, at most.
const MAX_SPATIAL: usize = 8;

/// A frame that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// Layers that are sent now.
    pub(super) layers: Layers,
    /// The same in a byte, from which a late packet learns whether it was among them.
    pub(super) limit: u8,
    /// The packet is the last one that is sent of its picture.
    pub(super) last_of_picture: bool,
    /// How many decode targets there are and which are sent, where that is less than all.
    pub(super) active_targets: Option<(u8, u32)>,
}

/// Chooses frames: by dependency descriptors where there are any, else by layer ids.
#[derive(Debug)]
pub(super) struct FrameSelector {
    ids: IdSelector,
    targets: TargetSelector,
    by_targets: bool,
}

impl FrameSelector {
    /// `independent`: spatial layers depend on each other at key frames only.
    pub(super) fn new(independent: bool) -> Self {
        Self { ids: IdSelector::new(independent), targets: TargetSelector::default(), by_targets: false }
    }

    /// The next frame is a key frame, from which these layers are sent.
    pub(super) fn restart(&mut self, wanted: Layers) {
        self.ids.restart(wanted);
        self.targets.restart(wanted);
    }

    /// Other layers are wanted.
    pub(super) fn aim(&mut self, wanted: Layers) {
        self.ids.wanted = wanted;
        self.targets.aim(wanted);
    }

    /// Whether the wanted spatial layer can only be sent from a key frame on.
    pub(super) fn awaits_key_frame(&self) -> bool {
        if self.by_targets { self.targets.awaits_key_frame() } else { self.ids.awaits_key_frame() }
    }

    /// Decides on the next packet in order; `None` leaves it out.
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

    /// Decides on a late packet by the limit of its time.
    pub(super) fn select_late(&self, frame: &FrameInfo, limit: u8) -> Option<Selected> {
        if self.by_targets {
            self.targets.select_late(frame, limit)
        } else {
            self.ids.select_late(frame, limit)
        }
    }
}

/// Chooses by spatial and temporal layer ids (VP8, VP9, H265, AV1 without dependency descriptor).
#[derive(Debug)]
struct IdSelector {
    independent: bool,
    wanted: Layers,
    /// Layers that are sent.
    current: Layers,
    /// Timestamp of the picture that is being sent, and whether each layer of it is.
    picture: Option<u32>,
    decided: [Option<bool>; MAX_SPATIAL],
}

impl IdSelector {
    fn new(independent: bool) -> Self {
        Self {
            independent,
            wanted: Layers::default(),
            current: Layers::default(),
            picture: None,
            decided: [None; MAX_SPATIAL],
        }
    }

    fn restart(&mut self, wanted: Layers) {
        self.wanted = wanted;
        self.picture = None;
    }

    fn awaits_key_frame(&self) -> bool {
        self.wanted.spatial > self.current.spatial
            || (self.independent && self.wanted.spatial != self.current.spatial)
    }

    fn select(&mut self, packet: &StoredPacket<'_>) -> Option<Selected> {
        let frame = &packet.info.frame;
        if self.picture != Some(packet.info.timestamp) {
            self.picture = Some(packet.info.timestamp);
            self.decided = [None; MAX_SPATIAL];
            self.start_picture();
        }
        if packet.info.key_frame {
            // All that follows depends on nothing before.
            self.current = self.wanted;
        }
        let spatial = usize::from(frame.spatial_layer);
        let decided = *self.decided.get(spatial)?;
        let selected = decided.unwrap_or_else(|| self.decide(frame));
        self.decided[spatial] = Some(selected);
        selected.then(|| self.selected(frame, self.current))
    }

    /// Layers can be dropped between pictures.
    fn start_picture(&mut self) {
        if !self.independent {
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
        let needed_above = !self.independent || !frame.is(FrameInfo::INTER_PICTURE);
        frame.spatial_layer == layers.spatial || (frame.spatial_layer < layers.spatial && needed_above)
    }

    fn select_late(&self, frame: &FrameInfo, limit: u8) -> Option<Selected> {
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

/// Four bits for each kind of layer; a simulcast stream has all of its spatial layers sent.
fn limit_of_layers(layers: Layers) -> u8 {
    layers.spatial.min(15) << 4 | layers.temporal.min(15)
}

fn layers_of_limit(limit: u8) -> Layers {
    Layers { spatial: limit >> 4, temporal: limit & 0x0f }
}
