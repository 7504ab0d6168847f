//! Attacks by the HTTP API for broadcasters.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{net::UdpSocket, time::timeout};
use tureen_server::Server;

use crate::{
    Scene,
    client::{Client, Response, delete, get, post},
};

fn ok(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

async fn add(server: &Server, room: &str, id: &str) -> Response {
    let capabilities = ok(&get(server, "/rooms/call").await);
    let about =
        json!({ "id": id, "displayName": "x", "device": { "name": "x" }, "rtpCapabilities": capabilities });
    post(server, &format!("/rooms/{room}/broadcasters"), &about.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_broadcasters_leaves_room_for_peers_and_expires() {
    let scene = Scene::new(|config| {
        config.timeouts.broadcaster = Duration::from_secs(1);
        // The limit of requests is raised, because the attack is on the state that requests create.
        config.limits.max_requests_per_address_per_s = 10_000;
    })
    .await;
    let server = &scene.server;
    let mut refused = 0;
    for number in 0..200 {
        let added = add(server, &format!("room-{number}"), "x").await;
        match added.status {
            200 => {
                let transports = format!("/rooms/room-{number}/broadcasters/x/transports");
                for _ in 0..9 {
                    post(server, &transports, r#"{ "type": "plain", "rtcpMux": false }"#).await;
                }
            }
            status => {
                assert_eq!(status, 403, "{}", added.body);
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused} of 200");
    let mut peer = Client::join(server, "people", "a").await;
    let transport = json!({ "producing": true, "consuming": false, "forceTcp": false });
    peer.request("createWebRtcTransport", transport).await.unwrap();
    // Rooms and sockets of expired broadcasters are freed.
    let all_gone = async {
        loop {
            let routers = server.workers()[0].dump().await.unwrap().router_ids.len();
            if routers == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), all_gone).await.unwrap();
    drop(peer);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasters_that_come_and_go_do_not_flood_the_room() {
    let scene = Scene::new(|_| {}).await;
    let server = &scene.server;
    let mut peer = Client::join(server, "r", "a").await;
    let about = json!({ "id": "x", "displayName": "x", "device": { "name": "x" } }).to_string();
    let mut refused = 0;
    for _ in 0..300 {
        refused += usize::from(post(server, "/rooms/r/broadcasters", &about).await.status == 429);
        refused += usize::from(delete(server, "/rooms/r/broadcasters/x").await.status == 429);
    }
    peer.request("getRouterRtpCapabilities", json!({})).await.unwrap();
    let heard = peer.unasked().iter().filter(|method| **method == "newPeer").count();
    println!("{heard} comings of 300, {refused} of 600 requests refused");
    assert!(heard > 50 && heard < 250 && refused > 100, "{heard} comings, {refused} refused");
    drop(peer);
    scene.end().await;
}

/// Creates a plain transport that consumes the call's media, connects it to `remote`, and returns the response, the
/// path for consuming, and the transport's port.
async fn aim(server: &Server, id: &str, remote: Value) -> (Response, String, u16) {
    let peers = ok(&add(server, "call", id).await);
    let speaker = peers["peers"].as_array().unwrap().iter().find(|peer| peer["id"] == "speaker").unwrap();
    let producer = speaker["producers"][0]["id"].as_str().unwrap();
    let transports = format!("/rooms/call/broadcasters/{id}/transports");
    let transport = r#"{ "type": "plain", "comedia": false, "rtcpMux": true }"#;
    let transport = ok(&post(server, &transports, transport).await);
    let path = format!("{transports}/{}", transport["id"].as_str().unwrap());
    let connected = post(server, &format!("{path}/plain-connect"), &remote.to_string()).await;
    let port = u16::try_from(transport["port"].as_u64().unwrap()).unwrap();
    (connected, format!("{path}/consume?producerId={producer}"), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn media_is_sent_to_an_address_only_after_it_has_sent_something() {
    let scene = Scene::new(|_| {}).await;
    let server = &scene.server;
    let victim = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let remote = json!({ "ip": "127.0.0.1", "port": victim.local_addr().unwrap().port() });
    let (connected, consume, port) = aim(server, "rec", remote).await;
    assert_eq!(
        ok(&connected)["tuple"]["remotePort"],
        Value::Null,
        "it is not known yet whether it wants that"
    );
    ok(&post(server, &consume, "").await);
    assert_eq!(post(server, &consume, "").await.status, 400, "each producer once by each transport");
    // Datagrams of another address have no effect.
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = [0; 2048];
    for _ in 0..20 {
        stranger.send_to(b"hello", ("127.0.0.1", port)).await.unwrap();
        let unasked = timeout(Duration::from_millis(25), victim.recv(&mut buffer)).await;
        assert!(unasked.is_err(), "{} bytes to a socket that never spoke", unasked.unwrap().unwrap());
    }
    assert!(stranger.try_recv(&mut buffer).is_err());
    victim.send_to(b"hello", ("127.0.0.1", port)).await.unwrap();
    for _ in 0..10 {
        timeout(Duration::from_secs(10), victim.recv(&mut buffer)).await.unwrap().unwrap();
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_is_sent_to_no_special_address_but_to_configured_ones_at_once() {
    let scene = Scene::new(|config| {
        config.rtc.plain_connect_to = vec!["127.0.0.1".parse().unwrap()];
        config.limits.max_broadcasters_per_address = 100;
    })
    .await;
    let server = &scene.server;
    for (number, special) in
        ["255.255.255.255", "224.0.0.1", "169.254.0.1", "0.0.0.0", "::ffff:224.0.0.1"].iter().enumerate()
    {
        let remote = json!({ "ip": special, "port": 5004 });
        let (refused, ..) = aim(server, &format!("rec-{number}"), remote).await;
        assert_eq!(refused.status, 403, "{special}: {}", refused.body);
        assert!(refused.body.contains("plain_connect_to"), "{}", refused.body);
    }
    let (refused, ..) = aim(server, "port-0", json!({ "ip": "127.0.0.1", "port": 0 })).await;
    assert_eq!(refused.status, 400, "{}", refused.body);

    let recorder = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let remote = json!({ "ip": "127.0.0.1", "port": recorder.local_addr().unwrap().port() });
    let (connected, consume, _) = aim(server, "rec", remote).await;
    ok(&connected);
    ok(&post(server, &consume, "").await);
    timeout(Duration::from_secs(10), recorder.recv(&mut [0; 2048])).await.unwrap().unwrap();
    scene.end().await;
}
