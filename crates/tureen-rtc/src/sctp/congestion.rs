//! Congestion window and retransmission timeout (RFC 9260 §6.3 and §7.2).

use std::time::Duration;

use super::MAX_PACKET;

/// Initial congestion window, as in libwebrtc.
const INITIAL_WINDOW: usize = 10 * MAX_PACKET;
const MIN_WINDOW: usize = 4 * MAX_PACKET;
const MAX_WINDOW: usize = 8 << 20;
/// Initial, lowest and highest retransmission timeout, as in mediasoup and libwebrtc.
const INITIAL_TIMEOUT: Duration = Duration::from_millis(500);
const MIN_TIMEOUT: Duration = Duration::from_millis(400);
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// The congestion window.
#[derive(Debug)]
pub(super) struct Congestion {
    window: usize,
    slow_start_threshold: usize,
    /// Bytes acknowledged towards the next step of congestion avoidance.
    partial: usize,
    /// Fast recovery lasts until this number is acknowledged.
    recovery_end: Option<u64>,
}

impl Congestion {
    pub(super) fn new(peer_window: usize) -> Self {
        Self { window: INITIAL_WINDOW, slow_start_threshold: peer_window, partial: 0, recovery_end: None }
    }

    /// Bytes that may be in flight.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// True during fast recovery (RFC 9260 §7.2.4).
    pub(super) fn recovers(&self) -> bool {
        self.recovery_end.is_some()
    }

    /// The cumulative TSN has advanced to `acknowledged`. `flying` bytes were in flight before.
    pub(super) fn on_acknowledged(&mut self, acknowledged: u64, bytes: usize, flying: usize) {
        if let Some(end) = self.recovery_end {
            if acknowledged < end {
                return;
            }
            self.recovery_end = None;
        }
        // An unused window does not grow (RFC 9260 §7.2.1).
        if flying + MAX_PACKET < self.window {
            return;
        }
        if self.window <= self.slow_start_threshold {
            self.window += bytes.min(self.window);
        } else {
            self.partial += bytes;
            if self.partial >= self.window {
                self.partial -= self.window;
                self.window += MAX_PACKET;
            }
        }
        self.window = self.window.min(MAX_WINDOW);
    }

    /// Starts fast recovery after a loss, until `end` is acknowledged.
    pub(super) fn begin_recovery(&mut self, end: u64) {
        self.halve();
        self.window = self.slow_start_threshold;
        self.recovery_end = Some(end);
    }

    /// Handles an expired retransmission timer.
    pub(super) fn on_timeout(&mut self) {
        self.halve();
        self.window = MAX_PACKET;
        self.recovery_end = None;
    }

    fn halve(&mut self) {
        self.slow_start_threshold = (self.window / 2).max(MIN_WINDOW);
        self.partial = 0;
    }
}

/// Retransmission timeout (RFC 9260 §6.3.1).
#[derive(Debug)]
pub(super) struct RetransmissionTimeout {
    current: Duration,
    /// Smoothed round trip time and its variation.
    smoothed: Option<(Duration, Duration)>,
}

impl Default for RetransmissionTimeout {
    fn default() -> Self {
        Self { current: INITIAL_TIMEOUT, smoothed: None }
    }
}

impl RetransmissionTimeout {
    pub(super) fn get(&self) -> Duration {
        self.current
    }

    pub(super) fn back_off(&mut self) {
        self.current = (self.current * 2).min(MAX_TIMEOUT);
    }

    pub(super) fn measure(&mut self, round_trip: Duration) {
        let (smoothed, variation) = match self.smoothed {
            None => (round_trip, round_trip / 2),
            Some((smoothed, variation)) => {
                (smoothed * 7 / 8 + round_trip / 8, variation * 3 / 4 + smoothed.abs_diff(round_trip) / 4)
            }
        };
        self.smoothed = Some((smoothed, variation));
        self.current = (smoothed + variation * 4).clamp(MIN_TIMEOUT, MAX_TIMEOUT);
    }
}
