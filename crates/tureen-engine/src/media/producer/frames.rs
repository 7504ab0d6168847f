//! Frame information of a stream's packets: layers, frame numbers, first and last packets.
//!
//! The information is read once when a packet is received and stored with it, so that no consumer parses a payload for
//! its decision.

use std::sync::Arc;

use tureen_rtc::wire::codecs::dependency_descriptor::{Descriptor, Structure};
use tureen_rtc::wire::codecs::{self, CodecKind, av1, h265, vp8, vp9};

/// Layers and numbers of a packet's frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// Extended frame number of the codec (picture id, or frame number of the dependency descriptor), the same for all
    /// packets of a frame; see [`FrameInfo::HAS_NUMBER`].
    pub number: u32,
    /// Bit mask of decode targets that contain the frame; see [`FrameInfo::HAS_TARGETS`].
    pub present: u32,
    /// Bit mask of decode targets that can be switched to with this frame.
    pub switch: u32,
    /// Spatial layer within the stream.
    pub spatial_layer: u8,
    /// Temporal layer.
    pub temporal_layer: u8,
    /// TL0PICIDX of VP8, where `HAS_TL0` is set.
    pub tl0: u8,
    flags: u8,
}

impl FrameInfo {
    /// Set if the packet is the first of its frame, as far as the codec signals that.
    pub const START: u8 = 1;
    /// Set if the packet is the last of its frame, as far as the codec signals that.
    pub const END: u8 = 1 << 1;
    /// Set if a receiver of lower temporal layers can switch up with this frame.
    pub const SWITCH_UP: u8 = 1 << 2;
    /// Set if the frame refers to earlier pictures.
    pub const INTER_PICTURE: u8 = 1 << 3;
    /// Set if `number` is valid.
    pub const HAS_NUMBER: u8 = 1 << 4;
    /// Set if `tl0` is valid.
    pub const HAS_TL0: u8 = 1 << 5;
    /// Set if `present` and `switch` are valid, from a dependency descriptor.
    pub const HAS_TARGETS: u8 = 1 << 6;

    /// True if a flag is set.
    pub const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, value: bool) {
        if value {
            self.flags |= flag;
        }
    }
}

/// Reads the frame information of one stream's packets.
#[derive(Debug)]
pub(crate) struct FrameReader {
    kind: CodecKind,
    numbers: NumberExtender,
    structure: Option<Arc<Structure>>,
}

/// Frame information read from one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadFrame {
    /// Layers and numbers of the packet's frame.
    pub info: FrameInfo,
    /// True if a key frame starts with the packet.
    pub key_frame: bool,
}

impl ReadFrame {
    /// Frame information of a packet that cannot be parsed.
    pub(crate) fn other() -> Self {
        plain(false)
    }
}

impl FrameReader {
    /// Creates a reader for a stream that has not begun.
    pub(crate) fn new(kind: CodecKind) -> Self {
        Self { kind, numbers: NumberExtender::default(), structure: None }
    }

    /// Structure of the dependency descriptors, once received.
    pub(crate) fn structure(&self) -> Option<&Arc<Structure>> {
        self.structure.as_ref()
    }

    /// Reads a payload and the value of its dependency descriptor, if any. `newest`: no later packet was received
    /// before.
    pub(crate) fn read(&mut self, payload: &[u8], descriptor: Option<&[u8]>, newest: bool) -> ReadFrame {
        match self.kind {
            CodecKind::Vp8 => self.read_vp8(payload),
            CodecKind::Vp9 => self.read_vp9(payload),
            CodecKind::Av1 | CodecKind::H264 => match descriptor {
                Some(value) => self.read_descriptor(value, payload, newest),
                None if self.kind == CodecKind::Av1 => read_av1(payload),
                None => plain(codecs::is_key_frame(self.kind, payload)),
            },
            CodecKind::H265 => read_h265(payload),
            CodecKind::Opus | CodecKind::Other => plain(false),
        }
    }

    fn read_vp8(&mut self, payload: &[u8]) -> ReadFrame {
        let Some(d) = vp8::parse(payload) else { return plain(false) };
        let mut info = FrameInfo {
            temporal_layer: d.temporal_layer.unwrap_or(0),
            tl0: d.tl0_pic_idx.map_or(0, |tl0| tl0.value),
            ..FrameInfo::default()
        };
        info.set(FrameInfo::START, d.partition_start && d.partition == 0);
        info.set(FrameInfo::SWITCH_UP, d.layer_sync);
        info.set(FrameInfo::INTER_PICTURE, !d.key_frame);
        info.set(FrameInfo::HAS_TL0, d.tl0_pic_idx.is_some());
        if let Some(id) = d.picture_id {
            self.number(&mut info, id.value, if id.long { 15 } else { 7 });
        }
        ReadFrame { info, key_frame: d.key_frame }
    }

