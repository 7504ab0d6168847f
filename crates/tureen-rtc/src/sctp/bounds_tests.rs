//! Limits of the memory that a peer can occupy, and the needs of honest peers.

use std::ops::Range;

use super::tests::{OPTIONS, Pair, ordered};
use super::wire::{DataChunk, FlagsOfData, reset_request};
use super::*;

/// Chunks in one packet of an attacker.
const CHUNKS: u32 = 70;
const WHOLE: FlagsOfData = FlagsOfData { begins: true, ends: true, unordered: false, immediate: false };
const MIDDLE: FlagsOfData = FlagsOfData { begins: false, ends: false, ..WHOLE };

/// An attack. One end of the pair is the victim; packets are passed to it directly.
struct Attack {
    pair: Pair,
    /// Next TSN that the victim expects.
    tsn: u32,
    /// Packets of the victim.
    answers: Vec<Bytes>,
}

impl Attack {
    fn new(options: SctpOptions) -> Self {
        let pair = Pair::connected(options);
        let tsn = pair.ends[0].local.tsn;
        Self { pair, tsn, answers: Vec::new() }
    }

    fn packet(&self) -> PacketWriter {
        PacketWriter::new(self.pair.ends[0].ports, self.pair.ends[1].local.tag)
    }

    /// Delivers a packet to the victim and stores its answers.
    fn strike(&mut self, packet: PacketWriter) {
        self.pair.ends[1].handle_packet(self.pair.now, &packet.finish());
        while let Some(answer) = self.pair.ends[1].poll_packet(self.pair.now) {
            assert!(answer.len() <= MAX_PACKET, "{} bytes", answer.len());
            self.answers.push(answer);
        }
    }

    /// Delivers chunks with these numbers, each made by `change`, in as few packets as possible.
    fn send(&mut self, numbers: Range<u32>, change: impl Fn(u32) -> (u32, DataChunk<'static>)) {
        let mut numbers = numbers.peekable();
        while numbers.peek().is_some() {
            let mut packet = self.packet();
            for number in numbers.by_ref().take(CHUNKS as usize) {
                let (distance, chunk) = change(number);
                packet.append_data(&DataChunk { tsn: self.tsn.wrapping_add(distance), ..chunk });
            }
            self.strike(packet);
        }
    }

    /// Bytes stored by the victim, and the number of whole or incomplete messages.
    fn kept(&self) -> (usize, usize) {
        match &self.pair.ends[1].phase {
            Phase::Up { association, .. } => association.receiver().kept(),
            phase => panic!("{phase:?}"),
        }
    }

    /// Window of the victim's last SACK, and the number of its gap blocks.
    fn last_sack(&self) -> (u32, usize) {
        let packet = Packet::parse(self.answers.last().expect("an answer")).expect("well formed");
        let sack = packet.chunks().find_map(|chunk| chunk.sack()).expect("a SACK");
        (sack.window, sack.gaps().count())
    }

    /// Asserts that the association still works: a message arrives in each direction.
    fn assert_alive(&mut self) {
        assert_eq!(self.pair.ends[1].state(), SctpState::Connected);
        self.pair.forget();
        self.pair.send(1, ordered(77), b"alive");
        self.pair.run(Duration::from_secs(5));
        assert_eq!(self.pair.received(0)[&77], [b"alive".to_vec()]);
    }
}

fn chunk(flags: FlagsOfData) -> DataChunk<'static> {
    DataChunk { tsn: 0, stream: 0, ssn: 0, ppid: 53, flags, payload: b"x" }
}

#[test]
fn fragments_after_a_missing_one_are_bounded_and_cost_the_same_each() {
    let mut attack = Attack::new(OPTIONS);
    // This takes minutes if the cost of a chunk grows with the stored chunks.
    for _ in 0..10 {
        attack.send(0..65_000, |n| (n + 1, chunk(MIDDLE)));
    }
    assert_eq!(attack.kept(), (65_000, 1));
    // In reverse order, and with each chunk part of another message.
    let mut attack = Attack::new(OPTIONS);
    attack.send(0..65_000, |n| (65_001 - n, chunk(MIDDLE)));
    assert_eq!(attack.kept(), (65_000, 1));
    let mut attack = Attack::new(OPTIONS);
    attack.send(0..65_000, |n| (n + 1, DataChunk { ssn: n as u16, ..chunk(MIDDLE) }));
    assert_eq!(attack.kept().1, INCOMING_PIECES);
    assert_eq!(attack.last_sack(), (0, 1));
    assert!(attack.pair.ends[1].take_refused() > 50_000);
    attack.assert_alive();
}

