//! Allocation of a step to each candidate.

use smallvec::SmallVec;

use tureen_rtc::bwe::Budget;
use tureen_rtc::units::Bitrate;

/// Fraction of its price that a step above the current one costs, because a probe aims a little below the capacity that
/// it finds.
const CLIMB: f64 = 0.98;
/// Fraction of its price that the current step costs. The estimate decreases to this fraction at an overuse, which
/// alone must not cause a downgrade.
const STAY: f64 = 0.85;

/// Prices of a consumer's steps, least preferred first, usually rising.
pub type Prices = SmallVec<[Bitrate; 12]>;

/// Consumer that takes part in an allocation.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// Weight relative to other candidates (mediasoup: priority). Zero excludes the candidate.
    pub weight: u8,
    /// Prices of the steps. The first one is always paid.
    pub prices: Prices,
    /// Prices of the steps without their highest temporal layer; equal to `prices` where there is only one.
    pub reduced_prices: Prices,
    /// Current step, if one was ever allocated.
    pub current: Option<usize>,
    /// False while a failed upgrade forbids another one.
    pub may_climb: bool,
    /// Allocated step.
    pub step: usize,
    /// True if the step is allocated without its highest temporal layer.
    pub reduced: bool,
}

impl Candidate {
    /// Climbs one step if `bitrate` covers the price. Returns the rest, which is more than `bitrate` if the next step
    /// is cheaper.
    fn climb_once(&mut self, bitrate: Bitrate) -> Option<Bitrate> {
        let next = self.step + 1;
        let blocked = !self.may_climb && self.current.is_some_and(|current| next > current);
        if blocked || next >= self.prices.len() {
            return None;
        }
        let (held, price) = (self.price(self.step), self.price(next));
        (price <= bitrate + held).then(|| {
            self.step = next;
            bitrate + held - price
        })
    }

    /// Climbs as far as `bitrate` permits. Returns the rest.
    fn climb(&mut self, mut bitrate: Bitrate) -> Bitrate {
        while let Some(left) = self.climb_once(bitrate) {
            bitrate = left;
        }
        bitrate
    }

    fn price(&self, step: usize) -> Bitrate {
        let price = self.prices.get(step).copied().unwrap_or_default();
        match self.current {
            Some(current) if step > current => price * CLIMB,
            Some(current) if step == current => price * STAY,
            _ => price,
        }
    }
}

/// Picks a step for each candidate, by the capacity of the path. If the candidates, even reduced, exceed the bitrate
/// that may be sent while a queue drains, the steps are picked by the target instead. If no candidate gets more than
/// nothing, one gets its first step on trial.
pub fn share(budget: Budget, candidates: &mut [Candidate], round: usize) {
    allocate(budget.carries, candidates, round);
    if budget.draining.is_some_and(|draining| !reduce(draining, candidates)) {
        allocate(budget.target, candidates, round);
    }
    try_one(budget.trial, candidates);
}

/// Gives the heaviest candidate its first step if no candidate has any, the price is at most `trial`, and no recent
/// downgrade forbids it. A candidate that already sends takes precedence.
fn try_one(trial: Bitrate, candidates: &mut [Candidate]) {
    let takes_part = |candidate: &Candidate| candidate.weight > 0 && candidate.prices.len() > 1;
    if candidates.iter().any(|candidate| takes_part(candidate) && candidate.step > 0) {
        return;
    }
    let sends = |candidate: &Candidate| candidate.current.is_some_and(|current| current > 0);
    let eligible = candidates.iter_mut().filter(|candidate| {
        takes_part(candidate)
            && (candidate.may_climb || candidate.current != Some(0))
            && candidate.prices[1] <= trial
    });
    // `max_by_key` returns the last maximum, so the reversed order gives the first one.
    let best = eligible.rev().max_by_key(|candidate| (sends(candidate), candidate.weight));
    if let Some(best) = best {
        best.step = 1;
    }
}

