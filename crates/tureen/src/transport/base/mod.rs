//! The part of a transport that does not depend on its kind.

mod data;
mod media;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use event_listener_primitives::Bag;
use parking_lot::Mutex;
use tureen_engine::api::{self, Request, Response, TransportDump, TransportEvent, TransportStats};
use tureen_rtc::units::Bitrate;

use self::data::StreamIds;
use super::{TransportId, TransportTraceEventData, TransportTraceEventType};
use crate::consumer::Consumer;
use crate::data_consumer::DataConsumer;
use crate::data_producer::DataProducer;
use crate::data_structures::{AppData, BweTraceInfo, SctpState, TraceEventDirection};
use crate::lifetime::{Lifetime, WorkerObject};
use crate::producer::Producer;
use crate::router::Router;
use crate::sctp_parameters::{SctpNegotiatedCapabilities, SctpParameters};
use crate::worker::{RequestError, Worker};

/// What every kind of transport has. Dropped, it closes the transport.
pub(crate) struct TransportBase {
    pub(crate) id: TransportId,
    pub(crate) app_data: AppData,
    pub(crate) handlers: Handlers,
    kind: Kind,
    /// Whether what is produced and consumed may negotiate bandwidth estimation.
    enable_bwe: bool,
    next_mid: AtomicU32,
    /// RTCP CNAME of all producers on the transport.
    cname: Mutex<Option<String>>,
    stream_ids: StreamIds,
    sctp: Mutex<Option<Sctp>>,
    pub(crate) lifetime: Lifetime,
    /// Kept alive by the transport.
    pub(crate) router: Router,
}

/// What makes a difference to the producers and consumers on a transport.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// To an endpoint.
    Endpoint,
    /// To another router.
    Pipe {
        /// Lost packets are sent again.
        rtx: bool,
    },
    /// To the application.
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
pub(crate) struct Handlers {
    pub(crate) new_producer: Bag<Arc<dyn Fn(&Producer) + Send + Sync>, Producer>,
    pub(crate) new_consumer: Bag<Arc<dyn Fn(&Consumer) + Send + Sync>, Consumer>,
    pub(crate) new_data_producer: Bag<Arc<dyn Fn(&DataProducer) + Send + Sync>, DataProducer>,
    pub(crate) new_data_consumer: Bag<Arc<dyn Fn(&DataConsumer) + Send + Sync>, DataConsumer>,
    pub(crate) sctp_state_change: Bag<Arc<dyn Fn(SctpState) + Send + Sync>>,
    pub(crate) trace: Bag<Arc<dyn Fn(&TransportTraceEventData) + Send + Sync>, TransportTraceEventData>,
}

impl TransportBase {
    /// Has the worker make a transport.
    pub(crate) async fn create(router: &Router, request: Request) -> Result<TransportDump, RequestError> {
        Self::described(router.worker().channel().request(request).await?)
    }

    /// The transport that an answer describes.
    pub(crate) fn described(answer: Response) -> Result<TransportDump, RequestError> {
        match answer {
            Response::TransportDump(made) => Ok(*made),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// `made` is how the worker has made it.
    pub(crate) fn new(
        made: &TransportDump,
        router: Router,
        kind: Kind,
        enable_bwe: bool,
        app_data: AppData,
    ) -> Self {
        let sctp = made.sctp.as_ref().map(|sctp| Sctp {
            parameters: sctp.parameters,
            state: sctp.state,
            negotiated_capabilities: sctp.negotiated_capabilities,
        });
        Self {
            id: made.id.clone().into(),
            app_data,
            handlers: Handlers::default(),
            kind,
            enable_bwe,
            next_mid: AtomicU32::new(0),
            cname: Mutex::new(None),
            stream_ids: StreamIds::default(),
            sctp: Mutex::new(sctp),
            lifetime: Lifetime::default(),
            router,
        }
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
        output.field("id", &self.id).field("router", &self.router).field("closed", &self.lifetime);
        output
    }

    pub(crate) async fn enable_trace_event(
        &self,
        types: &[TransportTraceEventType],
    ) -> Result<(), RequestError> {
        let trace = TransportTraceEventType::to_core(types);
        self.request(Request::EnableTransportTrace(self.id.into(), trace)).await
    }

    pub(crate) async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMaxIncomingBitrate(self.id.into(), Bitrate::bps(bitrate))).await
    }

    pub(crate) async fn set_max_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMaxOutgoingBitrate(self.id.into(), Bitrate::bps(bitrate))).await
    }

    pub(crate) async fn set_min_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMinOutgoingBitrate(self.id.into(), Bitrate::bps(bitrate))).await
    }

    /// Sets the limits that the options give.
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
        Self::described(self.channel().request(Request::DumpTransport(self.id.into())).await?)
    }

    pub(crate) async fn stats(&self) -> Result<TransportStats, RequestError> {
        match self.channel().request(Request::TransportStats(self.id.into())).await? {
            Response::TransportStats(stats) => Ok(*stats),
            other => Err(RequestError::unexpected(&other)),
        }
    }

    /// Handles an event that transports of any kind may have.
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
            other => tracing::debug!(id = %self.id, ?other, "event of another kind of transport"),
        }
    }

    /// A request whose answer says nothing.
    async fn request(&self, request: Request) -> Result<(), RequestError> {
        self.channel().request(request).await.map(|_| ())
    }
}

impl WorkerObject for TransportBase {
    fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    fn worker(&self) -> &Worker {
        self.router.worker()
    }

    fn close_request(&self) -> Request {
        Request::CloseTransport(self.id.into())
    }

    fn withdraw(&self) {
        self.router.worker().dispatcher().forget(api::TransportId::from(self.id));
    }
}

impl Drop for TransportBase {
    fn drop(&mut self) {
        self.close(true);
    }
}
