//! Decrypted recent packets of a stream, stored once for all consumers.
//!
//! Consumers seal packets directly from this buffer, and retransmissions read from it. The packets are stored without
//! gaps in one ring, so that each one costs its own size and a 64-byte slot, and no receive buffer is kept alive.

use std::time::{Duration, Instant};

use crate::media::producer::frames::FrameInfo;
use tureen_rtc::wire::rtp::Extension;

/// Limits of a [`PacketBuffer`].
#[derive(Clone, Copy, Debug)]
pub struct PacketBufferConfig {
    /// Initial size in bytes. The ring grows from here while a lap takes less than `retention`.
    pub initial_bytes: usize,
    /// Maximum size in bytes, which bounds the memory of a stream.
    pub max_bytes: usize,
    /// Time that a packet should be kept, and maximum age of a retransmitted packet. Zero keeps packets for their batch
    /// only.
    pub retention: Duration,
}

/// Ring of recent packets, indexed by extended sequence number.
#[derive(Debug)]
pub struct PacketBuffer {
    config: PacketBufferConfig,
    bytes: Vec<u8>,
    /// Position after the last byte written, counted from the start; modulo the ring's size it is an index.
    head: u64,
    /// Position below which bytes belong to earlier batches and may be overwritten.
    batch_floor: u64,
    lap_started: Option<Instant>,
    slots: Vec<Slot>,
}

/// Description of a packet to store.
#[derive(Clone, Copy, Debug)]
pub struct PacketInfo {
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit of the RTP header.
    pub marker: bool,
    /// Payload type as received.
    pub payload_type: u8,
    /// True if a key frame starts with the packet.
    pub key_frame: bool,
    /// Layers and numbers of the packet's frame.
    pub frame: FrameInfo,
}

/// A packet in the buffer.
#[derive(Clone, Copy, Debug)]
pub struct StoredPacket<'a> {
    /// Description of the packet.
    pub info: &'a PacketInfo,
    /// Arrival time.
    pub received_at: Instant,
    elements: &'a [u8],
    /// Payload without padding.
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    info: PacketInfo,
    position: u64,
    /// Position in the ring.
    start: u32,
    elements_len: u16,
    payload_len: u16,
    received_at: Instant,
}

const INITIAL_SLOTS: usize = 16;
const MAX_SLOTS: usize = 8192;

impl PacketBuffer {
    /// Creates an empty buffer, which allocates memory with the first packet.
    pub fn new(config: PacketBufferConfig) -> Self {
        // Slots have 32-bit positions.
        let config = PacketBufferConfig { max_bytes: config.max_bytes.min(u32::MAX as usize), ..config };
        Self { config, bytes: Vec::new(), head: 0, batch_floor: 0, lap_started: None, slots: Vec::new() }
    }

    /// Starts a batch: packets stored from now on are kept at least until the next call.
    pub fn start_batch(&mut self) {
        self.batch_floor = self.head;
    }

