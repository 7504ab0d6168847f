//! State of objects, as `dump()` returns it.

use super::{
    ConsumerId, ConsumerLayers, DataConsumerId, DataProducerId, DataTransport, MediaTrace, ProducerId,
    RouterId, RtpObserverId, StreamType, TransportId, TransportTrace, WebRtcServerId,
};
use tureen_rtc::wire::rtp::ExtensionIds;
use tureen_types::data_structures::{
    DtlsParameters, DtlsState, IceCandidate, IceParameters, IceRole, IceState, SctpState, TransportTuple,
};
use tureen_types::ortc::RtpMapping;
use tureen_types::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};
use tureen_types::sctp_parameters::{SctpNegotiatedCapabilities, SctpParameters};
use tureen_types::srtp_parameters::SrtpParameters;

/// State of a worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerDump {
    /// Its WebRtcServers.
    pub webrtc_server_ids: Vec<WebRtcServerId>,
    /// Its routers.
    pub router_ids: Vec<RouterId>,
    /// Transports of all routers.
    pub transport_ids: Vec<TransportId>,
    /// Producers of all routers.
    pub producer_ids: Vec<ProducerId>,
    /// Consumers of all routers.
    pub consumer_ids: Vec<ConsumerId>,
    /// RTP observers of all routers.
    pub rtp_observer_ids: Vec<RtpObserverId>,
    /// DataProducers of all routers.
    pub data_producer_ids: Vec<DataProducerId>,
    /// DataConsumers of all routers.
    pub data_consumer_ids: Vec<DataConsumerId>,
}

/// Local address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPort {
    /// IP address.
    pub ip: std::net::IpAddr,
    /// Port.
    pub port: u16,
}

/// State of a WebRtcServer.
#[derive(Clone, Debug)]
pub struct WebRtcServerDump {
    /// Identifier of the WebRtcServer.
    pub id: WebRtcServerId,
    /// Its UDP sockets.
    pub udp_sockets: Vec<IpPort>,
    /// Its TCP listeners.
    pub tcp_servers: Vec<IpPort>,
    /// Transports that use its sockets.
    pub webrtc_transport_ids: Vec<TransportId>,
    /// Transport of each local ICE username fragment.
    pub local_ice_username_fragments: Vec<(String, TransportId)>,
}

/// State of a Router.
#[derive(Clone, Debug)]
pub struct RouterDump {
    /// Identifier of the Router.
    pub id: RouterId,
    /// Its transports.
    pub transport_ids: Vec<TransportId>,
    /// Consumers of each Producer.
    pub producer_consumers: Vec<(ProducerId, Vec<ConsumerId>)>,
    /// Its RTP observers.
    pub rtp_observer_ids: Vec<RtpObserverId>,
    /// RTP observers of each Producer.
    pub producer_observers: Vec<(ProducerId, Vec<RtpObserverId>)>,
    /// DataConsumers of each DataProducer.
    pub data_producer_consumers: Vec<(DataProducerId, Vec<DataConsumerId>)>,
}

/// State of a transport.
#[derive(Clone, Debug)]
pub struct TransportDump {
    /// Identifier of the transport.
    pub id: TransportId,
    /// Its producers.
    pub producer_ids: Vec<ProducerId>,
    /// Its consumers.
    pub consumer_ids: Vec<ConsumerId>,
    /// Consumer of each sent SSRC.
    pub ssrc_consumers: Vec<(u32, ConsumerId)>,
    /// Consumer of each sent RTX SSRC.
    pub rtx_ssrc_consumers: Vec<(u32, ConsumerId)>,
    /// Negotiated ids of the header extensions of received packets.
    pub recv_rtp_header_extensions: ExtensionIds,
    /// Assignment of received packets to producers.
    pub rtp_listener: RtpListenerDump,
    /// Its DataProducers.
    pub data_producer_ids: Vec<DataProducerId>,
    /// Its DataConsumers.
    pub data_consumer_ids: Vec<DataConsumerId>,
    /// Largest data message that may be sent, in bytes.
    pub max_send_message_size: u32,
    /// Largest data message that is accepted, in bytes.
    pub max_receive_message_size: u32,
    /// Its SCTP association.
    pub sctp: Option<SctpDump>,
    /// Enabled trace events.
    pub trace: TransportTrace,
    /// State specific to the kind of transport.
    pub link: LinkDump,
}

/// State of an SCTP association.
#[derive(Clone, Debug)]
pub struct SctpDump {
    /// Ports, sizes and numbers of streams.
    pub parameters: SctpParameters,
    /// Its state.
    pub state: SctpState,
    /// Capabilities negotiated with the peer, once connected.
    pub negotiated_capabilities: Option<SctpNegotiatedCapabilities>,
    /// DataProducer of each incoming stream.
    pub stream_ids: Vec<(u16, DataProducerId)>,
}

/// State specific to one kind of transport.
#[derive(Clone, Debug)]
pub enum LinkDump {
    /// State of a WebRtcTransport.
    WebRtc(WebRtcTransportDump),
    /// State of a PlainTransport.
    Plain(PlainTransportDump),
    /// State of a PipeTransport.
    Pipe(PipeTransportDump),
    /// A DirectTransport, which has none.
    Direct,
}

/// Assignment of received packets to producers.
#[derive(Clone, Debug, Default)]
pub struct RtpListenerDump {
    /// Producer by SSRC.
    pub ssrc_table: Vec<(u32, ProducerId)>,
    /// Producer by MID.
    pub mid_table: Vec<(String, ProducerId)>,
    /// Producer by RID.
    pub rid_table: Vec<(String, ProducerId)>,
}

