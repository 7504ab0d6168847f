//! Encoded frames and RTP payloads, one made from the other, without a codec.
//!
//! [`Packetizer`] cuts frames into payloads, [`FrameAssembler`] joins the payloads of one frame again, and a
//! [`JitterBuffer`](crate::jitter::JitterBuffer) finds out which of the packets that arrive make a frame.
//! [`Session::send_frame`](crate::Session::send_frame) and [`Session::poll_frame`](crate::Session::poll_frame) use them;
//! they can be used without a session too.
//!
//! What a frame is, in bytes:
//!
//! | Codec | A frame |
//! | --- | --- |
//! | VP8 | one frame (RFC 6386), as in IVF |
//! | VP9 | received: all layer frames of a picture behind one another, as libvpx decodes them; to send: one layer frame, or a superframe of a stream without spatial layers |
//! | H264, H265 | one access unit in the byte stream format of annex B; received with start codes of four bytes |
//! | AV1 | one temporal unit in the low overhead format (AV1 §5.2): OBUs with sizes, a temporal delimiter first, as in IVF |
//! | Opus | one packet (RFC 6716) |

mod av1;
mod h264;
mod h265;
mod leb128;
mod nal;
mod packetizer;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

use tureen_rtc::wire::codecs::{CodecKind, opus};

pub use self::packetizer::{DEFAULT_MAX_PAYLOAD, MIN_MAX_PAYLOAD, OutgoingFrame, Packetizer, Payloads};

/// Properties of a frame, read from its bytes or descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// True if a decoder can start with this frame, which is the case for every audio frame.
    ///
    /// H264: the frame contains an IDR slice, or a sequence parameter set and supplemental enhancement information (a
    /// recovery point) before other slices. H265: it contains an intra random access picture. AV1: it contains a
    /// sequence header, and its first frame is a shown key frame.
    pub key_frame: bool,
    /// Highest spatial layer in the frame; 0 in streams without spatial layers.
    pub spatial_layer: u8,
    /// Temporal layer; 0 in streams without temporal layers, and for H264, whose packets do not contain it.
    pub temporal_layer: u8,
    /// TL0PICIDX, the running index of base layer frames (VP8, VP9), if the stream has it.
    pub tl0_pic_idx: Option<u8>,
    /// VP8: the frame depends on the base layer only (Y bit). VP9: no later frame of a higher temporal layer depends on
    /// a frame before this one (U bit).
    pub layer_switch: bool,
}

/// Error of packetising or assembling a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The codec's payload format is not supported.
    #[error("frames of {0:?} can't be packetised")]
    UnsupportedCodec(CodecKind),
    /// The frame is empty, or none of its parts is sent by RTP.
    #[error("the {0:?} frame is empty")]
    Empty(CodecKind),
    /// The frame does not have the format that [`frames`](self) states for its codec.
    #[error("the {codec:?} frame is malformed: {what}")]
    BadFrame {
        /// Its codec.
        codec: CodecKind,
        /// The violated rule.
        what: &'static str,
    },
    /// A payload is malformed, or does not continue the previous one.
    #[error("the {0:?} payloads make no frame")]
    BadPayload(CodecKind),
}

/// Position of a packet at the start of a frame, as far as its payload shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The packet is the first of its frame.
    Yes,
    /// The packet is the first of its frame if the previous packet belongs to another frame.
    Maybe,
    /// The packet continues a frame.
    No,
}

/// Returns whether a payload starts a frame; `None` if the payload is malformed.
pub fn frame_start(codec: CodecKind, payload: &[u8]) -> Option<Start> {
    match codec {
        CodecKind::Vp8 => vp8::frame_start(payload),
        CodecKind::Vp9 => vp9::frame_start(payload),
        CodecKind::H264 => h264::frame_start(payload),
        CodecKind::H265 => h265::frame_start(payload),
        CodecKind::Av1 => av1::frame_start(payload),
        CodecKind::Opus => opus::parse(payload).map(|_| Start::Yes),
        CodecKind::Other => None,
    }
}

/// Joins payloads into frames. One assembler can serve several streams of the codec, one frame at a time.
#[derive(Debug)]
pub struct FrameAssembler {
    codec: CodecKind,
    /// OBU whose end has not been read yet.
    obu: Vec<u8>,
}

impl FrameAssembler {
    /// Creates an assembler of a codec's frames.
    ///
    /// # Errors
    /// [`FrameError::UnsupportedCodec`] for [`CodecKind::Other`].
    pub fn new(codec: CodecKind) -> Result<Self, FrameError> {
        match codec {
            CodecKind::Other => Err(FrameError::UnsupportedCodec(codec)),
            _ => Ok(Self { codec, obu: Vec::new() }),
        }
    }

    /// Its codec.
    pub fn codec(&self) -> CodecKind {
        self.codec
    }

    /// Replaces `out` by the frame that consists of `payloads`: those of all packets with one RTP timestamp, in order
    /// of sequence numbers, without padding. `out` becomes at most as long as all payloads, plus four bytes for each
    /// NAL unit and eight for each OBU.
    ///
    /// # Errors
    /// [`FrameError::BadPayload`] or [`FrameError::Empty`]; the content of `out` is unspecified then.
    pub fn assemble<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<FrameInfo, FrameError> {
        out.clear();
        let payloads = payloads.into_iter();
        let info = match self.codec {
            CodecKind::Vp8 => vp8::assemble(payloads, out),
            CodecKind::Vp9 => vp9::assemble(payloads, out),
            CodecKind::H264 => h264::assemble(payloads, out),
            CodecKind::H265 => h265::assemble(payloads, out),
            CodecKind::Av1 => av1::assemble(payloads, &mut self.obu, out),
            CodecKind::Opus => assemble_opus(payloads, out),
            CodecKind::Other => None,
        };
        match info {
            Some(_) if out.is_empty() => Err(FrameError::Empty(self.codec)),
            Some(info) => Ok(info),
            None => Err(FrameError::BadPayload(self.codec)),
        }
    }
}

/// RFC 7587 §4.2: an RTP payload is one Opus packet.
fn assemble_opus<'a>(mut payloads: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Option<FrameInfo> {
    let payload = payloads.next()?;
    opus::parse(payload)?;
    out.extend_from_slice(payload);
    payloads.next().is_none().then_some(FrameInfo { key_frame: true, ..FrameInfo::default() })
}
