//! TLS of the signalling: which certificates of a server are accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Which certificate of the server is accepted. The default is [`ServerTrust::SystemRoots`].
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Which certificate is accepted.
    pub trust: ServerTrust,
}

/// Which certificate of the server is accepted.
#[derive(Clone, Debug, Default)]
pub enum ServerTrust {
    /// One that an authority of the operating system has signed for the host of the URL.
    #[default]
    SystemRoots,
    /// One that one of these authorities has signed for the host of the URL.
    Roots(Vec<CertificateDer<'static>>),
    /// The one with this SHA-256 fingerprint, whatever its host and validity: a self-made certificate that is known.
    Fingerprint([u8; 32]),
    /// Any. An attacker on the way can read and change everything: for tests and measurements only.
    AnyCertificate,
}

/// Why TLS options can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsOptionsError {
    /// The certificates of the operating system can't be read.
    #[error("the certificates of the operating system can't be read: {0}")]
    SystemRoots(String),
    /// A certificate of an authority is malformed.
    #[error("a certificate of an authority can't be read: {0}")]
    Roots(String),
    /// The fingerprint is malformed.
    #[error("{0:?} is not a SHA-256 fingerprint, which is 32 bytes in hexadecimal")]
    Fingerprint(String),
    /// A setting of rustls.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl TlsOptions {
    /// Accepts any certificate; see [`ServerTrust::AnyCertificate`].
    pub fn accept_any_certificate() -> Self {
        Self { trust: ServerTrust::AnyCertificate }
    }

    /// Accepts the certificate with this SHA-256 fingerprint, in hexadecimal with or without colons.
    ///
    /// # Errors
    /// [`TlsOptionsError::Fingerprint`].
    pub fn accept_fingerprint(fingerprint: &str) -> Result<Self, TlsOptionsError> {
        let wrong = || TlsOptionsError::Fingerprint(fingerprint.chars().take(200).collect());
        let digits: Vec<_> = fingerprint.bytes().filter(|byte| *byte != b':').collect();
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks(2)) {
            let text = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(text, 16).map_err(|_| wrong())?;
        }
        Ok(Self { trust: ServerTrust::Fingerprint(digest) })
    }

    /// Accepts what the authorities of a PEM text have signed.
    ///
    /// # Errors
    /// [`TlsOptionsError::Roots`].
    pub fn accept_roots(pem: &[u8]) -> Result<Self, TlsOptionsError> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| TlsOptionsError::Roots(error.to_string()))?;
        if certificates.is_empty() {
            return Err(TlsOptionsError::Roots("the PEM text has no certificate".to_owned()));
        }
        Ok(Self { trust: ServerTrust::Roots(certificates) })
    }

    /// The settings of rustls, with aws-lc-rs.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, TlsOptionsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let config = match &self.trust {
            ServerTrust::SystemRoots => builder.with_root_certificates(system_roots()?),
            ServerTrust::Roots(certificates) => builder.with_root_certificates(roots(certificates)?),
            ServerTrust::Fingerprint(digest) => {
                let verifier = Arc::new(Pinned { digest: Some(*digest), provider });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            ServerTrust::AnyCertificate => {
                let verifier = Arc::new(Pinned { digest: None, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        Ok(Arc::new(config.with_no_client_auth()))
    }
}

fn system_roots() -> Result<RootCertStore, TlsOptionsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // Systems hold certificates that rustls does not read.
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let why = if errors.is_empty() { "there are none".to_owned() } else { errors.join("; ") };
        return Err(TlsOptionsError::SystemRoots(why));
    }
    Ok(store)
}

fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsOptionsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone()).map_err(|error| TlsOptionsError::Roots(error.to_string()))?;
    }
    Ok(store)
}

/// Accepts one certificate, or any. The server must still prove that it has the key.
#[derive(Debug)]
struct Pinned {
    digest: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(expected) = self.digest else { return Ok(ServerCertVerified::assertion()) };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        if digest.as_ref() == expected {
            return Ok(ServerCertVerified::assertion());
        }
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Err(rustls::Error::General(format!("the server's certificate has the SHA-256 fingerprint {hex}")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_with_and_without_colons() {
        let plain = "0f".repeat(32);
        let colons = ["0F"; 32].join(":");
        for text in [&plain, &colons] {
            let options = TlsOptions::accept_fingerprint(text).unwrap();
            assert!(matches!(options.trust, ServerTrust::Fingerprint(digest) if digest == [0x0f; 32]));
        }
        for wrong in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &"é".repeat(32)] {
            let error = TlsOptions::accept_fingerprint(wrong).unwrap_err();
            assert!(error.to_string().contains("is not a SHA-256 fingerprint"), "{error}");
        }
    }

    #[test]
    fn authorities_that_are_none_are_refused() {
        for pem in [&b""[..], b"nothing", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(TlsOptions::accept_roots(pem), Err(TlsOptionsError::Roots(_))));
        }
        let garbage = ServerTrust::Roots(vec![CertificateDer::from(vec![1, 2, 3])]);
        let error = TlsOptions { trust: garbage }.client_config().unwrap_err();
        assert!(matches!(error, TlsOptionsError::Roots(_)), "{error}");
    }
}
