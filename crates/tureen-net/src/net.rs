//! Sockets, batching and clock of one worker thread.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::bind::{TcpOptions, UdpOptions};
use crate::pipe::{PipeEnd, Pipes};
use crate::receive::{Batch, Receiver};
use crate::send::{MAX_RUN_BYTES, Sender};
use crate::stats::NetStats;
use crate::sys;
use crate::tcp::{Connection, StreamEvent, StreamLimits, Tcp};
use crate::waker::Waker;

/// Sizes of the buffers and batches of a [`Net`]. Fixed for its lifetime.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Kernel messages that one receive call takes from a socket, 1 to 64. A larger batch spreads the cost of the
    /// call over more datagrams, but delays other sockets and the timers. With `gro` one message holds up to 64
    /// datagrams of one source. Each message needs a buffer: `datagram_size` bytes, or with `gro` about 67 KB of
    /// address space, of which only used pages are resident.
    pub receive_batch: usize,
    /// Largest datagram to receive, 1 to 65535 bytes. Larger ones are dropped and counted.
    pub datagram_size: usize,
    /// Kernel messages that are queued before an automatic flush, 1 to 64.
    pub send_batch: usize,
    /// Size of the buffer that [`Net::send_slot`] returns, 1 to 65487 bytes: the longest run of one commit.
    pub slot_size: usize,
    /// Bytes that are queued before an automatic flush, at least `slot_size`. A queue beyond the processor's
    /// second-level cache makes the kernel read from memory again.
    pub send_memory: usize,
    /// Send runs with generic segmentation offload if the kernel supports it (Linux 4.18). A run of eight datagrams
    /// then costs little more than one datagram; without GSO each datagram is a message of its own.
    pub gso: bool,
    /// Receive with generic receive offload if the kernel supports it (Linux 5.0). A burst of one source is then one
    /// message.
    pub gro: bool,
    /// Longest datagram in a frame of a TCP stream, 1 to 65535 bytes. A stream with a longer one is closed. Each
    /// stream may hold this many bytes of an incomplete frame.
    pub stream_frame_size: usize,
    /// Bytes that may wait to be sent on one TCP stream, in addition to the kernel's buffer: 1 byte to 1 GiB.
    /// Datagrams beyond that are dropped; those of [`Net::commit_control`] have twice the room. A larger queue delays
    /// media instead of dropping it.
    pub stream_queue: usize,
    /// Time that a datagram may wait to be sent on a TCP stream, in addition to its time in the kernel: 1 ms to 1
    /// min. Older ones are dropped and counted, except those of [`Net::commit_control`]. From a third of this time on
    /// the stream's backlog is [late](StreamEvent::Backlog).
    pub stream_queue_time: Duration,
    /// Bytes that may wait in a [`pipe`](crate::pipe) for the other worker, 1 byte to 1 GiB. Datagrams beyond that
    /// are dropped; those of [`Net::commit_control`] have twice the room. The queue should hold the input of the
    /// other worker's longest turn. Each direction may keep twice this much memory once it has been used.
    pub pipe_queue: usize,
}

/// Sockets, readiness, batching, waker and clock of one worker thread. The documentation of the crate shows a turn.
#[derive(Debug)]
pub struct Net {
    config: NetConfig,
    poller: sys::Poller,
    waker: Waker,
    sockets: Sockets,
    tcp: Tcp,
    pipes: Pipes,
    /// Sockets, streams and pipes with something to receive, in turn.
    ready: VecDeque<u32>,
    scratch: sys::Scratch,
    receiver: Receiver,
    sender: Sender,
    stats: NetStats,
}

/// Readiness that a watched file descriptor is watched for.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Data or end of file can be read.
    pub readable: bool,
    /// Data can be written.
    pub writable: bool,
}

pub(crate) type Sockets = HashMap<u32, Socket>;

/// A UDP socket and its properties.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) udp: UdpSocket,
    pub(crate) ipv6: bool,
    /// GSO works on this socket.
    pub(crate) gso: bool,
    /// True if the token is in `Net::ready`.
    ready: bool,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            receive_batch: 32,
            datagram_size: 2048,
            send_batch: 64,
            slot_size: MAX_RUN_BYTES,
            send_memory: 256 << 10,
            gso: true,
            gro: true,
            stream_frame_size: 4096,
            stream_queue: 256 << 10,
            stream_queue_time: Duration::from_millis(500),
            pipe_queue: 4 << 20,
        }
    }
}

#[cfg(unix)]
impl Interest {
    /// Reading only.
    pub const READABLE: Self = Self { readable: true, writable: false };
    /// Writing only.
    pub const WRITABLE: Self = Self { readable: false, writable: true };
}

