//! ICE over TCP by real sockets. What attackers can't do there is in `tests/attacks`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use tureen::data_structures::{DtlsState, IceCandidateTcpType};
use tureen::prelude::*;
use tureen_client::media::OpusSource;
use tureen_client::{Identity, OutgoingRtp, SendStreamConfig, Session, SessionConfig};
use tureen_core::dtls::Role;

use super::*;

/// The bound of a wait for something that must happen.
const FAILURE: Duration = Duration::from_secs(20);

const SSRC: u32 = 5000;

/// A session over one TCP connection.
struct Peer {
    session: Session,
    stream: TcpStream,
    remote: SocketAddr,
    received: Vec<u8>,
}

impl Peer {
    fn connect(transport: &WebRtcTransport) -> Self {
        let candidate = &transport.ice_candidates()[0];
        assert_eq!(
            (candidate.protocol, candidate.tcp_type),
            (Protocol::Tcp, Some(IceCandidateTcpType::Passive))
        );
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, candidate.port));
        let identity = Identity::generate().unwrap();
        let dtls_parameters = identity.dtls_parameters(Role::Client);
        let config = SessionConfig {
            identity,
            dtls_role: Role::Client,
            remote_ice: transport.ice_parameters().clone(),
            candidates: vec![remote],
            remote_dtls: transport.dtls_parameters(),
            cname: "tcp".to_owned(),
            seed: [3; 32],
            sctp: None,
        };
        block_on(transport.connect(WebRtcTransportRemoteParameters { dtls_parameters })).unwrap();
        let stream = TcpStream::connect(remote).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let session = Session::new(config, now(), Duration::from_secs(1_800_000_000)).unwrap();
        Self { session, stream, remote, received: Vec::new() }
    }

    /// Sends and receives until `done`.
    fn run_until(&mut self, mut done: impl FnMut(&mut Session) -> bool) {
        let deadline = now() + FAILURE;
        let mut datagram = Vec::new();
        while !done(&mut self.session) {
            assert!(now() < deadline, "it takes too long");
            while self.session.poll_transmit(&mut datagram).is_some() {
                let len = u16::try_from(datagram.len()).unwrap();
                self.stream.write_all(&[&len.to_be_bytes()[..], &datagram].concat()).unwrap();
            }
            self.receive();
            while self.session.poll_event().is_some() {}
            if self.session.poll_timeout().is_some_and(|at| at <= now()) {
                self.session.handle_timeout(now());
            }
        }
    }

    /// Waits a little for frames.
    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the worker has closed the connection"),
            Ok(len) => self.received.extend(&buffer[..len]),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}")
            }
        }
        while let Some(&[high, low]) = self.received.first_chunk()
            && let end = 2 + usize::from(u16::from_be_bytes([high, low]))
            && self.received.len() >= end
        {
            let mut frame: Vec<u8> = self.received.drain(..end).skip(2).collect();
            self.session.handle_datagram(now(), self.remote, &mut frame);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a real session needs the real time")]
fn now() -> Instant {
    Instant::now()
}

fn tcp() -> ListenInfo {
    ListenInfo { protocol: Protocol::Tcp, ..listen_info(None) }
}

async fn transport(router: &Router, on_server: bool) -> WebRtcTransport {
    let options = if on_server {
        let infos = WebRtcServerListenInfos::new(tcp());
        let server = router.worker().create_webrtc_server(WebRtcServerOptions::new(infos)).await.unwrap();
        WebRtcTransportOptions::new_with_server(server)
    } else {
        WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(tcp()))
    };
    router.create_webrtc_transport(options).await.unwrap()
}

#[test]
fn session_over_tcp_connects_and_its_media_arrives() {
    for on_server in [false, true] {
        let (transport, producer) = block_on(async {
            let transport = transport(&router().await, on_server).await;
            let producer = transport.produce(audio("a", SSRC)).await.unwrap();
            (transport, producer)
        });
        let mut peer = Peer::connect(&transport);
        peer.session.add_send_stream(SendStreamConfig::new(SSRC, 111, 48_000)).unwrap();
        peer.run_until(|session| session.is_connected());
        let mut source = OpusSource::default();
        let mut payload = Vec::new();
        let mut sent = 0;
        peer.run_until(|session| {
            source.write_next(60, &mut payload);
            let packet =
                OutgoingRtp { payload: &payload, timestamp: 960 * sent, marker: false, audio_level: None };
            session.send_rtp(now(), SSRC, &packet).unwrap();
            sent += 1;
            sent == 50
        });
        peer.run_until(|_| {
            let stats = block_on(producer.get_stats()).unwrap();
            stats.first().is_some_and(|stream| stream.packet_count >= 49)
        });
        assert_eq!(transport.dtls_state(), DtlsState::Connected);
        let tuple = transport.ice_selected_tuple().unwrap();
        assert_eq!(tuple.protocol(), Protocol::Tcp);
        assert_eq!(tuple.remote_port(), Some(peer.stream.local_addr().unwrap().port()));
        let stat = block_on(transport.get_stats()).unwrap().remove(0);
        assert!(stat.rtp_bytes_received > 3000, "{stat:?}");
    }
}

#[test]
fn closed_transport_closes_its_connections() {
    let router = block_on(router());
    let transport = block_on(transport(&router, false));
    let mut peer = Peer::connect(&transport);
    peer.run_until(|session| session.is_connected() && transport.dtls_state() == DtlsState::Connected);
    drop(transport);
    peer.stream.set_read_timeout(Some(FAILURE)).unwrap();
    // What DTLS says in the end, then the end.
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty());
    assert!(TcpStream::connect(peer.remote).is_err());
}
