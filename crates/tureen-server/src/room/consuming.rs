//! Consumers: made paused, announced to the client, resumed when it is ready.

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use tracing::{debug, warn};
use tureen::{consumer::Consumer, prelude::*, webrtc_transport::WebRtcTransport};

use super::{ConsumerEntry, Peer, Session};
use crate::{
    signaling::protoo::schema::{
        AboutConsumer, ConsumerLayersChanged, ConsumerScores, NewConsumer, NewConsumerAnswer,
    },
    tally::Shown,
};

/// A producer that others may consume.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) peer_id: String,
    pub(super) producer_id: ProducerId,
    /// The producer's, with its peer's id in it.
    pub(super) app_data: Map<String, Value>,
}

/// How many consumers of one peer are being made at a time: more would fill the worker's queue of requests.
const MADE_AT_ONCE: usize = 16;

impl Session {
    /// Starts to make `peer`, which is this session's, a consumer of each of `sources`, and as many replicas as the
    /// room wants. Leaves out what the peer can't consume.
    ///
    /// Called under the room's lock; whatever takes time happens in tasks that end with the peer. Consumers are
    /// announced in the order of `sources`, without waiting for one another.
    pub(super) fn consume(&self, peer: &mut Peer, mut sources: Vec<Source>) {
        let Some(rtp_capabilities) = peer.rtp_capabilities().cloned() else { return };
        let Some(transport) = peer.transports.values().find(|entry| entry.consuming) else {
            debug!(peer = self.link().name(), "no consuming transport");
            return;
        };
        let transport = transport.transport.clone();
        sources.retain(|source| peer.offered.insert(source.producer_id));
        let session = self.clone();
        peer.spawn(async move {
            let replicas = 0..=session.room().consumer_replicas;
            let wanted = sources.into_iter().flat_map(|source| replicas.clone().map(move |_| source.clone()));
            let made = stream::iter(wanted).map(|source| {
                let mut options = ConsumerOptions::new(source.producer_id, rtp_capabilities.clone());
                options.paused = true;
                // NACK for Opus too.
                options.enable_rtx = Some(true);
                options.ignore_dtx = true;
                let (session, transport) = (&session, &transport);
                async move { (session.make_consumer(transport, options, &source).await, source) }
            });
            // Close together, so that browsers negotiate them together.
            let made: Vec<_> = made.buffered(MADE_AT_ONCE).collect().await;
            for (consumer, source) in made {
                let Some(consumer) = consumer else { continue };
                let announcement = session.clone().announce(consumer, source);
                // The peer may be gone by now, and its consumers with it.
                let _ = session.with_peer(|peer| peer.spawn(announcement));
            }
        });
    }

    /// Makes a consumer and enters it in the peer's table.
    async fn make_consumer(
        &self,
        transport: &WebRtcTransport,
        options: ConsumerOptions,
        source: &Source,
    ) -> Option<Consumer> {
        let name = self.link().name();
        if !self.room().router.can_consume(&source.producer_id, &options.rtp_capabilities) {
            debug!(peer = name, producer = %source.producer_id, "peer can't consume this");
            return None;
        }
        let place = self.room().place_for_consumer()?;
        let consumer = match transport.consume(options).await {
            Ok(consumer) => consumer,
            Err(error) => {
                if self.link().tally().may_log() {
                    warn!(peer = name, producer = %source.producer_id, %error, "consumer can't be made");
                }
                return None;
            }
        };
        self.report(&consumer);
        let id = consumer.id();
        let entry = ConsumerEntry { consumer: consumer.clone(), _place: place };
        self.with_peer(|peer| peer.consumers.insert(id, entry)).ok()?;
        if consumer.closed() {
            // The producer closed before the consumer was in the table. The client need not hear of it.
            self.forget_consumer(id);
            return None;
        }
        Some(consumer)
    }

    /// Tells the client of a consumer and lets media flow when it is ready and has joined.
    async fn announce(self, consumer: Consumer, source: Source) {
        let name = self.link().name();
        let id = consumer.id();
        // Whoever joins a big room is told of hundreds.
        self.link().has_room().await;
        let producer_paused = consumer.producer_paused();
        let announcement = NewConsumer {
            peer_id: &source.peer_id,
            producer_id: source.producer_id,
            id,
            kind: consumer.kind(),
            rtp_parameters: consumer.rtp_parameters(),
            r#type: consumer.r#type(),
            app_data: &source.app_data,
            producer_paused,
        };
        let Ok(mut has_joined) = self.with_peer(|peer| peer.has_joined.subscribe()) else { return };
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
        let (answer, ()) = tokio::join!(self.link().request("newConsumer", &announcement), key_frame);
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                if self.link().tally().may_log() {
                    let failure = failure.to_string();
                    warn!(peer = name, consumer = %id, failure = %Shown(&failure), "consumer given up");
                }
                self.forget_consumer(id);
                return self.link().notify("consumerClosed", &AboutConsumer { consumer_id: id });
            }
        };
        // While it is paused: to change layers later takes a key frame of another layer.
        if let Some(layers) = NewConsumerAnswer::read(answer).preferred_layers
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
        self.link().notify("consumerScore", &ConsumerScores { consumer_id: id, score: &consumer.score() });
        if consumer.producer_paused() != producer_paused {
            // Clients ignore what they hear of a consumer while they are making it.
            let method = if producer_paused { "consumerResumed" } else { "consumerPaused" };
            self.link().notify(method, &AboutConsumer { consumer_id: id });
        }
    }

    /// Tells the client what happens to `consumer`.
    fn report(&self, consumer: &Consumer) {
        let (consumer_id, producer_id) = (consumer.id(), consumer.producer_id());
        let about = AboutConsumer { consumer_id };
        let session = self.clone();
        consumer
            .on_producer_close(move || {
                let _ = session.with_peer(|peer| peer.offered.remove(&producer_id));
                if session.forget_consumer(consumer_id) {
                    session.link().notify("consumerClosed", &about);
                }
            })
            .detach();
        for paused in [true, false] {
            let link = self.link().clone();
            let method = if paused { "consumerPaused" } else { "consumerResumed" };
            let tell = move || link.notify(method, &AboutConsumer { consumer_id });
            match paused {
                true => consumer.on_producer_pause(tell),
                false => consumer.on_producer_resume(tell),
            }
            .detach();
        }
        let link = self.link().clone();
        consumer
            .on_score(move |score| link.notify("consumerScore", &ConsumerScores { consumer_id, score }))
            .detach();
        let link = self.link().clone();
        consumer
            .on_layers_change(move |layers| {
                let changed = ConsumerLayersChanged {
                    consumer_id,
                    spatial_layer: layers.map(|layers| layers.spatial_layer),
                    temporal_layer: layers.and_then(|layers| layers.temporal_layer),
                };
                link.notify("consumerLayersChanged", &changed);
            })
            .detach();
    }

    /// Closes a consumer, whoever has a handle of it just now; false if it is gone already.
    fn forget_consumer(&self, id: ConsumerId) -> bool {
        let removed = self.with_peer(|peer| peer.consumers.remove(&id)).ok().flatten();
        removed.inspect(|entry| drop(entry.consumer.close())).is_some()
    }
}
