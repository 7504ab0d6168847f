//! Assignment of packets to Producers and the forwarding decision, tested with single packets from a sender to the
//! application.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tureen_engine::api::{
    ConnectPlain, ConsumerEvent, ConsumerId, ConsumerLayers, CreateDirectTransport, CreatePlainTransport,
    Notification, ProducerId, Request, RequestError, Response, RtpStreamStats, TransportId,
};
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{NtpTime, RtcpCompound, RtcpPacket, SenderInfo, write_bye, write_sender_report};
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_sim::{Call, Produced, ROUTER};
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

use crate::{MS, raw_rtp};

const SENDER: ([u8; 4], u16) = ([198, 51, 100, 1], 6000);
const MID: u8 = 1;
const RID: u8 = 2;
const VIDEO: u8 = 96;

/// A sender on a PlainTransport, and the application, which consumes on a DirectTransport.
struct Bench {
    call: Call,
    local: SocketAddr,
}

/// Fields of a sent RTP packet.
#[derive(Clone, Copy, Debug)]
struct Rtp<'a> {
    payload_type: u8,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    mid: &'a str,
    rid: &'a str,
}

impl Default for Rtp<'_> {
    fn default() -> Self {
        Self { payload_type: VIDEO, seq: 0, timestamp: 0, ssrc: 1000, marker: true, mid: "", rid: "" }
    }
}

impl Rtp<'_> {
    fn bytes(&self, payload: &[u8]) -> Vec<u8> {
        let mut elements = Vec::new();
        for (id, value) in [(MID, self.mid), (RID, self.rid)] {
            if !value.is_empty() {
                elements.push(id << 4 | (value.len() - 1) as u8);
                elements.extend(value.as_bytes());
            }
        }
        elements.resize(elements.len().next_multiple_of(4), 0);
        let extended = !elements.is_empty();
        let mut packet = vec![0x80 | u8::from(extended) << 4, self.payload_type | u8::from(self.marker) << 7];
        packet.extend(self.seq.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        if extended {
            packet.extend([0xbe, 0xde, 0, (elements.len() / 4) as u8]);
            packet.extend(elements);
        }
        packet.extend(payload);
        packet
    }
}

/// VP8 payload with picture id, TL0PICIDX and temporal layer.
fn vp8(key: bool, start: bool, number: u16, tl0: u8, layer: u8, tag: u8) -> Vec<u8> {
    let [high, low] = (number | 0x8000).to_be_bytes();
    let sync = u8::from(layer > 0) << 5;
    vec![0x80 | u8::from(start) << 4, 0xe0, high, low, tl0, layer << 6 | sync, u8::from(!key), tag, tag]
}

