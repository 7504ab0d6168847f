//! SCTP without DTLS on plain and pipe transports, messages on direct transports, and packets of strangers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tureen_engine::api::{
    ConnectPipe, ConnectPlain, ConsumeData, CreateDirectTransport, CreatePipeTransport, CreatePlainTransport,
    DataConsumerEvent, DataMessage, DataTransport, Injection, LinkDump, Notification, ProduceData,
    Publication, Request, Response, TransportId,
};
use tureen_engine::protection::MasterKey;
use tureen_rtc::sctp::{Event, Sctp, SctpState};
use tureen_sim::{Call, NodeId, ROUTER};
use tureen_types::data_structures::TransportTuple;
use tureen_types::sctp_parameters::SctpStreamParameters;
use tureen_types::srtp_parameters::SrtpCryptoSuite;

use crate::data::OPTIONS;
use crate::{MS, good_link, raw_rtp};

const REMOTE: ([u8; 4], u16) = ([198, 51, 100, 1], 6000);
const STRANGER: ([u8; 4], u16) = ([203, 0, 113, 7], 9);

/// SCTP endpoint at a plain address.
struct Remote {
    sctp: Sctp,
    /// Origin of the endpoint's clock.
    start: Instant,
    engine: SocketAddr,
    events: Vec<Event>,
}

impl Remote {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time; nothing depends on which")]
    fn new(call: &mut Call, engine: SocketAddr) -> Self {
        call.network.listen_at(REMOTE.into());
        let start = Instant::now();
        Self { sctp: Sctp::new(OPTIONS, &[9; 32], start), start, engine, events: Vec::new() }
    }

    fn run(&mut self, call: &mut Call, time: Duration) {
        let end = call.network.elapsed() + time;
        while call.network.elapsed() < end {
            let now = self.start + call.network.elapsed();
            for packet in call.network.take_datagrams_at(REMOTE.into()) {
                self.sctp.handle_packet(now, &packet);
            }
            if self.sctp.poll_timeout().is_some_and(|at| at <= now) {
                self.sctp.handle_timeout(now);
            }
            while let Some(event) = self.sctp.poll_event() {
                self.events.push(event);
            }
            while let Some(packet) = self.sctp.poll_packet(now) {
                call.network.inject(REMOTE.into(), self.engine, packet.to_vec());
            }
            call.network.run_for(5 * MS);
        }
    }

    fn send(&mut self, stream: u16, text: &str) {
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.sctp.send(SctpStreamParameters::new_ordered(stream), 51, text).unwrap();
    }

    fn messages(&self) -> Vec<(u16, Bytes)> {
        let message = |event: &Event| match event {
            Event::Message { stream, payload, .. } => Some((*stream, payload.clone())),
            _ => None,
        };
        self.events.iter().filter_map(message).collect()
    }
}

fn ordered(stream: u16) -> SctpStreamParameters {
    SctpStreamParameters::new_ordered(stream)
}

fn produce(call: &mut Call, transport: &str, id: &str, path: DataTransport) {
    call.request(Request::ProduceData(ProduceData {
        transport_id: transport.into(),
        id: id.into(),
        transport: path,
        label: String::new(),
        protocol: String::new(),
        paused: false,
    }));
}

fn consume(call: &mut Call, transport: &str, producer: &str, id: &str, path: DataTransport) {
    call.request(Request::ConsumeData(ConsumeData {
        transport_id: transport.into(),
        data_producer_id: producer.into(),
        id: id.into(),
        transport: path,
        label: String::new(),
        protocol: String::new(),
        paused: false,
        subchannels: Vec::new(),
    }));
}

fn text(text: &str) -> DataMessage {
    DataMessage { ppid: 51, payload: text.into() }
}

fn local(tuple: &TransportTuple) -> SocketAddr {
    SocketAddr::new(tuple.local_address().parse().unwrap(), tuple.local_port())
}

