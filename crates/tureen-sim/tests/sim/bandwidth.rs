//! Congestion control of the whole engine: consumers over links that are too slow for all layers.

use std::time::Duration;

use tureen_client::media::Stamp;
use tureen_engine::api::{
    ConsumerEvent, ConsumerLayers, Notification, Request, Response, TransportEvent, TransportTrace,
};
use tureen_rtc::units::Bitrate;
use tureen_sim::{AudioConfig, Call, Consumption, LinkConfig, NodeId, Production, VideoConfig};

use super::{MS, even_video, good_link, received};

const SECOND: Duration = Duration::from_secs(1);

/// Link with this rate, a delay of 25 ms and a queue of 300 ms.
fn capped(rate: Bitrate) -> LinkConfig {
    let queue = rate.bytes_in(300 * MS) as usize;
    LinkConfig { rate: Some(rate), queue, ..LinkConfig::with_delay(25 * MS) }
}

/// Encodings of 100, 400 and 1200 kbit/s.
fn encodings() -> [VideoConfig; 3] {
    [417, 1667, 5000].map(|frame_bytes| VideoConfig {
        frame_bytes,
        key_frame_factor: 3,
        ..VideoConfig::default()
    })
}

/// A member that produces three encodings, and a second one that consumes them over `down`.
fn one_to_one(seed: u64, down: LinkConfig) -> (Call, NodeId, Production, Consumption) {
    let mut call = Call::new(seed);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[1], good_link(), down);
    let video = call.produce_simulcast(nodes[0], &encodings());
    let consumption = call.consume(nodes[1], &video);
    (call, nodes[1], video, consumption)
}

/// Bitrate of received payloads within `time`, in bit/s.
fn media_rate(call: &mut Call, consumption: &Consumption, time: Duration) -> f64 {
    let bytes = |call: &Call| {
        call.network.session(consumption.node).recv_stats(consumption.ssrc).expect("it is received").bytes
    };
    let before = bytes(call);
    call.network.run_for(time);
    (bytes(call) - before) as f64 * 8.0 / time.as_secs_f64()
}

