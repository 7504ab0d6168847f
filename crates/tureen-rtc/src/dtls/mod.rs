//! DTLS 1.2 and 1.3 of one WebRTC transport (RFC 6347, RFC 9147) with keys for SRTP (RFC 5764), sans-IO.
//!
//! A Worker creates one [`DtlsConfig`]. Each WebRtcTransport creates a [`Dtls`] from it when it knows its role and the
//! peer's fingerprint. After every call that takes `now`, and after [`Dtls::send`] and [`Dtls::close`], drain
//! [`Dtls::poll_output`] until it returns [`Output::Idle`]. Pass only datagrams of tuples that ICE has validated,
//! because the server's cookie exchange is disabled.
//!
//! The peer is authenticated by its certificate's fingerprint only ([`RemoteFingerprints`]; RFC 8122, RFC 8827 §6.5).
//! No keys and no data are returned before it is verified.
//!
//! # The two backends
//!
//! | | dimpl (default) | OpenSSL (cargo feature `openssl`) |
//! | --- | --- | --- |
//! | DTLS | 1.2, 1.3 | 1.2 |
//! | own certificate | ECDSA | ECDSA, RSA |
//! | peer's certificate | ECDSA | ECDSA, RSA |
//! | SRTP suites | AES-256-GCM, AES-128-GCM, AES_CM_80 | all, in the configured order |
//!
//! [`Backend::Auto`] uses dimpl, except that it uses OpenSSL, if compiled in, in these cases:
//! - The local certificate is RSA.
//! - The local role is client, because a server with an RSA certificate refuses dimpl's ClientHello and ignores a second
//!   one. Only a server that refuses DTLS 1.2 gets a second ClientHello, from dimpl.
//! - The local role is server, and the ClientHello offers AES_CM_128_HMAC_SHA1_32 as its only SRTP suite.
//! - The local role is server, and the ClientHello offers no DTLS 1.3, or a DHE_RSA AES-GCM cipher suite, which is
//!   typical of OpenSSL. Such a client may have an RSA certificate, and it cannot announce that before the library is
//!   chosen: dimpl's CertificateRequest lists ECDSA only, the client answers with an empty Certificate, and the handshake
//!   fails on both sides. A wrong guess only makes the handshake more expensive. A client with an RSA certificate that
//!   is not recognised (a browser whose application requested one) needs [`Backend::OpenSsl`].
//!
//! Without that feature, peers with RSA certificates fail with [`DtlsError::NeedsOpenSsl`].
//!
//! # SRTP suites
//!
//! dimpl has no configurable preference of SRTP suites. Its client, and its server in DTLS 1.2, prefer AES-256-GCM; its
//! server in DTLS 1.3 selects the client's first suite. libwebrtc lists AES_CM_128_HMAC_SHA1_80 first, so that
//! [`Versions::Auto`] answers such a client by DTLS 1.2, to get the AEAD suite.

mod certificate;
mod config;
mod dimpl_backend;
mod fingerprint;
#[cfg(feature = "openssl")]
mod openssl_backend;
#[cfg(all(test, feature = "openssl"))]
mod openssl_tests;
mod peek;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

pub use self::certificate::{Certificate, CertificateError, CertificateKind};
use self::config::Choice;
pub use self::config::{Backend, DtlsConfig, DtlsOptions, Versions};
use self::dimpl_backend::DimplSession;
pub use self::fingerprint::{Fingerprint, FingerprintAlgorithm, FingerprintError, RemoteFingerprints};
#[cfg(feature = "openssl")]
use self::openssl_backend::OpenSslSession;
use self::peek::ClientHelloBuffer;
pub use self::peek::is_plausible;
use crate::srtp::SrtpSuite;

/// TLS alert handshake_failure (RFC 5246 §7.2.2).
const HANDSHAKE_FAILURE: u8 = 40;

/// DTLS role: which side sends the ClientHello (mediasoup's DtlsRole; a=setup "active" is the client).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the ClientHello.
    Client,
    /// Waits for the ClientHello.
    Server,
}

