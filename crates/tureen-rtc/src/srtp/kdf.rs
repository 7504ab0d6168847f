//! Session keys from a master key (RFC 3711 §4.3, RFC 6188 for 256-bit keys).

use aes::cipher::consts::U16;
use aes::cipher::{BlockEncrypt, BlockSizeUser, KeyInit};
use aes::{Aes128Enc, Aes256Enc, Block};

use super::{SrtpError, SrtpSuite};

/// Length of the HMAC-SHA1 session key in bytes (RFC 3711 §5.2: n_a = 160).
pub(super) const AUTH_KEY_LEN: usize = 20;

/// Kind of packet that a session cipher protects. The two kinds never share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Usage {
    Rtp,
    Rtcp,
}

/// Session keys of one direction and one [`Usage`]. Suites use a prefix of each field.
pub(super) struct SessionKeys {
    /// AES key, of which `suite.key_len()` bytes are used.
    pub(super) key: [u8; 32],
    /// Salt, of which `suite.salt_len()` bytes are used; the rest is zero.
    pub(super) salt: [u8; 14],
    /// HMAC-SHA1 key; unused with AES-GCM.
    pub(super) auth: [u8; AUTH_KEY_LEN],
}

impl SessionKeys {
    /// Derives the session keys with key derivation rate 0, once for the lifetime of the master key.
    ///
    /// Fails with [`SrtpError::BadKeyLength`] when the length of `key` or `salt` is not that of `suite`.
    pub(super) fn derive(suite: SrtpSuite, usage: Usage, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        if key.len() != suite.key_len() || salt.len() != suite.salt_len() {
            return Err(SrtpError::BadKeyLength);
        }
        match suite {
            SrtpSuite::AeadAes256Gcm => Ok(Self::fill(&Prf::<Aes256Enc>::new(key, salt)?, suite, usage)),
            SrtpSuite::AeadAes128Gcm | SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => {
                Ok(Self::fill(&Prf::<Aes128Enc>::new(key, salt)?, suite, usage))
            }
        }
    }

    fn fill<C: PrfCipher>(prf: &Prf<C>, suite: SrtpSuite, usage: Usage) -> Self {
        // RFC 3711 §4.3.2: labels 0, 1, 2 make the SRTP keys, 3, 4, 5 the SRTCP keys.
        let first_label = match usage {
            Usage::Rtp => 0,
            Usage::Rtcp => 3,
        };
        let mut keys = Self { key: [0; 32], salt: [0; 14], auth: [0; AUTH_KEY_LEN] };
        prf.fill(first_label, &mut keys.key[..suite.key_len()]);
        prf.fill(first_label + 1, &mut keys.auth);
        prf.fill(first_label + 2, &mut keys.salt[..suite.salt_len()]);
        keys
    }
}

/// Pseudo-random function of RFC 3711 §4.3.3: AES in counter mode over a block made of label and salt.
struct Prf<C> {
    aes: C,
    salt: [u8; 14],
}

/// AES with one of the supported key lengths.
trait PrfCipher: BlockEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit {}

impl PrfCipher for Aes128Enc {}
impl PrfCipher for Aes256Enc {}

impl<C: PrfCipher> Prf<C> {
    fn new(key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        let aes = C::new_from_slice(key).map_err(|_| SrtpError::BadKeyLength)?;
        // RFC 7714 §11: a 96-bit master salt is padded on the right with zeros to the 112 bits of RFC 3711.
        let mut padded = [0; 14];
        padded.get_mut(..salt.len()).ok_or(SrtpError::BadKeyLength)?.copy_from_slice(salt);
        Ok(Self { aes, salt: padded })
    }

    /// Fills `out` with the key of `label`.
    fn fill(&self, label: u8, out: &mut [u8]) {
        // RFC 3711 §4.3.1: x = key_id XOR master_salt, key_id = label || r, r is 48 zero bits. §4.3.3: IV = x * 2^16.
        let mut input = [0; 16];
        input[..14].copy_from_slice(&self.salt);
        input[7] ^= label;
        for (counter, chunk) in (0u16..).zip(out.chunks_mut(16)) {
            input[14..].copy_from_slice(&counter.to_be_bytes());
            let mut block = Block::from(input);
            self.aes.encrypt_block(&mut block);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::cipher::tests::hex;

    #[test]
    fn rfc3711_b3_keys_of_a_128_bit_master_key() {
        let prf = Prf::<Aes128Enc>::new(
            &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &hex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        let mut key = [0; 16];
        prf.fill(0, &mut key);
        assert_eq!(key[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut salt = [0; 14];
        prf.fill(2, &mut salt);
        assert_eq!(salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let mut auth = [0; 94];
        prf.fill(1, &mut auth);
        assert_eq!(
            auth[..],
            hex("CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
                 E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
                 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2")
        );
    }

    #[test]
    fn rfc6188_7_2_keys_of_a_256_bit_master_key() {
        let prf = Prf::<Aes256Enc>::new(
            &hex("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6"),
            &hex("3b04803de51ee7c96423ab5b78d2"),
        )
        .unwrap();
        let mut key = [0; 32];
        prf.fill(0, &mut key);
        assert_eq!(key[..], hex("5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4"));
        let mut salt = [0; 14];
        prf.fill(2, &mut salt);
        assert_eq!(salt[..], hex("fa31791685ca444a9e07c6c64e93"));
        let mut auth = [0; 20];
        prf.fill(1, &mut auth);
        assert_eq!(auth[..], hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    }

    #[test]
    fn rtp_and_rtcp_keys_differ() {
        let suite = SrtpSuite::AesCm128HmacSha1_80;
        let rtp = SessionKeys::derive(suite, Usage::Rtp, &[1; 16], &[2; 14]).unwrap();
        let rtcp = SessionKeys::derive(suite, Usage::Rtcp, &[1; 16], &[2; 14]).unwrap();
        assert_ne!(rtp.key, rtcp.key);
        assert_ne!(rtp.salt, rtcp.salt);
        assert_ne!(rtp.auth, rtcp.auth);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for suite in SrtpSuite::ALL {
            let (k, s) = (suite.key_len(), suite.salt_len());
            let derive = |k: usize, s: usize| {
                SessionKeys::derive(suite, Usage::Rtp, &vec![0; k], &vec![0; s]).map(|_| ()).err()
            };
            assert_eq!(derive(k, s), None);
            for (bad_k, bad_s) in [(k - 1, s), (k + 1, s), (0, s), (k, s - 1), (k, s + 1), (k, 0)] {
                assert_eq!(derive(bad_k, bad_s), Some(SrtpError::BadKeyLength));
            }
        }
    }
}
