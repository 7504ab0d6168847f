//! Settings of all DTLS associations of one Worker.

use std::sync::Arc;
use std::time::Duration;

use super::DtlsError;
use super::certificate::{Certificate, CertificateKind};
#[cfg(feature = "openssl")]
use super::openssl_backend;
use super::peek::ClientHello;
use crate::srtp::SrtpSuite;

/// IANA number of TLS_DHE_RSA_WITH_AES_256_GCM_SHA384.
const DHE_RSA_AES256_GCM: u16 = 0x009f;

/// Which library runs the handshakes. See the [module documentation](super) for what each one can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// `dimpl`, but `OpenSsl` (where it is compiled in) for our own RSA certificate and for peers that need it.
    #[default]
    Auto,
    /// The Rust library: DTLS 1.2 and 1.3, ECDSA only.
    Dimpl,
    /// OpenSSL: DTLS 1.2, also RSA and AES_CM_128_HMAC_SHA1_32. Needs the cargo feature `openssl`.
    OpenSsl,
}

/// Which protocol versions may be negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.3 or 1.2, as the peer offers. A client that would get AES_CM_128_HMAC_SHA1_80 by 1.3 but can have an AEAD
    /// suite by 1.2 is answered by 1.2: sealing a packet costs about five times less.
    #[default]
    Auto,
    /// DTLS 1.2 only.
    Dtls12,
    /// DTLS 1.3 only.
    Dtls13,
}

/// What can be set. The default suits a server that talks to browsers.
#[derive(Clone, Debug)]
pub struct DtlsOptions {
    /// Which library runs the handshakes.
    pub backend: Backend,
    /// Which versions may be negotiated. Only dimpl knows 1.3.
    pub versions: Versions,
    /// Acceptable SRTP suites, best first. OpenSSL follows the order. dimpl always prefers AEAD_AES_256_GCM, then
    /// AEAD_AES_128_GCM, then AES_CM_128_HMAC_SHA1_80; a handshake that ends with a suite not listed here fails.
    pub srtp_suites: Vec<SrtpSuite>,
    /// Longest datagram to send, in bytes (mediasoup: 1200). At least 256.
    pub mtu: u16,
    /// How long a handshake may take, from its first datagram. Longer keeps half-open associations in memory longer.
    pub handshake_timeout: Duration,
    /// Time to the first retransmission of a flight; doubles each time. Below the path's round-trip time every
    /// flight is sent twice. OpenSSL always starts with one second.
    pub retransmission_start: Duration,
}

impl Default for DtlsOptions {
    fn default() -> Self {
        Self {
            backend: Backend::Auto,
            versions: Versions::Auto,
            srtp_suites: vec![
                SrtpSuite::AeadAes128Gcm,
                SrtpSuite::AeadAes256Gcm,
                SrtpSuite::AesCm128HmacSha1_80,
                SrtpSuite::AesCm128HmacSha1_32,
            ],
            mtu: 1200,
            handshake_timeout: Duration::from_secs(30),
            retransmission_start: Duration::from_millis(200),
        }
    }
}

/// Checked settings and what the libraries make of them. Built once per Worker and shared.
pub struct DtlsConfig {
    pub(super) certificate: Certificate,
    pub(super) options: DtlsOptions,
    pub(super) dimpl: Arc<dimpl::Config>,
    #[cfg(feature = "openssl")]
    pub(super) openssl: openssl_backend::Contexts,
}

/// A library and the versions it may negotiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Dimpl(Versions),
    OpenSsl,
}

