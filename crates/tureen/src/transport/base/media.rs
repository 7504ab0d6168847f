//! Creation of producers and consumers on a transport.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tureen_engine::api::{self, Consume, Produce, Request, Response};
use uuid::Uuid;

use super::{Kind, TransportBase};
use crate::consumer::{Consumer, ConsumerId, ConsumerOptions, ConsumerType, NewConsumer};
use crate::ortc;
use crate::producer::{NewProducer, Producer, ProducerId, ProducerOptions, ProducerType};
use crate::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};
use crate::threads::CloseOnDrop;
use crate::transport::{ConsumeError, ProduceError, Transport};
use crate::worker::RequestError;

impl TransportBase {
    /// Creates a producer. It keeps `transport`, a handle of this transport.
    pub(crate) async fn produce(
        &self,
        transport: Arc<dyn Transport>,
        options: ProducerOptions,
    ) -> Result<Producer, ProduceError> {
        if let Some(id) = options.id
            && self.router().producer(&id).is_some()
        {
            return Err(ProduceError::AlreadyExists(id));
        }
        let ProducerOptions {
            id,
            kind,
            mut rtp_parameters,
            paused,
            key_frame_request_delay,
            enable_mediasoup_packet_id_header_extension,
            app_data,
        } = options;
        // First, because everything below takes longer the larger the parameters are. The worker checks the same,
        // with the same error.
        ortc::check_rtp_parameters(&rtp_parameters)
            .map_err(|reason| ProduceError::Request(RequestError::Response { reason }))?;
        ortc::validate_rtp_parameters(&rtp_parameters).map_err(ProduceError::IncorrectRtpParameters)?;
        if rtp_parameters.encodings.is_empty() {
            rtp_parameters.encodings.push(RtpEncodingParameters::default());
        }
        if !self.enable_bwe {
            ortc::disable_bwe_in_rtp_parameters(&mut rtp_parameters);
        }
        self.set_cname(&mut rtp_parameters);

        let router_rtp_capabilities = self.router().rtp_capabilities();
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
        let guard = CloseOnDrop::new(self.object.channel(), Request::CloseProducer(id.into()));
        let events = self.router().worker().dispatcher().hold(api::ProducerId::from(id));
        let request = Request::Produce(Produce {
            transport_id: self.id().into(),
            id: id.into(),
            kind,
            rtp_parameters: rtp_parameters.clone(),
            rtp_mapping,
            paused,
            key_frame_request_delay: Duration::from_millis(key_frame_request_delay.into()),
            enable_packet_id: enable_mediasoup_packet_id_header_extension,
        });
        let response = match self.object.channel().request(request).await {
            Ok(response) => response,
            Err(error) => {
                // Disarmed, because the id may be that of another producer, which stays open.
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

        let producer = Producer::new(NewProducer {
            id,
            kind,
            r#type,
            rtp_parameters,
            consumable_rtp_parameters,
            paused,
            app_data,
            transport,
            direct: matches!(self.kind, Kind::Direct),
        });
        guard.disarm();
        self.router().add_producer(&producer);
        self.handlers.new_producer.call_simple(&producer);
        events.deliver_to(producer.sink());
        Ok(producer)
    }

    /// Creates a consumer. It keeps `transport`, a handle of this transport.
    pub(crate) async fn consume(
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
        ortc::check_rtp_capabilities(&rtp_capabilities)
            .map_err(|reason| ConsumeError::Request(RequestError::Response { reason }))?;
        ortc::validate_rtp_capabilities(&rtp_capabilities)
            .map_err(ConsumeError::FailedRtpCapabilitiesValidation)?;
        let producer =
            self.router().producer(&producer_id).ok_or(ConsumeError::ProducerNotFound(producer_id))?;

        let consumable = producer.consumable_rtp_parameters();
        let rtp_parameters = match self.kind {
            Kind::Pipe { rtx } => ortc::get_pipe_consumer_rtp_parameters(consumable, rtx, &mut rng()),
            _ => {
                let enable_rtx = enable_rtx.unwrap_or(producer.kind() == MediaKind::Video);
                let mut rtp_parameters = ortc::get_consumer_rtp_parameters(
                    consumable,
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
                rtp_parameters
            }
        };
        let pipe = pipe || matches!(self.kind, Kind::Pipe { .. });
        let r#type = if pipe { ConsumerType::Pipe } else { producer.r#type().into() };

        let id = ConsumerId::new();
        let guard = CloseOnDrop::new(self.object.channel(), Request::CloseConsumer(id.into()));
        let events = self.router().worker().dispatcher().hold(api::ConsumerId::from(id));
        let request = Request::Consume(Box::new(Consume {
            transport_id: self.id().into(),
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
        let response = self.object.channel().request(request).await.map_err(ConsumeError::Request)?;
        let Response::Consumed(consumed) = response else {
            return Err(ConsumeError::Request(RequestError::unexpected(&response)));
        };

        let consumer = Consumer::new(NewConsumer {
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

    /// Gives all producers of the transport the CNAME of the first one, or a random one, by which endpoints know the
    /// streams that share a clock (RFC 3550 §6.5.1). Producers on a PipeTransport keep theirs, because they belong to
    /// many endpoints.
    fn set_cname(&self, rtp_parameters: &mut RtpParameters) {
        let given = rtp_parameters.rtcp.cname.take();
        let random = || Uuid::new_v4().to_string();
        let cname = match self.kind {
            Kind::Pipe { .. } => given.unwrap_or_else(random),
            _ => self.cname.lock().get_or_insert_with(|| given.unwrap_or_else(random)).clone(),
        };
        rtp_parameters.rtcp.cname = Some(cname);
    }

    /// MIDs count up. They have at most eight digits, which keeps the header extension short.
    fn next_mid(&self) -> String {
        (self.next_mid.fetch_add(1, Ordering::Relaxed) % 100_000_000).to_string()
    }
}

/// Random numbers for SSRCs.
fn rng() -> StdRng {
    StdRng::from_os_rng()
}
