//! Capture time of media: offsets of the remote senders' wall clocks from the local one.
//!
//! A packet arrives some time after its media was captured, later for video than for audio, because encoders and pacers
//! delay video longer. Sender reports with arrival times would pass that difference on to receivers, which synchronise
//! audio and video by the reports. Local sender reports therefore contain the capture time, from the sender's reports
//! or `abs-capture-time`, converted from the sender's clock.

use std::time::{Duration, Instant};

use hashbrown::HashMap;

use tureen_rtc::receive::recv_stream::RecvStreamStats;
use tureen_rtc::wire::rtcp::NtpTime;
use tureen_rtc::wire::rtp::extension::AbsCaptureTime;

/// Number of sender reports for the median (mediasoup `WindowSize`).
const SAMPLES: usize = 7;

/// Minimum number of sender reports for a known clock (mediasoup `MinSampleCount`).
const MIN_SAMPLES: usize = 3;

/// Time without the negotiated `abs-capture-time` after which a sender's reports are used instead (mediasoup
/// `AbsCaptureTimeTimeoutMs`).
const EXTENSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Wall clock of one remote sender, shared by all streams with its CNAME (mediasoup `RemoteCaptureTimeEstimator`).
#[derive(Debug)]
pub(crate) struct CaptureClock {
    /// Local clock minus the sender's clock at its last reports: 32.32 fixed point seconds, unordered.
    samples: [i64; SAMPLES],
    taken: usize,
    last_report: Option<Instant>,
    /// Median of the samples.
    offset: Option<i64>,
    source: Source,
}

/// Source of capture times: the same for all streams of a sender, because the sources differ in precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// `abs-capture-time` was negotiated but not received yet; contains the time of the first sender report.
    ExtensionAwaited(Option<Instant>),
    Extension,
    SenderReports,
}

impl CaptureClock {
    /// Creates an unknown clock.
    fn new() -> Self {
        Self {
            samples: [0; SAMPLES],
            taken: 0,
            last_report: None,
            offset: None,
            source: Source::ExtensionAwaited(None),
        }
    }

    /// Uses sender reports from now on, because a Producer of this sender did not negotiate `abs-capture-time`.
    fn use_sender_reports(&mut self) {
        self.source = Source::SenderReports;
    }

    /// Handles a sender report of one of the sender's streams; `ntp_now` is the local clock.
    pub(crate) fn on_sender_report(&mut self, now: Instant, ntp_now: NtpTime, stream: &RecvStreamStats) {
        let Some(report) = stream.sender_report() else { return };
        if let Source::ExtensionAwaited(since) = &mut self.source {
            let since = *since.get_or_insert(now);
            if now.saturating_duration_since(since) >= EXTENSION_TIMEOUT {
                self.source = Source::SenderReports;
            }
        }
        // The reports of one compound packet count as one sample, because they had the same transit time.
        if self.last_report.replace(now) == Some(now) {
            return;
        }
        let one_way = to_fixed(stream.rtt().unwrap_or_default() / 2);
        self.samples[self.taken % SAMPLES] = ntp_now.since(NtpTime(report.ntp)).wrapping_sub(one_way);
        self.taken += 1;
        if self.taken >= MIN_SAMPLES {
            let mut samples = self.samples;
            let samples = &mut samples[..self.taken.min(SAMPLES)];
            let middle = samples.len() / 2;
            self.offset = Some(*samples.select_nth_unstable(middle).1);
        }
    }

    /// Capture time, by the local clock, of the media with this RTP timestamp. `None` if unknown.
    pub(crate) fn captured_at(&self, stream: &RecvStreamStats, rtp_timestamp: u32) -> Option<NtpTime> {
        let captured = match self.source {
            Source::SenderReports => stream.capture_ntp(rtp_timestamp),
            Source::Extension | Source::ExtensionAwaited(_) => stream.capture_ntp_by_extension(rtp_timestamp),
        };
        Some(NtpTime(captured?).shifted(self.offset?))
    }

