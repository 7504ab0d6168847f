use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::SrtpError;
use super::cipher::{RTCP_HEADER_LEN, xor};
use super::kdf::AUTH_KEY_LEN;
use crate::units::Ssrc;

/// Key stream of one packet; borrows the key schedule, which is computed once a session.
type KeyStream<'a> = StreamCipherCoreWrapper<CtrCore<&'a Aes128Enc, Ctr128BE>>;

/// AES-128 in counter mode and HMAC-SHA1 of RFC 3711 §4 under one set of session keys.
///
/// RustCrypto is used because it measures faster than aws-lc-rs here: it encrypts out of place, and copies its HMAC
/// state where aws-lc-rs rebuilds that state for every packet.
pub(super) struct AesCm {
    aes: Aes128Enc,
    salt: [u8; 14],
    /// HMAC state after the key is absorbed; cloned for each packet.
    hmac: Hmac<Sha1>,
    tag_len: usize,
}

impl AesCm {
    /// `tag_len` is the number of HMAC bytes sent, at most 20.
    pub(super) fn new(
        key: &[u8],
        salt: [u8; 14],
        auth: &[u8; AUTH_KEY_LEN],
        tag_len: usize,
    ) -> Result<Self, SrtpError> {
        let aes = Aes128Enc::new_from_slice(key).map_err(|_| SrtpError::BadKeyLength)?;
        let hmac = <Hmac<Sha1> as Mac>::new_from_slice(auth).map_err(|_| SrtpError::BadKeyLength)?;
        Ok(Self { aes, salt, hmac, tag_len })
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
        let (authenticated, tag) = out.split_at_mut(out.len() - self.tag_len);
        let (descriptor_out, rest_out) = authenticated[header_len..].split_at_mut(descriptor.len());
        let mut key_stream = self.key_stream(ssrc, index);
        for (input, output) in [(descriptor, descriptor_out), (rest, rest_out)] {
            key_stream.apply_keystream_b2b(input, output).map_err(|_| SrtpError::SealFailed)?;
        }
        tag.copy_from_slice(&self.tag(authenticated, &roc(index))[..self.tag_len]);
        Ok(())
    }

    /// Decrypts in place; returns the length without the tag.
    pub(super) fn open_rtp(
        &self,
        ssrc: Ssrc,
        index: u64,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let len = packet.len().checked_sub(self.tag_len).ok_or(SrtpError::TooShort)?;
        let (authenticated, tag) = packet.split_at_mut(len);
        self.verify(authenticated, &roc(index), tag)?;
        let text = authenticated.get_mut(header_len..).ok_or(SrtpError::TooShort)?;
        self.key_stream(ssrc, index).apply_keystream(text);
        Ok(len)
    }

    pub(super) fn seal_rtcp(
        &self,
        ssrc: Ssrc,
        index: u32,
        word: [u8; 4],
        packet: &mut Vec<u8>,
    ) -> Result<(), SrtpError> {
        let body = packet.get_mut(RTCP_HEADER_LEN..).ok_or(SrtpError::TooShort)?;
        self.key_stream(ssrc, u64::from(index)).apply_keystream(body);
        // RFC 3711 §3.4: the tag covers the ESRTCP word and so follows it.
        packet.extend_from_slice(&word);
        let tag = self.tag(packet, &[]);
        packet.extend_from_slice(&tag[..self.tag_len]);
        Ok(())
    }

    /// `packet` ends with the ESRTCP word and the tag. Decrypts in place; returns the length without them.
    pub(super) fn open_rtcp(&self, ssrc: Ssrc, index: u32, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let authenticated_len = packet.len().checked_sub(self.tag_len).ok_or(SrtpError::TooShort)?;
        let len = authenticated_len.checked_sub(4).ok_or(SrtpError::TooShort)?;
        let (authenticated, tag) = packet.split_at_mut(authenticated_len);
        self.verify(authenticated, &[], tag)?;
        let body = authenticated.get_mut(RTCP_HEADER_LEN..len).ok_or(SrtpError::TooShort)?;
        self.key_stream(ssrc, u64::from(index)).apply_keystream(body);
        Ok(len)
    }

    /// RFC 3711 §4.1.1: IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16); the last 16 bits count blocks.
    fn key_stream(&self, ssrc: Ssrc, index: u64) -> KeyStream<'_> {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.0.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        KeyStream::from_core(CtrCore::inner_iv_init(&self.aes, (&iv).into()))
    }

    /// RFC 3711 §4.2: HMAC over the authenticated portion and, for RTP, the rollover counter.
    fn tag(&self, authenticated: &[u8], roc: &[u8]) -> [u8; 20] {
        let mut hmac = self.hmac.clone();
        hmac.update(authenticated);
        hmac.update(roc);
        hmac.finalize().into_bytes().into()
    }

    fn verify(&self, authenticated: &[u8], roc: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        let expected = self.tag(authenticated, roc);
        if expected[..self.tag_len].ct_eq(tag).into() { Ok(()) } else { Err(SrtpError::AuthenticationFailed) }
    }
}

/// The rollover counter: the upper 32 of the 48 bits.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::cipher::tests::hex;

    #[test]
    fn rfc3711_b2_key_stream() {
        let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let cm = AesCm::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C"), salt, &[0; 20], 10).unwrap();
        let mut stream = vec![0; 0xff02 * 16];
        cm.key_stream(Ssrc(0), 0).apply_keystream(&mut stream);
        for (block, expected) in [
            (0x0000, "E03EAD0935C95E80E166B16DD92B4EB4"),
            (0x0001, "D23513162B02D0F72A43A2FE4A5F97AB"),
            (0x0002, "41E95B3BB0A2E8DD477901E4FCA894C0"),
            (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
            (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
            (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
        ] {
            assert_eq!(stream[block * 16..][..16], hex(expected), "block {block:#x}");
        }
    }
}
