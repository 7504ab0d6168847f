//! A transport connects an endpoint with a router: [`Producer`]s receive media on it,
//! [`Consumer`]s send.

mod base;
mod handle;
mod stats;
mod trace;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use event_listener_primitives::HandlerId;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tureen_engine::api;
use tureen_rtc::wire::rtp::extensions::ExtensionIds;

pub(crate) use self::base::{Kind, TransportBase};
pub(crate) use self::handle::{impl_sctp_transport, impl_transport};
pub(crate) use self::stats::{transport_dump, transport_stat};
pub use self::trace::{TransportTraceEventData, TransportTraceEventType};
use crate::consumer::{Consumer, ConsumerOptions};
use crate::data_consumer::{DataConsumer, DataConsumerOptions};
use crate::data_producer::{DataProducer, DataProducerId, DataProducerOptions};
use crate::data_structures::AppData;
use crate::ids::uuid_id;
pub use crate::ortc::{
    ConsumerRtpParametersError, RtpCapabilitiesError, RtpParametersError, RtpParametersMappingError,
};
use crate::producer::{Producer, ProducerId, ProducerOptions};
use crate::router::Router;
use crate::worker::RequestError;

uuid_id!(
    /// Transport identifier.
    TransportId <=> api::TransportId
);

/// A connection between an endpoint and a router, for media and data in both directions. Implemented by
/// [`WebRtcTransport`](crate::webrtc_transport::WebRtcTransport),
/// [`PlainTransport`](crate::plain_transport::PlainTransport),
/// [`PipeTransport`](crate::pipe_transport::PipeTransport) and
/// [`DirectTransport`](crate::direct_transport::DirectTransport).
///
/// See [`TransportGeneric`] for methods whose types depend on the transport.
#[async_trait]
pub trait Transport: Debug + Send + Sync {
    /// Transport id.
    #[must_use]
    fn id(&self) -> TransportId;

    /// Its router.
    fn router(&self) -> &Router;

    /// Custom application data.
    #[must_use]
    fn app_data(&self) -> &AppData;

    /// Whether the transport is closed.
    #[must_use]
    fn closed(&self) -> bool;

    /// Receives audio or video on the transport.
    ///
    /// The transport is kept alive by its producers.
    ///
    /// # Errors
    /// The RTP parameters are wrong or don't fit the router, or the worker refuses them, for instance because another
    /// producer of the transport has the same SSRC.
    async fn produce(&self, producer_options: ProducerOptions) -> Result<Producer, ProduceError>;

    /// Sends audio or video of a producer on the transport.
    ///
    /// The transport is kept alive by its consumers.
    ///
    /// Make consumers [`paused`](ConsumerOptions::paused), tell the endpoint of them and
    /// [`resume`](Consumer::resume) them when it is ready. Otherwise packets may reach it before it knows what they
    /// are, and the key frame that it needs to start is lost.
    ///
    /// # Errors
    /// There is no such producer in the router, or its media does not fit the endpoint's capabilities.
    async fn consume(&self, consumer_options: ConsumerOptions) -> Result<Consumer, ConsumeError>;

    /// Receives data messages on the transport.
    ///
    /// The transport is kept alive by its data producers.
    ///
    /// # Errors
    /// The options are not for this kind of transport, or the worker refuses them, for instance because another data
    /// producer of the transport has the same SCTP stream.
    async fn produce_data(
        &self,
        data_producer_options: DataProducerOptions,
    ) -> Result<DataProducer, ProduceDataError>;

    /// Sends messages of a data producer on the transport.
    ///
    /// The transport is kept alive by its data consumers.
    ///
    /// # Errors
    /// There is no such data producer in the router, no SCTP stream left, or no SCTP on the transport.
    async fn consume_data(
        &self,
        data_consumer_options: DataConsumerOptions,
    ) -> Result<DataConsumer, ConsumeDataError>;

    /// Chooses the trace events of the transport. None of them at first.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn enable_trace_event(&self, types: Vec<TransportTraceEventType>) -> Result<(), RequestError>;

