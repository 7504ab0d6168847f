use std::borrow::Cow;

use thiserror::Error;

use crate::rtp_parameters::{
    MediaKind, MimeType, OtherParameterValue, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
    RtpCodecParametersParameters, RtpCodecParametersParametersValue, RtpHeaderExtensionUri, RtpParameters,
};

/// Error in RTP parameters, independent of a router.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtpParametersError {
    /// The `apt` of an RTX codec is not a number.
    #[error("Invalid codec apt parameter {0}")]
    InvalidAptParameter(Cow<'static, str>),
}

/// Error in RTP capabilities or in the media codecs of a router.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtpCapabilitiesError {
    /// The SFU does not support the codec with these parameters.
    #[error("Media codec not supported [mime_type:{mime_type:?}]")]
    UnsupportedCodec {
        /// MIME type of the codec.
        mime_type: MimeType,
    },
    /// There are more codecs than dynamic payload types.
    #[error("Cannot allocate more dynamic codec payload types")]
    CannotAllocate,
    /// The `apt` of an RTX codec is not a number.
    #[error("Invalid codec apt parameter {0}")]
    InvalidAptParameter(Cow<'static, str>),
    /// Two codecs have the same payload type.
    #[error("Duplicated preferred payload type {0}")]
    DuplicatedPreferredPayloadType(u8),
}

/// Limits for the parameters of a remote endpoint. Real clients stay far below them.
pub mod bounds {
    /// Maximum length of MID, RID, CNAME and msid in bytes, because the length is one byte in SDES items (RFC 3550
    /// §6.5) and header extensions (RFC 8285 §4.3).
    pub const NAME_BYTES: usize = 255;
    /// Maximum payload type, because the field has seven bits (RFC 3550 §5.1).
    pub const PAYLOAD_TYPE: u8 = 127;
    /// Maximum id of a header extension (RFC 8285 §4.3). The minimum is 1.
    pub const EXTENSION_ID: u16 = 255;
    /// Maximum number of encodings of one producer.
    pub const ENCODINGS: usize = 32;
    /// Maximum number of codecs in RTP parameters.
    pub const PARAMETERS_CODECS: usize = 64;
    /// Maximum number of codecs in RTP capabilities. Browsers list up to 60.
    pub const CAPABILITIES_CODECS: usize = 256;
    /// Maximum number of header extensions in RTP parameters or capabilities. Browsers list up to 30.
    pub const EXTENSIONS: usize = 256;
    /// Maximum number of kinds of RTCP feedback of one codec.
    pub const FEEDBACK: usize = 64;
    /// Maximum number of bytes of format parameters, names and values of all codecs together.
    pub const FORMAT_BYTES: usize = 64 << 10;
}

/// Checks ranges, lengths, counts and duplicates in the parameters of a remote endpoint; the work is bounded for any
/// input.
///
/// # Errors
/// The text contains the parameter and its value.
pub fn check_rtp_parameters(rtp_parameters: &RtpParameters) -> Result<(), String> {
    let RtpParameters { mid, codecs, header_extensions, encodings, rtcp, msid } = rtp_parameters;
    check_name("mid", mid.as_deref())?;
    check_name("msid", msid.as_deref())?;
    check_name("rtcp.cname", rtcp.cname.as_deref())?;

    check_count("codecs", codecs.len(), bounds::PARAMETERS_CODECS)?;
    let mut format_bytes = 0;
    for (index, codec) in codecs.iter().enumerate() {
        let payload_type = codec.payload_type();
        check_payload_type("payloadType", payload_type)?;
        if codecs[..index].iter().any(|other| other.payload_type() == payload_type) {
            return Err(format!("duplicated payloadType {payload_type}"));
        }
        check_count("rtcpFeedback of a codec", codec.rtcp_feedback().len(), bounds::FEEDBACK)?;
        format_bytes += format_size(codec.parameters());
    }
    check_format(format_bytes)?;

    check_count("headerExtensions", header_extensions.len(), bounds::EXTENSIONS)?;
    // The search is bounded by the number of known extensions.
    let mut ids = Vec::<(RtpHeaderExtensionUri, u16)>::new();
    for extension in header_extensions {
        let (uri, id) = (extension.uri, extension.id);
        check_extension_id("id", uri, id)?;
        match ids.iter().find(|other| other.0 == uri || other.1 == id) {
            Some(&known) if known == (uri, id) => {}
            Some(&(known, other)) if known == uri => {
                return Err(format!("header extension {} has the ids {other} and {id}", uri.as_str()));
            }
            Some(&(other, _)) => {
                let (uri, other) = (uri.as_str(), other.as_str());
                return Err(format!("header extensions {other} and {uri} have the same id {id}"));
            }
            None => ids.push((uri, id)),
        }
    }

    check_count("encodings", encodings.len(), bounds::ENCODINGS)?;
    let (mut ssrcs, mut rids) = (Vec::new(), Vec::new());
    for encoding in encodings {
        for ssrc in encoding.ssrc.into_iter().chain(encoding.rtx.map(|rtx| rtx.ssrc)) {
            if ssrcs.contains(&ssrc) {
                return Err(format!("duplicated ssrc {ssrc} in encodings"));
            }
            ssrcs.push(ssrc);
        }
        let rid = encoding.rid.as_deref().filter(|rid| !rid.is_empty());
        check_name("rid", rid)?;
        if let Some(rid) = rid {
            if rids.contains(&rid) {
                return Err(format!("duplicated rid {rid:?} in encodings"));
            }
            rids.push(rid);
        }
    }
    Ok(())
}

