//! The worker thread: its start, its turns and its end.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{io, thread};

use futures_channel::oneshot;
use tureen_driver::{Engine, EngineConfig, Outlet};
use tureen_engine::api::{Notification, RequestError, RequestId, Response};
use tureen_net::{Net, NetConfig};

use super::QueueLimits;
use super::channel::{Channel, Command, Reply};
use super::dispatcher::{self, Dispatcher, OnExit};
use super::log::LogSettings;
use crate::worker::{ExitError, WorkerId};

/// What a worker thread is started with.
pub(crate) struct Settings {
    pub(crate) id: WorkerId,
    pub(crate) log: LogSettings,
    pub(crate) engine: EngineConfig,
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
    let channel = Channel::new(queues.requests, queues.injected_bytes, net.waker());
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
    let (log, subscriber) = (settings.log.clone(), tracing::dispatcher::get_default(Clone::clone));
    let worker_thread = move || {
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
    };
    let spawned = thread::Builder::new().name(name).spawn(move || log.apply(subscriber, worker_thread));
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

/// An engine with its queues.
struct Driver<'a> {
    engine: Engine,
    channel: &'a Channel,
    outlet: Handles<'a>,
    requests_per_turn: usize,
    next_request: u64,
    commands: Vec<Command>,
}

/// Where the engine's words reach the handles.
struct Handles<'a> {
    dispatcher: &'a Dispatcher,
    /// Requests that are not answered yet.
    replies: HashMap<RequestId, Reply>,
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
        match Engine::start(settings.engine, net) {
            Ok(engine) => {
                let _ = ready.send(Ok(()));
                Ok(Self {
                    engine,
                    channel,
                    outlet: Handles { dispatcher, replies: HashMap::new() },
                    requests_per_turn: settings.queues.requests_per_turn,
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
            let woken = self.engine.wait(more_commands).map_err(|error| {
                tracing::error!(%error, "the worker can't wait for its sockets");
                ExitError::Generic
            })?;
            if woken || more_commands {
                let mut commands = std::mem::take(&mut self.commands);
                more_commands = self.channel.take(&mut commands, self.requests_per_turn);
                for command in commands.drain(..) {
                    match command {
                        Command::Request(request, reply) => {
                            let id = self.next_id(reply);
                            self.engine.request(id, request, &mut self.outlet);
                        }
                        Command::CreatePipe(request, end, reply) => {
                            let id = self.next_id(Some(reply));
                            self.engine.request_with_pipe(id, request, end, &mut self.outlet);
                        }
                        Command::Inject(injection) => self.engine.inject(injection, &mut self.outlet),
                        // Who asked may have lost interest.
                        Command::NetStats(reply) => drop(reply.send(*self.engine.net().stats())),
                        Command::Stop => return Ok(()),
                        #[cfg(any(test, feature = "test-util"))]
                        Command::Panic => panic!("asked for by a test"),
                    }
                }
                self.commands = commands;
            }
            self.engine.turn(&mut self.outlet);
        }
    }

    /// The identifier of a new request, with where its answer goes.
    fn next_id(&mut self, reply: Option<Reply>) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        if let Some(reply) = reply {
            self.outlet.replies.insert(id, reply);
        }
        id
    }
}

impl Outlet for Handles<'_> {
    fn response(&mut self, id: RequestId, result: Result<Response, RequestError>) {
        match self.replies.remove(&id) {
            // Who asked may have lost interest.
            Some(reply) => drop(reply.send(result)),
            None => {
                if let Err(error) = result {
                    tracing::debug!(%error, "closing failed");
                }
            }
        }
    }

    fn notification(&mut self, notification: Notification) {
        self.dispatcher.notify(notification);
    }
}
