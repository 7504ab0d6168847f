//! Sender and receiver reports (RFC 3550 §6.4).

use super::list::u32_at;
use super::writer::PacketWriter;
use super::{NtpTime, WireList, WireRecord, packet_type, split_ssrc};
use crate::units::Ssrc;

/// Maximum number of report blocks in one packet, because the count has five bits.
const MAX_BLOCKS: usize = 31;

/// Sender report: statistics of the packets sent, and of the streams received.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    /// SSRC of the reporter.
    pub sender_ssrc: Ssrc,
    /// Statistics of the packets sent.
    pub info: SenderInfo,
    /// Statistics of the streams received, at most 31.
    pub reports: WireList<'a, ReportBlock>,
}

/// Receiver report: statistics of the streams received.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    /// SSRC of the reporter.
    pub sender_ssrc: Ssrc,
    /// Statistics of the streams received, at most 31.
    pub reports: WireList<'a, ReportBlock>,
}

/// Sender information of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Time at which the report was sent.
    pub ntp_time: NtpTime,
    /// RTP timestamp of the same instant.
    pub rtp_timestamp: u32,
    /// Number of RTP packets sent since the start of the stream.
    pub packet_count: u32,
    /// Number of payload bytes sent since the start of the stream, without headers and padding.
    pub octet_count: u32,
}

/// Reception statistics of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// SSRC of the stream that the block reports on.
    pub ssrc: Ssrc,
    /// Fraction of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Number of packets lost since the start, negative if there are more duplicates than losses; saturates at 24 bits
    /// on the wire.
    pub total_lost: i32,
    /// Highest sequence number received, extended by 16 bits of cycles.
    pub highest_sequence_number: u32,
    /// Interarrival jitter in units of the RTP timestamp.
    pub jitter: u32,
    /// Compact NTP time of the last sender report, 0 if none was received (LSR).
    pub last_sender_report: u32,
    /// Delay since the arrival of that report, in 1/65536 s (DLSR).
    pub delay_since_last_sender_report: u32,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, body) = split_ssrc(body)?;
        let (info, body) = body.split_first_chunk::<20>()?;
        let info = SenderInfo {
            ntp_time: NtpTime(u64::from(u32_at(info, 0)) << 32 | u64::from(u32_at(info, 4))),
            rtp_timestamp: u32_at(info, 8),
            packet_count: u32_at(info, 12),
            octet_count: u32_at(info, 16),
        };
        // The rest after the blocks is a profile-specific extension.
        let (reports, _extension) = WireList::split(body, count)?;
        Some(Self { sender_ssrc, info, reports })
    }
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, body) = split_ssrc(body)?;
        let (reports, _extension) = WireList::split(body, count)?;
        Some(Self { sender_ssrc, reports })
    }
}

impl WireRecord for ReportBlock {
    const LEN: usize = 24;

    fn read(bytes: &[u8]) -> Self {
        Self {
            ssrc: Ssrc(u32_at(bytes, 0)),
            fraction_lost: bytes[4],
            total_lost: (u32_at(bytes, 4) << 8) as i32 >> 8,
            highest_sequence_number: u32_at(bytes, 8),
            jitter: u32_at(bytes, 12),
            last_sender_report: u32_at(bytes, 16),
            delay_since_last_sender_report: u32_at(bytes, 20),
        }
    }
}

impl ReportBlock {
    fn write(&self, packet: &mut PacketWriter<'_>) {
        let total_lost = self.total_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        packet.u32(self.ssrc.0);
        packet.u32(u32::from(self.fraction_lost) << 24 | total_lost);
        packet.u32(self.highest_sequence_number);
        packet.u32(self.jitter);
        packet.u32(self.last_sender_report);
        packet.u32(self.delay_since_last_sender_report);
    }
}

/// Appends a sender report. More than 31 blocks continue in receiver reports after it (RFC 3550 §6.1).
pub fn write_sender_report(out: &mut Vec<u8>, sender: Ssrc, info: &SenderInfo, reports: &[ReportBlock]) {
    let (first, rest) = reports.split_at(reports.len().min(MAX_BLOCKS));
    let mut packet = PacketWriter::new(out, packet_type::SR, first.len() as u8);
    packet.u32(sender.0);
    packet.u64(info.ntp_time.0);
    packet.u32(info.rtp_timestamp);
    packet.u32(info.packet_count);
    packet.u32(info.octet_count);
    first.iter().for_each(|report| report.write(&mut packet));
    packet.finish();
    if !rest.is_empty() {
        write_receiver_report(out, sender, rest);
    }
}

