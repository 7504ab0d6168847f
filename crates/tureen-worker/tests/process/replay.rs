//! Replay of a recorded session of mediasoup 3.5. `tests/data/recorded_run.jsonl` contains the requests of an
//! application, the worker's responses, and the worker's events, in order. The requests are sent again, and each
//! response and event must have the recorded keys and types of values.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value, json};
use tureen_client::media::OpusSource;
use tureen_client::{Event, Identity, OutgoingRtp, SendStreamConfig, Session, SessionConfig};
use tureen_rtc::dtls::Role;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::{MAX_STREAMS, Sctp};
use tureen_rtc::wire::rtp::Extension;
use tureen_rtc::wire::stun::{StunClass, StunWriter};
use tureen_types::data_structures::IceParameters;

use crate::json_parent::JsonParent;

const RECORDED: &str = include_str!("../data/recorded_run.jsonl");
/// Version of the library in the recording, which does not support DirectTransports yet.
const VERSION: &str = "3.5.15";
const REQUESTS: usize = 26;
/// Time limit for a response or event of the worker, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn recorded_run_of_mediasoup_gives_the_same_output() {
    let mut stage = Stage::new();
    let mut requests = 0;
    for line in RECORDED.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line.get("request") {
            Some(request) => {
                requests += 1;
                let response = stage.request(requests, request);
                assert_alike(&line["response"], &response, &format!("response {requests}"));
            }
            None => stage.expect_event(&line),
        }
    }
    assert_eq!(requests, REQUESTS);
    assert!(stage.events.is_empty(), "{:?}", stage.events);
}

/// The application and the remote peers.
struct Stage {
    parent: JsonParent,
    /// Dumps of the transports.
    transports: HashMap<String, Value>,
    peers: HashMap<String, Peer>,
    /// Received events that were not waited for yet.
    events: Vec<Value>,
}

impl Stage {
    fn new() -> Self {
        let parent = JsonParent::start(VERSION);
        Self { parent, transports: HashMap::new(), peers: HashMap::new(), events: Vec::new() }
    }

    /// Sends a request with the addresses and fingerprints of this run's peers. Returns the response without its id.
    fn request(&mut self, id: usize, recorded: &Value) -> Value {
        let mut request = recorded.clone();
        request["id"] = json!(id);
        let method = recorded["method"].as_str().unwrap();
        let transport = recorded["internal"]["transportId"].as_str().unwrap_or_default().to_owned();
        if method == "transport.connect" {
            let peer = self.peer_for(&transport, &recorded["data"]);
            peer.introduce(&mut request["data"]);
            self.peers.insert(transport.clone(), peer);
        }
        self.parent.send(&request);
        let mut response = self.wait(|message| message.get("id") == Some(&json!(id)));
        response.as_object_mut().unwrap().remove("id");
        if method.starts_with("router.create") {
            self.transports.insert(transport, response["data"].clone());
        } else if method == "transport.produce" && recorded["data"]["kind"] == "audio" {
            let ssrc = recorded["data"]["rtpParameters"]["encodings"][0]["ssrc"].as_u64().unwrap();
            self.peers.get_mut(&transport).unwrap().speak(ssrc as u32);
        }
        response
    }

    /// Peer of a transport, of the kind that the recorded parameters show.
    fn peer_for(&self, transport: &str, connect: &Value) -> Peer {
        let dump = &self.transports[transport];
        match connect["dtlsParameters"]["role"].as_str() {
            Some(role) => Peer::browser(dump, if role == "client" { Role::Client } else { Role::Server }),
            None => Peer::bot(&dump["tuple"]),
        }
    }

    fn expect_event(&mut self, recorded: &Value) {
        let (event, mut target) = (&recorded["event"], recorded["target"].clone());
        if event == "running" {
            target = json!(self.parent.pid().to_string());
        }
        let is_it = |message: &Value| message["event"] == *event && message["targetId"] == target;
        let actual = match self.events.iter().position(is_it) {
            Some(index) => self.events.remove(index),
            None => self.wait(is_it),
        };
        let recorded_data = recorded.get("data").unwrap_or(&Value::Null);
        let actual_data = actual.get("data").unwrap_or(&Value::Null);
        assert_alike(recorded_data, actual_data, &format!("{event} of {target}"));
        for state in ["iceState", "dtlsState", "sctpState"] {
            assert_eq!(recorded_data.get(state), actual_data.get(state), "{event} of {target}");
        }
    }

