//! Broadcasters: participants without a signalling connection, run over HTTP. They last until they are removed, the room
//! ends, or nothing has been heard of them for a while; they don't hold the room open.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::{Map, Value, json};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{AbortHandle, JoinHandle},
    time::Instant,
};
use tracing::info;
use tureen::{
    consumer::Consumer,
    data_consumer::{DataConsumer, DataConsumerOptions},
    data_producer::DataProducerOptions,
    plain_transport::{PlainTransport, PlainTransportRemoteParameters},
    prelude::*,
};

use super::{
    ConsumerEntry, Joined, Room, State,
    consuming::Source,
    data::DataSource,
    lengths::{check_app_data, check_device, check_name, check_parameters},
    media_log::{expect_connection, watch_plain_transport, watch_producer, watch_transport},
};
use crate::{
    networks::why_special,
    per_address::Slot,
    placement::workers::LoadUnit,
    signaling::{
        json::write,
        protoo::{
            Refusal,
            schema::{
                AddBroadcaster, BroadcasterTransportKind, ConnectBroadcasterTransport,
                ConnectedPlainTransport, ConsumedByBroadcaster, CreateBroadcasterTransport,
                CreatedPlainTransport, CreatedTransport, ProduceByBroadcaster, ProduceDataByBroadcaster,
            },
        },
    },
    tally::{Denied, Shown},
};

type Answer = Result<Value, Refusal>;

/// What the room knows of a broadcaster. Dropping it ends all its media, whoever has handles of that just now.
pub(super) struct Broadcaster {
    /// To tell it from a later one of the same id.
    number: u64,
    pub(super) about: Joined,
    pub(super) producers: HashMap<ProducerId, Producer>,
    transports: HashMap<TransportId, TransportEntry>,
    consumers: HashMap<ConsumerId, (TransportId, ConsumerEntry)>,
    pub(super) data_producers: HashMap<DataProducerId, DataSource>,
    data_consumers: HashMap<DataConsumerId, (TransportId, DataConsumer)>,
    /// When the last request about it came.
    renewed: Instant,
    /// Removes it when nothing is heard of it.
    lease: Option<Lease>,
    _slot: Option<Slot>,
}

/// The task that watches a broadcaster; it ends with it.
struct Lease(AbortHandle);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct TransportEntry {
    transport: BroadcasterTransport,
    /// The sockets of a plain transport.
    _sockets: Option<OwnedSemaphorePermit>,
    _load: LoadUnit,
}

#[derive(Clone)]
enum BroadcasterTransport {
    WebRtc(WebRtcTransport),
    Plain(PlainTransport),
}

/// Why a broadcaster can't be added.
pub(crate) enum AddBroadcasterError {
    /// The room is over.
    Ended,
    Refused(Refusal),
}

/// A broadcaster's place in its room.
#[derive(Clone)]
pub(crate) struct Broadcasting {
    room: Arc<Room>,
    id: String,
    number: u64,
}

impl Room {
    /// Lets a broadcaster in, which takes the slot. Its answer lists what it can consume.
    pub(crate) fn add_broadcaster(
        self: &Arc<Self>,
        asked: &AddBroadcaster,
        slot: &mut Option<Slot>,
    ) -> Result<(Broadcasting, Value), AddBroadcasterError> {
        let AddBroadcaster { id, display_name, device, rtp_capabilities } = asked;
        let about = Joined {
            display_name: display_name.clone(),
            device: device.describe(),
            rtp_capabilities: rtp_capabilities.clone(),
            hears_data: false,
        };
        let refuse = |refusal| Err(AddBroadcasterError::Refused(refusal));
        let limits = &self.config().limits;
        check_name(limits, "displayName", display_name)
            .and_then(|()| check_device(limits, &about.device))
            .and_then(|()| check_parameters(limits, "rtpCapabilities", rtp_capabilities))
            .map_err(AddBroadcasterError::Refused)?;
        let limit = limits.max_broadcasters_per_room;
        let mut state = self.lock();
        if state.ended {
            return Err(AddBroadcasterError::Ended);
        }
        if state.broadcasters.len() >= limit {
            self.tally().count(Denied::Broadcaster);
            return refuse(Refusal::forbidden(format_args!("a room has at most {limit} broadcasters")));
        }
        if state.broadcasters.contains_key(id) || state.peers.contains_key(id) {
            return refuse(Refusal::bad_request(format_args!("there is a participant \"{id}\" already")));
        }

        let peers = match &about.rtp_capabilities {
            Some(rtp_capabilities) => self.consumable_peers(&state, rtp_capabilities),
            None => Vec::new(),
        };
        state.tell_all("newPeer", &about.describe(id));
        if self.tally().may_log() {
            let (room, broadcaster, name) = (Shown(&self.id), Shown(id), Shown(display_name));
            info!(%room, %broadcaster, %name, "broadcaster added");
        }
        state.sessions += 1;
        let broadcaster = Broadcaster {
            number: state.sessions,
            about,
            producers: HashMap::new(),
            transports: HashMap::new(),
            consumers: HashMap::new(),
            data_producers: HashMap::new(),
            data_consumers: HashMap::new(),
            renewed: Instant::now(),
            lease: None,
            _slot: slot.take(),
        };
        let number = broadcaster.number;
        state.broadcasters.insert(id.clone(), broadcaster);
        drop(state);
        let added = Broadcasting { room: Arc::clone(self), id: id.clone(), number };
        Ok((added, json!({ "peers": peers })))
    }

