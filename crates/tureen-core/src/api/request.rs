//! Requests: each is answered by exactly one [`Response`](super::Response) or [`RequestError`](super::RequestError).

use std::time::Duration;

use super::{ConsumerId, ProducerId, RouterId, RtpObserverId, TransportId, WebRtcServerId};
use crate::observers::audio_level::AudioLevelOptions;
use crate::ortc::RtpMapping;
use crate::types::data_structures::{DtlsParameters, ListenInfo};
use crate::types::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};
use crate::units::Bitrate;

/// Something that the control side wants of a worker.
#[derive(Clone, Debug)]
pub enum Request {
    /// Describe the worker (mediasoup `worker.dump()`).
    DumpWorker,
    /// Open sockets that many WebRtcTransports share.
    CreateWebRtcServer(CreateWebRtcServer),
    /// Close a WebRtcServer and every transport on it.
    CloseWebRtcServer(WebRtcServerId),
    /// Describe a WebRtcServer.
    DumpWebRtcServer(WebRtcServerId),
    /// Make a Router.
    CreateRouter(RouterId),
    /// Close a Router with all that is in it.
    CloseRouter(RouterId),
    /// Describe a Router.
    DumpRouter(RouterId),
    /// Make a WebRtcTransport on sockets of its own or on a WebRtcServer.
    CreateWebRtcTransport(CreateWebRtcTransport),
    /// Give a WebRtcTransport the remote DTLS parameters, which starts it.
    ConnectWebRtcTransport(TransportId, DtlsParameters),
    /// New ICE credentials for a WebRtcTransport.
    RestartIce(TransportId),
    /// Close a transport with its producers and consumers.
    CloseTransport(TransportId),
    /// Describe a transport.
    DumpTransport(TransportId),
    /// Statistics of a transport.
    TransportStats(TransportId),
    /// Limit what the remote side may send. Zero lifts the limit.
    SetMaxIncomingBitrate(TransportId, Bitrate),
    /// Limit what is sent to the remote side. Zero lifts the limit.
    SetMaxOutgoingBitrate(TransportId, Bitrate),
    /// Floor of the outgoing estimate. Zero lifts it.
    SetMinOutgoingBitrate(TransportId, Bitrate),
    /// Choose the trace events of a transport.
    EnableTransportTrace(TransportId, TransportTrace),
    /// Receive media on a transport.
    Produce(Produce),
    /// Close a Producer.
    CloseProducer(ProducerId),
    /// Describe a Producer.
    DumpProducer(ProducerId),
    /// Statistics of a Producer's streams.
    ProducerStats(ProducerId),
    /// Stop forwarding from a Producer.
    PauseProducer(ProducerId),
    /// Forward from a Producer again.
    ResumeProducer(ProducerId),
    /// Choose the trace events of a Producer.
    EnableProducerTrace(ProducerId, MediaTrace),
    /// Send a Producer's media on a transport.
    Consume(Box<Consume>),
    /// Close a Consumer.
    CloseConsumer(ConsumerId),
    /// Describe a Consumer.
    DumpConsumer(ConsumerId),
    /// Statistics of a Consumer's stream and of what it reads.
    ConsumerStats(ConsumerId),
    /// Stop sending to a Consumer.
    PauseConsumer(ConsumerId),
    /// Send to a Consumer again, from the next key frame on for video.
    ResumeConsumer(ConsumerId),
    /// Choose the layers a Consumer would like.
    SetPreferredLayers(ConsumerId, ConsumerLayers),
    /// Weight of a Consumer when bandwidth is short, 1 (lowest) to 255.
    SetPriority(ConsumerId, u8),
    /// Ask the producing side for a key frame.
    RequestKeyFrame(ConsumerId),
    /// Choose the trace events of a Consumer.
    EnableConsumerTrace(ConsumerId, MediaTrace),
    /// Make an observer of audio levels.
    CreateAudioLevelObserver(CreateAudioLevelObserver),
    /// Close an RTP observer.
    CloseRtpObserver(RtpObserverId),
    /// Stop observing.
    PauseRtpObserver(RtpObserverId),
    /// Observe again.
    ResumeRtpObserver(RtpObserverId),
    /// Observe a Producer of the same router. An observer of audio takes no others.
    RtpObserverAddProducer(RtpObserverId, ProducerId),
    /// Observe a Producer no more.
    RtpObserverRemoveProducer(RtpObserverId, ProducerId),
}

