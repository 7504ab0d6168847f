//! Reading of bytes from the start of a slice, and the lengths of AV1.

/// The first byte.
pub(super) fn take_u8(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

/// The first two bytes, big endian.
pub(super) fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_be_bytes(*first))
}

/// The first `len` bytes.
pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(first)
}

/// AV1 §4.10.5: little endian, seven bits a byte, at most eight bytes; no larger than 32 bits.
pub(super) fn take_leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..56).step_by(7) {
        let byte = take_u8(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| value as usize);
        }
    }
    None
}

/// Appends `value` in as few bytes as it needs.
pub(super) fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`push_leb128`] appends.
pub(super) fn leb128_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_the_specification_shows() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (624_485, &[0xe5, 0x8e, 0x26]),
            (u32::MAX as usize, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            push_leb128(&mut out, value);
            assert_eq!((out.as_slice(), leb128_len(value)), (bytes, bytes.len()));
            assert_eq!(take_leb128(&mut &out[..]), Some(value));
        }
        assert_eq!(take_leb128(&mut &[0x80; 9][..]), None, "more than eight bytes");
        assert_eq!(take_leb128(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None, "more than 32 bits");
        assert_eq!(take_leb128(&mut &[0x80][..]), None, "cut off");
    }
}
