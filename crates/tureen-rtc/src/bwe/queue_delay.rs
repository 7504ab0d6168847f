//! Queueing delay: the one-way delay minus its minimum over the last seconds.

use super::Micros;
use super::history::Arrival;

/// Window of the minimum: between one and two periods. A longer window would take clock drift for a queue.
const PERIOD: Micros = 10_000_000;
/// Smoothing factor, which suppresses jitter.
const SMOOTHING: f64 = 0.95;

#[derive(Debug, Default)]
pub(crate) struct QueueDelay {
    /// Minimum delay of this period and of the previous one, as a difference of both clocks.
    least: [Option<Micros>; 2],
    period_began: Option<Micros>,
    smoothed: f64,
    recent: Micros,
}

impl QueueDelay {
    /// Smoothed queueing delay.
    pub(super) fn get(&self) -> Micros {
        self.smoothed as Micros
    }

    /// The least delay of the last arrivals, in microseconds: no packet has waited for less lately.
    pub(crate) fn recent(&self) -> Micros {
        self.recent
    }

    pub(crate) fn on_arrivals(&mut self, now: Micros, arrivals: &[Arrival]) {
        let mut recent = None;
        let began = *self.period_began.get_or_insert(now);
        if now - began >= PERIOD {
            self.period_began = Some(now);
            self.least = [None, self.least[0]];
        }
        for arrival in arrivals {
            let delay = arrival.received_at - arrival.sent_at;
            let current = self.least[0].map_or(delay, |least| least.min(delay));
            self.least[0] = Some(current);
            let least = self.least[1].map_or(current, |before| before.min(current));
            self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * (delay - least) as f64;
            recent = Some(recent.map_or(delay - least, |recent: Micros| recent.min(delay - least)));
        }
        self.recent = recent.unwrap_or(self.recent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(queue: &mut QueueDelay, from: Micros, delay: Micros) -> Micros {
        for i in 0..100 {
            let sent_at = from + i * 10_000;
            let received_at = sent_at + 77_000 + delay;
            let arrival = Arrival { sent_at, received_at, size: 1000, probe: 0, was_lost: false };
            queue.on_arrivals(sent_at, &[arrival]);
        }
        queue.get()
    }

    #[test]
    fn queue_is_what_exceeds_the_least_delay() {
        let mut queue = QueueDelay::default();
        assert_eq!(feed(&mut queue, 0, 0), 0);
        assert!((98_000..=100_000).contains(&feed(&mut queue, 1_000_000, 100_000)));
        assert_eq!(queue.recent(), 100_000);
        assert!(feed(&mut queue, 2_000_000, 0) < 2_000);
        assert_eq!(queue.recent(), 0);
    }

    #[test]
    fn delay_that_stays_becomes_the_least() {
        let mut queue = QueueDelay::default();
        feed(&mut queue, 0, 0);
        let delays: Vec<_> = (1..40).map(|i| feed(&mut queue, i * 1_000_000, 50_000)).collect();
        assert!(delays[5] > 49_000 && delays[30] < 1_000, "{delays:?}");
    }
}
