//! The sockets of one I/O thread, and the peers that they belong to.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tureen_net::{Connection, Net, Port, UdpOptions};
use tureen_types::data_structures::Protocol;

use super::client_io::PeerKey;
use super::peer::{Path, Paths};

/// Sockets by token.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) net: Net,
    /// Send and receive buffer of each.
    buffer: usize,
    pub(super) owners: Owners,
    free_tokens: Vec<u32>,
}

/// Which peer a socket belongs to, by token.
#[derive(Debug, Default)]
pub(super) struct Owners(Vec<Option<PeerKey>>);

impl Sockets {
    pub(super) fn new(net: Net, buffer: usize) -> Self {
        Self { net, buffer, owners: Owners::default(), free_tokens: Vec::new() }
    }

    /// Binds a UDP socket for each local address of the paths, or one for each family where the system chooses. Those that
    /// can't be bound, as on a host without IPv6, are left out.
    ///
    /// # Errors
    /// None can be bound, and there is no TCP path.
    pub(super) fn bind_udp(&mut self, key: PeerKey, paths: &mut Paths) -> io::Result<()> {
        let mut bound: Vec<(IpAddr, Result<u32, ()>)> = Vec::new();
        let mut failure = None;
        let mut usable = false;
        for path in paths.iter_mut() {
            if path.protocol == Protocol::Tcp {
                usable = true;
                continue;
            }
            let ip = path.local.unwrap_or_else(|| unspecified(path.remote));
            let known = bound.iter().find(|(other, _)| *other == ip).map(|(_, token)| *token);
            let token = known.unwrap_or_else(|| {
                let token = self.bind(key, ip).map_err(|error| {
                    let _ = failure.get_or_insert(error);
                });
                bound.push((ip, token));
                token
            });
            path.token = token.ok();
            usable |= token.is_ok();
        }
        match failure {
            Some(error) if !usable => Err(error),
            Some(error) => {
                tracing::debug!(%error, "a local address is not used");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The socket of a path. A TCP path that has none is connected.
    pub(super) fn of_path(&mut self, key: PeerKey, path: &mut Path) -> Option<u32> {
        if path.token.is_none() && path.protocol == Protocol::Tcp {
            let token = self.allot(key);
            let connection = Connection::open(path.remote, path.local);
            match connection.and_then(|connection| self.net.adopt_stream(token, connection)) {
                Ok(()) => path.token = Some(token),
                Err(error) => {
                    tracing::debug!(%error, "an ICE candidate can't be reached by TCP");
                    self.forget(token);
                }
            }
        }
        path.token
    }

    /// Closes a socket.
    pub(super) fn close(&mut self, token: u32) {
        self.net.close(token);
        self.forget(token);
    }

    /// Forgets a socket that is closed.
    pub(super) fn forget(&mut self, token: u32) {
        self.owners.0[token as usize] = None;
        self.free_tokens.push(token);
    }

    fn bind(&mut self, key: PeerKey, ip: IpAddr) -> io::Result<u32> {
        let mut options = UdpOptions::new(ip, Port::Any);
        options.ipv6_only = true;
        options.send_buffer = Some(self.buffer);
        options.recv_buffer = Some(self.buffer);
        let token = self.allot(key);
        match self.net.bind_udp(token, &options) {
            Ok(_) => Ok(token),
            Err(error) => {
                self.forget(token);
                Err(error)
            }
        }
    }

    fn allot(&mut self, key: PeerKey) -> u32 {
        let token = self.free_tokens.pop().unwrap_or_else(|| {
            self.owners.0.push(None);
            self.owners.0.len() as u32 - 1
        });
        self.owners.0[token as usize] = Some(key);
        token
    }
}

impl Owners {
    pub(super) fn of(&self, token: u32) -> Option<PeerKey> {
        self.0.get(token as usize).copied().flatten()
    }
}

fn unspecified(remote: SocketAddr) -> IpAddr {
    if remote.is_ipv6() { [0_u16; 8].into() } else { [0_u8; 4].into() }
}
