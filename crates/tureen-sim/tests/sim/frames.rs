//! Whole encoded frames from session to session, through the engine and over lossy links.

use std::time::Duration;

use serde_json::{Value, json};
use tureen_client::Event;
use tureen_client::frames::OutgoingFrame;
use tureen_client::jitter::{JitterStats, ReceivedFrame};
use tureen_sim::{Call, Consumption, LinkConfig, Production, UNIX};

use crate::{MS, good_link};

/// Frame that a consumer has received.
struct Got {
    number: u32,
    frame: ReceivedFrame,
    /// Time from sending to delivery of the frame.
    delay: Duration,
}

/// Results of a call.
struct Outcome {
    sent: u32,
    key_frames_asked_for: u32,
    got: Vec<Vec<Got>>,
    stats: Vec<JitterStats>,
    repaired: u64,
}

/// Frame `number` in the codec's format, about `len` bytes long.
fn encoded(codec: &Value, number: u32, key: bool, len: usize) -> Vec<u8> {
    // The payload contains no zeros, which would need emulation prevention in NAL units.
    let digits = format!("{number:010}").into_bytes();
    let body = [digits, (0..len).map(|at| (at as u32 * 7 + number) as u8 | 1).collect()].concat();
    let unit = |header: &[u8], body: &[u8]| [&[0, 0, 0, 1], header, body].concat();
    let obu = |header: u8, body: &[u8]| {
        [&[header | 2, body.len() as u8 | 0x80, (body.len() >> 7) as u8][..], body].concat()
    };
    match codec["mimeType"].as_str().unwrap() {
        "video/VP8" if key => [&[0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0xe0, 1][..], &body].concat(),
        "video/VP8" => [&[0x11][..], &body].concat(),
        "video/VP9" => [&[if key { 0x82 } else { 0x86 }][..], &body].concat(),
        "video/H264" if key => {
            [unit(&[0x67], &[0x42, 0xe0, 0x1f]), unit(&[0x68], &[0xce]), unit(&[0x65], &body)].concat()
        }
        "video/H264" => unit(&[0x41], &body),
        "video/H265" if key => {
            let sets = [32, 33, 34].map(|kind: u8| unit(&[kind << 1, 1], &[0x0c])).concat();
            [sets, unit(&[19 << 1, 1, 0xaf], &body)].concat()
        }
        "video/H265" => unit(&[1 << 1, 1, 0xd0], &body),
        "video/AV1" => {
            // The sequence header is so long that its size needs two bytes.
            let sequence = if key { obu(1 << 3, &[5; 130]) } else { Vec::new() };
            let first: &[u8] = if key { &[0x10] } else { &[0x3c] };
            [vec![0x12, 0], sequence, obu(6 << 3, &[first, &body].concat())].concat()
        }
        "audio/opus" => [&[0x78][..], &body].concat(),
        other => panic!("{other} has no frames"),
    }
}

/// Reads the number of a frame, and asserts that the frame is unchanged.
fn number_of(codec: &Value, data: &[u8], len: usize) -> u32 {
    let digits =
        data.windows(10).find(|digits| digits.iter().all(u8::is_ascii_digit)).expect("there is a number");
    let number = std::str::from_utf8(digits).unwrap().parse().unwrap();
    let made = [true, false].map(|key| encoded(codec, number, key, len));
    assert!(made.iter().any(|made| made == data), "frame {number} of {codec} was changed");
    number
}

/// A member sends frames to two others for 20 s, over three such links.
fn call(seed: u64, codec: &Value, link: &LinkConfig) -> Outcome {
    let is_audio = codec["mimeType"] == "audio/opus";
    let video: Vec<Value> =
        if is_audio { vec![json!({ "mimeType": "video/VP8" })] } else { vec![codec.clone()] };
    let mut call = Call::with_video_codecs(seed, &video);
    let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
    for node in &nodes {
        call.network.set_links(*node, link.clone(), link.clone());
    }
    let production = call.produce_frames(nodes[0], codec.clone());
    let consumers: Vec<Consumption> =
        nodes[1..].iter().map(|node| call.consume_frames(*node, &production, codec)).collect();
    let (step, ticks, len) = if is_audio { (20, 960, 80) } else { (33, 2970, 3000) };
    let mut outcome =
        Outcome { sent: 0, key_frames_asked_for: 0, got: Vec::new(), stats: Vec::new(), repaired: 0 };
    outcome.got.resize_with(consumers.len(), Vec::new);
    let mut events_read = 0;
    let mut sent_at = Vec::new();
    for ms in 0..24_000_u32 {
        if ms < 20_000 && ms % step == 0 {
            let events = call.network.events(production.node);
            let wanted = events[events_read..]
                .iter()
                .filter(|(_, event)| matches!(event, Event::KeyFrameRequested { .. }))
                .count();
            events_read = events.len();
            outcome.key_frames_asked_for += u32::from(wanted > 0);
            let key = outcome.sent == 0 || wanted > 0;
            let data = encoded(codec, outcome.sent, key, len);
            let frame = OutgoingFrame::new(&data, outcome.sent.wrapping_mul(ticks).wrapping_sub(90_000));
            let info = call.network.with_session(production.node, |session, now| {
                session.send_frame(now, production.ssrc, &frame)
            });
            assert_eq!(info.unwrap().key_frame, key || is_audio);
            sent_at.push(call.network.elapsed());
            outcome.sent += 1;
        }
        call.network.run_for(MS);
        let now = call.network.elapsed();
        for (consumer, got) in consumers.iter().zip(&mut outcome.got) {
            let mut data = Vec::new();
            let poll = |call: &mut Call, data: &mut Vec<u8>| {
                call.network.with_session(consumer.node, |session, now| session.poll_frame(now, data))
            };
            while let Some((ssrc, frame)) = poll(&mut call, &mut data) {
                assert_eq!(ssrc, consumer.ssrc);
                let number = number_of(codec, &data, len);
                got.push(Got { number, frame, delay: now - sent_at[number as usize] });
            }
        }
    }
    finish(&call, &production, &consumers, &mut outcome, &sent_at);
    outcome
}

