#![expect(clippy::disallowed_methods, reason = "tests may read the clock")]

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::frames::{OutgoingFrame, Packetizer, Payloads};

#[derive(Clone, Debug)]
struct Packet {
    seq: u64,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

/// Sender of VP8, or of another codec whose frames need only a valid first byte.
struct Sender {
    packetizer: Packetizer,
    codec: CodecKind,
    seq: u64,
    timestamp: u32,
    step: u32,
    frames: Vec<Vec<u8>>,
}

impl Sender {
    fn new(codec: CodecKind) -> Self {
        let step = if codec == CodecKind::Opus { 960 } else { 3000 };
        let packetizer = Packetizer::new(codec, 100, 0).unwrap();
        // Both wrap around early in a test.
        Self { packetizer, codec, seq: 65_530, timestamp: u32::MAX - 10_000, step, frames: Vec::new() }
    }

    fn frame(&mut self, key: bool, len: usize, layer: Option<(u8, bool)>) -> Vec<Packet> {
        let first = match self.codec {
            CodecKind::Vp8 => vec![0x10 | u8::from(!key)],
            CodecKind::H264 if key => vec![0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x65],
            CodecKind::H264 => vec![0, 0, 0, 1, 0x41],
            _ => vec![0x78],
        };
        let data = [first, (0..len).map(|at| 1 + (at % 200) as u8).collect()].concat();
        let frame = OutgoingFrame {
            temporal_layer: layer.map(|(layer, _)| layer),
            layer_sync: layer.is_some_and(|(_, sync)| sync),
            ..OutgoingFrame::new(&data, self.timestamp)
        };
        let mut payloads = Payloads::default();
        self.packetizer.packetize(&frame, &mut payloads).unwrap();
        self.frames.push(data);
        self.timestamp = self.timestamp.wrapping_add(self.step);
        payloads
            .iter()
            .map(|(payload, marker)| {
                self.seq += 1;
                let timestamp = self.timestamp.wrapping_sub(self.step);
                Packet { seq: self.seq - 1, timestamp, marker, payload: payload.to_vec() }
            })
            .collect()
    }
}

struct Receiver {
    buffer: JitterBuffer,
    t0: Instant,
    frames: Vec<(ReceivedFrame, Vec<u8>)>,
    key_frame_requests: usize,
}

impl Receiver {
    fn new(config: JitterConfig) -> Self {
        let buffer = JitterBuffer::new(config).unwrap();
        Self { buffer, t0: Instant::now(), frames: Vec::new(), key_frame_requests: 0 }
    }

    fn of(codec: CodecKind) -> Self {
        Self::new(JitterConfig::new(codec, if codec == CodecKind::Opus { 48_000 } else { 90_000 }))
    }

    fn at(&self, ms: u64) -> Instant {
        self.t0 + Duration::from_millis(ms)
    }

    fn poll(&mut self, now: Instant) {
        let mut data = Vec::new();
        while let Some(frame) = self.buffer.poll_frame(now, &mut data) {
            self.frames.push((frame, data.clone()));
        }
        self.key_frame_requests += usize::from(self.buffer.poll_key_frame_request(now));
        assert!(self.buffer.poll_timeout().is_none_or(|at| at > now), "the next timeout is in the future");
    }

    fn insert(&mut self, ms: u64, packets: &[Packet]) {
        let now = self.at(ms);
        for packet in packets {
            let Packet { seq, timestamp, marker, payload } = packet;
            let packet = JitterPacket {
                seq: *seq,
                timestamp: *timestamp,
                marker: *marker,
                capture_time: None,
                payload,
            };
            self.buffer.insert(now, &packet);
        }
        self.poll(now);
    }

    /// Advances time from timeout to timeout.
    fn run_until(&mut self, ms: u64) {
        let end = self.at(ms);
        while let Some(at) = self.buffer.poll_timeout().filter(|at| *at <= end) {
            self.poll(at);
        }
        self.poll(end);
    }

