//! One allocation: the candidates of a transport's consumers, and the layers of their steps.

use std::time::Instant;

use super::{Candidate, OperatingPoint, UpgradeBackoff, share};
use crate::keys::ConsumerKey;
use crate::media::layers::Layers;
use tureen_rtc::bwe::Budget;
use tureen_rtc::units::Bitrate;

/// Bitrate of a stream on the link, relative to its RTP bitrate: headers below RTP, and SRTP's tag.
const OVERHEAD: f64 = 1.04;

/// See the [module documentation](self). The next allocation reuses the memory.
#[derive(Debug, Default)]
pub(crate) struct Allocation {
    candidates: Vec<Candidate>,
    /// Consumer of each candidate, and index of the operating point of its second step.
    owners: Vec<(ConsumerKey, usize)>,
    /// Operating points of all candidates.
    points: Vec<OperatingPoint>,
}

/// Result of an allocation for one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Layers to send from now on.
    pub(crate) target: Option<Layers>,
    /// Layers of the steps before and after, not reduced, because a reduction is not a downgrade.
    pub(crate) before: Option<Layers>,
    pub(crate) after: Option<Layers>,
    /// True if the consumer was downgraded below its highest step.
    pub(crate) in_need: bool,
}

impl Allocation {
    /// Removes all candidates.
    pub(crate) fn clear(&mut self) {
        self.candidates.clear();
        self.owners.clear();
        self.points.clear();
    }

    /// Adds a consumer without layers. `bitrate` is that of its Producer, because the consumer's own bitrate is
    /// misleading after its start: it has sent nothing yet, or a few packets at once, which count as a high bitrate and
    /// leave nothing for others. Returns the price.
    pub(crate) fn add_fixed(&mut self, key: ConsumerKey, bitrate: Bitrate) -> Bitrate {
        let price = bitrate * OVERHEAD;
        let mut candidate = Candidate::default();
        candidate.prices.push(price);
        self.candidates.push(candidate);
        self.owners.push((key, self.points.len()));
        price
    }

    /// Adds a consumer with the operating points that `list` appends.
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

    /// Shares `budget`; `round` selects the first of several equal candidates.
    pub(crate) fn share(&mut self, budget: Budget, round: usize) {
        share(budget, &mut self.candidates, round);
    }

    /// True if any consumer has layers.
    pub(crate) fn has_layers(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.prices.len() > 1)
    }

    /// Sum of the allocated prices.
    pub(crate) fn given(&self) -> Bitrate {
        let prices = self.candidates.iter().filter_map(|candidate| candidate.prices.get(candidate.step));
        prices.fold(Bitrate::ZERO, |sum, &price| sum + price)
    }

    /// Returns the candidates in the order in which they were added.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = (usize, ConsumerKey)> {
        self.owners.iter().enumerate().map(|(index, &(key, _))| (index, key))
    }

    /// Result for the candidate at `index`, if its layers differ from `current`.
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
        // A consumer at its highest step was not downgraded by the allocation.
        let in_need = after < before && candidate.step + 1 < candidate.prices.len();
        Some(Verdict { target, before, after, in_need })
    }
}
