//! Tests of the whole controller. `tureen-sim` simulates it over many kinds of links.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::*;
use crate::receive::twcc_receiver::TwccReceiver;
use crate::units::Ssrc;
use crate::wire::rtcp::{RtcpCompound, RtcpPacket, TransportCcHeader, write_transport_cc};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A sender of a constant rate over a bottleneck.
struct Path {
    controller: CongestionController,
    receiver: TwccReceiver,
    /// Packets in flight, and feedback in flight.
    arriving: VecDeque<(Instant, u16)>,
    feedback: VecDeque<(Instant, Vec<u8>)>,
    now: Instant,
    next_packet: Instant,
    seq: u16,
    capacity: Bitrate,
    free_at: Instant,
    delay: Duration,
    probe_bytes: usize,
}

impl Path {
    fn new(config: BweConfig, capacity: Bitrate) -> Self {
        let now = Instant::now();
        Self {
            controller: CongestionController::new(now, BweConfig { overhead: 0, ..config }),
            receiver: TwccReceiver::new(),
            arriving: VecDeque::new(),
            feedback: VecDeque::new(),
            now,
            next_packet: now,
            seq: 65_500,
            capacity,
            free_at: now,
            delay: 20 * MS,
            probe_bytes: 0,
        }
    }

    /// Sends packets of 1000 bytes at `rate`, and the packets of probes.
    fn run(&mut self, time: Duration, rate: impl Fn(Bitrate) -> Bitrate) {
        let end = self.now + time;
        while self.now < end {
            while self.next_packet <= self.now {
                let rate = rate(self.controller.target()).as_bps().max(8);
                self.next_packet += Duration::from_secs_f64(8000.0 / rate as f64);
                self.send(1000);
            }
            while let Some(shot) = self.controller.poll_probe(self.now) {
                self.probe_bytes += shot.bytes;
                self.send(shot.bytes);
            }
            self.controller.handle_timeout(self.now);
            self.receive();
            self.now += MS;
        }
    }

    fn send(&mut self, size: usize) {
        let mut run = self.controller.start_run(self.now, true);
        run.on_packet(Some(self.seq), size);
        run.finish();
        let time = Duration::from_secs_f64(size as f64 * 8.0 / self.capacity.as_bps() as f64);
        self.free_at = self.free_at.max(self.now) + time;
        self.arriving.push_back((self.free_at + self.delay, self.seq));
        self.seq = self.seq.wrapping_add(1);
    }

    fn receive(&mut self) {
        while let Some(&(at, seq)) = self.arriving.front().filter(|(at, _)| *at <= self.now) {
            self.arriving.pop_front();
            self.receiver.handle_packet(at, seq);
        }
        self.receiver.handle_timeout(self.now);
        while let Some(feedback) = self.receiver.poll_feedback() {
            let header = TransportCcHeader {
                sender_ssrc: Ssrc(1),
                media_ssrc: Ssrc(2),
                base_sequence_number: feedback.base_seq,
                reference_time: (feedback.reference_time << 8) as i32 >> 8,
                feedback_count: feedback.feedback_count,
            };
            let mut bytes = Vec::new();
            write_transport_cc(&mut bytes, &header, &feedback.statuses, 1200);
            self.feedback.push_back((self.now + self.delay, bytes));
        }
        while self.feedback.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, bytes)) = self.feedback.pop_front() else { break };
            for packet in RtcpCompound::new(&bytes) {
                if let RtcpPacket::TransportCc(feedback) = packet.unwrap() {
                    self.controller.on_feedback(self.now, &feedback);
                }
            }
        }
    }
}

fn assert_within(bitrate: Bitrate, low: u64, high: u64) {
    assert!((Bitrate::kbps(low)..=Bitrate::kbps(high)).contains(&bitrate), "{bitrate}");
}

#[test]
fn sender_that_uses_its_target_finds_the_capacity() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(3));
    path.controller.start_probing(path.now);
    path.run(20 * SECOND, |target| target);
    assert_within(path.controller.target(), 2300, 3100);
    assert_within(path.controller.delivered().unwrap(), 2300, 3050);
}

#[test]
fn first_probes_find_capacity_within_a_second() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(20));
    path.controller.start_probing(path.now);
    path.run(SECOND, |_| Bitrate::kbps(300));
    assert!(path.controller.target() > Bitrate::mbps(3), "{}", path.controller.target());
    assert!(path.probe_bytes < 150_000, "{}", path.probe_bytes);
}

#[test]
fn probes_do_not_exceed_the_desired_bitrate_by_far() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(100));
    path.controller.set_desired(path.now, Bitrate::kbps(1000));
    path.controller.start_probing(path.now);
    path.run(60 * SECOND, |_| Bitrate::kbps(900));
    assert_within(path.controller.target(), 1000, 2100);
    assert!(path.probe_bytes < 20_000, "{}", path.probe_bytes);
}

