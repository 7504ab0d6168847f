//! All rooms of the server: made on first use, gone with their last peer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};
use tracing::{error, info};
use tureen::prelude::*;

use super::workers::WorkerPool;
use crate::{
    access::Revocations,
    admission::Grant,
    codecs::media_codecs,
    config::ServerConfig,
    error::{Error, Thing},
    room::{Claim, ConsumablePeer, EndReason, EnterError, Participant, Profile, Room, Shared, Subscriber},
    tally::{Denied, Shown, Tally},
};

/// The rooms, by their ids.
pub(crate) struct Rooms {
    config: Arc<ServerConfig>,
    workers: WorkerPool,
    revocations: Arc<Revocations>,
    tally: Arc<Tally>,
    /// One permit for each socket of a plain transport.
    plain_sockets: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A room that is being made holds its id's place, so that two first peers meet in one room.
    rooms: HashMap<String, Arc<OnceCell<Arc<Room>>>>,
    stopped: bool,
}

impl Rooms {
    pub(crate) fn new(
        config: Arc<ServerConfig>,
        workers: WorkerPool,
        plain_sockets: usize,
        revocations: Arc<Revocations>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            config,
            workers,
            revocations,
            tally,
            plain_sockets: Arc::new(Semaphore::new(plain_sockets)),
            state: Mutex::default(),
        }
    }

    /// Brings a peer into the room that it is granted, which is made if there is none.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        mut grant: Grant,
        secret: Option<&str>,
        consumer_replicas: u8,
        subscriber: &Arc<dyn Subscriber>,
    ) -> Result<Participant, Error> {
        let mut silent = None;
        loop {
            let room = self.room(&grant.room, consumer_replicas).await?;
            let claim = Claim { secret, silent };
            match room.enter(&mut grant, claim, subscriber) {
                Ok(participant) => return Ok(participant),
                Err(EnterError::Taken { stay, subscriber }) => {
                    if subscriber.is_alive(self.config.timeouts.sign_of_life).await {
                        self.tally.count(Denied::PlaceKept);
                        return Err(Error::IdTaken(grant.identity));
                    }
                    silent = Some(stay);
                }
                Err(EnterError::Refused(error)) => {
                    if matches!(error, Error::IdTaken(_)) {
                        self.tally.count(Denied::PlaceKept);
                    }
                    return Err(error);
                }
                // It ended between the two lines above. The next one is new.
                Err(EnterError::Ended) => self.forget_if_ended(&room),
            }
        }
    }

    /// Takes a peer out of its room.
    pub(crate) fn leave(&self, participant: &Participant) {
        participant.leave();
        self.forget_if_ended(participant.room());
    }

    /// Lets a broadcaster into the room that it is granted, which is made if there is none. Returns the peers that it can
    /// consume.
    pub(crate) async fn add_broadcaster(
        self: &Arc<Self>,
        mut grant: Grant,
        profile: Profile,
    ) -> Result<Vec<ConsumablePeer>, Error> {
        profile.check(&self.config.limits)?;
        let mut profile = Some(profile);
        loop {
            let room = self.room(&grant.room, 0).await?;
            match room.enter_broadcaster(&mut grant, &mut profile) {
                Ok((broadcaster, peers)) => {
                    broadcaster.spawn(expire(Arc::downgrade(self), broadcaster.clone()));
                    return Ok(peers);
                }
                Err(EnterError::Ended) => self.forget_if_ended(&room),
                Err(EnterError::Refused(error)) => {
                    // The room may have been made for this alone.
                    room.end_if_empty();
                    self.forget_if_ended(&room);
                    return Err(error);
                }
                Err(EnterError::Taken { .. }) => return Err(Error::IdTaken(grant.identity)),
            }
        }
    }

    /// The broadcaster that `grant` names, in a room that is there.
    pub(crate) fn broadcaster(&self, grant: &Grant) -> Result<Participant, Error> {
        let room = self.lock().rooms.get(&grant.room).and_then(|cell| cell.get().cloned());
        room.ok_or_else(|| Error::not_found(Thing::Room, &grant.room))?.broadcaster(grant)
    }

    /// Takes a broadcaster out of its room, which ends if nobody else is in it. Returns when its ports and SSRCs are free.
    pub(crate) async fn remove_broadcaster(&self, broadcaster: &Participant) -> Result<(), Error> {
        let closing = broadcaster.leave_and_close()?;
        // Before anything is awaited: this future is dropped when the client that asked goes away.
        self.forget_if_ended(broadcaster.room());
        closing.await;
        Ok(())
    }

    /// RTP capabilities of the room `room_id`. A room that is made for this alone ends with it.
    pub(crate) async fn rtp_capabilities(
        self: &Arc<Self>,
        room_id: &str,
    ) -> Result<RtpCapabilitiesFinalized, Error> {
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
    pub(crate) fn stop(&self, why: EndReason) {
        let rooms = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.rooms)
        };
        for room in rooms.values().filter_map(|cell| cell.get()) {
            room.end(why);
        }
        self.workers.stop();
    }

    async fn room(self: &Arc<Self>, room_id: &str, consumer_replicas: u8) -> Result<Arc<Room>, Error> {
        let cell = {
            let mut state = self.lock();
            if state.stopped {
                return Err(Error::ShuttingDown);
            }
            match state.rooms.get(room_id) {
                Some(cell) => Arc::clone(cell),
                None if state.rooms.len() >= self.config.limits.max_rooms => {
                    return Err(Error::TooManyRooms);
                }
                None => Arc::clone(state.rooms.entry(room_id.to_owned()).or_default()),
            }
        };
        let attempt = Attempt { rooms: self, room_id, cell };
        let room = attempt.cell.get_or_try_init(|| self.make(room_id, consumer_replicas)).await?;
        if self.lock().stopped {
            // Stopped meanwhile, without knowing of this room.
            room.end(EndReason::Shutdown);
            return Err(Error::ShuttingDown);
        }
        Ok(Arc::clone(room))
    }

    async fn make(self: &Arc<Self>, room_id: &str, consumer_replicas: u8) -> Result<Arc<Room>, Error> {
        let Some(worker) = self.workers.least_loaded() else {
            if self.tally.may_log() {
                error!(room = %Shown(room_id), "no media worker is alive");
            }
            return Err(Error::NoRoom);
        };
        let shared = Shared {
            config: Arc::clone(&self.config),
            revocations: Arc::clone(&self.revocations),
            tally: Arc::clone(&self.tally),
            plain_sockets: Arc::clone(&self.plain_sockets),
        };
        let room = Room::make(room_id, worker, media_codecs(), consumer_replicas, shared).await;
        match room {
            Ok(room) => {
                self.end_with_worker(&room);
                if self.tally.may_log() {
                    info!(room = %Shown(room_id), "room made");
                }
                Ok(room)
            }
            Err(error) => {
                if self.tally.may_log() {
                    error!(room = %Shown(room_id), %error, "room can't be made");
                }
                Err(Error::NoRoom)
            }
        }
    }

    /// Ends `room` when its worker dies, and frees its place: it may have no peer that does so by leaving.
    fn end_with_worker(self: &Arc<Self>, room: &Arc<Room>) {
        let (rooms, weak) = (Arc::downgrade(self), Arc::downgrade(room));
        let on_worker_close = move || {
            let Some(room) = weak.upgrade() else { return };
            room.end(EndReason::WorkerDied);
            // A room that is not in its place yet is found ended by whoever made it.
            if let Some(rooms) = rooms.upgrade() {
                rooms.forget_if_ended(&room);
            }
        };
        room.router().on_worker_close(on_worker_close).detach();
        if room.router().closed() {
            // The worker died before the callback was there.
            room.end(EndReason::WorkerDied);
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
            if let Some(room) = room.as_ref().and_then(|cell| cell.get()) {
                drop(room.router().close());
            }
            drop(room);
            if self.tally.may_log() {
                info!(room = %Shown(room_id), "room ended");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a broadcaster once nothing has been heard of it for `timeouts.broadcaster_s`.
async fn expire(rooms: Weak<Rooms>, broadcaster: Participant) {
    let lease = broadcaster.room().config().timeouts.broadcaster;
    let (mut heard, mut received) = (Instant::now(), 0);
    loop {
        tokio::time::sleep(lease / 4).await;
        let Ok(received_now) = broadcaster.bytes_received().await else { return };
        let Ok(Some(renewed)) = broadcaster.last_request() else { return };
        if received_now != received {
            (heard, received) = (Instant::now(), received_now);
        }
        if heard.max(renewed).elapsed() >= lease {
            let Some(rooms) = rooms.upgrade() else { return };
            rooms.tally.count(Denied::BroadcasterExpired);
            // An error says that it has just been removed. Removing it ends this task, at its next await.
            let _ = rooms.remove_broadcaster(&broadcaster).await;
            return;
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::{config::RtcConfig, room::WebRtcRequest};

    async fn rooms() -> Arc<Rooms> {
        let rtc = RtcConfig { port: 0, listen: vec!["127.0.0.1".parse().unwrap()], ..RtcConfig::default() };
        let workers = WorkerPool::start(1, &rtc).await.unwrap();
        let config = Arc::new(ServerConfig { rtc, ..ServerConfig::default() });
        Arc::new(Rooms::new(config, workers, 2, Arc::default(), Tally::for_test()))
    }

    /// Adds a broadcaster with a transport to a room of its own.
    async fn broadcaster(rooms: &Arc<Rooms>) -> Participant {
        let grant = || Grant::for_test("r", "cam");
        rooms.add_broadcaster(grant(), Profile::for_test("cam")).await.unwrap();
        let broadcaster = rooms.broadcaster(&grant()).unwrap();
        drop(broadcaster.create_webrtc_transport(WebRtcRequest::default()).await.unwrap());
        assert_eq!(rooms.lock().rooms.len(), 1);
        broadcaster
    }

    #[tokio::test]
    async fn a_removal_that_is_given_up_leaves_no_ended_room() {
        let rooms = rooms().await;
        let broadcaster = broadcaster(&rooms).await;
        // Polled once, as by a handler whose client goes away.
        drop(rooms.remove_broadcaster(&broadcaster).now_or_never());
        assert!(broadcaster.room().ended());
        assert!(rooms.lock().rooms.is_empty());
    }

    #[tokio::test]
    async fn a_room_without_peers_goes_with_its_worker() {
        let rooms = rooms().await;
        let broadcaster = broadcaster(&rooms).await;
        rooms.workers()[0].panic();
        let gone = async {
            while !rooms.lock().rooms.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
        assert!(broadcaster.room().ended());
    }
}
