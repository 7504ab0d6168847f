//! RTP parameters of producers and consumers, RTP capabilities of routers and endpoints.

mod capabilities;
mod codec;
mod header_extension;
mod mime_type;
mod rtcp_feedback;

use serde::{Deserialize, Serialize};

pub use self::capabilities::{
    RtpCapabilities, RtpCapabilitiesFinalized, RtpCodecCapability, RtpCodecCapabilityFinalized,
    leave_out_unknown,
};
#[doc(hidden)]
pub use self::codec::OtherParameterValue;
pub use self::codec::{RtpCodecParameters, RtpCodecParametersParameters, RtpCodecParametersParametersValue};
pub use self::header_extension::{
    RtpHeaderExtension, RtpHeaderExtensionDirection, RtpHeaderExtensionParameters, RtpHeaderExtensionUri,
    RtpHeaderExtensionUriParseError,
};
pub use self::mime_type::{MediaKind, MimeType, MimeTypeAudio, MimeTypeVideo, ParseMimeTypeError};
pub use self::rtcp_feedback::{RtcpFeedback, RtcpFeedbackFromTypeParameterError};
use super::scalability_modes::ScalabilityMode;

/// One media source as sent by an endpoint to a producer, or by a consumer to an endpoint.
///
/// A producer may have several encodings (simulcast), each with an `ssrc` or a `rid`. A consumer has exactly one
/// encoding with SSRCs chosen by the SFU, independent of its producer; only a consumer of a pipe transport keeps all
/// encodings.
#[derive(Debug, Default, Clone, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpParameters {
    /// Id of the SDP media section, sent in the MID header extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Media and RTX codecs.
    pub codecs: Vec<RtpCodecParameters>,
    /// Header extensions.
    #[serde(default)]
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// RTP streams.
    #[serde(default)]
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP settings.
    #[serde(default)]
    pub rtcp: RtcpParameters,
    /// MediaStream and track id (RFC 8830).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msid: Option<String>,
}

/// A media RTP stream and its RTX stream.
#[derive(Debug, Default, Clone, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpEncodingParameters {
    /// SSRC of the media stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// RTP stream id (RFC 8852), unique among the encodings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Payload type of its codec; if not given, that of the first media codec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec_payload_type: Option<u8>,
    /// RTX stream of the encoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtx: Option<RtpEncodingParametersRtx>,
    /// True if the sender stops sending when there is nothing to send (silence, a still screen), so that inactivity is
    /// not a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtx: Option<bool>,
    /// Spatial and temporal layers.
    #[serde(default, skip_serializing_if = "ScalabilityMode::is_none")]
    pub scalability_mode: ScalabilityMode,
    /// Maximum bitrate in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u64>,
}

/// The RTX stream of an encoding.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
pub struct RtpEncodingParametersRtx {
    /// SSRC of the RTX stream.
    pub ssrc: u32,
}

/// RTCP settings of RTP parameters.
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RtcpParameters {
    /// Canonical name in RTCP SDES (RFC 3550 §6.5.1). A producer without one gets a random one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// True if RTCP may be of reduced size (RFC 5506), which the SFU always assumes.
    pub reduced_size: bool,
}

impl Default for RtcpParameters {
    fn default() -> Self {
        Self { cname: None, reduced_size: true }
    }
}
