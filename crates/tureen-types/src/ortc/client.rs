use std::borrow::Cow;

use thiserror::Error;

use super::codec_match::match_codecs;
use super::validation::{RtpParametersError, validate_rtp_parameters};
use super::{associated_payload_type, find_rtx_codec};
use crate::rtp_parameters::{
    MediaKind, MimeType, MimeTypeAudio, MimeTypeVideo, RtcpFeedback, RtcpParameters, RtpCapabilities,
    RtpCapabilitiesFinalized, RtpCodecCapability, RtpCodecCapabilityFinalized, RtpCodecParameters,
    RtpCodecParametersParameters, RtpHeaderExtension, RtpHeaderExtensionDirection,
    RtpHeaderExtensionParameters, RtpHeaderExtensionUri, RtpParameters,
};

/// Capabilities that a client and a router have in common, with the numbers of both.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ExtendedRtpCapabilities {
    /// Media codecs, in the router's order.
    pub codecs: Vec<ExtendedCodec>,
    /// Header extensions, in the router's order.
    pub header_extensions: Vec<ExtendedHeaderExtension>,
}

/// A media codec that a client and a router have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedCodec {
    /// The codec with the client's payload type and parameters, and the feedback that both have.
    pub local: RtpCodecParameters,
    /// Payload type in the router.
    pub remote_payload_type: u8,
    /// Retransmissions; `None` if one of both has none for the codec.
    pub rtx: Option<ExtendedRtx>,
}

/// Payload types of the RTX codec of an [`ExtendedCodec`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct ExtendedRtx {
    /// Payload type of the client.
    pub local_payload_type: u8,
    /// Payload type in the router.
    pub remote_payload_type: u8,
}

/// A header extension that a client and a router have in common.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct ExtendedHeaderExtension {
    /// Media kind.
    pub kind: MediaKind,
    /// URI.
    pub uri: RtpHeaderExtensionUri,
    /// Id in packets of the client; `None` if the client does not write it or the router does not read it.
    pub send_id: Option<u16>,
    /// Id in packets of the router; `None` if the router does not write it or the client does not read it.
    pub recv_id: Option<u16>,
}

/// Error of [`reduce_codecs`].
#[derive(Debug, Error, Copy, Clone, PartialEq, Eq)]
pub enum ReduceCodecsError {
    /// There is no media codec at all.
    #[error("there is no media codec")]
    NoCodec,
    /// No codec is the wanted one.
    #[error("no codec matches {} with these parameters", .0.as_str())]
    NoMatch(MimeType),
}

impl ExtendedCodec {
    /// Media kind of the codec.
    pub fn kind(&self) -> MediaKind {
        self.local.mime_type().kind()
    }
}

/// Capabilities that the client with `local` and the router with `remote` capabilities have in common.
///
/// A local codec without a preferred payload type takes the router's. A local RTX codec with `apt` retransmits that codec,
/// one without `apt` all codecs of its kind that have none of their own. The directions of `local` header extensions are
/// as seen from the client, those of `remote` as seen from the router.
///
/// mediasoup-client has the payload types of its browser, an `apt` everywhere, and ignores the local directions.
pub fn get_extended_rtp_capabilities(
    local: &RtpCapabilities,
    remote: &RtpCapabilitiesFinalized,
) -> ExtendedRtpCapabilities {
    let media_codecs = remote.codecs.iter().filter(|codec| !codec.is_rtx());
    ExtendedRtpCapabilities {
        codecs: media_codecs.filter_map(|codec| extend_codec(local, remote, codec)).collect(),
        header_extensions: remote
            .header_extensions
            .iter()
            .filter_map(|extension| extend_header_extension(local, extension))
            .collect(),
    }
}

/// Capabilities with which the client joins or consumes: payload types and ids are those of the router, which sends.
pub fn get_recv_rtp_capabilities(extended: &ExtendedRtpCapabilities) -> RtpCapabilities {
    let mut codecs = Vec::new();
    for codec in &extended.codecs {
        codecs.push(to_capability(&codec.local, codec.remote_payload_type));
        codecs.extend(codec.rtx.map(|rtx| {
            let codec = rtx_codec(&codec.local, rtx.remote_payload_type, codec.remote_payload_type);
            to_capability(&codec, rtx.remote_payload_type)
        }));
    }
    let header_extensions = extended.header_extensions.iter().filter_map(|extension| {
        Some(RtpHeaderExtension {
            kind: extension.kind,
            uri: extension.uri,
            preferred_id: extension.recv_id?,
            preferred_encrypt: false,
            direction: match extension.send_id {
                Some(_) => RtpHeaderExtensionDirection::SendRecv,
                None => RtpHeaderExtensionDirection::RecvOnly,
            },
        })
    });
    RtpCapabilities { codecs, header_extensions: header_extensions.collect() }
}

