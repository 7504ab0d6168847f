//! Target layers of consumers, which depend on active streams, reports and pauses.

use std::time::{Duration, Instant};

use crate::api::{ConsumerEvent, ConsumerId, ConsumerLayers, RequestError, Response, StreamType};
use crate::keys::{ConsumerKey, ProducerKey};
use crate::media::consumer::layers::ssrc_of;
use crate::transport::Transport;
use crate::worker::arena::Media;
use crate::worker::forward::key_frames::KeyFrameCause;
use crate::worker::forward::{bandwidth, key_frames, start};
use crate::worker::out::Out;
use crate::worker::scores;
use crate::worker::timer::Timer;

/// Interval of checks for streams and layers of a Producer that have become inactive.
const INACTIVITY_CHECK: Duration = Duration::from_millis(500);

/// Arms the inactivity check, because a stream or a layer of a Producer has become active.
pub(crate) fn watch_layers(out: &mut Out, now: Instant, key: ProducerKey) {
    out.arm_relaxed(Timer::LayerActivity(key), now + INACTIVITY_CHECK);
}

/// Handles a stream or layer that has become active or inactive. Streams of a simulcast have scores, layers within a
/// stream do not.
pub(crate) fn on_activity_changed(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    match media.producers.live(key).map(|producer| producer.stream_type) {
        Some(StreamType::Simulcast) => scores::on_score_changed(media, out, now, key),
        _ => aim_consumers(media, out, now, key),
    }
}

pub(crate) fn on_layer_activity_timer(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.live_mut(key) else { return };
    let changed = producer.check_inactivity(now);
    watch_layers(out, now, key);
    if changed {
        on_activity_changed(media, out, now, key);
    }
}

/// Sets the target layers of all consumers of a Producer.
pub(crate) fn aim_consumers(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.live(key).filter(|producer| producer.has_layers()) else { return };
    for consumer in producer.consumers.clone() {
        aim_consumer(media, out, now, consumer);
    }
}

/// Sets the target of a consumer to the best active ones of its preferred layers, unless bandwidth allocation sets the
/// target.
pub(crate) fn aim_consumer(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    let Some(consumer) = media.consumers.live_mut(key) else { return };
    let connected = media.transports.live(consumer.transport).is_some_and(Transport::is_connected);
    let active = consumer.is_active() && connected;
    let Some(producer) = media.producers.live(consumer.producer) else { return };
    let Some(layers) = &mut consumer.layers else { return };
    if active && layers.is_allocated() {
        let transport = consumer.transport;
        bandwidth::allocate_layers(media, out, now, transport);
    } else if active {
        layers.aim(&producer.streams);
        after_aiming(media, out, now, key);
    }
}

/// Stops sending layers, because the consumer or its Producer was paused, or its transport is disconnected.
pub(crate) fn stop_layers(media: &mut Media, out: &mut Out, key: ConsumerKey) {
    let Some(layers) = media.consumers.live_mut(key).and_then(|consumer| consumer.layers.as_mut()) else {
        return;
    };
    layers.stop();
    notify_layers(media, out, key);
}

/// Notifies the application of new layers, and requests the key frame that a switch to the target needs.
pub(crate) fn after_aiming(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    notify_layers(media, out, key);
    let Some(consumer) = media.consumers.live_mut(key) else { return };
    let producer_key = consumer.producer;
    let wanted = consumer.layers.as_mut().and_then(|layers| layers.poll_key_frame_wanted());
    let ssrc = media.producers.live(producer_key).zip(wanted).and_then(|(p, e)| ssrc_of(&p.streams, e));
    if let Some(ssrc) = ssrc
        && !start::catch_up(media, out, now, key)
    {
        key_frames::cause_key_frames(media, out, now, key, KeyFrameCause::Switch, &[ssrc]);
    }
}

fn notify_layers(media: &mut Media, out: &mut Out, key: ConsumerKey) {
    let Some(layers) = media.consumers.live_mut(key).and_then(|consumer| consumer.layers.as_mut()) else {
        return;
    };
    if let Some(current) = layers.poll_change() {
        out.notify_consumer(media, key, ConsumerEvent::LayersChange(current.map(Into::into)));
    }
}

pub(crate) fn set_preferred_layers(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &ConsumerId,
    wanted: ConsumerLayers,
) -> Result<Response, RequestError> {
    let key = media.consumers.find(id)?;
    // Simple and pipe consumers have no layers; mediasoup responds with none.
    let Some(layers) = &mut media.consumers[key].layers else {
        return Ok(Response::PreferredLayers(None));
    };
    let preferred = layers.set_preferred(wanted);
    aim_consumer(media, out, now, key);
    Ok(Response::PreferredLayers(Some(preferred.into())))
}
