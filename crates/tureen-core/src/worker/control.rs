//! Requests: making and closing things, changing their settings.

use std::time::Instant;

use super::router::Router;
use super::server::{Pending, WebRtcServer};
use super::sockets::{SocketOwner, advertised};
use super::{Output, Timer, Worker};
use crate::api::{
    Consume, Consumed, ConsumerEvent, ConsumerId, CreateWebRtcServer, CreateWebRtcTransport, Listen, Produce,
    ProducerId, Request, RequestError, RequestId, Response, RouterId, StreamType, TransportEvent,
    TransportId, WebRtcServerId,
};
use crate::consumer::Consumer;
use crate::dtls::Role;
use crate::ice::{IceConfig, IceCredentials, IceServer, candidate_priority, local_preference};
use crate::io::SocketId;
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::producer::Producer;
use crate::transport::twcc_receiver::TwccReceiver;
use crate::transport::webrtc::{LinkSockets, Preferences, WebRtcLink};
use crate::transport::{Bitrates, Transport};
use crate::types::data_structures::{
    DtlsParameters, DtlsRole, IceCandidate, IceCandidateType, ListenInfo, Protocol,
};
use crate::units::Bitrate;

type Answer = Result<Response, RequestError>;

impl Worker {
    /// Carries out a request. `None` when the answer comes later.
    pub(super) fn control(&mut self, now: Instant, id: RequestId, request: Request) -> Option<Answer> {
        Some(match request {
            Request::CreateWebRtcServer(options) => return self.create_server(id, options).err().map(Err),
            Request::CreateWebRtcTransport(options) => {
                return self.create_webrtc_transport(id, options).err().map(Err);
            }
            Request::DumpWorker => Ok(Response::WorkerDump(self.dump_worker())),
            Request::CloseWebRtcServer(server) => {
                self.find_server(&server).map(|()| self.close_server(now, &server)).map(done)
            }
            Request::DumpWebRtcServer(server) => self.dump_server(&server).map(Response::WebRtcServerDump),
            Request::CreateRouter(router) => self.create_router(router).map(done),
            Request::CloseRouter(router) => self.close_router(now, &router).map(done),
            Request::DumpRouter(router) => self.dump_router(&router).map(Response::RouterDump),
            Request::ConnectWebRtcTransport(transport, parameters) => {
                self.connect(now, &transport, &parameters)
            }
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
                self.transport_mut(&transport).map(|t| t.bitrates.max_outgoing = bitrate).map(done)
            }
            Request::SetMinOutgoingBitrate(transport, bitrate) => {
                self.transport_mut(&transport).map(|t| t.bitrates.min_outgoing = bitrate).map(done)
            }
            Request::EnableTransportTrace(transport, trace) => {
                self.transport_mut(&transport).map(|t| t.trace = trace).map(done)
            }
            Request::Produce(options) => self.produce(options),
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
            Request::PauseConsumer(consumer) => {
                self.consumer_mut(&consumer).map(|c| c.paused = true).map(done)
            }
            Request::ResumeConsumer(consumer) => self.resume_consumer(now, &consumer).map(done),
            // A simple stream has no layers to choose from; mediasoup answers with none.
            Request::SetPreferredLayers(consumer, _) => {
                self.consumer_mut(&consumer).map(|_| Response::PreferredLayers(None))
            }
            Request::SetPriority(consumer, priority) => self.set_priority(&consumer, priority),
            Request::RequestKeyFrame(consumer) => {
                self.find_consumer(&consumer).map(|key| self.request_key_frame(now, key)).map(done)
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
            Request::CreatePlainTransport(_) | Request::ConnectPlainTransport(..) => refuse("PlainTransport"),
            Request::CreatePipeTransport(_) | Request::ConnectPipeTransport(..) => refuse("PipeTransport"),
            Request::CreateDirectTransport(_) => refuse("DirectTransport"),
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
            | Request::RemoveSubchannel(..) => refuse("data channels"),
        })
    }

