//! Driver of one connection: reads requests, sends responses and queued messages, pings, and closes.

use std::{future::Future, time::Duration};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::debug;

use super::{
    link::{Close, Link, Queue},
    message::{Message, Refusal, Request},
    ordering::{Position, RequestOrder},
};
use crate::{
    bucket::Bucket,
    tally::{Denied, Shown},
};

/// Time to wait for the client's close frame after the server's.
const CLOSE_LINGER: Duration = Duration::from_secs(2);

/// Minimum time between two extra pings, which strangers can cause.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Burst of requests or bytes, as a multiple of the rate (seconds).
const BURST_SECONDS: f64 = 10.0;

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DriveOptions {
    pub(crate) max_message_bytes: usize,
    pub(crate) max_requests_in_flight: usize,
    pub(crate) max_requests_per_s: u32,
    pub(crate) max_received_bytes_per_s: u32,
    pub(crate) max_bad_messages: u32,
    pub(crate) ping: Duration,
    /// Time in which a client must accept written data.
    pub(crate) write_timeout: Duration,
}

/// Drives the connection of `link` until either side ends it, and returns the reason.
///
/// `queue` was returned by [`Link::new`] with the link. Requests are handled concurrently, except for those about one
/// object (see [`RequestOrder`]); all are started in the order of arrival. The connection is still open afterwards:
/// [`Ended::say_goodbye`] closes it.
pub(crate) async fn drive<F>(
    socket: WebSocket,
    link: &Link,
    queue: Queue,
    options: DriveOptions,
    handle: impl Fn(Request) -> F,
) -> Ended
where
    F: Future<Output = Result<Value, Refusal>> + Send + 'static,
{
    let (mut sink, mut stream) = socket.split();
    let why = {
        let heard = tokio::sync::Notify::new();
        tokio::select! {
            why = read(&mut stream, link, options, &heard, handle) => why,
            why = write(&mut sink, link, queue, options, &heard) => why,
            why = link.closed() => why,
        }
    };
    // Requests of the server that wait for a response end here too.
    link.close(why.clone());
    Ended { why, sink, stream }
}

/// A connection that is not used any more, but not closed yet.
pub(crate) struct Ended {
    pub(crate) why: Close,
    sink: SplitSink<WebSocket, Frame>,
    stream: SplitStream<WebSocket>,
}

impl Ended {
    /// Sends the close frame and waits for the client's for a moment.
    pub(crate) async fn say_goodbye(mut self) {
        let frame = CloseFrame { code: self.why.code, reason: self.why.reason.into() };
        let goodbye = async {
            // Fails if the client has closed first; then reading on completes the close.
            let _ = self.sink.send(Frame::Close(Some(frame))).await;
            while let Some(Ok(_ignored)) = self.stream.next().await {}
        };
        let _ = tokio::time::timeout(CLOSE_LINGER, goodbye).await;
    }
}

async fn read<F>(
    stream: &mut SplitStream<WebSocket>,
    link: &Link,
    options: DriveOptions,
    heard: &tokio::sync::Notify,
    handle: impl Fn(Request) -> F,
) -> Close
where
    F: Future<Output = Result<Value, Refusal>> + Send + 'static,
{
    let mut order = RequestOrder::default();
    let mut in_flight = FuturesUnordered::new();
    let mut pace = Pace::new(options);
    let mut bad_messages = 0;
    loop {
        tokio::select! {
            Some((id, position, result)) = in_flight.next() => {
                order.leave(position);
                link.respond(id, &result);
            }
            () = pace.wait(), if pace.is_paused() => {}
            frame = stream.next(), if in_flight.len() < options.max_requests_in_flight && !pace.is_paused() => {
                heard.notify_one();
                link.heard();
                let (size, message) = match frame {
                    None | Some(Ok(Frame::Close(_))) => return Close::LEFT,
                    Some(Err(error)) => return why_reading_failed(link, &error),
                    Some(Ok(Frame::Text(text))) if text.len() > options.max_message_bytes => return Close::TOO_BIG,
                    Some(Ok(Frame::Text(text))) => {
                        (text.len(), Message::parse(&text).map_err(|error| error.to_string()))
                    }
                    Some(Ok(Frame::Binary(bytes))) => (bytes.len(), Err("a binary message".to_owned())),
                    Some(Ok(Frame::Ping(bytes) | Frame::Pong(bytes))) => {
                        pace.take(link, bytes.len(), 1);
                        continue;
                    }
                };
                let cost = match &message {
                    Ok(Message::Request(request)) => request.cost(),
                    // Responses without a request of the server are ignored, so that their number needs no limit.
                    Ok(Message::Response(_)) => 0,
                    Ok(Message::Notification { .. }) | Err(_) => 1,
                };
                pace.take(link, size, cost);
                match message {
                    Ok(Message::Request(request)) => {
                        let id = request.id;
                        let position = order.enter(&request);
                        let mut response = in_order(position, handle(request));
                        // Polled once at once, so that requests start in the order of arrival.
                        match (&mut response).now_or_never() {
                            Some((position, result)) => {
                                order.leave(position);
                                link.respond(id, &result);
                            }
                            None => in_flight.push(response.map(move |(position, result)| (id, position, result))),
                        }
                    }
                    Ok(Message::Response(response)) => link.handle_response(response),
                    Ok(Message::Notification { method }) => {
                        debug!(peer = link.name(), method = %Shown(&method), "notification ignored");
                    }
                    Err(error) => {
                        debug!(peer = link.name(), error = %Shown(&error), "text that is no message ignored");
                        link.tally().count(Denied::BadMessage);
                        bad_messages += 1;
                        if bad_messages >= options.max_bad_messages {
                            return Close::TOO_MANY_MISTAKES;
                        }
                    }
                }
            }
        }
    }
}

