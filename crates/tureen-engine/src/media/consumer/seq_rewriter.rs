//! Maps extended sequence numbers of source streams to those of a consumer's outgoing stream, and back.
//!
//! Gaps caused by the source's network stay gaps, so that the receiver requests the missing packets; packets dropped by
//! the consumer leave no gap. Late packets use the numbers reserved for them, even if the consumer has switched to
//! another source stream since.

use std::collections::VecDeque;

/// Maximum number of offset changes kept; older packets cannot be mapped. Dropping every second frame at 60 frames a
/// second causes 30 changes a second.
const MAX_SEGMENTS: usize = 128;

/// Sequence number mapping of one outgoing stream (mediasoup SeqManager).
#[derive(Debug)]
#[repr(C)]
pub struct SeqRewriter {
    /// Segments before the newest, oldest first.
    older: VecDeque<Segment>,
    /// Newest segment of source numbers with one offset; nearly all packets belong to it.
    newest: Option<Segment>,
    /// Highest number of the current source stream that was forwarded or skipped.
    highest_source: Option<u64>,
    /// Highest output number sent.
    highest_output: u64,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    /// First source number of the segment.
    start: u64,
    /// Source number at which the segment ends, if another source stream followed.
    end: u64,
    /// Output number minus source number.
    offset: i64,
    stream: u8,
    epoch: u16,
    limit: u8,
}

impl Segment {
    /// True if the segment has no end, because no other source stream followed.
    fn is_open(&self) -> bool {
        self.end == u64::MAX
    }

    /// True if a packet belongs to the segment and the segment has no end.
    fn continues_with(&self, stream: u8, source: u64) -> bool {
        self.stream == stream && self.start <= source && self.is_open()
    }
}

/// Mapping of a source number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Output number.
    pub output: u64,
    /// Number of switches of the output to another source, or resynchronisations with the same one.
    pub epoch: u16,
    /// Layers sent at that source number; see [`SeqRewriter::set_limit`].
    pub limit: u8,
    /// True if a later number was mapped before.
    pub late: bool,
}

impl SeqRewriter {
    /// Creates a mapping whose output starts right after `initial_output`.
    pub fn new(initial_output: u16) -> Self {
        // The output starts in the second cycle, so that packets before the first one have a number.
        Self::after(0x1_0000 + u64::from(initial_output))
    }

    /// Creates a mapping whose output continues right after `highest_output`, an extended number.
    pub fn after(highest_output: u64) -> Self {
        Self { newest: None, older: VecDeque::new(), highest_source: None, highest_output }
    }

    /// True if an output number was assigned.
    pub fn has_begun(&self) -> bool {
        self.highest_source.is_some()
    }

    /// Maps `source` to the next output number regardless of the previous segments: after a pause or a restart of the
    /// source. Lower source numbers are refused from now on.
    pub fn sync(&mut self, source: u64) {
        self.newest = None;
        self.older.clear();
        self.switch(0, source, 0);
    }

    /// Maps `source` of another source stream to the next output number after `gap` skipped ones, and returns the new
    /// epoch. Late packets of the previous source stream keep their reserved numbers.
    pub fn switch(&mut self, stream: u8, source: u64, gap: u64) -> u16 {
        // Numbers reserved for missing packets are not reassigned.
        self.highest_output = self.highest_kept() + gap;
        let last = self.newest.as_mut();
        let epoch = last.as_ref().map_or(0, |segment| segment.epoch.wrapping_add(1));
        if let (Some(last), Some(highest)) = (last, self.highest_source)
            && last.is_open()
        {
            last.end = highest + 1;
        }
        let offset = (self.highest_output + 1) as i64 - source as i64;
        self.push(Segment { start: source, end: u64::MAX, offset, stream, epoch, limit: 0 });
        self.highest_source = Some(source - 1);
        epoch
    }

