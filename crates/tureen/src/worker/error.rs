//! Errors of a Worker.

use std::error::Error;

use thiserror::Error;
use tureen_engine::api::Response;

use crate::ortc::RtpCapabilitiesError;
use crate::threads::InjectError;

/// Error of a request to a worker.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The worker, or the object that the request is about, is closed.
    #[error("Channel already closed")]
    ChannelClosed,
    /// The response did not come in time. Never returned, because workers in threads always respond; kept so that a
    /// `match` stays complete.
    #[error("Request timed out")]
    TimedOut,
    /// The worker refused the request.
    #[error("Received response error: {reason}")]
    Response {
        /// The object and value that were refused, or the limit that was reached.
        reason: String,
    },
    /// The response cannot be parsed. Never returned, because responses are not encoded; kept so that a `match` stays
    /// complete.
    #[error("Failed to parse response from worker: {error}")]
    FailedToParse {
        /// Error of the parser.
        error: String,
    },
    /// The response is empty. Never returned; kept so that a `match` stays complete.
    #[error("Worker did not return any data in response")]
    NoData,
    /// The response does not belong to the request, which is a defect of the engine.
    #[error("Response conversion error: {0}")]
    ResponseConversion(Box<dyn Error + Send + Sync>),
}

impl RequestError {
    /// The error for a response of the wrong kind.
    pub(crate) fn unexpected(response: &Response) -> Self {
        Self::ResponseConversion(format!("unexpected answer {response:?}").into())
    }
}

/// Error of sending a packet or message on a DirectTransport.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum NotificationError {
    /// The worker is closed.
    #[error("Channel already closed")]
    ChannelClosed,
    /// Too many packets and messages wait for the worker, so that this one is dropped. Not in the mediasoup crate,
    /// whose queue has no bound.
    #[error("the worker has too many packets and messages waiting already")]
    QueueFull,
}

impl From<InjectError> for NotificationError {
    fn from(error: InjectError) -> Self {
        match error {
            InjectError::Closed => Self::ChannelClosed,
            InjectError::Full => Self::QueueFull,
        }
    }
}

/// Reason why a worker's thread ended on its own.
#[derive(Debug, Copy, Clone, Error)]
pub enum ExitError {
    /// The operating system returned an error.
    #[error("Worker exited with generic error")]
    Generic,
    /// The settings are invalid.
    #[error("Worker exited with settings error")]
    Settings,
    /// Status of a worker process. Never returned; kept so that a `match` stays complete.
    #[error("Worker exited with unknown error and status code {status_code}")]
    Unknown {
        /// Status code of the process.
        status_code: i32,
    },
    /// The thread panicked.
    #[error("Worker exited unexpectedly")]
    Unexpected,
}

/// Error of [`Worker::create_webrtc_server`](super::Worker::create_webrtc_server).
#[derive(Debug, Error)]
pub enum CreateWebRtcServerError {
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Error of [`Worker::create_router`](super::Worker::create_router).
#[derive(Debug, Error)]
pub enum CreateRouterError {
    /// The codecs are invalid or unsupported.
    #[error("RTP capabilities generation error: {0}")]
    FailedRtpCapabilitiesGeneration(RtpCapabilitiesError),
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}
