//! Sequence validation and loss accounting of an incoming RTP stream (RFC 3550 appendix A.1 and A.3).

/// Forward jump from which a packet belongs to another stream (RFC 3550 §A.1: MAX_DROPOUT).
const MAX_DROPOUT: u16 = 3000;
/// Backward jump from which a packet belongs to another stream (RFC 3550 §A.1: MAX_MISORDER; mediasoup's value).
const MAX_MISORDER: u16 = 1500;

/// Verdict on a packet by its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqVerdict {
    /// The packet belongs to the stream. The value is its sequence number, extended to 64 bits.
    Accepted(u64),
    /// The sender has restarted its numbering with this packet: state by sequence number (missing packets,
    /// retransmissions) is void. The extended number is higher than all before it.
    Restarted(u64),
    /// The sequence number does not fit the stream: the packet is dropped.
    Discarded,
}

impl SeqVerdict {
    /// Extended sequence number of a packet that is not dropped.
    pub fn accepted(self) -> Option<u64> {
        match self {
            Self::Accepted(seq) | Self::Restarted(seq) => Some(seq),
            Self::Discarded => None,
        }
    }
}

/// Validates and extends sequence numbers, and counts expected packets.
///
/// Like [`crate::seq::SeqExtender`], it starts in the second cycle, so that packets reordered before the first one
/// have a number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeqTracker {
    current: Option<Numbering>,
    /// Packets expected in earlier numberings.
    expected_before: u64,
    /// Successor of the last number that did not fit.
    bad_seq: Option<u16>,
    /// Cycle of the next numbering, after a change of source.
    next_cycle: Option<u64>,
    discarded: u64,
}

/// Part of a stream between two restarts of its numbering.
#[derive(Clone, Copy, Debug)]
struct Numbering {
    first: u64,
    highest: u64,
}

impl SeqTracker {
    /// Validates the next packet. Two consecutive packets that do not fit, but follow each other, restart the
    /// numbering.
    pub(crate) fn update(&mut self, seq: u16) -> SeqVerdict {
        let Some(current) = &mut self.current else {
            return self.begin(seq);
        };
        let (ahead, behind) = current.distances(seq);
        if ahead < MAX_DROPOUT {
            current.highest += u64::from(ahead);
            SeqVerdict::Accepted(current.highest)
        } else if behind < MAX_MISORDER {
            SeqVerdict::Accepted(current.highest.saturating_sub(u64::from(behind)))
        } else if self.bad_seq == Some(seq) {
            // RFC 3550 §A.1: "Two sequential packets -- assume that the other side restarted without telling
            // us".
            self.expected_before += current.expected();
            // Two cycles up, so that packets reordered before this one follow all earlier packets too.
            let extended = (current.highest / CYCLE + 2) * CYCLE + u64::from(seq);
            *current = Numbering { first: extended, highest: extended };
            self.bad_seq = None;
            SeqVerdict::Restarted(extended)
        } else {
            self.bad_seq = Some(seq.wrapping_add(1));
            self.discard()
        }
    }

    /// Validates the original packet of an RTX packet.
    ///
    /// Retransmissions may be much later than reordered packets, several in a row, so they never restart the
    /// numbering, and any earlier position is plausible.
    pub(crate) fn update_retransmitted(&mut self, seq: u16) -> SeqVerdict {
        let Some(current) = &mut self.current else {
            return self.begin(seq);
        };
        let (ahead, behind) = current.distances(seq);
        if ahead < MAX_DROPOUT {
            current.highest += u64::from(ahead);
            SeqVerdict::Accepted(current.highest)
        } else if behind <= ahead {
            SeqVerdict::Accepted(current.highest.saturating_sub(u64::from(behind)))
        } else {
            self.discard()
        }
    }

    /// True if `extended` is the highest sequence number so far.
    pub(crate) fn is_highest(&self, extended: u64) -> bool {
        self.current.is_some_and(|current| current.highest == extended)
    }

    /// Highest sequence number received, extended by the cycles since the numbering began (RFC 3550 §6.4.1). Zero
    /// before the first packet.
    pub(crate) fn extended_highest(&self) -> u32 {
        self.current.map_or(0, |c| (c.highest - c.first / CYCLE * CYCLE) as u32)
    }

    /// Packets expected by their sequence numbers (RFC 3550 §A.3), over all restarts.
    pub(crate) fn expected(&self) -> u64 {
        self.expected_before + self.current.map_or(0, |current| current.expected())
    }

    /// Discarded packets.
    pub(crate) fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Another source continues the stream: its numbering starts anew, and the previous source's expected packets no
    /// longer count. Extended numbers stay higher than all before.
    pub(crate) fn change_source(&mut self) {
        let next_cycle = self.current.map(|current| current.highest / CYCLE + 2).or(self.next_cycle);
        *self = Self { next_cycle, discarded: self.discarded, ..Self::default() };
    }

