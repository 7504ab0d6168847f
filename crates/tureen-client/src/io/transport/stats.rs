//! Statistics of a transport.

use std::net::SocketAddr;
use std::time::Duration;

use tureen_rtc::units::Bitrate;
use tureen_types::data_structures::Protocol;

use super::state::ConnectionState;

/// Counters and state of a transport. Datagrams are those of ICE, DTLS, SRTP and SRTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportStats {
    /// State of the connection.
    pub connection_state: ConnectionState,
    /// The server's address of the selected candidate pair.
    pub selected: Option<SocketAddr>,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Round trip time by the last RTCP reports.
    pub rtt: Option<Duration>,
    /// What may be sent by the estimate, headers included, if video with transport-wide feedback is produced.
    pub target_bitrate: Option<Bitrate>,
    /// What the server wants to receive at most, by its last REMB.
    pub max_outgoing_bitrate: Option<Bitrate>,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Bytes of these.
    pub bytes_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Bytes of these.
    pub bytes_received: u64,
    /// Datagrams that were of no use: malformed, unauthentic, from an unknown stream or address.
    pub datagrams_dropped: u64,
}

impl TransportStats {
    /// Of a transport that has not begun to connect.
    pub(super) fn new(connection_state: ConnectionState) -> Self {
        Self {
            connection_state,
            selected: None,
            protocol: None,
            rtt: None,
            target_bitrate: None,
            max_outgoing_bitrate: None,
            datagrams_sent: 0,
            bytes_sent: 0,
            datagrams_received: 0,
            bytes_received: 0,
            datagrams_dropped: 0,
        }
    }
}
