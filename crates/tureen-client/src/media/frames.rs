//! Whole synthetic frames with the time of their making inside, in the sizes that encoders give them.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tureen_rtc::units::Bitrate;

use super::{OPUS_TOC, TEMPORAL_PATTERN};

/// What a synthetic frame or data message says of itself.
///
/// The receiver has the one-way delay from [`made_at`](Self::made_at) where it shares the maker's clock: in one process, or
/// on one machine. Between machines the difference of their clocks is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStamp {
    /// When it was made, since the Unix epoch, in whole microseconds.
    pub made_at: Duration,
    /// Counts the frames of an encoding from 0.
    pub number: u32,
    /// Who made it, as [`VideoSettings::source`] says.
    pub source: u32,
    /// Which of a simulcast's encodings it is.
    pub encoding: u8,
    /// Its temporal layer.
    pub temporal_layer: u8,
}

impl FrameStamp {
    /// Bytes that a stamp takes: the shortest data message.
    pub const LEN: usize = 24;
    const MARK: [u8; 2] = *b"tF";

    /// The stamp of a frame made by [`SyntheticVideo`]; nothing if a byte of it is not as it was made.
    pub fn of_vp8(frame: &[u8]) -> Option<Self> {
        let (tag, rest) = frame.split_first_chunk::<3>()?;
        Self::of_message(if tag[0] & 1 == 0 { rest.get(KEY_FRAME_HEADER.len()..)? } else { rest })
    }

    /// The stamp of a packet made by [`SyntheticAudio`]; nothing if a byte of it is not as it was made.
    pub fn of_opus(packet: &[u8]) -> Option<Self> {
        Self::of_message(packet.strip_prefix(&[OPUS_TOC])?)
    }

    /// The stamp of a data message; nothing if a byte of it is not as it was made.
    pub fn of_message(message: &[u8]) -> Option<Self> {
        let (head, filling) = message.split_first_chunk::<{ Self::LEN }>()?;
        let ([m0, m1, encoding, temporal_layer], head) = head.split_first_chunk()?;
        let (number, head) = head.split_first_chunk()?;
        let (source, head) = head.split_first_chunk()?;
        let (len, head) = head.split_first_chunk()?;
        let (micros, _) = head.split_first_chunk()?;
        let stamp = Self {
            made_at: Duration::from_micros(u64::from_be_bytes(*micros)),
            number: u32::from_be_bytes(*number),
            source: u32::from_be_bytes(*source),
            encoding: *encoding,
            temporal_layer: *temporal_layer,
        };
        let is_whole = [*m0, *m1] == Self::MARK && u32::from_be_bytes(*len) as usize == message.len();
        let pattern = stamp.filling();
        (is_whole && filling.chunks(PATTERN_LEN).all(|chunk| pattern.starts_with(chunk))).then_some(stamp)
    }

    /// Appends a data message of `len` bytes, at least [`LEN`](Self::LEN), with the stamp in it.
    pub fn write_message(self, len: usize, out: &mut Vec<u8>) {
        let len = len.clamp(Self::LEN, u32::MAX as usize);
        out.reserve(len);
        out.extend_from_slice(&Self::MARK);
        out.extend_from_slice(&[self.encoding, self.temporal_layer]);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.source.to_be_bytes());
        out.extend_from_slice(&(len as u32).to_be_bytes());
        let micros = u64::try_from(self.made_at.as_micros()).unwrap_or(u64::MAX);
        out.extend_from_slice(&micros.to_be_bytes());
        let pattern = self.filling();
        let mut rest = len - Self::LEN;
        while rest > 0 {
            let share = rest.min(PATTERN_LEN);
            out.extend_from_slice(&pattern[..share]);
            rest -= share;
        }
    }

    /// What is behind the stamp, repeated: another one for each of 256 frames, to be compared and copied fast.
    fn filling(self) -> &'static [u8] {
        let offset = usize::from(self.number as u8);
        &PATTERN[offset..offset + PATTERN_LEN]
    }
}

const PATTERN_LEN: usize = 1024;
const PATTERN: [u8; PATTERN_LEN + 255] = pattern();

const fn pattern() -> [u8; PATTERN_LEN + 255] {
    let mut bytes = [0; PATTERN_LEN + 255];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at as u8).wrapping_mul(167) ^ ((at >> 8) as u8).wrapping_mul(59) ^ 0x5a;
        at += 1;
    }
    bytes
}

