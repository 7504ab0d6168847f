//! An RTP observer that reports the dominant speaker.

use std::sync::Arc;
use std::time::Duration;

use event_listener_primitives::{Bag, HandlerId};
use tureen_engine::api::{ActiveSpeakerOptions, CreateActiveSpeakerObserver, Request, RtpObserverEvent};

use crate::data_structures::AppData;
use crate::object::close_with_parent;
use crate::producer::Producer;
use crate::router::Router;
use crate::rtp_observer::{ObserverBase, RtpObserverId, impl_rtp_observer};
use crate::threads::Sink;
use crate::worker::RequestError;

/// [`ActiveSpeakerObserver`] options.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActiveSpeakerObserverOptions {
    /// Interval between decisions in milliseconds, clamped to 100 to 5000. Default 300.
    pub interval: u16,
    /// Custom application data.
    pub app_data: AppData,
}

impl Default for ActiveSpeakerObserverOptions {
    fn default() -> Self {
        Self { interval: 300, app_data: AppData::default() }
    }
}

/// The dominant speaker.
#[derive(Clone, Debug)]
pub struct ActiveSpeakerObserverDominantSpeaker {
    /// Producer.
    pub producer: Producer,
}

/// Observes which of its audio producers is the dominant speaker, without decoding: senders write the level into the
/// header extension `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
///
/// The method is that of Volfin and Cohen (2013): a producer that is louder for a while becomes dominant, and a cough
/// does not. While there are producers, one is dominant, also in silence.
///
/// Supports audio producers only.
#[derive(Clone)]
#[must_use = "the observer is closed when its last handle is dropped"]
pub struct ActiveSpeakerObserver {
    inner: Arc<Inner>,
}

struct Inner {
    handlers: Handlers,
    base: ObserverBase,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    dominant_speaker: Bag<
        Arc<dyn Fn(&ActiveSpeakerObserverDominantSpeaker) + Send + Sync>,
        ActiveSpeakerObserverDominantSpeaker,
    >,
}

impl ActiveSpeakerObserver {
    /// Creates the observer in the worker, and its handle.
    pub(crate) async fn create(
        id: RtpObserverId,
        options: ActiveSpeakerObserverOptions,
        router: Router,
    ) -> Result<Self, RequestError> {
        let ActiveSpeakerObserverOptions { interval, app_data } = options;
        let create = CreateActiveSpeakerObserver {
            router_id: router.id().into(),
            id: id.into(),
            options: ActiveSpeakerOptions { interval: Duration::from_millis(interval.into()) },
        };
        router.worker().channel().request(Request::CreateActiveSpeakerObserver(create)).await?;
        let base = ObserverBase::new(id, app_data, router);
        let inner = Arc::new(Inner { handlers: Handlers::default(), base });
        close_with_parent(&inner, |inner| inner.base.object());
        Ok(Self { inner })
    }

    /// Calls `callback` when another producer becomes dominant.
    pub fn on_dominant_speaker<F: Fn(&ActiveSpeakerObserverDominantSpeaker) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.dominant_speaker.add(Arc::new(callback))
    }
}

impl_rtp_observer!(ActiveSpeakerObserver, WeakActiveSpeakerObserver);

impl Sink<RtpObserverEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.base.object().closed()
    }

    fn on_event(&self, event: RtpObserverEvent) {
        let RtpObserverEvent::DominantSpeaker(id) = event else { return };
        if let Some(producer) = self.base.router().producer(&id.into()) {
            let speaker = ActiveSpeakerObserverDominantSpeaker { producer };
            self.handlers.dominant_speaker.call_simple(&speaker);
        }
    }
}
