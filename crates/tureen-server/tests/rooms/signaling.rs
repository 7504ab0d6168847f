//! Connecting, joining and leaving, and refused requests.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::client::{Client, config, delete, join_data, post, post_from, server};
use tureen_server::Server;

#[tokio::test]
async fn peers_are_notified_of_each_other() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    assert_eq!(a.request("join", join_data("a")).await.unwrap(), json!({ "peers": [] }));

    let mut b = Client::connect(&server, "r", "b").await;
    let device = json!({ "flag": "chrome", "name": "Chrome", "version": "140" });
    assert_eq!(
        b.request("join", join_data("b")).await.unwrap(),
        json!({ "peers": [{ "id": "a", "displayName": "Name of a", "device": device }] })
    );
    assert_eq!(
        a.notification("newPeer").await,
        json!({ "id": "b", "displayName": "Name of b", "device": device })
    );

    b.leave().await;
    assert_eq!(a.notification("peerClosed").await, json!({ "peerId": "b" }));
    assert!(a.unasked().is_empty(), "{:?}", a.unasked());
}

#[tokio::test]
async fn rooms_are_separate() {
    let server = server().await;
    let mut a = Client::join(&server, "one", "a").await;
    let mut b = Client::connect(&server, "two", "b").await;
    assert_eq!(b.request("join", join_data("b")).await.unwrap(), json!({ "peers": [] }));
    b.leave().await;
    a.request("getRouterRtpCapabilities", json!({})).await.unwrap();
    assert!(a.unasked().is_empty(), "{:?}", a.unasked());
}

#[tokio::test]
async fn peers_that_did_not_join_are_not_seen() {
    let server = server().await;
    let mut a = Client::join(&server, "r", "a").await;
    let quiet = Client::connect(&server, "r", "quiet").await;
    quiet.leave().await;
    let mut b = Client::connect(&server, "r", "b").await;
    let peers = b.request("join", join_data("b")).await.unwrap();
    assert_eq!(peers["peers"].as_array().unwrap().len(), 1);
    a.notification("newPeer").await;
    assert!(a.unasked().is_empty(), "{:?}", a.unasked());
}

#[tokio::test]
async fn a_peer_that_never_joins_is_closed_and_never_seen() {
    let mut config = config();
    // Long enough for the other peer to join.
    config.timeouts.join = Duration::from_secs(3);
    let server = Server::start(config).await.unwrap();
    let mut watcher = Client::join(&server, "r", "w").await;
    let mut idle = Client::connect(&server, "r", "i").await;
    assert_eq!(idle.close_frame().await.0, 1008);
    assert!(watcher.request("changeDisplayName", json!({ "displayName": "still there" })).await.is_ok());
    assert!(watcher.unasked().is_empty(), "{:?}", watcher.unasked());
}

#[tokio::test]
async fn first_peers_that_connect_at_once_share_one_room() {
    let server = server().await;
    let (mut a, mut b) = tokio::join!(Client::connect(&server, "r", "a"), Client::connect(&server, "r", "b"));
    a.request("join", join_data("a")).await.unwrap();
    let peers = b.request("join", join_data("b")).await.unwrap();
    assert_eq!(peers["peers"][0]["id"], "a");
}

#[tokio::test]
async fn a_peer_that_is_alive_keeps_its_place() {
    let server = server().await;
    let mut watcher = Client::join(&server, "r", "w").await;
    let mut first = Client::join(&server, "r", "a").await;
    watcher.notification("newPeer").await;
    for path in ["/?roomId=r&peerId=a", "/?roomId=r&peerId=a&sessionSecret=00000000000000000000000000000000"]
    {
        let mut stranger = Client::try_connect(server.local_addr(), path, Some("protoo")).await.unwrap();
        // Reading answers the server's ping, which browsers do by themselves.
        let refused = tokio::select! {
            refused = stranger.close_frame() => refused,
            end = first.read_on() => panic!("the first was closed: {end:?}"),
        };
        assert_eq!(refused, (4000, "this peerId is taken".to_owned()), "protoo-client must not try again");
        assert!(stranger.unasked().is_empty(), "{:?}", stranger.unasked());
    }
    assert!(!watcher.unasked().contains(&"peerClosed"), "{:?}", watcher.unasked());
}

