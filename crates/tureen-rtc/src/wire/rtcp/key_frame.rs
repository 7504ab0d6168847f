//! Requests for a key frame: PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1).

use super::list::u32_at;
use super::writer::PacketWriter;
use super::{WireList, WireRecord, packet_type, psfb, split_feedback};
use crate::units::Ssrc;

/// Maximum number of entries in one written FIR, which keeps the packet near a kilobyte and below every MTU.
const MAX_FIR_ENTRIES: usize = 128;

/// Picture loss indication: the receiver cannot decode the stream any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pli {
    /// SSRC of the sender of the request.
    pub sender_ssrc: Ssrc,
    /// SSRC of the stream.
    pub media_ssrc: Ssrc,
}

/// Full intra request: the receiver needs a decoder refresh point.
#[derive(Clone, Copy, Debug)]
pub struct Fir<'a> {
    /// SSRC of the sender of the request.
    pub sender_ssrc: Ssrc,
    /// Unused; RFC 5104 §4.3.1.2 requires 0. The entries contain the streams.
    pub media_ssrc: Ssrc,
    /// Streams of which a key frame is requested.
    pub entries: WireList<'a, FirEntry>,
}

/// Stream of which a key frame is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// SSRC of the stream.
    pub ssrc: Ssrc,
    /// Counter of the commands to this stream; the repetition of a command has the same number.
    pub sequence_number: u8,
}

impl Pli {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, _) = split_feedback(body)?;
        Some(Self { sender_ssrc, media_ssrc })
    }
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, body) = split_feedback(body)?;
        Some(Self { sender_ssrc, media_ssrc, entries: WireList::new(body)? })
    }
}

impl WireRecord for FirEntry {
    const LEN: usize = 8;

    fn read(bytes: &[u8]) -> Self {
        Self { ssrc: Ssrc(u32_at(bytes, 0)), sequence_number: bytes[4] }
    }
}

/// Appends a picture loss indication.
pub fn write_pli(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc) {
    PacketWriter::feedback(out, packet_type::PSFB, psfb::PLI, sender, media).finish();
}

/// Appends a full intra request; more than 128 entries take several packets. Nothing is written without an entry.
pub fn write_fir(out: &mut Vec<u8>, sender: Ssrc, entries: &[FirEntry]) {
    for entries in entries.chunks(MAX_FIR_ENTRIES) {
        // RFC 5104 §4.3.1.2: "the 'SSRC of media source' is not used and SHALL be set to 0".
        let mut packet = PacketWriter::feedback(out, packet_type::PSFB, psfb::FIR, sender, Ssrc(0));
        for entry in entries {
            packet.u32(entry.ssrc.0);
            packet.u32(u32::from(entry.sequence_number) << 24);
        }
        packet.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RtcpCompound, RtcpError, RtcpPacket, parse_one};
    use super::*;

    #[test]
    fn pli_is_read_and_written_byte_for_byte() {
        let bytes = [0x81, 206, 0, 2, 0, 0, 0, 1, 0x03, 0x30, 0xbd, 0xee];
        let Ok(RtcpPacket::Pli(pli)) = parse_one(&bytes) else { panic!("not a PLI") };
        assert_eq!(pli, Pli { sender_ssrc: Ssrc(1), media_ssrc: Ssrc(0x0330bdee) });
        let mut out = Vec::new();
        write_pli(&mut out, pli.sender_ssrc, pli.media_ssrc);
        assert_eq!(out, bytes);
        assert_eq!(parse_one(&[0x81, 206, 0, 1, 0, 0, 0, 1]).unwrap_err(), RtcpError::Malformed("PLI"));
    }

    #[test]
    fn fir_is_read_and_written_byte_for_byte() {
        let bytes =
            [0x84, 206, 0, 4, 0xfa, 0x17, 0xfa, 0x17, 0, 0, 0, 0, 0x02, 0xd0, 0x37, 0x02, 0x04, 0, 0, 0];
        let Ok(RtcpPacket::Fir(fir)) = parse_one(&bytes) else { panic!("not a FIR") };
        assert_eq!((fir.sender_ssrc, fir.media_ssrc), (Ssrc(0xfa17fa17), Ssrc(0)));
        let entry = FirEntry { ssrc: Ssrc(0x02d03702), sequence_number: 4 };
        assert!(fir.entries.iter().eq([entry]));
        let mut out = Vec::new();
        write_fir(&mut out, fir.sender_ssrc, &[entry]);
        assert_eq!(out, bytes);
    }

    #[test]
    fn many_fir_entries_take_several_packets() {
        let entries: Vec<_> =
            (0..300).map(|n| FirEntry { ssrc: Ssrc(n), sequence_number: n as u8 }).collect();
        let mut out = Vec::new();
        write_fir(&mut out, Ssrc(1), &entries);
        let mut read = Vec::new();
        for packet in RtcpCompound::new(&out) {
            let Ok(RtcpPacket::Fir(fir)) = packet else { panic!("not a FIR") };
            assert!(fir.entries.len() <= MAX_FIR_ENTRIES);
            read.extend(fir.entries);
        }
        assert_eq!(read, entries);
    }
}
