//! How transports reach their remote sides: sockets, and which transport a path belongs to.

use std::sync::Arc;

use hashbrown::HashMap;

use super::server::{Pending, WebRtcServer};
use super::sockets::Sockets;
use crate::api::WebRtcServerId;
use crate::keys::TransportKey;
use tureen_rtc::dtls::DtlsConfig;
use tureen_rtc::tuple::{SocketId, Tuple};

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) dtls_config: Arc<DtlsConfig>,
    pub(super) servers: HashMap<WebRtcServerId, WebRtcServer>,
    pub(super) sockets: Sockets,
    /// Transports whose sockets are not all bound yet.
    pub(super) pending_transports: HashMap<TransportKey, Pending>,
    /// Sockets of PlainTransports with `comedia` that wait for their first packet.
    pub(super) latching: HashMap<SocketId, TransportKey>,
    /// Paths whose transport is known: ICE has validated them, or they were given or latched.
    pub(super) tuples: HashMap<Tuple, TransportKey, foldhash::fast::RandomState>,
}

impl Paths {
    pub(super) fn new(dtls_config: DtlsConfig) -> Self {
        Self {
            dtls_config: Arc::new(dtls_config),
            servers: HashMap::new(),
            sockets: Sockets::default(),
            pending_transports: HashMap::new(),
            latching: HashMap::new(),
            tuples: HashMap::default(),
        }
    }
}
