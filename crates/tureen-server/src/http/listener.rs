//! Accepts connections, performs the TLS handshake, and serves the site on each connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;
use tower::{Layer, util::MapRequestLayer};
use tracing::{debug, warn};

use super::{
    client::{Connection, Place},
    patience::Patient,
};
use crate::{
    config::ServerConfig,
    per_address::PerAddress,
    tally::{Denied, Tally},
};

/// Time between attempts to accept a connection after an error of the system (out of file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Buffer for a request's head, or for a part of its body, in bytes.
const HTTP_BUFFER: usize = 32 << 10;

/// Server of connections; one instance for each server.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) site: Router,
    /// `None` serves plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
    /// One permit for each connection.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) addresses: Arc<PerAddress>,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Listener {
    /// Accepts connections until it is stopped.
    pub(crate) async fn run(self, listener: TcpListener) {
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok(Some((stream, connection))) => drop(tokio::spawn(self.clone().serve(stream, connection))),
                Ok(None) => {}
                Err(error) => {
                    if self.tally.may_log() {
                        warn!(%error, "cannot accept a connection");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Accepts the next connection; `None` if its address has reached the limit.
    async fn accept(&self, listener: &TcpListener) -> io::Result<Option<(TcpStream, Connection)>> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, address): (_, SocketAddr) = listener.accept().await?;
        let of_proxy = self.config.trusted_proxies.iter().any(|network| network.contains(address.ip()));
        let slot = match of_proxy {
            true => None,
            false => match self.addresses.take(address.ip()) {
                Ok(slot) => Some(slot),
                Err(_full) => {
                    self.tally.count(Denied::Connection);
                    return Ok(None);
                }
            },
        };
        Ok(Some((stream, Connection { address, of_proxy, place: Arc::new(Place::new(permit, slot)) })))
    }

    async fn serve(self, stream: TcpStream, connection: Connection) {
        let address = connection.address;
        // Signalling consists of short messages, which would be delayed while a segment is filled.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, self.config.timeouts.write);
        let handshake_timeout = self.config.timeouts.handshake;
        let served = match &self.tls {
            None => self.serve_http(stream, connection).await,
            Some(tls) => match tokio::time::timeout(handshake_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve_http(stream, connection).await,
                Ok(Err(error)) => return debug!(%address, %error, "TLS handshake failed"),
                Err(_elapsed) => return debug!(%address, "TLS handshake timed out"),
            },
        };
        if let Err(error) = served {
            debug!(%address, %error, "connection ended");
        }
    }

    async fn serve_http<S>(&self, stream: S, connection: Connection) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let info = ConnectInfo(connection);
        let tag = MapRequestLayer::new(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(info.clone());
            request.map(axum::body::Body::new)
        });
        let service = TowerToHyperService::new(tag.layer(self.site.clone()));
        let mut serving = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.config.timeouts.handshake)
                .max_buf_size(HTTP_BUFFER)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let mut stop = self.stop.clone();
        tokio::select! {
            served = serving.as_mut() => return served,
            () = tokio::time::sleep(self.config.timeouts.http) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        serving.as_mut().graceful_shutdown();
        // A response in progress may be completed within a time limit.
        match tokio::time::timeout(self.config.timeouts.write, serving).await {
            Ok(served) => served,
            Err(_elapsed) => {
                self.tally.count(Denied::SlowRequest);
                Ok(())
            }
        }
    }
}
