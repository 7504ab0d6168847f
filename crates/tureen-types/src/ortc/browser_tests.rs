//! A Chromium endpoint and a router with every kind of codec.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::{Value, json};

use super::*;
use crate::rtp_parameters::{MediaKind, RtpCapabilities, RtpCodecParameters, RtpParameters};

/// Capabilities of a Chromium receiver, in its own payload types and in the header extension ids of [`router`].
fn chromium() -> RtpCapabilities {
    let mut codecs = vec![json!({
        "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "preferredPayloadType": 111,
        "parameters": { "minptime": 10, "useinbandfec": 1 },
        "rtcpFeedback": [{ "type": "transport-cc", "parameter": "" }, { "type": "nack", "parameter": "" }]
    })];
    let h264 = |id: &str, mode: u8| {
        let parameters =
            json!({ "level-asymmetry-allowed": 1, "packetization-mode": mode, "profile-level-id": id });
        ("video/H264", parameters)
    };
    let video = [
        ("video/VP8", json!({})),
        ("video/VP9", json!({ "profile-id": 0 })),
        ("video/VP9", json!({ "profile-id": 2 })),
        h264("42001f", 1),
        h264("42001f", 0),
        h264("42e01f", 1),
        h264("42e01f", 0),
        h264("4d001f", 1),
        h264("4d001f", 0),
        h264("64001f", 1),
        ("video/AV1", json!({ "level-idx": 5, "profile": 0, "tier": 0 })),
        ("video/AV1", json!({ "level-idx": 5, "profile": 1, "tier": 0 })),
        ("video/H265", json!({ "level-id": 180, "profile-id": 1, "tier-flag": 0, "tx-mode": "SRST" })),
    ];
    for (payload_type, (mime_type, parameters)) in (35..).step_by(2).zip(video) {
        codecs.push(json!({
            "kind": "video", "mimeType": mime_type, "clockRate": 90000, "preferredPayloadType": payload_type,
            "parameters": parameters,
            "rtcpFeedback": [
                { "type": "goog-remb", "parameter": "" }, { "type": "transport-cc", "parameter": "" },
                { "type": "ccm", "parameter": "fir" }, { "type": "nack", "parameter": "" },
                { "type": "nack", "parameter": "pli" }
            ]
        }));
        codecs.push(json!({
            "kind": "video", "mimeType": "video/rtx", "clockRate": 90000, "preferredPayloadType": payload_type + 1,
            "parameters": { "apt": payload_type }
        }));
    }
    codecs.push(
        json!({ "kind": "video", "mimeType": "video/red", "clockRate": 90000, "preferredPayloadType": 114 }),
    );
    codecs.push(json!({ "kind": "video", "mimeType": "video/ulpfec", "clockRate": 90000, "preferredPayloadType": 116 }));

    let video_only = [
        ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", 2),
        ("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", 3),
        ("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", 4),
        ("https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension", 7),
        ("urn:3gpp:video-orientation", 8),
        ("http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", 10),
    ];
    let both = [
        ("urn:ietf:params:rtp-hdrext:sdes:mid", 1),
        ("http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 5),
    ];
    let mut header_extensions = vec![
        json!({ "kind": "audio", "uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "preferredId": 6 }),
    ];
    for (uri, id) in both {
        header_extensions.push(json!({ "kind": "audio", "uri": uri, "preferredId": id }));
    }
    for (uri, id) in both.into_iter().chain(video_only) {
        header_extensions.push(json!({ "kind": "video", "uri": uri, "preferredId": id }));
    }
    serde_json::from_value(json!({ "codecs": codecs, "headerExtensions": header_extensions })).unwrap()
}

fn router() -> RtpCapabilitiesFinalized {
    let video = |mime_type, parameters: Value| json!({ "kind": "video", "mimeType": mime_type, "clockRate": 90000, "parameters": parameters });
    let media_codecs = json!([
        { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 },
        video("video/VP8", json!({ "x-google-start-bitrate": 1000 })),
        video("video/VP9", json!({ "profile-id": 2 })),
        video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "4d0032" })),
        video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "42e01f" })),
        video("video/AV1", json!({})),
        video("video/H265", json!({})),
    ]);
    generate_router_rtp_capabilities(serde_json::from_value(media_codecs).unwrap()).unwrap()
}

/// Parameters of `codecs` sent by another Chromium, as consumable in the router.
fn consumable(kind: MediaKind, codecs: Value) -> RtpParameters {
    let mut rng = SmallRng::seed_from_u64(1);
    let parameters: RtpParameters =
        serde_json::from_value(json!({ "codecs": codecs, "encodings": [{ "ssrc": 1 }] })).unwrap();
    let mapping = get_producer_rtp_parameters_mapping(&parameters, &router(), &mut rng).unwrap();
    get_consumable_rtp_parameters(kind, &parameters, &router(), &mapping)
}

