//! Which layers consumers aim at, as streams, reports and pauses come and go.

use std::time::{Duration, Instant};

use super::starting::KeyFrameCause;
use super::{Timer, Worker};
use crate::api::{ConsumerEvent, ConsumerId, ConsumerLayers, RequestError, Response, StreamType};
use crate::consumer::layers::ssrc_of;
use crate::keys::{ConsumerKey, ProducerKey};
use crate::transport::Transport;

/// Between looks at which streams and layers of a Producer have ended.
const INACTIVITY_CHECK: Duration = Duration::from_millis(500);

impl Worker {
    /// A stream or a layer of a Producer has come (back), and may go again.
    pub(super) fn watch_layers(&mut self, now: Instant, key: ProducerKey) {
        self.arm_relaxed(Timer::LayerActivity(key), now + INACTIVITY_CHECK);
    }

    /// Streams of a simulcast that come and go have a score to tell; layers within a stream have none.
    pub(super) fn on_activity_changed(&mut self, now: Instant, key: ProducerKey) {
        match self.producers.get(key).map(|producer| producer.stream_type) {
            Some(StreamType::Simulcast) => self.on_score_changed(now, key),
            _ => self.aim_consumers(now, key),
        }
    }

    pub(super) fn on_layer_activity_timer(&mut self, now: Instant, key: ProducerKey) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        let changed = producer.check_inactivity(now);
        self.watch_layers(now, key);
        if changed {
            self.on_activity_changed(now, key);
        }
    }

    /// Every consumer of a Producer aims at the best of its preferred layers that are there.
    pub(super) fn aim_consumers(&mut self, now: Instant, key: ProducerKey) {
        let Some(producer) = self.producers.get(key).filter(|producer| producer.has_layers()) else { return };
        for consumer in producer.consumers.clone() {
            self.aim_consumer(now, consumer);
        }
    }

    /// A consumer aims at the best of its preferred layers that are there, unless bandwidth decides on them.
    pub(super) fn aim_consumer(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let connected = self.transports.get(consumer.transport).is_some_and(Transport::is_connected);
        let active = consumer.is_active() && connected;
        let Some(producer) = self.producers.get(consumer.producer) else { return };
        let Some(layers) = &mut consumer.layers else { return };
        if active && layers.is_allocated() {
            let transport = consumer.transport;
            self.allocate_layers(now, transport);
        } else if active {
            layers.aim(&producer.streams);
            self.after_aiming(now, key);
        }
    }

    /// A consumer sends nothing any more: it or its Producer was paused, or its transport is disconnected.
    pub(super) fn stop_layers(&mut self, key: ConsumerKey) {
        let Some(layers) = self.consumers.get_mut(key).and_then(|consumer| consumer.layers.as_mut()) else {
            return;
        };
        layers.stop();
        self.notify_layers(key);
    }

    /// Tells of what aiming has changed, and asks for the key frame that it may need.
    pub(super) fn after_aiming(&mut self, now: Instant, key: ConsumerKey) {
        self.notify_layers(key);
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let producer_key = consumer.producer;
        let wanted = consumer.layers.as_mut().and_then(|layers| layers.poll_key_frame_wanted());
        let ssrc = self.producers.get(producer_key).zip(wanted).and_then(|(p, e)| ssrc_of(&p.streams, e));
        if let Some(ssrc) = ssrc
            && !self.catch_up(now, key)
        {
            self.cause_key_frames(now, key, KeyFrameCause::Switch, &[ssrc]);
        }
    }

    fn notify_layers(&mut self, key: ConsumerKey) {
        let Some(layers) = self.consumers.get_mut(key).and_then(|consumer| consumer.layers.as_mut()) else {
            return;
        };
        if let Some(current) = layers.poll_change() {
            self.notify_consumer(key, ConsumerEvent::LayersChange(current.map(Into::into)));
        }
    }

    pub(super) fn set_preferred_layers(
        &mut self,
        now: Instant,
        id: &ConsumerId,
        wanted: ConsumerLayers,
    ) -> Result<Response, RequestError> {
        let key = self.find_consumer(id)?;
        // Simple and pipe consumers have no layers to choose from; mediasoup answers with none.
        let Some(layers) = &mut self.consumers[key].layers else {
            return Ok(Response::PreferredLayers(None));
        };
        let preferred = layers.set_preferred(wanted);
        self.aim_consumer(now, key);
        Ok(Response::PreferredLayers(Some(preferred.into())))
    }
}
