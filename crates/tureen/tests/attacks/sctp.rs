//! Attackers at a PlainTransport that carries SCTP in the clear: they can know everything but what only the peer was
//! sent, and can send in its name.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future::block_on;
use tureen::prelude::*;
use tureen_core::api::SctpOptions;
use tureen_core::sctp::{MAX_STREAMS, Sctp, SctpState};

use crate::memory::Alone;
use crate::{PATIENCE, listen_info, now, router};

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
/// Chunk type (RFC 9260 §3.3.11).
const COOKIE_ECHO: u8 = 10;
/// Where the first chunk of a packet begins, and its value.
const CHUNK: usize = 12;
const VALUE: usize = 16;

/// Attackers' INITs, each of another association.
const INITS: u8 = 40;

/// A plain endpoint with SCTP whose messages go to the application.
struct Peer {
    sctp: Sctp,
    socket: UdpSocket,
    /// What was sent in the handshake.
    handshake: Vec<Bytes>,
    sent: u32,
    transport: PlainTransport,
    messages: mpsc::Receiver<Vec<u8>>,
    _kept: (DataProducer, DataConsumer),
}

impl Peer {
    fn new() -> Self {
        let (transport, producer, consumer) = block_on(async {
            let router = router().await;
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
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        Self {
            sctp: Sctp::new(OPTIONS, &[1; 32], now()),
            socket,
            handshake: Vec::new(),
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

    /// A message goes from the peer to the application.
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
                if self.sctp.state() != SctpState::Connected {
                    self.handshake.push(packet);
                }
            }
            if let Some(result) = done(self) {
                return result;
            }
            assert!(now() < deadline, "it takes too long");
            while let Ok(len) = self.socket.recv(&mut buffer) {
                self.sctp.handle_packet(now(), &buffer[..len]);
            }
            while self.sctp.poll_event().is_some() {}
            if self.sctp.poll_timeout().is_some_and(|at| at <= now()) {
                self.sctp.handle_timeout(now());
            }
        }
    }

    /// The COOKIE ECHO that the association was made by.
    fn cookie_echo(&self) -> Vec<u8> {
        let echo = self.handshake.iter().find(|packet| packet[CHUNK] == COOKIE_ECHO);
        echo.expect("the peer has connected").to_vec()
    }
}

/// INITs of associations that nobody has asked for.
fn inits() -> Vec<Vec<u8>> {
    let init = |secret| {
        let mut sctp = Sctp::new(OPTIONS, &[secret; 32], now());
        sctp.connect(now());
        sctp.poll_packet(now()).unwrap().to_vec()
    };
    (100..100 + INITS).map(init).collect()
}

/// Cookies like `echo`'s with one bit changed, in packets that are well formed.
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
fn write_checksum(packet: &mut [u8]) {
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
    // No stranger got an answer.
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
fn flood_of_inits_and_forged_cookies_does_not_keep_a_peer_from_connecting() {
    let _alone = Alone::wait();
    let mut stranger = Peer::new();
    stranger.connect();
    // Of an association with other keys.
    let forged = forged_cookies(&stranger.cookie_echo());
    let mut peer = Peer::new();
    // The transport knows the peer's address by now; the attackers forge that.
    peer.sctp.connect(now());
    let init = peer.sctp.poll_packet(now()).unwrap();
    peer.socket.send(&init).unwrap();
    for packet in inits().iter().chain(&forged) {
        peer.socket.send(packet).unwrap();
    }
    peer.connect();
    peer.exchange();
}
