//! A source of audio or video that a router receives on a transport.

mod events;
mod options;
mod piped;
mod stats;
mod trace;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tureen_engine::api::{self, Injection, ProducerEvent, Request, Response};

use self::events::Handlers;
pub use self::options::ProducerOptions;
pub use self::piped::PipedProducer;
pub use self::stats::{
    BitrateByLayer, ProducerDump, ProducerScore, ProducerStat, ProducerType, ProducerVideoOrientation,
    Rotation, RtpStreamRecv, RtxStream,
};
pub use self::trace::{ProducerTraceEventData, ProducerTraceEventType};
use crate::data_structures::AppData;
use crate::handles::{handle_by_transport, impl_on_transport, weak_handle};
use crate::ids::uuid_id;
use crate::object::{Object, ObjectId, close_with_parent};
pub use crate::ortc::RtpMapping;
use crate::rtp_parameters::{MediaKind, RtpParameters};
use crate::transport::Transport;
use crate::worker::{NotificationError, RequestError};

uuid_id!(
    /// [`Producer`] identifier.
    ProducerId <=> api::ProducerId
);

impl ObjectId for ProducerId {
    type Parent = Arc<dyn Transport>;

    fn close_request(self) -> Request {
        Request::CloseProducer(self.into())
    }

    fn withdraw(self, transport: &Arc<dyn Transport>) {
        let router = transport.router();
        router.remove_producer(self);
        router.worker().dispatcher().forget(api::ProducerId::from(self));
    }
}

/// Audio or video that a router receives on a transport, by kind of transport.
#[derive(Clone)]
#[non_exhaustive]
#[must_use = "the producer is closed when its last handle is dropped"]
pub enum Producer {
    /// Producer on a transport that receives from the network.
    Regular(RegularProducer),
    /// Producer on a DirectTransport.
    Direct(DirectProducer),
}

/// A producer on a transport that receives from the network.
#[derive(Clone)]
#[must_use = "the producer is closed when its last handle is dropped"]
pub struct RegularProducer {
    inner: Arc<Inner>,
}

/// A producer on a DirectTransport. The application sends its packets.
#[derive(Clone)]
#[must_use = "the producer is closed when its last handle is dropped"]
pub struct DirectProducer {
    inner: Arc<Inner>,
}

/// The arguments of [`Producer::new`], as the worker has accepted them.
pub(crate) struct NewProducer {
    pub(crate) id: ProducerId,
    pub(crate) kind: MediaKind,
    pub(crate) r#type: ProducerType,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) consumable_rtp_parameters: RtpParameters,
    pub(crate) paused: bool,
    pub(crate) app_data: AppData,
    pub(crate) transport: Arc<dyn Transport>,
    /// True if `transport` is a DirectTransport.
    pub(crate) direct: bool,
}

struct Inner {
    object: Object<ProducerId>,
    kind: MediaKind,
    r#type: ProducerType,
    rtp_parameters: RtpParameters,
    consumable_rtp_parameters: RtpParameters,
    paused: AtomicBool,
    score: Mutex<Vec<ProducerScore>>,
    handlers: Handlers,
    direct: bool,
}

impl Producer {
    pub(crate) fn new(new: NewProducer) -> Self {
        let inner = Arc::new(Inner {
            object: Object::new(new.id, new.app_data, new.transport),
            kind: new.kind,
            r#type: new.r#type,
            rtp_parameters: new.rtp_parameters,
            consumable_rtp_parameters: new.consumable_rtp_parameters,
            paused: AtomicBool::new(new.paused),
            score: Mutex::default(),
            handlers: Handlers::default(),
            direct: new.direct,
        });
        close_with_parent(&inner, |inner| &inner.object);
        Self::of(inner)
    }

    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.inner().kind
    }

    /// RTP parameters of the streams that the endpoint sends.
    #[must_use]
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner().rtp_parameters
    }

    /// Structure of the producer's streams.
    #[must_use]
    pub fn r#type(&self) -> ProducerType {
        self.inner().r#type
    }

    /// True if the producer is paused.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.inner().paused.load(Ordering::SeqCst)
    }

    /// Score of each stream, as of the last [`Producer::on_score`]. Empty before the first packet.
    #[must_use]
    pub fn score(&self) -> Vec<ProducerScore> {
        self.inner().score.lock().clone()
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

    /// Stops forwarding. The consumers of the producer call
    /// [`Consumer::on_producer_pause`](crate::consumer::Consumer::on_producer_pause).
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn pause(&self) -> Result<(), RequestError> {
        self.request(Request::PauseProducer(self.id().into())).await?;
        self.inner().set_paused(true);
        Ok(())
    }

    /// Resumes forwarding. The consumers of the producer call
    /// [`Consumer::on_producer_resume`](crate::consumer::Consumer::on_producer_resume).
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.request(Request::ResumeProducer(self.id().into())).await?;
        self.inner().set_paused(false);
        Ok(())
    }

    /// Selects the trace events of the producer, at first none.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn enable_trace_event(&self, types: Vec<ProducerTraceEventType>) -> Result<(), RequestError> {
        let trace = ProducerTraceEventType::to_core(&types);
        self.request(Request::EnableProducerTrace(self.id().into(), trace)).await.map(|_| ())
    }

    /// RTP parameters of the producer with the router's payload types, header extension ids and SSRCs. Consumers are
    /// negotiated from these.
    #[doc(hidden)]
    #[must_use]
    pub fn consumable_rtp_parameters(&self) -> &RtpParameters {
        &self.inner().consumable_rtp_parameters
    }

    /// Like [`Self::close`], without waiting for the worker.
    pub(crate) fn close_now(&self) {
        self.inner().object.close();
    }

    /// Like [`Self::pause`], without waiting for the worker.
    pub(crate) fn pause_now(&self) {
        self.inner().object.channel().tell(Request::PauseProducer(self.id().into()));
        self.inner().set_paused(true);
    }

    /// Like [`Self::resume`], without waiting for the worker.
    pub(crate) fn resume_now(&self) {
        self.inner().object.channel().tell(Request::ResumeProducer(self.id().into()));
        self.inner().set_paused(false);
    }

    async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.inner().object.request(request).await
    }
}

impl DirectProducer {
    /// Sends an RTP packet to the consumers, as if it had come from an endpoint.
    ///
    /// # Errors
    /// The worker is closed, or too many packets wait for the worker.
    pub fn send(&self, rtp_packet: Vec<u8>) -> Result<(), NotificationError> {
        let object = &self.inner.object;
        object.channel().inject(Injection::Rtp(object.id().into(), rtp_packet)).map_err(Into::into)
    }
}

impl Inner {
    fn is_direct(&self) -> bool {
        self.direct
    }

    /// Sets the state and calls the callbacks if that is a change.
    fn set_paused(&self, paused: bool) {
        match (self.paused.swap(paused, Ordering::SeqCst), paused) {
            (false, true) => self.handlers.pause.call_simple(),
            (true, false) => self.handlers.resume.call_simple(),
            _ => {}
        }
    }

    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.object.id())
            .field("kind", &self.kind)
            .field("type", &self.r#type)
            .field("paused", &self.paused)
            .field("score", &self.score)
            .field("transport", self.object.parent())
            .field("closed", &self.object.closed())
            .finish_non_exhaustive()
    }
}

handle_by_transport!(Producer: RegularProducer, DirectProducer);
impl_on_transport!(Producer: ProducerId, "producer");

weak_handle! {
    /// A handle of a [`Producer`] that does not keep it open.
    WeakProducer,
    /// The producer, if a handle of it is left.
    upgrade to Producer, events: ProducerEvent
}
