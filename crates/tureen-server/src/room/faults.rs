//! Whose fault it is when the media worker can't do what a client asks for: what the worker refuses, the client has asked
//! for wrongly (400, 404); all else is the server's (500).

use tureen::{prelude::*, worker::RequestError};

use crate::signaling::protoo::Refusal;

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Response { .. } => Self::bad_request(error),
            _ => Self::failed(error),
        }
    }
}

impl From<ProduceError> for Refusal {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::Request(error) => error.into(),
            error => Self::bad_request(error),
        }
    }
}

impl From<ConsumeError> for Refusal {
    fn from(error: ConsumeError) -> Self {
        match error {
            ConsumeError::Request(error) => error.into(),
            ConsumeError::ProducerNotFound(id) => Self::not_found("producer", id),
            error => Self::bad_request(error),
        }
    }
}

impl From<ProduceDataError> for Refusal {
    fn from(error: ProduceDataError) -> Self {
        match error {
            ProduceDataError::Request(error) => error.into(),
            error => Self::bad_request(error),
        }
    }
}

impl From<ConsumeDataError> for Refusal {
    fn from(error: ConsumeDataError) -> Self {
        match error {
            ConsumeDataError::Request(error) => error.into(),
            ConsumeDataError::DataProducerNotFound(id) => Self::not_found("data producer", id),
            error => Self::bad_request(error),
        }
    }
}
