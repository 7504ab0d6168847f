//! Data channels: signalling without SCTP.

use serde_json::{Value, json};
use tureen_server::Server;

use crate::client::{Client, delete, join_data, post, server};

/// Connects, creates a sending and a receiving transport with SCTP, and joins. Returns the id of the sending one.
async fn join(server: &Server, peer: &str) -> (Client, Value) {
    let mut client = Client::connect(server, "r", peer).await;
    let mut ids = Vec::new();
    for producing in [true, false] {
        let asked = json!({
            "forceTcp": false, "producing": producing, "consuming": !producing, "sctpCapabilities": {},
        });
        let transport = client.request("createWebRtcTransport", asked).await.unwrap();
        let sctp = &transport["sctpParameters"];
        assert_eq!((&sctp["port"], &sctp["isDataChannel"]), (&json!(5000), &json!(true)), "{sctp}");
        assert_eq!(sctp["maxReceiveMessageSize"], 262_144);
        ids.push(transport["id"].clone());
    }
    let mut data = join_data(peer);
    data["sctpCapabilities"] = json!({});
    client.request("join", data).await.unwrap();
    (client, ids.swap_remove(0))
}

async fn produce(client: &mut Client, transport: &Value, stream: u16, label: &str) -> Value {
    let data = json!({
        "transportId": transport,
        "sctpStreamParameters": { "streamId": stream, "maxRetransmits": 3 },
        "label": label,
        "protocol": "p",
        "appData": { "x": 1 },
    });
    client.request("produceData", data).await.unwrap()["id"].clone()
}

/// Next data consumer that is not the bot's.
async fn consumed(client: &mut Client) -> Value {
    let (request, consumer) = client.server_request("newDataConsumer").await;
    client.answer(request).await;
    consumer
}

#[tokio::test]
async fn chat_reaches_all_peers_and_other_labels_reach_later_ones_too() {
    let server = server().await;
    let (mut a, sending) = join(&server, "a").await;
    let bot = consumed(&mut a).await;
    assert_eq!((&bot["peerId"], &bot["label"]), (&Value::Null, &json!("bot")));

    let (mut b, _) = join(&server, "b").await;
    assert_eq!(consumed(&mut b).await["label"], "bot");
    let other = produce(&mut a, &sending, 0, "other").await;
    produce(&mut a, &sending, 1, "bot").await;
    let chat = produce(&mut a, &sending, 2, "chat").await;

    let consumer = consumed(&mut b).await;
    assert_eq!(consumer["dataProducerId"], chat);
    assert_eq!((&consumer["peerId"], &consumer["protocol"]), (&json!("a"), &json!("p")));
    assert_eq!(consumer["appData"], json!({ "x": 1 }));
    let stream = &consumer["sctpStreamParameters"];
    assert_eq!((&stream["ordered"], &stream["maxRetransmits"]), (&json!(false), &json!(3)));

    let (mut late, _) = join(&server, "late").await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(consumed(&mut late).await["dataProducerId"].clone());
    }
    assert!(
        heard.contains(&other) && heard.contains(&chat) && heard.contains(&bot["dataProducerId"]),
        "{heard:?}"
    );

    let stats = json!({ "dataProducerId": chat });
    assert_eq!(a.request("getDataProducerStats", stats).await.unwrap()[0]["label"], "chat");
    let stats = json!({ "dataConsumerId": consumer["id"] });
    assert_eq!(b.request("getDataConsumerStats", stats).await.unwrap()[0]["messagesSent"], 0);

    a.leave().await;
    assert_eq!(b.notification("dataConsumerClosed").await, json!({ "dataConsumerId": consumer["id"] }));
}

#[tokio::test]
async fn data_of_a_broadcaster_is_forwarded_like_that_of_a_peer() {
    const BROADCASTERS: &str = "/rooms/r/broadcasters";
    let server = server().await;
    let (mut early, _) = join(&server, "early").await;
    consumed(&mut early).await;

    let about = json!({ "id": "cam", "displayName": "Camera", "device": { "name": "GStreamer" } });
    created(&server, BROADCASTERS, &about).await;
    let transports = format!("{BROADCASTERS}/cam/transports");
    let asked = json!({ "type": "webrtc", "sctpCapabilities": {} });
    let transport = created(&server, &transports, &asked).await["id"].as_str().unwrap().to_owned();
    let produce = async |stream: u16, label: &str| {
        let asked = json!({
            "sctpStreamParameters": { "streamId": stream, "ordered": true },
            "label": label,
            "appData": { "x": 1 },
        });
        let path = format!("{transports}/{transport}/produce/data");
        created(&server, &path, &asked).await["id"].clone()
    };
    let other = produce(0, "telemetry").await;
    produce(1, "bot").await;
    let chat = produce(2, "chat").await;

    let consumer = consumed(&mut early).await;
    assert_eq!((&consumer["peerId"], &consumer["dataProducerId"]), (&json!("cam"), &chat));
    assert_eq!(consumer["appData"], json!({ "x": 1 }));

    let (mut late, _) = join(&server, "late").await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(consumed(&mut late).await["dataProducerId"].clone());
    }
    assert!(heard.contains(&other) && heard.contains(&chat), "{heard:?}");

    assert_eq!(delete(&server, &format!("{BROADCASTERS}/cam")).await.status, 200);
    assert_eq!(early.notification("dataConsumerClosed").await, json!({ "dataConsumerId": consumer["id"] }));
}

async fn created(server: &Server, path: &str, asked: &Value) -> Value {
    let response = post(server, path, &asked.to_string()).await;
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

#[tokio::test]
async fn peers_without_sctp_get_no_data_consumers() {
    let server = server().await;
    let (mut a, sending) = join(&server, "a").await;
    consumed(&mut a).await;
    let mut b = Client::connect(&server, "r", "b").await;
    let transport = json!({ "forceTcp": false, "producing": false, "consuming": true });
    let transport = b.request("createWebRtcTransport", transport).await.unwrap();
    assert_eq!(transport["sctpParameters"], Value::Null);
    b.request("join", join_data("b")).await.unwrap();
    produce(&mut a, &sending, 0, "chat").await;
    a.leave().await;
    b.notification("peerClosed").await;
    assert!(b.unasked().is_empty(), "{:?}", b.unasked());
}