    /// Sets the layer limit of packets from `source` on, so that a late packet is selected by the limit that applied at
    /// its number.
    pub fn set_limit(&mut self, source: u64, limit: u8) {
        let Some(last) = &mut self.newest else { return };
        if last.limit == limit {
            return;
        }
        let (start, segment) = (last.start.max(source), *last);
        if last.start == start {
            last.limit = limit;
        } else {
            self.push(Segment { start, limit, ..segment });
        }
    }

    /// Forgets the numbers of a source stream that has restarted.
    pub fn forget(&mut self, stream: u8) {
        self.older.retain(|segment| segment.stream != stream);
        if self.newest.is_some_and(|newest| newest.stream == stream) {
            self.newest = self.older.pop_back();
        }
    }

    /// Output number of a packet to forward. `None` if the packet precedes the stream's start or the kept segments.
    #[inline]
    pub fn forward(&mut self, source: u64) -> Option<u64> {
        self.forward_of(0, source)
    }

    /// Like [`forward`](Self::forward), for one of several source streams.
    #[inline]
    pub fn forward_of(&mut self, stream: u8, source: u64) -> Option<u64> {
        if let Some(newest) = &self.newest
            && newest.continues_with(stream, source)
            && Some(source) > self.highest_source
        {
            let output = source.wrapping_add_signed(newest.offset);
            self.highest_source = Some(source);
            self.highest_output = self.highest_output.max(output);
            return Some(output);
        }
        self.forward_late(stream, source)
    }

    fn forward_late(&mut self, stream: u8, source: u64) -> Option<u64> {
        let mapped = self.lookup(stream, source)?;
        if !mapped.late {
            self.highest_source = Some(source);
        }
        self.highest_output = self.highest_output.max(mapped.output);
        Some(mapped.output)
    }

    /// Mapping of a source number, without forwarding the packet.
    pub fn lookup(&self, stream: u8, source: u64) -> Option<Mapped> {
        let segment = self.segments().find(|s| s.start <= source && s.stream == stream)?;
        if source >= segment.end {
            return None;
        }
        let current = self.newest.is_some_and(|last| last.epoch == segment.epoch && last.is_open());
        Some(Mapped {
            output: source.wrapping_add_signed(segment.offset),
            epoch: segment.epoch,
            limit: segment.limit,
            late: !(current && Some(source) > self.highest_source),
        })
    }

    /// True if numbers of a source stream from `source` on were mapped or skipped before. A switch to the stream at
    /// `source` would map them twice.
    pub fn has_passed(&self, stream: u8, source: u64) -> bool {
        let newest = self.segments().find(|segment| segment.stream == stream);
        newest.is_some_and(|segment| {
            if segment.is_open() { self.highest_source >= Some(source) } else { segment.end > source }
        })
    }

    /// True if late packets of a source stream may still have reserved numbers.
    pub fn remembers(&self, stream: u8) -> bool {
        self.segments().any(|segment| segment.stream == stream)
    }

    /// Skips `source` of the only source stream.
    pub fn skip(&mut self, source: u64) {
        self.skip_of(0, source);
    }

    /// Skips `source` of one of several source streams, so that later numbers leave no gap. A late packet is skipped
    /// the same way unless a later number was sent already, in which case its number stays a gap. Skipping a number
    /// twice has no effect.
    pub fn skip_of(&mut self, stream: u8, source: u64) {
        let Some(newest) = &mut self.newest else { return };
        if newest.stream != stream || !newest.is_open() {
            return;
        }
        if Some(source) <= self.highest_source {
            return self.skip_late(source);
        }
        self.highest_source = Some(source);
        let next = Segment { start: source + 1, offset: newest.offset - 1, ..*newest };
        if newest.start == source {
            *newest = next;
        } else {
            self.push(next);
        }
    }

