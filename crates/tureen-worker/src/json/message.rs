//! Header of a message: id, method and object.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tureen_engine::api::{
    ConsumerId, DataConsumerId, DataMessage, DataProducerId, Injection, ProducerId, Publication, Request,
    RequestError, RouterId, RtpObserverId, TransportId, WebRtcServerId,
};

use super::{Style, global};
use crate::dialect::{Call, Incoming, Refusal};
use crate::parts::{Parse, invalid};

/// Bit in the id of a request on the payload channel, which has ids of its own.
pub(super) const PAYLOAD: u64 = 1 << 32;

/// A request or notification without the payload that may follow.
pub(super) struct Message {
    pub(super) method: String,
    pub(super) ids: Ids,
    pub(super) data: Value,
}

/// Parses a request.
pub(super) fn read_request(frame: &[u8], style: Style) -> Result<(u64, Parse<Message>), Refusal> {
    match style {
        Style::Json => {
            let envelope = Envelope::read(frame)?;
            let id = envelope.id.ok_or_else(|| Refusal::Message("a request without an id".to_owned()))?;
            Ok((id.into(), envelope.message()))
        }
        Style::Text => {
            let [id, method, handler, data] = split(frame)?;
            Ok((read_id(id)?, read_text(method, handler, data)))
        }
    }
}

/// Content of the first of two frames.
#[derive(Debug)]
pub(super) enum Header {
    Rtp(ProducerId),
    Rtcp(TransportId),
    Data(DataProducerId, u32),
    /// `dataConsumer.send`, the only request with a payload, and its id.
    Send(u64, DataConsumerId, u32),
}

impl Header {
    pub(super) fn read(frame: &[u8], style: Style) -> Result<Self, Refusal> {
        Self::parse(frame, style).map_err(|refusal| match refusal {
            Refusal::Request { id, error } => Refusal::Request { id: id | PAYLOAD, error },
            refusal => refusal,
        })
    }

    fn parse(frame: &[u8], style: Style) -> Result<Self, Refusal> {
        let (id, message) = match style {
            Style::Json => {
                let envelope = Envelope::read(frame)?;
                (envelope.id.map(u64::from), envelope.message())
            }
            Style::Text => {
                let text = text(frame)?;
                match text.split_once(':') {
                    Some(("n", rest)) => {
                        let [event, handler, data] = split_text(rest)?;
                        (None, read_text(event, handler, data))
                    }
                    Some(("r", rest)) => {
                        let [id, method, handler, data] = split_text(rest)?;
                        (Some(read_id(id)?), read_text(method, handler, data))
                    }
                    _ => return Err(Refusal::Message("neither a request nor a notification".to_owned())),
                }
            }
        };
        let refuse = |error: RequestError| match id {
            Some(id) => Refusal::Request { id, error },
            None => Refusal::Message(error.to_string()),
        };
        message.and_then(|message| Self::of(id, message)).map_err(refuse)
    }

    fn of(id: Option<u64>, message: Message) -> Parse<Self> {
        let Message { method, ids, data } = message;
        Ok(match (id, method.as_str()) {
            (None, "producer.send") => Self::Rtp(ids.producer()?),
            (None, "transport.sendRtcp") => Self::Rtcp(ids.transport()?),
            (None, "dataProducer.send") => Self::Data(ids.data_producer()?, read_ppid(data)?),
            (Some(id), "dataConsumer.send") => Self::Send(id, ids.data_consumer()?, read_ppid(data)?),
            _ => return Err(invalid(format!("unknown method {method:?}"))),
        })
    }

    /// The message, given the payload in the second frame.
    pub(super) fn with(self, payload: &[u8]) -> Incoming {
        let payload = payload.to_vec();
        match self {
            Self::Rtp(id) => Incoming::Injection(Injection::Rtp(id, payload)),
            Self::Rtcp(id) => Incoming::Injection(Injection::Rtcp(id, payload)),
            Self::Data(id, ppid) => {
                let message = DataMessage { ppid, payload };
                let subchannels = Vec::new();
                let (required_subchannel, ignored_subchannel) = (None, None);
                let publication =
                    Publication { message, subchannels, required_subchannel, ignored_subchannel };
                Incoming::Injection(Injection::Data(id, publication))
            }
            Self::Send(id, consumer, ppid) => {
                let request = Request::SendData(consumer, DataMessage { ppid, payload });
                Incoming::Request { id: id | PAYLOAD, call: Call::Engine(request) }
            }
        }
    }
}

/// Parses the arguments of a method.
pub(super) fn read_data<T: DeserializeOwned>(method: &str, data: Value) -> Parse<T> {
    serde_json::from_value(data).map_err(|error| invalid(format!("{method}: {error}")))
}

