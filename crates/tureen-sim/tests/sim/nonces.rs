//! No SRTP nonce is used for two contents, whatever is padded, retransmitted, switched, restarted or duplicated.
//!
//! In simulations every sealer of the engine and of the sessions panics if that happens (`NonceGuard`). All other
//! simulations therefore test it too; these contain the cases that could lead to it.

use std::time::Duration;

use serde_json::json;
use tureen_engine::api::{ConnectPlain, ConsumerLayers, CreatePlainTransport, Request, TransportId};
use tureen_sim::{AudioConfig, Call, Consumption, LinkConfig, NodeId, Production, ROUTER, VideoConfig};
use tureen_types::rtp_parameters::RtpParameters;

use crate::{MS, even_video, good_link, ordinal, raw_rtp, received};

const SECOND: Duration = Duration::from_secs(1);

/// Link with a loss of 8 %.
fn lossy() -> LinkConfig {
    good_link().with_loss(0.08)
}

/// Number of packets that arrived after a higher number, which on a link without reordering are retransmissions.
fn repaired(call: &Call, consumer: &Consumption) -> usize {
    let mut highest = 0;
    let late = received(call, consumer).into_iter().filter(|packet| {
        highest = highest.max(packet.seq);
        packet.seq < highest
    });
    late.count()
}

/// Audio streams of four speakers, whose packets are sent at the same times and differ in one byte.
fn speakers(call: &mut Call, node: NodeId) -> Vec<Production> {
    let speaker = |packet_bytes| AudioConfig { packet_bytes, ..AudioConfig::default() };
    (80..84).map(|bytes| call.produce_repairable_audio(node, speaker(bytes))).collect()
}

#[test]
fn audio_retransmitted_without_rtx_is_identical() {
    let mut call = Call::new(1);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[1], lossy(), lossy());
    let speakers = speakers(&mut call, nodes[0]);
    let consumers: Vec<_> =
        speakers.iter().map(|speaker| call.consume_without_rtx(nodes[1], speaker, |_| ())).collect();
    call.network.run_for(20 * SECOND);
    for consumer in &consumers {
        let repaired = repaired(&call, consumer);
        assert!(repaired > 50, "{repaired} retransmissions");
        assert!(received(&call, consumer).len() > 980);
    }
}

#[test]
fn video_retransmitted_without_rtx_is_identical() {
    for seed in 0..3 {
        let mut call = Call::new(seed);
        let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
        for node in &nodes {
            call.network.set_links(*node, lossy().with_reordering(10 * MS), lossy().with_reordering(10 * MS));
        }
        // The frame size is not divisible by the number of packets, so that packet sizes differ by a byte.
        let video = VideoConfig { frame_bytes: 4003, ..even_video() };
        let production = call.produce_video(nodes[0], video);
        let consumers = [nodes[1], nodes[2]].map(|node| call.consume_without_rtx(node, &production, |_| ()));
        call.network.run_for(20 * SECOND);
        for consumer in &consumers {
            assert!(received(&call, consumer).len() > 2000);
        }
    }
}

#[test]
fn retransmissions_after_a_layer_switch_are_identical() {
    for seed in 0..3 {
        let mut call = Call::new(seed);
        let nodes = call.join_all(&[good_link(), good_link()]);
        let line = || LinkConfig::with_delay(60 * MS).with_loss(0.08);
        call.network.set_links(nodes[0], line(), line());
        call.network.set_links(nodes[1], line(), line());
        let encodings =
            [500, 1501, 5003].map(|frame_bytes| VideoConfig { frame_bytes, ..VideoConfig::default() });
        let production = call.produce_simulcast(nodes[0], &encodings);
        let consumer = call.consume_without_rtx(nodes[1], &production, |_| ());
        for spatial_layer in [2, 0, 1, 2, 1, 0, 2, 0, 1, 2] {
            let layers = ConsumerLayers { spatial_layer, temporal_layer: Some(spatial_layer) };
            call.request(Request::SetPreferredLayers(consumer.id.clone(), layers));
            call.network.run_for(2 * SECOND);
        }
        let packets = received(&call, &consumer);
        let encodings: std::collections::BTreeSet<_> =
            packets.iter().filter_map(|packet| Some(packet.stamp?.encoding)).collect();
        assert_eq!(encodings.len(), 3, "all layers were sent");
        assert!(repaired(&call, &consumer) > 20);
    }
}

