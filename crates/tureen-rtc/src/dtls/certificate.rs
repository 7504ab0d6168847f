//! The local certificate: generated, or loaded from the PEM files of a Worker's settings.

use crate::log;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::fill;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _};
use pem::Pem;
use x509_cert::Certificate as X509;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};

use super::fingerprint::{Fingerprint, FingerprintAlgorithm};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Fewest bits of a local RSA key. With OpenSSL the limit is mediasoup's.
const MIN_RSA_BITS: usize = if cfg!(feature = "openssl") { 1024 } else { STRONG_RSA_BITS };
/// An RSA key of fewer bits is weak (NIST SP 800-131A); aws-lc does not take it.
const STRONG_RSA_BITS: usize = 2048;

/// A certificate with its private key. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    /// PKCS #8 for ECDSA; PKCS #8 or PKCS #1 for RSA.
    key_der: Vec<u8>,
    kind: CertificateKind,
    fingerprints: [Fingerprint; 5],
}

/// Key type of a [`Certificate`]. It decides which DTLS backend can use the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// ECDSA on P-256 or P-384.
    Ecdsa,
    /// RSA of 2048 to 8192 bits; from 1024 on with the cargo feature `openssl`.
    Rsa,
}

impl Certificate {
    /// Generates a self-signed ECDSA P-256 certificate with a random serial number.
    ///
    /// # Errors
    /// [`CertificateError::Generation`] if the system's random source fails.
    pub fn generate() -> Result<Self, CertificateError> {
        let failed = |reason: &dyn fmt::Display| CertificateError::Generation(reason.to_string());
        let key =
            rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|error| failed(&error))?;

