//! Certificate fingerprints in the form of SDP and mediasoup (RFC 8122 §5).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use smallvec::SmallVec;

use super::DtlsError;

const MAX_DIGEST_LEN: usize = 64;

/// The hash of a [`Fingerprint`] (mediasoup's FingerprintAlgorithm).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FingerprintAlgorithm {
    /// "sha-1"
    Sha1,
    /// "sha-224"
    Sha224,
    /// "sha-256"
    Sha256,
    /// "sha-384"
    Sha384,
    /// "sha-512"
    Sha512,
}

impl FingerprintAlgorithm {
    /// All algorithms, weakest first.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Name in SDP and in mediasoup's DtlsParameters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Length of the digest in bytes.
    pub(crate) const fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for FingerprintAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FingerprintAlgorithm {
    type Err = FingerprintError;

    /// RFC 8122 §5: hash-func tokens are compared without regard to case.
    fn from_str(name: &str) -> Result<Self, FingerprintError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| FingerprintError::UnknownAlgorithm(name.chars().take(32).collect()))
    }
}

/// The hash of a certificate's DER encoding. Displays as "AA:BB:…", without the algorithm.
#[derive(Clone, Copy)]
pub struct Fingerprint {
    algorithm: FingerprintAlgorithm,
    digest: [u8; MAX_DIGEST_LEN],
}

impl Fingerprint {
    /// The fingerprint of a DER certificate.
    pub(crate) fn of_certificate(algorithm: FingerprintAlgorithm, der: &[u8]) -> Self {
        let mut digest = [0; MAX_DIGEST_LEN];
        digest[..algorithm.digest_len()].copy_from_slice(digest::digest(algorithm.digest(), der).as_ref());
        Self { algorithm, digest }
    }

    /// Reads "AA:BB:…": two hex digits a byte, in either case, separated by colons.
    ///
    /// # Errors
    /// [`FingerprintError::BadValue`] if it is not of that form or has another length than the algorithm's digest.
    pub fn parse(algorithm: FingerprintAlgorithm, value: &str) -> Result<Self, FingerprintError> {
        let bad = || FingerprintError::BadValue { algorithm, expected_bytes: algorithm.digest_len() };
        let mut digest = [0; MAX_DIGEST_LEN];
        let mut bytes = value.split(':');
        for (slot, text) in digest[..algorithm.digest_len()].iter_mut().zip(&mut bytes) {
            if text.len() != 2 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *slot = u8::from_str_radix(text, 16).map_err(|_| bad())?;
        }
        let expected_len = algorithm.digest_len() * 3 - 1;
        if value.len() != expected_len { Err(bad()) } else { Ok(Self { algorithm, digest }) }
    }

    /// The hash algorithm.
    pub fn algorithm(&self) -> FingerprintAlgorithm {
        self.algorithm
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digest[..self.algorithm.digest_len()]
    }

    /// True if this is the fingerprint of a DER certificate.
    pub fn matches(&self, der: &[u8]) -> bool {
        Self::of_certificate(self.algorithm, der) == *self
    }
}

/// Fingerprints of one hash, one of which the peer's certificate must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFingerprints(SmallVec<[Fingerprint; 1]>);

impl RemoteFingerprints {
    /// The fingerprints of the strongest hash among `signalled`; any of them may match (RFC 8122 §5). `None` for an
    /// empty list.
    pub fn strongest(signalled: impl IntoIterator<Item = Fingerprint>) -> Option<Self> {
        let mut strongest: SmallVec<[Fingerprint; 1]> = SmallVec::new();
        for fingerprint in signalled {
            match strongest.first().map(|known| fingerprint.algorithm.cmp(&known.algorithm)) {
                Some(Ordering::Less) => continue,
                Some(Ordering::Greater) => strongest.clear(),
                Some(Ordering::Equal) | None => {}
            }
            if !strongest.contains(&fingerprint) {
                strongest.push(fingerprint);
            }
        }
        (!strongest.is_empty()).then_some(Self(strongest))
    }

    /// Checks a DER certificate.
    ///
    /// # Errors
    /// [`DtlsError::WrongFingerprint`] if it has none of the fingerprints.
    pub(super) fn verify(&self, der: &[u8]) -> Result<(), DtlsError> {
        let algorithm = self.0[0].algorithm;
        let actual = Fingerprint::of_certificate(algorithm, der);
        if self.0.contains(&actual) {
            return Ok(());
        }
        let expected = self.0.iter().map(Fingerprint::to_string).collect::<Vec<_>>().join(" or ");
        Err(DtlsError::WrongFingerprint { algorithm, expected, actual: actual.to_string() })
    }
}

