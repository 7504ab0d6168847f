//! Producers, consumers, RTP streams and trace events.

use std::time::Duration;
use tureen_engine::api::{
    Consume, Consumed, ConsumerDump, ConsumerLayers, MediaTrace, MediaTraceData, MediaTraceEvent, Produce,
    ProducerDump, ProducerScore, RtpStreamDump, RtpStreamStats, StreamDirection, TransportId,
};
use tureen_types::data_structures::{RtpPacketTraceInfo, TraceEventDirection};

use super::rtp::{
    read_encodings, read_kind, read_layers, read_mapping, read_parameters, read_stream_type,
    write_consumer_score, write_encodings, write_kind, write_layers, write_mapping, write_parameters,
    write_stream_type,
};
use super::schema::{common, consumer, producer, rtp_packet, rtp_stream, rtx_stream, transport};
use super::{Parse, list};

pub(super) fn read_produce(transport_id: TransportId, from: transport::ProduceRequest) -> Parse<Produce> {
    Ok(Produce {
        transport_id,
        id: from.producer_id.into(),
        kind: read_kind(from.kind),
        rtp_parameters: read_parameters(*from.rtp_parameters)?,
        rtp_mapping: read_mapping(*from.rtp_mapping),
        paused: from.paused,
        key_frame_request_delay: Duration::from_millis(from.key_frame_request_delay.into()),
        enable_packet_id: from.enable_mediasoup_packet_id_header_extension,
    })
}

pub(super) fn read_consume(transport_id: TransportId, from: transport::ConsumeRequest) -> Parse<Consume> {
    Ok(Consume {
        transport_id,
        producer_id: from.producer_id.into(),
        id: from.consumer_id.into(),
        kind: read_kind(from.kind),
        rtp_parameters: read_parameters(*from.rtp_parameters)?,
        stream_type: read_stream_type(from.type_),
        consumable_rtp_encodings: read_encodings(from.consumable_rtp_encodings)?,
        paused: from.paused,
        preferred_layers: from.preferred_layers.map(|layers| read_layers(*layers)),
        ignore_dtx: from.ignore_dtx,
    })
}

pub(super) fn read_producer_trace(from: Vec<producer::TraceEventType>) -> MediaTrace {
    use producer::TraceEventType as Event;
    MediaTrace {
        rtp: from.contains(&Event::Rtp),
        key_frame: from.contains(&Event::Keyframe),
        nack: from.contains(&Event::Nack),
        pli: from.contains(&Event::Pli),
        fir: from.contains(&Event::Fir),
        sr: from.contains(&Event::Sr),
    }
}

pub(super) fn read_consumer_trace(from: Vec<consumer::TraceEventType>) -> MediaTrace {
    use consumer::TraceEventType as Event;
    MediaTrace {
        rtp: from.contains(&Event::Rtp),
        key_frame: from.contains(&Event::Keyframe),
        nack: from.contains(&Event::Nack),
        pli: from.contains(&Event::Pli),
        fir: from.contains(&Event::Fir),
        sr: false,
    }
}

pub(super) fn write_consumed(from: Consumed) -> transport::ConsumeResponse {
    transport::ConsumeResponse {
        paused: from.paused,
        producer_paused: from.producer_paused,
        score: write_consumer_score(from.score),
        preferred_layers: from.preferred_layers.map(write_layers),
    }
}

pub(super) fn write_producer_dump(from: ProducerDump) -> producer::DumpResponse {
    use producer::TraceEventType as Event;
    let trace_events = [
        (from.trace.rtp, Event::Rtp),
        (from.trace.key_frame, Event::Keyframe),
        (from.trace.nack, Event::Nack),
        (from.trace.pli, Event::Pli),
        (from.trace.fir, Event::Fir),
        (from.trace.sr, Event::Sr),
    ];
    producer::DumpResponse {
        id: from.id.into(),
        kind: write_kind(from.kind),
        type_: write_stream_type(from.stream_type),
        rtp_parameters: Box::new(write_parameters(from.rtp_parameters)),
        rtp_mapping: Box::new(write_mapping(from.rtp_mapping)),
        rtp_streams: list(from.rtp_streams, write_stream_dump),
        trace_event_types: trace_events.into_iter().filter(|event| event.0).map(|event| event.1).collect(),
        paused: from.paused,
    }
}