    /// Allocated memory in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>()
    }

    /// Stores a packet. False if the packet is stored already, or if it would overwrite one of the same batch in a
    /// buffer of maximum size.
    pub fn insert<'e>(
        &mut self,
        now: Instant,
        info: PacketInfo,
        elements: impl Iterator<Item = (Extension, &'e [u8])> + Clone,
        payload: &[u8],
    ) -> bool {
        let elements_len: usize = elements.clone().map(|(_, value)| 2 + value.len()).sum();
        let needed = elements_len + payload.len();
        let (Ok(elements_len), Ok(payload_len)) = (u16::try_from(elements_len), u16::try_from(payload.len()))
        else {
            return false;
        };
        // Room is made before the slot, because the head that it moves decides which slots are still occupied.
        if !self.make_room(now, needed) || !self.make_slot(now, info.seq) {
            return false;
        }
        let start = self.index(self.head);
        let mut at = start;
        for (extension, value) in elements {
            self.bytes[at] = extension as u8;
            self.bytes[at + 1] = value.len() as u8;
            self.bytes[at + 2..at + 2 + value.len()].copy_from_slice(value);
            at += 2 + value.len();
        }
        self.bytes[at..at + payload.len()].copy_from_slice(payload);
        let slot = self.slot_index(info.seq);
        self.slots[slot] = Slot {
            info,
            position: self.head,
            start: start as u32,
            elements_len,
            payload_len,
            received_at: now,
        };
        self.head += needed as u64;
        true
    }

    /// Packet with this extended sequence number, if still stored.
    #[inline]
    pub fn get(&self, seq: u64) -> Option<StoredPacket<'_>> {
        // Without slots the index is out of range, so the look-up returns `None`.
        let slot = self.slots.get(seq as usize & self.slots.len().wrapping_sub(1))?;
        if slot.info.seq != seq || !self.holds(slot) {
            return None;
        }
        let (elements, rest) =
            self.bytes.get(slot.start as usize..)?.split_at_checked(usize::from(slot.elements_len))?;
        let payload = rest.get(..usize::from(slot.payload_len))?;
        Some(StoredPacket { info: &slot.info, received_at: slot.received_at, elements, payload })
    }

    /// Packet with this extended sequence number, if still stored and not older than the retention time.
    pub fn get_recent(&self, now: Instant, seq: u64) -> Option<StoredPacket<'_>> {
        self.get(seq).filter(|p| now.saturating_duration_since(p.received_at) <= self.config.retention)
    }

    fn index(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }

    fn slot_index(&self, seq: u64) -> usize {
        seq as usize & (self.slots.len() - 1)
    }

    fn holds(&self, slot: &Slot) -> bool {
        slot.payload_len != u16::MAX && slot.position + self.bytes.len() as u64 >= self.head
    }

    /// Moves the head to where `needed` contiguous bytes fit, and grows the ring if the configuration requires it.
    fn make_room(&mut self, now: Instant, needed: usize) -> bool {
        if self.bytes.is_empty() {
            let size = self.config.initial_bytes.max(needed).min(self.config.max_bytes).max(1);
            self.bytes = vec![0; size];
            self.lap_started = Some(now);
        }
        if needed > self.config.max_bytes {
            return false;
        }
        loop {
            let start = self.index(self.head);
            let skip = if start + needed > self.bytes.len() { self.bytes.len() - start } else { 0 };
            let end = self.head + (skip + needed) as u64;
            let overwrites_batch = end - self.batch_floor > self.bytes.len() as u64;
            let lap_too_short = skip > 0
                && !self.config.retention.is_zero()
                && self.lap_started.is_some_and(|t| now.saturating_duration_since(t) < self.config.retention);
            let can_grow = self.bytes.len() < self.config.max_bytes;
            if (overwrites_batch || lap_too_short || needed > self.bytes.len()) && can_grow {
                self.grow();
                continue;
            }
            if overwrites_batch {
                return false;
            }
            if skip > 0 {
                self.head += skip as u64;
                self.lap_started = Some(now);
            }
            return true;
        }
    }

    /// Doubles the ring; packets keep their position but not their index.
    fn grow(&mut self) {
        let size = (self.bytes.len() * 2).min(self.config.max_bytes);
        let old = std::mem::replace(&mut self.bytes, vec![0; size]);
        let oldest = self.head.saturating_sub(old.len() as u64);
        for slot in &mut self.slots {
            if slot.payload_len == u16::MAX || slot.position < oldest {
                slot.payload_len = u16::MAX;
                continue;
            }
            let len = usize::from(slot.elements_len) + usize::from(slot.payload_len);
            let from = slot.start as usize;
            let to = (slot.position % size as u64) as usize;
            if to + len <= size {
                self.bytes[to..to + len].copy_from_slice(&old[from..from + len]);
                slot.start = to as u32;
            } else {
                slot.payload_len = u16::MAX;
            }
        }
    }

    /// True if the slot of `seq` may be overwritten. The slot table grows if that slot holds a packet to keep.
    fn make_slot(&mut self, now: Instant, seq: u64) -> bool {
        if self.slots.is_empty() {
            self.slots = vec![Self::vacant(now); INITIAL_SLOTS];
        }
        loop {
            let taken = &self.slots[self.slot_index(seq)];
            if !self.holds(taken) {
                return true;
            }
            if taken.info.seq == seq {
                return false;
            }
            let young = taken.position >= self.batch_floor
                || now.saturating_duration_since(taken.received_at) < self.config.retention;
            if !young {
                return true;
            }
            if self.slots.len() >= MAX_SLOTS {
                return taken.position < self.batch_floor;
            }
            let bigger = vec![Self::vacant(now); self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, bigger) {
                if self.holds(&slot) {
                    let index = self.slot_index(slot.info.seq);
                    self.slots[index] = slot;
                }
            }
        }
    }

    fn vacant(now: Instant) -> Slot {
        let info = PacketInfo {
            seq: 0,
            timestamp: 0,
            marker: false,
            payload_type: 0,
            key_frame: false,
            frame: FrameInfo::default(),
        };
        Slot { info, position: 0, start: 0, elements_len: 0, payload_len: u16::MAX, received_at: now }
    }
}

