//! An RTP observer looks at the media of chosen producers.

mod base;

use async_trait::async_trait;
use event_listener_primitives::HandlerId;
use tureen_engine::api;

pub(crate) use self::base::{ObserverBase, impl_rtp_observer};
use crate::data_structures::AppData;
use crate::ids::uuid_id;
use crate::producer::{Producer, ProducerId};
use crate::router::Router;
use crate::worker::RequestError;

uuid_id!(
    /// [`RtpObserver`] identifier.
    RtpObserverId <=> api::RtpObserverId
);

/// Options of [`RtpObserver::add_producer`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RtpObserverAddProducerOptions {
    /// The producer to observe.
    pub producer_id: ProducerId,
}

impl RtpObserverAddProducerOptions {
    /// Options that name the producer.
    #[must_use]
    pub fn new(producer_id: ProducerId) -> Self {
        Self { producer_id }
    }
}

/// Looks at the media of chosen producers of a router. Implemented by
/// [`AudioLevelObserver`](crate::audio_level_observer::AudioLevelObserver) and
/// [`ActiveSpeakerObserver`](crate::active_speaker_observer::ActiveSpeakerObserver).
#[async_trait]
pub trait RtpObserver {
    /// RTP observer id.
    #[must_use]
    fn id(&self) -> RtpObserverId;

    /// Its router.
    fn router(&self) -> &Router;

    /// Whether it is paused.
    #[must_use]
    fn paused(&self) -> bool;

    /// Custom application data.
    #[must_use]
    fn app_data(&self) -> &AppData;

    /// Whether it is closed.
    #[must_use]
    fn closed(&self) -> bool;

    /// Stops observing.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn pause(&self) -> Result<(), RequestError>;

    /// Observes again.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn resume(&self) -> Result<(), RequestError>;

    /// Observes a producer of the router. One that is gone already is ignored.
    ///
    /// # Errors
    /// The observer is not for producers of this kind. Otherwise see [`RequestError`].
    async fn add_producer(
        &self,
        rtp_observer_add_producer_options: RtpObserverAddProducerOptions,
    ) -> Result<(), RequestError>;

    /// Observes a producer no more. Producers that are closed need not be removed.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn remove_producer(&self, producer_id: ProducerId) -> Result<(), RequestError>;

    /// Called when it is paused.
    fn on_pause(&self, callback: Box<dyn Fn() + Send + Sync + 'static>) -> HandlerId;

    /// Called when it is resumed.
    fn on_resume(&self, callback: Box<dyn Fn() + Send + Sync + 'static>) -> HandlerId;

    /// Called with each producer that is added.
    fn on_add_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId;

    /// Called with each producer that is removed; not when a producer is closed.
    fn on_remove_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId;

    /// Called when its router is closed for whatever reason, and the observer with it.
    fn on_router_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;

    /// Called when the observer is closed for whatever reason; at once if it is closed already.
    fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;
}
