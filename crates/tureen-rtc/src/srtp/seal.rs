use std::fmt;

use hashbrown::HashMap;

use super::cipher::{Cipher, rtcp_sender};
use super::kdf::{SessionKeys, Usage};
use super::nonce_guard::NonceGuard;
use super::{SrtpError, SrtpSuite};
use crate::units::Ssrc;

/// The highest SRTCP index (RFC 3711 §3.4: 31 bits).
const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;

/// Protects the packets that a transport sends.
///
/// The caller numbers its RTP packets. One index of one SSRC must only ever protect one content: sealing the same bytes
/// again is harmless, but two different packets under one index reveal the key stream, and with AES-GCM the
/// authentication key too. In builds with debug assertions a sealer panics in that case. The caller reports the end of
/// a stream by [`end_stream`](Self::end_stream), because the SSRC may be used again under the same key.
pub struct SrtpSealer {
    suite: SrtpSuite,
    rtp: Cipher,
    rtcp: Cipher,
    /// Index of the next SRTCP packet for all sender SSRCs; above the highest index when exhausted.
    next_rtcp_index: u32,
    /// First unused index of each stream that has ended.
    ended: HashMap<Ssrc, u64>,
    guard: NonceGuard,
}

impl SrtpSealer {
    /// Creates a sealer from a master key and salt, as DTLS-SRTP or SDES provides them for one direction.
    ///
    /// Fails with [`SrtpError::BadKeyLength`] when the length of either is not that of `suite`.
    pub fn new(suite: SrtpSuite, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        let rtp = SessionKeys::derive(suite, Usage::Rtp, key, salt)?;
        let rtcp = SessionKeys::derive(suite, Usage::Rtcp, key, salt)?;
        Self::from_session_keys(suite, &rtp, &rtcp)
    }

    /// Crypto suite of the session.
    pub fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// Writes `header || encrypted(descriptor || rest) || tag` to the start of `out` and returns its length.
    ///
    /// `header` is the whole RTP header with CSRCs and extension; it is authenticated only. `descriptor` is the
    /// rewritten codec descriptor, often empty; `rest` is read in one pass. `packet_index` is ROC << 16 | SEQ.
    ///
    /// Fails with [`SrtpError::BufferTooSmall`], or [`SrtpError::IndexExhausted`] past 48 bits.
    pub fn seal_rtp(
        &self,
        ssrc: Ssrc,
        packet_index: u64,
        header: &[u8],
        descriptor: &[u8],
        rest: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SrtpError> {
        out.get_mut(..header.len()).ok_or(SrtpError::BufferTooSmall)?.copy_from_slice(header);
        self.seal_rtp_after_header(ssrc, packet_index, header.len(), descriptor, rest, out)
    }

    /// As [`seal_rtp`](Self::seal_rtp), with the header already in the first `header_len` bytes of `out`.
    #[inline]
    pub fn seal_rtp_after_header(
        &self,
        ssrc: Ssrc,
        packet_index: u64,
        header_len: usize,
        descriptor: &[u8],
        rest: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SrtpError> {
        if packet_index >> 48 != 0 {
            return Err(SrtpError::IndexExhausted);
        }
        let len = header_len.saturating_add(descriptor.len() + rest.len() + self.suite.rtp_tag_len());
        let out = out.get_mut(..len).ok_or(SrtpError::BufferTooSmall)?;
        self.guard.check(Usage::Rtp, ssrc, packet_index, [&out[..header_len], descriptor, rest]);
        self.rtp.seal_rtp(ssrc, packet_index, header_len, descriptor, rest, out)?;
        Ok(len)
    }

    /// Protects a compound RTCP packet in place; it grows by at most 20 bytes.
    ///
    /// Fails with [`SrtpError::TooShort`] below 8 bytes and [`SrtpError::IndexExhausted`] after 2^31 packets.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let ssrc = rtcp_sender(packet).ok_or(SrtpError::TooShort)?;
        let index = self.next_rtcp_index;
        // RFC 3711 §9.2: no more than 2^31 SRTCP packets under one master key.
        if index > MAX_RTCP_INDEX {
            return Err(SrtpError::IndexExhausted);
        }
        self.guard.check(Usage::Rtcp, ssrc, index.into(), [packet, &[], &[]]);
        self.rtcp.seal_rtcp(ssrc, index, packet)?;
        self.next_rtcp_index = index + 1;
        Ok(())
    }

    /// Records that a stream has ended whose next packet would have had this index.
    ///
    /// The record is kept for the lifetime of the key, at some 28 bytes per SSRC, because forgetting it would allow its
    /// indices to be reused. The caller bounds the number of records by [`ended_streams`](Self::ended_streams).
    pub fn end_stream(&mut self, ssrc: Ssrc, next_index: u64) {
        let next = self.ended.entry(ssrc).or_default();
        *next = next_index.max(*next);
    }

    /// First index of a new stream whose SSRC was used before under this key; `None` if it was not used.
    ///
    /// The receiver continues at the same index, because its rollover counter belongs to SSRC and key (RFC 3711
    /// §3.2.3).
    pub fn next_index(&self, ssrc: Ssrc) -> Option<u64> {
        self.ended.get(&ssrc).copied()
    }

    /// Number of SSRCs of streams that have ended under this key.
    pub fn ended_streams(&self) -> usize {
        self.ended.len()
    }

    /// Shares the record of used nonces with other sealers of the same master key.
    pub fn with_guard(self, guard: NonceGuard) -> Self {
        Self { guard, ..self }
    }

    fn from_session_keys(suite: SrtpSuite, rtp: &SessionKeys, rtcp: &SessionKeys) -> Result<Self, SrtpError> {
        Ok(Self {
            suite,
            rtp: Cipher::new(suite, Usage::Rtp, rtp)?,
            rtcp: Cipher::new(suite, Usage::Rtcp, rtcp)?,
            // RFC 3711 §3.4 allows the index to begin at 0. This sealer begins at 1 because libsrtp increments it
            // before sending.
            next_rtcp_index: 1,
            ended: HashMap::new(),
            guard: NonceGuard::default(),
        })
    }
}

impl fmt::Debug for SrtpSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpSealer").field("suite", &self.suite).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::cipher::tests::hex;

