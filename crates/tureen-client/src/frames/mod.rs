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

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// A decoder can begin with it. True for each frame of audio.
    ///
    /// H264: there is an IDR slice, or a sequence parameter set with supplemental information (a recovery point) before
    /// other slices. H265: there is an intra random access picture. AV1: there is a sequence header, and the first frame is a
    /// key frame that is shown.
    pub key_frame: bool,
    /// The highest spatial layer in it; 0 in streams without.
    pub spatial_layer: u8,
    /// Its temporal layer; 0 in streams without. H264 does not tell it.
    pub temporal_layer: u8,
    /// Running index of base layer frames, where the stream has one (VP8, VP9).
    pub tl0_pic_idx: Option<u8>,
    /// VP8: the frame depends on the base layer alone (Y). VP9: later frames of higher temporal layers depend on none that
    /// is older than this one (U).
    pub layer_switch: bool,
}

/// Why a frame can't be cut, or payloads make no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The payload format of the codec is not known.
    #[error("frames of {0:?} can't be packetised")]
    UnsupportedCodec(CodecKind),
    /// The frame has no bytes, or nothing that is sent.
    #[error("the {0:?} frame is empty")]
    Empty(CodecKind),
    /// The frame to send is not what [`frames`](self) says of its codec.
    #[error("the {codec:?} frame is malformed: {what}")]
    BadFrame {
        /// Its codec.
        codec: CodecKind,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A payload does not hold to the codec's payload format, or does not fit behind the one before.
    #[error("the {0:?} payloads make no frame")]
    BadPayload(CodecKind),
}

/// Whether a packet is the first of its frame, by its payload alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is.
    Yes,
    /// It is if the packet before it belongs to another frame.
    Maybe,
    /// It is not.
    No,
}

/// Whether a packet with this payload starts a frame. `None` if it is malformed.
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

/// Joins payloads to frames. One can serve any number of streams of its codec, one frame after the other.
#[derive(Debug)]
pub struct FrameAssembler {
    codec: CodecKind,
    /// An OBU whose length is not known yet.
    obu: Vec<u8>,
}

impl FrameAssembler {
    /// Of a codec.
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

    /// Replaces `out` by the frame that the payloads make: all of the packets of one RTP timestamp, in order of their
    /// sequence numbers, without padding. `out` is no longer than the payloads together, four bytes more for each NAL unit
    /// and eight more for each OBU.
    ///
    /// # Errors
    /// [`FrameError::BadPayload`] or [`FrameError::Empty`]; what `out` holds then is of no use.
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
