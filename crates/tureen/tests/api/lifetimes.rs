//! Objects that are closed by a drop, and objects that are kept open by others.

use std::sync::mpsc;

use futures_lite::future::{block_on, poll_once};
use tureen::prelude::*;

use super::*;

#[test]
fn dropped_producer_closes_its_consumers() {
    block_on(async {
        let (router, first, second) = transports().await;
        let producer = first.produce(audio("0", 1)).await.unwrap();
        let consumer = second.consume(ConsumerOptions::new(producer.id(), capabilities())).await.unwrap();
        let (events, received) = mpsc::channel();
        let closed = events.clone();
        let _handlers = [
            consumer.on_producer_close(move || events.send("producer closed").unwrap()),
            consumer.on_close(move || closed.send("closed").unwrap()),
        ];
        let weak = producer.downgrade();
        drop(producer);
        assert!(weak.upgrade().is_none());
        assert_eq!(received.recv().unwrap(), "producer closed");
        assert_eq!(received.recv().unwrap(), "closed");
        assert!(consumer.closed());
        assert!(matches!(consumer.pause().await, Err(tureen::worker::RequestError::ChannelClosed)));
        let dump = router.dump().await.unwrap();
        assert!(dump.map_consumer_id_producer_id.is_empty() && dump.map_producer_id_consumer_ids.is_empty());
    });
}

#[test]
fn dropped_consumer_leaves_its_producer() {
    block_on(async {
        let (router, first, second) = transports().await;
        let producer = first.produce(audio("0", 1)).await.unwrap();
        let consumer = second.consume(ConsumerOptions::new(producer.id(), capabilities())).await.unwrap();
        let (closed, is_closed) = mpsc::channel();
        consumer.on_close(move || closed.send(()).unwrap()).detach();
        drop(consumer);
        is_closed.try_recv().unwrap();
        assert!(!producer.closed());
        assert!(router.dump().await.unwrap().map_producer_id_consumer_ids[&producer.id()].is_empty());
    });
}

#[test]
fn children_keep_their_parents_alive() {
    block_on(async {
        let (router, first, second) = transports().await;
        let router_id = router.id();
        let worker_id = router.worker().id();
        let producer = first.produce(audio("0", 1)).await.unwrap();
        let consumer = second.consume(ConsumerOptions::new(producer.id(), capabilities())).await.unwrap();
        let (weak_first, weak_second) = (first.downgrade(), second.downgrade());
        drop((router, first, second));

        assert!(weak_first.upgrade().is_some() && weak_second.upgrade().is_some());
        drop(producer);
        assert!(weak_first.upgrade().is_none(), "nothing needs it any more");
        let transport = consumer.transport();
        assert_eq!(transport.router().id(), router_id);
        assert_eq!(transport.router().worker().id(), worker_id);
        let dump = transport.router().dump().await.unwrap();
        assert_eq!(dump.transport_ids.into_iter().collect::<Vec<_>>(), [transport.id()]);
    });
}

#[test]
fn dropped_transport_is_closed_in_the_worker() {
    block_on(async {
        let router = router().await;
        let transport = router.create_webrtc_transport(transport_options()).await.unwrap();
        let (closed, is_closed) = mpsc::channel();
        transport.on_close(Box::new(move || closed.send(()).unwrap())).detach();
        let clone = transport.clone();
        drop(transport);
        assert!(!clone.closed());
        drop(clone);
        is_closed.try_recv().unwrap();
        assert!(router.dump().await.unwrap().transport_ids.is_empty());
    });
}

#[test]
fn abandoned_creation_leaves_no_object() {
    block_on(async {
        let (router, first, _) = transports().await;
        let before = router.dump().await.unwrap().transport_ids.len();
        for _ in 0..20 {
            assert_unfinished(poll_once(router.create_webrtc_transport(transport_options())).await);
            assert_unfinished(poll_once(first.produce(audio("0", 1))).await);
            assert_unfinished(poll_once(router.worker().create_router(RouterOptions::default())).await);
            assert_unfinished(poll_once(router.worker().create_webrtc_server(server_options(None))).await);
        }
        let dump = router.dump().await.unwrap();
        assert_eq!((dump.transport_ids.len(), dump.map_producer_id_consumer_ids.len()), (before, 0));
        let dump = router.worker().dump().await.unwrap();
        assert_eq!((dump.router_ids.len(), dump.webrtc_server_ids.len()), (1, 0));
    });
}

