use planus::Builder;
use tureen_engine::api::{
    Injection, Notification, ProducerEvent, ProducerScore, Request, RequestError, Response, TransportEvent,
};
use tureen_types::data_structures::IceState;

use super::schema::message::{Body, Message};
use super::schema::request::{Body as RequestBody, Method};
use super::schema::{data_producer, notification, request, response, router, rtp_parameters, transport};
use super::*;
use crate::dialect::Call;

/// A frame in the form of the library.
fn frame(body: Body) -> Vec<u8> {
    Builder::new().finish(Message { data: body }, None).to_vec()
}

fn main(main: &mut Vec<u8>) -> Out<'_> {
    Out { main, payload: None }
}

fn request_frame(id: u32, method: Method, handler: &str, body: Option<RequestBody>) -> Vec<u8> {
    let handler_id = handler.to_owned();
    frame(Body::Request(Box::new(request::Request { id, method, handler_id, body })))
}

/// Body of the only frame in `out`.
fn read_frame(out: &[u8]) -> Body {
    let (len, frame) = out.split_at(4);
    assert_eq!(u32::from_ne_bytes(len.try_into().unwrap()) as usize, frame.len());
    Message::try_from(MessageRef::read_as_root(frame).unwrap()).unwrap().data
}

fn answer(codec: &mut FlatBuffers, id: u64, result: Result<Reply, RequestError>) -> response::Response {
    let mut out = Vec::new();
    codec.write_response(id, result, &mut main(&mut out));
    match read_frame(&out) {
        Body::Response(response) => *response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn handler_is_the_addressed_object() {
    let frame = request_frame(7, Method::ProducerPause, "camera", None);
    let Ok(Some(Incoming::Request { id: 7, call: Call::Engine(Request::PauseProducer(id)) })) =
        FlatBuffers::new(1).decode(ChannelKind::Main, &frame)
    else {
        panic!()
    };
    assert_eq!(id.as_str(), "camera");
}

#[test]
fn request_without_its_body_is_refused_with_its_id() {
    let wrong = router::CloseTransportRequest { transport_id: "t".to_owned() };
    let wrong = RequestBody::RouterCloseTransportRequest(Box::new(wrong));
    for body in [None, Some(wrong)] {
        let frame = request_frame(9, Method::TransportProduce, "t", body);
        let Err(Refusal::Request { id: 9, error: RequestError::Invalid(text) }) =
            FlatBuffers::new(1).decode(ChannelKind::Main, &frame)
        else {
            panic!()
        };
        assert!(text.contains("TransportProduce"), "{text}");
    }
}

#[test]
fn malformed_messages_are_logged() {
    let whole = request_frame(1, Method::WorkerDump, "", None);
    let mut codec = FlatBuffers::new(1);
    for bytes in [&[][..], &[0; 3], &[0xff; 64], &whole[..8]] {
        assert!(matches!(codec.decode(ChannelKind::Main, bytes), Err(Refusal::Message(_))), "{bytes:?}");
    }
    let foreign = frame(Body::Log(Box::new(schema::log::Log { data: "hm".to_owned() })));
    assert!(matches!(codec.decode(ChannelKind::Main, &foreign), Err(Refusal::Message(_))));
}

#[test]
fn responses_to_similar_requests_differ_by_the_request() {
    let mut codec = FlatBuffers::new(1);
    let amount = || Ok(Reply::Engine(Response::BufferedAmount(5)));
    codec
        .decode(ChannelKind::Main, &request_frame(1, Method::DataconsumerGetBufferedAmount, "d", None))
        .unwrap();
    let body = answer(&mut codec, 1, amount()).body;
    assert!(matches!(body, Some(response::Body::DataConsumerGetBufferedAmountResponse(_))), "{body:?}");

    let send = schema::data_consumer::SendRequest { ppid: 51, data: b"x".to_vec() };
    let send = RequestBody::DataConsumerSendRequest(Box::new(send));
    codec.decode(ChannelKind::Main, &request_frame(2, Method::DataconsumerSend, "d", Some(send))).unwrap();
    let body = answer(&mut codec, 2, amount()).body;
    assert!(matches!(body, Some(response::Body::DataConsumerSendResponse(_))), "{body:?}");

    codec.decode(ChannelKind::Main, &request_frame(3, Method::ConsumerGetStats, "c", None)).unwrap();
    let body = answer(&mut codec, 3, Ok(Reply::Engine(Response::RtpStreamStats(Vec::new())))).body;
    assert!(matches!(body, Some(response::Body::ConsumerGetStatsResponse(_))), "{body:?}");
    assert!(codec.methods.is_empty());
}

#[test]
fn errors_have_the_names_of_the_library() {
    let mut codec = FlatBuffers::new(1);
    let not_found = RequestError::NotFound { kind: "Producer", id: "p".to_owned() };
    for (error, name) in [
        (not_found, "NotFoundError"),
        (RequestError::Invalid("bad".to_owned()), "TypeError"),
        (RequestError::Failed("no".to_owned()), "Error"),
    ] {
        let text = error.to_string();
        let response = answer(&mut codec, 1, Err(error));
        assert!(!response.accepted);
        assert_eq!(response.error.as_deref(), Some(name));
        assert_eq!(response.reason, Some(text));
    }
}

#[test]
fn codec_parameters_of_every_type_round_trip() {
    let value = |value| rtp_parameters::Parameter { name: format!("{value:?}"), value };
    // Sorted by name, as in the response.
    let parameters = vec![
        value(rtp_parameters::Value::Boolean(Box::new(rtp_parameters::Boolean { value: 1 }))),
        value(rtp_parameters::Value::Double(Box::new(rtp_parameters::Double { value: 222.222 }))),
        value(rtp_parameters::Value::Integer32(Box::new(rtp_parameters::Integer32 { value: 1 }))),
        value(rtp_parameters::Value::Integer32Array(Box::new(rtp_parameters::Integer32Array {
            value: Some(vec![1, -2]),
        }))),
        value(rtp_parameters::Value::String(Box::new(rtp_parameters::String { value: "x".to_owned() }))),
    ];
    let codec = rtp_parameters::RtpCodecParameters {
        mime_type: "audio/opus".to_owned(),
        payload_type: 100,
        clock_rate: 48_000,
        channels: Some(2),
        parameters: Some(parameters),
        rtcp_feedback: Some(vec![rtp_parameters::RtcpFeedback {
            type_: "transport-cc".to_owned(),
            parameter: None,
        }]),
    };
    let wire = rtp_parameters::RtpParameters {
        mid: Some("AUDIO".to_owned()),
        codecs: vec![codec],
        encodings: vec![rtp_parameters::RtpEncodingParameters {
            ssrc: Some(1),
            scalability_mode: Some("L1T3".to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(rtp::write_parameters(rtp::read_parameters(wire.clone()).unwrap()), wire);
}

#[test]
fn unusable_codec_is_named() {
    let with = |mime_type: &str, clock_rate| rtp_parameters::RtpParameters {
        codecs: vec![rtp_parameters::RtpCodecParameters {
            mime_type: mime_type.to_owned(),
            clock_rate,
            ..Default::default()
        }],
        ..Default::default()
    };
    for (parameters, part) in
        [(with("chicken/vp8", 90_000), "chicken/vp8"), (with("audio/opus", 0), "clockRate")]
    {
        let error = rtp::read_parameters(parameters).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn application_may_send_to_a_data_producer() {
    let body = data_producer::SendNotification {
        ppid: 51,
        data: b"hello".to_vec(),
        subchannels: Some(vec![1, 2]),
        required_subchannel: Some(2),
        ignored_subchannel: None,
    };
    let frame = frame(Body::Notification(Box::new(notification::Notification {
        handler_id: "chat".to_owned(),
        event: notification::Event::DataproducerSend,
        body: Some(notification::Body::DataProducerSendNotification(Box::new(body))),
    })));
    let Ok(Some(Incoming::Injection(Injection::Data(id, publication)))) =
        FlatBuffers::new(1).decode(ChannelKind::Main, &frame)
    else {
        panic!()
    };
    assert_eq!(id.as_str(), "chat");
    assert_eq!((publication.message.ppid, &publication.message.payload[..]), (51, &b"hello"[..]));
    assert_eq!((publication.subchannels, publication.required_subchannel), (vec![1, 2], Some(2)));
}

#[test]
fn events_name_their_object() {
    let mut codec = FlatBuffers::new(4711);
    let mut events = Vec::new();
    let mut write = |notification| {
        let mut out = Vec::new();
        codec.write_notification(notification, &mut main(&mut out));
        if !out.is_empty() {
            let Body::Notification(notification) = read_frame(&out) else { panic!() };
            events.push((notification.handler_id, notification.event));
        }
    };
    write(Notification::Transport("t".into(), TransportEvent::IceState(IceState::Connected)));
    write(Notification::Transport("t".into(), TransportEvent::ListenServerClosed));
    let score = ProducerScore { encoding_idx: 0, ssrc: 1, rid: None, score: 10 };
    write(Notification::Producer("p".into(), ProducerEvent::Score(vec![score])));
    let ice = notification::Event::WebrtctransportIceStateChange;
    assert_eq!(events, [("t".to_owned(), ice), ("p".to_owned(), notification::Event::ProducerScore)]);

    let mut out = Vec::new();
    codec.write_running(&mut main(&mut out));
    let Body::Notification(running) = read_frame(&out) else { panic!() };
    assert_eq!((running.handler_id.as_str(), running.event), ("4711", notification::Event::WorkerRunning));
}

#[test]
fn port_zero_and_range_zero_mean_not_given() {
    let info = |port, min, max| transport::ListenInfo {
        ip: "127.0.0.1".to_owned(),
        port,
        port_range: Box::new(transport::PortRange { min, max }),
        ..Default::default()
    };
    let infos =
        super::transport::read_listen_infos(vec![info(0, 0, 0), info(7, 0, 0), info(0, 5, 6)]).unwrap();
    assert_eq!((infos[0].port, infos[0].port_range.clone()), (None, None));
    assert_eq!((infos[1].port, infos[1].port_range.clone()), (Some(7), None));
    assert_eq!((infos[2].port, infos[2].port_range.clone()), (None, Some(5..=6)));
    let bad = transport::ListenInfo { ip: "123".to_owned(), ..Default::default() };
    assert!(super::transport::read_listen_infos(vec![bad]).is_err());
}
