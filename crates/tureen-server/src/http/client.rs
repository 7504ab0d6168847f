//! The client of a request: its connection, and its address behind trusted proxies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
    response::{IntoResponse, Response},
};
use tokio::sync::OwnedSemaphorePermit;

use super::site::App;
use crate::{networks::Network, per_address::Slot};

/// Connection of a request. A WebSocket keeps its place among the server's connections by it.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) address: SocketAddr,
    /// True if a trusted proxy has opened the connection for a client.
    pub(crate) of_proxy: bool,
    pub(crate) place: Arc<Place>,
}

/// Place of a connection within the limits of the server and of its address.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _slot: Option<Slot>,
}

impl Place {
    pub(crate) fn new(permit: OwnedSemaphorePermit, slot: Option<Slot>) -> Self {
        Self { _permit: permit, _slot: slot }
    }
}

/// Address of a request's client, behind trusted proxies too.
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let connection = ConnectInfo::<Connection>::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?
            .0;
        Ok(Self(client_address(&app.config.trusted_proxies, connection.address.ip(), &parts.headers)))
    }
}

/// Address of a request's client: the remote address of the connection or, behind trusted proxies, the last address in
/// `X-Forwarded-For` that is no proxy's, because a client can forge the addresses before it.
pub(crate) fn client_address(trusted: &[Network], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    if !is_trusted(peer) {
        return client;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let listed: Vec<_> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    for text in listed.into_iter().rev() {
        let Ok(address) = text.parse::<IpAddr>().or_else(|_| text.parse().map(|at: SocketAddr| at.ip()))
        else {
            break;
        };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn only_headers_of_trusted_proxies_count() {
        let trusted = [network("10.0.0.0/8")];
        let client = |peer, forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            client_address(&trusted, ip(peer), &headers).to_string()
        };
        assert_eq!(client("203.0.113.1", "198.51.100.1"), "203.0.113.1");
        assert_eq!(client("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "192.0.2.1, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "192.0.2.1, junk"), "10.0.0.1");
        assert_eq!(client("10.0.0.1", "[2001:db8::1]:443"), "2001:db8::1");
    }
}
