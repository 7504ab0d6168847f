//! SCTP association and stream parameters.

use serde::{Deserialize, Serialize};

/// Parameters of a transport's SCTP association.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpParameters {
    /// SCTP port, the same at both ends; 5000 by custom.
    pub port: u16,
    /// Largest message that may be sent, in bytes.
    pub max_send_message_size: u32,
    /// Largest message that is accepted, in bytes.
    pub max_receive_message_size: u32,
    /// Maximum number of bytes queued for sending, over all streams.
    pub send_buffer_size: u32,
    /// Maximum number of bytes queued for sending on one stream.
    pub per_stream_send_queue_limit: u32,
    /// Receive window announced to the peer, in bytes.
    pub max_receiver_window_buffer_size: u32,
    /// True if the association carries WebRTC data channels (RFC 8831).
    pub is_data_channel: bool,
    /// Number of outgoing streams. Kept for clients of older versions.
    #[serde(rename = "OS")]
    pub os: u16,
    /// Maximum number of incoming streams. Kept for clients of older versions.
    #[serde(rename = "MIS")]
    pub mis: u16,
    /// Largest message in bytes. Kept for clients of older versions.
    pub max_message_size: u32,
}

/// Capabilities negotiated between the two endpoints of an SCTP association, once it is connected.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpNegotiatedCapabilities {
    /// Number of streams on which this endpoint may send.
    pub negotiated_max_outbound_streams: u16,
    /// Number of streams on which the peer may send.
    pub negotiated_max_inbound_streams: u16,
}

/// Error detection that replaces the CRC32c of SCTP packets (RFC 9653). The checksum is omitted only if both endpoints
/// announce the same method.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SctpZeroChecksum {
    /// DTLS, which already authenticates every packet below SCTP.
    SctpOverDtls,
    /// A trusted network between two SFUs. A private method without an IANA number.
    TrustedNetwork,
    /// No replacement: checksums are always sent and verified.
    None,
}

/// Reliability and ordering of one SCTP stream.
///
/// At most one of `max_packet_life_time` and `max_retransmits` may be set, and only if `ordered` is false, because an
/// ordered stream is reliable. The constructors ensure that.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpStreamParameters {
    /// SCTP stream id.
    pub stream_id: u16,
    /// True if messages are delivered reliably and in the order in which they were sent.
    pub ordered: bool,
    /// Milliseconds after which an unordered message is no longer retransmitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_packet_life_time: Option<u16>,
    /// Maximum number of retransmissions of an unordered message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retransmits: Option<u16>,
}

impl SctpStreamParameters {
    /// Creates a reliable stream that keeps the order of messages.
    #[must_use]
    pub fn new_ordered(stream_id: u16) -> Self {
        Self { stream_id, ordered: true, max_packet_life_time: None, max_retransmits: None }
    }

    /// Creates an unordered stream that abandons a message after `max_packet_life_time` milliseconds.
    #[must_use]
    pub fn new_unordered_with_life_time(stream_id: u16, max_packet_life_time: u16) -> Self {
        Self {
            stream_id,
            ordered: false,
            max_packet_life_time: Some(max_packet_life_time),
            max_retransmits: None,
        }
    }

    /// Creates an unordered stream that abandons a message after `max_retransmits` retransmissions.
    #[must_use]
    pub fn new_unordered_with_retransmits(stream_id: u16, max_retransmits: u16) -> Self {
        Self { stream_id, ordered: false, max_packet_life_time: None, max_retransmits: Some(max_retransmits) }
    }

    /// SCTP stream id.
    #[must_use]
    pub fn stream_id(&self) -> u16 {
        self.stream_id
    }

    /// True if messages are delivered reliably and in the order in which they were sent.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.ordered
    }

    /// Milliseconds after which an unordered message is no longer retransmitted.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.max_packet_life_time
    }

    /// Maximum number of retransmissions of an unordered message.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.max_retransmits
    }
}
