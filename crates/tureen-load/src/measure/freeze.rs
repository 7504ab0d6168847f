//! Freezes of a video stream, by the times at which its frames come.

use std::time::{Duration, Instant};

/// Gaps of which the usual one is the mean.
const WINDOW: usize = 30;
/// Gaps that must be known before another one can be a freeze, as in libwebrtc.
const AT_LEAST: usize = 5;
const MULTIPLE: u32 = 3;
const MARGIN: Duration = Duration::from_millis(150);

/// Finds the freezes of one video stream.
///
/// A freeze is a gap between two frames of at least max(3 × usual gap, usual gap + 150 ms); the usual gap is the mean of the
/// last 30 (W3C webrtc-stats, `freezeCount`; there for frames that are rendered, here for frames that are handed out).
#[derive(Debug, Default)]
pub struct FreezeDetector {
    last: Option<Instant>,
    /// A ring.
    gaps: Vec<Duration>,
    oldest: usize,
    sum: Duration,
}

impl FreezeDetector {
    /// Takes note of a frame. If it ends a freeze, returns how long that was.
    pub fn on_frame(&mut self, now: Instant) -> Option<Duration> {
        let gap = now.saturating_duration_since(self.last.replace(now)?);
        let freeze = self.threshold().filter(|threshold| gap >= *threshold).map(|_| gap);
        self.sum += gap;
        if self.gaps.len() < WINDOW {
            self.gaps.push(gap);
        } else {
            self.sum -= std::mem::replace(&mut self.gaps[self.oldest], gap);
            self.oldest = (self.oldest + 1) % WINDOW;
        }
        freeze
    }

    /// How long the stream has been frozen at `now`, if it is.
    pub fn frozen_for(&self, now: Instant) -> Option<Duration> {
        let gap = now.saturating_duration_since(self.last?);
        self.threshold().filter(|threshold| gap >= *threshold).map(|_| gap)
    }

    /// Forgets the last frame, because frames stop on purpose: a paused Consumer.
    pub fn pause(&mut self) {
        self.last = None;
    }

    fn threshold(&self) -> Option<Duration> {
        let usual = self.sum / self.gaps.len().max(1) as u32;
        (self.gaps.len() >= AT_LEAST).then(|| (usual * MULTIPLE).max(usual + MARGIN))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Freezes of a stream whose frames have these gaps in milliseconds.
    fn freezes(gaps: impl IntoIterator<Item = u32>) -> Vec<u128> {
        let mut now = Instant::now();
        let mut detector = FreezeDetector::default();
        detector.on_frame(now);
        let mut found = Vec::new();
        for gap in gaps {
            now += gap * MS;
            found.extend(detector.on_frame(now).map(|freeze| freeze.as_millis()));
        }
        found
    }

    #[test]
    fn fast_streams_freeze_after_150_ms_more_than_usual() {
        let usual = [20; 40];
        assert_eq!(freezes(usual.into_iter().chain([169, 20])), [0_u128; 0]);
        assert_eq!(freezes(usual.into_iter().chain([170, 20])), [170]);
    }

    #[test]
    fn slow_streams_freeze_after_three_usual_gaps() {
        let usual = [200; 40];
        assert_eq!(freezes(usual.into_iter().chain([599])), [0_u128; 0]);
        assert_eq!(freezes(usual.into_iter().chain([600])), [600]);
    }

    #[test]
    fn a_stream_that_begins_has_no_usual_gap_yet() {
        assert_eq!(freezes([20, 20, 20, 20, 900]), [0_u128; 0]);
        assert_eq!(freezes([20, 20, 20, 20, 20, 900]), [900]);
    }

    #[test]
    fn a_lower_frame_rate_becomes_usual() {
        assert_eq!(freezes([33; 40].into_iter().chain([200; 60])), [200; 4], "the first four alone");
    }

    #[test]
    fn pauses_are_no_freezes() {
        let start = Instant::now();
        let mut detector = FreezeDetector::default();
        (0..30).for_each(|frame| assert_eq!(detector.on_frame(start + frame * 33 * MS), None));
        assert_eq!(detector.frozen_for(start + 1100 * MS), None);
        assert_eq!(detector.frozen_for(start + 1957 * MS), Some(1000 * MS));
        detector.pause();
        assert_eq!(detector.frozen_for(start + 9000 * MS), None);
        assert_eq!(detector.on_frame(start + 9000 * MS), None);
        assert_eq!(detector.on_frame(start + 9033 * MS), None);
    }
}
