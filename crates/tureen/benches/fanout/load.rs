//! Load: the sender and the receivers of the stream, in a separate process.
//!
//! The parent process writes [`Order`]s to its standard input, one in each line, and reads an answer to each.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tureen::prelude::*;
use tureen_client::media::Vp8Source;
use tureen_client::{Event, Identity, OutgoingRtp, SendStreamConfig, Session, SessionConfig};
use tureen_net::{Net, NetConfig, Port, UdpOptions};
use tureen_rtc::dtls::Role;

use crate::process::pin;
use crate::{FPS, LOCALHOST, Layers, PACKETS, PAYLOAD, ssrc_of};

/// First argument of the process that runs as the load.
pub(crate) const ARGUMENT: &str = "--be-the-load";

/// Load process, from the parent's view.
pub(crate) struct Load {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    process: Child,
    /// First message of the load.
    pub(crate) greeting: Greeting,
}

/// First message of the load.
#[derive(Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// Addresses of the sessions, the sender's first.
    pub(crate) addresses: Vec<SocketAddr>,
    /// DTLS parameters of all sessions.
    pub(crate) dtls_parameters: DtlsParameters,
}

/// Packets that arrived in a measurement.
#[derive(Serialize, Deserialize)]
pub(crate) struct Arrivals {
    pub(crate) frames: u64,
    /// Number of media datagrams.
    pub(crate) media: u64,
    /// Median and 99th percentile of the time from the sending of a frame to its first arrival at any receiver, in µs.
    pub(crate) first: [u32; 2],
    /// Median and 99th percentile of the time to the arrival at each receiver, in µs.
    pub(crate) each: [u32; 2],
}

#[derive(Serialize, Deserialize)]
enum Order {
    /// Connect the next session; answered by the SRTP suite.
    Connect { ice: IceParameters, dtls: DtlsParameters, candidate: SocketAddr },
    /// Send the stream; answered by [`Arrivals`].
    Send { seconds: f64 },
    /// Only receive; answered by [`Arrivals`].
    Receive { seconds: f64 },
}

impl Load {
    /// Starts a load with this many sessions.
    pub(crate) fn start(sessions: usize, gro: bool, layers: Layers) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a path of this program"))
            .args([ARGUMENT, &sessions.to_string(), &gro.to_string(), layers.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let orders = process.stdin.take().expect("it is piped");
        let mut answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let greeting = read(&mut answers).expect("a greeting");
        Self { orders, answers, process, greeting }
    }

    /// Connects the next session to a transport that knows the greeting's DTLS parameters. Returns the SRTP suite's name.
    pub(crate) fn connect(&mut self, transport: &WebRtcTransport) -> String {
        let candidate = &transport.ice_candidates()[0];
        let address = candidate.address.parse().expect("an address");
        self.order(&Order::Connect {
            ice: transport.ice_parameters().clone(),
            dtls: transport.dtls_parameters(),
            candidate: SocketAddr::new(address, candidate.port),
        });
        self.answer()
    }

    /// Lets the load send the stream. The first frame of each call is a key frame.
    pub(crate) fn send(&mut self, seconds: f64) -> Arrivals {
        self.order(&Order::Send { seconds });
        self.answer()
    }

    /// Lets the load only receive, until [`answer`](Self::answer).
    pub(crate) fn receive(&mut self, seconds: f64) {
        self.order(&Order::Receive { seconds });
    }

    /// Waits for the answer of the load.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self) -> T {
        read(&mut self.answers).expect("the load answers as long as it lives")
    }

