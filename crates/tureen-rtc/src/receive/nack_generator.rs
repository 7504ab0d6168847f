//! NACK generator of an incoming stream (mediasoup: `NackGenerator`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::nack_answers::NackAnswers;

/// Packets this far behind the newest one are given up (mediasoup: `MaxPacketAge`).
const MAX_PACKET_AGE: u64 = 10_000;
/// Most missing packets (mediasoup: `MaxNackPackets`).
const MAX_MISSING: usize = 1000;
/// NACKs of one packet (mediasoup: `MaxNackRetries`).
const MAX_NACKS: u8 = 10;
/// Round trip time before the first measurement (mediasoup: `DefaultRttMs`).
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// Interval between two NACKs, in round trip times, plus [`RETRY_MARGIN`]. libwebrtc ignores a NACK within its own
/// round trip time and 5 ms after its last retransmission, which its pacer may have delayed.
const RETRY_RTTS: f64 = 1.1;
/// See [`RETRY_RTTS`].
const RETRY_MARGIN: Duration = Duration::from_millis(10);
/// NACKs after which the interval is at least [`LATE_INTERVAL`], because ten NACKs to a near sender would end before a
/// short outage does.
const EARLY_NACKS: u8 = 3;
/// See [`EARLY_NACKS`]. Ten NACKs span as long as mediasoup's, which are 40 ms apart.
const LATE_INTERVAL: Duration = Duration::from_millis(50);
/// A NACK is repeated after this time, because it may be lost.
const REPEAT_AFTER: Duration = Duration::from_millis(15);
/// NACKs of one packet that are repeated.
const REPEATED_NACKS: u8 = 3;
/// Below this round trip time NACKs are not repeated, because the next NACK follows soon.
const MIN_REPEATED_RTT: Duration = Duration::from_millis(50);
/// Key frames kept as positions at which the list of missing packets can be cut.
const MAX_KEY_FRAMES: usize = 128;

/// Missing packets of one incoming RTP stream, and the times of their NACKs.
///
/// A gap is reported when the packet after it arrives (or `send_delay` later), then once per round trip time, ten
/// times at most. Above 1000 missing packets those before the latest key frame are given up first; if that does not
/// suffice all are, and a key frame is requested instead.
///
/// From a round trip time of 50 ms on a NACK is repeated after 15 ms, unless the packet arrives, because a lost NACK
/// would cost a round trip. A sender that has received the first one ignores the second one (libwebrtc, mediasoup,
/// Tureen). A sender that answers both is detected, and its NACKs are not repeated.
///
/// The caller calls [`poll_nacks`](Self::poll_nacks) and [`needs_key_frame`](Self::needs_key_frame) after
/// [`handle_packet`](Self::handle_packet) and at the time of [`poll_timeout`](Self::poll_timeout). Sequence numbers
/// are extended ones; [`reset`](Self::reset) follows a restart of the sender's numbering.
#[derive(Debug)]
pub struct NackGenerator {
    send_delay: Duration,
    repeat_nack: bool,
    /// Round trip time by receiver reports.
    measured_rtt: Option<Duration>,
    /// Response times of the sender.
    answers: NackAnswers,
    /// Highest sequence number received.
    newest: Option<u64>,
    /// Sorted by sequence number.
    missing: VecDeque<Missing>,
    /// First packets of key frames, sorted.
    key_frames: VecDeque<u64>,
    /// Lower bound of the next due time.
    timer: Option<Instant>,
    key_frame_needed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: u64,
    /// Time of its next NACK.
    due: Instant,
    first_nack_at: Option<Instant>,
    nacks: u8,
    /// The next NACK repeat_due the last one.
    repeat_due: bool,
    /// How often the first NACK was sent.
    first_sent: u8,
}

/// Schedule of NACKs.
#[derive(Clone, Copy, Debug)]
struct Pace {
    retry_after: Duration,
    repeat_nack: bool,
}

impl Missing {
    fn new(seq: u64, due: Instant) -> Self {
        Self { seq, due, first_nack_at: None, nacks: 0, repeat_due: false, first_sent: 0 }
    }