/// Checks that all codecs are of one kind.
///
/// # Errors
/// The text contains the codec and the kind.
pub fn check_kind(kind: MediaKind, rtp_parameters: &RtpParameters) -> Result<(), String> {
    let of_other_kind = rtp_parameters.codecs.iter().find(|codec| match codec {
        RtpCodecParameters::Audio { .. } => kind != MediaKind::Audio,
        RtpCodecParameters::Video { .. } => kind != MediaKind::Video,
    });
    match of_other_kind {
        None => Ok(()),
        Some(codec) => {
            let kind = if kind == MediaKind::Audio { "audio" } else { "video" };
            Err(format!("codec {} is not of kind {kind}", codec.mime_type().as_str()))
        }
    }
}

/// Checks ranges and counts in the capabilities of a remote endpoint.
///
/// # Errors
/// The text contains the parameter and its value.
pub fn check_rtp_capabilities(capabilities: &RtpCapabilities) -> Result<(), String> {
    let RtpCapabilities { codecs, header_extensions } = capabilities;
    check_count("codecs", codecs.len(), bounds::CAPABILITIES_CODECS)?;
    let mut format_bytes = 0;
    for codec in codecs {
        if let Some(payload_type) = codec.preferred_payload_type() {
            check_payload_type("preferredPayloadType", payload_type)?;
        }
        check_count("rtcpFeedback of a codec", codec.rtcp_feedback().len(), bounds::FEEDBACK)?;
        format_bytes += format_size(codec.parameters());
    }
    check_format(format_bytes)?;
    check_count("headerExtensions", header_extensions.len(), bounds::EXTENSIONS)?;
    header_extensions
        .iter()
        .try_for_each(|extension| check_extension_id("preferredId", extension.uri, extension.preferred_id))
}

fn check_name(what: &str, name: Option<&str>) -> Result<(), String> {
    let length = name.map_or(0, str::len);
    if length <= bounds::NAME_BYTES {
        return Ok(());
    }
    Err(format!("{what} has {length} bytes, at most {} are allowed", bounds::NAME_BYTES))
}

fn check_count(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count <= most { Ok(()) } else { Err(format!("{count} {what}, at most {most} are allowed")) }
}

fn check_payload_type(what: &str, payload_type: u8) -> Result<(), String> {
    if payload_type <= bounds::PAYLOAD_TYPE {
        return Ok(());
    }
    Err(format!("{what} {payload_type} is greater than {}", bounds::PAYLOAD_TYPE))
}

fn check_extension_id(what: &str, uri: RtpHeaderExtensionUri, id: u16) -> Result<(), String> {
    if (1..=bounds::EXTENSION_ID).contains(&id) {
        return Ok(());
    }
    Err(format!("{what} {id} of header extension {} is not 1 to {}", uri.as_str(), bounds::EXTENSION_ID))
}

fn check_format(bytes: usize) -> Result<(), String> {
    let most = bounds::FORMAT_BYTES;
    if bytes <= most {
        Ok(())
    } else {
        Err(format!("codec parameters have {bytes} bytes, at most {most} are allowed"))
    }
}

