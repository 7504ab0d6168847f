//! Minimal protoo and HTTP clients.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tureen_server::{Server, ServerConfig};

/// Time limit of a wait. It is longer than any step takes, so that a test that reaches it fails.
const TOO_LONG: Duration = Duration::from_secs(30);

/// A server on free ports, without TLS.
pub(crate) async fn server() -> Server {
    Server::start(config()).await.unwrap()
}

/// Settings for a server on free ports, without TLS.
pub(crate) fn config() -> ServerConfig {
    let mut config =
        ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), workers: 1, ..ServerConfig::default() };
    config.tls.enabled = false;
    config.rtc.port = 0;
    config.rtc.listen = vec!["127.0.0.1".parse().unwrap()];
    config
}

/// A peer's connection.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    next_id: u32,
    /// Requests and notifications of the server that the test has not read yet.
    inbox: VecDeque<Value>,
    /// Secret with which a new connection replaces this one.
    pub(crate) session_secret: String,
    /// Maximum time until the next frame.
    limit: Duration,
}

impl Client {
    pub(crate) async fn connect(server: &Server, room: &str, peer: &str) -> Self {
        Self::connect_to(server, &format!("/?roomId={room}&peerId={peer}")).await
    }

    /// Connects to a path with everything in its query.
    pub(crate) async fn connect_to(server: &Server, path: &str) -> Self {
        let mut client = Self::try_connect(server.local_addr(), path, Some("protoo")).await.unwrap();
        let hello = client.notification("mediasoup-version").await;
        client.session_secret = hello["sessionSecret"].as_str().unwrap().to_owned();
        client
    }

    pub(crate) async fn try_connect(
        address: SocketAddr,
        path: &str,
        protocol: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        Self::try_connect_from(address, path, protocol, None).await
    }

    /// Connects as a browser does from a page of `origin`.
    pub(crate) async fn try_connect_from(
        address: SocketAddr,
        path: &str,
        protocol: Option<&str>,
        origin: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        }
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(request, stream).await?;
        let session_secret = String::new();
        Ok(Self { socket, next_id: 1, inbox: VecDeque::new(), session_secret, limit: TOO_LONG })
    }

    /// Connects and joins.
    pub(crate) async fn join(server: &Server, room: &str, peer: &str) -> Self {
        let mut client = Self::connect(server, room, peer).await;
        client.request("join", join_data(peer)).await.unwrap();
        client
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_request(&mut self, method: &str, data: Value) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({ "request": true, "id": id, "method": method, "data": data });
        self.send(request.to_string()).await;
        id
    }

    /// Sends a request and returns the data of its response, or errorCode and errorReason.
    pub(crate) async fn request(&mut self, method: &str, data: Value) -> Result<Value, (i64, String)> {
        let id = self.send_request(method, data).await;
        self.response(id).await
    }

    pub(crate) async fn response(&mut self, id: u32) -> Result<Value, (i64, String)> {
        let answer = self.take(|message| message["response"] == true && message["id"] == id).await;
        match answer["ok"] == true {
            true => Ok(answer["data"].clone()),
            false => Err((
                answer["errorCode"].as_i64().unwrap(),
                answer["errorReason"].as_str().unwrap().to_owned(),
            )),
        }
    }

    /// Returns the data of the next notification with this name.
    pub(crate) async fn notification(&mut self, method: &str) -> Value {
        self.take(|message| message["notification"] == true && message["method"] == method).await["data"]
            .take()
    }

    /// Like [`Client::notification`], with another time limit.
    pub(crate) async fn notification_within(&mut self, method: &str, limit: Duration) -> Value {
        self.limit = limit;
        let data = self.notification(method).await;
        self.limit = TOO_LONG;
        data
    }

    /// Returns id and data of the server's next request with this name.
    pub(crate) async fn server_request(&mut self, method: &str) -> (u64, Value) {
        let mut message =
            self.take(|message| message["request"] == true && message["method"] == method).await;
        (message["id"].as_u64().unwrap(), message["data"].take())
    }

    pub(crate) async fn answer(&mut self, id: u64) {
        self.send(json!({ "response": true, "id": id, "ok": true, "data": {} }).to_string()).await;
    }

    /// Names of the requests and notifications that the test has not read.
    pub(crate) fn unasked(&self) -> Vec<&str> {
        self.inbox.iter().filter_map(|message| message["method"].as_str()).collect()
    }

    /// Code and reason with which the server closes the connection.
    pub(crate) async fn close_frame(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    return (CloseCode::into(code), reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }

    /// Closes the connection as a browser does.
    pub(crate) async fn leave(mut self) {
        // Fails if the server has closed first; then reading on completes the close.
        let _ = self.socket.close(None).await;
        while let Some(Ok(_)) = self.frame().await {}
    }

    async fn take(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.inbox.iter().position(&wanted) {
            return self.inbox.remove(at).unwrap();
        }
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if wanted(&message) {
                        return message;
                    }
                    self.inbox.push_back(message);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message but {other:?}; unasked: {:?}", self.inbox),
            }
        }
    }

    /// Reads until the connection ends and returns its close frame.
    pub(crate) async fn read_on(&mut self) -> Option<CloseFrame> {
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Close(frame) = message {
                return frame;
            }
        }
        None
    }

    async fn frame(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        let frame = tokio::time::timeout(self.limit, self.socket.next()).await;
        frame.unwrap_or_else(|_| panic!("nothing came; unasked: {:?}", self.inbox))
    }
}

/// Data of `join`, with capabilities to receive everything.
pub(crate) fn join_data(peer: &str) -> Value {
    json!({
        "displayName": format!("Name of {peer}"),
        "device": { "flag": "chrome", "name": "Chrome", "version": "140" },
        "rtpCapabilities": {
            "codecs": [{
                "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100, "clockRate": 48000,
                "channels": 2, "parameters": {}, "rtcpFeedback": [],
            }],
            "headerExtensions": [],
        },
    })
}

/// An HTTP response: status, head, body.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

pub(crate) async fn get(server: &Server, path: &str) -> Response {
    exchange(TcpStream::connect(server.local_addr()).await.unwrap(), "GET", path).await
}

/// Sends `body` by POST.
pub(crate) async fn post(server: &Server, path: &str, body: &str) -> Response {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    exchange_body(stream, "POST", path, "", body).await
}

/// Sends `body` by POST as a browser does from a page of `origin`.
pub(crate) async fn post_from(server: &Server, path: &str, body: &str, origin: &str) -> Response {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    exchange_body(stream, "POST", path, &format!("Origin: {origin}\r\n"), body).await
}

/// A request with headers, each `Name: value\r\n`.
pub(crate) async fn call(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> Response {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    exchange_body(stream, method, path, headers, body).await
}

pub(crate) async fn delete(server: &Server, path: &str) -> Response {
    exchange(TcpStream::connect(server.local_addr()).await.unwrap(), "DELETE", path).await
}

pub(crate) async fn exchange(
    stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    method: &str,
    path: &str,
) -> Response {
    exchange_body(stream, method, path, "", "").await
}

async fn exchange_body(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Response {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(TOO_LONG, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_owned(), body: body.to_owned() }
}
