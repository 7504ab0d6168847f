//! Options of a DataProducer.

use super::DataProducerId;
use crate::data_structures::AppData;
use crate::sctp_parameters::SctpStreamParameters;

/// [`DataProducer`](super::DataProducer) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DataProducerOptions {
    pub(crate) id: Option<DataProducerId>,
    pub(crate) sctp_stream_parameters: Option<SctpStreamParameters>,
    /// Label of the data channel. Default empty.
    pub label: String,
    /// Subprotocol of the data channel. Default empty.
    pub protocol: String,
    /// Start paused. Default false.
    pub paused: bool,
    /// Custom application data.
    pub app_data: AppData,
}

impl DataProducerOptions {
    /// Options with a given id, as for a data producer that is piped to another router.
    #[must_use]
    pub fn new_pipe_transport(
        data_producer_id: DataProducerId,
        sctp_stream_parameters: SctpStreamParameters,
    ) -> Self {
        Self { id: Some(data_producer_id), ..Self::new_sctp(sctp_stream_parameters) }
    }

    /// Options for messages that arrive on an SCTP stream.
    #[must_use]
    pub fn new_sctp(sctp_stream_parameters: SctpStreamParameters) -> Self {
        Self { sctp_stream_parameters: Some(sctp_stream_parameters), ..Self::new_direct() }
    }

    /// Options for messages of the application, on a DirectTransport.
    #[must_use]
    pub fn new_direct() -> Self {
        Self {
            id: None,
            sctp_stream_parameters: None,
            label: String::new(),
            protocol: String::new(),
            paused: false,
            app_data: AppData::default(),
        }
    }
}