/// A DTLS association.
pub struct Dtls {
    config: Arc<DtlsConfig>,
    role: Role,
    remote: RemoteFingerprints,
    session: Session,
    state: State,
    /// Certificate of the peer, once its fingerprint is verified.
    remote_certificate: Option<Vec<u8>>,
    /// Error that is reported after the session's last datagrams (an alert).
    failure: Option<DtlsError>,
}

/// Datagrams from a peer whose fingerprint is not known yet: fragments of its ClientHello, whose retransmission is then
/// not needed. At most one record of 16 KiB is stored.
#[derive(Debug, Default)]
pub struct EarlyDatagrams(ClientHelloBuffer);

impl EarlyDatagrams {
    /// Stores a datagram. Anything but a valid part of a ClientHello is ignored.
    pub fn push(&mut self, datagram: &[u8]) {
        if peek::is_plausible(datagram) {
            self.0.push(datagram);
        }
    }
}

/// Output of [`Dtls::poll_output`].
#[derive(Debug)]
pub enum Output<'b> {
    /// Send this datagram.
    Datagram(&'b [u8]),
    /// The handshake is complete and the peer's fingerprint is verified. Reported once, before any data.
    Connected {
        /// Keys for SRTP; `None` if the peer does not offer SRTP.
        srtp: Option<SrtpKeys>,
        /// The peer's certificate (mediasoup's dtlsRemoteCert).
        remote_certificate_pem: String,
    },
    /// Application data from the peer: an SCTP packet.
    ApplicationData(&'b [u8]),
    /// The association has failed and ended.
    Failed(DtlsError),
    /// The peer has closed the association (close_notify).
    Closed,
    /// Nothing to do until the next call.
    Idle {
        /// Time of the next [`Dtls::handle_timeout`]; `None` for never.
        timeout: Option<Instant>,
    },
}

impl Dtls {
    /// Creates an association. A client's first flight can be polled at once.
    ///
    /// # Errors
    /// [`DtlsError::Handshake`] if the library cannot start (no randomness, no memory).
    pub fn new(
        config: &Arc<DtlsConfig>,
        role: Role,
        remote: impl Into<RemoteFingerprints>,
        now: Instant,
    ) -> Result<Self, DtlsError> {
        let session = match role {
            Role::Client => Session::start(config, config.choose_as_client(), role, now)?,
            Role::Server => Session::Listening(ClientHelloBuffer::default()),
        };
        Ok(Self {
            config: Arc::clone(config),
            role,
            remote: remote.into(),
            session,
            state: State::Handshaking,
            remote_certificate: None,
            failure: None,
        })
    }

    /// Handles datagrams that arrived before the association was created. Has no effect on a client.
    pub fn handle_early(&mut self, now: Instant, early: EarlyDatagrams) {
        let Session::Listening(buffer) = &mut self.session else { return };
        *buffer = early.0;
        if let Some(hello) = buffer.hello() {
            self.failure = self.answer(&hello, now).err();
        }
    }

    /// Handles a datagram from the peer. Invalid DTLS is dropped.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.failure.is_some() || !peek::is_plausible(datagram) {
            return;
        }
        let result = match &mut self.session {
            Session::Listening(buffer) => match buffer.push(datagram) {
                Some(hello) => self.answer(&hello, now),
                None => Ok(()),
            },
            session => match refusal(session, self.role, self.remote_certificate.as_deref(), datagram) {
                Some(alert) => self.on_refused(alert, now),
                None => session.handle_datagram(now, datagram),
            },
        };
        self.failure = result.err();
    }

    /// Handles expired retransmission and handshake timers.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.failure.is_none() {
            self.failure = self.session.handle_timeout(now).err();
        }
    }

    /// Returns the next output. `buf` is working memory that the output may borrow. It grows to the length of the
    /// longest datagram and can be shared among associations.
    pub fn poll_output<'b>(&mut self, buf: &'b mut Vec<u8>) -> Output<'b> {
        loop {
            match self.session.poll(buf) {
                Event::Datagram(len) => return Output::Datagram(&buf[..len]),
                Event::PeerCertificate(der) => {
                    if let Err(error) = self.verify(der) {
                        return self.fail(error);
                    }
                }
                Event::Connected(material) if self.state == State::Handshaking => {
                    return self.connected(material).unwrap_or_else(|error| self.fail(error));
                }
                Event::ApplicationData(len) if self.state == State::Connected => {
                    return Output::ApplicationData(&buf[..len]);
                }
                Event::Closed if self.state != State::Closing => {
                    self.end();
                    return Output::Closed;
                }
                Event::Connected(_) | Event::ApplicationData(_) | Event::Closed => {}
                Event::Idle(timeout) => {
                    return match self.failure.take() {
                        Some(error) => self.fail(error),
                        None if self.state == State::Closing => {
                            self.end();
                            Output::Idle { timeout: None }
                        }
                        None => Output::Idle { timeout },
                    };
                }
            }
        }
    }

    /// Sends application data in one record. It must fit the MTU with about 40 bytes of overhead.
    ///
    /// # Errors
    /// [`DtlsError::NotConnected`] before [`Output::Connected`] and after the end; [`DtlsError::SendQueueFull`] if
    /// the output is not drained.
    pub fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        if self.state != State::Connected || self.failure.is_some() {
            return Err(DtlsError::NotConnected);
        }
        self.session.send(data)
    }

    /// Ends the association. A connected peer is notified by a close_notify, which still has to be polled.
    pub fn close(&mut self) {
        if self.state == State::Connected && self.failure.is_none() && self.session.close().is_ok() {
            self.state = State::Closing;
        } else {
            self.failure = None;
            self.end();
        }
    }

    /// DTLS role of this side.
    pub fn role(&self) -> Role {
        self.role
    }

    /// True from [`Output::Connected`] to the end of the association.
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    fn answer(&mut self, hello: &peek::ClientHello, now: Instant) -> Result<(), DtlsError> {
        let choice = self.config.choose_as_server(hello);
        let session = Session::start(&self.config, choice, self.role, now)?;
        let Session::Listening(buffer) = std::mem::replace(&mut self.session, session) else {
            return Ok(());
        };
        self.session.handle_datagram(now, &buffer.into_record())
    }

    /// Handles the refusal of the local ClientHello by the server.
    fn on_refused(&mut self, alert: u8, now: Instant) -> Result<(), DtlsError> {
        if let Some(choice) = self.config.choose_after_refusal(alert) {
            self.session = Session::start(&self.config, choice, self.role, now)?;
            return Ok(());
        }
        // RFC 5246 §7.2.2: the server supports none of the offered parameters, of which dimpl offers ECDSA only.
        let is_rsa = alert == HANDSHAKE_FAILURE && matches!(self.session, Session::Dimpl(_));
        Err(if is_rsa && self.config.lacks_openssl() {
            DtlsError::NeedsOpenSsl
        } else {
            DtlsError::PeerAlert(alert)
        })
    }

    fn verify(&mut self, der: Vec<u8>) -> Result<(), DtlsError> {
        self.remote.verify(&der)?;
        self.remote_certificate = Some(der);
        Ok(())
    }

    fn connected<'b>(&mut self, material: Option<KeyingMaterial>) -> Result<Output<'b>, DtlsError> {
        let der = self.remote_certificate.as_deref().ok_or(DtlsError::NoPeerCertificate)?;
        let remote_certificate_pem = certificate::certificate_pem(der);
        let srtp = material.map(|material| material.split(self.role, &self.config)).transpose()?;
        self.state = State::Connected;
        Ok(Output::Connected { srtp, remote_certificate_pem })
    }

    fn fail<'b>(&mut self, error: DtlsError) -> Output<'b> {
        // A client with an RSA certificate sends no certificate to dimpl, which requests ECDSA.
        let is_rsa = error == DtlsError::NoPeerCertificate && matches!(self.session, Session::Dimpl(_));
        let error = if is_rsa && self.config.lacks_openssl() { DtlsError::NeedsOpenSsl } else { error };
        self.end();
        Output::Failed(error)
    }

    fn end(&mut self) {
        self.session = Session::Ended;
        self.state = State::Ended;
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtls")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// SRTP suite and keys, split by direction (RFC 5764 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpKeys {
    /// The negotiated suite.
    pub suite: SrtpSuite,
    /// Key and salt of packets to the peer.
    pub local: SrtpMasterKey,
    /// Key and salt of packets from the peer.
    pub remote: SrtpMasterKey,
}

