//! DTLS 1.2 and 1.3 of one WebRTC transport (RFC 6347, RFC 9147) with keys for SRTP (RFC 5764), sans-IO.
//!
//! A Worker builds one [`DtlsConfig`]; each WebRtcTransport makes a [`Dtls`] from it once it knows its role and the
//! peer's fingerprint. After every call that takes `now`, and after [`Dtls::send`] and [`Dtls::close`], drain
//! [`Dtls::poll_output`] until it says [`Output::Idle`]. Give it only datagrams of tuples that ICE has validated: the
//! server's cookie exchange is off.
//!
//! The peer is authenticated by its certificate's fingerprint alone ([`RemoteFingerprints`]; RFC 8122, RFC 8827 §6.5). Until that
//! is verified no keys and no data come out.
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
//! [`Backend::Auto`] takes dimpl, and OpenSSL where it is compiled in and
//! - our own certificate is RSA; or
//! - we are the client: a server with an RSA certificate refuses dimpl's ClientHello and is deaf to a second one. Only a
//!   server that refuses DTLS 1.2 gets another ClientHello, of dimpl's; or
//! - we are the server, and the ClientHello offers AES_CM_128_HMAC_SHA1_32 as its only SRTP suite; or
//! - we are the server, and the ClientHello offers no DTLS 1.3, or a DHE_RSA AES-GCM cipher suite, which is OpenSSL's
//!   usual list. A client can't say before we have chosen the library that its own certificate is RSA: dimpl's
//!   CertificateRequest lists ECDSA alone, such a client answers with an empty Certificate, and the handshake is over on
//!   both sides. A wrong guess only makes the handshake dearer. Where it guesses wrong the other way (a browser whose
//!   application asked for an RSA certificate), only [`Backend::OpenSsl`] helps.
//!
//! Where it is not compiled in, peers with RSA certificates fail with [`DtlsError::NeedsOpenSsl`].
//!
//! # SRTP suites
//!
//! dimpl can't be told which SRTP suite to prefer. Its client, and its server in DTLS 1.2, prefer AES-256-GCM; its
//! server in DTLS 1.3 takes the client's first. libwebrtc lists AES_CM_128_HMAC_SHA1_80 first, so
//! [`Versions::Auto`] answers such a client by DTLS 1.2, for the AEAD suite.

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

/// Who sends the ClientHello (mediasoup's DtlsRole; a=setup "active" is the client).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}

/// One DTLS association.
pub struct Dtls {
    config: Arc<DtlsConfig>,
    role: Role,
    remote: RemoteFingerprints,
    session: Session,
    state: State,
    /// The peer's certificate, once its fingerprint is verified.
    remote_certificate: Option<Vec<u8>>,
    /// Reported once the session's last datagrams (an alert) are out.
    failure: Option<DtlsError>,
}

/// What comes from a peer before it is known by its fingerprint: the fragments of its ClientHello, which need not wait for
/// their retransmission then. One record of 16 KiB at most is kept.
#[derive(Debug, Default)]
pub struct EarlyDatagrams(ClientHelloBuffer);

impl EarlyDatagrams {
    /// Takes a datagram. What is no valid part of a ClientHello is ignored.
    pub fn push(&mut self, datagram: &[u8]) {
        if peek::is_plausible(datagram) {
            self.0.push(datagram);
        }
    }
}

