//! Creation of a Router's transports and RTP observers.

use std::ops::Deref;

use tureen_engine::api;
use tureen_net::PipeEnd;

use super::Router;
use crate::active_speaker_observer::{ActiveSpeakerObserver, ActiveSpeakerObserverOptions};
use crate::audio_level_observer::{AudioLevelObserver, AudioLevelObserverOptions};
use crate::direct_transport::{DirectTransport, DirectTransportOptions};
use crate::object::ObjectId;
use crate::pipe_transport::{PipeTransport, PipeTransportOptions};
use crate::plain_transport::{PlainTransport, PlainTransportOptions};
use crate::rtp_observer::{RtpObserver, RtpObserverId};
use crate::threads::{CloseOnDrop, HasEvents, HeldEvents};
use crate::transport::{Transport, TransportId};
use crate::webrtc_transport::{WebRtcTransport, WebRtcTransportOptions};
use crate::worker::RequestError;

/// A new transport, by kind; see [`Router::on_new_transport`].
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

/// A new RTP observer, by kind; see [`Router::on_new_rtp_observer`].
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

impl Router {
    /// Creates a [`WebRtcTransport`].
    ///
    /// A transport keeps its router open.
    ///
    /// # Errors
    /// The worker cannot bind a socket, refuses an option, or is closed.
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
        let create = WebRtcTransport::create(id, webrtc_transport_options, self.clone());
        let (transport, events) = self.create::<_, api::TransportId, _>(id, create).await?;
        if let Some(webrtc_server) = transport.webrtc_server() {
            webrtc_server.announce(&transport);
        }
        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::WebRtc(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Creates a [`PlainTransport`], for endpoints that speak neither ICE nor DTLS.
    ///
    /// A transport keeps its router open.
    ///
    /// # Errors
    /// The worker cannot bind a socket, refuses an option, or is closed.
    pub async fn create_plain_transport(
        &self,
        plain_transport_options: PlainTransportOptions,
    ) -> Result<PlainTransport, RequestError> {
        let id = TransportId::new();
        let create = PlainTransport::create(id, plain_transport_options, self.clone());
        let (transport, events) = self.create::<_, api::TransportId, _>(id, create).await?;
        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::Plain(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Creates a [`PipeTransport`], for another router on another host.
    ///
    /// A transport keeps its router open.
    ///
    /// # Errors
    /// The worker cannot bind a socket, refuses an option, or is closed.
    pub async fn create_pipe_transport(
        &self,
        pipe_transport_options: PipeTransportOptions,
    ) -> Result<PipeTransport, RequestError> {
        self.create_pipe_transport_on(pipe_transport_options, None).await
    }

    /// Creates a [`PipeTransport`] on a socket, or on the end of an in-process pipe.
    pub(super) async fn create_pipe_transport_on(
        &self,
        options: PipeTransportOptions,
        end: Option<PipeEnd>,
    ) -> Result<PipeTransport, RequestError> {
        let id = TransportId::new();
        let create = PipeTransport::create(id, options, self.clone(), end);
        let (transport, events) = self.create::<_, api::TransportId, _>(id, create).await?;
        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::Pipe(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Creates a [`DirectTransport`], for the application itself.
    ///
    /// A transport keeps its router open.
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
        let create = DirectTransport::create(id, direct_transport_options, self.clone());
        let (transport, events) = self.create::<_, api::TransportId, _>(id, create).await?;
        self.inner.handlers.new_transport.call(|callback| callback(NewTransport::Direct(&transport)));
        events.deliver_to(transport.sink());
        Ok(transport)
    }

    /// Creates an [`AudioLevelObserver`].
    ///
    /// An observer keeps its router open.
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
        let create = AudioLevelObserver::create(id, audio_level_observer_options, self.clone());
        let (observer, events) = self.create::<_, api::RtpObserverId, _>(id, create).await?;
        self.inner.handlers.new_rtp_observer.call(|callback| callback(NewRtpObserver::AudioLevel(&observer)));
        events.deliver_to(observer.sink());
        Ok(observer)
    }

    /// Creates an [`ActiveSpeakerObserver`].
    ///
    /// An observer keeps its router open.
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
        let create = ActiveSpeakerObserver::create(id, active_speaker_observer_options, self.clone());
        let (observer, events) = self.create::<_, api::RtpObserverId, _>(id, create).await?;
        self.inner
            .handlers
            .new_rtp_observer
            .call(|callback| callback(NewRtpObserver::ActiveSpeaker(&observer)));
        events.deliver_to(observer.sink());
        Ok(observer)
    }

    /// Runs `create`, which creates the object `id` in the worker. Its events are held until the application's callbacks
    /// for new objects have returned. The object is closed again if `create` fails or the future is dropped.
    async fn create<Id, EventId, Handle>(
        &self,
        id: Id,
        create: impl Future<Output = Result<Handle, RequestError>>,
    ) -> Result<(Handle, HeldEvents<'_, EventId>), RequestError>
    where
        Id: ObjectId + Into<EventId>,
        EventId: HasEvents,
    {
        // Both before the request is sent: the object may have events, or be abandoned, before the response.
        let guard = CloseOnDrop::new(self.worker().channel(), id.close_request());
        let events = self.worker().dispatcher().hold(id.into());
        let handle = create.await?;
        guard.disarm();
        Ok((handle, events))
    }
}
