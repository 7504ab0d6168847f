//! Two associations over a virtual link, in virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const SHA256: FingerprintAlgorithm = FingerprintAlgorithm::Sha256;

#[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
pub(super) fn origin() -> Instant {
    Instant::now()
}

pub(super) fn config(certificate: &Certificate, change: impl FnOnce(&mut DtlsOptions)) -> Arc<DtlsConfig> {
    let mut options = DtlsOptions::default();
    change(&mut options);
    Arc::new(DtlsConfig::new(certificate.clone(), options).unwrap())
}

/// Reports of one end.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connected: Option<(Option<SrtpKeys>, String)>,
    pub(super) failed: Option<DtlsError>,
    pub(super) closed: bool,
    data: Vec<Vec<u8>>,
    pub(super) datagrams: usize,
}

/// A lossy link. Probabilities apply to each datagram.
pub(super) struct Link {
    rng: SmallRng,
    seed: u64,
    drop: f64,
    duplicate: f64,
    reorder: f64,
}

impl Link {
    pub(super) fn perfect() -> Self {
        Self::lossy(0, 0.0, 0.0, 0.0)
    }

    pub(super) fn lossy(seed: u64, drop: f64, duplicate: f64, reorder: f64) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), seed, drop, duplicate, reorder }
    }

    fn delays(&mut self) -> Vec<Duration> {
        let copies = 1 + usize::from(self.rng.random_bool(self.duplicate));
        (0..copies)
            .filter_map(|_| {
                if self.rng.random_bool(self.drop) {
                    return None;
                }
                let late = self.rng.random_bool(self.reorder);
                Some(Duration::from_millis(if late { self.rng.random_range(11..80) } else { 10 }))
            })
            .collect()
    }
}

pub(super) struct Pair {
    pub(super) ends: [Dtls; 2],
    pub(super) seen: [Seen; 2],
    timeouts: [Option<Instant>; 2],
    pub(super) now: Instant,
    start: Instant,
    pub(super) link: Link,
    /// Datagrams in flight: arrival, order of sending, destination, bytes.
    pub(super) flying: Vec<(Instant, usize, usize, Vec<u8>)>,
    sent: usize,
    pub(super) max_datagram: usize,
}

impl Pair {
    /// The first end is the client.
    pub(super) fn new(client: &Arc<DtlsConfig>, server: &Arc<DtlsConfig>, link: Link) -> Self {
        let now = origin();
        let fingerprint = |config: &DtlsConfig| config.certificate().fingerprint(SHA256);
        let ends = [
            Dtls::new(client, Role::Client, fingerprint(server), now).unwrap(),
            Dtls::new(server, Role::Server, fingerprint(client), now).unwrap(),
        ];
        Self {
            ends,
            seen: Default::default(),
            timeouts: [None; 2],
            now,
            start: now,
            link,
            flying: Vec::new(),
            sent: 0,
            max_datagram: 0,
        }
    }

    pub(super) fn drain(&mut self, end: usize) {
        let mut buf = Vec::new();
        loop {
            match self.ends[end].poll_output(&mut buf) {
                Output::Datagram(datagram) => {
                    self.max_datagram = self.max_datagram.max(datagram.len());
                    self.seen[end].datagrams += 1;
                    for delay in self.link.delays() {
                        self.flying.push((self.now + delay, self.sent, 1 - end, datagram.to_vec()));
                        self.sent += 1;
                    }
                }
                Output::Connected { srtp, remote_certificate_pem } => {
                    assert!(self.seen[end].connected.is_none(), "connected twice");
                    self.seen[end].connected = Some((srtp, remote_certificate_pem));
                }
                Output::ApplicationData(data) => self.seen[end].data.push(data.to_vec()),
                Output::Failed(error) => self.seen[end].failed = Some(error),
                Output::Closed => self.seen[end].closed = true,
                Output::Idle { timeout } => {
                    self.timeouts[end] = timeout;
                    return;
                }
            }
        }
    }

    /// Jumps to the next arrival or timeout. Returns false if there is none within `limit` of the start.
    pub(super) fn step(&mut self, limit: Duration) -> bool {
        for end in 0..2 {
            self.drain(end);
        }
        let next = self.flying.iter().map(|flight| flight.0).chain(self.timeouts.into_iter().flatten()).min();
        let Some(next) = next.filter(|next| *next <= self.start + limit) else { return false };
        self.now = self.now.max(next);
        let arrived = self.flying.iter().enumerate().filter(|(_, flight)| flight.0 <= self.now);
        if let Some((index, _)) = arrived.min_by_key(|(_, flight)| (flight.0, flight.1)) {
            let (_, _, to, bytes) = self.flying.remove(index);
            self.ends[to].handle_datagram(self.now, &bytes);
            self.drain(to);
        }
        for end in 0..2 {
            if self.timeouts[end].is_some_and(|at| at <= self.now) {
                self.ends[end].handle_timeout(self.now);
                self.drain(end);
            }
        }
        true
    }

