//! What a transport sends again, asked for or not.
//!
//! A picture whose packet is lost stands still for one round trip, which is seldom noticed, unless its repair fails: a
//! second round is a freeze. So where packets get lost on a long way, but not for want of capacity
//! ([`SendControl::retransmits_proactively`](super::send_control::SendControl::retransmits_proactively)), the retransmissions are repeated before
//! anybody can know that they failed: each goes out a second time a little later, and a packet that transport-wide
//! feedback tells to be lost is not waited for to be asked for. All of it comes out of the transport's [`RetransmissionBudget`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::send_control::SentPacketRef;
use crate::keys::ConsumerKey;
use tureen_rtc::units::Bitrate;

/// From a repair to its copy: long enough to be lost by itself.
const DUPLICATE_AFTER: Duration = Duration::from_millis(10);
/// Copies that wait at most; no more are made then.
const MAX_DUPLICATES: usize = 64;
/// Sent packets that are remembered by their transport-wide number: what is sent until feedback comes.
const SENT_PACKETS: usize = 512;

/// Why a packet is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetransmissionCause {
    /// It was lost.
    Lost,
    /// It was lost, and is of an encoding that is not sent any more. What has begun comes first: the decoder waits for the rest
    /// of its key frame.
    Left,
    /// Its repair may be lost.
    Duplicate,
}

/// ProactiveRetransmissions of one transport. What each run touches comes last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ProactiveRetransmissions {
    /// In a ring by their transport-wide number; empty until something is noted.
    sent: Vec<Option<(u16, SentPacketRef)>>,
    /// When they are to be sent, in that order.
    duplicates: VecDeque<(Instant, SentPacketRef)>,
}

impl ProactiveRetransmissions {
    /// Nothing was sent yet.
    pub(crate) fn new() -> Self {
        Self { duplicates: VecDeque::new(), sent: Vec::new() }
    }

    /// A repair was sent: its copy is to follow.
    pub(crate) fn duplicate_later(&mut self, now: Instant, repair: SentPacketRef) {
        if self.duplicates.len() < MAX_DUPLICATES {
            self.duplicates.push_back((now + DUPLICATE_AFTER, repair));
        }
    }

    /// When the next copy is to be sent.
    pub(crate) fn next_duplicate_at(&self) -> Option<Instant> {
        self.duplicates.front().map(|&(at, _)| at)
    }

    /// Takes a copy that is to be sent now.
    pub(crate) fn take_duplicate(&mut self, now: Instant) -> Option<SentPacketRef> {
        self.next_duplicate_at().filter(|&at| at <= now)?;
        self.duplicates.pop_front().map(|(_, repair)| repair)
    }

    /// Remembers what was sent with a transport-wide number.
    pub(crate) fn note_sent(&mut self, transport_seq: u16, packet: SentPacketRef) {
        if self.sent.is_empty() {
            self.sent.resize(SENT_PACKETS, None);
        }
        self.sent[usize::from(transport_seq) % SENT_PACKETS] = Some((transport_seq, packet));
    }

    /// What was sent with a transport-wide number; each packet once.
    pub(crate) fn take_sent(&mut self, transport_seq: u16) -> Option<SentPacketRef> {
        let slot = self.sent.get_mut(usize::from(transport_seq) % SENT_PACKETS)?;
        slot.take_if(|(seq, _)| *seq == transport_seq).map(|(_, packet)| packet)
    }

    /// Forgets what waits and what was sent.
    pub(crate) fn clear(&mut self) {
        self.duplicates.clear();
        self.sent.fill(None);
    }

