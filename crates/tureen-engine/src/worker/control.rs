//! Requests: making and closing things, changing their settings.

use std::time::Instant;

use super::arena::{Media, not_found};
use super::out::Out;
use super::paths::Paths;
use super::router::Router;
use super::server::{Pending, WebRtcServer};
use super::sockets::SocketOwner;
use super::starting::KeyFrameCause;
use super::timer::Timer;
use super::{
    congestion, data, drops, layers, observers, parameters, reports, sockets, starting, stats, transports,
};
use crate::api::{
    Consume, Consumed, ConsumerEvent, ConsumerId, CreateWebRtcServer, Produce, ProducerId, Request,
    RequestError, RequestId, Response, RouterId, TransportEvent, WebRtcServerId,
};
use crate::consumer::Consumer;
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::producer::Producer;
use crate::transport::send_control::Feedback;

pub(super) type Answer = Result<Response, RequestError>;

/// Carries out a request. `None` when the answer comes later.
pub(super) fn control(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: RequestId,
    request: Request,
) -> Option<Answer> {
    Some(match request {
        Request::CreateWebRtcServer(options) => return create_server(paths, out, id, options).err().map(Err),
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
        Request::CloseWebRtcServer(server) => {
            find_server(paths, &server).map(|()| close_server(media, paths, out, now, &server)).map(done)
        }
        Request::DumpWebRtcServer(server) => {
            stats::dump_server(media, paths, &server).map(Response::WebRtcServerDump)
        }
        Request::CreateRouter(router) => create_router(media, router).map(done),
        Request::CloseRouter(router) => close_router(media, paths, out, now, &router).map(done),
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
            congestion::set_outgoing_bitrate(media, out, now, &transport, |t| {
                t.bitrates.set_max_outgoing(bitrate)
            })
            .map(done)
        }
        Request::SetMinOutgoingBitrate(transport, bitrate) => {
            congestion::set_outgoing_bitrate(media, out, now, &transport, |t| {
                t.bitrates.set_min_outgoing(bitrate)
            })
            .map(done)
        }
        Request::EnableTransportTrace(transport, trace) => {
            media.transports.find_mut(&transport).map(|t| t.trace = trace).map(done)
        }
        Request::Produce(options) => produce(media, out, now, options),
        Request::CloseProducer(producer) => {
            media.producers.find(&producer).map(|key| close_producer(media, out, now, key)).map(done)
        }
        Request::DumpProducer(producer) => {
            media.producers.find_mut(&producer).map(|p| Response::ProducerDump(Box::new(p.dump())))
        }
        Request::ProducerStats(producer) => {
            stats::producer_stats(media, out, now, &producer).map(Response::RtpStreamStats)
        }
        Request::PauseProducer(producer) => pause_producer(media, out, now, &producer, true).map(done),
        Request::ResumeProducer(producer) => pause_producer(media, out, now, &producer, false).map(done),
        Request::EnableProducerTrace(producer, trace) => {
            media.producers.find_mut(&producer).map(|p| p.trace = trace).map(done)
        }
        Request::Consume(options) => consume(media, out, now, *options),
        Request::CloseConsumer(consumer) => {
            media.consumers.find(&consumer).map(|key| close_consumer(media, out, key)).map(done)
        }
        Request::DumpConsumer(consumer) => {
            stats::dump_consumer(media, &consumer).map(|dump| Response::ConsumerDump(Box::new(dump)))
        }
        Request::ConsumerStats(consumer) => {
            stats::consumer_stats(media, out, now, &consumer).map(Response::RtpStreamStats)
        }
        Request::PauseConsumer(consumer) => pause_consumer(media, out, &consumer).map(done),
        Request::ResumeConsumer(consumer) => resume_consumer(media, out, now, &consumer).map(done),
        Request::SetPreferredLayers(consumer, layers) => {
            layers::set_preferred_layers(media, out, now, &consumer, layers)
        }
        Request::SetPriority(consumer, priority) => set_priority(media, &consumer, priority),
        Request::RequestKeyFrame(consumer) => media
            .consumers
            .find(&consumer)
            .map(|key| starting::prepare_key_frame(media, out, now, key))
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

fn create_server(
    paths: &mut Paths,
    out: &mut Out,
    request: RequestId,
    options: CreateWebRtcServer,
) -> Result<(), RequestError> {
    if paths.servers.contains_key(&options.id) {
        return Err(RequestError::Duplicate { kind: "WebRtcServer", id: options.id.to_string() });
    }
    sockets::check_listen_infos(&options.listen_infos)?;
    let owner = SocketOwner::WebRtcServer(options.id.clone());
    let sockets: Vec<_> =
        options.listen_infos.iter().map(|info| sockets::open_socket(paths, out, &owner, info)).collect();
    let pending = (!sockets.is_empty()).then_some(Pending { request, unbound: sockets.len() });
    if pending.is_none() {
        out.respond(request, Ok(Response::Done));
    }
    let server = WebRtcServer { sockets, transports: Vec::new(), ufrags: hashbrown::HashMap::new(), pending };
    paths.servers.insert(options.id, server);
    Ok(())
}

pub(super) fn close_server(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &WebRtcServerId,
) {
    let Some(server) = paths.servers.remove(id) else { return };
    for key in server.transports {
        out.notify_transport(media, key, TransportEvent::ListenServerClosed);
        transports::close_transport(media, paths, out, now, key);
    }
    for socket in server.sockets {
        sockets::close_socket(paths, out, socket);
    }
}

fn create_router(media: &mut Media, id: RouterId) -> Result<(), RequestError> {
    if media.routers.contains_key(&id) {
        return Err(RequestError::Duplicate { kind: "Router", id: id.to_string() });
    }
    media.routers.insert(id, Router::default());
    Ok(())
}

fn close_router(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &RouterId,
) -> Result<(), RequestError> {
    let router = media.routers.remove(id).ok_or_else(|| not_found("Router", id))?;
    // Observers first: they have nothing to say about producers that go with them.
    for key in router.observers {
        observers::close_observer(media, out, key);
    }
    for key in router.transports {
        transports::close_transport(media, paths, out, now, key);
    }
    Ok(())
}

fn produce(media: &mut Media, out: &mut Out, now: Instant, mut options: Produce) -> Answer {
    parameters::complete(options.kind, &mut options.rtp_parameters)?;
    let transport_key = media.transports.find(&options.transport_id)?;
    media.producers.check_new(&options.id)?;
    let declared = declared_streams(media, transport_key) + options.rtp_parameters.encodings.len();
    let transport = &mut media.transports[transport_key];
    let limit = out.limits.streams_by(&transport.link);
    if declared > limit {
        let text = format!("transport {} would receive more than {limit} streams", transport.id);
        return Err(RequestError::Failed(text));
    }
    let producer = Producer::new(options, transport_key, &out.limits)?;
    let parameters = producer.rtp_parameters.clone();
    let ids = *producer.extension_ids();
    let cname = producer.cname().to_owned();
    let stream_type = producer.stream_type;
    let key = media.producers.insert(producer);
    if let Err(error) = transport.listener.add(key, &parameters) {
        media.producers.remove(key);
        return Err(error);
    }
    if let Some(opener) = &mut transport.opener {
        opener.set_max_streams(out.limits.srtp_streams_by(&transport.link, declared));
    }
    transport.learn_extension_ids(&ids);
    transport.clocks.add(&cname, ids.abs_capture_time.is_some());
    transport.learn_feedback(now, Feedback::of(&parameters));
    transport.producers.push(key);
    reports::send_remb(media, out, now, transport_key);
    Ok(Response::Produced { stream_type })
}

/// Streams that the Producers of a transport may send.
pub(super) fn declared_streams(media: &Media, key: TransportKey) -> usize {
    let producers = media.transports.get(key).into_iter().flat_map(|transport| &transport.producers);
    producers.map(|&producer| media.producers[producer].rtp_parameters.encodings.len()).sum()
}

pub(super) fn close_producer(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.get(key) else { return };
    for consumer in producer.consumers.clone() {
        out.notify_consumer(media, consumer, ConsumerEvent::ProducerClose);
        close_consumer(media, out, consumer);
    }
    let Some(producer) = media.producers.remove(key) else { return };
    observers::on_observed_producer_closed(media, out, now, key, &producer.observers);
    for timer in [Timer::Nack(key), Timer::KeyFrame(key), Timer::LayerActivity(key)] {
        out.timers.disarm(timer);
    }
    if let Some(transport) = media.transports.get_mut(producer.transport) {
        transport.producers.retain(|&other| other != key);
        transport.listener.remove(key);
        let of_sender = |other: &&ProducerKey| {
            media.producers.get(**other).is_some_and(|other| other.cname() == producer.cname())
        };
        if !transport.producers.iter().any(|other| of_sender(&other)) {
            transport.clocks.remove(producer.cname());
        }
        if let Some(opener) = &mut transport.opener {
            for stream in &producer.streams {
                opener.end_stream(stream.stats.ssrc());
                if let Some(rtx) = &stream.rtx {
                    opener.end_stream(rtx.ssrc());
                }
            }
        }
    }
}

fn pause_producer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &ProducerId,
    pause: bool,
) -> Result<(), RequestError> {
    let key = media.producers.find(id)?;
    let producer = &mut media.producers[key];
    if std::mem::replace(&mut producer.paused, pause) == pause {
        return Ok(());
    }
    observers::on_observed_producer_paused(media, key, pause);
    for consumer_key in media.producers[key].consumers.clone() {
        let Some(consumer) = media.consumers.get_mut(consumer_key) else { continue };
        consumer.producer_paused = pause;
        let event = if pause { ConsumerEvent::ProducerPause } else { ConsumerEvent::ProducerResume };
        out.notify_consumer(media, consumer_key, event);
        if pause {
            layers::stop_layers(media, out, consumer_key);
        } else {
            starting::start_consumer(media, out, now, consumer_key);
        }
    }
    Ok(())
}

fn consume(media: &mut Media, out: &mut Out, now: Instant, mut options: Consume) -> Answer {
    parameters::complete(options.kind, &mut options.rtp_parameters)?;
    let transport_key = media.transports.find(&options.transport_id)?;
    media.consumers.check_new(&options.id)?;
    let producer_key = media.producers.find(&options.producer_id)?;
    let producer = &media.producers[producer_key];
    let same_router = media.transports.get(producer.transport).map(|t| &t.router)
        == media.transports.get(transport_key).map(|t| &t.router);
    if !same_router {
        return Err(not_found("Producer", &options.producer_id));
    }
    if options.consumable_rtp_encodings.is_empty() {
        return Err(RequestError::Invalid(format!(
            "empty consumableRtpEncodings of consumer {}",
            options.id
        )));
    }
    let paused = producer.paused;
    let scores = producer.encoding_scores();
    let random = out.random();
    let mut consumer = Consumer::new(options, producer_key, transport_key, paused, random)?;
    let transport = &mut media.transports[transport_key];
    transport.check_new_ssrcs(&consumer, out.limits.ended_streams_per_transport)?;
    if let Some(sealer) = &transport.sealer {
        consumer.continue_from(|ssrc| sealer.next_index(ssrc));
    }
    consumer.score_with(&scores);
    let created = Consumed {
        paused: consumer.paused,
        producer_paused: paused,
        score: consumer.score().clone(),
        preferred_layers: consumer.preferred_layers(),
    };
    let ssrcs: Vec<_> = consumer.ssrcs().collect();
    let key = media.consumers.insert(consumer);
    transport.ssrc_consumers.extend(ssrcs.into_iter().map(|ssrc| (ssrc, key)));
    transport.consumers.push(key);
    media.producers[producer_key].consumers.push(key);
    congestion::may_control_sending(media, out, now, transport_key);
    starting::start_consumer(media, out, now, key);
    Ok(Response::Consumed(created))
}

pub(super) fn close_consumer(media: &mut Media, out: &mut Out, key: ConsumerKey) {
    let Some(consumer) = media.consumers.remove(key) else { return };
    for cause in [KeyFrameCause::Asked, KeyFrameCause::Switch] {
        out.timers.disarm(Timer::KeyFrameAllowed(key, cause));
    }
    if let Some(producer) = media.producers.get_mut(consumer.producer) {
        producer.consumers.retain(|&other| other != key);
    }
    if let Some(transport) = media.transports.get_mut(consumer.transport) {
        transport.consumers.retain(|&other| other != key);
        transport.ssrc_consumers.retain(|_, &mut other| other != key);
        transport.dirty.retain(|other| *other != key);
        out.line.starting.retain(|&(_, other)| other != key);
        transport.resends.retain(|&(other, _)| other != key);
        if let Some(sealer) = &mut transport.sealer {
            consumer.used_indices().for_each(|(ssrc, next)| sealer.end_stream(ssrc, next));
        }
        if let Some(control) = &mut transport.send_control {
            control.forget(key);
        }
    }
}

fn pause_consumer(media: &mut Media, out: &mut Out, id: &ConsumerId) -> Result<(), RequestError> {
    let key = media.consumers.find(id)?;
    media.consumers[key].paused = true;
    layers::stop_layers(media, out, key);
    Ok(())
}

fn resume_consumer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &ConsumerId,
) -> Result<(), RequestError> {
    let key = media.consumers.find(id)?;
    if std::mem::replace(&mut media.consumers[key].paused, false) {
        starting::start_consumer(media, out, now, key);
    }
    Ok(())
}

fn set_priority(media: &mut Media, id: &ConsumerId, priority: u8) -> Answer {
    if priority == 0 {
        return Err(RequestError::Invalid("wrong priority 0, it must be 1 to 255".to_owned()));
    }
    media.consumers.find_mut(id)?.priority = priority;
    Ok(Response::Priority(priority))
}

pub(super) fn find_server(paths: &Paths, id: &WebRtcServerId) -> Result<(), RequestError> {
    if paths.servers.contains_key(id) { Ok(()) } else { Err(not_found("WebRtcServer", id)) }
}

pub(super) fn done((): ()) -> Response {
    Response::Done
}
