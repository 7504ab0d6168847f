//! Delay-based bandwidth estimate (draft-ietf-rmcat-gcc-02 §5).

use super::Micros;
use super::aimd::Aimd;
use super::history::Arrival;
use super::inter_arrival::InterArrival;
use super::queue_delay::QueueDelay;
use super::throughput::Throughput;
use super::trendline::{Trendline, Usage};
use crate::units::Bitrate;

/// State of the delay detector is discarded after this time without feedback.
const STREAM_TIMEOUT: Micros = 2_000_000;
/// The estimate does not grow above this queueing delay, because growth too slow for the trendline still fills queues.
const MAX_QUEUE: Micros = 60_000;
/// Overuse below this queueing delay does not lower the estimate, because a probe or a key frame causes it.
const MIN_QUEUE: Micros = 40_000;
/// Lifetime of a probe's result.
const PROBE_LIFETIME: Micros = 2_000_000;
/// For this time after a decrease, overuse lowers the estimate again only if the acknowledged bitrate is below it,
/// because the trendline may still show the old queue.
const SETTLING: Micros = 1_000_000;
/// A standing queue of this length, left by a decrease and constant after [`SETTLING`], is drained, because the
/// trendline does not show it and the acknowledged bitrate would keep it.
const STANDING_QUEUE: Micros = 120_000;
/// Time in which a standing queue is drained, and the lowest share of the acknowledged bitrate sent meanwhile.
const DRAIN_TIME: f64 = 1_000_000.0;
const MIN_DRAIN: f64 = 0.7;
/// Drain time where dropping temporal layers suffices, because they return without a key frame.
const QUICK_DRAIN: f64 = 400_000.0;
/// For this time after a decrease the acknowledged bitrate at the decrease stands for the capacity.
const RECOVERY: Micros = 3_000_000;

/// Estimates the rate that the path carries without growing queues.
#[derive(Debug)]
pub(crate) struct DelayBased {
    inter_arrival: InterArrival,
    trendline: Trendline,
    aimd: Aimd,
    queue_delay: QueueDelay,
    last_feedback: Option<Micros>,
    decreased_at: Option<Micros>,
    /// Acknowledged bitrate at the last decrease.
    carried: Bitrate,
    /// True until the standing queue has been drained once: a competitor that fills queues on purpose would otherwise
    /// get all bandwidth.
    may_drain: bool,
    /// Time and result of the last probe since the last decrease.
    probed: Option<(Micros, Bitrate)>,
}

/// Result of one feedback packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Queues have drained after an overuse.
    pub(crate) recovered: bool,
    /// Overuse lowered the estimate.
    pub(crate) decreased: bool,
}

impl DelayBased {
    pub(super) fn new(initial: Bitrate, min: Bitrate) -> Self {
        Self {
            inter_arrival: InterArrival::default(),
            trendline: Trendline::new(),
            aimd: Aimd::new(initial, min),
            queue_delay: QueueDelay::default(),
            last_feedback: None,
            decreased_at: None,
            carried: Bitrate::ZERO,
            may_drain: false,
            probed: None,
        }
    }

    pub(super) fn estimate(&self) -> Bitrate {
        self.aimd.estimate()
    }

    /// Known capacity of the path. It exceeds the estimate while the estimate is lowered to drain a queue.
    pub(super) fn carries(&self, now: Micros) -> Bitrate {
        self.recovering(now).map_or(self.estimate(), |carried| carried.max(self.estimate()))
    }

    /// Rate to send at while a queue left by overuse drains; it rises again with time.
    pub(super) fn draining(&self, now: Micros) -> Option<Bitrate> {
        let excess = self.queue_delay.get() - MAX_QUEUE;
        self.recovering(now).map(|_| self.carries(now) * drain_share(excess, QUICK_DRAIN))
    }

    /// Acknowledged bitrate at the last decrease, within [`RECOVERY`].
    fn recovering(&self, now: Micros) -> Option<Bitrate> {
        self.decreased_at
            .is_some_and(|at| now - at < RECOVERY)
            .then_some(self.carried)
            .filter(|carried| !carried.is_zero())
    }

    /// True once overuse has lowered the estimate.
    pub(crate) fn has_decreased(&self) -> bool {
        self.decreased_at.is_some()
    }

    /// State of the overuse detector.
    pub(super) fn usage(&self) -> Usage {
        self.trendline.usage()
    }

    pub(crate) fn set_min(&mut self, min: Bitrate) {
        self.aimd.set_min(min);
    }