    /// `abs-capture-time` to forward, in the extended form: the offset is the one between the capturer's clock and the
    /// local clock. An unknown sender's clock is assumed to equal the local clock (as mediasoup). `None` if the offset
    /// is out of range.
    pub(crate) fn forwarded(&mut self, received: AbsCaptureTime) -> Option<AbsCaptureTime> {
        if matches!(self.source, Source::ExtensionAwaited(_)) {
            self.source = Source::Extension;
        }
        let offset = received.estimated_clock_offset.unwrap_or(0).checked_sub(self.offset.unwrap_or(0))?;
        Some(AbsCaptureTime { estimated_clock_offset: Some(offset), ..received })
    }
}

/// Clocks of all senders on a transport, by CNAME.
#[derive(Debug, Default)]
pub(crate) struct CaptureClocks(HashMap<Box<str>, CaptureClock>);

impl CaptureClocks {
    /// Adds the CNAME of a Producer; `extension` is true if the Producer negotiated `abs-capture-time`.
    pub(crate) fn add(&mut self, cname: &str, extension: bool) {
        let clock = self.0.entry_ref(cname).or_insert_with(CaptureClock::new);
        if !extension {
            clock.use_sender_reports();
        }
    }

    /// Removes a CNAME, after its last Producer was closed.
    pub(crate) fn remove(&mut self, cname: &str) {
        self.0.remove(cname);
    }

    /// Clock of the sender with this CNAME.
    pub(crate) fn get(&self, cname: &str) -> Option<&CaptureClock> {
        self.0.get(cname)
    }

    /// Like [`get`](Self::get), mutable.
    pub(crate) fn get_mut(&mut self, cname: &str) -> Option<&mut CaptureClock> {
        self.0.get_mut(cname)
    }
}

