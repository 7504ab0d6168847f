//! Cost of a data channel message: through a worker over loopback UDP, and in SCTP alone.
//!
//! Everything runs on one thread, so that the time of the engine can be separated from that of the sessions and of the
//! system. Run it by `cargo bench -p tureen-sim --bench data`.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tureen_client::{Event, Identity, Session, SessionConfig};
use tureen_engine::api::{
    ConsumeData, CreateWebRtcTransport, DataTransport, LinkDump, Listen, ProduceData, Request, RequestId,
    Response, WebRtcTransportDump,
};
use tureen_engine::io::{Datagram, SocketCommand};
use tureen_engine::worker::{Limits, Output, Worker, WorkerConfig};
use tureen_rtc::dtls::{Certificate, DtlsOptions, Role};
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::{self, Sctp, SctpState};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_rtc::units::Bitrate;
use tureen_types::data_structures::{ListenInfo, Protocol};
use tureen_types::sctp_parameters::SctpStreamParameters;

const MESSAGE: usize = 1100;
const MESSAGES: u64 = 200_000;
const OPTIONS: SctpOptions = SctpOptions {
    max_send_message_size: 262_144,
    max_receive_message_size: 262_144,
    send_buffer_size: 2_000_000,
    per_stream_send_queue_limit: 2_000_000,
    max_receiver_window_buffer_size: 5_242_880,
    default_buffered_amount_low_threshold: 0,
    outbound_streams: tureen_rtc::sctp::MAX_STREAMS,
    inbound_streams: tureen_rtc::sctp::MAX_STREAMS,
};
/// Bytes that the sender keeps queued. The limit prevents a flood of the sockets.
const BACKLOG: usize = 64 * MESSAGE;

fn main() {
    println!("{MESSAGES} ordered messages of {MESSAGE} bytes, one thread");
    let (time, messages) = sctp_alone();
    print("SCTP alone, both ends, no network", messages, time);
    let routed = Bench::new().run();
    print("session - worker - session, loopback UDP, DTLS", routed.messages, routed.total);
    print("  of which in the worker (two associations, DTLS twice)", routed.messages, routed.worker);
}

fn print(what: &str, messages: u64, time: Duration) {
    let nanos = time.as_nanos() as f64 / messages as f64;
    let mbit = (messages * MESSAGE as u64 * 8) as f64 / time.as_secs_f64() / 1e6;
    println!("{what:<58} {nanos:>7.0} ns a message  {:>8.0} messages/s  {mbit:>6.0} Mbit/s", 1e9 / nanos);
}

/// Two SCTP associations whose packets are delivered at once.
fn sctp_alone() -> (Duration, u64) {
    let now = Instant::now();
    let mut ends = [Sctp::new(OPTIONS, &[1; 32], now), Sctp::new(OPTIONS, &[2; 32], now)];
    ends[0].connect(now);
    let stream = SctpStreamParameters::new_ordered(0);
    let payload = Bytes::from(vec![7; MESSAGE]);
    let (mut sent, mut received) = (0, 0);
    while received < MESSAGES {
        let now = Instant::now();
        while sent < MESSAGES && ends[0].buffered_amount(0) < BACKLOG {
            ends[0].send(stream, 53, payload.clone()).expect("the send buffer is not full");
            sent += 1;
        }
        for from in 0..2 {
            while let Some(packet) = ends[from].poll_packet(now) {
                ends[1 - from].handle_packet(now, &packet);
            }
            if ends[from].poll_timeout().is_some_and(|at| at <= now) {
                ends[from].handle_timeout(now);
            }
            while let Some(event) = ends[from].poll_event() {
                received += u64::from(matches!(event, sctp::Event::Message { .. }));
            }
        }
    }
    (now.elapsed(), received)
}

struct Routed {
    messages: u64,
    total: Duration,
    worker: Duration,
}

