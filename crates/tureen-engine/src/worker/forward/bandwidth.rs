//! Congestion control of transports: its start, its feedback, and the allocation of its estimate to consumers.

use std::time::{Duration, Instant};

use crate::allocator::Allocation;
use crate::api::{RequestError, TransportEvent, TransportId};
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::media::consumer::Consumer;
use crate::media::producer::Producer;
use crate::transport::Transport;
use crate::transport::send_control::{Feedback, SendControl, SentPacketRef, Wake};
use crate::worker::arena::Media;
use crate::worker::forward::{backlog, layers};
use crate::worker::out::Out;
use crate::worker::paths::Paths;
use crate::worker::rtcp::feedback;
use crate::worker::timer::Timer;
use tureen_rtc::bwe::BweConfig;
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::TransportCc;
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_types::rtp_parameters::MediaKind;

/// Resolution of timers.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// Starts congestion control on a transport if media can flow and a consumer has negotiated feedback for it; a new
/// consumer joins the existing one.
pub(crate) fn may_control_sending(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.live(key) else { return };
    if !transport.link.controls_congestion() || !transport.is_connected() {
        return;
    }
    let consumers = transport.consumers.iter().filter_map(|&key| media.consumers.live(key));
    let feedback = consumers.map(|consumer| Feedback::of(&consumer.rtp_parameters));
    let feedback = feedback.fold(Feedback::default(), Feedback::with);
    if !feedback.any() {
        return;
    }
    let random = out.random();
    let Some(transport) = media.transports.live_mut(key) else { return };
    let limits = transport.bitrates;
    let control = transport.send_control.get_or_insert_with(|| {
        let default = BweConfig::default();
        let initial = limits.initial_outgoing;
        let config = BweConfig {
            initial: if initial.is_zero() { default.initial } else { initial },
            min: limits.min_outgoing,
            max: limits.max_outgoing,
            ..default
        };
        SendControl::new(now, config, feedback, random)
    });
    control.set_feedback(feedback);
    for consumer in &transport.consumers {
        if let Some(layers) = media.consumers.live_mut(*consumer).and_then(|c| c.layers.as_mut()) {
            layers.allocate(true);
        }
    }
    out.timers.arm(Timer::Congestion(key), now + MIN_WAIT);
}

/// Clears the queues of congestion control, because media can no longer flow.
pub(crate) fn pause_send_control(media: &mut Media, out: &mut Out, key: TransportKey) {
    out.timers.disarm(Timer::Congestion(key));
    if let Some(control) = media.transports.live_mut(key).and_then(|t| t.send_control.as_mut()) {
        control.clear();
    }
}

pub(crate) fn on_congestion_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(control) = send_control(media, key) else { return };
    if control.handle_timeout(now) {
        on_target_changed(media, out, now, key);
    }
    let Some(control) = send_control(media, key) else { return };
    if control.is_allocation_due(now) {
        allocate_layers(media, out, now, key);
    }
    let Some(transport) = media.transports.live_mut(key) else { return };
    if transport.send_control.as_mut().is_some_and(|control| control.poll_send(now)) {
        out.line.queue(key, transport);
    }
    arm_congestion(media, out, now, key);
}

pub(crate) fn on_transport_cc(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    feedback: &TransportCc<'_>,
) {
    let all = feedback.packet_status_count;
    let Some(transport) = media.transports.live_mut(key) else { return };
    transport.quality.loss_sent.add(all.into(), feedback.received().count());
    let Some(control) = transport.send_control.as_mut().filter(|control| control.uses_transport_cc()) else {
        return;
    };
    let changed = control.on_feedback(now, feedback);
    if let Some(queue) = control.long_queue() {
        backlog::on_queue_delay(media, paths, out, now, key, queue);
    }
    retransmit_missing(media, out, now, key);
    if changed {
        on_target_changed(media, out, now, key);
    }
    arm_congestion(media, out, now, key);
}

/// Retransmits packets that feedback reports as lost, because a NACK for them would have been received by now unless it
/// was lost.
fn retransmit_missing(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let Some(control) = transport.send_control.as_mut().filter(|control| control.retransmits_proactively())
    else {
        return;
    };
    let mut room =
        out.limits.retransmissions_by(&transport.link).saturating_sub(transport.retransmissions.len());
    for SentPacketRef { consumer: consumer_key, retransmission } in control.take_missing() {
        let Some(consumer) = media.consumers.live_mut(consumer_key) else { continue };
        if room > 0 && consumer.may_retransmit(now, retransmission) {
            room -= 1;
            transport.retransmissions.push_back((consumer_key, retransmission));
        }
    }
    if !transport.retransmissions.is_empty() {
        out.line.queue(key, transport);
    }
}

/// Updates the receive-side estimate with a packet whose sender gets no transport-wide feedback, and sends REMB if due.
/// As in mediasoup, audio is not included.
pub(crate) fn estimate_incoming(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    producer: ProducerKey,
    header: &RtpHeader,
    packet: &[u8],
) {
    let is_video = media.producers.live(producer).is_some_and(|p| p.kind == MediaKind::Video);
    let Some(transport) = media.transports.live_mut(key).filter(|_| is_video) else { return };
    if transport.update_incoming_estimate(now, header, packet) {
        feedback::send_remb(media, out, now, key);
    }
}

