//! From arrivals to consumers in line. What came of a video frame may wait for the rest of it: a frame that leaves as a
//! whole is one message of the kernel for each receiver instead of several.

use std::time::Instant;

use crate::keys::ProducerKey;
use crate::worker::arena::Media;
use crate::worker::forward::Forward;
use crate::worker::out::Out;
use crate::worker::timer::Timer;

/// Packets of one Producer that wait at most. With the largest packets more would not fit one message.
const MAX_WAITING: usize = 48;

/// After a batch: every consumer of a Producer that received something gets in line, unless the Producer waits for
/// the rest of a frame. The only work per consumer before its transport is drained, and it is done once a batch.
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

/// Whether a Producer waits for the rest of a frame, and sees to it that this ends.
fn waits_for_frame(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) -> bool {
    // It may have closed while its packets waited.
    let Some(producer) = media.producers.get(key) else { return false };
    let since = producer.streams.iter().filter_map(|stream| stream.waits_since(MAX_WAITING)).min();
    let Some(until) = since.map(|since| since + out.limits.frame_gathering) else { return false };
    if until <= now {
        return false;
    }
    out.timers.arm(Timer::Frames, until);
    true
}

fn queue_consumers_of(media: &mut Media, forward: &mut Forward, out: &mut Out, key: ProducerKey) {
    let Some(producer) = media.producers.get(key) else { return };
    // It stays in line until its packets were drained.
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