/// Creates a Consumer with `ssrc` and, with RTX, `ssrc + 1`.
fn consume_as(call: &mut Call, node: NodeId, production: &Production, ssrc: u32) -> Consumption {
    call.consume_without_rtx(node, production, |parameters| set_ssrc(parameters, ssrc))
}

fn set_ssrc(parameters: &mut RtpParameters, ssrc: u32) {
    parameters.encodings[0].ssrc = Some(ssrc);
}

#[test]
fn consumer_with_the_ssrc_of_a_closed_one_continues_its_numbers() {
    const SSRC: u32 = 500_000;
    let mut call = Call::new(3);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let productions = [even_video(), even_video()].map(|video| call.produce_video(nodes[0], video));
    let mut next = None;
    // The rounds include a wrap of sequence numbers: 120 packets per second.
    for round in 0..6 {
        let consumer = consume_as(&mut call, nodes[1], &productions[round % 2], SSRC);
        let before = received(&call, &consumer).len();
        call.network.run_for(if round == 2 { 600 * SECOND } else { 2 * SECOND });
        let packets = received(&call, &consumer).split_off(before);
        assert!(packets.len() > 200, "round {round}: {} packets", packets.len());
        // Every new stream of the receiver starts its own extended numbers, so that only the low half is comparable.
        let low = |seq: u64| seq as u16;
        if let Some(next) = next {
            assert_eq!(low(packets[0].seq), next, "round {round}");
        }
        call.request(Request::CloseConsumer(consumer.id.clone()));
        call.network.run_for(SECOND);
        let last = received(&call, &consumer).last().map(|packet| low(packet.seq));
        next = last.map(|last| last.wrapping_add(1));
        call.network.with_session(nodes[1], |session, _| session.remove_recv_stream(SSRC)).unwrap();
    }
}

#[test]
fn retransmissions_with_the_ssrc_of_a_closed_consumer_continue_its_numbers() {
    let mut call = Call::new(4);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[1], lossy(), lossy());
    let production = call.produce_video(nodes[0], even_video());
    for round in 0..4 {
        // The SSRC of retransmissions in one round is that of media in the next.
        let (ssrc, rtx) = if round % 2 == 0 { (600_000, 600_001) } else { (600_001, 600_000) };
        let change = |parameters: &mut RtpParameters| {
            set_ssrc(parameters, ssrc);
            parameters.encodings[0].rtx.as_mut().unwrap().ssrc = rtx;
        };
        let consumer = call.consume_changed(nodes[1], &production, change);
        call.network.run_for(5 * SECOND);
        let stats = call.network.session(nodes[1]).recv_stats(ssrc).unwrap();
        assert!(stats.repaired > 20 && stats.packets > 500, "round {round}: {stats:?}");
        call.request(Request::CloseConsumer(consumer.id));
        call.network.with_session(nodes[1], |session, _| session.remove_recv_stream(ssrc)).unwrap();
    }
}

#[test]
fn one_ssrc_for_two_streams_of_a_transport_is_refused() {
    let mut call = Call::new(5);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let transport = call.transport(nodes[1]).clone();
    let mut refusal = |ssrc: u32, rtx: u32| {
        let change = |parameters: &mut RtpParameters| {
            set_ssrc(parameters, ssrc);
            parameters.encodings[0].rtx.as_mut().unwrap().ssrc = rtx;
        };
        call.try_consume_on(transport.clone(), &production, change).unwrap_err().to_string()
    };
    assert!(refusal(70, 70).contains("ssrc 70"));
    assert!(refusal(1234, 71).contains("ssrc 1234 is that of bandwidth probes"));
}

/// A member that consumes from a PlainTransport without SRTP, whose sender can send arbitrary packets.
fn consume_plain_media() -> (Call, NodeId, Consumption, impl Fn(&mut Call, Vec<u8>)) {
    const REMOTE: ([u8; 4], u16) = ([198, 51, 100, 1], 6000);
    let mut call = Call::new(6);
    let node = call.join_all(&[good_link()])[0];
    let id = TransportId::from("plain");
    let create = CreatePlainTransport {
        router_id: ROUTER.into(),
        id: id.clone(),
        listen_info: raw_rtp::listen_info(),
        rtcp_listen_info: None,
        rtcp_mux: true,
        comedia: false,
        srtp: None,
        initial_available_outgoing_bitrate: None,
        sctp: None,
    };
    let at = crate::plain::local_address(call.request(Request::CreatePlainTransport(create)));
    let connect = ConnectPlain { ip: Some(REMOTE.0.into()), port: Some(REMOTE.1), ..ConnectPlain::default() };
    call.request(Request::ConnectPlainTransport(id.clone(), connect));
    let produced = raw_rtp::produce_audio(&mut call, id);
    let consumer = call.consume(node, &produced);
    let send = move |call: &mut Call, packet| {
        call.network.inject(REMOTE.into(), at, packet);
        call.network.run_for(5 * MS);
    };
    (call, node, consumer, send)
}

