//! Pacing of what the path would otherwise have to queue.
//!
//! Bursts make sending cheap, so they pass unpaced while the send rate is well below the estimate: a bucket drains at
//! the estimate and holds about one frame (`FREE`). Near the estimate packets leave in bursts of at most `BURST`, at a
//! multiple of the estimate. This keeps the path's queues short and makes each burst a sample of the delay.

use super::Micros;
use crate::units::Bitrate;

/// Unpaced burst, as its duration at the estimate: about one frame.
const FREE: Micros = 40_000;
/// Length of a paced burst at the pacing rate.
const BURST: Micros = 5_000;
/// Pacing rate relative to the estimate. It exceeds 1 so that key frames leave soon.
const PACE: f64 = 2.5;

#[derive(Debug)]
pub(crate) struct Pacer {
    bytes_per_micro: f64,
    /// Bytes that the path has not drained yet.
    level: f64,
    /// Bytes of the last bursts beyond the pacing rate.
    debt: f64,
    near_estimate: bool,
    updated_at: Micros,
}

impl Pacer {
    pub(super) fn new(estimate: Bitrate) -> Self {
        let mut pacer =
            Self { bytes_per_micro: 0.0, level: 0.0, debt: 0.0, near_estimate: false, updated_at: 0 };
        pacer.set_estimate(estimate);
        pacer
    }

    pub(crate) fn set_estimate(&mut self, estimate: Bitrate) {
        self.bytes_per_micro = estimate.as_bps() as f64 / 8e6;
    }

    /// Records sent bytes, paced or not. `near_estimate`: the send rate is near the estimate.
    pub(super) fn on_sent(&mut self, now: Micros, bytes: u64, near_estimate: bool) {
        self.drain(now);
        self.near_estimate = near_estimate;
        let bytes = bytes as f64;
        self.level += bytes;
        // An unpaced burst delays the next packets by one burst at most.
        let is_free = self.level <= self.free();
        self.debt += if is_free { bytes.min(self.burst()) } else { bytes };
    }

    /// Bytes that may be sent now; the last packet may exceed them.
    pub(super) fn allowance(&mut self, now: Micros) -> usize {
        self.drain(now);
        (self.free() - self.level).max(self.burst() - self.debt).max(0.0) as usize
    }

    /// Time of the next burst while the allowance is used up.
    pub(super) fn next_burst(&mut self, now: Micros) -> Micros {
        self.drain(now);
        now + (self.debt / (self.bytes_per_micro * PACE).max(f64::MIN_POSITIVE)).clamp(0.0, 1e6) as Micros
    }

    fn free(&self) -> f64 {
        if self.near_estimate { 0.0 } else { FREE as f64 * self.bytes_per_micro }
    }

    fn burst(&self) -> f64 {
        BURST as f64 * self.bytes_per_micro * PACE
    }

    fn drain(&mut self, now: Micros) {
        let elapsed = (now - std::mem::replace(&mut self.updated_at, now)).max(0) as f64;
        self.level = (self.level - elapsed * self.bytes_per_micro).max(0.0);
        self.debt = (self.debt - elapsed * self.bytes_per_micro * PACE).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_within_the_estimate_pass_at_once() {
        let mut pacer = Pacer::new(Bitrate::mbps(1));
        for frame in 0..100 {
            let now = frame * 33_333;
            assert!(pacer.allowance(now) >= 4000, "frame {frame}");
            pacer.on_sent(now, 4000, false);
        }
    }

    #[test]
    fn near_the_estimate_even_frames_go_out_in_bursts() {
        let mut pacer = Pacer::new(Bitrate::mbps(10));
        pacer.on_sent(0, 1, true);
        assert_eq!(pacer.allowance(0), 15_624);
        pacer.on_sent(0, 15_624, true);
        assert_eq!(pacer.allowance(0), 0);
        assert_eq!(pacer.next_burst(0), 5_000);
    }

    #[test]
    fn large_frame_goes_out_in_short_bursts() {
        let mut pacer = Pacer::new(Bitrate::mbps(1));
        let (mut now, mut left) = (0, 50_000);
        let mut bursts = Vec::new();
        while left > 0 {
            let bytes = pacer.allowance(now).min(left);
            if bytes > 0 {
                bursts.push(bytes);
                pacer.on_sent(now, bytes as u64, false);
                left -= bytes;
            }
            now = pacer.next_burst(now).max(now + 1);
        }
        assert_eq!(bursts[0], 5000, "what drains in 40 ms");
        assert!(bursts[1..].iter().all(|&burst| burst <= 1563), "{bursts:?}");
        // 45 kB at 2.5 Mbit/s.
        assert!((130_000..170_000).contains(&now), "{now}");
    }

    #[test]
    fn time_running_backwards_changes_nothing() {
        let mut pacer = Pacer::new(Bitrate::mbps(1));
        pacer.on_sent(1_000_000, 5000, false);
        assert_eq!(pacer.allowance(900_000), 0);
    }
}
