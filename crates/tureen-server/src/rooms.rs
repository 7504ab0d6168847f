//! All rooms of the server: made on first use, gone with their last peer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::sync::OnceCell;
use tracing::{error, info};
use tureen::prelude::*;

use crate::{
    codecs::media_codecs,
    config::ServerConfig,
    protoo::{Close, Link, Refusal},
    room::{AddBroadcaster, AddBroadcasterError, Broadcasting, EnterError, Room, Session},
    workers::WorkerPool,
};

/// The rooms, by their ids.
pub(crate) struct Rooms {
    config: Arc<ServerConfig>,
    workers: WorkerPool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A room that is being made holds its id's place, so that two first peers meet in one room.
    rooms: HashMap<String, Arc<OnceCell<Arc<Room>>>>,
    stopped: bool,
}

impl Rooms {
    pub(crate) fn new(config: Arc<ServerConfig>, workers: WorkerPool) -> Self {
        Self { config, workers, state: Mutex::default() }
    }

    /// Brings a peer into the room `room_id`, which is made if there is none. The error is the reason for the peer.
    pub(crate) async fn enter(
        &self,
        room_id: &str,
        peer_id: &str,
        consumer_replicas: u8,
        link: &Link,
    ) -> Result<Session, Close> {
        loop {
            let room = self.room(room_id, consumer_replicas).await?;
            match room.enter(peer_id, link.clone()) {
                Ok(session) => return Ok(session),
                Err(EnterError::Full) => return Err(Close::ROOM_FULL),
                // It ended between the two lines above. The next one is new.
                Err(EnterError::Ended) => self.forget_if_ended(&room),
            }
        }
    }

    /// Takes a peer out of its room.
    pub(crate) fn leave(&self, session: &Session) {
        session.leave();
        self.forget_if_ended(session.room());
    }

    /// Lets a broadcaster into the room `room_id`, which is made if there is none.
    pub(crate) async fn add_broadcaster(
        &self,
        room_id: &str,
        asked: AddBroadcaster,
    ) -> Result<Value, Refusal> {
        loop {
            let room = self.room(room_id, 0).await.map_err(|why| Refusal::failed(why.reason))?;
            match room.add_broadcaster(&asked) {
                Ok(answer) => return Ok(answer),
                Err(AddBroadcasterError::Refused(refusal)) => return Err(refusal),
                // It ended between the two lines above. The next one is new.
                Err(AddBroadcasterError::Ended) => self.forget_if_ended(&room),
            }
        }
    }

    /// The broadcaster of a room that is there.
    pub(crate) fn broadcaster(&self, room_id: &str, id: &str) -> Result<Broadcasting, Refusal> {
        let room = self.lock().rooms.get(room_id).and_then(|cell| cell.get().cloned());
        room.ok_or_else(|| Refusal::not_found("room", room_id))?.broadcaster(id)
    }

    /// Takes a broadcaster out of its room, which ends if nobody else is in it.
    pub(crate) fn remove_broadcaster(&self, broadcaster: &Broadcasting) -> Result<(), Refusal> {
        broadcaster.remove()?;
        self.forget_if_ended(broadcaster.room());
        Ok(())
    }

    /// RTP capabilities of the room `room_id`. A room that is made for this alone ends with it.
    pub(crate) async fn rtp_capabilities(&self, room_id: &str) -> Result<RtpCapabilitiesFinalized, Close> {
        let room = self.room(room_id, 0).await?;
        let capabilities = room.router().rtp_capabilities();
        room.end_if_empty();
        self.forget_if_ended(&room);
        Ok(capabilities)
    }

    /// The media workers that are alive.
    pub(crate) fn workers(&self) -> Vec<Worker> {
        self.workers.alive()
    }

    /// Ends all rooms, and lets no new ones be made.
    pub(crate) fn stop(&self, why: Close) {
        let rooms = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.rooms)
        };
        for room in rooms.values().filter_map(|cell| cell.get()) {
            room.end(why.clone());
        }
        self.workers.stop();
    }

    async fn room(&self, room_id: &str, consumer_replicas: u8) -> Result<Arc<Room>, Close> {
        let cell = {
            let mut state = self.lock();
            if state.stopped {
                return Err(Close::SHUTDOWN);
            }
            match state.rooms.get(room_id) {
                Some(cell) => Arc::clone(cell),
                None if state.rooms.len() >= self.config.limits.max_rooms => {
                    return Err(Close::TOO_MANY_ROOMS);
                }
                None => Arc::clone(state.rooms.entry(room_id.to_owned()).or_default()),
            }
        };
        let attempt = Attempt { rooms: self, room_id, cell };
        let room = attempt.cell.get_or_try_init(|| self.make(room_id, consumer_replicas)).await?;
        if self.lock().stopped {
            // Stopped meanwhile, without knowing of this room.
            room.end(Close::SHUTDOWN);
            return Err(Close::SHUTDOWN);
        }
        Ok(Arc::clone(room))
    }

    async fn make(&self, room_id: &str, consumer_replicas: u8) -> Result<Arc<Room>, Close> {
        let Some(worker) = self.workers.least_loaded() else {
            error!(room = room_id, "no media worker is alive");
            return Err(Close::NO_ROOM);
        };
        let room =
            Room::make(room_id, worker, media_codecs(), consumer_replicas, Arc::clone(&self.config)).await;
        match room {
            Ok(room) => {
                info!(room = room_id, "room made");
                Ok(room)
            }
            Err(error) => {
                error!(room = room_id, %error, "room can't be made");
                Err(Close::NO_ROOM)
            }
        }
    }

    fn forget_if_ended(&self, room: &Arc<Room>) {
        if room.ended() {
            self.forget(room.id(), |cell| cell.get().is_some_and(|other| Arc::ptr_eq(other, room)));
        }
    }

    fn forget(&self, room_id: &str, is_it: impl FnOnce(&Arc<OnceCell<Arc<Room>>>) -> bool) {
        let mut state = self.lock();
        if state.rooms.get(room_id).is_some_and(is_it) {
            let room = state.rooms.remove(room_id);
            drop(state);
            drop(room);
            info!(room = room_id, "room ended");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees a room's place if making it failed, or was given up.
struct Attempt<'a> {
    rooms: &'a Rooms,
    room_id: &'a str,
    cell: Arc<OnceCell<Arc<Room>>>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.cell.get().is_none() {
            // Two holders are the table and this attempt: nobody else is still trying.
            self.rooms.forget(self.room_id, |cell| {
                Arc::ptr_eq(cell, &self.cell) && cell.get().is_none() && Arc::strong_count(cell) == 2
            });
        }
    }
}
