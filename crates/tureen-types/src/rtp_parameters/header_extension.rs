use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use super::MediaKind;
use crate::named_enum::named_enum;

named_enum! {
    /// RTP header extensions that the SFU supports.
    pub enum RtpHeaderExtensionUri {
        /// Id of the SDP media section of the packet (RFC 8843).
        Mid = "urn:ietf:params:rtp-hdrext:sdes:mid",
        /// RTP stream id, which identifies an encoding of a simulcast (RFC 8852).
        RtpStreamId = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        /// RTP stream id of the stream that an RTX stream retransmits (RFC 8852).
        RepairRtpStreamId = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        /// Absolute send time, used for REMB.
        AbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        /// Transport-wide sequence number.
        TransportWideCcDraft01 = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        /// Audio level measured by the client (RFC 6464).
        SsrcAudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        /// Dependency descriptor: layers and references of a frame.
        DependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        /// Coordination of video orientation (3GPP TS 26.114).
        VideoOrientation = "urn:3gpp:video-orientation",
        /// Offset of the transmission time from the timestamp (RFC 5450).
        TimeOffset = "urn:ietf:params:rtp-hdrext:toffset",
        /// Absolute capture time.
        AbsCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        /// Bounds of the receiver's playout delay.
        PlayoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        /// Id of a packet between SFUs.
        MediasoupPacketId = "urn:mediasoup:params:rtp-hdrext:packet-id",
    }
}

/// Error of parsing a [`RtpHeaderExtensionUri`].
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtpHeaderExtensionUriParseError {
    /// The extension is not supported.
    #[error("Unsupported RTP header extension URI: {0}")]
    Unsupported(String),
}

/// Direction of a header extension as seen from the SFU.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum RtpHeaderExtensionDirection {
    /// The extension is read from producers and written to consumers.
    #[default]
    SendRecv,
    /// The extension is written to consumers only.
    SendOnly,
    /// The extension is read from producers only.
    RecvOnly,
    /// The extension is neither read nor written.
    Inactive,
}

/// A header extension in RTP capabilities.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpHeaderExtension {
    /// Media kind to which the extension applies.
    pub kind: MediaKind,
    /// URI of the extension.
    pub uri: RtpHeaderExtensionUri,
    /// Preferred id in the packet (RFC 8285), unique among the extensions of one kind.
    pub preferred_id: u16,
    /// True if the value should be encrypted (RFC 6904), which the SFU does not support.
    #[serde(default)]
    pub preferred_encrypt: bool,
    /// Direction of the extension. Only meaningful in a router's capabilities.
    #[serde(default)]
    pub direction: RtpHeaderExtensionDirection,
}

/// A header extension in use.
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
pub struct RtpHeaderExtensionParameters {
    /// URI of the extension.
    pub uri: RtpHeaderExtensionUri,
    /// Id of the extension in the packet (RFC 8285), unique in the RTP parameters.
    pub id: u16,
    /// True if the value is encrypted (RFC 6904), which the SFU does not support.
    #[serde(default)]
    pub encrypt: bool,
}

impl RtpHeaderExtensionUri {
    /// URI of the extension.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.name()
    }
}

impl FromStr for RtpHeaderExtensionUri {
    type Err = RtpHeaderExtensionUriParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|uri| uri.as_str() == text)
            .copied()
            .ok_or_else(|| RtpHeaderExtensionUriParseError::Unsupported(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for RtpHeaderExtensionUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uri_survives_a_round_trip() {
        for uri in RtpHeaderExtensionUri::ALL {
            assert_eq!(uri.as_str().parse(), Ok(*uri));
        }
    }

    #[test]
    fn unknown_uris_are_refused_by_name() {
        let unknown = "urn:ietf:params:rtp-hdrext:encrypt";
        assert_eq!(
            unknown.parse::<RtpHeaderExtensionUri>(),
            Err(RtpHeaderExtensionUriParseError::Unsupported(unknown.to_owned()))
        );
        assert!(serde_json::from_str::<RtpHeaderExtensionUri>(&format!("\"{unknown}\"")).is_err());
    }
}
