//! Extended reports (RFC 3611): receiver reference time and the delay since it, for the round trip time of receivers.

use super::list::u32_at;
use super::writer::PacketWriter;
use super::{NtpTime, WireList, WireRecord, packet_type, split_ssrc};
use crate::units::Ssrc;

const RRTR: u8 = 4;
const DLRR: u8 = 5;
const RRTR_WORDS: u16 = 2;
/// Maximum number of entries in one written packet, which keeps the packet below a kilobyte.
const MAX_DLRR_ENTRIES: usize = 64;

/// Extended report.
#[derive(Clone, Copy, Debug)]
pub struct Xr<'a> {
    /// SSRC of the sender of the report.
    pub sender_ssrc: Ssrc,
    body: &'a [u8],
}

/// A report block of an extended report.
#[derive(Clone, Copy, Debug)]
pub enum XrBlock<'a> {
    /// Time at which a receiver sent the report (RFC 3611 §4.4).
    ReceiverReferenceTime(NtpTime),
    /// Response to earlier reference times (RFC 3611 §4.5).
    DelaySinceLastRr(WireList<'a, DlrrEntry>),
    /// Any other block.
    Unknown {
        /// Block type.
        block_type: u8,
        /// Contents after the block header.
        contents: &'a [u8],
    },
}

/// Response to the reference time of one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DlrrEntry {
    /// SSRC of the receiver.
    pub ssrc: Ssrc,
    /// Compact NTP time of the last reference time from the receiver, 0 if there was none (LRR).
    pub last_reference_time: u32,
    /// Delay since its arrival, in 1/65536 s (DLRR).
    pub delay: u32,
}

/// Iterator of [`Xr::blocks`].
#[derive(Clone, Debug)]
pub struct XrBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> Xr<'a> {
    /// Report blocks in the order of the packet.
    pub fn blocks(&self) -> XrBlocks<'a> {
        XrBlocks { rest: self.body }
    }

    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, body) = split_ssrc(body)?;
        let mut blocks = XrBlocks { rest: body };
        while blocks.next().is_some() {}
        // The iteration stops at a malformed block.
        blocks.rest.is_empty().then_some(Self { sender_ssrc, body })
    }
}

impl<'a> Iterator for XrBlocks<'a> {
    type Item = XrBlock<'a>;

    fn next(&mut self) -> Option<XrBlock<'a>> {
        let (&[block_type, _, high, low], rest) = self.rest.split_first_chunk()?;
        let words = u16::from_be_bytes([high, low]);
        let (contents, rest) = rest.split_at_checked(4 * usize::from(words))?;
        let block = match block_type {
            RRTR => XrBlock::ReceiverReferenceTime(NtpTime(u64::from_be_bytes(contents.try_into().ok()?))),
            DLRR => XrBlock::DelaySinceLastRr(WireList::new(contents)?),
            _ => XrBlock::Unknown { block_type, contents },
        };
        self.rest = rest;
        Some(block)
    }
}

impl WireRecord for DlrrEntry {
    const LEN: usize = 12;

    fn read(bytes: &[u8]) -> Self {
        Self { ssrc: Ssrc(u32_at(bytes, 0)), last_reference_time: u32_at(bytes, 4), delay: u32_at(bytes, 8) }
    }
}

/// Appends an extended report with the time at which this receiver sends the report.
pub fn write_xr_rrtr(out: &mut Vec<u8>, sender: Ssrc, now: NtpTime) {
    let mut packet = PacketWriter::new(out, packet_type::XR, 0);
    packet.u32(sender.0);
    packet.u8(RRTR);
    packet.u8(0);
    packet.u16(RRTR_WORDS);
    packet.u64(now.0);
    packet.finish();
}

