//! A DataProducer: messages that come in, to be handed to its DataConsumers.

use crate::api::{DataProducerDump, DataProducerId, DataProducerStats, DataTransport, ProduceData};
use crate::keys::{DataConsumerKey, TransportKey};
use tureen_types::sctp_parameters::SctpStreamParameters;

/// One DataProducer.
#[derive(Debug)]
pub(crate) struct DataProducer {
    /// Its identifier.
    pub(crate) id: DataProducerId,
    /// The transport it receives on.
    pub(crate) transport: TransportKey,
    /// Its DataConsumers, in the order they were made.
    pub(crate) consumers: Vec<DataConsumerKey>,
    /// Whether its messages are kept back.
    pub(crate) paused: bool,
    path: DataTransport,
    label: String,
    protocol: String,
    messages: u64,
    bytes: u64,
}

impl DataProducer {
    /// A DataProducer without DataConsumers.
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

    /// Its stream, unless its messages come from the application.
    pub(crate) fn stream(&self) -> Option<SctpStreamParameters> {
        match self.path {
            DataTransport::Sctp(parameters) => Some(parameters),
            DataTransport::Direct => None,
        }
    }

    /// Counts a message that came in.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    /// Describes it.
    pub(crate) fn dump(&self) -> DataProducerDump {
        DataProducerDump {
            id: self.id.clone(),
            transport: self.path.clone(),
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            paused: self.paused,
        }
    }

    /// Its statistics.
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
