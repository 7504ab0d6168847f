//! Loss-based bandwidth estimate: separates congestion loss from the path's inherent loss.
//!
//! A path is modelled by its inherent loss and its capacity. A sender below the capacity sees the inherent loss, one
//! above it loses the excess as well. Among a few candidate pairs around the current one, the most likely pair given
//! the recent observations becomes the estimate (libwebrtc's `LossBasedBweV2`, with its defaults).

use super::Micros;
use super::history::{Arrival, Missing};
use crate::units::Bitrate;

/// Number of observations kept.
const WINDOW: usize = 15;
/// Shortest span of send times of an observation.
const OBSERVATION: Micros = 250_000;
/// Observations before the estimate is valid.
const MIN_OBSERVATIONS: u64 = 3;
/// Weight of an observation relative to the next newer one.
const AGING: f64 = 0.9;
/// Candidates relative to the current estimate. The acknowledged bitrate and the delay-based estimate are candidates
/// as well.
const FACTORS: [f64; 3] = [1.02, 1.0, 0.95];
const NEWTON_STEP: f64 = 0.75;
const INITIAL_INHERENT_LOSS: f64 = 0.01;
const MIN_INHERENT_LOSS: f64 = 0.001;
/// Bound of the inherent loss at unbounded capacity; at the capacity of the second constant the bound is 1.
const MAX_INHERENT_LOSS: f64 = 0.05;
const INHERENT_LOSS_BALANCE_KBPS: f64 = 100.0;
/// Preference for higher candidates of equal likelihood; it shrinks near the loss of the second constant.
const PREFERENCE: f64 = 0.0002;
const LOG_PREFERENCE: f64 = 0.02;
const PREFERENCE_LOSS: f64 = 0.2;
const PREFERENCE_SMOOTHING: f64 = 0.002;
/// Loss above the first value bounds the estimate at once, to the second value divided by the excess.
const IMMEDIATE_LOSS: f64 = 0.05;
const IMMEDIATE_BALANCE_KBPS: f64 = 100.0;
/// Loss above this multiple of the inherent loss counts as congestion loss, because random loss varies.
const UNEXPLAINED: f64 = 1.2;
/// Growth over the acknowledged bitrate while loss limits the estimate: normally, and after growth that caused loss.
const RAMP_UP: f64 = 1.5;
const RAMP_UP_IN_HOLD: f64 = 1.2;
const RAMP_UP_HOLD_THRESHOLD: f64 = 1.3;
/// Growth within a window of this length after loss.
const MAX_INCREASE: f64 = 1.3;
const INCREASE_WINDOW: Micros = 300_000;
/// Hold time after a decrease. It doubles with each further decrease.
const INITIAL_HOLD: Micros = 300_000;
const MAX_HOLD: Micros = 8_000_000;
/// An observation sent at this multiple of the median rate is not an outlier, because its rate explains its loss.
const OUTLIER_RATE: f64 = 2.0;
/// Lifetime of a probe's result as acknowledged bitrate.
const PROBE_LIFETIME: Micros = 2_000_000;
/// Time a sender takes to reduce its rate, because layers change at key frames.
const REACTION: Micros = 300_000;
const MIN_BITRATE_BPS: f64 = 5_000.0;

/// What limits the estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LossState {
    /// The delay-based estimate is the lower one.
    #[default]
    DelayBased,
    /// Loss limits the estimate, which grows.
    Increasing,
    /// Loss limits the estimate, which falls or is held.
    Decreasing,
}

#[derive(Debug)]
pub(crate) struct LossBased {
    observations: [Observation; WINDOW],
    count: u64,
    partial: Partial,
    /// Send time of the latest packet of the last observation: the clock of this estimate.
    clock: Option<Micros>,
    /// Packets sent before this time are ignored.
    answered_until: Micros,
    path: Option<Path>,
    average_loss: f64,
    limits: Limits,
    state: LossState,
    estimate: f64,
    hold: Hold,
    window: Option<IncreaseWindow>,
    /// Time and rate of the last successful probe.
    probed: Option<(Micros, f64)>,
}

