//! Tests against another implementation: `dcsctp`, a port of Chromium's.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dcsctp::api::{
    DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketState, SocketTime, StreamId,
    ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS,
};

use super::tests::OPTIONS;
use super::{Event, Sctp, SctpState};
use tureen_types::sctp_parameters::SctpStreamParameters;

/// Time between two steps, which is also the delay of packets.
const STEP: Duration = Duration::from_millis(5);

struct Pair {
    start: Instant,
    now: Instant,
    ours: Sctp,
    theirs: Box<dyn DcSctpSocket>,
    /// Packets in flight: to Tureen, to `dcsctp`.
    flying: [Vec<Bytes>; 2],
    events: Vec<Event>,
    /// Messages that `dcsctp` received: stream, PPID, message.
    received: Vec<(u16, u32, Vec<u8>)>,
    their_resets: Vec<u16>,
    sent: usize,
    /// Every `loss`-th packet is lost; 0 loses none.
    loss: usize,
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
    fn new() -> Self {
        let options = Options {
            // As in Chromium.
            zero_checksum_alternate_error_detection_method:
                ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS,
            enable_message_interleaving: true,
            ..Options::default()
        };
        let start = Instant::now();
        Self {
            start,
            now: start,
            ours: Sctp::new(OPTIONS, &[1; 32], start),
            theirs: dcsctp::new_socket("theirs", &options),
            flying: [Vec::new(), Vec::new()],
            events: Vec::new(),
            received: Vec::new(),
            their_resets: Vec::new(),
            sent: 0,
            loss: 0,
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.ours.connect(pair.now);
        pair.theirs.connect();
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.ours.state(), SctpState::Connected);
        assert_eq!(pair.theirs.state(), SocketState::Connected);
        pair.events.clear();
        pair
    }

    fn fly(&mut self, to: usize, packet: Bytes) {
        self.sent += 1;
        if self.loss == 0 || !self.sent.is_multiple_of(self.loss) {
            self.flying[to].push(packet);
        }
    }

    fn drain(&mut self) {
        while let Some(packet) = self.ours.poll_packet(self.now) {
            self.fly(1, packet);
        }
        while let Some(event) = self.ours.poll_event() {
            self.events.push(event);
        }
        while let Some(event) = self.theirs.poll_event() {
            match event {
                SocketEvent::SendPacket(packet) => self.fly(0, packet.into()),
                SocketEvent::OnIncomingStreamReset(streams) => {
                    // RFC 8831 §6.7, as in libwebrtc.
                    self.theirs.reset_streams(&streams).expect("resets are supported");
                    self.their_resets.extend(streams.iter().map(|stream| stream.0));
                }
                SocketEvent::OnAborted(kind, text) => panic!("{kind:?}: {text}"),
                _ => {}
            }
        }
        while let Some(message) = self.theirs.get_next_message() {
            self.received.push((message.stream_id.0, message.ppid.0, message.payload));
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.drain();
            self.now += STEP;
            let [to_us, to_them] = std::mem::take(&mut self.flying);
            self.theirs.advance_time(SocketTime::zero() + (self.now - self.start));
            for packet in to_us {
                self.ours.handle_packet(self.now, &packet);
            }
            for packet in to_them {
                self.theirs.handle_input(&packet);
            }
            if self.ours.poll_timeout().is_some_and(|at| at <= self.now) {
                self.ours.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn send(&mut self, parameters: SctpStreamParameters, text: &[u8]) {
        self.ours.send(parameters, 51, Bytes::copy_from_slice(text)).expect("there is room");
    }

    fn they_send(&mut self, stream: u16, text: &[u8], options: &SendOptions) {
        let message = Message::new(StreamId(stream), PpId(51), text.to_vec());
        self.theirs.send(message, options).expect("there is room");
    }

    fn our_messages(&self) -> Vec<(u16, Vec<u8>)> {
        let message = |event: &Event| match event {
            Event::Message { stream, payload, .. } => Some((*stream, payload.to_vec())),
            _ => None,
        };
        self.events.iter().filter_map(message).collect()
    }
}

fn ordered(stream: u16) -> SctpStreamParameters {
    SctpStreamParameters::new_ordered(stream)
}

#[test]
fn either_side_or_both_may_connect() {
    for (we, they) in [(true, false), (false, true), (true, true)] {
        let mut pair = Pair::new();
        if we {
            pair.ours.connect(pair.now);
        }
        if they {
            pair.theirs.connect();
        }
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.ours.state(), SctpState::Connected, "we {we}, they {they}");
        assert_eq!(pair.theirs.state(), SocketState::Connected, "we {we}, they {they}");
        pair.send(ordered(1), b"from us");
        pair.they_send(1, b"from them", &SendOptions::default());
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.received, [(1, 51, b"from us".to_vec())]);
        assert_eq!(pair.our_messages(), [(1, b"from them".to_vec())]);
    }
}

#[test]
fn long_messages_survive_loss_in_both_directions() {
    let mut pair = Pair::connected();
    pair.loss = 23;
    let long: Vec<u8> = (0..200_000u32).map(|at| (at % 249) as u8).collect();
    for _ in 0..3 {
        pair.send(ordered(1), &long);
        pair.they_send(2, &long, &SendOptions::default());
    }
    pair.run(Duration::from_secs(120));
    assert_eq!(pair.received.len(), 3);
    assert!(pair.received.iter().all(|(_, _, message)| *message == long));
    assert_eq!(pair.our_messages(), vec![(2, long); 3]);
}

#[test]
fn unreliable_messages_are_given_up_in_both_directions() {
    let mut pair = Pair::connected();
    pair.loss = 1;
    let options = SendOptions { unordered: true, max_retransmissions: Some(0), ..SendOptions::default() };
    pair.send(SctpStreamParameters::new_unordered_with_retransmits(1, 0), b"lost");
    pair.they_send(2, b"lost", &options);
    pair.run(Duration::from_millis(100));
    pair.loss = 0;
    pair.run(Duration::from_secs(5));
    pair.send(ordered(3), b"here");
    pair.they_send(4, b"here", &SendOptions::default());
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.received, [(3, 51, b"here".to_vec())]);
    assert_eq!(pair.our_messages(), [(4, b"here".to_vec())]);
}