impl From<Fingerprint> for RemoteFingerprints {
    fn from(fingerprint: Fingerprint) -> Self {
        Self(SmallVec::from_elem(fingerprint, 1))
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Fingerprint {}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.as_bytes().iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({} {self})", self.algorithm)
    }
}

/// Why a fingerprint or algorithm name is invalid. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// Not one of "sha-1", "sha-224", "sha-256", "sha-384", "sha-512".
    #[error("unknown fingerprint algorithm {0:?}")]
    UnknownAlgorithm(String),
    /// Not colon-separated hex of the right length.
    #[error("a {algorithm} fingerprint is {expected_bytes} colon-separated hex bytes")]
    BadValue {
        /// The algorithm of the fingerprint.
        algorithm: FingerprintAlgorithm,
        /// Length of its digest.
        expected_bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 example digests of "abc".
    #[test]
    fn digests_match_published_vectors() {
        let of_abc = |algorithm| Fingerprint::of_certificate(algorithm, b"abc").to_string();
        assert_eq!(
            of_abc(FingerprintAlgorithm::Sha1),
            "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D"
        );
        assert!(of_abc(FingerprintAlgorithm::Sha224).starts_with("23:09:7D:22:34:05:D8:22"));
        assert!(of_abc(FingerprintAlgorithm::Sha256).starts_with("BA:78:16:BF:8F:01:CF:EA"));
        assert!(of_abc(FingerprintAlgorithm::Sha384).starts_with("CB:00:75:3F:45:A3:5E:8B"));
        assert!(of_abc(FingerprintAlgorithm::Sha512).starts_with("DD:AF:35:A1:93:61:7A:BA"));
    }

    #[test]
    fn parse_reads_what_display_writes_in_either_case() {
        for algorithm in FingerprintAlgorithm::ALL {
            let fingerprint = Fingerprint::of_certificate(algorithm, b"certificate");
            let text = fingerprint.to_string();
            assert_eq!(Fingerprint::parse(algorithm, &text), Ok(fingerprint));
            assert_eq!(Fingerprint::parse(algorithm, &text.to_lowercase()), Ok(fingerprint));
            assert_eq!(algorithm.as_str().to_uppercase().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn parse_refuses_wrong_length_and_wrong_digits() {
        let good = Fingerprint::of_certificate(FingerprintAlgorithm::Sha1, b"x").to_string();
        let cases = [
            String::new(),
            good[..good.len() - 3].to_owned(),
            format!("{good}:00"),
            good.replace(':', ""),
            good.replacen(':', ";", 1),
            format!("+1{}", &good[2..]),
            format!("é{}", &good[2..]),
        ];
        for text in cases {
            assert!(Fingerprint::parse(FingerprintAlgorithm::Sha1, &text).is_err(), "{text:?}");
        }
        assert!("sha-3".parse::<FingerprintAlgorithm>().is_err());
    }

    #[test]
    fn any_fingerprint_of_the_strongest_hash_may_match() {
        let of = Fingerprint::of_certificate;
        use FingerprintAlgorithm::{Sha1, Sha256};
        let remote = RemoteFingerprints::strongest([
            of(Sha1, b"weak"),
            of(Sha256, b"old"),
            of(Sha256, b"new"),
            of(Sha1, b"weak too"),
            of(Sha256, b"old"),
        ])
        .unwrap();
        assert_eq!(remote.0.len(), 2);
        assert!(remote.verify(b"old").is_ok() && remote.verify(b"new").is_ok());
        // Neither the fingerprint of another certificate, nor one that matches by a weaker hash only.
        for wrong in [b"other".as_slice(), b"weak", b"weak too"] {
            assert!(matches!(
                remote.verify(wrong),
                Err(DtlsError::WrongFingerprint { algorithm: Sha256, .. })
            ));
        }
        assert_eq!(RemoteFingerprints::strongest([]), None);
    }

    #[test]
    fn fingerprints_of_different_algorithms_differ() {
        let one = Fingerprint::of_certificate(FingerprintAlgorithm::Sha256, b"a");
        assert_ne!(one, Fingerprint::of_certificate(FingerprintAlgorithm::Sha384, b"a"));
        assert!(one.matches(b"a"));
        assert!(!one.matches(b"b"));
    }
}
