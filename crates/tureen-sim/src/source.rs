//! Media that a session sends as time passes.

use std::time::{Duration, Instant};

use tureen_client::media::{OPUS_CLOCK_RATE, OpusSource, VIDEO_CLOCK_RATE, Vp8Source};
use tureen_client::{OutgoingRtp, Session};
use tureen_rtc::wire::rtp::extension::AudioLevel;

/// A synthetic VP8 stream.
#[derive(Clone, Copy, Debug)]
pub struct VideoConfig {
    /// RTP timestamp of the first frame.
    pub first_timestamp: u32,
    /// First sequence number; random if not given.
    pub first_sequence_number: Option<u16>,
    /// Time between frames.
    pub interval: Duration,
    /// Bytes of a frame.
    pub frame_bytes: usize,
    /// A key frame is this many times as large.
    pub key_frame_factor: usize,
    /// Frames are smaller where REMBs say so.
    pub follows_remb: bool,
}

impl Default for VideoConfig {
    /// 30 frames a second, 1 Mbit/s.
    fn default() -> Self {
        Self {
            first_timestamp: 1000,
            first_sequence_number: None,
            interval: Duration::from_nanos(33_333_333),
            frame_bytes: 4000,
            key_frame_factor: 4,
            follows_remb: false,
        }
    }
}

/// A synthetic Opus stream: a packet each 20 ms.
#[derive(Clone, Copy, Debug)]
pub struct AudioConfig {
    /// RTP timestamp of the first packet.
    pub first_timestamp: u32,
    /// First sequence number; random if not given.
    pub first_sequence_number: Option<u16>,
    /// Bytes of a packet.
    pub packet_bytes: usize,
    /// Its loudness, −dBov: 0 is the loudest, 127 is silence. Not sent if not given.
    pub level: Option<u8>,
}

impl Default for AudioConfig {
    /// 32 kbit/s.
    fn default() -> Self {
        Self { first_timestamp: 1000, first_sequence_number: None, packet_bytes: 80, level: None }
    }
}

/// Sends one stream on schedule.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) ssrc: u32,
    next_at: Instant,
    stopped: bool,
    started_at: Instant,
    first_timestamp: u32,
    media: Media,
    payload: Vec<u8>,
}

#[derive(Debug)]
enum Media {
    Video { source: Vp8Source, config: VideoConfig, key_frame: bool },
    Audio { source: OpusSource, config: AudioConfig },
}

const MAX_PAYLOAD: usize = 1150;
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);

impl Source {
    pub(crate) fn video(ssrc: u32, config: VideoConfig, now: Instant) -> Self {
        let media = Media::Video { source: Vp8Source::default(), config, key_frame: true };
        Self::new(ssrc, config.first_timestamp, media, now)
    }

    /// One encoding of a simulcast.
    pub(crate) fn encoding(ssrc: u32, encoding: u8, config: VideoConfig, now: Instant) -> Self {
        let media = Media::Video { source: Vp8Source::of_simulcast(encoding), config, key_frame: true };
        Self::new(ssrc, config.first_timestamp, media, now)
    }

    pub(crate) fn audio(ssrc: u32, config: AudioConfig, now: Instant) -> Self {
        let media = Media::Audio { source: OpusSource::default(), config };
        Self::new(ssrc, config.first_timestamp, media, now)
    }

    fn new(ssrc: u32, first_timestamp: u32, media: Media, now: Instant) -> Self {
        Self {
            ssrc,
            next_at: now,
            stopped: false,
            started_at: now,
            first_timestamp,
            media,
            payload: Vec::new(),
        }
    }

    /// When the next frame is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        (!self.stopped).then_some(self.next_at)
    }

    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(crate) fn resume(&mut self, now: Instant) {
        (self.stopped, self.next_at) = (false, now);
    }

    pub(crate) fn set_audio_level(&mut self, level: u8) {
        if let Media::Audio { config, .. } = &mut self.media {
            config.level = Some(level);
        }
    }

    /// The next frame shall be a key frame.
    pub(crate) fn on_key_frame_requested(&mut self) {
        if let Media::Video { key_frame, .. } = &mut self.media {
            *key_frame = true;
        }
    }

    /// Sends the next frame. While the session is not connected it is lost.
    pub(crate) fn send(&mut self, now: Instant, session: &mut Session) {
        let elapsed = now.duration_since(self.started_at).as_micros();
        let timestamp = |clock_rate: u32| {
            self.first_timestamp.wrapping_add((elapsed * u128::from(clock_rate) / 1_000_000) as u32)
        };
        match &mut self.media {
            Media::Video { source, config, key_frame } => {
                self.next_at = now + config.interval;
                if !session.is_connected() {
                    return;
                }
                let is_key_frame = std::mem::take(key_frame);
                let factor = if is_key_frame { config.key_frame_factor } else { 1 };
                let limit = session.max_outgoing_bitrate().filter(|_| config.follows_remb);
                // Headers take a part of it.
                let most =
                    limit.map_or(usize::MAX, |limit| (limit * 0.95).bytes_in(config.interval) as usize);
                let bytes = config.frame_bytes.min(most).max(100);
                let frame = source.next_frame(is_key_frame, bytes * factor, MAX_PAYLOAD);
                for packet in 0..frame.packets() {
                    frame.write_packet(packet, &mut self.payload);
                    let packet = OutgoingRtp {
                        payload: &self.payload,
                        timestamp: timestamp(VIDEO_CLOCK_RATE),
                        marker: frame.is_last(packet),
                        audio_level: None,
                    };
                    session.send_rtp(now, self.ssrc, &packet).expect("the session is connected and drained");
                }
            }
            Media::Audio { source, config } => {
                self.next_at = now + AUDIO_INTERVAL;
                if !session.is_connected() {
                    return;
                }
                source.write_next(config.packet_bytes, &mut self.payload);
                let timestamp = timestamp(OPUS_CLOCK_RATE);
                let audio_level = config.level.map(|level| AudioLevel { level, voice: true });
                let packet = OutgoingRtp { payload: &self.payload, timestamp, marker: false, audio_level };
                session.send_rtp(now, self.ssrc, &packet).expect("the session is connected and drained");
            }
        }
    }
}
