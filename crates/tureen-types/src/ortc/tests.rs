//! Matching from the media codecs of a router to the RTP parameters of a consumer.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::rtp_parameters::{
    MediaKind, MimeType, MimeTypeVideo, RtcpFeedback, RtpCapabilities, RtpCodecCapability,
    RtpHeaderExtensionParameters, RtpParameters,
};
use crate::scalability_modes::ScalabilityMode;

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(7)
}

fn read<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn router(media_codecs: Value) -> Result<RtpCapabilitiesFinalized, RtpCapabilitiesError> {
    generate_router_rtp_capabilities(read(media_codecs))
}

fn opus() -> Value {
    json!({ "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 })
}

fn video(mime_type: &str, parameters: Value) -> Value {
    json!({ "kind": "video", "mimeType": mime_type, "clockRate": 90000, "parameters": parameters })
}

/// Payload type, MIME type and `apt` of each codec.
fn outline(codecs: Value) -> Vec<(u64, String, Option<u64>)> {
    let payload_type =
        |codec: &Value| codec.get("preferredPayloadType").unwrap_or(&codec["payloadType"]).as_u64().unwrap();
    codecs
        .as_array()
        .unwrap()
        .iter()
        .map(|codec| {
            let mime_type = codec["mimeType"].as_str().unwrap().to_owned();
            (payload_type(codec), mime_type, codec["parameters"]["apt"].as_u64())
        })
        .collect()
}

fn uris(extensions: &[RtpHeaderExtensionParameters]) -> Vec<RtpHeaderExtensionUri> {
    extensions.iter().map(|extension| extension.uri).collect()
}

mod router_capabilities {
    use super::*;

    #[test]
    fn codecs_get_payload_types_parameters_and_feedback() {
        let mut vp8 = video("video/VP8", json!({}));
        vp8["preferredPayloadType"] = 125.into();
        let mut opus = opus();
        opus["parameters"] = json!({ "useinbandfec": 1, "foo": "bar" });
        let mut h264 = video("video/H264", json!({ "profile-level-id": "42e01f", "foo": "bar" }));
        h264["rtcpFeedback"] = json!([{ "type": "nack", "parameter": "foo" }]);
        let feedback = json!([
            { "type": "nack", "parameter": "" },
            { "type": "nack", "parameter": "pli" },
            { "type": "ccm", "parameter": "fir" },
            { "type": "goog-remb", "parameter": "" },
            { "type": "transport-cc", "parameter": "" }
        ]);

        assert_eq!(
            json!(router(json!([opus, vp8, h264])).unwrap().codecs),
            json!([
                {
                    "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100, "clockRate": 48000,
                    "channels": 2, "parameters": { "foo": "bar", "useinbandfec": 1 },
                    "rtcpFeedback": [
                        { "type": "nack", "parameter": "" }, { "type": "transport-cc", "parameter": "" }
                    ]
                },
                {
                    "kind": "video", "mimeType": "video/VP8", "preferredPayloadType": 125, "clockRate": 90000,
                    "parameters": {}, "rtcpFeedback": feedback
                },
                {
                    "kind": "video", "mimeType": "video/rtx", "preferredPayloadType": 101, "clockRate": 90000,
                    "parameters": { "apt": 125 }, "rtcpFeedback": []
                },
                {
                    "kind": "video", "mimeType": "video/H264", "preferredPayloadType": 102, "clockRate": 90000,
                    "parameters": { "foo": "bar", "level-asymmetry-allowed": 1, "profile-level-id": "42e01f" },
                    "rtcpFeedback": feedback
                },
                {
                    "kind": "video", "mimeType": "video/rtx", "preferredPayloadType": 103, "clockRate": 90000,
                    "parameters": { "apt": 102 }, "rtcpFeedback": []
                }
            ])
        );
    }

    #[test]
    fn static_payload_types_are_kept_and_take_no_dynamic_one() {
        let pcmu = json!({ "kind": "audio", "mimeType": "audio/PCMU", "clockRate": 8000 });
        let codecs = router(json!([pcmu, opus()])).unwrap().codecs;
        assert_eq!(codecs.iter().map(|codec| codec.preferred_payload_type()).collect::<Vec<_>>(), [0, 100]);
    }

    #[test]
    fn wanted_payload_type_is_not_given_to_a_later_codec() {
        let mut first = opus();
        first["preferredPayloadType"] = 100.into();
        let codecs = router(json!([first, video("video/VP8", json!({}))])).unwrap().codecs;
        assert_eq!(
            outline(json!(codecs)),
            [
                (100, "audio/opus".into(), None),
                (101, "video/VP8".into(), None),
                (102, "video/rtx".into(), Some(101))
            ]
        );
    }

    #[test]
    fn duplicated_payload_type_is_refused() {
        let mut second = opus();
        second["preferredPayloadType"] = 100.into();
        assert_eq!(
            router(json!([opus(), second])),
            Err(RtpCapabilitiesError::DuplicatedPreferredPayloadType(100))
        );
    }

    #[test]
    fn unsupported_codec_is_refused() {
        let mut mono = opus();
        mono["channels"] = 1.into();
        for codec in [mono, video("video/red", json!({})), video("video/rtx", json!({ "apt": 100 }))] {
            let codec: RtpCodecCapability = read(codec);
            assert_eq!(
                generate_router_rtp_capabilities(vec![codec.clone()]),
                Err(RtpCapabilitiesError::UnsupportedCodec { mime_type: codec.mime_type() })
            );
        }
    }

    #[test]
    fn all_32_dynamic_payload_types_are_given_out_but_no_more() {
        let codecs = router(json!(vec![opus(); 32])).unwrap().codecs;
        let mut payload_types = codecs.iter().map(|codec| codec.preferred_payload_type()).collect::<Vec<_>>();
        assert_eq!(
            (payload_types[0], payload_types[27], payload_types[28], payload_types[31]),
            (100, 127, 96, 99)
        );
        payload_types.sort();
        assert_eq!(payload_types, (96..=127).collect::<Vec<_>>());
        assert_eq!(router(json!(vec![opus(); 33])), Err(RtpCapabilitiesError::CannotAllocate));

        let mut one_too_many = vec![opus(); 31];
        one_too_many.push(video("video/VP8", json!({})));
        assert_eq!(router(json!(one_too_many)), Err(RtpCapabilitiesError::CannotAllocate), "no RTX left");
    }

    #[test]
    fn apt_of_a_media_codec_must_be_a_number() {
        assert_eq!(
            router(json!([video("video/VP8", json!({ "apt": "1" }))])),
            Err(RtpCapabilitiesError::InvalidAptParameter("1".into()))
        );
    }

    #[test]
    fn h265_is_routed() {
        let codecs = router(json!([video("video/H265", json!({ "profile-id": 1 }))])).unwrap().codecs;
        assert_eq!(outline(json!(codecs))[0], (100, "video/H265".into(), None));
        assert!(codecs[1].is_rtx());
    }
}

mod mapping {
    use super::*;

    fn codec(mime_type: &str, payload_type: u8, parameters: Value) -> Value {
        json!({ "mimeType": mime_type, "payloadType": payload_type, "clockRate": 90000, "parameters": parameters })
    }

    fn map(router_codecs: Value, codecs: Value) -> Result<RtpMapping, RtpParametersMappingError> {
        let parameters = json!({ "codecs": codecs, "encodings": [{ "ssrc": 1 }] });
        get_producer_rtp_parameters_mapping(&read(parameters), &router(router_codecs).unwrap(), &mut rng())
    }

    #[test]
    fn codecs_map_to_those_of_the_same_profile() {
        let router_codecs = json!([
            video("video/VP9", json!({ "profile-id": 2 })),
            video("video/VP9", json!({})),
            video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "640032" })),
            video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "42e01f" })),
        ]);
        let codecs = json!([
            codec("video/rtx", 1, json!({ "apt": 2 })),
            codec("video/VP9", 2, json!({ "profile-id": 0 })),
            codec("video/H264", 3, json!({ "packetization-mode": 1, "profile-level-id": "42e015" })),
        ]);
        let mapping = map(router_codecs, codecs).unwrap();
        let pairs = mapping.codecs.iter().map(|codec| (codec.payload_type, codec.mapped_payload_type));
        assert_eq!(pairs.collect::<Vec<_>>(), [(2, 102), (3, 106), (1, 103)]);
    }

    #[test]
    fn encodings_keep_their_names_and_get_consecutive_ssrcs() {
        let parameters: RtpParameters = read(json!({
            "codecs": [],
            "encodings": [{ "ssrc": 1, "rtx": { "ssrc": 2 } }, { "rid": "h", "scalabilityMode": "L1T3" }, {}]
        }));
        let capabilities = router(json!([])).unwrap();
        let mapping = get_producer_rtp_parameters_mapping(&parameters, &capabilities, &mut rng()).unwrap();
        let ssrc = mapping.encodings[0].mapped_ssrc;
        assert!((100_000_000..1_000_000_000).contains(&ssrc));
        assert_eq!(
            json!(mapping),
            json!({
                "codecs": [],
                "encodings": [
                    { "ssrc": 1, "mappedSsrc": ssrc },
                    { "rid": "h", "scalabilityMode": "L1T3", "mappedSsrc": ssrc + 1 },
                    { "mappedSsrc": ssrc + 2 }
                ]
            })
        );
        assert_eq!(read::<RtpMapping>(json!(mapping)), mapping);
    }

    #[test]
    fn codec_the_router_lacks_is_refused() {
        let router_codecs = json!([video("video/H264", json!({ "profile-level-id": "640032" }))]);
        assert_eq!(
            map(router_codecs.clone(), json!([codec("video/VP8", 120, json!({}))])),
            Err(RtpParametersMappingError::UnsupportedCodec {
                mime_type: MimeType::Video(MimeTypeVideo::Vp8),
                payload_type: 120
            })
        );
        let other_profile = codec("video/H264", 121, json!({ "profile-level-id": "42e01f" }));
        assert!(matches!(
            map(router_codecs, json!([other_profile])),
            Err(RtpParametersMappingError::UnsupportedCodec { payload_type: 121, .. })
        ));
    }

    #[test]
    fn rtx_of_no_media_codec_is_refused() {
        for apt in [json!({ "apt": 112 }), json!({ "apt": 1000 }), json!({ "apt": 367 }), json!({})] {
            let codecs = json!([codec("video/VP8", 111, json!({})), codec("video/rtx", 112, apt)]);
            assert_eq!(
                map(json!([video("video/VP8", json!({}))]), codecs),
                Err(RtpParametersMappingError::MissingMediaCodecForRtx { payload_type: 112 })
            );
        }
    }

    #[test]
    fn rtx_of_a_codec_without_rtx_in_the_router_is_refused() {
        let codecs = json!([
            { "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 },
            { "mimeType": "audio/rtx", "payloadType": 112, "clockRate": 48000, "parameters": { "apt": 111 } }
        ]);
        assert_eq!(
            map(json!([opus()]), codecs),
            Err(RtpParametersMappingError::UnsupportedRtxCodec { preferred_payload_type: 100 })
        );
    }
}

