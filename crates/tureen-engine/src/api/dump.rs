//! Descriptions of objects, for `dump()`.

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

/// A worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerDump {
    /// Its WebRtcServers.
    pub webrtc_server_ids: Vec<WebRtcServerId>,
    /// Its routers.
    pub router_ids: Vec<RouterId>,
    /// All transports of all routers.
    pub transport_ids: Vec<TransportId>,
    /// All producers.
    pub producer_ids: Vec<ProducerId>,
    /// All consumers.
    pub consumer_ids: Vec<ConsumerId>,
    /// All RTP observers.
    pub rtp_observer_ids: Vec<RtpObserverId>,
    /// All DataProducers.
    pub data_producer_ids: Vec<DataProducerId>,
    /// All DataConsumers.
    pub data_consumer_ids: Vec<DataConsumerId>,
}

/// A local address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPort {
    /// Address.
    pub ip: std::net::IpAddr,
    /// Port.
    pub port: u16,
}

/// A WebRtcServer.
#[derive(Clone, Debug)]
pub struct WebRtcServerDump {
    /// Its identifier.
    pub id: WebRtcServerId,
    /// Its UDP sockets.
    pub udp_sockets: Vec<IpPort>,
    /// Its TCP listeners.
    pub tcp_servers: Vec<IpPort>,
    /// The transports on it.
    pub webrtc_transport_ids: Vec<TransportId>,
    /// Which ICE user name belongs to which transport.
    pub local_ice_username_fragments: Vec<(String, TransportId)>,
}

/// A Router.
#[derive(Clone, Debug)]
pub struct RouterDump {
    /// Its identifier.
    pub id: RouterId,
    /// Its transports.
    pub transport_ids: Vec<TransportId>,
    /// Which consumers read which producer.
    pub producer_consumers: Vec<(ProducerId, Vec<ConsumerId>)>,
    /// Its RTP observers.
    pub rtp_observer_ids: Vec<RtpObserverId>,
    /// Which RTP observers observe which producer.
    pub producer_observers: Vec<(ProducerId, Vec<RtpObserverId>)>,
    /// Which DataConsumers read which DataProducer.
    pub data_producer_consumers: Vec<(DataProducerId, Vec<DataConsumerId>)>,
}

/// A transport.
#[derive(Clone, Debug)]
pub struct TransportDump {
    /// Its identifier.
    pub id: TransportId,
    /// Its producers.
    pub producer_ids: Vec<ProducerId>,
    /// Its consumers.
    pub consumer_ids: Vec<ConsumerId>,
    /// Which Consumer sends which SSRC.
    pub ssrc_consumers: Vec<(u32, ConsumerId)>,
    /// Which Consumer sends which RTX SSRC.
    pub rtx_ssrc_consumers: Vec<(u32, ConsumerId)>,
    /// Negotiated ids of the header extensions that are read.
    pub recv_rtp_header_extensions: ExtensionIds,
    /// How incoming packets find their Producer.
    pub rtp_listener: RtpListenerDump,
    /// Its DataProducers.
    pub data_producer_ids: Vec<DataProducerId>,
    /// Its DataConsumers.
    pub data_consumer_ids: Vec<DataConsumerId>,
    /// Largest data message that is sent, in bytes.
    pub max_send_message_size: u32,
    /// Largest data message that is taken, in bytes.
    pub max_receive_message_size: u32,
    /// Its SCTP association.
    pub sctp: Option<SctpDump>,
    /// Traced events.
    pub trace: TransportTrace,
    /// What only its kind of transport has.
    pub link: LinkDump,
}

/// An SCTP association.
#[derive(Clone, Debug)]
pub struct SctpDump {
    /// Ports, sizes and numbers of streams.
    pub parameters: SctpParameters,
    /// Its state.
    pub state: SctpState,
    /// What both sides agreed on, once connected.
    pub negotiated_capabilities: Option<SctpNegotiatedCapabilities>,
    /// Which DataProducer receives on which stream.
    pub stream_ids: Vec<(u16, DataProducerId)>,
}

/// The part of a dump that only one kind of transport has.
#[derive(Clone, Debug)]
pub enum LinkDump {
    /// Of a WebRtcTransport.
    WebRtc(WebRtcTransportDump),
    /// Of a PlainTransport.
    Plain(PlainTransportDump),
    /// Of a PipeTransport.
    Pipe(PipeTransportDump),
    /// Of a DirectTransport: nothing.
    Direct,
}

/// How incoming packets find their Producer.
#[derive(Clone, Debug, Default)]
pub struct RtpListenerDump {
    /// By SSRC.
    pub ssrc_table: Vec<(u32, ProducerId)>,
    /// By MID.
    pub mid_table: Vec<(String, ProducerId)>,
    /// By RID.
    pub rid_table: Vec<(String, ProducerId)>,
}

