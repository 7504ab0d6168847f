//! Producers and consumers.

use std::sync::{Arc, mpsc};

use futures_lite::future::block_on;
use tureen::consumer::{ConsumerRtpStreamStat, ConsumerTraceEventType, ConsumerType};
use tureen::prelude::*;
use tureen::producer::{ProducerTraceEventType, ProducerType};

use super::*;

/// Parameters as the worker stores them: every encoding contains its codec.
fn completed(parameters: &RtpParameters) -> RtpParameters {
    let mut parameters = parameters.clone();
    let first = parameters.codecs[0].payload_type();
    for encoding in &mut parameters.encodings {
        encoding.codec_payload_type.get_or_insert(first);
    }
    parameters
}

#[test]
fn producer_is_mapped_to_the_router() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let (made, new_producers) = mpsc::channel();
        let made = std::sync::Mutex::new(made);
        let _handler = transport
            .on_new_producer(Arc::new(move |producer| made.lock().unwrap().send(producer.id()).unwrap()));
        let mut options = video("VIDEO", 1111);
        options.app_data = AppData::new("camera");
        options.paused = true;
        let producer = transport.produce(options).await.unwrap();
        assert_eq!(new_producers.recv().unwrap(), producer.id());
        assert_eq!(producer.app_data().downcast_ref(), Some(&"camera"));
        assert_eq!((producer.kind(), producer.r#type()), (MediaKind::Video, ProducerType::Simple));
        assert_eq!(producer.transport().id(), transport.id());
        assert!(producer.paused() && !producer.closed() && producer.score().is_empty());

        let codecs = &producer.consumable_rtp_parameters().codecs;
        assert_eq!(codecs.iter().map(RtpCodecParameters::payload_type).collect::<Vec<_>>(), [101, 102]);
        assert_eq!(producer.rtp_parameters().codecs[0].payload_type(), 96);

        let dump = producer.dump().await.unwrap();
        assert_eq!((dump.id, dump.kind, dump.paused), (producer.id(), MediaKind::Video, true));
        assert_eq!(dump.rtp_mapping.codecs[0].mapped_payload_type, 101);
        assert_eq!(dump.rtp_parameters, completed(producer.rtp_parameters()));
        assert!(producer.get_stats().await.unwrap().is_empty(), "nothing came in yet");
        assert_eq!(transport.dump().await.unwrap().producer_ids, [producer.id()]);
        assert!(router.dump().await.unwrap().map_producer_id_consumer_ids.contains_key(&producer.id()));

        producer
            .enable_trace_event(vec![ProducerTraceEventType::SR, ProducerTraceEventType::Pli])
            .await
            .unwrap();
        let traced = producer.dump().await.unwrap().trace_event_types;
        assert_eq!(traced, [ProducerTraceEventType::Pli, ProducerTraceEventType::SR]);
    });
}

#[test]
fn producers_of_a_transport_share_the_first_cname() {
    block_on(async {
        let (_router, first, second) = transports().await;
        let mut options = audio("0", 1);
        options.rtp_parameters.rtcp.cname = Some("alice".to_string());
        let cname = |producer: &Producer| producer.rtp_parameters().rtcp.cname.clone().unwrap();
        let microphone = first.produce(options).await.unwrap();
        let mut options = video("1", 2);
        options.rtp_parameters.rtcp.cname = Some("other".to_string());
        let camera = first.produce(options).await.unwrap();
        assert_eq!((cname(&microphone).as_str(), cname(&camera).as_str()), ("alice", "alice"));

        let microphone = second.produce(audio("0", 3)).await.unwrap();
        let camera = second.produce(video("1", 4)).await.unwrap();
        assert_eq!(cname(&microphone), cname(&camera));
        assert_eq!(cname(&camera).len(), 36, "a random one");
    });
}

#[test]
fn wrong_producers_are_refused() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let _producer = transport.produce(audio("0", 1)).await.unwrap();

        let mut options = video("1", 5);
        options.rtp_parameters.codecs.remove(0);
        let error = transport.produce(options).await.unwrap_err();
        assert_eq!(error.to_string(), "RTP mapping error: Missing media codec found for RTX PT 97");

        let error = transport.produce(audio("1", 1)).await.unwrap_err();
        assert!(matches!(error, ProduceError::Request(_)), "{error}");
        assert!(
            error.to_string().starts_with("Request to worker failed: Received response error: "),
            "{error}"
        );

        let id = "8a2ef8c2-5c33-4d27-9de2-4b1d5a3a4b7e".parse().unwrap();
        let options = |ssrc: u32| {
            let regular = audio(&ssrc.to_string(), ssrc);
            ProducerOptions::new_pipe_transport(id, regular.kind, regular.rtp_parameters)
        };
        let piped = transport.produce(options(8)).await.unwrap();
        assert_eq!(piped.id(), id);
        let error = transport.produce(options(9)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Producer with the same id \"{id}\" already exists"));
        assert_eq!(router.dump().await.unwrap().map_producer_id_consumer_ids.len(), 2);
    });
}

