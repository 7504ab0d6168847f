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

/// Media or data that the application sends into a worker. There is no response.
#[derive(Clone, Debug)]
pub enum Injection {
    /// An RTP packet for a Producer on a DirectTransport.
    Rtp(ProducerId, Vec<u8>),
    /// An RTCP packet from the application on a DirectTransport.
    Rtcp(TransportId, Vec<u8>),
    /// A message for a DataProducer on a DirectTransport.
    Data(DataProducerId, Publication),
}

/// A message of a DataProducer and its receivers.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Message to forward.
    pub message: DataMessage,
    /// The message is forwarded only to DataConsumers subscribed to one of these; if empty, there is no such condition.
    pub subchannels: Vec<u16>,
    /// The message is forwarded only to DataConsumers subscribed to this one.
    pub required_subchannel: Option<u16>,
    /// The message is not forwarded to DataConsumers subscribed to this one.
    pub ignored_subchannel: Option<u16>,
}

/// A data channel message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMessage {
    /// SCTP payload protocol identifier (RFC 8831 §8): 51 string, 53 binary, 56 empty string, 57 empty binary.
    pub ppid: u32,
    /// Payload of the message; one zero byte for an empty message.
    pub payload: Vec<u8>,
}

/// A request of the control side to a worker.
#[derive(Clone, Debug)]
pub enum Request {
    /// Describe the worker (mediasoup `worker.dump()`).
    DumpWorker,
    /// Report the number of dropped datagrams by reason.
    WorkerDrops,
    /// Open sockets that several WebRtcTransports share.
    CreateWebRtcServer(CreateWebRtcServer),
    /// Close a WebRtcServer and every transport on it.
    CloseWebRtcServer(WebRtcServerId),
    /// Describe a WebRtcServer.
    DumpWebRtcServer(WebRtcServerId),
    /// Create a Router.
    CreateRouter(RouterId),
    /// Close a Router with all objects in it.
    CloseRouter(RouterId),
    /// Describe a Router.
    DumpRouter(RouterId),
    /// Create a WebRtcTransport on sockets of its own or on a WebRtcServer.
    CreateWebRtcTransport(CreateWebRtcTransport),
    /// Create a PlainTransport.
    CreatePlainTransport(CreatePlainTransport),
    /// Create a PipeTransport.
    CreatePipeTransport(CreatePipeTransport),
    /// Create a DirectTransport.
    CreateDirectTransport(CreateDirectTransport),
    /// Set the remote DTLS parameters of a WebRtcTransport, which starts DTLS.
    ConnectWebRtcTransport(TransportId, DtlsParameters),
    /// Set the remote address or the remote SRTP keys of a PlainTransport.
    ConnectPlainTransport(TransportId, ConnectPlain),
    /// Set the remote address of a PipeTransport, that of the other router's.
    ConnectPipeTransport(TransportId, ConnectPipe),
    /// One of the three requests above, by the kind of the transport, because mediasoup's library sends the kind only
    /// since 3.13.
    ConnectTransport(TransportId, ConnectAny),
    /// Create new ICE credentials for a WebRtcTransport.
    RestartIce(TransportId),
    /// Close a transport with its producers and consumers.
    CloseTransport(TransportId),
    /// Describe a transport.
    DumpTransport(TransportId),
    /// Report the statistics of a transport.
    TransportStats(TransportId),
    /// Limit the bitrate that the remote endpoint may send. Zero removes the limit.
    SetMaxIncomingBitrate(TransportId, Bitrate),
    /// Limit the bitrate that is sent to the remote endpoint. Zero removes the limit.
    SetMaxOutgoingBitrate(TransportId, Bitrate),
    /// Set the lower limit of the outgoing estimate. Zero removes the limit.
    SetMinOutgoingBitrate(TransportId, Bitrate),
    /// Select the trace events of a transport.
    EnableTransportTrace(TransportId, TransportTrace),
    /// Receive media on a transport.
    Produce(Produce),
    /// Close a Producer.
    CloseProducer(ProducerId),
    /// Describe a Producer.
    DumpProducer(ProducerId),
    /// Report the statistics of a Producer's streams.
    ProducerStats(ProducerId),
    /// Pause a Producer, so that its media is not forwarded.
    PauseProducer(ProducerId),
    /// Resume a Producer.
    ResumeProducer(ProducerId),
    /// Select the trace events of a Producer.
    EnableProducerTrace(ProducerId, MediaTrace),
    /// Forward a Producer's media on a transport.
    Consume(Box<Consume>),
    /// Close a Consumer.
    CloseConsumer(ConsumerId),
    /// Describe a Consumer.
    DumpConsumer(ConsumerId),
    /// Report the statistics of a Consumer's stream and of the Producer stream that it forwards.
    ConsumerStats(ConsumerId),
    /// Pause a Consumer, so that it sends nothing.
    PauseConsumer(ConsumerId),
    /// Resume a Consumer, for video from the next key frame on.
    ResumeConsumer(ConsumerId),
    /// Set the preferred layers of a Consumer.
    SetPreferredLayers(ConsumerId, ConsumerLayers),
    /// Set the priority of a Consumer when bandwidth is short, 1 (lowest) to 255.
    SetPriority(ConsumerId, u8),
    /// Request a key frame from the Producer's endpoint.
    RequestKeyFrame(ConsumerId),
    /// Select the trace events of a Consumer.
    EnableConsumerTrace(ConsumerId, MediaTrace),
    /// Receive data messages on a transport.
    ProduceData(ProduceData),
    /// Close a DataProducer.
    CloseDataProducer(DataProducerId),
    /// Describe a DataProducer.
    DumpDataProducer(DataProducerId),
    /// Report the statistics of a DataProducer.
    DataProducerStats(DataProducerId),
    /// Pause a DataProducer, so that its messages are not forwarded.
    PauseDataProducer(DataProducerId),
    /// Resume a DataProducer.
    ResumeDataProducer(DataProducerId),
    /// Forward a DataProducer's messages on a transport.
    ConsumeData(ConsumeData),
    /// Close a DataConsumer.
    CloseDataConsumer(DataConsumerId),
    /// Describe a DataConsumer.
    DumpDataConsumer(DataConsumerId),
    /// Report the statistics of a DataConsumer.
    DataConsumerStats(DataConsumerId),
    /// Pause a DataConsumer, so that it sends nothing.
    PauseDataConsumer(DataConsumerId),
    /// Resume a DataConsumer.
    ResumeDataConsumer(DataConsumerId),
    /// Report the number of bytes queued for a DataConsumer.
    BufferedAmount(DataConsumerId),
    /// Set the number of queued bytes at or below which a DataConsumer sends a notification.
    SetBufferedAmountLowThreshold(DataConsumerId, u32),
    /// Send a message of the application to a DataConsumer.
    SendData(DataConsumerId, DataMessage),
    /// Replace the subchannels to which a DataConsumer is subscribed.
    SetSubchannels(DataConsumerId, Vec<u16>),
    /// Subscribe a DataConsumer to a subchannel.
    AddSubchannel(DataConsumerId, u16),
    /// Unsubscribe a DataConsumer from a subchannel.
    RemoveSubchannel(DataConsumerId, u16),
    /// Create an ActiveSpeakerObserver.
    CreateActiveSpeakerObserver(CreateActiveSpeakerObserver),
    /// Create an AudioLevelObserver.
    CreateAudioLevelObserver(CreateAudioLevelObserver),
    /// Close an RTP observer.
    CloseRtpObserver(RtpObserverId),
    /// Pause an RTP observer.
    PauseRtpObserver(RtpObserverId),
    /// Resume an RTP observer.
    ResumeRtpObserver(RtpObserverId),
    /// Add a Producer of the same router to an RTP observer. Observers of audio accept audio producers only.
    RtpObserverAddProducer(RtpObserverId, ProducerId),
    /// Remove a Producer from an RTP observer.
    RtpObserverRemoveProducer(RtpObserverId, ProducerId),
}

