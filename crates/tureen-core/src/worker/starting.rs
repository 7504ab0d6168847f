//! How consumers start: with a key frame that is asked for, or with one that came just before.
//!
//! Applications make consumers paused and resume them when the remote side is ready, which takes a browser a tenth of a
//! second and more. A key frame asked for meanwhile has come by then: the consumer begins with it and with what came since,
//! so that the picture does not wait for the sender's encoder after all. So do consumers that start soon after others;
//! libwebrtc's encoders answer no two requests within 300 ms.

use std::time::Instant;

use super::Worker;
use crate::consumer::layers::ssrc_of;
use crate::keys::ConsumerKey;
use crate::transport::Transport;

impl Worker {
    /// A Consumer may send from now on: it synchronises with the next packet, for video with a key frame.
    pub(super) fn start_consumer(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        if !consumer.is_active() {
            return;
        }
        consumer.require_sync();
        self.aim_consumer(now, key);
        if !self.catch_up(now, key) {
            self.request_key_frame(now, key);
        }
    }

    /// Makes a consumer begin with a key frame that has come before, if it has sent nothing yet and there is one. True if
    /// so: none need be asked for.
    pub(super) fn catch_up(&mut self, now: Instant, key: ConsumerKey) -> bool {
        let Some(consumer) = self.consumers.get(key) else { return false };
        let Some(producer) = self.producers.get(consumer.producer) else { return false };
        let stream = consumer.awaited_stream(&producer.streams).map(|index| &producer.streams[index]);
        if stream.and_then(|stream| stream.recent_key_frame(now)).is_none() {
            return false;
        }
        let transport_key = consumer.transport;
        let Some(transport) = self.transports.get_mut(transport_key).filter(|t| t.is_connected()) else {
            return false;
        };
        let starting = (transport_key, key);
        if !self.egress.starting.contains(&starting) {
            self.egress.starting.push(starting);
        }
        if !std::mem::replace(&mut transport.queued, true) {
            self.egress.queue_transport(transport_key);
        }
        true
    }

    /// The application asks for a key frame. That of a paused consumer, which mediasoup does nothing for, will be there when
    /// it is resumed.
    pub(super) fn on_key_frame_wish(&mut self, now: Instant, key: ConsumerKey) {
        match self.consumers.get(key) {
            Some(consumer) if consumer.paused => self.prepare_key_frame(now, key),
            _ => self.request_key_frame(now, key),
        }
    }

    /// Asks for key frames of what a Consumer sends or is about to, if it could send them.
    pub(super) fn request_key_frame(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else { return };
        let connected = self.transports.get(consumer.transport).is_some_and(Transport::is_connected);
        if !connected || !consumer.needs_key_frame() {
            return;
        }
        let producer_key = consumer.producer;
        let Some(producer) = self.producers.get_mut(producer_key) else { return };
        if consumer.layers.is_none() {
            producer.request_key_frames(now);
        } else {
            let ssrcs: Vec<_> = consumer.key_frame_ssrcs(&producer.streams).collect();
            for ssrc in ssrcs {
                producer.request_key_frame(now, ssrc);
            }
        }
        self.poll_producer_feedback(now, producer_key);
    }

    /// Asks for a key frame of what a paused consumer would send by its preferred layers.
    fn prepare_key_frame(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else { return };
        let connected = self.transports.get(consumer.transport).is_some_and(Transport::is_connected);
        let producer_key = consumer.producer;
        let Some(producer) = self.producers.get_mut(producer_key).filter(|producer| !producer.paused) else {
            return;
        };
        if !connected || !consumer.waits_for_key_frames() {
            return;
        }
        match &consumer.layers {
            None => producer.request_key_frames(now),
            Some(layers) => {
                let encoding =
                    layers.best_layers(&producer.streams).map(|best| layers.encoding_of(best.spatial));
                let ssrc = encoding.and_then(|encoding| ssrc_of(&producer.streams, encoding));
                let Some(ssrc) = ssrc else { return };
                producer.request_key_frame(now, ssrc);
            }
        }
        self.poll_producer_feedback(now, producer_key);
    }
}
