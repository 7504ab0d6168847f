//! Sending direction: messages become DATA chunks, which are retransmitted until they are acknowledged or abandoned
//! (RFC 9260 §6 and §7, RFC 3758).
//!
//! Chunks in flight form a queue by transmission sequence number (TSN), so that a TSN is an index. A SACK costs one
//! pass over the chunks in flight, [`MAX_UNDER_WAY`] at most; TSNs outside of them are ignored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::congestion::{Congestion, RetransmissionTimeout};
use super::wire::{DATA_CHUNK_HEADER_LEN, DataChunk, FlagsOfData, HEADER_LEN, PacketWriter, Sack, kind};
use super::{Event, MAX_PACKET, Message};

/// Longest user data of a chunk.
pub(super) const MAX_PAYLOAD: usize = MAX_PACKET - HEADER_LEN - DATA_CHUNK_HEADER_LEN;
/// Most chunks in flight: 2.3 MB of full ones.
const MAX_UNDER_WAY: usize = 2048;
/// Miss indications after which a chunk counts as lost (RFC 9260 §7.2.4).
const MISSED: u8 = 3;
/// TSNs that one FORWARD-TSN chunk skips, so that its streams fit a packet.
const MAX_SKIPPED: u64 = 200;

/// Payload protocol identifier of DCEP (RFC 8832), which opens data channels.
const DCEP: u32 = 50;

#[derive(Debug)]
pub(super) struct Sender {
    /// Cumulative TSN: all TSNs up to it are acknowledged. TSNs are extended to 64 bits.
    acknowledged: u64,
    /// Chunks with the following TSNs.
    under_way: VecDeque<Chunk>,
    /// TSNs to retransmit.
    lost: BTreeSet<u64>,
    /// Bytes in flight.
    flying: usize,
    /// Outstanding bytes of chunks in flight: neither acknowledged nor abandoned.
    unacknowledged: usize,
    streams: BTreeMap<u16, Stream>,
    /// Streams with messages to send, round robin. The first one's message may be partly sent.
    line: VecDeque<u16>,
    /// Streams with messages whose lifetime has not started.
    unborn: Vec<u16>,
    /// Messages that are not completely sent.
    queued: usize,
    /// Their unsent bytes.
    unsent: usize,
    next_message: u64,
    /// Messages before this number have a running lifetime.
    born: u64,
    /// The peer's advertised receiver window.
    peer_window: usize,
    peer_skips: bool,
    congestion: Congestion,
    timeout: RetransmissionTimeout,
    /// Time of retransmission (T3-rtx).
    timer: Option<Instant>,
    /// Advanced peer ack point (RFC 3758 §3.5): all TSNs up to it are acknowledged or abandoned.
    skipped: u64,
    skip: bool,
    /// The next packet may exceed the congestion window (RFC 9260 §7.2.4).
    fast: bool,
}

#[derive(Debug, Default)]
struct Stream {
    next_ssn: u16,
    queue: VecDeque<Queued>,
    /// Unsent bytes, and outstanding ones.
    unsent: usize,
    sent: usize,
    low_threshold: usize,
}

#[derive(Debug)]
struct Queued {
    number: u64,
    ppid: u32,
    payload: Bytes,
    /// Stream sequence number, once a fragment was sent.
    begun: Option<u16>,
    reliability: Reliability,
}

#[derive(Clone, Copy, Debug)]
struct Reliability {
    ordered: bool,
    max_retransmits: Option<u16>,
    life_time: Option<Duration>,
    expires: Option<Instant>,
}

#[derive(Debug)]
struct Chunk {
    message: u64,
    stream: u16,
    ssn: u16,
    ppid: u32,
    begins: bool,
    ends: bool,
    reliability: Reliability,
    payload: Bytes,
    state: State,
    sent_at: Instant,
    retransmits: u16,
    missed: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flying,
    Lost,
    Acknowledged,
    GivenUp,
}