    fn order(&mut self, order: &Order) {
        serde_json::to_writer(&mut self.orders, order).expect("the load reads as long as it lives");
        self.orders.write_all(b"\n").expect("the load reads as long as it lives");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // The process may have exited already; no error can be handled here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the process of the load until its parent closes the pipe.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) {
    pin(1);
    let sessions = arguments.next().and_then(|n| n.parse().ok()).expect("a number of sessions");
    let gro = arguments.next().and_then(|on| on.parse().ok()).expect("whether there is GRO");
    let layers = arguments.next().map(|name| Layers::parse(&name)).expect("layers");
    let mut far_end = FarEnd::new(sessions, gro, layers);
    write(&Greeting {
        addresses: far_end.addresses.clone(),
        dtls_parameters: far_end.identity.dtls_parameters(Role::Client),
    });
    let mut orders = std::io::stdin().lock();
    while let Some(order) = read(&mut orders) {
        match order {
            Order::Connect { ice, dtls, candidate } => write(&far_end.connect(ice, dtls, candidate)),
            Order::Send { seconds } => write(&far_end.send(seconds)),
            Order::Receive { seconds } => {
                let media = far_end.drain(Instant::now() + Duration::from_secs_f64(seconds));
                write(&Arrivals { frames: 0, media, first: [0; 2], each: [0; 2] });
            }
        }
    }
}

struct FarEnd {
    net: Net,
    identity: Identity,
    addresses: Vec<SocketAddr>,
    sessions: Vec<Session>,
    /// One source for each encoding, with its SSRC.
    sources: Vec<(u32, Vp8Source)>,
    timestamp: u32,
    delays: Delays,
}

/// Microseconds from the sending of a frame to its arrivals.
#[derive(Default)]
struct Delays {
    frame: Option<Instant>,
    first: Vec<u32>,
    each: Vec<u32>,
}

impl Delays {
    fn on_frame(&mut self, sent: Instant) {
        self.frame = Some(sent);
        self.first.push(u32::MAX);
    }

    fn on_arrival(&mut self, now: Instant) {
        let (Some(sent), Some(first)) = (self.frame, self.first.last_mut()) else { return };
        let delay = now.saturating_duration_since(sent).as_micros() as u32;
        *first = delay.min(*first);
        self.each.push(delay);
    }
}

/// Median and 99th percentile.
fn percentiles(delays: &mut [u32]) -> [u32; 2] {
    delays.sort_unstable();
    [50, 99]
        .map(|percent| delays.get((delays.len() * percent / 100).min(delays.len().max(1) - 1)).copied())
        .map(Option::unwrap_or_default)
}

impl FarEnd {
    fn new(sessions: usize, gro: bool, layers: Layers) -> Self {
        let mut net = Net::new(NetConfig { gro, ..NetConfig::default() }).expect("a network");
        let addresses = (0..sessions)
            .map(|token| {
                let mut udp = UdpOptions::new(LOCALHOST, Port::Any);
                udp.recv_buffer = Some(1 << 20);
                net.bind_udp(token as u32, &udp).expect("a socket")
            })
            .collect();
        let identity = Identity::generate().expect("a certificate");
        let source = |encoding| match layers {
            Layers::None => Vp8Source::default(),
            Layers::Simulcast | Layers::Svc => Vp8Source::of_simulcast(encoding),
        };
        let sources =
            (0..layers.encodings()).map(|encoding| (ssrc_of(encoding, layers), source(encoding))).collect();
        Self {
            net,
            identity,
            addresses,
            sessions: Vec::new(),
            sources,
            timestamp: 0,
            delays: Delays::default(),
        }
    }

    fn connect(&mut self, ice: IceParameters, dtls: DtlsParameters, candidate: SocketAddr) -> String {
        let index = self.sessions.len();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(index as u64 + 1).to_le_bytes());
        let config = SessionConfig {
            identity: self.identity.clone(),
            dtls_role: Role::Client,
            remote_ice: ice,
            candidates: vec![candidate],
            remote_dtls: dtls,
            cname: format!("session-{index}"),
            sctp: None,
            seed,
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut session = Session::new(config, Instant::now(), unix).expect("a session");
        if index == 0 {
            for (ssrc, _) in &self.sources {
                session.add_send_stream(SendStreamConfig::new(*ssrc, 96, 90_000)).expect("a new SSRC");
            }
        }
        self.sessions.push(session);
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            self.flush(index);
            while let Some(event) = self.sessions[index].poll_event() {
                match event {
                    Event::Connected(suite) => return suite.to_string(),
                    Event::Failed(reason) => panic!("session {index} failed: {reason}"),
                    _ => {}
                }
            }
            assert!(Instant::now() < limit, "session {index} does not connect");
            let at = self.sessions[index].poll_timeout().unwrap_or(limit).min(limit);
            self.drain_once(at);
            self.handle_timeouts();
        }
    }

