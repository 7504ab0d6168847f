//! Servers that fail, handlers that fail, futures and handles that are dropped.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tureen::prelude::{DtlsParameters, IceParameters, MediaKind, TransportGeneric};
use tureen_client::io::{
    BoxError, ClientIo, ClientIoConfig, ConnectionState, EncodedFrame, ProduceRequest, ProduceRtpOptions,
    SendTransport, SendTransportHandler, TransportError, TransportHandler,
};

use crate::setup::*;

fn audio(ssrc: u32) -> ProduceRtpOptions {
    ProduceRtpOptions::new(MediaKind::Audio, audio_parameters(&ssrc.to_string(), ssrc))
}

/// Signalling whose `connect` fails the first time, and whose `produce` never ends.
#[derive(Default)]
struct Failing {
    connects: AtomicUsize,
    produces: AtomicUsize,
}

#[async_trait]
impl TransportHandler for Failing {
    async fn connect(&self, _: DtlsParameters) -> Result<(), BoxError> {
        match self.connects.fetch_add(1, Ordering::Relaxed) {
            0 => Err("the room is gone".into()),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl SendTransportHandler for Failing {
    async fn produce(&self, _: ProduceRequest) -> Result<String, BoxError> {
        match self.produces.fetch_add(1, Ordering::Relaxed) {
            0 => std::future::pending().await,
            1 => Err("no right to speak".into()),
            _ => Ok("7".to_owned()),
        }
    }
}

#[test]
fn failed_and_dropped_requests_leave_nothing_behind() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let options = options_of(&server_transport(&router).await);
        let handler = Arc::new(Failing::default());
        let send = SendTransport::new(&io, options, handler.clone());
        let error = send.produce_rtp(audio(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "the connect handler failed: the room is gone");
        assert_eq!(send.connection_state(), ConnectionState::New);
        // The one with the same SSRC succeeds once those before it have left nothing.
        let waits = tokio::time::timeout(Duration::from_millis(50), send.produce_rtp(audio(1))).await;
        assert!(waits.is_err(), "its handler never answers");
        let error = send.produce_rtp(audio(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "the produce handler failed: no right to speak");
        let producer = send.produce_rtp(audio(1)).await.unwrap();
        assert_eq!((producer.id(), handler.connects.load(Ordering::Relaxed)), ("7", 2));
        let error = send.produce_rtp(audio(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "SSRC 1 is taken");
    });
}

#[test]
fn unusable_parameters_are_named_before_the_application_is_asked() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let server = server_transport(&router).await;
        let signalling = Signalling::new(&server);
        let mut options = options_of(&server);
        options.ice_candidates.clear();
        let send = SendTransport::new(&io, options, signalling.clone());
        let error = send.produce_rtp(audio(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "the server offers no ICE candidate that can be used");
        let mut parameters = audio(1);
        parameters.rtp_parameters.encodings.clear();
        let error = send.produce_rtp(parameters).await.unwrap_err();
        assert_eq!(error.to_string(), "rtpParameters.encodings is empty");
        assert!(signalling.log().is_empty(), "{:?}", signalling.log());
    });
}

#[test]
fn server_that_answers_with_garbage_changes_nothing_and_costs_nothing() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let server = server_transport(&router).await;
        let garbage = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        garbage.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut options = options_of(&server);
        // A candidate of higher priority, whose socket answers nonsense.
        let mut candidate = options.ice_candidates[0].clone();
        candidate.port = garbage.local_addr().unwrap().port();
        candidate.priority += 1;
        options.ice_candidates.push(candidate);
        let send = SendTransport::new(&io, options, Signalling::new(&server));
        let mut states = send.connection_states();
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            let (len, from) = garbage.recv_from(&mut buffer).unwrap();
            for first in 0..=255 {
                let mut answer = buffer[..len].to_vec();
                answer[0] = first;
                garbage.send_to(&answer, from).unwrap();
                garbage.send_to(&[first; 3], from).unwrap();
                garbage.send_to(&[], from).unwrap();
            }
        });
        let producer = send.produce_rtp(audio(1)).await.unwrap();
        states.wait_for(|state| *state == ConnectionState::Connected).await.unwrap();
        answering.join().unwrap();
        producer.send_frame(0, EncodedFrame::new(vec![0xfc], Duration::ZERO)).unwrap();
        let stats = producer.stats().await.unwrap();
        assert_eq!((stats.frames, stats.frames_refused), (1, 0));
        let stats = send.stats().await.unwrap();
        assert_eq!(stats.selected.unwrap().port(), server.ice_candidates()[0].port);
        assert!(stats.datagrams_sent > 0 && stats.datagrams_received > 0);
    });
}

