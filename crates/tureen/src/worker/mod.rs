//! One thread of the operating system that handles the media of its [`Router`]s.

mod error;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use serde::{Deserialize, Serialize};
use tureen_engine::api::{CreateWebRtcServer, Request, Response};
use tureen_net::NetStats;
use uuid::Uuid;

pub use self::error::{
    CreateRouterError, CreateWebRtcServerError, ExitError, NotificationError, RequestError,
};
pub use self::settings::{
    DtlsBackend, DtlsOptions, DtlsVersions, Limits, NetConfig, QueueLimits, WorkerDtlsFiles, WorkerLogLevel,
    WorkerLogTag, WorkerSettings, WorkerUpdateSettings,
};
use crate::data_structures::AppData;
use crate::ids::uuid_id;
use crate::ortc;
pub use crate::ortc::RtpCapabilitiesError;
use crate::router::{Router, RouterId, RouterOptions};
use crate::threads::log::LogSettings;
use crate::threads::{self, Channel, CloseOnDrop, Dispatcher};
use crate::webrtc_server::{WebRtcServer, WebRtcServerId, WebRtcServerOptions};
use crate::worker_manager::WorkerManager;

uuid_id!(
    /// Worker identifier.
    WorkerId
);

/// Objects of a worker that receive requests.
#[derive(Debug, Clone, Deserialize, Serialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct ChannelMessageHandlers {
    /// WebRTC servers and routers of the worker.
    pub channel_request_handlers: Vec<Uuid>,
    /// Always empty, because notifications have no handlers of their own.
    pub channel_notification_handlers: Vec<Uuid>,
}

/// State of a worker.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct WorkerDump {
    /// Routers of the worker.
    pub router_ids: Vec<RouterId>,
    /// WebRTC servers of the worker.
    #[serde(rename = "webRtcServerIds")]
    pub webrtc_server_ids: Vec<WebRtcServerId>,
    /// Objects that receive requests.
    pub channel_message_handlers: ChannelMessageHandlers,
}

/// One thread of the operating system that handles the media of its [`Router`]s.
///
/// Use one worker for each CPU core. Workers never wait for one another; a panic ends the thread of one worker only
/// ([`Worker::on_dead`]).
///
/// A Worker is a handle. The thread ends when the last handle of the worker and of everything in it is dropped.
#[derive(Clone)]
#[must_use = "the worker ends when its last handle is dropped"]
pub struct Worker {
    inner: Arc<Inner>,
}

struct Inner {
    id: WorkerId,
    channel: Channel,
    dispatcher: Dispatcher,
    log: LogSettings,
    state: Arc<State>,
    app_data: AppData,
    // The last field, because the manager's drop waits for the thread that `drop` of this struct ends.
    worker_manager: WorkerManager,
}

/// The part that the end of the thread changes.
#[derive(Default)]
struct State {
    closed: AtomicBool,
    handlers: Handlers,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    new_router: Bag<Arc<dyn Fn(&Router) + Send + Sync>, Router>,
    new_webrtc_server: Bag<Arc<dyn Fn(&WebRtcServer) + Send + Sync>, WebRtcServer>,
    dead: BagOnce<Box<dyn FnOnce(Result<(), ExitError>) + Send>>,
    close: BagOnce<Box<dyn FnOnce() + Send>>,
}

impl Worker {
    /// Starts a worker. `exited` is dropped when its thread ends.
    pub(crate) async fn new(
        settings: WorkerSettings,
        worker_manager: WorkerManager,
        exited: mpsc::Sender<()>,
    ) -> io::Result<Self> {
        let id = WorkerId::new();
        let state = Arc::<State>::default();
        let on_exit = {
            let state = Arc::clone(&state);
            Box::new(move |result| state.on_exit(result))
        };
        let (settings, app_data) = settings.into_thread_settings(id)?;
        let log = settings.log.clone();
        let (channel, dispatcher) = threads::start(settings, on_exit, exited).await?;
        Ok(Self { inner: Arc::new(Inner { id, channel, dispatcher, log, state, app_data, worker_manager }) })
    }

