//! SCTP for data channels (RFC 9260, RFC 8831), sans-IO: over DTLS, or raw over UDP between servers.
//!
//! After every call drain [`Sctp::poll_packet`] and [`Sctp::poll_event`], then ask [`Sctp::poll_timeout`].
//!
//! [`Sctp`] shakes hands; what comes after that is an association's, with its two directions apart: a receiver and a
//! sender, which share nothing but the packets. So:
//!
//! - An INIT costs no memory. The state cookie carries all of it, with a MAC and a lifetime; a cookie of an
//!   identity that was given up is not taken again.
//! - Both sides may connect at once (RFC 9260 §5.2.1), as browsers and mediasoup do, and a peer may restart (§5.2.2).
//! - Tags and first TSNs come from the caller's secret; nothing here reads a clock or a random source.
//! - No chunk costs more than a few look-ups, whatever a peer has piled up before, and all that it piles up is bounded.
//! - No packet is longer than [`MAX_PACKET`]. An INIT is answered by less than three times its length, because of the cookie;
//!   nothing else that is answered before a cookie came back is longer than what it answers.
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

/// SCTP port of both ends, by custom of WebRTC.
pub const PORT: u16 = 5000;
/// Longest packet that is sent, in bytes: mediasoup's `OutgoingSctpPacketMaxSize` of 1191, in whole words.
pub const MAX_PACKET: usize = 1188;
/// Streams each side may use.
pub const MAX_STREAMS: u16 = 65_535;
/// Messages, and beginnings of messages, of a peer that may wait for what is missing before them, unless told otherwise:
/// each costs some 200 bytes beside its own.
pub const INCOMING_PIECES: usize = 8192;
/// Messages that may wait to be sent on an association, unless told otherwise: each costs some 100 bytes beside its own.
pub const OUTGOING_MESSAGES: usize = 32_768;
/// How long a state cookie may be brought back, unless told otherwise (RFC 9260 §16: Valid.Cookie.Life).
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(60);

/// First wait for an answer to INIT and COOKIE ECHO; it doubles.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often INIT and COOKIE ECHO are sent again (RFC 9260 §16: Max.Init.Retransmits).
const MAX_HANDSHAKE_RETRANSMISSIONS: u32 = 8;
/// Longest state cookie of a peer that is brought back.
const MAX_PEER_COOKIE: usize = 1024;
/// Error cause "stale cookie" (RFC 9260 §3.3.10.3) with its length.
const STALE_COOKIE: [u8; 4] = [0, 3, 0, 8];

/// One association with one peer.
#[derive(Debug)]
pub struct Sctp {
    options: SctpOptions,
    secret: hmac::Key,
    cookie_lifetime: Duration,
    started: Instant,
    ports: Ports,
    /// Which identity is ours: one more after each restart by the peer.
    generation: u32,
    /// What we say of ourselves as that.
    local: Init,
    phase: Phase,
    negotiated: Option<SctpNegotiatedCapabilities>,
    /// Streams that something was sent on, or that have a threshold of their own.
    outgoing: BTreeMap<u16, Outgoing>,
    /// Those of them that hold messages back, and these messages.
    holding: BTreeSet<u16>,
    held: usize,
    held_bytes: usize,
    incoming_pieces: usize,
    outgoing_messages: usize,
    refused: u64,
    packets: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

/// What an association tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is in another state.
    State(SctpState),
    /// A message came.
    Message {
        /// On this stream.
        stream: u16,
        /// Payload protocol identifier.
        ppid: u32,
        /// Its bytes; never none.
        payload: Bytes,
    },
    /// A message came that is longer than may be received; it was dropped.
    MessageTooLong(u16),
    /// The peer has reset this stream: it closes the data channel.
    StreamReset(u16),
    /// What waits on this stream fell to the threshold or below.
    BufferedAmountLow(u16),
}