    fn data(&self) -> Vec<&[u8]> {
        self.frames.iter().map(|(_, data)| data.as_slice()).collect()
    }
}

#[test]
fn reordered_packets_make_whole_frames_in_order() {
    for codec in [CodecKind::Vp8, CodecKind::H264] {
        let (mut sender, mut receiver) = (Sender::new(codec), Receiver::of(codec));
        let mut rng = StdRng::seed_from_u64(7);
        for group in 0..20 {
            let mut packets: Vec<Packet> =
                (0..5).flat_map(|at| sender.frame(group == 0 && at == 0, 450, None)).collect();
            packets.shuffle(&mut rng);
            receiver.insert(group * 167, &packets);
        }
        receiver.run_until(10_000);
        assert_eq!(receiver.data(), sender.frames, "{codec:?}");
        assert!(receiver.frames.iter().all(|(frame, _)| !frame.after_loss));
        assert_eq!((receiver.key_frame_requests, receiver.buffer.stats().late_packets), (0, 0));
        assert_eq!(receiver.buffer.bytes(), 0);
    }
}

#[test]
fn lost_packet_delays_frames_until_it_is_given_up() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    receiver.insert(0, &sender.frame(true, 300, None));
    let mut lossy = sender.frame(false, 300, None);
    lossy.remove(1);
    receiver.insert(33, &lossy);
    for at in 2..10 {
        receiver.insert(at * 33, &sender.frame(false, 300, None));
    }
    assert_eq!((receiver.frames.len(), receiver.key_frame_requests), (1, 0));
    receiver.run_until(1032);
    assert_eq!(receiver.key_frame_requests, 0, "the packet is still waited for");
    receiver.run_until(1067);
    assert_eq!((receiver.frames.len(), receiver.key_frame_requests), (1, 1));
    receiver.insert(1100, &sender.frame(true, 300, None));
    receiver.insert(1133, &sender.frame(false, 300, None));
    receiver.run_until(3000);
    let [_, (key, _), (after, _)] = &receiver.frames[..] else { panic!("{:?}", receiver.frames) };
    assert_eq!((key.info.key_frame, key.after_loss, after.after_loss), (true, true, false));
}

#[test]
fn retransmission_in_time_fills_the_gap() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    receiver.insert(0, &sender.frame(true, 300, None));
    let mut lossy = sender.frame(false, 300, None);
    let lost = lossy.remove(1);
    receiver.insert(33, &lossy);
    receiver.insert(66, &sender.frame(false, 300, None));
    assert_eq!(receiver.frames.len(), 1);
    receiver.insert(120, &[lost.clone(), lost.clone()]);
    receiver.run_until(300);
    assert_eq!(receiver.data(), sender.frames);
    receiver.insert(400, &[lost]);
    assert_eq!(receiver.buffer.stats().late_packets, 2);
}

#[test]
fn key_frame_after_a_gap_is_returned_when_due() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::H264), Receiver::of(CodecKind::H264));
    receiver.insert(0, &sender.frame(true, 300, None));
    drop(sender.frame(false, 300, None));
    receiver.insert(66, &sender.frame(false, 300, None));
    receiver.insert(100, &sender.frame(true, 300, None));
    receiver.run_until(120);
    assert_eq!(receiver.data(), [&sender.frames[0], &sender.frames[3]]);
    assert_eq!((receiver.buffer.stats().losses, receiver.key_frame_requests), (1, 0));
}

#[test]
fn lost_upper_layer_costs_only_itself() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    let pattern = [(0, false), (2, true), (1, true), (2, false)];
    for at in 0..40 {
        let packets = sender.frame(at == 0, 150, Some(pattern[at % 4]));
        // Frame 6 of layer 1 is lost; the next frame, of layer 2, references it.
        if at != 6 {
            receiver.insert(at as u64 * 33, &packets);
        }
    }
    receiver.run_until(5000);
    assert_eq!((receiver.frames.len(), receiver.key_frame_requests), (38, 0));
    let lost: Vec<_> = receiver.frames.iter().filter(|(frame, _)| frame.after_loss).collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(receiver.buffer.stats().losses, 1);
}

