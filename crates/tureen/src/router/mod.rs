//! A set of transports whose producers and consumers may be connected.

mod create;
mod dump;
mod piping;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use event_listener_primitives::{Bag, HandlerId};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tureen_engine::api::{self, Request, Response};

pub use self::create::{NewRtpObserver, NewTransport};
#[doc(hidden)]
pub use self::dump::RouterDump;
use self::piping::Pipes;
pub use self::piping::{
    PipeDataProducerToRouterError, PipeDataProducerToRouterPair, PipeProducerToRouterError,
    PipeProducerToRouterPair, PipeToRouterOptions,
};
use crate::data_producer::{DataProducer, DataProducerId, WeakDataProducer};
use crate::data_structures::AppData;
use crate::ids::uuid_id;
use crate::object::{Object, ObjectId, close_with_parent};
use crate::ortc;
use crate::producer::{Producer, ProducerId, WeakProducer};
use crate::rtp_parameters::{RtpCapabilities, RtpCapabilitiesFinalized, RtpCodecCapability};
use crate::worker::{RequestError, Worker};

uuid_id!(
    /// [`Router`] identifier.
    RouterId <=> api::RouterId
);

impl ObjectId for RouterId {
    type Parent = Worker;

    fn close_request(self) -> Request {
        Request::CloseRouter(self.into())
    }
}

/// [`Router`] options.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RouterOptions {
    /// Codecs of the router. Leave out feature codecs such as RTX, because the router adds them. A
    /// `preferred_payload_type` should be 96 to 127 if it is given at all.
    pub media_codecs: Vec<RtpCodecCapability>,
    /// Custom application data.
    pub app_data: AppData,
}

impl RouterOptions {
    /// Options with the given codecs.
    #[must_use]
    pub fn new(media_codecs: Vec<RtpCodecCapability>) -> Self {
        Self { media_codecs, app_data: AppData::default() }
    }
}

/// Error of [`Router::update_media_codecs`].
#[derive(Debug, Error)]
pub enum UpdateMediaCodecsError {
    /// The codecs are invalid or unsupported.
    #[error("RTP capabilities generation error: {0}")]
    FailedRtpCapabilitiesGeneration(ortc::RtpCapabilitiesError),
}