macro_rules! ids {
    ($($field:ident, $id:ident, $name:literal;)+) => {
        /// Objects that a message names.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        pub(super) struct Ids {
            $(#[serde(rename = $name)] $field: Option<$id>,)+
        }

        impl Ids {
            $(
                pub(super) fn $field(&self) -> Parse<$id> {
                    self.$field.clone().ok_or_else(|| invalid(concat!("missing ", $name)))
                }
            )+

            /// These identifiers, or `other`'s where these are absent.
            fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)+ }
            }
        }
    };
}

ids! {
    server, WebRtcServerId, "webRtcServerId";
    router, RouterId, "routerId";
    transport, TransportId, "transportId";
    producer, ProducerId, "producerId";
    consumer, ConsumerId, "consumerId";
    data_producer, DataProducerId, "dataProducerId";
    data_consumer, DataConsumerId, "dataConsumerId";
    observer, RtpObserverId, "rtpObserverId";
}

impl Ids {
    /// Replaces the producers' identifiers by those of the worker.
    fn of_router(mut self) -> Self {
        if let Some(router) = &self.router {
            let global = |id: &str| global(router.as_str(), id);
            self.producer = self.producer.map(|id| global(id.as_str()).into());
            self.data_producer = self.data_producer.map(|id| global(id.as_str()).into());
        }
        self
    }

    /// Object of a method.
    fn handler(method: &str, id: &str) -> Self {
        let mut ids = Self::default();
        match method.split('.').next().unwrap_or_default() {
            "webRtcServer" => ids.server = Some(id.into()),
            "router" => ids.router = Some(id.into()),
            "transport" => ids.transport = Some(id.into()),
            "producer" => ids.producer = Some(id.into()),
            "consumer" => ids.consumer = Some(id.into()),
            "dataProducer" => ids.data_producer = Some(id.into()),
            "dataConsumer" => ids.data_consumer = Some(id.into()),
            "rtpObserver" => ids.observer = Some(id.into()),
            // The worker has no identifier.
            _ => {}
        }
        ids
    }
}

/// A message up to 3.10.5.
#[derive(Deserialize)]
struct Envelope {
    id: Option<u32>,
    #[serde(alias = "event")]
    method: String,
    #[serde(default)]
    internal: Value,
    #[serde(default)]
    data: Value,
}

impl Envelope {
    fn read(frame: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Numbered {
            id: u32,
        }
        serde_json::from_slice(frame).map_err(|error| {
            let text = format!("malformed message: {error}");
            match serde_json::from_slice::<Numbered>(frame) {
                Ok(Numbered { id }) => Refusal::Request { id: id.into(), error: invalid(text) },
                Err(_) => Refusal::Message(text),
            }
        })
    }

    fn message(self) -> Parse<Message> {
        let Self { method, internal, data, .. } = self;
        let ids = read_ids(&method, &internal)?.or(read_ids(&method, &data)?).of_router();
        Ok(Message { method, ids, data })
    }
}

/// A message since 3.10.6.
fn read_text(method: &str, handler: &str, data: &str) -> Parse<Message> {
    let data = match data {
        "undefined" => Value::Null,
        data => serde_json::from_str(data).map_err(|error| invalid(format!("{method}: {error}")))?,
    };
    let ids = Ids::handler(method, handler).or(read_ids(method, &data)?);
    Ok(Message { method: method.to_owned(), ids, data })
}

fn read_ids(method: &str, from: &Value) -> Parse<Ids> {
    match from {
        Value::Object(_) => Ids::deserialize(from).map_err(|error| invalid(format!("{method}: {error}"))),
        _ => Ok(Ids::default()),
    }
}

/// `{ppid}` up to 3.10.5, the bare number after it.
fn read_ppid(data: Value) -> Parse<u32> {
    let ppid = match &data {
        Value::Object(data) => data.get("ppid"),
        data => Some(data),
    };
    let ppid = ppid.and_then(Value::as_u64).and_then(|ppid| u32::try_from(ppid).ok());
    ppid.ok_or_else(|| invalid("missing ppid"))
}

fn read_id(text: &str) -> Result<u64, Refusal> {
    let id: u32 = text.parse().map_err(|_| Refusal::Message(format!("{text:?} is no id of a request")))?;
    Ok(id.into())
}

fn split<const N: usize>(frame: &[u8]) -> Result<[&str; N], Refusal> {
    split_text(text(frame)?)
}

/// The parts between colons. The last part, the data, may contain colons.
fn split_text<const N: usize>(text: &str) -> Result<[&str; N], Refusal> {
    let parts: Vec<_> = text.splitn(N, ':').collect();
    parts.try_into().map_err(|_| Refusal::Message("a message without all of its parts".to_owned()))
}

fn text(frame: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(frame).map_err(|error| Refusal::Message(format!("malformed message: {error}")))
}
