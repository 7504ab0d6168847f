//! Addresses, ICE, DTLS and other parameters of transports.

mod fingerprint;
mod message;
mod trace;

use std::any::Any;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut, RangeInclusive};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::fingerprint::{DtlsFingerprint, deserialize_known as deserialize_known_fingerprints};
pub use self::message::{OwnedWebRtcMessage, WebRtcMessage};
pub use self::trace::{BweTraceInfo, RtpPacketTraceInfo, SrTraceInfo, SsrcTraceInfo, TraceEventDirection};

/// Application data attached to a worker, router, transport, producer or consumer.
#[derive(Debug, Clone)]
pub struct AppData(Arc<dyn Any + Send + Sync>);

impl AppData {
    /// Wraps a value; `downcast_ref` returns it.
    pub fn new<T: Any + Send + Sync>(app_data: T) -> Self {
        Self(Arc::new(app_data))
    }
}

impl Default for AppData {
    fn default() -> Self {
        Self::new(())
    }
}

impl Deref for AppData {
    type Target = Arc<dyn Any + Send + Sync>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for AppData {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Listening parameters: protocol, address, port and socket options.
///
/// `0.0.0.0` and `::` require an `announced_address`, because they cannot be announced to a peer.
#[derive(Debug, Clone, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenInfo {
    /// UDP or TCP.
    pub protocol: Protocol,
    /// Address to bind to.
    pub ip: IpAddr,
    /// Address or host name that is announced to peers instead, for a host behind NAT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced_address: Option<String>,
    /// True if `ip` is announced to peers too when `announced_address` is given.
    #[serde(default)]
    pub expose_internal_ip: bool,
    /// Port to bind to; if not given, a free one of the worker's range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Range of ports from which one is chosen. `port` is ignored then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<RangeInclusive<u16>>,
    /// Socket flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<SocketFlags>,
    /// Size of the socket's send buffer in bytes; if not given, the system's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer_size: Option<u32>,
    /// Size of the socket's receive buffer in bytes; if not given, the system's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_buffer_size: Option<u32>,
}

/// Flags of UDP and TCP sockets.
#[derive(Default, Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketFlags {
    /// True if an IPv6 socket does not accept IPv4 too.
    pub ipv6_only: bool,
    /// True if several UDP sockets may bind the same address and port (`SO_REUSEPORT`), as multicast to plain
    /// transports requires.
    pub udp_reuse_port: bool,
}

/// Transport protocol.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// ICE role.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IceRole {
    /// Controlled: the peer nominates the candidate pair.
    Controlled,
    /// Controlling: this endpoint nominates the candidate pair.
    Controlling,
}

/// ICE credentials of one endpoint.
#[derive(Debug, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IceParameters {
    /// Username fragment.
    pub username_fragment: String,
    /// Password.
    pub password: String,
    /// True if this endpoint is an ICE lite implementation (RFC 8445 §2.5).
    pub ice_lite: Option<bool>,
}

/// Kind of ICE candidate (RFC 8445 §5.1.1).
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IceCandidateType {
    /// An address of the endpoint itself.
    Host,
    /// Server-reflexive: the endpoint's address as seen by a STUN server.
    Srflx,
    /// Peer-reflexive: the endpoint's address as seen by its peer.
    Prflx,
    /// Relayed: an address on a TURN server.
    Relay,
}

/// Kind of ICE TCP candidate (RFC 6544 §4.5).
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IceCandidateTcpType {
    /// The peer opens the connection.
    Passive,
}

/// ICE candidate.
#[derive(Debug, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// Equal for candidates of the same kind, address and protocol.
    pub foundation: String,
    /// Priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// IP address or host name.
    pub address: String,
    /// UDP or TCP.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
    /// Kind of the candidate; those of the SFU are host candidates.
    pub r#type: IceCandidateType,
    /// Kind of TCP candidate; those of the SFU are passive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_type: Option<IceCandidateTcpType>,
}

/// ICE state.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IceState {
    /// No Binding request has been received yet.
    New,
    /// A valid Binding request has been received, but none with USE-CANDIDATE.
    Connected,
    /// The peer has nominated a candidate pair.
    Completed,
    /// The path was lost, because its TCP connection closed or consent expired.
    Disconnected,
}

