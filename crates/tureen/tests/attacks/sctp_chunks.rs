//! Peers that fill an SCTP association with chunks, without encryption and over DTLS, while the same worker has a call.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use futures_lite::future::block_on;
use tureen::prelude::*;
use tureen_client::{OutgoingRtp, RecvStreamConfig, SendStreamConfig};
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::{MAX_PACKET, MAX_STREAMS, Sctp, SctpState};

use crate::member::{Member, PATIENCE, now};
use crate::memory::Alone;
use crate::sctp::write_checksum;
use crate::{audio, listen_info, router};

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
const SSRC: u32 = 9000;

/// Packets of an attacker between two packets of the call: fewer than a socket's buffer holds.
const BURST: usize = 40;
/// Packets of the call for the measurement without attack.
const QUIET: usize = 200;
/// Latency that the attack may add, at the 99th percentile.
const MARGIN: Duration = Duration::from_millis(5);
/// Number of repetitions of a measurement that fails, because other processes may interfere.
const ATTEMPTS: usize = 10;
/// Time limit of a request after a burst.
const REQUEST: Duration = Duration::from_millis(500);

/// Chunk types, and the flags of a DATA chunk (RFC 9260 §3.3.1).
const DATA: u8 = 0;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const SHUTDOWN: u8 = 7;
const RE_CONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
const WHOLE: u8 = 3;
const MIDDLE: u8 = 0;
/// Offsets of a packet's tag and first chunk, and of the first TSN in an INIT.
const TAG: usize = 4;
const CHUNK: usize = 12;
const FIRST_TSN: usize = CHUNK + 16;

/// A speaker and a listener.
struct Call {
    router: Router,
    speaker: Member,
    listener: Member,
    sent: u32,
    _kept: (Producer, Consumer, [WebRtcTransport; 2]),
}

impl Call {
    fn new() -> Self {
        let (router, transports, producer) = block_on(async {
            let router = router().await;
            let infos = WebRtcTransportListenInfos::new(listen_info(Protocol::Udp));
            let options = WebRtcTransportOptions::new(infos);
            let speaking = router.create_webrtc_transport(options.clone()).await.unwrap();
            let listening = router.create_webrtc_transport(options).await.unwrap();
            let producer = speaking.produce(audio(SSRC)).await.unwrap();
            (router, [speaking, listening], producer)
        });
        let [mut speaker, mut listener] = transports.each_ref().map(Member::connect);
        speaker.session.add_send_stream(SendStreamConfig::new(SSRC, 100, 48_000)).unwrap();
        let options = ConsumerOptions::new(producer.id(), crate::capabilities());
        let consumer = block_on(transports[1].consume(options)).unwrap();
        let ssrc = consumer.rtp_parameters().encodings[0].ssrc.unwrap();
        listener.session.add_recv_stream(RecvStreamConfig::new(ssrc, 100, 48_000)).unwrap();
        Self { router, speaker, listener, sent: 0, _kept: (producer, consumer, transports) }
    }

    /// Sends a packet from one member to the other and returns its latency.
    fn exchange(&mut self) -> Duration {
        self.sent += 1;
        let payload = self.sent.to_be_bytes().repeat(15);
        let begin = now();
        let packet =
            OutgoingRtp { payload: &payload, timestamp: 960 * self.sent, marker: false, audio_level: None };
        self.speaker.session.send_rtp(begin, SSRC, &packet).unwrap();
        self.speaker.turn(false);
        let heard = self.listener.run_until(|member| member.heard.pop_front());
        let time = now() - begin;
        assert_eq!(heard, payload);
        time
    }

