//! Type, layers, score, statistics and dump of a Consumer.

use serde::{Deserialize, Serialize};
use tureen_engine::api::{self, StreamDirection, StreamType};

use super::{ConsumerId, ConsumerTraceEventType};
use crate::producer::{ProducerId, ProducerStat, ProducerType};
use crate::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};
use crate::rtp_stream::{RtpStreamParams, rtp_stream_stat};
use crate::worker::RequestError;

/// A spatial and a temporal layer, counted from 0, the lowest.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLayers {
    /// Spatial layer of SVC, or index of the simulcast encoding.
    pub spatial_layer: u8,
    /// Temporal layer. `None` is the highest one.
    pub temporal_layer: Option<u8>,
}

impl From<ConsumerLayers> for api::ConsumerLayers {
    fn from(layers: ConsumerLayers) -> Self {
        Self { spatial_layer: layers.spatial_layer, temporal_layer: layers.temporal_layer }
    }
}

impl From<api::ConsumerLayers> for ConsumerLayers {
    fn from(layers: api::ConsumerLayers) -> Self {
        Self { spatial_layer: layers.spatial_layer, temporal_layer: layers.temporal_layer }
    }
}

/// Scores of a consumer and of its producer, 0 (no packets) to 10 (perfect).
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerScore {
    /// Score of the stream that is sent.
    pub score: u8,
    /// Score of the producer's stream that is read.
    pub producer_score: u8,
    /// Scores of all streams of the producer, in the order of its encodings.
    pub producer_scores: Vec<u8>,
}

impl From<api::ConsumerScore> for ConsumerScore {
    fn from(score: api::ConsumerScore) -> Self {
        let api::ConsumerScore { score, producer_score, producer_scores } = score;
        Self { score, producer_score, producer_scores }
    }
}

/// Streams and layers of its producer that a consumer sends.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerType {
    /// One stream without layers.
    Simple,
    /// One of several simulcast encodings.
    Simulcast,
    /// Some layers of one SVC stream.
    Svc,
    /// All streams, unchanged.
    Pipe,
}

impl From<ProducerType> for ConsumerType {
    fn from(producer_type: ProducerType) -> Self {
        match producer_type {
            ProducerType::Simple => Self::Simple,
            ProducerType::Simulcast => Self::Simulcast,
            ProducerType::Svc => Self::Svc,
        }
    }
}

impl ConsumerType {
    pub(crate) fn to_core(self) -> StreamType {
        match self {
            Self::Simple => StreamType::Simple,
            Self::Simulcast => StreamType::Simulcast,
            Self::Svc => StreamType::Svc,
            Self::Pipe => StreamType::Pipe,
        }
    }

    fn from_core(stream_type: StreamType) -> Self {
        match stream_type {
            StreamType::Simple => Self::Simple,
            StreamType::Simulcast => Self::Simulcast,
            StreamType::Svc => Self::Svc,
            StreamType::Pipe => Self::Pipe,
        }
    }
}

rtp_stream_stat! {
    /// Statistics of the stream that a consumer sends, as far as the endpoint reports them. Bitrates are in bits per
    /// second.
    pub(self) ConsumerStat from stats => {}
}

/// Statistics of a consumer's own stream, or of its producer's.
// `Inbound` is first, because its field `bitrateByLayer` tells the two apart when JSON is read.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum ConsumerRtpStreamStat {
    /// Stream of the producer.
    Inbound(ProducerStat),
    /// Stream of the consumer.
    Outbound(ConsumerStat),
}

impl ConsumerRtpStreamStat {
    pub(super) fn from_core(stats: api::RtpStreamStats) -> Result<Self, RequestError> {
        match stats.direction {
            StreamDirection::Inbound => ProducerStat::from_core(stats).map(Self::Inbound),
            StreamDirection::Outbound => ConsumerStat::from_core(stats).map(Self::Outbound),
        }
    }
}

/// Stream in the dump of a consumer.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtpStream {
    /// Parameters of the stream.
    pub params: RtpStreamParams,
    /// Score, 0 to 10.
    pub score: u8,
}

/// State of a consumer.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct ConsumerDump {
    pub id: ConsumerId,
    pub kind: MediaKind,
    pub paused: bool,
    pub priority: u8,
    pub producer_id: ProducerId,
    pub producer_paused: bool,
    pub rtp_parameters: RtpParameters,
    pub supported_codec_payload_types: Vec<u8>,
    pub trace_event_types: Vec<ConsumerTraceEventType>,
    pub r#type: ConsumerType,
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    pub rtp_streams: Vec<RtpStream>,
    pub preferred_spatial_layer: Option<i16>,
    pub target_spatial_layer: Option<i16>,
    pub current_spatial_layer: Option<i16>,
    pub preferred_temporal_layer: Option<i16>,
    pub target_temporal_layer: Option<i16>,
    pub current_temporal_layer: Option<i16>,
}

impl ConsumerDump {
    pub(super) fn from_core(dump: api::ConsumerDump) -> Result<Self, RequestError> {
        let spatial = |layers: Option<api::ConsumerLayers>| layers.map(|layers| layers.spatial_layer.into());
        let temporal = |layers: Option<api::ConsumerLayers>| {
            layers.and_then(|layers| layers.temporal_layer).map(Into::into)
        };
        let rtp_streams = dump
            .rtp_streams
            .iter()
            .map(|stream| Ok(RtpStream { params: RtpStreamParams::from_core(stream)?, score: stream.score }));
        Ok(Self {
            id: dump.id.into(),
            kind: dump.kind,
            paused: dump.paused,
            priority: dump.priority,
            producer_id: dump.producer_id.into(),
            producer_paused: dump.producer_paused,
            rtp_streams: rtp_streams.collect::<Result<_, RequestError>>()?,
            rtp_parameters: dump.rtp_parameters,
            supported_codec_payload_types: dump.supported_codec_payload_types,
            trace_event_types: ConsumerTraceEventType::from_core(dump.trace),
            r#type: ConsumerType::from_core(dump.stream_type),
            consumable_rtp_encodings: dump.consumable_rtp_encodings,
            preferred_spatial_layer: spatial(dump.preferred_layers),
            target_spatial_layer: spatial(dump.target_layers),
            current_spatial_layer: spatial(dump.current_layers),
            preferred_temporal_layer: temporal(dump.preferred_layers),
            target_temporal_layer: temporal(dump.target_layers),
            current_temporal_layer: temporal(dump.current_layers),
        })
    }
}
