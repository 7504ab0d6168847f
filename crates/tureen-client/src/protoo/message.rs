//! The three kinds of protoo messages, to and from JSON.

use serde_json::{Map, Value, json};

/// A message of the server.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Request { id: u64, method: String, data: Value },
    Response { id: u64, result: Result<Value, Refusal> },
    Notification { method: String, data: Value },
}

/// A failed request as the other side is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Refusal {
    /// `errorCode`; mediasoup-demo and Tureen take those of HTTP.
    pub code: i64,
    /// `errorReason`.
    pub reason: String,
}

impl Refusal {
    /// A refusal with a code and a reason.
    pub fn new(code: i64, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl Message {
    /// Reads a text. `None` if it is not a protoo message.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Ok(Value::Object(mut object)) = serde_json::from_str(text) else { return None };
        let is = |object: &Map<String, Value>, kind| object.get(kind) == Some(&Value::Bool(true));
        let id = object.get("id").and_then(Value::as_u64);
        let data = object.remove("data").unwrap_or_default();
        let method = |object: &mut Map<String, Value>| match object.remove("method") {
            Some(Value::String(method)) => Some(method),
            _ => None,
        };
        if is(&object, "request") {
            Some(Self::Request { id: id?, method: method(&mut object)?, data })
        } else if is(&object, "response") {
            let result = if is(&object, "ok") { Ok(data) } else { Err(refusal(&object)) };
            Some(Self::Response { id: id?, result })
        } else if is(&object, "notification") {
            Some(Self::Notification { method: method(&mut object)?, data })
        } else {
            None
        }
    }
}

pub(super) fn request(id: u64, method: &str, data: &Value) -> String {
    json!({ "request": true, "id": id, "method": method, "data": data }).to_string()
}

pub(super) fn notification(method: &str, data: &Value) -> String {
    json!({ "notification": true, "method": method, "data": data }).to_string()
}

pub(super) fn response(id: u64, result: &Result<Value, Refusal>) -> String {
    match result {
        Ok(data) => json!({ "response": true, "id": id, "ok": true, "data": data }),
        Err(Refusal { code, reason }) => {
            json!({ "response": true, "id": id, "ok": false, "errorCode": code, "errorReason": reason })
        }
    }
    .to_string()
}

/// protoo-server leaves `ok` out of a failure.
fn refusal(object: &Map<String, Value>) -> Refusal {
    let code = object.get("errorCode").and_then(Value::as_i64).unwrap_or(500);
    let reason = object.get("errorReason").and_then(Value::as_str).unwrap_or("no reason given");
    Refusal::new(code, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let parse = |json: Value| Message::parse(&json.to_string());
        let request = json!({ "request": true, "id": 7, "method": "m", "data": { "a": 1 } });
        let expected = Message::Request { id: 7, method: "m".to_owned(), data: json!({ "a": 1 }) };
        assert_eq!(parse(request), Some(expected));
        let response = json!({ "response": true, "id": 7, "ok": true, "data": {} });
        assert_eq!(parse(response), Some(Message::Response { id: 7, result: Ok(json!({})) }));
        let failure = json!({ "response": true, "id": 7, "errorCode": 403, "errorReason": "no" });
        let result = Err(Refusal::new(403, "no"));
        assert_eq!(parse(failure), Some(Message::Response { id: 7, result }));
        let notification = json!({ "notification": true, "method": "n" });
        let expected = Message::Notification { method: "n".to_owned(), data: Value::Null };
        assert_eq!(parse(notification), Some(expected));
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "null",
            "7",
            "[]",
            "{}",
            "{",
            r#"{"request":true,"method":"m"}"#,
            r#"{"request":true,"id":-1,"method":"m"}"#,
            r#"{"request":true,"id":1}"#,
            r#"{"request":1,"id":1,"method":"m"}"#,
            r#"{"response":true,"ok":true}"#,
            r#"{"notification":true,"method":5}"#,
        ] {
            assert_eq!(Message::parse(text), None, "{text}");
        }
    }

    #[test]
    fn written_messages_are_read_again() {
        let data = json!({ "a": [1, "b"] });
        let read = Message::parse(&request(3, "m", &data)).unwrap();
        assert_eq!(read, Message::Request { id: 3, method: "m".to_owned(), data: data.clone() });
        let read = Message::parse(&notification("m", &data)).unwrap();
        assert_eq!(read, Message::Notification { method: "m".to_owned(), data: data.clone() });
        for result in [Ok(data), Err(Refusal::new(500, "why"))] {
            assert_eq!(Message::parse(&response(3, &result)), Some(Message::Response { id: 3, result }));
        }
    }
}
