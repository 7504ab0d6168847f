//! Audio or video of a producer that a router sends on a transport.

mod stats;
mod trace;

use std::fmt;
use std::sync::Arc;

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use parking_lot::Mutex;
use tureen_engine::api::{self, ConsumerEvent, Request, Response};

pub use self::stats::{
    ConsumerDump, ConsumerLayers, ConsumerRtpStreamStat, ConsumerScore, ConsumerStat, ConsumerType, RtpStream,
};
pub use self::trace::{ConsumerTraceEventData, ConsumerTraceEventType};
use crate::data_structures::AppData;
use crate::driver::Sink;
use crate::handles::{handle_of_inner, weak_handle};
use crate::ids::uuid_id;
use crate::lifetime::{Lifetime, OnClose, WorkerObject, close_with_parent};
use crate::producer::ProducerId;
use crate::rtp_parameters::{MediaKind, RtpCapabilities, RtpParameters};
#[doc(hidden)]
pub use crate::rtp_stream::{RtpRtxParameters, RtpStreamParams, RtxStreamParams};
use crate::transport::Transport;
use crate::worker::{RequestError, Worker};

uuid_id!(
    /// [`Consumer`] identifier.
    ConsumerId <=> api::ConsumerId
);

/// [`Consumer`] options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// The producer to read, of the same router.
    pub producer_id: ProducerId,
    /// What the endpoint can receive.
    pub rtp_capabilities: RtpCapabilities,
    /// Start without sending, which is recommended; see [`Transport::consume`]. Default false.
    pub paused: bool,
    /// MID to send with. By default a number that counts up in the transport.
    pub mid: Option<String>,
    /// Layers wanted at the start, of a producer that has some. By default the highest ones.
    pub preferred_layers: Option<ConsumerLayers>,
    /// Send lost packets again, if the endpoint can ask for them. By default for video only.
    pub enable_rtx: Option<bool>,
    /// Leave out the packets of discontinuous transmission (Opus DTX). Default false.
    pub ignore_dtx: bool,
    /// Send all streams of the producer as they are. Default false.
    pub pipe: bool,
    /// Custom application data.
    pub app_data: AppData,
}

impl ConsumerOptions {
    /// Options for reading the given producer.
    #[must_use]
    pub fn new(producer_id: ProducerId, rtp_capabilities: RtpCapabilities) -> Self {
        Self {
            producer_id,
            rtp_capabilities,
            paused: false,
            mid: None,
            preferred_layers: None,
            enable_rtx: None,
            ignore_dtx: false,
            pipe: false,
            app_data: AppData::default(),
        }
    }
}

/// Audio or video of a producer that a router sends on a transport.
#[derive(Clone)]
#[must_use = "the consumer is closed when its last handle is dropped"]
pub struct Consumer {
    inner: Arc<Inner>,
}

/// A consumer as the worker made it.
pub(crate) struct New {
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
    id: ConsumerId,
    producer_id: ProducerId,
    kind: MediaKind,
    r#type: ConsumerType,
    rtp_parameters: RtpParameters,
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
    producer_paused: bool,
    priority: u8,
    score: ConsumerScore,
    preferred_layers: Option<ConsumerLayers>,
    current_layers: Option<ConsumerLayers>,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    producer_pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    producer_resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    score: Bag<Arc<dyn Fn(&ConsumerScore) + Send + Sync>, ConsumerScore>,
    layers_change: Bag<Arc<dyn Fn(&Option<ConsumerLayers>) + Send + Sync>, Option<ConsumerLayers>>,
    trace: Bag<Arc<dyn Fn(&ConsumerTraceEventData) + Send + Sync>, ConsumerTraceEventData>,
    rtp: Bag<Arc<dyn Fn(&[u8]) + Send + Sync>>,
    producer_close: BagOnce<OnClose>,
}

impl Consumer {
    pub(crate) fn new(new: New) -> Self {
        let state = State {
            paused: new.consumed.paused,
            producer_paused: new.consumed.producer_paused,
            priority: 1,
            score: new.consumed.score.into(),
            preferred_layers: new.consumed.preferred_layers.map(Into::into),
            current_layers: None,
        };
        let inner = Arc::new(Inner {
            id: new.id,
            producer_id: new.producer_id,
            kind: new.kind,
            r#type: new.r#type,
            rtp_parameters: new.rtp_parameters,
            state: Mutex::new(state),
            handlers: Handlers::default(),
            app_data: new.app_data,
            lifetime: Lifetime::default(),
            transport: new.transport,
        });
        close_with_parent(&inner, |inner| inner, |close| inner.transport.on_close(close));
        Self { inner }
    }

