//! A call: a router and sessions on its WebRtcServer, which produce and consume.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::network::{Network, NodeId};
use crate::source::{AudioConfig, Source, VideoConfig};
use tureen_client::link::LinkConfig;
use tureen_client::media::{OPUS_CLOCK_RATE, VIDEO_CLOCK_RATE};
use tureen_client::{Event, Identity, RecvStreamConfig, Rtx, SendStreamConfig, SessionConfig};
use tureen_engine::api::AudioLevelOptions;
use tureen_engine::api::{
    ActiveSpeakerOptions, Consume, ConsumeData, ConsumerId, CreateActiveSpeakerObserver,
    CreateAudioLevelObserver, CreateWebRtcServer, CreateWebRtcTransport, DataConsumerId, DataProducerId,
    DataTransport, LinkDump, Listen, Notification, Produce, ProduceData, ProducerId, Request, RequestError,
    Response, RouterId, RtpObserverId, StreamType, TransportEvent, TransportId, WebRtcServerId,
    WebRtcTransportDump,
};
use tureen_rtc::dtls::Role;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtp::ExtensionIds;
use tureen_types::data_structures::{DtlsParameters, DtlsState};
use tureen_types::ortc;
use tureen_types::rtp_parameters::{
    MediaKind, RtcpFeedback, RtpCapabilities, RtpCapabilitiesFinalized, RtpCodecParameters,
    RtpHeaderExtensionUri, RtpParameters,
};
use tureen_types::sctp_parameters::SctpStreamParameters;

/// Router with a WebRtcServer, and one session for each member, with one transport.
#[derive(Debug)]
pub struct Call {
    /// Network that connects the members to the engine.
    pub network: Network,
    capabilities: RtpCapabilitiesFinalized,
    rng: StdRng,
    members: Vec<TransportId>,
    objects: u32,
    sctp: Option<SctpOptions>,
}

/// Producer of a [`Call`], with any kind of sender.
#[derive(Clone, Debug)]
pub struct Produced {
    /// Identifier of the Producer.
    pub id: ProducerId,
    kind: MediaKind,
    consumable: RtpParameters,
}

/// Producer of which a session is the sender.
#[derive(Clone, Debug)]
pub struct Production {
    produced: Produced,
    /// Sending session.
    pub node: NodeId,
    /// SSRC of the session's stream.
    pub ssrc: u32,
}

impl Deref for Production {
    type Target = Produced;

    fn deref(&self) -> &Produced {
        &self.produced
    }
}

/// Consumer of a [`Call`].
#[derive(Clone, Debug)]
pub struct Consumption {
    /// Identifier of the Consumer.
    pub id: ConsumerId,
    /// Receiving session.
    pub node: NodeId,
    /// SSRC that the session receives.
    pub ssrc: u32,
}

/// Function that changes the parameters of a joining session, for example to make them invalid.
type ChangeParameters<'a> = &'a dyn Fn(&mut SessionConfig, &mut DtlsParameters);

/// Identifier of the router.
pub const ROUTER: &str = "router";
const SERVER: &str = "server";

impl Call {
    /// Creates a call without members. Its router supports VP8 and Opus.
    pub fn new(seed: u64) -> Self {
        Self::with_video_codecs(seed, &[json!({ "mimeType": "video/VP8" })])
    }

    /// Like [`new`](Self::new), but the router supports these video codecs, and Opus.
    pub fn with_video_codecs(seed: u64, video: &[Value]) -> Self {
        let mut network = Network::new(seed);
        let opus =
            json!({ "kind": "audio", "mimeType": "audio/opus", "clockRate": OPUS_CLOCK_RATE, "channels": 2 });
        let video = video.iter().cloned().map(|mut codec| {
            codec["kind"] = json!("video");
            codec["clockRate"] = json!(VIDEO_CLOCK_RATE);
            codec
        });
        let codecs = std::iter::once(opus).chain(video).collect();
        let capabilities =
            ortc::generate_router_rtp_capabilities(from_json(codecs)).expect("both codecs are supported");
        let listen_infos = vec![
            from_json(json!({ "protocol": "udp", "ip": "10.0.0.1" })),
            from_json(json!({ "protocol": "tcp", "ip": "10.0.0.1" })),
        ];
        let server = CreateWebRtcServer { id: SERVER.into(), listen_infos };
        for request in [Request::CreateWebRtcServer(server), Request::CreateRouter(RouterId::from(ROUTER))] {
            network.request(request).expect("the identifiers are unused");
        }
        Self {
            network,
            capabilities,
            rng: StdRng::seed_from_u64(seed),
            members: Vec::new(),
            objects: 0,
            sctp: None,
        }
    }

