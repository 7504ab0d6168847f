//! Order of a peer's requests: those about one object run one after another, others side by side.

use std::collections::HashMap;

use serde_json::Value;
use tokio::sync::oneshot;

use super::message::Request;

/// Order of a peer's requests.
///
/// Requests that name the same transport or consumer form a sequence and run in the order of arrival, as do all
/// requests that name none. Requests about a producer do not wait: the media worker handles them in the order in which
/// they start, which is that of their arrival, so that a producer is closed before another one with its MID is created.
/// Requests for statistics delay nothing. The state is bounded by the number of requests in flight.
#[derive(Default)]
pub(super) struct RequestOrder {
    /// The last request of each sequence.
    last: HashMap<String, Last>,
    entries: u64,
}

struct Last {
    entry: u64,
    done: oneshot::Receiver<()>,
}

/// Position of a request in its sequence. Dropping it starts the next request.
pub(super) struct Position {
    sequence: String,
    entry: u64,
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl RequestOrder {
    /// Adds `request` to the end of its sequence.
    pub(super) fn enter(&mut self, request: &Request) -> Position {
        let sequence = sequence(request);
        let entry = self.entries;
        self.entries += 1;
        let (done, ended) = oneshot::channel();
        let before = self.last.insert(sequence.clone(), Last { entry, done: ended }).map(|last| last.done);
        Position { sequence, entry, before, _done: done }
    }

    /// Removes a request that has ended.
    pub(super) fn leave(&mut self, position: Position) {
        if self.last.get(&position.sequence).is_some_and(|last| last.entry == position.entry) {
            self.last.remove(&position.sequence);
        }
    }
}

impl Position {
    /// Waits for the previous requests of the sequence.
    pub(super) async fn reached(&mut self) {
        if let Some(before) = self.before.take() {
            // An error means that the previous request was dropped, which ends the wait too.
            let _ = before.await;
        }
    }
}

fn sequence(request: &Request) -> String {
    let is_alone = request.data.get("producerId").is_some() || request.method.ends_with("Stats");
    if is_alone {
        return format!("#{}", request.id);
    }
    ["transportId", "consumerId"]
        .into_iter()
        .find_map(|key| request.data.get(key).and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    fn request(data: Value) -> Request {
        Request { id: 1, method: "x".into(), data }
    }

    #[test]
    fn requests_about_one_object_wait_for_each_other() {
        let mut order = RequestOrder::default();
        let mut first = order.enter(&request(json!({"consumerId": "a"})));
        let mut second = order.enter(&request(json!({"consumerId": "a"})));
        let mut other = order.enter(&request(json!({"consumerId": "b"})));

        assert!(first.reached().now_or_never().is_some());
        assert!(other.reached().now_or_never().is_some());
        let mut waiting = Box::pin(second.reached());
        assert!((&mut waiting).now_or_never().is_none());
        order.leave(first);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn requests_about_a_producer_do_not_wait_and_statistics_delay_nothing() {
        let mut order = RequestOrder::default();
        let named =
            |id, method: &str, key: &str| Request { id, method: method.into(), data: json!({ key: "a" }) };
        let _stats = order.enter(&named(1, "getProducerStats", "producerId"));
        let mut pause = order.enter(&named(2, "pauseProducer", "producerId"));
        let mut close = order.enter(&named(3, "closeProducer", "producerId"));
        let _stats = order.enter(&named(4, "getTransportStats", "transportId"));
        let mut produce = order.enter(&named(5, "produce", "transportId"));
        for place in [&mut pause, &mut close, &mut produce] {
            assert!(place.reached().now_or_never().is_some());
        }
    }

    #[test]
    fn ended_requests_leave_no_state() {
        let mut order = RequestOrder::default();
        let first = order.enter(&request(json!({"transportId": "t"})));
        let second = order.enter(&request(json!({"transportId": "t"})));
        order.leave(first);
        assert_eq!(order.last.len(), 1);
        order.leave(second);
        assert!(order.last.is_empty());
    }
}
