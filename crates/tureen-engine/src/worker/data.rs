//! Data: requests about DataProducers and DataConsumers, and the way of a message from one to the others.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use rand::RngCore;

use super::arena::{Media, not_found};
use super::control::done;
use super::drops::DropReason;
use super::ingress;
use super::out::Out;
use super::timer::Timer;
use crate::api::{
    ConsumeData, DataConsumerDump, DataConsumerEvent, DataConsumerId, DataMessage, DataProducerId,
    DataTransport, Notification, ProduceData, Publication, Request, RequestError, Response, RouterDump,
    SctpDump, TransportEvent,
};
use crate::data::subchannels::Subchannels;
use crate::data::{
    DataConsumer, DataPath, DataProducer, DataSide, SctpPurpose, check_sctp_options, check_stream_parameters,
};
use crate::keys::{DataConsumerKey, DataProducerKey, TransportKey};
use crate::transport::link::{Link, Path};
use tureen_rtc::dtls::DtlsError;
use tureen_rtc::log;
use tureen_rtc::sctp::{self, Sctp, SctpOptions, SendError};
use tureen_types::data_structures::SctpState;
use tureen_types::sctp_parameters::SctpParameters;

type Answer = Result<Response, RequestError>;

/// Carries out a request about data.
pub(super) fn control_data(media: &mut Media, out: &mut Out, now: Instant, request: Request) -> Answer {
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
            let buffered_amount = buffered_amount(media, key);
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
            Ok(Response::BufferedAmount(buffered_amount(media, key)))
        }
        Request::SetBufferedAmountLowThreshold(id, threshold) => {
            let (key, stream) = find_sctp_data_consumer(media, &id)?;
            if let Some(sctp) = sctp_of(media, key) {
                sctp.set_buffered_amount_low_threshold(stream, threshold);
            }
            Ok(Response::Done)
        }
        Request::SendData(id, message) => send_data(media, out, now, &id, message),
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

/// The data side of a new transport.
pub(super) fn data_side(
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

/// The transport can carry SCTP from now on.
pub(super) fn start_sctp(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    if let Some(sctp) = media.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.connect(now);
        queue_sctp(media, out, key);
    }
}

/// The transport can carry SCTP no more.
pub(super) fn end_sctp(media: &mut Media, out: &mut Out, key: TransportKey) {
    if let Some(sctp) = media.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.close();
        queue_sctp(media, out, key);
    }
}

/// Takes an SCTP packet of the remote side.
pub(super) fn handle_sctp(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, packet: &[u8]) {
    if let Some(sctp) = media.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.handle_packet(now, packet);
        queue_sctp(media, out, key);
    }
}

pub(super) fn on_sctp_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    if let Some(sctp) = media.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.handle_timeout(now);
        queue_sctp(media, out, key);
    }
}

/// Acts on what associations have to say, once after every input. What they have to send is sealed when the driver
/// drains it.
pub(super) fn flush_sctp(media: &mut Media, out: &mut Out, now: Instant) {
    let mut at = 0;
    // Messages put more associations in line.
    while let Some(&key) = out.queued_sctp.get(at) {
        drain_sctp_events(media, out, now, key);
        at += 1;
    }
    for key in out.queued_sctp.drain(..) {
        let Some(transport) = media.transports.get_mut(key) else { continue };
        transport.data.queued = false;
        if !std::mem::replace(&mut transport.data.sending, true) {
            out.sending_sctp.push_back(key);
        }
    }
}

/// Seals the next packet of the associations in line. False when none has any.
pub(super) fn seal_next_sctp(media: &mut Media, out: &mut Out, now: Instant) -> bool {
    while let Some(&key) = out.sending_sctp.front() {
        if seal_sctp(media, out, now, key) {
            return true;
        }
        out.sending_sctp.pop_front();
        if let Some(transport) = media.transports.get_mut(key) {
            transport.data.sending = false;
        }
    }
    false
}

/// Everything of a transport that is about data goes with it.
pub(super) fn close_data(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.get_mut(key) else { return };
    let data = &mut transport.data;
    let (producers, consumers) = (std::mem::take(&mut data.producers), std::mem::take(&mut data.consumers));
    if let Some(sctp) = data.sctp_mut() {
        sctp.close();
    }
    while seal_sctp(media, out, now, key) {}
    for producer in producers {
        close_data_producer(media, out, now, producer);
    }
    for consumer in consumers {
        close_data_consumer(media, out, now, consumer);
    }
    out.timers.disarm(Timer::Sctp(key));
}

