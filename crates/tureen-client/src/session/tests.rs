//! A session against a server that is made of the protocol parts of `tureen-rtc`.
#![expect(clippy::disallowed_methods, reason = "tests may read the clock")]

mod frames;

use std::num::NonZeroU8;

use tureen_rtc::dtls::DtlsConfig;
use tureen_rtc::ice::{IceConfig, IceServer};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_rtc::wire::rtcp::{
    RtcpPacket, SenderInfo, write_nack, write_pli, write_receiver_report, write_sender_report, write_xr_rrtr,
};
use tureen_rtc::wire::rtp::{Extension, ExtensionIds, RtpFields, RtpHeader, RtpHeaderWriter};
use tureen_types::data_structures::DtlsRole;

use super::*;
use crate::{MAX_PAYLOAD, OutgoingRtp, RecvStreamConfig, SendStreamConfig};

const UNIX: Duration = Duration::from_secs(1_800_000_000);
const SSRC: u32 = 1000;
const RTX_SSRC: u32 = 1001;

/// Server side of the transport, over a network without loss or delay.
struct Peer {
    session: Session,
    now: Instant,
    ice: IceServer,
    dtls: Option<Dtls>,
    srtp: Option<Srtp>,
    /// RTP packets from the session, decrypted.
    rtp: Vec<(RtpHeader, Vec<u8>)>,
    /// RTCP compounds from the session, decrypted.
    rtcp: Vec<Vec<u8>>,
    failure: Option<DtlsError>,
    closed: bool,
}

impl Peer {
    fn new(session_role: Role) -> Self {
        Self::with_fingerprints(session_role, |parameters| parameters)
    }

    /// `change` alters the fingerprints that the session expects of the peer.
    fn with_fingerprints(session_role: Role, change: impl Fn(DtlsParameters) -> DtlsParameters) -> Self {
        let now = Instant::now();
        let identity = Identity::generate().unwrap();
        let ice = IceCredentials { username_fragment: "server".into(), password: "a password".into() };
        let role = match session_role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let config = SessionConfig {
            identity: Identity::generate().unwrap(),
            dtls_role: session_role,
            remote_ice: parameters(&ice),
            candidates: vec![server_address()],
            remote_dtls: change(identity.dtls_parameters(role)),
            cname: "client".into(),
            sctp: None,
            seed: [3; 32],
        };
        let session = Session::new(config, now, UNIX).unwrap();
        let fingerprint = config::strongest_fingerprint(&session.dtls_parameters()).unwrap();
        let dtls_config: &std::sync::Arc<DtlsConfig> = identity.dtls_config();
        let dtls = Dtls::new(dtls_config, role, fingerprint, now).unwrap();
        Self {
            session,
            now,
            ice: IceServer::new(ice, IceConfig::default()),
            dtls: Some(dtls),
            srtp: None,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            failure: None,
            closed: false,
        }
    }

    fn connected(session_role: Role) -> Self {
        let mut peer = Self::new(session_role);
        peer.exchange();
        assert!(peer.session.is_connected());
        assert!(peer.srtp.is_some());
        while peer.session.poll_event().is_some() {}
        peer
    }

    /// Delivers datagrams in both directions until there are none.
    fn exchange(&mut self) {
        let mut datagram = Vec::new();
        loop {
            let mut idle = true;
            while self.session.poll_transmit(&mut datagram).is_some() {
                idle = false;
                self.handle(&mut datagram);
            }
            idle &= !self.poll_dtls();
            if idle {
                return;
            }
        }
    }