/// Bounds of the estimate, in bit/s.
#[derive(Clone, Copy, Debug)]
struct Limits {
    min: f64,
    max: f64,
    delivered: Option<f64>,
    delay_based: f64,
}

/// Bytes sent and lost in one span of send time.
#[derive(Clone, Copy, Debug, Default)]
struct Observation {
    id: u64,
    rate: f64,
    /// Thousands of bytes.
    sent: f64,
    lost: f64,
}

#[derive(Debug, Default)]
struct Partial {
    bytes: u64,
    lost: u64,
    last_sent: Option<Micros>,
    first_sent: Option<Micros>,
}

/// Model of a path.
#[derive(Clone, Copy, Debug)]
struct Path {
    inherent_loss: f64,
    /// In bit/s.
    capacity: f64,
}

/// The estimate does not grow beyond `bitrate` before `until`.
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Micros,
    duration: Micros,
    bitrate: f64,
}

const NO_HOLD: Hold = Hold { until: 0, duration: INITIAL_HOLD, bitrate: f64::INFINITY };

#[derive(Clone, Copy, Debug)]
struct IncreaseWindow {
    opened: Micros,
    limit: f64,
}

impl LossBased {
    pub(super) fn new(min: Bitrate, max: Bitrate) -> Self {
        let limits = Limits { min: 0.0, max: 0.0, delivered: None, delay_based: f64::INFINITY };
        let mut loss_based = Self {
            observations: [Observation::default(); WINDOW],
            count: 0,
            partial: Partial::default(),
            clock: None,
            answered_until: 0,
            path: None,
            average_loss: 0.0,
            limits,
            state: LossState::DelayBased,
            estimate: f64::INFINITY,
            hold: NO_HOLD,
            window: None,
            probed: None,
        };
        loss_based.set_limits(min, max);
        loss_based
    }

    pub(super) fn set_limits(&mut self, min: Bitrate, max: Bitrate) {
        self.limits.min = min.as_bps() as f64;
        self.limits.max = max.as_bps() as f64;
    }

    /// The estimate, if loss limits it and there are enough observations.
    pub(super) fn estimate(&self) -> Option<Bitrate> {
        let ready = self.is_limited() && self.count >= MIN_OBSERVATIONS;
        (ready && self.estimate.is_finite()).then(|| Bitrate::bps(self.estimate as u64))
    }

    /// What limits the estimate.
    pub(super) fn state(&self) -> LossState {
        self.state
    }

    /// Average loss of the last observations, outliers left out: 0 to 1.
    pub(crate) fn average_loss(&self) -> f64 {
        self.average_loss
    }

    /// Overuse lowered the delay-based estimate. Losses of packets sent before the sender could react are ignored,
    /// because that decrease already answers them.
    pub(crate) fn on_overuse(&mut self, now: Micros) {
        self.answered_until = now + REACTION;
        self.count = 0;
        self.partial = Partial::default();
        self.clock = None;
        self.average_loss = 0.0;
        self.state = LossState::DelayBased;
        self.path = None;
        self.hold = NO_HOLD;
        self.window = None;
    }

    /// A probe got through at this rate.
    pub(crate) fn on_probe(&mut self, now: Micros, bitrate: Bitrate) {
        self.probed = Some((now, bitrate.as_bps() as f64));
    }

    /// Rate that the path has proven to deliver: a probe's result can exceed the acknowledged bitrate, because
    /// Consumers switch in steps of a layer.
    fn shown(&self, now: Micros) -> Option<f64> {
        let probed = self.probed.filter(|(at, _)| now - at < PROBE_LIFETIME).map(|(_, rate)| rate);
        self.limits.delivered.map(|delivered| probed.map_or(delivered, |probed| probed.max(delivered)))
    }

