//! A room: participants, their media, and the events that they are told.
//!
//! All facts of a room are behind one lock ([`state`]), held for moments only: nothing is awaited under it, no object of a
//! media worker is dropped under it, and events are delivered after it is released. Rooms know no message format:
//! signalling calls the methods of [`Participant`] and writes [`RoomEvent`]s.

mod bot;
mod consuming;
mod data;
mod events;
mod lengths;
mod media_log;
mod member;
mod moderation;
mod participant;
mod publishing;
mod rights;
mod rules;
mod secret;
mod speakers;
mod state;
mod transports;

use std::sync::{Arc, atomic::AtomicUsize};

use tokio::{sync::Semaphore, time::Instant};
use tracing::info;
use tureen::{
    prelude::*,
    worker::{CreateRouterError, RequestError},
};

use self::{
    bot::Bot,
    member::{Member, Presence},
    state::{Locked, SharedState, State},
};
pub(crate) use self::{
    data::ProduceData,
    events::{
        Acceptance, Description, EndReason, NewConsumer, NewDataConsumer, NotAccepted, Notice, RoomEvent,
        Speaker, Subscriber,
    },
    member::Profile,
    participant::Participant,
    publishing::Produce,
    secret::Secret,
    transports::{PlainRequest, WebRtcRequest},
};
use crate::{
    access::Revocations,
    admission::Grant,
    config::ServerConfig,
    error::{Error, Thing},
    placement::workers::{LoadUnit, MediaWorker},
    tally::{Denied, Shown, Tally},
};

/// A room.
pub(crate) struct Room {
    id: String,
    router: Router,
    /// Measures every audio producer of the room.
    audio_levels: AudioLevelObserver,
    bot: Bot,
    worker: MediaWorker,
    consumer_replicas: u8,
    shared: Shared,
    /// Number of consumers of all participants.
    consumers: Arc<AtomicUsize>,
    state: SharedState,
    _load: LoadUnit,
}

/// State that all rooms of a server share.
pub(crate) struct Shared {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) tally: Arc<Tally>,
    /// One permit for each socket of a plain transport.
    pub(crate) plain_sockets: Arc<Semaphore>,
}

/// Proof of a new connection that the place of a present peer is its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claim<'a> {
    /// The secret that the peer's client was told.
    pub(crate) secret: Option<&'a str>,
    /// A stay whose client did not answer when it was asked for a sign of life.
    pub(crate) silent: Option<u64>,
}

/// Reason for which a participant can't enter a room.
#[derive(Debug)]
pub(crate) enum EnterError {
    /// The room is over.
    Ended,
    /// A peer of this id is there: its stay and connection.
    Taken {
        stay: u64,
        subscriber: Arc<dyn Subscriber>,
    },
    Refused(Error),
}

/// A participant, and what a broadcaster can consume of it.
pub(crate) struct ConsumablePeer {
    pub(crate) description: Description,
    pub(crate) producers: Vec<(ProducerId, MediaKind)>,
}

