//! Sources of synthetic media, which a session sends at regular times.

use std::time::{Duration, Instant};

use tureen_client::media::{OPUS_CLOCK_RATE, OpusSource, VIDEO_CLOCK_RATE, Vp8Source};
use tureen_client::{OutgoingRtp, Session};
use tureen_rtc::wire::rtp::extension::AudioLevel;

/// Settings of a synthetic VP8 stream.
#[derive(Clone, Copy, Debug)]
pub struct VideoConfig {
    /// RTP timestamp of the first frame.
    pub first_timestamp: u32,
    /// First sequence number; `None` is random.
    pub first_sequence_number: Option<u16>,
    /// Time between frames.
    pub interval: Duration,
    /// Size of a frame in bytes.
    pub frame_bytes: usize,
    /// Size of a key frame in multiples of other frames.
    pub key_frame_factor: usize,
    /// True if the frame size follows REMBs from the engine.
    pub follows_remb: bool,
}

impl Default for VideoConfig {
    /// 30 frames per second, 1 Mbit/s.
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

/// Settings of a synthetic Opus stream with a packet every 20 ms.
#[derive(Clone, Copy, Debug)]
pub struct AudioConfig {
    /// RTP timestamp of the first packet.
    pub first_timestamp: u32,
    /// First sequence number; `None` is random.
    pub first_sequence_number: Option<u16>,
    /// Size of a packet in bytes.
    pub packet_bytes: usize,
    /// Audio level in −dBov: 0 is the loudest, 127 is silence. `None` sends no level.
    pub level: Option<u8>,
}

impl Default for AudioConfig {
    /// 32 kbit/s.
    fn default() -> Self {
        Self { first_timestamp: 1000, first_sequence_number: None, packet_bytes: 80, level: None }
    }
}

/// Sends the packets of one stream at regular times.
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

    /// Creates the source of a simulcast encoding.
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

    /// Time of the next frame.
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

    /// Makes the next frame a key frame.
    pub(crate) fn on_key_frame_requested(&mut self) {
        if let Media::Video { key_frame, .. } = &mut self.media {
            *key_frame = true;
        }
    }

    /// Sends the next frame. It is lost if the session is not connected.
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
                // Headers take a part of the REMB.
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
