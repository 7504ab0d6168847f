//! A WebRTC session over a real socket, for the API tests and the attack tests.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use tureen::data_structures::DtlsState;
use tureen::prelude::*;
use tureen_client::{Event, Identity, Received, Session, SessionConfig};
use tureen_rtc::dtls::Role;

/// Time limit of a wait for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Longest wait of a member for datagrams.
const TURN: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "real sockets need the real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) struct Member {
    pub(crate) session: Session,
    pub(crate) wire: Wire,
    /// Remote address.
    pub(crate) remote: SocketAddr,
    /// Received payloads.
    pub(crate) heard: VecDeque<Vec<u8>>,
    /// SSRCs of outgoing streams for which key frames were requested.
    pub(crate) wanted_key_frames: VecDeque<u32>,
}

pub(crate) enum Wire {
    Udp(UdpSocket),
    /// With received bytes that are no whole frame yet.
    Tcp(TcpStream, Vec<u8>),
}

impl Member {
    /// Connects to a transport by the protocol of its first candidate.
    pub(crate) fn connect(transport: &WebRtcTransport) -> Self {
        let candidate = &transport.ice_candidates()[0];
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, candidate.port));
        Self::connect_by(transport, Wire::open(candidate.protocol, remote))
    }

    /// Connects to a transport over an existing socket.
    pub(crate) fn connect_by(transport: &WebRtcTransport, wire: Wire) -> Self {
        let candidate = &transport.ice_candidates()[0];
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, candidate.port));
        let identity = Identity::generate().unwrap();
        let dtls_parameters = identity.dtls_parameters(Role::Client);
        let config = SessionConfig {
            identity,
            dtls_role: Role::Client,
            remote_ice: transport.ice_parameters().clone(),
            candidates: vec![remote],
            remote_dtls: transport.dtls_parameters(),
            cname: "member".to_owned(),
            seed: [3; 32],
            sctp: None,
        };
        block_on(transport.connect(WebRtcTransportRemoteParameters { dtls_parameters })).unwrap();
        let session = Session::new(config, now(), Duration::from_secs(1_800_000_000)).unwrap();
        let (heard, wanted_key_frames) = (VecDeque::new(), VecDeque::new());
        let mut member = Self { session, wire, remote, heard, wanted_key_frames };
        // Both sides report the connection independently.
        let is_connected =
            |member: &Self| member.session.is_connected() && transport.dtls_state() == DtlsState::Connected;
        member.run_until(|member| is_connected(member).then_some(()));
        member
    }

    /// Sends and receives until `done` returns a result.
    pub(crate) fn run_until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(result) = done(self) {
                return result;
            }
            assert!(now() < deadline, "it takes too long");
            self.turn(true);
        }
    }

    /// Sends waiting datagrams, and receives those that have arrived; with `waits`, also those that arrive within
    /// [`TURN`].
    pub(crate) fn turn(&mut self, mut waits: bool) {
        let mut datagram = Vec::new();
        while self.session.poll_transmit(&mut datagram).is_some() {
            self.wire.send(self.remote, &datagram);
        }
        while let Some(mut datagram) = self.wire.receive(std::mem::take(&mut waits)) {
            if let Received::Rtp(rtp) = self.session.handle_datagram(now(), self.remote, &mut datagram) {
                self.heard.push_back(rtp.payload.to_vec());
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::KeyFrameRequested { ssrc } = event {
                self.wanted_key_frames.push_back(ssrc);
            }
        }
        if self.session.poll_timeout().is_some_and(|at| at <= now()) {
            self.session.handle_timeout(now());
        }
    }
}

impl Wire {
    fn open(protocol: Protocol, remote: SocketAddr) -> Self {
        match protocol {
            Protocol::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                socket.set_read_timeout(Some(TURN)).unwrap();
                Self::Udp(socket)
            }
            Protocol::Tcp => {
                let stream = TcpStream::connect(remote).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(TURN)).unwrap();
                Self::Tcp(stream, Vec::new())
            }
        }
    }

    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send_to(datagram, to).unwrap(), datagram.len()),
            Self::Tcp(stream, _) => {
                let len = u16::try_from(datagram.len()).unwrap();
                stream.write_all(&[&len.to_be_bytes()[..], datagram].concat()).unwrap();
            }
        }
    }

    /// Next datagram, if one has arrived or arrives in time.
    pub(crate) fn receive(&mut self, waits: bool) -> Option<Vec<u8>> {
        let mut buffer = [0; 4096];
        match self {
            Self::Udp(socket) => {
                socket.set_nonblocking(!waits).unwrap();
                let len = unless_late(socket.recv(&mut buffer))?;
                Some(buffer[..len].to_vec())
            }
            Self::Tcp(stream, received) => loop {
                if let Some(&[high, low]) = received.first_chunk()
                    && let end = 2 + usize::from(u16::from_be_bytes([high, low]))
                    && received.len() >= end
                {
                    return Some(received.drain(..end).skip(2).collect());
                }
                stream.set_nonblocking(!waits).unwrap();
                let len = unless_late(stream.read(&mut buffer))?;
                assert_ne!(len, 0, "the worker has closed the connection");
                received.extend(&buffer[..len]);
            },
        }
    }
}

fn unless_late<T>(result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}
