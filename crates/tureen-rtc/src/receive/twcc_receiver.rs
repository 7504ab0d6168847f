//! Transport-wide congestion control feedback about what this transport receives
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01; mediasoup: `TransportWideCcFeedbackGenerator`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::seq::SeqExtender;
use crate::units::Bitrate;

/// Resolution of arrival times in a feedback, in microseconds.
const DELTA_TICK_US: u64 = 250;
/// Resolution of a feedback's reference time, in microseconds.
const REFERENCE_TICK_US: u64 = 64_000;

/// Interval of feedback before a bitrate is known.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);
const MIN_INTERVAL: Duration = Duration::from_millis(50);
const MAX_INTERVAL: Duration = Duration::from_millis(250);
/// Bits of an average feedback packet: IPv4 20, UDP 8, SRTP 10 bytes and a report of 30.
const FEEDBACK_BITS: u64 = (20 + 8 + 10 + 30) * 8;
/// Share of the incoming bitrate that feedback may take, as a divisor (5 %).
const BITRATE_SHARE: u64 = 20;

/// Time for which reported arrivals are kept. A late packet repeats the report of those after it.
const ARRIVAL_WINDOW: Duration = Duration::from_millis(500);
/// Most arrivals kept.
const MAX_ARRIVALS: usize = 8192;
/// Unreported arrivals that trigger a report before the interval ends.
const MAX_UNREPORTED: u32 = 1000;
/// Longest run of missing packets in a report: the size of one run length chunk.
const MAX_GAP: u64 = (1 << 13) - 1;
/// Most packets in one feedback, missing ones included.
const MAX_STATUSES: u64 = 1 << 14;

/// Bound of a serialised feedback in bytes, headers included.
const MAX_FEEDBACK_SIZE: usize = 1200;
/// RTCP header, two SSRCs and the fixed part of the feedback control information.
const FEEDBACK_HEADER_SIZE: usize = 20;
/// Shortest run of missing packets that is written as a run length chunk.
const RUN_LENGTH_THRESHOLD: u64 = 14;

/// One feedback message, ready to be serialised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportFeedback {
    /// Sequence number of the first status.
    pub base_seq: u16,
    /// Reference time in units of 64 ms, 24 bits.
    pub reference_time: u32,
    /// Count of feedback messages sent before, modulo 256.
    pub feedback_count: u8,
    /// For each packet from `base_seq` on: when it arrived after the one received before it (the first: after
    /// the reference time), in units of 250 µs, or `None` if it did not arrive. The last status is never
    /// `None`.
    pub statuses: Vec<Option<i16>>,
}

/// Records arrivals of packets with a transport-wide sequence number, and reports them to their sender.
///
/// Each message fits 1200 bytes if its writer packs statuses seven to a chunk, two bits each, and runs of 14 or more
/// missing packets into run length chunks (or better). A packet that arrives after its number was reported as missing
/// makes the next message start again at it.
///
/// After [`handle_packet`](Self::handle_packet) and [`handle_timeout`](Self::handle_timeout) the caller drains
/// [`poll_feedback`](Self::poll_feedback), then asks [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct TwccReceiver {
    /// Origin of reference times: the first packet.
    epoch: Option<Instant>,
    extender: SeqExtender,
    /// Sorted by sequence number.
    arrivals: VecDeque<Arrival>,
    /// Arrivals below it were dropped and can no longer be reported.
    floor: u64,
    /// The next feedback starts here.
    next: Option<u64>,
    unreported: u32,
    interval: Duration,
    timer: Option<Instant>,
    reporting: bool,
    feedback_count: u8,
    /// Reused, so that reporting does not allocate.
    feedback: TransportFeedback,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    seq: u64,
    at_us: u64,
}

impl Default for TwccReceiver {
    fn default() -> Self {
        Self::new()
    }
}

impl TwccReceiver {
    /// A receiver without packets, which reports every 100 ms.
    pub fn new() -> Self {
        Self {
            epoch: None,
            extender: SeqExtender::new(),
            arrivals: VecDeque::new(),
            floor: 0,
            next: None,
            unreported: 0,
            interval: DEFAULT_INTERVAL,
            timer: None,
            reporting: false,
            feedback_count: 0,
            feedback: TransportFeedback::default(),
        }
    }

