//! Transports, producers and consumers: signalling without media.

use serde_json::{Value, json};
use tureen_server::Server;

use crate::client::{Client, config, join_data, server};

const FINGERPRINT: &str =
    "75:52:D6:C1:2B:3F:29:1A:6C:A6:D8:FE:3C:B6:7E:5A:0B:F7:90:1E:84:4D:13:52:60:AB:CD:EF:01:23:45:67";

/// Connects, creates a sending and a receiving transport, and joins.
async fn joined_with_transports(server: &Server, room: &str, peer: &str) -> (Client, String) {
    let mut client = Client::connect(server, room, peer).await;
    let sending = create_transport(&mut client, json!({ "producing": true, "consuming": false })).await;
    create_transport(&mut client, json!({ "producing": false, "consuming": true })).await;
    client.request("join", join_data(peer)).await.unwrap();
    (client, sending["id"].as_str().unwrap().to_owned())
}

async fn create_transport(client: &mut Client, mut data: Value) -> Value {
    data["forceTcp"] = false.into();
    client.request("createWebRtcTransport", data).await.unwrap()
}

async fn produce(client: &mut Client, transport: &str, ssrc: u32) -> String {
    let data = json!({
        "transportId": transport,
        "kind": "audio",
        "rtpParameters": {
            "mid": "0",
            "codecs": [{
                "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2,
                "parameters": { "useinbandfec": 1 }, "rtcpFeedback": [],
            }],
            "headerExtensions": [],
            "encodings": [{ "ssrc": ssrc }],
            "rtcp": { "cname": "c", "reducedSize": true },
        },
        "appData": { "source": "mic" },
    });
    client.request("produce", data).await.unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_transport_has_what_a_client_needs() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let transport = create_transport(&mut a, json!({ "producing": true, "consuming": false })).await;
    assert!(transport["id"].is_string());
    assert_eq!(transport["iceParameters"]["iceLite"], true);
    let candidates = transport["iceCandidates"].as_array().unwrap();
    assert_eq!(candidates[0]["protocol"], "udp");
    assert_eq!(candidates[0]["address"], "127.0.0.1");
    assert_ne!(candidates[0]["port"], 0);
    assert!(!transport["dtlsParameters"]["fingerprints"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_transport_over_tcp_alone_offers_tcp_candidates() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let data = json!({ "forceTcp": true, "producing": true, "consuming": false });
    let transport = a.request("createWebRtcTransport", data).await.unwrap();
    let candidates = transport["iceCandidates"].as_array().unwrap();
    assert!(!candidates.is_empty());
    let is_tcp = |candidate: &Value| candidate["protocol"] == "tcp" && candidate["tcpType"] == "passive";
    assert!(candidates.iter().all(is_tcp), "{candidates:?}");
    // The port accepts connections.
    let port = u16::try_from(candidates[0]["port"].as_u64().unwrap()).unwrap();
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
}

#[tokio::test]
async fn rooms_are_spread_over_the_workers() {
    let mut config = config();
    config.workers = 3;
    let server = Server::start(config).await.unwrap();
    let mut clients = Vec::new();
    let mut ports = std::collections::BTreeSet::new();
    for room in ["r", "s", "t"] {
        let mut client = Client::connect(&server, room, "a").await;
        let transport = create_transport(&mut client, json!({ "producing": true })).await;
        ports.insert(transport["iceCandidates"][0]["port"].as_u64().unwrap());
        clients.push(client);
    }
    assert_eq!(ports.len(), 3);
}

#[tokio::test]
async fn a_transport_connects_once() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let transport = create_transport(&mut a, json!({ "producing": true, "consuming": false })).await;
    let data = json!({
        "transportId": transport["id"],
        "dtlsParameters": {
            "role": "client",
            "fingerprints": [{ "algorithm": "sha-256", "value": FINGERPRINT }],
        },
        "iceParameters": { "usernameFragment": "x", "password": "y" },
    });
    assert_eq!(a.request("connectWebRtcTransport", data.clone()).await.unwrap(), json!({}));
    a.request("connectWebRtcTransport", data.clone()).await.unwrap_err();

    let mut unknown = data;
    unknown["transportId"] = "00000000-0000-0000-0000-000000000001".into();
    let (code, reason) = a.request("connectWebRtcTransport", unknown).await.unwrap_err();
    assert_eq!(code, 404, "{reason}");
    assert!(reason.contains("00000000-0000-0000-0000-000000000001"), "{reason}");
}

#[tokio::test]
async fn restarting_ice_gives_new_credentials() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let transport = create_transport(&mut a, json!({ "producing": true, "consuming": false })).await;
    let ice = a.request("restartIce", json!({ "transportId": transport["id"] })).await.unwrap();
    assert!(ice["usernameFragment"].is_string());
    assert_ne!(ice["usernameFragment"], transport["iceParameters"]["usernameFragment"]);
}

