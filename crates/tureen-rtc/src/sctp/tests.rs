//! Two associations over a link in virtual time.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

pub(super) const OPTIONS: SctpOptions = SctpOptions {
    max_send_message_size: 262_144,
    max_receive_message_size: 262_144,
    send_buffer_size: 2_000_000,
    per_stream_send_queue_limit: 2_000_000,
    max_receiver_window_buffer_size: 5_242_880,
    default_buffered_amount_low_threshold: 0,
    outbound_streams: MAX_STREAMS,
    inbound_streams: MAX_STREAMS,
};

/// Two ends, packets in flight, and the events of both ends.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) ends: [Sctp; 2],
    /// Packets in flight: arrival, destination, packet.
    pub(super) flying: VecDeque<(Instant, usize, Bytes)>,
    pub(super) events: [Vec<Event>; 2],
    pub(super) rng: StdRng,
    pub(super) loss: f64,
    /// Every packet each end has sent.
    pub(super) sent: [Vec<Bytes>; 2],
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
    pub(super) fn new(options: SctpOptions, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            ends: [Sctp::new(options, &[1; 32], now), Sctp::new(options, &[2; 32], now)],
            flying: VecDeque::new(),
            events: [Vec::new(), Vec::new()],
            rng: StdRng::seed_from_u64(seed),
            loss: 0.0,
            sent: [Vec::new(), Vec::new()],
        }
    }

    pub(super) fn connected(options: SctpOptions) -> Self {
        let mut pair = Self::new(options, 0);
        pair.ends[0].connect(pair.now);
        pair.ends[1].connect(pair.now);
        pair.run(Duration::from_secs(1));
        for end in &pair.ends {
            assert_eq!(end.state(), SctpState::Connected);
        }
        pair.forget();
        pair
    }

    pub(super) fn forget(&mut self) {
        self.events = [Vec::new(), Vec::new()];
        self.sent = [Vec::new(), Vec::new()];
    }

    pub(super) fn drain(&mut self) {
        for from in 0..2 {
            while let Some(packet) = self.ends[from].poll_packet(self.now) {
                assert!(packet.len() <= MAX_PACKET);
                self.sent[from].push(packet.clone());
                if !self.rng.random_bool(self.loss) {
                    let delay = if self.loss > 0.0 { self.rng.random_range(10..30) } else { 10 };
                    self.flying.push_back((self.now + Duration::from_millis(delay), 1 - from, packet));
                }
            }
            while let Some(event) = self.ends[from].poll_event() {
                self.events[from].push(event);
            }
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drain();
            let arrival = self.flying.iter().map(|flight| flight.0).min();
            let timers = self.ends.iter().filter_map(Sctp::poll_timeout);
            let Some(next) = arrival.into_iter().chain(timers).min().filter(|&next| next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let (arrived, rest): (Vec<_>, Vec<_>) = self.flying.drain(..).partition(|f| f.0 <= self.now);
            self.flying = rest.into();
            for (_, to, packet) in arrived {
                self.ends[to].handle_packet(self.now, &packet);
            }
            for end in &mut self.ends {
                if end.poll_timeout().is_some_and(|at| at <= self.now) {
                    end.handle_timeout(self.now);
                }
            }
        }
        self.now = end;
    }

    pub(super) fn send(&mut self, from: usize, parameters: SctpStreamParameters, message: &[u8]) {
        self.ends[from].send(parameters, 51, Bytes::copy_from_slice(message)).expect("there is room");
    }

    /// Messages that an end received, by stream.
    pub(super) fn received(&self, end: usize) -> BTreeMap<u16, Vec<Vec<u8>>> {
        let mut received: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        for event in &self.events[end] {
            if let Event::Message { stream, payload, .. } = event {
                received.entry(*stream).or_default().push(payload.to_vec());
            }
        }
        received
    }
}

pub(super) fn ordered(stream: u16) -> SctpStreamParameters {
    SctpStreamParameters::new_ordered(stream)
}

#[test]
fn one_side_connects_and_both_are_up() {
    let mut pair = Pair::new(OPTIONS, 0);
    pair.ends[0].connect(pair.now);
    pair.run(Duration::from_secs(1));
    let states = [Event::State(SctpState::Connecting), Event::State(SctpState::Connected)];
    assert_eq!(pair.events, [states.to_vec(), states.to_vec()]);
    let negotiated = pair.ends[0].negotiated().expect("known once connected");
    assert_eq!(negotiated.negotiated_max_outbound_streams, MAX_STREAMS);
}

#[test]
fn both_sides_connect_at_once() {
    let mut pair = Pair::connected(OPTIONS);
    for from in 0..2 {
        pair.send(from, ordered(3), b"hello");
    }
    pair.run(Duration::from_secs(1));
    for end in 0..2 {
        assert_eq!(pair.received(end)[&3], [b"hello".to_vec()]);
    }
}

