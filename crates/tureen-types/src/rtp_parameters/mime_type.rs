use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::named_enum::named_enum;

/// Audio or video.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

/// Media type of a codec, audio or video.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(untagged)]
pub enum MimeType {
    /// An audio codec.
    Audio(MimeTypeAudio),
    /// A video codec.
    Video(MimeTypeVideo),
}

named_enum! {
    /// Media types of audio codecs.
    pub enum MimeTypeAudio {
        /// Opus, mono or stereo (RFC 7587).
        Opus = "audio/opus",
        /// Opus with more than two channels, as Chromium signals surround sound.
        MultiChannelOpus = "audio/multiopus",
        /// G.711 µ-law.
        Pcmu = "audio/PCMU",
        /// G.711 A-law.
        Pcma = "audio/PCMA",
        /// Internet speech audio codec.
        Isac = "audio/ISAC",
        /// G.722.
        G722 = "audio/G722",
        /// Internet low bit rate codec (RFC 3952).
        Ilbc = "audio/iLBC",
        /// SILK.
        Silk = "audio/SILK",
        /// Comfort noise (RFC 3389).
        Cn = "audio/CN",
        /// DTMF and other telephony events (RFC 4733).
        TelephoneEvent = "audio/telephone-event",
        /// Retransmissions (RFC 4588).
        Rtx = "audio/rtx",
        /// Redundant audio (RFC 2198).
        Red = "audio/red",
    }
}

named_enum! {
    /// Media types of video codecs.
    pub enum MimeTypeVideo {
        /// VP8 (RFC 7741).
        Vp8 = "video/VP8",
        /// VP9 (RFC 9628).
        Vp9 = "video/VP9",
        /// H.264 (RFC 6184).
        H264 = "video/H264",
        /// AV1.
        AV1 = "video/AV1",
        /// Retransmissions (RFC 4588).
        Rtx = "video/rtx",
        /// Redundant video (RFC 2198).
        Red = "video/red",
        /// Forward error correction (RFC 5109).
        Ulpfec = "video/ulpfec",
        /// H.265 (RFC 7798). Not among mediasoup's media types.
        H265 = "video/H265",
    }
}

/// Error of parsing a [`MimeType`].
#[derive(Debug, Error, Eq, PartialEq)]
pub enum ParseMimeTypeError {
    /// The type is neither `audio/` nor `video/`, or not the expected one.
    #[error("Invalid MIME type input string")]
    InvalidInput,
    /// The codec is not supported.
    #[error("Unknown MIME type")]
    UnknownMimeType,
}

impl MimeType {
    /// The media type as written in RTP parameters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Audio(mime_type) => mime_type.as_str(),
            Self::Video(mime_type) => mime_type.as_str(),
        }
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        match self {
            Self::Audio(_) => MediaKind::Audio,
            Self::Video(_) => MediaKind::Video,
        }
    }
}

impl MimeTypeAudio {
    /// The media type as written in RTP parameters.
    pub fn as_str(&self) -> &'static str {
        self.name()
    }
}

impl MimeTypeVideo {
    /// The media type as written in RTP parameters.
    pub fn as_str(&self) -> &'static str {
        self.name()
    }
}

impl FromStr for MimeType {
    type Err = ParseMimeTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(audio) => Ok(Self::Audio(audio)),
            Err(ParseMimeTypeError::UnknownMimeType) => Err(ParseMimeTypeError::UnknownMimeType),
            Err(ParseMimeTypeError::InvalidInput) => text.parse().map(Self::Video),
        }
    }
}

// RFC 2045 §5.1: "Matching of media type and subtype is ALWAYS case-insensitive."
impl FromStr for MimeTypeAudio {
    type Err = ParseMimeTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|mime_type| mime_type.as_str().eq_ignore_ascii_case(text))
            .copied()
            .ok_or_else(|| parse_error(text, "audio/"))
    }
}

impl FromStr for MimeTypeVideo {
    type Err = ParseMimeTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|mime_type| mime_type.as_str().eq_ignore_ascii_case(text))
            .copied()
            .ok_or_else(|| parse_error(text, "video/"))
    }
}

impl<'de> Deserialize<'de> for MimeTypeAudio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for MimeTypeVideo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn parse_error(text: &str, expected_type: &str) -> ParseMimeTypeError {
    match text.get(..expected_type.len()) {
        Some(start) if start.eq_ignore_ascii_case(expected_type) => ParseMimeTypeError::UnknownMimeType,
        _ => ParseMimeTypeError::InvalidInput,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_in_any_case() {
        assert_eq!("AUDIO/Opus".parse(), Ok(MimeTypeAudio::Opus));
        assert_eq!("video/h264".parse(), Ok(MimeType::Video(MimeTypeVideo::H264)));
        assert_eq!("video/h265".parse(), Ok(MimeTypeVideo::H265));
        assert_eq!("audio/pcmu".parse(), Ok(MimeType::Audio(MimeTypeAudio::Pcmu)));
    }

    #[test]
    fn unknown_codecs_and_other_media_types_are_distinguished() {
        assert_eq!("audio/speex".parse::<MimeType>(), Err(ParseMimeTypeError::UnknownMimeType));
        assert_eq!("video/theora".parse::<MimeType>(), Err(ParseMimeTypeError::UnknownMimeType));
        assert_eq!("video/VP8".parse::<MimeTypeAudio>(), Err(ParseMimeTypeError::InvalidInput));
        assert_eq!("text/plain".parse::<MimeType>(), Err(ParseMimeTypeError::InvalidInput));
        assert_eq!("vidé".parse::<MimeType>(), Err(ParseMimeTypeError::InvalidInput));
    }

    #[test]
    fn every_media_type_survives_a_round_trip() {
        for audio in MimeTypeAudio::ALL {
            assert_eq!(audio.as_str().parse(), Ok(MimeType::Audio(*audio)));
        }
        for video in MimeTypeVideo::ALL {
            assert_eq!(video.as_str().parse(), Ok(MimeType::Video(*video)));
        }
    }
}
