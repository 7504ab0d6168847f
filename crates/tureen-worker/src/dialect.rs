//! Interface of the channel's dialects: messages, independent of their encoding.

use tureen_engine::api::{Injection, Notification, Request, RequestError, Response};
use tureen_net::ResourceUsage;

/// A codec between frames of the channel and the requests, responses and notifications of the engine. It has no
/// behaviour.
///
/// Messages are appended to `out` with their framing.
pub trait Dialect {
    /// Decodes one frame, without its framing. `None` if the message continues in the next frame.
    ///
    /// # Errors
    /// The error response, or a line for the log if the frame is not a request with an id.
    fn decode(&mut self, kind: ChannelKind, frame: &[u8]) -> Result<Option<Incoming>, Refusal>;

    /// Writes the response to request `id`.
    fn write_response(&mut self, id: u64, result: Result<Reply, RequestError>, out: &mut Out<'_>);

    /// Writes an event. Writes nothing for an event that the library does not know.
    fn write_notification(&mut self, notification: Notification, out: &mut Out<'_>);

    /// Writes the event that the worker is ready.
    fn write_running(&mut self, out: &mut Out<'_>);

    /// Writes a log line. Its first letter is its level: `D`, `W` or `E`.
    fn write_log(&mut self, line: String, out: &mut Out<'_>);
}

/// Kind of a channel between parent and worker. Each channel is a pair of file descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// The channel.
    Main,
    /// The payload channel of mediasoup 3.6 to 3.12: packets and messages of the application.
    Payload,
}

/// Buffers to write messages to.
#[derive(Debug)]
pub struct Out<'a> {
    /// The channel.
    pub main: &'a mut Vec<u8>,
    /// The payload channel, if there is one.
    pub payload: Option<&'a mut Vec<u8>>,
}

/// Message of the parent.
#[derive(Debug)]
pub enum Incoming {
    /// A request.
    Request {
        /// Identifier of the request. The dialect assigns it, because both channels may count from 1.
        id: u64,
        /// Content of the request.
        call: Call,
    },
    /// RTP, RTCP or a data message of the application.
    Injection(Injection),
    /// Command to end the process.
    Close,
}

/// Content of a request, by the part that serves it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "almost all are requests to the engine")]
pub enum Call {
    /// Request to the engine.
    Engine(Request),
    /// Request for the resource usage of the process.
    ResourceUsage,
    /// Change of the log settings of the process.
    UpdateSettings(LogSettings),
}

/// New log settings. `None` changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `debug`, `warn`, `error` or `none`.
    pub level: Option<String>,
    /// Tags. Unknown ones are ignored.
    pub tags: Option<Vec<String>>,
}

/// Response to a [`Call`].
#[derive(Debug)]
pub enum Reply {
    /// Response of the engine.
    Engine(Response),
    /// Resource usage of the process.
    ResourceUsage(ResourceUsage),
}

/// Error of decoding a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The frame is a request with an id.
    Request {
        /// Identifier of the request.
        id: u64,
        /// Error response.
        error: RequestError,
    },
    /// The frame is anything else. The text goes to the log.
    Message(String),
}
