//! Congestion control of the sending side, sans-IO.
//!
//! A [`CongestionController`] takes every sent packet ([`CongestionController::start_run`]) and the remote side's
//! feedback ([`CongestionController::on_feedback`]). It returns a [target bitrate](CongestionController::target),
//! [probes](CongestionController::poll_probe) to send, and the bytes of a burst that may [leave at
//! once](CongestionController::allowance).
//!
//! ```text
//!  sent ──► history ─┐
//!                    ├─► arrivals ─► throughput ──────────────┬──────────────┐
//!  feedback ─────────┘      │                                 ▼              ▼
//!                           ├──► inter_arrival ─► trendline ─► aimd ─┐   loss_based ◄─ missing
//!                           └──► probe (measure) ───────────────────►┤       │
//!                                                                    ▼       ▼
//!  REMB, reports ─► reports ──────────────────────────────────────► target = the least
//!                                                                    │
//!  alr (sends little?), desired ─► probe_policy ─► probe (send)      └─► pacer, allocation
//! ```
//!
//! The method is Google Congestion Control (draft-ietf-rmcat-gcc-02) as in libwebrtc: trendline filter, robust throughput,
//! `LossBasedBweV2`, probing. It differs where an SFU requires it:
//! - An SFU cannot raise the bitrate of its media, so it also probes while Consumers want more than the estimate, even if
//!   the estimate is used (`probe_policy`).
//! - Media sent during a probe counts as part of the probe, so that less padding is needed.
//! - Packets are paced only where the path would queue them (`pacer`), so that runs of packets stay together.
//! - A standing queue after overuse is drained (`delay_based`), because the trendline does not show it.
//!
//! [`ReceiveSide`] estimates the rate of remote senders without transport-wide feedback.

mod aimd;
mod alr;
mod budget;
mod delay_based;
mod history;
mod inter_arrival;
mod loss_based;
mod pacer;
mod probe;
mod probe_policy;
mod queue_delay;
mod receive_side;
mod reports;
mod throughput;
mod trendline;

use std::time::{Duration, Instant};

pub use self::budget::Budget;
pub use self::receive_side::ReceiveSide;
use crate::units::Bitrate;
use crate::wire::rtcp::TransportCc;
use alr::AlrDetector;
use delay_based::DelayBased;
use history::{Missing, Report, SentHistory};
use loss_based::{LossBased, LossState};
use pacer::Pacer;
use probe::{ProbeShot, Probed, Prober};
use probe_policy::{Limit, ProbePolicy, Requests};
use reports::ReportBased;
use throughput::Throughput;
use trendline::Usage;

/// Microseconds since the creation of the controller or, for arrival times, by the remote clock, whose values are only
/// compared with each other.
pub(crate) type Micros = i64;

/// Interval of timeouts without other events.
const TICK: Micros = 100_000;
/// A probe does not lower the estimate below this share of the acknowledged bitrate.
const PROBE_FLOOR: f64 = 0.85;
/// Queueing delay up to which a queue counts as empty, because jitter alone causes that much.
const SHORT_QUEUE: Micros = 40_000;
/// Duration of the start phase, until the first probes return, and the share of the initial estimate used in it. The
/// probes ask for more than that.
const START: Micros = 1_000_000;
const OVER_INITIAL: f64 = 2.5;
/// Queueing delay above which a queue counts as a long one: drop-tail queues are seldom longer.
const LONG_QUEUE: Micros = 300_000;
/// Queueing delay in µs below which there is no queue, whatever the number of bytes in flight.
const STARTED_QUEUE: Micros = 60_000;
/// Round trip time above which queues count as full: the target falls by a fifth each second.
const MAX_RTT: Micros = 3_000_000;
const RTT_BACKOFF: f64 = 0.8;
const RTT_BACKOFF_INTERVAL: Micros = 1_000_000;
/// Lifetime of the queue and loss state from feedback.
const FEEDBACK_LIFETIME: Micros = 2_000_000;
/// Age of a packet from which a receiver report is known to cover it.
const REPORTED: Micros = 2_000_000;

