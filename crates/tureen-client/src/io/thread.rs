//! The loop of one I/O thread: commands, datagrams and deadlines of its peers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tureen_net::{Net, StreamEvent};
use tureen_rtc::demux::{PacketKind, classify};

use super::client_io::{ClientIoConfig, Closed, Command, PeerKey, Waste};
use super::error::TransportError;
use super::peer::{OpenPeer, Paths, Peer};
use super::sockets::Sockets;
use super::timers::Timers;

/// Batches of datagrams between two looks at the commands, and the time that they may take.
const BATCHES_PER_TURN: usize = 256;
const TURN_TIME: Duration = Duration::from_millis(10);
/// Events of TCP connections in a turn.
const STREAM_EVENTS_PER_TURN: usize = 64;

/// Serves the peers of a thread until `waste` says to stop. Then all are closed.
pub(super) fn run(
    net: Net,
    commands: mpsc::Receiver<Command>,
    waste: Arc<Mutex<Waste>>,
    config: &ClientIoConfig,
) {
    let mut io = IoLoop {
        timers: Timers::new(net.now()),
        sockets: Sockets::new(net, config.socket_buffer),
        locals: config.local_addresses.clone(),
        commands,
        waste,
        peers: HashMap::new(),
        scratch: Scratch::default(),
    };
    while io.turn() {}
    io.close_all();
}

struct IoLoop {
    sockets: Sockets,
    /// Local addresses to send from; none leaves that to the system.
    locals: Vec<IpAddr>,
    commands: mpsc::Receiver<Command>,
    waste: Arc<Mutex<Waste>>,
    peers: HashMap<PeerKey, Box<Peer>>,
    timers: Timers,
    scratch: Scratch,
}

/// Buffers that are kept to be used again.
#[derive(Debug, Default)]
struct Scratch {
    frame: Vec<u8>,
    datagram: Vec<u8>,
}

impl IoLoop {
    /// One turn; false when the thread is to end.
    fn turn(&mut self) -> bool {
        let timeout = self.timers.next().map(|at| at.saturating_duration_since(self.sockets.net.now()));
        match self.sockets.net.wait(timeout) {
            Ok(true) => {
                if !self.take_commands() {
                    return false;
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "an I/O thread ends, because it can't wait for its sockets");
                return false;
            }
        }
        self.handle_stream_events();
        self.receive();
        self.handle_timeouts();
        true
    }

    /// Carries out all commands that were sent before this call. What was closed without a command was closed before
    /// too, and comes last, so that nothing is closed before it is there.
    fn take_commands(&mut self) -> bool {
        let waste = std::mem::take(&mut *self.waste.lock());
        for _ in 0..self.commands.len() {
            let Ok(command) = self.commands.try_recv() else { break };
            self.carry_out(command);
        }
        for (key, closed) in waste.closed {
            self.close(key, closed);
        }
        !waste.stop
    }

