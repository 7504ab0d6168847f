//! Requests and notifications of the parent.

use std::num::NonZeroU16;
use std::time::Duration;

use tureen_engine::api::AudioLevelOptions;
use tureen_engine::api::{
    ActiveSpeakerOptions, CreateActiveSpeakerObserver, CreateAudioLevelObserver, CreateWebRtcServer,
    DataMessage, Injection, Request,
};
use tureen_rtc::units::Bitrate;

use super::schema::notification::{self, Event};
use super::schema::request::{Body, Method, Request as Wire};
use super::{Parse, data, invalid, media, rtp, transport};
use crate::dialect::{Call, Incoming, LogSettings, Refusal};

/// Decodes the content of a request.
pub(super) fn read_request(from: Wire) -> Parse<Call> {
    use Method as M;
    use Request as R;

    let Wire { method, handler_id: id, body, .. } = from;

    /// The body, which must be of the method's type.
    macro_rules! body {
        ($variant:ident) => {
            match body {
                Some(Body::$variant(body)) => *body,
                _ => return Err(invalid(format!("{method:?} comes without its body"))),
            }
        };
    }

    Ok(Call::Engine(match method {
        M::WorkerGetResourceUsage => return Ok(Call::ResourceUsage),
        M::WorkerUpdateSettings => {
            let body = body!(WorkerUpdateSettingsRequest);
            return Ok(Call::UpdateSettings(LogSettings { level: body.log_level, tags: body.log_tags }));
        }
        M::WorkerDump => R::DumpWorker,
        M::WorkerCreateWebrtcserver => {
            let body = body!(WorkerCreateWebRtcServerRequest);
            R::CreateWebRtcServer(CreateWebRtcServer {
                id: body.web_rtc_server_id.into(),
                listen_infos: transport::read_listen_infos(body.listen_infos.unwrap_or_default())?,
            })
        }
        M::WorkerWebrtcserverClose => {
            R::CloseWebRtcServer(body!(WorkerCloseWebRtcServerRequest).web_rtc_server_id.into())
        }
        M::WorkerCreateRouter => R::CreateRouter(body!(WorkerCreateRouterRequest).router_id.into()),
        M::WorkerCloseRouter => R::CloseRouter(body!(WorkerCloseRouterRequest).router_id.into()),
        M::WebrtcserverDump => R::DumpWebRtcServer(id.into()),

        M::RouterDump => R::DumpRouter(id.into()),
        M::RouterCreateWebrtctransport | M::RouterCreateWebrtctransportWithServer => {
            let body = body!(RouterCreateWebRtcTransportRequest);
            let (router, transport) = (id.into(), body.transport_id.into());
            R::CreateWebRtcTransport(transport::read_webrtc_options(router, transport, *body.options)?)
        }
        M::RouterCreatePlaintransport => {
            let body = body!(RouterCreatePlainTransportRequest);
            let (router, transport) = (id.into(), body.transport_id.into());
            R::CreatePlainTransport(transport::read_plain_options(router, transport, *body.options)?)
        }
        M::RouterCreatePipetransport => {
            let body = body!(RouterCreatePipeTransportRequest);
            let (router, transport) = (id.into(), body.transport_id.into());
            R::CreatePipeTransport(transport::read_pipe_options(router, transport, *body.options)?)
        }
        M::RouterCreateDirecttransport => {
            let body = body!(RouterCreateDirectTransportRequest);
            let (router, transport) = (id.into(), body.transport_id.into());
            R::CreateDirectTransport(transport::read_direct_options(router, transport, *body.options))
        }
        M::RouterCloseTransport => R::CloseTransport(body!(RouterCloseTransportRequest).transport_id.into()),
        M::RouterCreateActivespeakerobserver => {
            let body = body!(RouterCreateActiveSpeakerObserverRequest);
            let interval = Duration::from_millis(body.options.interval.into());
            R::CreateActiveSpeakerObserver(CreateActiveSpeakerObserver {
                router_id: id.into(),
                id: body.rtp_observer_id.into(),
                options: ActiveSpeakerOptions { interval },
            })
        }
        M::RouterCreateAudiolevelobserver => {
            let body = body!(RouterCreateAudioLevelObserverRequest);
            let max_entries = NonZeroU16::new(body.options.max_entries)
                .ok_or_else(|| invalid("invalid maxEntries value 0"))?;
            R::CreateAudioLevelObserver(CreateAudioLevelObserver {
                router_id: id.into(),
                id: body.rtp_observer_id.into(),
                options: AudioLevelOptions {
                    max_entries,
                    threshold: body.options.threshold,
                    interval: Duration::from_millis(body.options.interval.into()),
                },
            })
        }
        M::RouterCloseRtpobserver => {
            R::CloseRtpObserver(body!(RouterCloseRtpObserverRequest).rtp_observer_id.into())
        }

        M::TransportDump => R::DumpTransport(id.into()),
        M::TransportGetStats => R::TransportStats(id.into()),
        M::WebrtctransportConnect => {
            let parameters = *body!(WebRtcTransportConnectRequest).dtls_parameters;
            R::ConnectWebRtcTransport(id.into(), transport::read_dtls_parameters(parameters)?)
        }
        M::PlaintransportConnect => {
            let body = body!(PlainTransportConnectRequest);
            R::ConnectPlainTransport(id.into(), transport::read_plain_connect(body)?)
        }
        M::PipetransportConnect => {
            let body = body!(PipeTransportConnectRequest);
            R::ConnectPipeTransport(id.into(), transport::read_pipe_connect(body)?)
        }
        M::TransportConnect => return Err(invalid("unknown method TRANSPORT_CONNECT")),
        M::TransportSetMaxIncomingBitrate => {
            let body = body!(TransportSetMaxIncomingBitrateRequest);
            R::SetMaxIncomingBitrate(id.into(), Bitrate::bps(body.max_incoming_bitrate))
        }
        M::TransportSetMaxOutgoingBitrate => {
            let body = body!(TransportSetMaxOutgoingBitrateRequest);
            R::SetMaxOutgoingBitrate(id.into(), Bitrate::bps(body.max_outgoing_bitrate))
        }
        M::TransportSetMinOutgoingBitrate => {
            let body = body!(TransportSetMinOutgoingBitrateRequest);
            R::SetMinOutgoingBitrate(id.into(), Bitrate::bps(body.min_outgoing_bitrate))
        }
        M::TransportRestartIce => R::RestartIce(id.into()),
        M::TransportEnableTraceEvent => {
            let events = body!(TransportEnableTraceEventRequest).events;
            R::EnableTransportTrace(id.into(), transport::read_trace(events))
        }
        M::TransportProduce => R::Produce(media::read_produce(id.into(), body!(TransportProduceRequest))?),
        M::TransportConsume => {
            R::Consume(Box::new(media::read_consume(id.into(), body!(TransportConsumeRequest))?))
        }
        M::TransportProduceData => {
            R::ProduceData(data::read_produce(id.into(), body!(TransportProduceDataRequest))?)
        }
        M::TransportConsumeData => {
            R::ConsumeData(data::read_consume(id.into(), body!(TransportConsumeDataRequest))?)
        }
        M::TransportCloseProducer => {
            R::CloseProducer(body!(TransportCloseProducerRequest).producer_id.into())
        }
        M::TransportCloseConsumer => {
            R::CloseConsumer(body!(TransportCloseConsumerRequest).consumer_id.into())
        }
        M::TransportCloseDataproducer => {
            R::CloseDataProducer(body!(TransportCloseDataProducerRequest).data_producer_id.into())
        }
        M::TransportCloseDataconsumer => {
            R::CloseDataConsumer(body!(TransportCloseDataConsumerRequest).data_consumer_id.into())
        }

        M::ProducerDump => R::DumpProducer(id.into()),
        M::ProducerGetStats => R::ProducerStats(id.into()),
        M::ProducerPause => R::PauseProducer(id.into()),
        M::ProducerResume => R::ResumeProducer(id.into()),
        M::ProducerEnableTraceEvent => {
            let events = body!(ProducerEnableTraceEventRequest).events;
            R::EnableProducerTrace(id.into(), media::read_producer_trace(events))
        }
        M::ConsumerDump => R::DumpConsumer(id.into()),
        M::ConsumerGetStats => R::ConsumerStats(id.into()),
        M::ConsumerPause => R::PauseConsumer(id.into()),
        M::ConsumerResume => R::ResumeConsumer(id.into()),
        M::ConsumerSetPreferredLayers => {
            let layers = *body!(ConsumerSetPreferredLayersRequest).preferred_layers;
            R::SetPreferredLayers(id.into(), rtp::read_layers(layers))
        }
        M::ConsumerSetPriority => R::SetPriority(id.into(), body!(ConsumerSetPriorityRequest).priority),
        M::ConsumerRequestKeyFrame => R::RequestKeyFrame(id.into()),
        M::ConsumerEnableTraceEvent => {
            let events = body!(ConsumerEnableTraceEventRequest).events;
            R::EnableConsumerTrace(id.into(), media::read_consumer_trace(events))
        }

        M::DataproducerDump => R::DumpDataProducer(id.into()),
        M::DataproducerGetStats => R::DataProducerStats(id.into()),
        M::DataproducerPause => R::PauseDataProducer(id.into()),
        M::DataproducerResume => R::ResumeDataProducer(id.into()),
        M::DataconsumerDump => R::DumpDataConsumer(id.into()),
        M::DataconsumerGetStats => R::DataConsumerStats(id.into()),
        M::DataconsumerPause => R::PauseDataConsumer(id.into()),
        M::DataconsumerResume => R::ResumeDataConsumer(id.into()),
        M::DataconsumerGetBufferedAmount => R::BufferedAmount(id.into()),
        M::DataconsumerSetBufferedAmountLowThreshold => {
            let body = body!(DataConsumerSetBufferedAmountLowThresholdRequest);
            R::SetBufferedAmountLowThreshold(id.into(), body.threshold)
        }
        M::DataconsumerSend => {
            let body = body!(DataConsumerSendRequest);
            R::SendData(id.into(), DataMessage { ppid: body.ppid, payload: body.data })
        }
        M::DataconsumerSetSubchannels => {
            R::SetSubchannels(id.into(), body!(DataConsumerSetSubchannelsRequest).subchannels)
        }
        M::DataconsumerAddSubchannel => {
            R::AddSubchannel(id.into(), body!(DataConsumerAddSubchannelRequest).subchannel)
        }
        M::DataconsumerRemoveSubchannel => {
            R::RemoveSubchannel(id.into(), body!(DataConsumerRemoveSubchannelRequest).subchannel)
        }

        M::RtpobserverPause => R::PauseRtpObserver(id.into()),
        M::RtpobserverResume => R::ResumeRtpObserver(id.into()),
        M::RtpobserverAddProducer => {
            R::RtpObserverAddProducer(id.into(), body!(RtpObserverAddProducerRequest).producer_id.into())
        }
        M::RtpobserverRemoveProducer => {
            let body = body!(RtpObserverRemoveProducerRequest);
            R::RtpObserverRemoveProducer(id.into(), body.producer_id.into())
        }
    }))
}

/// Decodes a notification of the parent.
pub(super) fn read_notification(from: notification::Notification) -> Result<Incoming, Refusal> {
    use notification::Body;
    let id = from.handler_id;
    match (from.event, from.body) {
        (Event::WorkerClose, _) => Ok(Incoming::Close),
        (Event::TransportSendRtcp, Some(Body::TransportSendRtcpNotification(body))) => {
            Ok(Incoming::Injection(Injection::Rtcp(id.into(), body.data)))
        }
        (Event::ProducerSend, Some(Body::ProducerSendNotification(body))) => {
            Ok(Incoming::Injection(Injection::Rtp(id.into(), body.data)))
        }
        (Event::DataproducerSend, Some(Body::DataProducerSendNotification(body))) => {
            Ok(Incoming::Injection(Injection::Data(id.into(), data::read_publication(*body))))
        }
        (event, _) => Err(Refusal::Message(format!("notification {event:?} for {id:?} makes no sense"))),
    }
}
