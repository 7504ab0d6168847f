//! Plain system calls, for systems without a fast path.
#![allow(unsafe_code)]

use std::net::{SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use polling::{Event, Events, PollMode};

#[cfg(unix)]
use crate::net::Interest;
use crate::receive::{Message, Slots};
use crate::send::Run;

/// Maximum of messages in one call.
pub(crate) const MAX_BATCH: usize = 64;

/// Every received message is one datagram.
pub(crate) const HAS_GRO: bool = false;

/// Key of watched file descriptors. Differs from tokens, which are 32 bits wide, and from the largest key, which the
/// poller reserves.
const WATCHED: usize = usize::MAX - 1;

/// Sockets of every kind.
#[cfg(unix)]
pub(crate) trait Source: std::os::fd::AsFd + std::os::fd::AsRawFd {}
#[cfg(unix)]
impl<T: std::os::fd::AsFd + std::os::fd::AsRawFd> Source for T {}
/// Sockets of every kind.
#[cfg(windows)]
pub(crate) trait Source: std::os::windows::io::AsSocket + std::os::windows::io::AsRawSocket {}
#[cfg(windows)]
impl<T: std::os::windows::io::AsSocket + std::os::windows::io::AsRawSocket> Source for T {}

/// Readiness reported by the poller.
pub(crate) enum Ready {
    /// The socket of this token is readable.
    Socket(u32),
    /// A watched file descriptor is ready.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are file descriptors on Unix only"))]
    Watched,
}

/// Readiness of sockets. Level-triggered: a socket that is not drained is reported again.
pub(crate) struct Poller {
    poller: Arc<polling::Poller>,
    events: Events,
}

/// Wakes the poller.
pub(crate) struct Notifier {
    poller: Arc<polling::Poller>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<(Self, Notifier)> {
        let poller = Arc::new(polling::Poller::new()?);
        Ok((Self { poller: poller.clone(), events: Events::new() }, Notifier { poller }))
    }

    pub(crate) fn add<S: Source>(&self, socket: &S, token: u32) -> io::Result<()> {
        // SAFETY: `Net` removes every socket before it drops it.
        unsafe { self.poller.add_with_mode(socket, Event::readable(token as usize), PollMode::Level) }
    }

    /// Also reports when the stream is writable, from now on.
    pub(crate) fn set_writable<S: Source>(&self, socket: &S, token: u32, writable: bool) -> io::Result<()> {
        let event = Event::new(token as usize, true, writable);
        self.poller.modify_with_mode(socket, event, PollMode::Level)
    }

    /// To be called before the socket is closed.
    pub(crate) fn remove<S: Source>(&self, socket: &S) {
        self.poller.delete(socket).expect("the socket was added");
    }

    #[cfg(unix)]
    pub(crate) fn watch(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        let event = Event::new(WATCHED, interest.readable, interest.writable);
        match self.poller.modify_with_mode(fd, event, PollMode::Level) {
            // SAFETY: `Net` asks its caller to unwatch a file descriptor before it is closed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => unsafe {
                self.poller.add_with_mode(&fd, event, PollMode::Level)
            },
            result => result,
        }
    }

    #[cfg(unix)]
    pub(crate) fn unwatch(&self, fd: BorrowedFd<'_>) {
        // An error means that the descriptor is not watched.
        let _ = self.poller.delete(fd);
    }

    /// Waits and calls `on_ready` for each ready descriptor.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut on_ready: impl FnMut(Ready),
    ) -> io::Result<()> {
        self.events.clear();
        match self.poller.wait(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => drop(result?),
        }
        for event in self.events.iter() {
            match event.key {
                WATCHED => on_ready(Ready::Watched),
                token => on_ready(Ready::Socket(token as u32)),
            }
        }
        Ok(())
    }
}

