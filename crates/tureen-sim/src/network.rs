//! An engine, sessions, and the links between them, driven by a virtual clock.

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

/// A session of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

/// A media packet as a session got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Since the start of the simulation.
    pub at: Duration,
    /// SSRC of its stream.
    pub ssrc: u32,
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Came by RTX.
    pub retransmitted: bool,
    /// Starts a key frame.
    pub key_frame: bool,
    /// What its source wrote into it; nothing if the payload was changed on the way.
    pub stamp: Option<Stamp>,
    /// Picture id and TL0PICIDX, if the payload is VP8 that has both.
    pub picture: Option<(u16, u8)>,
}

/// Bytes of a datagram that a link carries besides its payload: UDP over IPv4.
const UDP_OVERHEAD: usize = 28;

/// The simulation: see the [crate documentation](crate).
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
    /// TCP streams by their far and near ends.
    streams: HashMap<(SocketAddr, SocketAddr), SocketId>,
    /// What the engine has sent to addresses without a session that somebody listens at.
    overheard: HashMap<SocketAddr, Vec<Vec<u8>>>,
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

/// A datagram on its way; ordered by its arrival, then by its departure.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    data: Vec<u8>,
}

/// The time since the Unix epoch at which simulations begin: in 2027.
pub const UNIX: Duration = Duration::from_secs(1_800_000_000);

/// Datagrams that the engine gets at once, at most.
const MAX_BATCH: usize = 32;

/// No simulation has this many wake-ups at one instant, unless something wakes up for nothing.
const MAX_STEPS_AT_ONCE: u32 = 100_000;

impl Network {
    /// A network with an engine and nothing else.
    pub fn new(seed: u64) -> Self {
        Self::with_limits(seed, Limits::default())
    }

