//! VP8 frames (RFC 7741).

use tureen_rtc::wire::codecs::{CodecKind, vp8};

use super::packetizer::{OutgoingFrame, Payloads, shares};
use super::{FrameError, FrameInfo, Start};

/// Counters of a stream: picture id and TL0PICIDX.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    picture_id: u16,
    tl0_pic_idx: u8,
}

impl Numbers {
    pub(super) fn new(first_picture_id: u16) -> Self {
        Self { picture_id: first_picture_id & 0x7fff, tl0_pic_idx: 0 }
    }
}

pub(super) fn frame_start(payload: &[u8]) -> Option<Start> {
    let descriptor = vp8::parse(payload)?;
    let first = descriptor.partition_start && descriptor.partition == 0;
    (payload.len() > descriptor.len).then_some(if first { Start::Yes } else { Start::No })
}

pub(super) fn assemble<'a>(payloads: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Option<FrameInfo> {
    let mut info = None;
    for payload in payloads {
        let descriptor = vp8::parse(payload)?;
        let starts = descriptor.partition_start && descriptor.partition == 0;
        if starts != info.is_none() {
            return None;
        }
        info.get_or_insert(FrameInfo {
            key_frame: descriptor.key_frame,
            spatial_layer: 0,
            temporal_layer: descriptor.temporal_layer.unwrap_or(0),
            tl0_pic_idx: descriptor.tl0_pic_idx.map(|tl0| tl0.value),
            layer_switch: descriptor.layer_sync,
        });
        out.extend_from_slice(&payload[descriptor.len..]);
    }
    info
}

/// The whole frame is sent as the first partition, because RFC 7741 §4.4 does not require packets to end at partitions.
pub(super) fn packetize(
    numbers: &mut Numbers,
    frame: &OutgoingFrame<'_>,
    max_payload: usize,
    out: &mut Payloads,
) -> Result<FrameInfo, FrameError> {
    let codec = CodecKind::Vp8;
    let first = *frame.data.first().ok_or(FrameError::Empty(codec))?;
    if frame.temporal_layer.is_some_and(|layer| layer > 3) {
        return Err(FrameError::BadFrame { codec, what: "temporal layer above 3" });
    }
    // RFC 6386 §9.1: the inverse key frame flag is the lowest bit.
    let key_frame = first & 0x01 == 0;
    let picture_id = numbers.picture_id;
    numbers.picture_id = (picture_id + 1) & 0x7fff;
    if frame.temporal_layer == Some(0) {
        numbers.tl0_pic_idx = numbers.tl0_pic_idx.wrapping_add(1);
    }
    let layer_switch = frame.temporal_layer.is_some() && frame.layer_sync;
    let len = if frame.temporal_layer.is_some() { 6 } else { 4 };
    let mut rest = frame.data;
    for (at, share) in shares(rest.len(), max_payload - len).enumerate() {
        let (piece, after) = rest.split_at(share);
        rest = after;
        let open = out.open();
        // X and, on the first packet, S; then I, L and T.
        open.push(0x80 | u8::from(at == 0) << 4);
        open.push(if frame.temporal_layer.is_some() { 0xe0 } else { 0x80 });
        open.extend_from_slice(&(0x8000 | picture_id).to_be_bytes());
        if let Some(layer) = frame.temporal_layer {
            open.extend_from_slice(&[numbers.tl0_pic_idx, layer << 6 | u8::from(layer_switch) << 5]);
        }
        open.extend_from_slice(piece);
        out.close();
    }
    Ok(FrameInfo {
        key_frame,
        spatial_layer: 0,
        temporal_layer: frame.temporal_layer.unwrap_or(0),
        tl0_pic_idx: frame.temporal_layer.map(|_| numbers.tl0_pic_idx),
        layer_switch,
    })
}
