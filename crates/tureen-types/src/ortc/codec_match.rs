//! Matching of codecs.

use std::borrow::Cow;
use std::num::{NonZeroU8, NonZeroU32};

use super::h264_profile_level_id::ProfileLevelId;
use crate::rtp_parameters::{
    MimeType, MimeTypeAudio, MimeTypeVideo, RtpCodecCapability, RtpCodecCapabilityFinalized,
    RtpCodecParameters, RtpCodecParametersParameters, RtpCodecParametersParametersValue,
};

/// Properties that [`is_same_codec`] and [`match_codecs`] compare, borrowed from a codec in capabilities or parameters.
#[derive(Debug, Copy, Clone)]
pub struct CodecToMatch<'a> {
    mime_type: MimeType,
    clock_rate: NonZeroU32,
    channels: Option<NonZeroU8>,
    parameters: &'a RtpCodecParametersParameters,
}

/// Result of matching two codecs.
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub struct CodecMatch {
    /// For H264, the profile and level with which the first codec answers the second; `None` if neither specifies them.
    pub profile_level_id: Option<ProfileLevelId>,
}

/// True if two codecs are of one type, independent of their profiles ("not strict" in mediasoup).
pub fn is_same_codec<'a, 'b>(a: impl Into<CodecToMatch<'a>>, b: impl Into<CodecToMatch<'b>>) -> bool {
    let (a, b) = (a.into(), b.into());
    let same = |name| text(a.parameters, name) == text(b.parameters, name);
    a.mime_type == b.mime_type
        && a.clock_rate == b.clock_rate
        && a.channels == b.channels
        && (a.mime_type != MimeType::Audio(MimeTypeAudio::MultiChannelOpus)
            || same("num_streams") && same("coupled_streams"))
}

/// Matches two codecs of one type and profile ("strict" in mediasoup).
pub fn match_codecs<'a, 'b>(
    a: impl Into<CodecToMatch<'a>>,
    b: impl Into<CodecToMatch<'b>>,
) -> Option<CodecMatch> {
    let (a, b) = (a.into(), b.into());
    if !is_same_codec(a, b) {
        return None;
    }
    if a.mime_type == MimeType::Video(MimeTypeVideo::H264) {
        return match_h264(a.parameters, b.parameters);
    }
    profile_parameters(a.mime_type)
        .iter()
        .all(|(name, default)| text_or(a.parameters, name, default) == text_or(b.parameters, name, default))
        .then_some(CodecMatch { profile_level_id: None })
}

/// Parameters that must be equal for two codecs to be of one profile, each with its default value.
fn profile_parameters(mime_type: MimeType) -> &'static [(&'static str, &'static str)] {
    match mime_type {
        // RFC 9628 §6.1.
        MimeType::Video(MimeTypeVideo::Vp9) => &[("profile-id", "0")],
        // RTP payload format for AV1, §7.2.
        MimeType::Video(MimeTypeVideo::AV1) => &[("profile", "0")],
        // RFC 7798 §7.1. The level is left to the sender, because it depends on the receivers.
        MimeType::Video(MimeTypeVideo::H265) => {
            &[("profile-space", "0"), ("profile-id", "1"), ("tier-flag", "0"), ("tx-mode", "SRST")]
        }
        _ => &[],
    }
}

/// RFC 6184 §8.2.2: `packetization-mode` and the profile of `profile-level-id` must be equal, the level is negotiated.
fn match_h264(a: &RtpCodecParametersParameters, b: &RtpCodecParametersParameters) -> Option<CodecMatch> {
    if text_or(a, "packetization-mode", "0") != text_or(b, "packetization-mode", "0") {
        return None;
    }
    let asymmetry_allowed = [a, b].iter().all(|p| text_or(p, "level-asymmetry-allowed", "0") == "1");
    let answer = h264_profile_level_id(a)?.answer(h264_profile_level_id(b)?, asymmetry_allowed)?;
    let is_given = [a, b].iter().any(|p| p.get("profile-level-id").is_some());
    Some(CodecMatch { profile_level_id: is_given.then_some(answer) })
}

/// Profile and level in the parameters or, if absent, the default. `None` if they are invalid.
fn h264_profile_level_id(parameters: &RtpCodecParametersParameters) -> Option<ProfileLevelId> {
    match text(parameters, "profile-level-id") {
        Some(text) => text.parse().ok(),
        None => Some(ProfileLevelId::default()),
    }
}

/// Value of a parameter as in SDP, in which numbers and strings are equal; SDP parsers convert `640032` to a number.
fn text<'a>(parameters: &'a RtpCodecParametersParameters, name: &str) -> Option<Cow<'a, str>> {
    parameters.get(name).map(|value| match value {
        RtpCodecParametersParametersValue::String(text) => Cow::Borrowed(text.as_ref()),
        RtpCodecParametersParametersValue::Number(number) => Cow::Owned(number.to_string()),
        RtpCodecParametersParametersValue::Other(other) => Cow::Owned(other.to_string()),
    })
}

fn text_or<'a>(
    parameters: &'a RtpCodecParametersParameters,
    name: &str,
    default: &'static str,
) -> Cow<'a, str> {
    text(parameters, name).unwrap_or(Cow::Borrowed(default))
}

macro_rules! codec_to_match_from {
    ($($codec:ident),+) => {
        $(impl<'a> From<&'a $codec> for CodecToMatch<'a> {
            fn from(codec: &'a $codec) -> Self {
                match codec {
                    $codec::Audio { mime_type, clock_rate, channels, parameters, .. } => Self {
                        mime_type: MimeType::Audio(*mime_type),
                        clock_rate: *clock_rate,
                        channels: Some(*channels),
                        parameters,
                    },
                    $codec::Video { mime_type, clock_rate, parameters, .. } => Self {
                        mime_type: MimeType::Video(*mime_type),
                        clock_rate: *clock_rate,
                        channels: None,
                        parameters,
                    },
                }
            }
        })+
    };
}