    /// Records a packet. Only the first of duplicates counts.
    pub fn handle_packet(&mut self, now: Instant, wide_seq: u16) {
        let epoch = *self.epoch.get_or_insert(now);
        let at_us = now.saturating_duration_since(epoch).as_micros() as u64;
        let seq = self.extender.extend(wide_seq);
        let highest = self.extender.highest().unwrap_or(seq);
        self.forget_old(at_us);
        if seq < self.floor || seq + MAX_GAP < highest {
            return;
        }
        let Err(index) = self.arrivals.binary_search_by_key(&seq, |arrival| arrival.seq) else {
            return;
        };
        self.arrivals.insert(index, Arrival { seq, at_us });
        if self.arrivals.len() > MAX_ARRIVALS {
            self.forget_oldest();
        }
        self.next = Some(self.next.map_or(seq, |next| next.min(seq)).max(self.floor));

        self.unreported += 1;
        self.reporting |= self.unreported >= MAX_UNREPORTED;
        self.timer.get_or_insert(now + self.interval);
    }

    /// Adapts the feedback interval to the incoming bitrate: feedback takes 5 % of it, within 50 to 250 ms. Takes
    /// effect after the next feedback.
    pub fn set_incoming_bitrate(&mut self, bitrate: Bitrate) {
        let feedback_bps = bitrate.as_bps() / BITRATE_SHARE;
        self.interval = match (FEEDBACK_BITS * 1000).checked_div(feedback_bps) {
            None => MAX_INTERVAL,
            Some(millis) => Duration::from_millis(millis).clamp(MIN_INTERVAL, MAX_INTERVAL),
        };
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` while there is nothing to report.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Starts a report, if due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.reporting |= self.timer.is_some_and(|timer| timer <= now);
    }

    /// The next message to send; call until it returns `None`.
    pub fn poll_feedback(&mut self) -> Option<&TransportFeedback> {
        if !self.reporting {
            return None;
        }
        let start = self.arrivals.partition_point(|arrival| Some(arrival.seq) < self.next);
        let Some(first) = self.arrivals.get(start) else {
            self.reporting = false;
            self.unreported = 0;
            self.timer = None;
            return None;
        };
        let base = self.next.unwrap_or(first.seq).max(first.seq.saturating_sub(MAX_GAP));
        let reference_time = first.at_us / REFERENCE_TICK_US;
        let mut builder = Builder::new(&mut self.feedback.statuses, base, reference_time * REFERENCE_TICK_US);
        // An empty message takes any first packet: it is at most MAX_GAP away and less than a reference tick
        // late.
        let fitting = self.arrivals.iter().skip(start).take_while(|arrival| builder.add(arrival)).count();
        debug_assert!(fitting > 0);
        self.next = Some(builder.next);

        self.feedback.base_seq = base as u16;
        self.feedback.reference_time = (reference_time & 0xff_ffff) as u32;
        self.feedback.feedback_count = self.feedback_count;
        self.feedback_count = self.feedback_count.wrapping_add(1);
        Some(&self.feedback)
    }

    /// Drops reported arrivals older than the window; none while arrivals are unreported.
    fn forget_old(&mut self, now_us: u64) {
        let expiry = now_us.saturating_sub(ARRIVAL_WINDOW.as_micros() as u64);
        if self.unreported > 0 {
            return;
        }
        while self.arrivals.front().is_some_and(|oldest| oldest.at_us < expiry) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.arrivals.pop_front() {
            self.floor = oldest.seq + 1;
        }
    }
}

/// Fills the statuses of one feedback message within its limits.
struct Builder<'a> {
    statuses: &'a mut Vec<Option<i16>>,
    /// Sequence number after the last status.
    next: u64,
    /// Arrival of the last packet as the sender will compute it.
    latest_us: u64,
    /// Statuses that go into two-bit vector chunks.
    in_vectors: usize,
    /// Bytes of run length chunks and deltas.
    other_bytes: usize,
}

impl<'a> Builder<'a> {
    fn new(statuses: &'a mut Vec<Option<i16>>, base: u64, reference_us: u64) -> Self {
        statuses.clear();
        Self { statuses, next: base, latest_us: reference_us, in_vectors: 0, other_bytes: 0 }
    }

    /// Adds a packet unless it lies too far from the one before, in number or time, or there is no room.
    fn add(&mut self, arrival: &Arrival) -> bool {
        let gap = arrival.seq - self.next;
        // Relative to the rounded time of the packet before, so that rounding errors do not add up.
        let elapsed_us = arrival.at_us as i64 - self.latest_us as i64;
        let Ok(delta) = i16::try_from(round_to_ticks(elapsed_us)) else {
            return false;
        };
        if gap > MAX_GAP || self.statuses.len() as u64 + gap >= MAX_STATUSES {
            return false;
        }
        let (mut in_vectors, mut other_bytes) = (self.in_vectors + 1, self.other_bytes);
        if gap >= RUN_LENGTH_THRESHOLD {
            // A chunk for the run, and one for the preceding vector chunk, which it cuts short.
            other_bytes += 4;
        } else {
            in_vectors += gap as usize;
        }
        // Draft §3.1.5: a small delta, 0 to 63.75 ms, takes one byte.
        other_bytes += if (0..=255).contains(&delta) { 1 } else { 2 };
        let size = FEEDBACK_HEADER_SIZE + in_vectors.div_ceil(7) * 2 + other_bytes;
        if size.next_multiple_of(4) > MAX_FEEDBACK_SIZE {
            return false;
        }

        self.statuses.extend(std::iter::repeat_n(None, gap as usize));
        self.statuses.push(Some(delta));
        self.next = arrival.seq + 1;
        self.latest_us = self.latest_us.saturating_add_signed(i64::from(delta) * DELTA_TICK_US as i64);
        self.in_vectors = in_vectors;
        self.other_bytes = other_bytes;
        true
    }
}

/// To the nearest tick, halves away from zero.
fn round_to_ticks(us: i64) -> i64 {
    let tick = DELTA_TICK_US as i64;
    (us + us.signum() * (tick / 2)) / tick
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn drain(receiver: &mut TwccReceiver) -> Vec<TransportFeedback> {
        let mut out = Vec::new();
        while let Some(feedback) = receiver.poll_feedback() {
            out.push(feedback.clone());
        }
        out
    }

    /// Jumps to the next timeout.
    fn step(receiver: &mut TwccReceiver) -> Vec<TransportFeedback> {
        let at = receiver.poll_timeout().expect("something to report");
        receiver.handle_timeout(at);
        drain(receiver)
    }

    /// Sequence numbers and arrival times in µs, as the sender of the packets decodes them.
    fn read(feedback: &TransportFeedback) -> Vec<(u16, i64)> {
        let mut at = i64::from(feedback.reference_time) * 64_000;
        let mut out = Vec::new();
        for (status, offset) in feedback.statuses.iter().zip(0u16..) {
            if let Some(delta) = status {
                at += i64::from(*delta) * 250;
                out.push((feedback.base_seq.wrapping_add(offset), at));
            }
        }
        out
    }

    #[test]
    fn feedback_comes_each_100_ms_and_counts_up() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        assert_eq!(receiver.poll_timeout(), None);
        receiver.handle_packet(t0, 10);
        receiver.handle_packet(t0 + us(1000), 11);
        assert_eq!(receiver.poll_timeout(), Some(t0 + ms(100)));
        receiver.handle_timeout(t0 + ms(99));
        assert!(drain(&mut receiver).is_empty(), "not yet");

        let expected = TransportFeedback {
            base_seq: 10,
            reference_time: 0,
            feedback_count: 0,
            statuses: vec![Some(0), Some(4)],
        };
        assert_eq!(step(&mut receiver), [expected]);
        assert_eq!(receiver.poll_timeout(), None);

        receiver.handle_packet(t0 + ms(200), 12);
        let expected = TransportFeedback {
            base_seq: 12,
            reference_time: 3,
            feedback_count: 1,
            statuses: vec![Some(32)],
        };
        assert_eq!(step(&mut receiver), [expected]);
    }

    #[test]
    fn gaps_are_reported_also_across_the_wrap_and_between_feedbacks() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        receiver.handle_packet(t0, 65_534);
        receiver.handle_packet(t0, 1);
        let feedbacks = step(&mut receiver);
        assert_eq!(feedbacks[0].base_seq, 65_534);
        assert_eq!(feedbacks[0].statuses, [Some(0), None, None, Some(0)]);
        receiver.handle_packet(t0 + ms(150), 4);
        let feedbacks = step(&mut receiver);
        assert_eq!(feedbacks[0].base_seq, 2);
        assert_eq!(feedbacks[0].statuses, [None, None, Some(88)]);
    }

    #[test]
    fn reordered_packet_has_a_negative_delta() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        receiver.handle_packet(t0, 1);
        receiver.handle_packet(t0 + ms(10), 3);
        receiver.handle_packet(t0 + ms(15), 2);
        assert_eq!(step(&mut receiver)[0].statuses, [Some(0), Some(60), Some(-20)]);
    }

    #[test]
    fn packet_later_than_its_feedback_is_reported_again_with_its_successors() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        for seq in [1, 2, 4, 5] {
            receiver.handle_packet(t0, seq);
        }
        step(&mut receiver);
        receiver.handle_packet(t0 + ms(110), 3);
        receiver.handle_packet(t0 + ms(111), 6);
        let feedbacks = step(&mut receiver);
        assert_eq!(feedbacks.len(), 1);
        assert_eq!(read(&feedbacks[0]), [(3, 110_000), (4, 0), (5, 0), (6, 111_000)]);
    }

    #[test]
    fn packet_later_than_the_window_is_not_reported() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        for seq in [1, 2, 4] {
            receiver.handle_packet(t0, seq);
        }
        step(&mut receiver);
        receiver.handle_packet(t0 + ms(600), 5);
        receiver.handle_packet(t0 + ms(600), 3);
        let feedbacks = step(&mut receiver);
        assert_eq!(feedbacks.len(), 1);
        assert_eq!(feedbacks[0].base_seq, 5);
        assert_eq!(feedbacks[0].statuses.len(), 1);
    }

    #[test]
    fn duplicates_keep_the_first_arrival() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        receiver.handle_packet(t0, 1);
        receiver.handle_packet(t0 + ms(5), 1);
        assert_eq!(step(&mut receiver)[0].statuses, [Some(0)]);
        receiver.handle_packet(t0 + ms(200), 1);
        assert_eq!(receiver.poll_timeout(), None);
    }

    #[test]
    fn delta_beyond_16_bits_starts_a_new_feedback() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        receiver.handle_packet(t0, 1);
        receiver.handle_packet(t0 + us(32_767 * 250), 2);
        receiver.handle_packet(t0 + us((32_767 + 32_768) * 250), 3);
        let feedbacks = step(&mut receiver);
        assert_eq!(feedbacks.len(), 2);
        assert_eq!(feedbacks[0].statuses, [Some(0), Some(i16::MAX)]);
        assert_eq!(read(&feedbacks[1]), [(3, 65_535 * 250)]);
        assert_eq!(feedbacks[1].feedback_count, 1);
    }

    #[test]
    fn rounding_errors_do_not_add_up() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        for i in 0..500u16 {
            receiver.handle_packet(t0 + us(333 * u64::from(i)), i);
        }
        for feedback in step(&mut receiver) {
            for (seq, at) in read(&feedback) {
                assert!((at - 333 * i64::from(seq)).abs() <= 125, "{seq}");
            }
        }
    }

    #[test]
    fn long_gap_is_reported_up_to_one_run_length_chunk() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        receiver.handle_packet(t0, 0);
        receiver.handle_packet(t0, 8192);
        receiver.handle_packet(t0, 8192 + 8193);
        let feedbacks = step(&mut receiver);
        assert_eq!(feedbacks.len(), 2);
        assert_eq!(feedbacks[0].statuses.len(), 8193);
        assert_eq!(feedbacks[1].base_seq, 8194, "one missing packet goes unreported");
        assert_eq!(feedbacks[1].statuses.len(), 8192);
    }

    #[test]
    fn many_long_gaps_are_spread_over_feedbacks() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        for i in 0..20u16 {
            receiver.handle_packet(t0, i.wrapping_mul(8000));
        }
        let feedbacks = step(&mut receiver);
        assert!(feedbacks.iter().all(|feedback| feedback.statuses.len() as u64 <= MAX_STATUSES));
        assert_eq!(feedbacks.iter().map(|feedback| read(feedback).len()).sum::<usize>(), 20);
    }

    #[test]
    fn packet_far_behind_the_newest_is_ignored() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        receiver.handle_packet(t0, 20_000);
        receiver.handle_packet(t0, 20_000 - 8192);
        receiver.handle_packet(t0, 20_000 - 8191);
        assert_eq!(step(&mut receiver)[0].base_seq, 20_000 - 8191);
    }

    #[test]
    fn many_packets_are_reported_before_the_interval_is_over_in_bounded_messages() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        for seq in 0..999 {
            receiver.handle_packet(t0, seq);
        }
        assert!(drain(&mut receiver).is_empty());
        receiver.handle_packet(t0, 999);
        let feedbacks = drain(&mut receiver);
        assert_eq!(feedbacks.iter().map(|feedback| feedback.statuses.len()).sum::<usize>(), 1000);
        for feedback in &feedbacks {
            assert!(20 + feedback.statuses.len().div_ceil(7) * 2 + feedback.statuses.len() <= 1200);
        }
        assert_eq!(feedbacks[1].base_seq as usize, feedbacks[0].statuses.len());
        assert_eq!(receiver.poll_timeout(), None);
    }

    #[test]
    fn memory_is_bounded_without_draining() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        for seq in 0..40_000u16 {
            receiver.handle_packet(t0, seq);
        }
        assert_eq!(receiver.arrivals.len(), MAX_ARRIVALS);
        let feedbacks = drain(&mut receiver);
        assert_eq!(feedbacks[0].base_seq, 40_000 - 8192, "forgotten ones are not reported lost");
    }

    #[test]
    fn reference_time_wraps_at_24_bits() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        receiver.handle_packet(t0, 1);
        step(&mut receiver);
        receiver.handle_packet(t0 + us(64_000 * ((1 << 24) + 5)), 2);
        assert_eq!(step(&mut receiver)[0].reference_time, 5);
    }

    #[test]
    fn interval_follows_the_bitrate() {
        let t0 = Instant::now();
        let mut receiver = TwccReceiver::new();
        for (bitrate, interval) in [
            (Bitrate::ZERO, 250),
            (Bitrate::kbps(10), 250),
            (Bitrate::kbps(100), 108),
            (Bitrate::mbps(10), 50),
        ] {
            receiver.set_incoming_bitrate(bitrate);
            assert_eq!(receiver.interval, ms(interval), "{bitrate}");
        }
        receiver.handle_packet(t0, 1);
        assert_eq!(receiver.poll_timeout(), Some(t0 + ms(50)));
    }

    proptest! {
        /// For any order of numbers and any pauses, feedbacks stay within their size, end with an arrival, and contain
        /// every arrival within the limits with its time.
        #[test]
        fn any_arrivals_are_reported_within_limits(
            packets in prop::collection::vec((any::<u16>(), 0u64..10_000_000), 1..200),
        ) {
            let mut now = Instant::now();
            let mut receiver = TwccReceiver::new();
            for (i, (seq, pause)) in packets.into_iter().enumerate() {
                if i > 0 {
                    now += us(pause);
                }
                receiver.handle_packet(now, seq);
                receiver.handle_timeout(now);
                let arrived: Vec<_> =
                    receiver.arrivals.iter().map(|a| (a.seq as u16, a.at_us as i64)).collect();
                for feedback in drain(&mut receiver) {
                    prop_assert!(matches!(feedback.statuses.last(), Some(Some(_))));
                    prop_assert!(feedback.statuses.len() as u64 <= MAX_STATUSES);
                    for (seq, at) in read(&feedback) {
                        let close = |a: &&(u16, i64)| a.0 == seq && (a.1 - at).abs() <= 125;
                        prop_assert!(arrived.iter().any(|a| close(&a)), "{seq} at {at}");
                    }
                }
            }
        }
    }
}
