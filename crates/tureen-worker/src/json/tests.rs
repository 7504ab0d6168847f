use serde_json::{Value, json};
use tureen_engine::api::{
    ConsumerEvent, DataConsumerEvent, DataMessage, Injection, Listen, Notification, ProducerEvent,
    ProducerScore, Request, Response, StreamType, TransportEvent,
};
use tureen_types::data_structures::{IceState, Protocol, TransportTuple};

use super::*;
use crate::dialect::Call;

/// Decodes a request by `codec`.
fn read(codec: &mut Json, frame: &str) -> (u64, Request) {
    match codec.decode(ChannelKind::Main, frame.as_bytes()) {
        Ok(Some(Incoming::Request { id, call: Call::Engine(request) })) => (id, request),
        other => panic!("{frame}: {other:?}"),
    }
}

/// Output of `write` on each channel, without framing.
fn written(codec: &mut Json, write: impl FnOnce(&mut Json, &mut Out<'_>)) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut main, mut payload) = (Vec::new(), Vec::new());
    write(codec, &mut Out { main: &mut main, payload: Some(&mut payload) });
    let framing = codec.generation.frames().0;
    (frames(framing, &main), frames(framing, &payload))
}

fn frames(framing: Framing, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (start, len, trailer) = match framing {
            Framing::LengthPrefix => (4, u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, 0),
            Framing::Netstring => {
                let colon = bytes.iter().position(|&byte| byte == b':').unwrap();
                let len = std::str::from_utf8(&bytes[..colon]).unwrap().parse().unwrap();
                assert_eq!(bytes[colon + 1 + len], b',');
                (colon + 1, len, 1)
            }
        };
        frames.push(bytes[start..start + len].to_vec());
        bytes = &bytes[start + len + trailer..];
    }
    frames
}

fn parse(frames: &[Vec<u8>]) -> Vec<Value> {
    frames.iter().map(|frame| serde_json::from_slice(frame).unwrap()).collect()
}

fn answer(codec: &mut Json, id: u64, result: Result<Reply, RequestError>) -> Value {
    let (main, payload) = written(codec, |codec, out| codec.write_response(id, result, out));
    assert!(payload.is_empty());
    parse(&main).remove(0)
}

fn event(codec: &mut Json, notification: Notification) -> Vec<Value> {
    parse(&written(codec, |codec, out| codec.write_notification(notification, out)).0)
}

#[test]
fn same_request_is_read_in_every_style() {
    let data = r#""listenIps":[{"ip":"127.0.0.1","announcedIp":"9.9.9.1"}],"enableUdp":true,"enableTcp":true,
        "preferUdp":true,"initialAvailableOutgoingBitrate":1000000,"enableSctp":true,
        "numSctpStreams":{"OS":256,"MIS":512},"maxSctpMessageSize":262144,"isDataChannel":true"#;
    let object = format!(
        r#"{{"id":6,"method":"router.createWebRtcTransport",
            "internal":{{"routerId":"r","transportId":"t"}},"data":{{{data}}}}}"#
    );
    let text = format!(r#"6:router.createWebRtcTransport:r:{{"transportId":"t",{data}}}"#);
    for (generation, frame) in [
        (Generation::V3_5, &object),
        (Generation::V3_6, &object),
        (Generation::V3_9, &object),
        (Generation::V3_10_6, &text),
    ] {
        let (6, Request::CreateWebRtcTransport(options)) = read(&mut Json::new(generation, 1), frame) else {
            panic!("{generation:?}")
        };
        assert_eq!((options.router_id.as_str(), options.id.as_str()), ("r", "t"));
        let Listen::Addresses(infos) = options.listen else { panic!() };
        let protocols: Vec<_> = infos.iter().map(|info| info.protocol).collect();
        assert_eq!(protocols, [Protocol::Udp, Protocol::Tcp]);
        assert_eq!(infos[1].announced_address.as_deref(), Some("9.9.9.1"));
        let sctp = options.sctp.unwrap();
        assert_eq!((sctp.outbound_streams, sctp.inbound_streams), (256, 512));
        assert_eq!(sctp.send_buffer_size, 262_144);
    }
}

