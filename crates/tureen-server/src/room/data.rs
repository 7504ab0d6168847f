//! Data producers and data consumers of a participant.

use std::sync::Arc;

use tracing::{debug, warn};
use tureen::{
    data_consumer::{DataConsumer, DataConsumerOptions},
    data_producer::DataProducerOptions,
    prelude::*,
};

use super::{
    Room,
    bot::BOT,
    events::{DataPublication, NewDataConsumer, RoomEvent, Subscriber},
    lengths::{check_app_data, check_name},
    member::{DataConsumerEntry, DataProducerEntry, MediaTransport, Member},
    participant::Participant,
    state::State,
};
use crate::{
    error::{Error, Thing},
    opaque::Opaque,
    tally::Denied,
};

/// Label of data that everybody consumes at once. Data with other labels is for those who join later, and the bot's for
/// the bot.
const CHAT: &str = "chat";

/// False for what is said to the bot; those who join later consume the rest.
pub(super) fn is_for_all(publication: &DataPublication) -> bool {
    publication.label != BOT
}

/// A data producer that a client asks for.
pub(crate) struct ProduceData {
    pub(crate) transport_id: TransportId,
    pub(crate) sctp_stream_parameters: SctpStreamParameters,
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) app_data: Opaque,
}

impl Room {
    /// Lets all joined peers but its publisher consume a new `publication` if it is chat.
    fn offer_data(self: &Arc<Self>, state: &mut State, publication: &DataPublication) {
        if publication.label != CHAT {
            return;
        }
        for (id, member) in &mut state.members {
            if Some(id) != publication.publisher.as_ref() && member.is_peer() {
                Participant::new(self, member).consume_all_data(member, vec![publication.clone()]);
            }
        }
    }
}

impl Participant {
    /// Makes a data producer, and offers it to the other peers if it is chat.
    pub(crate) async fn produce_data(&self, asked: ProduceData) -> Result<DataProducerId, Error> {
        let ProduceData { transport_id, sctp_stream_parameters, label, protocol, app_data } = asked;
        check_name(self.limits(), "label", &label)?;
        check_name(self.limits(), "protocol", &protocol)?;
        check_app_data(self.limits(), &app_data)?;
        self.check_joined()?;
        let check = |member: &Member| match member.may.publish_data {
            true => self.check_data_producers(member.data_producers.len()),
            false => Err(self.refused(Error::NotGranted("publish data"))),
        };
        self.with_member(|member| check(member))??;
        let transport = self.transport(transport_id)?;
        let mut options = DataProducerOptions::new_sctp(sctp_stream_parameters);
        options.label = label.clone();
        options.protocol = protocol;
        let data_producer = transport.as_transport().produce_data(options).await?;
        let id = data_producer.id();
        // The bot answers peers only.
        let heard_by_bot = match self.subscriber.is_some() && label == BOT {
            true => self.room.bot.listen(self, id).await,
            false => None,
        };

        let publisher = Some(self.id.to_string());
        let publication = DataPublication { publisher, data_producer_id: id, label, app_data };
        let entry = DataProducerEntry {
            data_producer,
            publication: publication.clone(),
            _heard_by_bot: heard_by_bot,
        };
        // Declared after `entry`, so that an early return unlocks before it drops the data producer.
        let mut state = self.room.lock();
        let member = self.member_in(&mut state)?;
        // Others may have been made meanwhile, or the right taken away.
        check(member)?;
        member.data_producers.insert(id, entry);
        self.room.offer_data(&mut state, &publication);
        Ok(id)
    }

    fn check_data_producers(&self, count: usize) -> Result<(), Error> {
        self.check_share(Thing::DataProducer, self.limits().max_data_producers_per_peer, count)
    }

