//! What a session is made from.

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

/// A certificate and the DTLS settings that go with it. Cheap to clone, to be shared by many sessions.
#[derive(Clone)]
pub struct Identity {
    certificate: Certificate,
    dtls: Arc<DtlsConfig>,
}

/// Settings of a [`Session`](crate::Session).
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Our certificate.
    pub identity: Identity,
    /// Who sends the ClientHello: we as [`Role::Client`], or the server.
    pub dtls_role: Role,
    /// The server's ICE credentials.
    pub remote_ice: IceParameters,
    /// Where the server can be reached, best first.
    pub candidates: Vec<SocketAddr>,
    /// The server's fingerprints, of which the strongest is checked. Its role is not looked at.
    pub remote_dtls: DtlsParameters,
    /// RTCP canonical name (RFC 7022).
    pub cname: String,
    /// Data channels; `None` disables them.
    pub sctp: Option<SctpOptions>,
    /// Seed of the random generator: ICE credentials, first sequence numbers. Must be secret and unique outside tests.
    pub seed: [u8; 32],
}

/// Why a session can't be made or can't send: the caller's fault, or that of the server's parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The server offers no address.
    #[error("the server offers no ICE candidate that can be used")]
    NoCandidates,
    /// The server's ICE parameters can't be used.
    #[error("the server's ICE parameters can't be used: {0}")]
    Ice(#[from] StunError),
    /// The server offers no fingerprint.
    #[error("the server's dtlsParameters hold no fingerprint")]
    NoFingerprint,
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
    /// DTLS is not done yet, or the server can't be reached.
    #[error("the session is not connected")]
    NotConnected,
    /// An SSRC is taken by another stream of the session.
    #[error("SSRC {0} is taken")]
    SsrcTaken(u32),
    /// No such stream.
    #[error("no stream with SSRC {0}")]
    NoStream(u32),
    /// Too many streams.
    #[error("at most {0} SSRCs can be received")]
    TooManyStreams(usize),
    /// MID or RID is empty, too long or not printable.
    #[error("MID or RID {0:?} is not 1 to {MAX_MEDIA_ID} printable characters")]
    BadMediaId(String),
    /// The payload does not fit a datagram.
    #[error("payload of {0} bytes, at most {MAX_PAYLOAD} are possible")]
    PayloadTooLong(usize),
    /// As many packets wait to be sent as the stream buffers: the output is not drained.
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
    /// A data message can't be sent.
    #[error(transparent)]
    Data(#[from] SendError),
    /// An RTCP packet can't be protected.
    #[error(transparent)]
    Srtp(#[from] SrtpError),
}

impl Identity {
    /// Of an existing certificate.
    ///
    /// # Errors
    /// DTLS options that can't be met.
    pub fn new(certificate: Certificate, options: DtlsOptions) -> Result<Self, DtlsError> {
        Ok(Self { dtls: Arc::new(DtlsConfig::new(certificate.clone(), options)?), certificate })
    }

    /// A new self-signed certificate with the default DTLS options, but always dimpl: a session is driven by the caller's
    /// time, and OpenSSL, which the build may have for servers, retransmits by the system's clock.
    ///
    /// # Errors
    /// The system's random source fails.
    pub fn generate() -> Result<Self, CertificateError> {
        let certificate = Certificate::generate()?;
        let options = DtlsOptions { backend: Backend::Dimpl, ..DtlsOptions::default() };
        Ok(Self::new(certificate, options).expect("the default options suit an ECDSA certificate"))
    }

    /// The certificate's fingerprints, strongest last, with `role`.
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

/// The fingerprint by the strongest hash. The others say nothing more.
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
