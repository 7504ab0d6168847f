//! Audio or video of a producer that a router sends on a transport.

mod events;
mod options;
mod stats;
mod trace;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tureen_engine::api::{self, ConsumerEvent, Request, Response};

use self::events::Handlers;
pub use self::options::ConsumerOptions;
pub use self::stats::{
    ConsumerDump, ConsumerLayers, ConsumerRtpStreamStat, ConsumerScore, ConsumerStat, ConsumerType, RtpStream,
};
pub use self::trace::{ConsumerTraceEventData, ConsumerTraceEventType};
use crate::data_structures::AppData;
use crate::handles::{handle_of_inner, impl_on_transport, weak_handle};
use crate::ids::uuid_id;
use crate::object::{Object, ObjectId, close_with_parent};
use crate::producer::ProducerId;
use crate::rtp_parameters::{MediaKind, RtpParameters};
#[doc(hidden)]
pub use crate::rtp_stream::{RtpRtxParameters, RtpStreamParams, RtxStreamParams};
use crate::transport::Transport;
use crate::worker::RequestError;

uuid_id!(
    /// [`Consumer`] identifier.
    ConsumerId <=> api::ConsumerId
);

impl ObjectId for ConsumerId {
    type Parent = Arc<dyn Transport>;

    fn close_request(self) -> Request {
        Request::CloseConsumer(self.into())
    }

    fn withdraw(self, transport: &Arc<dyn Transport>) {
        transport.router().worker().dispatcher().forget(api::ConsumerId::from(self));
    }
}

/// Audio or video of a producer that a router sends on a transport.
#[derive(Clone)]
#[must_use = "the consumer is closed when its last handle is dropped"]
pub struct Consumer {
    inner: Arc<Inner>,
}

/// The arguments of [`Consumer::new`], as the worker has accepted them.
pub(crate) struct NewConsumer {
    pub(crate) id: ConsumerId,
    pub(crate) producer_id: ProducerId,
    pub(crate) kind: MediaKind,
    pub(crate) r#type: ConsumerType,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) consumed: api::Consumed,
    pub(crate) app_data: AppData,
    pub(crate) transport: Arc<dyn Transport>,
}

struct Inner {
    object: Object<ConsumerId>,
    producer_id: ProducerId,
    kind: MediaKind,
    r#type: ConsumerType,
    rtp_parameters: RtpParameters,
    state: Mutex<State>,
    handlers: Handlers,
}

/// The part that requests and events change.
#[derive(Debug)]
struct State {
    paused: bool,
    producer_paused: bool,
    priority: u8,
    score: ConsumerScore,
    preferred_layers: Option<ConsumerLayers>,
    current_layers: Option<ConsumerLayers>,
}

impl Consumer {
    pub(crate) fn new(new: NewConsumer) -> Self {
        let state = State {
            paused: new.consumed.paused,
            producer_paused: new.consumed.producer_paused,
            priority: 1,
            score: new.consumed.score.into(),
            preferred_layers: new.consumed.preferred_layers.map(Into::into),
            current_layers: None,
        };
        let inner = Arc::new(Inner {
            object: Object::new(new.id, new.app_data, new.transport),
            producer_id: new.producer_id,
            kind: new.kind,
            r#type: new.r#type,
            rtp_parameters: new.rtp_parameters,
            state: Mutex::new(state),
            handlers: Handlers::default(),
        });
        close_with_parent(&inner, |inner| &inner.object);
        Self { inner }
    }