#[test]
fn handshake_gives_up_after_eight_retransmissions() {
    let mut pair = Pair::new(OPTIONS, 0);
    pair.loss = 1.0;
    pair.ends[0].connect(pair.now);
    pair.run(Duration::from_secs(600));
    assert_eq!(pair.sent[0].len(), 9);
    assert_eq!(pair.events[0].last(), Some(&Event::State(SctpState::Failed)));
    assert_eq!(pair.ends[0].poll_timeout(), None);
    assert_eq!(pair.ends[0].send(ordered(0), 51, Bytes::from_static(b"x")), Err(SendError::Closed));
}

#[test]
fn messages_sent_before_the_connection_arrive_after_it() {
    let mut pair = Pair::new(OPTIONS, 0);
    for text in [b"a", b"b", b"c"] {
        pair.send(0, ordered(1), text);
    }
    assert_eq!(pair.ends[0].buffered_amount(1), 3);
    pair.ends[0].connect(pair.now);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.received(1)[&1], [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
    assert_eq!(pair.ends[0].buffered_amount(1), 0);
}

#[test]
fn sent_data_is_not_buffered_although_it_is_not_acknowledged() {
    let mut pair = Pair::connected(OPTIONS);
    pair.loss = 1.0;
    pair.ends[0].send(ordered(1), 51, Bytes::from_static(b"short")).expect("there is room");
    assert_eq!(pair.ends[0].buffered_amount(1), 5);
    pair.ends[0].flush(pair.now);
    assert_eq!(pair.ends[0].buffered_amount(1), 0);
    // The congestion window delays most of this, and retransmitted data counts once.
    pair.ends[0].send(ordered(1), 53, Bytes::from(vec![0; 200_000])).expect("there is room");
    pair.run(Duration::from_secs(5));
    let waiting = pair.ends[0].buffered_amount(1);
    assert!((150_000..200_000).contains(&waiting), "{waiting}");
    pair.loss = 0.0;
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.ends[0].buffered_amount(1), 0);
}

#[test]
fn long_messages_and_every_ppid_arrive_whole() {
    let mut pair = Pair::connected(OPTIONS);
    let long: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    for ppid in [50, 51, 53, 56, 57, 0, 58, 1234, u32::MAX] {
        pair.ends[0].send(ordered(0), ppid, Bytes::from(long.clone())).expect("there is room");
    }
    pair.run(Duration::from_secs(20));
    let ppids: Vec<u32> = pair.events[1]
        .iter()
        .filter_map(|event| match event {
            Event::Message { ppid, payload, .. } if payload[..] == long[..] => Some(*ppid),
            _ => None,
        })
        .collect();
    assert_eq!(ppids, [50, 51, 53, 56, 57, 0, 58, 1234, u32::MAX]);
}

#[test]
fn message_sizes_are_limited_on_both_sides() {
    let options = SctpOptions { max_receive_message_size: 1000, ..OPTIONS };
    let mut pair = Pair::connected(options);
    assert_eq!(pair.ends[0].send(ordered(0), 51, Bytes::new()), Err(SendError::Empty));
    let too_long = Bytes::from(vec![0; 262_145]);
    assert_eq!(pair.ends[0].send(ordered(0), 51, too_long), Err(SendError::TooLong));
    pair.send(0, ordered(0), &[1; 1001]);
    pair.send(0, ordered(0), &[2; 1000]);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.events[1][0], Event::MessageTooLong(0));
    assert_eq!(pair.received(1)[&0], [vec![2; 1000]]);
}

#[test]
fn full_buffers_refuse_and_drain() {
    let options = SctpOptions { send_buffer_size: 10_000, per_stream_send_queue_limit: 6000, ..OPTIONS };
    let mut pair = Pair::connected(options);
    let message = Bytes::from(vec![7; 2000]);
    for _ in 0..3 {
        pair.ends[0].send(ordered(0), 53, message.clone()).expect("there is room");
    }
    assert_eq!(pair.ends[0].send(ordered(0), 53, message.clone()), Err(SendError::BufferFull));
    for _ in 0..2 {
        pair.ends[0].send(ordered(1), 53, message.clone()).expect("another stream has room");
    }
    assert_eq!(pair.ends[0].send(ordered(1), 53, message.clone()), Err(SendError::BufferFull));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends[0].send(ordered(0), 53, message), Ok(()));
    assert!(pair.events[0].contains(&Event::BufferedAmountLow(0)));
    assert!(pair.events[0].contains(&Event::BufferedAmountLow(1)));
}

