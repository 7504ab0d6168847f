//! Creation of sockets: options, port ranges and error texts.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, Socket, Type};

/// Size of a socket buffer if [`UdpOptions`] has none: 4 MiB. It is a limit, not an allocation; the kernel may grant
/// less (Linux: `net.core.rmem_max` and `net.core.wmem_max`).
pub const DEFAULT_SOCKET_BUFFER: usize = 4 << 20;

/// Options of a UDP socket.
#[derive(Clone, Debug)]
pub struct UdpOptions {
    /// Local address.
    pub ip: IpAddr,
    /// Local port, or the ports to choose from.
    pub port: Port,
    /// Restrict a socket on `::` to IPv6. Otherwise the socket receives IPv4 as well, and addresses are reported in
    /// IPv4 form. Ignored for IPv4 addresses.
    pub ipv6_only: bool,
    /// Let other sockets bind the same port (`SO_REUSEPORT`); the kernel distributes datagrams among them by source.
    /// The first port tried of a range is then always free. Unix only.
    pub reuse_port: bool,
    /// Bytes that may wait for the network card. Default [`DEFAULT_SOCKET_BUFFER`]. Datagrams beyond that are dropped
    /// by a flush, so the buffer should hold a burst: a key frame for every receiver on this socket. Best effort.
    pub send_buffer: Option<usize>,
    /// Bytes that may wait for [`Net::receive`](crate::Net::receive). Default [`DEFAULT_SOCKET_BUFFER`]. The size
    /// bounds how long the worker may be busy otherwise without loss. Best effort.
    pub recv_buffer: Option<usize>,
}

/// Options of a TCP listener.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Local address.
    pub ip: IpAddr,
    /// Local port, or the ports to choose from.
    pub port: Port,
    /// Restrict a listener on `::` to IPv6. Ignored for IPv4 addresses.
    pub ipv6_only: bool,
    /// Bytes that may wait in the kernel to be sent on one connection. `None` is the system's default. A smaller
    /// buffer makes late media be dropped sooner.
    pub send_buffer: Option<usize>,
    /// Bytes that may wait in the kernel to be received on one connection. `None` is the system's default.
    pub recv_buffer: Option<usize>,
}

/// The local port of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// This port.
    Fixed(u16),
    /// A free port of this range. Each is tried once from a random start, so that workers with the same range seldom
    /// collide.
    Range(RangeInclusive<u16>),
    /// An ephemeral port chosen by the operating system.
    Any,
}

impl UdpOptions {
    /// Options for `ip` and `port`, with defaults otherwise.
    pub fn new(ip: IpAddr, port: Port) -> Self {
        Self { ip, port, ipv6_only: false, reuse_port: false, send_buffer: None, recv_buffer: None }
    }

    /// Creates and binds the socket. The error names the address and the port or range.
    pub(crate) fn bind(&self) -> io::Result<UdpSocket> {
        self.try_bind(random()).map_err(|error| named(&error, "UDP socket", self.ip, &self.port))
    }

    fn try_bind(&self, random: u64) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address((self.ip, 0).into()), Type::DGRAM, Some(Protocol::UDP))?;
        if self.ip.is_ipv6() {
            socket.set_only_v6(self.ipv6_only)?;
        }
        if self.reuse_port {
            set_reuse_port(&socket)?;
        }
        self.size_buffers(&socket);
        self.port.bind(&socket, self.ip, random)?;
        Ok(socket.into())
    }

    fn size_buffers(&self, socket: &Socket) {
        let send = self.send_buffer.unwrap_or(DEFAULT_SOCKET_BUFFER);
        let recv = self.recv_buffer.unwrap_or(DEFAULT_SOCKET_BUFFER);
        // Errors are ignored, because some systems refuse a size that Linux would clamp; the default size serves
        // then.
        let refused = socket.set_send_buffer_size(send).and(socket.set_recv_buffer_size(recv)).err();
        let granted = (socket.send_buffer_size().unwrap_or(0), socket.recv_buffer_size().unwrap_or(0));
        if granted.0 < send || granted.1 < recv {
            tracing::debug!(
                ?refused,
                send,
                recv,
                granted.send = granted.0,
                granted.recv = granted.1,
                "socket buffers are smaller than asked for; raise net.core.wmem_max and net.core.rmem_max"
            );
        }
    }
}

