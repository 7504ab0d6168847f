//! Packets of a stream that are not part of a complete frame yet.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::JitterPacket;
use crate::frames::Start;

/// Initial number of slots.
const MIN_SLOTS: usize = 64;
/// Number of payload buffers that are kept for reuse.
const MAX_SPARE: usize = 64;
/// Larger ones are not: packets that were not fragmented on their way fit.
const MAX_SPARE_CAPACITY: usize = 2048;

/// A window of packets by sequence number.
#[derive(Debug)]
pub(super) struct Packets {
    /// Packet `seq` is stored in slot `seq % len`; the length is a power of two.
    slots: Vec<Slot>,
    window: Range<u64>,
    /// True if a frame ended right before the window.
    at_boundary: bool,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    complete: Vec<Range<u64>>,
}

#[derive(Debug)]
struct Slot {
    seq: u64,
    timestamp: u32,
    marker: bool,
    start: Start,
    capture_time: Option<Duration>,
    /// First packet of its frame, if no packet between them is missing.
    first: Option<u64>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Packet without payload, which is part of no frame.
    Padding,
    Payload {
        bytes: Vec<u8>,
        arrived_at: Instant,
    },
    /// The packet was joined into a frame.
    Taken,
    /// No packet: it was not received, or has left the window.
    Missing,
}

