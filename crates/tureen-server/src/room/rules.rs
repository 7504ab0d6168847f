//! Rules that moderators have set. They hold for as long as the room lasts, and for participants who leave and come back,
//! because a participant would shake them off otherwise.

use std::collections::{HashMap, HashSet};

use crate::{
    access::Muted,
    admission::{Grant, May},
    error::Error,
};

/// Most identities that a room remembers something of.
const MAX_REMEMBERED: usize = 10_000;

/// Rules of a room.
#[derive(Default)]
pub(super) struct Rules {
    /// Those who may come back while the room is locked.
    locked: Option<HashSet<String>>,
    /// New participants wait until they are let in.
    pub(super) lobby: bool,
    /// Those who need not wait.
    admitted: HashSet<String>,
    standings: HashMap<String, Standing>,
    /// Most peers, if fewer than the server allows.
    pub(super) max_peers: Option<usize>,
}

/// What was decided about one participant.
#[derive(Clone, Copy, Default)]
pub(super) struct Standing {
    /// Rights in place of those of its token.
    pub(super) may: Option<May>,
    pub(super) muted: Muted,
}

impl Rules {
    /// Refuses a new participant of a room that is locked.
    pub(super) fn check_enter(&self, grant: &Grant) -> Result<(), Error> {
        match &self.locked {
            Some(known) if !grant.may.moderate && !known.contains(&grant.identity) => Err(Error::RoomLocked),
            _ => Ok(()),
        }
    }

    /// True for a participant that must wait in the lobby.
    pub(super) fn waits(&self, grant: &Grant) -> bool {
        self.lobby && !grant.may.moderate && !self.admitted.contains(&grant.identity)
    }

    pub(super) fn standing(&self, id: &str) -> Standing {
        self.standings.get(id).copied().unwrap_or_default()
    }

    /// Remembers what was decided about a participant; false if there is no room for one more.
    pub(super) fn decide(&mut self, id: &str, standing: Standing) -> bool {
        if self.standings.len() >= MAX_REMEMBERED && !self.standings.contains_key(id) {
            return false;
        }
        self.standings.insert(id.to_owned(), standing);
        true
    }

    /// Locks the room to all but `there`.
    pub(super) fn lock(&mut self, there: HashSet<String>) {
        self.locked = Some(there);
    }

    pub(super) fn unlock(&mut self) {
        self.locked = None;
    }

    /// Lets a participant pass the lobby, now and when it comes back.
    pub(super) fn admit(&mut self, id: &str) {
        if self.admitted.len() < MAX_REMEMBERED {
            self.admitted.insert(id.to_owned());
        }
    }

    /// Forgets what let a participant come back.
    pub(super) fn exclude(&mut self, id: &str) {
        self.admitted.remove(id);
        if let Some(known) = &mut self.locked {
            known.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: &str, moderate: bool) -> Grant {
        let mut grant = Grant::for_test("r", id);
        grant.may.moderate = moderate;
        grant
    }

    #[test]
    fn a_locked_room_lets_back_in_who_was_there_and_moderators() {
        let mut rules = Rules::default();
        rules.check_enter(&grant("new", false)).unwrap();
        rules.lock(["there".to_owned()].into());
        rules.check_enter(&grant("there", false)).unwrap();
        rules.check_enter(&grant("boss", true)).unwrap();
        assert!(matches!(rules.check_enter(&grant("new", false)), Err(Error::RoomLocked)));
        rules.exclude("there");
        rules.check_enter(&grant("there", false)).unwrap_err();
        rules.unlock();
        rules.check_enter(&grant("new", false)).unwrap();
    }

    #[test]
    fn whoever_was_admitted_waits_no_more_and_others_do_although_a_moderator_came() {
        let mut rules = Rules { lobby: true, ..Rules::default() };
        assert!(rules.waits(&grant("a", false)) && !rules.waits(&grant("boss", true)));
        rules.admit("a");
        assert!(!rules.waits(&grant("a", false)) && rules.waits(&grant("b", false)));
        rules.exclude("a");
        assert!(rules.waits(&grant("a", false)));
    }

    #[test]
    fn a_room_remembers_no_more_than_its_bound() {
        let mut rules = Rules::default();
        assert!((0..MAX_REMEMBERED).all(|n| rules.decide(&n.to_string(), Standing::default())));
        assert!(!rules.decide("one more", Standing::default()));
        assert!(rules.decide("7", Standing::default()));
    }
}