#[tokio::test]
async fn a_peer_has_a_bounded_number_of_transports() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    for _ in 0..8 {
        create_transport(&mut a, json!({ "producing": true })).await;
    }
    let (code, reason) = a.request("createWebRtcTransport", json!({ "producing": true })).await.unwrap_err();
    assert_eq!(code, 403, "{reason}");
}

#[tokio::test]
async fn a_producer_is_announced_to_the_others() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    let producer = produce(&mut a, &sending, 1111).await;

    let (request, consumer) = b.server_request("newConsumer").await;
    assert_eq!(consumer["peerId"], "a");
    assert_eq!(consumer["producerId"], producer.as_str());
    assert_eq!(consumer["kind"], "audio");
    assert_eq!(consumer["type"], "simple");
    assert_eq!(consumer["producerPaused"], false);
    assert_eq!(consumer["appData"], json!({ "source": "mic", "peerId": "a" }));
    assert_eq!(consumer["rtpParameters"]["codecs"][0]["mimeType"], "audio/opus");
    assert!(consumer["rtpParameters"]["encodings"][0]["ssrc"].is_u64());
    b.answer(request).await;

    let score = b.notification("consumerScore").await;
    assert_eq!(score["consumerId"], consumer["id"]);
    assert!(score["score"]["producerScores"].is_array(), "{score}");
    let stats = b.request("getConsumerStats", json!({ "consumerId": consumer["id"] })).await.unwrap();
    assert!(stats.is_array(), "{stats}");
    let stats = a.request("getTransportStats", json!({ "transportId": sending })).await.unwrap();
    assert_eq!(stats[0]["transportId"], sending.as_str());
}

#[tokio::test]
async fn a_late_peer_consumes_existing_producers() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let producer = produce(&mut a, &sending, 1111).await;
    a.request("pauseProducer", json!({ "producerId": producer })).await.unwrap();

    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    let (_, consumer) = b.server_request("newConsumer").await;
    assert_eq!(consumer["producerId"], producer.as_str());
    assert_eq!(consumer["producerPaused"], true);
}

#[tokio::test]
async fn a_peer_that_prepares_gets_consumers_before_it_joins_and_media_afterwards() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut c, sending_of_c) = joined_with_transports(&server, "r", "c").await;
    a.notification("newPeer").await;
    let producer = produce(&mut a, &sending, 1111).await;

    let mut b = Client::connect(&server, "r", "b").await;
    create_transport(&mut b, json!({ "producing": false, "consuming": true })).await;
    let prepare = json!({ "rtpCapabilities": join_data("b")["rtpCapabilities"] });
    b.request("prepare", prepare.clone()).await.unwrap();
    let (request, first) = b.server_request("newConsumer").await;
    assert_eq!(first["producerId"], producer.as_str());
    b.answer(request).await;
    // A producer that is created while the peer prepares is announced too.
    let later = produce(&mut c, &sending_of_c, 2222).await;
    let (request, second) = b.server_request("newConsumer").await;
    assert_eq!(second["producerId"], later.as_str());
    b.answer(request).await;
    b.request("getConsumerStats", json!({ "consumerId": second["id"] })).await.unwrap();
    assert!(!b.unasked().contains(&"consumerScore"), "no media before the join: {:?}", b.unasked());
    a.request("getTransportStats", json!({ "transportId": sending })).await.unwrap();
    assert!(!a.unasked().contains(&"newPeer"), "nobody hears of a peer that prepares: {:?}", a.unasked());

    b.request("join", join_data("b")).await.unwrap();
    let mut resumed = [b.notification("consumerScore").await, b.notification("consumerScore").await]
        .map(|score| score["consumerId"].clone());
    resumed.sort_by_key(|id| *id != first["id"]);
    assert_eq!(resumed, [first["id"].clone(), second["id"].clone()]);
    a.notification("newPeer").await;
    assert_eq!(b.request("prepare", prepare).await.unwrap_err().0, 403);
    assert!(!b.unasked().contains(&"newConsumer"), "each is announced once: {:?}", b.unasked());
}

