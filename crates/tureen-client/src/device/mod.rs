//! Capabilities of this client with a router, sans-IO: mediasoup-client's `Device`.
//!
//! A [`Device`] is loaded with the capabilities of a router. It says what can be produced, with which capabilities the
//! server makes consumers ([`Device::rtp_capabilities`]), and makes the RTP parameters of a producer
//! ([`Device::sending_parameters`]). The matching is [`tureen_types::ortc`].

mod native;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tureen_rtc::sctp::MAX_STREAMS;
use tureen_types::ortc::{
    ExtendedRtpCapabilities, ReduceCodecsError, can_receive, can_send, check_rtp_capabilities,
    check_rtp_parameters, get_extended_rtp_capabilities, get_recv_rtp_capabilities,
    get_sending_rtp_parameters, reduce_codecs, validate_rtp_capabilities,
};
use tureen_types::rtp_parameters::{
    MediaKind, MimeType, MimeTypeAudio, MimeTypeVideo, RtcpFeedback, RtpCapabilities,
    RtpCapabilitiesFinalized, RtpCodecCapability, RtpCodecParameters, RtpCodecParametersParameters,
    RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionUri, RtpParameters,
};

pub use self::native::native_rtp_capabilities;

/// This client with the capabilities of one router. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Device(Arc<Loaded>);

#[derive(Debug)]
struct Loaded {
    extended: ExtendedRtpCapabilities,
    recv: RtpCapabilities,
}

/// What the client can do, to be narrowed or widened by the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Codecs. Those without a preferred payload type take the router's; an RTX codec without `apt` serves all codecs of
    /// its kind.
    pub codecs: Vec<RtpCodecCapability>,
    /// Header extensions, with the directions as seen from the client.
    pub header_extensions: Vec<RtpHeaderExtension>,
}

/// What to produce.
#[derive(Debug, Clone)]
pub struct SendingOptions {
    /// Media kind.
    pub kind: MediaKind,
    /// The codec; `None` for the router's first one of the kind.
    pub codec: Option<CodecPreference>,
    /// The encodings, each with an `ssrc` or a `rid`, lowest quality first. Several with neither get the RIDs `r0`, `r1` and
    /// so on; one with neither is known by its MID. No encodings are one with neither. An `rtx` is left out if the codec is
    /// not retransmitted.
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP canonical name (RFC 7022), the same for all producers of a transport.
    pub cname: Option<String>,
    /// Id of the media section, unique in the transport.
    pub mid: Option<String>,
    /// MediaStream and track id (RFC 8830).
    pub msid: Option<String>,
}

/// A codec that the application wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecPreference {
    /// MIME type.
    pub mime_type: MimeType,
    /// Format parameters. Those that select a profile must match (`profile-id`, `profile-level-id` and
    /// `packetization-mode`, `profile`), the others are signalled as they are (`sprop-stereo`, `usedtx`). What is not given
    /// is that of the client's codec.
    pub parameters: RtpCodecParametersParameters,
}

/// SCTP capabilities as clients signal them.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpCapabilities {
    /// Numbers of streams.
    pub num_streams: NumSctpStreams,
}

/// Numbers of SCTP streams.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct NumSctpStreams {
    /// Number of outgoing streams.
    #[serde(rename = "OS")]
    pub os: u16,
    /// Maximum number of incoming streams.
    #[serde(rename = "MIS")]
    pub mis: u16,
}

/// Why a device can't be loaded, or media can't be produced or consumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The router's capabilities are malformed.
    #[error("the router's RTP capabilities are invalid: {0}")]
    RouterCapabilities(String),
    /// The application's options are malformed.
    #[error("the device's options are invalid: {0}")]
    Options(String),
    /// Client and router have no codec of this kind in common.
    #[error("the router has no {} codec that this client has", name(*.0))]
    CannotProduce(MediaKind),
    /// The router has no such codec, or only with another profile.
    #[error("the router has no codec {}", describe(.0))]
    NoSuchCodec(CodecPreference),
    /// The encodings can't be sent.
    #[error("the encodings can't be sent: {0}")]
    Encodings(String),
    /// RTP parameters are out of range; the text names the parameter and its value.
    #[error("the RTP parameters are invalid: {0}")]
    RtpParameters(String),
    /// The client has no codec of a consumer.
    #[error("codec {mime_type} with payload type {payload_type} can't be received", mime_type = .mime_type.as_str())]
    CannotReceive {
        /// MIME type of the consumer's codec.
        mime_type: MimeType,
        /// Its payload type.
        payload_type: u8,
    },
}

