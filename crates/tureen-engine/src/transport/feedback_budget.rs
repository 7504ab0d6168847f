//! Limit of the feedback that a remote endpoint may send about received packets.

use std::time::Instant;

/// Number of NACKs allowed for each packet sent: libwebrtc sends at most ten, but rarely that many.
const TIMES: u64 = 2;
/// Maximum budget besides a second's worth of the floor, enough for the NACKs after an outage.
const MOST: u64 = 4096;

/// Number of packets that a remote endpoint may still request by NACK, because each requested packet costs a search
/// regardless of the datagram's size, and may cost a retransmission. A receiver of few packets has few to request.
#[derive(Debug)]
pub(crate) struct FeedbackBudget {
    names: u64,
    /// Number of packets sent at the last update.
    sent: u64,
    updated_at: Option<Instant>,
}

impl FeedbackBudget {
    /// Creates a full budget.
    pub(crate) fn new() -> Self {
        Self { names: MOST, sent: 0, updated_at: None }
    }

    /// Number of packets that may be requested now, after `sent` packets in total; `floor` packets may be requested
    /// each second in any case.
    pub(crate) fn available(&mut self, now: Instant, sent: u64, floor: usize) -> usize {
        let floor = floor as u64;
        let elapsed = self.updated_at.map_or(0, |at| now.saturating_duration_since(at).as_micros() as u64);
        let gathered = floor.saturating_mul(elapsed) / 1_000_000;
        // Fractions of a packet continue to accumulate.
        if gathered > 0 || self.updated_at.is_none() {
            self.updated_at = Some(now);
        }
        let more = TIMES * (sent - self.sent.min(sent));
        self.sent = sent;
        self.names = self.names.saturating_add(more).saturating_add(gathered).min(MOST + floor);
        self.names as usize
    }

    /// Spends the budget of this many requested packets.
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

    /// Number of packets requested in a second of continuous requests, with `sent` packets sent in it.
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
    fn nacks_may_name_each_packet_twice_plus_a_reserve() {
        assert_eq!(named_in_a_second(0, 500), 500);
        assert_eq!(named_in_a_second(1000, 500), 2500);
    }

    #[test]
    fn unused_budget_is_bounded() {
        let start = Instant::now();
        let mut budget = FeedbackBudget::new();
        budget.available(start, 0, 500);
        let later = start + Duration::from_secs(3600);
        assert_eq!(budget.available(later, 1 << 40, 500), MOST as usize + 500);
    }
}
