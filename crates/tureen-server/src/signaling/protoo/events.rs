//! Events of a room in protoo's form: notifications, and requests for events that need the client's response.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use serde::{Serialize, Serializer};
use serde_json::json;
use tracing::error;

use super::{
    link::Link,
    message,
    moderation::Permissions,
    schema::{
        ActiveSpeaker, AppDataOfPeer, ConsumerAccepted, ConsumerLayersChanged, ConsumerScores, DownlinkBwe,
        NewConsumerData, NewDataConsumerData, ProducerScores,
    },
};
use crate::{
    room::{Acceptance, EndReason, NewConsumer, NewDataConsumer, NotAccepted, Notice, RoomEvent, Subscriber},
    signaling::json::describe,
};

/// Text of a notification, shared by all receivers. `None` if it cannot be written.
type Text = Option<Utf8Bytes>;

impl Subscriber for Link {
    fn notify(&self, notice: &Notice) {
        if let Some(text) = notice.written(write) {
            self.tell(&text);
        }
    }

    fn announce<'a>(&'a self, event: &'a RoomEvent) -> BoxFuture<'a, Result<Acceptance, NotAccepted>> {
        async {
            let (method, data) = (method(event), EventData(event));
            let accepted = self.request(method, &data).await;
            let accepted = accepted.map_err(|failure| NotAccepted(failure.to_string()))?;
            Ok(ConsumerAccepted::read(accepted).into())
        }
        .boxed()
    }

    fn has_room(&self) -> BoxFuture<'_, ()> {
        Link::has_room(self).boxed()
    }

    fn is_alive(&self, within: Duration) -> BoxFuture<'_, bool> {
        Link::is_alive(self, within).boxed()
    }

    fn end(&self, why: EndReason) -> bool {
        self.close(why.into())
    }
}

fn write(event: &RoomEvent) -> Text {
    let method = method(event);
    match message::notification(method, &EventData(event)) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            error!(method, %error, "a notification can't be written as JSON");
            None
        }
    }
}

fn method(event: &RoomEvent) -> &'static str {
    match event {
        RoomEvent::PeerJoined(_) => "newPeer",
        RoomEvent::PeerLeft { .. } => "peerClosed",
        RoomEvent::DisplayNameChanged { .. } => "peerDisplayNameChanged",
        RoomEvent::ActiveSpeaker(_) => "activeSpeaker",
        RoomEvent::NewConsumer(_) => "newConsumer",
        RoomEvent::ConsumerClosed(_) => "consumerClosed",
        RoomEvent::ConsumerPaused(_) => "consumerPaused",
        RoomEvent::ConsumerResumed(_) => "consumerResumed",
        RoomEvent::ConsumerScore { .. } => "consumerScore",
        RoomEvent::ConsumerLayersChanged { .. } => "consumerLayersChanged",
        RoomEvent::NewDataConsumer(_) => "newDataConsumer",
        RoomEvent::DataConsumerClosed(_) => "dataConsumerClosed",
        RoomEvent::ProducerScore { .. } => "producerScore",
        RoomEvent::DownlinkEstimate(_) => "downlinkBwe",
        RoomEvent::RightsChanged(_) => "permissionsChanged",
        RoomEvent::ProducerClosed(_) => "producerClosed",
        RoomEvent::DataProducerClosed(_) => "dataProducerClosed",
        RoomEvent::ProducerMuted { .. } => "producerMuted",
        RoomEvent::UnmuteRequested(_) => "unmuteRequested",
        RoomEvent::Removed { .. } => "removedFromRoom",
        RoomEvent::PeerWaiting { .. } => "peerWaiting",
        RoomEvent::Admitted => "admitted",
    }
}

/// The `data` of an event.
struct EventData<'a>(&'a RoomEvent);