impl Net {
    /// Creates a network without sockets. It may be moved to the worker thread afterwards.
    ///
    /// # Errors
    ///
    /// `InvalidInput` names the field of `config` that is out of range; otherwise the error of the operating system.
    pub fn new(config: NetConfig) -> io::Result<Self> {
        config.check()?;
        let (poller, notifier) = sys::Poller::new()?;
        let waker = Waker::new(notifier);
        Ok(Self {
            poller,
            pipes: Pipes::new(config.pipe_queue, waker.clone()),
            waker,
            sockets: HashMap::new(),
            tcp: Tcp::new(StreamLimits {
                frame: config.stream_frame_size,
                queue: config.stream_queue,
                queue_time: config.stream_queue_time,
            }),
            ready: VecDeque::new(),
            scratch: sys::Scratch::new(),
            receiver: Receiver::new(&config),
            sender: Sender::new(&config),
            stats: NetStats::default(),
            config,
        })
    }

    /// Waker of this worker, for other threads.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Creates a UDP socket with the token `token`. Returns the bound address.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use; otherwise the error of binding, in a text that names address and ports.
    /// For a range, `AddrInUse` or `PermissionDenied` means that every port failed.
    pub fn bind_udp(&mut self, token: u32, options: &UdpOptions) -> io::Result<SocketAddr> {
        self.check_unused(token)?;
        self.adopt_udp(token, options.bind()?)
    }

    /// Adopts a UDP socket that is bound already, for instance an inherited one, with the token `token`. Its buffer
    /// sizes stay; it becomes non-blocking. Returns the bound address.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use; otherwise the error of the operating system.
    pub fn adopt_udp(&mut self, token: u32, udp: UdpSocket) -> io::Result<SocketAddr> {
        self.check_unused(token)?;
        udp.set_nonblocking(true)?;
        let address = udp.local_addr()?;
        let gso = self.config.gso && sys::supports_gso(&udp);
        if self.config.gro {
            sys::enable_gro(&udp);
        }
        self.poller.add(&udp, token)?;
        self.sockets.insert(token, Socket { udp, ipv6: address.is_ipv6(), gso, ready: false });
        self.ready.reserve(self.sockets.len());
        Ok(address)
    }

    /// Creates a TCP listener with the token `token`. Returns the bound address.
    ///
    /// # Errors
    ///
    /// As for [`bind_udp`](Self::bind_udp).
    pub fn listen_tcp(&mut self, token: u32, options: &TcpOptions) -> io::Result<SocketAddr> {
        self.check_unused(token)?;
        let listener = options.listen()?;
        let address = listener.local_addr()?;
        self.tcp.add_listener(&self.poller, token, listener)?;
        Ok(address)
    }

    /// Adopts a connection with the token `token`, for receiving and sending datagrams.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use; otherwise the error of the operating system. The connection is then
    /// closed.
    pub fn adopt_stream(&mut self, token: u32, connection: Connection) -> io::Result<()> {
        self.check_unused(token)?;
        self.tcp.add_stream(&self.poller, token, connection)
    }

    /// Adopts an end of a pipe with the token `token`, for receiving and sending datagrams. Returns the end's
    /// address.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use. The end is then closed.
    pub fn adopt_pipe(&mut self, token: u32, end: PipeEnd) -> io::Result<SocketAddr> {
        self.check_unused(token)?;
        let (address, waiting) = self.pipes.add(token, end);
        if waiting {
            self.ready.push_back(token);
        }
        Ok(address)
    }

    /// The next incoming connection, closed stream or change of a backlog. Bound the number of calls between two
    /// waits, because under load there is always another one.
    pub fn next_stream_event(&mut self) -> Option<StreamEvent> {
        if self.tcp.is_idle() {
            return None;
        }
        let now = self.now();
        self.tcp.next_event(&self.poller, now, &mut self.stats)
    }

    /// Sends the queued datagrams and closes the socket with the token `token`, if there is one. Datagrams that wait
    /// to be received are lost, as are those of a stream that the kernel has no room for. The token is free for
    /// another socket.
    pub fn close(&mut self, token: u32) {
        self.flush();
        self.tcp.close(&self.poller, token);
        self.pipes.close(token);
        if let Some(socket) = self.sockets.remove(&token) {
            self.poller.remove(&socket.udp);
            self.ready.retain(|ready| *ready != token);
        }
    }

    /// Makes readiness of a file descriptor end [`wait`](Self::wait) like the waker. Level-triggered: a descriptor
    /// that is not read or written until it would block ends the next wait too. Replaces the earlier interest in the
    /// descriptor.
    ///
    /// # Errors
    ///
    /// The error of the operating system, for instance for a regular file, which is always ready.
    #[cfg(unix)]
    pub fn watch(&mut self, fd: impl std::os::fd::AsFd, interest: Interest) -> io::Result<()> {
        self.poller.watch(fd.as_fd(), interest)
    }

