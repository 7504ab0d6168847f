//! Limits that a run has to keep.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Totals;
use crate::measure::Quantiles;
use crate::units;

/// Limits that a run has to keep; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Share of the expected packets that did not arrive even by retransmission, 0 to 1.
    pub max_loss: Option<f64>,
    /// One-way delay that half of all frames must not exceed.
    pub max_delay_p50: Option<Duration>,
    /// The same for 95 % of them.
    pub max_delay_p95: Option<Duration>,
    /// The same for 99 % of them.
    pub max_delay_p99: Option<Duration>,
    /// Time until a peer is connected that half of all joins must not exceed.
    pub max_join_p50: Option<Duration>,
    /// The same for 95 % of them.
    pub max_join_p95: Option<Duration>,
    /// The same for 99 % of them.
    pub max_join_p99: Option<Duration>,
    /// Share of the joins that may fail, 0 to 1.
    pub max_failed_joins: Option<f64>,
    /// Share of the time of all video streams that may be frozen, 0 to 1.
    pub max_frozen: Option<f64>,
}

/// A threshold and what a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The threshold, as its flag: `max-loss`.
    pub threshold: String,
    /// The limit: a share, or milliseconds.
    pub limit: f64,
    /// The measured value, in the same unit; null if there was nothing to measure.
    pub measured: Option<f64>,
    /// The limit was kept. Without a measured value it was not.
    pub passed: bool,
}

impl Verdict {
    /// The verdict as a line of text.
    pub fn line(&self) -> String {
        let is_time = self.threshold.contains("delay") || self.threshold.contains("join-");
        let write = |value| if is_time { units::milliseconds(value) } else { units::percent(value) };
        let measured = self
            .measured
            .map_or("nothing was measured".to_owned(), |value| format!("measured {}", write(value)));
        let mark = if self.passed { "kept" } else { "MISSED" };
        format!("{mark}: --{} {}, {measured}", self.threshold, write(self.limit))
    }
}

impl Thresholds {
    /// Compares a run with them.
    pub fn judge(&self, total: &Totals, join: &Quantiles) -> Vec<Verdict> {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let delay = |value: fn(&Quantiles) -> f64| (total.delay.count > 0).then(|| value(&total.delay));
        let join = |value: fn(&Quantiles) -> f64| (join.count > 0).then(|| value(join));
        let ms = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64() * 1000.0);
        let lost = share(total.packets_lost as f64, total.packets_expected as f64);
        let attempts = total.joins_completed + total.joins_failed;
        let failed = share(total.joins_failed as f64, attempts as f64);
        let rows = [
            ("max-loss", self.max_loss, lost),
            ("max-delay-p50", ms(self.max_delay_p50), delay(|delay| delay.p50_ms)),
            ("max-delay-p95", ms(self.max_delay_p95), delay(|delay| delay.p95_ms)),
            ("max-delay-p99", ms(self.max_delay_p99), delay(|delay| delay.p99_ms)),
            ("max-join-p50", ms(self.max_join_p50), join(|join| join.p50_ms)),
            ("max-join-p95", ms(self.max_join_p95), join(|join| join.p95_ms)),
            ("max-join-p99", ms(self.max_join_p99), join(|join| join.p99_ms)),
            ("max-failed-joins", self.max_failed_joins, failed),
            ("max-frozen", self.max_frozen, share(total.frozen_s, total.video_s)),
        ];
        let verdicts = rows.into_iter().filter_map(|(name, limit, measured)| {
            let limit = limit?;
            let passed = measured.is_some_and(|measured| measured <= limit);
            Some(Verdict { threshold: name.to_owned(), limit, measured, passed })
        });
        verdicts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total() -> Totals {
        let delay = Quantiles { count: 10, p50_ms: 1.0, p95_ms: 10.0, p99_ms: 50.0, max_ms: 60.0 };
        Totals { packets_expected: 1000, packets_lost: 10, delay, ..Totals::default() }
    }

    #[test]
    fn limits_are_kept_up_to_their_value() {
        let judge = |max_loss, ms| {
            let max_delay_p99 = Some(Duration::from_millis(ms));
            let thresholds = Thresholds { max_loss: Some(max_loss), max_delay_p99, ..Thresholds::default() };
            let verdicts = thresholds.judge(&total(), &Quantiles::default());
            verdicts.iter().map(|verdict| verdict.passed).collect::<Vec<_>>()
        };
        assert_eq!(judge(0.01, 50), [true, true]);
        assert_eq!(judge(0.009, 49), [false, false]);
    }

    #[test]
    fn what_was_not_measured_keeps_no_limit() {
        let thresholds = Thresholds {
            max_loss: Some(1.0),
            max_join_p99: Some(Duration::from_secs(9)),
            max_failed_joins: Some(1.0),
            ..Thresholds::default()
        };
        let verdicts = thresholds.judge(&Totals::default(), &Quantiles::default());
        assert_eq!(verdicts.len(), 3);
        assert!(verdicts.iter().all(|verdict| !verdict.passed && verdict.measured.is_none()));
        assert!(verdicts[0].line().contains("MISSED: --max-loss 100 %, nothing was measured"));
    }

    #[test]
    fn lines_name_limit_and_value_with_units() {
        let thresholds =
            Thresholds { max_delay_p99: Some(Duration::from_millis(40)), ..Thresholds::default() };
        let line = thresholds.judge(&total(), &Quantiles::default())[0].line();
        assert_eq!(line, "MISSED: --max-delay-p99 40.0 ms, measured 50.0 ms");
    }
}
