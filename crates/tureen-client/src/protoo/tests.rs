//! Peers against servers that behave well and badly, on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::*;
use crate::signaling::{OpenError, TlsOptions};

struct Server(TcpListener);

type ServerSocket = WebSocketStream<TcpStream>;

impl Server {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn url(&self) -> String {
        format!("ws://{}/?roomId=r&peerId=p", self.address())
    }

    async fn accept(&self) -> ServerSocket {
        let (stream, _) = self.0.accept().await.unwrap();
        #[allow(clippy::result_large_err, reason = "tungstenite's own")]
        let protocol = |_: &Request, mut response: Response| {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("protoo"));
            Ok(response)
        };
        accept_hdr_async(stream, protocol).await.unwrap()
    }

    /// A peer and the server's end of it.
    async fn peer(&self, options: PeerOptions) -> (Peer, PeerEvents, ServerSocket) {
        let url = self.url();
        let (connected, socket) = tokio::join!(Peer::connect(&url, options), self.accept());
        let (peer, events) = connected.unwrap();
        (peer, events, socket)
    }
}

async fn send(socket: &mut ServerSocket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next message of the peer.
async fn read(socket: &mut ServerSocket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("no message but {other:?}"),
        }
    }
}

fn notification(number: u32) -> Value {
    json!({ "notification": true, "method": "n", "data": number })
}

fn fast() -> Reconnect {
    Reconnect { min_wait: Duration::ZERO, max_wait: Duration::ZERO, ..Reconnect::default() }
}

#[tokio::test]
async fn requests_are_answered_whatever_the_order() {
    let server = Server::start().await;
    let (peer, _events, mut socket) = server.peer(PeerOptions::default()).await;
    let serve = async {
        let (first, second) = (read(&mut socket).await, read(&mut socket).await);
        assert_eq!((&first["method"], &first["data"]), (&json!("a"), &json!({ "x": 1 })));
        assert_ne!(first["id"], second["id"]);
        let id = |message: &Value| message["id"].clone();
        send(&mut socket, json!({ "response": true, "id": 999, "ok": true })).await;
        send(
            &mut socket,
            json!({ "response": true, "id": id(&second), "errorCode": 403, "errorReason": "no" }),
        )
        .await;
        send(&mut socket, json!({ "response": true, "id": id(&first), "ok": true, "data": 5 })).await;
    };
    let (first, second, ()) =
        tokio::join!(peer.request("a", json!({ "x": 1 })), peer.request("b", Value::Null), serve);
    assert_eq!(first, Ok(json!(5)));
    assert_eq!(second.unwrap_err().to_string(), "the server refuses b: no (403)");
    assert_eq!(peer.stats(), PeerStats { ignored: 0, late_answers: 1 });
}

#[tokio::test]
async fn events_come_in_order_and_requests_are_answered() {
    let server = Server::start().await;
    let (peer, mut events, mut socket) = server.peer(PeerOptions::default()).await;
    send(&mut socket, notification(1)).await;
    for id in [1, 2, 3] {
        send(&mut socket, json!({ "request": true, "id": id, "method": "r", "data": id })).await;
    }
    send(&mut socket, notification(2)).await;

    let PeerEvent::Notification { method, data } = events.next().await.unwrap() else { panic!() };
    assert_eq!((method.as_str(), data), ("n", json!(1)));
    let mut requests = Vec::new();
    for expected in [1, 2, 3] {
        let PeerEvent::Request(request) = events.next().await.unwrap() else { panic!() };
        assert_eq!(request.data, json!(expected));
        requests.push(request);
    }
    assert!(matches!(events.next().await, Some(PeerEvent::Notification { data, .. }) if data == json!(2)));
    let [first, second, third] = requests.try_into().unwrap();
    first.accept(json!({ "fine": true }));
    second.reject(Refusal::new(404, "unknown"));
    drop(third);
    let ok = json!({ "response": true, "id": 1, "ok": true, "data": { "fine": true } });
    assert_eq!(read(&mut socket).await, ok);
    let refused =
        json!({ "response": true, "id": 2, "ok": false, "errorCode": 404, "errorReason": "unknown" });
    assert_eq!(read(&mut socket).await, refused);
    assert_eq!(read(&mut socket).await["errorReason"], "the client did not answer");
    peer.notify("bye", &json!(7)).unwrap();
    assert_eq!(read(&mut socket).await, json!({ "notification": true, "method": "bye", "data": 7 }));
}

