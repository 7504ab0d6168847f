//! RTCP packets (RFC 3550 §6, 4585, 5104, 3611 and the REMB and transport-wide congestion control drafts).
//!
//! [`RtcpCompound`] iterates over the packets of a decrypted datagram and returns a borrowed view of each; nothing is
//! copied or allocated. The `write_*` functions append whole packets to the caller's buffer and use several packets for
//! contents that do not fit one; [`CompoundParts`] splits a compound that does not fit one datagram.

mod bye;
mod key_frame;
mod list;
mod nack;
mod ntp;
mod remb;
mod report;
mod sdes;
mod split;
mod transport_cc;
mod writer;
mod xr;

use thiserror::Error;

pub use self::bye::{Bye, write_bye};
pub use self::key_frame::{Fir, FirEntry, Pli, write_fir, write_pli};
pub use self::list::{WireList, WireListIter, WireRecord};
pub use self::nack::{Nack, NackItem, write_nack};
pub use self::ntp::{NtpTime, compact_to_duration, duration_to_compact};
pub use self::remb::{Remb, write_remb};
pub use self::report::{
    ReceiverReport, ReportBlock, SenderInfo, SenderReport, write_receiver_report, write_sender_report,
};
pub use self::sdes::{Sdes, SdesChunk, SdesItem, write_sdes_cname};
pub use self::split::CompoundParts;
pub use self::transport_cc::{
    PacketStatus, PacketStatuses, TransportCc, TransportCcHeader, write_transport_cc,
};
pub use self::xr::{DlrrEntry, Xr, XrBlock, XrBlocks, write_xr_dlrr, write_xr_rrtr};
use crate::units::Ssrc;

const VERSION: u8 = 2;
const HEADER_LEN: usize = 4;

/// Packet types (IANA "RTCP Control Packet Types").
mod packet_type {
    pub(super) const SR: u8 = 200;
    pub(super) const RR: u8 = 201;
    pub(super) const SDES: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const RTPFB: u8 = 205;
    pub(super) const PSFB: u8 = 206;
    pub(super) const XR: u8 = 207;
}

/// Feedback message types of transport-layer feedback (RTPFB).
mod rtpfb {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_CC: u8 = 15;
}

/// Feedback message types of payload-specific feedback (PSFB).
mod psfb {
    pub(super) const PLI: u8 = 1;
    pub(super) const FIR: u8 = 4;
    pub(super) const AFB: u8 = 15;
}