    fn read_vp9(&mut self, payload: &[u8]) -> ReadFrame {
        let Some(d) = vp9::parse(payload) else { return plain(false) };
        let mut info = FrameInfo {
            spatial_layer: d.spatial_layer(),
            temporal_layer: d.temporal_layer(),
            ..FrameInfo::default()
        };
        let tl0 = d.layer.and_then(|layer| layer.tl0_pic_idx);
        info.tl0 = tl0.unwrap_or(0);
        info.set(FrameInfo::HAS_TL0, tl0.is_some());
        info.set(FrameInfo::START, d.frame_start);
        info.set(FrameInfo::END, d.frame_end);
        info.set(FrameInfo::SWITCH_UP, d.layer.is_some_and(|layer| layer.switching_up_point));
        info.set(FrameInfo::INTER_PICTURE, d.inter_picture);
        if let Some(id) = d.picture_id {
            self.number(&mut info, id.value, if id.long { 15 } else { 7 });
        }
        ReadFrame { info, key_frame: d.key_frame }
    }

    /// Reads the descriptor only, because the payload may be encrypted end to end.
    fn read_descriptor(&mut self, value: &[u8], payload: &[u8], newest: bool) -> ReadFrame {
        let Some(d) = Descriptor::parse(value, self.structure.as_deref()) else {
            return plain(self.kind == CodecKind::H264 && codecs::is_key_frame(self.kind, payload));
        };
        let mut info = FrameInfo {
            spatial_layer: d.spatial_layer,
            temporal_layer: d.temporal_layer,
            present: d.present,
            switch: d.switch,
            ..FrameInfo::default()
        };
        let key_frame = d.structure.is_some() && d.start_of_frame;
        info.set(FrameInfo::START, d.start_of_frame);
        info.set(FrameInfo::END, d.end_of_frame);
        info.set(FrameInfo::SWITCH_UP, d.switch != 0);
        info.set(FrameInfo::INTER_PICTURE, !key_frame);
        info.set(FrameInfo::HAS_TARGETS, true);
        self.number(&mut info, d.frame_number, 16);
        if newest && let Some(structure) = d.structure {
            self.structure = Some(Arc::new(structure));
        }
        ReadFrame { info, key_frame }
    }

    fn number(&mut self, info: &mut FrameInfo, value: u16, bits: u32) {
        info.number = self.numbers.extend(value, bits);
        info.set(FrameInfo::HAS_NUMBER, true);
    }
}

/// Frame information of a stream without layer information: one layer of each kind.
fn plain(key_frame: bool) -> ReadFrame {
    let mut info = FrameInfo::default();
    info.set(FrameInfo::START, true);
    info.set(FrameInfo::SWITCH_UP, true);
    info.set(FrameInfo::INTER_PICTURE, !key_frame);
    ReadFrame { info, key_frame }
}

/// Reads OBU headers; without dependency descriptor they contain the layers, but not the dependencies between frames.
fn read_av1(payload: &[u8]) -> ReadFrame {
    let Some(d) = av1::parse(payload) else { return plain(false) };
    let (temporal_layer, spatial_layer) = d.layers.unwrap_or((0, 0));
    let mut info = FrameInfo { spatial_layer, temporal_layer, ..FrameInfo::default() };
    info.set(FrameInfo::START, !d.continues_previous);
    info.set(FrameInfo::END, !d.continues_in_next);
    info.set(FrameInfo::INTER_PICTURE, !d.key_frame);
    ReadFrame { info, key_frame: d.key_frame }
}

fn read_h265(payload: &[u8]) -> ReadFrame {
    let Some(d) = h265::parse(payload) else { return plain(false) };
    let mut info = FrameInfo { temporal_layer: d.temporal_layer, ..FrameInfo::default() };
    info.set(FrameInfo::START, d.nal_unit_start);
    // RFC 7798 §1.1.4: a temporal sub-layer access picture is a switching point to higher temporal layers.
    info.set(FrameInfo::SWITCH_UP, matches!(d.nal_unit_type, 2..=5));
    info.set(FrameInfo::INTER_PICTURE, !d.key_frame);
    ReadFrame { info, key_frame: d.key_frame }
}

