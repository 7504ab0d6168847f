use rand::RngCore;
use thiserror::Error;

use super::codec_match::match_codecs;
use super::validation::{RtpCapabilitiesError, validate_rtp_capabilities};
use super::{associated_payload_type, generate_ssrc, is_bwe_extension};
use crate::rtp_parameters::{
    RtcpFeedback, RtpCapabilities, RtpCodecParameters, RtpEncodingParameters, RtpEncodingParametersRtx,
    RtpHeaderExtensionParameters, RtpHeaderExtensionUri, RtpParameters,
};
use crate::scalability_modes::ScalabilityMode;

/// Reason why an endpoint cannot consume a producer.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum ConsumerRtpParametersError {
    /// The capabilities of the endpoint are malformed.
    #[error("Invalid capabilities: {0}")]
    InvalidCapabilities(RtpCapabilitiesError),
    /// The endpoint does not support the producer's codec.
    #[error("No compatible media codecs")]
    NoCompatibleMediaCodecs,
}

/// True if an endpoint with these capabilities can consume the producer with these consumable RTP parameters.
pub fn can_consume(
    consumable_params: &RtpParameters,
    caps: &RtpCapabilities,
) -> Result<bool, RtpCapabilitiesError> {
    validate_rtp_capabilities(caps)?;
    let first_match = consumable_params
        .codecs
        .iter()
        .find(|codec| caps.codecs.iter().any(|capability| match_codecs(capability, *codec).is_some()));
    Ok(first_match.is_some_and(|codec| !codec.is_rtx()))
}

/// RTP parameters of a consumer: the consumable ones reduced to the capabilities of the endpoint, with one encoding.
///
/// With `pipe` all encodings are kept, because all streams are forwarded unchanged. Without `enable_rtx` RTX and NACK
/// are removed, without `enable_bwe` all that serves bandwidth estimation. The caller sets the MID.
pub fn get_consumer_rtp_parameters(
    consumable_rtp_parameters: &RtpParameters,
    remote_rtp_capabilities: &RtpCapabilities,
    pipe: bool,
    enable_rtx: bool,
    enable_bwe: bool,
    rng: &mut impl RngCore,
) -> Result<RtpParameters, ConsumerRtpParametersError> {
    validate_rtp_capabilities(remote_rtp_capabilities)
        .map_err(ConsumerRtpParametersError::InvalidCapabilities)?;

    let mut codecs = common_codecs(consumable_rtp_parameters, remote_rtp_capabilities, enable_rtx);
    if codecs.first().is_none_or(RtpCodecParameters::is_rtx) {
        return Err(ConsumerRtpParametersError::NoCompatibleMediaCodecs);
    }
    let has_rtx = codecs.iter().any(RtpCodecParameters::is_rtx);
    let header_extensions =
        common_header_extensions(consumable_rtp_parameters, remote_rtp_capabilities, enable_bwe);
    reduce_bwe_feedback(&mut codecs, &header_extensions);

    let encodings = &consumable_rtp_parameters.encodings;
    Ok(RtpParameters {
        mid: None,
        codecs,
        header_extensions,
        encodings: if pipe {
            pipe_encodings(encodings, has_rtx, rng)
        } else {
            vec![encoding(encodings, has_rtx, rng)]
        },
        rtcp: consumable_rtp_parameters.rtcp.clone(),
        msid: consumable_rtp_parameters.msid.clone(),
    })
}

/// RTP parameters of a consumer that forwards all encodings to another router.
///
/// Bandwidth estimation and the MID are removed, because they are specific to each transport. Without `enable_rtx` RTX
/// and NACK are removed too.
pub fn get_pipe_consumer_rtp_parameters(
    consumable_rtp_parameters: &RtpParameters,
    enable_rtx: bool,
    rng: &mut impl RngCore,
) -> RtpParameters {
    let mut params = RtpParameters { mid: None, ..consumable_rtp_parameters.clone() };
    disable_bwe_in_rtp_parameters(&mut params);
    params.header_extensions.retain(|extension| extension.uri != RtpHeaderExtensionUri::Mid);
    if !enable_rtx {
        params.codecs.retain(|codec| !codec.is_rtx());
        for codec in &mut params.codecs {
            codec.rtcp_feedback_mut().retain(|feedback| *feedback != RtcpFeedback::Nack);
        }
    }
    params.encodings = pipe_encodings(&params.encodings, enable_rtx, rng);
    params
}

/// Removes all that serves bandwidth estimation, for a transport without it.
pub fn disable_bwe_in_rtp_parameters(rtp_parameters: &mut RtpParameters) {
    rtp_parameters.header_extensions.retain(|extension| !is_bwe_extension(extension.uri));
    reduce_bwe_feedback(&mut rtp_parameters.codecs, &rtp_parameters.header_extensions);
}