impl<'a> StoredPacket<'a> {
    /// Forwarded header extension elements, in order.
    pub fn elements(&self) -> impl Iterator<Item = (Extension, &'a [u8])> + use<'a> {
        let mut rest = self.elements;
        std::iter::from_fn(move || {
            let (&[extension, len], tail) = rest.split_first_chunk::<2>()?;
            let (value, tail) = tail.split_at_checked(usize::from(len))?;
            rest = tail;
            Some((*Extension::ALL.get(usize::from(extension))?, value))
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const CONFIG: PacketBufferConfig =
        PacketBufferConfig { initial_bytes: 4096, max_bytes: 65536, retention: Duration::from_secs(1) };

    fn info(seq: u64) -> PacketInfo {
        PacketInfo {
            seq,
            timestamp: seq as u32 * 3000,
            marker: false,
            payload_type: 96,
            key_frame: false,
            frame: FrameInfo::default(),
        }
    }

    fn insert(buffer: &mut PacketBuffer, now: Instant, seq: u64, len: usize) -> bool {
        buffer.insert(now, info(seq), std::iter::empty(), &vec![seq as u8; len])
    }

    #[test]
    fn stored_packet_is_found_with_its_elements() {
        let mut buffer = PacketBuffer::new(CONFIG);
        let now = Instant::now();
        let elements = [(Extension::SsrcAudioLevel, &[7u8][..]), (Extension::PlayoutDelay, &[1, 2, 3])];
        assert!(buffer.insert(now, info(70000), elements.into_iter(), b"payload"));
        let packet = buffer.get(70000).expect("stored");
        assert_eq!(packet.payload, b"payload");
        assert_eq!(packet.elements().collect::<Vec<_>>(), elements);
        assert!(buffer.get(70001).is_none());
    }

    #[test]
    fn packets_within_retention_stay_while_the_ring_may_grow() {
        let mut buffer = PacketBuffer::new(CONFIG);
        let start = Instant::now();
        for i in 0..40 {
            buffer.start_batch();
            assert!(insert(&mut buffer, start + Duration::from_millis(i * 10), 1000 + i, 1200));
        }
        for i in 0..40u64 {
            let packet = buffer.get(1000 + i).unwrap_or_else(|| panic!("packet {i} is gone"));
            assert_eq!(packet.payload, vec![(1000 + i) as u8; 1200]);
        }
    }

    #[test]
    fn memory_stays_within_its_bound() {
        let mut buffer = PacketBuffer::new(CONFIG);
        let start = Instant::now();
        for i in 0..5000 {
            buffer.start_batch();
            assert!(insert(&mut buffer, start + Duration::from_micros(i * 100), i, 1200));
        }
        assert!(buffer.memory() <= CONFIG.max_bytes + MAX_SLOTS * size_of::<Slot>());
        assert!(buffer.get(0).is_none());
        assert_eq!(buffer.get(4999).expect("newest").payload, vec![4999u64 as u8; 1200]);
    }

    #[test]
    fn slow_stream_keeps_its_small_ring() {
        let mut buffer = PacketBuffer::new(PacketBufferConfig {
            initial_bytes: 4096,
            retention: Duration::ZERO,
            ..CONFIG
        });
        let start = Instant::now();
        for i in 0..1000 {
            buffer.start_batch();
            assert!(insert(&mut buffer, start + Duration::from_millis(i * 20), i, 100));
        }
        assert_eq!(buffer.bytes.len(), 4096);
    }

    #[test]
    fn batch_is_never_overwritten_by_itself() {
        let mut buffer =
            PacketBuffer::new(PacketBufferConfig { initial_bytes: 1024, max_bytes: 8192, ..CONFIG });
        let now = Instant::now();
        buffer.start_batch();
        let stored: Vec<u64> = (0..20).filter(|&i| insert(&mut buffer, now, i, 1000)).collect();
        assert!(stored.len() >= 6 && stored.len() < 20, "the limit refuses some: {stored:?}");
        for seq in stored {
            assert_eq!(buffer.get(seq).expect("same batch").payload[0], seq as u8);
        }
    }

    #[test]
    fn duplicate_is_refused() {
        let mut buffer = PacketBuffer::new(CONFIG);
        let now = Instant::now();
        assert!(insert(&mut buffer, now, 5, 10));
        assert!(!insert(&mut buffer, now, 5, 10));
    }

    #[test]
    fn old_packet_is_not_recent() {
        let mut buffer = PacketBuffer::new(CONFIG);
        let now = Instant::now();
        insert(&mut buffer, now, 5, 10);
        assert!(buffer.get_recent(now + Duration::from_millis(999), 5).is_some());
        assert!(buffer.get_recent(now + Duration::from_millis(1001), 5).is_none());
    }

    #[test]
    fn growth_keeps_packets_of_a_wrapped_ring() {
        let mut buffer = PacketBuffer::new(PacketBufferConfig { initial_bytes: 2048, ..CONFIG });
        let start = Instant::now();
        // Laps slower than the retention time wrap without growing …
        for i in 0..6 {
            buffer.start_batch();
            insert(&mut buffer, start + Duration::from_secs(i), i, 900);
        }
        assert_eq!(buffer.bytes.len(), 2048);
        // … then a burst makes the ring grow; each packet is either unchanged or gone.
        for i in 6..12 {
            buffer.start_batch();
            insert(&mut buffer, start + Duration::from_secs(5) + Duration::from_millis(i), i, 900);
        }
        for i in 5..12 {
            if let Some(packet) = buffer.get(i) {
                assert_eq!(packet.payload, vec![i as u8; 900]);
            }
        }
        assert!(buffer.get(11).is_some() && buffer.get(8).is_some());
    }
}