/// A simulcast of three H264 streams in a router of opus (100) and H264 (101, RTX 102).
fn simulcast() -> (RtpParameters, RtpParameters) {
    let h264 = video(
        "video/H264",
        json!({
            "level-asymmetry-allowed": 1, "packetization-mode": 1, "profile-level-id": "4d0032", "foo": "router"
        }),
    );
    let capabilities = router(json!([opus(), h264])).unwrap();
    let parameters: RtpParameters = read(json!({
        "mid": "0",
        "msid": "stream track",
        "codecs": [
            {
                "mimeType": "video/H264", "payloadType": 111, "clockRate": 90000,
                "parameters": { "foo": 1234, "packetization-mode": 1, "profile-level-id": "4d0032" },
                "rtcpFeedback": [
                    { "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" },
                    { "type": "goog-remb", "parameter": "" }
                ]
            },
            { "mimeType": "video/rtx", "payloadType": 112, "clockRate": 90000, "parameters": { "apt": 111 } }
        ],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 },
            { "uri": "urn:3gpp:video-orientation", "id": 2 }
        ],
        "encodings": [
            { "ssrc": 11111111, "rtx": { "ssrc": 11111112 }, "scalabilityMode": "L1T3", "maxBitrate": 111111 },
            { "ssrc": 21111111, "rtx": { "ssrc": 21111112 }, "scalabilityMode": "L1T3", "maxBitrate": 222222 },
            { "rid": "high", "codecPayloadType": 111, "scalabilityMode": "L1T3", "maxBitrate": 333333, "dtx": true }
        ],
        "rtcp": { "cname": "qwerty1234", "reducedSize": false }
    }));
    let mapping = get_producer_rtp_parameters_mapping(&parameters, &capabilities, &mut rng()).unwrap();
    let consumable = get_consumable_rtp_parameters(MediaKind::Video, &parameters, &capabilities, &mapping);
    (parameters, consumable)
}

