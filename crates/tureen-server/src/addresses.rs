//! This machine's addresses, and what clients are told of them.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

use tureen::prelude::*;

use crate::{
    config::{ConfigError, NOT_LISTENED, RtcConfig, check},
    networks,
};

/// This machine's address in its network: the one from which it would reach the internet. Sends nothing.
///
/// `None` without a network.
pub fn lan_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Connecting a UDP socket asks the routing table only. 192.0.2.0/24 is for documentation (RFC 5737).
    socket.connect(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9))).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// The public address at which a server can be reached that listens at `listen`, as far as this machine knows: one of its
/// own, or the one that is announced for it.
pub(crate) fn public_address(rtc: &RtcConfig, listen: IpAddr) -> Option<IpAddr> {
    let own = if listen.is_unspecified() { lan_address() } else { Some(listen) };
    let announced = rtc.announce.as_ref().and_then(|announce| announce.parse().ok());
    [own, announced].into_iter().flatten().find(|ip| networks::is_public(*ip))
}

/// True if `ip` is an address of this machine: a socket can be bound to it.
pub(crate) fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// True if another process of this machine receives on this UDP port, as a relay does.
pub(crate) fn is_served(ip: IpAddr, port: u16) -> bool {
    UdpSocket::bind((ip, port)).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// The local addresses that media is received on, best first: the setting, or what serves best without it. `lan` is this
/// machine's address in its network.
///
/// # Errors
/// An address is announced that is this machine's and that no media is received on.
pub(crate) fn resolve(
    rtc: &RtcConfig,
    lan: Option<IpAddr>,
    is_ours: impl Fn(IpAddr) -> bool,
    is_served: impl Fn(IpAddr, u16) -> bool,
) -> Result<Vec<IpAddr>, ConfigError> {
    let announced = rtc.announce.as_ref().and_then(|announce| announce.parse().ok());
    let announced = announced.filter(|&ip| is_ours(ip));
    if rtc.listen.is_empty() {
        let best = announced.or(lan).filter(|ip| !ip.is_loopback());
        // What is announced may be a loopback address other than this one.
        let loopback = announced.filter(IpAddr::is_loopback).unwrap_or(Ipv4Addr::LOCALHOST.into());
        return Ok(best.into_iter().chain([loopback]).collect());
    }
    let is_taken = |announced: IpAddr| {
        let takes =
            |ip: &IpAddr| *ip == announced || ip.is_unspecified() && ip.is_ipv4() == announced.is_ipv4();
        rtc.listen.iter().any(takes)
    };
    if let Some(announced) = announced {
        check(
            is_taken(announced) || is_served(announced, rtc.port),
            "rtc.announce",
            announced,
            NOT_LISTENED,
        )?;
    }
    Ok(rtc.listen.clone())
}

/// Where the workers of a server receive media, for who started it: a line for each local address.
pub(crate) fn describe(rtc: &RtcConfig, ports: &[u16]) -> Vec<MediaAddress> {
    let mut addresses: Vec<_> = listen_infos(rtc, None)
        .into_iter()
        .filter(|info| info.protocol == Protocol::Udp)
        .map(|info| MediaAddress { ip: info.ip, announced: info.announced_address, ports: ports.to_vec() })
        .collect();
    addresses.dedup();
    addresses
}

/// A local address that media is received on, UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaAddress {
    /// The address that the sockets are bound to.
    pub ip: IpAddr,
    /// What clients are told in its place.
    pub announced: Option<String>,
    /// Port of each media worker.
    pub ports: Vec<u16>,
}

/// For people: `10.0.0.5, ports 44444 and 44445, announced as 203.0.113.7`.
impl fmt::Display for MediaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ip)?;
        match &self.ports[..] {
            [] => {}
            [port] => write!(f, ", UDP and TCP port {port}")?,
            [first, .., last] if usize::from(last.abs_diff(*first)) + 1 == self.ports.len() => {
                write!(f, ", UDP and TCP ports {first} to {last}")?;
            }
            ports => {
                let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
                write!(f, ", UDP and TCP ports {}", ports.join(", "))?;
            }
        }
        self.announced.as_ref().map_or(Ok(()), |announced| write!(f, ", announced as {announced}"))
    }
}

/// Where media is received, best first: UDP and TCP on each local address of [`resolve`].
///
/// `port` `None` takes any free port. Loopback addresses are told as they are, since they serve this machine only.
pub(crate) fn listen_infos(rtc: &RtcConfig, port: Option<u16>) -> Vec<ListenInfo> {
    let ips = &rtc.listen;
    // Without a network there is only the loopback address to announce another one for.
    let only_loopback = ips.iter().all(IpAddr::is_loopback);
    let info = |ip: IpAddr, protocol| ListenInfo {
        protocol,
        ip,
        announced_address: rtc
            .announce
            .clone()
            .filter(|announce| (only_loopback || !ip.is_loopback()) && *announce != ip.to_string()),
        expose_internal_ip: false,
        port,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    };
    let udp = ips.iter().map(|&ip| info(ip, Protocol::Udp));
    let tcp = ips.iter().map(|&ip| info(ip, Protocol::Tcp));
    udp.chain(tcp).collect()
}

