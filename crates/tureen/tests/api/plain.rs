//! Plain transports: RTP without ICE and DTLS.

use std::net::{Ipv6Addr, UdpSocket};
use std::sync::{Mutex, mpsc};

use futures_lite::future::block_on;
use tureen::data_structures::SocketFlags;
use tureen::srtp_parameters::SrtpParameters;

use super::*;
use crate::member::PATIENCE;

fn no_parameters() -> PlainTransportRemoteParameters {
    PlainTransportRemoteParameters { ip: None, port: None, rtcp_port: None, srtp_parameters: None }
}

#[test]
fn transport_is_made_connected_and_described() {
    block_on(async {
        let router = router().await;
        let mut options = PlainTransportOptions::new(listen_info(None));
        assert!(options.rtcp_mux && !options.comedia && !options.enable_srtp && !options.enable_sctp);
        options.rtcp_mux = false;
        let transport = router.create_plain_transport(options).await.unwrap();
        let (tuple, rtcp_tuple) = (transport.tuple(), transport.rtcp_tuple().unwrap());
        assert_eq!(tuple.local_address(), "127.0.0.1");
        assert_ne!(tuple.local_port(), rtcp_tuple.local_port());
        assert_eq!((tuple.remote_ip(), transport.srtp_parameters()), (None, None));
        assert_eq!((transport.sctp_parameters(), transport.sctp_state()), (None, None));

        let error = transport.connect(no_parameters()).await.unwrap_err();
        assert!(error.to_string().contains("ip"), "{error}");
        let remote_parameters = PlainTransportRemoteParameters {
            ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: Some(5004),
            rtcp_port: Some(5005),
            ..no_parameters()
        };
        transport.connect(remote_parameters).await.unwrap();
        assert_eq!(transport.tuple().remote_port(), Some(5004));
        assert_eq!(transport.rtcp_tuple().unwrap().remote_port(), Some(5005));
        let dump = transport.dump().await.unwrap();
        assert_eq!((dump.rtcp_mux, dump.comedia, dump.tuple), (false, false, transport.tuple()));
        let [stat] = &transport.get_stats().await.unwrap()[..] else { panic!("one entry") };
        assert_eq!(stat.rtcp_tuple, transport.rtcp_tuple());
    });
}

#[test]
fn comedia_reports_the_source_of_media() {
    block_on(async {
        let router = router().await;
        let mut options = PlainTransportOptions::new(listen_info(None));
        options.comedia = true;
        let transport = router.create_plain_transport(options).await.unwrap();
        let _producer = transport.produce(audio("0", 1111)).await.unwrap();
        let (tuples, changed) = mpsc::channel();
        let tuples = Mutex::new(tuples);
        let _handler = transport.on_tuple(move |tuple| tuples.lock().unwrap().send(tuple.clone()).unwrap());

        let endpoint = UdpSocket::bind("127.0.0.1:0").unwrap();
        endpoint.send_to(&rtp(1, 1111), ("127.0.0.1", transport.tuple().local_port())).unwrap();
        let tuple = changed.recv().unwrap();
        assert_eq!(tuple.remote_port(), Some(endpoint.local_addr().unwrap().port()));
        assert_eq!(transport.tuple(), tuple);
    });
}

#[test]
fn transport_with_srtp_returns_its_keys() {
    block_on(async {
        let router = router().await;
        let mut options = PlainTransportOptions::new(listen_info(None));
        options.comedia = true;
        options.enable_srtp = true;
        options.srtp_crypto_suite = SrtpCryptoSuite::AeadAes256Gcm;
        let transport = router.create_plain_transport(options).await.unwrap();
        let keys = transport.srtp_parameters().unwrap();
        assert_eq!(keys.crypto_suite, SrtpCryptoSuite::AeadAes256Gcm);
        let remote = SrtpParameters {
            crypto_suite: SrtpCryptoSuite::AesCm128HmacSha180,
            key_base64: "ZnQ3eWJraDg0d3ZoYzM5cXN1Y2pnaHU5NWxrZTVv".to_string(),
        };
        let remote_parameters =
            PlainTransportRemoteParameters { srtp_parameters: Some(remote), ..no_parameters() };
        transport.connect(remote_parameters).await.unwrap();
        let keys = transport.srtp_parameters().unwrap();
        assert_eq!(keys.crypto_suite, SrtpCryptoSuite::AesCm128HmacSha180);
    });
}

#[test]
fn media_is_received_and_sent_by_ipv6() {
    let endpoint = match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(endpoint) => endpoint,
        Err(error) => return println!("skipped, this machine has no IPv6: {error}"),
    };
    endpoint.set_read_timeout(Some(PATIENCE)).unwrap();
    let (transport, _kept) = block_on(async {
        let router = router().await;
        let info = ListenInfo {
            ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
            flags: Some(SocketFlags { ipv6_only: true, udp_reuse_port: false }),
            send_buffer_size: Some(100_000),
            recv_buffer_size: Some(100_000),
            ..listen_info(None)
        };
        let mut options = PlainTransportOptions::new(info);
        options.comedia = true;
        let transport = router.create_plain_transport(options).await.unwrap();
        let producer = transport.produce(audio("0", 1111)).await.unwrap();
        let options = ConsumerOptions::new(producer.id(), capabilities());
        let consumer = transport.consume(options).await.unwrap();
        (transport, (producer, consumer))
    });
    assert_eq!(transport.tuple().local_address(), "::1");
    let (tuples, changed) = mpsc::channel();
    let tuples = Mutex::new(tuples);
    transport.on_tuple(move |tuple| tuples.lock().unwrap().send(tuple.remote_ip()).unwrap()).detach();
    // The transport receives its own media.
    for number in 0..2 {
        endpoint.send_to(&rtp(number, 1111), (Ipv6Addr::LOCALHOST, transport.tuple().local_port())).unwrap();
    }
    let mut buffer = [0; 1500];
    // Reports arrive too.
    while buffer[1] & 0x7f != 100 {
        endpoint.recv(&mut buffer).unwrap();
    }
    assert_eq!(buffer[12..16], [0xf8, 1, 2, 3]);
    assert_eq!(changed.recv_timeout(PATIENCE).unwrap(), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
}

#[test]
fn transports_share_a_port_if_both_ask_for_it() {
    block_on(async {
        let router = router().await;
        let create = async |port, udp_reuse_port| {
            let flags = Some(SocketFlags { ipv6_only: false, udp_reuse_port });
            let info = ListenInfo { flags, ..listen_info(Some(port)) };
            router.create_plain_transport(PlainTransportOptions::new(info)).await
        };
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let first = create(port, true).await.unwrap();
        let second = create(port, true).await.unwrap();
        assert_eq!([first.tuple().local_port(), second.tuple().local_port()], [port; 2]);
        let error = create(port, false).await.unwrap_err().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
    });
}