/// Reason for which a room can't be made.
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
    /// Makes a room on `worker`. The caller ends it when the worker dies.
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
            state: SharedState::default(),
            _load: load,
        });
        room.tell_who_speaks();
        Ok(room)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.shared.config
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// True once the room is over. It never comes back; another one may get its id.
    pub(crate) fn ended(&self) -> bool {
        self.lock().ended
    }

    /// Lets a peer in, which has `subscriber` for its connection. A peer that is there under the same id is disconnected
    /// if the claim is good for its place.
    pub(crate) fn enter(
        self: &Arc<Self>,
        grant: &mut Grant,
        claim: Claim<'_>,
        subscriber: &Arc<dyn Subscriber>,
    ) -> Result<Participant, EnterError> {
        let id = grant.identity.clone();
        let mut why = EndReason::Replaced;
        // Declared before `state`, so that it is dropped after unlocking.
        let replaced;
        let mut state = self.lock();
        if state.ended {
            return Err(EnterError::Ended);
        }
        if let Some(there) = state.members.get(&id) {
            let (Some(connection), Some(secret)) = (there.subscriber(), there.secret()) else {
                // A broadcaster keeps its id.
                return Err(EnterError::Refused(Error::IdTaken(id)));
            };
            let has_secret = grant.is_proven || claim.secret.is_some_and(|claimed| secret.is(claimed));
            if !has_secret && claim.silent != Some(there.stay) {
                let subscriber = Arc::clone(connection);
                return Err(EnterError::Taken { stay: there.stay, subscriber });
            }
            if !has_secret {
                why = EndReason::Silent;
            }
        }
        // Before the place is taken, so that a refusal changes nothing.
        state.rules.check_enter(grant).map_err(EnterError::Refused)?;
        replaced = state.remove(&id);
        let most = self.config().limits.max_peers_per_room;
        if state.peers().count() >= state.rules.max_peers.map_or(most, |of_room| of_room.min(most)) {
            return Err(EnterError::Refused(Error::RoomFull));
        }
        let presence =
            Presence::Connection { subscriber: Arc::clone(subscriber), secret: Secret::generate() };
        let waits = state.rules.waits(grant);
        let mut member = Member::new(presence, grant);
        member.waits = waits;
        member.take_standing(state.rules.standing(&id));
        let participant = Participant::new(self, &member);
        member.spawn(participant.clone().join_in_time());
        state.members.insert(id, member);
        drop(state);

        if let Some(connection) = replaced.as_ref().and_then(Member::subscriber) {
            connection.end(why);
        }
        Ok(participant)
    }

    /// Lets a broadcaster in, which joins at once. Returns the peers with what it can consume of them.
    pub(crate) fn enter_broadcaster(
        self: &Arc<Self>,
        grant: &mut Grant,
        profile: &mut Option<Profile>,
    ) -> Result<(Participant, Vec<ConsumablePeer>), EnterError> {
        let refuse = |error| Err(EnterError::Refused(error));
        let id = grant.identity.clone();
        let limits = &self.config().limits;
        let mut state = self.lock();
        if state.ended {
            return Err(EnterError::Ended);
        }
        if state.broadcasters().count() >= limits.max_broadcasters_per_room {
            self.tally().count(Denied::Broadcaster);
            return refuse(Error::BroadcastersOfRoom(limits.max_broadcasters_per_room));
        }
        if state.members.contains_key(&id) {
            return refuse(Error::IdTaken(id));
        }
        state.rules.check_enter(grant).map_err(EnterError::Refused)?;
        if state.rules.waits(grant) {
            // A broadcaster has nothing to wait on.
            return refuse(Error::Waiting);
        }
        let mut member = Member::new(Presence::Requests { last: Instant::now() }, grant);
        member.take_standing(state.rules.standing(&id));
        let participant = Participant::new(self, &member);
        if let Some(profile) = profile.take() {
            member.set_profile(profile);
        }
        let peers = match member.rtp_capabilities() {
            Some(rtp_capabilities) => self.consumable_peers(&state, rtp_capabilities),
            None => Vec::new(),
        };
        if let Some(profile) = &member.profile {
            let described = profile.describe(&id);
            if self.tally().may_log() {
                let name = Shown(&profile.display_name);
                info!(broadcaster = &*participant.name, %name, "broadcaster added");
            }
            if !member.may.hidden {
                state.broadcast(&id, RoomEvent::PeerJoined(described));
            }
        }
        state.members.insert(id, member);
        Ok((participant, peers))
    }

    /// The broadcaster that `grant` names, for a request about it, which keeps it in the room.
    pub(crate) fn broadcaster(self: &Arc<Self>, grant: &Grant) -> Result<Participant, Error> {
        let mut state = self.lock();
        let id = &grant.identity;
        let not_found = || Error::not_found(Thing::Broadcaster, id);
        let member = state.members.get_mut(id).ok_or_else(not_found)?;
        *member.last_request().ok_or_else(not_found)? = Instant::now();
        Ok(Participant::new(self, member))
    }

    /// The joined peers with those of their producers that fit `rtp_capabilities`.
    fn consumable_peers(&self, state: &State, rtp_capabilities: &RtpCapabilities) -> Vec<ConsumablePeer> {
        let joined = state
            .seen_peers()
            .filter_map(|(id, member)| Some((member, member.profile.as_ref()?.describe(id))));
        joined
            .map(|(member, description)| {
                let producers = member.producers.values().map(|entry| &entry.producer);
                let fitting = producers
                    .filter(|producer| self.router.can_consume(&producer.id(), rtp_capabilities))
                    .map(|producer| (producer.id(), producer.kind()));
                ConsumablePeer { description, producers: fitting.collect() }
            })
            .collect()
    }

    /// Ends the room and with it the connections of its peers.
    pub(crate) fn end(&self, why: EndReason) {
        let members = {
            let mut state = self.lock();
            state.ended = true;
            std::mem::take(&mut state.members)
        };
        for subscriber in members.values().filter_map(Member::subscriber) {
            subscriber.end(why);
        }
        drop(self.router.close());
    }

    /// Ends the room if nobody is in it.
    pub(crate) fn end_if_empty(&self) {
        let mut state = self.lock();
        state.ended |= state.members.is_empty();
    }

    /// Takes out a participant whose stay has not ended, and with the last peer all broadcasters. The caller drops what
    /// it gets, the participant first.
    fn remove(&self, participant: &Participant) -> Vec<Member> {
        let mut state = self.lock();
        if participant.member_in(&mut state).is_err() {
            return Vec::new();
        }
        let mut removed: Vec<_> = state.remove(&participant.id).into_iter().collect();
        let was_peer = removed.iter().any(Member::is_peer);
        // Broadcasters do not hold a room open that had peers.
        if was_peer && state.peers().next().is_none() {
            removed.extend(std::mem::take(&mut state.members).into_values());
        }
        state.ended |= state.members.is_empty();
        removed
    }

    fn lock(&self) -> Locked<'_> {
        self.state.lock()
    }
}