    /// Gives data channels to all members that join from now on.
    pub fn enable_data(&mut self, options: SctpOptions) {
        self.sctp = Some(options);
    }

    /// Creates a DataProducer for a stream of a member.
    pub fn produce_data(&mut self, node: NodeId, stream: SctpStreamParameters) -> DataProducerId {
        let id = DataProducerId::from(self.name("data-producer"));
        let produce = ProduceData {
            transport_id: self.transport(node).clone(),
            id: id.clone(),
            transport: DataTransport::Sctp(stream),
            label: "label".to_owned(),
            protocol: "protocol".to_owned(),
            paused: false,
        };
        self.network.with_session(node, |session, _| session.open_stream(stream.stream_id));
        self.request(Request::ProduceData(produce));
        id
    }

    /// Creates a DataConsumer for a stream of a member.
    pub fn consume_data(
        &mut self,
        node: NodeId,
        producer: &DataProducerId,
        stream: SctpStreamParameters,
    ) -> DataConsumerId {
        let id = DataConsumerId::from(self.name("data-consumer"));
        let consume = ConsumeData {
            transport_id: self.transport(node).clone(),
            data_producer_id: producer.clone(),
            id: id.clone(),
            transport: DataTransport::Sctp(stream),
            label: "label".to_owned(),
            protocol: "protocol".to_owned(),
            paused: false,
            subchannels: Vec::new(),
        };
        self.network.with_session(node, |session, _| session.open_stream(stream.stream_id));
        self.request(Request::ConsumeData(consume));
        id
    }

    /// Sends a text message on a member's data channel.
    ///
    /// # Panics
    /// The send buffer is full.
    pub fn send_text(&mut self, node: NodeId, stream: SctpStreamParameters, text: impl Into<Vec<u8>>) {
        let text = text.into().into();
        let sent =
            self.network.with_session(node, |session, now| session.send_message(now, stream, 51, text));
        sent.expect("the send buffer is not full");
    }

    /// Messages that a member has received on a stream.
    pub fn messages(&self, node: NodeId, stream: u16) -> Vec<Bytes> {
        let of_stream = |(_, event): &(Duration, Event)| match event {
            Event::Message { stream: on, payload, .. } if *on == stream => Some(payload.clone()),
            _ => None,
        };
        self.network.events(node).iter().filter_map(of_stream).collect()
    }

    /// Adds a member. Its session has the DTLS `role`, and `link` in both directions.
    pub fn join(&mut self, role: Role, link: LinkConfig) -> NodeId {
        self.join_with(role, link, &|_, _| {})
    }

    /// Like [`join`](Self::join), but `change` can modify the session's settings and the DTLS parameters that the
    /// engine's transport is connected with.
    pub fn join_with(&mut self, role: Role, link: LinkConfig, change: ChangeParameters<'_>) -> NodeId {
        let id = TransportId::from(self.name("transport"));
        let created = self.create_transport(&id);
        let mut config = SessionConfig {
            identity: Identity::generate().expect("the system has randomness"),
            dtls_role: role,
            remote_ice: created.ice_parameters,
            candidates: created
                .ice_candidates
                .iter()
                .map(|c| SocketAddr::new(c.address.parse().expect("no address is announced"), c.port))
                .collect(),
            remote_dtls: created.dtls_parameters,
            cname: id.to_string(),
            sctp: self.sctp,
            seed: [0; 32],
        };
        let mut parameters = config.identity.dtls_parameters(role);
        change(&mut config, &mut parameters);
        let node = self.network.add_session(config, link.clone(), link);
        let connect = Request::ConnectWebRtcTransport(id.clone(), parameters);
        self.network.request(connect).expect("a new transport is not connected yet");
        self.members.push(id);
        node
    }

    /// Adds one member for each link, and waits until all are connected.
    ///
    /// # Panics
    /// The members do not connect within ten seconds.
    pub fn join_all(&mut self, links: &[LinkConfig]) -> Vec<NodeId> {
        let nodes: Vec<_> = links.iter().map(|link| self.join(Role::Client, link.clone())).collect();
        self.connect(&nodes);
        nodes
    }