fn plain(call: &mut Call, comedia: bool, srtp: Option<SrtpCryptoSuite>) -> SocketAddr {
    let create = CreatePlainTransport {
        router_id: ROUTER.into(),
        id: "plain".into(),
        listen_info: raw_rtp::listen_info(),
        rtcp_listen_info: None,
        rtcp_mux: true,
        comedia,
        srtp,
        initial_available_outgoing_bitrate: None,
        sctp: Some(OPTIONS),
    };
    let Response::TransportDump(dump) = call.request(Request::CreatePlainTransport(create)) else {
        panic!("not a dump")
    };
    let sctp = dump.sctp.expect("it has SCTP");
    assert_eq!((sctp.state, sctp.parameters.is_data_channel), (SctpState::New, false));
    let LinkDump::Plain(plain) = dump.link else { panic!("not a PlainTransport") };
    local(&plain.tuple)
}

/// A call with a member and a plain transport that is connected to an SCTP endpoint, with a channel in each direction.
fn plain_call(comedia: bool, srtp: Option<SrtpCryptoSuite>) -> (Call, NodeId, Remote) {
    let mut call = Call::new(1);
    call.enable_data(OPTIONS);
    let node = call.join_all(&[good_link()])[0];
    let engine = plain(&mut call, comedia, srtp);
    let mut remote = Remote::new(&mut call, engine);
    if !comedia {
        let key = srtp.map(|suite| MasterKey::generate(suite, &mut StdRng::seed_from_u64(1)).parameters());
        let connect = ConnectPlain {
            ip: Some(REMOTE.0.into()),
            port: Some(REMOTE.1),
            srtp_parameters: key,
            ..ConnectPlain::default()
        };
        call.request(Request::ConnectPlainTransport("plain".into(), connect));
    }
    produce(&mut call, "plain", "from remote", DataTransport::Sctp(ordered(3)));
    call.consume_data(node, &"from remote".into(), ordered(0));
    let producer = call.produce_data(node, ordered(0));
    consume(&mut call, "plain", producer.as_str(), "to remote", DataTransport::Sctp(ordered(3)));
    remote.sctp.connect(remote.start + call.network.elapsed());
    remote.run(&mut call, Duration::from_secs(1));
    assert_eq!(remote.sctp.state(), SctpState::Connected);
    (call, node, remote)
}

#[test]
fn messages_pass_between_a_plain_endpoint_and_a_member() {
    for (comedia, srtp) in [(false, None), (true, None), (false, Some(SrtpCryptoSuite::AeadAes128Gcm))] {
        let (mut call, node, mut remote) = plain_call(comedia, srtp);
        remote.send(3, "to the member");
        call.send_text(node, ordered(0), "to the endpoint");
        remote.run(&mut call, Duration::from_secs(1));
        assert_eq!(call.messages(node, 0), ["to the member"], "comedia {comedia}, {srtp:?}");
        assert_eq!(remote.messages(), [(3, "to the endpoint".into())], "comedia {comedia}, {srtp:?}");
    }
}

#[test]
fn stream_of_a_closed_data_consumer_is_reused_without_a_reset() {
    let (mut call, node, mut remote) = plain_call(false, None);
    let producer = call.produce_data(node, ordered(1));
    for round in ["first", "second", "third"] {
        let id = format!("on the same stream, {round}");
        consume(&mut call, "plain", producer.as_str(), &id, DataTransport::Sctp(ordered(8)));
        call.send_text(node, ordered(1), round);
        remote.run(&mut call, Duration::from_secs(1));
        call.request(Request::CloseDataConsumer(id.as_str().into()));
        remote.run(&mut call, Duration::from_secs(1));
    }
    let texts: Vec<_> = remote.messages().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["first", "second", "third"]);
    assert!(!remote.events.iter().any(|event| matches!(event, Event::StreamReset(_))));
}

