//! Probes: short bursts above the estimate, and the measurement of their arrival rate.

use std::collections::VecDeque;
use std::time::Duration;

use super::history::Arrival;
use super::{Micros, rate};
use crate::units::Bitrate;

/// Duration of a probe at its rate, in µs.
const DURATION: Micros = 15_000;
/// Minimum number of packets of a probe.
const MIN_PACKETS: u32 = 5;
/// Duration of a shot of packets, in µs, because timers are not more precise.
const SHOT: Micros = 2_000;
/// Delay of a shot in µs from which on its probe is discarded.
const MAX_LATENESS: Micros = 20_000;
/// Number of probes that can wait.
const MAX_WAITING: usize = 4;
/// Time in µs after which a probe that could not start is discarded.
const MAX_WAIT: Micros = 1_000_000;

/// Fraction of a probe's bytes that must arrive for a measurement.
const MIN_ARRIVED: f64 = 0.8;
/// Ratio of the receive rate to the send rate above which the measurement is discarded, because a queue was emptied.
const MAX_SPEED_UP: f64 = 2.0;
/// Fraction of the send rate below which the receive rate is the capacity of the path; the estimate is set slightly
/// below it.
const SATURATED: f64 = 0.9;
const TARGET_OF_CAPACITY: f64 = 0.95;
/// Minimum duration of a probe in µs. A burst of media may contain all bytes of a probe at once, from which nothing
/// could be measured.
const MIN_SPAN: Micros = 8_000;
/// Maximum duration of a probe's packets in µs.
const MAX_SPAN: Micros = 1_000_000;
/// Probes measured in parallel.
const MEASURED: usize = 4;

/// Probe packets to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeShot {
    /// Bytes to send at least, in packets with transport-wide sequence numbers: retransmissions or padding.
    pub bytes: usize,
}

/// Result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    /// Measured bitrate, reduced a little if the probe saturated the path.
    pub bitrate: Bitrate,
    /// True if packets arrived at a lower rate than they were sent. Otherwise the path carries at least this rate.
    pub(crate) saturated: bool,
}

/// Sends probes one after the other.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Prober {
    current: Option<Probe>,
    waiting: VecDeque<Probe>,
    last_id: u8,
    measured: [Measurement; MEASURED],
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: u8,
    rate: Bitrate,
    requested_at: Micros,
    started_at: Option<Micros>,
    bytes: u64,
    packets: u32,
}

/// Measurement of one probe.
#[derive(Clone, Copy, Debug, Default)]
struct Measurement {
    id: u8,
    min_bytes: u64,
    bytes: u64,
    packets: u32,
    first_sent: Micros,
    last_sent: Micros,
    /// Bytes of the last packets sent at once.
    last_shot: u32,
    first_received: Micros,
    last_received: Micros,
    first_received_size: u32,
    fresh: bool,
}

impl Prober {
    /// Requests a probe.
    pub(super) fn request(&mut self, now: Micros, rate: Bitrate) {
        if self.waiting.len() >= MAX_WAITING || rate.is_zero() {
            return;
        }
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let probe =
            Probe { id: self.last_id, rate, requested_at: now, started_at: None, bytes: 0, packets: 0 };
        self.waiting.push_back(probe);
    }

    /// Cancels pending probes.
    pub(super) fn cancel(&mut self) {
        self.waiting.clear();
        self.current = None;
    }

    /// Id of the current probe; zero for none.
    pub(crate) fn current_id(&self) -> u8 {
        self.current.map_or(0, |probe| probe.id)
    }

    /// True while a probe is sent or scheduled.
    pub(super) fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }

    /// When [`Prober::poll`] has something to send.
    pub(crate) fn next_shot(&self) -> Option<Micros> {
        match &self.current {
            Some(probe) => Some(probe.due()),
            None => self.waiting.front().map(|probe| probe.requested_at),
        }
    }

    /// Probe packets to send, if due. The caller records them by [`Prober::on_sent`].
    pub(super) fn poll(&mut self, now: Micros) -> Option<ProbeShot> {
        if self.current.is_some_and(|probe| now - probe.due() > MAX_LATENESS) {
            self.current = None;
        }
        if self.current.is_none() {
            self.waiting.retain(|probe| now - probe.requested_at <= MAX_WAIT);
            let probe = self.waiting.pop_front()?;
            let slot = &mut self.measured[usize::from(probe.id) % MEASURED];
            *slot = Measurement { id: probe.id, min_bytes: probe.min_bytes(), ..Measurement::default() };
            self.current = Some(Probe { started_at: Some(now), ..probe });
        }
        let probe = self.current.filter(|probe| probe.due() <= now)?;
        let bytes = probe.rate.bytes_in(Duration::from_micros(SHOT as u64)).max(1);
        Some(ProbeShot { bytes: bytes as usize })
    }

    /// Records bytes sent during a probe, media included.
    pub(super) fn on_sent(&mut self, now: Micros, bytes: u32) {
        let Some(probe) = &mut self.current else { return };
        probe.bytes += u64::from(bytes);
        probe.packets += 1;
        let has_span = probe.started_at.is_some_and(|started_at| now - started_at >= MIN_SPAN);
        if probe.bytes >= probe.min_bytes() && probe.packets >= MIN_PACKETS && has_span {
            self.current = None;
        }
    }

    /// Measures the probes among the arrivals of one feedback packet. Returns the result of the latest complete probe.
    pub(crate) fn on_arrivals(&mut self, arrivals: &[Arrival]) -> Option<Probed> {
        for arrival in arrivals.iter().filter(|arrival| arrival.probe != 0) {
            let measurement = &mut self.measured[usize::from(arrival.probe) % MEASURED];
            if measurement.id == arrival.probe {
                measurement.add(arrival);
            }
        }
        let results = self.measured.iter_mut().filter_map(|measurement| {
            let fresh = std::mem::take(&mut measurement.fresh);
            Some((measurement.last_received, measurement.result().filter(|_| fresh)?))
        });
        results.max_by_key(|&(at, _)| at).map(|(_, probed)| probed)
    }
}