/// Master key and salt of one direction. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpMasterKey {
    /// The key, of the suite's length.
    pub key: SmallVec<[u8; 32]>,
    /// The salt, of the suite's length.
    pub salt: SmallVec<[u8; 14]>,
}

impl fmt::Debug for SrtpMasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpMasterKey(..)")
    }
}

/// Error of creating an association, of the handshake, or of sending.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DtlsError {
    /// The settings are invalid. The caller is at fault.
    #[error("{0}")]
    Config(String),
    /// The peer's certificate does not have the signalled fingerprint.
    #[error("the peer's certificate has the {algorithm} fingerprint {actual}, not {expected}")]
    WrongFingerprint {
        /// Hash of the fingerprints.
        algorithm: FingerprintAlgorithm,
        /// Signalled fingerprint.
        expected: String,
        /// Fingerprint of the received certificate.
        actual: String,
    },
    /// The peer sent no certificate, or none that the backend supports.
    #[error("the peer sent no certificate that this DTLS backend accepts")]
    NoPeerCertificate,
    /// The peer does not support or have an ECDSA certificate. It has an RSA certificate, which dimpl does not support.
    #[error(
        "the peer seems to have an RSA certificate, which needs the OpenSSL backend (cargo feature `openssl`)"
    )]
    NeedsOpenSsl,
    /// The handshake has timed out.
    #[error("the DTLS handshake timed out")]
    HandshakeTimeout,
    /// The peer has ended the association with this fatal alert (a TLS AlertDescription).
    #[error("the peer sent the fatal DTLS alert {0}")]
    PeerAlert(u8),
    /// The negotiated SRTP suite is not in [`DtlsOptions::allowed_srtp_suites`].
    #[error("the negotiated SRTP suite {0:?} is not allowed")]
    RefusedSrtpSuite(SrtpSuite),
    /// Error of the library.
    #[error("DTLS failed: {0}")]
    Handshake(String),
    /// The association is not connected. The caller is at fault.
    #[error("DTLS is not connected")]
    NotConnected,
    /// Too much data was sent without draining the output. The caller is at fault.
    #[error("the DTLS send queue is full")]
    SendQueueFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshaking,
    Connected,
    /// Closed locally; the close_notify is still to be polled.
    Closing,
    Ended,
}

