//! One side of protoo: requests and notifications in both directions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::connection;
use super::message::{self, Refusal};
use super::options::{ConnectError, PeerOptions, Target};

/// A connection to a protoo server. Cheap to clone; it is closed when the last clone is dropped.
#[derive(Clone)]
pub struct Peer(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// Its end ends the connection.
    closing: watch::Sender<bool>,
}

/// What happens to a [`Peer`], in order. The events must be read as long as the peer is used.
pub struct PeerEvents {
    events: mpsc::Receiver<PeerEvent>,
    shared: Arc<Shared>,
}

/// What happens to a [`Peer`].
#[derive(Debug)]
pub enum PeerEvent {
    /// The server asks for something.
    Request(IncomingRequest),
    /// The server tells something.
    Notification {
        /// What it is about.
        method: String,
        /// Its data; `Null` if there is none.
        data: Value,
    },
    /// The connection is lost, and is being made again. All requests have failed.
    Disconnected(CloseReason),
    /// An attempt to connect again failed; the text says why.
    AttemptFailed(String),
    /// The connection is there again. To the server it is a new one.
    Reconnected,
    /// The end: nothing follows.
    Closed(CloseReason),
}

/// A request of the server. One that is dropped is rejected with code 500.
#[derive(Debug)]
pub struct IncomingRequest {
    /// What the server asks for.
    pub method: String,
    /// Its data; `Null` if there is none.
    pub data: Value,
    /// `None` once it is answered.
    responder: Option<Responder>,
}

/// How to answer a request of the server.
#[derive(Debug)]
struct Responder {
    id: u64,
    outgoing: mpsc::Sender<String>,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// By [`Peer::close`], or because the last [`Peer`] was dropped.
    Local,
    /// The server closed it.
    Server {
        /// Close code of the WebSocket. 4000: another connection has this peer's id.
        code: u16,
        /// What the server says.
        reason: String,
    },
    /// It broke; the text says how.
    Broken(String),
    /// Nothing came for so long.
    Silent(Duration),
    /// More events waited for the application than [`PeerOptions::max_events`].
    Overrun(usize),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The server refused it.
    #[error("the server refuses {method}: {refusal}")]
    Refused {
        /// Method of the request.
        method: String,
        /// What the server says.
        refusal: Refusal,
    },
    /// There was no answer in time.
    #[error("no answer to {method} within {after:?}")]
    Timeout {
        /// Method of the request.
        method: String,
        /// [`PeerOptions::request_timeout`].
        after: Duration,
    },
    /// The connection ended before the answer came.
    #[error("the connection was lost during {method}: {reason}")]
    Lost {
        /// Method of the request.
        method: String,
        /// Why it ended.
        reason: CloseReason,
    },
    /// There is no connection.
    #[error("there is no connection to send {0} by")]
    NotConnected(String),
    /// Too many requests wait for their answers.
    #[error("{0} requests wait for their answers already")]
    TooManyRequests(usize),
    /// Too many messages wait to be sent, because the server does not read.
    #[error("{0} messages wait to be sent already")]
    Backlog(usize),
}

/// Counters of a [`Peer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Messages that were no protoo messages.
    pub ignored: u64,
    /// Answers to requests that nobody waits for.
    pub late_answers: u64,
}

/// Messages that may wait to be sent.
pub(super) const MAX_OUTGOING: usize = 1024;

/// What the handles and the task of a peer share.
pub(super) struct Shared {
    pub(super) options: PeerOptions,
    pub(super) target: Mutex<Target>,
    /// To the present connection.
    pub(super) outgoing: Mutex<Option<mpsc::Sender<String>>>,
    /// Who waits for which answer.
    requests: Mutex<HashMap<u64, oneshot::Sender<Result<Value, Failure>>>>,
    next_id: AtomicU64,
    pub(super) ignored: AtomicU64,
    late_answers: AtomicU64,
}

/// Why there is no good answer to a request.
enum Failure {
    Refused(Refusal),
    Lost(CloseReason),
}