#[test]
fn low_threshold_of_a_stream_is_reported() {
    let mut pair = Pair::connected(OPTIONS);
    pair.ends[0].set_buffered_amount_low_threshold(0, 5000);
    assert_eq!(pair.ends[0].buffered_amount_low_threshold(0), 5000);
    pair.send(0, ordered(0), &[1; 4000]);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.events[0], []);
    pair.send(0, ordered(0), &[1; 6000]);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.events[0], [Event::BufferedAmountLow(0)]);
}

#[test]
fn reset_stream_is_reported_and_can_be_reused() {
    let mut pair = Pair::connected(OPTIONS);
    for end in &mut pair.ends {
        end.open_stream(4);
    }
    for round in 0..5u8 {
        for text in 0..3 {
            pair.send(0, ordered(4), &[round, text]);
        }
        pair.ends[0].reset_stream(pair.now, 4);
        // At once, while the reset is in progress.
        pair.send(0, ordered(4), &[round, 9]);
        pair.run(Duration::from_secs(3));
        assert!(pair.events[1].contains(&Event::StreamReset(4)), "round {round}: {:?}", pair.events[1]);
        let expected: Vec<_> = [0, 1, 2, 9].iter().map(|&text| vec![round, text]).collect();
        assert_eq!(pair.received(1)[&4], expected, "round {round}");
        pair.forget();
    }
}

#[test]
fn stream_without_any_message_can_be_reset() {
    let mut pair = Pair::connected(OPTIONS);
    pair.ends[1].open_stream(4);
    pair.ends[0].reset_stream(pair.now, 4);
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.events[1], [Event::StreamReset(4)]);
    for from in 0..2 {
        pair.send(from, ordered(4), b"again");
    }
    pair.run(Duration::from_secs(1));
    for end in 0..2 {
        assert_eq!(pair.received(end)[&4], [b"again".to_vec()]);
    }
}

#[test]
fn unreliable_messages_are_given_up() {
    let mut pair = Pair::connected(OPTIONS);
    let unreliable = SctpStreamParameters::new_unordered_with_retransmits(5, 0);
    let timed = SctpStreamParameters::new_unordered_with_life_time(6, 100);
    pair.loss = 1.0;
    for _ in 0..10 {
        pair.send(0, unreliable, b"lost");
        pair.send(0, timed, b"late");
    }
    pair.run(Duration::from_millis(300));
    pair.loss = 0.0;
    pair.run(Duration::from_secs(5));
    pair.send(0, unreliable, b"u");
    pair.send(0, timed, b"t");
    pair.send(0, ordered(7), b"o");
    pair.run(Duration::from_secs(5));
    let received = pair.received(1);
    assert_eq!(received.len(), 3, "{received:?}");
    for (stream, text) in [(5, b"u"), (6, b"t"), (7, b"o")] {
        assert_eq!(received[&stream], [text.to_vec()]);
    }
}

#[test]
fn restarted_peer_is_accepted() {
    let mut pair = Pair::connected(OPTIONS);
    pair.ends[1] = Sctp::new(OPTIONS, &[3; 32], pair.now);
    pair.ends[1].connect(pair.now);
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.ends[1].state(), SctpState::Connected);
    for from in 0..2 {
        pair.send(from, ordered(3), b"hello");
    }
    pair.run(Duration::from_secs(1));
    for end in 0..2 {
        assert_eq!(pair.received(end)[&3], [b"hello".to_vec()]);
    }
}

#[test]
fn close_notifies_the_peer() {
    let mut pair = Pair::connected(OPTIONS);
    pair.ends[0].close();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.events, [vec![Event::State(SctpState::Closed)], vec![Event::State(SctpState::Closed)]]);
}

#[test]
fn flood_of_inits_costs_no_memory_and_disturbs_nothing() {
    let mut pair = Pair::connected(OPTIONS);
    for tag in 1..10_000u32 {
        let init = Init { tag, ..identity(&OPTIONS, &hmac::Key::new(hmac::HMAC_SHA256, &[9; 32]), 0) };
        let init = PacketWriter::new(pair.ends[0].ports, 0).chunk(kind::INIT, 0, &init.value(None)).finish();
        pair.ends[1].handle_packet(pair.now, &init);
    }
    assert!(pair.ends[1].packets.len() <= MAX_QUEUED_REPLIES);
    pair.send(0, ordered(0), b"on we go");
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.received(1)[&0], [b"on we go".to_vec()]);
}

/// A COOKIE ECHO that is valid for `end`, from another peer.
fn cookie_echo(end: &mut Sctp, now: Instant, secret: u8) -> Vec<u8> {
    let mut peer = Sctp::new(OPTIONS, &[secret; 32], now);
    peer.connect(now);
    let init = peer.poll_packet(now).expect("an INIT");
    end.handle_packet(now, &init);
    while let Some(packet) = end.poll_packet(now) {
        peer.handle_packet(now, &packet);
    }
    peer.poll_packet(now).expect("a COOKIE ECHO").to_vec()
}

