//! DirectTransports: the application as the remote endpoint.

use std::num::NonZeroU8;
use std::time::Duration;

use tureen_engine::api::{
    ConsumerEvent, ConsumerId, CreateDirectTransport, Injection, LinkDump, Notification, ProducerId, Request,
    Response, TransportEvent, TransportId,
};
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{NtpTime, RtcpCompound, RtcpPacket, SenderInfo, write_pli, write_sender_report};
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_rtc::wire::rtp::extension::AbsCaptureTime;
use tureen_sim::{AudioConfig, Call, ROUTER, UNIX};
use tureen_types::rtp_parameters::RtpHeaderExtensionUri;

use crate::{MS, even_video, good_link, raw_rtp, received};

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

/// RTP packets of a Consumer that the application has received.
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
    let produced = raw_rtp::produce_audio(&mut call, transport.clone());
    let consumer = call.consume(node, &produced);
    for number in 0..10 {
        call.network.inject_direct(Injection::Rtp(produced.id.clone(), raw_rtp::audio(number)));
        call.network.run_for(20 * MS);
    }
    call.network.run_for(100 * MS);
    assert_eq!(received(&call, &consumer).len(), 10);
    let Response::TransportStats(stats) = call.request(Request::TransportStats(transport)) else {
        panic!("not statistics")
    };
    assert_eq!(stats.received.bytes, 10 * raw_rtp::audio(0).len() as u64);
}

