//! A source of data messages that a router receives on a transport: from an endpoint by SCTP, or from the application.

mod non_closing;
mod options;
mod stats;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener_primitives::{Bag, HandlerId};
use tureen_engine::api::{self, DataMessage, Injection, Publication, Request, Response};

pub use self::non_closing::NonClosingDataProducer;
pub use self::options::DataProducerOptions;
pub use self::stats::{DataProducerDump, DataProducerStat, DataProducerType};
use crate::data_structures::{AppData, WebRtcMessage};
use crate::handles::{handle_by_transport, impl_on_transport, weak_handle};
use crate::ids::uuid_id;
use crate::object::{Object, ObjectId, close_with_parent};
use crate::sctp_parameters::SctpStreamParameters;
use crate::transport::Transport;
use crate::worker::{NotificationError, RequestError};

uuid_id!(
    /// [`DataProducer`] identifier.
    DataProducerId <=> api::DataProducerId
);

impl ObjectId for DataProducerId {
    type Parent = Arc<dyn Transport>;

    fn close_request(self) -> Request {
        Request::CloseDataProducer(self.into())
    }

    fn withdraw(self, transport: &Arc<dyn Transport>) {
        transport.router().remove_data_producer(self);
    }
}

/// Data messages that a router receives on a transport, by kind of transport.
#[derive(Clone)]
#[non_exhaustive]
#[must_use = "the data producer is closed when its last handle is dropped"]
pub enum DataProducer {
    /// Data producer on a transport that receives from the network.
    Regular(RegularDataProducer),
    /// Data producer on a DirectTransport.
    Direct(DirectDataProducer),
}

/// A data producer on a transport that receives from the network.
#[derive(Clone)]
#[must_use = "the data producer is closed when its last handle is dropped"]
pub struct RegularDataProducer {
    inner: Arc<Inner>,
}

/// A data producer on a DirectTransport. The application sends its messages.
#[derive(Clone)]
#[must_use = "the data producer is closed when its last handle is dropped"]
pub struct DirectDataProducer {
    inner: Arc<Inner>,
}

struct Inner {
    object: Object<DataProducerId>,
    /// State at creation; `paused` is below.
    created: DataProducerDump,
    paused: AtomicBool,
    handlers: Handlers,
}

#[derive(Default)]
struct Handlers {
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
}

impl DataProducer {
    pub(crate) fn new(
        created: api::DataProducerDump,
        app_data: AppData,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let created = DataProducerDump::from(created);
        let inner = Arc::new(Inner {
            object: Object::new(created.id, app_data, transport),
            paused: AtomicBool::new(created.paused),
            created,
            handlers: Handlers::default(),
        });
        close_with_parent(&inner, |inner| &inner.object);
        Self::of(inner)
    }

    /// Sender of the messages: an SCTP stream or the application.
    #[must_use]
    pub fn r#type(&self) -> DataProducerType {
        self.inner().created.r#type
    }

    /// SCTP stream that the messages are received on. `None` on a DirectTransport.
    #[must_use]
    pub fn sctp_stream_parameters(&self) -> Option<SctpStreamParameters> {
        self.inner().created.sctp_stream_parameters
    }

    /// True if the data producer is paused.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner().paused.load(Ordering::SeqCst)
    }

    /// Label of the data channel.
    #[must_use]
    pub fn label(&self) -> &String {
        &self.inner().created.label
    }

    /// Subprotocol of the data channel.
    #[must_use]
    pub fn protocol(&self) -> &String {
        &self.inner().created.protocol
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

    /// Stops forwarding. The data consumers of the data producer call
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

    /// Resumes forwarding. The data consumers of the data producer call
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

    /// Calls `callback` when the data producer is paused.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.pause.add(Arc::new(callback))
    }

    /// Calls `callback` when the data producer is resumed.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.resume.add(Arc::new(callback))
    }

    /// Like [`Self::close`], without waiting for the worker.
    pub(crate) fn close_now(&self) {
        self.inner().object.close();
    }

    async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.inner().object.request(request).await
    }
}

impl DirectDataProducer {
    /// Sends a message to the data consumers.
    ///
    /// `subchannels` restricts it to those that are subscribed to one of the subchannels, `required_subchannel` to those
    /// that are subscribed to that one, `ignored_subchannel` to those that are not.
    ///
    /// # Errors
    /// The worker is closed, or too many messages wait for the worker.
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
        let object = &self.inner.object;
        object.channel().inject(Injection::Data(object.id().into(), publication)).map_err(Into::into)
    }
}

impl Inner {
    fn is_direct(&self) -> bool {
        self.created.r#type == DataProducerType::Direct
    }

    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.object.id())
            .field("type", &self.created.r#type)
            .field("sctp_stream_parameters", &self.created.sctp_stream_parameters)
            .field("label", &self.created.label)
            .field("protocol", &self.created.protocol)
            .field("paused", &self.paused)
            .field("transport", self.object.parent())
            .field("closed", &self.object.closed())
            .finish_non_exhaustive()
    }
}

handle_by_transport!(DataProducer: RegularDataProducer, DirectDataProducer);
impl_on_transport!(DataProducer: DataProducerId, "data producer");

weak_handle! {
    /// A handle of a [`DataProducer`] that does not keep it open.
    WeakDataProducer,
    /// The data producer, if a handle of it is left.
    upgrade to DataProducer
}
