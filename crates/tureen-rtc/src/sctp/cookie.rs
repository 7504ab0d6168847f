//! The state cookie (RFC 9260 §5.1.3): the state of an INIT, authenticated by a MAC and returned by the peer, so that
//! INITs cost no memory.

use std::time::Duration;

use aws_lc_rs::hmac;

use super::wire::{Init, Ports};

const BODY_LEN: usize = 37;
const MAC_LEN: usize = 32;

/// Content of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    /// Time of issue, since the association was created.
    pub(super) issued: Duration,
    /// Generation of the local identity sent to the peer.
    pub(super) generation: u32,
    pub(super) local_tag: u32,
    /// The peer's INIT.
    pub(super) peer: Init,
    /// Ports of outgoing packets.
    pub(super) ports: Ports,
}

/// Why a cookie is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieError {
    /// The MAC is wrong.
    Forged,
    /// The cookie has expired.
    Stale(Cookie),
}

impl Cookie {
    pub(super) fn seal(&self, key: &hmac::Key) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY_LEN + MAC_LEN);
        out.extend_from_slice(&(self.issued.as_millis() as u64).to_be_bytes());
        for word in [self.generation, self.local_tag, self.peer.tag, self.peer.window] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.peer.outbound_streams.to_be_bytes());
        out.extend_from_slice(&self.peer.inbound_streams.to_be_bytes());
        out.extend_from_slice(&self.peer.tsn.to_be_bytes());
        out.push(u8::from(self.peer.forward_tsn) | u8::from(self.peer.re_config) << 1);
        out.extend_from_slice(&self.ports.source.to_be_bytes());
        out.extend_from_slice(&self.ports.destination.to_be_bytes());
        debug_assert_eq!(out.len(), BODY_LEN);
        let mac = hmac::sign(key, &out);
        out.extend_from_slice(mac.as_ref());
        out
    }

    /// `age`: time since the association was created; `lifetime`: of a cookie.
    pub(super) fn open(
        bytes: &[u8],
        key: &hmac::Key,
        age: Duration,
        lifetime: Duration,
    ) -> Result<Self, CookieError> {
        if bytes.len() != BODY_LEN + MAC_LEN {
            return Err(CookieError::Forged);
        }
        let (body, mac) = bytes.split_at(BODY_LEN);
        hmac::verify(key, body, mac).map_err(|_| CookieError::Forged)?;
        let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("a range of four"));
        let half = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let issued = u64::from(word(0)) << 32 | u64::from(word(4));
        let cookie = Self {
            issued: Duration::from_millis(issued),
            generation: word(8),
            local_tag: word(12),
            peer: Init {
                tag: word(16),
                window: word(20),
                outbound_streams: half(24),
                inbound_streams: half(26),
                tsn: word(28),
                forward_tsn: body[32] & 1 != 0,
                re_config: body[32] & 2 != 0,
            },
            ports: Ports { source: half(33), destination: half(35) },
        };
        if age > cookie.issued + lifetime { Err(CookieError::Stale(cookie)) } else { Ok(cookie) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn cookie() -> Cookie {
        Cookie {
            issued: Duration::from_millis(1 << 33),
            generation: 3,
            local_tag: 4,
            peer: Init {
                tag: 6,
                window: 7,
                outbound_streams: 8,
                inbound_streams: 9,
                tsn: 10,
                forward_tsn: true,
                re_config: false,
            },
            ports: Ports { source: 11, destination: 12 },
        }
    }

    #[test]
    fn cookie_round_trips() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let sealed = cookie().seal(&key);
        assert_eq!(Cookie::open(&sealed, &key, cookie().issued + LIFETIME, LIFETIME), Ok(cookie()));
    }

    #[test]
    fn changed_cookie_or_cookie_of_another_key_is_refused() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let sealed = cookie().seal(&key);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(
                Cookie::open(&bad, &key, cookie().issued, LIFETIME),
                Err(CookieError::Forged),
                "byte {at}"
            );
        }
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
        assert_eq!(Cookie::open(&sealed, &other, cookie().issued, LIFETIME), Err(CookieError::Forged));
        assert_eq!(Cookie::open(&sealed[1..], &key, cookie().issued, LIFETIME), Err(CookieError::Forged));
    }

    #[test]
    fn old_cookie_is_stale() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let age = cookie().issued + LIFETIME + Duration::from_millis(1);
        assert_eq!(
            Cookie::open(&cookie().seal(&key), &key, age, LIFETIME),
            Err(CookieError::Stale(cookie()))
        );
    }
}
