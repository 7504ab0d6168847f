//! Faulty network paths: loss, delay, jitter, bitrate and a queue, from a seed.
//!
//! A [`Link`] says when datagrams arrive; a [`Shaper`] holds them until then.

mod shaper;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tureen_rtc::units::Bitrate;

pub use self::shaper::{MAX_HELD, Shaper};

/// What a [`Link`] does to datagrams.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Propagation delay.
    pub delay: Duration,
    /// Upper limit of the random delay that each datagram has in addition.
    pub jitter: Duration,
    /// True if jitter may reorder datagrams. Otherwise a datagram that would overtake waits for the previous one.
    pub reorder: bool,
    /// Loss model.
    pub loss: Loss,
    /// Fraction of datagrams that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Capacity of the link; `None` is unlimited.
    pub rate: Option<Bitrate>,
    /// Size of the queue in bytes, which matters only with a rate. Datagrams beyond it are dropped.
    pub queue: usize,
}

/// Loss model of a link.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Independent loss of each datagram with this probability.
    Random(f64),
    /// Loss in bursts (Gilbert's model). At each datagram a burst begins with one probability or ends with the other; a
    /// burst takes every datagram.
    Bursts {
        /// Probability that a burst begins.
        begin: f64,
        /// Probability that a burst ends; its inverse is the mean length in datagrams.
        end: f64,
    },
}

impl LinkConfig {
    /// A link with this delay and no other effect.
    pub fn with_delay(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            reorder: false,
            loss: Loss::Random(0.0),
            duplicate: 0.0,
            rate: None,
            queue: 64 << 10,
        }
    }

    /// Adds random loss.
    pub fn with_loss(self, probability: f64) -> Self {
        Self { loss: Loss::Random(probability), ..self }
    }

    /// Adds jitter that reorders.
    pub fn with_reordering(self, jitter: Duration) -> Self {
        Self { jitter, reorder: true, ..self }
    }

    /// Adds duplicates.
    pub fn with_duplicates(self, share: f64) -> Self {
        Self { duplicate: share, ..self }
    }
}

/// Counters of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Datagrams lost by the loss model.
    pub lost: u64,
    /// Datagrams dropped because the queue was full.
    pub queue_dropped: u64,
    /// Datagrams that arrive twice.
    pub duplicated: u64,
}

/// One direction of a network path. The seed determines all its losses, jitter and duplicates.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    seed: u64,
    rng: StdRng,
    in_burst: bool,
    /// Time at which the last datagram has left the queue.
    busy_until: Option<Instant>,
    last_arrival: Option<Instant>,
    stats: LinkStats,
}

