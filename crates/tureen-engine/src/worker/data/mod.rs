//! Data: requests about DataProducers and DataConsumers, and the distribution of messages.

pub(crate) mod association;
pub(crate) mod messages;

use std::collections::BTreeSet;
use std::time::Instant;

use rand::RngCore;

use crate::api::{
    ConsumeData, DataConsumerDump, DataConsumerEvent, DataConsumerId, DataProducerId, DataTransport,
    ProduceData, Request, RequestError, Response, RouterDump, SctpDump,
};
use crate::data::{
    DataConsumer, DataPath, DataProducer, DataSide, SctpPurpose, check_sctp_options, check_stream_parameters,
};
use crate::keys::{DataConsumerKey, DataProducerKey, TransportKey};
use crate::worker::arena;
use crate::worker::arena::Media;
use crate::worker::control::{Answer, done};
use crate::worker::out::Out;
use crate::worker::timer::Timer;
use tureen_rtc::sctp::{self, Sctp, SctpOptions};
use tureen_types::sctp_parameters::SctpParameters;

/// Carries out a request about data.
pub(crate) fn control_data(media: &mut Media, out: &mut Out, now: Instant, request: Request) -> Answer {
    match request {
        Request::ProduceData(options) => produce_data(media, options),
        Request::CloseDataProducer(id) => {
            media.data_producers.find(&id).map(|key| close_data_producer(media, out, now, key)).map(done)
        }
        Request::DumpDataProducer(id) => media
            .data_producers
            .find(&id)
            .map(|key| Response::DataProducerDump(Box::new(media.data_producers[key].dump()))),
        Request::DataProducerStats(id) => {
            let timestamp_ms = out.clock.unix_ms(now);
            let key = media.data_producers.find(&id)?;
            Ok(Response::DataProducerStats(media.data_producers[key].stats(timestamp_ms)))
        }
        Request::PauseDataProducer(id) => pause_data_producer(media, out, &id, true).map(done),
        Request::ResumeDataProducer(id) => pause_data_producer(media, out, &id, false).map(done),
        Request::ConsumeData(options) => consume_data(media, options),
        Request::CloseDataConsumer(id) => {
            media.data_consumers.find(&id).map(|key| close_data_consumer(media, out, now, key)).map(done)
        }
        Request::DumpDataConsumer(id) => {
            let key = media.data_consumers.find(&id)?;
            Ok(Response::DataConsumerDump(Box::new(dump_data_consumer(media, key))))
        }
        Request::DataConsumerStats(id) => {
            let timestamp_ms = out.clock.unix_ms(now);
            let key = media.data_consumers.find(&id)?;
            let buffered_amount = messages::buffered_amount(media, key);
            Ok(Response::DataConsumerStats(media.data_consumers[key].stats(timestamp_ms, buffered_amount)))
        }
        Request::PauseDataConsumer(id) => {
            media.data_consumers.find_mut(&id).map(|consumer| consumer.paused = true).map(done)
        }
        Request::ResumeDataConsumer(id) => {
            media.data_consumers.find_mut(&id).map(|consumer| consumer.paused = false).map(done)
        }
        Request::BufferedAmount(id) => {
            let (key, _) = find_sctp_data_consumer(media, &id)?;
            Ok(Response::BufferedAmount(messages::buffered_amount(media, key)))
        }
        Request::SetBufferedAmountLowThreshold(id, threshold) => {
            let (key, stream) = find_sctp_data_consumer(media, &id)?;
            if let Some(sctp) = messages::sctp_of(media, key) {
                sctp.set_buffered_amount_low_threshold(stream, threshold);
            }
            Ok(Response::Done)
        }
        Request::SendData(id, message) => messages::send_data(media, out, now, &id, message),
        Request::SetSubchannels(id, subchannels) => {
            change_subchannels(media, &id, |set| *set = subchannels.into_iter().collect())
        }
        Request::AddSubchannel(id, subchannel) => change_subchannels(media, &id, |set| {
            set.insert(subchannel);
        }),
        Request::RemoveSubchannel(id, subchannel) => change_subchannels(media, &id, |set| {
            set.remove(&subchannel);
        }),
        _ => Err(RequestError::Failed("no request about data".to_owned())),
    }
}

/// Creates the data side of a new transport.
pub(crate) fn data_side(
    out: &mut Out,
    now: Instant,
    options: Option<&SctpOptions>,
    purpose: SctpPurpose,
) -> Result<DataSide, RequestError> {
    let Some(options) = options else { return Ok(DataSide::new(DataPath::None)) };
    check_sctp_options(options)?;
    let mut secret = [0; 32];
    out.rng.fill_bytes(&mut secret);
    let sctp = Sctp::new(*options, &secret, now)
        .with_cookie_lifetime(out.limits.sctp_cookie_lifetime)
        .with_bounds(out.limits.sctp_incoming_pieces, out.limits.sctp_outgoing_messages);
    let sctp = Box::new(sctp);
    Ok(DataSide::new(DataPath::Sctp { sctp, purpose }))
}

