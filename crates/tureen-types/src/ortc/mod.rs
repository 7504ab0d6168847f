//! Capability matching (ORTC): codecs, header extensions and streams of a router, a producer and a consumer.
//!
//! All functions are pure functions over [`crate`]. The engine calls only the checks of parameters; the `tureen`
//! library and the client's device call the other functions and pass final parameters to the engine. The order of
//! calls:
//!
//! 1. A router is created from media codecs: [`generate_router_rtp_capabilities`].
//! 2. An endpoint produces: [`validate_rtp_parameters`], then [`get_producer_rtp_parameters_mapping`] maps its payload
//!    types and streams to those of the router, and [`get_consumable_rtp_parameters`] returns the parameters from which
//!    consumers may select.
//! 3. An endpoint consumes: [`validate_rtp_capabilities`], [`can_consume`], then [`get_consumer_rtp_parameters`], or
//!    [`get_pipe_consumer_rtp_parameters`] for another router.
//!
//! A client matches its own with the router's capabilities by [`get_extended_rtp_capabilities`]. From these follow
//! [`get_recv_rtp_capabilities`], with which it consumes, and [`get_sending_rtp_parameters`] with [`reduce_codecs`], with
//! which it produces.
//!
//! Names and rules are those of mediasoup 3.27 with these differences: H265 is a codec; H265 and AV1 profiles must
//! match; the dependency descriptor header extension is forwarded to consumers; SSRCs are generated from the caller's
//! random source.

pub mod codec_match;
pub mod h264_profile_level_id;
pub mod supported_rtp_capabilities;

mod client;
mod consumable;
mod consumer;
mod producer_mapping;
mod router_capabilities;
mod validation;

#[cfg(test)]
mod browser_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod tests;

pub use self::client::{
    ExtendedCodec, ExtendedHeaderExtension, ExtendedRtpCapabilities, ExtendedRtx, ReduceCodecsError,
    can_receive, can_send, get_extended_rtp_capabilities, get_recv_rtp_capabilities,
    get_sending_rtp_parameters, reduce_codecs,
};
pub use self::consumable::get_consumable_rtp_parameters;
pub use self::consumer::{
    ConsumerRtpParametersError, can_consume, disable_bwe_in_rtp_parameters, get_consumer_rtp_parameters,
    get_pipe_consumer_rtp_parameters,
};
pub use self::producer_mapping::{
    RtpMapping, RtpMappingCodec, RtpMappingEncoding, RtpParametersMappingError,
    get_producer_rtp_parameters_mapping,
};
pub use self::router_capabilities::generate_router_rtp_capabilities;
pub use self::validation::{
    RtpCapabilitiesError, RtpParametersError, bounds, check_kind, check_rtp_capabilities,
    check_rtp_parameters, validate_rtp_capabilities, validate_rtp_parameters,
};

use rand::{Rng, RngCore};

use crate::rtp_parameters::{
    RtpCapabilitiesFinalized, RtpCodecCapabilityFinalized, RtpCodecParametersParameters,
    RtpCodecParametersParametersValue, RtpHeaderExtensionUri,
};

/// Random SSRC of nine digits, which leaves values above it for the other SSRCs of the stream.
fn generate_ssrc(rng: &mut impl RngCore) -> u32 {
    rng.random_range(100_000_000..1_000_000_000)
}

/// Payload type that an RTX codec retransmits (RFC 4588 §8.6).
fn associated_payload_type(parameters: &RtpCodecParametersParameters) -> Option<u8> {
    match parameters.get("apt") {
        Some(RtpCodecParametersParametersValue::Number(apt)) => u8::try_from(*apt).ok(),
        _ => None,
    }
}

/// RTX codec of the router for its media codec of `payload_type`.
fn find_rtx_codec(caps: &RtpCapabilitiesFinalized, payload_type: u8) -> Option<&RtpCodecCapabilityFinalized> {
    caps.codecs
        .iter()
        .find(|codec| codec.is_rtx() && associated_payload_type(codec.parameters()) == Some(payload_type))
}

/// True if a header extension serves bandwidth estimation only.
fn is_bwe_extension(uri: RtpHeaderExtensionUri) -> bool {
    matches!(uri, RtpHeaderExtensionUri::AbsSendTime | RtpHeaderExtensionUri::TransportWideCcDraft01)
}
