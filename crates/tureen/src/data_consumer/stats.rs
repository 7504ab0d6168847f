//! Type, statistics and dump of a DataConsumer.

use serde::{Deserialize, Serialize};
use tureen_engine::api::{self, DataTransport};

use super::DataConsumerId;
use crate::data_producer::DataProducerId;
use crate::sctp_parameters::SctpStreamParameters;

/// Receiver of a data consumer's messages.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataConsumerType {
    /// An SCTP stream.
    Sctp,
    /// The application, on a DirectTransport.
    Direct,
}

/// State of a data consumer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct DataConsumerDump {
    pub id: DataConsumerId,
    pub data_producer_id: DataProducerId,
    pub r#type: DataConsumerType,
    pub label: String,
    pub protocol: String,
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    pub buffered_amount: u32,
    pub buffered_amount_low_threshold: u32,
    pub paused: bool,
    pub subchannels: Vec<u16>,
    pub data_producer_paused: bool,
}

impl From<api::DataConsumerDump> for DataConsumerDump {
    fn from(dump: api::DataConsumerDump) -> Self {
        let (r#type, sctp_stream_parameters) = match dump.transport {
            DataTransport::Sctp(parameters) => (DataConsumerType::Sctp, Some(parameters)),
            DataTransport::Direct => (DataConsumerType::Direct, None),
        };
        Self {
            id: dump.id.into(),
            data_producer_id: dump.data_producer_id.into(),
            r#type,
            label: dump.label,
            protocol: dump.protocol,
            sctp_stream_parameters,
            buffered_amount: dump.buffered_amount,
            buffered_amount_low_threshold: dump.buffered_amount_low_threshold,
            paused: dump.paused,
            subchannels: dump.subchannels,
            data_producer_paused: dump.data_producer_paused,
        }
    }
}

/// Statistics of a data consumer.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DataConsumerStat {
    /// Milliseconds of the worker's clock.
    pub timestamp: u64,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Messages sent.
    pub messages_sent: u64,
    /// Bytes of the messages sent.
    pub bytes_sent: u64,
    /// Bytes that wait to be sent on the SCTP stream.
    pub buffered_amount: u32,
}

impl From<api::DataConsumerStats> for DataConsumerStat {
    fn from(stats: api::DataConsumerStats) -> Self {
        Self {
            timestamp: stats.timestamp_ms,
            label: stats.label,
            protocol: stats.protocol,
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            buffered_amount: stats.buffered_amount,
        }
    }
}
