//! Pairings of both backends over the virtual link of [`super::tests`], and properties of OpenSSL only.

use std::time::{Duration, Instant};

use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream};

use super::peek::{ClientHello, ClientHelloBuffer};
use super::tests::{Link, Pair, config, connect_amid_garbage};
use super::*;

fn rsa() -> Certificate {
    Certificate::from_pem(include_bytes!("testdata/rsa.crt"), include_bytes!("testdata/rsa.key"))
        .expect("the test certificate is valid PEM")
}

fn backend(backend: Backend) -> impl FnOnce(&mut DtlsOptions) {
    move |options| options.backend = backend
}

fn rough() -> Link {
    Link::lossy(5, 0.0, 0.3, 0.3)
}

#[test]
fn both_backends_connect_in_every_pairing() {
    let ecdsa = [Certificate::generate().unwrap(), Certificate::generate().unwrap()];
    let suites = [
        (Backend::OpenSsl, Backend::OpenSsl, SrtpSuite::AeadAes128Gcm),
        (Backend::OpenSsl, Backend::Dimpl, SrtpSuite::AeadAes256Gcm),
        (Backend::Dimpl, Backend::OpenSsl, SrtpSuite::AeadAes128Gcm),
    ];
    for (client, server, suite) in suites {
        for link in [Link::perfect(), rough()] {
            let [client, server] = [config(&ecdsa[0], backend(client)), config(&ecdsa[1], backend(server))];
            let mut pair = Pair::new(&client, &server, link);
            pair.connect();
            assert_eq!(pair.suite(), suite, "{client:?} {server:?}");
            assert!(pair.max_datagram <= 1200, "{}", pair.max_datagram);
        }
        let mut pair = Pair::new(
            &config(&ecdsa[0], backend(client)),
            &config(&ecdsa[1], backend(server)),
            Link::perfect(),
        );
        pair.connect();
        pair.exchange_data();
        pair.ends[0].close();
        pair.run(Duration::from_secs(60));
        assert!(pair.seen[1].closed);
    }
}

#[test]
fn rsa_certificates_work_on_either_side_without_configuration() {
    let ecdsa = Certificate::generate().unwrap();
    for (client, server) in [(rsa(), rsa()), (rsa(), ecdsa.clone()), (ecdsa, rsa())] {
        let [client, server] = [client, server].map(|certificate| config(&certificate, |_| {}));
        for link in [Link::perfect(), rough()] {
            let mut pair = Pair::new(&client, &server, link);
            pair.connect();
            assert!(pair.max_datagram <= 1200, "{}", pair.max_datagram);
            pair.exchange_data();
        }
    }
}

#[test]
fn weak_rsa_certificate_works_on_either_side() {
    let weak =
        Certificate::from_pem(include_bytes!("testdata/rsa1024.crt"), include_bytes!("testdata/rsa1024.key"))
            .unwrap();
    for (client, server) in [(weak.clone(), weak.clone()), (weak.clone(), rsa()), (rsa(), weak)] {
        let [client, server] = [client, server].map(|certificate| config(&certificate, |_| {}));
        let mut pair = Pair::new(&client, &server, Link::perfect());
        pair.connect();
        pair.exchange_data();
    }
}

#[test]
fn auto_server_serves_a_client_that_only_has_cm32() {
    let certificate = Certificate::generate().unwrap();
    let client = config(&certificate, |options| {
        options.backend = Backend::OpenSsl;
        options.allowed_srtp_suites = vec![SrtpSuite::AesCm128HmacSha1_32];
    });
    let mut pair = Pair::new(&client, &config(&certificate, |_| {}), Link::perfect());
    pair.connect();
    assert_eq!(pair.suite(), SrtpSuite::AesCm128HmacSha1_32);
}

#[test]
fn auto_client_restarts_with_dtls13_when_a_server_refuses_dtls12() {
    let certificate = Certificate::generate().unwrap();
    let auto = config(&certificate, |_| {});
    let server = config(&certificate, |options| options.versions = Versions::Dtls13);
    let mut pair = Pair::new(&auto, &server, Link::perfect());
    pair.drain(0);
    pair.flying.clear();
    pair.ends[0].handle_datagram(pair.now, &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 70]);
    pair.connect();
}

#[test]
fn dimpl_server_can_not_have_an_rsa_client() {
    let server = config(&Certificate::generate().unwrap(), backend(Backend::Dimpl));
    let mut pair = Pair::new(&config(&rsa(), |_| {}), &server, Link::perfect());
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.seen[1].failed, Some(DtlsError::NeedsOpenSsl));
    assert_eq!(pair.seen[0].failed, Some(DtlsError::PeerAlert(HANDSHAKE_FAILURE)));
}

#[test]
fn certificate_of_many_datagrams_is_fragmented() {
    let large =
        Certificate::from_pem(include_bytes!("testdata/ec-large.crt"), include_bytes!("testdata/ec.key"))
            .unwrap();
    assert!(large.der().len() > 4 * 1200);
    for client in [Backend::Dimpl, Backend::OpenSsl] {
        for server in [Backend::Dimpl, Backend::OpenSsl] {
            let [client, server] = [client, server].map(|choice| config(&large, backend(choice)));
            let mut pair = Pair::new(&client, &server, Link::perfect());
            pair.connect();
            assert!(pair.max_datagram <= 1200, "{}", pair.max_datagram);
        }
    }
}

