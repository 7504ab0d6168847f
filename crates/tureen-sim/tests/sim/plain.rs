//! PlainTransports: remote addresses, SRTP, and packets of strangers.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tureen_engine::api::{
    ConnectPipe, ConnectPlain, ConsumerId, CreatePipeTransport, CreatePlainTransport, LinkDump, LinkStats,
    Notification, PipeTransportDump, PlainTransportDump, Request, Response, TransportDump, TransportEvent,
    TransportId,
};
use tureen_engine::protection::{MasterKey, Opener, Sealer};
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket, write_bye};
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_sim::{Call, Consumption, Produced, ROUTER};
use tureen_types::data_structures::TransportTuple;
use tureen_types::srtp_parameters::SrtpCryptoSuite;

use crate::raw_rtp::{self, SSRC};
use crate::{MS, good_link, received};

const SUITES: [SrtpCryptoSuite; 4] = [
    SrtpCryptoSuite::AeadAes256Gcm,
    SrtpCryptoSuite::AeadAes128Gcm,
    SrtpCryptoSuite::AesCm128HmacSha180,
    SrtpCryptoSuite::AesCm128HmacSha132,
];

const REMOTE: ([u8; 4], u16) = ([198, 51, 100, 1], 6000);
const REMOTE_RTCP: ([u8; 4], u16) = ([198, 51, 100, 1], 6001);
const STRANGER: ([u8; 4], u16) = ([203, 0, 113, 7], 9);

fn options(id: &str) -> CreatePlainTransport {
    CreatePlainTransport {
        router_id: ROUTER.into(),
        id: id.into(),
        listen_info: raw_rtp::listen_info(),
        rtcp_listen_info: None,
        rtcp_mux: true,
        comedia: false,
        srtp: None,
        initial_available_outgoing_bitrate: None,
        sctp: None,
    }
}

fn dump(response: Response) -> TransportDump {
    let Response::TransportDump(dump) = response else { panic!("not a dump: {response:?}") };
    *dump
}

fn plain(response: Response) -> PlainTransportDump {
    let LinkDump::Plain(plain) = dump(response).link else { panic!("not a PlainTransport") };
    plain
}

fn pipe(response: Response) -> PipeTransportDump {
    let LinkDump::Pipe(pipe) = dump(response).link else { panic!("not a PipeTransport") };
    pipe
}

/// Local address of the PlainTransport that was created.
pub(crate) fn local_address(created: Response) -> SocketAddr {
    local(&plain(created).tuple)
}

fn local(tuple: &TransportTuple) -> SocketAddr {
    SocketAddr::new(tuple.local_address().parse().unwrap(), tuple.local_port())
}

fn to(remote: ([u8; 4], u16)) -> ConnectPlain {
    ConnectPlain { ip: Some(remote.0.into()), port: Some(remote.1), ..ConnectPlain::default() }
}

/// Events about learned remote addresses: true for RTCP, and the address.
fn learned(call: &Call) -> Vec<(bool, SocketAddr)> {
    let events = call.network.notifications().iter().filter_map(|(_, notification)| match notification {
        Notification::Transport(_, TransportEvent::Tuple(tuple)) => Some((true, tuple)),
        Notification::Transport(_, TransportEvent::RtcpTuple(tuple)) => Some((false, tuple)),
        _ => None,
    });
    let remote = |tuple: &TransportTuple| (tuple.remote_ip().unwrap(), tuple.remote_port().unwrap()).into();
    events.map(|(rtp, tuple)| (rtp, remote(tuple))).collect()
}

/// A call with one member, and a PlainTransport with a Producer that the member consumes.
fn ingest(create: CreatePlainTransport) -> (Call, PlainTransportDump, Consumption) {
    let mut call = Call::new(1);
    let node = call.join_all(&[good_link()])[0];
    let id = create.id.clone();
    let created = plain(call.request(Request::CreatePlainTransport(create)));
    let produced = raw_rtp::produce_audio(&mut call, id);
    let consumer = call.consume(node, &produced);
    (call, created, consumer)
}

/// Sends audio packets with the numbers of `range` from `from`.
fn send(call: &mut Call, from: SocketAddr, to: SocketAddr, range: std::ops::Range<u16>) {
    for number in range {
        call.network.inject(from, to, raw_rtp::audio(number));
        call.network.run_for(20 * MS);
    }
    call.network.run_for(100 * MS);
}

