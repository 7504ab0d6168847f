//! Statistics and dumps of transports: what is common to all kinds.

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
        /// Rates are in bits per second.
        #[derive(Debug, Clone, PartialOrd, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct $name {
            /// Its identifier.
            pub transport_id: $crate::transport::TransportId,
            /// Milliseconds of the worker's clock.
            pub timestamp: u64,
            /// State of its SCTP association.
            pub sctp_state: Option<$crate::data_structures::SctpState>,
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
            /// Estimate of what the remote side can send.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub available_incoming_bitrate: Option<u64>,
            /// Limit set.
            pub max_incoming_bitrate: Option<u64>,
            /// Limit set.
            pub max_outgoing_bitrate: Option<u64>,
            /// Floor set.
            pub min_outgoing_bitrate: Option<u64>,
            /// Milliseconds there and back, as the remote side's reports tell.
            pub round_trip_time: Option<f32>,
            $($(#[$field_meta])* pub $field: $type,)*
            /// Part of the remote side's packets that was lost, 0 to 1. Not in mediasoup 0.33.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub rtp_packet_loss_received: Option<f64>,
            /// Part of our packets that the remote side says it lost, 0 to 1. Not in mediasoup 0.33.
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

/// Defines what one kind of transport holds. `$map` is how mediasoup lists consumers by SSRC.
macro_rules! transport_dump {
    (
        $(#[$meta:meta])*
        $name:ident<$map:ty> from $link:pat => {
            direct: $direct:literal,
            $($field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        #[doc(hidden)]
        #[non_exhaustive]
        pub struct $name {
            pub id: $crate::transport::TransportId,
            pub direct: bool,
            pub producer_ids: Vec<$crate::producer::ProducerId>,
            pub consumer_ids: Vec<$crate::consumer::ConsumerId>,
            pub map_ssrc_consumer_id: $map,
            pub map_rtx_ssrc_consumer_id: $map,
            pub data_producer_ids: Vec<$crate::data_producer::DataProducerId>,
            pub data_consumer_ids: Vec<$crate::data_consumer::DataConsumerId>,
            pub recv_rtp_header_extensions: $crate::transport::RecvRtpHeaderExtensions,
            pub rtp_listener: $crate::transport::RtpListener,
            pub max_send_message_size: u32,
            pub max_receive_message_size: u32,
            pub sctp_parameters: Option<$crate::sctp_parameters::SctpParameters>,
            pub sctp_state: Option<$crate::data_structures::SctpState>,
            pub sctp_negotiated_capabilities:
                Option<$crate::sctp_parameters::SctpNegotiatedCapabilities>,
            pub sctp_listener: Option<$crate::transport::SctpListener>,
            pub trace_event_types: Vec<$crate::transport::TransportTraceEventType>,
            $(pub $field: $type,)*
        }

        impl TryFrom<tureen_engine::api::TransportDump> for $name {
            type Error = $crate::worker::RequestError;

            fn try_from(dump: tureen_engine::api::TransportDump) -> Result<Self, Self::Error> {
                let $link = dump.link else {
                    let response = tureen_engine::api::Response::TransportDump(Box::new(dump));
                    return Err($crate::worker::RequestError::unexpected(&response));
                };
                let by_ssrc = |consumers: Vec<(u32, tureen_engine::api::ConsumerId)>| {
                    consumers.into_iter().map(|(ssrc, consumer)| (ssrc, consumer.into())).collect()
                };
                Ok(Self {
                    id: dump.id.into(),
                    direct: $direct,
                    producer_ids: dump.producer_ids.into_iter().map(Into::into).collect(),
                    consumer_ids: dump.consumer_ids.into_iter().map(Into::into).collect(),
                    map_ssrc_consumer_id: by_ssrc(dump.ssrc_consumers),
                    map_rtx_ssrc_consumer_id: by_ssrc(dump.rtx_ssrc_consumers),
                    data_producer_ids: dump.data_producer_ids.into_iter().map(Into::into).collect(),
                    data_consumer_ids: dump.data_consumer_ids.into_iter().map(Into::into).collect(),
                    recv_rtp_header_extensions: dump.recv_rtp_header_extensions.into(),
                    rtp_listener: dump.rtp_listener.into(),
                    max_send_message_size: dump.max_send_message_size,
                    max_receive_message_size: dump.max_receive_message_size,
                    sctp_parameters: dump.sctp.as_ref().map(|sctp| sctp.parameters),
                    sctp_state: dump.sctp.as_ref().map(|sctp| sctp.state),
                    sctp_negotiated_capabilities: dump
                        .sctp
                        .as_ref()
                        .and_then(|sctp| sctp.negotiated_capabilities),
                    sctp_listener: dump.sctp.map(|sctp| sctp.stream_ids.into()),
                    trace_event_types: $crate::transport::TransportTraceEventType::from_core(dump.trace),
                    $($field,)*
                })
            }
        }
    };
}

pub(crate) use {transport_dump, transport_stat};
