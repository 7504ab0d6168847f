//! A DataConsumer: forwards messages of a DataProducer, selected by subchannel.

use std::collections::BTreeSet;

use super::subchannels::Subchannels;
use crate::api::{
    ConsumeData, DataConsumerDump, DataConsumerId, DataConsumerStats, DataProducerId, DataTransport,
};
use crate::keys::{DataProducerKey, TransportKey};
use tureen_types::sctp_parameters::SctpStreamParameters;

#[derive(Debug)]
pub(crate) struct DataConsumer {
    pub(crate) id: DataConsumerId,
    /// Transport on which it sends.
    pub(crate) transport: TransportKey,
    /// DataProducer whose messages it forwards.
    pub(crate) data_producer: DataProducerKey,
    pub(crate) paused: bool,
    pub(crate) data_producer_paused: bool,
    /// Subchannels to which it is subscribed.
    pub(crate) subchannels: BTreeSet<u16>,
    /// True if it forwards to another router.
    pub(crate) pipe: bool,
    data_producer_id: DataProducerId,
    path: DataTransport,
    label: String,
    protocol: String,
    messages: u64,
    bytes: u64,
}

impl DataConsumer {
    /// `data_producer_paused` is the initial state of its DataProducer; `pipe` is true on a PipeTransport.
    pub(crate) fn new(
        options: ConsumeData,
        transport: TransportKey,
        data_producer: DataProducerKey,
        data_producer_paused: bool,
        pipe: bool,
    ) -> Self {
        Self {
            id: options.id,
            transport,
            data_producer,
            paused: options.paused,
            data_producer_paused,
            subchannels: options.subchannels.into_iter().collect(),
            pipe,
            data_producer_id: options.data_producer_id,
            path: options.transport,
            label: options.label,
            protocol: options.protocol,
            messages: 0,
            bytes: 0,
        }
    }

    /// SCTP stream parameters; `None` if its messages are passed to the application.
    pub(crate) fn stream(&self) -> Option<SctpStreamParameters> {
        match self.path {
            DataTransport::Sctp(parameters) => Some(parameters),
            DataTransport::Direct => None,
        }
    }

    /// True if neither it nor its DataProducer is paused.
    pub(crate) fn is_active(&self) -> bool {
        !self.paused && !self.data_producer_paused
    }

    /// True if a message for `subchannels` is forwarded to it.
    pub(crate) fn wants(&self, subchannels: &Subchannels) -> bool {
        // On a pipe without subchannels every message is forwarded, because the other router selects the receivers.
        if self.pipe && self.subchannels.is_empty() {
            return true;
        }
        let subscribed = |subchannel: &u16| self.subchannels.contains(subchannel);
        subchannels.required.as_ref().is_none_or(subscribed)
            && (self.pipe || !subchannels.ignored.as_ref().is_some_and(subscribed))
            && (subchannels.any_of.is_empty() || subchannels.any_of.iter().any(subscribed))
    }

    /// Counts a sent message.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    /// The SCTP association provides the buffered amount and its threshold.
    pub(crate) fn dump(&self, buffered_amount: u32, buffered_amount_low_threshold: u32) -> DataConsumerDump {
        DataConsumerDump {
            id: self.id.clone(),
            data_producer_id: self.data_producer_id.clone(),
            transport: self.path.clone(),
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            buffered_amount,
            buffered_amount_low_threshold,
            paused: self.paused,
            data_producer_paused: self.data_producer_paused,
            subchannels: self.subchannels.iter().copied().collect(),
        }
    }

    pub(crate) fn stats(&self, timestamp_ms: u64, buffered_amount: u32) -> DataConsumerStats {
        DataConsumerStats {
            timestamp_ms,
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            messages_sent: self.messages,
            bytes_sent: self.bytes,
            buffered_amount,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(subchannels: &[u16], pipe: bool) -> DataConsumer {
        let options = ConsumeData {
            transport_id: "t".into(),
            data_producer_id: "p".into(),
            id: "c".into(),
            transport: DataTransport::Direct,
            label: String::new(),
            protocol: String::new(),
            paused: false,
            subchannels: subchannels.to_vec(),
        };
        DataConsumer::new(options, TransportKey::default(), DataProducerKey::default(), false, pipe)
    }

    fn message(any_of: &[u16], required: Option<u16>, ignored: Option<u16>) -> Subchannels {
        Subchannels { any_of: any_of.to_vec(), required, ignored }
    }

    #[test]
    fn message_without_subchannels_is_for_everyone() {
        assert!(consumer(&[], false).wants(&message(&[], None, None)));
        assert!(consumer(&[1], false).wants(&message(&[], None, None)));
    }

    #[test]
    fn message_with_subchannels_is_for_their_subscribers() {
        let message = message(&[1, 2], None, None);
        assert!(consumer(&[2, 3], false).wants(&message));
        assert!(!consumer(&[3], false).wants(&message));
        assert!(!consumer(&[], false).wants(&message));
    }

    #[test]
    fn required_subchannel_is_required_beside_the_others() {
        let message = message(&[1], Some(9), None);
        assert!(consumer(&[1, 9], false).wants(&message));
        assert!(!consumer(&[1], false).wants(&message));
        assert!(!consumer(&[9], false).wants(&message));
    }

    #[test]
    fn ignored_subchannel_excludes_its_subscribers() {
        let message = message(&[1], None, Some(9));
        assert!(consumer(&[1], false).wants(&message));
        assert!(!consumer(&[1, 9], false).wants(&message));
    }

    #[test]
    fn pipe_leaves_subchannels_to_the_other_router() {
        assert!(consumer(&[], true).wants(&message(&[1], Some(2), Some(3))));
        assert!(consumer(&[1, 3], true).wants(&message(&[1], None, Some(3))));
        assert!(!consumer(&[1], true).wants(&message(&[2], None, None)));
        assert!(!consumer(&[1], true).wants(&message(&[1], Some(2), None)));
    }
}