#[test]
fn comedia_does_not_latch_by_malformed_sctp_nor_by_sctp_if_srtp_is_enabled() {
    for srtp in [None, Some(SrtpCryptoSuite::AeadAes128Gcm)] {
        let mut call = Call::new(2);
        let engine = plain(&mut call, true, srtp);
        let mut remote = Remote::new(&mut call, engine);
        remote.sctp.connect(remote.start);
        let init = remote.sctp.poll_packet(remote.start).unwrap().to_vec();
        let mut packets = vec![init.clone(); 2];
        packets[0][20] ^= 1;
        if srtp.is_none() {
            packets.pop();
        }
        for packet in packets {
            call.network.inject(STRANGER.into(), engine, packet);
        }
        call.network.run_for(Duration::from_secs(1));
        assert!(call.network.notifications().is_empty(), "{srtp:?}");
    }
}

#[test]
fn strangers_and_forgers_do_not_disturb_an_association() {
    let (mut call, node, mut remote) = plain_call(true, None);
    let mut rng = StdRng::seed_from_u64(3);
    let before = call.network.drops("unknown-protocol");
    for number in 0..10_000u32 {
        // INIT, COOKIE ECHO and ABORT chunks of an unknown peer, some from the remote endpoint's address.
        let mut peer =
            Sctp::new(OPTIONS, &[number.to_be_bytes(); 8].concat().try_into().unwrap(), remote.start);
        peer.connect(remote.start);
        let mut packet = peer.poll_packet(remote.start).unwrap().to_vec();
        if number % 3 > 0 {
            packet[12] = [6, 10][number as usize % 2];
            rng.fill_bytes(&mut packet[16..]);
        }
        let from = if number % 2 == 0 { STRANGER } else { REMOTE };
        call.network.inject(from.into(), remote.engine, packet);
    }
    assert_eq!(call.network.drops("unknown-protocol"), before + 5000);
    // Each packet has at most one answer, not larger than a cookie.
    let answers = call.network.take_datagrams_at(REMOTE.into());
    assert!(answers.len() <= 5000, "{} answers", answers.len());
    assert!(answers.iter().all(|answer| answer.len() < 200));
    for number in 0..10 {
        remote.send(3, &format!("message {number}"));
    }
    remote.run(&mut call, Duration::from_secs(2));
    assert_eq!(call.messages(node, 0).len(), 10);
    let random: Vec<u8> = (0..100).map(|_| rng.random()).collect();
    call.network.inject(REMOTE.into(), remote.engine, random);
    remote.send(3, "and on");
    remote.run(&mut call, Duration::from_secs(1));
    assert_eq!(call.messages(node, 0).last(), Some(&"and on".into()));
}

#[test]
fn application_and_member_exchange_messages_by_a_direct_transport() {
    let mut call = Call::new(4);
    call.enable_data(OPTIONS);
    let node = call.join_all(&[good_link()])[0];
    direct(&mut call, ROUTER, "direct");
    produce(&mut call, "direct", "bot", DataTransport::Direct);
    call.consume_data(node, &"bot".into(), ordered(0));
    let producer = call.produce_data(node, ordered(1));
    consume(&mut call, "direct", producer.as_str(), "to bot", DataTransport::Direct);
    call.network.run_for(Duration::from_secs(1));
    publish(&mut call, "bot", text("hello"), &[], None);
    call.send_text(node, ordered(1), "hello bot");
    // Larger than the transport's maximum message size.
    publish(&mut call, "bot", DataMessage { ppid: 53, payload: vec![0; 1001] }, &[], None);
    call.send_text(node, ordered(1), vec![0; 1001]);
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(call.messages(node, 0), ["hello"]);
    assert_eq!(delivered(&call, "to bot"), [text("hello bot")]);
    assert_eq!(call.network.drops("message-too-long"), 2);
    let refused = call.network.request(Request::BufferedAmount("to bot".into())).unwrap_err();
    assert_eq!(refused.to_string(), "invalid DataConsumer type");
}

