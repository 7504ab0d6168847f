//! Acknowledged bitrate: the rate of acknowledged packets over about a second.

use std::collections::VecDeque;

use super::history::Arrival;
use super::{Micros, rate};
use crate::units::Bitrate;

/// Packets that the window keeps if they are recent enough, because few packets give no rate.
const MIN_PACKETS: usize = 20;
/// Packets required for an estimate.
const REQUIRED_PACKETS: usize = 10;
/// Memory bound: the window of a fast stream is shorter.
const MAX_PACKETS: usize = 500;
/// Span of the window when it holds enough packets.
const MIN_WINDOW: Micros = 1_000_000;
/// Longest span of the window.
const MAX_WINDOW: Micros = 5_000_000;
/// Span of recent packets: long enough to average over frames.
const RECENT: Micros = 300_000;
/// A packet that arrived this long before the newest one indicates a changed clock.
const MAX_REORDERING: Micros = 1_000_000;
const MIN_DURATION: Micros = 1_000;

/// Measures the acknowledged bitrate (libwebrtc's robust throughput estimator): the lower of the rate of sending and the
/// rate of arriving, where the longest gap between arrivals counts as the second longest, so that a pause followed by a
/// burst is no drop.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    window: VecDeque<Arrival>,
    /// Latest send time of packets that have left the window. Packets sent before it are late and do not count for the
    /// send rate.
    gone: Option<Micros>,
    estimate: Option<Bitrate>,
    recent: Option<Bitrate>,
}

impl Throughput {
    pub(super) fn bitrate(&self) -> Option<Bitrate> {
        self.estimate
    }

    /// Receive rate over the last `RECENT`, if enough packets arrived.
    pub(crate) fn recently_received(&self) -> Option<Bitrate> {
        self.recent
    }

    /// Adds arrivals, in order of arrival.
    pub(crate) fn on_arrivals(&mut self, arrivals: &[Arrival]) {
        for &arrival in arrivals {
            let newest = self.window.back().map_or(arrival.received_at, |last| last.received_at);
            if newest - arrival.received_at > MAX_REORDERING {
                self.window.clear();
                self.gone = None;
            }
            let after = self.window.iter().rev().take_while(|p| p.received_at > arrival.received_at).count();
            self.window.insert(self.window.len() - after, arrival);
        }
        while let Some(first) = self.window.front()
            && let Some(last) = self.window.back()
        {
            let span = last.received_at - first.received_at;
            let len = self.window.len();
            if len <= MAX_PACKETS && span <= MAX_WINDOW && (len <= MIN_PACKETS || span <= MIN_WINDOW) {
                break;
            }
            self.gone = self.gone.max(Some(first.sent_at));
            self.window.pop_front();
        }
        self.estimate = self.measure();
        self.recent = self.measure_recent();
    }

    fn measure_recent(&self) -> Option<Bitrate> {
        let last = self.window.back()?.received_at;
        let recent = || self.window.iter().rev().take_while(|packet| last - packet.received_at <= RECENT);
        let oldest = recent().last()?;
        let bytes = recent().map(|packet| u64::from(packet.size)).sum::<u64>() - u64::from(oldest.size);
        let duration = last - oldest.received_at;
        (recent().count() >= REQUIRED_PACKETS && duration >= RECENT / 2).then(|| rate(bytes, duration))
    }

    fn measure(&self) -> Option<Bitrate> {
        if self.window.len() < REQUIRED_PACKETS {
            return None;
        }
        let first = self.window.front()?;
        let last = self.window.back()?;
        let (mut longest, mut second) = (0, 0);
        let mut previous = first.received_at;
        let mut sent = Sent::default();
        let mut received_bytes = 0;
        for packet in &self.window {
            let gap = packet.received_at - previous;
            previous = packet.received_at;
            if gap > longest {
                (longest, second) = (gap, longest);
            } else {
                second = second.max(gap);
            }
            received_bytes += u64::from(packet.size);
            if self.gone.is_none_or(|gone| packet.sent_at >= gone) {
                sent.add(packet);
            }
        }
        // A window of N packets spans N − 1 intervals: the first packet's bytes precede it.
        received_bytes -= u64::from(first.size);
        let duration = last.received_at - first.received_at - longest + second;
        let received = rate(received_bytes, duration.max(MIN_DURATION));
        Some(match sent.packets < REQUIRED_PACKETS {
            true => received,
            false => received.min(sent.rate()),
        })
    }
}