/// Closes the DataProducers, DataConsumers and association of a transport.
pub(crate) fn close_data(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let data = &mut transport.data;
    let (producers, consumers) = (std::mem::take(&mut data.producers), std::mem::take(&mut data.consumers));
    if let Some(sctp) = data.sctp_mut() {
        sctp.close();
    }
    // The last packets of the association are sealed while the transport still exists.
    while association::seal_sctp(media, out, now, key) {}
    for producer in producers {
        close_data_producer(media, out, now, producer);
    }
    for consumer in consumers {
        close_data_consumer(media, out, now, consumer);
    }
    out.timers.disarm(Timer::Sctp(key));
}

pub(crate) fn fill_router_dump(media: &Media, dump: &mut RouterDump, transports: &[TransportKey]) {
    let transports = transports.iter().filter_map(|&key| media.transports.live(key));
    let producers =
        transports.flat_map(|t| &t.data.producers).filter_map(|&key| media.data_producers.live(key));
    dump.data_producer_consumers =
        producers.map(|p| (p.id.clone(), data_consumer_names(media, &p.consumers))).collect();
}

pub(crate) fn data_producer_names(media: &Media, data: &DataSide) -> Vec<DataProducerId> {
    let producers = data.producers.iter().filter_map(|&key| media.data_producers.live(key));
    producers.map(|producer| producer.id.clone()).collect()
}

pub(crate) fn data_consumer_names(media: &Media, keys: &[DataConsumerKey]) -> Vec<DataConsumerId> {
    let consumers = keys.iter().filter_map(|&key| media.data_consumers.live(key));
    consumers.map(|consumer| consumer.id.clone()).collect()
}

pub(crate) fn dump_sctp(media: &Media, data: &DataSide) -> Option<SctpDump> {
    let sctp = data.sctp()?;
    let options = sctp.options();
    let name = |key| media.data_producers.live(key).map(|producer| producer.id.clone());
    let mut stream_ids: Vec<_> =
        data.stream_producers.iter().filter_map(|(&id, &key)| Some((id, name(key)?))).collect();
    stream_ids.sort_unstable_by_key(|(id, _)| *id);
    Some(SctpDump {
        parameters: SctpParameters {
            port: sctp::PORT,
            max_send_message_size: options.max_send_message_size,
            max_receive_message_size: options.max_receive_message_size,
            send_buffer_size: options.send_buffer_size,
            per_stream_send_queue_limit: options.per_stream_send_queue_limit,
            max_receiver_window_buffer_size: options.max_receiver_window_buffer_size,
            is_data_channel: data.has_data_channels(),
            os: options.outbound_streams,
            mis: options.inbound_streams,
            max_message_size: options.max_receive_message_size,
        },
        state: sctp.state(),
        negotiated_capabilities: sctp.negotiated(),
        stream_ids,
    })
}

fn produce_data(media: &mut Media, options: ProduceData) -> Answer {
    let transport_key = media.transports.find(&options.transport_id)?;
    media.data_producers.check_new(&options.id)?;
    let data = &mut media.transports[transport_key].data;
    check_path(data, &options.transport, "DataProducer")?;
    let producer = DataProducer::new(options, transport_key);
    let (dump, stream) = (producer.dump(), producer.stream());
    if let Some(stream) = stream {
        let stream = stream.stream_id;
        if data.stream_producers.contains_key(&stream) {
            let text = format!("streamId already exists in SCTP listener [streamId:{stream}]");
            return Err(RequestError::Failed(text));
        }
        if let Some(sctp) = data.sctp_mut() {
            sctp.open_stream(stream);
        }
    }
    let key = media.data_producers.insert(producer);
    data.producers.push(key);
    data.stream_producers.extend(stream.map(|stream| (stream.stream_id, key)));
    Ok(Response::DataProducerDump(Box::new(dump)))
}

fn close_data_producer(media: &mut Media, out: &mut Out, now: Instant, key: DataProducerKey) {
    let Some(producer) = media.data_producers.remove(key) else { return };
    if let Some(transport) = media.transports.live_mut(producer.transport) {
        let data = &mut transport.data;
        data.producers.retain(|&other| other != key);
        if let Some(stream) = producer.stream() {
            data.stream_producers.remove(&stream.stream_id);
            close_stream(media, out, now, producer.transport, stream.stream_id);
        }
    }
    for consumer in producer.consumers {
        messages::notify_data_consumer(media, out, consumer, DataConsumerEvent::DataProducerClose);
        close_data_consumer(media, out, now, consumer);
    }
}

fn pause_data_producer(
    media: &mut Media,
    out: &mut Out,
    id: &DataProducerId,
    pause: bool,
) -> Result<(), RequestError> {
    let key = media.data_producers.find(id)?;
    let producer = &mut media.data_producers[key];
    if std::mem::replace(&mut producer.paused, pause) == pause {
        return Ok(());
    }
    for consumer in producer.consumers.clone() {
        if let Some(consumer) = media.data_consumers.live_mut(consumer) {
            consumer.data_producer_paused = pause;
        }
        let event =
            if pause { DataConsumerEvent::DataProducerPause } else { DataConsumerEvent::DataProducerResume };
        messages::notify_data_consumer(media, out, consumer, event);
    }
    Ok(())
}

