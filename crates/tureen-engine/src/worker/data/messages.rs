//! Messages: from a DataProducer to its DataConsumers, and from and to the application.

use std::time::Instant;

use bytes::Bytes;

use crate::api::{
    DataConsumerEvent, DataConsumerId, DataMessage, DataProducerId, Notification, Publication, RequestError,
    Response,
};
use crate::data::DataConsumer;
use crate::data::subchannels::Subchannels;
use crate::keys::{DataConsumerKey, DataProducerKey};
use crate::worker::arena::Media;
use crate::worker::control::Answer;
use crate::worker::data;
use crate::worker::data::association;
use crate::worker::drops::DropReason;
use crate::worker::out::Out;
use tureen_rtc::sctp::{Sctp, SendError};

/// Publishes a message of the application on a DataProducer.
pub(crate) fn publish(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &DataProducerId,
    publication: Publication,
) -> Result<(), DropReason> {
    let key = media.data_producers.key(id).ok_or(DropReason::NoProducer)?;
    let Publication { message, subchannels, required_subchannel, ignored_subchannel } = publication;
    let transport = media.data_producers.live(key).and_then(|p| media.transports.live_mut(p.transport));
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

/// Sends a message of the application on a DataConsumer.
pub(crate) fn send_data(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &DataConsumerId,
    message: DataMessage,
) -> Answer {
    let (key, _) = data::find_sctp_data_consumer(media, id)?;
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

/// Distributes a message of a DataProducer to all DataConsumers whose subchannels match.
pub(crate) fn distribute(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: DataProducerKey,
    ppid: u32,
    payload: Bytes,
    subchannels: &Subchannels,
) {
    let Some(producer) = media.data_producers.live_mut(key) else { return };
    producer.count(payload.len());
    if producer.paused {
        return;
    }
    // The list is taken out, because sending borrows all of `media`.
    let consumers = std::mem::take(&mut producer.consumers);
    for &consumer_key in &consumers {
        let Some(consumer) = media.data_consumers.live(consumer_key) else { continue };
        if !consumer.is_active() || !consumer.wants(subchannels) {
            continue;
        }
        match consumer.stream() {
            Some(_) => {
                // A message that cannot be sent causes an event or ends with its association.
                let _ = send_message(media, out, consumer_key, ppid, payload.clone(), subchannels);
            }
            None => deliver(media, out, now, consumer_key, ppid, &payload),
        }
    }
    if let Some(producer) = media.data_producers.live_mut(key) {
        producer.consumers = consumers;
    }
}

/// Queues a message in the association of a DataConsumer.
fn send_message(
    media: &mut Media,
    out: &mut Out,
    key: DataConsumerKey,
    ppid: u32,
    payload: Bytes,
    subchannels: &Subchannels,
) -> Result<(), SendError> {
    let consumer = media.data_consumers.live_mut(key).ok_or(SendError::Closed)?;
    let stream = consumer.stream().ok_or(SendError::Closed)?;
    let payload = if consumer.pipe { subchannels.encode(&consumer.subchannels, &payload) } else { payload };
    let len = payload.len();
    let transport_key = consumer.transport;
    let transport = media.transports.live_mut(transport_key).ok_or(SendError::Closed)?;
    let sctp = transport.data.sctp_mut().ok_or(SendError::Closed)?;
    let sent = sctp.send(stream, ppid, payload);
    // As in mediasoup, a message that is refused by a full buffer counts too.
    if matches!(sent, Ok(()) | Err(SendError::BufferFull)) {
        consumer.count(len);
    }
    if sent == Err(SendError::BufferFull) {
        notify_data_consumer(media, out, key, DataConsumerEvent::SctpSendBufferFull);
    }
    association::queue_sctp(media, out, transport_key);
    sent
}

/// Delivers a message to the application.
fn deliver(media: &mut Media, out: &mut Out, now: Instant, key: DataConsumerKey, ppid: u32, payload: &Bytes) {
    let Some(consumer) = media.data_consumers.live_mut(key) else { return };
    let Some(transport) = media.transports.live_mut(consumer.transport) else { return };
    if payload.len() > transport.data.max_message_sizes().0 as usize {
        return out.drops.count(DropReason::MessageTooLong);
    }
    consumer.count(payload.len());
    transport.traffic.other_sent.add(now, 1, payload.len());
    let message = DataMessage { ppid, payload: payload.to_vec() };
    notify_data_consumer(media, out, key, DataConsumerEvent::Message(message));
}

pub(crate) fn notify_data_consumer(
    media: &mut Media,
    out: &mut Out,
    key: DataConsumerKey,
    event: DataConsumerEvent,
) {
    if let Some(consumer) = media.data_consumers.live(key) {
        let notification = Notification::DataConsumer(consumer.id.clone(), event);
        out.notify(notification);
    }
}

/// Number of bytes queued on a DataConsumer's stream.
pub(crate) fn buffered_amount(media: &mut Media, key: DataConsumerKey) -> u32 {
    let stream = media.data_consumers.live(key).and_then(DataConsumer::stream);
    let amount = match (stream, sctp_of(media, key)) {
        (Some(stream), Some(sctp)) => sctp.buffered_amount(stream.stream_id),
        _ => 0,
    };
    u32::try_from(amount).unwrap_or(u32::MAX)
}

pub(crate) fn sctp_of(media: &mut Media, key: DataConsumerKey) -> Option<&mut Sctp> {
    let consumer = media.data_consumers.live(key)?;
    media.transports.live_mut(consumer.transport)?.data.sctp_mut()
}