#[tokio::test]
async fn preparing_without_rtp_capabilities_is_an_error() {
    let server = server().await;
    let mut b = Client::connect(&server, "r", "b").await;
    let (code, reason) = b.request("prepare", json!({})).await.unwrap_err();
    assert!(code == 400 && reason.contains("rtpCapabilities"), "{code} {reason}");
}

#[tokio::test]
async fn consumers_follow_their_producer() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    let producer = json!({ "producerId": produce(&mut a, &sending, 1111).await });
    let (request, consumer) = b.server_request("newConsumer").await;
    b.answer(request).await;
    b.notification("consumerScore").await;
    let about = json!({ "consumerId": consumer["id"] });

    a.request("pauseProducer", producer.clone()).await.unwrap();
    assert_eq!(b.notification("consumerPaused").await, about);
    a.request("resumeProducer", producer.clone()).await.unwrap();
    assert_eq!(b.notification("consumerResumed").await, about);
    b.request("pauseConsumer", about.clone()).await.unwrap();
    b.request("resumeConsumer", about.clone()).await.unwrap();
    b.request("setConsumerPriority", json!({ "consumerId": consumer["id"], "priority": 7 })).await.unwrap();

    a.request("closeProducer", producer.clone()).await.unwrap();
    assert_eq!(b.notification("consumerClosed").await, about);
    assert_eq!(b.request("pauseConsumer", about).await.unwrap_err().0, 404);
    assert_eq!(a.request("pauseProducer", producer).await.unwrap_err().0, 404);
}

#[tokio::test]
async fn requests_about_one_producer_run_in_their_order() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    let producer = json!({ "producerId": produce(&mut a, &sending, 1111).await });
    let (request, _) = b.server_request("newConsumer").await;
    b.answer(request).await;
    b.notification("consumerScore").await;

    let mut sent = Vec::new();
    for method in ["pauseProducer", "resumeProducer", "pauseProducer", "resumeProducer", "closeProducer"] {
        sent.push(a.send_request(method, producer.clone()).await);
    }
    for id in sent {
        a.response(id).await.unwrap();
    }
    b.notification("consumerClosed").await;
    let heard: Vec<_> = b.unasked().into_iter().filter(|method| method.starts_with("consumer")).collect();
    assert_eq!(heard, ["consumerPaused", "consumerResumed", "consumerPaused", "consumerResumed"]);
}

#[tokio::test]
async fn a_closed_producer_makes_room_for_the_next_despite_pending_requests() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let mut others = Vec::new();
    for name in ["b", "c", "d", "e"] {
        others.push(joined_with_transports(&server, "r", name).await);
    }
    let mut producer = produce(&mut a, &sending, 1).await;
    for round in 0..40 {
        // At this moment other peers get the consumers of the producer, and its statistics are requested.
        let about = json!({ "producerId": producer });
        let stats = a.send_request("getProducerStats", about.clone()).await;
        let close = a.send_request("closeProducer", about).await;
        if round % 2 == 0 {
            a.response(close).await.unwrap();
        }
        producer = produce(&mut a, &sending, 1).await;
        if round % 2 == 1 {
            a.response(close).await.unwrap();
        }
        let _ = a.response(stats).await;
    }
}

