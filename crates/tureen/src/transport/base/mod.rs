//! The part of a transport that does not depend on its kind: its object, its callbacks, and what is on it.

mod data;
mod media;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use event_listener_primitives::{Bag, HandlerId};
use parking_lot::Mutex;
use tureen_engine::api::{self, Request, Response, TransportDump, TransportEvent, TransportStats};
use tureen_rtc::units::Bitrate;

use self::data::StreamIds;
use super::{TransportId, TransportTraceEventData, TransportTraceEventType};
use crate::consumer::Consumer;
use crate::data_consumer::DataConsumer;
use crate::data_producer::DataProducer;
use crate::data_structures::{AppData, BweTraceInfo, SctpState, TraceEventDirection};
use crate::object::{Object, ObjectId};
use crate::producer::Producer;
use crate::router::Router;
use crate::sctp_parameters::{SctpNegotiatedCapabilities, SctpParameters};
use crate::worker::RequestError;

/// The part of a transport that does not depend on its kind. Dropped, it closes the transport.
pub(crate) struct TransportBase {
    object: Object<TransportId>,
    handlers: Handlers,
    kind: Kind,
    /// True if producers and consumers may negotiate bandwidth estimation.
    enable_bwe: bool,
    next_mid: AtomicU32,
    /// RTCP CNAME of all producers on the transport.
    cname: Mutex<Option<String>>,
    stream_ids: StreamIds,
    sctp: Mutex<Option<Sctp>>,
}

impl ObjectId for TransportId {
    type Parent = Router;

    fn close_request(self) -> Request {
        Request::CloseTransport(self.into())
    }

    fn withdraw(self, router: &Router) {
        router.worker().dispatcher().forget(api::TransportId::from(self));
    }
}

/// The remote side of a transport, on which the options of producers and consumers depend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// An endpoint.
    Endpoint,
    /// Another router.
    Pipe {
        /// Retransmit lost packets.
        rtx: bool,
    },
    /// The application.
    Direct,
}

/// The SCTP association of a transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sctp {
    pub(crate) parameters: SctpParameters,
    pub(crate) state: SctpState,
    pub(crate) negotiated_capabilities: Option<SctpNegotiatedCapabilities>,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Handlers {
    new_producer: Bag<Arc<dyn Fn(&Producer) + Send + Sync>, Producer>,
    new_consumer: Bag<Arc<dyn Fn(&Consumer) + Send + Sync>, Consumer>,
    new_data_producer: Bag<Arc<dyn Fn(&DataProducer) + Send + Sync>, DataProducer>,
    new_data_consumer: Bag<Arc<dyn Fn(&DataConsumer) + Send + Sync>, DataConsumer>,
    sctp_state_change: Bag<Arc<dyn Fn(SctpState) + Send + Sync>>,
    trace: Bag<Arc<dyn Fn(&TransportTraceEventData) + Send + Sync>, TransportTraceEventData>,
}

impl TransportBase {
    /// Creates a transport in the worker.
    pub(crate) async fn create(router: &Router, request: Request) -> Result<TransportDump, RequestError> {
        Self::dump_of(router.worker().channel().request(request).await?)
    }