    pub(super) fn set_rtt(&mut self, rtt: Micros) {
        self.aimd.set_rtt(rtt);
    }

    /// Queueing delay.
    pub(crate) fn queue_delay(&self) -> Micros {
        self.queue_delay.get()
    }

    /// How long the packets of the last feedback have waited in queues, at least.
    pub(super) fn recent_queue(&self) -> Micros {
        self.queue_delay.recent()
    }

    /// Updates the estimate from arrivals in order, the acknowledged bitrate and a probe's result.
    pub(crate) fn on_arrivals(
        &mut self,
        now: Micros,
        arrivals: &[Arrival],
        throughput: &Throughput,
        probed: Option<Bitrate>,
        application_limited: bool,
    ) -> Outcome {
        if self.last_feedback.is_none_or(|last| now - last > STREAM_TIMEOUT) {
            self.inter_arrival = InterArrival::default();
            self.trendline = Trendline::new();
            self.queue_delay = QueueDelay::default();
        }
        self.queue_delay.on_arrivals(now, arrivals);
        self.last_feedback = Some(now);

        let mut outcome = Outcome::default();
        for packet in arrivals {
            let Some(spacing) = self.inter_arrival.on_arrival(now, packet) else { continue };
            let before = self.trendline.usage();
            self.trendline.on_spacing(spacing, packet.received_at);
            outcome.recovered |= before == Usage::Under && self.trendline.usage() == Usage::Normal;
        }

        let usage = self.trendline.usage();
        let delivered = throughput.bitrate();
        if usage == Usage::Over {
            outcome.recovered = false;
            outcome.decreased = self.decrease(now, throughput);
        } else if usage == Usage::Normal && self.drain(now, throughput) {
            outcome.decreased = true;
        } else if let Some(probed) = probed {
            self.aimd.set_estimate(now, probed);
            self.probed = Some((now, probed));
            outcome.recovered = false;
        } else {
            let may_grow = !application_limited && self.queue_delay.get() <= MAX_QUEUE;
            self.aimd.update(now, usage, delivered, may_grow);
        }
        outcome
    }

    /// Lowers the estimate if [`Aimd::may_decrease`] allows.
    fn decrease(&mut self, now: Micros, throughput: &Throughput) -> bool {
        let received = throughput.recently_received();
        if self.queue_delay.get() < MIN_QUEUE {
            return false;
        }
        let settling = self.decreased_at.is_some_and(|at| now - at < SETTLING);
        if settling && received.is_some_and(|received| received >= self.estimate()) {
            return false;
        }
        // The receive rate while queues grow equals the capacity. A longer window would include the time before the
        // capacity fell. A probe's result since the last decrease counts as acknowledged, because a sender that has just
        // raised its rate has not been acknowledged for long, and a key frame builds a queue as well.
        let delivered = received.or(throughput.bitrate());
        let probed = self.probed.filter(|(at, _)| now - at < PROBE_LIFETIME).map(|(_, probed)| probed);
        let delivered = delivered.max(probed.filter(|_| delivered.is_some()));
        if !self.aimd.may_decrease(now, delivered) {
            return false;
        }
        match delivered {
            Some(_) => self.aimd.update(now, Usage::Over, delivered, false),
            // No acknowledged bitrate is known yet.
            None => self.aimd.set_estimate(now, self.aimd.estimate() * 0.5),
        }
        self.decreased_at = Some(now);
        self.carried = delivered.unwrap_or_default();
        self.may_drain = true;
        self.probed = None;
        true
    }

    /// Lowers the estimate to drain a standing queue.
    fn drain(&mut self, now: Micros, throughput: &Throughput) -> bool {
        let queue = self.queue_delay.get();
        let settled = self.decreased_at.is_some_and(|at| now - at >= SETTLING);
        if !self.may_drain || !settled || queue < STANDING_QUEUE {
            return false;
        }
        let Some(received) = throughput.recently_received() else { return false };
        let drained = received * drain_share(queue, DRAIN_TIME);
        self.aimd.set_estimate(now, drained.min(self.estimate()));
        self.decreased_at = Some(now);
        self.carried = received;
        self.may_drain = false;
        true
    }
}

