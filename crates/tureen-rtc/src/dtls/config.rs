//! Settings of all DTLS associations of one Worker.

use std::sync::Arc;
use std::time::Duration;

use super::DtlsError;
use super::certificate::{Certificate, CertificateKind};
#[cfg(feature = "openssl")]
use super::openssl_backend;
use super::peek::ClientHello;
use crate::srtp::SrtpSuite;

/// TLS alert protocol_version (RFC 5246 §7.2.2).
const PROTOCOL_VERSION: u8 = 70;
/// IANA number of TLS_DHE_RSA_WITH_AES_256_GCM_SHA384.
const DHE_RSA_AES256_GCM: u16 = 0x009f;

/// The library that runs handshakes. See the [module documentation](super) for their abilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// `dimpl`; `OpenSsl`, if compiled in, for a local RSA certificate and for peers that may have one.
    #[default]
    Auto,
    /// The Rust library: DTLS 1.2 and 1.3, ECDSA only.
    Dimpl,
    /// OpenSSL: DTLS 1.2, also RSA and AES_CM_128_HMAC_SHA1_32. Needs the cargo feature `openssl`.
    OpenSsl,
}

/// DTLS versions that may be negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// DTLS 1.3 or 1.2, as the peer offers. A client that would get AES_CM_128_HMAC_SHA1_80 with 1.3 and an AEAD suite
    /// with 1.2 is answered with 1.2, because sealing with AEAD costs about a fifth.
    #[default]
    Auto,
    /// DTLS 1.2 only.
    Dtls12,
    /// DTLS 1.3 only.
    Dtls13,
}

/// DTLS settings. The default suits a server for browsers.
#[derive(Clone, Debug)]
pub struct DtlsOptions {
    /// The library that runs handshakes.
    pub backend: Backend,
    /// Versions that may be negotiated. Only dimpl supports 1.3.
    pub versions: Versions,
    /// SRTP suites that may be negotiated: a handshake with any other result fails. Only OpenSSL takes the order as a
    /// preference: dimpl prefers AEAD_AES_256_GCM, then AEAD_AES_128_GCM, then AES_CM_128_HMAC_SHA1_80, or follows the
    /// client (see the [module documentation](super)), and does not support AES_CM_128_HMAC_SHA1_32.
    pub allowed_srtp_suites: Vec<SrtpSuite>,
    /// Longest datagram to send, in bytes (mediasoup: 1200). At least 256.
    pub mtu: u16,
    /// Time limit of a handshake, from its first datagram. A longer one keeps half-open associations in memory longer.
    pub handshake_timeout: Duration,
    /// Time to the first retransmission of a flight; it doubles each time. Below the path's round-trip time every
    /// flight is sent twice.
    pub retransmission_start: Duration,
}

impl Default for DtlsOptions {
    fn default() -> Self {
        Self {
            backend: Backend::Auto,
            versions: Versions::Auto,
            allowed_srtp_suites: vec![
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

/// Validated settings and the libraries' contexts. Built once per Worker and shared.
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
    /// Validates the settings.
    ///
    /// # Errors
    /// [`DtlsError::Config`] names the setting, also if the certificate's key type or the backend needs OpenSSL and
    /// OpenSSL is not compiled in.
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
            // ICE has validated the path before any datagram arrives here, so the cookie exchange would only cost a
            // round trip.
            .use_server_cookie(false)
            .flight_start_rto(options.retransmission_start)
            // The overall timeout ends the handshake; this bounds retransmissions that the peer's duplicates trigger.
            .flight_retries(32)
            .handshake_timeout(options.handshake_timeout)
            .max_queue_rx(64)
            .max_queue_tx(64)
            .build()
            .map_err(|error| DtlsError::Config(error.to_string()))?;
        #[cfg(feature = "openssl")]
        let openssl = openssl_backend::Contexts::new(&certificate, &options.allowed_srtp_suites)?;
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

    /// Library for the first handshake as a client. Servers with an RSA certificate refuse dimpl's ClientHello and
    /// ignore a second one, and their key type is unknown beforehand.
    pub(super) fn choose_as_client(&self) -> Choice {
        if self.requires_openssl() || (self.may_choose_openssl() && self.options.versions != Versions::Dtls13)
        {
            return Choice::OpenSsl;
        }
        Choice::Dimpl(self.options.versions)
    }

    /// True if only OpenSSL can run handshakes.
    fn requires_openssl(&self) -> bool {
        self.options.backend == Backend::OpenSsl || self.certificate.kind() == CertificateKind::Rsa
    }

    /// True if the peer decides between dimpl and OpenSSL.
    fn may_choose_openssl(&self) -> bool {
        self.options.backend == Backend::Auto && cfg!(feature = "openssl")
    }

    /// Library for another attempt after the server refused the ClientHello with this alert.
    pub(super) fn choose_after_refusal(&self, alert: u8) -> Option<Choice> {
        let wants_dtls13 = alert == PROTOCOL_VERSION && self.options.versions == Versions::Auto;
        (wants_dtls13 && self.may_choose_openssl() && !self.requires_openssl())
            .then_some(Choice::Dimpl(Versions::Dtls13))
    }

    /// True if another build or setting could serve a peer that dimpl cannot.
    pub(super) fn lacks_openssl(&self) -> bool {
        !self.requires_openssl() && !self.may_choose_openssl()
    }

    /// Library that answers this ClientHello.
    pub(super) fn choose_as_server(&self, hello: &ClientHello) -> Choice {
        if self.requires_openssl() || (self.may_choose_openssl() && hello.dtls12 && may_need_openssl(hello)) {
            return Choice::OpenSsl;
        }
        let versions = self.options.versions;
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

/// True if a client needs OpenSSL or may need it. A ClientHello does not reveal an RSA certificate. Clients that have
/// one support only DTLS 1.2 (GStreamer, FreeSWITCH, Janus, Jitsi) or use OpenSSL, whose default cipher list has
/// DHE_RSA. For other clients OpenSSL only makes the handshake slower.
fn may_need_openssl(hello: &ClientHello) -> bool {
    let only_cm32 =
        !hello.srtp_profiles.is_empty() && !hello.srtp_profiles.iter().any(|p| matches!(p, 1 | 7 | 8));
    only_cm32 || !hello.dtls13 || hello.cipher_suites.contains(&DHE_RSA_AES256_GCM)
}

impl std::fmt::Debug for DtlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DtlsConfig")
            .field("certificate", &self.certificate)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
