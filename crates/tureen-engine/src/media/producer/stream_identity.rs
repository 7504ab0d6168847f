//! Changes of a stream's SSRC: its sender has restarted, or its SSRC collided (RFC 3550 §8.2).
//!
//! A sender with two SSRCs for one encoding at a time, or with alternating SSRCs, cannot force changes: the first SSRC
//! stays.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use tureen_rtc::units::Ssrc;

/// Silence of the old SSRC after which a new SSRC replaces it, if the new one's packets carry the MID or RID.
const SILENCE: Duration = Duration::from_secs(1);
/// Time after which a new SSRC replaces the old one before `SILENCE`, if only the new one was received meanwhile.
const OVERLAP: Duration = Duration::from_millis(100);
/// Silence required for a new SSRC without MID or RID, or for one that was replaced before.
pub(crate) const LONG_SILENCE: Duration = Duration::from_secs(2);
/// Number of replaced SSRCs kept.
const MAX_RETIRED: usize = 4;

/// SSRC history of a stream.
#[derive(Debug)]
pub(crate) struct StreamIdentity {
    /// True if the SSRC of the RTX stream was signalled.
    pub(crate) rtx_is_signalled: bool,
    /// True if an RTCP BYE was received for the current SSRC.
    pub(crate) has_left: bool,
    /// Arrival time of the last packet with the current SSRC.
    heard_at: Option<Instant>,
    /// Another SSRC, and the time since which only that one has been received.
    candidate: Option<(Ssrc, Instant)>,
    retired: SmallVec<[Ssrc; MAX_RETIRED]>,
}

impl StreamIdentity {
    /// Creates the history of a stream that has not begun.
    pub(crate) fn new(rtx_is_signalled: bool) -> Self {
        Self { rtx_is_signalled, has_left: false, heard_at: None, candidate: None, retired: SmallVec::new() }
    }

    /// Handles a packet with the stream's SSRC.
    #[inline]
    pub(crate) fn on_heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
        self.has_left = false;
    }

    /// Handles a packet with another SSRC: true if that SSRC replaces the stream's. `named`: the packet carries the MID
    /// or RID.
    pub(crate) fn may_change(&mut self, now: Instant, ssrc: Ssrc, named: bool) -> bool {
        let Some(heard_at) = self.heard_at else { return true };
        let silence = now.saturating_duration_since(heard_at);
        if self.has_left {
            return true;
        }
        if !named || self.retired.contains(&ssrc) {
            return silence >= LONG_SILENCE;
        }
        let since = match self.candidate {
            Some((candidate, since)) if candidate == ssrc && since > heard_at => since,
            _ => now,
        };
        self.candidate = Some((ssrc, since));
        silence >= SILENCE || now.saturating_duration_since(since) >= OVERLAP
    }

    /// Records a change of the stream's SSRC; `before` is the previous one.
    pub(crate) fn change(&mut self, now: Instant, before: Ssrc) {
        if self.retired.len() == MAX_RETIRED {
            self.retired.remove(0);
        }
        self.retired.push(before);
        self.candidate = None;
        self.on_heard(now);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const OLD: Ssrc = Ssrc(1);
    const NEW: Ssrc = Ssrc(2);

    fn after_a_packet() -> (StreamIdentity, Instant) {
        let now = Instant::now();
        let mut identity = StreamIdentity::new(false);
        identity.on_heard(now);
        (identity, now)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn bye_allows_another_ssrc_at_once() {
        let (mut identity, now) = after_a_packet();
        identity.has_left = true;
        assert!(identity.may_change(now, NEW, false));
        identity.on_heard(now);
        assert!(!identity.may_change(now, NEW, false), "it did not go");
    }

    #[test]
    fn new_ssrc_takes_over_soon_if_the_old_one_is_silent() {
        let (mut identity, now) = after_a_packet();
        assert!(!identity.may_change(now + ms(20), NEW, true));
        assert!(!identity.may_change(now + ms(110), NEW, true));
        assert!(identity.may_change(now + ms(120), NEW, true));
        let (mut identity, now) = after_a_packet();
        assert!(identity.may_change(now + ms(1000), NEW, true));
        assert!(!identity.may_change(now + ms(1999), NEW, false));
        assert!(identity.may_change(now + ms(2000), NEW, false));
    }

    #[test]
    fn simultaneous_streams_do_not_alternate() {
        let (mut identity, mut now) = after_a_packet();
        for _ in 0..1000 {
            for ssrc in [NEW, Ssrc(3)] {
                now += ms(20);
                assert!(!identity.may_change(now, ssrc, true));
            }
            now += ms(20);
            identity.on_heard(now);
        }
    }

    #[test]
    fn replaced_ssrc_returns_only_after_silence() {
        let (mut identity, now) = after_a_packet();
        identity.change(now, OLD);
        assert!(!identity.may_change(now + ms(1500), OLD, true));
        assert!(identity.may_change(now + ms(2000), OLD, true));
        (10..20).for_each(|ssrc| identity.change(now, Ssrc(ssrc)));
        assert_eq!(identity.retired.len(), MAX_RETIRED);
    }
}
