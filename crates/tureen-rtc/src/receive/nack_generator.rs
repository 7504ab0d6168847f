//! Decides which missing packets of an incoming stream to ask for again (mediasoup: `NackGenerator`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::nack_answers::NackAnswers;

/// Packets this far behind the newest one are no longer asked for (mediasoup: `MaxPacketAge`).
const MAX_PACKET_AGE: u64 = 10_000;
/// How many packets may be missing at a time (mediasoup: `MaxNackPackets`).
const MAX_MISSING: usize = 1000;
/// How often one packet is asked for (mediasoup: `MaxNackRetries`).
const MAX_REQUESTS: u8 = 10;
/// Round trip time until one is known (mediasoup: `DefaultRttMs`).
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// The pause between two requests is the round trip time with this factor, and some more. libwebrtc does not answer a
/// request that comes within its own round trip time and 5 ms after its last answer, which its pacer may have delayed.
const RETRY_RTTS: f64 = 1.1;
/// See [`RETRY_RTTS`].
const RETRY_MARGIN: Duration = Duration::from_millis(10);
/// Requests after which the pause is [`LATE_PAUSE`] at least: a path may be dead for a while, and ten requests of a
/// near sender would be over in no time.
const EARLY_REQUESTS: u8 = 3;
/// See [`EARLY_REQUESTS`]. Ten requests take as long as mediasoup's, which are 40 ms apart.
const LATE_PAUSE: Duration = Duration::from_millis(50);
/// A request is said again after this time, as it may be lost itself.
const REPEAT_AFTER: Duration = Duration::from_millis(15);
/// Requests of one packet that are said twice.
const REPEATED_REQUESTS: u8 = 3;
/// Nearer senders are asked once: a lost request costs little more than to say it again would.
const MIN_REPEATED_RTT: Duration = Duration::from_millis(50);
/// How many key frames are remembered as places where the list of missing packets can be cut.
const MAX_KEY_FRAMES: usize = 128;

/// The missing packets of one incoming RTP stream, when to ask for each of them, and when to give up.
///
/// A gap is asked for as soon as the packet after it arrives (or `send_delay` later), then once a round trip
/// time, ten times at most. When more than 1000 packets are missing, those before the latest key frame are
/// given up first; if that does not suffice all are, and a key frame is needed instead.
///
/// Where a lost request would be felt, at 50 ms there and back and more, it is said again 15 ms later, as long as the
/// packet does not come. A sender that has heard the first one leaves the second one unanswered (libwebrtc, mediasoup,
/// Tureen); one that answers both is noticed, and asked once.
///
/// Drive it like this: after [`handle_packet`](Self::handle_packet), and when the time of
/// [`poll_timeout`](Self::poll_timeout) has come, call [`poll_nacks`](Self::poll_nacks) and
/// [`needs_key_frame`](Self::needs_key_frame), then ask for the next wake-up. Sequence numbers are extended ones;
/// after the sender has restarted its numbering, call [`reset`](Self::reset).
#[derive(Debug)]
pub struct NackGenerator {
    send_delay: Duration,
    says_twice: bool,
    /// As reports tell it.
    measured_rtt: Option<Duration>,
    /// What requests and their answers tell.
    answers: NackAnswers,
    /// Highest sequence number seen.
    newest: Option<u64>,
    /// Sorted by sequence number.
    missing: VecDeque<Missing>,
    /// First packets of key frames, sorted.
    key_frames: VecDeque<u64>,
    /// The first request is not due before.
    timer: Option<Instant>,
    key_frame_needed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: u64,
    /// When it is asked for next.
    due: Instant,
    first_asked_at: Option<Instant>,
    requests: u8,
    /// What is due is to say the last request again.
    repeats: bool,
    /// How often the first request was said.
    first_said: u8,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
struct Pace {
    retry_after: Duration,
    says_twice: bool,
}

impl Missing {
    fn new(seq: u64, due: Instant) -> Self {
        Self { seq, due, first_asked_at: None, requests: 0, repeats: false, first_said: 0 }
    }

