use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use super::MediaKind;
use crate::named_enum::named_enum;

named_enum! {
    /// RTP header extensions that the SFU knows.
    pub enum RtpHeaderExtensionUri {
        /// Id of the SDP media section a packet belongs to (RFC 8843).
        Mid = "urn:ietf:params:rtp-hdrext:sdes:mid",
        /// RTP stream id, which names an encoding of a simulcast (RFC 8852).
        RtpStreamId = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        /// RTP stream id of the stream that an RTX stream repairs (RFC 8852).
        RepairRtpStreamId = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        /// Absolute send time, for REMB.
        AbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        /// Transport-wide sequence number.
        TransportWideCcDraft01 = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        /// Audio level from the client (RFC 6464).
        SsrcAudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        /// Dependency descriptor: layers and references of a frame.
        DependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        /// Coordination of video orientation (3GPP TS 26.114).
        VideoOrientation = "urn:3gpp:video-orientation",
        /// Offset of the sending time from the timestamp (RFC 5450).
        TimeOffset = "urn:ietf:params:rtp-hdrext:toffset",
        /// Absolute capture time.
        AbsCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        /// Bounds of the receiver's playout delay.
        PlayoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        /// A packet's id on the way between SFUs.
        MediasoupPacketId = "urn:mediasoup:params:rtp-hdrext:packet-id",
    }
}

/// Why a string is not a [`RtpHeaderExtensionUri`].
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtpHeaderExtensionUriParseError {
    /// An extension without a variant here.
    #[error("Unsupported RTP header extension URI: {0}")]
    Unsupported(String),
}

/// Which way a header extension may go, as seen from the SFU.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum RtpHeaderExtensionDirection {
    /// It is read from producers and written to consumers.
    #[default]
    SendRecv,
    /// It is written to consumers only.
    SendOnly,
    /// It is read from producers only.
    RecvOnly,
    /// It is neither read nor written.
    Inactive,
}

/// A header extension among RTP capabilities.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpHeaderExtension {
    /// Media kind it applies to.
    pub kind: MediaKind,
    /// Which extension.
    pub uri: RtpHeaderExtensionUri,
    /// Preferred id in the packet (RFC 8285), unique among the extensions of one kind.
    pub preferred_id: u16,
    /// Whether the value should be encrypted (RFC 6904), which the SFU does not do.
    #[serde(default)]
    pub preferred_encrypt: bool,
    /// Which way it may go. Only meaningful in a router's capabilities.
    #[serde(default)]
    pub direction: RtpHeaderExtensionDirection,
}

/// A header extension in use.
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
pub struct RtpHeaderExtensionParameters {
    /// Which extension.
    pub uri: RtpHeaderExtensionUri,
    /// Its id in the packet (RFC 8285), unique in the RTP parameters.
    pub id: u16,
    /// Whether the value is encrypted (RFC 6904), which the SFU does not do.
    #[serde(default)]
    pub encrypt: bool,
}

impl RtpHeaderExtensionUri {
    /// The URI.
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
