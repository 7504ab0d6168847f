//! Runs one engine of `tureen-engine` on the sockets of one `tureen-net`, on the thread of the caller.
//!
//! The `tureen` library runs an [`Engine`] on a thread of its own and feeds it from a queue. The worker process runs
//! one on its main thread and feeds it from the channel to its parent. Both run turns:
//!
//! 1. [`Engine::wait`] until there is something to do;
//! 2. [`Engine::request`] and [`Engine::inject`] for a bounded number of requests and packets of the application;
//! 3. [`Engine::turn`]: a bounded number of datagram batches, then the timers that are due.
//!
//! Responses and notifications of the engine go to a [`ControlOutput`].
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

/// Configuration of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Ports of sockets whose listen info has no port.
    pub rtc_port_range: RangeInclusive<u16>,
    /// DTLS certificate and private key of all transports. `None` generates a pair.
    pub dtls_files: Option<DtlsFiles>,
    /// DTLS backend, versions, SRTP suites and timeouts.
    pub dtls: DtlsOptions,
    /// Bounds of the engine.
    pub limits: Limits,
    /// Batches of datagrams that one [`Engine::turn`] receives from the sockets. A higher value favours media over
    /// requests.
    pub batches_per_turn: usize,
}

/// Paths of a certificate and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsFiles {
    /// Path of the certificate.
    pub certificate: PathBuf,
    /// Path of the private key.
    pub private_key: PathBuf,
}

/// Receiver of an engine's responses and notifications, in order.
pub trait ControlOutput {
    /// Handles the response to a request.
    fn response(&mut self, id: RequestId, result: Result<Response, RequestError>);

    /// Handles a notification.
    fn notification(&mut self, notification: Notification);
}

/// An engine with its sockets.
#[derive(Debug)]
pub struct Engine {
    worker: Worker,
    net: Net,
    rtc_port_range: RangeInclusive<u16>,
    batches_per_turn: usize,
    /// End of an in-process pipe that belongs to the request being served.
    pipe_end: Option<PipeEnd>,
}

impl Engine {
    /// Creates an engine without routers. Loads or generates its certificate, and seeds its random numbers.
    ///
    /// # Errors
    /// `InvalidInput` for an invalid setting; otherwise the error of the operating system.
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

    /// Sockets of the engine, for their counters.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Sockets of the engine, to watch other file descriptors with them.
    pub fn net_mut(&mut self) -> &mut Net {
        &mut self.net
    }

    /// Sends the queued datagrams, then waits until a socket is readable, a timer is due or the network's waker is
    /// called. Does not block if `busy`. Returns true if the waker was called.
    ///
    /// # Errors
    /// The error of `epoll` or `poll`, which indicates a defect.
    pub fn wait(&mut self, busy: bool) -> io::Result<bool> {
        let timeout = match self.worker.poll_timeout() {
            _ if busy => Some(Duration::ZERO),
            Some(due) => Some(due.saturating_duration_since(self.net.now())),
            None => None,
        };
        self.net.wait(timeout)
    }

    /// Serves one request. The response may come during a later call.
    pub fn request(&mut self, id: RequestId, request: Request, control: &mut impl ControlOutput) {
        self.worker.handle_request(self.net.now(), id, request);
        self.drain(control);
    }

    /// Serves a request that creates a PipeTransport, with its end of an in-process pipe.
    pub fn request_with_pipe(
        &mut self,
        id: RequestId,
        request: Request,
        end: PipeEnd,
        control: &mut impl ControlOutput,
    ) {
        self.pipe_end = Some(end);
        self.request(id, request, control);
        self.pipe_end = None; // Left over if the request was refused.
    }

    /// Passes a packet or message of the application to the engine.
    pub fn inject(&mut self, injection: Injection, control: &mut impl ControlOutput) {
        self.worker.handle_injection(self.net.now(), injection);
        self.drain(control);
    }

    /// Receives datagrams, up to the configured number of batches and for 10 ms (`TURN_TIME`), then serves the timers
    /// that are due. Outgoing datagrams are queued and sent by the next [`wait`](Self::wait).
    pub fn turn(&mut self, control: &mut impl ControlOutput) {
        for _ in 0..STREAM_EVENTS_PER_TURN {
            let Some(event) = self.net.next_stream_event() else { break };
            self.on_stream_event(event);
            self.drain(control);
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
            self.drain(control);
        }
        self.worker.handle_timeout(self.net.now());
        self.drain(control);
    }

    /// Closes every router, so that remote sides learn of it by DTLS at once, and sends the queued datagrams.
    pub fn close(mut self) {
        let mut routers = Routers::default();
        self.request(RequestId(0), Request::DumpWorker, &mut routers);
        for router in std::mem::take(&mut routers.0) {
            self.request(RequestId(0), Request::CloseRouter(router), &mut routers);
        }
        self.net.flush();
    }

    /// Carries out the engine's outputs after an input.
    fn drain(&mut self, control: &mut impl ControlOutput) {
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
                Output::Response(id, result) => control.response(id, result),
                Output::Notification(notification) => control.notification(notification),
            }
        }
    }

    fn on_stream_event(&mut self, event: StreamEvent) {
        let now = self.net.now();
        match event {
            StreamEvent::Incoming { listener, remote, connection } => {
                // Dropping `connection` closes it, if the engine refuses it.
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

/// Time after which [`Engine::turn`] starts no further batch, so that expensive datagrams don't delay timers,
/// requests and signals.
const TURN_TIME: Duration = Duration::from_millis(10);
/// Opened and closed TCP connections that one turn handles, before it receives datagrams.
const STREAM_EVENTS_PER_TURN: usize = 64;

/// Size of a socket buffer. 0 means "default", as in mediasoup.
fn size(bytes: Option<u32>) -> Option<usize> {
    bytes.filter(|bytes| *bytes > 0).map(|bytes| bytes as usize)
}

/// Collects the identifiers of the routers.
#[derive(Default)]
struct Routers(Vec<RouterId>);

impl ControlOutput for Routers {
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
