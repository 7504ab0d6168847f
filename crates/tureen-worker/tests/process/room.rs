//! Objects that the tests create in a worker.

use std::net::UdpSocket;
use std::ops::Range;
use std::time::Duration;

use tureen_worker::flatbuffers::schema::request::{Body, Method};
use tureen_worker::flatbuffers::schema::response::{self, Response};
use tureen_worker::flatbuffers::schema::{
    direct_transport, plain_transport, router, rtp_parameters, transport, webrtc_transport, worker,
};

use crate::parent::Parent;

/// Creates a router, and in it a WebRtcTransport that listens on loopback.
pub(crate) fn create_webrtc_transport(
    parent: &mut Parent,
    router_id: &str,
    transport_id: &str,
) -> webrtc_transport::DumpResponse {
    create_router(parent, router_id);
    let listen_infos = vec![loopback()];
    let options = webrtc_transport::WebRtcTransportOptions {
        base: Box::default(),
        listen: webrtc_transport::Listen::ListenIndividual(Box::new(webrtc_transport::ListenIndividual {
            listen_infos,
        })),
        enable_udp: true,
        enable_tcp: false,
        prefer_udp: false,
        prefer_tcp: false,
        ice_consent_timeout: 30,
    };
    let body = router::CreateWebRtcTransportRequest {
        transport_id: transport_id.to_owned(),
        options: Box::new(options),
    };
    let body = Body::RouterCreateWebRtcTransportRequest(Box::new(body));
    let response = parent.request(Method::RouterCreateWebrtctransport, router_id, Some(body));
    match response.body {
        Some(response::Body::WebRtcTransportDumpResponse(dump)) => *dump,
        other => panic!("{other:?}"),
    }
}

/// Size of an RTP packet in bytes.
pub(crate) const PACKET_SIZE: usize = 1200;
const PAYLOAD_TYPE: u8 = 100;
const SSRC: u32 = 1111;
/// Number of packets in flight. It is so small that they fit into any socket's buffer.
const WINDOW: usize = 32;

/// Audio from one PlainTransport to another, and to the application by a DirectTransport.
#[derive(Debug)]
pub(crate) struct Room {
    socket: UdpSocket,
    worker_port: u16,
}

impl Room {
    pub(crate) fn new(parent: &mut Parent) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        create_router(parent, "room");
        let worker_port = create_plain_transport(parent, "in", true);
        create_plain_transport(parent, "out", false);
        let connect = plain_transport::ConnectRequest {
            ip: Some("127.0.0.1".to_owned()),
            port: Some(socket.local_addr().unwrap().port()),
            ..Default::default()
        };
        let connect = Body::PlainTransportConnectRequest(Box::new(connect));
        parent.request(Method::PlaintransportConnect, "out", Some(connect));
        let direct = router::CreateDirectTransportRequest {
            transport_id: "application".to_owned(),
            options: Box::new(direct_transport::DirectTransportOptions {
                base: Box::new(transport::Options {
                    direct: true,
                    max_send_message_size: 1 << 18,
                    ..Default::default()
                }),
            }),
        };
        let direct = Body::RouterCreateDirectTransportRequest(Box::new(direct));
        parent.request(Method::RouterCreateDirecttransport, "room", Some(direct));
        parent.request(Method::TransportProduce, "in", Some(produce()));
        for (transport, consumer) in [("out", "heard"), ("application", "recorded")] {
            parent.request(Method::TransportConsume, transport, Some(consume(consumer)));
        }
        Self { socket, worker_port }
    }

    /// Sends packets with these sequence numbers and waits until all have arrived.
    pub(crate) fn send_and_expect(&mut self, numbers: Range<u16>) {
        let numbers: Vec<u16> = numbers.collect();
        for window in numbers.chunks(WINDOW) {
            for number in window {
                let mut packet = [0x55; PACKET_SIZE];
                packet[..2].copy_from_slice(&[0x80, PAYLOAD_TYPE]);
                packet[2..4].copy_from_slice(&number.to_be_bytes());
                packet[4..8].copy_from_slice(&(u32::from(*number) * 960).to_be_bytes());
                packet[8..12].copy_from_slice(&SSRC.to_be_bytes());
                self.socket.send_to(&packet, ("127.0.0.1", self.worker_port)).unwrap();
            }
            let mut missing = window.len();
            while missing > 0 {
                let mut datagram = [0; 2048];
                let len = self.socket.recv(&mut datagram).expect("media goes on");
                // Reports arrive at the same port.
                missing -= usize::from(len == PACKET_SIZE && datagram[1] & 0x7f == PAYLOAD_TYPE);
            }
        }
    }
}