impl Sender {
    /// `first`: first TSN; `peer_skips`: the peer supports FORWARD-TSN.
    pub(super) fn new(first: u32, peer_window: u32, peer_skips: bool) -> Self {
        let acknowledged = (1 << 32) + u64::from(first) - 1;
        Self {
            acknowledged,
            under_way: VecDeque::new(),
            lost: BTreeSet::new(),
            flying: 0,
            unacknowledged: 0,
            streams: BTreeMap::new(),
            line: VecDeque::new(),
            unborn: Vec::new(),
            queued: 0,
            unsent: 0,
            next_message: 0,
            born: 0,
            peer_window: peer_window as usize,
            peer_skips,
            congestion: Congestion::new(peer_window as usize),
            timeout: RetransmissionTimeout::default(),
            timer: None,
            skipped: acknowledged,
            skip: false,
            fast: false,
        }
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: Message, low_threshold: u32) {
        let Message { parameters, ppid, payload } = message;
        // RFC 8832 §6: DCEP messages are reliable.
        let may_be_lost = !parameters.ordered && ppid != DCEP;
        let life_time = parameters.max_packet_life_time.filter(|_| may_be_lost);
        let max_retransmits = parameters.max_retransmits.filter(|_| may_be_lost && life_time.is_none());
        let reliability = Reliability {
            ordered: parameters.ordered,
            max_retransmits,
            life_time: life_time.map(|ms| Duration::from_millis(ms.into())),
            expires: None,
        };
        let id = parameters.stream_id;
        if life_time.is_some() && self.unborn.last() != Some(&id) {
            self.unborn.push(id);
        }
        let stream = self.streams.entry(id).or_default();
        stream.low_threshold = low_threshold as usize;
        stream.unsent += payload.len();
        self.unsent += payload.len();
        self.queued += 1;
        if stream.queue.is_empty() {
            self.line.push_back(id);
        }
        let number = self.next_message;
        self.next_message += 1;
        stream.queue.push_back(Queued { number, ppid, payload, begun: None, reliability });
    }

    /// Handles a SACK chunk (RFC 9260 §6.2.1).
    pub(super) fn handle_sack(&mut self, now: Instant, sack: &Sack<'_>, out: &mut VecDeque<Event>) {
        // The cumulative TSN comes first: gap blocks are relative to it.
        let Some(mut news) = self.take_cumulative(now, sack.cumulative, out) else { return };
        let (base, last_sent) = (self.acknowledged, self.next_tsn() - 1);
        let mut at = base + 1;
        for (first, last) in sack.gaps() {
            let last = (base + u64::from(last)).min(last_sent);
            for tsn in (base + u64::from(first)).max(at)..=last {
                if let Some(bytes) = self.acknowledge(tsn, out) {
                    news.bytes += bytes;
                    news.newest = Some(tsn);
                }
            }
            at = at.max(last + 1);
        }
        self.peer_window = sack.window as usize;
        // The congestion window grows by the bytes that this SACK acknowledges, before losses reduce it.
        if news.advanced {
            self.congestion.on_acknowledged(self.acknowledged, news.bytes, news.flying_before);
        }
        self.count_missed(news.newest, at, news.advanced);
        self.update_timer(now, news.advanced);
        self.skip_ahead();
        self.skip = self.skipped > self.acknowledged;
    }

    /// Handles the cumulative TSN of a SHUTDOWN.
    pub(super) fn handle_cumulative(&mut self, now: Instant, tsn: u32, out: &mut VecDeque<Event>) {
        if let Some(news) = self.take_cumulative(now, tsn, out) {
            self.update_timer(now, news.advanced);
        }
    }

    /// Marks unacknowledged chunks as lost when T3-rtx expires (RFC 9260 §6.3.3).
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.timer.is_none_or(|at| at > now) {
            return;
        }
        self.timeout.back_off();
        self.congestion.on_timeout();
        for (tsn, chunk) in (self.acknowledged + 1..).zip(&mut self.under_way) {
            if chunk.state == State::Flying {
                chunk.state = State::Lost;
                self.lost.insert(tsn);
            }
        }
        self.flying = 0;
        self.timer = Some(now + self.timeout.get());
        self.skip_ahead();
        self.skip = self.skipped > self.acknowledged;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Fills a packet with the chunks that may be sent now.
    pub(super) fn fill(&mut self, now: Instant, packet: &mut PacketWriter, out: &mut VecDeque<Event>) {
        self.begin_life_times(now);
        let empty = packet.len();
        loop {
            // FORWARD-TSN goes first, then retransmissions, then new data (RFC 9260 §6.1).
            if std::mem::take(&mut self.skip) {
                let skip = self.forward_tsn();
                packet.append(kind::FORWARD_TSN, 0, &skip);
            }
            self.add_lost(now, packet, out);
            self.add_new(now, packet, out);
            self.skip |= self.skip_ahead();
            if !self.skip || packet.len() != empty {
                break;
            }
        }
        if self.timer.is_none() && !self.under_way.is_empty() {
            self.timer = Some(now + self.timeout.get());
        }
    }

    /// Unsent bytes of a stream.
    pub(super) fn unsent(&self, stream: u16) -> usize {
        self.streams.get(&stream).map_or(0, |stream| stream.unsent)
    }

