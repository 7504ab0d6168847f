//! The facts of a room behind one lock, and the order in which events leave it.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tureen::prelude::*;

use super::{
    data::is_for_all,
    events::{DataPublication, Delivery, Description, Publication, RoomEvent},
    member::Member,
    rules::Rules,
};
use crate::error::{Error, Thing};

/// The lock of a room's facts.
#[derive(Default)]
pub(super) struct SharedState {
    state: Mutex<State>,
    /// Held while events are delivered: one thread at a time, so that every receiver gets them in the order in which they
    /// happened.
    delivering: Mutex<()>,
}

/// The facts of a room.
#[derive(Default)]
pub(super) struct State {
    pub(super) members: BTreeMap<String, Member>,
    pub(super) ended: bool,
    pub(super) rules: Rules,
    /// Events that happened since the lock was taken.
    outbox: Vec<Delivery>,
}

/// The facts of a room while they are locked. When this is dropped, the lock is released first, and then the events
/// are delivered.
///
/// Objects of a media worker must outlive it: dropping one runs callbacks, and these lock the room.
pub(super) struct Locked<'a> {
    shared: &'a SharedState,
    /// `None` only while it is dropped.
    state: Option<MutexGuard<'a, State>>,
}

impl SharedState {
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { shared: self, state: Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    fn deliver(&self) {
        let _turn = self.delivering.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have delivered the events of this one, or have left its own.
        let outbox = std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).outbox);
        for delivery in outbox {
            delivery.send();
        }
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_ref().expect("it is taken by drop alone")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("it is taken by drop alone")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let has_events = !self.outbox.is_empty();
        drop(self.state.take());
        if has_events {
            self.shared.deliver();
        }
    }
}

impl State {
    /// A participant, for somebody who names it.
    pub(super) fn member(&mut self, id: &str) -> Result<&mut Member, Error> {
        self.members.get_mut(id).ok_or_else(|| Error::not_found(Thing::Participant, id))
    }

    /// Tells all moderators who have joined, after unlocking.
    pub(super) fn tell_moderators(&mut self, event: RoomEvent) {
        let joined = self.members.values().filter(|member| member.may.moderate && member.profile.is_some());
        let receivers = joined.filter_map(|member| member.subscriber().cloned()).collect();
        self.outbox.push(Delivery { receivers, event });
    }

    /// Those whose connection holds the room open.
    pub(super) fn peers(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter().filter(|(_, member)| member.is_peer())
    }

    pub(super) fn broadcasters(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter().filter(|(_, member)| !member.is_peer())
    }

