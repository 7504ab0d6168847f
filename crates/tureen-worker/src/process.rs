//! The worker process: one thread that serves the sockets and the channel in turns.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, getppid};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use tureen_core::api::{
    ConsumerEvent, DataConsumerEvent, Notification, ProducerEvent, RequestError, RequestId, Response,
    TransportEvent,
};
use tureen_driver::{Engine, Outlet};
use tureen_net::{Interest, ResourceUsage};

use crate::channel::{Framing, Inbox, Outbox};
use crate::dialect::{Call, Dialect, Incoming, Refusal, Reply};
use crate::logging::Log;

/// Requests that are served before the sockets get their turn again. Making a transport takes some 100 µs.
const REQUESTS_PER_TURN: usize = 32;

/// Bytes that wait for a slow parent before nothing of it is read any more, and before log lines and events that the
/// next one of their kind makes up for (scores, volumes, traces, packets and messages of DirectTransports) are dropped.
const SLOW_PARENT: usize = 8 << 20;
/// Bytes that wait before the parent is given up: it would miss changes of state, and the process ends instead.
const STUCK_PARENT: usize = 64 << 20;

/// Why the process ends other than by being asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The parent sends what are no frames.
    Channel(crate::channel::Broken),
    /// The parent does not read.
    StuckParent,
    /// The operating system failed.
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

/// Serves a parent until it says so, closes the channel or is gone, or until SIGTERM or SIGINT.
///
/// # Errors
/// What makes the process useless to its parent.
pub(crate) fn run(
    mut engine: Engine,
    dialect: impl Dialect,
    (framing, max_frame): (Framing, usize),
    (input, output): (OwnedFd, OwnedFd),
    log: Log,
) -> Result<(), Failure> {
    let mut inbox = Inbox::new(input, framing, max_frame)?;
    let mut parent = Parent { dialect, outbox: Outbox::new(output)?, log, dropped: 0 };
    let end = End::watch(&mut engine)?;
    parent.dialect.write_running(parent.outbox.buffer());

    let (mut reads, mut writes) = (false, false);
    let mut busy = false;
    loop {
        parent.write()?;
        if parent.outbox.is_empty() == writes {
            writes = !writes;
            match writes {
                true => engine.net_mut().watch(&parent.outbox, Interest::WRITABLE)?,
                false => engine.net_mut().unwatch(&parent.outbox),
            }
        }
        if parent.is_slow() == reads {
            reads = !reads;
            match reads {
                true => engine.net_mut().watch(&inbox, Interest::READABLE)?,
                false => engine.net_mut().unwatch(&inbox),
            }
        }

        let woken = engine.wait(busy && reads)?;
        if woken && end.is_near() {
            break;
        }
        if reads && (woken || busy) {
            // What has come is served before more is read.
            let open = inbox.has_frame() || inbox.fill()?;
            if !open || parent.serve(&mut engine, &mut inbox)? {
                break;
            }
            busy = inbox.has_frame();
        }
        engine.turn(&mut parent);
    }
    engine.close();
    Ok(())
}

/// The parent, as seen by the engine.
struct Parent<D> {
    dialect: D,
    outbox: Outbox,
    log: Log,
    /// Events dropped since the parent became slow.
    dropped: u64,
}

impl<D: Dialect> Parent<D> {
    /// Serves some of the frames that have come. Whether the parent asked for the end.
    fn serve(&mut self, engine: &mut Engine, inbox: &mut Inbox) -> Result<bool, Failure> {
        for _ in 0..REQUESTS_PER_TURN {
            let Some(frame) = inbox.next_frame().map_err(Failure::Channel)? else { break };
            match self.dialect.decode(frame) {
                Ok(Incoming::Request { id, call }) => self.call(engine, id, call),
                Ok(Incoming::Injection(injection)) => engine.inject(injection, self),
                Ok(Incoming::Close) => return Ok(true),
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
        self.dialect.write_response(id, result, self.outbox.buffer());
    }

    fn is_slow(&self) -> bool {
        self.outbox.len() > SLOW_PARENT
    }

    /// Sends what there is for the parent.
    fn write(&mut self) -> Result<(), Failure> {
        if !self.is_slow() {
            let dropped = std::mem::take(&mut self.dropped);
            if dropped > 0 {
                tracing::warn!(dropped, "the parent was too slow for all events");
            }
            while let Some(line) = self.log.take() {
                self.dialect.write_log(line, self.outbox.buffer());
            }
        }
        self.outbox.flush()?;
        if self.outbox.len() > STUCK_PARENT { Err(Failure::StuckParent) } else { Ok(()) }
    }
}

impl<D: Dialect> Outlet for Parent<D> {
    fn response(&mut self, id: RequestId, result: Result<Response, RequestError>) {
        self.answer(id.0, result.map(Reply::Engine));
    }

    fn notification(&mut self, notification: Notification) {
        if self.is_slow() && may_be_lost(&notification) {
            self.dropped += 1;
        } else {
            self.dialect.write_notification(notification, self.outbox.buffer());
        }
    }
}

/// Whether the application can do without this event: the next one says what counts then.
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

/// Who else can end the process: a signal, or the death of the parent.
struct End {
    stop: Arc<AtomicBool>,
    parent: Option<Pid>,
    /// Readable after a signal. Never read: what is seen once ends the process.
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
        // mediasoup's worker ignores these. SIGPIPE is ignored by every Rust program.
        for signal in [SIGHUP, SIGALRM, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::default())?;
        }
        engine.net_mut().watch(&signals, Interest::READABLE)?;

        let parent = getppid();
        #[cfg(target_os = "linux")]
        let process = {
            // Without it (before Linux 5.3) there is the end of the channel to go by.
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