    /// Buffered amount of a stream: bytes neither acknowledged nor abandoned.
    pub(super) fn buffered(&self, stream: u16) -> usize {
        self.streams.get(&stream).map_or(0, Stream::buffered)
    }

    /// Buffered amount of all streams.
    pub(super) fn buffered_in_all(&self) -> usize {
        self.unsent + self.unacknowledged
    }

    /// Messages that are not completely sent.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// True if nothing is outstanding or queued.
    pub(super) fn is_idle(&self) -> bool {
        self.queued == 0 && self.under_way.is_empty()
    }

    /// True if all data of a stream is acknowledged or abandoned.
    pub(super) fn is_clear(&self, stream: u16) -> bool {
        self.streams.get(&stream).is_none_or(|stream| stream.queue.is_empty() && stream.sent == 0)
    }

    /// The retransmission timeout.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// Last TSN sent.
    pub(super) fn last_tsn(&self) -> u32 {
        (self.next_tsn() - 1) as u32
    }

    /// The peer has performed the reset: the stream's sequence numbers start anew.
    pub(super) fn reset(&mut self, stream: u16) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.next_ssn = 0;
        }
    }

    fn next_tsn(&self) -> u64 {
        self.acknowledged + 1 + self.under_way.len() as u64
    }

    fn extend(&self, tsn: u32) -> u64 {
        let distance = tsn.wrapping_sub(self.acknowledged as u32).cast_signed();
        self.acknowledged.saturating_add_signed(i64::from(distance))
    }

    fn index(&self, tsn: u64) -> usize {
        (tsn - self.acknowledged - 1) as usize
    }

    /// Handles a cumulative TSN. `None` if it is old, or was never sent.
    fn take_cumulative(&mut self, now: Instant, tsn: u32, out: &mut VecDeque<Event>) -> Option<News> {
        let cumulative = self.extend(tsn);
        if cumulative < self.acknowledged || cumulative >= self.next_tsn() {
            return None;
        }
        let mut news = News {
            advanced: cumulative > self.acknowledged,
            bytes: 0,
            newest: None,
            flying_before: self.flying,
        };
        let mut sent_at = None;
        while self.acknowledged < cumulative {
            let tsn = self.acknowledged + 1;
            if let Some(bytes) = self.acknowledge(tsn, out) {
                news.bytes += bytes;
                news.newest = Some(tsn);
                // RFC 9260 §6.3.1, C5: retransmitted chunks are no round trip samples.
                sent_at = self.under_way.front().filter(|chunk| chunk.retransmits == 0).map(|c| c.sent_at);
            }
            self.under_way.pop_front();
            self.acknowledged = tsn;
        }
        self.skipped = self.skipped.max(self.acknowledged);
        if let Some(sent_at) = sent_at {
            self.timeout.measure(now.saturating_duration_since(sent_at));
        }
        Some(news)
    }

    /// Acknowledges a chunk. Returns its bytes if that is new.
    fn acknowledge(&mut self, tsn: u64, out: &mut VecDeque<Event>) -> Option<usize> {
        let at = self.index(tsn);
        let chunk = self.under_way.get_mut(at)?;
        match chunk.state {
            State::Flying => self.flying -= chunk.payload.len(),
            State::Lost => _ = self.lost.remove(&tsn),
            State::Acknowledged | State::GivenUp => return None,
        }
        chunk.state = State::Acknowledged;
        let (stream, bytes) = (chunk.stream, std::mem::take(&mut chunk.payload).len());
        self.release(stream, 0, bytes, out);
        Some(bytes)
    }

    /// Releases buffered bytes of a stream.
    fn release(&mut self, id: u16, unsent: usize, sent: usize, out: &mut VecDeque<Event>) {
        self.unsent -= unsent;
        self.unacknowledged -= sent;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let was_high = stream.buffered() > stream.low_threshold;
        stream.unsent -= unsent;
        stream.sent -= sent;
        if was_high && stream.buffered() <= stream.low_threshold {
            out.push_back(Event::BufferedAmountLow(id));
        }
    }

    /// Counts miss indications and marks chunks as lost (RFC 9260 §7.2.4). `beyond`: after the highest TSN that the
    /// peer has.
    fn count_missed(&mut self, newest: Option<u64>, beyond: u64, advanced: bool) {
        let recovers = self.congestion.recovers();
        let end = match newest {
            Some(newest) if !recovers => newest,
            _ if recovers && advanced => beyond,
            _ => return,
        };
        let next = self.next_tsn();
        for (tsn, chunk) in (self.acknowledged + 1..end).zip(&mut self.under_way) {
            if chunk.state != State::Flying || chunk.retransmits != 0 {
                continue;
            }
            chunk.missed += 1;
            if chunk.missed == MISSED {
                chunk.state = State::Lost;
                self.flying -= chunk.payload.len();
                self.lost.insert(tsn);
                if !self.congestion.recovers() {
                    self.congestion.begin_recovery(next - 1);
                    self.fast = true;
                }
            }
        }
    }

    /// RFC 9260 §6.3.2.
    fn update_timer(&mut self, now: Instant, advanced: bool) {
        if self.under_way.is_empty() {
            self.timer = None;
        } else if advanced || self.timer.is_none() {
            self.timer = Some(now + self.timeout.get());
        }
    }

    /// Starts the lifetimes of messages queued since the last call.
    fn begin_life_times(&mut self, now: Instant) {
        for id in self.unborn.drain(..) {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let new = stream.queue.iter_mut().rev().take_while(|message| message.number >= self.born);
            for Queued { reliability, .. } in new {
                reliability.expires = reliability.life_time.map(|life_time| now + life_time);
            }
        }
        self.born = self.next_message;
    }

    fn add_lost(&mut self, now: Instant, packet: &mut PacketWriter, out: &mut VecDeque<Event>) {
        let empty = packet.len();
        while let Some(&tsn) = self.lost.first() {
            let at = self.index(tsn);
            let chunk = &mut self.under_way[at];
            if self.peer_skips && chunk.reliability.ends(now, chunk.retransmits) {
                self.give_up(now, tsn, out);
                continue;
            }
            let len = chunk.payload.len();
            let is_full = self.flying >= self.congestion.window() && !self.fast;
            if !packet.has_room(len) || self.flying > 0 && (is_full || self.flying + len > self.peer_window) {
                break;
            }
            self.lost.remove(&tsn);
            chunk.state = State::Flying;
            chunk.retransmits = chunk.retransmits.saturating_add(1);
            chunk.sent_at = now;
            self.flying += len;
            chunk.write(tsn, packet);
            if tsn == self.acknowledged + 1 {
                // RFC 9260 §7.2.4: T3-rtx restarts when the lowest outstanding TSN is retransmitted.
                self.timer = Some(now + self.timeout.get());
            }
        }
        self.fast &= packet.len() == empty && !self.lost.is_empty();
    }

    fn add_new(&mut self, now: Instant, packet: &mut PacketWriter, out: &mut VecDeque<Event>) {
        while let Some(&id) = self.line.front() {
            let next = self.next_tsn();
            let Some(stream) = self.streams.get_mut(&id) else { break };
            let Some(message) = stream.queue.front_mut() else { break };
            if self.peer_skips && message.reliability.has_expired(now) {
                let (number, begun, unsent) = (message.number, message.begun, message.payload.len());
                if begun.is_none() {
                    self.end_message();
                    self.release(id, unsent, 0, out);
                } else if self.under_way.back().is_some_and(|chunk| chunk.message == number) {
                    self.give_up(now, next - 1, out);
                } else {
                    self.give_up_rest(now, number, out);
                }
                continue;
            }
            let len = message.payload.len().min(MAX_PAYLOAD);
            // RFC 9260 §6.1: one chunk may be in flight whatever the peer's window.
            let may_leave = self.unacknowledged == 0
                || self.flying < self.congestion.window() && self.unacknowledged + len <= self.peer_window;
            if !may_leave || !packet.has_room(len) || self.under_way.len() >= MAX_UNDER_WAY {
                break;
            }
            let begins = message.begun.is_none();
            let ssn = *message.begun.get_or_insert(stream.next_ssn);
            if begins && message.reliability.ordered {
                stream.next_ssn = stream.next_ssn.wrapping_add(1);
            }
            let payload = message.payload.split_to(len);
            let ends = message.payload.is_empty();
            let chunk = Chunk {
                message: message.number,
                stream: id,
                ssn,
                ppid: message.ppid,
                begins,
                ends,
                reliability: message.reliability,
                payload,
                state: State::Flying,
                sent_at: now,
                retransmits: 0,
                missed: 0,
            };
            chunk.write(next, packet);
            stream.unsent -= len;
            stream.sent += len;
            self.unsent -= len;
            self.unacknowledged += len;
            self.flying += len;
            self.under_way.push_back(chunk);
            if ends {
                self.end_message();
            }
        }
    }

    /// Ends the current message: the next stream's turn.
    fn end_message(&mut self) {
        let Some(id) = self.line.pop_front() else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.queue.pop_front().is_some() {
            self.queued -= 1;
        }
        if !stream.queue.is_empty() {
            self.line.push_back(id);
        }
    }

    /// Abandons the message of a chunk (RFC 3758 §3.5). Its chunks have consecutive TSNs.
    fn give_up(&mut self, now: Instant, tsn: u64, out: &mut VecDeque<Event>) {
        let at = self.index(tsn);
        let (number, id) = (self.under_way[at].message, self.under_way[at].stream);
        let before = self.under_way.range(..at).rev().take_while(|chunk| chunk.message == number).count();
        let mut released = 0;
        for (offset, chunk) in self.under_way.range_mut(at - before..).enumerate() {
            if chunk.message != number {
                break;
            }
            let len = std::mem::take(&mut chunk.payload).len();
            match chunk.state {
                State::Flying => self.flying -= len,
                State::Lost => {
                    self.lost.remove(&(self.acknowledged + 1 + (at - before + offset) as u64));
                }
                State::Acknowledged | State::GivenUp => {}
            }
            chunk.state = State::GivenUp;
            released += len;
        }
        self.release(id, 0, released, out);
        self.give_up_rest(now, number, out);
    }

    /// Abandons the unsent rest of a message. One TSN stands for the rest, so that the peer learns of the abandoned
    /// message even if it has all sent fragments.
    fn give_up_rest(&mut self, now: Instant, number: u64, out: &mut VecDeque<Event>) {
        let Some(&id) = self.line.front() else { return };
        let Some(message) = self.streams.get(&id).and_then(|stream| stream.queue.front()) else { return };
        let Some(ssn) = message.begun.filter(|_| message.number == number) else { return };
        let unsent = message.payload.len();
        self.under_way.push_back(Chunk {
            message: number,
            stream: id,
            ssn,
            ppid: message.ppid,
            begins: false,
            ends: true,
            reliability: message.reliability,
            payload: Bytes::new(),
            state: State::GivenUp,
            sent_at: now,
            retransmits: 0,
            missed: 0,
        });
        self.end_message();
        self.release(id, unsent, 0, out);
    }

    /// Advances the peer ack point over abandoned chunks, within one FORWARD-TSN chunk. Returns true if it moved.
    fn skip_ahead(&mut self) -> bool {
        let before = self.skipped;
        while let Some(chunk) = self.under_way.get(self.index(self.skipped + 1))
            && chunk.state == State::GivenUp
            && self.skipped - self.acknowledged < MAX_SKIPPED
        {
            self.skipped += 1;
        }
        self.skipped > before
    }

    /// The value of a FORWARD-TSN chunk (RFC 3758 §3.2).
    fn forward_tsn(&self) -> Vec<u8> {
        let skipped = self.under_way.range(..(self.skipped - self.acknowledged) as usize);
        // RFC 3758 §3.5, C4: the last sequence number of each stream, for ordered messages only.
        let streams: BTreeMap<u16, u16> = skipped
            .filter(|chunk| chunk.reliability.ordered)
            .map(|chunk| (chunk.stream, chunk.ssn))
            .collect();
        let mut value = Vec::with_capacity(4 + 4 * streams.len());
        value.extend_from_slice(&(self.skipped as u32).to_be_bytes());
        for (stream, ssn) in streams {
            value.extend_from_slice(&stream.to_be_bytes());
            value.extend_from_slice(&ssn.to_be_bytes());
        }
        value
    }
}

/// Result of an acknowledgement.
#[derive(Debug)]
struct News {
    /// The cumulative TSN has advanced.
    advanced: bool,
    bytes: usize,
    /// The highest newly acknowledged TSN.
    newest: Option<u64>,
    flying_before: usize,
}

impl Stream {
    fn buffered(&self) -> usize {
        self.unsent + self.sent
    }
}

impl Reliability {
    fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// True if a chunk with this many retransmissions is abandoned.
    fn ends(&self, now: Instant, retransmits: u16) -> bool {
        self.has_expired(now) || self.max_retransmits.is_some_and(|most| retransmits >= most)
    }
}

impl Chunk {
    fn write(&self, tsn: u64, packet: &mut PacketWriter) {
        let flags = FlagsOfData {
            begins: self.begins,
            ends: self.ends,
            unordered: !self.reliability.ordered,
            immediate: false,
        };
        packet.append_data(&DataChunk {
            tsn: tsn as u32,
            stream: self.stream,
            ssn: self.ssn,
            ppid: self.ppid,
            flags,
            payload: &self.payload,
        });
    }
}