#[tokio::test]
async fn answers_have_the_keys_of_mediasoups_node_library() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    let transport = create_transport(&mut b, json!({ "producing": true, "sctpCapabilities": {} })).await;
    assert_keys(
        &transport,
        &["id", "iceParameters", "iceCandidates", "dtlsParameters", "sctpParameters"],
        &[],
    );
    assert_keys(&transport["iceParameters"], &["usernameFragment", "password", "iceLite"], &[]);
    assert_keys(&transport["dtlsParameters"], &["role", "fingerprints"], &[]);
    let candidate = &transport["iceCandidates"][0];
    let keys = ["foundation", "priority", "ip", "address", "protocol", "port", "type"];
    assert_keys(candidate, &keys, &["tcpType"]);
    assert_eq!(candidate["ip"], candidate["address"]);

    let producer = produce(&mut a, &sending, 1111).await;
    let (request, consumer) = b.server_request("newConsumer").await;
    b.answer(request).await;
    let keys = ["peerId", "producerId", "id", "kind", "rtpParameters", "type", "appData", "producerPaused"];
    assert_keys(&consumer, &keys, &[]);
    let parameters = &consumer["rtpParameters"];
    assert_keys(parameters, &["codecs", "headerExtensions", "encodings", "rtcp", "mid"], &["msid"]);
    for extension in parameters["headerExtensions"].as_array().unwrap() {
        assert_keys(extension, &["uri", "id", "encrypt", "parameters"], &[]);
    }

    let of = |key: &str, id: &Value| json!({ key: id });
    let stats = a.request("getTransportStats", of("transportId", &sending.into())).await.unwrap();
    let keys = [
        "type",
        "transportId",
        "timestamp",
        "bytesReceived",
        "recvBitrate",
        "bytesSent",
        "sendBitrate",
        "rtpBytesReceived",
        "rtpRecvBitrate",
        "rtpBytesSent",
        "rtpSendBitrate",
        "rtxBytesReceived",
        "rtxRecvBitrate",
        "rtxBytesSent",
        "rtxSendBitrate",
        "probationBytesSent",
        "probationSendBitrate",
        "iceRole",
        "iceState",
        "dtlsState",
    ];
    let maybe = [
        "sctpState",
        "availableOutgoingBitrate",
        "availableIncomingBitrate",
        "maxIncomingBitrate",
        "maxOutgoingBitrate",
        "minOutgoingBitrate",
        "rtpPacketLossReceived",
        "rtpPacketLossSent",
        "iceSelectedTuple",
        "roundTripTime",
    ];
    assert_keys(&stats[0], &keys, &maybe);
    assert_eq!(stats[0]["type"], "webrtc-transport");
    let stats = a.request("getProducerStats", of("producerId", &producer.into())).await.unwrap();
    assert_eq!(stats, json!([]), "no packet has come");
    let stats = b.request("getConsumerStats", of("consumerId", &consumer["id"])).await.unwrap();
    let keys = [
        "type",
        "timestamp",
        "ssrc",
        "kind",
        "mimeType",
        "packetsLost",
        "fractionLost",
        "jitter",
        "packetsDiscarded",
        "packetsRetransmitted",
        "packetsRepaired",
        "nackCount",
        "nackPacketCount",
        "pliCount",
        "firCount",
        "packetCount",
        "byteCount",
        "bitrate",
        "score",
    ];
    assert_keys(&stats[0], &keys, &["rtxSsrc", "rid", "roundTripTime", "rtxPacketsDiscarded"]);
    assert_eq!(stats[0]["type"], "outbound-rtp");

    let data = json!({
        "transportId": transport["id"], "sctpStreamParameters": { "streamId": 1 }, "label": "chat", "protocol": "",
        "appData": {},
    });
    let data_producer = b.request("produceData", data).await.unwrap();
    let stats = b.request("getDataProducerStats", of("dataProducerId", &data_producer["id"])).await.unwrap();
    let keys = ["type", "timestamp", "label", "protocol", "messagesReceived", "bytesReceived"];
    assert_keys(&stats[0], &keys, &[]);
    assert_eq!(stats[0]["type"], "data-producer");
}

