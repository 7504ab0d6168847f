//! A source of data messages that a router receives on a transport: from an endpoint by SCTP, or from the
//! application.

mod non_closing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener_primitives::{Bag, HandlerId};
use serde::{Deserialize, Serialize};
use tureen_engine::api::{self, DataMessage, DataTransport, Injection, Publication, Request, Response};

pub use self::non_closing::NonClosingDataProducer;
use crate::data_structures::{AppData, WebRtcMessage};
use crate::handles::{handle_by_transport, weak_handle};
use crate::ids::uuid_id;
use crate::lifetime::{Lifetime, WorkerObject, close_with_parent};
use crate::sctp_parameters::SctpStreamParameters;
use crate::transport::Transport;
use crate::worker::{NotificationError, RequestError, Worker};

uuid_id!(
    /// [`DataProducer`] identifier.
    DataProducerId <=> api::DataProducerId
);

/// [`DataProducer`] options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DataProducerOptions {
    pub(crate) id: Option<DataProducerId>,
    pub(crate) sctp_stream_parameters: Option<SctpStreamParameters>,
    /// Label of the data channel. Default empty.
    pub label: String,
    /// Subprotocol of the data channel. Default empty.
    pub protocol: String,
    /// Start without forwarding. Default false.
    pub paused: bool,
    /// Custom application data.
    pub app_data: AppData,
}

impl DataProducerOptions {
    /// Options for a data producer of a given id, as for one that is piped to another router.
    #[must_use]
    pub fn new_pipe_transport(
        data_producer_id: DataProducerId,
        sctp_stream_parameters: SctpStreamParameters,
    ) -> Self {
        Self { id: Some(data_producer_id), ..Self::new_sctp(sctp_stream_parameters) }
    }

    /// Options for messages that come in on an SCTP stream.
    #[must_use]
    pub fn new_sctp(sctp_stream_parameters: SctpStreamParameters) -> Self {
        Self { sctp_stream_parameters: Some(sctp_stream_parameters), ..Self::new_direct() }
    }

    /// Options for messages of the application itself, on a DirectTransport.
    #[must_use]
    pub fn new_direct() -> Self {
        Self {
            id: None,
            sctp_stream_parameters: None,
            label: String::new(),
            protocol: String::new(),
            paused: false,
            app_data: AppData::default(),
        }
    }
}

/// How messages of a data producer come in.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataProducerType {
    /// On an SCTP stream.
    Sctp,
    /// From the application, on a DirectTransport.
    Direct,
}

/// What a data producer is.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct DataProducerDump {
    pub id: DataProducerId,
    pub r#type: DataProducerType,
    pub label: String,
    pub protocol: String,
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    pub paused: bool,
}

impl From<api::DataProducerDump> for DataProducerDump {
    fn from(dump: api::DataProducerDump) -> Self {
        let (r#type, sctp_stream_parameters) = match dump.transport {
            DataTransport::Sctp(parameters) => (DataProducerType::Sctp, Some(parameters)),
            DataTransport::Direct => (DataProducerType::Direct, None),
        };
        Self {
            id: dump.id.into(),
            r#type,
            label: dump.label,
            protocol: dump.protocol,
            sctp_stream_parameters,
            paused: dump.paused,
        }
    }
}

/// Statistics of a data producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DataProducerStat {
    /// Milliseconds of the worker's clock.
    pub timestamp: u64,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Messages that came in.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

impl From<api::DataProducerStats> for DataProducerStat {
    fn from(stats: api::DataProducerStats) -> Self {
        Self {
            timestamp: stats.timestamp_ms,
            label: stats.label,
            protocol: stats.protocol,
            messages_received: stats.messages_received,
            bytes_received: stats.bytes_received,
        }
    }
}

/// Messages that a router receives on a transport, by kind of transport.
#[derive(Clone)]
#[non_exhaustive]
#[must_use = "the data producer is closed when its last handle is dropped"]
pub enum DataProducer {
    /// On a transport that receives from the network.
    Regular(RegularDataProducer),
    /// On a DirectTransport.
    Direct(DirectDataProducer),
}

/// A data producer on a transport that receives from the network.
#[derive(Clone)]
#[must_use = "the data producer is closed when its last handle is dropped"]
pub struct RegularDataProducer {
    inner: Arc<Inner>,
}

/// A data producer on a DirectTransport, whose messages are the application's own.
#[derive(Clone)]
#[must_use = "the data producer is closed when its last handle is dropped"]
pub struct DirectDataProducer {
    inner: Arc<Inner>,
}

struct Inner {
    /// As the worker made it; `paused` is below.
    made: DataProducerDump,
    paused: AtomicBool,
    handlers: Handlers,
    app_data: AppData,
    lifetime: Lifetime,
    transport: Arc<dyn Transport>,
}

#[derive(Default)]
struct Handlers {
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
}

impl DataProducer {
    pub(crate) fn new(made: api::DataProducerDump, app_data: AppData, transport: Arc<dyn Transport>) -> Self {
        let inner = Arc::new(Inner {
            paused: AtomicBool::new(made.paused),
            made: made.into(),
            handlers: Handlers::default(),
            app_data,
            lifetime: Lifetime::default(),
            transport,
        });
        close_with_parent(&inner, |inner| inner, |close| inner.transport.on_close(close));
        Self::of(inner)
    }