/// RTP parameters of `kind` that the client may send: all codecs, each followed by its RTX codec, and no encodings.
/// [`reduce_codecs`] selects a codec.
pub fn get_sending_rtp_parameters(kind: MediaKind, extended: &ExtendedRtpCapabilities) -> RtpParameters {
    let mut codecs = Vec::new();
    for codec in extended.codecs.iter().filter(|codec| codec.kind() == kind) {
        codecs.push(codec.local.clone());
        codecs.extend(
            codec.rtx.map(|rtx| rtx_codec(&codec.local, rtx.local_payload_type, codec.local.payload_type())),
        );
    }
    let extensions = extended.header_extensions.iter().filter(|extension| extension.kind == kind);
    RtpParameters {
        codecs,
        header_extensions: extensions
            .filter_map(|extension| {
                Some(RtpHeaderExtensionParameters {
                    uri: extension.uri,
                    id: extension.send_id?,
                    encrypt: false,
                })
            })
            .collect(),
        rtcp: RtcpParameters::default(),
        ..RtpParameters::default()
    }
}

/// The wanted codec and its RTX codec, or the first ones if none is wanted.
///
/// A parameter of the wanted codec replaces that of the codec, and parameters that it leaves out are taken from the codec:
/// H264 without parameters is the first H264 codec of any profile. In mediasoup-client a missing parameter has its default.
///
/// # Errors
/// No codec matches.
pub fn reduce_codecs(
    codecs: &[RtpCodecParameters],
    wanted: Option<(MimeType, &RtpCodecParametersParameters)>,
) -> Result<Vec<RtpCodecParameters>, ReduceCodecsError> {
    let mut media_codecs = codecs.iter().filter(|codec| !codec.is_rtx());
    let codec = match wanted {
        None => media_codecs.next().cloned().ok_or(ReduceCodecsError::NoCodec)?,
        Some((mime_type, parameters)) => media_codecs
            .filter(|codec| codec.mime_type() == mime_type)
            .find_map(|codec| with_parameters(codec, parameters))
            .ok_or(ReduceCodecsError::NoMatch(mime_type))?,
    };
    let apt = Some(codec.payload_type());
    let rtx = codecs.iter().find(|rtx| rtx.is_rtx() && associated_payload_type(rtx.parameters()) == apt);
    Ok(std::iter::once(codec).chain(rtx.cloned()).collect())
}

/// True if the client can send media of `kind` to the router.
pub fn can_send(kind: MediaKind, extended: &ExtendedRtpCapabilities) -> bool {
    extended.codecs.iter().any(|codec| codec.kind() == kind)
}

/// True if the client with these receiving capabilities can receive what a consumer with these parameters sends: its first
/// codec is one of them, under the same payload type.
///
/// # Errors
/// The parameters are malformed.
pub fn can_receive(
    parameters: &RtpParameters,
    capabilities: &RtpCapabilities,
) -> Result<bool, RtpParametersError> {
    validate_rtp_parameters(parameters)?;
    let Some(codec) = parameters.codecs.first().filter(|codec| !codec.is_rtx()) else { return Ok(false) };
    Ok(capabilities.codecs.iter().any(|capability| {
        capability.preferred_payload_type() == Some(codec.payload_type())
            && match_codecs(capability, codec).is_some()
    }))
}

fn extend_codec(
    local: &RtpCapabilities,
    remote: &RtpCapabilitiesFinalized,
    remote_codec: &RtpCodecCapabilityFinalized,
) -> Option<ExtendedCodec> {
    let (local_codec, matched) = local
        .codecs
        .iter()
        .filter(|codec| !codec.is_rtx())
        .find_map(|codec| Some((codec, match_codecs(codec, remote_codec)?)))?;
    let remote_payload_type = remote_codec.preferred_payload_type();
    let payload_type = local_codec.preferred_payload_type().unwrap_or(remote_payload_type);
    let mut parameters = local_codec.parameters().clone();
    if let Some(profile_level_id) = matched.profile_level_id {
        parameters.insert("profile-level-id", Cow::Owned(profile_level_id.to_string()));
    }
    let feedback = common_feedback(local_codec.rtcp_feedback(), remote_codec.rtcp_feedback());
    Some(ExtendedCodec {
        local: to_parameters(local_codec, payload_type, parameters, feedback),
        remote_payload_type,
        rtx: extend_rtx(local, remote, local_codec, remote_payload_type),
    })
}

