//! Consumers of a participant. Those of a peer are made by the room: paused, announced to the client, resumed when it is
//! ready. A broadcaster asks for each of its own.

use std::sync::{Arc, atomic::Ordering};

use futures_util::{StreamExt, stream};
use tracing::{debug, warn};
use tureen::{consumer::Consumer, prelude::*};

use super::{
    Room,
    events::{NewConsumer, Notice, Publication, RoomEvent, Subscriber},
    member::{ConsumerEntry, ConsumerPlace, MediaTransport, Member},
    participant::Participant,
    state::State,
};
use crate::{
    config::Limits,
    error::{Error, Thing},
    tally::{Denied, Shown},
};

/// Consumers of one peer that are being made at a time: more would fill the worker's queue of requests.
const MADE_AT_ONCE: usize = 16;

impl Room {
    /// Lets all peers but its publisher consume `publication`, once they have said what they can receive.
    pub(super) fn offer(self: &Arc<Self>, state: &mut State, publication: &Publication) {
        for (id, member) in &mut state.members {
            if *id != publication.publisher && member.is_peer() {
                Participant::new(self, member).consume_all(member, vec![publication.clone()]);
            }
        }
    }

    /// A place for one more consumer.
    fn place_for_consumer(&self) -> Result<ConsumerPlace, Error> {
        let Limits { max_consumers_per_room, max_consumers_per_worker, .. } = self.config().limits;
        let taken = self.consumers.fetch_add(1, Ordering::Relaxed);
        let in_worker = self.worker.add_consumer(max_consumers_per_worker);
        match in_worker {
            Some(in_worker) if taken < max_consumers_per_room => {
                Ok(ConsumerPlace { in_room: Arc::clone(&self.consumers), _in_worker: in_worker })
            }
            _ => {
                self.consumers.fetch_sub(1, Ordering::Relaxed);
                self.tally().count(Denied::Consumer);
                Err(Error::ConsumersBusy)
            }
        }
    }
}

impl Participant {
    /// Starts to make `member`, which is this participant's, a consumer of each of `publications`, and as many replicas
    /// as the room wants. Leaves out what it can't consume.
    ///
    /// Called under the room's lock; whatever takes time happens in tasks that end with the member. Consumers are
    /// announced in the order of `publications`, without waiting for one another.
    pub(super) fn consume_all(&self, member: &mut Member, mut publications: Vec<Publication>) {
        let Some(subscriber) = self.subscriber.clone().filter(|_| member.may.subscribe) else { return };
        let Some(rtp_capabilities) = member.rtp_capabilities().cloned() else { return };
        let Some(entry) = member.transports.values().find(|entry| entry.consuming) else {
            debug!(peer = &*self.name, "no consuming transport");
            return;
        };
        let transport = entry.transport.clone();
        publications.retain(|publication| member.offered.insert(publication.producer_id));
        let me = self.clone();
        member.spawn(async move {
            let replicas = 0..=me.room.consumer_replicas;
            let wanted = publications
                .into_iter()
                .flat_map(|publication| replicas.clone().map(move |_| publication.clone()));
            let made = stream::iter(wanted).map(|publication| {
                let mut options = ConsumerOptions::new(publication.producer_id, rtp_capabilities.clone());
                options.paused = true;
                // NACK for Opus too.
                options.enable_rtx = Some(true);
                options.ignore_dtx = true;
                let (me, transport) = (&me, &transport);
                async move { (me.make_offered(transport, options).await, publication) }
            });
            // Close together, so that browsers negotiate them together.
            let made: Vec<_> = made.buffered(MADE_AT_ONCE).collect().await;
            for (consumer, publication) in made {
                let Some(consumer) = consumer else { continue };
                me.spawn(me.clone().announce(Arc::clone(&subscriber), consumer, publication));
            }
        });
    }

    /// Makes a consumer of what the room offers, if the participant can consume that.
    async fn make_offered(&self, transport: &MediaTransport, options: ConsumerOptions) -> Option<Consumer> {
        let producer = options.producer_id;
        if !self.room.router.can_consume(&producer, &options.rtp_capabilities) {
            debug!(peer = &*self.name, %producer, "peer can't consume this");
            return None;
        }
        // The right may be taken away meanwhile.
        let check = |member: &Member| match member.may.subscribe {
            true => Ok(()),
            false => Err(Error::NotGranted("subscribe")),
        };
        match self.make_consumer(transport, options, check).await {
            Ok(consumer) => Some(consumer),
            Err(Error::NotGranted(_)) => None,
            // Counted, and no news: a big room has many.
            Err(Error::ConsumersBusy) => None,
            Err(error) => {
                if self.room.tally().may_log() {
                    warn!(peer = &*self.name, %producer, %error, "consumer can't be made");
                }
                None
            }
        }
    }

