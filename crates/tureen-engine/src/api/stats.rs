//! Statistics and scores.

use super::TransportId;
use tureen_types::data_structures::{DtlsState, IceRole, IceState, SctpState, TransportTuple};
use tureen_types::rtp_parameters::MediaKind;

/// Statistics of a transport. Rates are in bits per second, over the last 2.5 s.
#[derive(Clone, Debug)]
pub struct TransportStats {
    /// Its identifier.
    pub transport_id: TransportId,
    /// Milliseconds of the worker's clock.
    pub timestamp_ms: u64,
    /// All that came in and was for this transport.
    pub received: Traffic,
    /// All that went out.
    pub sent: Traffic,
    /// Media that came in.
    pub rtp_received: Traffic,
    /// Media that went out.
    pub rtp_sent: Traffic,
    /// Retransmissions that came in.
    pub rtx_received: Traffic,
    /// Retransmissions that went out.
    pub rtx_sent: Traffic,
    /// Bandwidth probes that went out.
    pub probation_sent: Traffic,
    /// Outgoing estimate.
    pub available_outgoing_bitrate: Option<u64>,
    /// Estimate of what the remote side can send, where it is made here: for senders of video that are told by REMBs, and
    /// get no transport-wide feedback.
    pub available_incoming_bitrate: Option<u64>,
    /// Limit set.
    pub max_incoming_bitrate: Option<u64>,
    /// Limit set.
    pub max_outgoing_bitrate: Option<u64>,
    /// Limit set.
    pub min_outgoing_bitrate: Option<u64>,
    /// Milliseconds there and back, as the remote side's reports tell.
    pub round_trip_time_ms: Option<f32>,
    /// Part of the remote side's packets that was lost, 0 to 1, by transport-wide sequence numbers.
    pub rtp_packet_loss_received: Option<f64>,
    /// Part of our packets that the remote side says it lost, 0 to 1.
    pub rtp_packet_loss_sent: Option<f64>,
    /// State of its SCTP association, if it has one.
    pub sctp_state: Option<SctpState>,
    /// What only its kind of transport has.
    pub link: LinkStats,
}

/// The part of a transport's statistics that only one kind of transport has.
#[derive(Clone, Debug)]
pub enum LinkStats {
    /// Of a WebRtcTransport.
    WebRtc(WebRtcTransportStats),
    /// Of a PlainTransport.
    Plain(PlainTransportStats),
    /// Of a PipeTransport.
    Pipe {
        /// The path.
        tuple: TransportTuple,
    },
    /// Of a DirectTransport: nothing.
    Direct,
}

/// The part of a transport's statistics that only a WebRtcTransport has.
#[derive(Clone, Debug)]
pub struct WebRtcTransportStats {
    /// Always controlled.
    pub ice_role: IceRole,
    /// ICE state.
    pub ice_state: IceState,
    /// Where media goes.
    pub ice_selected_tuple: Option<TransportTuple>,
    /// DTLS state.
    pub dtls_state: DtlsState,
}

/// The part of a transport's statistics that only a PlainTransport has.
#[derive(Clone, Debug)]
pub struct PlainTransportStats {
    /// RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// The remote address is that of the first packet.
    pub comedia: bool,
    /// Path of RTP.
    pub tuple: TransportTuple,
    /// Path of RTCP without `rtcp_mux`.
    pub rtcp_tuple: Option<TransportTuple>,
}

/// Statistics of a DataProducer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataProducerStats {
    /// Milliseconds of the worker's clock.
    pub timestamp_ms: u64,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Messages that came in.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// Statistics of a DataConsumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataConsumerStats {
    /// Milliseconds of the worker's clock.
    pub timestamp_ms: u64,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Messages that went out.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Bytes that wait to be sent.
    pub buffered_amount: u32,
}

/// Bytes since the start, and bits per second now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes since the start.
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

/// Which way a stream flows, as seen by the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamDirection {
    /// From a Producer's remote side (`inbound-rtp`).
    Inbound,
    /// To a Consumer's remote side (`outbound-rtp`).
    Outbound,
}

/// Statistics of one RTP stream.
#[derive(Clone, Debug)]
pub struct RtpStreamStats {
    /// Which way it flows.
    pub direction: StreamDirection,
    /// Milliseconds of the worker's clock.
    pub timestamp_ms: u64,
    /// SSRC.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// RTP stream id.
    pub rid: Option<String>,
    /// Audio or video.
    pub kind: MediaKind,
    /// MIME type.
    pub mime_type: String,
    /// Packets lost; negative where duplicates outnumber losses (RFC 3550 §6.4.1).
    pub packets_lost: i32,
    /// Part lost between the last two reports, in 1/256.
    pub fraction_lost: u8,
    /// Inter-arrival jitter in timestamp units.
    pub jitter: u32,
    /// Packets that came too late or made no sense.
    pub packets_discarded: u64,
    /// Packets sent again.
    pub packets_retransmitted: u64,
    /// Lost packets that a retransmission brought.
    pub packets_repaired: u64,
    /// NACK messages.
    pub nack_count: u64,
    /// Packets named in NACK messages.
    pub nack_packet_count: u64,
    /// Picture loss indications.
    pub pli_count: u64,
    /// Full intra requests.
    pub fir_count: u64,
    /// Packets.
    pub packet_count: u64,
    /// Bytes, headers included.
    pub byte_count: u64,
    /// Bits per second.
    pub bitrate: u64,
    /// Bits per second of each layer, by name (`spatial.temporal`).
    pub bitrate_by_layer: Vec<(String, u64)>,
    /// Retransmissions that brought nothing new.
    pub rtx_packets_discarded: Option<u64>,
    /// Milliseconds there and back.
    pub round_trip_time_ms: Option<f32>,
    /// 0 to 10.
    pub score: u8,
}

/// Score of one stream of a Producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerScore {
    /// Which encoding.
    pub encoding_idx: u32,
    /// SSRC.
    pub ssrc: u32,
    /// RTP stream id.
    pub rid: Option<String>,
    /// 0 to 10.
    pub score: u8,
}

/// Score of a Consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerScore {
    /// What reaches the Consumer's remote side, 0 to 10.
    pub score: u8,
    /// The Producer stream that is sent now, 0 to 10.
    pub producer_score: u8,
    /// All streams of the Producer.
    pub producer_scores: Vec<u8>,
}
