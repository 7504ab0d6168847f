//! What drives an engine: one OS thread for each Worker, and what connects it to the handles.
//!
//! ```text
//! handles ── Command ──► Channel (bounded) ──► worker thread: Net + engine ──► sockets
//!    ▲                                            │        │
//!    └────────────── response (oneshot) ──────────┘        │ notifications
//! callbacks ◄── dispatcher thread ◄── Dispatcher queue ◄───┘
//! ```
//!
//! The worker thread never runs code of the application, never waits for it, and shares nothing with it but these
//! queues. It ends when the last handle is dropped, or when it panics; then every request fails, and the dispatcher
//! thread, last of all, tells the Worker's handle.

mod channel;
mod dispatcher;
pub(crate) mod log;
mod thread;

pub(crate) use channel::{Channel, CloseOnDrop, InjectError};
pub(crate) use dispatcher::{Dispatcher, HeldEvents, Sink, Source};
pub(crate) use thread::{Settings, start};

/// Bounds of the queues between handles, worker thread and dispatcher thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Requests that may wait for the worker thread. Further ones fail at once. Closing an object always gets through.
    pub requests: usize,
    /// Bytes of packets and messages that the application has sent on DirectTransports and that wait for the worker
    /// thread. Further ones are dropped.
    pub injected_bytes: usize,
    /// Requests, and packets and messages of the application, that are served before the thread looks after its sockets again. More makes bursts of requests finish
    /// sooner and media wait longer: creating a transport takes some 100 µs.
    pub requests_per_turn: usize,
    /// Batches of datagrams that are taken from sockets before requests and the next wait. A batch holds up to
    /// [`NetConfig::receive_batch`](tureen_net::NetConfig::receive_batch) kernel messages.
    pub batches_per_turn: usize,
    /// Score, volume and trace events that may wait for the application's callbacks. The oldest are dropped and counted when
    /// callbacks can't keep up. Events that change the state of an object are never dropped.
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
