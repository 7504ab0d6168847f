//! Statistics of an outgoing RTP stream: sent packets, receiver reports, sender reports.

use std::time::{Duration, Instant};

use tureen_rtc::rate::{Counter, RateMeter};
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::NtpTime;

/// Maximum age of the last packet for a sender report (mediasoup `MaxSenderReportReferenceAgeMs`).
const MAX_REPORTED_SILENCE: Duration = Duration::from_secs(2);

/// Statistics of one outgoing stream (mediasoup RtpStreamSend). The fields that every run of packets touches are last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SendStats {
    retransmitted: Counter,
    report: RemoteReport,
    reported_at: Option<Instant>,
    packets_at_report: u64,
    /// Numbers of NACK messages and of packets in them.
    pub(crate) nacks: (u64, u64),
    /// Number of picture loss indications.
    pub(crate) plis: u64,
    /// Number of full intra requests.
    pub(crate) firs: u64,
    rate: RateMeter,
    sent: Counter,
    payload_bytes: u64,
    last_packet: Option<(Instant, u32)>,
    clock_rate: u32,
    pub(crate) ssrc: Ssrc,
}

/// Contents of the last receiver report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RemoteReport {
    /// Fraction lost since the previous report, in 1/256.
    pub(crate) fraction_lost: u8,
    /// Cumulative number of packets lost.
    pub(crate) packets_lost: i32,
    /// Interarrival jitter in timestamp units.
    pub(crate) jitter: u32,
    pub(crate) round_trip_time: Option<Duration>,
}

/// Contents of a sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderReportInfo {
    /// Wall clock time.
    pub(crate) ntp: NtpTime,
    /// RTP timestamp of the same instant.
    pub(crate) rtp_timestamp: u32,
    /// Number of packets sent.
    pub(crate) packet_count: u32,
    /// Number of payload bytes sent.
    pub(crate) octet_count: u32,
}

