//! When the remote side is told how much it may send.

use std::time::{Duration, Instant};

use tureen_rtc::units::Bitrate;

/// What a transport's remote side may send, as REMBs carry it (mediasoup `RembGenerator`): the limit that was set, the
/// estimate where there is one, the lower of both.
///
/// A limit is told when it is set and again as long as it holds; an estimate a few times a second, and at once when it
/// falls. That there is no limit any more is told several times, unless an estimate takes its place: a sender that missed
/// the only message would stay limited for ever. A limit that was never told has no end to tell of.
#[derive(Debug, Default)]
pub(crate) struct RembSchedule {
    /// Zero is none.
    limit: Bitrate,
    sent_at: Option<Instant>,
    /// What was told last.
    last: Bitrate,
    /// The remote side was told a limit, and not yet often enough of its end.
    told: bool,
    /// Messages that the remote side has yet to be sent about the end of the last limit.
    farewells: u8,
}

/// Between repetitions of a limit (mediasoup `LimitationRembIntervalMs`).
const INTERVAL: Duration = Duration::from_millis(1500);

/// Between estimates (mediasoup `RembSendIntervalMs`).
const ESTIMATE_INTERVAL: Duration = Duration::from_millis(200);

/// An estimate below this part of what was told last is told at once (mediasoup `SendThresholdPercent`).
const URGENT: f64 = 0.97;

/// Messages that say that there is no limit any more (mediasoup `UnlimitedRembNumPackets`).
const FAREWELLS: u8 = 4;

impl RembSchedule {
    /// Sets the limit; zero lifts it. What is to be told about it is due at once.
    pub(crate) fn set_limit(&mut self, limit: Bitrate) {
        let lifted = limit.is_zero() && !self.limit.is_zero() && self.told;
        if lifted {
            self.farewells = FAREWELLS;
        } else if !limit.is_zero() {
            self.farewells = 0;
        }
        if lifted || !limit.is_zero() {
            self.sent_at = None;
        }
        self.limit = limit;
    }

    /// The bitrate to tell the remote side now, if it is time to; zero says that there is no limit.
    pub(crate) fn poll(&mut self, now: Instant, estimate: Option<Bitrate>) -> Option<Bitrate> {
        let bitrate = match estimate {
            Some(estimate) if self.limit.is_zero() => estimate,
            Some(estimate) => estimate.min(self.limit),
            None => self.limit,
        };
        let interval = match estimate {
            Some(_) => {
                self.farewells = 0;
                if bitrate < self.last * URGENT { Duration::ZERO } else { ESTIMATE_INTERVAL }
            }
            None if bitrate.is_zero() && self.farewells == 0 => return None,
            None => INTERVAL,
        };
        if self.sent_at.is_some_and(|at| now.saturating_duration_since(at) < interval) {
            return None;
        }
        self.sent_at = Some(now);
        self.last = bitrate;
        self.farewells = self.farewells.saturating_sub(1);
        self.told = !self.limit.is_zero() || self.farewells > 0;
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

    /// What is told within ten seconds, and when.
    fn told(changes: &[(u64, Bitrate)]) -> Vec<(u64, Bitrate)> {
        let (mut schedule, start) = (RembSchedule::default(), origin());
        let mut told = Vec::new();
        for ms in (0..10_000).step_by(100) {
            changes.iter().filter(|(at, _)| *at == ms).for_each(|(_, limit)| schedule.set_limit(*limit));
            told.extend(schedule.poll(start + Duration::from_millis(ms), None).map(|limit| (ms, limit)));
        }
        told
    }

    #[test]
    fn nothing_is_told_without_a_limit() {
        assert_eq!(told(&[]), []);
        assert_eq!(told(&[(1000, NONE)]), [], "lifting no limit");
    }

    #[test]
    fn limit_is_told_at_once_and_repeated() {
        let times: Vec<_> = (0..6).map(|n| (1000 + 1500 * n, LIMIT)).collect();
        assert_eq!(told(&[(1000, LIMIT)]), times);
    }

    #[test]
    fn end_of_a_limit_is_told_four_times() {
        let all = told(&[(0, LIMIT), (100, NONE)]);
        assert_eq!(all, [(0, LIMIT), (100, NONE), (1600, NONE), (3100, NONE), (4600, NONE)]);
    }

    #[test]
    fn lifting_again_starts_nothing_anew() {
        let all = told(&[(0, LIMIT), (100, NONE), (200, NONE), (2000, NONE)]);
        assert_eq!(all, [(0, LIMIT), (100, NONE), (1600, NONE), (3100, NONE), (4600, NONE)]);
    }

    #[test]
    fn limit_that_was_never_told_has_no_end_to_tell_of() {
        let (mut schedule, now) = (RembSchedule::default(), origin());
        schedule.set_limit(LIMIT);
        schedule.set_limit(NONE);
        assert_eq!(schedule.poll(now, None), None);
        schedule.set_limit(LIMIT);
        assert_eq!(schedule.poll(now, None), Some(LIMIT));
        schedule.set_limit(NONE);
        schedule.set_limit(LIMIT);
        schedule.set_limit(NONE);
        assert_eq!(schedule.poll(now, None), Some(NONE), "the first limit was told");
    }

    #[test]
    fn new_limit_ends_the_farewells() {
        let all = told(&[(0, LIMIT), (100, NONE), (200, LIMIT)]);
        assert_eq!(all[..4], [(0, LIMIT), (100, NONE), (200, LIMIT), (1700, LIMIT)]);
        assert!(all[2..].iter().all(|(_, limit)| *limit == LIMIT));
    }

    #[test]
    fn estimate_is_told_often_and_at_once_when_it_falls() {
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
    fn lower_of_limit_and_estimate_is_told() {
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