    /// Updates the estimate from received and lost packets. `delivered`: the acknowledged bitrate, if known.
    pub(super) fn on_feedback(
        &mut self,
        arrivals: &[Arrival],
        missing: &[Missing],
        delivered: Option<Bitrate>,
        delay_based: Bitrate,
        application_limited: bool,
    ) {
        if let Some(delivered) = delivered {
            self.limits.delivered = Some(delivered.as_bps() as f64);
        }
        self.limits.delay_based = delay_based.as_bps() as f64;
        if let Some(now) = self.observe(arrivals, missing) {
            self.update(now, application_limited);
        }
    }

    /// Adds to the current observation. Returns its span when it is complete.
    fn observe(&mut self, arrivals: &[Arrival], missing: &[Missing]) -> Option<Micros> {
        let partial = &mut self.partial;
        let answered_until = self.answered_until;
        for arrival in arrivals.iter().filter(|arrival| arrival.sent_at >= answered_until) {
            if arrival.was_lost {
                partial.lost = partial.lost.saturating_sub(arrival.size.into());
                continue;
            }
            partial.add(arrival.sent_at, arrival.size);
        }
        for packet in missing.iter().filter(|packet| packet.sent_at >= answered_until) {
            partial.add(packet.sent_at, packet.size);
            partial.lost += u64::from(packet.size);
        }
        let last = partial.last_sent?;
        let began = *self.clock.get_or_insert(partial.first_sent?);
        let duration = last - began;
        if duration < OBSERVATION {
            return None;
        }
        let partial = std::mem::take(partial);
        self.clock = Some(last);
        self.observations[self.count as usize % WINDOW] = Observation {
            id: self.count,
            rate: partial.bytes as f64 * 8e6 / duration as f64,
            sent: partial.bytes as f64 / 1000.0,
            lost: partial.lost.min(partial.bytes) as f64 / 1000.0,
        };
        self.count += 1;
        self.average_loss = self.measure_loss();
        Some(last)
    }

    fn update(&mut self, now: Micros, application_limited: bool) {
        let initial = Path { inherent_loss: INITIAL_INHERENT_LOSS, capacity: self.limits.delay_based };
        if self.path.is_none() {
            self.estimate = initial.capacity;
        }
        let current = *self.path.get_or_insert(initial);
        let best = self.best_candidate(current, application_limited);
        let best = self.limit_growth(now, current, best, application_limited);

        let lower = self.lower_bound();
        let bounded = best.capacity.min(self.upper_bound()).min(self.limits.delay_based).max(lower);
        self.path = Some(match bounded < best.capacity {
            true => Path { inherent_loss: 0.0, capacity: bounded },
            false => Path { capacity: best.capacity.max(lower), ..best },
        });

        let limited_by_loss = bounded < self.limits.delay_based;
        if self.state == LossState::Decreasing && self.hold.until > now && limited_by_loss {
            self.hold.bitrate = self.hold.bitrate.max(lower);
            self.estimate = self.hold.bitrate.min(bounded);
            return;
        }
        self.state = if !limited_by_loss || bounded >= self.limits.max {
            self.hold = NO_HOLD;
            LossState::DelayBased
        } else if self.grows(self.estimate, bounded) {
            LossState::Increasing
        } else {
            if self.state != LossState::Decreasing {
                let duration = self.hold.duration;
                self.hold =
                    Hold { until: now + duration, duration: (duration * 2).min(MAX_HOLD), bitrate: bounded };
            }
            LossState::Decreasing
        };
        self.estimate = bounded;
        if self.is_limited() && self.window.is_none_or(|window| window.opened + INCREASE_WINDOW < now) {
            let capacity = self.path.map_or(bounded, |path| path.capacity);
            self.window =
                Some(IncreaseWindow { opened: now, limit: (capacity * MAX_INCREASE).max(MIN_BITRATE_BPS) });
        }
    }