impl DtlsConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`DtlsError::Config`] names the setting, also if the certificate's kind or the backend needs OpenSSL and it is
    /// not compiled in.
    pub fn new(certificate: Certificate, options: DtlsOptions) -> Result<Self, DtlsError> {
        let refuse = |reason: &str| Err(DtlsError::Config(reason.to_owned()));
        let compiled_in = cfg!(feature = "openssl");
        if options.mtu < 256 {
            return refuse("the DTLS MTU must be at least 256 bytes");
        }
        if options.backend == Backend::OpenSsl && !compiled_in {
            return refuse("this build has no OpenSSL backend (cargo feature `openssl`)");
        }
        if certificate.kind() == CertificateKind::Rsa && options.backend == Backend::Dimpl {
            return refuse("an RSA certificate needs the OpenSSL backend");
        }
        if certificate.kind() == CertificateKind::Rsa && !compiled_in {
            return refuse("an RSA certificate needs the OpenSSL backend (cargo feature `openssl`)");
        }
        let dimpl_only = certificate.kind() == CertificateKind::Ecdsa && options.backend != Backend::OpenSsl;
        if options.versions == Versions::Dtls13 && !dimpl_only {
            return refuse("the OpenSSL backend has no DTLS 1.3");
        }

        let dimpl = dimpl::Config::builder()
            .mtu(options.mtu.into())
            // ICE has validated the path before any datagram gets here, so the cookie exchange would only cost a
            // round trip (RFC 8827 §6.5 does not ask for it).
            .use_server_cookie(false)
            .flight_start_rto(options.retransmission_start)
            // The overall timeout ends it; this also bounds what duplicates of the peer can make us resend.
            .flight_retries(32)
            .handshake_timeout(options.handshake_timeout)
            .max_queue_rx(64)
            .max_queue_tx(64)
            .build()
            .map_err(|error| DtlsError::Config(error.to_string()))?;
        #[cfg(feature = "openssl")]
        let openssl = openssl_backend::Contexts::new(&certificate, &options.srtp_suites)?;
        Ok(Self {
            certificate,
            options,
            dimpl: Arc::new(dimpl),
            #[cfg(feature = "openssl")]
            openssl,
        })
    }

    /// Our certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// What runs a handshake in which we are the client, at first.
    pub(super) fn choose_as_client(&self) -> Choice {
        match self.options.backend {
            Backend::OpenSsl => Choice::OpenSsl,
            Backend::Auto if self.certificate.kind() == CertificateKind::Rsa => Choice::OpenSsl,
            Backend::Auto | Backend::Dimpl => Choice::Dimpl(self.options.versions),
        }
    }

    /// Whether a client may start again with OpenSSL after the server refused its ClientHello.
    pub(super) fn may_fall_back(&self) -> bool {
        self.options.backend == Backend::Auto && cfg!(feature = "openssl")
    }

    /// What answers the given ClientHello.
    pub(super) fn choose_as_server(&self, hello: &ClientHello) -> Choice {
        let Choice::Dimpl(versions) = self.choose_as_client() else { return Choice::OpenSsl };
        if self.may_fall_back() && hello.dtls12 && needs_openssl(hello) {
            return Choice::OpenSsl;
        }
        let dimpl12_can =
            hello.dtls12 && [0xc02b, 0xc02c].iter().any(|suite| hello.cipher_suites.contains(suite));
        let aead = |profile: &u16| matches!(profile, 7 | 8);
        let first = hello.srtp_profiles.iter().find(|profile| matches!(profile, 1 | 7 | 8));
        let dtls13_gets_cm = first == Some(&1) && hello.srtp_profiles.iter().any(aead);
        if versions == Versions::Auto && hello.dtls13 && dimpl12_can && dtls13_gets_cm {
            return Choice::Dimpl(Versions::Dtls12);
        }
        Choice::Dimpl(versions)
    }
}

/// Whether a client can only, or probably, be served by OpenSSL.
fn needs_openssl(hello: &ClientHello) -> bool {
    let only_cm32 =
        !hello.srtp_profiles.is_empty() && !hello.srtp_profiles.iter().any(|p| matches!(p, 1 | 7 | 8));
    // A client does not say in its ClientHello that its certificate is RSA. But the clients that have one (GStreamer)
    // are OpenSSL ones, whose usual cipher list has this suite. For others it only makes the handshake dearer.
    only_cm32 || hello.cipher_suites.contains(&DHE_RSA_AES256_GCM)
}

impl std::fmt::Debug for DtlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DtlsConfig")
            .field("certificate", &self.certificate)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
