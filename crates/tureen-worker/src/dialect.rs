//! What both dialects of the channel say, whatever it looks like on the wire.

use tureen_engine::api::{Injection, Notification, Request, RequestError, Response};
use tureen_net::ResourceUsage;

/// A codec between frames of the channel and the engine's words. It holds no behaviour.
///
/// What is written is appended to `out` with its framing.
pub trait Dialect {
    /// Reads one frame, without its framing. `None`: it says something together with the next one.
    ///
    /// # Errors
    /// What to answer, or to log where there is nothing to answer to.
    fn decode(&mut self, lane: Lane, frame: &[u8]) -> Result<Option<Incoming>, Refusal>;

    /// Writes the answer to request `id`.
    fn write_response(&mut self, id: u64, result: Result<Reply, RequestError>, out: &mut Out<'_>);

    /// Writes an event; nothing for one that the library has no word for.
    fn write_notification(&mut self, notification: Notification, out: &mut Out<'_>);

    /// Writes that the worker is ready.
    fn write_running(&mut self, out: &mut Out<'_>);

    /// Writes a line of the log. Its first letter is its level: `D`, `W` or `E`.
    fn write_log(&mut self, line: String, out: &mut Out<'_>);
}

/// One of the two ways between parent and worker, each a pair of file descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The channel.
    Main,
    /// The payload channel of mediasoup 3.6 to 3.12: packets and messages of the application.
    Payload,
}

/// Where to write to.
#[derive(Debug)]
pub struct Out<'a> {
    /// The channel.
    pub main: &'a mut Vec<u8>,
    /// The payload channel, if there is one.
    pub payload: Option<&'a mut Vec<u8>>,
}

/// What the parent says.
#[derive(Debug)]
pub enum Incoming {
    /// Something to be answered.
    Request {
        /// Pairs the answer with it; the dialect's own number, as both lanes may count from 1.
        id: u64,
        /// What is asked.
        call: Call,
    },
    /// Media or data of the application.
    Injection(Injection),
    /// End the process.
    Close,
}

/// Who serves a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "almost all are requests to the engine")]
pub enum Call {
    /// The engine.
    Engine(Request),
    /// The process: what it has used.
    ResourceUsage,
    /// The process: what it logs.
    UpdateSettings(LogSettings),
}

/// New settings of the log. What is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `debug`, `warn`, `error` or `none`.
    pub level: Option<String>,
    /// Topics; unknown ones mean nothing.
    pub tags: Option<Vec<String>>,
}

/// The answer to a [`Call`].
#[derive(Debug)]
pub enum Reply {
    /// The engine's.
    Engine(Response),
    /// What the process has used.
    ResourceUsage(ResourceUsage),
}

/// Why a frame was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A request that can be answered.
    Request {
        /// Its id.
        id: u64,
        /// The answer.
        error: RequestError,
    },
    /// Anything else: for the log.
    Message(String),
}
