//! Simulation of an engine, sessions and the links between them, driven by a virtual clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tureen_client::media::Stamp;
use tureen_client::{Event, Received, Session, SessionConfig};
use tureen_engine::api::{Injection, Notification, Request, RequestError, RequestId, Response};
use tureen_engine::io::{Datagram, SocketCommand};
use tureen_engine::worker::{Limits, Output, Worker, WorkerConfig};
use tureen_rtc::dtls::{Backend, Certificate, DtlsOptions};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_rtc::wire::codecs::vp8;

use crate::source::Source;
use crate::trace::Trace;
use tureen_client::link::{Link, LinkConfig, LinkStats};

/// Key of a session in a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

/// Media packet that a session has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Arrival time since the start of the simulation.
    pub at: Duration,
    /// SSRC of the stream.
    pub ssrc: u32,
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// True for a retransmission by RTX.
    pub retransmitted: bool,
    /// True if the packet starts a key frame.
    pub key_frame: bool,
    /// Stamp that the source wrote into the payload; `None` if the payload was changed on the way.
    pub stamp: Option<Stamp>,
    /// Picture id and TL0PICIDX of a VP8 payload that has both.
    pub picture: Option<(u16, u8)>,
}

/// Bytes of a datagram on a link in addition to its payload: headers of UDP and IPv4.
const UDP_OVERHEAD: usize = 28;

/// A simulation; see the [crate documentation](crate).
#[derive(Debug)]
pub struct Network {
    seed: u64,
    start: Instant,
    now: Instant,
    worker: Worker,
    nodes: Vec<Node>,
    sources: Vec<(NodeId, Source)>,
    in_flight: BinaryHeap<Reverse<Flight>>,
    flights: u64,
    sockets: HashMap<SocketId, SocketAddr>,
    /// TCP streams by remote and local address.
    streams: HashMap<(SocketAddr, SocketAddr), SocketId>,
    /// Datagrams from the engine to addresses of [`listen_at`](Self::listen_at).
    received_elsewhere: HashMap<SocketAddr, Vec<Vec<u8>>>,
    next_port: u16,
    next_request: u64,
    responses: HashMap<RequestId, Result<Response, RequestError>>,
    notifications: Vec<(Duration, Notification)>,
    buffer: Vec<u8>,
    trace: Option<Trace>,
}

#[derive(Debug)]
struct Node {
    session: Session,
    address: SocketAddr,
    up: Link,
    down: Link,
    observed: Vec<Observed>,
    events: Vec<(Duration, Event)>,
}

fn picture(payload: &[u8]) -> Option<(u16, u8)> {
    let descriptor = vp8::parse(payload)?;
    Some((descriptor.picture_id?.value, descriptor.tl0_pic_idx?.value))
}

/// Datagram on its way, ordered by arrival time, then by sending time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    data: Vec<u8>,
}

/// Time since the Unix epoch at the start of a simulation, in 2027.
pub const UNIX: Duration = Duration::from_secs(1_800_000_000);

/// Largest number of datagrams in one batch for the engine.
const MAX_BATCH: usize = 32;

/// Limit of steps at one instant. More of them mean a timeout that never moves forward.
const MAX_STEPS_AT_ONCE: u32 = 100_000;

impl Network {
    /// Creates a network with an engine only.
    pub fn new(seed: u64) -> Self {
        Self::with_limits(seed, Limits::default())
    }

    /// Like [`new`](Self::new), with other limits of the engine.
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time; nothing depends on which")]
    pub fn with_limits(seed: u64, limits: Limits) -> Self {
        let start = Instant::now();
        let certificate = Certificate::generate().expect("the system has randomness");
        // dimpl, because OpenSSL, which other members of the workspace may enable, retransmits by the system's clock.
        let dtls = DtlsOptions { backend: Backend::Dimpl, ..DtlsOptions::default() };
        let config = WorkerConfig { certificate, dtls, limits, seed: seed_bytes(seed) };
        Self {
            seed,
            start,
            now: start,
            worker: Worker::new(config, start, UNIX).expect("default options suit an ECDSA certificate"),
            nodes: Vec::new(),
            sources: Vec::new(),
            in_flight: BinaryHeap::new(),
            flights: 0,
            sockets: HashMap::new(),
            streams: HashMap::new(),
            received_elsewhere: HashMap::new(),
            next_port: 40_000,
            next_request: 0,
            responses: HashMap::new(),
            notifications: Vec::new(),
            buffer: vec![0; 64 << 10],
            trace: None,
        }
    }

