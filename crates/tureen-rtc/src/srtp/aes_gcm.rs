use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use super::cipher::RTCP_HEADER_LEN;
use super::{SrtpError, SrtpSuite};
use crate::units::Ssrc;

/// Length of the authentication tag in bytes (RFC 7714 §13.2).
const TAG_LEN: usize = 16;

/// AES-GCM of RFC 7714 under one session key.
pub(super) struct AesGcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl AesGcm {
    pub(super) fn new(suite: SrtpSuite, key: &[u8], salt: [u8; 12]) -> Result<Self, SrtpError> {
        let algorithm: &'static Algorithm = match suite {
            SrtpSuite::AeadAes256Gcm => &AES_256_GCM,
            _ => &AES_128_GCM,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::BadKeyLength)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// `out` is exactly as long as the protected packet and starts with the header.
    pub(super) fn seal_rtp(
        &self,
        ssrc: Ssrc,
        index: u64,
        header_len: usize,
        descriptor: &[u8],
        rest: &[u8],
        out: &mut [u8],
    ) -> Result<(), SrtpError> {
        // RFC 7714 §8.2: the associated data are the header with its CSRCs and its extension.
        let (header, body) = out.split_at_mut(header_len);
        // Both inputs are encrypted in one pass. A single input is passed first because aws-lc-rs is some 10 ns faster
        // that way.
        let (first, second) = if descriptor.is_empty() { (rest, descriptor) } else { (descriptor, rest) };
        let (first_out, second_out_and_tag) = body.split_at_mut(first.len());
        self.key
            .seal_out_of_place_scatter(
                self.nonce(ssrc, index),
                Aad::from(&*header),
                first,
                first_out,
                second,
                second_out_and_tag,
            )
            .map_err(|_| SrtpError::SealFailed)
    }

    /// Decrypts in place; returns the length without the tag.
    pub(super) fn open_rtp(
        &self,
        ssrc: Ssrc,
        index: u64,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let (header, body) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::TooShort)?;
        let text_len = self.open(ssrc, index, header, body)?;
        Ok(header_len + text_len)
    }

    pub(super) fn seal_rtcp(
        &self,
        ssrc: Ssrc,
        index: u32,
        word: [u8; 4],
        packet: &mut Vec<u8>,
    ) -> Result<(), SrtpError> {
        let (header, body) = packet.split_first_chunk_mut::<RTCP_HEADER_LEN>().ok_or(SrtpError::TooShort)?;
        let aad = rtcp_aad(header, word);
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(ssrc, u64::from(index)), Aad::from(&aad), body)
            .map_err(|_| SrtpError::SealFailed)?;
        // RFC 7714 §9.2: the tag belongs to the ciphertext, so the ESRTCP word follows it.
        packet.extend_from_slice(tag.as_ref());
        packet.extend_from_slice(&word);
        Ok(())
    }

    /// `packet` ends with the ESRTCP word. Decrypts in place; returns the length without tag and word.
    pub(super) fn open_rtcp(
        &self,
        ssrc: Ssrc,
        index: u32,
        word: [u8; 4],
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let (header, body) = packet.split_first_chunk_mut::<RTCP_HEADER_LEN>().ok_or(SrtpError::TooShort)?;
        let aad = rtcp_aad(header, word);
        let (body, _word) = body.split_last_chunk_mut::<4>().ok_or(SrtpError::TooShort)?;
        let text_len = self.open(ssrc, u64::from(index), &aad, body)?;
        Ok(RTCP_HEADER_LEN + text_len)
    }

    fn open(&self, ssrc: Ssrc, index: u64, aad: &[u8], body: &mut [u8]) -> Result<usize, SrtpError> {
        let (text, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(SrtpError::TooShort)?;
        self.key
            .open_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), tag, text)
            .map_err(|_| SrtpError::AuthenticationFailed)?;
        Ok(text.len())
    }

    /// RFC 7714 §8.1: IV = (00 00 || SSRC || ROC || SEQ) XOR salt; §9.1 replaces the 48-bit index by the 31-bit SRTCP
    /// index.
    fn nonce(&self, ssrc: Ssrc, index: u64) -> Nonce {
        let mut iv = [0; 12];
        iv[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
        iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        Nonce::assume_unique_for_key(std::array::from_fn(|at| iv[at] ^ self.salt[at]))
    }
}

/// RFC 7714 §9.2: the associated data of encrypted SRTCP are the first 8 bytes and the ESRTCP word.
fn rtcp_aad(header: &[u8; RTCP_HEADER_LEN], word: [u8; 4]) -> [u8; RTCP_HEADER_LEN + 4] {
    let mut aad = [0; RTCP_HEADER_LEN + 4];
    aad[..RTCP_HEADER_LEN].copy_from_slice(header);
    aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
    aad
}
