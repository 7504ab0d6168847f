//! Hostile datagrams to the engine's port are dropped and counted, and the call continues.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tureen_client::{Identity, Session, SessionConfig};
use tureen_rtc::dtls::{Certificate, Dtls, DtlsConfig, DtlsOptions, Output, Role};
use tureen_sim::{Call, Consumption};
use tureen_types::data_structures::IceParameters;

use crate::{assert_numbered_like_the_source, even_video, good_link, received};

const STRANGER: ([u8; 4], u16) = ([203, 0, 113, 7], 9);

fn engine() -> SocketAddr {
    ([10, 0, 0, 1], 40_000).into()
}

fn running_call(seed: u64) -> (Call, Consumption) {
    let mut call = Call::new(seed);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(1));
    (call, consumer)
}

fn assert_continues(mut call: Call, consumer: &Consumption) {
    let before = received(&call, consumer).len();
    call.network.run_for(Duration::from_secs(2));
    let packets = received(&call, consumer);
    assert!(packets.len() > before + 200, "{} after {before}", packets.len());
    assert_eq!(assert_numbered_like_the_source(&packets), 0);
}

fn all_drops(call: &Call) -> u64 {
    call.network.worker().drops().iter().map(|(_, count)| count).sum()
}

#[test]
fn random_datagrams_from_strangers_are_dropped_and_counted() {
    let (mut call, consumer) = running_call(1);
    let mut rng = StdRng::seed_from_u64(1);
    let count = 5000;
    for _ in 0..count {
        let mut data = vec![0; rng.random_range(0..1500)];
        rng.fill_bytes(&mut data);
        let from = ([203, 0, 113, rng.random()], rng.random_range(1..=u16::MAX)).into();
        call.network.inject(from, engine(), data);
    }
    assert_eq!(all_drops(&call), count);
    assert!(call.network.drops("unknown-tuple") > 1000, "{:?}", call.network.worker().drops());
    assert_continues(call, &consumer);
}

#[test]
fn random_datagrams_from_a_members_address_are_dropped_and_counted() {
    let (mut call, consumer) = running_call(2);
    let mut rng = StdRng::seed_from_u64(2);
    let from = call.network.address(consumer.node);
    for _ in 0..5000 {
        let mut data = vec![0; rng.random_range(1..1500)];
        rng.fill_bytes(&mut data);
        // RTP and RTCP of which only the first bits are valid.
        data[0] = 0x80 | data[0] & 0x3f;
        call.network.inject(from, engine(), data);
    }
    assert_eq!(all_drops(&call), 5000, "{:?}", call.network.worker().drops());
    assert_continues(call, &consumer);
}

#[test]
fn check_with_an_unknown_user_name_is_not_answered() {
    let (mut call, consumer) = running_call(3);
    let identity = Identity::generate().unwrap();
    let config = SessionConfig {
        remote_ice: IceParameters {
            username_fragment: "nobody".to_owned(),
            password: "whatever this is".to_owned(),
            ice_lite: Some(true),
        },
        candidates: vec![engine()],
        remote_dtls: identity.dtls_parameters(Role::Server),
        identity,
        dtls_role: Role::Client,
        cname: "stranger".to_owned(),
        sctp: None,
        seed: [1; 32],
    };
    let stranger = call.network.add_session(config, good_link(), good_link());
    call.network.run_for(Duration::from_secs(2));
    assert!(!call.network.session(stranger).is_connected());
    let (up, down) = call.network.link_stats(stranger);
    assert_eq!(call.network.drops("unknown-ufrag"), up.sent);
    assert!(up.sent >= 3);
    assert!(down.bytes <= up.bytes, "no amplification");
    assert_continues(call, &consumer);
}

#[test]
fn check_with_a_wrong_password_is_rejected() {
    let mut call = Call::new(4);
    let stranger = call.join_with(Role::Client, good_link(), &|config, _| {
        config.remote_ice.password = "not the password".to_owned();
    });
    call.network.run_for(Duration::from_secs(2));
    assert!(!call.network.session(stranger).is_connected());
    assert_eq!(call.network.drops("refused-stun"), call.network.link_stats(stranger).0.sent);
}

#[test]
fn client_hello_from_an_unknown_tuple_is_dropped() {
    let (mut call, consumer) = running_call(5);
    let certificate = Certificate::generate().unwrap();
    let config = DtlsConfig::new(certificate.clone(), DtlsOptions::default()).unwrap();
    let fingerprint = certificate.fingerprints()[2];
    let now = now();
    let mut dtls = Dtls::new(&std::sync::Arc::new(config), Role::Client, fingerprint, now).unwrap();
    let mut buffer = Vec::new();
    let mut hellos = 0;
    while let Output::Datagram(hello) = dtls.poll_output(&mut buffer) {
        call.network.inject(STRANGER.into(), engine(), hello.to_vec());
        hellos += 1;
    }
    assert!(hellos > 0);
    assert_eq!(call.network.drops("unknown-tuple"), hellos);
    assert_continues(call, &consumer);
}

#[test]
fn replayed_media_is_dropped_before_it_is_decrypted() {
    let mut call = Call::new(6);
    let nodes = call.join_all(&[good_link().with_duplicates(1.0), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(2));
    let sent = call.network.session(nodes[0]).send_stats(production.ssrc).unwrap().packets;
    let replayed = call.network.drops("replayed");
    assert!(replayed + 20 > sent, "{replayed} of {sent}: {:?}", call.network.worker().drops());
    assert_continues(call, &consumer);
}

/// The DTLS client needs some time, which the engine never sees.
#[expect(clippy::disallowed_methods, reason = "a DTLS client wants some time to start at")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Asserts that sessions can be moved to other threads.
const _: fn() = || {
    fn assert_send<T: Send>() {}
    assert_send::<Session>();
};
