use serde_json::{Value, json};
use tureen_types::ortc::generate_router_rtp_capabilities;

use super::*;

fn router(media_codecs: Value) -> RtpCapabilitiesFinalized {
    generate_router_rtp_capabilities(serde_json::from_value(media_codecs).unwrap()).unwrap()
}

fn opus() -> Value {
    json!({ "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 })
}

fn video(mime_type: &str, parameters: Value) -> Value {
    json!({ "kind": "video", "mimeType": mime_type, "clockRate": 90000, "parameters": parameters })
}

fn device() -> Device {
    Device::load(&router(json!([
        opus(),
        video("video/VP8", json!({})),
        video("video/H264", json!({ "packetization-mode": 1, "profile-level-id": "4d0032" })),
    ])))
    .unwrap()
}

fn read<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn of_video(encodings: Value) -> SendingOptions {
    SendingOptions { encodings: read(encodings), ..SendingOptions::new(MediaKind::Video) }
}

#[test]
fn what_the_router_lacks_can_not_be_produced() {
    let device = Device::load(&router(json!([opus()]))).unwrap();
    assert!(device.can_produce(MediaKind::Audio) && !device.can_produce(MediaKind::Video));
    let error = device.sending_parameters(&of_video(json!([{ "ssrc": 1 }]))).unwrap_err();
    assert_eq!(error.to_string(), "the router has no video codec that this client has");
    assert_eq!(device.rtp_capabilities().codecs.len(), 1);
}

#[test]
fn the_codec_that_the_application_wants_is_sent_or_named() {
    let wanted = |codec| SendingOptions { codec: Some(codec), ..of_video(json!([{ "ssrc": 1 }])) };
    let sent = device().sending_parameters(&wanted(MimeTypeVideo::H264.into())).unwrap();
    assert_eq!(sent.codecs[0].mime_type(), MimeType::Video(MimeTypeVideo::H264));
    assert!(sent.codecs[1].is_rtx() && sent.codecs.len() == 2);

    let error = device().sending_parameters(&wanted(MimeTypeVideo::AV1.into())).unwrap_err();
    assert_eq!(error.to_string(), "the router has no codec video/AV1");
    let high = CodecPreference {
        mime_type: MimeType::Video(MimeTypeVideo::H264),
        parameters: [("profile-level-id", "64001f".into())].into(),
    };
    let error = device().sending_parameters(&wanted(high)).unwrap_err();
    assert_eq!(error.to_string(), "the router has no codec video/H264 profile-level-id=\"64001f\"");
}

#[test]
fn parameters_of_the_application_are_signalled() {
    let stereo = CodecPreference {
        mime_type: MimeType::Audio(MimeTypeAudio::Opus),
        parameters: [("sprop-stereo", 1_u32.into()), ("usedtx", 1_u32.into())].into(),
    };
    let options = SendingOptions {
        codec: Some(stereo),
        mid: Some("0".to_owned()),
        cname: Some("c".to_owned()),
        ..SendingOptions::new(MediaKind::Audio)
    };
    let sent = device().sending_parameters(&options).unwrap();
    assert_eq!(sent.codecs[0].parameters().get("sprop-stereo"), Some(&1_u32.into()));
    assert_eq!((sent.mid.as_deref(), sent.rtcp.cname.as_deref()), (Some("0"), Some("c")));
    assert_eq!(sent.encodings, [RtpEncodingParameters::default()]);
}

#[test]
fn nack_is_not_promised_without_rtx() {
    let options =
        SendingOptions { encodings: read(json!([{ "ssrc": 1 }])), ..SendingOptions::new(MediaKind::Audio) };
    let audio = device().sending_parameters(&options).unwrap();
    assert_eq!(audio.codecs[0].rtcp_feedback(), [RtcpFeedback::TransportCc]);
    let received = device().rtp_capabilities().codecs[0].rtcp_feedback().clone();
    assert!(received.contains(&RtcpFeedback::Nack), "but asked for: {received:?}");
    let video = device().sending_parameters(&of_video(json!([{ "ssrc": 1, "rtx": { "ssrc": 2 } }]))).unwrap();
    assert!(video.codecs[0].rtcp_feedback().contains(&RtcpFeedback::Nack));
    assert!(video.encodings[0].rtx.is_some());
}

#[test]
fn several_encodings_without_names_get_rids() {
    let sent = device().sending_parameters(&of_video(json!([{}, { "maxBitrate": 5 }, {}]))).unwrap();
    let rids: Vec<_> = sent.encodings.iter().map(|encoding| encoding.rid.as_deref().unwrap()).collect();
    assert_eq!(rids, ["r0", "r1", "r2"]);
    assert_eq!(sent.encodings[1].max_bitrate, Some(5));
}

#[test]
fn encodings_that_nobody_could_tell_apart_are_refused() {
    let refused = |options: &SendingOptions| device().sending_parameters(options).unwrap_err().to_string();
    let text = refused(&of_video(json!([{ "ssrc": 1 }, {}])));
    assert!(text.contains("encoding 1 has neither ssrc nor rid"), "{text}");
    let text = refused(&of_video(json!([])));
    assert!(text.contains("encoding 0 has neither ssrc nor rid"), "{text}");
    let text = refused(&of_video(json!([{ "ssrc": 1 }, { "ssrc": 1 }])));
    assert!(text.contains("duplicated ssrc 1"), "{text}");
    let text = refused(&of_video(json!([{ "ssrc": 1, "codecPayloadType": 3 }])));
    assert!(text.contains("codecPayloadType"), "{text}");
    let audio = SendingOptions {
        encodings: read(json!([{ "rid": "a" }, { "rid": "b" }])),
        ..SendingOptions::new(MediaKind::Audio)
    };
    assert!(refused(&audio).contains("the router does not read RIDs"), "{}", refused(&audio));
}

#[test]
fn malformed_capabilities_are_refused_by_name() {
    let mut capabilities = router(json!([opus()]));
    capabilities.header_extensions[0].preferred_id = 0;
    let error = Device::load(&capabilities).unwrap_err();
    assert!(
        matches!(&error, DeviceError::RouterCapabilities(text) if text.contains("preferredId 0")),
        "{error}"
    );
    let codecs = json!([
        { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "preferredPayloadType": 9 },
        { "kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 9 },
    ]);
    let options = DeviceOptions { codecs: read(codecs), ..DeviceOptions::default() };
    let error = Device::load_with(&router(json!([opus()])), &options).unwrap_err();
    assert_eq!(error.to_string(), "the device's options are invalid: duplicated preferredPayloadType 9");
}

#[test]
fn only_parameters_of_a_consumer_can_be_received() {
    let device = device();
    let opus = |payload_type: u8, encodings: Value| -> RtpParameters {
        read(json!({
            "codecs": [
                { "mimeType": "audio/opus", "payloadType": payload_type, "clockRate": 48000, "channels": 2 }
            ],
            "encodings": encodings,
        }))
    };
    assert_eq!(device.check_receiving(&opus(100, json!([{ "ssrc": 1 }]))), Ok(()));
    let refused = |parameters| device.check_receiving(&parameters).unwrap_err().to_string();
    assert_eq!(
        refused(opus(99, json!([{ "ssrc": 1 }]))),
        "codec audio/opus with payload type 99 can't be received"
    );
    assert!(refused(opus(100, json!([{ "ssrc": 1 }, { "ssrc": 2 }]))).contains("2 encodings"));
    assert!(refused(opus(100, json!([{}]))).contains("no ssrc"));
    assert!(refused(opus(128, json!([{ "ssrc": 1 }]))).contains("payloadType 128"));
    assert!(refused(RtpParameters::default()).contains("codecs are empty"));
}

#[test]
fn sctp_capabilities_are_signalled_as_by_mediasoup_client() {
    let json = serde_json::to_value(device().sctp_capabilities()).unwrap();
    assert_eq!(json, json!({ "numStreams": { "OS": 65535, "MIS": 65535 } }));
}