/// Options of a WebRtcServer.
#[derive(Clone, Debug)]
pub struct CreateWebRtcServer {
    /// Its identifier.
    pub id: WebRtcServerId,
    /// One socket for each.
    pub listen_infos: Vec<ListenInfo>,
}

/// Where a WebRtcTransport listens.
#[derive(Clone, Debug)]
pub enum Listen {
    /// On sockets of its own, one for each entry.
    Individual(Vec<ListenInfo>),
    /// On the shared sockets of a WebRtcServer.
    Server(WebRtcServerId),
}

/// Options of a WebRtcTransport.
#[derive(Clone, Debug)]
pub struct CreateWebRtcTransport {
    /// Its router.
    pub router_id: RouterId,
    /// Its identifier.
    pub id: TransportId,
    /// Its sockets.
    pub listen: Listen,
    /// Offer UDP candidates.
    pub enable_udp: bool,
    /// Offer TCP candidates.
    pub enable_tcp: bool,
    /// Give UDP candidates the higher priority.
    pub prefer_udp: bool,
    /// Give TCP candidates the higher priority.
    pub prefer_tcp: bool,
    /// Without a consent check for this long the transport is disconnected (RFC 7675). `None` disables the check.
    pub ice_consent_timeout: Option<Duration>,
    /// Where the outgoing estimate starts.
    pub initial_available_outgoing_bitrate: Bitrate,
}

/// Options of a Producer.
#[derive(Clone, Debug)]
pub struct Produce {
    /// The transport it receives on.
    pub transport_id: TransportId,
    /// Its identifier.
    pub id: ProducerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// What the remote side sends.
    pub rtp_parameters: RtpParameters,
    /// How payload types and encodings map to those of the router.
    pub rtp_mapping: RtpMapping,
    /// Start without forwarding.
    pub paused: bool,
    /// Shortest time between two key frame requests for one stream. Zero: no limit.
    pub key_frame_request_delay: Duration,
}

/// Spatial and temporal layer, counted from 0, the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerLayers {
    /// Spatial layer, or simulcast encoding.
    pub spatial_layer: u8,
    /// Temporal layer; `None` is the highest there is.
    pub temporal_layer: Option<u8>,
}

/// How a Producer's streams are structured, and how a Consumer treats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamType {
    /// One stream without spatial layers.
    Simple,
    /// Several encodings, each a stream of its own.
    Simulcast,
    /// Several spatial or temporal layers in one stream.
    Svc,
    /// Every stream of the Producer is forwarded as it is.
    Pipe,
}

/// Options of a Consumer.
#[derive(Clone, Debug)]
pub struct Consume {
    /// The transport it sends on.
    pub transport_id: TransportId,
    /// The Producer it reads, of the same router.
    pub producer_id: ProducerId,
    /// Its identifier.
    pub id: ConsumerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is sent to the remote side.
    pub rtp_parameters: RtpParameters,
    /// How it reads its Producer.
    pub stream_type: StreamType,
    /// The Producer's encodings as the router knows them.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    /// Start without sending.
    pub paused: bool,
    /// Layers wanted at the start.
    pub preferred_layers: Option<ConsumerLayers>,
    /// Leave out the packets of discontinuous transmission (Opus DTX).
    pub ignore_dtx: bool,
}

/// Options of an AudioLevelObserver.
#[derive(Clone, Debug)]
pub struct CreateAudioLevelObserver {
    /// Its router.
    pub router_id: RouterId,
    /// Its identifier.
    pub id: RtpObserverId,
    /// What it reports, and how often.
    pub options: AudioLevelOptions,
}

/// Which trace events a transport emits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportTrace {
    /// Probation packets sent.
    pub probation: bool,
    /// Changes of the outgoing estimate.
    pub bwe: bool,
}

/// Which trace events a Producer or Consumer emits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaTrace {
    /// Every RTP packet.
    pub rtp: bool,
    /// Key frames.
    pub key_frame: bool,
    /// NACKs.
    pub nack: bool,
    /// Picture loss indications.
    pub pli: bool,
    /// Full intra requests.
    pub fir: bool,
    /// Sender reports (producers only).
    pub sr: bool,
}

impl MediaTrace {
    /// Whether nothing is traced.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
