//! Simulcast over lossy networks: the receiver gets one continuous stream across switches.

use std::collections::BTreeMap;
use std::time::Duration;

use tureen_engine::api::{
    ConsumerEvent, ConsumerLayers, MediaTrace, MediaTraceData, Notification, Request, Response,
};
use tureen_sim::{Call, Consumption, LinkConfig, Observed, Production, VideoConfig};

use crate::{MS, good_link, received};

/// Encodings of 120, 360 and 1200 kbit/s, whose timestamps start at arbitrary values.
fn encodings() -> [VideoConfig; 3] {
    [(500, 7_000), (1500, u32::MAX - 100_000), (5000, 0x8000_0000)].map(|(frame_bytes, first_timestamp)| {
        VideoConfig { frame_bytes, first_timestamp, ..VideoConfig::default() }
    })
}

fn call(seed: u64, up: LinkConfig, down: LinkConfig) -> (Call, Production, Consumption) {
    let mut call = Call::new(seed);
    // The links get lossy only after DTLS, which uses its own random numbers, so that a seed always gives the same
    // losses.
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[0], up, good_link());
    call.network.set_links(nodes[1], good_link(), down);
    let production = call.produce_simulcast(nodes[0], &encodings());
    let consumer = call.consume(nodes[1], &production);
    (call, production, consumer)
}

fn prefer(call: &mut Call, consumer: &Consumption, spatial_layer: u8, temporal_layer: u8) {
    let layers = ConsumerLayers { spatial_layer, temporal_layer: Some(temporal_layer) };
    let response = call.request(Request::SetPreferredLayers(consumer.id.clone(), layers));
    assert!(matches!(response, Response::PreferredLayers(Some(taken)) if taken == layers), "{response:?}");
}

/// Picture of the stream that a consumer received.
#[derive(Clone, Debug)]
struct Picture {
    at: Duration,
    timestamp: u32,
    encoding: u8,
    temporal_layer: u8,
    key_frame: bool,
    number: u16,
    tl0: u8,
    complete: bool,
}

/// Received pictures by sequence number.
fn pictures(packets: &[Observed]) -> Vec<Picture> {
    let by_seq: BTreeMap<u64, &Observed> = packets.iter().map(|packet| (packet.seq, packet)).collect();
    let mut pictures: Vec<(Picture, u16, u16)> = Vec::new();
    for packet in by_seq.values() {
        let stamp = packet.stamp.expect("payloads arrive as they were sent, but for their descriptor");
        let (number, tl0) = packet.picture.expect("both are sent");
        match pictures.last_mut() {
            Some((picture, count, _)) if picture.number == number => {
                assert_eq!(picture.timestamp, packet.timestamp);
                picture.at = picture.at.max(packet.at);
                picture.key_frame |= packet.key_frame;
                *count += 1;
            }
            _ => {
                let picture = Picture {
                    at: packet.at,
                    timestamp: packet.timestamp,
                    encoding: stamp.encoding,
                    temporal_layer: stamp.temporal_layer,
                    key_frame: packet.key_frame,
                    number,
                    tl0,
                    complete: false,
                };
                pictures.push((picture, 1, stamp.packets));
            }
        }
    }
    let complete = pictures
        .into_iter()
        .map(|(picture, count, packets)| Picture { complete: count == packets, ..picture });
    complete.collect()
}

/// Asserts what a decoder needs: ascending timestamps, picture ids without gaps, and a key frame at each change of
/// encoding.
fn assert_one_stream(pictures: &[Picture]) {
    for pair in pictures.windows(2) {
        let [a, b] = pair else { unreachable!("windows of two") };
        assert!((b.timestamp.wrapping_sub(a.timestamp) as i32) > 0, "{a:?} {b:?}");
        assert_eq!(b.number.wrapping_sub(a.number) & 0x7fff, 1, "{a:?} {b:?}");
        assert_eq!(b.tl0.wrapping_sub(a.tl0), u8::from(b.temporal_layer == 0), "{a:?} {b:?}");
        assert!(a.encoding == b.encoding || b.key_frame, "{a:?} {b:?}");
    }
}

/// Longest time without a new complete picture, from `from` on.
fn longest_freeze(pictures: &[Picture], from: Duration) -> Duration {
    let mut times: Vec<_> = pictures.iter().filter(|p| p.complete && p.at > from).map(|p| p.at).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().expect("there are pictures")
}

/// Layer change events of a consumer: time, and encoding with temporal layer.
fn layer_changes(call: &Call, consumer: &Consumption) -> Vec<(Duration, Option<(u8, u8)>)> {
    let of_consumer =
        call.network.notifications().iter().filter_map(|(at, notification)| match notification {
            Notification::Consumer(id, ConsumerEvent::LayersChange(layers)) if *id == consumer.id => {
                Some((*at, *layers))
            }
            _ => None,
        });
    of_consumer.map(|(at, l)| (at, l.map(|l| (l.spatial_layer, l.temporal_layer.unwrap_or(0))))).collect()
}

