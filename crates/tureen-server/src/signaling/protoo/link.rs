//! Sending side of a peer's connection.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{debug, error};

use super::message::{self, Refusal, Response};
use crate::tally::{Denied, Tally};

/// A peer's connection from the view of rooms. Clones refer to the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Room and peer, for log lines.
    name: String,
    outgoing: mpsc::Sender<Utf8Bytes>,
    /// Bytes of the texts in `outgoing`. A text that several links send counts for each of them.
    queued_bytes: AtomicUsize,
    max_queued_bytes: usize,
    /// Notified when half of the queue's limit or less is left.
    drained: Notify,
    /// Notified when an extra ping is requested.
    asked: Notify,
    /// Changes with each frame from the client.
    heard: watch::Sender<()>,
    tally: Arc<Tally>,
    pending: Mutex<HashMap<u32, oneshot::Sender<Result<Value, Refusal>>>>,
    next_id: AtomicU32,
    request_timeout: Duration,
    close: watch::Sender<Option<Close>>,
}

/// Limits of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkOptions {
    pub(crate) max_queued_messages: usize,
    pub(crate) max_queued_bytes: usize,
    /// Time in which a client must respond to a request.
    pub(crate) request_timeout: Duration,
}

/// Texts to be sent over a link.
#[derive(Debug)]
pub(crate) struct Queue {
    texts: mpsc::Receiver<Utf8Bytes>,
    link: Link,
}

/// End of a connection: code and reason of the WebSocket's close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

/// Failure of a request to a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFailure {
    #[error("the client refused: {0}")]
    Refused(Refusal),
    #[error("the client did not answer in time")]
    TimedOut,
    #[error("the connection is closed")]
    Closed,
}

impl Link {
    /// Creates a link, and the queue of texts that its driver sends.
    pub(crate) fn new(name: String, options: LinkOptions, tally: Arc<Tally>) -> (Self, Queue) {
        let (outgoing, texts) = mpsc::channel(options.max_queued_messages);
        let inner = Inner {
            name,
            outgoing,
            queued_bytes: AtomicUsize::new(0),
            max_queued_bytes: options.max_queued_bytes,
            drained: Notify::new(),
            asked: Notify::new(),
            heard: watch::Sender::new(()),
            tally,
            pending: Mutex::default(),
            next_id: AtomicU32::new(rand::random()),
            request_timeout: options.request_timeout,
            close: watch::Sender::new(None),
        };
        let link = Self { inner: Arc::new(inner) };
        (link.clone(), Queue { texts, link })
    }

    /// Room and peer, for log lines.
    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    /// Counters of refused requests.
    pub(crate) fn tally(&self) -> &Tally {
        &self.inner.tally
    }

    /// Sends a notification to this client only. Ignored by a closed connection; a connection whose queue is full is
    /// closed.
    pub(super) fn send_notification(&self, method: &str, data: &impl Serialize) {
        self.send(message::notification(method, data));
    }

    /// Pings the client. Returns true if a frame arrives within this time. Earlier frames do not count, because a
    /// network can fail between two messages.
    pub(crate) async fn is_alive(&self, within: Duration) -> bool {
        let mut heard = self.inner.heard.subscribe();
        self.inner.asked.notify_one();
        tokio::select! {
            heard = tokio::time::timeout(within, heard.changed()) => matches!(heard, Ok(Ok(()))),
            _ = self.closed() => false,
        }
    }

    /// Records the arrival of a frame from the client.
    pub(super) fn heard(&self) {
        self.inner.heard.send_replace(());
    }

    /// Waits until an extra ping is requested.
    pub(super) async fn asked(&self) {
        self.inner.asked.notified().await;
    }

    /// Sends a notification whose text is shared by all receivers.
    pub(crate) fn tell(&self, text: &Utf8Bytes) {
        self.enqueue(text.clone());
    }

    /// Waits until at least half of the queue is free, or the connection is closed; for callers that may send many
    /// messages.
    pub(crate) async fn has_room(&self) {
        let has_room = async {
            loop {
                let drained = self.inner.drained.notified();
                let queued = self.inner.queued_bytes.load(Ordering::Relaxed);
                let free = self.inner.outgoing.capacity();
                if queued <= self.inner.max_queued_bytes / 2 && free >= self.inner.outgoing.max_capacity() / 2
                {
                    return;
                }
                drained.await;
            }
        };
        tokio::select! {
            () = has_room => {}
            _ = self.closed() => {}
        }
    }

    /// Sends a request and waits for the client's response.
    pub(crate) async fn request(&self, method: &str, data: &impl Serialize) -> Result<Value, RequestFailure> {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        let _forget = {
            self.pending().insert(id, answered);
            ForgetOnDrop { link: self, id }
        };
        self.send(message::request(id, method, data));

        let closed = self.closed();
        tokio::select! {
            answer = tokio::time::timeout(self.inner.request_timeout, answer) => match answer {
                Ok(Ok(Ok(data))) => Ok(data),
                Ok(Ok(Err(refusal))) => Err(RequestFailure::Refused(refusal)),
                Ok(Err(_dropped)) => Err(RequestFailure::Closed),
                Err(_elapsed) => Err(RequestFailure::TimedOut),
            },
            _ = closed => Err(RequestFailure::Closed),
        }
    }

    /// Ends the connection with the first given reason. Returns false if it was closed already.
    pub(crate) fn close(&self, why: Close) -> bool {
        self.inner.close.send_if_modified(|close| {
            let first = close.is_none();
            close.get_or_insert(why);
            first
        })
    }

    /// Waits until the connection is closed and returns the reason.
    pub(crate) async fn closed(&self) -> Close {
        let mut close = self.inner.close.subscribe();
        match close.wait_for(Option::is_some).await {
            Ok(close) => close.clone().expect("waited for Some"),
            Err(_) => unreachable!("the sender lives in self"),
        }
    }

