//! How transports reach their remote sides: sockets, and which transport a path belongs to.

pub(crate) mod dtls;
pub(crate) mod ice;
pub(crate) mod latching;
pub(crate) mod servers;
pub(crate) mod sockets;
pub(crate) mod tcp;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::api::WebRtcServerId;
use crate::keys::TransportKey;
use crate::worker::paths::servers::{Pending, WebRtcServer};
use crate::worker::paths::sockets::Sockets;
use tureen_rtc::dtls::DtlsConfig;
use tureen_rtc::tuple::{SocketId, Tuple};

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) dtls_config: Arc<DtlsConfig>,
    pub(crate) servers: HashMap<WebRtcServerId, WebRtcServer>,
    pub(crate) sockets: Sockets,
    /// Transports whose sockets are not all bound yet.
    pub(crate) pending_transports: HashMap<TransportKey, Pending>,
    /// Sockets of PlainTransports with `comedia` that wait for their first packet.
    pub(crate) latching: HashMap<SocketId, TransportKey>,
    /// Paths whose transport is known: ICE has validated them, or they were given or latched.
    pub(crate) tuples: HashMap<Tuple, TransportKey, foldhash::fast::RandomState>,
}

impl Paths {
    pub(crate) fn new(dtls_config: DtlsConfig) -> Self {
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
