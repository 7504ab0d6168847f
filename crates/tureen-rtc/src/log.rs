//! Targets of log lines: the topics of mediasoup's log tags, independent of modules.

/// ICE and its connections.
pub const ICE: &str = "tureen::ice";
/// DTLS.
pub const DTLS: &str = "tureen::dtls";
/// RTP: packets, Producers, Consumers.
pub const RTP: &str = "tureen::rtp";
/// Data channels: associations and streams.
pub const SCTP: &str = "tureen::sctp";
