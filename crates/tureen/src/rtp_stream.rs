//! RTP streams in the statistics and dumps of producers and consumers.

use serde::{Deserialize, Serialize};
use tureen_engine::api;

use crate::rtp_parameters::{MimeType, MimeTypeAudio, MimeTypeVideo};
use crate::worker::RequestError;

/// Defines the statistics of an RTP stream in one direction: the common fields, and `$field`s with values from the
/// engine's `$stats`.
macro_rules! rtp_stream_stat {
    (
        $(#[$doc:meta])*
        $visibility:vis $name:ident from $stats:ident => {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $value:expr,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct $name {
            /// Milliseconds of the worker's clock.
            pub timestamp: u64,
            /// SSRC.
            pub ssrc: u32,
            /// SSRC of the RTX stream. `None` without RTX.
            pub rtx_ssrc: Option<u32>,
            /// Audio or video.
            pub kind: $crate::rtp_parameters::MediaKind,
            /// Codec of the stream.
            pub mime_type: $crate::rtp_parameters::MimeType,
            /// Packets lost since the start; negative if duplicates outnumber losses (RFC 3550 §6.4.1).
            pub packets_lost: i32,
            /// Share of packets lost between the last two receiver reports, in 1/256 (RFC 3550 §6.4.1).
            pub fraction_lost: u8,
            /// Interarrival jitter in RTP timestamp units (RFC 3550 §6.4.1).
            pub jitter: u32,
            /// Packets discarded because they were late or malformed.
            pub packets_discarded: u64,
            /// Packets retransmitted.
            pub packets_retransmitted: u64,
            /// Lost packets recovered by a retransmission.
            pub packets_repaired: u64,
            /// NACK messages.
            pub nack_count: u64,
            /// Packets requested in NACK messages.
            pub nack_packet_count: u64,
            /// Picture loss indications.
            pub pli_count: u64,
            /// Full intra requests.
            pub fir_count: u64,
            /// Packets of the stream.
            pub packet_count: u64,
            /// Bytes of the stream.
            pub byte_count: u64,
            /// Bitrate in bits per second.
            pub bitrate: u64,
            /// Round trip time in milliseconds. `None` before the first measurement.
            pub round_trip_time: Option<f32>,
            /// Retransmissions discarded because the packet had arrived before. `None` without RTX.
            pub rtx_packets_discarded: Option<u64>,
            /// Score, 0 (no packets) to 10 (perfect).
            pub score: u8,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            $visibility fn from_core(
                $stats: tureen_engine::api::RtpStreamStats,
            ) -> Result<Self, $crate::worker::RequestError> {
                Ok(Self {
                    timestamp: $stats.timestamp_ms,
                    ssrc: $stats.ssrc,
                    rtx_ssrc: $stats.rtx_ssrc,
                    kind: $stats.kind,
                    mime_type: $crate::rtp_stream::parse_mime_type(&$stats.mime_type)?,
                    packets_lost: $stats.packets_lost,
                    fraction_lost: $stats.fraction_lost,
                    jitter: $stats.jitter,
                    packets_discarded: $stats.packets_discarded,
                    packets_retransmitted: $stats.packets_retransmitted,
                    packets_repaired: $stats.packets_repaired,
                    nack_count: $stats.nack_count,
                    nack_packet_count: $stats.nack_packet_count,
                    pli_count: $stats.pli_count,
                    fir_count: $stats.fir_count,
                    packet_count: $stats.packet_count,
                    byte_count: $stats.byte_count,
                    bitrate: $stats.bitrate,
                    round_trip_time: $stats.round_trip_time_ms,
                    rtx_packets_discarded: $stats.rtx_packets_discarded,
                    score: $stats.score,
                    $($field: $value,)*
                })
            }
        }
    };
}

pub(crate) use rtp_stream_stat;

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

/// RTX stream in a dump of RTP parameters.
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
    pub(crate) fn from_core(stream: &api::RtpStreamDump) -> Result<Self, RequestError> {
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
    /// `None` if the stream has no RTX stream.
    pub(crate) fn from_core(stream: &api::RtpStreamDump) -> Result<Option<Self>, RequestError> {
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

pub(crate) fn parse_mime_type(text: &str) -> Result<MimeType, RequestError> {
    text.parse().map_err(|error| RequestError::ResponseConversion(format!("{text:?}: {error}").into()))
}
