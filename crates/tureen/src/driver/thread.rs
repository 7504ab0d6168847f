//! The worker thread: its start, its turns and its end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{io, thread};

use futures_channel::oneshot;
use rand::TryRngCore;
use rand::rngs::OsRng;
use tureen_core::api::RequestId;
use tureen_core::dtls::Certificate;
use tureen_core::io::{Datagram, SocketCommand, SocketId, Tuple};
use tureen_core::worker::{Limits, Output, Worker, WorkerConfig};
use tureen_net::{Net, NetConfig, Port, UdpOptions};

use super::QueueLimits;
use super::channel::{Channel, Command, Reply};
use super::dispatcher::{self, Dispatcher, OnExit};
use crate::data_structures::ListenInfo;
use crate::worker::{DtlsOptions, ExitError, WorkerDtlsFiles, WorkerId};

/// What a worker thread is started with.
pub(crate) struct Settings {
    pub(crate) id: WorkerId,
    pub(crate) rtc_port_range: RangeInclusive<u16>,
    pub(crate) dtls_files: Option<WorkerDtlsFiles>,
    pub(crate) dtls: DtlsOptions,
    pub(crate) limits: Limits,
    pub(crate) net: NetConfig,
    pub(crate) queues: QueueLimits,
    pub(crate) thread_initializer: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// Starts the two threads of a worker. `on_exit` runs on the dispatcher thread when the worker thread has ended, after
/// all events; `exited` is sent by the worker thread itself, or dropped with it.
///
/// # Errors
/// A setting that can't be met (`InvalidInput`), or what the operating system refuses.
pub(crate) async fn start(
    settings: Settings,
    on_exit: OnExit,
    exited: std::sync::mpsc::Sender<()>,
) -> io::Result<(Channel, Dispatcher)> {
    let net = Net::new(settings.net.clone())?;
    let queues = settings.queues;
    let channel = Channel::new(queues.requests, net.waker());
    let dispatcher = Dispatcher::new(queues.events);
    let (ready, is_ready) = oneshot::channel();

    // Ends the thread where its Worker never comes to be, because the future of this function is dropped.
    let mut stop = StopOnDrop(Some(channel.clone()));

    let name = format!("tureen-{}", settings.id);
    let running = dispatcher.clone();
    thread::Builder::new()
        .name(format!("{name}-events"))
        .spawn(move || dispatcher::run(&running, queues.events, on_exit))?;

    let (worker_channel, worker_dispatcher) = (channel.clone(), dispatcher.clone());
    let spawned = thread::Builder::new().name(name).spawn(move || {
        let id = settings.id;
        let (channel, dispatcher) = (worker_channel, worker_dispatcher);
        // The state that a panic leaves behind is dropped as a whole.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            Driver::new(settings, net, &channel, &dispatcher, ready)?.run()
        }));
        channel.shut();
        let result = ended.unwrap_or_else(|_| {
            tracing::error!(%id, "the worker thread panicked");
            Err(ExitError::Unexpected)
        });
        dispatcher.exit(result);
        drop(exited);
    });
    if let Err(error) = spawned {
        dispatcher.exit(Err(ExitError::Generic));
        return Err(error);
    }

    is_ready
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the worker thread panicked while it started")))?;
    stop.0 = None;
    Ok((channel, dispatcher))
}

struct StopOnDrop(Option<Channel>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(channel) = self.0.take() {
            channel.stop();
        }
    }
}

/// An engine with its network and its queues.
struct Driver<'a> {
    engine: Worker,
    net: Net,
    channel: &'a Channel,
    dispatcher: &'a Dispatcher,
    rtc_port_range: RangeInclusive<u16>,
    queues: QueueLimits,
    /// Requests that are not answered yet.
    replies: HashMap<RequestId, Reply>,
    next_request: u64,
    commands: Vec<Command>,
}

impl<'a> Driver<'a> {
    /// Prepares everything on the worker thread and tells `ready` how that went.
    fn new(
        settings: Settings,
        net: Net,
        channel: &'a Channel,
        dispatcher: &'a Dispatcher,
        ready: oneshot::Sender<io::Result<()>>,
    ) -> Result<Self, ExitError> {
        if let Some(initialize) = &settings.thread_initializer {
            initialize();
        }
        // Nobody is left to be told where the receiver is gone; the thread is stopped by `Channel::stop` then.
        match start_engine(&settings, &net) {
            Ok(engine) => {
                let _ = ready.send(Ok(()));
                Ok(Self {
                    engine,
                    net,
                    channel,
                    dispatcher,
                    rtc_port_range: settings.rtc_port_range,
                    queues: settings.queues,
                    replies: HashMap::new(),
                    next_request: 0,
                    commands: Vec::new(),
                })
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                Err(ExitError::Settings)
            }
        }
    }