    /// It is asked for now. False when that was the last time.
    fn ask(&mut self, now: Instant, pace: Pace) -> bool {
        self.first_asked_at.get_or_insert(now);
        let is_repetition = std::mem::take(&mut self.repeats);
        if !is_repetition {
            self.requests += 1;
            self.repeats = pace.says_twice && self.requests <= REPEATED_REQUESTS;
        }
        if self.requests == 1 {
            self.first_said += 1;
        }
        let pause =
            if self.requests < EARLY_REQUESTS { pace.retry_after } else { pace.retry_after.max(LATE_PAUSE) };
        self.due = now
            + match (self.repeats, is_repetition) {
                (true, _) => REPEAT_AFTER,
                // Counted from the first saying: should only this one be heard, the next request is early for the sender,
                // but its repetition is in time.
                (false, true) if self.requests < REPEATED_REQUESTS => pause.saturating_sub(REPEAT_AFTER),
                _ => pause,
            };
        self.repeats || self.requests < MAX_REQUESTS
    }
}

impl NackGenerator {
    /// A generator that has seen nothing.
    ///
    /// `send_delay` is how long a gap may wait for mere reordering before it is asked for (mediasoup:
    /// `sendNackDelayMs`); it is paid by every lost packet.
    pub fn new(send_delay: Duration) -> Self {
        Self {
            send_delay,
            says_twice: true,
            measured_rtt: None,
            answers: NackAnswers::default(),
            newest: None,
            missing: VecDeque::new(),
            key_frames: VecDeque::new(),
            timer: None,
            key_frame_needed: false,
        }
    }

    /// One that says each request once, as browsers do.
    pub fn saying_once(self) -> Self {
        Self { says_twice: false, ..self }
    }

    /// Takes note of a packet; `recovered` says that it came by RTX.
    ///
    /// Returns whether it was missing, or came by RTX and is newer than all others (a sender may probe with
    /// RTX packets whose originals never arrived): whether a recovered packet is worth forwarding.
    pub fn handle_packet(&mut self, now: Instant, seq: u64, key_frame: bool, recovered: bool) -> bool {
        let Some(newest) = self.newest else {
            self.newest = Some(seq);
            if key_frame {
                self.remember_key_frame(seq);
            }
            return false;
        };
        if seq <= newest {
            let packet = self.remove(seq);
            if recovered {
                self.note_answer(now, seq, packet);
            }
            return packet.is_some();
        }
        if key_frame {
            self.remember_key_frame(seq);
        }
        let oldest = seq.saturating_sub(MAX_PACKET_AGE);
        self.forget_before(oldest);
        while self.key_frames.front().is_some_and(|&first| first < oldest) {
            self.key_frames.pop_front();
        }
        self.add_missing(now, newest + 1, seq);
        self.newest = Some(seq);
        self.stop_timer_if_idle();
        recovered
    }

    /// Appends to `out` the sequence numbers to ask for now, in ascending order, at most 1000.
    pub fn poll_nacks(&mut self, now: Instant, out: &mut Vec<u16>) {
        if self.timer.is_none_or(|timer| timer > now) {
            return;
        }
        let rtt = self.rtt();
        let says_twice = self.says_twice && rtt >= MIN_REPEATED_RTT && !self.answers.come_twice();
        let pace = Pace { retry_after: rtt.mul_f64(RETRY_RTTS) + RETRY_MARGIN, says_twice };
        let mut next: Option<Instant> = None;
        self.missing.retain_mut(|packet| {
            if packet.due <= now {
                out.push(packet.seq as u16);
                if !packet.ask(now, pace) {
                    return false;
                }
            }
            next = Some(next.map_or(packet.due, |next| next.min(packet.due)));
            true
        });
        self.timer = next;
    }

    /// When to call [`poll_nacks`](Self::poll_nacks) next; `None` while nothing is missing.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Whether too much is missing to be repaired, so that a key frame has to be requested; true once each
    /// time.
    pub fn needs_key_frame(&mut self) -> bool {
        std::mem::take(&mut self.key_frame_needed)
    }

    /// Whether there may be something to poll for, now or later.
    pub fn is_busy(&self) -> bool {
        self.timer.is_some() || self.key_frame_needed
    }

    /// Sets the round trip time to the sender, as reports tell it. Zero means unknown: then that counts which answers to
    /// requests take, and 100 ms until there are any.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.measured_rtt = Some(rtt).filter(|rtt| !rtt.is_zero());
    }

    /// How many packets are missing and not given up.
    pub fn missing_packets(&self) -> usize {
        self.missing.len()
    }

    /// Forgets all packets, as when the producer is paused; keeps the round trip time.
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

    /// A packet came by RTX that was missing, or had come before.
    fn note_answer(&mut self, now: Instant, seq: u64, packet: Option<Missing>) {
        let Some(packet) = packet else { return self.answers.on_duplicate(seq) };
        if let Some(asked_at) = packet.first_asked_at {
            self.answers.on_answer(seq, now - asked_at, packet.requests == 1 && packet.first_said == 2);
        }
    }