    /// Runs all peers until a message matches. Earlier events are kept.
    fn wait(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let end = now() + PATIENCE;
        loop {
            while let Some(message) = self.parent.receive() {
                if is_it(&message) {
                    return message;
                }
                assert!(message.get("id").is_none(), "an answer to nothing: {message}");
                self.events.push(message);
            }
            let now = now();
            assert!(now < end, "nothing came; events that nobody waits for: {:#?}", self.events);
            let due = self.peers.values_mut().map(|peer| peer.act(now)).min().unwrap_or(end).min(end);
            let mut waits = vec![PollFd::new(&self.parent, PollFlags::IN)];
            waits.extend(self.peers.values().map(|peer| PollFd::new(&peer.socket, PollFlags::IN)));
            let timeout = due.saturating_duration_since(now) + Duration::from_millis(1);
            poll(&mut waits, Some(&Timespec::try_from(timeout).unwrap())).unwrap();
        }
    }
}

/// Remote peer of a transport.
struct Peer {
    socket: UdpSocket,
    kind: Kind,
}

enum Kind {
    Browser { session: Box<Session>, identity: Identity, role: Role, voice: Option<Voice> },
    Bot { sctp: Box<Sctp>, worker: SocketAddr },
}

/// An audio stream.
struct Voice {
    ssrc: u32,
    next: Instant,
    timestamp: u32,
    source: OpusSource,
}

impl Peer {
    /// Creates a browser from the parameters of its transport.
    fn browser(dump: &Value, role: Role) -> Self {
        let read = |candidate: &Value| -> SocketAddr {
            let ip: IpAddr = candidate["ip"].as_str().unwrap().parse().unwrap();
            (ip, candidate["port"].as_u64().unwrap() as u16).into()
        };
        let identity = Identity::generate().unwrap();
        let config = SessionConfig {
            identity: identity.clone(),
            dtls_role: role,
            remote_ice: serde_json::from_value(dump["iceParameters"].clone()).unwrap(),
            candidates: dump["iceCandidates"].as_array().unwrap().iter().map(read).collect(),
            remote_dtls: serde_json::from_value(dump["dtlsParameters"].clone()).unwrap(),
            cname: "browser".to_owned(),
            sctp: Some(SCTP),
            seed: [role as u8; 32],
        };
        let (to, remote) = (config.candidates[0], config.remote_ice.clone());
        let session = Session::new(config, now(), Duration::from_secs(1_800_000_000)).unwrap();
        let check = check(&remote, &session.ice_parameters());
        let session = Box::new(session);
        let browser = Self::new(Kind::Browser { session, identity, role, voice: None });
        browser.socket.send_to(&check, to).unwrap();
        browser
    }

    /// Creates a program that uses SCTP over plain UDP.
    fn bot(tuple: &Value) -> Self {
        let port = tuple["localPort"].as_u64().unwrap() as u16;
        let sctp = Box::new(Sctp::new(SCTP, &[7; 32], now()));
        Self::new(Kind::Bot { sctp, worker: (Ipv4Addr::LOCALHOST, port).into() })
    }