impl Serialize for EventData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RoomEvent::PeerJoined(description) => describe(description).serialize(serializer),
            RoomEvent::PeerLeft { peer_id } => json!({ "peerId": peer_id }).serialize(serializer),
            RoomEvent::DisplayNameChanged { peer_id, display_name, old_display_name } => json!({
                "peerId": peer_id,
                "displayName": display_name,
                "oldDisplayName": old_display_name,
            })
            .serialize(serializer),
            RoomEvent::ActiveSpeaker(speaker) => ActiveSpeaker::from(speaker).serialize(serializer),
            RoomEvent::NewConsumer(new) => new_consumer(new).serialize(serializer),
            RoomEvent::ConsumerClosed(id)
            | RoomEvent::ConsumerPaused(id)
            | RoomEvent::ConsumerResumed(id) => json!({ "consumerId": id }).serialize(serializer),
            RoomEvent::ConsumerScore { consumer_id, score } => {
                ConsumerScores { consumer_id: *consumer_id, score }.serialize(serializer)
            }
            RoomEvent::ConsumerLayersChanged { consumer_id, layers } => ConsumerLayersChanged {
                consumer_id: *consumer_id,
                spatial_layer: layers.map(|layers| layers.spatial_layer),
                temporal_layer: layers.and_then(|layers| layers.temporal_layer),
            }
            .serialize(serializer),
            RoomEvent::NewDataConsumer(new) => new_data_consumer(new).serialize(serializer),
            RoomEvent::DataConsumerClosed(id) => json!({ "dataConsumerId": id }).serialize(serializer),
            RoomEvent::ProducerScore { producer_id, score } => {
                ProducerScores { producer_id: *producer_id, score }.serialize(serializer)
            }
            RoomEvent::DownlinkEstimate(info) => DownlinkBwe::from(info).serialize(serializer),
            RoomEvent::RightsChanged(may) => Permissions::from(*may).serialize(serializer),
            RoomEvent::ProducerClosed(id) => json!({ "producerId": id }).serialize(serializer),
            RoomEvent::DataProducerClosed(id) => json!({ "dataProducerId": id }).serialize(serializer),
            RoomEvent::ProducerMuted { producer_id, kind, source } => {
                json!({ "producerId": producer_id, "kind": kind, "source": source }).serialize(serializer)
            }
            RoomEvent::UnmuteRequested(kind) => json!({ "kind": kind }).serialize(serializer),
            RoomEvent::Removed { banned_until } => {
                json!({ "bannedUntil": banned_until }).serialize(serializer)
            }
            RoomEvent::PeerWaiting { peer_id, display_name } => {
                json!({ "peerId": peer_id, "displayName": display_name }).serialize(serializer)
            }
            RoomEvent::Admitted => json!({}).serialize(serializer),
        }
    }
}

fn new_consumer(new: &NewConsumer) -> NewConsumerData<'_> {
    let NewConsumer { publication, consumer, producer_paused } = new;
    NewConsumerData {
        peer_id: &publication.publisher,
        producer_id: publication.producer_id,
        id: consumer.id(),
        kind: consumer.kind(),
        rtp_parameters: consumer.rtp_parameters(),
        r#type: consumer.r#type(),
        app_data: AppDataOfPeer {
            app_data: &publication.app_data,
            // The server adds the peer's id to data producers of peers, but not to those of broadcasters.
            peer_id: publication.is_of_peer.then_some(&*publication.publisher),
        },
        producer_paused: *producer_paused,
    }
}

fn new_data_consumer(new: &NewDataConsumer) -> NewDataConsumerData<'_> {
    let NewDataConsumer { publication, data_consumer, sctp_stream_parameters } = new;
    NewDataConsumerData {
        peer_id: publication.publisher.as_deref(),
        data_producer_id: publication.data_producer_id,
        id: data_consumer.id(),
        sctp_stream_parameters: *sctp_stream_parameters,
        label: data_consumer.label(),
        protocol: data_consumer.protocol(),
        app_data: &publication.app_data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Speaker;

    #[test]
    fn an_event_is_one_text_for_all_its_receivers() {
        let notice = Notice::new(RoomEvent::PeerLeft { peer_id: "a".to_owned() });
        let texts = [notice.written(write).unwrap(), notice.written(write).unwrap()];
        assert_eq!(texts[0].as_str(), r#"{"notification":true,"method":"peerClosed","data":{"peerId":"a"}}"#);
        assert_eq!(texts[0].as_ptr(), texts[1].as_ptr(), "the same bytes");
    }

    #[test]
    fn silence_has_a_null_peer_and_no_volume() {
        let data = |speaker| serde_json::to_value(EventData(&RoomEvent::ActiveSpeaker(speaker))).unwrap();
        let speaker = Speaker::Peer { peer_id: "a".to_owned(), volume: -30 };
        assert_eq!(data(speaker), json!({ "peerId": "a", "volume": -30 }));
        assert_eq!(data(Speaker::Broadcaster { volume: -30 }), json!({ "volume": -30 }));
        assert_eq!(data(Speaker::Nobody), json!({ "peerId": null }));
    }

    #[test]
    fn missing_layers_are_two_nulls() {
        let consumer_id = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        let event = RoomEvent::ConsumerLayersChanged { consumer_id, layers: None };
        let data = serde_json::to_value(EventData(&event)).unwrap();
        assert_eq!(data, json!({ "consumerId": consumer_id, "spatialLayer": null, "temporalLayer": null }));
    }
}
