//! Data channels: DataProducers, DataConsumers and the data state of a transport.

mod data_consumer;
mod data_producer;
pub(crate) mod subchannels;

use hashbrown::HashMap;

pub(crate) use self::data_consumer::DataConsumer;
pub(crate) use self::data_producer::DataProducer;
use crate::api::RequestError;
use crate::keys::{DataConsumerKey, DataProducerKey};
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::{self, Sctp};
use tureen_types::sctp_parameters::SctpStreamParameters;

/// Highest stream id (mediasoup).
pub(crate) const MAX_STREAM_ID: u16 = 65_534;
/// Smallest receive window (mediasoup's `SctpReceiverWindowBufferMinSize`), in bytes.
const MIN_RECEIVE_WINDOW: u32 = 65_536;

/// Data state of a transport.
#[derive(Debug)]
pub(crate) struct DataSide {
    pub(crate) path: DataPath,
    pub(crate) producers: Vec<DataProducerKey>,
    pub(crate) consumers: Vec<DataConsumerKey>,
    /// DataProducer of each incoming SCTP stream.
    pub(crate) stream_producers: HashMap<u16, DataProducerKey>,
    /// DataConsumer of each outgoing SCTP stream.
    pub(crate) stream_consumers: HashMap<u16, DataConsumerKey>,
    /// True if the association is queued for its events.
    pub(crate) queued: bool,
    /// True if the association is queued for its packets to be sent.
    pub(crate) sending: bool,
}

/// Path of the data messages of a transport.
#[derive(Debug)]
pub(crate) enum DataPath {
    /// No data messages.
    None,
    /// Over SCTP.
    Sctp {
        sctp: Box<Sctp>,
        /// Data channels, plain streams or a pipe.
        purpose: SctpPurpose,
    },
    /// From and to the application.
    Direct {
        /// Longest message in bytes.
        max_message_size: u32,
    },
}

/// Purpose of an SCTP association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SctpPurpose {
    /// WebRTC data channels (mediasoup's `isDataChannel`): closing one resets its stream.
    DataChannels,
    /// Streams of an SCTP endpoint other than a browser.
    Plain,
    /// Another router: each message carries its subchannels.
    Pipe,
}

impl DataSide {
    pub(crate) fn new(path: DataPath) -> Self {
        Self {
            path,
            producers: Vec::new(),
            consumers: Vec::new(),
            stream_producers: HashMap::new(),
            stream_consumers: HashMap::new(),
            queued: false,
            sending: false,
        }
    }

    pub(crate) fn sctp(&self) -> Option<&Sctp> {
        match &self.path {
            DataPath::Sctp { sctp, .. } => Some(sctp),
            DataPath::None | DataPath::Direct { .. } => None,
        }
    }

    pub(crate) fn sctp_mut(&mut self) -> Option<&mut Sctp> {
        match &mut self.path {
            DataPath::Sctp { sctp, .. } => Some(sctp),
            DataPath::None | DataPath::Direct { .. } => None,
        }
    }

    /// True if a datagram that is neither RTP nor RTCP belongs to its association, by the destination port.
    pub(crate) fn is_for_sctp(&self, datagram: &[u8]) -> bool {
        self.sctp().is_some() && datagram.get(2..4) == Some(&sctp::PORT.to_be_bytes())
    }

    /// True if the path is an association with another router.
    pub(crate) fn is_pipe(&self) -> bool {
        matches!(self.path, DataPath::Sctp { purpose: SctpPurpose::Pipe, .. })
    }

    /// True if the streams are WebRTC data channels.
    pub(crate) fn has_data_channels(&self) -> bool {
        matches!(self.path, DataPath::Sctp { purpose: SctpPurpose::DataChannels, .. })
    }

    /// Maximum message sizes for sending and for receiving, in bytes.
    pub(crate) fn max_message_sizes(&self) -> (u32, u32) {
        match &self.path {
            DataPath::None => (0, 0),
            DataPath::Sctp { sctp, .. } => {
                (sctp.options().max_send_message_size, sctp.options().max_receive_message_size)
            }
            DataPath::Direct { max_message_size } => (*max_message_size, *max_message_size),
        }
    }
}

/// Checks the options of an SCTP association.
///
/// # Errors
/// The text contains the option and its minimum.
pub(crate) fn check_sctp_options(options: &SctpOptions) -> Result<(), RequestError> {
    if options.max_receiver_window_buffer_size < MIN_RECEIVE_WINDOW {
        let text = format!("sctpMaxReceiverWindowBufferSize must be at least {MIN_RECEIVE_WINDOW}");
        return Err(RequestError::Invalid(text));
    }
    Ok(())
}

/// Checks that the parameters of an SCTP stream are consistent.
///
/// # Errors
/// The text contains the inconsistency.
pub(crate) fn check_stream_parameters(parameters: &SctpStreamParameters) -> Result<(), RequestError> {
    let limited = parameters.max_packet_life_time.is_some() || parameters.max_retransmits.is_some();
    let text = if parameters.stream_id > MAX_STREAM_ID {
        format!("streamId {} must not be greater than {MAX_STREAM_ID}", parameters.stream_id)
    } else if parameters.max_packet_life_time.is_some() && parameters.max_retransmits.is_some() {
        "cannot provide both maxPacketLifeTime and maxRetransmits".to_owned()
    } else if parameters.ordered && limited {
        "cannot be ordered with maxPacketLifeTime or maxRetransmits".to_owned()
    } else {
        return Ok(());
    };
    Err(RequestError::Invalid(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictory_stream_parameters_are_refused() {
        let ordered = SctpStreamParameters::new_ordered(65_534);
        assert_eq!(check_stream_parameters(&ordered), Ok(()));
        let timed = SctpStreamParameters::new_unordered_with_life_time(1, 5);
        assert_eq!(check_stream_parameters(&timed), Ok(()));
        for wrong in [
            SctpStreamParameters { stream_id: 65_535, ..ordered },
            SctpStreamParameters { max_retransmits: Some(1), ..timed },
            SctpStreamParameters { ordered: true, ..timed },
        ] {
            assert!(check_stream_parameters(&wrong).is_err(), "{wrong:?}");
        }
    }
}
