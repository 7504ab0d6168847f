//! Requests that create one transport which produces audio and video and consumes both.

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use tureen_engine::api::{
    Consume, ConsumerId, CreateWebRtcTransport, Listen, MediaTrace, Produce, ProducerId, Request, RouterId,
    StreamType, TransportId,
};
use tureen_rtc::units::Bitrate;
use tureen_types::data_structures::{ListenInfo, Protocol};
use tureen_types::ortc::{
    generate_router_rtp_capabilities, get_consumable_rtp_parameters, get_consumer_rtp_parameters,
    get_producer_rtp_parameters_mapping,
};
use tureen_types::rtp_parameters::{MediaKind, RtpCapabilities, RtpParameters};

/// Identifiers of the Producers and of the Consumers.
pub(super) const KINDS: [&str; 2] = ["audio", "video"];

pub(super) fn router() -> RouterId {
    RouterId::from("router")
}

pub(super) fn transport_id() -> TransportId {
    TransportId::from("transport")
}

pub(super) fn transport(address: SocketAddr) -> CreateWebRtcTransport {
    let listen_info = ListenInfo {
        protocol: Protocol::Udp,
        ip: address.ip(),
        announced_address: None,
        expose_internal_ip: false,
        port: Some(address.port()),
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    };
    CreateWebRtcTransport {
        router_id: router(),
        id: transport_id(),
        listen: Listen::Individual(vec![listen_info]),
        enable_udp: true,
        enable_tcp: false,
        prefer_udp: true,
        prefer_tcp: false,
        ice_consent_timeout: Some(Duration::from_secs(30)),
        initial_available_outgoing_bitrate: Bitrate::bps(1_000_000),
        sctp: None,
    }
}

/// Requests that create a Producer of each kind, and a Consumer of it.
pub(super) fn media() -> Vec<Request> {
    let mut rng = SmallRng::seed_from_u64(1);
    let router = generate_router_rtp_capabilities(read(json!([
        { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 },
        { "kind": "video", "mimeType": "video/VP8", "clockRate": 90000 }
    ])))
    .expect("both codecs are supported");
    let endpoint: RtpCapabilities = read(serde_json::to_value(&router).expect("capabilities are JSON"));

    let mut requests = Vec::new();
    for (kind, name, parameters) in
        [(MediaKind::Audio, "audio", audio_parameters()), (MediaKind::Video, "video", video_parameters())]
    {
        let mapping = get_producer_rtp_parameters_mapping(&parameters, &router, &mut rng)
            .expect("the router has the codec");
        let consumable = get_consumable_rtp_parameters(kind, &parameters, &router, &mapping);
        let consumed = get_consumer_rtp_parameters(&consumable, &endpoint, false, true, true, &mut rng)
            .expect("the endpoint has the codec");
        requests.push(Request::Produce(Produce {
            transport_id: transport_id(),
            id: ProducerId::from(name),
            kind,
            rtp_parameters: parameters,
            rtp_mapping: mapping,
            paused: false,
            key_frame_request_delay: Duration::ZERO,
            enable_packet_id: false,
        }));
        requests.push(Request::Consume(Box::new(Consume {
            transport_id: transport_id(),
            producer_id: ProducerId::from(name),
            id: ConsumerId::from(name),
            kind,
            rtp_parameters: consumed,
            stream_type: StreamType::Simple,
            consumable_rtp_encodings: consumable.encodings,
            paused: false,
            preferred_layers: None,
            ignore_dtx: false,
        })));
    }
    requests
}

/// Trace settings with every event enabled.
pub(super) fn everything() -> MediaTrace {
    MediaTrace { rtp: true, key_frame: true, nack: true, pli: true, fir: true, sr: true }
}

fn audio_parameters() -> RtpParameters {
    read(json!({
        "mid": "0",
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 },
            { "uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "id": 2 }
        ],
        "encodings": [{ "ssrc": 1001 }],
        "rtcp": { "cname": "peer" }
    }))
}

fn video_parameters() -> RtpParameters {
    read(json!({
        "mid": "1",
        "codecs": [
            {
                "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000,
                "rtcpFeedback": [
                    { "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" },
                    { "type": "ccm", "parameter": "fir" }, { "type": "transport-cc", "parameter": "" }
                ]
            },
            { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } }
        ],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 },
            { "uri": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", "id": 4 },
            {
                "uri": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", "id": 5
            }
        ],
        "encodings": [{ "ssrc": 2001, "rtx": { "ssrc": 2002 } }],
        "rtcp": { "cname": "peer" }
    }))
}

fn read<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("the JSON is of the type")
}