    fn handle(&mut self, datagram: &mut [u8]) {
        match classify(datagram) {
            PacketKind::Stun => {
                let tuple = Tuple { socket: SocketId(0), remote: ([192, 0, 2, 9], 9).into() };
                let mut reply = Vec::new();
                self.ice.handle_stun(self.now, tuple, &StunMessage::parse(datagram).unwrap(), &mut reply);
                while self.ice.poll_event().is_some() {}
                self.session.handle_datagram(self.now, server_address(), &mut reply);
            }
            PacketKind::Dtls => {
                if let Some(dtls) = &mut self.dtls {
                    dtls.handle_datagram(self.now, datagram);
                }
            }
            PacketKind::Rtp => {
                let header = RtpHeader::parse(datagram).unwrap();
                let opener = &mut self.srtp.as_mut().unwrap().opener;
                let opened =
                    opener.open_rtp(datagram, header.ssrc, header.sequence_number, header.len()).unwrap();
                self.rtp.push((header, datagram[..opened.len].to_vec()));
            }
            PacketKind::Rtcp => {
                let mut packet = datagram.to_vec();
                let len = self.srtp.as_mut().unwrap().opener.open_rtcp(&mut packet).unwrap();
                packet.truncate(len);
                self.rtcp.push(packet);
            }
            PacketKind::Unknown => panic!("{datagram:?}"),
        }
    }

    /// Returns true if something was sent.
    fn poll_dtls(&mut self) -> bool {
        let mut buffer = Vec::new();
        let mut sent = false;
        while let Some(dtls) = &mut self.dtls {
            match dtls.poll_output(&mut buffer) {
                dtls::Output::Datagram(datagram) => {
                    sent = true;
                    let mut datagram = datagram.to_vec();
                    self.session.handle_datagram(self.now, server_address(), &mut datagram);
                }
                dtls::Output::Connected { srtp, .. } => self.srtp = Some(Srtp::new(&srtp.unwrap()).unwrap()),
                dtls::Output::ApplicationData(_) => {}
                dtls::Output::Failed(error) => {
                    self.failure = Some(error);
                    self.dtls = None;
                }
                dtls::Output::Closed => {
                    self.closed = true;
                    self.dtls = None;
                }
                dtls::Output::Idle { .. } => break,
            }
        }
        sent
    }

    /// Advances time and handles every timeout.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|&at| at <= end) {
            self.now = at.max(self.now);
            self.session.handle_timeout(self.now);
            self.exchange();
        }
        self.now = end;
    }

    /// Encrypts an RTP packet and delivers it to the session. Returns the received sequence number and payload.
    fn send_rtp(
        &mut self,
        ssrc: u32,
        payload_type: u8,
        index: u64,
        payload: &[u8],
    ) -> Option<(u64, Vec<u8>)> {
        let fields = RtpFields {
            marker: false,
            has_padding: false,
            payload_type: tureen_rtc::units::PayloadType(payload_type),
            sequence_number: index as u16,
            timestamp: 5000,
            ssrc: Ssrc(ssrc),
        };
        let mut header = [0; 64];
        let mut writer = RtpHeaderWriter::new(&mut header, &fields).unwrap();
        writer.push(5, &(index as u16).to_be_bytes()).unwrap();
        let len = writer.finish().unwrap().len;
        let mut datagram = vec![0; 1500];
        let sealer = &self.srtp.as_ref().unwrap().sealer;
        let len = sealer.seal_rtp(Ssrc(ssrc), index, &header[..len], &[], payload, &mut datagram).unwrap();
        let received = self.session.handle_datagram(self.now, server_address(), &mut datagram[..len]);
        let received = match received {
            Received::Rtp(packet) => Some((packet.seq, packet.payload.to_vec())),
            _ => None,
        };
        self.exchange();
        received
    }

    fn send_rtcp(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = Vec::new();
        write(&mut packet);
        self.srtp.as_mut().unwrap().sealer.seal_rtcp(&mut packet).unwrap();
        let received = self.session.handle_datagram(self.now, server_address(), &mut packet);
        assert!(matches!(received, Received::Rtcp(_)));
        self.exchange();
    }

    /// Returns true if one of the session's RTCP packets matches. Clears them.
    fn take_rtcp(&mut self, wanted: impl Fn(&RtcpPacket<'_>) -> bool) -> bool {
        let compounds = std::mem::take(&mut self.rtcp);
        compounds.iter().any(|compound| RtcpCompound::new(compound).any(|packet| wanted(&packet.unwrap())))
    }
}

fn server_address() -> SocketAddr {
    ([192, 0, 2, 1], 4000).into()
}

fn packet(payload: &[u8]) -> OutgoingRtp<'_> {
    OutgoingRtp { payload, timestamp: 7000, marker: true, audio_level: None }
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