pub(crate) fn on_remb(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, bitrate: Bitrate) {
    let Some(control) = send_control(media, key).filter(|control| control.uses_remb()) else { return };
    if control.on_remb(now, bitrate) {
        on_target_changed(media, out, now, key);
    }
    arm_congestion(media, out, now, key);
}

/// Handles losses and round trip time of a receiver report about a consumer's stream.
pub(crate) fn on_loss_report(
    media: &mut Media,
    now: Instant,
    key: TransportKey,
    consumer: ConsumerKey,
    ssrc: Ssrc,
) {
    let Some(send_stream) = media.consumers.live_mut(consumer).and_then(|c| c.send_stream_of(ssrc)) else {
        return;
    };
    let (lost, expected) = send_stream.stats.take_losses();
    let rtt = send_stream.stats.remote_report().round_trip_time;
    if let Some(control) = send_control(media, key) {
        control.on_loss_report(now, lost, expected, rtt);
    }
}

/// Sets bounds of a transport's outgoing bitrate; zero means no bound.
pub(crate) fn set_outgoing_bitrate(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
    set: impl FnOnce(&mut Transport) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    let key = media.transports.find(id)?;
    let transport = &mut media.transports[key];
    set(transport)?;
    let limits = transport.bitrates;
    if let Some(control) = &mut transport.send_control {
        control.set_limits(now, limits.min_outgoing, limits.max_outgoing);
        on_target_changed(media, out, now, key);
        arm_congestion(media, out, now, key);
    }
    Ok(())
}

fn on_target_changed(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(control) = send_control(media, key) else { return };
    if control.is_allocation_urgent() {
        allocate_layers(media, out, now, key);
    }
    let timestamp_ms = out.clock.unix_ms(now);
    let Some(transport) = media.transports.live(key).filter(|transport| transport.trace.bwe) else {
        return;
    };
    let Some(control) = &transport.send_control else { return };
    let info = control.bwe_info();
    out.notify_transport(media, key, TransportEvent::Bwe { timestamp_ms, info });
}

/// Allocates the outgoing bitrate of a transport to its consumers (mediasoup `DistributeAvailableOutgoingBitrate`).
pub(crate) fn allocate_layers(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let Some(control) = &mut transport.send_control else { return };
    // The allocation is taken out, because applying its verdicts borrows all of `media`.
    let mut allocation = control.start_allocation();
    let mut desired = Bitrate::ZERO;
    for &consumer_key in &transport.consumers {
        let Some(consumer) = media.consumers.live(consumer_key).filter(|c| c.is_active()) else {
            continue;
        };
        let Some(producer) = media.producers.live_mut(consumer.producer) else { continue };
        desired = desired + add_candidate(&mut allocation, now, consumer_key, consumer, producer);
    }
    let becomes_adaptive = control.share(now, &mut allocation, desired);
    let mut changed = false;
    for (index, consumer_key) in allocation.consumers() {
        let Some(consumer) = media.consumers.live_mut(consumer_key) else { continue };
        let Some(layers) = &mut consumer.layers else { continue };
        let Some(verdict) = allocation.verdict(index, layers.target()) else { continue };
        // Only a downgrade by the allocation marks the preceding upgrade as failed.
        if verdict.after > verdict.before || verdict.in_need {
            consumer.upgrade_backoff.on_change(now, verdict.before, verdict.after);
        }
        layers.apply(verdict.target, verdict.in_need);
        layers::after_aiming(media, out, now, consumer_key);
        changed = true;
    }
    if let Some(control) = send_control(media, key) {
        control.end_allocation(allocation, changed);
    }
    if becomes_adaptive {
        arm_congestion(media, out, now, key);
    }
}

pub(crate) fn arm_congestion(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(control) = send_control(media, key) else { return };
    match control.poll_timeout(now) {
        Wake::At(at) => out.timers.arm(Timer::Congestion(key), at.max(now + MIN_WAIT)),
        Wake::About(at) => out.arm_relaxed(Timer::Congestion(key), at.max(now + MIN_WAIT)),
    }
}

fn send_control(media: &mut Media, key: TransportKey) -> Option<&mut Box<SendControl>> {
    media.transports.live_mut(key)?.send_control.as_mut()
}

/// Adds an active consumer to the allocation. Returns the price of its desired bitrate.
fn add_candidate(
    allocation: &mut Allocation,
    now: Instant,
    key: ConsumerKey,
    consumer: &Consumer,
    producer: &mut Producer,
) -> Bitrate {
    let Some(layers) = &consumer.layers else {
        let rates = producer.streams.iter_mut().map(|stream| stream.stats.bitrate(now));
        return allocation.add_fixed(key, rates.fold(Bitrate::ZERO, |sum, rate| sum + rate));
    };
    let (target, backoff) = (layers.target(), &consumer.upgrade_backoff);
    allocation.add_layered(now, key, consumer.priority, target, backoff, |points| {
        layers.options(now, &mut producer.streams, points);
    });
    Allocation::price(layers.desired_bitrate(now, &mut producer.streams))
}
