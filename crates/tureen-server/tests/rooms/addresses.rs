//! Bound addresses and announced addresses of media, with real sockets.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tureen_server::{Server, ServerConfig, StartError};

use crate::client::{Client, config, post};

fn settings(listen: &[&str], announce: Option<&str>) -> ServerConfig {
    let mut config = config();
    config.rtc.listen = listen.iter().map(|ip| ip.parse().unwrap()).collect();
    config.rtc.announce = announce.map(str::to_owned);
    config
}

/// UDP candidates of a new transport.
async fn candidates(server: &Server) -> Vec<SocketAddr> {
    let mut client = Client::connect(server, "r", "a").await;
    let transport = client.request("createWebRtcTransport", json!({ "producing": true })).await.unwrap();
    let all = transport["iceCandidates"].as_array().unwrap();
    let udp = all.iter().filter(|candidate| candidate["protocol"] == "udp");
    udp.map(|candidate| {
        let ip: IpAddr = candidate["address"].as_str().unwrap().parse().unwrap();
        SocketAddr::new(ip, u16::try_from(candidate["port"].as_u64().unwrap()).unwrap())
    })
    .collect()
}

/// True if the address is in use, so that no socket can be bound to it.
async fn is_bound(address: SocketAddr) -> bool {
    UdpSocket::bind(address).await.is_err()
}

#[tokio::test]
async fn an_announced_address_of_this_machine_is_bound_and_no_other_one() {
    for announced in ["127.0.0.1", "127.0.0.3"] {
        let server = Server::start(settings(&[], Some(announced))).await.unwrap();
        let ip: IpAddr = announced.parse().unwrap();
        let bound: Vec<_> =
            server.media_addresses().iter().map(|media| (media.ip, media.announced.clone())).collect();
        assert_eq!(bound, [(ip, None)]);
        let candidates = candidates(&server).await;
        assert_eq!(candidates.iter().map(SocketAddr::ip).collect::<Vec<_>>(), [ip]);
        assert!(is_bound(candidates[0]).await);
        let elsewhere = SocketAddr::new("127.0.0.9".parse().unwrap(), candidates[0].port());
        assert!(!is_bound(elsewhere).await, "no address more than is told");
    }
}

#[tokio::test]
async fn plain_transport_is_bound_to_the_announced_address() {
    let server = Server::start(settings(&[], Some("127.0.0.1"))).await.unwrap();
    let path = "/rooms/r/broadcasters";
    let about = json!({ "id": "cam", "displayName": "Camera", "device": { "name": "FFmpeg" } });
    assert_eq!(post(&server, path, &about.to_string()).await.status, 200);
    let transport = post(&server, &format!("{path}/cam/transports"), r#"{ "type": "plain" }"#).await;
    let transport: Value = serde_json::from_str(&transport.body).unwrap();
    let ip: IpAddr = transport["ip"].as_str().unwrap().parse().unwrap();
    let to = SocketAddr::new(ip, u16::try_from(transport["port"].as_u64().unwrap()).unwrap());
    assert!(ip.is_loopback() && is_bound(to).await, "{transport}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_announced_instead_of_the_bound_one() {
    let server = Server::start(settings(&[], Some("192.0.2.1"))).await.unwrap();
    let announced = server.media_addresses().iter().filter_map(|media| media.announced.clone());
    assert_eq!(announced.collect::<Vec<_>>(), ["192.0.2.1"]);
    let told = candidates(&server).await;
    assert!(told.iter().any(|candidate| candidate.ip().to_string() == "192.0.2.1"), "{told:?}");
}

#[tokio::test]
async fn an_unreachable_announced_address_is_refused() {
    for (listen, announced) in [
        (&["127.0.0.1"][..], "127.0.0.4"),
        (&["127.0.0.1"], "192.0.2.1"),
        (&[], "0.0.0.0"),
        (&[], "239.1.2.3"),
    ] {
        let error = Server::start(settings(listen, Some(announced))).await.err();
        let Some(StartError::Config(error)) = error else { panic!("{announced}: {error:?}") };
        assert!(error.to_string().contains(&format!("rtc.announce = {announced}")), "{error}");
    }
}

#[tokio::test]
async fn an_address_of_this_machine_that_a_relay_serves_may_be_announced() {
    let relay = UdpSocket::bind("127.0.0.5:0").await.unwrap();
    let mut config = settings(&["127.0.0.1"], Some("127.0.0.5"));
    config.rtc.port = relay.local_addr().unwrap().port();
    let server = Server::start(config).await.unwrap();
    let told: Vec<_> = candidates(&server).await.iter().map(SocketAddr::ip).collect();
    assert_eq!(told, [IpAddr::from([127, 0, 0, 5])]);
}
