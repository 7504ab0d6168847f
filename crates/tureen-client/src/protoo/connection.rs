//! The task of a peer: it reads and writes one connection after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::message::Message;
use super::options::{ConnectError, Socket};
use super::peer::{CloseReason, IncomingRequest, PeerEvent, Shared};
use crate::signaling::OpenError;

/// Longest time that the server may take to read a message, or to answer the end.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Close code with which protoo-client does not connect again.
const REPLACED: u16 = 4000;
/// Close code of a WebSocket without one (RFC 6455 §7.1.5).
const NO_STATUS: u16 = 1005;

type Sink = SplitSink<Socket, tungstenite::Message>;
type Stream = SplitStream<Socket>;

/// Attempts until one succeeds, as often as the policy says.
pub(super) async fn connect(
    shared: &Shared,
    mut failed: impl FnMut(&ConnectError),
) -> Result<Socket, ConnectError> {
    let mut attempt = 0;
    loop {
        let target = shared.target.lock().clone();
        let error = match target.connect(&shared.options).await {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let wait = shared.options.reconnect.as_ref().and_then(|reconnect| reconnect.wait(attempt));
        let Some(wait) = wait.filter(|_| is_passing(&error)) else { return Err(error) };
        failed(&error);
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}

/// Runs a peer to its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut socket: Socket,
    mut outgoing: mpsc::Receiver<String>,
    events: mpsc::Sender<PeerEvent>,
    mut closing: watch::Receiver<bool>,
) {
    let reason = loop {
        let reason =
            Connection { shared: &shared, events: &events }.run(socket, outgoing, &mut closing).await;
        shared.lose(&reason);
        if !is_final(&shared, &reason) {
            tell(&events, PeerEvent::Disconnected(reason.clone())).await;
        } else {
            break reason;
        }
        let connected = tokio::select! {
            () = closed(&mut closing) => break CloseReason::Local,
            connected = connect(&shared, |error| {
                // An application that does not read misses attempts.
                let _ = events.try_send(PeerEvent::AttemptFailed(error.to_string()));
            }) => connected,
        };
        socket = match connected {
            Ok(socket) => socket,
            Err(error) => break CloseReason::Broken(error.to_string()),
        };
        outgoing = shared.open();
        tell(&events, PeerEvent::Reconnected).await;
    };
    shared.lose(&reason);
    tell(&events, PeerEvent::Closed(reason)).await;
}

/// Waits until there is room. An application that reads no events has dropped the other end, or comes to it.
async fn tell(events: &mpsc::Sender<PeerEvent>, event: PeerEvent) {
    let _ = events.send(event).await;
}

fn is_final(shared: &Shared, reason: &CloseReason) -> bool {
    let is_wanted = match reason {
        CloseReason::Local | CloseReason::Overrun(_) => true,
        CloseReason::Server { code, .. } => *code == REPLACED,
        CloseReason::Broken(_) | CloseReason::Silent(_) => false,
    };
    is_wanted || shared.options.reconnect.is_none()
}

/// False for errors that the next attempt has too.
fn is_passing(error: &ConnectError) -> bool {
    !matches!(error, ConnectError::Open(OpenError::Url { .. } | OpenError::TlsOptions(_)))
}

/// Waits for the end that the application wants.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Fails when the last handle is gone.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// One connection.
struct Connection<'a> {
    shared: &'a Shared,
    events: &'a mpsc::Sender<PeerEvent>,
}

