//! Cuts frames into RTP payloads.

use tureen_rtc::wire::codecs::{CodecKind, opus};
use tureen_rtc::wire::rtp::extension::AudioLevel;

use super::{FrameError, FrameInfo, av1, h264, h265, vp8, vp9};

/// Payload size of frames unless another one is asked for, in bytes: it leaves room in a datagram of 1200 bytes, which
/// browsers send too, for headers, extensions, SRTP and a retransmission's sequence number.
pub const DEFAULT_MAX_PAYLOAD: usize = 1100;
/// The smallest payload size that can be asked for, in bytes: it holds the largest descriptor and some of the frame.
pub const MIN_MAX_PAYLOAD: usize = 32;
/// The largest one: no datagram is longer, and lengths in aggregation packets have 16 bits.
const MAX_MAX_PAYLOAD: usize = u16::MAX as usize;

/// A frame to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutgoingFrame<'a> {
    /// Its bytes, as [`frames`](super) says of its codec. Whether it is a key frame is read from them.
    pub data: &'a [u8],
    /// RTP timestamp: the capture time in units of the stream's clock rate, with any offset.
    pub timestamp: u32,
    /// Its temporal layer, 0–3 for VP8 and 0–7 for VP9; the same for all frames or for none of a stream. H265 and AV1 say it
    /// in their bytes, H264 nowhere.
    pub temporal_layer: Option<u8>,
    /// With a temporal layer above 0: the frame depends on the base layer alone (VP8's Y bit).
    pub layer_sync: bool,
    /// VP9 with spatial layers: the layer of this layer frame, 0–7. Layer frames of a picture have the same timestamp and
    /// come lowest first.
    pub spatial_layer: Option<u8>,
    /// With a spatial layer: more layer frames of the picture follow.
    pub more_layers: bool,
    /// Loudness of audio, sent if the extension was negotiated (RFC 6464).
    pub audio_level: Option<AudioLevel>,
}

impl<'a> OutgoingFrame<'a> {
    /// A frame of a stream without layers.
    pub fn new(data: &'a [u8], timestamp: u32) -> Self {
        Self { data, timestamp, ..Self::default() }
    }
}

/// The payloads of one frame. Keep it for the next frame: its buffer is used again.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    more_layers: bool,
}

impl Payloads {
    /// How many packets the frame takes.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each payload in order, and whether its packet bears the marker bit.
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

    /// Where the payload that is being written is appended to.
    pub(super) fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the payload that is being written.
    pub(super) fn close(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// Cuts the frames of one stream into payloads.
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
    /// `first_picture_id` is that of the first frame of VP8 and VP9, 15 bits; random, so that two streams behind one another
    /// can be told apart (RFC 7741 §4.2).
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

    /// Replaces `out` by the payloads of a frame and says whether it is a key frame.
    ///
    /// # Errors
    /// [`FrameError::Empty`] or [`FrameError::BadFrame`]. The stream can go on with the next frame.
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

/// Sizes of the pieces of `len` bytes, each at most `max` and nearly equal, so that the last packet is as likely to be lost
/// as the others and no longer than they are.
pub(super) fn shares(len: usize, max: usize) -> impl Iterator<Item = usize> {
    let pieces = len.div_ceil(max).max(1);
    let (share, larger) = (len / pieces, len % pieces);
    (0..pieces).map(move |at| share + usize::from(at < larger))
}
