//! A call through the server: one peer receives the other peer's packets, one after the other, on a separate thread.
#![expect(clippy::disallowed_methods, reason = "tests may read the clock")]

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tureen_client::{
    Identity, OutgoingRtp, Received, RecvStreamConfig, SendStreamConfig, Session, SessionConfig,
};
use tureen_rtc::dtls::Role;
use tureen_server::Server;

use crate::client::{Client, join_data};

const SSRC: u32 = 5000;
const PAYLOAD_TYPE: u8 = 111;

/// Interval of packets.
const PACE: Duration = Duration::from_millis(5);
/// Time after which a packet counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// Latency that an attack may add, at the 99th percentile.
const MARGIN: Duration = Duration::from_millis(5);

pub(crate) struct Call {
    stop: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
    quiet: Duration,
    thread: Option<JoinHandle<()>>,
    readers: [tokio::task::JoinHandle<()>; 2],
}

#[derive(Default)]
struct Heard {
    latencies: Vec<Duration>,
    lost: u32,
}

impl Heard {
    /// 99th percentile of the latency.
    fn p99(&mut self) -> Duration {
        self.latencies.sort_unstable();
        let count = self.latencies.len();
        self.latencies.get(count * 99 / 100).or(self.latencies.last()).copied().unwrap_or_default()
    }
}

impl Call {
    /// Starts a call in the room "call".
    pub(crate) async fn start(server: &Server) -> Self {
        let mut speaker = Client::connect(server, "call", "speaker").await;
        let (mut sending, transport) = Media::connect(&mut speaker, true).await;
        speaker.request("join", join_data("speaker")).await.unwrap();
        let mut listener = Client::connect(server, "call", "listener").await;
        let (mut receiving, _) = Media::connect(&mut listener, false).await;
        listener.request("join", join_data("listener")).await.unwrap();

        let produce = json!({
            "transportId": transport,
            "kind": "audio",
            "rtpParameters": {
                "mid": "0",
                "codecs": [{
                    "mimeType": "audio/opus", "payloadType": PAYLOAD_TYPE, "clockRate": 48000, "channels": 2,
                }],
                "encodings": [{ "ssrc": SSRC }],
            },
        });
        speaker.request("produce", produce).await.unwrap();
        sending.session.add_send_stream(SendStreamConfig::new(SSRC, PAYLOAD_TYPE, 48_000)).unwrap();
        let (request, consumer) = listener.server_request("newConsumer").await;
        let parameters = &consumer["rtpParameters"];
        let ssrc = u32::try_from(parameters["encodings"][0]["ssrc"].as_u64().unwrap()).unwrap();
        let payload_type = u8::try_from(parameters["codecs"][0]["payloadType"].as_u64().unwrap()).unwrap();
        receiving.session.add_recv_stream(RecvStreamConfig::new(ssrc, payload_type, 48_000)).unwrap();
        listener.answer(request).await;
        listener.notification("consumerScore").await;

        let readers =
            [speaker, listener].map(|mut peer| tokio::spawn(async move { drop(peer.read_on().await) }));
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(Mutex::new(Heard::default()));
        let thread = std::thread::spawn({
            let (stop, heard) = (Arc::clone(&stop), Arc::clone(&heard));
            move || exchange(&mut sending, &mut receiving, &stop, &heard)
        });
        Self { stop, heard, quiet: Duration::ZERO, thread: Some(thread), readers }
    }

    /// Measures the latency before an attack.
    pub(crate) async fn measure_quiet(&mut self) {
        while self.heard.lock().unwrap().latencies.len() < 300 {
            tokio::time::sleep(PACE).await;
        }
        let mut heard = std::mem::take(&mut *self.heard.lock().unwrap());
        assert_eq!(heard.lost, 0, "before the attack");
        self.quiet = heard.p99();
    }