/// If the worker answers that fast, the handle is dropped, which closes the object too.
fn assert_unfinished<T, E: std::fmt::Debug>(result: Option<Result<T, E>>) {
    if let Some(result) = result {
        drop(result.unwrap());
    }
}

#[test]
fn removed_handler_is_not_called() {
    block_on(async {
        let transport = router().await.create_webrtc_transport(transport_options()).await.unwrap();
        let handler = transport.on_close(Box::new(|| unreachable!("it was removed")));
        drop(handler);
        drop(transport);
    });
}

#[test]
fn closed_producer_frees_its_mid_and_ssrcs_while_handles_exist() {
    block_on(async {
        let (router, first, second) = transports().await;
        let mut producer = first.produce(audio("0", 1)).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..20 {
            let consumer = second.consume(ConsumerOptions::new(producer.id(), capabilities())).await.unwrap();
            let (closed, is_closed) = mpsc::channel();
            consumer.on_close(move || closed.send(()).unwrap()).detach();
            held.push((producer.clone(), consumer));
            producer.close().await;
            assert!(
                producer.closed() && router.dump().await.unwrap().map_producer_id_consumer_ids.is_empty()
            );
            is_closed.recv().unwrap();
            producer = first.produce(audio("0", 1)).await.unwrap();
        }
        assert!(held.iter().all(|(producer, consumer)| producer.closed() && consumer.closed()));
        // Closing a closed object has no effect, in particular not on the object that has replaced it.
        for (producer, consumer) in &held {
            producer.close().await;
            consumer.close().await;
        }
        assert!(!producer.closed());
        producer.get_stats().await.unwrap();
    });
}

#[test]
fn closed_objects_are_removed_while_handles_exist() {
    block_on(async {
        let (router, first, second) = transports().await;
        let producer = first.produce(audio("0", 1)).await.unwrap();
        let consumer = second.consume(ConsumerOptions::new(producer.id(), capabilities())).await.unwrap();
        let _handles = (producer.clone(), consumer.clone(), first.clone(), second.clone(), router.clone());
        let dump = async || router.dump().await.unwrap();

        consumer.close().await;
        assert!(consumer.closed() && !producer.closed());
        assert!(dump().await.map_producer_id_consumer_ids[&producer.id()].is_empty());
        let consumer = second.consume(ConsumerOptions::new(producer.id(), capabilities())).await.unwrap();
        first.close().await;
        assert!(first.closed() && producer.closed());
        assert_eq!(dump().await.transport_ids.into_iter().collect::<Vec<_>>(), [second.id()]);
        assert!(first.produce(audio("0", 1)).await.is_err());
        drop(consumer);

        let worker = router.worker().clone();
        router.close().await;
        assert!(second.closed());
        assert!(worker.dump().await.unwrap().router_ids.is_empty());
    });
}

#[test]
fn closed_data_producer_and_plain_transport_free_their_resources() {
    use tureen::data_consumer::DataConsumerOptions;
    use tureen::data_producer::DataProducerOptions;

    block_on(async {
        let router = router().await;
        let mut options = transport_options();
        options.enable_sctp = true;
        let transport = router.create_webrtc_transport(options).await.unwrap();
        let stream = || DataProducerOptions::new_sctp(SctpStreamParameters::new_ordered(7));
        let first = transport.produce_data(stream()).await.unwrap();
        let consumer = transport.consume_data(DataConsumerOptions::new_sctp(first.id())).await.unwrap();
        consumer.close().await;
        assert!(consumer.closed());
        first.close().await;
        let _again = transport.produce_data(stream()).await.unwrap();
        assert!(first.closed());

        let plain = |port| router.create_plain_transport(PlainTransportOptions::new(listen_info(port)));
        let first = plain(None).await.unwrap();
        let port = first.tuple().local_port();
        assert!(plain(Some(port)).await.is_err());
        first.close().await;
        let second = plain(Some(port)).await.unwrap();
        assert_eq!((first.closed(), second.tuple().local_port()), (true, port));
    });
}