/// Share of the capacity at which `queue` drains within `time`.
fn drain_share(queue: Micros, time: f64) -> f64 {
    (1.0 - queue.max(0) as f64 / time).max(MIN_DRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    /// A second with a packet every 10 ms and feedback every 100 ms. Each packet is `growth` µs later than the one
    /// before.
    fn second(delay: &mut DelayBased, from: Micros, late: Micros, growth: Micros) -> Vec<Outcome> {
        let packets = (0..100).map(|i| Arrival {
            sent_at: from + i * 10_000,
            received_at: from + i * 10_000 + late + i * growth,
            size: 1000,
            probe: 0,
            was_lost: false,
        });
        let packets: Vec<_> = packets.collect();
        let mut throughput = Throughput::default();
        let feedback = packets.chunks(10).enumerate().map(|(i, chunk)| {
            let now = from + (i as Micros + 1) * 100_000;
            throughput.on_arrivals(chunk);
            delay.on_arrivals(now, chunk, &throughput, None, false)
        });
        feedback.collect()
    }

    #[test]
    fn growing_queue_lowers_the_estimate_once_a_round_trip() {
        let mut delay = DelayBased::new(Bitrate::kbps(1000), Bitrate::kbps(5));
        assert!(second(&mut delay, 0, 0, 0).iter().all(|outcome| !outcome.decreased));
        let outcomes = second(&mut delay, SECOND, 0, 1_000);
        assert!(outcomes.iter().any(|outcome| outcome.decreased), "{outcomes:?}");
        assert!(delay.estimate() <= Bitrate::kbps(675));
        let recovering =
            [second(&mut delay, 2 * SECOND, 100_000, -1_000), second(&mut delay, 3 * SECOND, 0, 0)];
        assert_eq!(recovering.iter().flatten().filter(|outcome| outcome.recovered).count(), 1);
    }

    #[test]
    fn standing_queue_after_a_decrease_is_drained_once() {
        let mut delay = DelayBased::new(Bitrate::kbps(1000), Bitrate::kbps(5));
        second(&mut delay, 0, 0, 0);
        let growing = second(&mut delay, SECOND, 0, 2_500);
        assert!(growing.iter().any(|outcome| outcome.decreased), "{growing:?}");
        // Packets arrive as fast as they are sent: the queue neither grows nor shrinks.
        delay.aimd.set_estimate(2 * SECOND, Bitrate::kbps(800));
        let standing = (2..6).flat_map(|i| second(&mut delay, i * SECOND, 250_000, 0)).collect::<Vec<_>>();
        assert_eq!(standing.iter().filter(|outcome| outcome.decreased).count(), 1, "{standing:?}");
        let drained = delay.estimate().as_bps();
        assert!((590_000..=610_000).contains(&drained), "empty in a second: {drained}");
    }

    #[test]
    fn throughput_at_a_decrease_is_the_capacity() {
        let mut delay = DelayBased::new(Bitrate::kbps(1000), Bitrate::kbps(5));
        second(&mut delay, 0, 0, 0);
        assert_eq!((delay.carries(SECOND), delay.draining(SECOND)), (delay.estimate(), None));
        second(&mut delay, SECOND, 0, 2_500);
        let now = 2 * SECOND;
        let decreased_at = delay.decreased_at.expect("the queue grew");
        let carried = delay.carries(now);
        assert!(delay.estimate() < carried * 0.9 && carried <= Bitrate::kbps(800), "{carried:?}");
        assert_eq!(delay.draining(now), Some(carried * MIN_DRAIN), "a queue of a quarter of a second");
        delay.queue_delay = QueueDelay::default();
        assert_eq!(delay.draining(now), Some(carried), "once it is empty");
        let over = decreased_at + RECOVERY;
        assert_eq!((delay.carries(over), delay.draining(over)), (delay.estimate(), None));
    }

    #[test]
    fn queue_without_a_decrease_before_it_is_not_drained() {
        let mut delay = DelayBased::new(Bitrate::kbps(800), Bitrate::kbps(5));
        second(&mut delay, 0, 0, 0);
        // The growth is so slow that the trendline does not detect it.
        let slow = (1..10).flat_map(|i| second(&mut delay, i * SECOND, (i - 1) * 20_000, 200));
        assert!(!slow.collect::<Vec<_>>().iter().any(|outcome| outcome.decreased));
    }

    #[test]
    fn probe_sets_the_estimate_unless_queues_grow() {
        let mut delay = DelayBased::new(Bitrate::kbps(1000), Bitrate::kbps(5));
        delay.on_arrivals(0, &[], &Throughput::default(), Some(Bitrate::kbps(2000)), false);
        assert_eq!(delay.estimate(), Bitrate::kbps(2000));
    }
}
