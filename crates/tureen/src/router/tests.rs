//! Closing from above: what only a worker's end does outside of tests.

use std::sync::mpsc;

use futures_lite::future::block_on;

use crate::prelude::*;
use crate::test_support::{Call, listen_info, worker};

#[test]
fn closed_router_closes_all_below_in_place() {
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
        call.router.close();
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
