//! A participant's stay in a room, as signalling holds it: a peer with a connection, or a broadcaster without one.

use std::{fmt, sync::Arc};

use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::info;
use tureen::{consumer::Consumer, data_consumer::DataConsumer, data_producer::DataProducer, prelude::*};

use super::{
    Room,
    events::{Description, EndReason, Notice, RoomEvent, Subscriber},
    lengths::{check_device, check_name, check_parameters},
    member::{MediaTransport, Member, Profile},
    secret::Secret,
    state::State,
};
use crate::{
    config::Limits,
    error::{Error, Thing},
    tally::{Denied, Shown},
};

/// A participant's stay in a room, from entering to leaving. Clones are the same stay.
///
/// Callbacks of the participant's transports, producers and consumers hold clones, which go when these close.
#[derive(Clone)]
pub(crate) struct Participant {
    pub(super) room: Arc<Room>,
    pub(super) id: Arc<str>,
    /// Number of the stay.
    stay: u64,
    /// Room and id, for log lines.
    pub(super) name: Arc<str>,
    /// `None` for a broadcaster.
    pub(super) subscriber: Option<Arc<dyn Subscriber>>,
}

impl Participant {
    pub(super) fn new(room: &Arc<Room>, member: &Member) -> Self {
        Self {
            room: Arc::clone(room),
            id: Arc::clone(&member.id),
            stay: member.stay,
            name: Arc::clone(&member.name),
            subscriber: member.subscriber().cloned(),
        }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Secret with which the client of a peer gets its place back; none once the stay has ended.
    pub(crate) fn secret(&self) -> Option<Secret> {
        self.with_member(|member| member.secret().cloned()).ok().flatten()
    }

    /// Tells the participant of an event, if it has a connection.
    pub(super) fn tell(&self, event: RoomEvent) {
        if let Some(subscriber) = &self.subscriber {
            subscriber.notify(&Notice::new(event));
        }
    }

    /// Joins, and returns the others who have joined.
    ///
    /// Does not await: for any two participants exactly one side makes the consumer, the joiner if the producer existed,
    /// the producer if the peer had joined.
    pub(crate) fn join(&self, profile: Profile) -> Result<Vec<Description>, Error> {
        profile.check(self.limits())?;
        let mut state = self.room.lock();
        let me = self.member_in(&mut state)?;
        if me.profile.is_some() {
            return Err(Error::JoinedAlready);
        }
        if me.waits {
            let name = me.given_name().unwrap_or(&profile.display_name).to_owned();
            me.knocked = Some(name.clone());
            let peer_id = self.id.to_string();
            state.tell_moderators(RoomEvent::PeerWaiting { peer_id, display_name: name });
            return Err(Error::Waiting);
        }
        let described = me.set_profile(profile).describe(&self.id);
        let name = described.display_name.clone();
        me.has_joined.send_replace(true);
        if me.is_seen() {
            state.broadcast(&self.id, RoomEvent::PeerJoined(described));
        }
        let others = state.others(&self.id).map(|(described, _)| described).collect();
        let mut data = vec![self.room.bot.publication()];
        data.extend(state.data_publications_for(&self.id));
        let publications = state.publications_for(&self.id);
        let me = self.member_in(&mut state)?;
        self.consume_all(me, publications);
        self.consume_all_data(me, data);
        drop(state);

        if self.room.tally().may_log() {
            info!(peer = &*self.name, name = %Shown(&name), "peer joined");
        }
        Ok(others)
    }

    /// Makes consumers of all that is sent in the room, for a peer that has not joined yet: its client can set up what
    /// takes long, and media flows as soon as it joins. The others are told nothing of it.
    pub(crate) fn prepare(&self, rtp_capabilities: RtpCapabilities) -> Result<(), Error> {
        check_parameters(self.limits(), "rtpCapabilities", &rtp_capabilities)?;
        let mut state = self.room.lock();
        let publications = state.publications_for(&self.id);
        let me = self.member_in(&mut state)?;
        if me.profile.is_some() {
            return Err(Error::JoinedAlready);
        }
        if me.waits {
            // It must not learn what is sent in the room.
            return Err(Error::Waiting);
        }
        me.prepared = Some(rtp_capabilities);
        self.consume_all(me, publications);
        Ok(())
    }

    /// Ends the connection of a peer that has not joined within `timeouts.join_s`, because what it holds serves nobody.
    pub(super) async fn join_in_time(self) {
        tokio::time::sleep(self.room.config().timeouts.join).await;
        if matches!(self.with_member(|member| member.profile.is_none()), Ok(true))
            && let Some(subscriber) = &self.subscriber
        {
            subscriber.end(EndReason::NotJoined);
        }
    }

    pub(crate) fn change_display_name(&self, display_name: String) -> Result<(), Error> {
        check_name(self.limits(), "displayName", &display_name)?;
        let mut state = self.room.lock();
        let me = self.member_in(&mut state)?;
        let (may_rename, is_seen) = (me.may.rename, me.is_seen());
        let profile = me.profile.as_mut().ok_or(Error::NotJoined)?;
        if !may_rename {
            return Err(self.refused(Error::NotGranted("change its name")));
        }
        let old_display_name = std::mem::replace(&mut profile.display_name, display_name.clone());
        let peer_id = self.id.to_string();
        if is_seen {
            let event = RoomEvent::DisplayNameChanged { peer_id, display_name, old_display_name };
            state.broadcast(&self.id, event);
        }
        Ok(())
    }

    /// As others are told of it; an error before it has joined.
    pub(crate) fn describe(&self) -> Result<Description, Error> {
        self.with_member(|member| member.profile.as_ref().map(|profile| profile.describe(&self.id)))?
            .ok_or(Error::NotJoined)
    }

    /// The name that it has now; none once it has left.
    pub(super) fn display_name(&self) -> Option<String> {
        self.describe().ok().map(|described| described.display_name)
    }

    /// Time of the last request about a broadcaster; `None` for a peer.
    pub(crate) fn last_request(&self) -> Result<Option<Instant>, Error> {
        self.with_member(|member| member.last_request().map(|last| *last))
    }

    /// Bytes that have come by its transports so far.
    pub(crate) async fn bytes_received(&self) -> Result<u64, Error> {
        let transports: Vec<_> = self.with_member(|member| {
            member.transports.values().map(|entry| entry.transport.clone()).collect()
        })?;
        let mut all = 0;
        for transport in transports {
            all += transport.bytes_received().await;
        }
        Ok(all)
    }

    /// Starts a task that ends with the stay. If that has ended, the task never starts.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut task = Some(task);
        let _ = self.with_member(|member| task.take().map(|task| member.spawn(task)));
    }

