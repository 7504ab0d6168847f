//! Behaviour of [`IceServer`], in virtual time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::tuple::SocketId;

const ID: [u8; 12] = *b"abcdefghijkl";
/// Transaction ids are unique (RFC 8489 §5).
static NEXT_ID: AtomicU64 = AtomicU64::new(0);
const TIMEOUT: Duration = Duration::from_secs(30);

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { username_fragment: name.into(), password: format!("{name}-password") }
}

fn tuple(port: u16) -> Tuple {
    Tuple { socket: SocketId(1), remote: SocketAddr::from(([192, 0, 2, 1], port)) }
}

/// A connectivity check, valid by default.
#[derive(Clone, Copy)]
struct Check {
    ufrag: &'static str,
    password: Option<&'static str>,
    username: bool,
    priority: bool,
    use_candidate: bool,
    nomination: Option<u32>,
    controlled: bool,
    method: u16,
}

const PLAIN: Check = Check {
    ufrag: "first",
    password: Some("first-password"),
    username: true,
    priority: true,
    use_candidate: false,
    nomination: None,
    controlled: false,
    method: BINDING,
};
const USE: Check = Check { use_candidate: true, ..PLAIN };
/// A check after an ICE restart with the credentials "second".
const RESTARTED: Check = Check { ufrag: "second", password: Some("second-password"), ..PLAIN };

const fn nominate(nomination: u32) -> Check {
    Check { nomination: Some(nomination), ..PLAIN }
}

const fn nominate_and_use(nomination: u32) -> Check {
    Check { nomination: Some(nomination), ..USE }
}

impl Check {
    fn bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut id = ID;
        id[..8].copy_from_slice(&NEXT_ID.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mut writer = StunWriter::new(&mut out, StunClass::Request, self.method, id);
        if self.username {
            writer = writer.username(&format!("{}:peer", self.ufrag)).unwrap();
        }
        writer = if self.controlled { writer.ice_controlled(1) } else { writer.ice_controlling(1) };
        if self.priority {
            writer = writer.priority(1);
        }
        if self.use_candidate {
            writer = writer.use_candidate();
        }
        if let Some(nomination) = self.nomination {
            writer = writer.nomination(nomination);
        }
        match self.password {
            Some(password) => writer.finish_with_integrity(password.as_bytes()),
            None => writer.finish(),
        }
        out
    }
}

/// An agent, its clock, and its last response.
struct Fixture {
    server: IceServer,
    now: Instant,
    reply: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        Self::with_config(IceConfig::default())
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "an origin for virtual time; there is no other way to get one"
    )]
    fn with_config(config: IceConfig) -> Self {
        Self { server: IceServer::new(credentials("first"), config), now: Instant::now(), reply: Vec::new() }
    }

    fn receive(&mut self, tuple: Tuple, bytes: &[u8]) -> IceVerdict {
        self.reply.clear();
        self.server.handle_stun(self.now, tuple, &StunMessage::parse(bytes).unwrap(), &mut self.reply)
    }

    fn check(&mut self, port: u16, check: Check) {
        assert_eq!(self.receive(tuple(port), &check.bytes()), IceVerdict::Accepted);
    }

    /// Advances time to the agent's timeout and handles it.
    fn wake(&mut self) {
        self.now = self.server.poll_timeout().expect("there is a timeout");
        self.server.handle_timeout(self.now);
    }

    fn events(&mut self) -> Vec<IceEvent> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }

    fn summary(&self) -> (IceState, Option<u16>) {
        (self.server.state(), self.server.selected_tuple().map(|tuple| tuple.remote.port()))
    }
}

fn retired(name: &str) -> IceEvent {
    IceEvent::UsernameFragmentRetired(name.into())
}