    fn create_server(&mut self, request: RequestId, options: CreateWebRtcServer) -> Result<(), RequestError> {
        if self.servers.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "WebRtcServer", id: options.id.to_string() });
        }
        Self::check_listen_infos(&options.listen_infos)?;
        let sockets =
            self.open_sockets(&SocketOwner::WebRtcServer(options.id.clone()), &options.listen_infos);
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

    fn create_webrtc_transport(
        &mut self,
        request: RequestId,
        options: CreateWebRtcTransport,
    ) -> Result<(), RequestError> {
        if !self.routers.contains_key(&options.router_id) {
            return Err(not_found("Router", &options.router_id));
        }
        if self.transport_ids.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "Transport", id: options.id.to_string() });
        }
        match &options.listen {
            Listen::Individual(infos) => Self::check_listen_infos(infos)?,
            Listen::Server(server) => self.find_server(server)?,
        }
        let ice = IceConfig {
            consent_timeout: options.ice_consent_timeout,
            max_tuples: self.limits.tuples_per_transport,
        };
        let ice = IceServer::new(IceCredentials::generate(&mut self.rng), ice);
        let link = WebRtcLink::new(ice, self.dtls_config.clone(), LinkSockets::Own(Vec::new()));
        let bitrates =
            Bitrates { initial_outgoing: options.initial_available_outgoing_bitrate, ..Bitrates::default() };
        let transport = Transport::new(options.id.clone(), options.router_id.clone(), link, bitrates);
        let key = self.transports.insert(transport);
        self.transport_ids.insert(options.id.clone(), key);
        if let Some(router) = self.routers.get_mut(&options.router_id) {
            router.transports.push(key);
        }
        let sockets = match &options.listen {
            Listen::Individual(infos) => {
                let wanted: Vec<ListenInfo> = if options.enable_udp { infos.clone() } else { Vec::new() };
                let sockets = self.open_sockets(&SocketOwner::Transport(key), &wanted);
                if !sockets.is_empty() {
                    self.pending_transports.insert(key, Pending { request, unbound: sockets.len() });
                }
                LinkSockets::Own(sockets)
            }
            Listen::Server(id) => {
                if let Some(server) = self.servers.get_mut(id) {
                    server.transports.push(key);
                    let ufrag = self.transports[key].link.ice.local_credentials().username_fragment.clone();
                    server.ufrags.insert(ufrag, key);
                }
                LinkSockets::Server(id.clone())
            }
        };
        self.transports[key].link.sockets = sockets;
        self.transports[key].link.preferences =
            Preferences { enable_udp: options.enable_udp, prefer_udp: options.prefer_udp };
        if !self.pending_transports.contains_key(&key) {
            self.finish_webrtc_transport(key, request);
        }
        Ok(())
    }

    /// Every socket is bound: the candidates are known, the request is answered.
    pub(super) fn finish_webrtc_transport(&mut self, key: TransportKey, request: RequestId) {
        let Some(transport) = self.transports.get(key) else { return };
        let preferences = transport.link.preferences;
        let (sockets, shared): (&[SocketId], bool) = match &transport.link.sockets {
            LinkSockets::Own(sockets) => (sockets, false),
            LinkSockets::Server(id) => (self.servers.get(id).map_or(&[], |s| s.sockets.as_slice()), true),
        };
        let mut candidates = Vec::new();
        for (index, &socket) in sockets.iter().enumerate().filter(|_| preferences.enable_udp) {
            let Some(socket) = self.sockets.get(socket) else { continue };
            let Some(local) = socket.local else { continue };
            // mediasoup heeds preferUdp on a WebRtcServer only; with own sockets the order of listen infos decides.
            let priority = candidate_priority(local_preference(index, shared && preferences.prefer_udp));
            candidates.push(udp_candidate(advertised(&socket.listen), local.port(), priority));
            if socket.listen.expose_internal_ip && socket.listen.announced_address.is_some() {
                let lower = priority - crate::ice::EXPOSED_INTERNAL_IP_PRIORITY_DECREMENT;
                candidates.push(udp_candidate(socket.listen.ip.to_string(), local.port(), lower));
            }
        }
        self.transports[key].link.candidates = candidates;
        let dump = self.dump_transport(key);
        self.outputs.push_back(Output::Response(request, Ok(Response::TransportDump(Box::new(dump)))));
    }

    fn connect(&mut self, now: Instant, id: &TransportId, parameters: &DtlsParameters) -> Answer {
        let key = self.find_transport(id)?;
        let transport = &mut self.transports[key];
        let role = transport.link.connect(parameters)?;
        if transport.link.may_start_dtls(now) {
            self.on_dtls_started(now, key);
        }
        let dtls_local_role = match role {
            Role::Client => DtlsRole::Client,
            Role::Server => DtlsRole::Server,
        };
        Ok(Response::Connected { dtls_local_role })
    }

    fn restart_ice(&mut self, now: Instant, id: &TransportId) -> Answer {
        let key = self.find_transport(id)?;
        let credentials = IceCredentials::generate(&mut self.rng);
        let transport = &mut self.transports[key];
        if let LinkSockets::Server(server) = &transport.link.sockets
            && let Some(server) = self.servers.get_mut(server)
        {
            server.ufrags.insert(credentials.username_fragment.clone(), key);
        }
        transport.link.ice.restart(now, credentials);
        let parameters = transport.link.ice_parameters();
        self.drain_ice(now, key);
        Ok(Response::IceParameters(parameters))
    }

    /// Checks with an old user name are this transport's no more.
    pub(super) fn retire_ufrag(&mut self, key: TransportKey, ufrag: &str) {
        let Some(transport) = self.transports.get(key) else { return };
        if let LinkSockets::Server(server) = &transport.link.sockets
            && let Some(server) = self.servers.get_mut(server)
        {
            server.ufrags.remove(ufrag);
        }
    }

    pub(super) fn close_transport(&mut self, now: Instant, key: TransportKey) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let (producers, consumers) = (transport.producers.clone(), transport.consumers.clone());
        if let Some(dtls) = &mut transport.link.dtls {
            dtls.close();
        }
        self.drain_dtls(now, key);
        for producer in producers {
            self.close_producer(now, producer);
        }
        for consumer in consumers {
            self.close_consumer(consumer);
        }
        let Some(transport) = self.transports.remove(key) else { return };
        self.transport_ids.remove(&transport.id);
        self.pending_transports.remove(&key);
        if let Some(router) = self.routers.get_mut(&transport.router) {
            router.transports.retain(|&other| other != key);
        }
        for tuple in transport.link.ice.tuples() {
            self.tuples.remove(tuple);
        }
        for timer in [Timer::Ice(key), Timer::Dtls(key), Timer::Reports(key), Timer::TransportCc(key)] {
            self.timers.disarm(timer);
        }
        match transport.link.sockets {
            LinkSockets::Own(sockets) => {
                for socket in sockets {
                    self.close_socket(socket);
                }
            }
            LinkSockets::Server(id) => {
                if let Some(server) = self.servers.get_mut(&id) {
                    server.transports.retain(|&other| other != key);
                    server.ufrags.retain(|_, &mut other| other != key);
                }
            }
        }
    }

    fn set_max_incoming_bitrate(
        &mut self,
        now: Instant,
        id: &TransportId,
        bitrate: Bitrate,
    ) -> Result<(), RequestError> {
        let key = self.find_transport(id)?;
        let transport = &mut self.transports[key];
        transport.bitrates.max_incoming = bitrate;
        transport.remb.set_limit(bitrate);
        self.send_remb(now, key);
        Ok(())
    }

    fn produce(&mut self, options: Produce) -> Answer {
        let transport_key = self.find_transport(&options.transport_id)?;
        if self.producer_ids.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "Producer", id: options.id.to_string() });
        }
        let transport = &mut self.transports[transport_key];
        let known: usize =
            transport.producers.iter().map(|&p| self.producers[p].rtp_parameters.encodings.len()).sum();
        if known + options.rtp_parameters.encodings.len() > self.limits.streams_per_transport {
            let text = format!(
                "transport {} would receive more than {} streams",
                transport.id, self.limits.streams_per_transport
            );
            return Err(RequestError::Failed(text));
        }
        let id = options.id.clone();
        let (ring, age) = (self.limits.retransmission_bytes, self.limits.retransmission_age);
        let producer = Producer::new(options, transport_key, ring, age)?;
        let parameters = producer.rtp_parameters.clone();
        let ids = *producer.extension_ids();
        let stream_type = producer.stream_type;
        let key = self.producers.insert(producer);
        if let Err(error) = transport.listener.add(key, &parameters) {
            self.producers.remove(key);
            return Err(error);
        }
        transport.learn_extension_ids(&ids);
        let uses_transport_cc = parameters
            .codecs
            .iter()
            .any(|c| c.rtcp_feedback().contains(&crate::types::rtp_parameters::RtcpFeedback::TransportCc));
        if transport.twcc.is_none() && transport.recv_ids.transport_wide_cc.is_some() && uses_transport_cc {
            transport.twcc = Some(TwccReceiver::new());
        }
        transport.producers.push(key);
        self.producer_ids.insert(id, key);
        Ok(Response::Produced { stream_type })
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
        for timer in [Timer::Nack(key), Timer::KeyFrame(key)] {
            self.timers.disarm(timer);
        }
        if let Some(transport) = self.transports.get_mut(producer.transport) {
            transport.producers.retain(|&other| other != key);
            transport.listener.remove(key);
            if let Some(opener) = &mut transport.opener {
                for stream in &producer.streams {
                    opener.remove_stream(stream.stats.ssrc());
                    if let Some(rtx) = &stream.rtx {
                        opener.remove_stream(rtx.ssrc());
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
            if !pause {
                self.start_consumer(now, consumer_key);
            }
        }
        Ok(())
    }

    fn consume(&mut self, now: Instant, options: Consume) -> Answer {
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
        if options.stream_type != StreamType::Simple {
            let text =
                format!("consumer type {:?} is not supported yet [id:{}]", options.stream_type, options.id);
            return Err(RequestError::Failed(text));
        }
        let paused = producer.paused;
        let scores: Vec<u8> = producer.scores().iter().map(|s| s.score).collect();
        let random = self.random();
        let id = options.id.clone();
        let mut consumer = Consumer::new(options, producer_key, transport_key, paused, random)?;
        let transport = &mut self.transports[transport_key];
        for ssrc in [Some(consumer.stream.ssrc), consumer.rtx_ssrc()].into_iter().flatten() {
            if transport.ssrc_consumers.contains_key(&ssrc) {
                return Err(RequestError::Failed(format!(
                    "ssrc {ssrc} is already sent on transport {}",
                    transport.id
                )));
            }
        }
        consumer.score_with(&scores);
        let created = Consumed {
            paused: consumer.paused,
            producer_paused: paused,
            score: consumer.score().clone(),
            preferred_layers: None,
        };
        let ssrcs = [Some(consumer.stream.ssrc), consumer.rtx_ssrc()];
        let key = self.consumers.insert(consumer);
        transport.ssrc_consumers.extend(ssrcs.into_iter().flatten().map(|ssrc| (ssrc, key)));
        transport.consumers.push(key);
        self.producers[producer_key].consumers.push(key);
        self.consumer_ids.insert(id, key);
        self.start_consumer(now, key);
        Ok(Response::Consumed(created))
    }

    pub(super) fn close_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.remove(key) else { return };
        self.consumer_ids.remove(&consumer.id);
        if let Some(producer) = self.producers.get_mut(consumer.producer) {
            producer.consumers.retain(|&other| other != key);
        }
        if let Some(transport) = self.transports.get_mut(consumer.transport) {
            transport.consumers.retain(|&other| other != key);
            transport.ssrc_consumers.retain(|_, &mut other| other != key);
            transport.dirty.retain(|&other| other != key);
            transport.resends.retain(|&(other, _)| other != key);
        }
    }

    fn resume_consumer(&mut self, now: Instant, id: &ConsumerId) -> Result<(), RequestError> {
        let key = self.find_consumer(id)?;
        if std::mem::replace(&mut self.consumers[key].paused, false) {
            self.start_consumer(now, key);
        }
        Ok(())
    }

    /// A Consumer may send from now on: it synchronises with the next packet, for video with a key frame.
    pub(super) fn start_consumer(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        if !consumer.is_active() {
            return;
        }
        consumer.require_sync();
        self.request_key_frame(now, key);
    }

    /// Asks a Consumer's Producer for key frames, if the Consumer could send them.
    pub(super) fn request_key_frame(&mut self, now: Instant, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else { return };
        let connected = self.transports.get(consumer.transport).is_some_and(Transport::is_connected);
        if !connected || !consumer.needs_key_frame() {
            return;
        }
        let producer_key = consumer.producer;
        if let Some(producer) = self.producers.get_mut(producer_key) {
            producer.request_key_frames(now);
        }
        self.poll_producer_feedback(now, producer_key);
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

/// What comes with a later version is refused by name.
fn refuse(what: &str) -> Answer {
    Err(RequestError::Failed(format!("not supported yet: {what}")))
}

fn done((): ()) -> Response {
    Response::Done
}

pub(super) fn not_found(kind: &'static str, id: &impl ToString) -> RequestError {
    RequestError::NotFound { kind, id: id.to_string() }
}

fn udp_candidate(address: String, port: u16, priority: u32) -> IceCandidate {
    IceCandidate {
        foundation: "udpcandidate".to_owned(),
        priority,
        address,
        protocol: Protocol::Udp,
        port,
        r#type: IceCandidateType::Host,
        tcp_type: None,
    }
}
