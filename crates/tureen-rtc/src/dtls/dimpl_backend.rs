//! The default backend: the `dimpl` library.

use std::time::{Duration, Instant};

use dimpl::{Dtls, DtlsCertificate, Error, Output, SecurityError, SrtpProfile, UnexpectedMessageError};

use super::config::{DtlsConfig, Versions};
use super::{DtlsError, Event, KeyingMaterial, Role, peek};
use crate::srtp::SrtpSuite;

/// dimpl requests a wake-up in ten years where it has no timer.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Most bytes accepted before the connection is established. A handshake with a long certificate chain takes 20 kB.
const MAX_HANDSHAKE: usize = 256 * 1024;
/// Smallest buffer for a datagram, in bytes.
const MIN_BUFFER: usize = 2048;

pub(super) struct DimplSession {
    dtls: Dtls,
    now: Instant,
    connected: bool,
    /// Bytes received before the handshake was complete.
    received: usize,
    /// A close_notify found while reading keying material.
    closed: bool,
}

impl DimplSession {
    pub(super) fn new(
        config: &DtlsConfig,
        versions: Versions,
        role: Role,
        now: Instant,
    ) -> Result<Self, DtlsError> {
        let certificate = DtlsCertificate {
            certificate: config.certificate.der().to_vec(),
            private_key: config.certificate.key_der().to_vec(),
        };
        let make = match versions {
            Versions::Auto => Dtls::new_auto,
            Versions::Dtls12 => Dtls::new_12,
            Versions::Dtls13 => Dtls::new_13,
        };
        let mut dtls = make(config.dimpl.clone(), certificate, now);
        dtls.set_active(role == Role::Client);
        dtls.handle_timeout(now).map_err(error)?;
        Ok(Self { dtls, now, connected: false, received: 0, closed: false })
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        self.handle_timeout(now)?;
        if !self.connected {
            self.received += datagram.len();
            if self.received > MAX_HANDSHAKE {
                return Err(DtlsError::Handshake("the peer's handshake is too long".to_owned()));
            }
        }
        // Record by record, because dimpl drops a whole datagram if its first message is a duplicate, and would lose
        // messages that the peer bundles behind it in a retransmission.
        peek::records(datagram).try_for_each(|record| self.handle_record(record))
    }

    fn handle_record(&mut self, record: &[u8]) -> Result<(), DtlsError> {
        match self.dtls.handle_packet(record) {
            // dimpl has dropped the record and is unchanged: a queue was full, a client of undecided version got
            // something else than a ServerHello, or a peer tried a new handshake after the first.
            Err(
                Error::ReceiveQueueFull
                | Error::RenegotiationAttempt
                | Error::UnexpectedMessage(UnexpectedMessageError::UnrecognizedAutoServerResponse),
            ) => Ok(()),
            result => result.map_err(error),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        self.now = now;
        self.dtls.handle_timeout(now).map_err(error)
    }

    pub(super) fn poll(&mut self, buf: &mut Vec<u8>) -> Event {
        if std::mem::take(&mut self.closed) {
            return Event::Closed;
        }
        // dimpl panics if the peer's certificate does not fit. The certificate cannot be longer than all bytes
        // received.
        let needed = if self.connected { MIN_BUFFER } else { MIN_BUFFER.max(self.received) };
        if buf.len() < needed {
            buf.resize(needed, 0);
        }
        loop {
            let needed = match self.dtls.poll_output(buf) {
                Output::Packet(packet) => return Event::Datagram(packet.len()),
                Output::PeerCert(der) => return Event::PeerCertificate(der.to_vec()),
                Output::Connected => {
                    self.connected = true;
                    return Event::Connected(self.keying_material());
                }
                Output::ApplicationData(data) => return Event::ApplicationData(data.len()),
                Output::CloseNotify => return Event::Closed,
                Output::Timeout(at) => {
                    let far = at.saturating_duration_since(self.now) > NEVER;
                    return Event::Idle((!far).then_some(at));
                }
                Output::BufferTooSmall { needed } => needed,
                _ => continue,
            };
            buf.resize(needed.max(buf.len()), 0);
        }
    }

    pub(super) fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        match self.dtls.send_application_data(data) {
            Ok(_) => Ok(()),
            Err(Error::TransmitQueueFull) => Err(DtlsError::SendQueueFull),
            Err(other) => Err(error(other)),
        }
    }

    pub(super) fn close(&mut self) -> Result<(), DtlsError> {
        self.dtls.close().map_err(error)
    }

    /// dimpl queues the keying material right behind `Connected` if an SRTP profile was negotiated. An empty buffer
    /// takes it without the datagrams and data queued behind it.
    fn keying_material(&mut self) -> Option<KeyingMaterial> {
        match self.dtls.poll_output(&mut []) {
            Output::KeyingMaterial(material, profile) => {
                let suite = match profile {
                    SrtpProfile::AEAD_AES_256_GCM => SrtpSuite::AeadAes256Gcm,
                    SrtpProfile::AEAD_AES_128_GCM => SrtpSuite::AeadAes128Gcm,
                    SrtpProfile::AES128_CM_SHA1_80 => SrtpSuite::AesCm128HmacSha1_80,
                    _ => return None,
                };
                Some(KeyingMaterial { suite, bytes: material.to_vec() })
            }
            Output::CloseNotify => {
                self.closed = true;
                None
            }
            _ => None,
        }
    }
}

fn error(error: Error) -> DtlsError {
    match error {
        Error::Timeout(_) => DtlsError::HandshakeTimeout,
        Error::SecurityError(SecurityError::FatalAlert { description }) => DtlsError::PeerAlert(description),
        Error::CertificateError(
            dimpl::CertificateError::NoServerCertificateReceived
            | dimpl::CertificateError::NoClientCertificateReceived,
        ) => DtlsError::NoPeerCertificate,
        other => DtlsError::Handshake(other.to_string()),
    }
}
