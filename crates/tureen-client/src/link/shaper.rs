//! Datagrams that are underway on a link.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::{Link, LinkConfig, LinkStats};

/// Datagrams that a [`Shaper`] holds at most.
pub const MAX_HELD: usize = 8192;
/// Buffers that are kept to be used again.
const MAX_SPARE: usize = 64;

/// One direction of a faulty network path, with the datagrams that are underway on it. `A` says where a datagram goes.
///
/// Sans-IO: [`push`](Self::push) datagrams, [`poll`](Self::poll) those that have arrived, and ask
/// [`poll_timeout`](Self::poll_timeout) when the next one does. The same seed and datagrams give the same accidents.
#[derive(Debug)]
pub struct Shaper<A> {
    link: Link,
    underway: BinaryHeap<Reverse<Underway<A>>>,
    /// Counts datagrams, so that those that arrive at one instant stay in order.
    order: u64,
    spare: Vec<Vec<u8>>,
    overflowed: u64,
}

#[derive(Debug)]
struct Underway<A> {
    arrival: Instant,
    order: u64,
    to: A,
    datagram: Vec<u8>,
}

impl<A: Copy> Shaper<A> {
    /// A path whose accidents come from `seed`.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            link: Link::new(config, seed),
            underway: BinaryHeap::new(),
            order: 0,
            spare: Vec::new(),
            overflowed: 0,
        }
    }

    /// Puts a datagram on the path. With [`MAX_HELD`] datagrams underway it is lost.
    pub fn push(&mut self, now: Instant, to: A, datagram: &[u8]) {
        for arrival in self.link.send(now, datagram.len()).into_iter().flatten() {
            if self.underway.len() == MAX_HELD {
                self.overflowed += 1;
                continue;
            }
            let mut buffer = self.spare.pop().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(datagram);
            self.order += 1;
            self.underway.push(Reverse(Underway { arrival, order: self.order, to, datagram: buffer }));
        }
    }

    /// Replaces `out` by the next datagram that has arrived, and returns where it goes. The former buffer of `out` is used
    /// for a later one.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<A> {
        if self.poll_timeout()? > now {
            return None;
        }
        let Reverse(next) = self.underway.pop()?;
        let old = std::mem::replace(out, next.datagram);
        if self.spare.len() < MAX_SPARE {
            self.spare.push(old);
        }
        Some(next.to)
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.underway.peek().map(|Reverse(next)| next.arrival)
    }

    /// Counters. What more than [`MAX_HELD`] datagrams would have been counts as dropped by the queue.
    pub fn stats(&self) -> LinkStats {
        let stats = self.link.stats();
        LinkStats { queue_dropped: stats.queue_dropped + self.overflowed, ..stats }
    }
}

impl<A> Ord for Underway<A> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrival, self.order).cmp(&(other.arrival, other.order))
    }
}

impl<A> PartialOrd for Underway<A> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<A> PartialEq for Underway<A> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<A> Eq for Underway<A> {}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Duration;

    use tureen_rtc::units::Bitrate;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Pushes `count` datagrams of 100 bytes, one each millisecond, and returns which arrive and when in milliseconds.
    fn arrivals(config: LinkConfig, seed: u64, count: u8) -> Vec<(u8, u128)> {
        let start = Instant::now();
        let mut shaper = Shaper::new(config, seed);
        for number in 0..count {
            shaper.push(start + u32::from(number) * MS, number, &[number; 100]);
        }
        let (mut out, mut arrived) = (Vec::new(), Vec::new());
        while let Some(now) = shaper.poll_timeout() {
            assert_eq!(shaper.poll(now - MS, &mut out), None, "too early");
            let number = shaper.poll(now, &mut out).unwrap();
            assert_eq!(out, [number; 100]);
            arrived.push((number, (now - start).as_millis()));
        }
        arrived
    }

    #[test]
    fn datagrams_arrive_after_their_delay_in_order() {
        assert_eq!(arrivals(LinkConfig::with_delay(20 * MS), 1, 3), [(0, 20), (1, 21), (2, 22)]);
    }

    #[test]
    fn datagrams_of_one_instant_stay_in_order() {
        let config = LinkConfig { rate: Some(Bitrate::mbps(100_000)), ..LinkConfig::with_delay(MS) };
        let start = Instant::now();
        let mut shaper = Shaper::new(config, 1);
        (0..50).for_each(|number| shaper.push(start, number, b"x"));
        let mut out = Vec::new();
        let order: Vec<i32> = std::iter::from_fn(|| shaper.poll(start + 2 * MS, &mut out)).collect();
        assert!(order.is_sorted() && order.len() == 50, "{order:?}");
    }

    #[test]
    fn accidents_depend_on_the_seed_alone() {
        let config = LinkConfig::with_delay(MS).with_loss(0.2).with_reordering(9 * MS);
        assert_eq!(arrivals(config.clone(), 3, 200), arrivals(config.clone(), 3, 200));
        assert_ne!(arrivals(config.clone(), 3, 200), arrivals(config, 4, 200));
    }

    #[test]
    fn what_is_underway_is_bounded_and_the_rest_counted() {
        let start = Instant::now();
        let mut shaper = Shaper::new(LinkConfig::with_delay(1000 * MS), 1);
        (0..MAX_HELD + 3).for_each(|_| shaper.push(start, (), b"x"));
        assert_eq!(shaper.stats().queue_dropped, 3);
        let mut out = Vec::new();
        assert_eq!(std::iter::from_fn(|| shaper.poll(start + 1000 * MS, &mut out)).count(), MAX_HELD);
    }
}