    /// The broadcaster of this id, for a request about it, which renews its lease.
    pub(crate) fn broadcaster(self: &Arc<Self>, id: &str) -> Result<Broadcasting, Refusal> {
        let mut state = self.lock();
        let found = state.broadcasters.get_mut(id).ok_or_else(|| Refusal::not_found("broadcaster", id))?;
        found.renewed = Instant::now();
        Ok(Broadcasting { room: Arc::clone(self), id: id.to_owned(), number: found.number })
    }

    /// The joined peers with those of their producers that fit `rtp_capabilities`.
    fn consumable_peers(&self, state: &State, rtp_capabilities: &RtpCapabilities) -> Vec<Value> {
        let joined = state.peers.iter().filter_map(|(id, peer)| Some((id, peer, peer.joined.as_ref()?)));
        joined
            .map(|(id, peer, joined)| {
                let producers = peer.producers.values().map(|entry| &entry.producer);
                let fitting = producers
                    .filter(|producer| self.router.can_consume(&producer.id(), rtp_capabilities))
                    .map(|producer| json!({ "id": producer.id(), "kind": producer.kind() }));
                let mut described = joined.describe(id);
                described["producers"] = fitting.collect();
                described
            })
            .collect()
    }
}

impl Drop for Broadcaster {
    fn drop(&mut self) {
        for entry in self.transports.values() {
            drop(entry.transport.close());
        }
    }
}

impl Broadcasting {
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// As others are told of it.
    pub(crate) fn describe(&self) -> Result<Value, Refusal> {
        self.look(|broadcaster| broadcaster.about.describe(&self.id))
    }

    /// The task that removes it when nothing is heard of it.
    pub(crate) fn keep(&self, lease: JoinHandle<()>) {
        let lease = Lease(lease.abort_handle());
        // If it has been removed already, the task ends at once.
        let _ = self.look(|broadcaster| broadcaster.lease = Some(lease));
    }

    /// When the last request about it came.
    pub(crate) fn renewed(&self) -> Result<Instant, Refusal> {
        self.look(|broadcaster| broadcaster.renewed)
    }

    /// What has come by its transports so far.
    pub(crate) async fn bytes_received(&self) -> Result<u64, Refusal> {
        let transports: Vec<_> = self.look(|broadcaster| {
            broadcaster.transports.values().map(|entry| entry.transport.clone()).collect()
        })?;
        let mut all = 0;
        for transport in transports {
            // Of a transport that is being closed nothing has come.
            all += match transport {
                BroadcasterTransport::WebRtc(transport) => {
                    transport.get_stats().await.map_or(0, |stats| stats[0].bytes_received)
                }
                BroadcasterTransport::Plain(transport) => {
                    transport.get_stats().await.map_or(0, |stats| stats[0].bytes_received)
                }
            };
        }
        Ok(all)
    }

