//! Overuse detector: the slope of the delay over a window, compared with an adaptive threshold
//! (draft-ietf-rmcat-gcc-02 §5.3–5.4; libwebrtc's `TrendlineEstimator`).

use super::Micros;
use super::inter_arrival::Spacing;

/// Packet groups in the window.
const WINDOW: usize = 20;
/// Smoothing factor of the delay.
const SMOOTHING: f64 = 0.9;
/// Gain that scales the slope to the threshold's range, together with the group count, at most [`MAX_GROUPS`].
const GAIN: f64 = 4.0;
const MAX_GROUPS: u32 = 60;
/// Time for which the slope must exceed the threshold; shorter excess is jitter.
const MIN_OVERUSE: Micros = 10_000;
/// Adaptation of the threshold to the slope per millisecond, up and down.
const ADAPT_UP: f64 = 0.0087;
const ADAPT_DOWN: f64 = 0.039;
const MIN_THRESHOLD: f64 = 6.0;
const MAX_THRESHOLD: f64 = 600.0;
const INITIAL_THRESHOLD: f64 = 12.5;
/// A slope this far beyond the threshold does not adapt it, because the capacity dropped.
const MAX_ADAPT_DISTANCE: f64 = 15.0;
const MAX_ADAPT_MS: f64 = 100.0;

/// State of the path by the delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// Queues neither grow nor shrink.
    #[default]
    Normal,
    /// Queues grow.
    Over,
    /// Queues shrink.
    Under,
}

#[derive(Debug)]
pub(crate) struct Trendline {
    /// Arrival time and smoothed delay, in milliseconds since the first group.
    samples: [(f64, f64); WINDOW],
    groups: u32,
    first_arrival: Option<Micros>,
    delay_ms: f64,
    smoothed_ms: f64,
    slope: f64,
    threshold: f64,
    adapted_at: Option<Micros>,
    /// Time and groups above the threshold.
    above: Option<(Micros, u32)>,
    usage: Usage,
}

impl Trendline {
    pub(super) fn new() -> Self {
        Self {
            samples: [(0.0, 0.0); WINDOW],
            groups: 0,
            first_arrival: None,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            slope: 0.0,
            threshold: INITIAL_THRESHOLD,
            adapted_at: None,
            above: None,
            usage: Usage::Normal,
        }
    }

    /// The current state.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Adds the deltas of two groups; the later one arrived at `received_at`.
    pub(crate) fn on_spacing(&mut self, spacing: Spacing, received_at: Micros) {
        let first = *self.first_arrival.get_or_insert(received_at);
        self.delay_ms += ms(spacing.received - spacing.sent);
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        self.samples[self.groups as usize % WINDOW] = (ms(received_at - first), self.smoothed_ms);
        self.groups += 1;
        let before = self.slope;
        if self.groups as usize >= WINDOW {
            self.slope = fit(&self.samples).unwrap_or(before);
        }
        if self.groups >= 2 {
            self.detect(before, spacing.sent, received_at);
        }
        if self.groups > u32::MAX / 2 {
            // Reduced by whole windows, so that the position in the ring is kept.
            self.groups = WINDOW as u32 * MAX_GROUPS + self.groups % WINDOW as u32;
        }
    }

    fn detect(&mut self, slope_before: f64, sent: Micros, received_at: Micros) {
        let trend = f64::from(self.groups.min(MAX_GROUPS)) * self.slope * GAIN;
        if trend > self.threshold {
            let (time, groups) = self.above.map_or((sent / 2, 1), |(time, groups)| (time + sent, groups + 1));
            self.above = Some((time, groups));
            if time > MIN_OVERUSE && groups > 1 && self.slope >= slope_before {
                self.above = Some((0, 0));
                self.usage = Usage::Over;
            }
        } else {
            self.above = None;
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.adapt(trend.abs(), received_at);
    }

    fn adapt(&mut self, trend: f64, received_at: Micros) {
        let last = self.adapted_at.replace(received_at).unwrap_or(received_at);
        if trend > self.threshold + MAX_ADAPT_DISTANCE {
            return;
        }
        let rate = if trend < self.threshold { ADAPT_DOWN } else { ADAPT_UP };
        let elapsed = ms(received_at - last).min(MAX_ADAPT_MS);
        self.threshold += rate * (trend - self.threshold) * elapsed;
        self.threshold = self.threshold.clamp(MIN_THRESHOLD, MAX_THRESHOLD);
    }
}

impl Default for Trendline {
    fn default() -> Self {
        Self::new()
    }
}

fn ms(time: Micros) -> f64 {
    time as f64 / 1000.0
}

/// Slope of the least-squares line; `None` if all samples have the same time.
fn fit(samples: &[(f64, f64); WINDOW]) -> Option<f64> {
    let count = samples.len() as f64;
    let mean_x = samples.iter().map(|s| s.0).sum::<f64>() / count;
    let mean_y = samples.iter().map(|s| s.1).sum::<f64>() / count;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, y) in samples {
        covariance += (x - mean_x) * (y - mean_y);
        variance += (x - mean_x) * (x - mean_x);
    }
    (variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups every 20 ms, each `growth` µs later than the one before.
    fn feed(trendline: &mut Trendline, from: i64, groups: i64, growth: impl Fn(i64) -> i64) -> Vec<Usage> {
        let mut received_at = from;
        let feed = (0..groups).map(|i| {
            let received = 20_000 + growth(i);
            received_at += received;
            trendline.on_spacing(Spacing { sent: 20_000, received }, received_at);
            trendline.usage()
        });
        feed.collect()
    }

    #[test]
    fn steady_delay_is_normal() {
        assert!(feed(&mut Trendline::new(), 0, 500, |_| 0).iter().all(|&usage| usage == Usage::Normal));
    }

    #[test]
    fn growing_delay_is_overuse_soon() {
        let mut trendline = Trendline::new();
        feed(&mut trendline, 0, 100, |_| 0);
        // 10 % more than the capacity: each group adds 2 ms to the queue.
        let usages = feed(&mut trendline, 2_000_000, 50, |_| 2_000);
        let first = usages.iter().position(|&usage| usage == Usage::Over);
        assert!(first.is_some_and(|first| first < 15), "{first:?}");
    }

    #[test]
    fn shrinking_delay_is_underuse() {
        let mut trendline = Trendline::new();
        feed(&mut trendline, 0, 60, |_| 3_000);
        let usages = feed(&mut trendline, 1_400_000, 60, |_| -3_000);
        assert!(usages.contains(&Usage::Under));
    }

    #[test]
    fn jitter_is_not_overuse() {
        let mut trendline = Trendline::new();
        let usages = feed(&mut trendline, 0, 1000, |i| if i % 2 == 0 { 6_000 } else { -6_000 });
        assert!(usages.iter().all(|&usage| usage != Usage::Over));
    }
}
