//! Reception statistics and receiver reports of one incoming RTP stream (mediasoup: `RtpStreamRecv`).

use std::time::{Duration, Instant};

use super::jitter::JitterEstimator;
use super::reception::{LossCounter, SeqTracker, SeqVerdict};
use super::score::ScoreTotals;
use crate::rate::{Counter, DEFAULT_RATE_WINDOW, RateMeter};
use crate::units::{Bitrate, Ssrc};
use crate::wire::rtcp::NtpTime;
use crate::wire::rtp::extension::AbsCaptureTime;

/// Rate window of a stream that uses DTX, because its packets may be seconds apart.
const DTX_RATE_WINDOW: Duration = Duration::from_millis(6000);
/// Distance from the last sender report within which its clock mapping is used (mediasoup:
/// `MaxSenderReportInterpolationMs`).
const MAX_INTERPOLATION: Duration = Duration::from_millis(10_000);
/// Distance from the last `abs-capture-time` within which it is used (mediasoup: `MaxAbsCaptureTimeInterpolationMs`).
const MAX_EXTENSION_INTERPOLATION: Duration = Duration::from_millis(5_000);
/// Time without a clock mapping after which none is expected: the sender sends no sender reports, or they are lost.
const CLOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Lifetime of the earliest arrival. It is limited because the clocks of sender and receiver drift apart.
const ARRIVAL_LIFETIME: Duration = Duration::from_secs(10);
/// Maximum round trip time accepted. A longer one means that the sender's clock was set in the meantime.
const MAX_RTT: Duration = Duration::from_secs(10);
/// Minimum round trip time reported (mediasoup and libwebrtc).
const MIN_RTT: Duration = Duration::from_millis(1);

/// Properties of a packet that the statistics use; of an RTX packet, those of the original packet in it.
#[derive(Clone, Copy, Debug)]
pub struct PacketInfo {
    /// Sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Size of the whole RTP packet in bytes.
    pub size: usize,
    /// Size of its payload without padding in bytes; zero for a padding-only packet.
    pub payload_len: usize,
}

/// One report block about an incoming stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// SSRC of the stream that the report is about.
    pub ssrc: Ssrc,
    /// Fraction of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Total number of packets lost, limited to 24 signed bits.
    pub total_lost: i32,
    /// Highest sequence number received, with the number of cycles in the upper 16 bits.
    pub extended_highest_seq: u32,
    /// Interarrival jitter in units of the clock rate.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report; zero if there was none.
    pub last_sr: u32,
    /// Time since the last sender report in 1/65536 s; zero if there was none.
    pub delay_since_last_sr: u32,
}

/// The last sender report: the relation of the sender's wall clock to its RTP clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReportTiming {
    /// NTP timestamp of the sender, 32.32 fixed point seconds.
    pub ntp: u64,
    /// RTP timestamp of the same instant.
    pub rtp_timestamp: u32,
    /// Time of arrival of the report.
    pub received_at: Instant,
}

/// Reception statistics of one incoming RTP stream.
///
/// The owner calls [`handle_packet`](Self::handle_packet) for each packet and applies its verdict, runs the NACK
/// generator with the extended sequence number of the verdict, and reports the generator's result by
/// [`on_nacked_packet`](Self::on_nacked_packet) or [`on_rtx_repaired`](Self::on_rtx_repaired).
#[derive(Debug)]
pub struct RecvStreamStats {
    ssrc: Ssrc,
    clock_rate: u32,
    seq: SeqTracker,
    loss: LossCounter,
    jitter: JitterEstimator,
    highest_timestamp: Option<(u32, Instant)>,
    /// Timestamp and arrival time of the packet with the least relative delay within `ARRIVAL_LIFETIME`.
    earliest: Option<(u32, Instant)>,
    /// Time of the last clock mapping from the sender, initially the start of the stream.
    clock_told_at: Option<Instant>,
    /// True if the NTP timestamp of the last sender report was zero.
    without_clock: bool,
    /// Media packets and packets repaired by RTX.
    transmission: Counter,
    transmission_rate: RateMeter,
    /// Media packets without those repaired by RTX, because loss is computed from these.
    media_packets: u64,
    retransmitted: u64,
    repaired: u64,
    sender_report: Option<SenderReportTiming>,
    /// RTP timestamp of the last packet with `abs-capture-time`, and its capture time by the sender's clock.
    abs_capture: Option<(u32, u64)>,
    rtt: Option<Duration>,
}

