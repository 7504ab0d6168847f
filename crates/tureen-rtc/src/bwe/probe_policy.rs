//! Decision when to probe, and at which rate.

use smallvec::SmallVec;

use super::Micros;
use crate::units::Bitrate;

/// Initial probes, relative to the initial estimate.
const INITIAL: [f64; 2] = [3.0, 6.0];
/// A probe that reached this share of its rate is followed by a further probe.
const FURTHER_THRESHOLD: f64 = 0.7;
const FURTHER: f64 = 2.0;
/// Time to wait for a probe's result.
const MAX_WAIT: Micros = 1_000_000;
/// Changes of the desired bitrate below this factor are ignored.
const DESIRED_CHANGE: f64 = 1.25;
/// Bound of probes relative to the desired bitrate.
const MAX_OVER_DESIRED: f64 = 2.0;
/// Bound of probes without a configured maximum.
const MAX_RATE: Bitrate = Bitrate::mbps(30);
/// Probe rate relative to the estimate when Consumers want more or the sender is application-limited.
const OVER_ESTIMATE: f64 = 2.0;
/// Probe rate relative to the estimate while loss limits it.
const OVER_ESTIMATE_IN_LOSS: f64 = 1.5;
/// Interval of probes in an application-limited region.
const LIMITED_INTERVAL: Micros = 5_000_000;
/// Interval of probes while Consumers want more than the estimate. It doubles up to the second value while probes find
/// nothing.
const WANTED_INTERVAL: Micros = 1_500_000;
const MAX_WANTED_INTERVAL: Micros = 3_000_000;
/// A probe below this multiple of the estimate found nothing.
const FOUND: f64 = 1.1;
/// A drop of the estimate below this share is verified by one probe at a share of the former estimate.
const DROP: f64 = 0.66;
const AFTER_DROP: f64 = 0.85;
const DROP_LIFETIME: Micros = 5_000_000;

/// What keeps the estimate from growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Limit {
    /// No limit that a probe could not overcome.
    #[default]
    None,
    /// Loss limits an estimate that grows.
    Loss,
    /// Queues or loss, which a probe would increase.
    Congestion,
}

/// Rates to probe at.
pub(super) type Requests = SmallVec<[Bitrate; 2]>;

#[derive(Debug)]
pub(crate) struct ProbePolicy {
    max: Bitrate,
    estimate: Bitrate,
    desired: Bitrate,
    limit: Limit,
    started: bool,
    last_probe: Option<Micros>,
    /// A result above this rate triggers a further probe.
    awaited: Option<Bitrate>,
    /// Time of the last drop, and the estimate before it.
    dropped: Option<(Micros, Bitrate)>,
    wanted_interval: Micros,
    /// The estimate at the last probe.
    estimate_at_probe: Bitrate,
}

impl ProbePolicy {
    /// A policy that waits for [`ProbePolicy::start`]. A maximum of zero means unbounded.
    pub(super) fn new(initial: Bitrate, max: Bitrate) -> Self {
        Self {
            max,
            estimate: initial,
            desired: Bitrate::ZERO,
            limit: Limit::None,
            started: false,
            last_probe: None,
            awaited: None,
            dropped: None,
            wanted_interval: WANTED_INTERVAL,
            estimate_at_probe: Bitrate::ZERO,
        }
    }

    /// Allows probes once media can flow. The initial probes wait until Consumers want more than the initial estimate.
    pub(super) fn start(&mut self, now: Micros) -> Requests {
        if self.started || self.estimate >= self.ceiling() {
            return Requests::new();
        }
        self.started = true;
        let rates = INITIAL.map(|factor| self.estimate * factor);
        self.request(now, &rates, true)
    }

    /// Sets the maximum; zero means unbounded.
    pub(crate) fn set_max(&mut self, now: Micros, max: Bitrate) -> Requests {
        let raised = max > self.max && !self.max.is_zero();
        self.max = max;
        match self.started && raised && self.estimate < self.ceiling() && self.awaited.is_none() {
            true => self.request(now, &[self.estimate * OVER_ESTIMATE], true),
            false => Requests::new(),
        }
    }

