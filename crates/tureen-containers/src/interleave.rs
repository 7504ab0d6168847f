//! Frames of several tracks in the order of time, where a file holds them nearly so.

use std::collections::VecDeque;
use std::time::Duration;

use tureen_rtc::wire::codecs::CodecKind;

use crate::source::Frame;

/// Frames and bytes that are held at most.
const MAX_FRAMES: usize = 2048;
const MAX_BYTES: usize = 32 << 20;
/// Frames of H264 and H265 that are held to find the order in which they are shown: references are at most 16.
const REORDERING: usize = 18;
/// Frames of other codecs: the second one tells how long the first one lasts.
const LOOKAHEAD: usize = 2;

/// Holds frames until those of all tracks are there.
#[derive(Debug)]
pub(crate) struct Interleave {
    tracks: Vec<Held>,
    frames: usize,
    bytes: usize,
    ended: bool,
}

#[derive(Debug)]
struct Held {
    frames: VecDeque<Frame>,
    wanted: usize,
    last_duration: Duration,
}

impl Interleave {
    pub(crate) fn new(codecs: impl Iterator<Item = CodecKind>) -> Self {
        let tracks = codecs.map(|codec| {
            let wanted = match codec {
                CodecKind::H264 | CodecKind::H265 => REORDERING,
                _ => LOOKAHEAD,
            };
            let last_duration = Duration::from_millis(if codec == CodecKind::Opus { 20 } else { 33 });
            Held { frames: VecDeque::new(), wanted, last_duration }
        });
        Self { tracks: tracks.collect(), frames: 0, bytes: 0, ended: false }
    }

    /// True while it needs more frames before it can give one.
    pub(crate) fn wants_more(&self) -> bool {
        let full = self.frames >= MAX_FRAMES || self.bytes >= MAX_BYTES;
        !self.ended && !full && self.tracks.iter().any(|track| track.frames.len() < track.wanted)
    }

    /// Takes a frame, in the order of the file. A duration of zero is found out.
    pub(crate) fn push(&mut self, frame: Frame) {
        self.frames += 1;
        self.bytes += frame.data.len();
        self.tracks[frame.track].frames.push_back(frame);
    }

    /// No frame follows.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The frames of a track that are held.
    pub(crate) fn held(&self, track: usize) -> impl Iterator<Item = &Frame> {
        self.tracks[track].frames.iter()
    }

    /// The earliest frame.
    pub(crate) fn pop(&mut self) -> Option<Frame> {
        // Times of a track grow in the order of decoding: the first frame gets the earliest time, as it is sent first.
        for track in &mut self.tracks {
            let earliest = (0..track.frames.len()).min_by_key(|&at| track.frames[at].time);
            if let Some(at) = earliest.filter(|&at| at > 0) {
                let time = track.frames[at].time;
                track.frames[at].time = std::mem::replace(&mut track.frames[0].time, time);
            }
        }
        let fronts = self.tracks.iter_mut().filter(|track| !track.frames.is_empty());
        let track = fronts.min_by_key(|track| track.frames[0].time)?;
        let mut frame = track.frames.pop_front()?;
        if frame.duration.is_zero() {
            let next = track.frames.iter().map(|next| next.time).min();
            let until = next.and_then(|next| next.checked_sub(frame.time)).filter(|until| !until.is_zero());
            frame.duration = until.unwrap_or(track.last_duration);
        }
        track.last_duration = frame.duration;
        self.frames -= 1;
        self.bytes -= frame.data.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(track: usize, ms: u64) -> Frame {
        let time = Duration::from_millis(ms);
        let data = vec![ms as u8].into();
        Frame { track, codec: CodecKind::Vp8, data, time, duration: Duration::ZERO, key_frame: false }
    }

    fn all(interleave: &mut Interleave) -> Vec<(usize, u64, u64)> {
        std::iter::from_fn(|| interleave.pop())
            .map(|frame| (frame.track, frame.time.as_millis() as u64, frame.duration.as_millis() as u64))
            .collect()
    }

    #[test]
    fn tracks_are_merged_by_time() {
        let mut interleave = Interleave::new([CodecKind::Vp8, CodecKind::Opus].into_iter());
        for (track, ms) in [(0, 0), (0, 40), (0, 80), (1, 0)] {
            assert!(interleave.wants_more(), "{ms}");
            interleave.push(frame(track, ms));
        }
        interleave.push(frame(1, 20));
        assert!(!interleave.wants_more());
        interleave.end();
        let merged = [(0, 0, 40), (1, 0, 20), (1, 20, 20), (0, 40, 40), (0, 80, 40)];
        assert_eq!(all(&mut interleave), merged);
    }

    #[test]
    fn times_of_reordered_pictures_grow_in_the_order_of_decoding() {
        let mut interleave = Interleave::new([CodecKind::H264].into_iter());
        let shown = [0, 120, 40, 80, 240, 160, 200];
        shown.iter().for_each(|&ms| interleave.push(frame(0, ms)));
        interleave.end();
        let mut sent = Vec::new();
        while let Some(frame) = interleave.pop() {
            sent.push((frame.data[0], frame.time.as_millis(), frame.duration.as_millis()));
        }
        let expected: Vec<_> = shown.iter().zip(0..).map(|(&ms, at)| (ms as u8, 40 * at, 40)).collect();
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_track_without_frames_does_not_make_others_wait_for_ever() {
        let mut interleave = Interleave::new([CodecKind::Vp8, CodecKind::Opus].into_iter());
        let mut pushed = 0;
        while interleave.wants_more() {
            interleave.push(frame(0, pushed));
            pushed += 1;
        }
        assert_eq!(pushed, MAX_FRAMES as u64);
    }
}