/// Layer changes of a consumer since a time.
fn switches(
    call: &Call,
    consumption: &Consumption,
    since: Duration,
) -> Vec<(Duration, Option<ConsumerLayers>)> {
    let all = call.network.notifications().iter().filter(|(at, _)| *at >= since);
    let of_this = all.filter_map(|(at, notification)| match notification {
        Notification::Consumer(id, ConsumerEvent::LayersChange(layers)) if *id == consumption.id => {
            Some((*at, *layers))
        }
        _ => None,
    });
    of_this.collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn consumer_on_a_limited_link_gets_a_lower_layer_and_recovers() {
    let (mut under_cap, mut after_cap) = (Vec::new(), Vec::new());
    for seed in 1..=5 {
        let (mut call, node, _, consumption) = one_to_one(seed, capped(Bitrate::mbps(5)));
        call.network.run_for(8 * SECOND);
        let before = media_rate(&mut call, &consumption, 2 * SECOND);
        assert!(before > 1.1e6, "seed {seed}: {before} before the cap");

        call.network.set_links(node, good_link(), capped(Bitrate::kbps(500)));
        let capped_at = call.network.elapsed();
        call.network.run_for(3 * SECOND);
        let fell = switches(&call, &consumption, capped_at);
        assert!(!fell.is_empty(), "seed {seed}: no lower layer within 3 s");
        under_cap.push(media_rate(&mut call, &consumption, 17 * SECOND));

        call.network.set_links(node, good_link(), capped(Bitrate::mbps(5)));
        call.network.run_for(5 * SECOND);
        after_cap.push(media_rate(&mut call, &consumption, 2 * SECOND));
        let all = switches(&call, &consumption, capped_at);
        assert!(all.len() <= 14, "seed {seed}: {all:?}");
    }
    assert!(median(under_cap.clone()) >= 350e3, "under the cap: {under_cap:?}");
    assert!(median(after_cap.clone()) > 1.1e6, "after the cap: {after_cap:?}");
}

/// Reaction of a consumer of three encodings to a link that is limited to 500 kbit/s for a while.
#[derive(Clone, Copy, Debug)]
struct Capped {
    /// Time from the limit until a key frame of a lower encoding has arrived.
    lowered_after: Duration,
    /// Received bitrate in the following 5 s, and in the 10 s after that, in bit/s.
    used: [f64; 2],
    /// Time from the end of the limit until a key frame of the highest encoding has arrived.
    raised_after: Duration,
    switches: usize,
}

fn limit_for_a_while(seed: u64, delay: Duration, with_audio: bool) -> Capped {
    let line = |rate| LinkConfig { delay, ..capped(rate) };
    let (mut call, node, video, consumption) = one_to_one(seed, line(Bitrate::mbps(50)));
    if with_audio {
        let audio = call.produce_audio(video.node, AudioConfig::default());
        call.consume(node, &audio);
    }
    // The start of the limit varies, because a key frame or a probe may be in progress at that moment.
    call.network.run_for(8 * SECOND + 73 * MS * (seed % 41) as u32);
    // Waits for a complete key frame to which a decoder can switch.
    let arrives = |call: &mut Call, is_wanted: fn(u8) -> bool| {
        let (began, before) = (call.network.elapsed(), received(call, &consumption).len());
        loop {
            call.network.run_for(20 * MS);
            let all = received(call, &consumption);
            let wanted: Vec<_> = all[before..]
                .iter()
                .filter_map(|packet| Some((packet, packet.stamp.filter(|stamp| is_wanted(stamp.encoding))?)))
                .collect();
            let complete = wanted.iter().filter(|(packet, _)| packet.key_frame).find_map(|(_, key)| {
                let of_frame = |stamp: &Stamp| (stamp.encoding, stamp.frame) == (key.encoding, key.frame);
                let parts: Vec<_> = wanted.iter().filter(|(_, stamp)| of_frame(stamp)).collect();
                (parts.len() == usize::from(key.packets))
                    .then(|| parts.iter().map(|(packet, _)| packet.at).max())?
            });
            if let Some(at) = complete {
                return at - began;
            }
            assert!(call.network.elapsed() - began < 30 * SECOND, "seed {seed}: no key frame");
        }
    };
    let since = call.network.elapsed();
    call.network.set_links(node, good_link(), line(Bitrate::kbps(500)));
    let lowered_after = arrives(&mut call, |encoding| encoding < 2);
    let used = [5, 10].map(|seconds| media_rate(&mut call, &consumption, seconds * SECOND));
    call.network.set_links(node, good_link(), line(Bitrate::mbps(50)));
    let raised_after = arrives(&mut call, |encoding| encoding == 2);
    let switches = switches(&call, &consumption, since).len();
    Capped { lowered_after, used, raised_after, switches }
}

#[test]
fn consumer_on_a_limited_link_gets_the_lower_layer_within_two_seconds_and_uses_most_of_the_link() {
    for (delay, with_audio) in [(1, false), (1, true), (25, true), (80, true)] {
        let all: Vec<_> = (1..=12).map(|seed| limit_for_a_while(seed, delay * MS, with_audio)).collect();
        let line = format!("{delay} ms, audio: {with_audio}: {all:?}");
        let slowest = all.iter().map(|one| one.lowered_after).max().expect("there are twelve");
        assert!(slowest <= 2 * SECOND, "{line}");
        // Of an encoding of 400 kbit/s.
        assert!(median(all.iter().map(|one| one.used[0]).collect()) >= 355e3, "{line}");
        assert!(all.iter().all(|one| one.used[1] >= 375e3), "{line}");
        assert!(all.iter().all(|one| one.raised_after <= 8 * SECOND && one.switches <= 13), "{line}");
    }
}

#[test]
fn consumers_share_by_priority() {
    let mut call = Call::new(3);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[1], good_link(), capped(Bitrate::kbps(2000)));
    let priorities = [1, 2, 8];
    let consumptions: Vec<_> = priorities
        .iter()
        .map(|&priority| {
            let video = call.produce_simulcast(nodes[0], &encodings());
            let consumption = call.consume(nodes[1], &video);
            let request = Request::SetPriority(consumption.id.clone(), priority);
            assert!(matches!(call.network.request(request), Ok(Response::Priority(_))));
            consumption
        })
        .collect();
    call.network.run_for(15 * SECOND);
    let bytes = |call: &Call, consumption: &Consumption| {
        call.network.session(nodes[1]).recv_stats(consumption.ssrc).expect("it is received").bytes as f64
    };
    let before: Vec<_> = consumptions.iter().map(|consumption| bytes(&call, consumption)).collect();
    call.network.run_for(20 * SECOND);
    let rates: Vec<_> = consumptions
        .iter()
        .zip(before)
        .map(|(consumption, before)| (bytes(&call, consumption) - before) * 8.0 / 20.0)
        .collect();
    assert!(rates.iter().all(|&rate| rate > 80e3), "everybody gets something: {rates:?}");
    assert!(rates[2] > 1.5 * rates[0] && rates[2] >= rates[1], "by priority: {rates:?}");
    assert!(rates.iter().sum::<f64>() > 1.2e6, "most of the link is used: {rates:?}");
}