fn video(encodings: &Value, mid: Option<&str>) -> RtpParameters {
    let mut parameters = json!({
        "codecs": [{ "mimeType": "video/VP8", "payloadType": VIDEO, "clockRate": 90000, "parameters": {},
                     "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }] }],
        "encodings": encodings,
        "headerExtensions": [{ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": MID },
                             { "uri": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "id": RID }],
        "rtcp": { "cname": "sender" },
    });
    if let Some(mid) = mid {
        parameters["mid"] = mid.into();
    }
    serde_json::from_value(parameters).unwrap()
}

impl Bench {
    fn new(seed: u64) -> Self {
        let mut call = Call::new(seed);
        let create = CreatePlainTransport {
            router_id: ROUTER.into(),
            id: "in".into(),
            listen_info: raw_rtp::listen_info(),
            rtcp_listen_info: None,
            rtcp_mux: true,
            comedia: false,
            srtp: None,
            initial_available_outgoing_bitrate: None,
            sctp: None,
        };
        let Response::TransportDump(dump) = call.request(Request::CreatePlainTransport(create)) else {
            panic!("not a dump")
        };
        let tureen_engine::api::LinkDump::Plain(plain) = dump.link else { panic!("not plain") };
        let local = SocketAddr::new(plain.tuple.local_address().parse().unwrap(), plain.tuple.local_port());
        let to = ConnectPlain { ip: Some(SENDER.0.into()), port: Some(SENDER.1), ..ConnectPlain::default() };
        call.request(Request::ConnectPlainTransport("in".into(), to));
        let create =
            CreateDirectTransport { router_id: ROUTER.into(), id: "out".into(), max_message_size: 1000 };
        call.request(Request::CreateDirectTransport(create));
        call.network.listen_at(SENDER.into());
        Self { call, local }
    }

    fn produce(&mut self, encodings: &Value, mid: Option<&str>) -> Produced {
        self.call.produce_on(TransportId::from("in"), MediaKind::Video, video(encodings, mid))
    }

    fn consume(&mut self, produced: &Produced) -> ConsumerId {
        let (consumer, _) = self.call.consume_on(TransportId::from("out"), produced);
        self.call.request(Request::ResumeConsumer(consumer.clone()));
        consumer
    }

    fn prefer(&mut self, consumer: &ConsumerId, spatial_layer: u8, temporal_layer: u8) {
        let layers = ConsumerLayers { spatial_layer, temporal_layer: Some(temporal_layer) };
        self.call.request(Request::SetPreferredLayers(consumer.clone(), layers));
    }

    fn send(&mut self, packet: Vec<u8>) {
        self.call.network.inject(SENDER.into(), self.local, packet);
    }

    fn run(&mut self, time: Duration) {
        self.call.network.run_for(time);
    }

    fn report(&mut self, ssrc: u32, ntp: NtpTime, rtp_timestamp: u32) {
        let info = SenderInfo { ntp_time: ntp, rtp_timestamp, packet_count: 1, octet_count: 100 };
        let mut packet = Vec::new();
        write_sender_report(&mut packet, Ssrc(ssrc), &info, &[]);
        self.send(packet);
    }

    fn bye(&mut self, ssrc: u32) {
        let mut packet = Vec::new();
        write_bye(&mut packet, &[Ssrc(ssrc)]);
        self.send(packet);
    }

    /// Packets that the application has received: time, header and last byte.
    fn received(&self, consumer: &ConsumerId) -> Vec<(Duration, RtpHeader, u8)> {
        let events = self.call.network.notifications().iter();
        let of_consumer = events.filter_map(|(at, notification)| match notification {
            Notification::Consumer(id, ConsumerEvent::Rtp(packet)) if id == consumer => {
                let header = RtpHeader::parse(packet).unwrap();
                Some((*at, header, *packet.last().unwrap()))
            }
            _ => None,
        });
        of_consumer.collect()
    }

    fn layer_changes(&self, consumer: &ConsumerId) -> Vec<Option<u8>> {
        let events = self.call.network.notifications().iter();
        let of_consumer = events.filter_map(|(_, notification)| match notification {
            Notification::Consumer(id, ConsumerEvent::LayersChange(layers)) if id == consumer => {
                Some(layers.map(|layers| layers.spatial_layer))
            }
            _ => None,
        });
        of_consumer.collect()
    }

    /// Number of key frame requests to the sender since the last call, and the sequence numbers of NACKs.
    fn feedback(&mut self) -> (usize, Vec<u16>) {
        let (mut requests, mut lost) = (0, Vec::new());
        for datagram in self.call.network.take_datagrams_at(SENDER.into()) {
            for packet in RtcpCompound::new(&datagram) {
                match packet.unwrap() {
                    RtcpPacket::Pli(_) => requests += 1,
                    RtcpPacket::Nack(nack) => lost.extend(nack.lost()),
                    _ => {}
                }
            }
        }
        (requests, lost)
    }

    fn ssrcs(&mut self, producer: &ProducerId) -> Vec<u32> {
        let Response::RtpStreamStats(stats) = self.call.request(Request::ProducerStats(producer.clone()))
        else {
            panic!("not statistics")
        };
        let mut ssrcs: Vec<u32> = stats.iter().map(|stats: &RtpStreamStats| stats.ssrc).collect();
        ssrcs.sort_unstable();
        ssrcs
    }
}

fn holes(received: &[(Duration, RtpHeader, u8)]) -> usize {
    let step = |two: &[(Duration, RtpHeader, u8)]| {
        usize::from(two[1].1.sequence_number.wrapping_sub(two[0].1.sequence_number)) - 1
    };
    received.windows(2).map(step).sum()
}

/// Largest difference between a timestamp step and the time that has passed, in ms.
fn worst_step(received: &[(Duration, RtpHeader, u8)]) -> i64 {
    let off = |two: &[(Duration, RtpHeader, u8)]| {
        let ticks = two[1].1.timestamp.wrapping_sub(two[0].1.timestamp).cast_signed();
        (i64::from(ticks) / 90 - (two[1].0 - two[0].0).as_millis() as i64).abs()
    };
    received.windows(2).map(off).max().unwrap_or(0)
}

#[test]
fn dropped_layers_that_arrive_reordered_leave_no_sequence_gaps() {
    let mut bench = Bench::new(1);
    let produced = bench.produce(&json!([{ "ssrc": 1000, "scalabilityMode": "L1T3" }]), None);
    let consumer = bench.consume(&produced);
    bench.prefer(&consumer, 0, 0);
    let mut packets = Vec::new();
    let mut seq = 65_400u16;
    for group in 0..60u16 {
        for (at, layer) in [(0, 0), (1, 2), (2, 1), (3, 2)] {
            let number = group * 4 + at;
            for part in 0..2 {
                let payload = vp8(number == 0 && part == 0, part == 0, number, group as u8, layer, 1);
                let rtp =
                    Rtp { seq, timestamp: u32::from(number) * 3000, marker: part == 1, ..Rtp::default() };
                packets.push(rtp.bytes(&payload));
                seq = seq.wrapping_add(1);
            }
        }
        // The end of a dropped frame arrives after the beginning of the next one, or a whole frame after another.
        let last = packets.len();
        if group % 2 == 1 {
            packets.swap(last - 5, last - 4);
        } else {
            packets[last - 4..].rotate_left(2);
        }
    }
    for packet in packets {
        bench.send(packet);
        bench.run(2 * MS);
    }
    bench.run(50 * MS);
    let received = bench.received(&consumer);
    assert_eq!((received.len(), holes(&received)), (120, 0));
}

#[test]
fn payload_types_that_were_not_negotiated_cause_no_nacks_and_no_sequence_gaps() {
    let mut bench = Bench::new(2);
    let produced = bench.produce(&json!([{ "ssrc": 1000 }]), None);
    let consumer = bench.consume(&produced);
    let mut seq = 65_500u16;
    for frame in 0..60u16 {
        let timestamp = u32::from(frame) * 3000;
        let media = Rtp { seq, timestamp, ..Rtp::default() }.bytes(&vp8(frame == 0, true, frame, 0, 0, 7));
        let other =
            Rtp { seq: seq.wrapping_add(1), timestamp, payload_type: 117, ..Rtp::default() }.bytes(&[0; 30]);
        seq = seq.wrapping_add(2);
        // Every third FEC packet arrives before the media packet that it protects.
        let (first, second) = if frame % 3 == 2 { (other, media) } else { (media, other) };
        bench.send(first);
        bench.send(second);
        bench.run(33 * MS);
    }
    let received = bench.received(&consumer);
    assert_eq!((received.len(), holes(&received)), (60, 0));
    assert!(received.iter().all(|(_, header, tag)| header.payload_type.0 != 117 && *tag == 7));
    // Media packets have even numbers. Those that arrive after their FEC packet are requested until they arrive.
    assert!(bench.feedback().1.iter().all(|seq| seq % 2 == 0));
    assert_eq!(bench.call.network.drops("undeclared-payload-type"), 60);
}

#[test]
fn infrequent_pictures_do_not_count_as_the_end_of_a_stream() {
    for (name, encodings) in [
        ("temporal layers", json!([{ "ssrc": 1000, "scalabilityMode": "L1T3" }])),
        ("the same with DTX", json!([{ "ssrc": 1000, "scalabilityMode": "L1T3", "dtx": true }])),
        ("simulcast", json!([{ "ssrc": 1000 }, { "ssrc": 1001 }])),
    ] {
        let mut bench = Bench::new(3);
        let count = encodings.as_array().unwrap().len() as u32;
        let produced = bench.produce(&encodings, None);
        let consumer = bench.consume(&produced);
        let mut picture = 0u16;
        let mut send = |bench: &mut Bench, key: bool| {
            picture += 1;
            let timestamp = (bench.call.network.elapsed().as_millis() * 90) as u32;
            for ssrc in 1000..1000 + count {
                bench.report(ssrc, NtpTime((bench.call.network.elapsed().as_secs() + 1000) << 32), timestamp);
                let rtp = Rtp { seq: picture, timestamp, ssrc, ..Rtp::default() };
                bench.send(rtp.bytes(&vp8(key, true, picture, picture as u8, 0, ssrc as u8)));
                bench.run(MS);
            }
        };
        send(&mut bench, true);
        bench.run(100 * MS);
        send(&mut bench, true);
        bench.run(Duration::from_secs(1));
        let (before, changes) = (bench.received(&consumer).len(), bench.layer_changes(&consumer));
        bench.feedback();
        for pause in [2, 3, 9, 40, 2, 2] {
            bench.run(Duration::from_secs(pause));
            send(&mut bench, false);
        }
        bench.run(100 * MS);
        assert_eq!(bench.received(&consumer).len(), before + 6, "{name}");
        assert_eq!(bench.layer_changes(&consumer), changes, "{name}");
        assert_eq!(bench.feedback().0, 0, "{name}: key frame requests");
    }
}

#[test]
fn stream_that_ends_alone_is_soon_replaced_by_another_layer() {
    let mut bench = Bench::new(4);
    let produced = bench.produce(&json!([{ "ssrc": 1000 }, { "ssrc": 1001 }]), None);
    let consumer = bench.consume(&produced);
    for picture in 0..200u16 {
        let timestamp = u32::from(picture) * 3000;
        for ssrc in [1000, 1001] {
            if picture % 30 == 1 {
                let ntp = NtpTime((1000 << 32) + (u64::from(picture) << 32) / 30);
                bench.report(ssrc, ntp, timestamp);
            }
            if ssrc == 1000 || picture < 60 {
                let rtp = Rtp { seq: picture, timestamp, ssrc, ..Rtp::default() };
                bench.send(rtp.bytes(&vp8(true, true, picture, 0, 0, 0)));
            }
        }
        bench.run(Duration::from_micros(33_333));
        if picture == 59 {
            assert_eq!(bench.layer_changes(&consumer).last(), Some(&Some(1)));
        }
        // 1.5 s of silence suffice; the engine checks every half second.
        if picture == 59 + 70 {
            assert_eq!(bench.layer_changes(&consumer).last(), Some(&Some(0)));
        }
    }
}

#[test]
fn packets_of_a_closed_producer_are_dropped() {
    let mut bench = Bench::new(5);
    let rids = json!([{ "rid": "r0" }, { "rid": "r1" }]);
    let camera = bench.produce(&rids, Some("cam"));
    let screen = bench.produce(&rids, Some("scr"));
    let mut seq = 0;
    let mut send = |bench: &mut Bench, mid: &str, rid: &str, ssrc: u32| {
        for _ in 0..3 {
            seq += 1;
            bench.send(Rtp { seq, ssrc, mid, rid, ..Rtp::default() }.bytes(&vp8(true, true, seq, 0, 0, 0)));
        }
        bench.run(20 * MS);
    };
    send(&mut bench, "cam", "r0", 100);
    send(&mut bench, "scr", "r0", 200);
    send(&mut bench, "scr", "r1", 201);
    bench.call.request(Request::CloseProducer(screen.id.clone()));
    send(&mut bench, "scr", "r0", 200);
    send(&mut bench, "scr", "r1", 201);
    assert_eq!(bench.ssrcs(&camera.id), [100]);
    send(&mut bench, "cam", "r1", 101);
    assert_eq!(bench.ssrcs(&camera.id), [100, 101]);
    let again = bench.produce(&rids, Some("scr"));
    send(&mut bench, "scr", "r0", 200);
    send(&mut bench, "scr", "r1", 201);
    assert_eq!((bench.ssrcs(&camera.id), bench.ssrcs(&again.id)), (vec![100, 101], vec![200, 201]));
}

/// Sends 30 pictures of a stream from a sequence number on, 10 ms apart.
fn burst(bench: &mut Bench, ssrc: u32, mid: &str, from: u16, first_timestamp: u32) {
    for picture in 0..30u16 {
        let rtp = Rtp {
            seq: from.wrapping_add(picture),
            timestamp: first_timestamp.wrapping_add(u32::from(picture) * 900),
            ssrc,
            mid,
            ..Rtp::default()
        };
        bench.send(rtp.bytes(&vp8(picture % 10 == 0, true, picture, 0, 0, ssrc as u8)));
        bench.run(10 * MS);
    }
}

#[test]
fn sender_that_changes_its_ssrc_is_followed() {
    type Leave = fn(&mut Bench);
    let cases: [(&str, Value, Option<&str>, Leave, usize); 5] = [
        ("goodbye", json!([{}]), Some("0"), |bench| bench.bye(1000), 30),
        ("silence", json!([{}]), Some("0"), |bench| bench.run(Duration::from_secs(3)), 30),
        // Every tenth picture is a key frame. The first one 100 ms after the change of SSRC is the third.
        ("nothing", json!([{}]), Some("0"), |_| (), 20),
        ("signalled", json!([{ "ssrc": 1000 }]), Some("0"), |bench| bench.bye(1000), 30),
        ("alone on a port", json!([{ "ssrc": 1000 }]), None, |bench| bench.run(Duration::from_secs(3)), 30),
    ];
    for (name, encodings, mid, leave, expected) in cases {
        let mut bench = Bench::new(6);
        let produced = bench.produce(&encodings, mid);
        let consumer = bench.consume(&produced);
        let mid = mid.unwrap_or_default();
        burst(&mut bench, 1000, mid, 100, 0);
        assert_eq!(bench.received(&consumer).len(), 30, "{name}");
        leave(&mut bench);
        burst(&mut bench, 2000, mid, 40_000, 0xdead_beef);
        let received = bench.received(&consumer);
        assert_eq!((received.len(), holes(&received)), (30 + expected, 0), "{name}");
        assert!(worst_step(&received) <= 20, "{name}: timestamps are {} ms off", worst_step(&received));
        assert_eq!(bench.ssrcs(&produced.id), [2000], "{name}");
        // The next change of SSRC works too, and so does the return to the first SSRC.
        bench.run(Duration::from_secs(3));
        burst(&mut bench, 1000, mid, 0, 0);
        let received = bench.received(&consumer);
        assert_eq!((received.len(), holes(&received)), (60 + expected, 0), "{name}");
    }
}

#[test]
fn alternating_ssrcs_do_not_replace_the_first() {
    let mut bench = Bench::new(7);
    let produced = bench.produce(&json!([{}]), Some("0"));
    let consumer = bench.consume(&produced);
    for picture in 0..600u16 {
        for ssrc in [1000, 2000, 3000] {
            let rtp =
                Rtp { seq: picture, timestamp: u32::from(picture) * 3000, ssrc, mid: "0", ..Rtp::default() };
            bench.send(rtp.bytes(&vp8(picture == 0, true, picture, 0, 0, (ssrc / 1000) as u8)));
            bench.run(11 * MS);
        }
    }
    let received = bench.received(&consumer);
    assert_eq!((received.len(), holes(&received)), (600, 0));
    assert!(received.iter().all(|(_, _, tag)| *tag == 1));
    assert_eq!(bench.call.network.drops("unexpected-ssrc"), 1200);
    // A sender that sends a BYE before each packet changes the SSRC a few times at once, then once a second.
    bench.feedback();
    for turn in 0..1000u32 {
        bench.bye(4000 + turn);
        bench.bye(1000);
        let rtp = Rtp { seq: turn as u16, ssrc: 4001 + turn, mid: "0", ..Rtp::default() };
        bench.send(rtp.bytes(&vp8(false, true, turn as u16, 0, 0, 0)));
        bench.run(2 * MS);
    }
    assert!(bench.feedback().0 <= 20, "key frame requests");
    let learned = bench.ssrcs(&produced.id);
    assert_eq!(learned.len(), 1);
}

#[test]
fn clock_change_between_two_reports_does_not_shift_timestamps() {
    let steps = [Some(0), Some(400), Some(5000), Some(-5000), Some(3_600_000), Some(-3_600_000), None];
    for step in steps {
        let mut bench = Bench::new(8);
        let produced = bench.produce(&json!([{ "ssrc": 1000 }, { "ssrc": 1001 }]), None);
        let consumer = bench.consume(&produced);
        bench.prefer(&consumer, 0, 0);
        let mut switched = None;
        for picture in 0..150u16 {
            let ms = i64::from(picture) * 33;
            for (layer, ssrc) in [(0u32, 1000), (1, 1001)] {
                let timestamp = (ms as u32 * 90).wrapping_add(layer * 1_000_000);
                let rtp = Rtp { seq: picture, timestamp, ssrc, ..Rtp::default() };
                bench.send(rtp.bytes(&vp8(true, true, picture, 0, 0, ssrc as u8)));
                if picture % 30 == 3 {
                    // The report of the higher layer is the first one with the changed clock.
                    let set = if picture > 40 && layer == 1 { step.unwrap_or(0) } else { 0 };
                    let seconds = (100_000_000 + ms + set) as u64;
                    let ntp = if step.is_some() { NtpTime((seconds << 32) / 1000) } else { NtpTime(0) };
                    bench.report(ssrc, ntp, timestamp);
                }
            }
            bench.run(33 * MS);
            if picture == 80 {
                bench.prefer(&consumer, 1, 0);
                switched = Some(bench.received(&consumer).len());
            }
        }
        let received = bench.received(&consumer);
        assert_eq!(bench.layer_changes(&consumer).last(), Some(&Some(1)), "{step:?}");
        assert!(received.len() > switched.unwrap() + 60, "{step:?}");
        assert!(worst_step(&received) < 100, "{step:?}: {} ms off", worst_step(&received));
    }
}

#[test]
fn transports_between_servers_allow_more_streams_than_clients_may_send() {
    let mut bench = Bench::new(9);
    for ssrc in 0..300 {
        bench.produce(&json!([{ "ssrc": 5000 + ssrc }]), None);
    }
    let mut call = Call::new(9);
    let node = call.join_all(&[crate::good_link()])[0];
    let transport = call.transport(node).clone();
    for ssrc in 0..128 {
        call.produce_on(transport.clone(), MediaKind::Video, video(&json!([{ "ssrc": 5000 + ssrc }]), None));
    }
    let mapping = serde_json::from_value(json!({
        "codecs": [{ "payloadType": VIDEO, "mappedPayloadType": 101 }],
        "encodings": [{ "ssrc": 9000, "mappedSsrc": 1 }],
    }));
    let produce = tureen_engine::api::Produce {
        transport_id: transport,
        id: "one too many".into(),
        kind: MediaKind::Video,
        rtp_parameters: video(&json!([{ "ssrc": 9000 }]), None),
        rtp_mapping: mapping.unwrap(),
        paused: false,
        key_frame_request_delay: Duration::ZERO,
        enable_packet_id: false,
    };
    let refused = call.network.request(Request::Produce(produce));
    assert!(
        matches!(&refused, Err(RequestError::Failed(text)) if text.contains("more than 128")),
        "{refused:?}"
    );
}
