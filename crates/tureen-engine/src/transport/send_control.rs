//! Congestion control of a sending transport: the controller, and the packets in its pacer queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::retransmission::ProactiveRetransmissions;
use crate::allocator::Allocation;
use crate::api::{BweInfo, BweSource, Traffic};
use crate::keys::{ConsumerKey, ProducerKey};
use crate::media::consumer::Retransmission;
use crate::media::consumer::sent_log::SentPacket;
use tureen_rtc::bwe::{BweConfig, CongestionController, SentRun};
use tureen_rtc::rate::{DEFAULT_RATE_WINDOW, RateMeter};
use tureen_rtc::units::{Bitrate, PayloadType, Ssrc};
use tureen_rtc::wire::rtcp::TransportCc;
use tureen_types::rtp_parameters::{RtcpFeedback, RtpHeaderExtensionUri, RtpParameters};

/// Maximum number of packets in the pacer queue; further packets are sent at once.
const MAX_HELD: usize = 1024;
/// Maximum time of a packet in the pacer queue.
const MAX_HOLD: Duration = Duration::from_millis(250);
/// Interval of checks of an estimate without consequences: see [`SendControl::adaptive`].
const IDLE_TICK: Duration = Duration::from_millis(500);
/// Loss range in which lost packets are retransmitted before they are requested. Below it loss is harmless; above it
/// the link is congested, and retransmitting makes that worse.
const LOSSES: std::ops::RangeInclusive<f64> = 0.02..=0.15;
/// Minimum round trip time for proactive retransmissions: below that a NACK and its retransmission are fast enough.
const MIN_RTT: Duration = Duration::from_millis(50);
/// Share of the estimate for retransmissions.
const REPAIR_SHARE: f64 = 0.3;
/// Minimum time between two allocations; the bitrates of layers change all the time.
const CHOICE_INTERVAL: Duration = Duration::from_millis(200);

/// Fraction of the target of the last allocation below which a new target is allocated at once.
const URGENT: f64 = 0.95;

/// Number of sent packets kept for retransmission as probes.
const MAX_RECENT: usize = 16;

/// Congestion control feedback of a media receiver to its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// Transport-wide feedback.
    pub(crate) transport_cc: bool,
    /// Receiver's estimate (REMB).
    pub(crate) remb: bool,
}

impl Feedback {
    /// Feedback negotiated in the parameters of a Consumer or Producer, for any of its codecs (mediasoup
    /// `SupportsTransportCc`, `SupportsRemb`).
    pub(crate) fn of(parameters: &RtpParameters) -> Self {
        use RtpHeaderExtensionUri as Uri;
        let extension = |uri| parameters.header_extensions.iter().any(|extension| extension.uri == uri);
        let feedback = |wanted| parameters.codecs.iter().any(|codec| codec.rtcp_feedback().contains(&wanted));
        Self {
            transport_cc: extension(Uri::TransportWideCcDraft01) && feedback(RtcpFeedback::TransportCc),
            remb: extension(Uri::AbsSendTime) && feedback(RtcpFeedback::GoogRemb),
        }
    }

    /// True if any feedback was negotiated.
    pub(crate) fn any(self) -> bool {
        self.transport_cc || self.remb
    }

    /// Union of both.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { transport_cc: self.transport_cc || other.transport_cc, remb: self.remb || other.remb }
    }
}

/// Next wake-up of congestion control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Exact: a probe continues, the pacer may release packets, or a duplicate is due.
    At(Instant),
    /// Approximate: not long after this time.
    About(Instant),
}

/// Congestion control of one transport. The fields that every run of packets touches are first, from the end of
/// `proactive` on.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SendControl {
    /// Proactive retransmissions.
    proactive: ProactiveRetransmissions,
    /// Negotiated feedback.
    feedback: Feedback,
    /// True if a consumer has layers to select from. Otherwise no selection depends on the estimate, so that no probes
    /// are sent to raise the estimate and no packets are paced.
    adaptive: bool,
    /// Number of bytes to send as a probe.
    probe_due: usize,
    held: VecDeque<PacedPacket>,
    controller: CongestionController,
    /// Total bitrate that the consumers desire.
    desired: Bitrate,
    /// Total bitrate allocated to the consumers. The total may exceed the estimate because of consumers without layers
    /// and of trial upgrades.
    given: Bitrate,
    /// Time of the last layer allocation.
    chosen_at: Option<Instant>,
    /// Target bitrate of the last layer allocation.
    chosen_for: Bitrate,
    /// Number of layer allocations.
    rounds: usize,
    /// Creates probe packets if no packet can be retransmitted as a probe.
    probator: Probator,
    /// Number and rate of probe bytes, for statistics.
    probation: Probation,
    /// State of the last allocation, for the next one.
    allocation: Allocation,
    recent: VecDeque<SentPacketRef>,
}