impl Device {
    /// A device with [`native_rtp_capabilities`].
    ///
    /// # Errors
    /// [`DeviceError::RouterCapabilities`].
    pub fn load(router: &RtpCapabilitiesFinalized) -> Result<Self, DeviceError> {
        Self::load_with(router, &DeviceOptions::default())
    }

    /// A device with other capabilities.
    ///
    /// # Errors
    /// [`DeviceError::RouterCapabilities`] or [`DeviceError::Options`].
    pub fn load_with(
        router: &RtpCapabilitiesFinalized,
        options: &DeviceOptions,
    ) -> Result<Self, DeviceError> {
        check(&router.clone().into()).map_err(DeviceError::RouterCapabilities)?;
        let DeviceOptions { codecs, header_extensions } = options.clone();
        let local = RtpCapabilities { codecs, header_extensions };
        check(&local).map_err(DeviceError::Options)?;
        let extended = get_extended_rtp_capabilities(&local, router);
        let recv = get_recv_rtp_capabilities(&extended);
        Ok(Self(Arc::new(Loaded { extended, recv })))
    }

    /// True if the router takes media of this kind from the client.
    pub fn can_produce(&self, kind: MediaKind) -> bool {
        can_send(kind, &self.0.extended)
    }

    /// Capabilities to join or consume with.
    pub fn rtp_capabilities(&self) -> &RtpCapabilities {
        &self.0.recv
    }

    /// SCTP capabilities to create transports or join with.
    pub fn sctp_capabilities(&self) -> SctpCapabilities {
        SctpCapabilities { num_streams: NumSctpStreams { os: MAX_STREAMS, mis: MAX_STREAMS } }
    }

    /// RTP parameters to produce with. They hold one media codec, which comes first, and its RTX codec if there is one.
    /// NACK is left out without RTX, because a [`Session`](crate::Session) retransmits by RTX only.
    ///
    /// # Errors
    /// [`DeviceError::CannotProduce`], [`DeviceError::NoSuchCodec`], [`DeviceError::Encodings`] or
    /// [`DeviceError::RtpParameters`].
    pub fn sending_parameters(&self, options: &SendingOptions) -> Result<RtpParameters, DeviceError> {
        let mut parameters = get_sending_rtp_parameters(options.kind, &self.0.extended);
        parameters.codecs = reduce(&parameters.codecs, options)?;
        if !has_rtx(&parameters) {
            let codecs = parameters.codecs.iter_mut();
            codecs.for_each(|codec| codec.rtcp_feedback_mut().retain(|fb| *fb != RtcpFeedback::Nack));
        }
        parameters.mid = options.mid.clone();
        parameters.msid = options.msid.clone();
        parameters.rtcp.cname = options.cname.clone();
        parameters.encodings = encodings(options, &parameters).map_err(DeviceError::Encodings)?;
        check_rtp_parameters(&parameters).map_err(DeviceError::RtpParameters)?;
        Ok(parameters)
    }

    /// Checks that the client can receive what a consumer with these RTP parameters sends.
    ///
    /// # Errors
    /// [`DeviceError::CannotReceive`], or [`DeviceError::RtpParameters`] if they are not those of a consumer, which has one
    /// encoding with an SSRC.
    pub fn check_receiving(&self, parameters: &RtpParameters) -> Result<(), DeviceError> {
        check_rtp_parameters(parameters).map_err(DeviceError::RtpParameters)?;
        let received = can_receive(parameters, &self.0.recv);
        let is_received = received.map_err(|error| DeviceError::RtpParameters(error.to_string()))?;
        let Some(codec) = parameters.codecs.first() else {
            return Err(DeviceError::RtpParameters("codecs are empty".to_owned()));
        };
        if !is_received {
            let (mime_type, payload_type) = (codec.mime_type(), codec.payload_type());
            return Err(DeviceError::CannotReceive { mime_type, payload_type });
        }
        match &parameters.encodings[..] {
            [RtpEncodingParameters { ssrc: Some(_), .. }] => Ok(()),
            [_] => Err(DeviceError::RtpParameters("the encoding of a consumer has no ssrc".to_owned())),
            all => Err(DeviceError::RtpParameters(format!("{} encodings, a consumer has one", all.len()))),
        }
    }
}

