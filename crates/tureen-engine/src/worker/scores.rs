//! Scores of Producers and Consumers, which depend on streams, losses and activity.

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

/// Notifies the application and the consumers of a score that has changed, and of the first score of a new stream.
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
