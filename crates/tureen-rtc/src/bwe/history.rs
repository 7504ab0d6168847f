//! Sent packets that await transport-wide feedback.

use super::Micros;
use crate::wire::rtcp::{PacketStatus, TransportCc, TransportCcHeader};

/// Initial entries: one second at 600 kbit/s.
const MIN_CAPACITY: usize = 64;

/// Entries before the first feedback, because a remote side that never sends feedback must not cost memory.
const UNHEARD_CAPACITY: usize = 256;

/// Most packets of a history: half of the 16-bit number space, so that numbers stay unambiguous. One second at 300
/// Mbit/s; 512 KiB.
const MAX_CAPACITY: usize = 1 << 15;

/// Packets older than this are evicted before the ring grows.
const MAX_AGE: Micros = 5_000_000;

/// Bytes without a transport-wide number are added to the next numbered packet if it follows within this time.
const MAX_UNTRACKED: Micros = 500_000;

/// One transport's sent packets, in a ring by transport-wide sequence number.
///
/// The ring grows with what is in flight, within `MAX_CAPACITY`, and never shrinks: in steady state nothing is
/// allocated.
#[derive(Debug)]
pub(crate) struct SentHistory {
    entries: Vec<Entry>,
    /// Extended number after the newest packet.
    end: u64,
    /// Extended number of the first packet without feedback.
    unreported: u64,
    /// True after the first feedback.
    heard: bool,
    /// Bytes sent without a number since the newest packet.
    untracked: u32,
    untracked_since: Micros,
    clock: RemoteClock,
}

/// 16 bytes: four entries fill a cache line.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sent_at: Micros,
    /// Bytes, including unnumbered ones sent before it.
    size: u32,
    probe: u8,
    state: State,
    seq: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No packet was sent with this number.
    Empty,
    InFlight,
    Lost,
    Received,
}

const EMPTY: Entry = Entry { sent_at: 0, size: 0, probe: 0, state: State::Empty, seq: 0 };

/// A packet reported as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub sent_at: Micros,
    /// Arrival time on the remote side's clock.
    pub received_at: Micros,
    /// Size in bytes, overhead included.
    pub size: u32,
    /// Id of its probe cluster; zero for none.
    pub probe: u8,
    /// True if earlier feedback reported it as lost.
    pub(crate) was_lost: bool,
}

/// A packet reported as lost; later feedback may still report it as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Transport-wide sequence number.
    pub seq: u16,
    pub sent_at: Micros,
    /// Size in bytes, overhead included.
    pub size: u32,
}

/// Content of one feedback packet. It is reused to keep its memory.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Packets reported as received for the first time, in order of arrival.
    pub arrivals: Vec<Arrival>,
    /// Packets reported as lost for the first time, in order of their numbers.
    pub missing: Vec<Missing>,
}

impl Report {
    /// True when the feedback reports nothing new.
    pub(super) fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.missing.is_empty()
    }
}

impl SentHistory {
    pub(super) fn new() -> Self {
        Self {
            entries: vec![EMPTY; MIN_CAPACITY],
            end: 0,
            unreported: 0,
            heard: false,
            untracked: 0,
            untracked_since: 0,
            clock: RemoteClock::default(),
        }
    }

    /// Records a packet. Numbers increase by one; a repeated number is a bit-identical retransmission that feedback
    /// does not distinguish, so that only its bytes count.
    #[inline]
    pub(super) fn record(&mut self, now: Micros, seq: u16, size: u32, probe: u8) {
        if self.end == 0 {
            // The first number starts in the second cycle, so that earlier numbers stay positive.
            self.end = 0x1_0000 + u64::from(seq);
            self.unreported = self.end;
        }
        let ahead = seq.wrapping_sub(self.end as u16);
        if ahead != 0 {
            if ahead as usize >= MAX_CAPACITY {
                self.record_untracked(now, size);
                return;
            }
            self.skip(now, u64::from(ahead));
        }
        self.make_room(now);
        let size = size + std::mem::take(&mut self.untracked);
        let index = self.index(self.end);
        self.entries[index] = Entry { sent_at: now, size, probe, state: State::InFlight, seq };
        self.end += 1;
    }

    /// Records bytes sent without a number. They occupied the link and count with the next numbered packet.
    pub(crate) fn record_untracked(&mut self, now: Micros, size: u32) {
        if now - self.untracked_since > MAX_UNTRACKED {
            (self.untracked_since, self.untracked) = (now, 0);
        }
        self.untracked = self.untracked.saturating_add(size).min(1 << 20);
    }

