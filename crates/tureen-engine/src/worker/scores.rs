//! Scores of Producers and Consumers, as streams, losses and activity change.

use std::time::Instant;

use crate::api::{ConsumerEvent, ProducerEvent};
use crate::keys::{ConsumerKey, ProducerKey};
use crate::worker::arena::Media;
use crate::worker::forward::layers;
use crate::worker::out::Out;

pub(crate) fn update_producer_score(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.live_mut(key) else { return };
    let mut changed = false;
    for stream in &mut producer.streams {
        changed |= stream.update_score();
    }
    if changed {
        on_score_changed(media, out, now, key);
    }
}

/// A stream's score changed, as it may have died or come back; or the stream has begun, which tells its first one.
pub(crate) fn on_score_changed(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.live(key) else { return };
    let (scores, values) = (producer.scores(), producer.encoding_scores());
    let consumers = producer.consumers.clone();
    out.notify_producer(media, key, ProducerEvent::Score(scores));
    for consumer in consumers {
        update_consumer_score(media, out, consumer, &values);
    }
    layers::aim_consumers(media, out, now, key);
}

pub(crate) fn update_consumer_score(
    media: &mut Media,
    out: &mut Out,
    key: ConsumerKey,
    producer_scores: &[u8],
) {
    if let Some(score) = media.consumers.live_mut(key).and_then(|c| c.score_with(producer_scores)) {
        out.notify_consumer(media, key, ConsumerEvent::Score(score));
    }
}
