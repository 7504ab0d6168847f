use std::collections::VecDeque;

use super::codec_match::is_same_codec;
use super::supported_rtp_capabilities::get_supported_rtp_capabilities;
use super::validation::{RtpCapabilitiesError, validate_rtp_codec_capability};
use crate::rtp_parameters::{
    MimeTypeVideo, RtpCapabilitiesFinalized, RtpCodecCapability, RtpCodecCapabilityFinalized,
    RtpCodecParametersParameters,
};

/// Capabilities of a router that routes `media_codecs`.
///
/// Each codec keeps its preferred payload type or gets a dynamic one, and each video codec is followed by its RTX
/// codec. RTCP feedback and header extensions are always all that the SFU supports.
pub fn generate_router_rtp_capabilities(
    media_codecs: Vec<RtpCodecCapability>,
) -> Result<RtpCapabilitiesFinalized, RtpCapabilitiesError> {
    let supported = get_supported_rtp_capabilities();
    let mut payload_types = PayloadTypes::default();
    let mut codecs = Vec::<RtpCodecCapabilityFinalized>::new();

    for media_codec in media_codecs {
        validate_rtp_codec_capability(&media_codec)?;
        let supported_codec =
            supported.codecs.iter().find(|supported| is_same_codec(&media_codec, *supported)).ok_or_else(
                || RtpCapabilitiesError::UnsupportedCodec { mime_type: media_codec.mime_type() },
            )?;

        let payload_type = payload_types.choose(&media_codec, supported_codec)?;
        if codecs.iter().any(|codec| codec.preferred_payload_type() == payload_type) {
            return Err(RtpCapabilitiesError::DuplicatedPreferredPayloadType(payload_type));
        }

        let codec = finalize(supported_codec, media_codec, payload_type);
        let rtx_codec = match &codec {
            RtpCodecCapabilityFinalized::Video { .. } => Some(rtx_of(&codec, payload_types.dynamic()?)),
            RtpCodecCapabilityFinalized::Audio { .. } => None,
        };
        codecs.push(codec);
        codecs.extend(rtx_codec);
    }

    Ok(RtpCapabilitiesFinalized { codecs, header_extensions: supported.header_extensions })
}

/// Dynamic payload types (RFC 3551 §6) that are still free, in the order of their assignment.
struct PayloadTypes(VecDeque<u8>);

impl Default for PayloadTypes {
    fn default() -> Self {
        Self((100..=127).chain(96..=99).collect())
    }
}

impl PayloadTypes {
    /// Payload type preferred by the application, else the static one of the codec, else the next dynamic one.
    fn choose(
        &mut self,
        media_codec: &RtpCodecCapability,
        supported_codec: &RtpCodecCapability,
    ) -> Result<u8, RtpCapabilitiesError> {
        if let Some(wanted) = media_codec.preferred_payload_type() {
            self.0.retain(|free| *free != wanted);
            return Ok(wanted);
        }
        supported_codec.preferred_payload_type().map_or_else(|| self.dynamic(), Ok)
    }

    fn dynamic(&mut self) -> Result<u8, RtpCapabilitiesError> {
        self.0.pop_front().ok_or(RtpCapabilitiesError::CannotAllocate)
    }
}

/// Combines the supported codec with the parameters of the application, which take precedence.
fn finalize(
    supported_codec: &RtpCodecCapability,
    mut media_codec: RtpCodecCapability,
    preferred_payload_type: u8,
) -> RtpCodecCapabilityFinalized {
    let mut parameters = supported_codec.parameters().clone();
    parameters.extend(std::mem::take(media_codec.parameters_mut()));
    match supported_codec {
        RtpCodecCapability::Audio { mime_type, clock_rate, channels, rtcp_feedback, .. } => {
            RtpCodecCapabilityFinalized::Audio {
                mime_type: *mime_type,
                preferred_payload_type,
                clock_rate: *clock_rate,
                channels: *channels,
                parameters,
                rtcp_feedback: rtcp_feedback.clone(),
            }
        }
        RtpCodecCapability::Video { mime_type, clock_rate, rtcp_feedback, .. } => {
            RtpCodecCapabilityFinalized::Video {
                mime_type: *mime_type,
                preferred_payload_type,
                clock_rate: *clock_rate,
                parameters,
                rtcp_feedback: rtcp_feedback.clone(),
            }
        }
    }
}

fn rtx_of(codec: &RtpCodecCapabilityFinalized, payload_type: u8) -> RtpCodecCapabilityFinalized {
    RtpCodecCapabilityFinalized::Video {
        mime_type: MimeTypeVideo::Rtx,
        preferred_payload_type: payload_type,
        clock_rate: codec.clock_rate(),
        parameters: RtpCodecParametersParameters::from([("apt", codec.preferred_payload_type().into())]),
        rtcp_feedback: Vec::new(),
    }
}