/// Returns the fatal alert by which a server refuses the local ClientHello. dimpl does not report it while the version
/// is undecided. `None` after the server has sent a certificate, because the library handles later alerts.
fn refusal(session: &Session, role: Role, certificate: Option<&[u8]>, datagram: &[u8]) -> Option<u8> {
    match (session, role, certificate) {
        (Session::Dimpl(_), Role::Client, None) => peek::fatal_alert(datagram),
        #[cfg(feature = "openssl")]
        (Session::OpenSsl(_), Role::Client, None) => peek::fatal_alert(datagram),
        _ => None,
    }
}

/// Event of a backend. Lengths are those of data at the start of the buffer.
enum Event {
    Datagram(usize),
    PeerCertificate(Vec<u8>),
    Connected(Option<KeyingMaterial>),
    ApplicationData(usize),
    Closed,
    Idle(Option<Instant>),
}

/// The output of the exporter "EXTRACTOR-dtls_srtp".
struct KeyingMaterial {
    suite: SrtpSuite,
    bytes: Vec<u8>,
}

impl KeyingMaterial {
    /// RFC 5764 §4.2: client_write_SRTP_master_key, server_write_SRTP_master_key, and their salts in the same order.
    fn split(self, role: Role, config: &DtlsConfig) -> Result<SrtpKeys, DtlsError> {
        let Self { suite, bytes } = self;
        if !config.options.allowed_srtp_suites.contains(&suite) {
            return Err(DtlsError::RefusedSrtpSuite(suite));
        }
        let (key, salt) = (suite.key_len(), suite.salt_len());
        if bytes.len() != 2 * (key + salt) {
            return Err(DtlsError::Handshake("keying material of the wrong length".to_owned()));
        }
        let (keys, salts) = bytes.split_at(2 * key);
        let master = |index: usize| SrtpMasterKey {
            key: SmallVec::from_slice(&keys[index * key..][..key]),
            salt: SmallVec::from_slice(&salts[index * salt..][..salt]),
        };
        let (client, server) = (master(0), master(1));
        Ok(match role {
            Role::Client => SrtpKeys { suite, local: client, remote: server },
            Role::Server => SrtpKeys { suite, local: server, remote: client },
        })
    }
}