#[test]
fn estimate_is_traced_and_bounded() {
    let (mut call, node, _, consumption) = one_to_one(1, capped(Bitrate::mbps(5)));
    let transport = call.transport(node).clone();
    let trace = TransportTrace { bwe: true, probation: true };
    call.network.request(Request::EnableTransportTrace(transport.clone(), trace)).expect("it exists");
    call.network.run_for(5 * SECOND);
    let available = |call: &mut Call| match call.network.request(Request::TransportStats(transport.clone())) {
        Ok(Response::TransportStats(stats)) => (stats.available_outgoing_bitrate, stats.probation_sent.bytes),
        other => panic!("{other:?}"),
    };
    let (estimate, probation) = available(&mut call);
    assert!(estimate.is_some_and(|bps| (1_200_000..5_500_000).contains(&bps)), "{estimate:?}");
    assert!(probation > 0);

    let max = Request::SetMaxOutgoingBitrate(transport.clone(), Bitrate::kbps(300));
    call.network.request(max).expect("it exists");
    assert_eq!(available(&mut call).0, Some(300_000));
    call.network.run_for(SECOND);
    let media = media_rate(&mut call, &consumption, 3 * SECOND);
    assert!(media < 150e3, "lowest layer only: {media}");

    let traced = |wanted: fn(&TransportEvent) -> bool| {
        call.network.notifications().iter().any(|(_, notification)| match notification {
            Notification::Transport(id, event) => *id == transport && wanted(event),
            _ => false,
        })
    };
    assert!(traced(
        |event| matches!(event, TransportEvent::Bwe { info, .. } if info.desired_bitrate > 1_000_000)
    ));
    assert!(traced(|event| matches!(event, TransportEvent::Probation { info, .. } if info.size > 20)));
}

#[test]
fn frames_arrive_whole_and_in_order_while_packets_are_paced() {
    let (mut call, _, _, consumption) = one_to_one(2, capped(Bitrate::kbps(900)));
    call.network.run_for(20 * SECOND);
    let observed = call.network.observed(consumption.node);
    let video: Vec<_> = observed.iter().filter(|packet| packet.ssrc == consumption.ssrc).collect();
    let mut seqs: Vec<_> = video.iter().map(|packet| packet.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), video.len(), "a packet was delivered twice");
    let missing = seqs[seqs.len() - 1] - seqs[0] + 1 - seqs.len() as u64;
    assert!(missing <= video.len() as u64 / 50, "{missing} of {} missing", video.len());
}

