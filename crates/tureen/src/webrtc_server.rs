//! Sockets that many WebRTC transports of one worker share.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use event_listener_primitives::{Bag, HandlerId};
use hash_hasher::HashedSet;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tureen_engine::api::{self, Request, Response};

use crate::data_structures::AppData;
use crate::ids::uuid_id;
use crate::listen_infos::listen_infos;
use crate::object::{Object, ObjectId, close_with_parent};
use crate::transport::TransportId;
use crate::webrtc_transport::WebRtcTransport;
use crate::worker::{RequestError, Worker};

uuid_id!(
    /// [`WebRtcServer`] identifier.
    WebRtcServerId <=> api::WebRtcServerId
);

impl ObjectId for WebRtcServerId {
    type Parent = Worker;

    fn close_request(self) -> Request {
        Request::CloseWebRtcServer(self.into())
    }
}

listen_infos! {
    /// Sockets of a WebRtcServer: at least one [`ListenInfo`](crate::data_structures::ListenInfo).
    WebRtcServerListenInfos,
    empty: "Empty list of listen infos provided, should have at least one element"
}

/// [`WebRtcServer`] options.
#[derive(Debug)]
#[non_exhaustive]
pub struct WebRtcServerOptions {
    /// Sockets, the preferred one first.
    pub listen_infos: WebRtcServerListenInfos,
    /// Custom application data.
    pub app_data: AppData,
}

impl WebRtcServerOptions {
    /// Options with the given sockets.
    pub fn new(listen_infos: WebRtcServerListenInfos) -> Self {
        Self { listen_infos, app_data: AppData::default() }
    }
}

/// Local address of a socket.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[doc(hidden)]
pub struct WebRtcServerIpPort {
    /// IP address.
    pub ip: IpAddr,
    /// Port number.
    pub port: u16,
}

/// ICE user name fragment of a transport.
#[derive(Debug, Clone, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct WebRtcServerIceUsernameFragment {
    /// Local ICE user name fragment.
    pub local_ice_username_fragment: String,
    /// Transport with that fragment.
    #[serde(rename = "webRtcTransportId")]
    pub webrtc_transport_id: TransportId,
}

/// State of a WebRtcServer.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct WebRtcServerDump {
    /// Identifier of the WebRTC server.
    pub id: WebRtcServerId,
    /// UDP sockets.
    pub udp_sockets: Vec<WebRtcServerIpPort>,
    /// TCP listeners.
    pub tcp_servers: Vec<WebRtcServerIpPort>,
    /// Transports on the WebRTC server.
    #[serde(rename = "webRtcTransportIds")]
    pub webrtc_transport_ids: HashedSet<TransportId>,
    /// ICE user name fragments of the transports.
    pub local_ice_username_fragments: Vec<WebRtcServerIceUsernameFragment>,
}

impl From<api::WebRtcServerDump> for WebRtcServerDump {
    fn from(dump: api::WebRtcServerDump) -> Self {
        let ip_ports = |sockets: Vec<api::IpPort>| {
            sockets
                .into_iter()
                .map(|socket| WebRtcServerIpPort { ip: socket.ip, port: socket.port })
                .collect()
        };
        Self {
            id: dump.id.into(),
            udp_sockets: ip_ports(dump.udp_sockets),
            tcp_servers: ip_ports(dump.tcp_servers),
            webrtc_transport_ids: dump.webrtc_transport_ids.into_iter().map(Into::into).collect(),
            local_ice_username_fragments: dump
                .local_ice_username_fragments
                .into_iter()
                .map(|(local_ice_username_fragment, transport_id)| WebRtcServerIceUsernameFragment {
                    local_ice_username_fragment,
                    webrtc_transport_id: transport_id.into(),
                })
                .collect(),
        }
    }
}

/// Sockets that many [`WebRtcTransport`]s of one worker share, so that an application needs one port for each worker
/// only.
#[derive(Clone)]
#[must_use = "the WebRTC server is closed when its last handle is dropped"]
pub struct WebRtcServer {
    inner: Arc<Inner>,
}

struct Inner {
    object: Object<WebRtcServerId>,
    handlers: Handlers,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    new_webrtc_transport: Bag<Arc<dyn Fn(&WebRtcTransport) + Send + Sync>, WebRtcTransport>,
}

impl WebRtcServer {
    pub(crate) fn new(id: WebRtcServerId, app_data: AppData, worker: Worker) -> Self {
        let inner =
            Arc::new(Inner { object: Object::new(id, app_data, worker), handlers: Handlers::default() });
        close_with_parent(&inner, |inner| &inner.object);
        Self { inner }
    }

    /// Identifier of the WebRTC server.
    #[must_use]
    pub fn id(&self) -> WebRtcServerId {
        self.inner.object.id()
    }

    /// Worker of the WebRTC server.
    pub fn worker(&self) -> &Worker {
        self.inner.object.parent()
    }

    /// Custom application data.
    #[must_use]
    pub fn app_data(&self) -> &AppData {
        self.inner.object.app_data()
    }

    /// True if the WebRTC server is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.inner.object.closed()
    }

    /// Describes the WebRTC server.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<WebRtcServerDump, RequestError> {
        match self.inner.object.request(Request::DumpWebRtcServer(self.id().into())).await? {
            Response::WebRtcServerDump(dump) => Ok(dump.into()),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Calls `callback` when the worker is closed for any reason, and the WebRTC server with it.
    pub fn on_worker_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.object.on_parent_close(Box::new(callback))
    }

    /// Calls `callback` with each new [`WebRtcTransport`] on the WebRTC server.
    pub fn on_new_webrtc_transport<F>(&self, callback: F) -> HandlerId
    where
        F: Fn(&WebRtcTransport) + Send + 'static,
    {
        // Locked, because a callback without `Sync` allows only one call at a time.
        let callback = Mutex::new(callback);
        self.inner.handlers.new_webrtc_transport.add(Arc::new(move |transport| callback.lock()(transport)))
    }

    /// Calls `callback` when the WebRTC server is closed for any reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.object.on_close(Box::new(callback))
    }

    pub(crate) fn announce(&self, webrtc_transport: &WebRtcTransport) {
        self.inner.handlers.new_webrtc_transport.call_simple(webrtc_transport);
    }

    /// Closes the WebRTC server even if other handles of it are left. Only with the feature `test-util`; not in the
    /// mediasoup crate.
    #[cfg(any(test, feature = "test-util"))]
    pub fn close(&self) {
        self.inner.object.close();
    }
}

impl fmt::Debug for WebRtcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtcServer")
            .field("id", &self.id())
            .field("worker", self.worker())
            .field("closed", &self.closed())
            .finish()
    }
}