/// Bounds of the target bitrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BweConfig {
    /// Initial target. A higher value reaches the capacity of fast links sooner and builds a queue on slow ones.
    pub initial: Bitrate,
    /// Lower bound of the target.
    pub min: Bitrate,
    /// Upper bound of the target and of probes.
    pub max: Bitrate,
    /// Bytes below RTP that each packet takes on the link: 28 for UDP over IPv4.
    pub overhead: u32,
}

impl Default for BweConfig {
    /// mediasoup's values: 600 kbit/s, between 5 kbit/s and 1 Gbit/s.
    fn default() -> Self {
        Self { initial: Bitrate::kbps(600), min: Bitrate::kbps(5), max: Bitrate::mbps(1000), overhead: 28 }
    }
}

/// Congestion control of one transport. See the [module documentation](self). The fields that each run touches come
/// first.
#[derive(Debug)]
#[repr(C)]
pub struct CongestionController {
    config: BweConfig,
    epoch: Instant,
    rtt: Option<Micros>,
    history: SentHistory,
    alr: AlrDetector,
    pacer: Pacer,
    prober: Prober,
    backoff: RttBackoff,
    report: Report,
    throughput: Throughput,
    delay_based: DelayBased,
    loss_based: LossBased,
    reports: ReportBased,
    policy: ProbePolicy,
    target: Bitrate,
    /// True while transport-wide feedback determines the target: from the first feedback, until it stops while receiver
    /// reports continue.
    has_feedback: bool,
    /// Time from which probes are allowed.
    began_at: Option<Micros>,
    next_tick: Micros,
}

/// Lowers the target while the round trip time is far too long, or would be because feedback is missing. Missing
/// feedback counts only after the first feedback.
#[derive(Debug, Default)]
#[repr(C)]
struct RttBackoff {
    /// Send time of the first numbered packet since the last feedback.
    unanswered_since: Option<Micros>,
    /// Send time of the last numbered packet.
    last_numbered: Micros,
    heard_at: Option<Micros>,
    rtt: Micros,
    lowered_at: Micros,
    cap: Option<Bitrate>,
}

/// Packets that leave together. [`finish`](Self::finish) does their common work once.
#[derive(Debug)]
pub struct SentRun<'a> {
    controller: &'a mut CongestionController,
    now: Micros,
    tracked: bool,
    /// True if at least one packet has a transport-wide number.
    numbered: bool,
    bytes: u64,
}

impl SentRun<'_> {
    /// Records a packet of `size` bytes, SRTP tag included, with its transport-wide sequence number if it has one.
    /// Takes a few nanoseconds.
    #[inline]
    pub fn on_packet(&mut self, seq: Option<u16>, size: usize) {
        let controller = &mut *self.controller;
        let size = size as u32 + controller.config.overhead;
        self.bytes += u64::from(size);
        let Some(seq) = seq.filter(|_| self.tracked) else {
            controller.history.record_untracked(self.now, size);
            return;
        };
        self.numbered = true;
        let probe = controller.prober.current_id();
        controller.history.record(self.now, seq, size, probe);
        if probe != 0 {
            controller.prober.on_sent(self.now, size);
        }
    }

    /// Ends the run.
    pub fn finish(self) {
        let Self { controller, now, bytes, numbered, .. } = self;
        controller.alr.on_sent(now, bytes);
        controller.pacer.on_sent(now, bytes, controller.alr.limited_since().is_none());
        if numbered {
            controller.backoff.on_sent(now);
        }
    }
}

