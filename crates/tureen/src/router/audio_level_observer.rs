//! An RTP observer that tells who is loud.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use event_listener_primitives::{Bag, BagOnce, HandlerId};
use tureen_core::api::{self, CreateAudioLevelObserver, Request, RtpObserverEvent};
use tureen_core::observers::audio_level::AudioLevelOptions;

use crate::data_structures::AppData;
use crate::driver::{Channel, Sink};
use crate::producer::{Producer, ProducerId};
use crate::router::Router;
use crate::rtp_observer::{RtpObserver, RtpObserverAddProducerOptions, RtpObserverId};
use crate::worker::RequestError;

/// [`AudioLevelObserver`] options.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AudioLevelObserverOptions {
    /// Producers that [`AudioLevelObserver::on_volumes`] names, at most. Default 1.
    pub max_entries: NonZeroU16,
    /// Least average volume that counts as sound, −127 to 0 dBov. Default −80.
    pub threshold: i8,
    /// Milliseconds over which volumes are averaged; cut to 250 to 5000. Default 1000.
    pub interval: u16,
    /// Custom application data.
    pub app_data: AppData,
}

impl Default for AudioLevelObserverOptions {
    fn default() -> Self {
        Self { max_entries: NonZeroU16::MIN, threshold: -80, interval: 1000, app_data: AppData::default() }
    }
}

/// How loud a producer is.
#[derive(Clone, Debug)]
pub struct AudioLevelObserverVolume {
    /// The producer.
    pub producer: Producer,
    /// Its average volume in the last interval, −127 to 0 dBov.
    pub volume: i8,
}

/// Observes how loud audio producers are, without decoding them: senders write the level into the header extension
/// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464). A producer without it is never heard.
///
/// It takes audio producers only.
#[derive(Clone)]
#[must_use = "the observer is closed when its last handle is dropped"]
pub struct AudioLevelObserver {
    inner: Arc<Inner>,
}

struct Inner {
    id: RtpObserverId,
    handlers: Handlers,
    paused: AtomicBool,
    app_data: AppData,
    closed: AtomicBool,
    on_router_close: OnceLock<HandlerId>,
    router: Router,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    volumes: Bag<Arc<dyn Fn(&[AudioLevelObserverVolume]) + Send + Sync>>,
    silence: Bag<Arc<dyn Fn() + Send + Sync>>,
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    add_producer: Bag<Arc<dyn Fn(&Producer) + Send + Sync>, Producer>,
    remove_producer: Bag<Arc<dyn Fn(&Producer) + Send + Sync>, Producer>,
    router_close: BagOnce<Box<dyn FnOnce() + Send>>,
    close: BagOnce<Box<dyn FnOnce() + Send>>,
}

impl AudioLevelObserver {
    /// Has the worker make one.
    pub(super) async fn create(
        id: RtpObserverId,
        options: AudioLevelObserverOptions,
        router: Router,
    ) -> Result<Self, RequestError> {
        let AudioLevelObserverOptions { max_entries, threshold, interval, app_data } = options;
        let interval = Duration::from_millis(interval.into());
        let create = CreateAudioLevelObserver {
            router_id: router.id().into(),
            id: id.into(),
            options: AudioLevelOptions { max_entries, threshold, interval },
        };
        router.worker().channel().request(Request::CreateAudioLevelObserver(create)).await?;
        let inner = Arc::new(Inner {
            id,
            handlers: Handlers::default(),
            paused: AtomicBool::new(false),
            app_data,
            closed: AtomicBool::new(false),
            on_router_close: OnceLock::new(),
            router,
        });
        let weak = Arc::downgrade(&inner);
        let handler = inner.router.on_close(move || {
            if let Some(inner) = weak.upgrade() {
                inner.handlers.router_close.call_simple();
                inner.close(false);
            }
        });
        inner.on_router_close.get_or_init(|| handler);
        Ok(Self { inner })
    }

    /// Called once an interval while somebody is loud enough, with the loudest producers, the loudest first.
    pub fn on_volumes<F: Fn(&[AudioLevelObserverVolume]) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.volumes.add(Arc::new(callback))
    }

    /// Called when nobody is loud enough any more.
    pub fn on_silence<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.silence.add(Arc::new(callback))
    }

    /// A handle that does not keep it open.
    #[must_use]
    pub fn downgrade(&self) -> WeakAudioLevelObserver {
        WeakAudioLevelObserver { inner: Arc::downgrade(&self.inner) }
    }

    pub(super) fn sink(&self) -> Weak<dyn Sink<RtpObserverEvent>> {
        let weak: Weak<Inner> = Arc::downgrade(&self.inner);
        weak
    }
}