#[cfg(test)]
mod testing {
    use std::time::Duration;

    use super::*;
    use crate::{
        codecs::{self, media_codecs},
        config::RtcConfig,
        opaque::Opaque,
        placement::workers::WorkerPool,
        room::events::testing::Recorder,
    };

    pub(super) async fn room() -> Arc<Room> {
        room_with(|_| {}).await
    }

    pub(super) async fn room_with(configure: impl FnOnce(&mut ServerConfig)) -> Arc<Room> {
        let rtc = RtcConfig { port: 0, listen: vec!["127.0.0.1".parse().unwrap()], ..RtcConfig::default() };
        let worker = WorkerPool::start(1, &rtc).await.unwrap().least_loaded().unwrap();
        let mut config = ServerConfig { rtc, ..ServerConfig::default() };
        configure(&mut config);
        let shared = Shared {
            config: Arc::new(config),
            revocations: Arc::default(),
            tally: Tally::for_test(),
            plain_sockets: Arc::new(Semaphore::new(2)),
        };
        Room::make("r", worker, media_codecs(), 0, shared).await.unwrap()
    }

    /// Lets a peer in that wants all media and data, with a transport for what it receives and sends.
    pub(super) async fn join(
        room: &Arc<Room>,
        grant: &mut Grant,
        subscriber: Arc<dyn Subscriber>,
    ) -> (Participant, TransportId) {
        let peer = room.enter(grant, Claim::default(), &subscriber).unwrap();
        let asked = WebRtcRequest { with_sctp: true, consuming: true, ..WebRtcRequest::default() };
        let transport_id = peer.create_webrtc_transport(asked).await.unwrap().id();
        let mut profile = Profile::for_test(&grant.identity);
        profile.rtp_capabilities = Some(codecs::testing::all_of(room.router.rtp_capabilities()));
        profile.wants_data = true;
        peer.join(profile).unwrap();
        (peer, transport_id)
    }

    /// Joins, and sends a microphone's audio and chat.
    pub(super) async fn publish(room: &Arc<Room>) -> (Participant, ProducerId, DataProducerId) {
        let mut grant = Grant::for_test("r", "publisher");
        let (publisher, transport_id) = join(room, &mut grant, Arc::new(Recorder::default())).await;
        let rtp_parameters = codecs::testing::microphone();
        let app_data = Opaque::default();
        let produce = Produce { transport_id, kind: MediaKind::Audio, rtp_parameters, app_data };
        let producer = publisher.produce(produce).await.unwrap();
        let data_producer = publisher.produce_data(produce_data(transport_id)).await.unwrap();
        (publisher, producer, data_producer)
    }

    pub(super) fn produce_data(transport_id: TransportId) -> ProduceData {
        ProduceData {
            transport_id,
            sctp_stream_parameters: SctpStreamParameters::new_ordered(0),
            label: "chat".to_owned(),
            protocol: String::new(),
            app_data: Opaque::default(),
        }
    }

    /// Waits until `is_so`.
    pub(super) async fn until(mut is_so: impl FnMut() -> bool) {
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::*, *};
    use crate::{opaque::Opaque, room::events::testing::Recorder};