    /// Starts to make `member`, which is this participant's, a data consumer of each of `publications`, if it has joined
    /// and wants data. Called under the room's lock, as [`Participant::consume_all`].
    pub(super) fn consume_all_data(&self, member: &mut Member, publications: Vec<DataPublication>) {
        let Some(subscriber) = self.subscriber.clone().filter(|_| member.may.subscribe) else { return };
        if !member.profile.as_ref().is_some_and(|profile| profile.wants_data) {
            return;
        }
        let Some(entry) = member.transports.values().find(|entry| entry.consuming) else { return };
        let transport = entry.transport.clone();
        let me = self.clone();
        let most = self.limits().max_data_consumers_per_peer;
        member.spawn(async move {
            let check = |member: &Member| {
                if !member.may.subscribe {
                    // The right was taken away meanwhile.
                    return Err(Error::NotGranted("subscribe"));
                }
                if member.data_consumers.len() < most {
                    return Ok(());
                }
                me.room.tally().count(Denied::DataConsumer);
                Err(Error::ParticipantLimit { what: Thing::DataConsumer, most })
            };
            for publication in publications {
                if !matches!(me.with_member(|member| check(member)), Ok(Ok(()))) {
                    continue;
                }
                let data_producer = publication.data_producer_id;
                match me.make_data_consumer(&transport, data_producer, check).await {
                    Ok(data_consumer) => {
                        let subscriber = Arc::clone(&subscriber);
                        me.spawn(me.clone().announce_data(subscriber, data_consumer, publication));
                    }
                    // Counted, and no news.
                    Err(Error::ParticipantLimit { .. } | Error::NotGranted(_)) => {}
                    Err(error) => {
                        if me.room.tally().may_log() {
                            warn!(peer = &*me.name, %data_producer, %error, "data consumer can't be made");
                        }
                    }
                }
            }
        });
    }

    /// Makes a data consumer and enters it in the participant's table if `check` still lets it.
    async fn make_data_consumer(
        &self,
        transport: &MediaTransport,
        producer_id: DataProducerId,
        check: impl FnOnce(&Member) -> Result<(), Error>,
    ) -> Result<DataConsumer, Error> {
        let transport = transport.as_transport();
        let data_consumer = transport.consume_data(DataConsumerOptions::new_sctp(producer_id)).await?;
        let id = data_consumer.id();
        let me = self.clone();
        // Before the data consumer is in the table, so that nothing is missed; what ends it before is looked at below.
        data_consumer
            .on_data_producer_close(move || {
                if me.close_data_consumer(id) {
                    me.tell(RoomEvent::DataConsumerClosed(id));
                }
            })
            .detach();
        let entry = DataConsumerEntry { data_consumer: data_consumer.clone(), transport_id: transport.id() };
        {
            // Declared after `entry`, so that an early return unlocks before it drops the data consumer.
            let mut state = self.room.lock();
            let member = self.member_in(&mut state)?;
            check(member)?;
            member.data_consumers.insert(id, entry);
        }
        if data_consumer.closed() {
            // The data producer closed before the data consumer was in the table. The client need not be told.
            self.close_data_consumer(id);
            return Err(Error::not_found(Thing::DataProducer, producer_id));
        }
        Ok(data_consumer)
    }

    /// Makes a data consumer that a broadcaster asks for.
    pub(crate) async fn consume_data(
        &self,
        transport_id: TransportId,
        producer_id: DataProducerId,
    ) -> Result<DataConsumer, Error> {
        let most = self.limits().max_consumers_per_broadcaster;
        let check = |member: &Member| {
            if !member.may.subscribe {
                return Err(self.refused(Error::NotGranted("subscribe")));
            }
            self.check_share(Thing::DataConsumer, most, member.data_consumers.len())?;
            let mut there = member.data_consumers.values();
            match there.any(|entry| {
                entry.transport_id == transport_id && entry.data_consumer.data_producer_id() == producer_id
            }) {
                false => Ok(()),
                true => {
                    Err(Error::ConsumedAlready { transport: transport_id, producer: producer_id.to_string() })
                }
            }
        };
        self.with_member(|member| check(member))??;
        let transport = self.transport(transport_id)?;
        self.make_data_consumer(&transport, producer_id, check).await
    }

