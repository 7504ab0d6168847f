//! Whether a transport's video has to wait, because its path keeps all that it can't carry yet instead of losing it: a TCP
//! stream. What would be lost elsewhere, and asked for again or done without, comes late there, and all that follows, too.

use std::time::{Duration, Instant};

/// A path on which what is sent now waits longer than this, by the remote side's feedback, is given no more video until it came
/// through. Shorter queues are left to congestion control. What is sent until feedback tells comes on top.
const MAX_QUEUE: Duration = Duration::from_millis(500);
/// How long video waits after the backlog is gone, doubled when it builds up again soon: each time it goes on a key frame is
/// needed, which costs its sender and all others.
const WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(5);

/// The backlog of one transport's path.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Something waits here, and is late.
    late: bool,
    /// Video waits until then at least. Nothing: it does not wait.
    until: Option<Instant>,
    wait: Duration,
    ended_at: Option<Instant>,
}

impl Backlog {
    /// Whether video waits.
    pub(crate) fn holds(&self) -> bool {
        self.until.is_some()
    }

    /// What waits here is late, or all of it was sent.
    pub(crate) fn on_stream(&mut self, now: Instant, late: bool) {
        self.late = late;
        match (late, self.until) {
            (true, None) => self.begin(now),
            (false, Some(until)) => self.until = Some(until.max(now + self.wait)),
            _ => {}
        }
    }

    /// Packets wait so long beyond what is seen here.
    pub(crate) fn on_queue(&mut self, now: Instant, queue: Duration) {
        if queue > MAX_QUEUE && !self.holds() {
            self.begin(now);
            // Nothing may come back that tells of its end.
            self.until = Some(now + queue + self.wait);
        }
    }

    /// When it should be asked again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.until.filter(|_| !self.late)
    }

    /// Time passed. True when video goes on.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let over = self.poll_timeout().is_some_and(|until| until <= now);
        if over {
            (self.until, self.ended_at) = (None, Some(now));
        }
        over
    }

    fn begin(&mut self, now: Instant) {
        let soon = self.ended_at.is_some_and(|at| now.saturating_duration_since(at) < SOON);
        self.wait = if soon { (self.wait * 2).min(MAX_WAIT) } else { WAIT };
        self.until = Some(now + self.wait);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn video_waits_until_the_stream_is_empty_and_longer_each_time() {
        let mut now = Instant::now();
        let mut backlog = Backlog::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            backlog.on_stream(now, true);
            now += 5000 * MS;
            assert!(backlog.holds() && backlog.poll_timeout().is_none() && !backlog.handle_timeout(now));
            backlog.on_stream(now, false);
            let until = backlog.poll_timeout().expect("it is empty");
            waits.push((until - now).as_millis());
            now = until;
            assert!(backlog.handle_timeout(now) && !backlog.holds());
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
        now += SOON;
        backlog.on_stream(now, true);
        backlog.on_stream(now, false);
        assert_eq!(backlog.poll_timeout(), Some(now + WAIT), "that was not soon");
    }

    #[test]
    fn queue_that_only_feedback_shows_is_waited_for_once() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        backlog.on_queue(now, MAX_QUEUE);
        assert!(!backlog.holds());
        backlog.on_queue(now, 900 * MS);
        backlog.on_queue(now + 500 * MS, 900 * MS);
        assert_eq!(backlog.poll_timeout(), Some(now + 1000 * MS), "whatever is told meanwhile");
        assert!(!backlog.handle_timeout(now + 999 * MS) && backlog.handle_timeout(now + 1000 * MS));
    }
}
