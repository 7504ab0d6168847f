//! Workers, routers and WebRTC servers.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use futures_lite::future::block_on;
use tureen::prelude::*;
use tureen::router::NewTransport;
use tureen::supported_rtp_capabilities::get_supported_rtp_capabilities;
use tureen::worker::{CreateRouterError, WorkerUpdateSettings};

use super::*;

#[test]
fn worker_starts_on_its_own_thread_and_stops() {
    block_on(async {
        let manager = WorkerManager::new();
        let (made, new_workers) = mpsc::channel();
        let _handler = manager.on_new_worker(move |worker| made.send(worker.id()).unwrap());
        let (name, thread_names) = mpsc::channel();
        let mut settings = WorkerSettings::default();
        settings.app_data = AppData::new(7_u32);
        settings.thread_initializer =
            Some(Arc::new(move || name.send(thread::current().name().map(str::to_owned)).unwrap()));
        let worker = manager.create_worker(settings).await.unwrap();

        assert_eq!(new_workers.recv().unwrap(), worker.id());
        assert_eq!(thread_names.recv().unwrap(), Some(format!("tureen-{}", worker.id())));
        assert_eq!(worker.app_data().downcast_ref(), Some(&7_u32));
        assert!(!worker.closed());
        worker.update_settings(WorkerUpdateSettings::default()).await.unwrap();
        let dump = worker.dump().await.unwrap();
        assert!(dump.router_ids.is_empty() && dump.webrtc_server_ids.is_empty());

        let (closed, is_closed) = mpsc::channel();
        worker.on_close(move || closed.send(()).unwrap()).detach();
        worker.on_dead(|_| unreachable!("it was told to end")).detach();
        drop(worker);
        is_closed.try_recv().unwrap();
    });
}

#[test]
fn dropping_the_last_handle_waits_until_sockets_are_closed() {
    block_on(async {
        let worker = worker().await;
        let server = worker.create_webrtc_server(server_options(None)).await.unwrap();
        let port = server.dump().await.unwrap().udp_sockets[0].port;
        drop(worker);
        UdpSocket::bind(("127.0.0.1", port)).unwrap_err();
        drop(server);
        UdpSocket::bind(("127.0.0.1", port)).unwrap();
    });
}

#[test]
fn router_has_the_requested_codecs_and_their_rtx() {
    block_on(async {
        let worker = worker().await;
        let (made, new_routers) = mpsc::channel();
        let _handler = worker.on_new_router(move |router| made.send(router.id()).unwrap());
        let mut options = RouterOptions::new(vec![opus(), vp8()]);
        options.app_data = AppData::new("router");
        let mut router = worker.create_router(options).await.unwrap();
        assert_eq!(new_routers.recv().unwrap(), router.id());
        assert_eq!(router.app_data().downcast_ref(), Some(&"router"));
        assert_eq!(router.worker().id(), worker.id());
        assert_eq!(worker.dump().await.unwrap().router_ids, [router.id()]);
        assert_eq!(router.dump().await.unwrap().id, router.id());

        let mime_types = |router: &Router| -> Vec<_> {
            let codecs = router.rtp_capabilities().codecs;
            codecs.iter().map(|codec| serde_json::to_value(codec).unwrap()["mimeType"].clone()).collect()
        };
        assert_eq!(mime_types(&router), ["audio/opus", "video/VP8", "video/rtx"]);
        router.update_media_codecs(vec![opus()]).unwrap();
        assert_eq!(mime_types(&router), ["audio/opus"]);
        assert!(get_supported_rtp_capabilities().codecs.len() > 3);
    });
}

#[test]
fn contradictory_codecs_are_refused() {
    block_on(async {
        let error = worker().await.create_router(RouterOptions::new(vec![opus(), opus()])).await.unwrap_err();
        assert!(matches!(error, CreateRouterError::FailedRtpCapabilitiesGeneration(_)));
        assert_eq!(
            error.to_string(),
            "RTP capabilities generation error: Duplicated preferred payload type 100"
        );
    });
}

#[test]
fn webrtc_server_holds_its_transports_and_releases_them() {
    block_on(async {
        let router = router().await;
        let worker = router.worker().clone();
        let (made, new_servers) = mpsc::channel();
        let _handler = worker.on_new_webrtc_server(move |server| made.send(server.id()).unwrap());
        let server = worker.create_webrtc_server(server_options(None)).await.unwrap();
        assert_eq!(new_servers.recv().unwrap(), server.id());
        let port = server.dump().await.unwrap().udp_sockets[0].port;

        let seen = Arc::new(Mutex::new(Vec::new()));
        let _handlers = [
            server.on_new_webrtc_transport({
                let seen = Arc::clone(&seen);
                move |transport| seen.lock().unwrap().push(transport.id())
            }),
            router.on_new_transport({
                let seen = Arc::clone(&seen);
                move |transport: NewTransport<'_>| seen.lock().unwrap().push(transport.id())
            }),
        ];
        let options = WebRtcTransportOptions::new_with_server(server.clone());
        let first = router.create_webrtc_transport(options.clone()).await.unwrap();
        let second = router.create_webrtc_transport(options).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [first.id(), first.id(), second.id(), second.id()]);
        assert_eq!(first.ice_candidates()[0].port, port);
        assert_eq!(first.webrtc_server().as_ref().unwrap().id(), server.id());

        let dump = server.dump().await.unwrap();
        assert_eq!(dump.webrtc_transport_ids, [first.id(), second.id()].into_iter().collect());
        let fragment = dump
            .local_ice_username_fragments
            .iter()
            .find(|fragment| fragment.webrtc_transport_id == first.id())
            .unwrap();
        assert_eq!(fragment.local_ice_username_fragment, first.ice_parameters().username_fragment);

        drop(first);
        assert_eq!(server.dump().await.unwrap().webrtc_transport_ids, [second.id()].into_iter().collect());
        drop(second);
        drop(server);
        assert!(worker.dump().await.unwrap().webrtc_server_ids.is_empty());
    });
}

#[test]
fn port_in_use_is_named() {
    block_on(async {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let worker = worker().await;
        let text = worker.create_webrtc_server(server_options(Some(port))).await.unwrap_err().to_string();
        assert!(text.starts_with("Request to worker failed: Received response error: "), "{text}");
        assert!(text.contains("127.0.0.1") && text.contains(&port.to_string()), "{text}");
        assert!(worker.dump().await.unwrap().webrtc_server_ids.is_empty());
    });
}

#[test]
fn full_request_queue_is_an_error_that_names_the_limit() {
    block_on(async {
        let mut settings = WorkerSettings::default();
        settings.queues.requests = 0;
        let worker = WorkerManager::new().create_worker(settings).await.unwrap();
        let error = worker.dump().await.unwrap_err();
        assert_eq!(error.to_string(), "Received response error: the worker has 0 requests waiting already");
    });
}

#[test]
fn futures_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    block_on(async {
        let (router, first, second) = transports().await;
        is_send(&router.create_webrtc_transport(transport_options()));
        is_send(&router.worker().create_router(RouterOptions::default()));
        is_send(&WorkerManager::new().create_worker(WorkerSettings::default()));
        is_send(&second.restart_ice());
        let producer = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap()
            .block_on(async move { tokio::spawn(async move { first.produce(audio("0", 1)).await }).await })
            .unwrap()
            .unwrap();
        assert!(!producer.closed());
    });
}