    /// Turns until it is stopped.
    fn run(mut self) -> Result<(), ExitError> {
        let mut more_commands = false;
        loop {
            let timeout = match self.engine.poll_timeout() {
                _ if more_commands => Some(Duration::ZERO),
                Some(due) => Some(due.saturating_duration_since(self.net.now())),
                None => None,
            };
            let woken = self.net.wait(timeout).map_err(|error| {
                tracing::error!(%error, "the worker can't wait for its sockets");
                ExitError::Generic
            })?;
            if woken || more_commands {
                let mut commands = std::mem::take(&mut self.commands);
                more_commands = self.channel.take(&mut commands, self.queues.requests_per_turn);
                for command in commands.drain(..) {
                    match command {
                        Command::Request(request, reply) => self.serve(request, reply),
                        // Who asked may have lost interest.
                        Command::NetStats(reply) => drop(reply.send(*self.net.stats())),
                        Command::Stop => return Ok(()),
                        #[cfg(test)]
                        Command::Panic => panic!("asked for by a test"),
                    }
                }
                self.commands = commands;
            }
            self.receive();
            self.engine.handle_timeout(self.net.now());
            self.drain();
            // What is queued for sending leaves with the flush at the start of the next wait.
        }
    }

    fn serve(&mut self, request: tureen_core::api::Request, reply: Option<Reply>) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        if let Some(reply) = reply {
            self.replies.insert(id, reply);
        }
        self.engine.handle_request(self.net.now(), id, request);
        self.drain();
    }

    /// Takes a bounded number of batches from the sockets that are readable.
    fn receive(&mut self) {
        for _ in 0..self.queues.batches_per_turn {
            let now = self.net.now();
            let Some(batch) = self.net.receive() else { return };
            let datagrams = batch.map(|datagram| Datagram {
                tuple: Tuple { socket: SocketId(datagram.token), remote: datagram.source },
                data: datagram.data,
            });
            self.engine.handle_datagrams(now, datagrams);
            self.drain();
        }
    }

    /// Does all that the engine wants done after an input.
    fn drain(&mut self) {
        loop {
            let now = self.net.now();
            while let Some(transmit) = self.engine.poll_transmit(now, self.net.send_slot()) {
                let Tuple { socket, remote } = transmit.tuple;
                self.net.commit(socket.0, remote, transmit.len, transmit.segment_size);
            }
            let Some(output) = self.engine.poll_output() else { return };
            match output {
                Output::Socket(SocketCommand::BindUdp(id, listen_info)) => {
                    let bound = self.bind_udp(id, &listen_info).map_err(|error| error.to_string());
                    self.engine.handle_socket_bound(self.net.now(), id, bound);
                }
                Output::Socket(SocketCommand::Close(id)) => self.net.close(id.0),
                Output::Response(id, result) => match self.replies.remove(&id) {
                    // Who asked may have lost interest.
                    Some(reply) => drop(reply.send(result)),
                    None => {
                        if let Err(error) = result {
                            tracing::debug!(%error, "closing failed");
                        }
                    }
                },
                Output::Notification(notification) => self.dispatcher.notify(notification),
            }
        }
    }

    fn bind_udp(&mut self, id: SocketId, listen_info: &ListenInfo) -> io::Result<SocketAddr> {
        let flags = listen_info.flags.unwrap_or_default();
        let port = match (&listen_info.port_range, listen_info.port) {
            (Some(range), _) => Port::Range(range.clone()),
            (None, Some(port)) if port != 0 => Port::Fixed(port),
            (None, _) => Port::Range(self.rtc_port_range.clone()),
        };
        let mut options = UdpOptions::new(listen_info.ip, port);
        options.ipv6_only = flags.ipv6_only;
        options.reuse_port = flags.udp_reuse_port;
        // Zero is mediasoup's way to say "not given".
        let size = |bytes: Option<u32>| bytes.filter(|bytes| *bytes > 0).map(|bytes| bytes as usize);
        options.send_buffer = size(listen_info.send_buffer_size);
        options.recv_buffer = size(listen_info.recv_buffer_size);
        self.net.bind_udp(id.0, &options)
    }
}

/// Loads or makes the certificate and makes the engine.
#[expect(clippy::disallowed_methods, reason = "the driver gives the engine its clock")]
fn start_engine(settings: &Settings, net: &Net) -> io::Result<Worker> {
    let invalid =
        |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let certificate = match &settings.dtls_files {
        Some(files) => {
            let read = |path: &std::path::Path| {
                std::fs::read(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("can't read {}: {error}", path.display()))
                })
            };
            Certificate::from_pem(&read(&files.certificate)?, &read(&files.private_key)?)
                .map_err(|error| invalid(&error))?
        }
        None => Certificate::generate().map_err(io::Error::other)?,
    };
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    let config = WorkerConfig { certificate, dtls: settings.dtls.clone(), limits: settings.limits, seed };
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Worker::new(config, net.now(), unix).map_err(|error| invalid(&error))
}
