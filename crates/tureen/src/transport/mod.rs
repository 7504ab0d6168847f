//! A connection between an endpoint and a router, for media and data in both directions. Implemented by
//! [`WebRtcTransport`](crate::webrtc_transport::WebRtcTransport),
//! [`PlainTransport`](crate::plain_transport::PlainTransport),
//! [`PipeTransport`](crate::pipe_transport::PipeTransport) and
//! [`DirectTransport`](crate::direct_transport::DirectTransport).

mod base;
mod dump;
mod error;
mod handle;
pub(crate) mod sctp;
mod stats;
mod trace;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use event_listener_primitives::HandlerId;
use tureen_engine::api;

pub(crate) use self::base::{Kind, TransportBase};
pub(crate) use self::dump::transport_dump;
#[doc(hidden)]
pub use self::dump::{RecvRtpHeaderExtensions, RtpListener, SctpListener};
pub use self::error::{ConsumeDataError, ConsumeError, ProduceDataError, ProduceError};
pub(crate) use self::handle::impl_transport;
pub(crate) use self::stats::transport_stat;
pub use self::trace::{TransportTraceEventData, TransportTraceEventType};
use crate::consumer::{Consumer, ConsumerOptions};
use crate::data_consumer::{DataConsumer, DataConsumerOptions};
use crate::data_producer::{DataProducer, DataProducerOptions};
use crate::data_structures::AppData;
use crate::ids::uuid_id;
pub use crate::ortc::{
    ConsumerRtpParametersError, RtpCapabilitiesError, RtpParametersError, RtpParametersMappingError,
};
use crate::producer::{Producer, ProducerOptions};
use crate::router::Router;
use crate::worker::RequestError;

uuid_id!(
    /// [`Transport`] identifier.
    TransportId <=> api::TransportId
);

/// A connection between an endpoint and a router, for media and data in both directions. Implemented by
/// [`WebRtcTransport`](crate::webrtc_transport::WebRtcTransport),
/// [`PlainTransport`](crate::plain_transport::PlainTransport),
/// [`PipeTransport`](crate::pipe_transport::PipeTransport) and
/// [`DirectTransport`](crate::direct_transport::DirectTransport).
///
/// [`TransportGeneric`] has the methods whose types depend on the kind of transport.
#[async_trait]
pub trait Transport: Debug + Send + Sync {
    /// Identifier of the transport.
    #[must_use]
    fn id(&self) -> TransportId;

    /// Router of the transport.
    fn router(&self) -> &Router;

    /// Custom application data.
    #[must_use]
    fn app_data(&self) -> &AppData;

    /// True if the transport is closed.
    #[must_use]
    fn closed(&self) -> bool;

    /// Creates a producer: receives audio or video on the transport.
    ///
    /// A producer keeps its transport open.
    ///
    /// # Errors
    /// The RTP parameters are invalid or unsupported by the router, or the worker refuses them, for instance because
    /// another producer of the transport has the same SSRC.
    async fn produce(&self, producer_options: ProducerOptions) -> Result<Producer, ProduceError>;

    /// Creates a consumer: sends audio or video of a producer on the transport.
    ///
    /// A consumer keeps its transport open.
    ///
    /// Create consumers [`paused`](ConsumerOptions::paused), signal them to the endpoint, and
    /// [`resume`](Consumer::resume) them when it is ready. Otherwise packets may reach the endpoint before it knows
    /// their parameters, and the key frame that it needs to start is lost.
    ///
    /// # Errors
    /// The router has no such producer, or the endpoint's capabilities have no codec of it.
    async fn consume(&self, consumer_options: ConsumerOptions) -> Result<Consumer, ConsumeError>;

    /// Creates a data producer: receives data messages on the transport.
    ///
    /// A data producer keeps its transport open.
    ///
    /// # Errors
    /// The options are not for this kind of transport, or the worker refuses them, for instance because another data
    /// producer of the transport has the same SCTP stream.
    async fn produce_data(
        &self,
        data_producer_options: DataProducerOptions,
    ) -> Result<DataProducer, ProduceDataError>;

    /// Creates a data consumer: sends messages of a data producer on the transport.
    ///
    /// A data consumer keeps its transport open.
    ///
    /// # Errors
    /// The router has no such data producer, or the transport has no SCTP or no free SCTP stream.
    async fn consume_data(
        &self,
        data_consumer_options: DataConsumerOptions,
    ) -> Result<DataConsumer, ConsumeDataError>;

    /// Selects the trace events of the transport, at first none.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn enable_trace_event(&self, types: Vec<TransportTraceEventType>) -> Result<(), RequestError>;

    /// Calls `callback` with each new producer.
    fn on_new_producer(&self, callback: Arc<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId;

    /// Calls `callback` with each new consumer.
    fn on_new_consumer(&self, callback: Arc<dyn Fn(&Consumer) + Send + Sync + 'static>) -> HandlerId;

    /// Calls `callback` with each new data producer.
    fn on_new_data_producer(&self, callback: Arc<dyn Fn(&DataProducer) + Send + Sync + 'static>)
    -> HandlerId;

    /// Calls `callback` with each new data consumer.
    fn on_new_data_consumer(&self, callback: Arc<dyn Fn(&DataConsumer) + Send + Sync + 'static>)
    -> HandlerId;

    /// Calls `callback` with each trace event; see [`Transport::enable_trace_event`].
    fn on_trace(&self, callback: Arc<dyn Fn(&TransportTraceEventData) + Send + Sync + 'static>) -> HandlerId;

    /// Calls `callback` when the router is closed for any reason, and the transport with it.
    fn on_router_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;

    /// Calls `callback` when the transport is closed for any reason; at once if it is closed already.
    fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;
}

/// Methods of a transport whose types depend on its kind.
#[async_trait]
pub trait TransportGeneric: Transport + Clone + 'static {
    /// State of the transport.
    #[doc(hidden)]
    type Dump: Debug + 'static;
    /// Statistics.
    type Stat: Debug + 'static;

    /// Describes the transport.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    async fn dump(&self) -> Result<Self::Dump, RequestError>;

    /// Statistics of the transport, one entry.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn get_stats(&self) -> Result<Vec<Self::Stat>, RequestError>;
}
