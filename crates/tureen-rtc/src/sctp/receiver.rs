//! Receiving direction: DATA chunks are reassembled to messages and acknowledged by SACKs (RFC 9260 §6).
//!
//! Memory is bounded whatever a peer sends, and each chunk costs a few look-ups:
//!
//! - Without interleaving the fragments of a message have consecutive transmission sequence numbers (TSNs), so a
//!   fragment finds its message by the TSNs beside its own, and is copied into it. A whole message is one entry.
//! - Of the TSNs beyond a gap only ranges are kept, [`MAX_RANGES`] at most. A chunk that would start another range is
//!   dropped.
//! - Buffered bytes are bounded by the receive window, and entries by [`Bounds::pieces`].
//! - The lowest missing chunk is always accepted, so that a bound never stalls an association: a dropped chunk counts
//!   as lost and is retransmitted.
//! - An ordered message is delivered once all TSNs before it have arrived or were skipped. Buffered messages are
//!   therefore beyond a gap, except for one that is incomplete.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Event;
use super::wire::{DataChunk, FlagsOfData, ForwardTsn};

/// Ranges of TSNs beyond gaps.
const MAX_RANGES: usize = 256;
/// Distance of a chunk from the lowest missing one: the range of a SACK (RFC 9260 §3.3.4).
const MAX_DISTANCE: u64 = u16::MAX as u64;
/// Ranges and duplicates in one SACK, as in libwebrtc, so that a response stays small.
const MAX_REPORTED: usize = 20;
/// Bytes of credit that packets without many gaps save for later SACKs.
const MAX_CREDIT: usize = 4096;
/// Bytes of a packet with a SACK without ranges and duplicates.
const LEAST_SACK: usize = 28;
/// Delay of a SACK without a second packet (RFC 9260 §6.2).
const ACK_DELAY: Duration = Duration::from_millis(200);

/// Bounds of the receive buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Receive window in bytes.
    pub(super) window: usize,
    /// Complete and partial messages.
    pub(super) pieces: usize,
    /// Longest message accepted.
    pub(super) message: usize,
    /// Incoming streams.
    pub(super) streams: u16,
}

#[derive(Debug)]
pub(super) struct Receiver {
    bounds: Bounds,
    /// Cumulative TSN: all TSNs up to it have arrived or were skipped. TSNs are extended to 64 bits.
    cumulative: u64,
    /// Received ranges beyond it: first and last TSN, ascending.
    ranges: Vec<(u64, u64)>,
    /// Partial messages, by the TSN of their first received fragment.
    partial: BTreeMap<u64, Partial>,
    /// Ordered messages ahead of their turn, by the TSN of their last fragment.
    waiting: BTreeMap<u64, Message>,
    /// The same by stream and stream sequence number.
    turns: BTreeMap<(u16, u16), u64>,
    /// Next stream sequence number of each stream that was used.
    streams: BTreeMap<u16, u16>,
    /// Bytes of `partial` and `waiting`.
    kept: usize,
    duplicates: Vec<u32>,
    /// Bytes received since the last SACK, which bound the length of SACKs.
    credit: usize,
    ack: Ack,
    /// The current packet had chunks to acknowledge; one of them has the I bit.
    touched: bool,
    hasty: bool,
    /// Chunks dropped at a bound since the last query.
    refused: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ack {
    Idle,
    Delayed(Instant),
    Now,
}

/// Common fields of a message's fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    stream: u16,
    ssn: u16,
    ppid: u32,
    unordered: bool,
}

/// Consecutive fragments of one message.
#[derive(Debug)]
struct Partial {
    identity: Identity,
    last: u64,
    begins: bool,
    ends: bool,
    /// `None` if the message is too long.
    data: Option<VecDeque<u8>>,
}

#[derive(Debug)]
struct Message {
    identity: Identity,
    /// `None` if the message is too long.
    payload: Option<Bytes>,
}

impl Message {
    fn len(&self) -> usize {
        self.payload.as_ref().map_or(0, Bytes::len)
    }
}

impl Receiver {
    /// `first`: the peer's first TSN.
    pub(super) fn new(first: u32, bounds: Bounds) -> Self {
        Self {
            bounds,
            cumulative: (1 << 32) + u64::from(first) - 1,
            ranges: Vec::new(),
            partial: BTreeMap::new(),
            waiting: BTreeMap::new(),
            turns: BTreeMap::new(),
            streams: BTreeMap::new(),
            kept: 0,
            duplicates: Vec::new(),
            credit: 0,
            ack: Ack::Idle,
            touched: false,
            hasty: false,
            refused: 0,
        }
    }

