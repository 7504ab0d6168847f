//! ICE over TCP: members on TCP, and limits of the number and duration of strangers' streams.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tureen_engine::api::{
    CreateWebRtcServer, CreateWebRtcTransport, LinkDump, Listen, Notification, Request, Response, RouterId,
    TransportEvent,
};
use tureen_engine::worker::Limits;
use tureen_rtc::dtls::Role;
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::write_nack;
use tureen_sim::{AudioConfig, Call, LinkConfig, Network, NodeId, ROUTER};
use tureen_types::data_structures::{IceCandidate, IceState, ListenInfo, Protocol};

use crate::statistics::stream_stats;
use crate::{MS, assert_numbered_like_the_source, even_video, good_link, raw_rtp, received};

/// TCP listener of the engine of a [`Call`].
fn listener() -> SocketAddr {
    ([10, 0, 0, 1], 40_001).into()
}

fn stranger(number: u16) -> SocketAddr {
    ([203, 0, 113, 7], 1000 + number).into()
}

/// Adds a member that uses TCP.
fn join(call: &mut Call) -> NodeId {
    let node = call.join_with(Role::Client, good_link(), &|config, _| config.candidates = vec![listener()]);
    assert!(call.network.open_stream(call.network.address(node), listener()));
    node
}

fn ice_states(call: &Call, node: NodeId) -> Vec<IceState> {
    let id = call.transport(node);
    let states = call.network.notifications().iter().filter_map(|(_, notification)| match notification {
        Notification::Transport(of, TransportEvent::IceState(state)) if of == id => Some(*state),
        _ => None,
    });
    states.collect()
}

#[test]
fn members_by_tcp_send_and_receive() {
    let mut call = Call::new(1);
    let nodes = [join(&mut call), join(&mut call)];
    call.connect(&nodes);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(20));
    let packets = received(&call, &consumer);
    assert!(packets.len() > 2300, "{}", packets.len());
    assert_eq!(assert_numbered_like_the_source(&packets), 0);
    let selected = call.network.notifications().iter().find_map(|(_, notification)| match notification {
        Notification::Transport(_, TransportEvent::IceSelectedTuple(tuple)) => Some(tuple),
        _ => None,
    });
    assert_eq!(selected.unwrap().protocol(), Protocol::Tcp);
    assert_eq!(selected.unwrap().local_port(), listener().port());
}

#[test]
fn end_of_the_stream_disconnects_and_another_stream_reconnects() {
    let mut call = Call::new(2);
    let nodes = [join(&mut call), join(&mut call)];
    call.connect(&nodes);
    let production = call.produce_audio(nodes[0], AudioConfig::default());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(1));
    let address = call.network.address(nodes[1]);
    call.network.close_stream(address, listener());
    assert_eq!(ice_states(&call, nodes[1]).last(), Some(&IceState::Disconnected));
    let before = received(&call, &consumer).len();
    call.network.run_for(Duration::from_secs(1));
    assert!(received(&call, &consumer).len() <= before + 2, "packets in flight");

    assert!(call.network.open_stream(address, listener()));
    call.network.run_for(Duration::from_secs(10));
    assert!(matches!(ice_states(&call, nodes[1]).last(), Some(IceState::Connected | IceState::Completed)));
    assert!(received(&call, &consumer).len() > before + 100);
}

#[test]
fn closed_transport_closes_only_its_own_stream() {
    let mut call = Call::new(3);
    let nodes = [join(&mut call), join(&mut call)];
    call.connect(&nodes);
    call.request(Request::CloseTransport(call.transport(nodes[0]).clone()));
    assert!(!call.network.is_open(call.network.address(nodes[0]), listener()));
    assert!(call.network.is_open(call.network.address(nodes[1]), listener()));
}