fn create_router(parent: &mut Parent, router_id: &str) {
    let body = worker::CreateRouterRequest { router_id: router_id.to_owned() };
    let body = Body::WorkerCreateRouterRequest(Box::new(body));
    parent.request(Method::WorkerCreateRouter, "", Some(body));
}

/// Creates a plain transport and returns its port.
fn create_plain_transport(parent: &mut Parent, transport_id: &str, comedia: bool) -> u16 {
    let options = plain_transport::PlainTransportOptions {
        base: Box::default(),
        listen_info: Box::new(loopback()),
        rtcp_listen_info: None,
        rtcp_mux: true,
        comedia,
        enable_srtp: false,
        srtp_crypto_suite: None,
    };
    let body = router::CreatePlainTransportRequest {
        transport_id: transport_id.to_owned(),
        options: Box::new(options),
    };
    let body = Body::RouterCreatePlainTransportRequest(Box::new(body));
    let Response { body: Some(response::Body::PlainTransportDumpResponse(dump)), .. } =
        parent.request(Method::RouterCreatePlaintransport, "room", Some(body))
    else {
        panic!("no dump of a PlainTransport")
    };
    dump.tuple.local_port
}

fn loopback() -> transport::ListenInfo {
    transport::ListenInfo { ip: "127.0.0.1".to_owned(), ..Default::default() }
}

fn produce() -> Body {
    let mapping = rtp_parameters::RtpMapping {
        codecs: vec![rtp_parameters::CodecMapping {
            payload_type: PAYLOAD_TYPE,
            mapped_payload_type: PAYLOAD_TYPE,
        }],
        encodings: vec![rtp_parameters::EncodingMapping {
            ssrc: Some(SSRC),
            mapped_ssrc: SSRC,
            ..Default::default()
        }],
    };
    Body::TransportProduceRequest(Box::new(transport::ProduceRequest {
        producer_id: "microphone".to_owned(),
        kind: rtp_parameters::MediaKind::Audio,
        rtp_parameters: Box::new(rtp_parameters()),
        rtp_mapping: Box::new(mapping),
        paused: false,
        key_frame_request_delay: 0,
        enable_mediasoup_packet_id_header_extension: false,
    }))
}

fn consume(consumer_id: &str) -> Body {
    let rtp_parameters = rtp_parameters();
    Body::TransportConsumeRequest(Box::new(transport::ConsumeRequest {
        consumer_id: consumer_id.to_owned(),
        producer_id: "microphone".to_owned(),
        kind: rtp_parameters::MediaKind::Audio,
        type_: rtp_parameters::Type::Simple,
        consumable_rtp_encodings: rtp_parameters.encodings.clone(),
        rtp_parameters: Box::new(rtp_parameters),
        paused: false,
        preferred_layers: None,
        ignore_dtx: false,
    }))
}

fn rtp_parameters() -> rtp_parameters::RtpParameters {
    rtp_parameters::RtpParameters {
        codecs: vec![rtp_parameters::RtpCodecParameters {
            mime_type: "audio/opus".to_owned(),
            payload_type: PAYLOAD_TYPE,
            clock_rate: 48_000,
            channels: Some(2),
            ..Default::default()
        }],
        encodings: vec![rtp_parameters::RtpEncodingParameters { ssrc: Some(SSRC), ..Default::default() }],
        ..Default::default()
    }
}
