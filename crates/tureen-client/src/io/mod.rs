//! Async API of the client, with the names and the order of events of mediasoup-client.
//!
//! [`ClientIo`] owns the I/O threads. A [`SendTransport`] makes [`Producer`]s and [`DataProducer`]s, a
//! [`RecvTransport`] makes [`Consumer`]s and [`DataConsumer`]s; what they ask of the application's signalling is in [`SendTransportHandler`] and [`RecvTransportHandler`]. No runtime
//! is needed: every future here may be awaited by any executor.
//!
//! Each transport is a [`Session`](crate::Session) with a socket of its own, and belongs to one I/O thread. Packets stay
//! there; frames and commands cross threads over bounded queues. Callbacks and [`FrameSink`]s are called on the I/O
//! thread, so that they must neither block nor take long: everything else on that thread waits for them. A callback that
//! panics is logged and not called again.

mod client_io;
mod consumer;
mod data_consumer;
mod data_producer;
mod error;
mod message;
mod peer;
mod producer;
mod sink;
mod sockets;
mod thread;
mod timers;
mod transport;

pub use self::client_io::{ClientIo, ClientIoConfig, ClientIoError};
pub use self::consumer::{ConsumeOptions, Consumer, ConsumerStats};
pub use self::data_consumer::{DataConsumeOptions, DataConsumer};
pub use self::data_producer::{DataProduceOptions, DataProducer, DataProducerStats, MAX_BUFFERED};
pub use self::error::{BoxError, SendFrameError, SendMessageError, TransportError};
pub use self::message::{Message, MessageSink};
pub use self::producer::{EncodedFrame, Producer, ProducerStats};
pub use self::sink::{Frame, FrameRef, FrameSink};
pub use self::transport::{
    ConnectionState, ProduceDataRequest, ProduceRequest, ProduceRtpOptions, RecvTransport,
    RecvTransportHandler, SendTransport, SendTransportHandler, TransportHandler, TransportOptions,
    TransportStats,
};