impl SendStats {
    /// Creates the statistics of a stream that has sent nothing.
    pub(crate) fn new(ssrc: Ssrc, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate,
            sent: Counter::default(),
            payload_bytes: 0,
            rate: RateMeter::new(tureen_rtc::rate::DEFAULT_RATE_WINDOW),
            retransmitted: Counter::default(),
            last_packet: None,
            report: RemoteReport::default(),
            reported_at: None,
            packets_at_report: 0,
            nacks: (0, 0),
            plis: 0,
            firs: 0,
        }
    }

    /// Records a run of `packets` packets with `bytes` in total (headers included), `payload_bytes` of payload, and the
    /// timestamp of the last packet.
    pub(crate) fn on_sent(
        &mut self,
        now: Instant,
        packets: u64,
        bytes: u64,
        payload_bytes: u64,
        timestamp: u32,
    ) {
        self.sent.packets += packets;
        self.sent.bytes += bytes;
        self.payload_bytes += payload_bytes;
        self.rate.add(now, bytes as usize);
        self.last_packet = Some((now, timestamp));
    }

    /// Records a retransmission.
    pub(crate) fn on_retransmitted(&mut self, bytes: usize) {
        self.retransmitted.add(bytes);
    }

    /// Packets and bytes sent, without retransmissions.
    pub(crate) fn sent(&self) -> Counter {
        self.sent
    }

    /// Packets and bytes retransmitted.
    pub(crate) fn retransmitted(&self) -> Counter {
        self.retransmitted
    }

    /// Timestamp of the last packet; zero before the first.
    pub(crate) fn last_timestamp(&self) -> u32 {
        self.last_packet.map_or(0, |(_, timestamp)| timestamp)
    }

    /// Bitrate in bit/s over the last 2.5 s.
    pub(crate) fn bitrate(&mut self, now: Instant) -> u64 {
        self.rate.bitrate(now).map_or(0, |rate| rate.as_bps())
    }

    /// Contents of the last receiver report.
    pub(crate) fn remote_report(&self) -> RemoteReport {
        self.report
    }

    /// Numbers of packets lost and sent since the previous call, from the last report (RFC 3550 §6.4.1).
    pub(crate) fn take_losses(&mut self) -> (u64, u64) {
        let expected = self.sent.packets - std::mem::replace(&mut self.packets_at_report, self.sent.packets);
        (expected * u64::from(self.report.fraction_lost) / 256, expected)
    }

    /// True if a report block received now is evaluated: the last evaluated one is at least `interval` old.
    pub(crate) fn admit_report(&mut self, now: Instant, interval: Duration) -> bool {
        let admitted = self.reported_at.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        if admitted {
            self.reported_at = Some(now);
        }
        admitted
    }

    /// Handles a report block about this stream; returns the round trip time if the block allows its calculation. `lsr`
    /// and `dlsr` are in units of 1/65536 s.
    pub(crate) fn on_receiver_report(
        &mut self,
        now_ntp: NtpTime,
        fraction_lost: u8,
        packets_lost: i32,
        jitter: u32,
        lsr: u32,
        dlsr: u32,
    ) -> Option<Duration> {
        self.report.fraction_lost = fraction_lost;
        self.report.packets_lost = packets_lost;
        self.report.jitter = jitter;
        // RFC 3550 §6.4.1: the round trip time is A - LSR - DLSR.
        let rtt = now_ntp.compact().wrapping_sub(lsr).wrapping_sub(dlsr);
        if lsr == 0 || rtt >= 0x8000_0000 {
            return None;
        }
        self.report.round_trip_time = Some(Duration::from_micros(u64::from(rtt) * 1_000_000 / 65536));
        self.report.round_trip_time
    }

    /// Sender report for this instant, given the capture time `captured` of the media with `timestamp`. `None` before
    /// the first packet and after a silence, because the stream may have ended.
    pub(crate) fn sender_report(
        &self,
        now: Instant,
        ntp: NtpTime,
        (captured, timestamp): (NtpTime, u32),
    ) -> Option<SenderReportInfo> {
        let (sent_at, _) = self.last_packet?;
        if now.saturating_duration_since(sent_at) > MAX_REPORTED_SILENCE {
            return None;
        }
        // The capture time is an estimate and may be later than now.
        let elapsed = i128::from(ntp.since(captured).max(0));
        let ticks = (elapsed * i128::from(self.clock_rate)) >> 32;
        Some(SenderReportInfo {
            ntp,
            rtp_timestamp: timestamp.wrapping_add(ticks as u32),
            packet_count: self.sent.packets as u32,
            octet_count: self.payload_bytes as u32,
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    #[test]
    fn round_trip_time_comes_from_the_report() {
        let mut stream = SendStats::new(Ssrc(1), 90_000);
        let sent = NtpTime::from_unix(Duration::from_millis(1_700_000_000_000));
        let back = NtpTime::from_unix(Duration::from_millis(1_700_000_000_250));
        stream.on_receiver_report(back, 3, 7, 90, sent.compact(), 65536 / 10);
        let report = stream.remote_report();
        let rtt = report.round_trip_time.expect("measured").as_millis();
        assert!((149..=151).contains(&rtt), "{rtt} ms");
        assert_eq!((report.fraction_lost, report.packets_lost, report.jitter), (3, 7, 90));
    }

    #[test]
    fn report_before_any_sender_report_measures_nothing() {
        let mut stream = SendStats::new(Ssrc(1), 90_000);
        stream.on_receiver_report(NtpTime::from_unix(Duration::from_secs(1)), 0, 0, 0, 0, 0);
        assert_eq!(stream.remote_report().round_trip_time, None);
    }

    #[test]
    fn sender_report_extrapolates_the_timestamp() {
        let start = Instant::now();
        let mut stream = SendStats::new(Ssrc(1), 48_000);
        let ntp = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
        let captured = (ntp.shifted(-(1 << 32) / 100), u32::MAX - 100);
        assert!(stream.sender_report(start, ntp, captured).is_none());
        stream.on_sent(start, 2, 240, 200, u32::MAX - 100);
        let report = stream.sender_report(start, ntp, captured).expect("sent before");
        assert_eq!(report.rtp_timestamp, 479u32.wrapping_sub(101));
        assert_eq!((report.packet_count, report.octet_count), (2, 200));
        let ahead = (ntp.shifted(1 << 32), 5);
        assert_eq!(stream.sender_report(start, ntp, ahead).expect("sent before").rtp_timestamp, 5);
        let later = start + MAX_REPORTED_SILENCE + Duration::from_millis(1);
        assert!(stream.sender_report(later, ntp, captured).is_none());
    }
}
