//! RTCP reports and feedback: parsing after unusual input, and sending.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tureen_engine::api::{ConnectPlain, CreatePlainTransport, Request, TransportId};
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket, write_pli, write_receiver_report, write_xr_rrtr};
use tureen_sim::{AudioConfig, Call, Produced, ROUTER};
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

use crate::{MS, even_video, good_link, raw_rtp, received};

const SECOND: Duration = Duration::from_secs(1);
const REMOTE: ([u8; 4], u16) = ([198, 51, 100, 1], 6000);

/// RTP parameters of an Opus stream with this SSRC.
fn opus(ssrc: u32, parameters: &Value) -> RtpParameters {
    let parameters = json!({
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
                     "parameters": parameters, "rtcpFeedback": [] }],
        "encodings": [{ "ssrc": ssrc }],
        "headerExtensions": [],
        "rtcp": { "cname": "sender" },
    });
    serde_json::from_value(parameters).unwrap()
}

/// Opus packet with this SSRC.
fn packet(ssrc: u32, number: u16) -> Vec<u8> {
    let mut packet = raw_rtp::audio(number);
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

/// A connected PlainTransport without SRTP, and its local address.
fn plain_transport(call: &mut Call) -> (TransportId, SocketAddr) {
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
    call.network.listen_at(REMOTE.into());
    call.request(Request::ConnectPlainTransport(id.clone(), connect));
    (id, at)
}

#[test]
fn recreated_producer_accepts_its_sender_after_a_wrap_of_sequence_numbers() {
    let mut call = Call::new(1);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let audio = AudioConfig { first_sequence_number: Some(65_500), ..AudioConfig::default() };
    let first = call.produce_audio(nodes[0], audio);
    call.network.run_for(2 * SECOND);
    call.request(Request::CloseProducer(first.id.clone()));
    let transport = call.transport(nodes[0]).clone();
    let second = call.produce_on(transport, MediaKind::Audio, opus(first.ssrc, &json!({})));
    let consumer = call.consume(nodes[1], &second);
    call.network.run_for(2 * SECOND);
    let packets = received(&call, &consumer);
    assert!(packets.len() > 90, "{} packets", packets.len());
}

#[test]
fn feedback_is_accepted_after_thousands_of_sender_ssrcs() {
    let mut call = Call::new(2);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(3 * SECOND);
    for sender in 0..2000 {
        let mut report = Vec::new();
        write_receiver_report(&mut report, Ssrc(50_000 + sender), &[]);
        let sent = call.network.with_session(nodes[1], |session, now| session.send_raw_rtcp(now, &report));
        sent.unwrap();
        call.network.run_for(MS);
    }
    let requests = |call: &Call| {
        call.network.session(production.node).send_stats(production.ssrc).unwrap().key_frame_requests
    };
    let before = requests(&call);
    let mut request = Vec::new();
    write_pli(&mut request, Ssrc(77_777), Ssrc(consumer.ssrc));
    call.network.with_session(nodes[1], |session, now| session.send_raw_rtcp(now, &request)).unwrap();
    call.network.run_for(SECOND);
    assert_eq!(requests(&call), before + 1);
    assert!(call.network.drops("too-many-streams") > 1500, "the bound of SSRCs was passed, and counted");
}

#[test]
fn packets_after_a_malformed_one_in_a_compound_are_parsed() {
    let mut call = Call::new(3);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(3 * SECOND);
    let requests = |call: &Call| {
        call.network.session(production.node).send_stats(production.ssrc).unwrap().key_frame_requests
    };
    // A truncated FIR, invalid padding, another version.
    let malformed: [&[u8]; 3] = [
        &[0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
        &[0xa1, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 99],
        &[0x41, 206, 0, 1, 0, 0, 0, 1],
    ];
    for member in malformed {
        let before = (requests(&call), call.network.drops("malformed-rtcp"));
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(9), &[]);
        compound.extend(member);
        write_pli(&mut compound, Ssrc(9), Ssrc(consumer.ssrc));
        let sent = call.network.with_session(nodes[1], |session, now| session.send_raw_rtcp(now, &compound));
        sent.unwrap();
        call.network.run_for(2 * SECOND);
        assert_eq!(requests(&call), before.0 + 1, "{member:x?}");
        assert_eq!(call.network.drops("malformed-rtcp"), before.1 + 1);
    }
}

#[test]
fn receiver_reports_of_many_streams_fit_their_datagrams() {
    const STREAMS: u32 = 100;
    let mut call = Call::new(4);
    let (transport, at) = plain_transport(&mut call);
    for ssrc in 1..=STREAMS {
        call.produce_on(transport.clone(), MediaKind::Audio, opus(ssrc, &json!({})));
    }
    for number in 0..100 {
        for ssrc in 1..=STREAMS {
            call.network.inject(REMOTE.into(), at, packet(ssrc, number));
        }
        call.network.run_for(100 * MS);
    }
    let mut reported = BTreeSet::new();
    for datagram in call.network.take_datagrams_at(REMOTE.into()) {
        assert!(datagram.len() <= 1200, "a datagram of {} bytes", datagram.len());
        for (index, packet) in RtcpCompound::new(&datagram).enumerate() {
            match packet.unwrap() {
                RtcpPacket::ReceiverReport(report) => {
                    reported.extend(report.reports.iter().map(|block| block.ssrc.0));
                }
                other => assert_ne!(index, 0, "a compound begins with {other:?}"),
            }
        }
    }
    assert_eq!(reported, (1..=STREAMS).collect());
}

/// Fractions lost in reports to the sender of an Opus stream, in 1/256; one of its two receivers loses a fifth.
fn reported_losses(codec: &Value) -> Vec<u8> {
    let mut call = Call::new(5);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[1], good_link(), good_link().with_loss(0.2));
    let (transport, at) = plain_transport(&mut call);
    let produced: Produced = call.produce_on(transport, MediaKind::Audio, opus(raw_rtp::SSRC, codec));
    for node in nodes {
        call.consume(node, &produced);
    }
    for number in 0..1500 {
        call.network.inject(REMOTE.into(), at, raw_rtp::audio(number));
        call.network.run_for(20 * MS);
    }
    let blocks = call.network.take_datagrams_at(REMOTE.into()).into_iter().flat_map(|datagram| {
        let mut losses = Vec::new();
        for packet in RtcpCompound::new(&datagram).flatten() {
            if let RtcpPacket::ReceiverReport(report) = packet {
                losses.extend(report.reports.iter().map(|block| block.fraction_lost));
            }
        }
        losses
    });
    blocks.collect()
}