    /// Sets the total bitrate that Consumers want. It is a measured value, so small changes are ignored.
    pub(super) fn set_desired(&mut self, now: Micros, desired: Bitrate) -> Requests {
        if desired <= self.desired * DESIRED_CHANGE && self.desired <= desired * DESIRED_CHANGE {
            return Requests::new();
        }
        let raised = desired > self.desired;
        self.desired = desired;
        if !self.started || !raised || self.estimate >= desired || self.awaited.is_some() {
            return Requests::new();
        }
        self.wanted_interval = WANTED_INTERVAL;
        let reachable = self.estimate * OVER_ESTIMATE;
        match reachable < desired {
            true => self.request(now, &[reachable], true),
            false => self.request(now, &[desired, reachable], true),
        }
    }

    /// Handles a new estimate and its limit.
    pub(crate) fn on_estimate(&mut self, now: Micros, estimate: Bitrate, limit: Limit) -> Requests {
        if estimate < self.estimate * DROP {
            self.dropped = Some((now, self.estimate));
        }
        self.estimate = estimate;
        self.limit = limit;
        if estimate > self.estimate_at_probe * FOUND {
            self.wanted_interval = WANTED_INTERVAL;
        }
        match self.awaited {
            Some(awaited) if estimate > awaited => self.request(now, &[estimate * FURTHER], true),
            _ => Requests::new(),
        }
    }

    /// Handles the end of an overuse, when queues have drained.
    pub(crate) fn on_recovered(&mut self, now: Micros) -> Requests {
        let Some((at, before)) = self.dropped.take() else { return Requests::new() };
        let rate = before * AFTER_DROP;
        match now - at < DROP_LIFETIME && rate * 0.95 > self.estimate && self.awaited.is_none() {
            true => self.request(now, &[rate], false),
            false => Requests::new(),
        }
    }

    /// Handles a timeout. `limited_since`: start of the application-limited region.
    pub(super) fn poll(&mut self, now: Micros, limited_since: Option<Micros>) -> Requests {
        let last = self.last_probe.unwrap_or(now);
        if self.awaited.is_some() && now - last > MAX_WAIT {
            self.awaited = None;
            if self.estimate <= self.estimate_at_probe * FOUND {
                self.wanted_interval = (self.wanted_interval * 2).min(MAX_WANTED_INTERVAL);
            }
        }
        if !self.started || self.awaited.is_some() || self.estimate >= self.ceiling() {
            return Requests::new();
        }
        let wanted = !self.desired.is_zero() && self.estimate < self.desired * DESIRED_CHANGE;
        let idle = limited_since.is_some_and(|since| now - last.max(since) >= LIMITED_INTERVAL);
        match wanted && now - last >= self.wanted_interval || idle {
            true => self.request(now, &[self.estimate * OVER_ESTIMATE], true),
            false => Requests::new(),
        }
    }

    fn ceiling(&self) -> Bitrate {
        let max = if self.max.is_zero() { MAX_RATE } else { self.max.min(MAX_RATE) };
        match self.desired.is_zero() {
            true => max,
            false => max.min(self.desired * MAX_OVER_DESIRED),
        }
    }