#[test]
fn stale_forged_and_replayed_cookies_are_refused() {
    let mut pair = Pair::connected(OPTIONS);
    let (now, local) = (pair.now, pair.ends[1].local);
    let end = &mut pair.ends[1];
    let good = cookie_echo(end, now, 7);

    // Forged: a changed cookie with a valid checksum.
    let parsed = Packet::parse(&good).expect("well formed");
    let mut value = parsed.first().value.to_vec();
    value[10] ^= 1;
    let forged = PacketWriter::new(parsed.ports(), parsed.tag()).chunk(kind::COOKIE_ECHO, 0, &value).finish();
    end.handle_packet(now, &forged);
    assert_eq!((end.local, end.poll_packet(now)), (local, None));

    // Invalid checksum.
    let mut broken = good.clone();
    broken[9] ^= 1;
    end.handle_packet(now, &broken);
    assert_eq!((end.local, end.poll_packet(now)), (local, None));

    // Stale: answered by an ERROR, without any other effect.
    let late = now + COOKIE_LIFETIME + Duration::from_millis(1);
    end.handle_packet(late, &good);
    assert_eq!(end.local, local);
    let error = end.poll_packet(late).expect("an ERROR");
    assert_eq!(Packet::parse(&error).expect("well formed").first().kind, kind::ERROR);

    // Replayed: a cookie from before a restart does not restart the association again.
    let newer = cookie_echo(end, now, 8);
    end.handle_packet(now, &newer);
    let restarted = end.local;
    assert_ne!(restarted, local);
    while end.poll_packet(now).is_some() {}
    end.handle_packet(now, &good);
    assert_eq!((end.local, end.poll_packet(now)), (restarted, None));
}

#[test]
fn packets_with_a_bad_checksum_or_tag_are_dropped() {
    let mut pair = Pair::connected(OPTIONS);
    pair.send(0, ordered(0), b"x");
    let good = pair.ends[0].poll_packet(pair.now).expect("DATA");
    for at in 4..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        pair.ends[1].handle_packet(pair.now, &bad);
    }
    assert_eq!(pair.ends[1].poll_event(), None);
    pair.ends[1].handle_packet(pair.now, &good);
    assert!(matches!(pair.ends[1].poll_event(), Some(Event::Message { .. })));
}

#[test]
fn error_and_unknown_chunks_do_not_end_the_association() {
    let mut pair = Pair::connected(OPTIONS);
    let tag = pair.ends[1].local.tag;
    for kind in [kind::ERROR, 5, 64, 132, 194, 255] {
        let packet = PacketWriter::new(pair.ends[0].ports, tag).chunk(kind, 0, &[0, 6, 0, 4]).finish();
        pair.ends[1].handle_packet(pair.now, &packet);
        assert_eq!(pair.ends[1].state(), SctpState::Connected, "chunk {kind}");
    }
}

#[test]
fn data_after_an_unknown_chunk_is_accepted() {
    let mut pair = Pair::connected(OPTIONS);
    pair.send(0, ordered(0), b"x");
    let data = pair.ends[0].poll_packet(pair.now).expect("DATA");
    let data = Packet::parse(&data).expect("well formed");
    let packet = PacketWriter::new(data.ports(), data.tag()).chunk(0xc1, 0, b"ab");
    let packet = packet.chunk(kind::DATA, data.first().flags, data.first().value).finish();
    pair.ends[1].handle_packet(pair.now, &packet);
    assert!(matches!(pair.ends[1].poll_event(), Some(Event::Message { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn ordered_messages_survive_loss_and_reordering(seed in any::<u64>(), sizes in prop::collection::vec(1usize..20_000, 1..30)) {
        let mut pair = Pair::new(OPTIONS, seed);
        pair.loss = 0.1;
        pair.ends[0].connect(pair.now);
        pair.ends[1].connect(pair.now);
        let expected: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, &size)| vec![i as u8; size]).collect();
        for message in &expected {
            pair.send(0, ordered(2), message);
        }
        pair.run(Duration::from_secs(600));
        prop_assert_eq!(pair.received(1).remove(&2).unwrap_or_default(), expected);
    }

    #[test]
    fn hostile_bytes_never_panic(chunks in prop::collection::vec((any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6)) {
        let mut pair = Pair::connected(OPTIONS);
        let mut packet = PacketWriter::new(pair.ends[0].ports, pair.ends[1].local.tag);
        for (kind, flags, value) in &chunks {
            packet = packet.chunk(*kind, *flags, value);
        }
        let packet = packet.finish();
        pair.ends[1].handle_packet(pair.now, &packet);
        pair.drain();
    }
}
