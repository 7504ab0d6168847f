//! Protection of a transport's packets: SRTP or none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::RngCore;

use crate::api::RequestError;
use tureen_rtc::srtp::{NonceGuard, SrtpError, SrtpOpener, SrtpSealer, SrtpSuite};
use tureen_rtc::units::Ssrc;
use tureen_types::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};

/// Default maximum number of remote SSRCs at a time, until the transport sets its own limit.
const DEFAULT_STREAMS: usize = 256;

/// Protects outgoing packets.
#[derive(Debug)]
pub enum Sealer {
    /// Encrypts and authenticates.
    Srtp(SrtpSealer),
    /// Copies packets, on a transport without SRTP.
    Plain,
}

/// Verifies incoming packets.
#[derive(Debug)]
pub enum Opener {
    /// Authenticates and decrypts.
    Srtp(Box<SrtpOpener>),
    /// Accepts all packets, on a transport without SRTP.
    Plain,
}

/// SRTP master key and salt of one direction of a transport without DTLS.
pub struct MasterKey {
    suite: SrtpSuite,
    bytes: Vec<u8>,
    /// Nonce guard shared by all sealers of the key.
    guard: NonceGuard,
}

impl Sealer {
    /// Number of bytes that protection adds to an RTP packet.
    pub fn rtp_tag_len(&self) -> usize {
        match self {
            Self::Srtp(srtp) => srtp.suite().rtp_tag_len(),
            Self::Plain => 0,
        }
    }

    /// Completes an RTP packet whose header is in the first `header_len` bytes of `out`; see
    /// [`SrtpSealer::seal_rtp_after_header`].
    ///
    /// # Errors
    /// `out` is too small, or SRTP sealing fails.
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
        match self {
            Self::Srtp(srtp) => {
                srtp.seal_rtp_after_header(ssrc, packet_index, header_len, descriptor, rest, out)
            }
            Self::Plain => {
                let len = header_len + descriptor.len() + rest.len();
                let payload = out.get_mut(header_len..len).ok_or(SrtpError::BufferTooSmall)?;
                let (front, back) = payload.split_at_mut(descriptor.len());
                front.copy_from_slice(descriptor);
                back.copy_from_slice(rest);
                Ok(len)
            }
        }
    }

    /// Records the end of a stream; see [`SrtpSealer::end_stream`].
    pub fn end_stream(&mut self, ssrc: Ssrc, next_index: u64) {
        if let Self::Srtp(srtp) = self {
            srtp.end_stream(ssrc, next_index);
        }
    }

    /// First SRTP index for a new stream with this SSRC; see [`SrtpSealer::next_index`].
    pub fn next_index(&self, ssrc: Ssrc) -> Option<u64> {
        match self {
            Self::Srtp(srtp) => srtp.next_index(ssrc),
            Self::Plain => None,
        }
    }

    /// Number of SSRCs of ended streams whose indices must not be used again.
    pub fn ended_streams(&self) -> usize {
        match self {
            Self::Srtp(srtp) => srtp.ended_streams(),
            Self::Plain => 0,
        }
    }

    /// Completes a compound RTCP packet in place.
    ///
    /// # Errors
    /// SRTP sealing fails.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        match self {
            Self::Srtp(srtp) => srtp.seal_rtcp(packet),
            Self::Plain => Ok(()),
        }
    }
}

impl Opener {
    /// Creates an opener for the remote endpoint's key.
    ///
    /// # Errors
    /// The key or the salt does not have the length that `suite` requires.
    pub fn srtp(suite: SrtpSuite, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        Ok(Self::Srtp(Box::new(SrtpOpener::new(suite, key, salt, DEFAULT_STREAMS)?)))
    }

