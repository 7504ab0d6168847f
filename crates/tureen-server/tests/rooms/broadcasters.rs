//! Broadcasters: participants that are controlled over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tureen_server::Server;

use crate::client::{Client, Response, config, delete, get, join_data, post, server};

const BROADCASTERS: &str = "/rooms/r/broadcasters";

async fn add(server: &Server, id: &str) -> Response {
    let about = json!({ "id": id, "displayName": "Camera 1", "device": { "name": "FFmpeg" } });
    post(server, BROADCASTERS, &about.to_string()).await
}

async fn create_transport(server: &Server, broadcaster: &str) -> String {
    let path = format!("{BROADCASTERS}/{broadcaster}/transports");
    let transport = ok(&post(server, &path, r#"{ "type": "webrtc" }"#).await);
    assert_eq!(transport["iceParameters"]["iceLite"], true);
    assert!(!transport["dtlsParameters"]["fingerprints"].as_array().unwrap().is_empty());
    format!("{path}/{}", transport["id"].as_str().unwrap())
}

async fn produce(server: &Server, transport: &str) -> Response {
    let producer = json!({
        "kind": "audio",
        "rtpParameters": {
            "codecs": [{ "mimeType": "audio/opus", "payloadType": 101, "clockRate": 48000, "channels": 2 }],
            "encodings": [{ "ssrc": 1111 }],
        },
    });
    post(server, &format!("{transport}/producers"), &producer.to_string()).await
}

fn ok(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

/// Joins with a receiving transport.
async fn join(server: &Server, peer: &str) -> (Client, Value) {
    let mut client = Client::connect(server, "r", peer).await;
    let transport = json!({ "forceTcp": false, "producing": false, "consuming": true });
    client.request("createWebRtcTransport", transport).await.unwrap();
    let answer = client.request("join", join_data(peer)).await.unwrap();
    (client, answer)
}

#[tokio::test]
async fn peers_see_and_consume_a_broadcaster_in_any_order_of_joining() {
    let server = server().await;
    let (mut early, _) = join(&server, "early").await;
    assert_eq!(ok(&add(&server, "cam").await), json!({ "peers": [] }));
    let described = json!({
        "id": "cam",
        "displayName": "Camera 1",
        "device": { "flag": "broadcaster", "name": "FFmpeg", "version": "" },
    });
    assert_eq!(early.notification("newPeer").await, described);

    let transport = create_transport(&server, "cam").await;
    let producer = ok(&produce(&server, &transport).await);
    let (mut late, answer) = join(&server, "late").await;
    assert!(answer["peers"].as_array().unwrap().contains(&described), "{answer}");
    for peer in [&mut early, &mut late] {
        let (request, consumer) = peer.server_request("newConsumer").await;
        assert_eq!(consumer["peerId"], "cam");
        assert_eq!(consumer["producerId"], producer["id"]);
        assert_eq!(consumer["appData"], json!({}));
        peer.answer(request).await;
        peer.notification("consumerScore").await;
    }

    assert_eq!(delete(&server, &format!("{BROADCASTERS}/cam")).await.status, 200);
    for peer in [&mut early, &mut late] {
        assert_eq!(peer.notification("peerClosed").await, json!({ "peerId": "cam" }));
        peer.notification("consumerClosed").await;
    }
    assert_eq!(delete(&server, &format!("{BROADCASTERS}/cam")).await.status, 404);
}

#[tokio::test]
async fn a_broadcaster_consumes_what_fits_its_capabilities() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let sending = json!({ "forceTcp": false, "producing": true, "consuming": false });
    let sending = a.request("createWebRtcTransport", sending).await.unwrap();
    a.request("join", join_data("a")).await.unwrap();
    let produce = json!({
        "transportId": sending["id"],
        "kind": "audio",
        "rtpParameters": {
            "mid": "0",
            "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }],
            "encodings": [{ "ssrc": 1 }],
        },
    });
    let producer = a.request("produce", produce).await.unwrap();

    let mut about = join_data("rec");
    about["id"] = "rec".into();
    let peers = ok(&post(&server, BROADCASTERS, &about.to_string()).await);
    let expected = json!([{ "id": producer["id"], "kind": "audio" }]);
    assert_eq!((&peers["peers"][0]["id"], &peers["peers"][0]["producers"]), (&json!("a"), &expected));

    let transport = create_transport(&server, "rec").await;
    let consume = format!("{transport}/consume?producerId={}", producer["id"].as_str().unwrap());
    let consumer = ok(&post(&server, &consume, "").await);
    assert_eq!(consumer["producerId"], producer["id"]);
    assert_eq!((&consumer["kind"], &consumer["type"]), (&json!("audio"), &json!("simple")));
    assert_eq!(consumer["rtpParameters"]["codecs"][0]["mimeType"], "audio/opus");
}

#[tokio::test]
async fn invalid_requests_are_named_and_leave_no_state() {
    let server = server().await;
    let unknown = "00000000-0000-0000-0000-000000000001";
    assert_eq!(
        post(&server, "/rooms/none/broadcasters/x/transports", r#"{"type":"webrtc"}"#).await.status,
        404
    );
    assert_eq!(post(&server, BROADCASTERS, "{").await.status, 400);
    assert_eq!(
        post(&server, BROADCASTERS, r#"{"id":"","displayName":"","device":{"name":""}}"#).await.status,
        400
    );
    assert_eq!(get(&server, BROADCASTERS).await.status, 405);

    let (mut a, _) = join(&server, "a").await;
    ok(&add(&server, "cam").await);
    a.notification("newPeer").await;
    for taken in ["cam", "a"] {
        let response = add(&server, taken).await;
        assert_eq!(response.status, 400);
        assert!(response.body.contains(taken), "{}", response.body);
    }
    let transports = format!("{BROADCASTERS}/cam/transports");
    assert_eq!(post(&server, &transports, r#"{ "type": "carrier pigeon" }"#).await.status, 400);
    let of_unknown = format!("{transports}/{unknown}");
    assert_eq!(produce(&server, &of_unknown).await.status, 404);
    let transport = create_transport(&server, "cam").await;
    let nothing = r#"{ "kind": "audio", "rtpParameters": { "codecs": [] } }"#;
    assert_eq!(post(&server, &format!("{transport}/producers"), nothing).await.status, 400);
    assert_eq!(post(&server, &format!("{transport}/consume"), "").await.status, 400);
    let consume = post(&server, &format!("{transport}/consume?producerId={unknown}"), "").await;
    assert_eq!(consume.status, 400, "a broadcaster without rtpCapabilities can't consume");
    assert!(a.unasked().is_empty(), "{:?}", a.unasked());
}

#[tokio::test]
async fn a_broadcaster_does_not_hold_its_room_open() {
    let mut config = config();
    config.limits.max_rooms = 1;
    let server = Server::start(config).await.unwrap();
    ok(&add(&server, "cam").await);
    assert_eq!(get(&server, "/rooms/other").await.status, 503, "the broadcaster's room is there");
    let (a, _) = join(&server, "a").await;
    a.leave().await;
    assert_eq!(get(&server, "/rooms/other").await.status, 200);

    ok(&add(&server, "cam").await);
    assert_eq!(delete(&server, &format!("{BROADCASTERS}/cam")).await.status, 200);
    assert_eq!(get(&server, "/rooms/other").await.status, 200, "a room without anybody");
}

#[tokio::test]
async fn a_room_has_a_bounded_number_of_broadcasters() {
    let mut config = config();
    config.limits.max_broadcasters_per_room = 2;
    let server = Server::start(config).await.unwrap();
    for id in ["a", "b"] {
        ok(&add(&server, id).await);
    }
    assert_eq!(add(&server, "c").await.status, 403);
}

#[tokio::test]
async fn a_plain_transport_returns_its_address() {
    let server = server().await;
    ok(&add(&server, "cam").await);
    let transports = format!("{BROADCASTERS}/cam/transports");
    let two_ports = ok(&post(&server, &transports, r#"{ "type": "plain" }"#).await);
    assert_eq!(two_ports["ip"], "127.0.0.1");
    let (port, rtcp_port) = (two_ports["port"].as_u64().unwrap(), two_ports["rtcpPort"].as_u64().unwrap());
    assert!((40_000..50_000).contains(&port) && (40_000..50_000).contains(&rtcp_port), "{two_ports}");
    let one_port = ok(&post(&server, &transports, r#"{ "type": "plain", "rtcpMux": true }"#).await);
    assert_eq!(one_port["rtcpPort"], Value::Null);

    let transport = format!("{transports}/{}", one_port["id"].as_str().unwrap());
    ok(&produce(&server, &transport).await);
    assert_eq!(post(&server, &format!("{transport}/connect"), "{}").await.status, 400);
}

#[tokio::test]
async fn a_plain_transport_without_comedia_is_connected() {
    let mut config = config();
    config.rtc.plain_connect_to = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::start(config).await.unwrap();
    ok(&add(&server, "cam").await);
    let transports = format!("{BROADCASTERS}/cam/transports");
    let created = r#"{ "type": "plain", "comedia": false, "rtcpMux": false }"#;
    let created = ok(&post(&server, &transports, created).await);
    let connect = format!("{transports}/{}/plain-connect", created["id"].as_str().unwrap());
    assert_eq!(post(&server, &connect, r#"{ "ip": "127.0.0.1" }"#).await.status, 400, "without ports");
    let remote = r#"{ "ip": "127.0.0.1", "port": 5004, "rtcpPort": 5005 }"#;
    let connected = ok(&post(&server, &connect, remote).await);
    assert_eq!(connected["tuple"]["localPort"], created["port"]);
    assert_eq!(
        (&connected["tuple"]["remotePort"], &connected["rtcpTuple"]["remotePort"]),
        (&json!(5004), &json!(5005))
    );
    assert_eq!(post(&server, &connect, remote).await.status, 400, "connected already");

    let webrtc = create_transport(&server, "cam").await;
    assert_eq!(post(&server, &format!("{webrtc}/plain-connect"), remote).await.status, 400);
}

#[tokio::test]
async fn an_address_has_a_bounded_number_of_broadcasters_in_all_rooms() {
    let mut config = config();
    config.limits.max_broadcasters_per_address = 2;
    let server = Server::start(config).await.unwrap();
    let about = |id: &str| json!({ "id": id, "displayName": "x", "device": { "name": "x" } }).to_string();
    for room in ["r", "s"] {
        ok(&post(&server, &format!("/rooms/{room}/broadcasters"), &about("cam")).await);
    }
    let refused = post(&server, "/rooms/t/broadcasters", &about("cam")).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(delete(&server, &format!("{BROADCASTERS}/cam")).await.status, 200);
    ok(&post(&server, "/rooms/t/broadcasters", &about("cam")).await);
}

#[tokio::test]
async fn plain_transports_leave_descriptors_to_others() {
    let mut config = config();
    config.limits.max_plain_sockets = 3;
    let server = Server::start(config).await.unwrap();
    ok(&add(&server, "cam").await);
    let transports = format!("{BROADCASTERS}/cam/transports");
    ok(&post(&server, &transports, r#"{ "type": "plain", "rtcpMux": false }"#).await);
    assert_eq!(post(&server, &transports, r#"{ "type": "plain", "rtcpMux": false }"#).await.status, 503);
    ok(&post(&server, &transports, r#"{ "type": "plain", "rtcpMux": true }"#).await);
    create_transport(&server, "cam").await;
    // The sockets are freed at the end of the broadcaster.
    assert_eq!(delete(&server, &format!("{BROADCASTERS}/cam")).await.status, 200);
    ok(&add(&server, "cam").await);
    ok(&post(&server, &transports, r#"{ "type": "plain", "rtcpMux": false }"#).await);
}

#[tokio::test]
async fn a_broadcaster_expires_without_media_and_requests() {
    let mut config = config();
    config.timeouts.broadcaster = Duration::from_secs(2);
    let server = Server::start(config).await.unwrap();
    let (mut a, _) = join(&server, "a").await;
    for id in ["asks", "sends", "silent"] {
        ok(&add(&server, id).await);
    }
    let transports = format!("{BROADCASTERS}/sends/transports");
    let plain = ok(&post(&server, &transports, r#"{ "type": "plain", "rtcpMux": true }"#).await);
    ok(&produce(&server, &format!("{transports}/{}", plain["id"].as_str().unwrap())).await);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = ("127.0.0.1", u16::try_from(plain["port"].as_u64().unwrap()).unwrap());
    let mut often = tokio::time::interval(Duration::from_millis(200));
    let (mut number, mut gone) = (0_u16, Vec::new());
    // Three times the lease: the silent broadcaster has expired, the others have not.
    for _ in 0..30 {
        often.tick().await;
        number += 1;
        let [high, low] = number.to_be_bytes();
        let packet = [0x80, 101, high, low, 0, 0, 0, number as u8, 0, 0, 0x04, 0x57, 1, 2, 3];
        socket.send_to(&packet, to).await.unwrap();
        ok(&get(&server, &format!("{BROADCASTERS}/asks")).await);
    }
    gone.push(a.notification("peerClosed").await["peerId"].clone());
    assert_eq!(gone, [json!("silent")]);
    assert!(!a.unasked().contains(&"peerClosed"), "{:?}", a.unasked());
    // Then all of them are silent.
    for _ in 0..2 {
        gone.push(a.notification("peerClosed").await["peerId"].clone());
    }
    assert!(gone.contains(&json!("asks")) && gone.contains(&json!("sends")), "{gone:?}");
    let peers = Client::connect(&server, "r", "b").await.request("join", join_data("b")).await.unwrap();
    assert_eq!(peers["peers"].as_array().unwrap().len(), 1, "{peers}");
}

/// Errors of a peer and of a broadcaster for the same invalid requests: code and reason.
#[tokio::test]
async fn a_peer_and_a_broadcaster_are_refused_alike() {
    let mut config = config();
    config.limits.max_transports_per_peer = 1;
    config.limits.max_producers_per_peer = 1;
    config.limits.max_data_producers_per_peer = 1;
    let server = Server::start(config).await.unwrap();

    let (transport, mut of_peer) = (json!({ "sctpCapabilities": {} }), Vec::new());
    let mut peer = Client::connect(&server, "r", "a").await;
    let id = peer.request("createWebRtcTransport", transport.clone()).await.unwrap()["id"].clone();
    peer.request("join", join_data("a")).await.unwrap();
    of_peer.push(peer.request("createWebRtcTransport", transport.clone()).await);
    for (method, body) in productions() {
        let mut body = body;
        body["transportId"] = id.clone();
        of_peer.push(peer.request(method, body).await);
    }

    ok(&add(&server, "cam").await);
    let transports = format!("{BROADCASTERS}/cam/transports");
    let mut webrtc = transport;
    webrtc["type"] = "webrtc".into();
    let webrtc = webrtc.to_string();
    let id = ok(&post(&server, &transports, &webrtc).await)["id"].as_str().unwrap().to_owned();
    let mut of_broadcaster = vec![told(&post(&server, &transports, &webrtc).await)];
    for (method, body) in productions() {
        let path = if method == "produce" { "producers" } else { "produce/data" };
        let path = format!("{transports}/{id}/{path}");
        of_broadcaster.push(told(&post(&server, &path, &body.to_string()).await));
    }

    let refused = |all: &[Result<Value, (i64, String)>]| -> Vec<_> {
        all.iter().map(|one| one.as_ref().err().cloned()).collect()
    };
    let expected = |code, reason: &str| Some((code, reason.to_owned()));
    let refusals = refused(&of_peer);
    assert_eq!(refusals, refused(&of_broadcaster));
    assert_eq!(refusals[0], expected(403, "a participant has at most 1 transports"));
    assert_eq!(refusals[1].as_ref().unwrap().0, 400, "no codecs");
    assert_eq!(refusals[2], None);
    assert_eq!(refusals[3], expected(403, "a participant has at most 1 producers"));
    assert_eq!(refusals[4], expected(400, "label has 257 bytes, more than 256"));
    assert!(refusals[5].as_ref().unwrap().1.starts_with("appData has "), "{refusals:?}");
    assert_eq!(refusals[6], None);
    assert_eq!(refusals[7], expected(403, "a participant has at most 1 data producers"));
}

/// Producers and data producers: method of a peer and body.
fn productions() -> Vec<(&'static str, Value)> {
    let audio = |ssrc: u32, codecs: Value| {
        json!({
            "kind": "audio",
            "rtpParameters": { "mid": ssrc.to_string(), "codecs": codecs, "encodings": [{ "ssrc": ssrc }] },
        })
    };
    let opus = json!([{ "mimeType": "audio/opus", "payloadType": 101, "clockRate": 48000, "channels": 2 }]);
    let data = |stream: u16, label: &str, app_data: &str| {
        json!({
            "sctpStreamParameters": { "streamId": stream },
            "label": label,
            "appData": { "x": app_data },
        })
    };
    vec![
        ("produce", audio(1, json!([]))),
        ("produce", audio(1, opus.clone())),
        ("produce", audio(2, opus)),
        ("produceData", data(0, &"x".repeat(257), "")),
        ("produceData", data(0, "x", &"x".repeat(16_384))),
        ("produceData", data(0, "x", "")),
        ("produceData", data(1, "x", "")),
    ]
}

/// Response in the form of a peer's result.
fn told(response: &Response) -> Result<Value, (i64, String)> {
    match response.status {
        200 => Ok(serde_json::from_str(&response.body).unwrap()),
        status => Err((status.into(), response.body.trim_end().to_owned())),
    }
}