    /// Waits until the engine has reported `nodes` as connected, which can be later than in the sessions.
    ///
    /// # Panics
    /// The members do not connect within ten seconds.
    pub fn connect(&mut self, nodes: &[NodeId]) {
        let ids: Vec<_> = nodes.iter().map(|node| self.transport(*node).clone()).collect();
        let connected = |network: &Network| {
            let both = |(id, node): (&TransportId, &NodeId)| {
                network.session(*node).is_connected() && engine_is_connected(network, id)
            };
            ids.iter().zip(nodes).all(both)
        };
        assert!(
            self.network.run_until_true(Duration::from_secs(10), connected),
            "not all members are connected"
        );
    }

    /// Transport of a member.
    pub fn transport(&self, node: NodeId) -> &TransportId {
        let at = self.network.index(node);
        &self.members[at]
    }

    /// Creates a video Producer and starts its source.
    pub fn produce_video(&mut self, node: NodeId, config: VideoConfig) -> Production {
        let production = self.produce(node, MediaKind::Video, vp8_codecs(), config.first_sequence_number);
        let source = Source::video(production.ssrc, config, self.network.now());
        self.network.add_source(node, source);
        production
    }

    /// Like [`produce_video`](Self::produce_video), but the sender supports REMB only, no transport-wide feedback.
    pub fn produce_video_by_remb(&mut self, node: NodeId, config: VideoConfig) -> Production {
        let mut codecs = vp8_codecs();
        codecs[0]["rtcpFeedback"] = json!([{ "type": "nack" }, { "type": "goog-remb" }]);
        let production = self.produce(node, MediaKind::Video, codecs, config.first_sequence_number);
        let source = Source::video(production.ssrc, config, self.network.now());
        self.network.add_source(node, source);
        production
    }