    /// Opens an RTP packet in place and returns its length; see [`SrtpOpener::open_rtp`].
    ///
    /// # Errors
    /// SRTP opening fails.
    pub fn open_rtp(
        &mut self,
        packet: &mut [u8],
        ssrc: Ssrc,
        seq: u16,
        header_len: usize,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Srtp(srtp) => Ok(srtp.open_rtp(packet, ssrc, seq, header_len)?.len),
            Self::Plain => Ok(packet.len()),
        }
    }

    /// Opens a compound RTCP packet in place and returns its length.
    ///
    /// # Errors
    /// SRTP opening fails.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        match self {
            Self::Srtp(srtp) => srtp.open_rtcp(packet),
            Self::Plain => Ok(packet.len()),
        }
    }

    /// Records that the Producer of an SSRC was closed; see [`SrtpOpener::end_stream`].
    pub fn end_stream(&mut self, ssrc: Ssrc) {
        if let Self::Srtp(srtp) = self {
            srtp.end_stream(ssrc);
        }
    }

    /// Sets the maximum number of remote SSRCs at a time.
    pub fn set_max_streams(&mut self, max_streams: usize) {
        if let Self::Srtp(srtp) = self {
            srtp.set_max_streams(max_streams);
        }
    }

    /// Number of SSRCs evicted in favour of others.
    pub fn evicted_streams(&self) -> u64 {
        match self {
            Self::Srtp(srtp) => srtp.evicted_streams(),
            Self::Plain => 0,
        }
    }
}

impl MasterKey {
    /// Generates a local key.
    pub fn generate(suite: SrtpCryptoSuite, rng: &mut impl RngCore) -> Self {
        let suite = srtp_suite(suite);
        let mut bytes = vec![0; suite.key_len() + suite.salt_len()];
        rng.fill_bytes(&mut bytes);
        Self { suite, bytes, guard: NonceGuard::default() }
    }

    /// Parses the remote endpoint's key.
    ///
    /// # Errors
    /// The key is not Base64, or does not have the length that the suite requires.
    pub fn parse(parameters: &SrtpParameters) -> Result<Self, RequestError> {
        let suite = srtp_suite(parameters.crypto_suite);
        let bytes = BASE64
            .decode(&parameters.key_base64)
            .map_err(|error| RequestError::Invalid(format!("srtpParameters.keyBase64: {error}")))?;
        let expected = suite.key_len() + suite.salt_len();
        if bytes.len() != expected {
            let len = bytes.len();
            let text = format!(
                "invalid decoded SRTP key length: {suite} has key and salt of {expected} bytes, not {len}"
            );
            return Err(RequestError::Invalid(text));
        }
        Ok(Self { suite, bytes, guard: NonceGuard::default() })
    }

    /// Checks that the remote endpoint's key differs from this one. One key for both directions would seal packets of
    /// the same SSRC and index with the same nonce, and sent packets could be replayed to their sender.
    ///
    /// # Errors
    /// The keys are equal.
    pub fn check_differs(&self, remote: &Self) -> Result<(), RequestError> {
        if self.suite != remote.suite || self.bytes != remote.bytes {
            return Ok(());
        }
        let text =
            "srtpParameters.keyBase64 is the key of this transport: each direction needs one of its own";
        Err(RequestError::Invalid(text.to_owned()))
    }

    /// SRTP parameters of the key for the remote endpoint.
    pub fn parameters(&self) -> SrtpParameters {
        SrtpParameters { crypto_suite: api_suite(self.suite), key_base64: BASE64.encode(&self.bytes) }
    }

    /// SRTP suite of the key.
    pub fn suite(&self) -> SrtpCryptoSuite {
        api_suite(self.suite)
    }

    /// Creates a sealer with this key.
    pub fn sealer(&self) -> Sealer {
        let (key, salt) = self.split();
        let sealer = SrtpSealer::new(self.suite, key, salt).expect(LENGTH);
        Sealer::Srtp(sealer.with_guard(self.guard.clone()))
    }

    /// Creates an opener for packets sealed with this key.
    pub fn opener(&self) -> Opener {
        let (key, salt) = self.split();
        Opener::srtp(self.suite, key, salt).expect(LENGTH)
    }

