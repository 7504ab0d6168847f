//! ICE over TCP with real sockets. Attacks on it are tested in `tests/attacks`.

use std::io::Read;
use std::net::TcpStream;

use futures_lite::future::block_on;
use tureen::data_structures::IceCandidateTcpType;
use tureen::prelude::*;
use tureen_client::media::OpusSource;
use tureen_client::{OutgoingRtp, SendStreamConfig};

use super::*;
use crate::member::{Member, PATIENCE, Wire, now};

const SSRC: u32 = 5000;

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
        let [candidate] = &transport.ice_candidates()[..] else { panic!("one candidate") };
        assert_eq!(
            (candidate.protocol, candidate.tcp_type),
            (Protocol::Tcp, Some(IceCandidateTcpType::Passive))
        );
        let mut member = Member::connect(&transport);
        member.session.add_send_stream(SendStreamConfig::new(SSRC, 111, 48_000)).unwrap();
        let mut source = OpusSource::default();
        let mut payload = Vec::new();
        for number in 0..50 {
            source.write_next(60, &mut payload);
            let packet =
                OutgoingRtp { payload: &payload, timestamp: 960 * number, marker: false, audio_level: None };
            member.session.send_rtp(now(), SSRC, &packet).unwrap();
            member.turn(false);
        }
        member.run_until(|_| {
            let stats = block_on(producer.get_stats()).unwrap();
            stats.first().is_some_and(|stream| stream.packet_count == 50).then_some(())
        });
        let tuple = member.run_until(|_| transport.ice_selected_tuple());
        assert_eq!(tuple.protocol(), Protocol::Tcp);
        assert_eq!(tuple.remote_port(), Some(stream(&member).local_addr().unwrap().port()));
        let stat = block_on(transport.get_stats()).unwrap().remove(0);
        assert!(stat.rtp_bytes_received > 3000, "{stat:?}");
    }
}

fn stream(member: &Member) -> &TcpStream {
    let Wire::Tcp(stream, _) = &member.wire else { panic!("it is over UDP") };
    stream
}

#[test]
fn closed_transport_closes_its_connections() {
    let router = block_on(router());
    let transport = block_on(transport(&router, false));
    let member = Member::connect(&transport);
    drop(transport);
    let mut stream = stream(&member);
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The DTLS close_notify, then the end of the stream.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty());
    // The listener is closed in the same turn.
    block_on(router.dump()).unwrap();
    assert!(TcpStream::connect(member.remote).is_err());
}