    /// Data producer id.
    #[must_use]
    pub fn id(&self) -> DataProducerId {
        self.inner().made.id
    }

    /// The transport that it receives on.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner().transport
    }

    /// How its messages come in.
    #[must_use]
    pub fn r#type(&self) -> DataProducerType {
        self.inner().made.r#type
    }

    /// The SCTP stream that it receives on.
    #[must_use]
    pub fn sctp_stream_parameters(&self) -> Option<SctpStreamParameters> {
        self.inner().made.sctp_stream_parameters
    }

    /// Whether it is paused.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner().paused.load(Ordering::SeqCst)
    }

    /// Label of the data channel.
    #[must_use]
    pub fn label(&self) -> &String {
        &self.inner().made.label
    }

    /// Subprotocol of the data channel.
    #[must_use]
    pub fn protocol(&self) -> &String {
        &self.inner().made.protocol
    }

    /// Custom application data.
    #[must_use]
    pub fn app_data(&self) -> &AppData {
        &self.inner().app_data
    }

    /// Whether it is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.inner().lifetime.closed()
    }

    /// Describes the data producer.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<DataProducerDump, RequestError> {
        match self.request(Request::DumpDataProducer(self.id().into())).await? {
            Response::DataProducerDump(dump) => Ok((*dump).into()),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Statistics, one entry.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get_stats(&self) -> Result<Vec<DataProducerStat>, RequestError> {
        match self.request(Request::DataProducerStats(self.id().into())).await? {
            Response::DataProducerStats(stats) => Ok(vec![stats.into()]),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Stops forwarding. Its data consumers call
    /// [`DataConsumer::on_data_producer_pause`](crate::data_consumer::DataConsumer::on_data_producer_pause).
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn pause(&self) -> Result<(), RequestError> {
        self.request(Request::PauseDataProducer(self.id().into())).await?;
        if !self.inner().paused.swap(true, Ordering::SeqCst) {
            self.inner().handlers.pause.call_simple();
        }
        Ok(())
    }

    /// Forwards again. Its data consumers call
    /// [`DataConsumer::on_data_producer_resume`](crate::data_consumer::DataConsumer::on_data_producer_resume).
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.request(Request::ResumeDataProducer(self.id().into())).await?;
        if self.inner().paused.swap(false, Ordering::SeqCst) {
            self.inner().handlers.resume.call_simple();
        }
        Ok(())
    }

    /// Called when its transport is closed for whatever reason, and the data producer with it.
    pub fn on_transport_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().lifetime.on_parent_close(Box::new(callback))
    }

    /// Called when it is paused.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.pause.add(Arc::new(callback))
    }

    /// Called when it is resumed.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.resume.add(Arc::new(callback))
    }

    /// Called when it is closed for whatever reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().lifetime.on_close(Box::new(callback))
    }

    /// Closes the data producer, whoever else has handles of it. Handles that are left are of a closed object.
    ///
    /// The worker is told at once. The future is done when it has closed it: what belonged to it may be used again.
    /// Dropping the future takes nothing back. Not in the mediasoup crate, where a data producer is closed with its last handle.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner().close_and_wait()
    }

    /// Like [`Self::close`], but does not wait until it is done.
    pub(crate) fn close_now(&self) {
        self.inner().close(true);
    }

    async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.inner().channel().request(request).await
    }
}

impl DirectDataProducer {
    /// Sends a message to the data consumers: with `subchannels` to those only that are subscribed to one of them, with
    /// `required_subchannel` to those only that are subscribed to it, with `ignored_subchannel` to those only that are
    /// not.
    ///
    /// # Errors
    /// The worker is closed, or has too much to do to take it.
    pub fn send(
        &self,
        message: WebRtcMessage<'_>,
        subchannels: Option<Vec<u16>>,
        required_subchannel: Option<u16>,
        ignored_subchannel: Option<u16>,
    ) -> Result<(), NotificationError> {
        let (ppid, payload) = message.into_ppid_and_payload();
        let publication = Publication {
            message: DataMessage { ppid, payload: payload.into_owned() },
            subchannels: subchannels.unwrap_or_default(),
            required_subchannel,
            ignored_subchannel,
        };
        let injection = Injection::Data(self.inner.made.id.into(), publication);
        self.inner.channel().inject(injection).map_err(Into::into)
    }
}

impl Inner {
    fn is_direct(&self) -> bool {
        self.made.r#type == DataProducerType::Direct
    }

    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.made.id)
            .field("type", &self.made.r#type)
            .field("sctp_stream_parameters", &self.made.sctp_stream_parameters)
            .field("label", &self.made.label)
            .field("protocol", &self.made.protocol)
            .field("paused", &self.paused)
            .field("transport", &self.transport)
            .field("closed", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl WorkerObject for Inner {
    fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    fn worker(&self) -> &Worker {
        self.transport.router().worker()
    }

    fn close_request(&self) -> Request {
        Request::CloseDataProducer(self.made.id.into())
    }

    fn withdraw(&self) {
        self.transport.router().remove_data_producer(self.made.id);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(true);
    }
}

handle_by_transport!(DataProducer: RegularDataProducer, DirectDataProducer);

weak_handle! {
    /// A handle of a [`DataProducer`] that does not keep it open.
    WeakDataProducer,
    /// The data producer, if a handle of it is left.
    upgrade to DataProducer
}
