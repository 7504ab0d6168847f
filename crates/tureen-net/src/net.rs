//! The network of one worker thread.

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

/// Sizes of the buffers and batches of a [`Net`], fixed for its life.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Kernel messages that one receive call takes from a socket, 1–64. A larger batch spreads the call's cost over more
    /// datagrams, but holds other sockets and the timers up for longer. With `gro` one message may hold up to 64
    /// datagrams of one source. Each costs a buffer: about 67 KB of address space with `gro`, of which only touched
    /// pages are resident, else `datagram_size`.
    pub receive_batch: usize,
    /// Largest datagram to be received, 1–65535 bytes; larger ones are dropped and counted.
    pub datagram_size: usize,
    /// Kernel messages that queue before a flush happens by itself, 1–64.
    pub send_batch: usize,
    /// Size of the buffer that [`Net::send_slot`] returns, 1–65487 bytes: the longest run of one commit.
    pub slot_size: usize,
    /// Bytes that queue before a flush happens by itself, at least `slot_size`. Much more than fits the processor's
    /// second-level cache is read from memory again by the kernel.
    pub send_memory: usize,
    /// Send runs with generic segmentation offload where the kernel can (Linux 4.18). A run of eight then costs little
    /// more than one datagram; without it each datagram is a message of its own.
    pub gso: bool,
    /// Receive with generic receive offload where the kernel can (Linux 5.0). It makes a burst of one source one message.
    pub gro: bool,
    /// Longest datagram in a frame of a TCP stream, 1–65535 bytes; a stream with a longer one is closed. Each stream may
    /// hold this much of a frame that is not complete.
    pub stream_frame_size: usize,
    /// Bytes that may wait to be sent by one TCP stream, 1 byte–1 GiB, beyond what the kernel holds. Datagrams that find
    /// no room are dropped; those committed by [`Net::commit_control`] have twice the room. More delays media instead
    /// of dropping it.
    pub stream_queue: usize,
    /// How long a datagram may wait to be sent by a TCP stream, beyond what the kernel holds: 1 ms–1 min. Older ones are
    /// dropped and counted, but for those committed by [`Net::commit_control`]. From a third of it on the stream's backlog is
    /// [late](StreamEvent::Backlog).
    pub stream_queue_time: Duration,
    /// Bytes that may wait in a [`pipe`](crate::pipe) for the other worker, 1 byte–1 GiB. Datagrams that find no room are
    /// dropped; those committed by [`Net::commit_control`] have twice the room. It should hold what comes in during the
    /// longest turn of the other worker. Each direction may keep twice this much memory, as far as it was ever used.
    pub pipe_queue: usize,
}

/// Sockets, readiness, batching, waker and clock of one worker thread. The crate's documentation shows a turn.
#[derive(Debug)]
pub struct Net {
    config: NetConfig,
    poller: sys::Poller,
    waker: Waker,
    sockets: Sockets,
    tcp: Tcp,
    pipes: Pipes,
    /// Sockets, streams and pipes with something to receive, the next one first.
    ready: VecDeque<u32>,
    scratch: sys::Scratch,
    receiver: Receiver,
    sender: Sender,
    stats: NetStats,
}

/// What a watched file descriptor shall be ready for.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// There is something to read, or its end.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
}

pub(crate) type Sockets = HashMap<u32, Socket>;

/// One UDP socket and what is known about it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) udp: UdpSocket,
    pub(crate) ipv6: bool,
    /// Runs may be sent as one message.
    pub(crate) gso: bool,
    /// The socket's token is in `Net::ready`.
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
    /// Reading alone.
    pub const READABLE: Self = Self { readable: true, writable: false };
    /// Writing alone.
    pub const WRITABLE: Self = Self { readable: false, writable: true };
}

impl Net {
    /// Makes a network without sockets. It may be moved to its worker thread afterwards.
    ///
    /// # Errors
    ///
    /// `InvalidInput` naming the field of `config` that is out of its range, or what the operating system reports.
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

    /// What other threads wake this worker by.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Makes a UDP socket and names it `token`. Returns the address it is bound to.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use; otherwise what binding fails with, in a text that names address and ports.
    /// `AddrInUse` or `PermissionDenied` for a range means that every port of it failed so.
    pub fn bind_udp(&mut self, token: u32, options: &UdpOptions) -> io::Result<SocketAddr> {
        self.check_unused(token)?;
        self.adopt_udp(token, options.bind()?)
    }

