//! The client's jitter buffer after links with loss, jitter and reordering, with a sender that retransmits lost
//! packets.
#![expect(clippy::disallowed_methods, reason = "any instant will do to count from")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tureen_client::frames::{OutgoingFrame, Packetizer, Payloads};
use tureen_client::jitter::{JitterBuffer, JitterConfig, JitterPacket, JitterStats};
use tureen_rtc::wire::codecs::CodecKind;
use tureen_sim::{Link, LinkConfig};

use crate::MS;

struct Packet {
    seq: u64,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

/// Frames and counters of the buffer.
struct Outcome {
    /// Number of each frame, and the time from its capture to its delivery.
    frames: Vec<(u32, Duration)>,
    key_frame_requests: usize,
    stats: JitterStats,
}

/// A minute of VP8 at 30 frames per second over a link. A lost packet is retransmitted after 80 ms, up to `resends`
/// times.
fn minute_of_video(seed: u64, link: LinkConfig, resends: usize) -> Outcome {
    let start = Instant::now();
    let mut link = Link::new(link, seed);
    let mut packetizer = Packetizer::new(CodecKind::Vp8, 1000, 0x7ff0).unwrap();
    let mut buffer = JitterBuffer::new(JitterConfig::new(CodecKind::Vp8, 90_000)).unwrap();
    let mut payloads = Payloads::default();
    // Events by time: capture of a frame (0), sending of a packet with its remaining tries, arrival.
    let mut sending: BTreeMap<(Duration, u64), (usize, usize)> = BTreeMap::new();
    let mut arriving: BTreeMap<(Duration, u64), usize> = BTreeMap::new();
    let mut packets: Vec<Packet> = Vec::new();
    let mut outcome = Outcome { frames: Vec::new(), key_frame_requests: 0, stats: JitterStats::default() };
    let (mut frame, mut order, mut wants_key_frame, mut data) = (0_u32, 0, true, Vec::new());
    let capture_of = |frame: u32| Duration::from_nanos(u64::from(frame) * 1_000_000_000 / 30);
    loop {
        let capture = (frame < 1800).then(|| capture_of(frame));
        let timeout = buffer.poll_timeout().map(|at| at - start);
        let send = sending.first_key_value().map(|(&(at, _), _)| at);
        let arrive = arriving.first_key_value().map(|(&(at, _), _)| at);
        let Some(now) = [capture, send, arrive, timeout].into_iter().flatten().min() else { break };
        if capture == Some(now) {
            // Number of the frame, then filler for 4 packets.
            let content =
                [&[0x10 | u8::from(!wants_key_frame)][..], &frame.to_be_bytes(), &[7; 3600]].concat();
            wants_key_frame = false;
            let timestamp = frame.wrapping_mul(3000).wrapping_sub(900_000);
            packetizer.packetize(&OutgoingFrame::new(&content, timestamp), &mut payloads).unwrap();
            for (payload, marker) in payloads.iter() {
                order += 1;
                sending.insert((now, order), (packets.len(), resends));
                let seq = 0x1_fff0 + packets.len() as u64;
                packets.push(Packet { seq, timestamp, marker, payload: payload.to_vec() });
            }
            frame += 1;
        }
        while let Some(entry) = sending.first_entry().filter(|entry| entry.key().0 <= now) {
            let (packet, tries) = entry.remove();
            let arrivals = link.send(start + now, packets[packet].payload.len() + 50);
            if arrivals[0].is_none() && tries > 0 {
                order += 1;
                sending.insert((now + 80 * MS, order), (packet, tries - 1));
            }
            for at in arrivals.into_iter().flatten() {
                order += 1;
                arriving.insert((at - start, order), packet);
            }
        }
        while let Some(entry) = arriving.first_entry().filter(|entry| entry.key().0 <= now) {
            let Packet { seq, timestamp, marker, payload } = &packets[entry.remove()];
            let (seq, timestamp, marker) = (*seq, *timestamp, *marker);
            let packet = JitterPacket { seq, timestamp, marker, capture_time: None, payload };
            buffer.insert(start + now, &packet);
        }
        while let Some(received) = buffer.poll_frame(start + now, &mut data) {
            assert_eq!((data.len(), &data[5..]), (3605, &[7; 3600][..]), "seed {seed}");
            let number = u32::from_be_bytes(data[1..5].try_into().unwrap());
            assert_eq!(received.timestamp, number.wrapping_mul(3000).wrapping_sub(900_000));
            outcome.frames.push((number, now - capture_of(number)));
        }
        if buffer.poll_key_frame_request(start + now) {
            outcome.key_frame_requests += 1;
            wants_key_frame = true;
        }
    }
    assert!(outcome.frames.is_sorted_by_key(|(number, _)| *number), "seed {seed}");
    assert_eq!(buffer.bytes(), 0, "the buffer is empty at the end");
    outcome.stats = buffer.stats();
    outcome
}

fn slowest(outcome: &Outcome) -> Duration {
    outcome.frames.iter().map(|(_, delay)| *delay).max().unwrap_or_default()
}

#[test]
fn link_without_jitter_needs_no_delay() {
    let outcome = minute_of_video(1, LinkConfig::with_delay(40 * MS), 0);
    assert_eq!(outcome.frames.len(), 1800);
    assert!(outcome.frames.iter().all(|(_, delay)| *delay < 41 * MS), "{:?}", slowest(&outcome));
}

#[test]
fn delay_covers_jitter_and_reordering() {
    for seed in 1..=5 {
        let outcome = minute_of_video(seed, LinkConfig::with_delay(40 * MS).with_reordering(30 * MS), 0);
        assert_eq!((outcome.frames.len(), outcome.key_frame_requests), (1800, 0), "seed {seed}");
        assert!(outcome.stats.target_delay <= 30 * MS, "seed {seed}: {:?}", outcome.stats);
        assert!(slowest(&outcome) <= 71 * MS, "seed {seed}: {:?}", slowest(&outcome));
        assert_eq!(outcome.stats.late_packets, 0, "seed {seed}");
    }
}

#[test]
fn delay_covers_retransmissions() {
    for seed in 1..=5 {
        let link =
            LinkConfig::with_delay(40 * MS).with_reordering(20 * MS).with_loss(0.05).with_duplicates(0.02);
        let outcome = minute_of_video(seed, link, 5);
        println!("seed {seed}: slowest {:?}, {:?}", slowest(&outcome), outcome.stats);
        assert_eq!((outcome.frames.len(), outcome.key_frame_requests), (1800, 0), "seed {seed}");
        // 80 ms for each retransmission of a packet.
        let target = outcome.stats.target_delay;
        assert!((80 * MS..200 * MS).contains(&target), "seed {seed}: {target:?}");
    }
}

#[test]
fn stream_without_retransmissions_continues_with_key_frames() {
    for seed in 1..=5 {
        let link = LinkConfig::with_delay(40 * MS).with_reordering(20 * MS).with_loss(0.002);
        let outcome = minute_of_video(seed, link, 0);
        println!("seed {seed}: {} frames, {:?}", outcome.frames.len(), outcome.stats);
        let stats = outcome.stats;
        // 14 of 7200 packets are lost. Each loss costs the longest delay, and the time of the key frame request.
        assert!(outcome.frames.len() > 1100, "seed {seed}: {} frames", outcome.frames.len());
        assert!(
            (3..=25).contains(&outcome.key_frame_requests),
            "seed {seed}: {}",
            outcome.key_frame_requests
        );
        // Key frames can be lost too.
        assert!(stats.key_frames as usize + 2 > outcome.key_frame_requests, "seed {seed}: {stats:?}");
        assert!(slowest(&outcome) <= 1100 * MS, "seed {seed}: {:?}", slowest(&outcome));
        let last = outcome.frames.last().unwrap().0;
        assert!(last > 1700, "seed {seed}: the last frame is {last}");
    }
}
