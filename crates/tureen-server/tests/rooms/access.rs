//! Access tokens: what they open, for whom, and what is refused.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;
use tureen_server::{
    Server, ServerConfig,
    access::{ApiSecret, AuthConfig, Claims, sign, unix_now},
};

use crate::client::{Client, Response, call, config, join_data};

const SECRET: &str = "a-secret-that-is-long-enough-for-HS256";

fn with_auth() -> ServerConfig {
    let keys = [("devkey".to_owned(), ApiSecret::new(SECRET))].into();
    ServerConfig { auth: Some(AuthConfig { keys, ..AuthConfig::default() }), ..config() }
}

pub(crate) async fn server() -> Server {
    Server::start(with_auth()).await.unwrap()
}

/// A token of `devkey` for an hour, for `sub`, with these rights, and other claims over those.
pub(crate) fn token_with(sub: &str, video: Value, others: Value) -> String {
    let mut claims = json!({ "iss": "devkey", "sub": sub, "exp": unix_now() + 3600, "video": video });
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let claims: Claims = serde_json::from_value(claims).unwrap();
    sign(&claims, &ApiSecret::new(SECRET)).unwrap()
}

pub(crate) fn token(sub: &str, video: Value) -> String {
    token_with(sub, video, json!({}))
}

/// A token to join the room `r`.
pub(crate) fn member(sub: &str) -> String {
    token(sub, json!({ "roomJoin": true, "room": "r" }))
}

pub(crate) async fn connect(server: &Server, token: &str) -> Client {
    Client::connect_to(server, &format!("/?roomId=r&access_token={token}")).await
}

pub(crate) async fn join(server: &Server, token: &str, name: &str) -> Client {
    let mut client = connect(server, token).await;
    client.request("join", join_data(name)).await.unwrap();
    client
}

/// Status and text of a refused WebSocket.
pub(crate) async fn refusal(server: &Server, path: &str) -> (u16, String) {
    match Client::try_connect(server.local_addr(), path, Some("protoo")).await {
        Err(tungstenite::Error::Http(response)) => {
            let text = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(text).unwrap())
        }
        Ok(_) => panic!("{path} was let in"),
        Err(error) => panic!("{path}: {error}"),
    }
}

#[tokio::test]
async fn a_token_opens_its_room_for_its_identity_and_nothing_else() {
    let server = server().await;
    let alice = member("alice");
    let expired = token_with("alice", json!({ "roomJoin": true }), json!({ "exp": unix_now() - 3600 }));
    let viewer = token("alice", json!({ "room": "r", "roomList": true }));
    let (signed, _) = alice.rsplit_once('.').unwrap();
    for (path, status, text) in [
        ("/?roomId=r&peerId=alice".to_owned(), 401, "access token is needed"),
        ("/?roomId=r&peerId=alice&access_token=".to_owned(), 401, "access token is needed"),
        ("/?roomId=r&peerId=alice&access_token=x.y.z".to_owned(), 401, "no JWT"),
        (format!("/?roomId=r&peerId=alice&access_token={signed}."), 401, "signature"),
        (format!("/?roomId=r&peerId=alice&access_token={expired}"), 401, "expired"),
        (format!("/?roomId=r&peerId=alice&access_token={viewer}"), 403, "may not join rooms"),
        (format!("/?roomId=s&peerId=alice&access_token={alice}"), 403, "for the room \"r\""),
        (format!("/?roomId=r&peerId=bob&access_token={alice}"), 403, "for the identity \"alice\""),
        (format!("/?roomId=r&access_token={alice}&access_token={alice}"), 400, "query"),
    ] {
        let (got, why) = refusal(&server, &path).await;
        assert_eq!(got, status, "{path}: {why}");
        assert!(why.contains(text), "{path}: {why}");
    }
    for path in [format!("/?roomId=r&peerId=alice&access_token={alice}"), format!("/?access_token={alice}")] {
        let mut client = Client::connect_to(&server, &path).await;
        assert_eq!(
            client.request("join", join_data("alice")).await.unwrap(),
            json!({ "peers": [] }),
            "{path}"
        );
        client.leave().await;
    }
}

#[tokio::test]
async fn a_connection_without_the_right_to_an_id_changes_nothing_for_who_has_it() {
    let server = server().await;
    let mut watcher = join(&server, &member("watcher"), "Watcher").await;
    let mut victim = join(&server, &member("victim"), "Victim").await;
    assert_eq!(watcher.notification("newPeer").await["id"], "victim");
    let secret = victim.session_secret.clone();
    for path in [
        "/?roomId=r&peerId=victim".to_owned(),
        format!("/?roomId=r&peerId=victim&sessionSecret={secret}"),
        format!("/?roomId=r&peerId=victim&sessionSecret={secret}&access_token={}", member("mallory")),
    ] {
        refusal(&server, &path).await;
    }
    victim.request("changeDisplayName", json!({ "displayName": "x" })).await.unwrap_err();
    victim.request("getRouterRtpCapabilities", json!({})).await.unwrap();
    watcher.request("getRouterRtpCapabilities", json!({})).await.unwrap();
    assert!(watcher.unasked().is_empty() && victim.unasked().is_empty(), "{:?}", watcher.unasked());

    // Whoever has the token has the id, even while an earlier connection is alive.
    let mut again = connect(&server, &member("victim")).await;
    assert_eq!(victim.close_frame().await.0, 4000);
    again.request("join", join_data("victim")).await.unwrap();
}

