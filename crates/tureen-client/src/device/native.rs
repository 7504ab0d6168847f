//! What the client can do: the codecs whose frames it cuts and joins, and the header extensions that a session writes and
//! reads.

use tureen_types::ortc::supported_rtp_capabilities::get_supported_rtp_capabilities;
use tureen_types::rtp_parameters::{
    MimeType, MimeTypeAudio, MimeTypeVideo, RtpCapabilities, RtpCodecCapability,
    RtpCodecParametersParameters, RtpHeaderExtension, RtpHeaderExtensionDirection, RtpHeaderExtensionUri,
};

/// Capabilities of a client that has no codec inside, and so any profile that browsers have: Opus; VP8, VP9 (profiles 0
/// and 2), H264 (packetization mode 1), AV1 (profile 0), H265 (main and main 10), with RTX.
///
/// Payload types are left to the router. Ids of header extensions and feedback are those of
/// [`get_supported_rtp_capabilities`].
pub fn native_rtp_capabilities() -> RtpCapabilities {
    let supported = get_supported_rtp_capabilities();
    let mut codecs: Vec<_> = supported.codecs.into_iter().flat_map(with_profiles).collect();
    codecs.extend(codecs.iter().find_map(rtx));
    let header_extensions = supported.header_extensions.into_iter().filter_map(|extension| {
        Some(RtpHeaderExtension { direction: direction(extension.uri)?, ..extension })
    });
    RtpCapabilities { codecs, header_extensions: header_extensions.collect() }
}

/// Levels of the H264 profiles. An application that knows its stream signals the level itself.
const H264_PROFILES: [&str; 6] = ["42e01f", "42001f", "4d0032", "640032", "640c32", "f40032"];

/// The codec with each of its profiles; none for a codec whose frames are not known.
fn with_profiles(codec: RtpCodecCapability) -> Vec<RtpCodecCapability> {
    let none = RtpCodecParametersParameters::default;
    let profiles = match codec.mime_type() {
        MimeType::Audio(MimeTypeAudio::Opus) | MimeType::Video(MimeTypeVideo::Vp8 | MimeTypeVideo::AV1) => {
            vec![none()]
        }
        MimeType::Video(MimeTypeVideo::Vp9) => {
            vec![profile(0), profile(2)]
        }
        MimeType::Video(MimeTypeVideo::H264) => H264_PROFILES.map(h264).to_vec(),
        MimeType::Video(MimeTypeVideo::H265) => {
            vec![profile(1), profile(2)]
        }
        _ => Vec::new(),
    };
    let with = |parameters| {
        let mut codec = codec.clone();
        *codec.parameters_mut() = parameters;
        codec
    };
    profiles.into_iter().map(with).collect()
}

fn profile(id: u32) -> RtpCodecParametersParameters {
    RtpCodecParametersParameters::from([("profile-id", id.into())])
}

fn h264(profile_level_id: &'static str) -> RtpCodecParametersParameters {
    RtpCodecParametersParameters::from([
        ("level-asymmetry-allowed", 1_u32.into()),
        ("packetization-mode", 1_u32.into()),
        ("profile-level-id", profile_level_id.into()),
    ])
}

/// The RTX codec of all video codecs.
fn rtx(codec: &RtpCodecCapability) -> Option<RtpCodecCapability> {
    let RtpCodecCapability::Video { clock_rate, .. } = *codec else { return None };
    Some(RtpCodecCapability::Video {
        mime_type: MimeTypeVideo::Rtx,
        preferred_payload_type: None,
        clock_rate,
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: Vec::new(),
    })
}

/// Whether a session writes or reads the extension, as seen from the client.
fn direction(uri: RtpHeaderExtensionUri) -> Option<RtpHeaderExtensionDirection> {
    use RtpHeaderExtensionDirection::{SendOnly, SendRecv};
    use RtpHeaderExtensionUri::*;
    match uri {
        Mid | TransportWideCcDraft01 | SsrcAudioLevel | AbsCaptureTime => Some(SendRecv),
        // A session estimates nothing of what it receives, so that it sends no REMB.
        RtpStreamId | RepairRtpStreamId | AbsSendTime => Some(SendOnly),
        DependencyDescriptor | VideoOrientation | TimeOffset | PlayoutDelay | MediasoupPacketId => None,
    }
}
