//! How consumers start: with a key frame that is asked for, or with one that came just before.
//!
//! Applications make consumers paused and resume them when the remote side is ready, which takes a browser a tenth of a
//! second and more. A key frame asked for meanwhile has come by then: the consumer begins with it and with what came since,
//! so that the picture does not wait for the sender's encoder after all. So do consumers that start soon after others;
//! libwebrtc's encoders answer no two requests within 300 ms.

use std::time::Instant;

use super::Worker;
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
        self.egress.queue_transport(transport_key, transport);
        true
    }

    /// The remote side needs a key frame, or the Consumer to start: asks for one of what it sends or is about to.
    pub(super) fn request_key_frame(&mut self, now: Instant, key: ConsumerKey) {
        if self.consumers.get(key).is_some_and(|consumer| !consumer.paused) {
            self.prepare_key_frame(now, key);
        }
    }

    /// The application asks for a key frame. That of a paused consumer, which mediasoup does nothing for, will be there when
    /// it is resumed.
    pub(super) fn prepare_key_frame(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else { return };
        let connected = self.transports.get(consumer.transport).is_some_and(Transport::is_connected);
        if !connected || !consumer.has_key_frames() {
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
}
