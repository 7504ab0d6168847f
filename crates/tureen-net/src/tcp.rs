//! TCP: listeners, and streams that carry datagrams in frames (RFC 4571).
//!
//! A stream behaves like a UDP socket with one remote side and is used by the same calls. Only its start and its end
//! are reported.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::framing;
use crate::receive::Message;
use crate::stats::NetStats;
use crate::stream_queue::SendQueue;
use crate::sys::{self, Poller};

/// Event of a TCP socket.
#[derive(Debug)]
pub enum StreamEvent {
    /// A remote side has connected to a listener.
    Incoming {
        /// Token of the listener.
        listener: u32,
        /// Address of the remote side.
        remote: SocketAddr,
        /// The connection, for [`Net::adopt_stream`](crate::Net::adopt_stream). Dropping it closes it.
        connection: Connection,
    },
    /// A stream was closed by the remote side, by an error, or because of a frame that is too long. Its token is
    /// free.
    Closed {
        /// Token that the stream had.
        token: u32,
    },
    /// The backlog of a stream has become late, because the remote side receives too slowly, or is empty again.
    Backlog {
        /// Token of the stream.
        token: u32,
        /// True if a datagram has waited for a third of
        /// [`NetConfig::stream_queue_time`](crate::NetConfig::stream_queue_time).
        late: bool,
    },
}

/// A connection without a token.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    remote: SocketAddr,
}

impl Connection {
    /// Begins to connect to `remote`, from `local` if that is given, and does not wait. What is sent before the connection
    /// is there waits; a connection that comes to nothing is reported as [`StreamEvent::Closed`].
    ///
    /// # Errors
    /// The error of the operating system, in a text that names the address.
    pub fn open(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot connect to {remote}: {error}"));
        let socket =
            Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP)).map_err(named)?;
        socket.set_nonblocking(true).map_err(named)?;
        if let Some(local) = local {
            socket.bind(&SocketAddr::from((local, 0)).into()).map_err(named)?;
        }
        match socket.connect(&remote.into()) {
            Ok(()) => {}
            Err(error) if is_under_way(&error) => {}
            Err(error) => return Err(named(error)),
        }
        Ok(Self { socket: socket.into(), remote })
    }
}

/// Bounds of each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Longest frame accepted.
    pub(crate) frame: usize,
    /// Bytes that may wait to be sent before datagrams are dropped; twice as many for essential ones.
    pub(crate) queue: usize,
    /// Time that a datagram may wait before it is dropped, unless it is essential.
    pub(crate) queue_time: Duration,
}

/// Target of log lines. They are about ICE, because only ICE listens for TCP connections.
const LOG_TARGET: &str = "tureen::ice";

/// Maximum of unsent bytes that the kernel holds for a stream. The kernel's bytes cannot be dropped any more; half of them
/// must cover the time that this thread is busy otherwise.
const KERNEL_QUEUE: usize = 8 << 10;

/// A backlog is late when a datagram has waited for this fraction (1/n) of [`StreamLimits::queue_time`]. Over a link with a
/// third of the bitrate, the datagrams queued until then are sent within that time, so that none is dropped.
const LATE: u32 = 3;

/// Listeners and streams of a worker.
#[derive(Debug)]
pub(crate) struct Tcp {
    limits: StreamLimits,
    listeners: HashMap<u32, Listener>,
    streams: HashMap<u32, Stream>,
    /// Listeners that may have incoming connections.
    accepting: VecDeque<u32>,
    /// Suspended listeners, and until when.
    paused: Vec<(Instant, u32)>,
    /// Streams with datagrams queued since the last flush.
    dirty: Vec<u32>,
    /// Closed streams that are not reported yet.
    closed: VecDeque<u32>,
    /// Streams whose backlog has become late, or is empty again, not reported yet.
    backlogs: VecDeque<(u32, bool)>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    ready: bool,
}

#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    remote: SocketAddr,
    ready: bool,
    /// Start of an incomplete frame.
    partial: Vec<u8>,
    queue: SendQueue,
    /// True if the backlog was reported as late.
    late: bool,
    dirty: bool,
    /// True if the poller reports when the stream is writable.
    awaits_room: bool,
}

/// Time that a listener is suspended when there are no file descriptors for its connections.
const PAUSE: Duration = Duration::from_millis(200);

