//! Peers whose media connection ends while their WebSocket is alive.
#![expect(clippy::disallowed_methods, reason = "tests may read the clock")]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tureen_client::{Event, Identity, Session, SessionConfig};
use tureen_rtc::dtls::Role;

use crate::client::{Client, config, join_data};

/// Shortest consent time-out that the server allows (RFC 7675 has 30 s, mediasoup 10 to 60).
const CONSENT_S: u64 = 10;

/// A client's transport over a real socket.
struct Media {
    session: Session,
    socket: UdpSocket,
    /// Time of the first check.
    begun: Instant,
}

impl Media {
    /// Connects a sending transport of `client`.
    async fn connect(client: &mut Client) -> Self {
        let data = json!({ "producing": true, "consuming": false, "forceTcp": false });
        let transport = client.request("createWebRtcTransport", data).await.unwrap();
        let of = |key: &str| transport[key].clone();
        let candidate = &transport["iceCandidates"][0];
        let port = candidate["port"].as_u64().unwrap() as u16;
        let address: Value = candidate.get("address").or(candidate.get("ip")).unwrap().clone();
        let session = SessionConfig {
            identity: Identity::generate().unwrap(),
            dtls_role: Role::Client,
            remote_ice: serde_json::from_value(of("iceParameters")).unwrap(),
            candidates: vec![SocketAddr::new(address.as_str().unwrap().parse().unwrap(), port)],
            remote_dtls: serde_json::from_value(of("dtlsParameters")).unwrap(),
            cname: "lost".to_owned(),
            sctp: None,
            seed: [7; 32],
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let begun = Instant::now();
        let session = Session::new(session, begun, unix).unwrap();
        let connect = json!({ "transportId": of("id"), "dtlsParameters": session.dtls_parameters() });
        client.request("connectWebRtcTransport", connect).await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut media = Self { session, socket, begun };
        while !media.session.is_connected() {
            media.turn().await;
        }
        media
    }

    /// Sends what is ready, then waits for a datagram or a timer.
    async fn turn(&mut self) {
        self.flush().await;
        let mut buffer = [0; 2048];
        let due = self.session.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(5));
        tokio::select! {
            received = self.socket.recv_from(&mut buffer) => {
                let (len, from) = received.unwrap();
                self.session.handle_datagram(Instant::now(), from, &mut buffer[..len]);
            }
            () = tokio::time::sleep_until(due.into()) => self.session.handle_timeout(Instant::now()),
        }
        while let Some(event) = self.session.poll_event() {
            assert!(!matches!(event, Event::Failed(_)), "{event:?}");
        }
    }

    async fn flush(&mut self) {
        let mut out = Vec::new();
        while let Some(to) = self.session.poll_transmit(&mut out) {
            self.socket.send_to(&out, to).await.unwrap();
        }
    }
}

/// A room with `a`, whose media is connected, and `b`.
async fn room() -> (tureen_server::Server, Client, Media, Client) {
    let mut config = config();
    config.timeouts.ice_consent = Duration::from_secs(CONSENT_S);
    let server = tureen_server::Server::start(config).await.unwrap();
    let mut a = Client::connect(&server, "r", "a").await;
    let media = Media::connect(&mut a).await;
    a.request("join", join_data("a")).await.unwrap();
    let b = Client::join(&server, "r", "b").await;
    (server, a, media, b)
}

#[tokio::test]
async fn a_peer_whose_udp_is_cut_off_leaves_within_the_consent_timeout() {
    let (_server, mut a, media, mut b) = room().await;
    let begun = media.begun;
    drop(media);
    let within = Duration::from_secs(CONSENT_S + 20);
    assert_eq!(b.notification_within("peerClosed", within).await["peerId"], "a");
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_secs(CONSENT_S), "too early: {elapsed:?}");
    assert_eq!(a.close_frame().await.0, 4001, "protoo-client comes back after this code");
}

#[tokio::test]
async fn a_peer_that_closes_dtls_leaves_at_once() {
    let (_server, mut a, mut media, mut b) = room().await;
    media.session.close(Instant::now());
    media.flush().await;
    assert_eq!(b.notification("peerClosed").await["peerId"], "a");
    assert_eq!(a.close_frame().await.0, 4001);
}
