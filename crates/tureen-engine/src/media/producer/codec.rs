//! Parameters of a negotiated codec.

use tureen_rtc::units::PayloadType;
use tureen_rtc::wire::codecs::{self, CodecKind};
use tureen_types::rtp_parameters::{
    MediaKind, MimeType, MimeTypeAudio, MimeTypeVideo, RtcpFeedback, RtpCodecParameters,
    RtpCodecParametersParametersValue, RtpEncodingParameters, RtpParameters,
};

/// Media codec of one RTP stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamCodec {
    pub(crate) payload_type: PayloadType,
    /// Payload type of the RTX stream.
    pub(crate) rtx_payload_type: Option<PayloadType>,
    pub(crate) mime_type: MimeType,
    /// Payload format.
    pub(crate) kind: CodecKind,
    /// Clock rate in Hz.
    pub(crate) clock_rate: u32,
    /// True if lost packets are requested by NACK.
    pub(crate) nack: bool,
    /// True if key frames are requested by PLI.
    pub(crate) pli: bool,
    /// True if key frames are requested by FIR.
    pub(crate) fir: bool,
    /// True with in-band forward error correction (Opus).
    pub(crate) in_band_fec: bool,
    /// True with discontinuous transmission (Opus).
    pub(crate) dtx: bool,
}

impl StreamCodec {
    /// Media codec of an encoding: the one of its payload type, otherwise the first.
    pub(crate) fn of_encoding(
        parameters: &RtpParameters,
        encoding: Option<&RtpEncodingParameters>,
    ) -> Option<Self> {
        let named = encoding.and_then(|e| e.codec_payload_type);
        let media = || parameters.codecs.iter().filter(|c| !is_rtx(&c.mime_type()));
        let codec = match named {
            Some(payload_type) => media().find(|c| c.payload_type() == payload_type),
            None => media().next(),
        }?;
        Some(Self::new(parameters, codec))
    }

    fn new(parameters: &RtpParameters, codec: &RtpCodecParameters) -> Self {
        let mime_type = codec.mime_type();
        let payload_type = codec.payload_type();
        let feedback = codec.rtcp_feedback();
        let flag = |name: &str| {
            codec.parameters().iter().any(|(key, value)| {
                key == name && matches!(value, RtpCodecParametersParametersValue::Number(1))
            })
        };
        Self {
            payload_type: PayloadType(payload_type),
            rtx_payload_type: rtx_of(parameters, payload_type).map(PayloadType),
            mime_type,
            kind: codec_kind(&mime_type),
            clock_rate: codec.clock_rate().get(),
            nack: feedback.contains(&RtcpFeedback::Nack),
            pli: feedback.contains(&RtcpFeedback::NackPli),
            fir: feedback.contains(&RtcpFeedback::CcmFir),
            in_band_fec: flag("useinbandfec"),
            dtx: flag("usedtx"),
        }
    }

    /// True if streams of the codec can have layers or several simulcast encodings.
    pub(crate) fn has_layers(&self) -> bool {
        codecs::can_be_key_frame(self.kind)
    }

    /// True if key frames can be requested.
    pub(crate) fn has_key_frames(&self) -> bool {
        mime_kind(&self.mime_type) == MediaKind::Video
    }
}

/// True for RTX (RFC 4588).
pub(crate) fn is_rtx(mime_type: &MimeType) -> bool {
    matches!(mime_type, MimeType::Audio(MimeTypeAudio::Rtx) | MimeType::Video(MimeTypeVideo::Rtx))
}

/// Media payload type of an RTX payload type (RFC 4588 `apt`).
pub(crate) fn apt_of(parameters: &RtpParameters, rtx_payload_type: PayloadType) -> Option<PayloadType> {
    let codec = parameters
        .codecs
        .iter()
        .find(|c| c.payload_type() == rtx_payload_type.0 && is_rtx(&c.mime_type()))?;
    apt(codec).map(PayloadType)
}

fn rtx_of(parameters: &RtpParameters, payload_type: u8) -> Option<u8> {
    let codec = parameters.codecs.iter().find(|c| is_rtx(&c.mime_type()) && apt(c) == Some(payload_type))?;
    Some(codec.payload_type())
}

fn apt(codec: &RtpCodecParameters) -> Option<u8> {
    codec.parameters().iter().find_map(|(key, value)| match value {
        RtpCodecParametersParametersValue::Number(n) if key == "apt" => u8::try_from(*n).ok(),
        _ => None,
    })
}

fn mime_kind(mime_type: &MimeType) -> MediaKind {
    match mime_type {
        MimeType::Audio(_) => MediaKind::Audio,
        MimeType::Video(_) => MediaKind::Video,
    }
}

/// Payload format of a payload type.
pub(crate) fn codec_kind_of(parameters: &RtpParameters, payload_type: PayloadType) -> CodecKind {
    let codec = parameters.codecs.iter().find(|c| c.payload_type() == payload_type.0);
    codec.map_or(CodecKind::Other, |codec| codec_kind(&codec.mime_type()))
}

fn codec_kind(mime_type: &MimeType) -> CodecKind {
    match mime_type {
        MimeType::Video(MimeTypeVideo::Vp8) => CodecKind::Vp8,
        MimeType::Video(MimeTypeVideo::Vp9) => CodecKind::Vp9,
        MimeType::Video(MimeTypeVideo::H264) => CodecKind::H264,
        MimeType::Video(MimeTypeVideo::H265) => CodecKind::H265,
        MimeType::Video(MimeTypeVideo::AV1) => CodecKind::Av1,
        MimeType::Audio(MimeTypeAudio::Opus | MimeTypeAudio::MultiChannelOpus) => CodecKind::Opus,
        MimeType::Audio(_) | MimeType::Video(_) => CodecKind::Other,
    }
}
