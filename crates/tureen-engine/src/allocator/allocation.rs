//! One allocation: candidates of a transport's consumers, and the layers that their steps stand for.

use std::time::Instant;

use super::{Candidate, OperatingPoint, UpgradeBackoff, share};
use crate::keys::ConsumerKey;
use crate::media::layers::Layers;
use tureen_rtc::bwe::Budget;
use tureen_rtc::units::Bitrate;

/// What a stream takes on the link, relative to its own bitrate: headers below RTP, and SRTP's tag.
const OVERHEAD: f64 = 1.04;

/// See the [module documentation](self). Its memory is used again by the next allocation.
#[derive(Debug, Default)]
pub(crate) struct Allocation {
    candidates: Vec<Candidate>,
    /// Consumer of each candidate, and where the operating point of its second step is.
    owners: Vec<(ConsumerKey, usize)>,
    /// Operating points of all candidates.
    points: Vec<OperatingPoint>,
}

/// What an allocation means for one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Layers to send from now on.
    pub(crate) target: Option<Layers>,
    /// Layers of the step before and after, not reduced: to be reduced is no step down.
    pub(crate) before: Option<Layers>,
    pub(crate) after: Option<Layers>,
    /// It was downgraded although it wants more.
    pub(crate) in_need: bool,
}

impl Allocation {
    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.candidates.clear();
        self.owners.clear();
        self.points.clear();
    }

    /// Adds a consumer without layers to choose from. `bitrate` is that of its Producer, because a consumer that has just
    /// begun has sent nothing yet, or a few packets at once, which would count as a high rate and leave nothing for others.
    /// Returns its price.
    pub(crate) fn add_fixed(&mut self, key: ConsumerKey, bitrate: Bitrate) -> Bitrate {
        let price = bitrate * OVERHEAD;
        let mut candidate = Candidate::default();
        candidate.prices.push(price);
        self.candidates.push(candidate);
        self.owners.push((key, self.points.len()));
        price
    }

    /// Adds a consumer that can run at the operating points that `list` appends.
    pub(crate) fn add_layered(
        &mut self,
        now: Instant,
        key: ConsumerKey,
        weight: u8,
        current: Option<Layers>,
        backoff: &UpgradeBackoff,
        list: impl FnOnce(&mut Vec<OperatingPoint>),
    ) {
        let first = self.points.len();
        list(&mut self.points);
        let points = &self.points[first..];
        let mut candidate = Candidate { weight, ..Candidate::default() };
        candidate.prices.push(Bitrate::ZERO);
        candidate.prices.extend(points.iter().map(|point| point.bitrate * OVERHEAD));
        candidate.reduced_prices.push(Bitrate::ZERO);
        candidate.reduced_prices.extend(points.iter().map(|point| point.reduced * OVERHEAD));
        let is_at = |target: Layers, reduced| points.iter().position(|point| point.layers(reduced) == target);
        candidate.current = match current {
            Some(target) => is_at(target, false).or_else(|| is_at(target, true)).map(|at| at + 1),
            None => backoff.was_downgraded().then_some(0),
        };
        candidate.may_climb = match candidate.current {
            Some(0) => backoff.may_start(now),
            _ => backoff.may_upgrade(now),
        };
        self.candidates.push(candidate);
        self.owners.push((key, first));
    }

    /// Price of a bitrate on the link.
    pub(crate) fn price(bitrate: Bitrate) -> Bitrate {
        bitrate * OVERHEAD
    }

    /// Shares `budget`; `round` decides which of equal candidates is first.
    pub(crate) fn share(&mut self, budget: Budget, round: usize) {
        share(budget, &mut self.candidates, round);
    }

    /// Whether any consumer can choose.
    pub(crate) fn has_layers(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.prices.len() > 1)
    }

    /// Sum of what was allocated.
    pub(crate) fn given(&self) -> Bitrate {
        let prices = self.candidates.iter().filter_map(|candidate| candidate.prices.get(candidate.step));
        prices.fold(Bitrate::ZERO, |sum, &price| sum + price)
    }

    /// Candidates, in the order in which they were added.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = (usize, ConsumerKey)> {
        self.owners.iter().enumerate().map(|(index, &(key, _))| (index, key))
    }

    /// What the candidate at `index` is to do, if that is another thing than `current`.
    pub(crate) fn verdict(&self, index: usize, current: Option<Layers>) -> Option<Verdict> {
        let candidate = &self.candidates[index];
        let (_, first) = self.owners[index];
        let layers_of = |step: usize, reduced| {
            step.checked_sub(1).map(|point| self.points[first + point].layers(reduced))
        };
        let target = layers_of(candidate.step, candidate.reduced);
        if target == current {
            return None;
        }
        let before = candidate.current.map_or(current, |step| layers_of(step, false));
        let after = layers_of(candidate.step, false);
        // A consumer that wants no more was not made to go down.
        let in_need = after < before && candidate.step + 1 < candidate.prices.len();
        Some(Verdict { target, before, after, in_need })
    }
}