    /// Reads feedback into `report`. The work is bounded by the feedback's size and by the packets sent since the last
    /// one, not by the packet count that the feedback claims.
    pub(super) fn resolve(&mut self, feedback: &TransportCc<'_>, report: &mut Report) {
        report.arrivals.clear();
        report.missing.clear();
        if self.end == 0 {
            return;
        }
        let base = self.extend(feedback.header.base_sequence_number);
        let end = base + u64::from(feedback.packet_status_count);
        if base >= self.end {
            return;
        }
        self.heard = true;
        // Packets between two reports belong to lost feedback: their fate is unknown.
        let oldest = self.end.saturating_sub(self.entries.len() as u64);
        self.unreported = self.unreported.max(base).max(oldest);

        let mut received_at = self.clock.reference(feedback.header.reference_time);
        for (seq, delta) in feedback.received() {
            received_at += Micros::from(delta) * PacketStatus::DELTA_UNIT.as_micros() as Micros;
            let seq = base + u64::from(seq.wrapping_sub(base as u16));
            if seq >= self.end {
                break;
            }
            self.miss_until(seq, report);
            self.unreported = self.unreported.max(seq + 1);
            let Some(entry) = self.entry_mut(seq) else { continue };
            let was_lost = entry.state == State::Lost;
            if !was_lost && entry.state != State::InFlight {
                continue;
            }
            entry.state = State::Received;
            let Entry { sent_at, size, probe, .. } = *entry;
            report.arrivals.push(Arrival { sent_at, received_at, size, probe, was_lost });
        }
        self.miss_until(end.min(self.end), report);
        if !report.arrivals.is_sorted_by_key(|arrival| arrival.received_at) {
            report.arrivals.sort_by_key(|arrival| arrival.received_at);
        }
    }

    /// Bytes on which no feedback has reported yet. Takes as long as those packets are many.
    pub(super) fn in_flight(&self) -> u64 {
        let entries = (self.unreported..self.end).map(|seq| (seq, &self.entries[self.index(seq)]));
        let in_flight =
            |&(seq, entry): &(u64, &Entry)| entry.seq == seq as u16 && entry.state == State::InFlight;
        entries.filter(in_flight).map(|(_, entry)| u64::from(entry.size)).sum()
    }

    /// Marks unreported packets before `seq` as lost.
    fn miss_until(&mut self, seq: u64, report: &mut Report) {
        while self.unreported < seq {
            let unreported = self.unreported;
            self.unreported += 1;
            let Some(entry) = self.entry_mut(unreported) else { continue };
            if entry.state == State::InFlight {
                entry.state = State::Lost;
                let Entry { sent_at, size, seq, .. } = *entry;
                report.missing.push(Missing { seq, sent_at, size });
            }
        }
    }

    /// Extends a sent number: the one at or before the newest.
    fn extend(&self, seq: u16) -> u64 {
        let newest = self.end - 1;
        let behind = (newest as u16).wrapping_sub(seq);
        match usize::from(behind) < MAX_CAPACITY {
            true => newest.saturating_sub(u64::from(behind)),
            false => newest + u64::from(seq.wrapping_sub(newest as u16)),
        }
    }

    fn entry_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        let index = self.index(seq);
        let entry = &mut self.entries[index];
        (entry.seq == seq as u16 && entry.state != State::Empty).then_some(entry)
    }

    fn index(&self, seq: u64) -> usize {
        seq as usize & (self.entries.len() - 1)
    }

    /// Skips `count` numbers.
    #[cold]
    fn skip(&mut self, now: Micros, count: u64) {
        for _ in 0..count {
            self.make_room(now);
            let index = self.index(self.end);
            self.entries[index] = EMPTY;
            self.end += 1;
        }
    }

    /// Evicts the entry in the next number's place, or grows the ring. That memory is cold, so it is read only if the
    /// decision depends on it.
    #[inline]
    fn make_room(&mut self, now: Micros) {
        let len = self.entries.len();
        if self.end - self.unreported < len as u64 {
            return;
        }
        let capacity = if self.heard { MAX_CAPACITY } else { UNHEARD_CAPACITY };
        if len < capacity && now - self.entries[self.index(self.end)].sent_at < MAX_AGE {
            self.grow();
        } else {
            self.unreported += 1;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let len = self.entries.len() as u64;
        let old = std::mem::replace(&mut self.entries, vec![EMPTY; len as usize * 2]);
        for seq in self.end.saturating_sub(len)..self.end {
            let index = self.index(seq);
            self.entries[index] = old[seq as usize & (len as usize - 1)];
        }
    }
}

impl Default for SentHistory {
    fn default() -> Self {
        Self::new()
    }
}

/// Unwraps the remote side's clock: feedback carries 24 bits in units of 64 ms.
#[derive(Debug, Default)]
struct RemoteClock {
    /// The last reference time and its extended form.
    last: Option<(i32, i64)>,
}

