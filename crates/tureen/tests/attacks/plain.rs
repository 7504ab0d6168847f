//! Strangers at the ports of a PlainTransport that waits for its remote address (`comedia`), or has learned it.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};

use futures_lite::future::block_on;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tureen::data_structures::TransportTuple;
use tureen::prelude::*;
use tureen_engine::protection::{MasterKey, Sealer};
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::write_bye;

use crate::member::{Member, PATIENCE, now};
use crate::memory::Alone;
use crate::{audio, listen_info, router};

const SSRC: u32 = 77;
const HEADER_LEN: usize = 12;

/// Datagrams of each kind that attackers send at once: fewer than a socket's buffer holds.
const BURST: usize = 40;

/// Media from a plain endpoint through the attacked transport to a member of a call.
struct Feed {
    transport: PlainTransport,
    /// Sockets of the endpoint, for RTP and RTCP.
    sockets: [UdpSocket; 2],
    sealer: Option<Sealer>,
    sent: u16,
    listener: Member,
    /// Tuples that the transport has learned.
    learned: Arc<Mutex<Vec<TransportTuple>>>,
    _kept: (Producer, Consumer, WebRtcTransport),
}

impl Feed {
    fn new(suite: Option<SrtpCryptoSuite>) -> Self {
        let (transport, producer, listening, sealer) = block_on(async {
            let router = router().await;
            let mut options = PlainTransportOptions::new(listen_info(Protocol::Udp));
            options.comedia = true;
            options.rtcp_mux = false;
            options.enable_srtp = suite.is_some();
            options.srtp_crypto_suite = suite.unwrap_or_default();
            let transport = router.create_plain_transport(options).await.unwrap();
            let sealer = match suite {
                None => None,
                Some(suite) => {
                    let key = MasterKey::generate(suite, &mut StdRng::seed_from_u64(9));
                    let parameters = PlainTransportRemoteParameters {
                        ip: None,
                        port: None,
                        rtcp_port: None,
                        srtp_parameters: Some(key.parameters()),
                    };
                    transport.connect(parameters).await.unwrap();
                    Some(key.sealer())
                }
            };
            let producer = transport.produce(audio(SSRC)).await.unwrap();
            let infos = WebRtcTransportListenInfos::new(listen_info(Protocol::Udp));
            let listening = router.create_webrtc_transport(WebRtcTransportOptions::new(infos)).await.unwrap();
            (transport, producer, listening, sealer)
        });
        let learned = Arc::default();
        let note = |learned: &Arc<Mutex<Vec<_>>>| {
            let learned = learned.clone();
            move |tuple: &TransportTuple| learned.lock().unwrap().push(tuple.clone())
        };
        transport.on_tuple(note(&learned)).detach();
        transport.on_rtcp_tuple(note(&learned)).detach();
        let mut listener = Member::connect(&listening);
        let consumer = listener.consume(&listening, &producer);
        Self {
            transport,
            sockets: [socket(), socket()],
            sealer,
            sent: 0,
            listener,
            learned,
            _kept: (producer, consumer, listening),
        }
    }

    /// Local ports of the transport, for RTP and RTCP.
    fn ports(&self) -> [u16; 2] {
        [self.transport.tuple().local_port(), self.transport.rtcp_tuple().unwrap().local_port()]
    }

    /// Lets strangers send, and waits until the worker has read everything. Otherwise bursts would fill its socket's
    /// buffer, and packets of the endpoint would be lost.
    fn suffer(&self, attack: impl FnOnce() -> u64) {
        let taken = || {
            let stats = block_on(self.transport.router().worker().net_stats());
            stats.unwrap().datagrams_in
        };
        let (before, deadline) = (taken(), now() + PATIENCE);
        let sent = attack();
        while taken() < before + sent {
            assert!(now() < deadline, "{} of {sent} datagrams came", taken() - before);
        }
    }

    /// Sends a packet from the endpoint to the member. Returns the sent packet.
    fn exchange(&mut self) -> Vec<u8> {
        let clear = packet(self.sent, &self.sent.to_be_bytes().repeat(30));
        let sent = match &self.sealer {
            None => clear.clone(),
            Some(sealer) => seal(sealer, self.sent, &clear),
        };
        self.sent += 1;
        self.sockets[0].send_to(&sent, (Ipv4Addr::LOCALHOST, self.ports()[0])).unwrap();
        assert_eq!(self.listener.hear(), &clear[HEADER_LEN..]);
        sent
    }

