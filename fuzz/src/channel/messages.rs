//! Frames of a parent: each method and notification once, on existing objects.

use planus::Builder;
use tureen_worker::flatbuffers::schema::message::{Body, Message};
use tureen_worker::flatbuffers::schema::notification::{Body as NotificationBody, Event, Notification};
use tureen_worker::flatbuffers::schema::request::{Body as RequestBody, Method, Request};
use tureen_worker::flatbuffers::schema::{
    active_speaker_observer, audio_level_observer, consumer, data_consumer, data_producer, direct_transport,
    pipe_transport, plain_transport, producer, router, rtp_observer, rtp_parameters, sctp_parameters,
    transport, webrtc_transport, worker,
};

use super::operation;
use crate::script::push_step;

/// Script that creates, uses and closes an object of each kind.
pub(crate) fn all() -> Vec<u8> {
    let mut parent = Parent::default();
    parent.make_transports();
    parent.make_media();
    parent.make_data();
    parent.wait(1500);
    parent.use_transports();
    parent.use_media();
    parent.use_data();
    parent.wait(60_000);
    parent.close();
    parent.script
}

/// Requests of a recorded session of mediasoup 3.5.
pub(crate) fn recorded() -> Vec<u8> {
    let lines = include_str!("../../../crates/tureen-worker/tests/data/recorded_run.jsonl").lines();
    let mut script = vec![0];
    for (id, line) in lines.enumerate() {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        if let Some(request) = line.get_mut("request") {
            request["id"] = id.into();
            push_step(&mut script, operation::FRAME, request.to_string().as_bytes());
        }
    }
    push_step(&mut script, operation::WAIT, &5000_u16.to_be_bytes());
    script
}

#[derive(Default)]
struct Parent {
    script: Vec<u8>,
    requests: u32,
}

macro_rules! body {
    ($kind:ident, $($table:ident)::+ { $($fields:tt)* }) => {
        Some(RequestBody::$kind(Box::new($($table)::+ { $($fields)* })))
    };
}

impl Parent {
    fn make_transports(&mut self) {
        use Method as M;
        self.ask(M::WorkerGetResourceUsage, "", None);
        let log_level = Some("warn".to_owned());
        self.ask(
            M::WorkerUpdateSettings,
            "",
            body!(
                WorkerUpdateSettingsRequest,
                worker::UpdateSettingsRequest { log_level, log_tags: Some(vec!["ice".to_owned()]) }
            ),
        );
        let listen_infos = Some(vec![listen_info()]);
        self.ask(
            M::WorkerCreateWebrtcserver,
            "",
            body!(
                WorkerCreateWebRtcServerRequest,
                worker::CreateWebRtcServerRequest { web_rtc_server_id: text("server"), listen_infos }
            ),
        );
        self.ask(
            M::WorkerCreateRouter,
            "",
            body!(WorkerCreateRouterRequest, worker::CreateRouterRequest { router_id: text("room") }),
        );
        let individual = webrtc_transport::ListenIndividual { listen_infos: vec![listen_info()] };
        let individual = webrtc_transport::Listen::ListenIndividual(Box::new(individual));
        self.ask(M::RouterCreateWebrtctransport, "room", webrtc("web", individual));
        let server = webrtc_transport::ListenServer { web_rtc_server_id: text("server") };
        let server = webrtc_transport::Listen::ListenServer(Box::new(server));
        self.ask(M::RouterCreateWebrtctransportWithServer, "room", webrtc("served", server));
        let plain = plain_transport::PlainTransportOptions {
            base: Box::new(sctp_options()),
            listen_info: Box::new(listen_info()),
            rtcp_listen_info: Some(Box::new(listen_info())),
            rtcp_mux: false,
            comedia: false,
            enable_srtp: false,
            srtp_crypto_suite: None,
        };
        self.ask(
            M::RouterCreatePlaintransport,
            "room",
            body!(
                RouterCreatePlainTransportRequest,
                router::CreatePlainTransportRequest { transport_id: text("plain"), options: Box::new(plain) }
            ),
        );
        let pipe = pipe_transport::PipeTransportOptions {
            base: Box::new(sctp_options()),
            listen_info: Box::new(listen_info()),
            enable_rtx: true,
            enable_srtp: false,
        };
        self.ask(
            M::RouterCreatePipetransport,
            "room",
            body!(
                RouterCreatePipeTransportRequest,
                router::CreatePipeTransportRequest { transport_id: text("pipe"), options: Box::new(pipe) }
            ),
        );
        let base = transport::Options { direct: true, max_send_message_size: 65536, ..Default::default() };
        let direct = direct_transport::DirectTransportOptions { base: Box::new(base) };
        self.ask(
            M::RouterCreateDirecttransport,
            "room",
            body!(
                RouterCreateDirectTransportRequest,
                router::CreateDirectTransportRequest {
                    transport_id: text("direct"),
                    options: Box::new(direct),
                }
            ),
        );
    }