#[test]
fn checks_change_the_state_as_specified() {
    use IceState::{Completed, Connected};

    type Setup = (&'static str, fn(&mut Fixture));
    let new: Setup = ("new", |_| {});
    let connected: Setup = ("connected", |fixture| fixture.check(1, PLAIN));
    let completed: Setup = ("completed", |fixture| fixture.check(1, USE));
    let nominated: Setup = ("nominated by 5", |fixture| fixture.check(1, nominate(5)));
    let disconnected: Setup = ("disconnected", |fixture| {
        fixture.check(1, nominate(5));
        fixture.wake();
    });
    let restarted: Setup = ("restarted", |fixture| {
        fixture.check(1, nominate(5));
        fixture.server.restart(fixture.now, credentials("second"));
    });

    for ((setup, prepare), port, check, expected) in [
        (new, 1, PLAIN, (Connected, Some(1))),
        (new, 1, USE, (Completed, Some(1))),
        (new, 1, nominate(1), (Completed, Some(1))),
        (new, 1, nominate(0), (Connected, Some(1))),
        (new, 1, nominate_and_use(0), (Completed, Some(1))),
        (connected, 1, PLAIN, (Connected, Some(1))),
        (connected, 1, USE, (Completed, Some(1))),
        (connected, 2, PLAIN, (Connected, Some(1))),
        (connected, 2, USE, (Completed, Some(2))),
        (connected, 2, nominate(1), (Completed, Some(2))),
        (connected, 2, nominate(0), (Connected, Some(1))),
        (completed, 1, PLAIN, (Completed, Some(1))),
        (completed, 2, PLAIN, (Completed, Some(1))),
        (completed, 2, USE, (Completed, Some(2))),
        (completed, 2, nominate(1), (Completed, Some(2))),
        (nominated, 2, PLAIN, (Completed, Some(1))),
        (nominated, 2, nominate(4), (Completed, Some(1))),
        (nominated, 2, nominate_and_use(4), (Completed, Some(1))),
        (nominated, 2, nominate(6), (Completed, Some(2))),
        (nominated, 2, USE, (Completed, Some(2))),
        (disconnected, 2, PLAIN, (Connected, Some(2))),
        (disconnected, 2, USE, (Completed, Some(2))),
        (disconnected, 2, nominate(1), (Completed, Some(2))),
        (restarted, 2, PLAIN, (Completed, Some(1))),
        (restarted, 2, nominate(1), (Completed, Some(1))),
        (restarted, 2, nominate(6), (Completed, Some(2))),
        (restarted, 2, Check { nomination: Some(1), ..RESTARTED }, (Completed, Some(2))),
    ] {
        let mut fixture = Fixture::new();
        prepare(&mut fixture);
        fixture.check(port, check);
        let Check { use_candidate, nomination, .. } = check;
        assert_eq!(
            fixture.summary(),
            expected,
            "{setup}, then from {port}: use_candidate {use_candidate}, nomination {nomination:?}"
        );
        assert!(fixture.server.accepts(&tuple(port)));
    }
}

#[test]
fn events_are_reported_in_order() {
    let mut fixture = Fixture::new();
    fixture.check(1, PLAIN);
    fixture.check(1, PLAIN);
    fixture.check(2, USE);
    assert_eq!(
        fixture.events(),
        [
            IceEvent::TupleAdded(tuple(1)),
            IceEvent::SelectedTupleChanged(tuple(1)),
            IceEvent::StateChanged(IceState::Connected),
            IceEvent::TupleAdded(tuple(2)),
            IceEvent::SelectedTupleChanged(tuple(2)),
            IceEvent::StateChanged(IceState::Completed),
        ]
    );
    fixture.wake();
    assert_eq!(
        fixture.events(),
        [
            IceEvent::TupleRemoved(tuple(1)),
            IceEvent::TupleRemoved(tuple(2)),
            IceEvent::StateChanged(IceState::Disconnected),
        ]
    );
}

#[test]
fn valid_check_gets_a_protected_response_with_the_mapped_address() {
    for remote in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
        let mut fixture = Fixture::new();
        let tuple = Tuple { socket: SocketId(1), remote: remote.parse().unwrap() };
        let request = PLAIN.bytes();
        assert_eq!(fixture.receive(tuple, &request), IceVerdict::Accepted);
        let response = StunMessage::parse(&fixture.reply).unwrap();
        assert_eq!((response.class(), response.method()), (StunClass::SuccessResponse, BINDING));
        assert_eq!(response.transaction_id(), StunMessage::parse(&request).unwrap().transaction_id());
        assert_eq!(response.xor_mapped_address(), Some(tuple.remote));
        assert!(response.has_fingerprint());
        assert!(response.check_integrity(b"first-password"));
    }
}

