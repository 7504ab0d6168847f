//! A transport that connects the application itself with a router: the application sends and receives RTP, RTCP and
//! data messages.

use std::fmt;
use std::sync::Arc;

use event_listener_primitives::{Bag, HandlerId};
use tureen_engine::api::{CreateDirectTransport, Injection, LinkDump, LinkStats, Request, TransportEvent};

use crate::consumer::ConsumerId;
use crate::data_structures::AppData;
use crate::object::close_with_parent;
use crate::router::Router;
use crate::threads::Sink;
use crate::transport::{Kind, TransportBase, TransportId, impl_transport, transport_dump, transport_stat};
use crate::worker::{NotificationError, RequestError};

/// [`DirectTransport`] options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DirectTransportOptions {
    /// Largest message that a data consumer passes to the application, in bytes. Default 262144.
    pub max_send_message_size: u32,
    /// Largest message that a data producer accepts from the application, in bytes. Default 262144.
    pub max_receive_message_size: u32,
    /// Custom application data.
    pub app_data: AppData,
}

impl Default for DirectTransportOptions {
    fn default() -> Self {
        Self {
            max_send_message_size: 262_144,
            max_receive_message_size: 262_144,
            app_data: AppData::default(),
        }
    }
}

transport_dump! {
    /// State of a DirectTransport.
    DirectTransportDump<Vec<(u32, ConsumerId)>> from LinkDump::Direct => {
        direct: true,
    }
}

transport_stat! {
    /// Statistics of a DirectTransport.
    DirectTransportStat from LinkStats::Direct => {}
}

/// A connection between the application and a router. The application sends RTP packets with
/// [`DirectProducer::send`](crate::producer::DirectProducer::send) and messages with
/// [`DirectDataProducer::send`](crate::data_producer::DirectDataProducer::send). It receives those of others by
/// [`Consumer::on_rtp`](crate::consumer::Consumer::on_rtp) and
/// [`DataConsumer::on_message`](crate::data_consumer::DataConsumer::on_message).
#[derive(Clone)]
#[must_use = "the transport is closed when its last handle is dropped"]
pub struct DirectTransport {
    inner: Arc<Inner>,
}

struct Inner {
    #[expect(clippy::type_complexity)]
    rtcp: Bag<Arc<dyn Fn(&[u8]) + Send + Sync>>,
    base: TransportBase,
}

impl DirectTransport {
    /// Creates the transport in the worker, and its handle.
    pub(crate) async fn create(
        id: TransportId,
        options: DirectTransportOptions,
        router: Router,
    ) -> Result<Self, RequestError> {
        let DirectTransportOptions { max_send_message_size, max_receive_message_size, app_data } = options;
        let request = Request::CreateDirectTransport(CreateDirectTransport {
            router_id: router.id().into(),
            id: id.into(),
            max_message_size: max_receive_message_size.max(max_send_message_size),
        });
        let made = TransportBase::create(&router, request).await?;
        let base = TransportBase::new(&made, router, Kind::Direct, false, app_data);
        let inner = Arc::new(Inner { rtcp: Bag::default(), base });
        close_with_parent(&inner, |inner| inner.base.object());
        Ok(Self { inner })
    }

    /// Sends an RTCP packet, which may be compound, to the router, as if it had come from an endpoint.
    ///
    /// # Errors
    /// The worker is closed, or too many packets wait for the worker.
    pub fn send_rtcp(&self, rtcp_packet: Vec<u8>) -> Result<(), NotificationError> {
        let injection = Injection::Rtcp(self.inner.base.id().into(), rtcp_packet);
        self.inner.base.object().channel().inject(injection).map_err(Into::into)
    }

    /// Calls `callback` with each RTCP packet from the router.
    pub fn on_rtcp<F: Fn(&[u8]) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.rtcp.add(Arc::new(callback))
    }
}

impl_transport!(DirectTransport, WeakDirectTransport, DirectTransportDump, DirectTransportStat);

impl Sink<TransportEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.base.object().closed()
    }

    fn on_event(&self, event: TransportEvent) {
        match event {
            TransportEvent::Rtcp(packet) => self.rtcp.call(|callback| callback(&packet)),
            other => self.base.on_event(other),
        }
    }
}

impl fmt::Debug for DirectTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.base.debug("DirectTransport", f).finish_non_exhaustive()
    }
}