impl Default for DeviceOptions {
    fn default() -> Self {
        let RtpCapabilities { codecs, header_extensions } = native_rtp_capabilities();
        Self { codecs, header_extensions }
    }
}

impl SendingOptions {
    /// One encoding of the router's first codec of this kind, without names.
    pub fn new(kind: MediaKind) -> Self {
        Self { kind, codec: None, encodings: Vec::new(), cname: None, mid: None, msid: None }
    }
}

impl CodecPreference {
    /// The router's first codec of this type, whatever its profile.
    pub fn new(mime_type: MimeType) -> Self {
        Self { mime_type, parameters: RtpCodecParametersParameters::default() }
    }
}

impl From<MimeTypeAudio> for CodecPreference {
    fn from(mime_type: MimeTypeAudio) -> Self {
        Self::new(MimeType::Audio(mime_type))
    }
}

impl From<MimeTypeVideo> for CodecPreference {
    fn from(mime_type: MimeTypeVideo) -> Self {
        Self::new(MimeType::Video(mime_type))
    }
}

fn check(capabilities: &RtpCapabilities) -> Result<(), String> {
    check_rtp_capabilities(capabilities)?;
    validate_rtp_capabilities(capabilities).map_err(|error| error.to_string())?;
    let payload_types: Vec<_> =
        capabilities.codecs.iter().filter_map(RtpCodecCapability::preferred_payload_type).collect();
    let twice = payload_types.iter().enumerate().find(|(at, number)| payload_types[..*at].contains(number));
    twice.map_or(Ok(()), |(_, number)| Err(format!("duplicated preferredPayloadType {number}")))
}

fn reduce(
    codecs: &[RtpCodecParameters],
    options: &SendingOptions,
) -> Result<Vec<RtpCodecParameters>, DeviceError> {
    let wanted = options.codec.as_ref().map(|codec| (codec.mime_type, &codec.parameters));
    reduce_codecs(codecs, wanted).map_err(|error| match (error, &options.codec) {
        (ReduceCodecsError::NoMatch(_), Some(wanted)) => DeviceError::NoSuchCodec(wanted.clone()),
        _ => DeviceError::CannotProduce(options.kind),
    })
}

fn has_rtx(parameters: &RtpParameters) -> bool {
    parameters.codecs.iter().any(RtpCodecParameters::is_rtx)
}

/// The encodings of `options`, completed, for `parameters` that lack nothing else.
fn encodings(
    options: &SendingOptions,
    parameters: &RtpParameters,
) -> Result<Vec<RtpEncodingParameters>, String> {
    let mut encodings = options.encodings.clone();
    if encodings.is_empty() {
        encodings.push(RtpEncodingParameters::default());
    }
    let is_nameless = |encoding: &RtpEncodingParameters| encoding.ssrc.is_none() && encoding.rid.is_none();
    if encodings.len() > 1 && encodings.iter().all(is_nameless) {
        encodings.iter_mut().enumerate().for_each(|(at, encoding)| encoding.rid = Some(format!("r{at}")));
    }
    let has = |uri| parameters.header_extensions.iter().any(|extension| extension.uri == uri);
    let has_mid = parameters.mid.is_some() && has(RtpHeaderExtensionUri::Mid);
    for (at, encoding) in encodings.iter().enumerate() {
        if is_nameless(encoding) && (encodings.len() > 1 || !has_mid) {
            return Err(format!("encoding {at} has neither ssrc nor rid, and no MID of its own"));
        }
        if encoding.ssrc.is_none() && encoding.rid.is_some() && !has(RtpHeaderExtensionUri::RtpStreamId) {
            return Err(format!("encoding {at} has no ssrc, and the router does not read RIDs of its kind"));
        }
        let codec = parameters.codecs.first().map(RtpCodecParameters::payload_type);
        if encoding.codec_payload_type.is_some_and(|payload_type| Some(payload_type) != codec) {
            return Err(format!("encoding {at} has a codecPayloadType that is not that of the codec"));
        }
    }
    if !has_rtx(parameters) {
        encodings.iter_mut().for_each(|encoding| encoding.rtx = None);
    }
    Ok(encodings)
}

fn name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

fn describe(codec: &CodecPreference) -> String {
    let mut text = codec.mime_type.as_str().to_owned();
    for (name, value) in codec.parameters.iter() {
        text.push_str(&format!(" {name}={}", serde_json::json!(value)));
    }
    text
}