#[test]
fn text_requests_may_lack_handler_and_data() {
    let mut codec = Json::new(Generation::V3_10_6, 1);
    assert!(matches!(read(&mut codec, "1:worker.dump:undefined:undefined"), (1, Request::DumpWorker)));
    let (_, Request::CloseProducer(id)) =
        read(&mut codec, r#"2:transport.closeProducer:t:{"producerId":"a:b"}"#)
    else {
        panic!()
    };
    assert_eq!(id.as_str(), "a:b");
    let (_, Request::PauseConsumer(id)) = read(&mut codec, "3:consumer.pause:c:undefined") else { panic!() };
    assert_eq!(id.as_str(), "c");
}

#[test]
fn media_of_a_browser_is_parsed() {
    // Shortened from mediasoup-demo.
    let frame = json!({
        "id": 26, "method": "transport.produce",
        "internal": {"routerId": "r", "transportId": "t", "producerId": "p"},
        "data": {
            "kind": "video", "paused": false,
            "rtpMapping": {
                "codecs": [{"payloadType": 96, "mappedPayloadType": 101}],
                "encodings": [{"rid": "r0", "scalabilityMode": "S1T3", "mappedSsrc": 314619191}],
            },
            "rtpParameters": {
                "mid": "2",
                "codecs": [{
                    "mimeType": "video/VP8", "clockRate": 90000, "payloadType": 96,
                    "parameters": {"x-google-start-bitrate": 1000, "odd": null, "half": 0.5, "list": [1, -2]},
                    "rtcpFeedback": [{"type": "nack", "parameter": "pli"}, {"type": "later"}],
                }],
                "encodings": [{
                    "active": true, "dtx": false, "rid": "r0", "scalabilityMode": "S1T3",
                    "scaleResolutionDownBy": 4,
                }],
                "headerExtensions": [
                    {"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4, "encrypt": false, "parameters": {}},
                    {"uri": "http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07", "id": 8},
                ],
                "rtcp": {"cname": "c", "reducedSize": true},
            },
        },
    });
    let mut codec = Json::new(Generation::V3_6, 1);
    let (26, Request::Produce(produce)) = read(&mut codec, &frame.to_string()) else { panic!() };
    assert_eq!(produce.rtp_mapping.encodings[0].mapped_ssrc, 314_619_191);
    assert_eq!(produce.rtp_parameters.header_extensions.len(), 1);

    let told = serde_json::to_value(rtp::RtpParameters::from(produce.rtp_parameters)).unwrap();
    assert_eq!(
        told["codecs"][0]["parameters"],
        json!({"x-google-start-bitrate": 1000, "half": 0.5, "list": [1, -2]}),
    );
    assert_eq!(
        told["encodings"],
        json!([{
            "rid": "r0", "scalabilityMode": "S1T3", "spatialLayers": 1, "temporalLayers": 3, "ksvc": false,
        }]),
    );
    assert_eq!(told["rtcp"], json!({"cname": "c", "reducedSize": true}));
}

#[test]
fn data_streams_are_ordered_unless_limited() {
    let mut codec = Json::new(Generation::V3_5, 1);
    for (stream, ordered) in [
        (json!({"streamId": 1}), true),
        (json!({"streamId": 1, "maxRetransmits": 0}), false),
        (json!({"streamId": 1, "ordered": false}), false),
    ] {
        let frame = json!({
            "id": 1, "method": "transport.produceData",
            "internal": {"transportId": "t", "dataProducerId": "d"},
            "data": {"sctpStreamParameters": stream, "label": "bot", "protocol": ""},
        });
        let (_, Request::ProduceData(options)) = read(&mut codec, &frame.to_string()) else { panic!() };
        let tureen_engine::api::DataTransport::Sctp(stream) = options.transport else { panic!() };
        assert_eq!(stream.ordered, ordered);
    }
}

#[test]
fn malformed_requests_with_an_id_are_answered() {
    let refused = |generation, frame: &str| match Json::new(generation, 1)
        .decode(ChannelKind::Main, frame.as_bytes())
    {
        Err(Refusal::Request { id, error: RequestError::Invalid(text) }) => (Some(id), text),
        Err(Refusal::Message(text)) => (None, text),
        other => panic!("{frame}: {other:?}"),
    };
    for (frame, id, part) in [
        (r#"{"id":7,"method":"worker.fly"}"#, Some(7), "worker.fly"),
        (r#"{"id":7}"#, Some(7), "method"),
        (r#"{"id":7,"method":5}"#, Some(7), "malformed"),
        (r#"{"id":7,"method":"router.dump"}"#, Some(7), "routerId"),
        (r#"{"id":7,"method":"router.dump","internal":{"routerId":5}}"#, Some(7), "router.dump"),
        (
            r#"{"id":7,"method":"transport.setMaxIncomingBitrate","internal":{"transportId":"t"},"data":{}}"#,
            Some(7),
            "bitrate",
        ),
        (r#"{"method":"worker.dump"}"#, None, "id"),
        (r#"{"id":-1,"method":"worker.dump"}"#, None, "malformed"),
        ("", None, "malformed"),
        ("[1,2", None, "malformed"),
    ] {
        let (got, text) = refused(Generation::V3_6, frame);
        assert!(got == id && text.contains(part), "{frame}: {got:?} {text}");
    }
    for (frame, id, part) in [
        ("7:worker.fly:undefined:undefined", Some(7), "worker.fly"),
        ("7:transport.consume:t:{", Some(7), "transport.consume"),
        ("7:transport.consume:t", None, "parts"),
        ("x:worker.dump:undefined:undefined", None, "id"),
        ("", None, "parts"),
    ] {
        let (got, text) = refused(Generation::V3_10_6, frame);
        assert!(got == id && text.contains(part), "{frame}: {got:?} {text}");
    }
    let broken = Json::new(Generation::V3_10_6, 1).decode(ChannelKind::Main, b"\xff:\xff:");
    assert!(matches!(broken, Err(Refusal::Message(_))));
}

#[test]
fn payload_notification_has_two_frames() {
    for (generation, header) in [
        (
            Generation::V3_6,
            r#"{"event":"dataProducer.send","internal":{"dataProducerId":"d"},"data":{"ppid":51}}"#,
        ),
        (Generation::V3_10_6, "n:dataProducer.send:d:51"),
    ] {
        let mut codec = Json::new(generation, 1);
        assert!(matches!(codec.decode(ChannelKind::Payload, header.as_bytes()), Ok(None)));
        // The other channel does not interfere.
        codec.decode(ChannelKind::Main, b"garbage").unwrap_err();
        let Ok(Some(Incoming::Injection(Injection::Data(id, publication)))) =
            codec.decode(ChannelKind::Payload, b"hello")
        else {
            panic!()
        };
        assert_eq!(id.as_str(), "d");
        assert_eq!(publication.message, DataMessage { ppid: 51, payload: b"hello".to_vec() });
    }
}

#[test]
fn malformed_header_is_skipped_with_its_payload() {
    let mut codec = Json::new(Generation::V3_6, 1);
    for header in [&b"garbage"[..], br#"{"event":"producer.send"}"#, br#"{"event":"worker.dump"}"#] {
        assert!(matches!(codec.decode(ChannelKind::Payload, header), Ok(None)));
        assert!(matches!(codec.decode(ChannelKind::Payload, b"bytes"), Err(Refusal::Message(_))));
    }
    let good = br#"{"event":"producer.send","internal":{"producerId":"p"}}"#;
    assert!(matches!(codec.decode(ChannelKind::Payload, good), Ok(None)));
    let injected = codec.decode(ChannelKind::Payload, b"\x80");
    assert!(matches!(injected, Ok(Some(Incoming::Injection(Injection::Rtp(..))))));
}

#[test]
fn requests_of_both_channels_are_distinguished() {
    for (generation, header) in [
        (
            Generation::V3_6,
            r#"{"id":1,"method":"dataConsumer.send","internal":{"dataConsumerId":"d"},"data":{"ppid":53}}"#,
        ),
        (Generation::V3_10_6, "r:1:dataConsumer.send:d:53"),
    ] {
        let mut codec = Json::new(generation, 1);
        codec.decode(ChannelKind::Payload, header.as_bytes()).unwrap();
        let Ok(Some(Incoming::Request { id, call: Call::Engine(Request::SendData(..)) })) =
            codec.decode(ChannelKind::Payload, b"x")
        else {
            panic!()
        };
        assert_ne!(id, 1);
        let done = Ok(Reply::Engine(Response::BufferedAmount(5)));
        let (main, payload) = written(&mut codec, |codec, out| codec.write_response(id, done, out));
        assert!(main.is_empty());
        assert_eq!(parse(&payload), [json!({"id": 1, "accepted": true})]);
    }
    // An invalid request gets its error response there too.
    let mut codec = Json::new(Generation::V3_6, 1);
    codec.decode(ChannelKind::Payload, br#"{"id":2,"method":"dataConsumer.send"}"#).unwrap();
    let Err(Refusal::Request { id, error }) = codec.decode(ChannelKind::Payload, b"x") else { panic!() };
    let (main, payload) = written(&mut codec, |codec, out| codec.write_response(id, Err(error), out));
    assert!(main.is_empty());
    assert_eq!(parse(&payload)[0]["error"], "TypeError");
}

#[test]
fn answers_have_the_form_of_the_library() {
    let mut codec = Json::new(Generation::V3_6, 4711);
    let done = answer(&mut codec, 1, Ok(Reply::Engine(Response::Done)));
    assert_eq!(done, json!({"id": 1, "accepted": true}));
    let produced = Response::Produced { stream_type: StreamType::Simulcast };
    let produced = answer(&mut codec, 2, Ok(Reply::Engine(produced)));
    assert_eq!(produced, json!({"id": 2, "accepted": true, "data": {"type": "simulcast"}}));
    for (error, name) in [
        (RequestError::NotFound { kind: "Producer", id: "p".to_owned() }, "Error"),
        (RequestError::Invalid("bad".to_owned()), "TypeError"),
        (RequestError::Failed("no".to_owned()), "Error"),
    ] {
        let reason = error.to_string();
        assert_eq!(answer(&mut codec, 3, Err(error)), json!({"id": 3, "error": name, "reason": reason}));
    }
}

#[test]
fn worker_dump_has_only_fields_that_the_library_knows() {
    for (generation, keys) in [
        (Generation::V3_6, &["pid", "routerIds"][..]),
        (Generation::V3_9, &["pid", "routerIds", "webRtcServerIds"]),
        (Generation::V3_10_6, &["channelMessageHandlers", "pid", "routerIds", "webRtcServerIds"]),
    ] {
        let dump = Ok(Reply::Engine(Response::WorkerDump(Default::default())));
        let told = answer(&mut Json::new(generation, 4711), 1, dump);
        let told: Vec<_> = told["data"].as_object().unwrap().keys().collect();
        assert_eq!(told, keys);
    }
}

#[test]
fn events_name_their_object() {
    let mut codec = Json::new(Generation::V3_5, 4711);
    let state = Notification::Transport("t".into(), TransportEvent::IceState(IceState::Connected));
    assert_eq!(
        event(&mut codec, state),
        [json!({"targetId": "t", "event": "icestatechange", "data": {"iceState": "connected"}})],
    );
    let tuple = TransportTuple::LocalOnly {
        local_address: "127.0.0.1".to_owned(),
        local_port: 7,
        protocol: Protocol::Udp,
    };
    let tuple = Notification::Transport("t".into(), TransportEvent::Tuple(tuple));
    assert_eq!(
        event(&mut codec, tuple)[0]["data"],
        json!({"tuple": {"localIp": "127.0.0.1", "localPort": 7, "protocol": "udp"}}),
    );
    let score = ProducerScore { encoding_idx: 0, ssrc: 1, rid: None, score: 10 };
    let score = Notification::Producer("p".into(), ProducerEvent::Score(vec![score]));
    assert_eq!(
        event(&mut codec, score),
        [json!({"targetId": "p", "event": "score", "data": [{"ssrc": 1, "score": 10}]})],
    );
    let nothing = Notification::Consumer("c".into(), ConsumerEvent::LayersChange(None));
    assert_eq!(event(&mut codec, nothing), [json!({"targetId": "c", "event": "layerschange", "data": null})],);
    let paused = Notification::Consumer("c".into(), ConsumerEvent::ProducerPause);
    assert_eq!(event(&mut codec, paused), [json!({"targetId": "c", "event": "producerpause"})]);
    let unknown = Notification::Transport("t".into(), TransportEvent::ListenServerClosed);
    assert!(event(&mut codec, unknown).is_empty());

    let (main, _) = written(&mut codec, |codec, out| codec.write_running(out));
    assert_eq!(parse(&main), [json!({"targetId": "4711", "event": "running"})]);
}

#[test]
fn packets_follow_their_event_on_the_payload_channel() {
    let mut codec = Json::new(Generation::V3_6, 1);
    let message = DataMessage { ppid: 51, payload: b"hi".to_vec() };
    let message = Notification::DataConsumer("d".into(), DataConsumerEvent::Message(message));
    let (main, payload) = written(&mut codec, |codec, out| codec.write_notification(message, out));
    assert!(main.is_empty());
    let header: Value = serde_json::from_slice(&payload[0]).unwrap();
    assert_eq!(header, json!({"targetId": "d", "event": "message", "data": {"ppid": 51}}));
    assert_eq!(payload[1..], [b"hi".to_vec()]);

    let packet = Notification::Consumer("c".into(), ConsumerEvent::Rtp(vec![0x80; 5 << 20]));
    let (main, payload) = written(&mut codec, |codec, out| codec.write_notification(packet, out));
    assert!(main.is_empty() && payload.is_empty(), "what the library can't take is not written");
}