    /// Ends [`watch`](Self::watch). Call this before the file descriptor is closed.
    #[cfg(unix)]
    pub fn unwatch(&mut self, fd: impl std::os::fd::AsFd) {
        self.poller.unwatch(fd.as_fd());
    }

    /// Sends the queued datagrams, then blocks until a socket is readable, the waker is called or `timeout` has
    /// passed; `None` is no timeout. Does not block while a socket is not drained, and may return early. Returns true
    /// if the waker was called since the last wait, or a watched file descriptor is ready.
    ///
    /// # Errors
    ///
    /// The error of the operating system's readiness queue, which indicates a defect.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.flush();
        let timeout = match self.tcp.paused_until() {
            Some(until) => {
                let now = self.now();
                self.tcp.resume(&self.poller, now);
                let pause = until.saturating_duration_since(now);
                Some(timeout.map_or(pause, |timeout| timeout.min(pause)))
            }
            None => timeout,
        };
        let may_block = self.waker.begin_sleep() && self.ready.is_empty() && self.tcp.is_idle();
        let timeout = if may_block { timeout } else { Some(Duration::ZERO) };
        let (sockets, ready, tcp) = (&mut self.sockets, &mut self.ready, &mut self.tcp);
        let mut watched = false;
        let waited = self.poller.wait(timeout, |source| match source {
            sys::Ready::Socket(token) => {
                let is_new = match sockets.get_mut(&token) {
                    Some(socket) => !std::mem::replace(&mut socket.ready, true),
                    None => tcp.on_ready(token),
                };
                if is_new {
                    ready.push_back(token);
                }
            }
            sys::Ready::Watched => watched = true,
        });
        let woken = self.waker.end_sleep();
        if woken {
            self.pipes.answer(|token| ready.push_back(token));
        }
        let woken = woken || watched;
        self.stats.wait_calls += 1;
        self.stats.wakes += u64::from(woken);
        waited.map(|()| woken)
    }

    /// Receives one batch from the next readable socket; `None` if no socket is known to be readable. Readable
    /// sockets take turns, a batch each. A batch may be empty. Bound the number of calls between two waits, because
    /// under load there is always another batch.
    pub fn receive(&mut self) -> Option<Batch<'_>> {
        loop {
            let token = self.ready.pop_front()?;
            if self.pipes.contains(token) {
                let Some(more) = self.pipes.receive(token, &mut self.stats) else { continue };
                if more {
                    self.ready.push_back(token);
                }
                return self.pipes.batch(token);
            }
            let Some(socket) = self.sockets.get_mut(&token) else {
                let now = self.now();
                let (buffer, messages) = self.receiver.for_stream();
                self.tcp.receive(&self.poller, now, token, buffer, messages, &mut self.stats);
                if self.receiver.has_messages() {
                    return Some(self.receiver.batch(token));
                }
                continue;
            };
            let received = self.receiver.receive(&socket.udp, &mut self.scratch, &mut self.stats);
            let drained = received.unwrap_or_else(|error| {
                tracing::trace!(token, %error, "receive failed");
                self.stats.receive_errors += 1;
                true // The poller reports the socket's next readiness.
            });
            socket.ready = !drained;
            if !drained {
                self.ready.push_back(token);
            }
            if self.receiver.has_messages() {
                return Some(self.receiver.batch(token));
            }
        }
    }

    /// Buffer for the next [`commit`](Self::commit): `slot_size` bytes of arbitrary content. Flushes if the queue has
    /// no room for it.
    pub fn send_slot(&mut self) -> &mut [u8] {
        if !self.sender.has_room() {
            self.flush();
        }
        self.sender.slot()
    }

    /// Queues the first `len` bytes of the [`send_slot`](Self::send_slot) for sending from socket `token` to
    /// `destination`, as datagrams of `segment_size` bytes, of which the last may be shorter. A `segment_size` of 0
    /// or of at least `len` means one datagram. A commit that continues the run of the commit before is joined with
    /// it.
    ///
    /// # Panics
    ///
    /// If `len` is larger than the slot.
    pub fn commit(&mut self, token: u32, destination: SocketAddr, len: usize, segment_size: usize) {
        if self.tcp.has_stream(token) {
            return self.queue_on_stream(token, len, segment_size, false);
        }
        if self.pipes.contains(token) {
            let run = &self.sender.slot()[..len];
            return self.pipes.send(token, run, segment_size, false, &mut self.stats);
        }
        let (sockets, scratch, stats) = (&mut self.sockets, &mut self.scratch, &mut self.stats);
        self.sender.commit(token, destination, len, segment_size, |runs, memory| {
            crate::send::send_runs(runs, memory, sockets, scratch, stats)
        });
    }

    /// Like [`commit`](Self::commit), for one datagram that keeps the connection alive: on a TCP stream and in a pipe
    /// it has room when media has none.
    ///
    /// # Panics
    ///
    /// If `len` is larger than the slot.
    pub fn commit_control(&mut self, token: u32, destination: SocketAddr, len: usize) {
        if self.tcp.has_stream(token) {
            return self.queue_on_stream(token, len, len, true);
        }
        if self.pipes.contains(token) {
            let run = &self.sender.slot()[..len];
            return self.pipes.send(token, run, len, true, &mut self.stats);
        }
        self.commit(token, destination, len, len);
    }

    /// Sends the queued datagrams in the order of the commits. Datagrams that a full send buffer or the network
    /// refuses are dropped and counted, because media does not wait.
    pub fn flush(&mut self) {
        self.sender.flush(&mut self.sockets, &mut self.scratch, &mut self.stats);
        self.tcp.flush(&self.poller, now, &mut self.stats);
        self.pipes.flush();
    }

    /// Counters since creation.
    pub fn stats(&self) -> &NetStats {
        &self.stats
    }

    /// Current time of the worker's clock.
    pub fn now(&self) -> Instant {
        now()
    }

    fn queue_on_stream(&mut self, token: u32, len: usize, segment_size: usize, essential: bool) {
        let segment_size = if segment_size == 0 { len } else { segment_size };
        let now = self.now();
        let datagrams = self.sender.slot()[..len].chunks(segment_size.max(1));
        self.tcp.queue(now, token, datagrams, essential, &mut self.stats);
    }

    fn check_unused(&self, token: u32) -> io::Result<()> {
        if self.sockets.contains_key(&token) || self.tcp.contains(token) || self.pipes.contains(token) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("there is a socket with token {token} already"),
            ));
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that the engine gets its time from")]
fn now() -> Instant {
    Instant::now()
}