/// What follows the frame tag of a key frame: start code, width and height of 640 × 480 (RFC 6386 §9.1).
const KEY_FRAME_HEADER: [u8; 7] = [0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];

/// Settings of a [`SyntheticVideo`].
#[derive(Clone, Debug)]
pub struct VideoSettings {
    /// Bitrate of each encoding, lowest first; one, or several for simulcast.
    pub bitrates: Vec<Bitrate>,
    /// Frames a second, from 1 to 1000; others are taken for the nearest.
    pub frame_rate: u32,
    /// Three temporal layers, as browsers have them in simulcast.
    pub temporal_layers: bool,
    /// Who makes it: for [`FrameStamp::source`].
    pub source: u32,
    /// Seed of the variation in size.
    pub seed: u64,
}

/// What a frame of a [`SyntheticVideo`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticFrame {
    /// A decoder could begin with it.
    pub key_frame: bool,
    /// Its temporal layer; `None` in a stream without.
    pub temporal_layer: Option<u8>,
    /// It depends on the base layer alone (VP8's Y bit).
    pub layer_sync: bool,
}

/// Makes VP8 frames that servers take for such and decoders don't, of a given bitrate.
///
/// Sizes are those of a real-time encoder: a key frame has eight times the mean, the frames behind it are smaller until
/// the bitrate is kept again, frames of the base layer are larger than others, and each varies by up to a quarter. Key frames
/// come when they are asked for.
#[derive(Debug)]
pub struct SyntheticVideo {
    frame_rate: u32,
    source: u32,
    encodings: Vec<Encoding>,
    rng: SmallRng,
}

#[derive(Debug)]
struct Encoding {
    bitrate: Bitrate,
    number: u32,
    /// Place in the pattern of temporal layers; `None` without.
    position: Option<usize>,
    wants_key_frame: bool,
    /// Bytes that were not used of the bitrate; below zero those that were used ahead.
    balance: f64,
}

/// Size of a key frame as a multiple of the mean.
const KEY_FRAME_SIZE: f64 = 8.0;
/// Size by temporal layer as a multiple of the mean; the mean over [`TEMPORAL_PATTERN`] is 1.
const LAYER_SIZES: [f64; 3] = [1.6, 0.8, 0.8];
/// Frames in which a debt is paid back mostly, in seconds.
const PAYBACK: f64 = 0.5;
/// The largest debt, as a multiple of the mean.
const MAX_DEBT: f64 = 4.0 * KEY_FRAME_SIZE;
/// The smallest frame as a multiple of the mean.
const SMALLEST: f64 = 0.25;
/// Variation of each size.
const VARIATION: f64 = 0.25;

impl SyntheticVideo {
    /// A source that begins with a key frame of each encoding.
    pub fn new(settings: &VideoSettings) -> Self {
        let encodings = settings.bitrates.iter().map(|bitrate| Encoding {
            bitrate: *bitrate,
            number: 0,
            position: settings.temporal_layers.then_some(0),
            wants_key_frame: true,
            balance: 0.0,
        });
        Self {
            frame_rate: settings.frame_rate.clamp(1, 1000),
            source: settings.source,
            encodings: encodings.collect(),
            rng: SmallRng::seed_from_u64(settings.seed),
        }
    }

    /// How many encodings there are.
    pub fn encodings(&self) -> usize {
        self.encodings.len()
    }

    /// Time between two frames.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.frame_rate
    }

    /// Makes the next frame of an encoding a key frame. An encoding that is not there is ignored.
    pub fn request_key_frame(&mut self, encoding: usize) {
        if let Some(encoding) = self.encodings.get_mut(encoding) {
            encoding.wants_key_frame = true;
        }
    }

    /// Changes the bitrate of an encoding. An encoding that is not there is ignored.
    pub fn set_bitrate(&mut self, encoding: usize, bitrate: Bitrate) {
        if let Some(encoding) = self.encodings.get_mut(encoding) {
            encoding.bitrate = bitrate;
        }
    }

    /// Replaces `out` by the next frame of an encoding; `None` if there is no such encoding. `made_at` is the time since the
    /// Unix epoch.
    pub fn next_frame(
        &mut self,
        encoding: usize,
        made_at: Duration,
        out: &mut Vec<u8>,
    ) -> Option<SyntheticFrame> {
        let variation = self.rng.random_range(1.0 - VARIATION..=1.0 + VARIATION);
        let state = self.encodings.get_mut(encoding)?;
        let frame = state.next_kind();
        let len = state.next_len(frame, f64::from(self.frame_rate), variation);
        let stamp = FrameStamp {
            made_at,
            number: state.number,
            source: self.source,
            encoding: encoding as u8,
            temporal_layer: frame.temporal_layer.unwrap_or(0),
        };
        state.number = state.number.wrapping_add(1);
        out.clear();
        // RFC 6386 §9.1: frame tag with the inverse key frame flag, show_frame and the size of the first partition.
        let tag = u32::from(!frame.key_frame) | 1 << 4 | (len as u32 & 0x7_ffff) << 5;
        out.extend_from_slice(&tag.to_le_bytes()[..3]);
        if frame.key_frame {
            out.extend_from_slice(&KEY_FRAME_HEADER);
        }
        stamp.write_message(len.saturating_sub(out.len()), out);
        Some(frame)
    }
}