/// Takes a message of the application's own for a DataProducer.
pub(super) fn publish(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &DataProducerId,
    publication: Publication,
) -> Result<(), DropReason> {
    let key = media.data_producers.key(id).ok_or(DropReason::NoProducer)?;
    let Publication { message, subchannels, required_subchannel, ignored_subchannel } = publication;
    let transport = media.data_producers.get(key).and_then(|p| media.transports.get_mut(p.transport));
    let transport = transport.ok_or(DropReason::NoProducer)?;
    if message.payload.len() > transport.data.max_message_sizes().1 as usize {
        return Err(DropReason::MessageTooLong);
    }
    transport.traffic.received.add(now, 1, message.payload.len());
    let subchannels =
        Subchannels { any_of: subchannels, required: required_subchannel, ignored: ignored_subchannel };
    distribute(media, out, now, key, message.ppid, message.payload.into(), &subchannels);
    Ok(())
}

pub(super) fn fill_router_dump(media: &Media, dump: &mut RouterDump, transports: &[TransportKey]) {
    let transports = transports.iter().filter_map(|&key| media.transports.get(key));
    let producers =
        transports.flat_map(|t| &t.data.producers).filter_map(|&key| media.data_producers.get(key));
    dump.data_producer_consumers =
        producers.map(|p| (p.id.clone(), data_consumer_names(media, &p.consumers))).collect();
}

pub(super) fn data_producer_names(media: &Media, data: &DataSide) -> Vec<DataProducerId> {
    let producers = data.producers.iter().filter_map(|&key| media.data_producers.get(key));
    producers.map(|producer| producer.id.clone()).collect()
}

pub(super) fn data_consumer_names(media: &Media, keys: &[DataConsumerKey]) -> Vec<DataConsumerId> {
    let consumers = keys.iter().filter_map(|&key| media.data_consumers.get(key));
    consumers.map(|consumer| consumer.id.clone()).collect()
}

pub(super) fn dump_sctp(media: &Media, data: &DataSide) -> Option<SctpDump> {
    let sctp = data.sctp()?;
    let options = sctp.options();
    let name = |key| media.data_producers.get(key).map(|producer| producer.id.clone());
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
    if let Some(transport) = media.transports.get_mut(producer.transport) {
        let data = &mut transport.data;
        data.producers.retain(|&other| other != key);
        if let Some(stream) = producer.stream() {
            data.stream_producers.remove(&stream.stream_id);
            close_stream(media, out, now, producer.transport, stream.stream_id);
        }
    }
    for consumer in producer.consumers {
        notify_data_consumer(media, out, consumer, DataConsumerEvent::DataProducerClose);
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
        if let Some(consumer) = media.data_consumers.get_mut(consumer) {
            consumer.data_producer_paused = pause;
        }
        let event =
            if pause { DataConsumerEvent::DataProducerPause } else { DataConsumerEvent::DataProducerResume };
        notify_data_consumer(media, out, consumer, event);
    }
    Ok(())
}