impl RecvStreamStats {
    /// Creates the statistics of a stream without packets yet. `dtx` is true if the stream uses DTX.
    pub fn new(ssrc: Ssrc, clock_rate: u32, dtx: bool) -> Self {
        Self {
            ssrc,
            clock_rate,
            seq: SeqTracker::default(),
            loss: LossCounter::default(),
            jitter: JitterEstimator::new(clock_rate),
            highest_timestamp: None,
            earliest: None,
            clock_told_at: None,
            without_clock: false,
            transmission: Counter::default(),
            transmission_rate: RateMeter::new(if dtx { DTX_RATE_WINDOW } else { DEFAULT_RATE_WINDOW }),
            media_packets: 0,
            retransmitted: 0,
            repaired: 0,
            sender_report: None,
            abs_capture: None,
            rtt: None,
        }
    }

    /// Validates and counts a packet of the stream's own SSRC. The caller drops a discarded packet.
    pub fn handle_packet(&mut self, now: Instant, packet: &PacketInfo) -> SeqVerdict {
        let verdict = self.seq.update(packet.seq);
        self.note_timestamp(now, packet, verdict);
        if verdict != SeqVerdict::Discarded {
            self.jitter.update(now, packet.timestamp);
            self.media_packets += 1;
            self.count_transmission(now, packet);
        }
        verdict
    }

    /// Validates the original packet in an RTX packet. Unless it is discarded, the caller passes it to the NACK
    /// generator next.
    pub fn handle_rtx_packet(&mut self, now: Instant, original: &PacketInfo) -> SeqVerdict {
        let verdict = self.seq.update_retransmitted(original.seq);
        self.note_timestamp(now, original, verdict);
        if verdict != SeqVerdict::Discarded {
            self.retransmitted += 1;
        }
        verdict
    }

    /// Counts a packet that was given to [`handle_rtx_packet`](Self::handle_rtx_packet) and that, by the NACK
    /// generator, repairs a loss.
    pub fn on_rtx_repaired(&mut self, now: Instant, original: &PacketInfo) {
        self.repaired += 1;
        self.count_transmission(now, original);
    }

    /// Counts a packet that was given to [`handle_packet`](Self::handle_packet) and that, by the NACK generator, was
    /// missing. The caller counts these only for streams without RTX, because with RTX such a packet was merely
    /// reordered.
    pub fn on_nacked_packet(&mut self) {
        self.retransmitted += 1;
        self.repaired += 1;
    }

    /// Continues the stream with another source under this SSRC. Reports are reset; totals continue.
    pub fn change_source(&mut self, ssrc: Ssrc) {
        self.ssrc = ssrc;
        self.seq.change_source();
        self.loss = LossCounter::default();
        self.media_packets = 0;
        self.jitter.reset();
        (self.sender_report, self.abs_capture) = (None, None);
        (self.earliest, self.clock_told_at, self.without_clock) = (None, None, false);
    }

    /// Handles a sender report; `ntp` is in 32.32 fixed point seconds.
    ///
    /// RFC 3550 §6.4.1: a sender without a wall clock may set the NTP timestamp to zero; such a report contains no
    /// clock mapping.
    pub fn handle_sender_report(&mut self, now: Instant, ntp: u64, rtp_timestamp: u32) {
        self.without_clock = ntp == 0;
        if ntp != 0 {
            self.sender_report = Some(SenderReportTiming { ntp, rtp_timestamp, received_at: now });
            self.clock_told_at = Some(now);
        }
    }

    /// True if no sender report with a clock mapping is to be expected.
    pub fn lacks_clock(&self) -> bool {
        let Some((_, newest)) = self.highest_timestamp else { return false };
        let since = self.clock_told_at.map(|at| newest.saturating_duration_since(at));
        self.without_clock || since.is_some_and(|since| since >= CLOCK_PATIENCE)
    }

    /// Handles `abs-capture-time` of a packet with this timestamp. A time of zero is ignored.
    pub fn handle_abs_capture_time(&mut self, rtp_timestamp: u32, time: AbsCaptureTime) {
        if time.timestamp != NtpTime(0) {
            // The offset is added to the sender's clock to get the capturer's, so subtracting it gives the sender's.
            let captured = time.timestamp.shifted(time.estimated_clock_offset.unwrap_or(0).wrapping_neg());
            self.abs_capture = Some((rtp_timestamp, captured.0));
        }
    }

