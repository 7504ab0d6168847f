//! Statistics and scores.

use super::TransportId;
use tureen_types::data_structures::{DtlsState, IceRole, IceState, SctpState, TransportTuple};
use tureen_types::rtp_parameters::MediaKind;

/// Statistics of a transport. Rates are in bits per second over the last 2.5 s.
#[derive(Clone, Debug)]
pub struct TransportStats {
    /// Identifier of the transport.
    pub transport_id: TransportId,
    /// Time of the worker's clock in milliseconds.
    pub timestamp_ms: u64,
    /// All traffic received on the transport.
    pub received: Traffic,
    /// All traffic sent on the transport.
    pub sent: Traffic,
    /// RTP received, without retransmissions.
    pub rtp_received: Traffic,
    /// RTP sent, without retransmissions.
    pub rtp_sent: Traffic,
    /// Retransmissions received.
    pub rtx_received: Traffic,
    /// Retransmissions sent.
    pub rtx_sent: Traffic,
    /// Bandwidth probes sent.
    pub probation_sent: Traffic,
    /// Estimate of the outgoing bandwidth.
    pub available_outgoing_bitrate: Option<u64>,
    /// Estimate of the incoming bandwidth, made for senders of video that use REMB and get no transport-wide feedback.
    pub available_incoming_bitrate: Option<u64>,
    /// Limit set for the incoming bitrate.
    pub max_incoming_bitrate: Option<u64>,
    /// Upper limit set for the outgoing bitrate.
    pub max_outgoing_bitrate: Option<u64>,
    /// Lower limit set for the outgoing bitrate.
    pub min_outgoing_bitrate: Option<u64>,
    /// Round trip time in milliseconds, by the reports of the remote endpoint.
    pub round_trip_time_ms: Option<f32>,
    /// Fraction of the remote endpoint's packets that were lost, 0 to 1, by transport-wide sequence numbers.
    pub rtp_packet_loss_received: Option<f64>,
    /// Fraction of the sent packets that the remote endpoint reports as lost, 0 to 1.
    pub rtp_packet_loss_sent: Option<f64>,
    /// State of its SCTP association, if there is one.
    pub sctp_state: Option<SctpState>,
    /// Statistics specific to the kind of transport.
    pub link: LinkStats,
}

/// Statistics specific to one kind of transport.
#[derive(Clone, Debug)]
pub enum LinkStats {
    /// Statistics of a WebRtcTransport.
    WebRtc(WebRtcTransportStats),
    /// Statistics of a PlainTransport.
    Plain(PlainTransportStats),
    /// Statistics of a PipeTransport.
    Pipe {
        /// Local and remote address.
        tuple: TransportTuple,
    },
    /// A DirectTransport, which has none.
    Direct,
}

/// Statistics specific to a WebRtcTransport.
#[derive(Clone, Debug)]
pub struct WebRtcTransportStats {
    /// ICE role, always controlled.
    pub ice_role: IceRole,
    /// ICE state.
    pub ice_state: IceState,
    /// Selected tuple, to which media is sent.
    pub ice_selected_tuple: Option<TransportTuple>,
    /// DTLS state.
    pub dtls_state: DtlsState,
}

/// Statistics specific to a PlainTransport.
#[derive(Clone, Debug)]
pub struct PlainTransportStats {
    /// True if RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// True if the remote address is taken from the first packet.
    pub comedia: bool,
    /// Local and remote address of RTP.
    pub tuple: TransportTuple,
    /// Local and remote address of RTCP without `rtcp_mux`.
    pub rtcp_tuple: Option<TransportTuple>,
}

/// Statistics of a DataProducer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataProducerStats {
    /// Time of the worker's clock in milliseconds.
    pub timestamp_ms: u64,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Number of messages received.
    pub messages_received: u64,
    /// Number of bytes received.
    pub bytes_received: u64,
}

/// Statistics of a DataConsumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataConsumerStats {
    /// Time of the worker's clock in milliseconds.
    pub timestamp_ms: u64,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Number of messages sent.
    pub messages_sent: u64,
    /// Number of bytes sent.
    pub bytes_sent: u64,
    /// Number of bytes queued for sending.
    pub buffered_amount: u32,
}

/// Total of bytes and current bitrate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of bytes since the start.
    pub bytes: u64,
    /// Bits per second.
    pub bitrate: u64,
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, bitrate: self.bitrate + other.bitrate }
    }
}

/// Direction of a stream as seen by the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamDirection {
    /// Received from the remote endpoint of a Producer (`inbound-rtp`).
    Inbound,
    /// Sent to the remote endpoint of a Consumer (`outbound-rtp`).
    Outbound,
}

/// Statistics of one RTP stream.
#[derive(Clone, Debug)]
pub struct RtpStreamStats {
    /// Direction of the stream.
    pub direction: StreamDirection,
    /// Time of the worker's clock in milliseconds.
    pub timestamp_ms: u64,
    /// SSRC.
    pub ssrc: u32,
    /// SSRC of its RTX stream.
    pub rtx_ssrc: Option<u32>,
    /// RTP stream id.
    pub rid: Option<String>,
    /// Audio or video.
    pub kind: MediaKind,
    /// MIME type.
    pub mime_type: String,
    /// Number of packets lost; negative if there are more duplicates than losses (RFC 3550 §6.4.1).
    pub packets_lost: i32,
    /// Fraction of packets lost between the last two reports, in 1/256.
    pub fraction_lost: u8,
    /// Interarrival jitter in units of the RTP timestamp.
    pub jitter: u32,
    /// Number of packets dropped because they were too late or invalid.
    pub packets_discarded: u64,
    /// Number of packets retransmitted.
    pub packets_retransmitted: u64,
    /// Number of lost packets repaired by a retransmission.
    pub packets_repaired: u64,
    /// Number of NACK messages.
    pub nack_count: u64,
    /// Number of packets listed in NACK messages.
    pub nack_packet_count: u64,
    /// Number of picture loss indications.
    pub pli_count: u64,
    /// Number of full intra requests.
    pub fir_count: u64,
    /// Number of packets.
    pub packet_count: u64,
    /// Number of bytes, headers included.
    pub byte_count: u64,
    /// Bits per second.
    pub bitrate: u64,
    /// Bits per second of each layer, by its name (`spatial.temporal`).
    pub bitrate_by_layer: Vec<(String, u64)>,
    /// Number of retransmissions of packets that were not missing.
    pub rtx_packets_discarded: Option<u64>,
    /// Round trip time in milliseconds.
    pub round_trip_time_ms: Option<f32>,
    /// Score, 0 to 10.
    pub score: u8,
}

/// Score of one stream of a Producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerScore {
    /// Index of the encoding.
    pub encoding_idx: u32,
    /// SSRC.
    pub ssrc: u32,
    /// RTP stream id.
    pub rid: Option<String>,
    /// Score, 0 to 10.
    pub score: u8,
}

/// Score of a Consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerScore {
    /// Score of the stream sent by the Consumer, 0 to 10.
    pub score: u8,
    /// Score of the Producer stream that is forwarded now, 0 to 10.
    pub producer_score: u8,
    /// Scores of all streams of the Producer.
    pub producer_scores: Vec<u8>,
}