/// An endpoint that can consume [`simulcast`].
fn endpoint() -> RtpCapabilities {
    let mut h264 =
        video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "4d0032", "baz": "x" }));
    h264["preferredPayloadType"] = 101.into();
    h264["rtcpFeedback"] = json!([
        { "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" },
        { "type": "goog-remb", "parameter": "" }, { "type": "transport-cc", "parameter": "" },
        { "type": "foo", "parameter": "FOO" }
    ]);
    let mut rtx = video("video/rtx", json!({ "apt": 101 }));
    rtx["preferredPayloadType"] = 102.into();
    read(json!({
        "codecs": [opus(), h264, rtx],
        "headerExtensions": [
            { "kind": "audio", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1 },
            { "kind": "video", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1 },
            { "kind": "video", "uri": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "preferredId": 2 },
            { "kind": "video", "uri": "urn:3gpp:video-orientation", "preferredId": 8 },
            {
                "kind": "video", "uri": "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
                "preferredId": 14
            }
        ]
    }))
}

fn add_extension(capabilities: &mut RtpCapabilities, uri: RtpHeaderExtensionUri, preferred_id: u16) {
    let json = json!({ "kind": "video", "uri": uri, "preferredId": preferred_id });
    capabilities.header_extensions.push(read(json));
}

