//! ICE and DTLS between engine and client, over lossy networks and with wrong parameters.

use std::time::Duration;

use tureen_client::{Event, FailureReason, Identity};
use tureen_engine::api::{LinkDump, Notification, Request, Response, TransportEvent, TransportId};
use tureen_rtc::dtls::{DtlsError, Role};
use tureen_rtc::wire::stun::{BINDING, StunClass, StunWriter};
use tureen_sim::{Call, LinkConfig};
use tureen_types::data_structures::{DtlsState, IceParameters, IceState};

use crate::{MS, assert_numbered_like_the_source, even_video, good_link, received};

/// Events of a transport, each with its time.
fn transport_events<'a>(
    call: &'a Call,
    transport: &'a TransportId,
) -> impl Iterator<Item = (Duration, &'a TransportEvent)> {
    call.network.notifications().iter().filter_map(move |(at, notification)| match notification {
        Notification::Transport(id, event) if id == transport => Some((*at, event)),
        _ => None,
    })
}

fn dtls_states(call: &Call, transport: &TransportId) -> Vec<DtlsState> {
    let states = transport_events(call, transport).filter_map(|(_, event)| match event {
        TransportEvent::DtlsState { state, .. } => Some(*state),
        _ => None,
    });
    states.collect()
}

fn ice_states(call: &Call, transport: &TransportId) -> Vec<IceState> {
    let states = transport_events(call, transport).filter_map(|(_, event)| match event {
        TransportEvent::IceState(state) => Some(*state),
        _ => None,
    });
    states.collect()
}

#[test]
fn connects_in_both_dtls_roles_and_reports_states_in_order() {
    for role in [Role::Client, Role::Server] {
        let mut call = Call::new(1);
        let node = call.join(role, good_link());
        call.connect(&[node]);
        call.network.run_for(100 * MS);
        assert_eq!(dtls_states(&call, call.transport(node)), [DtlsState::Connecting, DtlsState::Connected]);
        assert_eq!(ice_states(&call, call.transport(node)).last(), Some(&IceState::Completed), "{role:?}");
        assert!(call.network.elapsed() < 400 * MS, "{:?}", call.network.elapsed());
    }
}

#[test]
fn handshake_survives_loss_reordering_and_duplicates_in_both_roles() {
    for seed in 0..20 {
        for role in [Role::Client, Role::Server] {
            let mut call = Call::new(seed);
            let link = LinkConfig::with_delay(40 * MS).with_loss(0.2).with_duplicates(0.1);
            let node = call.join(role, link.with_reordering(50 * MS));
            let done = |network: &tureen_sim::Network| network.session(node).is_connected();
            let connected = call.network.run_until_true(Duration::from_secs(25), done);
            assert!(connected, "seed {seed}, {role:?}: {:?}", call.network.events(node));
            call.network.run_for(Duration::from_secs(10));
            let states = dtls_states(&call, call.transport(node));
            assert_eq!(states, [DtlsState::Connecting, DtlsState::Connected], "seed {seed}, {role:?}");
        }
    }
}

#[test]
fn silent_client_loses_consent_and_the_others_continue() {
    let mut call = Call::new(2);
    let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumers = [call.consume(nodes[1], &production), call.consume(nodes[2], &production)];
    call.network.run_for(Duration::from_secs(20));
    let dead = good_link().with_loss(1.0);
    call.network.set_links(nodes[1], dead.clone(), dead);
    let silent_since = call.network.elapsed();
    call.network.run_for(Duration::from_secs(40));

    let gone = call.transport(nodes[1]).clone();
    let at = transport_events(&call, &gone).find_map(|(at, event)| match event {
        TransportEvent::IceState(IceState::Disconnected) => Some(at),
        _ => None,
    });
    let waited = at.expect("the transport is disconnected") - silent_since;
    // RFC 7675 §5.1: consent expires 30 s after the last answered check, which was sent at most 6 s before.
    assert!((23_000..=30_100).contains(&waited.as_millis()), "{waited:?}");
    assert!(call.network.events(nodes[1]).iter().any(|(_, event)| *event == Event::IceDisconnected));
    assert!(!ice_states(&call, call.transport(nodes[2])).contains(&IceState::Disconnected));
    assert_eq!(assert_numbered_like_the_source(&received(&call, &consumers[1])), 0);
    let last = received(&call, &consumers[1]).last().unwrap().at;
    assert!(call.network.elapsed() - last < 100 * MS);
}

#[test]
fn ice_restart_reconnects_a_disconnected_client() {
    let mut call = Call::new(3);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(5));
    let dead = good_link().with_loss(1.0);
    call.network.set_links(nodes[1], dead.clone(), dead);
    call.network.run_for(Duration::from_secs(40));
    call.network.set_links(nodes[1], good_link(), good_link());
    assert!(!call.network.session(nodes[1]).is_connected());
    let before = received(&call, &consumer).len();

    let Response::IceParameters(parameters) =
        call.request(Request::RestartIce(call.transport(nodes[1]).clone()))
    else {
        panic!("not an answer to RestartIce")
    };
    let candidate = ([10, 0, 0, 1], 40_000).into();
    let restarted = call
        .network
        .with_session(nodes[1], |session, now| session.restart_ice(now, &parameters, &[candidate]));
    restarted.unwrap();
    call.network.run_for(Duration::from_secs(5));
    assert!(call.network.session(nodes[1]).is_connected());
    let packets = received(&call, &consumer);
    assert!(packets.len() > before + 400, "{} after {before}", packets.len());
    let first = packets[before..].iter().min_by_key(|packet| packet.seq).unwrap();
    assert!(first.key_frame, "the stream restarts with a key frame: {first:?}");
}

