//! Key frame requests, limited for each consumer.

use std::time::Instant;

use smallvec::SmallVec;

use crate::keys::ConsumerKey;
use crate::media::consumer::Consumer;
use crate::media::producer::KeyFrameNeed;
use crate::transport::Transport;
use crate::worker::arena::Media;
use crate::worker::drops::DropReason;
use crate::worker::out::Out;
use crate::worker::rtcp::feedback;
use crate::worker::timer::Timer;
use tureen_rtc::units::Ssrc;

/// Cause of a key frame request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyFrameCause {
    /// PLI or FIR, a request of the application, or the resumption of the consumer.
    Asked,
    /// Switch of the consumer to other layers.
    Switch,
}

/// Requests a key frame of the current or target streams of a consumer that is not paused.
pub(crate) fn request_key_frame(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    if media.consumers.live(key).is_some_and(|consumer| !consumer.paused) {
        prepare_key_frame(media, out, now, key);
    }
}

/// Requests a key frame for the application. Unlike in mediasoup the request also applies to a paused consumer, so that
/// a recent key frame is stored when the consumer is resumed.
pub(crate) fn prepare_key_frame(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    let Some(consumer) = media.consumers.live(key) else { return };
    let connected = media.transports.live(consumer.transport).is_some_and(Transport::is_connected);
    if !connected || !consumer.has_key_frames() {
        return;
    }
    let ssrcs = key_frame_ssrcs(media, consumer);
    cause_key_frames(media, out, now, key, KeyFrameCause::Asked, &ssrcs);
}

/// Requests key frames of the current and target streams of a consumer, within its limit. A refused request is repeated
/// when the limit allows.
pub(crate) fn cause_key_frames(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: ConsumerKey,
    cause: KeyFrameCause,
    ssrcs: &[Ssrc],
) {
    let Some(consumer) = media.consumers.live_mut(key) else { return };
    let producer_key = consumer.producer;
    // A request that is already pending costs nothing, so only a new one counts against the limit.
    let Some(producer) = media.producers.live_mut(producer_key) else { return };
    let causes_new = ssrcs.iter().any(|&ssrc| !producer.key_frame_requests.is_under_way(ssrc));
    if causes_new && consumer.has_key_frame_allowance() {
        let longest = out.limits.key_frame_interval_max;
        let (allowance, shortest) = match cause {
            KeyFrameCause::Asked => (&mut consumer.asked_key_frames, out.limits.key_frame_interval),
            KeyFrameCause::Switch => (&mut consumer.switch_key_frames, out.limits.layer_switch_interval),
        };
        let had_refused = allowance.next_at().is_some();
        if !allowance.take(now, (shortest, longest)) {
            if let Some(at) = allowance.next_at().filter(|_| !had_refused) {
                out.timers.arm(Timer::KeyFrameAllowed(key, cause), at);
            }
            out.drops.count(DropReason::ExcessKeyFrameRequest);
            return;
        }
    }
    for &ssrc in ssrcs {
        producer.request_key_frame(now, ssrc, KeyFrameNeed::Decoder);
    }
    feedback::poll_producer_feedback(media, out, now, producer_key);
}

/// Repeats a refused key frame request, if the consumer still needs a key frame.
pub(crate) fn on_key_frame_allowed(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: ConsumerKey,
    cause: KeyFrameCause,
) {
    let Some(consumer) = media.consumers.live(key).filter(|consumer| consumer.is_active()) else { return };
    let ssrcs = key_frame_ssrcs(media, consumer);
    cause_key_frames(media, out, now, key, cause, &ssrcs);
}

/// SSRCs whose key frames the consumer can use.
fn key_frame_ssrcs(media: &Media, consumer: &Consumer) -> SmallVec<[Ssrc; 4]> {
    match media.producers.live(consumer.producer) {
        None => SmallVec::new(),
        Some(producer) if consumer.layers.is_none() => producer.key_frame_ssrcs().collect(),
        Some(producer) => consumer.key_frame_ssrcs(&producer.streams).collect(),
    }
}