/// Options of a WebRtcServer.
#[derive(Clone, Debug)]
pub struct CreateWebRtcServer {
    /// Identifier of the WebRtcServer.
    pub id: WebRtcServerId,
    /// Addresses to listen on, with one socket for each.
    pub listen_infos: Vec<ListenInfo>,
}

/// Sockets of a WebRtcTransport.
#[derive(Clone, Debug)]
pub enum Listen {
    /// Sockets of its own, one for each entry.
    Individual(Vec<ListenInfo>),
    /// As `Individual`, but with `prefer_udp` and `prefer_tcp` applied as on a WebRtcServer: mediasoup's option before
    /// listen infos.
    Addresses(Vec<ListenInfo>),
    /// Shared sockets of a WebRtcServer.
    Server(WebRtcServerId),
}

/// Options of a WebRtcTransport.
#[derive(Clone, Debug)]
pub struct CreateWebRtcTransport {
    /// Router of the transport.
    pub router_id: RouterId,
    /// Identifier of the transport.
    pub id: TransportId,
    /// Sockets of the transport.
    pub listen: Listen,
    /// Offer UDP candidates.
    pub enable_udp: bool,
    /// Offer TCP candidates.
    pub enable_tcp: bool,
    /// Give UDP candidates the higher priority.
    pub prefer_udp: bool,
    /// Give TCP candidates the higher priority.
    pub prefer_tcp: bool,
    /// Time without a consent check after which the transport is disconnected (RFC 7675): 10 to 60 s
    /// ([`CONSENT_TIMEOUTS`](tureen_rtc::ice::CONSENT_TIMEOUTS)); any other value is rejected. `None` disables the
    /// check.
    pub ice_consent_timeout: Option<Duration>,
    /// Initial outgoing estimate.
    pub initial_available_outgoing_bitrate: Bitrate,
    /// SCTP options for data channels; `None` disables data channels.
    pub sctp: Option<SctpOptions>,
}