    /// Asserts that no packet was lost or late since then.
    pub(crate) fn assert_undisturbed(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        for reader in &self.readers {
            assert!(!reader.is_finished(), "a peer of the call was closed");
            reader.abort();
        }
        let mut heard = std::mem::take(&mut *self.heard.lock().unwrap());
        let (p99, quiet, count) = (heard.p99(), self.quiet, heard.latencies.len());
        println!("call: {count} packets, {} lost, p99 {p99:?}, quiet {quiet:?}", heard.lost);
        assert!(count > 0);
        assert_eq!(heard.lost, 0);
        if std::env::var_os("TUREEN_ALONE").is_some() {
            assert!(p99 <= quiet + MARGIN, "p99 {p99:?}, quiet {quiet:?}");
        }
    }
}

/// Sends packets, each after the previous one was received.
fn exchange(sending: &mut Media, receiving: &mut Media, stop: &AtomicBool, heard: &Mutex<Heard>) {
    let (mut number, mut begun) = (0_u32, false);
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let payload = number.to_be_bytes().repeat(15);
        let packet =
            OutgoingRtp { payload: &payload, timestamp: 960 * number, marker: false, audio_level: None };
        let start = Instant::now();
        sending.session.send_rtp(start, SSRC, &packet).unwrap();
        sending.turn(None);
        let came = loop {
            if receiving.turn(Some(&payload)) {
                break Some(start.elapsed());
            }
            if start.elapsed() > if begun { LOST_AFTER } else { PACE } {
                break None;
            }
        };
        let mut heard = heard.lock().unwrap();
        match came {
            Some(latency) => {
                begun = true;
                heard.latencies.push(latency);
            }
            // The server may learn of the end of the handshake later than its client.
            None => heard.lost += u32::from(begun),
        }
        drop(heard);
        std::thread::sleep(PACE.saturating_sub(start.elapsed()));
    }
}

/// A peer's transport over a real socket.
struct Media {
    session: Session,
    socket: UdpSocket,
}

impl Media {
    /// Connects a transport of `client` and returns it with its id.
    async fn connect(client: &mut Client, producing: bool) -> (Self, Value) {
        let data = json!({ "producing": producing, "consuming": !producing, "forceTcp": false });
        let transport = client.request("createWebRtcTransport", data).await.unwrap();
        let of = |key: &str| transport[key].clone();
        let candidate = &transport["iceCandidates"][0];
        let ip = candidate["address"].as_str().unwrap().parse().unwrap();
        let port = u16::try_from(candidate["port"].as_u64().unwrap()).unwrap();
        let config = SessionConfig {
            identity: Identity::generate().unwrap(),
            dtls_role: Role::Client,
            remote_ice: serde_json::from_value(of("iceParameters")).unwrap(),
            candidates: vec![SocketAddr::new(ip, port)],
            remote_dtls: serde_json::from_value(of("dtlsParameters")).unwrap(),
            cname: "call".to_owned(),
            sctp: None,
            seed: [u8::from(producing); 32],
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let session = Session::new(config, Instant::now(), unix).unwrap();
        let connect = json!({ "transportId": of("id"), "dtlsParameters": session.dtls_parameters() });
        client.request("connectWebRtcTransport", connect).await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let media = tokio::task::spawn_blocking(move || {
            let mut media = Self { session, socket };
            let start = Instant::now();
            while !media.session.is_connected() {
                assert!(start.elapsed() < Duration::from_secs(20), "it takes too long");
                media.turn(None);
            }
            media
        });
        (media.await.unwrap(), of("id"))
    }

    /// Sends waiting datagrams, and receives for a millisecond. Returns true if `wanted` was received.
    fn turn(&mut self, wanted: Option<&[u8]>) -> bool {
        let mut out = Vec::new();
        while let Some(to) = self.session.poll_transmit(&mut out) {
            self.socket.send_to(&out, to).unwrap();
        }
        let mut found = false;
        let mut buffer = [0; 2048];
        // A connected sender does not wait for datagrams.
        self.socket.set_nonblocking(wanted.is_none() && self.session.is_connected()).unwrap();
        if let Ok((len, from)) = self.socket.recv_from(&mut buffer)
            && let Received::Rtp(rtp) = self.session.handle_datagram(Instant::now(), from, &mut buffer[..len])
        {
            found = wanted == Some(rtp.payload);
        }
        while self.session.poll_event().is_some() {}
        if self.session.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            self.session.handle_timeout(Instant::now());
        }
        found
    }
}
