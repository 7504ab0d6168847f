//! Attacks on a PlainTransport with SCTP and without encryption. Attackers know everything except packets to the peer,
//! and can send from the peer's address.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future::block_on;
use tureen::prelude::*;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::{MAX_STREAMS, Sctp, SctpState};

use crate::member::{PATIENCE, now};
use crate::memory::Alone;
use crate::{listen_info, router_with};

const OPTIONS: SctpOptions = SctpOptions {
    max_send_message_size: 262_144,
    max_receive_message_size: 262_144,
    send_buffer_size: 2_000_000,
    per_stream_send_queue_limit: 2_000_000,
    max_receiver_window_buffer_size: 5_242_880,
    default_buffered_amount_low_threshold: 0,
    outbound_streams: MAX_STREAMS,
    inbound_streams: MAX_STREAMS,
};

const STREAM: u16 = 3;
/// Chunk types (RFC 9260 §3.3).
const INIT_ACK: u8 = 2;
const ERROR: u8 = 9;
const COOKIE_ECHO: u8 = 10;
/// Error cause (RFC 9260 §3.3.10.3).
const STALE_COOKIE: [u8; 2] = [0, 3];
/// Offset of the first chunk in a packet, and of its value.
const CHUNK: usize = 12;
const VALUE: usize = 16;

/// Duration of one wait of a peer for packets.
const TURN: Duration = Duration::from_millis(1);

/// Lifetime of a cookie in tests that wait for its end. A peer on the same machine needs much less.
const COOKIE_LIFETIME: Duration = Duration::from_millis(500);

/// Number of INITs of attackers, each for another association.
const INITS: u8 = 40;

/// A plain endpoint with SCTP, whose messages are for the application.
struct Peer {
    sctp: Sctp,
    socket: UdpSocket,
    /// Sent COOKIE ECHOs.
    echoes: Vec<Bytes>,
    /// Number of received stale cookie errors.
    stale: usize,
    sent: u32,
    transport: PlainTransport,
    messages: mpsc::Receiver<Vec<u8>>,
    _kept: (DataProducer, DataConsumer),
}

impl Peer {
    fn new() -> Self {
        Self::of(WorkerSettings::default())
    }

    fn of(settings: WorkerSettings) -> Self {
        let (transport, producer, consumer) = block_on(async {
            let router = router_with(settings).await;
            let mut options = PlainTransportOptions::new(listen_info(Protocol::Udp));
            options.comedia = true;
            options.enable_sctp = true;
            let transport = router.create_plain_transport(options).await.unwrap();
            let stream = SctpStreamParameters::new_ordered(STREAM);
            let producer = transport.produce_data(DataProducerOptions::new_sctp(stream)).await.unwrap();
            let direct = router.create_direct_transport(DirectTransportOptions::default()).await.unwrap();
            let options = DataConsumerOptions::new_direct(producer.id(), None);
            let consumer = direct.consume_data(options).await.unwrap();
            (transport, producer, consumer)
        });
        let (tell, messages) = mpsc::channel();
        let tell = Mutex::new(tell);
        let on_message = move |message: &WebRtcMessage<'_>| {
            let WebRtcMessage::Binary(message) = message else { panic!("{message:?}") };
            tell.lock().unwrap().send(message.to_vec()).unwrap();
        };
        consumer.on_message(on_message).detach();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, transport.tuple().local_port())).unwrap();
        socket.set_read_timeout(Some(TURN)).unwrap();
        Self {
            sctp: Sctp::new(OPTIONS, &[1; 32], now()),
            socket,
            echoes: Vec::new(),
            stale: 0,
            sent: 0,
            transport,
            messages,
            _kept: (producer, consumer),
        }
    }

    fn connect(&mut self) {
        self.sctp.connect(now());
        self.run_until(|peer| (peer.sctp.state() == SctpState::Connected).then_some(()));
    }

    /// Restarts like a new process.
    fn restart(&mut self, secret: u8) {
        self.sctp = Sctp::new(OPTIONS, &[secret; 32], now());
        self.echoes.clear();
        self.connect();
    }

    /// Sends a message from the peer to the application.
    fn exchange(&mut self) {
        let message = self.sent.to_be_bytes().repeat(100);
        self.sent += 1;
        let stream = SctpStreamParameters::new_ordered(STREAM);
        self.sctp.send(stream, 53, message.clone().into()).unwrap();
        assert_eq!(self.run_until(|peer| peer.messages.try_recv().ok()), message);
    }

    fn run_until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = now() + PATIENCE;
        let mut buffer = [0; 2000];
        loop {
            while let Some(packet) = self.sctp.poll_packet(now()) {
                self.socket.send(&packet).unwrap();
                if packet[CHUNK] == COOKIE_ECHO {
                    self.echoes.push(packet);
                }
            }
            if let Some(result) = done(self) {
                return result;
            }
            assert!(now() < deadline, "it takes too long");
            while let Ok(len) = self.socket.recv(&mut buffer) {
                let is_stale = buffer[CHUNK] == ERROR && buffer[VALUE..].starts_with(&STALE_COOKIE);
                self.stale += usize::from(is_stale);
                self.sctp.handle_packet(now(), &buffer[..len]);
            }
            while self.sctp.poll_event().is_some() {}
            if self.sctp.poll_timeout().is_some_and(|at| at <= now()) {
                self.sctp.handle_timeout(now());
            }
        }
    }

    /// COOKIE ECHO that created the association.
    fn cookie_echo(&self) -> Vec<u8> {
        self.echoes.last().expect("the peer has connected").to_vec()
    }
}

