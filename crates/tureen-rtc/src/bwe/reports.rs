//! Bandwidth estimate without transport-wide feedback, from REMB and from the loss in receiver reports (the older half
//! of libwebrtc's send-side estimation).

use std::collections::VecDeque;

use super::Micros;
use crate::units::Bitrate;

/// Loss up to which the estimate grows, and loss above which it falls.
const LOW_LOSS: f64 = 0.02;
const HIGH_LOSS: f64 = 0.1;
/// Growth per second over the lowest estimate of the last second.
const GROWTH: f64 = 1.08;
const GROWTH_BPS: Bitrate = Bitrate::kbps(1);
const GROWTH_WINDOW: Micros = 1_000_000;
/// Packets that reports must cover; smaller reports are accumulated.
const MIN_PACKETS: u64 = 20;
/// Interval between decreases, in addition to a round trip.
const DECREASE_INTERVAL: Micros = 300_000;
/// Lifetime of a receiver report.
const MAX_REPORT_AGE: Micros = 6_000_000;
/// Start phase in which REMB raises the estimate at once.
const START: Micros = 2_000_000;
/// Lifetime of a REMB. Receivers repeat REMB about each second, and at most some seconds apart, while media arrives.
const REMB_LIFETIME: Micros = 10_000_000;
/// Bound of the memory; entries are added by reports and by the controller's timer.
const MAX_LOWEST: usize = 64;

#[derive(Debug)]
pub(crate) struct ReportBased {
    initial: Bitrate,
    estimate: Bitrate,
    remb: Option<(Micros, Bitrate)>,
    /// Minima of the estimate over the last second, ascending.
    lowest: VecDeque<(Micros, Bitrate)>,
    first_report: Option<Micros>,
    last_report: Option<Micros>,
    /// Time of the last report that confirmed packets.
    heard_at: Option<Micros>,
    lost: u64,
    expected: u64,
    loss: f64,
    decreased_at: Option<Micros>,
    may_decrease: bool,
    rtt: Micros,
}

impl ReportBased {
    pub(super) fn new(initial: Bitrate) -> Self {
        Self {
            initial,
            estimate: initial,
            remb: None,
            lowest: VecDeque::new(),
            first_report: None,
            last_report: None,
            heard_at: None,
            lost: 0,
            expected: 0,
            loss: 0.0,
            decreased_at: None,
            may_decrease: false,
            rtt: 0,
        }
    }

    /// Restarts from another part's estimate.
    pub(super) fn restart(&mut self, estimate: Bitrate) {
        self.estimate = estimate;
        self.lowest.clear();
    }

    /// The estimate, bounded by REMB.
    pub(super) fn estimate(&self, now: Micros) -> Bitrate {
        self.remb(now).map_or(self.estimate, |remb| remb.min(self.estimate))
    }

    /// The last REMB within its lifetime.
    pub(super) fn remb(&self, now: Micros) -> Option<Bitrate> {
        self.remb.filter(|(at, _)| now - at <= REMB_LIFETIME).map(|(_, remb)| remb)
    }

    /// Time of the last report that confirmed packets.
    pub(super) fn heard_at(&self) -> Option<Micros> {
        self.heard_at
    }

    /// True when recent reports show more loss than the estimate tolerates.
    pub(crate) fn is_lossy(&self, now: Micros) -> bool {
        self.loss > HIGH_LOSS && self.last_report.is_some_and(|last| now - last < MAX_REPORT_AGE)
    }

    pub(super) fn set_rtt(&mut self, rtt: Micros) {
        self.rtt = rtt;
    }

    /// Handles a REMB; zero means unbounded.
    pub(super) fn on_remb(&mut self, now: Micros, bitrate: Bitrate) {
        self.remb = (!bitrate.is_zero()).then_some((now, bitrate));
        if self.first_report.is_none_or(|first| now - first < START) && self.loss == 0.0 {
            self.estimate = self.estimate.max(bitrate);
        }
    }

    /// Handles the loss of reports since the last ones.
    pub(crate) fn on_loss(&mut self, now: Micros, lost: u64, expected: u64) {
        self.first_report.get_or_insert(now);
        if expected > 0 {
            self.heard_at = Some(now);
        }
        self.lost += lost;
        self.expected += expected;
        if self.expected < MIN_PACKETS {
            return;
        }
        self.loss = self.lost.min(self.expected) as f64 / self.expected as f64;
        (self.lost, self.expected) = (0, 0);
        self.last_report = Some(now);
        self.may_decrease = true;
    }

    /// Moves the estimate within its bounds.
    pub(super) fn update(&mut self, now: Micros, min: Bitrate, max: Bitrate) {
        self.forget(now);
        while self.lowest.front().is_some_and(|&(at, _)| now - at >= GROWTH_WINDOW) {
            self.lowest.pop_front();
        }
        while self.lowest.back().is_some_and(|&(_, lowest)| lowest >= self.estimate)
            || self.lowest.len() >= MAX_LOWEST
        {
            self.lowest.pop_back();
        }
        self.lowest.push_back((now, self.estimate));

        if self.last_report.is_some_and(|last| now - last < MAX_REPORT_AGE) {
            if self.loss <= LOW_LOSS {
                let lowest = self.lowest.front().map_or(self.estimate, |&(_, lowest)| lowest);
                let grown = lowest * GROWTH + GROWTH_BPS;
                // Growth beyond the REMB would have to be undone.
                let bound = self.remb(now).map_or(grown, |remb| grown.min(remb.max(self.estimate)));
                self.estimate = self.estimate.max(bound);
            } else if self.loss > HIGH_LOSS
                && std::mem::take(&mut self.may_decrease)
                && self.decreased_at.is_none_or(|at| now - at >= DECREASE_INTERVAL + self.rtt)
            {
                self.decreased_at = Some(now);
                self.estimate = self.estimate * (1.0 - 0.5 * self.loss);
            }
        }
        self.estimate = self.estimate.min(max).max(min);
    }