    /// Sends the stream for `seconds` at the frame rate, and receives it.
    fn send(&mut self, seconds: f64) -> Arrivals {
        let start = Instant::now();
        let frames = (seconds * f64::from(FPS)) as u64;
        let mut media = 0;
        self.delays = Delays::default();
        for number in 0..frames {
            let wanted = self.key_frame_wanted();
            self.send_frame(wanted || number.is_multiple_of(60));
            media += self.drain(start + Duration::from_secs(1) * (number as u32 + 1) / FPS);
            self.handle_timeouts();
        }
        let Delays { mut first, mut each, .. } = std::mem::take(&mut self.delays);
        Arrivals { frames, media, first: percentiles(&mut first), each: percentiles(&mut each) }
    }

    /// True if a key frame was requested from the sending session since the last call.
    fn key_frame_wanted(&mut self) -> bool {
        let events = std::iter::from_fn(|| self.sessions[0].poll_event());
        events.filter(|event| matches!(event, Event::KeyFrameRequested { .. })).count() > 0
    }

    fn send_frame(&mut self, key_frame: bool) {
        let now = Instant::now();
        self.timestamp = self.timestamp.wrapping_add(90_000 / FPS);
        let mut payload = Vec::with_capacity(PAYLOAD);
        let highest = self.sources.len() - 1;
        for (encoding, (ssrc, source)) in self.sources.iter_mut().enumerate() {
            // Each encoding has a quarter of the packets of the next higher one.
            let packets = PACKETS >> (2 * (highest - encoding));
            let frame = source.next_frame(key_frame, packets.max(1) * PAYLOAD, PAYLOAD);
            for packet in 0..frame.packets() {
                payload.clear();
                frame.write_packet(packet, &mut payload);
                let rtp = OutgoingRtp {
                    payload: &payload,
                    timestamp: self.timestamp,
                    marker: frame.is_last(packet),
                    audio_level: None,
                };
                self.sessions[0].send_rtp(now, *ssrc, &rtp).expect("the sending session is connected");
            }
        }
        self.delays.on_frame(now);
        self.flush(0);
    }

    /// Receives until `until`. Returns datagrams of media.
    fn drain(&mut self, until: Instant) -> u64 {
        let mut media = 0;
        while Instant::now() < until {
            media += self.drain_once(until);
        }
        media
    }

    /// Receives from the sockets once data is available. Media is only counted; ICE and DTLS are handled.
    fn drain_once(&mut self, until: Instant) -> u64 {
        let now = Instant::now();
        self.net.wait(Some(until.saturating_duration_since(now))).expect("sockets");
        let (mut media, mut touched) = (0, Vec::new());
        while let Some(batch) = self.net.receive() {
            let index = batch.token() as usize;
            let before = media;
            for datagram in batch {
                if is_media(datagram.data) {
                    media += 1;
                } else if let Some(session) = self.sessions.get_mut(index) {
                    session.handle_datagram(now, datagram.source, datagram.data);
                    touched.push(index);
                }
            }
            if media > before {
                self.delays.on_arrival(Instant::now());
            }
        }
        touched.into_iter().for_each(|index| self.flush(index));
        media
    }

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        for index in 0..self.sessions.len() {
            if self.sessions[index].poll_timeout().is_some_and(|at| at <= now) {
                self.sessions[index].handle_timeout(now);
                self.flush(index);
            }
        }
    }

    /// Sends the datagrams of a session.
    fn flush(&mut self, index: usize) {
        let mut out = Vec::new();
        while let Some(to) = self.sessions[index].poll_transmit(&mut out) {
            self.net.send_slot()[..out.len()].copy_from_slice(&out);
            self.net.commit(index as u32, to, out.len(), out.len());
        }
        self.net.flush();
    }
}

/// True for RTP of the stream, recognised by version and length: handshakes have another first byte, reports are short.
fn is_media(datagram: &[u8]) -> bool {
    datagram.len() > 1000 && datagram[0] >> 6 == 2
}

fn write(answer: &impl Serialize) {
    let mut line = serde_json::to_vec(answer).expect("answers have a JSON form");
    line.push(b'\n');
    std::io::stdout().write_all(&line).expect("the parent reads as long as it lives");
}

/// Next line; `None` at the end.
fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> Option<T> {
    let mut line = String::new();
    from.read_line(&mut line).expect("a pipe");
    (!line.is_empty()).then(|| serde_json::from_str(&line).expect("each side writes what the other reads"))
}
