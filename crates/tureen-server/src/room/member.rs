//! The room's record of a participant.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    task::JoinSet,
    time::Instant,
};
use tureen::{
    consumer::Consumer, data_consumer::DataConsumer, data_producer::DataProducer,
    plain_transport::PlainTransport, prelude::*, webrtc_transport::WebRtcTransport,
};

use super::{
    events::{DataPublication, Description, Subscriber},
    rules::Standing,
    secret::Secret,
};
use crate::{
    access::{Muted, Source},
    admission::{Grant, May},
    opaque::Opaque,
    per_address::Slot,
    placement::workers::LoadUnit,
    tally::Shown,
};

/// Number of stays so far. All rooms count together, so that no claim on a stay is good in a later room of the same id.
static STAYS: AtomicU64 = AtomicU64::new(0);

/// The room's record of a participant. Dropping it closes all its media and ends its tasks, even while others hold
/// handles of its media.
pub(super) struct Member {
    pub(super) id: Arc<str>,
    /// Room and id, for log lines.
    pub(super) name: Arc<str>,
    /// Number of the stay, which tells it from all others.
    pub(super) stay: u64,
    presence: Presence,
    pub(super) may: May,
    /// Sources that a moderator has muted.
    pub(super) muted: Muted,
    /// It waits in the lobby.
    pub(super) waits: bool,
    /// Display name that it gave when it asked to join while it waited.
    pub(super) knocked: Option<String>,
    /// Display name that its token gives.
    given_name: Option<String>,
    /// Set when it joins.
    pub(super) profile: Option<Profile>,
    /// True once it has joined, for consumers that were made before.
    pub(super) has_joined: watch::Sender<bool>,
    /// RTP capabilities of a peer that prepares to join.
    pub(super) prepared: Option<RtpCapabilities>,
    /// Producers of which the room made consumers for this member, or tried to.
    pub(super) offered: HashSet<ProducerId>,
    pub(super) transports: HashMap<TransportId, TransportEntry>,
    pub(super) producers: HashMap<ProducerId, ProducerEntry>,
    pub(super) consumers: HashMap<ConsumerId, ConsumerEntry>,
    pub(super) data_producers: HashMap<DataProducerId, DataProducerEntry>,
    pub(super) data_consumers: HashMap<DataConsumerId, DataConsumerEntry>,
    tasks: JoinSet<()>,
    _slot: Option<Slot>,
}

/// The thing that keeps a participant in the room.
pub(super) enum Presence {
    /// A peer: its connection, which is told what happens. It holds the room open.
    Connection { subscriber: Arc<dyn Subscriber>, secret: Secret },
    /// A broadcaster: requests about it and its media, the last request at this time.
    Requests { last: Instant },
}

/// Description that a participant gives of itself when it joins.
pub(crate) struct Profile {
    pub(crate) display_name: String,
    pub(crate) device: Opaque,
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
    /// False for a client without data channels.
    pub(crate) wants_data: bool,
}

/// A transport of a participant.
#[derive(Clone)]
pub(crate) enum MediaTransport {
    WebRtc(WebRtcTransport),
    Plain(PlainTransport),
}

pub(super) struct TransportEntry {
    pub(super) transport: MediaTransport,
    /// The room makes consumers on this one.
    pub(super) consuming: bool,
    /// Permits for the sockets of a plain transport.
    pub(super) _sockets: Option<OwnedSemaphorePermit>,
    pub(super) _load: LoadUnit,
}

pub(super) struct ProducerEntry {
    pub(super) producer: Producer,
    pub(super) source: Source,
    pub(super) app_data: Opaque,
}

pub(super) struct ConsumerEntry {
    pub(super) consumer: Consumer,
    pub(super) transport_id: TransportId,
    pub(super) _place: ConsumerPlace,
}

pub(super) struct DataProducerEntry {
    pub(super) data_producer: DataProducer,
    pub(super) publication: DataPublication,
    pub(super) _heard_by_bot: Option<DataConsumer>,
}

pub(super) struct DataConsumerEntry {
    pub(super) data_consumer: DataConsumer,
    pub(super) transport_id: TransportId,
}

/// A consumer's place among those that its room and its worker may have.
pub(super) struct ConsumerPlace {
    pub(super) in_room: Arc<AtomicUsize>,
    pub(super) _in_worker: LoadUnit,
}