    fn carry_out(&mut self, command: Command) {
        let now = self.sockets.net.now();
        match command {
            Command::Open(open) => self.open(*open, now),
            Command::Frame(key, frame) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.send_frame(now, &frame);
                    self.drive(key);
                }
            }
            Command::Message(key, message) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.send_message(now, message);
                    self.drive(key);
                }
            }
            Command::Call(key, work) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    work(peer, now);
                    self.drive(key);
                }
            }
            Command::Close(key, closed) => self.close(key, closed),
        }
    }

    fn open(&mut self, open: OpenPeer, now: Instant) {
        let OpenPeer { key, mut config, streams, remotes, shared, reply } = open;
        if self.peers.contains_key(&key) {
            // The future that opened it was dropped before it had the answer.
            let _ = reply.send(Ok(()));
            return;
        }
        let mut paths = Paths::new(&remotes, &self.locals);
        config.candidates = paths.addresses();
        let bound = self.sockets.bind_udp(key, &mut paths).map_err(TransportError::Socket);
        let tokens = paths.tokens();
        let result = bound.and_then(|()| Peer::new(config, streams, paths, shared, now, unix_time()));
        if result.is_err() {
            tokens.into_iter().for_each(|token| self.sockets.close(token));
        }
        let result = result.map(|peer| {
            self.peers.insert(key, Box::new(peer));
        });
        let opened = result.is_ok();
        // Nobody waits any more if the future was dropped. The transport's handle closes the peer.
        let _ = reply.send(result);
        if opened {
            self.drive(key);
        }
    }

    fn close(&mut self, key: PeerKey, closed: Closed) {
        let now = self.sockets.net.now();
        let Some(peer) = self.peers.get_mut(&key) else { return };
        match closed {
            Closed::Transport => peer.close(now),
            Closed::Producer(producer) => peer.close_producer(now, producer),
            Closed::Consumer(consumer) => peer.close_consumer(consumer),
            Closed::DataProducer(producer) => peer.close_data_producer(now, producer),
            Closed::DataConsumer(consumer) => peer.close_data_consumer(now, consumer),
        }
        self.drive(key);
    }

    fn handle_stream_events(&mut self) {
        for _ in 0..STREAM_EVENTS_PER_TURN {
            let Some(event) = self.sockets.net.next_stream_event() else { return };
            // Nothing listens, and what waits for a slow connection is dropped in time.
            let StreamEvent::Closed { token } = event else { continue };
            let owner = self.sockets.owners.of(token);
            self.sockets.forget(token);
            if let Some(key) = owner
                && let Some(peer) = self.peers.get_mut(&key)
            {
                peer.on_connection_closed(self.sockets.net.now(), token);
                self.drive(key);
            }
        }
    }

    fn receive(&mut self) {
        let end = self.sockets.net.now() + TURN_TIME;
        for _ in 0..BATCHES_PER_TURN {
            let now = self.sockets.net.now();
            if now >= end {
                return;
            }
            let Some(batch) = self.sockets.net.receive() else { return };
            let token = batch.token();
            let owner = self.sockets.owners.of(token);
            let Some((key, peer)) = owner.and_then(|key| Some((key, self.peers.get_mut(&key)?))) else {
                continue;
            };
            for datagram in batch {
                peer.handle_datagram(now, token, datagram.source, datagram.data);
            }
            self.drive(key);
        }
    }

    fn handle_timeouts(&mut self) {
        let now = self.sockets.net.now();
        while let Some(key) = self.timers.pop_due(now) {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.scheduled = None;
                peer.handle_timeout(now);
                self.drive(key);
            }
        }
    }

    /// Takes what a peer has to give: frames, datagrams, events, its next deadline.
    fn drive(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let now = self.sockets.net.now();
        peer.deliver_frames(now, &mut self.scratch.frame);
        peer.flush_messages(now);
        while let Some(to) = peer.poll_transmit(&mut self.scratch.datagram) {
            let Some(path) = peer.paths.get_mut(to) else { continue };
            let Some(token) = self.sockets.of_path(key, path) else { continue };
            let (net, datagram) = (&mut self.sockets.net, &self.scratch.datagram);
            net.send_slot()[..datagram.len()].copy_from_slice(datagram);
            match classify(datagram) {
                PacketKind::Rtp => net.commit(token, path.remote, datagram.len(), 0),
                _ => net.commit_control(token, path.remote, datagram.len()),
            }
        }
        let goes_on = peer.handle_events(now);
        peer.take_spare_connections().into_iter().for_each(|token| self.sockets.close(token));
        if goes_on {
            let at = peer.poll_timeout();
            self.timers.schedule(key, &mut peer.scheduled, at);
        } else {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: PeerKey) {
        let Some(mut peer) = self.peers.remove(&key) else { return };
        self.timers.cancel(key, &mut peer.scheduled);
        peer.paths.tokens().into_iter().for_each(|token| self.sockets.close(token));
    }

    fn close_all(&mut self) {
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.close(key, Closed::Transport);
        }
        self.sockets.net.flush();
    }
}

#[expect(clippy::disallowed_methods, reason = "sender reports tell the wall clock's time")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
