//! Receive-side bandwidth estimation, for senders without transport-wide feedback that follow REMB.
//!
//! It uses the delay-based estimate of the sending side with send times from `abs-send-time`. mediasoup:
//! `RemoteBitrateEstimatorAbsSendTime`.

use std::time::Instant;

use super::Micros;
use super::delay_based::DelayBased;
use super::history::Arrival;
use super::throughput::Throughput;
use crate::units::Bitrate;
use crate::wire::rtp::extension::AbsSendTime;

/// Interval of updates.
const INTERVAL: Micros = 50_000;
/// Number of pending packets that triggers an update.
const MAX_WAITING: usize = 256;
/// Measuring time before the first estimate, unless queues grow earlier (mediasoup `InitializationTimeUs`).
const INITIALIZATION: Micros = 5_000_000;
/// The estimate expires after this time without packets (mediasoup `StreamTimeOutUs`).
const TIMEOUT: Micros = 2_000_000;
/// Assumed estimate before the first measurement (mediasoup `MaxConfiguredBitrate`).
const UNKNOWN: Bitrate = Bitrate::mbps(30);
/// Lowest estimate (mediasoup `BweMinBitrate`).
const MIN: Bitrate = Bitrate::kbps(5);

/// Estimates the rate that a remote sender may use. Memory is bounded: 256 pending packets, 500 measured ones.
#[derive(Debug)]
pub struct ReceiveSide {
    made_at: Instant,
    clock: SendClock,
    /// Packets since the last update.
    waiting: Vec<Arrival>,
    updated_at: Micros,
    first_at: Option<Micros>,
    last_at: Option<Micros>,
    throughput: Throughput,
    delay_based: DelayBased,
    known: bool,
}

impl ReceiveSide {
    /// An estimator without measurements.
    pub fn new(now: Instant) -> Self {
        Self {
            made_at: now,
            clock: SendClock::default(),
            waiting: Vec::new(),
            updated_at: 0,
            first_at: None,
            last_at: None,
            throughput: Throughput::default(),
            delay_based: DelayBased::new(UNKNOWN, MIN),
            known: false,
        }
    }

    /// Handles a video packet of `bytes`. Returns true when the estimate was updated.
    pub fn handle_packet(&mut self, now: Instant, sent: AbsSendTime, bytes: usize) -> bool {
        let received_at = self.micros(now);
        if self.last_at.is_some_and(|last| received_at - last > TIMEOUT) {
            // Half a period of abs-send-time may have passed, so send times and their measurements start anew.
            (self.clock, self.throughput) = (SendClock::default(), Throughput::default());
            self.waiting.clear();
        }
        self.first_at.get_or_insert(received_at);
        self.last_at = Some(received_at);
        let sent_at = self.clock.extend(sent);
        let size = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.waiting.push(Arrival { sent_at, received_at, size, probe: 0, was_lost: false });
        let due = received_at - self.updated_at >= INTERVAL || self.waiting.len() >= MAX_WAITING;
        if due {
            self.update(received_at);
        }
        due
    }

    /// Rate that the sender may use; `None` while it is unknown or no packets arrive.
    pub fn estimate(&self, now: Instant) -> Option<Bitrate> {
        let alive = self.last_at.is_some_and(|last| self.micros(now) - last <= TIMEOUT);
        (alive && self.known).then(|| self.delay_based.estimate())
    }

    fn update(&mut self, now: Micros) {
        self.updated_at = now;
        self.throughput.on_arrivals(&self.waiting);
        let measured_enough = self.first_at.is_some_and(|first| now - first >= INITIALIZATION);
        let start = self.throughput.bitrate().filter(|_| measured_enough && !self.known);
        let outcome = self.delay_based.on_arrivals(now, &self.waiting, &self.throughput, start, false);
        self.known |= start.is_some() || outcome.decreased;
        self.waiting.clear();
    }

    fn micros(&self, now: Instant) -> Micros {
        now.saturating_duration_since(self.made_at).as_micros() as Micros
    }
}

/// Unwraps abs-send-time beyond its period of 64 s.
#[derive(Debug, Default)]
struct SendClock {
    last: Option<AbsSendTime>,
    /// 1/2¹⁸ s since the first packet.
    ticks: i64,
}

