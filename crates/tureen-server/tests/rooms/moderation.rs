//! Rights that change in a running call, and what moderators do.

use serde_json::{Value, json};
use tureen_server::Server;

use crate::{
    access::{connect, join, member, produce, refusal, server, token, token_with, transport},
    client::{Client, join_data},
};

async fn moderator(server: &Server) -> Client {
    let boss = token("boss", json!({ "roomJoin": true, "roomAdmin": true, "room": "r" }));
    join(server, &boss, "boss").await
}

/// A peer that has joined, can receive, and sends its microphone: with the ids of its transport and producer.
async fn talker(server: &Server, id: &str) -> (Client, String, String) {
    let mut client = connect(server, &member(id)).await;
    let sending = transport(&mut client, true).await;
    transport(&mut client, false).await;
    client.request("join", join_data(id)).await.unwrap();
    let microphone = produce(&mut client, &sending, "audio", json!({ "source": "mic" })).await.unwrap();
    (client, sending, microphone["id"].as_str().unwrap().to_owned())
}

/// Answers the server's next request for a consumer other than of the bot, and gives the consumer's id.
async fn consumed(client: &mut Client) -> String {
    let (request, consumer) = client.server_request("newConsumer").await;
    client.answer(request).await;
    consumer["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_right_that_is_taken_away_closes_what_it_allowed_and_given_back_opens_it() {
    let server = server().await;
    let mut boss = moderator(&server).await;
    let (mut a, sending, microphone) = talker(&server, "a").await;
    let (mut b, _, _) = talker(&server, "b").await;
    let of_a = consumed(&mut b).await;
    let of_b = consumed(&mut a).await;

    let change = json!({ "peerId": "a", "permissions": { "canPublish": false } });
    let rights = boss.request("setPeerPermissions", change).await.unwrap();
    assert_eq!((&rights["canPublish"], &rights["canSubscribe"]), (&json!(false), &json!(true)));
    assert_eq!(a.notification("permissionsChanged").await, rights);
    assert_eq!(a.notification("producerClosed").await["producerId"], microphone.as_str());
    assert_eq!(b.notification("consumerClosed").await["consumerId"], of_a.as_str());
    let (code, _) = produce(&mut a, &sending, "audio", json!({})).await.unwrap_err();
    assert_eq!(code, 403);

    let change = json!({ "peerId": "a", "permissions": { "canSubscribe": false } });
    boss.request("setPeerPermissions", change).await.unwrap();
    assert_eq!(a.notification("consumerClosed").await["consumerId"], of_b.as_str());
    let change = json!({ "peerId": "a", "permissions": { "canSubscribe": true, "canPublish": true } });
    boss.request("setPeerPermissions", change).await.unwrap();
    assert_ne!(consumed(&mut a).await, of_b, "what is sent is offered again");
    produce(&mut a, &sending, "audio", json!({})).await.unwrap();
}

#[tokio::test]
async fn a_right_that_was_taken_away_does_not_come_back_with_the_connection() {
    let server = server().await;
    let mut boss = moderator(&server).await;
    let (a, _, _) = talker(&server, "a").await;
    let change = json!({ "peerId": "a", "permissions": { "canPublish": false } });
    boss.request("setPeerPermissions", change).await.unwrap();
    a.leave().await;
    let mut again = connect(&server, &member("a")).await;
    let sending = transport(&mut again, true).await;
    again.request("join", join_data("a")).await.unwrap();
    produce(&mut again, &sending, "audio", json!({})).await.unwrap_err();
}

#[tokio::test]
async fn only_who_moderates_the_room_may_moderate() {
    let server = server().await;
    let (_a, _, _) = talker(&server, "a").await;
    let mut b = join(&server, &member("b"), "b").await;
    let elsewhere = token("c", json!({ "roomJoin": true, "roomAdmin": true }));
    let mut c = join(&server, &elsewhere, "c").await;
    for (method, data) in [
        ("kickPeer", json!({ "peerId": "a" })),
        ("mutePeer", json!({ "peerId": "a", "kind": "audio" })),
        ("askToUnmute", json!({ "peerId": "a", "kind": "audio" })),
        ("muteOthers", json!({})),
        ("setPeerPermissions", json!({ "peerId": "a", "permissions": {} })),
        ("lockRoom", json!({ "locked": true })),
        ("setLobby", json!({ "enabled": true })),
        ("getWaitingPeers", json!({})),
        ("admitPeer", json!({ "peerId": "a" })),
        ("denyPeer", json!({ "peerId": "a" })),
        ("admitAll", json!({})),
        ("setMaxPeers", json!({ "maxPeers": 1 })),
    ] {
        for client in [&mut b, &mut c] {
            let (code, reason) = client.request(method, data.clone()).await.unwrap_err();
            assert_eq!(
                (code, reason.as_str()),
                (403, "this participant may not moderate the room"),
                "{method}"
            );
        }
    }
    let mut boss = moderator(&server).await;
    for method in ["kickPeer", "mutePeer", "setPeerPermissions", "admitPeer"] {
        let data = json!({ "peerId": "nobody", "kind": "audio", "permissions": {} });
        let (code, reason) = boss.request(method, data).await.unwrap_err();
        assert_eq!((code, reason.as_str()), (404, "participant with id \"nobody\" not found"), "{method}");
    }
    let wrong = json!({ "peerId": "a", "permissions": { "canFly": true } });
    let (code, reason) = boss.request("setPeerPermissions", wrong).await.unwrap_err();
    assert!(code == 400 && reason.contains("canFly"), "{reason}");
}

#[tokio::test]
async fn a_muted_participant_can_not_unmute_itself_before_it_is_asked() {
    let server = server().await;
    let mut boss = moderator(&server).await;
    let (mut a, sending, microphone) = talker(&server, "a").await;
    let (mut b, _, _) = talker(&server, "b").await;
    let of_a = consumed(&mut b).await;
    // Ready, so that it is told of pauses.
    b.notification("consumerScore").await;

    assert_eq!(
        boss.request("muteOthers", json!({ "exceptPeerId": "b" })).await.unwrap(),
        json!({ "count": 1 })
    );
    let muted = json!({ "producerId": microphone, "kind": "audio", "source": "microphone" });
    assert_eq!(a.notification("producerMuted").await, muted);
    assert_eq!(b.notification("consumerPaused").await["consumerId"], of_a.as_str());
    let resume = json!({ "producerId": microphone });
    let (code, reason) = a.request("resumeProducer", resume.clone()).await.unwrap_err();
    assert_eq!((code, reason.as_str()), (403, "a moderator has muted this"));
    // Another producer of the kind begins muted, whatever its client calls it.
    a.request("closeProducer", json!({ "producerId": microphone })).await.unwrap();
    let other = produce(&mut a, &sending, "audio", json!({ "source": "new" })).await.unwrap();
    assert_eq!(a.notification("producerMuted").await["producerId"], other["id"]);
    let (_, consumer) = b.server_request("newConsumer").await;
    assert_eq!(consumer["producerPaused"], true);
    a.request("resumeProducer", json!({ "producerId": other["id"] })).await.unwrap_err();

    boss.request("askToUnmute", json!({ "peerId": "a", "kind": "audio" })).await.unwrap();
    assert_eq!(a.notification("unmuteRequested").await, json!({ "kind": "audio" }));
    a.request("resumeProducer", json!({ "producerId": other["id"] })).await.unwrap();
}

#[tokio::test]
async fn who_was_removed_comes_back_with_a_newer_token_alone_and_not_during_a_ban() {
    let server = server().await;
    let mut boss = moderator(&server).await;
    let old = member("a");
    let mut a = join(&server, &old, "a").await;
    boss.request("kickPeer", json!({ "peerId": "a" })).await.unwrap();
    assert_eq!(boss.notification("peerClosed").await["peerId"], "a");
    a.notification("removedFromRoom").await;
    assert_eq!(a.close_frame().await, (4000, "removed by a moderator".to_owned()));
    let (status, text) = refusal(&server, &format!("/?roomId=r&access_token={old}")).await;
    assert_eq!((status, text.trim()), (401, "the access token was revoked"));
    let later = tureen_server::access::unix_now() + 5;
    let video = json!({ "roomJoin": true, "room": "r" });
    let newer = token_with("a", video, json!({ "iat": later }));
    join(&server, &newer, "a").await;
    boss.request("kickPeer", json!({ "peerId": "a", "banSeconds": 3600 })).await.unwrap();
    let newest = token_with("a", json!({ "roomJoin": true, "room": "r" }), json!({ "iat": later + 3600 }));
    let (status, text) = refusal(&server, &format!("/?roomId=r&access_token={newest}")).await;
    assert!(status == 403 && text.contains("banned"), "{status} {text}");
    let elsewhere = token_with("a", json!({ "roomJoin": true, "room": "s" }), json!({}));
    Client::connect_to(&server, &format!("/?access_token={elsewhere}")).await;
}

async fn why_closed(server: &Server, token: &str) -> (u16, String) {
    let path = format!("/?roomId=r&access_token={token}");
    let mut refused = Client::try_connect(server.local_addr(), &path, Some("protoo")).await.unwrap();
    refused.close_frame().await
}

#[tokio::test]
async fn a_locked_room_takes_in_nobody_new() {
    let server = server().await;
    let mut boss = moderator(&server).await;
    let a = join(&server, &member("a"), "a").await;
    boss.request("lockRoom", json!({ "locked": true })).await.unwrap();
    assert_eq!(why_closed(&server, &member("b")).await, (1013, "room is locked".to_owned()));
    a.leave().await;
    let _a = join(&server, &member("a"), "a").await;
    boss.request("lockRoom", json!({ "locked": false })).await.unwrap();
    let _b = join(&server, &member("b"), "b").await;
    boss.request("setMaxPeers", json!({ "maxPeers": 2 })).await.unwrap();
    assert_eq!(why_closed(&server, &member("c")).await, (1013, "room is full".to_owned()));
}

#[tokio::test]
async fn who_waits_in_the_lobby_sees_nothing_until_it_is_let_in() {
    let server = server().await;
    let mut boss = moderator(&server).await;
    boss.request("setLobby", json!({ "enabled": true })).await.unwrap();
    let mut a = connect(&server, &member("a")).await;
    let waits = Err((403, "waiting to be let in".to_owned()));
    assert_eq!(a.request("join", join_data("a")).await, waits);
    let capabilities = join_data("a")["rtpCapabilities"].clone();
    assert_eq!(a.request("prepare", json!({ "rtpCapabilities": capabilities })).await, waits);
    assert_eq!(boss.notification("peerWaiting").await, json!({ "peerId": "a", "displayName": "Name of a" }));
    // A moderator that arrives lets nobody in.
    let other = token("other", json!({ "roomJoin": true, "roomAdmin": true, "room": "r" }));
    let mut other = join(&server, &other, "other").await;
    assert_eq!(a.request("join", join_data("a")).await, waits);
    let waiting: Value = other.request("getWaitingPeers", json!({})).await.unwrap();
    assert_eq!(waiting, json!({ "peers": [{ "id": "a", "displayName": "Name of a" }] }));

    other.request("admitPeer", json!({ "peerId": "a" })).await.unwrap();
    a.notification("admitted").await;
    a.request("join", join_data("a")).await.unwrap();
    // It need not wait again, and whoever is denied is out.
    a.leave().await;
    join(&server, &member("a"), "a").await;
    let mut b = connect(&server, &member("b")).await;
    boss.request("denyPeer", json!({ "peerId": "b" })).await.unwrap();
    assert_eq!(b.close_frame().await.0, 4000);
    let mut c = connect(&server, &member("c")).await;
    c.request("join", join_data("c")).await.unwrap_err();
    boss.request("setLobby", json!({ "enabled": false })).await.unwrap();
    c.notification("admitted").await;
    c.request("join", join_data("c")).await.unwrap();
}
