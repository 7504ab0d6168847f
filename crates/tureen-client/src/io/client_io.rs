//! The I/O threads, and how the application's threads reach them.

use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tureen_net::{Net, NetConfig, Waker};
use tureen_rtc::dtls::CertificateError;

use super::error::{SendFrameError, TransportError};
use super::peer::{FrameCommand, MessageCommand, OpenPeer, Peer};
use super::thread;
use crate::session::Identity;

/// Settings of [`ClientIo`].
#[derive(Clone, Debug)]
pub struct ClientIoConfig {
    /// I/O threads, at most 64. Transports are spread over them; one thread serves hundreds. Default 1.
    pub threads: NonZeroUsize,
    /// Commands and frames that may wait for a thread, at least 16. Each frame waits with its bytes. Default 4096.
    pub command_queue: usize,
    /// Receive and send buffer of each socket in bytes, as far as the system grants it. It bounds how long a thread may
    /// be busy without loss. Default 1 MiB.
    pub socket_buffer: usize,
    /// Local addresses to connect from: each candidate of a server is checked from each address of its family, and the
    /// first path to answer is used. None leaves the choice to the system's routes. Default: none.
    pub local_addresses: Vec<IpAddr>,
    /// Certificate of all transports. `None` generates one.
    pub identity: Option<Identity>,
}

/// Why [`ClientIo::new`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientIoError {
    /// [`ClientIoConfig::threads`] is out of range.
    #[error("{0} I/O threads, at most {MAX_THREADS} are possible")]
    TooManyThreads(usize),
    /// [`ClientIoConfig::command_queue`] is out of range.
    #[error("a command queue of {0}, at least {MIN_COMMAND_QUEUE} are needed")]
    QueueTooShort(usize),
    /// The system refuses threads or sockets.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No certificate can be generated.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// I/O threads that many transports share. A cheap clone.
///
/// The threads end when the last clone and the last transport are dropped, or after [`close`](Self::close).
#[derive(Clone, Debug)]
pub struct ClientIo {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    threads: Box<[Arc<IoThread>]>,
    next_key: AtomicU64,
    identity: Identity,
}

/// A peer, unique within a [`ClientIo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PeerKey(pub(super) u64);

/// The application's side of one I/O thread.
#[derive(Debug)]
pub(super) struct IoThread {
    commands: mpsc::Sender<Command>,
    waste: Arc<Mutex<Waste>>,
    waker: Waker,
    /// Transports that belong to it.
    transports: AtomicUsize,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

/// What an application thread wants of an I/O thread.
pub(super) enum Command {
    /// Open a session.
    Open(Box<OpenPeer>),
    /// Send a frame.
    Frame(PeerKey, FrameCommand),
    /// Send a message on a data channel.
    Message(PeerKey, MessageCommand),
    /// Do something with a peer. Dropped if the peer is gone.
    Call(PeerKey, Call),
    /// Close an object of a peer, or the peer.
    Close(PeerKey, Closed),
}

/// Work with a peer on its thread.
pub(super) type Call = Box<dyn FnOnce(&mut Peer, Instant) + Send>;

/// What was closed while the queue was full, because dropping a handle can't wait. Each open object comes here at most
/// once, so that their number bounds it.
#[derive(Debug, Default)]
pub(super) struct Waste {
    pub(super) closed: Vec<(PeerKey, Closed)>,
    /// The thread is to end.
    pub(super) stop: bool,
}

/// An object of a peer, unique within a [`ClientIo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectKey(u64);

/// An object of a peer that was closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Closed {
    /// The transport.
    Transport,
    /// A producer.
    Producer(ObjectKey),
    /// A consumer.
    Consumer(ObjectKey),
    /// A data producer.
    DataProducer(ObjectKey),
    /// A data consumer.
    DataConsumer(ObjectKey),
}

/// The most I/O threads.
const MAX_THREADS: usize = 64;
/// The shortest queue of commands.
const MIN_COMMAND_QUEUE: usize = 16;

impl Default for ClientIoConfig {
    fn default() -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            command_queue: 4096,
            socket_buffer: 1 << 20,
            local_addresses: Vec::new(),
            identity: None,
        }
    }
}