#[test]
fn consumers_without_layers_are_neither_probed_nor_paced() {
    let mut call = Call::new(5);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let video = call.produce_video(nodes[0], VideoConfig::default());
    let consumption = call.consume(nodes[1], &video);
    call.network.run_for(5 * SECOND);
    let stats = call.network.session(nodes[1]).recv_stats(consumption.ssrc).expect("it is received");
    assert_eq!((stats.discarded, stats.repaired), (0, 0), "{stats:?}");
    let transport = call.transport(nodes[1]).clone();
    let Ok(Response::TransportStats(stats)) = call.network.request(Request::TransportStats(transport)) else {
        panic!("no statistics");
    };
    assert_eq!(stats.probation_sent.bytes, 0);
    assert!(stats.available_outgoing_bitrate.is_some_and(|bps| bps > 800_000), "{stats:?}");
}

/// Number of datagrams that the engine sends to a node within ten seconds.
fn datagrams_down(call: &mut Call, node: NodeId) -> u64 {
    let before = call.network.link_stats(node).1.sent;
    call.network.run_for(10 * SECOND);
    call.network.link_stats(node).1.sent - before
}

#[test]
fn feedback_interval_depends_on_the_incoming_bitrate() {
    let mut call = Call::new(6);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.produce_video(nodes[0], VideoConfig { frame_bytes: 16_000, ..VideoConfig::default() });
    call.produce_audio(nodes[1], AudioConfig::default());
    call.network.run_for(3 * SECOND);
    // About 15 of them are reports and STUN messages.
    let fast = datagrams_down(&mut call, nodes[0]);
    assert!((130..230).contains(&fast), "each 50 ms, from the next packet on: {fast}");
    let slow = datagrams_down(&mut call, nodes[1]);
    assert!((30..70).contains(&slow), "each 250 ms: {slow}");
}

/// Bitrate of incoming media on a node's transport, and the available incoming bitrate of its statistics.
fn incoming(call: &mut Call, node: NodeId) -> (u64, Option<u64>) {
    let request = Request::TransportStats(call.transport(node).clone());
    let Response::TransportStats(stats) = call.request(request) else { panic!("not statistics") };
    (stats.rtp_received.bitrate, stats.available_incoming_bitrate)
}

#[test]
fn sender_that_supports_only_remb_follows_its_link() {
    let mut call = Call::new(7);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let up = |call: &mut Call, rate| call.network.set_links(nodes[0], capped(rate), good_link());
    up(&mut call, Bitrate::mbps(5));
    // Source of 2 Mbit/s.
    let config =
        VideoConfig { frame_bytes: 8000, key_frame_factor: 1, follows_remb: true, ..VideoConfig::default() };
    call.produce_video_by_remb(nodes[0], config);
    call.produce_video(nodes[1], even_video());
    call.network.run_for(2 * SECOND);
    assert_eq!(incoming(&mut call, nodes[0]).1, None, "not measured for long enough");
    call.network.run_for(10 * SECOND);
    let (received, available) = incoming(&mut call, nodes[0]);
    assert!(received > 1_900_000 && available.is_some_and(|a| (2_000_000..4_000_000).contains(&a)));
    assert_eq!(incoming(&mut call, nodes[1]).1, None, "transport-wide feedback is sent instead");

    up(&mut call, Bitrate::kbps(700));
    call.network.run_for(5 * SECOND);
    let dropped = call.network.link_stats(nodes[0]).0.queue_dropped;
    for _ in 0..5 {
        call.network.run_for(4 * SECOND);
        let (received, available) = incoming(&mut call, nodes[0]);
        assert!((400_000..720_000).contains(&received), "{received}");
        assert!(available.is_some_and(|a| (400_000..900_000).contains(&a)), "{available:?}");
    }
    assert_eq!(call.network.link_stats(nodes[0]).0.queue_dropped, dropped, "no packet is lost any more");

    up(&mut call, Bitrate::mbps(5));
    call.network.run_for(30 * SECOND);
    let (received, _) = incoming(&mut call, nodes[0]);
    assert!(received > 1_500_000, "{received}");

    let limit = Request::SetMaxIncomingBitrate(call.transport(nodes[0]).clone(), Bitrate::kbps(500));
    call.request(limit);
    call.network.run_for(5 * SECOND);
    let (received, _) = incoming(&mut call, nodes[0]);
    assert!((400_000..520_000).contains(&received), "{received}");
}