    /// Tells the client of a data consumer.
    async fn announce_data(
        self,
        subscriber: Arc<dyn Subscriber>,
        data_consumer: DataConsumer,
        publication: DataPublication,
    ) {
        let id = data_consumer.id();
        let Some(sctp_stream_parameters) = data_consumer.sctp_stream_parameters() else { return };
        let announcement = RoomEvent::NewDataConsumer(NewDataConsumer {
            publication,
            data_consumer: data_consumer.clone(),
            sctp_stream_parameters,
        });
        subscriber.has_room().await;
        if data_consumer.closed() {
            // It was told as closed already; a client that hears of it only now would keep it.
            return;
        }
        if let Err(failure) = subscriber.announce(&announcement).await {
            debug!(peer = &*self.name, data_consumer = %id, %failure, "data consumer given up");
            self.close_data_consumer(id);
        }
        if data_consumer.closed() {
            // Clients ignore what they are told of a data consumer before they have set it up.
            self.tell(RoomEvent::DataConsumerClosed(id));
        }
    }

    /// Closes a data consumer, even while others hold handles of it; false if it is gone already.
    fn close_data_consumer(&self, id: DataConsumerId) -> bool {
        let removed = self.with_member(|member| member.data_consumers.remove(&id)).ok().flatten();
        removed.inspect(|entry| drop(entry.data_consumer.close())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{
        EndReason, Grant,
        events::testing::{Recorder, Slow},
        testing::{join, publish, room, room_with, until},
    };

    fn is_closed(event: &RoomEvent) -> bool {
        matches!(event, RoomEvent::DataConsumerClosed(_))
    }

    fn is_new(event: &RoomEvent) -> bool {
        matches!(event, RoomEvent::NewDataConsumer(new) if new.publication.label == CHAT)
    }

    async fn close(publisher: &Participant, id: DataProducerId) {
        let entry = publisher.with_member(|member| member.data_producers.remove(&id)).unwrap().unwrap();
        entry.data_producer.close().await;
    }

    #[tokio::test]
    async fn a_data_consumer_that_closes_before_it_is_announced_is_not_announced() {
        let room = room().await;
        let (publisher, _, chat) = publish(&room).await;
        let slow = Arc::new(Slow::new());
        let (peer, _) = join(&room, &mut Grant::for_test("r", "peer"), slow.clone()).await;
        until(|| peer.with_member(|member| member.data_consumers.len()).unwrap() == 2).await;

        close(&publisher, chat).await;
        until(|| slow.told.has(is_closed)).await;
        // For the consumer, the bot and the chat.
        slow.has_room.add_permits(3);
        until(|| slow.has_room.available_permits() == 0).await;
        let is_bot = |event: &RoomEvent| matches!(event, RoomEvent::NewDataConsumer(new) if new.publication.label == BOT);
        until(|| slow.told.has(is_bot)).await;
        assert!(!slow.told.has(is_new));
        room.end(EndReason::Shutdown);
    }

    #[tokio::test]
    async fn a_client_is_told_of_a_data_consumer_that_closed_while_it_was_set_up() {
        let room = room().await;
        let (publisher, _, chat) = publish(&room).await;
        let slow = Arc::new(Slow::new());
        slow.has_room.add_permits(3);
        join(&room, &mut Grant::for_test("r", "peer"), slow.clone()).await;
        until(|| slow.told.has(is_new)).await;

        close(&publisher, chat).await;
        until(|| slow.told.has(is_closed)).await;
        slow.told.take();
        slow.sets_up.add_permits(3);
        until(|| slow.told.has(is_closed)).await;
        room.end(EndReason::Shutdown);
    }

    #[tokio::test]
    async fn data_consumers_made_at_the_same_time_do_not_pass_the_limit() {
        let room = room_with(|config| config.limits.max_data_consumers_per_peer = 2).await;
        // The bot is the first.
        let recorder = Arc::new(Recorder::default());
        let (peer, _) = join(&room, &mut Grant::for_test("r", "peer"), recorder.clone()).await;
        let count = || peer.with_member(|member| member.data_consumers.len()).unwrap();
        until(|| count() == 1).await;

        let publication = room.bot.publication();
        peer.with_member(|member| {
            for _ in 0..2 {
                peer.consume_all_data(member, vec![publication.clone()]);
            }
        })
        .unwrap();
        until(|| count() + room.tally().counted(Denied::DataConsumer) as usize == 3).await;
        assert_eq!(count(), 2);
        room.end(EndReason::Shutdown);
    }
}