    /// Ends the stay. Does nothing if it has ended.
    pub(crate) fn leave(&self) {
        // Dropped when the room is unlocked.
        let _removed = self.room.remove(self);
    }

    /// Ends the stay at once. The future is done when its ports and SSRCs are free again; nothing depends on it being
    /// awaited.
    pub(crate) fn leave_and_close(&self) -> Result<impl Future<Output = ()> + Send + use<>, Error> {
        let removed = self.room.remove(self);
        if removed.is_empty() {
            return Err(Error::not_found(Thing::Broadcaster, &self.id));
        }
        let closing = join_all(removed.iter().map(Member::close));
        let me = self.clone();
        Ok(async move {
            closing.await;
            drop(removed);
            if me.room.tally().may_log() {
                info!(broadcaster = &*me.name, "broadcaster removed");
            }
        })
    }

    pub(crate) fn transport(&self, id: TransportId) -> Result<MediaTransport, Error> {
        self.with_member(|member| member.transports.get(&id).map(|entry| entry.transport.clone()))?
            .ok_or_else(|| Error::not_found(Thing::Transport, id))
    }

    pub(crate) fn producer(&self, id: ProducerId) -> Result<Producer, Error> {
        self.with_member(|member| member.producers.get(&id).map(|entry| entry.producer.clone()))?
            .ok_or_else(|| Error::not_found(Thing::Producer, id))
    }

    pub(crate) fn consumer(&self, id: ConsumerId) -> Result<Consumer, Error> {
        self.with_member(|member| member.consumers.get(&id).map(|entry| entry.consumer.clone()))?
            .ok_or_else(|| Error::not_found(Thing::Consumer, id))
    }

    pub(crate) fn data_producer(&self, id: DataProducerId) -> Result<DataProducer, Error> {
        self.with_member(|member| member.data_producers.get(&id).map(|entry| entry.data_producer.clone()))?
            .ok_or_else(|| Error::not_found(Thing::DataProducer, id))
    }

    pub(crate) fn data_consumer(&self, id: DataConsumerId) -> Result<DataConsumer, Error> {
        self.with_member(|member| member.data_consumers.get(&id).map(|entry| entry.data_consumer.clone()))?
            .ok_or_else(|| Error::not_found(Thing::DataConsumer, id))
    }

    /// A producer, which only a peer that has joined may control.
    pub(crate) fn joined_producer(&self, id: ProducerId) -> Result<Producer, Error> {
        self.check_joined()?;
        self.producer(id)
    }

    /// A consumer, which only a peer that has joined may control.
    pub(crate) fn joined_consumer(&self, id: ConsumerId) -> Result<Consumer, Error> {
        self.check_joined()?;
        self.consumer(id)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.room.config().limits
    }

    /// Counts a right that the participant's token does not give.
    pub(super) fn refused(&self, error: Error) -> Error {
        self.room.tally().count(Denied::Right);
        error
    }

    /// Refuses one more `what` to a participant that has `count` of at most `most`.
    pub(super) fn check_share(&self, what: Thing, most: usize, count: usize) -> Result<(), Error> {
        if count < most {
            return Ok(());
        }
        self.room.tally().count(Denied::ParticipantLimit);
        Err(Error::ParticipantLimit { what, most })
    }

    pub(super) fn check_joined(&self) -> Result<(), Error> {
        match self.with_member(|member| member.profile.is_some())? {
            true => Ok(()),
            false => Err(Error::NotJoined),
        }
    }

    /// Looks at the member under the room's lock; an error once the stay has ended.
    ///
    /// `look` awaits nothing, and neither it nor what it captures may own an object of a media worker that is dropped with
    /// it.
    pub(super) fn with_member<T>(&self, look: impl FnOnce(&mut Member) -> T) -> Result<T, Error> {
        let mut state = self.room.lock();
        self.member_in(&mut state).map(look)
    }

    /// The same with the lock held by the caller.
    pub(super) fn member_in<'a>(&self, state: &'a mut State) -> Result<&'a mut Member, Error> {
        state.members.get_mut(&*self.id).filter(|member| member.stay == self.stay).ok_or(Error::Left)
    }
}

impl Profile {
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Error> {
        check_name(limits, "displayName", &self.display_name)?;
        check_device(limits, &self.device)?;
        check_parameters(limits, "rtpCapabilities", &self.rtp_capabilities)
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Participant").field(&self.name).finish()
    }
}