impl TcpOptions {
    /// Creates, binds and opens the listener. The error names the address and the port or range.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        self.try_listen(random()).map_err(|error| named(&error, "TCP listener", self.ip, &self.port))
    }

    fn try_listen(&self, random: u64) -> io::Result<TcpListener> {
        let socket =
            Socket::new(Domain::for_address((self.ip, 0).into()), Type::STREAM, Some(Protocol::TCP))?;
        if self.ip.is_ipv6() {
            socket.set_only_v6(self.ipv6_only)?;
        }
        // Ignores connections of an earlier process in TIME_WAIT. Not on Windows, where the option lets two listeners
        // share a port.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        // Accepted connections inherit the buffer sizes.
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.recv_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        self.port.bind(&socket, self.ip, random)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

impl Port {
    fn bind(&self, socket: &Socket, ip: IpAddr, random: u64) -> io::Result<()> {
        match self {
            Port::Fixed(port) => socket.bind(&SocketAddr::from((ip, *port)).into()),
            Port::Any => socket.bind(&SocketAddr::from((ip, 0)).into()),
            Port::Range(range) => bind_in_range(socket, ip, range, random),
        }
    }
}

/// Backlog of connections that the kernel completes before `accept`.
const BACKLOG: i32 = 256;

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn named(error: &io::Error, what: &str, ip: IpAddr, port: &Port) -> io::Error {
    let address = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    io::Error::new(error.kind(), format!("cannot bind a {what} to {address}, {port}: {error}"))
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Fixed(port) => write!(f, "port {port}"),
            Port::Range(range) => write!(f, "no free port in {}-{}", range.start(), range.end()),
            Port::Any => f.write_str("any port"),
        }
    }
}

/// Tries each port of `range` once, starting at an offset chosen by `random`.
fn bind_in_range(socket: &Socket, ip: IpAddr, range: &RangeInclusive<u16>, random: u64) -> io::Result<()> {
    let count = range.len() as u64;
    if count == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the range is empty"));
    }
    let mut result = Ok(());
    for attempt in 0..count {
        let offset = (random % count + attempt) % count;
        let port = range.start() + u16::try_from(offset).expect("the offset lies inside a range of u16");
        result = socket.bind(&SocketAddr::from((ip, port)).into());
        match &result {
            // A port that may not be bound counts as busy: privileged ports, and on Windows reserved ones.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {}
            _ => return result,
        }
    }
    result
}

#[cfg(unix)]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn set_reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no SO_REUSEPORT"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn busy_range_is_named_in_the_error() {
        let taken = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = UdpOptions::new(LOCALHOST, Port::Range(port..=port)).bind().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.contains(&format!("127.0.0.1, no free port in {port}-{port}: ")), "{text}");
    }

    #[test]
    fn busy_port_is_named_in_the_error() {
        let taken = UdpSocket::bind((LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = UdpOptions::new(LOCALHOST, Port::Fixed(port)).bind().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("127.0.0.1, port {port}: ")), "{error}");
    }

    #[test]
    fn range_is_searched_around_its_end() {
        // Two neighbouring ports, the upper one taken; a start at the upper one must wrap to the lower.
        let (lower, upper) = (0..100)
            .find_map(|_| {
                let lower = UdpSocket::bind((LOCALHOST, 0)).unwrap();
                let port = lower.local_addr().unwrap().port();
                Some((lower, UdpSocket::bind((LOCALHOST, port.checked_add(1)?)).ok()?))
            })
            .expect("two neighbouring ports are free");
        let range = lower.local_addr().unwrap().port()..=upper.local_addr().unwrap().port();
        drop(lower);
        let socket = UdpOptions::new(LOCALHOST, Port::Range(range.clone())).try_bind(1).unwrap();
        assert_eq!(socket.local_addr().unwrap().port(), *range.start());
    }

    #[test]
    fn empty_range_is_refused() {
        #[allow(clippy::reversed_empty_ranges)]
        let error = UdpOptions::new(LOCALHOST, Port::Range(2..=1)).bind().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