/// Asserts that `object` has each of `keys`, maybe some of `maybe`, no other keys, and no null.
#[track_caller]
fn assert_keys(object: &Value, keys: &[&str], maybe: &[&str]) {
    let members = object.as_object().unwrap();
    for key in keys {
        assert!(members.contains_key(*key), "{key} is missing in {object}");
    }
    for (key, value) in members {
        assert!(keys.contains(&&**key) || maybe.contains(&&**key), "{key} is too much in {object}");
        assert!(!value.is_null(), "{key} is null in {object}");
    }
}

#[tokio::test]
async fn optional_fields_may_be_null_or_missing() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let transport = create_transport(&mut a, json!({ "producing": true, "sctpCapabilities": null })).await;
    assert!(transport.get("sctpParameters").is_none(), "{transport}");
    let fingerprints = json!([{ "algorithm": "sha-256", "value": FINGERPRINT }]);
    let connect =
        json!({ "transportId": transport["id"], "dtlsParameters": { "fingerprints": fingerprints } });
    a.request("connectWebRtcTransport", connect).await.unwrap();

    let mut join = join_data("a");
    join["sctpCapabilities"] = Value::Null;
    join["rtpCapabilities"]["codecs"].as_array_mut().unwrap().extend([
        json!({ "mimeType": "audio/opus", "clockRate": 48000, "channels": null, "parameters": null }),
        json!({ "kind": "video", "mimeType": "video/flexfec-03", "clockRate": 90000, "preferredPayloadType": 49 }),
    ]);
    join["rtpCapabilities"]["headerExtensions"] = json!([{ "uri": "urn:example:unknown", "preferredId": 9 }, { "uri": "urn:3gpp:video-orientation", "preferredId": 4 }]);
    a.request("join", join).await.unwrap();
    let produce = json!({
        "transportId": transport["id"],
        "kind": "audio",
        "rtpParameters": {
            "mid": null,
            "codecs": [{
                "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2, "parameters": null,
                "rtcpFeedback": [{ "type": "transport-cc", "parameter": null }],
            }],
            "headerExtensions": [{ "uri": "urn:3gpp:video-orientation", "id": 4, "encrypt": null, "parameters": null }],
            "encodings": [{ "ssrc": 7, "rid": null, "rtx": null, "dtx": null, "scalabilityMode": null, "maxBitrate": null }],
            "rtcp": null,
        },
        "appData": null,
    });
    a.request("produce", produce).await.unwrap();
}

/// Change that makes parameters invalid.
type Spoil<'a> = &'a dyn Fn(&mut Value);

#[tokio::test]
async fn impossible_parameters_are_refused_by_name() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut parameters = json!({
            "mid": "0",
            "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }],
            "encodings": [{ "ssrc": 7 }],
        });
        change(&mut parameters);
        json!({ "transportId": sending, "kind": "audio", "rtpParameters": parameters })
    };
    let cases: [(Spoil<'_>, &str); 6] = [
        (&|p| p["codecs"][0]["payloadType"] = 128.into(), "payloadType 128"),
        (&|p| p["codecs"][0]["payloadType"] = 256.into(), "256"),
        (&|p| p["codecs"][0]["mimeType"] = "audio/nonsense".into(), "audio/nonsense"),
        (&|p| p["encodings"] = json!([{ "ssrc": 7 }, { "ssrc": 7 }]), "ssrc 7"),
        (&|p| p["encodings"][0]["rtx"] = json!({ "ssrc": 7 }), "ssrc 7"),
        (&|p| p["rtcp"] = json!({ "cname": "c".repeat(1000) }), "cname"),
    ];
    for (change, part) in cases {
        let (_, reason) = a.request("produce", with(change)).await.unwrap_err();
        assert!(reason.contains(part) && reason.len() < 300, "{reason}");
    }
    a.request("produce", with(&|_| ())).await.unwrap();
    let mut capabilities = join_data("x")["rtpCapabilities"].clone();
    let codec = capabilities["codecs"][0].clone();
    capabilities["codecs"] = vec![codec; 3000].into();
    let mut b = Client::connect(&server, "r", "b").await;
    let (code, reason) = b.request("prepare", json!({ "rtpCapabilities": capabilities })).await.unwrap_err();
    assert!(code == 400 && reason.contains("3000 codecs"), "{code} {reason}");
}

