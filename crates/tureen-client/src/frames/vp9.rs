//! VP9 pictures (RFC 9628).

use tureen_rtc::wire::codecs::{CodecKind, vp9};

use super::packetizer::{OutgoingFrame, Payloads, shares};
use super::{FrameError, FrameInfo, Start};

/// Counters of a stream: picture id, and the distance to earlier pictures.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    picture_id: u16,
    /// Distance in pictures to the last picture of each temporal layer; `None` if there is none.
    ago: [Option<u8>; 8],
    /// Picture of which further layer frames follow.
    open: Option<OpenPicture>,
}

#[derive(Clone, Copy, Debug)]
struct OpenPicture {
    timestamp: u32,
    key: bool,
    reference: u8,
}

impl Numbers {
    pub(super) fn new(first_picture_id: u16) -> Self {
        Self { picture_id: first_picture_id & 0x7fff, ago: [None; 8], open: None }
    }

    /// Distance to the picture that a picture of `layer` references: the last one of the same or a lower layer.
    fn reference(&self, layer: u8, sync: bool) -> u8 {
        let highest = if sync { 0 } else { usize::from(layer) };
        self.ago[..=highest].iter().flatten().copied().min().unwrap_or(1)
    }

    fn begin_picture(&mut self, layer: u8, key: bool) {
        self.ago.iter_mut().for_each(|ago| *ago = ago.map(|ago| (ago + 1).min(MAX_P_DIFF)));
        if key {
            self.ago = [None; 8];
        }
        self.ago[usize::from(layer)] = Some(1);
    }
}

/// RFC 9628 §4.2: P_DIFF has seven bits.
const MAX_P_DIFF: u8 = 127;

pub(super) fn frame_start(payload: &[u8]) -> Option<Start> {
    let descriptor = vp9::parse(payload)?;
    (payload.len() > descriptor.len).then_some(match descriptor.frame_start {
        true if descriptor.spatial_layer() == 0 => Start::Yes,
        true => Start::Maybe,
        false => Start::No,
    })
}

pub(super) fn assemble<'a>(payloads: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Option<FrameInfo> {
    let mut info: Option<FrameInfo> = None;
    let mut inside_layer_frame = false;
    for payload in payloads {
        let descriptor = vp9::parse(payload)?;
        if descriptor.frame_start == inside_layer_frame {
            return None;
        }
        inside_layer_frame = !descriptor.frame_end;
        let info = info.get_or_insert(FrameInfo {
            // A server may start a picture at a higher layer, at which a decoder cannot start.
            key_frame: descriptor.key_frame,
            spatial_layer: 0,
            temporal_layer: descriptor.temporal_layer(),
            tl0_pic_idx: descriptor.layer.and_then(|layer| layer.tl0_pic_idx),
            layer_switch: descriptor.layer.is_some_and(|layer| layer.switching_up_point),
        });
        info.spatial_layer = info.spatial_layer.max(descriptor.spatial_layer());
        out.extend_from_slice(&payload[descriptor.len..]);
    }
    info.filter(|_| !inside_layer_frame)
}

/// Uses flexible mode (F), which needs no scalability structure.
pub(super) fn packetize(
    numbers: &mut Numbers,
    frame: &OutgoingFrame<'_>,
    max_payload: usize,
    out: &mut Payloads,
) -> Result<FrameInfo, FrameError> {
    let codec = CodecKind::Vp9;
    let bad = |what| Err(FrameError::BadFrame { codec, what });
    let first = *frame.data.first().ok_or(FrameError::Empty(codec))?;
    if first >> 6 != 0b10 {
        return bad("no VP9 frame marker");
    }
    let (spatial, temporal) = (frame.spatial_layer.unwrap_or(0), frame.temporal_layer.unwrap_or(0));
    if spatial > 7 || temporal > 7 {
        return bad("layer above 7");
    }
    let sync = temporal > 0 && frame.layer_sync;
    let picture = match numbers.open.take() {
        Some(open) if open.timestamp == frame.timestamp && spatial > 0 => open,
        _ if spatial > 0 => return bad("a layer frame above the base layer has no picture"),
        _ => {
            let key = is_key_frame(first);
            let reference = numbers.reference(temporal, sync);
            numbers.begin_picture(temporal, key);
            numbers.picture_id = (numbers.picture_id + 1) & 0x7fff;
            OpenPicture { timestamp: frame.timestamp, key, reference }
        }
    };
    let OpenPicture { key, reference, .. } = picture;
    if frame.spatial_layer.is_some() && frame.more_layers {
        numbers.open = Some(picture);
    }

    let has_layers = frame.spatial_layer.is_some() || frame.temporal_layer.is_some();
    let len = 3 + usize::from(has_layers) + usize::from(!key);
    let mut rest = frame.data;
    let mut pieces = shares(rest.len(), max_payload - len).enumerate().peekable();
    let picture_id = numbers.picture_id.wrapping_sub(1) & 0x7fff;
    while let Some((at, share)) = pieces.next() {
        let (piece, after) = rest.split_at(share);
        rest = after;
        let open = out.open();
        // I, P, L, F, B, E; then M with the picture id.
        let flags = [!key, has_layers, true, at == 0, pieces.peek().is_none()];
        open.push(
            flags.iter().zip([6, 5, 4, 3, 2]).fold(0x80, |byte, (&flag, bit)| byte | u8::from(flag) << bit),
        );
        open.extend_from_slice(&(0x8000 | picture_id).to_be_bytes());
        if has_layers {
            // TID, U, SID, D.
            open.push(temporal << 5 | u8::from(sync) << 4 | spatial << 1 | u8::from(spatial > 0));
        }
        if !key {
            open.push(reference << 1);
        }
        open.extend_from_slice(piece);
        out.close();
    }
    Ok(FrameInfo {
        key_frame: key && spatial == 0,
        spatial_layer: spatial,
        temporal_layer: temporal,
        tl0_pic_idx: None,
        layer_switch: sync,
    })
}

/// VP9 bitstream §6.2: frame marker (2 bits), profile (2 bits, one more reserved bit for profile 3),
/// show_existing_frame, frame_type. A frame_type of 0 is a key frame.
fn is_key_frame(first: u8) -> bool {
    let header = if first & 0x30 == 0x30 { first << 1 } else { first };
    header & 0x0c == 0
}
