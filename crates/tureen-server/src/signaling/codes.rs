//! Codes of failed requests and ended connections: the status of HTTP, the `errorCode` of protoo, and the close code of a
//! WebSocket. No other place decides them.

use super::protoo::{Close, Refusal};
use crate::{access::TokenError, error::Error, room::EndReason};

use tureen::worker::RequestError;

/// HTTP status of a failed request, which protoo clients get as `errorCode`.
pub(crate) fn status(error: &Error) -> u16 {
    match error {
        Error::WrongData { .. }
        | Error::WrongText { .. }
        | Error::IdTaken(_)
        | Error::ConsumedAlready { .. }
        | Error::NoRtpCapabilities
        | Error::WrongTransport { .. }
        | Error::PortZero(_)
        // The worker refuses what the client asked for.
        | Error::Request(RequestError::Response { .. })
        | Error::Produce(_)
        | Error::Consume(_)
        | Error::ProduceData(_)
        | Error::ConsumeData(_) => 400,

        Error::Token(TokenError::NoKeysYet) => 503,
        Error::Token(TokenError::Banned { .. }) => 403,
        Error::Token(_) => 401,

        Error::NotJoined
        | Error::JoinedAlready
        | Error::OtherRoom(_)
        | Error::OtherIdentity(_)
        | Error::NotGranted(_)
        | Error::NotGrantedSource(_)
        | Error::Muted
        | Error::Waiting
        | Error::RoomLocked
        | Error::ParticipantLimit { .. }
        | Error::BroadcastersOfRoom(_)
        | Error::BroadcastersOfAddress
        | Error::SpecialAddress { .. }
        | Error::NoThrottling(_) => 403,

        Error::NotFound { .. } | Error::Left => 404,

        Error::RoomFull
        | Error::TooManyRooms
        | Error::NoRoom
        | Error::ShuttingDown
        | Error::ServerBusy(_)
        | Error::ConsumersBusy => 503,

        // protoo-server answers unknown methods with 500.
        Error::UnknownMethod(_)
        | Error::NoCandidate(_)
        | Error::Worker(_)
        | Error::Json(_)
        | Error::Request(_) => 500,
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Self::new(status(error).into(), error)
    }
}

/// End of the connection of a peer that is not let in.
impl From<&Error> for Close {
    fn from(error: &Error) -> Self {
        match error {
            // protoo-client does not reconnect after 4000 alone.
            Error::IdTaken(_) => Self { code: 4000, reason: "this peerId is taken" },
            Error::RoomFull => Self { code: 1013, reason: "room is full" },
            Error::RoomLocked => Self { code: 1013, reason: "room is locked" },
            Error::TooManyRooms => Self { code: 1013, reason: "too many rooms" },
            Error::ShuttingDown => EndReason::Shutdown.into(),
            _ => Self { code: 1011, reason: "room can't be made" },
        }
    }
}

impl From<EndReason> for Close {
    fn from(why: EndReason) -> Self {
        let (code, reason) = match why {
            EndReason::Replaced => (4000, "another connection with this peerId"),
            EndReason::Silent => (4000, "no sign of life, and another connection with this peerId"),
            // protoo-client does not reconnect after this code.
            EndReason::Kicked => (4000, "removed by a moderator"),
            EndReason::TransportLost => (4001, "media transport lost"),
            EndReason::Shutdown => (1001, "server is shutting down"),
            EndReason::NotJoined => (1008, "did not join in time"),
            EndReason::WorkerDied => (1011, "media worker died"),
        };
        Self { code, reason }
    }
}

/// Ends that the connection itself finds.
impl Close {
    pub(crate) const LEFT: Self = Self { code: 1000, reason: "" };
    pub(crate) const PING_TIMEOUT: Self = Self { code: 1001, reason: "no sign of life" };
    pub(crate) const TOO_SLOW: Self = Self { code: 1008, reason: "too slow to take what is sent" };
    pub(crate) const TOO_MANY_MISTAKES: Self =
        Self { code: 1008, reason: "too many texts that are no messages" };
    pub(crate) const TOO_BIG: Self = Self { code: 1009, reason: "message too big" };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Thing;

    #[test]
    fn errors_of_the_worker_keep_their_kind_for_every_request() {
        use tureen::prelude::{ConsumeDataError, ConsumeError, ProduceDataError, ProduceError};

        let refused = || RequestError::Response { reason: "no".into() };
        for error in [
            Error::from(refused()),
            ProduceError::Request(refused()).into(),
            ConsumeError::Request(refused()).into(),
            ProduceDataError::Request(refused()).into(),
            ConsumeDataError::Request(refused()).into(),
        ] {
            assert_eq!(status(&error), 400, "{error}");
        }
        for error in [
            Error::from(RequestError::ChannelClosed),
            ProduceError::Request(RequestError::ChannelClosed).into(),
            ConsumeError::Request(RequestError::ChannelClosed).into(),
            ProduceDataError::Request(RequestError::ChannelClosed).into(),
            ConsumeDataError::Request(RequestError::ChannelClosed).into(),
            // The client is not at fault here.
            Error::Worker(refused()),
        ] {
            assert_eq!(status(&error), 500, "{error}");
        }
        let id = "00000000-0000-0000-0000-000000000001";
        let missing = Error::from(ConsumeError::ProducerNotFound(id.parse().unwrap()));
        assert_eq!(
            (status(&missing), missing.to_string()),
            (404, format!("producer with id \"{id}\" not found"))
        );
    }

    #[test]
    fn a_refusal_carries_the_text_of_its_error() {
        let refusal = Refusal::from(&Error::ParticipantLimit { what: Thing::DataProducer, most: 8 });
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (403, "a participant has at most 8 data producers")
        );
    }
}
