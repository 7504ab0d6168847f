//! Choice of the next frame that a decoder can decode.

use tureen_rtc::wire::codecs::CodecKind;

use crate::frames::FrameInfo;

/// State of the decoder's references, from the frames that were returned.
#[derive(Debug)]
pub(super) struct Order {
    /// True if no frame depends on another one (audio).
    independent: bool,
    codec: CodecKind,
    /// True after the first key frame.
    started: bool,
    /// True if nothing was lost since the last returned frame.
    intact: bool,
    tl0_pic_idx: Option<u8>,
    /// Highest temporal layer of which no earlier frame was lost.
    usable_layer: u8,
}

/// Decision on a complete frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The decoder has all references of the frame.
    Decodable,
    /// The frame can never be decoded, and later frames do not depend on it.
    Useless,
    /// The frame can be decoded only if missing packets arrive.
    Waits,
}

impl Order {
    pub(super) fn new(codec: CodecKind) -> Self {
        Self {
            independent: codec == CodecKind::Opus,
            codec,
            started: false,
            intact: true,
            tl0_pic_idx: None,
            usable_layer: u8::MAX,
        }
    }

    /// Decides on a frame. `is_next` is true if no packet is missing between it and the previous frame.
    pub(super) fn verdict(&self, info: &FrameInfo, is_next: bool) -> Verdict {
        if self.independent || info.key_frame {
            return Verdict::Decodable;
        }
        if !self.started {
            return Verdict::Waits;
        }
        let is_next = is_next && self.intact;
        if is_next && info.temporal_layer <= self.usable_layer {
            return Verdict::Decodable;
        }
        // RFC 7741 §4.2, RFC 9628 §4.2: the index of a base layer frame is that of its only reference, the previous
        // base layer frame, plus one. Other frames have the index of the base layer frame below them.
        if let (Some(last), Some(index)) = (self.tl0_pic_idx, info.tl0_pic_idx) {
            let depends_on_base = self.codec == CodecKind::Vp8 && info.layer_switch;
            let decodable = match info.temporal_layer {
                0 => index == last.wrapping_add(1),
                _ => depends_on_base && index == last,
            };
            if decodable {
                return Verdict::Decodable;
            }
        }
        if is_next { Verdict::Useless } else { Verdict::Waits }
    }

    /// Records that a frame was returned.
    pub(super) fn hand_out(&mut self, info: &FrameInfo, is_next: bool) {
        let jumped = !(is_next && self.intact);
        if info.key_frame || (self.codec == CodecKind::Vp9 && info.layer_switch) {
            self.usable_layer = u8::MAX;
        } else if jumped || info.temporal_layer > self.usable_layer {
            self.usable_layer = info.temporal_layer;
        }
        self.started |= info.key_frame;
        self.intact = true;
        self.tl0_pic_idx = info.tl0_pic_idx.or(self.tl0_pic_idx);
    }

    /// A whole frame is dropped. Behind one of the base layer its index tells nothing until the next key frame: it comes
    /// round after 256 of them.
    pub(super) fn drop_frame(&mut self, info: &FrameInfo) {
        if info.temporal_layer == 0 {
            self.tl0_pic_idx = None;
        }
    }

    /// Packets are given up, or a frame that others may depend on.
    pub(super) fn lose(&mut self) {
        self.intact = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(temporal_layer: u8, tl0: u8, layer_switch: bool) -> FrameInfo {
        FrameInfo { temporal_layer, tl0_pic_idx: Some(tl0), layer_switch, ..FrameInfo::default() }
    }

    fn started(codec: CodecKind) -> Order {
        let mut order = Order::new(codec);
        assert_eq!(order.verdict(&frame(0, 1, false), true), Verdict::Waits, "no key frame");
        order.hand_out(&FrameInfo { key_frame: true, ..frame(0, 1, false) }, true);
        order
    }

    #[test]
    fn frames_are_decodable_in_sequence_until_one_is_missing() {
        let mut order = started(CodecKind::H264);
        let plain = FrameInfo::default();
        assert_eq!(order.verdict(&plain, true), Verdict::Decodable);
        assert_eq!(order.verdict(&plain, false), Verdict::Waits);
        order.lose();
        assert_eq!(order.verdict(&plain, true), Verdict::Waits);
        assert_eq!(order.verdict(&FrameInfo { key_frame: true, ..plain }, false), Verdict::Decodable);
    }

    #[test]
    fn lost_upper_layers_do_not_need_a_key_frame() {
        let mut order = started(CodecKind::Vp8);
        let base = frame(0, 2, false);
        assert_eq!(order.verdict(&base, false), Verdict::Decodable);
        assert_eq!(
            order.verdict(&frame(0, 3, false), false),
            Verdict::Waits,
            "a base layer frame is missing"
        );
        order.hand_out(&base, false);
        assert_eq!(order.verdict(&frame(2, 2, false), true), Verdict::Useless, "references a missing frame");
        assert_eq!(order.verdict(&frame(1, 2, true), true), Verdict::Decodable, "depends on the base layer");
        order.hand_out(&frame(1, 2, true), true);
        assert_eq!(order.verdict(&frame(1, 2, false), true), Verdict::Decodable);
        assert_eq!(order.verdict(&frame(2, 2, false), true), Verdict::Useless);
    }

    #[test]
    fn vp9_uses_higher_layers_after_a_switching_point() {
        let mut order = started(CodecKind::Vp9);
        order.hand_out(&frame(0, 2, false), false);
        assert_eq!(order.verdict(&frame(1, 2, true), true), Verdict::Useless);
        order.hand_out(&frame(0, 3, true), true);
        assert_eq!(order.verdict(&frame(1, 3, false), true), Verdict::Decodable);
    }

    #[test]
    fn audio_is_always_decodable() {
        let mut order = Order::new(CodecKind::Opus);
        order.lose();
        assert_eq!(order.verdict(&FrameInfo::default(), false), Verdict::Decodable);
    }
}