    fn new(kind: Kind) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, kind }
    }

    /// Replaces the recorded parameters of the remote peer by those of this one.
    fn introduce(&self, connect: &mut Value) {
        match &self.kind {
            Kind::Browser { identity, role, .. } => {
                connect["dtlsParameters"] = serde_json::to_value(identity.dtls_parameters(*role)).unwrap();
            }
            Kind::Bot { .. } => connect["port"] = json!(self.socket.local_addr().unwrap().port()),
        }
    }

    /// Starts to send audio once the session is connected.
    fn speak(&mut self, ssrc: u32) {
        let Kind::Browser { session, voice, .. } = &mut self.kind else { panic!("bots do not speak") };
        let mut stream = SendStreamConfig::new(ssrc, 111, tureen_client::media::OPUS_CLOCK_RATE);
        stream.extension_ids[Extension::Mid] = NonZeroU8::new(4);
        stream.mid = Some("0".to_owned());
        session.add_send_stream(stream).unwrap();
        *voice = Some(Voice { ssrc, next: now(), timestamp: 0, source: OpusSource::default() });
    }

    /// Handles everything that is due now, and returns the next timeout.
    fn act(&mut self, now: Instant) -> Instant {
        let mut datagram = [0; 2048];
        while let Ok((len, from)) = self.socket.recv_from(&mut datagram) {
            match &mut self.kind {
                Kind::Browser { session, .. } => _ = session.handle_datagram(now, from, &mut datagram[..len]),
                Kind::Bot { sctp, .. } => sctp.handle_packet(now, &datagram[..len]),
            }
        }
        match &mut self.kind {
            Kind::Browser { session, voice, .. } => {
                session.handle_timeout(now);
                while let Some(event) = session.poll_event() {
                    assert!(!matches!(event, Event::Failed(_) | Event::Closed), "{event:?}");
                }
                let next = voice.as_mut().map(|voice| voice.continue_on(session, now));
                let mut out = Vec::new();
                while let Some(to) = session.poll_transmit(&mut out) {
                    self.socket.send_to(&out, to).unwrap();
                }
                [session.poll_timeout(), next].into_iter().flatten().min()
            }
            Kind::Bot { sctp, worker } => {
                sctp.connect(now);
                sctp.handle_timeout(now);
                while sctp.poll_event().is_some() {}
                while let Some(packet) = sctp.poll_packet(now) {
                    self.socket.send_to(&packet, *worker).unwrap();
                }
                sctp.poll_timeout()
            }
        }
        .unwrap_or(now + PATIENCE)
    }
}

impl Voice {
    /// Sends the packets that are due. Returns the time of the next one.
    fn continue_on(&mut self, session: &mut Session, now: Instant) -> Instant {
        while self.next <= now {
            self.next += Duration::from_millis(20);
            self.timestamp += OpusSource::SAMPLES;
            let mut payload = Vec::new();
            self.source.write_next(60, &mut payload);
            let packet = OutgoingRtp {
                payload: &payload,
                timestamp: self.timestamp,
                marker: false,
                audio_level: None,
            };
            if session.is_connected() {
                session.send_rtp(now, self.ssrc, &packet).unwrap();
            }
        }
        self.next
    }
}

pub(crate) const SCTP: SctpOptions = SctpOptions {
    max_send_message_size: 262_144,
    max_receive_message_size: 262_144,
    send_buffer_size: 262_144,
    per_stream_send_queue_limit: 262_144,
    max_receiver_window_buffer_size: 262_144,
    default_buffered_amount_low_threshold: 0,
    outbound_streams: MAX_STREAMS,
    inbound_streams: MAX_STREAMS,
};

/// An ICE check that does not nominate, as browsers send it first; [`Session`] nominates by its first one.
fn check(remote: &IceParameters, local: &IceParameters) -> Vec<u8> {
    let mut check = Vec::new();
    StunWriter::new(&mut check, StunClass::Request, 1, [9; 12])
        .username(&format!("{}:{}", remote.username_fragment, local.username_fragment))
        .unwrap()
        .priority(0x6e00_01ff)
        .ice_controlling(1)
        .finish_with_integrity(remote.password.as_bytes());
    check
}

/// Asserts that both have the same keys and types of values. Of lists the first entries are compared.
fn assert_alike(recorded: &Value, actual: &Value, at: &str) {
    match (recorded, actual) {
        (Value::Object(recorded), Value::Object(actual)) => {
            let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(recorded), keys(actual), "{at}");
            for (key, value) in recorded {
                assert_alike(value, &actual[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(recorded), Value::Array(actual)) => {
            assert_eq!(recorded.is_empty(), actual.is_empty(), "{at}");
            if let (Some(recorded), Some(actual)) = (recorded.first(), actual.first()) {
                assert_alike(recorded, actual, &format!("{at}[0]"));
            }
        }
        (Value::Null, Value::Null)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => {}
        _ => panic!("{at}: {recorded} was, {actual} is"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the worker lives in real time, and so do its peers")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