    /// Resets the estimate once all reports are old, because an estimate that stops media would stop the reports that
    /// raise it.
    fn forget(&mut self, now: Micros) {
        let is_old = |at: Option<Micros>, age| at.is_none_or(|at| now - at > age);
        let forgotten = self.first_report.is_some() && is_old(self.heard_at, MAX_REPORT_AGE);
        if forgotten && self.remb(now).is_none() {
            (self.first_report, self.loss) = (None, 0.0);
            if self.estimate < self.initial {
                self.restart(self.initial);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    fn run(reports: &mut ReportBased, from: Micros, seconds: i64, lost: u64) {
        for i in 0..seconds * 10 {
            let now = from + i * SECOND / 10;
            if i % 10 == 0 {
                reports.on_loss(now, lost, 100);
            }
            reports.update(now, Bitrate::kbps(5), Bitrate::mbps(100));
        }
    }

    #[test]
    fn remb_sets_the_first_estimate_and_limits_later_ones() {
        let mut reports = ReportBased::new(Bitrate::kbps(600));
        reports.on_remb(0, Bitrate::kbps(2000));
        reports.update(0, Bitrate::kbps(5), Bitrate::mbps(100));
        assert_eq!(reports.estimate(0), Bitrate::kbps(2000));
        run(&mut reports, SECOND, 5, 0);
        reports.on_remb(6 * SECOND, Bitrate::kbps(500));
        assert_eq!(reports.estimate(6 * SECOND), Bitrate::kbps(500));
        reports.on_remb(7 * SECOND, Bitrate::ZERO);
        assert!(reports.estimate(7 * SECOND) >= Bitrate::kbps(2000), "no bound");
    }

    #[test]
    fn little_loss_increases_the_estimate_by_eight_percent_per_second() {
        let mut reports = ReportBased::new(Bitrate::kbps(1000));
        run(&mut reports, 0, 10, 1);
        let estimate = reports.estimate(20 * SECOND);
        assert!(estimate > Bitrate::kbps(1900) && estimate < Bitrate::kbps(2300), "{estimate}");
    }

    #[test]
    fn some_loss_keeps_the_estimate_and_much_loss_lowers_it() {
        let mut reports = ReportBased::new(Bitrate::kbps(1000));
        run(&mut reports, 0, 10, 5);
        assert_eq!(reports.estimate(20 * SECOND), Bitrate::kbps(1000));
        run(&mut reports, 10 * SECOND, 1, 20);
        assert_eq!(reports.estimate(20 * SECOND), Bitrate::kbps(900));
    }

    #[test]
    fn estimate_of_the_receiver_ends_unless_it_is_repeated() {
        let mut reports = ReportBased::new(Bitrate::kbps(1000));
        run(&mut reports, 0, 3, 0);
        reports.on_remb(3 * SECOND, Bitrate::kbps(50));
        assert_eq!(reports.estimate(13 * SECOND), Bitrate::kbps(50));
        assert!(reports.estimate(14 * SECOND) >= Bitrate::kbps(1000));
    }

    #[test]
    fn estimate_restarts_when_all_reports_are_old() {
        let mut reports = ReportBased::new(Bitrate::kbps(600));
        run(&mut reports, 0, 60, 90);
        let low = reports.estimate(59 * SECOND);
        assert!(low < Bitrate::kbps(50) && reports.is_lossy(59 * SECOND), "{low}");
        let update = |reports: &mut ReportBased, at| reports.update(at, Bitrate::kbps(5), Bitrate::mbps(100));
        reports.on_remb(60 * SECOND, Bitrate::kbps(20));
        update(&mut reports, 66 * SECOND);
        assert_eq!(reports.estimate(66 * SECOND), low, "the receiver still speaks");
        update(&mut reports, 71 * SECOND);
        assert_eq!(reports.estimate(71 * SECOND), Bitrate::kbps(600));
        assert!(!reports.is_lossy(71 * SECOND));
        reports.on_remb(71 * SECOND, Bitrate::kbps(1500));
        assert_eq!(reports.estimate(71 * SECOND), Bitrate::kbps(1500), "believed at once, as at the start");
    }

    #[test]
    fn old_reports_change_nothing() {
        let mut reports = ReportBased::new(Bitrate::kbps(1000));
        run(&mut reports, 0, 1, 0);
        let before = reports.estimate(SECOND);
        for i in 0..100 {
            reports.update(10 * SECOND + i * 100_000, Bitrate::kbps(5), Bitrate::mbps(100));
        }
        assert_eq!(reports.estimate(20 * SECOND), before);
    }
}
