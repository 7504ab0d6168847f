//! Type, statistics and dump of a DataProducer.

use serde::{Deserialize, Serialize};
use tureen_engine::api::{self, DataTransport};

use super::DataProducerId;
use crate::sctp_parameters::SctpStreamParameters;

/// Sender of a data producer's messages.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataProducerType {
    /// An SCTP stream.
    Sctp,
    /// The application, on a DirectTransport.
    Direct,
}

/// State of a data producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct DataProducerDump {
    pub id: DataProducerId,
    pub r#type: DataProducerType,
    pub label: String,
    pub protocol: String,
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    pub paused: bool,
}

impl From<api::DataProducerDump> for DataProducerDump {
    fn from(dump: api::DataProducerDump) -> Self {
        let (r#type, sctp_stream_parameters) = match dump.transport {
            DataTransport::Sctp(parameters) => (DataProducerType::Sctp, Some(parameters)),
            DataTransport::Direct => (DataProducerType::Direct, None),
        };
        Self {
            id: dump.id.into(),
            r#type,
            label: dump.label,
            protocol: dump.protocol,
            sctp_stream_parameters,
            paused: dump.paused,
        }
    }
}

/// Statistics of a data producer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DataProducerStat {
    /// Milliseconds of the worker's clock.
    pub timestamp: u64,
    /// Label of the data channel.
    pub label: String,
    /// Subprotocol of the data channel.
    pub protocol: String,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes of the messages received.
    pub bytes_received: u64,
}

impl From<api::DataProducerStats> for DataProducerStat {
    fn from(stats: api::DataProducerStats) -> Self {
        Self {
            timestamp: stats.timestamp_ms,
            label: stats.label,
            protocol: stats.protocol,
            messages_received: stats.messages_received,
            bytes_received: stats.bytes_received,
        }
    }
}