impl Peer {
    /// Connects to a URL like `wss://host:4443/?roomId=r&peerId=p`. With [`PeerOptions::reconnect`] as often as that says.
    ///
    /// Must be called in a tokio runtime, which the connection then runs on.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(url: &str, options: PeerOptions) -> Result<(Self, PeerEvents), ConnectError> {
        let target = Target::parse(url)?;
        let (sender, events) = mpsc::channel(options.max_events.max(1));
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            outgoing: Mutex::new(None),
            requests: Mutex::new(HashMap::new()),
            next_id: AtomicU64::new(1),
            ignored: AtomicU64::new(0),
            late_answers: AtomicU64::new(0),
            options,
        });
        let socket = connection::connect(&shared, |_| ()).await?;
        let (closing, closed) = watch::channel(false);
        let outgoing = shared.open();
        tokio::spawn(connection::run(shared.clone(), socket, outgoing, sender, closed));
        let events = PeerEvents { events, shared: shared.clone() };
        Ok((Self(Arc::new(Handle { shared, closing })), events))
    }

    /// Sends a request and waits for the data of its answer. Dropping the future gives the answer up.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(&self, method: &str, data: Value) -> Result<Value, RequestError> {
        let shared = &self.0.shared;
        let waiting = shared.expect_answer()?;
        shared.send(method, message::request(waiting.id, method, &data))?;
        let id = waiting.id;
        let after = shared.options.request_timeout;
        let answered = tokio::time::timeout(after, waiting).await;
        let method = method.to_owned();
        match answered {
            Ok(Ok(data)) => Ok(data),
            Ok(Err(Failure::Refused(refusal))) => Err(RequestError::Refused { method, refusal }),
            Ok(Err(Failure::Lost(reason))) => Err(RequestError::Lost { method, reason }),
            Err(_) => {
                tracing::debug!(id, method, "a request has no answer");
                Err(RequestError::Timeout { method, after })
            }
        }
    }

    /// Tells the server something.
    ///
    /// # Errors
    /// [`RequestError::NotConnected`] or [`RequestError::Backlog`].
    pub fn notify(&self, method: &str, data: &Value) -> Result<(), RequestError> {
        self.0.shared.send(method, message::notification(method, data))
    }

    /// Takes another URL for the next connection after a loss.
    ///
    /// # Errors
    /// [`ConnectError::Open`] for a URL that can't be used.
    pub fn set_url(&self, url: &str) -> Result<(), ConnectError> {
        self.0.shared.set_url(url)
    }

    /// Closes the connection. [`PeerEvent::Closed`] follows when the server knows.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Counters.
    pub fn stats(&self) -> PeerStats {
        let Shared { ignored, late_answers, .. } = &*self.0.shared;
        PeerStats {
            ignored: ignored.load(Ordering::Relaxed),
            late_answers: late_answers.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl PeerEvents {
    /// The next event; `None` after [`PeerEvent::Closed`].
    pub async fn next(&mut self) -> Option<PeerEvent> {
        self.events.recv().await
    }

    pub(super) fn set_url(&self, url: &str) -> Result<(), ConnectError> {
        self.shared.set_url(url)
    }
}

impl fmt::Debug for PeerEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerEvents").field("waiting", &self.events.len()).finish_non_exhaustive()
    }
}

impl IncomingRequest {
    pub(super) fn new(id: u64, method: String, data: Value, outgoing: mpsc::Sender<String>) -> Self {
        Self { method, data, responder: Some(Responder { id, outgoing }) }
    }

    /// Answers with `data`.
    pub fn accept(mut self, data: Value) {
        self.answer(Ok(data));
    }

    /// Refuses.
    pub fn reject(mut self, refusal: Refusal) {
        self.answer(Err(refusal));
    }

    fn answer(&mut self, result: Result<Value, Refusal>) {
        if let Some(Responder { id, outgoing }) = self.responder.take()
            && outgoing.try_send(message::response(id, &result)).is_err()
        {
            // The connection is gone, or about to: it ends when the server does not read.
            tracing::debug!(id, method = self.method, "an answer can't be sent");
        }
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        self.answer(Err(Refusal::new(500, "the client did not answer")));
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by this client"),
            Self::Server { code, reason } if reason.is_empty() => write!(f, "closed by the server ({code})"),
            Self::Server { code, reason } => write!(f, "closed by the server: {reason} ({code})"),
            Self::Broken(why) => write!(f, "broken: {why}"),
            Self::Silent(time) => write!(f, "nothing came from the server for {time:?}"),
            Self::Overrun(events) => write!(f, "the application left {events} events unread"),
        }
    }
}

impl Shared {
    fn set_url(&self, url: &str) -> Result<(), ConnectError> {
        *self.target.lock() = Target::parse(url)?;
        Ok(())
    }

    /// Makes the queue of a new connection.
    pub(super) fn open(&self) -> mpsc::Receiver<String> {
        let (sender, receiver) = mpsc::channel(MAX_OUTGOING);
        *self.outgoing.lock() = Some(sender);
        receiver
    }

    /// Ends the present connection for all that waits for something of it.
    pub(super) fn lose(&self, reason: &CloseReason) {
        *self.outgoing.lock() = None;
        let requests = std::mem::take(&mut *self.requests.lock());
        for waiting in requests.into_values() {
            // Who no longer waits has dropped the other end.
            let _ = waiting.send(Err(Failure::Lost(reason.clone())));
        }
    }

    /// Hands an answer to who waits for it.
    pub(super) fn answered(&self, id: u64, result: Result<Value, Refusal>) {
        let waiting = self.requests.lock().remove(&id);
        match waiting {
            Some(waiting) => drop(waiting.send(result.map_err(Failure::Refused))),
            None => drop(self.late_answers.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn expect_answer(&self) -> Result<Waiting<'_>, RequestError> {
        let mut requests = self.requests.lock();
        if requests.len() >= self.options.max_requests {
            return Err(RequestError::TooManyRequests(requests.len()));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        requests.insert(id, sender);
        Ok(Waiting { shared: self, id, answer })
    }

    fn send(&self, method: &str, text: String) -> Result<(), RequestError> {
        let outgoing = self.outgoing.lock().clone();
        let outgoing = outgoing.ok_or_else(|| RequestError::NotConnected(method.to_owned()))?;
        outgoing.try_send(text).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Backlog(MAX_OUTGOING),
            mpsc::error::TrySendError::Closed(_) => RequestError::NotConnected(method.to_owned()),
        })
    }
}

/// A request without an answer, which leaves the table when it is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
    answer: oneshot::Receiver<Result<Value, Failure>>,
}

impl Future for Waiting<'_> {
    type Output = Result<Value, Failure>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.answer).poll(context).map(|answer| {
            // Senders leave the table by sending only, and with the peer itself.
            answer.unwrap_or(Err(Failure::Lost(CloseReason::Local)))
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.requests.lock().remove(&self.id);
    }
}
