//! A source of audio or video that a router receives on a transport.

mod piped;
mod stats;
mod trace;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener_primitives::{Bag, HandlerId};
use parking_lot::Mutex;
use tureen_engine::api::{self, Injection, ProducerEvent, Request, Response};

pub use self::piped::PipedProducer;
pub use self::stats::{
    BitrateByLayer, ProducerDump, ProducerScore, ProducerStat, ProducerType, ProducerVideoOrientation,
    Rotation, RtpStreamRecv, RtxStream,
};
pub use self::trace::{ProducerTraceEventData, ProducerTraceEventType};
use crate::data_structures::AppData;
use crate::driver::Sink;
use crate::handles::{handle_by_transport, weak_handle};
use crate::ids::uuid_id;
use crate::lifetime::{Lifetime, WorkerObject, close_with_parent};
pub use crate::ortc::RtpMapping;
use crate::rtp_parameters::{MediaKind, RtpParameters};
use crate::transport::Transport;
use crate::worker::{NotificationError, RequestError, Worker};

uuid_id!(
    /// [`Producer`] identifier.
    ProducerId <=> api::ProducerId
);

/// [`Producer`] options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProducerOptions {
    pub(crate) id: Option<ProducerId>,
    /// Audio or video.
    pub kind: MediaKind,
    /// What the endpoint sends.
    pub rtp_parameters: RtpParameters,
    /// Start without forwarding. Default false.
    pub paused: bool,
    /// Shortest time between two key frame requests for one stream, in milliseconds. 0, the default, is no limit.
    pub key_frame_request_delay: u32,
    /// Add mediasoup's packet id header extension to what is forwarded, which endpoints may use to tell packets apart.
    /// Default false.
    pub enable_mediasoup_packet_id_header_extension: bool,
    /// Custom application data.
    pub app_data: AppData,
}

impl ProducerOptions {
    /// Options for a producer of a given id, as for one that is piped to another router.
    #[must_use]
    pub fn new_pipe_transport(
        producer_id: ProducerId,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
    ) -> Self {
        Self { id: Some(producer_id), ..Self::new(kind, rtp_parameters) }
    }

    /// Options for a producer of a random id.
    #[must_use]
    pub fn new(kind: MediaKind, rtp_parameters: RtpParameters) -> Self {
        Self {
            id: None,
            kind,
            rtp_parameters,
            paused: false,
            key_frame_request_delay: 0,
            enable_mediasoup_packet_id_header_extension: false,
            app_data: AppData::default(),
        }
    }
}

/// Audio or video that a router receives on a transport, by kind of transport.
#[derive(Clone)]
#[non_exhaustive]
#[must_use = "the producer is closed when its last handle is dropped"]
pub enum Producer {
    /// On a transport that receives from the network.
    Regular(RegularProducer),
    /// On a DirectTransport.
    Direct(DirectProducer),
}

/// A producer on a transport that receives from the network.
#[derive(Clone)]
#[must_use = "the producer is closed when its last handle is dropped"]
pub struct RegularProducer {
    inner: Arc<Inner>,
}

/// A producer on a DirectTransport, whose media is the application's own.
#[derive(Clone)]
#[must_use = "the producer is closed when its last handle is dropped"]
pub struct DirectProducer {
    inner: Arc<Inner>,
}

/// A producer as the worker made it.
pub(crate) struct New {
    pub(crate) id: ProducerId,
    pub(crate) kind: MediaKind,
    pub(crate) r#type: ProducerType,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) consumable_rtp_parameters: RtpParameters,
    pub(crate) paused: bool,
    pub(crate) app_data: AppData,
    pub(crate) transport: Arc<dyn Transport>,
    /// Whether that is a DirectTransport.
    pub(crate) direct: bool,
}

struct Inner {
    id: ProducerId,
    kind: MediaKind,
    r#type: ProducerType,
    rtp_parameters: RtpParameters,
    consumable_rtp_parameters: RtpParameters,
    paused: AtomicBool,
    score: Mutex<Vec<ProducerScore>>,
    handlers: Handlers,
    app_data: AppData,
    lifetime: Lifetime,
    transport: Arc<dyn Transport>,
    direct: bool,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    score: Bag<Arc<dyn Fn(&[ProducerScore]) + Send + Sync>>,
    video_orientation_change: Bag<Arc<dyn Fn(ProducerVideoOrientation) + Send + Sync>>,
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    trace: Bag<Arc<dyn Fn(&ProducerTraceEventData) + Send + Sync>, ProducerTraceEventData>,
}

impl Producer {
    pub(crate) fn new(new: New) -> Self {
        let inner = Arc::new(Inner {
            id: new.id,
            kind: new.kind,
            r#type: new.r#type,
            rtp_parameters: new.rtp_parameters,
            consumable_rtp_parameters: new.consumable_rtp_parameters,
            paused: AtomicBool::new(new.paused),
            score: Mutex::default(),
            handlers: Handlers::default(),
            app_data: new.app_data,
            lifetime: Lifetime::default(),
            transport: new.transport,
            direct: new.direct,
        });
        close_with_parent(&inner, |inner| inner, |close| inner.transport.on_close(close));
        Self::of(inner)
    }

    /// Producer id.
    #[must_use]
    pub fn id(&self) -> ProducerId {
        self.inner().id
    }