    /// Virtual time since the start of the simulation.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Engine of the network.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Number of datagrams that the engine has dropped for `reason` (see [`Worker::drops`]).
    pub fn drops(&self, reason: &str) -> u64 {
        self.worker.drops().iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count)
    }

    /// All notifications so far, each with its time.
    pub fn notifications(&self) -> &[(Duration, Notification)] {
        &self.notifications
    }

    /// Sends a request to the engine and returns its response. Sockets are bound at once, so that the response needs no
    /// virtual time.
    ///
    /// # Errors
    /// The engine refuses the request.
    pub fn request(&mut self, request: Request) -> Result<Response, RequestError> {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.worker.handle_request(self.now, id, request);
        self.drain_worker();
        self.responses.remove(&id).expect("every request is answered once its sockets are bound")
    }

    /// Adds a session with its own address and the links `up`, to the engine, and `down`. Replaces the config's `seed`.
    pub fn add_session(&mut self, config: SessionConfig, up: LinkConfig, down: LinkConfig) -> NodeId {
        let number = self.nodes.len() as u64;
        let seed = self.seed.wrapping_mul(1000).wrapping_add(2 * number);
        let config = SessionConfig { seed: seed_bytes(seed + 1), ..config };
        let unix = UNIX + self.elapsed();
        let [high, low] = (number as u16).to_be_bytes();
        self.nodes.push(Node {
            session: Session::new(config, self.now, unix).expect("the engine's parameters are valid"),
            address: ([10, 1, high, low], 5000).into(),
            up: Link::new(up, seed),
            down: Link::new(down, seed + 1),
            observed: Vec::new(),
            events: Vec::new(),
        });
        let id = NodeId(self.nodes.len() - 1);
        self.drain_node(id);
        id
    }

    /// Session with this key.
    pub fn session(&self, id: NodeId) -> &Session {
        &self.nodes[id.0].session
    }

    /// Runs `action` on a session and transmits what the session then sends.
    pub fn with_session<T>(&mut self, id: NodeId, action: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let result = action(&mut self.nodes[id.0].session, self.now);
        self.drain_node(id);
        result
    }

    /// Local address of a session.
    pub fn address(&self, id: NodeId) -> SocketAddr {
        self.nodes[id.0].address
    }

    /// Media that a session has received, in order of arrival.
    pub fn observed(&self, id: NodeId) -> &[Observed] {
        &self.nodes[id.0].observed
    }

    /// All events of a session so far, each with its time.
    pub fn events(&self, id: NodeId) -> &[(Duration, Event)] {
        &self.nodes[id.0].events
    }

    /// Counters of a session's links: up, down.
    pub fn link_stats(&self, id: NodeId) -> (LinkStats, LinkStats) {
        (self.nodes[id.0].up.stats(), self.nodes[id.0].down.stats())
    }

    /// Changes the settings of a session's links.
    pub fn set_links(&mut self, id: NodeId, up: LinkConfig, down: LinkConfig) {
        self.nodes[id.0].up.configure(up);
        self.nodes[id.0].down.configure(down);
    }

    /// Moves a session to another address, as the loss of a NAT binding does.
    pub fn set_address(&mut self, id: NodeId, address: SocketAddr) {
        self.nodes[id.0].address = address;
    }

    /// Delivers a datagram from any address to the engine at once.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        self.deliver(from, to, data);
    }

    /// Opens a TCP stream to a listener of the engine. Further datagrams between these addresses use it. Returns true
    /// if the engine accepts the stream.
    ///
    /// # Panics
    /// No listener has the address `to`.
    pub fn open_stream(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        let listener = self.sockets.iter().find(|(_, address)| **address == to).map(|(&socket, _)| socket);
        let listener = listener.expect("a listener is at this address");
        let stream = self.worker.handle_stream_opened(self.now, listener, from);
        if let Some(stream) = stream {
            self.streams.insert((from, to), stream);
        }
        self.drain_worker();
        stream.is_some()
    }

    /// True if the TCP stream is open.
    pub fn is_open(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.streams.contains_key(&(from, to))
    }

    /// Closes a TCP stream from the remote side.
    pub fn close_stream(&mut self, from: SocketAddr, to: SocketAddr) {
        if let Some(stream) = self.streams.remove(&(from, to)) {
            self.worker.handle_stream_closed(self.now, stream);
            self.drain_worker();
        }
    }

    /// Reports to the engine that the send queue of a TCP stream is late, or that it is empty again.
    ///
    /// # Panics
    /// There is no such stream.
    pub fn set_backlog(&mut self, from: SocketAddr, to: SocketAddr, late: bool) {
        let stream = *self.streams.get(&(from, to)).expect("the stream is open");
        self.worker.handle_stream_backlog(self.now, stream, late);
        self.drain_worker();
    }

    /// Passes a packet or message of the application for a DirectTransport to the engine at once.
    pub fn inject_direct(&mut self, injection: Injection) {
        self.worker.handle_injection(self.now, injection);
        self.drain_worker();
    }

    /// Keeps further datagrams from the engine to an address without a session.
    pub fn listen_at(&mut self, address: SocketAddr) {
        self.received_elsewhere.entry(address).or_default();
    }

    /// Takes the datagrams that were kept for an address of [`listen_at`](Self::listen_at).
    pub fn take_datagrams_at(&mut self, address: SocketAddr) -> Vec<Vec<u8>> {
        self.received_elsewhere.get_mut(&address).map(std::mem::take).unwrap_or_default()
    }

    /// Starts to record the engine's outputs.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// Ends the recording of [`start_trace`](Self::start_trace) and returns it.
    pub fn end_trace(&mut self) -> Option<Trace> {
        self.trace.take()
    }

    /// Runs the simulation for `time`.
    ///
    /// # Panics
    /// A timeout expires again and again without time passing.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until `condition` holds, but at most for `limit`. Returns true if the condition holds.
    pub fn run_until_true(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        self.run_until(self.now + limit, &condition);
        condition(self)
    }

    pub(crate) fn index(&self, id: NodeId) -> usize {
        id.0
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn add_source(&mut self, node: NodeId, source: Source) {
        self.sources.push((node, source));
    }

    /// Changes the level in dBov that an audio source reports; the argument is −dBov.
    pub fn set_audio_level(&mut self, ssrc: u32, level: u8) {
        for (_, source) in self.sources.iter_mut().filter(|(_, source)| source.ssrc == ssrc) {
            source.set_audio_level(level);
        }
    }

    /// Stops the source of `ssrc`.
    pub fn stop_source(&mut self, ssrc: u32) {
        for (_, source) in self.sources.iter_mut().filter(|(_, source)| source.ssrc == ssrc) {
            source.stop();
        }
    }

    /// Restarts the source of `ssrc` after [`stop_source`](Self::stop_source).
    pub fn resume_source(&mut self, ssrc: u32) {
        for (_, source) in self.sources.iter_mut().filter(|(_, source)| source.ssrc == ssrc) {
            source.resume(self.now);
        }
    }

    fn run_until(&mut self, end: Instant, condition: impl Fn(&Self) -> bool) {
        let mut steps_at_once = 0;
        while !condition(self)
            && let Some(at) = self.next_timeout().filter(|&at| at <= end)
        {
            steps_at_once = if at > self.now { 0 } else { steps_at_once + 1 };
            assert!(
                steps_at_once < MAX_STEPS_AT_ONCE,
                "a timeout expires again and again at {:?}",
                self.elapsed()
            );
            self.now = at.max(self.now);
            self.step();
        }
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        let flight = self.in_flight.peek().map(|Reverse(flight)| flight.at);
        let sessions = self.nodes.iter().filter_map(|node| node.session.poll_timeout()).min();
        let sources = self.sources.iter().filter_map(|(_, source)| source.next_at()).min();
        [flight, sessions, sources, self.worker.poll_timeout()].into_iter().flatten().min()
    }

    /// Handles everything that is due now.
    fn step(&mut self) {
        let now = self.now;
        while let Some(Flight { from, to, data, .. }) = self.next_arrival(|_| true) {
            self.deliver(from, to, data);
        }
        for at in 0..self.sources.len() {
            let (node, source) = &mut self.sources[at];
            if source.next_at().is_some_and(|due| due <= now) {
                let node = *node;
                source.send(now, &mut self.nodes[node.0].session);
                self.drain_node(node);
            }
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].session.poll_timeout().is_some_and(|due| due <= now) {
                self.nodes[at].session.handle_timeout(now);
                self.drain_node(NodeId(at));
            }
        }
        if self.worker.poll_timeout().is_some_and(|due| due <= now) {
            engine::handle_timeout(&mut self.worker, now);
            self.drain_worker();
        }
    }

    /// Takes the next flight if it has arrived and `wanted` returns true.
    fn next_arrival(&mut self, wanted: impl Fn(&Flight) -> bool) -> Option<Flight> {
        let Reverse(next) = self.in_flight.peek()?;
        if next.at > self.now || !wanted(next) {
            return None;
        }
        self.in_flight.pop().map(|Reverse(flight)| flight)
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, mut data: Vec<u8>) {
        if let Some(at) = self.nodes.iter().position(|node| node.address == to) {
            let at_time = self.elapsed();
            let node = &mut self.nodes[at];
            if let Received::Rtp(packet) = node.session.handle_datagram(self.now, from, &mut data) {
                let stamp = Stamp::of_vp8(packet.payload).or_else(|| Stamp::of_opus(packet.payload));
                node.observed.push(Observed {
                    at: at_time,
                    ssrc: packet.ssrc,
                    seq: packet.seq,
                    timestamp: packet.timestamp,
                    marker: packet.marker,
                    retransmitted: packet.retransmitted,
                    key_frame: packet.key_frame,
                    stamp,
                    picture: picture(packet.payload),
                });
            }
            self.drain_node(NodeId(at));
        } else if let Some(socket) = self.socket_between(from, to) {
            // Datagrams that have arrived at one address form one batch, as a driver reads it.
            let mut batch = vec![(Tuple { socket, remote: from }, data)];
            while batch.len() < MAX_BATCH
                && let Some(Flight { from, data, .. }) = self.next_arrival(|next| next.to == to)
            {
                let socket = self.socket_between(from, to).unwrap_or(socket);
                batch.push((Tuple { socket, remote: from }, data));
            }
            let datagrams = batch.iter_mut().map(|(tuple, data)| Datagram { tuple: *tuple, data });
            engine::handle_datagrams(&mut self.worker, self.now, datagrams);
            self.drain_worker();
        }
    }

    /// Engine's socket for a datagram: the TCP stream between the addresses, or the UDP socket of the destination.
    fn socket_between(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketId> {
        let at_destination = || self.sockets.iter().find(|(_, address)| **address == to);
        self.streams.get(&(from, to)).copied().or_else(|| Some(*at_destination()?.0))
    }

    fn drain_node(&mut self, id: NodeId) {
        let at = self.elapsed();
        let mut datagram = Vec::new();
        while let Some(to) = self.nodes[id.0].session.poll_transmit(&mut datagram) {
            let node = &mut self.nodes[id.0];
            let arrivals = node.up.send(self.now, datagram.len() + UDP_OVERHEAD);
            let from = node.address;
            self.fly(arrivals, from, to, &datagram);
        }
        while let Some(event) = self.nodes[id.0].session.poll_event() {
            if let Event::KeyFrameRequested { ssrc } = event {
                let sources = self.sources.iter_mut().filter(|(_, source)| source.ssrc == ssrc);
                sources.for_each(|(_, source)| source.on_key_frame_requested());
            }
            self.nodes[id.0].events.push((at, event));
        }
    }

    fn drain_worker(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let at = self.elapsed();
        loop {
            while let Some(transmit) = engine::poll_transmit(&mut self.worker, self.now, &mut buffer) {
                let Some(from) = self.local_address(transmit.tuple.socket) else { continue };
                for datagram in buffer[..transmit.len].chunks(transmit.segment_size) {
                    self.send_down(from, transmit.tuple.remote, datagram);
                }
            }
            let Some(output) = self.worker.poll_output() else { break };
            match output {
                Output::Socket(SocketCommand::BindUdp(id, info) | SocketCommand::ListenTcp(id, info)) => {
                    let address = SocketAddr::new(info.ip, self.next_port);
                    self.next_port += 1;
                    self.sockets.insert(id, address);
                    self.worker.handle_socket_bound(self.now, id, Ok(address));
                }
                Output::Socket(SocketCommand::OpenPipe(id)) => {
                    let refusal = "there is one worker only".to_owned();
                    self.worker.handle_socket_bound(self.now, id, Err(refusal));
                }
                Output::Socket(SocketCommand::Close(id)) => {
                    self.sockets.remove(&id);
                    self.streams.retain(|_, stream| *stream != id);
                }
                Output::Response(id, result) => {
                    if let Some(trace) = &mut self.trace {
                        let refused = result.as_ref().err();
                        trace.response(at, id.0, refused.map(|error| error as &dyn std::fmt::Display));
                    }
                    self.responses.insert(id, result);
                }
                Output::Notification(notification) => {
                    if let Some(trace) = &mut self.trace {
                        trace.notification(at, &notification);
                    }
                    self.notifications.push((at, notification));
                }
            }
        }
        self.buffer = buffer;
    }

    /// Local address of an engine's socket or stream.
    fn local_address(&self, socket: SocketId) -> Option<SocketAddr> {
        let of_stream = || self.streams.iter().find(|(_, stream)| **stream == socket);
        self.sockets.get(&socket).copied().or_else(|| Some(of_stream()?.0.1))
    }

    /// Delivers a datagram of the engine: to a session over its link, to an address of `listen_at` at once, otherwise
    /// nowhere.
    fn send_down(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if self.trace.is_some() {
            let (at, encrypted) = (self.elapsed(), !self.received_elsewhere.contains_key(&to));
            self.trace.iter_mut().for_each(|trace| trace.datagram(at, to, datagram, encrypted));
        }
        if let Some(datagrams) = self.received_elsewhere.get_mut(&to) {
            datagrams.push(datagram.to_vec());
            return;
        }
        if let Some(node) = self.nodes.iter_mut().find(|node| node.address == to) {
            let arrivals = node.down.send(self.now, datagram.len() + UDP_OVERHEAD);
            self.fly(arrivals, from, to, datagram);
        }
    }

    fn fly(&mut self, arrivals: [Option<Instant>; 2], from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        for at in arrivals.into_iter().flatten() {
            let number = self.flights;
            self.flights += 1;
            self.in_flight.push(Reverse(Flight { at, number, from, to, data: datagram.to_vec() }));
        }
    }
}

/// Calls into the engine for packets. They are not inlined, so that `scripts/count-instructions` can count the
/// instructions executed inside them.
mod engine {
    use std::time::Instant;

    use tureen_engine::io::{Datagram, Transmit};
    use tureen_engine::worker::Worker;

    #[inline(never)]
    pub(super) fn handle_datagrams<'a>(
        worker: &mut Worker,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
    ) {
        worker.handle_datagrams(now, datagrams);
    }

    #[inline(never)]
    pub(super) fn handle_timeout(worker: &mut Worker, now: Instant) {
        worker.handle_timeout(now);
    }

    #[inline(never)]
    pub(super) fn poll_transmit(worker: &mut Worker, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        worker.poll_transmit(now, buffer)
    }
}

impl Drop for Network {
    /// Prints the seed of a failing test, with which it can be repeated.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("simulation with seed {} failed at {:?}", self.seed, self.elapsed());
        }
    }
}

fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}
