//! Datagrams from the sockets reach the engine, its responses reach the network, and its events reach the callbacks.

use std::net::UdpSocket;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use futures_lite::future::block_on;
use tureen::data_structures::{IceState, TransportTuple};
use tureen::prelude::*;
use tureen_rtc::wire::stun::{BINDING, StunClass, StunMessage, StunWriter};

use super::*;

#[derive(Debug, PartialEq)]
enum Event {
    State(IceState),
    Tuple(TransportTuple),
}

/// Reports ICE events from the creation of the transport on.
fn watch(transport: &WebRtcTransport) -> mpsc::Receiver<Event> {
    let (events, received) = mpsc::channel();
    let (states, tuples) = (Mutex::new(events.clone()), Mutex::new(events));
    transport
        .on_ice_state_change(move |state| states.lock().unwrap().send(Event::State(state)).unwrap())
        .detach();
    transport
        .on_ice_selected_tuple_change(move |tuple| {
            tuples.lock().unwrap().send(Event::Tuple(tuple.clone())).unwrap();
        })
        .detach();
    received
}

/// A connectivity check that selects the path.
fn check(ice: &IceParameters) -> Vec<u8> {
    let mut datagram = Vec::new();
    StunWriter::new(&mut datagram, StunClass::Request, BINDING, [9; 12])
        .username(&format!("{}:client", ice.username_fragment))
        .unwrap()
        .ice_controlling(1)
        .priority(1)
        .use_candidate()
        .finish_with_integrity(ice.password.as_bytes());
    datagram
}

fn assert_ice_completes(transport: &WebRtcTransport) {
    let events = watch(transport);
    let endpoint = UdpSocket::bind("127.0.0.1:0").unwrap();
    endpoint.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let port = transport.ice_candidates()[0].port;
    endpoint.send_to(&check(transport.ice_parameters()), ("127.0.0.1", port)).unwrap();

    let mut answer = [0; 1500];
    let (len, from) = endpoint.recv_from(&mut answer).unwrap();
    assert_eq!(from.port(), port);
    let answer = StunMessage::parse(&answer[..len]).unwrap();
    assert_eq!((answer.class(), answer.transaction_id()), (StunClass::SuccessResponse, [9; 12]));

    let expected = TransportTuple::WithRemote {
        local_address: "127.0.0.1".to_string(),
        local_port: port,
        remote_ip: listen_info(None).ip,
        remote_port: endpoint.local_addr().unwrap().port(),
        protocol: Protocol::Udp,
    };
    let mut seen = [events.recv().unwrap(), events.recv().unwrap()];
    seen.sort_by_key(|event| matches!(event, Event::State(_)));
    assert_eq!(seen, [Event::Tuple(expected.clone()), Event::State(IceState::Completed)]);
    assert_eq!(transport.ice_state(), IceState::Completed);
    assert_eq!(transport.ice_selected_tuple(), Some(expected));
}

#[test]
fn connectivity_check_is_answered_and_reported() {
    block_on(async {
        let (_router, first, second) = transports().await;
        assert_ice_completes(&second);
        assert_ice_completes(&first);
        let stat = first.get_stats().await.unwrap().remove(0);
        assert!(stat.bytes_received > 0 && stat.bytes_sent > 0, "{stat:?}");
    });
}

#[test]
fn transports_on_a_webrtc_server_are_distinguished() {
    block_on(async {
        let router = router().await;
        let server = router.worker().create_webrtc_server(server_options(None)).await.unwrap();
        let options = WebRtcTransportOptions::new_with_server(server);
        let first = router.create_webrtc_transport(options.clone()).await.unwrap();
        let second = router.create_webrtc_transport(options).await.unwrap();
        assert_ice_completes(&second);
        assert_eq!(first.ice_state(), IceState::New);
        assert_ice_completes(&first);
    });
}