fn feedback(parameters: &RtpParameters) -> &[RtcpFeedback] {
    parameters.codecs[0].rtcp_feedback()
}

mod consumable {
    use super::*;

    #[test]
    fn codecs_have_the_routers_payload_types_and_the_producers_parameters() {
        let (_, consumable) = simulcast();
        assert_eq!(
            outline(json!(consumable.codecs)),
            [(101, "video/H264".into(), None), (102, "video/rtx".into(), Some(101))]
        );
        assert_eq!(
            json!(consumable.codecs[0].parameters()),
            json!({ "foo": 1234, "packetization-mode": 1, "profile-level-id": "4d0032" })
        );
        assert_eq!(
            feedback(&consumable),
            [
                RtcpFeedback::Nack,
                RtcpFeedback::NackPli,
                RtcpFeedback::CcmFir,
                RtcpFeedback::GoogRemb,
                RtcpFeedback::TransportCc
            ]
        );
    }

    #[test]
    fn encodings_are_named_by_mapped_ssrcs_alone() {
        let (_, consumable) = simulcast();
        let ssrc = consumable.encodings[0].ssrc.unwrap();
        assert_eq!(
            json!(consumable.encodings),
            json!([
                { "ssrc": ssrc, "scalabilityMode": "L1T3", "maxBitrate": 111111 },
                { "ssrc": ssrc + 1, "scalabilityMode": "L1T3", "maxBitrate": 222222 },
                { "ssrc": ssrc + 2, "scalabilityMode": "L1T3", "maxBitrate": 333333, "dtx": true }
            ])
        );
    }

    #[test]
    fn cname_and_msid_are_kept_but_not_mid() {
        let (_, consumable) = simulcast();
        assert_eq!((consumable.mid.as_deref(), consumable.msid.as_deref()), (None, Some("stream track")));
        assert_eq!(json!(consumable.rtcp), json!({ "cname": "qwerty1234", "reducedSize": true }));
    }

    #[test]
    fn header_extensions_are_those_the_router_sends() {
        use RtpHeaderExtensionUri::*;
        let (_, consumable) = simulcast();
        assert_eq!(
            uris(&consumable.header_extensions),
            [
                Mid,
                AbsSendTime,
                TransportWideCcDraft01,
                DependencyDescriptor,
                VideoOrientation,
                PlayoutDelay,
                MediasoupPacketId
            ]
        );
    }

