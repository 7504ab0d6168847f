//! What the answers to requests for lost packets tell of their sender.

use std::time::Duration;

use crate::seq::RecentSet;

/// The shortest time that is believed; wake-ups and pacers are hardly finer.
const MIN_RTT: Duration = Duration::from_millis(10);
/// The longest.
const MAX_RTT: Duration = Duration::from_secs(1);
/// Second answers after which requests are said once for a while.
const MAX_SECOND_ANSWERS: u8 = 4;
/// The count of second answers is halved after so many first ones.
const ANSWERS_TO_FORGET: u8 = 32;

/// How long answers take, and whether a request that is said twice is answered twice.
#[derive(Debug, Default)]
pub(super) struct NackAnswers {
    rtt: Option<Duration>,
    /// What came after its request was said for the second time.
    asked_twice: RecentSet,
    second_answers: u8,
    answers: u8,
}

impl NackAnswers {
    /// The packet `seq` came so long after it was asked for first; `twice` says that this one request was said twice.
    ///
    /// The time counts from the first request also if there were more: were these packets left out (Karn's rule), a
    /// round trip that is longer than believed would never be noticed. Instead shorter times weigh more, so that packets
    /// that were lost again change little.
    pub(super) fn on_answer(&mut self, seq: u64, took: Duration, twice: bool) {
        let took = took.clamp(MIN_RTT, MAX_RTT);
        self.rtt = Some(match self.rtt {
            None => took,
            Some(rtt) if took < rtt => rtt - (rtt - took) / 4,
            Some(rtt) => rtt + (took - rtt) / 8,
        });
        if twice {
            self.asked_twice.insert(seq);
        }
        self.answers += 1;
        if self.answers == ANSWERS_TO_FORGET {
            self.answers = 0;
            self.second_answers /= 2;
        }
    }

    /// A packet came by RTX that was not missing any more.
    pub(super) fn on_duplicate(&mut self, seq: u64) {
        if self.asked_twice.contains(seq) {
            self.second_answers = self.second_answers.saturating_add(1);
        }
    }

    /// How long an answer takes, 10 ms to 1 s, once there was one.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Whether the sender answers a request again that it has answered just before.
    pub(super) fn come_twice(&self) -> bool {
        self.second_answers >= MAX_SECOND_ANSWERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn first_answer_tells_the_round_trip_and_later_ones_correct_it() {
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
            assert!(!answers.come_twice(), "only said once, or padding");
            answers.on_answer(seq, ms(100), true);
            answers.on_duplicate(seq);
        }
        assert!(answers.come_twice());
        for seq in 4..64 {
            answers.on_answer(seq, ms(100), false);
        }
        assert!(!answers.come_twice());
    }
}
