//! Runs one connection: reads and answers requests, writes what is queued, pings, and closes.

use std::{future::Future, time::Duration};

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tracing::{debug, warn};

use super::{
    lanes::{Lanes, Place},
    link::{Close, Link},
    message::{Message, Refusal, Request},
};

/// How long a closed connection is listened to for the client's own close frame.
const CLOSE_LINGER: Duration = Duration::from_secs(2);

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DriveOptions {
    pub(crate) max_message_bytes: usize,
    pub(crate) max_requests_in_flight: usize,
    pub(crate) ping: Duration,
}

/// Runs the connection of `link` until either side ends it, and says why it ended.
///
/// `queue` is what [`Link::new`] gave with the link. Requests are handled side by side but for those about one
/// object (see [`Lanes`]); each is started in the order of arrival. The connection is open still when this returns:
/// [`Ended::say_goodbye`] closes it.
pub(crate) async fn drive<F>(
    socket: WebSocket,
    link: &Link,
    queue: mpsc::Receiver<String>,
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
            why = write(&mut sink, queue, options.ping, &heard) => why,
            why = link.closed() => why,
        }
    };
    // Requests of the server that still wait for an answer end here too.
    link.close(why.clone());
    Ended { why, sink, stream }
}

/// A connection that is no longer used, but not yet closed.
pub(crate) struct Ended {
    pub(crate) why: Close,
    sink: SplitSink<WebSocket, Frame>,
    stream: SplitStream<WebSocket>,
}

impl Ended {
    /// Sends the close frame and waits a moment for the client's.
    pub(crate) async fn say_goodbye(mut self) {
        let frame = CloseFrame { code: self.why.code, reason: self.why.reason.into() };
        let goodbye = async {
            // Fails where the client closed first; reading on answers that.
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
    let mut lanes = Lanes::default();
    let mut in_flight = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some((id, place, result)) = in_flight.next() => {
                lanes.leave(place);
                link.respond(id, &result);
            }
            frame = stream.next(), if in_flight.len() < options.max_requests_in_flight => {
                heard.notify_one();
                let text = match frame {
                    None | Some(Ok(Frame::Close(_))) => return Close::LEFT,
                    Some(Err(error)) => return why_reading_failed(link, &error),
                    Some(Ok(Frame::Text(text))) => text,
                    Some(Ok(Frame::Binary(_))) => {
                        warn!(peer = link.name(), "binary message ignored");
                        continue;
                    }
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => continue,
                };
                if text.len() > options.max_message_bytes {
                    return Close::TOO_BIG;
                }
                match Message::parse(&text) {
                    Ok(Message::Request(request)) => {
                        let id = request.id;
                        let place = lanes.enter(&request);
                        let mut answer = in_its_turn(place, handle(request));
                        // Started at once, so that requests start in the order of their arrival.
                        match (&mut answer).now_or_never() {
                            Some((place, result)) => {
                                lanes.leave(place);
                                link.respond(id, &result);
                            }
                            None => in_flight.push(answer.map(move |(place, result)| (id, place, result))),
                        }
                    }
                    Ok(Message::Response(response)) => link.handle_response(response),
                    Ok(Message::Notification { method }) => {
                        debug!(peer = link.name(), method, "notification ignored");
                    }
                    Err(error) => warn!(peer = link.name(), %error, "text that is no message ignored"),
                }
            }
        }
    }
}

fn in_its_turn<F>(mut place: Place, answer: F) -> BoxFuture<'static, (Place, Result<Value, Refusal>)>
where
    F: Future<Output = Result<Value, Refusal>> + Send + 'static,
{
    async move {
        place.turn().await;
        let result = answer.await;
        (place, result)
    }
    .boxed()
}

async fn write(
    sink: &mut SplitSink<WebSocket, Frame>,
    mut queue: mpsc::Receiver<String>,
    ping: Duration,
    heard: &tokio::sync::Notify,
) -> Close {
    let mut pings = tokio::time::interval_at(Instant::now() + ping, ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent_pings = 0;
    loop {
        let frame = tokio::select! {
            Some(text) = queue.recv() => Frame::Text(text.into()),
            _ = pings.tick() => {
                if silent_pings == 2 {
                    return Close::PING_TIMEOUT;
                }
                silent_pings += 1;
                Frame::Ping(Default::default())
            }
            () = heard.notified() => {
                silent_pings = 0;
                continue;
            }
        };
        // A client that reads nothing holds this up, and its queue fills meanwhile.
        match tokio::time::timeout(ping, sink.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => return Close::LEFT,
            Err(_elapsed) => return Close::TOO_SLOW,
        }
    }
}

fn why_reading_failed(link: &Link, error: &axum::Error) -> Close {
    use std::error::Error;

    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    debug!(peer = link.name(), error = text, "reading failed");
    // axum does not let its tungstenite errors be named; this is how that one reads.
    if text.contains("too long") { Close::TOO_BIG } else { Close::LEFT }
}
