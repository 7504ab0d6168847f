//! The second backend: the system's libssl, for RSA and SRTP_AES128_CM_SHA1_32.
//!
//! Only the safe interface of the `openssl` crate is used, which cannot give libssl a clock. libssl retransmits a
//! flight by the system's clock, one second after it was sent and then at doubled intervals, when `SSL_do_handshake`
//! is called. Unfinished handshakes therefore ask for a wake-up every [`TICK`]. Until libssl retransmits, and in
//! virtual time, the datagrams of the last flight are sent again unchanged by the caller's clock, which the peer sees
//! as duplicates. This recovers lost datagrams of that flight, but not the loss of the last flight of the handshake,
//! which libssl repeats only for new records.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::srtp::SrtpProfileId;
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContext, SslMethod, SslOptions, SslSessionCacheMode, SslStream, SslVerifyMode,
    SslVersion,
};
use openssl::x509::X509;

use super::certificate::Certificate;
use super::config::DtlsConfig;
use super::{DtlsError, Event, KeyingMaterial, Role};
use crate::srtp::SrtpSuite;

/// Interval at which libssl may check its clock during a handshake.
const TICK: Duration = Duration::from_millis(100);
/// RFC 8827 §6.5 requires forward secrecy: ECDHE alone.
const CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES";
/// Length of a record's header; its last two bytes are the length of the rest (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;
/// Most bytes of one record (RFC 6347 §4.1).
const MAX_RECORD: usize = 16 * 1024;
/// libssl reports a received alert as this offset plus the AlertDescription.
const ALERT_REASONS: std::ops::Range<i32> = 1000..1256;
/// SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE.
const NO_CERTIFICATE_REASON: i32 = 199;

/// Security bits of a 2048-bit RSA key (NIST SP 800-57), which libssl's default security level 2 requires.
const STRONG_BITS: u32 = 112;
/// libssl's security level that lets 1024-bit RSA keys (80 bits) pass.
const WEAK_LEVEL: u32 = 1;

/// The public key in PKCS #1 form of a private RSA key (PKCS #8 or PKCS #1), once the key is consistent.
pub(super) fn rsa_public_key(key_der: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::private_key_from_der(key_der)?.rsa()?;
    key.check_key()?;
    key.public_key_to_der_pkcs1()
}

/// libssl contexts of the settings, shared by all sessions of a Worker.
pub(super) struct Contexts(SslContext);

impl Contexts {
    pub(super) fn new(certificate: &Certificate, suites: &[SrtpSuite]) -> Result<Self, DtlsError> {
        build_context(certificate, suites).map(Self).map_err(|error| DtlsError::Config(error.to_string()))
    }
}

fn build_context(certificate: &Certificate, suites: &[SrtpSuite]) -> Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::dtls())?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_cipher_list(CIPHERS)?;
    // The peer must send a certificate, but no authority has to sign it: `Dtls` checks its fingerprint.
    context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
    let x509 = X509::from_der(certificate.der())?;
    let key = PKey::private_key_from_der(certificate.key_der())?;
    // Lowered only for a weak local key. Peers' keys do not depend on the level, because of the callback above.
    if key.security_bits() < STRONG_BITS {
        context.set_security_level(WEAK_LEVEL);
    }
    context.set_certificate(&x509)?;
    context.set_private_key(&key)?;
    context.check_private_key()?;
    let suites: Vec<&str> = suites.iter().map(|suite| suite_name(*suite)).collect();
    context.set_tlsext_use_srtp(&suites.join(":"))?;
    Ok(context.build())
}

pub(super) struct OpenSslSession {
    stream: SslStream<Wire>,
    events: VecDeque<Queued>,
    connected: bool,
    deadline: Instant,
    next_tick: Instant,
    /// Time of the next retransmission of the flight.
    resend_at: Instant,
    /// Interval to the following one.
    resend_interval: Duration,
    first_interval: Duration,
    scratch: Vec<u8>,
}

/// Outputs besides datagrams.
enum Queued {
    PeerCertificate(Vec<u8>),
    Connected(Option<KeyingMaterial>),
    ApplicationData(Vec<u8>),
    Closed,
}