    /// The dump in the response to a request that creates or describes a transport.
    pub(crate) fn dump_of(response: Response) -> Result<TransportDump, RequestError> {
        match response {
            Response::TransportDump(dump) => Ok(*dump),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// `created` is the worker's response to the request that created the transport.
    pub(crate) fn new(
        created: &TransportDump,
        router: Router,
        kind: Kind,
        enable_bwe: bool,
        app_data: AppData,
    ) -> Self {
        let sctp = created.sctp.as_ref().map(|sctp| Sctp {
            parameters: sctp.parameters,
            state: sctp.state,
            negotiated_capabilities: sctp.negotiated_capabilities,
        });
        Self {
            object: Object::new(created.id.clone().into(), app_data, router),
            handlers: Handlers::default(),
            kind,
            enable_bwe,
            next_mid: AtomicU32::new(0),
            cname: Mutex::new(None),
            stream_ids: StreamIds::default(),
            sctp: Mutex::new(sctp),
        }
    }

    pub(crate) fn object(&self) -> &Object<TransportId> {
        &self.object
    }

    pub(crate) fn id(&self) -> TransportId {
        self.object.id()
    }

    pub(crate) fn router(&self) -> &Router {
        self.object.parent()
    }

    pub(crate) fn sctp(&self) -> Option<Sctp> {
        *self.sctp.lock()
    }

    /// The start of a handle's debug output.
    pub(crate) fn debug<'a, 'b>(
        &self,
        name: &str,
        f: &'a mut fmt::Formatter<'b>,
    ) -> fmt::DebugStruct<'a, 'b> {
        let mut output = f.debug_struct(name);
        output.field("id", &self.id()).field("router", self.router()).field("closed", &self.object.closed());
        output
    }

    pub(crate) fn on_new_producer(&self, callback: Arc<dyn Fn(&Producer) + Send + Sync>) -> HandlerId {
        self.handlers.new_producer.add(callback)
    }

    pub(crate) fn on_new_consumer(&self, callback: Arc<dyn Fn(&Consumer) + Send + Sync>) -> HandlerId {
        self.handlers.new_consumer.add(callback)
    }

    pub(crate) fn on_new_data_producer(
        &self,
        callback: Arc<dyn Fn(&DataProducer) + Send + Sync>,
    ) -> HandlerId {
        self.handlers.new_data_producer.add(callback)
    }

    pub(crate) fn on_new_data_consumer(
        &self,
        callback: Arc<dyn Fn(&DataConsumer) + Send + Sync>,
    ) -> HandlerId {
        self.handlers.new_data_consumer.add(callback)
    }

    pub(crate) fn on_sctp_state_change(&self, callback: Arc<dyn Fn(SctpState) + Send + Sync>) -> HandlerId {
        self.handlers.sctp_state_change.add(callback)
    }

    pub(crate) fn on_trace(
        &self,
        callback: Arc<dyn Fn(&TransportTraceEventData) + Send + Sync>,
    ) -> HandlerId {
        self.handlers.trace.add(callback)
    }

    pub(crate) async fn enable_trace_event(
        &self,
        types: &[TransportTraceEventType],
    ) -> Result<(), RequestError> {
        let trace = TransportTraceEventType::to_core(types);
        self.request(Request::EnableTransportTrace(self.id().into(), trace)).await
    }

    pub(crate) async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMaxIncomingBitrate(self.id().into(), Bitrate::bps(bitrate))).await
    }

    pub(crate) async fn set_max_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMaxOutgoingBitrate(self.id().into(), Bitrate::bps(bitrate))).await
    }

    pub(crate) async fn set_min_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMinOutgoingBitrate(self.id().into(), Bitrate::bps(bitrate))).await
    }

    /// Sets those limits that the options have.
    pub(crate) async fn limit_bitrates(
        &self,
        max_incoming: Option<u64>,
        max_outgoing: Option<u64>,
        min_outgoing: Option<u64>,
    ) -> Result<(), RequestError> {
        if let Some(bitrate) = max_incoming {
            self.set_max_incoming_bitrate(bitrate).await?;
        }
        if let Some(bitrate) = max_outgoing {
            self.set_max_outgoing_bitrate(bitrate).await?;
        }
        if let Some(bitrate) = min_outgoing {
            self.set_min_outgoing_bitrate(bitrate).await?;
        }
        Ok(())
    }

    pub(crate) async fn dump(&self) -> Result<TransportDump, RequestError> {
        Self::dump_of(self.object.request(Request::DumpTransport(self.id().into())).await?)
    }

    pub(crate) async fn stats(&self) -> Result<TransportStats, RequestError> {
        match self.object.request(Request::TransportStats(self.id().into())).await? {
            Response::TransportStats(stats) => Ok(*stats),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Handles an event that every kind of transport may have.
    pub(crate) fn on_event(&self, event: TransportEvent) {
        match event {
            TransportEvent::SctpState(state) => {
                if let Some(sctp) = &mut *self.sctp.lock() {
                    sctp.state = state;
                }
                self.handlers.sctp_state_change.call(|callback| callback(state));
            }
            TransportEvent::SctpNegotiatedCapabilities(capabilities) => {
                if let Some(sctp) = &mut *self.sctp.lock() {
                    sctp.negotiated_capabilities = Some(capabilities);
                }
            }
            TransportEvent::Bwe { timestamp_ms: timestamp, info } => {
                let direction = TraceEventDirection::Out;
                let info = BweTraceInfo {
                    desired_bitrate: info.desired_bitrate,
                    min_bitrate: info.min_bitrate,
                    max_bitrate: info.max_bitrate,
                    available_bitrate: info.available_bitrate,
                };
                let event = TransportTraceEventData::Bwe { timestamp, direction, info };
                self.handlers.trace.call_simple(&event);
            }
            TransportEvent::Probation { timestamp_ms: timestamp, info } => {
                let direction = TraceEventDirection::Out;
                let event = TransportTraceEventData::Probation { timestamp, direction, info };
                self.handlers.trace.call_simple(&event);
            }
            other => tracing::debug!(id = %self.id(), ?other, "event of another kind of transport"),
        }
    }

    /// Sends a request whose response has no content.
    async fn request(&self, request: Request) -> Result<(), RequestError> {
        self.object.request(request).await.map(|_| ())
    }
}