#[test]
fn client_that_changes_its_address_is_followed() {
    let mut call = Call::new(4);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(3));
    call.network.set_address(nodes[1], ([10, 9, 9, 9], 777).into());
    call.network.run_for(Duration::from_secs(10));
    let packets = received(&call, &consumer);
    // The engine learns the new address from the next consent check, at most six seconds later.
    let late = packets.iter().filter(|packet| packet.at > Duration::from_secs(10)).count();
    assert!(late > 300, "{late}");
    assert_numbered_like_the_source(&packets);
}

/// Connectivity check without USE-CANDIDATE, as some clients send as keepalive.
fn plain_check(ice: &IceParameters, id: u8) -> Vec<u8> {
    let mut out = Vec::new();
    StunWriter::new(&mut out, StunClass::Request, BINDING, [id; 12])
        .username(&format!("{}:abcd", ice.username_fragment))
        .unwrap()
        .ice_controlling(1)
        .priority(1)
        .finish_with_integrity(ice.password.as_bytes());
    out
}

#[test]
fn peer_that_checks_from_another_address_without_nominating_is_followed_once_its_path_is_silent() {
    for falls_silent in [true, false] {
        let mut call = Call::new(6);
        let node = call.join(Role::Client, good_link());
        call.connect(&[node]);
        let transport = call.transport(node).clone();
        let Response::TransportDump(dump) = call.request(Request::DumpTransport(transport.clone())) else {
            panic!("no dump")
        };
        let LinkDump::WebRtc(dump) = dump.link else { panic!("no WebRtcTransport") };
        let begun = call.network.elapsed();
        if falls_silent {
            call.network.set_links(node, good_link().with_loss(1.0), good_link());
        }
        let elsewhere = ([203, 0, 113, 9], 999).into();
        for id in 1..=12 {
            call.network.inject(
                elsewhere,
                ([10, 0, 0, 1], 40_000).into(),
                plain_check(&dump.ice_parameters, id),
            );
            call.network.run_for(Duration::from_secs(1));
        }
        let moves: Vec<_> = transport_events(&call, &transport)
            .filter(|(at, _)| *at > begun)
            .filter_map(|(at, event)| match event {
                TransportEvent::IceSelectedTuple(tuple) => Some((at - begun, tuple.remote_ip())),
                _ => None,
            })
            .collect();
        match moves[..] {
            [(after, ip)] if falls_silent => {
                assert_eq!(ip, Some([203, 0, 113, 9].into()));
                assert!((Duration::from_secs(4)..Duration::from_secs(9)).contains(&after), "{after:?}");
            }
            [] if !falls_silent => {}
            _ => panic!("{moves:?}, silent: {falls_silent}"),
        }
    }
}

#[test]
fn wrong_fingerprint_of_the_engine_ends_the_session() {
    for role in [Role::Client, Role::Server] {
        let mut call = Call::new(5);
        let other = Identity::generate().unwrap().dtls_parameters(Role::Server);
        let node = call.join_with(role, good_link(), &|config, _| config.remote_dtls = other.clone());
        call.network.run_for(Duration::from_secs(5));
        let wrong = |event: &Event| {
            matches!(event, Event::Failed(FailureReason::Dtls(DtlsError::WrongFingerprint { .. })))
        };
        assert!(call.network.events(node).iter().any(|(_, event)| wrong(event)), "{role:?}");
        assert!(!call.network.session(node).is_connected());
    }
}

#[test]
fn wrong_fingerprint_of_the_client_fails_the_transport() {
    for role in [Role::Client, Role::Server] {
        let mut call = Call::new(6);
        let other = Identity::generate().unwrap().dtls_parameters(role);
        let node = call.join_with(role, good_link(), &|_, parameters| *parameters = other.clone());
        call.network.run_for(Duration::from_secs(5));
        let states = dtls_states(&call, call.transport(node));
        assert_eq!(states, [DtlsState::Connecting, DtlsState::Failed], "{role:?}");
    }
}

#[test]
fn close_is_reported_on_the_other_side() {
    let mut call = Call::new(7);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.with_session(nodes[0], |session, now| session.close(now));
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(dtls_states(&call, call.transport(nodes[0])).last(), Some(&DtlsState::Closed));

    call.request(Request::CloseTransport(call.transport(nodes[1]).clone()));
    call.network.run_for(Duration::from_secs(1));
    assert!(call.network.events(nodes[1]).iter().any(|(_, event)| *event == Event::Closed));
}