    fn begin(&mut self, seq: u16) -> SeqVerdict {
        let cycle = self.next_cycle.unwrap_or(1);
        let extended = cycle * CYCLE + u64::from(seq);
        self.current = Some(Numbering { first: extended, highest: extended });
        match self.next_cycle.take() {
            Some(_) => SeqVerdict::Restarted(extended),
            None => SeqVerdict::Accepted(extended),
        }
    }

    fn discard(&mut self) -> SeqVerdict {
        self.discarded += 1;
        SeqVerdict::Discarded
    }
}

impl Numbering {
    /// Distances of `seq` ahead of and behind the highest number; the shorter one applies.
    fn distances(&self, seq: u16) -> (u16, u16) {
        let ahead = seq.wrapping_sub(self.highest as u16);
        (ahead, ahead.wrapping_neg())
    }

    fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }
}

const CYCLE: u64 = 1 << 16;

/// Loss for receiver reports (RFC 3550 §A.3), from running totals at each report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossCounter {
    expected_prior: u64,
    received_prior: u64,
    lost: u64,
    fraction_lost: u8,
    reported_lost: i64,
}

/// The loss fields of one report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Share of packets lost since the previous report, in 1/256; 255 also stands for 256.
    pub fraction_lost: u8,
    /// Total packets lost, within the 24 signed bits of the field.
    pub total_lost: i32,
}

impl LossCounter {
    /// Ends the interval since the last report.
    ///
    /// `worst_remote_fraction_lost`: highest fraction lost that a Consumer of the stream reports, or zero. It is
    /// reported if it exceeds the local loss, so that an encoder with in-band FEC protects for the worst receiver.
    pub(crate) fn report(&mut self, expected: u64, received: u64, worst_remote_fraction_lost: u8) -> Loss {
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let received_interval = received.saturating_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = received;

        // Duplicates may raise the received count above the expected one. As in mediasoup that is no negative loss.
        let lost = expected.saturating_sub(received);
        let newly_lost = lost as i64 - self.lost as i64;
        self.lost = lost;
        self.fraction_lost =
            fraction_lost(expected_interval, expected_interval.saturating_sub(received_interval));

        let fraction_lost = if worst_remote_fraction_lost > self.fraction_lost {
            self.reported_lost += ((u64::from(worst_remote_fraction_lost) * expected_interval) >> 8) as i64;
            worst_remote_fraction_lost
        } else {
            self.reported_lost += newly_lost;
            self.fraction_lost
        };
        Loss { fraction_lost, total_lost: clamp_to_i24(self.reported_lost) }
    }

    /// Packets lost locally by the last report.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Share of packets lost locally in the interval of the last report, in 1/256.
    pub(crate) fn fraction_lost(&self) -> u8 {
        self.fraction_lost
    }
}

fn fraction_lost(expected: u64, lost: u64) -> u8 {
    if expected == 0 {
        return 0;
    }
    // Rounded; a completely lost interval would be 256, which exceeds the field.
    ((lost * 256 + expected / 2) / expected).min(255) as u8
}

