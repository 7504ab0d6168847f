//! Messages of a data producer that a router sends on a transport: to an endpoint by SCTP, or to the application.

mod options;
mod stats;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use parking_lot::Mutex;
use tureen_engine::api::{self, DataConsumerEvent, DataMessage, Request, Response};

pub use self::options::DataConsumerOptions;
pub use self::stats::{DataConsumerDump, DataConsumerStat, DataConsumerType};
use crate::data_producer::DataProducerId;
use crate::data_structures::{AppData, WebRtcMessage};
use crate::driver::Sink;
use crate::handles::{handle_by_transport, weak_handle};
use crate::ids::uuid_id;
use crate::lifetime::{Lifetime, OnClose, WorkerObject, close_with_parent};
use crate::sctp_parameters::SctpStreamParameters;
use crate::transport::Transport;
use crate::worker::{RequestError, Worker};

uuid_id!(
    /// [`DataConsumer`] identifier.
    DataConsumerId <=> api::DataConsumerId
);

/// Messages of a data producer that a router sends on a transport, by kind of transport.
#[derive(Clone)]
#[non_exhaustive]
#[must_use = "the data consumer is closed when its last handle is dropped"]
pub enum DataConsumer {
    /// On a transport that sends to the network.
    Regular(RegularDataConsumer),
    /// On a DirectTransport.
    Direct(DirectDataConsumer),
}

/// A data consumer on a transport that sends to the network.
#[derive(Clone)]
#[must_use = "the data consumer is closed when its last handle is dropped"]
pub struct RegularDataConsumer {
    inner: Arc<Inner>,
}

/// A data consumer on a DirectTransport, whose messages go to the application; see [`DataConsumer::on_message`].
#[derive(Clone)]
#[must_use = "the data consumer is closed when its last handle is dropped"]
pub struct DirectDataConsumer {
    inner: Arc<Inner>,
}

struct Inner {
    /// As the worker made it; what changes is in `state`.
    made: DataConsumerDump,
    state: Mutex<State>,
    handlers: Handlers,
    app_data: AppData,
    lifetime: Lifetime,
    transport: Arc<dyn Transport>,
}

/// What changes.
#[derive(Debug)]
struct State {
    paused: bool,
    data_producer_paused: bool,
    subchannels: Vec<u16>,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    message: Bag<Arc<dyn Fn(&WebRtcMessage<'_>) + Send + Sync>>,
    sctp_send_buffer_full: Bag<Arc<dyn Fn() + Send + Sync>>,
    buffered_amount_low: Bag<Arc<dyn Fn(u32) + Send + Sync>>,
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    data_producer_pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    data_producer_resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    data_producer_close: BagOnce<OnClose>,
}

impl DataConsumer {
    pub(crate) fn new(made: api::DataConsumerDump, app_data: AppData, transport: Arc<dyn Transport>) -> Self {
        let state = State {
            paused: made.paused,
            data_producer_paused: made.data_producer_paused,
            subchannels: made.subchannels.clone(),
        };
        let inner = Arc::new(Inner {
            made: made.into(),
            state: Mutex::new(state),
            handlers: Handlers::default(),
            app_data,
            lifetime: Lifetime::default(),
            transport,
        });
        close_with_parent(&inner, |inner| inner, |close| inner.transport.on_close(close));
        Self::of(inner)
    }

    /// Data consumer id.
    #[must_use]
    pub fn id(&self) -> DataConsumerId {
        self.inner().made.id
    }

    /// The data producer that it reads.
    #[must_use]
    pub fn data_producer_id(&self) -> DataProducerId {
        self.inner().made.data_producer_id
    }

    /// The transport that it sends on.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner().transport
    }