#[test]
fn lost_audio_is_skipped_when_the_next_frame_is_due() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Opus), Receiver::of(CodecKind::Opus));
    for at in 0..50 {
        let packets = sender.frame(false, 60, None);
        if at != 20 {
            receiver.insert(at * 20, &packets);
        }
    }
    receiver.run_until(2000);
    assert_eq!((receiver.frames.len(), receiver.key_frame_requests), (49, 0));
    assert!(
        receiver.frames[20].0.after_loss && receiver.frames.iter().filter(|(f, _)| f.after_loss).count() == 1
    );
}

#[test]
fn delay_grows_until_late_audio_is_in_time() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Opus), Receiver::of(CodecKind::Opus));
    let mut arrivals: Vec<(u64, Packet)> = Vec::new();
    for at in 0..500 {
        let late = if at % 10 == 9 { 60 } else { 0 };
        arrivals.push((at * 20 + late, sender.frame(false, 60, None).remove(0)));
    }
    arrivals.sort_by_key(|(at, _)| *at);
    for (at, packet) in arrivals {
        receiver.run_until(at);
        receiver.insert(at, &[packet]);
    }
    receiver.run_until(20_000);
    assert_eq!(receiver.buffer.stats().target_delay, Duration::from_millis(60));
    let late = receiver.buffer.stats().late_packets;
    assert!((1..=2).contains(&late), "{late} late packets");
    assert_eq!(receiver.frames.len() as u64, 500 - late);
}

#[test]
fn frames_are_returned_at_regular_intervals() {
    let mut rng = StdRng::seed_from_u64(3);
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    let mut handed_out = Vec::new();
    let mut arrived = 0;
    for at in 0..600_u64 {
        arrived = arrived.max(at * 100 / 3 + rng.random_range(0..40));
        let packets = sender.frame(at == 0, 150, None);
        receiver.run_until(arrived);
        receiver.insert(arrived, &packets);
        while let Some(next) = receiver.buffer.poll_timeout() {
            let before = receiver.frames.len();
            receiver.poll(next);
            handed_out.extend(std::iter::repeat_n(next, receiver.frames.len() - before));
        }
    }
    let gaps = handed_out[100..].windows(2).map(|pair| (pair[1] - pair[0]).as_millis());
    let uneven = gaps.filter(|gap| !(31..=36).contains(gap)).count();
    assert!(uneven < 25, "{uneven} of 500 gaps are uneven");
    assert!(receiver.buffer.stats().target_delay < Duration::from_millis(41));
}

#[test]
fn padding_is_no_gap() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::H264), Receiver::of(CodecKind::H264));
    for at in 0..10 {
        let packets = sender.frame(at == 0, 150, None);
        let padding = Packet { seq: sender.seq, marker: false, payload: vec![], ..packets[0].clone() };
        sender.seq += 1;
        receiver.insert(at * 33, &packets);
        receiver.insert(at * 33 + 5, &[padding]);
    }
    receiver.run_until(500);
    assert_eq!(receiver.data(), sender.frames);
}

#[test]
fn frame_without_a_marker_ends_where_the_next_begins() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::H264), Receiver::of(CodecKind::H264));
    for at in 0..10 {
        let mut packets = sender.frame(at == 0, 250, None);
        packets.iter_mut().for_each(|packet| packet.marker = false);
        receiver.insert(at * 33, &packets);
    }
    receiver.run_until(900);
    assert_eq!(receiver.data(), sender.frames[..9]);
}

#[test]
fn packet_before_a_parameter_set_may_arrive_late() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::H264), Receiver::of(CodecKind::H264));
    receiver.insert(0, &sender.frame(true, 10, None));
    let delimiter =
        Packet { seq: sender.seq, timestamp: sender.timestamp, marker: false, payload: vec![0x09, 0x10] };
    sender.seq += 1;
    receiver.insert(20, &sender.frame(true, 10, None));
    receiver.insert(20, &[delimiter]);
    receiver.insert(53, &sender.frame(false, 10, None));
    receiver.run_until(200);
    assert_eq!(receiver.data(), sender.frames);
}

#[test]
fn key_frame_request_is_repeated_until_there_is_a_key_frame() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    for at in 0..60 {
        receiver.insert(at * 33, &sender.frame(false, 150, None));
    }
    receiver.run_until(2000);
    assert_eq!((receiver.frames.len(), receiver.key_frame_requests), (0, 4), "twice a second");
    assert_eq!(receiver.buffer.bytes(), 0);
}

