//! Data producers and data consumers.

use std::borrow::Cow;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use futures_lite::future::block_on;
use tureen::data_consumer::DataConsumerType;
use tureen::transport::{ConsumeDataError, ProduceDataError};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

async fn direct(router: &Router) -> DirectTransport {
    router.create_direct_transport(DirectTransportOptions::default()).await.unwrap()
}

/// A DataProducer of the application.
async fn bot(transport: &DirectTransport) -> (DataProducer, DirectDataProducer) {
    let mut options = DataProducerOptions::new_direct();
    options.label = "chat".to_string();
    options.protocol = "text".to_string();
    let data_producer = transport.produce_data(options).await.unwrap();
    let DataProducer::Direct(bot) = data_producer.clone() else { panic!("{data_producer:?}") };
    (data_producer, bot)
}

fn text(text: &str) -> WebRtcMessage<'_> {
    WebRtcMessage::String(Cow::Borrowed(text.as_bytes()))
}

/// Text messages that a DataConsumer receives.
fn texts(data_consumer: &DataConsumer) -> mpsc::Receiver<String> {
    let (messages, received) = mpsc::channel();
    let messages = Mutex::new(messages);
    let on_message = move |message: &WebRtcMessage<'_>| {
        let WebRtcMessage::String(text) = message else { panic!("{message:?}") };
        // Fails if the test has ended.
        let _ = messages.lock().unwrap().send(String::from_utf8(text.to_vec()).unwrap());
    };
    data_consumer.on_message(on_message).detach();
    received
}

#[test]
fn messages_of_the_application_reach_the_application() {
    block_on(async {
        let router = router().await;
        let transport = direct(&router).await;
        let (data_producer, bot) = bot(&transport).await;
        let subscribe = |subchannels| DataConsumerOptions::new_direct(data_producer.id(), subchannels);
        let all = transport.consume_data(subscribe(None)).await.unwrap();
        let some = transport.consume_data(subscribe(Some(vec![7]))).await.unwrap();
        assert_eq!((all.label().as_str(), all.protocol().as_str()), ("chat", "text"));
        assert_eq!((all.r#type(), all.sctp_stream_parameters()), (DataConsumerType::Direct, None));
        let (all_texts, some_texts) = (texts(&all), texts(&some));

        bot.send(text("for all"), None, None, None).unwrap();
        bot.send(text("for 7"), Some(vec![7]), None, None).unwrap();
        bot.send(text("not for 7"), None, None, Some(7)).unwrap();
        bot.send(text("end"), None, None, None).unwrap();
        let until_end = |texts: &mpsc::Receiver<String>| -> Vec<String> {
            std::iter::from_fn(|| texts.recv_timeout(PATIENCE).ok())
                .take_while(|text| text != "end")
                .collect()
        };
        assert_eq!(until_end(&all_texts), ["for all", "not for 7"]);
        assert_eq!(until_end(&some_texts), ["for all", "for 7"]);

        some.remove_subchannel(7).await.unwrap();
        some.add_subchannel(8).await.unwrap();
        assert_eq!(some.subchannels(), [8]);
        assert_eq!(some.dump().await.unwrap().subchannels, [8]);
        let [stat] = &data_producer.get_stats().await.unwrap()[..] else { panic!("one entry") };
        assert_eq!(stat.messages_received, 4);
        let [stat] = &some.get_stats().await.unwrap()[..] else { panic!("one entry") };
        assert_eq!(stat.messages_sent, 3);
    });
}

#[test]
fn paused_data_producer_pauses_its_consumers() {
    block_on(async {
        let router = router().await;
        let transport = direct(&router).await;
        let (data_producer, _) = bot(&transport).await;
        let options = DataConsumerOptions::new_direct(data_producer.id(), None);
        let data_consumer = transport.consume_data(options).await.unwrap();
        let (events, received) = mpsc::channel();
        let paused = events.clone();
        let _handlers = [
            data_consumer.on_pause(move || paused.send("paused").unwrap()),
            data_consumer.on_resume(move || events.send("resumed").unwrap()),
        ];
        data_producer.pause().await.unwrap();
        assert!(data_producer.paused());
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), "paused");
        assert!(data_consumer.producer_paused() && !data_consumer.paused());
        data_producer.resume().await.unwrap();
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), "resumed");
    });
}

#[test]
fn options_that_do_not_fit_the_transport_are_refused() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let error = transport.produce_data(DataProducerOptions::new_direct()).await.unwrap_err();
        assert!(matches!(error, ProduceDataError::SctpStreamParametersRequired), "{error}");
        let options = DataProducerOptions::new_sctp(SctpStreamParameters::new_ordered(0));
        let error = transport.produce_data(options).await.unwrap_err();
        assert!(matches!(error, ProduceDataError::Request(_)), "there is no SCTP: {error}");
        let id = bot(&direct(&router).await).await.0.id();
        let error = transport.consume_data(DataConsumerOptions::new_sctp(id)).await.unwrap_err();
        assert!(matches!(error, ConsumeDataError::DataProducerNotFound(_)), "{error}");
    });
}

#[test]
fn transport_with_sctp_describes_it() {
    block_on(async {
        let router = router().await;
        let mut options = transport_options();
        options.enable_sctp = true;
        options.max_receive_message_size = 1234;
        let transport = router.create_webrtc_transport(options).await.unwrap();
        let parameters = transport.sctp_parameters().unwrap();
        assert_eq!((parameters.port, parameters.max_receive_message_size), (5000, 1234));
        assert!(parameters.is_data_channel);
        let dump = transport.dump().await.unwrap();
        assert_eq!((dump.sctp_parameters, dump.sctp_state), (Some(parameters), transport.sctp_state()));

        let stream = SctpStreamParameters::new_unordered_with_retransmits(4, 2);
        let produced = transport.produce_data(DataProducerOptions::new_sctp(stream)).await.unwrap();
        assert_eq!(produced.sctp_stream_parameters(), Some(stream));
        let consumed = transport.consume_data(DataConsumerOptions::new_sctp(produced.id())).await.unwrap();
        let expected = SctpStreamParameters::new_unordered_with_retransmits(0, 2);
        assert_eq!(consumed.sctp_stream_parameters(), Some(expected));
        assert_eq!(consumed.get_buffered_amount().await.unwrap(), 0);
        consumed.set_buffered_amount_low_threshold(99).await.unwrap();
        assert_eq!(consumed.dump().await.unwrap().buffered_amount_low_threshold, 99);
    });
}

#[test]
fn piped_messages_arrive_at_the_other_router() {
    block_on(async {
        let (here, there) = (router().await, router().await);
        let (data_producer, bot) = bot(&direct(&here).await).await;
        let pair = here
            .pipe_data_producer_to_router(data_producer.id(), PipeToRouterOptions::new(there.clone()))
            .await
            .unwrap();
        let piped = pair.pipe_data_producer.into_inner();
        assert_eq!((piped.id(), piped.label().as_str()), (data_producer.id(), "chat"));
        let options = DataConsumerOptions::new_direct(piped.id(), None);
        let data_consumer = direct(&there).await.consume_data(options).await.unwrap();
        let texts = texts(&data_consumer);
        // Messages sent before the association is connected may wait or be lost.
        let arrived = std::iter::repeat_with(|| {
            bot.send(text("hello"), None, None, None).unwrap();
            texts.recv_timeout(Duration::from_millis(100))
        });
        assert_eq!(arrived.take(300).find_map(Result::ok).unwrap(), "hello");
    });
}