    pub(super) fn run(&mut self, limit: Duration) {
        let mut steps = 0;
        while self.step(limit) {
            steps += 1;
            assert!(steps < 100_000, "it spins (seed {})", self.link.seed);
        }
    }

    pub(super) fn connect(&mut self) {
        self.run(Duration::from_secs(30));
        for (name, seen) in ["client", "server"].iter().zip(&self.seen) {
            assert!(seen.connected.is_some(), "{name} (seed {}): {:?}", self.link.seed, seen.failed);
        }
        let keys = |end: usize| self.seen[end].connected.as_ref().unwrap().0.clone();
        if let (Some(client), Some(server)) = (keys(0), keys(1)) {
            assert_eq!(client.suite, server.suite);
            assert_eq!(client.local, server.remote);
            assert_eq!(client.remote, server.local);
            assert_ne!(client.local, client.remote);
            assert_eq!(client.local.key.len(), client.suite.key_len());
            assert_eq!(client.local.salt.len(), client.suite.salt_len());
        } else {
            panic!("no SRTP keys");
        }
    }

    pub(super) fn suite(&self) -> SrtpSuite {
        self.seen[0].connected.as_ref().unwrap().0.as_ref().unwrap().suite
    }

    pub(super) fn exchange_data(&mut self) {
        for end in 0..2 {
            self.ends[end].send(format!("from {end}").as_bytes()).unwrap();
            self.run(Duration::from_secs(60));
            assert_eq!(self.seen[1 - end].data, [format!("from {end}").into_bytes()]);
        }
    }
}

/// With the backend dimpl, because in builds with OpenSSL a client would use that.
fn versions(versions: Versions) -> impl FnOnce(&mut DtlsOptions) {
    move |options| {
        options.backend = Backend::Dimpl;
        options.versions = versions;
    }
}

const PAIRINGS: [(Versions, Versions); 7] = [
    (Versions::Auto, Versions::Auto),
    (Versions::Auto, Versions::Dtls12),
    (Versions::Auto, Versions::Dtls13),
    (Versions::Dtls12, Versions::Auto),
    (Versions::Dtls12, Versions::Dtls12),
    (Versions::Dtls13, Versions::Auto),
    (Versions::Dtls13, Versions::Dtls13),
];

#[test]
fn every_pairing_of_versions_connects_with_the_same_keys_and_carries_data() {
    for (client, server) in PAIRINGS {
        let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
        let mut pair = Pair::new(
            &config(&certificates[0], versions(client)),
            &config(&certificates[1], versions(server)),
            Link::perfect(),
        );
        pair.connect();
        assert_eq!(pair.suite(), SrtpSuite::AeadAes256Gcm, "{client:?} {server:?}");
        assert!(pair.now - pair.start <= Duration::from_millis(50), "more than two round trips");
        pair.exchange_data();
        for end in 0..2 {
            let pem = pem::parse(&pair.seen[end].connected.as_ref().unwrap().1).unwrap();
            assert_eq!(pem.contents(), certificates[1 - end].der());
            assert!(pair.max_datagram <= 1200);
        }
    }
}

#[test]
fn loss_duplication_and_reordering_are_survived_by_retransmission() {
    let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
    for (client, server) in
        [(Versions::Dtls12, Versions::Dtls12), (Versions::Dtls13, Versions::Dtls13), PAIRINGS[0]]
    {
        let client = config(&certificates[0], versions(client));
        let server = config(&certificates[1], versions(server));
        for seed in 0..20 {
            Pair::new(&client, &server, Link::lossy(seed, 0.3, 0.2, 0.2)).connect();
        }
    }
}

#[test]
fn flights_larger_than_the_mtu_are_fragmented_and_reassembled() {
    let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
    for version in [Versions::Dtls12, Versions::Dtls13] {
        let small = |options: &mut DtlsOptions| {
            options.versions = version;
            options.mtu = 300;
        };
        let [client, server] = certificates.each_ref().map(|certificate| config(certificate, small));
        for link in [Link::perfect(), Link::lossy(3, 0.2, 0.1, 0.3)] {
            let mut pair = Pair::new(&client, &server, link);
            pair.connect();
            assert!(pair.max_datagram <= 300, "{}", pair.max_datagram);
            assert!(pair.seen[1].datagrams >= 2);
        }
    }
}