/// Consumable codecs that the endpoint supports, with the RTCP feedback of the endpoint. RTX codecs of other codecs are
/// removed.
fn common_codecs(
    consumable: &RtpParameters,
    remote: &RtpCapabilities,
    enable_rtx: bool,
) -> Vec<RtpCodecParameters> {
    let mut codecs = Vec::<RtpCodecParameters>::new();
    for codec in consumable.codecs.iter().filter(|codec| enable_rtx || !codec.is_rtx()) {
        let capability = remote.codecs.iter().find(|capability| match_codecs(*capability, codec).is_some());
        let Some(capability) = capability else { continue };
        let mut codec = codec.clone();
        *codec.rtcp_feedback_mut() = capability
            .rtcp_feedback()
            .iter()
            .filter(|feedback| enable_rtx || **feedback != RtcpFeedback::Nack)
            .copied()
            .collect();
        codecs.push(codec);
    }

    let media_payload_types = codecs
        .iter()
        .filter(|codec| !codec.is_rtx())
        .map(RtpCodecParameters::payload_type)
        .collect::<Vec<_>>();
    codecs.retain(|codec| {
        !codec.is_rtx()
            || associated_payload_type(codec.parameters())
                .is_some_and(|apt| media_payload_types.contains(&apt))
    });
    codecs
}

/// Consumable header extensions that the endpoint has under the same id. As in mediasoup, the media kind for which the
/// endpoint listed them is ignored.
fn common_header_extensions(
    consumable: &RtpParameters,
    remote: &RtpCapabilities,
    enable_bwe: bool,
) -> Vec<RtpHeaderExtensionParameters> {
    consumable
        .header_extensions
        .iter()
        .filter(|extension| enable_bwe || !is_bwe_extension(extension.uri))
        .filter(|extension| {
            remote
                .header_extensions
                .iter()
                .any(|remote| remote.uri == extension.uri && remote.preferred_id == extension.id)
        })
        .cloned()
        .collect()
}

/// Keeps one kind of bandwidth estimation feedback: transport-cc if its header extension is present, else REMB if its
/// own is.
fn reduce_bwe_feedback(codecs: &mut [RtpCodecParameters], extensions: &[RtpHeaderExtensionParameters]) {
    let has = |uri| extensions.iter().any(|extension| extension.uri == uri);
    let transport_cc = has(RtpHeaderExtensionUri::TransportWideCcDraft01);
    let remb = has(RtpHeaderExtensionUri::AbsSendTime) && !transport_cc;
    for codec in codecs {
        codec.rtcp_feedback_mut().retain(|feedback| match feedback {
            RtcpFeedback::TransportCc => transport_cc,
            RtcpFeedback::GoogRemb => remb,
            _ => true,
        });
    }
}

/// The single encoding of a consumer, which represents all `encodings` of its producer.
fn encoding(
    encodings: &[RtpEncodingParameters],
    has_rtx: bool,
    rng: &mut impl RngCore,
) -> RtpEncodingParameters {
    let ssrc = generate_ssrc(rng);
    RtpEncodingParameters {
        ssrc: Some(ssrc),
        rtx: has_rtx.then_some(RtpEncodingParametersRtx { ssrc: ssrc + 1 }),
        scalability_mode: scalability_mode(encodings),
        max_bitrate: encodings.iter().filter_map(|encoding| encoding.max_bitrate).max(),
        ..RtpEncodingParameters::default()
    }
}

/// Layers among which a consumer may select: the encodings of a simulcast are its spatial layers.
fn scalability_mode(encodings: &[RtpEncodingParameters]) -> ScalabilityMode {
    let mode = encodings
        .iter()
        .map(|encoding| &encoding.scalability_mode)
        .find(|mode| !mode.is_none())
        .unwrap_or(&ScalabilityMode::None);
    if encodings.len() <= 1 {
        return mode.clone();
    }
    // Names of modes have at most 99 layers.
    let (spatial, temporal) = (encodings.len().min(99), mode.temporal_layers().get().min(99));
    format!("L{spatial}T{temporal}").parse().expect("1 to 99 layers of each kind have the form of a mode")
}

/// All encodings with SSRCs of their own: first those of the media streams, then those of their RTX streams.
fn pipe_encodings(
    encodings: &[RtpEncodingParameters],
    has_rtx: bool,
    rng: &mut impl RngCore,
) -> Vec<RtpEncodingParameters> {
    let mut ssrcs = generate_ssrc(rng)..;
    let media_ssrcs = ssrcs.by_ref().take(encodings.len()).collect::<Vec<_>>();
    encodings
        .iter()
        .zip(media_ssrcs)
        .zip(ssrcs)
        .map(|((encoding, ssrc), rtx_ssrc)| RtpEncodingParameters {
            ssrc: Some(ssrc),
            rtx: has_rtx.then_some(RtpEncodingParametersRtx { ssrc: rtx_ssrc }),
            ..encoding.clone()
        })
        .collect()
}
