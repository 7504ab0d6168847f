//! Codecs that rooms offer.

use std::num::{NonZeroU8, NonZeroU32};

use tureen::prelude::*;

/// Default codecs of a room: Opus; VP8, VP9, H264 and AV1.
///
/// The profiles are those that browsers send: VP9 0 (Chromium's default) and 2 (10 bit), H264 main and constrained
/// baseline.
pub(crate) fn media_codecs() -> Vec<RtpCodecCapability> {
    let h264 = |profile_level_id: &'static str| {
        video(
            MimeTypeVideo::H264,
            RtpCodecParametersParameters::from([
                ("packetization-mode", 1_u32.into()),
                ("profile-level-id", profile_level_id.into()),
                ("level-asymmetry-allowed", 1_u32.into()),
            ]),
        )
    };
    let vp9 = |profile: u32| {
        video(MimeTypeVideo::Vp9, RtpCodecParametersParameters::from([("profile-id", profile.into())]))
    };
    vec![
        RtpCodecCapability::Audio {
            mime_type: MimeTypeAudio::Opus,
            preferred_payload_type: None,
            clock_rate: const { NonZeroU32::new(48_000).unwrap() },
            channels: const { NonZeroU8::new(2).unwrap() },
            parameters: RtpCodecParametersParameters::default(),
            rtcp_feedback: vec![],
        },
        video(MimeTypeVideo::Vp8, RtpCodecParametersParameters::default()),
        // The codec that every browser decodes is the first one, because clients use the first of a kind.
        vp9(0),
        vp9(2),
        h264("4d0032"),
        h264("42e01f"),
        video(MimeTypeVideo::AV1, RtpCodecParametersParameters::default()),
    ]
}

fn video(mime_type: MimeTypeVideo, mut parameters: RtpCodecParametersParameters) -> RtpCodecCapability {
    // libwebrtc starts with this bitrate in kbit/s instead of its default of 300.
    parameters.insert("x-google-start-bitrate", 1000_u32);
    RtpCodecCapability::Video {
        mime_type,
        preferred_payload_type: None,
        clock_rate: const { NonZeroU32::new(90_000).unwrap() },
        parameters,
        rtcp_feedback: vec![],
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::json;
    use tureen::prelude::*;

    /// Capabilities of a client that supports all that a router does.
    pub(crate) fn all_of(router: RtpCapabilitiesFinalized) -> RtpCapabilities {
        serde_json::from_value(serde_json::to_value(router).unwrap()).unwrap()
    }

    /// RTP parameters of a microphone.
    pub(crate) fn microphone() -> RtpParameters {
        let parameters = json!({
            "codecs": [{
                "kind": "audio", "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2,
                "parameters": {}, "rtcpFeedback": [],
            }],
            "headerExtensions": [],
            "encodings": [{ "ssrc": 1 }],
            "rtcp": { "cname": "c", "reducedSize": true },
        });
        serde_json::from_value(parameters).unwrap()
    }
}