/// A worker with one socket, and two sessions, each with a socket of its own.
struct Bench {
    worker: Worker,
    sockets: Vec<UdpSocket>,
    peers: Vec<(Session, UdpSocket)>,
    buffer: Vec<u8>,
    request: u64,
    in_worker: Duration,
    responses: Vec<Response>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let certificate = Certificate::generate().expect("the system has randomness");
        let config = WorkerConfig {
            certificate,
            dtls: DtlsOptions::default(),
            limits: Limits::default(),
            seed: [5; 32],
        };
        let unix = Duration::from_secs(1_800_000_000);
        let mut bench = Self {
            worker: Worker::new(config, now, unix).expect("default options"),
            sockets: Vec::new(),
            peers: Vec::new(),
            buffer: vec![0; 64 << 10],
            request: 0,
            in_worker: Duration::ZERO,
            responses: Vec::new(),
        };
        bench.request(Request::CreateRouter("router".into()));
        for id in ["0", "1"] {
            bench.join(id, unix);
        }
        bench
    }

    fn run(mut self) -> Routed {
        let stream = SctpStreamParameters::new_ordered(0);
        self.request(Request::ProduceData(ProduceData {
            transport_id: "0".into(),
            id: "producer".into(),
            transport: DataTransport::Sctp(stream),
            label: String::new(),
            protocol: String::new(),
            paused: false,
        }));
        self.request(Request::ConsumeData(ConsumeData {
            transport_id: "1".into(),
            data_producer_id: "producer".into(),
            id: "consumer".into(),
            transport: DataTransport::Sctp(stream),
            label: String::new(),
            protocol: String::new(),
            paused: false,
            subchannels: Vec::new(),
        }));
        let mut connected = 0;
        while connected < 2 {
            connected += self.turn(|event| *event == Event::Sctp(SctpState::Connected));
        }
        let payload = Bytes::from(vec![7; MESSAGE]);
        let (start, mut sent, mut received) = (Instant::now(), 0, 0);
        self.in_worker = Duration::ZERO;
        while received < MESSAGES {
            let sender = &mut self.peers[0].0;
            while sent < MESSAGES && sender.buffered_amount(0) < BACKLOG {
                sender
                    .send_message(Instant::now(), stream, 53, payload.clone())
                    .expect("the send buffer is not full");
                sent += 1;
            }
            received += self.turn(|event| matches!(event, Event::Message { .. }));
        }
        Routed { messages: received, total: start.elapsed(), worker: self.in_worker }
    }

    fn join(&mut self, id: &str, unix: Duration) {
        let listen = ListenInfo {
            protocol: Protocol::Udp,
            ip: Ipv4Addr::LOCALHOST.into(),
            announced_address: None,
            expose_internal_ip: false,
            port: None,
            port_range: None,
            flags: None,
            send_buffer_size: None,
            recv_buffer_size: None,
        };
        let created = self.request(Request::CreateWebRtcTransport(CreateWebRtcTransport {
            router_id: "router".into(),
            id: id.into(),
            listen: Listen::Individual(vec![listen]),
            enable_udp: true,
            enable_tcp: false,
            prefer_udp: false,
            prefer_tcp: false,
            ice_consent_timeout: None,
            initial_available_outgoing_bitrate: Bitrate::kbps(600),
            sctp: Some(OPTIONS),
        }));
        let WebRtcTransportDump { ice_parameters, ice_candidates, dtls_parameters, .. } = webrtc(created);
        let candidate = &ice_candidates[0];
        let address = candidate.address.parse().expect("no address is announced");
        let identity = Identity::generate().expect("the system has randomness");
        let config = SessionConfig {
            identity: identity.clone(),
            dtls_role: Role::Client,
            remote_ice: ice_parameters,
            candidates: vec![SocketAddr::new(address, candidate.port)],
            remote_dtls: dtls_parameters,
            cname: id.to_owned(),
            sctp: Some(OPTIONS),
            seed: [self.peers.len() as u8; 32],
        };
        let session = Session::new(config, Instant::now(), unix).expect("the worker's own parameters");
        self.peers.push((session, socket()));
        self.request(Request::ConnectWebRtcTransport(id.into(), identity.dtls_parameters(Role::Client)));
    }

    fn request(&mut self, request: Request) -> Response {
        self.request += 1;
        self.worker.handle_request(Instant::now(), RequestId(self.request), request);
        self.drain_worker();
        self.responses.pop().expect("an answer comes once sockets are bound")
    }

    /// Delivers all waiting datagrams. Returns the number of events for which `counts` is true.
    fn turn(&mut self, counts: impl Fn(&Event) -> bool) -> u64 {
        let mut counted = 0;
        let mut datagram = Vec::new();
        for (session, socket) in &mut self.peers {
            while let Ok((len, from)) = socket.recv_from(&mut self.buffer) {
                session.handle_datagram(Instant::now(), from, &mut self.buffer[..len]);
            }
            if session.poll_timeout().is_some_and(|at| at <= Instant::now()) {
                session.handle_timeout(Instant::now());
            }
            while let Some(event) = session.poll_event() {
                counted += u64::from(counts(&event));
            }
            while let Some(to) = session.poll_transmit(&mut datagram) {
                // A datagram that does not fit into the socket's buffer is lost, as on a network.
                let _ = socket.send_to(&datagram, to);
            }
        }
        for socket in 0..self.sockets.len() {
            while let Ok((len, remote)) = self.sockets[socket].recv_from(&mut self.buffer) {
                let tuple = Tuple { socket: SocketId(socket as u32), remote };
                let begin = Instant::now();
                let data = &mut self.buffer[..len];
                self.worker.handle_datagrams(begin, std::iter::once(Datagram { tuple, data }));
                self.in_worker += begin.elapsed();
            }
            self.drain_worker();
        }
        let now = Instant::now();
        if self.worker.poll_timeout().is_some_and(|at| at <= now) {
            self.worker.handle_timeout(now);
            self.drain_worker();
        }
        counted
    }

    fn drain_worker(&mut self) {
        loop {
            let begin = Instant::now();
            let transmit = self.worker.poll_transmit(begin, &mut self.buffer);
            self.in_worker += begin.elapsed();
            let Some(transmit) = transmit else { break };
            let Tuple { socket, remote } = transmit.tuple;
            for datagram in self.buffer[..transmit.len].chunks(transmit.segment_size) {
                let _ = self.sockets[socket.0 as usize].send_to(datagram, remote);
            }
        }
        while let Some(output) = self.worker.poll_output() {
            match output {
                Output::Socket(SocketCommand::BindUdp(id, _)) => {
                    let socket = socket();
                    let address = socket.local_addr().expect("it is bound");
                    assert_eq!(id.0 as usize, self.sockets.len(), "sockets are counted from zero");
                    self.sockets.push(socket);
                    self.worker.handle_socket_bound(Instant::now(), id, Ok(address));
                }
                Output::Response(_, response) => {
                    self.responses.push(response.expect("the requests are right"));
                }
                Output::Socket(_) | Output::Notification(_) => {}
            }
        }
    }
}

fn webrtc(response: Response) -> WebRtcTransportDump {
    let Response::TransportDump(dump) = response else { panic!("not a dump: {response:?}") };
    let LinkDump::WebRtc(dump) = dump.link else { panic!("not a WebRtcTransport") };
    dump
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_nonblocking(true).expect("a socket can be made not to block");
    socket
}
