//! The worker process: one thread that serves the sockets and the channel in turns.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, getppid};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use tureen_driver::{ControlOutput, Engine};
use tureen_engine::api::{
    ConsumerEvent, DataConsumerEvent, Notification, ProducerEvent, RequestError, RequestId, Response,
    TransportEvent,
};
use tureen_net::{Interest, ResourceUsage};

use crate::channel::{Framing, Inbox, Outbox};
use crate::dialect::{Call, ChannelKind, Dialect, Incoming, Out, Refusal, Reply};
use crate::logging::Log;

/// Requests that are served before the sockets get their turn, because creating a transport takes about 100 µs.
const REQUESTS_PER_TURN: usize = 32;

/// Bytes that wait for a slow parent before the worker stops reading its requests, and drops log lines and those
/// events that the next one of their kind supersedes (scores, volumes, traces, packets and messages of
/// DirectTransports).
const SLOW_PARENT: usize = 8 << 20;
/// Bytes that wait before the process ends, because a parent that never reads would miss changes of state.
const STUCK_PARENT: usize = 64 << 20;

/// Error that ends the process.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The parent's framing is invalid.
    Channel(crate::channel::Broken),
    /// The parent does not read.
    StuckParent,
    /// The operating system returned an error.
    Io(io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Channel(broken) => write!(f, "the channel brought {broken}"),
            Self::StuckParent => write!(f, "{STUCK_PARENT} bytes wait for the parent, which does not read"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// File descriptors of a channel: one that the parent writes to, and one that it reads from.
pub(crate) type Fds = (OwnedFd, OwnedFd);

/// Serves a parent until it requests the end, closes a channel or is gone, or until SIGTERM or SIGINT.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn run(
    mut engine: Engine,
    dialect: impl Dialect,
    frames: (Framing, usize),
    (main, payload): (Fds, Option<Fds>),
    log: Log,
) -> Result<(), Failure> {
    let mut inboxes = Vec::new();
    let mut open = |kind, (input, output)| {
        inboxes.push((kind, Watched::new(Inbox::new(input, frames.0, frames.1)?)));
        Outbox::new(output).map(Watched::new)
    };
    // The payload channel first, because a later request may close the object of an earlier packet.
    let payload = payload.map(|fds| open(ChannelKind::Payload, fds)).transpose()?;
    let outboxes = Outboxes { main: open(ChannelKind::Main, main)?, payload };
    let mut parent = Parent { dialect, outboxes, log, dropped: 0 };
    let end = End::watch(&mut engine)?;
    parent.dialect.write_running(&mut parent.outboxes.out());

    let mut busy = false;
    loop {
        parent.write()?;
        parent.outboxes.watch(&mut engine)?;
        let reads = !parent.is_slow();
        for (_, inbox) in &mut inboxes {
            inbox.watch(&mut engine, Interest::READABLE, reads)?;
        }

        let woken = engine.wait(busy && reads)?;
        if woken && end.is_near() {
            break;
        }
        if reads && (woken || busy) {
            let mut over = false;
            for (kind, Watched { end: inbox, .. }) in &mut inboxes {
                // Complete frames are served before more is read.
                let open = inbox.has_frame() || inbox.fill()?;
                over |= !open || parent.serve(&mut engine, *kind, inbox)?;
            }
            if over {
                break;
            }
            busy = inboxes.iter().any(|(_, inbox)| inbox.end.has_frame());
        }
        engine.turn(&mut parent);
    }
    engine.close();
    Ok(())
}

/// An end of a channel, and whether the engine's wait watches it.
struct Watched<T> {
    end: T,
    watched: bool,
}

impl<T: AsFd> Watched<T> {
    fn new(end: T) -> Self {
        Self { end, watched: false }
    }

    fn watch(&mut self, engine: &mut Engine, interest: Interest, wanted: bool) -> io::Result<()> {
        if self.watched != wanted {
            self.watched = wanted;
            match wanted {
                true => engine.net_mut().watch(&self.end, interest)?,
                false => engine.net_mut().unwatch(&self.end),
            }
        }
        Ok(())
    }
}

/// Outgoing bytes for the parent, by channel.
struct Outboxes {
    main: Watched<Outbox>,
    payload: Option<Watched<Outbox>>,
}

impl Outboxes {
    fn out(&mut self) -> Out<'_> {
        Out { main: self.main.end.buffer(), payload: self.payload.as_mut().map(|outbox| outbox.end.buffer()) }
    }

    /// Bytes that wait to be written.
    fn len(&self) -> usize {
        self.main.end.len() + self.payload.as_ref().map_or(0, |outbox| outbox.end.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.each(|outbox| outbox.end.flush())
    }

    fn watch(&mut self, engine: &mut Engine) -> io::Result<()> {
        self.each(|outbox| outbox.watch(engine, Interest::WRITABLE, !outbox.end.is_empty()))
    }

    fn each(&mut self, act: impl FnMut(&mut Watched<Outbox>) -> io::Result<()>) -> io::Result<()> {
        std::iter::once(&mut self.main).chain(&mut self.payload).try_for_each(act)
    }
}

/// The parent, as the receiver of the engine's output.
struct Parent<D> {
    dialect: D,
    outboxes: Outboxes,
    log: Log,
    /// Events dropped since the parent became slow.
    dropped: u64,
}

impl<D: Dialect> Parent<D> {
    /// Serves some of the received frames. Returns true if the parent requested the end.
    fn serve(&mut self, engine: &mut Engine, kind: ChannelKind, inbox: &mut Inbox) -> Result<bool, Failure> {
        for _ in 0..REQUESTS_PER_TURN {
            let Some(frame) = inbox.next_frame().map_err(Failure::Channel)? else { break };
            match self.dialect.decode(kind, frame) {
                Ok(None) => {}
                Ok(Some(Incoming::Request { id, call })) => self.call(engine, id, call),
                Ok(Some(Incoming::Injection(injection))) => engine.inject(injection, self),
                Ok(Some(Incoming::Close)) => return Ok(true),
                Err(Refusal::Request { id, error }) => self.answer(id, Err(error)),
                Err(Refusal::Message(text)) => tracing::error!("{text}"),
            }
        }
        Ok(false)
    }

    fn call(&mut self, engine: &mut Engine, id: u64, call: Call) {
        match call {
            Call::Engine(request) => engine.request(RequestId(id), request, self),
            Call::ResourceUsage => self.answer(id, Ok(Reply::ResourceUsage(ResourceUsage::now()))),
            Call::UpdateSettings(settings) => {
                let result = self.log.set(&settings).map_err(RequestError::Invalid);
                self.answer(id, result.map(|()| Reply::Engine(Response::Done)));
            }
        }
    }

    fn answer(&mut self, id: u64, result: Result<Reply, RequestError>) {
        if let Err(error) = &result {
            tracing::error!(id, "request failed: {error}");
        }
        self.dialect.write_response(id, result, &mut self.outboxes.out());
    }

    fn is_slow(&self) -> bool {
        self.outboxes.len() > SLOW_PARENT
    }

    /// Writes log lines and bytes that wait for the parent.
    fn write(&mut self) -> Result<(), Failure> {
        if !self.is_slow() {
            let dropped = std::mem::take(&mut self.dropped);
            if dropped > 0 {
                tracing::warn!(dropped, "the parent was too slow for all events");
            }
            while let Some(line) = self.log.take() {
                self.dialect.write_log(line, &mut self.outboxes.out());
            }
        }
        self.outboxes.flush()?;
        if self.outboxes.len() > STUCK_PARENT { Err(Failure::StuckParent) } else { Ok(()) }
    }
}

impl<D: Dialect> ControlOutput for Parent<D> {
    fn response(&mut self, id: RequestId, result: Result<Response, RequestError>) {
        self.answer(id.0, result.map(Reply::Engine));
    }

    fn notification(&mut self, notification: Notification) {
        if self.is_slow() && may_be_lost(&notification) {
            self.dropped += 1;
        } else {
            self.dialect.write_notification(notification, &mut self.outboxes.out());
        }
    }
}

/// True if the event may be dropped, because the next one supersedes it.
fn may_be_lost(notification: &Notification) -> bool {
    match notification {
        Notification::Transport(_, event) => matches!(
            event,
            TransportEvent::Bwe { .. } | TransportEvent::Probation { .. } | TransportEvent::Rtcp(_)
        ),
        Notification::Producer(_, event) => {
            matches!(event, ProducerEvent::Score(_) | ProducerEvent::Trace(_))
        }
        Notification::Consumer(_, event) => {
            matches!(event, ConsumerEvent::Score(_) | ConsumerEvent::Trace(_) | ConsumerEvent::Rtp(_))
        }
        Notification::DataConsumer(_, event) => matches!(event, DataConsumerEvent::Message(_)),
        Notification::RtpObserver(..) => true,
    }
}

/// Other causes for the end of the process: a signal, or the death of the parent.
struct End {
    stop: Arc<AtomicBool>,
    parent: Option<Pid>,
    /// Readable after a signal. Never read, because one signal ends the process.
    _signals: UnixStream,
    /// Readable when the parent has ended, even if another process still holds its end of the channel.
    #[cfg(target_os = "linux")]
    _parent: Option<OwnedFd>,
}

impl End {
    fn watch(engine: &mut Engine) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (signals, handler) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
            signal_hook::low_level::pipe::register(signal, handler.try_clone()?)?;
        }
        // Ignored, as in mediasoup's worker. Every Rust program ignores SIGPIPE.
        for signal in [SIGHUP, SIGALRM, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::default())?;
        }
        engine.net_mut().watch(&signals, Interest::READABLE)?;

        let parent = getppid();
        #[cfg(target_os = "linux")]
        let process = {
            // Without pidfd (before Linux 5.3), the end of the channel tells.
            use rustix::process::{PidfdFlags, pidfd_open};
            let process = parent.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            if let Some(process) = &process {
                engine.net_mut().watch(process, Interest::READABLE)?;
            }
            process
        };
        Ok(Self {
            stop,
            parent,
            _signals: signals,
            #[cfg(target_os = "linux")]
            _parent: process,
        })
    }

    fn is_near(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || getppid() != self.parent
    }
}