impl Drop for ConsumerPlace {
    fn drop(&mut self) {
        self.in_room.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Member {
    pub(super) fn new(presence: Presence, grant: &mut Grant) -> Self {
        Self {
            id: grant.identity.as_str().into(),
            name: format!("{}/{}", Shown(&grant.room), Shown(&grant.identity)).into(),
            stay: STAYS.fetch_add(1, Ordering::Relaxed),
            presence,
            may: grant.may,
            muted: Muted::default(),
            waits: false,
            knocked: None,
            given_name: grant.name.take(),
            profile: None,
            has_joined: watch::Sender::new(false),
            prepared: None,
            offered: HashSet::new(),
            transports: HashMap::new(),
            producers: HashMap::new(),
            consumers: HashMap::new(),
            data_producers: HashMap::new(),
            data_consumers: HashMap::new(),
            tasks: JoinSet::new(),
            _slot: grant.slot.take(),
        }
    }

    /// True for a participant with a connection, false for a broadcaster.
    pub(super) fn is_peer(&self) -> bool {
        matches!(self.presence, Presence::Connection { .. })
    }

    pub(super) fn subscriber(&self) -> Option<&Arc<dyn Subscriber>> {
        match &self.presence {
            Presence::Connection { subscriber, .. } => Some(subscriber),
            Presence::Requests { .. } => None,
        }
    }

    /// Secret with which the client of a peer gets its place back.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match &self.presence {
            Presence::Connection { secret, .. } => Some(secret),
            Presence::Requests { .. } => None,
        }
    }

    /// Time of the last request about a broadcaster.
    pub(super) fn last_request(&mut self) -> Option<&mut Instant> {
        match &mut self.presence {
            Presence::Connection { .. } => None,
            Presence::Requests { last } => Some(last),
        }
    }

    /// True for one that has joined and is not hidden.
    pub(super) fn is_seen(&self) -> bool {
        self.profile.is_some() && !self.may.hidden
    }

    /// Takes over what moderators decided about it at an earlier stay. Moderators keep their rights.
    pub(super) fn take_standing(&mut self, standing: Standing) {
        self.muted = standing.muted;
        if let Some(may) = standing.may {
            self.may = May { moderate: self.may.moderate, ..may };
        }
    }

    /// Name of its token, where it may not choose one.
    pub(super) fn given_name(&self) -> Option<&str> {
        self.given_name.as_deref().filter(|_| !self.may.rename)
    }

    /// Takes how the participant describes itself. The name is that of its token, unless it may choose one.
    pub(super) fn set_profile(&mut self, mut profile: Profile) -> &Profile {
        if let Some(name) = self.given_name() {
            profile.display_name = name.to_owned();
        }
        self.profile.insert(profile)
    }

    /// RTP capabilities, once it has told them.
    pub(super) fn rtp_capabilities(&self) -> Option<&RtpCapabilities> {
        match &self.profile {
            Some(profile) => profile.rtp_capabilities.as_ref(),
            None => self.prepared.as_ref(),
        }
    }

    /// Starts a task that ends with the member.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }

    /// Closes all transports, and with them all media. The future is done when the worker has closed them.
    pub(super) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        join_all(self.transports.values().map(|entry| entry.transport.close())).map(drop)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        for entry in self.transports.values() {
            drop(entry.transport.close());
        }
    }
}

impl Profile {
    pub(super) fn describe(&self, id: &str) -> Description {
        Description {
            id: id.to_owned(),
            display_name: self.display_name.clone(),
            device: self.device.clone(),
        }
    }
}

impl MediaTransport {
    pub(super) fn as_transport(&self) -> &dyn Transport {
        match self {
            Self::WebRtc(transport) => transport,
            Self::Plain(transport) => transport,
        }
    }

    /// Closes it with all that is on it. The future is done when the worker has closed it.
    pub(super) fn close(&self) -> BoxFuture<'static, ()> {
        match self {
            Self::WebRtc(transport) => transport.close().boxed(),
            Self::Plain(transport) => transport.close().boxed(),
        }
    }

    /// Bytes that have come by it so far; none by one that is being closed.
    pub(super) async fn bytes_received(&self) -> u64 {
        match self {
            Self::WebRtc(transport) => transport.get_stats().await.map_or(0, |stats| stats[0].bytes_received),
            Self::Plain(transport) => transport.get_stats().await.map_or(0, |stats| stats[0].bytes_received),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Membership of a peer that has not joined.
    pub(crate) fn peer(id: &str, subscriber: Arc<dyn Subscriber>) -> Member {
        let presence = Presence::Connection { subscriber, secret: Secret::generate() };
        Member::new(presence, &mut Grant::for_test("room", id))
    }

    impl Profile {
        /// Options of a member that receives nothing.
        pub(crate) fn for_test(display_name: &str) -> Self {
            Self {
                display_name: display_name.to_owned(),
                device: Opaque::default(),
                rtp_capabilities: None,
                wants_data: false,
            }
        }
    }
}
