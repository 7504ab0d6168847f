//! Additive increase, multiplicative decrease of the delay-based estimate: it grows multiplicatively while the
//! capacity is unknown and additively near it, and falls to just below the acknowledged bitrate on overuse
//! (draft-ietf-rmcat-gcc-02 §5.5; libwebrtc's `AimdRateControl`).

use super::Micros;
use super::trendline::Usage;
use crate::units::Bitrate;

/// Share of the acknowledged bitrate that the estimate falls to after overuse, so that queues drain.
const BACKOFF: f64 = 0.85;
/// Growth factor per second while the capacity is unknown.
const GROWTH: f64 = 1.08;
const MIN_GROWTH: Bitrate = Bitrate::kbps(1);
/// The estimate stays below this multiple of the acknowledged bitrate plus a margin, because a higher rate was never
/// tested.
const MAX_OVER_DELIVERED: f64 = 1.5;
const MARGIN: Bitrate = Bitrate::kbps(10);
const DECREASE_MARGIN: Bitrate = Bitrate::kbps(5);
/// Frame rate and packet size that the additive increase assumes.
const FRAMES_PER_SECOND: f64 = 30.0;
const PACKET_BYTES: f64 = 1200.0;
/// Time the overuse detector takes to react.
const DETECTION: Micros = 100_000;
const MIN_ADDITIVE_BPS: f64 = 4000.0;
const INITIAL_RTT: Micros = 200_000;
/// Bounds of the interval between two decreases, which is otherwise one round trip.
const MIN_DECREASE_INTERVAL: Micros = 10_000;
const MAX_DECREASE_INTERVAL: Micros = 200_000;

#[derive(Debug)]
pub(crate) struct Aimd {
    estimate: Bitrate,
    min: Bitrate,
    phase: Phase,
    rtt: Micros,
    changed_at: Option<Micros>,
    delivered: Bitrate,
    capacity: LinkCapacity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Holds the estimate while queues drain.
    Hold,
    Increase,
}

impl Aimd {
    pub(super) fn new(initial: Bitrate, min: Bitrate) -> Self {
        Self {
            estimate: initial.max(min),
            min,
            phase: Phase::Hold,
            rtt: INITIAL_RTT,
            changed_at: None,
            delivered: initial,
            capacity: LinkCapacity::default(),
        }
    }

    pub(super) fn estimate(&self) -> Bitrate {
        self.estimate
    }

    pub(crate) fn set_min(&mut self, min: Bitrate) {
        self.min = min;
        self.estimate = self.estimate.max(min);
    }

    pub(super) fn set_rtt(&mut self, rtt: Micros) {
        self.rtt = rtt;
    }

    /// Sets the estimate to the bitrate that a probe measured.
    pub(crate) fn set_estimate(&mut self, now: Micros, estimate: Bitrate) {
        self.estimate = estimate.max(self.min);
        self.changed_at = Some(now);
    }

    /// True when overuse may lower the estimate: one round trip after the last change, or at once when less than half
    /// of the estimate is acknowledged.
    pub(crate) fn may_decrease(&self, now: Micros, delivered: Option<Bitrate>) -> bool {
        let interval = self.rtt.clamp(MIN_DECREASE_INTERVAL, MAX_DECREASE_INTERVAL);
        let waited = self.changed_at.is_none_or(|changed_at| now - changed_at >= interval);
        waited || delivered.is_some_and(|delivered| delivered < self.estimate * 0.5)
    }

    /// Updates the estimate from the detector's state. Without `may_grow` the estimate does not grow.
    pub(super) fn update(&mut self, now: Micros, usage: Usage, delivered: Option<Bitrate>, may_grow: bool) {
        self.delivered = delivered.unwrap_or(self.delivered);
        match usage {
            Usage::Over => return self.decrease(now),
            Usage::Under => self.phase = Phase::Hold,
            Usage::Normal if self.phase == Phase::Hold => {
                self.phase = Phase::Increase;
                self.changed_at = Some(now);
            }
            Usage::Normal => {}
        }
        if self.phase == Phase::Increase {
            if may_grow {
                self.increase(now);
            }
            self.changed_at = Some(now);
        }
    }