impl Packets {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            window: 0..0,
            at_boundary: false,
            bytes: 0,
            spare: Vec::new(),
            complete: Vec::new(),
        }
    }

    /// Bytes of the stored payloads.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sequence numbers from the first packet that is waited for to the highest received one.
    pub(super) fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    /// Oldest packet that is part of no complete frame: the range of packets with its timestamp, and its arrival time.
    pub(super) fn oldest(&self) -> Option<(Range<u64>, Instant)> {
        if self.bytes == 0 {
            return None;
        }
        let mut seqs = self.window.clone();
        let (first, arrived_at) = seqs.find_map(|seq| match self.slot(seq)? {
            slot @ Slot { content: Content::Payload { arrived_at, .. }, .. } => Some((slot, *arrived_at)),
            _ => None,
        })?;
        let same =
            seqs.take_while(|&seq| self.slot(seq).is_none_or(|slot| slot.timestamp == first.timestamp));
        // Missing packets at the end may belong to another frame.
        let last = same.filter(|&seq| self.slot(seq).is_some()).last().unwrap_or(first.seq);
        Some((first.seq..last + 1, arrived_at))
    }

    /// True if a packet was received and is still in the window.
    pub(super) fn contains(&self, seq: u64) -> bool {
        self.slot(seq).is_some()
    }

    /// Stores a packet that is not in the window yet and not too far ahead. To be followed by
    /// [`poll_complete`](Self::poll_complete).
    pub(super) fn insert(&mut self, now: Instant, packet: &JitterPacket<'_>, start: Start) {
        let seq = packet.seq;
        self.widen(seq);
        let content = if packet.payload.is_empty() {
            Content::Padding
        } else {
            let mut buffer = self.spare.pop().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(packet.payload);
            self.bytes += buffer.len();
            Content::Payload { bytes: buffer, arrived_at: now }
        };
        let at = self.at(seq);
        self.slots[at] = Slot {
            seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            start,
            capture_time: packet.capture_time,
            first: None,
            content,
        };
        // A frame without marker bit ends where the next timestamp begins.
        if let Some(before) =
            self.before(seq).filter(|slot| !slot.marker && slot.timestamp != packet.timestamp)
            && let (Some(first), Content::Payload { .. }) = (before.first, &before.content)
        {
            self.complete.push(first..seq);
        }
        self.follow(seq);
        self.skip_padding();
    }

    /// Returns the packets of the next frame that has become complete.
    pub(super) fn poll_complete(&mut self) -> Option<Range<u64>> {
        self.complete.pop()
    }

    pub(super) fn timestamp(&self, seq: u64) -> Option<u32> {
        self.slot(seq).map(|slot| slot.timestamp)
    }

    /// Propagates the first packet of the frame to `seq` and the packets after it.
    fn follow(&mut self, mut seq: u64) {
        while let Some(slot) = self.slot(seq) {
            match slot.content {
                Content::Payload { .. } => {
                    let first = self.first_of_frame(slot);
                    if first.is_none() || first == slot.first {
                        return;
                    }
                    let (marker, timestamp) = (slot.marker, slot.timestamp);
                    let next = self.slot(seq + 1);
                    let ends = marker || next.is_some_and(|next| next.timestamp != timestamp);
                    let at = self.at(seq);
                    self.slots[at].first = first;
                    if let Some(first) = first.filter(|_| ends) {
                        self.complete.push(first..seq + 1);
                    }
                }
                Content::Padding => {}
                Content::Taken | Content::Missing => return,
            }
            seq += 1;
        }
    }

    /// First packet of the frame of `slot`, if no packet between them is missing.
    fn first_of_frame(&self, slot: &Slot) -> Option<u64> {
        let before = self.before(slot.seq);
        let continued = before.filter(|before| {
            !before.marker
                && before.timestamp == slot.timestamp
                && matches!(before.content, Content::Payload { .. })
        });
        let ended = match before {
            Some(_) => continued.is_none(),
            None => self.at_boundary && slot.seq == self.window.start,
        };
        match slot.start {
            Start::No => continued?.first,
            Start::Maybe if ended => Some(slot.seq),
            Start::Maybe => continued?.first,
            // Earlier packets of the same frame may be missing, because they are not needed.
            Start::Yes => continued.and_then(|before| before.first).or(Some(slot.seq)),
        }
    }

    /// True if packet `seq` belongs to the start of a frame that was complete without it. Packets before a parameter
    /// set are not needed and may arrive late.
    pub(super) fn is_leftover(&self, seq: u64) -> bool {
        let (Some(slot), Some(next)) = (self.slot(seq), self.slot(seq + 1)) else { return false };
        !slot.marker && slot.timestamp == next.timestamp && matches!(next.content, Content::Taken)
    }

    pub(super) fn payloads(&self, seqs: Range<u64>) -> impl Iterator<Item = &[u8]> {
        seqs.filter_map(|seq| match &self.slot(seq)?.content {
            Content::Payload { bytes, .. } => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// First capture time among these packets.
    pub(super) fn capture_time(&self, mut seqs: Range<u64>) -> Option<Duration> {
        seqs.find_map(|seq| self.slot(seq)?.capture_time)
    }

    /// Frees the payloads of packets, which still count as received.
    pub(super) fn take(&mut self, seqs: Range<u64>) {
        for seq in seqs {
            let at = self.at(seq);
            let old = std::mem::replace(&mut self.slots[at].content, Content::Taken);
            self.recycle(old);
        }
    }

    /// Moves the start of the window to `seq`. `at_boundary` is true if a frame ended right before it.
    pub(super) fn forget_before(&mut self, seq: u64, at_boundary: bool) {
        for old in self.window.start..seq.min(self.window.end) {
            let at = self.at(old);
            let old = std::mem::replace(&mut self.slots[at].content, Content::Missing);
            self.recycle(old);
        }
        self.window = seq..self.window.end.max(seq);
        self.at_boundary = at_boundary;
        self.skip_padding();
    }

    /// Moves the start of the window over padding, which is part of no frame.
    fn skip_padding(&mut self) {
        while self.slot(self.window.start).is_some_and(|slot| matches!(slot.content, Content::Padding)) {
            let at = self.at(self.window.start);
            self.slots[at].content = Content::Missing;
            self.window.start += 1;
            self.at_boundary = true;
        }
    }

    pub(super) fn clear(&mut self) {
        self.forget_before(self.window.end, false);
        self.window = 0..0;
    }

    fn recycle(&mut self, content: Content) {
        if let Content::Payload { bytes, .. } = content {
            self.bytes -= bytes.len();
            if self.spare.len() < MAX_SPARE && bytes.capacity() <= MAX_SPARE_CAPACITY {
                self.spare.push(bytes);
            }
        }
    }

    /// Bytes that spare buffers take up.
    #[cfg(test)]
    pub(super) fn spare_capacity(&self) -> usize {
        self.spare.iter().map(Vec::capacity).sum()
    }

    /// Makes the window reach `seq`.
    fn widen(&mut self, seq: u64) {
        if self.window.is_empty() && self.window.end == 0 {
            self.window = seq..seq;
        }
        let window = self.window.start.min(seq)..self.window.end.max(seq + 1);
        let span = (window.end - window.start) as usize;
        if span > self.slots.len() {
            let len = span.next_power_of_two().max(MIN_SLOTS);
            let old = std::mem::take(&mut self.slots);
            self.slots.resize_with(len, Slot::missing);
            for slot in old.into_iter().filter(|slot| !matches!(slot.content, Content::Missing)) {
                let at = self.at(slot.seq);
                self.slots[at] = slot;
            }
        }
        self.window = window;
    }

    fn before(&self, seq: u64) -> Option<&Slot> {
        self.slot(seq.checked_sub(1)?)
    }

    fn slot(&self, seq: u64) -> Option<&Slot> {
        if !self.window.contains(&seq) {
            return None;
        }
        let slot = &self.slots[self.at(seq)];
        (slot.seq == seq && !matches!(slot.content, Content::Missing)).then_some(slot)
    }

    fn at(&self, seq: u64) -> usize {
        seq as usize & (self.slots.len().max(1) - 1)
    }
}

impl Slot {
    fn missing() -> Self {
        Self {
            seq: 0,
            timestamp: 0,
            marker: false,
            start: Start::Maybe,
            capture_time: None,
            first: None,
            content: Content::Missing,
        }
    }
}
