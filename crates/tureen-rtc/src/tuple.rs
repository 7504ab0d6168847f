//! Identifiers of network paths.

use std::net::SocketAddr;

/// A local socket: a UDP socket, a TCP listener or one accepted TCP connection. The driver of the sockets assigns the
/// ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// A network path: a local socket and a remote address (mediasoup's TransportTuple).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The local socket.
    pub socket: SocketId,
    /// The remote address.
    pub remote: SocketAddr,
}
