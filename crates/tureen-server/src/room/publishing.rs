//! Producers of a participant.

use tureen::{prelude::*, producer::ProducerScore};

use super::{
    events::{Notice, Publication, RoomEvent},
    lengths::{check_app_data, check_parameters},
    media_log::watch_producer,
    member::ProducerEntry,
    participant::Participant,
};
use crate::{
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
    /// Makes a producer, and offers it to all other peers.
    pub(crate) async fn produce(&self, asked: Produce) -> Result<ProducerId, Error> {
        let Produce { transport_id, kind, rtp_parameters, app_data } = asked;
        check_parameters(self.limits(), "rtpParameters", &rtp_parameters)?;
        check_app_data(self.limits(), &app_data)?;
        self.check_joined()?;
        self.with_member(|member| match member.may.publish {
            true => self.check_producers(member.producers.len()),
            false => Err(Error::NotGranted("publish")),
        })??;
        let transport = self.transport(transport_id)?;
        let producer = transport.as_transport().produce(ProducerOptions::new(kind, rtp_parameters)).await?;
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

        let publication = Publication {
            publisher: self.id.to_string(),
            is_of_peer: self.subscriber.is_some(),
            producer_id: id,
            app_data: app_data.clone(),
        };
        let entry = ProducerEntry { producer, app_data };
        // Declared after `entry`, so that an early return unlocks before it drops the producer.
        let mut state = self.room.lock();
        let member = self.member_in(&mut state)?;
        // Others may have been made meanwhile.
        self.check_producers(member.producers.len())?;
        member.producers.insert(id, entry);
        // Under the same lock: whoever joins later finds the producer in the table.
        self.room.offer(&mut state, &publication);
        Ok(id)
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

    fn check_producers(&self, count: usize) -> Result<(), Error> {
        self.check_share(Thing::Producer, self.limits().max_producers_per_peer, count)
    }
}
