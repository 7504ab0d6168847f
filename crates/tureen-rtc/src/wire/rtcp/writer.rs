//! Framing of written packets.

use super::{HEADER_LEN, VERSION};
use crate::units::Ssrc;

/// A packet that is being appended to a buffer. [`PacketWriter::finish`] pads the packet and sets its length.
pub(super) struct PacketWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> PacketWriter<'a> {
    /// Starts a packet; `count` has five bits.
    pub(super) fn new(out: &'a mut Vec<u8>, packet_type: u8, count: u8) -> Self {
        debug_assert!(count < 32, "the count has five bits");
        let start = out.len();
        out.extend([VERSION << 6 | count, packet_type, 0, 0]);
        Self { out, start }
    }

    /// Starts a feedback message (RFC 4585 §6.1).
    pub(super) fn feedback(
        out: &'a mut Vec<u8>,
        packet_type: u8,
        format: u8,
        sender: Ssrc,
        media: Ssrc,
    ) -> Self {
        let mut packet = Self::new(out, packet_type, format);
        packet.u32(sender.0);
        packet.u32(media.0);
        packet
    }

    /// Number of bytes written, including the common header.
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.start
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Overwrites two bytes at `offset` from the start of the packet.
    pub(super) fn patch_u16(&mut self, offset: usize, value: u16) {
        self.out[self.start + offset..][..2].copy_from_slice(&value.to_be_bytes());
    }

    /// Fills the current 32-bit word with zeros.
    pub(super) fn align(&mut self) {
        while !self.len().is_multiple_of(4) {
            self.out.push(0);
        }
    }

    pub(super) fn finish(mut self) {
        self.align();
        let words = (self.len() - HEADER_LEN) / 4;
        let words = u16::try_from(words).expect("every writer bounds its packets far below 65536 words");
        self.patch_u16(2, words);
    }

    /// Removes the packet from the buffer.
    pub(super) fn abandon(self) {
        self.out.truncate(self.start);
    }
}
