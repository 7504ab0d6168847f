//! A peer's stay in a room: what its connection holds.

use std::sync::Arc;

use super::{Peer, Room, secret::Secret};
use crate::signaling::protoo::{Close, Link, Refusal};

/// A connection's stay in a room, from entering to leaving. Clones are the same stay.
///
/// Callbacks of the peer's transports, producers and consumers hold clones: they go with the peer when it leaves.
#[derive(Clone)]
pub(crate) struct Session {
    room: Arc<Room>,
    peer_id: Arc<str>,
    number: u64,
    link: Link,
}

impl Session {
    pub(super) fn new(room: Arc<Room>, peer_id: String, number: u64, link: Link) -> Self {
        Self { room, peer_id: peer_id.into(), number, link }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// What the client can show for its place when it comes again; none once the stay has ended.
    pub(crate) fn secret(&self) -> Option<Secret> {
        self.with_peer(|peer| peer.secret.clone()).ok()
    }

    /// Ends the stay. Does nothing if it has ended.
    pub(crate) fn leave(&self) {
        self.room.leave(&self.peer_id, self.number);
    }

    /// Closes the connection if the peer has not joined within `timeouts.join_s`: what it holds is no use to anybody.
    pub(super) async fn join_in_time(self) {
        tokio::time::sleep(self.room.config().timeouts.join).await;
        if matches!(self.with_peer(|peer| peer.joined.is_none()), Ok(true)) {
            self.link.close(Close::NOT_JOINED);
        }
    }

    pub(super) fn peer_id(&self) -> &str {
        &self.peer_id
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The name that the peer has now; none once it has left.
    pub(super) fn display_name(&self) -> Option<String> {
        let name = self.with_peer(|peer| peer.joined.as_ref().map(|joined| joined.display_name.clone()));
        name.ok().flatten()
    }

    /// Looks at the peer under the room's lock; refused when its stay has ended.
    ///
    /// Nothing of a media worker may be dropped or awaited in `look`.
    pub(super) fn with_peer<T>(&self, look: impl FnOnce(&mut Peer) -> T) -> Result<T, Refusal> {
        let mut state = self.room.lock();
        self.peer_in(&mut state).map(look)
    }

    /// The same with the lock held by the caller.
    pub(super) fn peer_in<'a>(&self, state: &'a mut super::State) -> Result<&'a mut Peer, Refusal> {
        let peer = state.peers.get_mut(&*self.peer_id).filter(|peer| peer.session == self.number);
        peer.ok_or_else(|| Refusal::failed("the peer has left the room"))
    }

    /// The same, refused too before the peer has joined.
    pub(super) fn with_joined_peer<T>(&self, look: impl FnOnce(&mut Peer) -> T) -> Result<T, Refusal> {
        self.with_peer(|peer| peer.joined.is_some().then(|| look(peer)))?
            .ok_or_else(|| Refusal::forbidden("the peer has not joined yet"))
    }
}
