//! Congestion control of a transport that sends: the controller, and what waits for its word.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::retransmission::ProactiveRetransmissions;
use crate::allocator::Allocation;
use crate::api::Traffic;
use crate::keys::{ConsumerKey, ProducerKey};
use crate::media::consumer::Retransmission;
use crate::media::consumer::sent_log::SentPacket;
use tureen_rtc::bwe::{BweConfig, CongestionController, SentRun};
use tureen_rtc::rate::{DEFAULT_RATE_WINDOW, RateMeter};
use tureen_rtc::units::{Bitrate, PayloadType, Ssrc};
use tureen_types::rtp_parameters::{RtcpFeedback, RtpHeaderExtensionUri, RtpParameters};

/// Packets that wait for the pacer at most; what comes on top goes out at once.
const MAX_HELD: usize = 1024;
/// How long a packet waits at most.
const MAX_HOLD: Duration = Duration::from_millis(250);
/// Between looks at an estimate from which nothing follows: see [`SendControl::adaptive`].
const IDLE_TICK: Duration = Duration::from_millis(500);
/// Losses, as a part of what is sent, that are made good ahead of requests. Fewer do no harm, more are more than repeating
/// could mend, or than chance.
const LOSSES: std::ops::RangeInclusive<f64> = 0.02..=0.15;
/// Nearer remote sides ask again soon enough.
const MIN_RTT: Duration = Duration::from_millis(50);
/// Part of the estimate that retransmissions may take.
const REPAIR_SHARE: f64 = 0.3;
/// SentPacketRef packets that are remembered to be sent again as padding.
const MAX_RECENT: usize = 16;

/// What the receiver of media can tell its sender of what it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// Transport-wide feedback.
    pub(crate) transport_cc: bool,
    /// Its own estimate.
    pub(crate) remb: bool,
}

impl Feedback {
    /// What was negotiated with a Consumer's or a Producer's parameters, for any of its codecs (mediasoup
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

    /// Whether there is any.
    pub(crate) fn any(self) -> bool {
        self.transport_cc || self.remb
    }

    /// With what was negotiated besides.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { transport_cc: self.transport_cc || other.transport_cc, remb: self.remb || other.remb }
    }
}

/// When congestion control is to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Then: a probe goes on, packets may leave, or a copy is to.
    At(Instant),
    /// Not long after that.
    About(Instant),
}

/// Congestion control of one transport. What each run touches comes first, from the end of `retransmissions` on.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SendControl {
    /// What is sent again.
    pub(crate) proactive: ProactiveRetransmissions,
    /// What it can learn from.
    pub(crate) feedback: Feedback,
    /// Whether a consumer has layers to choose from. Without that no layer follows from the estimate: no probes are sent
    /// to raise it, and nothing waits for it.
    pub(crate) adaptive: bool,
    /// Bytes that are to be sent as a probe.
    pub(crate) probe_due: usize,
    held: VecDeque<PacedPacket>,
    /// Decides.
    pub(crate) controller: CongestionController,
    /// What consumers want in all.
    pub(crate) desired: Bitrate,
    /// What they were given: that may be more than the estimate, as what is sent without layers to choose from is, and what
    /// is sent on trial.
    pub(crate) given: Bitrate,
    /// When consumers' layers were chosen last, and for which target.
    pub(crate) chosen_at: Option<Instant>,
    /// See [`SendControl::chosen_at`].
    pub(crate) chosen_for: Bitrate,
    /// Choices so far.
    pub(crate) rounds: usize,
    /// Makes packets for probes where nothing can be sent again.
    pub(crate) probator: Probator,
    /// Bytes of probes, for statistics.
    pub(crate) probation: Probation,
    /// Memory of the last allocation, for the next one.
    pub(crate) allocation: Allocation,
    recent: VecDeque<SentPacketRef>,
}

/// A packet that was decided on and waits for the pacer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacedPacket {
    /// Who sends it.
    pub(crate) consumer: ConsumerKey,
    /// Who received it.
    pub(crate) producer: ProducerKey,
    /// In which of its streams.
    pub(crate) stream: usize,
    /// Which of the consumer's streams it becomes part of.
    pub(crate) send_stream: usize,
    /// How it is sent.
    pub(crate) sent: SentPacket,
    /// Since when it waits.
    pub(crate) since: Instant,
}

/// A packet that was sent and could be sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentPacketRef {
    /// Who sent it.
    pub(crate) consumer: ConsumerKey,
    /// What to send again.
    pub(crate) retransmission: Retransmission,
}

/// What was sent as probes.
#[derive(Debug)]
pub(crate) struct Probation {
    /// Bytes in all.
    pub(crate) bytes: u64,
    /// Their rate.
    pub(crate) rate: RateMeter,
}

impl Probation {
    /// Bytes so far and bits per second now.
    pub(crate) fn read(&mut self, now: Instant) -> Traffic {
        let bitrate = self.rate.bitrate(now).map_or(0, Bitrate::as_bps);
        Traffic { bytes: self.bytes, bitrate }
    }
}

impl SendControl {
    /// Control of a transport over which media can flow.
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

