//! What clients can ask for.

use std::sync::Arc;

use serde_json::{Value, json};
use tracing::info;
use tureen::{
    data_consumer::DataConsumer,
    data_producer::DataProducer,
    prelude::*,
    transport::{TransportTraceEventData, TransportTraceEventType},
    types::data_structures::{DtlsState, IceState, TraceEventDirection},
    webrtc_transport::WebRtcTransport,
};

use super::{
    Joined, ProducerEntry, Session, TransportEntry,
    consuming::Source,
    lengths::{check_app_data, check_device, check_name, check_parameters},
    media_log::{expect_connection, watch_producer, watch_transport},
};
use crate::{
    signaling::{
        json::{self, read, write},
        protoo::{
            Close, Refusal, Request,
            schema::{
                ConnectTransport, CreateTransport, CreatedTransport, DisplayName, DownlinkBwe, Join,
                OfConsumer, OfDataConsumer, OfDataProducer, OfProducer, OfTransport, PreferredLayers,
                Prepare, Priority, Produce, ProducerScores,
            },
        },
    },
    tally::Shown,
};

type Answer = Result<Value, Refusal>;

impl Session {
    /// Does what a request asks for.
    pub(crate) async fn handle(self, request: Request) -> Answer {
        let Request { method, data, .. } = request;
        match method.as_str() {
            "getRouterRtpCapabilities" => write(&self.room().router.rtp_capabilities()),
            "createWebRtcTransport" => self.create_transport(read(data)?).await,
            "connectWebRtcTransport" => self.connect_transport(read(data)?).await,
            "restartIce" => self.restart_ice(&read(data)?).await,
            "prepare" => self.prepare(read(data)?),
            "join" => self.join(read(data)?),
            "produce" => self.produce(read(data)?).await,
            "produceData" => self.produce_data(read(data)?).await,
            "closeProducer" => self.close_producer(&read(data)?).await,
            "pauseProducer" => done(self.joined_producer(&read(data)?)?.pause().await),
            "resumeProducer" => done(self.joined_producer(&read(data)?)?.resume().await),
            "pauseConsumer" => done(self.joined_consumer(&read(data)?)?.pause().await),
            "resumeConsumer" => done(self.joined_consumer(&read(data)?)?.resume().await),
            "requestConsumerKeyFrame" => done(self.joined_consumer(&read(data)?)?.request_key_frame().await),
            "setConsumerPreferredLayers" => {
                let PreferredLayers { consumer_id, layers } = read(data)?;
                done(self.joined_consumer(&OfConsumer { consumer_id })?.set_preferred_layers(layers).await)
            }
            "setConsumerPriority" => {
                let Priority { consumer_id, priority } = read(data)?;
                done(self.joined_consumer(&OfConsumer { consumer_id })?.set_priority(priority).await)
            }
            "changeDisplayName" => self.change_display_name(read(data)?),
            // mediasoup-demo throttles the server's network for who knows its secret; this server has none.
            "applyNetworkThrottle" | "resetNetworkThrottle" => Err(Refusal::forbidden(format_args!(
                "{method}: no secret for network throttling is configured"
            ))),
            "getTransportStats" => {
                let stats = self.transport(&read(data)?)?.get_stats().await.map_err(Refusal::failed)?;
                json::transport_stats(&stats)
            }
            "getProducerStats" => {
                let stats = self.producer(&read(data)?)?.get_stats().await.map_err(Refusal::failed)?;
                json::producer_stats(&stats)
            }
            "getConsumerStats" => {
                let stats = self.consumer(&read(data)?)?.get_stats().await.map_err(Refusal::failed)?;
                json::consumer_stats(&stats)
            }
            "getDataProducerStats" => {
                let stats = self.data_producer(&read(data)?)?.get_stats().await.map_err(Refusal::failed)?;
                json::data_producer_stats(&stats)
            }
            "getDataConsumerStats" => {
                let stats = self.data_consumer(&read(data)?)?.get_stats().await.map_err(Refusal::failed)?;
                json::data_consumer_stats(&stats)
            }
            method => Err(Refusal::failed(format_args!("unknown method \"{}\"", Shown(method)))),
        }
    }

    async fn create_transport(&self, asked: CreateTransport) -> Answer {
        let room = self.room();
        let limit = room.config().limits.max_transports_per_peer;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => Err(Refusal::forbidden(format_args!("a peer has at most {limit} transports"))),
        };
        self.with_peer(|peer| check_limit(peer.transports.len()))??;

        let transport =
            room.create_webrtc_transport(asked.force_tcp, asked.sctp_capabilities.is_some()).await?;
        watch_transport(self.link().name(), &transport);
        self.end_with(&transport);
        self.report_downlink(&transport).await?;