impl ClientIo {
    /// Starts the threads.
    ///
    /// # Errors
    /// See [`ClientIoError`].
    pub fn new(config: ClientIoConfig) -> Result<Self, ClientIoError> {
        if config.threads.get() > MAX_THREADS {
            return Err(ClientIoError::TooManyThreads(config.threads.get()));
        }
        if config.command_queue < MIN_COMMAND_QUEUE {
            return Err(ClientIoError::QueueTooShort(config.command_queue));
        }
        let identity = match &config.identity {
            Some(identity) => identity.clone(),
            None => Identity::generate()?,
        };
        let threads = (0..config.threads.get()).map(|index| IoThread::start(index, &config).map(Arc::new));
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Self { inner: Arc::new(Inner { threads, next_key: AtomicU64::new(0), identity }) })
    }

    /// Closes all transports and waits until the threads have ended, so that the servers are told.
    pub async fn close(&self) {
        self.inner.stop();
        for thread in &self.inner.threads {
            // An error is the end of the thread.
            let _ = thread.ended.clone().changed().await;
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub(super) fn next_object(&self) -> ObjectKey {
        ObjectKey(self.inner.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// A key and a thread for another transport: the thread with the fewest.
    pub(super) fn place(&self) -> (PeerKey, Arc<IoThread>) {
        let key = PeerKey(self.inner.next_key.fetch_add(1, Ordering::Relaxed));
        let threads = self.inner.threads.iter();
        let thread = threads.min_by_key(|thread| thread.transports.load(Ordering::Relaxed));
        let thread = Arc::clone(thread.expect("there is at least one thread"));
        thread.transports.fetch_add(1, Ordering::Relaxed);
        (key, thread)
    }
}

impl Inner {
    fn stop(&self) {
        for thread in &self.threads {
            thread.waste.lock().stop = true;
            thread.waker.wake();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl IoThread {
    fn start(index: usize, config: &ClientIoConfig) -> io::Result<Self> {
        let net = Net::new(NetConfig::default())?;
        let (commands, incoming) = mpsc::channel(config.command_queue);
        let (running, ended) = watch::channel(());
        let waste = Arc::new(Mutex::new(Waste::default()));
        let waker = net.waker();
        let (theirs, config) = (Arc::clone(&waste), config.clone());
        std::thread::Builder::new().name(format!("tureen-io-{index}")).spawn(move || {
            // Dropped when the thread ends, also by a panic.
            let _running = running;
            thread::run(net, incoming, theirs, &config);
        })?;
        Ok(Self { commands, waste, waker, transports: AtomicUsize::new(0), ended })
    }

    /// Sends a command, waiting for room in the queue.
    pub(super) async fn send(&self, command: Command) -> Result<(), TransportError> {
        self.commands.send(command).await.map_err(|_| TransportError::Closed)?;
        self.waker.wake();
        Ok(())
    }

    /// Sends a command if there is room for it.
    pub(super) fn try_send(&self, command: Command) -> Result<(), SendFrameError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => SendFrameError::QueueFull,
            TrySendError::Closed(_) => SendFrameError::Closed,
        })?;
        self.waker.wake();
        Ok(())
    }

    /// Has `work` done with a peer, and returns its result.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        key: PeerKey,
        work: impl FnOnce(&mut Peer, Instant) -> T + Send + 'static,
    ) -> Result<T, TransportError> {
        let (reply, result) = oneshot::channel();
        let call: Call = Box::new(move |peer, now| {
            let result = work(peer, now);
            // Nobody waits any more if the future was dropped.
            let _ = reply.send(result);
        });
        self.send(Command::Call(key, call)).await?;
        result.await.map_err(|_| TransportError::Closed)
    }

    /// Says that an object was closed.
    pub(super) fn discard(&self, key: PeerKey, closed: Closed) {
        if matches!(closed, Closed::Transport) {
            self.transports.fetch_sub(1, Ordering::Relaxed);
        }
        if let Err(TrySendError::Full(_)) = self.commands.try_send(Command::Close(key, closed)) {
            self.waste.lock().closed.push((key, closed));
        }
        self.waker.wake();
    }
}
