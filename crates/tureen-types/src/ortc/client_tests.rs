//! A client and a router, in both directions.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::rtp_parameters::{
    MediaKind, MimeType, MimeTypeVideo, RtcpFeedback, RtpCapabilities, RtpCodecParameters, RtpParameters,
};

fn read<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn router() -> RtpCapabilitiesFinalized {
    let video = |mime_type, parameters: Value| json!({ "kind": "video", "mimeType": mime_type, "clockRate": 90000, "parameters": parameters });
    let h264 = |id| json!({ "packetization-mode": 1, "profile-level-id": id, "level-asymmetry-allowed": 1 });
    generate_router_rtp_capabilities(read(json!([
        { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 },
        video("video/VP8", json!({ "x-google-start-bitrate": 1000 })),
        video("video/VP9", json!({ "profile-id": 2 })),
        video("video/H264", h264("4d0032")),
        video("video/H264", h264("42e01f")),
    ])))
    .unwrap()
}

/// A client with payload types and ids of its own for video and the router's for audio.
fn client() -> RtpCapabilities {
    let feedback = json!([
        { "type": "transport-cc" }, { "type": "nack" }, { "type": "nack", "parameter": "pli" }, { "type": "foo" }
    ]);
    let video = |payload_type: u8, mime_type, parameters: Value| {
        json!({
            "kind": "video", "mimeType": mime_type, "clockRate": 90000, "preferredPayloadType": payload_type,
            "parameters": parameters, "rtcpFeedback": if mime_type == "video/rtx" { json!([]) } else { feedback.clone() }
        })
    };
    let extension = |kind, uri, id: u16, direction| json!({ "kind": kind, "uri": uri, "preferredId": id, "direction": direction });
    let mid = "urn:ietf:params:rtp-hdrext:sdes:mid";
    read(json!({
        "codecs": [
            { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "rtcpFeedback": feedback },
            video(40, "video/H264", json!({ "packetization-mode": 1, "profile-level-id": "42e034" })),
            video(41, "video/rtx", json!({ "apt": 40 })),
            video(42, "video/VP8", json!({})),
            video(43, "video/rtx", json!({ "apt": 42 })),
            video(44, "video/VP9", json!({})),
            video(45, "video/AV1", json!({})),
        ],
        "headerExtensions": [
            extension("audio", mid, 11, "sendrecv"),
            extension("video", mid, 11, "sendrecv"),
            extension("video", "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", 12, "sendonly"),
            extension("video", "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", 13, "sendonly"),
            extension("video", "urn:3gpp:video-orientation", 14, "recvonly"),
            extension("video", "urn:ietf:params:rtp-hdrext:toffset", 15, "sendrecv"),
        ],
    }))
}

fn outline(codecs: &[RtpCodecParameters]) -> Vec<(u8, &'static str, Option<u8>)> {
    let apt = |codec: &RtpCodecParameters| associated_payload_type(codec.parameters());
    let name = |codec: &RtpCodecParameters| MimeType::as_str(&codec.mime_type());
    codecs.iter().map(|codec| (codec.payload_type(), name(codec), apt(codec))).collect()
}

fn sending(kind: MediaKind) -> RtpParameters {
    get_sending_rtp_parameters(kind, &get_extended_rtp_capabilities(&client(), &router()))
}

#[test]
fn common_codecs_are_in_the_routers_order_with_the_numbers_of_both() {
    let extended = get_extended_rtp_capabilities(&client(), &router());
    let numbers = |codec: &ExtendedCodec| (codec.local.payload_type(), codec.remote_payload_type);
    assert_eq!(extended.codecs.iter().map(numbers).collect::<Vec<_>>(), [(100, 100), (42, 101), (40, 107)]);
    let rtx = |codec: &ExtendedCodec| codec.rtx.map(|rtx| (rtx.local_payload_type, rtx.remote_payload_type));
    assert_eq!(extended.codecs.iter().map(rtx).collect::<Vec<_>>(), [None, Some((43, 102)), Some((41, 108))]);
    assert!(can_send(MediaKind::Audio, &extended) && can_send(MediaKind::Video, &extended));
    let audio_only = RtpCapabilities { codecs: vec![client().codecs[0].clone()], ..client() };
    assert!(!can_send(MediaKind::Video, &get_extended_rtp_capabilities(&audio_only, &router())));
}

#[test]
fn feedback_is_that_of_both_in_the_clients_order() {
    let extended = get_extended_rtp_capabilities(&client(), &router());
    let feedback = [RtcpFeedback::TransportCc, RtcpFeedback::Nack, RtcpFeedback::NackPli];
    assert_eq!(extended.codecs[1].local.rtcp_feedback(), feedback);
    assert_eq!(extended.codecs[0].local.rtcp_feedback(), &feedback[..2]);
}

#[test]
fn sent_parameters_are_the_clients_own() {
    let video = sending(MediaKind::Video);
    assert_eq!(
        outline(&video.codecs),
        [
            (42, "video/VP8", None),
            (43, "video/rtx", Some(42)),
            (40, "video/H264", None),
            (41, "video/rtx", Some(40))
        ]
    );
    assert_eq!(video.codecs[0].parameters().get("x-google-start-bitrate"), None);
    // Without asymmetry the level is the lower one.
    assert_eq!(video.codecs[2].parameters().get("profile-level-id"), Some(&"42e01f".into()));
    let ids: Vec<_> = video.header_extensions.iter().map(|extension| extension.id).collect();
    assert_eq!(ids, [11, 12, 13], "what both know, and the client writes");
    assert_eq!(outline(&sending(MediaKind::Audio).codecs), [(100, "audio/opus", None)]);
}

