//! Token buckets, which bound rates.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket that allows debt: work is charged after it was done, and the debt determines the time to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Tokens per second.
    rate: f64,
    /// Maximum number of tokens.
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// Creates a full bucket with `rate` tokens per second and at most `burst` tokens.
    pub(crate) fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, level: burst, at: now }
    }

    /// Takes `tokens` and returns the time at which the debt ends, if there is a debt.
    pub(crate) fn take(&mut self, tokens: f64, now: Instant) -> Option<Instant> {
        self.fill(now);
        self.level -= tokens;
        (self.level < 0.0).then(|| now + Duration::from_secs_f64(-self.level / self.rate))
    }

    /// Takes `tokens` and returns true, if there are enough.
    pub(crate) fn try_take(&mut self, tokens: f64, now: Instant) -> bool {
        self.fill(now);
        let has = self.level >= tokens;
        if has {
            self.level -= tokens;
        }
        has
    }

    /// True if the bucket has been refilled.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.burst
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debt_lasts_until_its_tokens_are_refilled() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 20.0, start);
        assert_eq!(bucket.take(20.0, start), None);
        assert_eq!(bucket.take(5.0, start), Some(start + Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(0.0, later), None, "the debt is paid");
        assert_eq!(
            bucket.take(20.0, start + Duration::from_secs(60)),
            None,
            "it is full again, and no more than that"
        );
        assert!(bucket.take(1.0, start + Duration::from_secs(60)).is_some());
    }

    #[test]
    fn an_empty_bucket_gives_none() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1.0, 2.0, start);
        assert!(bucket.try_take(1.0, start) && bucket.try_take(1.0, start) && !bucket.try_take(1.0, start));
        assert!(bucket.try_take(1.0, start + Duration::from_secs(1)));
    }
}