    /// Identifier of the worker.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.inner.id
    }

    /// Manager that created the worker.
    pub fn worker_manager(&self) -> &WorkerManager {
        &self.inner.worker_manager
    }

    /// Custom application data.
    #[must_use]
    pub fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    /// True if the worker is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.inner.state.closed.load(Ordering::SeqCst)
    }

    /// Describes the worker.
    ///
    /// # Errors
    /// See [`RequestError`].
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<WorkerDump, RequestError> {
        match self.inner.channel.request(Request::DumpWorker).await? {
            Response::WorkerDump(dump) => {
                let router_ids: Vec<RouterId> = dump.router_ids.into_iter().map(Into::into).collect();
                let webrtc_server_ids: Vec<WebRtcServerId> =
                    dump.webrtc_server_ids.into_iter().map(Into::into).collect();
                let servers = webrtc_server_ids.iter().map(|&id| id.into());
                let handlers = servers.chain(router_ids.iter().map(|&id| id.into())).collect();
                let channel_message_handlers = ChannelMessageHandlers {
                    channel_request_handlers: handlers,
                    channel_notification_handlers: Vec::new(),
                };
                Ok(WorkerDump { router_ids, webrtc_server_ids, channel_message_handlers })
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Counters of the worker's sockets: datagrams, system calls, drops, and lengths of GSO runs. Not in the
    /// mediasoup crate.
    ///
    /// # Errors
    /// `ChannelClosed` if the worker is closed.
    pub async fn net_stats(&self) -> Result<NetStats, RequestError> {
        self.inner.channel.net_stats().await
    }

    /// Datagrams that the worker has dropped since its creation, by reason, over all transports. Not in the mediasoup
    /// crate.
    ///
    /// # Errors
    /// `ChannelClosed` if the worker is closed.
    pub async fn drops(&self) -> Result<BTreeMap<&'static str, u64>, RequestError> {
        match self.inner.channel.request(Request::WorkerDrops).await? {
            Response::WorkerDrops(drops) => Ok(drops.into_iter().collect()),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Changes the log settings of a running worker. They apply to every line from now on.
    ///
    /// # Errors
    /// `ChannelClosed` if the worker is closed.
    pub async fn update_settings(&self, data: WorkerUpdateSettings) -> Result<(), RequestError> {
        tracing::debug!(id = %self.id(), ?data, "update settings");
        if self.closed() {
            return Err(RequestError::ChannelClosed);
        }
        self.inner.log.update(data.log_level, data.log_tags.as_deref());
        Ok(())
    }

    /// Opens sockets that many WebRTC transports share.
    ///
    /// A WebRTC server keeps its worker open.
    ///
    /// # Errors
    /// The worker cannot bind a socket, or is closed.
    pub async fn create_webrtc_server(
        &self,
        webrtc_server_options: WebRtcServerOptions,
    ) -> Result<WebRtcServer, CreateWebRtcServerError> {
        let WebRtcServerOptions { listen_infos, app_data } = webrtc_server_options;
        let id = WebRtcServerId::new();
        let channel = &self.inner.channel;
        let guard = CloseOnDrop::new(channel, Request::CloseWebRtcServer(id.into()));
        let request = CreateWebRtcServer { id: id.into(), listen_infos: listen_infos.to_vec() };
        channel
            .request(Request::CreateWebRtcServer(request))
            .await
            .map_err(CreateWebRtcServerError::Request)?;

        let webrtc_server = WebRtcServer::new(id, app_data, self.clone());
        guard.disarm();
        self.inner.state.handlers.new_webrtc_server.call_simple(&webrtc_server);
        Ok(webrtc_server)
    }

    /// Creates a router.
    ///
    /// A router keeps its worker open.
    ///
    /// # Errors
    /// The codecs are invalid or unsupported, or the worker is closed.
    pub async fn create_router(&self, router_options: RouterOptions) -> Result<Router, CreateRouterError> {
        let RouterOptions { media_codecs, app_data } = router_options;
        let rtp_capabilities = ortc::generate_router_rtp_capabilities(media_codecs)
            .map_err(CreateRouterError::FailedRtpCapabilitiesGeneration)?;
        let id = RouterId::new();
        let channel = &self.inner.channel;
        let guard = CloseOnDrop::new(channel, Request::CloseRouter(id.into()));
        channel.request(Request::CreateRouter(id.into())).await.map_err(CreateRouterError::Request)?;

        let router = Router::new(id, rtp_capabilities, app_data, self.clone());
        guard.disarm();
        self.inner.state.handlers.new_router.call_simple(&router);
        Ok(router)
    }

    /// Calls `callback` with each new WebRTC server.
    pub fn on_new_webrtc_server<F: Fn(&WebRtcServer) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.state.handlers.new_webrtc_server.add(Arc::new(callback))
    }

    /// Calls `callback` with each new router.
    pub fn on_new_router<F: Fn(&Router) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.state.handlers.new_router.add(Arc::new(callback))
    }

    /// Calls `callback` when the worker's thread ends on its own.
    pub fn on_dead<F: FnOnce(Result<(), ExitError>) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.state.handlers.dead.add(Box::new(callback))
    }

    /// Calls `callback` when the worker is closed for any reason; at once if it is closed already.
    pub fn on_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        let handler_id = self.inner.state.handlers.close.add(Box::new(callback));
        if self.closed() {
            self.inner.state.handlers.close.call_simple();
        }
        handler_id
    }

    /// Makes the worker's thread panic like a defect of the engine, so that a test sees how the application reacts.
    /// Only with the feature `test-util`; not in the mediasoup crate.
    #[cfg(any(test, feature = "test-util"))]
    pub fn panic(&self) {
        self.inner.channel.panic();
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.inner.channel
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        &self.inner.dispatcher
    }

    /// Closes the worker even if other handles of it are left. Only with the feature `test-util`; not in the
    /// mediasoup crate.
    #[cfg(any(test, feature = "test-util"))]
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        if !self.state.closed.swap(true, Ordering::SeqCst) {
            self.channel.stop();
            self.state.handlers.close.call_simple();
        }
    }
}

impl State {
    /// The thread has ended.
    fn on_exit(&self, result: Result<(), ExitError>) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.handlers.dead.call(|callback| callback(result));
            self.handlers.close.call_simple();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.inner.id).field("closed", &self.closed()).finish()
    }
}

#[cfg(test)]
mod tests;