    const RTP: &str =
        "8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e20706172746573
                       2074726573";
    const RTCP: &str = "81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61
                        deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

    /// Creates a sealer with the session (not master) keys of RFC 7714 §16 and §17.
    fn rfc7714(suite: SrtpSuite) -> SrtpSealer {
        let mut keys = SessionKeys { key: [0; 32], salt: [0; 14], auth: [0; 20] };
        keys.key.copy_from_slice(&hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));
        keys.salt[..12].copy_from_slice(b"Quid pro quo");
        SrtpSealer::from_session_keys(suite, &keys, &keys).unwrap()
    }

    fn seal_whole(sealer: &SrtpSealer, index: u64, packet: &[u8]) -> Vec<u8> {
        let ssrc = Ssrc(u32::from_be_bytes(packet[8..12].try_into().unwrap()));
        let mut out = [0; 2000];
        let len = sealer.seal_rtp(ssrc, index, &packet[..12], &[], &packet[12..], &mut out).unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn rfc7714_16_1_aes_128_gcm_rtp() {
        assert_eq!(
            seal_whole(&rfc7714(SrtpSuite::AeadAes128Gcm), 0xf17b, &hex(RTP)),
            hex("8040f17b8041f8d35501a0b2 f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
                 899d7f27beb16a9152cf765ee4390cce")
        );
    }

    #[test]
    fn rfc7714_16_2_aes_256_gcm_rtp() {
        assert_eq!(
            seal_whole(&rfc7714(SrtpSuite::AeadAes256Gcm), 0xf17b, &hex(RTP)),
            hex("8040f17b8041f8d35501a0b2 32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b
                 7aa3db36dfffd6b0f9bb7878d7a76c13")
        );
    }

    #[test]
    fn rfc7714_17_gcm_rtcp() {
        for (suite, expected) in [
            (
                SrtpSuite::AeadAes128Gcm,
                "81c8000d4d617273 63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded
                 0bb9275b c84aa45896cf4d2fc5abf87245d9eade 800005d4",
            ),
            (
                SrtpSuite::AeadAes256Gcm,
                "81c8000d4d617273 d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de047
                 6f1b6fad 1d1eb30c4446839f57ff6f6cb26ac3be 800005d4",
            ),
        ] {
            let mut sealer = rfc7714(suite);
            sealer.next_rtcp_index = 0x5d4;
            let mut packet = hex(RTCP);
            sealer.seal_rtcp(&mut packet).unwrap();
            assert_eq!(packet, hex(expected), "{suite}");
        }
    }

    /// Reference packets of libsrtp's tests, which start from master keys and therefore cover key derivation too.
    #[test]
    fn libsrtp_reference_packets() {
        let rtp = hex("800f1234decafbadcafebabe abababababababababababababababab");
        let rtcp = hex("81c8000bcafebabe abababababababababababababababab");
        for (suite, key, salt, expected_rtp, expected_rtcp) in [
            (
                SrtpSuite::AesCm128HmacSha1_80,
                "e1f97a0d3e018be0d64fa32c06de4139",
                "0ec675ad498afeebb6960b3aabe6",
                "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
                "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798",
            ),
            (
                SrtpSuite::AesCm128HmacSha1_32,
                "e1f97a0d3e018be0d64fa32c06de4139",
                "0ec675ad498afeebb6960b3aabe6",
                "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc",
                "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798",
            ),
            (
                SrtpSuite::AeadAes128Gcm,
                "000102030405060708090a0b0c0d0e0f",
                "a0a1a2a3a4a5a6a7a8a9aaab",
                "800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392",
                "81c8000bcafebabe c98b8b5df0392a55852b6c21ac8e7025 c52c6fbea2b3b446ea31123ba88ce61e 80000001",
            ),
        ] {
            let mut sealer = SrtpSealer::new(suite, &hex(key), &hex(salt)).unwrap();
            assert_eq!(seal_whole(&sealer, 0x1234, &rtp), hex(expected_rtp), "{suite}");
            let mut packet = rtcp.clone();
            sealer.seal_rtcp(&mut packet).unwrap();
            assert_eq!(packet, hex(expected_rtcp), "{suite}");
        }
    }

    fn any_sealer(suite: SrtpSuite) -> SrtpSealer {
        SrtpSealer::new(suite, &vec![1; suite.key_len()], &vec![2; suite.salt_len()]).unwrap()
    }

    #[test]
    fn payload_is_the_same_however_it_is_split() {
        let payload: Vec<u8> = (0..=255).collect();
        for suite in SrtpSuite::ALL {
            let sealer = any_sealer(suite);
            let mut whole = [0; 300];
            let len = sealer.seal_rtp(Ssrc(7), 9, &[0x80; 20], &[], &payload, &mut whole).unwrap();
            assert_eq!(len, 20 + 256 + suite.rtp_tag_len());
            for split in [1, 3, 6, 15, 16, 17, 64, 200, 256] {
                let mut out = [0; 300];
                out[..20].fill(0x80);
                let (descriptor, rest) = payload.split_at(split);
                assert_eq!(sealer.seal_rtp_after_header(Ssrc(7), 9, 20, descriptor, rest, &mut out), Ok(len));
                assert_eq!(out, whole, "{suite}, descriptor of {split}");
            }
        }
    }

    #[test]
    fn too_small_an_output_is_refused() {
        for suite in SrtpSuite::ALL {
            let sealer = any_sealer(suite);
            let needed = 12 + 3 + 5 + suite.rtp_tag_len();
            for len in 0..=needed {
                let sealed = sealer.seal_rtp(Ssrc(1), 2, &[0x80; 12], &[3; 3], &[4; 5], &mut vec![0; len]);
                let expected = if len == needed { Ok(needed) } else { Err(SrtpError::BufferTooSmall) };
                assert_eq!(sealed, expected);
            }
        }
    }

    #[test]
    fn ssrc_sequence_number_and_rollover_counter_all_change_the_key_stream() {
        for suite in SrtpSuite::ALL {
            let sealer = any_sealer(suite);
            let seal = |ssrc, index| {
                let mut out = [0; 100];
                sealer.seal_rtp(Ssrc(ssrc), index, &[0x80; 12], &[], &[0; 32], &mut out).unwrap();
                out[12..44].to_vec()
            };
            assert_eq!(seal(1, 1), seal(1, 1));
            for other in [seal(2, 1), seal(1, 2), seal(1, 0x1_0001), seal(1, 0xffff_0000_0001)] {
                assert_ne!(seal(1, 1), other, "{suite}");
            }
        }
    }

    #[test]
    fn used_up_indices_are_refused() {
        let mut sealer = any_sealer(SrtpSuite::AeadAes128Gcm);
        let mut out = [0; 100];
        assert!(sealer.seal_rtp(Ssrc(1), (1 << 48) - 1, &[0x80; 12], &[], &[1], &mut out).is_ok());
        assert_eq!(
            sealer.seal_rtp(Ssrc(1), 1 << 48, &[0x80; 12], &[], &[1], &mut out),
            Err(SrtpError::IndexExhausted)
        );
        sealer.next_rtcp_index = MAX_RTCP_INDEX;
        let mut packet = hex(RTCP);
        assert_eq!(sealer.seal_rtcp(&mut packet), Ok(()));
        assert_eq!(packet[packet.len() - 4..], [0xff; 4]);
        let mut packet = hex(RTCP);
        assert_eq!(sealer.seal_rtcp(&mut packet), Err(SrtpError::IndexExhausted));
        assert_eq!(packet, hex(RTCP), "a refused packet stays as it was");
    }

    #[test]
    fn rtcp_without_a_sender_is_refused() {
        for suite in SrtpSuite::ALL {
            let mut sealer = any_sealer(suite);
            assert_eq!(sealer.seal_rtcp(&mut vec![0x80; 7]), Err(SrtpError::TooShort));
            let mut packet = vec![0x80; 8];
            assert_eq!(sealer.seal_rtcp(&mut packet), Ok(()));
            assert_eq!(packet.len(), 8 + suite.rtcp_overhead());
        }
    }
}