/// A set of transports whose producers and consumers may be connected: a room, or a part of one.
#[derive(Clone)]
#[must_use = "the router is closed when its last handle is dropped"]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    object: Object<RouterId>,
    rtp_capabilities: Mutex<RtpCapabilitiesFinalized>,
    producers: RwLock<HashMap<ProducerId, WeakProducer>>,
    data_producers: RwLock<HashMap<DataProducerId, WeakDataProducer>>,
    pipes: Pipes,
    handlers: Handlers,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    new_transport: Bag<Arc<dyn Fn(NewTransport<'_>) + Send + Sync>>,
    new_rtp_observer: Bag<Arc<dyn Fn(NewRtpObserver<'_>) + Send + Sync>>,
}

impl Router {
    pub(crate) fn new(
        id: RouterId,
        rtp_capabilities: RtpCapabilitiesFinalized,
        app_data: AppData,
        worker: Worker,
    ) -> Self {
        let inner = Arc::new(Inner {
            object: Object::new(id, app_data, worker),
            rtp_capabilities: Mutex::new(rtp_capabilities),
            producers: RwLock::default(),
            data_producers: RwLock::default(),
            pipes: Pipes::default(),
            handlers: Handlers::default(),
        });
        close_with_parent(&inner, |inner| &inner.object);
        Self { inner }
    }

    /// Identifier of the router.
    #[must_use]
    pub fn id(&self) -> RouterId {
        self.inner.object.id()
    }

    /// Worker of the router.
    pub fn worker(&self) -> &Worker {
        self.inner.object.parent()
    }

    /// Custom application data.
    #[must_use]
    pub fn app_data(&self) -> &AppData {
        self.inner.object.app_data()
    }

    /// True if the router is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.inner.object.closed()
    }

    /// RTP capabilities of the router. Endpoints need them before they send.
    #[must_use]
    pub fn rtp_capabilities(&self) -> RtpCapabilitiesFinalized {
        self.inner.rtp_capabilities.lock().clone()
    }

    /// Describes the router.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<RouterDump, RequestError> {
        match self.inner.object.request(Request::DumpRouter(self.id().into())).await? {
            Response::RouterDump(dump) => Ok(dump.into()),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// True if an endpoint with the given capabilities can consume the given producer.
    #[must_use]
    pub fn can_consume(&self, producer_id: &ProducerId, rtp_capabilities: &RtpCapabilities) -> bool {
        let Some(producer) = self.producer(producer_id) else {
            tracing::error!(%producer_id, "can_consume: no such producer");
            return false;
        };
        ortc::can_consume(producer.consumable_rtp_parameters(), rtp_capabilities).unwrap_or_else(|error| {
            // A debug line, because a remote peer may ask for each of thousands of producers.
            tracing::debug!(%error, "can_consume: bad RTP capabilities");
            false
        })
    }

    /// Changes the codecs of the router, and with them [`Router::rtp_capabilities`]. Existing producers and consumers stay
    /// as they are.
    ///
    /// # Errors
    /// The codecs are invalid or unsupported.
    pub fn update_media_codecs(
        &mut self,
        media_codecs: Vec<RtpCodecCapability>,
    ) -> Result<(), UpdateMediaCodecsError> {
        let rtp_capabilities = ortc::generate_router_rtp_capabilities(media_codecs)
            .map_err(UpdateMediaCodecsError::FailedRtpCapabilitiesGeneration)?;
        *self.inner.rtp_capabilities.lock() = rtp_capabilities;
        Ok(())
    }

    /// Calls `callback` with each new transport.
    pub fn on_new_transport<F: Fn(NewTransport<'_>) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.new_transport.add(Arc::new(callback))
    }

    /// Calls `callback` with each new RTP observer.
    pub fn on_new_rtp_observer<F: Fn(NewRtpObserver<'_>) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.new_rtp_observer.add(Arc::new(callback))
    }

    /// Calls `callback` when the worker is closed for any reason, and the router with it.
    pub fn on_worker_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.object.on_parent_close(Box::new(callback))
    }

    /// Calls `callback` when the router is closed for any reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.object.on_close(Box::new(callback))
    }

    pub(crate) fn producer(&self, id: &ProducerId) -> Option<Producer> {
        self.inner.producers.read().get(id)?.upgrade()
    }

    pub(crate) fn add_producer(&self, producer: &Producer) {
        self.inner.producers.write().insert(producer.id(), producer.downgrade());
        // Its transport may have closed it before it was in the table.
        if producer.closed() {
            self.remove_producer(producer.id());
        }
    }

    pub(crate) fn remove_producer(&self, id: ProducerId) {
        self.inner.producers.write().remove(&id);
    }

    pub(crate) fn data_producer(&self, id: &DataProducerId) -> Option<DataProducer> {
        self.inner.data_producers.read().get(id)?.upgrade()
    }

    pub(crate) fn add_data_producer(&self, data_producer: &DataProducer) {
        self.inner.data_producers.write().insert(data_producer.id(), data_producer.downgrade());
        // As for a producer.
        if data_producer.closed() {
            self.remove_data_producer(data_producer.id());
        }
    }

    pub(crate) fn remove_data_producer(&self, id: DataProducerId) {
        self.inner.data_producers.write().remove(&id);
    }

    /// Closes the router and everything in it, even if other handles of it are left.
    ///
    /// The request is sent at once; the future completes when the worker has served it. Dropping the future does not
    /// cancel the request. Not in the mediasoup crate, where a router is closed with its last handle.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.object.close_and_wait()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("id", &self.id())
            .field("worker", self.worker())
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}
