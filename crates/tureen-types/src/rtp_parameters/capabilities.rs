use std::num::{NonZeroU8, NonZeroU32};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::codec::one_channel;
use super::{
    MimeType, MimeTypeAudio, MimeTypeVideo, RtcpFeedback, RtpCodecParametersParameters, RtpHeaderExtension,
    RtpHeaderExtensionUri,
};

/// Capabilities of an endpoint for receiving.
#[derive(Debug, Default, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCapabilities {
    /// Media and RTX codecs.
    #[serde(default)]
    pub codecs: Vec<RtpCodecCapability>,
    /// Header extensions.
    #[serde(default)]
    pub header_extensions: Vec<RtpHeaderExtension>,
}

/// Capabilities of a router for receiving and sending; each codec has its payload type.
#[derive(Debug, Default, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCapabilitiesFinalized {
    /// Media and RTX codecs.
    pub codecs: Vec<RtpCodecCapabilityFinalized>,
    /// Header extensions.
    pub header_extensions: Vec<RtpHeaderExtension>,
}

/// A codec in an endpoint's capabilities or in a router's configured media codecs.
///
/// There is one entry for each set of parameters that needs a payload type of its own, such as each pair of
/// `profile-level-id` and `packetization-mode` of H264 and each `profile-id` of VP9.
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RtpCodecCapability {
    /// An audio codec.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// MIME type of the codec.
        mime_type: MimeTypeAudio,
        /// Preferred RTP payload type; if not given, the router chooses one.
        #[serde(skip_serializing_if = "Option::is_none")]
        preferred_payload_type: Option<u8>,
        /// Clock rate in Hertz.
        clock_rate: NonZeroU32,
        /// Number of channels, 1 if not given.
        #[serde(default = "one_channel")]
        channels: NonZeroU8,
        /// Format parameters.
        #[serde(default)]
        parameters: RtpCodecParametersParameters,
        /// RTCP feedback.
        #[serde(default)]
        rtcp_feedback: Vec<RtcpFeedback>,
    },
    /// A video codec.
    #[serde(rename_all = "camelCase")]
    Video {
        /// MIME type of the codec.
        mime_type: MimeTypeVideo,
        /// Preferred RTP payload type; if not given, the router chooses one.
        #[serde(skip_serializing_if = "Option::is_none")]
        preferred_payload_type: Option<u8>,
        /// Clock rate in Hertz.
        clock_rate: NonZeroU32,
        /// Format parameters.
        #[serde(default)]
        parameters: RtpCodecParametersParameters,
        /// RTCP feedback.
        #[serde(default)]
        rtcp_feedback: Vec<RtcpFeedback>,
    },
}

/// A codec in a router's capabilities: a [`RtpCodecCapability`] that always has a payload type.
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RtpCodecCapabilityFinalized {
    /// An audio codec.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// MIME type of the codec.
        mime_type: MimeTypeAudio,
        /// RTP payload type.
        preferred_payload_type: u8,
        /// Clock rate in Hertz.
        clock_rate: NonZeroU32,
        /// Number of channels, 1 if not given.
        #[serde(default = "one_channel")]
        channels: NonZeroU8,
        /// Format parameters.
        #[serde(default)]
        parameters: RtpCodecParametersParameters,
        /// RTCP feedback.
        #[serde(default)]
        rtcp_feedback: Vec<RtcpFeedback>,
    },
    /// A video codec.
    #[serde(rename_all = "camelCase")]
    Video {
        /// MIME type of the codec.
        mime_type: MimeTypeVideo,
        /// RTP payload type.
        preferred_payload_type: u8,
        /// Clock rate in Hertz.
        clock_rate: NonZeroU32,
        /// Format parameters.
        #[serde(default)]
        parameters: RtpCodecParametersParameters,
        /// RTCP feedback.
        #[serde(default)]
        rtcp_feedback: Vec<RtcpFeedback>,
    },
}

impl RtpCodecCapability {
    /// True if this is the RTX "codec" of another codec.
    pub fn is_rtx(&self) -> bool {
        matches!(
            self,
            Self::Audio { mime_type: MimeTypeAudio::Rtx, .. }
                | Self::Video { mime_type: MimeTypeVideo::Rtx, .. }
        )
    }

    /// MIME type of the codec.
    pub fn mime_type(&self) -> MimeType {
        match self {
            Self::Audio { mime_type, .. } => MimeType::Audio(*mime_type),
            Self::Video { mime_type, .. } => MimeType::Video(*mime_type),
        }
    }

    /// Format parameters.
    pub fn parameters(&self) -> &RtpCodecParametersParameters {
        let (Self::Audio { parameters, .. } | Self::Video { parameters, .. }) = self;
        parameters
    }

    /// Mutable format parameters.
    pub fn parameters_mut(&mut self) -> &mut RtpCodecParametersParameters {
        let (Self::Audio { parameters, .. } | Self::Video { parameters, .. }) = self;
        parameters
    }