impl Tcp {
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            listeners: HashMap::new(),
            streams: HashMap::new(),
            accepting: VecDeque::new(),
            paused: Vec::new(),
            dirty: Vec::new(),
            closed: VecDeque::new(),
            backlogs: VecDeque::new(),
        }
    }

    pub(crate) fn contains(&self, token: u32) -> bool {
        self.listeners.contains_key(&token) || self.streams.contains_key(&token)
    }

    pub(crate) fn has_stream(&self, token: u32) -> bool {
        // Early return, because most workers have no listeners and streams.
        !self.streams.is_empty() && self.streams.contains_key(&token)
    }

    pub(crate) fn add_listener(
        &mut self,
        poller: &Poller,
        token: u32,
        socket: TcpListener,
    ) -> io::Result<()> {
        poller.add(&socket, token)?;
        self.listeners.insert(token, Listener { socket, ready: false });
        Ok(())
    }

    pub(crate) fn add_stream(
        &mut self,
        poller: &Poller,
        token: u32,
        connection: Connection,
    ) -> io::Result<()> {
        let Connection { socket, remote } = connection;
        socket.set_nonblocking(true)?;
        // No Nagle delay, because frames are small and useless when late.
        socket.set_nodelay(true)?;
        sys::limit_unsent(&socket, KERNEL_QUEUE);
        poller.add(&socket, token)?;
        let stream = Stream {
            socket,
            remote,
            ready: false,
            partial: Vec::new(),
            queue: SendQueue::default(),
            late: false,
            dirty: false,
            awaits_room: false,
        };
        self.streams.insert(token, stream);
        Ok(())
    }

    /// Closes a listener or a stream without reporting it.
    pub(crate) fn close(&mut self, poller: &Poller, token: u32) {
        if let Some(listener) = self.listeners.remove(&token) {
            self.accepting.retain(|other| *other != token);
            let was_paused = self.paused.iter().any(|(_, other)| *other == token);
            self.paused.retain(|(_, other)| *other != token);
            if !was_paused {
                poller.remove(&listener.socket);
            }
        } else if let Some(stream) = self.streams.remove(&token) {
            poller.remove(&stream.socket);
        }
        self.closed.retain(|other| *other != token);
        self.backlogs.retain(|(other, _)| *other != token);
    }

    pub(crate) fn close_all(&mut self, poller: &Poller) {
        let tokens: Vec<u32> = self.listeners.keys().chain(self.streams.keys()).copied().collect();
        for token in tokens {
            self.close(poller, token);
        }
    }

    /// Handles readiness of a token. Returns true if it is a stream to receive from.
    pub(crate) fn on_ready(&mut self, token: u32) -> bool {
        if let Some(stream) = self.streams.get_mut(&token) {
            return !std::mem::replace(&mut stream.ready, true);
        }
        if let Some(listener) = self.listeners.get_mut(&token)
            && !std::mem::replace(&mut listener.ready, true)
        {
            self.accepting.push_back(token);
        }
        false
    }

    /// True if there is no event to report.
    pub(crate) fn is_idle(&self) -> bool {
        self.accepting.is_empty() && self.closed.is_empty() && self.backlogs.is_empty()
    }

    /// When the next suspended listener is resumed.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused.iter().map(|(until, _)| *until).min()
    }

    /// Resumes suspended listeners whose time has come.
    pub(crate) fn resume(&mut self, poller: &Poller, now: Instant) {
        let (due, rest) = self.paused.drain(..).partition(|(until, _)| *until <= now);
        self.paused = rest;
        let due: Vec<(Instant, u32)> = due;
        for (_, token) in due {
            if let Some(listener) = self.listeners.get(&token)
                && let Err(error) = poller.add(&listener.socket, token)
            {
                tracing::warn!(target: LOG_TARGET, token, %error, "can't accept TCP connections yet");
                self.paused.push((now + PAUSE, token));
            }
        }
    }

    /// The next event, if any.
    pub(crate) fn next_event(
        &mut self,
        poller: &Poller,
        now: Instant,
        stats: &mut NetStats,
    ) -> Option<StreamEvent> {
        if let Some(token) = self.closed.pop_front() {
            return Some(StreamEvent::Closed { token });
        }
        if let Some((token, late)) = self.backlogs.pop_front() {
            return Some(StreamEvent::Backlog { token, late });
        }
        while let Some(&token) = self.accepting.front() {
            let Some(listener) = self.listeners.get_mut(&token) else {
                self.accepting.pop_front();
                continue;
            };
            match listener.socket.accept() {
                Ok((socket, remote)) => {
                    // To the back of the queue: listeners take turns.
                    self.accepting.rotate_left(1);
                    let remote = canonical(remote);
                    let connection = Connection { socket, remote };
                    return Some(StreamEvent::Incoming { listener: token, remote, connection });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_about_one_connection(&error) => continue,
                Err(error) => {
                    // No file descriptors or no memory: the connection waits in the kernel's queue.
                    tracing::warn!(target: LOG_TARGET, token, %error, "can't accept TCP connections");
                    stats.accept_errors += 1;
                    poller.remove(&listener.socket);
                    self.paused.push((now + PAUSE, token));
                }
            }
            listener.ready = false;
            self.accepting.pop_front();
        }
        None
    }

    /// Reads from a stream into `buffer`, appends its complete frames to `messages`, and writes the queued frames
    /// that there is room for.
    pub(crate) fn receive(
        &mut self,
        poller: &Poller,
        now: Instant,
        token: u32,
        buffer: &mut [u8],
        messages: &mut Vec<Message>,
        stats: &mut NetStats,
    ) {
        messages.clear();
        let Some(stream) = self.streams.get_mut(&token) else { return };
        // Unread bytes are reported again.
        stream.ready = false;
        stats.receive_calls += 1;
        let written = match stream.awaits_room {
            true => {
                stats.dropped_late += stream.queue.drop_late(now, self.limits.queue_time) as u64;
                stream.write(poller, token, stats)
            }
            false => Ok(()),
        };
        if stream.looks_late(now, &self.limits) {
            self.backlogs.push_back((token, stream.late));
        }
        let received = stream.read(buffer, self.limits.frame, messages);
        for message in &*messages {
            stats.datagrams_in += 1;
            stats.bytes_in += message.len as u64;
        }
        if received.is_err() || written.is_err() {
            self.end(poller, token, stats);
        }
    }

    /// Queues the datagrams of a commit. Datagrams beyond the limit are dropped; `essential` ones have twice the
    /// room.
    pub(crate) fn queue(
        &mut self,
        now: Instant,
        token: u32,
        datagrams: std::slice::Chunks<'_, u8>,
        essential: bool,
        stats: &mut NetStats,
    ) {
        let Some(stream) = self.streams.get_mut(&token) else { return };
        let limit = if essential { 2 * self.limits.queue } else { self.limits.queue };
        for datagram in datagrams {
            if stream.queue.push(now, datagram, essential, limit) {
                stats.record_sent(1, datagram.len());
            } else {
                stats.dropped_send_buffer_full += 1;
            }
        }
        if !std::mem::replace(&mut stream.dirty, true) {
            self.dirty.push(token);
        }
    }

    /// Writes queued frames as long as there is room, and drops those that have waited too long.
    pub(crate) fn flush(&mut self, poller: &Poller, now: impl Fn() -> Instant, stats: &mut NetStats) {
        while let Some(token) = self.dirty.pop() {
            let Some(stream) = self.streams.get_mut(&token) else { continue };
            stream.dirty = false;
            // A stream that waits to be writable is flushed when the poller reports it.
            if !stream.awaits_room && stream.write(poller, token, stats).is_err() {
                self.end(poller, token, stats);
                continue;
            }
            if stream.awaits_room {
                let now = now();
                stats.dropped_late += stream.queue.drop_late(now, self.limits.queue_time) as u64;
                if stream.looks_late(now, &self.limits) {
                    self.backlogs.push_back((token, stream.late));
                }
            }
        }
    }

    /// Closes a stream and reports it.
    fn end(&mut self, poller: &Poller, token: u32, stats: &mut NetStats) {
        if let Some(stream) = self.streams.remove(&token) {
            poller.remove(&stream.socket);
            stats.streams_ended += 1;
            self.backlogs.retain(|(other, _)| *other != token);
            self.closed.push_back(token);
        }
    }
}

