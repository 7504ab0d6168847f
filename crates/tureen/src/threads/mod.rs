//! The two threads of a Worker, and the queues between them and the handles.
//!
//! ```text
//! handles ── Command ──► Channel (bounded) ──► worker thread: Net + engine ──► sockets
//!    ▲                                            │        │
//!    └────────────── response (oneshot) ──────────┘        │ notifications
//! callbacks ◄── dispatcher thread ◄── Dispatcher queue ◄───┘
//! ```
//!
//! The worker thread never runs code of the application, never waits for it, and shares only these queues with it. It
//! ends when the last handle is dropped, or when it panics. Then every request fails, and the dispatcher thread
//! reports the end to the Worker's handle as its last event.

mod channel;
mod dispatcher;
pub(crate) mod log;
mod media;

pub(crate) use channel::{Channel, CloseOnDrop, InjectError};
pub(crate) use dispatcher::{Dispatcher, HasEvents, HeldEvents, Sink};
pub(crate) use media::{Settings, start};

/// Bounds of the queues between handles, worker thread and dispatcher thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Requests that may wait for the worker thread. Further requests fail at once; requests that close an object are
    /// always accepted. Default 4096.
    pub requests: usize,
    /// Bytes of packets and messages, sent by the application on DirectTransports, that may wait for the worker
    /// thread. Further ones are dropped and `send` returns an error. Default 16 MiB.
    pub injected_bytes: usize,
    /// Requests, packets and messages of the application that the worker thread serves before it returns to its
    /// sockets. A higher value finishes bursts of requests sooner and delays media, because creating a transport
    /// takes about 100 µs. Default 32.
    pub requests_per_turn: usize,
    /// Batches of datagrams that the worker thread receives before it serves requests and waits again. A batch holds
    /// up to [`NetConfig::receive_batch`](tureen_net::NetConfig::receive_batch) kernel messages. Default 16.
    pub batches_per_turn: usize,
    /// Score, volume and trace events, and packets and messages for the application, that may wait for the
    /// application's callbacks. When callbacks are too slow, the oldest are dropped and counted; events that change
    /// the state of an object are never dropped. Default 4096.
    pub events: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            requests: 4096,
            injected_bytes: 16 << 20,
            requests_per_turn: 32,
            batches_per_turn: 16,
            events: 4096,
        }
    }
}
