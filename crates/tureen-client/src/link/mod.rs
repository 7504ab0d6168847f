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
    /// Added to the delay of each datagram: random, up to this.
    pub jitter: Duration,
    /// Whether jitter may reorder datagrams. Otherwise one that overtakes waits for the one before it.
    pub reorder: bool,
    /// Which datagrams are lost.
    pub loss: Loss,
    /// The share of datagrams that arrive twice.
    pub duplicate: f64,
    /// How fast datagrams go onto the link. `None`: at once.
    pub rate: Option<Bitrate>,
    /// Bytes that may wait for the link; what comes on top is lost. Matters only with a rate.
    pub queue: usize,
}

/// How datagrams get lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Each by itself with this probability.
    Random(f64),
    /// In bursts (Gilbert's model): a burst begins with one probability at each datagram, ends with the other, and takes
    /// all datagrams in between.
    Bursts {
        /// Probability that a burst begins.
        begin: f64,
        /// Probability that it ends; its inverse is the mean length.
        end: f64,
    },
}

impl LinkConfig {
    /// A link that only delays.
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

    /// With random loss.
    pub fn with_loss(self, probability: f64) -> Self {
        Self { loss: Loss::Random(probability), ..self }
    }

    /// With jitter that reorders.
    pub fn with_reordering(self, jitter: Duration) -> Self {
        Self { jitter, reorder: true, ..self }
    }

    /// With duplicates.
    pub fn with_duplicates(self, share: f64) -> Self {
        Self { duplicate: share, ..self }
    }
}

/// Counters of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams put in.
    pub sent: u64,
    /// Bytes put in.
    pub bytes: u64,
    /// Datagrams lost on the way.
    pub lost: u64,
    /// Datagrams lost because the queue was full.
    pub queue_dropped: u64,
    /// Datagrams that arrive twice.
    pub duplicated: u64,
}

/// One direction of a network path, deterministic by its seed.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    seed: u64,
    rng: StdRng,
    in_burst: bool,
    /// When the last datagram has gone onto the link.
    busy_until: Option<Instant>,
    last_arrival: Option<Instant>,
    stats: LinkStats,
}

impl Link {
    /// A link whose accidents come from `seed`.
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

    /// Counters.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Changes what the link does to datagrams from now on. Its accidents begin anew from its seed, so that they don't
    /// depend on how many datagrams there were before.
    pub fn configure(&mut self, config: LinkConfig) {
        self.config = config;
        self.rng = StdRng::seed_from_u64(self.seed);
        self.in_burst = false;
    }

    /// Puts a datagram of `bytes` in: when it arrives, and when its duplicate does.
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

    /// How long a datagram that is put in now waits for those before it.
    pub fn backlog(&self, now: Instant) -> Duration {
        self.busy_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// When the last byte is on the link; nothing if the queue is full.
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
        // Drawn in any case, so that a link goes on alike when a probability changes.
        self.rng.random::<f64>() < probability
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Arrivals in milliseconds of `count` datagrams of 1000 bytes, one each millisecond.
    fn arrivals(config: LinkConfig, count: u32) -> (Vec<u128>, LinkStats) {
        let start = Instant::now();
        let mut link = Link::new(config, 5);
        let sent = (0..count).flat_map(|at| link.send(start + at * MS, 1000)).flatten();
        let arrivals = sent.map(|at| (at - start).as_millis()).collect();
        (arrivals, link.stats())
    }

    #[test]
    fn delay_moves_everything() {
        let (arrivals, _) = arrivals(LinkConfig::with_delay(30 * MS), 4);
        assert_eq!(arrivals, [30, 31, 32, 33]);
    }

    #[test]
    fn same_seed_has_the_same_accidents() {
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
    fn jitter_reorders_only_if_it_may() {
        let config = LinkConfig { jitter: 20 * MS, ..LinkConfig::with_delay(MS) };
        let (ordered, _) = arrivals(config.clone(), 200);
        assert!(ordered.is_sorted());
        let (reordered, _) = arrivals(LinkConfig { reorder: true, ..config }, 200);
        assert!(!reordered.is_sorted());
    }

    #[test]
    fn rate_spaces_datagrams_and_a_full_queue_drops() {
        // A datagram takes 10 ms; five fit the queue.
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