/// Appends an extended report that responds to reference times of receivers; more than 64 entries take several packets.
/// Nothing is written without an entry.
pub fn write_xr_dlrr(out: &mut Vec<u8>, sender: Ssrc, entries: &[DlrrEntry]) {
    for entries in entries.chunks(MAX_DLRR_ENTRIES) {
        let mut packet = PacketWriter::new(out, packet_type::XR, 0);
        packet.u32(sender.0);
        packet.u8(DLRR);
        packet.u8(0);
        packet.u16((entries.len() * DlrrEntry::LEN / 4) as u16);
        for entry in entries {
            packet.u32(entry.ssrc.0);
            packet.u32(entry.last_reference_time);
            packet.u32(entry.delay);
        }
        packet.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RtcpCompound, RtcpError, RtcpPacket, parse_one};
    use super::*;

    const ENTRIES: [DlrrEntry; 2] = [
        DlrrEntry { ssrc: Ssrc(0x11121314), last_reference_time: 0x00110011, delay: 0x11001100 },
        DlrrEntry { ssrc: Ssrc(0x21222324), last_reference_time: 0x00220022, delay: 0x22002200 },
    ];

    fn parse_xr(bytes: &[u8]) -> Xr<'_> {
        match parse_one(bytes) {
            Ok(RtcpPacket::Xr(xr)) => xr,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn padded_dlrr_is_read_and_written_byte_for_byte_but_for_the_padding() {
        let mut bytes = vec![
            0xa0, 207, 0, 9, 0x5d, 0x93, 0x15, 0x34, 5, 0, 0, 6, 0x11, 0x12, 0x13, 0x14, 0, 0x11, 0, 0x11,
            0x11, 0, 0x11, 0, 0x21, 0x22, 0x23, 0x24, 0, 0x22, 0, 0x22, 0x22, 0, 0x22, 0, 0, 0, 0, 4,
        ];
        let xr = parse_xr(&bytes);
        assert_eq!(xr.sender_ssrc, Ssrc(0x5d931534));
        let [XrBlock::DelaySinceLastRr(entries)] = xr.blocks().collect::<Vec<_>>()[..] else {
            panic!("one DLRR block")
        };
        assert!(entries.iter().eq(ENTRIES));

        let mut out = Vec::new();
        write_xr_dlrr(&mut out, Ssrc(0x5d931534), &ENTRIES);
        bytes.truncate(36);
        bytes[0] = 0x80;
        bytes[3] = 8;
        assert_eq!(out, bytes);
    }

    #[test]
    fn reference_time_is_written_and_read() {
        let mut out = Vec::new();
        write_xr_rrtr(&mut out, Ssrc(9), NtpTime(0x0102_0304_0506_0708));
        assert_eq!(out, [0x80, 207, 0, 4, 0, 0, 0, 9, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
        let blocks: Vec<_> = parse_xr(&out).blocks().collect();
        assert!(matches!(blocks[..], [XrBlock::ReceiverReferenceTime(NtpTime(0x0102_0304_0506_0708))]));
    }

    #[test]
    fn blocks_of_other_types_are_skipped_over() {
        let bytes = [0x80, 207, 0, 4, 0, 0, 0, 9, 42, 7, 0, 1, 1, 2, 3, 4, 5, 0, 0, 0];
        let blocks: Vec<_> = parse_xr(&bytes).blocks().collect();
        assert!(
            matches!(
                blocks[..],
                [
                    XrBlock::Unknown { block_type: 42, contents: [1, 2, 3, 4] },
                    XrBlock::DelaySinceLastRr(entries)
                ] if entries.is_empty()
            ),
            "{blocks:?}"
        );
    }

    #[test]
    fn blocks_of_wrong_length_are_malformed() {
        for block in [[4, 0, 0, 1, 0, 0, 0, 0], [5, 0, 0, 1, 0, 0, 0, 0], [42, 0, 0, 2, 0, 0, 0, 0]] {
            let mut bytes = vec![0x80, 207, 0, 3, 0, 0, 0, 9];
            bytes.extend(block);
            assert_eq!(parse_one(&bytes).unwrap_err(), RtcpError::Malformed("extended report"), "{block:?}");
        }
    }

    #[test]
    fn many_entries_take_several_packets() {
        let all: Vec<_> = (0..150).map(|n| DlrrEntry { ssrc: Ssrc(n), ..ENTRIES[0] }).collect();
        let mut out = Vec::new();
        write_xr_dlrr(&mut out, Ssrc(1), &all);
        let mut read = Vec::new();
        for packet in RtcpCompound::new(&out) {
            let Ok(RtcpPacket::Xr(xr)) = packet else { panic!("not an extended report") };
            for block in xr.blocks() {
                let XrBlock::DelaySinceLastRr(entries) = block else { panic!("not a DLRR block") };
                read.extend(entries);
            }
        }
        assert_eq!(read, all);
    }
}