/// State specific to a WebRtcTransport.
#[derive(Clone, Debug)]
pub struct WebRtcTransportDump {
    /// ICE role, always controlled.
    pub ice_role: IceRole,
    /// Local ICE credentials.
    pub ice_parameters: IceParameters,
    /// Local ICE candidates.
    pub ice_candidates: Vec<IceCandidate>,
    /// ICE state.
    pub ice_state: IceState,
    /// Selected tuple, to which media is sent.
    pub ice_selected_tuple: Option<TransportTuple>,
    /// Local fingerprints and role.
    pub dtls_parameters: DtlsParameters,
    /// DTLS state.
    pub dtls_state: DtlsState,
}

/// State specific to a PlainTransport.
#[derive(Clone, Debug)]
pub struct PlainTransportDump {
    /// True if RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// True if the remote address is taken from the first packet.
    pub comedia: bool,
    /// Local and remote address of RTP.
    pub tuple: TransportTuple,
    /// Local and remote address of RTCP without `rtcp_mux`.
    pub rtcp_tuple: Option<TransportTuple>,
    /// Local SRTP keys, if SRTP is used.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// State specific to a PipeTransport.
#[derive(Clone, Debug)]
pub struct PipeTransportDump {
    /// Local and remote address.
    pub tuple: TransportTuple,
    /// True if lost packets are retransmitted.
    pub rtx: bool,
    /// Local SRTP keys, if SRTP is used.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// State of a DataProducer.
#[derive(Clone, Debug)]
pub struct DataProducerDump {
    /// Identifier of the DataProducer.
    pub id: DataProducerId,
    /// Path on which its messages are received.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// True if it is paused.
    pub paused: bool,
}

/// State of a DataConsumer.
#[derive(Clone, Debug)]
pub struct DataConsumerDump {
    /// Identifier of the DataConsumer.
    pub id: DataConsumerId,
    /// DataProducer whose messages it forwards.
    pub data_producer_id: DataProducerId,
    /// Path on which its messages are sent.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Number of bytes queued for sending.
    pub buffered_amount: u32,
    /// Number of queued bytes at or below which a notification is sent.
    pub buffered_amount_low_threshold: u32,
    /// True if it is paused.
    pub paused: bool,
    /// True if its DataProducer is paused.
    pub data_producer_paused: bool,
    /// Subchannels to which it is subscribed.
    pub subchannels: Vec<u16>,
}

/// Parameters of one RTP stream.
#[derive(Clone, Debug)]
pub struct RtpStreamDump {
    /// Index of the encoding.
    pub encoding_idx: u32,
    /// SSRC.
    pub ssrc: u32,
    /// Payload type.
    pub payload_type: u8,
    /// MIME type, such as `video/VP8`.
    pub mime_type: String,
    /// Clock rate in Hz.
    pub clock_rate: u32,
    /// RTP stream id.
    pub rid: Option<String>,
    /// RTCP canonical name.
    pub cname: String,
    /// SSRC of its RTX stream.
    pub rtx_ssrc: Option<u32>,
    /// Payload type of its RTX stream.
    pub rtx_payload_type: Option<u8>,
    /// True if lost packets are requested by NACK.
    pub use_nack: bool,
    /// True if key frames are requested by PLI.
    pub use_pli: bool,
    /// True if key frames are requested by FIR.
    pub use_fir: bool,
    /// True if in-band forward error correction is used.
    pub use_in_band_fec: bool,
    /// True if discontinuous transmission is used.
    pub use_dtx: bool,
    /// Number of spatial layers.
    pub spatial_layers: u8,
    /// Number of temporal layers.
    pub temporal_layers: u8,
    /// Score, 0 to 10.
    pub score: u8,
}

/// State of a Producer.
#[derive(Clone, Debug)]
pub struct ProducerDump {
    /// Identifier of the Producer.
    pub id: ProducerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// Structure of its streams.
    pub stream_type: StreamType,
    /// RTP parameters of the remote endpoint.
    pub rtp_parameters: RtpParameters,
    /// Mapping of the RTP parameters to those of the router.
    pub rtp_mapping: RtpMapping,
    /// Streams received so far.
    pub rtp_streams: Vec<RtpStreamDump>,
    /// Enabled trace events.
    pub trace: MediaTrace,
    /// True if it is paused.
    pub paused: bool,
}

/// State of a Consumer.
#[derive(Clone, Debug)]
pub struct ConsumerDump {
    /// Identifier of the Consumer.
    pub id: ConsumerId,
    /// Handling of the streams of its Producer.
    pub stream_type: StreamType,
    /// Producer whose media it forwards.
    pub producer_id: ProducerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// RTP parameters of the sent streams.
    pub rtp_parameters: RtpParameters,
    /// Encodings of the Producer.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    /// Payload types that are forwarded.
    pub supported_codec_payload_types: Vec<u8>,
    /// Its streams.
    pub rtp_streams: Vec<RtpStreamDump>,
    /// Enabled trace events.
    pub trace: MediaTrace,
    /// True if it is paused.
    pub paused: bool,
    /// True if its Producer is paused.
    pub producer_paused: bool,
    /// Priority, 1 to 255.
    pub priority: u8,
    /// Layers preferred by the application.
    pub preferred_layers: Option<ConsumerLayers>,
    /// Layers that the Consumer is switching to.
    pub target_layers: Option<ConsumerLayers>,
    /// Layers that are sent.
    pub current_layers: Option<ConsumerLayers>,
}
