//! What a WebRtcTransport tells of itself: statistics and dump.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use tureen_core::api::{self, Response};

use crate::consumer::ConsumerId;
use crate::data_structures::{
    DtlsParameters, DtlsState, IceCandidate, IceParameters, IceRole, IceState, TransportTuple,
};
use crate::producer::ProducerId;
use crate::transport::{RecvRtpHeaderExtensions, RtpListener, TransportId, TransportTraceEventType};
use crate::worker::RequestError;

/// Statistics of a WebRtcTransport. Rates are in bits per second.
#[derive(Debug, Clone, PartialOrd, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WebRtcTransportStat {
    /// Its identifier.
    pub transport_id: TransportId,
    /// Milliseconds of the worker's clock.
    pub timestamp: u64,
    /// Bytes that came in.
    pub bytes_received: u64,
    /// Rate of the same.
    pub recv_bitrate: u64,
    /// Bytes that went out.
    pub bytes_sent: u64,
    /// Rate of the same.
    pub send_bitrate: u64,
    /// Bytes of media that came in.
    pub rtp_bytes_received: u64,
    /// Rate of the same.
    pub rtp_recv_bitrate: u64,
    /// Bytes of media that went out.
    pub rtp_bytes_sent: u64,
    /// Rate of the same.
    pub rtp_send_bitrate: u64,
    /// Bytes of retransmissions that came in.
    pub rtx_bytes_received: u64,
    /// Rate of the same.
    pub rtx_recv_bitrate: u64,
    /// Bytes of retransmissions that went out.
    pub rtx_bytes_sent: u64,
    /// Rate of the same.
    pub rtx_send_bitrate: u64,
    /// Bytes of bandwidth probes that went out.
    pub probation_bytes_sent: u64,
    /// Rate of the same.
    pub probation_send_bitrate: u64,
    /// Estimate of what can be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_outgoing_bitrate: Option<u64>,
    /// Estimate of what the endpoint can send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_incoming_bitrate: Option<u64>,
    /// Limit set.
    pub max_incoming_bitrate: Option<u64>,
    /// Limit set.
    pub max_outgoing_bitrate: Option<u64>,
    /// Floor set.
    pub min_outgoing_bitrate: Option<u64>,
    /// Always `Controlled`.
    pub ice_role: IceRole,
    /// ICE state.
    pub ice_state: IceState,
    /// Where media goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ice_selected_tuple: Option<TransportTuple>,
    /// DTLS state.
    pub dtls_state: DtlsState,
    /// Part of the endpoint's packets that was lost, 0 to 1. Not in mediasoup 0.33.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp_packet_loss_received: Option<f64>,
    /// Part of our packets that the endpoint says it lost, 0 to 1. Not in mediasoup 0.33.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp_packet_loss_sent: Option<f64>,
    /// How many datagrams were dropped, by reason. Not in mediasoup.
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
}

impl TryFrom<api::TransportStats> for WebRtcTransportStat {
    type Error = RequestError;

    fn try_from(stats: api::TransportStats) -> Result<Self, RequestError> {
        let api::LinkStats::WebRtc(link) = stats.link else {
            return Err(RequestError::unexpected(&Response::TransportStats(Box::new(stats))));
        };
        Ok(Self {
            transport_id: stats.transport_id.into(),
            timestamp: stats.timestamp_ms,
            bytes_received: stats.received.bytes,
            recv_bitrate: stats.received.bitrate,
            bytes_sent: stats.sent.bytes,
            send_bitrate: stats.sent.bitrate,
            rtp_bytes_received: stats.rtp_received.bytes,
            rtp_recv_bitrate: stats.rtp_received.bitrate,
            rtp_bytes_sent: stats.rtp_sent.bytes,
            rtp_send_bitrate: stats.rtp_sent.bitrate,
            rtx_bytes_received: stats.rtx_received.bytes,
            rtx_recv_bitrate: stats.rtx_received.bitrate,
            rtx_bytes_sent: stats.rtx_sent.bytes,
            rtx_send_bitrate: stats.rtx_sent.bitrate,
            probation_bytes_sent: stats.probation_sent.bytes,
            probation_send_bitrate: stats.probation_sent.bitrate,
            available_outgoing_bitrate: stats.available_outgoing_bitrate,
            available_incoming_bitrate: stats.available_incoming_bitrate,
            max_incoming_bitrate: stats.max_incoming_bitrate,
            max_outgoing_bitrate: stats.max_outgoing_bitrate,
            min_outgoing_bitrate: stats.min_outgoing_bitrate,
            ice_role: link.ice_role,
            ice_state: link.ice_state,
            ice_selected_tuple: link.ice_selected_tuple,
            dtls_state: link.dtls_state,
            rtp_packet_loss_received: stats.rtp_packet_loss_received,
            rtp_packet_loss_sent: stats.rtp_packet_loss_sent,
            drops: stats.drops.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        })
    }
}

/// What a WebRtcTransport holds.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct WebRtcTransportDump {
    pub id: TransportId,
    pub direct: bool,
    pub producer_ids: Vec<ProducerId>,
    pub consumer_ids: Vec<ConsumerId>,
    pub map_ssrc_consumer_id: HashMap<u32, ConsumerId>,
    pub map_rtx_ssrc_consumer_id: HashMap<u32, ConsumerId>,
    pub recv_rtp_header_extensions: RecvRtpHeaderExtensions,
    pub rtp_listener: RtpListener,
    pub trace_event_types: Vec<TransportTraceEventType>,
    pub dtls_parameters: DtlsParameters,
    pub dtls_state: DtlsState,
    pub ice_candidates: Vec<IceCandidate>,
    pub ice_parameters: IceParameters,
    pub ice_role: IceRole,
    pub ice_state: IceState,
    pub ice_selected_tuple: Option<TransportTuple>,
}

impl TryFrom<api::TransportDump> for WebRtcTransportDump {
    type Error = RequestError;

    fn try_from(dump: api::TransportDump) -> Result<Self, RequestError> {
        let api::LinkDump::WebRtc(link) = dump.link else {
            return Err(RequestError::unexpected(&Response::TransportDump(Box::new(dump))));
        };
        let by_ssrc = |consumers: Vec<(u32, api::ConsumerId)>| {
            consumers.into_iter().map(|(ssrc, consumer)| (ssrc, consumer.into())).collect()
        };
        Ok(Self {
            id: dump.id.into(),
            direct: false,
            producer_ids: dump.producer_ids.into_iter().map(Into::into).collect(),
            consumer_ids: dump.consumer_ids.into_iter().map(Into::into).collect(),
            map_ssrc_consumer_id: by_ssrc(dump.ssrc_consumers),
            map_rtx_ssrc_consumer_id: by_ssrc(dump.rtx_ssrc_consumers),
            recv_rtp_header_extensions: dump.recv_rtp_header_extensions.into(),
            rtp_listener: dump.rtp_listener.into(),
            trace_event_types: TransportTraceEventType::from_core(dump.trace),
            dtls_parameters: link.dtls_parameters,
            dtls_state: link.dtls_state,
            ice_candidates: link.ice_candidates,
            ice_parameters: link.ice_parameters,
            ice_role: link.ice_role,
            ice_state: link.ice_state,
            ice_selected_tuple: link.ice_selected_tuple,
        })
    }
}