#[test]
fn ipv4_peer_of_a_dual_stack_socket_gets_its_ipv4_address() {
    let mut fixture = Fixture::new();
    let tuple = Tuple { socket: SocketId(1), remote: "[::ffff:192.0.2.1]:5000".parse().unwrap() };
    assert_eq!(fixture.receive(tuple, &PLAIN.bytes()), IceVerdict::Accepted);
    let response = StunMessage::parse(&fixture.reply).unwrap();
    assert_eq!(response.xor_mapped_address(), Some("192.0.2.1:5000".parse().unwrap()));
    assert!(fixture.server.accepts(&tuple));
}

#[test]
fn invalid_requests_are_refused_by_name_and_change_nothing() {
    for (check, reason, code, is_protected) in [
        (Check { method: 3, ..PLAIN }, StunDiscard::UnknownMethod, 400, false),
        (Check { username: false, ..PLAIN }, StunDiscard::MissingCredentials, 400, false),
        (Check { password: None, ..PLAIN }, StunDiscard::MissingCredentials, 400, false),
        (Check { ufrag: "firs", ..PLAIN }, StunDiscard::UnknownUsername, 401, false),
        (Check { ufrag: "first2", ..PLAIN }, StunDiscard::UnknownUsername, 401, false),
        (Check { password: Some("wrong"), ..PLAIN }, StunDiscard::WrongIntegrity, 401, false),
        (Check { priority: false, ..PLAIN }, StunDiscard::MissingPriority, 400, true),
        (Check { controlled: true, ..USE }, StunDiscard::RoleConflict, 487, true),
    ] {
        let mut fixture = Fixture::new();
        let request = check.bytes();
        assert_eq!(fixture.receive(tuple(1), &request), IceVerdict::Discarded(reason));
        let response = StunMessage::parse(&fixture.reply).unwrap();
        assert_eq!(response.class(), StunClass::ErrorResponse, "{reason:?}");
        assert_eq!(response.transaction_id(), StunMessage::parse(&request).unwrap().transaction_id());
        assert_eq!(response.error_code().unwrap().0, code, "{reason:?}");
        assert_eq!(response.check_integrity(b"first-password"), is_protected, "{reason:?}");
        assert!(response.has_fingerprint());
        assert!(is_protected || fixture.reply.len() <= request.len(), "{reason:?}");
        assert_eq!(fixture.summary(), (IceState::New, None));
        assert_eq!(fixture.events(), []);
        assert!(!fixture.server.accepts(&tuple(1)));
        assert_eq!(fixture.server.poll_timeout(), None);
    }
}

#[test]
fn request_without_fingerprint_is_refused() {
    let mut fixture = Fixture::new();
    let mut request = PLAIN.bytes();
    request.truncate(request.len() - 8);
    request[3] -= 8;
    assert_eq!(fixture.receive(tuple(1), &request), IceVerdict::Discarded(StunDiscard::MissingFingerprint));
    assert_eq!(StunMessage::parse(&fixture.reply).unwrap().error_code(), Some((400, "Bad Request")));
}

#[test]
fn unauthenticated_request_shorter_than_its_error_gets_none() {
    let mut fixture = Fixture::new();
    let mut request = Vec::new();
    StunWriter::new(&mut request, StunClass::Request, BINDING, ID).finish();
    let mut reply = b"kept".to_vec();
    let message = StunMessage::parse(&request).unwrap();
    let verdict = fixture.server.handle_stun(fixture.now, tuple(1), &message, &mut reply);
    assert_eq!(verdict, IceVerdict::Discarded(StunDiscard::MissingCredentials));
    assert_eq!(reply, b"kept");
}