#[test]
fn connects_in_both_dtls_roles() {
    for role in [Role::Client, Role::Server] {
        let mut peer = Peer::new(role);
        assert_eq!(peer.session.send_rtp(peer.now, SSRC, &packet(b"x")), Err(SessionError::NotConnected));
        peer.exchange();
        assert!(peer.session.is_connected(), "{role:?}");
        let events = events(&mut peer.session);
        assert_eq!(events[0], Event::IceConnected(server_address()));
        assert!(matches!(events[1..], [Event::Connected(_)]), "{events:?}");
    }
}

#[test]
fn dtls_parameters_name_role_and_every_fingerprint() {
    let peer = Peer::new(Role::Server);
    let parameters = peer.session.dtls_parameters();
    assert_eq!(parameters.role, DtlsRole::Server);
    assert_eq!(parameters.fingerprints.len(), 5);
    assert_eq!(peer.session.ice_parameters().username_fragment.len(), 32);
}

#[test]
fn wrong_fingerprint_of_the_server_is_refused() {
    for role in [Role::Client, Role::Server] {
        let other = Identity::generate().unwrap();
        let mut peer = Peer::with_fingerprints(role, |_| other.dtls_parameters(Role::Client));
        peer.exchange();
        let events = events(&mut peer.session);
        let wrong = |event: &Event| {
            matches!(event, Event::Failed(FailureReason::Dtls(DtlsError::WrongFingerprint { .. })))
        };
        assert!(events.iter().any(wrong), "{role:?}: {events:?}");
        assert!(!peer.session.is_connected());
        assert_eq!(peer.session.poll_timeout(), None, "no timeout after the end");
    }
}

#[test]
fn close_sends_an_alert_to_the_server() {
    let mut peer = Peer::connected(Role::Client);
    peer.session.close(peer.now);
    assert_eq!(events(&mut peer.session), [Event::Closed]);
    peer.exchange();
    assert!(peer.closed);
    assert_eq!(peer.session.send_rtp(peer.now, SSRC, &packet(b"x")), Err(SessionError::NotConnected));
}

#[test]
fn server_closing_ends_the_session() {
    let mut peer = Peer::connected(Role::Server);
    peer.dtls.as_mut().unwrap().close();
    peer.exchange();
    assert_eq!(events(&mut peer.session), [Event::Closed]);
}

#[test]
fn media_is_sent_with_sequence_numbers_and_extensions() {
    let mut peer = Peer::connected(Role::Client);
    let ids = ExtensionIds::default()
        .with(Extension::Mid, NonZeroU8::new(1))
        .with(Extension::TransportWideCcDraft01, NonZeroU8::new(5))
        .with(Extension::AbsSendTime, NonZeroU8::new(4));
    let config = SendStreamConfig {
        first_sequence_number: Some(65_535),
        mid: Some("video".into()),
        extension_ids: ids,
        ..SendStreamConfig::new(SSRC, 96, 90_000)
    };
    peer.session.add_send_stream(config).unwrap();
    assert_eq!(peer.session.send_rtp(peer.now, SSRC, &packet(b"one")), Ok(65_535));
    assert_eq!(peer.session.send_rtp(peer.now, SSRC, &packet(b"two")), Ok(0));
    peer.exchange();
    for (at, (header, packet)) in peer.rtp.iter().enumerate() {
        assert_eq!(header.sequence_number, 65_535_u16.wrapping_add(at as u16));
        assert_eq!(&packet[header.len()..], [&b"one"[..], b"two"][at]);
        assert_eq!(header.extension(packet, 1), Some(&b"video"[..]));
        assert_eq!(header.extension(packet, 5), Some(&[0, at as u8][..]));
        assert_eq!(header.extension(packet, 4).unwrap().len(), 3);
        assert!(header.marker && header.timestamp == 7000 && header.payload_type.0 == 96);
    }
    assert_eq!(peer.rtp.len(), 2);
}