    /// Sends the endpoint's first RTCP.
    fn report(&mut self) {
        let bye = match self.sealer {
            None => bye(SSRC + 1),
            Some(ref mut sealer) => {
                let mut packet = bye(SSRC + 1);
                sealer.seal_rtcp(&mut packet).unwrap();
                packet
            }
        };
        self.sockets[1].send_to(&bye, (Ipv4Addr::LOCALHOST, self.ports()[1])).unwrap();
    }

    /// Asserts that no other address than the endpoint's was learned.
    fn assert_true(&self) {
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let expected = self.sockets.each_ref().map(|socket| Some(port(socket)));
        let learned: Vec<_> = self.learned.lock().unwrap().iter().map(TransportTuple::remote_port).collect();
        assert!(learned.iter().all(|port| expected.contains(port)), "{learned:?} of {expected:?}");
        self.assert_found();
    }

    /// Asserts that the endpoint's address was learned.
    fn assert_found(&self) {
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let expected = self.sockets.each_ref().map(|socket| Some(port(socket)));
        // The handle is notified later, possibly after the media.
        let deadline = now() + PATIENCE;
        while self.transport.tuple().remote_port() != expected[0] {
            assert!(now() < deadline, "{:?} of {expected:?}", self.transport.tuple());
            std::thread::yield_now();
        }
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// RTP packet of the producer.
fn packet(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 100];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 960).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend(payload);
    packet
}

fn seal(sealer: &Sealer, number: u16, clear: &[u8]) -> Vec<u8> {
    let mut out = vec![0; clear.len() + sealer.rtp_tag_len()];
    let (header, payload) = clear.split_at(HEADER_LEN);
    out[..HEADER_LEN].copy_from_slice(header);
    sealer.seal_rtp_after_header(Ssrc(SSRC), number.into(), HEADER_LEN, &[], payload, &mut out).unwrap();
    out
}

fn bye(ssrc: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    write_bye(&mut packet, &[Ssrc(ssrc)]);
    packet
}

