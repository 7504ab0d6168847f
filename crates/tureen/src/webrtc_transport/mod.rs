//! A transport for browsers and other WebRTC endpoints, with ICE, DTLS and SRTP.
//!
//! The transport is ICE lite (RFC 8445 §2.5): it waits for the endpoint's connectivity checks.

mod options;
mod stats;

use std::fmt;
use std::sync::{Arc, OnceLock};

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tureen_engine::api::{self, CreateWebRtcTransport, LinkDump, Listen, Request, Response, TransportEvent};
use tureen_rtc::ice::consent_timeout_from_seconds;
use tureen_rtc::units::Bitrate;

pub use self::options::{
    EmptyListError, WebRtcTransportListen, WebRtcTransportListenInfos, WebRtcTransportOptions,
};
pub use self::stats::{WebRtcTransportDump, WebRtcTransportStat};
use crate::data_structures::{
    DtlsParameters, DtlsState, IceCandidate, IceParameters, IceRole, IceState, TransportTuple,
};
use crate::object::close_with_parent;
use crate::router::Router;
use crate::threads::Sink;
use crate::transport::sctp::{impl_sctp_transport, sctp_options};
use crate::transport::{Kind, TransportBase, TransportId, impl_transport};
use crate::webrtc_server::WebRtcServer;
use crate::worker::RequestError;

/// Parameters of the endpoint.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebRtcTransportRemoteParameters {
    /// DTLS role and certificate fingerprints of the endpoint.
    pub dtls_parameters: DtlsParameters,
}

/// A connection with a WebRTC endpoint by ICE, DTLS and SRTP, for sending, receiving or both. Clients based on
/// mediasoup-client use one transport for each direction.
///
/// The transport is ICE lite (RFC 8445 §2.5): it waits for the endpoint's connectivity checks.
#[derive(Clone)]
#[must_use = "the transport is closed when its last handle is dropped"]
pub struct WebRtcTransport {
    inner: Arc<Inner>,
}

struct Inner {
    ice_role: IceRole,
    ice_parameters: IceParameters,
    ice_candidates: Vec<IceCandidate>,
    state: Mutex<State>,
    handlers: Handlers,
    on_webrtc_server_close: OnceLock<HandlerId>,
    /// Kept open by the transport.
    webrtc_server: Option<WebRtcServer>,
    base: TransportBase,
}

/// The part that requests and events change.
#[derive(Debug)]
struct State {
    ice_state: IceState,
    ice_selected_tuple: Option<TransportTuple>,
    dtls_parameters: DtlsParameters,
    dtls_state: DtlsState,
    dtls_remote_cert: Option<String>,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    ice_state_change: Bag<Arc<dyn Fn(IceState) + Send + Sync>>,
    ice_selected_tuple_change: Bag<Arc<dyn Fn(&TransportTuple) + Send + Sync>, TransportTuple>,
    dtls_state_change: Bag<Arc<dyn Fn(DtlsState) + Send + Sync>>,
    webrtc_server_close: BagOnce<Box<dyn FnOnce() + Send>>,
}

