//! Which packets were sent again of late, so that NACKs which cross a retransmission don't cause another one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use tureen_rtc::seq::RecentSet;

/// How many packets may be on their way again at once.
const MAX_ENTRIES: usize = 512;

/// Assumed until a receiver report tells the round-trip time.
const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// How much of a round trip must have gone by before a further NACK is believed (mediasoup: all of it). Browsers ask
/// again after a round trip of their own measure, 100 ms where they only receive; to refuse what comes a little early
/// would cost another round.
const PATIENCE: f64 = 0.75;

/// A further NACK is believed after this time at the earliest: no remote side is so near that its request and the answer
/// can't have crossed, and the round trip that it reports may be made up.
const MIN_PATIENCE: Duration = Duration::from_millis(10);

/// And after this time at the latest.
const MAX_PATIENCE: Duration = Duration::from_secs(2);

/// Retransmissions that may still be on their way.
#[derive(Debug, Default)]
pub(crate) struct RecentRetransmissions {
    /// Output numbers, and when they were sent again, in that order.
    entries: VecDeque<(u64, Instant)>,
    /// The same numbers, to be found at once.
    on_their_way: HashSet<u64, foldhash::fast::RandomState>,
    /// Packets that were sent again, each counted once.
    repaired: u64,
    /// The last of them.
    counted: RecentSet,
}

impl RecentRetransmissions {
    /// Forgets what must have arrived by now, or was lost again. `rtt` is the measured round-trip time, if there is one.
    pub(crate) fn forget_old(&mut self, now: Instant, rtt: Option<Duration>) {
        let within = rtt.unwrap_or(DEFAULT_RTT).min(MAX_PATIENCE).mul_f64(PATIENCE).max(MIN_PATIENCE);
        while let Some(&(output, at)) = self.entries.front()
            && now.saturating_duration_since(at) >= within
        {
            self.entries.pop_front();
            self.on_their_way.remove(&output);
        }
    }

    /// Whether the packet with this output number may be sent again now; if so, it is noted.
    pub(crate) fn admit(&mut self, now: Instant, output: u64) -> bool {
        if self.entries.len() >= MAX_ENTRIES || !self.on_their_way.insert(output) {
            return false;
        }
        self.entries.push_back((output, now));
        self.repaired += u64::from(!self.counted.contains(output));
        self.counted.insert(output);
        true
    }

    /// As [`admit`](Self::admit), for a packet that nobody asks for: it is not sent again if it was before.
    pub(crate) fn admit_unasked(&mut self, now: Instant, output: u64) -> bool {
        !self.counted.contains(output) && self.admit(now, output)
    }

    /// Packets that were sent again, each counted once (mediasoup `packetsRepaired`).
    pub(crate) fn repaired(&self) -> u64 {
        self.repaired
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    /// Whether a NACK for a packet is answered that comes so long after it was sent again.
    fn answered_after(ms: u64, rtt: Option<u64>) -> bool {
        let (mut retransmissions, start) = (RecentRetransmissions::default(), Instant::now());
        assert!(retransmissions.admit(start, 7));
        let now = start + Duration::from_millis(ms);
        retransmissions.forget_old(now, rtt.map(Duration::from_millis));
        assert!(retransmissions.admit(now, 8), "another packet");
        retransmissions.admit(now, 7)
    }

    #[test]
    fn a_nack_that_crosses_a_retransmission_is_not_answered() {
        assert!(!answered_after(0, Some(100)));
        assert!(!answered_after(50, Some(100)));
        assert!(!answered_after(70, None));
    }

    #[test]
    fn a_nack_that_is_a_little_early_is_answered() {
        assert!(answered_after(100, Some(108)));
        assert!(answered_after(100, Some(130)));
        assert!(answered_after(80, None));
    }

    #[test]
    fn round_trip_that_is_made_up_counts_within_bounds() {
        assert!(!answered_after(9, Some(0)));
        assert!(answered_after(10, Some(0)));
        assert!(answered_after(1500, Some(65_000)));
    }

    #[test]
    fn packet_that_is_sent_again_twice_is_repaired_once() {
        let (mut retransmissions, start) = (RecentRetransmissions::default(), Instant::now());
        for (at, output) in [(0, 70), (0, 75), (500, 70), (500, 60)] {
            let now = start + Duration::from_millis(at);
            retransmissions.forget_old(now, None);
            assert!(retransmissions.admit(now, output));
        }
        assert_eq!(retransmissions.repaired(), 3);
    }

    #[test]
    fn packet_that_nobody_asks_for_is_sent_again_once_and_answers_what_crosses_it() {
        let (mut retransmissions, start) = (RecentRetransmissions::default(), Instant::now());
        assert!(retransmissions.admit_unasked(start, 7));
        assert!(!retransmissions.admit(start, 7), "the request was on its way");
        let now = start + Duration::from_secs(1);
        retransmissions.forget_old(now, None);
        assert!(!retransmissions.admit_unasked(now, 7));
        assert!(retransmissions.admit(now, 7));
    }

    #[test]
    fn only_so_many_are_on_their_way_at_once() {
        let (mut retransmissions, now) = (RecentRetransmissions::default(), Instant::now());
        assert!((0..MAX_ENTRIES as u64).all(|output| retransmissions.admit(now, output)));
        assert!(!retransmissions.admit(now, 9999));
        retransmissions.forget_old(now + DEFAULT_RTT, None);
        assert!(retransmissions.admit(now + DEFAULT_RTT, 9999));
    }
}