    /// Takes out a member and tells the others. The caller drops it after unlocking.
    #[must_use = "a member is dropped after unlocking"]
    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        if member.is_seen() {
            self.broadcast(id, RoomEvent::PeerLeft { peer_id: id.to_owned() });
        }
        Some(member)
    }

    /// Peers that are not hidden.
    pub(super) fn seen_peers(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.peers().filter(|(_, member)| !member.may.hidden)
    }

    /// All joined members but `id` that are not hidden: peers first.
    pub(super) fn others<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (Description, &'a Member)> {
        self.peers()
            .chain(self.broadcasters())
            .filter(|(_, member)| !member.may.hidden)
            .filter(move |(other, _)| *other != id)
            .filter_map(|(other, member)| Some((member.profile.as_ref()?.describe(other), member)))
    }

    /// Producers of all members but `id`.
    pub(super) fn publications_for(&self, id: &str) -> Vec<Publication> {
        let mut publications = Vec::new();
        for (other, member) in self.peers().chain(self.broadcasters()).filter(|(other, _)| *other != id) {
            publications.extend(member.producers.values().map(|entry| {
                let publication = Publication {
                    publisher: other.clone(),
                    is_of_peer: member.is_peer(),
                    producer_id: entry.producer.id(),
                    app_data: entry.app_data.clone(),
                };
                (entry.producer.kind(), publication)
            }));
        }
        // Browsers set up the first one alone and the others together: first what takes longest to be seen.
        publications.sort_by_key(|(kind, _)| *kind != MediaKind::Video);
        publications.into_iter().map(|(_, publication)| publication).collect()
    }

    /// Data producers that a peer consumes when it joins as `id`; the bot's is not among them.
    pub(super) fn data_publications_for(&self, id: &str) -> Vec<DataPublication> {
        self.others(id)
            .flat_map(|(_, member)| member.data_producers.values())
            .map(|entry| entry.publication.clone())
            .filter(is_for_all)
            .collect()
    }

    /// Id and member whose producer this is.
    pub(super) fn publisher(&self, producer: ProducerId) -> Option<(&String, &Member)> {
        self.members.iter().find(|(_, member)| member.producers.contains_key(&producer))
    }

    /// Tells all joined peers but `from`, after unlocking.
    pub(super) fn broadcast(&mut self, from: &str, event: RoomEvent) {
        let joined = self.members.iter().filter(|(id, member)| *id != from && member.profile.is_some());
        let receivers = joined.filter_map(|(_, member)| member.subscriber().cloned()).collect();
        self.outbox.push(Delivery { receivers, event });
    }

    /// Tells all joined peers, after unlocking.
    pub(super) fn broadcast_to_all(&mut self, event: RoomEvent) {
        // No participant has an empty id.
        self.broadcast("", event);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Weak,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    use futures_util::future::{BoxFuture, FutureExt};

    use super::*;
    use crate::room::{
        events::{Acceptance, EndReason, NotAccepted, Notice, Subscriber, testing::Recorder},
        member::{Profile, testing::peer},
    };

    fn enter(shared: &SharedState, id: &str, subscriber: Arc<dyn Subscriber>) {
        let mut member = peer(id, subscriber);
        member.profile = Some(Profile::for_test(id));
        shared.lock().members.insert(id.to_owned(), member);
    }

    #[tokio::test]
    async fn events_arrive_in_the_order_in_which_they_happened() {
        let shared = SharedState::default();
        let recorder = Arc::new(Recorder::default());
        enter(&shared, "alice", recorder.clone());
        // Counted under the lock.
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mut state = shared.lock();
                        let peer_id = count.fetch_add(1, Ordering::Relaxed).to_string();
                        state.broadcast_to_all(RoomEvent::PeerLeft { peer_id });
                    }
                });
            }
        });
        let told = recorder.take().into_iter().map(|event| match event {
            RoomEvent::PeerLeft { peer_id } => peer_id.parse::<u64>().unwrap(),
            event => panic!("{event:?}"),
        });
        assert!(told.eq(0..2000));
    }

    /// Subscriber that locks the room at each event.
    #[derive(Debug)]
    struct Curious(Weak<SharedState>, Recorder);

    impl Subscriber for Curious {
        fn notify(&self, notice: &Notice) {
            let shared = self.0.upgrade().unwrap();
            assert!(shared.state.try_lock().is_ok(), "it is told under the lock");
            self.1.notify(notice);
        }

        fn announce<'a>(&'a self, event: &'a RoomEvent) -> BoxFuture<'a, Result<Acceptance, NotAccepted>> {
            self.1.announce(event)
        }

        fn has_room(&self) -> BoxFuture<'_, ()> {
            std::future::ready(()).boxed()
        }

        fn is_alive(&self, within: Duration) -> BoxFuture<'_, bool> {
            self.1.is_alive(within)
        }

        fn end(&self, why: EndReason) -> bool {
            self.1.end(why)
        }
    }

    #[tokio::test]
    async fn events_are_delivered_without_the_lock() {
        let shared = Arc::new(SharedState::default());
        let curious = Arc::new(Curious(Arc::downgrade(&shared), Recorder::default()));
        enter(&shared, "alice", curious.clone());
        enter(&shared, "bob", Arc::new(Recorder::default()));
        let bob = shared.lock().remove("bob");
        assert_eq!(curious.1.take().len(), 1);
        drop(bob);
    }
}
