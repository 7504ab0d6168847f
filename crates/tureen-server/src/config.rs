//! The settings of a room server: one struct, with defaults, readable from a TOML file.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{access::AuthConfig, addresses, networks::Network};

/// Range of the ICE consent time-out, as in mediasoup.
const ICE_CONSENT: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(60);

/// Settings of a room server; every key has a default.
///
/// In a TOML file the keys have the names of the fields. A key that is not known is an error that names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where HTTPS and WSS are served. Port 0 takes any free port. Default `0.0.0.0:4443`.
    pub listen: SocketAddr,
    /// Media workers: one thread and one RTC port each. 0 (the default) means one per core.
    pub workers: usize,
    /// Where the server keeps what it makes by itself (the self-signed certificate).
    /// Default `$XDG_STATE_HOME/tureen`, else `~/.local/state/tureen`, without a home `tureen` among the temporary files. It
    /// must be the user's own: the server does not start with one that others own or may write to.
    pub state_dir: Option<PathBuf>,
    /// Origins (`https://host`, `https://host:port`) of web pages on other hosts that may use this server; `*` is all of them.
    /// Pages of the host that a request is for may always, on whatever port; but without TLS, as behind a proxy, a host name
    /// other than localhost must be listed here, or be `rtc.announce`. Default: none.
    pub allowed_origins: Vec<String>,
    /// Networks of proxies in front of this server (`10.0.0.0/8`, `127.0.0.1`): what they say in `X-Forwarded-For` counts as the
    /// client's address, and their own connections have no limit for each address. Default: none.
    pub trusted_proxies: Vec<Network>,
    /// Keys of access tokens. Default: none, so that everybody may enter every room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// Certificate of the web server.
    pub tls: TlsConfig,
    /// Addresses and bit rates of the media transports.
    pub rtc: RtcConfig,
    /// Bounds of the state that clients can cause.
    pub limits: Limits,
    /// Times that the server waits.
    pub timeouts: Timeouts,
}

/// `[tls]`: the certificate of HTTPS and WSS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Serve HTTPS. `false` serves plain HTTP, for use behind a proxy that does TLS: browsers give no camera to
    /// plain HTTP pages other than localhost's. Default `true`.
    pub enabled: bool,
    /// Certificate chain (PEM). Without it a self-signed certificate is made once and kept in `state_dir`.
    pub cert: Option<PathBuf>,
    /// Private key of `cert` (PEM).
    pub key: Option<PathBuf>,
}

/// `[rtc]`: how media reaches the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RtcConfig {
    /// Local addresses for media, UDP and TCP. Empty (the default) means `announce` if that is an address of this machine,
    /// else this machine's address in its network, and in both cases the loopback address.
    pub listen: Vec<IpAddr>,
    /// Address or host name that clients are told in place of the local ones (loopback excepted): the public
    /// address of a machine behind NAT. An address of this machine must be one that media is received on.
    pub announce: Option<String>,
    /// Port of the first worker; each further worker takes the next one. 0 takes any free port. Default 44444.
    pub port: u16,
    /// First and last port of plain transports (RTP without WebRTC, of broadcasters). Default 40000 to 49999.
    pub plain_ports: RangeInclusive<u16>,
    /// Bandwidth estimate of a transport before the first feedback (bit/s). Default 1 000 000.
    pub initial_available_outgoing_bitrate: u64,
    /// Networks that `plain-connect` may have media sent to although nothing has come from there yet, such as those of
    /// recorders. Elsewhere an address is sent nothing before a first datagram has come from it, because anybody can name
    /// anybody's. Multicast, broadcast and link-local addresses must be listed too. Default: none.
    pub plain_connect_to: Vec<Network>,
    /// Highest bitrate from a client on one transport (bit/s, told to it by REMB); 0 means no limit. Default 1 500 000.
    pub max_incoming_bitrate: u64,
}

