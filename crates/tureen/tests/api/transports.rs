//! WebRTC transports.

use std::net::{IpAddr, Ipv4Addr};

use futures_lite::future::block_on;
use tureen::data_structures::{
    DtlsFingerprint, DtlsRole, DtlsState, IceCandidateType, IceRole, IceState, TransportTuple,
};
use tureen::prelude::*;
use tureen::transport::TransportTraceEventType;

use super::*;

fn remote_parameters(role: DtlsRole) -> WebRtcTransportRemoteParameters {
    let fingerprints = vec![DtlsFingerprint::Sha256 { value: [7; 32] }];
    WebRtcTransportRemoteParameters { dtls_parameters: DtlsParameters { role, fingerprints } }
}

#[test]
fn new_transport_has_ice_and_dtls_parameters() {
    block_on(async {
        let router = router().await;
        let mut options = transport_options();
        options.app_data = AppData::new("transport");
        let transport = router.create_webrtc_transport(options).await.unwrap();
        assert_eq!(transport.app_data().downcast_ref(), Some(&"transport"));
        assert_eq!(transport.router().id(), router.id());
        assert!(transport.webrtc_server().is_none() && !transport.closed());

        assert_eq!(transport.ice_role(), IceRole::Controlled);
        assert_eq!(transport.ice_parameters().ice_lite, Some(true));
        assert_eq!(transport.ice_state(), IceState::New);
        assert_eq!(transport.ice_selected_tuple(), None::<TransportTuple>);
        let [candidate] = &transport.ice_candidates()[..] else { panic!("one candidate") };
        assert_eq!((candidate.address.as_str(), candidate.protocol), ("127.0.0.1", Protocol::Udp));
        assert_eq!((candidate.r#type, candidate.tcp_type), (IceCandidateType::Host, None));
        assert!((10000..=59999).contains(&candidate.port), "{}", candidate.port);

        assert_eq!(transport.dtls_state(), DtlsState::New);
        assert_eq!(transport.dtls_remote_cert(), None);
        assert_eq!(transport.dtls_parameters().role, DtlsRole::Auto);
        assert!(!transport.dtls_parameters().fingerprints.is_empty());

        let dump = transport.dump().await.unwrap();
        assert_eq!(dump.id, transport.id());
        assert_eq!(&dump.ice_parameters, transport.ice_parameters());
        assert_eq!(&dump.ice_candidates, transport.ice_candidates());
        assert_eq!(dump.dtls_parameters, transport.dtls_parameters());
        assert!(dump.producer_ids.is_empty() && dump.trace_event_types.is_empty());
        let [stat] = &transport.get_stats().await.unwrap()[..] else { panic!("one entry") };
        assert_eq!((stat.transport_id, stat.bytes_received), (transport.id(), 0));
        assert!(router.dump().await.unwrap().transport_ids.contains(&transport.id()));
    });
}

#[test]
fn announced_address_replaces_the_local_one() {
    block_on(async {
        let info = ListenInfo {
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            announced_address: Some("sfu.example.com".to_string()),
            ..listen_info(None)
        };
        let options = WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(info));
        let transport = router().await.create_webrtc_transport(options).await.unwrap();
        assert_eq!(transport.ice_candidates()[0].address, "sfu.example.com");
    });
}

#[test]
fn refused_transport_leaves_no_object() {
    block_on(async {
        let router = router().await;
        #[expect(clippy::reversed_empty_ranges)]
        let info = ListenInfo { port_range: Some(2..=1), ..listen_info(None) };
        let infos = WebRtcTransportListenInfos::new(listen_info(None)).insert(info);
        let options = WebRtcTransportOptions::new(infos);
        let error = router.create_webrtc_transport(options).await.unwrap_err();
        assert_eq!(error.to_string(), "Received response error: portRange 2-1 is empty");
        assert!(router.dump().await.unwrap().transport_ids.is_empty());
    });
}

#[test]
fn port_range_of_worker_and_of_listen_info_are_used() {
    block_on(async {
        let mut settings = WorkerSettings::default();
        settings.rtc_port_range = 41000..=41499;
        let worker = WorkerManager::new().create_worker(settings).await.unwrap();
        let router = worker.create_router(RouterOptions::default()).await.unwrap();
        let transport = router.create_webrtc_transport(transport_options()).await.unwrap();
        assert!((41000..=41499).contains(&transport.ice_candidates()[0].port));

        let info = ListenInfo { port_range: Some(42000..=42499), ..listen_info(None) };
        let options = WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(info));
        let transport = router.create_webrtc_transport(options).await.unwrap();
        assert!((42000..=42499).contains(&transport.ice_candidates()[0].port));
    });
}

#[test]
fn empty_listen_infos_are_refused() {
    let error = WebRtcTransportListenInfos::try_from(vec![]).unwrap_err().to_string();
    assert_eq!(error, "Empty list of listen IPs provided, should have at least one element");
    let error = WebRtcServerListenInfos::try_from(vec![]).unwrap_err().to_string();
    assert_eq!(error, "Empty list of listen infos provided, should have at least one element");
}

#[test]
fn connect_decides_the_dtls_role_once() {
    block_on(async {
        let transport = router().await.create_webrtc_transport(transport_options()).await.unwrap();
        transport.connect(remote_parameters(DtlsRole::Client)).await.unwrap();
        assert_eq!(transport.dtls_parameters().role, DtlsRole::Server);
        let error = transport.connect(remote_parameters(DtlsRole::Client)).await.unwrap_err();
        assert!(error.to_string().starts_with("Received response error: "), "{error}");
    });
}

#[test]
fn ice_restart_gives_other_credentials() {
    block_on(async {
        let transport = router().await.create_webrtc_transport(transport_options()).await.unwrap();
        let restarted = transport.restart_ice().await.unwrap();
        assert_ne!(restarted.username_fragment, transport.ice_parameters().username_fragment);
        assert_ne!(restarted.password, transport.ice_parameters().password);
    });
}

#[test]
fn bitrates_and_trace_events_can_be_set() {
    block_on(async {
        let mut options = transport_options();
        options.max_incoming_bitrate = Some(1_000_000);
        options.max_outgoing_bitrate = Some(3_000_000);
        options.min_outgoing_bitrate = Some(100_000);
        let transport = router().await.create_webrtc_transport(options).await.unwrap();
        let stat = transport.get_stats().await.unwrap().remove(0);
        assert_eq!(stat.max_incoming_bitrate, Some(1_000_000));
        assert_eq!(stat.max_outgoing_bitrate, Some(3_000_000));
        assert_eq!(stat.min_outgoing_bitrate, Some(100_000));
        transport.set_max_outgoing_bitrate(0).await.unwrap();
        assert_eq!(transport.get_stats().await.unwrap()[0].max_outgoing_bitrate, None);

        transport.enable_trace_event(vec![TransportTraceEventType::Bwe]).await.unwrap();
        let dump = transport.dump().await.unwrap();
        assert_eq!(dump.trace_event_types, [TransportTraceEventType::Bwe]);
    });
}
