//! Interarrival jitter of an incoming RTP stream (RFC 3550 §6.4.1, appendix A.8).

use std::time::Instant;

/// Jitter of one stream, in units of its clock rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct JitterEstimator {
    clock_rate: u32,
    /// Origin of arrival times.
    epoch: Option<Instant>,
    /// Relative transit time of the previous packet.
    transit: Option<u32>,
    jitter: f64,
}

impl JitterEstimator {
    /// `clock_rate` is in Hz; zero keeps the jitter at zero.
    pub(super) fn new(clock_rate: u32) -> Self {
        Self { clock_rate, epoch: None, transit: None, jitter: 0.0 }
    }

    /// Updates the jitter with a packet that arrived at `now`.
    pub(super) fn update(&mut self, now: Instant, timestamp: u32) {
        if self.clock_rate == 0 {
            return;
        }
        let epoch = *self.epoch.get_or_insert(now);
        let micros = now.saturating_duration_since(epoch).as_micros();
        let arrival = (micros * u128::from(self.clock_rate) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            // RFC 3550 §6.4.1: J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16.
            self.jitter += (f64::from(difference) - self.jitter) / 16.0;
        }
    }

    /// Jitter for receiver reports, in units of the clock rate.
    pub(super) fn jitter(&self) -> u32 {
        self.jitter as u32
    }

    /// Resets the state, for example after a pause.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.clock_rate);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn steady_stream_has_no_jitter_even_when_timestamps_wrap() {
        let t0 = Instant::now();
        let mut jitter = JitterEstimator::new(48_000);
        for i in 0..100u32 {
            let timestamp = (u32::MAX - 20 * 960).wrapping_add(i * 960);
            jitter.update(t0 + Duration::from_millis(20) * i, timestamp);
        }
        assert_eq!(jitter.jitter(), 0);
    }

    #[test]
    fn single_late_packet_counts_a_sixteenth_each_way() {
        let t0 = Instant::now();
        let mut jitter = JitterEstimator::new(90_000);
        jitter.update(t0, 0);
        jitter.update(t0 + Duration::from_millis(20 + 16), 1800);
        assert_eq!(jitter.jitter(), 90, "1440 / 16");
        jitter.update(t0 + Duration::from_millis(40), 3600);
        assert_eq!(jitter.jitter(), 90 + (1440 - 90) / 16);
    }

    #[test]
    fn alternating_delay_converges_to_the_difference() {
        let t0 = Instant::now();
        let mut jitter = JitterEstimator::new(48_000);
        for i in 0..500u64 {
            let late = if i % 2 == 0 { 0 } else { 10 };
            jitter.update(t0 + Duration::from_millis(20 * i + late), (i * 960) as u32);
        }
        assert!((479..=480).contains(&jitter.jitter()), "{}", jitter.jitter());
        jitter.reset();
        assert_eq!(jitter.jitter(), 0);
    }

    #[test]
    fn timestamp_leap_across_half_the_space_does_not_overflow() {
        let t0 = Instant::now();
        let mut jitter = JitterEstimator::new(90_000);
        jitter.update(t0, 0);
        jitter.update(t0, 1 << 31);
        assert_eq!(jitter.jitter(), (1 << 31) / 16);
        let mut unknown = JitterEstimator::new(0);
        unknown.update(t0, 0);
        unknown.update(t0, 9999);
        assert_eq!(unknown.jitter(), 0);
    }
}
