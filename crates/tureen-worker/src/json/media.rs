//! Producers, consumers, data producers, data consumers and RTP streams in responses and events.

use serde::Serialize;
use tureen_engine::api::{
    Consumed, ConsumerDump, ConsumerId, ConsumerLayers, ConsumerScore, DataConsumerDump, DataConsumerId,
    DataConsumerStats, DataProducerDump, DataProducerId, DataProducerStats, DataTransport, MediaTrace,
    MediaTraceData, MediaTraceEvent, ProducerDump, ProducerId, ProducerScore, RtpStreamDump, RtpStreamStats,
    StreamDirection, StreamType,
};
use tureen_types::data_structures::{RtpPacketTraceInfo, SrTraceInfo, TraceEventDirection};
use tureen_types::rtp_parameters::MediaKind;
use tureen_types::sctp_parameters::SctpStreamParameters;

use super::rtp::{Encoding, Mapping, RtpParameters, StreamTypeName};
use super::{Generation, Local, Table, list, names};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Producer {
    id: Local<ProducerId>,
    kind: MediaKind,
    rtp_parameters: RtpParameters,
    #[serde(rename = "type", with = "StreamTypeName")]
    stream_type: StreamType,
    rtp_mapping: Mapping,
    rtp_streams: Vec<RtpStream>,
    paused: bool,
    trace_event_types: String,
}

impl From<ProducerDump> for Producer {
    fn from(from: ProducerDump) -> Self {
        Self {
            id: Local(from.id),
            kind: from.kind,
            rtp_parameters: from.rtp_parameters.into(),
            stream_type: from.stream_type,
            rtp_mapping: from.rtp_mapping.into(),
            rtp_streams: list(from.rtp_streams, RtpStream::from),
            paused: from.paused,
            trace_event_types: trace_names(from.trace),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Consumer {
    id: ConsumerId,
    producer_id: Local<ProducerId>,
    kind: MediaKind,
    rtp_parameters: RtpParameters,
    #[serde(rename = "type", with = "StreamTypeName")]
    stream_type: StreamType,
    consumable_rtp_encodings: Vec<Encoding>,
    supported_codec_payload_types: Vec<u8>,
    paused: bool,
    producer_paused: bool,
    priority: u8,
    trace_event_types: String,
    #[serde(flatten)]
    streams: ConsumerStreams,
    #[serde(flatten)]
    layers: Option<AllLayers>,
}

/// A pipe consumer has all streams of its producer, any other consumer a single stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ConsumerStreams {
    RtpStreams(Vec<RtpStream>),
    RtpStream(Option<RtpStream>),
}

/// -1 means no layer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllLayers {
    preferred_spatial_layer: i16,
    target_spatial_layer: i16,
    current_spatial_layer: i16,
    preferred_temporal_layer: i16,
    target_temporal_layer: i16,
    current_temporal_layer: i16,
}

impl From<ConsumerDump> for Consumer {
    fn from(from: ConsumerDump) -> Self {
        let spatial = |layers: Option<ConsumerLayers>| layers.map_or(-1, |l| l.spatial_layer.into());
        let temporal =
            |layers: Option<ConsumerLayers>| layers.and_then(|l| l.temporal_layer).map_or(-1, Into::into);
        let has_layers = matches!(from.stream_type, StreamType::Simulcast | StreamType::Svc);
        let mut streams = from.rtp_streams.into_iter().map(RtpStream::from);
        Self {
            id: from.id,
            producer_id: Local(from.producer_id),
            kind: from.kind,
            rtp_parameters: from.rtp_parameters.into(),
            stream_type: from.stream_type,
            consumable_rtp_encodings: list(from.consumable_rtp_encodings, Encoding::from),
            supported_codec_payload_types: from.supported_codec_payload_types,
            paused: from.paused,
            producer_paused: from.producer_paused,
            priority: from.priority,
            trace_event_types: trace_names(from.trace),
            streams: match from.stream_type {
                StreamType::Pipe => ConsumerStreams::RtpStreams(streams.collect()),
                _ => ConsumerStreams::RtpStream(streams.next()),
            },
            layers: has_layers.then(|| AllLayers {
                preferred_spatial_layer: spatial(from.preferred_layers),
                target_spatial_layer: spatial(from.target_layers),
                current_spatial_layer: spatial(from.current_layers),
                preferred_temporal_layer: temporal(from.preferred_layers),
                target_temporal_layer: temporal(from.target_layers),
                current_temporal_layer: temporal(from.current_layers),
            }),
        }
    }
}

/// Response to the creation of a Consumer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewConsumer {
    paused: bool,
    producer_paused: bool,
    score: Score,
    /// `null` up to 3.5, left out later.
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_layers: Option<Option<Layers>>,
}

