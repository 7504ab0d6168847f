//! The part of a transport that does not depend on its kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tureen_core::api::{self, Consume, Produce, Request, Response};
use tureen_core::units::Bitrate;
use uuid::Uuid;

use super::{
    ConsumeError, ProduceError, Transport, TransportId, TransportTraceEventData, TransportTraceEventType,
};
use crate::consumer::{Consumer, ConsumerId, ConsumerOptions, ConsumerType};
use crate::data_structures::AppData;
use crate::driver::{Channel, CloseOnDrop};
use crate::ortc;
use crate::producer::{Producer, ProducerId, ProducerOptions, ProducerType};
use crate::router::{Router, consumer, producer};
use crate::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};
use crate::worker::RequestError;

/// What every kind of transport has.
pub(in crate::router) struct TransportBase {
    pub(in crate::router) id: TransportId,
    pub(in crate::router) app_data: AppData,
    pub(in crate::router) handlers: Handlers,
    /// Whether what is produced and consumed may negotiate bandwidth estimation.
    enable_bwe: bool,
    next_mid: AtomicU32,
    /// RTCP CNAME of all producers on the transport.
    cname: Mutex<Option<String>>,
    closed: AtomicBool,
    /// Kept alive by the transport.
    pub(in crate::router) router: Router,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
pub(in crate::router) struct Handlers {
    pub(in crate::router) new_producer: Bag<Arc<dyn Fn(&Producer) + Send + Sync>, Producer>,
    pub(in crate::router) new_consumer: Bag<Arc<dyn Fn(&Consumer) + Send + Sync>, Consumer>,
    pub(in crate::router) trace:
        Bag<Arc<dyn Fn(&TransportTraceEventData) + Send + Sync>, TransportTraceEventData>,
    pub(in crate::router) router_close: BagOnce<Box<dyn FnOnce() + Send>>,
    pub(in crate::router) close: BagOnce<Box<dyn FnOnce() + Send>>,
}

impl TransportBase {
    pub(in crate::router) fn new(
        id: TransportId,
        router: Router,
        enable_bwe: bool,
        app_data: AppData,
    ) -> Self {
        Self {
            id,
            app_data,
            handlers: Handlers::default(),
            enable_bwe,
            next_mid: AtomicU32::new(0),
            cname: Mutex::new(None),
            closed: AtomicBool::new(false),
            router,
        }
    }

    pub(in crate::router) fn channel(&self) -> &Channel {
        self.router.worker().channel()
    }