#[test]
fn packet_repeated_with_other_bytes_is_not_forwarded() {
    let (mut call, _, consumer, send) = consume_plain_media();
    for number in 0..400u16 {
        send(&mut call, raw_rtp::audio(number));
        // The same sequence number again: at once, later, after the buffer has lost the first packet, and with other
        // flags.
        for behind in [0, 1, 30, 300] {
            let mut packet = raw_rtp::audio(number.saturating_sub(behind));
            packet.push(number as u8);
            send(&mut call, packet);
        }
    }
    let packets = received(&call, &consumer);
    assert_eq!(packets.len(), 400);
    assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
}

#[test]
fn sender_that_restarts_its_numbers_repeatedly_causes_no_duplicate_numbers() {
    let (mut call, _, consumer, send) = consume_plain_media();
    for round in 0..100u16 {
        // Two consecutive packets out of range restart the numbering (RFC 3550 §A.1).
        let base = if round % 2 == 0 { 100 } else { 40_000 };
        for number in [0, 1, 2, 1, 0, 5, 3, 4] {
            let mut packet = raw_rtp::audio(base + number);
            packet.push(round as u8);
            send(&mut call, packet);
        }
    }
    assert!(received(&call, &consumer).len() > 300);
}

#[test]
fn pipes_probes_and_retransmissions_of_one_transport_reuse_no_nonce() {
    for seed in 0..3 {
        let mut call = Call::new(seed);
        let nodes = call.join_all(&[good_link(), good_link()]);
        let up = LinkConfig::with_delay(60 * MS).with_loss(0.03).with_duplicates(0.03);
        call.network.set_links(nodes[0], up.with_reordering(20 * MS), good_link());
        call.network.set_links(nodes[1], lossy(), LinkConfig::with_delay(60 * MS).with_loss(0.04));
        let encodings =
            [500, 1501, 5003].map(|frame_bytes| VideoConfig { frame_bytes, ..VideoConfig::default() });
        let camera = call.produce_simulcast(nodes[0], &encodings);
        let layered = call.consume(nodes[1], &camera);
        let piped = call.consume_piped(nodes[1], &camera);
        let screen = call.produce_video(nodes[0], VideoConfig { frame_bytes: 1401, ..even_video() });
        let plain = call.consume_without_rtx(nodes[1], &screen, |_| ());
        for speaker in speakers(&mut call, nodes[0]) {
            call.consume_without_rtx(nodes[1], &speaker, |_| ());
        }
        for _ in 0..3 {
            call.network.run_for(4 * SECOND);
            call.request(Request::PauseConsumer(layered.id.clone()));
            call.request(Request::PauseConsumer(plain.id.clone()));
            call.network.run_for(300 * MS);
            call.request(Request::ResumeConsumer(layered.id.clone()));
            call.request(Request::ResumeConsumer(plain.id.clone()));
        }
        for consumer in piped.iter().chain([&layered, &plain]) {
            let packets = received(&call, consumer);
            assert!(packets.len() > 300, "{consumer:?}: {}", packets.len());
            packets.iter().for_each(|packet| _ = ordinal(packet));
        }
    }
}

#[test]
fn session_that_reuses_an_ssrc_continues_its_numbers() {
    let mut call = Call::new(7);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let first = call.produce_audio(nodes[0], AudioConfig::default());
    call.network.run_for(SECOND);
    call.network.stop_source(first.ssrc);
    let config = tureen_client::SendStreamConfig {
        first_sequence_number: Some(5),
        ..tureen_client::SendStreamConfig::new(first.ssrc, 100, 48_000)
    };
    let seq = call.network.with_session(nodes[0], |session, now| {
        let packet =
            tureen_client::OutgoingRtp { payload: b"x", timestamp: 0, marker: false, audio_level: None };
        let last = session.send_rtp(now, first.ssrc, &packet).unwrap();
        session.remove_send_stream(first.ssrc).unwrap();
        session.add_send_stream(config).unwrap();
        (last, session.send_rtp(now, first.ssrc, &packet).unwrap())
    });
    assert_eq!(seq.1, seq.0.wrapping_add(1), "{}", json!(seq));
}
