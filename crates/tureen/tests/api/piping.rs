//! Pipes between routers.

use std::sync::mpsc;
use std::time::Duration;

use futures_lite::future::{block_on, zip};
use tureen::consumer::ConsumerType;
use tureen::producer::DirectProducer;
use tureen::router::{NewTransport, PipeProducerToRouterError};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn media_codecs() -> RouterOptions {
    RouterOptions::new(vec![opus(), vp8()])
}

/// A router with a transport, and a router of another worker.
async fn two_routers() -> (Router, WebRtcTransport, Router) {
    let (here, there) = (router().await, router().await);
    let transport = here.create_webrtc_transport(transport_options()).await.unwrap();
    (here, transport, there)
}

#[test]
fn piped_producer_is_consumed_in_the_other_router() {
    block_on(async {
        let (here, transport, there) = two_routers().await;
        let mut options = video("0", 1111);
        options.app_data = AppData::new("camera");
        let camera = transport.produce(options).await.unwrap();
        let pair =
            here.pipe_producer_to_router(camera.id(), PipeToRouterOptions::new(there.clone())).await.unwrap();
        assert_eq!(pair.pipe_consumer.r#type(), ConsumerType::Pipe);
        let piped = pair.pipe_producer.into_inner();
        assert_eq!((piped.id(), piped.kind()), (camera.id(), MediaKind::Video));
        assert_eq!(piped.app_data().downcast_ref(), Some(&"camera"));
        assert!(there.can_consume(&camera.id(), &capabilities()));

        let transport = there.create_webrtc_transport(transport_options()).await.unwrap();
        let options = ConsumerOptions::new(camera.id(), capabilities());
        let consumer = transport.consume(options).await.unwrap();
        let (closed, is_closed) = mpsc::channel();
        let _handler = consumer.on_producer_close(move || closed.send(()).unwrap());
        drop(camera);
        is_closed.recv_timeout(PATIENCE).unwrap();
        assert!(piped.closed());
    });
}

#[test]
fn pause_and_resume_are_forwarded_by_the_pipe() {
    block_on(async {
        let (here, transport, there) = two_routers().await;
        let mut options = audio("0", 1111);
        options.paused = true;
        let microphone = transport.produce(options).await.unwrap();
        let options = PipeToRouterOptions::new(there);
        let pair = here.pipe_producer_to_router(microphone.id(), options).await.unwrap();
        let piped = pair.pipe_producer.into_inner();
        assert!(piped.paused());

        let (events, received) = mpsc::channel();
        let paused = events.clone();
        let _handlers = [
            piped.on_resume(move || events.send("resumed").unwrap()),
            piped.on_pause(move || paused.send("paused").unwrap()),
        ];
        microphone.resume().await.unwrap();
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), "resumed");
        assert!(!piped.dump().await.unwrap().paused);
        microphone.pause().await.unwrap();
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), "paused");
        assert!(piped.dump().await.unwrap().paused);
    });
}

#[test]
fn concurrent_pipes_share_their_transports() {
    block_on(async {
        let (here, transport, there) = two_routers().await;
        let [microphone, camera] = [
            transport.produce(audio("0", 1111)).await.unwrap(),
            transport.produce(video("1", 2222)).await.unwrap(),
        ];
        let pipe = |producer: &Producer| {
            here.pipe_producer_to_router(producer.id(), PipeToRouterOptions::new(there.clone()))
        };
        let (first, second) = zip(pipe(&microphone), pipe(&camera)).await;
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.pipe_consumer.transport().id(), second.pipe_consumer.transport().id());
        assert_eq!(there.dump().await.unwrap().transport_ids.len(), 1);
        assert_eq!(here.dump().await.unwrap().transport_ids.len(), 2);
    });
}

#[test]
fn piped_producer_lives_as_long_as_the_original() {
    block_on(async {
        let (here, transport, there) = two_routers().await;
        let microphone = transport.produce(audio("0", 1111)).await.unwrap();
        let options = PipeToRouterOptions::new(there.clone());
        drop(here.pipe_producer_to_router(microphone.id(), options).await.unwrap());
        assert!(there.can_consume(&microphone.id(), &capabilities()));

        let id = microphone.id();
        drop(microphone);
        assert!(!there.can_consume(&id, &capabilities()));
        // The pipe is closed with its last user.
        assert!(there.dump().await.unwrap().transport_ids.is_empty());
        assert_eq!(here.dump().await.unwrap().transport_ids.len(), 1);
    });
}

