//! Attacks by connections: many, slow, silent, or without reading.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tureen_server::Server;

use crate::{Scene, memory::live};

/// Sends `begin`, then `drip` every 100 ms until the server closes the connection. Returns the server's response.
async fn drip(server: &Server, begin: &str, drip: &str) -> String {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(begin.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let dripping = async {
        while write.write_all(drip.as_bytes()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let ended = async {
        // A reset by the server counts as a close.
        let _ = read.read_to_end(&mut answer).await;
    };
    timeout(Duration::from_secs(20), async {
        tokio::select! {
            () = ended => {}
            () = dripping => {}
        }
    })
    .await
    .unwrap_or_else(|_| panic!("the server does not end {begin:?}"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Connection of a peer after the server's response to the upgrade; `None` if the server closes it.
async fn silent_peer(server: &Server, peer: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let request = format!(
        "GET /?roomId=r&peerId={peer} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: protoo\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains("mediasoup-version") {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(len) => received.extend(&buffer[..len]),
        }
    }
    Some(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_are_closed() {
    let scene = Scene::new(|config| {
        config.timeouts.handshake = Duration::from_secs(1);
        config.timeouts.body = Duration::from_secs(1);
    })
    .await;
    let server = &scene.server;
    let post = "POST /rooms/r/broadcasters HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{";
    let chunked = "POST /rooms/r/broadcasters HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let to_page = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{";
    let (head, body, chunks, page, idle, silent) = tokio::join!(
        drip(server, "GET / HTTP/1.1\r\n", "X: y\r\n"),
        drip(server, post, " "),
        drip(server, chunked, "1\r\n \r\n"),
        drip(server, to_page, " "),
        drip(server, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", ""),
        drip(server, "", ""),
    );
    assert!(!head.contains(" 200 "), "{head}");
    assert!(body.contains(" 408 "), "{body}");
    assert!(chunks.contains(" 408 "), "{chunks}");
    assert!(page.contains(" 405 "), "{page}");
    assert!(idle.contains(" 200 "), "{idle}");
    assert_eq!(silent, "");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_responses_is_disconnected() {
    let scene = Scene::new(|config| {
        config.timeouts.write = Duration::from_secs(1);
        config.limits.max_connections_per_address = 8;
    })
    .await;
    let server = &scene.server;
    // Requests are sent until the kernel accepts no more, because the responses fill its buffers.
    let mut deaf = TcpStream::connect(server.local_addr()).await.unwrap();
    let ask = "GET /rooms/call HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10);
    let ended = async { while deaf.write_all(ask.as_bytes()).await.is_ok() {} };
    timeout(Duration::from_secs(30), ended).await.expect("the server ends it");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_a_bounded_number_of_connections() {
    let scene = Scene::new(|config| config.limits.max_connections_per_address = 12).await;
    let server = &scene.server;
    let mut held = Vec::new();
    let mut refused = 0;
    for number in 0..100 {
        match silent_peer(server, &number.to_string()).await {
            Some(stream) => held.push(stream),
            None => refused += 1,
        }
    }
    // The two connections of the call count too.
    assert_eq!((held.len(), refused), (10, 90));
    drop(held);
    let again = async {
        // The places become free when the server has noticed the closed connections.
        loop {
            let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
            let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            let mut answer = String::new();
            if stream.read_to_string(&mut answer).await.is_ok() && answer.contains(" 200 ") {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), again).await.unwrap();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_websocket_costs_little() {
    const COUNT: usize = 200;
    let scene = Scene::new(|_| {}).await;
    let server = &scene.server;
    // The room exists before the measurement.
    let mut held = vec![silent_peer(server, "first").await.unwrap()];
    let before = live();
    for number in 0..COUNT {
        held.push(silent_peer(server, &number.to_string()).await.unwrap());
    }
    let each = (live() - before) / isize::try_from(COUNT).unwrap();
    println!("{each} bytes for each silent WebSocket");
    assert!(each < 48 << 10, "{each} bytes for each");
    drop(held);
    // The server has to notice the closed connections before the measurement.
    let mut growth = scene.growth();
    for _ in 0..100 {
        if growth < 1 << 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        growth = scene.growth();
    }
    scene.end().await;
}
