//! Streams of a session by the RTP parameters of a Producer or a Consumer.

use std::time::Duration;

use rand::Rng;
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtp::ExtensionIds;
use tureen_types::rtp_parameters::{
    MimeType, MimeTypeAudio, MimeTypeVideo, RtcpFeedback, RtpCodecParameters,
    RtpCodecParametersParametersValue, RtpEncodingParameters, RtpParameters,
};

use crate::recv_stream::RecvStreamConfig;
use crate::send_stream::{Rtx, SendStreamConfig};

/// Why RTP parameters give no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// `codecs` has no media codec.
    #[error("rtpParameters.codecs holds no media codec")]
    NoCodec,
    /// `encodings` is empty.
    #[error("rtpParameters.encodings is empty")]
    NoEncoding,
    /// An encoding names a codec that is not there.
    #[error("rtpParameters.encodings names codecPayloadType {0}, which no codec has")]
    UnknownPayloadType(u8),
    /// The encoding to receive has no SSRC.
    #[error("rtpParameters.encodings[0] has no ssrc")]
    NoSsrc,
    /// Frames of the codec can be neither cut nor joined.
    #[error("frames of {0} can't be packetised")]
    UnsupportedCodec(&'static str),
}

/// Packets that an outgoing stream of video buffers: 3 s at 1.5 Mbit/s, and a key frame of 560 KB at most.
const VIDEO_PACKETS: usize = 512;
/// The same of audio: 1.2 s.
const AUDIO_PACKETS: usize = 64;

/// The outgoing streams of a Producer, one for each encoding. Encodings with a RID and without an SSRC get random ones,
/// those of RTX too if there is a codec for them.
///
/// # Errors
/// See [`ParametersError`].
pub fn send_streams(
    parameters: &RtpParameters,
    rng: &mut impl Rng,
) -> Result<Vec<SendStreamConfig>, ParametersError> {
    if parameters.encodings.is_empty() {
        return Err(ParametersError::NoEncoding);
    }
    parameters.encodings.iter().map(|encoding| send_stream(parameters, encoding, rng)).collect()
}

/// The incoming stream of a Consumer, with frames that are held back for `max_frame_delay` at most.
///
/// # Errors
/// See [`ParametersError`].
pub fn recv_stream(
    parameters: &RtpParameters,
    max_frame_delay: Duration,
) -> Result<RecvStreamConfig, ParametersError> {
    let encoding = parameters.encodings.first().ok_or(ParametersError::NoEncoding)?;
    let ssrc = encoding.ssrc.ok_or(ParametersError::NoSsrc)?;
    let codec = codec_of(parameters, encoding)?;
    let rtx_type = rtx_payload_type(parameters, codec.payload_type());
    let rtx = encoding.rtx.zip(rtx_type).map(|(rtx, payload_type)| Rtx { ssrc: rtx.ssrc, payload_type });
    Ok(RecvStreamConfig {
        rtx,
        nack: codec.rtcp_feedback().contains(&RtcpFeedback::Nack),
        codec: codec_kind(codec)?,
        max_frame_delay: Some(max_frame_delay),
        extension_ids: ExtensionIds::new(&parameters.header_extensions),
        ..RecvStreamConfig::new(ssrc, codec.payload_type(), codec.clock_rate().get())
    })
}

fn send_stream(
    parameters: &RtpParameters,
    encoding: &RtpEncodingParameters,
    rng: &mut impl Rng,
) -> Result<SendStreamConfig, ParametersError> {
    let codec = codec_of(parameters, encoding)?;
    let rtx = rtx_payload_type(parameters, codec.payload_type()).and_then(|payload_type| {
        let generated = || encoding.ssrc.is_none().then(|| random_ssrc(rng));
        let ssrc = encoding.rtx.map(|rtx| rtx.ssrc).or_else(generated)?;
        Some(Rtx { ssrc, payload_type })
    });
    let ssrc = encoding.ssrc.unwrap_or_else(|| random_ssrc(rng));
    let is_video = matches!(codec, RtpCodecParameters::Video { .. });
    Ok(SendStreamConfig {
        rtx,
        extension_ids: ExtensionIds::new(&parameters.header_extensions),
        mid: parameters.mid.clone(),
        rid: encoding.rid.clone(),
        buffered_packets: if is_video { VIDEO_PACKETS } else { AUDIO_PACKETS },
        ..SendStreamConfig::new(ssrc, codec.payload_type(), codec.clock_rate().get())
    }
    .with_frames(codec_kind(codec)?))
}

/// The codec of an encoding: the one that it names, else the first media codec.
fn codec_of<'a>(
    parameters: &'a RtpParameters,
    encoding: &RtpEncodingParameters,
) -> Result<&'a RtpCodecParameters, ParametersError> {
    let mut media = parameters.codecs.iter().filter(|codec| !codec.is_rtx());
    match encoding.codec_payload_type {
        Some(payload_type) => media
            .find(|codec| codec.payload_type() == payload_type)
            .ok_or(ParametersError::UnknownPayloadType(payload_type)),
        None => media.next().ok_or(ParametersError::NoCodec),
    }
}

fn rtx_payload_type(parameters: &RtpParameters, payload_type: u8) -> Option<u8> {
    let apt = RtpCodecParametersParametersValue::Number(payload_type.into());
    let mut rtx = parameters.codecs.iter().filter(|codec| codec.is_rtx());
    rtx.find(|codec| codec.parameters().get("apt") == Some(&apt)).map(RtpCodecParameters::payload_type)
}

fn codec_kind(codec: &RtpCodecParameters) -> Result<CodecKind, ParametersError> {
    let mime_type = codec.mime_type();
    Ok(match mime_type {
        MimeType::Audio(MimeTypeAudio::Opus) => CodecKind::Opus,
        MimeType::Video(MimeTypeVideo::Vp8) => CodecKind::Vp8,
        MimeType::Video(MimeTypeVideo::Vp9) => CodecKind::Vp9,
        MimeType::Video(MimeTypeVideo::H264) => CodecKind::H264,
        MimeType::Video(MimeTypeVideo::H265) => CodecKind::H265,
        MimeType::Video(MimeTypeVideo::AV1) => CodecKind::Av1,
        _ => return Err(ParametersError::UnsupportedCodec(mime_type.as_str())),
    })
}

fn random_ssrc(rng: &mut impl Rng) -> u32 {
    rng.random_range(1..=u32::MAX)
}