/// Rate limit for reading from a client. Messages beyond it wait in the socket, so that nothing is lost.
struct Pace {
    requests: Bucket,
    bytes: Bucket,
    paused_until: Option<Instant>,
}

impl Pace {
    fn new(options: DriveOptions) -> Self {
        let bucket = |rate: u32| Bucket::new(rate.into(), f64::from(rate) * BURST_SECONDS, Instant::now());
        Self {
            requests: bucket(options.max_requests_per_s),
            bytes: bucket(options.max_received_bytes_per_s),
            paused_until: None,
        }
    }

    fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// Charges a message to the rate.
    fn take(&mut self, link: &Link, bytes: usize, cost: u32) {
        let now = Instant::now();
        // No message has 2^52 bytes.
        let bytes = self.bytes.take(bytes as f64, now);
        self.paused_until = bytes.max(self.requests.take(cost.into(), now));
        if self.is_paused() {
            link.tally().count(Denied::Throttled);
        }
    }

    async fn wait(&mut self) {
        if let Some(until) = self.paused_until {
            tokio::time::sleep_until(until).await;
            self.paused_until = None;
        }
    }
}

fn in_order<F>(mut position: Position, response: F) -> BoxFuture<'static, (Position, Result<Value, Refusal>)>
where
    F: Future<Output = Result<Value, Refusal>> + Send + 'static,
{
    async move {
        position.reached().await;
        let result = response.await;
        (position, result)
    }
    .boxed()
}

async fn write(
    sink: &mut SplitSink<WebSocket, Frame>,
    link: &Link,
    mut queue: Queue,
    options: DriveOptions,
    heard: &tokio::sync::Notify,
) -> Close {
    let DriveOptions { ping, write_timeout, .. } = options;
    let mut pings = tokio::time::interval_at(Instant::now() + ping, ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent_pings = 0;
    let mut may_ask = Instant::now();
    loop {
        let frame = tokio::select! {
            Some(text) = queue.next() => Frame::Text(text),
            _ = pings.tick() => {
                if silent_pings == 2 {
                    return Close::PING_TIMEOUT;
                }
                silent_pings += 1;
                Frame::Ping(Default::default())
            }
            () = asked_since(link, may_ask) => {
                may_ask = Instant::now() + ASK_EVERY;
                Frame::Ping(Default::default())
            }
            () = heard.notified() => {
                silent_pings = 0;
                continue;
            }
        };
        // A client that does not read blocks this write, and its queue fills in the meantime.
        match tokio::time::timeout(write_timeout, sink.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => return Close::LEFT,
            Err(_elapsed) => {
                link.tally().count(Denied::SlowReader);
                return Close::TOO_SLOW;
            }
        }
    }
}

/// Waits until `when`, then until an extra ping is requested.
async fn asked_since(link: &Link, when: Instant) {
    tokio::time::sleep_until(when).await;
    link.asked().await;
}

fn why_reading_failed(link: &Link, error: &axum::Error) -> Close {
    use std::error::Error;

    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    debug!(peer = link.name(), error = text, "reading failed");
    // axum does not export the errors of its tungstenite, so that this one is recognised by its text.
    if text.contains("too long") { Close::TOO_BIG } else { Close::LEFT }
}
