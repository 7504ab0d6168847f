//! Deadlines of the peers of one thread.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::client_io::PeerKey;

/// Deadlines are rounded up to multiples of this, so that one wake-up serves many peers.
const GRID: Duration = Duration::from_millis(1);

/// The next deadline of each peer that has one.
#[derive(Debug)]
pub(super) struct Timers {
    started: Instant,
    deadlines: BTreeSet<(Instant, PeerKey)>,
}

impl Timers {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, deadlines: BTreeSet::new() }
    }

    /// Sees to it that `key` is due at `at` or earlier. `scheduled` is the peer's entry; an earlier one stays, because
    /// most deadlines only move away, and the peer then finds that it has nothing to do.
    pub(super) fn schedule(&mut self, key: PeerKey, scheduled: &mut Option<Instant>, at: Option<Instant>) {
        let Some(at) = at.map(|at| self.round_up(at)) else { return };
        if scheduled.is_some_and(|scheduled| scheduled <= at) {
            return;
        }
        self.cancel(key, scheduled);
        self.deadlines.insert((at, key));
        *scheduled = Some(at);
    }

    /// Removes the peer's entry.
    pub(super) fn cancel(&mut self, key: PeerKey, scheduled: &mut Option<Instant>) {
        if let Some(at) = scheduled.take() {
            self.deadlines.remove(&(at, key));
        }
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Removes and returns a peer that is due. Its `scheduled` is to be cleared.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<PeerKey> {
        if self.next()? > now {
            return None;
        }
        self.deadlines.pop_first().map(|(_, key)| key)
    }

    fn round_up(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.started);
        let ticks = since.as_nanos().div_ceil(GRID.as_nanos());
        // After 49 days, deadlines are not rounded any more.
        u32::try_from(ticks).map_or(at, |ticks| self.started + GRID * ticks)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    #[test]
    fn earlier_deadlines_replace_later_ones_and_not_the_reverse() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new(start);
        let (mut first, mut second) = (None, None);
        timers.schedule(PeerKey(1), &mut first, Some(at(5)));
        timers.schedule(PeerKey(1), &mut first, Some(at(9)));
        timers.schedule(PeerKey(2), &mut second, Some(at(7)));
        timers.schedule(PeerKey(2), &mut second, Some(at(3) - Duration::from_micros(400)));
        assert_eq!((first, second), (Some(at(5)), Some(at(3))));
        assert_eq!(timers.pop_due(at(2)), None);
        assert_eq!(timers.pop_due(at(5)), Some(PeerKey(2)));
        assert_eq!(timers.pop_due(at(5)), Some(PeerKey(1)));
        assert_eq!(timers.next(), None, "each peer has one entry");
    }

    #[test]
    fn cancelled_deadlines_do_not_come() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let mut scheduled = None;
        timers.schedule(PeerKey(1), &mut scheduled, Some(start));
        timers.cancel(PeerKey(1), &mut scheduled);
        assert_eq!((scheduled, timers.next()), (None, None));
    }
}