#[async_trait]
impl RtpObserver for AudioLevelObserver {
    fn id(&self) -> RtpObserverId {
        self.inner.id
    }

    fn router(&self) -> &Router {
        &self.inner.router
    }

    fn paused(&self) -> bool {
        self.inner.paused.load(Ordering::SeqCst)
    }

    fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    fn closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    async fn pause(&self) -> Result<(), RequestError> {
        self.inner.channel().request(Request::PauseRtpObserver(self.id().into())).await?;
        if !self.inner.paused.swap(true, Ordering::SeqCst) {
            self.inner.handlers.pause.call_simple();
        }
        Ok(())
    }

    async fn resume(&self) -> Result<(), RequestError> {
        self.inner.channel().request(Request::ResumeRtpObserver(self.id().into())).await?;
        if self.inner.paused.swap(false, Ordering::SeqCst) {
            self.inner.handlers.resume.call_simple();
        }
        Ok(())
    }

    async fn add_producer(&self, options: RtpObserverAddProducerOptions) -> Result<(), RequestError> {
        let RtpObserverAddProducerOptions { producer_id } = options;
        let Some(producer) = self.inner.router.producer(&producer_id) else { return Ok(()) };
        let add = Request::RtpObserverAddProducer(self.id().into(), producer_id.into());
        self.inner.channel().request(add).await?;
        self.inner.handlers.add_producer.call_simple(&producer);
        Ok(())
    }

    async fn remove_producer(&self, producer_id: ProducerId) -> Result<(), RequestError> {
        let Some(producer) = self.inner.router.producer(&producer_id) else { return Ok(()) };
        let remove = Request::RtpObserverRemoveProducer(self.id().into(), producer_id.into());
        self.inner.channel().request(remove).await?;
        self.inner.handlers.remove_producer.call_simple(&producer);
        Ok(())
    }

    fn on_pause(&self, callback: Box<dyn Fn() + Send + Sync + 'static>) -> HandlerId {
        self.inner.handlers.pause.add(Arc::new(callback))
    }

    fn on_resume(&self, callback: Box<dyn Fn() + Send + Sync + 'static>) -> HandlerId {
        self.inner.handlers.resume.add(Arc::new(callback))
    }

    fn on_add_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId {
        self.inner.handlers.add_producer.add(Arc::new(callback))
    }

    fn on_remove_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId {
        self.inner.handlers.remove_producer.add(Arc::new(callback))
    }

    fn on_router_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
        self.inner.handlers.router_close.add(callback)
    }

    fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
        let handler_id = self.inner.handlers.close.add(callback);
        if self.closed() {
            self.inner.handlers.close.call_simple();
        }
        handler_id
    }
}

impl Inner {
    fn channel(&self) -> &Channel {
        self.router.worker().channel()
    }

    fn close(&self, tell_worker: bool) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.router.worker().dispatcher().forget(api::RtpObserverId::from(self.id));
            self.handlers.close.call_simple();
            if tell_worker {
                self.channel().close(Request::CloseRtpObserver(self.id.into()));
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(true);
    }
}

impl Sink<RtpObserverEvent> for Inner {
    fn on_event(&self, event: RtpObserverEvent) {
        match event {
            RtpObserverEvent::Volumes(volumes) => {
                let of = |(id, volume): (api::ProducerId, i8)| {
                    let producer = self.router.producer(&id.into())?;
                    Some(AudioLevelObserverVolume { producer, volume })
                };
                let volumes: Vec<_> = volumes.into_iter().filter_map(of).collect();
                if !volumes.is_empty() {
                    self.handlers.volumes.call(|callback| callback(&volumes));
                }
            }
            RtpObserverEvent::Silence => self.handlers.silence.call_simple(),
            RtpObserverEvent::DominantSpeaker(_) => {}
        }
    }
}

/// A handle of an [`AudioLevelObserver`] that does not keep it open.
#[derive(Clone)]
pub struct WeakAudioLevelObserver {
    inner: Weak<Inner>,
}

impl WeakAudioLevelObserver {
    /// The observer, if a handle of it is left.
    #[must_use]
    pub fn upgrade(&self) -> Option<AudioLevelObserver> {
        self.inner.upgrade().map(|inner| AudioLevelObserver { inner })
    }
}

impl fmt::Debug for AudioLevelObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioLevelObserver")
            .field("id", &self.inner.id)
            .field("paused", &self.inner.paused)
            .field("router", &self.inner.router)
            .field("closed", &self.inner.closed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakAudioLevelObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakAudioLevelObserver").finish_non_exhaustive()
    }
}
