//! Decides which missing packets of an incoming stream to ask for again (mediasoup: `NackGenerator`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets this far behind the newest one are no longer asked for (mediasoup: `MaxPacketAge`).
const MAX_PACKET_AGE: u64 = 10_000;
/// How many packets may be missing at a time (mediasoup: `MaxNackPackets`).
const MAX_MISSING: usize = 1000;
/// How often one packet is asked for (mediasoup: `MaxNackRetries`).
const MAX_REQUESTS: u8 = 10;
/// How often missing packets are looked at (mediasoup: `TimerIntervalMs`).
const TIMER_INTERVAL: Duration = Duration::from_millis(40);
/// Round trip time until one is known (mediasoup: `DefaultRttMs`).
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// How many key frames are remembered as places where the list of missing packets can be cut.
const MAX_KEY_FRAMES: usize = 128;

/// The missing packets of one incoming RTP stream, when to ask for each of them, and when to give up.
///
/// A gap is asked for as soon as the packet after it arrives (or `send_delay` later), then once a round trip
/// time, ten times at most. When more than 1000 packets are missing, those before the latest key frame are
/// given up first; if that does not suffice all are, and a key frame is needed instead.
///
/// Drive it like this: after [`handle_packet`](Self::handle_packet) and
/// [`handle_timeout`](Self::handle_timeout), call [`poll_nacks`](Self::poll_nacks) and
/// [`needs_key_frame`](Self::needs_key_frame), then ask [`poll_timeout`](Self::poll_timeout) for the next
/// wake-up. Sequence numbers are extended ones; after the sender has restarted its numbering, call
/// [`reset`](Self::reset).
#[derive(Debug)]
pub struct NackGenerator {
    send_delay: Duration,
    rtt: Duration,
    /// Highest sequence number seen.
    newest: Option<u64>,
    /// Sorted by sequence number.
    missing: VecDeque<Missing>,
    /// First packets of key frames, sorted.
    key_frames: VecDeque<u64>,
    timer: Option<Instant>,
    due: Due,
    key_frame_needed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: u64,
    noticed_at: Instant,
    asked_at: Option<Instant>,
    requests: u8,
}

/// Which missing packets the next poll considers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Nothing,
    /// Those never asked for.
    New,
    /// Also those asked for a round trip time ago.
    Retries,
}

impl NackGenerator {
    /// A generator that has seen nothing.
    ///
    /// `send_delay` is how long a gap may wait for mere reordering before it is asked for (mediasoup:
    /// `sendNackDelayMs`); it is paid by every lost packet.
    pub fn new(send_delay: Duration) -> Self {
        Self {
            send_delay,
            rtt: DEFAULT_RTT,
            newest: None,
            missing: VecDeque::new(),
            key_frames: VecDeque::new(),
            timer: None,
            due: Due::Nothing,
            key_frame_needed: false,
        }
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
            return self.remove(seq);
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

        if self.missing.is_empty() {
            self.timer = None;
        } else {
            self.due = self.due.max(Due::New);
            self.timer.get_or_insert(now + TIMER_INTERVAL);
        }
        recovered
    }

    /// Appends to `out` the sequence numbers to ask for now, in ascending order, at most 1000.
    pub fn poll_nacks(&mut self, now: Instant, out: &mut Vec<u16>) {
        let due = std::mem::replace(&mut self.due, Due::Nothing);
        if due == Due::Nothing {
            return;
        }
        let (rtt, send_delay) = (self.rtt, self.send_delay);
        self.missing.retain_mut(|packet| {
            if now.saturating_duration_since(packet.noticed_at) < send_delay {
                return true;
            }
            let ask = match packet.asked_at {
                None => true,
                Some(asked_at) => due == Due::Retries && now.saturating_duration_since(asked_at) >= rtt,
            };
            if ask {
                out.push(packet.seq as u16);
                packet.asked_at = Some(now);
                packet.requests += 1;
            }
            packet.requests < MAX_REQUESTS
        });
        self.stop_timer_if_idle();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` while nothing is missing.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Makes those packets due that were asked for a round trip time ago.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.timer.is_some_and(|timer| timer <= now) {
            self.due = Due::Retries;
            self.timer = Some(now + TIMER_INTERVAL);
        }
    }

    /// Whether too much is missing to be repaired, so that a key frame has to be requested; true once each
    /// time.
    pub fn needs_key_frame(&mut self) -> bool {
        std::mem::take(&mut self.key_frame_needed)
    }

    /// Sets the round trip time to the sender, the pause between two requests for one packet. Zero means
    /// unknown (100 ms).
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = if rtt.is_zero() { DEFAULT_RTT } else { rtt };
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
        self.due = Due::Nothing;
        self.key_frame_needed = false;
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
        self.missing.extend((from..to).map(|seq| Missing {
            seq,
            noticed_at: now,
            asked_at: None,
            requests: 0,
        }));
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

    fn remove(&mut self, seq: u64) -> bool {
        let Ok(index) = self.missing.binary_search_by_key(&seq, |packet| packet.seq) else {
            return false;
        };
        self.missing.remove(index);
        self.stop_timer_if_idle();
        true
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
            self.nacks.handle_timeout(self.now);
            Some(self.poll())
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
    fn requests_repeat_each_round_trip_until_the_packet_arrives() {
        let mut d = Driver::new();
        d.nacks.set_rtt(Duration::from_millis(70));
        let start = d.now;
        d.packet(10);
        assert_eq!(d.packet(12), [11]);
        assert_eq!(d.step(), Some(vec![]), "40 ms");
        assert_eq!(d.step(), Some(vec![11]));
        assert_eq!(d.now - start, Duration::from_millis(80));
        assert!(d.nacks.handle_packet(d.now, 11, false, true));
        assert!(!d.nacks.handle_packet(d.now, 11, false, true), "a duplicate was not missing");
        assert_eq!(d.step(), None);
    }

    #[test]
    fn nack_stops_after_max_retries() {
        let mut d = Driver::new();
        d.packet(10);
        let mut requests = d.packet(12).len();
        while let Some(seqs) = d.step() {
            requests += seqs.len();
        }
        assert_eq!(requests, 10);
        assert_eq!(d.nacks.missing_packets(), 0);
        assert!(!d.nacks.handle_packet(d.now, 11, false, true), "given up");
    }

    #[test]
    fn delayed_request_is_not_sent_when_the_packet_was_only_reordered() {
        let mut d = Driver::with_delay(60);
        d.packet(10);
        assert!(d.packet(13).is_empty());
        assert_eq!(d.step(), Some(vec![]));
        assert!(d.nacks.handle_packet(d.now, 11, false, false));
        assert_eq!(d.step(), Some(vec![12]));
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