    /// Forgets a consumer.
    pub(crate) fn forget(&mut self, consumer: ConsumerKey) {
        self.duplicates.retain(|(_, repair)| repair.consumer != consumer);
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

/// What a transport may spend on retransmissions. When a link gets too small all that it drops is asked for again, which
/// would keep it full for seconds; and whoever asks for everything again and again shall not be sent that.
#[derive(Debug, Default)]
pub(crate) struct RetransmissionBudget {
    bytes: f64,
    updated_at: Option<Instant>,
}

impl RetransmissionBudget {
    /// How long it gathers.
    const WINDOW: Duration = Duration::from_millis(500);
    /// There is always enough for a few packets.
    const MIN_BYTES: f64 = 6000.0;

    /// What may be spent: a share of the estimate, where congestion control has one, but in any case no more than is sent
    /// as media, and `floor`: the estimate follows from what the remote side reports, and media does not.
    pub(crate) fn rate(estimated: Option<Bitrate>, media: Bitrate, floor: Bitrate) -> Bitrate {
        let most = media + floor;
        estimated.map_or(most, |rate| rate.min(most))
    }

    /// Takes `bytes` out of the budget, if they are there. Duplicates, and what was left, leave half of a full one.
    pub(crate) fn spend(
        &mut self,
        now: Instant,
        rate: Bitrate,
        bytes: usize,
        repair: RetransmissionCause,
    ) -> bool {
        let reserve = match repair {
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

    fn repair(consumer: ConsumerKey, output: u64) -> SentPacketRef {
        SentPacketRef {
            consumer,
            retransmission: Retransmission { send_stream: 0, stream: 0, source: output, output },
        }
    }

    fn output(repair: Option<SentPacketRef>) -> Option<u64> {
        repair.map(|repair| repair.retransmission.output)
    }

    #[test]
    fn copy_follows_its_repair_once_after_10_ms() {
        let now = Instant::now();
        let mut retransmissions = ProactiveRetransmissions::new();
        assert_eq!(retransmissions.next_duplicate_at(), None);
        retransmissions.duplicate_later(now, repair(ConsumerKey::default(), 7));
        retransmissions.duplicate_later(now + 4 * MS, repair(ConsumerKey::default(), 8));
        assert_eq!(retransmissions.next_duplicate_at(), Some(now + 10 * MS));
        assert_eq!(output(retransmissions.take_duplicate(now + 9 * MS)), None);
        assert_eq!(output(retransmissions.take_duplicate(now + 10 * MS)), Some(7));
        assert_eq!(output(retransmissions.take_duplicate(now + 10 * MS)), None);
        assert_eq!(output(retransmissions.take_duplicate(now + 50 * MS)), Some(8));
        assert_eq!(retransmissions.next_duplicate_at(), None);
    }

    #[test]
    fn only_so_many_copies_wait() {
        let now = Instant::now();
        let mut retransmissions = ProactiveRetransmissions::new();
        for output in 0..1000 {
            retransmissions.duplicate_later(now, repair(ConsumerKey::default(), output));
        }
        let sent = std::iter::from_fn(|| retransmissions.take_duplicate(now + 10 * MS));
        assert_eq!(sent.count(), MAX_DUPLICATES);
    }

    #[test]
    fn sent_packet_is_found_by_its_number_once_also_across_the_wrap() {
        let mut retransmissions = ProactiveRetransmissions::new();
        assert_eq!(output(retransmissions.take_sent(5)), None, "nothing was noted");
        for seq in 0xfff0..0x1_0010u64 {
            retransmissions.note_sent(seq as u16, repair(ConsumerKey::default(), seq));
        }
        assert_eq!(output(retransmissions.take_sent(0xffff)), Some(0xffff));
        assert_eq!(output(retransmissions.take_sent(0xffff)), None);
        assert_eq!(output(retransmissions.take_sent(3)), Some(0x1_0003));
        assert_eq!(
            output(retransmissions.take_sent(3 + SENT_PACKETS as u16)),
            None,
            "another packet in its place"
        );
        retransmissions.note_sent(4 + SENT_PACKETS as u16, repair(ConsumerKey::default(), 1));
        assert_eq!(output(retransmissions.take_sent(4)), None, "its place was taken");
    }

    #[test]
    fn closed_consumer_is_forgotten() {
        let now = Instant::now();
        let mut keys: SlotMap<ConsumerKey, ()> = SlotMap::with_key();
        let (closed, other) = (keys.insert(()), keys.insert(()));
        let mut retransmissions = ProactiveRetransmissions::new();
        for (seq, consumer) in [(1, closed), (2, other)] {
            retransmissions.duplicate_later(now, repair(consumer, seq));
            retransmissions.note_sent(seq as u16, repair(consumer, seq));
        }
        retransmissions.forget(closed);
        assert_eq!(output(retransmissions.take_sent(1)), None);
        assert_eq!(output(retransmissions.take_sent(2)), Some(2));
        assert_eq!(output(retransmissions.take_duplicate(now + 10 * MS)), Some(2));
        retransmissions.duplicate_later(now, repair(other, 3));
        retransmissions.clear();
        assert_eq!(retransmissions.next_duplicate_at(), None);
    }

    #[test]
    fn budget_gathers_for_half_a_second_and_copies_leave_half_of_it() {
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
        // 750 bytes are left, and 37.5 gather each millisecond.
        assert!(!budget.spend(later + 6 * MS, rate, 1000, RetransmissionCause::Lost));
        assert!(budget.spend(later + 7 * MS, rate, 1000, RetransmissionCause::Lost));
    }

    #[test]
    fn no_estimate_makes_it_more_than_the_media() {
        let (media, floor) = (Bitrate::kbps(500), Bitrate::kbps(100));
        let rate = |estimated| RetransmissionBudget::rate(estimated, media, floor);
        assert_eq!(rate(None), Bitrate::kbps(600));
        assert_eq!(rate(Some(Bitrate::kbps(300))), Bitrate::kbps(300));
        assert_eq!(rate(Some(Bitrate::mbps(3000))), Bitrate::kbps(600), "whatever the remote side reports");
        assert_eq!(RetransmissionBudget::rate(None, Bitrate::ZERO, floor), floor);
    }
}