    /// Consumer id.
    #[must_use]
    pub fn id(&self) -> ConsumerId {
        self.inner.id
    }

    /// The producer that it reads.
    #[must_use]
    pub fn producer_id(&self) -> ProducerId {
        self.inner.producer_id
    }

    /// The transport that it sends on.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner.transport
    }

    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// What is sent, for the endpoint to know.
    #[must_use]
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner.rtp_parameters
    }

    /// How it reads its producer.
    #[must_use]
    pub fn r#type(&self) -> ConsumerType {
        self.inner.r#type
    }

    /// Whether it is paused itself, whatever its producer is.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner.state.lock().paused
    }

    /// Whether its producer is paused.
    #[must_use]
    pub fn producer_paused(&self) -> bool {
        self.inner.state.lock().producer_paused
    }

    /// Its priority; see [`Consumer::set_priority`].
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.inner.state.lock().priority
    }

    /// How well it reaches the endpoint, and its producer the router.
    #[must_use]
    pub fn score(&self) -> ConsumerScore {
        self.inner.state.lock().score.clone()
    }

    /// Layers wanted; see [`Consumer::set_preferred_layers`]. `None` where there are no layers.
    #[must_use]
    pub fn preferred_layers(&self) -> Option<ConsumerLayers> {
        self.inner.state.lock().preferred_layers
    }

    /// Layers sent. `None` where there are no layers, or nothing is sent.
    #[must_use]
    pub fn current_layers(&self) -> Option<ConsumerLayers> {
        self.inner.state.lock().current_layers
    }

    /// Custom application data.
    #[must_use]
    pub fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    /// Whether it is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.inner.lifetime.closed()
    }

    /// Closes the consumer, whoever else has handles of it. Handles that are left are of a closed object.
    ///
    /// The worker is told at once. The future is done when it has closed it: what belonged to it may be used again.
    /// Dropping the future takes nothing back. Not in the mediasoup crate, where a consumer is closed with its last handle.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.close_and_wait()
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

    /// Statistics: of its own stream, then of the producer's stream that it reads.
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
        let effect = self.inner.change_pause(|state| state.paused = true);
        self.inner.call_pause(effect);
        Ok(())
    }

    /// Sends again; video from the next key frame on, which the producer is asked for.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.request(Request::ResumeConsumer(self.id().into())).await?;
        let effect = self.inner.change_pause(|state| state.paused = false);
        self.inner.call_pause(effect);
        Ok(())
    }

    /// Chooses the layers that are sent if the bandwidth suffices. Of use for simulcast and SVC only.
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

    /// Chooses its weight where the bandwidth of its transport is short: 1 (lowest, at first) to 255.
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

    /// Sets its priority to 1, as it is at first.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn unset_priority(&self) -> Result<(), RequestError> {
        self.set_priority(1).await
    }

    /// Asks the producing endpoint for a key frame. Of use for video only.
    ///
    /// A consumer that was made paused and is resumed within half a second after the key frame has come begins with it, so
    /// that its first picture need not wait for the sender's encoder. (mediasoup does nothing for paused consumers.)
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request_key_frame(&self) -> Result<(), RequestError> {
        self.request(Request::RequestKeyFrame(self.id().into())).await.map(|_| ())
    }

    /// Chooses its trace events. None of them at first.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn enable_trace_event(&self, types: Vec<ConsumerTraceEventType>) -> Result<(), RequestError> {
        let trace = ConsumerTraceEventType::to_core(&types);
        self.request(Request::EnableConsumerTrace(self.id().into(), trace)).await.map(|_| ())
    }

    /// Called with each RTP packet of a consumer on a DirectTransport.
    pub fn on_rtp<F: Fn(&[u8]) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.rtp.add(Arc::new(callback))
    }

    /// Called when it or its producer is paused, and nothing is sent any more because of that.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.pause.add(Arc::new(callback))
    }

    /// Called when it or its producer is resumed, and neither is paused any more.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.resume.add(Arc::new(callback))
    }

    /// Called when its producer is paused.
    pub fn on_producer_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.producer_pause.add(Arc::new(callback))
    }

    /// Called when its producer is resumed.
    pub fn on_producer_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.producer_resume.add(Arc::new(callback))
    }

    /// Called when its score or that of its producer changes.
    pub fn on_score<F: Fn(&ConsumerScore) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.score.add(Arc::new(callback))
    }

    /// Called when other layers are sent, or none: because it or its producer is paused, because the producer sends
    /// nothing, or because the bandwidth does not suffice for the lowest ones.
    pub fn on_layers_change<F: Fn(&Option<ConsumerLayers>) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.layers_change.add(Arc::new(callback))
    }

    /// Called with each trace event; see [`Consumer::enable_trace_event`].
    pub fn on_trace<F: Fn(&ConsumerTraceEventData) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.trace.add(Arc::new(callback))
    }

    /// Called when its producer is closed for whatever reason, and the consumer with it.
    pub fn on_producer_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.producer_close.add(Box::new(callback))
    }

    /// Called when its transport is closed for whatever reason, and the consumer with it.
    pub fn on_transport_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.lifetime.on_parent_close(Box::new(callback))
    }

    /// Called when it is closed for whatever reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.lifetime.on_close(Box::new(callback))
    }

    async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.inner.channel().request(request).await
    }
}

