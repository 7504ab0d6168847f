//! Rate limit of the key frames that one consumer may cause.

use std::time::{Duration, Instant};

/// Rate limit of key frame requests, because a key frame costs uplink bandwidth of the sender and downlink bandwidth of
/// every other receiver of the stream. The first request is forwarded at once. The next request that would cause
/// another key frame is delayed, and the delay doubles as long as requests arrive during a delay: one request per
/// second is answered every second, while continuous requests are answered less and less often.
#[derive(Debug, Default)]
pub(crate) struct KeyFrameAllowance {
    next_at: Option<Instant>,
    wait: Duration,
    /// True if a request is delayed; it is forwarded at the end of the delay.
    refused: bool,
}

impl KeyFrameAllowance {
    /// True if a request that would cause a key frame may be forwarded now. `shortest` and `longest` bound the delay
    /// between two.
    pub(crate) fn take(&mut self, now: Instant, (shortest, longest): (Duration, Duration)) -> bool {
        if self.next_at.is_some_and(|at| now < at) {
            self.refused = true;
            return false;
        }
        self.wait = if std::mem::take(&mut self.refused) {
            (self.wait * 2).clamp(shortest, longest)
        } else {
            shortest
        };
        self.next_at = Some(now + self.wait);
        true
    }

    /// Time at which the delayed request may be forwarded.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.next_at.filter(|_| self.refused)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

    /// Times in milliseconds at which requests are forwarded, of requests made each `interval`.
    fn passed(interval: u64, until: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut allowance = KeyFrameAllowance::default();
        let at = |ms: u64| start + Duration::from_millis(ms);
        (0..until).step_by(interval as usize).filter(|ms| allowance.take(at(*ms), WAIT)).collect()
    }

    #[test]
    fn frequent_requests_are_answered_less_and_less() {
        assert_eq!(passed(100, 40_000), [0, 1000, 3000, 7000, 15_000, 23_000, 31_000, 39_000]);
    }

    #[test]
    fn occasional_requests_are_answered() {
        assert_eq!(passed(1000, 10_000).len(), 10);
    }

    #[test]
    fn wait_is_short_again_after_one_without_requests() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut allowance = KeyFrameAllowance::default();
        let mut take = |ms| allowance.take(at(ms), WAIT);
        assert_eq!([0, 500, 1000, 2000, 3000].map(&mut take), [true, false, true, false, true]);
        // A delay of four seconds without requests.
        assert_eq!([7000, 8000].map(&mut take), [true, true]);
    }

    #[test]
    fn refused_request_is_due_when_the_wait_is_over() {
        let start = Instant::now();
        let mut allowance = KeyFrameAllowance::default();
        assert!(allowance.take(start, WAIT));
        assert_eq!(allowance.next_at(), None);
        assert!(!allowance.take(start + Duration::from_millis(300), WAIT));
        let due = start + Duration::from_secs(1);
        assert_eq!(allowance.next_at(), Some(due));
        assert!(allowance.take(due, WAIT));
        assert_eq!(allowance.next_at(), None);
    }
}