    fn make_media(&mut self) {
        use Method as M;
        for (transport, id, kind, ssrc) in [
            ("web", "camera", rtp_parameters::MediaKind::Video, 1000),
            ("direct", "microphone", rtp_parameters::MediaKind::Audio, 2000),
        ] {
            let codecs = vec![rtp_parameters::CodecMapping { payload_type: 100, mapped_payload_type: 100 }];
            let encodings = vec![rtp_parameters::EncodingMapping {
                ssrc: Some(ssrc),
                mapped_ssrc: ssrc,
                ..Default::default()
            }];
            let body = body!(
                TransportProduceRequest,
                transport::ProduceRequest {
                    producer_id: text(id),
                    kind,
                    rtp_parameters: Box::new(rtp(kind, ssrc)),
                    rtp_mapping: Box::new(rtp_parameters::RtpMapping { codecs, encodings }),
                    paused: false,
                    key_frame_request_delay: 500,
                    enable_mediasoup_packet_id_header_extension: false,
                }
            );
            self.ask(M::TransportProduce, transport, body);
        }
        for (transport, id, kind, ssrc, type_) in [
            ("served", "camera", rtp_parameters::MediaKind::Video, 1000, rtp_parameters::Type::Simple),
            ("pipe", "camera", rtp_parameters::MediaKind::Video, 1000, rtp_parameters::Type::Pipe),
            ("direct", "microphone", rtp_parameters::MediaKind::Audio, 2000, rtp_parameters::Type::Simple),
        ] {
            let body = body!(
                TransportConsumeRequest,
                transport::ConsumeRequest {
                    consumer_id: format!("{id} on {transport}"),
                    producer_id: text(id),
                    kind,
                    rtp_parameters: Box::new(rtp(kind, ssrc + 1)),
                    type_,
                    consumable_rtp_encodings: rtp(kind, ssrc).encodings,
                    paused: false,
                    preferred_layers: None,
                    ignore_dtx: true,
                }
            );
            self.ask(M::TransportConsume, transport, body);
        }
        let levels =
            audio_level_observer::AudioLevelObserverOptions { max_entries: 2, threshold: -80, interval: 500 };
        self.ask(
            M::RouterCreateAudiolevelobserver,
            "room",
            body!(
                RouterCreateAudioLevelObserverRequest,
                router::CreateAudioLevelObserverRequest {
                    rtp_observer_id: text("levels"),
                    options: Box::new(levels),
                }
            ),
        );
        let speaker = active_speaker_observer::ActiveSpeakerObserverOptions { interval: 300 };
        self.ask(
            M::RouterCreateActivespeakerobserver,
            "room",
            body!(
                RouterCreateActiveSpeakerObserverRequest,
                router::CreateActiveSpeakerObserverRequest {
                    rtp_observer_id: text("speaker"),
                    options: Box::new(speaker),
                }
            ),
        );
        for observer in ["levels", "speaker"] {
            let producer_id = text("microphone");
            let body = body!(RtpObserverAddProducerRequest, rtp_observer::AddProducerRequest { producer_id });
            self.ask(M::RtpobserverAddProducer, observer, body);
        }
    }

    fn make_data(&mut self) {
        use Method as M;
        let stream = |stream_id| {
            let stream = sctp_parameters::SctpStreamParameters {
                stream_id,
                ordered: Some(false),
                max_packet_life_time: Some(500),
                max_retransmits: None,
            };
            Some(Box::new(stream))
        };
        for (transport, type_, stream) in
            [("direct", data_producer::Type::Direct, None), ("plain", data_producer::Type::Sctp, stream(3))]
        {
            let body = body!(
                TransportProduceDataRequest,
                transport::ProduceDataRequest {
                    data_producer_id: format!("chat of {transport}"),
                    type_,
                    sctp_stream_parameters: stream,
                    label: Some(text("chat")),
                    protocol: Some(text("words")),
                    paused: false,
                }
            );
            self.ask(M::TransportProduceData, transport, body);
        }
        for (transport, type_, stream) in
            [("direct", data_consumer::Type::Direct, None), ("pipe", data_consumer::Type::Sctp, stream(4))]
        {
            let body = body!(
                TransportConsumeDataRequest,
                transport::ConsumeDataRequest {
                    data_consumer_id: format!("chat to {transport}"),
                    data_producer_id: text("chat of direct"),
                    type_,
                    sctp_stream_parameters: stream,
                    label: Some(text("chat")),
                    protocol: None,
                    paused: false,
                    subchannels: Some(vec![1, 2]),
                }
            );
            self.ask(M::TransportConsumeData, transport, body);
        }
    }