    /// Creates a Producer of a VP8 simulcast and starts its sources. Each of `configs`, from the lowest, is an encoding
    /// with three temporal layers. The encodings are identified by RID only.
    pub fn produce_simulcast(&mut self, node: NodeId, configs: &[VideoConfig]) -> Production {
        let ssrc = 10_000 + 100 * (self.objects + 1);
        let rids: Vec<_> = (0..configs.len()).map(|index| format!("r{index}")).collect();
        let parameters: RtpParameters = from_json(json!({
            "mid": format!("mid-{ssrc}"),
            "codecs": vp8_codecs(),
            "encodings": rids.iter().map(|rid| json!({ "rid": rid, "scalabilityMode": "L1T3" })).collect::<Vec<_>>(),
            "headerExtensions": [
                { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 },
                { "uri": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "id": 2 },
                { "uri": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", "id": 3 },
                { "uri": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", "id": 4 },
                { "uri": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", "id": 5 },
            ],
            "rtcp": { "cname": "sender" },
        }));
        let codecs = &parameters.codecs;
        let (payload_type, rtx) = (codecs[0].payload_type(), codecs[1].payload_type());
        for ((rid, config), index) in rids.iter().zip(configs).zip(0..) {
            let base = SendStreamConfig::new(ssrc + 2 * index, payload_type, VIDEO_CLOCK_RATE);
            let stream = SendStreamConfig {
                extension_ids: ExtensionIds::new(&parameters.header_extensions),
                mid: parameters.mid.clone(),
                rid: Some(rid.clone()),
                first_sequence_number: config.first_sequence_number,
                ..base.with_rtx(ssrc + 2 * index + 1, rtx)
            };
            let added = self.network.with_session(node, |session, _| session.add_send_stream(stream));
            added.expect("SSRCs are counted");
            let source = Source::encoding(ssrc + 2 * index, index as u8, *config, self.network.now());
            self.network.add_source(node, source);
        }
        let transport = self.transport(node).clone();
        let produced = self.produce_on(transport, MediaKind::Video, parameters);
        Production { produced, node, ssrc }
    }

    /// Creates an audio Producer and starts its source.
    pub fn produce_audio(&mut self, node: NodeId, config: AudioConfig) -> Production {
        let codecs = json!([
            { "mimeType": "audio/opus", "payloadType": 100, "clockRate": OPUS_CLOCK_RATE, "channels": 2,
              "parameters": {}, "rtcpFeedback": [{ "type": "transport-cc" }] },
        ]);
        let production = self.produce(node, MediaKind::Audio, codecs, config.first_sequence_number);
        let source = Source::audio(production.ssrc, config, self.network.now());
        self.network.add_source(node, source);
        production
    }

    /// Creates a Producer for frames that the caller sends by
    /// [`Session::send_frame`](tureen_client::Session::send_frame). `codec` has a `mimeType` and, if the codec needs
    /// them, `parameters`.
    pub fn produce_frames(&mut self, node: NodeId, mut codec: Value) -> Production {
        let kind = if is_audio(&codec) { MediaKind::Audio } else { MediaKind::Video };
        codec["payloadType"] = json!(96);
        codec["rtcpFeedback"] = json!([
            { "type": "nack" }, { "type": "nack", "parameter": "pli" }, { "type": "ccm", "parameter": "fir" },
            { "type": "transport-cc" },
        ]);
        let clock_rate = if is_audio(&codec) { OPUS_CLOCK_RATE } else { VIDEO_CLOCK_RATE };
        codec["clockRate"] = json!(clock_rate);
        let mut codecs = vec![codec];
        if kind == MediaKind::Audio {
            codecs[0]["channels"] = json!(2);
        } else {
            codecs.push(json!({ "mimeType": "video/rtx", "payloadType": 97, "clockRate": clock_rate,
                                "parameters": { "apt": 96 } }));
        }
        let frames = codec_kind(&codecs[0]);
        self.produce_with(node, kind, json!(codecs), None, frames)
    }

    /// Like [`consume`](Self::consume), but the member receives whole frames of `codec`.
    pub fn consume_frames(&mut self, node: NodeId, produced: &Produced, codec: &Value) -> Consumption {
        let transport = self.transport(node).clone();
        let (id, parameters) = self.consume_on(transport, produced);
        let config = recv_config(&parameters, 0, produced.kind).with_frames(codec_kind(codec));
        let ssrc = config.ssrc;
        let added = self.network.with_session(node, |session, _| session.add_recv_stream(config));
        added.expect("the session has no stream with this SSRC");
        self.request(Request::ResumeConsumer(id.clone()));
        Consumption { id, node, ssrc }
    }

    /// Like [`produce_audio`](Self::produce_audio), but lost packets are requested by NACK, as from browsers. The
    /// sender supports no RTX and retransmits nothing.
    pub fn produce_repairable_audio(&mut self, node: NodeId, config: AudioConfig) -> Production {
        let codecs = json!([
            { "mimeType": "audio/opus", "payloadType": 100, "clockRate": OPUS_CLOCK_RATE, "channels": 2,
              "parameters": {}, "rtcpFeedback": [{ "type": "nack" }, { "type": "transport-cc" }] },
        ]);
        let production = self.produce(node, MediaKind::Audio, codecs, config.first_sequence_number);
        let source = Source::audio(production.ssrc, config, self.network.now());
        self.network.add_source(node, source);
        production
    }

    /// Creates a Consumer, paused, and resumes it after the session knows it, as a client does.
    pub fn consume(&mut self, node: NodeId, produced: &Produced) -> Consumption {
        let consumption = self.consume_paused(node, produced);
        self.network
            .request(Request::ResumeConsumer(consumption.id.clone()))
            .expect("the Consumer was just created");
        consumption
    }

    /// Like [`consume`](Self::consume), but without resuming.
    pub fn consume_paused(&mut self, node: NodeId, produced: &Produced) -> Consumption {
        let transport = self.transport(node).clone();
        let (id, parameters) = self.consume_on(transport, produced);
        let config = recv_config(&parameters, 0, produced.kind);
        let ssrc = config.ssrc;
        let added = self.network.with_session(node, |session, _| session.add_recv_stream(config));
        added.expect("SSRCs of consumers are random");
        Consumption { id, node, ssrc }
    }

    /// Like [`consume`](Self::consume), but the receiver sends NACKs, and `change` can modify the Consumer's
    /// parameters.
    pub fn consume_changed(
        &mut self,
        node: NodeId,
        produced: &Produced,
        change: impl FnOnce(&mut RtpParameters),
    ) -> Consumption {
        let transport = self.transport(node).clone();
        let (id, parameters) =
            self.try_consume_on(transport, produced, change).expect("the request is valid");
        let config = RecvStreamConfig { nack: true, ..recv_config(&parameters, 0, produced.kind) };
        let ssrc = config.ssrc;
        let added = self.network.with_session(node, |session, _| session.add_recv_stream(config));
        added.expect("the session has no stream with this SSRC");
        self.request(Request::ResumeConsumer(id.clone()));
        Consumption { id, node, ssrc }
    }

    /// Like [`consume`](Self::consume), but the member supports REMB only, no transport-wide feedback.
    pub fn consume_by_remb(&mut self, node: NodeId, produced: &Produced) -> Consumption {
        self.consume_changed(node, produced, |parameters| {
            let is_kept = |uri| uri != RtpHeaderExtensionUri::TransportWideCcDraft01;
            parameters.header_extensions.retain(|extension| is_kept(extension.uri));
            for codec in &mut parameters.codecs {
                if let RtpCodecParameters::Video { rtcp_feedback, .. } = codec {
                    rtcp_feedback.retain(|feedback| *feedback != RtcpFeedback::TransportCc);
                    rtcp_feedback.push(RtcpFeedback::GoogRemb);
                }
            }
        })
    }

    /// Like [`consume_changed`](Self::consume_changed), but the receiver supports no RTX.
    pub fn consume_without_rtx(
        &mut self,
        node: NodeId,
        produced: &Produced,
        change: impl FnOnce(&mut RtpParameters),
    ) -> Consumption {
        self.consume_changed(node, produced, |parameters| {
            parameters.codecs.truncate(1);
            parameters.encodings.iter_mut().for_each(|encoding| encoding.rtx = None);
            change(parameters);
        })
    }

    /// Creates a paused Consumer on any transport, and returns its RTP parameters for the receiver.
    pub fn consume_on(&mut self, transport: TransportId, produced: &Produced) -> (ConsumerId, RtpParameters) {
        self.try_consume_on(transport, produced, |_| ()).expect("the request is valid")
    }

    /// Like [`consume_on`](Self::consume_on), but `change` can modify the Consumer's parameters.
    ///
    /// # Errors
    /// The engine refuses the parameters.
    pub fn try_consume_on(
        &mut self,
        transport: TransportId,
        produced: &Produced,
        change: impl FnOnce(&mut RtpParameters),
    ) -> Result<(ConsumerId, RtpParameters), RequestError> {
        let id = ConsumerId::from(self.name("consumer"));
        let capabilities: RtpCapabilities =
            from_json(serde_json::to_value(&self.capabilities).expect("capabilities have a JSON form"));
        let consumable = &produced.consumable;
        let mut parameters =
            ortc::get_consumer_rtp_parameters(consumable, &capabilities, false, true, true, &mut self.rng)
                .expect("members have the router's capabilities");
        parameters.mid = Some(id.to_string());
        change(&mut parameters);
        self.consume_as(StreamType::Simple, transport, produced, id, parameters)
    }

    /// Creates a pipe Consumer, which forwards every encoding unchanged, and returns one consumption for each encoding.
    pub fn consume_piped(&mut self, node: NodeId, produced: &Produced) -> Vec<Consumption> {
        let id = ConsumerId::from(self.name("consumer"));
        let transport = self.transport(node).clone();
        let parameters = ortc::get_pipe_consumer_rtp_parameters(&produced.consumable, true, &mut self.rng);
        let piped = self.consume_as(StreamType::Pipe, transport, produced, id, parameters);
        let (id, parameters) = piped.expect("the request is valid");
        let mut consumptions = Vec::new();
        for index in 0..parameters.encodings.len() {
            let config = recv_config(&parameters, index, produced.kind);
            let ssrc = config.ssrc;
            let added = self.network.with_session(node, |session, _| session.add_recv_stream(config));
            added.expect("SSRCs of consumers are random");
            consumptions.push(Consumption { id: id.clone(), node, ssrc });
        }
        self.request(Request::ResumeConsumer(id));
        consumptions
    }

    fn consume_as(
        &mut self,
        stream_type: StreamType,
        transport: TransportId,
        produced: &Produced,
        id: ConsumerId,
        parameters: RtpParameters,
    ) -> Result<(ConsumerId, RtpParameters), RequestError> {
        let consumable = &produced.consumable;
        let consume = Consume {
            transport_id: transport,
            producer_id: produced.id.clone(),
            id: id.clone(),
            kind: produced.kind,
            rtp_parameters: parameters.clone(),
            stream_type,
            consumable_rtp_encodings: consumable.encodings.clone(),
            paused: true,
            preferred_layers: None,
            ignore_dtx: false,
        };
        self.network.request(Request::Consume(Box::new(consume)))?;
        Ok((id, parameters))
    }

    /// Creates a Producer on any transport. The caller sends its packets.
    pub fn produce_on(
        &mut self,
        transport: TransportId,
        kind: MediaKind,
        parameters: RtpParameters,
    ) -> Produced {
        let id = ProducerId::from(self.name("producer"));
        let mapping =
            ortc::get_producer_rtp_parameters_mapping(&parameters, &self.capabilities, &mut self.rng)
                .expect("the router supports these codecs");
        let consumable = ortc::get_consumable_rtp_parameters(kind, &parameters, &self.capabilities, &mapping);
        let produce = Produce {
            transport_id: transport,
            id: id.clone(),
            kind,
            rtp_parameters: parameters,
            rtp_mapping: mapping,
            paused: false,
            key_frame_request_delay: Duration::ZERO,
            enable_packet_id: false,
        };
        self.request(Request::Produce(produce));
        Produced { id, kind, consumable }
    }

    /// Creates an AudioLevelObserver of `productions`.
    ///
    /// # Panics
    /// One of them is not audio.
    pub fn observe_audio(
        &mut self,
        options: AudioLevelOptions,
        productions: &[&Production],
    ) -> RtpObserverId {
        let id = RtpObserverId::from(self.name("observer"));
        let create = CreateAudioLevelObserver { router_id: RouterId::from(ROUTER), id: id.clone(), options };
        self.request(Request::CreateAudioLevelObserver(create));
        self.add_to_observer(&id, productions);
        id
    }

    /// Creates an ActiveSpeakerObserver of `productions`.
    ///
    /// # Panics
    /// One of them is not audio.
    pub fn observe_speaker(
        &mut self,
        options: ActiveSpeakerOptions,
        productions: &[&Production],
    ) -> RtpObserverId {
        let id = RtpObserverId::from(self.name("observer"));
        let create =
            CreateActiveSpeakerObserver { router_id: RouterId::from(ROUTER), id: id.clone(), options };
        self.request(Request::CreateActiveSpeakerObserver(create));
        self.add_to_observer(&id, productions);
        id
    }

    /// Closes the router and everything in it.
    ///
    /// # Panics
    /// The router is closed already.
    pub fn close_router(&mut self) {
        self.request(Request::CloseRouter(RouterId::from(ROUTER)));
    }

    fn add_to_observer(&mut self, id: &RtpObserverId, productions: &[&Production]) {
        for production in productions {
            self.request(Request::RtpObserverAddProducer(id.clone(), production.id.clone()));
        }
    }

    /// Sends a request to the engine and returns the response.
    ///
    /// # Panics
    /// The engine refuses the request.
    pub fn request(&mut self, request: Request) -> Response {
        self.network.request(request).expect("the request is valid")
    }

    fn produce(
        &mut self,
        node: NodeId,
        kind: MediaKind,
        codecs: Value,
        first_seq: Option<u16>,
    ) -> Production {
        self.produce_with(node, kind, codecs, first_seq, CodecKind::Other)
    }

    /// `frames` is the codec of whole frames, if the caller sends such.
    fn produce_with(
        &mut self,
        node: NodeId,
        kind: MediaKind,
        codecs: Value,
        first_seq: Option<u16>,
        frames: CodecKind,
    ) -> Production {
        let ssrc = 10_000 + 10 * (self.objects + 1);
        let has_rtx = codecs.as_array().is_some_and(|codecs| codecs.len() > 1);
        let mut encoding = json!({ "ssrc": ssrc });
        if has_rtx {
            encoding["rtx"] = json!({ "ssrc": ssrc + 1 });
        }
        let mut extensions = vec![
            json!({ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 }),
            json!({ "uri": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", "id": 4 }),
        ];
        if codecs.to_string().contains("transport-cc") {
            let uri = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
            extensions.push(json!({ "uri": uri, "id": 5 }));
        }
        if kind == MediaKind::Audio {
            extensions.push(json!({ "uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "id": 10 }));
        }
        let parameters: RtpParameters = from_json(json!({
            "mid": format!("mid-{ssrc}"),
            "codecs": codecs,
            "encodings": [encoding],
            "headerExtensions": extensions,
            "rtcp": { "cname": "sender" },
        }));
        let codec = &parameters.codecs[0];
        let base = SendStreamConfig::new(ssrc, codec.payload_type(), codec.clock_rate().get());
        let base = if has_rtx { base.with_rtx(ssrc + 1, parameters.codecs[1].payload_type()) } else { base };
        let config = SendStreamConfig {
            extension_ids: ExtensionIds::new(&parameters.header_extensions),
            mid: parameters.mid.clone(),
            first_sequence_number: first_seq,
            ..base.with_frames(frames)
        };
        let added = self.network.with_session(node, |session, _| session.add_send_stream(config));
        added.expect("SSRCs are counted");
        let transport = self.transport(node).clone();
        let produced = self.produce_on(transport, kind, parameters);
        Production { produced, node, ssrc }
    }

    fn create_transport(&mut self, id: &TransportId) -> WebRtcTransportDump {
        let create = CreateWebRtcTransport {
            router_id: RouterId::from(ROUTER),
            id: id.clone(),
            listen: Listen::Server(WebRtcServerId::from(SERVER)),
            enable_udp: true,
            enable_tcp: false,
            prefer_udp: false,
            prefer_tcp: false,
            ice_consent_timeout: Some(Duration::from_secs(30)),
            initial_available_outgoing_bitrate: Bitrate::kbps(600),
            sctp: self.sctp,
        };
        match self.request(Request::CreateWebRtcTransport(create)) {
            Response::TransportDump(dump) => match dump.link {
                LinkDump::WebRtc(created) => created,
                other => panic!("not a WebRtcTransport: {other:?}"),
            },
            other => panic!("not an answer to CreateWebRtcTransport: {other:?}"),
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.objects += 1;
        format!("{kind}-{}", self.objects)
    }
}

fn vp8_codecs() -> Value {
    json!([
        { "mimeType": "video/VP8", "payloadType": 96, "clockRate": VIDEO_CLOCK_RATE, "parameters": {},
          "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }, { "type": "goog-remb" },
                           { "type": "transport-cc" }] },
        { "mimeType": "video/rtx", "payloadType": 97, "clockRate": VIDEO_CLOCK_RATE, "parameters": { "apt": 96 } },
    ])
}

fn engine_is_connected(network: &Network, id: &TransportId) -> bool {
    network.notifications().iter().any(|(_, notification)| match notification {
        Notification::Transport(of, TransportEvent::DtlsState { state: DtlsState::Connected, .. }) => {
            of == id
        }
        _ => false,
    })
}

fn recv_config(parameters: &RtpParameters, index: usize, kind: MediaKind) -> RecvStreamConfig {
    let encoding = &parameters.encodings[index];
    let codec = &parameters.codecs[0];
    let rtx = encoding.rtx.zip(parameters.codecs.get(1));
    RecvStreamConfig {
        ssrc: encoding.ssrc.expect("a consumer's encoding has an SSRC"),
        payload_type: codec.payload_type(),
        rtx: rtx.map(|(rtx, codec)| Rtx { ssrc: rtx.ssrc, payload_type: codec.payload_type() }),
        nack: rtx.is_some(),
        clock_rate: codec.clock_rate().get(),
        codec: match kind {
            MediaKind::Audio => CodecKind::Opus,
            MediaKind::Video => CodecKind::Vp8,
        },
        max_frame_delay: None,
        extension_ids: ExtensionIds::new(&parameters.header_extensions),
    }
}

fn is_audio(codec: &Value) -> bool {
    codec["mimeType"].as_str().is_some_and(|name| name.starts_with("audio/"))
}

fn codec_kind(codec: &Value) -> CodecKind {
    match codec["mimeType"].as_str() {
        Some("video/VP8") => CodecKind::Vp8,
        Some("video/VP9") => CodecKind::Vp9,
        Some("video/H264") => CodecKind::H264,
        Some("video/H265") => CodecKind::H265,
        Some("video/AV1") => CodecKind::Av1,
        Some("audio/opus") => CodecKind::Opus,
        other => panic!("no codec with frames: {other:?}"),
    }
}

fn from_json<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("the JSON is written in this file")
}