impl Notifier {
    pub(crate) fn notify(&self) {
        if let Err(error) = self.poller.notify() {
            tracing::error!(%error, "cannot wake a worker");
        }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("poller", &self.poller).finish_non_exhaustive()
    }
}

/// False: every datagram is a message of its own.
pub(crate) fn supports_gso(_: &UdpSocket) -> bool {
    false
}

/// No GRO here.
pub(crate) fn enable_gro(_: &UdpSocket) {}

/// Bounds the unacknowledged bytes, because there is no portable bound of unsent bytes. A stream therefore carries at
/// most twice `bytes` per round trip.
pub(crate) fn limit_unsent(socket: &TcpStream, bytes: usize) {
    if let Err(error) = socket2::SockRef::from(socket).set_send_buffer_size(bytes * 2) {
        tracing::debug!(%error, "no bound of what TCP has not sent");
    }
}

/// Unsent bytes that the operating system holds. Always 0, because it does not report them.
pub(crate) fn unsent(_: &TcpStream) -> usize {
    0
}

/// False, because nothing is sent with GSO.
pub(crate) fn refuses_gso(_: &io::Error) -> bool {
    false
}

/// False, like [`refuses_gso`].
pub(crate) fn lacks_gso(_: &io::Error) -> bool {
    false
}

/// True if a send failed because the send buffer is full.
pub(crate) fn is_buffer_full(error: &io::Error) -> bool {
    #[cfg(unix)]
    let no_buffers = error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error());
    #[cfg(not(unix))]
    let no_buffers = false;
    no_buffers || error.kind() == io::ErrorKind::WouldBlock
}

/// Empty, because a plain call needs no headers.
#[derive(Debug)]
pub(crate) struct Scratch;

impl Scratch {
    pub(crate) fn new() -> Self {
        Self
    }
}

/// Receives a datagram into each slot and appends to `messages`. Returns true if the socket is drained.
pub(crate) fn receive(
    socket: &UdpSocket,
    _: &mut Scratch,
    buffer: &mut [u8],
    slots: Slots,
    messages: &mut Vec<Message>,
    calls: &mut u64,
) -> io::Result<bool> {
    for (i, place) in buffer.chunks_exact_mut(slots.stride).take(slots.count).enumerate() {
        *calls += 1;
        let (len, source) = match socket.recv_from(&mut place[..slots.size]) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_too_long(&error) => (slots.size, SocketAddr::from(([0, 0, 0, 0], 0))),
            // Datagrams before the error are delivered. A persistent error is returned by the next call.
            Err(_) if !messages.is_empty() => return Ok(false),
            Err(error) => return Err(error),
        };
        let source = match source {
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(ip) => SocketAddr::from((ip, v6.port())),
                None => source, // with its scope
            },
            SocketAddr::V4(_) => source,
        };
        messages.push(Message { start: i * slots.stride, len, segment_size: len.max(1), source });
    }
    Ok(false)
}

/// Windows reports a truncated datagram as an error, without its first bytes.
fn is_too_long(error: &io::Error) -> bool {
    const WSAEMSGSIZE: i32 = 10_040;
    cfg!(windows) && error.raw_os_error() == Some(WSAEMSGSIZE)
}

/// Sends `runs`, single datagrams in `memory`. Returns how many the kernel accepted, at least one.
pub(crate) fn send(
    socket: &UdpSocket,
    ipv6: bool,
    _: &mut Scratch,
    memory: &[u8],
    runs: &[Run],
    calls: &mut u64,
) -> io::Result<usize> {
    for (sent, run) in runs.iter().enumerate() {
        *calls += 1;
        let destination = match run.destination {
            SocketAddr::V4(v4) if ipv6 => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
            destination => destination,
        };
        match socket.send_to(&memory[run.start..][..run.len], destination) {
            Ok(_) => {}
            Err(error) if sent == 0 => return Err(error),
            Err(_) => return Ok(sent), // A persistent error is returned by the next call.
        }
    }
    Ok(runs.len())
}
