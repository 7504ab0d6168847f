//! Options of a DataConsumer.

use crate::data_producer::DataProducerId;
use crate::data_structures::AppData;
use crate::sctp_parameters::SctpStreamParameters;

/// [`DataConsumer`](super::DataConsumer) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DataConsumerOptions {
    pub(crate) data_producer_id: DataProducerId,
    /// `None` takes the data producer's reliability, or ordered for a direct data producer.
    ordered: Option<bool>,
    max_packet_life_time: Option<u16>,
    max_retransmits: Option<u16>,
    /// Start paused. Default false.
    pub paused: bool,
    /// Subchannels that the data consumer is subscribed to at first. Default none.
    pub subchannels: Option<Vec<u16>>,
    /// Custom application data.
    pub app_data: AppData,
}

impl DataConsumerOptions {
    /// Options for an SCTP stream with the reliability of the data producer's.
    #[must_use]
    pub fn new_sctp(data_producer_id: DataProducerId) -> Self {
        Self {
            data_producer_id,
            ordered: None,
            max_packet_life_time: None,
            max_retransmits: None,
            paused: false,
            subchannels: None,
            app_data: AppData::default(),
        }
    }

    /// Options for messages to the application, on a DirectTransport.
    #[must_use]
    pub fn new_direct(data_producer_id: DataProducerId, subchannels: Option<Vec<u16>>) -> Self {
        Self { subchannels, ..Self::new_sctp(data_producer_id) }
    }

    /// Options for an SCTP stream that is reliable and ordered.
    #[must_use]
    pub fn new_sctp_ordered(data_producer_id: DataProducerId) -> Self {
        Self { ordered: Some(true), ..Self::new_sctp(data_producer_id) }
    }

    /// Options for an unordered SCTP stream that gives up a message after `max_packet_life_time` milliseconds.
    #[must_use]
    pub fn new_sctp_unordered_with_life_time(
        data_producer_id: DataProducerId,
        max_packet_life_time: u16,
    ) -> Self {
        Self {
            ordered: Some(false),
            max_packet_life_time: Some(max_packet_life_time),
            ..Self::new_sctp(data_producer_id)
        }
    }

    /// Options for an unordered SCTP stream that gives up a message after `max_retransmits` retransmissions.
    #[must_use]
    pub fn new_sctp_unordered_with_retransmits(
        data_producer_id: DataProducerId,
        max_retransmits: u16,
    ) -> Self {
        Self {
            ordered: Some(false),
            max_retransmits: Some(max_retransmits),
            ..Self::new_sctp(data_producer_id)
        }
    }

    /// True if the options have a setting for SCTP, which a DirectTransport ignores.
    pub(crate) fn is_for_sctp(&self) -> bool {
        self.ordered.is_some()
    }

    /// Parameters of the stream with the given id, for a data producer that receives on the stream `producer`.
    pub(crate) fn stream(
        &self,
        stream_id: u16,
        producer: Option<SctpStreamParameters>,
    ) -> SctpStreamParameters {
        let as_producer = SctpStreamParameters {
            stream_id,
            ..producer.unwrap_or_else(|| SctpStreamParameters::new_ordered(stream_id))
        };
        match (self.ordered, self.max_packet_life_time, self.max_retransmits) {
            (Some(true), ..) => SctpStreamParameters::new_ordered(stream_id),
            (_, None, None) => as_producer,
            (_, max_packet_life_time, max_retransmits) => {
                SctpStreamParameters { stream_id, ordered: false, max_packet_life_time, max_retransmits }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_that_of_the_producer_unless_configured() {
        let id = DataProducerId::new();
        let producer = Some(SctpStreamParameters::new_unordered_with_retransmits(7, 3));
        let stream = |options: DataConsumerOptions| options.stream(1, producer);
        let inherited = SctpStreamParameters::new_unordered_with_retransmits(1, 3);
        assert_eq!(stream(DataConsumerOptions::new_sctp(id)), inherited);
        assert_eq!(stream(DataConsumerOptions::new_sctp_ordered(id)), SctpStreamParameters::new_ordered(1));
        assert_eq!(
            stream(DataConsumerOptions::new_sctp_unordered_with_life_time(id, 9)),
            SctpStreamParameters::new_unordered_with_life_time(1, 9)
        );
        assert_eq!(
            stream(DataConsumerOptions::new_sctp_unordered_with_retransmits(id, 9)),
            SctpStreamParameters::new_unordered_with_retransmits(1, 9)
        );
    }

    #[test]
    fn stream_of_a_direct_producer_is_ordered() {
        let options = DataConsumerOptions::new_sctp(DataProducerId::new());
        assert_eq!(options.stream(1, None), SctpStreamParameters::new_ordered(1));
    }
}
