//! Splits compounds to the size of a datagram.

use super::packet_type;
use super::{HEADER_LEN, write_receiver_report};
use crate::units::Ssrc;

/// Splits a locally written compound between its packets, so that no part is longer than `max` bytes. Only a single
/// packet longer than that makes a longer part.
///
/// RFC 3550 §6.1: "The first RTCP packet in the compound packet MUST always be a report packet". Therefore each part of
/// a compound that begins with a report begins with one too, with an empty receiver report if necessary. A compound of
/// feedback alone (RFC 5506) is split without reports.
#[derive(Clone, Debug)]
pub struct CompoundParts<'a> {
    rest: &'a [u8],
    max: usize,
    /// SSRC of the reporter, in a compound that begins with a report.
    reporter: Option<Ssrc>,
}

impl<'a> CompoundParts<'a> {
    /// Splits `compound`, whose framing must be valid.
    pub fn new(compound: &'a [u8], max: usize) -> Self {
        let reporter = match compound.first_chunk::<8>() {
            Some(&[_, packet_type::SR | packet_type::RR, _, _, a, b, c, d]) => {
                Some(Ssrc(u32::from_be_bytes([a, b, c, d])))
            }
            _ => None,
        };
        Self { rest: compound, max, reporter }
    }

    /// Replaces the contents of `out` by the next part. Returns false if there is none.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if self.rest.is_empty() {
            return false;
        }
        // Written before the parts are chosen, because the report counts towards `max`.
        if let Some(reporter) = self.reporter
            && !matches!(self.rest.get(1), Some(&(packet_type::SR | packet_type::RR)))
        {
            write_receiver_report(out, reporter, &[]);
        }
        let mut taken = 0;
        while let Some(len) = packet_len(&self.rest[taken..])
            && (taken == 0 || out.len() + taken + len <= self.max)
        {
            taken += len;
        }
        let (part, rest) = self.rest.split_at(taken);
        out.extend_from_slice(part);
        self.rest = rest;
        true
    }
}

/// Length of the first packet; `None` after the last one.
fn packet_len(compound: &[u8]) -> Option<usize> {
    let header = compound.first_chunk::<HEADER_LEN>()?;
    let words = usize::from(u16::from_be_bytes([header[2], header[3]]));
    Some((4 * (words + 1)).min(compound.len()))
}

#[cfg(test)]
mod tests {
    use super::super::{
        ReportBlock, RtcpCompound, RtcpPacket, SenderInfo, write_nack, write_sdes_cname, write_sender_report,
        write_xr_rrtr,
    };
    use super::*;
    use crate::wire::rtcp::NtpTime;

    fn parts(compound: &[u8], max: usize) -> Vec<Vec<u8>> {
        let mut parts = CompoundParts::new(compound, max);
        let mut out = Vec::new();
        let mut all = Vec::new();
        while parts.next_into(&mut out) {
            all.push(out.clone());
        }
        all
    }

    fn block(ssrc: u32) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost: 0,
            total_lost: 0,
            highest_sequence_number: 0,
            jitter: 0,
            last_sender_report: 0,
            delay_since_last_sender_report: 0,
        }
    }

    #[test]
    fn compound_that_fits_stays_whole() {
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(0), &[block(1)]);
        write_xr_rrtr(&mut compound, Ssrc(0), NtpTime(1));
        assert_eq!(parts(&compound, compound.len()), [compound]);
        assert!(parts(&[], 1200).is_empty());
    }

    #[test]
    fn receiver_reports_of_many_streams_take_several_datagrams() {
        let blocks: Vec<_> = (0..1000).map(block).collect();
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(9), &blocks);
        write_xr_rrtr(&mut compound, Ssrc(9), NtpTime(1));
        let parts = parts(&compound, 1200);
        let mut told = Vec::new();
        for part in &parts {
            assert!(part.len() <= 1200);
            let mut packets = RtcpCompound::new(part).map(Result::unwrap).peekable();
            assert!(
                matches!(packets.peek(), Some(RtcpPacket::ReceiverReport(report)) if report.sender_ssrc.0 == 9)
            );
            for packet in packets {
                if let RtcpPacket::ReceiverReport(report) = packet {
                    told.extend(report.reports.iter().map(|block| block.ssrc.0));
                }
            }
        }
        assert_eq!(told, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn part_that_would_begin_with_something_else_begins_with_an_empty_report() {
        let info = SenderInfo { ntp_time: NtpTime(1), rtp_timestamp: 2, packet_count: 3, octet_count: 4 };
        let mut compound = Vec::new();
        write_sender_report(&mut compound, Ssrc(5), &info, &[]);
        write_sdes_cname(&mut compound, &[(Ssrc(5), &[b'x'; 200])]);
        let parts = parts(&compound, 220);
        assert_eq!(parts.len(), 2);
        let packets: Vec<_> = RtcpCompound::new(&parts[1]).map(Result::unwrap).collect();
        let [RtcpPacket::ReceiverReport(report), RtcpPacket::Sdes(_)] = &packets[..] else {
            panic!("{packets:?}")
        };
        assert_eq!((report.sender_ssrc, report.reports.len()), (Ssrc(5), 0));
    }

    #[test]
    fn feedback_alone_gets_no_report() {
        let mut compound = Vec::new();
        let lost: Vec<u16> = (0..3000).map(|n| n * 20).collect();
        write_nack(&mut compound, Ssrc(1), Ssrc(2), &lost);
        let parts = parts(&compound, 1200);
        assert!(parts.len() > 5 && parts.iter().all(|part| part.len() <= 1200));
        assert_eq!(parts.concat(), compound);
    }
}