    fn use_transports(&mut self) {
        use Method as M;
        let value = vec!["1F"; 32].join(":");
        let algorithm = webrtc_transport::FingerprintAlgorithm::Sha256;
        let dtls_parameters = Box::new(webrtc_transport::DtlsParameters {
            fingerprints: vec![webrtc_transport::Fingerprint { algorithm, value }],
            role: webrtc_transport::DtlsRole::Client,
        });
        let body = body!(WebRtcTransportConnectRequest, webrtc_transport::ConnectRequest { dtls_parameters });
        self.ask(M::WebrtctransportConnect, "web", body);
        self.ask(M::TransportRestartIce, "web", None);
        let body = body!(
            PlainTransportConnectRequest,
            plain_transport::ConnectRequest {
                ip: Some(text("192.0.2.1")),
                port: Some(5000),
                rtcp_port: Some(5001),
                srtp_parameters: None,
            }
        );
        self.ask(M::PlaintransportConnect, "plain", body);
        let body = body!(
            PipeTransportConnectRequest,
            pipe_transport::ConnectRequest { ip: text("192.0.2.2"), port: Some(6000), srtp_parameters: None }
        );
        self.ask(M::PipetransportConnect, "pipe", body);
        let max_incoming_bitrate = 1_000_000;
        let body = body!(
            TransportSetMaxIncomingBitrateRequest,
            transport::SetMaxIncomingBitrateRequest { max_incoming_bitrate }
        );
        self.ask(M::TransportSetMaxIncomingBitrate, "web", body);
        let max_outgoing_bitrate = 2_000_000;
        let body = body!(
            TransportSetMaxOutgoingBitrateRequest,
            transport::SetMaxOutgoingBitrateRequest { max_outgoing_bitrate }
        );
        self.ask(M::TransportSetMaxOutgoingBitrate, "web", body);
        let min_outgoing_bitrate = 100_000;
        let body = body!(
            TransportSetMinOutgoingBitrateRequest,
            transport::SetMinOutgoingBitrateRequest { min_outgoing_bitrate }
        );
        self.ask(M::TransportSetMinOutgoingBitrate, "web", body);
        for transport in ["web", "served", "plain", "pipe", "direct"] {
            self.ask(M::TransportDump, transport, None);
            self.ask(M::TransportGetStats, transport, None);
            let events = vec![transport::TraceEventType::Bwe, transport::TraceEventType::Probation];
            let body = body!(TransportEnableTraceEventRequest, transport::EnableTraceEventRequest { events });
            self.ask(M::TransportEnableTraceEvent, transport, body);
        }
        self.tell("direct", Event::TransportSendRtcp, {
            // Receiver report without report blocks.
            let data = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
            NotificationBody::TransportSendRtcpNotification(Box::new(transport::SendRtcpNotification {
                data,
            }))
        });
        self.ask(M::RouterDump, "room", None);
        self.ask(M::WebrtcserverDump, "server", None);
        self.ask(M::WorkerDump, "", None);
    }