impl Encoding {
    fn next_kind(&mut self) -> SyntheticFrame {
        let key_frame = std::mem::take(&mut self.wants_key_frame);
        let Some(position) = &mut self.position else {
            return SyntheticFrame { key_frame, temporal_layer: None, layer_sync: false };
        };
        if key_frame {
            *position = 0;
        }
        let (layer, layer_sync) = TEMPORAL_PATTERN[*position % TEMPORAL_PATTERN.len()];
        *position = (*position + 1) % TEMPORAL_PATTERN.len();
        SyntheticFrame { key_frame, temporal_layer: Some(layer), layer_sync }
    }

    fn next_len(&mut self, frame: SyntheticFrame, frame_rate: f64, variation: f64) -> usize {
        let mean = self.bitrate.as_bps() as f64 / 8.0 / frame_rate;
        let size = if frame.key_frame {
            mean * KEY_FRAME_SIZE * variation
        } else {
            let weight = frame.temporal_layer.map_or(1.0, |layer| LAYER_SIZES[usize::from(layer.min(2))]);
            let payback = self.balance / (PAYBACK * frame_rate).max(1.0);
            (mean * weight * variation + payback).max(mean * SMALLEST)
        };
        // Bounded, so that a lower bitrate does not have to pay for a higher one.
        self.balance = (self.balance + mean - size).max(-MAX_DEBT * mean);
        size as usize
    }
}

/// Makes Opus packets of 20 ms that servers take for such, of a given bitrate.
#[derive(Clone, Debug)]
pub struct SyntheticAudio {
    bytes: usize,
    source: u32,
    number: u32,
}

impl SyntheticAudio {
    /// Time that a packet has audio of.
    pub const INTERVAL: Duration = Duration::from_millis(20);

    /// A source of `bitrate`, at least 10 kbit/s.
    pub fn new(bitrate: Bitrate, source: u32) -> Self {
        Self { bytes: bitrate.bytes_in(Self::INTERVAL) as usize, source, number: 0 }
    }