#[test]
fn sender_with_in_band_fec_gets_the_loss_of_its_worst_receiver() {
    let mut losses = reported_losses(&json!({ "useinbandfec": 1 }));
    losses.sort_unstable();
    let median = losses[losses.len() / 2];
    assert!((25..=80).contains(&median), "{losses:?}");
    let losses = reported_losses(&json!({}));
    assert!(!losses.is_empty() && losses.iter().all(|lost| *lost == 0), "{losses:?}");
}

#[test]
fn cost_of_a_reference_time_does_not_grow_with_consumers() {
    // The reference time is stored once for a transport, and every consumer's sender report answers it.
    let mut call = Call::new(6);
    let (transport, at) = plain_transport(&mut call);
    let node = call.join_all(&[good_link()])[0];
    let speakers: Vec<_> = (0..3).map(|_| call.produce_audio(node, AudioConfig::default())).collect();
    let ids: Vec<_> = speakers
        .iter()
        .map(|speaker| {
            let (id, parameters) = call.consume_on(transport.clone(), speaker);
            call.request(Request::ResumeConsumer(id));
            parameters.encodings[0].ssrc.unwrap()
        })
        .collect();
    let mut report = Vec::new();
    write_receiver_report(&mut report, Ssrc(5), &[]);
    write_xr_rrtr(&mut report, Ssrc(5), tureen_rtc::wire::rtcp::NtpTime(7 << 32));
    call.network.run_for(SECOND);
    call.network.inject(REMOTE.into(), at, report);
    call.network.run_for(8 * SECOND);
    let mut answered = BTreeSet::new();
    for datagram in call.network.take_datagrams_at(REMOTE.into()) {
        for packet in RtcpCompound::new(&datagram).flatten() {
            if let RtcpPacket::Xr(report) = packet {
                answered.insert(report.sender_ssrc.0);
            }
        }
    }
    assert_eq!(answered, ids.into_iter().collect());
}
