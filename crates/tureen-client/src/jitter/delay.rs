//! Playout delay of frames, which restores the intervals at which they were captured.

use std::time::{Duration, Instant};

use tureen_rtc::seq::TimestampExtender;

/// Number of frames in the measurement window: 8 s of video, 5 s of audio.
const WINDOW: usize = 256;
/// Number of frames in a full window that may arrive later than the delay covers: 2 %.
const LATE: usize = WINDOW / 50;
/// Change of the transit time, in microseconds, from which on the source's timestamps are taken to have jumped.
const JUMP: i64 = 10_000_000;

/// Measures the lateness of frames, and converts RTP timestamps into playout times.
///
/// The transit time of a frame is the time from its capture, by its timestamp, to the arrival of its last packet. Only
/// differences of transit times have a meaning, because the clocks differ. The delay covers all but the latest 2 % of
/// the last 256 frames.
#[derive(Debug)]
pub(super) struct Delay {
    clock_rate: u32,
    max: Duration,
    /// Origin of arrival times: the first packet.
    epoch: Option<Instant>,
    timestamps: TimestampExtender,
    /// Transit times in microseconds; a ring buffer.
    transits: Vec<i64>,
    oldest: usize,
    /// Transit times in ascending order.
    sorted: Vec<i64>,
}

/// Capture time in microseconds of the source's clock, with an arbitrary offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MediaTime(i64);

impl Delay {
    pub(super) fn new(clock_rate: u32, max: Duration) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            max,
            epoch: None,
            timestamps: TimestampExtender::new(),
            transits: Vec::new(),
            oldest: 0,
            sorted: Vec::new(),
        }
    }

    pub(super) fn media_time(&mut self, timestamp: u32) -> MediaTime {
        let extended = u128::from(self.timestamps.extend(timestamp));
        let micros = extended * 1_000_000 / u128::from(self.clock_rate);
        MediaTime(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Records that a frame became complete at `now`, or that a packet arrived too late for its frame.
    pub(super) fn observe(&mut self, now: Instant, at: MediaTime) {
        let epoch = *self.epoch.get_or_insert(now);
        let elapsed = now.saturating_duration_since(epoch).as_micros() as i64;
        let transit = elapsed.saturating_sub(at.0);
        if self.sorted.first().is_some_and(|fastest| transit.saturating_sub(*fastest).saturating_abs() > JUMP)
        {
            self.transits.clear();
            self.sorted.clear();
            self.oldest = 0;
        }
        if self.transits.len() < WINDOW {
            self.transits.push(transit);
        } else {
            let old = std::mem::replace(&mut self.transits[self.oldest], transit);
            self.oldest = (self.oldest + 1) % WINDOW;
            if let Ok(at) = self.sorted.binary_search(&old) {
                self.sorted.remove(at);
            }
        }
        let at = self.sorted.partition_point(|other| *other < transit);
        self.sorted.insert(at, transit);
    }

    /// Playout delay of the fastest frame with which nearly all frames are in time.
    pub(super) fn target(&self) -> Duration {
        let Some(fastest) = self.sorted.first() else { return Duration::ZERO };
        let slow = self.sorted[self.sorted.len() - 1 - LATE * self.sorted.len() / WINDOW];
        Duration::from_micros((slow - fastest) as u64).min(self.max)
    }

    /// Playout time of a frame that became complete at `ready_at`: never before that, and at most the longest delay
    /// after it.
    pub(super) fn due(&self, at: MediaTime, ready_at: Instant) -> Instant {
        let (Some(epoch), Some(fastest)) = (self.epoch, self.sorted.first()) else { return ready_at };
        let due = at.0.saturating_add(*fastest).saturating_add(self.target().as_micros() as i64);
        let latest = ready_at + self.max;
        epoch.checked_add(Duration::from_micros(due.max(0) as u64)).unwrap_or(latest).clamp(ready_at, latest)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    /// Measures frames of 20 ms that are late by these numbers of milliseconds.
    fn after(late: impl IntoIterator<Item = u64>) -> (Delay, Instant) {
        let t0 = Instant::now();
        let mut delay = Delay::new(48_000, Duration::from_secs(1));
        for (at, late) in late.into_iter().enumerate() {
            let media = delay.media_time((u32::MAX - 4800).wrapping_add(at as u32 * 960));
            delay.observe(t0 + Duration::from_millis(at as u64 * 20 + late), media);
        }
        (delay, t0)
    }

    #[test]
    fn regular_arrival_needs_no_delay() {
        let (mut delay, t0) = after((0..300).map(|_| 50));
        assert_eq!(delay.target(), Duration::ZERO);
        let ready = t0 + Duration::from_millis(300 * 20 + 50);
        let media = delay.media_time((u32::MAX - 4800).wrapping_add(300 * 960));
        assert_eq!(delay.due(media, ready), ready);
    }

    #[test]
    fn delay_covers_jitter_but_not_the_rarest_lateness() {
        let (delay, _) = after((0..300).map(|at| at % 5 * 10));
        assert_eq!(delay.target(), Duration::from_millis(40));
        let (delay, _) = after((0..300).map(|at| if at % 100 == 50 { 500 } else { 0 }));
        assert_eq!(delay.target(), Duration::ZERO);
    }

    #[test]
    fn early_frame_waits_for_its_time() {
        let (mut delay, t0) = after((0..300).map(|at| at % 2 * 30));
        let ready = t0 + Duration::from_millis(300 * 20);
        let media = delay.media_time((u32::MAX - 4800).wrapping_add(300 * 960));
        assert_eq!(delay.due(media, ready), ready + Duration::from_millis(30));
    }

    #[test]
    fn delay_shrinks_again_and_has_a_limit() {
        let (delay, _) = after((0..600).map(|at| if at < 300 { at % 5 * 10 } else { 0 }));
        assert_eq!(delay.target(), Duration::ZERO);
        let (delay, _) = after((0..50).map(|at| at % 2 * 3000));
        assert_eq!(delay.target(), Duration::from_secs(1));
    }

    #[test]
    fn arbitrary_timestamps_and_clock_rates_do_not_panic() {
        let t0 = Instant::now();
        for clock_rate in [0, 1, 90_000, u32::MAX] {
            let mut delay = Delay::new(clock_rate, Duration::from_secs(1));
            for at in 0..20_000_u32 {
                let media = delay.media_time(at.wrapping_mul(0x7fff_ffff));
                delay.observe(t0, media);
                let due = delay.due(media, t0);
                assert!((t0..=t0 + Duration::from_secs(1)).contains(&due));
                assert_eq!(delay.sorted.len(), delay.transits.len());
            }
        }
    }

    #[test]
    fn jump_of_timestamps_restarts_the_measurement() {
        let (mut delay, t0) = after((0..300).map(|_| 0));
        let media = delay.media_time(100_000_000);
        let now = t0 + Duration::from_secs(6);
        delay.observe(now, media);
        assert_eq!((delay.target(), delay.due(media, now)), (Duration::ZERO, now));
    }
}
