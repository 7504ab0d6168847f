//! Strangers and malicious members at the port of a WebRtcServer, who try to take over the paths of others.

use std::net::UdpSocket;

use futures_lite::future::block_on;
use tureen::data_structures::IceState;
use tureen::prelude::*;
use tureen_rtc::wire::stun::{BINDING, StunClass, StunWriter};

use crate::call::{Call, share};
use crate::member::{Member, PATIENCE, Wire, now};
use crate::memory::Alone;
use crate::{audio, listen_info, router};

/// Datagrams of each kind that attackers send at once: fewer than a socket's buffer holds.
const BURST: u64 = 20;

/// A connectivity check that nominates.
fn check(ufrag: &str, password: &str, id: u64) -> Vec<u8> {
    let mut transaction = [7; 12];
    transaction[..8].copy_from_slice(&id.to_be_bytes());
    let mut out = Vec::new();
    StunWriter::new(&mut out, StunClass::Request, BINDING, transaction)
        .username(&format!("{ufrag}:abcd"))
        .unwrap()
        .ice_controlling(1)
        .priority(1)
        .use_candidate()
        .finish_with_integrity(password.as_bytes());
    out
}

fn await_state(transport: &WebRtcTransport, state: IceState) {
    let deadline = now() + PATIENCE;
    while transport.ice_state() != state {
        assert!(now() < deadline, "{:?}", transport.ice_state());
        std::thread::yield_now();
    }
}

fn socket(wire: Wire) -> UdpSocket {
    match wire {
        Wire::Udp(socket) => socket,
        Wire::Tcp(..) => panic!("not over UDP"),
    }
}

#[test]
fn second_transport_of_one_remote_socket_takes_it_over() {
    let _alone = Alone::wait();
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let (first, second, listening, producer) = block_on(async {
            let router = router().await;
            let infos = WebRtcServerListenInfos::new(listen_info(protocol));
            let server = router.worker().create_webrtc_server(WebRtcServerOptions::new(infos)).await.unwrap();
            let options = WebRtcTransportOptions::new_with_server(server);
            let first = router.create_webrtc_transport(options.clone()).await.unwrap();
            let second = router.create_webrtc_transport(options.clone()).await.unwrap();
            let listening = router.create_webrtc_transport(options).await.unwrap();
            let producer = second.produce(audio(5)).await.unwrap();
            (first, second, listening, producer)
        });
        // The client restarts with the socket of the first session and nothing else of it.
        let wire = share(&Member::connect(&first).wire);
        assert_eq!(first.ice_state(), IceState::Completed);
        let mut speaker = Member::connect_by(&second, wire);
        await_state(&first, IceState::Disconnected);
        assert!(first.ice_selected_tuple().is_none());
        let mut listener = Member::connect(&listening);
        let _consumer = listener.consume(&listening, &producer);
        speaker.speak(5, &mut listener);
        // The first transport is closed without effect on the second.
        drop(first);
        speaker.speak(5, &mut listener);
    }
}

#[test]
fn check_without_the_password_changes_no_path_and_floods_do_not_disturb_a_call() {
    let alone = Alone::wait();
    let mut call = Call::new(Protocol::Udp);
    let server = call.server();
    // From the speaker's address, but for the other member's transport.
    let spoofed = socket(call.share_wire());
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ufrags = call.transports().each_ref().map(|t| t.ice_parameters().username_fragment.clone());
    let mut id = 0;
    let attack = || {
        for ufrag in &ufrags {
            for _ in 0..BURST {
                id += 1;
                let mut forged = check(ufrag, "not the password", id);
                spoofed.send_to(&forged, server).unwrap();
                stranger.send_to(&forged, server).unwrap();
                forged.truncate(40);
                stranger.send_to(&forged, server).unwrap();
            }
        }
    };
    alone.assert_undisturbed(attack, || call.exchange());
    for transport in call.transports() {
        assert_eq!(transport.ice_state(), IceState::Completed);
    }
}

#[test]
fn member_that_checks_from_many_addresses_does_not_disturb_a_call() {
    let alone = Alone::wait();
    let mut call = Call::new(Protocol::Udp);
    let server = call.server();
    let (transport, _producer) = {
        let other = call.another_transport();
        let producer = block_on(other.produce(audio(9))).unwrap();
        (other, producer)
    };
    let ice = transport.ice_parameters().clone();
    let sockets: Vec<_> = (0..BURST).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let spoofed = socket(call.share_wire());
    let mut id = 0;
    call.exchange();
    let attack = || {
        for socket in &sockets {
            id += 1;
            socket.send_to(&check(&ice.username_fragment, &ice.password, id), server).unwrap();
        }
        // From the speaker's address, from which media arrives, so that the path stays the speaker's.
        id += 1;
        spoofed.send_to(&check(&ice.username_fragment, &ice.password, id), server).unwrap();
    };
    alone.assert_undisturbed(attack, || call.exchange());
    for transport in call.transports() {
        assert_eq!(transport.ice_state(), IceState::Completed);
    }
}

#[test]
fn fragments_of_a_client_hello_from_a_member_do_not_disturb_a_call() {
    let alone = Alone::wait();
    let mut call = Call::new(Protocol::Udp);
    let server = call.server();
    let transport = call.another_transport();
    let ice = transport.ice_parameters().clone();
    let attacker = UdpSocket::bind("127.0.0.1:0").unwrap();
    attacker.send_to(&check(&ice.username_fragment, &ice.password, 1), server).unwrap();
    await_state(&transport, IceState::Completed);
    let mut round = 0usize;
    let attack = || {
        for _ in 0..BURST {
            round += 1;
            // Fifty fragments of one byte each, of a hello of 16000 bytes, with holes between them.
            let datagram: Vec<u8> =
                (0..50).flat_map(|at| fragment((round * 100 + 2 * at) % 16_000)).collect();
            attacker.send_to(&datagram, server).unwrap();
        }
    };
    alone.assert_undisturbed(attack, || call.exchange());
}

fn fragment(offset: usize) -> Vec<u8> {
    let u24 = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
    let parts = [vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 1], u24(16_000), vec![0, 0]];
    [&parts.concat()[..], &u24(offset), &u24(1), &[7]].concat()
}