/// The part of a dump that only a WebRtcTransport has.
#[derive(Clone, Debug)]
pub struct WebRtcTransportDump {
    /// Always controlled.
    pub ice_role: IceRole,
    /// Its credentials.
    pub ice_parameters: IceParameters,
    /// Its candidates.
    pub ice_candidates: Vec<IceCandidate>,
    /// ICE state.
    pub ice_state: IceState,
    /// Where media goes.
    pub ice_selected_tuple: Option<TransportTuple>,
    /// Fingerprints and role.
    pub dtls_parameters: DtlsParameters,
    /// DTLS state.
    pub dtls_state: DtlsState,
}

/// The part of a dump that only a PlainTransport has.
#[derive(Clone, Debug)]
pub struct PlainTransportDump {
    /// RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// The remote address is that of the first packet.
    pub comedia: bool,
    /// Path of RTP.
    pub tuple: TransportTuple,
    /// Path of RTCP without `rtcp_mux`.
    pub rtcp_tuple: Option<TransportTuple>,
    /// This side's keys, with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// The part of a dump that only a PipeTransport has.
#[derive(Clone, Debug)]
pub struct PipeTransportDump {
    /// The path.
    pub tuple: TransportTuple,
    /// Lost packets are sent again.
    pub rtx: bool,
    /// This side's keys, with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// A DataProducer.
#[derive(Clone, Debug)]
pub struct DataProducerDump {
    /// Its identifier.
    pub id: DataProducerId,
    /// How its messages come in.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Whether it is paused.
    pub paused: bool,
}

/// A DataConsumer.
#[derive(Clone, Debug)]
pub struct DataConsumerDump {
    /// Its identifier.
    pub id: DataConsumerId,
    /// The DataProducer it reads.
    pub data_producer_id: DataProducerId,
    /// How its messages go out.
    pub transport: DataTransport,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Bytes that wait to be sent.
    pub buffered_amount: u32,
    /// Below how many waiting bytes it says so.
    pub buffered_amount_low_threshold: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether its DataProducer is paused.
    pub data_producer_paused: bool,
    /// Subchannels it is subscribed to.
    pub subchannels: Vec<u16>,
}

/// Parameters of one RTP stream.
#[derive(Clone, Debug)]
pub struct RtpStreamDump {
    /// Which encoding.
    pub encoding_idx: u32,
    /// SSRC.
    pub ssrc: u32,
    /// Payload type.
    pub payload_type: u8,
    /// MIME type, such as `video/VP8`.
    pub mime_type: String,
    /// Hz.
    pub clock_rate: u32,
    /// RTP stream id.
    pub rid: Option<String>,
    /// RTCP canonical name.
    pub cname: String,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// Payload type of its retransmissions.
    pub rtx_payload_type: Option<u8>,
    /// Lost packets are asked for.
    pub use_nack: bool,
    /// Key frames are asked for by PLI.
    pub use_pli: bool,
    /// Key frames are asked for by FIR.
    pub use_fir: bool,
    /// In-band forward error correction.
    pub use_in_band_fec: bool,
    /// Discontinuous transmission.
    pub use_dtx: bool,
    /// Number of spatial layers.
    pub spatial_layers: u8,
    /// Number of temporal layers.
    pub temporal_layers: u8,
    /// 0 to 10.
    pub score: u8,
}

/// A Producer.
#[derive(Clone, Debug)]
pub struct ProducerDump {
    /// Its identifier.
    pub id: ProducerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// How its streams are structured.
    pub stream_type: StreamType,
    /// What the remote side sends.
    pub rtp_parameters: RtpParameters,
    /// How that maps to the router.
    pub rtp_mapping: RtpMapping,
    /// Streams seen so far.
    pub rtp_streams: Vec<RtpStreamDump>,
    /// Traced events.
    pub trace: MediaTrace,
    /// Whether it is paused.
    pub paused: bool,
}

/// A Consumer.
#[derive(Clone, Debug)]
pub struct ConsumerDump {
    /// Its identifier.
    pub id: ConsumerId,
    /// How it reads its Producer.
    pub stream_type: StreamType,
    /// The Producer it reads.
    pub producer_id: ProducerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is sent.
    pub rtp_parameters: RtpParameters,
    /// The Producer's encodings.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    /// Payload types that it forwards.
    pub supported_codec_payload_types: Vec<u8>,
    /// Its streams.
    pub rtp_streams: Vec<RtpStreamDump>,
    /// Traced events.
    pub trace: MediaTrace,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether its Producer is paused.
    pub producer_paused: bool,
    /// 1 to 255.
    pub priority: u8,
    /// Layers wanted.
    pub preferred_layers: Option<ConsumerLayers>,
    /// Layers aimed at.
    pub target_layers: Option<ConsumerLayers>,
    /// Layers sent.
    pub current_layers: Option<ConsumerLayers>,
}
