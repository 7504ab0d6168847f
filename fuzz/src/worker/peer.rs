//! Remote endpoint of the transport: ICE checks, a DTLS client and an SRTP sealer.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant;

use tureen_engine::api::WebRtcTransportDump;
use tureen_rtc::dtls::{Dtls, Output, Role};
use tureen_rtc::srtp::{NonceGuard, SrtpSealer};
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_rtc::wire::stun::{StunClass, StunWriter};
use tureen_types::data_structures::{DtlsFingerprint, DtlsParameters, DtlsRole};

use crate::dtls::{CONFIG, fingerprint};

/// Method of ICE checks (RFC 8489 §3).
const BINDING: u16 = 1;

pub(super) struct Peer {
    /// Local address of the peer.
    pub(super) address: SocketAddr,
    dtls: Dtls,
    sealer: Option<SrtpSealer>,
    username: String,
    password: String,
    buffer: Vec<u8>,
}

impl Peer {
    /// Initial address of the peer.
    pub(super) const ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 50000));

    /// Creates a peer that uses the worker's certificate too.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            address: Self::ADDRESS,
            dtls: Dtls::new(&CONFIG, Role::Client, fingerprint(), now).expect("the library starts"),
            sealer: None,
            username: String::new(),
            password: String::new(),
            buffer: Vec::new(),
        }
    }

    /// DTLS parameters of the peer, for the worker.
    pub(super) fn dtls_parameters() -> DtlsParameters {
        let value = fingerprint().as_bytes().try_into().expect("SHA-256 has 32 bytes");
        DtlsParameters { role: DtlsRole::Client, fingerprints: vec![DtlsFingerprint::Sha256 { value }] }
    }

    /// Stores the credentials of the worker's transport.
    pub(super) fn learn(&mut self, transport: &WebRtcTransportDump) {
        self.username = format!("{}:peer", transport.ice_parameters.username_fragment);
        self.password = transport.ice_parameters.password.clone();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.sealer.is_some()
    }

    /// ICE check that nominates.
    pub(super) fn check(&self) -> Vec<u8> {
        let mut datagram = Vec::new();
        StunWriter::new(&mut datagram, StunClass::Request, BINDING, [7; 12])
            .username(&self.username)
            .expect("user names of the worker are short")
            .priority(1)
            .ice_controlling(1)
            .use_candidate()
            .finish_with_integrity(self.password.as_bytes());
        datagram
    }

    /// Encrypts a packet in the first rollover cycle. Returns `None` if it has no RTP header.
    pub(super) fn seal_rtp(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        // An attacker may reuse a nonce, so that each packet has its own guard.
        self.sealer = self.sealer.take().map(|sealer| sealer.with_guard(NonceGuard::default()));
        let sealer = self.sealer.as_ref()?;
        let header = RtpHeader::parse(packet).ok()?;
        let (head, payload) = packet.split_at(header.len());
        let mut sealed = vec![0; packet.len() + sealer.suite().rtp_tag_len()];
        sealer
            .seal_rtp(header.ssrc, header.sequence_number.into(), head, &[], payload, &mut sealed)
            .expect("the buffer has room for the tag");
        Some(sealed)
    }

    /// Encrypts a compound packet. Returns `None` if it is too short.
    pub(super) fn seal_rtcp(&mut self, compound: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = compound.to_vec();
        self.sealer.as_mut()?.seal_rtcp(&mut sealed).ok()?;
        Some(sealed)
    }

    pub(super) fn send_application_data(&mut self, data: &[u8]) {
        // Fails if the worker has closed the association, or if the record is too long.
        let _ = self.dtls.send(data);
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.dtls.handle_datagram(now, datagram);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.dtls.handle_timeout(now);
    }

    /// Next datagram of the DTLS association.
    pub(super) fn poll(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.dtls.poll_output(&mut self.buffer) {
                Output::Datagram(datagram) => return Some(datagram.to_vec()),
                Output::Connected { srtp, .. } => {
                    let keys = srtp.expect("both ends offer SRTP");
                    let sealer = SrtpSealer::new(keys.suite, &keys.local.key, &keys.local.salt);
                    self.sealer = Some(sealer.expect("DTLS gives keys of the suite's length"));
                }
                Output::Idle { .. } => return None,
                Output::ApplicationData(_) | Output::Failed(_) | Output::Closed => {}
            }
        }
    }
}
