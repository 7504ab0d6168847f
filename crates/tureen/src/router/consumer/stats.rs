//! What a consumer tells of itself: type, layers, score, statistics, dump.

use serde::{Deserialize, Serialize};
use tureen_core::api::{self, StreamDirection, StreamType};

use super::{ConsumerId, ConsumerTraceEventType};
use crate::producer::{ProducerId, ProducerStat, ProducerType};
use crate::router::rtp_stream::{RtpStreamParams, parse_mime_type};
use crate::rtp_parameters::{MediaKind, MimeType, RtpEncodingParameters, RtpParameters};
use crate::worker::RequestError;

/// Spatial and temporal layer, counted from 0, the lowest.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLayers {
    /// Spatial layer, or simulcast encoding.
    pub spatial_layer: u8,
    /// Temporal layer; `None` is the highest there is.
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

/// How well a consumer reaches the endpoint, and its producer the router, 0 (not at all) to 10 (perfect).
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerScore {
    /// Of what is sent.
    pub score: u8,
    /// Of the producer's stream that is read.
    pub producer_score: u8,
    /// Of all streams of the producer, in the order of its encodings.
    pub producer_scores: Vec<u8>,
}

impl From<api::ConsumerScore> for ConsumerScore {
    fn from(score: api::ConsumerScore) -> Self {
        let api::ConsumerScore { score, producer_score, producer_scores } = score;
        Self { score, producer_score, producer_scores }
    }
}

/// How a consumer reads its producer.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerType {
    /// One stream without layers.
    Simple,
    /// One of several encodings.
    Simulcast,
    /// One stream, of which some layers.
    Svc,
    /// All streams as they are.
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
    pub(in crate::router) fn to_core(self) -> StreamType {
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

/// Statistics of the stream that a consumer sends. Rates are in bits per second.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ConsumerStat {
    /// Milliseconds of the worker's clock.
    pub timestamp: u64,
    /// SSRC.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// Audio or video.
    pub kind: MediaKind,
    /// Codec.
    pub mime_type: MimeType,
    /// Packets that the endpoint reports lost.
    pub packets_lost: i32,
    /// Part lost between the last two reports, in 1/256.
    pub fraction_lost: u8,
    /// Inter-arrival jitter that the endpoint reports, in timestamp units.
    pub jitter: u32,
    /// Packets discarded.
    pub packets_discarded: u64,
    /// Packets sent again.
    pub packets_retransmitted: u64,
    /// Lost packets that a retransmission brought.
    pub packets_repaired: u64,
    /// NACK messages.
    pub nack_count: u64,
    /// Packets named in NACK messages.
    pub nack_packet_count: u64,
    /// Picture loss indications.
    pub pli_count: u64,
    /// Full intra requests.
    pub fir_count: u64,
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// Bits per second.
    pub bitrate: u64,
    /// Milliseconds there and back.
    pub round_trip_time: Option<f32>,
    /// Retransmissions discarded.
    pub rtx_packets_discarded: Option<u64>,
    /// 0 to 10.
    pub score: u8,
}

impl ConsumerStat {
    fn from_core(stats: api::RtpStreamStats) -> Result<Self, RequestError> {
        Ok(Self {
            timestamp: stats.timestamp_ms,
            ssrc: stats.ssrc,
            rtx_ssrc: stats.rtx_ssrc,
            kind: stats.kind,
            mime_type: parse_mime_type(&stats.mime_type)?,
            packets_lost: stats.packets_lost,
            fraction_lost: stats.fraction_lost,
            jitter: stats.jitter,
            packets_discarded: stats.packets_discarded,
            packets_retransmitted: stats.packets_retransmitted,
            packets_repaired: stats.packets_repaired,
            nack_count: stats.nack_count,
            nack_packet_count: stats.nack_packet_count,
            pli_count: stats.pli_count,
            fir_count: stats.fir_count,
            packet_count: stats.packet_count,
            byte_count: stats.byte_count,
            bitrate: stats.bitrate,
            round_trip_time: stats.round_trip_time_ms,
            rtx_packets_discarded: stats.rtx_packets_discarded,
            score: stats.score,
        })
    }
}

/// Statistics of one stream that has to do with a consumer.
// `Inbound` stands first: what it needs, `bitrateByLayer`, tells the two apart when JSON is read.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "as in the mediasoup crate, and there are only two of them in a list"
)]
pub enum ConsumerRtpStreamStat {
    /// A stream of its producer.
    Inbound(ProducerStat),
    /// Its own stream.
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

/// A stream of a consumer.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtpStream {
    /// Its parameters.
    pub params: RtpStreamParams,
    /// 0 to 10.
    pub score: u8,
}

/// What a consumer holds.
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
