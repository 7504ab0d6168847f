//! The FlatBuffers dialect of mediasoup 3.27.
//!
//! A frame is one `Message`. The layout is positional: numbers of enums, tags of unions and slots of fields follow
//! from the order in `schema/`, and differ between versions of the library. A received message is converted to the
//! owned form of the schema, which validates it, and then moved into the engine's request.

mod data;
mod media;
mod request;
mod response;
mod rtp;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::HashMap;

use planus::{Builder, ReadAsRoot};
use tureen_engine::api::{Notification, RequestError};

use self::schema::message::{Body, BodyRef, Message, MessageRef};
use self::schema::request::{Method, Request};
use crate::channel::Framing;
use crate::dialect::{ChannelKind, Dialect, Incoming, Out, Refusal, Reply};
use crate::parts::{Parse, invalid};

/// Messages, generated from `schema/`. Public for programs that play the parent: tests, benches, fuzz targets.
#[allow(unsafe_code, unreachable_pub, missing_docs, unused, clippy::all)]
pub mod schema {
    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}

/// Framing, and the maximum length of a frame.
pub const FRAMES: (Framing, usize) = (Framing::LengthPrefix, 8 << 20);

/// The codec. It keeps the method of each pending request, because some responses differ by that alone.
#[derive(Debug)]
pub struct FlatBuffers {
    builder: Builder,
    methods: HashMap<u64, Method>,
    pid: u32,
}

impl FlatBuffers {
    /// A codec for the process `pid`.
    pub fn new(pid: u32) -> Self {
        Self { builder: Builder::new(), methods: HashMap::new(), pid }
    }

    fn write(&mut self, body: Body, out: &mut Out<'_>) {
        self.builder.clear();
        let frame = self.builder.finish(Message { data: body }, None);
        Framing::LengthPrefix.write(frame, out.main);
    }
}

impl Dialect for FlatBuffers {
    fn decode(&mut self, _: ChannelKind, frame: &[u8]) -> Result<Option<Incoming>, Refusal> {
        let malformed = |error: planus::Error| Refusal::Message(format!("malformed message: {error}"));
        let message = MessageRef::read_as_root(frame).map_err(malformed)?;
        match message.data().map_err(malformed)? {
            BodyRef::Request(from) => {
                let id = from.id().map_err(malformed)?.into();
                let refuse = |error| Refusal::Request { id, error };
                let from = Request::try_from(from)
                    .map_err(|error| refuse(RequestError::Invalid(format!("malformed request: {error}"))))?;
                let method = from.method;
                let call = request::read_request(from).map_err(refuse)?;
                self.methods.insert(id, method);
                Ok(Some(Incoming::Request { id, call }))
            }
            BodyRef::Notification(from) => {
                request::read_notification(from.try_into().map_err(malformed)?).map(Some)
            }
            BodyRef::Response(_) | BodyRef::Log(_) => {
                Err(Refusal::Message("the parent sends what only a worker may send".to_owned()))
            }
        }
    }

    fn write_response(&mut self, id: u64, result: Result<Reply, RequestError>, out: &mut Out<'_>) {
        let method = self.methods.remove(&id);
        // Fits, because the id was a u32 on arrival.
        let id = id as u32;
        let response = match result {
            Ok(reply) => {
                let body = match reply {
                    Reply::Engine(response) => response::write_response(response, method, self.pid),
                    Reply::ResourceUsage(usage) => Some(response::write_resource_usage(usage)),
                };
                schema::response::Response { id, accepted: true, body, error: None, reason: None }
            }
            Err(error) => schema::response::Response {
                id,
                accepted: false,
                body: None,
                error: Some(error_name(&error).to_owned()),
                reason: Some(error.to_string()),
            },
        };
        self.write(Body::Response(Box::new(response)), out);
    }

    fn write_notification(&mut self, notification: Notification, out: &mut Out<'_>) {
        if let Some(notification) = response::write_notification(notification) {
            self.write(Body::Notification(Box::new(notification)), out);
        }
    }

    fn write_running(&mut self, out: &mut Out<'_>) {
        let notification = schema::notification::Notification {
            handler_id: self.pid.to_string(),
            event: schema::notification::Event::WorkerRunning,
            body: None,
        };
        self.write(Body::Notification(Box::new(notification)), out);
    }

    fn write_log(&mut self, line: String, out: &mut Out<'_>) {
        self.write(Body::Log(Box::new(schema::log::Log { data: line })), out);
    }
}

/// The library's name of an error.
fn error_name(error: &RequestError) -> &'static str {
    match error {
        RequestError::NotFound { .. } => "NotFoundError",
        RequestError::Invalid(_) => "TypeError",
        RequestError::Duplicate { .. } | RequestError::Failed(_) => "Error",
    }
}

fn list<T, U>(from: Vec<T>, convert: impl FnMut(T) -> U) -> Vec<U> {
    from.into_iter().map(convert).collect()
}

fn ids<T: Into<String>>(from: Vec<T>) -> Vec<String> {
    list(from, Into::into)
}