/// Picks a step for each candidate. Candidates of equal weight take turns at being first, by `round`.
fn allocate(available: Bitrate, candidates: &mut [Candidate], round: usize) {
    let mut left = available;
    let mut order: SmallVec<[usize; 32]> = SmallVec::new();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        (candidate.step, candidate.reduced) = (0, false);
        left = left - candidate.price(0);
        if candidate.weight > 0 && candidate.prices.len() > 1 {
            order.push(index);
        }
    }
    order.sort_by_key(|&index| std::cmp::Reverse(candidates[index].weight));
    for group in order.chunk_by_mut(|&a, &b| candidates[a].weight == candidates[b].weight) {
        group.rotate_left(round % group.len());
    }

    for &index in &order {
        left = candidates[index].climb_once(left).unwrap_or(left);
    }
    let weights: u64 = order.iter().map(|&index| u64::from(candidates[index].weight)).sum();
    loop {
        let before = left;
        for &index in &order {
            let candidate = &mut candidates[index];
            let share = Bitrate::bps(
                (u128::from(before.as_bps()) * u128::from(candidate.weight) / u128::from(weights)) as u64,
            );
            left = left - share + candidate.climb(share);
        }
        if left == before {
            // A share may be too small for a step that the whole rest covers.
            for &index in &order {
                left = candidates[index].climb(left);
            }
        }
        if left == before {
            return;
        }
    }
}