impl NewConsumer {
    pub(super) fn new(from: Consumed, generation: Generation) -> Self {
        Self {
            paused: from.paused,
            producer_paused: from.producer_paused,
            score: Score::new(from.score, generation),
            preferred_layers: match from.preferred_layers {
                None if generation == Generation::V3_5 => Some(None),
                layers => layers.map(|layers| Some(layers.into())),
            },
        }
    }
}

/// Score of a Consumer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Score {
    score: u8,
    producer_score: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    producer_scores: Option<Vec<u8>>,
}

impl Score {
    pub(super) fn new(from: ConsumerScore, generation: Generation) -> Self {
        let ConsumerScore { score, producer_score, producer_scores } = from;
        Self { score, producer_score, producer_scores: generation.since_direct(producer_scores) }
    }
}

/// Score of one stream of a Producer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamScore {
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_idx: Option<u32>,
    ssrc: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    score: u8,
}

impl StreamScore {
    pub(super) fn new(from: ProducerScore, generation: Generation) -> Self {
        Self {
            encoding_idx: generation.since_direct(from.encoding_idx),
            ssrc: from.ssrc,
            rid: from.rid,
            score: from.score,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layers {
    spatial_layer: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporal_layer: Option<u8>,
}

impl From<ConsumerLayers> for Layers {
    fn from(ConsumerLayers { spatial_layer, temporal_layer }: ConsumerLayers) -> Self {
        Self { spatial_layer, temporal_layer }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RtpStream {
    params: StreamParams,
    score: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtx_stream: Option<RtxStream>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamParams {
    encoding_idx: u32,
    ssrc: u32,
    payload_type: u8,
    mime_type: String,
    clock_rate: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    cname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtx_ssrc: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtx_payload_type: Option<u8>,
    use_nack: bool,
    use_pli: bool,
    use_fir: bool,
    use_in_band_fec: bool,
    use_dtx: bool,
    spatial_layers: u8,
    temporal_layers: u8,
}

#[derive(Serialize)]
struct RtxStream {
    params: RtxParams,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RtxParams {
    ssrc: u32,
    payload_type: u8,
    mime_type: String,
    clock_rate: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrid: Option<String>,
    cname: String,
}

impl From<RtpStreamDump> for RtpStream {
    fn from(from: RtpStreamDump) -> Self {
        let kind = from.mime_type.split('/').next().unwrap_or_default();
        let rtx = from.rtx_ssrc.zip(from.rtx_payload_type).map(|(ssrc, payload_type)| RtxParams {
            ssrc,
            payload_type,
            mime_type: format!("{kind}/rtx"),
            clock_rate: from.clock_rate,
            rrid: from.rid.clone(),
            cname: from.cname.clone(),
        });
        Self {
            params: StreamParams {
                encoding_idx: from.encoding_idx,
                ssrc: from.ssrc,
                payload_type: from.payload_type,
                mime_type: from.mime_type,
                clock_rate: from.clock_rate,
                rid: from.rid,
                cname: from.cname,
                rtx_ssrc: from.rtx_ssrc,
                rtx_payload_type: from.rtx_payload_type,
                use_nack: from.use_nack,
                use_pli: from.use_pli,
                use_fir: from.use_fir,
                use_in_band_fec: from.use_in_band_fec,
                use_dtx: from.use_dtx,
                spatial_layers: from.spatial_layers,
                temporal_layers: from.temporal_layers,
            },
            score: from.score,
            rtx_stream: rtx.map(|params| RtxStream { params }),
        }
    }
}

/// Statistics of an RTP stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamStats {
    r#type: &'static str,
    timestamp: u64,
    ssrc: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtx_ssrc: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    kind: MediaKind,
    mime_type: String,
    packets_lost: i32,
    fraction_lost: u8,
    packets_discarded: u64,
    packets_retransmitted: u64,
    packets_repaired: u64,
    nack_count: u64,
    nack_packet_count: u64,
    pli_count: u64,
    fir_count: u64,
    score: u8,
    packet_count: u64,
    byte_count: u64,
    bitrate: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtx_packets_discarded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_time: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate_by_layer: Option<Table<String, u64>>,
}

impl From<RtpStreamStats> for StreamStats {
    fn from(from: RtpStreamStats) -> Self {
        let inbound = from.direction == StreamDirection::Inbound;
        let layers = Some(from.bitrate_by_layer).filter(|layers| !layers.is_empty());
        Self {
            r#type: if inbound { "inbound-rtp" } else { "outbound-rtp" },
            timestamp: from.timestamp_ms,
            ssrc: from.ssrc,
            rtx_ssrc: from.rtx_ssrc,
            rid: from.rid,
            kind: from.kind,
            mime_type: from.mime_type,
            packets_lost: from.packets_lost,
            fraction_lost: from.fraction_lost,
            packets_discarded: from.packets_discarded,
            packets_retransmitted: from.packets_retransmitted,
            packets_repaired: from.packets_repaired,
            nack_count: from.nack_count,
            nack_packet_count: from.nack_packet_count,
            pli_count: from.pli_count,
            fir_count: from.fir_count,
            score: from.score,
            packet_count: from.packet_count,
            byte_count: from.byte_count,
            bitrate: from.bitrate,
            rtx_packets_discarded: from.rtx_packets_discarded,
            round_trip_time: from.round_trip_time_ms,
            jitter: inbound.then_some(from.jitter),
            bitrate_by_layer: layers.map(Table),
        }
    }
}

/// A trace event of a Producer or Consumer.
#[derive(Serialize)]
pub(super) struct Trace {
    #[serde(flatten)]
    data: TraceData,
    timestamp: u64,
    direction: TraceEventDirection,
}

#[derive(Serialize)]
#[serde(tag = "type", content = "info", rename_all = "lowercase")]
enum TraceData {
    Rtp(PacketTrace),
    KeyFrame(PacketTrace),
    Nack {},
    Pli { ssrc: u32 },
    Fir { ssrc: u32 },
    Sr(SrTraceInfo),
}

/// A packet in a trace event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PacketTrace {
    payload_type: u8,
    sequence_number: u16,
    timestamp: u32,
    marker: bool,
    ssrc: u32,
    is_key_frame: bool,
    size: u32,
    payload_size: u32,
    spatial_layer: u8,
    temporal_layer: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wide_sequence_number: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_rtx: bool,
}

impl From<MediaTraceEvent> for Trace {
    fn from(from: MediaTraceEvent) -> Self {
        let data = match from.data {
            MediaTraceData::Rtp(packet) => TraceData::Rtp(packet.into()),
            MediaTraceData::KeyFrame(packet) => TraceData::KeyFrame(packet.into()),
            MediaTraceData::Nack => TraceData::Nack {},
            MediaTraceData::Pli(ssrc) => TraceData::Pli { ssrc },
            MediaTraceData::Fir(ssrc) => TraceData::Fir { ssrc },
            MediaTraceData::Sr(report) => TraceData::Sr(report),
        };
        Self { data, timestamp: from.timestamp_ms, direction: from.direction }
    }
}

impl From<RtpPacketTraceInfo> for PacketTrace {
    fn from(from: RtpPacketTraceInfo) -> Self {
        Self {
            payload_type: from.payload_type,
            sequence_number: from.sequence_number,
            timestamp: from.timestamp,
            marker: from.marker,
            ssrc: from.ssrc,
            is_key_frame: from.is_key_frame,
            size: from.size,
            payload_size: from.payload_size,
            spatial_layer: from.spatial_layer,
            temporal_layer: from.temporal_layer,
            mid: from.mid,
            rid: from.rid,
            rrid: from.rrid,
            wide_sequence_number: from.wide_sequence_number,
            is_rtx: from.is_rtx,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataProducer {
    id: Local<DataProducerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp_stream_parameters: Option<SctpStreamParameters>,
    label: String,
    protocol: String,
}

impl DataProducer {
    pub(super) fn new(from: DataProducerDump, generation: Generation) -> Self {
        let (kind, sctp_stream_parameters) = data_transport(from.transport);
        let r#type = generation.since_direct(kind);
        Self {
            id: Local(from.id),
            r#type,
            sctp_stream_parameters,
            label: from.label,
            protocol: from.protocol,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataConsumer {
    id: DataConsumerId,
    data_producer_id: Local<DataProducerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp_stream_parameters: Option<SctpStreamParameters>,
    label: String,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    buffered_amount_low_threshold: Option<u32>,
}

impl DataConsumer {
    pub(super) fn new(from: DataConsumerDump, generation: Generation) -> Self {
        let (kind, sctp_stream_parameters) = data_transport(from.transport);
        Self {
            id: from.id,
            data_producer_id: Local(from.data_producer_id),
            r#type: generation.since_direct(kind),
            sctp_stream_parameters,
            label: from.label,
            protocol: from.protocol,
            buffered_amount_low_threshold: generation.since_direct(from.buffered_amount_low_threshold),
        }
    }
}

/// Statistics of a DataProducer or DataConsumer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum DataStats {
    #[serde(rename_all = "camelCase")]
    DataProducer {
        timestamp: u64,
        label: String,
        protocol: String,
        messages_received: u64,
        bytes_received: u64,
    },
    #[serde(rename_all = "camelCase")]
    DataConsumer {
        timestamp: u64,
        label: String,
        protocol: String,
        messages_sent: u64,
        bytes_sent: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        buffered_amount: Option<u32>,
    },
}

impl DataStats {
    pub(super) fn of_producer(from: DataProducerStats) -> Self {
        Self::DataProducer {
            timestamp: from.timestamp_ms,
            label: from.label,
            protocol: from.protocol,
            messages_received: from.messages_received,
            bytes_received: from.bytes_received,
        }
    }

    pub(super) fn of_consumer(from: DataConsumerStats, generation: Generation) -> Self {
        Self::DataConsumer {
            timestamp: from.timestamp_ms,
            label: from.label,
            protocol: from.protocol,
            messages_sent: from.messages_sent,
            bytes_sent: from.bytes_sent,
            buffered_amount: generation.since_direct(from.buffered_amount),
        }
    }
}

fn data_transport(from: DataTransport) -> (&'static str, Option<SctpStreamParameters>) {
    match from {
        DataTransport::Sctp(stream) => ("sctp", Some(stream)),
        DataTransport::Direct => ("direct", None),
    }
}

fn trace_names(from: MediaTrace) -> String {
    names(&[
        (from.rtp, "rtp"),
        (from.key_frame, "keyframe"),
        (from.nack, "nack"),
        (from.pli, "pli"),
        (from.fir, "fir"),
    ])
}