    #[test]
    fn capture_time_is_there_only_if_produced() {
        let capabilities = router(json!([opus()])).unwrap();
        let mut parameters: RtpParameters = read(json!({ "codecs": [] }));
        let consumable = |parameters: &RtpParameters| {
            get_consumable_rtp_parameters(MediaKind::Audio, parameters, &capabilities, &RtpMapping::default())
        };
        let capture_time = RtpHeaderExtensionUri::AbsCaptureTime;
        assert!(!uris(&consumable(&parameters).header_extensions).contains(&capture_time));
        parameters.header_extensions.push(read(json!({ "uri": capture_time, "id": 3 })));
        let extensions = consumable(&parameters).header_extensions;
        assert_eq!(extensions.iter().find(|extension| extension.uri == capture_time).unwrap().id, 9);
    }
}

mod consumer {
    use super::*;

    fn consume(
        consumable: &RtpParameters,
        capabilities: &RtpCapabilities,
        enable_rtx: bool,
    ) -> Result<RtpParameters, ConsumerRtpParametersError> {
        get_consumer_rtp_parameters(consumable, capabilities, false, enable_rtx, true, &mut rng())
    }

    #[test]
    fn consumer_has_one_encoding_that_stands_for_the_simulcast() {
        let (_, consumable) = simulcast();
        let consumer = consume(&consumable, &endpoint(), true).unwrap();
        let ssrc = consumer.encodings[0].ssrc.unwrap();
        assert_eq!(
            json!(consumer.encodings),
            json!([
                { "ssrc": ssrc, "rtx": { "ssrc": ssrc + 1 }, "scalabilityMode": "L3T3", "maxBitrate": 333333 }
            ])
        );
        assert_eq!(consumer.mid, None);
        assert_eq!((&consumer.msid, &consumer.rtcp), (&consumable.msid, &consumable.rtcp));
    }

    #[test]
    fn single_stream_keeps_its_scalability_mode() {
        let (_, mut consumable) = simulcast();
        consumable.encodings.truncate(1);
        consumable.encodings[0].scalability_mode = ScalabilityMode::L3T3Key;
        let consumer = consume(&consumable, &endpoint(), true).unwrap();
        assert_eq!(consumer.encodings[0].scalability_mode, ScalabilityMode::L3T3Key);
    }

    #[test]
    fn absurd_number_of_encodings_is_no_panic() {
        let (_, mut consumable) = simulcast();
        consumable.encodings = vec![consumable.encodings[0].clone(); 300];
        let consumer = consume(&consumable, &endpoint(), true).unwrap();
        assert_eq!(consumer.encodings[0].scalability_mode.as_str(), "L99T3");
    }

    #[test]
    fn codecs_have_the_endpoints_feedback() {
        let (_, consumable) = simulcast();
        let consumer = consume(&consumable, &endpoint(), true).unwrap();
        assert_eq!(
            outline(json!(consumer.codecs)),
            [(101, "video/H264".into(), None), (102, "video/rtx".into(), Some(101))]
        );
        assert_eq!(
            feedback(&consumer),
            [RtcpFeedback::Nack, RtcpFeedback::NackPli, RtcpFeedback::Unsupported],
            "without their header extensions there is neither REMB nor transport-cc"
        );
    }

    #[test]
    fn header_extensions_must_agree_in_uri_and_id() {
        use RtpHeaderExtensionUri::*;
        let (_, consumable) = simulcast();
        let mut capabilities = endpoint();
        let consumer = consume(&consumable, &capabilities, true).unwrap();
        assert_eq!(uris(&consumer.header_extensions), [Mid, VideoOrientation]);
        add_extension(&mut capabilities, DependencyDescriptor, 7);
        let consumer = consume(&consumable, &capabilities, true).unwrap();
        assert_eq!(uris(&consumer.header_extensions), [Mid, DependencyDescriptor, VideoOrientation]);
    }

    #[test]
    fn transport_cc_takes_precedence_over_remb() {
        let (_, consumable) = simulcast();
        let mut capabilities = endpoint();
        let bwe_feedback = |capabilities: &RtpCapabilities| {
            let consumer = consume(&consumable, capabilities, true).unwrap();
            let is_bwe = |fb: &RtcpFeedback| matches!(fb, RtcpFeedback::GoogRemb | RtcpFeedback::TransportCc);
            feedback(&consumer).iter().copied().filter(is_bwe).collect::<Vec<_>>()
        };
        add_extension(&mut capabilities, RtpHeaderExtensionUri::AbsSendTime, 4);
        assert_eq!(bwe_feedback(&capabilities), [RtcpFeedback::GoogRemb]);
        add_extension(&mut capabilities, RtpHeaderExtensionUri::TransportWideCcDraft01, 5);
        assert_eq!(bwe_feedback(&capabilities), [RtcpFeedback::TransportCc]);
    }