impl CongestionController {
    /// Creates the controller of a connected transport.
    pub fn new(now: Instant, config: BweConfig) -> Self {
        let config = config.normalized();
        let mut controller = Self {
            epoch: now,
            config,
            history: SentHistory::new(),
            report: Report::default(),
            throughput: Throughput::default(),
            delay_based: DelayBased::new(config.initial, config.min),
            loss_based: LossBased::new(config.min, config.max),
            reports: ReportBased::new(config.initial),
            alr: AlrDetector::default(),
            policy: ProbePolicy::new(config.initial, config.max),
            prober: Prober::default(),
            pacer: Pacer::new(config.initial),
            target: config.initial,
            has_feedback: false,
            began_at: None,
            rtt: None,
            backoff: RttBackoff::default(),
            next_tick: TICK,
        };
        controller.alr.set_estimate(config.initial);
        controller
    }

    /// Rate that may be sent in total, including overhead below RTP.
    pub fn target(&self) -> Bitrate {
        self.target
    }

    /// Bandwidth to share among Consumers.
    pub fn budget(&self, now: Instant) -> Budget {
        let now = self.micros(now);
        let trial = self.trial(now);
        if !self.has_feedback {
            let carries = self.start(now).min(self.bound(now)).max(self.target);
            return Budget { carries, trial, ..Budget::lasting(self.target) };
        }
        let bound = self.bound(now);
        let carries = self.delay_based.carries(now).max(self.start(now));
        Budget {
            target: self.target,
            carries: carries.min(bound).max(self.target),
            draining: self.delay_based.draining(now).map(|draining| draining.min(bound)),
            trial,
        }
    }

    /// Acknowledged bitrate, if enough packets were sent to measure it.
    pub fn delivered(&self) -> Option<Bitrate> {
        self.throughput.bitrate()
    }

