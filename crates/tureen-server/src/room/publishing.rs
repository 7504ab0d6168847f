//! Producers of a participant.

use tureen::{prelude::*, producer::ProducerScore};

use super::{
    events::{Notice, Publication, RoomEvent},
    lengths::{check_app_data, check_parameters},
    media_log::watch_producer,
    member::{Member, ProducerEntry},
    participant::Participant,
};
use crate::{
    access::Source,
    error::{Error, Thing},
    opaque::Opaque,
};

/// A producer that a client asks for.
pub(crate) struct Produce {
    pub(crate) transport_id: TransportId,
    pub(crate) kind: MediaKind,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) app_data: Opaque,
}

impl Participant {
    /// Makes a producer, and offers it to all other peers. It begins paused if a moderator has muted its source.
    pub(crate) async fn produce(&self, asked: Produce) -> Result<ProducerId, Error> {
        let Produce { transport_id, kind, rtp_parameters, app_data } = asked;
        check_parameters(self.limits(), "rtpParameters", &rtp_parameters)?;
        check_app_data(self.limits(), &app_data)?;
        self.check_joined()?;
        let source = Source::of(kind, &app_data);
        let begins_muted = self.with_member(|member| {
            self.check_publish(member, source)?;
            Ok::<_, Error>(member.muted.has(kind, source))
        })??;
        let transport = self.transport(transport_id)?;
        let mut options = ProducerOptions::new(kind, rtp_parameters);
        options.paused = begins_muted;
        let producer = transport.as_transport().produce(options).await?;
        let id = producer.id();
        watch_producer(&self.name, &producer);
        if let Some(subscriber) = self.subscriber.clone() {
            let tell = move |score: &[ProducerScore]| {
                let event = RoomEvent::ProducerScore { producer_id: id, score: score.to_vec() };
                subscriber.notify(&Notice::new(event));
            };
            producer.on_score(tell).detach();
        }
        self.room.measure_level(&producer).await;

        let is_muted = self.publish(ProducerEntry { producer: producer.clone(), source, app_data })?;
        if is_muted {
            self.tell(RoomEvent::ProducerMuted { producer_id: id, kind, source: source.name() });
            if !begins_muted {
                // A moderator has muted it meanwhile.
                producer.pause().await?;
            }
        }
        Ok(id)
    }

    /// Enters a producer in the participant's table, and offers it; true if a moderator has muted it.
    fn publish(&self, entry: ProducerEntry) -> Result<bool, Error> {
        let (id, kind, source) = (entry.producer.id(), entry.producer.kind(), entry.source);
        let publication = Publication {
            publisher: self.id.to_string(),
            is_of_peer: self.subscriber.is_some(),
            producer_id: id,
            app_data: entry.app_data.clone(),
        };
        // Declared after `entry`, so that an early return unlocks before it drops the producer.
        let mut state = self.room.lock();
        let member = self.member_in(&mut state)?;
        // Others may have been made meanwhile, or the right taken away.
        self.check_publish(member, source)?;
        let is_muted = member.muted.has(kind, source);
        member.producers.insert(id, entry);
        // Under the same lock: whoever joins later finds the producer in the table.
        self.room.offer(&mut state, &publication);
        Ok(is_muted)
    }

    /// Closes a producer, and returns when its MID and SSRCs are free again.
    pub(crate) async fn close_producer(&self, id: ProducerId) -> Result<(), Error> {
        self.check_joined()?;
        let removed = self.with_member(|member| member.producers.remove(&id))?;
        let entry = removed.ok_or_else(|| Error::not_found(Thing::Producer, id))?;
        // Others may hold handles, so that dropping this one is not enough.
        entry.producer.close().await;
        Ok(())
    }

    fn check_publish(&self, member: &Member, source: Source) -> Result<(), Error> {
        member.may.check_publish(source).map_err(|error| self.refused(error))?;
        let most = self.limits().max_producers_per_peer;
        self.check_share(Thing::Producer, most, member.producers.len())
    }
}