    /// Records a NACK sent now. Returns false after the last one.
    fn on_nack(&mut self, now: Instant, pace: Pace) -> bool {
        self.first_nack_at.get_or_insert(now);
        let is_repetition = std::mem::take(&mut self.repeat_due);
        if !is_repetition {
            self.nacks += 1;
            self.repeat_due = pace.repeat_nack && self.nacks <= REPEATED_NACKS;
        }
        if self.nacks == 1 {
            self.first_sent += 1;
        }
        let pause =
            if self.nacks < EARLY_NACKS { pace.retry_after } else { pace.retry_after.max(LATE_INTERVAL) };
        self.due = now
            + match (self.repeat_due, is_repetition) {
                (true, _) => REPEAT_AFTER,
                // Counted from the first copy. If only the repetition arrived, the next NACK is early for the sender,
                // but its repetition is in time.
                (false, true) if self.nacks < REPEATED_NACKS => pause.saturating_sub(REPEAT_AFTER),
                _ => pause,
            };
        self.repeat_due || self.nacks < MAX_NACKS
    }
}

impl NackGenerator {
    /// `send_delay`: time that a gap may wait for reordered packets before its first NACK (mediasoup:
    /// `sendNackDelayMs`). Every retransmission is delayed by it.
    pub fn new(send_delay: Duration) -> Self {
        Self {
            send_delay,
            repeat_nack: true,
            measured_rtt: None,
            answers: NackAnswers::default(),
            newest: None,
            missing: VecDeque::new(),
            key_frames: VecDeque::new(),
            timer: None,
            key_frame_needed: false,
        }
    }

    /// Disables the repetition of NACKs, as in browsers.
    pub fn without_repetition(self) -> Self {
        Self { repeat_nack: false, ..self }
    }

    /// Handles a packet; `recovered` is true for a retransmission by RTX.
    ///
    /// Returns true if it was missing, or came by RTX and is newer than all others, because a sender may probe with
    /// RTX packets whose originals never arrived. Such a packet is worth forwarding.
    pub fn handle_packet(&mut self, now: Instant, seq: u64, key_frame: bool, recovered: bool) -> bool {
        let Some(newest) = self.newest else {
            self.newest = Some(seq);
            if key_frame {
                self.add_key_frame(seq);
            }
            return false;
        };
        // Reordered or retransmitted: it only ends the NACKs of its number.
        if seq <= newest {
            let packet = self.remove(seq);
            if recovered {
                self.on_retransmission(now, seq, packet);
            }
            return packet.is_some();
        }
        if key_frame {
            self.add_key_frame(seq);
        }
        // Old packets and key frames are dropped before the new gap is added, so that they do not count against
        // MAX_MISSING.
        let oldest = seq.saturating_sub(MAX_PACKET_AGE);
        self.give_up_before(oldest);
        while self.key_frames.front().is_some_and(|&first| first < oldest) {
            self.key_frames.pop_front();
        }
        self.add_missing(now, newest + 1, seq);
        self.newest = Some(seq);
        self.stop_timer_if_idle();
        recovered
    }

    /// Appends to `out` the sequence numbers to NACK now, ascending, at most 1000.
    pub fn poll_nacks(&mut self, now: Instant, out: &mut Vec<u16>) {
        if self.timer.is_none_or(|timer| timer > now) {
            return;
        }
        let rtt = self.rtt();
        let repeat_nack = self.repeat_nack && rtt >= MIN_REPEATED_RTT && !self.answers.answers_repetition();
        let pace = Pace { retry_after: rtt.mul_f64(RETRY_RTTS) + RETRY_MARGIN, repeat_nack };
        // One pass sends due NACKs and finds the next due time.
        let mut next: Option<Instant> = None;
        self.missing.retain_mut(|packet| {
            if packet.due <= now {
                out.push(packet.seq as u16);
                if !packet.on_nack(now, pace) {
                    return false;
                }
            }
            next = Some(next.map_or(packet.due, |next| next.min(packet.due)));
            true
        });
        self.timer = next;
    }

    /// Time of the next [`poll_nacks`](Self::poll_nacks); `None` while nothing is missing.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// True once if too many packets are missing, so that a key frame has to be requested.
    pub fn needs_key_frame(&mut self) -> bool {
        std::mem::take(&mut self.key_frame_needed)
    }

    /// True while there is something to poll, now or later.
    pub fn is_busy(&self) -> bool {
        self.timer.is_some() || self.key_frame_needed
    }

