//! Bounded queue of commands from the handles to the worker thread.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;
use tureen_engine::api::{self, Injection, Request, Response};
use tureen_net::{NetStats, PipeEnd, Waker};

use crate::worker::RequestError;

/// Channel for the response to a request.
pub(super) type Reply = oneshot::Sender<Result<Response, api::RequestError>>;

/// Command of a handle to the worker thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Serve a request. Without `Reply` the response is discarded.
    Request(Request, Option<Reply>),
    /// Serve a request that creates a PipeTransport, with its end of an in-process pipe.
    CreatePipe(Request, PipeEnd, Reply),
    /// Pass a packet or message of the application to the engine. There is no response.
    Inject(Injection),
    /// Report the counters of the sockets.
    NetStats(oneshot::Sender<NetStats>),
    /// End the thread. The last command.
    Stop,
    /// Panic like a defect of the engine.
    #[cfg(any(test, feature = "test-util"))]
    Panic,
}

/// Sends requests to one worker thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inbox: Mutex<Inbox>,
    capacity: usize,
    injected_bytes: usize,
    waker: Waker,
}

#[derive(Debug)]
struct Inbox {
    commands: VecDeque<Command>,
    /// Number and weight of the injections among `commands`.
    injections: usize,
    injected_bytes: usize,
    open: bool,
}

/// Error of [`Channel::inject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InjectError {
    /// The worker thread has ended.
    Closed,
    /// The queue is full.
    Full,
}

/// Weight of an injection in addition to its bytes.
const INJECTION_OVERHEAD: usize = 128;

impl Channel {
    /// A channel for at most `capacity` pending requests and `injected_bytes` of pending injections. `waker` wakes
    /// the worker thread.
    pub(super) fn new(capacity: usize, injected_bytes: usize, waker: Waker) -> Self {
        let inbox = Inbox { commands: VecDeque::new(), injections: 0, injected_bytes: 0, open: true };
        Self { shared: Arc::new(Shared { inbox: Mutex::new(inbox), capacity, injected_bytes, waker }) }
    }

