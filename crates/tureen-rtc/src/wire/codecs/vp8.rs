//! VP8 payload descriptor (RFC 7741 §4.2).
//!
//! ```text
//!       0 1 2 3 4 5 6 7
//!      +-+-+-+-+-+-+-+-+
//!      |X|R|N|S|R| PID |
//!      +-+-+-+-+-+-+-+-+
//! X:   |I|L|T|K| RSV   |
//! I:   |M| PictureID   | M: one byte more
//! L:   |   TL0PICIDX   |
//! T/K: |TID|Y| KEYIDX  |
//! ```

use super::{Cursor, PictureId, Prefix};

/// VP8 payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// True if the frame is not used as a reference (N).
    pub(crate) non_reference: bool,
    /// True if the packet starts a partition (S).
    pub partition_start: bool,
    /// Partition index (PID).
    pub partition: u8,
    /// Picture id of the frame (I).
    pub picture_id: Option<PictureId>,
    /// Running index of base layer frames (L).
    pub tl0_pic_idx: Option<Tl0PicIdx>,
    /// Temporal layer, 0–3 (T).
    pub temporal_layer: Option<u8>,
    /// True if the frame depends only on the base layer, so that a receiver may switch up to its layer (Y).
    pub layer_sync: bool,
    /// Temporal key frame index, 0–31 (K).
    pub(crate) key_idx: Option<u8>,
    /// True if the packet starts a key frame.
    pub key_frame: bool,
    /// Length of the descriptor in bytes.
    pub len: usize,
}

/// TL0PICIDX and its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tl0PicIdx {
    /// Value of the field.
    pub value: u8,
    /// Offset of the field in the payload.
    pub offset: usize,
}

/// Parses the descriptor at the start of an RTP payload.
pub fn parse(payload: &[u8]) -> Option<Descriptor> {
    let mut cursor = Cursor::new(payload);
    let first = cursor.u8()?;
    let extension = if first & 0x80 != 0 { cursor.u8()? } else { 0 };
    let [has_picture_id, has_tl0, has_tid, has_key_idx] =
        [0x80, 0x40, 0x20, 0x10].map(|bit| extension & bit != 0);

    let picture_id = if has_picture_id { Some(cursor.picture_id()?) } else { None };
    let tl0_pic_idx = if has_tl0 {
        let offset = cursor.offset;
        Some(Tl0PicIdx { value: cursor.u8()?, offset })
    } else {
        None
    };
    let layers = if has_tid || has_key_idx { cursor.u8()? } else { 0 };

    let partition_start = first & 0x10 != 0;
    let partition = first & 0x07;
    // RFC 7741 §4.3: the payload header's P bit, the lowest one, is 0 for key frames.
    let inter_frame = cursor.rest().first().is_none_or(|header| header & 0x01 != 0);
    Some(Descriptor {
        non_reference: first & 0x20 != 0,
        partition_start,
        partition,
        picture_id,
        tl0_pic_idx,
        temporal_layer: has_tid.then_some(layers >> 6),
        layer_sync: has_tid && layers & 0x20 != 0,
        key_idx: has_key_idx.then_some(layers & 0x1f),
        key_frame: partition_start && partition == 0 && !inter_frame,
        len: cursor.offset,
    })
}

/// Rewrites the descriptor of `payload` with another picture id and, if given, another TL0PICIDX. `None` for a
/// descriptor without picture id, because there is nothing to rewrite.
pub fn rewrite(payload: &[u8], picture_id: u16, tl0_pic_idx: Option<u8>) -> Option<Prefix> {
    let descriptor = parse(payload)?;
    let id = descriptor.picture_id?;
    let mut prefix = Prefix { replaced: descriptor.len as u8, ..Prefix::default() };
    for &byte in &payload[..id.offset] {
        prefix.push(byte);
    }
    prefix.push_picture_id(picture_id);
    for (at, &byte) in
        payload.iter().enumerate().take(descriptor.len).skip(id.offset + if id.long { 2 } else { 1 })
    {
        let is_tl0 = descriptor.tl0_pic_idx.is_some_and(|tl0| tl0.offset == at);
        prefix.push(tl0_pic_idx.filter(|_| is_tl0).unwrap_or(byte));
    }
    Some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_descriptor_is_read() {
        let d = parse(&[0x90, 0xf0, 0x91, 0x23, 0x42, 0xa3, 0x01]).unwrap();
        assert_eq!(d.picture_id, Some(PictureId { value: 0x1123, long: true, offset: 2 }));
        assert_eq!(d.tl0_pic_idx, Some(Tl0PicIdx { value: 0x42, offset: 4 }));
        assert_eq!((d.temporal_layer, d.layer_sync, d.key_idx), (Some(2), true, Some(3)));
        assert_eq!((d.partition_start, d.partition, d.len), (true, 0, 6));
        assert!(!d.key_frame && !d.non_reference);
    }

    #[test]
    fn picture_id_of_7_bits_is_read() {
        let d = parse(&[0xa0, 0x80, 0x7f, 0x00]).unwrap();
        assert_eq!(d.picture_id, Some(PictureId { value: 127, long: false, offset: 2 }));
        assert_eq!((d.tl0_pic_idx, d.temporal_layer, d.key_idx), (None, None, None));
        assert!(d.non_reference);
    }

    #[test]
    fn key_frame_needs_the_start_of_the_first_partition() {
        assert!(parse(&[0x10, 0x10]).unwrap().key_frame);
        assert!(!parse(&[0x10, 0x11]).unwrap().key_frame, "inter frame");
        assert!(!parse(&[0x00, 0x10]).unwrap().key_frame, "continues");
        assert!(!parse(&[0x11, 0x10]).unwrap().key_frame, "second partition");
        assert!(!parse(&[0x10]).unwrap().key_frame, "nothing follows");
    }

    #[test]
    fn layer_bits_mean_nothing_without_t() {
        let d = parse(&[0x80, 0x10, 0xe5, 0x00]).unwrap();
        assert_eq!((d.temporal_layer, d.layer_sync, d.key_idx), (None, false, Some(5)));
    }

    #[test]
    fn truncated_descriptor_is_malformed() {
        let full = [0x90, 0xf0, 0x91, 0x23, 0x42, 0xa3];
        for len in 0..full.len() {
            assert_eq!(parse(&full[..len]), None, "{len}");
        }
        assert!(parse(&full).is_some());
    }

    #[test]
    fn picture_id_and_index_are_rewritten() {
        let payload = [0x90, 0xf0, 0x91, 0x23, 0x42, 0xa3, 0x01, 0x77];
        let prefix = rewrite(&payload, 0x7abc, Some(9)).unwrap();
        assert_eq!((prefix.bytes(), prefix.replaced()), (&[0x90, 0xf0, 0xfa, 0xbc, 9, 0xa3][..], 6));
        let prefix = rewrite(&[0xa0, 0x80, 0x7f, 0x00], 5, None).unwrap();
        assert_eq!((prefix.bytes(), prefix.replaced()), (&[0xa0, 0x80, 0x80, 5][..], 3), "7 bits become 15");
        assert_eq!(rewrite(&[0x10, 0x00], 5, Some(1)), None, "nothing to rewrite");
    }
}