#[test]
fn garbage_neither_panics_nor_ends_the_handshake() {
    let config = config(&Certificate::generate().unwrap(), backend(Backend::OpenSsl));
    for seed in 0..20 {
        connect_amid_garbage(&config, &config, seed);
    }
}

#[test]
fn wrong_fingerprint_fails() {
    for wrong in 0..2 {
        let config = config(&Certificate::generate().unwrap(), backend(Backend::OpenSsl));
        let mut pair = Pair::new(&config, &config, Link::perfect());
        pair.ends[wrong].remote = rsa().fingerprint(FingerprintAlgorithm::Sha256).into();
        pair.run(Duration::from_secs(10));
        assert!(matches!(pair.seen[wrong].failed, Some(DtlsError::WrongFingerprint { .. })));
        assert!(pair.seen[wrong].connected.is_none());
    }
}

#[test]
fn silent_peer_ends_in_a_timeout() {
    let config = config(&Certificate::generate().unwrap(), backend(Backend::OpenSsl));
    let mut pair = Pair::new(&config, &config, Link::lossy(0, 1.0, 0.0, 0.0));
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.seen[0].failed, Some(DtlsError::HandshakeTimeout));
}

#[test]
fn lost_flights_are_retransmitted_by_the_passed_time() {
    let certificate = Certificate::generate().unwrap();
    let [openssl, dimpl] =
        [Backend::OpenSsl, Backend::Dimpl].map(|choice| config(&certificate, backend(choice)));
    for (client, server) in [(&openssl, &dimpl), (&dimpl, &openssl)] {
        for seed in 0..20 {
            let mut pair = Pair::new(client, server, Link::lossy(seed, 0.2, 0.1, 0.2));
            pair.connect();
            for seen in &pair.seen {
                assert!(seen.datagrams < 200, "{} datagrams", seen.datagrams);
            }
        }
    }
}

/// libssl reads the system's clock, so that this test is the only one that waits in real time.
#[test]
#[expect(clippy::disallowed_methods, reason = "libssl's retransmission timer runs by the system's clock")]
fn lost_flight_is_sent_again() {
    let config = config(&Certificate::generate().unwrap(), backend(Backend::OpenSsl));
    let mut pair = Pair::new(&config, &config, Link::lossy(0, 1.0, 0.0, 0.0));
    pair.drain(0);
    assert!(pair.flying.is_empty(), "the first ClientHello is lost");
    pair.link = Link::perfect();
    let (_never, pause) = std::sync::mpsc::channel::<()>();
    let start = Instant::now();
    while pair.flying.is_empty() && start.elapsed() < Duration::from_secs(5) {
        let _ = pause.recv_timeout(Duration::from_millis(50));
        pair.now = Instant::now();
        pair.ends[0].handle_timeout(pair.now);
        pair.drain(0);
    }
    pair.connect();
}

#[test]
fn openssl_clients_are_recognised_and_browsers_are_not() {
    let auto = config(&Certificate::generate().unwrap(), |_| {});
    let context = SslContext::builder(SslMethod::dtls()).unwrap().build();
    let mut stream = SslStream::new(Ssl::new(&context).unwrap(), Recorder::default()).unwrap();
    assert!(stream.connect().is_err());
    let mut buffer = ClientHelloBuffer::default();
    let hello = stream.get_ref().0.iter().find_map(|datagram| buffer.push(datagram)).unwrap();
    assert_eq!(auto.choose_as_server(&hello), Choice::OpenSsl);

    // Chromium offers ECDHE and static RSA only.
    let chromium = ClientHello {
        dtls12: true,
        dtls13: true,
        cipher_suites: vec![0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xcca9, 0xc009, 0xc013, 0x009c, 0x002f],
        srtp_profiles: vec![1, 8, 7],
    };
    assert_eq!(auto.choose_as_server(&chromium), Choice::Dimpl(Versions::Dtls12));
    let older = ClientHello { dtls13: false, ..chromium.clone() };
    assert_eq!(auto.choose_as_server(&older), Choice::OpenSsl);
    let aead_first = ClientHello { srtp_profiles: vec![7, 8, 1], ..chromium };
    assert_eq!(auto.choose_as_server(&aead_first), Choice::Dimpl(Versions::Auto));
}

#[derive(Default)]
struct Recorder(Vec<Vec<u8>>);

impl std::io::Read for Recorder {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}

impl std::io::Write for Recorder {
    fn write(&mut self, datagram: &[u8]) -> std::io::Result<usize> {
        self.0.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Prints the cost of a handshake: `cargo test --release --features openssl -- --ignored --nocapture handshake_cost`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn handshake_cost() {
    let ecdsa = Certificate::generate().unwrap();
    let cases = [
        ("dimpl 1.2", &ecdsa, Backend::Dimpl, Versions::Dtls12),
        ("dimpl 1.3", &ecdsa, Backend::Dimpl, Versions::Dtls13),
        ("openssl", &ecdsa, Backend::OpenSsl, Versions::Auto),
        ("openssl rsa", &rsa(), Backend::OpenSsl, Versions::Auto),
    ];
    for (name, certificate, backend, versions) in cases {
        let config = config(certificate, |options| {
            options.backend = backend;
            options.versions = versions;
        });
        let start = Instant::now();
        for _ in 0..500 {
            Pair::new(&config, &config, Link::perfect()).connect();
        }
        println!("{name}: {:?} for each of the two ends", start.elapsed() / 1000);
    }
}