    /// Returns the duration of a request.
    fn request(&self) -> Duration {
        let begin = now();
        block_on(self.router.dump()).unwrap();
        now() - begin
    }
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// Transport of SCTP packets: without encryption, or over DTLS.
enum Line {
    Plain(UdpSocket),
    Dtls(Box<Member>),
}

/// Association with a transport whose remote end violates the protocol.
struct Attacker {
    line: Line,
    /// Verification tag of the transport, and the first TSN of the attacker.
    tag: [u8; 4],
    tsn: u32,
    /// Bytes sent in each direction.
    sent: usize,
    received: usize,
    _kept: Box<dyn Send>,
}

impl Attacker {
    fn in_the_clear(router: &Router) -> Self {
        let transport = block_on(async {
            let mut options = PlainTransportOptions::new(listen_info(Protocol::Udp));
            options.comedia = true;
            options.enable_sctp = true;
            router.create_plain_transport(options).await.unwrap()
        });
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, transport.tuple().local_port())).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::connected(Line::Plain(socket), transport)
    }

    fn over_dtls(router: &Router) -> Self {
        let infos = WebRtcTransportListenInfos::new(listen_info(Protocol::Udp));
        let mut options = WebRtcTransportOptions::new(infos);
        options.enable_sctp = true;
        let transport = block_on(router.create_webrtc_transport(options)).unwrap();
        let member = Member::connect(&transport);
        Self::connected(Line::Dtls(Box::new(member)), transport)
    }

    fn connected(line: Line, transport: impl Send + 'static) -> Self {
        let mut attacker =
            Self { line, tag: [0; 4], tsn: 0, sent: 0, received: 0, _kept: Box::new(transport) };
        let mut sctp = Sctp::new(OPTIONS, &[1; 32], now());
        sctp.connect(now());
        let deadline = now() + PATIENCE;
        while sctp.state() != SctpState::Connected {
            assert!(now() < deadline, "it takes too long");
            while let Some(packet) = sctp.poll_packet(now()) {
                if packet[TAG..TAG + 4] != [0; 4] {
                    attacker.tag.copy_from_slice(&packet[TAG..TAG + 4]);
                }
                if matches!(packet[CHUNK], 1 | 2) {
                    attacker.tsn = u32::from_be_bytes(packet[FIRST_TSN..FIRST_TSN + 4].try_into().unwrap());
                }
                attacker.send(&packet);
            }
            for packet in attacker.receive() {
                sctp.handle_packet(now(), &packet);
            }
        }
        attacker
    }

    fn send(&mut self, packet: &[u8]) {
        self.sent += packet.len();
        match &mut self.line {
            Line::Plain(socket) => assert_eq!(socket.send(packet).unwrap(), packet.len()),
            Line::Dtls(member) => {
                member.session.send_application_data(now(), packet).unwrap();
                member.turn(false);
            }
        }
    }

    /// Receives the packets of the transport, and asserts that none is too long.
    fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        match &mut self.line {
            Line::Plain(socket) => {
                let mut buffer = [0; 65_536];
                while let Ok(len) = socket.recv(&mut buffer) {
                    packets.push(buffer[..len].to_vec());
                }
            }
            Line::Dtls(member) => {
                member.turn(false);
                packets.extend(std::iter::from_fn(|| member.session.poll_application_data()));
            }
        }
        for packet in &packets {
            assert!(packet.len() <= MAX_PACKET, "{} bytes", packet.len());
            self.received += packet.len();
        }
        packets
    }

    /// Packet with these chunks and the association's tag.
    fn packet(&self, chunks: &[u8]) -> Vec<u8> {
        let mut packet = [5000u16.to_be_bytes(); 2].concat();
        packet.extend_from_slice(&self.tag);
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(chunks);
        write_checksum(&mut packet);
        packet
    }

    fn data(&self, distance: u32, stream: u16, ssn: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        let tsn = self.tsn.wrapping_add(distance).to_be_bytes();
        let [stream, ssn] = [stream, ssn].map(u16::to_be_bytes);
        chunk(DATA, flags, &[&tsn[..], &stream, &ssn, &53u32.to_be_bytes(), payload].concat())
    }

    /// Packets of 55 chunks each, which still fit into a DTLS datagram.
    fn packed(&self, count: u32, chunk_of: impl Fn(u32) -> Vec<u8>) -> Vec<Vec<u8>> {
        let chunks: Vec<_> = (0..count).map(chunk_of).collect();
        chunks.chunks(55).map(|chunks| self.packet(&chunks.concat())).collect()
    }
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    chunk.extend_from_slice(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// Runs an attacker on each kind of line, with packets made by `packets`.
fn assert_harmless(name: &str, packets: impl Fn(&Attacker) -> Vec<Vec<u8>>) {
    let alone = Alone::wait();
    let [unread, nobody] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    nobody.connect(unread.local_addr().unwrap()).unwrap();
    for connect in [Attacker::in_the_clear, Attacker::over_dtls] {
        let mut call = Call::new();
        let mut attacker = connect(&call.router);
        let packets = packets(&attacker);
        let mut next = packets.iter().cycle();
        // Everything that has to wait is done by then.
        for _ in 0..packets.len().div_ceil(BURST) {
            next.by_ref().take(BURST).for_each(|packet| attacker.send(packet));
            call.exchange();
            attacker.receive();
        }
        for attempt in 1.. {
            // In the measurement without attack the same packets are sent elsewhere, because sending costs the call
            // some time too.
            let quiet = (0..QUIET).map(|_| {
                next.by_ref().take(BURST).for_each(|packet| _ = nobody.send(packet));
                call.exchange()
            });
            let quiet = p99(quiet.collect());
            let mut times = Vec::new();
            let attack = || {
                next.by_ref().take(BURST).for_each(|packet| attacker.send(packet));
                attacker.receive();
            };
            alone.assert_undisturbed(attack, || times.push(call.exchange()));
            let attacked = p99(times);
            println!("{name}: p99 {attacked:?}, in quiet {quiet:?}");
            if attacked <= quiet + MARGIN {
                break;
            }
            assert!(attempt < ATTEMPTS, "{name}: p99 {attacked:?}, in quiet {quiet:?}");
        }
        next.by_ref().take(BURST).for_each(|packet| attacker.send(packet));
        let request = call.request();
        assert!(request < REQUEST, "{name}: a request takes {request:?}");
        let (sent, received) = (attacker.sent, attacker.received);
        assert!(received < sent, "{name}: {received} bytes for {sent}");
    }
}

#[test]
fn fragments_of_a_message_without_its_first_one() {
    assert_harmless("fragments", |attacker| {
        attacker.packed(60_000, |n| attacker.data(n + 1, 0, 0, MIDDLE, b"x"))
    });
}

#[test]
fn fragments_of_different_messages() {
    assert_harmless("different fragments", |attacker| {
        attacker.packed(60_000, |n| attacker.data(n + 1, n as u16, n as u16, MIDDLE, b"x"))
    });
}

#[test]
fn one_message_on_each_of_all_streams() {
    assert_harmless("streams", |attacker| {
        // Half of them are complete and in order.
        attacker.packed(60_000, |n| attacker.data(n + 1, n as u16, n as u16 & 1, WHOLE, b"x"))
    });
}

#[test]
fn every_other_chunk() {
    assert_harmless("gaps", |attacker| {
        attacker.packed(30_000, |n| attacker.data(2 * n + 1, 0, 1, WHOLE, b"x"))
    });
}

#[test]
fn single_chunks_that_each_make_a_gap() {
    // 32 bytes each; chunks that arrive together are answered by one SACK.
    assert_harmless("single chunks", |attacker| {
        let packet = |n: u32| attacker.packet(&attacker.data(2 * n + 1, 0, 1, WHOLE, b"x"));
        (0..10_000).map(packet).collect()
    });
}

#[test]
fn chunks_below_one_far_off() {
    assert_harmless("below a far one", |attacker| {
        let chunk = |n: u32| attacker.packet(&attacker.data(n, 1, n as u16 | 1, WHOLE, &[7; 1100]));
        std::iter::once(60_000).chain(1..20_000).map(chunk).collect()
    });
}

#[test]
fn skips_resets_acknowledgements_and_heartbeats() {
    assert_harmless("control chunks", |attacker| {
        let gaps: Vec<u8> =
            (0..250u16).flat_map(|n| [(2 * n + 2).to_be_bytes(), u16::MAX.to_be_bytes()].concat()).collect();
        let sack = [&[0, 0, 0, 1, 0, 80, 0, 0, 0, 250, 0, 0][..], &gaps].concat();
        let streams: Vec<u8> = (0..500u16).flat_map(u16::to_be_bytes).collect();
        let mut packets = Vec::new();
        for n in 0..2000u32 {
            packets.push(attacker.packet(&chunk(SACK, 0, &sack)));
            let far = attacker.tsn.wrapping_add(n * 1000).to_be_bytes();
            let skipped: Vec<u8> =
                (0..250u16).flat_map(|m| [(m + n as u16).to_be_bytes(), m.to_be_bytes()].concat()).collect();
            packets.push(attacker.packet(&chunk(FORWARD_TSN, 0, &[&far[..], &skipped].concat())));
            let number = attacker.tsn.wrapping_add(n).to_be_bytes();
            let request = [&[0, 13, 0x03, 0xf8], &number[..], &[0; 4], &number, &streams].concat();
            packets.push(attacker.packet(&chunk(RE_CONFIG, 0, &request)));
            packets.push(attacker.packet(&chunk(HEARTBEAT, 0, &[0, 1, 0, 4]).repeat(100)));
        }
        packets
    });
}

#[test]
fn shutdowns_without_an_end() {
    assert_harmless("shutdowns", |attacker| {
        let shutdown =
            attacker.packet(&[chunk(SHUTDOWN, 0, &[0; 4]), chunk(HEARTBEAT + 1, 0, &[0; 40])].concat());
        vec![shutdown; 100]
    });
}
