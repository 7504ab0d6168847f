//! Lengths of AV1 (§4.10.5), as [`Cursor::leb128`](tureen_rtc::wire::codecs::Cursor::leb128) reads them.

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
    use tureen_rtc::wire::codecs::Cursor;

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
            assert_eq!(Cursor::new(&out).leb128(), Some(value));
        }
        assert_eq!(Cursor::new(&[0x80; 9]).leb128(), None, "more than eight bytes");
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).leb128(), None, "more than 32 bits");
        assert_eq!(Cursor::new(&[0x80]).leb128(), None, "cut off");
    }
}
