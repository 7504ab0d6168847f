//! The part of an RTP observer that does not depend on its kind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener_primitives::{Bag, HandlerId};
use tureen_engine::api::{self, Request};

use super::{RtpObserverAddProducerOptions, RtpObserverId};
use crate::data_structures::AppData;
use crate::object::{Object, ObjectId};
use crate::producer::{Producer, ProducerId};
use crate::router::Router;
use crate::worker::RequestError;

/// The part of an RTP observer that does not depend on its kind. Dropped, it closes the observer.
pub(crate) struct ObserverBase {
    object: Object<RtpObserverId>,
    handlers: Handlers,
    paused: AtomicBool,
}

impl ObjectId for RtpObserverId {
    type Parent = Router;

    fn close_request(self) -> Request {
        Request::CloseRtpObserver(self.into())
    }

    fn withdraw(self, router: &Router) {
        router.worker().dispatcher().forget(api::RtpObserverId::from(self));
    }
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    add_producer: Bag<Arc<dyn Fn(&Producer) + Send + Sync>, Producer>,
    remove_producer: Bag<Arc<dyn Fn(&Producer) + Send + Sync>, Producer>,
}

impl ObserverBase {
    pub(crate) fn new(id: RtpObserverId, app_data: AppData, router: Router) -> Self {
        Self {
            object: Object::new(id, app_data, router),
            handlers: Handlers::default(),
            paused: AtomicBool::new(false),
        }
    }

    pub(crate) fn object(&self) -> &Object<RtpObserverId> {
        &self.object
    }

    pub(crate) fn router(&self) -> &Router {
        self.object.parent()
    }

    pub(crate) fn on_pause(&self, callback: Box<dyn Fn() + Send + Sync>) -> HandlerId {
        self.handlers.pause.add(Arc::new(callback))
    }

    pub(crate) fn on_resume(&self, callback: Box<dyn Fn() + Send + Sync>) -> HandlerId {
        self.handlers.resume.add(Arc::new(callback))
    }

    pub(crate) fn on_add_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync>) -> HandlerId {
        self.handlers.add_producer.add(Arc::new(callback))
    }

    pub(crate) fn on_remove_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync>) -> HandlerId {
        self.handlers.remove_producer.add(Arc::new(callback))
    }

    pub(crate) fn paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    pub(crate) async fn pause(&self) -> Result<(), RequestError> {
        self.object.request(Request::PauseRtpObserver(self.object.id().into())).await?;
        if !self.paused.swap(true, Ordering::SeqCst) {
            self.handlers.pause.call_simple();
        }
        Ok(())
    }

    pub(crate) async fn resume(&self) -> Result<(), RequestError> {
        self.object.request(Request::ResumeRtpObserver(self.object.id().into())).await?;
        if self.paused.swap(false, Ordering::SeqCst) {
            self.handlers.resume.call_simple();
        }
        Ok(())
    }

    pub(crate) async fn add_producer(
        &self,
        options: RtpObserverAddProducerOptions,
    ) -> Result<(), RequestError> {
        let RtpObserverAddProducerOptions { producer_id } = options;
        let Some(producer) = self.router().producer(&producer_id) else { return Ok(()) };
        let add = Request::RtpObserverAddProducer(self.object.id().into(), producer_id.into());
        self.object.request(add).await?;
        self.handlers.add_producer.call_simple(&producer);
        Ok(())
    }

    pub(crate) async fn remove_producer(&self, producer_id: ProducerId) -> Result<(), RequestError> {
        let Some(producer) = self.router().producer(&producer_id) else { return Ok(()) };
        let remove = Request::RtpObserverRemoveProducer(self.object.id().into(), producer_id.into());
        self.object.request(remove).await?;
        self.handlers.remove_producer.call_simple(&producer);
        Ok(())
    }

    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.object.id())
            .field("paused", &self.paused)
            .field("router", self.router())
            .field("closed", &self.object.closed())
            .finish_non_exhaustive()
    }
}

/// Implements [`RtpObserver`](super::RtpObserver) for a handle whose `inner.base` is an [`ObserverBase`], and defines its
/// weak form.
macro_rules! impl_rtp_observer {
    ($observer:ident, $weak:ident) => {
        $crate::handles::handle_of_inner!($observer);

        $crate::handles::weak_handle! {
            #[doc = concat!("A handle of an [`", stringify!($observer), "`] that does not keep it open.")]
            $weak,
            /// The observer, if a handle of it is left.
            upgrade to $observer, events: tureen_engine::api::RtpObserverEvent
        }

        impl std::fmt::Debug for $observer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.inner.base.fmt_as(stringify!($observer), f)
            }
        }

        #[async_trait::async_trait]
        impl $crate::rtp_observer::RtpObserver for $observer {
            fn id(&self) -> $crate::rtp_observer::RtpObserverId {
                self.inner.base.object().id()
            }

            fn router(&self) -> &$crate::router::Router {
                self.inner.base.router()
            }

            fn paused(&self) -> bool {
                self.inner.base.paused()
            }

            fn app_data(&self) -> &$crate::data_structures::AppData {
                self.inner.base.object().app_data()
            }

            fn closed(&self) -> bool {
                self.inner.base.object().closed()
            }

            async fn pause(&self) -> Result<(), $crate::worker::RequestError> {
                self.inner.base.pause().await
            }

            async fn resume(&self) -> Result<(), $crate::worker::RequestError> {
                self.inner.base.resume().await
            }

            async fn add_producer(
                &self,
                options: $crate::rtp_observer::RtpObserverAddProducerOptions,
            ) -> Result<(), $crate::worker::RequestError> {
                self.inner.base.add_producer(options).await
            }

            async fn remove_producer(
                &self,
                producer_id: $crate::producer::ProducerId,
            ) -> Result<(), $crate::worker::RequestError> {
                self.inner.base.remove_producer(producer_id).await
            }

            fn on_pause(
                &self,
                callback: Box<dyn Fn() + Send + Sync + 'static>,
            ) -> event_listener_primitives::HandlerId {
                self.inner.base.on_pause(callback)
            }

            fn on_resume(
                &self,
                callback: Box<dyn Fn() + Send + Sync + 'static>,
            ) -> event_listener_primitives::HandlerId {
                self.inner.base.on_resume(callback)
            }

            fn on_add_producer(
                &self,
                callback: Box<dyn Fn(&$crate::producer::Producer) + Send + Sync + 'static>,
            ) -> event_listener_primitives::HandlerId {
                self.inner.base.on_add_producer(callback)
            }

            fn on_remove_producer(
                &self,
                callback: Box<dyn Fn(&$crate::producer::Producer) + Send + Sync + 'static>,
            ) -> event_listener_primitives::HandlerId {
                self.inner.base.on_remove_producer(callback)
            }

            fn on_router_close(
                &self,
                callback: Box<dyn FnOnce() + Send + 'static>,
            ) -> event_listener_primitives::HandlerId {
                self.inner.base.object().on_parent_close(callback)
            }

            fn on_close(
                &self,
                callback: Box<dyn FnOnce() + Send + 'static>,
            ) -> event_listener_primitives::HandlerId {
                self.inner.base.object().on_close(callback)
            }
        }
    };
}

pub(crate) use impl_rtp_observer;