    /// The most likely candidate; the highest of equally likely ones.
    fn best_candidate(&self, current: Path, application_limited: bool) -> Path {
        let bound = match self.window {
            Some(window) if self.is_limited() => window.limit,
            _ => self.limits.max,
        };
        let factors = FACTORS.iter().map(|factor| Some(current.capacity * factor));
        // The acknowledged bitrate of an application-limited sender tells nothing about the path.
        let delivered = self.limits.delivered.filter(|_| !application_limited);
        let delay_based = Some(self.limits.delay_based).filter(|&bitrate| bitrate > current.capacity);
        let candidates = factors.chain([delivered, delay_based]).flatten();

        let mut best = (f64::NEG_INFINITY, current);
        for capacity in candidates {
            let capacity = capacity.min(bound.max(current.capacity));
            let inherent_loss = self.refine_inherent_loss(Path { capacity, ..current });
            let candidate = Path { inherent_loss, capacity };
            let likelihood = self.likelihood(candidate);
            if likelihood > best.0 || likelihood == best.0 && capacity > best.1.capacity {
                best = (likelihood, candidate);
            }
        }
        best.1
    }

    /// Limits the candidate's growth where loss contradicts it.
    fn limit_growth(&self, now: Micros, current: Path, mut best: Path, application_limited: bool) -> Path {
        // Loss above the inherent loss is congestion loss.
        if self.average_loss > best.inherent_loss * UNEXPLAINED {
            best.capacity = best.capacity.min(current.capacity);
        }
        if !self.is_limited() {
            return best;
        }
        if let Some(window) = self.window
            && window.opened + INCREASE_WINDOW > now
        {
            best.capacity = best.capacity.min(window.limit);
        }
        // The acknowledged bitrate of an application-limited sender is low. The delay-based estimate, which probes
        // raise, is then the only bound.
        if let Some(delivered) = self.shown(now).filter(|_| !application_limited)
            && self.grows(current.capacity, best.capacity)
        {
            let near_hold = delivered < self.hold.bitrate * RAMP_UP_HOLD_THRESHOLD;
            let factor = if self.hold.bitrate.is_finite() && near_hold { RAMP_UP_IN_HOLD } else { RAMP_UP };
            best.capacity = best.capacity.min(delivered * factor).max(current.capacity);
            // A bound that does not change the estimate must not keep the state at "decreasing".
            if self.state == LossState::Decreasing && best.capacity == current.capacity {
                best.capacity += 1.0;
            }
        }
        best
    }

    /// One step of Newton's method on the likelihood.
    fn refine_inherent_loss(&self, path: Path) -> f64 {
        let (mut first, mut second) = (0.0, 0.0);
        for (weight, observation) in self.weighted() {
            let loss = path.loss_at(observation.rate);
            let received = observation.sent - observation.lost;
            first += weight * (observation.lost / loss - received / (1.0 - loss));
            second -= weight * (observation.lost / loss.powi(2) + received / (1.0 - loss).powi(2));
        }
        let step = if second < 0.0 { NEWTON_STEP * first / second } else { 0.0 };
        let highest = MAX_INHERENT_LOSS + INHERENT_LOSS_BALANCE_KBPS * 1000.0 / path.capacity.max(1.0);
        (path.inherent_loss - step).max(MIN_INHERENT_LOSS).min(highest.min(1.0))
    }

    /// Log likelihood of the observations under a path model, plus the preference for higher bitrates.
    fn likelihood(&self, path: Path) -> f64 {
        let kbps = path.capacity / 1000.0;
        let distance = PREFERENCE_LOSS - self.average_loss;
        let confidence = distance / (PREFERENCE_SMOOTHING + distance.abs());
        let preference = confidence * (PREFERENCE * kbps + LOG_PREFERENCE * (1.0 + kbps).ln());
        let observed = self.weighted().map(|(weight, observation)| {
            let loss = path.loss_at(observation.rate);
            let received = observation.sent - observation.lost;
            weight
                * (observation.lost * loss.ln()
                    + received * (1.0 - loss).ln()
                    + preference * observation.sent)
        });
        observed.sum()
    }

    /// Observations with weights that fall with age.
    fn weighted(&self) -> impl Iterator<Item = (f64, &Observation)> {
        let len = self.count.min(WINDOW as u64) as usize;
        self.observations[..len]
            .iter()
            .map(|observation| (AGING.powi((self.count - 1 - observation.id) as i32), observation))
    }

