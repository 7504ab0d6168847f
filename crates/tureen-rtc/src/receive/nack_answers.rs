//! Statistics of a sender's responses to NACKs.

use std::time::Duration;

use crate::seq::RecentSet;

/// Lower bound of the round trip time, because wake-ups and pacers are hardly finer.
const MIN_RTT: Duration = Duration::from_millis(10);
/// Upper bound of the round trip time.
const MAX_RTT: Duration = Duration::from_secs(1);
/// Duplicate retransmissions after which NACKs are not repeated for a while.
const MAX_DUPLICATES: u8 = 4;
/// First retransmissions after which the count of duplicates is halved.
const ANSWERS_TO_HALVE: u8 = 32;

/// Response time of the sender, and whether it answers a repeated NACK twice.
#[derive(Debug, Default)]
pub(super) struct NackAnswers {
    rtt: Option<Duration>,
    /// Packets that arrived after their NACK was repeated.
    repeated: RecentSet,
    duplicates: u8,
    answers: u8,
}

impl NackAnswers {
    /// Records a retransmission of `seq`, `took` after its first NACK. `repeated`: this NACK was sent twice.
    ///
    /// The time counts from the first NACK also if there were more, because leaving those packets out (Karn's rule)
    /// would hide a round trip time longer than the estimate. Shorter times weigh more, so that packets lost twice
    /// change little.
    pub(super) fn on_answer(&mut self, seq: u64, took: Duration, repeated: bool) {
        let took = took.clamp(MIN_RTT, MAX_RTT);
        self.rtt = Some(match self.rtt {
            None => took,
            Some(rtt) if took < rtt => rtt - (rtt - took) / 4,
            Some(rtt) => rtt + (took - rtt) / 8,
        });
        if repeated {
            self.repeated.insert(seq);
        }
        self.answers += 1;
        if self.answers == ANSWERS_TO_HALVE {
            self.answers = 0;
            self.duplicates /= 2;
        }
    }

    /// Records an RTX packet that was not missing.
    pub(super) fn on_duplicate(&mut self, seq: u64) {
        if self.repeated.contains(seq) {
            self.duplicates = self.duplicates.saturating_add(1);
        }
    }

    /// Response time, 10 ms to 1 s, after the first retransmission.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// True if the sender retransmits again for a repeated NACK.
    pub(super) fn answers_repetition(&self) -> bool {
        self.duplicates >= MAX_DUPLICATES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn first_answer_measures_the_round_trip_and_later_ones_correct_it() {
        let mut answers = NackAnswers::default();
        assert_eq!(answers.rtt(), None);
        answers.on_answer(1, ms(300), false);
        assert_eq!(answers.rtt(), Some(ms(300)));
        for seq in 2..40 {
            answers.on_answer(seq, ms(40), false);
        }
        assert!(answers.rtt().is_some_and(|rtt| (ms(40)..ms(42)).contains(&rtt)), "{answers:?}");
        for seq in 40..80 {
            answers.on_answer(seq, ms(200), false);
        }
        assert!(answers.rtt().is_some_and(|rtt| (ms(190)..ms(200)).contains(&rtt)), "{answers:?}");
    }

    #[test]
    fn packets_that_were_lost_again_change_little() {
        let mut answers = NackAnswers::default();
        for seq in 0..200 {
            answers.on_answer(seq, if seq % 10 == 9 { ms(220) } else { ms(100) }, false);
        }
        assert!(answers.rtt().is_some_and(|rtt| (ms(100)..ms(120)).contains(&rtt)), "{answers:?}");
    }

    #[test]
    fn round_trip_stays_within_its_bounds() {
        let mut answers = NackAnswers::default();
        answers.on_answer(1, ms(0), false);
        assert_eq!(answers.rtt(), Some(MIN_RTT));
        let mut answers = NackAnswers::default();
        answers.on_answer(1, ms(60_000), false);
        assert_eq!(answers.rtt(), Some(MAX_RTT));
    }

    #[test]
    fn sender_that_answers_twice_is_noticed_and_tried_again_later() {
        let mut answers = NackAnswers::default();
        for seq in 0..4 {
            answers.on_duplicate(seq);
            assert!(!answers.answers_repetition(), "only said once, or padding");
            answers.on_answer(seq, ms(100), true);
            answers.on_duplicate(seq);
        }
        assert!(answers.answers_repetition());
        for seq in 4..64 {
            answers.on_answer(seq, ms(100), false);
        }
        assert!(!answers.answers_repetition());
    }
}