#[test]
fn wrong_fingerprint_fails_without_keys_or_data() {
    for version in [Versions::Dtls12, Versions::Dtls13] {
        for wrong in 0..2 {
            let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
            let configs = certificates.each_ref().map(|certificate| config(certificate, versions(version)));
            let mut pair = Pair::new(&configs[0], &configs[1], Link::perfect());
            pair.ends[wrong].remote = certificates[wrong].fingerprint(SHA256).into();
            for _ in 0..8 {
                pair.step(Duration::from_secs(1));
                // The other end may count itself as connected, and send at once.
                let _ = pair.ends[1 - wrong].send(b"too early");
            }
            pair.run(Duration::from_secs(60));
            assert!(matches!(pair.seen[wrong].failed, Some(DtlsError::WrongFingerprint { .. })));
            assert!(pair.seen[wrong].connected.is_none());
            assert!(pair.seen[wrong].data.is_empty());
            assert_eq!(pair.ends[wrong].send(b"x"), Err(DtlsError::NotConnected));
            assert_eq!(pair.timeouts[wrong], None);
        }
    }
}

#[test]
fn garbage_neither_panics_nor_ends_the_handshake() {
    let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
    for (client, server) in PAIRINGS {
        let client = config(&certificates[0], versions(client));
        let server = config(&certificates[1], versions(server));
        for seed in 0..4 {
            connect_amid_garbage(&client, &server, seed);
        }
    }
}

#[test]
fn flight_retransmitted_in_other_datagrams_is_accepted() {
    let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
    for (client, server) in PAIRINGS {
        let client = config(&certificates[0], versions(client));
        let server = config(&certificates[1], versions(server));
        let mut pair = Pair::new(&client, &server, Link::perfect());
        for _ in 0..20 {
            // The first record of each datagram also arrives alone, before the whole datagram.
            if let Some((_, _, to, bytes)) = pair.flying.first().cloned() {
                pair.ends[to].handle_datagram(pair.now, peek::records(&bytes).next().unwrap());
                pair.drain(to);
            }
            pair.step(Duration::from_secs(30));
        }
        pair.connect();
    }
}

#[test]
fn close_is_reported_to_the_peer_once() {
    for version in [Versions::Dtls12, Versions::Dtls13] {
        for closing in 0..2 {
            let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
            let configs = certificates.each_ref().map(|certificate| config(certificate, versions(version)));
            let mut pair = Pair::new(&configs[0], &configs[1], Link::perfect());
            pair.connect();
            pair.ends[closing].close();
            pair.run(Duration::from_secs(60));
            assert!(pair.seen[1 - closing].closed);
            assert!(!pair.seen[closing].closed);
            assert!(pair.seen.iter().all(|seen| seen.failed.is_none()));
            assert!(pair.ends.iter_mut().all(|end| end.send(b"x") == Err(DtlsError::NotConnected)));
            assert_eq!(pair.timeouts, [None; 2]);
        }
    }
}

#[test]
fn silent_peer_ends_in_a_timeout() {
    let certificate = Certificate::generate().unwrap();
    for version in [Versions::Auto, Versions::Dtls12, Versions::Dtls13] {
        let config = config(&certificate, versions(version));
        let mut pair = Pair::new(&config, &config, Link::lossy(1, 1.0, 0.0, 0.0));
        pair.run(Duration::from_secs(120));
        assert_eq!(pair.seen[0].failed, Some(DtlsError::HandshakeTimeout));
        assert!((6..=12).contains(&pair.seen[0].datagrams), "{} sends", pair.seen[0].datagrams);
        assert_eq!(pair.now - pair.start, Duration::from_secs(30));
        assert!(pair.seen[1].failed.is_none(), "a server waits for the first ClientHello for ever");
    }
}

#[test]
fn suite_that_is_not_allowed_fails() {
    let certificate = Certificate::generate().unwrap();
    let strict = config(&certificate, |options| options.allowed_srtp_suites = vec![SrtpSuite::AeadAes128Gcm]);
    let client = config(&certificate, |options| options.backend = Backend::Dimpl);
    let mut pair = Pair::new(&client, &strict, Link::perfect());
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.seen[1].failed, Some(DtlsError::RefusedSrtpSuite(SrtpSuite::AeadAes256Gcm)));
    assert!(pair.seen[1].connected.is_none());
}

