//! Delay of upgrades after downgrades.

use std::time::{Duration, Instant};

/// Wait between a downgrade and the next upgrade; doubled after each failed upgrade.
const WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(32);
/// Maximum wait of a consumer that was downgraded to nothing, because no picture at all is worse than one that
/// disappears again.
const MAX_WAIT_WITHOUT: Duration = Duration::from_secs(4);
/// A downgrade within this time marks the preceding upgrade as failed.
const FAILED_UPGRADE: Duration = Duration::from_secs(8);

/// Delays upgrades of one consumer after a downgrade, longer after each upgrade that failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpgradeBackoff {
    upgraded_at: Option<Instant>,
    wait: Duration,
    downgraded_at: Option<Instant>,
}

impl UpgradeBackoff {
    /// True if the consumer may be upgraded now.
    pub fn may_upgrade(&self, now: Instant) -> bool {
        self.waited(now, self.wait)
    }

    /// True if a consumer that is allocated nothing may be allocated a step now.
    pub fn may_start(&self, now: Instant) -> bool {
        self.waited(now, self.wait.min(MAX_WAIT_WITHOUT))
    }

    fn waited(&self, now: Instant, wait: Duration) -> bool {
        self.downgraded_at.is_none_or(|at| now.saturating_duration_since(at) >= wait)
    }

    /// True if the consumer was ever downgraded.
    pub fn was_downgraded(&self) -> bool {
        !self.wait.is_zero()
    }

    /// Records a change of the allocated step.
    pub fn on_change<T: PartialOrd>(&mut self, now: Instant, from: T, to: T) {
        if to > from {
            self.upgraded_at = Some(now);
        } else if to < from {
            let failed =
                self.upgraded_at.take().is_some_and(|at| now.saturating_duration_since(at) < FAILED_UPGRADE);
            self.wait = if failed { (self.wait * 2).clamp(WAIT, MAX_WAIT) } else { WAIT };
            self.downgraded_at = Some(now);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_failed_upgrade_doubles_the_wait() {
        let mut now = Instant::now();
        let mut backoff = UpgradeBackoff::default();
        assert!(backoff.may_upgrade(now));
        let until = |backoff: &UpgradeBackoff, now: Instant| {
            let waits =
                |may: fn(&UpgradeBackoff, Instant) -> bool| (0..).find(|&i| may(backoff, now + i * SECOND));
            (waits(UpgradeBackoff::may_upgrade).unwrap(), waits(UpgradeBackoff::may_start).unwrap())
        };
        let mut waits = Vec::new();
        for _ in 0..7 {
            backoff.on_change(now, 1, 2);
            now += SECOND;
            backoff.on_change(now, 2, 1);
            waits.push(until(&backoff, now));
            now += SECOND * waits[waits.len() - 1].0;
        }
        assert_eq!(waits, [(1, 1), (2, 2), (4, 4), (8, 4), (16, 4), (32, 4), (32, 4)]);
        backoff.on_change(now, 1, 2);
        now += 20 * SECOND;
        backoff.on_change(now, 2, 1);
        assert_eq!(until(&backoff, now), (1, 1), "that upgrade held");
    }
}