impl WebRtcTransport {
    /// Creates the transport in the worker, and its handle.
    pub(crate) async fn create(
        id: TransportId,
        options: WebRtcTransportOptions,
        router: Router,
    ) -> Result<Self, RequestError> {
        let sctp = sctp_options!(options);
        let (listen, webrtc_server) = match options.listen {
            WebRtcTransportListen::Individual { listen_infos } => {
                (Listen::Individual(listen_infos.to_vec()), None)
            }
            WebRtcTransportListen::Server { webrtc_server } => {
                (Listen::Server(webrtc_server.id().into()), Some(webrtc_server))
            }
        };
        let request = Request::CreateWebRtcTransport(CreateWebRtcTransport {
            router_id: router.id().into(),
            id: id.into(),
            listen,
            enable_udp: options.enable_udp,
            enable_tcp: options.enable_tcp,
            prefer_udp: options.prefer_udp,
            prefer_tcp: options.prefer_tcp,
            ice_consent_timeout: consent_timeout_from_seconds(options.ice_consent_timeout),
            initial_available_outgoing_bitrate: Bitrate::bps(options.initial_available_outgoing_bitrate),
            sctp,
        });
        let made = TransportBase::create(&router, request).await?;
        let base = TransportBase::new(&made, router, Kind::Endpoint, options.enable_bwe, options.app_data);
        let LinkDump::WebRtc(created) = made.link else {
            return Err(RequestError::unexpected(&Response::TransportDump(Box::new(made))));
        };
        base.limit_bitrates(
            options.max_incoming_bitrate,
            options.max_outgoing_bitrate,
            options.min_outgoing_bitrate,
        )
        .await?;
        Ok(Self::new(created, webrtc_server, base))
    }

    fn new(
        created: api::WebRtcTransportDump,
        webrtc_server: Option<WebRtcServer>,
        base: TransportBase,
    ) -> Self {
        let inner = Arc::new(Inner {
            ice_role: created.ice_role,
            ice_parameters: created.ice_parameters,
            ice_candidates: created.ice_candidates,
            state: Mutex::new(State {
                ice_state: created.ice_state,
                ice_selected_tuple: None,
                dtls_parameters: created.dtls_parameters,
                dtls_state: created.dtls_state,
                dtls_remote_cert: None,
            }),
            handlers: Handlers::default(),
            on_webrtc_server_close: OnceLock::new(),
            webrtc_server,
            base,
        });
        if let Some(webrtc_server) = &inner.webrtc_server {
            let weak = Arc::downgrade(&inner);
            let handler = webrtc_server.on_close(move || {
                if let Some(inner) = weak.upgrade() {
                    inner.on_webrtc_server_closed();
                }
            });
            inner.on_webrtc_server_close.get_or_init(|| handler);
        }
        close_with_parent(&inner, |inner| inner.base.object());
        Self { inner }
    }

    /// Sets the endpoint's parameters, which starts DTLS when ICE is connected.
    ///
    /// # Errors
    /// The transport was connected before, or the worker refuses the parameters; see also [`RequestError`].
    pub async fn connect(
        &self,
        remote_parameters: WebRtcTransportRemoteParameters,
    ) -> Result<(), RequestError> {
        let request =
            Request::ConnectWebRtcTransport(self.inner.base.id().into(), remote_parameters.dtls_parameters);
        match self.inner.base.object().request(request).await? {
            Response::Connected { dtls_local_role } => {
                self.inner.state.lock().dtls_parameters.role = dtls_local_role;
                Ok(())
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// WebRTC server that the transport listens on. `None` if it has sockets of its own.
    pub fn webrtc_server(&self) -> &Option<WebRtcServer> {
        &self.inner.webrtc_server
    }

    /// Limits the bitrate that the endpoint may send, in bits per second. 0 removes the limit.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.inner.base.set_max_incoming_bitrate(bitrate).await
    }

    /// Sets the upper limit of the outgoing bandwidth estimate, in bits per second. 0 removes the limit.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_max_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.inner.base.set_max_outgoing_bitrate(bitrate).await
    }

    /// Sets the lower limit of the outgoing bandwidth estimate, in bits per second. 0 removes the limit.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_min_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.inner.base.set_min_outgoing_bitrate(bitrate).await
    }

    /// ICE role of the transport, always `Controlled`.
    #[must_use]
    pub fn ice_role(&self) -> IceRole {
        self.inner.ice_role
    }

    /// ICE credentials from the creation of the transport; see [`WebRtcTransport::restart_ice`] for new ones.
    #[must_use]
    pub fn ice_parameters(&self) -> &IceParameters {
        &self.inner.ice_parameters
    }

    /// ICE candidates of the transport.
    #[must_use]
    pub fn ice_candidates(&self) -> &Vec<IceCandidate> {
        &self.inner.ice_candidates
    }