#[test]
fn answers_to_single_chunks_are_never_longer_than_these() {
    let mut attack = Attack::new(OPTIONS);
    let mut sent = 0;
    // First each chunk makes a gap, then each is a duplicate while there are many gaps.
    for number in (0..2).flat_map(|_| 1..200) {
        let mut packet = attack.packet();
        let tsn = attack.tsn.wrapping_add(2 * number);
        packet.append_data(&DataChunk { tsn, ..chunk(MIDDLE) });
        sent += packet.len();
        attack.strike(packet);
        let answered: usize = attack.answers.iter().map(Bytes::len).sum();
        assert!(answered <= sent, "{answered} bytes for {sent} at chunk {number}");
    }
    // A peer that has sent more chunks gets as many gap blocks as a SACK holds.
    attack.send(200..400, |number| (2 * number, chunk(MIDDLE)));
    assert_eq!(attack.last_sack().1, 20);
    attack.assert_alive();
}

#[test]
fn messages_after_a_missing_one_are_bounded() {
    let streams: [fn(u32) -> u16; 2] = [|_| 0, |n| n as u16];
    for stream_of in streams {
        let mut attack = Attack::new(OPTIONS);
        attack.send(0..65_000, |n| {
            (n + 1, DataChunk { stream: stream_of(n), ssn: n as u16 | 1, ..chunk(WHOLE) })
        });
        assert_eq!(attack.kept().1, INCOMING_PIECES);
        // The missing chunk arrives, and all stored messages are delivered.
        attack.send(0..1, |_| (0, chunk(WHOLE)));
        assert_eq!(attack.kept(), (0, 0));
        let delivered = std::iter::from_fn(|| attack.pair.ends[1].poll_event());
        let delivered = delivered.filter(|event| matches!(event, Event::Message { .. })).count();
        assert_eq!(delivered, INCOMING_PIECES + 1);
        attack.assert_alive();
    }
}

#[test]
fn one_message_on_each_of_all_streams_costs_the_same_each() {
    let mut attack = Attack::new(OPTIONS);
    for round in 0..4u32 {
        let ssn = round as u16;
        attack.send(0..65_000, |n| (round * 65_000 + n, DataChunk { stream: n as u16, ssn, ..chunk(WHOLE) }));
    }
    let delivered = std::iter::from_fn(|| attack.pair.ends[1].poll_event()).count();
    assert_eq!(delivered, 4 * 65_000);
    assert_eq!(attack.kept(), (0, 0));
    // All streams are reset, by a request that lists them and by one that lists none.
    let tsn = attack.tsn;
    for (number, streams) in [(tsn, (0..300).collect()), (tsn + 1, Vec::new())] {
        let request = reset_request(number, 0, tsn + 3, &streams);
        let packet = attack.packet().chunk(kind::RE_CONFIG, 0, &request);
        attack.strike(packet);
    }
    attack.assert_alive();
}

#[test]
fn sacks_stay_small_and_gaps_are_bounded() {
    let mut attack = Attack::new(OPTIONS);
    attack.send(0..32_000, |n| (2 * n + 1, chunk(WHOLE)));
    assert!(attack.answers.iter().all(|answer| answer.len() <= 28 + 4 * 20 + 4 * 20));
    assert_eq!(attack.last_sack().1, 20);
    assert!(attack.kept().1 <= 256);
    // A packet causes at most one SACK, which lists duplicates only in part.
    attack.answers.clear();
    attack.send(0..CHUNKS, |_| (1, chunk(WHOLE)));
    assert_eq!(attack.answers.len(), 1);
    // Chunks beyond the range of a SACK are dropped.
    attack.send(0..100, |n| (65_535 + 1000 * n, chunk(WHOLE)));
    attack.send(0..100, |n| (u32::MAX / 2 - n, chunk(WHOLE)));
    assert!(attack.kept().1 <= 256);
    // Without an attack: the missing chunk arrives, and everything is delivered.
    attack.send(0..64_000, |n| (n, chunk(WHOLE)));
    assert_eq!(attack.kept(), (0, 0));
    attack.assert_alive();
}

