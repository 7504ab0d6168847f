use serde::{Deserialize, Serialize};

/// Direction of a traced packet as seen from the SFU.
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
    /// True if the packet belongs to a key frame.
    pub is_key_frame: bool,
    /// Size of the packet in bytes.
    pub size: u32,
    /// Size of the payload in bytes.
    pub payload_size: u32,
    /// Spatial layer, counted from 0.
    pub spatial_layer: u8,
    /// Temporal layer, counted from 0.
    pub temporal_layer: u8,
    /// Value of the MID header extension.
    pub mid: Option<String>,
    /// Value of the RTP stream id header extension.
    pub rid: Option<String>,
    /// Value of the repaired RTP stream id header extension.
    pub rrid: Option<String>,
    /// Value of the transport-wide sequence number header extension.
    pub wide_sequence_number: Option<u16>,
    /// True if the packet is a retransmission.
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
    /// Bitrate that the consumers would use without a limit.
    pub desired_bitrate: u64,
    /// Lower limit of the estimate.
    pub min_bitrate: u64,
    /// Upper limit of the estimate.
    pub max_bitrate: u64,
    /// Estimated available bitrate.
    pub available_bitrate: u64,
}

/// An RTCP sender report (RFC 3550 §6.4.1) in a trace event.
#[derive(Debug, Copy, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SrTraceInfo {
    /// SSRC of the sender.
    pub ssrc: u32,
    /// Seconds of the NTP time.
    pub ntp_sec: u32,
    /// Fraction of a second of the NTP time, in units of 2^-32.
    pub ntp_frac: u32,
    /// RTP timestamp of the same instant.
    pub rtp_ts: u32,
    /// Number of packets sent.
    pub packet_count: u32,
    /// Number of payload bytes sent.
    pub octet_count: u32,
}
