//! A transport for endpoints without ICE and DTLS, such as FFmpeg and GStreamer: RTP, RTCP and SCTP, encrypted only
//! with SRTP enabled.

mod options;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use event_listener_primitives::{Bag, HandlerId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tureen_engine::api::{
    self, ConnectPlain, CreatePlainTransport, LinkDump, LinkStats, PlainConnected, Request, Response,
    TransportEvent,
};
use tureen_rtc::units::Bitrate;

pub use self::options::PlainTransportOptions;
use crate::consumer::ConsumerId;
use crate::data_structures::TransportTuple;
use crate::object::close_with_parent;
use crate::router::Router;
use crate::srtp_parameters::SrtpParameters;
use crate::threads::Sink;
use crate::transport::sctp::{impl_sctp_transport, sctp_options};
use crate::transport::{Kind, TransportBase, TransportId, impl_transport, transport_dump, transport_stat};
use crate::worker::RequestError;

transport_dump! {
    /// State of a PlainTransport.
    PlainTransportDump<HashMap<u32, ConsumerId>> from LinkDump::Plain(api::PlainTransportDump {
        rtcp_mux, comedia, tuple, rtcp_tuple, srtp_parameters,
    }) => {
        direct: false,
        rtcp_mux: bool,
        comedia: bool,
        tuple: TransportTuple,
        rtcp_tuple: Option<TransportTuple>,
        srtp_parameters: Option<SrtpParameters>,
    }
}

transport_stat! {
    /// Statistics of a PlainTransport.
    PlainTransportStat from LinkStats::Plain(api::PlainTransportStats {
        rtcp_mux, comedia, tuple, rtcp_tuple,
    }) => {
        /// True if RTP and RTCP share one port.
        rtcp_mux: bool,
        /// True if the remote address is taken from the first packet.
        comedia: bool,
        /// Tuple of RTP.
        tuple: TransportTuple,
        /// Tuple of RTCP without `rtcp_mux`.
        rtcp_tuple: Option<TransportTuple>,
    }
}

/// Parameters of the endpoint.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlainTransportRemoteParameters {
    /// IP address; required without `comedia`.
    pub ip: Option<IpAddr>,
    /// RTP port; required without `comedia`.
    pub port: Option<u16>,
    /// RTCP port; required without `comedia` and `rtcp_mux`.
    pub rtcp_port: Option<u16>,
    /// SRTP keys of the endpoint; required with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// A connection with an endpoint such as FFmpeg or GStreamer by RTP, RTCP and SCTP, encrypted only with SRTP enabled.
#[derive(Clone)]
#[must_use = "the transport is closed when its last handle is dropped"]
pub struct PlainTransport {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    handlers: Handlers,
    base: TransportBase,
}

/// The part that requests and events change.
#[derive(Debug)]
struct State {
    tuple: TransportTuple,
    rtcp_tuple: Option<TransportTuple>,
    srtp_parameters: Option<SrtpParameters>,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    tuple: Bag<Arc<dyn Fn(&TransportTuple) + Send + Sync>, TransportTuple>,
    rtcp_tuple: Bag<Arc<dyn Fn(&TransportTuple) + Send + Sync>, TransportTuple>,
}

impl PlainTransport {
    /// Creates the transport in the worker, and its handle.
    pub(crate) async fn create(
        id: TransportId,
        options: PlainTransportOptions,
        router: Router,
    ) -> Result<Self, RequestError> {
        let sctp = sctp_options!(options);
        let request = Request::CreatePlainTransport(CreatePlainTransport {
            router_id: router.id().into(),
            id: id.into(),
            listen_info: options.listen_info,
            rtcp_listen_info: options.rtcp_listen_info,
            rtcp_mux: options.rtcp_mux,
            comedia: options.comedia,
            srtp: options.enable_srtp.then_some(options.srtp_crypto_suite),
            initial_available_outgoing_bitrate: Some(Bitrate::bps(
                options.initial_available_outgoing_bitrate,
            )),
            sctp,
        });
        let made = TransportBase::create(&router, request).await?;
        let base = TransportBase::new(&made, router, Kind::Endpoint, options.enable_bwe, options.app_data);
        let LinkDump::Plain(link) = made.link else {
            return Err(RequestError::unexpected(&Response::TransportDump(Box::new(made))));
        };
        base.limit_bitrates(
            options.max_incoming_bitrate,
            options.max_outgoing_bitrate,
            options.min_outgoing_bitrate,
        )
        .await?;
        let state =
            State { tuple: link.tuple, rtcp_tuple: link.rtcp_tuple, srtp_parameters: link.srtp_parameters };
        let inner = Arc::new(Inner { state: Mutex::new(state), handlers: Handlers::default(), base });
        close_with_parent(&inner, |inner| inner.base.object());
        Ok(Self { inner })
    }