#[test]
fn mid_is_left_out_once_the_server_has_reported_on_the_stream() {
    let mut peer = Peer::connected(Role::Client);
    let ids = ExtensionIds::default().with(Extension::Mid, NonZeroU8::new(1));
    let mid = Some("v".to_owned());
    let config = SendStreamConfig { mid, extension_ids: ids, ..SendStreamConfig::new(SSRC, 96, 90_000) };
    peer.session.add_send_stream(config).unwrap();
    peer.send_rtcp(|out| {
        let block = tureen_rtc::wire::rtcp::ReportBlock {
            ssrc: Ssrc(SSRC),
            fraction_lost: 3,
            total_lost: 4,
            highest_sequence_number: 0,
            jitter: 0,
            last_sender_report: 0,
            delay_since_last_sender_report: 0,
        };
        write_receiver_report(out, Ssrc(1), &[block]);
    });
    peer.session.send_rtp(peer.now, SSRC, &packet(b"x")).unwrap();
    peer.exchange();
    assert_eq!(peer.rtp[0].0.extension(&peer.rtp[0].1, 1), None);
    let stats = peer.session.send_stats(SSRC).unwrap();
    assert_eq!((stats.fraction_lost, stats.lost, stats.packets), (3, 4, 1));
}

#[test]
fn nacked_packet_is_retransmitted_by_rtx_while_it_is_buffered() {
    let mut peer = Peer::connected(Role::Client);
    let config = SendStreamConfig {
        first_sequence_number: Some(65_534),
        buffered_packets: 16,
        ..SendStreamConfig::new(SSRC, 96, 90_000).with_rtx(RTX_SSRC, 97)
    };
    peer.session.add_send_stream(config).unwrap();
    for at in 0..20_u8 {
        peer.session.send_rtp(peer.now, SSRC, &packet(&[at; 10])).unwrap();
        peer.exchange();
    }
    peer.rtp.clear();
    // 65534 has left the buffer, 3 is the sixth packet, and 50 was never sent.
    peer.send_rtcp(|out| write_nack(out, Ssrc(1), Ssrc(SSRC), &[65_534, 3, 50]));
    let [(header, packet)] = &peer.rtp[..] else { panic!("{:?}", peer.rtp) };
    assert_eq!((header.ssrc.0, header.payload_type.0), (RTX_SSRC, 97));
    assert_eq!(packet[header.len()..][..2], [0, 3]);
    assert_eq!(packet[header.len() + 2..], [5; 10]);
    let stats = peer.session.send_stats(SSRC).unwrap();
    assert_eq!((stats.nacks, stats.retransmitted, stats.nacked_too_late), (1, 1, 2));
}

#[test]
fn undrained_output_is_bounded() {
    let mut peer = Peer::connected(Role::Client);
    peer.session.add_send_stream(SendStreamConfig::new(SSRC, 96, 90_000)).unwrap();
    for _ in 0..64 {
        peer.session.send_rtp(peer.now, SSRC, &packet(b"x")).unwrap();
    }
    assert_eq!(peer.session.send_rtp(peer.now, SSRC, &packet(b"x")), Err(SessionError::Backlog));
    let long = vec![0; MAX_PAYLOAD + 1];
    assert_eq!(
        peer.session.send_rtp(peer.now, SSRC, &packet(&long)),
        Err(SessionError::PayloadTooLong(MAX_PAYLOAD + 1))
    );
    peer.exchange();
    assert_eq!(peer.rtp.len(), 64);
    peer.session.send_rtp(peer.now, SSRC, &packet(&long[1..])).unwrap();
    peer.exchange();
    assert_eq!(peer.rtp.len(), 65);
}