    /// Identifier of the producer that the consumer reads.
    #[must_use]
    pub fn producer_id(&self) -> ProducerId {
        self.inner.producer_id
    }

    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// RTP parameters of the streams that are sent. The endpoint needs them to receive.
    #[must_use]
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner.rtp_parameters
    }

    /// Streams and layers of the producer that the consumer sends.
    #[must_use]
    pub fn r#type(&self) -> ConsumerType {
        self.inner.r#type
    }

    /// True if the consumer is paused, whether its producer is or not.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner.state.lock().paused
    }

    /// True if the producer is paused.
    #[must_use]
    pub fn producer_paused(&self) -> bool {
        self.inner.state.lock().producer_paused
    }

    /// Priority, 1 to 255; see [`Consumer::set_priority`].
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.inner.state.lock().priority
    }

    /// Scores of the consumer and of its producer.
    #[must_use]
    pub fn score(&self) -> ConsumerScore {
        self.inner.state.lock().score.clone()
    }

    /// Preferred layers; see [`Consumer::set_preferred_layers`]. `None` for a producer without layers.
    #[must_use]
    pub fn preferred_layers(&self) -> Option<ConsumerLayers> {
        self.inner.state.lock().preferred_layers
    }

    /// Layers that are sent now. `None` for a producer without layers, and while nothing is sent.
    #[must_use]
    pub fn current_layers(&self) -> Option<ConsumerLayers> {
        self.inner.state.lock().current_layers
    }

    /// Describes the consumer.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<ConsumerDump, RequestError> {
        match self.request(Request::DumpConsumer(self.id().into())).await? {
            Response::ConsumerDump(dump) => ConsumerDump::from_core(*dump),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Statistics of the consumer's own stream, then of the producer's stream that it reads.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get_stats(&self) -> Result<Vec<ConsumerRtpStreamStat>, RequestError> {
        match self.request(Request::ConsumerStats(self.id().into())).await? {
            Response::RtpStreamStats(stats) => {
                stats.into_iter().map(ConsumerRtpStreamStat::from_core).collect()
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Stops sending.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn pause(&self) -> Result<(), RequestError> {
        self.request(Request::PauseConsumer(self.id().into())).await?;
        let change = self.inner.change_pause(|state| state.paused = true);
        self.inner.call_pause(change);
        Ok(())
    }

    /// Resumes sending. Video starts with the next key frame, which is requested from the producing endpoint.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.request(Request::ResumeConsumer(self.id().into())).await?;
        let change = self.inner.change_pause(|state| state.paused = false);
        self.inner.call_pause(change);
        Ok(())
    }

    /// Sets the highest layers to send; fewer are sent if the bandwidth does not suffice. Has an effect on simulcast and
    /// SVC only.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_preferred_layers(&self, consumer_layers: ConsumerLayers) -> Result<(), RequestError> {
        let request = Request::SetPreferredLayers(self.id().into(), consumer_layers.into());
        match self.request(request).await? {
            Response::PreferredLayers(layers) => {
                self.inner.state.lock().preferred_layers = layers.map(Into::into);
                Ok(())
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Sets the weight of the consumer when bandwidth is allocated among the consumers of its transport: 1 (lowest, the
    /// default) to 255.
    ///
    /// # Errors
    /// The priority is 0; see also [`RequestError`].
    pub async fn set_priority(&self, priority: u8) -> Result<(), RequestError> {
        match self.request(Request::SetPriority(self.id().into(), priority)).await? {
            Response::Priority(priority) => {
                self.inner.state.lock().priority = priority;
                Ok(())
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Sets the priority to 1, the default.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn unset_priority(&self) -> Result<(), RequestError> {
        self.set_priority(1).await
    }

    /// Requests a key frame from the producing endpoint. Has an effect on video only.
    ///
    /// A consumer that was created paused and is resumed within half a second after the key frame arrived starts with that
    /// key frame, so that the first picture need not wait for the sender's encoder. (mediasoup ignores the call for a
    /// paused consumer.)
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request_key_frame(&self) -> Result<(), RequestError> {
        self.request(Request::RequestKeyFrame(self.id().into())).await.map(|_| ())
    }

    /// Selects the trace events of the consumer, at first none.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn enable_trace_event(&self, types: Vec<ConsumerTraceEventType>) -> Result<(), RequestError> {
        let trace = ConsumerTraceEventType::to_core(&types);
        self.request(Request::EnableConsumerTrace(self.id().into(), trace)).await.map(|_| ())
    }

    async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.inner.object.request(request).await
    }
}

impl Inner {
    /// Applies `change`. Returns the new state if the consumer is now paused, or no longer paused, by itself or by its
    /// producer.
    fn change_pause(&self, change: impl FnOnce(&mut State)) -> Option<bool> {
        let mut state = self.state.lock();
        let before = state.paused || state.producer_paused;
        change(&mut state);
        let after = state.paused || state.producer_paused;
        (before != after).then_some(after)
    }
}

handle_of_inner!(Consumer);
impl_on_transport!(Consumer: ConsumerId, "consumer");

weak_handle! {
    /// A handle of a [`Consumer`] that does not keep it open.
    WeakConsumer,
    /// The consumer, if a handle of it is left.
    upgrade to Consumer, events: ConsumerEvent
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("id", &self.id())
            .field("producer_id", &self.inner.producer_id)
            .field("kind", &self.inner.kind)
            .field("type", &self.inner.r#type)
            .field("state", &self.inner.state)
            .field("transport", self.transport())
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}
