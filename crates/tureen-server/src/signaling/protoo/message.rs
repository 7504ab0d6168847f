//! Parser and writer of the three kinds of protoo messages.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::moderation;

/// A message from a client.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    Request(Request),
    Response(Response),
    Notification { method: String },
}

/// A request of a client.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    /// Id chosen by the client, which the response repeats.
    pub(crate) id: u32,
    pub(crate) method: String,
    /// `Null` if the client sent none.
    pub(crate) data: Value,
}

/// Response of a client to a request of the server.
#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) id: u32,
    pub(crate) result: Result<Value, Refusal>,
}

/// Error code and reason for the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: i64,
    pub(crate) reason: String,
}

/// Reason for which a text is not a protoo message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("not a JSON object")]
    NotAnObject,
    #[error("none of request, response and notification is true")]
    UnknownKind,
    #[error("{field} is missing or of the wrong type")]
    Field { field: &'static str },
}

/// Longest reason in bytes, because it may quote data of the client.
const MAX_REASON: usize = 500;

impl Refusal {
    pub(crate) fn new(code: i64, reason: impl fmt::Display) -> Self {
        let mut reason = reason.to_string();
        if reason.len() > MAX_REASON {
            reason.truncate((0..=MAX_REASON).rfind(|&at| reason.is_char_boundary(at)).unwrap_or(0));
            reason.push('…');
        }
        Self { code, reason }
    }
}

/// Cost in `limits.max_requests_per_s` of a request that notifies everybody in the room or creates something.
const DEAR: u32 = 10;

impl Request {
    /// Number of simple requests that this request costs.
    pub(crate) fn cost(&self) -> u32 {
        match self.method.as_str() {
            "createWebRtcTransport"
            | "prepare"
            | "join"
            | "produce"
            | "produceData"
            | "closeProducer"
            | "pauseProducer"
            | "resumeProducer"
            | "changeDisplayName"
            | "restartIce" => DEAR,
            method if moderation::is_one(method) => DEAR,
            _ => 1,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

impl Message {
    /// Parses a WebSocket text.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let Value::Object(mut object) = serde_json::from_str(text)? else {
            return Err(ParseError::NotAnObject);
        };
        let is = |object: &Map<String, Value>, kind| object.get(kind) == Some(&Value::Bool(true));

        if is(&object, "request") {
            Ok(Self::Request(Request {
                id: id(&object)?,
                method: method(&mut object)?,
                data: object.remove("data").unwrap_or_default(),
            }))
        } else if is(&object, "response") {
            let id = id(&object)?;
            let result = if is(&object, "ok") {
                Ok(object.remove("data").unwrap_or_default())
            } else {
                Err(Refusal {
                    code: object.get("errorCode").and_then(Value::as_i64).unwrap_or(500),
                    reason: match object.remove("errorReason") {
                        Some(Value::String(reason)) => reason,
                        _ => String::new(),
                    },
                })
            };
            Ok(Self::Response(Response { id, result }))
        } else if is(&object, "notification") {
            Ok(Self::Notification { method: method(&mut object)? })
        } else {
            Err(ParseError::UnknownKind)
        }
    }
}

/// Text of a request of the server.
pub(crate) fn request(id: u32, method: &str, data: &impl Serialize) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Wire<'a, D> {
        request: bool,
        id: u32,
        method: &'a str,
        data: D,
    }
    serde_json::to_string(&Wire { request: true, id, method, data })
}

/// Text of a notification of the server.
pub(crate) fn notification(method: &str, data: &impl Serialize) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Wire<'a, D> {
        notification: bool,
        method: &'a str,
        data: D,
    }
    serde_json::to_string(&Wire { notification: true, method, data })
}

