//! Data channels: who hears what a data producer says.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::{debug, warn};
use tureen::{
    data_consumer::{DataConsumer, DataConsumerOptions},
    data_producer::{DataProducer, DataProducerOptions},
    prelude::*,
};

use super::{
    DataProducerEntry, Peer, Room, Session, State,
    bot::BOT,
    lengths::{check_app_data, check_name},
};
use crate::{
    signaling::protoo::{
        Refusal,
        schema::{AboutDataConsumer, NewDataConsumer, OfTransport, ProduceData},
    },
    tally::Denied,
};

/// What everybody hears at once. Other labels are for those who join later, and the bot's for the bot.
const CHAT: &str = "chat";

/// A data producer that others may hear.
#[derive(Clone)]
pub(super) struct DataSource {
    /// `None` for the room's bot.
    pub(super) peer_id: Option<String>,
    pub(super) data_producer: DataProducer,
    pub(super) app_data: Map<String, Value>,
}

impl DataSource {
    /// Whether those who join later hear it.
    pub(super) fn is_for_all(&self) -> bool {
        self.data_producer.label() != BOT
    }
}

impl Room {
    /// Lets all joined peers but the one it comes from hear a new `source` if it is chat.
    pub(super) fn offer_data(self: &Arc<Self>, state: &mut State, source: &DataSource) {
        if source.data_producer.label() != CHAT {
            return;
        }
        for (peer_id, peer) in &mut state.peers {
            if Some(peer_id) != source.peer_id.as_ref() && peer.joined.is_some() {
                let hearer = Session::new(Arc::clone(self), peer_id.clone(), peer.session, peer.link.clone());
                hearer.consume_data(peer, vec![source.clone()]);
            }
        }
    }
}

impl Session {
    pub(super) async fn produce_data(&self, asked: ProduceData) -> Result<Value, Refusal> {
        let ProduceData { transport_id, sctp_stream_parameters, label, protocol, app_data } = asked;
        let limits = &self.room().config().limits;
        check_name(limits, "label", &label)?;
        check_name(limits, "protocol", &protocol)?;
        check_app_data(limits, app_data.as_ref())?;
        let limit = limits.max_data_producers_per_peer;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => Err(Refusal::forbidden(format_args!("a peer has at most {limit} data producers"))),
        };
        self.with_joined_peer(|peer| check_limit(peer.data_producers.len()))??;
        let transport = self.transport(&OfTransport { transport_id })?;
        let mut options = DataProducerOptions::new_sctp(sctp_stream_parameters.into());
        options.label = label;
        options.protocol = protocol;
        let data_producer = transport.produce_data(options).await?;
        let id = data_producer.id();
        let heard_by_bot = match data_producer.label().as_str() {
            BOT => self.room().bot.listen(self, id).await,
            _ => None,
        };

        let app_data = app_data.unwrap_or_default();
        let source = DataSource { peer_id: Some(self.peer_id().to_owned()), data_producer, app_data };
        let entry = DataProducerEntry { source: source.clone(), _heard_by_bot: heard_by_bot };
        let mut state = self.room().lock();
        let me = self.peer_in(&mut state)?;
        check_limit(me.data_producers.len())?;
        me.data_producers.insert(id, entry);
        self.room().offer_data(&mut state, &source);
        drop(state);
        Ok(json!({ "id": id }))
    }

    /// Starts to make `peer`, which is this session's, a data consumer of each of `sources`, if it has a use for
    /// them. Called under the room's lock, as [`Session::consume`].
    pub(super) fn consume_data(&self, peer: &mut Peer, sources: Vec<DataSource>) {
        if !peer.joined.as_ref().is_some_and(|joined| joined.hears_data) {
            return;
        }
        let Some(transport) = peer.transports.values().find(|entry| entry.consuming) else { return };
        let transport = transport.transport.clone();
        let session = self.clone();
        let most = self.room().config().limits.max_data_consumers_per_peer;
        peer.spawn(async move {
            for source in sources {
                if !matches!(session.with_peer(|peer| peer.data_consumers.len() < most), Ok(true)) {
                    session.link().tally().count(Denied::DataConsumer);
                    continue;
                }
                let Some(data_consumer) = session.make_data_consumer(&transport, &source).await else {
                    continue;
                };
                let announcement = session.clone().announce_data(data_consumer, source);
                // The peer may be gone by now, and its data consumers with it.
                let _ = session.with_peer(|peer| peer.spawn(announcement));
            }
        });
    }

    /// Makes a data consumer and enters it in the peer's table.
    async fn make_data_consumer(
        &self,
        transport: &WebRtcTransport,
        source: &DataSource,
    ) -> Option<DataConsumer> {
        let producer_id = source.data_producer.id();
        let data_consumer = match transport.consume_data(DataConsumerOptions::new_sctp(producer_id)).await {
            Ok(data_consumer) => data_consumer,
            Err(error) => {
                let name = self.link().name();
                if self.link().tally().may_log() {
                    warn!(peer = name, data_producer = %producer_id, %error, "data consumer can't be made");
                }
                return None;
            }
        };
        let id = data_consumer.id();
        self.with_peer(|peer| peer.data_consumers.insert(id, data_consumer.clone())).ok()?;
        let session = self.clone();
        let tell = move || {
            if session.forget_data_consumer(id) {
                session.link().notify("dataConsumerClosed", &AboutDataConsumer { data_consumer_id: id });
            }
        };
        data_consumer.on_data_producer_close(tell).detach();
        if data_consumer.closed() {
            // The data producer closed before the data consumer was in the table. The client need not hear of it.
            self.forget_data_consumer(id);
            return None;
        }
        Some(data_consumer)
    }

    /// Tells the client of a data consumer.
    async fn announce_data(self, data_consumer: DataConsumer, source: DataSource) {
        let id = data_consumer.id();
        let Some(sctp_stream_parameters) = data_consumer.sctp_stream_parameters() else { return };
        let announcement = NewDataConsumer {
            peer_id: source.peer_id.as_deref(),
            data_producer_id: source.data_producer.id(),
            id,
            sctp_stream_parameters,
            label: data_consumer.label(),
            protocol: data_consumer.protocol(),
            app_data: &source.app_data,
        };
        self.link().has_room().await;
        if let Err(failure) = self.link().request("newDataConsumer", &announcement).await {
            debug!(peer = self.link().name(), data_consumer = %id, %failure, "data consumer given up");
            self.forget_data_consumer(id);
        }
    }

    /// Closes a data consumer, whoever has a handle of it just now; false if it is gone already.
    fn forget_data_consumer(&self, id: DataConsumerId) -> bool {
        let removed = self.with_peer(|peer| peer.data_consumers.remove(&id)).ok().flatten();
        removed.inspect(|data_consumer| drop(data_consumer.close())).is_some()
    }
}
