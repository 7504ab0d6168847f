//! Admission to rooms: the one place that decides who may enter, and with which rights.
//!
//! The WebSocket of a peer and the HTTP API for broadcasters both come through here. The policy is open: whoever knows
//! the name of a room has every right in it, under any free id.

use std::{net::IpAddr, sync::Arc};

use crate::{
    config::Limits,
    error::{Error, WrongText},
    per_address::{Full, PerAddress, Slot},
    tally::{Denied, Tally},
};

/// Longest room and participant ids (bytes).
pub(crate) const MAX_ID: usize = 256;

/// Permission to be in a room.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) room: String,
    /// The id that others know the participant by.
    pub(crate) identity: String,
    pub(crate) may: May,
    /// The participant's place among those of its address, held for as long as it is in the room.
    pub(crate) slot: Option<Slot>,
}

/// Rights of a participant in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct May {
    pub(crate) publish: bool,
    pub(crate) publish_data: bool,
    pub(crate) subscribe: bool,
}

impl May {
    const EVERYTHING: Self = Self { publish: true, publish_data: true, subscribe: true };
}

/// The policy of a server, and the counts that it depends on.
pub(crate) struct Admission {
    broadcasters: Arc<PerAddress>,
    tally: Arc<Tally>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits, tally: Arc<Tally>) -> Self {
        let broadcasters = PerAddress::new(limits.max_broadcasters_per_address, limits.max_broadcasters);
        Self { broadcasters, tally }
    }

    /// Admits a peer, which comes by WebSocket.
    pub(crate) fn peer(&self, room: &str, peer: &str) -> Result<Grant, Error> {
        check_id("roomId", room)?;
        check_id("peerId", peer)?;
        Ok(open(room, peer, None))
    }

    /// Admits a new broadcaster, which takes a place among those of its address.
    pub(crate) fn broadcaster(&self, room: &str, broadcaster: &str, address: IpAddr) -> Result<Grant, Error> {
        check_id("roomId", room)?;
        check_id("id", broadcaster)?;
        let slot = self.broadcasters.take(address).map_err(|full| {
            self.tally.count(Denied::Broadcaster);
            match full {
                Full::Address => Error::BroadcastersOfAddress,
                Full::All => Error::ServerBusy("broadcasters"),
            }
        })?;
        Ok(open(room, broadcaster, Some(slot)))
    }

    /// Admits a request about a broadcaster that is in its room. The id needs no check, because it must be that of a
    /// participant.
    pub(crate) fn control(&self, room: &str, broadcaster: &str) -> Result<Grant, Error> {
        Ok(open(room, broadcaster, None))
    }

    /// Admits a question about a room from somebody who need not be in it.
    pub(crate) fn look(&self, room: &str) -> Result<(), Error> {
        check_id("roomId", room)
    }
}

/// The open policy: every right for everybody.
fn open(room: &str, identity: &str, slot: Option<Slot>) -> Grant {
    Grant { room: room.to_owned(), identity: identity.to_owned(), may: May::EVERYTHING, slot }
}

fn check_id(what: &'static str, id: &str) -> Result<(), Error> {
    let why = match id.len() {
        0 => WrongText::Missing,
        len if len > MAX_ID => WrongText::TooLong { len, most: MAX_ID },
        _ if id.contains(char::is_control) => WrongText::ControlCharacters,
        _ => return Ok(()),
    };
    Err(Error::WrongText { what, why })
}

#[cfg(test)]
impl Grant {
    pub(crate) fn for_test(room: &str, identity: &str) -> Self {
        open(room, identity, None)
    }
}