/// Reason why a compound, or a packet in it, cannot be parsed. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtcpError {
    /// The compound ends inside the common header of a packet.
    #[error("RTCP header needs 4 bytes, {0} are left")]
    Truncated(usize),
    /// The version field is not 2.
    #[error("RTCP version is {0}, expected 2")]
    Version(u8),
    /// The length of a packet exceeds the rest of the compound.
    #[error("RTCP packet of {announced} bytes, {available} are left")]
    Length {
        /// Length in the header of the packet.
        announced: usize,
        /// Bytes left in the compound.
        available: usize,
    },
    /// The padding count is zero or larger than the packet.
    #[error("RTCP padding of {padding} bytes does not fit a body of {available}")]
    Padding {
        /// Padding count in the packet.
        padding: usize,
        /// Bytes after the common header.
        available: usize,
    },
    /// The contents of one packet contradict its type or count. The packets after it can still be parsed.
    #[error("malformed RTCP packet: {0}")]
    Malformed(&'static str),
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug)]
pub enum RtcpPacket<'a> {
    /// Sender report (RFC 3550 §6.4.1).
    SenderReport(SenderReport<'a>),
    /// Receiver report (RFC 3550 §6.4.2).
    ReceiverReport(ReceiverReport<'a>),
    /// Source description (RFC 3550 §6.5).
    Sdes(Sdes<'a>),
    /// Goodbye (RFC 3550 §6.6).
    Bye(Bye<'a>),
    /// Generic negative acknowledgement (RFC 4585 §6.2.1).
    Nack(Nack<'a>),
    /// Picture loss indication (RFC 4585 §6.3.1).
    Pli(Pli),
    /// Full intra request (RFC 5104 §4.3.1).
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).
    Remb(Remb<'a>),
    /// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportCc(TransportCc<'a>),
    /// Extended report (RFC 3611).
    Xr(Xr<'a>),
    /// Any other well-framed packet.
    Unknown {
        /// The packet type.
        packet_type: u8,
        /// The five bits after the padding bit: a count, a subtype or a feedback message type.
        count: u8,
        /// Contents after the common header, without padding.
        body: &'a [u8],
    },
}

/// Iterator over the packets of a compound; accepts reduced-size RTCP (RFC 5506) too.
///
/// A malformed packet yields an error, and the iteration continues after it. A packet whose length exceeds the rest of
/// the compound is the last item.
#[derive(Clone, Debug)]
pub struct RtcpCompound<'a> {
    rest: &'a [u8],
}

impl<'a> RtcpCompound<'a> {
    /// Iterates over the packets in `datagram`, which must be decrypted and without authentication tag.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for RtcpCompound<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (frame, rest) = Frame::split(self.rest);
        self.rest = rest;
        Some(frame.and_then(|frame| frame.parse()))
    }
}

impl std::iter::FusedIterator for RtcpCompound<'_> {}

/// Packet of the compound: the common header, and a body without padding.
struct Frame<'a> {
    packet_type: u8,
    count: u8,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits off the first packet or its error, and the rest of the compound, which is empty if the length is invalid.
    fn split(compound: &'a [u8]) -> (Result<Frame<'a>, RtcpError>, &'a [u8]) {
        let available = compound.len();
        let Some(header) = compound.first_chunk::<HEADER_LEN>() else {
            return (Err(RtcpError::Truncated(available)), &[]);
        };
        // RFC 3550 §6.4.1: "The length of this RTCP packet in 32-bit words minus one."
        let announced = 4 * (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1);
        let cut = compound.split_at_checked(announced);
        let version = header[0] >> 6;
        if version != VERSION {
            return (Err(RtcpError::Version(version)), cut.map_or(&[], |(_, rest)| rest));
        }
        let Some((packet, rest)) = cut else {
            return (Err(RtcpError::Length { announced, available }), &[]);
        };
        let mut body = &packet[HEADER_LEN..];
        if header[0] & 0x20 != 0 {
            let padding = body.last().map_or(0, |&count| usize::from(count));
            if padding == 0 || padding > body.len() {
                return (Err(RtcpError::Padding { padding, available: body.len() }), rest);
            }
            body = &body[..body.len() - padding];
        }
        (Ok(Frame { packet_type: header[1], count: header[0] & 0x1f, body }), rest)
    }

    fn parse(&self) -> Result<RtcpPacket<'a>, RtcpError> {
        let &Frame { packet_type, count, body } = self;
        let (name, packet) = match (packet_type, count) {
            (packet_type::SR, _) => {
                ("sender report", SenderReport::parse(count, body).map(RtcpPacket::SenderReport))
            }
            (packet_type::RR, _) => {
                ("receiver report", ReceiverReport::parse(count, body).map(RtcpPacket::ReceiverReport))
            }
            (packet_type::SDES, _) => ("source description", Sdes::parse(count, body).map(RtcpPacket::Sdes)),
            (packet_type::BYE, _) => ("goodbye", Bye::parse(count, body).map(RtcpPacket::Bye)),
            (packet_type::RTPFB, rtpfb::NACK) => ("NACK", Nack::parse(body).map(RtcpPacket::Nack)),
            (packet_type::RTPFB, rtpfb::TRANSPORT_CC) => {
                ("transport-wide feedback", TransportCc::parse(body).map(RtcpPacket::TransportCc))
            }
            (packet_type::PSFB, psfb::PLI) => ("PLI", Pli::parse(body).map(RtcpPacket::Pli)),
            (packet_type::PSFB, psfb::FIR) => ("FIR", Fir::parse(body).map(RtcpPacket::Fir)),
            (packet_type::PSFB, psfb::AFB) if Remb::is_remb(body) => {
                ("REMB", Remb::parse(body).map(RtcpPacket::Remb))
            }
            (packet_type::XR, _) => ("extended report", Xr::parse(body).map(RtcpPacket::Xr)),
            _ => ("unknown", Some(RtcpPacket::Unknown { packet_type, count, body })),
        };
        packet.ok_or(RtcpError::Malformed(name))
    }
}

/// Splits the sender and media SSRC off a feedback message (RFC 4585 §6.1).
fn split_feedback(body: &[u8]) -> Option<(Ssrc, Ssrc, &[u8])> {
    let (sender, body) = split_ssrc(body)?;
    let (media, body) = split_ssrc(body)?;
    Some((sender, media, body))
}

fn split_ssrc(body: &[u8]) -> Option<(Ssrc, &[u8])> {
    let (ssrc, rest) = body.split_first_chunk()?;
    Some((Ssrc(u32::from_be_bytes(*ssrc)), rest))
}

/// Returns the only packet of `compound`, for the tests of the packet types.
#[cfg(test)]
fn parse_one(compound: &[u8]) -> Result<RtcpPacket<'_>, RtcpError> {
    let mut packets = RtcpCompound::new(compound);
    let packet = packets.next().expect("one packet");
    assert!(packets.next().is_none(), "one packet only");
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLI: [u8; 12] = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];

    #[test]
    fn packets_of_a_compound_come_in_order() {
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(1), &[]);
        write_sdes_cname(&mut compound, &[(Ssrc(1), b"cname")]);
        write_nack(&mut compound, Ssrc(1), Ssrc(2), &[3]);
        write_bye(&mut compound, &[Ssrc(1)]);
        let packets: Vec<_> = RtcpCompound::new(&compound).collect();
        assert!(
            matches!(
                packets[..],
                [
                    Ok(RtcpPacket::ReceiverReport(_)),
                    Ok(RtcpPacket::Sdes(_)),
                    Ok(RtcpPacket::Nack(_)),
                    Ok(RtcpPacket::Bye(_))
                ]
            ),
            "{packets:?}"
        );
    }

    #[test]
    fn malformed_packet_does_not_hide_the_next() {
        // A truncated FIR, then a PLI.
        let mut compound = vec![0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        compound.extend(PLI);
        let packets: Vec<_> = RtcpCompound::new(&compound).collect();
        assert!(
            matches!(packets[..], [Err(RtcpError::Malformed("FIR")), Ok(RtcpPacket::Pli(_))]),
            "{packets:?}"
        );
    }

    #[test]
    fn packet_with_a_broken_header_but_valid_length_does_not_hide_the_next() {
        let cases: [(&[u8], RtcpError); 3] = [
            (&[0x41, 206, 0, 1, 1, 2, 3, 4], RtcpError::Version(1)),
            (&[0xa1, 206, 0, 0], RtcpError::Padding { padding: 0, available: 0 }),
            (&[0xa1, 206, 0, 1, 0, 0, 0, 5], RtcpError::Padding { padding: 5, available: 4 }),
        ];
        for (broken, expected) in cases {
            let compound = [&PLI, broken, &PLI].concat();
            let packets: Vec<_> = RtcpCompound::new(&compound).collect();
            let [Ok(RtcpPacket::Pli(_)), Err(error), Ok(RtcpPacket::Pli(_))] = packets[..] else {
                panic!("{packets:?}")
            };
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn broken_framing_ends_the_compound_with_its_reason() {
        let cases: [(&[u8], RtcpError); 5] = [
            (&[0x81, 206, 0], RtcpError::Truncated(3)),
            (&[0x41, 206, 0, 0], RtcpError::Version(1)),
            (&[0x81, 206, 0, 1], RtcpError::Length { announced: 8, available: 4 }),
            (&[0xa1, 206, 0, 0], RtcpError::Padding { padding: 0, available: 0 }),
            (&[0xa1, 206, 0, 1, 0, 0, 0, 5], RtcpError::Padding { padding: 5, available: 4 }),
        ];
        for (tail, expected) in cases {
            let mut compound = PLI.to_vec();
            compound.extend(tail);
            let mut packets = RtcpCompound::new(&compound);
            assert!(matches!(packets.next(), Some(Ok(RtcpPacket::Pli(_)))));
            assert_eq!(packets.next().unwrap().unwrap_err(), expected);
            assert!(packets.next().is_none());
        }
    }

    #[test]
    fn padding_is_stripped() {
        let padded = [0xa1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
        let Ok(RtcpPacket::Pli(pli)) = parse_one(&padded) else { panic!("not a PLI") };
        assert_eq!((pli.sender_ssrc, pli.media_ssrc), (Ssrc(1), Ssrc(2)));
    }

    #[test]
    fn other_packets_are_unknown_but_framed() {
        let app = [0x83, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e'];
        let Ok(RtcpPacket::Unknown { packet_type: 204, count: 3, body }) = parse_one(&app) else {
            panic!("not unknown")
        };
        assert_eq!(body, &app[4..]);
        let not_remb = [0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, b'R', b'E', b'M', b'A'];
        assert!(matches!(parse_one(&not_remb), Ok(RtcpPacket::Unknown { packet_type: 206, count: 15, .. })));
    }

    /// Reads everything in a compound and returns the number of items, by which the work is bounded.
    fn walk(compound: &[u8]) -> usize {
        RtcpCompound::new(compound).flatten().map(|packet| 1 + walk_packet(packet)).sum()
    }

    fn walk_packet(packet: RtcpPacket<'_>) -> usize {
        match packet {
            RtcpPacket::SenderReport(p) => p.reports.iter().count(),
            RtcpPacket::ReceiverReport(p) => p.reports.iter().count(),
            RtcpPacket::Sdes(p) => {
                p.chunks().map(|c| c.cname().map_or(0, <[u8]>::len) + c.items().count()).sum()
            }
            RtcpPacket::Bye(p) => p.ssrcs.iter().count() + p.reason.map_or(0, <[u8]>::len),
            RtcpPacket::Nack(p) => p.lost().count(),
            RtcpPacket::Pli(_) | RtcpPacket::Unknown { .. } => 0,
            RtcpPacket::Fir(p) => p.entries.iter().count(),
            RtcpPacket::Remb(p) => p.ssrcs.iter().count(),
            RtcpPacket::TransportCc(p) => {
                assert_eq!(p.statuses().count(), usize::from(p.packet_status_count));
                p.received().count()
            }
            RtcpPacket::Xr(p) => p
                .blocks()
                .map(|block| match block {
                    XrBlock::DelaySinceLastRr(entries) => entries.iter().count(),
                    XrBlock::ReceiverReferenceTime(_) | XrBlock::Unknown { .. } => 1,
                })
                .sum(),
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            walk(&bytes);
        }

        #[test]
        fn any_body_of_a_known_type_never_panics(
            kind in prop::sample::select(vec![
                (0, 200), (1, 200), (2, 201), (2, 202), (31, 202), (3, 203),
                (1, 205), (15, 205), (1, 206), (4, 206), (15, 206), (0, 207),
            ]),
            padded: bool,
            mut words in prop::collection::vec(any::<[u8; 4]>(), 0..60),
            small: bool,
        ) {
            let (count, packet_type) = kind;
            if small {
                // Small numbers make valid lengths and counts more frequent.
                words.as_flattened_mut().iter_mut().for_each(|byte| *byte &= 0x07);
            }
            if packet_type == 206 && count == 15 && words.len() > 2 {
                words[2] = *b"REMB";
            }
            let mut packet = vec![0x80 | u8::from(padded) << 5 | count, packet_type];
            packet.extend((words.len() as u16).to_be_bytes());
            packet.extend(words.as_flattened());
            // A status or lost packet costs the sender at least one bit; 17 of them fit in an item of four bytes.
            prop_assert!(walk(&packet) <= 8 * packet.len());
        }
    }
}
