//! Splitting of frames into RTP payloads.

use tureen_rtc::wire::codecs::{CodecKind, opus};
use tureen_rtc::wire::rtp::extension::AudioLevel;

use super::{FrameError, FrameInfo, av1, h264, h265, vp8, vp9};

/// Default of the maximum payload size, in bytes. With headers, extensions, SRTP tag and the sequence number of a
/// retransmission the datagram stays within 1200 bytes, as in browsers.
pub const DEFAULT_MAX_PAYLOAD: usize = 1100;
/// Smallest maximum payload size, in bytes. It has room for the largest descriptor and a part of the frame.
pub const MIN_MAX_PAYLOAD: usize = 32;
/// The largest one: no datagram is longer, and lengths in aggregation packets have 16 bits.
const MAX_MAX_PAYLOAD: usize = u16::MAX as usize;

/// Frame to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutgoingFrame<'a> {
    /// Encoded frame, in the format that [`frames`](super) states for its codec. The key frame flag is read from it.
    pub data: &'a [u8],
    /// RTP timestamp: capture time in units of the stream's clock rate, with an arbitrary offset.
    pub timestamp: u32,
    /// Temporal layer, 0–3 for VP8 and 0–7 for VP9. A stream has it in all frames or in none. Frames of H265 and AV1
    /// contain their temporal layer, H264 does not signal it.
    pub temporal_layer: Option<u8>,
    /// True if a frame of a temporal layer above 0 depends on the base layer only (VP8's Y bit).
    pub layer_sync: bool,
    /// Spatial layer of a VP9 layer frame, 0–7. Layer frames of one picture have the same timestamp and are sent in
    /// ascending order.
    pub spatial_layer: Option<u8>,
    /// True if further layer frames of the same picture follow.
    pub more_layers: bool,
    /// Audio level (RFC 6464), sent if the extension was negotiated.
    pub audio_level: Option<AudioLevel>,
}

impl<'a> OutgoingFrame<'a> {
    /// Creates a frame of a stream without layers.
    pub fn new(data: &'a [u8], timestamp: u32) -> Self {
        Self { data, timestamp, ..Self::default() }
    }
}

/// Payloads of one frame. Reusing the value for the next frame saves an allocation.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    more_layers: bool,
}

impl Payloads {
    /// Number of packets of the frame.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are no payloads.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Iterates over the payloads in order, each with its packet's marker bit.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let last = self.ends.len().saturating_sub(1);
        starts
            .zip(&self.ends)
            .enumerate()
            .map(move |(at, (start, &end))| (&self.bytes[start..end], at == last && !self.more_layers))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.more_layers = false;
    }

    /// Buffer to which the current payload is appended.
    pub(super) fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the current payload.
    pub(super) fn close(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// Splits the frames of one stream into payloads.
#[derive(Clone, Debug)]
pub struct Packetizer {
    max_payload: usize,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Vp8(vp8::Numbers),
    Vp9(vp9::Numbers),
    H264,
    H265,
    Av1,
    Opus,
}

impl Packetizer {
    /// Of a codec. `max_payload` is the longest payload in bytes, from [`MIN_MAX_PAYLOAD`] to 65535; others are taken for the
    /// nearest. Opus packets are never cut.
    ///
    /// `first_picture_id` is the picture id of the first frame of VP8 and VP9, 15 bits. It should be random, so that a
    /// receiver can distinguish the streams of successive sources (RFC 7741 §4.2).
    ///
    /// # Errors
    /// [`FrameError::UnsupportedCodec`] for [`CodecKind::Other`].
    pub fn new(codec: CodecKind, max_payload: usize, first_picture_id: u16) -> Result<Self, FrameError> {
        let state = match codec {
            CodecKind::Vp8 => State::Vp8(vp8::Numbers::new(first_picture_id)),
            CodecKind::Vp9 => State::Vp9(vp9::Numbers::new(first_picture_id)),
            CodecKind::H264 => State::H264,
            CodecKind::H265 => State::H265,
            CodecKind::Av1 => State::Av1,
            CodecKind::Opus => State::Opus,
            CodecKind::Other => return Err(FrameError::UnsupportedCodec(codec)),
        };
        Ok(Self { max_payload: max_payload.clamp(MIN_MAX_PAYLOAD, MAX_MAX_PAYLOAD), state })
    }

    /// Replaces `out` by the payloads of a frame and returns the frame's properties.
    ///
    /// # Errors
    /// [`FrameError::Empty`] or [`FrameError::BadFrame`]. The stream can continue with the next frame.
    pub fn packetize(
        &mut self,
        frame: &OutgoingFrame<'_>,
        out: &mut Payloads,
    ) -> Result<FrameInfo, FrameError> {
        out.clear();
        let max = self.max_payload;
        let result = match &mut self.state {
            State::Vp8(numbers) => vp8::packetize(numbers, frame, max, out),
            State::Vp9(numbers) => vp9::packetize(numbers, frame, max, out),
            State::H264 => h264::packetize(frame.data, max, out),
            State::H265 => h265::packetize(frame.data, max, out),
            State::Av1 => av1::packetize(frame.data, max, out),
            State::Opus => packetize_opus(frame.data, out),
        };
        if result.is_err() {
            out.clear();
        }
        out.more_layers =
            matches!(self.state, State::Vp9(_)) && frame.spatial_layer.is_some() && frame.more_layers;
        result
    }
}

fn packetize_opus(data: &[u8], out: &mut Payloads) -> Result<FrameInfo, FrameError> {
    let codec = CodecKind::Opus;
    if data.is_empty() {
        return Err(FrameError::Empty(codec));
    }
    opus::parse(data).ok_or(FrameError::BadFrame { codec, what: "shorter than its TOC byte says" })?;
    out.open().extend_from_slice(data);
    out.close();
    Ok(FrameInfo { key_frame: true, ..FrameInfo::default() })
}

/// Splits `len` bytes into pieces of nearly equal size, each at most `max` bytes. A small last packet would cost as
/// much as a full one.
pub(super) fn shares(len: usize, max: usize) -> impl Iterator<Item = usize> {
    let pieces = len.div_ceil(max).max(1);
    let (share, larger) = (len / pieces, len % pieces);
    (0..pieces).map(move |at| share + usize::from(at < larger))
}
