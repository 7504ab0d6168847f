//! AV1 payload structure (RTP Payload Format For AV1, AOMedia, §4.3 and §4.4).
//!
//! ```text
//!  0 1 2 3 4 5 6 7
//! +-+-+-+-+-+-+-+-+
//! |Z|Y| W |N|-|-|-| aggregation header, then OBU elements
//! +-+-+-+-+-+-+-+-+
//! ```

use super::Cursor;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// Properties of an AV1 payload that are visible without decoding.
///
/// The layers of a scalable stream should be read from the dependency descriptor header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// True if the first OBU element continues one of the previous packet (Z).
    pub continues_previous: bool,
    /// True if the last OBU element continues in the next packet (Y).
    pub continues_in_next: bool,
    /// True if the packet is the first of a coded video sequence (N).
    pub sequence_start: bool,
    /// True if a sequence header OBU starts in the packet.
    pub(crate) sequence_header: bool,
    /// Temporal and spatial layer of the first OBU that contains them.
    pub layers: Option<(u8, u8)>,
    /// True if the packet starts a key frame: it begins a coded video sequence (N), or contains a sequence header and a
    /// shown key frame. Both are required because encoders may repeat sequence headers before inter frames.
    pub key_frame: bool,
}

/// Parses the aggregation header and the header of each OBU that starts in the packet.
pub fn parse(payload: &[u8]) -> Option<Descriptor> {
    let mut cursor = Cursor::new(payload);
    let header = cursor.u8()?;
    let continues_previous = header & 0x80 != 0;
    let element_count = header >> 4 & 0x03;
    let sequence_start = header & 0x08 != 0;
    // §4.4: "If N is set to 1, Z must be set to 0".
    if sequence_start && continues_previous {
        return None;
    }

    let mut sequence_header = false;
    let mut layers = None;
    let mut shown_key_frame = None;
    let mut index = 0;
    while !cursor.rest().is_empty() {
        index += 1;
        let element = if element_count != 0 && index == element_count {
            // §4.4: with W set, the last element has no length field.
            cursor.bytes(cursor.rest().len())?
        } else {
            let len = cursor.leb128()?;
            cursor.bytes(len)?
        };
        let fragment = index == 1 && continues_previous;
        if !fragment && let Some(obu) = parse_obu_header(element)? {
            sequence_header |= obu.kind == OBU_SEQUENCE_HEADER;
            layers = layers.or(obu.layers);
            shown_key_frame = shown_key_frame.or(obu.shown_key_frame);
        }
        if index == u8::MAX {
            // A packet of one temporal unit never has as many elements.
            return None;
        }
    }
    if index < element_count.max(1) {
        return None;
    }
    Some(Descriptor {
        continues_previous,
        continues_in_next: header & 0x40 != 0,
        sequence_start,
        sequence_header,
        layers,
        key_frame: sequence_start || (sequence_header && shown_key_frame == Some(true)),
    })
}

struct ObuHeader {
    kind: u8,
    layers: Option<(u8, u8)>,
    /// For a frame header, true if the frame is a key frame and shown at once.
    shown_key_frame: Option<bool>,
}

/// Parses the header of an OBU element; `Some(None)` for an empty element, `None` for a malformed one (AV1 §5.3.2).
fn parse_obu_header(element: &[u8]) -> Option<Option<ObuHeader>> {
    let Some(&first) = element.first() else { return Some(None) };
    let forbidden = first & 0x80 != 0;
    let has_extension = first & 0x04 != 0;
    if forbidden {
        return None;
    }
    let layers = if has_extension {
        let extension = *element.get(1)?;
        Some((extension >> 5, extension >> 3 & 0x03))
    } else {
        None
    };
    let kind = first >> 3 & 0x0f;
    let shown_key_frame =
        if matches!(kind, OBU_FRAME | OBU_FRAME_HEADER) { is_shown_key_frame(element) } else { None };
    Some(Some(ObuHeader { kind, layers, shown_key_frame }))
}

/// AV1 §5.9.2: |show_existing_frame|frame_type (2)|show_frame|; frame type 0 is a key frame. `None` if the packet ends
/// before these fields.
fn is_shown_key_frame(element: &[u8]) -> Option<bool> {
    let [has_extension, has_size] = [0x04, 0x02].map(|bit| element[0] & bit != 0);
    let mut cursor = Cursor::new(element);
    cursor.bytes(1 + usize::from(has_extension))?;
    if has_size {
        cursor.leb128()?;
    }
    Some(cursor.u8()? >> 4 == 0b0001)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE_HEADER: u8 = 1 << 3;
    const FRAME: u8 = 6 << 3;

    #[test]
    fn sequence_start_is_a_key_frame() {
        // W = 2: a sequence header with its length, a frame without.
        let d = parse(&[0x28, 2, SEQUENCE_HEADER, 0, FRAME, 1, 2, 3]).unwrap();
        assert!(d.key_frame && d.sequence_start && d.sequence_header);
        assert_eq!(d.layers, None);
    }

    #[test]
    fn sequence_header_without_n_needs_a_key_frame() {
        let with = |frame: &[u8]| {
            let head = [0x00, 1, 2 << 3, 2, SEQUENCE_HEADER, 0, frame.len() as u8];
            let d = parse(&[&head[..], frame].concat()).unwrap();
            assert!(d.sequence_header && !d.sequence_start);
            d.key_frame
        };
        assert!(with(&[FRAME, 0x10]));
        assert!(with(&[OBU_FRAME_HEADER << 3, 0x1f]));
        assert!(with(&[FRAME | 0x06, 0, 1, 0x10]), "extension and size");
        assert!(!with(&[FRAME, 0x30]), "inter frame");
        assert!(!with(&[FRAME, 0x50]), "intra-only frame");
        assert!(!with(&[FRAME, 0x90]), "existing frame");
        assert!(!with(&[FRAME, 0x00]), "not shown yet");
        assert!(!with(&[FRAME]));
    }

    #[test]
    fn frame_without_sequence_header_is_no_key_frame() {
        let d = parse(&[0x50, FRAME | 0x04, 0b0100_1000, 7]).unwrap();
        assert!(!d.key_frame && d.continues_in_next && !d.continues_previous);
        assert_eq!(d.layers, Some((2, 1)));
    }

    #[test]
    fn continued_element_is_not_taken_for_an_obu() {
        let d = parse(&[0x90, SEQUENCE_HEADER, 0xff]).unwrap();
        assert!(!d.key_frame && d.continues_previous);
        assert!(parse(&[0xa0, 1, 0xff, SEQUENCE_HEADER, 0]).unwrap().sequence_header, "but the next one is");
    }

    #[test]
    fn malformed_payloads_are_refused() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0x00]), None, "no element");
        assert_eq!(parse(&[0x98, FRAME]), None, "N with Z");
        assert_eq!(parse(&[0x00, 5, FRAME]), None, "length beyond the payload");
        assert_eq!(parse(&[0x30, 1, FRAME, 1, FRAME]), None, "fewer elements than W says");
        assert_eq!(parse(&[0x10, 0x80 | FRAME]), None, "forbidden bit");
        assert_eq!(parse(&[0x10, FRAME | 0x04]), None, "extension missing");
        let mut endless = [0xff; 12];
        endless[0] = 0;
        assert_eq!(parse(&endless), None, "length of more than eight bytes");
    }

    #[test]
    fn length_of_several_bytes_is_read() {
        let mut payload = vec![0x00, 0xc8, 0x01];
        payload.extend([FRAME; 200]);
        payload.extend([2, SEQUENCE_HEADER, 0]);
        assert!(parse(&payload).unwrap().sequence_header);
    }
}
