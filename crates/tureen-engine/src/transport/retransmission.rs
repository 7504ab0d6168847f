//! Retransmissions of a transport, requested and proactive.
//!
//! A lost packet delays its frame by one round trip, which is seldom noticeable; a lost retransmission delays the frame
//! by a second round trip, which is a visible freeze. On a path with a long round trip time and losses without
//! congestion ([`SendControl::retransmits_proactively`](super::send_control::SendControl::retransmits_proactively)),
//! each retransmission is therefore duplicated a little later, and a packet that transport-wide feedback reports as
//! lost is retransmitted without a NACK. All of them count against the transport's [`RetransmissionBudget`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::send_control::SentPacketRef;
use crate::keys::ConsumerKey;
use tureen_rtc::units::Bitrate;

/// Delay of a duplicate: long enough for independent loss.
const DUPLICATE_AFTER: Duration = Duration::from_millis(10);
/// Maximum number of scheduled duplicates; no more are scheduled beyond that.
const MAX_DUPLICATES: usize = 64;
/// Number of sent packets kept by transport-wide number: those sent before their feedback arrives.
const SENT_PACKETS: usize = 512;

/// Cause of a retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetransmissionCause {
    /// The packet was lost.
    Lost,
    /// The lost packet is of an encoding that is no longer sent. The current encoding has precedence, because the
    /// decoder waits for the rest of its key frame.
    Left,
    /// The previous retransmission may be lost.
    Duplicate,
}

/// Proactive retransmissions of one transport. The fields that every run of packets touches are last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ProactiveRetransmissions {
    /// Ring indexed by transport-wide number; empty until the first packet is recorded.
    sent: Vec<Option<(u16, SentPacketRef)>>,
    /// Scheduled duplicates with their times, in ascending order.
    duplicates: VecDeque<(Instant, SentPacketRef)>,
}

impl ProactiveRetransmissions {
    /// Creates an empty state.
    pub(crate) fn new() -> Self {
        Self { duplicates: VecDeque::new(), sent: Vec::new() }
    }

    /// Schedules a duplicate of a retransmission that was sent.
    pub(crate) fn duplicate_later(&mut self, now: Instant, packet: SentPacketRef) {
        if self.duplicates.len() < MAX_DUPLICATES {
            self.duplicates.push_back((now + DUPLICATE_AFTER, packet));
        }
    }

    /// Time of the next duplicate.
    pub(crate) fn next_duplicate_at(&self) -> Option<Instant> {
        self.duplicates.front().map(|&(at, _)| at)
    }

    /// Removes a duplicate that is due.
    pub(crate) fn take_duplicate(&mut self, now: Instant) -> Option<SentPacketRef> {
        self.next_duplicate_at().filter(|&at| at <= now)?;
        self.duplicates.pop_front().map(|(_, packet)| packet)
    }

    /// Records the packet sent with a transport-wide number.
    pub(crate) fn note_sent(&mut self, transport_seq: u16, packet: SentPacketRef) {
        if self.sent.is_empty() {
            self.sent.resize(SENT_PACKETS, None);
        }
        self.sent[usize::from(transport_seq) % SENT_PACKETS] = Some((transport_seq, packet));
    }

    /// Removes the packet sent with a transport-wide number, so that each is returned once.
    pub(crate) fn take_sent(&mut self, transport_seq: u16) -> Option<SentPacketRef> {
        let slot = self.sent.get_mut(usize::from(transport_seq) % SENT_PACKETS)?;
        slot.take_if(|(seq, _)| *seq == transport_seq).map(|(_, packet)| packet)
    }

    /// Removes all scheduled duplicates and recorded packets.
    pub(crate) fn clear(&mut self) {
        self.duplicates.clear();
        self.sent.fill(None);
    }

    /// Removes the packets of a consumer.
    pub(crate) fn forget(&mut self, consumer: ConsumerKey) {
        self.duplicates.retain(|(_, packet)| packet.consumer != consumer);
        for slot in &mut self.sent {
            slot.take_if(|(_, packet)| packet.consumer == consumer);
        }
    }
}

