//! Picture ids and frame numbers that continue across source switches and have no gaps where frames are dropped.

use crate::media::consumer::sent_log::DescriptorRewrite;
use crate::media::consumer::seq_rewriter::SeqRewriter;
use crate::media::producer::frames::FrameInfo;
use tureen_rtc::wire::codecs::CodecKind;

/// Frame numbers of one outgoing stream.
#[derive(Debug)]
pub(super) struct FrameNumbers {
    rewriter: SeqRewriter,
    mode: Mode,
    /// Offsets of TL0PICIDX in the last epochs of the rewriter.
    tl0_offsets: [(u16, u8); 16],
    /// Last TL0PICIDX sent.
    tl0: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Numbers are forwarded unchanged.
    Keep,
    /// Frames refer to others by differences of numbers, so gaps are kept.
    Shift,
    /// Decoders infer references from consecutive numbers, so gaps are closed (VP8).
    Close,
}

impl FrameNumbers {
    pub(super) fn new(simulcast: bool, kind: CodecKind, random: u64) -> Self {
        let mode = match kind {
            CodecKind::Vp8 => Mode::Close,
            _ if simulcast => Mode::Shift,
            _ => Mode::Keep,
        };
        Self {
            rewriter: SeqRewriter::new(random as u16 & 0x7fff),
            mode,
            tl0_offsets: [(u16::MAX, 0); 16],
            tl0: (random >> 16) as u8,
        }
    }

    /// Continues the numbers with this frame of a source.
    pub(super) fn switch(&mut self, source: u8, frame: &FrameInfo) {
        if self.mode == Mode::Keep || !frame.is(FrameInfo::HAS_NUMBER) {
            return;
        }
        let epoch = self.rewriter.switch(source, frame.number.into(), 0);
        let offset = self.tl0.wrapping_add(1).wrapping_sub(frame.tl0);
        self.tl0_offsets[usize::from(epoch) % self.tl0_offsets.len()] = (epoch, offset);
    }

    /// Forgets the numbers of a source.
    pub(super) fn forget(&mut self, source: u8) {
        self.rewriter.forget(source);
    }

    /// Skips a dropped frame; called for each of its packets.
    pub(super) fn skip(&mut self, source: u8, frame: &FrameInfo) {
        if self.mode == Mode::Close && frame.is(FrameInfo::HAS_NUMBER) {
            self.rewriter.skip_of(source, frame.number.into());
        }
    }

    /// Rewritten fields of a packet that is sent. `newest`: no later packet was sent before it.
    pub(super) fn rewrite(&mut self, source: u8, frame: &FrameInfo, newest: bool) -> DescriptorRewrite {
        if self.mode == Mode::Keep || !frame.is(FrameInfo::HAS_NUMBER) {
            return DescriptorRewrite::default();
        }
        let number = u64::from(frame.number);
        let mut mapped = self.rewriter.lookup(source, number);
        if mapped.is_none() && newest {
            // The encoder has restarted its numbers.
            self.switch(source, frame);
            mapped = self.rewriter.lookup(source, number);
        }
        let Some(mapped) = mapped else { return DescriptorRewrite::default() };
        self.rewriter.forward_of(source, number);
        let (epoch, offset) = self.tl0_offsets[usize::from(mapped.epoch) % self.tl0_offsets.len()];
        let tl0 = frame.tl0.wrapping_add(offset);
        let has_tl0 = frame.is(FrameInfo::HAS_TL0) && epoch == mapped.epoch;
        if has_tl0 && newest {
            self.tl0 = tl0;
        }
        DescriptorRewrite {
            number: Some(mapped.output as u16),
            tl0: has_tl0.then_some(tl0),
            active_targets: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::producer::frames::FrameReader;

    /// VP8 frames by picture id, TL0PICIDX and temporal layer, as received.
    fn frame(reader: &mut FrameReader, id: u16, tl0: u8, tid: u8) -> FrameInfo {
        let [high, low] = (id | 0x8000).to_be_bytes();
        reader.read(&[0x90, 0xe0, high, low, tl0, tid << 6, 0x01], None, true).info
    }

    fn numbers(kind: CodecKind) -> (FrameNumbers, FrameReader) {
        (FrameNumbers::new(true, kind, 500), FrameReader::new(kind))
    }

    #[test]
    fn picture_ids_have_no_gap_for_a_dropped_frame() {
        let (mut numbers, mut reader) = numbers(CodecKind::Vp8);
        let [a, b, c] =
            [(0x7fff, 9, 0), (0, 9, 1), (1, 10, 0)].map(|(id, tl0, tid)| frame(&mut reader, id, tl0, tid));
        numbers.switch(0, &a);
        assert_eq!(numbers.rewrite(0, &a, true).number, Some(501));
        numbers.skip(0, &b);
        numbers.skip(0, &b);
        let next = numbers.rewrite(0, &c, true);
        assert_eq!((next.number, next.tl0), (Some(502), Some(2)));
        assert_eq!(numbers.rewrite(0, &a, false).number, Some(501), "late");
    }

    #[test]
    fn other_source_continues_the_numbers_of_the_first() {
        let (mut numbers, mut reader) = numbers(CodecKind::Vp8);
        let a = frame(&mut reader, 100, 200, 0);
        let b = frame(&mut reader, 5000, 3, 0);
        let a2 = frame(&mut reader, 101, 201, 0);
        numbers.switch(0, &a);
        let first = numbers.rewrite(0, &a, true);
        numbers.switch(1, &b);
        let second = numbers.rewrite(1, &b, true);
        assert_eq!((second.number, second.tl0), (first.number.map(|n| n + 1), first.tl0.map(|n| n + 1)));
        assert_eq!(numbers.rewrite(0, &a, false), first, "late packet of the first source");
        numbers.switch(0, &a2);
        assert_eq!(numbers.rewrite(0, &a2, true).number, first.number.map(|n| n + 2));
        assert_eq!(numbers.rewrite(0, &a, false), first);
    }

    #[test]
    fn encoder_that_restarts_its_numbers_does_not_stop_the_output() {
        let (mut numbers, mut reader) = numbers(CodecKind::Vp8);
        let a = frame(&mut reader, 1000, 0, 0);
        numbers.switch(0, &a);
        numbers.rewrite(0, &a, true);
        let b = frame(&mut reader, 3, 0, 0);
        assert_eq!(numbers.rewrite(0, &b, true).number, Some(502));
    }
}
