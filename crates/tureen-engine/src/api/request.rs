//! Requests: each is answered by exactly one [`Response`](super::Response) or [`RequestError`](super::RequestError).

use std::net::IpAddr;
use std::time::Duration;

use super::{
    ConsumerId, DataConsumerId, DataProducerId, ProducerId, RouterId, RtpObserverId, TransportId,
    WebRtcServerId,
};
use crate::observers::audio_level::AudioLevelOptions;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::units::Bitrate;
use tureen_types::data_structures::{DtlsParameters, ListenInfo};
use tureen_types::ortc::RtpMapping;
use tureen_types::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};
use tureen_types::sctp_parameters::SctpStreamParameters;
use tureen_types::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};

/// Media or data that the application itself puts into a worker. It is not answered.
#[derive(Clone, Debug)]
pub enum Injection {
    /// An RTP packet for a Producer on a DirectTransport.
    Rtp(ProducerId, Vec<u8>),
    /// An RTCP packet from the application at the far end of a DirectTransport.
    Rtcp(TransportId, Vec<u8>),
    /// A message for a DataProducer on a DirectTransport.
    Data(DataProducerId, Publication),
}

/// A message of a DataProducer, and who shall have it.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The message.
    pub message: DataMessage,
    /// Only DataConsumers that are subscribed to one of these get it; empty: all do.
    pub subchannels: Vec<u16>,
    /// Only DataConsumers that are subscribed to this one get it.
    pub required_subchannel: Option<u16>,
    /// DataConsumers that are subscribed to this one don't get it.
    pub ignored_subchannel: Option<u16>,
}

/// A data channel message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMessage {
    /// SCTP payload protocol identifier (RFC 8831 §8): 51 string, 53 binary, 56 empty string, 57 empty binary.
    pub ppid: u32,
    /// Its bytes; one zero byte for an empty message.
    pub payload: Vec<u8>,
}

/// Something that the control side wants of a worker.
#[derive(Clone, Debug)]
pub enum Request {
    /// Describe the worker (mediasoup `worker.dump()`).
    DumpWorker,
    /// Tell how many datagrams the worker has dropped, by reason.
    WorkerDrops,
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
    /// Make a PlainTransport.
    CreatePlainTransport(CreatePlainTransport),
    /// Make a PipeTransport.
    CreatePipeTransport(CreatePipeTransport),
    /// Make a DirectTransport.
    CreateDirectTransport(CreateDirectTransport),
    /// Give a WebRtcTransport the remote DTLS parameters, which starts it.
    ConnectWebRtcTransport(TransportId, DtlsParameters),
    /// Tell a PlainTransport where its remote side is, or with what keys it speaks.
    ConnectPlainTransport(TransportId, ConnectPlain),
    /// Tell a PipeTransport where the other router's is.
    ConnectPipeTransport(TransportId, ConnectPipe),
    /// One of the three, by the kind of the transport: mediasoup's library names the kind only since 3.13.
    ConnectTransport(TransportId, ConnectAny),
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
    /// Receive data messages on a transport.
    ProduceData(ProduceData),
    /// Close a DataProducer.
    CloseDataProducer(DataProducerId),
    /// Describe a DataProducer.
    DumpDataProducer(DataProducerId),
    /// Statistics of a DataProducer.
    DataProducerStats(DataProducerId),
    /// Stop forwarding from a DataProducer.
    PauseDataProducer(DataProducerId),
    /// Forward from a DataProducer again.
    ResumeDataProducer(DataProducerId),
    /// Send a DataProducer's messages on a transport.
    ConsumeData(ConsumeData),
    /// Close a DataConsumer.
    CloseDataConsumer(DataConsumerId),
    /// Describe a DataConsumer.
    DumpDataConsumer(DataConsumerId),
    /// Statistics of a DataConsumer.
    DataConsumerStats(DataConsumerId),
    /// Stop sending to a DataConsumer.
    PauseDataConsumer(DataConsumerId),
    /// Send to a DataConsumer again.
    ResumeDataConsumer(DataConsumerId),
    /// How many bytes wait to be sent to a DataConsumer.
    BufferedAmount(DataConsumerId),
    /// Below how many waiting bytes a DataConsumer says so.
    SetBufferedAmountLowThreshold(DataConsumerId, u32),
    /// Send a message of the application's own to a DataConsumer.
    SendData(DataConsumerId, DataMessage),
    /// Replace the subchannels that a DataConsumer is subscribed to.
    SetSubchannels(DataConsumerId, Vec<u16>),
    /// Subscribe a DataConsumer to a subchannel.
    AddSubchannel(DataConsumerId, u16),
    /// End a DataConsumer's subscription to a subchannel.
    RemoveSubchannel(DataConsumerId, u16),
    /// Make an observer of who speaks.
    CreateActiveSpeakerObserver(CreateActiveSpeakerObserver),
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
    /// Likewise, but `prefer_udp` and `prefer_tcp` are heeded as on a WebRtcServer: mediasoup before it had listen infos.
    Addresses(Vec<ListenInfo>),
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
    /// Without a consent check for this long the transport is disconnected (RFC 7675): 10 to 60 s
    /// ([`CONSENT_TIMEOUTS`](tureen_rtc::ice::CONSENT_TIMEOUTS)), anything else is refused. `None` disables the check.
    pub ice_consent_timeout: Option<Duration>,
    /// Where the outgoing estimate starts.
    pub initial_available_outgoing_bitrate: Bitrate,
    /// Data channels; `None` disables them.
    pub sctp: Option<SctpOptions>,
}

