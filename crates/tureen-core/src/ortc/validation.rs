use std::borrow::Cow;

use thiserror::Error;

use crate::types::rtp_parameters::{
    MimeType, RtpCapabilities, RtpCodecCapability, RtpCodecParametersParameters,
    RtpCodecParametersParametersValue, RtpParameters,
};

/// What is wrong with RTP parameters by themselves.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtpParametersError {
    /// The `apt` of an RTX codec is not a number.
    #[error("Invalid codec apt parameter {0}")]
    InvalidAptParameter(Cow<'static, str>),
}

/// What is wrong with RTP capabilities, or with the media codecs a router shall have.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtpCapabilitiesError {
    /// The SFU can't route this codec with these parameters.
    #[error("Media codec not supported [mime_type:{mime_type:?}]")]
    UnsupportedCodec {
        /// The codec.
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

/// Checks what the JSON schema of RTP parameters does not.
pub fn validate_rtp_parameters(rtp_parameters: &RtpParameters) -> Result<(), RtpParametersError> {
    rtp_parameters.codecs.iter().try_for_each(|codec| {
        validate_apt(codec.parameters()).map_err(RtpParametersError::InvalidAptParameter)
    })
}

/// Checks what the JSON schema of RTP capabilities does not.
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
}
