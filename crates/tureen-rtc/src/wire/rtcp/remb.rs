//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).

use super::writer::PacketWriter;
use super::{WireList, packet_type, psfb, split_feedback};
use crate::units::{Bitrate, Ssrc};

const IDENTIFIER: &[u8; 4] = b"REMB";
const MANTISSA_BITS: u32 = 18;

/// Estimate by a receiver of the bitrate available on the path from the sender.
#[derive(Clone, Copy, Debug)]
pub struct Remb<'a> {
    /// SSRC of the sender of the estimate.
    pub sender_ssrc: Ssrc,
    /// Unused, 0.
    pub media_ssrc: Ssrc,
    /// Estimated bitrate.
    pub bitrate: Bitrate,
    /// Streams that the estimate covers, at most 255.
    pub ssrcs: WireList<'a, Ssrc>,
}

impl<'a> Remb<'a> {
    /// True if application layer feedback with this body is a REMB.
    pub(super) fn is_remb(body: &[u8]) -> bool {
        split_feedback(body).is_some_and(|(_, _, rest)| rest.starts_with(IDENTIFIER))
    }

    /// Fails for bitrates of more than 64 bits.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, body) = split_feedback(body)?;
        let (&[count, high, middle, low], body) = body.strip_prefix(IDENTIFIER)?.split_first_chunk()?;
        let exponent = u32::from(high >> 2);
        let mantissa = u64::from(u32::from_be_bytes([0, high & 0x03, middle, low]));
        if mantissa != 0 && exponent > mantissa.leading_zeros() {
            return None;
        }
        let (ssrcs, _) = WireList::split(body, count)?;
        Some(Self { sender_ssrc, media_ssrc, bitrate: Bitrate::bps(mantissa << exponent), ssrcs })
    }
}

/// Appends an estimate for the first 255 of `ssrcs`. The bitrate is rounded down to an 18-bit mantissa, by less than 1
/// in 2¹⁷.
pub fn write_remb(out: &mut Vec<u8>, sender: Ssrc, bitrate: Bitrate, ssrcs: &[Ssrc]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(usize::from(u8::MAX))];
    let significant_bits = u64::BITS - bitrate.as_bps().leading_zeros();
    let exponent = significant_bits.saturating_sub(MANTISSA_BITS);
    let mantissa = (bitrate.as_bps() >> exponent) as u32;

    let mut packet = PacketWriter::feedback(out, packet_type::PSFB, psfb::AFB, sender, Ssrc(0));
    packet.bytes(IDENTIFIER);
    packet.u32((ssrcs.len() as u32) << 24 | exponent << MANTISSA_BITS | mantissa);
    ssrcs.iter().for_each(|ssrc| packet.u32(ssrc.0));
    packet.finish();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{RtcpError, RtcpPacket, parse_one};
    use super::*;

    const REMB: [u8; 28] = [
        0x8f, 206, 0, 6, 0xfa, 0x17, 0xfa, 0x17, 0, 0, 0, 0, 0x52, 0x45, 0x4d, 0x42, 0x02, 0x01, 0xdf, 0x82,
        0x02, 0xd0, 0x37, 0x02, 0x04, 0xa7, 0x67, 0x47,
    ];

    fn bitrate_of(bytes: &[u8]) -> Result<Bitrate, RtcpError> {
        parse_one(bytes).map(|packet| match packet {
            RtcpPacket::Remb(remb) => remb.bitrate,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn remb_is_read_and_written_byte_for_byte() {
        let Ok(RtcpPacket::Remb(remb)) = parse_one(&REMB) else { panic!("not a REMB") };
        assert_eq!((remb.sender_ssrc, remb.media_ssrc), (Ssrc(0xfa17fa17), Ssrc(0)));
        assert_eq!(remb.bitrate, Bitrate::bps(122_754));
        let ssrcs = [Ssrc(0x02d03702), Ssrc(0x04a76747)];
        assert!(remb.ssrcs.iter().eq(ssrcs));

        let mut out = Vec::new();
        write_remb(&mut out, remb.sender_ssrc, remb.bitrate, &ssrcs);
        assert_eq!(out, REMB);
    }

    #[test]
    fn missing_ssrcs_are_malformed() {
        let mut bytes = REMB;
        bytes[16] = 3;
        assert_eq!(parse_one(&bytes).unwrap_err(), RtcpError::Malformed("REMB"));
    }

    #[test]
    fn bitrates_beyond_64_bits_are_malformed() {
        let mut bytes = REMB;
        bytes[17..20].copy_from_slice(&[46 << 2 | 3, 0xff, 0xff]);
        assert_eq!(bitrate_of(&bytes), Ok(Bitrate::bps(0x3ffff << 46)));
        bytes[17] = 47 << 2 | 3;
        assert_eq!(bitrate_of(&bytes), Err(RtcpError::Malformed("REMB")));
        bytes[17..20].copy_from_slice(&[63 << 2, 0, 0]);
        assert_eq!(bitrate_of(&bytes), Ok(Bitrate::ZERO));
    }

    #[test]
    fn more_ssrcs_than_can_be_counted_are_left_out() {
        let ssrcs: Vec<_> = (0..300).map(Ssrc).collect();
        let mut out = Vec::new();
        write_remb(&mut out, Ssrc(1), Bitrate::ZERO, &ssrcs);
        let Ok(RtcpPacket::Remb(remb)) = parse_one(&out) else { panic!("not a REMB") };
        assert!(remb.ssrcs.iter().eq((0..255).map(Ssrc)));
    }

    proptest! {
        #[test]
        fn any_bitrate_round_trips_to_one_in_131072(bits: u64, shift in 0u32..64) {
            let bps = bits >> shift;
            let mut out = Vec::new();
            write_remb(&mut out, Ssrc(1), Bitrate::bps(bps), &[]);
            let read = bitrate_of(&out).unwrap().as_bps();
            prop_assert!(read <= bps && bps - read <= bps >> 17, "{} became {}", bps, read);
        }
    }
}
