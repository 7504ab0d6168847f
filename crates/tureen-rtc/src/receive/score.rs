//! Score of an incoming RTP stream, from 0 (nothing arrives) to 10 (mediasoup: `RtpStreamRecv::UpdateScore`).

use std::collections::VecDeque;

/// The best score.
pub const MAX_SCORE: u8 = 10;

/// Samples in the weighted average (mediasoup: `ScoreHistogramLength`).
const HISTOGRAM_LENGTH: usize = 24;

/// Running totals of a stream's packets. None of them ever decreases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScoreTotals {
    /// Packets expected by sequence number.
    pub expected: u64,
    /// Packets received, without packets repaired by RTX.
    pub received: u64,
    /// Missing packets that RTX or reordering repaired.
    pub repaired: u64,
    /// Retransmitted packets received.
    pub retransmitted: u64,
}

/// A change of the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreChange {
    /// New score.
    pub score: u8,
    /// Previous score.
    pub(crate) previous: u8,
}

/// The score of one stream: a weighted average of its last 24 samples, in which newer samples weigh more.
#[derive(Clone, Debug)]
pub struct Score {
    score: u8,
    samples: VecDeque<u8>,
    prior: ScoreTotals,
}

impl Score {
    /// A score without samples; receivers start at 10.
    pub fn new(initial: u8) -> Self {
        Self {
            score: initial,
            samples: VecDeque::with_capacity(HISTOGRAM_LENGTH),
            prior: ScoreTotals::default(),
        }
    }

    /// The score, 0 to 10.
    pub fn score(&self) -> u8 {
        self.score
    }

    /// Ends the interval since the last update (mediasoup does so at each RTCP sender report) and returns the change,
    /// if any.
    ///
    /// `inactive`: the stream has stopped, so that its score was reset and the interval is no sample.
    pub fn update(&mut self, totals: ScoreTotals, has_rtx: bool, inactive: bool) -> Option<ScoreChange> {
        let interval = ScoreTotals {
            expected: totals.expected.saturating_sub(self.prior.expected),
            received: totals.received.saturating_sub(self.prior.received),
            repaired: totals.repaired.saturating_sub(self.prior.repaired),
            retransmitted: totals.retransmitted.saturating_sub(self.prior.retransmitted),
        };
        self.prior = totals;
        if inactive { None } else { self.add_sample(interval_score(interval, has_rtx)) }
    }

    /// Adds a sample (0 to 10) and returns the change, if any.
    pub(crate) fn add_sample(&mut self, sample: u8) -> Option<ScoreChange> {
        if self.samples.len() == HISTOGRAM_LENGTH {
            self.samples.pop_front();
        }
        self.samples.push_back(sample.min(MAX_SCORE));
        self.change_to(weighted_average(&self.samples))
    }

    /// Drops all samples and restarts at `score`: 0 when the stream stops, 10 when it resumes.
    pub fn reset(&mut self, score: u8) -> Option<ScoreChange> {
        self.samples.clear();
        self.change_to(score)
    }

    fn change_to(&mut self, score: u8) -> Option<ScoreChange> {
        let previous = std::mem::replace(&mut self.score, score);
        (score != previous).then_some(ScoreChange { score, previous })
    }
}

/// Score of one interval: the fourth power of the share of delivered packets. A repaired packet counts less the more
/// repairs and useless retransmissions it took.
pub(crate) fn interval_score(interval: ScoreTotals, has_rtx: bool) -> u8 {
    let ScoreTotals { expected, received, mut repaired, mut retransmitted } = interval;
    if expected == 0 {
        return MAX_SCORE;
    }
    if received == 0 {
        return 0;
    }
    let mut lost = expected.saturating_sub(received).min(received);
    if repaired > lost {
        if has_rtx {
            // Packets repaired but not lost in this interval belong to the previous one.
            retransmitted = retransmitted.saturating_sub(repaired - lost);
            repaired = lost;
        } else {
            lost = repaired.min(received);
        }
    }
    let received = received as f64;
    let repaired = repaired as f64;
    let mut repaired_weight = (1.0 / (repaired / received + 1.0)).powi(4);
    if retransmitted > 0 {
        repaired_weight *= (repaired / retransmitted as f64).min(1.0);
    }
    let lost = (lost as f64 - repaired * repaired_weight).max(0.0).trunc();
    let delivered = (received - lost) / received;
    (delivered.powi(4) * f64::from(MAX_SCORE)).round() as u8
}

