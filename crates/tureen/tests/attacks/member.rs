//! A member of a call: a WebRTC session over a real socket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use futures_lite::future::block_on;
use tureen::data_structures::DtlsState;
use tureen::prelude::*;
use tureen_client::{
    Identity, OutgoingRtp, Received, RecvStreamConfig, SendStreamConfig, Session, SessionConfig,
};
use tureen_core::dtls::Role;

use crate::{PATIENCE, audio, capabilities, listen_info, now, router};

/// How long a member waits for datagrams at a time.
const TURN: Duration = Duration::from_millis(1);

const SSRC: u32 = 5000;

pub(crate) struct Member {
    session: Session,
    wire: Wire,
    remote: SocketAddr,
    /// Payloads that came.
    heard: VecDeque<Vec<u8>>,
}

enum Wire {
    Udp(UdpSocket),
    /// With what came and is no whole frame yet.
    Tcp(TcpStream, Vec<u8>),
}

impl Member {
    /// Connects with a transport over the protocol of its first candidate.
    pub(crate) fn connect(transport: &WebRtcTransport) -> Self {
        let candidate = &transport.ice_candidates()[0];
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, candidate.port));
        let wire = match candidate.protocol {
            Protocol::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                socket.set_read_timeout(Some(TURN)).unwrap();
                Wire::Udp(socket)
            }
            Protocol::Tcp => {
                let stream = TcpStream::connect(remote).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(TURN)).unwrap();
                Wire::Tcp(stream, Vec::new())
            }
        };
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
        let mut member = Self { session, wire, remote, heard: VecDeque::new() };
        // Each side knows of it in its own time.
        let is_connected =
            |member: &Self| member.session.is_connected() && transport.dtls_state() == DtlsState::Connected;
        member.run_until(|member| is_connected(member).then_some(()));
        member
    }

    /// Receives a producer on the transport that this member has connected with.
    pub(crate) fn consume(&mut self, transport: &WebRtcTransport, producer: &Producer) -> Consumer {
        let options = ConsumerOptions::new(producer.id(), capabilities());
        let consumer = block_on(transport.consume(options)).unwrap();
        let ssrc = consumer.rtp_parameters().encodings[0].ssrc.unwrap();
        self.session.add_recv_stream(RecvStreamConfig::new(ssrc, 100, 48_000)).unwrap();
        consumer
    }

    /// Waits for the payload of the next packet, in order of arrival.
    pub(crate) fn hear(&mut self) -> Vec<u8> {
        self.run_until(|member| member.heard.pop_front())
    }

    fn send(&mut self, number: u32, payload: &[u8]) {
        let packet = OutgoingRtp { payload, timestamp: 960 * number, marker: false, audio_level: None };
        self.session.send_rtp(now(), SSRC, &packet).unwrap();
        self.turn(false);
    }

    fn run_until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(result) = done(self) {
                return result;
            }
            assert!(now() < deadline, "it takes too long");
            self.turn(true);
        }
    }

    /// Sends what is to be sent and takes what has come, or comes within [`TURN`].
    fn turn(&mut self, mut waits: bool) {
        let mut datagram = Vec::new();
        while self.session.poll_transmit(&mut datagram).is_some() {
            self.wire.send(self.remote, &datagram);
        }
        while let Some(mut datagram) = self.wire.receive(std::mem::take(&mut waits)) {
            if let Received::Rtp(rtp) = self.session.handle_datagram(now(), self.remote, &mut datagram) {
                self.heard.push_back(rtp.payload.to_vec());
            }
        }
        while self.session.poll_event().is_some() {}
        if self.session.poll_timeout().is_some_and(|at| at <= now()) {
            self.session.handle_timeout(now());
        }
    }
}

impl Wire {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send_to(datagram, to).unwrap(), datagram.len()),
            Self::Tcp(stream, _) => {
                let len = u16::try_from(datagram.len()).unwrap();
                stream.write_all(&[&len.to_be_bytes()[..], datagram].concat()).unwrap();
            }
        }
    }

    /// The next datagram, if it is there or comes in time.
    fn receive(&mut self, waits: bool) -> Option<Vec<u8>> {
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

/// A call of two members on one WebRtcServer: what one sends, the other one must hear.
pub(crate) struct Call {
    speaker: Member,
    listener: Member,
    sent: u32,
    _kept: (Producer, Consumer, [WebRtcTransport; 2]),
}

impl Call {
    pub(crate) fn new(protocol: Protocol) -> Self {
        let (transports, producer) = block_on(async {
            let router = router().await;
            let infos = WebRtcServerListenInfos::new(listen_info(protocol));
            let server = router.worker().create_webrtc_server(WebRtcServerOptions::new(infos)).await.unwrap();
            let options = WebRtcTransportOptions::new_with_server(server);
            let speaking = router.create_webrtc_transport(options.clone()).await.unwrap();
            let listening = router.create_webrtc_transport(options).await.unwrap();
            let producer = speaking.produce(audio(SSRC)).await.unwrap();
            ([speaking, listening], producer)
        });
        let [mut speaker, mut listener] = transports.each_ref().map(Member::connect);
        speaker.session.add_send_stream(SendStreamConfig::new(SSRC, 100, 48_000)).unwrap();
        let consumer = listener.consume(&transports[1], &producer);
        Self { speaker, listener, sent: 0, _kept: (producer, consumer, transports) }
    }

    /// Where both members have connected to.
    pub(crate) fn server(&self) -> SocketAddr {
        self.speaker.remote
    }

    /// A packet goes from one member to the other.
    pub(crate) fn exchange(&mut self) {
        self.sent += 1;
        let payload = self.sent.to_be_bytes().repeat(15);
        self.speaker.send(self.sent, &payload);
        assert_eq!(self.listener.hear(), payload);
    }
}