/// Local address of a transport and, once known, that of its peer.
///
/// The peer address of a WebRTC transport is learned by ICE; that of plain and pipe transports is passed to `connect`
/// or, with `comedia`, learned from the first packet.
#[derive(Debug, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(untagged)]
pub enum TransportTuple {
    /// Both addresses are known.
    #[serde(rename_all = "camelCase")]
    WithRemote {
        /// Local address or announced host name.
        local_address: String,
        /// Local port.
        local_port: u16,
        /// Address of the peer.
        remote_ip: IpAddr,
        /// Port of the peer.
        remote_port: u16,
        /// UDP or TCP.
        protocol: Protocol,
    },
    /// Only the local address is known.
    #[serde(rename_all = "camelCase")]
    LocalOnly {
        /// Local address or announced host name.
        local_address: String,
        /// Local port.
        local_port: u16,
        /// UDP or TCP.
        protocol: Protocol,
    },
}

impl TransportTuple {
    /// Local address or announced host name.
    pub fn local_address(&self) -> &String {
        let (Self::WithRemote { local_address, .. } | Self::LocalOnly { local_address, .. }) = self;
        local_address
    }

    /// Local port.
    pub fn local_port(&self) -> u16 {
        let (Self::WithRemote { local_port, .. } | Self::LocalOnly { local_port, .. }) = self;
        *local_port
    }

    /// UDP or TCP.
    pub fn protocol(&self) -> Protocol {
        let (Self::WithRemote { protocol, .. } | Self::LocalOnly { protocol, .. }) = self;
        *protocol
    }

    /// Address of the peer.
    pub fn remote_ip(&self) -> Option<IpAddr> {
        match self {
            Self::WithRemote { remote_ip, .. } => Some(*remote_ip),
            Self::LocalOnly { .. } => None,
        }
    }

    /// Port of the peer.
    pub fn remote_port(&self) -> Option<u16> {
        match self {
            Self::WithRemote { remote_port, .. } => Some(*remote_port),
            Self::LocalOnly { .. } => None,
        }
    }
}

/// DTLS state.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DtlsState {
    /// Not started.
    New,
    /// Handshake in progress.
    Connecting,
    /// Handshake completed, SRTP keys available.
    Connected,
    /// Handshake failed.
    Failed,
    /// Closed by either endpoint.
    Closed,
}

/// SCTP state.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SctpState {
    /// Not started.
    New,
    /// Association being set up.
    Connecting,
    /// Association set up.
    Connected,
    /// Association could not be set up.
    Failed,
    /// Closed by either endpoint.
    Closed,
}

/// DTLS role.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub enum DtlsRole {
    /// Determined by the ICE role: the controlled endpoint is the DTLS client.
    #[default]
    Auto,
    /// Client.
    Client,
    /// Server.
    Server,
}

/// DTLS role and certificate fingerprints of one endpoint.
#[derive(Debug, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
pub struct DtlsParameters {
    /// DTLS role.
    pub role: DtlsRole,
    /// Fingerprints of the certificate: any of those with the strongest hash may match (RFC 8122 §5).
    #[serde(deserialize_with = "deserialize_known_fingerprints")]
    pub fingerprints: Vec<DtlsFingerprint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_data_returns_its_value() {
        let app_data = AppData::new("room 7");
        assert_eq!(app_data.downcast_ref::<&str>(), Some(&"room 7"));
        assert_eq!(app_data.clone().downcast_ref::<u32>(), None);
        assert_eq!(AppData::default().downcast_ref::<()>(), Some(&()));
    }

    #[test]
    fn tuple_without_remote_has_no_remote() {
        let json = r#"{"localAddress":"sfu.example","localPort":1,"protocol":"udp"}"#;
        let tuple: TransportTuple = serde_json::from_str(json).unwrap();
        assert_eq!((tuple.local_address().as_str(), tuple.local_port()), ("sfu.example", 1));
        assert_eq!((tuple.remote_ip(), tuple.remote_port()), (None, None));
        assert_eq!(serde_json::to_string(&tuple).unwrap(), json);
    }
}