    /// ICE state.
    #[must_use]
    pub fn ice_state(&self) -> IceState {
        self.inner.state.lock().ice_state
    }

    /// Tuple that media is sent on. `None` unless ICE is `Connected` or `Completed`.
    #[must_use]
    pub fn ice_selected_tuple(&self) -> Option<TransportTuple> {
        self.inner.state.lock().ice_selected_tuple.clone()
    }

    /// DTLS role and certificate fingerprints of the transport.
    #[must_use]
    pub fn dtls_parameters(&self) -> DtlsParameters {
        self.inner.state.lock().dtls_parameters.clone()
    }

    /// DTLS state.
    #[must_use]
    pub fn dtls_state(&self) -> DtlsState {
        self.inner.state.lock().dtls_state
    }

    /// Certificate of the endpoint in PEM. `None` before DTLS is `Connected`.
    #[must_use]
    pub fn dtls_remote_cert(&self) -> Option<String> {
        self.inner.state.lock().dtls_remote_cert.clone()
    }

    /// Creates new ICE credentials, which the application signals to the endpoint (RFC 8445 §2.4).
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn restart_ice(&self) -> Result<IceParameters, RequestError> {
        match self.inner.base.object().request(Request::RestartIce(self.inner.base.id().into())).await? {
            Response::IceParameters(parameters) => Ok(parameters),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Calls `callback` when the WebRTC server is closed for any reason, and the transport with it.
    pub fn on_webrtc_server_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
        self.inner.handlers.webrtc_server_close.add(callback)
    }

    /// Calls `callback` when the ICE state changes.
    pub fn on_ice_state_change<F: Fn(IceState) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.ice_state_change.add(Arc::new(callback))
    }

    /// Calls `callback` when another tuple is selected.
    pub fn on_ice_selected_tuple_change<F: Fn(&TransportTuple) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.ice_selected_tuple_change.add(Arc::new(callback))
    }

    /// Calls `callback` when the DTLS state changes.
    pub fn on_dtls_state_change<F: Fn(DtlsState) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.dtls_state_change.add(Arc::new(callback))
    }
}

impl_transport!(WebRtcTransport, WeakWebRtcTransport, WebRtcTransportDump, WebRtcTransportStat);
impl_sctp_transport!(WebRtcTransport);

impl Inner {
    /// The worker closes the transport with its WebRTC server.
    fn on_webrtc_server_closed(&self) {
        self.handlers.webrtc_server_close.call_simple();
        self.base.object().close_here();
    }
}

impl Sink<TransportEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.base.object().closed()
    }

    fn on_event(&self, event: TransportEvent) {
        match event {
            TransportEvent::IceState(ice_state) => {
                {
                    let mut state = self.state.lock();
                    state.ice_state = ice_state;
                    if matches!(ice_state, IceState::New | IceState::Disconnected) {
                        state.ice_selected_tuple = None;
                    }
                }
                self.handlers.ice_state_change.call(|callback| callback(ice_state));
            }
            TransportEvent::IceSelectedTuple(tuple) => {
                self.state.lock().ice_selected_tuple = Some(tuple.clone());
                self.handlers.ice_selected_tuple_change.call_simple(&tuple);
            }
            TransportEvent::DtlsState { state: dtls_state, remote_certificate } => {
                {
                    let mut state = self.state.lock();
                    state.dtls_state = dtls_state;
                    if remote_certificate.is_some() {
                        state.dtls_remote_cert = remote_certificate;
                    }
                }
                self.handlers.dtls_state_change.call(|callback| callback(dtls_state));
            }
            TransportEvent::ListenServerClosed => self.on_webrtc_server_closed(),
            other => self.base.on_event(other),
        }
    }
}

impl fmt::Debug for WebRtcTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.base.debug("WebRtcTransport", f).field("state", &self.inner.state).finish_non_exhaustive()
    }
}
