//! Start of a consumer: with a stored key frame, or with a new one.

use std::time::Instant;

use crate::keys::ConsumerKey;
use crate::worker::arena::Media;
use crate::worker::forward::{key_frames, layers};
use crate::worker::out::Out;

/// Starts a Consumer, which synchronises with the next packet, for video with a key frame.
pub(crate) fn start_consumer(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    let Some(consumer) = media.consumers.live_mut(key) else { return };
    if !consumer.is_active() {
        return;
    }
    consumer.require_sync();
    // The target layers are set first, because the consumer waits for a key frame of their stream.
    layers::aim_consumer(media, out, now, key);
    if !catch_up(media, out, now, key) {
        key_frames::request_key_frame(media, out, now, key);
    }
}

/// Makes a consumer start with a stored key frame, if there is one and the consumer has sent nothing yet. Returns true
/// if so, because no key frame need be requested then.
pub(crate) fn catch_up(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) -> bool {
    let Some(consumer) = media.consumers.live(key) else { return false };
    let Some(producer) = media.producers.live(consumer.producer) else { return false };
    let stream = consumer.awaited_stream(&producer.streams).map(|index| &producer.streams[index]);
    if stream.and_then(|stream| stream.recent_key_frame(now)).is_none() {
        return false;
    }
    let transport_key = consumer.transport;
    let Some(transport) = media.transports.live_mut(transport_key).filter(|t| t.is_connected()) else {
        return false;
    };
    let starting = (transport_key, key);
    if !out.line.starting.contains(&starting) {
        out.line.starting.push(starting);
    }
    out.line.queue(transport_key, transport);
    true
}
