//! Requests: making and closing things, changing their settings.

use std::time::Instant;

use super::parameters;
use super::router::Router;
use super::server::{Pending, WebRtcServer};
use super::sockets::SocketOwner;
use super::starting::KeyFrameCause;
use super::{Output, Timer, Worker};
use crate::api::{
    Consume, Consumed, ConsumerEvent, ConsumerId, CreateWebRtcServer, Produce, ProducerId, Request,
    RequestError, RequestId, Response, RouterId, TransportEvent, TransportId, WebRtcServerId,
};
use crate::consumer::Consumer;
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::producer::Producer;
use crate::transport::Transport;
use crate::transport::send_control::Feedback;

pub(super) type Answer = Result<Response, RequestError>;

impl Worker {
    /// Carries out a request. `None` when the answer comes later.
    pub(super) fn control(&mut self, now: Instant, id: RequestId, request: Request) -> Option<Answer> {
        Some(match request {
            Request::CreateWebRtcServer(options) => return self.create_server(id, options).err().map(Err),
            Request::CreateWebRtcTransport(options) => {
                return self.create_webrtc_transport(now, id, options).err().map(Err);
            }
            Request::CreatePlainTransport(options) => {
                return self.create_plain_transport(now, id, &options).err().map(Err);
            }
            Request::CreatePipeTransport(options) => {
                return self.create_pipe_transport(now, id, &options).err().map(Err);
            }
            Request::CreateDirectTransport(options) => self.create_direct_transport(now, options),
            Request::DumpWorker => Ok(Response::WorkerDump(self.dump_worker())),
            Request::WorkerDrops => Ok(Response::WorkerDrops(self.drops())),
            Request::CloseWebRtcServer(server) => {
                self.find_server(&server).map(|()| self.close_server(now, &server)).map(done)
            }
            Request::DumpWebRtcServer(server) => self.dump_server(&server).map(Response::WebRtcServerDump),
            Request::CreateRouter(router) => self.create_router(router).map(done),
            Request::CloseRouter(router) => self.close_router(now, &router).map(done),
            Request::DumpRouter(router) => self.dump_router(&router).map(Response::RouterDump),
            Request::ConnectWebRtcTransport(transport, parameters) => {
                self.connect_webrtc(now, &transport, &parameters)
            }
            Request::ConnectPlainTransport(transport, remote) => self.connect_plain(now, &transport, &remote),
            Request::ConnectPipeTransport(transport, remote) => self.connect_pipe(now, &transport, &remote),
            Request::ConnectTransport(transport, remote) => self.connect_any(now, &transport, remote),
            Request::RestartIce(transport) => self.restart_ice(now, &transport),
            Request::CloseTransport(transport) => {
                self.find_transport(&transport).map(|key| self.close_transport(now, key)).map(done)
            }
            Request::DumpTransport(transport) => self
                .find_transport(&transport)
                .map(|key| Response::TransportDump(Box::new(self.dump_transport(key)))),
            Request::TransportStats(transport) => {
                self.transport_stats(now, &transport).map(|stats| Response::TransportStats(Box::new(stats)))
            }
            Request::SetMaxIncomingBitrate(transport, bitrate) => {
                self.set_max_incoming_bitrate(now, &transport, bitrate).map(done)
            }
            Request::SetMaxOutgoingBitrate(transport, bitrate) => {
                self.set_outgoing_bitrate(now, &transport, |t| t.bitrates.set_max_outgoing(bitrate)).map(done)
            }
            Request::SetMinOutgoingBitrate(transport, bitrate) => {
                self.set_outgoing_bitrate(now, &transport, |t| t.bitrates.set_min_outgoing(bitrate)).map(done)
            }
            Request::EnableTransportTrace(transport, trace) => {
                self.transport_mut(&transport).map(|t| t.trace = trace).map(done)
            }
            Request::Produce(options) => self.produce(now, options),
            Request::CloseProducer(producer) => {
                self.find_producer(&producer).map(|key| self.close_producer(now, key)).map(done)
            }
            Request::DumpProducer(producer) => {
                self.producer_mut(&producer).map(|p| Response::ProducerDump(Box::new(p.dump())))
            }
            Request::ProducerStats(producer) => {
                self.producer_stats(now, &producer).map(Response::RtpStreamStats)
            }
            Request::PauseProducer(producer) => self.pause_producer(now, &producer, true).map(done),
            Request::ResumeProducer(producer) => self.pause_producer(now, &producer, false).map(done),
            Request::EnableProducerTrace(producer, trace) => {
                self.producer_mut(&producer).map(|p| p.trace = trace).map(done)
            }
            Request::Consume(options) => self.consume(now, *options),
            Request::CloseConsumer(consumer) => {
                self.find_consumer(&consumer).map(|key| self.close_consumer(key)).map(done)
            }
            Request::DumpConsumer(consumer) => {
                self.dump_consumer(&consumer).map(|dump| Response::ConsumerDump(Box::new(dump)))
            }
            Request::ConsumerStats(consumer) => {
                self.consumer_stats(now, &consumer).map(Response::RtpStreamStats)
            }
            Request::PauseConsumer(consumer) => self.pause_consumer(&consumer).map(done),
            Request::ResumeConsumer(consumer) => self.resume_consumer(now, &consumer).map(done),
            Request::SetPreferredLayers(consumer, layers) => {
                self.set_preferred_layers(now, &consumer, layers)
            }
            Request::SetPriority(consumer, priority) => self.set_priority(&consumer, priority),
            Request::RequestKeyFrame(consumer) => {
                self.find_consumer(&consumer).map(|key| self.prepare_key_frame(now, key)).map(done)
            }
            Request::EnableConsumerTrace(consumer, trace) => {
                self.consumer_mut(&consumer).map(|c| c.trace = trace).map(done)
            }
            Request::CreateActiveSpeakerObserver(options) => {
                self.create_active_speaker_observer(now, options).map(done)
            }
            Request::CreateAudioLevelObserver(options) => {
                self.create_audio_level_observer(now, options).map(done)
            }
            Request::CloseRtpObserver(observer) => {
                self.find_observer(&observer).map(|key| self.close_observer(key)).map(done)
            }
            Request::PauseRtpObserver(observer) => self.pause_observer(&observer).map(done),
            Request::ResumeRtpObserver(observer) => self.resume_observer(now, &observer).map(done),
            Request::RtpObserverAddProducer(observer, producer) => {
                self.observe_producer(now, &observer, &producer).map(done)
            }
            Request::RtpObserverRemoveProducer(observer, producer) => {
                self.unobserve_producer(now, &observer, &producer).map(done)
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
            | Request::RemoveSubchannel(..) => self.control_data(now, request),
        })
    }

    fn create_server(&mut self, request: RequestId, options: CreateWebRtcServer) -> Result<(), RequestError> {
        if self.servers.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "WebRtcServer", id: options.id.to_string() });
        }
        Self::check_listen_infos(&options.listen_infos)?;
        let owner = SocketOwner::WebRtcServer(options.id.clone());
        let sockets: Vec<_> =
            options.listen_infos.iter().map(|info| self.open_socket(&owner, info)).collect();
        let pending = (!sockets.is_empty()).then_some(Pending { request, unbound: sockets.len() });
        if pending.is_none() {
            self.outputs.push_back(Output::Response(request, Ok(Response::Done)));
        }
        let server =
            WebRtcServer { sockets, transports: Vec::new(), ufrags: hashbrown::HashMap::new(), pending };
        self.servers.insert(options.id, server);
        Ok(())
    }

    pub(super) fn close_server(&mut self, now: Instant, id: &WebRtcServerId) {
        let Some(server) = self.servers.remove(id) else { return };
        for key in server.transports {
            self.notify_transport(key, TransportEvent::ListenServerClosed);
            self.close_transport(now, key);
        }
        for socket in server.sockets {
            self.close_socket(socket);
        }
    }

    fn create_router(&mut self, id: RouterId) -> Result<(), RequestError> {
        if self.routers.contains_key(&id) {
            return Err(RequestError::Duplicate { kind: "Router", id: id.to_string() });
        }
        self.routers.insert(id, Router::default());
        Ok(())
    }

    fn close_router(&mut self, now: Instant, id: &RouterId) -> Result<(), RequestError> {
        let router = self.routers.remove(id).ok_or_else(|| not_found("Router", id))?;
        // Observers first: they have nothing to say about producers that go with them.
        for key in router.observers {
            self.close_observer(key);
        }
        for key in router.transports {
            self.close_transport(now, key);
        }
        Ok(())
    }

    fn produce(&mut self, now: Instant, mut options: Produce) -> Answer {
        parameters::complete(options.kind, &mut options.rtp_parameters)?;
        let transport_key = self.find_transport(&options.transport_id)?;
        if self.producer_ids.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "Producer", id: options.id.to_string() });
        }
        let declared = self.declared_streams(transport_key) + options.rtp_parameters.encodings.len();
        let transport = &mut self.transports[transport_key];
        let limit = self.limits.streams_by(&transport.link);
        if declared > limit {
            let text = format!("transport {} would receive more than {limit} streams", transport.id);
            return Err(RequestError::Failed(text));
        }
        let id = options.id.clone();
        let producer = Producer::new(options, transport_key, &self.limits)?;
        let parameters = producer.rtp_parameters.clone();
        let ids = *producer.extension_ids();
        let cname = producer.cname().to_owned();
        let stream_type = producer.stream_type;
        let key = self.producers.insert(producer);
        if let Err(error) = transport.listener.add(key, &parameters) {
            self.producers.remove(key);
            return Err(error);
        }
        if let Some(opener) = &mut transport.opener {
            opener.set_max_streams(self.limits.srtp_streams_by(&transport.link, declared));
        }
        transport.learn_extension_ids(&ids);
        transport.clocks.add(&cname, ids.abs_capture_time.is_some());
        transport.learn_feedback(now, Feedback::of(&parameters));
        transport.producers.push(key);
        self.producer_ids.insert(id, key);
        self.send_remb(now, transport_key);
        Ok(Response::Produced { stream_type })
    }

    /// Streams that the Producers of a transport may send.
    pub(super) fn declared_streams(&self, key: TransportKey) -> usize {
        let producers = self.transports.get(key).into_iter().flat_map(|transport| &transport.producers);
        producers.map(|&producer| self.producers[producer].rtp_parameters.encodings.len()).sum()
    }

    pub(super) fn close_producer(&mut self, now: Instant, key: ProducerKey) {
        let Some(producer) = self.producers.get(key) else { return };
        for consumer in producer.consumers.clone() {
            self.notify_consumer(consumer, ConsumerEvent::ProducerClose);
            self.close_consumer(consumer);
        }
        let Some(producer) = self.producers.remove(key) else { return };
        self.producer_ids.remove(&producer.id);
        self.on_observed_producer_closed(now, key, &producer.observers);
        for timer in [Timer::Nack(key), Timer::KeyFrame(key), Timer::LayerActivity(key)] {
            self.timers.disarm(timer);
        }
        if let Some(transport) = self.transports.get_mut(producer.transport) {
            transport.producers.retain(|&other| other != key);
            transport.listener.remove(key);
            let of_sender = |other: &&ProducerKey| {
                self.producers.get(**other).is_some_and(|other| other.cname() == producer.cname())
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

    fn pause_producer(&mut self, now: Instant, id: &ProducerId, pause: bool) -> Result<(), RequestError> {
        let key = self.find_producer(id)?;
        let producer = &mut self.producers[key];
        if std::mem::replace(&mut producer.paused, pause) == pause {
            return Ok(());
        }
        self.on_observed_producer_paused(key, pause);
        for consumer_key in self.producers[key].consumers.clone() {
            let Some(consumer) = self.consumers.get_mut(consumer_key) else { continue };
            consumer.producer_paused = pause;
            let event = if pause { ConsumerEvent::ProducerPause } else { ConsumerEvent::ProducerResume };
            self.notify_consumer(consumer_key, event);
            if pause {
                self.stop_layers(consumer_key);
            } else {
                self.start_consumer(now, consumer_key);
            }
        }
        Ok(())
    }

    fn consume(&mut self, now: Instant, mut options: Consume) -> Answer {
        parameters::complete(options.kind, &mut options.rtp_parameters)?;
        let transport_key = self.find_transport(&options.transport_id)?;
        if self.consumer_ids.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "Consumer", id: options.id.to_string() });
        }
        let producer_key = self.find_producer(&options.producer_id)?;
        let producer = &self.producers[producer_key];
        let same_router = self.transports.get(producer.transport).map(|t| &t.router)
            == self.transports.get(transport_key).map(|t| &t.router);
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
        let random = self.random();
        let id = options.id.clone();
        let mut consumer = Consumer::new(options, producer_key, transport_key, paused, random)?;
        let transport = &mut self.transports[transport_key];
        transport.check_new_ssrcs(&consumer, self.limits.ended_streams_per_transport)?;
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
        let key = self.consumers.insert(consumer);
        transport.ssrc_consumers.extend(ssrcs.into_iter().map(|ssrc| (ssrc, key)));
        transport.consumers.push(key);
        self.producers[producer_key].consumers.push(key);
        self.consumer_ids.insert(id, key);
        self.may_control_sending(now, transport_key);
        self.start_consumer(now, key);
        Ok(Response::Consumed(created))
    }

    pub(super) fn close_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else { return };
        self.consumer_ids.remove(&consumer.id);
        for cause in [KeyFrameCause::Asked, KeyFrameCause::Switch] {
            self.timers.disarm(Timer::KeyFrameAllowed(key, cause));
        }
        if let Some(producer) = self.producers.get_mut(consumer.producer) {
            producer.consumers.retain(|&other| other != key);
        }
        if let Some(transport) = self.transports.get_mut(consumer.transport) {
            transport.consumers.retain(|&other| other != key);
            transport.ssrc_consumers.retain(|_, &mut other| other != key);
            transport.dirty.retain(|other| *other != key);
            self.egress.starting.retain(|&(_, other)| other != key);
            transport.resends.retain(|&(other, _)| other != key);
            if let Some(sealer) = &mut transport.sealer {
                consumer.used_indices().for_each(|(ssrc, next)| sealer.end_stream(ssrc, next));
            }
            if let Some(control) = &mut transport.send_control {
                control.forget(key);
            }
        }
    }

    fn pause_consumer(&mut self, id: &ConsumerId) -> Result<(), RequestError> {
        let key = self.find_consumer(id)?;
        self.consumers[key].paused = true;
        self.stop_layers(key);
        Ok(())
    }

    fn resume_consumer(&mut self, now: Instant, id: &ConsumerId) -> Result<(), RequestError> {
        let key = self.find_consumer(id)?;
        if std::mem::replace(&mut self.consumers[key].paused, false) {
            self.start_consumer(now, key);
        }
        Ok(())
    }

    fn set_priority(&mut self, id: &ConsumerId, priority: u8) -> Answer {
        if priority == 0 {
            return Err(RequestError::Invalid("wrong priority 0, it must be 1 to 255".to_owned()));
        }
        self.consumer_mut(id)?.priority = priority;
        Ok(Response::Priority(priority))
    }

    pub(super) fn find_server(&self, id: &WebRtcServerId) -> Result<(), RequestError> {
        if self.servers.contains_key(id) { Ok(()) } else { Err(not_found("WebRtcServer", id)) }
    }

    pub(super) fn find_transport(&self, id: &TransportId) -> Result<TransportKey, RequestError> {
        self.transport_ids.get(id).copied().ok_or_else(|| not_found("Transport", id))
    }

    pub(super) fn find_producer(&self, id: &ProducerId) -> Result<ProducerKey, RequestError> {
        self.producer_ids.get(id).copied().ok_or_else(|| not_found("Producer", id))
    }

    pub(super) fn find_consumer(&self, id: &ConsumerId) -> Result<ConsumerKey, RequestError> {
        self.consumer_ids.get(id).copied().ok_or_else(|| not_found("Consumer", id))
    }

    fn transport_mut(&mut self, id: &TransportId) -> Result<&mut Transport, RequestError> {
        let key = self.find_transport(id)?;
        Ok(&mut self.transports[key])
    }

    pub(super) fn producer_mut(&mut self, id: &ProducerId) -> Result<&mut Producer, RequestError> {
        let key = self.find_producer(id)?;
        Ok(&mut self.producers[key])
    }

    pub(super) fn consumer_mut(&mut self, id: &ConsumerId) -> Result<&mut Consumer, RequestError> {
        let key = self.find_consumer(id)?;
        Ok(&mut self.consumers[key])
    }
}

pub(super) fn done((): ()) -> Response {
    Response::Done
}

pub(super) fn not_found(kind: &'static str, id: &impl ToString) -> RequestError {
    RequestError::NotFound { kind, id: id.to_string() }
}
