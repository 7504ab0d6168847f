//! A DataProducer: receives messages and passes them to its DataConsumers.

use crate::api::{DataProducerDump, DataProducerId, DataProducerStats, DataTransport, ProduceData};
use crate::keys::{DataConsumerKey, TransportKey};
use tureen_types::sctp_parameters::SctpStreamParameters;

#[derive(Debug)]
pub(crate) struct DataProducer {
    pub(crate) id: DataProducerId,
    /// Transport on which it receives.
    pub(crate) transport: TransportKey,
    /// Its DataConsumers in the order of their creation.
    pub(crate) consumers: Vec<DataConsumerKey>,
    /// True if its messages are not forwarded.
    pub(crate) paused: bool,
    path: DataTransport,
    label: String,
    protocol: String,
    messages: u64,
    bytes: u64,
}

impl DataProducer {
    /// Creates a DataProducer without DataConsumers.
    pub(crate) fn new(options: ProduceData, transport: TransportKey) -> Self {
        Self {
            id: options.id,
            transport,
            consumers: Vec::new(),
            paused: options.paused,
            path: options.transport,
            label: options.label,
            protocol: options.protocol,
            messages: 0,
            bytes: 0,
        }
    }

    /// SCTP stream parameters; `None` if its messages are sent by the application.
    pub(crate) fn stream(&self) -> Option<SctpStreamParameters> {
        match self.path {
            DataTransport::Sctp(parameters) => Some(parameters),
            DataTransport::Direct => None,
        }
    }

    /// Counts a received message.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn dump(&self) -> DataProducerDump {
        DataProducerDump {
            id: self.id.clone(),
            transport: self.path.clone(),
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            paused: self.paused,
        }
    }

    pub(crate) fn stats(&self, timestamp_ms: u64) -> DataProducerStats {
        DataProducerStats {
            timestamp_ms,
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            messages_received: self.messages,
            bytes_received: self.bytes,
        }
    }
}