#[test]
fn unknown_attributes_are_listed_for_an_authenticated_peer_only() {
    // The writer cannot write unknown types, so that a known attribute is renamed before protection.
    let request = |password: &[u8]| {
        let mut out = Vec::new();
        let writer =
            StunWriter::new(&mut out, StunClass::Request, BINDING, ID).username("first:peer").unwrap();
        let _ = writer.priority(1);
        let at = out.len() - 8;
        out[at..at + 2].copy_from_slice(&0x7abc_u16.to_be_bytes());
        protect(&mut out, password);
        out
    };
    let mut fixture = Fixture::new();
    let verdict = fixture.receive(tuple(1), &request(b"first-password"));
    assert_eq!(verdict, IceVerdict::Discarded(StunDiscard::UnknownAttributes));
    let response = StunMessage::parse(&fixture.reply).unwrap();
    assert_eq!(response.error_code(), Some((420, "Unknown Attribute")));
    assert_eq!(response.unknown_attributes().collect::<Vec<_>>(), [0x7abc]);
    assert!(response.check_integrity(b"first-password"));
    assert_eq!(fixture.events(), []);

    let verdict = fixture.receive(tuple(1), &request(b"wrong"));
    assert_eq!(verdict, IceVerdict::Discarded(StunDiscard::WrongIntegrity));
    assert_eq!(StunMessage::parse(&fixture.reply).unwrap().unknown_attributes().count(), 0);
}

/// Appends MESSAGE-INTEGRITY and FINGERPRINT to a hand-made message.
fn protect(message: &mut Vec<u8>, password: &[u8]) {
    use hmac::{Hmac, Mac};
    let set_length = |message: &mut Vec<u8>, more: usize| {
        let length = (message.len() - 20 + more) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
    };
    set_length(message, 24);
    let tag = Hmac::<sha1::Sha1>::new_from_slice(password).unwrap().chain_update(&message).finalize();
    message.extend_from_slice(&[0, 8, 0, 20]);
    message.extend_from_slice(&tag.into_bytes());
    set_length(message, 8);
    let crc = crc32fast::hash(message) ^ 0x5354_554e;
    message.extend_from_slice(&[0x80, 0x28, 0, 4]);
    message.extend_from_slice(&crc.to_be_bytes());
}

#[test]
fn indications_and_responses_change_nothing() {
    let mut fixture = Fixture::new();
    for (class, verdict) in [
        (StunClass::Indication, IceVerdict::Indication),
        (StunClass::SuccessResponse, IceVerdict::Discarded(StunDiscard::UnexpectedResponse)),
        (StunClass::ErrorResponse, IceVerdict::Discarded(StunDiscard::UnexpectedResponse)),
    ] {
        let mut bytes = Vec::new();
        StunWriter::new(&mut bytes, class, BINDING, ID)
            .username("first:peer")
            .unwrap()
            .use_candidate()
            .finish_with_integrity(b"first-password");
        assert_eq!(fixture.receive(tuple(1), &bytes), verdict);
        assert!(fixture.reply.is_empty());
        assert!(!fixture.server.accepts(&tuple(1)));
        assert_eq!(fixture.events(), []);
    }
}

#[test]
fn oldest_unselected_tuple_is_evicted() {
    let mut fixture = Fixture::with_config(IceConfig { max_tuples: 3, ..IceConfig::default() });
    for port in 1..=3 {
        fixture.check(port, PLAIN);
    }
    fixture.events();
    fixture.check(4, PLAIN);
    assert_eq!(fixture.events(), [IceEvent::TupleAdded(tuple(4)), IceEvent::TupleRemoved(tuple(2))]);
    assert_eq!(fixture.server.tuples().collect::<Vec<_>>(), [tuple(1), tuple(3), tuple(4)]);
    assert_eq!(fixture.server.selected_tuple(), Some(tuple(1)));
    assert!(!fixture.server.accepts(&tuple(2)));
}

