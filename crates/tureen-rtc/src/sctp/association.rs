//! An established association: receiver, sender, stream resets and shutdown.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::receiver::{Bounds, Receiver};
use super::resets;
use super::sender::Sender;
use super::wire::{CHUNK_HEADER_LEN, Chunk, HEADER_LEN, Init, Packet, PacketWriter, Ports, ReConfig, kind};
use super::{Event, MAX_PACKET, MAX_QUEUED_REPLIES, Message};

/// Retransmissions of a SHUTDOWN ACK.
const MAX_SHUTDOWN_RETRANSMISSIONS: u32 = 8;

/// An association after the handshake.
#[derive(Debug)]
pub(super) struct Association {
    ports: Ports,
    peer_tag: u32,
    receiver: Receiver,
    sender: Sender,
    incoming_resets: resets::Incoming,
    outgoing_resets: resets::Outgoing,
    /// The peer supports stream resets (RFC 6525).
    can_reset: bool,
    /// Streams in use locally, so that resets by the peer are reported.
    open: BTreeSet<u16>,
    /// Responses to send.
    replies: VecDeque<Bytes>,
    end: End,
}

/// Progress of the shutdown.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Not shutting down.
    None,
    /// SHUTDOWN was received (RFC 9260 §9.2): outstanding data has to be acknowledged first.
    Received,
    /// SHUTDOWN ACK was sent `count` times; time of the next retransmission.
    Acknowledged {
        sent: u32,
        at: Instant,
    },
    Over,
}

impl Association {
    /// `local` and `peer` are the parameters of both sides' INIT and INIT ACK.
    pub(super) fn new(bounds: Bounds, ports: Ports, local: &Init, peer: &Init) -> Self {
        Self {
            ports,
            peer_tag: peer.tag,
            receiver: Receiver::new(peer.tsn, bounds),
            sender: Sender::new(local.tsn, peer.window, peer.forward_tsn),
            incoming_resets: resets::Incoming::new(peer.tsn),
            outgoing_resets: resets::Outgoing::new(local.tsn),
            can_reset: peer.re_config,
            open: BTreeSet::new(),
            replies: VecDeque::new(),
            end: End::None,
        }
    }

