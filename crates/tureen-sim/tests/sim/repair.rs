//! Loss, reordering and duplicates on both hops, with NACK and RTX.

use std::time::Duration;

use tureen_rtc::units::Bitrate;
use tureen_sim::{AudioConfig, Call, Consumption, LinkConfig, Loss, Production, VideoConfig};

use crate::{MS, PACKETS, assert_numbered_like_the_source, even_video, good_link, ordinal, received};

/// A call with one producer and a consumer for each link. The links apply for 20 seconds, then good ones follow, so
/// that the end is repaired.
fn call(seed: u64, links: &[LinkConfig], video: VideoConfig) -> (Call, Production, Vec<Consumption>) {
    let mut call = Call::new(seed);
    // The links get lossy only after DTLS, which uses its own random numbers, so that a seed always gives the same
    // losses.
    let nodes = call.join_all(&vec![good_link(); links.len()]);
    for (node, link) in nodes.iter().zip(links) {
        call.network.set_links(*node, link.clone(), link.clone());
    }
    let production = call.produce_video(nodes[0], video);
    let consumers: Vec<_> = nodes[1..].iter().map(|node| call.consume(*node, &production)).collect();
    call.network.run_for(Duration::from_secs(20));
    call.network.stop_source(production.ssrc);
    call.network.run_for(Duration::from_secs(4));
    (call, production, consumers)
}

/// Asserts that every consumer got all but `tolerated` of 1000 packets, with the source's numbering.
fn assert_repaired(call: &Call, production: &Production, consumers: &[Consumption], tolerated: u64) {
    let sent = call.network.session(production.node).send_stats(production.ssrc).unwrap();
    for consumer in consumers {
        let packets = received(call, consumer);
        assert_numbered_like_the_source(&packets);
        // A packet lost before the first received one is not known to be missing.
        let known: Vec<_> = packets.iter().filter(|packet| packet.seq >= packets[0].seq).copied().collect();
        let missing = assert_numbered_like_the_source(&known);
        let stats = call.network.session(consumer.node).recv_stats(consumer.ssrc).unwrap();
        assert!(
            missing * 1000 <= sent.packets * tolerated,
            "{missing} of {} missing: {stats:?}",
            sent.packets
        );
        let last = packets.iter().map(ordinal).max().unwrap();
        assert!(last + 20 * PACKETS > sent.packets, "{consumer:?} stops at {last} of {}", sent.packets);
        assert!(packets.len() as u64 * 10 > sent.packets * 9, "{consumer:?} starts late");
    }
}

#[test]
fn good_links_need_no_retransmissions() {
    let (call, production, consumers) = call(1, &[good_link(), good_link(), good_link()], even_video());
    assert_repaired(&call, &production, &consumers, 0);
    let sent = call.network.session(production.node).send_stats(production.ssrc).unwrap();
    assert_eq!((sent.nacks, sent.retransmitted), (0, 0));
    for consumer in &consumers {
        let stats = call.network.session(consumer.node).recv_stats(consumer.ssrc).unwrap();
        assert_eq!((stats.nacks, stats.repaired, stats.discarded), (0, 0, 0));
    }
    assert_eq!(call.network.worker().drops(), []);
}

#[test]
fn moderate_loss_is_repaired_completely() {
    for seed in 0..4 {
        let link = |delay: u32| LinkConfig::with_delay(delay * MS).with_loss(0.05);
        let links = [link(20), link(20), link(50), link(100)];
        let (call, production, consumers) = call(seed, &links, even_video());
        assert_repaired(&call, &production, &consumers, 0);
        for consumer in &consumers {
            let stats = call.network.session(consumer.node).recv_stats(consumer.ssrc).unwrap();
            assert!(stats.repaired * 100 > stats.packets, "nothing to repair? {stats:?}");
        }
    }
}

#[test]
fn heavy_loss_is_repaired_within_the_buffers() {
    for seed in 0..4 {
        let link = |delay: u32| LinkConfig::with_delay(delay * MS).with_loss(0.15);
        // With 200 ms in each direction the two seconds of buffer suffice for about four requests.
        let links = [link(20), link(20), link(50), link(200)];
        let (call, production, consumers) = call(seed, &links, even_video());
        assert_repaired(&call, &production, &consumers[..2], 1);
        assert_repaired(&call, &production, &consumers[2..], 10);
    }
}

#[test]
fn reordering_and_duplicates_cause_no_loss_and_no_repetition() {
    for seed in 0..4 {
        let link =
            |delay: u32| LinkConfig::with_delay(delay * MS).with_reordering(30 * MS).with_duplicates(0.05);
        let links = [link(20), link(30), link(100)];
        let (call, production, consumers) = call(seed, &links, even_video());
        assert_repaired(&call, &production, &consumers, 0);
    }
}

#[test]
fn loss_reordering_and_duplicates_together_are_repaired() {
    for seed in 0..4 {
        let link = |delay: u32| {
            let link = LinkConfig::with_delay(delay * MS).with_loss(0.05).with_duplicates(0.02);
            link.with_reordering(40 * MS)
        };
        let links = [link(20), link(20), link(80), link(150)];
        let (call, production, consumers) = call(seed, &links, even_video());
        assert_repaired(&call, &production, &consumers[..2], 1);
        // With 150 ms in each direction a packet is requested at most six times.
        assert_repaired(&call, &production, &consumers[2..], 2);
    }
}

#[test]
fn bursts_are_repaired() {
    let loss = Loss::Bursts { begin: 0.01, end: 0.15 };
    let link = |delay: u32| LinkConfig { loss, ..LinkConfig::with_delay(delay * MS) };
    let (call, production, consumers) = call(3, &[link(20), link(20), link(60)], even_video());
    assert_repaired(&call, &production, &consumers, 1);
}

