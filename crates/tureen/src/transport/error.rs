//! Errors of creating producers and consumers on a transport.

use thiserror::Error;

use crate::data_producer::DataProducerId;
use crate::ortc::{
    ConsumerRtpParametersError, RtpCapabilitiesError, RtpParametersError, RtpParametersMappingError,
};
use crate::producer::ProducerId;
use crate::worker::RequestError;

/// Error of [`Transport::produce`](super::Transport::produce).
#[derive(Debug, Error)]
pub enum ProduceError {
    /// The router has a producer with this id.
    #[error("Producer with the same id \"{0}\" already exists")]
    AlreadyExists(ProducerId),
    /// The RTP parameters are invalid.
    #[error("Incorrect RTP parameters: {0}")]
    IncorrectRtpParameters(RtpParametersError),
    /// The router lacks a codec or header extension of the RTP parameters.
    #[error("RTP mapping error: {0}")]
    FailedRtpParametersMapping(RtpParametersMappingError),
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Error of [`Transport::consume`](super::Transport::consume).
#[derive(Debug, Error)]
pub enum ConsumeError {
    /// The router has no producer with this id.
    #[error("Producer with id \"{0}\" not found")]
    ProducerNotFound(ProducerId),
    /// The RTP capabilities are invalid.
    #[error("RTP capabilities error: {0}")]
    FailedRtpCapabilitiesValidation(RtpCapabilitiesError),
    /// The RTP capabilities have no codec of the producer.
    #[error("Bad consumer RTP parameters: {0}")]
    BadConsumerRtpParameters(ConsumerRtpParametersError),
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Error of [`Transport::produce_data`](super::Transport::produce_data).
#[derive(Debug, Error)]
pub enum ProduceDataError {
    /// The router has a data producer with this id.
    #[error("Data producer with the same id \"{0}\" already exists")]
    AlreadyExists(DataProducerId),
    /// The options have no SCTP stream, which this kind of transport needs.
    #[error("SCTP stream parameters are required for this transport")]
    SctpStreamParametersRequired,
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Error of [`Transport::consume_data`](super::Transport::consume_data).
#[derive(Debug, Error)]
pub enum ConsumeDataError {
    /// The router has no data producer with this id.
    #[error("Data producer with id \"{0}\" not found")]
    DataProducerNotFound(DataProducerId),
    /// Every SCTP stream of the transport is in use.
    #[error("No free sctp_stream_id available in transport")]
    NoSctpStreamId,
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}