#[test]
fn media_goes_from_a_connected_plain_transport_to_a_member_and_only_from_there() {
    let (mut call, created, consumer) = ingest(options("in"));
    assert_eq!(created.tuple.remote_ip(), None);
    let at = local(&created.tuple);
    send(&mut call, REMOTE.into(), at, 0..10);
    assert_eq!(received(&call, &consumer).len(), 0, "it is not connected");
    let Response::PlainConnected(connected) =
        call.request(Request::ConnectPlainTransport("in".into(), to(REMOTE)))
    else {
        panic!("not an answer to ConnectPlainTransport")
    };
    assert_eq!(connected.tuple.remote_port(), Some(REMOTE.1));
    let unknown = call.network.drops("unknown-tuple");
    send(&mut call, STRANGER.into(), at, 10..20);
    assert_eq!(call.network.drops("unknown-tuple"), unknown + 10);
    send(&mut call, REMOTE.into(), at, 20..30);
    assert_eq!(received(&call, &consumer).len(), 10);
    assert_eq!(learned(&call), [], "nothing is learned without comedia");
}

#[test]
fn client_that_must_send_first_is_connected_by_its_first_datagram() {
    let (mut call, created, consumer) = ingest(options("in"));
    let at = local(&created.tuple);
    let connect = ConnectPlain { await_datagram: true, ..to(REMOTE) };
    let Response::PlainConnected(connected) =
        call.request(Request::ConnectPlainTransport("in".into(), connect))
    else {
        panic!("not an answer to ConnectPlainTransport")
    };
    assert_eq!(connected.tuple.remote_ip(), None);
    send(&mut call, STRANGER.into(), at, 0..10);
    assert_eq!((received(&call, &consumer).len(), learned(&call)), (0, Vec::new()));
    // Any datagram counts, because a receiver has no media to send.
    call.network.inject(REMOTE.into(), at, b"hello".to_vec());
    call.network.run_for(20 * MS);
    assert_eq!(learned(&call), [(true, REMOTE.into())]);
    send(&mut call, STRANGER.into(), at, 10..20);
    send(&mut call, REMOTE.into(), at, 20..30);
    assert_eq!(received(&call, &consumer).len(), 10);
}

#[test]
fn separate_rtp_and_rtcp_ports_have_separate_sockets_and_tuples() {
    let (mut call, created, consumer) = ingest(CreatePlainTransport { rtcp_mux: false, ..options("in") });
    let rtcp = created.rtcp_tuple.unwrap();
    assert_ne!(rtcp.local_port(), created.tuple.local_port());
    let connect = ConnectPlain { rtcp_port: Some(REMOTE_RTCP.1), ..to(REMOTE) };
    call.request(Request::ConnectPlainTransport("in".into(), connect));
    call.network.listen_at(REMOTE.into());
    call.network.listen_at(REMOTE_RTCP.into());
    send(&mut call, REMOTE.into(), local(&created.tuple), 0..300);
    assert_eq!(received(&call, &consumer).len(), 300);
    assert_eq!(call.network.take_datagrams_at(REMOTE.into()).len(), 0);
    let reports = call.network.take_datagrams_at(REMOTE_RTCP.into());
    assert!(!reports.is_empty(), "receiver reports go to the RTCP port");
    // Packets to the other socket than their own are dropped.
    call.network.inject(REMOTE_RTCP.into(), local(&rtcp), raw_rtp::audio(300));
    assert_eq!(call.network.drops("unknown-tuple"), 1);
}

#[test]
fn comedia_latches_to_the_first_valid_packet_and_never_changes() {
    let (mut call, created, consumer) =
        ingest(CreatePlainTransport { rtcp_mux: false, comedia: true, ..options("in") });
    let (at, rtcp_at) = (local(&created.tuple), local(created.rtcp_tuple.as_ref().unwrap()));
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..500 {
        let mut noise = vec![0; rng.random_range(0..1500)];
        rng.fill_bytes(&mut noise);
        if let Some(first) = noise.first_mut() {
            *first &= 0x7f; // neither RTP nor RTCP
        }
        call.network.inject(STRANGER.into(), at, noise.clone());
        call.network.inject(STRANGER.into(), rtcp_at, noise);
    }
    // RTP that ends within its header, and RTCP that is no valid compound packet.
    call.network.inject(STRANGER.into(), at, raw_rtp::audio(0)[..11].to_vec());
    call.network.inject(STRANGER.into(), rtcp_at, vec![0x81, 200, 0, 9, 0, 0, 0, 0]);
    assert_eq!(learned(&call), []);

    send(&mut call, REMOTE.into(), at, 1..11);
    let mut bye = Vec::new();
    write_bye(&mut bye, &[Ssrc(1)]);
    call.network.inject(REMOTE_RTCP.into(), rtcp_at, bye.clone());
    send(&mut call, STRANGER.into(), at, 11..21);
    call.network.inject(STRANGER.into(), rtcp_at, bye);
    assert_eq!(learned(&call), [(true, REMOTE.into()), (false, REMOTE_RTCP.into())]);
    assert_eq!(received(&call, &consumer).len(), 10);
    let Response::TransportStats(stats) = call.request(Request::TransportStats("in".into())) else {
        panic!("not statistics")
    };
    let LinkStats::Plain(stats) = stats.link else { panic!("not of a PlainTransport") };
    assert_eq!(stats.tuple.remote_port(), Some(REMOTE.1));
    assert_eq!(stats.rtcp_tuple.and_then(|tuple| tuple.remote_port()), Some(REMOTE_RTCP.1));
}