    /// Makes a consumer and enters it in the participant's table if `check` still lets it.
    async fn make_consumer(
        &self,
        transport: &MediaTransport,
        options: ConsumerOptions,
        check: impl FnOnce(&Member) -> Result<(), Error>,
    ) -> Result<Consumer, Error> {
        let producer_id = options.producer_id;
        let place = self.room.place_for_consumer()?;
        let transport = transport.as_transport();
        let consumer = transport.consume(options).await?;
        // Before the consumer is in the table, so that nothing is missed; what ends it before is looked at below.
        self.report(&consumer);
        let id = consumer.id();
        let entry = ConsumerEntry { consumer: consumer.clone(), transport_id: transport.id(), _place: place };
        {
            // Declared after `entry`, so that an early return unlocks before it drops the consumer.
            let mut state = self.room.lock();
            let member = self.member_in(&mut state)?;
            check(member)?;
            member.consumers.insert(id, entry);
        }
        if consumer.closed() {
            // The producer closed before the consumer was in the table. The client need not be told.
            self.close_consumer(id);
            return Err(Error::not_found(Thing::Producer, producer_id));
        }
        Ok(consumer)
    }

    /// Makes a consumer that a broadcaster asks for.
    pub(crate) async fn consume(
        &self,
        transport_id: TransportId,
        producer_id: ProducerId,
    ) -> Result<Consumer, Error> {
        let most = self.limits().max_consumers_per_broadcaster;
        let check = |member: &Member| {
            if !member.may.subscribe {
                return Err(self.refused(Error::NotGranted("subscribe")));
            }
            self.check_share(Thing::Consumer, most, member.consumers.len())?;
            // A transport sends everything once, however often it is asked for.
            let mut there = member.consumers.values();
            match there.any(|entry| {
                entry.transport_id == transport_id && entry.consumer.producer_id() == producer_id
            }) {
                false => Ok(()),
                true => {
                    Err(Error::ConsumedAlready { transport: transport_id, producer: producer_id.to_string() })
                }
            }
        };
        self.with_member(|member| check(member))??;
        let transport = self.transport(transport_id)?;
        let rtp_capabilities =
            self.with_member(|member| member.rtp_capabilities().cloned())?.ok_or(Error::NoRtpCapabilities)?;
        if self.room.lock().publisher(producer_id).is_none() {
            return Err(Error::not_found(Thing::Producer, producer_id));
        }
        let mut options = ConsumerOptions::new(producer_id, rtp_capabilities);
        options.enable_rtx = Some(true);
        self.make_consumer(&transport, options, check).await
    }