        // Firefox refuses two certificates of one issuer with the same serial number. RFC 5280 §4.1.2.2: it is a
        // positive integer of at most 20 octets.
        let mut serial = [0; 16];
        fill(&mut serial).map_err(|error| failed(&error))?;
        serial[0] = serial[0] & 0x7f | 0x40;

        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "WebRTC");
        params.serial_number = Some(rcgen::SerialNumber::from(serial.to_vec()));
        // No peer checks the dates, because the fingerprint authenticates (RFC 8827 §6.5), so no clock is read.
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
        Ok(Self::new(certificate.der().to_vec(), key.serialize_der(), CertificateKind::Ecdsa))
    }

    /// Loads the first certificate and the first private key of two PEM files (mediasoup's dtlsCertificateFile and
    /// dtlsPrivateKeyFile). Keys: EC as PKCS #8 or SEC 1 on P-256 or P-384, RSA as PKCS #8 or PKCS #1. RSA keys below
    /// 2048 bits are logged as weak.
    ///
    /// # Errors
    /// Names the faulty file and the reason, or [`CertificateError::KeyMismatch`] if the key is not the certificate's.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let bad_certificate = |reason: &str| CertificateError::BadCertificate(reason.to_owned());
        let bad_key = |reason: &str| CertificateError::BadKey(reason.to_owned());

        let blocks = pem::parse_many(certificate).map_err(|error| bad_certificate(&error.to_string()))?;
        let der = blocks
            .into_iter()
            .find(|block| block.tag() == "CERTIFICATE")
            .map(Pem::into_contents)
            .ok_or_else(|| bad_certificate("it has no CERTIFICATE block"))?;
        let public = PublicKey::of_certificate(&der)?;

        let blocks = pem::parse_many(key).map_err(|error| bad_key(&error.to_string()))?;
        if blocks.iter().any(|block| block.tag() == "ENCRYPTED PRIVATE KEY" || is_legacy_encrypted(block)) {
            return Err(bad_key("it is encrypted; only unencrypted keys are supported"));
        }
        let key = blocks
            .into_iter()
            .find(|block| matches!(block.tag(), "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY"))
            .ok_or_else(|| bad_key("it has no PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY block"))?;

        match public {
            PublicKey::Ec { point, algorithm } => {
                if key.tag() == "RSA PRIVATE KEY" {
                    return Err(CertificateError::KeyMismatch);
                }
                let pair = EcdsaKeyPair::from_private_key_der(algorithm, key.contents())
                    .map_err(|error| bad_key(&format!("not a key of the certificate's curve ({error})")))?;
                if pair.public_key().as_ref() != point {
                    return Err(CertificateError::KeyMismatch);
                }
                let pkcs8 = pair.to_pkcs8v1().map_err(|_| bad_key("it can't be encoded as PKCS #8"))?;
                Ok(Self::new(der, pkcs8.as_ref().to_vec(), CertificateKind::Ecdsa))
            }
            PublicKey::Rsa { pkcs1, bits } => {
                if key.tag() == "EC PRIVATE KEY" {
                    return Err(CertificateError::KeyMismatch);
                }
                if bits < MIN_RSA_BITS {
                    return Err(bad_certificate(&format!(
                        "its RSA key has {bits} bits; the fewest are {MIN_RSA_BITS}"
                    )));
                }
                if rsa_public_key(&key, bits).map_err(|reason| bad_key(&reason))? != pkcs1 {
                    return Err(CertificateError::KeyMismatch);
                }
                if bits < STRONG_RSA_BITS {
                    tracing::warn!(
                        target: log::DTLS,
                        bits,
                        "the RSA key of the DTLS certificate is weak: use {STRONG_RSA_BITS} bits"
                    );
                }
                Ok(Self::new(der, key.into_contents(), CertificateKind::Rsa))
            }
        }
    }

    fn new(der: Vec<u8>, key_der: Vec<u8>, kind: CertificateKind) -> Self {
        let fingerprints =
            FingerprintAlgorithm::ALL.map(|algorithm| Fingerprint::of_certificate(algorithm, &der));
        Self(Arc::new(Inner { der, key_der, kind, fingerprints }))
    }

    /// The certificate, DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The private key, DER.
    pub(super) fn key_der(&self) -> &[u8] {
        &self.0.key_der
    }

    /// Type of its key.
    pub fn kind(&self) -> CertificateKind {
        self.0.kind
    }

    /// The fingerprint by one hash.
    pub fn fingerprint(&self, algorithm: FingerprintAlgorithm) -> Fingerprint {
        self.0.fingerprints[algorithm as usize]
    }

    /// The fingerprints by all hashes, in the order of [`FingerprintAlgorithm::ALL`].
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.0.fingerprints
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("kind", &self.0.kind)
            .field("fingerprint", &self.fingerprint(FingerprintAlgorithm::Sha256))
            .finish_non_exhaustive()
    }
}

/// A DER certificate in PEM form (mediasoup's dtlsRemoteCert).
pub(super) fn certificate_pem(der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&Pem::new("CERTIFICATE", der), config)
}

/// Why a certificate cannot be generated or loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Generation failed.
    #[error("can't generate a DTLS certificate: {0}")]
    Generation(String),
    /// The certificate file is invalid.
    #[error("DTLS certificate file: {0}")]
    BadCertificate(String),
    /// The private key file is invalid.
    #[error("DTLS private key file: {0}")]
    BadKey(String),
    /// The key does not belong to the certificate.
    #[error("the DTLS private key does not belong to the DTLS certificate")]
    KeyMismatch,
}

