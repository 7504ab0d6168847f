//! An observer of the RTP of selected producers.

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
    /// Producer to observe.
    pub producer_id: ProducerId,
}

impl RtpObserverAddProducerOptions {
    /// Options with the given producer.
    #[must_use]
    pub fn new(producer_id: ProducerId) -> Self {
        Self { producer_id }
    }
}

/// An observer of the RTP of selected producers of a router. Implemented by
/// [`AudioLevelObserver`](crate::audio_level_observer::AudioLevelObserver) and
/// [`ActiveSpeakerObserver`](crate::active_speaker_observer::ActiveSpeakerObserver).
#[async_trait]
pub trait RtpObserver {
    /// Identifier of the RTP observer.
    #[must_use]
    fn id(&self) -> RtpObserverId;

    /// Router of the RTP observer.
    fn router(&self) -> &Router;

    /// True if the RTP observer is paused.
    #[must_use]
    fn paused(&self) -> bool;

    /// Custom application data.
    #[must_use]
    fn app_data(&self) -> &AppData;

    /// True if the RTP observer is closed.
    #[must_use]
    fn closed(&self) -> bool;

    /// Stops observing.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn pause(&self) -> Result<(), RequestError>;

    /// Resumes observing.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn resume(&self) -> Result<(), RequestError>;

    /// Adds a producer of the router. A producer that is closed already is ignored.
    ///
    /// # Errors
    /// The observer does not support the producer's media kind; see also [`RequestError`].
    async fn add_producer(
        &self,
        rtp_observer_add_producer_options: RtpObserverAddProducerOptions,
    ) -> Result<(), RequestError>;

    /// Removes a producer. Closed producers need not be removed.
    ///
    /// # Errors
    /// See [`RequestError`].
    async fn remove_producer(&self, producer_id: ProducerId) -> Result<(), RequestError>;

    /// Calls `callback` when the observer is paused.
    fn on_pause(&self, callback: Box<dyn Fn() + Send + Sync + 'static>) -> HandlerId;

    /// Calls `callback` when the observer is resumed.
    fn on_resume(&self, callback: Box<dyn Fn() + Send + Sync + 'static>) -> HandlerId;

    /// Calls `callback` with each added producer.
    fn on_add_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId;

    /// Calls `callback` with each removed producer, but not when a producer is closed.
    fn on_remove_producer(&self, callback: Box<dyn Fn(&Producer) + Send + Sync + 'static>) -> HandlerId;

    /// Calls `callback` when the router is closed for any reason, and the observer with it.
    fn on_router_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;

    /// Calls `callback` when the observer is closed for any reason; at once if it is closed already.
    fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId;
}
