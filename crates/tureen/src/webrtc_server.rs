//! A WebRtcServer: sockets that many WebRTC transports of one worker share.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use hash_hasher::HashedSet;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tureen_core::api::{self, Request, Response};

use crate::data_structures::{AppData, ListenInfo};
use crate::ids::uuid_id;
use crate::transport::TransportId;
use crate::webrtc_transport::WebRtcTransport;
use crate::worker::{RequestError, Worker};

uuid_id!(
    /// [`WebRtcServer`] identifier.
    WebRtcServerId <=> api::WebRtcServerId
);

/// What a WebRtcServer listens on: at least one [`ListenInfo`].
#[derive(Debug, Clone, Eq, PartialEq, Serialize)]
pub struct WebRtcServerListenInfos(Vec<ListenInfo>);

impl WebRtcServerListenInfos {
    /// With one socket.
    #[must_use]
    pub fn new(listen_info: ListenInfo) -> Self {
        Self(vec![listen_info])
    }

    /// With one socket more.
    #[must_use]
    pub fn insert(mut self, listen_info: ListenInfo) -> Self {
        self.0.push(listen_info);
        self
    }
}

impl Deref for WebRtcServerListenInfos {
    type Target = Vec<ListenInfo>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The list of listen infos is empty.
#[derive(Error, Debug, Eq, PartialEq)]
#[error("Empty list of listen infos provided, should have at least one element")]
pub struct EmptyListError;

impl TryFrom<Vec<ListenInfo>> for WebRtcServerListenInfos {
    type Error = EmptyListError;

    fn try_from(listen_infos: Vec<ListenInfo>) -> Result<Self, Self::Error> {
        if listen_infos.is_empty() { Err(EmptyListError) } else { Ok(Self(listen_infos)) }
    }
}

/// [`WebRtcServer`] options.
#[derive(Debug)]
#[non_exhaustive]
pub struct WebRtcServerOptions {
    /// Its sockets, the preferred one first.
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

/// A local address.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[doc(hidden)]
pub struct WebRtcServerIpPort {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
}

/// Which transport has which ICE user name.
#[derive(Debug, Clone, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct WebRtcServerIceUsernameFragment {
    /// ICE user name.
    pub local_ice_username_fragment: String,
    /// Transport.
    #[serde(rename = "webRtcTransportId")]
    pub webrtc_transport_id: TransportId,
}

/// What a WebRtcServer holds.
#[derive(Debug, Clone, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct WebRtcServerDump {
    /// Its identifier.
    pub id: WebRtcServerId,
    /// Its UDP sockets.
    pub udp_sockets: Vec<WebRtcServerIpPort>,
    /// Its TCP listeners.
    pub tcp_servers: Vec<WebRtcServerIpPort>,
    /// The transports on it.
    #[serde(rename = "webRtcTransportIds")]
    pub webrtc_transport_ids: HashedSet<TransportId>,
    /// How their connectivity checks are told apart.
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

/// Sockets that many [`WebRtcTransport`]s of one worker share, so that an application needs only one port for each
/// worker.
#[derive(Clone)]
#[must_use = "the WebRTC server is closed when its last handle is dropped"]
pub struct WebRtcServer {
    inner: Arc<Inner>,
}

struct Inner {
    id: WebRtcServerId,
    handlers: Handlers,
    app_data: AppData,
    closed: AtomicBool,
    on_worker_close: OnceLock<HandlerId>,
    worker: Worker,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    new_webrtc_transport: Bag<Arc<dyn Fn(&WebRtcTransport) + Send + Sync>, WebRtcTransport>,
    worker_close: BagOnce<Box<dyn FnOnce() + Send>>,
    close: BagOnce<Box<dyn FnOnce() + Send>>,
}

impl WebRtcServer {
    pub(crate) fn new(id: WebRtcServerId, app_data: AppData, worker: Worker) -> Self {
        let inner = Arc::new(Inner {
            id,
            handlers: Handlers::default(),
            app_data,
            closed: AtomicBool::new(false),
            on_worker_close: OnceLock::new(),
            worker,
        });
        let weak = Arc::downgrade(&inner);
        let handler = inner.worker.on_close(move || {
            if let Some(inner) = weak.upgrade() {
                inner.handlers.worker_close.call_simple();
                inner.close(false);
            }
        });
        inner.on_worker_close.get_or_init(|| handler);
        Self { inner }
    }

    /// WebRTC server id.
    #[must_use]
    pub fn id(&self) -> WebRtcServerId {
        self.inner.id
    }

    /// Its worker.
    pub fn worker(&self) -> &Worker {
        &self.inner.worker
    }

    /// Custom application data.
    #[must_use]
    pub fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    /// Whether the WebRTC server is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// Describes the WebRTC server.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<WebRtcServerDump, RequestError> {
        match self.inner.worker.channel().request(Request::DumpWebRtcServer(self.id().into())).await? {
            Response::WebRtcServerDump(dump) => Ok(dump.into()),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Called when its worker is closed for whatever reason, and the WebRTC server with it.
    pub fn on_worker_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.worker_close.add(Box::new(callback))
    }

    /// Called with each new [`WebRtcTransport`] on this WebRTC server.
    pub fn on_new_webrtc_transport<F>(&self, callback: F) -> HandlerId
    where
        F: Fn(&WebRtcTransport) + Send + 'static,
    {
        // One call at a time is all that a callback without `Sync` allows.
        let callback = Mutex::new(callback);
        self.inner.handlers.new_webrtc_transport.add(Arc::new(move |transport| callback.lock()(transport)))
    }

    /// Called when the WebRTC server is closed for whatever reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        let handler_id = self.inner.handlers.close.add(Box::new(callback));
        if self.closed() {
            self.inner.handlers.close.call_simple();
        }
        handler_id
    }

    pub(crate) fn announce(&self, webrtc_transport: &WebRtcTransport) {
        self.inner.handlers.new_webrtc_transport.call_simple(webrtc_transport);
    }

    /// Closes it while there are handles. Only with the feature `test-util`; not in the mediasoup crate.
    #[cfg(any(test, feature = "test-util"))]
    pub fn close(&self) {
        self.inner.close(true);
    }
}

impl Inner {
    fn close(&self, tell_worker: bool) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.handlers.close.call_simple();
            if tell_worker {
                self.worker.channel().close(Request::CloseWebRtcServer(self.id.into()));
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(true);
    }
}

impl fmt::Debug for WebRtcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtcServer")
            .field("id", &self.inner.id)
            .field("worker", &self.inner.worker)
            .field("closed", &self.closed())
            .finish()
    }
}
