//! Distribution of durations.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest duration that is told apart, in microseconds: 100 s.
const LONGEST: u64 = 100_000_000;
/// Decimal digits to which values are kept.
const DIGITS: u8 = 2;

/// Distribution of durations from 1 µs to 100 s, to two significant digits. Longer ones count as 100 s. Takes about 10 KiB,
/// however many are recorded.
#[derive(Clone, Debug)]
pub struct Durations(Histogram<u32>);

/// What a distribution comes to. Durations are in milliseconds; all are zero where nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many were recorded.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 95 % are at most this long.
    pub p95_ms: f64,
    /// 99 % are at most this long.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Default for Durations {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(histogram.expect("bounds and digits are in the ranges that the histogram has"))
    }
}

impl Durations {
    /// Adds a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.clamp(1, LONGEST));
    }

    /// Adds all of another distribution.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that a share of all, from 0 to 1, does not exceed; `None` if nothing was recorded.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.0.value_at_quantile(share)))
    }

    /// The usual quantiles.
    pub fn quantiles(&self) -> Quantiles {
        let ms = |share| self.quantile(share).map_or(0.0, |value| value.as_secs_f64() * 1000.0);
        Quantiles {
            count: self.count(),
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            max_ms: ms(1.0),
        }
    }

    /// Points of the cumulative distribution, for a plot: duration in milliseconds and the share that is at most as long.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let total = self.count().max(1) as f64;
        let mut seen = 0;
        self.0
            .iter_recorded()
            .map(|step| {
                seen += step.count_since_last_iteration();
                (step.value_iterated_to() as f64 / 1000.0, seen as f64 / total)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_two_digits() {
        let mut durations = Durations::default();
        (1..=1000).for_each(|ms| durations.record(Duration::from_millis(ms)));
        let quantiles = durations.quantiles();
        assert_eq!(quantiles.count, 1000);
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected / 100.0;
        assert!(near(quantiles.p50_ms, 500.0) && near(quantiles.p95_ms, 950.0), "{quantiles:?}");
        assert!(near(quantiles.p99_ms, 990.0) && near(quantiles.max_ms, 1000.0), "{quantiles:?}");
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Durations::default().quantiles(), Quantiles::default());
        assert_eq!(Durations::default().quantile(0.5), None);
        assert!(Durations::default().curve().is_empty());
    }

    #[test]
    fn extremes_are_counted_at_the_bounds() {
        let mut durations = Durations::default();
        durations.record(Duration::ZERO);
        durations.record(Duration::MAX);
        assert_eq!(durations.count(), 2);
        assert!(durations.quantile(0.0).unwrap() <= Duration::from_micros(1));
        assert!(durations.quantile(1.0).unwrap() >= Duration::from_secs(99));
    }

    #[test]
    fn merged_distributions_are_that_of_all_values() {
        let (mut one, mut other, mut all) =
            (Durations::default(), Durations::default(), Durations::default());
        for micros in (0..5000).step_by(7) {
            let half = if micros % 2 == 0 { &mut one } else { &mut other };
            half.record(Duration::from_micros(micros));
            all.record(Duration::from_micros(micros));
        }
        one.merge(&other);
        assert_eq!(one.quantiles(), all.quantiles());
        let curve = one.curve();
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) && curve.last().unwrap().1 == 1.0);
        one.clear();
        assert_eq!(one.count(), 0);
    }
}