    /// The transport that it receives on.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner().transport
    }

    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.inner().kind
    }

    /// What the endpoint sends.
    #[must_use]
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner().rtp_parameters
    }

    /// How its streams are structured.
    #[must_use]
    pub fn r#type(&self) -> ProducerType {
        self.inner().r#type
    }

    /// Whether it is paused.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner().paused.load(Ordering::SeqCst)
    }

    /// How well each of its streams comes in.
    #[must_use]
    pub fn score(&self) -> Vec<ProducerScore> {
        self.inner().score.lock().clone()
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

    /// Closes the producer, whoever else has handles of it. Handles that are left are of a closed object.
    ///
    /// The worker is told at once. The future is done when it has closed it: what belonged to it may be used again.
    /// Dropping the future takes nothing back. Not in the mediasoup crate, where a producer is closed with its last handle.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner().close_and_wait()
    }

    /// Describes the producer.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<ProducerDump, RequestError> {
        match self.request(Request::DumpProducer(self.id().into())).await? {
            Response::ProducerDump(dump) => ProducerDump::from_core(*dump),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Statistics, one entry for each stream.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get_stats(&self) -> Result<Vec<ProducerStat>, RequestError> {
        match self.request(Request::ProducerStats(self.id().into())).await? {
            Response::RtpStreamStats(stats) => stats.into_iter().map(ProducerStat::from_core).collect(),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Stops forwarding. Its consumers call
    /// [`Consumer::on_producer_pause`](crate::consumer::Consumer::on_producer_pause).
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn pause(&self) -> Result<(), RequestError> {
        self.request(Request::PauseProducer(self.id().into())).await?;
        self.inner().on_paused(true);
        Ok(())
    }

    /// Forwards again. Its consumers call
    /// [`Consumer::on_producer_resume`](crate::consumer::Consumer::on_producer_resume).
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.request(Request::ResumeProducer(self.id().into())).await?;
        self.inner().on_paused(false);
        Ok(())
    }

    /// Chooses its trace events. None of them at first.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn enable_trace_event(&self, types: Vec<ProducerTraceEventType>) -> Result<(), RequestError> {
        let trace = ProducerTraceEventType::to_core(&types);
        self.request(Request::EnableProducerTrace(self.id().into(), trace)).await.map(|_| ())
    }

    /// Called when the score of a stream changes.
    pub fn on_score<F: Fn(&[ProducerScore]) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.score.add(Arc::new(callback))
    }

    /// Called when the camera is turned. Needs the header extension `urn:3gpp:video-orientation`.
    pub fn on_video_orientation_change<F: Fn(ProducerVideoOrientation) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner().handlers.video_orientation_change.add(Arc::new(callback))
    }

    /// Called when it is paused.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.pause.add(Arc::new(callback))
    }

    /// Called when it is resumed.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.resume.add(Arc::new(callback))
    }

    /// Called with each trace event; see [`Producer::enable_trace_event`].
    pub fn on_trace<F: Fn(&ProducerTraceEventData) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.trace.add(Arc::new(callback))
    }

    /// Called when its transport is closed for whatever reason, and the producer with it.
    pub fn on_transport_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().lifetime.on_parent_close(Box::new(callback))
    }

    /// Called when it is closed for whatever reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().lifetime.on_close(Box::new(callback))
    }

    /// What consumers can get: its RTP parameters in terms of the router.
    #[doc(hidden)]
    #[must_use]
    pub fn consumable_rtp_parameters(&self) -> &RtpParameters {
        &self.inner().consumable_rtp_parameters
    }

    /// Like [`Self::close`], but does not wait until it is done.
    pub(crate) fn close_now(&self) {
        self.inner().close(true);
    }

    /// Like [`Self::pause`], but does not wait until it is done.
    pub(crate) fn pause_now(&self) {
        self.inner().channel().tell(Request::PauseProducer(self.id().into()));
        self.inner().on_paused(true);
    }

    /// Like [`Self::resume`], but does not wait until it is done.
    pub(crate) fn resume_now(&self) {
        self.inner().channel().tell(Request::ResumeProducer(self.id().into()));
        self.inner().on_paused(false);
    }

    async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.inner().channel().request(request).await
    }
}

impl DirectProducer {
    /// Sends an RTP packet to the consumers, as if an endpoint had sent it.
    ///
    /// # Errors
    /// The worker is closed, or has too much to do to take it.
    pub fn send(&self, rtp_packet: Vec<u8>) -> Result<(), NotificationError> {
        let injection = Injection::Rtp(self.inner.id.into(), rtp_packet);
        self.inner.channel().inject(injection).map_err(Into::into)
    }
}

impl Inner {
    fn on_paused(&self, paused: bool) {
        match (self.paused.swap(paused, Ordering::SeqCst), paused) {
            (false, true) => self.handlers.pause.call_simple(),
            (true, false) => self.handlers.resume.call_simple(),
            _ => {}
        }
    }

    fn is_direct(&self) -> bool {
        self.direct
    }

    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("type", &self.r#type)
            .field("paused", &self.paused)
            .field("score", &self.score)
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
        Request::CloseProducer(self.id.into())
    }

    fn withdraw(&self) {
        let router = self.transport.router();
        router.remove_producer(self.id);
        router.worker().dispatcher().forget(api::ProducerId::from(self.id));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(true);
    }
}

impl Sink<ProducerEvent> for Inner {
    fn on_event(&self, event: ProducerEvent) {
        match event {
            ProducerEvent::Score(scores) => {
                let scores: Vec<ProducerScore> = scores.into_iter().map(Into::into).collect();
                self.score.lock().clone_from(&scores);
                self.handlers.score.call(|callback| callback(&scores));
            }
            ProducerEvent::VideoOrientation(orientation) => {
                let orientation = orientation.into();
                self.handlers.video_orientation_change.call(|callback| callback(orientation));
            }
            ProducerEvent::Trace(event) => self.handlers.trace.call_simple(&event.into()),
        }
    }
}

handle_by_transport!(Producer: RegularProducer, DirectProducer);

weak_handle! {
    /// A handle of a [`Producer`] that does not keep it open.
    WeakProducer,
    /// The producer, if a handle of it is left.
    upgrade to Producer, events: ProducerEvent
}
