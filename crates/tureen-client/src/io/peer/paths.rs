//! The paths of a peer: pairs of a local socket and a candidate of the server.
//!
//! A session knows addresses only. It is given one address of its own for each path, so that it checks and selects paths
//! without knowing of sockets, of UDP and TCP.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tureen_types::data_structures::Protocol;

/// A candidate of the server, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io) struct Remote {
    pub(in crate::io) protocol: Protocol,
    pub(in crate::io) address: SocketAddr,
}

/// A pair of a local socket and a candidate.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) struct Path {
    pub(in crate::io) protocol: Protocol,
    /// Local address; `None` leaves it to the system.
    pub(in crate::io) local: Option<IpAddr>,
    pub(in crate::io) remote: SocketAddr,
    /// The socket. Several UDP paths share one. A TCP path has none before it is used, and none after its connection is
    /// closed.
    pub(in crate::io) token: Option<u32>,
}

/// The paths of a peer, best first.
#[derive(Debug, Default)]
pub(in crate::io) struct Paths(Vec<Path>);

/// Prefix of the addresses that stand for paths: that of RFC 6666, to which nothing is ever sent.
const PREFIX: u16 = 0x100;
/// Their port.
const PORT: u16 = 9;

impl Paths {
    /// Each of `remotes`, in their order, from each local address of its family.
    pub(in crate::io) fn new(remotes: &[Remote], locals: &[IpAddr]) -> Self {
        let locals_of = |remote: &Remote| -> Vec<Option<IpAddr>> {
            match locals {
                [] => vec![None],
                _ => {
                    let is_ipv4 = remote.address.is_ipv4();
                    locals.iter().filter(|local| local.is_ipv4() == is_ipv4).copied().map(Some).collect()
                }
            }
        };
        let path = |remote: &Remote, local| Path {
            protocol: remote.protocol,
            local,
            remote: remote.address,
            token: None,
        };
        let paths = remotes
            .iter()
            .flat_map(|remote| locals_of(remote).into_iter().map(move |local| path(remote, local)));
        Self(paths.collect())
    }

    /// What stands for each path in the session, best first.
    pub(in crate::io) fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.0.len()).map(address).collect()
    }

    /// What stands for the path by which a datagram came.
    pub(in crate::io) fn address_of(&self, token: u32, source: SocketAddr) -> Option<SocketAddr> {
        let is_it = |path: &Path| path.token == Some(token) && path.remote == source;
        self.0.iter().position(is_it).map(address)
    }

    /// The path that `address` stands for.
    pub(in crate::io) fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Path> {
        self.0.get_mut(index(address)?)
    }

    /// As [`get_mut`](Self::get_mut).
    pub(in crate::io) fn get(&self, address: SocketAddr) -> Option<&Path> {
        self.0.get(index(address)?)
    }

    pub(in crate::io) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Path> {
        self.0.iter_mut()
    }

    /// Forgets a socket that is closed, and returns what stands for its path.
    pub(in crate::io) fn lose(&mut self, token: u32) -> Option<SocketAddr> {
        let at = self.0.iter().position(|path| path.token == Some(token))?;
        self.0[at].token = None;
        Some(address(at))
    }

    /// The connections beside the selected path, which are not needed any more. They are forgotten.
    pub(in crate::io) fn take_spare_connections(&mut self, selected: SocketAddr) -> Vec<u32> {
        let spare = self
            .0
            .iter_mut()
            .enumerate()
            .filter(|(at, path)| path.protocol == Protocol::Tcp && address(*at) != selected);
        spare.filter_map(|(_, path)| path.token.take()).collect()
    }

    /// All sockets, each once.
    pub(in crate::io) fn tokens(&self) -> Vec<u32> {
        let mut tokens: Vec<u32> = self.0.iter().filter_map(|path| path.token).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

fn address(at: usize) -> SocketAddr {
    let [high, low] = [(at >> 16) as u16, at as u16];
    (Ipv6Addr::new(PREFIX, 0, 0, 0, 0, 0, high, low), PORT).into()
}

fn index(address: SocketAddr) -> Option<usize> {
    let SocketAddr::V6(address) = address else { return None };
    match address.ip().segments() {
        [PREFIX, 0, 0, 0, 0, 0, high, low] if address.port() == PORT => {
            Some(usize::from(high) << 16 | usize::from(low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(protocol: Protocol, address: &str) -> Remote {
        Remote { protocol, address: address.parse().unwrap() }
    }

    #[test]
    fn each_candidate_is_reached_from_each_local_address_of_its_family() {
        let remotes = [remote(Protocol::Udp, "192.0.2.1:4000"), remote(Protocol::Udp, "[2001:db8::1]:4000")];
        let locals: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2", "::1"].map(|ip| ip.parse().unwrap()).to_vec();
        let mut paths = Paths::new(&remotes, &locals);
        let pairs: Vec<_> =
            paths.iter_mut().map(|path| (path.local.unwrap(), path.remote.is_ipv6())).collect();
        assert_eq!(pairs, [(locals[0], false), (locals[1], false), (locals[2], true)]);
        assert_eq!(Paths::new(&remotes, &[]).addresses().len(), 2);
    }

    #[test]
    fn udp_and_tcp_of_one_address_are_two_paths() {
        let remotes = [remote(Protocol::Udp, "192.0.2.1:4000"), remote(Protocol::Tcp, "192.0.2.1:4000")];
        let mut paths = Paths::new(&remotes, &[]);
        let addresses = paths.addresses();
        paths.get_mut(addresses[0]).unwrap().token = Some(5);
        paths.get_mut(addresses[1]).unwrap().token = Some(6);
        let source = remotes[0].address;
        assert_eq!(paths.address_of(6, source), Some(addresses[1]));
        assert_eq!(paths.address_of(7, source), None);
        assert_eq!(paths.get(addresses[1]).unwrap().protocol, Protocol::Tcp);
        assert!(paths.get("[100::2]:9".parse().unwrap()).is_none() && paths.get(source).is_none());
        assert_eq!(paths.take_spare_connections(addresses[0]), [6]);
        assert_eq!(paths.tokens(), [5]);
        assert_eq!(paths.lose(5), Some(addresses[0]));
    }
}
