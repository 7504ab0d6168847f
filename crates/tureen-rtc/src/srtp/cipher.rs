//! One interface over the transforms. The callers, [`seal`](super::seal) and [`open`](super::open), check the lengths
//! that keep a transform within its buffer.

use super::aes_cm::AesCm;
use super::aes_gcm::AesGcm;
use super::kdf::{SessionKeys, Usage};
use super::{SrtpError, SrtpSuite};
use crate::units::Ssrc;

/// Length of the unencrypted start of an RTCP packet: the first header and the sender's SSRC (RFC 3711 §3.4).
pub(super) const RTCP_HEADER_LEN: usize = 8;

/// Bit of the ESRTCP word for an encrypted packet (RFC 3711 §3.4).
const E_BIT: u32 = 1 << 31;

/// HMAC bytes on RTCP; RFC 5764 §4.1.2 keeps 80 bits even where RTP has 32.
const RTCP_HMAC_LEN: usize = 10;

/// Transform of one direction and one [`Usage`].
pub(super) enum Cipher {
    Gcm(AesGcm),
    /// Boxed because the key schedule makes this variant 20 times as large.
    Cm(Box<AesCm>),
}

impl Cipher {
    pub(super) fn new(suite: SrtpSuite, usage: Usage, keys: &SessionKeys) -> Result<Self, SrtpError> {
        let key = &keys.key[..suite.key_len()];
        match suite {
            SrtpSuite::AeadAes256Gcm | SrtpSuite::AeadAes128Gcm => {
                let salt = keys.salt.first_chunk().expect("14 bytes begin with 12");
                AesGcm::new(suite, key, *salt).map(Self::Gcm)
            }
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => {
                let tag_len = match usage {
                    Usage::Rtp => suite.rtp_tag_len(),
                    Usage::Rtcp => RTCP_HMAC_LEN,
                };
                AesCm::new(key, keys.salt, &keys.auth, tag_len).map(|cm| Self::Cm(Box::new(cm)))
            }
        }
    }

    /// Writes the encrypted `descriptor || rest` and the tag after the header in `out`, whose length is that of the
    /// protected packet.
    #[inline]
    pub(super) fn seal_rtp(
        &self,
        ssrc: Ssrc,
        index: u64,
        header_len: usize,
        descriptor: &[u8],
        rest: &[u8],
        out: &mut [u8],
    ) -> Result<(), SrtpError> {
        match self {
            Self::Gcm(gcm) => gcm.seal_rtp(ssrc, index, header_len, descriptor, rest, out),
            Self::Cm(cm) => cm.seal_rtp(ssrc, index, header_len, descriptor, rest, out),
        }
    }

    /// Authenticates and decrypts in place; returns the length without the tag. `packet` has room for header and tag.
    pub(super) fn open_rtp(
        &self,
        ssrc: Ssrc,
        index: u64,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm(gcm) => gcm.open_rtp(ssrc, index, header_len, packet),
            Self::Cm(cm) => cm.open_rtp(ssrc, index, header_len, packet),
        }
    }

    /// Encrypts all but the first 8 bytes in place and appends tag and ESRTCP word.
    pub(super) fn seal_rtcp(&self, ssrc: Ssrc, index: u32, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let word = (index | E_BIT).to_be_bytes();
        match self {
            Self::Gcm(gcm) => gcm.seal_rtcp(ssrc, index, word, packet),
            Self::Cm(cm) => cm.seal_rtcp(ssrc, index, word, packet),
        }
    }

    /// Authenticates and decrypts in place; returns the length without tag and ESRTCP word.
    pub(super) fn open_rtcp(&self, ssrc: Ssrc, index: u32, packet: &mut [u8]) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm(gcm) => gcm.open_rtcp(ssrc, index, (index | E_BIT).to_be_bytes(), packet),
            Self::Cm(cm) => cm.open_rtcp(ssrc, index, packet),
        }
    }

    /// E bit and index of a protected RTCP packet; `None` when the packet is too short.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<(bool, u32)> {
        let after_word = match self {
            Self::Gcm(_) => 0,
            Self::Cm(_) => RTCP_HMAC_LEN,
        };
        let (_, word) = packet[..packet.len().checked_sub(after_word)?].split_last_chunk::<4>()?;
        let word = u32::from_be_bytes(*word);
        Some((word & E_BIT != 0, word & !E_BIT))
    }
}

/// XORs `mask` into `target`; both have the same length.
pub(super) fn xor(target: &mut [u8], mask: &[u8]) {
    for (byte, mask) in target.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Sender SSRC of an RTCP packet, protected or not; `None` when the packet is too short.
pub(super) fn rtcp_sender(packet: &[u8]) -> Option<Ssrc> {
    let ssrc = packet.get(4..RTCP_HEADER_LEN)?.first_chunk()?;
    Some(Ssrc(u32::from_be_bytes(*ssrc)))
}

#[cfg(test)]
pub(super) mod tests {
    /// Decodes hexadecimal digits; white space is skipped.
    pub(in crate::srtp) fn hex(digits: &str) -> Vec<u8> {
        let nibbles: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|n| n as u8).collect();
        assert_eq!(nibbles.len() % 2, 0);
        nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}