/// RFC 3550 §A.3: "Since this signed number is carried in 24 bits, it should be clamped".
fn clamp_to_i24(lost: i64) -> i32 {
    lost.clamp(-0x80_0000, 0x7f_ffff) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wrap_counts_a_cycle() {
        let mut seq = SeqTracker::default();
        assert_eq!(seq.update(65_534), SeqVerdict::Accepted(0x1_fffe));
        assert_eq!(seq.extended_highest(), 65_534);
        assert_eq!(seq.update(1), SeqVerdict::Accepted(0x2_0001));
        assert_eq!(seq.extended_highest(), 0x1_0001);
        assert_eq!(seq.update(65_535), SeqVerdict::Accepted(0x1_ffff), "late, of the old cycle");
        assert!(!seq.is_highest(0x1_ffff));
        assert_eq!(seq.expected(), 4);
    }

    #[test]
    fn packet_before_the_first_is_accepted() {
        let mut seq = SeqTracker::default();
        seq.update(0);
        assert_eq!(seq.update(65_535), SeqVerdict::Accepted(0xffff));
        assert_eq!(seq.expected(), 1);
    }

    #[test]
    fn dropout_and_misorder_have_limits() {
        let mut seq = SeqTracker::default();
        seq.update(10_000);
        assert_eq!(seq.update(8501).accepted(), Some(CYCLE + 8501));
        assert_eq!(seq.update(8500), SeqVerdict::Discarded);
        assert_eq!(seq.update(13_000), SeqVerdict::Discarded);
        assert_eq!(seq.update(12_999).accepted(), Some(CYCLE + 12_999));
        assert_eq!(seq.discarded(), 2);
    }

    #[test]
    fn two_sequential_packets_restart_the_numbering() {
        let mut seq = SeqTracker::default();
        for n in 40_000..40_010 {
            seq.update(n);
        }
        assert_eq!(seq.update(5), SeqVerdict::Discarded);
        assert_eq!(seq.update(7), SeqVerdict::Discarded, "not sequential");
        let SeqVerdict::Restarted(extended) = seq.update(8) else { panic!("restart") };
        assert!(extended > CYCLE + 40_009 && extended % CYCLE == 8);
        assert!(seq.update(65_535).accepted().unwrap() > CYCLE + 40_009);
        assert_eq!(seq.extended_highest(), 8);
        seq.update(9);
        assert_eq!(seq.expected(), 12, "monotone: ten and two");
    }

    #[test]
    fn late_retransmissions_in_a_row_do_not_restart_the_numbering() {
        let mut seq = SeqTracker::default();
        seq.update(10_000);
        assert_eq!(seq.update_retransmitted(5000), SeqVerdict::Accepted(CYCLE + 5000));
        assert_eq!(seq.update_retransmitted(5001), SeqVerdict::Accepted(CYCLE + 5001));
        assert_eq!(seq.update_retransmitted(10_002), SeqVerdict::Accepted(CYCLE + 10_002));
        assert_eq!(seq.update_retransmitted(20_000), SeqVerdict::Discarded);
        assert_eq!(seq.update_retransmitted(20_001), SeqVerdict::Discarded);
        assert_eq!(seq.extended_highest(), 10_002);
    }

    #[test]
    fn another_source_continues_after_all_earlier_numbers() {
        let mut seq = SeqTracker::default();
        seq.change_source();
        assert_eq!(seq.update(65_000), SeqVerdict::Accepted(CYCLE + 65_000));
        seq.update(1000);
        seq.change_source();
        seq.change_source();
        let SeqVerdict::Restarted(extended) = seq.update(20_000) else { panic!("restart") };
        assert!(extended >= 3 * CYCLE && extended as u16 == 20_000);
        assert_eq!((seq.expected(), seq.extended_highest()), (1, 20_000));
        assert!(seq.update(19_999).accepted().unwrap() > 2 * CYCLE + 1000);
    }

    #[test]
    fn bad_seq_at_the_wrap_is_recognised() {
        let mut seq = SeqTracker::default();
        seq.update(30_000);
        seq.update(65_535);
        assert!(matches!(seq.update(0), SeqVerdict::Restarted(_)));
    }

    #[test]
    fn loss_is_reported_per_interval_and_in_total() {
        let mut loss = LossCounter::default();
        assert_eq!(loss.report(100, 75, 0), Loss { fraction_lost: 64, total_lost: 25 });
        assert_eq!(loss.report(200, 175, 0), Loss { fraction_lost: 0, total_lost: 25 });
        assert_eq!(loss.report(200, 175, 0), Loss { fraction_lost: 0, total_lost: 25 }, "silence");
        assert_eq!(loss.report(300, 175, 0), Loss { fraction_lost: 255, total_lost: 125 }, "all lost");
    }

    #[test]
    fn repaired_and_duplicate_packets_never_make_negative_loss() {
        let mut loss = LossCounter::default();
        loss.report(100, 90, 0);
        assert_eq!(loss.report(110, 130, 0), Loss { fraction_lost: 0, total_lost: 0 });
    }

    #[test]
    fn worst_remote_loss_wins_over_a_better_local_one() {
        let mut loss = LossCounter::default();
        assert_eq!(loss.report(256, 256, 128), Loss { fraction_lost: 128, total_lost: 128 });
        assert_eq!((loss.lost(), loss.fraction_lost()), (0, 0), "statistics keep the local loss");
        assert_eq!(loss.report(512, 320, 10), Loss { fraction_lost: 192, total_lost: 320 });
    }

    #[test]
    fn total_loss_is_clamped_to_24_bits() {
        let mut loss = LossCounter::default();
        assert_eq!(loss.report(1 << 30, 0, 0).total_lost, 0x7f_ffff);
        assert_eq!(clamp_to_i24(-1 << 30), -0x80_0000);
    }

    proptest! {
        #[test]
        fn any_numbers_keep_expected_monotone(seqs in prop::collection::vec(any::<u16>(), 0..500)) {
            let mut tracker = SeqTracker::default();
            let mut loss = LossCounter::default();
            let (mut before, mut received) = (0, 0);
            for seq in seqs {
                if let Some(extended) = tracker.update(seq).accepted() {
                    received += 1;
                    prop_assert_eq!(extended as u16, seq);
                }
                prop_assert!(tracker.expected() >= before);
                before = tracker.expected();
                loss.report(before, received, seq as u8);
            }
        }
    }
}