impl RemoteClock {
    fn reference(&mut self, reference_time: i32) -> Micros {
        let extended = match self.last {
            None => i64::from(reference_time),
            Some((last, extended)) => {
                // The difference wraps at 24 bits.
                extended + i64::from(reference_time.wrapping_sub(last) << 8 >> 8)
            }
        };
        self.last = Some((reference_time, extended));
        extended * TransportCcHeader::REFERENCE_TIME_UNIT.as_micros() as Micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ssrc;
    use crate::wire::rtcp::{RtcpCompound, RtcpPacket, write_transport_cc};

    fn resolve(history: &mut SentHistory, base: u16, time: i32, statuses: &[Option<i16>]) -> Report {
        let header = TransportCcHeader {
            sender_ssrc: Ssrc(1),
            media_ssrc: Ssrc(2),
            base_sequence_number: base,
            reference_time: time,
            feedback_count: 0,
        };
        let mut bytes = Vec::new();
        assert_eq!(write_transport_cc(&mut bytes, &header, statuses, 1 << 20), statuses.len());
        let packet = RtcpCompound::new(&bytes).next().unwrap().unwrap();
        let RtcpPacket::TransportCc(feedback) = packet else { panic!("{packet:?}") };
        let mut report = Report::default();
        history.resolve(&feedback, &mut report);
        report
    }

    fn sent(first: u16, count: u16) -> SentHistory {
        let mut history = SentHistory::new();
        for i in 0..count {
            history.record(i64::from(i) * 1000, first.wrapping_add(i), 1000 + u32::from(i), 0);
        }
        history
    }

    #[test]
    fn arrivals_are_matched_to_send_times_across_the_wrap() {
        let mut history = sent(65534, 4);
        let report = resolve(&mut history, 65534, 1, &[Some(4), Some(4), None, Some(8)]);
        let times: Vec<_> = report.arrivals.iter().map(|a| (a.sent_at, a.received_at, a.size)).collect();
        assert_eq!(times, [(0, 65_000, 1000), (1000, 66_000, 1001), (3000, 68_000, 1003)]);
        assert_eq!(report.missing, [Missing { seq: 0, sent_at: 2000, size: 1002 }]);
    }

    #[test]
    fn packet_is_missing_once_and_may_turn_up_later() {
        let mut history = sent(10, 3);
        assert_eq!(resolve(&mut history, 10, 0, &[Some(0), None, Some(4)]).missing.len(), 1);
        let report = resolve(&mut history, 11, 0, &[Some(40), Some(0)]);
        assert_eq!(report.missing, []);
        assert_eq!(report.arrivals.len(), 1, "the third was reported before");
        assert!(report.arrivals[0].was_lost);
    }

    #[test]
    fn packets_between_two_reports_are_not_lost() {
        let mut history = sent(0, 10);
        resolve(&mut history, 0, 0, &[Some(0), Some(0)]);
        let report = resolve(&mut history, 6, 0, &[Some(0), Some(0)]);
        assert_eq!((report.arrivals.len(), report.missing.len()), (2, 0));
    }

    #[test]
    fn arrivals_come_in_the_order_of_arrival() {
        let mut history = sent(0, 3);
        let report = resolve(&mut history, 0, 0, &[Some(100), Some(-60), Some(10)]);
        let times: Vec<_> = report.arrivals.iter().map(|a| a.received_at).collect();
        assert_eq!(times, [10_000, 12_500, 25_000]);
    }

    #[test]
    fn feedback_about_unsent_packets_is_ignored() {
        let mut history = sent(100, 5);
        assert!(resolve(&mut history, 200, 0, &[Some(0); 20]).is_empty());
        assert!(resolve(&mut history, 40_000, 0, &[Some(0); 20]).is_empty());
        let report = resolve(&mut history, 100, 0, &[None; 60_000]);
        assert_eq!((report.arrivals.len(), report.missing.len()), (0, 5));
        assert!(resolve(&mut SentHistory::new(), 0, 0, &[Some(0)]).is_empty());
    }

    #[test]
    fn ring_grows_with_the_packets_in_flight() {
        let mut history = sent(0, 1);
        resolve(&mut history, 0, 0, &[Some(1)]);
        for seq in 1..=5000 {
            history.record(0, seq, 100, 0);
        }
        let report = resolve(&mut history, 1, 0, &[Some(1); 5000]);
        assert_eq!(report.arrivals.len(), 5000);
    }

    #[test]
    fn ring_stays_small_while_no_feedback_comes() {
        let history = sent(0, 5000);
        assert_eq!(history.entries.len(), UNHEARD_CAPACITY);
    }

    #[test]
    fn oldest_packets_are_evicted() {
        let mut history = SentHistory::new();
        for i in 0..1000u16 {
            history.record(i64::from(i) * 1_000_000, i, 10, 0);
        }
        assert_eq!(history.entries.len(), MIN_CAPACITY);
    }

    #[test]
    fn repeated_and_unnumbered_packets_count_with_the_next_one() {
        let mut history = sent(0, 2);
        history.record(5000, 0, 500, 0);
        history.record_untracked(0, 50);
        history.record(6000, 2, 1000, 0);
        let report = resolve(&mut history, 2, 0, &[Some(0)]);
        assert_eq!(report.arrivals[0].size, 1550);
    }

    #[test]
    fn unsent_numbers_are_neither_lost_nor_received() {
        let mut history = sent(0, 1);
        history.record(0, 5, 10, 0);
        let report = resolve(&mut history, 0, 0, &[Some(0), None, None, Some(0), None, Some(0)]);
        assert_eq!((report.arrivals.len(), report.missing.len()), (2, 0));
    }

    #[test]
    fn remote_clock_survives_its_wrap() {
        let mut clock = RemoteClock::default();
        let before = clock.reference(0x7f_ffff);
        assert_eq!(clock.reference(-0x80_0000), before + 64_000);
        assert_eq!(clock.reference(0x7f_fffe), before - 64_000);
    }
}
