//! DataProducers and DataConsumers.

use tureen_engine::api::{
    ConsumeData, DataConsumerDump, DataConsumerStats, DataMessage, DataProducerDump, DataProducerStats,
    DataTransport, ProduceData, Publication, TransportId,
};

use super::schema::{data_consumer, data_producer, sctp_parameters, transport};
use super::transport::write_stream_parameters;
use super::{Parse, invalid};
use crate::parts::read_stream_parameters;

pub(super) fn read_produce(
    transport_id: TransportId,
    from: transport::ProduceDataRequest,
) -> Parse<ProduceData> {
    let sctp = from.type_ == data_producer::Type::Sctp;
    Ok(ProduceData {
        transport_id,
        id: from.data_producer_id.into(),
        transport: read_transport(sctp, from.sctp_stream_parameters)?,
        label: from.label.unwrap_or_default(),
        protocol: from.protocol.unwrap_or_default(),
        paused: from.paused,
    })
}

pub(super) fn read_consume(
    transport_id: TransportId,
    from: transport::ConsumeDataRequest,
) -> Parse<ConsumeData> {
    let sctp = from.type_ == data_consumer::Type::Sctp;
    Ok(ConsumeData {
        transport_id,
        data_producer_id: from.data_producer_id.into(),
        id: from.data_consumer_id.into(),
        transport: read_transport(sctp, from.sctp_stream_parameters)?,
        label: from.label.unwrap_or_default(),
        protocol: from.protocol.unwrap_or_default(),
        paused: from.paused,
        subchannels: from.subchannels.unwrap_or_default(),
    })
}

pub(super) fn read_publication(from: data_producer::SendNotification) -> Publication {
    Publication {
        message: DataMessage { ppid: from.ppid, payload: from.data },
        subchannels: from.subchannels.unwrap_or_default(),
        required_subchannel: from.required_subchannel,
        ignored_subchannel: from.ignored_subchannel,
    }
}

pub(super) fn write_producer_dump(from: DataProducerDump) -> data_producer::DumpResponse {
    let (type_, sctp_stream_parameters) = match from.transport {
        DataTransport::Sctp(stream) => (data_producer::Type::Sctp, Some(write_stream_parameters(stream))),
        DataTransport::Direct => (data_producer::Type::Direct, None),
    };
    data_producer::DumpResponse {
        id: from.id.into(),
        type_,
        sctp_stream_parameters,
        label: from.label,
        protocol: from.protocol,
        paused: from.paused,
    }
}

pub(super) fn write_consumer_dump(from: DataConsumerDump) -> data_consumer::DumpResponse {
    let (type_, sctp_stream_parameters) = match from.transport {
        DataTransport::Sctp(stream) => (data_consumer::Type::Sctp, Some(write_stream_parameters(stream))),
        DataTransport::Direct => (data_consumer::Type::Direct, None),
    };
    data_consumer::DumpResponse {
        id: from.id.into(),
        data_producer_id: from.data_producer_id.into(),
        type_,
        sctp_stream_parameters,
        label: from.label,
        protocol: from.protocol,
        buffered_amount: from.buffered_amount,
        buffered_amount_low_threshold: from.buffered_amount_low_threshold,
        paused: from.paused,
        data_producer_paused: from.data_producer_paused,
        subchannels: from.subchannels,
    }
}

pub(super) fn write_producer_stats(from: DataProducerStats) -> data_producer::GetStatsResponse {
    data_producer::GetStatsResponse {
        timestamp: from.timestamp_ms,
        label: from.label,
        protocol: from.protocol,
        messages_received: from.messages_received,
        bytes_received: from.bytes_received,
        buffered_amount: 0,
    }
}

pub(super) fn write_consumer_stats(from: DataConsumerStats) -> data_consumer::GetStatsResponse {
    data_consumer::GetStatsResponse {
        timestamp: from.timestamp_ms,
        label: from.label,
        protocol: from.protocol,
        messages_sent: from.messages_sent,
        bytes_sent: from.bytes_sent,
        buffered_amount: from.buffered_amount,
    }
}

fn read_transport(
    sctp: bool,
    stream: Option<Box<sctp_parameters::SctpStreamParameters>>,
) -> Parse<DataTransport> {
    if !sctp {
        return Ok(DataTransport::Direct);
    }
    let stream = stream.ok_or_else(|| invalid("missing sctpStreamParameters"))?;
    Ok(DataTransport::Sctp(read_stream_parameters(
        stream.stream_id,
        stream.ordered,
        stream.max_packet_life_time,
        stream.max_retransmits,
    )))
}