    /// Takes over a UDP socket that is bound already, for example an inherited one, and names it `token`. Its buffer
    /// sizes stay as they are; it becomes non-blocking. Returns the address it is bound to.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use, or what the operating system reports.
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

    /// Makes a TCP listener and names it `token`. Returns the address it is bound to.
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

    /// Names a connection `token`. From now on datagrams come in and go out by it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use, or what the operating system reports. The connection is closed then.
    pub fn adopt_stream(&mut self, token: u32, connection: Connection) -> io::Result<()> {
        self.check_unused(token)?;
        self.tcp.add_stream(&self.poller, token, connection)
    }

    /// Names an end of a pipe `token`. From now on datagrams come in and go out by it. Returns the address it was given.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `token` is in use. The end is closed then.
    pub fn adopt_pipe(&mut self, token: u32, end: PipeEnd) -> io::Result<SocketAddr> {
        self.check_unused(token)?;
        let (address, waiting) = self.pipes.add(token, end);
        if waiting {
            self.ready.push_back(token);
        }
        Ok(address)
    }

    /// The next connection that came in, or stream that has ended. Under load connections don't end: bound the number of
    /// calls between waits.
    pub fn next_stream_event(&mut self) -> Option<StreamEvent> {
        if self.tcp.is_idle() {
            return None;
        }
        let now = self.now();
        self.tcp.next_event(&self.poller, now, &mut self.stats)
    }

    /// Sends what is queued and closes the socket named `token`, if there is one. What waits to be received is lost, and
    /// of a stream what the kernel has no room for; the token is free for another socket.
    pub fn close(&mut self, token: u32) {
        self.flush();
        self.tcp.close(&self.poller, token);
        self.pipes.close(token);
        if let Some(socket) = self.sockets.remove(&token) {
            self.poller.remove(&socket.udp);
            self.ready.retain(|ready| *ready != token);
        }
    }

    /// Makes readiness of a file descriptor end [`wait`](Self::wait) as the waker does. It is level-triggered: a
    /// descriptor that is not read or written until it would block ends the next wait too. An interest given before is
    /// replaced.
    ///
    /// # Errors
    ///
    /// What the operating system reports, as for a regular file, which is always ready.
    #[cfg(unix)]
    pub fn watch(&mut self, fd: impl std::os::fd::AsFd, interest: Interest) -> io::Result<()> {
        self.poller.watch(fd.as_fd(), interest)
    }

    /// Ends what [`watch`](Self::watch) began. Must come before the file descriptor is closed.
    #[cfg(unix)]
    pub fn unwatch(&mut self, fd: impl std::os::fd::AsFd) {
        self.poller.unwatch(fd.as_fd());
    }

    /// Sends what is queued, then blocks until a socket is readable, the waker fires or `timeout` has passed; `None` is
    /// for ever. It does not block while a socket is still to be drained, and may return early with nothing. Returns
    /// whether the waker was used since the last wait or a watched file descriptor is ready.
    ///
    /// # Errors
    ///
    /// Only if the operating system's readiness queue fails, which nothing but a programming error makes it do.
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

    /// One batch of the next readable socket, `None` if none is known to be readable. Readable sockets take turns, a batch
    /// each. A batch may turn out empty. Under load this never returns `None`: bound the number of calls between waits.
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
                true // Of the socket's next readiness the poller tells.
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

    /// The buffer for the next [`commit`](Self::commit), `slot_size` bytes of arbitrary content. Flushes if the queue
    /// has no room for it.
    pub fn send_slot(&mut self) -> &mut [u8] {
        if !self.sender.has_room() {
            self.flush();
        }
        self.sender.slot()
    }

    /// Queues the first `len` bytes of the [`send_slot`](Self::send_slot) for sending from socket `token` to
    /// `destination`, as datagrams of `segment_size` bytes, of which the last may be shorter. A `segment_size` of 0 or of
    /// at least `len` is one datagram. Consecutive commits that continue a run are joined with it.
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

    /// As [`commit`](Self::commit), for one datagram that the connection needs to go on: on a TCP stream and in a pipe it
    /// finds room where media does not.
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

    /// Sends all that is queued, in the order of the commits. What a socket's full send buffer or the network refuses is
    /// dropped and counted: media does not wait.
    pub fn flush(&mut self) {
        self.sender.flush(&mut self.sockets, &mut self.scratch, &mut self.stats);
        self.tcp.flush(&self.poller, now, &mut self.stats);
        self.pipes.flush();
    }

    /// The counters since this was made.
    pub fn stats(&self) -> &NetStats {
        &self.stats
    }

    /// The present time.
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