    /// Takes the broadcaster out of the room, and returns when its ports and SSRCs are free again.
    pub(crate) async fn remove(&self) -> Result<(), Refusal> {
        let removed = {
            let mut state = self.room.lock();
            self.in_state(&mut state)?;
            let removed = state.broadcasters.remove(&self.id);
            state.tell_all("peerClosed", &json!({ "peerId": self.id }));
            state.ended |= state.peers.is_empty() && state.broadcasters.is_empty();
            removed
        };
        if let Some(removed) = &removed {
            join_all(removed.transports.values().map(|entry| entry.transport.close())).await;
        }
        drop(removed);
        if self.room.tally().may_log() {
            info!(room = %Shown(&self.room.id), broadcaster = %Shown(&self.id), "broadcaster removed");
        }
        Ok(())
    }

    pub(crate) async fn create_transport(&self, asked: CreateBroadcasterTransport) -> Answer {
        let room = &self.room;
        let limit = room.config().limits.max_transports_per_peer;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => Err(Refusal::forbidden(format_args!("a broadcaster has at most {limit} transports"))),
        };
        self.look(|broadcaster| check_limit(broadcaster.transports.len()))??;

        let mut sockets = None;
        let (transport, answer) = match asked.r#type {
            BroadcasterTransportKind::Webrtc => {
                let transport =
                    room.create_webrtc_transport(false, asked.sctp_capabilities.is_some()).await?;
                watch_transport(&self.id, &transport);
                let answer = write(&CreatedTransport::describe(&transport))?;
                (BroadcasterTransport::WebRtc(transport), answer)
            }
            BroadcasterTransportKind::Plain => {
                let count = if asked.rtcp_mux { 1 } else { 2 };
                let permit = Arc::clone(&room.shared.plain_sockets).try_acquire_many_owned(count);
                sockets = Some(permit.map_err(|_| {
                    room.tally().count(Denied::PlainSocket);
                    Refusal::busy("the server has as many plain transports as it may have")
                })?);
                let transport = room.create_plain_transport(&asked).await?;
                watch_plain_transport(&self.id, &transport);
                let answer = write(&CreatedPlainTransport::describe(&transport))?;
                (BroadcasterTransport::Plain(transport), answer)
            }
        };
        let entry =
            TransportEntry { transport: transport.clone(), _sockets: sockets, _load: room.worker.add_load() };
        self.look(|broadcaster| {
            check_limit(broadcaster.transports.len())?;
            broadcaster.transports.insert(transport.as_transport().id(), entry);
            Ok(answer)
        })?
    }

    pub(crate) async fn connect(
        &self,
        id: TransportId,
        asked: ConnectBroadcasterTransport,
    ) -> Result<(), Refusal> {
        let ConnectBroadcasterTransport { dtls_parameters } = asked;
        match self.transport(id)? {
            BroadcasterTransport::WebRtc(transport) => {
                expect_connection(&self.id, &transport);
                let remote = WebRtcTransportRemoteParameters { dtls_parameters };
                transport.connect(remote).await.map_err(Refusal::from)
            }
            BroadcasterTransport::Plain(_) => {
                Err(Refusal::bad_request("a plain transport is connected by plain-connect"))
            }
        }
    }

    /// Whether the configuration lets media be sent to an address from which nothing has come yet. Refuses addresses that are
    /// nobody's own, unless the configuration names them.
    fn may_send_unasked(&self, remote: &PlainTransportRemoteParameters) -> Result<bool, Refusal> {
        for (name, port) in [("port", remote.port), ("rtcpPort", remote.rtcp_port)] {
            if port == Some(0) {
                return Err(Refusal::bad_request(format_args!("{name} 0 is nobody's")));
            }
        }
        // The transport names what is missing.
        let Some(ip) = remote.ip else { return Ok(false) };
        if !ip.is_unspecified()
            && self.room.config().rtc.plain_connect_to.iter().any(|network| network.contains(ip))
        {
            return Ok(true);
        }
        match why_special(ip) {
            Some(why) => Err(Refusal::forbidden(format_args!("{ip} is {why}: see rtc.plain_connect_to"))),
            None => Ok(false),
        }
    }

    /// Tells a plain transport that does not find it out by itself where its far end is. What is sent there begins with the
    /// first datagram from there.
    pub(crate) async fn plain_connect(
        &self,
        id: TransportId,
        asked: PlainTransportRemoteParameters,
    ) -> Answer {
        let BroadcasterTransport::Plain(transport) = self.transport(id)? else {
            return Err(Refusal::bad_request("a WebRTC transport is connected by connect"));
        };
        match self.may_send_unasked(&asked)? {
            true => transport.connect(asked).await?,
            false => transport.connect_when_heard(asked).await?,
        }
        write(&ConnectedPlainTransport {
            tuple: transport.tuple().into(),
            rtcp_tuple: transport.rtcp_tuple().map(Into::into),
            srtp_parameters: transport.srtp_parameters(),
        })
    }

    pub(crate) async fn produce(&self, id: TransportId, asked: ProduceByBroadcaster) -> Answer {
        let ProduceByBroadcaster { kind, rtp_parameters } = asked;
        check_parameters(&self.room.config().limits, "rtpParameters", &rtp_parameters)?;
        let limit = self.room.config().limits.max_producers_per_peer;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => Err(Refusal::forbidden(format_args!("a broadcaster has at most {limit} producers"))),
        };
        self.look(|broadcaster| check_limit(broadcaster.producers.len()))??;
        let transport = self.transport(id)?;
        let options = ProducerOptions::new(kind, rtp_parameters);
        let producer = transport.as_transport().produce(options).await?;
        let producer_id = producer.id();
        watch_producer(&self.id, &producer);
        self.room.hear(&producer).await;

        let source = Source { peer_id: self.id.clone(), producer_id, app_data: Map::new() };
        let mut state = self.room.lock();
        let me = self.in_state(&mut state)?;
        check_limit(me.producers.len())?;
        me.producers.insert(producer_id, producer.clone());
        self.room.offer(&mut state, &source);
        drop(state);
        Ok(json!({ "id": producer_id }))
    }

    pub(crate) async fn consume(&self, id: TransportId, producer_id: ProducerId) -> Answer {
        let limit = self.room.config().limits.max_consumers_per_broadcaster;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => Err(Refusal::forbidden(format_args!("a broadcaster has at most {limit} consumers"))),
        };
        // Everything is sent once by each transport, whatever is asked for.
        let check = |broadcaster: &Broadcaster| {
            check_limit(broadcaster.consumers.len())?;
            let mut there = broadcaster.consumers.values();
            match there.any(|(of, entry)| *of == id && entry.consumer.producer_id() == producer_id) {
                false => Ok(()),
                true => {
                    Err(Refusal::bad_request(format_args!("transport {id} consumes {producer_id} already")))
                }
            }
        };
        self.look(|broadcaster| check(broadcaster))??;
        let transport = self.transport(id)?;
        let rtp_capabilities = self
            .look(|broadcaster| broadcaster.about.rtp_capabilities.clone())?
            .ok_or_else(|| Refusal::bad_request("the broadcaster gave no rtpCapabilities"))?;
        if !self.room.lock().has_producer(producer_id) {
            return Err(Refusal::not_found("producer", producer_id));
        }
        let mut options = ConsumerOptions::new(producer_id, rtp_capabilities);
        options.enable_rtx = Some(true);
        let busy = || Refusal::busy("room or server have as many consumers as they may have");
        let place = self.room.place_for_consumer().ok_or_else(busy)?;
        let consumer = transport.as_transport().consume(options).await?;
        let answer = write(&ConsumedByBroadcaster {
            id: consumer.id(),
            producer_id,
            kind: consumer.kind(),
            rtp_parameters: consumer.rtp_parameters(),
            r#type: consumer.r#type(),
        })?;
        let entry = ConsumerEntry { consumer: consumer.clone(), _place: place };
        self.look(|broadcaster| {
            check(broadcaster)?;
            broadcaster.consumers.insert(consumer.id(), (id, entry));
            Ok::<_, Refusal>(())
        })??;
        self.forget_with_producer(&consumer);
        Ok(answer)
    }

    /// Closes a consumer with its producer, without a word: broadcasters are told nothing.
    fn forget_with_producer(&self, consumer: &Consumer) {
        let (me, id) = (self.clone(), consumer.id());
        let forget = move || {
            if let Ok(Some((_, entry))) = me.look(|broadcaster| broadcaster.consumers.remove(&id)) {
                drop(entry.consumer.close());
            }
        };
        if consumer.closed() {
            forget();
        } else {
            consumer.on_producer_close(forget).detach();
        }
    }

    pub(crate) async fn produce_data(&self, id: TransportId, asked: ProduceDataByBroadcaster) -> Answer {
        let limits = &self.room.config().limits;
        check_name(limits, "label", &asked.label)?;
        check_name(limits, "protocol", &asked.protocol)?;
        check_app_data(limits, asked.app_data.as_ref())?;
        let limit = limits.max_data_producers_per_peer;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => {
                Err(Refusal::forbidden(format_args!("a broadcaster has at most {limit} data producers")))
            }
        };
        self.look(|broadcaster| check_limit(broadcaster.data_producers.len()))??;
        let mut options = DataProducerOptions::new_sctp(asked.sctp_stream_parameters.into());
        options.label = asked.label;
        options.protocol = asked.protocol;
        let transport = self.transport(id)?;
        let data_producer = transport.as_transport().produce_data(options).await?;
        let id = data_producer.id();
        let app_data = asked.app_data.unwrap_or_default();
        let source = DataSource { peer_id: Some(self.id.clone()), data_producer, app_data };
        let mut state = self.room.lock();
        let me = self.in_state(&mut state)?;
        check_limit(me.data_producers.len())?;
        me.data_producers.insert(id, source.clone());
        self.room.offer_data(&mut state, &source);
        drop(state);
        Ok(json!({ "id": id }))
    }

    pub(crate) async fn consume_data(&self, id: TransportId, data_producer_id: DataProducerId) -> Answer {
        let limit = self.room.config().limits.max_consumers_per_broadcaster;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => {
                Err(Refusal::forbidden(format_args!("a broadcaster has at most {limit} data consumers")))
            }
        };
        let transport_id = id;
        let check = |broadcaster: &Broadcaster| {
            check_limit(broadcaster.data_consumers.len())?;
            let mut there = broadcaster.data_consumers.values();
            let is_it = |consumer: &DataConsumer| consumer.data_producer_id() == data_producer_id;
            match there.any(|(of, consumer)| *of == transport_id && is_it(consumer)) {
                false => Ok(()),
                true => {
                    let why = format_args!("transport {transport_id} consumes {data_producer_id} already");
                    Err(Refusal::bad_request(why))
                }
            }
        };
        self.look(|broadcaster| check(broadcaster))??;
        let transport = self.transport(transport_id)?;
        let options = DataConsumerOptions::new_sctp(data_producer_id);
        let data_consumer = transport.as_transport().consume_data(options).await?;
        let id = data_consumer.id();
        let stream_id = data_consumer.sctp_stream_parameters().map(|parameters| parameters.stream_id());
        let me = self.clone();
        let forget = move || drop(me.look(|broadcaster| broadcaster.data_consumers.remove(&id)));
        self.look(|broadcaster| {
            check(broadcaster)?;
            broadcaster.data_consumers.insert(id, (transport_id, data_consumer.clone()));
            Ok::<_, Refusal>(())
        })??;
        data_consumer.on_data_producer_close(forget).detach();
        Ok(json!({ "id": id, "streamId": stream_id }))
    }

    fn transport(&self, id: TransportId) -> Result<BroadcasterTransport, Refusal> {
        self.look(|broadcaster| broadcaster.transports.get(&id).map(|entry| entry.transport.clone()))?
            .ok_or_else(|| Refusal::not_found("transport", id))
    }

    /// Looks at the broadcaster under the room's lock; refused when it has been removed.
    ///
    /// Nothing of a media worker may be dropped or awaited in `look`.
    fn look<T>(&self, look: impl FnOnce(&mut Broadcaster) -> T) -> Result<T, Refusal> {
        self.in_state(&mut self.room.lock()).map(look)
    }

    fn in_state<'a>(&self, state: &'a mut State) -> Result<&'a mut Broadcaster, Refusal> {
        let found = state.broadcasters.get_mut(&self.id).filter(|found| found.number == self.number);
        found.ok_or_else(|| Refusal::not_found("broadcaster", &self.id))
    }
}

impl BroadcasterTransport {
    fn as_transport(&self) -> &dyn Transport {
        match self {
            Self::WebRtc(transport) => transport,
            Self::Plain(transport) => transport,
        }
    }

    /// Closes it with all that is on it. The future is done when the worker has.
    fn close(&self) -> BoxFuture<'static, ()> {
        match self {
            Self::WebRtc(transport) => transport.close().boxed(),
            Self::Plain(transport) => transport.close().boxed(),
        }
    }
}
