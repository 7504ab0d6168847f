//! A Router: a set of transports whose producers and consumers may be connected.

mod piping;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use event_listener_primitives::{Bag, HandlerId};
use hash_hasher::{HashedMap, HashedSet};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tureen_engine::api::{self, Request, Response};
use tureen_net::PipeEnd;

use self::piping::Pipes;
pub use self::piping::{
    PipeDataProducerToRouterError, PipeDataProducerToRouterPair, PipeProducerToRouterError,
    PipeProducerToRouterPair, PipeToRouterOptions,
};
use crate::active_speaker_observer::{ActiveSpeakerObserver, ActiveSpeakerObserverOptions};
use crate::audio_level_observer::{AudioLevelObserver, AudioLevelObserverOptions};
use crate::consumer::ConsumerId;
use crate::data_consumer::DataConsumerId;
use crate::data_producer::{DataProducer, DataProducerId, WeakDataProducer};
use crate::data_structures::AppData;
use crate::direct_transport::{DirectTransport, DirectTransportOptions};
use crate::driver::CloseOnDrop;
use crate::ids::uuid_id;
use crate::lifetime::{Lifetime, WorkerObject, close_with_parent};
use crate::ortc;
use crate::pipe_transport::{PipeTransport, PipeTransportOptions};
use crate::plain_transport::{PlainTransport, PlainTransportOptions};
use crate::producer::{Producer, ProducerId, WeakProducer};
use crate::rtp_observer::{RtpObserver, RtpObserverId};
use crate::rtp_parameters::{RtpCapabilities, RtpCapabilitiesFinalized, RtpCodecCapability};
use crate::transport::{Transport, TransportId};
use crate::webrtc_transport::{WebRtcTransport, WebRtcTransportOptions};
use crate::worker::{RequestError, Worker};

uuid_id!(
    /// [`Router`] identifier.
    RouterId <=> api::RouterId
);

/// [`Router`] options.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RouterOptions {
    /// Codecs of the router, without feature codecs such as RTX, which it adds itself. A
    /// `preferred_payload_type` is best left out; otherwise it should be 96 to 127.
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

/// Why [`Router::update_media_codecs`] failed.
#[derive(Debug, Error)]
pub enum UpdateMediaCodecsError {
    /// The codecs make no valid RTP capabilities.
    #[error("RTP capabilities generation error: {0}")]
    FailedRtpCapabilitiesGeneration(ortc::RtpCapabilitiesError),
}

/// What a router holds.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct RouterDump {
    /// Its identifier.
    pub id: RouterId,
    /// Which producer a consumer reads.
    pub map_consumer_id_producer_id: HashedMap<ConsumerId, ProducerId>,
    /// Which consumers read a producer.
    pub map_producer_id_consumer_ids: HashedMap<ProducerId, HashedSet<ConsumerId>>,
    /// Which data producer a data consumer reads.
    pub map_data_consumer_id_data_producer_id: HashedMap<DataConsumerId, DataProducerId>,
    /// Which data consumers read a data producer.
    pub map_data_producer_id_data_consumer_ids: HashedMap<DataProducerId, HashedSet<DataConsumerId>>,
    /// Which RTP observers observe a producer.
    pub map_producer_id_observer_ids: HashedMap<ProducerId, HashedSet<RtpObserverId>>,
    /// Its RTP observers.
    pub rtp_observer_ids: HashedSet<RtpObserverId>,
    /// Its transports.
    pub transport_ids: HashedSet<TransportId>,
}

impl From<api::RouterDump> for RouterDump {
    fn from(dump: api::RouterDump) -> Self {
        let map_producer_id_consumer_ids: HashedMap<ProducerId, HashedSet<ConsumerId>> = dump
            .producer_consumers
            .into_iter()
            .map(|(producer, consumers)| (producer.into(), consumers.into_iter().map(Into::into).collect()))
            .collect();
        let map_data_producer_id_data_consumer_ids: HashedMap<DataProducerId, HashedSet<DataConsumerId>> =
            dump.data_producer_consumers
                .into_iter()
                .map(|(producer, consumers)| {
                    (producer.into(), consumers.into_iter().map(Into::into).collect())
                })
                .collect();
        Self {
            id: dump.id.into(),
            map_consumer_id_producer_id: map_producer_id_consumer_ids
                .iter()
                .flat_map(|(producer, consumers)| consumers.iter().map(|consumer| (*consumer, *producer)))
                .collect(),
            map_producer_id_consumer_ids,
            map_data_consumer_id_data_producer_id: map_data_producer_id_data_consumer_ids
                .iter()
                .flat_map(|(producer, consumers)| consumers.iter().map(|consumer| (*consumer, *producer)))
                .collect(),
            map_data_producer_id_data_consumer_ids,
            map_producer_id_observer_ids: dump
                .producer_observers
                .into_iter()
                .map(|(producer, observers)| {
                    (producer.into(), observers.into_iter().map(Into::into).collect())
                })
                .collect(),
            rtp_observer_ids: dump.rtp_observer_ids.into_iter().map(Into::into).collect(),
            transport_ids: dump.transport_ids.into_iter().map(Into::into).collect(),
        }
    }
}

