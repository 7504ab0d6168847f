//! Schedule of REMBs to the remote endpoint.

use std::time::{Duration, Instant};

use tureen_rtc::units::Bitrate;

/// REMBs with the bitrate allowed for a transport's remote endpoint (mediasoup `RembGenerator`): the limit, the
/// estimate, or the lower of both.
///
/// A limit is sent when set and repeated as long as it is set; an estimate is sent a few times a second, and at once
/// when it drops. The end of a limit is sent several times, unless an estimate replaces the limit, because a sender
/// that lost the only message would stay limited for ever. The end of a limit that was never sent is not sent.
#[derive(Debug, Default)]
pub(crate) struct RembSchedule {
    /// Limit; zero for none.
    limit: Bitrate,
    sent_at: Option<Instant>,
    /// Bitrate sent last.
    last: Bitrate,
    /// True if a limit was sent and its end not often enough.
    was_sent: bool,
    /// Remaining messages about the end of the last limit.
    end_messages: u8,
}

/// Interval of repetitions of a limit (mediasoup `LimitationRembIntervalMs`).
const INTERVAL: Duration = Duration::from_millis(1500);

/// Interval of estimates (mediasoup `RembSendIntervalMs`).
const ESTIMATE_INTERVAL: Duration = Duration::from_millis(200);

/// Fraction of the last bitrate below which an estimate is sent at once (mediasoup `SendThresholdPercent`).
const URGENT: f64 = 0.97;

/// Number of messages about the end of a limit (mediasoup `UnlimitedRembNumPackets`).
const END_MESSAGES: u8 = 4;

impl RembSchedule {
    /// Sets the limit; zero removes it. Its message is due at once.
    pub(crate) fn set_limit(&mut self, limit: Bitrate) {
        let lifted = limit.is_zero() && !self.limit.is_zero() && self.was_sent;
        if lifted {
            self.end_messages = END_MESSAGES;
        } else if !limit.is_zero() {
            self.end_messages = 0;
        }
        if lifted || !limit.is_zero() {
            self.sent_at = None;
        }
        self.limit = limit;
    }

    /// Bitrate to send to the remote endpoint, if a message is due; zero for no limit.
    pub(crate) fn poll(&mut self, now: Instant, estimate: Option<Bitrate>) -> Option<Bitrate> {
        let bitrate = match estimate {
            Some(estimate) if self.limit.is_zero() => estimate,
            Some(estimate) => estimate.min(self.limit),
            None => self.limit,
        };
        let interval = match estimate {
            Some(_) => {
                self.end_messages = 0;
                if bitrate < self.last * URGENT { Duration::ZERO } else { ESTIMATE_INTERVAL }
            }
            None if bitrate.is_zero() && self.end_messages == 0 => return None,
            None => INTERVAL,
        };
        if self.sent_at.is_some_and(|at| now.saturating_duration_since(at) < interval) {
            return None;
        }
        self.sent_at = Some(now);
        self.last = bitrate;
        self.end_messages = self.end_messages.saturating_sub(1);
        self.was_sent = !self.limit.is_zero() || self.end_messages > 0;
        Some(bitrate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Bitrate = Bitrate::bps(0);
    const LIMIT: Bitrate = Bitrate::bps(300_000);

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time; nothing depends on which")]
    fn origin() -> Instant {
        Instant::now()
    }

    /// Bitrates sent within ten seconds, with their times in milliseconds.
    fn sent_bitrates(changes: &[(u64, Bitrate)]) -> Vec<(u64, Bitrate)> {
        let (mut schedule, start) = (RembSchedule::default(), origin());
        let mut sent_bitrates = Vec::new();
        for ms in (0..10_000).step_by(100) {
            changes.iter().filter(|(at, _)| *at == ms).for_each(|(_, limit)| schedule.set_limit(*limit));
            sent_bitrates
                .extend(schedule.poll(start + Duration::from_millis(ms), None).map(|limit| (ms, limit)));
        }
        sent_bitrates
    }

    #[test]
    fn no_remb_without_a_limit() {
        assert_eq!(sent_bitrates(&[]), []);
        assert_eq!(sent_bitrates(&[(1000, NONE)]), [], "lifting no limit");
    }

    #[test]
    fn limit_is_sent_at_once_and_repeated() {
        let times: Vec<_> = (0..6).map(|n| (1000 + 1500 * n, LIMIT)).collect();
        assert_eq!(sent_bitrates(&[(1000, LIMIT)]), times);
    }

    #[test]
    fn end_of_a_limit_is_sent_four_times() {
        let all = sent_bitrates(&[(0, LIMIT), (100, NONE)]);
        assert_eq!(all, [(0, LIMIT), (100, NONE), (1600, NONE), (3100, NONE), (4600, NONE)]);
    }

    #[test]
    fn repeated_lifting_does_not_restart_the_repetitions() {
        let all = sent_bitrates(&[(0, LIMIT), (100, NONE), (200, NONE), (2000, NONE)]);
        assert_eq!(all, [(0, LIMIT), (100, NONE), (1600, NONE), (3100, NONE), (4600, NONE)]);
    }

    #[test]
    fn limit_that_was_never_sent_has_no_end_to_send() {
        let (mut schedule, now) = (RembSchedule::default(), origin());
        schedule.set_limit(LIMIT);
        schedule.set_limit(NONE);
        assert_eq!(schedule.poll(now, None), None);
        schedule.set_limit(LIMIT);
        assert_eq!(schedule.poll(now, None), Some(LIMIT));
        schedule.set_limit(NONE);
        schedule.set_limit(LIMIT);
        schedule.set_limit(NONE);
        assert_eq!(schedule.poll(now, None), Some(NONE), "the first limit was sent");
    }

    #[test]
    fn new_limit_stops_the_repeated_end_of_the_last() {
        let all = sent_bitrates(&[(0, LIMIT), (100, NONE), (200, LIMIT)]);
        assert_eq!(all[..4], [(0, LIMIT), (100, NONE), (200, LIMIT), (1700, LIMIT)]);
        assert!(all[2..].iter().all(|(_, limit)| *limit == LIMIT));
    }

    #[test]
    fn estimate_is_sent_regularly_and_at_once_when_it_falls() {
        let (mut schedule, start) = (RembSchedule::default(), origin());
        let mut poll = |ms, kbps: u64| {
            schedule.poll(start + Duration::from_millis(ms), Some(Bitrate::kbps(kbps))).map(Bitrate::as_bps)
        };
        assert_eq!(poll(0, 1000), Some(1_000_000));
        assert_eq!(poll(50, 1500), None);
        assert_eq!(poll(100, 980), None);
        assert_eq!(poll(150, 960), Some(960_000));
        assert_eq!(poll(200, 959), None);
        assert_eq!(poll(350, 1500), Some(1_500_000));
    }

    #[test]
    fn lower_of_limit_and_estimate_is_sent() {
        let (mut schedule, start) = (RembSchedule::default(), origin());
        let at = |ms| start + Duration::from_millis(ms);
        schedule.set_limit(LIMIT);
        assert_eq!(schedule.poll(at(0), Some(LIMIT * 2.0)), Some(LIMIT));
        assert_eq!(schedule.poll(at(200), Some(LIMIT * 0.5)), Some(LIMIT * 0.5));
        schedule.set_limit(NONE);
        assert_eq!(schedule.poll(at(300), Some(LIMIT * 2.0)), Some(LIMIT * 2.0), "the end of the limit");
        assert_eq!(schedule.poll(at(400), None), None, "nobody is limited any more by what was set");
    }
}
