//! Boxes within boxes.

use mp4_atom::Atom;

use super::Place;
use crate::error::{ContainerError, ErrorKind};
use crate::input::Input;

/// The boxes of a file, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Boxes {
    pub(super) next: u64,
}

impl Boxes {
    /// Kind and content of the next box. `None` at the end of the file.
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<([u8; 4], Place)>, ContainerError> {
        // Less than a header is padding.
        if self.next.saturating_add(8) > input.len() {
            return Ok(None);
        }
        let at = self.next;
        input.go_to(at);
        let [s0, s1, s2, s3, kind @ ..]: [u8; 8] = input.array("the header of a box")?;
        let (header, len) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            // ISO/IEC 14496-12 §4.2: 0 goes on to the end of the file, 1 is followed by 64 bits.
            0 => (8, input.len() - at),
            1 => (16, u64::from_be_bytes(input.array("the length of a box")?)),
            len => (8, len.into()),
        };
        let kind_name = kind.escape_ascii();
        let Some(len) = len.checked_sub(header) else {
            let text = format!("a {kind_name} box of {len} bytes, which is shorter than its header");
            return Err(input.error_at(at, ErrorKind::Malformed(text)));
        };
        let body = at + header;
        // A recording that was interrupted ends within its last box; samples are checked one by one.
        self.next = body.saturating_add(len);
        Ok(Some((kind, Place { at, body, len })))
    }
}

/// The boxes within a box, until one that is malformed.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (&[s0, s1, s2, s3, k0, k1, k2, k3], after) = rest.split_first_chunk()?;
        let (header, len) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => (8, rest.len()),
            1 => (16, usize::try_from(u64::from_be_bytes(*after.first_chunk()?)).ok()?),
            len => (8, usize::try_from(len).ok()?),
        };
        let (whole, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(([k0, k1, k2, k3], whole.get(header..)?))
    })
}

/// The content of the first box of a kind within a box.
pub(super) fn find<'a>(body: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(body).find(|(found, _)| found == kind).map(|(_, body)| body)
}

/// The first box of a kind within a box, read.
pub(super) fn decode<T: Atom>(body: &[u8], kind: &[u8; 4]) -> Result<Option<T>, String> {
    let Some(body) = find(body, kind) else { return Ok(None) };
    T::decode_body(&mut &body[..]).map(Some).map_err(|error| format!("{} box: {error}", kind.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_within_a_box_are_found() {
        let body = [0, 0, 0, 9, b'a', b'b', b'c', b'd', 7, 0, 0, 0, 0, b'e', b'f', b'g', b'h', 8, 9];
        assert_eq!(find(&body, b"abcd"), Some(&[7][..]));
        assert_eq!(find(&body, b"efgh"), Some(&[8, 9][..]), "to the end");
        assert_eq!(find(&body, b"ijkl"), None);
        let long = [0, 0, 0, 1, b'a', b'b', b'c', b'd', 0, 0, 0, 0, 0, 0, 0, 17, 5];
        assert_eq!(find(&long, b"abcd"), Some(&[5][..]));
        assert_eq!(children(&body[..8]).count(), 0, "cut off");
        assert_eq!(children(&[0, 0, 0, 7, b'a', b'b', b'c', b'd']).count(), 0, "shorter than its header");
    }
}
