//! SCTP for data channels (RFC 9260, RFC 8831), sans-IO: over DTLS, or raw over UDP between servers.
//!
//! After every call drain [`Sctp::poll_packet`] and [`Sctp::poll_event`], then call [`Sctp::poll_timeout`].
//!
//! [`Sctp`] performs the handshake. After it, an association handles the packets by a receiver and a sender, which share
//! no state. Properties:
//!
//! - An INIT allocates no state. The state cookie contains all of it, with a MAC and a lifetime; a cookie of an earlier
//!   identity is not accepted.
//! - Both sides may connect at once (RFC 9260 §5.2.1), as browsers and mediasoup do, and a peer may restart (§5.2.2).
//! - Tags and first TSNs are derived from the caller's secret; no clock and no random source is read.
//! - A chunk costs a few look-ups, independent of the stored data, and the stored data is bounded.
//! - No packet is longer than [`MAX_PACKET`]. The answer to an INIT is less than three times as long as the INIT, because
//!   of the cookie. Before a valid cookie no other answer is longer than its request.
//!
//! Neither message interleaving (I-DATA, RFC 8260) nor zero checksums (RFC 9653) are offered.

mod association;
#[cfg(test)]
mod bounds_tests;
mod congestion;
mod cookie;
#[cfg(test)]
mod foreign_tests;
mod options;
mod receiver;
mod resets;
mod sender;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use bytes::Bytes;

use self::association::Association;
use self::cookie::{Cookie, CookieError};
pub use self::options::SctpOptions;
use self::receiver::Bounds;
use self::wire::{Chunk, Init, Packet, PacketWriter, Ports, kind};
pub use tureen_types::data_structures::SctpState;
use tureen_types::sctp_parameters::{SctpNegotiatedCapabilities, SctpStreamParameters};

/// SCTP port of both ends, as usual in WebRTC.
pub const PORT: u16 = 5000;
/// Longest packet in bytes: mediasoup's `OutgoingSctpPacketMaxSize` of 1191, rounded down to a multiple of four.
pub const MAX_PACKET: usize = 1188;
/// Number of streams in each direction.
pub const MAX_STREAMS: u16 = 65_535;
/// Default limit of received messages and partial messages that wait for missing data before them. Each costs about 200
/// bytes in addition to its content.
pub const INCOMING_PIECES: usize = 8192;
/// Default limit of queued messages of an association. Each costs about 100 bytes in addition to its content.
pub const OUTGOING_MESSAGES: usize = 32_768;
/// Default lifetime of a state cookie (RFC 9260 §16: Valid.Cookie.Life).
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(60);

/// First time-out of INIT and COOKIE ECHO; it doubles with each retransmission.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// Number of retransmissions of INIT and COOKIE ECHO (RFC 9260 §16: Max.Init.Retransmits).
const MAX_HANDSHAKE_RETRANSMISSIONS: u32 = 8;
/// Longest state cookie of a peer that is accepted.
const MAX_PEER_COOKIE: usize = 1024;
/// Error cause "stale cookie" (RFC 9260 §3.3.10.3) with its length.
const STALE_COOKIE: [u8; 4] = [0, 3, 0, 8];

/// An association with one peer.
#[derive(Debug)]
pub struct Sctp {
    options: SctpOptions,
    secret: hmac::Key,
    cookie_lifetime: Duration,
    started: Instant,
    ports: Ports,
    /// Number of the local identity, which increases with each restart of the peer.
    generation: u32,
    /// Local parameters of that identity.
    local: Init,
    phase: Phase,
    negotiated: Option<SctpNegotiatedCapabilities>,
    /// Streams on which something was sent, or which have a low threshold.
    outgoing: BTreeMap<u16, Outgoing>,
    /// Streams whose messages wait in `outgoing`, because the association does not accept them yet.
    holding: BTreeSet<u16>,
    held: usize,
    held_bytes: usize,
    incoming_pieces: usize,
    outgoing_messages: usize,
    refused: u64,
    packets: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

/// Event of an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state has changed.
    State(SctpState),
    /// A message was received.
    Message {
        /// Stream of the message.
        stream: u16,
        /// Payload protocol identifier.
        ppid: u32,
        /// Content; never empty.
        payload: Bytes,
    },
    /// A message on this stream exceeded the maximum size and was dropped.
    MessageTooLong(u16),
    /// The peer has reset this stream, which closes the data channel.
    StreamReset(u16),
    /// The buffered amount of this stream has fallen to the threshold or below.
    BufferedAmountLow(u16),
}

