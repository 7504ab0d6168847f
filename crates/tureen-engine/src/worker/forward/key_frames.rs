//! Who may cause a key frame, and when.

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

/// Why a key frame is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyFrameCause {
    /// The remote side or the application asks for it, or the consumer was resumed.
    Asked,
    /// The consumer is to go over to other layers.
    Switch,
}

/// The remote side needs a key frame, or the Consumer to start: asks for one of what it sends or is about to.
pub(crate) fn request_key_frame(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    if media.consumers.live(key).is_some_and(|consumer| !consumer.paused) {
        prepare_key_frame(media, out, now, key);
    }
}

/// The application asks for a key frame. That of a paused consumer, which mediasoup does nothing for, will be there when
/// it is resumed.
pub(crate) fn prepare_key_frame(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    let Some(consumer) = media.consumers.live(key) else { return };
    let connected = media.transports.live(consumer.transport).is_some_and(Transport::is_connected);
    if !connected || !consumer.has_key_frames() {
        return;
    }
    let ssrcs = key_frame_ssrcs(media, consumer);
    cause_key_frames(media, out, now, key, KeyFrameCause::Asked, &ssrcs);
}

/// Requests key frames of the streams that a consumer shows or is to show, as often as it may cause some. What it may
/// not yet is made good later.
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

/// A key frame may be asked for that was refused before, if the consumer still wants one.
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

/// SSRCs of which a key frame helps a consumer.
fn key_frame_ssrcs(media: &Media, consumer: &Consumer) -> SmallVec<[Ssrc; 4]> {
    match media.producers.live(consumer.producer) {
        None => SmallVec::new(),
        Some(producer) if consumer.layers.is_none() => producer.key_frame_ssrcs().collect(),
        Some(producer) => consumer.key_frame_ssrcs(&producer.streams).collect(),
    }
}