#[test]
fn limits_hold_without_polling() {
    let config =
        JitterConfig { max_packets: 64, max_bytes: 4000, ..JitterConfig::new(CodecKind::Vp8, 90_000) };
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::new(config));
    for at in 0..200 {
        for packet in sender.frame(at == 0, 450, None) {
            let Packet { seq, timestamp, marker, payload } = &packet;
            let (seq, timestamp, marker) = (*seq, *timestamp, *marker);
            let packet = JitterPacket { seq, timestamp, marker, capture_time: None, payload };
            receiver.buffer.insert(receiver.t0, &packet);
            assert!(receiver.buffer.bytes() <= 4000);
        }
    }
    assert!(receiver.buffer.stats().overflows > 0);
    receiver.insert(7000, &sender.frame(true, 450, None));
    receiver.run_until(9000);
    assert_eq!(receiver.data().last(), Some(&sender.frames[200].as_slice()));
    let now = receiver.at(9000);
    let huge =
        JitterPacket { seq: 1 << 40, timestamp: 0, marker: true, capture_time: None, payload: &[1; 100] };
    receiver.buffer.insert(now, &huge);
    assert!(receiver.buffer.bytes() <= 100);
}

#[test]
fn extreme_numbers_and_delays_do_not_panic() {
    let config = JitterConfig { max_delay: Duration::MAX, ..JitterConfig::new(CodecKind::Opus, 0) };
    let mut receiver = Receiver::new(config);
    for seq in [5, u64::MAX, 0, 1 << 61, u64::MAX - 1, 6] {
        receiver.insert(0, &[Packet { seq, timestamp: seq as u32, marker: true, payload: vec![0x78, 1] }]);
    }
    assert_eq!(receiver.frames.len(), 2, "5, and 2⁶¹ after it");
    assert_eq!(receiver.buffer.stats().malformed, 2);
}

#[test]
fn stream_starts_with_a_key_frame_after_a_reset() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    receiver.insert(0, &sender.frame(true, 150, None));
    receiver.buffer.reset();
    let mut again = Sender::new(CodecKind::Vp8);
    again.seq = 5;
    receiver.insert(33, &again.frame(false, 150, None));
    receiver.insert(66, &again.frame(true, 150, None));
    receiver.run_until(2000);
    assert_eq!(receiver.data(), [&sender.frames[0], &again.frames[1]]);

    // The sender counts base layer frames anew as well.
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    receiver.insert(0, &sender.frame(true, 50, Some((0, false))));
    receiver.buffer.reset();
    let mut again = Sender::new(CodecKind::Vp8);
    for at in 1..=257 {
        receiver.insert(at * 33, &again.frame(false, 50, Some((0, false))));
    }
    receiver.run_until(10_000);
    assert_eq!(receiver.data(), [&sender.frames[0]]);
    receiver.insert(10_000, &again.frame(true, 50, Some((0, false))));
    receiver.run_until(12_000);
    assert_eq!(receiver.data(), [&sender.frames[0], &again.frames[257]]);
}

#[test]
fn base_layer_index_that_comes_round_does_not_hide_a_loss() {
    for max_delay in [DEFAULT_MAX_DELAY, Duration::from_secs(60)] {
        let config = JitterConfig { max_delay, ..JitterConfig::new(CodecKind::Vp8, 90_000) };
        let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::new(config));
        receiver.insert(0, &sender.frame(true, 50, Some((0, false))));
        drop(sender.frame(false, 50, Some((0, false))));
        for at in 2..=300 {
            receiver.run_until(at * 33);
            receiver.insert(at * 33, &sender.frame(false, 50, Some((0, false))));
        }
        receiver.run_until(80_000);
        assert_eq!(receiver.data(), [&sender.frames[0]], "{max_delay:?}");
        assert_eq!(receiver.buffer.stats().frames_dropped, 299);
    }
}

