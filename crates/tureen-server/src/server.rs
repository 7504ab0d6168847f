//! The running server.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use tureen::worker::Worker;

use crate::{
    access::{AuthError, Revocations},
    addresses::{self, MediaAddress, plain_listen_info},
    admission::Admission,
    config::{ConfigError, ServerConfig},
    http::{
        descriptors,
        listener::Listener,
        site::{App, site},
        tls::{self, TlsError},
    },
    per_address::{Paces, PerAddress},
    placement::{
        rooms::Rooms,
        workers::{StartWorkerError, WorkerPool},
    },
    room::EndReason,
    tally::Tally,
};

/// Buffers of a connection in the kernel (bytes; it doubles them for its own bookkeeping).
const SEND_BUFFER: u32 = 256 << 10;
const RECEIVE_BUFFER: u32 = 64 << 10;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A running room server. It stops with [`Server::shutdown`]; dropping it leaves connections to end by themselves.
#[must_use = "the server accepts no more connections when this is dropped"]
pub struct Server {
    address: SocketAddr,
    media_addresses: Vec<MediaAddress>,
    self_signed_cert: Option<PathBuf>,
    config: Arc<ServerConfig>,
    rooms: Arc<Rooms>,
    connections: Arc<Semaphore>,
    max_connections: usize,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// Reason for which a server can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key of access tokens can't be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A media worker does not start.
    #[error(transparent)]
    Worker(#[from] StartWorkerError),
    /// The web server's port is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The setting `listen`.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Server {
    /// Starts the media workers and the web server.
    ///
    /// # Errors
    /// If a setting is wrong, the certificate can't be used, or a port is taken.
    pub async fn start(mut config: ServerConfig) -> Result<Self, StartError> {
        config.validate()?;
        config.resolve_addresses()?;
        let config = Arc::new(config);
        let tally = Tally::start();
        // Before anything that a mistake in the keys would leave behind.
        let revocations = Arc::new(Revocations::default());
        let admission = Admission::start(&config, Arc::clone(&revocations), Arc::clone(&tally))?;
        let mut self_signed_cert = None;
        let mut acceptor = None;
        if config.tls.enabled {
            let files = tls::certificate_files(&config)?;
            acceptor = Some(TlsAcceptor::from(tls::server_config(&files)?));
            self_signed_cert = files.self_signed.then_some(files.cert);
        }
        let budget = descriptors::plan(&config);
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = bind(config.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let workers = WorkerPool::start(config.worker_count(), &config.rtc).await?;
        let media_addresses = addresses::describe(&config.rtc, &workers.ports());
        let rooms = Arc::new(Rooms::new(
            Arc::clone(&config),
            workers,
            budget.plain_sockets,
            revocations,
            Arc::clone(&tally),
        ));
        let connections = Arc::new(Semaphore::new(budget.connections));
        let addresses = PerAddress::new(config.limits.max_connections_per_address, budget.connections);
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(
            Listener {
                site: site(App {
                    config: Arc::clone(&config),
                    admission: Arc::new(admission),
                    rooms: Arc::clone(&rooms),
                    addresses: Arc::clone(&addresses),
                    paces: Arc::new(Paces::new(config.limits.max_requests_per_address_per_s)),
                    tally: Arc::clone(&tally),
                }),
                tls: acceptor,
                connections: Arc::clone(&connections),
                addresses,
                config: Arc::clone(&config),
                tally,
                stop: stopped,
            }
            .run(listener),
        );
        info!(%address, tls = config.tls.enabled, "listening");
        let max_connections = budget.connections;
        for media in &media_addresses {
            info!("media is received on {media}");
        }
        let plain = plain_listen_info(&config.rtc);
        let announced = plain.announced_address.unwrap_or_else(|| plain.ip.to_string());
        let (first, last) = (config.rtc.plain_ports.start(), config.rtc.plain_ports.end());
        info!("plain RTP is received on {}, UDP ports {first} to {last}, announced as {announced}", plain.ip);
        if config.auth.is_none() {
            warn_of_open_doors(&config, address.ip());
        }
        if address.ip().is_loopback() && config.rtc.listen.iter().any(|ip| !ip.is_loopback()) {
            warn!(
                "the web server is open to this machine only, but media to the network too; rtc.listen (--rtc-listen) \
                 says where media is received"
            );
        }
        Ok(Self {
            address,
            media_addresses,
            self_signed_cert,
            config,
            rooms,
            connections,
            max_connections,
            stop,
            accepting,
        })
    }

    /// Where the web server listens: the setting `listen`, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where media is received, and what clients are told.
    pub fn media_addresses(&self) -> &[MediaAddress] {
        &self.media_addresses
    }

    /// The certificate file, if it is the self-signed one.
    pub fn self_signed_cert(&self) -> Option<&Path> {
        self.self_signed_cert.as_deref()
    }

    /// The media workers that are alive, for their statistics ([`Worker::net_stats`]) and for tests. Each lives on as long
    /// as its handle is held.
    pub fn workers(&self) -> Vec<Worker> {
        self.rooms.workers()
    }

    /// Closes all connections (WebSockets with 1001) and the media workers.
    ///
    /// Waits for clients to go, but no longer than `timeouts.shutdown_s`.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        self.rooms.stop(EndReason::Shutdown);
        let all = u32::try_from(self.max_connections).unwrap_or(u32::MAX);
        let gone = async {
            let _ = self.accepting.await;
            let _ = self.connections.acquire_many(all).await;
        };
        if tokio::time::timeout(self.config.timeouts.shutdown, gone).await.is_err() {
            warn!("some connections did not end in time");
        }
        info!("stopped");
    }
}

/// Says that everybody may enter, loudly where everybody can come.
fn warn_of_open_doors(config: &ServerConfig, listen: IpAddr) {
    match addresses::public_address(&config.rtc, listen) {
        Some(address) => warn!(
            "NO [auth] IS CONFIGURED, and {address} is a public address: everybody on the internet may enter every room, \
             and send and receive there. docs/access.md says how to require access tokens"
        ),
        None => info!("no [auth] is configured: whoever reaches this server may enter every room"),
    }
}

/// Listens at `address`. Accepted connections have small buffers in the kernel, because what waits there is the client's to
/// decide; larger ones help only where much is sent over a long way.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}