/// Sums sent bytes.
#[derive(Default)]
struct Sent {
    packets: usize,
    bytes: u64,
    first: Micros,
    last: Micros,
    last_size: u32,
}

impl Sent {
    fn add(&mut self, packet: &Arrival) {
        if self.packets == 0 || packet.sent_at < self.first {
            self.first = packet.sent_at;
        }
        if self.packets == 0 || packet.sent_at > self.last {
            self.last = packet.sent_at;
            self.last_size = packet.size;
        }
        self.packets += 1;
        self.bytes += u64::from(packet.size);
    }

    /// The last packet's bytes follow the measured span, so they do not count.
    fn rate(&self) -> Bitrate {
        rate(self.bytes - u64::from(self.last_size), (self.last - self.first).max(MIN_DURATION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(count: i64, sent_every: i64, received_every: i64) -> Vec<Arrival> {
        let arrival = |i| Arrival {
            sent_at: i * sent_every,
            received_at: 50_000 + i * received_every,
            size: 1000,
            probe: 0,
            was_lost: false,
        };
        (0..count).map(arrival).collect()
    }

    fn measured(arrivals: &[Arrival]) -> Option<Bitrate> {
        let mut throughput = Throughput::default();
        throughput.on_arrivals(arrivals);
        throughput.bitrate()
    }

    #[test]
    fn steady_stream_is_measured_exactly() {
        assert_eq!(measured(&arrivals(100, 10_000, 10_000)), Some(Bitrate::kbps(800)));
    }

    #[test]
    fn change_shows_in_what_was_received_recently() {
        let mut throughput = Throughput::default();
        throughput.on_arrivals(&arrivals(100, 10_000, 10_000));
        let mut slower = arrivals(20, 10_000, 20_000);
        for packet in &mut slower {
            packet.received_at += 1_000_000;
        }
        throughput.on_arrivals(&slower);
        assert_eq!(throughput.recently_received(), Some(Bitrate::kbps(400)));
        assert!(throughput.bitrate() > Some(Bitrate::kbps(550)));
    }

    #[test]
    fn few_packets_give_no_estimate() {
        assert_eq!(measured(&arrivals(9, 10_000, 10_000)), None);
    }

    #[test]
    fn bottleneck_is_measured_by_arrivals_and_a_drained_queue_by_sending() {
        assert_eq!(measured(&arrivals(50, 10_000, 20_000)), Some(Bitrate::kbps(400)));
        assert_eq!(measured(&arrivals(50, 20_000, 10_000)), Some(Bitrate::kbps(400)));
    }

    #[test]
    fn pause_of_arrivals_is_no_drop_of_the_throughput() {
        let mut packets = arrivals(100, 10_000, 10_000);
        for packet in &mut packets[50..70] {
            packet.received_at = packet.received_at.max(50_000 + 700_000);
        }
        let bitrate = measured(&packets).unwrap();
        assert!(bitrate > Bitrate::kbps(790), "{bitrate}");
    }

    #[test]
    fn window_is_bounded() {
        let mut throughput = Throughput::default();
        for chunk in arrivals(20_000, 100, 100).chunks(100) {
            throughput.on_arrivals(chunk);
        }
        assert_eq!(throughput.window.len(), MAX_PACKETS);
        assert_eq!(throughput.bitrate(), Some(Bitrate::mbps(80)));
    }

    #[test]
    fn clock_change_restarts_the_measurement() {
        let mut throughput = Throughput::default();
        throughput.on_arrivals(&arrivals(100, 10_000, 10_000));
        let mut later = arrivals(100, 10_000, 20_000);
        for packet in &mut later {
            packet.received_at -= 5_000_000;
        }
        throughput.on_arrivals(&later);
        assert_eq!(throughput.bitrate(), Some(Bitrate::kbps(400)));
    }
}