impl Connection<'_> {
    async fn run(
        &self,
        socket: Socket,
        mut outgoing: mpsc::Receiver<String>,
        closing: &mut watch::Receiver<bool>,
    ) -> CloseReason {
        let (mut sink, mut stream) = socket.split();
        let reason = tokio::select! {
            reason = self.read(&mut stream) => reason,
            reason = self.write(&mut sink, &mut outgoing) => reason,
            () = closed(closing) => CloseReason::Local,
        };
        let finished = tokio::time::timeout(CLOSE_TIMEOUT, finish(&reason, sink, stream, outgoing)).await;
        if finished.is_err() {
            tracing::debug!("the server does not answer the end of the connection");
        }
        reason
    }

    async fn read(&self, stream: &mut Stream) -> CloseReason {
        let longest_silence = self.shared.options.keep_alive * 2;
        loop {
            let frame = match tokio::time::timeout(longest_silence, stream.next()).await {
                Err(_) => return CloseReason::Silent(longest_silence),
                Ok(None) => return CloseReason::Broken("the server is gone".to_owned()),
                Ok(Some(Err(error))) => return CloseReason::Broken(error.to_string()),
                Ok(Some(Ok(frame))) => frame,
            };
            match frame {
                tungstenite::Message::Text(text) => {
                    if let Some(reason) = self.take(&text) {
                        return reason;
                    }
                }
                tungstenite::Message::Close(frame) => {
                    let (code, reason) = frame
                        .map_or((NO_STATUS, String::new()), |CloseFrame { code, reason }| {
                            (code.into(), reason.to_string())
                        });
                    return CloseReason::Server { code, reason };
                }
                tungstenite::Message::Binary(_) => self.ignore("a binary message"),
                // tungstenite answers pings.
                _ => {}
            }
        }
    }

    /// Takes a text of the server; the reason to end the connection, if it is one.
    fn take(&self, text: &str) -> Option<CloseReason> {
        let event = match Message::parse(text) {
            None => {
                self.ignore("a text that is no protoo message");
                return None;
            }
            Some(Message::Response { id, result }) => {
                self.shared.answered(id, result);
                return None;
            }
            Some(Message::Request { id, method, data }) => {
                let outgoing = self.shared.outgoing.lock().clone()?;
                PeerEvent::Request(IncomingRequest::new(id, method, data, outgoing))
            }
            Some(Message::Notification { method, data }) => PeerEvent::Notification { method, data },
        };
        match self.events.try_send(event) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(_)) => {
                Some(CloseReason::Overrun(self.shared.options.max_events))
            }
            // The application is not interested in events.
            Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    fn ignore(&self, what: &str) {
        let ignored = self.shared.ignored.fetch_add(1, Ordering::Relaxed);
        if ignored == 0 {
            tracing::warn!("the server sends {what}, which is ignored");
        }
    }

    async fn write(&self, sink: &mut Sink, outgoing: &mut mpsc::Receiver<String>) -> CloseReason {
        let mut pings = tokio::time::interval(self.shared.options.keep_alive);
        pings.reset();
        loop {
            let message = tokio::select! {
                text = outgoing.recv() => match text {
                    Some(text) => tungstenite::Message::text(text),
                    // The queue ends with the connection only.
                    None => std::future::pending().await,
                },
                _ = pings.tick() => tungstenite::Message::Ping(Default::default()),
            };
            match tokio::time::timeout(WRITE_TIMEOUT, sink.send(message)).await {
                Ok(Ok(())) => {}
                // Reading says more: it has the close frame, if there is one.
                Ok(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed)) => {
                    std::future::pending().await
                }
                Ok(Err(error)) => return CloseReason::Broken(error.to_string()),
                Err(_) => return CloseReason::Broken("the server does not read".to_owned()),
            }
        }
    }
}

/// Sends what waits, if this side ends the connection, and the close frame.
async fn finish(
    reason: &CloseReason,
    mut sink: Sink,
    mut stream: Stream,
    mut outgoing: mpsc::Receiver<String>,
) -> Result<(), tungstenite::Error> {
    if let CloseReason::Broken(_) = reason {
        return Ok(());
    }
    if *reason == CloseReason::Local {
        while let Ok(text) = outgoing.try_recv() {
            sink.feed(tungstenite::Message::text(text)).await?;
        }
        let frame = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
        sink.send(tungstenite::Message::Close(Some(frame))).await?;
        while stream.next().await.transpose()?.is_some() {}
    }
    sink.close().await
}