    #[tokio::test]
    async fn a_participant_is_limited_to_its_grant() {
        let room = room().await;
        let mut grant = Grant::for_test("r", "viewer");
        grant.may.publish = false;
        grant.may.publish_data = false;
        grant.may.subscribe = false;
        publish(&room).await;
        let recorder = Arc::new(Recorder::default());
        let (viewer, transport_id) = join(&room, &mut grant, recorder.clone()).await;

        let rtp_parameters = RtpParameters::default();
        let app_data = Opaque::default();
        let produce = Produce { transport_id, kind: MediaKind::Audio, rtp_parameters, app_data };
        let error = viewer.produce(produce).await.unwrap_err();
        assert!(matches!(error, Error::NotGranted("publish")), "{error}");

        let error = viewer.produce_data(produce_data(transport_id)).await.unwrap_err();
        assert!(matches!(error, Error::NotGranted("publish data")), "{error}");

        let producer = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        let error = viewer.consume(transport_id, producer).await.unwrap_err();
        assert!(matches!(error, Error::NotGranted("subscribe")), "{error}");

        // Another one, who comes later, consumes audio, chat and the bot.
        let witness =
            join(&room, &mut Grant::for_test("r", "witness"), Arc::new(Recorder::default())).await.0;
        let count = |of: &Participant| {
            of.with_member(|member| (member.consumers.len(), member.data_consumers.len())).unwrap()
        };
        until(|| count(&witness) == (1, 2)).await;
        assert_eq!(count(&viewer), (0, 0));
        let told = recorder.take();
        let is_consumer =
            |event: &RoomEvent| matches!(event, RoomEvent::NewConsumer(_) | RoomEvent::NewDataConsumer(_));
        assert!(!told.iter().any(is_consumer), "{told:?}");
        room.end(EndReason::Shutdown);
    }

    #[tokio::test]
    async fn requests_beyond_the_limits_of_a_participant_are_refused_and_counted() {
        let room = room().await;
        let subscriber: Arc<dyn Subscriber> = Arc::new(Recorder::default());
        let peer = room.enter(&mut Grant::for_test("r", "peer"), Claim::default(), &subscriber).unwrap();
        let most = room.config().limits.max_transports_per_peer;
        for _ in 0..most {
            drop(peer.create_webrtc_transport(WebRtcRequest::default()).await.unwrap());
        }
        assert_eq!(room.tally().counted(Denied::ParticipantLimit), 0);
        let error = peer.create_webrtc_transport(WebRtcRequest::default()).await.unwrap_err();
        assert!(matches!(error, Error::ParticipantLimit { what: Thing::Transport, .. }), "{error}");
        assert_eq!(room.tally().counted(Denied::ParticipantLimit), 1);
        room.end(EndReason::Shutdown);
    }

    #[tokio::test]
    async fn a_request_about_a_broadcaster_never_reaches_a_peer() {
        let room = room().await;
        let subscriber: Arc<dyn Subscriber> = Arc::new(Recorder::default());
        let mut grant = Grant::for_test("r", "peer");
        room.enter(&mut grant, Claim::default(), &subscriber).unwrap();
        let error = room.broadcaster(&Grant::for_test("r", "peer")).unwrap_err();
        assert_eq!(error.to_string(), "broadcaster with id \"peer\" not found");
        room.end(EndReason::Shutdown);
    }

    #[tokio::test]
    async fn a_claim_on_a_silent_peer_is_good_in_its_own_room_only() {
        let subscriber: Arc<dyn Subscriber> = Arc::new(Recorder::default());
        let mut grant = Grant::for_test("r", "peer");
        let (first, second) = (room().await, room().await);
        for room in [&first, &second] {
            room.enter(&mut grant, Claim::default(), &subscriber).unwrap();
        }
        let Err(EnterError::Taken { stay, .. }) = first.enter(&mut grant, Claim::default(), &subscriber)
        else {
            panic!("the place is taken");
        };
        let claim = Claim { silent: Some(stay), ..Claim::default() };
        let refused = second.enter(&mut grant, claim, &subscriber).unwrap_err();
        assert!(matches!(refused, EnterError::Taken { .. }), "{refused:?}");
        first.enter(&mut grant, claim, &subscriber).unwrap();
        first.end(EndReason::Shutdown);
        second.end(EndReason::Shutdown);
    }
}