impl Default for ProactiveRetransmissions {
    fn default() -> Self {
        Self::new()
    }
}

/// Bandwidth budget of a transport's retransmissions. When the capacity of a link drops, the receiver requests all
/// packets that the link discards, and answering every request would keep the link congested for seconds. The budget
/// also bounds the cost of a receiver that requests every packet repeatedly.
#[derive(Debug, Default)]
pub(crate) struct RetransmissionBudget {
    bytes: f64,
    updated_at: Option<Instant>,
}

impl RetransmissionBudget {
    /// Time over which unused budget accumulates.
    const WINDOW: Duration = Duration::from_millis(500);
    /// Minimum budget, for a few packets.
    const MIN_BYTES: f64 = 6000.0;

    /// Rate of the budget: a share of the estimate, if there is one, limited to the bitrate of media plus `floor`. The
    /// limit does not depend on the estimate, because the remote endpoint's reports determine the estimate but not the
    /// media.
    pub(crate) fn rate(estimated: Option<Bitrate>, media: Bitrate, floor: Bitrate) -> Bitrate {
        let most = media + floor;
        estimated.map_or(most, |rate| rate.min(most))
    }

    /// Spends `bytes` of the budget, if available. Duplicates, and retransmissions of an encoding that is no longer
    /// sent, must leave half of a full budget.
    pub(crate) fn spend(
        &mut self,
        now: Instant,
        rate: Bitrate,
        bytes: usize,
        cause: RetransmissionCause,
    ) -> bool {
        let reserve = match cause {
            RetransmissionCause::Lost => 0.0,
            RetransmissionCause::Left | RetransmissionCause::Duplicate => 0.5,
        };
        let most = (rate.bytes_in(Self::WINDOW) as f64).max(Self::MIN_BYTES);
        self.bytes = match self.updated_at.replace(now) {
            None => Self::MIN_BYTES,
            Some(at) => {
                let elapsed = now.saturating_duration_since(at).as_secs_f64();
                (self.bytes + rate.as_bps() as f64 / 8.0 * elapsed).min(most)
            }
        };
        let enough = self.bytes >= bytes as f64 + most * reserve;
        if enough {
            self.bytes -= bytes as f64;
        }
        enough
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::media::consumer::Retransmission;

    const MS: Duration = Duration::from_millis(1);

    fn packet(consumer: ConsumerKey, output: u64) -> SentPacketRef {
        SentPacketRef {
            consumer,
            retransmission: Retransmission { send_stream: 0, stream: 0, source: output, output },
        }
    }

    fn output(packet: Option<SentPacketRef>) -> Option<u64> {
        packet.map(|packet| packet.retransmission.output)
    }

    #[test]
    fn duplicate_follows_a_retransmission_once_after_10_ms() {
        let now = Instant::now();
        let mut retransmissions = ProactiveRetransmissions::new();
        assert_eq!(retransmissions.next_duplicate_at(), None);
        retransmissions.duplicate_later(now, packet(ConsumerKey::default(), 7));
        retransmissions.duplicate_later(now + 4 * MS, packet(ConsumerKey::default(), 8));
        assert_eq!(retransmissions.next_duplicate_at(), Some(now + 10 * MS));
        assert_eq!(output(retransmissions.take_duplicate(now + 9 * MS)), None);
        assert_eq!(output(retransmissions.take_duplicate(now + 10 * MS)), Some(7));
        assert_eq!(output(retransmissions.take_duplicate(now + 10 * MS)), None);
        assert_eq!(output(retransmissions.take_duplicate(now + 50 * MS)), Some(8));
        assert_eq!(retransmissions.next_duplicate_at(), None);
    }

    #[test]
    fn number_of_waiting_duplicates_is_bounded() {
        let now = Instant::now();
        let mut retransmissions = ProactiveRetransmissions::new();
        for output in 0..1000 {
            retransmissions.duplicate_later(now, packet(ConsumerKey::default(), output));
        }
        let sent = std::iter::from_fn(|| retransmissions.take_duplicate(now + 10 * MS));
        assert_eq!(sent.count(), MAX_DUPLICATES);
    }

    #[test]
    fn sent_packet_is_found_by_its_number_once_also_across_the_wrap() {
        let mut retransmissions = ProactiveRetransmissions::new();
        assert_eq!(output(retransmissions.take_sent(5)), None, "nothing was noted");
        for seq in 0xfff0..0x1_0010u64 {
            retransmissions.note_sent(seq as u16, packet(ConsumerKey::default(), seq));
        }
        assert_eq!(output(retransmissions.take_sent(0xffff)), Some(0xffff));
        assert_eq!(output(retransmissions.take_sent(0xffff)), None);
        assert_eq!(output(retransmissions.take_sent(3)), Some(0x1_0003));
        assert_eq!(
            output(retransmissions.take_sent(3 + SENT_PACKETS as u16)),
            None,
            "another packet in its place"
        );
        retransmissions.note_sent(4 + SENT_PACKETS as u16, packet(ConsumerKey::default(), 1));
        assert_eq!(output(retransmissions.take_sent(4)), None, "its place was taken");
    }

    #[test]
    fn closed_consumer_is_forgotten() {
        let now = Instant::now();
        let mut keys: SlotMap<ConsumerKey, ()> = SlotMap::with_key();
        let (closed, other) = (keys.insert(()), keys.insert(()));
        let mut retransmissions = ProactiveRetransmissions::new();
        for (seq, consumer) in [(1, closed), (2, other)] {
            retransmissions.duplicate_later(now, packet(consumer, seq));
            retransmissions.note_sent(seq as u16, packet(consumer, seq));
        }
        retransmissions.forget(closed);
        assert_eq!(output(retransmissions.take_sent(1)), None);
        assert_eq!(output(retransmissions.take_sent(2)), Some(2));
        assert_eq!(output(retransmissions.take_duplicate(now + 10 * MS)), Some(2));
        retransmissions.duplicate_later(now, packet(other, 3));
        retransmissions.clear();
        assert_eq!(retransmissions.next_duplicate_at(), None);
    }

    #[test]
    fn budget_accumulates_for_half_a_second_and_duplicates_use_half_of_it() {
        let now = Instant::now();
        let mut budget = RetransmissionBudget::default();
        let rate = Bitrate::kbps(300);
        budget.spend(now, rate, 0, RetransmissionCause::Lost);
        let later = now + Duration::from_secs(10);
        // 300 kbit/s for half a second: 18,750 bytes.
        let duplicates =
            std::iter::repeat_with(|| budget.spend(later, rate, 1000, RetransmissionCause::Duplicate));
        assert_eq!(duplicates.take_while(|spent| *spent).count(), 9);
        assert!(!budget.spend(later, rate, 1000, RetransmissionCause::Left), "what has begun comes first");
        let asked_for = std::iter::repeat_with(|| budget.spend(later, rate, 1000, RetransmissionCause::Lost));
        assert_eq!(asked_for.take_while(|spent| *spent).count(), 9);
        // 750 bytes are left, and 37.5 accumulate each millisecond.
        assert!(!budget.spend(later + 6 * MS, rate, 1000, RetransmissionCause::Lost));
        assert!(budget.spend(later + 7 * MS, rate, 1000, RetransmissionCause::Lost));
    }

    #[test]
    fn budget_never_exceeds_media_and_floor() {
        let (media, floor) = (Bitrate::kbps(500), Bitrate::kbps(100));
        let rate = |estimated| RetransmissionBudget::rate(estimated, media, floor);
        assert_eq!(rate(None), Bitrate::kbps(600));
        assert_eq!(rate(Some(Bitrate::kbps(300))), Bitrate::kbps(300));
        assert_eq!(rate(Some(Bitrate::mbps(3000))), Bitrate::kbps(600), "whatever the remote side reports");
        assert_eq!(RetransmissionBudget::rate(None, Bitrate::ZERO, floor), floor);
    }
}