#[tokio::test]
async fn closing_sends_what_waits_and_tells_both_sides() {
    let server = Server::start().await;
    let (peer, mut events, mut socket) = server.peer(PeerOptions::default()).await;
    peer.notify("last", &Value::Null).unwrap();
    peer.close();
    assert_eq!(read(&mut socket).await["method"], "last");
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!() };
    assert_eq!(u16::from(frame.code), 1000);
    drop(socket);
    assert!(matches!(events.next().await, Some(PeerEvent::Closed(CloseReason::Local))));
    assert!(events.next().await.is_none());
    let error = peer.request("a", Value::Null).await.unwrap_err();
    assert_eq!(error, RequestError::NotConnected("a".to_owned()));
}

#[tokio::test]
async fn a_peer_that_is_dropped_closes() {
    let server = Server::start().await;
    let (peer, _events, mut socket) = server.peer(PeerOptions::default()).await;
    drop(peer);
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn the_servers_end_fails_requests_with_its_reason() {
    let server = Server::start().await;
    let (peer, mut events, mut socket) = server.peer(PeerOptions::default()).await;
    let serve = async {
        read(&mut socket).await;
        let frame = CloseFrame { code: 4001.into(), reason: "media transport lost".into() };
        socket.close(Some(frame)).await.unwrap();
        while socket.next().await.is_some_and(|frame| frame.is_ok()) {}
    };
    let (answer, ()) = tokio::join!(peer.request("a", Value::Null), serve);
    let text = answer.unwrap_err().to_string();
    assert_eq!(text, "the connection was lost during a: closed by the server: media transport lost (4001)");
    let Some(PeerEvent::Closed(CloseReason::Server { code, .. })) = events.next().await else { panic!() };
    assert_eq!(code, 4001);
}

#[tokio::test]
async fn a_server_that_dies_is_noticed() {
    let server = Server::start().await;
    let (peer, mut events, socket) = server.peer(PeerOptions::default()).await;
    drop(socket);
    assert!(matches!(events.next().await, Some(PeerEvent::Closed(CloseReason::Broken(_)))));
    peer.request("a", Value::Null).await.unwrap_err();
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_timeout_and_leaves_nothing() {
    let server = Server::start().await;
    let options =
        PeerOptions { max_requests: 2, keep_alive: Duration::from_secs(3600), ..PeerOptions::default() };
    let (peer, _events, _socket) = server.peer(options).await;
    tokio::time::pause();
    for _ in 0..3 {
        let (first, second, third) = tokio::join!(
            peer.request("a", Value::Null),
            peer.request("b", Value::Null),
            peer.request("c", Value::Null)
        );
        assert_eq!(first.unwrap_err().to_string(), "no answer to a within 20s");
        assert!(matches!(second, Err(RequestError::Timeout { .. })));
        assert_eq!(third, Err(RequestError::TooManyRequests(2)));
    }
}

#[tokio::test]
async fn silence_ends_the_connection() {
    let server = Server::start().await;
    let (_peer, mut events, _socket) = server.peer(PeerOptions::default()).await;
    tokio::time::pause();
    // The other end reads nothing, and so answers no ping.
    let Some(PeerEvent::Closed(reason)) = events.next().await else { panic!() };
    assert_eq!(reason, CloseReason::Silent(Duration::from_secs(60)));
}

#[tokio::test]
async fn garbage_is_counted_and_ignored() {
    let server = Server::start().await;
    let (peer, mut events, mut socket) = server.peer(PeerOptions::default()).await;
    let deep = "[".repeat(100_000);
    for text in
        ["", "null", "{}", "\u{0}", r#"{"request":true}"#, r#"{"notification":true,"method":7}"#, &deep]
    {
        socket.send(Message::text(text)).await.unwrap();
    }
    socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    send(&mut socket, notification(1)).await;
    assert!(matches!(events.next().await, Some(PeerEvent::Notification { .. })));
    assert_eq!(peer.stats().ignored, 8);
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_connection() {
    let server = Server::start().await;
    let options = PeerOptions { max_message_bytes: 1000, ..PeerOptions::default() };
    let (_peer, mut events, mut socket) = server.peer(options).await;
    send(&mut socket, json!({ "notification": true, "method": "n", "data": "x".repeat(900) })).await;
    assert!(matches!(events.next().await, Some(PeerEvent::Notification { .. })));
    // The peer may be gone before all of it is written.
    let _ = socket.send(Message::text("x".repeat(1_000_000))).await;
    let Some(PeerEvent::Closed(CloseReason::Broken(why))) = events.next().await else { panic!() };
    assert!(why.contains("too long"), "{why}");
}

#[tokio::test]
async fn events_that_nobody_reads_end_the_connection() {
    let server = Server::start().await;
    let options = PeerOptions { max_events: 10, ..PeerOptions::default() };
    let (_peer, mut events, mut socket) = server.peer(options).await;
    for number in 0..11 {
        send(&mut socket, notification(number)).await;
    }
    // It is closed, before the application reads anything.
    while let Some(Ok(frame)) = socket.next().await {
        if frame.is_close() {
            break;
        }
    }
    for _ in 0..10 {
        assert!(matches!(events.next().await, Some(PeerEvent::Notification { .. })));
    }
    assert!(matches!(events.next().await, Some(PeerEvent::Closed(CloseReason::Overrun(10)))));
}

#[tokio::test]
async fn a_lost_connection_is_made_again_to_the_url_that_was_set() {
    let server = Server::start().await;
    let options = PeerOptions { reconnect: Some(fast()), ..PeerOptions::default() };
    let (peer, mut events, socket) = server.peer(options).await;
    let other = Server::start().await;
    peer.set_url(&other.url()).unwrap();
    drop(socket);
    let mut socket = other.accept().await;
    assert!(matches!(events.next().await, Some(PeerEvent::Disconnected(CloseReason::Broken(_)))));
    assert!(matches!(events.next().await, Some(PeerEvent::Reconnected)));
    let serve = async {
        let request = read(&mut socket).await;
        send(&mut socket, json!({ "response": true, "id": request["id"], "ok": true })).await;
    };
    let (answer, ()) = tokio::join!(peer.request("a", Value::Null), serve);
    assert_eq!(answer, Ok(Value::Null));
    peer.set_url("http://a").unwrap_err();
}

#[tokio::test]
async fn an_answer_never_reaches_a_later_connection() {
    let server = Server::start().await;
    let options = PeerOptions { reconnect: Some(fast()), ..PeerOptions::default() };
    let (peer, mut events, mut socket) = server.peer(options).await;
    send(&mut socket, json!({ "request": true, "id": 1, "method": "r" })).await;
    let Some(PeerEvent::Request(request)) = events.next().await else { panic!() };
    drop(socket);
    let mut socket = server.accept().await;
    while !matches!(events.next().await, Some(PeerEvent::Reconnected)) {}
    request.accept(Value::Null);
    peer.notify("n", &Value::Null).unwrap();
    assert_eq!(read(&mut socket).await["method"], "n");
}

#[tokio::test]
async fn a_replaced_peer_does_not_come_back() {
    let server = Server::start().await;
    let options = PeerOptions { reconnect: Some(fast()), ..PeerOptions::default() };
    let (_peer, mut events, mut socket) = server.peer(options).await;
    let frame = CloseFrame { code: 4000.into(), reason: "another".into() };
    socket.close(Some(frame)).await.unwrap();
    let Some(PeerEvent::Closed(CloseReason::Server { code, .. })) = events.next().await else { panic!() };
    assert_eq!(code, 4000);
}

#[tokio::test]
async fn attempts_end_after_the_last_one() {
    let closed = Server::start().await.address();
    let retries = Reconnect { retries: Some(3), ..fast() };
    let options = PeerOptions { reconnect: Some(retries), ..PeerOptions::default() };
    let error = Peer::connect(&format!("ws://{closed}/"), options.clone()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("can't connect to {closed}")), "{error}");

    let server = Server::start().await;
    let (_peer, mut events, socket) = server.peer(options).await;
    drop((server, socket));
    let mut attempts = 0;
    loop {
        match events.next().await.unwrap() {
            PeerEvent::AttemptFailed(why) => {
                assert!(why.contains("can't connect"), "{why}");
                attempts += 1;
            }
            PeerEvent::Closed(reason) => break assert!(matches!(reason, CloseReason::Broken(_)), "{reason}"),
            _ => {}
        }
    }
    assert_eq!(attempts, 3);
}

#[tokio::test]
async fn servers_that_are_none_are_named() {
    for (answer, expected) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno room", "404"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200"),
        ("SSH-2.0-OpenSSH_9\r\n", "does not speak protoo"),
        ("", "does not speak protoo"),
    ] {
        let server = Server::start().await;
        let serve = async {
            let (mut stream, _) = server.0.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let url = server.url();
        let (connected, ()) = tokio::join!(Peer::connect(&url, PeerOptions::default()), serve);
        let error = connected.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&server.address().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_the_subprotocol_is_refused() {
    let server = Server::start().await;
    let serve = async {
        let (stream, _) = server.0.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    };
    let url = server.url();
    let (connected, _socket) = tokio::join!(Peer::connect(&url, PeerOptions::default()), serve);
    let error = connected.unwrap_err();
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_shake_hands_is_given_up() {
    let server = Server::start().await;
    let error = Peer::connect(&server.url(), PeerOptions::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_fails_with_a_reason() {
    let server = Server::start().await;
    let serve = async {
        let (mut stream, _) = server.0.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let url = server.url().replace("ws://", "wss://");
    let options = PeerOptions { tls: TlsOptions::accept_any_certificate(), ..PeerOptions::default() };
    let (connected, ()) = tokio::join!(Peer::connect(&url, options), serve);
    let error = connected.unwrap_err();
    assert!(matches!(error, ConnectError::Open(OpenError::Tls { .. })), "{error}");
}

/// A server with a certificate for 127.0.0.1, and that certificate.
fn acceptor() -> (tokio_rustls::TlsAcceptor, rcgen::Certificate) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (std::sync::Arc::new(config).into(), made.cert)
}

/// Connects over TLS to a server that shakes hands of TLS, but speaks no protoo.
async fn connect_over_tls(
    acceptor: &tokio_rustls::TlsAcceptor,
    tls: TlsOptions,
) -> Result<(Peer, PeerEvents), ConnectError> {
    let server = Server::start().await;
    let serve = async {
        let (stream, _) = server.0.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _ = stream.write_all(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n").await;
            let _ = stream.read(&mut [0; 1024]).await;
        }
    };
    let url = server.url().replace("ws://", "wss://");
    let options = PeerOptions { tls, ..PeerOptions::default() };
    let (connected, ()) = tokio::join!(Peer::connect(&url, options), serve);
    connected
}

#[tokio::test]
async fn certificates_are_accepted_as_the_options_say() {
    let (acceptor, certificate) = acceptor();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
    let fingerprint: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for tls in [
        TlsOptions::accept_fingerprint(&fingerprint).unwrap(),
        TlsOptions::accept_roots(certificate.pem().as_bytes()).unwrap(),
        TlsOptions::accept_any_certificate(),
    ] {
        let error = connect_over_tls(&acceptor, tls).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { status: 418, .. }), "{error}");
    }
    let wrong = TlsOptions::accept_fingerprint(&"00".repeat(32)).unwrap();
    let error = connect_over_tls(&acceptor, wrong).await.unwrap_err();
    assert!(error.to_string().contains(&fingerprint), "the fingerprint that it has: {error}");
    let (_, other) = self::acceptor();
    let roots = TlsOptions::accept_roots(other.pem().as_bytes()).unwrap();
    let error = connect_over_tls(&acceptor, roots).await.unwrap_err();
    assert!(matches!(error, ConnectError::Open(OpenError::Tls { .. })), "{error}");
}
