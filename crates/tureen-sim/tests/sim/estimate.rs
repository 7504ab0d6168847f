//! The client's own estimate: a sender that follows it over an uplink that changes.

use std::time::{Duration, Instant};

use serde_json::json;
use tureen_client::frames::OutgoingFrame;
use tureen_rtc::bwe::BweConfig;
use tureen_rtc::units::Bitrate;
use tureen_sim::{Call, LinkConfig};

use crate::{MS, good_link};

/// One second of the sender.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Target at its end.
    target: u64,
    /// Bits that left the sender.
    sent: u64,
    /// Longest time from sending a frame to the arrival of its last packet.
    delay: Duration,
    frames: u32,
}

/// Video at 30 frames a second, whose frames take up the target or `wanted`, if that is less, for as many seconds as
/// `rates` lists, each with its rate of the uplink.
fn run(seed: u64, wanted: Bitrate, rates: &[Bitrate]) -> Vec<Second> {
    let codec = json!({ "mimeType": "video/VP8", "parameters": {} });
    let mut call = Call::with_video_codecs(seed, std::slice::from_ref(&codec));
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_frames(nodes[0], codec.clone());
    let consumer = call.consume_frames(nodes[1], &production, &codec);
    call.network.with_session(production.node, |session, now| {
        session.estimate_bitrate(now, BweConfig::default());
        session.set_desired_bitrate(now, wanted);
    });
    let mut sent_at: Vec<Instant> = Vec::new();
    let mut seconds = vec![Second::default(); rates.len()];
    let mut data = Vec::new();
    for (at, second) in seconds.iter_mut().enumerate() {
        let up = LinkConfig { rate: Some(rates[at]), queue: 256 << 10, ..good_link() };
        call.network.set_links(production.node, up, good_link());
        let bytes_before = call.network.link_stats(production.node).0.bytes;
        for ms in 0..1000 {
            if ms % 33 == 0 && ms < 990 {
                let number = sent_at.len() as u32;
                call.network.with_session(production.node, |session, now| {
                    let target = session.target_bitrate().expect("it is connected").min(wanted);
                    let frame = vp8_frame(number, target.as_bps() as usize / 8 / 30 * 9 / 10);
                    let frame = OutgoingFrame::new(&frame, number.wrapping_mul(2970));
                    // The pacer may still hold more than the stream buffers: the frame is lost then.
                    let _ = session.send_frame(now, production.ssrc, &frame);
                    sent_at.push(now);
                });
            }
            call.network.run_for(MS);
            let poll = |call: &mut Call, data: &mut Vec<u8>| {
                call.network.with_session(consumer.node, |session, now| session.poll_frame(now, data))
            };
            while let Some((_, frame)) = poll(&mut call, &mut data) {
                let delay = frame.received_at - sent_at[number_of(&data)];
                second.delay = second.delay.max(delay);
                second.frames += 1;
            }
        }
        second.sent = (call.network.link_stats(production.node).0.bytes - bytes_before) * 8;
        second.target = call.network.session(production.node).target_bitrate().unwrap().as_bps();
    }
    seconds
}

/// Every frame is a key frame, so that each that arrives is handed out.
fn vp8_frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0xe0, 1];
    frame.extend(number.to_be_bytes());
    frame.resize(len.max(frame.len()), 7);
    frame
}

fn number_of(frame: &[u8]) -> usize {
    u32::from_be_bytes(frame[10..14].try_into().unwrap()) as usize
}

fn mean(seconds: &[Second], value: impl Fn(&Second) -> u64) -> f64 {
    seconds.iter().map(value).sum::<u64>() as f64 / seconds.len() as f64
}

#[test]
fn sender_follows_an_uplink_that_changes_without_building_a_queue() {
    for seed in 1..4 {
        let (high, low) = (Bitrate::mbps(2), Bitrate::kbps(500));
        let rates = [vec![high; 20], vec![low; 20], vec![high; 25]].concat();
        let seconds = run(seed, Bitrate::mbps(3), &rates);
        for (phase, rate) in [(8..20, high), (29..40, low), (52..65, high)] {
            let rate = rate.as_bps() as f64;
            let seconds = &seconds[phase.clone()];
            let (target, sent) = (mean(seconds, |s| s.target) / rate, mean(seconds, |s| s.sent) / rate);
            let delay = seconds.iter().map(|second| second.delay).max().unwrap();
            let described =
                format!("seed {seed}, {phase:?} s: target {target:.2}, sent {sent:.2}, {delay:?}");
            assert!((0.6..1.1).contains(&target) && sent > 0.55, "{described}");
            // 40 ms of propagation, the frame itself, and the pacer.
            assert!(delay < 400 * MS, "{described}");
        }
        // The queue of the drop to a quarter of the rate is bounded, and drained within nine seconds.
        let after = &seconds[20..29];
        assert!(after.iter().all(|second| second.delay < 2000 * MS), "seed {seed}: {after:?}");
    }
}

#[test]
fn estimate_rises_to_what_is_wanted_and_hardly_beyond() {
    let seconds = run(7, Bitrate::mbps(1), &[Bitrate::mbps(20); 12]);
    let last = seconds.last().unwrap();
    assert!(last.target >= 1_000_000 && last.sent < 1_300_000, "{last:?}");
    assert!(last.frames >= 29 && last.delay < 100 * MS, "{last:?}");
}

#[test]
fn large_frames_are_paced() {
    let codec = json!({ "mimeType": "video/VP8", "parameters": {} });
    let mut call = Call::with_video_codecs(1, std::slice::from_ref(&codec));
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_frames(nodes[0], codec.clone());
    let consumer = call.consume_frames(nodes[1], &production, &codec);
    let before = call.network.link_stats(production.node).0.bytes;
    call.network.with_session(production.node, |session, now| {
        session.estimate_bitrate(now, BweConfig { initial: Bitrate::mbps(1), ..BweConfig::default() });
        session.send_frame(now, production.ssrc, &OutgoingFrame::new(&vp8_frame(0, 50_000), 0)).unwrap();
    });
    let at_once = call.network.link_stats(production.node).0.bytes - before;
    assert!((1_000..15_000).contains(&at_once), "{at_once} bytes at once");
    call.network.run_for(400 * MS);
    let mut data = Vec::new();
    let frame = call.network.with_session(consumer.node, |session, now| session.poll_frame(now, &mut data));
    assert!(frame.is_some() && data.len() == 50_000, "it arrives whole");
}