#[test]
fn lost_packets_are_nacked_and_accepted_once_by_rtx() {
    let mut peer = Peer::connected(Role::Server);
    peer.session.add_recv_stream(RecvStreamConfig::new(SSRC, 96, 90_000).with_rtx(RTX_SSRC, 97)).unwrap();
    let first = peer.send_rtp(SSRC, 96, 200, b"first").unwrap();
    assert_eq!(first, (0x1_0000 + 200, b"first".to_vec()));
    peer.rtcp.clear();
    peer.send_rtp(SSRC, 96, 203, b"fourth").unwrap();
    assert!(peer.take_rtcp(|packet| match packet {
        RtcpPacket::Nack(nack) => nack.media_ssrc.0 == SSRC && nack.lost().eq([201, 202]),
        _ => false,
    }));
    assert_eq!(peer.send_rtp(RTX_SSRC, 97, 9, b"\x00\xc9second"), Some((0x1_0000 + 201, b"second".to_vec())));
    assert_eq!(peer.send_rtp(RTX_SSRC, 97, 10, b"\x00\xc9second"), None, "received already");
    assert_eq!(peer.send_rtp(SSRC, 96, 201, b"second"), None, "late original");
    assert_eq!(peer.send_rtp(SSRC, 96, 199, b"earlier").unwrap().0, 0x1_0000 + 199, "before the first");
    peer.run(Duration::from_millis(150));
    assert!(peer.take_rtcp(|packet| matches!(packet, RtcpPacket::Nack(nack) if nack.lost().eq([202]))));
    let stats = peer.session.recv_stats(SSRC).unwrap();
    assert_eq!((stats.packets, stats.repaired, stats.discarded, stats.missing), (4, 1, 2, 1));
}

#[test]
fn unknown_and_unauthentic_packets_are_dropped_and_counted() {
    let mut peer = Peer::connected(Role::Client);
    assert_eq!(peer.session.dropped(), 0);
    assert_eq!(peer.send_rtp(SSRC, 96, 200, b"x"), None);
    assert_eq!(peer.session.dropped(), 1, "no such stream");
    for datagram in [&mut [0x80; 40][..], &mut [22; 40], &mut [0; 40], &mut [255; 40], &mut []] {
        peer.session.handle_datagram(peer.now, ([203, 0, 113, 5], 1).into(), datagram);
    }
    assert_eq!(peer.session.dropped(), 6);
    assert!(peer.session.is_connected());
}

#[test]
fn key_frame_requests_are_sent_and_received() {
    let mut peer = Peer::connected(Role::Client);
    peer.session.add_send_stream(SendStreamConfig::new(SSRC, 96, 90_000)).unwrap();
    peer.session.add_recv_stream(RecvStreamConfig::new(77, 96, 90_000)).unwrap();
    for _ in 0..3 {
        peer.send_rtcp(|out| write_pli(out, Ssrc(1), Ssrc(SSRC)));
    }
    assert_eq!(events(&mut peer.session), [Event::KeyFrameRequested { ssrc: SSRC }]);
    assert_eq!(peer.session.send_stats(SSRC).unwrap().key_frame_requests, 3);
    peer.session.request_key_frame(peer.now, 77).unwrap();
    peer.exchange();
    assert!(peer.take_rtcp(|packet| matches!(packet, RtcpPacket::Pli(pli) if pli.media_ssrc.0 == 77)));
    assert_eq!(peer.session.request_key_frame(peer.now, 78), Err(SessionError::NoStream(78)));
}

#[test]
fn reports_cover_both_directions() {
    let mut peer = Peer::connected(Role::Client);
    peer.session.add_send_stream(SendStreamConfig::new(SSRC, 96, 90_000)).unwrap();
    peer.session.add_recv_stream(RecvStreamConfig::new(77, 96, 90_000)).unwrap();
    peer.session.send_rtp(peer.now, SSRC, &packet(b"four")).unwrap();
    let ntp_time = NtpTime(5 << 32);
    peer.send_rtp(77, 96, 1, b"x");
    let info = SenderInfo { ntp_time, rtp_timestamp: 1, packet_count: 1, octet_count: 1 };
    peer.send_rtcp(|out| write_sender_report(out, Ssrc(77), &info, &[]));
    peer.send_rtcp(|out| write_xr_rrtr(out, Ssrc(4), ntp_time));
    peer.rtcp.clear();
    peer.run(Duration::from_secs(2));
    let compounds = peer.rtcp.clone();
    assert!(peer.take_rtcp(|packet| match packet {
        RtcpPacket::SenderReport(report) => {
            let block = report.reports.iter().next();
            let about = block.is_some_and(|b| b.ssrc.0 == 77 && b.last_sender_report == ntp_time.compact());
            about && report.sender_ssrc.0 == SSRC && report.info.octet_count == 4
        }
        _ => false,
    }));
    let packets = || compounds.iter().flat_map(|compound| RtcpCompound::new(compound).flatten());
    let has_cname = |packet: RtcpPacket<'_>| match packet {
        RtcpPacket::Sdes(sdes) => sdes.chunks().any(|chunk| chunk.cname() == Some(b"client")),
        _ => false,
    };
    assert!(packets().any(has_cname));
    let answers = |packet: RtcpPacket<'_>| match packet {
        RtcpPacket::Xr(xr) => xr.blocks().any(|block| match block {
            tureen_rtc::wire::rtcp::XrBlock::DelaySinceLastRr(entries) => entries
                .iter()
                .any(|entry| entry.ssrc.0 == 4 && entry.last_reference_time == ntp_time.compact()),
            _ => false,
        }),
        _ => false,
    };
    assert!(packets().any(answers));
}

