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

/// Which library runs the handshakes. See the [module documentation](super) for what each one can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// `dimpl`, but `OpenSsl` (where it is compiled in) for our own RSA certificate and for peers that may have one.
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
    /// SRTP suites that may be negotiated: a handshake that ends with another one fails. The order is a preference with
    /// OpenSSL only: dimpl prefers AEAD_AES_256_GCM, then AEAD_AES_128_GCM, then AES_CM_128_HMAC_SHA1_80, or follows the
    /// client (see the [module documentation](super)), and does not know AES_CM_128_HMAC_SHA1_32.
    pub(crate) allowed_srtp_suites: Vec<SrtpSuite>,
    /// Longest datagram to send, in bytes (mediasoup: 1200). At least 256.
    pub mtu: u16,
    /// How long a handshake may take, from its first datagram. Longer keeps half-open associations in memory longer.
    pub handshake_timeout: Duration,
    /// Time to the first retransmission of a flight; doubles each time. Below the path's round-trip time every
    /// flight is sent twice.
    pub(crate) retransmission_start: Duration,
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

    /// What runs a handshake in which we are the client, at first. A ClientHello of dimpl's is refused by servers with an
    /// RSA certificate, which don't listen to another one afterwards, and there is no knowing before.
    pub(super) fn choose_as_client(&self) -> Choice {
        if self.requires_openssl() || (self.may_choose_openssl() && self.options.versions != Versions::Dtls13)
        {
            return Choice::OpenSsl;
        }
        Choice::Dimpl(self.options.versions)
    }

    /// Whether nothing but OpenSSL can run any handshake.
    fn requires_openssl(&self) -> bool {
        self.options.backend == Backend::OpenSsl || self.certificate.kind() == CertificateKind::Rsa
    }

    /// Whether a handshake may be run by dimpl or by OpenSSL, as the peer needs it.
    fn may_choose_openssl(&self) -> bool {
        self.options.backend == Backend::Auto && cfg!(feature = "openssl")
    }

    /// What a client starts again with when the server refused its ClientHello by the given alert.
    pub(super) fn choose_after_refusal(&self, alert: u8) -> Option<Choice> {
        let wants_dtls13 = alert == PROTOCOL_VERSION && self.options.versions == Versions::Auto;
        (wants_dtls13 && self.may_choose_openssl() && !self.requires_openssl())
            .then_some(Choice::Dimpl(Versions::Dtls13))
    }

    /// Whether a peer that dimpl can't serve could be served by OpenSSL in another build or by another setting.
    pub(super) fn lacks_openssl(&self) -> bool {
        !self.requires_openssl() && !self.may_choose_openssl()
    }

    /// What answers the given ClientHello.
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

/// Whether a client can only be served by OpenSSL, or may have to. A client does not say in its ClientHello that its
/// certificate is RSA. Those that have one know DTLS 1.2 alone (GStreamer, FreeSWITCH, Janus, Jitsi), or are OpenSSL ones,
/// whose usual cipher list has DHE_RSA. For others it only makes the handshake dearer.
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
