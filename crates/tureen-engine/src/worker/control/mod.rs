//! Dispatch of requests by the entity that they are about.

pub(crate) mod consumers;
pub(crate) mod observers;
pub(crate) mod parameters;
pub(crate) mod producers;
pub(crate) mod routers;
pub(crate) mod stats;
pub(crate) mod transports;

use std::time::Instant;

use crate::api::{Request, RequestError, RequestId, Response};
use crate::worker::arena::Media;
use crate::worker::forward::{bandwidth, key_frames, layers};
use crate::worker::out::Out;
use crate::worker::paths::{Paths, servers};
use crate::worker::{data, drops};

pub(crate) type Answer = Result<Response, RequestError>;

/// Carries out a request. Returns `None` if the response follows later.
pub(crate) fn control(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: RequestId,
    request: Request,
) -> Option<Answer> {
    Some(match request {
        Request::CreateWebRtcServer(options) => {
            return servers::create_server(paths, out, id, options).err().map(Err);
        }
        Request::CreateWebRtcTransport(options) => {
            return transports::create_webrtc_transport(media, paths, out, now, id, options).err().map(Err);
        }
        Request::CreatePlainTransport(options) => {
            return transports::create_plain_transport(media, paths, out, now, id, &options).err().map(Err);
        }
        Request::CreatePipeTransport(options) => {
            return transports::create_pipe_transport(media, paths, out, now, id, &options).err().map(Err);
        }
        Request::CreateDirectTransport(options) => {
            transports::create_direct_transport(media, paths, out, now, options)
        }
        Request::DumpWorker => Ok(Response::WorkerDump(stats::dump_worker(media, paths))),
        Request::WorkerDrops => Ok(Response::WorkerDrops(drops::all(media, out))),
        Request::CloseWebRtcServer(server) => servers::find_server(paths, &server)
            .map(|()| servers::close_server(media, paths, out, now, &server))
            .map(done),
        Request::DumpWebRtcServer(server) => {
            stats::dump_server(media, paths, &server).map(Response::WebRtcServerDump)
        }
        Request::CreateRouter(router) => routers::create_router(media, router).map(done),
        Request::CloseRouter(router) => routers::close_router(media, paths, out, now, &router).map(done),
        Request::DumpRouter(router) => stats::dump_router(media, &router).map(Response::RouterDump),
        Request::ConnectWebRtcTransport(transport, parameters) => {
            transports::connect_webrtc(media, out, now, &transport, &parameters)
        }
        Request::ConnectPlainTransport(transport, remote) => {
            transports::connect_plain(media, paths, out, now, &transport, &remote)
        }
        Request::ConnectPipeTransport(transport, remote) => {
            transports::connect_pipe(media, paths, out, now, &transport, &remote)
        }
        Request::ConnectTransport(transport, remote) => {
            transports::connect_any(media, paths, out, now, &transport, remote)
        }
        Request::RestartIce(transport) => transports::restart_ice(media, paths, out, now, &transport),
        Request::CloseTransport(transport) => media
            .transports
            .find(&transport)
            .map(|key| transports::close_transport(media, paths, out, now, key))
            .map(done),
        Request::DumpTransport(transport) => media
            .transports
            .find(&transport)
            .map(|key| Response::TransportDump(Box::new(stats::dump_transport(media, paths, key)))),
        Request::TransportStats(transport) => stats::transport_stats(media, paths, out, now, &transport)
            .map(|stats| Response::TransportStats(Box::new(stats))),
        Request::SetMaxIncomingBitrate(transport, bitrate) => {
            transports::set_max_incoming_bitrate(media, out, now, &transport, bitrate).map(done)
        }
        Request::SetMaxOutgoingBitrate(transport, bitrate) => {
            bandwidth::set_outgoing_bitrate(media, out, now, &transport, |t| {
                t.bitrates.set_max_outgoing(bitrate)
            })
            .map(done)
        }
        Request::SetMinOutgoingBitrate(transport, bitrate) => {
            bandwidth::set_outgoing_bitrate(media, out, now, &transport, |t| {
                t.bitrates.set_min_outgoing(bitrate)
            })
            .map(done)
        }
        Request::EnableTransportTrace(transport, trace) => {
            media.transports.find_mut(&transport).map(|t| t.trace = trace).map(done)
        }
        Request::Produce(options) => producers::produce(media, out, now, options),
        Request::CloseProducer(producer) => media
            .producers
            .find(&producer)
            .map(|key| producers::close_producer(media, out, now, key))
            .map(done),
        Request::DumpProducer(producer) => {
            media.producers.find_mut(&producer).map(|p| Response::ProducerDump(Box::new(p.dump())))
        }
        Request::ProducerStats(producer) => {
            stats::producer_stats(media, out, now, &producer).map(Response::RtpStreamStats)
        }
        Request::PauseProducer(producer) => {
            producers::pause_producer(media, out, now, &producer, true).map(done)
        }
        Request::ResumeProducer(producer) => {
            producers::pause_producer(media, out, now, &producer, false).map(done)
        }
        Request::EnableProducerTrace(producer, trace) => {
            media.producers.find_mut(&producer).map(|p| p.trace = trace).map(done)
        }
        Request::Consume(options) => consumers::consume(media, out, now, *options),
        Request::CloseConsumer(consumer) => {
            media.consumers.find(&consumer).map(|key| consumers::close_consumer(media, out, key)).map(done)
        }
        Request::DumpConsumer(consumer) => {
            stats::dump_consumer(media, &consumer).map(|dump| Response::ConsumerDump(Box::new(dump)))
        }
        Request::ConsumerStats(consumer) => {
            stats::consumer_stats(media, out, now, &consumer).map(Response::RtpStreamStats)
        }
        Request::PauseConsumer(consumer) => consumers::pause_consumer(media, out, &consumer).map(done),
        Request::ResumeConsumer(consumer) => consumers::resume_consumer(media, out, now, &consumer).map(done),
        Request::SetPreferredLayers(consumer, layers) => {
            layers::set_preferred_layers(media, out, now, &consumer, layers)
        }
        Request::SetPriority(consumer, priority) => consumers::set_priority(media, &consumer, priority),
        Request::RequestKeyFrame(consumer) => media
            .consumers
            .find(&consumer)
            .map(|key| key_frames::prepare_key_frame(media, out, now, key))
            .map(done),
        Request::EnableConsumerTrace(consumer, trace) => {
            media.consumers.find_mut(&consumer).map(|c| c.trace = trace).map(done)
        }
        Request::CreateActiveSpeakerObserver(options) => {
            observers::create_active_speaker_observer(media, out, now, options).map(done)
        }
        Request::CreateAudioLevelObserver(options) => {
            observers::create_audio_level_observer(media, out, now, options).map(done)
        }
        Request::CloseRtpObserver(observer) => {
            media.observers.find(&observer).map(|key| observers::close_observer(media, out, key)).map(done)
        }
        Request::PauseRtpObserver(observer) => observers::pause_observer(media, out, &observer).map(done),
        Request::ResumeRtpObserver(observer) => {
            observers::resume_observer(media, out, now, &observer).map(done)
        }
        Request::RtpObserverAddProducer(observer, producer) => {
            observers::observe_producer(media, now, &observer, &producer).map(done)
        }
        Request::RtpObserverRemoveProducer(observer, producer) => {
            observers::unobserve_producer(media, out, now, &observer, &producer).map(done)
        }
        Request::ProduceData(_)
        | Request::CloseDataProducer(_)
        | Request::DumpDataProducer(_)
        | Request::DataProducerStats(_)
        | Request::PauseDataProducer(_)
        | Request::ResumeDataProducer(_)
        | Request::ConsumeData(_)
        | Request::CloseDataConsumer(_)
        | Request::DumpDataConsumer(_)
        | Request::DataConsumerStats(_)
        | Request::PauseDataConsumer(_)
        | Request::ResumeDataConsumer(_)
        | Request::BufferedAmount(_)
        | Request::SetBufferedAmountLowThreshold(..)
        | Request::SendData(..)
        | Request::SetSubchannels(..)
        | Request::AddSubchannel(..)
        | Request::RemoveSubchannel(..) => data::control_data(media, out, now, request),
    })
}

pub(crate) fn done((): ()) -> Response {
    Response::Done
}
