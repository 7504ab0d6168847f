//! Data channels both ways.

use std::sync::Arc;

use bytes::Bytes;
use tureen::data_structures::WebRtcMessage;
use tureen::prelude::{DataConsumerOptions, DirectTransportOptions, Router, Transport, WebRtcTransport};
use tureen_client::io::{
    ClientIo, DataConsumeOptions, DataConsumer, DataProduceOptions, DataProducer, MAX_BUFFERED, Message,
    RecvTransport, SendMessageError, SendTransport, TransportError,
};

use crate::setup::*;

struct Transports {
    sender: Arc<Signalling>,
    send: SendTransport,
    recv: RecvTransport,
    server_recv: WebRtcTransport,
    router: Router,
    _io: ClientIo,
}

async fn transports() -> Transports {
    let io = client_io();
    let router = router().await;
    let (first, server_recv) = (server_transport(&router).await, server_transport(&router).await);
    let sender = Signalling::new(&first);
    let send = SendTransport::new(&io, options_of(&first), sender.clone());
    let recv = RecvTransport::new(&io, options_of(&server_recv), Signalling::new(&server_recv));
    Transports { sender, send, recv, server_recv, router, _io: io }
}

impl Transports {
    /// A data consumer of `producer`, at the client and at the server.
    async fn consume(&self, producer: &DataProducer) -> (DataConsumer, tureen::prelude::DataConsumer) {
        let options = DataConsumerOptions::new_sctp(producer.id().parse().unwrap());
        let server = self.server_recv.consume_data(options).await.unwrap();
        let options = DataConsumeOptions {
            id: server.id().to_string(),
            data_producer_id: producer.id().to_owned(),
            sctp_stream_parameters: server.sctp_stream_parameters().unwrap(),
            label: server.label().clone(),
            protocol: server.protocol().clone(),
            app_data: Default::default(),
        };
        (self.recv.consume_data(options).await.unwrap(), server)
    }
}

#[test]
fn messages_of_all_kinds_arrive_in_order() {
    run(async {
        let transports = transports().await;
        let options = DataProduceOptions { label: "chat".into(), ..DataProduceOptions::default() };
        let producer = transports.send.produce_data(options).await.unwrap();
        let (consumer, _server) = transports.consume(&producer).await;
        assert_eq!((consumer.label(), producer.sctp_stream_parameters().ordered), ("chat", true));
        let messages: [Message; 4] =
            ["hello".into(), "".into(), Bytes::from_static(&[0, 255]).into(), Bytes::new().into()];
        for message in messages.clone() {
            producer.send(message).await.unwrap();
        }
        for message in messages {
            assert_eq!(consumer.next_message().await, Some(message));
        }
        assert_eq!(producer.stats().messages, 4);
        assert_eq!(transports.sender.log()[0], "connect");
    });
}

#[test]
fn much_data_waits_for_room_and_arrives_whole() {
    run(async {
        let transports = transports().await;
        let producer = transports.send.produce_data(DataProduceOptions::default()).await.unwrap();
        // A consumer in the process takes all, where one over SCTP drops what its association has no room for.
        let direct =
            transports.router.create_direct_transport(DirectTransportOptions::default()).await.unwrap();
        let options = DataConsumerOptions::new_direct(producer.id().parse().unwrap(), None);
        let consumer = direct.consume_data(options).await.unwrap();
        let (arrived, mut messages) = tokio::sync::mpsc::unbounded_channel();
        let _handler = consumer.on_message(move |message| {
            let WebRtcMessage::Binary(bytes) = message else { panic!("bytes were sent") };
            arrived.send((bytes.len(), bytes[0], bytes[bytes.len() - 1])).unwrap();
        });
        for number in 0..200_u8 {
            producer.send(Bytes::from(vec![number; 50_000])).await.unwrap();
            assert!(producer.buffered_amount() <= MAX_BUFFERED);
        }
        for number in 0..200_u8 {
            assert_eq!(messages.recv().await, Some((50_000, number, number)));
        }
        assert_eq!(producer.stats().bytes, 10_000_000);
    });
}

#[test]
fn limits_of_retransmission_make_a_channel_unordered() {
    run(async {
        let transports = transports().await;
        let options = DataProduceOptions { max_retransmits: Some(0), ..DataProduceOptions::default() };
        let producer = transports.send.produce_data(options.clone()).await.unwrap();
        let parameters = producer.sctp_stream_parameters();
        assert_eq!((parameters.ordered, parameters.max_retransmits), (false, Some(0)));
        let both = DataProduceOptions { max_packet_life_time: Some(9), ..options };
        let error = transports.send.produce_data(both).await.unwrap_err();
        assert_eq!(error.to_string(), "maxPacketLifeTime 9 and maxRetransmits 0 can't both be set");
    });
}

#[test]
fn bad_messages_are_refused_with_the_reason() {
    run(async {
        let transports = transports().await;
        let producer = transports.send.produce_data(DataProduceOptions::default()).await.unwrap();
        let long = Bytes::from(vec![0; 262_145]);
        let error = producer.try_send(long).unwrap_err();
        assert_eq!(error, SendMessageError::TooLong { len: 262_145, max: 262_144 });
        let full = std::iter::repeat_with(|| producer.try_send(Bytes::from(vec![0; 200_000]))).take(10_000);
        let error = full.filter_map(Result::err).next().unwrap();
        assert!(matches!(error, SendMessageError::BufferFull(_)), "{error}");
        producer.close();
        assert_eq!(producer.try_send("x"), Err(SendMessageError::Closed));
        assert_eq!(producer.send("x").await, Err(SendMessageError::Closed));
    });
}

#[test]
fn channel_that_the_server_closes_ends() {
    run(async {
        let transports = transports().await;
        let producer = transports.send.produce_data(DataProduceOptions::default()).await.unwrap();
        let (consumer, server) = transports.consume(&producer).await;
        producer.send("last").await.unwrap();
        assert_eq!(consumer.next_message().await, Some("last".into()));
        drop(server);
        assert_eq!(consumer.next_message().await, None);
        assert!(consumer.closed() && !transports.recv.closed());
    });
}

#[test]
fn transport_without_sctp_has_no_channels() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let server = server_transport(&router).await;
        let mut options = options_of(&server);
        options.sctp_parameters = None;
        let send = SendTransport::new(&io, options, Signalling::new(&server));
        let error = send.produce_data(DataProduceOptions::default()).await.unwrap_err();
        assert!(matches!(error, TransportError::NoSctp), "{error}");
    });
}
