//! Capabilities of the SFU.

use std::num::{NonZeroU8, NonZeroU32};

use crate::rtp_parameters::{
    MediaKind, MimeTypeAudio, MimeTypeVideo, RtcpFeedback, RtpCapabilities, RtpCodecCapability,
    RtpCodecParametersParameters, RtpHeaderExtension, RtpHeaderExtensionDirection, RtpHeaderExtensionUri,
};

/// All codecs and header extensions that a router may have.
///
/// A client's device is not loaded with these but with the capabilities of a router, which has some of these codecs
/// with payload types of its own.
#[must_use]
pub fn get_supported_rtp_capabilities() -> RtpCapabilities {
    RtpCapabilities {
        codecs: audio_codecs().chain(video_codecs()).collect(),
        header_extensions: header_extensions().collect(),
    }
}

/// RTCP feedback of every video codec.
const VIDEO_FEEDBACK: [RtcpFeedback; 5] = [
    RtcpFeedback::Nack,
    RtcpFeedback::NackPli,
    RtcpFeedback::CcmFir,
    RtcpFeedback::GoogRemb,
    RtcpFeedback::TransportCc,
];

fn audio_codecs() -> impl Iterator<Item = RtpCodecCapability> {
    use MimeTypeAudio::*;
    const OPUS: &[RtcpFeedback] = &[RtcpFeedback::Nack, RtcpFeedback::TransportCc];
    const OTHER: &[RtcpFeedback] = &[RtcpFeedback::TransportCc];

    let opus = [
        audio(Opus, None, 48000, 2, OPUS),
        multichannel_opus(4, "0,1,2,3", 2, 2),
        multichannel_opus(6, "0,4,1,2,3,5", 4, 2),
        multichannel_opus(8, "0,6,1,2,3,4,5,7", 5, 3),
    ];
    // Static payload types of RFC 3551 §6.
    let mono = [
        (Pcmu, Some(0), 8000, OTHER),
        (Pcma, Some(8), 8000, OTHER),
        (Isac, None, 32000, OTHER),
        (Isac, None, 16000, OTHER),
        (G722, Some(9), 8000, OTHER),
        (Ilbc, None, 8000, OTHER),
        (Silk, None, 24000, OTHER),
        (Silk, None, 16000, OTHER),
        (Silk, None, 12000, OTHER),
        (Silk, None, 8000, OTHER),
        (Cn, Some(13), 32000, &[]),
        (Cn, Some(13), 16000, &[]),
        (Cn, Some(13), 8000, &[]),
        (TelephoneEvent, None, 48000, &[]),
        (TelephoneEvent, None, 32000, &[]),
        (TelephoneEvent, None, 16000, &[]),
        (TelephoneEvent, None, 8000, &[]),
    ];
    opus.into_iter().chain(mono.into_iter().map(|(mime_type, payload_type, clock_rate, feedback)| {
        audio(mime_type, payload_type, clock_rate, 1, feedback)
    }))
}

fn video_codecs() -> impl Iterator<Item = RtpCodecCapability> {
    use MimeTypeVideo::*;
    [Vp8, Vp9, H264, AV1, H265].into_iter().map(|mime_type| RtpCodecCapability::Video {
        mime_type,
        preferred_payload_type: None,
        clock_rate: hertz(90000),
        parameters: match mime_type {
            H264 => RtpCodecParametersParameters::from([("level-asymmetry-allowed", 1_u32.into())]),
            _ => RtpCodecParametersParameters::default(),
        },
        rtcp_feedback: VIDEO_FEEDBACK.to_vec(),
    })
}

fn header_extensions() -> impl Iterator<Item = RtpHeaderExtension> {
    use MediaKind::{Audio, Video};
    use RtpHeaderExtensionDirection::{RecvOnly, SendRecv};
    use RtpHeaderExtensionUri::*;
    [
        (Audio, Mid, 1, SendRecv),
        (Video, Mid, 1, SendRecv),
        (Video, RtpStreamId, 2, RecvOnly),
        (Video, RepairRtpStreamId, 3, RecvOnly),
        (Video, AbsSendTime, 4, SendRecv),
        (Audio, TransportWideCcDraft01, 5, SendRecv),
        (Video, TransportWideCcDraft01, 5, SendRecv),
        (Audio, SsrcAudioLevel, 6, SendRecv),
        // mediasoup 3.27 receives it only.
        (Video, DependencyDescriptor, 7, SendRecv),
        (Video, VideoOrientation, 8, SendRecv),
        (Audio, AbsCaptureTime, 9, SendRecv),
        (Video, AbsCaptureTime, 9, SendRecv),
        (Audio, PlayoutDelay, 10, SendRecv),
        (Video, PlayoutDelay, 10, SendRecv),
        (Audio, MediasoupPacketId, 11, SendRecv),
        (Video, MediasoupPacketId, 11, SendRecv),
    ]
    .into_iter()
    .map(|(kind, uri, preferred_id, direction)| RtpHeaderExtension {
        kind,
        uri,
        preferred_id,
        preferred_encrypt: false,
        direction,
    })
}

fn audio(
    mime_type: MimeTypeAudio,
    preferred_payload_type: Option<u8>,
    clock_rate: u32,
    channels: u8,
    rtcp_feedback: &[RtcpFeedback],
) -> RtpCodecCapability {
    RtpCodecCapability::Audio {
        mime_type,
        preferred_payload_type,
        clock_rate: hertz(clock_rate),
        channels: NonZeroU8::new(channels).expect("the tables here have no zero"),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: rtcp_feedback.to_vec(),
    }
}

fn multichannel_opus(
    channels: u8,
    channel_mapping: &'static str,
    num_streams: u32,
    coupled_streams: u32,
) -> RtpCodecCapability {
    let feedback = [RtcpFeedback::Nack, RtcpFeedback::TransportCc];
    let mut codec = audio(MimeTypeAudio::MultiChannelOpus, None, 48000, channels, &feedback);
    codec.parameters_mut().extend([
        ("channel_mapping", channel_mapping.into()),
        ("num_streams", num_streams.into()),
        ("coupled_streams", coupled_streams.into()),
    ]);
    codec
}

fn hertz(clock_rate: u32) -> NonZeroU32 {
    NonZeroU32::new(clock_rate).expect("the tables here have no zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_extension_ids_are_unique_within_a_kind() {
        let extensions = get_supported_rtp_capabilities().header_extensions;
        for (i, a) in extensions.iter().enumerate() {
            for b in &extensions[i + 1..] {
                assert!(a.kind != b.kind || (a.preferred_id != b.preferred_id && a.uri != b.uri));
                assert_eq!(a.uri == b.uri, a.preferred_id == b.preferred_id, "one id for both kinds");
            }
        }
    }

    #[test]
    fn capabilities_survive_json() {
        let capabilities = get_supported_rtp_capabilities();
        assert_eq!(capabilities.codecs.len(), 26);
        let json = serde_json::to_string(&capabilities).unwrap();
        assert_eq!(serde_json::from_str::<RtpCapabilities>(&json).unwrap(), capabilities);
    }
}
