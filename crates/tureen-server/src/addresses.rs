//! This machine's addresses, and what clients are told of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use tureen::prelude::*;

use crate::config::RtcConfig;

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

/// Where media is received, best first: UDP and TCP on each local address.
///
/// `port` `None` takes any free port. Loopback addresses are told as they are, since they serve this machine only.
pub(crate) fn listen_infos(rtc: &RtcConfig, port: Option<u16>) -> Vec<ListenInfo> {
    let ips = match rtc.listen.as_slice() {
        [] => match lan_address() {
            Some(ip) if !ip.is_loopback() => vec![ip, Ipv4Addr::LOCALHOST.into()],
            _ => vec![Ipv4Addr::LOCALHOST.into()],
        },
        ips => ips.to_vec(),
    };
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
    fn the_announced_address_stands_for_all_but_loopback() {
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
}