#[test]
fn within_a_worker_a_producer_is_piped_under_another_id() {
    block_on(async {
        let (here, transport, _) = two_routers().await;
        let there = here.worker().create_router(media_codecs()).await.unwrap();
        let microphone = transport.produce(audio("0", 1111)).await.unwrap();
        let pipe = |keep_id, router: &Router| {
            let mut options = PipeToRouterOptions::new(router.clone());
            options.keep_id = keep_id;
            here.pipe_producer_to_router(microphone.id(), options)
        };
        let error = pipe(true, &here).await.unwrap_err();
        assert!(matches!(error, PipeProducerToRouterError::SameRouter));
        let error = pipe(true, &there).await.unwrap_err();
        assert!(matches!(error, PipeProducerToRouterError::ProduceFailed(_)), "{error}");
        assert!(!microphone.closed());
        assert!(microphone.dump().await.is_ok());
        for router in [&there, &here] {
            let pair = pipe(false, router).await.unwrap();
            let piped = pair.pipe_producer.into_inner();
            assert_ne!(piped.id(), microphone.id());
            assert!(router.can_consume(&piped.id(), &capabilities()));
        }
    });
}

#[test]
fn unknown_producer_is_named() {
    block_on(async {
        let (here, transport, there) = two_routers().await;
        let id = transport.produce(audio("0", 1111)).await.unwrap().id();
        let error = here.pipe_producer_to_router(id, PipeToRouterOptions::new(there)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Producer with id \"{id}\" not found"));
    });
}