#[test]
fn consumer_has_the_codecs_of_its_endpoint() {
    block_on(async {
        let (router, first, second) = transports().await;
        let producer = first.produce(video("VIDEO", 1111)).await.unwrap();
        assert!(router.can_consume(&producer.id(), &capabilities()));
        let mut options = ConsumerOptions::new(producer.id(), capabilities());
        options.paused = true;
        options.app_data = AppData::new("screen");
        let consumer = second.consume(options).await.unwrap();
        assert_eq!(consumer.app_data().downcast_ref(), Some(&"screen"));
        assert_eq!((consumer.producer_id(), consumer.kind()), (producer.id(), MediaKind::Video));
        assert_eq!(consumer.r#type(), ConsumerType::Simple);
        assert_eq!(consumer.transport().id(), second.id());
        assert!(consumer.paused() && !consumer.producer_paused() && !consumer.closed());
        assert_eq!(
            (consumer.priority(), consumer.preferred_layers(), consumer.current_layers()),
            (1, None, None)
        );

        let parameters = consumer.rtp_parameters();
        assert_eq!(parameters.mid.as_deref(), Some("0"));
        assert_eq!(
            parameters.codecs.iter().map(RtpCodecParameters::payload_type).collect::<Vec<_>>(),
            [101, 102]
        );
        let [encoding] = &parameters.encodings[..] else { panic!("one encoding") };
        assert!(encoding.ssrc.is_some() && encoding.rtx.is_some());

        let dump = consumer.dump().await.unwrap();
        assert_eq!((dump.id, dump.producer_id, dump.paused), (consumer.id(), producer.id(), true));
        assert_eq!(dump.rtp_parameters, completed(parameters));
        let stats = consumer.get_stats().await.unwrap();
        let ConsumerRtpStreamStat::Outbound(stat) = &stats[0] else { panic!("its own stream first") };
        assert_eq!(Some(stat.ssrc), encoding.ssrc);
        let dump = router.dump().await.unwrap();
        assert_eq!(dump.map_consumer_id_producer_id.get(&consumer.id()), Some(&producer.id()));

        consumer.enable_trace_event(vec![ConsumerTraceEventType::Nack]).await.unwrap();
        assert_eq!(consumer.dump().await.unwrap().trace_event_types, [ConsumerTraceEventType::Nack]);
        consumer.request_key_frame().await.unwrap();
        consumer.set_priority(9).await.unwrap();
        assert_eq!(consumer.priority(), 9);
        let error = consumer.set_priority(0).await.unwrap_err();
        assert_eq!(error.to_string(), "Received response error: wrong priority 0, it must be 1 to 255");
        consumer.unset_priority().await.unwrap();
        assert_eq!(consumer.priority(), 1);
    });
}

#[test]
fn mids_count_up_in_each_transport() {
    block_on(async {
        let (_router, first, second) = transports().await;
        let producer = first.produce(audio("0", 1)).await.unwrap();
        let options = ConsumerOptions::new(producer.id(), capabilities());
        let mid = |consumer: &Consumer| consumer.rtp_parameters().mid.clone().unwrap();
        let one = second.consume(options.clone()).await.unwrap();
        let mut named = options.clone();
        named.mid = Some("named".to_string());
        let two = second.consume(named).await.unwrap();
        let three = second.consume(options.clone()).await.unwrap();
        let other = first.consume(options).await.unwrap();
        assert_eq!([mid(&one), mid(&two), mid(&three), mid(&other)], ["0", "named", "1", "0"]);
    });
}

#[test]
fn incompatible_consumers_are_refused() {
    block_on(async {
        let (router, first, second) = transports().await;
        let producer = first.produce(video("0", 1)).await.unwrap();
        let deaf = RtpCapabilities { codecs: vec![opus()], header_extensions: vec![] };
        assert!(!router.can_consume(&producer.id(), &deaf));
        let error = second.consume(ConsumerOptions::new(producer.id(), deaf)).await.unwrap_err();
        assert_eq!(error.to_string(), "Bad consumer RTP parameters: No compatible media codecs");

        let id = producer.id();
        drop(producer);
        assert!(!router.can_consume(&id, &capabilities()));
        let error = second.consume(ConsumerOptions::new(id, capabilities())).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Producer with id \"{id}\" not found"));
    });
}

#[test]
fn pauses_of_producer_and_consumer_are_combined() {
    block_on(async {
        let (_router, first, second) = transports().await;
        let producer = first.produce(audio("0", 1)).await.unwrap();
        let consumer = second.consume(ConsumerOptions::new(producer.id(), capabilities())).await.unwrap();
        let (events, received) = mpsc::channel();
        let send = |event: &'static str| {
            let events = std::sync::Mutex::new(events.clone());
            move || events.lock().unwrap().send(event).unwrap()
        };
        let _handlers = [
            producer.on_pause(send("producer paused")),
            producer.on_resume(send("producer resumed")),
            consumer.on_producer_pause(send("consumer: producer paused")),
            consumer.on_producer_resume(send("consumer: producer resumed")),
            consumer.on_pause(send("consumer paused")),
            consumer.on_resume(send("consumer resumed")),
        ];
        // The dispatcher reports to the consumer about its producer later, but before all following events.
        let expect = |expected: &[&str]| {
            let mut events: Vec<_> = expected.iter().map(|_| received.recv().unwrap()).collect();
            events.sort_unstable();
            assert_eq!(events, expected);
            assert_eq!(received.try_recv().ok(), None);
        };

        producer.pause().await.unwrap();
        expect(&["consumer paused", "consumer: producer paused", "producer paused"]);
        assert!(producer.paused() && consumer.producer_paused() && !consumer.paused());
        consumer.pause().await.unwrap();
        expect(&[]);
        producer.resume().await.unwrap();
        expect(&["consumer: producer resumed", "producer resumed"]);
        assert!(!producer.paused() && !consumer.producer_paused() && consumer.paused());
        consumer.resume().await.unwrap();
        expect(&["consumer resumed"]);
        producer.resume().await.unwrap();
        expect(&[]);
    });
}
