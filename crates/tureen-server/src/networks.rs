//! Networks of the configuration, and addresses that no single host has.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// True if `address` is in it. An IPv4 address may be written as IPv6 (`::ffff:10.0.0.1`).
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u8| u32::from(bits - self.prefix);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no network, as 10.0.0.0/8 or 10.0.0.1");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| wrong()))?;
        if prefix > bits {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Name of the range of an address that no single host has: for many hosts, for one link, or for none.
pub(crate) fn why_special(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    let (link_local, broadcast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.is_broadcast()),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), false),
    };
    // 0.0.0.0/8 is "this network" (RFC 791), 240.0.0.0/4 reserved (RFC 1112).
    let reserved = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240);
    match address {
        _ if address.is_unspecified() => Some("unspecified"),
        _ if address.is_multicast() => Some("multicast"),
        _ if broadcast => Some("broadcast"),
        _ if link_local => Some("link-local"),
        _ if reserved => Some("reserved"),
        _ => None,
    }
}

/// True for an address that the whole internet can reach.
pub(crate) fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let private = match address {
        // 100.64.0.0/10 is for the NAT of providers (RFC 6598).
        IpAddr::V4(v4) => v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    !address.is_loopback() && !private && why_special(address).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_have_their_addresses_and_no_others() {
        assert!(network("10.0.0.0/8").contains(ip("10.255.0.1")));
        assert!(network("10.0.0.0/8").contains(ip("::ffff:10.1.2.3")));
        assert!(!network("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(
            network("0.0.0.0/0").contains(ip("203.0.113.1")) && !network("0.0.0.0/0").contains(ip("::1"))
        );
        assert!(network("::/0").contains(ip("2001:db8::1")));
        assert!(
            network("10.0.0.1").contains(ip("10.0.0.1")) && !network("10.0.0.1").contains(ip("10.0.0.2"))
        );
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "example.org"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        assert_eq!(network("10.0.0.1").to_string(), "10.0.0.1/32");
    }

    #[test]
    fn public_addresses_are_those_of_the_internet() {
        for public in ["203.0.113.1", "2001:db8::1", "100.128.0.1", "172.32.0.1"] {
            assert!(is_public(ip(public)), "{public}");
        }
        for other in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(!is_public(ip(other)), "{other}");
        }
    }

    #[test]
    fn special_addresses_are_nobodys_own() {
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "169.254.1.1",
            "240.0.0.1",
            "::",
            "ff02::1",
            "fe80::1",
        ] {
            assert!(why_special(ip(special)).is_some(), "{special}");
            if let IpAddr::V4(v4) = ip(special) {
                assert!(why_special(v4.to_ipv6_mapped().into()).is_some(), "{special} as IPv6");
            }
        }
        for own in ["127.0.0.1", "10.0.0.1", "203.0.113.1", "::1", "2001:db8::1"] {
            assert_eq!(why_special(ip(own)), None, "{own}");
        }
    }
}
