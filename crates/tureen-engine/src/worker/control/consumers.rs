//! Requests about Consumers: create, pause, close.

use std::time::Instant;

use crate::api::{Consume, Consumed, ConsumerId, RequestError, Response};
use crate::keys::ConsumerKey;
use crate::media::consumer::Consumer;
use crate::worker::arena;
use crate::worker::arena::Media;
use crate::worker::control::{Answer, parameters};
use crate::worker::forward::key_frames::KeyFrameCause;
use crate::worker::forward::{bandwidth, layers, start};
use crate::worker::out::Out;
use crate::worker::timer::Timer;

pub(crate) fn consume(media: &mut Media, out: &mut Out, now: Instant, mut options: Consume) -> Answer {
    parameters::complete(options.kind, &mut options.rtp_parameters)?;
    let transport_key = media.transports.find(&options.transport_id)?;
    media.consumers.check_new(&options.id)?;
    let producer_key = media.producers.find(&options.producer_id)?;
    let producer = &media.producers[producer_key];
    let same_router = media.transports.live(producer.transport).map(|t| &t.router)
        == media.transports.live(transport_key).map(|t| &t.router);
    if !same_router {
        return Err(arena::not_found("Producer", &options.producer_id));
    }
    if options.consumable_rtp_encodings.is_empty() {
        return Err(RequestError::Invalid(format!(
            "empty consumableRtpEncodings of consumer {}",
            options.id
        )));
    }
    let paused = producer.paused;
    let scores = producer.encoding_scores();
    let random = out.random();
    let mut consumer = Consumer::new(options, producer_key, transport_key, paused, random)?;
    let transport = &mut media.transports[transport_key];
    transport.check_new_ssrcs(&consumer, out.limits.ended_streams_per_transport)?;
    // A reused SSRC continues at its last index, because no SRTP index may be used twice under one key.
    if let Some(sealer) = &transport.sealer {
        consumer.continue_from(|ssrc| sealer.next_index(ssrc));
    }
    consumer.score_with(&scores);
    let created = Consumed {
        paused: consumer.paused,
        producer_paused: paused,
        score: consumer.score().clone(),
        preferred_layers: consumer.preferred_layers(),
    };
    let ssrcs: Vec<_> = consumer.ssrcs().collect();
    // Every check is done before the consumer is inserted, so that a refused request changes nothing.
    let key = media.consumers.insert(consumer);
    transport.add_consumer(key, ssrcs);
    media.producers[producer_key].consumers.push(key);
    bandwidth::may_control_sending(media, out, now, transport_key);
    start::start_consumer(media, out, now, key);
    Ok(Response::Consumed(created))
}

pub(crate) fn close_consumer(media: &mut Media, out: &mut Out, key: ConsumerKey) {
    let Some(consumer) = media.consumers.remove(key) else { return };
    for cause in [KeyFrameCause::Asked, KeyFrameCause::Switch] {
        out.timers.disarm(Timer::KeyFrameAllowed(key, cause));
    }
    if let Some(producer) = media.producers.live_mut(consumer.producer) {
        producer.consumers.retain(|&other| other != key);
    }
    if let Some(transport) = media.transports.live_mut(consumer.transport) {
        transport.remove_consumer(key, &consumer);
        out.line.starting.retain(|&(_, other)| other != key);
    }
}

pub(crate) fn pause_consumer(media: &mut Media, out: &mut Out, id: &ConsumerId) -> Result<(), RequestError> {
    let key = media.consumers.find(id)?;
    media.consumers[key].paused = true;
    layers::stop_layers(media, out, key);
    Ok(())
}

pub(crate) fn resume_consumer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &ConsumerId,
) -> Result<(), RequestError> {
    let key = media.consumers.find(id)?;
    if std::mem::replace(&mut media.consumers[key].paused, false) {
        start::start_consumer(media, out, now, key);
    }
    Ok(())
}

pub(crate) fn set_priority(media: &mut Media, id: &ConsumerId, priority: u8) -> Answer {
    if priority == 0 {
        return Err(RequestError::Invalid("wrong priority 0, it must be 1 to 255".to_owned()));
    }
    media.consumers.find_mut(id)?.priority = priority;
    Ok(Response::Priority(priority))
}
