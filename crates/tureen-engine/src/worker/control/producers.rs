//! Requests about Producers: create, pause, close.

use std::time::Instant;
use tureen_rtc::wire::rtp::Extension;

use crate::api::{ConsumerEvent, Produce, ProducerId, RequestError, Response};
use crate::keys::{ProducerKey, TransportKey};
use crate::media::producer::Producer;
use crate::transport::send_control::Feedback;
use crate::worker::arena::Media;
use crate::worker::control::{Answer, consumers, observers, parameters};
use crate::worker::forward::{layers, start};
use crate::worker::out::Out;
use crate::worker::rtcp::feedback;
use crate::worker::timer::Timer;

pub(crate) fn produce(media: &mut Media, out: &mut Out, now: Instant, mut options: Produce) -> Answer {
    parameters::complete(options.kind, &mut options.rtp_parameters)?;
    let transport_key = media.transports.find(&options.transport_id)?;
    media.producers.check_new(&options.id)?;
    let declared = declared_streams(media, transport_key) + options.rtp_parameters.encodings.len();
    let transport = &mut media.transports[transport_key];
    let limit = out.limits.streams_by(&transport.link);
    if declared > limit {
        let text = format!("transport {} would receive more than {limit} streams", transport.id);
        return Err(RequestError::Failed(text));
    }
    let producer = Producer::new(options, transport_key, &out.limits)?;
    let parameters = producer.rtp_parameters.clone();
    let ids = *producer.extension_ids();
    let cname = producer.cname().to_owned();
    let stream_type = producer.stream_type;
    let key = media.producers.insert(producer);
    if let Err(error) = transport.listener.add(key, &parameters) {
        media.producers.remove(key);
        return Err(error);
    }
    if let Some(opener) = &mut transport.opener {
        opener.set_max_streams(out.limits.srtp_streams_by(&transport.link, declared));
    }
    transport.learn_extension_ids(&ids);
    transport.clocks.add(&cname, ids[Extension::AbsCaptureTime].is_some());
    transport.learn_feedback(now, Feedback::of(&parameters));
    transport.producers.push(key);
    feedback::send_remb(media, out, now, transport_key);
    Ok(Response::Produced { stream_type })
}

/// Number of streams that the Producers of a transport declare.
pub(crate) fn declared_streams(media: &Media, key: TransportKey) -> usize {
    let producers = media.transports.live(key).into_iter().flat_map(|transport| &transport.producers);
    producers.map(|&producer| media.producers[producer].rtp_parameters.encodings.len()).sum()
}

pub(crate) fn close_producer(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.live(key) else { return };
    for consumer in producer.consumers.clone() {
        out.notify_consumer(media, consumer, ConsumerEvent::ProducerClose);
        consumers::close_consumer(media, out, consumer);
    }
    let Some(producer) = media.producers.remove(key) else { return };
    observers::on_observed_producer_closed(media, out, now, key, &producer.observers);
    for timer in [Timer::Nack(key), Timer::KeyFrame(key), Timer::LayerActivity(key)] {
        out.timers.disarm(timer);
    }
    if let Some(transport) = media.transports.live_mut(producer.transport) {
        transport.producers.retain(|&other| other != key);
        transport.listener.remove(key);
        let of_sender = |other: &&ProducerKey| {
            media.producers.live(**other).is_some_and(|other| other.cname() == producer.cname())
        };
        if !transport.producers.iter().any(|other| of_sender(&other)) {
            transport.clocks.remove(producer.cname());
        }
        if let Some(opener) = &mut transport.opener {
            for stream in &producer.streams {
                opener.end_stream(stream.stats.ssrc());
                if let Some(rtx) = &stream.rtx {
                    opener.end_stream(rtx.ssrc());
                }
            }
        }
    }
}

pub(crate) fn pause_producer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &ProducerId,
    pause: bool,
) -> Result<(), RequestError> {
    let key = media.producers.find(id)?;
    let producer = &mut media.producers[key];
    if std::mem::replace(&mut producer.paused, pause) == pause {
        return Ok(());
    }
    observers::on_observed_producer_paused(media, key, pause);
    for consumer_key in media.producers[key].consumers.clone() {
        let Some(consumer) = media.consumers.live_mut(consumer_key) else { continue };
        consumer.producer_paused = pause;
        let event = if pause { ConsumerEvent::ProducerPause } else { ConsumerEvent::ProducerResume };
        out.notify_consumer(media, consumer_key, event);
        if pause {
            layers::stop_layers(media, out, consumer_key);
        } else {
            start::start_consumer(media, out, now, consumer_key);
        }
    }
    Ok(())
}