/// Reduces the candidates, in ascending order of weights, until their steps cost no more than `available`. Returns
/// false if that is not enough.
fn reduce(available: Bitrate, candidates: &mut [Candidate]) -> bool {
    let full = |candidate: &Candidate| candidate.prices.get(candidate.step).copied().unwrap_or_default();
    let mut cost = candidates.iter().map(full).fold(Bitrate::ZERO, |sum, price| sum + price);
    let mut order: SmallVec<[usize; 32]> = (0..candidates.len()).collect();
    order.sort_by_key(|&index| candidates[index].weight);
    for index in order {
        if cost <= available {
            break;
        }
        let candidate = &mut candidates[index];
        let full = full(candidate);
        let reduced = candidate.reduced_prices.get(candidate.step).copied().unwrap_or(full);
        if reduced < full {
            candidate.reduced = true;
            cost = cost - full + reduced;
        }
    }
    cost <= available
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(weight: u8, kbps: &[u64]) -> Candidate {
        let prices = std::iter::once(0).chain(kbps.iter().copied()).map(Bitrate::kbps).collect();
        Candidate { weight, prices, may_climb: true, ..Candidate::default() }
    }

    fn steps(available: u64, candidates: &mut [Candidate]) -> Vec<usize> {
        allocate(Bitrate::kbps(available), candidates, 0);
        candidates.iter().map(|candidate| candidate.step).collect()
    }

    #[test]
    fn every_consumer_gets_a_layer_before_any_gets_more() {
        let mut all = [1, 1, 255].map(|weight| candidate(weight, &[100, 400, 1200]));
        assert_eq!(steps(300, &mut all), [1, 1, 1]);
        assert_eq!(steps(250, &mut all), [1, 0, 1], "the heaviest first");
        assert_eq!(steps(3600, &mut all), [3, 3, 3]);
        assert_eq!(steps(0, &mut all), [0, 0, 0]);
    }

    #[test]
    fn remaining_bitrate_is_shared_by_weight() {
        let mut all = [1, 2, 6].map(|weight| candidate(weight, &[100, 400, 1200]));
        assert_eq!(steps(1800, &mut all), [1, 2, 3]);
        assert_eq!(steps(1000, &mut all), [1, 2, 2], "what one can't use is offered to the next");
    }

    #[test]
    fn fixed_bitrates_are_subtracted_first() {
        let mut all = [
            Candidate { prices: Prices::from_slice(&[Bitrate::kbps(300)]), ..Candidate::default() },
            candidate(1, &[100, 400]),
        ];
        assert_eq!(steps(500, &mut all), [0, 1]);
        assert_eq!(steps(700, &mut all), [0, 2]);
        assert_eq!(steps(100, &mut all), [0, 0]);
    }

    #[test]
    fn without_weight_nothing_is_given() {
        assert_eq!(steps(500, &mut [candidate(0, &[100])]), [0]);
        assert!(steps(500, &mut []).is_empty());
    }

    #[test]
    fn small_changes_of_cost_or_bitrate_change_no_layer() {
        let mut all = [candidate(1, &[100, 400, 1200])];
        all[0].current = Some(2);
        assert_eq!(steps(345, &mut all), [2], "stays for a little less");
        assert_eq!(steps(1170, &mut all), [2], "that is too little");
        assert_eq!(steps(1180, &mut all), [3]);
        assert_eq!(steps(335, &mut all), [1]);
    }

    #[test]
    fn while_a_queue_drains_the_lightest_is_reduced_first() {
        let mut all = [1, 2].map(|weight| Candidate {
            reduced_prices: [0, 60, 240].map(Bitrate::kbps).into_iter().collect(),
            ..candidate(weight, &[100, 400])
        });
        let mut given = |target, carries, draining| {
            let draining = Some(Bitrate::kbps(draining));
            let (target, carries) = (Bitrate::kbps(target), Bitrate::kbps(carries));
            let budget = Budget { target, carries, draining, trial: target };
            share(budget, &mut all, 0);
            [0, 1].map(|index| (all[index].step, all[index].reduced))
        };
        assert_eq!(given(800, 800, 800), [(2, false), (2, false)]);
        assert_eq!(given(680, 800, 650), [(2, true), (2, false)]);
        assert_eq!(given(600, 800, 500), [(2, true), (2, true)]);
        assert_eq!(given(450, 800, 400), [(1, false), (1, false)], "not enough: down by the target");
    }

    #[test]
    fn one_consumer_is_tried_if_none_would_fit() {
        let given = |trial, candidates: &mut [Candidate]| {
            let budget = Budget { trial: Bitrate::kbps(trial), ..Budget::lasting(Bitrate::kbps(5)) };
            share(budget, candidates, 1);
            candidates.iter().map(|candidate| candidate.step).collect::<Vec<_>>()
        };
        let mut all = [1, 4, 4].map(|weight| candidate(weight, &[100, 400, 1200]));
        assert_eq!(given(1000, &mut all), [0, 1, 0], "the heaviest, and one step only");
        assert_eq!(given(99, &mut all), [0, 0, 0], "something says that it does not fit");
        all[0].current = Some(1);
        assert_eq!(given(1000, &mut all), [1, 0, 0], "who sends already");
        for candidate in &mut all {
            (candidate.current, candidate.may_climb) = (Some(0), false);
        }
        assert_eq!(given(1000, &mut all), [0, 0, 0], "not while they wait after a fall");
        assert!(given(1000, &mut []).is_empty());
    }

    #[test]
    fn lasting_target_reduces_no_consumer() {
        let mut all = [candidate(1, &[100, 400])];
        all[0].reduced_prices = Prices::from_slice(&[Bitrate::ZERO, Bitrate::kbps(60), Bitrate::kbps(240)]);
        all[0].current = Some(2);
        share(Budget::lasting(Bitrate::kbps(345)), &mut all, 0);
        assert_eq!((all[0].step, all[0].reduced), (2, false));
    }

    #[test]
    fn consumer_that_may_not_upgrade_keeps_its_layer() {
        let mut all = [candidate(1, &[100, 400, 1200])];
        (all[0].current, all[0].may_climb) = (Some(1), false);
        assert_eq!(steps(5000, &mut all), [1]);
        all[0].may_climb = true;
        assert_eq!(steps(5000, &mut all), [3]);
    }

    #[test]
    fn equal_consumers_are_upgraded_in_turn() {
        let mut all = [1, 1].map(|weight| candidate(weight, &[100]));
        let mut first = |round| {
            allocate(Bitrate::kbps(150), &mut all, round);
            all.iter().position(|candidate| candidate.step == 1)
        };
        assert_eq!([first(0), first(1), first(2)], [Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn cheaper_higher_layer_is_free() {
        assert_eq!(steps(400, &mut [candidate(1, &[400, 300, 350])]), [3]);
    }
}