#[test]
fn frames_before_the_connection_are_counted() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let mut options = options_of(&server_transport(&router).await);
        let silent = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        options.ice_candidates[0].port = silent.local_addr().unwrap().port();
        let handler = Failing { connects: AtomicUsize::new(1), produces: AtomicUsize::new(2) };
        let send = SendTransport::new(&io, options, Arc::new(handler));
        let producer = send.produce_rtp(audio(1)).await.unwrap();
        producer.send_frame(0, EncodedFrame::new(vec![0xfc], Duration::ZERO)).unwrap();
        let stats = producer.stats().await.unwrap();
        assert_eq!((stats.frames, stats.frames_refused), (0, 1));
        assert_eq!(stats.last_error.unwrap().to_string(), "the session is not connected");
        assert_eq!(send.connection_state(), ConnectionState::Connecting);
    });
}

#[test]
fn server_that_dies_in_the_call_closes_the_transport() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let server = server_transport(&router).await;
        let signalling = Signalling::new(&server);
        let send = SendTransport::new(&io, options_of(&server), signalling.clone());
        let producer = send.produce_rtp(audio(1)).await.unwrap();
        signalling.logged("Connected").await;
        // Only a server that has finished the handshake can end it by an alert.
        dtls_connected(&server).await;
        server.close().await;
        signalling.logged("Closed").await;
        assert!(producer.closed() && send.closed());
        assert!(matches!(send.produce_rtp(audio(2)).await, Err(TransportError::Closed)));
    });
}

#[test]
fn restarted_ice_connects_again() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let server = server_transport(&router).await;
        let signalling = Signalling::new(&server);
        let send = SendTransport::new(&io, options_of(&server), signalling.clone());
        // Before it has begun to connect, the new parameters replace the old ones.
        let parameters: IceParameters = server.restart_ice().await.unwrap();
        send.restart_ice(parameters).await.unwrap();
        let producer = send.produce_rtp(audio(1)).await.unwrap();
        signalling.logged("Connected").await;
        let before = server.ice_selected_tuple();
        send.restart_ice(server.restart_ice().await.unwrap()).await.unwrap();
        let mut number = 0;
        while server.get_stats().await.unwrap()[0].rtp_bytes_received == 0 {
            number += 1;
            let time = Duration::from_millis(20) * number;
            producer.send_frame(0, EncodedFrame::new(vec![0xfc], time)).unwrap();
        }
        assert_eq!(server.ice_selected_tuple(), before, "the same path");
        assert_eq!(send.connection_state(), ConnectionState::Connected);
    });
}

#[test]
fn a_thousand_transports_come_and_go() {
    run(async {
        let config = ClientIoConfig { threads: 2.try_into().unwrap(), ..ClientIoConfig::default() };
        let (io, router) = (ClientIo::new(config).unwrap(), router().await);
        let options = options_of(&server_transport(&router).await);
        let sockets = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let mut before = 0;
        for round in 0..20 {
            let mut producers = Vec::new();
            for _ in 0..50 {
                let handler = Failing { connects: AtomicUsize::new(1), produces: AtomicUsize::new(2) };
                let send = SendTransport::new(&io, options.clone(), Arc::new(handler));
                producers.push(send.produce_rtp(audio(1)).await.unwrap());
            }
            drop(producers);
            if round == 0 {
                before = sockets();
            }
        }
        assert!(sockets() <= before + 100, "{} descriptors, {before} after the first round", sockets());
        io.close().await;
    });
}

#[test]
fn panicking_callbacks_leave_the_thread_running() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let server = server_transport(&router).await;
        let signalling = Signalling::new(&server);
        let send = SendTransport::new(&io, options_of(&server), signalling.clone());
        let video = ProduceRtpOptions::new(MediaKind::Video, video_parameters("v", vec![video_encoding(5)]));
        let producer = send.produce_rtp(video).await.unwrap();
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        let _handler = producer.on_key_frame_request(move |encoding| {
            asked.send(encoding).unwrap();
            panic!("on purpose");
        });
        signalling.logged("Connected").await;
        let (consumer, _) = server_consumer(&server_transport(&router).await, producer.id()).await;
        let _ = consumer.request_key_frame().await;
        for number in 0..2 {
            let frame = EncodedFrame::new(vp8_frame(number, 100, false), Duration::from_millis(33) * number);
            producer.send_frame(0, frame).unwrap();
        }
        let _ = tokio::time::timeout(Duration::from_secs(5), asks.recv()).await;
        assert_eq!(producer.stats().await.unwrap().frames, 2);
    });
}