    fn split(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.suite.key_len())
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

const LENGTH: &str = "a master key is as long as its suite demands";

fn srtp_suite(suite: SrtpCryptoSuite) -> SrtpSuite {
    match suite {
        SrtpCryptoSuite::AeadAes256Gcm => SrtpSuite::AeadAes256Gcm,
        SrtpCryptoSuite::AeadAes128Gcm => SrtpSuite::AeadAes128Gcm,
        SrtpCryptoSuite::AesCm128HmacSha180 => SrtpSuite::AesCm128HmacSha1_80,
        SrtpCryptoSuite::AesCm128HmacSha132 => SrtpSuite::AesCm128HmacSha1_32,
    }
}

fn api_suite(suite: SrtpSuite) -> SrtpCryptoSuite {
    match suite {
        SrtpSuite::AeadAes256Gcm => SrtpCryptoSuite::AeadAes256Gcm,
        SrtpSuite::AeadAes128Gcm => SrtpCryptoSuite::AeadAes128Gcm,
        SrtpSuite::AesCm128HmacSha1_80 => SrtpCryptoSuite::AesCm128HmacSha180,
        SrtpSuite::AesCm128HmacSha1_32 => SrtpCryptoSuite::AesCm128HmacSha132,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const SUITES: [SrtpCryptoSuite; 4] = [
        SrtpCryptoSuite::AeadAes256Gcm,
        SrtpCryptoSuite::AeadAes128Gcm,
        SrtpCryptoSuite::AesCm128HmacSha180,
        SrtpCryptoSuite::AesCm128HmacSha132,
    ];

    /// Header of 12 bytes, SSRC 7.
    const HEADER: [u8; 12] = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];

    fn seal(sealer: &Sealer) -> Vec<u8> {
        let mut out = [0; 100];
        out[..12].copy_from_slice(&HEADER);
        let len = sealer.seal_rtp_after_header(Ssrc(7), 1, 12, b"ab", b"cde", &mut out).unwrap();
        assert_eq!(len, 12 + 5 + sealer.rtp_tag_len());
        out[..len].to_vec()
    }

    #[test]
    fn announced_key_opens_sealed_packets() {
        let mut rng = StdRng::seed_from_u64(1);
        for suite in SUITES {
            let key = MasterKey::generate(suite, &mut rng);
            let told = MasterKey::parse(&key.parameters()).unwrap();
            let mut packet = seal(&key.sealer());
            assert_ne!(packet[12..17], *b"abcde");
            let len = told.opener().open_rtp(&mut packet, Ssrc(7), 1, 12).unwrap();
            assert_eq!(packet[12..len], *b"abcde");
        }
    }

    #[test]
    fn plain_sealer_copies_and_respects_the_buffer() {
        let mut packet = seal(&Sealer::Plain);
        assert_eq!(packet[12..], *b"abcde");
        assert_eq!(Opener::Plain.open_rtp(&mut packet, Ssrc(7), 1, 12), Ok(17));
        let mut small = [0; 16];
        let sealed = Sealer::Plain.seal_rtp_after_header(Ssrc(7), 1, 12, b"ab", b"cde", &mut small);
        assert_eq!(sealed, Err(SrtpError::BufferTooSmall));
    }

    #[test]
    fn key_of_wrong_length_or_no_base64_is_refused() {
        let mut parameters = MasterKey::generate(SUITES[0], &mut StdRng::seed_from_u64(2)).parameters();
        parameters.crypto_suite = SrtpCryptoSuite::AeadAes128Gcm;
        let error = MasterKey::parse(&parameters).unwrap_err();
        assert!(error.to_string().starts_with("invalid decoded SRTP key length"), "{error}");
        parameters.key_base64 = "not base64!".to_owned();
        assert!(matches!(MasterKey::parse(&parameters), Err(RequestError::Invalid(_))));
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        let key = MasterKey::generate(SUITES[1], &mut StdRng::seed_from_u64(3));
        assert_eq!(format!("{key:?}"), "MasterKey { suite: AeadAes128Gcm, .. }");
    }
}