/// A new transport, by kind.
#[derive(Debug)]
pub enum NewTransport<'a> {
    /// Direct transport.
    Direct(&'a DirectTransport),
    /// Pipe transport.
    Pipe(&'a PipeTransport),
    /// Plain transport.
    Plain(&'a PlainTransport),
    /// WebRTC transport.
    WebRtc(&'a WebRtcTransport),
}

impl Deref for NewTransport<'_> {
    type Target = dyn Transport;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Direct(transport) => *transport,
            Self::Pipe(transport) => *transport,
            Self::Plain(transport) => *transport,
            Self::WebRtc(transport) => *transport,
        }
    }
}

/// A new RTP observer, by kind.
#[derive(Debug)]
pub enum NewRtpObserver<'a> {
    /// Audio level observer.
    AudioLevel(&'a AudioLevelObserver),
    /// Active speaker observer.
    ActiveSpeaker(&'a ActiveSpeakerObserver),
}

impl Deref for NewRtpObserver<'_> {
    type Target = dyn RtpObserver;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::AudioLevel(observer) => *observer,
            Self::ActiveSpeaker(observer) => *observer,
        }
    }
}

/// A set of transports whose producers and consumers may be connected: a room, or a part of one.
#[derive(Clone)]
#[must_use = "the router is closed when its last handle is dropped"]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    id: RouterId,
    rtp_capabilities: Mutex<RtpCapabilitiesFinalized>,
    producers: RwLock<HashMap<ProducerId, WeakProducer>>,
    data_producers: RwLock<HashMap<DataProducerId, WeakDataProducer>>,
    pipes: Pipes,
    handlers: Handlers,
    app_data: AppData,
    lifetime: Lifetime,
    worker: Worker,
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
            id,
            rtp_capabilities: Mutex::new(rtp_capabilities),
            producers: RwLock::default(),
            data_producers: RwLock::default(),
            pipes: Pipes::default(),
            handlers: Handlers::default(),
            app_data,
            lifetime: Lifetime::default(),
            worker,
        });
        close_with_parent(&inner, |inner| inner, |close| inner.worker.on_close(close));
        Self { inner }
    }

    /// Router id.
    #[must_use]
    pub fn id(&self) -> RouterId {
        self.inner.id
    }

    /// Its worker.
    pub fn worker(&self) -> &Worker {
        &self.inner.worker
    }

    /// Custom application data.
    #[must_use]
    pub fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    /// Whether the router is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.inner.lifetime.closed()
    }

    /// RTP capabilities of the router, which endpoints need to know before they send.
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
        match self.worker().channel().request(Request::DumpRouter(self.id().into())).await? {
            Response::RouterDump(dump) => Ok(dump.into()),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Makes a [`WebRtcTransport`].
    ///
    /// The router is kept alive by its transports.
    ///
    /// # Errors
    /// The worker can't bind a socket, refuses an option, or is closed.
    ///
    /// # Examples
    /// ```
    /// use tureen::prelude::*;
    /// use std::net::{IpAddr, Ipv4Addr};
    ///
    /// # async fn f(router: Router) -> Result<(), Box<dyn std::error::Error>> {
    /// let listen_info = ListenInfo {
    ///     protocol: Protocol::Udp,
    ///     ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    ///     announced_address: Some("sfu.example.com".to_string()),
    ///     expose_internal_ip: false,
    ///     port: None,
    ///     port_range: None,
    ///     flags: None,
    ///     send_buffer_size: None,
    ///     recv_buffer_size: None,
    /// };
    /// let options = WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(listen_info));
    /// let transport = router.create_webrtc_transport(options).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_webrtc_transport(
        &self,
        webrtc_transport_options: WebRtcTransportOptions,
    ) -> Result<WebRtcTransport, RequestError> {
        let id = TransportId::new();
        let channel = self.worker().channel();
        let guard = CloseOnDrop::new(channel, Request::CloseTransport(id.into()));
        let events = self.worker().dispatcher().hold(api::TransportId::from(id));
        let transport = WebRtcTransport::create(id, webrtc_transport_options, self.clone()).await?;
        guard.disarm();

        if let Some(webrtc_server) = transport.webrtc_server() {
            webrtc_server.announce(&transport);
        }
        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::WebRtc(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Makes a [`PlainTransport`], for endpoints that speak neither ICE nor DTLS.
    ///
    /// The router is kept alive by its transports.
    ///
    /// # Errors
    /// The worker can't bind a socket, refuses an option, or is closed.
    pub async fn create_plain_transport(
        &self,
        plain_transport_options: PlainTransportOptions,
    ) -> Result<PlainTransport, RequestError> {
        let id = TransportId::new();
        let guard = CloseOnDrop::new(self.worker().channel(), Request::CloseTransport(id.into()));
        let events = self.worker().dispatcher().hold(api::TransportId::from(id));
        let transport = PlainTransport::create(id, plain_transport_options, self.clone()).await?;
        guard.disarm();

        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::Plain(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Makes a [`PipeTransport`], for another router on another host.
    ///
    /// The router is kept alive by its transports.
    ///
    /// # Errors
    /// The worker can't bind a socket, refuses an option, or is closed.
    pub async fn create_pipe_transport(
        &self,
        pipe_transport_options: PipeTransportOptions,
    ) -> Result<PipeTransport, RequestError> {
        self.make_pipe_transport(pipe_transport_options, None).await
    }

    /// Makes a [`PipeTransport`], with a socket or with the end of a pipe in this process.
    async fn make_pipe_transport(
        &self,
        options: PipeTransportOptions,
        end: Option<PipeEnd>,
    ) -> Result<PipeTransport, RequestError> {
        let id = TransportId::new();
        let guard = CloseOnDrop::new(self.worker().channel(), Request::CloseTransport(id.into()));
        let events = self.worker().dispatcher().hold(api::TransportId::from(id));
        let transport = PipeTransport::create(id, options, self.clone(), end).await?;
        guard.disarm();

        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::Pipe(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Makes a [`DirectTransport`], for the application itself.
    ///
    /// The router is kept alive by its transports.
    ///
    /// # Errors
    /// The worker is closed.
    ///
    /// # Examples
    /// ```
    /// use std::borrow::Cow;
    /// use tureen::prelude::*;
    ///
    /// # async fn f(router: Router, chat: DataConsumer) -> Result<(), Box<dyn std::error::Error>> {
    /// let transport = router.create_direct_transport(DirectTransportOptions::default()).await?;
    /// let DataProducer::Direct(bot) = transport.produce_data(DataProducerOptions::new_direct()).await? else {
    ///     unreachable!("it is on a direct transport")
    /// };
    /// bot.send(WebRtcMessage::String(Cow::Borrowed(b"hello")), None, None, None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_direct_transport(
        &self,
        direct_transport_options: DirectTransportOptions,
    ) -> Result<DirectTransport, RequestError> {
        let id = TransportId::new();
        let guard = CloseOnDrop::new(self.worker().channel(), Request::CloseTransport(id.into()));
        let events = self.worker().dispatcher().hold(api::TransportId::from(id));
        let transport = DirectTransport::create(id, direct_transport_options, self.clone()).await?;
        guard.disarm();

        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::Direct(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Makes an [`AudioLevelObserver`].
    ///
    /// The router is kept alive by its observers.
    ///
    /// # Errors
    /// The threshold is above 0, or the worker is closed.
    ///
    /// # Examples
    /// ```
    /// use tureen::prelude::*;
    ///
    /// # async fn f(router: Router, microphone: Producer) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut options = AudioLevelObserverOptions::default();
    /// options.interval = 800;
    /// let observer = router.create_audio_level_observer(options).await?;
    /// observer.on_volumes(|volumes| println!("loudest: {}", volumes[0].producer.id())).detach();
    /// observer.add_producer(RtpObserverAddProducerOptions::new(microphone.id())).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_audio_level_observer(
        &self,
        audio_level_observer_options: AudioLevelObserverOptions,
    ) -> Result<AudioLevelObserver, RequestError> {
        let id = RtpObserverId::new();
        let guard = CloseOnDrop::new(self.worker().channel(), Request::CloseRtpObserver(id.into()));
        let events = self.worker().dispatcher().hold(api::RtpObserverId::from(id));
        let observer = AudioLevelObserver::create(id, audio_level_observer_options, self.clone()).await?;
        guard.disarm();

        self.inner.handlers.new_rtp_observer.call(|callback| callback(NewRtpObserver::AudioLevel(&observer)));
        events.deliver_to(observer.sink());
        Ok(observer)
    }

    /// Makes an [`ActiveSpeakerObserver`].
    ///
    /// The router is kept alive by its observers.
    ///
    /// # Errors
    /// The worker is closed.
    ///
    /// # Examples
    /// ```
    /// use tureen::prelude::*;
    ///
    /// # async fn f(router: Router, microphone: Producer) -> Result<(), Box<dyn std::error::Error>> {
    /// let options = ActiveSpeakerObserverOptions::default();
    /// let observer = router.create_active_speaker_observer(options).await?;
    /// observer.on_dominant_speaker(|speaker| println!("{} speaks", speaker.producer.id())).detach();
    /// observer.add_producer(RtpObserverAddProducerOptions::new(microphone.id())).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_active_speaker_observer(
        &self,
        active_speaker_observer_options: ActiveSpeakerObserverOptions,
    ) -> Result<ActiveSpeakerObserver, RequestError> {
        let id = RtpObserverId::new();
        let guard = CloseOnDrop::new(self.worker().channel(), Request::CloseRtpObserver(id.into()));
        let events = self.worker().dispatcher().hold(api::RtpObserverId::from(id));
        let observer =
            ActiveSpeakerObserver::create(id, active_speaker_observer_options, self.clone()).await?;
        guard.disarm();

        self.inner
            .handlers
            .new_rtp_observer
            .call(|callback| callback(NewRtpObserver::ActiveSpeaker(&observer)));
        events.deliver_to(observer.sink());
        Ok(observer)
    }

    /// Whether an endpoint with the given capabilities can consume the given producer.
    #[must_use]
    pub fn can_consume(&self, producer_id: &ProducerId, rtp_capabilities: &RtpCapabilities) -> bool {
        let Some(producer) = self.producer(producer_id) else {
            tracing::error!(%producer_id, "can_consume: no such producer");
            return false;
        };
        ortc::can_consume(producer.consumable_rtp_parameters(), rtp_capabilities).unwrap_or_else(|error| {
            // Whoever gave the capabilities may ask for each of thousands of producers.
            tracing::debug!(%error, "can_consume: bad RTP capabilities");
            false
        })
    }

    /// Changes the codecs of the router, and with them [`Router::rtp_capabilities`]. What is produced and consumed
    /// already stays as it is.
    ///
    /// # Errors
    /// The codecs make no valid RTP capabilities.
    pub fn update_media_codecs(
        &mut self,
        media_codecs: Vec<RtpCodecCapability>,
    ) -> Result<(), UpdateMediaCodecsError> {
        let rtp_capabilities = ortc::generate_router_rtp_capabilities(media_codecs)
            .map_err(UpdateMediaCodecsError::FailedRtpCapabilitiesGeneration)?;
        *self.inner.rtp_capabilities.lock() = rtp_capabilities;
        Ok(())
    }

    /// Called with each new transport.
    pub fn on_new_transport<F: Fn(NewTransport<'_>) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.new_transport.add(Arc::new(callback))
    }

    /// Called with each new RTP observer.
    pub fn on_new_rtp_observer<F: Fn(NewRtpObserver<'_>) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.new_rtp_observer.add(Arc::new(callback))
    }

    /// Called when its worker is closed for whatever reason, and the router with it.
    pub fn on_worker_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.lifetime.on_parent_close(Box::new(callback))
    }

    /// Called when the router is closed for whatever reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.lifetime.on_close(Box::new(callback))
    }

    pub(crate) fn producer(&self, id: &ProducerId) -> Option<Producer> {
        self.inner.producers.read().get(id)?.upgrade()
    }

    pub(crate) fn add_producer(&self, producer: &Producer) {
        self.inner.producers.write().insert(producer.id(), producer.downgrade());
    }

    pub(crate) fn remove_producer(&self, id: ProducerId) {
        self.inner.producers.write().remove(&id);
    }

    pub(crate) fn data_producer(&self, id: &DataProducerId) -> Option<DataProducer> {
        self.inner.data_producers.read().get(id)?.upgrade()
    }

    pub(crate) fn add_data_producer(&self, data_producer: &DataProducer) {
        self.inner.data_producers.write().insert(data_producer.id(), data_producer.downgrade());
    }

    pub(crate) fn remove_data_producer(&self, id: DataProducerId) {
        self.inner.data_producers.write().remove(&id);
    }

    /// Closes the router, whoever else has handles of it. Handles that are left are of a closed object.
    ///
    /// The worker is told at once. The future is done when it has closed it: what belonged to it may be used again.
    /// Dropping the future takes nothing back. Not in the mediasoup crate, where a router is closed with its last handle.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        self.inner.close_and_wait()
    }
}

impl WorkerObject for Inner {
    fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    fn worker(&self) -> &Worker {
        &self.worker
    }

    fn close_request(&self) -> Request {
        Request::CloseRouter(self.id.into())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(true);
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("id", &self.inner.id)
            .field("worker", &self.inner.worker)
            .field("closed", &self.inner.lifetime)
            .finish_non_exhaustive()
    }
}
