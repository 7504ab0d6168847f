//! Attacks by signalling.
#![expect(clippy::disallowed_methods, reason = "tests may read the clock")]

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{Scene, client::Client};

/// A joined peer that stops reading, with the smallest receive buffer that the system allows.
async fn deaf(scene: &Scene, peer: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    let mut stream = socket.connect(scene.server.local_addr()).await.unwrap();
    let upgrade = format!(
        "GET /?roomId=r&peerId={peer} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: protoo\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let join = json!({
        "request": true, "id": 1, "method": "join", "data": { "displayName": peer, "device": {} },
    });
    let join = join.to_string();
    // One masked text frame (RFC 6455 §5.2); the mask is zero.
    let mut frame = vec![0x81, 0x80 | u8::try_from(join.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(join.as_bytes());
    stream.write_all(&frame).await.unwrap();
    // Waits for the response to `join`.
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains("\"response\":true") {
        let mut buffer = [0; 1024];
        let len = stream.read(&mut buffer).await.unwrap();
        assert_ne!(len, 0, "{}", String::from_utf8_lossy(&received));
        received.extend(&buffer[..len]);
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_do_not_read_are_closed_and_the_others_do_not_notice() {
    // Requests are sent without a rate limit, because the attack is on the queues.
    let scene = Scene::new(|config| {
        config.limits.max_requests_per_s = 1_000_000;
        config.limits.max_received_bytes_per_s = 100 << 20;
        config.limits.max_queued_messages = 1 << 20;
    })
    .await;
    let mut listener = Client::join(&scene.server, "r", "listener").await;
    let mut talker = Client::join(&scene.server, "r", "talker").await;
    let deaf = [deaf(&scene, "deaf-1").await, deaf(&scene, "deaf-2").await];
    listener.notification("newPeer").await;

    let (mut closed, mut most) = (0, 0);
    let mut named = 0_u32;
    while closed < 2 {
        named += 1;
        assert!(named < 20_000, "nobody is closed after {named} names; {most} bytes more than before");
        let name = format!("{named:0>256}");
        talker.request("changeDisplayName", json!({ "displayName": name })).await.unwrap();
        // The listener gets every notification, and those about the closed peers.
        let heard = listener.notification("peerDisplayNameChanged").await;
        assert_eq!(heard["displayName"], name.as_str());
        closed = listener.unasked().iter().filter(|method| **method == "peerClosed").count();
        most = most.max(scene.growth());
    }
    println!("two peers closed after {named} names, at most {most} bytes more than before");
    assert!(most < 8 << 20, "{most} bytes more than before, for two queues of 2 MiB");
    drop((talker, listener, deaf));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_is_read_at_the_limited_rate() {
    let scene = Scene::new(|_| {}).await;
    let mut other = Client::join(&scene.server, "r", "other").await;
    let mut flooder = Client::join(&scene.server, "r", "flooder").await;
    let start = Instant::now();
    let flood = tokio::spawn(async move {
        // Ends when the server reads no more.
        let mut number = 0_u32;
        loop {
            number += 1;
            flooder
                .send_request("changeDisplayName", json!({ "displayName": format!("{number:0>200}") }))
                .await;
        }
    });
    // Another client is served normally during that time.
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = Instant::now();
        other.request("getRouterRtpCapabilities", json!({})).await.unwrap();
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    flood.abort();
    let heard = other.unasked().iter().filter(|method| **method == "peerDisplayNameChanged").count();
    let most = 100 + 10 * (start.elapsed().as_secs() as usize + 2);
    println!("{heard} names in {:?}, slowest answer {slowest:?}", start.elapsed());
    assert!(heard >= 50 && heard <= most, "{heard} names, at most {most}");
    drop(other);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_only_invalid_messages_is_closed() {
    let scene = Scene::new(|config| config.limits.max_bad_messages = 50).await;
    let mut junk = Client::connect(&scene.server, "r", "junk").await;
    for _ in 0..49 {
        junk.send("x".repeat(1000)).await;
    }
    junk.request("getRouterRtpCapabilities", json!({})).await.unwrap();
    junk.send("null").await;
    let (code, reason) = junk.close_frame().await;
    assert_eq!((code, reason.as_str()), (1008, "too many texts that are no messages"));
    drop(junk);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_for_other_peers_are_limited_in_length() {
    let scene = Scene::new(|_| {}).await;
    let mut a = Client::connect(&scene.server, "r", "a").await;
    let long = "x".repeat(900_000);
    for (field, join) in [
        ("displayName", json!({ "displayName": long, "device": {} })),
        ("device", json!({ "displayName": "a", "device": { "name": long } })),
    ] {
        let (code, reason) = a.request("join", join).await.unwrap_err();
        assert!(code == 400 && reason.contains(field) && reason.len() < 200, "{code} {reason}");
    }
    a.request("join", json!({ "displayName": "a", "device": {} })).await.unwrap();
    let (code, _) = a.request("changeDisplayName", json!({ "displayName": long })).await.unwrap_err();
    assert_eq!(code, 400);
    drop(a);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_the_id_of_a_peer_do_not_disturb_it() {
    let scene = Scene::new(|_| {}).await;
    for _ in 0..50 {
        let path = "/?roomId=call&peerId=speaker";
        let mut stranger =
            Client::try_connect(scene.server.local_addr(), path, Some("protoo")).await.unwrap();
        assert_eq!(stranger.close_frame().await.0, 4000);
    }
    scene.end().await;
}