    /// Sends the response to a client's request.
    pub(super) fn respond(&self, id: u32, result: &Result<Value, Refusal>) {
        self.send(message::response(id, result));
    }

    /// Handles a client's response to a request.
    pub(super) fn handle_response(&self, response: Response) {
        match self.pending().remove(&response.id) {
            // The requester may have ended in the meantime.
            Some(answered) => drop(answered.send(response.result)),
            // This is also the case for a response after the time-out.
            None => debug!(peer = self.name(), id = response.id, "response to no request is ignored"),
        }
    }

    fn send(&self, text: Result<String, serde_json::Error>) {
        match text {
            Ok(text) => self.enqueue(text.into()),
            Err(error) => error!(peer = self.name(), %error, "a message can't be written as JSON"),
        }
    }

    /// Adds a text to the queue. If the queue is full, the connection is closed.
    fn enqueue(&self, text: Utf8Bytes) {
        let Inner { outgoing, queued_bytes, max_queued_bytes, .. } = &*self.inner;
        let bytes = text.len();
        let fits =
            queued_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= *max_queued_bytes;
        let sent = if fits { outgoing.try_send(text) } else { Err(mpsc::error::TrySendError::Full(text)) };
        if let Err(error) = sent {
            queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            if matches!(error, mpsc::error::TrySendError::Full(_)) && self.close(Close::TOO_SLOW) {
                self.tally().count(Denied::SlowReader);
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Result<Value, Refusal>>>> {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Waits for the next text to send.
    pub(crate) async fn next(&mut self) -> Option<Utf8Bytes> {
        let text = self.texts.recv().await?;
        self.took(text.len());
        Some(text)
    }

    fn took(&self, bytes: usize) {
        let Inner { queued_bytes, max_queued_bytes, drained, outgoing, .. } = &*self.link.inner;
        let queued = queued_bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        if queued <= max_queued_bytes / 2 && outgoing.capacity() >= outgoing.max_capacity() / 2 {
            drained.notify_waiters();
        }
    }
}

/// Removes a request from the pending ones when its future is dropped.
struct ForgetOnDrop<'a> {
    link: &'a Link,
    id: u32,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.link.pending().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;

    fn link(queue: usize) -> (Link, Queue) {
        let options = LinkOptions {
            max_queued_messages: queue,
            max_queued_bytes: 1000,
            request_timeout: Duration::from_secs(20),
        };
        Link::new("room/peer".into(), options, Tally::for_test())
    }

    #[tokio::test]
    async fn a_full_queue_closes_the_connection() {
        let (link, _queue) = link(2);
        for _ in 0..2 {
            link.send_notification("x", &json!({}));
        }
        assert_eq!(*link.inner.close.borrow(), None);
        link.send_notification("x", &json!({}));
        assert_eq!(link.closed().await, Close::TOO_SLOW);
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_bytes_and_sent_messages_do_not_count() {
        let (link, mut queue) = link(100);
        let data = "x".repeat(300);
        for _ in 0..10 {
            link.send_notification("x", &data);
            link.send_notification("x", &data);
            queue.next().await.unwrap();
            queue.next().await.unwrap();
        }
        assert_eq!(*link.inner.close.borrow(), None);
        for _ in 0..3 {
            link.send_notification("x", &data);
        }
        assert_eq!(link.closed().await, Close::TOO_SLOW);
        assert_eq!(link.tally().counted(Denied::SlowReader), 1);
        link.send_notification("x", &data);
        assert_eq!(link.tally().counted(Denied::SlowReader), 1, "a connection is closed once");
    }

    #[tokio::test]
    async fn many_messages_at_once_wait_for_room_in_the_queue() {
        let (link, mut queue) = link(100);
        link.send_notification("x", &"x".repeat(600));
        let waiting = tokio::spawn({
            let link = link.clone();
            async move { link.has_room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        queue.next().await.unwrap();
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_pinged_and_has_time_to_answer() {
        let (link, _queue) = link(2);
        link.heard();
        let within = Duration::from_secs(3);
        let (alive, ()) = tokio::join!(link.is_alive(within), async {
            link.asked().await;
            link.heard();
        });
        assert!(alive);
        let start = Instant::now();
        assert!(!link.is_alive(within).await, "what was heard before is no sign of life");
        assert_eq!(start.elapsed(), within);
        link.close(Close::LEFT);
        assert!(!link.is_alive(within).await);
    }

    #[tokio::test]
    async fn the_first_close_reason_counts() {
        let (link, _queue) = link(2);
        link.close(Close::TOO_BIG);
        link.close(Close::TOO_SLOW);
        assert_eq!(link.closed().await, Close::TOO_BIG);
    }

    #[tokio::test]
    async fn a_request_gets_the_answer_with_its_id() {
        let (link, mut queue) = link(2);
        let asking = tokio::spawn({
            let link = link.clone();
            async move { link.request("newConsumer", &json!({})).await }
        });
        let text: Value = serde_json::from_str(&queue.next().await.unwrap()).unwrap();
        let id = u32::try_from(text["id"].as_u64().unwrap()).unwrap();
        link.handle_response(Response { id: id.wrapping_add(1), result: Ok(json!("other")) });
        link.handle_response(Response { id, result: Ok(json!("mine")) });
        assert_eq!(asking.await.unwrap().unwrap(), json!("mine"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_answer_times_out_and_is_forgotten() {
        let (link, _queue) = link(2);
        let failure = link.request("newConsumer", &json!({})).await.unwrap_err();
        assert!(matches!(failure, RequestFailure::TimedOut), "{failure}");
        assert!(link.pending().is_empty());
    }
}