    /// How its messages go out.
    #[must_use]
    pub fn r#type(&self) -> DataConsumerType {
        self.inner().made.r#type
    }

    /// Whether it is paused itself, whatever its data producer is.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner().state.lock().paused
    }

    /// Whether its data producer is paused.
    #[must_use]
    pub fn producer_paused(&self) -> bool {
        self.inner().state.lock().data_producer_paused
    }

    /// The SCTP stream that it sends on.
    #[must_use]
    pub fn sctp_stream_parameters(&self) -> Option<SctpStreamParameters> {
        self.inner().made.sctp_stream_parameters
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

    /// Subchannels that it is subscribed to.
    #[must_use]
    pub fn subchannels(&self) -> Vec<u16> {
        self.inner().state.lock().subchannels.clone()
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

    /// Closes the data consumer, whoever else has handles of it. Handles that are left are of a closed object.
    ///
    /// The worker is told at once. The future is done when it has closed it: what belonged to it may be used again.
    /// Dropping the future takes nothing back. Not in the mediasoup crate, where a data consumer is closed with its last handle.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner().close_and_wait()
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

    /// Sends again.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.request(Request::ResumeDataConsumer(self.id().into())).await?;
        self.inner().change_pause(|state| state.paused = false);
        Ok(())
    }

    /// Bytes that wait to be sent on its SCTP stream.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get_buffered_amount(&self) -> Result<u32, RequestError> {
        match self.request(Request::BufferedAmount(self.id().into())).await? {
            Response::BufferedAmount(bytes) => Ok(bytes),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Chooses the bytes at which [`on_buffered_amount_low`](Self::on_buffered_amount_low) is called.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_buffered_amount_low_threshold(&self, threshold: u32) -> Result<(), RequestError> {
        self.request(Request::SetBufferedAmountLowThreshold(self.id().into(), threshold)).await.map(|_| ())
    }

    /// Chooses the subchannels that it is subscribed to.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_subchannels(&self, subchannels: Vec<u16>) -> Result<(), RequestError> {
        self.change_subchannels(Request::SetSubchannels(self.id().into(), subchannels)).await
    }

    /// Subscribes it to a subchannel.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn add_subchannel(&self, subchannel: u16) -> Result<(), RequestError> {
        self.change_subchannels(Request::AddSubchannel(self.id().into(), subchannel)).await
    }

    /// Ends its subscription to a subchannel.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn remove_subchannel(&self, subchannel: u16) -> Result<(), RequestError> {
        self.change_subchannels(Request::RemoveSubchannel(self.id().into(), subchannel)).await
    }

    /// Called with each message of a data consumer on a DirectTransport.
    pub fn on_message<F: Fn(&WebRtcMessage<'_>) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.message.add(Arc::new(callback))
    }

    /// Called when a message is dropped because too much waits to be sent.
    pub fn on_sctp_send_buffer_full<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.sctp_send_buffer_full.add(Arc::new(callback))
    }

    /// Called when the bytes that wait to be sent fall to the threshold or below; see
    /// [`set_buffered_amount_low_threshold`](Self::set_buffered_amount_low_threshold).
    pub fn on_buffered_amount_low<F: Fn(u32) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.buffered_amount_low.add(Arc::new(callback))
    }

    /// Called when its data producer is closed for whatever reason, and the data consumer with it.
    pub fn on_data_producer_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.data_producer_close.add(Box::new(callback))
    }

    /// Called when it or its data producer is paused, and nothing is sent any more because of that.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.pause.add(Arc::new(callback))
    }

    /// Called when it or its data producer is resumed, and neither is paused any more.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.resume.add(Arc::new(callback))
    }

    /// Called when its data producer is paused.
    pub fn on_data_producer_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.data_producer_pause.add(Arc::new(callback))
    }

    /// Called when its data producer is resumed.
    pub fn on_data_producer_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.data_producer_resume.add(Arc::new(callback))
    }

    /// Called when its transport is closed for whatever reason, and the data consumer with it.
    pub fn on_transport_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().lifetime.on_parent_close(Box::new(callback))
    }

    /// Called when it is closed for whatever reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().lifetime.on_close(Box::new(callback))
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
        self.inner().channel().request(request).await
    }
}

impl RegularDataConsumer {
    /// Sends a message of the application's own to the endpoint. Returns the bytes that wait to be sent then.
    ///
    /// # Errors
    /// Too much waits to be sent already; see also [`RequestError`].
    pub async fn send(&self, message: WebRtcMessage<'_>) -> Result<u32, RequestError> {
        let (ppid, payload) = message.into_ppid_and_payload();
        let message = DataMessage { ppid, payload: payload.into_owned() };
        let request = Request::SendData(self.inner.made.id.into(), message);
        match self.inner.channel().request(request).await? {
            Response::BufferedAmount(bytes) => Ok(bytes),
            other => Err(RequestError::unexpected(&other)),
        }
    }
}

impl Inner {
    fn is_direct(&self) -> bool {
        self.made.r#type == DataConsumerType::Direct
    }

    /// Changes what pauses it, and calls what is to be called if that makes a difference.
    fn change_pause(&self, change: impl FnOnce(&mut State)) {
        let (before, after) = {
            let mut state = self.state.lock();
            let before = state.paused || state.data_producer_paused;
            change(&mut state);
            (before, state.paused || state.data_producer_paused)
        };
        match (before, after) {
            (false, true) => self.handlers.pause.call_simple(),
            (true, false) => self.handlers.resume.call_simple(),
            _ => {}
        }
    }

    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.made.id)
            .field("data_producer_id", &self.made.data_producer_id)
            .field("type", &self.made.r#type)
            .field("sctp_stream_parameters", &self.made.sctp_stream_parameters)
            .field("label", &self.made.label)
            .field("protocol", &self.made.protocol)
            .field("state", &self.state)
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
        Request::CloseDataConsumer(self.made.id.into())
    }

    fn withdraw(&self) {
        self.transport.router().worker().dispatcher().forget(api::DataConsumerId::from(self.made.id));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(true);
    }
}

impl Sink<DataConsumerEvent> for Inner {
    fn on_event(&self, event: DataConsumerEvent) {
        match event {
            DataConsumerEvent::DataProducerPause => {
                self.handlers.data_producer_pause.call_simple();
                self.change_pause(|state| state.data_producer_paused = true);
            }
            DataConsumerEvent::DataProducerResume => {
                self.handlers.data_producer_resume.call_simple();
                self.change_pause(|state| state.data_producer_paused = false);
            }
            DataConsumerEvent::DataProducerClose => {
                if !self.lifetime.closed() {
                    self.handlers.data_producer_close.call_simple();
                    self.close(false);
                }
            }
            DataConsumerEvent::SctpSendBufferFull => self.handlers.sctp_send_buffer_full.call_simple(),
            DataConsumerEvent::BufferedAmountLow(bytes) => {
                self.handlers.buffered_amount_low.call(|callback| callback(bytes));
            }
            DataConsumerEvent::Message(DataMessage { ppid, payload }) => {
                match WebRtcMessage::new(ppid, Cow::Owned(payload)) {
                    Ok(message) => self.handlers.message.call(|callback| callback(&message)),
                    // The sender is a stranger, and sends as many as it likes.
                    Err(ppid) => tracing::debug!(id = %self.made.id, ppid, "message of an unknown kind"),
                }
            }
        }
    }
}

handle_by_transport!(DataConsumer: RegularDataConsumer, DirectDataConsumer);

weak_handle! {
    /// A handle of a [`DataConsumer`] that does not keep it open.
    WeakDataConsumer,
    /// The data consumer, if a handle of it is left.
    upgrade to DataConsumer, events: DataConsumerEvent
}