    /// Handles a DATA chunk (RFC 9260 §6.2).
    pub(super) fn handle_data(&mut self, chunk: &DataChunk<'_>, out: &mut VecDeque<Event>) {
        if chunk.payload.is_empty() {
            return;
        }
        self.touched = true;
        self.hasty |= chunk.flags.immediate;
        let tsn = self.extend(chunk.tsn);
        if tsn <= self.cumulative || self.has(tsn) {
            self.hasty = true;
            if self.duplicates.len() < MAX_REPORTED {
                self.duplicates.push(chunk.tsn);
            }
            return;
        }
        // The lowest missing chunk is accepted even without room, because everything buffered waits for it.
        if tsn != self.cumulative + 1 && !self.has_room(tsn, chunk.payload.len()) {
            self.hasty = true;
            self.refused += 1;
            return;
        }
        let before = self.cumulative;
        self.note(tsn);
        // RFC 9260 §6.5: DATA on an invalid stream is acknowledged and dropped.
        if chunk.stream < self.bounds.streams {
            self.streams.entry(chunk.stream).or_default();
            self.store(tsn, chunk, out);
        }
        if self.cumulative != before {
            self.advance(out);
        }
    }

    /// Handles a FORWARD-TSN chunk (RFC 3758 §3.6).
    pub(super) fn handle_forward_tsn(&mut self, chunk: &ForwardTsn<'_>, out: &mut VecDeque<Event>) {
        self.touched = true;
        let cumulative = self.extend(chunk.cumulative);
        if cumulative <= self.cumulative {
            self.hasty = true;
            return;
        }
        self.cumulative = cumulative;
        // The new cumulative TSN may reach into a received range, which it then takes over.
        self.ranges.retain(|range| range.1 > cumulative);
        if let Some(first) = self.ranges.first().filter(|range| range.0 <= cumulative + 1) {
            self.cumulative = first.1;
            self.ranges.remove(0);
        }
        self.advance(out);
        for (stream, ssn) in chunk.skipped() {
            let Some(next) = self.streams.get_mut(&stream) else {
                if stream < self.bounds.streams {
                    self.streams.insert(stream, ssn.wrapping_add(1));
                }
                continue;
            };
            if ssn.wrapping_sub(*next).cast_signed() >= 0 {
                *next = ssn.wrapping_add(1);
                self.take_turns(stream, out);
            }
        }
    }

    /// Ends a packet of `len` bytes: schedules its SACK.
    pub(super) fn end_packet(&mut self, now: Instant, len: usize) {
        if !std::mem::take(&mut self.touched) {
            return;
        }
        self.credit = (self.credit + len).min(MAX_CREDIT);
        let hasty = std::mem::take(&mut self.hasty) || !self.ranges.is_empty();
        self.ack = match self.ack {
            Ack::Idle if !hasty => Ack::Delayed(now + ACK_DELAY),
            _ => Ack::Now,
        };
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.ack = Ack::Now;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.ack {
            Ack::Delayed(at) => Some(at),
            Ack::Idle | Ack::Now => None,
        }
    }

    /// The value of a SACK chunk, if one is due.
    pub(super) fn poll_ack(&mut self) -> Option<Vec<u8>> {
        if self.ack != Ack::Now {
            return None;
        }
        self.ack = Ack::Idle;
        // The SACKs together are never longer than the packets they acknowledge. Ranges take precedence over
        // duplicates, and the lowest range is always included.
        let affordable = (self.credit.saturating_sub(LEAST_SACK) / 4).max(1);
        let ranges = &self.ranges[..self.ranges.len().min(MAX_REPORTED).min(affordable)];
        self.duplicates.truncate(affordable.saturating_sub(ranges.len()));
        self.credit = self.credit.saturating_sub(LEAST_SACK + 4 * (ranges.len() + self.duplicates.len()));
        let mut value = Vec::with_capacity(12 + 4 * (ranges.len() + self.duplicates.len()));
        value.extend_from_slice(&self.cumulative_tsn().to_be_bytes());
        value.extend_from_slice(&self.window().to_be_bytes());
        value.extend_from_slice(&(ranges.len() as u16).to_be_bytes());
        value.extend_from_slice(&(self.duplicates.len() as u16).to_be_bytes());
        for range in ranges {
            for number in [range.0, range.1] {
                value.extend_from_slice(&((number - self.cumulative) as u16).to_be_bytes());
            }
        }
        for duplicate in self.duplicates.drain(..) {
            value.extend_from_slice(&duplicate.to_be_bytes());
        }
        Some(value)
    }