    pub(in crate::router) fn closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Closes the transport, once. The worker is not told where it knows.
    pub(in crate::router) fn close(&self, tell_worker: bool) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.router.worker().dispatcher().forget(api::TransportId::from(self.id));
            self.handlers.close.call_simple();
            if tell_worker {
                self.channel().close(Request::CloseTransport(self.id.into()));
            }
        }
    }

    pub(in crate::router) fn on_close(&self, callback: Box<dyn FnOnce() + Send>) -> HandlerId {
        let handler_id = self.handlers.close.add(callback);
        if self.closed() {
            self.handlers.close.call_simple();
        }
        handler_id
    }

    pub(in crate::router) async fn enable_trace_event(
        &self,
        types: &[TransportTraceEventType],
    ) -> Result<(), RequestError> {
        let trace = TransportTraceEventType::to_core(types);
        self.request(Request::EnableTransportTrace(self.id.into(), trace)).await
    }

    pub(in crate::router) async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMaxIncomingBitrate(self.id.into(), Bitrate::bps(bitrate))).await
    }

    pub(in crate::router) async fn set_max_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMaxOutgoingBitrate(self.id.into(), Bitrate::bps(bitrate))).await
    }

    pub(in crate::router) async fn set_min_outgoing_bitrate(&self, bitrate: u64) -> Result<(), RequestError> {
        self.request(Request::SetMinOutgoingBitrate(self.id.into(), Bitrate::bps(bitrate))).await
    }

    /// A request whose answer says nothing.
    async fn request(&self, request: Request) -> Result<(), RequestError> {
        self.channel().request(request).await.map(|_| ())
    }

    /// `transport` is the handle of this transport, which the producer keeps alive.
    pub(in crate::router) async fn produce(
        &self,
        transport: Arc<dyn Transport>,
        options: ProducerOptions,
    ) -> Result<Producer, ProduceError> {
        if let Some(id) = options.id
            && self.router.producer(&id).is_some()
        {
            return Err(ProduceError::AlreadyExists(id));
        }
        let ProducerOptions { id, kind, mut rtp_parameters, paused, key_frame_request_delay, app_data } =
            options;
        ortc::validate_rtp_parameters(&rtp_parameters).map_err(ProduceError::IncorrectRtpParameters)?;
        if rtp_parameters.encodings.is_empty() {
            rtp_parameters.encodings.push(RtpEncodingParameters::default());
        }
        if !self.enable_bwe {
            ortc::disable_bwe_in_rtp_parameters(&mut rtp_parameters);
        }
        self.set_cname(&mut rtp_parameters);

        let router_rtp_capabilities = self.router.rtp_capabilities();
        let rtp_mapping =
            ortc::get_producer_rtp_parameters_mapping(&rtp_parameters, &router_rtp_capabilities, &mut rng())
                .map_err(ProduceError::FailedRtpParametersMapping)?;
        let consumable_rtp_parameters = ortc::get_consumable_rtp_parameters(
            kind,
            &rtp_parameters,
            &router_rtp_capabilities,
            &rtp_mapping,
        );

        let id = id.unwrap_or_else(ProducerId::new);
        let guard = CloseOnDrop::new(self.channel(), Request::CloseProducer(id.into()));
        let events = self.router.worker().dispatcher().hold(api::ProducerId::from(id));
        let request = Request::Produce(Produce {
            transport_id: self.id.into(),
            id: id.into(),
            kind,
            rtp_parameters: rtp_parameters.clone(),
            rtp_mapping,
            paused,
            key_frame_request_delay: Duration::from_millis(key_frame_request_delay.into()),
            enable_packet_id: false,
        });
        let response = match self.channel().request(request).await {
            Ok(response) => response,
            Err(error) => {
                // The id may be that of another producer, which stays.
                guard.disarm();
                return Err(ProduceError::Request(error));
            }
        };
        let r#type = match &response {
            Response::Produced { stream_type } => ProducerType::from_core(*stream_type),
            _ => None,
        };
        let Some(r#type) = r#type else {
            return Err(ProduceError::Request(RequestError::unexpected(&response)));
        };

        let producer = Producer::new(producer::New {
            id,
            kind,
            r#type,
            rtp_parameters,
            consumable_rtp_parameters,
            paused,
            app_data,
            transport,
        });
        guard.disarm();
        self.router.add_producer(&producer);
        self.handlers.new_producer.call_simple(&producer);
        events.deliver_to(producer.sink());
        Ok(producer)
    }

    /// `transport` is the handle of this transport, which the consumer keeps alive.
    pub(in crate::router) async fn consume(
        &self,
        transport: Arc<dyn Transport>,
        options: ConsumerOptions,
    ) -> Result<Consumer, ConsumeError> {
        let ConsumerOptions {
            producer_id,
            rtp_capabilities,
            paused,
            mid,
            preferred_layers,
            enable_rtx,
            ignore_dtx,
            pipe,
            app_data,
        } = options;
        ortc::validate_rtp_capabilities(&rtp_capabilities)
            .map_err(ConsumeError::FailedRtpCapabilitiesValidation)?;
        let producer =
            self.router.producer(&producer_id).ok_or(ConsumeError::ProducerNotFound(producer_id))?;

        let enable_rtx = enable_rtx.unwrap_or(producer.kind() == MediaKind::Video);
        let mut rtp_parameters = ortc::get_consumer_rtp_parameters(
            producer.consumable_rtp_parameters(),
            &rtp_capabilities,
            pipe,
            enable_rtx,
            self.enable_bwe,
            &mut rng(),
        )
        .map_err(ConsumeError::BadConsumerRtpParameters)?;
        if !pipe {
            rtp_parameters.mid = mid.or_else(|| Some(self.next_mid()));
        }
        let r#type = if pipe { ConsumerType::Pipe } else { producer.r#type().into() };

        let id = ConsumerId::new();
        let guard = CloseOnDrop::new(self.channel(), Request::CloseConsumer(id.into()));
        let events = self.router.worker().dispatcher().hold(api::ConsumerId::from(id));
        let request = Request::Consume(Box::new(Consume {
            transport_id: self.id.into(),
            producer_id: producer_id.into(),
            id: id.into(),
            kind: producer.kind(),
            rtp_parameters: rtp_parameters.clone(),
            stream_type: r#type.to_core(),
            consumable_rtp_encodings: producer.consumable_rtp_parameters().encodings.clone(),
            paused,
            preferred_layers: preferred_layers.map(Into::into),
            ignore_dtx,
        }));
        let response = self.channel().request(request).await.map_err(ConsumeError::Request)?;
        let Response::Consumed(consumed) = response else {
            return Err(ConsumeError::Request(RequestError::unexpected(&response)));
        };

        let consumer = Consumer::new(consumer::New {
            id,
            producer_id,
            kind: producer.kind(),
            r#type,
            rtp_parameters,
            consumed,
            app_data,
            transport,
        });
        guard.disarm();
        self.handlers.new_consumer.call_simple(&consumer);
        events.deliver_to(consumer.sink());
        Ok(consumer)
    }

    /// Gives all producers of the transport one CNAME: that of the first one, or a random one. By it endpoints know
    /// which streams share a clock (RFC 3550 §6.5.1).
    fn set_cname(&self, rtp_parameters: &mut RtpParameters) {
        let mut cname = self.cname.lock();
        let given = rtp_parameters.rtcp.cname.take();
        let cname = cname.get_or_insert_with(|| given.unwrap_or_else(|| Uuid::new_v4().to_string()));
        rtp_parameters.rtcp.cname = Some(cname.clone());
    }

    /// MIDs count up. They have at most eight digits, so that the header extension stays short.
    fn next_mid(&self) -> String {
        (self.next_mid.fetch_add(1, Ordering::Relaxed) % 100_000_000).to_string()
    }
}

/// For SSRCs.
fn rng() -> StdRng {
    StdRng::from_os_rng()
}