impl Inner {
    /// Changes what pauses it. Returns whether it is paused now, if that makes a difference.
    fn change_pause(&self, change: impl FnOnce(&mut State)) -> Option<bool> {
        let mut state = self.state.lock();
        let before = state.paused || state.producer_paused;
        change(&mut state);
        let after = state.paused || state.producer_paused;
        (before != after).then_some(after)
    }

    /// Calls what is to be called when [`Self::change_pause`] made a difference.
    fn call_pause(&self, effect: Option<bool>) {
        match effect {
            Some(true) => self.handlers.pause.call_simple(),
            Some(false) => self.handlers.resume.call_simple(),
            None => {}
        }
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
        Request::CloseConsumer(self.id.into())
    }

    fn withdraw(&self) {
        self.transport.router().worker().dispatcher().forget(api::ConsumerId::from(self.id));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(true);
    }
}

impl Sink<ConsumerEvent> for Inner {
    fn on_event(&self, event: ConsumerEvent) {
        match event {
            ConsumerEvent::ProducerPause => {
                let effect = self.change_pause(|state| state.producer_paused = true);
                self.handlers.producer_pause.call_simple();
                self.call_pause(effect);
            }
            ConsumerEvent::ProducerResume => {
                let effect = self.change_pause(|state| state.producer_paused = false);
                self.handlers.producer_resume.call_simple();
                self.call_pause(effect);
            }
            ConsumerEvent::ProducerClose => {
                if !self.lifetime.closed() {
                    self.handlers.producer_close.call_simple();
                    self.close(false);
                }
            }
            ConsumerEvent::Score(score) => {
                let score = ConsumerScore::from(score);
                self.state.lock().score = score.clone();
                self.handlers.score.call_simple(&score);
            }
            ConsumerEvent::LayersChange(layers) => {
                let layers = layers.map(Into::into);
                self.state.lock().current_layers = layers;
                self.handlers.layers_change.call_simple(&layers);
            }
            ConsumerEvent::Rtp(packet) => self.handlers.rtp.call(|callback| callback(&packet)),
            ConsumerEvent::Trace(event) => {
                if let Some(event) = ConsumerTraceEventData::from_core(event) {
                    self.handlers.trace.call_simple(&event);
                }
            }
        }
    }
}

handle_of_inner!(Consumer);

weak_handle! {
    /// A handle of a [`Consumer`] that does not keep it open.
    WeakConsumer,
    /// The consumer, if a handle of it is left.
    upgrade to Consumer, events: ConsumerEvent
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("id", &self.inner.id)
            .field("producer_id", &self.inner.producer_id)
            .field("kind", &self.inner.kind)
            .field("type", &self.inner.r#type)
            .field("state", &self.inner.state)
            .field("transport", &self.inner.transport)
            .field("closed", &self.inner.lifetime)
            .finish_non_exhaustive()
    }
}
