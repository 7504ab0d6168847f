use super::find_rtx_codec;
use super::producer_mapping::RtpMapping;
use crate::rtp_parameters::{
    MediaKind, RtcpParameters, RtpCapabilitiesFinalized, RtpCodecCapabilityFinalized, RtpCodecParameters,
    RtpCodecParametersParameters, RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionDirection,
    RtpHeaderExtensionParameters, RtpHeaderExtensionUri, RtpParameters,
};

/// RTP parameters from which consumers of a producer may select: those of the producer in the terms of its router.
///
/// `rtp_mapping` must be that of the same parameters and capabilities; codecs not listed in it are left out.
pub fn get_consumable_rtp_parameters(
    kind: MediaKind,
    params: &RtpParameters,
    caps: &RtpCapabilitiesFinalized,
    rtp_mapping: &RtpMapping,
) -> RtpParameters {
    RtpParameters {
        mid: None,
        codecs: consumable_codecs(params, caps, rtp_mapping),
        header_extensions: caps
            .header_extensions
            .iter()
            .filter(|extension| is_consumable(extension, kind, params))
            .map(|extension| RtpHeaderExtensionParameters {
                uri: extension.uri,
                id: extension.preferred_id,
                encrypt: extension.preferred_encrypt,
            })
            .collect(),
        encodings: params
            .encodings
            .iter()
            .zip(&rtp_mapping.encodings)
            .map(|(encoding, mapping)| RtpEncodingParameters {
                ssrc: Some(mapping.mapped_ssrc),
                rid: None,
                codec_payload_type: None,
                rtx: None,
                ..encoding.clone()
            })
            .collect(),
        rtcp: RtcpParameters { cname: params.rtcp.cname.clone(), reduced_size: true },
        msid: params.msid.clone(),
    }
}

/// Each media codec of the producer, followed by its RTX codec even if the producer has none.
fn consumable_codecs(
    params: &RtpParameters,
    caps: &RtpCapabilitiesFinalized,
    rtp_mapping: &RtpMapping,
) -> Vec<RtpCodecParameters> {
    let mut codecs = Vec::new();
    for codec in params.codecs.iter().filter(|codec| !codec.is_rtx()) {
        let capability =
            rtp_mapping.codecs.iter().find(|mapping| mapping.payload_type == codec.payload_type()).and_then(
                |mapping| {
                    caps.codecs.iter().find(|cap| cap.preferred_payload_type() == mapping.mapped_payload_type)
                },
            );
        let Some(capability) = capability else { continue };
        // The producer's own parameters are used, because they describe the stream that is sent.
        codecs.push(to_codec_parameters(capability, codec.parameters().clone()));
        if let Some(rtx) = find_rtx_codec(caps, capability.preferred_payload_type()) {
            codecs.push(to_codec_parameters(rtx, rtx.parameters().clone()));
        }
    }
    codecs
}

fn to_codec_parameters(
    capability: &RtpCodecCapabilityFinalized,
    parameters: RtpCodecParametersParameters,
) -> RtpCodecParameters {
    match capability {
        RtpCodecCapabilityFinalized::Audio {
            mime_type,
            preferred_payload_type,
            clock_rate,
            channels,
            rtcp_feedback,
            ..
        } => RtpCodecParameters::Audio {
            mime_type: *mime_type,
            payload_type: *preferred_payload_type,
            clock_rate: *clock_rate,
            channels: *channels,
            parameters,
            rtcp_feedback: rtcp_feedback.clone(),
        },
        RtpCodecCapabilityFinalized::Video {
            mime_type,
            preferred_payload_type,
            clock_rate,
            rtcp_feedback,
            ..
        } => RtpCodecParameters::Video {
            mime_type: *mime_type,
            payload_type: *preferred_payload_type,
            clock_rate: *clock_rate,
            parameters,
            rtcp_feedback: rtcp_feedback.clone(),
        },
    }
}

fn is_consumable(extension: &RtpHeaderExtension, kind: MediaKind, params: &RtpParameters) -> bool {
    let is_sent = matches!(
        extension.direction,
        RtpHeaderExtensionDirection::SendRecv | RtpHeaderExtensionDirection::SendOnly
    );
    // The capture time is forwarded only, so a consumer has it only if the producer does.
    let is_available = extension.uri != RtpHeaderExtensionUri::AbsCaptureTime
        || params.header_extensions.iter().any(|produced| produced.uri == extension.uri);
    extension.kind == kind && is_sent && is_available
}