/// Options of a PlainTransport.
#[derive(Clone, Debug)]
pub struct CreatePlainTransport {
    /// Router of the transport.
    pub router_id: RouterId,
    /// Identifier of the transport.
    pub id: TransportId,
    /// Socket for RTP, and with `rtcp_mux` for RTCP too.
    pub listen_info: ListenInfo,
    /// Socket for RTCP without `rtcp_mux`; `None` means as `listen_info`, on another port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// True if RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// True if the remote address is taken from the first packet.
    pub comedia: bool,
    /// SRTP crypto suite; `None` disables SRTP.
    pub srtp: Option<SrtpCryptoSuite>,
    /// Initial outgoing estimate.
    pub initial_available_outgoing_bitrate: Option<Bitrate>,
    /// SCTP options for data messages without DTLS; `None` disables data messages.
    pub sctp: Option<SctpOptions>,
}

/// Options of a PipeTransport.
#[derive(Clone, Debug)]
pub struct CreatePipeTransport {
    /// Router of the transport.
    pub router_id: RouterId,
    /// Identifier of the transport.
    pub id: TransportId,
    /// Socket of the transport.
    pub listen_info: ListenInfo,
    /// True if the other router is in this process. Then the transport has the end of a pipe instead of a socket, which
    /// is passed to the driver with this request, and only the address of `listen_info` is used, as the one that is
    /// reported.
    pub in_process: bool,
    /// Retransmit lost packets.
    pub enable_rtx: bool,
    /// SRTP crypto suite, [`PIPE_SUITE`](crate::transport::pipe::PIPE_SUITE) in mediasoup since 3.9; `None` disables
    /// SRTP.
    pub srtp: Option<SrtpCryptoSuite>,
    /// SCTP options for data messages without DTLS; `None` disables data messages.
    pub sctp: Option<SctpOptions>,
}

/// Options of a DirectTransport.
#[derive(Clone, Debug)]
pub struct CreateDirectTransport {
    /// Router of the transport.
    pub router_id: RouterId,
    /// Identifier of the transport.
    pub id: TransportId,
    /// Largest data message in bytes.
    pub max_message_size: u32,
}

/// Remote parameters of a PlainTransport.
#[derive(Clone, Debug, Default)]
pub struct ConnectPlain {
    /// Remote address; required without `comedia`.
    pub ip: Option<IpAddr>,
    /// Remote RTP port; required without `comedia`.
    pub port: Option<u16>,
    /// Remote RTCP port; required without `comedia` and `rtcp_mux`.
    pub rtcp_port: Option<u16>,
    /// Remote SRTP keys; required with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
    /// True if nothing may be sent to a remote address before a datagram was received from it, for control sides that
    /// accept addresses from untrusted endpoints. mediasoup has no such option, because it trusts the addresses.
    pub await_datagram: bool,
}

