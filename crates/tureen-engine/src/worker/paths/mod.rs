//! Paths between transports and their remote endpoints: sockets, and the tuples of each transport.

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
    /// Transports with sockets that are not bound yet.
    pub(crate) pending_transports: HashMap<TransportKey, Pending>,
    /// Sockets of PlainTransports with `comedia` that wait for proof of their remote endpoint.
    pub(crate) latching: HashMap<SocketId, TransportKey>,
    /// Tuples of transports: validated by ICE, given by the application, or latched.
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
