//! Video suspension on a path that queues data over its capacity instead of losing it: a TCP connection. A packet that
//! another path would lose, with retransmission or without, arrives late on such a path and delays all later packets.

use std::time::{Duration, Instant};

/// Maximum queueing delay reported by the remote endpoint's feedback before video is suspended until the queue is sent.
/// Shorter queues are left to congestion control. Packets sent before the feedback arrives add to the delay.
const MAX_QUEUE: Duration = Duration::from_millis(500);
/// Time of suspension after the backlog is sent, doubled when a backlog builds up again soon: each resumption requires
/// a key frame, which costs the sender and all other receivers bandwidth.
const WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(5);

/// Backlog of one transport's path.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// True if locally queued data is late.
    late: bool,
    /// Earliest end of the suspension; `None` while video is not suspended.
    until: Option<Instant>,
    wait: Duration,
    ended_at: Option<Instant>,
}

impl Backlog {
    /// True while video is suspended.
    pub(crate) fn holds(&self) -> bool {
        self.until.is_some()
    }

    /// Handles the state of the local queue: its data is late, or all of it was sent.
    pub(crate) fn on_stream(&mut self, now: Instant, late: bool) {
        self.late = late;
        match (late, self.until) {
            (true, None) => self.begin(now),
            (false, Some(until)) => self.until = Some(until.max(now + self.wait)),
            _ => {}
        }
    }

    /// Handles the queueing delay beyond the local queue.
    pub(crate) fn on_queue(&mut self, now: Instant, queue: Duration) {
        if queue > MAX_QUEUE && !self.holds() {
            self.begin(now);
            // Feedback may never report the end of the queue, so the suspension gets a time limit.
            self.until = Some(now + queue + self.wait);
        }
    }

    /// Time of the next call of `handle_timeout`.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.until.filter(|_| !self.late)
    }

    /// Handles the passage of time. True when video resumes.
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
    fn queue_that_is_known_by_feedback_only_is_waited_for_once() {
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
