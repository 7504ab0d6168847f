//! A WebRtcServer: sockets that many WebRtcTransports share, told apart by ICE user name until their paths are known.

use hashbrown::HashMap;

use crate::api::RequestId;
use crate::keys::TransportKey;
use tureen_rtc::tuple::SocketId;

/// One WebRtcServer.
#[derive(Debug)]
pub(super) struct WebRtcServer {
    pub(super) sockets: Vec<SocketId>,
    pub(super) transports: Vec<TransportKey>,
    /// ICE user names, those of a restart in progress included.
    pub(super) ufrags: HashMap<String, TransportKey>,
    /// The request that waits for sockets to be bound.
    pub(super) pending: Option<Pending>,
}

/// A request that waits for sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) request: RequestId,
    pub(super) unbound: usize,
}
