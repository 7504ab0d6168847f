//! Limits for each client address: number of objects, and rate of requests.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::bucket::Bucket;

/// Rate limits of requests by address.
#[derive(Debug)]
pub(crate) struct Paces {
    /// Tokens per second.
    rate: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

/// Burst of requests, as a multiple of the rate (seconds).
const BURST_SECONDS: f64 = 10.0;

/// Number of stored addresses above which idle ones are removed.
const REMEMBERED: usize = 10_000;

impl Paces {
    pub(crate) fn new(rate: u32) -> Self {
        Self { rate: rate.into(), buckets: Mutex::default() }
    }

    /// Charges `cost` to the rate of `address`. Returns false if the rate is exceeded.
    pub(crate) fn may(&self, address: IpAddr, cost: u32) -> bool {
        let now = Instant::now();
        let full = Bucket::new(self.rate, self.rate * BURST_SECONDS, now);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&host_of(address)) {
            // All addresses are active now. Refusing other clients for that would make an attack effective.
            return true;
        }
        buckets.entry(host_of(address)).or_insert(full).try_take(cost.into(), now)
    }

    /// Takes `cost` from the rate of `address` for what it has done already, into debt if need be.
    pub(crate) fn charge(&self, address: IpAddr, cost: u32) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // It has asked, so that it is remembered, unless too many are.
        if let Some(bucket) = buckets.get_mut(&host_of(address)) {
            bucket.take(cost.into(), Instant::now());
        }
    }
}

/// Number of objects by client address. An IPv6 address stands for its /64 network, which one host usually gets.
#[derive(Debug)]
pub(crate) struct PerAddress {
    max_each: usize,
    max_all: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// One object of an address, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    of: Arc<PerAddress>,
    address: IpAddr,
}

/// Limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Limit of each address.
    Address,
    /// Limit of all addresses together.
    All,
}

impl PerAddress {
    pub(crate) fn new(max_each: usize, max_all: usize) -> Arc<Self> {
        Arc::new(Self { max_each, max_all, held: Mutex::default() })
    }

    /// Counts one more object of `address`.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Slot, Full> {
        let address = host_of(address);
        let mut held = self.lock();
        if held.all >= self.max_all {
            return Err(Full::All);
        }
        let count = held.each.get(&address).copied().unwrap_or_default();
        if count >= self.max_each {
            return Err(Full::Address);
        }
        held.all += 1;
        held.each.insert(address, count + 1);
        drop(held);
        Ok(Slot { of: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.of.lock();
        held.all -= 1;
        if let Some(count) = held.each.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.each.remove(&self.address);
            }
        }
    }
}

fn host_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_and_the_total_are_limited() {
        let held = PerAddress::new(2, 3);
        let a = [held.take(ip("10.0.0.1")).unwrap(), held.take(ip("::ffff:10.0.0.1")).unwrap()];
        assert_eq!(held.take(ip("10.0.0.1")).unwrap_err(), Full::Address);
        let _b = held.take(ip("10.0.0.2")).unwrap();
        assert_eq!(held.take(ip("10.0.0.3")).unwrap_err(), Full::All);
        drop(a);
        let _c = held.take(ip("10.0.0.3")).unwrap();
        assert_eq!(held.lock().each.len(), 2, "nothing is kept of who holds nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_of_one_address_are_limited_without_effect_on_others() {
        let paces = Paces::new(10);
        let asked = |address: &str, cost| (0..1000).filter(|_| paces.may(ip(address), cost)).count();
        assert_eq!(asked("10.0.0.1", 1), 100);
        assert_eq!(asked("10.0.0.2", 5), 20);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(asked("10.0.0.1", 1), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_address_is_charged_for_later_it_waits_for() {
        let paces = Paces::new(10);
        let attempts = |count: usize| {
            let attempt =
                |_: &usize| paces.may(ip("10.0.0.1"), 1).then(|| paces.charge(ip("10.0.0.1"), 5)).is_some();
            (0..count).filter(attempt).count()
        };
        assert_eq!(attempts(1000), 17, "a hundred at once, by six");
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        assert_eq!(attempts(1000), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_ask_no_more_are_forgotten() {
        let paces = Paces::new(10);
        let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
        assert!((0..REMEMBERED as u32).all(|number| paces.may(address(number), 1)));
        assert!(paces.may(address(1 << 20), 1));
        assert_eq!(paces.buckets.lock().unwrap().len(), REMEMBERED);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(paces.may(address(1 << 20), 1));
        assert_eq!(paces.buckets.lock().unwrap().len(), 1);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let held = PerAddress::new(1, 10);
        let _a = held.take(ip("2001:db8::1")).unwrap();
        assert_eq!(held.take(ip("2001:db8::ffff:1")).unwrap_err(), Full::Address);
        held.take(ip("2001:db8:0:1::1")).unwrap();
    }
}