fn extend_rtx(
    local: &RtpCapabilities,
    remote: &RtpCapabilitiesFinalized,
    local_codec: &RtpCodecCapability,
    remote_payload_type: u8,
) -> Option<ExtendedRtx> {
    let remote_rtx = find_rtx_codec(remote, remote_payload_type)?.preferred_payload_type();
    let is_same_kind =
        |rtx: &&RtpCodecCapability| rtx.is_rtx() && rtx.mime_type().kind() == local_codec.mime_type().kind();
    let apt = |rtx: &RtpCodecCapability| associated_payload_type(rtx.parameters());
    let payload_type = local_codec.preferred_payload_type();
    let own = |rtx: &&RtpCodecCapability| payload_type.is_some() && apt(rtx) == payload_type;
    let mut codecs = local.codecs.iter().filter(is_same_kind);
    let shared = codecs.clone().find(|rtx| rtx.parameters().get("apt").is_none());
    let local_rtx = codecs.find(own).or(shared)?;
    Some(ExtendedRtx {
        local_payload_type: local_rtx.preferred_payload_type().unwrap_or(remote_rtx),
        remote_payload_type: remote_rtx,
    })
}

fn extend_header_extension(
    local: &RtpCapabilities,
    remote: &RtpHeaderExtension,
) -> Option<ExtendedHeaderExtension> {
    use RtpHeaderExtensionDirection::{RecvOnly, SendOnly, SendRecv};
    let local = local
        .header_extensions
        .iter()
        .find(|extension| extension.kind == remote.kind && extension.uri == remote.uri)?;
    let sends = |direction| matches!(direction, SendRecv | SendOnly);
    let receives = |direction| matches!(direction, SendRecv | RecvOnly);
    let is_sent = sends(local.direction) && receives(remote.direction);
    let is_received = receives(local.direction) && sends(remote.direction);
    Some(ExtendedHeaderExtension {
        kind: remote.kind,
        uri: remote.uri,
        send_id: is_sent.then_some(local.preferred_id),
        recv_id: is_received.then_some(remote.preferred_id),
    })
}

/// Feedback of both, in the client's order.
fn common_feedback(local: &[RtcpFeedback], remote: &[RtcpFeedback]) -> Vec<RtcpFeedback> {
    local.iter().filter(|feedback| remote.contains(feedback)).copied().collect()
}

/// The codec with other parameters, if it is still of the same profile.
fn with_parameters(
    codec: &RtpCodecParameters,
    parameters: &RtpCodecParametersParameters,
) -> Option<RtpCodecParameters> {
    let mut changed = codec.clone();
    changed.parameters_mut().extend(parameters.clone());
    match_codecs(&changed, codec).map(|_| changed)
}

fn to_parameters(
    codec: &RtpCodecCapability,
    payload_type: u8,
    parameters: RtpCodecParametersParameters,
    rtcp_feedback: Vec<RtcpFeedback>,
) -> RtpCodecParameters {
    match *codec {
        RtpCodecCapability::Audio { mime_type, clock_rate, channels, .. } => RtpCodecParameters::Audio {
            mime_type,
            payload_type,
            clock_rate,
            channels,
            parameters,
            rtcp_feedback,
        },
        RtpCodecCapability::Video { mime_type, clock_rate, .. } => {
            RtpCodecParameters::Video { mime_type, payload_type, clock_rate, parameters, rtcp_feedback }
        }
    }
}

fn to_capability(codec: &RtpCodecParameters, payload_type: u8) -> RtpCodecCapability {
    let preferred_payload_type = Some(payload_type);
    let (parameters, rtcp_feedback) = (codec.parameters().clone(), codec.rtcp_feedback().to_vec());
    match *codec {
        RtpCodecParameters::Audio { mime_type, clock_rate, channels, .. } => RtpCodecCapability::Audio {
            mime_type,
            preferred_payload_type,
            clock_rate,
            channels,
            parameters,
            rtcp_feedback,
        },
        RtpCodecParameters::Video { mime_type, clock_rate, .. } => RtpCodecCapability::Video {
            mime_type,
            preferred_payload_type,
            clock_rate,
            parameters,
            rtcp_feedback,
        },
    }
}

/// The RTX codec of `codec`, which retransmits the payload type `apt`.
fn rtx_codec(codec: &RtpCodecParameters, payload_type: u8, apt: u8) -> RtpCodecParameters {
    let parameters = RtpCodecParametersParameters::from([("apt", apt.into())]);
    let rtcp_feedback = Vec::new();
    match *codec {
        RtpCodecParameters::Audio { clock_rate, channels, .. } => RtpCodecParameters::Audio {
            mime_type: MimeTypeAudio::Rtx,
            payload_type,
            clock_rate,
            channels,
            parameters,
            rtcp_feedback,
        },
        RtpCodecParameters::Video { clock_rate, .. } => RtpCodecParameters::Video {
            mime_type: MimeTypeVideo::Rtx,
            payload_type,
            clock_rate,
            parameters,
            rtcp_feedback,
        },
    }
}
