//! ICE over TCP, IPv6, and several paths at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use tureen::prelude::*;
use tureen_client::io::{
    ClientIo, ClientIoConfig, EncodedFrame, ProduceRtpOptions, SendTransport, TransportOptions,
    TransportStats,
};

use crate::setup::*;

fn audio() -> ProduceRtpOptions {
    ProduceRtpOptions::new(MediaKind::Audio, audio_parameters("a", 1))
}

/// Connects, sends until the server has received, and says by which path.
async fn path(io: &ClientIo, server: &WebRtcTransport, options: TransportOptions) -> TransportStats {
    let signalling = Signalling::new(server);
    let send = SendTransport::new(io, options, signalling.clone());
    let producer = send.produce_rtp(audio()).await.unwrap();
    signalling.logged("Connected").await;
    let mut number = 0;
    while server.get_stats().await.unwrap()[0].rtp_bytes_received == 0 {
        number += 1;
        let time = Duration::from_millis(20) * number;
        producer.send_frame(0, EncodedFrame::new(vec![0xfc], time)).unwrap();
    }
    send.stats().await.unwrap()
}

#[test]
fn only_tcp_candidates_connect_by_tcp() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let listen_info = ListenInfo { protocol: Protocol::Tcp, ..listen_info(Ipv4Addr::LOCALHOST.into()) };
        let server = server_transport_on(&router, vec![listen_info]).await;
        let stats = path(&io, &server, options_of(&server)).await;
        assert_eq!(stats.protocol, Some(Protocol::Tcp));
        assert_eq!(stats.selected.unwrap().port(), server.ice_candidates()[0].port);
        assert_eq!(server.ice_selected_tuple().unwrap().protocol(), Protocol::Tcp);
    });
}

#[test]
fn silent_udp_candidate_is_passed_over_for_tcp() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let infos = [Protocol::Udp, Protocol::Tcp];
        let infos = infos.map(|protocol| ListenInfo { protocol, ..listen_info(Ipv4Addr::LOCALHOST.into()) });
        let server = server_transport_on(&router, infos.to_vec()).await;
        let mut options = options_of(&server);
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for candidate in &mut options.ice_candidates {
            if candidate.protocol == Protocol::Udp {
                candidate.port = silent.local_addr().unwrap().port();
            }
        }
        assert_eq!(path(&io, &server, options).await.protocol, Some(Protocol::Tcp));
    });
}

#[test]
fn udp_is_taken_where_both_answer() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let infos = [Protocol::Udp, Protocol::Tcp];
        let infos = infos.map(|protocol| ListenInfo { protocol, ..listen_info(Ipv4Addr::LOCALHOST.into()) });
        let server = server_transport_on(&router, infos.to_vec()).await;
        assert_eq!(path(&io, &server, options_of(&server)).await.protocol, Some(Protocol::Udp));
    });
}

#[test]
fn ipv6_candidates_are_reached() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let server = server_transport_on(&router, vec![listen_info(Ipv6Addr::LOCALHOST.into())]).await;
        let stats = path(&io, &server, options_of(&server)).await;
        assert_eq!(stats.selected.unwrap().ip(), IpAddr::from(Ipv6Addr::LOCALHOST));
    });
}

#[test]
fn candidates_are_checked_from_each_local_address() {
    run(async {
        // Nothing leaves the first one of the client's addresses for the server's.
        let local_addresses = vec![[192, 0, 2, 77].into(), [127, 0, 0, 2].into()];
        let config = ClientIoConfig { local_addresses, ..ClientIoConfig::default() };
        let (io, router) = (ClientIo::new(config).unwrap(), router().await);
        let server = server_transport(&router).await;
        path(&io, &server, options_of(&server)).await;
        let tuple = server.ice_selected_tuple().unwrap();
        assert_eq!(tuple.remote_ip(), Some([127, 0, 0, 2].into()));
    });
}

#[test]
fn server_whose_port_refuses_connections_is_not_connected() {
    run(async {
        let (io, router) = (client_io(), router().await);
        let listen_info = ListenInfo { protocol: Protocol::Tcp, ..listen_info(Ipv4Addr::LOCALHOST.into()) };
        let server = server_transport_on(&router, vec![listen_info]).await;
        let options = options_of(&server);
        server.close().await;
        let signalling = Signalling::new(&server_transport(&router).await);
        let send = SendTransport::new(&io, options, signalling);
        let _producer = send.produce_rtp(audio()).await.unwrap();
        let stats = send.stats().await.unwrap();
        assert_eq!((stats.selected, stats.datagrams_received), (None, 0));
    });
}
