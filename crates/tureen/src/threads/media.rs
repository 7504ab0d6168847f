//! The worker thread: its start, its turns and its end.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{io, thread};

use futures_channel::oneshot;
use tureen_driver::{ControlOutput, Engine, EngineConfig};
use tureen_engine::api::{Notification, RequestError, RequestId, Response};
use tureen_net::{Net, NetConfig};

use super::QueueLimits;
use super::channel::{Channel, Command, Reply};
use super::dispatcher::{self, Dispatcher, OnExit};
use super::log::LogSettings;
use crate::worker::{ExitError, WorkerId};

/// Configuration of a worker thread.
pub(crate) struct Settings {
    pub(crate) id: WorkerId,
    pub(crate) log: LogSettings,
    pub(crate) engine: EngineConfig,
    pub(crate) net: NetConfig,
    pub(crate) queues: QueueLimits,
    pub(crate) thread_initializer: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// Starts the two threads of a worker. `on_exit` runs on the dispatcher thread after all events, when the worker
/// thread has ended. `exited` is dropped when the worker thread ends.
///
/// # Errors
/// `InvalidInput` for an invalid setting; otherwise the error of the operating system.
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

    // Ends both threads if the future of this function is dropped, because no Worker would.
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
        // Unwind safe, because the engine's state is dropped as a whole.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            MediaThread::new(settings, net, &channel, &dispatcher, ready)?.run()
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

/// An engine on the worker thread, with its queues.
struct MediaThread<'a> {
    engine: Engine,
    channel: &'a Channel,
    control: ToHandles<'a>,
    requests_per_turn: usize,
    next_request: u64,
    commands: Vec<Command>,
}

/// Sends the engine's responses and notifications to the handles.
struct ToHandles<'a> {
    dispatcher: &'a Dispatcher,
    /// Channels for the responses to pending requests.
    replies: HashMap<RequestId, Reply>,
}

impl<'a> MediaThread<'a> {
    /// Starts the engine on the worker thread, and reports the result to `ready`.
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
        // If the receiver is gone, `Channel::stop` has been called and ends the thread.
        match Engine::start(settings.engine, net) {
            Ok(engine) => {
                let _ = ready.send(Ok(()));
                Ok(Self {
                    engine,
                    channel,
                    control: ToHandles { dispatcher, replies: HashMap::new() },
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

    /// Runs turns of the engine until `Command::Stop`.
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
                            self.engine.request(id, request, &mut self.control);
                        }
                        Command::CreatePipe(request, end, reply) => {
                            let id = self.next_id(Some(reply));
                            self.engine.request_with_pipe(id, request, end, &mut self.control);
                        }
                        Command::Inject(injection) => self.engine.inject(injection, &mut self.control),
                        // The future that waits may have been dropped.
                        Command::NetStats(reply) => drop(reply.send(*self.engine.net().stats())),
                        Command::Stop => return Ok(()),
                        #[cfg(any(test, feature = "test-util"))]
                        Command::Panic => panic!("asked for by a test"),
                    }
                }
                self.commands = commands;
            }
            self.engine.turn(&mut self.control);
        }
    }

    /// Allocates the identifier of a request, and registers the channel for its response.
    fn next_id(&mut self, reply: Option<Reply>) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        if let Some(reply) = reply {
            self.control.replies.insert(id, reply);
        }
        id
    }
}

impl ControlOutput for ToHandles<'_> {
    fn response(&mut self, id: RequestId, result: Result<Response, RequestError>) {
        match self.replies.remove(&id) {
            // The future that waits may have been dropped.
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
