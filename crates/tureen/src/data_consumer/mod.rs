//! Messages of a data producer that a router sends on a transport: to an endpoint by SCTP, or to the application.

mod events;
mod options;
mod stats;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tureen_engine::api::{self, DataConsumerEvent, DataMessage, Request, Response};

use self::events::Handlers;
pub use self::options::DataConsumerOptions;
pub use self::stats::{DataConsumerDump, DataConsumerStat, DataConsumerType};
use crate::data_producer::DataProducerId;
use crate::data_structures::{AppData, WebRtcMessage};
use crate::handles::{handle_by_transport, impl_on_transport, weak_handle};
use crate::ids::uuid_id;
use crate::object::{Object, ObjectId, close_with_parent};
use crate::sctp_parameters::SctpStreamParameters;
use crate::transport::Transport;
use crate::worker::RequestError;

uuid_id!(
    /// [`DataConsumer`] identifier.
    DataConsumerId <=> api::DataConsumerId
);

impl ObjectId for DataConsumerId {
    type Parent = Arc<dyn Transport>;

    fn close_request(self) -> Request {
        Request::CloseDataConsumer(self.into())
    }

    fn withdraw(self, transport: &Arc<dyn Transport>) {
        transport.router().worker().dispatcher().forget(api::DataConsumerId::from(self));
    }
}

/// Messages of a data producer that a router sends on a transport, by kind of transport.
#[derive(Clone)]
#[non_exhaustive]
#[must_use = "the data consumer is closed when its last handle is dropped"]
pub enum DataConsumer {
    /// Data consumer on a transport that sends to the network.
    Regular(RegularDataConsumer),
    /// Data consumer on a DirectTransport.
    Direct(DirectDataConsumer),
}

/// A data consumer on a transport that sends to the network.
#[derive(Clone)]
#[must_use = "the data consumer is closed when its last handle is dropped"]
pub struct RegularDataConsumer {
    inner: Arc<Inner>,
}

/// A data consumer on a DirectTransport. Its messages go to the application; see [`DataConsumer::on_message`].
#[derive(Clone)]
#[must_use = "the data consumer is closed when its last handle is dropped"]
pub struct DirectDataConsumer {
    inner: Arc<Inner>,
}

struct Inner {
    object: Object<DataConsumerId>,
    /// State at creation; `state` has the part that changes.
    created: DataConsumerDump,
    state: Mutex<State>,
    handlers: Handlers,
}

/// The part that requests and events change.
#[derive(Debug)]
struct State {
    paused: bool,
    data_producer_paused: bool,
    subchannels: Vec<u16>,
}

impl DataConsumer {
    pub(crate) fn new(
        created: api::DataConsumerDump,
        app_data: AppData,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let created = DataConsumerDump::from(created);
        let state = State {
            paused: created.paused,
            data_producer_paused: created.data_producer_paused,
            subchannels: created.subchannels.clone(),
        };
        let inner = Arc::new(Inner {
            object: Object::new(created.id, app_data, transport),
            created,
            state: Mutex::new(state),
            handlers: Handlers::default(),
        });
        close_with_parent(&inner, |inner| &inner.object);
        Self::of(inner)
    }

    /// Identifier of the data producer that the data consumer reads.
    #[must_use]
    pub fn data_producer_id(&self) -> DataProducerId {
        self.inner().created.data_producer_id
    }