        let answer = write(&CreatedTransport::describe(&transport))?;
        let entry = TransportEntry {
            transport: transport.clone(),
            consuming: asked.consuming,
            _load: room.worker.add_load(),
        };
        self.with_peer(|peer| {
            check_limit(peer.transports.len())?;
            peer.transports.insert(transport.id(), entry);
            Ok(answer)
        })?
    }

    /// Ends the peer when ICE or DTLS of `transport` ends.
    fn end_with(&self, transport: &WebRtcTransport) {
        let link = self.link().clone();
        let lose = move |transport_id: TransportId, what: &str, state: &dyn std::fmt::Debug| {
            if link.close(Close::TRANSPORT_LOST) && link.tally().may_log() {
                info!(peer = link.name(), %transport_id, "{what} {state:?}: ending the peer");
            }
        };
        let id = transport.id();
        let on_ice = {
            let lose = lose.clone();
            move |state| match state {
                IceState::New | IceState::Connected | IceState::Completed => {}
                state => lose(id, "ICE", &state),
            }
        };
        transport.on_ice_state_change(on_ice).detach();
        let on_dtls = move |state| match state {
            DtlsState::New | DtlsState::Connecting | DtlsState::Connected => {}
            state => lose(id, "DTLS", &state),
        };
        transport.on_dtls_state_change(on_dtls).detach();
    }

    /// Tells the client what its downlink is thought to carry.
    async fn report_downlink(&self, transport: &WebRtcTransport) -> Result<(), Refusal> {
        let link = self.link().clone();
        let tell = move |event: &TransportTraceEventData| {
            if let TransportTraceEventData::Bwe { direction: TraceEventDirection::Out, info, .. } = event {
                link.notify("downlinkBwe", &DownlinkBwe::from(info));
            }
        };
        transport.on_trace(Arc::new(tell)).detach();
        transport.enable_trace_event(vec![TransportTraceEventType::Bwe]).await.map_err(Refusal::failed)
    }

    async fn connect_transport(&self, asked: ConnectTransport) -> Answer {
        let ConnectTransport { transport_id, dtls_parameters } = asked;
        let transport = self.transport(&OfTransport { transport_id })?;
        expect_connection(self.link().name(), &transport);
        done(transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await)
    }

    async fn restart_ice(&self, asked: &OfTransport) -> Answer {
        write(&self.transport(asked)?.restart_ice().await.map_err(Refusal::failed)?)
    }

    /// Makes consumers of all that is sent in the room, for a peer that has not joined yet: its client can set up what takes
    /// long, and media flows as soon as it joins. Nobody hears of the peer.
    fn prepare(&self, asked: Prepare) -> Answer {
        check_parameters(&self.room().config().limits, "rtpCapabilities", &asked.rtp_capabilities)?;
        let mut state = self.room().lock();
        let sources = state.sources_for(self.peer_id());
        let me = self.peer_in(&mut state)?;
        if me.joined.is_some() {
            return Err(Refusal::forbidden("the peer has joined already"));
        }
        me.prepared = Some(asked.rtp_capabilities);
        self.consume(me, sources);
        Ok(json!({}))
    }

    /// Joins the room. Does not await: of a join and a produce of another peer one sees the other.
    fn join(&self, asked: Join) -> Answer {
        let Join { display_name, device, rtp_capabilities, sctp_capabilities } = asked;
        let device = Value::Object(device);
        let limits = &self.room().config().limits;
        check_name(limits, "displayName", &display_name)?;
        check_device(limits, &device)?;
        check_parameters(limits, "rtpCapabilities", &rtp_capabilities)?;
        let mut state = self.room().lock();
        let me = self.peer_in(&mut state)?;
        if me.joined.is_some() {
            return Err(Refusal::forbidden("the peer has joined already"));
        }
        let id = self.peer_id();
        let joined = Joined {
            display_name: display_name.clone(),
            device,
            rtp_capabilities,
            hears_data: sctp_capabilities.is_some(),
        };
        let described = joined.describe(id);
        me.joined = Some(joined);
        me.has_joined.send_replace(true);
        state.tell_others(id, "newPeer", &described);
        let others = state.peers.iter().filter(|(id, _)| *id != self.peer_id());
        let others = others.filter_map(|(id, peer)| peer.joined.as_ref().map(|joined| (id, peer, joined)));
        let mut peers = Vec::new();
        let mut data_sources = vec![self.room().bot.source()];
        for (id, peer, joined) in others {
            peers.push(joined.describe(id));
            let data = peer.data_producers.values().map(|entry| &entry.source);
            data_sources.extend(data.filter(|source| source.is_for_all()).cloned());
        }
        for (id, broadcaster) in &state.broadcasters {
            peers.push(broadcaster.about.describe(id));
            let data = broadcaster.data_producers.values();
            data_sources.extend(data.filter(|source| source.is_for_all()).cloned());
        }
        let sources = state.sources_for(self.peer_id());
        let me = self.peer_in(&mut state)?;
        self.consume(me, sources);
        self.consume_data(me, data_sources);
        drop(state);

        if self.room().tally().may_log() {
            info!(peer = self.link().name(), name = %Shown(&display_name), "peer joined");
        }
        Ok(json!({ "peers": peers }))
    }

    async fn produce(&self, asked: Produce) -> Answer {
        let Produce { transport_id, kind, rtp_parameters, app_data } = asked;
        let limits = &self.room().config().limits;
        check_parameters(limits, "rtpParameters", &rtp_parameters)?;
        check_app_data(limits, app_data.as_ref())?;
        let limit = limits.max_producers_per_peer;
        let check_limit = |count: usize| match count < limit {
            true => Ok(()),
            false => Err(Refusal::forbidden(format_args!("a peer has at most {limit} producers"))),
        };
        self.with_joined_peer(|peer| check_limit(peer.producers.len()))??;
        let transport = self.transport(&OfTransport { transport_id })?;
        let producer = transport.produce(ProducerOptions::new(kind, rtp_parameters)).await?;
        let id = producer.id();

        watch_producer(self.link().name(), &producer);
        let link = self.link().clone();
        producer
            .on_score(move |score| link.notify("producerScore", &ProducerScores { producer_id: id, score }))
            .detach();

        let mut app_data = app_data.unwrap_or_default();
        app_data.insert("peerId".to_owned(), self.peer_id().into());
        let source =
            Source { peer_id: self.peer_id().to_owned(), producer_id: id, app_data: app_data.clone() };
        self.room().hear(&producer).await;
        let mut state = self.room().lock();
        let me = self.peer_in(&mut state)?;
        check_limit(me.producers.len())?;
        me.producers.insert(id, ProducerEntry { producer: producer.clone(), app_data });
        self.room().offer(&mut state, &source);
        drop(state);
        Ok(json!({ "id": id }))
    }

    /// Closes a producer whoever has a handle of it just now, and answers when its MID and SSRCs are free again.
    async fn close_producer(&self, asked: &OfProducer) -> Answer {
        let removed = self.with_joined_peer(|peer| peer.producers.remove(&asked.producer_id))?;
        let entry = removed.ok_or_else(|| Refusal::not_found("producer", asked.producer_id))?;
        entry.producer.close().await;
        Ok(json!({}))
    }

    fn change_display_name(&self, asked: DisplayName) -> Answer {
        check_name(&self.room().config().limits, "displayName", &asked.display_name)?;
        let mut state = self.room().lock();
        let me = self.peer_in(&mut state)?;
        let Some(joined) = &mut me.joined else {
            return Err(Refusal::forbidden("the peer has not joined yet"));
        };
        let old = std::mem::replace(&mut joined.display_name, asked.display_name.clone());
        let change = json!({
            "peerId": self.peer_id(),
            "displayName": asked.display_name,
            "oldDisplayName": old,
        });
        state.tell_others(self.peer_id(), "peerDisplayNameChanged", &change);
        Ok(json!({}))
    }

    pub(super) fn transport(&self, asked: &OfTransport) -> Result<WebRtcTransport, Refusal> {
        let id = asked.transport_id;
        self.with_peer(|peer| peer.transports.get(&id).map(|entry| entry.transport.clone()))?
            .ok_or_else(|| Refusal::not_found("transport", id))
    }

    fn producer(&self, asked: &OfProducer) -> Result<Producer, Refusal> {
        let id = asked.producer_id;
        self.with_peer(|peer| peer.producers.get(&id).map(|entry| entry.producer.clone()))?
            .ok_or_else(|| Refusal::not_found("producer", id))
    }

    fn consumer(&self, asked: &OfConsumer) -> Result<Consumer, Refusal> {
        let id = asked.consumer_id;
        self.with_peer(|peer| peer.consumers.get(&id).map(|entry| entry.consumer.clone()))?
            .ok_or_else(|| Refusal::not_found("consumer", id))
    }

    fn data_producer(&self, asked: &OfDataProducer) -> Result<DataProducer, Refusal> {
        let id = asked.data_producer_id;
        self.with_peer(|peer| peer.data_producers.get(&id).map(|entry| entry.source.data_producer.clone()))?
            .ok_or_else(|| Refusal::not_found("data producer", id))
    }

    fn data_consumer(&self, asked: &OfDataConsumer) -> Result<DataConsumer, Refusal> {
        let id = asked.data_consumer_id;
        self.with_peer(|peer| peer.data_consumers.get(&id).cloned())?
            .ok_or_else(|| Refusal::not_found("data consumer", id))
    }

    fn joined_producer(&self, asked: &OfProducer) -> Result<Producer, Refusal> {
        self.with_joined_peer(|_| ())?;
        self.producer(asked)
    }

    fn joined_consumer(&self, asked: &OfConsumer) -> Result<Consumer, Refusal> {
        self.with_joined_peer(|_| ())?;
        self.consumer(asked)
    }
}

fn done<E: Into<Refusal>>(result: Result<(), E>) -> Answer {
    result.map(|()| json!({})).map_err(E::into)
}
