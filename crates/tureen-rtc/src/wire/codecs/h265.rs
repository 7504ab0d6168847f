//! H265 payload structure (RFC 7798 §4.4), without decoding order numbers, because WebRTC uses `sprop-max-don-diff` 0.

use super::Cursor;

/// Slices of pictures other than random access points.
const INTER: std::ops::Range<u8> = 0..16;
const IRAP: std::ops::RangeInclusive<u8> = 16..=23;
const VPS: u8 = 32;
const SPS: u8 = 33;
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

/// Properties of an H265 payload that are visible without decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// NAL unit type of the packet: 0–47 for a single NAL unit, 48 aggregation, 49 fragmentation, 50 PACI.
    pub(crate) packet_type: u8,
    /// NAL unit type of the contents: of the single or fragmented NAL unit, or of the first one of an aggregation.
    pub nal_unit_type: u8,
    /// True if the packet starts a NAL unit; false only for a fragment other than the first.
    pub nal_unit_start: bool,
    /// Layer id, 0–63; 0 without scalability or 3D extensions.
    pub(crate) layer_id: u8,
    /// Temporal layer, 0–6.
    pub temporal_layer: u8,
    /// True if the packet contains the start of a video or sequence parameter set or of an intra random access picture,
    /// unless such a set is repeated before a slice of another picture.
    ///
    /// Parameter sets may be sent in packets of their own before the picture, and a receiver needs these packets too.
    pub key_frame: bool,
}

/// Parses the start of an RTP payload, and all NAL unit headers of an aggregation packet.
pub fn parse(payload: &[u8]) -> Option<Descriptor> {
    let mut cursor = Cursor::new(payload);
    // RFC 7798 §1.1.4: |F| Type (6) | LayerId (6) | TID (3) |.
    let header = cursor.u16()?;
    let packet_type = (header >> 9 & 0x3f) as u8;
    // "A TID value of 0 is illegal": the field is the temporal id plus one.
    let temporal_layer = (header & 0x07).checked_sub(1)? as u8;
    let (nal_unit_type, nal_unit_start, key_frame) = match packet_type {
        AGGREGATION => parse_aggregation(&mut cursor)?,
        // RFC 7798 §4.4.3: the FU header is |S|E| FuType |.
        FRAGMENTATION => {
            let header = cursor.u8()?;
            let (start, kind) = (header & 0x80 != 0, header & 0x3f);
            (kind, start, start && begins_key_frame(kind, cursor.rest()))
        }
        kind => (kind, true, begins_key_frame(kind, cursor.rest())),
    };
    Some(Descriptor {
        packet_type,
        nal_unit_type,
        nal_unit_start,
        layer_id: (header >> 3 & 0x3f) as u8,
        temporal_layer,
        key_frame,
    })
}

/// Type of the first NAL unit, true because it starts in the packet, and true if any NAL unit begins a key frame.
fn parse_aggregation(cursor: &mut Cursor<'_>) -> Option<(u8, bool, bool)> {
    let mut first = None;
    let (mut key_frame, mut has_inter, mut has_irap) = (false, false, false);
    // A truncated last NAL unit does not invalidate those before it.
    while let Some(size) = cursor.u16() {
        let Some(header) = cursor.rest().first() else { break };
        let kind = header >> 1 & 0x3f;
        first.get_or_insert(kind);
        let content = cursor.rest().get(2..usize::from(size)).unwrap_or_default();
        key_frame |= begins_key_frame(kind, content);
        has_inter |= INTER.contains(&kind);
        has_irap |= IRAP.contains(&kind);
        if cursor.bytes(usize::from(size)).is_none() {
            break;
        }
    }
    Some((first?, true, key_frame && (has_irap || !has_inter)))
}

/// True if a NAL unit with this content after its header begins a key frame. Of the slices of a picture only the first
/// one does: H.265 §7.3.6.1, first_slice_segment_in_pic_flag.
fn begins_key_frame(nal_unit_type: u8, content: &[u8]) -> bool {
    let is_first_slice = || content.first().is_some_and(|byte| byte & 0x80 != 0);
    (IRAP.contains(&nal_unit_type) && is_first_slice()) || matches!(nal_unit_type, VPS | SPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_frame(payload: &[u8]) -> bool {
        parse(payload).is_some_and(|d| d.key_frame)
    }

    #[test]
    fn parameter_sets_and_random_access_pictures_are_key_frames() {
        for (kind, expected) in
            [(1, false), (15, false), (16, true), (19, true), (21, true), (23, true), (24, false)]
        {
            assert_eq!(key_frame(&[kind << 1, 0x01, 0xff]), expected, "slice type {kind}");
        }
        assert!(key_frame(&[32 << 1, 0x01]) && key_frame(&[33 << 1, 0x01]));
        assert!(!key_frame(&[34 << 1, 0x01]), "picture parameter set");
        assert!(!key_frame(&[19 << 1, 0x01, 0x7f]), "the second slice");
    }

    #[test]
    fn layers_are_read() {
        let d = parse(&[0x02 | 0x01, 0b0001_1011, 0]).unwrap();
        assert_eq!((d.nal_unit_type, d.layer_id, d.temporal_layer), (1, 35, 2));
        assert_eq!(parse(&[0x02, 0x00, 0]), None, "illegal TID");
    }

    #[test]
    fn aggregation_is_searched() {
        let d = parse(&[48 << 1, 1, 0, 2, 35 << 1, 1, 0, 2, 33 << 1, 1]).unwrap();
        assert_eq!((d.packet_type, d.nal_unit_type, d.key_frame), (48, 35, true));
        assert!(!key_frame(&[48 << 1, 1, 0, 2, 1 << 1, 1]));
        let repeated = [48 << 1, 1, 0, 2, 32 << 1, 1, 0, 2, 33 << 1, 1, 0, 3, 1 << 1, 1, 0x80];
        assert!(!key_frame(&repeated), "before an inter picture");
        assert!(key_frame(&[48 << 1, 1, 0, 2, 33 << 1, 1, 0, 3, 20 << 1, 1, 0x80]));
        assert!(key_frame(&[48 << 1, 1, 0, 3, 20 << 1, 1, 0x80]));
        assert_eq!(parse(&[48 << 1, 1, 0, 2]), None);
    }

    #[test]
    fn only_the_first_fragment_counts() {
        let d = parse(&[49 << 1, 1, 0x80 | 19, 0x80]).unwrap();
        assert!(d.key_frame && d.nal_unit_start);
        let d = parse(&[49 << 1, 1, 19, 0]).unwrap();
        assert!(!d.key_frame && !d.nal_unit_start);
        assert_eq!(parse(&[49 << 1, 1]), None);
    }
}
