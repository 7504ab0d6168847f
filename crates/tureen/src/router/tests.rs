//! Events that cannot be caused through the API: closes by the worker, events of media.

use std::sync::{Mutex, mpsc};

use futures_lite::future::block_on;
use tureen_engine::api::RtpObserverEvent;

use crate::prelude::*;
use crate::test_support::{Call, audio_producer, listen_info, opus, worker};
use crate::worker::NotificationError;

#[test]
fn closed_router_closes_all_its_objects_at_once() {
    block_on(async {
        let call = Call::new().await;
        let (events, received) = mpsc::channel();
        let send = |event: &'static str| {
            let events = events.clone();
            move || events.send(event).unwrap()
        };
        let _handlers = [
            call.transports[0].on_router_close(Box::new(send("transport: router closed"))),
            call.transports[0].on_close(Box::new(send("transport closed"))),
            call.producer.on_transport_close(send("producer: transport closed")),
            call.producer.on_close(send("producer closed")),
            call.consumer.on_transport_close(send("consumer: transport closed")),
            call.consumer.on_close(send("consumer closed")),
            call.consumer.on_producer_close(send("consumer: producer closed")),
        ];
        drop(call.router.close());
        let mut events: Vec<_> = received.try_iter().collect();
        events.sort_unstable();
        assert_eq!(
            events,
            [
                "consumer closed",
                "consumer: transport closed",
                "producer closed",
                "producer: transport closed",
                "transport closed",
                "transport: router closed",
            ]
        );
        assert!(call.router.closed() && call.transports[0].closed());
        assert!(call.producer.closed() && call.consumer.closed());
        assert!(call.worker.dump().await.unwrap().router_ids.is_empty());
        let error = call.producer.pause().await.unwrap_err();
        assert_eq!(error.to_string(), "Channel already closed");
    });
}

#[test]
fn closed_router_closes_its_observers() {
    block_on(async {
        let router = worker().await.create_router(RouterOptions::default()).await.unwrap();
        let options = AudioLevelObserverOptions::default();
        let observer = router.create_audio_level_observer(options).await.unwrap();
        let (events, received) = mpsc::channel();
        let closed = events.clone();
        let _handlers = [
            observer.on_router_close(Box::new(move || events.send("router closed").unwrap())),
            observer.on_close(Box::new(move || closed.send("closed").unwrap())),
        ];
        drop(router.close());
        assert_eq!(received.try_iter().collect::<Vec<_>>(), ["router closed", "closed"]);
        assert!(observer.closed());
        let error = observer.pause().await.unwrap_err();
        assert_eq!(error.to_string(), "Channel already closed");
    });
}

#[test]
fn observer_reports_only_open_producers() {
    block_on(async {
        let call = Call::new().await;
        let options = AudioLevelObserverOptions::default();
        let observer = call.router.create_audio_level_observer(options).await.unwrap();
        let (events, received) = mpsc::channel();
        let (volumes, silence) = (Mutex::new(events.clone()), Mutex::new(events));
        let named = move |loud: &[AudioLevelObserverVolume]| {
            let loud = loud.iter().map(|loud| (loud.producer.id(), loud.volume)).collect();
            volumes.lock().unwrap().send(Some(loud)).unwrap();
        };
        let _handlers = [
            observer.on_volumes(named),
            observer.on_silence(move || silence.lock().unwrap().send(None::<Vec<_>>).unwrap()),
        ];
        let loud = call.producer.id();
        let gone = "8a2ef8c2-5c33-4d27-9de2-4b1d5a3a4b7e";
        let sink = observer.sink().upgrade().unwrap();
        sink.on_event(RtpObserverEvent::Volumes(vec![(gone.into(), -10), (loud.into(), -20)]));
        sink.on_event(RtpObserverEvent::Volumes(vec![(gone.into(), -10)]));
        sink.on_event(RtpObserverEvent::Silence);
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [Some(vec![(loud, -20)]), None]);
    });
}

#[test]
fn closed_worker_closes_router_and_webrtc_server() {
    block_on(async {
        let worker = worker().await;
        let router = worker.create_router(RouterOptions::default()).await.unwrap();
        let options = WebRtcServerOptions::new(WebRtcServerListenInfos::new(listen_info(None)));
        let webrtc_server = worker.create_webrtc_server(options).await.unwrap();
        let (events, received) = mpsc::channel();
        let send = |event: &'static str| {
            let events = events.clone();
            move || events.send(event).unwrap()
        };
        let _handlers = [
            router.on_worker_close(send("router: worker closed")),
            router.on_close(send("router closed")),
            webrtc_server.on_worker_close(send("server: worker closed")),
            webrtc_server.on_close(send("server closed")),
        ];
        worker.close();
        let mut events: Vec<_> = received.try_iter().collect();
        events.sort_unstable();
        assert_eq!(
            events,
            ["router closed", "router: worker closed", "server closed", "server: worker closed"]
        );
        assert!(router.closed() && webrtc_server.closed());
    });
}

#[test]
fn closed_webrtc_server_closes_its_transports() {
    block_on(async {
        let worker = worker().await;
        let router = worker.create_router(RouterOptions::default()).await.unwrap();
        let options = WebRtcServerOptions::new(WebRtcServerListenInfos::new(listen_info(None)));
        let webrtc_server = worker.create_webrtc_server(options).await.unwrap();
        let options = WebRtcTransportOptions::new_with_server(webrtc_server.clone());
        let transport = router.create_webrtc_transport(options).await.unwrap();
        let (events, received) = mpsc::channel();
        let _handler = transport.on_webrtc_server_close(Box::new(move || events.send(()).unwrap()));
        webrtc_server.close();
        received.try_recv().unwrap();
        assert!(transport.closed());
        assert!(router.dump().await.unwrap().transport_ids.is_empty());
    });
}

#[test]
fn closed_worker_accepts_no_packets() {
    block_on(async {
        let router = worker().await.create_router(RouterOptions::new(opus())).await.unwrap();
        let transport = router.create_direct_transport(DirectTransportOptions::default()).await.unwrap();
        let producer = transport.produce(audio_producer()).await.unwrap();
        let Producer::Direct(producer) = producer else { panic!("it is on a direct transport") };
        router.worker().close();
        router.dump().await.expect_err("the thread is about to end");
        assert_eq!(producer.send(vec![0; 12]), Err(NotificationError::ChannelClosed));
        assert_eq!(transport.send_rtcp(vec![]), Err(NotificationError::ChannelClosed));
    });
}

#[test]
fn pipe_is_created_again_after_the_other_router_was_closed() {
    block_on(async {
        let call = Call::new().await;
        let another = async || worker().await.create_router(RouterOptions::new(opus())).await.unwrap();
        let there = another().await;
        let options = PipeToRouterOptions::new(there.clone());
        let pair = call.router.pipe_producer_to_router(call.producer.id(), options).await.unwrap();
        let (closed, is_closed) = mpsc::channel();
        let _handler = pair.pipe_consumer.on_close(move || closed.send(()).unwrap());
        let piped = pair.pipe_producer.into_inner();
        drop(pair.pipe_consumer);
        drop(there.close());
        is_closed.try_recv().expect("it has nobody to send to");
        assert!(piped.closed() && !call.producer.closed());

        for there in [another().await, there] {
            let closed = there.closed();
            let options = PipeToRouterOptions::new(there);
            let pair = call.router.pipe_producer_to_router(call.producer.id(), options).await;
            assert_eq!(pair.is_err(), closed);
        }
    });
}
