//! Settings, identity and errors of a session.

use std::net::SocketAddr;
use std::sync::Arc;

use tureen_rtc::dtls::{
    Backend, Certificate, CertificateError, DtlsConfig, DtlsError, DtlsOptions, Fingerprint,
    FingerprintAlgorithm, Role,
};
use tureen_rtc::ice::IceCredentials;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::SendError;
use tureen_rtc::srtp::SrtpError;
use tureen_rtc::wire::stun::StunError;
use tureen_types::data_structures::{DtlsFingerprint, DtlsParameters, DtlsRole, IceParameters};

use crate::frames::FrameError;
use crate::send_stream::{MAX_MEDIA_ID, MAX_PAYLOAD};

/// A certificate and its DTLS settings. Cloning is cheap, so that many sessions can share one identity.
#[derive(Clone)]
pub struct Identity {
    certificate: Certificate,
    dtls: Arc<DtlsConfig>,
}

/// Settings of a [`Session`](crate::Session).
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Certificate of the client.
    pub identity: Identity,
    /// DTLS role of the client. [`Role::Client`] sends the ClientHello.
    pub dtls_role: Role,
    /// The server's ICE credentials.
    pub remote_ice: IceParameters,
    /// Addresses of the server, in order of preference.
    pub candidates: Vec<SocketAddr>,
    /// Fingerprints of the server's certificate, of which the strongest is checked. The role is ignored.
    pub remote_dtls: DtlsParameters,
    /// RTCP canonical name (RFC 7022).
    pub cname: String,
    /// Settings of data channels; `None` disables them.
    pub sctp: Option<SctpOptions>,
    /// Seed of the random numbers, including the ICE password. It must be secret and unique outside tests.
    pub seed: [u8; 32],
}

