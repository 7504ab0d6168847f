//! Calls of servers that behave badly.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// The error of a call that a server answers with these bytes.
async fn error(answer: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = BroadcasterServer::new(&url, TlsOptions::default()).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        // The client may be gone before all of it is written.
        let _ = stream.write_all(answer).await;
    };
    let (called, ()) = tokio::join!(server.router_rtp_capabilities("a/b"), serve);
    called.unwrap_err().to_string()
}

#[tokio::test]
async fn errors_have_the_servers_reason() {
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 15\r\n\r\ntoo many rooms\n";
    assert_eq!(error(answer).await, "GET /rooms/a%2Fb: too many rooms (503)");
    let empty = error(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(empty, "GET /rooms/a%2Fb: Not Found (404)");
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    for answer in [
        &b""[..],
        b"SSH-2.0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]",
    ] {
        let error = error(answer).await;
        assert!(error.contains("/rooms/a%2Fb"), "{error}");
    }
}

#[tokio::test]
async fn answers_without_end_are_refused() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n".to_vec();
    answer.resize(3 << 20, b' ');
    let error = error(&answer).await;
    assert!(error.contains("length limit exceeded"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::time::pause();
    let server = BroadcasterServer::new(&url, TlsOptions::default()).unwrap();
    let error = server.router_rtp_capabilities("r").await.unwrap_err().to_string();
    assert_eq!(error, "GET /rooms/r: no answer within 20s");
}

#[tokio::test]
async fn wrong_urls_and_closed_ports_are_named() {
    let wrong = |url| BroadcasterServer::new(url, TlsOptions::default()).unwrap_err().to_string();
    assert!(wrong("ftp://a").contains("neither https nor http"), "{}", wrong("ftp://a"));
    assert!(wrong("a b").contains("\"a b\""), "{}", wrong("a b"));
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let server = BroadcasterServer::new(&format!("http://{address}"), TlsOptions::default()).unwrap();
    let error = server.router_rtp_capabilities("r").await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("can't connect to {address}")), "{error}");
}