#[tokio::test]
async fn the_name_is_the_tokens_unless_its_bearer_may_choose() {
    let server = server().await;
    let mut watcher = join(&server, &member("watcher"), "Watcher").await;
    let named = |sub: &str, may: bool| {
        let video = json!({ "roomJoin": true, "room": "r", "canUpdateOwnMetadata": may });
        token_with(sub, video, json!({ "name": "Alice of the token" }))
    };
    let mut given = join(&server, &named("a", false), "Mallory").await;
    assert_eq!(watcher.notification("newPeer").await["displayName"], "Alice of the token");
    let (code, reason) = given.request("changeDisplayName", json!({ "displayName": "x" })).await.unwrap_err();
    assert_eq!((code, reason.as_str()), (403, "this participant may not change its name"));
    let mut chosen = join(&server, &named("b", true), "Bea").await;
    assert_eq!(watcher.notification("newPeer").await["displayName"], "Name of Bea");
    chosen.request("changeDisplayName", json!({ "displayName": "x" })).await.unwrap();
    assert_eq!(watcher.notification("peerDisplayNameChanged").await["displayName"], "x");
}

#[tokio::test]
async fn nobody_is_told_of_a_hidden_participant() {
    let server = server().await;
    let mut watcher = join(&server, &member("watcher"), "Watcher").await;
    let hidden = json!({ "roomJoin": true, "room": "r", "hidden": true, "canUpdateOwnMetadata": true });
    let mut ghost = connect(&server, &token("ghost", hidden)).await;
    let sending = transport(&mut ghost, true).await;
    let peers = ghost.request("join", join_data("ghost")).await.unwrap();
    assert_eq!(peers["peers"][0]["id"], "watcher", "it sees the others");
    ghost.request("changeDisplayName", json!({ "displayName": "boo" })).await.unwrap();
    let (code, _) = produce(&mut ghost, &sending, "audio", json!({})).await.unwrap_err();
    assert_eq!(code, 403);
    ghost.leave().await;
    let mut late = connect(&server, &member("late")).await;
    let peers = late.request("join", join_data("late")).await.unwrap();
    assert_eq!(peers["peers"].as_array().unwrap().len(), 1);
    assert_eq!(watcher.notification("newPeer").await["id"], "late");
    assert!(watcher.unasked().is_empty(), "{:?}", watcher.unasked());
}