/// The oldest sample has weight 1, the next one 2 and so on.
fn weighted_average(samples: &VecDeque<u8>) -> u8 {
    let (total, weights) = samples.iter().zip(1u32..).fold((0, 0), |(total, weights), (&sample, weight)| {
        (total + weight * u32::from(sample), weights + weight)
    });
    (f64::from(total) / f64::from(weights)).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interval(expected: u64, received: u64, repaired: u64, retransmitted: u64) -> ScoreTotals {
        ScoreTotals { expected, received, repaired, retransmitted }
    }

    #[test]
    fn interval_without_loss_is_perfect() {
        assert_eq!(interval_score(interval(100, 100, 0, 0), true), 10);
        assert_eq!(interval_score(interval(0, 0, 0, 0), true), 10, "nothing was expected");
        assert_eq!(interval_score(interval(100, 120, 0, 0), true), 10, "duplicates");
    }

    #[test]
    fn interval_without_arrivals_is_zero() {
        assert_eq!(interval_score(interval(100, 0, 0, 0), true), 0);
        assert_eq!(interval_score(interval(100, 30, 0, 0), true), 0, "more lost than received");
    }

    #[test]
    fn loss_costs_by_the_fourth_power() {
        // 10 of 90 lost: (80/90)^4 = 0.62.
        assert_eq!(interval_score(interval(100, 90, 0, 0), true), 6);
        // Half: 33 of 67 lost, (34/67)^4 = 0.066.
        assert_eq!(interval_score(interval(100, 67, 0, 0), true), 1);
    }

    #[test]
    fn repair_makes_up_for_loss_the_better_the_fewer_retransmissions_it_took() {
        let unrepaired = interval_score(interval(100, 90, 0, 0), true);
        let dear = interval_score(interval(100, 90, 10, 40), true);
        let cheap = interval_score(interval(100, 90, 10, 10), true);
        assert!(unrepaired < dear && dear < cheap, "{unrepaired} {dear} {cheap}");
        // Weight (1/(1/9+1))^4 = 0.656, so 3 of 90 lost: (87/90)^4 = 0.87.
        assert_eq!(cheap, 9);
    }

    #[test]
    fn repair_of_an_earlier_interval_is_discounted() {
        assert_eq!(interval_score(interval(100, 100, 5, 5), true), 10);
        // Without RTX the repaired packets are among the received ones, so they had been lost.
        assert_eq!(interval_score(interval(100, 100, 5, 5), false), 10);
        // Weight (1/1.5)^4 * 50/100 = 0.099, so 45 of 100 lost: 0.55^4 = 0.09.
        assert_eq!(interval_score(interval(100, 100, 50, 100), false), 1);
    }

    #[test]
    fn newer_samples_weigh_more() {
        let mut score = Score::new(10);
        for sample in [1, 2, 3] {
            score.add_sample(sample);
        }
        // (1 + 2*2 + 3*3 + 4*4) / 10 = 3.
        assert_eq!(score.add_sample(4), Some(ScoreChange { score: 3, previous: 2 }));
        assert_eq!(score.add_sample(3), None, "no change is not told");
    }

    #[test]
    fn samples_older_than_the_histogram_are_forgotten() {
        let mut score = Score::new(10);
        for _ in 0..24 {
            score.add_sample(0);
        }
        assert_eq!(score.score(), 0);
        for _ in 0..24 {
            score.add_sample(10);
        }
        assert_eq!(score.score(), 10);
        assert_eq!(score.samples.len(), 24);
    }

    #[test]
    fn updates_take_the_difference_of_totals() {
        let mut score = Score::new(10);
        assert_eq!(score.update(interval(100, 100, 0, 0), true, false), None);
        assert!(score.update(interval(200, 110, 0, 0), true, false).is_some_and(|change| change.score < 5));
    }

    #[test]
    fn inactive_stream_takes_no_samples_but_closes_intervals() {
        let mut score = Score::new(10);
        assert_eq!(score.reset(0), Some(ScoreChange { score: 0, previous: 10 }));
        assert_eq!(score.update(interval(100, 0, 0, 0), true, true), None);
        assert_eq!(score.reset(10), Some(ScoreChange { score: 10, previous: 0 }));
        assert_eq!(score.update(interval(200, 100, 0, 0), true, false), None, "still 10");
        assert_eq!(score.reset(10), None);
    }

    proptest! {
        #[test]
        fn any_totals_give_a_score(
            expected in any::<u32>(),
            received in any::<u32>(),
            repaired in any::<u32>(),
            retransmitted in any::<u32>(),
            has_rtx in any::<bool>(),
        ) {
            let totals = interval(expected.into(), received.into(), repaired.into(), retransmitted.into());
            prop_assert!(interval_score(totals, has_rtx) <= MAX_SCORE);
        }
    }
}