#[test]
fn rtcp_on_the_common_port_latches_too() {
    let (mut call, created, consumer) = ingest(CreatePlainTransport { comedia: true, ..options("in") });
    let mut bye = Vec::new();
    write_bye(&mut bye, &[Ssrc(1)]);
    call.network.inject(REMOTE.into(), local(&created.tuple), bye);
    send(&mut call, REMOTE.into(), local(&created.tuple), 0..5);
    assert_eq!(learned(&call), [(true, REMOTE.into())]);
    assert_eq!(received(&call, &consumer).len(), 5);
}

/// SRTP keys of the remote endpoint.
struct Secret {
    sealer: Sealer,
    opener: Opener,
}

/// Connects a transport with SRTP, using a new key of the remote endpoint.
fn exchange_keys(call: &mut Call, id: &str, suite: SrtpCryptoSuite, connect: ConnectPlain) -> Secret {
    let key = MasterKey::generate(suite, &mut StdRng::seed_from_u64(9));
    let connect = ConnectPlain { srtp_parameters: Some(key.parameters()), ..connect };
    let Response::PlainConnected(connected) =
        call.request(Request::ConnectPlainTransport(id.into(), connect))
    else {
        panic!("not an answer to ConnectPlainTransport")
    };
    let theirs = MasterKey::parse(&connected.srtp_parameters.unwrap()).unwrap();
    assert_eq!(theirs.suite(), suite);
    Secret { sealer: key.sealer(), opener: theirs.opener() }
}

impl Secret {
    fn seal(&self, number: u16) -> Vec<u8> {
        let packet = raw_rtp::audio(number);
        let mut out = vec![0; packet.len() + 40];
        let header = RtpHeader::parse(&packet).unwrap().len();
        out[..header].copy_from_slice(&packet[..header]);
        let sealed = self.sealer.seal_rtp_after_header(
            Ssrc(SSRC),
            number.into(),
            header,
            &[],
            &packet[header..],
            &mut out,
        );
        out.truncate(sealed.unwrap());
        out
    }
}

#[test]
fn comedia_with_srtp_latches_only_to_an_authentic_packet() {
    for suite in SUITES {
        let create = CreatePlainTransport {
            comedia: true,
            srtp: Some(SrtpCryptoSuite::AesCm128HmacSha180),
            ..options("in")
        };
        let (mut call, created, consumer) = ingest(create);
        let at = local(&created.tuple);
        send(&mut call, STRANGER.into(), at, 0..2);
        assert_eq!(call.network.drops("no-keys"), 2);
        let secret = exchange_keys(&mut call, "in", suite, ConnectPlain::default());
        send(&mut call, STRANGER.into(), at, 0..10);
        let mut forged = secret.seal(9);
        *forged.last_mut().unwrap() ^= 1;
        call.network.inject(STRANGER.into(), at, forged);
        assert_eq!(call.network.drops("unauthentic"), 11, "{suite:?}");
        assert_eq!(learned(&call), []);
        for number in 10..20 {
            call.network.inject(REMOTE.into(), at, secret.seal(number));
        }
        // After latching even authentic packets are accepted from the learned address only.
        call.network.inject(STRANGER.into(), at, secret.seal(20));
        call.network.run_for(100 * MS);
        assert_eq!(learned(&call), [(true, REMOTE.into())], "{suite:?}");
        assert_eq!(received(&call, &consumer).len(), 10, "{suite:?}");
    }
}

/// Creates a Consumer of a member's audio on a plain transport.
fn outgoing(call: &mut Call, id: &str) -> ConsumerId {
    let node = call.join_all(&[good_link()])[0];
    let production = call.produce_audio(node, tureen_sim::AudioConfig::default());
    resume(call, id, &production)
}

fn resume(call: &mut Call, id: &str, produced: &Produced) -> ConsumerId {
    let (consumer, _) = call.consume_on(TransportId::from(id), produced);
    call.request(Request::ResumeConsumer(consumer.clone()));
    consumer
}