    /// Replaces `out` by the next packet. `made_at` is the time since the Unix epoch.
    pub fn next_packet(&mut self, made_at: Duration, out: &mut Vec<u8>) {
        let stamp =
            FrameStamp { made_at, number: self.number, source: self.source, encoding: 0, temporal_layer: 0 };
        self.number = self.number.wrapping_add(1);
        out.clear();
        out.push(OPUS_TOC);
        stamp.write_message(self.bytes.saturating_sub(1), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_micros(1_700_000_000_123_456);

    fn video(bitrates: &[u64], temporal_layers: bool) -> SyntheticVideo {
        let bitrates = bitrates.iter().map(|kbps| Bitrate::kbps(*kbps)).collect();
        SyntheticVideo::new(&VideoSettings { bitrates, frame_rate: 30, temporal_layers, source: 7, seed: 1 })
    }

    fn sizes(video: &mut SyntheticVideo, encoding: usize, count: usize) -> Vec<(usize, SyntheticFrame)> {
        let mut frame = Vec::new();
        (0..count)
            .map(|_| {
                let kind = video.next_frame(encoding, NOW, &mut frame).unwrap();
                (frame.len(), kind)
            })
            .collect()
    }

    #[test]
    fn frames_read_back_with_the_time_of_their_making() {
        let mut video = video(&[100, 300, 1000], true);
        let mut frame = Vec::new();
        for number in 0..9 {
            for encoding in 0..3 {
                let kind = video.next_frame(encoding, NOW, &mut frame).unwrap();
                let stamp = FrameStamp::of_vp8(&frame).unwrap();
                assert_eq!((stamp.made_at, stamp.number, stamp.source), (NOW, number, 7));
                assert_eq!(usize::from(stamp.encoding), encoding);
                assert_eq!(Some(stamp.temporal_layer), kind.temporal_layer);
                assert_eq!(kind.key_frame, number == 0);
            }
        }
        assert_eq!(video.next_frame(3, NOW, &mut frame), None);
    }

    #[test]
    fn the_bitrate_is_kept_over_key_frames() {
        for temporal_layers in [false, true] {
            let mut video = video(&[600], temporal_layers);
            let total: usize = (0..20)
                .map(|_| {
                    video.request_key_frame(0);
                    sizes(&mut video, 0, 150).iter().map(|(len, _)| len).sum::<usize>()
                })
                .sum();
            let expected = 600_000 / 8 * 20 * 5;
            assert!(total.abs_diff(expected) < expected / 50, "{total} of {expected} bytes");
        }
    }

    #[test]
    fn key_frames_are_large_and_come_when_asked_for() {
        let mut video = video(&[600], false);
        let frames = sizes(&mut video, 0, 60);
        let mean = 600_000 / 8 / 30;
        assert!(frames[0].0 >= mean * 6 && frames[0].1.key_frame, "{frames:?}");
        assert!(frames[1..].iter().all(|(len, kind)| *len < mean * 2 && !kind.key_frame), "{frames:?}");
        video.request_key_frame(0);
        assert!(sizes(&mut video, 0, 1)[0].1.key_frame);
    }

    #[test]
    fn base_layer_frames_are_larger_and_key_frames_restart_the_pattern() {
        let mut video = video(&[600], true);
        sizes(&mut video, 0, 90);
        video.request_key_frame(0);
        let frames = sizes(&mut video, 0, 200);
        let layers: Vec<_> = frames[..5].iter().map(|(_, kind)| kind.temporal_layer.unwrap()).collect();
        assert_eq!(layers, [0, 2, 1, 2, 0]);
        let mean_of = |layer| {
            let of_layer = frames[40..].iter().filter(|(_, kind)| kind.temporal_layer == Some(layer));
            let lens: Vec<_> = of_layer.map(|(len, _)| *len).collect();
            lens.iter().sum::<usize>() / lens.len()
        };
        assert!(mean_of(0) > mean_of(1) * 3 / 2 && mean_of(0) > mean_of(2) * 3 / 2);
    }

    #[test]
    fn audio_packets_have_their_size_and_read_back() {
        let mut audio = SyntheticAudio::new(Bitrate::kbps(32), 3);
        let mut packet = Vec::new();
        for number in 0..3 {
            audio.next_packet(NOW, &mut packet);
            assert_eq!(packet.len(), 80);
            let stamp = FrameStamp::of_opus(&packet).unwrap();
            assert_eq!((stamp.made_at, stamp.number, stamp.source), (NOW, number, 3));
            assert!(tureen_rtc::wire::codecs::opus::parse(&packet).is_some());
        }
    }

    #[test]
    fn any_changed_or_missing_byte_voids_the_stamp() {
        let mut frame = Vec::new();
        video(&[600], false).next_frame(0, NOW, &mut frame).unwrap();
        let body = 3 + KEY_FRAME_HEADER.len();
        let fields = body + 2..body + FrameStamp::LEN;
        for at in (body..frame.len()).filter(|at| !fields.contains(at)) {
            frame[at] ^= 1;
            assert_eq!(FrameStamp::of_vp8(&frame), None, "byte {at}");
            frame[at] ^= 1;
        }
        for len in 0..frame.len() {
            assert_eq!(FrameStamp::of_vp8(&frame[..len]), None, "{len} bytes");
        }
        assert!(FrameStamp::of_vp8(&frame).is_some());
    }

    #[test]
    fn the_smallest_frames_hold_their_stamp() {
        let mut frame = Vec::new();
        let mut video = video(&[0], false);
        for _ in 0..3 {
            video.next_frame(0, NOW, &mut frame).unwrap();
            assert_eq!(FrameStamp::of_vp8(&frame).unwrap().made_at, NOW);
        }
        SyntheticAudio::new(Bitrate::ZERO, 0).next_packet(NOW, &mut frame);
        assert!(FrameStamp::of_opus(&frame).is_some());
    }
}