    fn use_media(&mut self) {
        use Method as M;
        for producer in ["camera", "microphone"] {
            for method in [M::ProducerDump, M::ProducerGetStats, M::ProducerPause, M::ProducerResume] {
                self.ask(method, producer, None);
            }
            let events = vec![producer::TraceEventType::Keyframe, producer::TraceEventType::Rtp];
            let body = body!(ProducerEnableTraceEventRequest, producer::EnableTraceEventRequest { events });
            self.ask(M::ProducerEnableTraceEvent, producer, body);
        }
        for consumer in ["camera on served", "camera on pipe", "microphone on direct"] {
            for method in [
                M::ConsumerDump,
                M::ConsumerGetStats,
                M::ConsumerPause,
                M::ConsumerResume,
                M::ConsumerRequestKeyFrame,
            ] {
                self.ask(method, consumer, None);
            }
            let layers = consumer::ConsumerLayers { spatial_layer: 1, temporal_layer: Some(2) };
            let preferred_layers = Box::new(layers);
            let body = body!(
                ConsumerSetPreferredLayersRequest,
                consumer::SetPreferredLayersRequest { preferred_layers }
            );
            self.ask(M::ConsumerSetPreferredLayers, consumer, body);
            let body = body!(ConsumerSetPriorityRequest, consumer::SetPriorityRequest { priority: 200 });
            self.ask(M::ConsumerSetPriority, consumer, body);
            let events = vec![consumer::TraceEventType::Rtp, consumer::TraceEventType::Pli];
            let body = body!(ConsumerEnableTraceEventRequest, consumer::EnableTraceEventRequest { events });
            self.ask(M::ConsumerEnableTraceEvent, consumer, body);
        }
        for number in 0..3 {
            let mut data = vec![0x80, 100, 0, number, 0, 0, 0, number, 0, 0, 0x07, 0xd0];
            data.extend([0xf8, 0xff, 0xfe]);
            self.tell("microphone", Event::ProducerSend, {
                NotificationBody::ProducerSendNotification(Box::new(producer::SendNotification { data }))
            });
        }
        for observer in ["levels", "speaker"] {
            self.ask(M::RtpobserverPause, observer, None);
            self.ask(M::RtpobserverResume, observer, None);
            let body = body!(
                RtpObserverRemoveProducerRequest,
                rtp_observer::RemoveProducerRequest { producer_id: text("microphone") }
            );
            self.ask(M::RtpobserverRemoveProducer, observer, body);
        }
    }

    fn use_data(&mut self) {
        use Method as M;
        for producer in ["chat of direct", "chat of plain"] {
            for method in
                [M::DataproducerDump, M::DataproducerGetStats, M::DataproducerPause, M::DataproducerResume]
            {
                self.ask(method, producer, None);
            }
        }
        self.tell("chat of direct", Event::DataproducerSend, {
            let message = data_producer::SendNotification {
                ppid: 51,
                data: b"hello".to_vec(),
                subchannels: Some(vec![1]),
                required_subchannel: Some(1),
                ignored_subchannel: None,
            };
            NotificationBody::DataProducerSendNotification(Box::new(message))
        });
        for consumer in ["chat to direct", "chat to pipe"] {
            for method in
                [M::DataconsumerDump, M::DataconsumerGetStats, M::DataconsumerPause, M::DataconsumerResume]
            {
                self.ask(method, consumer, None);
            }
            let body = body!(
                DataConsumerSetSubchannelsRequest,
                data_consumer::SetSubchannelsRequest { subchannels: vec![5, 6] }
            );
            self.ask(M::DataconsumerSetSubchannels, consumer, body);
            let body = body!(
                DataConsumerAddSubchannelRequest,
                data_consumer::AddSubchannelRequest { subchannel: 7 }
            );
            self.ask(M::DataconsumerAddSubchannel, consumer, body);
            let body = body!(
                DataConsumerRemoveSubchannelRequest,
                data_consumer::RemoveSubchannelRequest { subchannel: 5 }
            );
            self.ask(M::DataconsumerRemoveSubchannel, consumer, body);
        }
        // Only a DataConsumer over SCTP has a send buffer and accepts messages of the parent.
        let consumer = "chat to pipe";
        self.ask(M::DataconsumerGetBufferedAmount, consumer, None);
        let body = body!(
            DataConsumerSetBufferedAmountLowThresholdRequest,
            data_consumer::SetBufferedAmountLowThresholdRequest { threshold: 100 }
        );
        self.ask(M::DataconsumerSetBufferedAmountLowThreshold, consumer, body);
        let body = body!(
            DataConsumerSendRequest,
            data_consumer::SendRequest { ppid: 53, data: b"\x01\x02".to_vec() }
        );
        self.ask(M::DataconsumerSend, consumer, body);
    }