#[test]
fn transport_wide_feedback_lists_received_packets() {
    let mut peer = Peer::connected(Role::Client);
    let ids = ExtensionIds::default().with(Extension::TransportWideCcDraft01, NonZeroU8::new(5));
    let config = RecvStreamConfig { extension_ids: ids, ..RecvStreamConfig::new(77, 96, 90_000) };
    peer.session.add_recv_stream(config).unwrap();
    for index in [10, 11, 13] {
        peer.send_rtp(77, 96, index, b"x");
    }
    peer.run(Duration::from_millis(200));
    assert!(peer.take_rtcp(|packet| match packet {
        RtcpPacket::TransportCc(feedback) => feedback.received().map(|(seq, _)| seq).eq([10, 11, 13]),
        _ => false,
    }));
}

#[test]
fn round_trip_time_comes_from_report_blocks() {
    let mut peer = Peer::connected(Role::Client);
    peer.session.add_send_stream(SendStreamConfig::new(SSRC, 96, 90_000)).unwrap();
    let sent = NtpTime::from_unix(UNIX + peer.now.duration_since(peer.session.clock.started));
    peer.now += Duration::from_millis(150);
    peer.send_rtcp(|out| {
        let block = tureen_rtc::wire::rtcp::ReportBlock {
            ssrc: Ssrc(SSRC),
            fraction_lost: 0,
            total_lost: 0,
            highest_sequence_number: 0,
            jitter: 0,
            last_sender_report: sent.compact(),
            delay_since_last_sender_report: 65_536 / 10,
        };
        write_receiver_report(out, Ssrc(1), &[block]);
    });
    let rtt = peer.session.rtt().unwrap().as_millis();
    assert!((49..=51).contains(&rtt), "{rtt}");
}

#[test]
fn streams_can_be_removed() {
    let mut peer = Peer::connected(Role::Client);
    for ssrc in [10, 20, 30] {
        let config = RecvStreamConfig::new(ssrc, 96, 90_000).with_rtx(ssrc + 1, 97);
        peer.session.add_recv_stream(config).unwrap();
    }
    let taken = RecvStreamConfig::new(31, 96, 90_000);
    assert_eq!(peer.session.add_recv_stream(taken), Err(SessionError::SsrcTaken(31)));
    peer.session.remove_recv_stream(10).unwrap();
    assert_eq!(peer.send_rtp(10, 96, 1, b"x"), None);
    assert!(peer.send_rtp(30, 96, 1, b"x").is_some(), "its index in the table has changed");
    peer.session.remove_recv_stream(30).unwrap();
    assert!(peer.send_rtp(20, 96, 1, b"x").is_some());

    peer.session.add_send_stream(SendStreamConfig::new(SSRC, 96, 90_000)).unwrap();
    peer.session.send_rtp(peer.now, SSRC, &packet(b"x")).unwrap();
    peer.session.remove_send_stream(SSRC).unwrap();
    peer.exchange();
    assert!(peer.rtp.is_empty());
    assert_eq!(peer.session.remove_send_stream(SSRC), Err(SessionError::NoStream(SSRC)));
}

#[test]
fn raw_rtcp_is_encrypted_unchanged() {
    let mut peer = Peer::connected(Role::Client);
    let raw = [0x80, 201, 0, 1, 1, 2, 3, 4];
    peer.session.send_raw_rtcp(peer.now, &raw).unwrap();
    peer.exchange();
    assert_eq!(peer.rtcp.pop().unwrap(), raw);
}
