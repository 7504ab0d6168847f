//! Accepts connections, does TLS, and serves the site on each.

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

use crate::http::Connection;

/// Between attempts to accept after the system refused (out of file descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves connections; one instance a server.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) site: Router,
    /// `None` serves plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
    /// One permit a connection.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Listener {
    /// Accepts until told to stop.
    pub(crate) async fn run(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &self.connections) => accepted,
                _ = self.stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, connection)) => drop(tokio::spawn(self.clone().serve(stream, connection))),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream, connection: Connection) {
        let address = connection.address;
        // Signalling is short messages; waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let served = match &self.tls {
            None => self.serve_http(stream, connection).await,
            Some(tls) => match tokio::time::timeout(self.handshake_timeout, tls.accept(stream)).await {
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
                .header_read_timeout(self.handshake_timeout)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let mut stop = self.stop.clone();
        tokio::select! {
            served = serving.as_mut() => return served,
            _ = stop.wait_for(|stop| *stop) => {}
        }
        serving.as_mut().graceful_shutdown();
        serving.await
    }
}

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> io::Result<(TcpStream, Connection)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address): (_, SocketAddr) = listener.accept().await?;
    Ok((stream, Connection { address, permit: Arc::new(permit) }))
}