#[test]
fn nothing_beyond_the_window_is_kept() {
    const PAYLOAD: &[u8] = &[7; 1000];
    let options = SctpOptions { max_receiver_window_buffer_size: 100_000, ..OPTIONS };
    let mut attack = Attack::new(options);
    // First one far chunk, then all chunks below it except the first.
    attack.send(0..1, |_| (60_000, DataChunk { ssn: 60_000, ..chunk(WHOLE) }));
    attack.send(1..50_000, |n| (n, DataChunk { payload: PAYLOAD, ssn: n as u16 + 1, ..chunk(WHOLE) }));
    assert_eq!(attack.kept(), (99_001, 100));
    assert_eq!(attack.last_sack().0, 999);
    // A message beyond the maximum size is dropped while it is received, and the window opens again.
    let mut attack = Attack::new(SctpOptions { max_receive_message_size: 50_000, ..options });
    let first = FlagsOfData { begins: true, ..MIDDLE };
    attack.send(0..1, |_| (0, DataChunk { payload: PAYLOAD, ..chunk(first) }));
    attack.send(1..1000, |n| (n, DataChunk { payload: PAYLOAD, ..chunk(MIDDLE) }));
    assert_eq!(attack.kept(), (0, 1));
    attack.send(1000..1001, |n| (n, chunk(FlagsOfData { ends: true, ..MIDDLE })));
    assert_eq!(attack.pair.ends[1].poll_event(), Some(Event::MessageTooLong(0)));
    assert_eq!(attack.kept(), (0, 0));
    attack.assert_alive();
}

#[test]
fn fragments_that_cannot_be_completed_are_removed() {
    let mut attack = Attack::new(OPTIONS);
    let first = FlagsOfData { begins: true, ..MIDDLE };
    // First fragments without a last one, and last fragments without a first one, with consecutive numbers.
    attack.send(0..30_000, |n| (n, DataChunk { stream: n as u16 % 7, ssn: n as u16, ..chunk(first) }));
    attack.send(30_000..60_000, |n| (n, DataChunk { ssn: n as u16, ..chunk(MIDDLE) }));
    assert!(attack.kept().1 <= 1, "{:?}", attack.kept());
    // After a gap that is given up.
    attack.send(60_001..64_000, |n| (n, DataChunk { ssn: n as u16, ..chunk(MIDDLE) }));
    let skip = [attack.tsn.wrapping_add(64_000).to_be_bytes(), [0, 0, 0xff, 0xff]].concat();
    let packet = attack.packet().chunk(kind::FORWARD_TSN, 0, &skip);
    attack.strike(packet);
    assert_eq!(attack.kept(), (0, 0));
    attack.assert_alive();
}

#[test]
fn wild_forward_tsns_acknowledgements_and_requests_are_survived() {
    let mut attack = Attack::new(OPTIONS);
    for _ in 0..50 {
        attack.pair.send(1, ordered(1), &[1; 3000]);
    }
    let sent = attack.pair.ends[1].local.tsn;
    for round in 0..2000u32 {
        let gaps: Vec<u8> =
            (0..280u16).flat_map(|n| [n.to_be_bytes(), u16::MAX.to_be_bytes()].concat()).collect();
        let mut sack =
            [sent.wrapping_add(round % 3).wrapping_sub(1), 5_000_000].map(u32::to_be_bytes).concat();
        sack.extend_from_slice(&[1, 24, 0, 0]);
        sack.extend_from_slice(&gaps);
        let packet = attack.packet().chunk(kind::SACK, 0, &sack);
        attack.strike(packet);
        let far = attack.tsn.wrapping_add(round * 1_000_000).to_be_bytes();
        let skipped: Vec<u8> =
            (0..280u16).flat_map(|n| [n.to_be_bytes(), n.to_be_bytes()].concat()).collect();
        let packet = attack.packet().chunk(kind::FORWARD_TSN, 0, &[&far[..], &skipped].concat());
        attack.strike(packet);
        let streams: Vec<u16> = (0..500).map(|n| n + round as u16).collect();
        let request = reset_request(attack.tsn.wrapping_add(round), 0, attack.tsn, &streams);
        let packet = attack.packet().chunk(kind::RE_CONFIG, 0, &request);
        attack.strike(packet);
        let heartbeats =
            (0..CHUNKS).fold(attack.packet(), |packet, _| packet.chunk(kind::HEARTBEAT, 0, &[0, 1, 0, 4]));
        let before = attack.answers.len();
        attack.strike(heartbeats);
        assert!(attack.answers.len() - before <= 1 + 64);
    }
    assert_eq!(attack.pair.ends[1].state(), SctpState::Connected);
}