/// Settings of a worker whose cookies are valid for [`COOKIE_LIFETIME`].
fn short_lived_cookies() -> WorkerSettings {
    let mut settings = WorkerSettings::default();
    settings.limits.sctp_cookie_lifetime = COOKIE_LIFETIME;
    settings
}

/// INITs of unknown associations.
fn inits() -> Vec<Vec<u8>> {
    let init = |secret| {
        let mut sctp = Sctp::new(OPTIONS, &[secret; 32], now());
        sctp.connect(now());
        sctp.poll_packet(now()).unwrap().to_vec()
    };
    (100..100 + INITS).map(init).collect()
}

/// Copies of `echo`'s cookie with one changed bit, in well-formed packets.
fn forged_cookies(echo: &[u8]) -> Vec<Vec<u8>> {
    let forge = |at| {
        let mut forged = echo.to_vec();
        forged[at] ^= 1;
        write_checksum(&mut forged);
        forged
    };
    (VALUE..echo.len()).map(forge).collect()
}

/// CRC32c over the packet with a checksum of zero (RFC 9260 Appendix A).
pub(crate) fn write_checksum(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let mut crc = u32::MAX;
    for &byte in &*packet {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
}

#[test]
fn flood_of_inits_does_not_disturb_an_association() {
    let alone = Alone::wait();
    let mut peer = Peer::new();
    peer.connect();
    let in_its_name = peer.socket.try_clone().unwrap();
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = peer.transport.tuple().local_port();
    let inits = inits();
    let attack = || {
        for init in &inits {
            in_its_name.send(init).unwrap();
            stranger.send_to(init, (Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    };
    alone.assert_undisturbed(attack, || peer.exchange());
    assert_eq!(peer.transport.sctp_state(), Some(SctpState::Connected));
    // The stranger got no answer.
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut [0; 2000]).is_err());
}

#[test]
fn forged_and_replayed_cookies_do_not_disturb_an_association() {
    let alone = Alone::wait();
    let mut peer = Peer::new();
    peer.connect();
    let in_its_name = peer.socket.try_clone().unwrap();
    let echo = peer.cookie_echo();
    let forged = forged_cookies(&echo);
    let attack = || {
        for packet in forged.iter().chain([&echo, &echo]) {
            in_its_name.send(packet).unwrap();
        }
    };
    alone.assert_undisturbed(attack, || peer.exchange());
    assert_eq!(peer.transport.sctp_state(), Some(SctpState::Connected));
}

#[test]
fn stale_cookies_do_not_disturb_an_association() {
    let alone = Alone::wait();
    let mut peer = Peer::of(short_lived_cookies());
    peer.connect();
    let end = now() + COOKIE_LIFETIME;
    while now() <= end {
        peer.exchange();
    }
    let in_its_name = peer.socket.try_clone().unwrap();
    let echo = peer.cookie_echo();
    let attack = || {
        for _ in 0..INITS {
            in_its_name.send(&echo).unwrap();
        }
    };
    alone.assert_undisturbed(attack, || peer.exchange());
    // They were refused because of their age.
    peer.run_until(|peer| (peer.stale > 0).then_some(()));
    assert_eq!(peer.transport.sctp_state(), Some(SctpState::Connected));
}

#[test]
fn stale_cookie_creates_no_association_and_its_peer_restarts() {
    let _alone = Alone::wait();
    let mut peer = Peer::of(short_lived_cookies());
    peer.sctp.connect(now());
    let init = peer.sctp.poll_packet(now()).unwrap();
    peer.socket.send(&init).unwrap();
    peer.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 2000];
    // The transport's own INIT is not answered, because it would create an association by another cookie.
    let echo = loop {
        let len = peer.socket.recv(&mut buffer).unwrap();
        if buffer[CHUNK] == INIT_ACK {
            peer.sctp.handle_packet(now(), &buffer[..len]);
            break peer.sctp.poll_packet(now()).unwrap();
        }
    };
    peer.socket.set_read_timeout(Some(TURN)).unwrap();
    let end = now() + COOKIE_LIFETIME;
    while now() <= end {
        let _ = peer.socket.recv(&mut buffer);
    }
    peer.socket.send(&echo).unwrap();
    peer.run_until(|peer| (peer.stale > 0).then_some(()));
    assert_ne!(peer.transport.sctp_state(), Some(SctpState::Connected));
    peer.connect();
    peer.exchange();
}

#[test]
fn cookies_from_before_a_restart_do_not_disturb_the_new_association() {
    let alone = Alone::wait();
    let mut peer = Peer::new();
    peer.connect();
    peer.exchange();
    let mut old = vec![peer.cookie_echo()];
    for secret in 2..5 {
        peer.restart(secret);
        peer.exchange();
        old.push(peer.cookie_echo());
    }
    old.pop();
    let in_its_name = peer.socket.try_clone().unwrap();
    let attack = || {
        for echo in old.iter().cycle().take(INITS.into()) {
            in_its_name.send(echo).unwrap();
        }
    };
    alone.assert_undisturbed(attack, || peer.exchange());
    assert_eq!(peer.transport.sctp_state(), Some(SctpState::Connected));
}

#[test]
fn cookie_of_an_ended_association_does_not_restore_it() {
    let alone = Alone::wait();
    let mut peer = Peer::new();
    peer.connect();
    peer.exchange();
    let echo = peer.cookie_echo();
    peer.sctp.close();
    peer.run_until(|peer| (peer.transport.sctp_state() == Some(SctpState::Closed)).then_some(()));
    while peer.socket.recv(&mut [0; 2000]).is_ok() {}
    // The worker does not answer it, and continues its other work.
    let attack = || assert_eq!(peer.socket.send(&echo).unwrap(), echo.len());
    let exchange = || drop(block_on(peer.transport.dump()).unwrap());
    alone.assert_undisturbed(attack, exchange);
    assert!(peer.socket.recv(&mut [0; 2000]).is_err());
    assert_eq!(peer.transport.sctp_state(), Some(SctpState::Closed));
}

#[test]
fn peer_connects_despite_a_flood_of_inits_and_forged_cookies() {
    let _alone = Alone::wait();
    let mut stranger = Peer::new();
    stranger.connect();
    // From an association with other keys.
    let forged = forged_cookies(&stranger.cookie_echo());
    let mut peer = Peer::new();
    // The transport knows the peer's address by now, so that the attackers forge it.
    peer.sctp.connect(now());
    let init = peer.sctp.poll_packet(now()).unwrap();
    peer.socket.send(&init).unwrap();
    for packet in inits().iter().chain(&forged) {
        peer.socket.send(packet).unwrap();
    }
    peer.connect();
    peer.exchange();
}