/// Where plain transports receive: UDP on the best of those addresses, on a port of the configured range.
pub(crate) fn plain_listen_info(rtc: &RtcConfig) -> ListenInfo {
    let mut infos = listen_infos(rtc, None);
    let mut info = infos.swap_remove(0);
    info.port_range = Some(rtc.plain_ports.clone());
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_address_replaces_all_but_loopback() {
        let rtc = RtcConfig {
            listen: vec!["10.0.0.5".parse().unwrap(), "127.0.0.1".parse().unwrap()],
            announce: Some("sfu.example".into()),
            ..RtcConfig::default()
        };
        let told: Vec<_> = listen_infos(&rtc, Some(44444))
            .into_iter()
            .map(|info| (info.protocol, info.ip.to_string(), info.announced_address))
            .collect();
        let announced = Some("sfu.example".to_owned());
        assert_eq!(
            told,
            [
                (Protocol::Udp, "10.0.0.5".into(), announced.clone()),
                (Protocol::Udp, "127.0.0.1".into(), None),
                (Protocol::Tcp, "10.0.0.5".into(), announced),
                (Protocol::Tcp, "127.0.0.1".into(), None),
            ]
        );
    }

    #[test]
    fn an_address_is_not_announced_for_itself() {
        let rtc = RtcConfig {
            listen: vec!["10.0.0.5".parse().unwrap()],
            announce: Some("10.0.0.5".into()),
            ..RtcConfig::default()
        };
        assert!(listen_infos(&rtc, None).iter().all(|info| info.announced_address.is_none()));
    }

    fn resolved(listen: &[&str], announce: Option<&str>) -> Result<Vec<String>, String> {
        let rtc = RtcConfig {
            listen: listen.iter().map(|ip| ip.parse().unwrap()).collect(),
            announce: announce.map(str::to_owned),
            ..RtcConfig::default()
        };
        let ours: Vec<IpAddr> =
            ["10.0.0.5", "198.51.100.4", "127.0.0.1", "127.0.0.2"].map(|ip| ip.parse().unwrap()).to_vec();
        let served: IpAddr = "127.0.0.2".parse().unwrap();
        resolve(&rtc, Some(ours[0]), |ip| ours.contains(&ip), |ip, port| ip == served && port == rtc.port)
            .map(|ips| ips.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_local_announced_address_is_bound() {
        for (announce, expected) in [
            (None, &["10.0.0.5", "127.0.0.1"][..]),
            (Some("203.0.113.7"), &["10.0.0.5", "127.0.0.1"]),
            (Some("sfu.example"), &["10.0.0.5", "127.0.0.1"]),
            (Some("198.51.100.4"), &["198.51.100.4", "127.0.0.1"]),
            (Some("10.0.0.5"), &["10.0.0.5", "127.0.0.1"]),
            (Some("127.0.0.1"), &["127.0.0.1"]),
            (Some("127.0.0.2"), &["127.0.0.2"]),
        ] {
            assert_eq!(resolved(&[], announce).unwrap(), expected, "{announce:?}");
        }
        assert_eq!(resolved(&["0.0.0.0"], Some("198.51.100.4")).unwrap(), ["0.0.0.0"]);
    }

    #[test]
    fn a_local_address_that_is_not_bound_is_not_announced() {
        let error = resolved(&["10.0.0.5", "::"], Some("198.51.100.4")).unwrap_err();
        assert!(error.contains("rtc.announce = 198.51.100.4"), "{error}");
        resolved(&["10.0.0.5"], Some("127.0.0.1")).unwrap_err();
        resolved(&["10.0.0.5"], Some("203.0.113.7")).unwrap();
        // As if a relay forwarded to this address.
        assert_eq!(resolved(&["127.0.0.1"], Some("127.0.0.2")).unwrap(), ["127.0.0.1"]);
    }

    #[test]
    fn addresses_are_described_with_their_ports() {
        let address = |ports: &[u16], announced: Option<&str>| MediaAddress {
            ip: "10.0.0.5".parse().unwrap(),
            announced: announced.map(str::to_owned),
            ports: ports.to_vec(),
        };
        assert_eq!(address(&[7], None).to_string(), "10.0.0.5, UDP and TCP port 7");
        assert_eq!(
            address(&[7, 8, 9], Some("a.example")).to_string(),
            "10.0.0.5, UDP and TCP ports 7 to 9, announced as a.example"
        );
        assert_eq!(address(&[7, 12], None).to_string(), "10.0.0.5, UDP and TCP ports 7, 12");
    }
}
