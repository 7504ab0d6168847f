//! When another SSRC may go on with a stream: its sender has restarted, or its SSRC collided (RFC 3550 §8.2).
//!
//! Whoever sends two SSRCs for one encoding at a time, or changes them to and fro, gains nothing: the first one stays.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use tureen_rtc::units::Ssrc;

/// A new SSRC that names its stream goes on with it once the old one was silent for this long.
const SILENCE: Duration = Duration::from_secs(1);
/// The same if the old one was silent for all the time that the new one came, for this long.
const OVERLAP: Duration = Duration::from_millis(100);
/// One that does not name its stream, or that was given up before, has to wait for the silence of this time.
pub(crate) const LONG_SILENCE: Duration = Duration::from_secs(2);
/// SSRCs that are remembered to have been given up.
const MAX_RETIRED: usize = 4;

/// Under which SSRCs a stream came.
#[derive(Debug)]
pub(crate) struct StreamIdentity {
    /// The SSRC of retransmissions was signalled.
    pub(crate) rtx_is_signalled: bool,
    /// The SSRC that the stream has now said goodbye.
    pub(crate) has_left: bool,
    /// When something of it came last.
    heard_at: Option<Instant>,
    /// Another SSRC, and since when it has come alone.
    candidate: Option<(Ssrc, Instant)>,
    retired: SmallVec<[Ssrc; MAX_RETIRED]>,
}

impl StreamIdentity {
    /// Of a stream that has not begun.
    pub(crate) fn new(rtx_is_signalled: bool) -> Self {
        Self { rtx_is_signalled, has_left: false, heard_at: None, candidate: None, retired: SmallVec::new() }
    }

    /// A packet with the stream's SSRC came.
    #[inline]
    pub(crate) fn on_heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
        self.has_left = false;
    }

    /// A packet with another SSRC came: whether it goes on with the stream. `named`: it carries the MID or RID.
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

    /// The stream has another SSRC now; it had this one.
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
    fn goodbye_makes_room_at_once() {
        let (mut identity, now) = after_a_packet();
        identity.has_left = true;
        assert!(identity.may_change(now, NEW, false));
        identity.on_heard(now);
        assert!(!identity.may_change(now, NEW, false), "it did not go");
    }

    #[test]
    fn new_one_that_comes_alone_takes_over_soon() {
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
    fn streams_at_the_same_time_do_not_take_turns() {
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
    fn one_that_was_given_up_waits_for_the_silence() {
        let (mut identity, now) = after_a_packet();
        identity.change(now, OLD);
        assert!(!identity.may_change(now + ms(1500), OLD, true));
        assert!(identity.may_change(now + ms(2000), OLD, true));
        (10..20).for_each(|ssrc| identity.change(now, Ssrc(ssrc)));
        assert_eq!(identity.retired.len(), MAX_RETIRED);
    }
}