    /// Preferred RTP payload type.
    pub fn preferred_payload_type(&self) -> Option<u8> {
        let (Self::Audio { preferred_payload_type, .. } | Self::Video { preferred_payload_type, .. }) = self;
        *preferred_payload_type
    }

    /// RTCP feedback.
    pub fn rtcp_feedback(&self) -> &Vec<RtcpFeedback> {
        let (Self::Audio { rtcp_feedback, .. } | Self::Video { rtcp_feedback, .. }) = self;
        rtcp_feedback
    }
}

impl RtpCodecCapabilityFinalized {
    /// True if this is the RTX "codec" of another codec.
    pub fn is_rtx(&self) -> bool {
        matches!(
            self,
            Self::Audio { mime_type: MimeTypeAudio::Rtx, .. }
                | Self::Video { mime_type: MimeTypeVideo::Rtx, .. }
        )
    }

    /// Clock rate in Hertz.
    pub fn clock_rate(&self) -> NonZeroU32 {
        let (Self::Audio { clock_rate, .. } | Self::Video { clock_rate, .. }) = self;
        *clock_rate
    }

    /// Format parameters.
    pub fn parameters(&self) -> &RtpCodecParametersParameters {
        let (Self::Audio { parameters, .. } | Self::Video { parameters, .. }) = self;
        parameters
    }

    /// Mutable format parameters.
    pub fn parameters_mut(&mut self) -> &mut RtpCodecParametersParameters {
        let (Self::Audio { parameters, .. } | Self::Video { parameters, .. }) = self;
        parameters
    }

    /// RTP payload type.
    pub fn preferred_payload_type(&self) -> u8 {
        let (Self::Audio { preferred_payload_type, .. } | Self::Video { preferred_payload_type, .. }) = self;
        *preferred_payload_type
    }

    /// RTCP feedback.
    pub fn rtcp_feedback(&self) -> &[RtcpFeedback] {
        let (Self::Audio { rtcp_feedback, .. } | Self::Video { rtcp_feedback, .. }) = self;
        rtcp_feedback
    }
}

impl From<RtpCapabilitiesFinalized> for RtpCapabilities {
    fn from(finalized: RtpCapabilitiesFinalized) -> Self {
        let RtpCapabilitiesFinalized { codecs, header_extensions } = finalized;
        Self { codecs: codecs.into_iter().map(RtpCodecCapability::from).collect(), header_extensions }
    }
}

impl From<RtpCodecCapabilityFinalized> for RtpCodecCapability {
    fn from(finalized: RtpCodecCapabilityFinalized) -> Self {
        match finalized {
            RtpCodecCapabilityFinalized::Audio {
                mime_type,
                preferred_payload_type,
                clock_rate,
                channels,
                parameters,
                rtcp_feedback,
            } => Self::Audio {
                mime_type,
                preferred_payload_type: Some(preferred_payload_type),
                clock_rate,
                channels,
                parameters,
                rtcp_feedback,
            },
            RtpCodecCapabilityFinalized::Video {
                mime_type,
                preferred_payload_type,
                clock_rate,
                parameters,
                rtcp_feedback,
            } => Self::Video {
                mime_type,
                preferred_payload_type: Some(preferred_payload_type),
                clock_rate,
                parameters,
                rtcp_feedback,
            },
        }
    }
}

/// Removes codecs and header extensions with unknown names from the JSON of capabilities, which other endpoints list. The
/// kind of a codec is taken from its MIME type; an extension without a kind is one of audio, because in a client's
/// capabilities the kind does not matter.
///
/// What is malformed is left as it is, so that reading the JSON names the fault.
pub fn leave_out_unknown(capabilities: &mut Value) {
    if let Some(Value::Array(codecs)) = capabilities.get_mut("codecs") {
        codecs.retain_mut(|codec| {
            let Some(mime_type) = codec.get("mimeType").and_then(Value::as_str) else { return true };
            let (kind, subtype) = mime_type.split_once('/').unwrap_or_default();
            let kind = kind.to_ascii_lowercase();
            let is_media = (kind == "audio" || kind == "video") && !subtype.is_empty();
            let is_known = mime_type.parse::<MimeType>().is_ok();
            if is_media && let Some(codec) = codec.as_object_mut() {
                codec.insert("kind".to_owned(), kind.into());
            }
            // What is no MIME type of media at all is an error.
            is_known || !is_media
        });
    }
    if let Some(Value::Array(extensions)) = capabilities.get_mut("headerExtensions") {
        extensions.retain_mut(|extension| {
            let Some(uri) = extension.get("uri").and_then(Value::as_str) else { return true };
            let is_known = uri.parse::<RtpHeaderExtensionUri>().is_ok();
            if let Some(extension) = extension.as_object_mut()
                && extension.get("kind").is_none_or(|kind| kind == "")
            {
                extension.insert("kind".to_owned(), "audio".into());
            }
            is_known
        });
    }
}