/// Error of creating a session or of sending; the caller or the server's parameters are at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The server offers no ICE candidate.
    #[error("the server offers no ICE candidate that can be used")]
    NoCandidates,
    /// The server's ICE parameters are invalid.
    #[error("the server's ICE parameters can't be used: {0}")]
    Ice(#[from] StunError),
    /// The server offers no certificate fingerprint.
    #[error("the server's dtlsParameters hold no fingerprint")]
    NoFingerprint,
    /// The session was closed or has failed.
    #[error("the session has ended")]
    Ended,
    /// DTLS is not connected, or no path to the server is known.
    #[error("the session is not connected")]
    NotConnected,
    /// The SSRC is used by another stream of the session.
    #[error("SSRC {0} is taken")]
    SsrcTaken(u32),
    /// The session has no stream with this SSRC.
    #[error("no stream with SSRC {0}")]
    NoStream(u32),
    /// The limit of incoming SSRCs or of SSRCs sent over the session's lifetime is reached.
    #[error("at most {0} SSRCs can be received")]
    TooManyStreams(usize),
    /// The MID or RID is empty, too long or not printable.
    #[error("MID or RID {0:?} is not 1 to {MAX_MEDIA_ID} printable characters")]
    BadMediaId(String),
    /// The payload does not fit into a datagram.
    #[error("payload of {0} bytes, at most {MAX_PAYLOAD} are possible")]
    PayloadTooLong(usize),
    /// The buffer of the stream is full of unsent packets, because the output is not drained.
    #[error("too many packets wait to be sent")]
    Backlog,
    /// A frame takes more packets than the stream buffers: it can never be sent.
    #[error("a frame of {packets} packets, the stream buffers {buffered}")]
    FrameTooLong {
        /// Packets of the frame.
        packets: usize,
        /// Packets that the stream buffers.
        buffered: usize,
    },
    /// A frame can't be sent, or the codec has none that are known.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The data message cannot be sent.
    #[error(transparent)]
    Data(#[from] SendError),
    /// The RTCP packet cannot be encrypted.
    #[error(transparent)]
    Srtp(#[from] SrtpError),
}

impl Identity {
    /// Uses an existing certificate.
    ///
    /// # Errors
    /// The DTLS options are invalid.
    pub fn new(certificate: Certificate, options: DtlsOptions) -> Result<Self, DtlsError> {
        Ok(Self { dtls: Arc::new(DtlsConfig::new(certificate.clone(), options)?), certificate })
    }

    /// Creates a self-signed certificate with the default DTLS options and the backend dimpl. OpenSSL, which the build
    /// may use for servers, is not used, because it retransmits by the system's clock, while a session is driven by the
    /// caller's time.
    ///
    /// # Errors
    /// The system's random source fails.
    pub fn generate() -> Result<Self, CertificateError> {
        let certificate = Certificate::generate()?;
        let options = DtlsOptions { backend: Backend::Dimpl, ..DtlsOptions::default() };
        Ok(Self::new(certificate, options).expect("the default options suit an ECDSA certificate"))
    }

    /// Fingerprints of the certificate, in order of increasing strength, with `role`.
    pub fn dtls_parameters(&self, role: Role) -> DtlsParameters {
        DtlsParameters {
            role: match role {
                Role::Client => DtlsRole::Client,
                Role::Server => DtlsRole::Server,
            },
            fingerprints: self.certificate.fingerprints().iter().map(to_api).collect(),
        }
    }

    pub(super) fn dtls_config(&self) -> &Arc<DtlsConfig> {
        &self.dtls
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fingerprint = self.certificate.fingerprint(FingerprintAlgorithm::Sha256);
        f.debug_struct("Identity").field("fingerprint", &fingerprint.to_string()).finish_non_exhaustive()
    }
}

/// Returns the fingerprint of the strongest hash. The others add no security.
pub(super) fn strongest_fingerprint(parameters: &DtlsParameters) -> Result<Fingerprint, SessionError> {
    let fingerprints = parameters.fingerprints.iter().map(from_api);
    fingerprints.max_by_key(|fingerprint| fingerprint.algorithm()).ok_or(SessionError::NoFingerprint)
}

pub(super) fn credentials(parameters: &IceParameters) -> IceCredentials {
    IceCredentials {
        username_fragment: parameters.username_fragment.clone(),
        password: parameters.password.clone(),
    }
}

pub(super) fn parameters(credentials: &IceCredentials) -> IceParameters {
    IceParameters {
        username_fragment: credentials.username_fragment.clone(),
        password: credentials.password.clone(),
        ice_lite: None,
    }
}

fn from_api(fingerprint: &DtlsFingerprint) -> Fingerprint {
    let algorithm = match fingerprint {
        DtlsFingerprint::Sha1 { .. } => FingerprintAlgorithm::Sha1,
        DtlsFingerprint::Sha224 { .. } => FingerprintAlgorithm::Sha224,
        DtlsFingerprint::Sha256 { .. } => FingerprintAlgorithm::Sha256,
        DtlsFingerprint::Sha384 { .. } => FingerprintAlgorithm::Sha384,
        DtlsFingerprint::Sha512 { .. } => FingerprintAlgorithm::Sha512,
    };
    Fingerprint::parse(algorithm, &fingerprint.value_string())
        .expect("both hold a digest of that algorithm's length")
}

fn to_api(fingerprint: &Fingerprint) -> DtlsFingerprint {
    fn value<const N: usize>(fingerprint: &Fingerprint) -> [u8; N] {
        fingerprint.as_bytes().try_into().expect("a digest has its algorithm's length")
    }
    match fingerprint.algorithm() {
        FingerprintAlgorithm::Sha1 => DtlsFingerprint::Sha1 { value: value(fingerprint) },
        FingerprintAlgorithm::Sha224 => DtlsFingerprint::Sha224 { value: value(fingerprint) },
        FingerprintAlgorithm::Sha256 => DtlsFingerprint::Sha256 { value: value(fingerprint) },
        FingerprintAlgorithm::Sha384 => DtlsFingerprint::Sha384 { value: value(fingerprint) },
        FingerprintAlgorithm::Sha512 => DtlsFingerprint::Sha512 { value: value(fingerprint) },
    }
}