    /// Sends a request and waits for its response. Dropping the future does not cancel the request.
    ///
    /// # Errors
    /// `ChannelClosed` if the worker or the object is closed, otherwise `Response` with the worker's reason.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.ask(|reply| Command::Request(request, Some(reply))).await
    }

    /// Sends a request that creates a PipeTransport with an end of an in-process pipe.
    ///
    /// # Errors
    /// As [`Channel::request`].
    pub(crate) async fn create_pipe(&self, request: Request, end: PipeEnd) -> Result<Response, RequestError> {
        self.ask(|reply| Command::CreatePipe(request, end, reply)).await
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<Response, RequestError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut inbox = self.shared.inbox.lock();
            if !inbox.open {
                return Err(RequestError::ChannelClosed);
            }
            if inbox.commands.len() - inbox.injections >= self.shared.capacity {
                let reason = format!("the worker has {} requests waiting already", self.shared.capacity);
                return Err(RequestError::Response { reason });
            }
            inbox.commands.push_back(command(reply));
        }
        self.shared.waker.wake();
        match answer.await {
            Ok(Ok(response)) => Ok(response),
            // The object was closed while a handle of it is left, for instance by its transport.
            Ok(Err(api::RequestError::NotFound { .. })) | Err(oneshot::Canceled) => {
                Err(RequestError::ChannelClosed)
            }
            Ok(Err(error)) => Err(RequestError::Response { reason: error.to_string() }),
        }
    }

    /// Queues a packet or message of the application, in order with requests.
    ///
    /// # Errors
    /// `Full` if more than [`QueueLimits::injected_bytes`](super::QueueLimits::injected_bytes) would wait. The packet
    /// or message is dropped.
    pub(crate) fn inject(&self, injection: Injection) -> Result<(), InjectError> {
        let weight = weight(&injection);
        {
            let mut inbox = self.shared.inbox.lock();
            if !inbox.open {
                return Err(InjectError::Closed);
            }
            if inbox.injected_bytes + weight > self.shared.injected_bytes {
                return Err(InjectError::Full);
            }
            inbox.injected_bytes += weight;
            inbox.injections += 1;
            inbox.commands.push_back(Command::Inject(injection));
        }
        self.shared.waker.wake();
        Ok(())
    }

    /// Counters of the worker's sockets.
    ///
    /// # Errors
    /// `ChannelClosed` if the worker thread has ended.
    pub(crate) async fn net_stats(&self) -> Result<NetStats, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.post(Command::NetStats(reply));
        answer.await.map_err(|_| RequestError::ChannelClosed)
    }

    /// Sends a request that closes an object. The capacity does not apply, because there are never more of these than
    /// objects.
    pub(crate) fn close(&self, request: Request) {
        self.post(Command::Request(request, None));
    }

    /// Like [`Channel::close`]. The future completes when the worker has served the request, or has ended. Dropping
    /// the future does not cancel the request.
    pub(crate) fn close_and_wait(&self, request: Request) -> impl Future<Output = ()> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.post(Command::Request(request, Some(reply)));
        async move {
            // An error means that the object was closed with its parent before.
            let _ = answer.await;
        }
    }

    /// Sends a request and discards the response. The capacity does not apply, because such requests only follow
    /// responses of other workers.
    pub(crate) fn tell(&self, request: Request) {
        self.post(Command::Request(request, None));
    }

    /// Ends the worker thread after all earlier commands. Later commands are refused.
    pub(crate) fn stop(&self) {
        {
            let mut inbox = self.shared.inbox.lock();
            if !std::mem::replace(&mut inbox.open, false) {
                return;
            }
            inbox.commands.push_back(Command::Stop);
        }
        self.shared.waker.wake();
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn panic(&self) {
        self.post(Command::Panic);
    }

    fn post(&self, command: Command) {
        {
            let mut inbox = self.shared.inbox.lock();
            if !inbox.open {
                return;
            }
            inbox.commands.push_back(command);
        }
        self.shared.waker.wake();
    }

    /// Moves up to `limit` commands, oldest first, to `commands`. Returns true if more are left.
    pub(super) fn take(&self, commands: &mut Vec<Command>, limit: usize) -> bool {
        let mut inbox = self.shared.inbox.lock();
        let count = limit.min(inbox.commands.len());
        let before = commands.len();
        commands.extend(inbox.commands.drain(..count));
        for command in &commands[before..] {
            if let Command::Inject(injection) = command {
                inbox.injections -= 1;
                inbox.injected_bytes -= weight(injection);
            }
        }
        !inbox.commands.is_empty()
    }

    /// Refuses all further commands, and fails the pending ones.
    pub(super) fn shut(&self) {
        let commands = {
            let mut inbox = self.shared.inbox.lock();
            inbox.open = false;
            std::mem::take(&mut inbox.commands)
        };
        drop(commands); // Outside of the lock: it wakes those who wait.
    }
}

fn weight(injection: &Injection) -> usize {
    let bytes = match injection {
        Injection::Rtp(_, packet) | Injection::Rtcp(_, packet) => packet.len(),
        Injection::Data(_, publication) => {
            publication.message.payload.len() + size_of_val(&publication.subchannels[..])
        }
    };
    bytes + INJECTION_OVERHEAD
}

/// Closes an object that is being created if the creation stops halfway: its future is dropped, or a later step
/// fails.
#[derive(Debug)]
pub(crate) struct CloseOnDrop<'a> {
    channel: &'a Channel,
    close: Option<Request>,
}

impl<'a> CloseOnDrop<'a> {
    /// Call this before the request that creates the object is sent.
    pub(crate) fn new(channel: &'a Channel, close: Request) -> Self {
        Self { channel, close: Some(close) }
    }

