//! Goodbyes (RFC 3550 §6.6).

use super::writer::PacketWriter;
use super::{WireList, packet_type};
use crate::units::Ssrc;

const MAX_SSRCS: usize = 31;

/// Goodbye of sources.
#[derive(Clone, Copy, Debug)]
pub struct Bye<'a> {
    /// SSRCs of the sources, at most 31.
    pub ssrcs: WireList<'a, Ssrc>,
    /// Reason for leaving, at most 255 bytes, intended to be UTF-8 but not checked. A truncated reason counts as none.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrcs, rest) = WireList::split(body, count)?;
        let reason = rest.split_first().and_then(|(&len, text)| text.get(..usize::from(len)));
        Some(Self { ssrcs, reason })
    }
}

/// Appends a goodbye without reason; more than 31 sources take several packets. Nothing is written without a source.
pub fn write_bye(out: &mut Vec<u8>, ssrcs: &[Ssrc]) {
    for ssrcs in ssrcs.chunks(MAX_SSRCS) {
        let mut packet = PacketWriter::new(out, packet_type::BYE, ssrcs.len() as u8);
        ssrcs.iter().for_each(|ssrc| packet.u32(ssrc.0));
        packet.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RtcpCompound, RtcpError, RtcpPacket, parse_one};
    use super::*;

    #[test]
    fn reason_is_read() {
        let mut bytes = vec![0x82, 203, 0, 6, 0x62, 0x42, 0x76, 0xe0, 0x26, 0x24, 0x67, 0x0e, 14];
        bytes.extend(b"Hasta la vista\0");
        let Ok(RtcpPacket::Bye(bye)) = parse_one(&bytes) else { panic!("not a goodbye") };
        assert!(bye.ssrcs.iter().eq([Ssrc(0x624276e0), Ssrc(0x2624670e)]));
        assert_eq!(bye.reason, Some(&b"Hasta la vista"[..]));

        bytes[12] = 16;
        let Ok(RtcpPacket::Bye(bye)) = parse_one(&bytes) else { panic!("not a goodbye") };
        assert_eq!((bye.ssrcs.len(), bye.reason), (2, None));
    }

    #[test]
    fn missing_sources_are_malformed() {
        assert_eq!(parse_one(&[0x81, 203, 0, 0]).unwrap_err(), RtcpError::Malformed("goodbye"));
    }

    #[test]
    fn many_sources_take_several_packets() {
        let mut out = Vec::new();
        let ssrcs: Vec<_> = (0..63).map(Ssrc).collect();
        write_bye(&mut out, &ssrcs);
        let mut sizes = Vec::new();
        let mut read = Vec::new();
        for packet in RtcpCompound::new(&out) {
            let Ok(RtcpPacket::Bye(bye)) = packet else { panic!("not a goodbye") };
            sizes.push(bye.ssrcs.len());
            read.extend(bye.ssrcs);
        }
        assert_eq!(sizes, [31, 31, 1]);
        assert_eq!(read, ssrcs);
    }
}
