//! State of a worker: one table for each kind of entity.

use std::fmt::Display;
use std::hash::Hash;
use std::ops::{Index, IndexMut};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use slotmap::{Key, SlotMap};

use crate::api::{
    ConsumerId, DataConsumerId, DataProducerId, ProducerId, RequestError, RouterId, RtpObserverId,
    TransportId,
};
use crate::data::{DataConsumer, DataProducer};
use crate::keys::{ConsumerKey, DataConsumerKey, DataProducerKey, ObserverKey, ProducerKey, TransportKey};
use crate::media::consumer::Consumer;
use crate::media::producer::Producer;
use crate::transport::Transport;
use crate::worker::control::observers::RtpObserver;
use crate::worker::control::routers::Router;

/// Routers and everything that belongs to them.
#[derive(Debug, Default)]
pub(crate) struct Media {
    pub(crate) routers: HashMap<RouterId, Router>,
    pub(crate) transports: Table<TransportKey, Transport>,
    pub(crate) producers: Table<ProducerKey, Producer>,
    pub(crate) consumers: Table<ConsumerKey, Consumer>,
    pub(crate) observers: Table<ObserverKey, RtpObserver>,
    pub(crate) data_producers: Table<DataProducerKey, DataProducer>,
    pub(crate) data_consumers: Table<DataConsumerKey, DataConsumer>,
}

/// Entity with an identifier that the application assigned.
pub(crate) trait Identified {
    type Id: Clone + Eq + Hash + Display;
    /// Name of the kind in errors.
    const KIND: &'static str;

    fn id(&self) -> &Self::Id;
}

/// Entities of one kind, by key and by identifier.
#[derive(Debug)]
pub(crate) struct Table<K: Key, T: Identified> {
    things: SlotMap<K, T>,
    keys: HashMap<T::Id, K>,
}

impl<K: Key, T: Identified> Table<K, T> {
    pub(crate) fn insert(&mut self, thing: T) -> K {
        let id = thing.id().clone();
        let key = self.things.insert(thing);
        self.keys.insert(id, key);
        key
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let thing = self.things.remove(key)?;
        self.keys.remove(thing.id());
        Some(thing)
    }

    /// Returns the entity of a key that the worker still holds. Closing an entity removes its key everywhere, so `None`
    /// is a bug: a debug build panics, a release build logs an error and continues.
    #[inline]
    #[track_caller]
    pub(crate) fn live(&self, key: K) -> Option<&T> {
        let thing = self.things.get(key);
        if thing.is_none() {
            stale::<T>();
        }
        thing
    }

    /// Mutable [`live`](Self::live).
    #[inline]
    #[track_caller]
    pub(crate) fn live_mut(&mut self, key: K) -> Option<&mut T> {
        let thing = self.things.get_mut(key);
        if thing.is_none() {
            stale::<T>();
        }
        thing
    }

    /// Returns the entity of a key, or `None` if the entity was closed.
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.things.get(key)
    }

    /// Mutable [`get`](Self::get).
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.things.get_mut(key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.things.values()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &T::Id> {
        self.keys.keys()
    }

    pub(crate) fn key(&self, id: &T::Id) -> Option<K> {
        self.keys.get(id).copied()
    }

    /// Returns the key of the entity that a request names.
    ///
    /// # Errors
    /// `NotFound` with kind and identifier.
    pub(crate) fn find(&self, id: &T::Id) -> Result<K, RequestError> {
        self.key(id).ok_or_else(|| not_found(T::KIND, id))
    }

    /// Returns the entity that a request names.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn find_mut(&mut self, id: &T::Id) -> Result<&mut T, RequestError> {
        let key = self.find(id)?;
        Ok(&mut self[key])
    }

    /// Checks that no entity has this identifier.
    ///
    /// # Errors
    /// `Duplicate` with kind and identifier.
    pub(crate) fn check_new(&self, id: &T::Id) -> Result<(), RequestError> {
        match self.key(id) {
            Some(_) => Err(RequestError::Duplicate { kind: T::KIND, id: id.to_string() }),
            None => Ok(()),
        }
    }
}

impl<K: Key, T: Identified> Index<K> for Table<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, key: K) -> &T {
        &self.things[key]
    }
}

impl<K: Key, T: Identified> IndexMut<K> for Table<K, T> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        &mut self.things[key]
    }
}

impl<K: Key, T: Identified> Default for Table<K, T> {
    fn default() -> Self {
        Self { things: SlotMap::with_key(), keys: HashMap::new() }
    }
}

/// Reports a key that is still in use after its entity was closed.
#[cold]
#[track_caller]
fn stale<T: Identified>() {
    debug_assert!(false, "a key of a closed {} is still in use", T::KIND);
    // The number of log lines is limited, because every packet may use such a key.
    if STALE_KEYS.fetch_add(1, Ordering::Relaxed) < MAX_STALE_LINES {
        let place = Location::caller();
        tracing::error!(%place, "a key of a closed {} is still in use", T::KIND);
    }
}

/// Stale keys of this process, for the bound of their log lines.
static STALE_KEYS: AtomicU64 = AtomicU64::new(0);
const MAX_STALE_LINES: u64 = 16;

macro_rules! identified {
    ($($kind:ident: $id:ident),* $(,)?) => {
        $(impl Identified for $kind {
            type Id = $id;
            const KIND: &'static str = stringify!($kind);

            fn id(&self) -> &$id {
                &self.id
            }
        })*
    };
}

identified! {
    Transport: TransportId,
    Producer: ProducerId,
    Consumer: ConsumerId,
    RtpObserver: RtpObserverId,
    DataProducer: DataProducerId,
    DataConsumer: DataConsumerId,
}

pub(crate) fn not_found(kind: &'static str, id: &impl Display) -> RequestError {
    RequestError::NotFound { kind, id: id.to_string() }
}
