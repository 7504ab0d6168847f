//! Maps a source's extended sequence numbers to those a consumer's remote side sees, and back.
//!
//! Gaps of the source's network stay gaps, so that the receiver asks for them; packets that the consumer leaves out on
//! purpose leave no gap. Late packets get the number that was left free for them.

use std::collections::VecDeque;

/// How many changes of offset are remembered: packets older than that many changes can't be mapped any more.
const MAX_SEGMENTS: usize = 64;

/// One direction of one consumer stream (mediasoup SeqManager).
#[derive(Debug)]
pub struct SeqRewriter {
    /// Runs of source numbers with one offset, oldest first.
    segments: VecDeque<Segment>,
    highest_source: Option<u64>,
    highest_output: u64,
    /// Source number at which the stream (re)started; what is older belongs to a stream that was left.
    floor: u64,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    /// First source number of the run.
    start: u64,
    /// Output number minus source number.
    offset: i64,
}

impl SeqRewriter {
    /// Output starts right after `initial_output`.
    pub fn new(initial_output: u16) -> Self {
        // One cycle up, so that packets before the first have a number.
        let highest_output = 0x1_0000 + u64::from(initial_output);
        Self { segments: VecDeque::new(), highest_source: None, highest_output, floor: 0 }
    }

    /// Continues the output with `source` as the next number, whatever came before: after a pause, or with another
    /// source. Source numbers below it are refused from now on.
    pub fn sync(&mut self, source: u64) {
        self.segments.clear();
        self.push_segment(source, (self.highest_output + 1) as i64 - source as i64);
        self.highest_source = Some(source - 1);
        self.floor = source;
    }

    /// The output number of a packet that is forwarded. `None` when it is older than the stream's start or than what is
    /// remembered.
    pub fn forward(&mut self, source: u64) -> Option<u64> {
        let output = self.output_of(source)?;
        self.highest_source = self.highest_source.max(Some(source));
        self.highest_output = self.highest_output.max(output);
        Some(output)
    }

    /// Leaves `source` out. Later numbers move up by one; a packet behind the highest one forwarded can't be closed up
    /// any more and stays a gap.
    pub fn skip(&mut self, source: u64) {
        let Some(highest) = self.highest_source else { return };
        if source <= highest || source < self.floor {
            return;
        }
        let Some(last) = self.segments.back() else { return };
        let offset = last.offset - 1;
        self.highest_source = Some(source);
        self.push_segment(source + 1, offset);
    }

    /// The output number of `source` without forwarding it.
    pub fn output_of(&self, source: u64) -> Option<u64> {
        if source < self.floor {
            return None;
        }
        let segment = self.segments.iter().rev().find(|s| s.start <= source)?;
        Some(source.wrapping_add_signed(segment.offset))
    }

    /// The source number behind the 16-bit output number that a receiver names.
    pub fn source_of(&self, output: u16) -> Option<u64> {
        let behind = (self.highest_output as u16).wrapping_sub(output);
        if behind >= 0x8000 {
            return None;
        }
        let output = self.highest_output - u64::from(behind);
        let mut end = u64::MAX;
        for segment in self.segments.iter().rev() {
            let source = output.wrapping_add_signed(-segment.offset);
            if source >= segment.start && source < end {
                return Some(source);
            }
            end = segment.start;
        }
        None
    }

    fn push_segment(&mut self, start: u64, offset: i64) {
        if let Some(last) = self.segments.back_mut()
            && last.start == start
        {
            last.offset = offset;
            return;
        }
        if self.segments.len() == MAX_SEGMENTS {
            self.segments.pop_front();
            self.floor = self.segments.front().map_or(start, |s| s.start);
        }
        self.segments.push_back(Segment { start, offset });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashSet};

    fn synced(source: u64) -> SeqRewriter {
        let mut rewriter = SeqRewriter::new(999);
        rewriter.sync(source);
        rewriter
    }

    #[test]
    fn output_continues_after_a_sync() {
        let mut r = synced(70_000);
        assert_eq!(r.forward(70_000), Some(0x1_0000 + 1000));
        assert_eq!(r.forward(70_001), Some(0x1_0000 + 1001));
        r.sync(200_000);
        assert_eq!(r.forward(200_000), Some(0x1_0000 + 1002));
        assert_eq!(r.forward(70_002), None, "belongs to what was left");
    }

    #[test]
    fn loss_of_the_source_stays_a_gap_and_is_filled_late() {
        let mut r = synced(100_000);
        let first = r.forward(100_000).expect("in order");
        assert_eq!(r.forward(100_003), Some(first + 3));
        assert_eq!(r.forward(100_001), Some(first + 1));
    }

    #[test]
    fn skipped_packet_leaves_no_gap() {
        let mut r = synced(100_000);
        let first = r.forward(100_000).expect("in order");
        r.skip(100_001);
        assert_eq!(r.forward(100_002), Some(first + 1));
        r.skip(100_003);
        r.skip(100_004);
        assert_eq!(r.forward(100_005), Some(first + 2));
    }

    #[test]
    fn skip_after_a_loss_keeps_the_number_of_the_lost_one() {
        let mut r = synced(100_000);
        let first = r.forward(100_000).expect("in order");
        r.skip(100_002); // 100_001 is late
        assert_eq!(r.forward(100_003), Some(first + 2));
        assert_eq!(r.forward(100_001), Some(first + 1));
    }

    #[test]
    fn receiver_number_leads_back_to_the_source_across_the_wrap() {
        let mut r = SeqRewriter::new(65_533);
        r.sync(5_000_000);
        for i in 0..10 {
            let output = r.forward(5_000_000 + i).expect("in order");
            assert_eq!(r.source_of(output as u16), Some(5_000_000 + i));
        }
        assert_eq!(r.source_of(100), None, "not sent yet");
    }

    #[test]
    fn number_before_the_sync_leads_nowhere() {
        let mut r = synced(100_000);
        let first = r.forward(100_000).expect("in order");
        assert_eq!(r.source_of((first - 1) as u16), None);
    }

    proptest! {
        /// Whatever is lost, late, duplicated or left out: no two sources share an output number, and what is missing
        /// from the output is missing from the input.
        #[test]
        fn outputs_are_unique_and_close_up(
            steps in proptest::collection::vec((0u64..4, any::<bool>(), 0u64..6), 1..300)
        ) {
            let mut r = synced(1_000_000);
            let mut next = 1_000_000;
            let mut late = Vec::new();
            let mut sent = BTreeMap::new();
            let mut skipped = HashSet::new();
            for (lost, skip, take_late) in steps {
                for _ in 0..lost {
                    late.push(next);
                    next += 1;
                }
                if skip {
                    r.skip(next);
                    skipped.insert(next);
                } else if let Some(output) = r.forward(next) {
                    prop_assert!(sent.insert(output, next).is_none());
                }
                next += 1;
                if take_late == 0 && let Some(source) = late.pop() && let Some(output) = r.forward(source) {
                    prop_assert!(sent.insert(output, source).is_none());
                    prop_assert_eq!(r.source_of(output as u16), Some(source));
                }
            }
            let forwarded: HashSet<u64> = sent.values().copied().collect();
            if let (Some((&first, &first_source)), Some((&last, &last_source))) = (sent.first_key_value(), sent.last_key_value()) {
                let missing = (last - first + 1) - sent.len() as u64;
                let lost = (first_source..=last_source).filter(|s| !forwarded.contains(s) && !skipped.contains(s)).count();
                prop_assert_eq!(missing, lost as u64);
            }
        }
    }
}