    /// Average loss without the observations of highest and lowest loss, which are outliers.
    fn measure_loss(&self) -> f64 {
        let (mut sent, mut lost) = (0.0, 0.0);
        let mut most = (0.0, Observation::default(), 0.0);
        let mut least = (1.0, Observation::default(), 0.0);
        for (weight, observation) in self.weighted() {
            sent += weight * observation.sent;
            lost += weight * observation.lost;
            let loss = observation.lost / observation.sent.max(f64::MIN_POSITIVE);
            if loss > most.0 {
                most = (loss, *observation, weight);
            }
            if loss < least.0 {
                least = (loss, *observation, weight);
            }
        }
        if self.count > MIN_OBSERVATIONS && most.1.rate < OUTLIER_RATE * self.median_rate() {
            let kept = sent - most.2 * most.1.sent - least.2 * least.1.sent;
            if kept > 1e-6 {
                return (lost - most.2 * most.1.lost - least.2 * least.1.lost).max(0.0) / kept;
            }
        }
        if sent > 0.0 { lost / sent } else { 0.0 }
    }

    fn median_rate(&self) -> f64 {
        let mut rates = [0.0; WINDOW];
        let mut len = 0;
        for (_, observation) in self.weighted() {
            rates[len] = observation.rate;
            len += 1;
        }
        rates[..len].sort_by(f64::total_cmp);
        (rates[len / 2] + rates[len.saturating_sub(1) / 2]) / 2.0
    }

    fn upper_bound(&self) -> f64 {
        let excess = self.average_loss - IMMEDIATE_LOSS;
        match excess > 0.0 {
            true => (IMMEDIATE_BALANCE_KBPS * 1000.0 / excess).min(self.limits.max),
            false => self.limits.max,
        }
    }

    /// The acknowledged bitrate is a lower bound of the capacity.
    fn lower_bound(&self) -> f64 {
        self.limits.min.max(self.limits.delivered.unwrap_or(0.0)).min(self.limits.max)
    }

    fn is_limited(&self) -> bool {
        self.state != LossState::DelayBased
    }

    fn grows(&self, old: f64, new: f64) -> bool {
        self.is_limited() && (new > old || new == old && self.state == LossState::Increasing)
    }
}

impl Partial {
    fn add(&mut self, sent_at: Micros, size: u32) {
        self.bytes += u64::from(size);
        self.first_sent = Some(self.first_sent.map_or(sent_at, |first| first.min(sent_at)));
        self.last_sent = self.last_sent.max(Some(sent_at));
    }
}

