//! Competing traffic on the same link.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tureen_rtc::units::Bitrate;

use tureen_client::link::Link;

const PACKET: usize = 1240;

/// Stream of a constant bitrate that can be switched on and off.
#[derive(Debug)]
pub(super) struct Constant {
    next: Instant,
    interval: Duration,
}

impl Constant {
    /// Creates a stream of `rate`.
    pub(super) fn new(now: Instant, rate: Bitrate) -> Self {
        Self { next: now, interval: Duration::from_secs_f64(PACKET as f64 * 8.0 / rate.as_bps() as f64) }
    }

    /// Sends the packets that are due, if `on`.
    pub(super) fn step(&mut self, now: Instant, on: bool, link: &mut Link) {
        while self.next <= now {
            self.next += self.interval;
            if on {
                link.send(now, PACKET);
            }
        }
    }
}

/// TCP download with slow start, congestion avoidance, and half the window after a loss (RFC 5681).
#[derive(Debug)]
pub(super) struct Tcp {
    window: f64,
    threshold: f64,
    /// Packets in flight: time of the acknowledgement or of the detection of loss, and true for an acknowledgement.
    in_flight: VecDeque<(Instant, bool)>,
    /// Time until which further losses belong to a window that was halved already.
    recovering_until: Instant,
}

impl Tcp {
    /// Creates a connection without packets in flight.
    pub(super) fn new(now: Instant) -> Self {
        Self { window: 10.0, threshold: f64::INFINITY, in_flight: VecDeque::new(), recovering_until: now }
    }

    /// Handles acknowledgements and, if `on`, sends as much as the window allows. `back` is the delay of
    /// acknowledgements.
    pub(super) fn step(&mut self, now: Instant, on: bool, link: &mut Link, back: Duration) {
        while self.in_flight.front().is_some_and(|&(at, _)| at <= now) {
            let Some((_, lost)) = self.in_flight.pop_front() else { break };
            if !lost {
                self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
            } else if now >= self.recovering_until {
                self.window = (self.window / 2.0).max(2.0);
                self.threshold = self.window;
                self.recovering_until = now + link.backlog(now) + 2 * back;
            }
        }
        while on && (self.in_flight.len() as f64) < self.window {
            let backlog = link.backlog(now);
            let arrival = link.send(now, PACKET)[0];
            // A loss is detected by the acknowledgements of later packets.
            let known = arrival.unwrap_or(now + backlog + back) + back;
            self.in_flight.push_back((known, arrival.is_none()));
        }
    }
}
