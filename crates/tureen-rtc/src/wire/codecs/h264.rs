//! H264 payload structure (RFC 6184 §5).

use super::Cursor;

const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// Properties of an H264 payload that are visible without decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// NAL unit type of the packet: 1–23 for a single NAL unit, else an aggregation or fragmentation type.
    pub(crate) packet_type: u8,
    /// NAL unit type of the contents: of the single or fragmented NAL unit, or of the first one of a STAP-A.
    pub nal_unit_type: u8,
    /// True if the packet starts a NAL unit; false only for a fragment other than the first.
    pub nal_unit_start: bool,
    /// True if the packet contains the start of a sequence parameter set, which precedes every key frame (as in
    /// mediasoup, a bare IDR slice does not count), unless the set is repeated before a slice of another picture.
    pub key_frame: bool,
}

/// Parses the start of an RTP payload, and all NAL unit headers of a STAP-A.
pub fn parse(payload: &[u8]) -> Option<Descriptor> {
    let mut cursor = Cursor::new(payload);
    let packet_type = cursor.u8()? & 0x1f;
    let second = *cursor.rest().first()?;
    let (nal_unit_type, nal_unit_start, key_frame) = match packet_type {
        STAP_A => parse_stap_a(&mut cursor)?,
        // RFC 6184 §5.8: the FU header is |S|E|R| Type |.
        FU_A | FU_B => {
            let (start, kind) = (second & 0x80 != 0, second & 0x1f);
            (kind, start, start && kind == SPS)
        }
        kind => (kind, true, kind == SPS),
    };
    Some(Descriptor { packet_type, nal_unit_type, nal_unit_start, key_frame })
}

/// Type of the first NAL unit, true because it starts in the packet, and true if there is a sequence parameter set.
fn parse_stap_a(cursor: &mut Cursor<'_>) -> Option<(u8, bool, bool)> {
    let mut first = None;
    let mut kinds = 0u32;
    // A truncated last NAL unit does not invalidate those before it.
    while let Some(size) = cursor.u16() {
        let Some(header) = cursor.rest().first() else { break };
        let kind = header & 0x1f;
        first.get_or_insert(kind);
        kinds |= 1 << kind;
        if cursor.bytes(usize::from(size)).is_none() {
            break;
        }
    }
    let has = |kind: u8| kinds >> kind & 1 == 1;
    // With supplemental enhancement information (recovery point) decoders may begin without an IDR picture.
    let inter_only = (1..IDR).any(has) && !has(IDR) && !has(SEI);
    Some((first?, true, has(SPS) && !inter_only))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_frame(payload: &[u8]) -> bool {
        parse(payload).is_some_and(|d| d.key_frame)
    }

    #[test]
    fn single_parameter_set_is_a_key_frame() {
        assert!(key_frame(&[0x67, 0x42]));
        assert!(!key_frame(&[0x68, 0xce]), "picture parameter set");
        assert!(!key_frame(&[0x65, 0x88]), "IDR slice");
        assert!(!key_frame(&[0x41, 0x9a]));
    }

    #[test]
    fn aggregation_is_searched() {
        let sps_first = [0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68];
        let d = parse(&sps_first).unwrap();
        assert_eq!((d.packet_type, d.nal_unit_type, d.key_frame), (24, 7, true));
        assert!(key_frame(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 0x42]), "after a delimiter");
        assert!(!key_frame(&[0x78, 0, 1, 0x09, 0, 1, 0x68]));
        assert!(key_frame(&[0x78, 0, 1, 0x67, 0, 1, 0x68, 0, 1, 0x65]));
        assert!(key_frame(&[0x78, 0, 1, 0x67, 0, 1, 0x06, 0, 1, 0x41]), "recovery point");
        assert!(!key_frame(&[0x78, 0, 1, 0x67, 0, 1, 0x68, 0, 1, 0x41]), "repeated before an inter picture");
        assert!(!key_frame(&[0x78, 0, 9, 0x09, 0, 1, 0x67]), "size beyond the payload");
        assert!(!key_frame(&[0x78, 0, 0, 0]), "empty unit");
        assert_eq!(parse(&[0x78, 0, 1]), None, "no unit at all");
    }

    #[test]
    fn only_the_first_fragment_counts() {
        let d = parse(&[0x7c, 0x87, 0x42]).unwrap();
        assert!(d.key_frame && d.nal_unit_start);
        let d = parse(&[0x7c, 0x07, 0x42]).unwrap();
        assert!(!d.key_frame && !d.nal_unit_start);
        assert!(!key_frame(&[0x7c, 0x85, 0x88]), "IDR slice");
    }

    #[test]
    fn payload_of_one_byte_is_malformed() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0x67]), None);
    }
}
