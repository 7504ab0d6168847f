//! How much a remote side may say of what it was sent.

use std::time::Instant;

/// How often each packet that was sent may be named: by libwebrtc ten times at most, but hardly any that often.
const TIMES: u64 = 2;
/// What gathers at most, besides a second's worth of the floor: the NACKs of an outage, said at once.
const MOST: u64 = 4096;

/// Packets that a remote side may still name in NACKs. Each costs a search, however small the datagram that names it, and
/// may cost a packet; nobody who was sent little has to name much.
#[derive(Debug)]
pub(crate) struct FeedbackBudget {
    names: u64,
    /// Packets sent when it was looked at last.
    sent: u64,
    updated_at: Option<Instant>,
}

impl FeedbackBudget {
    /// A budget that is full.
    pub(crate) fn new() -> Self {
        Self { names: MOST, sent: 0, updated_at: None }
    }

    /// How many packets may be named now, when `sent` were sent in all; `floor` may be named each second in any case.
    pub(crate) fn available(&mut self, now: Instant, sent: u64, floor: usize) -> usize {
        let floor = floor as u64;
        let elapsed = self.updated_at.map_or(0, |at| now.saturating_duration_since(at).as_micros() as u64);
        let gathered = floor.saturating_mul(elapsed) / 1_000_000;
        // What is less than one goes on gathering.
        if gathered > 0 || self.updated_at.is_none() {
            self.updated_at = Some(now);
        }
        let more = TIMES * (sent - self.sent.min(sent));
        self.sent = sent;
        self.names = self.names.saturating_add(more).saturating_add(gathered).min(MOST + floor);
        self.names as usize
    }

    /// So many were named.
    pub(crate) fn spend(&mut self, names: usize) {
        self.names = self.names.saturating_sub(names as u64);
    }
}

impl Default for FeedbackBudget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What can be named in a second of requests without end, `sent` packets having been sent in it.
    fn named_in_a_second(sent: u64, floor: usize) -> usize {
        let start = Instant::now();
        let mut budget = FeedbackBudget::new();
        let full = budget.available(start, 0, floor);
        budget.spend(full);
        let per_ms = |ms: u64| {
            let available = budget.available(start + Duration::from_millis(ms), sent * ms / 1000, floor);
            budget.spend(available);
            available
        };
        (1..=1000).map(per_ms).sum()
    }

    #[test]
    fn each_packet_may_be_named_twice_and_some_more() {
        assert_eq!(named_in_a_second(0, 500), 500);
        assert_eq!(named_in_a_second(1000, 500), 2500);
    }

    #[test]
    fn what_gathers_is_bounded() {
        let start = Instant::now();
        let mut budget = FeedbackBudget::new();
        budget.available(start, 0, 500);
        let later = start + Duration::from_secs(3600);
        assert_eq!(budget.available(later, 1 << 40, 500), MOST as usize + 500);
    }
}
