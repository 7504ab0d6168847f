//! Statistics that every kind of transport has.

/// Defines the statistics of one kind of transport.
macro_rules! transport_stat {
    (
        $(#[$meta:meta])*
        $name:ident from $link:pat => {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        ///
        /// Bitrates are in bits per second.
        #[derive(Debug, Clone, PartialOrd, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct $name {
            /// Identifier of the transport.
            pub transport_id: $crate::transport::TransportId,
            /// Milliseconds of the worker's clock.
            pub timestamp: u64,
            /// State of the SCTP association. `None` without SCTP.
            pub sctp_state: Option<$crate::data_structures::SctpState>,
            /// Bytes received.
            pub bytes_received: u64,
            /// Bitrate of the same.
            pub recv_bitrate: u64,
            /// Bytes sent.
            pub bytes_sent: u64,
            /// Bitrate of the same.
            pub send_bitrate: u64,
            /// Bytes of media received, without retransmissions.
            pub rtp_bytes_received: u64,
            /// Bitrate of the same.
            pub rtp_recv_bitrate: u64,
            /// Bytes of media sent, without retransmissions.
            pub rtp_bytes_sent: u64,
            /// Bitrate of the same.
            pub rtp_send_bitrate: u64,
            /// Bytes of retransmissions received.
            pub rtx_bytes_received: u64,
            /// Bitrate of the same.
            pub rtx_recv_bitrate: u64,
            /// Bytes of retransmissions sent.
            pub rtx_bytes_sent: u64,
            /// Bitrate of the same.
            pub rtx_send_bitrate: u64,
            /// Bytes of bandwidth probes sent.
            pub probation_bytes_sent: u64,
            /// Bitrate of the same.
            pub probation_send_bitrate: u64,
            /// Estimate of the bandwidth to the remote side.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub available_outgoing_bitrate: Option<u64>,
            /// Estimate of the bandwidth from the remote side.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub available_incoming_bitrate: Option<u64>,
            /// Limit set for the remote side. `None` without a limit.
            pub max_incoming_bitrate: Option<u64>,
            /// Upper limit set for the outgoing estimate. `None` without a limit.
            pub max_outgoing_bitrate: Option<u64>,
            /// Lower limit set for the outgoing estimate. `None` without a limit.
            pub min_outgoing_bitrate: Option<u64>,
            /// Round trip time in milliseconds, of the remote side's receiver reports.
            pub round_trip_time: Option<f32>,
            $($(#[$field_meta])* pub $field: $type,)*
            /// Share of the packets from the remote side that were lost, 0 to 1. Not in mediasoup 0.33.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rtp_packet_loss_received: Option<f64>,
            /// Share of the packets to the remote side that it reports as lost, 0 to 1. Not in mediasoup 0.33.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rtp_packet_loss_sent: Option<f64>,
        }

        impl TryFrom<tureen_engine::api::TransportStats> for $name {
            type Error = $crate::worker::RequestError;

            fn try_from(stats: tureen_engine::api::TransportStats) -> Result<Self, Self::Error> {
                let $link = stats.link else {
                    let response = tureen_engine::api::Response::TransportStats(Box::new(stats));
                    return Err($crate::worker::RequestError::unexpected(&response));
                };
                Ok(Self {
                    transport_id: stats.transport_id.into(),
                    timestamp: stats.timestamp_ms,
                    sctp_state: stats.sctp_state,
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
                    round_trip_time: stats.round_trip_time_ms,
                    $($field,)*
                    rtp_packet_loss_received: stats.rtp_packet_loss_received,
                    rtp_packet_loss_sent: stats.rtp_packet_loss_sent,
                })
            }
        }
    };
}

pub(crate) use transport_stat;
