//! The way from handles to the worker thread: a bounded queue of commands.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;
use tureen_core::api::{self, Request, Response};
use tureen_net::{NetStats, Waker};

use crate::worker::RequestError;

/// Where a request's answer goes.
pub(super) type Reply = oneshot::Sender<Result<Response, api::RequestError>>;

/// What handles tell the worker thread.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "all but the last one are requests")]
pub(super) enum Command {
    /// Serve this. Without `Reply` nobody waits for the answer.
    Request(Request, Option<Reply>),
    /// Tell what the sockets have carried.
    NetStats(oneshot::Sender<NetStats>),
    /// End the thread. Nothing comes after it.
    Stop,
    /// Panic, as a defect of the engine would.
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
    waker: Waker,
}

#[derive(Debug)]
struct Inbox {
    commands: VecDeque<Command>,
    open: bool,
}

impl Channel {
    /// A channel in which at most `capacity` requests wait; `waker` is that of the worker thread.
    pub(super) fn new(capacity: usize, waker: Waker) -> Self {
        let inbox = Inbox { commands: VecDeque::new(), open: true };
        Self { shared: Arc::new(Shared { inbox: Mutex::new(inbox), capacity, waker }) }
    }

    /// Sends a request and waits for its answer. Dropping the future does not take the request back.
    ///
    /// # Errors
    /// `ChannelClosed` if the worker or the object is gone, `Response` with the worker's reason otherwise.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, RequestError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut inbox = self.shared.inbox.lock();
            if !inbox.open {
                return Err(RequestError::ChannelClosed);
            }
            if inbox.commands.len() >= self.shared.capacity {
                let reason = format!("the worker has {} requests waiting already", self.shared.capacity);
                return Err(RequestError::Response { reason });
            }
            inbox.commands.push_back(Command::Request(request, Some(reply)));
        }
        self.shared.waker.wake();
        match answer.await {
            Ok(Ok(response)) => Ok(response),
            // The object was closed while its handle is still there, as when its transport was.
            Ok(Err(api::RequestError::NotFound { .. })) | Err(oneshot::Canceled) => {
                Err(RequestError::ChannelClosed)
            }
            Ok(Err(error)) => Err(RequestError::Response { reason: error.to_string() }),
        }
    }

    /// What the worker's sockets have carried so far.
    ///
    /// # Errors
    /// `ChannelClosed` if the worker is gone.
    pub(crate) async fn net_stats(&self) -> Result<NetStats, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.post(Command::NetStats(reply));
        answer.await.map_err(|_| RequestError::ChannelClosed)
    }

    /// Sends a request that closes an object. It is not subject to the capacity: there are never more of these than
    /// there were objects.
    pub(crate) fn close(&self, request: Request) {
        self.post(Command::Request(request, None));
    }

    /// Ends the worker thread, after all that was sent before.
    pub(crate) fn stop(&self) {
        self.post(Command::Stop);
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

    /// Moves up to `limit` commands, the oldest first, to `commands`. Returns whether there are more.
    pub(super) fn take(&self, commands: &mut Vec<Command>, limit: usize) -> bool {
        let mut inbox = self.shared.inbox.lock();
        let count = limit.min(inbox.commands.len());
        commands.extend(inbox.commands.drain(..count));
        !inbox.commands.is_empty()
    }

    /// Refuses everything from now on and fails what waits.
    pub(super) fn shut(&self) {
        let commands = {
            let mut inbox = self.shared.inbox.lock();
            inbox.open = false;
            std::mem::take(&mut inbox.commands)
        };
        drop(commands); // Outside of the lock: it wakes those who wait.
    }
}

/// Closes an object that is being made if its maker stops halfway: when its future is dropped, or a later step fails.
#[derive(Debug)]
pub(crate) struct CloseOnDrop<'a> {
    channel: &'a Channel,
    close: Option<Request>,
}

impl<'a> CloseOnDrop<'a> {
    /// To be made before the request that makes the object is sent.
    pub(crate) fn new(channel: &'a Channel, close: Request) -> Self {
        Self { channel, close: Some(close) }
    }

    /// The object has a handle now, which closes it, or was not made at all.
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
        Channel::new(capacity, Net::new(NetConfig::default()).unwrap().waker())
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
    }

    #[test]
    fn shut_channel_fails_what_waits_and_what_comes() {
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
