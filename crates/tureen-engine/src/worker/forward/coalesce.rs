//! Coalescing of the packets of a video frame: consumers are queued once the frame is complete, because a frame that is
//! sent as a whole costs one kernel message for each receiver instead of several.

use std::time::Instant;

use crate::keys::ProducerKey;
use crate::worker::arena::Media;
use crate::worker::forward::Forward;
use crate::worker::out::Out;
use crate::worker::timer::Timer;

/// Maximum number of packets of one Producer that wait. More of the largest packets would not fit into one message.
const MAX_WAITING: usize = 48;

/// Queues the consumers of every Producer that received packets in this batch, unless the Producer waits for the rest
/// of a frame. This is the only work for each consumer before its transport is drained, and it is done once for each
/// batch.
pub(crate) fn queue_consumers(media: &mut Media, forward: &mut Forward, out: &mut Out, now: Instant) {
    let mut dirty = std::mem::take(&mut forward.dirty_producers);
    dirty.retain(|&key| {
        let waits = waits_for_frame(media, out, now, key);
        if !waits {
            queue_consumers_of(media, forward, out, key);
        }
        waits
    });
    if dirty.is_empty() {
        out.timers.disarm(Timer::Frames);
    }
    forward.dirty_producers = dirty;
}

/// Returns true if a Producer waits for the rest of a frame, and arms the timer that ends this wait.
fn waits_for_frame(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) -> bool {
    // The Producer may have been closed while its packets waited.
    let Some(producer) = media.producers.get(key) else { return false };
    let since = producer.streams.iter().filter_map(|stream| stream.waits_since(MAX_WAITING)).min();
    let Some(until) = since.map(|since| since + out.limits.frame_coalescing) else { return false };
    if until <= now {
        return false;
    }
    out.timers.arm(Timer::Frames, until);
    true
}

fn queue_consumers_of(media: &mut Media, forward: &mut Forward, out: &mut Out, key: ProducerKey) {
    let Some(producer) = media.producers.get(key) else { return };
    // A paused Producer is added too, because its batch has to end.
    forward.egress.producer_to_end(key);
    if producer.paused {
        return;
    }
    for &consumer_key in &producer.consumers {
        let Some(consumer) = media.consumers.live(consumer_key) else { continue };
        let Some(transport) = media.transports.live_mut(consumer.transport) else { continue };
        if consumer.is_active() && transport.is_connected() {
            transport.dirty.push(consumer_key);
            out.line.queue(consumer.transport, transport);
        }
    }
}