impl Link {
    /// Creates a link whose random numbers start from `seed`.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            seed,
            rng: StdRng::seed_from_u64(seed),
            in_burst: false,
            busy_until: None,
            last_arrival: None,
            stats: LinkStats::default(),
        }
    }

    /// Counters of the link.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Changes the settings, and restarts the random numbers from the seed, so that they do not depend on the number of
    /// earlier datagrams.
    pub fn configure(&mut self, config: LinkConfig) {
        self.config = config;
        self.rng = StdRng::seed_from_u64(self.seed);
        self.in_burst = false;
    }

    /// Sends a datagram of `bytes` and returns the arrival times of the datagram and of its duplicate.
    pub fn send(&mut self, now: Instant, bytes: usize) -> [Option<Instant>; 2] {
        self.stats.sent += 1;
        self.stats.bytes += bytes as u64;
        let Some(departure) = self.depart(now, bytes) else {
            self.stats.queue_dropped += 1;
            return [None; 2];
        };
        if self.loses() {
            self.stats.lost += 1;
            return [None; 2];
        }
        let duplicated = self.chance(self.config.duplicate);
        self.stats.duplicated += u64::from(duplicated);
        [Some(self.arrive(departure)), duplicated.then(|| self.arrive(departure))]
    }

    /// Queueing delay of a datagram that is sent now.
    pub fn backlog(&self, now: Instant) -> Duration {
        self.busy_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Time at which the last byte has left the queue; `None` if the queue is full.
    fn depart(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.config.rate else { return Some(now) };
        let start = self.busy_until.map_or(now, |until| until.max(now));
        if rate.bytes_in(start - now) as usize + bytes > self.config.queue {
            return None;
        }
        let departure = start + Duration::from_secs_f64(bytes as f64 * 8.0 / rate.as_bps() as f64);
        self.busy_until = Some(departure);
        Some(departure)
    }

    fn loses(&mut self) -> bool {
        match self.config.loss {
            Loss::Random(probability) => self.chance(probability),
            Loss::Bursts { begin, end } => {
                let change = self.chance(if self.in_burst { end } else { begin });
                self.in_burst ^= change;
                self.in_burst
            }
        }
    }

    fn arrive(&mut self, departure: Instant) -> Instant {
        let jitter = self.config.jitter.mul_f64(self.rng.random());
        let mut arrival = departure + self.config.delay + jitter;
        if let Some(last) = self.last_arrival
            && !self.config.reorder
        {
            arrival = arrival.max(last);
        }
        self.last_arrival = Some(arrival);
        arrival
    }

    fn chance(&mut self, probability: f64) -> bool {
        // The number is drawn in any case, so that the later random numbers do not depend on the probability.
        self.rng.random::<f64>() < probability
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Arrival times in milliseconds of `count` datagrams of 1000 bytes, of which one is sent every millisecond.
    fn arrivals(config: LinkConfig, count: u32) -> (Vec<u128>, LinkStats) {
        let start = Instant::now();
        let mut link = Link::new(config, 5);
        let sent = (0..count).flat_map(|at| link.send(start + at * MS, 1000)).flatten();
        let arrivals = sent.map(|at| (at - start).as_millis()).collect();
        (arrivals, link.stats())
    }

    #[test]
    fn delay_shifts_every_arrival() {
        let (arrivals, _) = arrivals(LinkConfig::with_delay(30 * MS), 4);
        assert_eq!(arrivals, [30, 31, 32, 33]);
    }

    #[test]
    fn same_seed_gives_the_same_losses() {
        let config = LinkConfig::with_delay(MS).with_loss(0.3).with_reordering(9 * MS).with_duplicates(0.2);
        assert_eq!(arrivals(config.clone(), 500), arrivals(config, 500));
    }

    #[test]
    fn random_loss_is_as_frequent_as_configured() {
        let (arrivals, stats) = arrivals(LinkConfig::with_delay(MS).with_loss(0.15), 10_000);
        assert!((1400..1600).contains(&stats.lost), "{stats:?}");
        assert_eq!(arrivals.len() as u64, 10_000 - stats.lost);
    }

    #[test]
    fn bursts_have_their_mean_length() {
        let loss = Loss::Bursts { begin: 0.01, end: 0.2 };
        let (arrivals, stats) = arrivals(LinkConfig { loss, ..LinkConfig::with_delay(MS) }, 100_000);
        let bursts = arrivals.windows(2).filter(|pair| pair[1] - pair[0] > 1).count() as f64;
        let mean = stats.lost as f64 / bursts;
        assert!((4.5..5.5).contains(&mean), "{mean}");
    }

    #[test]
    fn jitter_reorders_only_if_enabled() {
        let config = LinkConfig { jitter: 20 * MS, ..LinkConfig::with_delay(MS) };
        let (ordered, _) = arrivals(config.clone(), 200);
        assert!(ordered.is_sorted());
        let (reordered, _) = arrivals(LinkConfig { reorder: true, ..config }, 200);
        assert!(!reordered.is_sorted());
    }

    #[test]
    fn rate_spaces_datagrams_and_a_full_queue_drops() {
        // A datagram takes 10 ms, and the queue has room for five.
        let config = LinkConfig { rate: Some(Bitrate::kbps(800)), queue: 5000, ..LinkConfig::with_delay(MS) };
        let (arrivals, stats) = arrivals(config, 20);
        assert_eq!(arrivals[..5], [11, 21, 31, 41, 51]);
        assert_eq!(arrivals.len() as u64 + stats.queue_dropped, 20);
        assert!(stats.queue_dropped > 10, "{stats:?}");
    }

    #[test]
    fn duplicates_arrive_twice() {
        let (arrivals, stats) = arrivals(LinkConfig::with_delay(MS).with_duplicates(0.5), 1000);
        assert_eq!(arrivals.len() as u64, 1000 + stats.duplicated);
        assert!((400..600).contains(&stats.duplicated));
    }
}