impl Path {
    /// Loss at a send rate, kept strictly between 0 and 1.
    fn loss_at(&self, rate: f64) -> f64 {
        let excess = ((rate - self.capacity) / rate).max(0.0);
        (self.inherent_loss + (1.0 - self.inherent_loss) * excess).clamp(1e-6, 1.0 - 1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    /// A sender that always uses the estimate, over a path whose loss depends on the rate.
    struct Sim {
        loss_based: LossBased,
        delay_based: Bitrate,
        now: Micros,
    }

    impl Sim {
        fn new(start: Bitrate) -> Self {
            let loss_based = LossBased::new(Bitrate::kbps(5), Bitrate::mbps(100));
            Self { loss_based, delay_based: start, now: 0 }
        }

        fn rate(&self) -> Bitrate {
            self.loss_based.estimate().unwrap_or(self.delay_based).min(self.delay_based)
        }

        fn run(&mut self, time: Micros, loss: impl Fn(f64) -> f64) {
            let end = self.now + time;
            let mut owed = 0.0;
            while self.now < end {
                let rate = self.rate().as_bps() as f64;
                let share = loss(rate);
                let packets = (rate * 0.1 / 8000.0).ceil() as i64;
                let (mut arrivals, mut missing) = (Vec::new(), Vec::new());
                for i in 0..packets {
                    let sent_at = self.now + i * 100_000 / packets;
                    owed += share;
                    if owed >= 1.0 {
                        owed -= 1.0;
                        missing.push(Missing { seq: 0, sent_at, size: 1000 });
                    } else {
                        arrivals.push(Arrival {
                            sent_at,
                            received_at: sent_at,
                            size: 1000,
                            probe: 0,
                            was_lost: false,
                        });
                    }
                }
                let delivered = Bitrate::bps(arrivals.len() as u64 * 80_000);
                self.loss_based.on_feedback(&arrivals, &missing, Some(delivered), self.delay_based, false);
                self.now += 100_000;
            }
        }
    }

    #[test]
    fn without_loss_the_delay_based_estimate_applies() {
        let mut sim = Sim::new(Bitrate::kbps(800));
        sim.run(5 * SECOND, |_| 0.0);
        assert_eq!(sim.loss_based.state(), LossState::DelayBased);
        assert_eq!(sim.loss_based.estimate(), None);
        assert_eq!(sim.loss_based.average_loss(), 0.0);
    }

    #[test]
    fn no_estimate_without_observations() {
        let mut sim = Sim::new(Bitrate::kbps(800));
        sim.run(SECOND / 2, |_| 0.0);
        assert_eq!(sim.loss_based.estimate(), None);
    }

    #[test]
    fn random_loss_costs_little() {
        let mut sim = Sim::new(Bitrate::mbps(2));
        sim.run(30 * SECOND, |_| 0.03);
        assert!(sim.rate() > Bitrate::kbps(1600), "{}", sim.rate());
    }

    #[test]
    fn excess_over_the_capacity_brings_the_estimate_near_it() {
        let mut sim = Sim::new(Bitrate::mbps(2));
        // A policer: no delay, and everything beyond the rate is lost.
        sim.run(20 * SECOND, |rate| (1.0 - 1e6 / rate).max(0.0));
        let estimate = sim.loss_based.estimate().unwrap();
        assert!(estimate > Bitrate::kbps(750) && estimate < Bitrate::kbps(1300), "{estimate}");
        assert_ne!(sim.loss_based.state(), LossState::DelayBased);
    }

    #[test]
    fn estimate_recovers_when_the_loss_ends() {
        let mut sim = Sim::new(Bitrate::mbps(2));
        sim.run(10 * SECOND, |rate| (1.0 - 5e5 / rate).max(0.0));
        assert!(sim.rate() < Bitrate::kbps(700), "{}", sim.rate());
        sim.run(30 * SECOND, |_| 0.0);
        assert_eq!(sim.rate(), Bitrate::mbps(2));
    }

    #[test]
    fn losses_before_an_overuse_was_answered_do_not_count() {
        let mut sim = Sim::new(Bitrate::mbps(2));
        sim.run(3 * SECOND, |_| 0.3);
        assert!(sim.loss_based.average_loss() > 0.2);
        sim.loss_based.on_overuse(sim.now);
        assert_eq!((sim.loss_based.average_loss(), sim.loss_based.estimate()), (0.0, None));
        let missing = [Missing { seq: 0, sent_at: sim.now - 1, size: 1000 }];
        sim.loss_based.on_feedback(&[], &missing, None, Bitrate::mbps(1), false);
        sim.run(3 * SECOND, |_| 0.0);
        assert_eq!(sim.loss_based.average_loss(), 0.0);
    }

    #[test]
    fn late_packets_are_not_lost() {
        let mut loss_based = LossBased::new(Bitrate::kbps(5), Bitrate::mbps(100));
        for i in 0..20 {
            let sent_at = i * 100_000;
            let arrival =
                |was_lost| Arrival { sent_at, received_at: sent_at, size: 1000, probe: 0, was_lost };
            let missing = [Missing { seq: 0, sent_at, size: 1000 }];
            loss_based.on_feedback(&[arrival(false)], &missing, None, Bitrate::mbps(1), false);
            loss_based.on_feedback(&[arrival(true)], &[], None, Bitrate::mbps(1), false);
        }
        assert!(loss_based.average_loss() < 0.2, "{}", loss_based.average_loss());
    }
}