impl Drop for Net {
    fn drop(&mut self) {
        self.flush();
        for socket in self.sockets.values() {
            self.poller.remove(&socket.udp);
        }
        self.tcp.close_all(&self.poller);
    }
}

impl NetConfig {
    fn check(&self) -> io::Result<()> {
        let fields = [
            ("receive_batch", self.receive_batch, 1, sys::MAX_BATCH),
            ("datagram_size", self.datagram_size, 1, 65_535),
            ("send_batch", self.send_batch, 1, sys::MAX_BATCH),
            ("slot_size", self.slot_size, 1, MAX_RUN_BYTES),
            ("send_memory", self.send_memory, self.slot_size, usize::MAX >> 1),
            ("stream_frame_size", self.stream_frame_size, 1, 65_535),
            ("stream_queue", self.stream_queue, 1, 1 << 30),
            ("pipe_queue", self.pipe_queue, 1, 1 << 30),
        ];
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60));
        let time = self.stream_queue_time;
        if !(least..=most).contains(&time) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("stream_queue_time is {time:?}, but must be {least:?} to {most:?}"),
            ));
        }
        for (name, value, min, max) in fields {
            if !(min..=max).contains(&value) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{name} is {value}, but must be {min} to {max}"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::io::{Read, Write};
    #[cfg(unix)]
    use std::os::unix::net::UnixStream;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn watched_descriptor_ends_waits_until_it_is_drained() {
        let mut net = Net::new(NetConfig::default()).unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        net.watch(&near, Interest::READABLE).unwrap();
        let short = Some(Duration::from_millis(1));
        assert!(!net.wait(short).unwrap());
        far.write_all(b"x").unwrap();
        assert!(net.wait(None).unwrap());
        assert!(net.wait(None).unwrap());
        near.read_exact(&mut [0]).unwrap();
        assert!(!net.wait(short).unwrap());

        net.watch(&near, Interest::WRITABLE).unwrap();
        assert!(net.wait(None).unwrap());
        net.unwatch(&near);
        far.write_all(b"x").unwrap();
        assert!(!net.wait(short).unwrap());
    }

    #[test]
    fn unusable_configuration_is_named() {
        let error = Net::new(NetConfig { receive_batch: 65, ..NetConfig::default() }).unwrap_err();
        assert_eq!(error.to_string(), "receive_batch is 65, but must be 1 to 64");
    }

    #[test]
    fn can_move_to_its_thread() {
        fn is_send<T: Send>() {}
        fn is_shared<T: Send + Sync + Clone>() {}
        is_send::<Net>();
        is_shared::<Waker>();
    }
}