impl Stream {
    /// True if the backlog has become late or is empty again since the last report.
    fn looks_late(&mut self, now: Instant, limits: &StreamLimits) -> bool {
        let late = match self.late {
            true => !self.queue.is_empty(),
            false => self.queue.age(now) > limits.queue_time / LATE,
        };
        std::mem::replace(&mut self.late, late) != late
    }

    /// Reads once. An error ends the stream.
    fn read(&mut self, buffer: &mut [u8], max_frame: usize, messages: &mut Vec<Message>) -> io::Result<()> {
        let begun = self.partial.len();
        buffer[..begun].copy_from_slice(&self.partial);
        let read = loop {
            match self.socket.read(&mut buffer[begun..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let bytes = &buffer[..begun + read];
        let source = self.remote;
        let taken = framing::split(bytes, max_frame, |frame| {
            messages.push(Message {
                start: frame.start,
                len: frame.len(),
                segment_size: frame.len(),
                source,
            });
        });
        let taken = taken.map_err(|_| io::ErrorKind::InvalidData)?;
        self.partial.clear();
        self.partial.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Writes as much as there is room for. An error ends the stream.
    fn write(&mut self, poller: &Poller, token: u32, stats: &mut NetStats) -> io::Result<()> {
        while !self.queue.is_empty() {
            let room = KERNEL_QUEUE.saturating_sub(sys::unsent(&self.socket));
            if room == 0 {
                break;
            }
            stats.send_calls += 1;
            match self.socket.write(self.queue.next(room)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.queue.on_sent(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let awaits_room = !self.queue.is_empty();
        if awaits_room != self.awaits_room {
            poller.set_writable(&self.socket, token, awaits_room)?;
            self.awaits_room = awaits_room;
        }
        Ok(())
    }
}

/// Converts mapped addresses of a dual-stack socket to IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// True if a connection is being made.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    let in_progress = error.raw_os_error() == Some(libc::EINPROGRESS);
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || error.kind() == io::ErrorKind::WouldBlock
}

/// True for errors of `accept` that concern one connection, not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