/// What [`Dtls::poll_output`] hands out.
#[derive(Debug)]
pub enum Output<'b> {
    /// Send this datagram.
    Datagram(&'b [u8]),
    /// The handshake is complete and the peer's fingerprint is right. Comes once, before any data.
    Connected {
        /// Keys for SRTP; none if the peer does not offer SRTP.
        srtp: Option<SrtpKeys>,
        /// The peer's certificate (mediasoup's dtlsRemoteCert).
        remote_certificate_pem: String,
    },
    /// The peer sent this: an SCTP packet.
    ApplicationData(&'b [u8]),
    /// It is over; nothing more comes.
    Failed(DtlsError),
    /// The peer closed the association (close_notify); nothing more comes.
    Closed,
    /// Nothing to do until the next call. Call [`Dtls::handle_timeout`] at `timeout`.
    Idle {
        /// When to wake up, if ever.
        timeout: Option<Instant>,
    },
}

impl Dtls {
    /// Starts an association. A client's first flight is ready to be polled at once.
    ///
    /// # Errors
    /// [`DtlsError::Handshake`] if the library can't start (no randomness, no memory).
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

    /// Takes what came before the association could be made. Does nothing to a client.
    pub fn handle_early(&mut self, now: Instant, early: EarlyDatagrams) {
        let Session::Listening(buffer) = &mut self.session else { return };
        *buffer = early.0;
        if let Some(hello) = buffer.hello() {
            self.failure = self.answer(&hello, now).err();
        }
    }

    /// Takes a datagram from the peer. What is no valid DTLS is dropped in silence.
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

    /// Lets retransmission and handshake timers run.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.failure.is_none() {
            self.failure = self.session.handle_timeout(now).err();
        }
    }

    /// Hands out the next thing to do. `buf` is working memory that the result may borrow; it grows to the length of
    /// the longest datagram and can be shared among associations.
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

    /// Ends the association. A connected peer is told so by a close_notify, which still has to be polled.
    pub fn close(&mut self) {
        if self.state == State::Connected && self.failure.is_none() && self.session.close().is_ok() {
            self.state = State::Closing;
        } else {
            self.failure = None;
            self.end();
        }
    }

    /// Our role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether [`Output::Connected`] was given out and the association has not ended.
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

    /// The server has refused our ClientHello.
    fn on_refused(&mut self, alert: u8, now: Instant) -> Result<(), DtlsError> {
        if let Some(choice) = self.config.choose_after_refusal(alert) {
            self.session = Session::start(&self.config, choice, self.role, now)?;
            return Ok(());
        }
        // RFC 5246 §7.2.2: it found no acceptable set of parameters, of which dimpl offers ECDSA alone.
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
        // A client that has an RSA certificate sends none to dimpl, which asks for ECDSA.
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
    /// For what we send.
    pub local: SrtpMasterKey,
    /// For what the peer sends.
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

/// Why an association can't be made, failed or can't send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DtlsError {
    /// The settings are wrong. The caller's fault.
    #[error("{0}")]
    Config(String),
    /// The peer's certificate is not the one that was signalled.
    #[error("the peer's certificate has the {algorithm} fingerprint {actual}, not {expected}")]
    WrongFingerprint {
        /// The hash.
        algorithm: FingerprintAlgorithm,
        /// What was signalled.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The peer sent no certificate, or none that the backend accepts.
    #[error("the peer sent no certificate that this DTLS backend accepts")]
    NoPeerCertificate,
    /// The peer accepts or has no ECDSA certificate: it is RSA, which dimpl does not know.
    #[error(
        "the peer seems to have an RSA certificate, which needs the OpenSSL backend (cargo feature `openssl`)"
    )]
    NeedsOpenSsl,
    /// The handshake took too long.
    #[error("the DTLS handshake timed out")]
    HandshakeTimeout,
    /// The peer ended it with a fatal alert (a TLS AlertDescription).
    #[error("the peer sent the fatal DTLS alert {0}")]
    PeerAlert(u8),
    /// The negotiated SRTP suite is not in [`DtlsOptions::allowed_srtp_suites`].
    #[error("the negotiated SRTP suite {0:?} is not allowed")]
    RefusedSrtpSuite(SrtpSuite),
    /// The library gave up; the text says why.
    #[error("DTLS failed: {0}")]
    Handshake(String),
    /// There is no connection to send on. The caller's fault.
    #[error("DTLS is not connected")]
    NotConnected,
    /// Too much was sent without draining the output. The caller's fault.
    #[error("the DTLS send queue is full")]
    SendQueueFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshaking,
    Connected,
    /// We closed; the close_notify is still to be polled.
    Closing,
    Ended,
}

/// The fatal alert by which a server answers our ClientHello, which dimpl itself does not report while the version is
/// undecided. None once the server has shown a certificate: then its alerts are the library's business.
fn refusal(session: &Session, role: Role, certificate: Option<&[u8]>, datagram: &[u8]) -> Option<u8> {
    match (session, role, certificate) {
        (Session::Dimpl(_), Role::Client, None) => peek::fatal_alert(datagram),
        #[cfg(feature = "openssl")]
        (Session::OpenSsl(_), Role::Client, None) => peek::fatal_alert(datagram),
        _ => None,
    }
}

/// What a backend reports. Lengths are of what it wrote to the start of the buffer.
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
    /// A server that has not seen a whole ClientHello and so has not chosen a library.
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