/// Why a message can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// SCTP has no empty messages; data channels send a zero byte with a PPID of its own.
    #[error("empty message")]
    Empty,
    /// Longer than [`SctpOptions::max_send_message_size`].
    #[error("message too long")]
    TooLong,
    /// Too much waits, on the association or on the stream.
    #[error("sctpsendbufferfull")]
    BufferFull,
    /// The association is over.
    #[error("SCTP association closed")]
    Closed,
}

#[derive(Debug)]
enum Phase {
    New,
    /// INIT is out.
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
    /// Never came up.
    Failed,
    /// Was up.
    Closed,
}

/// When a packet of the handshake is sent again.
#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    sent: u32,
}

/// A message that is to be sent.
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

/// Whether this is an SCTP packet with a right checksum.
pub fn is_valid(packet: &[u8]) -> bool {
    Packet::parse(packet).is_some_and(|packet| packet.checksum_is_right())
}

impl Sctp {
    /// An association that waits for [`Sctp::connect`]. `secret` must be unpredictable and of this association alone.
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

    /// Takes state cookies back for so long instead of [`COOKIE_LIFETIME`]. A peer whose round trip is longer never
    /// connects.
    #[must_use]
    pub fn with_cookie_lifetime(self, cookie_lifetime: Duration) -> Self {
        Self { cookie_lifetime, ..self }
    }

    /// Bounds what waits by number instead of by [`INCOMING_PIECES`] and [`OUTGOING_MESSAGES`].
    #[must_use]
    pub fn with_bounds(self, incoming_pieces: usize, outgoing_messages: usize) -> Self {
        Self { incoming_pieces, outgoing_messages, ..self }
    }

