//! Runs one engine of `tureen-engine` on the sockets of one `tureen-net`, on the thread of the caller.
//!
//! The `tureen` library puts an [`Engine`] on a thread of its own and feeds it from a queue; the worker process runs it
//! on its main thread and feeds it from the channel to its parent. Both take turns:
//!
//! 1. [`Engine::wait`] until there is something to do;
//! 2. [`Engine::request`] and [`Engine::inject`] for a bounded number of requests and packets of the application;
//! 3. [`Engine::turn`]: a bounded number of datagram batches, then the timers that are due.
//!
//! What the engine says to its control side comes out at an [`Outlet`].
#![warn(missing_debug_implementations, clippy::unwrap_used)]
#![forbid(unsafe_code)]

pub mod log;

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rand::TryRngCore;
use rand::rngs::OsRng;
use tureen_engine::api::{Injection, Notification, Request, RequestError, RequestId, Response, RouterId};
use tureen_engine::io::{Datagram, SocketCommand};
use tureen_engine::worker::{Limits, Output, Worker, WorkerConfig};
use tureen_net::{Net, PipeEnd, Port, StreamEvent, TcpOptions, UdpOptions};
use tureen_rtc::dtls::{Certificate, DtlsOptions};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_types::data_structures::ListenInfo;

/// What an engine is started with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Ports for sockets whose listen info names none.
    pub rtc_port_range: RangeInclusive<u16>,
    /// Certificate and private key of all transports; generated if `None`.
    pub dtls_files: Option<DtlsFiles>,
    /// DTLS settings.
    pub dtls: DtlsOptions,
    /// Bounds of the engine.
    pub limits: Limits,
    /// Batches of datagrams that one [`Engine::turn`] takes from the sockets. More favours media over requests.
    pub batches_per_turn: usize,
}

/// Paths of a certificate and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// Where the engine's words to its control side go, in their order.
pub trait Outlet {
    /// Takes the answer to a request.
    fn response(&mut self, id: RequestId, result: Result<Response, RequestError>);

    /// Takes an event.
    fn notification(&mut self, notification: Notification);
}

/// An engine with its network.
#[derive(Debug)]
pub struct Engine {
    worker: Worker,
    net: Net,
    rtc_port_range: RangeInclusive<u16>,
    batches_per_turn: usize,
    /// What came with the request that is being served.
    pipe_end: Option<PipeEnd>,
}

impl Engine {
    /// An engine without routers: loads or makes its certificate, and seeds it.
    ///
    /// # Errors
    /// `InvalidInput` for a setting that can't be met, or what the operating system refuses.
    pub fn start(config: EngineConfig, net: Net) -> io::Result<Self> {
        let certificate = match &config.dtls_files {
            Some(files) => Certificate::from_pem(&read(&files.certificate)?, &read(&files.private_key)?)
                .map_err(invalid)?,
            None => Certificate::generate().map_err(io::Error::other)?,
        };
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        let worker = WorkerConfig { certificate, dtls: config.dtls, limits: config.limits, seed };
        Ok(Self {
            worker: Worker::new(worker, net.now(), unix_time()).map_err(invalid)?,
            net,
            rtc_port_range: config.rtc_port_range,
            batches_per_turn: config.batches_per_turn,
            pipe_end: None,
        })
    }

    /// The sockets, for their counters.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// The sockets, to watch other file descriptors with them.
    pub fn net_mut(&mut self) -> &mut Net {
        &mut self.net
    }

    /// Sends what is queued, then waits until a socket is readable, a timer is due or somebody woke the network. It does
    /// not block if `busy`. Returns whether the network was woken.
    ///
    /// # Errors
    /// What waiting fails with, which only a defect makes it do.
    pub fn wait(&mut self, busy: bool) -> io::Result<bool> {
        let timeout = match self.worker.poll_timeout() {
            _ if busy => Some(Duration::ZERO),
            Some(due) => Some(due.saturating_duration_since(self.net.now())),
            None => None,
        };
        self.net.wait(timeout)
    }

    /// Serves one request. Its answer may come during a later call.
    pub fn request(&mut self, id: RequestId, request: Request, outlet: &mut impl Outlet) {
        self.worker.handle_request(self.net.now(), id, request);
        self.drain(outlet);
    }

    /// Serves a request to make a PipeTransport whose other end is in this process, with its end of the pipe.
    pub fn request_with_pipe(
        &mut self,
        id: RequestId,
        request: Request,
        end: PipeEnd,
        outlet: &mut impl Outlet,
    ) {
        self.pipe_end = Some(end);
        self.request(id, request, outlet);
        self.pipe_end = None; // Where the request was refused.
    }

    /// Puts in a packet or message of the application.
    pub fn inject(&mut self, injection: Injection, outlet: &mut impl Outlet) {
        self.worker.handle_injection(self.net.now(), injection);
        self.drain(outlet);
    }

    /// Takes what came in, up to the configured number of batches and for 10 ms (`TURN_TIME`), then does what is due. What is to
    /// be sent is queued and leaves with the next [`wait`](Self::wait).
    pub fn turn(&mut self, outlet: &mut impl Outlet) {
        for _ in 0..STREAM_EVENTS_PER_TURN {
            let Some(event) = self.net.next_stream_event() else { break };
            self.on_stream_event(event);
            self.drain(outlet);
        }
        let end = self.net.now() + TURN_TIME;
        for _ in 0..self.batches_per_turn {
            let now = self.net.now();
            if now >= end {
                break;
            }
            let Some(batch) = self.net.receive() else { break };
            let datagrams = batch.map(|datagram| Datagram {
                tuple: Tuple { socket: SocketId(datagram.token), remote: datagram.source },
                data: datagram.data,
            });
            self.worker.handle_datagrams(now, datagrams);
            self.drain(outlet);
        }
        self.worker.handle_timeout(self.net.now());
        self.drain(outlet);
    }