    pub(super) fn cumulative_tsn(&self) -> u32 {
        self.cumulative as u32
    }

    /// True if the peer has used the stream.
    pub(super) fn knows(&self, stream: u16) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Streams that the peer has used.
    pub(super) fn streams(&self) -> impl Iterator<Item = u16> + '_ {
        self.streams.keys().copied()
    }

    /// True if all TSNs up to this one have arrived or were skipped.
    pub(super) fn has_all_up_to(&self, tsn: u32) -> bool {
        self.extend(tsn) <= self.cumulative
    }

    /// The peer restarts the sequence numbers of a stream.
    pub(super) fn reset(&mut self, stream: u16) {
        self.streams.remove(&stream);
    }

    /// Chunks dropped at a bound since the last call.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Buffered bytes, and complete and partial messages.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.kept, self.pieces())
    }

    /// Free receive window.
    fn window(&self) -> u32 {
        if self.pieces() >= self.bounds.pieces {
            return 0;
        }
        self.bounds.window.saturating_sub(self.kept) as u32
    }

    fn pieces(&self) -> usize {
        self.partial.len() + self.waiting.len()
    }

    /// Extends a TSN to the value nearest to the cumulative one.
    fn extend(&self, tsn: u32) -> u64 {
        let distance = tsn.wrapping_sub(self.cumulative as u32).cast_signed();
        self.cumulative.saturating_add_signed(i64::from(distance))
    }

    fn has(&self, tsn: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.1 < tsn);
        self.ranges.get(at).is_some_and(|range| range.0 <= tsn)
    }

    /// True if a chunk beyond the lowest missing one can be buffered.
    fn has_room(&self, tsn: u64, len: usize) -> bool {
        if tsn - self.cumulative > MAX_DISTANCE
            || self.kept + len > self.bounds.window
            || self.pieces() >= self.bounds.pieces
        {
            return false;
        }
        self.ranges.len() < MAX_RANGES || {
            let at = self.ranges.partition_point(|range| range.1 + 1 < tsn);
            self.ranges.get(at).is_some_and(|range| range.0 <= tsn + 1)
        }
    }

    /// Records a newly received TSN.
    fn note(&mut self, tsn: u64) {
        if tsn == self.cumulative + 1 {
            self.cumulative = tsn;
            if let Some(&(first, last)) = self.ranges.first()
                && first == tsn + 1
            {
                self.cumulative = last;
                self.ranges.remove(0);
            }
            return;
        }
        let at = self.ranges.partition_point(|range| range.1 + 1 < tsn);
        let follows = self.ranges.get(at).is_some_and(|range| range.1 + 1 == tsn);
        let next = if follows { at + 1 } else { at };
        let precedes = self.ranges.get(next).is_some_and(|range| range.0 == tsn + 1);
        match (follows, precedes) {
            (true, true) => {
                self.ranges[at].1 = self.ranges[next].1;
                self.ranges.remove(next);
            }
            (true, false) => self.ranges[at].1 = tsn,
            (false, true) => self.ranges[next].0 = tsn,
            (false, false) => self.ranges.insert(at, (tsn, tsn)),
        }
    }

    fn store(&mut self, tsn: u64, chunk: &DataChunk<'_>, out: &mut VecDeque<Event>) {
        let FlagsOfData { begins, ends, unordered, .. } = chunk.flags;
        let identity = Identity { stream: chunk.stream, ssn: chunk.ssn, ppid: chunk.ppid, unordered };
        if begins && ends {
            let fits = chunk.payload.len() <= self.bounds.message;
            let payload = fits.then(|| Bytes::copy_from_slice(chunk.payload));
            self.kept += payload.as_ref().map_or(0, Bytes::len);
            return self.complete(tsn, Message { identity, payload }, out);
        }
        let continued = self.partial.range(..tsn).next_back();
        let continued = continued
            .filter(|(_, before)| {
                !begins && before.last + 1 == tsn && !before.ends && before.identity == identity
            })
            .map(|(&first, _)| first);
        let continues = self
            .partial
            .get(&(tsn + 1))
            .is_some_and(|after| !ends && !after.begins && after.identity == identity);
        let after = continues.then(|| self.partial.remove(&(tsn + 1))).flatten();
        let (first, mut whole) = match continued.and_then(|first| self.partial.remove_entry(&first)) {
            Some((first, mut before)) => {
                before.append(chunk.payload, tsn, ends);
                (first, before)
            }
            None => {
                let data = Some(chunk.payload.to_vec().into());
                (tsn, Partial { identity, last: tsn, begins, ends, data })
            }
        };
        self.kept += if whole.data.is_some() { chunk.payload.len() } else { 0 };
        if let Some(after) = after {
            self.kept -= whole.join(after);
        }
        if let Some(data) = &whole.data
            && data.len() > self.bounds.message
        {
            self.kept -= data.len();
            whole.data = None;
        }
        if whole.begins && whole.ends {
            let payload = whole.data.map(|data| Bytes::from(Vec::from(data)));
            return self.complete(whole.last, Message { identity, payload }, out);
        }
        self.partial.insert(first, whole);
    }

    /// Delivers or buffers a complete message that `kept` includes.
    fn complete(&mut self, last: u64, message: Message, out: &mut VecDeque<Event>) {
        let Identity { stream, ssn, unordered, .. } = message.identity;
        if unordered {
            return self.deliver(message, out);
        }
        if self.streams.get(&stream) == Some(&ssn) {
            self.streams.insert(stream, ssn.wrapping_add(1));
            self.deliver(message, out);
            return self.take_turns(stream, out);
        }
        if self.turns.contains_key(&(stream, ssn)) {
            // Two messages claim the same turn: the peer violates the protocol.
            self.kept -= message.len();
            return;
        }
        self.turns.insert((stream, ssn), last);
        self.waiting.insert(last, message);
    }

    /// Delivers a stream's messages that are next in order.
    fn take_turns(&mut self, stream: u16, out: &mut VecDeque<Event>) {
        while let Some(&next) = self.streams.get(&stream)
            && let Some(last) = self.turns.remove(&(stream, next))
        {
            self.streams.insert(stream, next.wrapping_add(1));
            if let Some(message) = self.waiting.remove(&last) {
                self.deliver(message, out);
            }
        }
    }

    fn deliver(&mut self, message: Message, out: &mut VecDeque<Event>) {
        self.kept -= message.len();
        let Identity { stream, ppid, .. } = message.identity;
        out.push_back(match message.payload {
            Some(payload) => Event::Message { stream, ppid, payload },
            None => Event::MessageTooLong(stream),
        });
    }

    /// Drops and delivers what the new cumulative TSN decides.
    fn advance(&mut self, out: &mut VecDeque<Event>) {
        while let Some(entry) = self.partial.first_entry()
            && *entry.key() <= self.cumulative
        {
            let fragments = entry.get();
            if fragments.begins && fragments.last >= self.cumulative {
                // Incomplete, with fragments yet to come.
                break;
            }
            let lost = entry.remove();
            self.kept -= lost.data.as_ref().map_or(0, VecDeque::len);
        }
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= self.cumulative
        {
            let message = entry.remove();
            let Identity { stream, ssn, .. } = message.identity;
            self.turns.remove(&(stream, ssn));
            self.streams.insert(stream, ssn.wrapping_add(1));
            self.deliver(message, out);
            self.take_turns(stream, out);
        }
    }
}

impl Partial {
    fn append(&mut self, payload: &[u8], tsn: u64, ends: bool) {
        self.last = tsn;
        self.ends = ends;
        if let Some(data) = &mut self.data {
            data.extend(payload);
        }
    }

    /// Appends the following fragments, and returns the bytes dropped. The shorter part is copied, so that the order
    /// of arrival does not change the cost.
    fn join(&mut self, after: Partial) -> usize {
        self.last = after.last;
        self.ends = after.ends;
        match (&mut self.data, after.data) {
            (Some(data), Some(mut more)) => {
                if data.len() >= more.len() {
                    data.extend(more.make_contiguous().iter());
                } else {
                    for &byte in data.iter().rev() {
                        more.push_front(byte);
                    }
                    *data = more;
                }
                0
            }
            (none, data) => {
                let kept = none.take().or(data);
                kept.map_or(0, |data| data.len())
            }
        }
    }
}