codec_to_match_from!(RtpCodecCapability, RtpCodecCapabilityFinalized, RtpCodecParameters);

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(mime_type: &str, clock_rate: u32, parameters: serde_json::Value) -> RtpCodecParameters {
        serde_json::from_value(serde_json::json!({
            "mimeType": mime_type, "payloadType": 96, "clockRate": clock_rate, "parameters": parameters
        }))
        .unwrap()
    }

    #[track_caller]
    fn assert_match(mime_type: &str, a: serde_json::Value, b: serde_json::Value, expected: bool) {
        let (a, b) = (codec(mime_type, 90000, a), codec(mime_type, 90000, b));
        assert_eq!(match_codecs(&a, &b).is_some(), expected);
        assert_eq!(match_codecs(&b, &a).is_some(), expected);
        assert!(is_same_codec(&a, &b));
    }

    macro_rules! params { ($($json:tt)*) => { serde_json::json!({ $($json)* }) }; }

    #[test]
    fn type_clock_rate_and_channels_must_be_equal() {
        let vp8 = codec("video/VP8", 90000, params!());
        assert!(match_codecs(&vp8, &codec("video/vp8", 90000, params!("foo": 1))).is_some());
        assert!(!is_same_codec(&vp8, &codec("video/VP9", 90000, params!())));
        assert!(!is_same_codec(&vp8, &codec("video/VP8", 48000, params!())));
        let mono = codec("audio/opus", 48000, params!());
        let mut stereo = mono.clone();
        if let RtpCodecParameters::Audio { channels, .. } = &mut stereo {
            *channels = NonZeroU8::new(2).unwrap();
        }
        assert!(!is_same_codec(&mono, &stereo));
    }

    #[test]
    fn multichannel_opus_needs_the_same_streams() {
        let quad = codec("audio/multiopus", 48000, params!("num_streams": 2, "coupled_streams": 2));
        let same = codec("audio/multiopus", 48000, params!("num_streams": "2", "coupled_streams": 2));
        let surround = codec("audio/multiopus", 48000, params!("num_streams": 4, "coupled_streams": 2));
        assert!(is_same_codec(&quad, &same) && match_codecs(&quad, &same).is_some());
        assert!(!is_same_codec(&quad, &surround));
        assert!(!is_same_codec(&quad, &codec("audio/multiopus", 48000, params!())));
    }

    #[test]
    fn vp9_and_av1_profiles_default_to_0() {
        assert_match("video/VP9", params!(), params!("profile-id": 0), true);
        assert_match("video/VP9", params!("profile-id": 2), params!("profile-id": "2"), true);
        assert_match("video/VP9", params!(), params!("profile-id": 2), false);
        assert_match("video/AV1", params!(), params!("profile": 0, "level-idx": 5, "tier": 0), true);
        assert_match("video/AV1", params!("profile": 1), params!(), false);
    }

    #[test]
    fn h265_profile_tier_and_transmission_mode_must_be_equal() {
        let chromium = params!("level-id": 180, "profile-id": 1, "tier-flag": 0, "tx-mode": "SRST");
        assert_match("video/H265", params!(), chromium.clone(), true);
        assert_match("video/H265", params!("level-id": 93), chromium.clone(), true);
        assert_match("video/H265", params!("profile-id": 2), chromium.clone(), false);
        assert_match("video/H265", params!("tier-flag": 1), chromium.clone(), false);
        assert_match("video/H265", params!("tx-mode": "MRST"), chromium, false);
    }

    #[test]
    fn h264_profile_and_packetization_mode_must_be_equal() {
        assert_match("video/H264", params!(), params!("profile-level-id": "42e01f"), true);
        assert_match(
            "video/H264",
            params!("profile-level-id": "4d001f"),
            params!("profile-level-id": "4d0032"),
            true,
        );
        assert_match("video/H264", params!("profile-level-id": "4d001f"), params!(), false);
        assert_match("video/H264", params!("packetization-mode": 1), params!(), false);
        assert_match("video/H264", params!("packetization-mode": 0), params!(), true);
        assert_match(
            "video/H264",
            params!("profile-level-id": "foo"),
            params!("profile-level-id": "foo"),
            false,
        );
    }

    #[test]
    fn h264_profile_of_digits_may_be_a_number() {
        assert_match(
            "video/H264",
            params!("profile-level-id": 640032),
            params!("profile-level-id": "64001f"),
            true,
        );
    }

    #[test]
    fn h264_match_returns_the_negotiated_level() {
        let answer = |a, b| {
            let found = match_codecs(&codec("video/H264", 90000, a), &codec("video/H264", 90000, b)).unwrap();
            found.profile_level_id.map(|id| id.to_string())
        };
        let (low, high) = (params!("profile-level-id": "42e015"), params!("profile-level-id": "42e01f"));
        assert_eq!(answer(high.clone(), low.clone()).as_deref(), Some("42e015"));
        let asymmetric = |id| params!("profile-level-id": id, "level-asymmetry-allowed": 1);
        assert_eq!(answer(asymmetric("42e01f"), asymmetric("42e015")).as_deref(), Some("42e01f"));
        assert_eq!(answer(asymmetric("42e01f"), low).as_deref(), Some("42e015"));
        assert_eq!(answer(params!(), params!()), None);
        assert_eq!(answer(params!(), high).as_deref(), Some("42e01f"));
    }
}