#[test]
fn stream_without_a_valid_check_is_closed_after_ten_seconds_despite_traffic() {
    let mut call = Call::new(4);
    let member = join(&mut call);
    call.connect(&[member]);
    assert!(call.network.open_stream(stranger(0), listener()));
    assert!(call.network.open_stream(stranger(1), listener()));
    for number in 0..99 {
        call.network.inject(stranger(1), listener(), raw_rtp::audio(number));
        call.network.run_for(100 * MS);
    }
    assert!(call.network.is_open(stranger(0), listener()) && call.network.is_open(stranger(1), listener()));
    call.network.run_for(200 * MS);
    assert!(!call.network.is_open(stranger(0), listener()) && !call.network.is_open(stranger(1), listener()));
    assert!(call.network.is_open(call.network.address(member), listener()), "the member's stream stays open");
    assert_eq!(call.network.drops("unknown-tuple"), 99);
}

#[test]
fn flood_of_connections_is_bounded_and_the_call_continues() {
    let mut call = Call::new(5);
    let nodes = [join(&mut call), join(&mut call)];
    call.connect(&nodes);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(1));
    let open = (0..1000).filter(|&number| call.network.open_stream(stranger(number), listener())).count();
    assert_eq!(open, Limits::default().unchecked_streams_per_address);
    // Other addresses can still connect, and the flooding one can after its old streams are gone.
    assert!(call.network.open_stream(([203, 0, 113, 8], 9).into(), listener()));
    call.network.run_for(Duration::from_secs(11));
    assert!(call.network.open_stream(stranger(0), listener()));
    let before = received(&call, &consumer).len();
    call.network.run_for(Duration::from_secs(2));
    let packets = received(&call, &consumer);
    assert!(packets.len() > before + 200);
    assert_eq!(assert_numbered_like_the_source(&packets), 0);
}

#[test]
fn strangers_with_many_addresses_do_not_block_clients() {
    let limit = Limits::default().unchecked_streams_per_listener;
    let mut call = Call::new(8);
    let early = join(&mut call);
    call.connect(&[early]);
    let from = |number: usize| -> SocketAddr {
        let number = u32::try_from(number).unwrap();
        (Ipv4Addr::from(0x0b00_0000 + number), 9).into()
    };
    for number in 0..2 * limit {
        assert!(call.network.open_stream(from(number), listener()));
    }
    let open = (0..2 * limit).filter(|&number| call.network.is_open(from(number), listener())).count();
    assert_eq!(open, limit);
    assert!(!call.network.is_open(from(0), listener()), "the oldest streams are closed");
    let late = join(&mut call);
    call.connect(&[late]);
    assert!(call.network.session(early).is_connected());

    // A network of IPv6 addresses counts as one stranger.
    let from = |number: u128| (Ipv6Addr::from(0x2001_0db8 << 96 | number), 9).into();
    let open = (0..1000).filter(|&number| call.network.open_stream(from(number), listener())).count();
    assert_eq!(open, Limits::default().unchecked_streams_per_address);
}

fn tcp() -> ListenInfo {
    ListenInfo { protocol: Protocol::Tcp, ..raw_rtp::listen_info() }
}

#[test]
fn listener_limits_its_streams_and_closes_them_with_itself() {
    let limits = Limits { streams_per_listener: 3, ..Limits::default() };
    let mut network = Network::with_limits(6, limits);
    let server = CreateWebRtcServer { id: "server".into(), listen_infos: vec![tcp()] };
    network.request(Request::CreateWebRtcServer(server)).unwrap();
    let at = ([10, 0, 0, 1], 40_000).into();
    let from = |number| ([203, 0, 113, number], 1000).into();
    let open: Vec<bool> = (0..5).map(|number| network.open_stream(from(number), at)).collect();
    assert_eq!(open, [true, true, true, false, false]);
    network.close_stream(from(0), at);
    assert!(network.open_stream(from(5), at));
    network.request(Request::CloseWebRtcServer("server".into())).unwrap();
    assert!((0..6).all(|number| !network.is_open(from(number), at)));
}