#[test]
fn sequence_numbers_and_timestamps_wrap_without_effect() {
    for seed in 0..3 {
        let link = LinkConfig::with_delay(30 * MS).with_loss(0.05).with_reordering(10 * MS);
        let video = VideoConfig {
            // Both wrap within the second second.
            first_sequence_number: Some(65_400),
            first_timestamp: u32::MAX - 120_000,
            ..even_video()
        };
        let (call, production, consumers) = call(seed, &[link.clone(), link.clone(), link], video);
        assert_repaired(&call, &production, &consumers, 0);
        for consumer in &consumers {
            let packets = received(&call, consumer);
            let first = packets[0];
            let frame = |packet: &tureen_sim::Observed| packet.stamp.unwrap().frame as i32;
            for packet in &packets {
                let ticks = packet.timestamp.wrapping_sub(first.timestamp) as i32;
                let expected = (frame(packet) - frame(&first)) * 3000;
                assert!((ticks - expected).abs() <= 2, "{ticks} instead of {expected}: {packet:?}");
            }
            assert!(packets.iter().any(|packet| packet.timestamp < 1_000_000), "the timestamp has wrapped");
        }
    }
}

#[test]
fn frames_end_with_their_marker() {
    let link = LinkConfig::with_delay(30 * MS).with_loss(0.05);
    let (call, _, consumers) = call(8, &[link.clone(), link], even_video());
    for packet in received(&call, &consumers[0]) {
        let stamp = packet.stamp.unwrap();
        assert_eq!(packet.marker, stamp.packet + 1 == stamp.packets, "{packet:?}");
    }
}

#[test]
fn loss_on_one_consumers_link_is_repaired_by_the_engine_alone() {
    let bad = good_link().with_loss(0.1);
    let (call, production, consumers) = call(5, &[good_link(), good_link(), bad], even_video());
    assert_repaired(&call, &production, &consumers, 0);
    let sent = call.network.session(production.node).send_stats(production.ssrc).unwrap();
    assert_eq!((sent.nacks, sent.retransmitted), (0, 0), "no requests to the sender");
    let good = call.network.session(consumers[0].node).recv_stats(consumers[0].ssrc).unwrap();
    assert_eq!((good.repaired, good.nacks), (0, 0), "no effect on the other consumer");
    let repaired = call.network.session(consumers[1].node).recv_stats(consumers[1].ssrc).unwrap().repaired;
    assert!(repaired > 50, "{repaired}");
}

#[test]
fn retransmissions_are_proportional_to_losses() {
    for seed in 0..3 {
        let link = |delay: u32| LinkConfig::with_delay(delay * MS).with_loss(0.05);
        let (call, production, consumers) = call(seed, &[link(30), link(50)], even_video());
        let sent = call.network.session(production.node).send_stats(production.ssrc).unwrap();
        let lost_up = call.network.link_stats(production.node).0.lost;
        assert!(sent.retransmitted < 2 * lost_up, "{sent:?}, {lost_up} lost");
        let stats = call.network.session(consumers[0].node).recv_stats(consumers[0].ssrc).unwrap();
        // A packet lost on the first hop is missing on both, and the second one requests it before it can have arrived.
        // On the long second hop each retransmission is duplicated.
        let lost_down = call.network.link_stats(consumers[0].node).1.lost;
        let superfluous = lost_up + lost_down + stats.packets / 50;
        assert!(stats.discarded <= superfluous, "{stats:?}, {lost_up} and {lost_down} lost");
    }
}

#[test]
fn outage_of_a_link_does_not_shift_the_numbering() {
    let mut call = Call::new(9);
    let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumers = [call.consume(nodes[1], &production), call.consume(nodes[2], &production)];
    call.network.run_for(Duration::from_secs(5));
    let dead = good_link().with_loss(1.0);
    call.network.set_links(nodes[1], dead.clone(), dead);
    call.network.run_for(Duration::from_secs(5));
    call.network.set_links(nodes[1], good_link(), good_link());
    call.network.run_for(Duration::from_secs(5));

    assert_eq!(assert_numbered_like_the_source(&received(&call, &consumers[1])), 0);
    let packets = received(&call, &consumers[0]);
    let missing = assert_numbered_like_the_source(&packets);
    assert!((300..=600).contains(&missing), "{missing}");
    let after = packets.iter().filter(|packet| packet.at > Duration::from_secs(11)).count();
    assert!(after > 400, "{after}");
}

#[test]
fn audio_is_not_repaired_and_its_gaps_are_those_of_the_network() {
    let mut call = Call::new(4);
    let link = good_link().with_loss(0.1);
    let nodes = call.join_all(&[link.clone(), link]);
    let audio = AudioConfig { first_sequence_number: Some(65_500), ..AudioConfig::default() };
    let production = call.produce_audio(nodes[0], audio);
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(20));
    let packets = received(&call, &consumer);
    let missing = assert_numbered_like_the_source(&packets);
    // Each of two hops loses a tenth of a thousand packets.
    assert!((140..=240).contains(&missing), "{missing}");
}

#[test]
fn slow_link_with_a_long_queue_delays_but_does_not_stop_media() {
    let slow = LinkConfig { rate: Some(Bitrate::kbps(1500)), queue: 256 << 10, ..good_link() };
    let (call, production, consumers) = call(6, &[good_link(), slow], even_video());
    assert_repaired(&call, &production, &consumers, 0);
}