#[tokio::test]
async fn replicas_are_additional_consumers() {
    let mut config = config();
    config.limits.max_consumer_replicas = 10;
    let server = Server::start(config).await.unwrap();
    let path = "/?roomId=r&peerId=b&consumerReplicas=2";
    let mut b = Client::try_connect(server.local_addr(), path, Some("protoo")).await.unwrap();
    create_transport(&mut b, json!({ "producing": false, "consuming": true })).await;
    b.request("join", join_data("b")).await.unwrap();
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    produce(&mut a, &sending, 1111).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(b.server_request("newConsumer").await.1["id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn without_a_setting_there_are_no_replicas() {
    let server = server().await;
    let path = "/?roomId=r&peerId=b&consumerReplicas=10";
    let mut b = Client::try_connect(server.local_addr(), path, Some("protoo")).await.unwrap();
    create_transport(&mut b, json!({ "producing": false, "consuming": true })).await;
    b.request("join", join_data("b")).await.unwrap();
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    produce(&mut a, &sending, 1111).await;
    let (request, consumer) = b.server_request("newConsumer").await;
    b.answer(request).await;
    assert_eq!(b.notification("consumerScore").await["consumerId"], consumer["id"]);
    assert!(!b.unasked().contains(&"newConsumer"), "{:?}", b.unasked());
}

#[tokio::test]
async fn a_room_has_a_bounded_number_of_consumers() {
    let mut config = config();
    config.limits.max_consumers_per_room = 1;
    let server = Server::start(config).await.unwrap();
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    let first = produce(&mut a, &sending, 1111).await;
    let (request, consumer) = b.server_request("newConsumer").await;
    b.answer(request).await;
    b.notification("consumerScore").await;
    let other = create_transport(&mut a, json!({ "producing": true, "consuming": false })).await;
    let _second = produce(&mut a, other["id"].as_str().unwrap(), 2222).await;
    a.request("closeProducer", json!({ "producerId": first })).await.unwrap();
    assert_eq!(b.notification("consumerClosed").await, json!({ "consumerId": consumer["id"] }));
    assert!(!b.unasked().contains(&"newConsumer"), "{:?}", b.unasked());
    // The closed consumer has freed its place.
    let third = produce(&mut a, &sending, 3333).await;
    assert_eq!(b.server_request("newConsumer").await.1["producerId"], third.as_str());
}

#[tokio::test]
async fn a_peer_that_leaves_takes_its_producers_along() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    produce(&mut a, &sending, 1111).await;
    let (request, consumer) = b.server_request("newConsumer").await;
    b.answer(request).await;
    a.leave().await;
    assert_eq!(b.notification("consumerClosed").await, json!({ "consumerId": consumer["id"] }));
    assert_eq!(b.notification("peerClosed").await, json!({ "peerId": "a" }));
}

#[tokio::test]
async fn a_client_that_refuses_a_consumer_has_none() {
    let server = server().await;
    let (mut a, sending) = joined_with_transports(&server, "r", "a").await;
    let (mut b, _) = joined_with_transports(&server, "r", "b").await;
    produce(&mut a, &sending, 1111).await;
    let (request, consumer) = b.server_request("newConsumer").await;
    let refusal = json!({ "response": true, "id": request, "errorCode": 403, "errorReason": "no" });
    b.send(refusal.to_string()).await;
    assert_eq!(b.notification("consumerClosed").await, json!({ "consumerId": consumer["id"] }));
}

#[tokio::test]
async fn producing_before_joining_is_refused() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let transport = create_transport(&mut a, json!({ "producing": true })).await;
    let data = json!({
        "transportId": transport["id"],
        "kind": "audio",
        "rtpParameters": { "codecs": [], "headerExtensions": [], "encodings": [], "rtcp": {} },
        "appData": {},
    });
    assert_eq!(a.request("produce", data).await.unwrap_err().0, 403);
}
