//! The sending side of a peer's connection, for everyone who has something to tell the peer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};

use super::message::{self, Refusal, Response};

/// A peer's connection, as the rest of the server sees it. Clones are the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// For log lines: room and peer.
    name: String,
    outgoing: mpsc::Sender<String>,
    pending: Mutex<HashMap<u32, oneshot::Sender<Result<Value, Refusal>>>>,
    next_id: AtomicU32,
    request_timeout: Duration,
    close: watch::Sender<Option<Close>>,
}

/// Why a connection ends: code and reason of the WebSocket's close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

/// What became of a request to a client other than success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFailure {
    #[error("the client refused: {0}")]
    Refused(Refusal),
    #[error("the client did not answer in time")]
    TimedOut,
    #[error("the connection is closed")]
    Closed,
}

impl Close {
    /// Another connection took the peer's place. protoo-client does not reconnect after this code alone.
    pub(crate) const REPLACED: Self = Self { code: 4000, reason: "another connection with this peerId" };
    /// ICE or DTLS of one of the peer's transports ended.
    pub(crate) const TRANSPORT_LOST: Self = Self { code: 4001, reason: "media transport lost" };
    pub(crate) const SHUTDOWN: Self = Self { code: 1001, reason: "server is shutting down" };
    pub(crate) const PING_TIMEOUT: Self = Self { code: 1001, reason: "no sign of life" };
    pub(crate) const LEFT: Self = Self { code: 1000, reason: "" };
    pub(crate) const NOT_JOINED: Self = Self { code: 1008, reason: "did not join in time" };
    pub(crate) const TOO_SLOW: Self = Self { code: 1008, reason: "too slow to take what is sent" };
    pub(crate) const TOO_BIG: Self = Self { code: 1009, reason: "message too big" };
    pub(crate) const WORKER_DIED: Self = Self { code: 1011, reason: "media worker died" };
    pub(crate) const NO_ROOM: Self = Self { code: 1011, reason: "room can't be made" };
    pub(crate) const ROOM_FULL: Self = Self { code: 1013, reason: "room is full" };
    pub(crate) const TOO_MANY_ROOMS: Self = Self { code: 1013, reason: "too many rooms" };
}

impl Link {
    /// Makes a link, and the queue of texts that its driver sends.
    pub(crate) fn new(
        name: String,
        queue: usize,
        request_timeout: Duration,
    ) -> (Self, mpsc::Receiver<String>) {
        let (outgoing, queue) = mpsc::channel(queue);
        let inner = Inner {
            name,
            outgoing,
            pending: Mutex::default(),
            next_id: AtomicU32::new(rand::random()),
            request_timeout,
            close: watch::Sender::new(None),
        };
        (Self { inner: Arc::new(inner) }, queue)
    }

    /// Room and peer, for log lines.
    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    /// Sends a notification. A closed connection ignores it; one whose queue is full is closed.
    pub(crate) fn notify(&self, method: &str, data: &impl Serialize) {
        self.send(message::notification(method, data));
    }

    /// Sends a request and waits for the client's answer.
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

    /// Ends the connection; the first reason counts.
    pub(crate) fn close(&self, why: Close) {
        self.inner.close.send_if_modified(|close| {
            let first = close.is_none();
            close.get_or_insert(why);
            first
        });
    }

    /// Waits until somebody closes the connection.
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

    /// Takes a client's answer to a request.
    pub(super) fn handle_response(&self, response: Response) {
        match self.pending().remove(&response.id) {
            // The asker may have gone away meanwhile.
            Some(answered) => drop(answered.send(response.result)),
            None => warn!(peer = self.name(), id = response.id, "response to no request is ignored"),
        }
    }

    fn send(&self, text: Result<String, serde_json::Error>) {
        let text = match text {
            Ok(text) => text,
            Err(error) => return error!(peer = self.name(), %error, "a message can't be written as JSON"),
        };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.inner.outgoing.try_send(text) {
            self.close(Close::TOO_SLOW);
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Result<Value, Refusal>>>> {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a request out of the pending ones when nobody waits for it any more.
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

    use super::*;

    fn link(queue: usize) -> (Link, mpsc::Receiver<String>) {
        Link::new("room/peer".into(), queue, Duration::from_secs(20))
    }

    #[tokio::test]
    async fn a_full_queue_closes_the_connection() {
        let (link, _queue) = link(2);
        for _ in 0..2 {
            link.notify("x", &json!({}));
        }
        assert_eq!(*link.inner.close.borrow(), None);
        link.notify("x", &json!({}));
        assert_eq!(link.closed().await, Close::TOO_SLOW);
    }

    #[tokio::test]
    async fn the_first_reason_for_closing_counts() {
        let (link, _queue) = link(2);
        link.close(Close::REPLACED);
        link.close(Close::SHUTDOWN);
        assert_eq!(link.closed().await, Close::REPLACED);
    }

    #[tokio::test]
    async fn a_request_gets_the_answer_with_its_id() {
        let (link, mut queue) = link(2);
        let asking = tokio::spawn({
            let link = link.clone();
            async move { link.request("newConsumer", &json!({})).await }
        });
        let text: Value = serde_json::from_str(&queue.recv().await.unwrap()).unwrap();
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