pub(super) fn write_consumer_dump(from: ConsumerDump) -> consumer::DumpResponse {
    use consumer::TraceEventType as Event;
    let trace_events = [
        (from.trace.rtp, Event::Rtp),
        (from.trace.key_frame, Event::Keyframe),
        (from.trace.nack, Event::Nack),
        (from.trace.pli, Event::Pli),
        (from.trace.fir, Event::Fir),
    ];
    // mediasoup has -1 for no layer.
    let spatial = |layers: Option<ConsumerLayers>| Some(layers.map_or(-1, |l| l.spatial_layer.into()));
    let temporal =
        |layers: Option<ConsumerLayers>| Some(layers.and_then(|l| l.temporal_layer).map_or(-1, Into::into));
    let base = consumer::BaseConsumerDump {
        id: from.id.into(),
        type_: write_stream_type(from.stream_type),
        producer_id: from.producer_id.into(),
        kind: write_kind(from.kind),
        rtp_parameters: Box::new(write_parameters(from.rtp_parameters)),
        consumable_rtp_encodings: write_encodings(from.consumable_rtp_encodings),
        supported_codec_payload_types: from.supported_codec_payload_types,
        trace_event_types: trace_events.into_iter().filter(|event| event.0).map(|event| event.1).collect(),
        paused: from.paused,
        producer_paused: from.producer_paused,
        priority: from.priority,
    };
    consumer::DumpResponse {
        data: Box::new(consumer::ConsumerDump {
            base: Box::new(base),
            rtp_streams: list(from.rtp_streams, write_stream_dump),
            preferred_spatial_layer: spatial(from.preferred_layers),
            target_spatial_layer: spatial(from.target_layers),
            current_spatial_layer: spatial(from.current_layers),
            preferred_temporal_layer: temporal(from.preferred_layers),
            target_temporal_layer: temporal(from.target_layers),
            current_temporal_layer: temporal(from.current_layers),
        }),
    }
}

pub(super) fn write_stream_stats(from: RtpStreamStats) -> rtp_stream::Stats {
    use rtp_stream::StatsData;
    let base = rtp_stream::BaseStats {
        timestamp: from.timestamp_ms,
        ssrc: from.ssrc,
        kind: write_kind(from.kind),
        mime_type: from.mime_type,
        packets_lost: from.packets_lost,
        fraction_lost: from.fraction_lost,
        jitter: from.jitter,
        packets_discarded: from.packets_discarded,
        packets_retransmitted: from.packets_retransmitted,
        packets_repaired: from.packets_repaired,
        nack_count: from.nack_count,
        nack_packet_count: from.nack_packet_count,
        pli_count: from.pli_count,
        fir_count: from.fir_count,
        rid: from.rid,
        rtx_ssrc: from.rtx_ssrc,
        rtx_packets_discarded: from.rtx_packets_discarded.unwrap_or(0),
        round_trip_time: from.round_trip_time_ms.unwrap_or(0.0),
        score: from.score,
    };
    let base = Box::new(rtp_stream::Stats { data: StatsData::BaseStats(Box::new(base)) });
    let (packet_count, byte_count, bitrate) = (from.packet_count, from.byte_count, from.bitrate);
    let data = match from.direction {
        StreamDirection::Inbound => StatsData::RecvStats(Box::new(rtp_stream::RecvStats {
            base,
            packet_count,
            byte_count,
            bitrate,
            bitrate_by_layer: list(from.bitrate_by_layer, |(layer, bitrate)| rtp_stream::BitrateByLayer {
                layer,
                bitrate,
            }),
        })),
        StreamDirection::Outbound => {
            StatsData::SendStats(Box::new(rtp_stream::SendStats { base, packet_count, byte_count, bitrate }))
        }
    };
    rtp_stream::Stats { data }
}

pub(super) fn write_producer_score(from: ProducerScore) -> producer::Score {
    producer::Score { encoding_idx: from.encoding_idx, ssrc: from.ssrc, rid: from.rid, score: from.score }
}