/// A packet in the pacer queue, with its decision already taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacedPacket {
    pub(crate) consumer: ConsumerKey,
    pub(crate) producer: ProducerKey,
    /// Index of the Producer's stream.
    pub(crate) stream: usize,
    /// Index of the consumer's send stream.
    pub(crate) send_stream: usize,
    /// Header values of the outgoing packet.
    pub(crate) sent: SentPacket,
    /// Time of entry into the queue.
    pub(crate) since: Instant,
}

/// A sent packet that can be retransmitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentPacketRef {
    pub(crate) consumer: ConsumerKey,
    pub(crate) retransmission: Retransmission,
}

/// Sent probes.
#[derive(Debug)]
struct Probation {
    /// Number of bytes.
    bytes: u64,
    rate: RateMeter,
}

impl Probation {
    fn read(&mut self, now: Instant) -> Traffic {
        let bitrate = self.rate.bitrate(now).map_or(0, Bitrate::as_bps);
        Traffic { bytes: self.bytes, bitrate }
    }
}

impl SendControl {
    /// Creates the control of a transport on which media can flow.
    pub(crate) fn new(now: Instant, config: BweConfig, feedback: Feedback, random: u64) -> Box<Self> {
        Box::new(Self {
            controller: CongestionController::new(now, config),
            feedback,
            desired: Bitrate::ZERO,
            given: Bitrate::ZERO,
            chosen_at: None,
            chosen_for: Bitrate::ZERO,
            adaptive: false,
            rounds: 0,
            probe_due: 0,
            probator: Probator::new(random),
            probation: Probation { bytes: 0, rate: RateMeter::new(DEFAULT_RATE_WINDOW) },
            allocation: Allocation::default(),
            held: VecDeque::new(),
            recent: VecDeque::new(),
            proactive: ProactiveRetransmissions::new(),
        })
    }

    /// Replaces the feedback that the consumers have negotiated.
    pub(crate) fn set_feedback(&mut self, feedback: Feedback) {
        self.feedback = feedback;
    }

    /// True if transport-wide feedback is negotiated.
    pub(crate) fn uses_transport_cc(&self) -> bool {
        self.feedback.transport_cc
    }

    /// True if REMB is negotiated.
    pub(crate) fn uses_remb(&self) -> bool {
        self.feedback.remb
    }

    /// True if a consumer has layers to select from, so that video is paced and probes are sent.
    #[inline]
    pub(crate) fn is_adaptive(&self) -> bool {
        self.adaptive
    }

    /// Estimated bitrate that the transport can send.
    pub(crate) fn target(&self) -> Bitrate {
        self.controller.target()
    }

    /// Sets bounds of the estimate; zero means no bound.
    pub(crate) fn set_limits(&mut self, now: Instant, min: Bitrate, max: Bitrate) {
        self.controller.set_limits(now, min, max);
    }

