//! Moderation of a room: removing participants, locking, the lobby.

use std::{sync::Arc, time::Duration};

use tracing::info;
use tureen::prelude::*;

use super::{
    Room,
    events::{Description, EndReason, Notice, RoomEvent},
    participant::Participant,
};
use crate::{
    access::{Sources, unix_now},
    error::{Error, Thing},
    tally::Shown,
};

/// Time for a client to take the notice that it was removed, before its connection ends.
const GOODBYE: Duration = Duration::from_millis(250);

impl Participant {
    /// Refuses a request of a participant that does not moderate the room.
    pub(crate) fn check_moderates(&self) -> Result<(), Error> {
        match self.with_member(|member| member.may.moderate)? {
            true => Ok(()),
            false => Err(self.refused(Error::NotGranted("moderate the room"))),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Room {
    /// Removes a participant at once. Its tokens that were issued so far are no good here any more, and none is during
    /// `ban`.
    pub(crate) fn kick(self: &Arc<Self>, id: &str, ban: Option<Duration>) -> Result<(), Error> {
        let now = unix_now();
        let until = ban.map(|ban| now.saturating_add(i64::try_from(ban.as_secs()).unwrap_or(i64::MAX)));
        let participant = {
            let mut state = self.lock();
            state.rules.exclude(id);
            let member = state.members.get(id);
            member.map(|member| Participant::new(self, member))
        };
        // First, so that it does not come back in between.
        self.shared.revocations.revoke(self.id(), id, now, until);
        let Some(participant) = participant else {
            return match ban {
                // Somebody who has left can be kept out.
                Some(_) => Ok(()),
                None => Err(Error::not_found(Thing::Participant, id)),
            };
        };
        drop(self.remove(&participant));
        info!(
            participant = &*participant.name,
            banned_s = ban.map(|ban| ban.as_secs()),
            "removed by a moderator"
        );
        if let Some(subscriber) = participant.subscriber {
            subscriber.notify(&Notice::new(RoomEvent::Removed { banned_until: until }));
            tokio::spawn(async move {
                tokio::time::sleep(GOODBYE).await;
                subscriber.end(EndReason::Kicked);
            });
        }
        Ok(())
    }

    /// Mutes the audio of all who do not moderate but `except`; how many.
    pub(crate) async fn mute_others(&self, except: &[&str]) -> usize {
        let ids: Vec<_> = {
            let state = self.lock();
            let others = state.members.iter();
            others
                .filter(|(id, member)| !member.may.moderate && !except.contains(&id.as_str()))
                .map(|(id, _)| id.clone())
                .collect()
        };
        let mut muted = 0;
        for id in ids {
            // An error says that it has just left.
            muted += usize::from(self.mute(&id, MediaKind::Audio, Sources::ALL).await.is_ok());
        }
        muted
    }

    /// Locks the room to all who are not in it now, moderators excepted, or unlocks it.
    pub(crate) fn set_locked(&self, locked: bool) {
        let mut state = self.lock();
        match locked {
            true => {
                let there = state.members.iter().filter(|(_, member)| !member.waits);
                let there = there.map(|(id, _)| id.clone()).collect();
                state.rules.lock(there);
            }
            false => state.rules.unlock(),
        }
        drop(state);
        info!(room = %Shown(self.id()), locked, "locked or unlocked");
    }

    /// Has new participants wait until they are let in; or not, which lets all in who wait.
    pub(crate) fn set_lobby(&self, lobby: bool) {
        self.lock().rules.lobby = lobby;
        if !lobby {
            self.admit_all();
        }
    }

    /// Bounds the number of peers, within what the server allows. Those who are there stay.
    pub(crate) fn set_max_peers(&self, most: Option<usize>) {
        self.lock().rules.max_peers = most;
    }

    /// Lets a participant in that waits; does nothing for one that does not.
    pub(crate) fn admit(&self, id: &str) -> Result<(), Error> {
        let subscriber;
        {
            let mut state = self.lock();
            let member = state.member(id)?;
            let waited = std::mem::take(&mut member.waits);
            subscriber = member.subscriber().cloned().filter(|_| waited);
            state.rules.admit(id);
        }
        if let Some(subscriber) = subscriber {
            subscriber.notify(&Notice::new(RoomEvent::Admitted));
        }
        Ok(())
    }

    /// Lets everybody in who waits; how many.
    pub(crate) fn admit_all(&self) -> usize {
        let waiting: Vec<_> = self.waiting().into_iter().map(|waiting| waiting.id).collect();
        // An error says that it has just left.
        waiting.iter().filter(|id| self.admit(id).is_ok()).count()
    }

    /// Those who wait in the lobby, with the names that they gave when they asked to join.
    pub(crate) fn waiting(&self) -> Vec<Description> {
        let state = self.lock();
        let waiting = state.members.iter().filter(|(_, member)| member.waits);
        waiting
            .map(|(id, member)| Description {
                id: id.clone(),
                display_name: member.knocked.clone().unwrap_or_default(),
                device: crate::opaque::Opaque::default(),
            })
            .collect()
    }
}
