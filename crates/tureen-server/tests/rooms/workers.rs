//! Media workers that have died.

use std::time::Duration;

use serde_json::json;
use tureen::worker::WorkerId;
use tureen_server::Server;

use crate::client::{Client, config};

/// Waits until `dead` was replaced by another worker.
async fn successor(server: &Server, dead: WorkerId) {
    let replaced = async {
        while server.workers().iter().all(|worker| worker.id() == dead) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), replaced).await.unwrap();
}

#[tokio::test]
async fn peers_of_a_dead_worker_are_disconnected_and_can_return() {
    let server = Server::start(config()).await.unwrap();
    let mut a = Client::join(&server, "r", "a").await;
    let mut b = Client::join(&server, "r", "b").await;
    let data = json!({ "producing": true, "consuming": false, "forceTcp": false });
    a.request("createWebRtcTransport", data.clone()).await.unwrap();

    let worker = server.workers().pop().unwrap();
    let dead = worker.id();
    worker.panic();
    drop(worker);
    for peer in [&mut a, &mut b] {
        assert_eq!(peer.close_frame().await, (1011, "media worker died".to_owned()));
    }

    successor(&server, dead).await;
    let mut a = Client::join(&server, "r", "a").await;
    let mut b = Client::join(&server, "r", "b").await;
    assert_eq!(a.notification("newPeer").await["id"], "b");
    b.request("createWebRtcTransport", data).await.unwrap();
}

#[tokio::test]
async fn rooms_of_other_workers_continue() {
    let server = Server::start(tureen_server::ServerConfig { workers: 2, ..config() }).await.unwrap();
    // The second room is placed on the worker without rooms.
    let mut a = Client::join(&server, "first", "a").await;
    let mut b = Client::join(&server, "second", "b").await;
    let workers = server.workers();
    let mut dumps = Vec::new();
    for worker in &workers {
        dumps.push(worker.dump().await.unwrap().router_ids.len());
    }
    assert_eq!(dumps, [1, 1]);

    workers[0].panic();
    assert_eq!(a.close_frame().await.0, 1011);
    let data = json!({ "producing": true, "consuming": false, "forceTcp": false });
    b.request("createWebRtcTransport", data).await.unwrap();
}