/// Remote parameters of a PipeTransport.
#[derive(Clone, Debug)]
pub struct ConnectPipe {
    /// Remote address.
    pub ip: IpAddr,
    /// Remote port.
    pub port: u16,
    /// Remote SRTP keys; required with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// Remote parameters of a transport whose kind is not in the request.
#[derive(Clone, Debug, Default)]
pub struct ConnectAny {
    /// Parameters for a WebRtcTransport.
    pub dtls_parameters: Option<DtlsParameters>,
    /// Parameters for a PlainTransport or a PipeTransport.
    pub plain: ConnectPlain,
}

/// Options of a Producer.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Transport on which the Producer receives.
    pub transport_id: TransportId,
    /// Identifier of the Producer.
    pub id: ProducerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// RTP parameters of the remote endpoint.
    pub rtp_parameters: RtpParameters,
    /// Mapping of payload types and encodings to those of the router.
    pub rtp_mapping: RtpMapping,
    /// Create the Producer paused.
    pub paused: bool,
    /// Shortest time between two key frame requests for one stream. Zero sets no limit.
    pub key_frame_request_delay: Duration,
    /// Add mediasoup's packet id header extension to forwarded packets.
    pub enable_packet_id: bool,
}

/// Spatial and temporal layer, counted from 0, the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerLayers {
    /// Spatial layer or simulcast encoding.
    pub spatial_layer: u8,
    /// Temporal layer; `None` means the highest one.
    pub temporal_layer: Option<u8>,
}

/// Structure of a Producer's streams, and their handling by a Consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamType {
    /// One stream without spatial layers.
    Simple,
    /// Several encodings, each a stream of its own.
    Simulcast,
    /// Several spatial or temporal layers in one stream.
    Svc,
    /// All streams of the Producer, forwarded unchanged.
    Pipe,
}

/// Options of a Consumer.
#[derive(Clone, Debug)]
pub struct Consume {
    /// Transport on which the Consumer sends.
    pub transport_id: TransportId,
    /// Producer, of the same router, whose media is forwarded.
    pub producer_id: ProducerId,
    /// Identifier of the Consumer.
    pub id: ConsumerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// RTP parameters of the sent streams.
    pub rtp_parameters: RtpParameters,
    /// Handling of the streams of its Producer.
    pub stream_type: StreamType,
    /// Encodings of the Producer in the terms of the router.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    /// Create the Consumer paused.
    pub paused: bool,
    /// Initial preferred layers.
    pub preferred_layers: Option<ConsumerLayers>,
    /// Drop the packets of discontinuous transmission (Opus DTX).
    pub ignore_dtx: bool,
}

/// Path of the messages of a DataProducer or DataConsumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataTransport {
    /// An SCTP stream.
    Sctp(SctpStreamParameters),
    /// The application, on a DirectTransport.
    Direct,
}

/// Options of a DataProducer.
#[derive(Clone, Debug)]
pub struct ProduceData {
    /// Transport on which the DataProducer receives.
    pub transport_id: TransportId,
    /// Identifier of the DataProducer.
    pub id: DataProducerId,
    /// Path on which its messages are received.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Create the DataProducer paused.
    pub paused: bool,
}

/// Options of a DataConsumer.
#[derive(Clone, Debug)]
pub struct ConsumeData {
    /// Transport on which the DataConsumer sends.
    pub transport_id: TransportId,
    /// DataProducer, of the same router, whose messages are forwarded.
    pub data_producer_id: DataProducerId,
    /// Identifier of the DataConsumer.
    pub id: DataConsumerId,
    /// Path on which its messages are sent.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Create the DataConsumer paused.
    pub paused: bool,
    /// Subchannels to which it is subscribed.
    pub subchannels: Vec<u16>,
}

/// Settings of an ActiveSpeakerObserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveSpeakerOptions {
    /// Time between two decisions on the dominant speaker.
    pub interval: Duration,
}

/// Options of an ActiveSpeakerObserver.
#[derive(Clone, Debug)]
pub struct CreateActiveSpeakerObserver {
    /// Router of the observer.
    pub router_id: RouterId,
    /// Identifier of the observer.
    pub id: RtpObserverId,
    /// Settings of the observer.
    pub options: ActiveSpeakerOptions,
}

/// Options of an AudioLevelObserver.
#[derive(Clone, Debug)]
pub struct CreateAudioLevelObserver {
    /// Router of the observer.
    pub router_id: RouterId,
    /// Identifier of the observer.
    pub id: RtpObserverId,
    /// Settings of the observer.
    pub options: AudioLevelOptions,
}

/// Trace events that a transport emits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportTrace {
    /// Probation packets sent.
    pub probation: bool,
    /// Changes of the outgoing estimate.
    pub bwe: bool,
}

/// Trace events that a Producer or Consumer emits.
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
    /// True if no trace event is enabled.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
