//! A room: its peers, what they produce, and who is told of it.
//!
//! All of a room's facts are behind one lock, held for moments only and never while an object of the media worker
//! is dropped or awaited. So for every two peers either the join of the one sees the producer of the other, or the
//! producer's maker sees the join, and never both.

mod bot;
mod broadcasters;
mod consuming;
mod data;
mod faults;
mod lengths;
mod media_log;
mod requests;
mod secret;
mod session;
mod speakers;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::error;
use tureen::{
    consumer::Consumer,
    data_consumer::DataConsumer,
    prelude::*,
    webrtc_transport::WebRtcTransport,
    worker::{CreateRouterError, RequestError},
};

use self::{bot::Bot, broadcasters::Broadcaster, consuming::Source, data::DataSource};
pub(crate) use self::{
    broadcasters::{AddBroadcasterError, Broadcasting},
    secret::Secret,
    session::Session,
};
use crate::{
    addresses::plain_listen_info,
    config::{Limits, ServerConfig},
    placement::workers::{LoadUnit, MediaWorker},
    signaling::protoo::{Close, Link, Refusal, notification, schema::CreateBroadcasterTransport},
    tally::{Denied, Tally},
};

/// A room.
pub(crate) struct Room {
    id: String,
    router: Router,
    /// Hears every audio producer of the room.
    audio_levels: AudioLevelObserver,
    bot: Bot,
    worker: MediaWorker,
    consumer_replicas: u8,
    shared: Shared,
    /// Consumers of all its peers.
    consumers: Arc<AtomicUsize>,
    state: Mutex<State>,
    _load: LoadUnit,
}

/// What all rooms of a server share.
pub(crate) struct Shared {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) tally: Arc<Tally>,
    /// One permit for each socket of a plain transport.
    pub(crate) plain_sockets: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    peers: BTreeMap<String, Peer>,
    broadcasters: BTreeMap<String, Broadcaster>,
    ended: bool,
    /// Number of sessions and broadcasters so far, to tell a peer's connection from the one that replaced it.
    sessions: u64,
}

/// What the room knows of a peer. Dropping it ends all its media and tasks, whoever has handles of its media just now.
struct Peer {
    session: u64,
    secret: Secret,
    link: Link,
    joined: Option<Joined>,
    /// Whether it has joined, for its consumers: they were perhaps made before.
    has_joined: watch::Sender<bool>,
    /// What it can receive, from a peer that prepares to join.
    prepared: Option<RtpCapabilities>,
    /// Producers of which consumers were made, or tried to.
    offered: HashSet<ProducerId>,
    transports: HashMap<TransportId, TransportEntry>,
    producers: HashMap<ProducerId, ProducerEntry>,
    consumers: HashMap<ConsumerId, ConsumerEntry>,
    data_producers: HashMap<DataProducerId, DataProducerEntry>,
    data_consumers: HashMap<DataConsumerId, DataConsumer>,
    /// What goes on for this peer besides its own requests: consumers being made and announced.
    tasks: JoinSet<()>,
}

/// What a participant said of itself when it came.
struct Joined {
    display_name: String,
    device: Value,
    rtp_capabilities: Option<RtpCapabilities>,
    /// Whether it takes data channels.
    hears_data: bool,
}

struct TransportEntry {
    transport: WebRtcTransport,
    consuming: bool,
    _load: LoadUnit,
}

struct ProducerEntry {
    producer: Producer,
    app_data: Map<String, Value>,
}

struct DataProducerEntry {
    source: DataSource,
    _heard_by_bot: Option<DataConsumer>,
}

struct ConsumerEntry {
    consumer: Consumer,
    _place: ConsumerPlace,
}

/// A consumer's place among those that its room and its worker may have.
struct ConsumerPlace {
    in_room: Arc<AtomicUsize>,
    _in_worker: LoadUnit,
}