#[test]
fn best_encoding_is_sent_after_the_first_sender_reports() {
    let (mut call, _, consumer) = call(1, good_link(), good_link());
    call.network.run_for(Duration::from_secs(5));
    let pictures = pictures(&received(&call, &consumer));
    assert_eq!(pictures.last().map(|p| (p.encoding, p.complete)), Some((2, true)));
    assert_one_stream(&pictures);
    assert_eq!(layer_changes(&call, &consumer).last().map(|(_, layers)| *layers), Some(Some((2, 2))));
}

#[test]
fn preferred_encoding_is_sent_within_400_ms_and_without_a_freeze() {
    let (mut call, _, consumer) = call(2, good_link(), good_link());
    call.network.run_for(Duration::from_secs(4));
    let begin = call.network.elapsed();
    for spatial_layer in [0, 2, 1, 0, 1, 2, 0, 2, 1, 2, 0, 1, 2, 1, 0, 2, 0, 1, 0, 2] {
        let asked = call.network.elapsed();
        prefer(&mut call, &consumer, spatial_layer, 2);
        call.network.run_for(Duration::from_secs(2));
        let pictures = pictures(&received(&call, &consumer));
        let first = pictures.iter().find(|p| p.at > asked && p.encoding == spatial_layer && p.complete);
        let first = first.unwrap_or_else(|| panic!("no encoding {spatial_layer}"));
        assert!(first.at - asked < 400 * MS, "{:?}", first.at - asked);
    }
    let pictures = pictures(&received(&call, &consumer));
    assert_one_stream(&pictures);
    assert!(pictures.iter().all(|picture| picture.complete));
    assert!(longest_freeze(&pictures, begin) < 100 * MS, "{:?}", longest_freeze(&pictures, begin));
}

#[test]
fn timestamps_match_capture_times_across_switches() {
    let (mut call, _, consumer) = call(3, good_link(), good_link());
    call.network.run_for(Duration::from_secs(4));
    for spatial_layer in [0, 2, 1, 2, 0, 1] {
        prefer(&mut call, &consumer, spatial_layer, 2);
        call.network.run_for(Duration::from_secs(2));
    }
    let pictures = pictures(&received(&call, &consumer));
    let offset = |p: &Picture| (p.at.as_millis() as u32 * 90).wrapping_sub(p.timestamp) as i32;
    // A consumer starts with pictures that arrived earlier.
    let offsets: Vec<_> = pictures.iter().filter(|p| p.at > Duration::from_secs(4)).map(offset).collect();
    let (low, high) = (offsets.iter().min().unwrap(), offsets.iter().max().unwrap());
    assert!(high.wrapping_sub(*low) < 90 * 40, "{} ms apart", high.wrapping_sub(*low) / 90);
}

#[test]
fn temporal_layers_are_dropped_without_a_sequence_gap() {
    let (mut call, _, consumer) = call(4, good_link(), good_link());
    call.network.run_for(Duration::from_secs(4));
    let rates: Vec<_> = [0, 1, 2]
        .map(|temporal_layer| {
            prefer(&mut call, &consumer, 2, temporal_layer);
            call.network.run_for(Duration::from_secs(4));
            let now = call.network.elapsed();
            let pictures = pictures(&received(&call, &consumer));
            let last: Vec<_> = pictures.iter().filter(|p| p.at + Duration::from_secs(3) > now).collect();
            assert!(last.iter().all(|p| p.temporal_layer <= temporal_layer && p.complete));
            last.len() / 3
        })
        .into();
    assert!(
        (6..=9).contains(&rates[0]) && (13..=17).contains(&rates[1]) && (27..=31).contains(&rates[2]),
        "{rates:?}"
    );
    let packets = received(&call, &consumer);
    assert_one_stream(&pictures(&packets));
    let seqs: Vec<_> = packets.iter().map(|packet| packet.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "sequence numbers are in a row");
    let layers: Vec<_> = layer_changes(&call, &consumer).into_iter().map(|(_, layers)| layers).collect();
    assert!(layers.ends_with(&[Some((2, 0)), Some((2, 1)), Some((2, 2))]), "{layers:?}");
}