    fn close(&mut self) {
        use Method as M;
        let consumer_id = text("camera on served");
        let body = body!(TransportCloseConsumerRequest, transport::CloseConsumerRequest { consumer_id });
        self.ask(M::TransportCloseConsumer, "served", body);
        let body = body!(
            TransportCloseProducerRequest,
            transport::CloseProducerRequest { producer_id: text("camera") }
        );
        self.ask(M::TransportCloseProducer, "web", body);
        let data_consumer_id = text("chat to pipe");
        let body = body!(
            TransportCloseDataConsumerRequest,
            transport::CloseDataConsumerRequest { data_consumer_id }
        );
        self.ask(M::TransportCloseDataconsumer, "pipe", body);
        let data_producer_id = text("chat of plain");
        let body = body!(
            TransportCloseDataProducerRequest,
            transport::CloseDataProducerRequest { data_producer_id }
        );
        self.ask(M::TransportCloseDataproducer, "plain", body);
        let body = body!(
            RouterCloseRtpObserverRequest,
            router::CloseRtpObserverRequest { rtp_observer_id: text("levels") }
        );
        self.ask(M::RouterCloseRtpobserver, "room", body);
        let body =
            body!(RouterCloseTransportRequest, router::CloseTransportRequest { transport_id: text("pipe") });
        self.ask(M::RouterCloseTransport, "room", body);
        let web_rtc_server_id = text("server");
        let body =
            body!(WorkerCloseWebRtcServerRequest, worker::CloseWebRtcServerRequest { web_rtc_server_id });
        self.ask(M::WorkerWebrtcserverClose, "", body);
        let body = body!(WorkerCloseRouterRequest, worker::CloseRouterRequest { router_id: text("room") });
        self.ask(M::WorkerCloseRouter, "", body);
    }

    fn ask(&mut self, method: Method, handler: &str, body: Option<RequestBody>) {
        self.requests += 1;
        let request = Request { id: self.requests, method, handler_id: text(handler), body };
        self.push(Body::Request(Box::new(request)));
    }

    fn tell(&mut self, handler: &str, event: Event, body: NotificationBody) {
        let notification = Notification { handler_id: text(handler), event, body: Some(body) };
        self.push(Body::Notification(Box::new(notification)));
    }

    fn push(&mut self, body: Body) {
        let mut builder = Builder::new();
        push_step(&mut self.script, operation::FRAME, builder.finish(Message { data: body }, None));
    }

    fn wait(&mut self, ms: u16) {
        push_step(&mut self.script, operation::WAIT, &ms.to_be_bytes());
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn listen_info() -> transport::ListenInfo {
    transport::ListenInfo { ip: text("127.0.0.1"), ..Default::default() }
}

fn sctp_options() -> transport::Options {
    transport::Options {
        enable_sctp: true,
        max_send_message_size: 65536,
        max_receive_message_size: 65536,
        sctp_send_buffer_size: 65536,
        sctp_per_stream_send_queue_limit: 65536,
        sctp_max_receiver_window_buffer_size: 65536,
        ..Default::default()
    }
}

fn webrtc(id: &str, listen: webrtc_transport::Listen) -> Option<RequestBody> {
    let options = Box::new(webrtc_transport::WebRtcTransportOptions {
        base: Box::default(),
        listen,
        enable_udp: true,
        enable_tcp: false,
        prefer_udp: true,
        prefer_tcp: false,
        ice_consent_timeout: 30,
    });
    body!(
        RouterCreateWebRtcTransportRequest,
        router::CreateWebRtcTransportRequest { transport_id: text(id), options }
    )
}

fn rtp(kind: rtp_parameters::MediaKind, ssrc: u32) -> rtp_parameters::RtpParameters {
    let (mime_type, clock_rate, channels) = match kind {
        rtp_parameters::MediaKind::Audio => ("audio/opus", 48_000, Some(2)),
        rtp_parameters::MediaKind::Video => ("video/VP8", 90_000, None),
    };
    let useinbandfec = rtp_parameters::Parameter {
        name: text("useinbandfec"),
        value: rtp_parameters::Value::Integer32(Box::new(rtp_parameters::Integer32 { value: 1 })),
    };
    rtp_parameters::RtpParameters {
        mid: Some(format!("mid{ssrc}")),
        codecs: vec![rtp_parameters::RtpCodecParameters {
            mime_type: text(mime_type),
            payload_type: 100,
            clock_rate,
            channels,
            parameters: Some(vec![useinbandfec]),
            rtcp_feedback: Some(vec![rtp_parameters::RtcpFeedback {
                type_: text("transport-cc"),
                parameter: None,
            }]),
        }],
        header_extensions: vec![rtp_parameters::RtpHeaderExtensionParameters {
            uri: rtp_parameters::RtpHeaderExtensionUri::SsrcAudioLevel,
            id: 1,
            ..Default::default()
        }],
        encodings: vec![rtp_parameters::RtpEncodingParameters { ssrc: Some(ssrc), ..Default::default() }],
        ..Default::default()
    }
}