fn consume(kind: MediaKind, codecs: Value) -> RtpParameters {
    let mut rng = SmallRng::seed_from_u64(2);
    let consumable = consumable(kind, codecs);
    assert_eq!(can_consume(&consumable, &chromium()), Ok(true));
    let mut consumer =
        get_consumer_rtp_parameters(&consumable, &chromium(), false, true, true, &mut rng).unwrap();
    consumer.encodings[0].ssrc = Some(1000);
    consumer.encodings[0].rtx = consumer.encodings[0].rtx.map(|mut rtx| {
        rtx.ssrc = 1001;
        rtx
    });
    consumer
}

#[test]
fn router_payload_types_are_those_of_mediasoup() {
    let codecs = router().codecs;
    let payload_types = codecs.iter().map(|codec| codec.preferred_payload_type()).collect::<Vec<_>>();
    assert_eq!(payload_types, (100..=112).collect::<Vec<_>>());
    assert!(codecs[2..].iter().step_by(2).all(|codec| codec.is_rtx()));
}

#[test]
fn chromium_consumes_vp8() {
    let codecs = json!([
        {
            "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000,
            "rtcpFeedback": [{ "type": "goog-remb", "parameter": "" }, { "type": "nack", "parameter": "" }]
        },
        { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } }
    ]);
    assert_eq!(
        json!(consume(MediaKind::Video, codecs)),
        json!({
            "codecs": [
                {
                    "mimeType": "video/VP8", "payloadType": 101, "clockRate": 90000, "parameters": {},
                    "rtcpFeedback": [
                        { "type": "transport-cc", "parameter": "" }, { "type": "ccm", "parameter": "fir" },
                        { "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" }
                    ]
                },
                {
                    "mimeType": "video/rtx", "payloadType": 102, "clockRate": 90000, "parameters": { "apt": 101 },
                    "rtcpFeedback": []
                }
            ],
            "headerExtensions": [
                { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1, "encrypt": false },
                { "uri": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", "id": 4, "encrypt": false },
                {
                    "uri": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", "id": 5,
                    "encrypt": false
                },
                {
                    "uri": "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
                    "id": 7, "encrypt": false
                },
                { "uri": "urn:3gpp:video-orientation", "id": 8, "encrypt": false },
                { "uri": "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", "id": 10, "encrypt": false }
            ],
            "encodings": [{ "ssrc": 1000, "rtx": { "ssrc": 1001 } }],
            "rtcp": { "reducedSize": true }
        })
    );
}

#[test]
fn chromium_consumes_opus() {
    let codecs = json!([{
        "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2,
        "parameters": { "minptime": 10, "sprop-stereo": 1, "useinbandfec": 1 }
    }]);
    assert_eq!(
        json!(consume(MediaKind::Audio, codecs)),
        json!({
            "codecs": [{
                "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
                "parameters": { "minptime": 10, "sprop-stereo": 1, "useinbandfec": 1 },
                "rtcpFeedback": [{ "type": "transport-cc", "parameter": "" }, { "type": "nack", "parameter": "" }]
            }],
            "headerExtensions": [
                { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1, "encrypt": false },
                {
                    "uri": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", "id": 5,
                    "encrypt": false
                },
                { "uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "id": 6, "encrypt": false },
                { "uri": "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", "id": 10, "encrypt": false }
            ],
            "encodings": [{ "ssrc": 1000 }],
            "rtcp": { "reducedSize": true }
        })
    );
}

#[test]
fn chromium_consumes_each_profile_under_the_routers_payload_type() {
    for (mime_type, parameters, payload_type) in [
        ("video/VP9", json!({ "profile-id": 2 }), 103),
        ("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "4d001f" }), 105),
        ("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "42e034" }), 107),
        ("video/AV1", json!({ "profile": 0 }), 109),
        ("video/H265", json!({ "profile-id": 1 }), 111),
    ] {
        let codec =
            json!({ "mimeType": mime_type, "payloadType": 96, "clockRate": 90000, "parameters": parameters });
        let codecs = consume(MediaKind::Video, json!([codec])).codecs;
        let payload_types = codecs.iter().map(RtpCodecParameters::payload_type).collect::<Vec<_>>();
        assert_eq!(payload_types, [payload_type, payload_type + 1]);
        assert_eq!(
            json!(codecs[0].parameters()),
            parameters,
            "what the producer sends is what the consumer decodes"
        );
    }
}

#[test]
fn router_refuses_profiles_that_were_not_configured() {
    for (mime_type, parameters) in [
        ("video/VP9", json!({ "profile-id": 0 })),
        ("video/H264", json!({ "packetization-mode": 0, "profile-level-id": "42e01f" })),
        ("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "64001f" })),
        ("video/AV1", json!({ "profile": 1 })),
    ] {
        let codec =
            json!({ "mimeType": mime_type, "payloadType": 96, "clockRate": 90000, "parameters": parameters });
        let parameters = serde_json::from_value(json!({ "codecs": [codec] })).unwrap();
        let mut rng = SmallRng::seed_from_u64(3);
        assert!(matches!(
            get_producer_rtp_parameters_mapping(&parameters, &router(), &mut rng),
            Err(RtpParametersMappingError::UnsupportedCodec { payload_type: 96, .. })
        ));
    }
}
