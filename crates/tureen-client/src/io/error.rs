//! Errors of the async API.

use std::io;

use crate::parameters::ParametersError;
use crate::session::SessionError;

/// An error of the application, from one of its handlers.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request to a transport, or to what is on it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// It is closed, has failed, or its I/O thread has ended.
    #[error("the transport is closed")]
    Closed,
    /// The application's `connect` handler failed. The next request calls it again.
    #[error("the connect handler failed: {0}")]
    Connect(#[source] BoxError),
    /// The application's `produce` handler failed.
    #[error("the produce handler failed: {0}")]
    Produce(#[source] BoxError),
    /// The application's `produce_data` handler failed.
    #[error("the produce_data handler failed: {0}")]
    ProduceData(#[source] BoxError),
    /// The transport was made without SCTP parameters.
    #[error("the transport has no sctpParameters")]
    NoSctp,
    /// Both limits of retransmissions are set.
    #[error("maxPacketLifeTime {0} and maxRetransmits {1} can't both be set")]
    TwoLimits(u16, u16),
    /// All SCTP streams are in use.
    #[error("all {0} SCTP streams are in use")]
    NoStreamLeft(u16),
    /// An SCTP stream has a data consumer already.
    #[error("SCTP stream {0} has a data consumer already")]
    StreamTaken(u16),
    /// RTP parameters give no stream.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The session refuses it, or the server's parameters can't be used.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A candidate's host name has no address.
    #[error("ICE candidate {address:?} can't be resolved: {error}")]
    Resolve {
        /// The candidate's address.
        address: String,
        /// What the system said.
        error: io::Error,
    },
    /// A socket can't be opened.
    #[error(transparent)]
    Socket(io::Error),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendMessageError {
    /// The data producer or its transport is closed.
    #[error("the data producer is closed")]
    Closed,
    /// So many bytes wait, or the queue of the I/O thread is full.
    #[error("{0} bytes wait to be sent")]
    BufferFull(usize),
    /// The server does not take messages as long.
    #[error("a message of {len} bytes, at most {max} are possible")]
    TooLong {
        /// Its length.
        len: usize,
        /// The server's bound.
        max: usize,
    },
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendFrameError {
    /// The producer or its transport is closed.
    #[error("the producer is closed")]
    Closed,
    /// The I/O thread's queue of commands is full: it does not keep up. The frame is lost for the receivers, and the
    /// next one should be a key frame.
    #[error("the queue of the I/O thread is full")]
    QueueFull,
    /// No such encoding.
    #[error("encoding {encoding}, but the producer has {encodings}")]
    NoEncoding {
        /// The encoding asked for.
        encoding: usize,
        /// How many there are.
        encodings: usize,
    },
}