    fn add_missing(&mut self, now: Instant, from: u64, to: u64) {
        // Compared before any conversion: a gap may be larger than the list could ever be.
        let count = to - from;
        while !self.has_room(count) {
            if !self.forget_until_key_frame() {
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

    /// Gives up what is missing before the oldest key frame that has anything missing before it.
    fn forget_until_key_frame(&mut self) -> bool {
        while let Some(&key_frame) = self.key_frames.front() {
            if self.forget_before(key_frame) {
                return true;
            }
            self.key_frames.pop_front();
        }
        false
    }

    fn forget_before(&mut self, seq: u64) -> bool {
        let count = self.missing.partition_point(|packet| packet.seq < seq);
        self.missing.drain(..count);
        count > 0
    }

    fn remember_key_frame(&mut self, seq: u64) {
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

    /// A generator with a clock, driven as the contract says.
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

        /// Jumps to the next wake-up.
        fn step(&mut self) -> Option<Vec<u16>> {
            self.now = self.nacks.poll_timeout()?;
            Some(self.poll())
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        /// A packet comes by RTX so long after now.
        fn answer(&mut self, ms: u64, seq: u64) -> bool {
            self.wait(ms);
            self.nacks.handle_packet(self.now, seq, false, true)
        }

        /// When a lone missing packet is asked for, in milliseconds after it was noticed, until it is given up.
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
    fn gap_is_asked_for_at_once_also_across_the_wrap() {
        let mut d = Driver::new();
        d.packet(0x1_fffe);
        assert_eq!(d.packet(0x2_0001), [65_535, 0]);
        assert!(d.packet(0x2_0002).is_empty(), "asked once");
    }

    #[test]
    fn packet_that_came_is_not_asked_for_again() {
        let mut d = Driver::new();
        d.packet(10);
        assert_eq!(d.packet(12), [11]);
        assert!(d.answer(5, 11));
        assert!(!d.answer(5, 11), "a duplicate was not missing");
        assert_eq!(d.step(), None);
    }

    #[test]
    fn near_sender_is_asked_once_a_round_trip_and_later_more_seldom() {
        let mut d = Driver::new();
        d.nacks.set_rtt(Duration::from_millis(20));
        assert_eq!(d.request_times(), [0, 32, 64, 114, 164, 214, 264, 314, 364, 414]);
    }

    #[test]
    fn far_sender_is_told_the_first_three_requests_twice() {
        let mut d = Driver::new();
        d.nacks.set_rtt(Duration::from_millis(200));
        let times = d.request_times();
        assert_eq!(times[..8], [0, 15, 230, 245, 460, 475, 705, 935]);
        assert_eq!(times.len(), 13, "ten requests");
        assert_eq!(d.nacks.missing_packets(), 0);
        assert!(!d.nacks.handle_packet(d.now, 11, false, true), "given up");
    }

    #[test]
    fn browser_like_generator_says_everything_once() {
        let mut d = Driver::new();
        d.nacks = NackGenerator::new(Duration::ZERO).saying_once();
        d.nacks.set_rtt(Duration::from_millis(200));
        assert_eq!(d.request_times(), [0, 230, 460, 690, 920, 1150, 1380, 1610, 1840, 2070]);
    }

    /// Of each pair of requests, libwebrtc answers the first one that comes later than its round trip time and 5 ms after
    /// its last answer. Whichever is lost, no request is in vain.
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
    fn packets_of_one_gap_are_asked_for_in_one_message() {
        let mut d = Driver::new();
        d.packet(10);
        assert_eq!(d.packet(14), [11, 12, 13]);
        assert_eq!(d.step(), Some(vec![11, 12, 13]), "again");
        assert!(d.answer(90, 12));
        assert_eq!(d.packet(16), [15], "others are not due");
        assert_eq!(d.step(), Some(vec![11, 13, 15]), "120 and 15 ms");
    }

    #[test]
    fn answers_tell_the_round_trip_where_reports_do_not() {
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
    fn packet_that_was_only_late_tells_nothing_of_the_round_trip() {
        let mut d = Driver::new();
        d.packet(10);
        d.packet(12);
        d.wait(2);
        d.packet(11);
        assert_eq!(d.nacks.rtt(), DEFAULT_RTT);
    }

    #[test]
    fn sender_that_answers_every_request_is_asked_once() {
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
    fn huge_gap_asks_for_a_key_frame_instead() {
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
    fn full_list_gives_up_what_lies_before_a_key_frame() {
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
