//! How much one address may have, and all of them together.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what the addresses of clients hold. An IPv6 address stands for its network of 64 bits, which is what one host gets.
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

/// One of the things that an address holds, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Slot {
    of: Arc<PerAddress>,
    address: IpAddr,
}

/// Which bound an address has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of each address.
    Address,
    /// That of all.
    All,
}

impl PerAddress {
    pub(crate) fn new(max_each: usize, max_all: usize) -> Arc<Self> {
        Arc::new(Self { max_each, max_all, held: Mutex::default() })
    }

    /// Takes one more for `address`.
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
    fn each_address_and_all_together_have_a_bound() {
        let held = PerAddress::new(2, 3);
        let a = [held.take(ip("10.0.0.1")).unwrap(), held.take(ip("::ffff:10.0.0.1")).unwrap()];
        assert_eq!(held.take(ip("10.0.0.1")).unwrap_err(), Full::Address);
        let _b = held.take(ip("10.0.0.2")).unwrap();
        assert_eq!(held.take(ip("10.0.0.3")).unwrap_err(), Full::All);
        drop(a);
        let _c = held.take(ip("10.0.0.3")).unwrap();
        assert_eq!(held.lock().each.len(), 2, "nothing is kept of who holds nothing");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let held = PerAddress::new(1, 10);
        let _a = held.take(ip("2001:db8::1")).unwrap();
        assert_eq!(held.take(ip("2001:db8::ffff:1")).unwrap_err(), Full::Address);
        held.take(ip("2001:db8:0:1::1")).unwrap();
    }
}