    /// Sets the endpoint's address and keys, or with `comedia` its keys only.
    ///
    /// # Errors
    /// The transport was connected before, or the parameters don't fit its options; see also [`RequestError`].
    ///
    /// # Examples
    /// ```
    /// use tureen::prelude::*;
    ///
    /// # async fn f(plain_transport: PlainTransport) -> Result<(), Box<dyn std::error::Error>> {
    /// let remote_parameters = PlainTransportRemoteParameters {
    ///     ip: Some("192.0.2.7".parse()?),
    ///     port: Some(5004),
    ///     rtcp_port: None,
    ///     srtp_parameters: None,
    /// };
    /// plain_transport.connect(remote_parameters).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(
        &self,
        remote_parameters: PlainTransportRemoteParameters,
    ) -> Result<(), RequestError> {
        self.connect_to(remote_parameters, false).await
    }

    /// Like [`PlainTransport::connect`], for an address from an untrusted source: nothing is sent to the address
    /// before a datagram has come from there. RTP and RTCP each wait for their own. Until then
    /// [`PlainTransport::tuple`] has no remote side; [`PlainTransport::on_tuple`] is called when it has. Not in
    /// mediasoup.
    ///
    /// # Errors
    /// Those of [`PlainTransport::connect`].
    pub async fn connect_when_heard(
        &self,
        remote_parameters: PlainTransportRemoteParameters,
    ) -> Result<(), RequestError> {
        self.connect_to(remote_parameters, true).await
    }

    async fn connect_to(
        &self,
        remote_parameters: PlainTransportRemoteParameters,
        await_datagram: bool,
    ) -> Result<(), RequestError> {
        let PlainTransportRemoteParameters { ip, port, rtcp_port, srtp_parameters } = remote_parameters;
        let connect = ConnectPlain { ip, port, rtcp_port, srtp_parameters, await_datagram };
        let request = Request::ConnectPlainTransport(self.inner.base.id().into(), connect);
        match self.inner.base.object().request(request).await? {
            Response::PlainConnected(PlainConnected { tuple, rtcp_tuple, srtp_parameters }) => {
                let mut state = self.inner.state.lock();
                state.tuple = tuple;
                state.rtcp_tuple = rtcp_tuple.or(state.rtcp_tuple.take());
                state.srtp_parameters = srtp_parameters.or(state.srtp_parameters.take());
                Ok(())
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Limits the bitrate that the endpoint may send, in bits per second. 0 removes the limit.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.inner.base.set_max_incoming_bitrate(bitrate).await
    }

    /// Tuple of RTP, and with `rtcp_mux` of RTCP too. Its remote side is known once the transport is connected, or
    /// with `comedia` after the first packet.
    #[must_use]
    pub fn tuple(&self) -> TransportTuple {
        self.inner.state.lock().tuple.clone()
    }

    /// Tuple of RTCP without `rtcp_mux`.
    #[must_use]
    pub fn rtcp_tuple(&self) -> Option<TransportTuple> {
        self.inner.state.lock().rtcp_tuple.clone()
    }

    /// SRTP keys of the transport, which the application signals to the endpoint. The crypto suite may change when
    /// the transport is connected.
    #[must_use]
    pub fn srtp_parameters(&self) -> Option<SrtpParameters> {
        self.inner.state.lock().srtp_parameters.clone()
    }

    /// Calls `callback` when the remote address of RTP is known from a datagram: with `comedia`, or after
    /// [`PlainTransport::connect_when_heard`].
    pub fn on_tuple<F: Fn(&TransportTuple) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.tuple.add(Arc::new(callback))
    }

    /// Calls `callback` when the remote address of RTCP is known from a datagram, without `rtcp_mux`.
    pub fn on_rtcp_tuple<F: Fn(&TransportTuple) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.rtcp_tuple.add(Arc::new(callback))
    }
}

impl_transport!(PlainTransport, WeakPlainTransport, PlainTransportDump, PlainTransportStat);
impl_sctp_transport!(PlainTransport);

impl Sink<TransportEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.base.object().closed()
    }

    fn on_event(&self, event: TransportEvent) {
        match event {
            TransportEvent::Tuple(tuple) => {
                self.state.lock().tuple = tuple.clone();
                self.handlers.tuple.call_simple(&tuple);
            }
            TransportEvent::RtcpTuple(tuple) => {
                self.state.lock().rtcp_tuple = Some(tuple.clone());
                self.handlers.rtcp_tuple.call_simple(&tuple);
            }
            other => self.base.on_event(other),
        }
    }
}

impl fmt::Debug for PlainTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.base.debug("PlainTransport", f).field("state", &self.inner.state).finish_non_exhaustive()
    }
}