/// Sends datagrams that are no RTP to the RTP port, and such that are no RTCP to the RTCP port. Returns their number.
fn send_noise(stranger: &UdpSocket, ports: [u16; 2], rng: &mut StdRng) -> u64 {
    for port in ports {
        for _ in 0..BURST {
            let mut noise = vec![0; rng.random_range(1..1200)];
            rng.fill_bytes(&mut noise);
            noise[0] &= 0x7f;
            stranger.send_to(&noise, (Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
    let [rtp, rtcp] = ports;
    let wrong = [
        (rtp, packet(0, &[])[..HEADER_LEN - 1].to_vec()),
        (rtp, bye(SSRC)),
        (rtcp, packet(0, &[1; 60])),
        (rtcp, vec![0x81, 200, 0, 9, 0, 0, 0, 0]),
        (rtcp, Vec::new()),
    ];
    for (port, datagram) in &wrong {
        stranger.send_to(datagram, (Ipv4Addr::LOCALHOST, *port)).unwrap();
    }
    (2 * BURST + wrong.len()) as u64
}

#[test]
fn only_the_first_media_packet_latches() {
    let _alone = Alone::wait();
    let mut feed = Feed::new(None);
    let mut rng = StdRng::seed_from_u64(1);
    let stranger = socket();
    for _ in 0..10 {
        feed.suffer(|| send_noise(&stranger, feed.ports(), &mut rng));
    }
    feed.exchange();
    feed.report();
    feed.exchange();
    feed.assert_true();
}

#[test]
fn stranger_that_sends_first_does_not_block_the_true_endpoint() {
    let alone = Alone::wait();
    let mut feed = Feed::new(None);
    let [rtp, rtcp] = feed.ports();
    let stranger = socket();
    let mut foreign = packet(0, &[0xbd; 60]);
    foreign[8..12].copy_from_slice(&(SSRC + 1).to_be_bytes());
    let strike = || {
        stranger.send_to(&foreign, (Ipv4Addr::LOCALHOST, rtp)).unwrap();
        stranger.send_to(&bye(SSRC + 1), (Ipv4Addr::LOCALHOST, rtcp)).unwrap();
        2
    };
    feed.suffer(strike);
    feed.exchange();
    feed.report();
    feed.exchange();
    feed.assert_found();
    let attack = || {
        strike();
    };
    alone.assert_undisturbed(attack, || drop(feed.exchange()));
    feed.assert_found();
}

#[test]
fn receiving_endpoint_latches_by_its_reports_despite_an_earlier_stranger() {
    let _alone = Alone::wait();
    let (transport, consumer) = block_on(async {
        let router = router().await;
        let sending = router.create_direct_transport(DirectTransportOptions::default()).await.unwrap();
        let producer = sending.produce(audio(SSRC)).await.unwrap();
        let mut options = PlainTransportOptions::new(listen_info(Protocol::Udp));
        options.comedia = true;
        let transport = router.create_plain_transport(options).await.unwrap();
        let consume = ConsumerOptions::new(producer.id(), crate::capabilities());
        let consumer = transport.consume(consume).await.unwrap();
        (transport, (consumer, producer, sending))
    });
    let port = transport.tuple().local_port();
    let [stranger, endpoint] = [socket(), socket()];
    let await_remote = |socket: &UdpSocket| {
        let (expected, deadline) = (socket.local_addr().unwrap().port(), now() + PATIENCE);
        while transport.tuple().remote_port() != Some(expected) {
            assert!(now() < deadline, "{:?}", transport.tuple());
            std::thread::yield_now();
        }
    };
    // The first valid packet is accepted until there is better evidence, because many receivers send nothing else.
    stranger.send_to(&packet(0, &[0; 20]), (Ipv4Addr::LOCALHOST, port)).unwrap();
    await_remote(&stranger);
    endpoint.send_to(&packet(0, &[0; 20]), (Ipv4Addr::LOCALHOST, port)).unwrap();
    let ssrc = consumer.0.rtp_parameters().encodings[0].ssrc.unwrap();
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    report.extend(ssrc.to_be_bytes());
    report.extend([0; 20]);
    endpoint.send_to(&report, (Ipv4Addr::LOCALHOST, port)).unwrap();
    await_remote(&endpoint);
    // This packet is sufficient evidence.
    stranger.send_to(&report, (Ipv4Addr::LOCALHOST, port)).unwrap();
    endpoint.send_to(&report, (Ipv4Addr::LOCALHOST, port)).unwrap();
    await_remote(&endpoint);
}

#[test]
fn strangers_at_a_latched_transport_do_not_disturb_its_media() {
    let alone = Alone::wait();
    let mut feed = Feed::new(None);
    let ports = feed.ports();
    feed.exchange();
    feed.report();
    let mut rng = StdRng::seed_from_u64(2);
    let stranger = socket();
    let mut number = 0;
    let attack = || {
        send_noise(&stranger, ports, &mut rng);
        for _ in 0..BURST {
            // Valid packets like the endpoint's, but from another address.
            number += 1;
            stranger.send_to(&packet(number, &[0xbd; 60]), (Ipv4Addr::LOCALHOST, ports[0])).unwrap();
            stranger.send_to(&bye(SSRC), (Ipv4Addr::LOCALHOST, ports[1])).unwrap();
        }
    };
    alone.assert_undisturbed(attack, || drop(feed.exchange()));
    feed.assert_true();
}

#[test]
fn unauthentic_packets_never_latch_a_transport_with_srtp() {
    let alone = Alone::wait();
    for suite in [
        SrtpCryptoSuite::AeadAes256Gcm,
        SrtpCryptoSuite::AeadAes128Gcm,
        SrtpCryptoSuite::AesCm128HmacSha180,
        SrtpCryptoSuite::AesCm128HmacSha132,
    ] {
        let mut feed = Feed::new(Some(suite));
        let ports = feed.ports();
        let other_key = MasterKey::generate(suite, &mut StdRng::seed_from_u64(10)).sealer();
        let mut rng = StdRng::seed_from_u64(3);
        let stranger = socket();
        let mut forge = |number| {
            let noise = send_noise(&stranger, ports, &mut rng);
            let clear = packet(number, &[0xbd; 60]);
            let sealed = seal(&other_key, number, &clear);
            for _ in 0..BURST {
                stranger.send_to(&clear, (Ipv4Addr::LOCALHOST, ports[0])).unwrap();
                stranger.send_to(&sealed, (Ipv4Addr::LOCALHOST, ports[0])).unwrap();
                stranger.send_to(&bye(SSRC), (Ipv4Addr::LOCALHOST, ports[1])).unwrap();
            }
            noise + 3 * BURST as u64
        };
        for number in 0..10 {
            feed.suffer(|| forge(number));
        }
        let mut seen = feed.exchange();
        feed.report();
        let sent = feed.sent;
        let seen_by_stranger = &Mutex::new(&mut seen);
        let attack = || {
            forge(sent);
            // A packet of the endpoint, copied by the stranger.
            let replayed = seen_by_stranger.lock().unwrap();
            stranger.send_to(&replayed, (Ipv4Addr::LOCALHOST, ports[0])).unwrap();
        };
        alone.assert_undisturbed(attack, || **seen_by_stranger.lock().unwrap() = feed.exchange());
        feed.assert_true();
    }
}