    /// Closes every router, so that remote sides learn of it by DTLS at once, and sends what is queued.
    pub fn close(mut self) {
        let mut routers = Routers::default();
        self.request(RequestId(0), Request::DumpWorker, &mut routers);
        for router in std::mem::take(&mut routers.0) {
            self.request(RequestId(0), Request::CloseRouter(router), &mut routers);
        }
        self.net.flush();
    }

    /// Does all that the engine wants done after an input.
    fn drain(&mut self, outlet: &mut impl Outlet) {
        loop {
            let now = self.net.now();
            while let Some(transmit) = self.worker.poll_transmit(now, self.net.send_slot()) {
                let Tuple { socket, remote } = transmit.tuple;
                if transmit.control {
                    self.net.commit_control(socket.0, remote, transmit.len);
                } else {
                    self.net.commit(socket.0, remote, transmit.len, transmit.segment_size);
                }
                if transmit.last {
                    self.net.flush();
                }
            }
            let Some(output) = self.worker.poll_output() else { return };
            match output {
                Output::Socket(SocketCommand::BindUdp(id, listen_info)) => {
                    let bound = self.bind_udp(id, &listen_info).map_err(|error| error.to_string());
                    self.worker.handle_socket_bound(self.net.now(), id, bound);
                }
                Output::Socket(SocketCommand::OpenPipe(id)) => {
                    let opened = self.open_pipe(id).map_err(|error| error.to_string());
                    self.worker.handle_socket_bound(self.net.now(), id, opened);
                }
                Output::Socket(SocketCommand::ListenTcp(id, listen_info)) => {
                    let bound = self.listen_tcp(id, &listen_info).map_err(|error| error.to_string());
                    self.worker.handle_socket_bound(self.net.now(), id, bound);
                }
                Output::Socket(SocketCommand::Close(id)) => self.net.close(id.0),
                Output::Response(id, result) => outlet.response(id, result),
                Output::Notification(notification) => outlet.notification(notification),
            }
        }
    }

    fn on_stream_event(&mut self, event: StreamEvent) {
        let now = self.net.now();
        match event {
            StreamEvent::Incoming { listener, remote, connection } => {
                // A connection that the engine does not want is dropped, and so closed.
                let Some(id) = self.worker.handle_stream_opened(now, SocketId(listener), remote) else {
                    return;
                };
                if let Err(error) = self.net.adopt_stream(id.0, connection) {
                    tracing::debug!(%remote, %error, "a TCP connection came to nothing");
                    self.worker.handle_stream_closed(now, id);
                }
            }
            StreamEvent::Closed { token } => self.worker.handle_stream_closed(now, SocketId(token)),
            StreamEvent::Backlog { token, late } => {
                self.worker.handle_stream_backlog(now, SocketId(token), late);
            }
        }
    }

    fn bind_udp(&mut self, id: SocketId, listen_info: &ListenInfo) -> io::Result<SocketAddr> {
        let flags = listen_info.flags.unwrap_or_default();
        let mut options = UdpOptions::new(listen_info.ip, self.port(listen_info));
        options.ipv6_only = flags.ipv6_only;
        options.reuse_port = flags.udp_reuse_port;
        options.send_buffer = size(listen_info.send_buffer_size);
        options.recv_buffer = size(listen_info.recv_buffer_size);
        self.net.bind_udp(id.0, &options)
    }

    fn open_pipe(&mut self, id: SocketId) -> io::Result<SocketAddr> {
        let end = self.pipe_end.take().ok_or_else(|| invalid("no pipe came with the request"))?;
        self.net.adopt_pipe(id.0, end)
    }

    fn listen_tcp(&mut self, id: SocketId, listen_info: &ListenInfo) -> io::Result<SocketAddr> {
        let options = TcpOptions {
            ip: listen_info.ip,
            port: self.port(listen_info),
            ipv6_only: listen_info.flags.unwrap_or_default().ipv6_only,
            send_buffer: size(listen_info.send_buffer_size),
            recv_buffer: size(listen_info.recv_buffer_size),
        };
        self.net.listen_tcp(id.0, &options)
    }

    fn port(&self, listen_info: &ListenInfo) -> Port {
        match (&listen_info.port_range, listen_info.port) {
            (Some(range), _) => Port::Range(range.clone()),
            (None, Some(port)) if port != 0 => Port::Fixed(port),
            (None, _) => Port::Range(self.rtc_port_range.clone()),
        }
    }
}

/// Time after which [`Engine::turn`] begins no other batch, so that timers, requests and signals are not kept waiting by
/// datagrams that cost much.
const TURN_TIME: Duration = Duration::from_millis(10);
/// TCP connections that begin or end which are looked after before datagrams are.
const STREAM_EVENTS_PER_TURN: usize = 64;

/// The size of a socket buffer. Zero is mediasoup's way to say "not given".
fn size(bytes: Option<u32>) -> Option<usize> {
    bytes.filter(|bytes| *bytes > 0).map(|bytes| bytes as usize)
}

/// Learns which routers there are.
#[derive(Default)]
struct Routers(Vec<RouterId>);

impl Outlet for Routers {
    fn response(&mut self, _: RequestId, result: Result<Response, RequestError>) {
        if let Ok(Response::WorkerDump(dump)) = result {
            self.0 = dump.router_ids;
        }
    }

    fn notification(&mut self, _: Notification) {}
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("can't read {}: {error}", path.display())))
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
}

#[expect(clippy::disallowed_methods, reason = "the driver gives the engine its clock")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
