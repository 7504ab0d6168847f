//! Dumps of transports: the part that every kind has.

use serde::{Deserialize, Serialize};
use tureen_engine::api;
use tureen_rtc::wire::rtp::{Extension, ExtensionIds};

use crate::data_producer::DataProducerId;
use crate::producer::ProducerId;

/// Defines the dump of one kind of transport. `$map` is the type that mediasoup uses for consumers by SSRC.
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

pub(crate) use transport_dump;

/// Tables by which incoming packets find their producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtpListener {
    /// Producers by MID.
    pub mid_table: Vec<(String, ProducerId)>,
    /// Producers by RID.
    pub rid_table: Vec<(String, ProducerId)>,
    /// Producers by SSRC.
    pub ssrc_table: Vec<(u32, ProducerId)>,
}

impl From<api::RtpListenerDump> for RtpListener {
    fn from(dump: api::RtpListenerDump) -> Self {
        fn entries<Key>(table: Vec<(Key, api::ProducerId)>) -> Vec<(Key, ProducerId)> {
            table.into_iter().map(|(key, producer_id)| (key, producer_id.into())).collect()
        }
        Self {
            mid_table: entries(dump.mid_table),
            rid_table: entries(dump.rid_table),
            ssrc_table: entries(dump.ssrc_table),
        }
    }
}

/// Table by which incoming messages find their data producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct SctpListener {
    stream_id_table: Vec<(u16, DataProducerId)>,
}

impl From<Vec<(u16, api::DataProducerId)>> for SctpListener {
    fn from(streams: Vec<(u16, api::DataProducerId)>) -> Self {
        let stream_id_table = streams.into_iter().map(|(stream, id)| (stream, id.into())).collect();
        Self { stream_id_table }
    }
}

/// Identifiers of the header extensions that a transport reads.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RecvRtpHeaderExtensions {
    mid: Option<u8>,
    rid: Option<u8>,
    rrid: Option<u8>,
    abs_send_time: Option<u8>,
    transport_wide_cc01: Option<u8>,
}

impl From<ExtensionIds> for RecvRtpHeaderExtensions {
    fn from(ids: ExtensionIds) -> Self {
        Self {
            mid: ids[Extension::Mid].map(Into::into),
            rid: ids[Extension::RtpStreamId].map(Into::into),
            rrid: ids[Extension::RepairRtpStreamId].map(Into::into),
            abs_send_time: ids[Extension::AbsSendTime].map(Into::into),
            transport_wide_cc01: ids[Extension::TransportWideCcDraft01].map(Into::into),
        }
    }
}