impl OpenSslSession {
    pub(super) fn new(config: &DtlsConfig, role: Role, now: Instant) -> Result<Self, DtlsError> {
        let library = |error: ErrorStack| DtlsError::Handshake(error.to_string());
        let mut ssl = Ssl::new(&config.openssl.0).map_err(library)?;
        ssl.set_mtu(config.options.mtu.into()).map_err(library)?;
        match role {
            Role::Client => ssl.set_connect_state(),
            Role::Server => ssl.set_accept_state(),
        }
        let wire = Wire {
            mtu: config.options.mtu.into(),
            incoming: None,
            outgoing: VecDeque::new(),
            flight: Vec::new(),
            is_answered: true,
            keeps_flights: true,
        };
        let first_interval = config.options.retransmission_start;
        let mut session = Self {
            stream: SslStream::new(ssl, wire).map_err(library)?,
            events: VecDeque::new(),
            connected: false,
            deadline: now + config.options.handshake_timeout,
            next_tick: now + TICK,
            resend_at: now + first_interval,
            resend_interval: first_interval,
            first_interval,
            scratch: vec![0; MAX_RECORD],
        };
        session.advance(now)?;
        Ok(session)
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        self.stream.get_mut().incoming = Some(datagram.into());
        let result = self.advance(now);
        // libssl reads the whole datagram unless the handshake has failed.
        self.stream.get_mut().incoming = None;
        result?;
        self.handle_timeout(now)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        if self.connected {
            return Ok(());
        }
        if now >= self.deadline {
            return Err(DtlsError::HandshakeTimeout);
        }
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            let interval = self.resend_interval;
            self.advance(now)?;
            self.resend_interval = interval;
        }
        if now >= self.resend_at && !self.connected {
            self.stream.get_mut().repeat_flight();
            self.resend_interval *= 2;
            self.resend_at = now + self.resend_interval;
        }
        Ok(())
    }

    pub(super) fn poll(&mut self, buf: &mut Vec<u8>) -> Event {
        match self.events.pop_front() {
            Some(Queued::PeerCertificate(der)) => return Event::PeerCertificate(der),
            Some(Queued::Connected(material)) => return Event::Connected(material),
            Some(Queued::ApplicationData(data)) => return Event::ApplicationData(fill(buf, &data)),
            Some(Queued::Closed) => return Event::Closed,
            None => {}
        }
        match self.stream.get_mut().outgoing.pop_front() {
            Some(datagram) => Event::Datagram(fill(buf, &datagram)),
            None => {
                Event::Idle((!self.connected).then(|| self.next_tick.min(self.resend_at).min(self.deadline)))
            }
        }
    }

    pub(super) fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        if self.stream.get_ref().outgoing.len() >= MAX_OUTGOING {
            return Err(DtlsError::SendQueueFull);
        }
        // libssl reports an empty write as an error.
        if data.is_empty() {
            return Ok(());
        }
        self.stream.ssl_write(data).map(drop).map_err(error)
    }

    pub(super) fn close(&mut self) -> Result<(), DtlsError> {
        self.stream.shutdown().map(drop).map_err(error)
    }

    /// Runs libssl until it needs another datagram. Its output is a new flight.
    fn advance(&mut self, now: Instant) -> Result<(), DtlsError> {
        self.stream.get_mut().is_answered = true;
        let result = self.work();
        if !std::mem::replace(&mut self.stream.get_mut().is_answered, false) {
            self.resend_interval = self.first_interval;
            self.resend_at = now + self.resend_interval;
        }
        if self.connected {
            let wire = self.stream.get_mut();
            (wire.flight, wire.keeps_flights) = (Vec::new(), false);
        }
        result
    }

    fn work(&mut self) -> Result<(), DtlsError> {
        if !self.connected {
            match self.stream.do_handshake() {
                Ok(()) => self.on_connected()?,
                Err(waiting) if is_waiting(&waiting) => return Ok(()),
                Err(failed) => return Err(error(failed)),
            }
        }
        loop {
            match self.stream.ssl_read(&mut self.scratch) {
                Ok(len) => self.events.push_back(Queued::ApplicationData(self.scratch[..len].to_vec())),
                Err(waiting) if is_waiting(&waiting) => return Ok(()),
                Err(closed) if closed.code() == ErrorCode::ZERO_RETURN => {
                    self.events.push_back(Queued::Closed);
                    return Ok(());
                }
                Err(failed) => return Err(error(failed)),
            }
        }
    }

    fn on_connected(&mut self) -> Result<(), DtlsError> {
        let library = |error: ErrorStack| DtlsError::Handshake(error.to_string());
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().ok_or(DtlsError::NoPeerCertificate)?;
        let der = certificate.to_der().map_err(library)?;
        let material = match ssl.selected_srtp_profile().and_then(|profile| suite(profile.id())) {
            Some(suite) => {
                let mut bytes = vec![0; 2 * (suite.key_len() + suite.salt_len())];
                // RFC 5764 §4.2: without a context.
                ssl.export_keying_material(&mut bytes, "EXTRACTOR-dtls_srtp", None).map_err(library)?;
                Some(KeyingMaterial { suite, bytes })
            }
            None => None,
        };
        self.connected = true;
        self.events.push_back(Queued::PeerCertificate(der));
        self.events.push_back(Queued::Connected(material));
        Ok(())
    }
}

