//! How often one consumer may cause key frames.

use std::time::{Duration, Instant};

/// A key frame costs the sender's whole line, and every viewer of the stream pays for it; so one of them alone must not be
/// able to have one after the other. The first request is passed on at once. The next one that would cause another key
/// frame has to wait, and so long as requests come while they have to wait, the wait doubles: who asks each second is
/// answered each second, who asks all the time is answered less and less.
#[derive(Debug, Default)]
pub(crate) struct KeyFrameAllowance {
    next_at: Option<Instant>,
    wait: Duration,
    /// A request came that had to wait; it is made good when the wait is over.
    refused: bool,
}

impl KeyFrameAllowance {
    /// Whether a request may be passed on now that would cause a key frame. `wait` is the shortest and the longest time
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

    /// When the request may be passed on that was refused last.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.next_at.filter(|_| self.refused)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

    /// When requests are passed on, in milliseconds, of those that come each `interval`.
    fn passed(interval: u64, until: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut allowance = KeyFrameAllowance::default();
        let at = |ms: u64| start + Duration::from_millis(ms);
        (0..until).step_by(interval as usize).filter(|ms| allowance.take(at(*ms), WAIT)).collect()
    }

    #[test]
    fn who_asks_all_the_time_is_answered_less_and_less() {
        assert_eq!(passed(100, 40_000), [0, 1000, 3000, 7000, 15_000, 23_000, 31_000, 39_000]);
    }

    #[test]
    fn who_asks_now_and_then_is_answered() {
        assert_eq!(passed(1000, 10_000).len(), 10);
    }

    #[test]
    fn wait_is_short_again_after_one_without_requests() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut allowance = KeyFrameAllowance::default();
        let mut take = |ms| allowance.take(at(ms), WAIT);
        assert_eq!([0, 500, 1000, 2000, 3000].map(&mut take), [true, false, true, false, true]);
        // Four seconds to wait, in which nothing comes.
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
