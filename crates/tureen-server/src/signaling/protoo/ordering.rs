//! Which requests of a peer wait for which: those about one object run one after another, others side by side.

use std::collections::HashMap;

use serde_json::Value;
use tokio::sync::oneshot;

use super::Request;

/// The order of a peer's requests.
///
/// Requests that name the same transport or consumer form a lane and run in the order of their arrival; so do all that
/// name none. Those about a producer wait for nothing: the media worker serves them in the order in which they begin, which
/// is that of their arrival, so that a producer is closed before another one is made with its MID. Statistics hold
/// nothing up. Bounded by the number of requests in flight.
#[derive(Default)]
pub(super) struct Lanes {
    tails: HashMap<String, Tail>,
    entries: u64,
}

struct Tail {
    entry: u64,
    done: oneshot::Receiver<()>,
}

/// A request's place in its lane. Dropping it lets the next one go.
pub(super) struct Place {
    lane: String,
    entry: u64,
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Lanes {
    /// Puts `request` at the end of its lane.
    pub(super) fn enter(&mut self, request: &Request) -> Place {
        let lane = lane(request);
        let entry = self.entries;
        self.entries += 1;
        let (done, tail) = oneshot::channel();
        let before = self.tails.insert(lane.clone(), Tail { entry, done: tail }).map(|tail| tail.done);
        Place { lane, entry, before, _done: done }
    }

    /// Ends a request's stay.
    pub(super) fn leave(&mut self, place: Place) {
        if self.tails.get(&place.lane).is_some_and(|tail| tail.entry == place.entry) {
            self.tails.remove(&place.lane);
        }
    }
}

impl Place {
    /// Waits for the requests before it.
    pub(super) async fn turn(&mut self) {
        if let Some(before) = self.before.take() {
            // An error means that the one before is gone, which is what this waits for.
            let _ = before.await;
        }
    }
}

fn lane(request: &Request) -> String {
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
        let mut lanes = Lanes::default();
        let mut first = lanes.enter(&request(json!({"consumerId": "a"})));
        let mut second = lanes.enter(&request(json!({"consumerId": "a"})));
        let mut other = lanes.enter(&request(json!({"consumerId": "b"})));

        assert!(first.turn().now_or_never().is_some());
        assert!(other.turn().now_or_never().is_some());
        let mut waiting = Box::pin(second.turn());
        assert!((&mut waiting).now_or_never().is_none());
        lanes.leave(first);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn requests_about_a_producer_wait_for_nothing_and_statistics_hold_nothing_up() {
        let mut lanes = Lanes::default();
        let named =
            |id, method: &str, key: &str| Request { id, method: method.into(), data: json!({ key: "a" }) };
        let _stats = lanes.enter(&named(1, "getProducerStats", "producerId"));
        let mut pause = lanes.enter(&named(2, "pauseProducer", "producerId"));
        let mut close = lanes.enter(&named(3, "closeProducer", "producerId"));
        let _stats = lanes.enter(&named(4, "getTransportStats", "transportId"));
        let mut produce = lanes.enter(&named(5, "produce", "transportId"));
        for place in [&mut pause, &mut close, &mut produce] {
            assert!(place.turn().now_or_never().is_some());
        }
    }

    #[test]
    fn nothing_is_kept_of_requests_that_ended() {
        let mut lanes = Lanes::default();
        let first = lanes.enter(&request(json!({"transportId": "t"})));
        let second = lanes.enter(&request(json!({"transportId": "t"})));
        lanes.leave(first);
        assert_eq!(lanes.tails.len(), 1);
        lanes.leave(second);
        assert!(lanes.tails.is_empty());
    }
}