/// Appends a receiver report, which may be empty; more than 31 blocks take several packets.
pub fn write_receiver_report(out: &mut Vec<u8>, sender: Ssrc, mut reports: &[ReportBlock]) {
    loop {
        let (first, rest) = reports.split_at(reports.len().min(MAX_BLOCKS));
        let mut packet = PacketWriter::new(out, packet_type::RR, first.len() as u8);
        packet.u32(sender.0);
        first.iter().for_each(|report| report.write(&mut packet));
        packet.finish();
        reports = rest;
        if reports.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{RtcpCompound, RtcpError, RtcpPacket, parse_one};
    use super::*;

    const SR: [u8; 28] = [
        0x80, 200, 0, 6, 0x5d, 0x93, 0x15, 0x34, 0xdd, 0x3a, 0xc1, 0xb4, 0x76, 0x54, 0x71, 0x71, 0x00, 0x08,
        0xcf, 0x00, 0x00, 0x00, 0x0e, 0x18, 0x00, 0x08, 0xcf, 0x00,
    ];

    const RR: [u8; 32] = [
        0x81, 201, 0, 7, 0x5d, 0x93, 0x15, 0x34, 0x01, 0x93, 0x2d, 0xb4, 0x00, 0xff, 0xff, 0xff, 0, 1, 0, 2,
        0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5,
    ];

    #[test]
    fn sender_report_is_read_and_written_byte_for_byte() {
        let Ok(RtcpPacket::SenderReport(report)) = parse_one(&SR) else { panic!("not a sender report") };
        assert_eq!(report.sender_ssrc, Ssrc(0x5d931534));
        assert_eq!(report.info.ntp_time.seconds(), 3_711_615_412);
        assert_eq!(report.info.ntp_time.fraction(), 1_985_245_553);
        assert_eq!(report.info.rtp_timestamp, 577_280);
        assert_eq!(report.info.packet_count, 3608);
        assert_eq!(report.info.octet_count, 577_280);
        assert!(report.reports.is_empty());

        let mut out = Vec::new();
        write_sender_report(&mut out, report.sender_ssrc, &report.info, &[]);
        assert_eq!(out, SR);
    }

    #[test]
    fn receiver_report_is_read_and_written_byte_for_byte() {
        let Ok(RtcpPacket::ReceiverReport(report)) = parse_one(&RR) else { panic!("not a receiver report") };
        let expected = ReportBlock {
            ssrc: Ssrc(0x01932db4),
            fraction_lost: 0,
            total_lost: -1,
            highest_sequence_number: 0x10002,
            jitter: 3,
            last_sender_report: 4,
            delay_since_last_sender_report: 5,
        };
        assert_eq!(report.reports.iter().collect::<Vec<_>>(), [expected]);

        let mut out = Vec::new();
        write_receiver_report(&mut out, report.sender_ssrc, &[expected]);
        assert_eq!(out, RR);
    }

    #[test]
    fn total_lost_saturates_at_24_bits() {
        let Ok(RtcpPacket::ReceiverReport(report)) = parse_one(&RR) else { panic!("not a receiver report") };
        let block = report.reports.iter().next().unwrap();
        for (total_lost, on_the_wire) in [(i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000), (-2, -2)] {
            let mut out = Vec::new();
            write_receiver_report(
                &mut out,
                Ssrc(1),
                &[ReportBlock { total_lost, fraction_lost: 255, ..block }],
            );
            let Ok(RtcpPacket::ReceiverReport(report)) = parse_one(&out) else {
                panic!("not a receiver report")
            };
            let read = report.reports.iter().next().unwrap();
            assert_eq!((read.total_lost, read.fraction_lost), (on_the_wire, 255));
        }
    }

    #[test]
    fn more_blocks_than_announced_are_an_extension_and_fewer_an_error() {
        let mut packet = RR;
        packet[0] = 0x80;
        let Ok(RtcpPacket::ReceiverReport(report)) = parse_one(&packet) else {
            panic!("not a receiver report")
        };
        assert!(report.reports.is_empty());
        packet[0] = 0x82;
        assert_eq!(parse_one(&packet).unwrap_err(), RtcpError::Malformed("receiver report"));
    }

    #[test]
    fn empty_receiver_report_is_written() {
        let mut out = Vec::new();
        write_receiver_report(&mut out, Ssrc(1), &[]);
        assert_eq!(out, [0x80, 201, 0, 1, 0, 0, 0, 1]);
    }

    fn block() -> impl Strategy<Value = ReportBlock> {
        (any::<[u32; 5]>(), any::<u8>(), -0x80_0000..=0x7f_ffff).prop_map(
            |(words, fraction_lost, total_lost)| ReportBlock {
                ssrc: Ssrc(words[0]),
                fraction_lost,
                total_lost,
                highest_sequence_number: words[1],
                jitter: words[2],
                last_sender_report: words[3],
                delay_since_last_sender_report: words[4],
            },
        )
    }

    proptest! {
        #[test]
        fn any_number_of_blocks_round_trips(blocks in prop::collection::vec(block(), 0..100), ntp: u64, words: [u32; 4]) {
            let info = SenderInfo {
                ntp_time: NtpTime(ntp),
                rtp_timestamp: words[0],
                packet_count: words[1],
                octet_count: words[2],
            };
            let mut out = vec![0xff; 3];
            write_sender_report(&mut out, Ssrc(words[3]), &info, &blocks);
            prop_assert_eq!(&out[..3], [0xff; 3]);
            let mut read = Vec::new();
            for (index, packet) in RtcpCompound::new(&out[3..]).enumerate() {
                let (sender, reports) = match packet.unwrap() {
                    RtcpPacket::SenderReport(report) => {
                        prop_assert_eq!((index, report.info), (0, info));
                        (report.sender_ssrc, report.reports)
                    }
                    RtcpPacket::ReceiverReport(report) => {
                        prop_assert!(index > 0 && !report.reports.is_empty());
                        (report.sender_ssrc, report.reports)
                    }
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(sender, Ssrc(words[3]));
                read.extend(reports);
            }
            prop_assert_eq!(read, blocks);
        }
    }
}