    #[test]
    fn without_bwe_consumer_has_no_bandwidth_feedback() {
        let (_, consumable) = simulcast();
        let mut capabilities = endpoint();
        add_extension(&mut capabilities, RtpHeaderExtensionUri::AbsSendTime, 4);
        add_extension(&mut capabilities, RtpHeaderExtensionUri::TransportWideCcDraft01, 5);
        let consumer =
            get_consumer_rtp_parameters(&consumable, &capabilities, false, true, false, &mut rng()).unwrap();
        assert_eq!(consumer.header_extensions.len(), 2);
        assert_eq!(
            feedback(&consumer),
            [RtcpFeedback::Nack, RtcpFeedback::NackPli, RtcpFeedback::Unsupported]
        );
    }

    #[test]
    fn without_rtx_there_is_no_nack() {
        let (_, consumable) = simulcast();
        let consumer = consume(&consumable, &endpoint(), false).unwrap();
        assert_eq!(outline(json!(consumer.codecs)), [(101, "video/H264".into(), None)]);
        assert_eq!(feedback(&consumer), [RtcpFeedback::NackPli, RtcpFeedback::Unsupported]);
        assert_eq!(consumer.encodings[0].rtx, None);
    }

    #[test]
    fn endpoint_without_rtx_gets_none_but_keeps_nack() {
        let (_, consumable) = simulcast();
        let mut capabilities = endpoint();
        capabilities.codecs.truncate(2);
        let consumer = consume(&consumable, &capabilities, true).unwrap();
        assert_eq!(consumer.codecs.len(), 1);
        assert_eq!(consumer.encodings[0].rtx, None);
        assert!(feedback(&consumer).contains(&RtcpFeedback::Nack));
    }

    #[test]
    fn rtx_of_a_codec_the_endpoint_lacks_is_left_out() {
        let capabilities =
            router(json!([video("video/VP8", json!({})), video("video/VP9", json!({}))])).unwrap();
        let parameters: RtpParameters = read(json!({
            "codecs": [
                { "mimeType": "video/VP8", "payloadType": 1, "clockRate": 90000 },
                { "mimeType": "video/VP9", "payloadType": 2, "clockRate": 90000 }
            ],
            "encodings": [{ "ssrc": 1 }]
        }));
        let mapping = get_producer_rtp_parameters_mapping(&parameters, &capabilities, &mut rng()).unwrap();
        let consumable =
            get_consumable_rtp_parameters(MediaKind::Video, &parameters, &capabilities, &mapping);
        assert_eq!(consumable.codecs.len(), 4);
        let endpoint = read(json!({
            "codecs": [video("video/VP9", json!({})), video("video/rtx", json!({ "apt": 102 }))]
        }));
        let consumer = consume(&consumable, &endpoint, true).unwrap();
        assert_eq!(
            outline(json!(consumer.codecs)),
            [(102, "video/VP9".into(), None), (103, "video/rtx".into(), Some(102))]
        );
        assert!(consumer.encodings[0].rtx.is_some());
    }

    #[test]
    fn endpoint_without_the_codec_can_not_consume() {
        let (_, consumable) = simulcast();
        assert_eq!(can_consume(&consumable, &endpoint()), Ok(true));
        let others = [
            json!([]),
            json!([opus(), video("video/VP8", json!({}))]),
            json!([video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "42e01f" }))]),
            json!([video("video/rtx", json!({ "apt": 101 }))]),
        ];
        for codecs in others {
            let capabilities = read(json!({ "codecs": codecs }));
            assert_eq!(can_consume(&consumable, &capabilities), Ok(false));
            assert_eq!(
                consume(&consumable, &capabilities, true),
                Err(ConsumerRtpParametersError::NoCompatibleMediaCodecs)
            );
        }
    }

    #[test]
    fn malformed_capabilities_are_refused() {
        let (_, consumable) = simulcast();
        let capabilities = read(json!({ "codecs": [video("video/rtx", json!({ "apt": "x" }))] }));
        let error = || RtpCapabilitiesError::InvalidAptParameter("x".into());
        assert_eq!(can_consume(&consumable, &capabilities), Err(error()));
        assert_eq!(
            consume(&consumable, &capabilities, true),
            Err(ConsumerRtpParametersError::InvalidCapabilities(error()))
        );
    }

    #[test]
    fn consumer_that_pipes_keeps_all_encodings() {
        let (_, consumable) = simulcast();
        let consumer =
            get_consumer_rtp_parameters(&consumable, &endpoint(), true, true, true, &mut rng()).unwrap();
        let ssrc = consumer.encodings[0].ssrc.unwrap();
        assert_eq!(
            json!(consumer.encodings[2]),
            json!({
                "ssrc": ssrc + 2, "rtx": { "ssrc": ssrc + 5 }, "scalabilityMode": "L1T3", "maxBitrate": 333333,
                "dtx": true
            })
        );
    }
}

