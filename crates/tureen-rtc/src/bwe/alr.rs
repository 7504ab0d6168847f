//! Detection of application-limited regions, in which arrivals tell little about the path's capacity.

use super::Micros;
use crate::units::Bitrate;

/// Share of the estimate that counts as fully used.
const USAGE: f64 = 0.65;
/// Window of the budget.
const WINDOW: Micros = 500_000;
/// Shares of the budget left at which an application-limited region starts and ends.
const START: f64 = 0.8;
const STOP: f64 = 0.5;

/// Detects application-limited regions: a budget refills at a share of the estimate, and sent bytes spend it.
#[derive(Debug, Default)]
pub(crate) struct AlrDetector {
    bits_per_second: f64,
    /// Bits left; negative when overspent.
    left: f64,
    updated_at: Option<Micros>,
    since: Option<Micros>,
}

impl AlrDetector {
    /// Start of the current application-limited region.
    pub(crate) fn limited_since(&self) -> Option<Micros> {
        self.since
    }

    pub(crate) fn set_estimate(&mut self, estimate: Bitrate) {
        self.bits_per_second = estimate.as_bps() as f64 * USAGE;
        self.left = self.left.clamp(-self.capacity(), self.capacity());
    }

    /// Records bytes sent since the last call.
    pub(super) fn on_sent(&mut self, now: Micros, bytes: u64) {
        let Some(last) = self.updated_at.replace(now) else { return };
        let capacity = self.capacity();
        if capacity <= 0.0 {
            return;
        }
        let spent = (self.left - bytes as f64 * 8.0).max(-capacity);
        self.left = (spent + self.bits_per_second * (now - last) as f64 / 1e6).min(capacity);
        let ratio = self.left / capacity;
        if ratio > START {
            self.since.get_or_insert(now);
        } else if ratio < STOP {
            self.since = None;
        }
    }

    fn capacity(&self) -> f64 {
        self.bits_per_second * WINDOW as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(alr: &mut AlrDetector, from: Micros, rate: Bitrate) {
        for i in 0..200 {
            alr.on_sent(from + i * 10_000, rate.as_bps() / 800);
        }
    }

    #[test]
    fn sending_little_is_application_limited_until_more_is_sent() {
        let mut alr = AlrDetector::default();
        alr.set_estimate(Bitrate::kbps(1000));
        send(&mut alr, 0, Bitrate::kbps(900));
        assert_eq!(alr.limited_since(), None);
        send(&mut alr, 2_000_000, Bitrate::kbps(300));
        assert!(alr.limited_since().is_some_and(|since| since > 2_500_000));
        send(&mut alr, 4_000_000, Bitrate::kbps(900));
        assert_eq!(alr.limited_since(), None);
    }

    #[test]
    fn application_limit_depends_on_the_estimate() {
        let mut alr = AlrDetector::default();
        alr.set_estimate(Bitrate::kbps(1000));
        send(&mut alr, 0, Bitrate::kbps(300));
        assert!(alr.limited_since().is_some());
        alr.set_estimate(Bitrate::kbps(350));
        send(&mut alr, 2_000_000, Bitrate::kbps(300));
        assert_eq!(alr.limited_since(), None);
    }
}