    /// Tells the client of a consumer, and lets media flow when it is ready and has joined.
    async fn announce(self, subscriber: Arc<dyn Subscriber>, consumer: Consumer, publication: Publication) {
        let name = &*self.name;
        let id = consumer.id();
        // Whoever joins a big room is told of hundreds.
        subscriber.has_room().await;
        if consumer.closed() {
            // It was told as closed already; a client that hears of it only now would keep it.
            return;
        }
        let producer_paused = consumer.producer_paused();
        let announcement =
            RoomEvent::NewConsumer(NewConsumer { publication, consumer: consumer.clone(), producer_paused });
        let Ok(mut has_joined) = self.with_member(|member| member.has_joined.subscribe()) else { return };
        let joined = *has_joined.borrow();
        // It will be there when the client is ready: browsers take as long as a camera's encoder.
        let key_frame = async {
            if joined
                && consumer.kind() == MediaKind::Video
                && let Err(error) = consumer.request_key_frame().await
            {
                debug!(peer = name, consumer = %id, %error, "key frame can't be asked for");
            }
        };
        let (accepted, ()) = tokio::join!(subscriber.announce(&announcement), key_frame);
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(failure) => {
                if self.room.tally().may_log() {
                    let failure = failure.to_string();
                    warn!(peer = name, consumer = %id, failure = %Shown(&failure), "consumer given up");
                }
                self.close_consumer(id);
                return self.tell(RoomEvent::ConsumerClosed(id));
            }
        };
        if consumer.closed() {
            // Clients ignore what they are told of a consumer before they have set it up.
            return self.tell(RoomEvent::ConsumerClosed(id));
        }
        // While it is paused: to change layers later takes a key frame of another layer.
        if let Some(layers) = accepted.preferred_layers
            && let Err(error) = consumer.set_preferred_layers(layers).await
        {
            debug!(peer = name, consumer = %id, %error, "preferred layers can't be set");
        }
        if has_joined.wait_for(|&joined| joined).await.is_err() {
            return;
        }
        if let Err(error) = consumer.resume().await {
            return debug!(peer = name, consumer = %id, %error, "consumer can't be resumed");
        }
        self.tell(RoomEvent::ConsumerScore { consumer_id: id, score: consumer.score() });
        if consumer.producer_paused() != producer_paused {
            // Clients ignore what they are told of a consumer while they set it up.
            self.tell(match producer_paused {
                true => RoomEvent::ConsumerResumed(id),
                false => RoomEvent::ConsumerPaused(id),
            });
        }
    }

    /// Follows what happens to `consumer`, and tells a peer of it.
    fn report(&self, consumer: &Consumer) {
        let (consumer_id, producer_id) = (consumer.id(), consumer.producer_id());
        let me = self.clone();
        consumer
            .on_producer_close(move || {
                let _ = me.with_member(|member| member.offered.remove(&producer_id));
                if me.close_consumer(consumer_id) {
                    me.tell(RoomEvent::ConsumerClosed(consumer_id));
                }
            })
            .detach();
        let Some(subscriber) = self.subscriber.clone() else { return };
        let tell = move |event| subscriber.notify(&Notice::new(event));
        let on_pause = tell.clone();
        consumer.on_producer_pause(move || on_pause(RoomEvent::ConsumerPaused(consumer_id))).detach();
        let on_resume = tell.clone();
        consumer.on_producer_resume(move || on_resume(RoomEvent::ConsumerResumed(consumer_id))).detach();
        let on_score = tell.clone();
        consumer
            .on_score(move |score| {
                on_score(RoomEvent::ConsumerScore { consumer_id, score: score.clone() });
            })
            .detach();
        consumer
            .on_layers_change(move |layers| {
                tell(RoomEvent::ConsumerLayersChanged { consumer_id, layers: *layers });
            })
            .detach();
    }

    /// Closes a consumer, even while others hold handles of it; false if it is gone already.
    fn close_consumer(&self, id: ConsumerId) -> bool {
        let removed = self.with_member(|member| member.consumers.remove(&id)).ok().flatten();
        removed.inspect(|entry| drop(entry.consumer.close())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::Grant,
        room::{
            EndReason,
            events::testing::Slow,
            testing::{join, publish, room, until},
        },
    };

    fn is_new(event: &RoomEvent) -> bool {
        matches!(event, RoomEvent::NewConsumer(_))
    }

    fn is_closed(event: &RoomEvent) -> bool {
        matches!(event, RoomEvent::ConsumerClosed(_))
    }

    #[tokio::test]
    async fn a_consumer_that_closes_before_it_is_announced_is_not_announced() {
        let room = room().await;
        let (publisher, producer, _) = publish(&room).await;
        let slow = Arc::new(Slow::new());
        let (peer, _) = join(&room, &mut Grant::for_test("r", "peer"), slow.clone()).await;
        until(|| peer.with_member(|member| member.consumers.len()).unwrap() == 1).await;

        publisher.close_producer(producer).await.unwrap();
        until(|| slow.told.has(is_closed)).await;
        // For the consumer and the data consumers, of which the announcements of the others are seen.
        slow.has_room.add_permits(3);
        until(|| slow.has_room.available_permits() == 0).await;
        let is_data = |event: &RoomEvent| matches!(event, RoomEvent::NewDataConsumer(_));
        until(|| slow.told.has(is_data)).await;
        assert!(!slow.told.has(is_new));
        room.end(EndReason::Shutdown);
    }

    #[tokio::test]
    async fn a_client_is_told_of_a_consumer_that_closed_while_it_was_set_up() {
        let room = room().await;
        let (publisher, producer, _) = publish(&room).await;
        let slow = Arc::new(Slow::new());
        slow.has_room.add_permits(3);
        join(&room, &mut Grant::for_test("r", "peer"), slow.clone()).await;
        until(|| slow.told.has(is_new)).await;

        publisher.close_producer(producer).await.unwrap();
        until(|| slow.told.has(is_closed)).await;
        slow.told.take();
        slow.sets_up.add_permits(3);
        until(|| slow.told.has(is_closed)).await;
        room.end(EndReason::Shutdown);
    }
}