impl Probe {
    fn min_bytes(&self) -> u64 {
        self.rate.bytes_in(Duration::from_micros(DURATION as u64))
    }

    /// Time of the next packets, counted from the start of the probe so that delays do not add up.
    fn due(&self) -> Micros {
        let time = self.bytes as f64 * 8e6 / self.rate.as_bps() as f64;
        self.started_at.unwrap_or(self.requested_at) + time as Micros
    }
}

impl Measurement {
    fn add(&mut self, arrival: &Arrival) {
        if self.packets == 0 || arrival.sent_at < self.first_sent {
            self.first_sent = arrival.sent_at;
        }
        if self.packets == 0 || arrival.sent_at > self.last_sent {
            (self.last_sent, self.last_shot) = (arrival.sent_at, arrival.size);
        } else if arrival.sent_at == self.last_sent {
            self.last_shot += arrival.size;
        }
        if self.packets == 0 || arrival.received_at < self.first_received {
            self.first_received = arrival.received_at;
            self.first_received_size = arrival.size;
        }
        if self.packets == 0 || arrival.received_at > self.last_received {
            self.last_received = arrival.received_at;
        }
        self.packets += 1;
        self.bytes += u64::from(arrival.size);
        self.fresh = true;
    }

    fn result(&self) -> Option<Probed> {
        let enough = f64::from(self.packets) >= f64::from(MIN_PACKETS) * MIN_ARRIVED
            && self.bytes as f64 >= self.min_bytes as f64 * MIN_ARRIVED;
        let sending = self.last_sent - self.first_sent;
        let receiving = self.last_received - self.first_received;
        if !enough || !(1..=MAX_SPAN).contains(&sending) || !(1..=MAX_SPAN).contains(&receiving) {
            return None;
        }
        // The last packets left after the send span, and the first packet arrived before the receive span: neither
        // counts.
        let sent = rate(self.bytes - u64::from(self.last_shot), sending);
        let received = rate(self.bytes - u64::from(self.first_received_size), receiving);
        let saturated = received < sent * SATURATED;
        let bitrate = if saturated { received * TARGET_OF_CAPACITY } else { sent.min(received) };
        (received <= sent * MAX_SPEED_UP).then_some(Probed { bitrate, saturated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a probe in packets of at most 300 bytes over a path with this capacity.
    fn probe(at: Bitrate, capacity: Bitrate, lost: usize) -> Option<Probed> {
        let mut prober = Prober::default();
        prober.request(0, at);
        let (mut now, mut free_at) = (0, 0);
        let mut arrivals = Vec::new();
        while prober.is_busy() {
            now = now.max(prober.next_shot().unwrap());
            let mut left = prober.poll(now).unwrap().bytes;
            while left > 0 {
                let size = left.min(300) as u32;
                left -= size as usize;
                free_at = free_at.max(now) + (f64::from(size) * 8e6 / capacity.as_bps() as f64) as Micros;
                let probe = prober.current_id();
                prober.on_sent(now, size);
                arrivals.push(Arrival { sent_at: now, received_at: free_at, size, probe, was_lost: false });
            }
        }
        arrivals.truncate(arrivals.len() - lost);
        prober.on_arrivals(&arrivals)
    }

    fn assert_found(probed: Option<Probed>, expected: Bitrate, saturated: bool) {
        let probed = probed.expect("a result");
        let (low, high) = (expected * 0.93, expected * 1.05);
        assert!((low..=high).contains(&probed.bitrate), "{probed:?}, not {expected}");
        assert_eq!(probed.saturated, saturated);
    }

    #[test]
    fn free_path_measures_the_rate_of_the_probe() {
        assert_found(probe(Bitrate::kbps(2000), Bitrate::mbps(100), 0), Bitrate::kbps(2000), false);
        assert_found(probe(Bitrate::mbps(20), Bitrate::mbps(100), 0), Bitrate::mbps(20), false);
    }

    #[test]
    fn saturated_path_measures_a_little_less_than_the_capacity() {
        assert_found(probe(Bitrate::kbps(4000), Bitrate::kbps(1000), 0), Bitrate::kbps(950), true);
    }

    #[test]
    fn probe_that_did_not_arrive_measures_nothing() {
        assert_eq!(probe(Bitrate::kbps(2000), Bitrate::mbps(100), 5), None);
    }

    #[test]
    fn probe_too_late_or_waiting_too_long_is_given_up() {
        let mut prober = Prober::default();
        prober.request(0, Bitrate::kbps(1000));
        assert!(prober.poll(0).is_some());
        prober.on_sent(0, 250);
        assert_eq!(prober.poll(100), None, "not due");
        assert_eq!(prober.poll(100_000), None, "too late");
        assert!(!prober.is_busy());
        prober.request(200_000, Bitrate::kbps(1000));
        assert_eq!(prober.poll(1_300_000), None);
        assert!(!prober.is_busy());
    }

    #[test]
    fn waiting_probes_are_bounded() {
        let mut prober = Prober::default();
        for _ in 0..100 {
            prober.request(0, Bitrate::kbps(1000));
        }
        assert_eq!(prober.waiting.len(), MAX_WAITING);
    }
}