#[test]
fn switches_under_loss_are_repaired() {
    for seed in 0..6 {
        let lossy = || LinkConfig::with_delay(30 * MS).with_loss(0.05).with_reordering(10 * MS);
        let (mut call, _, consumer) = call(seed, lossy(), lossy());
        call.network.run_for(Duration::from_secs(4));
        for spatial_layer in [0, 2, 1, 2, 0, 2, 1, 0, 2, 1] {
            prefer(&mut call, &consumer, spatial_layer, 2);
            call.network.run_for(Duration::from_secs(2));
        }
        let packets = received(&call, &consumer);
        let pictures = pictures(&packets);
        for pair in pictures.windows(2) {
            assert!((pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) > 0, "{pair:?}");
            assert!(pair[0].encoding == pair[1].encoding || pair[1].key_frame, "{pair:?}");
        }
        // Incomplete are pictures that a switch cut off, and those in flight at the end.
        let incomplete = pictures.iter().filter(|p| !p.complete).count();
        assert!(incomplete <= 12, "seed {seed}: {incomplete} of {} incomplete", pictures.len());
        let switches = pictures.windows(2).filter(|pair| pair[0].encoding != pair[1].encoding).count();
        assert!(switches >= 10, "seed {seed}: {switches} switches");
        assert!(longest_freeze(&pictures, Duration::from_secs(5)) < 500 * MS, "seed {seed}");
    }
}

#[test]
fn dead_encoding_is_replaced_by_the_next_lower_one() {
    let (mut call, production, consumer) = call(5, good_link(), good_link());
    call.network.run_for(Duration::from_secs(4));
    call.network.stop_source(production.ssrc + 4);
    let stopped = call.network.elapsed();
    call.network.run_for(Duration::from_secs(4));
    let pictures = pictures(&received(&call, &consumer));
    assert_one_stream(&pictures);
    let first = pictures.iter().find(|p| p.at > stopped && p.encoding == 1).expect("the next lower encoding");
    assert!(first.at - stopped < Duration::from_millis(2500), "{:?}", first.at - stopped);
}

#[test]
fn layers_end_at_a_pause_and_restart_with_a_key_frame() {
    let (mut call, _, consumer) = call(6, good_link(), good_link());
    call.network.run_for(Duration::from_secs(4));
    call.request(Request::PauseConsumer(consumer.id.clone()));
    call.network.run_for(Duration::from_secs(2));
    assert_eq!(layer_changes(&call, &consumer).last().map(|(_, layers)| *layers), Some(None));
    let paused = received(&call, &consumer).len();
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(received(&call, &consumer).len(), paused);
    call.request(Request::ResumeConsumer(consumer.id.clone()));
    call.network.run_for(Duration::from_secs(2));
    let packets = received(&call, &consumer);
    assert!(packets[paused].key_frame);
    assert_one_stream(&pictures(&packets));
}

#[test]
fn pipe_consumer_forwards_every_encoding_unchanged_and_retransmits() {
    let lossy = LinkConfig::with_delay(20 * MS).with_loss(0.03);
    let mut call = Call::new(7);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[1], good_link(), lossy);
    let production = call.produce_simulcast(nodes[0], &encodings());
    let streams = call.consume_piped(nodes[1], &production);
    assert_eq!(streams.len(), 3);
    call.network.run_for(Duration::from_secs(10));
    for encoding in 0..3 {
        call.network.stop_source(production.ssrc + 2 * encoding);
    }
    call.network.run_for(Duration::from_secs(2));
    for (stream, encoding) in streams.iter().zip(0..) {
        let pictures = pictures(&received(&call, stream));
        assert!(pictures.len() > 270, "{} of encoding {encoding}", pictures.len());
        assert!(pictures.iter().all(|p| p.encoding == encoding && p.complete));
        assert_one_stream(&pictures);
        let stats = call.network.session(stream.node).recv_stats(stream.ssrc).unwrap();
        assert!(stats.repaired > 0, "{stats:?}");
    }
}

#[test]
fn packet_trace_events_match_the_sent_packets() {
    let (mut call, _, consumer) = call(8, good_link(), good_link());
    let trace = MediaTrace { rtp: true, key_frame: true, ..MediaTrace::default() };
    call.request(Request::EnableConsumerTrace(consumer.id.clone(), trace));
    call.network.run_for(Duration::from_secs(3));
    let traced = call.network.notifications().iter().filter_map(|(_, notification)| match notification {
        Notification::Consumer(id, ConsumerEvent::Trace(event)) if *id == consumer.id => Some(&event.data),
        _ => None,
    });
    let (mut packets, mut key_frames) = (Vec::new(), 0);
    for data in traced {
        match data {
            MediaTraceData::Rtp(info) => {
                packets.push((info.sequence_number, info.timestamp, info.temporal_layer))
            }
            MediaTraceData::KeyFrame(info) => key_frames += u32::from(info.is_key_frame),
            _ => {}
        }
    }
    let received: Vec<_> = received(&call, &consumer)
        .iter()
        .map(|p| (p.seq as u16, p.timestamp, p.stamp.unwrap().temporal_layer))
        .collect();
    assert!(received.len() > 100 && packets.starts_with(&received));
    assert!((1..10).contains(&key_frames), "{key_frames}");
}
