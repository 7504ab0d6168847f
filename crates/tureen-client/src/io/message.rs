//! Messages of data channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

/// A message of a data channel; text and bytes may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text. What is not UTF-8 in a received one is replaced by U+FFFD, as browsers do.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

// SCTP payload protocol identifiers (RFC 8831 §8).
const TEXT: u32 = 51;
const BINARY: u32 = 53;
const EMPTY_TEXT: u32 = 56;
const EMPTY_BINARY: u32 = 57;

impl Message {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// True for empty text and empty bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `None` for a payload protocol identifier that data channels don't use.
    pub(super) fn from_sctp(ppid: u32, payload: Bytes) -> Option<Self> {
        Some(match ppid {
            TEXT => Self::Text(String::from_utf8_lossy(&payload).into_owned()),
            BINARY => Self::Binary(payload),
            EMPTY_TEXT => Self::Text(String::new()),
            EMPTY_BINARY => Self::Binary(Bytes::new()),
            _ => return None,
        })
    }

    pub(super) fn into_sctp(self) -> (u32, Bytes) {
        // RFC 8831 §6.6: SCTP can't send an empty message, so that it is one zero byte under an identifier of its own.
        const ZERO: Bytes = Bytes::from_static(&[0]);
        match self {
            Self::Text(text) if text.is_empty() => (EMPTY_TEXT, ZERO),
            Self::Binary(bytes) if bytes.is_empty() => (EMPTY_BINARY, ZERO),
            Self::Text(text) => (TEXT, text.into()),
            Self::Binary(bytes) => (BINARY, bytes),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// Takes the messages of a data consumer on the I/O thread, without a queue. It must neither block nor take long.
/// Closures are sinks too.
pub trait MessageSink: Send + 'static {
    /// A message has come.
    fn on_message(&mut self, message: Message);
}

impl<F: FnMut(Message) + Send + 'static> MessageSink for F {
    fn on_message(&mut self, message: Message) {
        self(message);
    }
}

/// Messages that wait for [`DataConsumer::next_message`](super::DataConsumer::next_message).
const MAX_MESSAGES: usize = 1024;
/// Bytes of these.
const MAX_BYTES: usize = 4 << 20;

/// The sink of a data consumer.
pub(super) enum DataSink {
    Queue(QueueSink),
    Application(Box<dyn MessageSink>),
    /// The application's sink has panicked.
    Broken,
}

/// Writing end of the queue.
pub(super) struct QueueSink {
    messages: mpsc::Sender<Message>,
    counters: Arc<QueueCounters>,
}

/// Reading end of the queue.
#[derive(Debug)]
pub(super) struct MessageQueue {
    messages: tokio::sync::Mutex<mpsc::Receiver<Message>>,
    counters: Arc<QueueCounters>,
}

#[derive(Debug, Default)]
struct QueueCounters {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// Both ends of a queue.
pub(super) fn message_queue() -> (QueueSink, MessageQueue) {
    let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
    let counters = Arc::new(QueueCounters::default());
    let sink = QueueSink { messages: sender, counters: Arc::clone(&counters) };
    (sink, MessageQueue { messages: tokio::sync::Mutex::new(receiver), counters })
}

impl DataSink {
    pub(super) fn deliver(&mut self, message: Message) {
        match self {
            Self::Queue(queue) => queue.push(message),
            Self::Application(sink) => {
                if !super::peer::guarded("message sink", || sink.on_message(message)) {
                    *self = Self::Broken;
                }
            }
            Self::Broken => {}
        }
    }
}

impl QueueSink {
    fn push(&mut self, message: Message) {
        let len = message.len();
        let waiting = self.counters.bytes.load(Ordering::Relaxed);
        if waiting + len > MAX_BYTES {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.counters.bytes.fetch_add(len, Ordering::Relaxed);
        if self.messages.try_send(message).is_err() {
            self.counters.bytes.fetch_sub(len, Ordering::Relaxed);
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MessageQueue {
    /// The next message; `None` when no more can come.
    pub(super) async fn next(&self) -> Option<Message> {
        let message = self.messages.lock().await.recv().await?;
        self.counters.bytes.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// Messages that were dropped, because the queue was full.
    pub(super) fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_a_round_trip_also_when_they_are_empty() {
        for message in ["hello".into(), "".into(), Bytes::from_static(&[0, 1]).into(), Bytes::new().into()] {
            let message: Message = message;
            let (ppid, payload) = message.clone().into_sctp();
            assert!(!payload.is_empty());
            assert_eq!(Message::from_sctp(ppid, payload), Some(message));
        }
        assert_eq!(Message::from_sctp(50, Bytes::new()), None, "DCEP");
    }

    #[test]
    fn messages_that_nobody_reads_are_bounded_by_number_and_bytes() {
        let (mut sink, queue) = message_queue();
        for _ in 0..MAX_MESSAGES + 2 {
            sink.push("x".into());
        }
        assert_eq!(queue.dropped(), 2);
        let (mut sink, queue) = message_queue();
        for _ in 0..3 {
            sink.push(Bytes::from(vec![0; MAX_BYTES / 2]).into());
        }
        assert_eq!(queue.dropped(), 1);
    }
}