/// Options of a PlainTransport.
#[derive(Clone, Debug)]
pub struct CreatePlainTransport {
    /// Its router.
    pub router_id: RouterId,
    /// Its identifier.
    pub id: TransportId,
    /// Its socket, for RTP, and for RTCP too with `rtcp_mux`.
    pub listen_info: ListenInfo,
    /// Socket for RTCP without `rtcp_mux`; `None`: like `listen_info`, on another port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// The remote address is that of the first packet.
    pub comedia: bool,
    /// Encrypt with this suite.
    pub srtp: Option<SrtpCryptoSuite>,
    /// Where the outgoing estimate starts.
    pub initial_available_outgoing_bitrate: Option<Bitrate>,
    /// Data channels without DTLS; `None` disables them.
    pub sctp: Option<SctpOptions>,
}

/// Options of a PipeTransport.
#[derive(Clone, Debug)]
pub struct CreatePipeTransport {
    /// Its router.
    pub router_id: RouterId,
    /// Its identifier.
    pub id: TransportId,
    /// Its socket.
    pub listen_info: ListenInfo,
    /// The other router is in this process: instead of a socket it has the end of a pipe, which the driver gets with this
    /// request. Of `listen_info` only the address counts then, as the one that is told.
    pub in_process: bool,
    /// Lost packets are sent again.
    pub enable_rtx: bool,
    /// Encrypt with this suite, [`PIPE_SUITE`](crate::transport::pipe::PIPE_SUITE) in mediasoup since 3.9.
    pub srtp: Option<SrtpCryptoSuite>,
    /// Data channels without DTLS; `None` disables them.
    pub sctp: Option<SctpOptions>,
}

/// Options of a DirectTransport.
#[derive(Clone, Debug)]
pub struct CreateDirectTransport {
    /// Its router.
    pub router_id: RouterId,
    /// Its identifier.
    pub id: TransportId,
    /// Largest data message, in bytes.
    pub max_message_size: u32,
}

/// The remote side of a PlainTransport.
#[derive(Clone, Debug, Default)]
pub struct ConnectPlain {
    /// Where it is; required without `comedia`.
    pub ip: Option<IpAddr>,
    /// Its RTP port; required without `comedia`.
    pub port: Option<u16>,
    /// Its RTCP port; required without `comedia` and `rtcp_mux`.
    pub rtcp_port: Option<u16>,
    /// Its keys; required with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
    /// Nothing is sent to an address before a first datagram has come from it: for control sides that take addresses
    /// from strangers. mediasoup trusts them, and knows no such thing.
    pub await_datagram: bool,
}

/// The remote side of a PipeTransport.
#[derive(Clone, Debug)]
pub struct ConnectPipe {
    /// Where it is.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its keys; required with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// The remote side of a transport whose kind the control side does not tell.
#[derive(Clone, Debug, Default)]
pub struct ConnectAny {
    /// What a WebRtcTransport needs.
    pub dtls_parameters: Option<DtlsParameters>,
    /// What a PlainTransport needs, or a PipeTransport.
    pub plain: ConnectPlain,
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
    /// Add mediasoup's packet id header extension to what is forwarded.
    pub enable_packet_id: bool,
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

/// How messages of a DataProducer or DataConsumer travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataTransport {
    /// On an SCTP stream.
    Sctp(SctpStreamParameters),
    /// By the application, on a DirectTransport.
    Direct,
}

/// Options of a DataProducer.
#[derive(Clone, Debug)]
pub struct ProduceData {
    /// The transport it receives on.
    pub transport_id: TransportId,
    /// Its identifier.
    pub id: DataProducerId,
    /// How its messages come in.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Start without forwarding.
    pub paused: bool,
}

/// Options of a DataConsumer.
#[derive(Clone, Debug)]
pub struct ConsumeData {
    /// The transport it sends on.
    pub transport_id: TransportId,
    /// The DataProducer it reads, of the same router.
    pub data_producer_id: DataProducerId,
    /// Its identifier.
    pub id: DataConsumerId,
    /// How its messages go out.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Start without sending.
    pub paused: bool,
    /// Subchannels it is subscribed to.
    pub subchannels: Vec<u16>,
}

/// Options of an ActiveSpeakerObserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveSpeakerOptions {
    /// How often the dominant speaker is determined.
    pub interval: Duration,
}

/// Options of an ActiveSpeakerObserver.
#[derive(Clone, Debug)]
pub struct CreateActiveSpeakerObserver {
    /// Its router.
    pub router_id: RouterId,
    /// Its identifier.
    pub id: RtpObserverId,
    /// How it observes.
    pub options: ActiveSpeakerOptions,
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