/// Error of sending a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// SCTP has no empty messages. Data channels send a zero byte with a PPID of its own instead.
    #[error("empty message")]
    Empty,
    /// Longer than [`SctpOptions::max_send_message_size`].
    #[error("message too long")]
    TooLong,
    /// The send buffer of the association or of the stream is full.
    #[error("sctpsendbufferfull")]
    BufferFull,
    /// The association has ended.
    #[error("SCTP association closed")]
    Closed,
}

#[derive(Debug)]
enum Phase {
    New,
    /// INIT was sent.
    CookieWait(Retry),
    /// COOKIE ECHO is out.
    CookieEchoed {
        retry: Retry,
        peer: Init,
        packet: Bytes,
    },
    Up {
        association: Box<Association>,
        peer_tag: u32,
    },
    /// The handshake has failed.
    Failed,
    /// The association was connected and has ended.
    Closed,
}

/// Schedule of retransmissions in the handshake.
#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    sent: u32,
}

/// A message to send.
#[derive(Debug)]
struct Message {
    parameters: SctpStreamParameters,
    ppid: u32,
    payload: Bytes,
}

#[derive(Debug)]
struct Outgoing {
    held: VecDeque<Message>,
    held_bytes: usize,
    low_threshold: u32,
}

/// True if the bytes are an SCTP packet with a valid checksum.
pub fn is_valid(packet: &[u8]) -> bool {
    Packet::parse(packet).is_some_and(|packet| packet.checksum_is_right())
}

impl Sctp {
    /// Creates an association, which waits for [`Sctp::connect`]. `secret` must be unpredictable and used by no other
    /// association.
    pub fn new(options: SctpOptions, secret: &[u8; 32], now: Instant) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self {
            local: identity(&options, &secret, 0),
            options,
            secret,
            cookie_lifetime: COOKIE_LIFETIME,
            started: now,
            ports: Ports { source: PORT, destination: PORT },
            generation: 0,
            phase: Phase::New,
            negotiated: None,
            outgoing: BTreeMap::new(),
            holding: BTreeSet::new(),
            held: 0,
            held_bytes: 0,
            incoming_pieces: INCOMING_PIECES,
            outgoing_messages: OUTGOING_MESSAGES,
            refused: 0,
            packets: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Sets the lifetime of state cookies. A peer with a longer round trip time can never connect.
    #[must_use]
    pub fn with_cookie_lifetime(self, cookie_lifetime: Duration) -> Self {
        Self { cookie_lifetime, ..self }
    }

    /// Sets the limits of waiting messages, which are [`INCOMING_PIECES`] and [`OUTGOING_MESSAGES`] by default.
    #[must_use]
    pub fn with_bounds(self, incoming_pieces: usize, outgoing_messages: usize) -> Self {
        Self { incoming_pieces, outgoing_messages, ..self }
    }

    /// Starts the handshake, unless it has started.
    pub fn connect(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::New) {
            return;
        }
        self.phase = Phase::CookieWait(Retry { at: now + HANDSHAKE_TIMEOUT, sent: 0 });
        self.send_init();
        self.events.push_back(Event::State(SctpState::Connecting));
    }

    /// Handles a packet from the peer. Malformed, forged and unexpected ones are dropped.
    pub fn handle_packet(&mut self, now: Instant, bytes: &[u8]) {
        let Some(packet) = Packet::parse(bytes).filter(Packet::checksum_is_right) else { return };
        self.connect(now);
        let first = packet.first();
        match first.kind {
            kind::INIT => self.handle_init(now, &packet, first),
            kind::INIT_ACK => self.handle_init_ack(now, &packet, first),
            kind::COOKIE_ECHO => self.handle_cookie_echo(now, &packet, first),
            kind::COOKIE_ACK => self.handle_cookie_ack(now, &packet),
            kind::ERROR => self.handle_error(now, &packet),
            kind::ABORT => self.handle_abort(&packet, first),
            _ => self.handle_established(now, &packet),
        }
        self.settle();
    }