/// Extends numbers of 7, 15 or 16 bits. The first number is placed in the second cycle of 16 bits, so that earlier
/// numbers received later stay positive.
#[derive(Clone, Copy, Debug, Default)]
struct NumberExtender {
    highest: Option<u32>,
}

impl NumberExtender {
    fn extend(&mut self, value: u16, bits: u32) -> u32 {
        let Some(highest) = self.highest else {
            let first = 0x1_0000 + u32::from(value);
            self.highest = Some(first);
            return first;
        };
        let cycle = 1u32 << bits;
        let ahead = u32::from(value).wrapping_sub(highest) & (cycle - 1);
        let extended = if ahead < cycle / 2 {
            highest.wrapping_add(ahead)
        } else {
            highest.wrapping_add(ahead).wrapping_sub(cycle)
        };
        self.highest = Some(highest.max(extended));
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tureen_rtc::wire::codecs::dependency_descriptor::writer::{frame_descriptor, key_frame_descriptor};

    #[test]
    fn vp8_layers_and_numbers_are_read_across_the_wrap() {
        let mut reader = FrameReader::new(CodecKind::Vp8);
        // X, S; I, L, T; picture id; TL0PICIDX; TID 2 with Y; key frame tag.
        let key = reader.read(&[0x90, 0xe0, 0xff, 0xff, 9, 0x00, 0x00], None, true);
        assert!(key.key_frame && key.info.is(FrameInfo::START) && !key.info.is(FrameInfo::INTER_PICTURE));
        let next = reader.read(&[0x90, 0xe0, 0x80, 0x00, 9, 0xa0, 0x01], None, true);
        assert_eq!((next.info.temporal_layer, next.info.tl0), (2, 9));
        assert!(next.info.is(FrameInfo::SWITCH_UP) && !next.key_frame);
        assert_eq!(next.info.number, key.info.number + 1);
        let late = reader.read(&[0x80, 0xe0, 0xff, 0xfe, 9, 0x00, 0x01], None, false);
        assert_eq!(late.info.number + 1, key.info.number);
        assert!(!late.info.is(FrameInfo::START));
    }

    #[test]
    fn seven_bit_picture_ids_are_extended() {
        let mut reader = FrameReader::new(CodecKind::Vp8);
        let mut last = reader.read(&[0x90, 0x80, 120, 0x01], None, true).info.number;
        for id in (121..128).chain(0..128).chain(0..5) {
            let number = reader.read(&[0x90, 0x80, id, 0x01], None, true).info.number;
            assert_eq!(number, last + 1);
            last = number;
        }
    }

    #[test]
    fn vp9_layers_are_read() {
        let mut reader = FrameReader::new(CodecKind::Vp9);
        let frame = reader.read(&[0b1110_1101, 0x80, 0x05, 0b0101_0011, 0x42, 0xff], None, true).info;
        assert_eq!((frame.spatial_layer, frame.temporal_layer, frame.tl0), (1, 2, 0x42));
        for flag in [FrameInfo::START, FrameInfo::END, FrameInfo::SWITCH_UP, FrameInfo::INTER_PICTURE] {
            assert!(frame.is(flag), "{flag}");
        }
    }

    #[test]
    fn dependency_descriptor_takes_precedence_over_the_payload() {
        let mut reader = FrameReader::new(CodecKind::Av1);
        let sequence_start = [0x18, 0x08, 0x00];
        let frame = frame_descriptor(0, 3, true, true);
        assert!(!reader.read(&[0xff; 9], Some(&frame), true).key_frame, "no structure yet");
        let key = reader.read(&[0xff; 9], Some(&key_frame_descriptor(2, 2, 4)), true);
        assert!(key.key_frame && key.info.is(FrameInfo::HAS_TARGETS));
        let next = reader.read(&sequence_start, Some(&frame_descriptor(3, 5, true, false)), true);
        assert!(!next.key_frame, "whatever the payload looks like");
        assert_eq!((next.info.spatial_layer, next.info.temporal_layer), (1, 1));
        assert_eq!(next.info.number, key.info.number + 1);
        assert_eq!((next.info.present, next.info.is(FrameInfo::END)), (0b1000, false));
    }

    #[test]
    fn late_key_frame_does_not_restore_its_structure() {
        let mut reader = FrameReader::new(CodecKind::Av1);
        reader.read(&[], Some(&key_frame_descriptor(2, 2, 4)), true);
        reader.read(&[], Some(&key_frame_descriptor(1, 1, 2)), false);
        assert_eq!(reader.structure().unwrap().decode_targets(), 4);
    }
}
