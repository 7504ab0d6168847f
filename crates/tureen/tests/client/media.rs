//! Frames both ways.

use std::sync::Arc;
use std::time::Duration;

use tureen::data_structures::DtlsState;
use tureen::prelude::{MediaKind, Router, WebRtcTransport};
use tureen_client::io::{
    ClientIo, ConnectionState, ConsumeOptions, Consumer, EncodedFrame, FrameRef, ProduceRtpOptions, Producer,
    RecvTransport, SendFrameError, SendTransport, TransportError,
};

use crate::setup::*;

/// A producer and a consumer of it, connected.
struct Pair {
    sender: Arc<Signalling>,
    receiver: Arc<Signalling>,
    send: SendTransport,
    recv: RecvTransport,
    producer: Producer,
    consumer: Consumer,
    _router: Router,
    server_recv: WebRtcTransport,
    _server_consumer: tureen::prelude::Consumer,
}

async fn pair(io: &ClientIo, options: ProduceRtpOptions) -> Pair {
    let router = router().await;
    let (first, second) = (server_transport(&router).await, server_transport(&router).await);
    let (sender, receiver) = (Signalling::new(&first), Signalling::new(&second));
    let send = SendTransport::new(io, options_of(&first), sender.clone());
    let producer = send.produce_rtp(options).await.unwrap();
    let recv = RecvTransport::new(io, options_of(&second), receiver.clone());
    let (server_consumer, options) = server_consumer(&second, producer.id()).await;
    let consumer = recv.consume(options).await.unwrap();
    server_consumer.resume().await.unwrap();
    for (transport, mut states) in
        [(&sender, send.connection_states()), (&receiver, recv.connection_states())]
    {
        states.wait_for(|state| *state == ConnectionState::Connected).await.unwrap();
        transport.logged("Connected").await;
    }
    Pair {
        sender,
        receiver,
        send,
        recv,
        producer,
        consumer,
        _router: router,
        server_recv: second,
        _server_consumer: server_consumer,
    }
}

fn video() -> ProduceRtpOptions {
    ProduceRtpOptions::new(MediaKind::Video, video_parameters("v", vec![video_encoding(1000)]))
}

fn audio() -> ProduceRtpOptions {
    ProduceRtpOptions::new(MediaKind::Audio, audio_parameters("a", 2000))
}

#[test]
fn video_frames_arrive_whole_and_in_order() {
    run(async {
        let io = client_io();
        let pair = pair(&io, video()).await;
        // The server asks for a key frame when its consumer can be served.
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        let _handler = pair.producer.on_key_frame_request(move |encoding| asked.send(encoding).unwrap());
        let mut number = 0;
        let mut send = |key_frame| {
            let data = vp8_frame(number, 3000, key_frame);
            let time = Duration::from_millis(33) * number;
            pair.producer.send_frame(0, EncodedFrame::new(data, time)).unwrap();
            number += 1;
        };
        send(false);
        assert_eq!(asks.recv().await, Some(0));
        send(true);
        for _ in 0..9 {
            send(false);
        }
        for expected in 1..11 {
            let frame = pair.consumer.next_frame().await.unwrap();
            assert_eq!(vp8_number(&frame.data), Some(expected));
            assert_eq!(frame.info.key_frame, expected == 1);
        }
        let stats = pair.producer.stats().await.unwrap();
        assert_eq!((stats.frames, stats.key_frames, stats.frames_refused), (11, 1, 0));
        assert_eq!(stats.encodings[0].packets, 33);
        let stats = pair.consumer.stats().await.unwrap();
        assert_eq!((stats.frames.frames, stats.packets.packets), (10, 30));
    });
}

#[test]
fn audio_frames_go_to_a_sink_on_the_io_thread() {
    run(async {
        let io = client_io();
        let pair = pair(&io, audio()).await;
        let (sink, mut frames) = tokio::sync::mpsc::unbounded_channel();
        let sink = move |frame: &FrameRef<'_>| {
            let thread = std::thread::current().name().unwrap().to_owned();
            sink.send((frame.data.to_vec(), thread)).unwrap();
        };
        pair.consumer.set_sink(Box::new(sink)).await.unwrap();
        assert!(pair.consumer.next_frame().await.is_none(), "frames go to the sink");
        for at in 0..5_u8 {
            let time = Duration::from_millis(20) * u32::from(at);
            pair.producer.send_frame(0, EncodedFrame::new(vec![0xfc, at], time)).unwrap();
        }
        for at in 0..5_u8 {
            assert_eq!(frames.recv().await, Some((vec![0xfc, at], "tureen-io-0".to_owned())));
        }
    });
}

#[test]
fn events_come_in_mediasoup_clients_order() {
    run(async {
        let io = client_io();
        let pair = pair(&io, audio()).await;
        let second = ProduceRtpOptions::new(MediaKind::Audio, audio_parameters("b", 3000));
        let _second = pair.send.produce_rtp(second).await.unwrap();
        let log = pair.sender.log();
        let asked: Vec<_> = log.iter().filter(|line| !line.starts_with("Connect")).collect();
        assert_eq!(asked, ["connect", "produce", "produce"], "{log:?}");
        assert_eq!(log[..2], ["connect", "Connecting"], "{log:?}");
        assert_eq!(pair.receiver.log(), ["connect", "Connecting", "Connected"]);
    });
}

#[test]
fn closing_a_transport_closes_what_is_on_it_and_tells_the_server() {
    run(async {
        let io = client_io();
        let pair = pair(&io, audio()).await;
        let (told, mut dtls_states) = tokio::sync::mpsc::unbounded_channel();
        let _handler = pair.server_recv.on_dtls_state_change(move |state| told.send(state).unwrap());
        pair.recv.close();
        assert!(pair.recv.closed() && pair.consumer.closed() && !pair.producer.closed());
        assert!(pair.consumer.next_frame().await.is_none());
        assert!(matches!(pair.consumer.stats().await, Err(TransportError::Closed)));
        let options = ConsumeOptions::new("1", "2", MediaKind::Audio, audio_parameters("c", 9));
        assert!(matches!(pair.recv.consume(options).await, Err(TransportError::Closed)));
        assert_eq!(pair.receiver.log(), ["connect", "Connecting", "Connected"], "not for our own close");
        while dtls_states.recv().await.expect("the server is told") != DtlsState::Closed {}

        pair.producer.close();
        let frame = EncodedFrame::new(vec![0xfc], Duration::ZERO);
        assert_eq!(pair.producer.send_frame(0, frame), Err(SendFrameError::Closed));
        io.close().await;
        assert!(pair.send.closed());
    });
}