/// Text of the response to a client's request.
pub(crate) fn response(id: u32, result: &Result<Value, Refusal>) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    #[serde(untagged, rename_all_fields = "camelCase")]
    enum Wire<'a> {
        Success { response: bool, id: u32, ok: bool, data: &'a Value },
        Failure { response: bool, id: u32, ok: bool, error_code: i64, error_reason: &'a str },
    }
    serde_json::to_string(&match result {
        Ok(data) => Wire::Success { response: true, id, ok: true, data },
        Err(Refusal { code, reason }) => {
            Wire::Failure { response: true, id, ok: false, error_code: *code, error_reason: reason }
        }
    })
}

fn id(object: &Map<String, Value>) -> Result<u32, ParseError> {
    let id = object.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    id.ok_or(ParseError::Field { field: "id" })
}

fn method(object: &mut Map<String, Value>) -> Result<String, ParseError> {
    match object.remove("method") {
        Some(Value::String(method)) => Ok(method),
        _ => Err(ParseError::Field { field: "method" }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_read_with_and_without_data() {
        assert_eq!(
            Message::parse(r#"{"request":true,"id":4294967295,"method":"join","data":{"a":1}}"#).unwrap(),
            Message::Request(Request { id: u32::MAX, method: "join".into(), data: json!({"a": 1}) })
        );
        assert_eq!(
            Message::parse(r#"{"request":true,"id":0,"method":"x"}"#).unwrap(),
            Message::Request(Request { id: 0, method: "x".into(), data: Value::Null })
        );
    }

    #[test]
    fn responses_without_ok_are_failures() {
        let result = |text| match Message::parse(text).unwrap() {
            Message::Response(Response { id: 7, result }) => result,
            other => panic!("{other:?}"),
        };
        assert_eq!(result(r#"{"response":true,"id":7,"ok":true,"data":{}}"#), Ok(json!({})));
        assert_eq!(result(r#"{"response":true,"id":7,"ok":true}"#), Ok(Value::Null));
        assert_eq!(
            result(r#"{"response":true,"id":7,"errorCode":403,"errorReason":"no"}"#),
            Err(Refusal { code: 403, reason: "no".into() })
        );
        assert_eq!(result(r#"{"response":true,"id":7}"#), Err(Refusal { code: 500, reason: String::new() }));
    }

    #[test]
    fn error_reasons_quote_client_data_only_in_part() {
        let refusal = Refusal::new(400, "é".repeat(1000));
        assert_eq!(refusal.reason, format!("{}…", "é".repeat(250)));
    }

    #[test]
    fn invalid_messages_are_errors() {
        for text in [
            "",
            "null",
            "true",
            "42",
            "[]",
            "{}",
            "\"request\"",
            "{\"request\":1,\"id\":1,\"method\":\"x\"}",
            r#"{"request":true,"id":-1,"method":"x"}"#,
            r#"{"request":true,"id":4294967296,"method":"x"}"#,
            r#"{"request":true,"id":1}"#,
            r#"{"request":true,"id":1,"method":7}"#,
            r#"{"notification":true}"#,
            r#"{"response":true}"#,
        ] {
            assert!(Message::parse(text).is_err(), "{text}");
        }
        assert!(Message::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn messages_have_the_format_of_protoo() {
        assert_eq!(
            request(3, "newConsumer", &json!({"id": "c"})).unwrap(),
            r#"{"request":true,"id":3,"method":"newConsumer","data":{"id":"c"}}"#
        );
        assert_eq!(
            notification("peerClosed", &json!({"peerId": "p"})).unwrap(),
            r#"{"notification":true,"method":"peerClosed","data":{"peerId":"p"}}"#
        );
        assert_eq!(response(9, &Ok(json!({}))).unwrap(), r#"{"response":true,"id":9,"ok":true,"data":{}}"#);
        assert_eq!(
            response(9, &Err(Refusal::new(500, "unknown method \"x\""))).unwrap(),
            r#"{"response":true,"id":9,"ok":false,"errorCode":500,"errorReason":"unknown method \"x\""}"#
        );
    }
}