#[test]
fn candidates_are_listed_with_the_priorities_of_mediasoup() {
    let mut network = Network::new(7);
    let announced = ListenInfo {
        announced_address: Some("sfu.example".to_owned()),
        expose_internal_ip: true,
        ..raw_rtp::listen_info()
    };
    let listen_infos = vec![announced, tcp()];
    let server = CreateWebRtcServer { id: "server".into(), listen_infos: listen_infos.clone() };
    network.request(Request::CreateWebRtcServer(server)).unwrap();
    network.request(Request::CreateRouter(RouterId::from(ROUTER))).unwrap();
    let mut candidates = |listen: Listen, [enable_udp, enable_tcp, prefer_udp, prefer_tcp]: [bool; 4]| {
        let create = CreateWebRtcTransport {
            router_id: ROUTER.into(),
            id: "transport".into(),
            listen,
            enable_udp,
            enable_tcp,
            prefer_udp,
            prefer_tcp,
            ice_consent_timeout: None,
            initial_available_outgoing_bitrate: Bitrate::kbps(600),
            sctp: None,
        };
        let created = network.request(Request::CreateWebRtcTransport(create)).unwrap();
        network.request(Request::CloseTransport("transport".into())).unwrap();
        let Response::TransportDump(dump) = created else { panic!("not a dump") };
        let LinkDump::WebRtc(link) = dump.link else { panic!("not a WebRtcTransport") };
        let brief = |candidate: &IceCandidate| {
            assert_eq!(candidate.tcp_type.is_some(), candidate.protocol == Protocol::Tcp);
            (candidate.protocol, candidate.address.clone(), candidate.priority)
        };
        link.ice_candidates.iter().map(brief).collect::<Vec<_>>()
    };
    let udp = (Protocol::Udp, "sfu.example".to_owned(), 1_076_302_079);
    let internal = (Protocol::Udp, "10.0.0.1".to_owned(), 1_076_301_079);
    let tcp = (Protocol::Tcp, "10.0.0.1".to_owned(), 1_076_276_479);
    let preferred = (Protocol::Tcp, "10.0.0.1".to_owned(), 1_076_532_479);
    let server = || Listen::Server("server".into());
    let all = vec![udp.clone(), internal.clone(), tcp.clone()];
    assert_eq!(candidates(server(), [true, true, false, false]), all);
    assert_eq!(candidates(server(), [true, false, false, false]), [udp.clone(), internal.clone()]);
    assert_eq!(candidates(server(), [false, true, false, false]), [tcp]);
    assert_eq!(candidates(server(), [true, true, false, true]), [udp, internal, preferred]);
    // Without a WebRtcServer the candidates depend on the listen infos only.
    assert_eq!(candidates(Listen::Individual(listen_infos), [true, false, false, true]), all);
}

/// Frame numbers of packets, and true for packets of a key frame.
fn frames(packets: &[tureen_sim::Observed]) -> Vec<(u32, bool)> {
    let mut frames: Vec<(u32, bool)> = Vec::new();
    for packet in packets {
        let frame = packet.stamp.expect("payloads arrive as they were sent").frame;
        match frames.last_mut() {
            Some(last) if last.0 == frame => last.1 |= packet.key_frame,
            _ => frames.push((frame, packet.key_frame)),
        }
    }
    frames
}

#[test]
fn video_pauses_on_a_late_stream_and_resumes_with_a_key_frame_while_audio_continues() {
    let mut call = Call::new(6);
    let nodes = [join(&mut call), join(&mut call)];
    call.connect(&nodes);
    let video = call.produce_video(nodes[0], even_video());
    let audio = call.produce_audio(nodes[0], AudioConfig::default());
    let (picture, sound) = (call.consume(nodes[1], &video), call.consume(nodes[1], &audio));
    call.network.run_for(Duration::from_secs(3));
    let address = call.network.address(nodes[1]);
    let (shown, heard) = (received(&call, &picture).len(), received(&call, &sound).len());

    call.network.set_backlog(address, listener(), true);
    call.network.run_for(Duration::from_secs(2));
    let during = received(&call, &picture).len() - shown;
    assert!(during <= 8, "packets in flight and the end of a frame: {during}");
    assert!(received(&call, &sound).len() >= heard + 95);

    call.network.set_backlog(address, listener(), false);
    call.network.run_for(Duration::from_secs(2));
    let packets = received(&call, &picture);
    assert!(packets.len() > shown + 150, "{}", packets.len() - shown);
    let after = frames(&packets[shown + during..]);
    assert!(after[0].1, "continues with a key frame: {:?}", &after[..3]);
    let mut seqs: Vec<_> = packets.iter().map(|packet| packet.seq).collect();
    seqs.sort_unstable();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap and therefore no NACK");
}

