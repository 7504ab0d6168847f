//! HTTP: health, capabilities, the web app's page, TLS.

use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tureen_server::Server;

use crate::client::{Client, config, exchange, get, server};

#[tokio::test]
async fn health_is_ok() {
    let server = server().await;
    let response = get(&server, "/healthz").await;
    assert_eq!((response.status, response.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn a_rooms_capabilities_are_the_same_before_and_in_it() {
    let server = server().await;
    let response = get(&server, "/rooms/r").await;
    assert_eq!(response.status, 200);
    let over_http: Value = serde_json::from_str(&response.body).unwrap();
    let mime_types: Vec<_> = over_http["codecs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|codec| codec["mimeType"].as_str().unwrap())
        .collect();
    for mime_type in ["audio/opus", "video/VP8", "video/VP9", "video/H264", "video/AV1", "video/rtx"] {
        assert!(mime_types.contains(&mime_type), "{mime_type} is not in {mime_types:?}");
    }
    let mut a = Client::connect(&server, "r", "a").await;
    assert_eq!(a.request("getRouterRtpCapabilities", Value::Null).await.unwrap(), over_http);
}

#[tokio::test]
async fn asking_for_capabilities_holds_no_room_open() {
    let mut config = config();
    config.limits.max_rooms = 1;
    let server = Server::start(config).await.unwrap();
    for room in ["a", "b", "c"] {
        assert_eq!(get(&server, &format!("/rooms/{room}")).await.status, 200);
    }
}

#[tokio::test]
async fn unknown_paths_return_the_web_app() {
    let server = server().await;
    for path in ["/", "/some/room?x=y"] {
        let response = get(&server, path).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(response.header("cache-control"), Some("no-cache"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert!(response.body.contains("Tureen"), "{}", response.body);
    }
    assert_eq!(get(&server, "/assets/no-such-file.js").await.status, 404);
    assert_eq!(get(&server, "/rooms/r/no-such-thing").await.status, 404);
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    assert_eq!(exchange(stream, "POST", "/").await.status, 405);
}

#[tokio::test]
async fn https_has_a_self_signed_certificate() {
    let dir = std::env::temp_dir().join(format!("tureen-web-{}", uuid::Uuid::new_v4()));
    let mut config = config();
    config.tls.enabled = true;
    config.state_dir = Some(dir.clone());
    let server = Server::start(config).await.unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.self_signed_cert().unwrap()).unwrap()).unwrap();
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let response = exchange(stream, "GET", "/healthz").await;
    std::fs::remove_dir_all(dir).unwrap();
    assert_eq!(response.status, 200);
}