#[test]
fn two_tuples_are_kept_even_if_fewer_are_configured() {
    let mut fixture = Fixture::with_config(IceConfig { max_tuples: 0, ..IceConfig::default() });
    for port in 1..=4 {
        fixture.check(port, USE);
    }
    assert_eq!(fixture.server.tuples().collect::<Vec<_>>(), [tuple(3), tuple(4)]);
    assert_eq!(fixture.summary(), (IceState::Completed, Some(4)));
}

#[test]
fn same_address_on_another_socket_is_another_tuple() {
    let mut fixture = Fixture::new();
    fixture.check(1, PLAIN);
    assert!(!fixture.server.accepts(&Tuple { socket: SocketId(2), ..tuple(1) }));
}

#[test]
fn dtls_selects_a_known_tuple_once_connected() {
    let mut fixture = Fixture::new();
    fixture.server.force_selected_tuple(fixture.now, tuple(1));
    assert_eq!(fixture.summary(), (IceState::New, None));
    fixture.check(1, PLAIN);
    fixture.check(2, PLAIN);
    fixture.events();
    fixture.server.force_selected_tuple(fixture.now, tuple(3));
    assert_eq!(fixture.events(), []);
    fixture.server.force_selected_tuple(fixture.now, tuple(2));
    fixture.server.force_selected_tuple(fixture.now, tuple(2));
    assert_eq!(fixture.events(), [IceEvent::SelectedTupleChanged(tuple(2))]);
    assert_eq!(fixture.summary(), (IceState::Connected, Some(2)));
}

#[test]
fn newest_tuple_takes_over_from_a_removed_selected_one() {
    let mut fixture = Fixture::new();
    fixture.check(1, USE);
    fixture.check(2, PLAIN);
    fixture.check(3, PLAIN);
    fixture.events();
    let later = fixture.now + Duration::from_secs(10);
    fixture.server.remove_tuple(later, &tuple(1));
    assert_eq!(
        fixture.events(),
        [IceEvent::TupleRemoved(tuple(1)), IceEvent::SelectedTupleChanged(tuple(3))]
    );
    assert_eq!(fixture.server.state(), IceState::Completed);
    assert_eq!(fixture.server.poll_timeout(), Some(later + TIMEOUT));

    fixture.server.remove_tuple(later, &tuple(2));
    fixture.server.remove_tuple(later, &tuple(2));
    assert_eq!(fixture.events(), [IceEvent::TupleRemoved(tuple(2))]);

    fixture.server.remove_tuple(later, &tuple(3));
    assert_eq!(
        fixture.events(),
        [IceEvent::TupleRemoved(tuple(3)), IceEvent::StateChanged(IceState::Disconnected)]
    );
    assert_eq!(fixture.server.poll_timeout(), None);
}

#[test]
fn every_valid_check_renews_consent_for_its_path() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.server.poll_timeout(), None);
    let start = fixture.now;
    let at = |seconds| start + Duration::from_secs(seconds);
    fixture.check(1, PLAIN);
    fixture.now = at(20);
    fixture.check(1, PLAIN);
    assert_eq!(fixture.server.poll_timeout(), Some(at(50)));
    fixture.server.handle_timeout(at(49));
    assert_eq!(fixture.server.state(), IceState::Connected);

    let wrong = Check { password: Some("wrong"), ..PLAIN };
    fixture.receive(tuple(1), &wrong.bytes());
    fixture.wake();
    assert_eq!(fixture.now, at(50));
    assert_eq!(fixture.summary(), (IceState::Disconnected, None));
    assert_eq!(fixture.server.tuples().next(), None);
    assert_eq!(fixture.server.poll_timeout(), None);
}