#[test]
fn frames_larger_than_their_payloads_keep_the_limit() {
    let config = JitterConfig { max_bytes: 5000, ..JitterConfig::new(CodecKind::H264, 90_000) };
    let mut receiver = Receiver::new(config);
    // STAP-A with units of one byte, each of which takes a start code of four.
    let payload = [vec![0x78], [0, 1, 0x67].repeat(600)].concat();
    for at in 0..3 {
        let packet = JitterPacket {
            seq: 100 + at,
            timestamp: at as u32 * 3000,
            marker: true,
            capture_time: None,
            payload: &payload,
        };
        receiver.buffer.insert(receiver.t0, &packet);
        assert_eq!(receiver.buffer.bytes(), 3000, "one frame");
    }
    assert_eq!(receiver.buffer.stats().overflows, 2);
}

#[test]
fn spare_buffers_are_not_far_larger_than_frames() {
    let (mut sender, mut receiver) = (Sender::new(CodecKind::Vp8), Receiver::of(CodecKind::Vp8));
    let mut data = Vec::with_capacity(1 << 20);
    for at in 0..400 {
        let len = if at < 4 { 30_000 } else { 50 };
        for packet in sender.frame(at == 0, len, None) {
            let Packet { seq, timestamp, marker, payload } = &packet;
            let (seq, timestamp, marker) = (*seq, *timestamp, *marker);
            let packet = JitterPacket { seq, timestamp, marker, capture_time: None, payload };
            receiver.buffer.insert(receiver.at(at * 34), &packet);
        }
        while receiver.buffer.poll_frame(receiver.at(at * 34 + 33), &mut data).is_some() {}
        let capacity = receiver.buffer.spare.iter().map(Vec::capacity).max();
        assert!(capacity < Some(1 << 20), "the caller's buffer is kept");
    }
    assert_eq!(receiver.buffer.stats().frames, 400);
    let capacity: usize = receiver.buffer.spare.iter().map(Vec::capacity).sum();
    assert!(capacity <= MAX_SPARE * MIN_SPARE_CAPACITY, "{capacity} bytes");

    let huge =
        JitterPacket { seq: 1 << 30, timestamp: 0, marker: true, capture_time: None, payload: &[1; 60_000] };
    receiver.buffer.insert(receiver.t0, &huge);
    receiver.buffer.reset();
    assert!(receiver.buffer.packets.spare_capacity() <= 64 * 2048);
}

#[test]
fn span_is_bounded_whatever_is_asked_for() {
    let config = JitterConfig { max_packets: usize::MAX, ..JitterConfig::new(CodecKind::Vp8, 90_000) };
    let mut receiver = Receiver::new(config);
    // The first packet of a frame whose others are missing.
    let packet = |seq| Packet { seq, timestamp: seq as u32, marker: false, payload: vec![0x10, 0x10, 1] };
    receiver.insert(0, &[packet(100), packet(100 + 4095)]);
    assert_eq!(receiver.buffer.stats().overflows, 0);
    receiver.insert(0, &[packet(100 + 4096)]);
    assert_eq!(receiver.buffer.stats().overflows, 1);
}

proptest! {
    #[test]
    fn arbitrary_packets_stay_within_the_limits(
        packets in prop::collection::vec(
            (0u64..300, 0u32..12, any::<bool>(), prop::collection::vec(any::<u8>(), 0..12), 0u64..60), 0..200),
        codec in prop::sample::select(vec![
            CodecKind::Vp8, CodecKind::Vp9, CodecKind::H264, CodecKind::H265, CodecKind::Av1, CodecKind::Opus]),
    ) {
        let config = JitterConfig { max_packets: 100, max_bytes: 400, ..JitterConfig::new(codec, 90_000) };
        let mut receiver = Receiver::new(config);
        let mut ms = 0;
        for (seq, timestamp, marker, payload, wait) in packets {
            ms += wait;
            receiver.run_until(ms);
            let packet = Packet { seq: 65_536 + seq, timestamp: timestamp * 3000, marker, payload };
            receiver.insert(ms, &[packet]);
            prop_assert!(receiver.buffer.bytes() <= 400);
        }
        receiver.run_until(ms + 10_000);
        prop_assert_eq!(receiver.buffer.bytes(), 0, "the buffer is empty at the end");
    }
}