/// `[limits]`: bounds of the state that clients can cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open TCP connections; further ones wait in the kernel's queue. Default 10 000.
    pub max_connections: usize,
    /// Rooms at a time. Default 10 000.
    pub max_rooms: usize,
    /// Peers in one room. Default 500.
    pub max_peers_per_room: usize,
    /// Transports of one peer. Default 8.
    pub max_transports_per_peer: usize,
    /// Producers of one peer. Default 32.
    pub max_producers_per_peer: usize,
    /// Data producers (data channels) of one peer, those it closed included. Everybody else in the room holds a data channel
    /// for each. mediasoup-demo makes two. Default 8.
    pub max_data_producers_per_peer: usize,
    /// Data channels that a peer is given of the others' data producers. Default 1024.
    pub max_data_consumers_per_peer: usize,
    /// Broadcasters in one room. Default 32.
    pub max_broadcasters_per_room: usize,
    /// Broadcasters that one address may have, in all rooms (an IPv6 network of 64 bits counts as one). Default 16.
    pub max_broadcasters_per_address: usize,
    /// Broadcasters in all rooms. Default 256.
    pub max_broadcasters: usize,
    /// UDP sockets of plain transports, two each where RTCP has its own: each is a file descriptor. Default 1024, but no
    /// more than a quarter of what the system allows.
    pub max_plain_sockets: usize,
    /// Consumers of the peers of one room, which grow with the square of its peers; each takes some 7 kB. What is beyond is
    /// neither seen nor heard. Default 20 000.
    pub max_consumers_per_room: usize,
    /// The same for all rooms of a media worker. Default 50 000.
    pub max_consumers_per_worker: usize,
    /// Open TCP connections of one address (an IPv6 network of 64 bits counts as one): all who share a NAT. See
    /// `trusted_proxies`. Each may hold a message of `max_message_bytes` that has not come whole. Default 1000.
    pub max_connections_per_address: usize,
    /// Requests over HTTP of one address a second, WebSockets that are opened included, and ten times as many at once; further
    /// ones get status 429. Those that change something count five times, files of the web app do not. Default 100.
    pub max_requests_per_address_per_s: u32,
    /// Consumers of one broadcaster. Default 256.
    pub max_consumers_per_broadcaster: usize,
    /// The most that `consumerReplicas` of a connection's URL can ask for: a tool of mediasoup-demo to measure with, which
    /// costs as many consumers more. Default 0.
    pub max_consumer_replicas: u8,
    /// One WebSocket message (bytes); a longer one closes the connection with 1009. Default 960 000.
    pub max_message_bytes: usize,
    /// Requests of one peer that are being worked on; further ones wait in its socket. Default 32.
    pub max_requests_in_flight: usize,
    /// Messages waiting to be sent to one peer; a peer too slow for this is closed. Default 2048.
    pub max_queued_messages: usize,
    /// Bytes of these messages; a peer too slow for this is closed. The answer to `join` must fit: 2 KiB for each peer and
    /// broadcaster of a room, with names of `max_name_bytes` = 256. Default 2 MiB.
    pub max_queued_bytes: usize,
    /// Requests of one peer a second, and ten times as many at once; a peer that sends more is read no faster. Requests that
    /// everybody hears of, or that make something, count ten times. Default 100.
    pub max_requests_per_s: u32,
    /// Bytes from one peer's WebSocket a second, and ten times as many at once; a peer that sends more is read no faster.
    /// Default 262 144.
    pub max_received_bytes_per_s: u32,
    /// Texts of one connection that are no protoo messages; then it is closed with 1008. Default 100.
    pub max_bad_messages: u32,
    /// Names of participants, labels and protocols of data channels (bytes); what tells of a device may have four times
    /// as much. Default 256.
    pub max_name_bytes: usize,
    /// `appData` of one producer or data producer (bytes of JSON). Default 16 384.
    pub max_app_data_bytes: usize,
    /// `rtpParameters` or `rtpCapabilities` of one request (bytes of JSON). Browsers need some 15 000. Default 65 536.
    pub max_parameters_bytes: usize,
}

impl Limits {
    /// Most bytes of one participant in an answer to `join`: id, name, device, each with every character escaped
    /// as a quote is, and what is around them.
    fn described_bytes(&self) -> usize {
        2 * crate::admission::MAX_ID + 2 * self.max_name_bytes + self.max_device_bytes() + 100
    }