#[test]
fn path_with_consent_takes_over_from_one_without() {
    let mut fixture = Fixture::new();
    let start = fixture.now;
    let at = |seconds| start + Duration::from_secs(seconds);
    fixture.check(1, USE);
    fixture.check(2, PLAIN);
    fixture.now = at(5);
    fixture.check(3, PLAIN);
    fixture.events();
    fixture.wake();
    assert_eq!(fixture.now, at(30));
    let expected = [
        IceEvent::TupleRemoved(tuple(1)),
        IceEvent::TupleRemoved(tuple(2)),
        IceEvent::SelectedTupleChanged(tuple(3)),
    ];
    assert_eq!(fixture.events(), expected);
    assert_eq!(fixture.server.state(), IceState::Completed);
    fixture.wake();
    assert_eq!((fixture.now, fixture.summary()), (at(35), (IceState::Disconnected, None)));
}

#[test]
fn checked_path_takes_over_from_a_silent_one() {
    for (timeout, wait) in [(Some(TIMEOUT), 7), (None, 7)] {
        let config = IceConfig { consent_timeout: timeout, ..IceConfig::default() };
        let mut fixture = Fixture::with_config(config);
        let start = fixture.now;
        fixture.check(1, USE);
        for second in 1..wait {
            fixture.now = start + Duration::from_secs(second);
            fixture.check(2, PLAIN);
            assert_eq!(fixture.summary(), (IceState::Completed, Some(1)), "after {second} s");
        }
        fixture.now = start + Duration::from_secs(wait);
        fixture.check(2, PLAIN);
        assert_eq!(fixture.summary(), (IceState::Completed, Some(2)));
    }
}

#[test]
fn selection_does_not_swing_between_two_living_paths() {
    let mut fixture = Fixture::new();
    let start = fixture.now;
    fixture.check(1, USE);
    fixture.check(2, PLAIN);
    fixture.events();
    // Consent checks on one path at the longest interval of RFC 7675, and keepalives on the other.
    for second in 1..120 {
        fixture.now = start + Duration::from_secs(second);
        fixture.server.handle_timeout(fixture.now);
        if second % 6 == 0 {
            fixture.check(1, PLAIN);
        }
        if second % 5 == 0 {
            fixture.check(2, PLAIN);
        }
    }
    assert_eq!(fixture.events(), []);
    // Authenticated packets alone keep a path too.
    for _ in 0..120 {
        fixture.now += Duration::from_millis(200);
        fixture.check(2, PLAIN);
        fixture.server.handle_traffic(fixture.now, &tuple(1));
    }
    assert_eq!(fixture.events(), []);
}

#[test]
fn authenticated_packets_confirm_the_peers_address() {
    let mut fixture = Fixture::new();
    let start = fixture.now;
    fixture.check(1, USE);
    fixture.check(2, PLAIN);
    assert!(!fixture.server.handle_traffic(start, &tuple(1)));
    fixture.events();
    // Some packets arrive late or reordered after the peer has moved.
    fixture.now = start + Duration::from_millis(1900);
    fixture.check(1, PLAIN);
    assert!(!fixture.server.handle_traffic(fixture.now, &tuple(2)));
    fixture.now = start + Duration::from_secs(2);
    assert!(!fixture.server.handle_traffic(fixture.now, &tuple(3)), "no check has come from there");
    assert!(fixture.server.handle_traffic(fixture.now, &tuple(2)));
    assert_eq!(fixture.events(), [IceEvent::SelectedTupleChanged(tuple(2))]);
    assert_eq!(
        fixture.server.poll_timeout(),
        Some(start + TIMEOUT),
        "consent for that path is of its last check"
    );
    // A single late packet does not move the selection back.
    assert!(!fixture.server.handle_traffic(fixture.now + Duration::from_secs(1), &tuple(1)));
}