#[test]
fn application_receives_rtp_of_a_member_and_sender_reports() {
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
fn application_requests_a_key_frame_by_rtcp() {
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
fn invalid_packets_of_the_application_are_dropped_and_counted() {
    let mut call = Call::new(4);
    let node = call.join_all(&[good_link()])[0];
    let production = call.produce_audio(node, AudioConfig::default());
    let transport = direct(&mut call);
    let produced = raw_rtp::produce_audio(&mut call, transport.clone());
    let member = call.transport(node).clone();
    for (injection, reason) in [
        (Injection::Rtp(ProducerId::from("nobody"), raw_rtp::audio(0)), "no-producer"),
        (Injection::Rtp(production.id.clone(), raw_rtp::audio(0)), "not-direct"),
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

#[test]
fn sender_without_pli_support_gets_fir() {
    let mut call = Call::new(7);
    let node = call.join_all(&[good_link()])[0];
    let transport = direct(&mut call);
    let produced = raw_rtp::produce_video_with_fir(&mut call, transport.clone());
    let consumer = call.consume(node, &produced);
    call.network.inject_direct(Injection::Rtp(produced.id.clone(), raw_rtp::audio(0)));
    call.network.run_for(Duration::from_secs(3));
    call.request(Request::RequestKeyFrame(consumer.id.clone()));
    // No key frame arrives, so that the request is repeated.
    call.network.run_for(Duration::from_secs(2));
    let events = call.network.notifications().iter().filter_map(|(_, notification)| match notification {
        Notification::Transport(id, TransportEvent::Rtcp(packet)) if *id == transport => Some(packet),
        _ => None,
    });
    let mut numbers = Vec::new();
    for packet in events.flat_map(|packet| RtcpCompound::new(packet)).map(Result::unwrap) {
        assert!(!matches!(packet, RtcpPacket::Pli(_)));
        if let RtcpPacket::Fir(fir) = packet {
            numbers.extend(fir.entries.iter().map(|entry| (entry.ssrc.0, entry.sequence_number)));
        }
    }
    assert!(numbers.len() > 1, "{numbers:?}");
    for (number, entry) in (0u8..).zip(&numbers) {
        assert_eq!(*entry, (raw_rtp::SSRC, number), "every FIR has a new sequence number");
    }
    let Response::RtpStreamStats(stats) = call.request(Request::ProducerStats(produced.id.clone())) else {
        panic!("not statistics")
    };
    assert_eq!((stats[0].fir_count, stats[0].pli_count), (numbers.len() as u64, 0));
}

/// A sender of audio whose clock is 1000 s ahead, and whose packets arrive 150 ms after their capture.
#[test]
fn sender_reports_use_the_capture_time() {
    const AHEAD: i64 = 1000 << 32;
    for report in [true, false] {
        let mut call = Call::new(5);
        let transport = direct(&mut call);
        let produced = raw_rtp::produce_audio(&mut call, transport.clone());
        let (consumer, parameters) = call.consume_on(transport.clone(), &produced);
        call.request(Request::ResumeConsumer(consumer));
        let started = call.network.elapsed();
        for number in 0..500 {
            let since_start = call.network.elapsed() - started;
            call.network.inject_direct(Injection::Rtp(produced.id.clone(), raw_rtp::audio(number)));
            if report && number % 50 == 0 {
                // A report 150 ms after the capture of this packet.
                let info = SenderInfo {
                    ntp_time: NtpTime::from_unix(UNIX + started + since_start).shifted(AHEAD),
                    rtp_timestamp: (u32::from(number) * 960).wrapping_add(48 * 150),
                    packet_count: u32::from(number),
                    octet_count: 0,
                };
                let mut packet = Vec::new();
                write_sender_report(&mut packet, Ssrc(raw_rtp::SSRC), &info, &[]);
                call.network.inject_direct(Injection::Rtcp(transport.clone(), packet));
            }
            call.network.run_for(20 * MS);
        }
        let ssrc = parameters.encodings[0].ssrc;
        let reports = call.network.notifications().iter().filter_map(|(at, notification)| {
            let Notification::Transport(_, TransportEvent::Rtcp(packet)) = notification else { return None };
            let mut packets = RtcpCompound::new(packet).map(Result::unwrap);
            packets.find_map(|packet| match packet {
                RtcpPacket::SenderReport(report) if Some(report.sender_ssrc.0) == ssrc => {
                    Some((*at - started, report.info))
                }
                _ => None,
            })
        });
        // Reports after the sender's third one, from which on its clock is known.
        let reports: Vec<_> = reports.filter(|(at, _)| *at > Duration::from_millis(2100)).collect();
        assert!(!reports.is_empty());
        for (at, info) in reports {
            assert_eq!(info.ntp_time, NtpTime::from_unix(UNIX + started + at), "the engine's clock");
            let delay = info.rtp_timestamp as i64 - (at.as_millis() * 48) as i64;
            let expected = if report { 150 * 48 } else { 0 };
            assert!((delay - expected).abs() <= 48, "{delay}, {report}");
        }
    }
}

#[test]
fn capture_time_is_forwarded_with_the_offset_to_the_engines_clock() {
    let mut call = Call::new(6);
    let transport = direct(&mut call);
    let produced = raw_rtp::produce_timed_audio(&mut call, transport.clone());
    let (consumer, parameters) = call.consume_on(transport.clone(), &produced);
    call.request(Request::ResumeConsumer(consumer.clone()));
    let id = parameters.header_extensions.iter().find(|e| e.uri == RtpHeaderExtensionUri::AbsCaptureTime);
    let id = id.and_then(|extension| NonZeroU8::new(extension.id as u8));
    let mut ntp = NtpTime(1 << 40);
    for number in 0..200 {
        if number % 50 == 40 {
            let (ntp_time, rtp_timestamp) = (ntp, u32::from(number) * 960);
            let info = SenderInfo { ntp_time, rtp_timestamp, packet_count: 1, octet_count: 1 };
            let mut packet = Vec::new();
            write_sender_report(&mut packet, Ssrc(raw_rtp::SSRC), &info, &[]);
            call.network.inject_direct(Injection::Rtcp(transport.clone(), packet));
        }
        let time = AbsCaptureTime { timestamp: ntp, estimated_clock_offset: None };
        call.network.inject_direct(Injection::Rtp(produced.id.clone(), raw_rtp::timed_audio(number, time)));
        call.network.run_for(20 * MS);
        ntp = ntp.shifted((1 << 32) / 50);
    }
    let now = NtpTime::from_unix(UNIX + call.network.elapsed());
    let packets = delivered(&call, &consumer);
    let times = packets.iter().map(|packet| {
        RtpHeader::parse(packet)
            .unwrap()
            .read::<AbsCaptureTime>(packet, id)
            .expect("the extension is forwarded")
    });
    let times: Vec<_> = times.collect();
    assert_eq!(times[0].timestamp, NtpTime(1 << 40), "unchanged");
    assert_eq!(times[0].estimated_clock_offset, Some(0), "the engine's clock counts as the sender's");
    let offset = times.last().unwrap().estimated_clock_offset.unwrap();
    let off = offset - ntp.since(now);
    assert!(off.abs() < (1 << 32) / 1000, "{off}");
}