    /// The body of a request over HTTP (bytes): parameters, app data and names.
    pub(crate) fn max_body_bytes(&self) -> usize {
        self.max_parameters_bytes + self.max_app_data_bytes + 8 * self.max_name_bytes + 4096
    }

    /// Description of a participant's device (bytes of JSON).
    pub(crate) fn max_device_bytes(&self) -> usize {
        4 * self.max_name_bytes
    }
}

/// `[timeouts]`: how long the server waits (seconds).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// A client's TLS handshake and request head. Default 10.
    #[serde(rename = "handshake_s", with = "seconds")]
    pub handshake: Duration,
    /// A connected client's `join`: pages connect while their user is in the lobby. Default 600.
    #[serde(rename = "join_s", with = "seconds")]
    pub join: Duration,
    /// A client's answer to a request of the server. Default 20.
    #[serde(rename = "request_s", with = "seconds")]
    pub request: Duration,
    /// Between WebSocket pings; a peer silent through two of them is closed. Default 60.
    #[serde(rename = "ping_s", with = "seconds")]
    pub ping: Duration,
    /// A connected peer's sign of life, when somebody else comes with its id and without the secret of its session: one that
    /// shows none within this time loses its place. Default 3.
    #[serde(rename = "sign_of_life_s", with = "seconds")]
    pub sign_of_life: Duration,
    /// A broadcaster of which nothing comes, neither a request nor a packet, for so long is removed. Default 60.
    #[serde(rename = "broadcaster_s", with = "seconds")]
    pub broadcaster: Duration,
    /// The body of a request. Default 10.
    #[serde(rename = "body_s", with = "seconds")]
    pub body: Duration,
    /// A client to take some of what is written to it; one that takes nothing for so long is closed. Default 20.
    #[serde(rename = "write_s", with = "seconds")]
    pub write: Duration,
    /// The life of an HTTP connection, unless it becomes a WebSocket. Default 300.
    #[serde(rename = "http_s", with = "seconds")]
    pub http: Duration,
    /// ICE consent (RFC 7675): a transport without a valid connectivity check for so long ends its peer. 10 to 60, as in
    /// mediasoup. Default 20.
    #[serde(rename = "ice_consent_s", with = "seconds")]
    pub ice_consent: Duration,
    /// Closing everything when the server is told to stop. Default 5.
    #[serde(rename = "shutdown_s", with = "seconds")]
    pub shutdown: Duration,
}

/// Reason for which settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a value of the wrong type.
    #[error("configuration file {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value is out of its range.
    #[error("setting {key} = {value}: {why}")]
    Invalid {
        /// Name of the key, with its section.
        key: &'static str,
        /// The value that was given.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl ServerConfig {
    /// Reads a TOML file; keys that it leaves out have their defaults.
    ///
    /// # Errors
    /// If the file can't be read, is not TOML, or has an unknown key or a value of the wrong type.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })
    }

    /// Checks the values that a type can't.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.limits.validate()?;
        self.timeouts.validate()?;
        if let Some(auth) = &self.auth {
            auth.validate()?;
        }
        for origin in &self.allowed_origins {
            let valid = origin == "*" || crate::http::origin::parse(origin).is_some();
            check(valid, "allowed_origins", origin, "is no origin, as https://host or https://host:port")?;
        }
        let workers = self.worker_count();
        check(workers <= 1024, "workers", workers, "must be at most 1024")?;
        self.rtc.validate(workers)?;
        match (&self.tls.cert, &self.tls.key) {
            (Some(cert), None) => check(false, "tls.cert", cert.display(), "needs tls.key too"),
            (None, Some(key)) => check(false, "tls.key", key.display(), "needs tls.cert too"),
            _ => Ok(()),
        }
    }

    /// Where media is received and what clients are told: the settings, with this machine's addresses where there are none.
    ///
    /// # Errors
    /// An address is announced that is this machine's and that no media is received on.
    pub(crate) fn resolve_addresses(&mut self) -> Result<(), ConfigError> {
        self.rtc.listen = addresses::resolve(
            &self.rtc,
            addresses::lan_address(),
            addresses::is_ours,
            addresses::is_served,
        )?;
        Ok(())
    }

    /// Number of media workers: the setting, or one per core.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            count => count,
        }
    }

    /// The directory for what the server keeps: the setting, or the user's state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| {
            let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            variable("XDG_STATE_HOME")
                .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
                .unwrap_or_else(std::env::temp_dir)
                .join("tureen")
        })
    }
}