#[test]
fn pipe_transports_are_connected_by_hand() {
    block_on(async {
        let (here, there) = (router().await, router().await);
        let mut options = PipeTransportOptions::new(listen_info(None));
        options.enable_srtp = true;
        options.enable_rtx = true;
        let [local, remote] = [
            here.create_pipe_transport(options.clone()).await.unwrap(),
            there.create_pipe_transport(options).await.unwrap(),
        ];
        let keys = remote.srtp_parameters().unwrap();
        assert_eq!(keys.crypto_suite, SrtpCryptoSuite::AeadAes256Gcm);
        let parameters = PipeTransportRemoteParameters {
            ip: remote.tuple().local_address().parse().unwrap(),
            port: remote.tuple().local_port(),
            srtp_parameters: Some(keys),
        };
        local.connect(parameters).await.unwrap();
        assert_eq!(local.tuple().remote_port(), Some(remote.tuple().local_port()));
        let dump = local.dump().await.unwrap();
        assert_eq!((dump.rtx, dump.tuple), (true, local.tuple()));
        let [stat] = &local.get_stats().await.unwrap()[..] else { panic!("one entry") };
        assert_eq!(stat.tuple, local.tuple());
        let weak = local.downgrade();
        drop(local);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn of_two_concurrent_pipes_of_one_producer_one_succeeds() {
    block_on(async {
        let (here, transport, there) = two_routers().await;
        let microphone = transport.produce(audio("0", 1111)).await.unwrap();
        let pipe = || here.pipe_producer_to_router(microphone.id(), PipeToRouterOptions::new(there.clone()));
        let (first, second) = zip(pipe(), pipe()).await;
        let (pair, error) = match (first, second) {
            (Ok(pair), Err(error)) | (Err(error), Ok(pair)) => (pair, error),
            other => panic!("{other:?}"),
        };
        assert!(matches!(error, PipeProducerToRouterError::ProduceFailed(_)), "{error}");
        assert!(pipe().await.is_err(), "nor does a third one");
        let near = pair.pipe_consumer.transport();
        assert_eq!(there.dump().await.unwrap().transport_ids.len(), 1);
        let consumers = here.dump().await.unwrap().map_producer_id_consumer_ids;
        assert_eq!(consumers[&microphone.id()].len(), 1, "what failed has left no consumer");
        assert!(!near.closed() && !pair.pipe_producer.into_inner().closed());
    });
}

/// An audio Producer of the application, and a Consumer of its piped copy in the application.
struct PipedAudio {
    routers: [Router; 2],
    microphone: DirectProducer,
    piped: Producer,
    consumer: Consumer,
}

impl PipedAudio {
    async fn new(routers: [Router; 2], options: impl FnOnce(&mut PipeToRouterOptions)) -> Self {
        let direct = async |router: &Router| {
            router.create_direct_transport(DirectTransportOptions::default()).await.unwrap()
        };
        let [here, there] = &routers;
        let microphone = direct(here).await.produce(audio("0", 1111)).await.unwrap();
        let mut pipe_options = PipeToRouterOptions::new(there.clone());
        options(&mut pipe_options);
        let pair = here.pipe_producer_to_router(microphone.id(), pipe_options).await.unwrap();
        let piped = pair.pipe_producer.into_inner();
        let options = ConsumerOptions::new(piped.id(), capabilities());
        let consumer = direct(there).await.consume(options).await.unwrap();
        let Producer::Direct(microphone) = microphone else { panic!("it is on a direct transport") };
        Self { routers, microphone, piped, consumer }
    }

    /// Sends packets until one arrives and returns its payload.
    fn talk(&self) -> Vec<u8> {
        let (packets, received) = mpsc::sync_channel(1);
        // Fails if the test has ended.
        let _handler = self.consumer.on_rtp(move |packet| drop(packets.try_send(packet.to_vec())));
        let arrived = (0..300).find_map(|sequence_number| {
            self.microphone.send(rtp(sequence_number, 1111)).unwrap();
            received.recv_timeout(Duration::from_millis(100)).ok()
        });
        arrived.expect("a packet in 30 seconds")[12..].to_vec()
    }
}

#[test]
fn piped_packets_arrive_at_the_other_router_without_a_socket() {
    block_on(async {
        let call = PipedAudio::new([router().await, router().await], |_| {}).await;
        assert_eq!(call.talk(), [0xf8, 1, 2, 3]);
        for router in &call.routers {
            let stats = router.worker().net_stats().await.unwrap();
            assert_eq!((stats.send_calls, stats.receive_calls), (0, 0));
        }
        let carried = call.routers[1].worker().net_stats().await.unwrap();
        assert!(carried.datagrams_in > 0, "{carried:?}");
    });
}

#[test]
fn pipe_looks_like_one_over_udp() {
    block_on(async {
        let here = router().await;
        let (pipes, made) = mpsc::channel();
        here.on_new_transport(move |transport| {
            if let NewTransport::Pipe(transport) = transport {
                pipes.send(transport.clone()).unwrap();
            }
        })
        .detach();
        let call = PipedAudio::new([here, router().await], |_| {}).await;
        let near = made.recv().unwrap();
        let tuple = near.tuple();
        assert_eq!((tuple.local_address().as_str(), tuple.protocol()), ("127.0.0.1", Protocol::Udp));
        assert_eq!(near.dump().await.unwrap().tuple, tuple);
        call.talk();
        let [stat] = &near.get_stats().await.unwrap()[..] else { panic!("one entry") };
        assert_eq!(stat.tuple, tuple);
        assert!(stat.rtp_bytes_sent > 0);
    });
}

#[test]
fn encrypted_pipe_carries_media() {
    block_on(async {
        let options = |options: &mut PipeToRouterOptions| options.enable_srtp = true;
        let call = PipedAudio::new([router().await, router().await], options).await;
        assert_eq!(call.talk(), [0xf8, 1, 2, 3]);
    });
}

#[test]
fn pipe_within_a_worker_carries_media() {
    block_on(async {
        let here = router().await;
        let there = here.worker().create_router(media_codecs()).await.unwrap();
        let call = PipedAudio::new([here, there], |options| options.keep_id = false).await;
        assert_eq!(call.talk(), [0xf8, 1, 2, 3]);
    });
}

#[test]
fn score_of_the_piped_producer_falls_with_losses_before_the_pipe() {
    block_on(async {
        let call = PipedAudio::new([router().await, router().await], |_| {}).await;
        let (scores, received) = mpsc::channel();
        // Fails if the test has ended.
        let _handler = call.piped.on_score(move |score| drop(scores.send(score.to_vec())));
        // The first score is reported with the first packet, further ones with reports.
        let score = (0..1000).find_map(|index| {
            call.microphone.send(rtp(2 * index, 1111)).unwrap();
            let scores = received.recv_timeout(Duration::from_millis(20)).ok()?;
            Some(scores[0].score).filter(|&score| score < 10)
        });
        score.expect("a lower score in 20 seconds");
        // The score may have changed in the meantime.
        assert!(call.piped.score()[0].score < 10);
    });
}

#[test]
fn full_pipe_drops_and_counts() {
    block_on(async {
        let worker = |pipe_queue| async move {
            let mut settings = WorkerSettings::default();
            settings.net.pipe_queue = pipe_queue;
            WorkerManager::new().create_worker(settings).await.unwrap()
        };
        let here = worker(1).await.create_router(media_codecs()).await.unwrap();
        let call = PipedAudio::new([here, router().await], |options| options.enable_sctp = false).await;
        call.microphone.send(rtp(0, 1111)).unwrap();
        // This request is handled after the packet.
        let stats = call.routers[0].worker().net_stats().await.unwrap();
        // An RTCP packet may have been dropped too.
        assert!(stats.dropped_send_buffer_full >= 1, "{stats:?}");
        assert_eq!(stats.datagrams_out, 0);
    });
}