mod pipe {
    use super::*;

    #[test]
    fn all_encodings_are_kept_with_ssrcs_of_their_own() {
        let (_, consumable) = simulcast();
        let pipe = get_pipe_consumer_rtp_parameters(&consumable, true, &mut rng());
        let mut ssrcs = pipe
            .encodings
            .iter()
            .flat_map(|encoding| [encoding.ssrc.unwrap(), encoding.rtx.unwrap().ssrc])
            .collect::<Vec<_>>();
        ssrcs.sort();
        ssrcs.dedup();
        assert_eq!(ssrcs.len(), 6);
        for (piped, consumable) in pipe.encodings.iter().zip(&consumable.encodings) {
            assert_eq!(piped.scalability_mode, consumable.scalability_mode);
            assert_eq!((piped.max_bitrate, piped.dtx), (consumable.max_bitrate, consumable.dtx));
        }
        assert_eq!((&pipe.rtcp, &pipe.msid), (&consumable.rtcp, &consumable.msid));
    }

    #[test]
    fn neither_mid_nor_bandwidth_estimation_is_piped() {
        use RtpHeaderExtensionUri::*;
        let (_, consumable) = simulcast();
        let pipe = get_pipe_consumer_rtp_parameters(&consumable, true, &mut rng());
        assert_eq!(
            uris(&pipe.header_extensions),
            [DependencyDescriptor, VideoOrientation, PlayoutDelay, MediasoupPacketId]
        );
        assert_eq!(feedback(&pipe), [RtcpFeedback::Nack, RtcpFeedback::NackPli, RtcpFeedback::CcmFir]);
    }

    #[test]
    fn without_rtx_there_is_no_nack() {
        let (_, consumable) = simulcast();
        let pipe = get_pipe_consumer_rtp_parameters(&consumable, false, &mut rng());
        assert_eq!(outline(json!(pipe.codecs)), [(101, "video/H264".into(), None)]);
        assert_eq!(feedback(&pipe), [RtcpFeedback::NackPli, RtcpFeedback::CcmFir]);
        assert!(pipe.encodings.iter().all(|encoding| encoding.rtx.is_none()));
    }

    #[test]
    fn piped_parameters_can_be_produced_in_an_equal_router() {
        let (_, consumable) = simulcast();
        let h264 = video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "4d0032" }));
        let other = router(json!([opus(), h264])).unwrap();
        let pipe = get_pipe_consumer_rtp_parameters(&consumable, true, &mut rng());
        assert_eq!(validate_rtp_parameters(&pipe), Ok(()));
        let mapping = get_producer_rtp_parameters_mapping(&pipe, &other, &mut rng()).unwrap();
        let consumable_there = get_consumable_rtp_parameters(MediaKind::Video, &pipe, &other, &mapping);
        assert_eq!(consumable_there.codecs, consumable.codecs);
        assert_eq!(consumable_there.header_extensions, consumable.header_extensions);
    }
}

#[test]
fn producer_without_bwe_announces_none() {
    let (mut parameters, _) = simulcast();
    for (uri, id) in
        [(RtpHeaderExtensionUri::AbsSendTime, 3), (RtpHeaderExtensionUri::TransportWideCcDraft01, 4)]
    {
        parameters.header_extensions.push(read(json!({ "uri": uri, "id": id })));
    }
    disable_bwe_in_rtp_parameters(&mut parameters);
    assert_eq!(parameters.header_extensions.len(), 2);
    assert_eq!(feedback(&parameters), [RtcpFeedback::Nack, RtcpFeedback::NackPli]);
}