/// Converts to 32.32 fixed point seconds.
fn to_fixed(duration: Duration) -> i64 {
    i64::try_from((duration.as_nanos() << 32) / 1_000_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;
    use tureen_rtc::units::Ssrc;

    const SECOND: i64 = 1 << 32;

    /// Clock of a sender 1000 s ahead of the local one, after reports with these transit times in ms.
    fn clock_after(extension: bool, delays: &[u64]) -> (CaptureClock, RecvStreamStats, Instant) {
        let start = Instant::now();
        let mut clocks = CaptureClocks::default();
        clocks.add("sender", extension);
        let mut clock = clocks.0.remove("sender").expect("just added");
        let mut stream = RecvStreamStats::new(Ssrc(1), 90_000, false);
        for (number, delay) in (0u64..).zip(delays) {
            let sent = NtpTime(number << 32);
            let now = start + Duration::from_secs(number) + Duration::from_millis(*delay);
            stream.handle_sender_report(now, sent.shifted(1000 * SECOND).0, number as u32 * 90_000);
            let ntp_now = sent.shifted(to_fixed(Duration::from_millis(*delay)));
            clock.on_sender_report(now, ntp_now, &stream);
        }
        (clock, stream, start)
    }

    fn assert_close(a: Option<NtpTime>, b: Duration) {
        let off = a.expect("known").since(NtpTime(to_fixed(b) as u64));
        assert!(off.abs() < SECOND / 1_000_000, "{off}");
    }

    #[test]
    fn clock_is_known_after_three_reports_and_ignores_a_late_one() {
        let (clock, stream, _) = clock_after(false, &[20, 20]);
        assert_eq!(clock.captured_at(&stream, 90_000), None);
        let (clock, stream, _) = clock_after(false, &[20, 900, 20, 20, 700]);
        assert_close(clock.captured_at(&stream, 90_000 * 3), Duration::from_millis(3020));
    }

    #[test]
    fn only_the_last_seven_reports_count() {
        let mut delays = vec![20; 4];
        delays.extend([100; 4]);
        let (clock, stream, _) = clock_after(false, &delays);
        assert_close(clock.captured_at(&stream, 90_000 * 7), Duration::from_millis(7100));
    }

    #[test]
    fn half_of_the_round_trip_is_subtracted() {
        let (mut clock, mut stream, start) = clock_after(false, &[25]);
        stream.handle_dlrr(0x1_0000, 0x1_0000 - 65_536 / 20, 1);
        for number in 1..4 {
            let sent = NtpTime(number << 32);
            let now = start + Duration::from_secs(number);
            stream.handle_sender_report(now, sent.shifted(1000 * SECOND).0, number as u32 * 90_000);
            clock.on_sender_report(now, sent.shifted(SECOND / 40), &stream);
        }
        let off = clock.captured_at(&stream, 90_000).expect("known").since(NtpTime(1 << 32));
        assert!(off.abs() < SECOND / 2000, "{off}");
    }

    #[test]
    fn reports_of_one_compound_packet_are_one_sample() {
        let (mut clock, stream, start) = clock_after(false, &[20]);
        for _ in 0..5 {
            clock.on_sender_report(start + Duration::from_millis(20), NtpTime(0), &stream);
        }
        assert_eq!(clock.taken, 1);
    }

    #[test]
    fn extension_is_forwarded_with_the_offset_to_the_engines_clock() {
        let received = AbsCaptureTime { timestamp: NtpTime(7 << 32), estimated_clock_offset: None };
        let (mut clock, ..) = clock_after(true, &[]);
        let forwarded = clock.forwarded(received).expect("fits");
        assert_eq!((forwarded.timestamp, forwarded.estimated_clock_offset), (received.timestamp, Some(0)));
        let (mut clock, ..) = clock_after(true, &[0; 3]);
        let offset = |clock: &mut CaptureClock, estimated_clock_offset| {
            let received = AbsCaptureTime { estimated_clock_offset, ..received };
            clock.forwarded(received).map(|forwarded| forwarded.estimated_clock_offset)
        };
        // capturer = sender + 5 s = local + 1000 s + 5 s
        assert_eq!(offset(&mut clock, Some(5 * SECOND)), Some(Some(1005 * SECOND)));
        assert_eq!(offset(&mut clock, Some(i64::MAX)), None, "can't be expressed");
    }

    #[test]
    fn extension_gives_the_capture_time_unless_one_producer_lacks_it() {
        let mut clocks = CaptureClocks::default();
        clocks.add("a", true);
        let (_, mut stream, start) = clock_after(true, &[0; 3]);
        let received = AbsCaptureTime { timestamp: NtpTime(1000 << 32), estimated_clock_offset: None };
        stream.handle_abs_capture_time(90_000 * 2, received);
        let clock = clocks.get_mut("a").expect("added");
        clock.forwarded(received);
        for number in 0..10 {
            clock.on_sender_report(start + Duration::from_secs(number), NtpTime(2 << 32), &stream);
        }
        let by_extension = clock.captured_at(&stream, 90_000 * 2).expect("known");
        clocks.add("a", false);
        let by_reports = clocks.get("a").expect("added").captured_at(&stream, 90_000 * 2).expect("known");
        assert_eq!(by_reports.since(by_extension), 2 * SECOND);
        clocks.add("a", true);
        assert_eq!(clocks.get("a").expect("added").captured_at(&stream, 90_000 * 2), Some(by_reports));
        clocks.remove("a");
        assert!(clocks.get("a").is_none());
    }

    #[test]
    fn extension_that_never_arrives_is_not_waited_for() {
        let (clock, stream, _) = clock_after(true, &[0; 5]);
        assert_eq!(clock.captured_at(&stream, 90_000), None);
        let (clock, stream, _) = clock_after(true, &[0; 6]);
        assert_close(clock.captured_at(&stream, 90_000), Duration::from_secs(1));
    }
}
