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
    /// Bytes that may wait to be sent, over all streams.
    pub send_buffer_size: u32,
    /// Bytes that may wait to be sent on one stream.
    pub per_stream_send_queue_limit: u32,
    /// Bytes of receive window announced to the peer.
    pub max_receiver_window_buffer_size: u32,
    /// Whether the association carries WebRTC data channels (RFC 8831).
    pub is_data_channel: bool,
    /// Outgoing streams. Kept for clients of older versions.
    #[serde(rename = "OS")]
    pub os: u16,
    /// Maximum incoming streams. Kept for clients of older versions.
    #[serde(rename = "MIS")]
    pub mis: u16,
    /// Largest message in bytes. Kept for clients of older versions.
    pub max_message_size: u32,
}

/// What the two ends of an SCTP association agreed on; known once it is connected.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpNegotiatedCapabilities {
    /// Streams this end may send on.
    pub negotiated_max_outbound_streams: u16,
    /// Streams the peer may send on.
    pub negotiated_max_inbound_streams: u16,
}

/// Error detection that replaces the CRC32c of SCTP packets (RFC 9653). It is left out only if both ends announce the
/// same method.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SctpZeroChecksum {
    /// DTLS below SCTP already authenticates every packet.
    SctpOverDtls,
    /// The network between two SFUs is trusted. A private method without an IANA number.
    TrustedNetwork,
    /// Checksums are always sent and verified.
    None,
}

/// Reliability and ordering of one SCTP stream.
///
/// An ordered stream is reliable, so at most one of `max_packet_life_time` and `max_retransmits` may be set, and only
/// when `ordered` is false. The constructors keep to that.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpStreamParameters {
    /// SCTP stream id.
    pub stream_id: u16,
    /// Whether messages arrive in the order they were sent, reliably.
    pub ordered: bool,
    /// Milliseconds after which an unordered message is no longer retransmitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_packet_life_time: Option<u16>,
    /// How often an unordered message is retransmitted at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retransmits: Option<u16>,
}

impl SctpStreamParameters {
    /// A reliable stream that keeps the order of messages.
    #[must_use]
    pub fn new_ordered(stream_id: u16) -> Self {
        Self { stream_id, ordered: true, max_packet_life_time: None, max_retransmits: None }
    }

    /// An unordered stream that gives a message up after `max_packet_life_time` milliseconds.
    #[must_use]
    pub fn new_unordered_with_life_time(stream_id: u16, max_packet_life_time: u16) -> Self {
        Self {
            stream_id,
            ordered: false,
            max_packet_life_time: Some(max_packet_life_time),
            max_retransmits: None,
        }
    }

    /// An unordered stream that gives a message up after `max_retransmits` retransmissions.
    #[must_use]
    pub fn new_unordered_with_retransmits(stream_id: u16, max_retransmits: u16) -> Self {
        Self { stream_id, ordered: false, max_packet_life_time: None, max_retransmits: Some(max_retransmits) }
    }

    /// SCTP stream id.
    #[must_use]
    pub fn stream_id(&self) -> u16 {
        self.stream_id
    }

    /// Whether messages arrive in the order they were sent, reliably.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.ordered
    }

    /// Milliseconds after which an unordered message is no longer retransmitted.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.max_packet_life_time
    }

    /// How often an unordered message is retransmitted at most.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.max_retransmits
    }
}