#[tokio::test]
async fn a_peer_that_shows_no_sign_of_life_loses_its_place() {
    let mut config = config();
    config.timeouts.sign_of_life = Duration::from_secs(1);
    let server = Server::start(config).await.unwrap();
    let mut watcher = Client::join(&server, "r", "w").await;
    // The connection is open, but nothing reads from it, so that pings are not answered.
    let mut silent = Client::join(&server, "r", "a").await;
    watcher.notification("newPeer").await;
    let mut second = Client::connect(&server, "r", "a").await;
    assert_eq!(watcher.notification("peerClosed").await, json!({ "peerId": "a" }));
    assert_eq!(silent.close_frame().await.0, 4000);
    second.request("join", join_data("a")).await.unwrap();
}

#[tokio::test]
async fn peers_and_broadcasters_share_their_ids() {
    let server = server().await;
    let about = json!({ "id": "cam", "displayName": "Camera", "device": { "name": "FFmpeg" } });
    assert_eq!(post(&server, "/rooms/r/broadcasters", &about.to_string()).await.status, 200);
    let path = "/?roomId=r&peerId=cam";
    let mut stranger = Client::try_connect(server.local_addr(), path, Some("protoo")).await.unwrap();
    assert_eq!(stranger.close_frame().await.0, 4000);
}