    /// Average loss of the last seconds, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss_based.average_loss()
    }

    /// Round trip time by transport-wide feedback, or else by receiver reports.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|rtt| Duration::from_micros(rtt as u64))
    }

    /// True when transport-wide feedback shows no queueing, so that losses are random.
    pub fn has_room(&self) -> bool {
        self.has_feedback
            && self.delay_based.usage() == Usage::Normal
            && self.delay_based.queue_delay() <= SHORT_QUEUE
            && self.backoff.cap.is_none()
    }

    /// Queueing delay of a packet that is sent now, computed from the bytes in flight and the arrival rate. `None` if
    /// the delay does not exceed that of usual drop-tail queues.
    pub fn long_queue(&self) -> Option<Duration> {
        let waited = self.delay_based.recent_queue();
        if waited < STARTED_QUEUE {
            return None;
        }
        let unqueued = (self.backoff.rtt - waited).max(0);
        let arriving = self.throughput.recently_received().filter(|rate| !rate.is_zero());
        let waits = arriving.map_or(0, |rate| {
            let in_flight = self.history.in_flight() as f64 * 8e6 / rate.as_bps() as f64;
            in_flight as Micros - unqueued
        });
        let queue = waited.max(waits);
        (queue > LONG_QUEUE).then(|| Duration::from_micros(queue as u64))
    }

    /// Packets that the last transport-wide feedback reported as lost for the first time.
    pub fn missing(&self) -> &[Missing] {
        &self.report.missing
    }

    /// Allows probes. The first ones are sent once Consumers want bandwidth. To be called when media can flow.
    pub fn start_probing(&mut self, now: Instant) {
        let now = self.micros(now);
        self.began_at.get_or_insert(now);
        let requests = self.policy.start(now);
        self.request_probes(now, requests);
    }

    /// Sets the bounds; zero means unbounded.
    pub fn set_limits(&mut self, now: Instant, min: Bitrate, max: Bitrate) {
        let now = self.micros(now);
        self.config = BweConfig { min, max, ..self.config }.normalized();
        let BweConfig { min, max, .. } = self.config;
        self.delay_based.set_min(min);
        self.loss_based.set_limits(min, max);
        let requests = self.policy.set_max(now, max);
        self.request_probes(now, requests);
        self.update_target(now);
    }

    /// Sets the total bitrate that Consumers want. Probes aim at it and not much beyond.
    pub fn set_desired(&mut self, now: Instant, desired: Bitrate) {
        let now = self.micros(now);
        let requests = self.policy.set_desired(now, desired);
        self.request_probes(now, requests);
    }

    /// Starts a run of packets; the caller records each of them. `tracked` is true if they have transport-wide numbers.
    #[inline]
    pub fn start_run(&mut self, now: Instant, tracked: bool) -> SentRun<'_> {
        SentRun { now: self.micros(now), tracked, numbered: false, bytes: 0, controller: self }
    }

    /// Handles transport-wide feedback. Returns true when the target changed.
    pub fn on_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>) -> bool {
        let now = self.micros(now);
        // Taken out and put back, because it keeps its memory from one feedback to the next.
        let mut report = std::mem::take(&mut self.report);
        self.history.resolve(feedback, &mut report);
        let changed = !report.is_empty() && self.on_report(now, &report);
        self.report = report;
        changed
    }

    /// Handles a REMB; zero means unbounded. Returns true when the target changed.
    pub fn on_remb(&mut self, now: Instant, bitrate: Bitrate) -> bool {
        let now = self.micros(now);
        self.reports.on_remb(now, bitrate);
        self.reports.update(now, self.config.min, self.config.max);
        self.update_target(now)
    }

    /// Handles the round trip time of a receiver report. Transport-wide feedback takes precedence.
    pub fn on_rtt(&mut self, rtt: Duration) {
        let rtt = rtt.as_micros() as Micros;
        self.reports.set_rtt(rtt);
        if !self.has_feedback {
            self.rtt = Some(rtt);
        }
    }

    /// Handles the loss of receiver reports since the last ones.
    pub fn on_loss_report(&mut self, now: Instant, lost: u64, expected: u64) {
        let now = self.micros(now);
        self.reports.on_loss(now, lost, expected);
    }

    /// Time of the next [`Self::handle_timeout`] or [`Self::poll_probe`].
    pub fn poll_timeout(&self) -> Instant {
        let next = self.prober.next_shot().map_or(self.next_tick, |shot| shot.min(self.next_tick));
        self.epoch + Duration::from_micros(next.max(0) as u64)
    }

    /// Handles a timeout. Returns true when the target changed.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let now = self.micros(now);
        if now < self.next_tick {
            return false;
        }
        self.next_tick = now + TICK;
        self.reports.update(now, self.config.min, self.config.max);
        let changed = self.update_target(now);
        let limited_since = self.alr.limited_since().filter(|_| self.has_feedback);
        let requests = self.policy.poll(now, limited_since);
        self.request_probes(now, requests);
        changed
    }

    /// The probe packets to send now, if any. The caller sends them at once and asks again.
    pub fn poll_probe(&mut self, now: Instant) -> Option<ProbeShot> {
        let now = self.micros(now);
        self.prober.poll(now)
    }

    /// True while a probe is sent or scheduled.
    pub fn is_probing(&self) -> bool {
        self.prober.is_busy()
    }

    /// The configured bounds.
    pub fn config(&self) -> &BweConfig {
        &self.config
    }

    /// Cancels pending probes, because the transport cannot send.
    pub fn cancel_probes(&mut self) {
        self.prober.cancel();
    }

    /// Bytes that may be sent now. Audio and retransmissions are not paced.
    pub fn allowance(&mut self, now: Instant) -> usize {
        let now = self.micros(now);
        self.pacer.allowance(now)
    }

    /// Time of the next burst.
    pub fn next_burst(&mut self, now: Instant) -> Instant {
        let now = self.micros(now);
        self.epoch + Duration::from_micros(self.pacer.next_burst(now).max(0) as u64)
    }

    fn on_report(&mut self, now: Micros, report: &Report) -> bool {
        self.has_feedback = true;
        self.measure_rtt(now, report);
        let limited = self.alr.limited_since().is_some();
        self.throughput.on_arrivals(&report.arrivals);
        let delivered = self.throughput.bitrate();
        let measured = self.prober.on_arrivals(&report.arrivals);
        if let Some(measured) = measured {
            self.loss_based.on_probe(now, measured.bitrate);
        }
        let probed = measured.and_then(|probed| self.judge(probed, delivered));
        let outcome = self.delay_based.on_arrivals(now, &report.arrivals, &self.throughput, probed, limited);
        if outcome.decreased {
            self.loss_based.on_overuse(now);
        }
        let delay_based = self.delay_based.estimate();
        self.loss_based.on_feedback(&report.arrivals, &report.missing, delivered, delay_based, limited);
        let changed = self.update_target(now);
        if outcome.recovered {
            let requests = self.policy.on_recovered(now);
            self.request_probes(now, requests);
        }
        changed
    }

    /// The estimate after a probe, if it changes. A small probe that succeeds does not contradict a higher estimate,
    /// and Consumers that want little cause small probes.
    fn judge(&self, probed: Probed, delivered: Option<Bitrate>) -> Option<Bitrate> {
        let estimate = self.delay_based.estimate();
        if probed.bitrate >= estimate {
            return Some(probed.bitrate);
        }
        let floor = delivered.map_or(Bitrate::ZERO, |delivered| delivered * PROBE_FLOOR);
        probed.saturated.then(|| probed.bitrate.max(floor.min(estimate)))
    }

    /// Measures the shortest time from sending to feedback, without the time that packets waited for their feedback
    /// packet.
    fn measure_rtt(&mut self, now: Micros, report: &Report) {
        let Some(last) = report.arrivals.last() else { return };
        let waited = |at: Micros| last.received_at - at;
        let rtts = report.arrivals.iter().map(|a| now - a.sent_at - waited(a.received_at));
        if let Some(rtt) = rtts.min() {
            let rtt = rtt.max(0);
            self.rtt = Some(self.rtt.filter(|_| self.has_feedback).map_or(rtt, |old| old + (rtt - old) / 8));
            self.delay_based.set_rtt(self.rtt.unwrap_or(rtt));
            self.backoff.on_measured(now, rtt);
        }
    }

    /// Sets the target to the least of the parts' estimates. Returns true when it changed.
    fn update_target(&mut self, now: Micros) -> bool {
        if self.has_feedback && self.reports_replace_feedback() {
            self.has_feedback = false;
            self.backoff = RttBackoff::default();
            self.reports.restart(self.target);
        }
        // The fallback to receiver reports comes first: it restarts them from the current target.
        let estimate = match self.has_feedback {
            true => self.delay_based.estimate(),
            false => self.reports.estimate(now),
        };
        let congested = self.backoff.update(now, self.target);
        let target = estimate.min(self.bound(now)).max(self.config.min);
        let changed = target != self.target;
        self.target = target;
        if changed {
            self.alr.set_estimate(target);
        }
        // Rates that are already acknowledged need no pacing.
        self.pacer.set_estimate(target.max(self.throughput.bitrate().unwrap_or(target)));
        let limit = if congested { Limit::Congestion } else { self.recent_limit(now) };
        let requests = self.policy.on_estimate(now, target, limit);
        self.request_probes(now, requests);
        changed
    }

    /// Limit by recent feedback. Older feedback must not suppress the probes that would correct it.
    fn recent_limit(&self, now: Micros) -> Limit {
        let fresh = self.has_recent_feedback(now);
        match (self.delay_based.usage(), self.loss_based.state()) {
            (Usage::Over | Usage::Under, _) | (_, LossState::Decreasing) if fresh => Limit::Congestion,
            (_, LossState::Increasing | LossState::Decreasing) => Limit::Loss,
            (_, LossState::DelayBased) => Limit::None,
        }
    }

    /// True while feedback is recent.
    fn has_recent_feedback(&self, now: Micros) -> bool {
        self.backoff.heard_at.is_some_and(|at| now - at <= FEEDBACK_LIFETIME)
    }

    /// True if feedback has stopped while receiver reports confirm packets that it had to cover. The remote side no
    /// longer sends feedback then, and its absence is no sign of congestion.
    fn reports_replace_feedback(&self) -> bool {
        let Some(since) = self.backoff.unanswered_since else { return false };
        let heard = self.reports.heard_at().is_some_and(|at| at - since >= REPORTED);
        heard && self.backoff.silence() > MAX_RTT
    }

    /// Rate to start with while nothing is known about the path. The first probes go further; a Consumer that starts
    /// lower would need a second key frame when their results arrive.
    fn start(&self, now: Micros) -> Bitrate {
        let begins = self.began_at.is_none_or(|at| now - at < START);
        let known = self.delay_based.has_decreased()
            || self.reports.is_lossy(now)
            || self.reports.remb(now).is_some();
        match begins && !known && self.recent_limit(now) == Limit::None {
            true => self.config.initial * OVER_INITIAL,
            false => Bitrate::ZERO,
        }
    }

    /// Rate that a single Consumer may get above the target, because an estimate must not stop the packets that renew
    /// it. Recent evidence of congestion excludes it.
    fn trial(&self, now: Micros) -> Bitrate {
        let congested = match self.has_feedback {
            true => {
                self.has_recent_feedback(now)
                    && (self.backoff.cap.is_some() || self.recent_limit(now) == Limit::Congestion)
            }
            false => self.reports.is_lossy(now),
        };
        match congested {
            true => self.target,
            false => self.reports.remb(now).unwrap_or(self.config.max).min(self.config.max).max(self.target),
        }
    }

    /// Bound by all estimates but the delay-based one.
    fn bound(&self, now: Micros) -> Bitrate {
        let max = self.config.max;
        let bound = max.min(self.backoff.cap.unwrap_or(max));
        if !self.has_feedback {
            return bound;
        }
        bound.min(self.loss_based.estimate().unwrap_or(max)).min(self.reports.remb(now).unwrap_or(max))
    }

    fn request_probes(&mut self, now: Micros, requests: Requests) {
        for rate in requests {
            self.prober.request(now, rate);
        }
    }

    #[inline]
    fn micros(&self, now: Instant) -> Micros {
        let time = now.saturating_duration_since(self.epoch);
        time.as_secs() as Micros * 1_000_000 + Micros::from(time.subsec_micros())
    }
}

