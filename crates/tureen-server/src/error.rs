//! Reasons for which a request to a room is refused or fails. [`crate::signaling::codes`] decides their codes.

use std::{fmt, net::IpAddr};

use tureen::{prelude::*, worker::RequestError};

use crate::access::TokenError;

/// Reason for which a request to a room is refused or fails.
///
/// The text names the thing and the value; clients get it as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The data of a request can't be read.
    #[error("wrong {part}: {why}")]
    WrongData { part: &'static str, why: serde_json::Error },
    /// An id, or a text that others are sent.
    #[error("{what} {why}")]
    WrongText { what: &'static str, why: WrongText },
    /// The id belongs to another participant of the room.
    #[error("there is a participant \"{0}\" already")]
    IdTaken(String),
    /// A transport sends each producer once.
    #[error("transport {transport} consumes {producer} already")]
    ConsumedAlready { transport: TransportId, producer: String },
    #[error("the participant gave no rtpCapabilities")]
    NoRtpCapabilities,
    /// The transport is of another kind than the request.
    #[error("a {kind} transport is connected by {by}")]
    WrongTransport { kind: &'static str, by: &'static str },
    #[error("{0} 0 is nobody's")]
    PortZero(&'static str),

    #[error("the peer has not joined yet")]
    NotJoined,
    #[error("the peer has joined already")]
    JoinedAlready,
    /// The access token is no good.
    #[error(transparent)]
    Token(TokenError),
    #[error("the access token is for the room \"{0}\"")]
    OtherRoom(String),
    #[error("the access token is for the identity \"{0}\", which must be the participant's id")]
    OtherIdentity(String),
    /// The grant of the participant excludes this.
    #[error("this participant may not {0}")]
    NotGranted(&'static str),
    #[error("this participant may not publish the source {0}")]
    NotGrantedSource(&'static str),
    #[error("a moderator has muted this")]
    Muted,
    #[error("waiting to be let in")]
    Waiting,
    #[error("the room is locked")]
    RoomLocked,
    /// A bound of what one participant may have.
    #[error("a participant has at most {most} {}", what.plural())]
    ParticipantLimit { what: Thing, most: usize },
    #[error("a room has at most {0} broadcasters")]
    BroadcastersOfRoom(usize),
    #[error("this address has as many broadcasters as it may have")]
    BroadcastersOfAddress,
    /// An address that no single host has.
    #[error("{ip} is {why}: see rtc.plain_connect_to")]
    SpecialAddress { ip: IpAddr, why: &'static str },
    #[error("{0}: no secret for network throttling is configured")]
    NoThrottling(String),

    #[error("{what} with id \"{id}\" not found")]
    NotFound { what: Thing, id: String },

    #[error("room is full")]
    RoomFull,
    #[error("too many rooms")]
    TooManyRooms,
    #[error("room can't be made")]
    NoRoom,
    #[error("server is shutting down")]
    ShuttingDown,
    #[error("the server has as many {0} as it may have")]
    ServerBusy(&'static str),
    #[error("room or server have as many consumers as they may have")]
    ConsumersBusy,

    #[error("unknown method \"{0}\"")]
    UnknownMethod(String),
    /// The participant left while its request was carried out.
    #[error("the participant has left the room")]
    Left,
    #[error("the media worker offers no {0} candidate")]
    NoCandidate(&'static str),
    /// A media worker failed at a request without values of the client.
    #[error(transparent)]
    Worker(RequestError),
    /// An answer can't be written.
    #[error(transparent)]
    Json(serde_json::Error),

    /// A media worker refused what the client asked for.
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Produce(ProduceError),
    #[error(transparent)]
    Consume(ConsumeError),
    #[error(transparent)]
    ProduceData(ProduceDataError),
    #[error(transparent)]
    ConsumeData(ConsumeDataError),
}

/// Fault of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongText {
    #[error("is missing")]
    Missing,
    #[error("has control characters")]
    ControlCharacters,
    #[error("has {len} bytes, more than {most}")]
    TooLong { len: usize, most: usize },
}

/// A kind of object that requests name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Room,
    Participant,
    Broadcaster,
    Transport,
    Producer,
    Consumer,
    DataProducer,
    DataConsumer,
}

impl Thing {
    fn plural(self) -> String {
        format!("{self}s")
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Room => "room",
            Self::Participant => "participant",
            Self::Broadcaster => "broadcaster",
            Self::Transport => "transport",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::DataProducer => "data producer",
            Self::DataConsumer => "data consumer",
        })
    }
}

impl Error {
    pub(crate) fn not_found(what: Thing, id: impl fmt::Display) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }
}

// A refusal of the worker, and an object that is not found, are one kind each, whatever was asked for.

impl From<ProduceError> for Error {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::Request(error) => Self::Request(error),
            error => Self::Produce(error),
        }
    }
}

impl From<ConsumeError> for Error {
    fn from(error: ConsumeError) -> Self {
        match error {
            ConsumeError::Request(error) => Self::Request(error),
            ConsumeError::ProducerNotFound(id) => Self::not_found(Thing::Producer, id),
            error => Self::Consume(error),
        }
    }
}

impl From<ProduceDataError> for Error {
    fn from(error: ProduceDataError) -> Self {
        match error {
            ProduceDataError::Request(error) => Self::Request(error),
            error => Self::ProduceData(error),
        }
    }
}

impl From<ConsumeDataError> for Error {
    fn from(error: ConsumeDataError) -> Self {
        match error {
            ConsumeDataError::Request(error) => Self::Request(error),
            ConsumeDataError::DataProducerNotFound(id) => Self::not_found(Thing::DataProducer, id),
            error => Self::ConsumeData(error),
        }
    }
}