/// Most outgoing datagrams queued; further ones are dropped, as by a full socket.
const MAX_OUTGOING: usize = 64;

/// Most datagrams of a flight that are kept for retransmission. A certificate chain of 20 kB takes 18.
const MAX_FLIGHT: usize = 32;

/// The transport of libssl: one datagram in, some out.
#[derive(Debug)]
struct Wire {
    mtu: usize,
    incoming: Option<Box<[u8]>>,
    outgoing: VecDeque<Box<[u8]>>,
    /// Datagrams of the current flight, until the handshake is complete.
    flight: Vec<Box<[u8]>>,
    /// The next write starts a flight.
    is_answered: bool,
    /// The handshake is not complete.
    keeps_flights: bool,
}

impl Wire {
    fn repeat_flight(&mut self) {
        let room = MAX_OUTGOING.saturating_sub(self.outgoing.len());
        self.outgoing.extend(self.flight.iter().take(room).cloned());
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.take().ok_or(io::ErrorKind::WouldBlock)?;
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl Write for Wire {
    /// libssl sometimes packs one record too many for the MTU into a write. Records of one flight may be sent in
    /// separate datagrams (RFC 6347 §4.1.1).
    fn write(&mut self, records: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.is_answered) {
            self.flight.clear();
        }
        let mut rest = records;
        while !rest.is_empty() && self.outgoing.len() < MAX_OUTGOING {
            let (datagram, after) = rest.split_at(whole_records(rest, self.mtu));
            self.outgoing.push_back(datagram.into());
            if self.keeps_flights && self.flight.len() < MAX_FLIGHT {
                self.flight.push(datagram.into());
            }
            rest = after;
        }
        Ok(records.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Length of the longest run of whole records that fits in `mtu` bytes; of the first record if not even that fits.
fn whole_records(records: &[u8], mtu: usize) -> usize {
    let mut end = 0;
    while let Some(&[high, low]) = records.get(end + 11..end + RECORD_HEADER) {
        let next = end + RECORD_HEADER + usize::from(u16::from_be_bytes([high, low]));
        if next > records.len() || (end > 0 && next > mtu) {
            break;
        }
        end = next;
    }
    if end == 0 { records.len() } else { end }
}

fn fill(buf: &mut Vec<u8>, bytes: &[u8]) -> usize {
    if buf.len() < bytes.len() {
        buf.resize(bytes.len(), 0);
    }
    buf[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

fn suite_name(suite: SrtpSuite) -> &'static str {
    match suite {
        SrtpSuite::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        SrtpSuite::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
        SrtpSuite::AesCm128HmacSha1_80 => "SRTP_AES128_CM_SHA1_80",
        SrtpSuite::AesCm128HmacSha1_32 => "SRTP_AES128_CM_SHA1_32",
    }
}

fn suite(profile: SrtpProfileId) -> Option<SrtpSuite> {
    match profile {
        SrtpProfileId::SRTP_AEAD_AES_256_GCM => Some(SrtpSuite::AeadAes256Gcm),
        SrtpProfileId::SRTP_AEAD_AES_128_GCM => Some(SrtpSuite::AeadAes128Gcm),
        SrtpProfileId::SRTP_AES128_CM_SHA1_80 => Some(SrtpSuite::AesCm128HmacSha1_80),
        SrtpProfileId::SRTP_AES128_CM_SHA1_32 => Some(SrtpSuite::AesCm128HmacSha1_32),
        _ => None,
    }
}

fn is_waiting(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}

fn error(error: Error) -> DtlsError {
    let reasons = error.ssl_error().map(|stack| stack.errors()).unwrap_or_default();
    for reason in reasons.iter().map(|error| error.reason_code()) {
        if reason == NO_CERTIFICATE_REASON {
            return DtlsError::NoPeerCertificate;
        }
        if let Ok(alert) = u8::try_from(reason - ALERT_REASONS.start)
            && ALERT_REASONS.contains(&reason)
        {
            return DtlsError::PeerAlert(alert);
        }
    }
    DtlsError::Handshake(error.to_string())
}
