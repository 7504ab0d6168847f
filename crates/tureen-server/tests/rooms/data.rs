//! Data channels, as far as they go without SCTP.

use serde_json::{Value, json};
use tureen_server::Server;

use crate::client::{Client, join_data, server};

/// Connects, makes a sending and a receiving transport with SCTP, joins; the id of the sending one.
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

/// The next data consumer other than that of the bot.
async fn consumed(client: &mut Client) -> Value {
    let (request, consumer) = client.server_request("newDataConsumer").await;
    client.answer(request).await;
    consumer
}

#[tokio::test]
async fn the_chat_is_heard_by_all_and_other_labels_by_those_who_come_later() {
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
async fn who_takes_no_data_hears_of_none() {
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