impl RtcConfig {
    /// Checks that what clients send to `announced` can come here, as far as that can be known without the network.
    fn check_announced(&self, announced: IpAddr) -> Result<(), ConfigError> {
        let is_of_one_host = match announced {
            IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
        };
        check(is_of_one_host, "rtc.announce", announced, "is no address of one host")?;
        let only_loopback = !self.listen.is_empty() && self.listen.iter().all(IpAddr::is_loopback);
        check(
            announced.is_loopback() || !only_loopback,
            "rtc.announce",
            announced,
            "can't be reached: rtc.listen has loopback addresses only",
        )
    }
}

/// Reason for which an address of this machine can't be announced.
pub(crate) const NOT_LISTENED: &str =
    "is an address of this machine that rtc.listen does not have, and nobody else takes media there";

impl Limits {
    fn validate(&self) -> Result<(), ConfigError> {
        let Limits {
            max_connections,
            max_rooms,
            max_peers_per_room,
            max_transports_per_peer,
            max_producers_per_peer,
            max_data_producers_per_peer,
            max_data_consumers_per_peer,
            max_broadcasters_per_room,
            max_broadcasters_per_address,
            max_broadcasters,
            max_plain_sockets,
            max_consumers_per_room,
            max_consumers_per_worker,
            max_connections_per_address,
            max_requests_per_address_per_s,
            max_consumers_per_broadcaster,
            max_consumer_replicas: _,
            max_message_bytes,
            max_requests_in_flight,
            max_queued_messages,
            max_queued_bytes,
            max_requests_per_s,
            max_received_bytes_per_s,
            max_bad_messages,
            max_name_bytes,
            max_app_data_bytes,
            max_parameters_bytes,
        } = *self;
        for (key, value) in [
            ("limits.max_connections", max_connections),
            ("limits.max_rooms", max_rooms),
            ("limits.max_peers_per_room", max_peers_per_room),
            ("limits.max_transports_per_peer", max_transports_per_peer),
            ("limits.max_producers_per_peer", max_producers_per_peer),
            ("limits.max_data_producers_per_peer", max_data_producers_per_peer),
            ("limits.max_data_consumers_per_peer", max_data_consumers_per_peer),
            ("limits.max_broadcasters_per_address", max_broadcasters_per_address),
            ("limits.max_broadcasters", max_broadcasters),
            ("limits.max_plain_sockets", max_plain_sockets),
            ("limits.max_consumers_per_room", max_consumers_per_room),
            ("limits.max_consumers_per_worker", max_consumers_per_worker),
            ("limits.max_connections_per_address", max_connections_per_address),
            ("limits.max_requests_per_address_per_s", max_requests_per_address_per_s as usize),
            ("limits.max_broadcasters_per_room", max_broadcasters_per_room),
            ("limits.max_consumers_per_broadcaster", max_consumers_per_broadcaster),
            ("limits.max_message_bytes", max_message_bytes),
            ("limits.max_requests_in_flight", max_requests_in_flight),
            ("limits.max_queued_messages", max_queued_messages),
            ("limits.max_queued_bytes", max_queued_bytes),
            ("limits.max_requests_per_s", max_requests_per_s as usize),
            ("limits.max_received_bytes_per_s", max_received_bytes_per_s as usize),
            ("limits.max_bad_messages", max_bad_messages as usize),
            ("limits.max_name_bytes", max_name_bytes),
            ("limits.max_app_data_bytes", max_app_data_bytes),
            ("limits.max_parameters_bytes", max_parameters_bytes),
        ] {
            check(value > 0, key, value, "must be at least 1")?;
        }
        check(
            max_connections <= tokio::sync::Semaphore::MAX_PERMITS.min(u32::MAX as usize),
            "limits.max_connections",
            max_connections,
            "is more than any machine has",
        )?;
        check(
            max_message_bytes <= 64 << 20,
            "limits.max_message_bytes",
            max_message_bytes,
            "is over 64 MiB",
        )?;
        let in_room = max_peers_per_room.saturating_add(max_broadcasters_per_room);
        check(
            in_room.saturating_mul(self.described_bytes()) <= max_queued_bytes,
            "limits.max_queued_bytes",
            max_queued_bytes,
            "is less than the answer to join in a full room can take",
        )?;
        check(
            max_parameters_bytes.saturating_add(max_app_data_bytes) <= max_queued_bytes / 4,
            "limits.max_queued_bytes",
            max_queued_bytes,
            "is less than four times max_parameters_bytes and max_app_data_bytes",
        )?;
        Ok(())
    }
}

