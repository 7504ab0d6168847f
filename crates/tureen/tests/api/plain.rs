//! Plain transports: RTP without ICE and DTLS.

use std::net::UdpSocket;
use std::sync::{Mutex, mpsc};

use futures_lite::future::block_on;
use tureen::srtp_parameters::SrtpParameters;

use super::*;

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
fn comedia_tells_where_media_comes_from() {
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
        let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 1];
        packet.extend(1111_u32.to_be_bytes());
        packet.extend([0xf8, 1, 2, 3]);
        endpoint.send_to(&packet, ("127.0.0.1", transport.tuple().local_port())).unwrap();
        let tuple = changed.recv().unwrap();
        assert_eq!(tuple.remote_port(), Some(endpoint.local_addr().unwrap().port()));
        assert_eq!(transport.tuple(), tuple);
    });
}

#[test]
fn transport_with_srtp_tells_its_keys() {
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