    /// Sets the round trip time of reports. Zero means unknown: the response time of NACKs counts then, and 100 ms
    /// before the first response.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.measured_rtt = Some(rtt).filter(|rtt| !rtt.is_zero());
    }

    /// Number of missing packets that are not given up.
    pub fn missing_packets(&self) -> usize {
        self.missing.len()
    }

    /// Forgets all packets, for example when the Producer is paused; keeps the round trip time.
    pub fn reset(&mut self) {
        self.newest = None;
        self.missing.clear();
        self.key_frames.clear();
        self.timer = None;
        self.key_frame_needed = false;
    }

    fn rtt(&self) -> Duration {
        self.measured_rtt.or(self.answers.rtt()).unwrap_or(DEFAULT_RTT)
    }

    /// Records the response time of a retransmission, or a duplicate.
    fn on_retransmission(&mut self, now: Instant, seq: u64, packet: Option<Missing>) {
        let Some(packet) = packet else { return self.answers.on_duplicate(seq) };
        if let Some(nack_at) = packet.first_nack_at {
            self.answers.on_answer(seq, now - nack_at, packet.nacks == 1 && packet.first_sent == 2);
        }
    }

    fn add_missing(&mut self, now: Instant, from: u64, to: u64) {
        // Compared before any conversion, because a gap may exceed the list's size.
        let count = to - from;
        while !self.has_room(count) {
            if !self.give_up_until_key_frame() {
                self.missing.clear();
                self.key_frame_needed = true;
                return;
            }
        }
        if count > 0 {
            let due = now + self.send_delay;
            self.missing.extend((from..to).map(|seq| Missing::new(seq, due)));
            self.timer = Some(self.timer.map_or(due, |timer| timer.min(due)));
        }
    }

    fn has_room(&self, count: u64) -> bool {
        self.missing.len() as u64 + count <= MAX_MISSING as u64
    }

    /// Gives up the packets before the oldest key frame with missing packets before it.
    fn give_up_until_key_frame(&mut self) -> bool {
        while let Some(&key_frame) = self.key_frames.front() {
            if self.give_up_before(key_frame) {
                return true;
            }
            self.key_frames.pop_front();
        }
        false
    }

    fn give_up_before(&mut self, seq: u64) -> bool {
        let count = self.missing.partition_point(|packet| packet.seq < seq);
        self.missing.drain(..count);
        count > 0
    }

    fn add_key_frame(&mut self, seq: u64) {
        if self.key_frames.len() == MAX_KEY_FRAMES {
            self.key_frames.pop_front();
        }
        self.key_frames.push_back(seq);
    }

    fn remove(&mut self, seq: u64) -> Option<Missing> {
        let index = self.missing.binary_search_by_key(&seq, |packet| packet.seq).ok()?;
        let packet = self.missing.remove(index);
        self.stop_timer_if_idle();
        packet
    }

    fn stop_timer_if_idle(&mut self) {
        if self.missing.is_empty() {
            self.timer = None;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    /// A generator with a clock.
    struct Driver {
        nacks: NackGenerator,
        now: Instant,
    }

    impl Driver {
        fn new() -> Self {
            Self::with_delay(0)
        }

        fn with_delay(ms: u64) -> Self {
            Self { nacks: NackGenerator::new(Duration::from_millis(ms)), now: Instant::now() }
        }

        fn packet(&mut self, seq: u64) -> Vec<u16> {
            self.nacks.handle_packet(self.now, seq, false, false);
            self.poll()
        }

        fn key_frame(&mut self, seq: u64) -> Vec<u16> {
            self.nacks.handle_packet(self.now, seq, true, false);
            self.poll()
        }

        fn poll(&mut self) -> Vec<u16> {
            let mut out = Vec::new();
            self.nacks.poll_nacks(self.now, &mut out);
            out
        }

        /// Jumps to the next timeout.
        fn step(&mut self) -> Option<Vec<u16>> {
            self.now = self.nacks.poll_timeout()?;
            Some(self.poll())
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        /// A retransmission by RTX arrives `ms` later.
        fn answer(&mut self, ms: u64, seq: u64) -> bool {
            self.wait(ms);
            self.nacks.handle_packet(self.now, seq, false, true)
        }

        /// Times of the requests of a single missing packet, in milliseconds after its detection, until it is given up.
        fn request_times(&mut self) -> Vec<u64> {
            let start = self.now;
            self.packet(10);
            let mut times = vec![0; self.packet(12).len()];
            while let Some(seqs) = self.step() {
                let at = (self.now - start).as_millis() as u64;
                times.extend(seqs.iter().map(|&seq| at * u64::from(seq == 11)));
            }
            times
        }
    }

    #[test]
    fn stream_without_gaps_needs_nothing() {
        let mut d = Driver::new();
        for seq in 65_530..65_560 {
            assert!(d.packet(seq).is_empty());
        }
        assert_eq!(d.nacks.poll_timeout(), None);
    }

    #[test]
    fn gap_is_requested_at_once_also_across_the_wrap() {
        let mut d = Driver::new();
        d.packet(0x1_fffe);
        assert_eq!(d.packet(0x2_0001), [65_535, 0]);
        assert!(d.packet(0x2_0002).is_empty(), "asked once");
    }

    #[test]
    fn received_packet_is_not_requested_again() {
        let mut d = Driver::new();
        d.packet(10);
        assert_eq!(d.packet(12), [11]);
        assert!(d.answer(5, 11));
        assert!(!d.answer(5, 11), "a duplicate was not missing");
        assert_eq!(d.step(), None);
    }

    #[test]
    fn near_sender_gets_a_request_per_round_trip_then_fewer() {
        let mut d = Driver::new();
        d.nacks.set_rtt(Duration::from_millis(20));
        assert_eq!(d.request_times(), [0, 32, 64, 114, 164, 214, 264, 314, 364, 414]);
    }

    #[test]
    fn far_sender_gets_the_first_three_requests_twice() {
        let mut d = Driver::new();
        d.nacks.set_rtt(Duration::from_millis(200));
        let times = d.request_times();
        assert_eq!(times[..8], [0, 15, 230, 245, 460, 475, 705, 935]);
        assert_eq!(times.len(), 13, "ten nacks");
        assert_eq!(d.nacks.missing_packets(), 0);
        assert!(!d.nacks.handle_packet(d.now, 11, false, true), "given up");
    }

    #[test]
    fn browser_like_generator_sends_every_request_once() {
        let mut d = Driver::new();
        d.nacks = NackGenerator::new(Duration::ZERO).without_repetition();
        d.nacks.set_rtt(Duration::from_millis(200));
        assert_eq!(d.request_times(), [0, 230, 460, 690, 920, 1150, 1380, 1610, 1840, 2070]);
    }

    /// Of each pair of NACKs, libwebrtc answers the first one that arrives later than its round trip time plus 5 ms
    /// after its last answer. Whichever of the two is lost, the request is answered.
    #[test]
    fn every_request_is_answered_by_a_sender_that_refuses_early_ones() {
        for rtt in [50, 100, 300] {
            for lost in 0..4 {
                let mut d = Driver::new();
                d.nacks.set_rtt(Duration::from_millis(rtt));
                let heard = d.request_times().into_iter().enumerate().filter(|&(index, _)| index != lost);
                let mut answered: Vec<u64> = Vec::new();
                for (_, at) in heard {
                    if answered.last().is_none_or(|last| at - last > rtt + 5) {
                        answered.push(at);
                    }
                }
                assert_eq!(answered.len(), 10, "{rtt} ms, without request {lost}: {answered:?}");
            }
        }
    }

    #[test]
    fn late_wake_up_makes_no_request_early() {
        let mut d = Driver::new();
        d.nacks.set_rtt(Duration::from_millis(100));
        d.packet(10);
        d.packet(12);
        d.wait(60);
        assert_eq!(d.poll(), [11], "its repetition");
        let said = d.now;
        assert_eq!(d.step(), Some(vec![11]));
        assert_eq!(d.now - said, Duration::from_millis(105));
    }

    #[test]
    fn packets_of_one_gap_are_requested_in_one_message() {
        let mut d = Driver::new();
        d.packet(10);
        assert_eq!(d.packet(14), [11, 12, 13]);
        assert_eq!(d.step(), Some(vec![11, 12, 13]), "again");
        assert!(d.answer(90, 12));
        assert_eq!(d.packet(16), [15], "others are not due");
        assert_eq!(d.step(), Some(vec![11, 13, 15]), "120 and 15 ms");
    }

    #[test]
    fn answers_measure_the_round_trip_without_reports() {
        let mut d = Driver::new();
        d.packet(10);
        d.packet(12);
        assert!(d.answer(12, 11));
        d.packet(14);
        let asked = d.now;
        assert_eq!(d.step(), Some(vec![13]));
        assert_eq!(d.now - asked, Duration::from_micros(23_200));
        d.nacks.set_rtt(Duration::from_millis(200));
        assert!(d.answer(0, 13));
        d.packet(16);
        let asked = d.now;
        assert_eq!(d.step(), Some(vec![15]), "again");
        assert_eq!(d.now - asked, REPEAT_AFTER);
    }

    #[test]
    fn late_original_does_not_change_the_round_trip() {
        let mut d = Driver::new();
        d.packet(10);
        d.packet(12);
        d.wait(2);
        d.packet(11);
        assert_eq!(d.nacks.rtt(), DEFAULT_RTT);
    }

    #[test]
    fn sender_that_answers_every_request_gets_each_request_once() {
        let mut d = Driver::new();
        d.nacks.set_rtt(Duration::from_millis(60));
        d.packet(10);
        let mut said_twice = 0;
        for seq in (11..31).step_by(2) {
            assert_eq!(d.packet(seq + 1).len(), 1);
            d.wait(15);
            let repeated = !d.poll().is_empty();
            said_twice += u32::from(repeated);
            assert!(d.answer(45, seq));
            if repeated {
                assert!(!d.answer(15, seq));
            }
        }
        assert_eq!(said_twice, 4);
    }

    #[test]
    fn delayed_request_is_not_sent_when_the_packet_was_only_reordered() {
        let mut d = Driver::with_delay(60);
        d.packet(10);
        let noticed = d.now;
        assert!(d.packet(13).is_empty());
        d.wait(59);
        assert!(d.poll().is_empty());
        assert!(d.nacks.handle_packet(d.now, 11, false, false));
        assert_eq!(d.step(), Some(vec![12]));
        assert_eq!(d.now - noticed, Duration::from_millis(60));
    }

    #[test]
    fn reordered_packet_that_was_never_missing_is_ignored() {
        let mut d = Driver::new();
        d.packet(10);
        assert!(!d.nacks.handle_packet(d.now, 9, false, false));
        assert!(!d.nacks.handle_packet(d.now, 10, false, true));
    }

    #[test]
    fn rtx_packet_newer_than_all_is_worth_forwarding_and_opens_a_gap() {
        let mut d = Driver::new();
        d.packet(10);
        assert!(d.nacks.handle_packet(d.now, 13, false, true));
        assert_eq!(d.poll(), [11, 12]);
    }

    #[test]
    fn huge_gap_requests_a_key_frame_instead() {
        let mut d = Driver::new();
        d.packet(10);
        assert_eq!(d.packet(10 + 1001).len(), 1000, "the largest gap that is repaired");
        assert!(!d.nacks.needs_key_frame());
        assert!(d.packet(10 + 1003).is_empty());
        assert!(d.nacks.needs_key_frame());
        assert!(!d.nacks.needs_key_frame(), "once");
        assert_eq!(d.nacks.missing_packets(), 0);
        assert!(d.packet(1 << 40).is_empty());
        assert!(d.nacks.needs_key_frame());
        assert_eq!(d.nacks.poll_timeout(), None);
    }

    #[test]
    fn full_list_gives_up_packets_before_a_key_frame() {
        let mut d = Driver::new();
        d.packet(0);
        assert_eq!(d.packet(601).len(), 600);
        d.key_frame(602);
        assert_eq!(d.packet(1103).len(), 500);
        assert!(!d.nacks.needs_key_frame());
        assert_eq!(d.nacks.missing_packets(), 500);
    }

    #[test]
    fn key_frame_older_than_everything_missing_does_not_help() {
        let mut d = Driver::new();
        d.key_frame(0);
        assert_eq!(d.packet(601).len(), 600);
        assert!(d.packet(1202).is_empty());
        assert!(d.nacks.needs_key_frame());
    }

    #[test]
    fn old_packets_are_given_up() {
        let mut d = Driver::new();
        d.packet(0);
        d.packet(2);
        for seq in 3..=10_001 {
            d.packet(seq);
        }
        assert_eq!(d.nacks.missing_packets(), 1);
        d.packet(10_002);
        assert_eq!(d.nacks.missing_packets(), 0);
        assert_eq!(d.nacks.poll_timeout(), None);
    }

    #[test]
    fn endless_key_frames_take_bounded_memory() {
        let mut d = Driver::new();
        for seq in 0..5000 {
            d.key_frame(seq);
        }
        assert_eq!(d.nacks.key_frames.len(), MAX_KEY_FRAMES);
    }

    #[test]
    fn reset_starts_a_new_history() {
        let mut d = Driver::new();
        d.packet(10);
        d.packet(20);
        d.nacks.reset();
        assert_eq!(d.nacks.poll_timeout(), None);
        assert!(d.packet(5000).is_empty());
        assert_eq!(d.packet(5002), [5001]);
    }
}