    /// Call this when the object has a handle, which closes it, or when the worker has refused to create it.
    pub(crate) fn disarm(mut self) {
        self.close = None;
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(close) = self.close.take() {
            self.channel.close(close);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};
    use tureen_net::{Net, NetConfig};

    use super::*;

    fn channel(capacity: usize) -> Channel {
        Channel::new(capacity, 1000, Net::new(NetConfig::default()).unwrap().waker())
    }

    #[test]
    fn full_channel_refuses_requests_but_not_closes() {
        let channel = channel(1);
        let mut waiting = Box::pin(channel.request(Request::DumpWorker));
        assert!(block_on(poll_once(&mut waiting)).is_none());

        let error = block_on(channel.request(Request::DumpWorker)).unwrap_err();
        assert_eq!(error.to_string(), "Received response error: the worker has 1 requests waiting already");
        channel.close(Request::CloseRouter("router".into()));

        let mut commands = Vec::new();
        assert!(channel.take(&mut commands, 1));
        assert!(!channel.take(&mut commands, 8));
        assert!(matches!(
            commands[..],
            [Command::Request(Request::DumpWorker, Some(_)), Command::Request(_, None)]
        ));
        assert!(block_on(poll_once(&mut waiting)).is_none());
    }

    #[test]
    fn a_close_is_waited_for_until_it_is_served_or_the_worker_is_gone() {
        let channel = channel(0);
        let mut served = Box::pin(channel.close_and_wait(Request::CloseRouter("served".into())));
        let mut left = Box::pin(channel.close_and_wait(Request::CloseRouter("left".into())));
        assert!(block_on(poll_once(&mut served)).is_none());
        let mut commands = Vec::new();
        channel.take(&mut commands, 1);
        let Some(Command::Request(Request::CloseRouter(id), Some(reply))) = commands.pop() else {
            panic!("{commands:?}")
        };
        assert_eq!(id.as_str(), "served");
        reply.send(Err(api::RequestError::NotFound { kind: "router", id: "served".into() })).unwrap();
        block_on(served);
        assert!(block_on(poll_once(&mut left)).is_none());
        channel.shut();
        block_on(left);
        block_on(channel.close_and_wait(Request::CloseRouter("late".into())));
    }

    #[test]
    fn injections_have_a_separate_limit() {
        let channel = channel(1);
        let packet = || Injection::Rtp("producer".into(), vec![0; 400 - INJECTION_OVERHEAD]);
        assert_eq!([channel.inject(packet()), channel.inject(packet())], [Ok(()), Ok(())]);
        assert_eq!(channel.inject(packet()), Err(InjectError::Full));
        let mut waiting = Box::pin(channel.request(Request::DumpWorker));
        assert!(block_on(poll_once(&mut waiting)).is_none(), "injections are no requests");

        let mut commands = Vec::new();
        assert!(channel.take(&mut commands, 1));
        assert_eq!(channel.inject(packet()), Ok(()));
        channel.shut();
        assert_eq!(channel.inject(packet()), Err(InjectError::Closed));
    }

    #[test]
    fn shut_channel_fails_waiting_and_further_requests() {
        let channel = channel(8);
        let mut waiting = Box::pin(channel.request(Request::DumpWorker));
        assert!(block_on(poll_once(&mut waiting)).is_none());
        channel.shut();
        assert!(matches!(block_on(waiting), Err(RequestError::ChannelClosed)));
        assert!(matches!(block_on(channel.request(Request::DumpWorker)), Err(RequestError::ChannelClosed)));
    }

    #[test]
    fn abandoned_creation_is_closed() {
        let channel = channel(8);
        drop(CloseOnDrop::new(&channel, Request::CloseRouter("left".into())));
        CloseOnDrop::new(&channel, Request::CloseRouter("kept".into())).disarm();
        let mut commands = Vec::new();
        channel.take(&mut commands, 8);
        let [Command::Request(Request::CloseRouter(id), None)] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!(id.as_str(), "left");
    }
}
