//! RTP streams in the dumps of producers and consumers.

use serde::{Deserialize, Serialize};
use tureen_core::api;

use crate::rtp_parameters::{MimeType, MimeTypeAudio, MimeTypeVideo};
use crate::worker::RequestError;

/// Parameters of an RTP stream.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtpStreamParams {
    pub clock_rate: u32,
    pub cname: String,
    pub encoding_idx: u32,
    pub mime_type: MimeType,
    pub payload_type: u8,
    pub spatial_layers: u8,
    pub ssrc: u32,
    pub temporal_layers: u8,
    pub use_dtx: bool,
    pub use_in_band_fec: bool,
    pub use_nack: bool,
    pub use_pli: bool,
    pub rid: Option<String>,
    pub rtx_ssrc: Option<u32>,
    pub rtx_payload_type: Option<u8>,
}

/// The RTX stream that a dump of RTP parameters names.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtpRtxParameters {
    pub ssrc: Option<u32>,
}

/// Parameters of an RTX stream.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
pub struct RtxStreamParams {
    pub clock_rate: u32,
    pub cname: String,
    pub mime_type: MimeType,
    pub payload_type: u8,
    pub ssrc: u32,
    pub rrid: Option<String>,
}

impl RtpStreamParams {
    pub(super) fn from_core(stream: &api::RtpStreamDump) -> Result<Self, RequestError> {
        Ok(Self {
            clock_rate: stream.clock_rate,
            cname: stream.cname.clone(),
            encoding_idx: stream.encoding_idx,
            mime_type: parse_mime_type(&stream.mime_type)?,
            payload_type: stream.payload_type,
            spatial_layers: stream.spatial_layers,
            ssrc: stream.ssrc,
            temporal_layers: stream.temporal_layers,
            use_dtx: stream.use_dtx,
            use_in_band_fec: stream.use_in_band_fec,
            use_nack: stream.use_nack,
            use_pli: stream.use_pli,
            rid: stream.rid.clone(),
            rtx_ssrc: stream.rtx_ssrc,
            rtx_payload_type: stream.rtx_payload_type,
        })
    }
}

impl RtxStreamParams {
    /// Nothing where the stream has no RTX stream.
    pub(super) fn from_core(stream: &api::RtpStreamDump) -> Result<Option<Self>, RequestError> {
        let (Some(ssrc), Some(payload_type)) = (stream.rtx_ssrc, stream.rtx_payload_type) else {
            return Ok(None);
        };
        Ok(Some(Self {
            clock_rate: stream.clock_rate,
            cname: stream.cname.clone(),
            mime_type: match parse_mime_type(&stream.mime_type)? {
                MimeType::Audio(_) => MimeType::Audio(MimeTypeAudio::Rtx),
                MimeType::Video(_) => MimeType::Video(MimeTypeVideo::Rtx),
            },
            payload_type,
            ssrc,
            rrid: stream.rid.clone(),
        }))
    }
}

pub(super) fn parse_mime_type(text: &str) -> Result<MimeType, RequestError> {
    text.parse().map_err(|error| RequestError::ResponseConversion(format!("{text:?}: {error}").into()))
}
