//! Conversions that both dialects share.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};

use tureen_engine::api::RequestError;
use tureen_types::rtp_parameters::{
    MimeType, RtcpFeedback, RtpCodecParameters, RtpCodecParametersParameters,
};
use tureen_types::sctp_parameters::SctpStreamParameters;

pub(crate) type Parse<T> = Result<T, RequestError>;

pub(crate) fn invalid(text: impl Into<String>) -> RequestError {
    RequestError::Invalid(text.into())
}

pub(crate) fn read_ip(text: &str) -> Parse<IpAddr> {
    text.parse().map_err(|_| invalid(format!("invalid IP {text:?}")))
}

/// Codec in the form of the library.
#[derive(Debug)]
pub(crate) struct CodecWords<'a> {
    pub(crate) mime_type: &'a str,
    pub(crate) payload_type: u8,
    pub(crate) clock_rate: u32,
    pub(crate) channels: Option<u8>,
    pub(crate) parameters: RtpCodecParametersParameters,
    pub(crate) rtcp_feedback: Vec<RtcpFeedback>,
}

pub(crate) fn read_codec(from: CodecWords<'_>) -> Parse<RtpCodecParameters> {
    let CodecWords { mime_type, payload_type, clock_rate, channels, parameters, rtcp_feedback } = from;
    let clock_rate =
        NonZeroU32::new(clock_rate).ok_or_else(|| invalid(format!("clockRate of {mime_type} is 0")))?;
    let mime_type: MimeType =
        mime_type.parse().map_err(|error| invalid(format!("unknown mimeType {mime_type:?}: {error}")))?;
    Ok(match mime_type {
        MimeType::Audio(mime_type) => RtpCodecParameters::Audio {
            mime_type,
            payload_type,
            clock_rate,
            channels: channels.and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN),
            parameters,
            rtcp_feedback,
        },
        MimeType::Video(mime_type) => {
            RtpCodecParameters::Video { mime_type, payload_type, clock_rate, parameters, rtcp_feedback }
        }
    })
}

/// Number of channels, if it is not the default.
pub(crate) fn channels(codec: &RtpCodecParameters) -> Option<u8> {
    match codec {
        RtpCodecParameters::Audio { channels, .. } => Some(channels.get()).filter(|&count| count > 1),
        RtpCodecParameters::Video { .. } => None,
    }
}

/// Keeps unknown feedback, because it is the application's.
pub(crate) fn read_feedback(kind: &str, parameter: Option<&str>) -> RtcpFeedback {
    RtcpFeedback::from_type_parameter(kind, parameter.unwrap_or_default())
        .unwrap_or(RtcpFeedback::Unsupported)
}

/// A stream is ordered by default, unless it is limited in time or retransmissions, as in mediasoup.
pub(crate) fn read_stream_parameters(
    stream_id: u16,
    ordered: Option<bool>,
    max_packet_life_time: Option<u16>,
    max_retransmits: Option<u16>,
) -> SctpStreamParameters {
    let limited = max_packet_life_time.is_some() || max_retransmits.is_some();
    SctpStreamParameters {
        stream_id,
        ordered: ordered.unwrap_or(!limited),
        max_packet_life_time,
        max_retransmits,
    }
}