impl BweConfig {
    /// Normalizes the bounds: a maximum of zero means unbounded.
    fn normalized(self) -> Self {
        let default = Self::default();
        let min = self.min.max(default.min);
        let max = if self.max.is_zero() { default.max } else { self.max }.max(min);
        Self { min, max, initial: self.initial.clamp(min, max), ..self }
    }
}

impl RttBackoff {
    /// Records a numbered packet.
    fn on_sent(&mut self, now: Micros) {
        self.last_numbered = now;
        self.unanswered_since.get_or_insert(now);
    }

    /// Records a measured round trip time.
    fn on_measured(&mut self, now: Micros, rtt: Micros) {
        self.rtt = rtt;
        self.heard_at = Some(now);
        self.unanswered_since = None;
    }

    /// Time for which feedback has been overdue. Unnumbered packets expect none.
    fn silence(&self) -> Micros {
        let since = self.unanswered_since.filter(|_| self.heard_at.is_some());
        since.map_or(0, |since| (self.last_numbered - since).max(0))
    }

    /// Lowers the cap while the round trip time, or the time without feedback, is too long. Returns true while it is.
    fn update(&mut self, now: Micros, target: Bitrate) -> bool {
        if now - self.last_numbered > MAX_RTT {
            // No outstanding packet can be acknowledged any more, so the old round trip time would stay forever.
            (self.rtt, self.unanswered_since) = (0, None);
        }
        if self.rtt + self.silence() <= MAX_RTT {
            self.cap = None;
            return false;
        }
        if now - self.lowered_at >= RTT_BACKOFF_INTERVAL {
            self.lowered_at = now;
            self.cap = Some(target * RTT_BACKOFF);
        }
        true
    }
}

/// Rate of `bytes` over `time`, which is not zero.
fn rate(bytes: u64, time: Micros) -> Bitrate {
    Bitrate::bps((u128::from(bytes) * 8_000_000 / time as u128) as u64)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests;