/// Public key of a certificate.
enum PublicKey {
    Ec { point: Vec<u8>, algorithm: &'static signature::EcdsaSigningAlgorithm },
    Rsa { pkcs1: Vec<u8>, bits: usize },
}

impl PublicKey {
    fn of_certificate(der: &[u8]) -> Result<Self, CertificateError> {
        let bad = |reason: &str| CertificateError::BadCertificate(reason.to_owned());
        let certificate = X509::from_der(der).map_err(|error| bad(&error.to_string()))?;
        let info = certificate.tbs_certificate().subject_public_key_info();
        let key = info.subject_public_key.raw_bytes().to_vec();
        match info.algorithm.oid {
            RSA_ENCRYPTION => {
                let bits = modulus_bits(&key).map_err(|error| bad(&format!("its RSA key: {error}")))?;
                Ok(Self::Rsa { pkcs1: key, bits })
            }
            EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.to_der().ok());
                match curve.and_then(|der| ObjectIdentifier::from_der(&der).ok()) {
                    Some(P256) => {
                        Ok(Self::Ec { point: key, algorithm: &signature::ECDSA_P256_SHA256_ASN1_SIGNING })
                    }
                    Some(P384) => {
                        Ok(Self::Ec { point: key, algorithm: &signature::ECDSA_P384_SHA384_ASN1_SIGNING })
                    }
                    _ => Err(bad("its elliptic curve is neither P-256 nor P-384")),
                }
            }
            other => Err(bad(&format!("its key is neither ECDSA nor RSA (algorithm {other})"))),
        }
    }
}

/// Bits of the modulus of an RSAPublicKey (RFC 8017 §A.1.1).
fn modulus_bits(pkcs1: &[u8]) -> x509_cert::der::Result<usize> {
    SliceReader::new(pkcs1)?.sequence(|key| {
        let modulus: UintRef<'_> = key.decode()?;
        let _exponent: UintRef<'_> = key.decode()?;
        let bytes = modulus.as_bytes();
        Ok(bytes.len() * 8 - bytes.first().map_or(0, |first| first.leading_zeros() as usize))
    })
}

/// The public key of a private RSA key in PKCS #1 form, or the reason why there is none. The certificate's key has
/// `bits`.
fn rsa_public_key(key: &Pem, bits: usize) -> Result<Vec<u8>, String> {
    #[cfg(feature = "openssl")]
    if bits < STRONG_RSA_BITS {
        return super::openssl_backend::rsa_public_key(key.contents())
            .map_err(|error| format!("not an RSA key ({error})"));
    }
    let pair = match key.tag() {
        "RSA PRIVATE KEY" => rsa::KeyPair::from_der(key.contents()),
        _ => rsa::KeyPair::from_pkcs8(key.contents()),
    };
    pair.map(|pair| pair.public_key().as_ref().to_vec())
        .map_err(|error| format!("not an RSA key of {bits} bits ({error})"))
}