    fn increase(&mut self, now: Micros) {
        if self.capacity.bounds().is_some_and(|(_, high)| self.delivered > high) {
            self.capacity.forget();
        }
        let limit = self.delivered * MAX_OVER_DELIVERED + MARGIN;
        if self.estimate >= limit {
            return;
        }
        let seconds = self.changed_at.map_or(0.0, |changed_at| (now - changed_at) as f64 / 1e6);
        let step = match self.capacity.estimate {
            Some(_) => Bitrate::bps((self.additive_bps() * seconds) as u64),
            None => (self.estimate * (GROWTH.powf(seconds.min(1.0)) - 1.0)).max(MIN_GROWTH),
        };
        self.estimate = (self.estimate + step).min(limit);
    }

    /// Roughly one packet per response time of the controller.
    fn additive_bps(&self) -> f64 {
        let frame_bytes = self.estimate.as_bps() as f64 / 8.0 / FRAMES_PER_SECOND;
        let packets = (frame_bytes / PACKET_BYTES).ceil().max(1.0);
        let response = 2 * (self.rtt + DETECTION);
        (frame_bytes / packets * 8.0 * 1e6 / response as f64).max(MIN_ADDITIVE_BPS)
    }

    fn decrease(&mut self, now: Micros) {
        let mut target = self.delivered * BACKOFF;
        if target > DECREASE_MARGIN {
            target = target - DECREASE_MARGIN;
        }
        if target > self.estimate
            && let Some(capacity) = self.capacity.estimate
        {
            target = Bitrate::bps((capacity * 1000.0 * BACKOFF) as u64);
        }
        if self.capacity.bounds().is_some_and(|(low, _)| self.delivered < low) {
            self.capacity.forget();
        }
        self.capacity.on_overuse(self.delivered);
        self.estimate = self.estimate.min(target).max(self.min);
        self.phase = Phase::Hold;
        self.changed_at = Some(now);
    }
}

/// Link capacity: an average of the acknowledged bitrate at overuse.
#[derive(Debug)]
struct LinkCapacity {
    /// In kbit/s.
    estimate: Option<f64>,
    /// Variance of the samples, relative to the estimate.
    variance: f64,
}

impl Default for LinkCapacity {
    fn default() -> Self {
        Self { estimate: None, variance: Self::MIN_VARIANCE }
    }
}

impl LinkCapacity {
    const WEIGHT: f64 = 0.05;
    const MIN_VARIANCE: f64 = 0.4;
    const MAX_VARIANCE: f64 = 2.5;
    const DEVIATIONS: f64 = 3.0;

    fn on_overuse(&mut self, delivered: Bitrate) {
        let sample = delivered.as_bps() as f64 / 1000.0;
        let estimate = self.estimate.map_or(sample, |old| old + Self::WEIGHT * (sample - old));
        self.estimate = Some(estimate);
        let error = (estimate - sample).powi(2) / estimate.max(1.0);
        let variance = self.variance + Self::WEIGHT * (error - self.variance);
        self.variance = variance.clamp(Self::MIN_VARIANCE, Self::MAX_VARIANCE);
    }

    /// An acknowledged bitrate outside of these bounds belongs to another capacity.
    fn bounds(&self) -> Option<(Bitrate, Bitrate)> {
        let estimate = self.estimate?;
        let deviation = Self::DEVIATIONS * (self.variance * estimate).sqrt();
        let kbps = |kbps: f64| Bitrate::bps((kbps.max(0.0) * 1000.0) as u64);
        Some((kbps(estimate - deviation), kbps(estimate + deviation)))
    }