    /// Called with each new producer.
    fn on_new_producer(&self, callback: Arc<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId;

    /// Called with each new consumer.
    fn on_new_consumer(&self, callback: Arc<dyn Fn(&Consumer) + Send + Sync + 'static>) -> HandlerId;

    /// Called with each new data producer.
    fn on_new_data_producer(&self, callback: Arc<dyn Fn(&DataProducer) + Send + Sync + 'static>)
    -> HandlerId;

    /// Called with each new data consumer.
    fn on_new_data_consumer(&self, callback: Arc<dyn Fn(&DataConsumer) + Send + Sync + 'static>)
    -> HandlerId;

    /// Called with each trace event; see [`Transport::enable_trace_event`].
    fn on_trace(&self, callback: Arc<dyn Fn(&TransportTraceEventData) + Send + Sync + 'static>) -> HandlerId;

    /// Called when its router is closed for whatever reason, and the transport with it.
    fn on_router_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;

    /// Called when the transport is closed for whatever reason; at once if it is closed already.
    fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;
}

/// Methods of transports whose types depend on the transport.
#[async_trait]
pub trait TransportGeneric: Transport + Clone + 'static {
    /// What the transport holds.
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

/// Why [`Transport::produce`] failed.
#[derive(Debug, Error)]
pub enum ProduceError {
    /// The router has a producer with this id.
    #[error("Producer with the same id \"{0}\" already exists")]
    AlreadyExists(ProducerId),
    /// The RTP parameters contradict themselves.
    #[error("Incorrect RTP parameters: {0}")]
    IncorrectRtpParameters(RtpParametersError),
    /// The RTP parameters don't fit the router.
    #[error("RTP mapping error: {0}")]
    FailedRtpParametersMapping(RtpParametersMappingError),
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Why [`Transport::consume`] failed.
#[derive(Debug, Error)]
pub enum ConsumeError {
    /// The router has no such producer.
    #[error("Producer with id \"{0}\" not found")]
    ProducerNotFound(ProducerId),
    /// The RTP capabilities contradict themselves.
    #[error("RTP capabilities error: {0}")]
    FailedRtpCapabilitiesValidation(RtpCapabilitiesError),
    /// The producer's media does not fit the RTP capabilities.
    #[error("Bad consumer RTP parameters: {0}")]
    BadConsumerRtpParameters(ConsumerRtpParametersError),
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Why [`Transport::produce_data`] failed.
#[derive(Debug, Error)]
pub enum ProduceDataError {
    /// The router has a data producer with this id.
    #[error("Data producer with the same id \"{0}\" already exists")]
    AlreadyExists(DataProducerId),
    /// The options name no SCTP stream.
    #[error("SCTP stream parameters are required for this transport")]
    SctpStreamParametersRequired,
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Why [`Transport::consume_data`] failed.
#[derive(Debug, Error)]
pub enum ConsumeDataError {
    /// The router has no such data producer.
    #[error("Data producer with id \"{0}\" not found")]
    DataProducerNotFound(DataProducerId),
    /// Every SCTP stream of the transport is taken.
    #[error("No free sctp_stream_id available in transport")]
    NoSctpStreamId,
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// How incoming packets find their producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtpListener {
    /// By MID.
    pub mid_table: Vec<(String, ProducerId)>,
    /// By RID.
    pub rid_table: Vec<(String, ProducerId)>,
    /// By SSRC.
    pub ssrc_table: Vec<(u32, ProducerId)>,
}

impl From<api::RtpListenerDump> for RtpListener {
    fn from(dump: api::RtpListenerDump) -> Self {
        fn entries<Key>(table: Vec<(Key, api::ProducerId)>) -> Vec<(Key, ProducerId)> {
            table.into_iter().map(|(key, producer_id)| (key, producer_id.into())).collect()
        }
        Self {
            mid_table: entries(dump.mid_table),
            rid_table: entries(dump.rid_table),
            ssrc_table: entries(dump.ssrc_table),
        }
    }
}

/// How incoming messages find their data producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct SctpListener {
    stream_id_table: Vec<(u16, DataProducerId)>,
}

impl From<Vec<(u16, api::DataProducerId)>> for SctpListener {
    fn from(streams: Vec<(u16, api::DataProducerId)>) -> Self {
        let stream_id_table = streams.into_iter().map(|(stream, id)| (stream, id.into())).collect();
        Self { stream_id_table }
    }
}

/// Header extensions that a transport reads, and their ids.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RecvRtpHeaderExtensions {
    mid: Option<u8>,
    rid: Option<u8>,
    rrid: Option<u8>,
    abs_send_time: Option<u8>,
    transport_wide_cc01: Option<u8>,
}

impl From<ExtensionIds> for RecvRtpHeaderExtensions {
    fn from(ids: ExtensionIds) -> Self {
        Self {
            mid: ids.mid.map(Into::into),
            rid: ids.rid.map(Into::into),
            rrid: ids.repaired_rid.map(Into::into),
            abs_send_time: ids.abs_send_time.map(Into::into),
            transport_wide_cc01: ids.transport_wide_cc.map(Into::into),
        }
    }
}
