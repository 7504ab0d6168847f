use serde::{Deserialize, Serialize};

/// Which way a traced packet goes, as seen from the SFU.
#[derive(Debug, Copy, Clone, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceEventDirection {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// An RTP packet in a trace event.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpPacketTraceInfo {
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence_number: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// SSRC.
    pub ssrc: u32,
    /// Whether it belongs to a key frame.
    pub is_key_frame: bool,
    /// Bytes of the packet.
    pub size: u32,
    /// Bytes of the payload.
    pub payload_size: u32,
    /// Spatial layer, counted from 0.
    pub spatial_layer: u8,
    /// Temporal layer, counted from 0.
    pub temporal_layer: u8,
    /// MID header extension.
    pub mid: Option<String>,
    /// RTP stream id header extension.
    pub rid: Option<String>,
    /// Repaired RTP stream id header extension.
    pub rrid: Option<String>,
    /// Transport-wide sequence number header extension.
    pub wide_sequence_number: Option<u16>,
    /// Whether it is a retransmission.
    #[serde(default)]
    pub is_rtx: bool,
}

/// A stream in a trace event about a PLI or FIR.
#[derive(Debug, Copy, Clone, Deserialize, Serialize)]
pub struct SsrcTraceInfo {
    /// SSRC.
    pub ssrc: u32,
}

/// Bandwidth estimation in a trace event, in bits per second.
#[derive(Debug, Copy, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BweTraceInfo {
    /// What the consumers would like.
    pub desired_bitrate: u64,
    /// Lower bound.
    pub min_bitrate: u64,
    /// Upper bound.
    pub max_bitrate: u64,
    /// The estimate.
    pub available_bitrate: u64,
}

/// An RTCP sender report (RFC 3550 §6.4.1) in a trace event.
#[derive(Debug, Copy, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SrTraceInfo {
    /// SSRC of the sender.
    pub ssrc: u32,
    /// NTP time, seconds.
    pub ntp_sec: u32,
    /// NTP time, fraction of a second in units of 2^-32.
    pub ntp_frac: u32,
    /// RTP time of the same moment.
    pub rtp_ts: u32,
    /// Packets sent.
    pub packet_count: u32,
    /// Payload bytes sent.
    pub octet_count: u32,
}