    /// As [`new`](Self::new), with other bounds of the engine.
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time; nothing depends on which")]
    pub fn with_limits(seed: u64, limits: Limits) -> Self {
        let start = Instant::now();
        let certificate = Certificate::generate().expect("the system has randomness");
        // OpenSSL, which other members of the workspace may build in, retransmits by the system's clock.
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
            overheard: HashMap::new(),
            next_port: 40_000,
            next_request: 0,
            responses: HashMap::new(),
            notifications: Vec::new(),
            buffer: vec![0; 64 << 10],
            trace: None,
        }
    }

    /// Since the start of the simulation.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The engine.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// What the engine has dropped for `reason` (see [`Worker::drops`]).
    pub fn drops(&self, reason: &str) -> u64 {
        self.worker.drops().iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count)
    }

    /// Notifications so far, and when they came.
    pub fn notifications(&self) -> &[(Duration, Notification)] {
        &self.notifications
    }

    /// Has the engine carry out a request. Sockets are bound at once, so that its response is there at once.
    ///
    /// # Errors
    /// The engine refuses the request.
    pub fn request(&mut self, request: Request) -> Result<Response, RequestError> {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.worker.handle_request(self.now, id, request);
        self.drain_worker();
        self.responses.remove(&id).expect("an answer comes once the sockets are bound")
    }

    /// Adds a session with its own address, sending over `up` and receiving over `down`. Its `seed` is replaced.
    pub fn add_session(&mut self, config: SessionConfig, up: LinkConfig, down: LinkConfig) -> NodeId {
        let number = self.nodes.len() as u64;
        let seed = self.seed.wrapping_mul(1000).wrapping_add(2 * number);
        let config = SessionConfig { seed: seed_bytes(seed + 1), ..config };
        let unix = UNIX + self.elapsed();
        let [high, low] = (number as u16).to_be_bytes();
        self.nodes.push(Node {
            session: Session::new(config, self.now, unix).expect("the engine's own parameters can be used"),
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

    /// A session.
    pub fn session(&self, id: NodeId) -> &Session {
        &self.nodes[id.0].session
    }

    /// Does something to a session, then sends what it has to send.
    pub fn with_session<T>(&mut self, id: NodeId, action: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let result = action(&mut self.nodes[id.0].session, self.now);
        self.drain_node(id);
        result
    }

    /// The session's address.
    pub fn address(&self, id: NodeId) -> SocketAddr {
        self.nodes[id.0].address
    }

    /// Media that the session got so far, in the order of arrival.
    pub fn observed(&self, id: NodeId) -> &[Observed] {
        &self.nodes[id.0].observed
    }

    /// What happened to the session so far.
    pub fn events(&self, id: NodeId) -> &[(Duration, Event)] {
        &self.nodes[id.0].events
    }

    /// Counters of the session's links, up and down.
    pub fn link_stats(&self, id: NodeId) -> (LinkStats, LinkStats) {
        (self.nodes[id.0].up.stats(), self.nodes[id.0].down.stats())
    }

    /// Changes the session's links from now on.
    pub fn set_links(&mut self, id: NodeId, up: LinkConfig, down: LinkConfig) {
        self.nodes[id.0].up.configure(up);
        self.nodes[id.0].down.configure(down);
    }

    /// Moves the session to another address, as a NAT that forgot it does.
    pub fn set_address(&mut self, id: NodeId, address: SocketAddr) {
        self.nodes[id.0].address = address;
    }

    /// Hands the engine a datagram from any address, at once.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        self.deliver(from, to, data);
    }

    /// Opens a TCP stream to a listener of the engine. Datagrams between these addresses go by it from now on. Whether the
    /// engine takes it.
    ///
    /// # Panics
    /// Nothing listens at `to`.
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

    /// Whether a TCP stream is open.
    pub fn is_open(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.streams.contains_key(&(from, to))
    }

    /// Ends a TCP stream from the far end.
    pub fn close_stream(&mut self, from: SocketAddr, to: SocketAddr) {
        if let Some(stream) = self.streams.remove(&(from, to)) {
            self.worker.handle_stream_closed(self.now, stream);
            self.drain_worker();
        }
    }

    /// Tells the engine that what waits to be sent by a TCP stream is late, or all of it was sent.
    ///
    /// # Panics
    /// There is no such stream.
    pub fn set_backlog(&mut self, from: SocketAddr, to: SocketAddr, late: bool) {
        let stream = *self.streams.get(&(from, to)).expect("the stream is open");
        self.worker.handle_stream_backlog(self.now, stream, late);
        self.drain_worker();
    }

    /// Hands the engine what an application sends on a DirectTransport, at once.
    pub fn inject_direct(&mut self, injection: Injection) {
        self.worker.handle_injection(self.now, injection);
        self.drain_worker();
    }

    /// Keeps what the engine sends to an address without a session from now on.
    pub fn listen_at(&mut self, address: SocketAddr) {
        self.overheard.entry(address).or_default();
    }

    /// Takes what the engine has sent to an address of [`listen_at`](Self::listen_at) since the last time.
    pub fn overheard_at(&mut self, address: SocketAddr) -> Vec<Vec<u8>> {
        self.overheard.get_mut(&address).map(std::mem::take).unwrap_or_default()
    }

    /// Writes down what the engine puts out from now on.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// Ends the trace of [`start_trace`](Self::start_trace).
    pub fn end_trace(&mut self) -> Option<Trace> {
        self.trace.take()
    }

    /// Runs for `time`.
    ///
    /// # Panics
    /// Something wakes up again and again without time passing.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until `condition` holds, at most for `limit`. Whether it holds.
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

    /// From now on an audio source says that it is this loud, −dBov.
    pub fn set_audio_level(&mut self, ssrc: u32, level: u8) {
        for (_, source) in self.sources.iter_mut().filter(|(_, source)| source.ssrc == ssrc) {
            source.set_audio_level(level);
        }
    }

    /// Stops what sends `ssrc`.
    pub fn stop_source(&mut self, ssrc: u32) {
        for (_, source) in self.sources.iter_mut().filter(|(_, source)| source.ssrc == ssrc) {
            source.stop();
        }
    }

    /// What sends `ssrc` goes on after [`stop_source`](Self::stop_source).
    pub fn resume_source(&mut self, ssrc: u32) {
        for (_, source) in self.sources.iter_mut().filter(|(_, source)| source.ssrc == ssrc) {
            source.resume(self.now);
        }
    }

    fn run_until(&mut self, end: Instant, condition: impl Fn(&Self) -> bool) {
        let mut steps_at_once = 0;
        while !condition(self)
            && let Some(at) = self.next_wake_up().filter(|&at| at <= end)
        {
            steps_at_once = if at > self.now { 0 } else { steps_at_once + 1 };
            assert!(
                steps_at_once < MAX_STEPS_AT_ONCE,
                "something wakes up for nothing at {:?}",
                self.elapsed()
            );
            self.now = at.max(self.now);
            self.step();
        }
    }

    fn next_wake_up(&mut self) -> Option<Instant> {
        let flight = self.in_flight.peek().map(|Reverse(flight)| flight.at);
        let sessions = self.nodes.iter().filter_map(|node| node.session.poll_timeout()).min();
        let sources = self.sources.iter().filter_map(|(_, source)| source.next_at()).min();
        [flight, sessions, sources, self.worker.poll_timeout()].into_iter().flatten().min()
    }

    /// Does everything that is due.
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

    /// Takes the next flight if it has arrived and is of this kind.
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
            // What has arrived at one address by now is one batch, as a driver reads it.
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

    /// The engine's socket by which a datagram comes in: a stream, or the socket at its destination.
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
                let Some(from) = self.near_end(transmit.tuple.socket) else { continue };
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

    /// The engine's address of a socket or stream.
    fn near_end(&self, socket: SocketId) -> Option<SocketAddr> {
        let of_stream = || self.streams.iter().find(|(_, stream)| **stream == socket);
        self.sockets.get(&socket).copied().or_else(|| Some(of_stream()?.0.1))
    }

    /// To a session over its link, to who listens at once; to anywhere else, nowhere.
    fn send_down(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if self.trace.is_some() {
            let (at, encrypted) = (self.elapsed(), !self.overheard.contains_key(&to));
            self.trace.iter_mut().for_each(|trace| trace.datagram(at, to, datagram, encrypted));
        }
        if let Some(overheard) = self.overheard.get_mut(&to) {
            overheard.push(datagram.to_vec());
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

/// The calls into the engine that packets take. They are not inlined, so that `scripts/count-instructions` can count what
/// is executed in them and nowhere else.
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
    /// A failing test says how to repeat it.
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