    /// Handles the chunks of a packet with the right verification tag, except those of the handshake and unknown ones.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &Packet<'_>, out: &mut VecDeque<Event>) {
        // Only the first SACK and the first HEARTBEAT of a packet count.
        let (mut has_sack, mut has_heartbeat) = (false, false);
        let buffered = self.sender.buffered_in_all();
        for chunk in packet.chunks() {
            match chunk.kind {
                kind::DATA => {
                    if let Some(data) = chunk.data() {
                        self.receiver.handle_data(&data, out);
                    }
                }
                kind::SACK if !std::mem::replace(&mut has_sack, true) => {
                    if let Some(sack) = chunk.sack() {
                        self.sender.handle_sack(now, &sack, out);
                    }
                }
                kind::HEARTBEAT if !std::mem::replace(&mut has_heartbeat, true) => {
                    self.reply(kind::HEARTBEAT_ACK, chunk.value);
                }
                kind::FORWARD_TSN => {
                    if let Some(forward) = chunk.forward_tsn() {
                        self.receiver.handle_forward_tsn(&forward, out);
                    }
                }
                kind::RE_CONFIG => self.handle_reconfig(now, &chunk, out),
                kind::SHUTDOWN => self.handle_shutdown(now, &chunk, out),
                kind::SHUTDOWN_COMPLETE if matches!(self.end, End::Acknowledged { .. }) => {
                    self.end = End::Over;
                }
                kind::ABORT => self.end = End::Over,
                _ => {}
            }
        }
        self.receiver.end_packet(now, packet.len());
        if self.sender.buffered_in_all() < buffered {
            self.outgoing_resets.look_again();
        }
        let has_all = |tsn| self.receiver.has_all_up_to(tsn);
        if let Some((response, streams)) = self.incoming_resets.poll(has_all) {
            self.reply(kind::RE_CONFIG, &response);
            self.take_resets(now, streams, out);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.receiver.handle_timeout(now);
        self.sender.handle_timeout(now);
        self.outgoing_resets.handle_timeout(now);
        if let End::Acknowledged { sent, at } = self.end
            && at <= now
            && sent > MAX_SHUTDOWN_RETRANSMISSIONS
        {
            self.end = End::Over;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let shutdown = match self.end {
            End::Acknowledged { at, .. } => Some(at),
            End::None | End::Received | End::Over => None,
        };
        let timeouts = [
            self.receiver.poll_timeout(),
            self.sender.poll_timeout(),
            self.outgoing_resets.poll_timeout(),
            shutdown,
        ];
        timeouts.into_iter().flatten().min()
    }

    /// The next packet to send, of at most [`MAX_PACKET`] bytes.
    pub(super) fn poll_packet(&mut self, now: Instant, out: &mut VecDeque<Event>) -> Option<Bytes> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(reply);
        }
        let (sender, incoming) = (&self.sender, &self.incoming_resets);
        let is_clear = |stream| sender.is_clear(stream);
        let request = self.outgoing_resets.poll(now, sender.timeout(), sender.last_tsn(), incoming, is_clear);
        if let Some(request) = request {
            let packet = PacketWriter::new(self.ports, self.peer_tag).chunk(kind::RE_CONFIG, 0, request);
            return Some(packet.finish().into());
        }
        let mut packet = PacketWriter::new(self.ports, self.peer_tag);
        if let Some(ack) = self.receiver.poll_ack() {
            packet.append(kind::SACK, 0, &ack);
        }
        match self.end {
            End::None | End::Received => self.sender.fill(now, &mut packet, out),
            End::Acknowledged { .. } | End::Over => {}
        }
        self.end = match self.end {
            End::Received if self.sender.is_idle() => {
                packet.append(kind::SHUTDOWN_ACK, 0, &[]);
                End::Acknowledged { sent: 1, at: now + self.sender.timeout() }
            }
            End::Acknowledged { sent, at } if at <= now => {
                packet.append(kind::SHUTDOWN_ACK, 0, &[]);
                End::Acknowledged { sent: sent + 1, at: now + self.sender.timeout() }
            }
            end => end,
        };
        (packet.len() > HEADER_LEN).then(|| packet.finish().into())
    }

    /// True after the shutdown.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.end, End::Over)
    }

    /// True while the peer shuts the association down: nothing new may be sent.
    pub(super) fn is_ending(&self) -> bool {
        !matches!(self.end, End::None)
    }

    /// Registers a stream, so that a reset by the peer is reported even before data is sent on it.
    pub(super) fn open(&mut self, stream: u16) {
        self.open.insert(stream);
    }

    /// True if [`Association::send`] accepts a message for this stream.
    pub(super) fn is_writable(&self, stream: u16) -> bool {
        !self.outgoing_resets.blocks(stream)
    }

    /// True if blocked streams may be writable again.
    pub(super) fn take_unblocked(&mut self) -> bool {
        self.outgoing_resets.take_unblocked()
    }

    /// Queues a message on a writable stream.
    pub(super) fn send(&mut self, message: Message, low_threshold: u32) {
        self.open.insert(message.parameters.stream_id);
        self.sender.send(message, low_threshold);
    }

    /// Closes a data channel from this side (RFC 8831 §6.7).
    pub(super) fn reset(&mut self, now: Instant, stream: u16) {
        if self.can_reset && self.is_writable(stream) {
            self.open.insert(stream);
            self.outgoing_resets.reset(now, stream, false);
        }
    }

    /// The sending direction.
    pub(super) fn sender(&self) -> &Sender {
        &self.sender
    }

    #[cfg(test)]
    pub(super) fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Number of chunks that were dropped at a limit since the last call.
    pub(super) fn take_refused(&mut self) -> u64 {
        self.receiver.take_refused()
    }

    fn handle_reconfig(&mut self, now: Instant, chunk: &Chunk<'_>, out: &mut VecDeque<Event>) {
        for parameter in chunk.reconfig() {
            if let ReConfig::Response { number, result } = parameter {
                for stream in self.outgoing_resets.handle_response(now, number, result) {
                    self.sender.reset(stream);
                }
            }
            let has_all = |tsn| self.receiver.has_all_up_to(tsn);
            if let Some((response, streams)) = self.incoming_resets.handle(&parameter, has_all) {
                self.reply(kind::RE_CONFIG, &response);
                if let Some(streams) = streams {
                    self.take_resets(now, streams, out);
                }
            }
        }
    }

    /// The peer has reset its direction of these streams, or of all if there are none.
    fn take_resets(&mut self, now: Instant, mut streams: Vec<u16>, out: &mut VecDeque<Event>) {
        if streams.is_empty() {
            streams = self.open.iter().copied().chain(self.receiver.streams()).collect();
        }
        streams.sort_unstable();
        streams.dedup();
        for stream in streams {
            let known = self.open.remove(&stream) | self.receiver.knows(stream);
            self.receiver.reset(stream);
            if !known {
                continue;
            }
            // RFC 8831 §6.7: a data channel is closed in both directions.
            if !self.outgoing_resets.on_reset_by_peer(stream) && self.can_reset {
                self.outgoing_resets.reset(now, stream, true);
            }
            out.push_back(Event::StreamReset(stream));
        }
    }

    fn handle_shutdown(&mut self, now: Instant, chunk: &Chunk<'_>, out: &mut VecDeque<Event>) {
        let Some(cumulative) = chunk.value.first_chunk() else { return };
        self.sender.handle_cumulative(now, u32::from_be_bytes(*cumulative), out);
        self.end = match self.end {
            End::None => End::Received,
            // The SHUTDOWN ACK was lost.
            End::Acknowledged { sent, .. } => End::Acknowledged { sent, at: now },
            end => end,
        };
    }

    /// Queues a response, unless it is too long or the queue is full.
    fn reply(&mut self, kind: u8, value: &[u8]) {
        if self.replies.len() < MAX_QUEUED_REPLIES
            && HEADER_LEN + CHUNK_HEADER_LEN + value.len() <= MAX_PACKET
        {
            let packet = PacketWriter::new(self.ports, self.peer_tag).chunk(kind, 0, value);
            self.replies.push_back(packet.finish().into());
        }
    }
}
