use std::fmt;
use std::str::FromStr;

/// A crypto suite (protection profile) of SRTP, under mediasoup's names (`SrtpCryptoSuite`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SrtpSuite {
    /// AES-256-GCM with a 128-bit tag (RFC 7714).
    AeadAes256Gcm,
    /// AES-128-GCM with a 128-bit tag (RFC 7714).
    AeadAes128Gcm,
    /// AES-128 counter mode, HMAC-SHA1 with an 80-bit tag (RFC 3711).
    AesCm128HmacSha1_80,
    /// AES-128 counter mode, HMAC-SHA1 with a 32-bit tag on RTP and an 80-bit tag on RTCP (RFC 5764 §4.1.2).
    AesCm128HmacSha1_32,
}

impl SrtpSuite {
    /// All suites, the strongest first.
    pub const ALL: [Self; 4] =
        [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// Length of the master key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16,
        }
    }

    /// Length of the master salt in bytes.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
        }
    }

    /// Number of bytes that protection adds to an RTP packet.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::AesCm128HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 => 4,
        }
    }

    /// Number of bytes that protection adds to an RTCP packet: its tag and the word with the E bit and the index.
    pub(crate) const fn rtcp_overhead(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16 + 4,
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 10 + 4,
        }
    }

    /// mediasoup's name of the suite, such as `AEAD_AES_128_GCM`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }
}

impl fmt::Display for SrtpSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SrtpSuite {
    type Err = UnknownSrtpSuite;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.as_str() == name)
            .ok_or_else(|| UnknownSrtpSuite(name.to_owned()))
    }
}

/// Error for a name that no [`SrtpSuite`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown SRTP crypto suite {0:?}")]
pub struct UnknownSrtpSuite(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_reads_back_its_name() {
        for suite in SrtpSuite::ALL {
            assert_eq!(suite.to_string().parse(), Ok(suite));
        }
        assert_eq!("AEAD_AES_128_GCM".parse(), Ok(SrtpSuite::AeadAes128Gcm));
        assert_eq!("AES_CM_128_HMAC_SHA1_32".parse(), Ok(SrtpSuite::AesCm128HmacSha1_32));
    }

    #[test]
    fn unknown_name_is_named_in_the_error() {
        let error = "F8_128_HMAC_SHA1_80".parse::<SrtpSuite>().unwrap_err();
        assert!(error.to_string().contains("F8_128_HMAC_SHA1_80"));
    }
}