impl Timeouts {
    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("timeouts.handshake_s", self.handshake),
            ("timeouts.join_s", self.join),
            ("timeouts.request_s", self.request),
            ("timeouts.ping_s", self.ping),
            ("timeouts.sign_of_life_s", self.sign_of_life),
            ("timeouts.broadcaster_s", self.broadcaster),
            ("timeouts.body_s", self.body),
            ("timeouts.write_s", self.write),
            ("timeouts.http_s", self.http),
        ] {
            check(!value.is_zero(), key, value.as_secs(), "must be at least 1")?;
        }
        let consent = self.ice_consent;
        check(
            ICE_CONSENT.contains(&consent),
            "timeouts.ice_consent_s",
            consent.as_secs(),
            "must be 10 to 60",
        )?;
        Ok(())
    }
}

impl RtcConfig {
    fn validate(&self, workers: usize) -> Result<(), ConfigError> {
        check(
            self.port == 0 || usize::from(self.port) + workers - 1 <= usize::from(u16::MAX),
            "rtc.port",
            self.port,
            "leaves no room below 65536 for one port per worker",
        )?;
        let plain_ports = &self.plain_ports;
        check(
            !plain_ports.is_empty() && *plain_ports.start() > 0,
            "rtc.plain_ports",
            format_args!("{} to {}", plain_ports.start(), plain_ports.end()),
            "is no range of ports",
        )?;
        for ip in &self.listen {
            check(
                !ip.is_unspecified() || self.announce.is_some(),
                "rtc.listen",
                ip,
                "needs rtc.announce: clients can't be told an unspecified address",
            )?;
        }
        if let Some(announce) = &self.announce {
            let plausible =
                !announce.is_empty() && !announce.contains(|c: char| c.is_whitespace() || c == '/');
            check(plausible, "rtc.announce", announce, "is neither an address nor a host name")?;
            if let Ok(ip) = announce.parse() {
                self.check_announced(ip)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn check(
    holds: bool,
    key: &'static str,
    value: impl ToString,
    why: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Invalid { key, value: value.to_string(), why }) }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4443)),
            workers: 0,
            state_dir: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            auth: None,
            tls: TlsConfig::default(),
            rtc: RtcConfig::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { enabled: true, cert: None, key: None }
    }
}

impl Default for RtcConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            announce: None,
            port: 44444,
            plain_ports: 40_000..=49_999,
            plain_connect_to: Vec::new(),
            initial_available_outgoing_bitrate: 1_000_000,
            max_incoming_bitrate: 1_500_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_rooms: 10_000,
            max_peers_per_room: 500,
            max_transports_per_peer: 8,
            max_producers_per_peer: 32,
            max_data_producers_per_peer: 8,
            max_data_consumers_per_peer: 1024,
            max_broadcasters_per_room: 32,
            max_broadcasters_per_address: 16,
            max_broadcasters: 256,
            max_plain_sockets: 1024,
            max_consumers_per_room: 20_000,
            max_consumers_per_worker: 50_000,
            max_connections_per_address: 1000,
            max_requests_per_address_per_s: 100,
            max_consumers_per_broadcaster: 256,
            max_consumer_replicas: 0,
            max_message_bytes: 960_000,
            max_requests_in_flight: 32,
            max_queued_messages: 2048,
            max_queued_bytes: 2 << 20,
            max_requests_per_s: 100,
            max_received_bytes_per_s: 262_144,
            max_bad_messages: 100,
            max_name_bytes: 256,
            max_app_data_bytes: 16_384,
            max_parameters_bytes: 65_536,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            join: Duration::from_secs(600),
            request: Duration::from_secs(20),
            ping: Duration::from_secs(60),
            sign_of_life: Duration::from_secs(3),
            broadcaster: Duration::from_secs(60),
            body: Duration::from_secs(10),
            write: Duration::from_secs(20),
            http: Duration::from_secs(300),
            ice_consent: Duration::from_secs(20),
            shutdown: Duration::from_secs(5),
        }
    }
}

