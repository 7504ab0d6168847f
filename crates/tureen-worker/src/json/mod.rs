//! The JSON dialects of mediasoup 3.5 to 3.12.
//!
//! Methods, data and events are the same in all of them, except for additions of later versions. The versions differ
//! in framing, in the start of a request (`Style`), and in the payload channel. On the payload channel a message is
//! two frames: the first one is parsed into a `message::Header` and waits for the second one, the payload.

mod media;
mod message;
mod request;
mod response;
mod rtp;
#[cfg(test)]
mod tests;
mod transport;

use std::borrow::Borrow;

use serde::{Serialize, Serializer};
use tureen_engine::api::PIPE_SUITE;
use tureen_engine::api::{Notification, RequestError};
use tureen_types::srtp_parameters::SrtpCryptoSuite;

use self::message::{Header, PAYLOAD};
use self::response::{Body, Event};
use crate::channel::Framing;
use crate::dialect::{ChannelKind, Dialect, Incoming, Out, Refusal, Reply};

/// First version of the library with a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(non_camel_case_types, reason = "as versions are written")]
pub enum Generation {
    /// Netstrings, one channel.
    V3_5,
    /// DirectTransports, and the payload channel for them.
    V3_6,
    /// Framing by a binary length.
    V3_9,
    /// Requests start with a text.
    V3_10_6,
}

impl Generation {
    /// Framing, and the maximum length of a frame.
    pub fn frames(self) -> (Framing, usize) {
        match self {
            Self::V3_5 | Self::V3_6 => (Framing::Netstring, 4 << 20),
            Self::V3_9 | Self::V3_10_6 => (Framing::LengthPrefix, 8 << 20),
        }
    }

    /// True if there is a payload channel.
    pub fn has_payload_channel(self) -> bool {
        self >= Self::V3_6
    }

    fn style(self) -> Style {
        if self >= Self::V3_10_6 { Style::Text } else { Style::Json }
    }

    /// SRTP crypto suite of PipeTransports.
    fn pipe_suite(self) -> SrtpCryptoSuite {
        if self >= Self::V3_9 { PIPE_SUITE } else { SrtpCryptoSuite::AesCm128HmacSha180 }
    }

    /// `value` for versions with DirectTransports (3.6 and later).
    fn since_direct<T>(self, value: T) -> Option<T> {
        (self >= Self::V3_6).then_some(value)
    }
}

/// Start of a request.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// One JSON object: `{id, method, internal, data}`, with all identifiers in `internal`.
    Json,
    /// `id:method:handler:data`, with JSON as data, and `undefined` for absent parts. Identifiers of objects other
    /// than the handler are in the data.
    Text,
}

/// The codec.
#[derive(Debug)]
pub struct Json {
    generation: Generation,
    pid: u32,
    /// Header in the first frame on the payload channel, while the second frame is awaited.
    header: Option<Result<Header, Refusal>>,
    /// Buffer that messages are composed in.
    scratch: Vec<u8>,
}

impl Json {
    /// A codec for the process `pid` and a generation of libraries.
    pub fn new(generation: Generation, pid: u32) -> Self {
        Self { generation, pid, header: None, scratch: Vec::new() }
    }

    /// Writes a message, and its payload in the same framing.
    fn write(&mut self, message: &impl Serialize, payload: Option<&[u8]>, out: &mut Vec<u8>) {
        self.scratch.clear();
        let (framing, max_frame) = self.generation.frames();
        match serde_json::to_writer(&mut self.scratch, message) {
            Ok(()) if self.scratch.len().max(payload.map_or(0, <[u8]>::len)) <= max_frame => {
                framing.write(&self.scratch, out);
                if let Some(payload) = payload {
                    framing.write(payload, out);
                }
            }
            // Dropped, because the library would lose its position in the stream.
            Ok(()) => tracing::error!("a message is longer than {max_frame} bytes"),
            Err(error) => tracing::error!("a message can't be written: {error}"),
        }
    }

    fn write_event(&mut self, target: &str, event: Event, out: &mut Out<'_>) {
        let message = EventMessage { target_id: target, event: event.name, data: event.data };
        match (event.payload, &mut out.payload) {
            (None, _) => self.write(&message, None, out.main),
            (Some(payload), Some(out)) => self.write(&message, Some(&payload), out),
            // Never happens, because there are no DirectTransports without a payload channel.
            (Some(_), None) => {}
        }
    }
}

