//! Enforces the maximum bitrate of a remote endpoint that ignores the signalled limit for long.

use std::time::{Duration, Instant};

use tureen_rtc::units::Bitrate;
use tureen_types::rtp_parameters::MediaKind;

/// Share of the bucket reserved for audio.
const AUDIO_SHARE: f64 = 0.1;
/// Interval of log messages about a transport.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Token bucket filled at a multiple of the signalled bitrate. The bucket holds several seconds' worth, so that key
/// frames, probes, the start of a call and slow or imprecise senders do not empty it.
#[derive(Debug)]
pub(crate) struct Policer {
    bytes_per_second: f64,
    capacity: f64,
    left: f64,
    filled_at: Instant,
    /// Number of bytes dropped since the last report.
    refused: u64,
    reported_at: Option<Instant>,
}

impl Policer {
    /// Creates a full bucket for a bitrate, holding `burst` of it. `None` if there is no limit to enforce.
    pub(crate) fn new(now: Instant, told: Bitrate, margin: u32, burst: Duration) -> Option<Self> {
        if told.is_zero() || margin == 0 {
            return None;
        }
        let bytes_per_second = told.as_bps() as f64 / 8.0 * f64::from(margin);
        let capacity = bytes_per_second * burst.as_secs_f64();
        Some(Self {
            bytes_per_second,
            capacity,
            left: capacity,
            filled_at: now,
            refused: 0,
            reported_at: None,
        })
    }

    /// Takes a packet out of the bucket. False if the packet must be dropped.
    #[inline]
    pub(crate) fn admits(&mut self, now: Instant, kind: MediaKind, bytes: usize) -> bool {
        if now > self.filled_at {
            let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
            self.left = (self.left + elapsed * self.bytes_per_second).min(self.capacity);
            self.filled_at = now;
        }
        let reserved = if kind == MediaKind::Audio { 0.0 } else { self.capacity * AUDIO_SHARE };
        let admitted = self.left - bytes as f64 >= reserved;
        if admitted {
            self.left -= bytes as f64;
        } else {
            self.refused += bytes as u64;
        }
        admitted
    }

    /// Number of bytes dropped since the last report, if a report is due.
    pub(crate) fn take_report(&mut self, now: Instant) -> Option<u64> {
        let due = self.reported_at.is_none_or(|at| now.saturating_duration_since(at) >= REPORT_INTERVAL);
        if !due || self.refused == 0 {
            return None;
        }
        self.reported_at = Some(now);
        Some(std::mem::take(&mut self.refused))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policer(now: Instant) -> Policer {
        Policer::new(now, Bitrate::mbps(1), 4, 5 * SECOND).expect("there is a limit")
    }

    /// Sends packets of 1250 bytes at a rate for a while, and 32 kbit/s of audio. Returns the admitted bitrates of both
    /// in bit/s.
    fn send(policer: &mut Policer, from: Instant, seconds: u32, mbps: u32) -> (f64, f64) {
        let (mut video, mut audio) = (0, 0);
        for i in 0..seconds * 100 {
            let now = from + i * SECOND / 100;
            for _ in 0..mbps {
                video += if policer.admits(now, MediaKind::Video, 1250) { 1250 } else { 0 };
            }
            audio += if policer.admits(now, MediaKind::Audio, 40) { 40 } else { 0 };
        }
        let rate = |bytes: i32| f64::from(bytes) * 8.0 / f64::from(seconds);
        (rate(video), rate(audio))
    }

    #[test]
    fn moderate_excess_is_not_dropped() {
        let now = Instant::now();
        let mut policer = policer(now);
        assert_eq!(send(&mut policer, now, 60, 3), (3e6, 32e3));
        assert_eq!(send(&mut policer, now + 60 * SECOND, 2, 10), (10e6, 32e3), "for a short time");
        assert_eq!(policer.take_report(now + 62 * SECOND), None);
    }

    #[test]
    fn large_excess_is_dropped_except_for_audio() {
        let now = Instant::now();
        let mut policer = policer(now);
        send(&mut policer, now, 5, 178);
        let (video, audio) = send(&mut policer, now + 5 * SECOND, 10, 178);
        assert!((3.8e6..4.1e6).contains(&video), "{video}");
        assert_eq!(audio, 32e3);
        let later = now + 15 * SECOND;
        assert!(policer.take_report(later).is_some_and(|bytes| bytes > 300_000_000));
        send(&mut policer, later, 1, 178);
        assert_eq!(policer.take_report(later + SECOND), None, "not so often");
    }

    #[test]
    fn nothing_is_dropped_without_a_limit_or_margin() {
        let now = Instant::now();
        assert!(Policer::new(now, Bitrate::ZERO, 4, SECOND).is_none());
        assert!(Policer::new(now, Bitrate::mbps(1), 0, SECOND).is_none());
    }
}