#[test]
fn successful_small_probe_does_not_lower_the_estimate() {
    let initial = Bitrate::kbps(1000);
    for (capacity, low, high) in [(Bitrate::mbps(100), 1000, 1010), (Bitrate::kbps(350), 300, 360)] {
        let mut path = Path::new(BweConfig { initial, ..BweConfig::default() }, capacity);
        path.controller.prober.request(0, Bitrate::kbps(700));
        path.run(300 * MS, |_| Bitrate::kbps(100));
        assert_within(path.controller.target(), low, high);
    }
}

#[test]
fn desired_bitrate_that_begins_to_fit_is_found_soon() {
    let mut path = Path::new(BweConfig::default(), Bitrate::kbps(500));
    path.controller.set_desired(path.now, Bitrate::kbps(1300));
    path.controller.start_probing(path.now);
    path.run(20 * SECOND, |target| target.min(Bitrate::kbps(400)));
    assert_within(path.controller.target(), 380, 560);
    path.capacity = Bitrate::mbps(5);
    path.run(5 * SECOND, |target| target.min(Bitrate::kbps(400)));
    assert!(path.controller.target() > Bitrate::kbps(1200), "{}", path.controller.target());
}

#[test]
fn target_stays_within_its_bounds() {
    let (min, max) = (Bitrate::kbps(200), Bitrate::kbps(900));
    let config = BweConfig { initial: Bitrate::mbps(5), min, max, overhead: 0 };
    let mut path = Path::new(config, Bitrate::kbps(100));
    assert_eq!(path.controller.target(), max);
    path.controller.start_probing(path.now);
    path.run(10 * SECOND, |target| target);
    assert_eq!(path.controller.target(), min);
    path.controller.set_limits(path.now, Bitrate::kbps(300), Bitrate::ZERO);
    assert!(path.controller.target() >= Bitrate::kbps(300));
}

#[test]
fn target_falls_when_feedback_stops() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(2));
    path.run(5 * SECOND, |_| Bitrate::kbps(500));
    let before = path.controller.target();
    path.delay = 100 * SECOND;
    path.run(10 * SECOND, |_| Bitrate::kbps(500));
    assert!(path.controller.target() < before * 0.5, "{before}, then {}", path.controller.target());
}

/// Sends 1 Mbit/s without transport-wide numbers for a while; `tell` reports on it every second.
fn send_untracked(
    controller: &mut CongestionController,
    from: Instant,
    seconds: u32,
    mut tell: impl FnMut(&mut CongestionController, Instant),
) -> Instant {
    for i in 0..seconds * 100 {
        let now = from + i * 10 * MS;
        let mut run = controller.start_run(now, false);
        run.on_packet(None, 1250);
        run.finish();
        if i % 100 == 99 {
            tell(controller, now);
        }
        controller.handle_timeout(now);
    }
    from + seconds * SECOND
}

#[test]
fn without_feedback_the_receiver_estimate_is_followed() {
    let now = Instant::now();
    let mut controller = CongestionController::new(now, BweConfig::default());
    let now = send_untracked(&mut controller, now, 60, |controller, now| {
        controller.on_rtt(8 * MS);
        controller.on_loss_report(now, 0, 100);
        controller.on_remb(now, Bitrate::kbps(2000));
    });
    assert_eq!(controller.target(), Bitrate::kbps(2000), "no feedback is missed: none can come");
    controller.on_remb(now, Bitrate::kbps(400));
    assert_eq!(controller.target(), Bitrate::kbps(400));
    assert_eq!(controller.delivered(), None);
}

#[test]
fn target_stays_without_feedback_and_reports() {
    let now = Instant::now();
    for tracked in [false, true] {
        let mut controller = CongestionController::new(now, BweConfig::default());
        for i in 0..6000_u32 {
            let now = now + i * 10 * MS;
            let mut run = controller.start_run(now, tracked);
            run.on_packet(Some(i as u16), 1250);
            run.finish();
            controller.handle_timeout(now);
        }
        assert_eq!(controller.target(), BweConfig::default().initial, "tracked: {tracked}");
    }
}

#[test]
fn packets_without_numbers_are_not_missed() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(2));
    path.run(5 * SECOND, |_| Bitrate::kbps(500));
    let before = path.controller.target();
    let now = send_untracked(&mut path.controller, path.now, 30, |_, _| {});
    assert_eq!(path.controller.target(), before, "a camera is off, and audio has no numbers");
    path.now = now;
    path.next_packet = now;
    path.run(2 * SECOND, |_| Bitrate::kbps(500));
    assert!(path.controller.target() > before * 0.9, "{before}, then {}", path.controller.target());
    let delivered = path.controller.delivered().unwrap();
    assert!(delivered < Bitrate::kbps(700), "{delivered}: what was sent meanwhile does not arrive at once");
}

