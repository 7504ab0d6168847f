//! TCP: listeners, and streams that carry datagrams in frames (RFC 4571).
//!
//! A stream behaves like a UDP socket with a single remote side, so that whoever uses this need not care: datagrams come
//! in and go out by the same calls. Only its beginning and its end are told of.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::framing;
use crate::receive::Message;
use crate::stats::NetStats;
use crate::stream_queue::SendQueue;
use crate::sys::{self, Poller};

/// What happened to TCP sockets.
#[derive(Debug)]
pub enum StreamEvent {
    /// Somebody has connected to the listener of this token.
    Incoming {
        /// The listener.
        listener: u32,
        /// Who it is.
        remote: SocketAddr,
        /// To be named by [`Net::adopt_stream`](crate::Net::adopt_stream); dropped, it is closed.
        connection: Connection,
    },
    /// The stream of this token has ended: by the remote side, by an error, or by a frame larger than is taken. Its token
    /// is free.
    Closed {
        /// The stream it was.
        token: u32,
    },
    /// Its remote side takes less than is sent: what waits to be sent by the stream of this token is late, or all of it was
    /// sent.
    Backlog {
        /// The stream.
        token: u32,
        /// Whether something has waited for a third of [`NetConfig::stream_queue_time`](crate::NetConfig::stream_queue_time).
        late: bool,
    },
}

/// A connection without a token.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    remote: SocketAddr,
}

/// Bounds of each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Longest frame that is taken.
    pub(crate) frame: usize,
    /// Bytes that may wait to be sent before datagrams are dropped; twice as much for essential ones.
    pub(crate) queue: usize,
    /// How long a datagram may wait before it is dropped, if it is not essential.
    pub(crate) queue_time: Duration,
}

/// Target of log lines: they are about ICE, because only ICE listens for TCP connections.
const LOG_TARGET: &str = "tureen::ice";

/// Bytes that the kernel holds at most without having sent them: what it has taken can't be dropped any more. Half of it
/// must cover the time in which this thread does something else.
const KERNEL_QUEUE: usize = 8 << 10;

/// What has waited for this part of [`StreamLimits::queue_time`] is late. On a line that carries a third of what is sent,
/// what came meanwhile is then sent in that time, so that nothing of it is dropped.
const LATE: u32 = 3;

/// The listeners and streams of a worker.
#[derive(Debug)]
pub(crate) struct Tcp {
    limits: StreamLimits,
    listeners: HashMap<u32, Listener>,
    streams: HashMap<u32, Stream>,
    /// Listeners at which somebody may wait.
    accepting: VecDeque<u32>,
    /// Listeners that are left alone for a while, and until when.
    paused: Vec<(Instant, u32)>,
    /// Streams with something queued since the last flush.
    dirty: Vec<u32>,
    /// Streams that have ended, which is still to be told.
    closed: VecDeque<u32>,
    /// Streams whose backlog has become late, or is none any more, which is still to be told.
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
    /// The beginning of a frame.
    partial: Vec<u8>,
    queue: SendQueue,
    /// It was told that what waits is late.
    late: bool,
    dirty: bool,
    /// The poller tells when there is room to write.
    awaits_room: bool,
}

/// How long a listener is left alone when there are no file descriptors for its connections.
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
        // Most workers have none.
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
        // Frames are small and late ones useless: none waits for company.
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

    /// Closes a listener or a stream, without telling of it.
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

    /// The poller says that there is something to do with this token. Whether it is a stream to be received from.
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

    /// Whether nothing waits to be told.
    pub(crate) fn is_idle(&self) -> bool {
        self.accepting.is_empty() && self.closed.is_empty() && self.backlogs.is_empty()
    }

    /// When listeners that are left alone are looked after again.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused.iter().map(|(until, _)| *until).min()
    }

    /// Looks after listeners again whose time has come.
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

    /// The next thing that happened, if any.
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
                    // Listeners take turns.
                    self.accepting.rotate_left(1);
                    let remote = canonical(remote);
                    let connection = Connection { socket, remote };
                    return Some(StreamEvent::Incoming { listener: token, remote, connection });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_about_one_connection(&error) => continue,
                Err(error) => {
                    // No file descriptors or no memory: what waits stays in the kernel's queue for now.
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

    /// Reads from a stream into `buffer`, adds its whole frames to `messages` and writes what has waited for room.
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
        // What is not read now is reported again.
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

    /// Queues the datagrams of a commit. What finds no room is dropped; `essential` ones have twice the room.
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

    /// Writes what is queued, as far as there is room, and drops what has waited too long for it.
    pub(crate) fn flush(&mut self, poller: &Poller, now: impl Fn() -> Instant, stats: &mut NetStats) {
        while let Some(token) = self.dirty.pop() {
            let Some(stream) = self.streams.get_mut(&token) else { continue };
            stream.dirty = false;
            // Where it waits for room already, the poller tells.
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

    /// Ends a stream and tells of it.
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
    /// Whether it has changed if what waits is late.
    fn looks_late(&mut self, now: Instant, limits: &StreamLimits) -> bool {
        let late = match self.late {
            true => !self.queue.is_empty(),
            false => self.queue.age(now) > limits.queue_time / LATE,
        };
        std::mem::replace(&mut self.late, late) != late
    }

    /// Reads once. An error is the end of the stream.
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

    /// Writes as much as there is room for. An error is the end of the stream.
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

/// IPv4 in its own form also on a dual-stack socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// Errors of `accept` that are about a connection that came to nothing, not about the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
