//! Framing of datagrams in a byte stream: a length of two bytes, big-endian, precedes each datagram (RFC 4571 §2).

use std::ops::Range;

/// Bytes of the length prefix.
pub(crate) const PREFIX: usize = 2;

/// A frame is longer than the limit. The stream cannot be parsed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oversized;

/// Calls `on_frame` with the range of each complete frame in `bytes`, except empty ones. Returns the bytes that the
/// complete frames take; the rest is the start of the next frame.
pub(crate) fn split(
    bytes: &[u8],
    max_frame: usize,
    mut on_frame: impl FnMut(Range<usize>),
) -> Result<usize, Oversized> {
    let mut at = 0;
    while let Some(&[high, low]) = bytes[at..].first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > max_frame {
            return Err(Oversized);
        }
        let frame = at + PREFIX..at + PREFIX + len;
        if frame.end > bytes.len() {
            break;
        }
        at = frame.end;
        if len > 0 {
            on_frame(frame);
        }
    }
    Ok(at)
}

/// Appends a frame. `datagram` has at most 65535 bytes.
pub(crate) fn push(out: &mut Vec<u8>, datagram: &[u8]) {
    let len = u16::try_from(datagram.len()).expect("a datagram is no longer than 65535 bytes");
    out.extend(len.to_be_bytes());
    out.extend(datagram);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start and end of each frame.
    fn frames(bytes: &[u8]) -> (Vec<(usize, usize)>, Result<usize, Oversized>) {
        let mut frames = Vec::new();
        let taken = split(bytes, 300, |frame| frames.push((frame.start, frame.end)));
        (frames, taken)
    }

    #[test]
    fn whole_frames_are_found_and_the_rest_is_left() {
        let bytes = [0, 2, 7, 8, 0, 0, 0, 1, 9, 0, 3, 1, 2];
        assert_eq!(frames(&bytes), (vec![(2, 4), (8, 9)], Ok(9)));
        for (len, taken) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 4), (5, 4), (6, 6), (9, 9), (10, 9)] {
            assert_eq!(frames(&bytes[..len]).1, Ok(taken), "the first {len} bytes");
        }
    }

    #[test]
    fn oversized_frame_is_detected_by_its_length_prefix() {
        assert_eq!(frames(&[0, 1, 5, 1, 45]), (vec![(2, 3)], Err(Oversized)));
        assert_eq!(frames(&[0, 1, 5, 1, 44]), (vec![(2, 3)], Ok(3)));
    }

    #[test]
    fn pushed_frames_are_split_again() {
        let mut out = Vec::new();
        for datagram in [&[1, 2, 3][..], &[4; 260], &[5]] {
            push(&mut out, datagram);
        }
        assert_eq!(frames(&out), (vec![(2, 5), (7, 267), (269, 270)], Ok(270)));
    }
}
