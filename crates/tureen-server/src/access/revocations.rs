//! Tokens that are no longer good although they are genuine: those of identities that were removed from a room.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{claims::Claims, token::TokenError};

/// Most identities that are remembered; of more, those whose revocation is oldest are forgotten.
const MAX_REMEMBERED: usize = 20_000;

/// The same for one room, so that who moderates one can't make others' be forgotten.
const MAX_OF_ROOM: usize = 1000;

/// Revoked identities by room. They are kept in memory, so that a restart forgets them.
#[derive(Debug, Default)]
pub(crate) struct Revocations(Mutex<HashMap<(String, String), Revoked>>);

#[derive(Clone, Copy, Debug)]
struct Revoked {
    /// Tokens issued until then are no good.
    at: i64,
    /// No token is good before then.
    banned_until: Option<i64>,
}

impl Revocations {
    /// Revokes the tokens of an identity for a room that were issued until `now`, and all until `banned_until`.
    pub(crate) fn revoke(&self, room: &str, identity: &str, now: i64, banned_until: Option<i64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (room.to_owned(), identity.to_owned());
        if !all.contains_key(&key) {
            let of_room = all.keys().filter(|(other, _)| other == room).count();
            if of_room >= MAX_OF_ROOM {
                forget_oldest(&mut all, |of| of == room);
            } else if all.len() >= MAX_REMEMBERED {
                forget_oldest(&mut all, |_any| true);
            }
        }
        // A later removal does not shorten a ban.
        let longest = all.get(&key).and_then(|before| before.banned_until).max(banned_until);
        all.insert(key, Revoked { at: now, banned_until: longest });
    }

    /// Refuses a token that was revoked for `room`. A token says by `iat`, else by `nbf`, when it was issued; one that says
    /// neither counts as old.
    pub(crate) fn check(
        &self,
        room: &str,
        identity: &str,
        claims: &Claims,
        now: i64,
    ) -> Result<(), TokenError> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(revoked) = all.get(&(room.to_owned(), identity.to_owned())) else { return Ok(()) };
        let issued = claims.iat.or(claims.nbf).map_or(i64::MIN, |seconds| seconds.0);
        if issued <= revoked.at {
            return Err(TokenError::Revoked);
        }
        match revoked.banned_until {
            Some(until) if now < until => Err(TokenError::Banned { for_s: until - now }),
            _ => Ok(()),
        }
    }
}

fn forget_oldest(all: &mut HashMap<(String, String), Revoked>, of: impl Fn(&str) -> bool) {
    let candidates = all.iter().filter(|((room, _), _)| of(room));
    // Those without a ban first.
    let oldest = candidates.min_by_key(|(_, revoked)| (revoked.banned_until, revoked.at));
    if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Seconds;

    fn issued(at: i64) -> Claims {
        Claims { iat: Some(Seconds(at)), ..Claims::default() }
    }

    #[test]
    fn tokens_from_before_the_revocation_are_no_good_and_later_ones_are() {
        let revocations = Revocations::default();
        revocations.revoke("r", "a", 100, None);
        let check = |room: &str, id: &str, claims: &Claims| revocations.check(room, id, claims, 1000);
        assert_eq!(check("r", "a", &issued(99)), Err(TokenError::Revoked));
        assert_eq!(check("r", "a", &issued(100)), Err(TokenError::Revoked));
        check("r", "a", &issued(101)).unwrap();
        let by_nbf = Claims { nbf: Some(Seconds(101)), ..Claims::default() };
        check("r", "a", &by_nbf).unwrap();
        assert_eq!(check("r", "a", &Claims::default()), Err(TokenError::Revoked), "it does not say when");
        check("s", "a", &issued(99)).unwrap();
        check("r", "b", &issued(99)).unwrap();
    }

    #[test]
    fn a_ban_holds_for_new_tokens_until_it_ends() {
        let revocations = Revocations::default();
        revocations.revoke("r", "a", 100, Some(200));
        revocations.revoke("r", "a", 110, None);
        let new = issued(150);
        assert_eq!(revocations.check("r", "a", &new, 199), Err(TokenError::Banned { for_s: 1 }));
        revocations.check("r", "a", &new, 200).unwrap();
    }

    #[test]
    fn the_oldest_of_a_room_is_forgotten_for_one_more_than_its_bound() {
        let revocations = Revocations::default();
        revocations.revoke("other", "a", 0, None);
        for n in 0..=MAX_OF_ROOM {
            revocations.revoke("r", &n.to_string(), n as i64, None);
        }
        assert_eq!(revocations.0.lock().unwrap().len(), MAX_OF_ROOM + 1);
        let old = issued(0);
        revocations.check("r", "0", &old, 0).unwrap();
        revocations.check("r", "1", &old, 0).unwrap_err();
        revocations.check("other", "a", &old, 0).unwrap_err();
    }
}