#[test]
fn pipe_forwards_messages_with_their_subchannels_to_another_router() {
    let mut call = Call::new(5);
    call.request(Request::CreateRouter("other".into()));
    let ends = [(ROUTER, "here"), ("other", "there")].map(|(router, id)| {
        let create = CreatePipeTransport {
            router_id: router.into(),
            id: id.into(),
            listen_info: raw_rtp::listen_info(),
            in_process: false,
            enable_rtx: false,
            srtp: None,
            sctp: Some(OPTIONS),
        };
        let Response::TransportDump(dump) = call.request(Request::CreatePipeTransport(create)) else {
            panic!("not a dump")
        };
        let LinkDump::Pipe(pipe) = dump.link else { panic!("not a PipeTransport") };
        local(&pipe.tuple)
    });
    for end in ends {
        call.network.listen_at(end);
    }
    for (id, other) in [("here", ends[1]), ("there", ends[0])] {
        let connect = ConnectPipe { ip: other.ip(), port: other.port(), srtp_parameters: None };
        call.request(Request::ConnectPipeTransport(TransportId::from(id), connect));
    }
    direct(&mut call, ROUTER, "direct here");
    direct(&mut call, "other", "direct there");
    // Both directions use the same stream.
    produce(&mut call, "direct here", "a", DataTransport::Direct);
    consume(&mut call, "here", "a", "a piped", DataTransport::Sctp(ordered(0)));
    produce(&mut call, "there", "a there", DataTransport::Sctp(ordered(0)));
    produce(&mut call, "direct there", "b", DataTransport::Direct);
    consume(&mut call, "there", "b", "b piped", DataTransport::Sctp(ordered(0)));
    produce(&mut call, "here", "b here", DataTransport::Sctp(ordered(0)));
    for id in ["all", "subscribed"] {
        consume(&mut call, "direct there", "a there", id, DataTransport::Direct);
    }
    call.request(Request::SetSubchannels("subscribed".into(), vec![7]));
    consume(&mut call, "direct here", "b here", "back", DataTransport::Direct);
    exchange_datagrams(&mut call, ends, Duration::from_secs(1));
    publish(&mut call, "a", text("for all"), &[], None);
    publish(&mut call, "a", text("for seven"), &[7], None);
    publish(&mut call, "a", text("not for seven"), &[], Some(7));
    publish(&mut call, "b", text("one"), &[], None);
    exchange_datagrams(&mut call, ends, Duration::from_secs(1));
    assert_eq!(delivered(&call, "all"), [text("for all"), text("not for seven")]);
    assert_eq!(delivered(&call, "subscribed"), [text("for all"), text("for seven")]);
    // The end of one direction does not affect the other.
    call.request(Request::CloseDataProducer("a".into()));
    for number in ["two", "three"] {
        publish(&mut call, "b", text(number), &[], None);
        exchange_datagrams(&mut call, ends, Duration::from_secs(1));
    }
    assert_eq!(delivered(&call, "back"), [text("one"), text("two"), text("three")]);
}

fn direct(call: &mut Call, router: &str, id: &str) {
    let create = CreateDirectTransport { router_id: router.into(), id: id.into(), max_message_size: 1000 };
    call.request(Request::CreateDirectTransport(create));
}

fn publish(call: &mut Call, id: &str, message: DataMessage, subchannels: &[u16], ignored: Option<u16>) {
    let publication = Publication {
        message,
        subchannels: subchannels.to_vec(),
        required_subchannel: None,
        ignored_subchannel: ignored,
    };
    call.network.inject_direct(Injection::Data(id.into(), publication));
}

/// Messages of a DataConsumer that the application has received.
fn delivered(call: &Call, id: &str) -> Vec<DataMessage> {
    let events = call.network.notifications().iter().filter_map(|(_, notification)| match notification {
        Notification::DataConsumer(of, DataConsumerEvent::Message(message)) if of.as_str() == id => {
            Some(message.clone())
        }
        _ => None,
    });
    events.collect()
}

/// Delivers datagrams between two sockets of the engine.
fn exchange_datagrams(call: &mut Call, ends: [SocketAddr; 2], time: Duration) {
    let end = call.network.elapsed() + time;
    while call.network.elapsed() < end {
        for (from, to) in [(ends[1], ends[0]), (ends[0], ends[1])] {
            for packet in call.network.take_datagrams_at(to) {
                call.network.inject(from, to, packet);
            }
        }
        call.network.run_for(5 * MS);
    }
}