#[test]
fn replayed_checks_change_nothing() {
    let mut fixture = Fixture::new();
    let nominating = USE.bytes();
    fixture.receive(tuple(1), &nominating);
    fixture.events();
    // From another address: no answer.
    let verdict = fixture.receive(tuple(66), &nominating);
    assert_eq!(verdict, IceVerdict::Discarded(StunDiscard::Replayed));
    assert!(fixture.reply.is_empty() && !fixture.server.accepts(&tuple(66)));
    // From a path that the peer has left.
    fixture.check(2, USE);
    fixture.events();
    assert_eq!(fixture.receive(tuple(1), &nominating), IceVerdict::Accepted);
    assert_eq!(fixture.summary(), (IceState::Completed, Some(2)));
    // The number of remembered transactions is bounded.
    for _ in 0..1000 {
        fixture.check(2, USE);
    }
    assert_eq!(fixture.server.transactions.len(), MAX_TRANSACTIONS);
}

#[test]
fn replayed_nomination_is_undone_by_the_peers_own_packets() {
    let mut fixture = Fixture::new();
    fixture.check(1, USE);
    // So old that its transaction id is not remembered any more.
    fixture.check(66, USE);
    assert_eq!(fixture.summary().1, Some(66));
    for _ in 0..30 {
        fixture.now += Duration::from_millis(100);
        fixture.server.handle_traffic(fixture.now, &tuple(1));
    }
    assert_eq!(fixture.summary().1, Some(1));
}

#[test]
fn path_of_another_transport_is_taken_by_nomination_or_after_silence() {
    let cases = [
        (Hold::Quiet, PLAIN, IceVerdict::Accepted),
        (Hold::Quiet, USE, IceVerdict::Accepted),
        (Hold::Checked, PLAIN, IceVerdict::Answered),
        (Hold::Checked, USE, IceVerdict::Accepted),
        (Hold::Checked, nominate(1), IceVerdict::Accepted),
        (Hold::Checked, nominate(0), IceVerdict::Answered),
        (Hold::Live, USE, IceVerdict::Answered),
        (Hold::Live, Check { password: Some("wrong"), ..USE }, WRONG),
        (Hold::Quiet, Check { password: Some("wrong"), ..USE }, WRONG),
    ];
    const WRONG: IceVerdict = IceVerdict::Discarded(StunDiscard::WrongIntegrity);
    for (hold, check, expected) in cases {
        let mut fixture = Fixture::new();
        let bytes = check.bytes();
        let message = StunMessage::parse(&bytes).unwrap();
        let verdict =
            fixture.server.handle_contested_stun(fixture.now, tuple(1), hold, &message, &mut fixture.reply);
        assert_eq!(verdict, expected, "{hold:?}");
        assert!(!fixture.reply.is_empty());
        assert_eq!(fixture.server.accepts(&tuple(1)), expected == IceVerdict::Accepted);
    }
}

#[test]
fn hold_on_a_path_follows_checks_and_packets() {
    let mut fixture = Fixture::new();
    let start = fixture.now;
    let at = |ms| start + Duration::from_millis(ms);
    let hold = |fixture: &Fixture, ms| fixture.server.hold(at(ms), &tuple(1));
    assert_eq!(hold(&fixture, 0), Hold::Quiet);
    fixture.check(1, PLAIN);
    assert_eq!(
        (hold(&fixture, 0), hold(&fixture, 6999), hold(&fixture, 7000)),
        (Hold::Checked, Hold::Checked, Hold::Quiet)
    );
    fixture.server.handle_traffic(at(100), &tuple(1));
    assert_eq!((hold(&fixture, 1099), hold(&fixture, 1100)), (Hold::Live, Hold::Checked));
}

#[test]
fn seconds_of_mediasoup_are_brought_into_range_or_are_off() {
    for (seconds, expected) in [(0, None), (1, Some(10)), (10, Some(10)), (45, Some(45)), (61, Some(60))] {
        assert_eq!(consent_timeout_from_seconds(seconds), expected.map(Duration::from_secs));
    }
}

#[test]
fn consent_timeout_counts_from_the_last_check() {
    for consent_timeout in [Some(Duration::from_secs(45)), None] {
        let mut fixture = Fixture::with_config(IceConfig { consent_timeout, ..IceConfig::default() });
        fixture.check(1, PLAIN);
        assert_eq!(fixture.server.poll_timeout(), consent_timeout.map(|time| fixture.now + time));
    }
}