#[test]
fn refused_client_reports_the_reason() {
    let certificate = Certificate::generate().unwrap();
    let config = config(&certificate, |options| options.backend = Backend::Dimpl);
    // An RSA server supports no cipher suite of dimpl's ClientHello.
    for (alert, expected) in [
        (HANDSHAKE_FAILURE, DtlsError::NeedsOpenSsl),
        (47, DtlsError::PeerAlert(47)),
        (70, DtlsError::PeerAlert(70)),
    ] {
        let now = origin();
        let mut client = Dtls::new(&config, Role::Client, certificate.fingerprint(SHA256), now).unwrap();
        client.handle_datagram(now, &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, alert]);
        let mut buf = Vec::new();
        let failed = loop {
            match client.poll_output(&mut buf) {
                Output::Failed(error) => break error,
                Output::Datagram(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(failed, expected);
    }
}

#[test]
fn any_of_two_fingerprints_of_one_hash_may_match() {
    let certificates = [(); 3].map(|()| Certificate::generate().unwrap());
    let configs = certificates.each_ref().map(|certificate| config(certificate, |_| {}));
    let mut pair = Pair::new(&configs[0], &configs[1], Link::perfect());
    let signalled = [2, 1].map(|at: usize| certificates[at].fingerprint(SHA256));
    pair.ends[0].remote = RemoteFingerprints::strongest(signalled).unwrap();
    pair.connect();
}

/// Splits the single record of a ClientHello into fragments of this length, each in its own datagram.
fn cut(hello: &[u8], length: usize) -> Vec<Vec<u8>> {
    let (header, body) = (&hello[..25], &hello[25..]);
    let pieces = body.chunks(length).enumerate();
    let record = |(number, piece): (usize, &[u8])| {
        let mut record = header.to_vec();
        record[9..11].copy_from_slice(&(number as u16).to_be_bytes());
        record[11..13].copy_from_slice(&(12 + piece.len() as u16).to_be_bytes());
        record[19..22].copy_from_slice(&((number * length) as u32).to_be_bytes()[1..]);
        record[22..25].copy_from_slice(&(piece.len() as u32).to_be_bytes()[1..]);
        record.extend_from_slice(piece);
        record
    };
    pieces.map(record).collect()
}

#[test]
fn fragments_before_the_association_in_any_order_are_answered_at_once() {
    let certificates = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
    for version in [Versions::Dtls12, Versions::Dtls13] {
        let configs = certificates.each_ref().map(|certificate| config(certificate, versions(version)));
        for length in [1, 20, 100, 1000] {
            for reversed in [false, true] {
                let mut pair = Pair::new(&configs[0], &configs[1], Link::perfect());
                pair.drain(0);
                let (_, _, _, hello) = pair.flying.remove(0);
                let mut fragments = cut(&hello, length);
                if reversed {
                    fragments.reverse();
                }
                let mut early = EarlyDatagrams::default();
                for fragment in &fragments {
                    early.push(fragment);
                    early.push(fragment);
                }
                pair.ends[1].handle_early(pair.now, early);
                pair.drain(1);
                // Single bytes with holes between them are not kept, because they cost too much for their size.
                if length > 1 || !reversed {
                    assert!(!pair.flying.is_empty(), "{length} bytes, reversed: {reversed}");
                }
                pair.connect();
                assert!(pair.now - pair.start <= Duration::from_millis(50));
            }
        }
    }
}

/// During the whole handshake both ends get truncated copies of datagrams in flight, and random bytes.
pub(super) fn connect_amid_garbage(client: &Arc<DtlsConfig>, server: &Arc<DtlsConfig>, seed: u64) {
    let mut pair = Pair::new(client, server, Link::lossy(seed, 0.0, 0.0, 0.0));
    let mut rng = SmallRng::seed_from_u64(seed);
    for _ in 0..40 {
        if let Some((_, _, to, bytes)) = pair.flying.first().cloned() {
            let truncated = &bytes[..rng.random_range(0..bytes.len())];
            pair.ends[to].handle_datagram(pair.now, truncated);
            pair.drain(to);
        }
        for end in 0..2 {
            let mut garbage = vec![0; rng.random_range(0..200)];
            rng.fill(&mut garbage[..]);
            match garbage.as_mut_slice() {
                // Half of them look like records: types of RFC 7983's DTLS range, without alerts, which may end the
                // handshake.
                [kind, major, minor, epoch_high, epoch_low, _, _, _, _, _, _, high, low, rest @ ..]
                    if rng.random_bool(0.5) =>
                {
                    *kind = [20, 22, 23, 26][rng.random_range(0..4)];
                    (*major, *minor) = (0xfe, 0xfd);
                    (*epoch_high, *epoch_low) = (0, rng.random_range(0..3));
                    [*high, *low] = u16::try_from(rest.len()).unwrap().to_be_bytes();
                }
                [first, ..] => *first = rng.random_range(20..64),
                [] => {}
            }
            pair.ends[end].handle_datagram(pair.now, &garbage);
            pair.drain(end);
        }
        pair.step(Duration::from_secs(30));
    }
    pair.connect();
}
