//! What can go wrong with a Worker.

use std::error::Error;

use thiserror::Error;
use tureen_engine::api::Response;

use crate::driver::InjectError;
use crate::ortc::RtpCapabilitiesError;

/// Why a request to a worker failed.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The worker, or the object that the request is about, is closed.
    #[error("Channel already closed")]
    ChannelClosed,
    /// No answer came in time. Workers in threads always answer; kept so that a `match` stays complete.
    #[error("Request timed out")]
    TimedOut,
    /// The worker refused the request.
    #[error("Received response error: {reason}")]
    Response {
        /// Names the thing and the value that it refused, or the limit that was reached.
        reason: String,
    },
    /// The answer can't be read. Answers are not encoded; kept so that a `match` stays complete.
    #[error("Failed to parse response from worker: {error}")]
    FailedToParse {
        /// What is wrong with it.
        error: String,
    },
    /// The answer is empty. Kept so that a `match` stays complete.
    #[error("Worker did not return any data in response")]
    NoData,
    /// The answer is not one to this request, which is a defect of the engine.
    #[error("Response conversion error: {0}")]
    ResponseConversion(Box<dyn Error + Send + Sync>),
}

impl RequestError {
    /// The engine gave an answer to another question.
    pub(crate) fn unexpected(response: &Response) -> Self {
        Self::ResponseConversion(format!("unexpected answer {response:?}").into())
    }
}

/// Why a packet or message of the application was not taken.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum NotificationError {
    /// The worker is closed.
    #[error("Channel already closed")]
    ChannelClosed,
    /// The worker has too much to do, so that what is new is dropped. Not in the mediasoup crate, whose queue has no
    /// bound.
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

/// Why a worker's thread ended without having been told to.
#[derive(Debug, Copy, Clone, Error)]
pub enum ExitError {
    /// The operating system failed it.
    #[error("Worker exited with generic error")]
    Generic,
    /// Its settings can't be met.
    #[error("Worker exited with settings error")]
    Settings,
    /// Of a worker process only; kept so that a `match` stays complete.
    #[error("Worker exited with unknown error and status code {status_code}")]
    Unknown {
        /// Status code of the process.
        status_code: i32,
    },
    /// It panicked.
    #[error("Worker exited unexpectedly")]
    Unexpected,
}

/// Why [`Worker::create_webrtc_server`](super::Worker::create_webrtc_server) failed.
#[derive(Debug, Error)]
pub enum CreateWebRtcServerError {
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}

/// Why [`Worker::create_router`](super::Worker::create_router) failed.
#[derive(Debug, Error)]
pub enum CreateRouterError {
    /// The codecs make no valid RTP capabilities.
    #[error("RTP capabilities generation error: {0}")]
    FailedRtpCapabilitiesGeneration(RtpCapabilitiesError),
    /// The worker refused the request.
    #[error("Request to worker failed: {0}")]
    Request(RequestError),
}