fn consume_data(media: &mut Media, options: ConsumeData) -> Answer {
    let transport_key = media.transports.find(&options.transport_id)?;
    media.data_consumers.check_new(&options.id)?;
    let producer_key = media.data_producers.find(&options.data_producer_id)?;
    let producer = &mut media.data_producers[producer_key];
    let router = media.transports.live(producer.transport).map(|t| t.router.clone());
    let transport = &mut media.transports[transport_key];
    if router.as_ref() != Some(&transport.router) {
        return Err(arena::not_found("DataProducer", &options.data_producer_id));
    }
    let data = &mut transport.data;
    check_path(data, &options.transport, "DataConsumer")?;
    let consumer = DataConsumer::new(options, transport_key, producer_key, producer.paused, data.is_pipe());
    let stream = consumer.stream();
    if let Some(stream) = stream {
        let stream = stream.stream_id;
        if data.stream_consumers.contains_key(&stream) {
            let text = format!("an SCTP DataConsumer with same streamId {stream} already exists");
            return Err(RequestError::Failed(text));
        }
        if let Some(sctp) = data.sctp_mut() {
            sctp.open_stream(stream);
        }
    }
    let key = media.data_consumers.insert(consumer);
    data.consumers.push(key);
    data.stream_consumers.extend(stream.map(|stream| (stream.stream_id, key)));
    producer.consumers.push(key);
    Ok(Response::DataConsumerDump(Box::new(dump_data_consumer(media, key))))
}

fn close_data_consumer(media: &mut Media, out: &mut Out, now: Instant, key: DataConsumerKey) {
    let Some(consumer) = media.data_consumers.remove(key) else { return };
    // The DataProducer may have been removed already.
    if let Some(producer) = media.data_producers.get_mut(consumer.data_producer) {
        producer.consumers.retain(|&other| other != key);
    }
    if let Some(transport) = media.transports.live_mut(consumer.transport) {
        let data = &mut transport.data;
        data.consumers.retain(|&other| other != key);
        if let Some(stream) = consumer.stream() {
            data.stream_consumers.remove(&stream.stream_id);
            close_stream(media, out, now, consumer.transport, stream.stream_id);
        }
    }
}

/// Releases a stream that no DataProducer or DataConsumer uses any more. A data channel is closed by a reset (RFC 8831
/// §6.7). On other streams sequence numbers continue, so that the end of one direction does not disturb the other.
fn close_stream(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, stream: u16) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let resets = transport.data.has_data_channels();
    let Some(sctp) = transport.data.sctp_mut() else { return };
    if resets {
        sctp.reset_stream(now, stream);
        association::queue_sctp(media, out, key);
    } else {
        sctp.forget_stream(stream);
    }
}

fn dump_data_consumer(media: &mut Media, key: DataConsumerKey) -> DataConsumerDump {
    let buffered_amount = messages::buffered_amount(media, key);
    let stream = media.data_consumers[key].stream().map(|stream| stream.stream_id);
    let threshold = match (stream, messages::sctp_of(media, key)) {
        (Some(stream), Some(sctp)) => sctp.buffered_amount_low_threshold(stream),
        _ => 0,
    };
    media.data_consumers[key].dump(buffered_amount, threshold)
}

fn change_subchannels(
    media: &mut Media,
    id: &DataConsumerId,
    change: impl FnOnce(&mut BTreeSet<u16>),
) -> Answer {
    let subchannels = &mut media.data_consumers.find_mut(id)?.subchannels;
    change(subchannels);
    Ok(Response::Subchannels(subchannels.iter().copied().collect()))
}

/// Returns a DataConsumer of type "sctp" and its stream.
fn find_sctp_data_consumer(
    media: &Media,
    id: &DataConsumerId,
) -> Result<(DataConsumerKey, u16), RequestError> {
    let key = media.data_consumers.find(id)?;
    let stream = media.data_consumers[key].stream();
    let stream = stream.ok_or_else(|| RequestError::Invalid("invalid DataConsumer type".to_owned()))?;
    Ok((key, stream.stream_id))
}

/// Refuses a path that the transport's data side does not support.
fn check_path(data: &DataSide, transport: &DataTransport, kind: &str) -> Result<(), RequestError> {
    let text = match (&data.path, transport) {
        (DataPath::Sctp { .. }, DataTransport::Sctp(parameters)) => {
            return check_stream_parameters(parameters);
        }
        (DataPath::Direct { .. }, DataTransport::Direct) => return Ok(()),
        (DataPath::None, _) => return Err(RequestError::Failed(NO_DATA.to_owned())),
        (DataPath::Direct { .. }, DataTransport::Sctp(_)) => {
            format!("cannot create a {kind} of type 'sctp', SCTP not enabled in this Transport")
        }
        (DataPath::Sctp { .. }, DataTransport::Direct) => {
            format!("cannot create a {kind} of type 'direct', not a direct Transport")
        }
    };
    Err(RequestError::Invalid(text))
}

const NO_DATA: &str = "SCTP not enabled and not a direct Transport";