#[test]
fn old_credentials_are_valid_until_the_first_check_with_new_ones() {
    let mut fixture = Fixture::new();
    fixture.check(1, USE);
    fixture.events();
    fixture.now += Duration::from_secs(20);
    fixture.server.restart(fixture.now, credentials("second"));
    assert_eq!(fixture.server.local_credentials(), &credentials("second"));
    assert_eq!(fixture.server.poll_timeout(), Some(fixture.now + TIMEOUT));
    assert!(fixture.server.matches_ufrag("first") && fixture.server.matches_ufrag("second"));
    assert_eq!(fixture.summary(), (IceState::Completed, Some(1)));

    fixture.check(1, PLAIN);
    assert!(StunMessage::parse(&fixture.reply).unwrap().check_integrity(b"first-password"));
    assert_eq!(fixture.events(), []);

    let forged = Check { password: Some("first-password"), ..RESTARTED };
    assert_eq!(
        fixture.receive(tuple(1), &forged.bytes()),
        IceVerdict::Discarded(StunDiscard::WrongIntegrity)
    );
    assert!(fixture.server.matches_ufrag("first"));

    fixture.check(1, RESTARTED);
    assert!(StunMessage::parse(&fixture.reply).unwrap().check_integrity(b"second-password"));
    assert_eq!(fixture.events(), [retired("first")]);
    assert!(!fixture.server.matches_ufrag("first"));
    assert_eq!(
        fixture.receive(tuple(1), &PLAIN.bytes()),
        IceVerdict::Discarded(StunDiscard::UnknownUsername)
    );
}

#[test]
fn second_restart_retires_the_credentials_before_the_first() {
    let mut fixture = Fixture::new();
    fixture.server.restart(fixture.now, credentials("second"));
    fixture.server.restart(fixture.now, credentials("third"));
    assert_eq!(fixture.events(), [retired("first")]);
    assert_eq!(fixture.server.poll_timeout(), None);
    for (ufrag, is_ours) in [("first", false), ("second", true), ("third", true), ("", false)] {
        assert_eq!(fixture.server.matches_ufrag(ufrag), is_ours, "{ufrag}");
    }
}

#[test]
fn closed_agent_answers_nothing() {
    let mut fixture = Fixture::new();
    fixture.check(1, PLAIN);
    fixture.server.restart(fixture.now, credentials("second"));
    fixture.events();
    fixture.server.close();
    fixture.server.close();
    assert_eq!(
        fixture.events(),
        [
            retired("first"),
            retired("second"),
            IceEvent::TupleRemoved(tuple(1)),
            IceEvent::StateChanged(IceState::Closed),
        ]
    );
    assert_eq!(fixture.receive(tuple(1), &PLAIN.bytes()), IceVerdict::Discarded(StunDiscard::Closed));
    assert!(fixture.reply.is_empty());
    fixture.server.restart(fixture.now, credentials("third"));
    fixture.server.remove_tuple(fixture.now, &tuple(1));
    fixture.server.handle_timeout(fixture.now + TIMEOUT);
    assert_eq!((fixture.events(), fixture.server.poll_timeout()), (vec![], None));
    assert!(!fixture.server.matches_ufrag("first"));
    assert_eq!(fixture.summary(), (IceState::Closed, None));
}

#[test]
fn undrained_events_are_bounded() {
    let mut fixture = Fixture::new();
    let refused = (0..1000).find(|port| {
        let verdict = fixture.receive(tuple(*port), &USE.bytes());
        verdict == IceVerdict::Discarded(StunDiscard::EventBacklog)
    });
    assert!(refused.is_some());
    for port in 0..1000 {
        fixture.server.force_selected_tuple(fixture.now, tuple(port));
        fixture.server.remove_tuple(fixture.now, &tuple(port));
    }
    assert!(fixture.events().len() < 64);
    fixture.check(1, PLAIN);
}
