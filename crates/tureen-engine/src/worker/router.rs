//! A Router: the set of transports whose producers and consumers may be connected.

use crate::keys::{ObserverKey, TransportKey};

/// One Router. What its transports hold belongs to it.
#[derive(Debug, Default)]
pub(super) struct Router {
    pub(super) transports: Vec<TransportKey>,
    pub(super) observers: Vec<ObserverKey>,
}
