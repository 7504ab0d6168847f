//! NAL units in the byte stream format (H.264 annex B, H.265 annex B), and packets of them.

use super::packetizer::{Payloads, shares};

/// Start code before each NAL unit of a received frame.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

pub(super) fn push_start_code(out: &mut Vec<u8>) {
    out.extend_from_slice(&START_CODE);
}

/// Returns the NAL units of a byte stream, without start codes (three or four bytes) and trailing zeros. `None` if the
/// stream does not begin with a start code.
pub(super) fn units(stream: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let first = find_start_code(stream)?;
    if stream[..first].iter().any(|&byte| byte != 0) {
        return None;
    }
    let mut rest = &stream[first + 3..];
    let mut done = false;
    let all = std::iter::from_fn(move || {
        if done {
            return None;
        }
        let unit = if let Some(at) = find_start_code(rest) {
            let unit = &rest[..at];
            rest = &rest[at + 3..];
            unit
        } else {
            done = true;
            rest
        };
        // A NAL unit never ends with a zero byte (H.264 §7.4.1), so that trailing zeros belong to the stream.
        let len = unit.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
        Some(&unit[..len])
    });
    Some(all.filter(|unit| !unit.is_empty()))
}

/// Position of the first `00 00 01`.
fn find_start_code(stream: &[u8]) -> Option<usize> {
    let mut at = 2;
    while let Some(&byte) = stream.get(at) {
        match byte {
            0 => at += 1,
            1 if stream[at - 1] == 0 && stream[at - 2] == 0 => return Some(at - 2),
            _ => at += if byte == 1 { 1 } else { 3 },
        }
    }
    None
}

/// Number of `units`, from the first one, that fit into one aggregation packet with a header of `header` bytes and a
/// length of two bytes before each unit. 1 if the first unit is sent alone, 0 if it must be fragmented.
pub(super) fn aggregated(units: &[&[u8]], header: usize, max_payload: usize) -> usize {
    let mut len = header;
    let fitting = units.iter().take_while(|unit| {
        len += 2 + unit.len();
        len <= max_payload
    });
    match fitting.count() {
        0 => usize::from(units.first().is_some_and(|unit| unit.len() <= max_payload)),
        count => count,
    }
}

/// Appends the packets of an access unit: units that go together or alone, and fragments. `HEADER` is the length of a unit's
/// header, at most [`MIN_MAX_PAYLOAD`](super::MIN_MAX_PAYLOAD) - 2; no unit is shorter than it.
///
/// `aggregation_header` is that of a packet with these units; `fragment_header` makes of a unit's header that of its
/// fragments, and the type in the byte behind it, whose two highest bits mark the first and the last fragment.
pub(super) fn packetize<const HEADER: usize>(
    mut units: &[&[u8]],
    max_payload: usize,
    aggregation_header: impl Fn(&[&[u8]]) -> [u8; HEADER],
    fragment_header: impl Fn([u8; HEADER]) -> ([u8; HEADER], u8),
    out: &mut Payloads,
) {
    while let Some((&unit, after)) = units.split_first() {
        let count = aggregated(units, HEADER, max_payload);
        let (together, behind) = units.split_at(count);
        units = behind;
        match count {
            0 => {
                units = after;
                fragment(unit, max_payload, &fragment_header, out);
            }
            1 => {
                out.open().extend_from_slice(unit);
                out.close();
            }
            _ => {
                out.open().extend_from_slice(&aggregation_header(together));
                for unit in together {
                    out.open().extend_from_slice(&(unit.len() as u16).to_be_bytes());
                    out.open().extend_from_slice(unit);
                }
                out.close();
            }
        }
    }
}

fn fragment<const HEADER: usize>(
    unit: &[u8],
    max_payload: usize,
    header: impl Fn([u8; HEADER]) -> ([u8; HEADER], u8),
    out: &mut Payloads,
) {
    let Some((&unit_header, mut rest)) = unit.split_first_chunk() else { return };
    let (header, kind) = header(unit_header);
    let mut pieces = shares(rest.len(), max_payload - HEADER - 1).enumerate().peekable();
    while let Some((at, share)) = pieces.next() {
        let (piece, after) = rest.split_at(share);
        rest = after;
        let (start, end) = (at == 0, pieces.peek().is_none());
        out.open().extend_from_slice(&header);
        out.open().push(u8::from(start) << 7 | u8::from(end) << 6 | kind);
        out.open().extend_from_slice(piece);
        out.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stream: &[u8]) -> Option<Vec<&[u8]>> {
        units(stream).map(Iterator::collect)
    }

    #[test]
    fn both_start_codes_and_trailing_zeros_are_read() {
        let stream = [0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0x65, 7, 0, 0];
        assert_eq!(all(&stream), Some(vec![&[0x67, 1][..], &[0x68, 0, 0, 2], &[0x65, 7]]));
    }

    #[test]
    fn data_without_a_leading_start_code_is_refused() {
        assert_eq!(all(&[]), None);
        assert_eq!(all(&[0, 0, 2, 0x67]), None, "no start code");
        assert_eq!(all(&[9, 0, 0, 1, 0x67]), None, "something in front");
        assert_eq!(all(&[0, 0, 1]), Some(vec![]), "no unit");
        assert_eq!(all(&[0, 0, 1, 0, 0, 1, 5]), Some(vec![&[5][..]]), "an empty unit");
    }

    #[test]
    fn units_are_aggregated_while_they_fit() {
        let [a, b, c] = [&[1; 10][..], &[2; 10], &[3; 60]];
        assert_eq!(aggregated(&[a, b, c], 1, 40), 2);
        assert_eq!(aggregated(&[a, c], 1, 40), 1);
        assert_eq!(aggregated(&[c, a], 1, 60), 1, "alone, without a length");
        assert_eq!(aggregated(&[c, a], 1, 59), 0);
        assert_eq!(aggregated(&[], 1, 59), 0);
    }
}