/// The library that runs the association.
enum Session {
    /// A server that has not received a whole ClientHello and therefore has not chosen a library.
    Listening(ClientHelloBuffer),
    Dimpl(Box<DimplSession>),
    #[cfg(feature = "openssl")]
    OpenSsl(Box<OpenSslSession>),
    Ended,
}

impl Session {
    fn start(config: &DtlsConfig, choice: Choice, role: Role, now: Instant) -> Result<Self, DtlsError> {
        match choice {
            Choice::Dimpl(versions) => {
                DimplSession::new(config, versions, role, now).map(|session| Self::Dimpl(Box::new(session)))
            }
            #[cfg(feature = "openssl")]
            Choice::OpenSsl => {
                OpenSslSession::new(config, role, now).map(|session| Self::OpenSsl(Box::new(session)))
            }
            #[cfg(not(feature = "openssl"))]
            Choice::OpenSsl => Err(DtlsError::Config("this build has no OpenSSL backend".to_owned())),
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        match self {
            Self::Dimpl(session) => session.handle_datagram(now, datagram),
            #[cfg(feature = "openssl")]
            Self::OpenSsl(session) => session.handle_datagram(now, datagram),
            Self::Listening(_) | Self::Ended => Ok(()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        match self {
            Self::Dimpl(session) => session.handle_timeout(now),
            #[cfg(feature = "openssl")]
            Self::OpenSsl(session) => session.handle_timeout(now),
            Self::Listening(_) | Self::Ended => Ok(()),
        }
    }

    fn poll(&mut self, buf: &mut Vec<u8>) -> Event {
        match self {
            Self::Dimpl(session) => session.poll(buf),
            #[cfg(feature = "openssl")]
            Self::OpenSsl(session) => session.poll(buf),
            Self::Listening(_) | Self::Ended => Event::Idle(None),
        }
    }

    fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        match self {
            Self::Dimpl(session) => session.send(data),
            #[cfg(feature = "openssl")]
            Self::OpenSsl(session) => session.send(data),
            Self::Listening(_) | Self::Ended => Err(DtlsError::NotConnected),
        }
    }

    fn close(&mut self) -> Result<(), DtlsError> {
        match self {
            Self::Dimpl(session) => session.close(),
            #[cfg(feature = "openssl")]
            Self::OpenSsl(session) => session.close(),
            Self::Listening(_) | Self::Ended => Err(DtlsError::NotConnected),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listening(_) => "Listening",
            Self::Dimpl(_) => "Dimpl",
            #[cfg(feature = "openssl")]
            Self::OpenSsl(_) => "OpenSsl",
            Self::Ended => "Ended",
        })
    }
}
