//! RTP parameters of a request: validated, and completed as in mediasoup.

use crate::api::RequestError;
use tureen_types::ortc::{check_kind, check_rtp_parameters};
use tureen_types::rtp_parameters::{
    MediaKind, MimeType, MimeTypeAudio, MimeTypeVideo, RtpCodecParameters, RtpCodecParametersParametersValue,
    RtpParameters,
};

/// Validates codecs and encodings, and sets the codec of every encoding without one to the first media codec.
///
/// # Errors
/// `Invalid` with the fault and the value.
pub(crate) fn complete(kind: MediaKind, parameters: &mut RtpParameters) -> Result<(), RequestError> {
    let invalid = |text: String| Err(RequestError::Invalid(text));
    check_rtp_parameters(parameters).map_err(RequestError::Invalid)?;
    check_kind(kind, parameters).map_err(RequestError::Invalid)?;
    let codecs = &parameters.codecs;
    for codec in codecs {
        let payload_type = codec.payload_type();
        if codec.is_rtx() {
            let Some(RtpCodecParametersParametersValue::Number(apt)) = codec.parameters().get("apt") else {
                return invalid(format!("missing apt parameter in RTX codec {payload_type}"));
            };
            let media = codecs.iter().find(|other| u32::from(other.payload_type()) == *apt);
            if !media.is_some_and(can_be_repaired) {
                return invalid(format!("apt {apt} of RTX codec {payload_type} names no media codec"));
            }
        }
    }
    let Some(first) = codecs.iter().find(|codec| is_media(codec)).map(RtpCodecParameters::payload_type)
    else {
        return invalid("no media codecs found".to_owned());
    };
    if parameters.encodings.is_empty() {
        return invalid("empty rtpParameters.encodings".to_owned());
    }
    let simulcast = parameters.encodings.len() > 1;
    for encoding in &mut parameters.encodings {
        if simulcast && encoding.scalability_mode.spatial_layers().get() > 1 {
            let mode = encoding.scalability_mode.as_str();
            return invalid(format!("several encodings, one of which has spatial layers ({mode})"));
        }
        let payload_type = *encoding.codec_payload_type.get_or_insert(first);
        if !codecs.iter().any(|codec| codec.payload_type() == payload_type && is_media(codec)) {
            return invalid(format!("codecPayloadType {payload_type} names no media codec"));
        }
    }
    Ok(())
}

/// True for a media codec, false for RTX, FEC and other codecs that accompany one.
fn is_media(codec: &RtpCodecParameters) -> bool {
    !matches!(
        codec.mime_type(),
        MimeType::Audio(
            MimeTypeAudio::Rtx | MimeTypeAudio::Red | MimeTypeAudio::Cn | MimeTypeAudio::TelephoneEvent
        ) | MimeType::Video(MimeTypeVideo::Rtx | MimeTypeVideo::Red | MimeTypeVideo::Ulpfec)
    )
}

fn can_be_repaired(codec: &RtpCodecParameters) -> bool {
    !codec.is_rtx() && codec.mime_type() != MimeType::Video(MimeTypeVideo::Ulpfec)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn completed(codecs: &Value, encodings: &Value) -> Result<RtpParameters, RequestError> {
        let mut parameters: RtpParameters =
            serde_json::from_value(json!({ "codecs": codecs, "encodings": encodings })).unwrap();
        complete(MediaKind::Video, &mut parameters).map(|()| parameters)
    }

    fn codec(mime_type: &str, payload_type: u8) -> Value {
        json!({ "mimeType": mime_type, "payloadType": payload_type, "clockRate": 90000 })
    }

    fn rtx(payload_type: u8, apt: u8) -> Value {
        let mut codec = codec("video/rtx", payload_type);
        codec["parameters"] = json!({ "apt": apt });
        codec
    }

    #[test]
    fn encodings_without_a_codec_get_the_first_media_codec() {
        let codecs = json!([rtx(97, 96), codec("video/VP8", 96), codec("video/VP9", 98)]);
        let parameters =
            completed(&codecs, &json!([{ "ssrc": 1 }, { "ssrc": 2, "codecPayloadType": 98 }])).unwrap();
        let named: Vec<_> = parameters.encodings.iter().map(|e| e.codec_payload_type).collect();
        assert_eq!(named, [Some(96), Some(98)]);
    }

    #[test]
    fn invalid_parameters_are_named() {
        let vp8 = codec("video/VP8", 96);
        let one = json!([{ "ssrc": 1 }]);
        for (codecs, encodings, part) in [
            (json!([vp8, vp8]), &one, "duplicated payloadType 96"),
            (json!([vp8, codec("video/rtx", 97)]), &one, "missing apt"),
            (json!([vp8, rtx(97, 95)]), &one, "apt 95"),
            (json!([vp8, rtx(97, 97)]), &one, "apt 97"),
            (json!([]), &one, "no media codecs"),
            (json!([vp8]), &json!([]), "empty rtpParameters.encodings"),
            (
                json!([vp8, rtx(97, 96)]),
                &json!([{ "ssrc": 1, "codecPayloadType": 97 }]),
                "codecPayloadType 97",
            ),
            (json!([vp8]), &json!([{ "ssrc": 1, "scalabilityMode": "L3T3" }, { "ssrc": 2 }]), "L3T3"),
        ] {
            let error = completed(&codecs, encodings).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