/// Arrival time of each packet, and its delay in addition to that of the first packet.
fn delays(packets: &[tureen_sim::Observed], clock_rate: u32) -> Vec<(Duration, Duration)> {
    let first = packets[0];
    let captured = |timestamp: u32| {
        first.at
            + Duration::from_secs_f64(
                f64::from(timestamp.wrapping_sub(first.timestamp)) / f64::from(clock_rate),
            )
    };
    packets.iter().map(|packet| (packet.at, packet.at.saturating_sub(captured(packet.timestamp)))).collect()
}

#[test]
fn media_is_less_than_a_second_late_through_a_proxy_with_an_unbounded_buffer() {
    for (seed, rate) in [(7, 800), (8, 500), (9, 400)] {
        let mut call = Call::new(seed);
        let nodes = [join(&mut call), join(&mut call)];
        call.connect(&nodes);
        let video = call.produce_video(nodes[0], even_video());
        let audio = call.produce_audio(nodes[0], AudioConfig::default());
        let (picture, sound) = (call.consume(nodes[1], &video), call.consume(nodes[1], &audio));
        call.network.run_for(Duration::from_secs(3));
        let narrow = LinkConfig {
            rate: Some(Bitrate::kbps(rate)),
            queue: 10 << 20,
            ..LinkConfig::with_delay(20 * MS)
        };
        call.network.set_links(nodes[1], good_link(), narrow);
        call.network.run_for(Duration::from_secs(20));
        call.network.set_links(nodes[1], good_link(), good_link());
        call.network.run_for(Duration::from_secs(4));
        for (consumption, clock_rate) in [(&picture, 90_000), (&sound, 48_000)] {
            let late = delays(&received(&call, consumption), clock_rate);
            let most = late.iter().map(|(_, late)| *late).max().unwrap();
            assert!(most <= Duration::from_secs(1), "{rate} kbit/s: {most:?} late");
        }
        let shown = received(&call, &picture);
        let narrow = shown.iter().filter(|packet| (5..23).contains(&packet.at.as_secs())).count();
        assert!(narrow > 100, "{rate} kbit/s: {narrow} video packets");
        let wide = shown.iter().filter(|packet| packet.at.as_secs() >= 26).count();
        assert!(wide > 100, "{rate} kbit/s: video returns: {wide}");
    }
}

#[test]
fn packets_dropped_as_late_are_not_retransmitted() {
    let mut call = Call::new(10);
    let nodes = [join(&mut call), join(&mut call)];
    call.connect(&nodes);
    let video = call.produce_video(nodes[0], even_video());
    let picture = call.consume(nodes[1], &video);
    call.network.run_for(Duration::from_secs(3));
    let retransmissions = |call: &mut Call, age: Duration| {
        let at = call.network.elapsed() - age;
        let packet =
            *received(call, &picture).iter().find(|packet| packet.at >= at).expect("a packet was received");
        let mut nack = Vec::new();
        write_nack(&mut nack, Ssrc(1), Ssrc(picture.ssrc), &[packet.seq as u16]);
        let sent = call.network.with_session(nodes[1], |session, now| session.send_raw_rtcp(now, &nack));
        sent.expect("the session is connected");
        call.network.run_for(100 * MS);
        stream_stats(call, Request::ConsumerStats(picture.id.clone()))[0].packets_retransmitted
    };
    assert_eq!(retransmissions(&mut call, 800 * MS), 1, "without a late stream");
    let address = call.network.address(nodes[1]);
    call.network.set_backlog(address, listener(), true);
    call.network.run_for(400 * MS);
    call.network.set_backlog(address, listener(), false);
    call.network.run_for(Duration::from_secs(2));
    assert_eq!(retransmissions(&mut call, 700 * MS), 1, "the retransmission would be too late");
    assert_eq!(call.network.drops("late-retransmission"), 1);
    assert_eq!(retransmissions(&mut call, 100 * MS), 2, "the retransmission can still be useful");
}