#[test]
fn received_parameters_are_the_routers() {
    let capabilities = get_recv_rtp_capabilities(&get_extended_rtp_capabilities(&client(), &router()));
    let payload_types: Vec<_> =
        capabilities.codecs.iter().map(|codec| codec.preferred_payload_type().unwrap()).collect();
    assert_eq!(payload_types, [100, 101, 102, 107, 108]);
    assert_eq!(associated_payload_type(capabilities.codecs[4].parameters()), Some(107));
    let ids: Vec<_> = capabilities.header_extensions.iter().map(|e| (e.kind, e.preferred_id)).collect();
    assert_eq!(ids, [(MediaKind::Audio, 1), (MediaKind::Video, 1), (MediaKind::Video, 8)]);
    assert_eq!(check_rtp_capabilities(&capabilities), Ok(()));
}

#[test]
fn an_rtx_codec_without_apt_repairs_codecs_that_have_none() {
    let video = |mime_type| json!({ "kind": "video", "mimeType": mime_type, "clockRate": 90000 });
    let local = read(json!({ "codecs": [video("video/VP8"), video("video/rtx")] }));
    let extended = get_extended_rtp_capabilities(&local, &router());
    assert_eq!(
        extended.codecs[0].rtx,
        Some(ExtendedRtx { local_payload_type: 102, remote_payload_type: 102 })
    );
    let local = read(json!({ "codecs": [video("video/VP8")] }));
    assert_eq!(get_extended_rtp_capabilities(&local, &router()).codecs[0].rtx, None);
}

#[test]
fn a_codec_is_chosen_by_type_and_by_the_parameters_that_are_given() {
    let codecs = sending(MediaKind::Video).codecs;
    assert_eq!(outline(&reduce_codecs(&codecs, None).unwrap())[0], (42, "video/VP8", None));
    let reduce = |mime_type: MimeTypeVideo, parameters: Value| {
        reduce_codecs(&codecs, Some((MimeType::Video(mime_type), &read(parameters))))
    };
    let h264 = reduce(MimeTypeVideo::H264, json!({})).unwrap();
    assert_eq!(outline(&h264), [(40, "video/H264", None), (41, "video/rtx", Some(40))]);
    let with_level = reduce(MimeTypeVideo::H264, json!({ "profile-level-id": "42e015", "foo": 1 })).unwrap();
    assert_eq!(with_level[0].parameters().get("profile-level-id"), Some(&"42e015".into()));
    assert_eq!(with_level[0].parameters().get("foo"), Some(&1_u32.into()));
    assert_eq!(with_level[0].parameters().get("packetization-mode"), Some(&1_u32.into()));
    for wrong in [json!({ "profile-level-id": "64001f" }), json!({ "packetization-mode": 0 })] {
        let error = reduce(MimeTypeVideo::H264, wrong).unwrap_err();
        assert_eq!(error.to_string(), "no codec matches video/H264 with these parameters");
    }
    reduce(MimeTypeVideo::AV1, json!({})).unwrap_err();
    reduce(MimeTypeVideo::Rtx, json!({})).unwrap_err();
    assert_eq!(reduce_codecs(&[], None), Err(ReduceCodecsError::NoCodec));
}

#[test]
fn parameters_of_a_consumer_can_be_received() {
    let mut rng = SmallRng::seed_from_u64(1);
    let capabilities = get_recv_rtp_capabilities(&get_extended_rtp_capabilities(&client(), &router()));
    let mut produced = sending(MediaKind::Video);
    produced.codecs = reduce_codecs(&produced.codecs, None).unwrap();
    produced.encodings = read(json!([{ "ssrc": 1, "rtx": { "ssrc": 2 } }]));
    let mapping = get_producer_rtp_parameters_mapping(&produced, &router(), &mut rng).unwrap();
    let consumable = get_consumable_rtp_parameters(MediaKind::Video, &produced, &router(), &mapping);
    assert_eq!(can_consume(&consumable, &capabilities), Ok(true));
    let consumed =
        get_consumer_rtp_parameters(&consumable, &capabilities, false, true, true, &mut rng).unwrap();
    assert_eq!(can_receive(&consumed, &capabilities), Ok(true));

    let mut other_codec: Value = json!(consumed);
    other_codec["codecs"][0]["mimeType"] = "video/AV1".into();
    assert_eq!(can_receive(&read(other_codec), &capabilities), Ok(false));
    let mut other_number: Value = json!(consumed);
    other_number["codecs"][0]["payloadType"] = 99.into();
    assert_eq!(can_receive(&read(other_number), &capabilities), Ok(false));
    let mut bad: Value = json!(consumed);
    bad["codecs"][1]["parameters"]["apt"] = "101".into();
    can_receive(&read(bad), &capabilities).unwrap_err();
    assert_eq!(can_receive(&RtpParameters::default(), &capabilities), Ok(false));
}
