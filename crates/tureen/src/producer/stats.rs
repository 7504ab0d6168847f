//! Type, scores, video orientation, statistics and dump of a Producer.

use serde::{Deserialize, Serialize};
use tureen_engine::api::{self, StreamType};
use tureen_rtc::wire::rtp::extension::VideoOrientation;

use super::{ProducerId, ProducerTraceEventType};
use crate::ortc::RtpMapping;
use crate::rtp_parameters::{MediaKind, RtpParameters};
use crate::rtp_stream::{RtpStreamParams, RtxStreamParams, rtp_stream_stat};
use crate::worker::RequestError;

/// Structure of a producer's streams.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProducerType {
    /// One stream without layers.
    Simple,
    /// Several encodings, each a stream of its own.
    Simulcast,
    /// One stream with spatial or temporal layers.
    Svc,
}

impl ProducerType {
    pub(crate) fn from_core(stream_type: StreamType) -> Option<Self> {
        match stream_type {
            StreamType::Simple => Some(Self::Simple),
            StreamType::Simulcast => Some(Self::Simulcast),
            StreamType::Svc => Some(Self::Svc),
            StreamType::Pipe => None,
        }
    }
}

/// Score of a stream of a producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerScore {
    /// Index of the stream's encoding in the RTP parameters.
    pub encoding_idx: u32,
    /// SSRC of the stream.
    pub ssrc: u32,
    /// RTP stream id (RFC 8852).
    pub rid: Option<String>,
    /// Score, 0 (no packets) to 10 (perfect).
    pub score: u8,
}

impl From<api::ProducerScore> for ProducerScore {
    fn from(score: api::ProducerScore) -> Self {
        let api::ProducerScore { encoding_idx, ssrc, rid, score } = score;
        Self { encoding_idx, ssrc, rid, score }
    }
}

/// Rotation of a picture. In JSON the number of degrees.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "u16", into = "u16")]
#[repr(u16)]
pub enum Rotation {
    /// 0 degrees.
    None = 0,
    /// 90 degrees clockwise.
    Clockwise = 90,
    /// 180 degrees.
    Rotate180 = 180,
    /// 90 degrees counter-clockwise.
    CounterClockwise = 270,
}

impl From<Rotation> for u16 {
    fn from(rotation: Rotation) -> Self {
        rotation as Self
    }
}

impl TryFrom<u16> for Rotation {
    type Error = String;

    fn try_from(degrees: u16) -> Result<Self, Self::Error> {
        match degrees {
            0 => Ok(Self::None),
            90 => Ok(Self::Clockwise),
            180 => Ok(Self::Rotate180),
            270 => Ok(Self::CounterClockwise),
            _ => Err(format!("a rotation is 0, 90, 180 or 270 degrees, not {degrees}")),
        }
    }
}

/// Orientation of a camera (RFC 7742 §4).
#[derive(Debug, Copy, Clone, Deserialize, Serialize)]
pub struct ProducerVideoOrientation {
    /// True for the back camera.
    pub camera: bool,
    /// True if the picture is mirrored horizontally.
    pub flip: bool,
    /// Rotation of the picture.
    pub rotation: Rotation,
}

impl From<VideoOrientation> for ProducerVideoOrientation {
    fn from(orientation: VideoOrientation) -> Self {
        Self {
            camera: orientation.back_camera,
            flip: orientation.flip,
            rotation: Rotation::try_from(orientation.rotation()).unwrap_or(Rotation::None),
        }
    }
}

/// Bitrate of a layer.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BitrateByLayer {
    layer: String,
    bitrate: u64,
}

impl BitrateByLayer {
    fn of_all(layers: Vec<(String, u64)>) -> Vec<Self> {
        layers.into_iter().map(|(layer, bitrate)| Self { layer, bitrate }).collect()
    }
}

rtp_stream_stat! {
    /// Statistics of a stream of a producer. Bitrates are in bits per second.
    pub(crate) ProducerStat from stats => {
        /// RTP stream id (RFC 8852).
        rid: Option<String> = stats.rid,
        /// Bitrate of each layer.
        bitrate_by_layer: Vec<BitrateByLayer> = BitrateByLayer::of_all(stats.bitrate_by_layer),
    }
}

/// RTX stream in the dump of a producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtxStream {
    /// Parameters of the stream.
    pub params: RtxStreamParams,
}

/// Stream in the dump of a producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtpStreamRecv {
    /// Parameters of the stream.
    pub params: RtpStreamParams,
    /// Score, 0 to 10.
    pub score: u8,
    /// RTX stream of the stream.
    pub rtx_stream: Option<RtxStream>,
}

/// State of a producer.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct ProducerDump {
    pub id: ProducerId,
    pub kind: MediaKind,
    pub paused: bool,
    pub rtp_mapping: RtpMapping,
    pub rtp_parameters: RtpParameters,
    pub rtp_streams: Vec<RtpStreamRecv>,
    pub trace_event_types: Vec<ProducerTraceEventType>,
    pub r#type: ProducerType,
}

impl ProducerDump {
    pub(super) fn from_core(dump: api::ProducerDump) -> Result<Self, RequestError> {
        let rtp_streams = dump.rtp_streams.iter().map(|stream| {
            Ok(RtpStreamRecv {
                params: RtpStreamParams::from_core(stream)?,
                score: stream.score,
                rtx_stream: RtxStreamParams::from_core(stream)?.map(|params| RtxStream { params }),
            })
        });
        Ok(Self {
            id: dump.id.into(),
            kind: dump.kind,
            paused: dump.paused,
            rtp_streams: rtp_streams.collect::<Result<_, RequestError>>()?,
            rtp_mapping: dump.rtp_mapping,
            rtp_parameters: dump.rtp_parameters,
            trace_event_types: ProducerTraceEventType::from_core(dump.trace),
            r#type: ProducerType::from_core(dump.stream_type)
                .ok_or_else(|| RequestError::ResponseConversion("a producer of type pipe".into()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_a_number_of_degrees_in_json() {
        let orientation = VideoOrientation { back_camera: true, flip: false, quarter_turns: 3 };
        let json = serde_json::to_string(&ProducerVideoOrientation::from(orientation)).unwrap();
        assert_eq!(json, r#"{"camera":true,"flip":false,"rotation":270}"#);
        let back: ProducerVideoOrientation = serde_json::from_str(&json).unwrap();
        assert_eq!(back.rotation, Rotation::CounterClockwise);
        let error = serde_json::from_str::<Rotation>("45").unwrap_err().to_string();
        assert_eq!(error, "a rotation is 0, 90, 180 or 270 degrees, not 45");
    }
}
