//! RTP payload descriptors: the parts of a codec payload that the engine reads or rewrites.
//!
//! Each parser takes the payload of one RTP packet without padding and returns `None` if it is malformed.

pub mod av1;
mod bits;
pub mod dependency_descriptor;
pub mod h264;
pub mod h265;
pub mod opus;
pub mod vp8;
pub mod vp9;

/// Codecs whose payload the engine parses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodecKind {
    /// video/VP8.
    Vp8,
    /// video/VP9.
    Vp9,
    /// video/H264.
    H264,
    /// video/H265.
    H265,
    /// video/AV1.
    Av1,
    /// audio/opus and audio/multiopus.
    Opus,
    /// Any other codec, forwarded without parsing.
    Other,
}

/// True if `payload` belongs to the start of a key frame, from which a receiver can begin to decode.
///
/// For H264, H265 and AV1 a dependency descriptor header extension, if present, is more reliable, because it is
/// readable even if the payload is encrypted end to end.
pub fn is_key_frame(kind: CodecKind, payload: &[u8]) -> bool {
    match kind {
        CodecKind::Vp8 => vp8::parse(payload).is_some_and(|d| d.key_frame),
        CodecKind::Vp9 => vp9::parse(payload).is_some_and(|d| d.key_frame),
        CodecKind::H264 => h264::parse(payload).is_some_and(|d| d.key_frame),
        CodecKind::H265 => h265::parse(payload).is_some_and(|d| d.key_frame),
        CodecKind::Av1 => av1::parse(payload).is_some_and(|d| d.key_frame),
        CodecKind::Opus | CodecKind::Other => false,
    }
}

/// True if [`is_key_frame`] can ever be true, so that waiting for a key frame is useful.
pub fn can_be_key_frame(kind: CodecKind) -> bool {
    match kind {
        CodecKind::Vp8 | CodecKind::Vp9 | CodecKind::H264 | CodecKind::H265 | CodecKind::Av1 => true,
        CodecKind::Opus | CodecKind::Other => false,
    }
}

/// Picture id within a VP8 or VP9 payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// Value of the picture id, 7 or 15 bits.
    pub value: u16,
    /// True if the picture id has 15 bits and takes two bytes, the first one with its highest bit set.
    pub long: bool,
    /// Offset of its first byte in the payload.
    pub offset: usize,
}

/// Rewritten start of a payload: its bytes, and the number of payload bytes that they replace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; 8],
    len: u8,
    replaced: u8,
}

impl Prefix {
    /// Bytes that replace the first [`replaced`](Self::replaced) bytes of the payload.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Number of payload bytes that are replaced.
    pub fn replaced(&self) -> usize {
        self.replaced.into()
    }

    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }

    /// A rewritten picture id always has 15 bits.
    fn push_picture_id(&mut self, number: u16) {
        let [high, low] = (number | 0x8000).to_be_bytes();
        self.push(high);
        self.push(low);
    }
}

/// Cursor that reads a payload byte by byte. What does not fit into the rest of it is `None`.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    payload: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a payload.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { payload, offset: 0 }
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.offset)?;
        self.offset += 1;
        Some(byte)
    }

    /// The next two bytes, big endian.
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.rest().get(..len)?;
        self.offset += len;
        Some(bytes)
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.payload.get(self.offset..).unwrap_or_default()
    }

    /// AV1 §4.10.5: little endian, seven bits a byte, at most eight bytes; no larger than 32 bits.
    pub fn leb128(&mut self) -> Option<usize> {
        let mut value = 0u64;
        for shift in (0..56).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok().map(|value| value as usize);
            }
        }
        None
    }

    /// RFC 7741 §4.2 and RFC 9628 §4.2: the picture id has 15 bits if the M bit is set.
    fn picture_id(&mut self) -> Option<PictureId> {
        let offset = self.offset;
        let first = self.u8()?;
        let long = first & 0x80 != 0;
        let high = u16::from(first & 0x7f);
        let value = if long { high << 8 | u16::from(self.u8()?) } else { high };
        Some(PictureId { value, long, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [CodecKind; 7] = [
        CodecKind::Vp8,
        CodecKind::Vp9,
        CodecKind::H264,
        CodecKind::H265,
        CodecKind::Av1,
        CodecKind::Opus,
        CodecKind::Other,
    ];

    #[test]
    fn key_frames_are_recognised_by_codec() {
        assert!(is_key_frame(CodecKind::Vp8, &[0x10, 0x00]));
        assert!(is_key_frame(CodecKind::Vp9, &[0x08]));
        assert!(is_key_frame(CodecKind::H264, &[0x67, 0x42]));
        assert!(is_key_frame(CodecKind::H265, &[0x40, 0x01, 0x0c]));
        assert!(is_key_frame(CodecKind::Av1, &[0x18, 0x08, 0x00]));
        assert!(!is_key_frame(CodecKind::Opus, &[0x78, 0x00]));
        assert!(!is_key_frame(CodecKind::Other, &[0x10, 0x00]));
    }

    #[test]
    fn empty_payload_is_no_key_frame() {
        for kind in ALL {
            assert!(!is_key_frame(kind, &[]), "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_read_without_panic(payload in prop::collection::vec(any::<u8>(), 0..64)) {
            for kind in ALL {
                let key_frame = is_key_frame(kind, &payload);
                prop_assert!(!key_frame || can_be_key_frame(kind));
            }
            opus::parse(&payload);
        }

        #[test]
        fn picture_ids_are_at_their_reported_position(payload in prop::collection::vec(any::<u8>(), 0..16)) {
            let vp8 = vp8::parse(&payload).map(|d| (d.picture_id, d.len));
            let vp9 = vp9::parse(&payload).map(|d| (d.picture_id, d.len));
            for (picture_id, len) in [vp8, vp9].into_iter().flatten() {
                prop_assert!(len <= payload.len());
                if let Some(id) = picture_id {
                    let again = Cursor { payload: &payload[..len], offset: id.offset }.picture_id();
                    prop_assert_eq!(again, Some(id));
                }
            }
        }
    }
}