    /// Updates the estimate as time passes. True if it has changed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.controller.handle_timeout(now)
    }

    /// Updates the estimate with transport-wide feedback. True if it has changed.
    pub(crate) fn on_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>) -> bool {
        self.controller.on_feedback(now, feedback)
    }

    /// Updates the estimate with the receiver's own. True if it has changed.
    pub(crate) fn on_remb(&mut self, now: Instant, bitrate: Bitrate) -> bool {
        self.controller.on_remb(now, bitrate)
    }

    /// Updates the estimate with the losses of a receiver report, and with its round trip time.
    pub(crate) fn on_loss_report(&mut self, now: Instant, lost: u64, expected: u64, rtt: Option<Duration>) {
        self.controller.on_loss_report(now, lost, expected);
        if let Some(rtt) = rtt {
            self.controller.on_rtt(rtt);
        }
    }

    /// Delay of the queue that the last feedback shows, if it is long.
    pub(crate) fn long_queue(&self) -> Option<Duration> {
        self.controller.long_queue()
    }

    /// Packets that the last feedback reports as lost and that can be retransmitted.
    pub(crate) fn take_missing(&mut self) -> impl Iterator<Item = SentPacketRef> {
        let Self { controller, proactive, .. } = self;
        controller.missing().iter().filter_map(|missing| proactive.take_sent(missing.seq))
    }

    /// Probe bytes sent, for statistics.
    pub(crate) fn probe_traffic(&mut self, now: Instant) -> Traffic {
        self.probation.read(now)
    }

    /// Values of the trace event `bwe`.
    pub(crate) fn bwe_info(&self) -> BweInfo {
        let config = self.controller.config();
        BweInfo {
            source: if self.feedback.transport_cc { BweSource::TransportCc } else { BweSource::Remb },
            desired_bitrate: self.desired.as_bps(),
            effective_desired_bitrate: self.desired.as_bps(),
            min_bitrate: config.min.as_bps(),
            max_bitrate: config.max.as_bps(),
            start_bitrate: config.initial.as_bps(),
            max_padding_bitrate: 0,
            available_bitrate: self.target().as_bps(),
        }
    }

    /// True if the last allocation is old enough for another one.
    pub(crate) fn is_allocation_due(&self, now: Instant) -> bool {
        self.chosen_at.is_none_or(|at| now.saturating_duration_since(at) >= CHOICE_INTERVAL)
    }

    /// True if the estimate has fallen so far since the last allocation that the next one can't wait.
    pub(crate) fn is_allocation_urgent(&self) -> bool {
        self.target() < self.chosen_for * URGENT
    }

    /// Starts an allocation: the candidates are added to the returned value, which keeps the state of the last one.
    /// [`share`](Self::share) and [`end_allocation`](Self::end_allocation) follow.
    pub(crate) fn start_allocation(&mut self) -> Allocation {
        let mut allocation = std::mem::take(&mut self.allocation);
        allocation.clear();
        allocation
    }

    /// Shares the estimate among the candidates, which desire `desired` in all. True if layers can be selected from now
    /// on and could not before.
    pub(crate) fn share(&mut self, now: Instant, allocation: &mut Allocation, desired: Bitrate) -> bool {
        let budget = self.controller.budget(now);
        allocation.share(budget, self.rounds);
        (self.desired, self.given) = (desired, allocation.given());
        let was_adaptive = std::mem::replace(&mut self.adaptive, allocation.has_layers());
        if self.adaptive {
            // The desired bitrate is set before probing starts, because probes aim at it.
            self.controller.set_desired(now, desired);
            self.controller.start_probing(now);
        }
        (self.chosen_at, self.chosen_for) = (Some(now), budget.target);
        self.adaptive && !was_adaptive
    }

    /// Ends an allocation whose verdicts are applied. `changed` says that one of them changed layers.
    pub(crate) fn end_allocation(&mut self, allocation: Allocation, changed: bool) {
        self.rounds += usize::from(changed);
        self.allocation = allocation;
    }

    /// Polls for a probe. True if a probe, a packet of the pacer queue or a duplicate is to be sent now.
    pub(crate) fn poll_send(&mut self, now: Instant) -> bool {
        if let Some(shot) = self.controller.poll_probe(now) {
            self.probe_due = shot.bytes;
        }
        let has_duplicates = self.proactive.next_duplicate_at().is_some_and(|at| at <= now);
        self.probe_due > 0 || self.has_held() || has_duplicates
    }

    /// Takes the number of bytes to send as a probe.
    pub(crate) fn take_probe(&mut self) -> usize {
        std::mem::take(&mut self.probe_due)
    }

    /// Numbers of packets that are probes and nothing else.
    pub(crate) fn probator(&mut self) -> &mut Probator {
        &mut self.probator
    }

    /// Number of bytes of video that may be sent now: all, unless the pacer applies.
    pub(crate) fn allowance(&mut self, now: Instant) -> usize {
        if self.paces() { self.controller.allowance(now) } else { usize::MAX }
    }

    /// Starts a run of packets sent now; the caller adds each packet to the returned value.
    #[inline]
    pub(crate) fn start_run(&mut self, now: Instant) -> SentRun<'_> {
        self.controller.start_run(now, self.feedback.transport_cc)
    }

    /// Ends a run that contained `probe_bytes` bytes of probes. Returns the time of the next probe burst, if a probe is
    /// in progress.
    pub(crate) fn on_run_sent(&mut self, now: Instant, probe_bytes: usize) -> Option<Instant> {
        if probe_bytes > 0 {
            self.probation.bytes += probe_bytes as u64;
            self.probation.rate.add(now, probe_bytes);
        }
        self.controller.is_probing().then(|| self.controller.poll_timeout())
    }

    /// True if the pacer applies: packets may have to be queued, or are.
    fn paces(&self) -> bool {
        self.adaptive || self.has_held()
    }

    /// True if packets are in the pacer queue.
    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// True if duplicates are scheduled.
    pub(crate) fn has_duplicates(&self) -> bool {
        self.proactive.next_duplicate_at().is_some()
    }

    /// True if packets are in the pacer queue or duplicates are scheduled.
    pub(crate) fn is_waiting(&self) -> bool {
        self.has_held() || self.has_duplicates()
    }

    /// Schedules a duplicate of a retransmitted packet.
    pub(crate) fn duplicate_later(&mut self, now: Instant, packet: SentPacketRef) {
        self.proactive.duplicate_later(now, packet);
    }

    /// Takes the next duplicate that is due.
    pub(crate) fn take_duplicate(&mut self, now: Instant) -> Option<SentPacketRef> {
        self.proactive.take_duplicate(now)
    }

    /// Records a packet by its transport-wide sequence number, to retransmit it when feedback reports it as lost.
    pub(crate) fn note_sent(&mut self, transport_seq: u16, packet: SentPacketRef) {
        self.proactive.note_sent(transport_seq, packet);
    }

    /// Adds a packet to the pacer queue. False if the queue is full: the caller sends the packet at once.
    pub(crate) fn hold(&mut self, packet: PacedPacket) -> bool {
        let room = self.held.len() < MAX_HELD;
        if room {
            self.held.push_back(packet);
        }
        room
    }

    /// Removes the next packet from the pacer queue, if there is allowance for it or if it has reached the maximum
    /// time.
    pub(crate) fn release(&mut self, now: Instant, allowance: usize) -> Option<PacedPacket> {
        let first = self.held.front()?;
        let overdue = now.saturating_duration_since(first.since) >= MAX_HOLD;
        if allowance > 0 || overdue { self.held.pop_front() } else { None }
    }

    /// Bitrate of retransmissions. The allocated bitrate replaces a lower estimate, because the estimate may be low
    /// only for lack of probes.
    pub(crate) fn retransmission_rate(&self) -> Bitrate {
        self.controller.target().max(self.given) * REPAIR_SHARE
    }

    /// True if the path has a long round trip time and a loss rate in the range of random loss.
    pub(crate) fn is_far_and_lossy(&self) -> bool {
        self.controller.rtt().is_some_and(|rtt| rtt >= MIN_RTT) && LOSSES.contains(&self.controller.loss())
    }

    /// True if lost packets are retransmitted before they are requested, and twice: on a long path with random loss. On
    /// a congested path retransmissions would increase the loss.
    pub(crate) fn retransmits_proactively(&self) -> bool {
        self.is_far_and_lossy() && self.controller.has_room() && !self.has_held()
    }

    /// Clears all queued packets and cancels pending probes, because the transport cannot send.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.recent.clear();
        self.proactive.clear();
        self.probe_due = 0;
        self.controller.cancel_probes();
    }

    /// Records a sent packet that can be retransmitted as a probe.
    pub(crate) fn remember(&mut self, recent: SentPacketRef) {
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }

    /// Next packet to retransmit as a probe, in rotation.
    pub(crate) fn next_recent(&mut self) -> Option<SentPacketRef> {
        let recent = self.recent.pop_front()?;
        self.recent.push_back(recent);
        Some(recent)
    }

    /// Removes the packets of a consumer.
    pub(crate) fn forget(&mut self, consumer: ConsumerKey) {
        self.held.retain(|held| held.consumer != consumer);
        self.recent.retain(|recent| recent.consumer != consumer);
        self.proactive.forget(consumer);
        self.chosen_at = None;
    }

    /// Time of the next wake-up for the controller, the pacer or a duplicate.
    pub(crate) fn poll_timeout(&mut self, now: Instant) -> Wake {
        let controller = self.controller.poll_timeout();
        // The wake-up is no later than the maximum time of the first packet in the queue, even if the pacer is slower.
        let burst = self.held.front().map(|first| first.since + MAX_HOLD);
        let burst = burst.map(|overdue| self.controller.next_burst(now).min(overdue));
        let probe = self.controller.is_probing().then_some(controller);
        if let Some(at) = [burst, probe, self.proactive.next_duplicate_at()].into_iter().flatten().min() {
            return Wake::At(at.min(controller));
        }
        match self.chosen_at {
            Some(at) if !self.adaptive => Wake::About(controller.max(at + IDLE_TICK)),
            _ => Wake::About(controller),
        }
    }
}