#[test]
fn retransmissions_leave_room_for_media_of_a_fixed_bitrate() {
    let mut call = Call::new(8);
    let nodes = call.join_all(&[good_link(), good_link()]);
    // 2 Mbit/s on a link of half that rate. Retransmissions are lost too, and requested again.
    call.network.set_links(nodes[1], good_link(), capped(Bitrate::mbps(1)));
    let video = call.produce_video(nodes[0], VideoConfig { frame_bytes: 8000, ..VideoConfig::default() });
    call.consume(nodes[1], &video);
    call.network.run_for(15 * SECOND);
    let request = Request::TransportStats(call.transport(nodes[1]).clone());
    let Response::TransportStats(stats) = call.request(request) else { panic!("not statistics") };
    let share = stats.rtx_sent.bytes as f64 / stats.rtp_sent.bytes as f64;
    assert!((0.15..0.35).contains(&share), "{share} of what media takes");
    // Everything sent consists of media, retransmissions, and a rest of STUN, DTLS and RTCP.
    let rest = stats.sent.bytes - stats.rtp_sent.bytes - stats.rtx_sent.bytes;
    assert!((1..100_000).contains(&rest), "{rest} bytes besides media and retransmissions");
}

#[test]
fn flood_beyond_max_incoming_bitrate_is_dropped_but_audio_is_forwarded() {
    let mut call = Call::new(9);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let limit = Bitrate::kbps(500);
    call.request(Request::SetMaxIncomingBitrate(call.transport(nodes[0]).clone(), limit));
    // 1.4 Mbit/s exceed the maximum too, but only moderately, as a sender without REMB may do.
    let video = call.produce_video(nodes[0], VideoConfig { frame_bytes: 5800, ..VideoConfig::default() });
    let audio = call.produce_audio(nodes[0], AudioConfig::default());
    call.consume(nodes[1], &video);
    let audio_consumer = call.consume(nodes[1], &audio);
    call.network.run_for(20 * SECOND);
    assert_eq!(call.network.drops("incoming-bitrate"), 0);

    let flood = VideoConfig { frame_bytes: 80_000, key_frame_factor: 1, ..VideoConfig::default() };
    let flood = call.produce_video(nodes[0], flood);
    call.consume(nodes[1], &flood);
    call.network.run_for(10 * SECOND);
    assert!(call.network.drops("incoming-bitrate") > 1000, "{}", call.network.drops("incoming-bitrate"));
    let of_video = |call: &mut Call| {
        let request = Request::TransportStats(call.transport(nodes[0]).clone());
        let Response::TransportStats(stats) = call.request(request) else { panic!("not statistics") };
        stats.rtp_received.bytes + stats.rtx_received.bytes
    };
    let before = (of_video(&mut call), super::received(&call, &audio_consumer).len());
    call.network.run_for(10 * SECOND);
    let taken = (of_video(&mut call) - before.0) as f64 * 8.0 / 10.0;
    assert!((1.8e6..2.2e6).contains(&taken), "four times the maximum: {taken}");
    assert_eq!(super::received(&call, &audio_consumer).len() - before.1, 500, "audio is dropped last");

    call.request(Request::SetMaxIncomingBitrate(call.transport(nodes[0]).clone(), Bitrate::ZERO));
    let before = call.network.drops("incoming-bitrate");
    call.network.run_for(5 * SECOND);
    assert_eq!(call.network.drops("incoming-bitrate"), before, "nothing is dropped without a maximum");
}