fn format_size(parameters: &RtpCodecParametersParameters) -> usize {
    let value_size = |value: &RtpCodecParametersParametersValue| match value {
        RtpCodecParametersParametersValue::String(text) => text.len(),
        RtpCodecParametersParametersValue::Number(_) => size_of::<u32>(),
        RtpCodecParametersParametersValue::Other(OtherParameterValue::Integers(all)) => size_of_val(&all[..]),
        RtpCodecParametersParametersValue::Other(_) => size_of::<f64>(),
    };
    parameters.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

/// Checks the constraints that the JSON schema of RTP parameters does not express.
pub fn validate_rtp_parameters(rtp_parameters: &RtpParameters) -> Result<(), RtpParametersError> {
    rtp_parameters.codecs.iter().try_for_each(|codec| {
        validate_apt(codec.parameters()).map_err(RtpParametersError::InvalidAptParameter)
    })
}

/// Checks the constraints that the JSON schema of RTP capabilities does not express.
pub fn validate_rtp_capabilities(caps: &RtpCapabilities) -> Result<(), RtpCapabilitiesError> {
    caps.codecs.iter().try_for_each(validate_rtp_codec_capability)
}

pub(super) fn validate_rtp_codec_capability(codec: &RtpCodecCapability) -> Result<(), RtpCapabilitiesError> {
    validate_apt(codec.parameters()).map_err(RtpCapabilitiesError::InvalidAptParameter)
}

fn validate_apt(parameters: &RtpCodecParametersParameters) -> Result<(), Cow<'static, str>> {
    match parameters.get("apt") {
        Some(RtpCodecParametersParametersValue::String(apt)) => Err(apt.clone()),
        Some(RtpCodecParametersParametersValue::Other(apt)) => Err(apt.to_string().into()),
        Some(RtpCodecParametersParametersValue::Number(_)) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn apt_must_be_a_number() {
        let codec = |apt| {
            json!({
                "kind": "video", "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000,
                "parameters": { "apt": apt }
            })
        };
        for (apt, is_valid) in [(json!(96), true), (json!("96"), false)] {
            let codecs = json!({ "codecs": [codec(apt)] });
            let parameters: RtpParameters = serde_json::from_value(codecs.clone()).unwrap();
            let capabilities: RtpCapabilities = serde_json::from_value(codecs).unwrap();
            if is_valid {
                assert_eq!(validate_rtp_parameters(&parameters), Ok(()));
                assert_eq!(validate_rtp_capabilities(&capabilities), Ok(()));
            } else {
                assert_eq!(
                    validate_rtp_parameters(&parameters),
                    Err(RtpParametersError::InvalidAptParameter("96".into()))
                );
                assert_eq!(
                    validate_rtp_capabilities(&capabilities),
                    Err(RtpCapabilitiesError::InvalidAptParameter("96".into()))
                );
            }
        }
    }

    /// Parameters of a camera with RTX, after `change`.
    fn camera(change: impl FnOnce(&mut serde_json::Value)) -> RtpParameters {
        let mut parameters = json!({
            "mid": "0",
            "codecs": [
                { "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": [{ "type": "nack" }] },
                { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } },
            ],
            "headerExtensions": [
                { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 },
                { "uri": "urn:3gpp:video-orientation", "id": 255 },
            ],
            "encodings": [
                { "ssrc": 1, "rtx": { "ssrc": 2 }, "rid": "a" },
                { "ssrc": 3, "rtx": { "ssrc": 4 }, "rid": "b" },
            ],
            "rtcp": { "cname": "c".repeat(255) },
            "msid": "stream track",
        });
        change(&mut parameters);
        serde_json::from_value(parameters).unwrap()
    }

    #[test]
    fn real_parameters_are_within_the_bounds() {
        assert_eq!(check_rtp_parameters(&camera(|_| ())), Ok(()));
        // A duplicate entry is not a contradiction.
        let twice = camera(|p| p["headerExtensions"][1] = p["headerExtensions"][0].clone());
        assert_eq!(check_rtp_parameters(&twice), Ok(()));
    }

    #[test]
    fn values_that_no_packet_can_have_are_named() {
        type Change = fn(&mut serde_json::Value);
        let cases: [(Change, &str); 15] = [
            (|p| p["codecs"][0]["payloadType"] = 128.into(), "payloadType 128"),
            (|p| p["codecs"][0]["payloadType"] = 255.into(), "payloadType 255"),
            (|p| p["codecs"][1]["payloadType"] = 96.into(), "duplicated payloadType 96"),
            (|p| p["encodings"][1]["ssrc"] = 1.into(), "duplicated ssrc 1"),
            (|p| p["encodings"][0]["rtx"]["ssrc"] = 1.into(), "duplicated ssrc 1"),
            (|p| p["encodings"][0]["rtx"]["ssrc"] = 4.into(), "duplicated ssrc 4"),
            (|p| p["encodings"][1]["rid"] = "a".into(), "duplicated rid \"a\""),
            (|p| p["encodings"][1]["rid"] = "a".repeat(256).into(), "rid has 256 bytes"),
            (|p| p["encodings"] = vec![json!({}); 33].into(), "33 encodings"),
            (|p| p["rtcp"]["cname"] = "c".repeat(900_000).into(), "rtcp.cname has 900000 bytes"),
            (|p| p["mid"] = "m".repeat(256).into(), "mid has 256 bytes"),
            (|p| p["msid"] = "m".repeat(256).into(), "msid has 256 bytes"),
            (|p| p["headerExtensions"][0]["id"] = 0.into(), "id 0 of header extension"),
            (|p| p["headerExtensions"][0]["id"] = 256.into(), "id 256 of header extension"),
            (|p| p["headerExtensions"][1]["id"] = 1.into(), "same id 1"),
        ];
        for (change, part) in cases {
            let error = check_rtp_parameters(&camera(change)).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let four_ids = camera(|p| {
            let of = |id| json!({ "uri": "urn:3gpp:video-orientation", "id": id });
            p["headerExtensions"] = json!([of(1), of(2), of(3), of(4)]);
        });
        let error = check_rtp_parameters(&four_ids).unwrap_err();
        assert!(error.contains("urn:3gpp:video-orientation has the ids 1 and 2"), "{error}");
    }

    #[test]
    fn a_codec_of_the_other_kind_is_named() {
        let parameters = camera(|_| ());
        assert_eq!(check_kind(MediaKind::Video, &parameters), Ok(()));
        assert_eq!(
            check_kind(MediaKind::Audio, &parameters),
            Err("codec video/VP8 is not of kind audio".to_owned())
        );
    }

    #[test]
    fn too_long_lists_are_refused() {
        let codec =
            json!({ "mimeType": "video/VP8", "kind": "video", "payloadType": 96, "clockRate": 90000 });
        let extension =
            json!({ "kind": "video", "uri": "urn:3gpp:video-orientation", "id": 1, "preferredId": 1 });
        let mut chatty = codec.clone();
        chatty["rtcpFeedback"] = vec![json!({ "type": "nack" }); 65].into();
        let mut wordy = codec.clone();
        wordy["parameters"] = json!({ "sprop": "x".repeat(65 << 10) });
        for (codecs, extensions, part) in [
            (vec![codec.clone(); 5000], 0, "5000 codecs"),
            (vec![chatty], 0, "65 rtcpFeedback"),
            (vec![wordy], 0, "codec parameters have"),
            (vec![codec], 5000, "5000 headerExtensions"),
        ] {
            let media = json!({ "codecs": codecs, "headerExtensions": vec![extension.clone(); extensions] });
            let parameters: RtpParameters = serde_json::from_value(media.clone()).unwrap();
            let error = check_rtp_parameters(&parameters).unwrap_err();
            assert!(error.contains(part), "{error}");
            let capabilities: RtpCapabilities = serde_json::from_value(media).unwrap();
            let error = check_rtp_capabilities(&capabilities).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn capabilities_have_the_ranges_of_packets() {
        let check = |payload_type: u8, id: u16| {
            let capabilities = json!({
                "codecs": [{
                    "kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": payload_type
                }],
                "headerExtensions": [{ "kind": "video", "uri": "urn:3gpp:video-orientation", "preferredId": id }],
            });
            check_rtp_capabilities(&serde_json::from_value(capabilities).unwrap())
        };
        assert_eq!(check(127, 255), Ok(()));
        assert!(check(128, 1).unwrap_err().contains("preferredPayloadType 128"));
        assert!(check(96, 0).unwrap_err().contains("preferredId 0"));
        assert!(check(96, 256).unwrap_err().contains("preferredId 256"));
    }
}
