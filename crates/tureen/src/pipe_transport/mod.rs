//! A transport that connects two routers, of the same host or of different ones. Its consumers send all streams of
//! their producers unchanged.

mod options;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use event_listener_primitives::{Bag, HandlerId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tureen_engine::api::{
    self, ConnectPipe, CreatePipeTransport, LinkDump, LinkStats, Request, Response, TransportEvent,
};
use tureen_net::PipeEnd;

pub use self::options::PipeTransportOptions;
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
    /// State of a PipeTransport.
    PipeTransportDump<HashMap<u32, ConsumerId>> from LinkDump::Pipe(api::PipeTransportDump {
        tuple, rtx, srtp_parameters,
    }) => {
        direct: false,
        tuple: TransportTuple,
        rtx: bool,
        srtp_parameters: Option<SrtpParameters>,
    }
}

transport_stat! {
    /// Statistics of a PipeTransport.
    PipeTransportStat from LinkStats::Pipe { tuple } => {
        /// Tuple of RTP and RTCP.
        tuple: TransportTuple,
    }
}

/// Parameters of the other router's transport.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PipeTransportRemoteParameters {
    /// IP address.
    pub ip: IpAddr,
    /// Port of RTP and RTCP.
    pub port: u16,
    /// SRTP keys of the other transport; required with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// A connection with a PipeTransport of another router by RTP, RTCP and SCTP. Its consumers send all streams of their
/// producers unchanged.
///
/// [`Router::pipe_producer_to_router`] creates and connects a pair of them.
#[derive(Clone)]
#[must_use = "the transport is closed when its last handle is dropped"]
pub struct PipeTransport {
    inner: Arc<Inner>,
}

struct Inner {
    tuple: Mutex<TransportTuple>,
    srtp_parameters: Option<SrtpParameters>,
    #[expect(clippy::type_complexity)]
    on_tuple: Bag<Arc<dyn Fn(&TransportTuple) + Send + Sync>, TransportTuple>,
    base: TransportBase,
}

impl PipeTransport {
    /// Creates the transport in the worker, and its handle. The transport uses `end`, the end of an in-process pipe,
    /// if given, and a socket otherwise.
    pub(crate) async fn create(
        id: TransportId,
        options: PipeTransportOptions,
        router: Router,
        end: Option<PipeEnd>,
    ) -> Result<Self, RequestError> {
        let sctp = sctp_options!(options);
        let request = Request::CreatePipeTransport(CreatePipeTransport {
            router_id: router.id().into(),
            id: id.into(),
            listen_info: options.listen_info,
            in_process: end.is_some(),
            enable_rtx: options.enable_rtx,
            srtp: options.enable_srtp.then_some(tureen_engine::api::PIPE_SUITE),
            sctp,
        });
        let made = match end {
            Some(end) => {
                let answer = router.worker().channel().create_pipe(request, end).await?;
                TransportBase::dump_of(answer)?
            }
            None => TransportBase::create(&router, request).await?,
        };
        let kind = Kind::Pipe { rtx: options.enable_rtx };
        let base = TransportBase::new(&made, router, kind, false, options.app_data);
        let LinkDump::Pipe(link) = made.link else {
            return Err(RequestError::unexpected(&Response::TransportDump(Box::new(made))));
        };
        let inner = Arc::new(Inner {
            tuple: Mutex::new(link.tuple),
            srtp_parameters: link.srtp_parameters,
            on_tuple: Bag::default(),
            base,
        });
        close_with_parent(&inner, |inner| inner.base.object());
        Ok(Self { inner })
    }

    /// Sets the address and keys of the other transport.
    ///
    /// # Errors
    /// The transport was connected before, or the parameters don't fit its options; see also [`RequestError`].
    pub async fn connect(
        &self,
        remote_parameters: PipeTransportRemoteParameters,
    ) -> Result<(), RequestError> {
        let PipeTransportRemoteParameters { ip, port, srtp_parameters } = remote_parameters;
        let connect = ConnectPipe { ip, port, srtp_parameters };
        let request = Request::ConnectPipeTransport(self.inner.base.id().into(), connect);
        match self.inner.base.object().request(request).await? {
            Response::PipeConnected { tuple } => {
                *self.inner.tuple.lock() = tuple;
                Ok(())
            }
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Limits the bitrate that the other router may send, in bits per second. 0 removes the limit.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.inner.base.set_max_incoming_bitrate(bitrate).await
    }

    /// Tuple of RTP and RTCP. Its remote side is known once the transport is connected.
    #[must_use]
    pub fn tuple(&self) -> TransportTuple {
        self.inner.tuple.lock().clone()
    }

    /// SRTP keys of the transport, for the other transport. `None` without SRTP.
    #[must_use]
    pub fn srtp_parameters(&self) -> Option<SrtpParameters> {
        self.inner.srtp_parameters.clone()
    }

    /// Never calls `callback`, because the tuple only changes in [`PipeTransport::connect`]. Kept so that code
    /// written for the mediasoup crate compiles.
    pub fn on_tuple<F: Fn(&TransportTuple) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.on_tuple.add(Arc::new(callback))
    }
}

impl_transport!(PipeTransport, WeakPipeTransport, PipeTransportDump, PipeTransportStat);
impl_sctp_transport!(PipeTransport);

impl Sink<TransportEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.base.object().closed()
    }

    fn on_event(&self, event: TransportEvent) {
        self.base.on_event(event);
    }
}

impl fmt::Debug for PipeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.base.debug("PipeTransport", f).field("tuple", &self.inner.tuple).finish_non_exhaustive()
    }
}
