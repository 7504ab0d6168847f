//! A call between two members, and the actions of members.

use std::net::SocketAddr;

use futures_lite::future::block_on;
use tureen::prelude::*;
use tureen_client::{OutgoingRtp, RecvStreamConfig, SendStreamConfig};

use crate::member::{Member, Wire, now};
use crate::{audio, capabilities, listen_info, router};

const SSRC: u32 = 5000;

/// A call of two members on one WebRtcServer: each packet of one member must reach the other.
pub(crate) struct Call {
    speaker: Member,
    listener: Member,
    sent: u32,
    /// Router of the call, on which others can join.
    pub(crate) router: Router,
    pub(crate) options: WebRtcTransportOptions,
    _kept: (Producer, Consumer, [WebRtcTransport; 2]),
}

impl Call {
    pub(crate) fn new(protocol: Protocol) -> Self {
        let (router, options, transports, producer) = block_on(async {
            let router = router().await;
            let infos = WebRtcServerListenInfos::new(listen_info(protocol));
            let server = router.worker().create_webrtc_server(WebRtcServerOptions::new(infos)).await.unwrap();
            let options = WebRtcTransportOptions::new_with_server(server);
            let speaking = router.create_webrtc_transport(options.clone()).await.unwrap();
            let listening = router.create_webrtc_transport(options.clone()).await.unwrap();
            let producer = speaking.produce(audio(SSRC)).await.unwrap();
            (router, options, [speaking, listening], producer)
        });
        let [mut speaker, mut listener] = transports.each_ref().map(Member::connect);
        speaker.session.add_send_stream(SendStreamConfig::new(SSRC, 100, 48_000)).unwrap();
        let consumer = listener.consume(&transports[1], &producer);
        Self { speaker, listener, sent: 0, router, options, _kept: (producer, consumer, transports) }
    }

    /// Creates another transport on the same WebRtcServer.
    pub(crate) fn another_transport(&self) -> WebRtcTransport {
        block_on(self.router.create_webrtc_transport(self.options.clone())).unwrap()
    }

    /// Duplicates the socket of one of the members.
    pub(crate) fn share_wire(&self) -> Wire {
        share(&self.speaker.wire)
    }

    /// The transports of the two members.
    pub(crate) fn transports(&self) -> &[WebRtcTransport; 2] {
        &self._kept.2
    }

    /// Address to which both members are connected.
    pub(crate) fn server(&self) -> SocketAddr {
        self.speaker.remote
    }

    /// Sends a packet from one member to the other.
    pub(crate) fn exchange(&mut self) {
        self.sent += 1;
        let payload = self.sent.to_be_bytes().repeat(15);
        self.speaker.send(self.sent, &payload);
        assert_eq!(self.listener.hear(), payload);
    }
}

/// Duplicates a socket.
pub(crate) fn share(wire: &Wire) -> Wire {
    match wire {
        Wire::Udp(socket) => Wire::Udp(socket.try_clone().unwrap()),
        Wire::Tcp(stream, _) => Wire::Tcp(stream.try_clone().unwrap(), Vec::new()),
    }
}

impl Member {
    /// Sends a packet to another member.
    pub(crate) fn speak(&mut self, ssrc: u32, listener: &mut Self) {
        // Adding the stream again is an error, which has no effect.
        let _ = self.session.add_send_stream(SendStreamConfig::new(ssrc, 100, 48_000));
        let packet = OutgoingRtp { payload: &[5; 60], timestamp: 960, marker: false, audio_level: None };
        self.session.send_rtp(now(), ssrc, &packet).unwrap();
        self.turn(false);
        assert_eq!(listener.hear(), [5; 60]);
    }

    /// Receives a producer on the transport to which this member is connected.
    pub(crate) fn consume(&mut self, transport: &WebRtcTransport, producer: &Producer) -> Consumer {
        let options = ConsumerOptions::new(producer.id(), capabilities());
        let consumer = block_on(transport.consume(options)).unwrap();
        let ssrc = consumer.rtp_parameters().encodings[0].ssrc.unwrap();
        self.session.add_recv_stream(RecvStreamConfig::new(ssrc, 100, 48_000)).unwrap();
        consumer
    }

    /// Waits for the next packet and returns its payload.
    pub(crate) fn hear(&mut self) -> Vec<u8> {
        self.run_until(|member| member.heard.pop_front())
    }

    fn send(&mut self, number: u32, payload: &[u8]) {
        self.send_as(SSRC, number, payload);
    }

    pub(crate) fn send_as(&mut self, ssrc: u32, number: u32, payload: &[u8]) {
        let packet = OutgoingRtp { payload, timestamp: 960 * number, marker: false, audio_level: None };
        self.session.send_rtp(now(), ssrc, &packet).unwrap();
        self.turn(false);
    }
}