    /// Handles expired retransmission timers.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::CookieWait(retry) | Phase::CookieEchoed { retry, .. } => {
                if retry.at > now {
                    return;
                }
                if retry.sent == MAX_HANDSHAKE_RETRANSMISSIONS {
                    return self.end();
                }
                retry.sent += 1;
                retry.at = now + (HANDSHAKE_TIMEOUT * (1 << retry.sent)).min(MAX_HANDSHAKE_TIMEOUT);
                match &self.phase {
                    Phase::CookieEchoed { packet, .. } => self.packets.push_back(packet.clone()),
                    _ => self.send_init(),
                }
            }
            Phase::Up { association, .. } => {
                association.handle_timeout(now);
                self.settle();
            }
            Phase::New | Phase::Failed | Phase::Closed => {}
        }
    }

    /// Time of the next [`Sctp::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::CookieWait(retry) | Phase::CookieEchoed { retry, .. } => Some(retry.at),
            Phase::Up { association, .. } => association.poll_timeout(),
            Phase::New | Phase::Failed | Phase::Closed => None,
        }
    }

    /// Next packet to send. Messages are put into packets here, so that it should be drained after a batch of them.
    pub fn poll_packet(&mut self, now: Instant) -> Option<Bytes> {
        match &mut self.phase {
            Phase::Up { association, .. } if self.packets.is_empty() => {
                association.poll_packet(now, &mut self.events)
            }
            _ => self.packets.pop_front(),
        }
    }

    /// True if [`Sctp::poll_event`] has an event.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Next event; `None` if there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Queues a message to send. It waits until the association is connected.
    ///
    /// # Errors
    /// The message cannot be sent, or the send buffer is full.
    pub fn send(
        &mut self,
        parameters: SctpStreamParameters,
        ppid: u32,
        payload: Bytes,
    ) -> Result<(), SendError> {
        if matches!(self.phase, Phase::Failed | Phase::Closed) {
            return Err(SendError::Closed);
        }
        if payload.is_empty() {
            return Err(SendError::Empty);
        }
        if payload.len() > self.options.max_send_message_size as usize {
            return Err(SendError::TooLong);
        }
        let id = parameters.stream_id;
        let (total_limit, stream_limit) =
            (self.options.send_buffer_size, self.options.per_stream_send_queue_limit);
        let (waiting, messages) = self.waiting();
        if waiting >= total_limit as usize
            || messages >= self.outgoing_messages
            || self.waiting_on(id) >= stream_limit as usize
        {
            return Err(SendError::BufferFull);
        }
        let message = Message { parameters, ppid, payload };
        let low_threshold = self.options.default_buffered_amount_low_threshold;
        let outgoing = self.outgoing.entry(id).or_insert_with(|| Outgoing::new(low_threshold));
        if let Phase::Up { association, .. } = &mut self.phase {
            if association.is_ending() {
                return Err(SendError::Closed);
            }
            if outgoing.held.is_empty() && association.is_writable(id) {
                association.send(message, outgoing.low_threshold);
                return Ok(());
            }
        }
        self.holding.insert(id);
        self.held += 1;
        self.held_bytes += message.payload.len();
        outgoing.held_bytes += message.payload.len();
        outgoing.held.push_back(message);
        Ok(())
    }

    /// Registers a stream, so that its reset by the peer is reported.
    pub fn open_stream(&mut self, stream: u16) {
        let low_threshold = self.options.default_buffered_amount_low_threshold;
        self.outgoing.entry(stream).or_insert_with(|| Outgoing::new(low_threshold));
        if let Phase::Up { association, .. } = &mut self.phase {
            association.open(stream);
        }
    }

    /// Closes a data channel: resets its stream after all sent data is acknowledged. The stream can be used again at
    /// once; new messages wait for the end of the reset.
    pub fn reset_stream(&mut self, now: Instant, stream: u16) {
        self.drop_held(stream);
        if let Phase::Up { association, .. } = &mut self.phase {
            association.reset(now, stream);
        }
    }

    /// Forgets a stream without a message to the peer, for streams that are no data channels.
    pub fn forget_stream(&mut self, stream: u16) {
        self.drop_held(stream);
    }

    /// Puts messages into packets, as far as they can be sent now. [`Sctp::poll_packet`] returns the packets.
    pub fn flush(&mut self, now: Instant) {
        if let Phase::Up { association, .. } = &mut self.phase {
            while let Some(packet) = association.poll_packet(now, &mut self.events) {
                self.packets.push_back(packet);
            }
        }
    }

    /// Bytes of a stream that were not sent yet.
    pub fn buffered_amount(&self, stream: u16) -> usize {
        let held = self.held_on(stream);
        match &self.phase {
            Phase::Up { association, .. } => held + association.sender().unsent(stream),
            _ => held,
        }
    }

    /// Number of the peer's chunks that were dropped at a limit since the last call. The peer retransmits them.
    pub fn take_refused(&mut self) -> u64 {
        if let Phase::Up { association, .. } = &mut self.phase {
            self.refused += association.take_refused();
        }
        std::mem::take(&mut self.refused)
    }

    /// Bytes of a stream in memory: neither acknowledged nor abandoned.
    fn waiting_on(&self, stream: u16) -> usize {
        let held = self.held_on(stream);
        match &self.phase {
            Phase::Up { association, .. } => held + association.sender().buffered(stream),
            _ => held,
        }
    }

    /// Bytes of all streams in memory, and number of messages that were not sent completely.
    fn waiting(&self) -> (usize, usize) {
        match &self.phase {
            Phase::Up { association, .. } => {
                let sender = association.sender();
                (self.held_bytes + sender.buffered_in_all(), self.held + sender.queued())
            }
            _ => (self.held_bytes, self.held),
        }
    }

    fn drop_held(&mut self, stream: u16) {
        let Some(outgoing) = self.outgoing.remove(&stream) else { return };
        self.holding.remove(&stream);
        self.held -= outgoing.held.len();
        self.held_bytes -= outgoing.held_bytes;
    }

    fn held_on(&self, stream: u16) -> usize {
        self.outgoing.get(&stream).map_or(0, |outgoing| outgoing.held_bytes)
    }

    /// Buffered amount at or below which [`Event::BufferedAmountLow`] of a stream is reported.
    pub fn buffered_amount_low_threshold(&self, stream: u16) -> u32 {
        let default = self.options.default_buffered_amount_low_threshold;
        self.outgoing.get(&stream).map_or(default, |outgoing| outgoing.low_threshold)
    }

    /// Sets that threshold. It applies from the next message on.
    pub fn set_buffered_amount_low_threshold(&mut self, stream: u16, threshold: u32) {
        let default = self.options.default_buffered_amount_low_threshold;
        self.outgoing.entry(stream).or_insert_with(|| Outgoing::new(default)).low_threshold = threshold;
    }

    /// Ends the association and notifies the peer by an ABORT.
    pub fn close(&mut self) {
        if let Phase::Up { peer_tag, .. } = self.phase {
            let abort =
                PacketWriter::new(self.ports, peer_tag).chunk(kind::ABORT, 0, &USER_INITIATED).finish();
            self.packets.clear();
            self.packets.push_back(abort.into());
        }
        if !matches!(self.phase, Phase::New) {
            self.end();
        }
    }

    /// Its state.
    pub fn state(&self) -> SctpState {
        match self.phase {
            Phase::New => SctpState::New,
            Phase::CookieWait(_) | Phase::CookieEchoed { .. } => SctpState::Connecting,
            Phase::Up { .. } => SctpState::Connected,
            Phase::Failed => SctpState::Failed,
            Phase::Closed => SctpState::Closed,
        }
    }

    /// Negotiated capabilities; `None` before the association is connected.
    pub fn negotiated(&self) -> Option<SctpNegotiatedCapabilities> {
        self.negotiated
    }

    /// Its settings.
    pub fn options(&self) -> &SctpOptions {
        &self.options
    }

    fn send_init(&mut self) {
        let init = self.local.value(None);
        self.packets.push_back(PacketWriter::new(self.ports, 0).chunk(kind::INIT, 0, &init).finish().into());
    }

    fn handle_init(&mut self, now: Instant, packet: &Packet<'_>, chunk: Chunk<'_>) {
        // RFC 9260 §8.5.1: an INIT stands alone, with a verification tag of zero.
        if packet.tag() != 0 || packet.chunks().nth(1).is_some() {
            return;
        }
        let Some((peer, _)) = Init::parse(chunk.value) else { return };
        let (generation, local) = match self.phase {
            // RFC 9260 §5.2.1: the response repeats the parameters of the local INIT.
            Phase::CookieWait(_) | Phase::CookieEchoed { .. } => (self.generation, self.local),
            // RFC 9260 §5.2.2: a new tag, because the peer has restarted.
            Phase::Up { .. } => {
                (self.generation + 1, identity(&self.options, &self.secret, self.generation + 1))
            }
            Phase::New | Phase::Failed | Phase::Closed => return,
        };
        let ports = packet.ports().reversed();
        if local.tag == peer.tag {
            return;
        }
        let cookie = Cookie {
            issued: now.saturating_duration_since(self.started),
            generation,
            local_tag: local.tag,
            peer,
            ports,
        };
        let ack = local.value(Some(&cookie.seal(&self.secret)));
        self.queue_reply(PacketWriter::new(ports, peer.tag).chunk(kind::INIT_ACK, 0, &ack).finish());
    }

    fn handle_init_ack(&mut self, now: Instant, packet: &Packet<'_>, chunk: Chunk<'_>) {
        let local_tag = self.local.tag;
        if !matches!(self.phase, Phase::CookieWait(_)) || packet.tag() != local_tag {
            return;
        }
        let Some((peer, Some(cookie))) = Init::parse(chunk.value) else { return };
        if cookie.len() > MAX_PEER_COOKIE || peer.tag == local_tag {
            return;
        }
        self.ports = packet.ports().reversed();
        let echo: Bytes =
            PacketWriter::new(self.ports, peer.tag).chunk(kind::COOKIE_ECHO, 0, cookie).finish().into();
        self.packets.push_back(echo.clone());
        let retry = Retry { at: now + HANDSHAKE_TIMEOUT, sent: 0 };
        self.phase = Phase::CookieEchoed { retry, peer, packet: echo };
    }

    fn handle_cookie_echo(&mut self, now: Instant, packet: &Packet<'_>, chunk: Chunk<'_>) {
        let age = now.saturating_duration_since(self.started);
        let cookie = match Cookie::open(chunk.value, &self.secret, age, self.cookie_lifetime) {
            Ok(cookie) if cookie.local_tag == packet.tag() => cookie,
            Err(CookieError::Stale(cookie)) if cookie.local_tag == packet.tag() => {
                let cause = [STALE_COOKIE, [0; 4]].concat();
                let error = PacketWriter::new(cookie.ports, cookie.peer.tag).chunk(kind::ERROR, 0, &cause);
                return self.queue_reply(error.finish());
            }
            _ => return,
        };
        let acceptable = match self.phase {
            Phase::New | Phase::Failed | Phase::Closed => false,
            Phase::CookieWait(_) => cookie.generation == self.generation,
            // RFC 9260 §5.2.4: if two handshakes cross, both sides use the one with matching tags.
            Phase::CookieEchoed { peer, .. } => {
                cookie.generation == self.generation && cookie.peer.tag == peer.tag
            }
            Phase::Up { peer_tag, .. } if cookie.generation == self.generation => cookie.peer.tag == peer_tag,
            Phase::Up { .. } => cookie.generation == self.generation + 1,
        };
        if !acceptable {
            return;
        }
        let up_already = matches!(self.phase, Phase::Up { .. }) && cookie.generation == self.generation;
        if !up_already {
            self.generation = cookie.generation;
            self.ports = cookie.ports;
            self.local = identity(&self.options, &self.secret, cookie.generation);
            self.establish(&cookie.peer);
        }
        let ack = PacketWriter::new(cookie.ports, cookie.peer.tag).chunk(kind::COOKIE_ACK, 0, &[]).finish();
        self.queue_reply(ack);
        self.handle_rest(now, packet);
    }

    fn handle_cookie_ack(&mut self, now: Instant, packet: &Packet<'_>) {
        if packet.tag() != self.local.tag {
            return;
        }
        if let Phase::CookieEchoed { peer, .. } = self.phase {
            self.establish(&peer);
        }
        self.handle_rest(now, packet);
    }

    /// Handles the chunks after a chunk of the handshake.
    fn handle_rest(&mut self, now: Instant, packet: &Packet<'_>) {
        if let Phase::Up { association, .. } = &mut self.phase {
            association.handle_packet(now, packet, &mut self.events);
        }
    }

    fn handle_error(&mut self, now: Instant, packet: &Packet<'_>) {
        if packet.tag() != self.local.tag {
            return;
        }
        if let Phase::CookieEchoed { retry, .. } = self.phase {
            // RFC 9260 §5.2.6: after a stale cookie error the handshake restarts.
            self.phase = Phase::CookieWait(Retry { at: now + HANDSHAKE_TIMEOUT, ..retry });
            self.send_init();
        }
        self.handle_rest(now, packet);
    }

    fn handle_abort(&mut self, packet: &Packet<'_>, chunk: Chunk<'_>) {
        // RFC 9260 §8.5.1: with the T bit the tag is the one that this side sends.
        let reflected = chunk.flags & 1 != 0;
        let expected = match (&self.phase, reflected) {
            (Phase::New | Phase::Failed | Phase::Closed, _) | (Phase::CookieWait(_), true) => return,
            (_, false) => self.local.tag,
            (Phase::CookieEchoed { peer, .. }, true) => peer.tag,
            (Phase::Up { peer_tag, .. }, true) => *peer_tag,
        };
        if packet.tag() == expected {
            self.end();
        }
    }

    fn handle_established(&mut self, now: Instant, packet: &Packet<'_>) {
        if packet.tag() == self.local.tag && packet.ports() == self.ports.reversed() {
            self.handle_rest(now, packet);
        }
    }

    fn establish(&mut self, peer: &Init) {
        let local = self.local;
        let bounds = Bounds {
            window: self.options.max_receiver_window_buffer_size as usize,
            pieces: self.incoming_pieces,
            message: self.options.max_receive_message_size as usize,
            streams: local.inbound_streams,
        };
        let mut association = Association::new(bounds, self.ports, &local, peer);
        for &stream in self.outgoing.keys() {
            association.open(stream);
        }
        self.negotiated = Some(SctpNegotiatedCapabilities {
            negotiated_max_outbound_streams: local.outbound_streams.min(peer.inbound_streams),
            negotiated_max_inbound_streams: local.inbound_streams.min(peer.outbound_streams),
        });
        let was_up = matches!(self.phase, Phase::Up { .. });
        self.phase = Phase::Up { association: Box::new(association), peer_tag: peer.tag };
        if !was_up {
            self.events.push_back(Event::State(SctpState::Connected));
        }
    }

    /// Completes an ended shutdown, and sends waiting messages that the association accepts now.
    fn settle(&mut self) {
        let Phase::Up { association, .. } = &mut self.phase else { return };
        if association.is_over() {
            return self.end();
        }
        if !association.take_unblocked() || self.holding.is_empty() {
            return;
        }
        let (outgoing, held, held_bytes) = (&mut self.outgoing, &mut self.held, &mut self.held_bytes);
        self.holding.retain(|&id| {
            let Some(outgoing) = outgoing.get_mut(&id).filter(|_| association.is_writable(id)) else {
                return true;
            };
            *held -= outgoing.held.len();
            *held_bytes -= std::mem::take(&mut outgoing.held_bytes);
            for message in outgoing.held.drain(..) {
                association.send(message, outgoing.low_threshold);
            }
            false
        });
    }

    /// Queues a response. The number of responses is bounded, because anybody can cause them.
    fn queue_reply(&mut self, packet: Vec<u8>) {
        if self.packets.len() < MAX_QUEUED_REPLIES {
            self.packets.push_back(packet.into());
        }
    }

    fn end(&mut self) {
        let state = match self.phase {
            Phase::Up { .. } => SctpState::Closed,
            Phase::Failed | Phase::Closed => return,
            _ => SctpState::Failed,
        };
        self.phase = if state == SctpState::Closed { Phase::Closed } else { Phase::Failed };
        self.outgoing.clear();
        self.holding.clear();
        (self.held, self.held_bytes) = (0, 0);
        self.events.push_back(Event::State(state));
    }
}

/// Local parameters of the identity with the given number.
fn identity(options: &SctpOptions, secret: &hmac::Key, generation: u32) -> Init {
    let random = hmac::sign(secret, &[&b"identity"[..], &generation.to_be_bytes()].concat());
    let word = |at: usize| {
        let bytes = random.as_ref()[at..at + 4].try_into().expect("a range of four");
        u32::from_be_bytes(bytes).max(1)
    };
    Init {
        tag: word(0),
        window: options.max_receiver_window_buffer_size.max(1500),
        // RFC 9260 §3.3.2: zero streams are not allowed.
        outbound_streams: options.outbound_streams.max(1),
        inbound_streams: options.inbound_streams.max(1),
        tsn: word(4),
        forward_tsn: true,
        re_config: true,
    }
}

/// Number of responses of the handshake that can be queued.
const MAX_QUEUED_REPLIES: usize = 16;
/// Error cause "user-initiated abort" (RFC 9260 §3.3.10.12) without a text.
const USER_INITIATED: [u8; 4] = [0, 12, 0, 4];

impl Outgoing {
    fn new(low_threshold: u32) -> Self {
        Self { held: VecDeque::new(), held_bytes: 0, low_threshold }
    }
}