#[test]
fn target_returns_when_no_packet_awaits_feedback() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(2));
    path.run(5 * SECOND, |_| Bitrate::kbps(500));
    let before = path.controller.target();
    path.delay = 100 * SECOND;
    path.run(10 * SECOND, |_| Bitrate::kbps(500));
    let lowered = path.controller.target();
    assert!(lowered < before * 0.5, "{before}, then {lowered}");
    assert!(path.controller.budget(path.now).trial > before, "nothing says that the path can't carry it");
    for _ in 0..40 {
        path.now += 100 * MS;
        path.controller.handle_timeout(path.now);
    }
    assert_eq!(path.controller.target(), before);
}

#[test]
fn reports_take_over_when_feedback_stops() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(2));
    path.run(5 * SECOND, |_| Bitrate::kbps(500));
    let before = path.controller.target();
    path.delay = 100 * SECOND;
    for _ in 0..20 {
        path.run(SECOND, |_| Bitrate::kbps(500));
        path.controller.on_rtt(40 * MS);
        path.controller.on_loss_report(path.now, 0, 60);
    }
    assert!(path.controller.target() >= before, "{before}, then {}", path.controller.target());
    path.delay = 20 * MS;
    path.arriving.clear();
    path.feedback.clear();
    path.run(3 * SECOND, |_| Bitrate::kbps(500));
    assert!(path.controller.has_feedback && path.controller.has_room(), "feedback decides again");
}

#[test]
fn trial_is_limited_by_recent_reports() {
    let now = Instant::now();
    let config = BweConfig { initial: Bitrate::kbps(50), max: Bitrate::kbps(800), ..BweConfig::default() };
    let mut controller = CongestionController::new(now, config);
    let trial = |controller: &CongestionController, now| controller.budget(now).trial;
    assert_eq!(trial(&controller, now), Bitrate::kbps(800), "the maximum holds");
    controller.on_remb(now, Bitrate::kbps(70));
    assert_eq!(trial(&controller, now), Bitrate::kbps(70));
    assert_eq!(trial(&controller, now + 11 * SECOND), Bitrate::kbps(800), "it is old");
    controller.on_loss_report(now + 11 * SECOND, 30, 100);
    let lossy = trial(&controller, now + 11 * SECOND);
    assert_eq!(lossy, controller.target(), "loss forbids trials");
    assert_eq!(trial(&controller, now + 18 * SECOND), Bitrate::kbps(800));
}

#[test]
fn receiver_estimate_bounds_the_target_with_feedback_too() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(10));
    path.controller.start_probing(path.now);
    path.run(3 * SECOND, |target| target);
    path.controller.on_remb(path.now, Bitrate::kbps(700));
    assert_eq!(path.controller.target(), Bitrate::kbps(700));
}

#[test]
fn round_trip_is_that_of_the_path_without_the_wait_for_feedback() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(10));
    path.run(5 * SECOND, |_| Bitrate::kbps(500));
    let rtt = path.controller.rtt().unwrap();
    assert!((40 * MS..48 * MS).contains(&rtt), "{rtt:?}");
}

#[test]
fn headroom_needs_feedback_and_short_queues() {
    let mut path = Path::new(BweConfig::default(), Bitrate::mbps(2));
    assert!(!path.controller.has_room(), "no feedback yet");
    path.run(3 * SECOND, |_| Bitrate::mbps(1));
    assert!(path.controller.has_room());
    path.run(SECOND, |_| Bitrate::kbps(2400));
    assert!(!path.controller.has_room(), "a queue of 200 ms");
    path.run(5 * SECOND, |_| Bitrate::mbps(1));
    assert!(path.controller.has_room(), "it has drained");
}

#[test]
fn long_queue_is_detected_by_packets_in_flight_before_their_feedback() {
    let mut path =
        Path::new(BweConfig { initial: Bitrate::mbps(2), ..BweConfig::default() }, Bitrate::mbps(10));
    path.run(3 * SECOND, |_| Bitrate::kbps(1200));
    assert_eq!(path.controller.long_queue(), None, "a line with room");
    path.capacity = Bitrate::kbps(200);
    let mut told = None;
    for millis in 0..1000 {
        path.run(MS, |_| Bitrate::kbps(1200));
        told = told.or(path.controller.long_queue().map(|queue| (millis, queue)));
    }
    let (after, queue) = told.expect("it grows by 5 s a second");
    // The first packet with a queueing delay of 300 ms arrives 380 ms after the change.
    assert!(after <= 300 && queue >= 400 * MS, "{queue:?} after {after} ms");
}