fn consume_data(media: &mut Media, options: ConsumeData) -> Answer {
    let transport_key = media.transports.find(&options.transport_id)?;
    media.data_consumers.check_new(&options.id)?;
    let producer_key = media.data_producers.find(&options.data_producer_id)?;
    let producer = &mut media.data_producers[producer_key];
    let router = media.transports.get(producer.transport).map(|t| t.router.clone());
    let transport = &mut media.transports[transport_key];
    if router.as_ref() != Some(&transport.router) {
        return Err(not_found("DataProducer", &options.data_producer_id));
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
    if let Some(producer) = media.data_producers.get_mut(consumer.data_producer) {
        producer.consumers.retain(|&other| other != key);
    }
    if let Some(transport) = media.transports.get_mut(consumer.transport) {
        let data = &mut transport.data;
        data.consumers.retain(|&other| other != key);
        if let Some(stream) = consumer.stream() {
            data.stream_consumers.remove(&stream.stream_id);
            close_stream(media, out, now, consumer.transport, stream.stream_id);
        }
    }
}

/// Nobody here uses a stream any more: a data channel is closed by a reset (RFC 8831 §6.7). On other streams
/// numbers go on where they are, so that one direction's end does not disturb the other's.
fn close_stream(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, stream: u16) {
    let Some(transport) = media.transports.get_mut(key) else { return };
    let resets = transport.data.has_data_channels();
    let Some(sctp) = transport.data.sctp_mut() else { return };
    if resets {
        sctp.reset_stream(now, stream);
        queue_sctp(media, out, key);
    } else {
        sctp.forget_stream(stream);
    }
}

fn dump_data_consumer(media: &mut Media, key: DataConsumerKey) -> DataConsumerDump {
    let buffered_amount = buffered_amount(media, key);
    let stream = media.data_consumers[key].stream().map(|stream| stream.stream_id);
    let threshold = match (stream, sctp_of(media, key)) {
        (Some(stream), Some(sctp)) => sctp.buffered_amount_low_threshold(stream),
        _ => 0,
    };
    media.data_consumers[key].dump(buffered_amount, threshold)
}

/// Sends a message of the application's own.
fn send_data(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &DataConsumerId,
    message: DataMessage,
) -> Answer {
    let (key, _) = find_sctp_data_consumer(media, id)?;
    let consumer = &media.data_consumers[key];
    let data = &media.transports[consumer.transport].data;
    let (limit, len) = (data.max_message_sizes().0, message.payload.len());
    if len > limit as usize {
        let text = format!("given message exceeds maxMessageSize value [maxMessageSize:{limit}, len:{len}]");
        return Err(RequestError::Invalid(text));
    }
    if !consumer.is_active() {
        return Err(RequestError::Failed("message send failed".to_owned()));
    }
    match send_message(media, out, key, message.ppid, message.payload.into(), &Subchannels::default()) {
        Ok(()) => {
            if let Some(sctp) = sctp_of(media, key) {
                sctp.flush(now);
            }
            Ok(Response::BufferedAmount(buffered_amount(media, key)))
        }
        Err(error @ SendError::BufferFull) => Err(RequestError::Failed(error.to_string())),
        Err(_) => Err(RequestError::Failed("message send failed".to_owned())),
    }
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

fn drain_sctp_events(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    if let Some(sctp) = media.transports.get_mut(key).and_then(|transport| transport.data.sctp_mut()) {
        out.drops.add(DropReason::TooMuchWaits, sctp.take_refused());
    }
    while let Some(transport) = media.transports.get_mut(key)
        && let Some(sctp) = transport.data.sctp_mut()
        && let Some(event) = sctp.poll_event()
    {
        match event {
            sctp::Event::State(state) => {
                if state == SctpState::Connected
                    && let Some(negotiated) = sctp.negotiated()
                {
                    out.notify_transport(media, key, TransportEvent::SctpNegotiatedCapabilities(negotiated));
                }
                out.notify_transport(media, key, TransportEvent::SctpState(state));
            }
            sctp::Event::Message { stream, ppid, payload } => {
                let Some(&producer) = transport.data.stream_producers.get(&stream) else {
                    out.drops.count(DropReason::NoProducer);
                    continue;
                };
                let (subchannels, payload) = if transport.data.is_pipe() {
                    Subchannels::decode(payload)
                } else {
                    (Subchannels::default(), payload)
                };
                distribute(media, out, now, producer, ppid, payload, &subchannels);
            }
            sctp::Event::MessageTooLong(_) => out.drops.count(DropReason::MessageTooLong),
            sctp::Event::StreamReset(stream) => {
                // As mediasoup does, without a word to the application: its client tells it.
                if transport.data.has_data_channels()
                    && let Some(&consumer) = transport.data.stream_consumers.get(&stream)
                {
                    close_data_consumer(media, out, now, consumer);
                }
            }
            sctp::Event::BufferedAmountLow(stream) => {
                if let Some(&consumer) = transport.data.stream_consumers.get(&stream) {
                    let amount = buffered_amount(media, consumer);
                    notify_data_consumer(media, out, consumer, DataConsumerEvent::BufferedAmountLow(amount));
                }
            }
        }
    }
}

/// Hands a message of a DataProducer to all DataConsumers that want it.
fn distribute(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: DataProducerKey,
    ppid: u32,
    payload: Bytes,
    subchannels: &Subchannels,
) {
    let Some(producer) = media.data_producers.get_mut(key) else { return };
    producer.count(payload.len());
    if producer.paused {
        return;
    }
    let consumers = std::mem::take(&mut producer.consumers);
    for &consumer_key in &consumers {
        let Some(consumer) = media.data_consumers.get(consumer_key) else { continue };
        if !consumer.is_active() || !consumer.wants(subchannels) {
            continue;
        }
        match consumer.stream() {
            Some(_) => {
                // What can't be sent is told by an event, or goes with its association.
                let _ = send_message(media, out, consumer_key, ppid, payload.clone(), subchannels);
            }
            None => deliver(media, out, now, consumer_key, ppid, &payload),
        }
    }
    if let Some(producer) = media.data_producers.get_mut(key) {
        producer.consumers = consumers;
    }
}

/// Puts a message into the association of a DataConsumer.
fn send_message(
    media: &mut Media,
    out: &mut Out,
    key: DataConsumerKey,
    ppid: u32,
    payload: Bytes,
    subchannels: &Subchannels,
) -> Result<(), SendError> {
    let consumer = media.data_consumers.get_mut(key).ok_or(SendError::Closed)?;
    let stream = consumer.stream().ok_or(SendError::Closed)?;
    let payload = if consumer.pipe { subchannels.encode(&consumer.subchannels, &payload) } else { payload };
    let len = payload.len();
    let transport_key = consumer.transport;
    let transport = media.transports.get_mut(transport_key).ok_or(SendError::Closed)?;
    let sctp = transport.data.sctp_mut().ok_or(SendError::Closed)?;
    let sent = sctp.send(stream, ppid, payload);
    // mediasoup counts a message that finds the buffer full, too.
    if matches!(sent, Ok(()) | Err(SendError::BufferFull)) {
        consumer.count(len);
    }
    if sent == Err(SendError::BufferFull) {
        notify_data_consumer(media, out, key, DataConsumerEvent::SctpSendBufferFull);
    }
    queue_sctp(media, out, transport_key);
    sent
}

/// Hands a message to the application.
fn deliver(media: &mut Media, out: &mut Out, now: Instant, key: DataConsumerKey, ppid: u32, payload: &Bytes) {
    let Some(consumer) = media.data_consumers.get_mut(key) else { return };
    let Some(transport) = media.transports.get_mut(consumer.transport) else { return };
    if payload.len() > transport.data.max_message_sizes().0 as usize {
        return out.drops.count(DropReason::MessageTooLong);
    }
    consumer.count(payload.len());
    transport.traffic.other_sent.add(now, 1, payload.len());
    let message = DataMessage { ppid, payload: payload.to_vec() };
    notify_data_consumer(media, out, key, DataConsumerEvent::Message(message));
}

/// Puts the next packet of an association in line. False when it has none.
fn seal_sctp(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) -> bool {
    let Some(transport) = media.transports.get_mut(key) else { return false };
    let Some(sctp) = transport.data.sctp_mut() else { return false };
    let Some(packet) = sctp.poll_packet(now) else {
        // What packets were made of may have left room.
        let at = if sctp.has_events() { Some(now) } else { sctp.poll_timeout() };
        if let Some(at) = at {
            out.timers.arm(Timer::Sctp(key), at);
        }
        return false;
    };
    match &mut transport.link {
        Link::WebRtc(link) => match link.dtls.as_mut().map(|dtls| dtls.send(&packet)) {
            Some(Ok(())) => {
                ingress::drain_dtls(media, out, now, key);
            }
            // Lost, as on any network; the association knows what to do.
            None | Some(Err(DtlsError::NotConnected | DtlsError::SendQueueFull)) => {}
            Some(Err(error)) => {
                tracing::debug!(target: log::SCTP, %error, "an SCTP packet can't be sent")
            }
        },
        Link::Plain(_) | Link::Pipe(_) => {
            if let Some(Path::Network(tuple)) = transport.link.rtp_path() {
                transport.traffic.other_sent.add(now, 1, packet.len());
                out.control.queue(tuple, &packet);
            }
        }
        Link::Direct => {}
    }
    true
}

fn queue_sctp(media: &mut Media, out: &mut Out, key: TransportKey) {
    if let Some(transport) = media.transports.get_mut(key)
        && !std::mem::replace(&mut transport.data.queued, true)
    {
        out.queued_sctp.push(key);
    }
}

fn notify_data_consumer(media: &mut Media, out: &mut Out, key: DataConsumerKey, event: DataConsumerEvent) {
    if let Some(consumer) = media.data_consumers.get(key) {
        let notification = Notification::DataConsumer(consumer.id.clone(), event);
        out.notify(notification);
    }
}

/// Bytes that wait on a DataConsumer's stream.
fn buffered_amount(media: &mut Media, key: DataConsumerKey) -> u32 {
    let stream = media.data_consumers.get(key).and_then(DataConsumer::stream);
    let amount = match (stream, sctp_of(media, key)) {
        (Some(stream), Some(sctp)) => sctp.buffered_amount(stream.stream_id),
        _ => 0,
    };
    u32::try_from(amount).unwrap_or(u32::MAX)
}

fn sctp_of(media: &mut Media, key: DataConsumerKey) -> Option<&mut Sctp> {
    let consumer = media.data_consumers.get(key)?;
    media.transports.get_mut(consumer.transport)?.data.sctp_mut()
}

/// A DataConsumer of type "sctp" and its stream.
fn find_sctp_data_consumer(
    media: &Media,
    id: &DataConsumerId,
) -> Result<(DataConsumerKey, u16), RequestError> {
    let key = media.data_consumers.find(id)?;
    let stream = media.data_consumers[key].stream();
    let stream = stream.ok_or_else(|| RequestError::Invalid("invalid DataConsumer type".to_owned()))?;
    Ok((key, stream.stream_id))
}

/// Refuses what a transport's data side can't carry.
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