    fn skip_late(&mut self, source: u64) {
        let mut following: Option<Segment> = None;
        let mut passed = 0;
        let mut found = None;
        for segment in self.segments() {
            if segment.start <= source {
                found = Some(*segment);
                break;
            }
            following = Some(*segment);
            passed += 1;
        }
        let (Some(segment), Some(newest)) = (found, self.newest) else { return };
        if segment.epoch != newest.epoch || source.wrapping_add_signed(segment.offset) <= self.highest_output
        {
            return;
        }
        // The numbers before the next segment, as many as the difference of the offsets, were skipped.
        let left_out_from =
            following.map(|next| next.start.saturating_add_signed(next.offset - segment.offset));
        if left_out_from.is_some_and(|from| source >= from) {
            return;
        }
        // All later segments shift by one.
        let older = self.older.len();
        for later in self.newest.iter_mut().chain(self.older.iter_mut().rev()).take(passed) {
            later.offset -= 1;
        }
        let next = Segment { start: source + 1, offset: segment.offset - 1, ..segment };
        let is_needed = left_out_from != Some(source + 1);
        match passed {
            0 if segment.start == source => self.newest = Some(next),
            0 => self.push(next),
            _ if segment.start == source && is_needed => self.older[older - passed] = next,
            _ if segment.start == source => drop(self.older.remove(older - passed)),
            _ if is_needed => {
                self.older.insert(older - passed + 1, next);
                if self.older.len() == MAX_SEGMENTS {
                    self.older.pop_front();
                }
            }
            _ => {}
        }
    }

    /// Highest output number sent or reserved for a missing packet.
    fn highest_kept(&self) -> u64 {
        let kept = match (&self.newest, self.highest_source) {
            (Some(newest), Some(source)) if newest.is_open() => source.wrapping_add_signed(newest.offset),
            _ => 0,
        };
        self.highest_output.max(kept)
    }

    /// Output number of `source`, without forwarding the packet.
    pub fn output_of(&self, source: u64) -> Option<u64> {
        self.lookup(0, source).map(|mapped| mapped.output)
    }

    /// Highest output number sent.
    pub fn highest_output(&self) -> u64 {
        self.highest_output
    }

    /// Source number of the 16-bit output number in a NACK, for a single source stream.
    pub fn source_of(&self, output: u16) -> Option<u64> {
        let output = self.extend(output)?;
        let mut end = u64::MAX;
        for segment in self.segments() {
            let source = output.wrapping_add_signed(-segment.offset);
            if source >= segment.start && source < end {
                return Some(source);
            }
            end = segment.start;
        }
        None
    }

    /// Extended output number of the 16-bit one in a NACK; `None` if the number was not sent yet.
    pub fn extend(&self, output: u16) -> Option<u64> {
        let behind = (self.highest_output as u16).wrapping_sub(output);
        (behind < 0x8000).then(|| self.highest_output - u64::from(behind))
    }