#[test]
fn streams_are_reset_by_either_side_and_used_again() {
    let mut pair = Pair::connected();
    for round in 0..4u8 {
        pair.ours.open_stream(5);
        pair.send(ordered(5), &[round, 1]);
        pair.they_send(5, &[round, 2], &SendOptions::default());
        pair.run(Duration::from_secs(1));
        if round % 2 == 0 {
            pair.ours.reset_stream(pair.now, 5);
        } else {
            pair.theirs.reset_streams(&[StreamId(5)]).expect("resets are supported");
        }
        pair.run(Duration::from_secs(3));
        assert!(pair.their_resets.contains(&5), "round {round}");
        assert!(pair.events.contains(&Event::StreamReset(5)), "round {round}");
        assert_eq!(pair.received.last(), Some(&(5, 51, vec![round, 1])));
        assert_eq!(pair.our_messages(), [(5, vec![round, 2])]);
        pair.events.clear();
        pair.their_resets.clear();
    }
}

#[test]
fn either_side_ends_it() {
    let mut pair = Pair::connected();
    pair.theirs.close();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.events, [Event::State(SctpState::Closed)]);
    let mut pair = Pair::connected();
    pair.theirs.shutdown();
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.theirs.state(), SocketState::Closed);
    assert_eq!(pair.events, [Event::State(SctpState::Closed)]);
}

#[test]
fn small_messages_on_many_streams_survive_loss_in_both_directions() {
    let mut pair = Pair::connected();
    pair.loss = 11;
    for round in 0..4u8 {
        for stream in 0..500 {
            pair.send(ordered(stream), &[round, stream as u8]);
            pair.they_send(stream, &[round, stream as u8], &SendOptions::default());
        }
        pair.run(Duration::from_millis(20));
    }
    pair.run(Duration::from_secs(120));
    for stream in 0..500u16 {
        let expected: Vec<_> = (0..4).map(|round| vec![round, stream as u8]).collect();
        let ours = pair.our_messages().into_iter().filter(|message| message.0 == stream);
        assert_eq!(ours.map(|message| message.1).collect::<Vec<_>>(), expected, "stream {stream}");
        let theirs = pair.received.iter().filter(|message| message.0 == stream);
        assert_eq!(theirs.map(|message| message.2.clone()).collect::<Vec<_>>(), expected, "stream {stream}");
    }
}

#[test]
fn messages_that_are_given_up_do_not_stop_reliable_ones() {
    for loss in [2, 3, 5, 7] {
        let mut pair = Pair::connected();
        pair.loss = loss;
        let long: Vec<u8> = (0..20_000u32).map(|at| (at % 249) as u8).collect();
        let retries = SctpStreamParameters::new_unordered_with_retransmits(1, 0);
        let life_time = SctpStreamParameters::new_unordered_with_life_time(2, 50);
        let their_retries =
            SendOptions { unordered: true, max_retransmissions: Some(0), ..SendOptions::default() };
        let their_life_time = SendOptions {
            unordered: true,
            lifetime: Some(Duration::from_millis(50)),
            ..SendOptions::default()
        };
        for number in 0..40u8 {
            pair.send(retries, &long);
            pair.send(life_time, &long);
            pair.send(ordered(3), &[number]);
            pair.they_send(1, &long, &their_retries);
            pair.they_send(2, &long, &their_life_time);
            pair.they_send(3, &[number], &SendOptions::default());
            pair.run(Duration::from_millis(100));
        }
        pair.loss = 0;
        pair.run(Duration::from_secs(200));
        let expected: Vec<_> = (0..40u8).map(|number| vec![number]).collect();
        let ours: Vec<_> = pair.our_messages().into_iter().filter(|message| message.0 == 3).collect();
        assert_eq!(ours.into_iter().map(|message| message.1).collect::<Vec<_>>(), expected, "loss {loss}");
        let theirs = pair.received.iter().filter(|message| message.0 == 3);
        assert_eq!(theirs.map(|message| message.2.clone()).collect::<Vec<_>>(), expected, "loss {loss}");
        // Messages on the other streams are whole or missing.
        assert!(pair.received.iter().all(|message| message.0 == 3 || message.2 == long), "loss {loss}");
        assert!(pair.our_messages().iter().all(|message| message.0 == 3 || message.1 == long), "loss {loss}");
    }
}
