//! DirectTransports: the application as a remote side.

use std::time::Duration;

use tureen_core::api::{
    ConsumerEvent, ConsumerId, CreateDirectTransport, Injection, LinkDump, Notification, ProducerId, Request,
    Response, TransportEvent, TransportId,
};
use tureen_core::units::Ssrc;
use tureen_core::wire::rtcp::{RtcpCompound, RtcpPacket, write_pli};
use tureen_core::wire::rtp::RtpHeader;
use tureen_sim::{AudioConfig, Call, ROUTER};

use crate::{MS, even_video, foreign, good_link, received};

fn direct(call: &mut Call) -> TransportId {
    let id = TransportId::from("direct");
    let create =
        CreateDirectTransport { router_id: ROUTER.into(), id: id.clone(), max_message_size: 262_144 };
    let Response::TransportDump(dump) = call.request(Request::CreateDirectTransport(create)) else {
        panic!("not a dump")
    };
    assert!(matches!(dump.link, LinkDump::Direct));
    id
}

/// RTP that the application got for a Consumer.
fn delivered(call: &Call, consumer: &ConsumerId) -> Vec<Vec<u8>> {
    let events = call.network.notifications().iter().filter_map(|(_, notification)| match notification {
        Notification::Consumer(id, ConsumerEvent::Rtp(packet)) if id == consumer => Some(packet.clone()),
        _ => None,
    });
    events.collect()
}

#[test]
fn application_sends_rtp_to_a_member() {
    let mut call = Call::new(1);
    let node = call.join_all(&[good_link()])[0];
    let transport = direct(&mut call);
    let produced = foreign::produce_audio(&mut call, transport.clone());
    let consumer = call.consume(node, &produced);
    for number in 0..10 {
        call.network.inject_direct(Injection::Rtp(produced.id.clone(), foreign::audio(number)));
        call.network.run_for(20 * MS);
    }
    call.network.run_for(100 * MS);
    assert_eq!(received(&call, &consumer).len(), 10);
    let Response::TransportStats(stats) = call.request(Request::TransportStats(transport)) else {
        panic!("not statistics")
    };
    assert_eq!(stats.received.bytes, 10 * foreign::audio(0).len() as u64);
}

#[test]
fn application_gets_what_a_member_sends_packet_by_packet_with_reports() {
    let mut call = Call::new(2);
    let node = call.join_all(&[good_link()])[0];
    let production = call.produce_audio(node, AudioConfig::default());
    let transport = direct(&mut call);
    let (consumer, parameters) = call.consume_on(transport.clone(), &production);
    call.request(Request::ResumeConsumer(consumer.clone()));
    call.network.run_for(Duration::from_secs(10));
    let packets = delivered(&call, &consumer);
    assert!((490..=510).contains(&packets.len()), "{}", packets.len());
    let headers: Vec<_> = packets.iter().map(|packet| RtpHeader::parse(packet).unwrap()).collect();
    assert!(headers.iter().all(|header| Some(header.ssrc.0) == parameters.encodings[0].ssrc));
    assert!(headers.windows(2).all(|two| two[1].sequence_number == two[0].sequence_number.wrapping_add(1)));
    let reports = call.network.notifications().iter().filter_map(|(_, notification)| match notification {
        Notification::Transport(id, TransportEvent::Rtcp(packet)) if *id == transport => Some(packet),
        _ => None,
    });
    let mut packets = reports.flat_map(|report| RtcpCompound::new(report)).map(Result::unwrap);
    assert!(packets.any(|packet| matches!(packet, RtcpPacket::SenderReport(_))));
}

#[test]
fn application_asks_for_a_key_frame_by_rtcp() {
    let mut call = Call::new(3);
    let node = call.join_all(&[good_link()])[0];
    let production = call.produce_video(node, even_video());
    let transport = direct(&mut call);
    let (consumer, parameters) = call.consume_on(transport.clone(), &production);
    call.request(Request::ResumeConsumer(consumer));
    call.network.run_for(Duration::from_secs(3));
    let requested = |call: &Call| {
        let events = call.network.events(node).iter();
        events.filter(|(_, event)| matches!(event, tureen_client::Event::KeyFrameRequested { .. })).count()
    };
    let before = requested(&call);
    let mut pli = Vec::new();
    write_pli(&mut pli, Ssrc(1), Ssrc(parameters.encodings[0].ssrc.unwrap()));
    call.network.inject_direct(Injection::Rtcp(transport, pli));
    call.network.run_for(Duration::from_millis(100));
    assert_eq!(requested(&call), before + 1);
}

#[test]
fn what_the_application_gets_wrong_is_dropped_and_counted() {
    let mut call = Call::new(4);
    let node = call.join_all(&[good_link()])[0];
    let production = call.produce_audio(node, AudioConfig::default());
    let transport = direct(&mut call);
    let produced = foreign::produce_audio(&mut call, transport.clone());
    let member = call.transport(node).clone();
    for (injection, reason) in [
        (Injection::Rtp(ProducerId::from("nobody"), foreign::audio(0)), "no-producer"),
        (Injection::Rtp(production.id.clone(), foreign::audio(0)), "not-direct"),
        (Injection::Rtcp(member, vec![0x80, 201, 0, 1, 0, 0, 0, 0]), "not-direct"),
        (Injection::Rtp(produced.id.clone(), vec![0x80; 5]), "malformed-rtp"),
        (Injection::Rtp(produced.id.clone(), vec![0x80; 2049]), "too-long"),
        (Injection::Rtcp(transport, vec![0x80, 200, 0, 9, 0, 0, 0, 0]), "malformed-rtcp"),
    ] {
        let before = call.network.drops(reason);
        call.network.inject_direct(injection);
        assert_eq!(call.network.drops(reason), before + 1, "{reason}");
    }
}