/// Numbers of mediasoup's probator (`ProbePacketGenerator`): packets of a stream that no receiver plays, to which
/// mediasoup-client subscribes with the MID `probator`.
#[derive(Debug)]
pub(crate) struct Probator {
    next_seq: u64,
    timestamp: u32,
}

impl Probator {
    /// mediasoup's `BweProbeRtpSsrc`.
    pub(crate) const SSRC: Ssrc = Ssrc(1234);
    /// mediasoup's `BweProbeRtpPayloadType`.
    pub(crate) const PAYLOAD_TYPE: PayloadType = PayloadType(127);
    /// mediasoup's `BweProbeRtpMid`.
    pub(crate) const MID: &'static str = "probator";
    const TIMESTAMP_STEP: u32 = 20;

    fn new(random: u64) -> Self {
        Self { next_seq: random & 0x7fff, timestamp: (random >> 16) as u32 }
    }

    /// Returns the SRTP index, whose low half is the sequence number, and the timestamp of the next packet, and
    /// advances both.
    pub(crate) fn advance(&mut self) -> (u64, u32) {
        self.next_seq += 1;
        self.timestamp = self.timestamp.wrapping_add(Self::TIMESTAMP_STEP);
        (self.next_seq, self.timestamp)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameters(extensions: &[&str], feedback: &[&str]) -> RtpParameters {
        let extensions: Vec<_> =
            extensions.iter().zip(1..).map(|(uri, id)| json!({ "uri": uri, "id": id })).collect();
        let feedback: Vec<_> = feedback.iter().map(|kind| json!({ "type": kind })).collect();
        let codec = |payload_type: u8, feedback: &[_]| {
            json!({ "mimeType": "video/VP8", "payloadType": payload_type, "clockRate": 90000, "parameters": {},
                    "rtcpFeedback": feedback })
        };
        let parameters = json!({
            "codecs": [codec(96, &[]), codec(98, &feedback)], "encodings": [], "headerExtensions": extensions,
            "rtcp": {},
        });
        serde_json::from_value(parameters).unwrap()
    }

    #[test]
    fn feedback_needs_its_extension_and_a_codec_with_it() {
        const SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
        const NUMBER: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
        let of = |extensions: &[&str], feedback: &[&str]| {
            let feedback = Feedback::of(&parameters(extensions, feedback));
            (feedback.transport_cc, feedback.remb)
        };
        assert_eq!(of(&[SEND_TIME, NUMBER], &["goog-remb", "transport-cc"]), (true, true));
        assert_eq!(of(&[SEND_TIME, NUMBER], &["goog-remb"]), (false, true));
        assert_eq!(of(&[NUMBER], &["goog-remb", "transport-cc"]), (true, false));
        assert_eq!(of(&[SEND_TIME], &["transport-cc"]), (false, false));
        assert_eq!(of(&[], &["goog-remb", "transport-cc"]), (false, false));
    }

    #[test]
    fn timer_is_frequent_only_with_layers() {
        let now = Instant::now();
        let mut control = SendControl::new(now, BweConfig::default(), Feedback::default(), 1);
        control.chosen_at = Some(now);
        assert_eq!(control.poll_timeout(now), Wake::About(now + IDLE_TICK));
        control.adaptive = true;
        let Wake::About(at) = control.poll_timeout(now) else { panic!("nothing waits for a moment") };
        assert!(at < now + IDLE_TICK, "{:?}", at - now);
    }

    #[test]
    fn probe_is_sent_at_its_time() {
        let now = Instant::now();
        let mut control = SendControl::new(now, BweConfig::default(), Feedback::default(), 1);
        control.controller.set_desired(now, Bitrate::mbps(2));
        control.controller.start_probing(now);
        assert!(matches!(control.poll_timeout(now), Wake::At(_)));
    }

    #[test]
    fn duplicate_is_sent_at_its_time() {
        let now = Instant::now();
        let mut control = SendControl::new(now, BweConfig::default(), Feedback::default(), 1);
        control.chosen_at = Some(now);
        let retransmission = Retransmission { send_stream: 0, stream: 0, source: 7, output: 7 };
        control
            .proactive
            .duplicate_later(now, SentPacketRef { consumer: ConsumerKey::default(), retransmission });
        let due = control.proactive.next_duplicate_at().unwrap();
        assert_eq!(control.poll_timeout(now), Wake::At(due.min(control.controller.poll_timeout())));
        assert!(control.is_waiting());
        control.clear();
        assert!(!control.is_waiting());
    }

    #[test]
    fn no_proactive_retransmission_before_feedback_reports_loss() {
        let now = Instant::now();
        let mut control = SendControl::new(now, BweConfig::default(), Feedback::default(), 1);
        assert!(!control.retransmits_proactively());
        control.controller.on_rtt(Duration::from_millis(100));
        control.controller.on_loss_report(now, 5, 100);
        assert!(!control.retransmits_proactively(), "reports tell nothing of queues");
    }
}
