//! Routers: groups of transports whose Producers and Consumers can be connected.

use std::time::Instant;

use crate::api::{RequestError, RouterId};
use crate::keys::{ObserverKey, TransportKey};
use crate::worker::arena;
use crate::worker::arena::Media;
use crate::worker::control::{observers, transports};
use crate::worker::out::Out;
use crate::worker::paths::Paths;

/// Router. The Producers, Consumers and data entities of its transports belong to it.
#[derive(Debug, Default)]
pub(crate) struct Router {
    pub(crate) transports: Vec<TransportKey>,
    pub(crate) observers: Vec<ObserverKey>,
}

pub(crate) fn create_router(media: &mut Media, id: RouterId) -> Result<(), RequestError> {
    if media.routers.contains_key(&id) {
        return Err(RequestError::Duplicate { kind: "Router", id: id.to_string() });
    }
    media.routers.insert(id, Router::default());
    Ok(())
}

pub(crate) fn close_router(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &RouterId,
) -> Result<(), RequestError> {
    let router = media.routers.remove(id).ok_or_else(|| arena::not_found("Router", id))?;
    // Observers are closed first, so that they send no events about Producers that are closed with them.
    for key in router.observers {
        observers::close_observer(media, out, key);
    }
    for key in router.transports {
        transports::close_transport(media, paths, out, now, key);
    }
    Ok(())
}
