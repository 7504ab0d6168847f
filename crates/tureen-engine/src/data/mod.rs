//! Data channels: DataProducers and DataConsumers, and what a transport knows of them.

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

/// The data side of a transport.
#[derive(Debug)]
pub(crate) struct DataSide {
    /// How messages travel.
    pub(crate) path: DataPath,
    /// Its DataProducers.
    pub(crate) producers: Vec<DataProducerKey>,
    /// Its DataConsumers.
    pub(crate) consumers: Vec<DataConsumerKey>,
    /// Who receives on which stream.
    pub(crate) stream_producers: HashMap<u16, DataProducerKey>,
    /// Who sends on which stream.
    pub(crate) stream_consumers: HashMap<u16, DataConsumerKey>,
    /// Its association may have something to say.
    pub(crate) queued: bool,
    /// Its association may have something to send.
    pub(crate) sending: bool,
}

/// How the data messages of a transport travel.
#[derive(Debug)]
pub(crate) enum DataPath {
    /// Not at all.
    None,
    /// By SCTP.
    Sctp {
        /// The association.
        sctp: Box<Sctp>,
        /// What runs on it.
        purpose: SctpPurpose,
    },
    /// By the application.
    Direct {
        /// Longest message, in bytes.
        max_message_size: u32,
    },
}

/// What an association is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SctpPurpose {
    /// WebRTC data channels (mediasoup's `isDataChannel`): closing one resets its stream.
    DataChannels,
    /// Streams of an SCTP endpoint that is no browser.
    Plain,
    /// Another router: a message carries its subchannels.
    Pipe,
}

impl DataSide {
    /// With a path for data.
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

    /// Its association.
    pub(crate) fn sctp(&self) -> Option<&Sctp> {
        match &self.path {
            DataPath::Sctp { sctp, .. } => Some(sctp),
            DataPath::None | DataPath::Direct { .. } => None,
        }
    }

    /// Its association.
    pub(crate) fn sctp_mut(&mut self) -> Option<&mut Sctp> {
        match &mut self.path {
            DataPath::Sctp { sctp, .. } => Some(sctp),
            DataPath::None | DataPath::Direct { .. } => None,
        }
    }

    /// Whether a datagram that is neither RTP nor RTCP is for its association: by the destination port.
    pub(crate) fn is_for_sctp(&self, datagram: &[u8]) -> bool {
        self.sctp().is_some() && datagram.get(2..4) == Some(&sctp::PORT.to_be_bytes())
    }

    /// Whether it leads to another router.
    pub(crate) fn is_pipe(&self) -> bool {
        matches!(self.path, DataPath::Sctp { purpose: SctpPurpose::Pipe, .. })
    }

    /// Whether its streams are WebRTC data channels.
    pub(crate) fn has_data_channels(&self) -> bool {
        matches!(self.path, DataPath::Sctp { purpose: SctpPurpose::DataChannels, .. })
    }

    /// Largest message that is sent, and that is taken, in bytes.
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

/// Refuses options that no association can have.
///
/// # Errors
/// The text names the value.
pub(crate) fn check_sctp_options(options: &SctpOptions) -> Result<(), RequestError> {
    if options.max_receiver_window_buffer_size < MIN_RECEIVE_WINDOW {
        let text = format!("sctpMaxReceiverWindowBufferSize must be at least {MIN_RECEIVE_WINDOW}");
        return Err(RequestError::Invalid(text));
    }
    Ok(())
}

/// Refuses stream parameters that contradict themselves.
///
/// # Errors
/// The text names what is wrong.
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
    fn stream_parameters_that_contradict_themselves_are_refused() {
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