    /// All segments, newest first.
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.newest.iter().chain(self.older.iter().rev())
    }

    fn push(&mut self, segment: Segment) {
        let Some(before) = self.newest.replace(segment) else { return };
        if self.older.len() + 1 == MAX_SEGMENTS {
            self.older.pop_front();
        }
        self.older.push_back(before);
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
    fn receiver_number_maps_back_to_the_source_across_the_wrap() {
        let mut r = SeqRewriter::new(65_533);
        r.sync(5_000_000);
        for i in 0..10 {
            let output = r.forward(5_000_000 + i).expect("in order");
            assert_eq!(r.source_of(output as u16), Some(5_000_000 + i));
        }
        assert_eq!(r.source_of(100), None, "not sent yet");
    }

    #[test]
    fn number_before_the_sync_maps_to_nothing() {
        let mut r = synced(100_000);
        let first = r.forward(100_000).expect("in order");
        assert_eq!(r.source_of((first - 1) as u16), None);
    }

    #[test]
    fn other_stream_continues_the_numbers_of_the_first() {
        let mut r = SeqRewriter::new(999);
        assert_eq!(r.switch(0, 100_000, 0), 0);
        let first = r.forward_of(0, 100_000).expect("in order");
        assert_eq!(r.forward_of(0, 100_002), Some(first + 2));
        assert_eq!(r.switch(1, 70_000, 0), 1);
        assert_eq!(r.forward_of(1, 70_000), Some(first + 3));
        assert_eq!(r.forward_of(0, 100_001), Some(first + 1), "late, with its own number");
        assert_eq!(r.forward_of(0, 100_003), None, "was never sent");
        assert_eq!(r.forward_of(1, 69_999), None, "before the switch");
        r.skip(70_001);
        r.switch(0, 100_050, 1);
        assert!(r.lookup(1, 70_000).expect("still known").late);
        assert_eq!(r.forward_of(0, 100_050), Some(first + 5), "a number left out");
        assert_eq!(r.forward_of(1, 70_002), None);
        let late = r.lookup(0, 100_001).expect("still known");
        assert_eq!((late.output, late.epoch, late.late), (first + 1, 0, true));
        r.forget(0);
        assert!(!r.remembers(0) && r.remembers(1));
        assert_eq!(r.lookup(0, 100_001), None);
    }

    #[test]
    fn number_kept_for_a_lost_packet_is_not_given_to_another_stream() {
        let mut r = SeqRewriter::new(999);
        r.switch(0, 100_000, 0);
        let first = r.forward_of(0, 100_000).expect("in order");
        r.skip(100_002);
        r.switch(1, 5_000, 0);
        assert_eq!(r.forward_of(1, 5_000), Some(first + 2));
        assert_eq!(r.forward_of(0, 100_001), Some(first + 1));
    }

    #[test]
    fn passed_numbers_are_recognised() {
        let mut r = SeqRewriter::new(999);
        assert!(!r.has_passed(0, 1));
        r.switch(0, 100_000, 0);
        assert!(!r.has_passed(0, 100_000));
        r.forward_of(0, 100_000);
        r.skip(100_003);
        assert!(r.has_passed(0, 99_999) && r.has_passed(0, 100_003) && !r.has_passed(0, 100_004));
        r.switch(1, 5_000, 0);
        r.forward_of(1, 5_000);
        assert!(r.has_passed(0, 100_003) && !r.has_passed(0, 100_004));
        assert!(r.has_passed(1, 5_000) && !r.has_passed(1, 5_001));
    }

    #[test]
    fn restarted_stream_does_not_affect_others() {
        let mut r = SeqRewriter::new(999);
        r.switch(0, 100_000, 0);
        let first = r.forward_of(0, 100_000).expect("in order");
        r.forward_of(0, 100_002);
        r.switch(1, 200_000, 0);
        r.forward_of(1, 200_000);
        r.forget(1);
        assert!(r.lookup(0, 100_001).expect("still known").late);
        r.switch(1, 5_000, 0);
        assert_eq!(r.forward_of(0, 100_001), Some(first + 1));
        assert_eq!(r.lookup(0, 100_003), None, "was never sent");
        assert!(!r.has_passed(0, 100_003));
    }

    #[test]
    fn late_packet_gets_the_limit_of_its_time() {
        let mut r = synced(100_000);
        r.forward(100_000);
        r.set_limit(100_001, 2);
        r.forward(100_002);
        r.skip(100_003);
        r.set_limit(100_004, 1);
        r.forward(100_004);
        let limit = |r: &SeqRewriter, source| r.lookup(0, source).map(|mapped| mapped.limit);
        assert_eq!(
            [100_000, 100_001, 100_004, 100_005].map(|s| limit(&r, s)),
            [Some(0), Some(2), Some(1), Some(1)]
        );
        assert!(r.lookup(0, 100_001).expect("known").late && !r.lookup(0, 100_005).expect("known").late);
    }

    #[test]
    fn dropped_packets_that_arrive_reordered_leave_no_gap() {
        let mut r = synced(100_000);
        let first = r.forward(100_000).expect("in order");
        for source in [100_002, 100_001, 100_005, 100_003, 100_004, 100_004, 100_001] {
            r.skip(source);
        }
        assert_eq!(r.forward(100_006), Some(first + 1));
        r.skip(100_008);
        assert_eq!(r.forward(100_009), Some(first + 3), "100_007 is missing");
        r.skip(100_007);
        assert_eq!(r.forward(100_010), Some(first + 4), "too late to close up");
        assert_eq!([1, 3, 4].map(|n| r.source_of((first + n) as u16)), [100_006, 100_009, 100_010].map(Some));
    }

    #[test]
    fn long_run_of_dropped_packets_is_one_change() {
        let mut r = synced(100_000);
        let first = r.forward(100_000).expect("in order");
        r.forward(100_002);
        (100_003..110_000).for_each(|source| r.skip(source));
        assert_eq!(r.forward(110_000), Some(first + 3));
        assert_eq!(r.forward(100_001), Some(first + 1), "still remembered");
    }

    #[test]
    fn skips_do_not_shift_the_numbers_of_another_stream() {
        let mut r = SeqRewriter::new(999);
        r.switch(0, 100_000, 0);
        let first = r.forward_of(0, 100_000).expect("in order");
        r.skip_of(0, 100_002);
        r.switch(1, 5_000, 0);
        assert_eq!(r.forward_of(1, 5_000), Some(first + 2));
        r.skip_of(0, 100_001);
        r.skip_of(1, 5_002);
        r.skip_of(1, 5_001);
        assert_eq!(r.forward_of(1, 5_003), Some(first + 3));
    }

    /// Moves each item back by up to `by` positions.
    fn shuffled(items: &[(u64, bool)], by: &[usize]) -> Vec<(u64, bool)> {
        let mut keyed: Vec<(usize, (u64, bool))> =
            items.iter().enumerate().map(|(at, &item)| (at + by[at % by.len()], item)).collect();
        keyed.sort_by_key(|&(at, _)| at);
        keyed.into_iter().map(|(_, item)| item).collect()
    }

    proptest! {
        /// For any loss, reordering, duplication and skipping, no two source numbers share an output number, and every
        /// gap in the output is a gap in the input.
        #[test]
        fn outputs_are_unique_and_without_gaps_for_skipped_packets(
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

        /// For any reordering and loss, output numbers follow the order of the source, and an output number is missing
        /// only if its packet was lost or arrived after a later one was sent.
        #[test]
        fn reordered_packets_leave_no_gap_that_the_network_did_not_make(
            start in 65_400u64..65_700,
            packets in prop::collection::vec((prop::bool::weighted(0.9), any::<bool>()), 2..400),
            by in prop::collection::vec(0usize..7, 1..50),
        ) {
            let mut r = SeqRewriter::new(65_530);
            let start = start + 0x1_0000;
            r.switch(0, start, 0);
            let mut sent = BTreeMap::from([(r.forward_of(0, start).expect("the first"), start)]);
            let items: Vec<(u64, bool)> =
                packets.iter().zip(start + 1..).filter(|((comes, _), _)| *comes).map(|((_, skip), seq)| (seq, *skip)).collect();
            let mut gone = HashSet::new();
            let mut highest = start;
            for (source, skip) in shuffled(&items, &by) {
                if !skip {
                    let output = r.forward_of(0, source);
                    prop_assert!(output.is_some_and(|output| sent.insert(output, source).is_none()), "{source}");
                    highest = highest.max(source);
                } else {
                    r.skip_of(0, source);
                    if highest < source {
                        gone.insert(source);
                    }
                }
            }
            prop_assert!(sent.values().is_sorted());
            let forwarded: HashSet<u64> = sent.values().copied().collect();
            let gaps = (start..=highest).filter(|source| !forwarded.contains(source) && !gone.contains(source)).count();
            let (first, last) = (sent.first_key_value().expect("one").0, sent.last_key_value().expect("one").0);
            prop_assert_eq!((last - first + 1) as usize - sent.len(), gaps);
            for (&output, &source) in sent.iter().rev().take(100) {
                prop_assert_eq!(r.source_of(output as u16), Some(source));
            }
        }
    }
}