    /// Begins the handshake, if it has not begun.
    pub fn connect(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::New) {
            return;
        }
        self.phase = Phase::CookieWait(Retry { at: now + HANDSHAKE_TIMEOUT, sent: 0 });
        self.send_init();
        self.events.push_back(Event::State(SctpState::Connecting));
    }

    /// Takes a packet from the peer. What is malformed, forged or out of place is dropped in silence.
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

    /// Sends again what was not answered.
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

    /// When to call [`Sctp::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::CookieWait(retry) | Phase::CookieEchoed { retry, .. } => Some(retry.at),
            Phase::Up { association, .. } => association.poll_timeout(),
            Phase::New | Phase::Failed | Phase::Closed => None,
        }
    }

    /// The next packet to send. Messages become packets here, so drain it after a batch of them.
    pub fn poll_packet(&mut self, now: Instant) -> Option<Bytes> {
        match &mut self.phase {
            Phase::Up { association, .. } if self.packets.is_empty() => {
                association.poll_packet(now, &mut self.events)
            }
            _ => self.packets.pop_front(),
        }
    }

    /// Whether something happened that [`Sctp::poll_event`] tells.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened since the last call, until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes a message to send; before the association is up it waits for that.
    ///
    /// # Errors
    /// It can't be sent, or too much waits already.
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

    /// Says that a stream is in use, so that the peer's reset of it is heard of.
    pub fn open_stream(&mut self, stream: u16) {
        let low_threshold = self.options.default_buffered_amount_low_threshold;
        self.outgoing.entry(stream).or_insert_with(|| Outgoing::new(low_threshold));
        if let Phase::Up { association, .. } = &mut self.phase {
            association.open(stream);
        }
    }

    /// Closes a data channel: resets its stream once what was sent is acknowledged. The stream can be used again at
    /// once; what is sent waits for the reset.
    pub fn reset_stream(&mut self, now: Instant, stream: u16) {
        self.drop_held(stream);
        if let Phase::Up { association, .. } = &mut self.phase {
            association.reset(now, stream);
        }
    }

    /// Forgets a stream without telling the peer: for streams that are no data channels.
    pub fn forget_stream(&mut self, stream: u16) {
        self.drop_held(stream);
    }

    /// Makes packets of what can be sent now; they come out with [`Sctp::poll_packet`].
    pub fn flush(&mut self, now: Instant) {
        if let Phase::Up { association, .. } = &mut self.phase {
            while let Some(packet) = association.poll_packet(now, &mut self.events) {
                self.packets.push_back(packet);
            }
        }
    }

    /// Bytes of a stream that have not left yet.
    pub fn buffered_amount(&self, stream: u16) -> usize {
        let held = self.held_on(stream);
        match &self.phase {
            Phase::Up { association, .. } => held + association.sender().unsent(stream),
            _ => held,
        }
    }

    /// Chunks of the peer that were dropped because too much waited, since this was last asked for. They come again.
    pub fn take_refused(&mut self) -> u64 {
        if let Phase::Up { association, .. } = &mut self.phase {
            self.refused += association.take_refused();
        }
        std::mem::take(&mut self.refused)
    }

    /// Bytes of a stream that take memory: until they are acknowledged.
    fn waiting_on(&self, stream: u16) -> usize {
        let held = self.held_on(stream);
        match &self.phase {
            Phase::Up { association, .. } => held + association.sender().buffered(stream),
            _ => held,
        }
    }

    /// The same of all streams, and messages that have not left as a whole.
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

    /// Below how many bytes a stream says [`Event::BufferedAmountLow`].
    pub fn buffered_amount_low_threshold(&self, stream: u16) -> u32 {
        let default = self.options.default_buffered_amount_low_threshold;
        self.outgoing.get(&stream).map_or(default, |outgoing| outgoing.low_threshold)
    }

    /// Sets that threshold; it counts from the next message on.
    pub fn set_buffered_amount_low_threshold(&mut self, stream: u16, threshold: u32) {
        let default = self.options.default_buffered_amount_low_threshold;
        self.outgoing.entry(stream).or_insert_with(|| Outgoing::new(default)).low_threshold = threshold;
    }

    /// Ends the association; the peer is told by an ABORT.
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

    /// What both sides agreed on, once connected.
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
            // RFC 9260 §5.2.1: what was said in our own INIT.
            Phase::CookieWait(_) | Phase::CookieEchoed { .. } => (self.generation, self.local),
            // RFC 9260 §5.2.2: a new tag, for the peer has restarted.
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
            // RFC 9260 §5.2.4: of two handshakes that crossed, both sides take the one whose tags match.
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

    /// What a packet holds behind a chunk of the handshake.
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
            // RFC 9260 §5.2.6: a stale cookie; begin again.
            self.phase = Phase::CookieWait(Retry { at: now + HANDSHAKE_TIMEOUT, ..retry });
            self.send_init();
        }
        self.handle_rest(now, packet);
    }

    fn handle_abort(&mut self, packet: &Packet<'_>, chunk: Chunk<'_>) {
        // RFC 9260 §8.5.1: with the T bit the tag is the one that we send.
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

    /// Ends what is over, and sends what was held back and may be sent now.
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

    /// Answers to what anyone could send are not queued without bound.
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

/// What we say of ourselves as the given generation.
fn identity(options: &SctpOptions, secret: &hmac::Key, generation: u32) -> Init {
    let random = hmac::sign(secret, &[&b"identity"[..], &generation.to_be_bytes()].concat());
    let word = |at: usize| {
        let bytes = random.as_ref()[at..at + 4].try_into().expect("a range of four");
        u32::from_be_bytes(bytes).max(1)
    };
    Init {
        tag: word(0),
        window: options.max_receiver_window_buffer_size.max(1500),
        // RFC 9260 §3.3.2: there are never none.
        outbound_streams: options.outbound_streams.max(1),
        inbound_streams: options.inbound_streams.max(1),
        tsn: word(4),
        forward_tsn: true,
        re_config: true,
    }
}

/// Replies of the handshake that wait to be polled.
const MAX_QUEUED_REPLIES: usize = 16;
/// Error cause "user-initiated abort" (RFC 9260 §3.3.10.12) without a reason.
const USER_INITIATED: [u8; 4] = [0, 12, 0, 4];

impl Outgoing {
    fn new(low_threshold: u32) -> Self {
        Self { held: VecDeque::new(), held_bytes: 0, low_threshold }
    }
}