    fn forget(&mut self) {
        self.estimate = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    fn aimd(initial: Bitrate) -> Aimd {
        Aimd::new(initial, Bitrate::kbps(5))
    }

    /// Half a minute of feedback every 100 ms, with normal usage.
    fn grow(aimd: &mut Aimd, from: Micros, time: Micros, delivered: impl Fn(&Aimd) -> Bitrate) {
        for i in 0..time / 100_000 {
            let delivered = delivered(aimd);
            aimd.update(from + i * 100_000, Usage::Normal, Some(delivered), true);
        }
    }

    #[test]
    fn unknown_capacity_is_approached_by_eight_percent_a_second() {
        let mut aimd = aimd(Bitrate::kbps(300));
        grow(&mut aimd, 0, 10 * SECOND, Aimd::estimate);
        let expected = Bitrate::kbps(300) * 1.08f64.powi(10);
        assert!(aimd.estimate() > expected * 0.98 && aimd.estimate() < expected * 1.03, "{aimd:?}");
    }

    #[test]
    fn overuse_falls_below_what_is_delivered_and_growth_is_slow_then() {
        let mut aimd = aimd(Bitrate::kbps(1000));
        aimd.update(0, Usage::Over, Some(Bitrate::kbps(800)), true);
        assert_eq!(aimd.estimate(), Bitrate::kbps(675));
        aimd.update(SECOND, Usage::Under, Some(Bitrate::kbps(670)), true);
        assert_eq!(aimd.estimate(), Bitrate::kbps(675), "held while queues drain");
        grow(&mut aimd, 2 * SECOND, SECOND, |_| Bitrate::kbps(670));
        let growth = aimd.estimate() - Bitrate::kbps(675);
        assert!(growth > Bitrate::kbps(10) && growth < Bitrate::kbps(50), "{growth}");
    }

    #[test]
    fn estimate_stays_near_what_is_delivered() {
        let mut aimd = aimd(Bitrate::kbps(300));
        grow(&mut aimd, 0, 60 * SECOND, |_| Bitrate::kbps(400));
        assert_eq!(aimd.estimate(), Bitrate::kbps(610));
        let mut limited = Aimd::new(Bitrate::kbps(300), Bitrate::kbps(5));
        for i in 0..100 {
            limited.update(i * 100_000, Usage::Normal, Some(Bitrate::kbps(300)), false);
        }
        assert_eq!(limited.estimate(), Bitrate::kbps(300), "nothing was tried");
    }

    #[test]
    fn decreases_are_a_round_trip_apart_unless_half_is_lost() {
        let mut aimd = aimd(Bitrate::kbps(1000));
        aimd.set_rtt(100_000);
        aimd.update(SECOND, Usage::Over, Some(Bitrate::kbps(900)), true);
        assert!(!aimd.may_decrease(SECOND + 99_000, Some(Bitrate::kbps(700))));
        assert!(aimd.may_decrease(SECOND + 100_000, Some(Bitrate::kbps(700))));
        assert!(aimd.may_decrease(SECOND + 1, Some(Bitrate::kbps(200))));
    }

    #[test]
    fn throughput_beyond_the_known_capacity_resets_it() {
        let mut aimd = aimd(Bitrate::kbps(500));
        aimd.update(0, Usage::Over, Some(Bitrate::kbps(500)), true);
        assert!(aimd.capacity.estimate.is_some());
        aimd.update(SECOND, Usage::Normal, Some(Bitrate::kbps(500)), true);
        aimd.update(SECOND * 2, Usage::Normal, Some(Bitrate::kbps(700)), true);
        assert!(aimd.capacity.estimate.is_none());
    }

    #[test]
    fn estimate_never_falls_below_its_minimum() {
        let mut aimd = Aimd::new(Bitrate::kbps(100), Bitrate::kbps(50));
        aimd.update(0, Usage::Over, Some(Bitrate::ZERO), true);
        assert_eq!(aimd.estimate(), Bitrate::kbps(50));
        aimd.set_min(Bitrate::kbps(80));
        assert_eq!(aimd.estimate(), Bitrate::kbps(80));
    }
}