/// RFC 1421 §4.6.1.1: OpenSSL marks encrypted SEC 1 and PKCS #1 keys this way.
fn is_legacy_encrypted(block: &Pem) -> bool {
    block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! testdata {
        ($name:literal) => {
            include_bytes!(concat!("testdata/", $name)).as_slice()
        };
    }

    #[test]
    fn generated_certificates_are_ecdsa_and_differ() {
        let [one, two] = [(), ()].map(|()| Certificate::generate().unwrap());
        assert_eq!(one.kind(), CertificateKind::Ecdsa);
        assert_ne!(
            one.fingerprint(FingerprintAlgorithm::Sha256),
            two.fingerprint(FingerprintAlgorithm::Sha256)
        );
        let [one, two] = [&one, &two].map(|certificate| X509::from_der(certificate.der()).unwrap());
        assert_ne!(one.tbs_certificate().serial_number(), two.tbs_certificate().serial_number());
        assert!(one.tbs_certificate().serial_number().as_bytes().len() <= 20);
    }

    #[test]
    fn generated_certificate_can_be_loaded_again_from_pem() {
        let certificate = Certificate::generate().unwrap();
        let key = pem::encode(&Pem::new("PRIVATE KEY", certificate.key_der()));
        let loaded =
            Certificate::from_pem(certificate_pem(certificate.der()).as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(loaded.fingerprints(), certificate.fingerprints());
    }

    #[test]
    fn all_key_encodings_are_loaded() {
        let cases = [
            (testdata!("ec.crt"), testdata!("ec.key"), CertificateKind::Ecdsa),
            // With a block of EC PARAMETERS before the key, as `openssl ecparam -genkey` writes it.
            (testdata!("ec.crt"), testdata!("ec-sec1.key"), CertificateKind::Ecdsa),
            (testdata!("ec384.crt"), testdata!("ec384.key"), CertificateKind::Ecdsa),
            (testdata!("rsa.crt"), testdata!("rsa.key"), CertificateKind::Rsa),
            (testdata!("rsa.crt"), testdata!("rsa-pkcs1.key"), CertificateKind::Rsa),
        ];
        for (certificate, key, kind) in cases {
            let certificate = Certificate::from_pem(certificate, key).unwrap();
            assert_eq!(certificate.kind(), kind);
        }
    }

    #[test]
    #[cfg(feature = "openssl")]
    fn rsa_key_of_1024_bits_is_loaded() {
        let (crt, key) = (testdata!("rsa1024.crt"), testdata!("rsa1024.key"));
        assert_eq!(Certificate::from_pem(crt, key).unwrap().kind(), CertificateKind::Rsa);
        let load = |key| Certificate::from_pem(crt, key).unwrap_err();
        assert_eq!(load(testdata!("rsa.key")), CertificateError::KeyMismatch);
        assert_eq!(load(testdata!("ec-sec1.key")), CertificateError::KeyMismatch);
        assert!(matches!(load(testdata!("ec.key")), CertificateError::BadKey(_)));
    }

    #[test]
    fn rsa_key_of_too_few_bits_is_refused() {
        let error = Certificate::from_pem(testdata!("rsa768.crt"), testdata!("rsa768.key")).unwrap_err();
        let reason = format!("its RSA key has 768 bits; the fewest are {MIN_RSA_BITS}");
        assert_eq!(error, CertificateError::BadCertificate(reason));
    }

    /// `openssl x509 -in ec.crt -noout -fingerprint -sha256`
    #[test]
    fn fingerprint_is_that_of_openssl() {
        let certificate = Certificate::from_pem(testdata!("ec.crt"), testdata!("ec.key")).unwrap();
        assert_eq!(
            certificate.fingerprint(FingerprintAlgorithm::Sha256).to_string(),
            "73:F4:C5:59:59:5E:94:AF:60:0B:30:21:18:26:EC:27:A3:79:D9:3E:2A:8D:9B:F5:A8:5A:94:AE:25:33:EF:71"
        );
        assert_eq!(
            certificate.fingerprint(FingerprintAlgorithm::Sha1).to_string(),
            "7D:82:5D:63:4D:DD:2A:9B:0A:F7:08:D0:23:DC:F3:19:0C:52:A8:11"
        );
        for (fingerprint, algorithm) in certificate.fingerprints().iter().zip(FingerprintAlgorithm::ALL) {
            assert_eq!(*fingerprint, certificate.fingerprint(algorithm));
        }
    }

    #[test]
    fn errors_name_the_file_at_fault() {
        let load = |certificate: &[u8], key: &[u8]| Certificate::from_pem(certificate, key).unwrap_err();
        let (crt, key) = (testdata!("ec.crt"), testdata!("ec.key"));
        assert!(matches!(load(b"", key), CertificateError::BadCertificate(_)));
        assert!(matches!(load(key, key), CertificateError::BadCertificate(_)));
        assert!(matches!(load(&crt[..200], key), CertificateError::BadCertificate(_)));
        assert!(matches!(load(testdata!("ed25519.crt"), key), CertificateError::BadCertificate(_)));
        assert!(matches!(load(crt, b""), CertificateError::BadKey(_)));
        assert!(matches!(load(crt, crt), CertificateError::BadKey(_)));
        assert!(matches!(load(crt, testdata!("ec384.key")), CertificateError::BadKey(_)));
        let encrypted = load(testdata!("rsa.crt"), testdata!("rsa-encrypted.key"));
        assert!(encrypted.to_string().contains("encrypted"), "{encrypted}");
        let other = pem::encode(&Pem::new("PRIVATE KEY", Certificate::generate().unwrap().key_der()));
        assert_eq!(load(crt, other.as_bytes()), CertificateError::KeyMismatch);
        assert_eq!(load(testdata!("rsa.crt"), testdata!("ec-sec1.key")), CertificateError::KeyMismatch);
    }
}