impl Drop for ConsumerPlace {
    fn drop(&mut self) {
        self.in_room.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a new connection has to show for the place of a peer that is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claim<'a> {
    /// The secret that the peer's client was told.
    pub(crate) secret: Option<&'a str>,
    /// A session that was asked for a sign of life in vain.
    pub(crate) silent: Option<u64>,
}

/// Why a peer can't enter a room.
#[derive(Debug)]
pub(crate) enum EnterError {
    Ended,
    Full,
    /// The id is that of a broadcaster.
    OfBroadcaster,
    /// A peer of this id is there: its session and connection.
    Taken {
        session: u64,
        link: Link,
    },
}

/// Why a room can't be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeRoomError {
    #[error(transparent)]
    Router(#[from] CreateRouterError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the bot has no voice: {0}")]
    Bot(#[from] ProduceDataError),
}

impl Room {
    /// Makes a room on `worker`.
    pub(crate) async fn make(
        id: &str,
        worker: MediaWorker,
        codecs: Vec<RtpCodecCapability>,
        consumer_replicas: u8,
        shared: Shared,
    ) -> Result<Arc<Self>, MakeRoomError> {
        // Counted before it exists, so that rooms made at the same time go to different workers.
        let load = worker.add_load();
        let router = worker.worker.create_router(RouterOptions::new(codecs)).await?;
        let audio_levels = speakers::audio_level_observer(&router).await?;
        let bot = Bot::make(&router).await?;
        let room = Arc::new(Self {
            id: id.to_owned(),
            router,
            audio_levels,
            bot,
            worker,
            consumer_replicas,
            shared,
            consumers: Arc::default(),
            state: Mutex::default(),
            _load: load,
        });
        let weak: Weak<Self> = Arc::downgrade(&room);
        room.router
            .on_worker_close(move || {
                if let Some(room) = weak.upgrade() {
                    room.end(Close::WORKER_DIED);
                }
            })
            .detach();
        room.tell_who_speaks();
        if room.router.closed() {
            // Before anybody could tell this room of it.
            room.end(Close::WORKER_DIED);
        }
        Ok(room)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.shared.config
    }

    fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// Whether the room is over. It never comes back; another one may get its id.
    pub(crate) fn ended(&self) -> bool {
        self.lock().ended
    }

    /// Lets a connection in as the peer `peer_id`. One that is there under this id is closed, if the claim is good for
    /// its place.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer_id: &str,
        claim: Claim<'_>,
        link: Link,
    ) -> Result<Session, EnterError> {
        let mut state = self.lock();
        if state.ended {
            return Err(EnterError::Ended);
        }
        if state.broadcasters.contains_key(peer_id) {
            return Err(EnterError::OfBroadcaster);
        }
        let mut why = Close::REPLACED;
        if let Some(there) = state.peers.get(peer_id) {
            let has_secret = claim.secret.is_some_and(|secret| there.secret.is(secret));
            if !has_secret && claim.silent != Some(there.session) {
                return Err(EnterError::Taken { session: there.session, link: there.link.clone() });
            }
            if !has_secret {
                why = Close::SILENT;
            }
        }
        let replaced = state.remove(peer_id);
        if state.peers.len() >= self.config().limits.max_peers_per_room {
            return Err(EnterError::Full);
        }
        state.sessions += 1;
        let session = Session::new(Arc::clone(self), peer_id.to_owned(), state.sessions, link.clone());
        let mut peer = Peer::new(state.sessions, link);
        peer.spawn(session.clone().join_in_time());
        state.peers.insert(peer_id.to_owned(), peer);
        drop(state);

        if let Some(old) = replaced {
            old.link.close(why);
        }
        Ok(session)
    }

    /// Ends the room and with it the connections of its peers.
    pub(crate) fn end(&self, why: Close) {
        let (peers, _broadcasters) = {
            let mut state = self.lock();
            state.ended = true;
            (std::mem::take(&mut state.peers), std::mem::take(&mut state.broadcasters))
        };
        for peer in peers.values() {
            peer.link.close(why.clone());
        }
        drop(self.router.close());
    }

    /// Ends the room if nobody is in it.
    pub(crate) fn end_if_empty(&self) {
        let mut state = self.lock();
        state.ended |= state.peers.is_empty() && state.broadcasters.is_empty();
    }

    /// Takes out a peer whose connection ended, unless a new connection has its place.
    fn leave(&self, peer_id: &str, session: u64) {
        let (peer, broadcasters) = {
            let mut state = self.lock();
            if state.peers.get(peer_id).is_none_or(|peer| peer.session != session) {
                return;
            }
            let peer = state.remove(peer_id);
            state.ended |= state.peers.is_empty();
            let broadcasters = state.ended.then(|| std::mem::take(&mut state.broadcasters));
            (peer, broadcasters)
        };
        drop((peer, broadcasters));
    }

    /// Makes a WebRTC transport, on UDP and TCP or on TCP alone, with or without data channels.
    async fn create_webrtc_transport(&self, force_tcp: bool, sctp: bool) -> Result<WebRtcTransport, Refusal> {
        let rtc = &self.config().rtc;
        let mut options = WebRtcTransportOptions::new_with_server(self.worker.webrtc_server.clone());
        options.initial_available_outgoing_bitrate = rtc.initial_available_outgoing_bitrate;
        options.max_incoming_bitrate = Some(rtc.max_incoming_bitrate).filter(|&bitrate| bitrate > 0);
        options.enable_udp = !force_tcp;
        options.prefer_udp = true;
        options.enable_sctp = sctp;
        options.ice_consent_timeout = u8::try_from(self.config().timeouts.ice_consent.as_secs())
            .expect("ServerConfig::validate checks the range");
        let transport = self.router.create_webrtc_transport(options).await.map_err(Refusal::failed)?;
        if transport.ice_candidates().is_empty() {
            let kind = if force_tcp { "TCP" } else { "UDP or TCP" };
            return Err(Refusal::failed(format_args!("the media worker offers no {kind} candidate")));
        }
        Ok(transport)
    }

    /// Makes a plain transport on a port of its own, or two where RTCP has its own.
    async fn create_plain_transport(
        &self,
        asked: &CreateBroadcasterTransport,
    ) -> Result<PlainTransport, Refusal> {
        let mut options = PlainTransportOptions::new(plain_listen_info(&self.config().rtc));
        options.rtcp_mux = asked.rtcp_mux;
        options.comedia = asked.comedia;
        options.enable_sctp = asked.sctp_capabilities.is_some();
        self.router.create_plain_transport(options).await.map_err(Refusal::failed)
    }

    /// A place for one more consumer, if room and worker may have one.
    fn place_for_consumer(&self) -> Option<ConsumerPlace> {
        let Limits { max_consumers_per_room, max_consumers_per_worker, .. } = self.config().limits;
        let taken = self.consumers.fetch_add(1, Ordering::Relaxed);
        let in_worker = self.worker.add_consumer(max_consumers_per_worker);
        match in_worker {
            Some(in_worker) if taken < max_consumers_per_room => {
                Some(ConsumerPlace { in_room: Arc::clone(&self.consumers), _in_worker: in_worker })
            }
            _ => {
                self.consumers.fetch_sub(1, Ordering::Relaxed);
                self.tally().count(Denied::Consumer);
                None
            }
        }
    }

    /// Lets all peers but the one it comes from consume `source`, once they have said what they can receive.
    fn offer(self: &Arc<Self>, state: &mut State, source: &Source) {
        for (peer_id, peer) in &mut state.peers {
            if *peer_id != source.peer_id {
                let consumer =
                    Session::new(Arc::clone(self), peer_id.clone(), peer.session, peer.link.clone());
                consumer.consume(peer, vec![source.clone()]);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a peer out and tells the others. The caller drops it after unlocking.
    #[must_use]
    fn remove(&mut self, peer_id: &str) -> Option<Peer> {
        let peer = self.peers.remove(peer_id)?;
        if peer.joined.is_some() {
            self.tell_others(peer_id, "peerClosed", &json!({ "peerId": peer_id }));
        }
        Some(peer)
    }

    /// What all but `peer_id` send.
    fn sources_for(&self, peer_id: &str) -> Vec<Source> {
        let mut sources = Vec::new();
        for (id, peer) in self.peers.iter().filter(|(id, _)| *id != peer_id) {
            sources.extend(peer.producers.iter().map(|(&producer_id, entry)| {
                let source = Source { peer_id: id.clone(), producer_id, app_data: entry.app_data.clone() };
                (entry.producer.kind(), source)
            }));
        }
        for (id, broadcaster) in &self.broadcasters {
            sources.extend(broadcaster.producers.values().map(|producer| {
                let source = Source { peer_id: id.clone(), producer_id: producer.id(), app_data: Map::new() };
                (producer.kind(), source)
            }));
        }
        // Browsers set up the first one alone and the others together: first what takes longest to be seen.
        sources.sort_by_key(|(kind, _)| *kind != MediaKind::Video);
        sources.into_iter().map(|(_, source)| source).collect()
    }

    /// Whether a peer or broadcaster sends this.
    fn has_producer(&self, id: ProducerId) -> bool {
        self.peers.values().any(|peer| peer.producers.contains_key(&id))
            || self.broadcasters.values().any(|broadcaster| broadcaster.producers.contains_key(&id))
    }

    /// Notifies all joined peers other than `peer_id`.
    fn tell_others(&self, peer_id: &str, method: &str, data: &Value) {
        let Some(text) = written(method, data) else { return };
        for (id, peer) in &self.peers {
            if id != peer_id && peer.joined.is_some() {
                peer.link.tell(&text);
            }
        }
    }

    /// Notifies all joined peers.
    fn tell_all(&self, method: &str, data: &impl Serialize) {
        let Some(text) = written(method, data) else { return };
        for peer in self.peers.values().filter(|peer| peer.joined.is_some()) {
            peer.link.tell(&text);
        }
    }
}

/// A notification for many peers, which share its text.
fn written(method: &str, data: &impl Serialize) -> Option<Utf8Bytes> {
    match notification(method, data) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            error!(method, %error, "a notification can't be written as JSON");
            None
        }
    }
}

impl Joined {
    /// As other participants are told.
    fn describe(&self, id: &str) -> Value {
        json!({ "id": id, "displayName": self.display_name, "device": self.device })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for entry in self.transports.values() {
            drop(entry.transport.close());
        }
    }
}

impl Peer {
    /// What it can receive, once it has said so.
    fn rtp_capabilities(&self) -> Option<&RtpCapabilities> {
        match &self.joined {
            Some(joined) => joined.rtp_capabilities.as_ref(),
            None => self.prepared.as_ref(),
        }
    }

    fn new(session: u64, link: Link) -> Self {
        Self {
            session,
            secret: Secret::generate(),
            link,
            joined: None,
            has_joined: watch::Sender::new(false),
            prepared: None,
            offered: HashSet::new(),
            transports: HashMap::new(),
            producers: HashMap::new(),
            consumers: HashMap::new(),
            data_producers: HashMap::new(),
            data_consumers: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Starts a task that ends with the peer.
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }
}
