//! Recent retransmissions, so that a NACK sent before a retransmission arrived does not cause another one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashSet;

use tureen_rtc::seq::RecentSet;

/// Maximum number of retransmissions in flight.
const MAX_ENTRIES: usize = 512;

/// Round trip time assumed until a receiver report contains a measurement.
const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// Fraction of a round trip time after which a further NACK is answered (mediasoup: 1). Browsers repeat a NACK after
/// their own round trip time, 100 ms if they only receive; refusing a slightly early one would cost another round trip.
const PATIENCE: f64 = 0.75;

/// Minimum time before a further NACK is answered, because a NACK and the retransmission may cross on any path and the
/// reported round trip time may be false.
const MIN_PATIENCE: Duration = Duration::from_millis(10);

/// Maximum time before a further NACK is answered.
const MAX_PATIENCE: Duration = Duration::from_secs(2);

/// Retransmissions that may be in flight.
#[derive(Debug, Default)]
pub(crate) struct RecentRetransmissions {
    /// Output numbers with the times of their retransmissions, in ascending order of time.
    entries: VecDeque<(u64, Instant)>,
    /// The same output numbers, for lookup.
    on_their_way: HashSet<u64, foldhash::fast::RandomState>,
    /// Number of retransmitted packets, each counted once.
    repaired: u64,
    /// Latest packets counted in `repaired`.
    counted: RecentSet,
}

impl RecentRetransmissions {
    /// Removes retransmissions that must have arrived or been lost by now. `rtt` is the measured round trip time, if
    /// any.
    pub(crate) fn forget_old(&mut self, now: Instant, rtt: Option<Duration>) {
        let within = rtt.unwrap_or(DEFAULT_RTT).min(MAX_PATIENCE).mul_f64(PATIENCE).max(MIN_PATIENCE);
        while let Some(&(output, at)) = self.entries.front()
            && now.saturating_duration_since(at) >= within
        {
            self.entries.pop_front();
            self.on_their_way.remove(&output);
        }
    }

    /// True if the packet with this output number may be retransmitted now; the retransmission is then recorded.
    pub(crate) fn admit(&mut self, now: Instant, output: u64) -> bool {
        if self.entries.len() >= MAX_ENTRIES || !self.on_their_way.insert(output) {
            return false;
        }
        self.entries.push_back((output, now));
        self.repaired += u64::from(!self.counted.contains(output));
        self.counted.insert(output);
        true
    }

    /// Like [`admit`](Self::admit), for a proactive retransmission: false if the packet was retransmitted before.
    pub(crate) fn admit_unasked(&mut self, now: Instant, output: u64) -> bool {
        !self.counted.contains(output) && self.admit(now, output)
    }

    /// Number of retransmitted packets, each counted once (mediasoup `packetsRepaired`).
    pub(crate) fn repaired(&self) -> u64 {
        self.repaired
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    /// True if a NACK is answered this long after the packet's last retransmission.
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
    fn implausible_round_trip_is_clamped() {
        assert!(!answered_after(9, Some(0)));
        assert!(answered_after(10, Some(0)));
        assert!(answered_after(1500, Some(65_000)));
    }

    #[test]
    fn packet_retransmitted_twice_counts_as_repaired_once() {
        let (mut retransmissions, start) = (RecentRetransmissions::default(), Instant::now());
        for (at, output) in [(0, 70), (0, 75), (500, 70), (500, 60)] {
            let now = start + Duration::from_millis(at);
            retransmissions.forget_old(now, None);
            assert!(retransmissions.admit(now, output));
        }
        assert_eq!(retransmissions.repaired(), 3);
    }

    #[test]
    fn proactive_retransmission_is_sent_once_and_answers_a_crossing_nack() {
        let (mut retransmissions, start) = (RecentRetransmissions::default(), Instant::now());
        assert!(retransmissions.admit_unasked(start, 7));
        assert!(!retransmissions.admit(start, 7), "the request was on its way");
        let now = start + Duration::from_secs(1);
        retransmissions.forget_old(now, None);
        assert!(!retransmissions.admit_unasked(now, 7));
        assert!(retransmissions.admit(now, 7));
    }

    #[test]
    fn number_of_retransmissions_in_flight_is_bounded() {
        let (mut retransmissions, now) = (RecentRetransmissions::default(), Instant::now());
        assert!((0..MAX_ENTRIES as u64).all(|output| retransmissions.admit(now, output)));
        assert!(!retransmissions.admit(now, 9999));
        retransmissions.forget_old(now + DEFAULT_RTT, None);
        assert!(retransmissions.admit(now + DEFAULT_RTT, 9999));
    }
}