    /// A run of packets leaves now: tell it of each of them.
    #[inline]
    pub(crate) fn start_run(&mut self, now: Instant) -> SentRun<'_> {
        self.controller.start_run(now, self.feedback.transport_cc)
    }

    /// A run with so many bytes of probes has left. Gives when the next shot of a probe is due.
    pub(crate) fn on_run_sent(&mut self, now: Instant, probe_bytes: usize) -> Option<Instant> {
        if probe_bytes > 0 {
            self.probation.bytes += probe_bytes as u64;
            self.probation.rate.add(now, probe_bytes);
        }
        self.controller.is_probing().then(|| self.controller.poll_timeout())
    }

    /// Whether the pacer has a say: something may have to wait for it, or does.
    pub(crate) fn paces(&self) -> bool {
        self.adaptive || self.has_held()
    }

    /// Whether packets wait for the pacer.
    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether something waits to be sent: for the pacer, or for its time.
    pub(crate) fn is_waiting(&self) -> bool {
        self.has_held() || self.proactive.next_duplicate_at().is_some()
    }

    /// Makes a packet wait. False when too many do: it is to be sent at once.
    pub(crate) fn hold(&mut self, packet: PacedPacket) -> bool {
        let room = self.held.len() < MAX_HELD;
        if room {
            self.held.push_back(packet);
        }
        room
    }

    /// The next packet that waits, if there is allowance for it or it has waited too long.
    pub(crate) fn release(&mut self, now: Instant, allowance: usize) -> Option<PacedPacket> {
        let first = self.held.front()?;
        let overdue = now.saturating_duration_since(first.since) >= MAX_HOLD;
        if allowance > 0 || overdue { self.held.pop_front() } else { None }
    }

    /// What may be spent on retransmissions by the estimate. Where that is less than what is sent anyway, that counts: it may
    /// be low only because nothing probes it.
    pub(crate) fn retransmission_rate(&self) -> Bitrate {
        self.controller.target().max(self.given) * REPAIR_SHARE
    }

    /// Whether the way is long and loses packets.
    pub(crate) fn is_far_and_lossy(&self) -> bool {
        self.controller.rtt().is_some_and(|rtt| rtt >= MIN_RTT) && LOSSES.contains(&self.controller.loss())
    }

    /// Whether losses are made good before they are asked for, and twice: those of a long way that loses packets by
    /// chance. What is lost for want of capacity must not be made more.
    pub(crate) fn retransmits_proactively(&self) -> bool {
        self.is_far_and_lossy() && self.controller.has_room() && !self.has_held()
    }

    /// Forgets what waits: it can't be sent.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.recent.clear();
        self.proactive.clear();
        self.probe_due = 0;
        self.controller.cancel_probes();
    }

    /// A packet was sent that could be sent again.
    pub(crate) fn remember(&mut self, recent: SentPacketRef) {
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }

    /// The packet to send again for a probe: each in turn.
    pub(crate) fn next_recent(&mut self) -> Option<SentPacketRef> {
        let recent = self.recent.pop_front()?;
        self.recent.push_back(recent);
        Some(recent)
    }

    /// Forgets a consumer.
    pub(crate) fn forget(&mut self, consumer: ConsumerKey) {
        self.held.retain(|held| held.consumer != consumer);
        self.recent.retain(|recent| recent.consumer != consumer);
        self.proactive.forget(consumer);
        self.chosen_at = None;
    }

    /// When the controller or the pacer is to be asked again, or a copy is to be sent.
    pub(crate) fn poll_timeout(&mut self, now: Instant) -> Wake {
        let controller = self.controller.poll_timeout();
        // A pacer that is slow, or waits for long, is not waited for longer than packets may.
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

    /// SRTP index, whose low half is the sequence number, and timestamp of the next packet.
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
    fn feedback_takes_its_extension_and_any_codec() {
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
    fn only_layers_make_it_look_often() {
        let now = Instant::now();
        let mut control = SendControl::new(now, BweConfig::default(), Feedback::default(), 1);
        control.chosen_at = Some(now);
        assert_eq!(control.poll_timeout(now), Wake::About(now + IDLE_TICK));
        control.adaptive = true;
        let Wake::About(at) = control.poll_timeout(now) else { panic!("nothing waits for a moment") };
        assert!(at < now + IDLE_TICK, "{:?}", at - now);
    }

    #[test]
    fn probe_has_its_moment() {
        let now = Instant::now();
        let mut control = SendControl::new(now, BweConfig::default(), Feedback::default(), 1);
        control.controller.set_desired(now, Bitrate::mbps(2));
        control.controller.start_probing(now);
        assert!(matches!(control.poll_timeout(now), Wake::At(_)));
    }

    #[test]
    fn copy_has_its_moment() {
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
    fn nothing_is_repaired_ahead_before_feedback_tells_of_losses() {
        let now = Instant::now();
        let mut control = SendControl::new(now, BweConfig::default(), Feedback::default(), 1);
        assert!(!control.retransmits_proactively());
        control.controller.on_rtt(Duration::from_millis(100));
        control.controller.on_loss_report(now, 5, 100);
        assert!(!control.retransmits_proactively(), "reports tell nothing of queues");
    }
}