impl SendClock {
    /// Send time since the first packet. It is assumed to be within 32 s of the last one.
    fn extend(&mut self, sent: AbsSendTime) -> Micros {
        let last = self.last.replace(sent).unwrap_or(sent);
        // The value in the upper 24 bits makes the sign that of the difference.
        let shifted = (sent.bits().wrapping_sub(last.bits()) << 8).cast_signed();
        self.ticks += i64::from(shifted >> 8);
        // 10⁶ / 2¹⁸ of them.
        (self.ticks * 15_625) >> 12
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time; nothing depends on which")]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PACKET: usize = 1000;

    /// Video in frames of 33 ms over a link with a queue of at most 500 ms.
    struct Path {
        start: Instant,
        now: Duration,
        /// Time at which the link is free again.
        free_at: Duration,
        capacity: Bitrate,
        estimator: ReceiveSide,
        dropped: usize,
    }

    impl Path {
        fn new(capacity: Bitrate) -> Self {
            let start = Instant::now();
            let estimator = ReceiveSide::new(start);
            Self { start, now: Duration::ZERO, free_at: Duration::ZERO, capacity, estimator, dropped: 0 }
        }

        fn estimate(&self) -> Option<Bitrate> {
            self.estimator.estimate(self.start + self.now)
        }

        /// Sends for `time` at a rate, or at the estimate if that is lower. Returns the longest queueing delay.
        fn send(&mut self, rate: Bitrate, time: Duration) -> Duration {
            let (end, mut longest) = (self.now + time, Duration::ZERO);
            let transmission = Duration::from_secs_f64(PACKET as f64 * 8.0 / self.capacity.as_bps() as f64);
            let mut credit = 0.0;
            while self.now < end {
                let rate = self.estimate().map_or(rate, |estimate| estimate.min(rate));
                credit += rate.bytes_in(33 * MS) as f64;
                while credit >= PACKET as f64 {
                    credit -= PACKET as f64;
                    let begins = self.free_at.max(self.now);
                    if begins - self.now > 500 * MS {
                        self.dropped += 1;
                        continue;
                    }
                    self.free_at = begins + transmission;
                    longest = longest.max(self.free_at - self.now);
                    let sent = AbsSendTime::from_duration(Duration::from_secs(60) + self.now);
                    let received = self.start + self.free_at + 20 * MS;
                    self.estimator.handle_packet(received, sent, PACKET);
                }
                self.now += 33 * MS;
            }
            longest
        }
    }

    #[test]
    fn send_times_go_on_beyond_their_period_and_back() {
        let mut clock = SendClock::default();
        let of = |ms: u64| AbsSendTime::from_duration(Duration::from_millis(ms));
        let times = [63_990, 64_010, 64_000, 90_000, 120_000, 128_500].map(|ms| clock.extend(of(ms)));
        let expected = [0, 20_000, 10_000, 26_010_000, 56_010_000, 64_510_000];
        assert!(times.iter().zip(expected).all(|(time, expected)| (time - expected).abs() <= 8), "{times:?}");
    }

    #[test]
    fn no_estimate_before_a_measurement_or_without_packets() {
        let mut path = Path::new(Bitrate::mbps(10));
        path.send(Bitrate::mbps(1), 4900 * MS);
        assert_eq!(path.estimate(), None);
        path.send(Bitrate::mbps(1), 400 * MS);
        let estimate = path.estimate().expect("measured");
        assert!((Bitrate::kbps(900)..Bitrate::kbps(1200)).contains(&estimate), "{estimate}");
        path.now += Duration::from_secs(3);
        assert_eq!(path.estimate(), None);
        path.send(Bitrate::mbps(1), 100 * MS);
        assert!(path.estimate().is_some(), "it is back");
    }

    #[test]
    fn estimate_exceeds_the_incoming_bitrate() {
        let mut path = Path::new(Bitrate::mbps(10));
        path.send(Bitrate::mbps(1), Duration::from_secs(20));
        let estimate = path.estimate().expect("measured");
        assert!((Bitrate::kbps(1400)..Bitrate::kbps(1600)).contains(&estimate), "{estimate}");
    }

    #[test]
    fn narrow_link_is_reported_at_once_even_without_an_estimate() {
        let mut path = Path::new(Bitrate::kbps(500));
        path.send(Bitrate::mbps(1), Duration::from_secs(2));
        let estimate = path.estimate().expect("queues grew");
        assert!((Bitrate::kbps(300)..Bitrate::kbps(500)).contains(&estimate), "{estimate}");
    }

    #[test]
    fn sender_follows_a_link_that_narrows_and_widens() {
        let mut path = Path::new(Bitrate::mbps(5));
        path.send(Bitrate::mbps(2), Duration::from_secs(10));
        assert!(path.estimate() >= Some(Bitrate::mbps(2)));
        path.capacity = Bitrate::kbps(700);
        path.send(Bitrate::mbps(2), Duration::from_secs(5));
        path.dropped = 0;
        for _ in 0..10 {
            let longest = path.send(Bitrate::mbps(2), Duration::from_secs(2));
            let estimate = path.estimate().expect("known");
            assert!((Bitrate::kbps(400)..Bitrate::kbps(800)).contains(&estimate), "{estimate}");
            assert!(longest < 300 * MS, "{longest:?} in the queue");
        }
        assert_eq!(path.dropped, 0);
        path.capacity = Bitrate::mbps(5);
        path.send(Bitrate::mbps(2), Duration::from_secs(30));
        assert!(path.estimate() >= Some(Bitrate::kbps(1500)), "{:?}", path.estimate());
    }
}