#[test]
fn unacknowledged_messages_are_bounded_by_number() {
    let mut pair = Pair::connected(OPTIONS);
    pair.loss = 1.0;
    let mut taken = 0;
    while pair.ends[0].send(ordered(taken as u16 % 2000), 53, Bytes::from_static(b"x")).is_ok() {
        taken += 1;
        if taken % 1000 == 0 {
            pair.run(Duration::from_millis(1));
        }
    }
    assert!((OUTGOING_MESSAGES..OUTGOING_MESSAGES + 2048 + 1).contains(&taken), "{taken}");
    pair.loss = 0.0;
    pair.run(Duration::from_secs(120));
    let received: usize = pair.received(1).values().map(Vec::len).sum();
    assert_eq!(received, taken);
}

#[test]
fn answers_of_the_handshake_are_bounded() {
    let mut pair = Pair::new(OPTIONS, 0);
    pair.ends[0].connect(pair.now);
    let init = pair.ends[0].poll_packet(pair.now).expect("an INIT");
    pair.ends[1].connect(pair.now);
    while pair.ends[1].poll_packet(pair.now).is_some() {}
    pair.ends[1].handle_packet(pair.now, &init);
    let answers: Vec<_> = std::iter::from_fn(|| pair.ends[1].poll_packet(pair.now)).collect();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].len() < 3 * init.len(), "{} for {}", answers[0].len(), init.len());
}

#[test]
fn long_message_without_its_first_fragment_arrives_once_that_comes() {
    for len in [262_144usize, 1 << 20] {
        let len32 = len as u32;
        let options =
            SctpOptions { max_send_message_size: len32, max_receive_message_size: len32, ..OPTIONS };
        let mut pair = Pair::connected(options);
        let long: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        // The receive window is opened first.
        pair.send(0, ordered(1), &long);
        pair.run(Duration::from_secs(20));
        pair.forget();
        pair.send(0, ordered(1), &long);
        let first = pair.ends[0].poll_packet(pair.now).expect("DATA");
        pair.run(Duration::from_secs(20));
        assert_eq!(pair.received(1)[&1], vec![long.clone()], "{} bytes are lost", first.len());
    }
}

#[test]
fn thousands_of_streams_and_small_messages_survive_loss() {
    let mut pair = Pair::connected(OPTIONS);
    pair.loss = 0.05;
    for round in 0..4u8 {
        for stream in 0..3000 {
            pair.send(0, ordered(stream), &[round, stream as u8]);
        }
    }
    let unordered = SctpStreamParameters { ordered: false, ..ordered(4000) };
    for number in 0..12_000u16 {
        pair.send(1, unordered, &number.to_be_bytes());
    }
    pair.run(Duration::from_secs(300));
    let received = pair.received(1);
    assert_eq!(received.len(), 3000);
    for (stream, messages) in received {
        let expected: Vec<_> = (0..4).map(|round| vec![round, stream as u8]).collect();
        assert_eq!(messages, expected);
    }
    let mut received = pair.received(0).remove(&4000).unwrap_or_default();
    received.sort();
    let expected: Vec<_> = (0..12_000u16).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(received, expected);
}

#[test]
fn order_of_a_stream_does_not_hold_up_others() {
    let mut attack = Attack::new(OPTIONS);
    let loose = FlagsOfData { unordered: true, ..WHOLE };
    attack.send(1..2, |n| (n, DataChunk { stream: 1, payload: b"1", ..chunk(WHOLE) }));
    attack.send(2..3, |n| (n, DataChunk { stream: 0, ssn: 1, payload: b"held", ..chunk(WHOLE) }));
    attack.send(3..4, |n| (n, DataChunk { stream: 0, payload: b"loose", ..chunk(loose) }));
    let mut delivered = || match attack.pair.ends[1].poll_event()? {
        Event::Message { payload, .. } => Some(payload),
        event => panic!("{event:?}"),
    };
    assert_eq!(std::iter::from_fn(&mut delivered).collect::<Vec<_>>(), ["1", "loose"]);
    attack.send(0..1, |n| (n, DataChunk { payload: b"first", ..chunk(WHOLE) }));
    let mut delivered = || match attack.pair.ends[1].poll_event()? {
        Event::Message { payload, .. } => Some(payload),
        event => panic!("{event:?}"),
    };
    assert_eq!(std::iter::from_fn(&mut delivered).collect::<Vec<_>>(), ["first", "held"]);
}
