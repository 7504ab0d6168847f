//! How consumers start: with a key frame that is asked for, or with one that came just before.
//!
//! Applications make consumers paused and resume them when the remote side is ready, which takes a browser a tenth of a
//! second and more. A key frame asked for meanwhile has come by then: the consumer begins with it and with what came since,
//! so that the picture does not wait for the sender's encoder after all. So do consumers that start soon after others;
//! libwebrtc's encoders answer no two requests within 300 ms.

use std::time::Instant;

use smallvec::SmallVec;

use super::arena::Media;
use super::drops::DropReason;
use super::out::Out;
use super::timer::Timer;
use super::{layers, reports};
use crate::consumer::Consumer;
use crate::keys::ConsumerKey;
use crate::transport::Transport;
use tureen_rtc::units::Ssrc;

/// Why a key frame is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyFrameCause {
    /// The remote side or the application asks for it, or the consumer was resumed.
    Asked,
    /// The consumer is to go over to other layers.
    Switch,
}

/// A Consumer may send from now on: it synchronises with the next packet, for video with a key frame.
pub(super) fn start_consumer(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    let Some(consumer) = media.consumers.get_mut(key) else { return };
    if !consumer.is_active() {
        return;
    }
    consumer.require_sync();
    layers::aim_consumer(media, out, now, key);
    if !catch_up(media, out, now, key) {
        request_key_frame(media, out, now, key);
    }
}

/// Makes a consumer begin with a key frame that has come before, if it has sent nothing yet and there is one. True if
/// so: none need be asked for.
pub(super) fn catch_up(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) -> bool {
    let Some(consumer) = media.consumers.get(key) else { return false };
    let Some(producer) = media.producers.get(consumer.producer) else { return false };
    let stream = consumer.awaited_stream(&producer.streams).map(|index| &producer.streams[index]);
    if stream.and_then(|stream| stream.recent_key_frame(now)).is_none() {
        return false;
    }
    let transport_key = consumer.transport;
    let Some(transport) = media.transports.get_mut(transport_key).filter(|t| t.is_connected()) else {
        return false;
    };
    let starting = (transport_key, key);
    if !out.line.starting.contains(&starting) {
        out.line.starting.push(starting);
    }
    out.line.queue(transport_key, transport);
    true
}

/// The remote side needs a key frame, or the Consumer to start: asks for one of what it sends or is about to.
pub(super) fn request_key_frame(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    if media.consumers.get(key).is_some_and(|consumer| !consumer.paused) {
        prepare_key_frame(media, out, now, key);
    }
}

/// The application asks for a key frame. That of a paused consumer, which mediasoup does nothing for, will be there when
/// it is resumed.
pub(super) fn prepare_key_frame(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey) {
    let Some(consumer) = media.consumers.get(key) else { return };
    let connected = media.transports.get(consumer.transport).is_some_and(Transport::is_connected);
    if !connected || !consumer.has_key_frames() {
        return;
    }
    let ssrcs = key_frame_ssrcs(media, consumer);
    cause_key_frames(media, out, now, key, KeyFrameCause::Asked, &ssrcs);
}

/// Requests key frames of the streams that a consumer shows or is to show, as often as it may cause some. What it may
/// not yet is made good later.
pub(super) fn cause_key_frames(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: ConsumerKey,
    cause: KeyFrameCause,
    ssrcs: &[Ssrc],
) {
    let Some(consumer) = media.consumers.get_mut(key) else { return };
    let producer_key = consumer.producer;
    let Some(producer) = media.producers.get_mut(producer_key) else { return };
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
        producer.request_key_frame(now, ssrc);
    }
    reports::poll_producer_feedback(media, out, now, producer_key);
}

/// A key frame may be asked for that was refused before, if the consumer still wants one.
pub(super) fn on_key_frame_allowed(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: ConsumerKey,
    cause: KeyFrameCause,
) {
    let Some(consumer) = media.consumers.get(key).filter(|consumer| consumer.is_active()) else { return };
    let ssrcs = key_frame_ssrcs(media, consumer);
    cause_key_frames(media, out, now, key, cause, &ssrcs);
}

/// SSRCs of which a key frame helps a consumer.
fn key_frame_ssrcs(media: &Media, consumer: &Consumer) -> SmallVec<[Ssrc; 4]> {
    match media.producers.get(consumer.producer) {
        None => SmallVec::new(),
        Some(producer) if consumer.layers.is_none() => producer.key_frame_ssrcs().collect(),
        Some(producer) => consumer.key_frame_ssrcs(&producer.streams).collect(),
    }
}