pub(crate) async fn transport(client: &mut Client, producing: bool) -> String {
    let data = json!({
        "forceTcp": false, "producing": producing, "consuming": !producing, "sctpCapabilities": {},
    });
    let transport = client.request("createWebRtcTransport", data).await.unwrap();
    transport["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn produce(
    client: &mut Client,
    transport: &str,
    kind: &str,
    app_data: Value,
) -> Result<Value, (i64, String)> {
    let codec = match kind {
        "audio" => json!({ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }),
        _ => json!({ "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000 }),
    };
    let ssrc = if kind == "audio" { 1 } else { 2 };
    let data = json!({
        "transportId": transport,
        "kind": kind,
        "rtpParameters": {
            "mid": kind, "codecs": [codec], "headerExtensions": [], "encodings": [{ "ssrc": ssrc }],
            "rtcp": { "cname": "c" },
        },
        "appData": app_data,
    });
    client.request("produce", data).await
}

#[tokio::test]
async fn a_participant_sends_and_receives_what_its_token_allows() {
    let server = server().await;
    let talks = json!({
        "roomJoin": true, "room": "r", "canPublishSources": ["microphone"], "canPublishData": false,
        "canSubscribe": false,
    });
    let mut client = connect(&server, &token("a", talks)).await;
    let sending = transport(&mut client, true).await;
    transport(&mut client, false).await;
    client.request("join", join_data("a")).await.unwrap();

    for app_data in
        [json!({}), json!({ "source": "camera" }), json!({ "share": true }), json!({ "source": "x" })]
    {
        let (code, reason) = produce(&mut client, &sending, "video", app_data).await.unwrap_err();
        assert_eq!(code, 403, "{reason}");
        assert!(reason.starts_with("this participant may not publish the source "), "{reason}");
    }
    produce(&mut client, &sending, "audio", json!({ "share": true })).await.unwrap_err();
    produce(&mut client, &sending, "audio", json!({ "source": "mic" })).await.unwrap();
    let data = json!({ "transportId": sending, "sctpStreamParameters": { "streamId": 0 }, "label": "chat" });
    let (code, reason) = client.request("produceData", data).await.unwrap_err();
    assert_eq!((code, reason.as_str()), (403, "this participant may not publish data"));

    // It is offered nothing of what others send.
    let mut other = connect(&server, &member("b")).await;
    let sending = transport(&mut other, true).await;
    transport(&mut other, false).await;
    other.request("join", join_data("b")).await.unwrap();
    other.server_request("newConsumer").await;
    produce(&mut other, &sending, "audio", json!({ "source": "mic" })).await.unwrap();
    client.notification("newPeer").await;
    client.request("getRouterRtpCapabilities", json!({})).await.unwrap();
    assert!(client.unasked().iter().all(|method| !method.starts_with("new")), "{:?}", client.unasked());
}

async fn post(server: &Server, path: &str, token: Option<&str>, body: Value) -> Response {
    let header = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    call(server, "POST", path, &header, &body.to_string()).await
}

#[tokio::test]
async fn broadcasters_come_by_the_same_door() {
    let server = server().await;
    let about = json!({ "id": "cam", "displayName": "Camera", "device": { "name": "FFmpeg" } });
    let add = "/rooms/r/broadcasters";
    let missing = post(&server, add, None, about.clone()).await;
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(post(&server, add, Some("x"), about.clone()).await.status, 401);
    assert_eq!(post(&server, add, Some(&member("other")), about.clone()).await.status, 403);
    let of_s = token("cam", json!({ "roomJoin": true, "room": "s" }));
    assert_eq!(post(&server, add, Some(&of_s), about.clone()).await.status, 403);
    let own = member("cam");
    assert_eq!(post(&server, add, Some(&own), about.clone()).await.status, 200);

    let transports = format!("{add}/cam/transports");
    let asked = json!({ "type": "plain", "rtcpMux": true });
    for (token, status) in [(None, 401), (Some(member("other")), 403), (Some(own.clone()), 200)] {
        assert_eq!(post(&server, &transports, token.as_deref(), asked.clone()).await.status, status);
    }
    // The query will do, too.
    let path = format!("{add}/cam?access_token={own}");
    assert_eq!(call(&server, "GET", &path, "", "").await.status, 200);

    // Whoever moderates the room controls all of its broadcasters, and none of other rooms.
    let admin = token("", json!({ "roomAdmin": true, "room": "r" }));
    let header = format!("Authorization: Bearer {admin}\r\n");
    let path = format!("{add}/cam");
    assert_eq!(call(&server, "DELETE", &path, "", "").await.status, 401);
    assert_eq!(call(&server, "DELETE", &path, &header, "").await.status, 200);
    assert_eq!(post(&server, add, Some(&admin), about.clone()).await.status, 200);
    assert_eq!(post(&server, "/rooms/s/broadcasters", Some(&admin), about).await.status, 403);
    for (path, header, status) in
        [("/rooms/r", "", 401), ("/rooms/r", &*header, 200), ("/rooms/s", &header, 403)]
    {
        assert_eq!(call(&server, "GET", path, header, "").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn an_address_that_tries_many_tokens_is_soon_asked_to_wait() {
    let mut config = with_auth();
    config.limits.max_requests_per_address_per_s = 10;
    let server = Server::start(config).await.unwrap();
    let mut statuses = std::collections::BTreeMap::new();
    for attempt in 0..60 {
        let (status, _) = refusal(&server, &format!("/?roomId=r&access_token=x.{attempt}.z")).await;
        *statuses.entry(status).or_insert(0) += 1;
    }
    // A hundred at once, of which each bad token takes six.
    assert!(statuses[&401] < 40 && statuses[&429] > 20, "{statuses:?}");
}

#[tokio::test]
async fn a_server_without_auth_lets_everybody_in_and_reads_no_token() {
    let server = crate::client::server().await;
    for query in ["", "&access_token=x", &format!("&access_token={}", member("somebody-else"))] {
        let mut client = Client::connect_to(&server, &format!("/?roomId=s&peerId=a{query}")).await;
        client.request("join", join_data("a")).await.unwrap();
        client.request("changeDisplayName", json!({ "displayName": "x" })).await.unwrap();
        client.leave().await;
    }
}

/// What is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_is_ever_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // Of this thread alone, on which the server's tasks run too.
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = server().await;
    let good = member("alice");
    let expired = token_with("alice", json!({ "roomJoin": true }), json!({ "exp": unix_now() - 3600 }));
    let mut client = connect(&server, &good).await;
    client.request("join", join_data("alice")).await.unwrap();
    refusal(&server, &format!("/?roomId=r&access_token={expired}")).await;
    refusal(&server, &format!("/?roomId=other&access_token={good}")).await;
    let about = json!({ "id": "alice", "displayName": "A", "device": { "name": "x" } });
    post(&server, "/rooms/r/broadcasters", Some(&good), about).await;
    client.leave().await;
    server.shutdown().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The test's own client writes its request into the log, but the server does not.
    let server_lines: Vec<_> = log.lines().filter(|line| !line.contains("tungstenite")).collect();
    assert!(server_lines.iter().any(|line| line.contains("peer joined")), "{log}");
    for token in [&good, &expired] {
        let (_, payload) = token.split_once('.').unwrap();
        let (payload, signature) = payload.split_once('.').unwrap();
        for line in &server_lines {
            assert!(!line.contains(payload) && !line.contains(signature), "{line}");
        }
    }
}