    /// Handles the DLRR item about this receiver in an extended report (RFC 3611 §4.5) and returns the round trip time,
    /// at least 1 ms. A round trip time of more than 10 s is ignored.
    ///
    /// `compact_ntp` is the middle 32 bits of the local NTP clock, which is also the clock of the receiver reference
    /// times, when the report arrived; `last_rr` and `delay_since_last_rr` are those of the item. Returns `None` if the
    /// sender has received no reference time.
    pub fn handle_dlrr(
        &mut self,
        compact_ntp: u32,
        last_rr: u32,
        delay_since_last_rr: u32,
    ) -> Option<Duration> {
        if last_rr == 0 {
            return None;
        }
        let rtt = compact_ntp_interval(compact_ntp.wrapping_sub(delay_since_last_rr).wrapping_sub(last_rr));
        if rtt > MAX_RTT {
            return None;
        }
        self.rtt = Some(rtt.max(MIN_RTT));
        self.rtt
    }

    /// Closes the interval since the last report and returns its report block.
    ///
    /// `worst_remote_fraction_lost` is the highest fraction lost that a Consumer reports; zero unless the stream uses
    /// in-band FEC.
    pub fn report(&mut self, now: Instant, worst_remote_fraction_lost: u8) -> ReportBlock {
        let loss = self.loss.report(self.seq.expected(), self.media_packets, worst_remote_fraction_lost);
        let (last_sr, delay_since_last_sr) = sender_report_echo(self.sender_report.as_ref(), now);
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: loss.fraction_lost,
            total_lost: loss.total_lost,
            extended_highest_seq: self.seq.extended_highest(),
            jitter: self.jitter.jitter(),
            last_sr,
            delay_since_last_sr,
        }
    }

    /// Resets the jitter because the stream is paused.
    pub fn pause(&mut self) {
        self.jitter.reset();
    }

    /// Wall clock time of the sender at `rtp_timestamp` (32.32 fixed point NTP seconds), by its last sender report.
    /// `None` without a report, or more than 10 s from it.
    pub fn capture_ntp(&self, rtp_timestamp: u32) -> Option<u64> {
        let SenderReportTiming { ntp, rtp_timestamp: reported, .. } = self.sender_report?;
        self.interpolate((reported, ntp), rtp_timestamp, MAX_INTERPOLATION)
    }

    /// As [`capture_ntp`](Self::capture_ntp), by the last `abs-capture-time`. `None` more than 5 s from it.
    pub fn capture_ntp_by_extension(&self, rtp_timestamp: u32) -> Option<u64> {
        self.interpolate(self.abs_capture?, rtp_timestamp, MAX_EXTENSION_INTERPOLATION)
    }

    /// Wall clock time at `rtp_timestamp`, extrapolated from a known one at most `max` away.
    fn interpolate(&self, (known, ntp): (u32, u64), rtp_timestamp: u32, max: Duration) -> Option<u64> {
        if self.clock_rate == 0 {
            return None;
        }
        let clock_rate = i64::from(self.clock_rate);
        let distance = i64::from(rtp_timestamp.wrapping_sub(known) as i32);
        if distance.abs() * 1000 > max.as_millis() as i64 * clock_rate {
            return None;
        }
        ntp.checked_add_signed((distance << 32) / clock_rate)
    }

    /// The last sender report.
    pub fn sender_report(&self) -> Option<&SenderReportTiming> {
        self.sender_report.as_ref()
    }

    /// Running totals from which the score is computed.
    pub fn score_totals(&self) -> ScoreTotals {
        ScoreTotals {
            expected: self.seq.expected(),
            received: self.media_packets,
            repaired: self.repaired,
            retransmitted: self.retransmitted,
        }
    }

    /// The stream's SSRC.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The RTP clock rate in Hz.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// Packets and bytes of media and repaired packets. A padding-only packet counts as a packet without bytes.
    pub fn transmission(&self) -> Counter {
        self.transmission
    }

    /// Bitrate of media and repaired packets; zero if there is no measurement.
    pub fn bitrate(&mut self, now: Instant) -> Bitrate {
        self.transmission_rate.bitrate(now).unwrap_or(Bitrate::ZERO)
    }

    /// Number of packets lost by the last report of this receiver.
    pub fn packets_lost(&self) -> u64 {
        self.loss.lost()
    }

    /// Fraction of packets lost in the interval of the last report of this receiver, in 1/256.
    pub fn fraction_lost(&self) -> u8 {
        self.loss.fraction_lost()
    }

    /// Number of packets dropped because of their sequence number.
    pub fn packets_discarded(&self) -> u64 {
        self.seq.discarded()
    }

    /// Number of packets that were received again or after their NACK.
    pub fn packets_retransmitted(&self) -> u64 {
        self.retransmitted
    }

    /// Number of missing packets received later.
    pub fn packets_repaired(&self) -> u64 {
        self.repaired
    }

    /// Interarrival jitter in units of the clock rate.
    pub fn jitter(&self) -> u32 {
        self.jitter.jitter()
    }

    /// Round trip time to the sender, by its last DLRR item.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Newest RTP timestamp and the time of its first packet.
    pub fn highest_timestamp(&self) -> Option<(u32, Instant)> {
        self.highest_timestamp
    }

    /// Timestamp and arrival time of the recent packet with the least relative delay, used to compare the streams of a
    /// sender.
    pub fn earliest_arrival(&self) -> Option<(u32, Instant)> {
        self.earliest
    }

    fn note_arrival(&mut self, now: Instant, timestamp: u32) {
        let is_earliest = match self.earliest {
            Some((at_timestamp, at)) if now.saturating_duration_since(at) < ARRIVAL_LIFETIME => {
                let ticks = timestamp.wrapping_sub(at_timestamp).cast_signed();
                let passed = now.saturating_duration_since(at).as_micros() as i64;
                i64::from(ticks) * 1_000_000 >= passed * i64::from(self.clock_rate)
            }
            _ => true,
        };
        if is_earliest {
            self.earliest = Some((timestamp, now));
        }
    }

    fn note_timestamp(&mut self, now: Instant, packet: &PacketInfo, verdict: SeqVerdict) {
        let Some(seq) = verdict.accepted() else { return };
        let newer = match self.highest_timestamp {
            None => true,
            Some((highest, _)) => {
                let ahead = packet.timestamp.wrapping_sub(highest) as i32;
                // The newest packet is used even if its timestamp is behind, because after a long pause it may be.
                ahead > 0 || (ahead < 0 && self.seq.is_highest(seq))
            }
        };
        if newer {
            self.highest_timestamp = Some((packet.timestamp, now));
            self.clock_told_at.get_or_insert(now);
            self.note_arrival(now, packet.timestamp);
        }
    }

    fn count_transmission(&mut self, now: Instant, packet: &PacketInfo) {
        let size = if packet.payload_len == 0 { 0 } else { packet.size };
        self.transmission.add(size);
        if size > 0 {
            self.transmission_rate.add(now, size);
        }
    }
}