pub(super) fn write_direction(from: TraceEventDirection) -> common::TraceDirection {
    match from {
        TraceEventDirection::In => common::TraceDirection::DirectionIn,
        TraceEventDirection::Out => common::TraceDirection::DirectionOut,
    }
}

macro_rules! trace {
    ($name:ident, $wire:ident $(, $sr:ident)?) => {
        pub(super) fn $name(from: MediaTraceEvent) -> $wire::TraceNotification {
            use $wire::{TraceEventType as Event, TraceInfo as Info};
            let (type_, info) = match from.data {
                MediaTraceData::Rtp(packet) => {
                    let is_rtx = packet.is_rtx;
                    let rtp_packet = write_packet(packet);
                    (Event::Rtp, Some(Info::RtpTraceInfo(Box::new($wire::RtpTraceInfo { rtp_packet, is_rtx }))))
                }
                MediaTraceData::KeyFrame(packet) => {
                    let is_rtx = packet.is_rtx;
                    let info = $wire::KeyFrameTraceInfo { rtp_packet: write_packet(packet), is_rtx };
                    (Event::Keyframe, Some(Info::KeyFrameTraceInfo(Box::new(info))))
                }
                MediaTraceData::Nack => (Event::Nack, None),
                MediaTraceData::Pli(ssrc) => {
                    (Event::Pli, Some(Info::PliTraceInfo(Box::new($wire::PliTraceInfo { ssrc }))))
                }
                MediaTraceData::Fir(ssrc) => {
                    (Event::Fir, Some(Info::FirTraceInfo(Box::new($wire::FirTraceInfo { ssrc }))))
                }
                $(MediaTraceData::Sr($sr) => {
                    let info = $wire::SrTraceInfo {
                        ssrc: $sr.ssrc,
                        ntp_sec: $sr.ntp_sec,
                        ntp_frac: $sr.ntp_frac,
                        rtp_ts: $sr.rtp_ts,
                        packet_count: $sr.packet_count,
                        octet_count: $sr.octet_count,
                    };
                    (Event::Sr, Some(Info::SrTraceInfo(Box::new(info))))
                })?
                #[allow(unreachable_patterns, reason = "only producers trace sender reports")]
                MediaTraceData::Sr(_) => (Event::Rtp, None),
            };
            let direction = write_direction(from.direction);
            $wire::TraceNotification { type_, timestamp: from.timestamp_ms, direction, info }
        }
    };
}

trace!(write_producer_trace, producer, report);
trace!(write_consumer_trace, consumer);

fn write_packet(from: RtpPacketTraceInfo) -> Box<rtp_packet::Dump> {
    Box::new(rtp_packet::Dump {
        payload_type: from.payload_type,
        sequence_number: from.sequence_number,
        timestamp: from.timestamp,
        marker: from.marker,
        ssrc: from.ssrc,
        is_key_frame: from.is_key_frame,
        size: from.size.into(),
        payload_size: from.payload_size.into(),
        spatial_layer: from.spatial_layer,
        temporal_layer: from.temporal_layer,
        mid: from.mid,
        rid: from.rid,
        rrid: from.rrid,
        wide_sequence_number: from.wide_sequence_number,
    })
}

fn write_stream_dump(from: RtpStreamDump) -> rtp_stream::Dump {
    // Never left out, because Node's library reads their length.
    let rid = Some(from.rid.unwrap_or_default());
    let kind = from.mime_type.split('/').next().unwrap_or_default();
    let rtx_stream = match (from.rtx_ssrc, from.rtx_payload_type) {
        (Some(ssrc), Some(payload_type)) => Some(Box::new(rtx_stream::RtxDump {
            params: Box::new(rtx_stream::Params {
                ssrc,
                payload_type,
                mime_type: format!("{kind}/rtx"),
                clock_rate: from.clock_rate,
                rrid: rid.clone(),
                cname: from.cname.clone(),
            }),
        })),
        _ => None,
    };
    rtp_stream::Dump {
        params: Box::new(rtp_stream::Params {
            encoding_idx: from.encoding_idx,
            ssrc: from.ssrc,
            payload_type: from.payload_type,
            mime_type: from.mime_type,
            clock_rate: from.clock_rate,
            rid,
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
        }),
        score: from.score,
        rtx_stream,
    }
}