    /// Requests probes at `rates` within the bounds. `further`: success triggers a further probe.
    fn request(&mut self, now: Micros, rates: &[Bitrate], further: bool) -> Requests {
        let mut ceiling = self.ceiling();
        match self.limit {
            Limit::None => {}
            Limit::Loss => ceiling = ceiling.min(self.estimate * OVER_ESTIMATE_IN_LOSS),
            Limit::Congestion => return Requests::new(),
        }
        let mut requests = Requests::new();
        for &rate in rates {
            requests.push(rate.min(ceiling));
            if rate >= ceiling {
                break;
            }
        }
        self.last_probe = Some(now);
        self.estimate_at_probe = self.estimate;
        self.awaited = requests.last().filter(|_| further).map(|&rate| match rate < ceiling {
            true => rate * FURTHER_THRESHOLD,
            // At the maximum the result is awaited, but no further probe follows.
            false => Bitrate::bps(u64::MAX),
        });
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    fn started(estimate: u64, desired: u64) -> ProbePolicy {
        let mut policy = ProbePolicy::new(Bitrate::kbps(estimate), Bitrate::ZERO);
        policy.set_desired(0, Bitrate::kbps(desired));
        policy.start(0);
        policy.poll(2 * SECOND, None);
        policy
    }

    const NONE: [u64; 0] = [];

    fn kbps(requests: Requests) -> Vec<u64> {
        requests.iter().map(|rate| rate.as_bps() / 1000).collect()
    }

    #[test]
    fn initial_probing_continues_while_probes_find_more() {
        let mut policy = ProbePolicy::new(Bitrate::kbps(600), Bitrate::ZERO);
        assert_eq!(kbps(policy.start(0)), [1800, 3600]);
        assert_eq!(kbps(policy.start(1)), NONE);
        assert_eq!(kbps(policy.on_estimate(2, Bitrate::kbps(1700), Limit::None)), NONE);
        assert_eq!(kbps(policy.on_estimate(3, Bitrate::kbps(3000), Limit::None)), [6000]);
        assert_eq!(kbps(policy.on_estimate(4, Bitrate::kbps(3900), Limit::None)), NONE, "below 70 %");
    }

    #[test]
    fn probes_do_not_exceed_the_desired_or_allowed_bitrate_by_far() {
        let mut policy = ProbePolicy::new(Bitrate::kbps(600), Bitrate::ZERO);
        policy.set_desired(0, Bitrate::kbps(700));
        assert_eq!(kbps(policy.start(0)), [1400]);
        let mut policy = ProbePolicy::new(Bitrate::kbps(600), Bitrate::kbps(1000));
        assert_eq!(kbps(policy.start(0)), [1000]);
        assert_eq!(kbps(policy.on_estimate(1, Bitrate::kbps(990), Limit::None)), NONE);
    }

    #[test]
    fn first_probes_wait_until_they_can_find_more_than_the_initial_estimate() {
        let mut policy = ProbePolicy::new(Bitrate::kbps(1000), Bitrate::ZERO);
        policy.set_desired(0, Bitrate::kbps(400));
        assert_eq!(kbps(policy.start(0)), NONE, "the first of two consumers");
        policy.set_desired(1, Bitrate::kbps(800));
        assert_eq!(kbps(policy.start(1)), [1600]);
    }

    #[test]
    fn higher_desired_bitrate_is_probed_at_once() {
        let mut policy = started(600, 500);
        assert_eq!(kbps(policy.set_desired(3 * SECOND, Bitrate::kbps(900))), [900, 1200]);
        policy.poll(5 * SECOND, None);
        assert_eq!(kbps(policy.set_desired(6 * SECOND, Bitrate::kbps(5000))), [1200]);
    }

    #[test]
    fn unmet_desired_bitrate_is_probed_again_with_backoff() {
        let mut policy = started(500, 1200);
        policy.last_probe = Some(0);
        policy.awaited = None;
        policy.wanted_interval = WANTED_INTERVAL;
        let times = (1..300).filter(|i| !policy.poll(i * 100_000, None).is_empty());
        let times: Vec<_> = times.take(4).collect();
        assert_eq!(times, [15, 45, 75, 105]);
    }

    #[test]
    fn application_limited_path_is_probed_until_the_bitrate_suffices() {
        let mut policy = started(600, 400);
        assert_eq!(kbps(policy.poll(6 * SECOND, Some(3 * SECOND))), NONE);
        assert_eq!(kbps(policy.poll(8 * SECOND, Some(3 * SECOND))), [800], "twice what is wanted");
        policy.on_estimate(9 * SECOND, Bitrate::kbps(800), Limit::None);
        assert_eq!(kbps(policy.poll(60 * SECOND, Some(3 * SECOND))), NONE);
    }

    #[test]
    fn congestion_forbids_probes_and_loss_keeps_them_low() {
        let mut policy = started(600, 5000);
        policy.on_estimate(3 * SECOND, Bitrate::kbps(600), Limit::Congestion);
        assert_eq!(kbps(policy.poll(10 * SECOND, None)), NONE);
        policy.on_estimate(11 * SECOND, Bitrate::kbps(600), Limit::Loss);
        assert_eq!(kbps(policy.poll(12 * SECOND, None)), [900]);
    }

    #[test]
    fn drop_is_probed_once_the_queues_have_drained() {
        let mut policy = started(2000, 2000);
        policy.on_estimate(3 * SECOND, Bitrate::kbps(500), Limit::Congestion);
        policy.on_estimate(4 * SECOND, Bitrate::kbps(500), Limit::None);
        assert_eq!(kbps(policy.on_recovered(4 * SECOND)), [1700]);
        assert_eq!(kbps(policy.on_recovered(4 * SECOND)), NONE);
    }
}