#[tokio::test]
async fn pages_of_other_hosts_are_refused() {
    let mut config = config();
    config.allowed_origins = vec!["https://app.example".to_owned()];
    let server = Server::start(config).await.unwrap();
    let own = format!("http://{}", server.local_addr());
    let path = "/?roomId=r&peerId=a";
    for (origin, passes) in [
        (own.as_str(), true),
        ("http://127.0.0.1:3000", true),
        ("https://app.example", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let connected =
            Client::try_connect_from(server.local_addr(), path, Some("protoo"), Some(origin)).await;
        match connected {
            Ok(client) if passes => client.leave().await,
            Err(tungstenite::Error::Http(response)) if !passes => {
                assert_eq!(response.status(), 403, "{origin}")
            }
            Ok(_) => panic!("{origin} was let in"),
            Err(error) => panic!("{origin}: {error}"),
        }
        let about = json!({ "id": "cam", "displayName": "Camera", "device": { "name": "FFmpeg" } });
        let response = post_from(&server, "/rooms/r/broadcasters", &about.to_string(), origin).await;
        assert_eq!(response.status, if passes { 200 } else { 403 }, "{origin}: {}", response.body);
        if passes {
            assert_eq!(delete(&server, "/rooms/r/broadcasters/cam").await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_second_connection_with_the_secret_of_the_first_takes_its_place() {
    let server = server().await;
    let mut watcher = Client::join(&server, "r", "w").await;
    let mut first = Client::join(&server, "r", "a").await;
    watcher.notification("newPeer").await;

    let path = format!("/?roomId=r&peerId=a&sessionSecret={}", first.session_secret);
    let mut second = Client::try_connect(server.local_addr(), &path, Some("protoo")).await.unwrap();
    assert_ne!(
        second.notification("mediasoup-version").await["sessionSecret"],
        first.session_secret.as_str()
    );
    assert_eq!(first.close_frame().await.0, 4000);
    assert_eq!(watcher.notification("peerClosed").await, json!({ "peerId": "a" }));
    drop(first);

    let peers = second.request("join", join_data("a")).await.unwrap();
    assert_eq!(peers["peers"][0]["id"], "w");
    assert_eq!(watcher.notification("newPeer").await["id"], "a");
    assert!(watcher.unasked().is_empty(), "{:?}", watcher.unasked());
}

#[tokio::test]
async fn joining_twice_is_refused() {
    let server = server().await;
    let mut a = Client::join(&server, "r", "a").await;
    let (_, reason) = a.request("join", join_data("a")).await.unwrap_err();
    assert!(reason.contains("already"), "{reason}");
}

#[tokio::test]
async fn a_new_name_is_announced_with_the_old_one() {
    let server = server().await;
    let mut a = Client::join(&server, "r", "a").await;
    let mut b = Client::join(&server, "r", "b").await;
    b.request("changeDisplayName", json!({ "displayName": "Bea" })).await.unwrap();
    assert_eq!(
        a.notification("peerDisplayNameChanged").await,
        json!({ "peerId": "b", "displayName": "Bea", "oldDisplayName": "Name of b" })
    );
    let mut c = Client::connect(&server, "r", "c").await;
    let peers = c.request("join", join_data("c")).await.unwrap();
    assert_eq!(peers["peers"][1]["displayName"], "Bea");
}

#[tokio::test]
async fn invalid_messages_are_ignored() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    for text in ["null", "", "[]", "42", "{", "{\"request\":true}", r#"{"response":true,"id":5,"ok":true}"#] {
        a.send(text).await;
    }
    a.request("join", join_data("a")).await.unwrap();
}

#[tokio::test]
async fn network_throttling_is_always_refused() {
    let server = server().await;
    let mut a = Client::join(&server, "r", "a").await;
    for method in ["applyNetworkThrottle", "resetNetworkThrottle"] {
        let (code, reason) = a.request(method, json!({ "secret": "guess" })).await.unwrap_err();
        assert_eq!(code, 403);
        assert!(reason.contains(method), "{reason}");
    }
}

#[tokio::test]
async fn an_unknown_method_is_refused_by_name() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let (code, reason) = a.request("makeCoffee", json!({})).await.unwrap_err();
    assert_eq!(code, 500);
    assert!(reason.contains("makeCoffee"), "{reason}");
}

#[tokio::test]
async fn wrong_data_is_refused_with_the_field() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let (code, reason) = a.request("join", json!({ "device": {} })).await.unwrap_err();
    assert_eq!(code, 400);
    assert!(reason.contains("displayName"), "{reason}");
}

#[tokio::test]
async fn what_needs_a_joined_peer_is_refused_before() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let id = "00000000-0000-0000-0000-000000000001";
    for (method, data) in [
        ("changeDisplayName", json!({ "displayName": "x" })),
        ("pauseProducer", json!({ "producerId": id })),
        ("closeProducer", json!({ "producerId": id })),
        ("resumeConsumer", json!({ "consumerId": id })),
    ] {
        let (code, reason) = a.request(method, data).await.unwrap_err();
        assert_eq!(code, 403, "{method}: {reason}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let server = server().await;
    let mut a = Client::connect(&server, "r", "a").await;
    let padding = "x".repeat(950_000);
    assert!(a.request("makeCoffee", json!({ "padding": padding })).await.is_err());
    a.send("x".repeat(960_001)).await;
    assert_eq!(a.close_frame().await.0, 1009);
}

#[tokio::test]
async fn only_protoo_with_both_ids_is_accepted() {
    let server = server().await;
    let long = format!("/?roomId={}&peerId=a", "x".repeat(300));
    for (path, protocol, status) in [
        ("/?roomId=r&peerId=a", None, 403),
        ("/?roomId=r&peerId=a", Some("chat"), 403),
        ("/?roomId=r", Some("protoo"), 400),
        ("/?peerId=a", Some("protoo"), 400),
        ("/?roomId=&peerId=a", Some("protoo"), 400),
        ("/", Some("protoo"), 400),
        (long.as_str(), Some("protoo"), 400),
    ] {
        match Client::try_connect(server.local_addr(), path, protocol).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), status, "{path}"),
            Err(error) => panic!("{path}: {error}"),
            Ok(_) => panic!("{path} was let in"),
        }
    }
    // The path does not matter.
    Client::try_connect(server.local_addr(), "/rooms/x?roomId=r&peerId=a", Some("protoo")).await.unwrap();
}

#[tokio::test]
async fn full_rooms_and_servers_are_reported() {
    let mut config = config();
    config.limits.max_rooms = 1;
    config.limits.max_peers_per_room = 1;
    let server = Server::start(config).await.unwrap();
    let a = Client::connect(&server, "r", "a").await;
    for (path, why) in [("/?roomId=r&peerId=b", "full"), ("/?roomId=s&peerId=b", "rooms")] {
        let mut refused = Client::try_connect(server.local_addr(), path, Some("protoo")).await.unwrap();
        let (code, reason) = refused.close_frame().await;
        assert_eq!(code, 1013);
        assert!(reason.contains(why), "{reason}");
    }
    // The room ends with its last peer and makes room for another one.
    a.leave().await;
    Client::connect(&server, "s", "b").await;
}

#[tokio::test]
async fn shutdown_closes_peers_with_1001() {
    let server = server().await;
    let address = server.local_addr();
    let mut a = Client::join(&server, "r", "a").await;
    let (frame, ()) = tokio::join!(
        async {
            let frame = a.close_frame().await;
            a.leave().await;
            frame
        },
        server.shutdown()
    );
    assert_eq!(frame.0, 1001);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
