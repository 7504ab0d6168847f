//! Rights of a participant that change while it is in the room.

use std::sync::Arc;

use futures_util::future::join_all;
use tracing::warn;
use tureen::prelude::*;

use super::{
    Room,
    events::{Notice, RoomEvent},
    member::{ConsumerEntry, DataConsumerEntry, DataProducerEntry, Member, ProducerEntry},
    participant::Participant,
    rules::Standing,
};
use crate::{access::Sources, admission::May, error::Error, tally::Shown};

/// Media that a participant's rights no longer allow. It must be dropped after the room is unlocked.
#[derive(Default)]
struct Disallowed {
    producers: Vec<ProducerEntry>,
    data_producers: Vec<DataProducerEntry>,
    consumers: Vec<ConsumerEntry>,
    data_consumers: Vec<DataConsumerEntry>,
}

impl Disallowed {
    /// Takes out of the member's tables what it may not have.
    fn take(member: &mut Member) -> Self {
        let may = member.may;
        let mut taken = Self::default();
        let allowed = |entry: &ProducerEntry| may.check_publish(entry.source).is_ok();
        taken
            .producers
            .extend(member.producers.extract_if(|_, entry| !allowed(entry)).map(|(_, entry)| entry));
        if !may.publish_data {
            taken.data_producers.extend(member.data_producers.drain().map(|(_, entry)| entry));
        }
        if !may.subscribe {
            taken.consumers.extend(member.consumers.drain().map(|(_, entry)| entry));
            taken.data_consumers.extend(member.data_consumers.drain().map(|(_, entry)| entry));
            // They are offered again when the right comes back.
            member.offered.clear();
        }
        taken
    }

    /// Events that tell the participant.
    fn events(&self) -> impl Iterator<Item = RoomEvent> {
        let producers = self.producers.iter().map(|entry| RoomEvent::ProducerClosed(entry.producer.id()));
        let data_producers =
            self.data_producers.iter().map(|entry| RoomEvent::DataProducerClosed(entry.data_producer.id()));
        let consumers = self.consumers.iter().map(|entry| RoomEvent::ConsumerClosed(entry.consumer.id()));
        let data_consumers =
            self.data_consumers.iter().map(|entry| RoomEvent::DataConsumerClosed(entry.data_consumer.id()));
        producers.chain(data_producers).chain(consumers).chain(data_consumers)
    }

    /// Closes everything, even while others hold handles.
    async fn close(self) {
        // Each request to the worker is on its way before the first is awaited.
        let producers: Vec<_> = self.producers.iter().map(|entry| entry.producer.close()).collect();
        let data_producers: Vec<_> =
            self.data_producers.iter().map(|entry| entry.data_producer.close()).collect();
        let consumers: Vec<_> = self.consumers.iter().map(|entry| entry.consumer.close()).collect();
        let data_consumers: Vec<_> =
            self.data_consumers.iter().map(|entry| entry.data_consumer.close()).collect();
        tokio::join!(
            join_all(producers),
            join_all(data_producers),
            join_all(consumers),
            join_all(data_consumers)
        );
    }
}

impl Room {
    /// Replaces the rights of a participant, by `change` of those that it has. What they no longer allow is closed when
    /// this returns; what is being made meanwhile is checked again before it counts.
    pub(crate) async fn update_rights(
        self: &Arc<Self>,
        id: &str,
        change: impl FnOnce(May) -> May,
    ) -> Result<May, Error> {
        let (disallowed, participant, may);
        {
            let mut state = self.lock();
            let member = state.member(id)?;
            let before = member.may;
            may = change(before).consistent();
            member.may = may;
            participant = Participant::new(self, member);
            disallowed = Disallowed::take(member);
            let profile = member.profile.as_ref().filter(|_| before.hidden != may.hidden);
            let event = profile.map(|profile| match may.hidden {
                true => RoomEvent::PeerLeft { peer_id: id.to_owned() },
                false => RoomEvent::PeerJoined(profile.describe(id)),
            });
            if let Some(event) = event {
                state.broadcast(id, event);
            }
            let standing = Standing { may: Some(may), ..state.rules.standing(id) };
            if !state.rules.decide(id, standing) {
                warn!(room = %Shown(self.id()), "rights are changed until the participant leaves only");
            }
            if may.subscribe && !before.subscribe {
                let publications = state.publications_for(id);
                let mut data = vec![self.bot.publication()];
                data.extend(state.data_publications_for(id));
                let member = state.member(id)?;
                participant.consume_all(member, publications);
                participant.consume_all_data(member, data);
            }
        }
        participant.tell(RoomEvent::RightsChanged(may));
        for event in disallowed.events() {
            participant.tell(event);
        }
        disallowed.close().await;
        Ok(may)
    }

    /// Pauses what a participant sends of a kind and of these sources, until somebody asks it to unmute. It can't resume
    /// them itself, and what it sends of them from now on begins paused.
    pub(crate) async fn mute(&self, id: &str, kind: MediaKind, sources: Sources) -> Result<(), Error> {
        let (muted, subscriber);
        {
            let mut state = self.lock();
            let mut standing = state.rules.standing(id);
            let member = state.member(id)?;
            member.muted.add(kind, sources);
            standing.muted = member.muted;
            let is_muted =
                |entry: &&ProducerEntry| entry.producer.kind() == kind && sources.has(entry.source);
            muted = member
                .producers
                .values()
                .filter(is_muted)
                .map(|entry| (entry.producer.clone(), entry.source))
                .collect::<Vec<_>>();
            subscriber = member.subscriber().cloned();
            state.rules.decide(id, standing);
        }
        for (producer, source) in &muted {
            if let Some(subscriber) = &subscriber {
                let event =
                    RoomEvent::ProducerMuted { producer_id: producer.id(), kind, source: source.name() };
                subscriber.notify(&Notice::new(event));
            }
        }
        // An error says that the producer is being closed.
        join_all(muted.iter().map(|(producer, _)| producer.pause())).await;
        Ok(())
    }

    /// Lets a participant resume what was muted, and tells it so. It stays paused until its client resumes it.
    pub(crate) fn ask_to_unmute(&self, id: &str, kind: MediaKind, sources: Sources) -> Result<(), Error> {
        let subscriber;
        {
            let mut state = self.lock();
            let mut standing = state.rules.standing(id);
            let member = state.member(id)?;
            member.muted.remove(kind, sources);
            standing.muted = member.muted;
            subscriber = member.subscriber().cloned();
            state.rules.decide(id, standing);
        }
        if let Some(subscriber) = subscriber {
            subscriber.notify(&Notice::new(RoomEvent::UnmuteRequested(kind)));
        }
        Ok(())
    }
}

impl Participant {
    /// Resumes a producer that no moderator has muted.
    pub(crate) async fn resume_producer(&self, id: ProducerId) -> Result<(), Error> {
        let producer = self.joined_producer(id)?;
        let is_muted = || {
            self.with_member(|member| {
                member.producers.get(&id).is_some_and(|entry| member.muted.has(producer.kind(), entry.source))
            })
        };
        if is_muted()? {
            return Err(self.refused(Error::Muted));
        }
        producer.resume().await?;
        // A moderator may have muted it meanwhile.
        if is_muted()? {
            producer.pause().await?;
            return Err(self.refused(Error::Muted));
        }
        Ok(())
    }
}
