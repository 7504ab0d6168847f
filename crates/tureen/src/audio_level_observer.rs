//! An RTP observer that reports the loudest audio producers.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use event_listener_primitives::{Bag, HandlerId};
use tureen_engine::api::AudioLevelOptions;
use tureen_engine::api::{CreateAudioLevelObserver, ProducerId, Request, RtpObserverEvent};

use crate::data_structures::AppData;
use crate::object::close_with_parent;
use crate::producer::Producer;
use crate::router::Router;
use crate::rtp_observer::{ObserverBase, RtpObserverId, impl_rtp_observer};
use crate::threads::Sink;
use crate::worker::RequestError;

/// [`AudioLevelObserver`] options.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AudioLevelObserverOptions {
    /// Maximum number of producers in [`AudioLevelObserver::on_volumes`]. Default 1.
    pub max_entries: NonZeroU16,
    /// Minimum average volume, −127 to 0 dBov. Quieter producers count as silent. Default −80.
    pub threshold: i8,
    /// Averaging interval in milliseconds, clamped to 250 to 5000. Default 1000.
    pub interval: u16,
    /// Custom application data.
    pub app_data: AppData,
}

impl Default for AudioLevelObserverOptions {
    fn default() -> Self {
        Self { max_entries: NonZeroU16::MIN, threshold: -80, interval: 1000, app_data: AppData::default() }
    }
}

/// Volume of a producer.
#[derive(Clone, Debug)]
pub struct AudioLevelObserverVolume {
    /// Producer.
    pub producer: Producer,
    /// Average volume in the last interval, −127 to 0 dBov.
    pub volume: i8,
}

/// Observes the volume of audio producers without decoding: senders write the level into the header extension
/// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464). Producers without that extension count as silent.
///
/// Supports audio producers only.
#[derive(Clone)]
#[must_use = "the observer is closed when its last handle is dropped"]
pub struct AudioLevelObserver {
    inner: Arc<Inner>,
}

struct Inner {
    handlers: Handlers,
    base: ObserverBase,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    volumes: Bag<Arc<dyn Fn(&[AudioLevelObserverVolume]) + Send + Sync>>,
    silence: Bag<Arc<dyn Fn() + Send + Sync>>,
}

impl AudioLevelObserver {
    /// Creates the observer in the worker, and its handle.
    pub(crate) async fn create(
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
        let base = ObserverBase::new(id, app_data, router);
        let inner = Arc::new(Inner { handlers: Handlers::default(), base });
        close_with_parent(&inner, |inner| inner.base.object());
        Ok(Self { inner })
    }

    /// Calls `callback` once per interval while a producer is above the threshold, with the loudest producers, the
    /// loudest first.
    pub fn on_volumes<F: Fn(&[AudioLevelObserverVolume]) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.volumes.add(Arc::new(callback))
    }

    /// Calls `callback` when no producer is above the threshold any more.
    pub fn on_silence<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.silence.add(Arc::new(callback))
    }
}

impl_rtp_observer!(AudioLevelObserver, WeakAudioLevelObserver);

impl Sink<RtpObserverEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.base.object().closed()
    }

    fn on_event(&self, event: RtpObserverEvent) {
        match event {
            RtpObserverEvent::Volumes(volumes) => {
                let of = |(id, volume): (ProducerId, i8)| {
                    let producer = self.base.router().producer(&id.into())?;
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