fn finish(
    call: &Call,
    production: &Production,
    consumers: &[Consumption],
    outcome: &mut Outcome,
    sent_at: &[Duration],
) {
    for (consumer, got) in consumers.iter().zip(&outcome.got) {
        let session = call.network.session(consumer.node);
        outcome.stats.push(session.frame_stats(consumer.ssrc).unwrap());
        outcome.repaired += session.recv_stats(consumer.ssrc).unwrap().repaired;
        assert!(got.is_sorted_by_key(|got| got.number), "frames are in order");
        let dated = got.iter().filter_map(|got| Some((got.number, got.frame.capture_time?)));
        for (number, captured) in dated {
            // The capture time is by the engine's clock, which equals the sender's except for the delay of the way.
            let sent = UNIX + sent_at[number as usize];
            let error = captured.abs_diff(sent);
            assert!(error < 300 * MS, "frame {number} was captured {error:?} off");
        }
    }
    let stats = call.network.session(production.node).send_stats(production.ssrc).unwrap();
    assert!(stats.packets > 0);
}

fn codecs() -> [Value; 5] {
    [
        json!({ "mimeType": "video/VP8", "parameters": {} }),
        json!({ "mimeType": "video/VP9", "parameters": { "profile-id": 0 } }),
        json!({ "mimeType": "video/H264", "parameters": {
            "packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1 } }),
        json!({ "mimeType": "video/H265", "parameters": {} }),
        json!({ "mimeType": "video/AV1", "parameters": {} }),
    ]
}

fn opus() -> Value {
    json!({ "mimeType": "audio/opus", "parameters": {} })
}

fn slowest(got: &[Got]) -> Duration {
    got.iter().map(|got| got.delay).max().unwrap_or_default()
}

#[test]
fn frames_of_each_codec_arrive_over_good_links() {
    for codec in codecs().iter().chain(&[opus()]) {
        let outcome = call(1, codec, &good_link());
        for got in &outcome.got {
            // The first consumer's key frame may be requested again when the second one starts.
            assert!(got.len() as u32 + 3 > outcome.sent, "{codec}: {} of {}", got.len(), outcome.sent);
            assert!(slowest(got) < 60 * MS, "{codec}: {:?}", slowest(got));
            let dated = got.iter().filter(|got| got.frame.capture_time.is_some()).count();
            assert!(dated * 10 > got.len() * 8, "{codec}: {dated} capture times");
        }
    }
}

#[test]
fn video_frames_of_each_codec_arrive_under_loss() {
    for codec in codecs() {
        for seed in 1..=2 {
            let link = LinkConfig::with_delay(20 * MS).with_reordering(10 * MS).with_loss(0.05);
            let outcome = call(seed, &codec, &link);
            for (got, stats) in outcome.got.iter().zip(&outcome.stats) {
                println!(
                    "{} seed {seed}: {} of {} frames, {} key frame requests, slowest {:?}, {stats:?}",
                    codec["mimeType"],
                    got.len(),
                    outcome.sent,
                    outcome.key_frames_asked_for,
                    slowest(got),
                );
                assert!(got.len() as u32 * 100 >= outcome.sent * 97, "{codec} seed {seed}");
                assert_eq!(stats.malformed, 0, "{codec} seed {seed}");
                assert!(slowest(got) < 1200 * MS, "{codec} seed {seed}: {:?}", slowest(got));
                let last = got.last().unwrap().number;
                assert!(last + 4 > outcome.sent, "{codec} seed {seed} ends at {last}");
            }
            assert!(outcome.repaired > 100, "{codec} seed {seed}: {} repaired", outcome.repaired);
        }
    }
}

#[test]
fn audio_frames_arrive_under_loss() {
    for seed in 1..=3 {
        let link = LinkConfig::with_delay(20 * MS).with_reordering(10 * MS).with_loss(0.05);
        let outcome = call(seed, &opus(), &link);
        for (got, stats) in outcome.got.iter().zip(&outcome.stats) {
            println!("seed {seed}: {} of {}, {stats:?}", got.len(), outcome.sent);
            // Without retransmissions; each hop loses 5 %.
            assert!(got.len() as u32 * 100 >= outcome.sent * 85, "seed {seed}");
            assert!(slowest(got) < 100 * MS, "seed {seed}: {:?}", slowest(got));
            assert!(got.iter().filter(|got| got.frame.after_loss).count() > 20, "seed {seed}");
        }
        assert_eq!(outcome.key_frames_asked_for, 0);
    }
}