/// Durations as whole seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u32::deserialize(deserializer).map(|seconds| Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_toml() {
        let config = ServerConfig::default();
        config.validate().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<ServerConfig>(&text).unwrap(), config);
    }

    #[test]
    fn keys_left_out_have_their_defaults() {
        let config: ServerConfig = toml::from_str("[timeouts]\nping_s = 7").unwrap();
        assert_eq!(config.timeouts.ping, Duration::from_secs(7));
        assert_eq!(config.timeouts.request, Duration::from_secs(20));
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn an_unknown_key_is_named() {
        for (text, key) in [("lisen = 1", "lisen"), ("[limits]\nmax_roms = 3", "max_roms")] {
            let error = toml::from_str::<ServerConfig>(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_key() {
        let mut config = ServerConfig::default();
        config.limits.max_rooms = 0;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "setting limits.max_rooms = 0: must be at least 1"
        );

        let mut config = ServerConfig { workers: 4, ..Default::default() };
        config.rtc.port = 65533;
        assert!(config.validate().unwrap_err().to_string().contains("rtc.port = 65533"));
        config.rtc.port = 65532;
        config.validate().unwrap();
    }

    #[test]
    fn ice_consent_timeout_has_the_range_of_ice() {
        for (seconds, is_good) in [(0, false), (9, false), (10, true), (60, true), (61, false), (300, false)]
        {
            let mut config = ServerConfig::default();
            config.timeouts.ice_consent = Duration::from_secs(seconds);
            let result = config.validate().map_err(|error| error.to_string());
            match is_good {
                true => assert_eq!(result, Ok(())),
                false => {
                    assert_eq!(
                        result,
                        Err(format!("setting timeouts.ice_consent_s = {seconds}: must be 10 to 60"))
                    )
                }
            }
        }
    }

    #[test]
    fn an_announced_address_that_nobody_can_reach_is_refused() {
        let announce = |listen: &[&str], announce: &str| {
            let mut config = ServerConfig::default();
            config.rtc.listen = listen.iter().map(|ip| ip.parse().unwrap()).collect();
            config.rtc.announce = Some(announce.to_owned());
            config.validate().map_err(|error| error.to_string())
        };
        for (listen, announced, part) in [
            (&[][..], "0.0.0.0", "no address of one host"),
            (&[], "::", "no address of one host"),
            (&[], "224.0.0.1", "no address of one host"),
            (&[], "255.255.255.255", "no address of one host"),
            (&["127.0.0.1"], "203.0.113.7", "rtc.listen has loopback addresses only"),
        ] {
            let error = announce(listen, announced).unwrap_err();
            assert!(error.contains(part) && error.contains(announced), "{error}");
        }
        for (listen, announced) in [
            (&["127.0.0.1"][..], "127.0.0.1"),
            (&["127.0.0.1"], "localhost"),
            (&["0.0.0.0"], "127.0.0.1"),
            (&["10.0.0.5"], "203.0.113.7"),
            (&[], "203.0.113.7"),
        ] {
            announce(listen, announced).unwrap();
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let mut config = ServerConfig::default();
        config.tls.cert = Some("a.pem".into());
        assert!(config.validate().unwrap_err().to_string().contains("tls.cert = a.pem"));
    }
}