#[test]
fn plain_consumer_sends_unencrypted_rtp_and_reports() {
    let mut call = Call::new(2);
    call.request(Request::CreatePlainTransport(options("out")));
    outgoing(&mut call, "out");
    call.network.listen_at(REMOTE.into());
    call.request(Request::ConnectPlainTransport("out".into(), to(REMOTE)));
    call.network.run_for(Duration::from_secs(2));
    let packets = call.network.take_datagrams_at(REMOTE.into());
    let (rtcp, rtp): (Vec<_>, Vec<_>) = packets.iter().partition(|packet| packet[1] >= 192);
    assert!((90..=110).contains(&rtp.len()), "{}", rtp.len());
    let sizes: Vec<_> = rtp
        .iter()
        .map(|packet| RtpHeader::parse(packet).unwrap().payload_range(packet).unwrap().len())
        .collect();
    assert!(sizes.iter().all(|&size| size == 80), "{sizes:?}");
    let is_report = |packet: RtcpPacket<'_>| matches!(packet, RtcpPacket::SenderReport(_));
    assert!(rtcp.iter().any(|rtcp| RtcpCompound::new(rtcp).any(|packet| packet.is_ok_and(is_report))));
}

#[test]
fn srtp_consumer_is_decrypted_with_the_announced_key() {
    for suite in SUITES {
        let mut call = Call::new(3);
        call.request(Request::CreatePlainTransport(CreatePlainTransport {
            srtp: Some(suite),
            ..options("out")
        }));
        outgoing(&mut call, "out");
        call.network.listen_at(REMOTE.into());
        let mut secret = exchange_keys(&mut call, "out", suite, to(REMOTE));
        call.network.run_for(Duration::from_secs(1));
        let mut opened = (0, 0);
        for mut packet in call.network.take_datagrams_at(REMOTE.into()) {
            if packet[1] >= 192 {
                let len = secret.opener.open_rtcp(&mut packet).unwrap();
                assert!(RtcpCompound::new(&packet[..len]).all(|packet| packet.is_ok()));
                opened.1 += 1;
            } else {
                let header = RtpHeader::parse(&packet).unwrap();
                let (ssrc, seq) = (header.ssrc, header.sequence_number);
                secret.opener.open_rtp(&mut packet, ssrc, seq, header.len()).unwrap();
                opened.0 += 1;
            }
        }
        assert!(opened.0 > 40 && opened.1 > 0, "{suite:?}: {opened:?}");
    }
}

#[test]
fn closed_plain_transport_frees_its_sockets_and_identifier() {
    let (mut call, created, _) = ingest(CreatePlainTransport { comedia: true, ..options("in") });
    let at = local(&created.tuple);
    call.request(Request::CloseTransport("in".into()));
    call.network.inject(REMOTE.into(), at, raw_rtp::audio(0));
    assert_eq!(learned(&call), []);
    assert!(call.network.request(Request::DumpTransport("in".into())).is_err());
    // The identifier can be used again.
    call.request(Request::CreatePlainTransport(options("in")));
}

#[test]
fn pipe_transport_accepts_media_from_its_remote_end_only() {
    for enable_srtp in [false, true] {
        let mut call = Call::new(4);
        let node = call.join_all(&[good_link()])[0];
        let create = CreatePipeTransport {
            router_id: ROUTER.into(),
            id: "pipe".into(),
            listen_info: raw_rtp::listen_info(),
            in_process: false,
            enable_rtx: true,
            srtp: enable_srtp.then_some(tureen_engine::api::PIPE_SUITE),
            sctp: None,
        };
        let created = pipe(call.request(Request::CreatePipeTransport(create)));
        assert!(created.rtx);
        let key = MasterKey::generate(SrtpCryptoSuite::AeadAes256Gcm, &mut StdRng::seed_from_u64(5));
        let connect = ConnectPipe {
            ip: REMOTE.0.into(),
            port: REMOTE.1,
            srtp_parameters: enable_srtp.then(|| key.parameters()),
        };
        call.request(Request::ConnectPipeTransport("pipe".into(), connect));
        let produced = raw_rtp::produce_audio(&mut call, "pipe".into());
        let consumer = call.consume(node, &produced);
        let secret =
            Secret { sealer: if enable_srtp { key.sealer() } else { Sealer::Plain }, opener: Opener::Plain };
        let at = local(&created.tuple);
        for number in 0..20 {
            let from = if number < 10 { STRANGER } else { REMOTE };
            call.network.inject(from.into(), at, secret.seal(number));
        }
        call.network.run_for(100 * MS);
        assert_eq!(received(&call, &consumer).len(), 10, "SRTP: {enable_srtp}");
        assert_eq!(call.network.drops("unknown-tuple"), 10);
    }
}