    /// Receiver of the messages: an SCTP stream or the application.
    #[must_use]
    pub fn r#type(&self) -> DataConsumerType {
        self.inner().created.r#type
    }

    /// True if the data consumer is paused, whether its data producer is or not.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner().state.lock().paused
    }

    /// True if the data producer is paused.
    #[must_use]
    pub fn producer_paused(&self) -> bool {
        self.inner().state.lock().data_producer_paused
    }

    /// SCTP stream that the messages are sent on. `None` on a DirectTransport.
    #[must_use]
    pub fn sctp_stream_parameters(&self) -> Option<SctpStreamParameters> {
        self.inner().created.sctp_stream_parameters
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

    /// Subchannels that the data consumer is subscribed to.
    #[must_use]
    pub fn subchannels(&self) -> Vec<u16> {
        self.inner().state.lock().subchannels.clone()
    }

    /// Describes the data consumer.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<DataConsumerDump, RequestError> {
        match self.request(Request::DumpDataConsumer(self.id().into())).await? {
            Response::DataConsumerDump(dump) => Ok((*dump).into()),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Statistics, one entry.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get_stats(&self) -> Result<Vec<DataConsumerStat>, RequestError> {
        match self.request(Request::DataConsumerStats(self.id().into())).await? {
            Response::DataConsumerStats(stats) => Ok(vec![stats.into()]),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Stops sending.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn pause(&self) -> Result<(), RequestError> {
        self.request(Request::PauseDataConsumer(self.id().into())).await?;
        self.inner().change_pause(|state| state.paused = true);
        Ok(())
    }

    /// Resumes sending.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.request(Request::ResumeDataConsumer(self.id().into())).await?;
        self.inner().change_pause(|state| state.paused = false);
        Ok(())
    }

    /// Bytes that wait to be sent on the SCTP stream.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get_buffered_amount(&self) -> Result<u32, RequestError> {
        match self.request(Request::BufferedAmount(self.id().into())).await? {
            Response::BufferedAmount(bytes) => Ok(bytes),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Sets the buffered amount, in bytes, at which [`on_buffered_amount_low`](Self::on_buffered_amount_low) is called.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_buffered_amount_low_threshold(&self, threshold: u32) -> Result<(), RequestError> {
        self.request(Request::SetBufferedAmountLowThreshold(self.id().into(), threshold)).await.map(|_| ())
    }

    /// Replaces the subscribed subchannels.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_subchannels(&self, subchannels: Vec<u16>) -> Result<(), RequestError> {
        self.change_subchannels(Request::SetSubchannels(self.id().into(), subchannels)).await
    }

    /// Subscribes the data consumer to a subchannel.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn add_subchannel(&self, subchannel: u16) -> Result<(), RequestError> {
        self.change_subchannels(Request::AddSubchannel(self.id().into(), subchannel)).await
    }

    /// Unsubscribes the data consumer from a subchannel.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn remove_subchannel(&self, subchannel: u16) -> Result<(), RequestError> {
        self.change_subchannels(Request::RemoveSubchannel(self.id().into(), subchannel)).await
    }

    async fn change_subchannels(&self, request: Request) -> Result<(), RequestError> {
        match self.request(request).await? {
            Response::Subchannels(subchannels) => {
                self.inner().state.lock().subchannels = subchannels;
                Ok(())
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.inner().object.request(request).await
    }
}

impl RegularDataConsumer {
    /// Sends a message of the application to the endpoint. Returns the buffered amount after that, in bytes.
    ///
    /// # Errors
    /// The send buffer is full; see also [`RequestError`].
    pub async fn send(&self, message: WebRtcMessage<'_>) -> Result<u32, RequestError> {
        let (ppid, payload) = message.into_ppid_and_payload();
        let message = DataMessage { ppid, payload: payload.into_owned() };
        let object = &self.inner.object;
        match object.request(Request::SendData(object.id().into(), message)).await? {
            Response::BufferedAmount(bytes) => Ok(bytes),
            other => Err(RequestError::unexpected(&other)),
        }
    }
}

impl Inner {
    fn is_direct(&self) -> bool {
        self.created.r#type == DataConsumerType::Direct
    }

    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.object.id())
            .field("data_producer_id", &self.created.data_producer_id)
            .field("type", &self.created.r#type)
            .field("sctp_stream_parameters", &self.created.sctp_stream_parameters)
            .field("label", &self.created.label)
            .field("protocol", &self.created.protocol)
            .field("state", &self.state)
            .field("transport", self.object.parent())
            .field("closed", &self.object.closed())
            .finish_non_exhaustive()
    }
}

handle_by_transport!(DataConsumer: RegularDataConsumer, DirectDataConsumer);
impl_on_transport!(DataConsumer: DataConsumerId, "data consumer");

weak_handle! {
    /// A handle of a [`DataConsumer`] that does not keep it open.
    WeakDataConsumer,
    /// The data consumer, if a handle of it is left.
    upgrade to DataConsumer, events: DataConsumerEvent
}
