use rand::RngCore;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::codec_match::match_codecs;
use super::{associated_payload_type, find_rtx_codec, generate_ssrc};
use crate::rtp_parameters::{MimeType, RtpCapabilitiesFinalized, RtpParameters};
use crate::scalability_modes::ScalabilityMode;

/// Mapping of a producer's payload types and streams to those of its router.
#[derive(Debug, Default, Clone, Ord, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
pub struct RtpMapping {
    /// Mapping of each codec of the producer: media codecs first, then RTX.
    pub codecs: Vec<RtpMappingCodec>,
    /// Mapping of each encoding of the producer, in the same order.
    pub encodings: Vec<RtpMappingEncoding>,
}

/// Mapping of one codec.
#[derive(Debug, Default, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpMappingCodec {
    /// Payload type sent by the endpoint.
    pub payload_type: u8,
    /// Payload type of the same codec in the router.
    pub mapped_payload_type: u8,
}

/// Mapping of one encoding.
#[derive(Debug, Default, Clone, Ord, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpMappingEncoding {
    /// RTP stream id sent by the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// SSRC sent by the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// Layers of the stream.
    #[serde(default, skip_serializing_if = "ScalabilityMode::is_none")]
    pub scalability_mode: ScalabilityMode,
    /// SSRC of the stream in the router.
    pub mapped_ssrc: u32,
}

/// Reason why a router cannot route a producer with these RTP parameters.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtpParametersMappingError {
    /// The router does not support the codec with these parameters.
    #[error("Unsupported codec [mime_type:{mime_type:?}, payloadType:{payload_type}]")]
    UnsupportedCodec {
        /// MIME type of the codec.
        mime_type: MimeType,
        /// Payload type of the codec in the RTP parameters.
        payload_type: u8,
    },
    /// The RTP parameters have an RTX codec for a media codec for which the router has none.
    #[error("No RTX codec for capability codec PT {preferred_payload_type}")]
    UnsupportedRtxCodec {
        /// Payload type of the media codec in the router.
        preferred_payload_type: u8,
    },
    /// An RTX codec is not associated with a media codec of the RTP parameters.
    #[error("Missing media codec found for RTX PT {payload_type}")]
    MissingMediaCodecForRtx {
        /// Payload type of the RTX codec.
        payload_type: u8,
    },
}

/// Finds the router's codec for each codec of a producer, and assigns an SSRC in the router to each of its encodings.
pub fn get_producer_rtp_parameters_mapping(
    rtp_parameters: &RtpParameters,
    rtp_capabilities: &RtpCapabilitiesFinalized,
    rng: &mut impl RngCore,
) -> Result<RtpMapping, RtpParametersMappingError> {
    let encodings = rtp_parameters.encodings.iter().zip(generate_ssrc(rng)..);
    Ok(RtpMapping {
        codecs: map_codecs(rtp_parameters, rtp_capabilities)?,
        encodings: encodings
            .map(|(encoding, mapped_ssrc)| RtpMappingEncoding {
                rid: encoding.rid.clone(),
                ssrc: encoding.ssrc,
                scalability_mode: encoding.scalability_mode.clone(),
                mapped_ssrc,
            })
            .collect(),
    })
}

fn map_codecs(
    rtp_parameters: &RtpParameters,
    rtp_capabilities: &RtpCapabilitiesFinalized,
) -> Result<Vec<RtpMappingCodec>, RtpParametersMappingError> {
    let mut mapping = Vec::<RtpMappingCodec>::with_capacity(rtp_parameters.codecs.len());

    for codec in rtp_parameters.codecs.iter().filter(|codec| !codec.is_rtx()) {
        let capability = rtp_capabilities
            .codecs
            .iter()
            .find(|capability| match_codecs(codec, *capability).is_some())
            .ok_or(RtpParametersMappingError::UnsupportedCodec {
                mime_type: codec.mime_type(),
                payload_type: codec.payload_type(),
            })?;
        mapping.push(RtpMappingCodec {
            payload_type: codec.payload_type(),
            mapped_payload_type: capability.preferred_payload_type(),
        });
    }

    let media_codecs = mapping.len();
    for rtx_codec in rtp_parameters.codecs.iter().filter(|codec| codec.is_rtx()) {
        let apt = associated_payload_type(rtx_codec.parameters());
        let media_codec =
            mapping[..media_codecs].iter().find(|media_codec| Some(media_codec.payload_type) == apt).ok_or(
                RtpParametersMappingError::MissingMediaCodecForRtx { payload_type: rtx_codec.payload_type() },
            )?;
        let capability = find_rtx_codec(rtp_capabilities, media_codec.mapped_payload_type).ok_or(
            RtpParametersMappingError::UnsupportedRtxCodec {
                preferred_payload_type: media_codec.mapped_payload_type,
            },
        )?;
        mapping.push(RtpMappingCodec {
            payload_type: rtx_codec.payload_type(),
            mapped_payload_type: capability.preferred_payload_type(),
        });
    }

    Ok(mapping)
}