/// LSR and DLSR of a report block (RFC 3550 §6.4.1).
pub(super) fn sender_report_echo(report: Option<&SenderReportTiming>, now: Instant) -> (u32, u32) {
    let Some(report) = report else { return (0, 0) };
    let delay = now.saturating_duration_since(report.received_at);
    let delay = (delay.as_micros() << 16) / 1_000_000;
    ((report.ntp >> 16) as u32, u32::try_from(delay).unwrap_or(u32::MAX))
}

/// Converts a difference of two compact NTP timestamps. A negative one, from clocks that disagree, counts as zero.
fn compact_ntp_interval(interval: u32) -> Duration {
    if interval > 1 << 31 {
        return Duration::ZERO;
    }
    Duration::from_micros((u64::from(interval) * 1_000_000 + (1 << 15)) >> 16)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn stream() -> RecvStreamStats {
        RecvStreamStats::new(Ssrc(7), 90_000, false)
    }

    fn packet(seq: u16, timestamp: u32) -> PacketInfo {
        PacketInfo { seq, timestamp, size: 1000, payload_len: 980 }
    }

    #[test]
    fn report_before_the_first_packet_is_all_zero() {
        let block = stream().report(Instant::now(), 0);
        assert_eq!((block.ssrc, block.extended_highest_seq, block.total_lost), (Ssrc(7), 0, 0));
        assert_eq!((block.last_sr, block.delay_since_last_sr), (0, 0));
    }

    #[test]
    fn report_names_loss_and_highest_number() {
        let t0 = Instant::now();
        let mut stream = stream();
        for seq in [65_533, 65_535, 0, 1] {
            stream.handle_packet(t0, &packet(seq, 0));
        }
        let block = stream.report(t0, 0);
        assert_eq!((block.fraction_lost, block.total_lost), (51, 1));
        assert_eq!(block.extended_highest_seq, 0x1_0001);
    }

    #[test]
    fn rtx_does_not_hide_loss_but_counts_as_transmission() {
        let t0 = Instant::now();
        let mut stream = stream();
        stream.handle_packet(t0, &packet(1, 0));
        stream.handle_packet(t0, &packet(3, 0));
        assert_eq!(stream.handle_rtx_packet(t0, &packet(2, 0)), SeqVerdict::Accepted(0x1_0002));
        stream.on_rtx_repaired(t0, &packet(2, 0));
        assert_eq!(stream.handle_rtx_packet(t0, &packet(2, 0)), SeqVerdict::Accepted(0x1_0002));
        assert_eq!(stream.report(t0, 0).total_lost, 1);
        assert_eq!((stream.packets_retransmitted(), stream.packets_repaired()), (2, 1));
        assert_eq!(stream.transmission(), Counter { packets: 3, bytes: 3000 });
    }

    #[test]
    fn discarded_packet_changes_only_its_own_counter() {
        let t0 = Instant::now();
        let mut stream = stream();
        stream.handle_packet(t0, &packet(1, 0));
        assert_eq!(stream.handle_packet(t0, &packet(20_000, 5)), SeqVerdict::Discarded);
        assert_eq!(stream.handle_rtx_packet(t0, &packet(30_000, 5)), SeqVerdict::Discarded);
        assert_eq!(stream.packets_discarded(), 2);
        assert_eq!(stream.packets_retransmitted(), 0);
        assert_eq!(stream.transmission().packets, 1);
        assert_eq!(stream.highest_timestamp(), Some((0, t0)));
    }

    #[test]
    fn restart_of_the_sender_does_not_make_loss() {
        let t0 = Instant::now();
        let mut stream = stream();
        for seq in 100..200 {
            stream.handle_packet(t0, &packet(seq, 0));
        }
        stream.report(t0, 0);
        for seq in 50_000..50_100 {
            stream.handle_packet(t0, &packet(seq, 0));
        }
        let block = stream.report(t0, 0);
        assert_eq!((block.fraction_lost, block.total_lost), (0, 0));
        assert_eq!(block.extended_highest_seq, 50_099);
    }

    #[test]
    fn sender_report_is_echoed_with_its_age() {
        let t0 = Instant::now();
        let mut stream = stream();
        stream.handle_sender_report(t0, 0x1122_3344_5566_7788, 1000);
        stream.handle_sender_report(t0 + ms(100), 0, 5);
        let block = stream.report(t0 + ms(1500), 0);
        assert_eq!(block.last_sr, 0x3344_5566);
        assert_eq!(block.delay_since_last_sr, 0x1_8000);
        let block = stream.report(t0 + Duration::from_secs(100_000), 0);
        assert_eq!(block.delay_since_last_sr, u32::MAX, "saturates");
    }

    #[test]
    fn rtp_timestamps_map_to_the_senders_clock() {
        let t0 = Instant::now();
        let mut stream = stream();
        assert_eq!(stream.capture_ntp(0), None);
        stream.handle_sender_report(t0, 1000 << 32, u32::MAX - 44_999);
        assert_eq!(
            stream.capture_ntp(0),
            Some((1000 << 32) + (1 << 31)),
            "half a second later, across the wrap"
        );
        assert_eq!(stream.capture_ntp(u32::MAX - 89_999), Some((1000 << 32) - (1 << 31)));
        assert_eq!(stream.capture_ntp(900_000), None, "more than 10 s away");
        stream.handle_sender_report(t0, 1, 90_000);
        assert_eq!(stream.capture_ntp(0), None, "before the beginning of time");
    }

    #[test]
    fn sender_without_a_clock_is_not_waited_for() {
        let t0 = Instant::now();
        let mut stream = stream();
        assert!(!stream.lacks_clock());
        for seq in 0..60u16 {
            stream.handle_packet(t0 + ms(100) * seq.into(), &packet(seq, u32::from(seq) * 9000));
            assert_eq!(stream.lacks_clock(), seq >= 50);
        }
        stream.handle_sender_report(t0 + ms(6000), 7 << 32, 0);
        assert!(!stream.lacks_clock());
        stream.handle_sender_report(t0 + ms(6000), 0, 0);
        assert!(stream.lacks_clock());
    }

    #[test]
    fn arrival_times_are_based_on_the_earliest_packet() {
        let t0 = Instant::now();
        let mut stream = stream();
        for (seq, delay) in [(0, 50), (1, 20), (2, 90), (3, 20), (4, 60)] {
            let at = t0 + ms(100) * seq + ms(delay);
            stream.handle_packet(at, &packet(seq as u16, seq * 9000));
        }
        assert_eq!(stream.earliest_arrival(), Some((27_000, t0 + ms(320))));
        stream.handle_packet(t0 + ms(11_000), &packet(5, 45_000));
        assert_eq!(stream.earliest_arrival(), Some((45_000, t0 + ms(11_000))));
    }

    #[test]
    fn capture_time_of_the_extension_is_the_senders() {
        let mut stream = stream();
        assert_eq!(stream.capture_ntp_by_extension(0), None);
        let time = |seconds: u64, offset| AbsCaptureTime {
            timestamp: NtpTime(seconds << 32),
            estimated_clock_offset: offset,
        };
        stream.handle_abs_capture_time(90_000, time(1000, None));
        stream.handle_abs_capture_time(0, time(0, None));
        assert_eq!(stream.capture_ntp_by_extension(180_000), Some(1001 << 32));
        assert_eq!(stream.capture_ntp_by_extension(90_000 * 7), None, "more than 5 s away");
        stream.handle_abs_capture_time(90_000, time(1000, Some(3 << 32)));
        assert_eq!(stream.capture_ntp_by_extension(90_000), Some(997 << 32), "captured elsewhere");
        assert_eq!(stream.capture_ntp(90_000), None, "no report yet");
    }

    #[test]
    fn round_trip_time_comes_from_dlrr() {
        let mut stream = stream();
        assert_eq!(stream.handle_dlrr(0x1_0000, 0, 0), None);
        assert_eq!(
            stream.handle_dlrr(0x0000_2000, 0xffff_0000, 0x0001_0000),
            Some(ms(125)),
            "across the wrap"
        );
        assert_eq!(stream.handle_dlrr(0x1_0000, 0x1_0000, 0x100), Some(ms(1)), "clocks that disagree");
        assert_eq!(stream.handle_dlrr(0x000b_0000, 0x1_0000, 0), Some(ms(10_000)));
        assert_eq!(stream.handle_dlrr(0x000b_1000, 0x1_0000, 0), None, "a clock that was set");
        assert_eq!(stream.handle_dlrr(0x1_0000, 0x1_0000, 0x100), Some(ms(1)));
        assert_eq!(stream.rtt(), Some(ms(1)));
    }

    #[test]
    fn padding_only_packets_are_no_bitrate() {
        let t0 = Instant::now();
        let mut stream = stream();
        for i in 0..20 {
            let padding = PacketInfo { seq: i, timestamp: 0, size: 255, payload_len: 0 };
            stream.handle_packet(t0 + ms(u64::from(i)), &padding);
        }
        assert_eq!(stream.transmission(), Counter { packets: 20, bytes: 0 });
        assert_eq!(stream.bitrate(t0 + ms(50)), Bitrate::ZERO);
        assert_eq!(stream.report(t0, 0).total_lost, 0);
    }

    #[test]
    fn newest_timestamp_follows_the_newest_packet() {
        let t0 = Instant::now();
        let mut stream = stream();
        stream.handle_packet(t0, &packet(1, 5000));
        stream.handle_packet(t0 + ms(1), &packet(2, 5000));
        assert_eq!(stream.highest_timestamp(), Some((5000, t0)));
        stream.handle_packet(t0 + ms(2), &packet(0, 4000));
        assert_eq!(stream.highest_timestamp(), Some((5000, t0)), "reordered");
        stream.handle_packet(t0 + ms(3), &packet(3, 100));
        assert_eq!(stream.highest_timestamp(), Some((100, t0 + ms(3))), "the sender's clock was set back");
    }
}