impl Dialect for Json {
    fn decode(&mut self, kind: ChannelKind, frame: &[u8]) -> Result<Option<Incoming>, Refusal> {
        let style = self.generation.style();
        match (kind, self.header.take()) {
            (ChannelKind::Main, header) => {
                self.header = header;
                let (id, message) = message::read_request(frame, style)?;
                let call = message.and_then(|message| request::read(message, self.generation));
                let call = call.map_err(|error| Refusal::Request { id, error })?;
                Ok(Some(Incoming::Request { id, call }))
            }
            (ChannelKind::Payload, None) => {
                self.header = Some(Header::read(frame, style));
                Ok(None)
            }
            // An invalid header is refused only now, because its payload follows like a valid one's.
            (ChannelKind::Payload, Some(header)) => Ok(Some(header?.with(frame))),
        }
    }

    fn write_response(&mut self, id: u64, result: Result<Reply, RequestError>, out: &mut Out<'_>) {
        let on_payload = id & PAYLOAD != 0;
        // Fits, because the id was a u32 on arrival.
        let id = id as u32;
        let answer = match result {
            // Requests on the payload channel have no content in their response.
            Ok(_) if on_payload => Answer::Accepted { id, accepted: true, data: None },
            Ok(Reply::Engine(response)) => {
                let data = Body::new(response, self.generation, self.pid);
                Answer::Accepted { id, accepted: true, data }
            }
            Ok(Reply::ResourceUsage(usage)) => {
                Answer::Accepted { id, accepted: true, data: Some(Body::ResourceUsage(usage.into())) }
            }
            Err(error) => Answer::Refused { id, error: error_name(&error), reason: error.to_string() },
        };
        match &mut out.payload {
            Some(out) if on_payload => self.write(&answer, None, out),
            _ => self.write(&answer, None, out.main),
        }
    }

    fn write_notification(&mut self, notification: Notification, out: &mut Out<'_>) {
        let (target, event): (String, _) = match notification {
            Notification::Transport(id, event) => (id.into(), Event::of_transport(event)),
            Notification::Producer(id, event) => {
                (id.into(), Some(Event::of_producer(event, self.generation)))
            }
            Notification::Consumer(id, event) => {
                (id.into(), Some(Event::of_consumer(event, self.generation)))
            }
            Notification::DataConsumer(id, event) => (id.into(), Event::of_data_consumer(event)),
            Notification::RtpObserver(id, event) => (id.into(), Some(Event::of_observer(event))),
        };
        if let Some(event) = event {
            self.write_event(local(&target), event, out);
        }
    }

    fn write_running(&mut self, out: &mut Out<'_>) {
        let target = self.pid.to_string();
        let message = EventMessage { target_id: &target, event: "running", data: None };
        self.write(&message, None, out.main);
    }

    fn write_log(&mut self, line: String, out: &mut Out<'_>) {
        self.generation.frames().0.write(line.as_bytes(), out.main);
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Accepted {
        id: u32,
        accepted: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<Body>,
    },
    Refused {
        id: u32,
        error: &'static str,
        reason: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventMessage<'a> {
    target_id: &'a str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<response::EventData>,
}

/// The library's name of an error.
fn error_name(error: &RequestError) -> &'static str {
    match error {
        RequestError::Invalid(_) => "TypeError",
        RequestError::NotFound { .. } | RequestError::Duplicate { .. } | RequestError::Failed(_) => "Error",
    }
}

/// Separator between the identifiers of a router and of one of its producers. No identifier of the library contains
/// it.
const SEPARATOR: char = '\u{1f}';

/// The worker's identifier of a producer or data producer of a router. Up to 3.10 the library's identifiers are
/// unique in a router only, and stay the same when a producer is piped.
fn global(router: &str, id: &str) -> String {
    format!("{router}{SEPARATOR}{id}")
}

/// The library's identifier of it.
fn local(id: &str) -> &str {
    id.split_once(SEPARATOR).map_or(id, |(_, local)| local)
}

/// The library's identifier of a producer or data producer.
#[derive(Clone, Debug)]
struct Local<T>(T);

impl<T: Borrow<str>> Serialize for Local<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(local(self.0.borrow()))
    }
}

/// Serialises pairs as one JSON object.
#[derive(Debug)]
struct Table<K, V>(Vec<(K, V)>);

impl<K, V> Table<K, Local<V>> {
    fn local(pairs: Vec<(K, V)>) -> Self {
        Self(list(pairs, |(key, id)| (key, Local(id))))
    }
}

impl<K: Serialize, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// The names whose flag is true, separated by commas.
fn names(all: &[(bool, &str)]) -> String {
    let held: Vec<_> = all.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name).collect();
    held.join(",")
}

fn list<T, U>(from: Vec<T>, convert: impl FnMut(T) -> U) -> Vec<U> {
    from.into_iter().map(convert).collect()
}
