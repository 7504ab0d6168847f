//! Settings of a connection, and how it is made.

use std::time::Duration;

use rand::Rng;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri, uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};

use crate::signaling::{ByteStream, Endpoint, OpenError, TlsOptions, reason};

/// Settings of a [`Peer`](super::Peer).
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// Which certificates are accepted with `wss` URLs.
    pub tls: TlsOptions,
    /// Connects again after a loss; `None`: the first loss is the end.
    pub reconnect: Option<Reconnect>,
    /// Longest time of one attempt to connect, with TLS and the WebSocket handshake.
    pub connect_timeout: Duration,
    /// Longest time that the answer to a request may take. protoo-client waits 22 s.
    pub request_timeout: Duration,
    /// Interval of pings. A connection on which nothing comes for two of them is lost.
    pub keep_alive: Duration,
    /// Longest message that is accepted, in bytes; a longer one ends the connection. protoo has 960 000.
    pub max_message_bytes: usize,
    /// Requests that may wait for their answers at a time.
    pub max_requests: usize,
    /// Requests and notifications of the server that may wait to be read by the application; one more ends the connection,
    /// because nothing else keeps both sides in step.
    pub max_events: usize,
}

/// How often and when to connect again: protoo-client's policy and defaults. A server that closes with code 4000 is not
/// connected to again.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconnect {
    /// Attempts after the first failed one; `None` for as many as it takes.
    pub retries: Option<u32>,
    /// Wait before the first of them.
    pub min_wait: Duration,
    /// Longest wait.
    pub max_wait: Duration,
    /// Factor between two waits.
    pub factor: f64,
    /// Multiplies each wait by a random number from 1 to 2, so that many clients do not return at once.
    pub randomize: bool,
}

/// Why a connection can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no connection to the server.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server refuses the WebSocket.
    #[error("{address} refuses the connection: {reason} ({status})")]
    Refused {
        /// Host and port.
        address: String,
        /// HTTP status.
        status: u16,
        /// What the server says, or the name of the status.
        reason: String,
    },
    /// The server speaks no WebSocket with the subprotocol protoo.
    #[error("{address} does not speak protoo: {why}")]
    Protocol {
        /// Host and port.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// It takes too long.
    #[error("{address} does not answer within {after:?}")]
    Timeout {
        /// Host and port.
        address: String,
        /// [`PeerOptions::connect_timeout`].
        after: Duration,
    },
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            tls: TlsOptions::default(),
            reconnect: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(20),
            keep_alive: Duration::from_secs(30),
            max_message_bytes: 1 << 20,
            max_requests: 256,
            max_events: 4096,
        }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            retries: Some(10),
            min_wait: Duration::from_secs(1),
            max_wait: Duration::from_secs(8),
            factor: 2.0,
            randomize: false,
        }
    }
}

impl Reconnect {
    /// Wait before the attempt with this number, from 0; `None` after the last one.
    pub(super) fn wait(&self, attempt: u32) -> Option<Duration> {
        if self.retries.is_some_and(|retries| attempt >= retries) {
            return None;
        }
        let random = if self.randomize { rand::rng().random_range(1.0..=2.0) } else { 1.0 };
        let factor = self.factor.max(1.0).powi(attempt.min(64) as i32) * random;
        let seconds = (self.min_wait.as_secs_f64() * factor).min(self.max_wait.as_secs_f64());
        // Fails if the application's numbers are no numbers.
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(self.max_wait))
    }
}

pub(super) type Socket = WebSocketStream<Box<dyn ByteStream>>;

/// Where to connect.
#[derive(Clone, Debug)]
pub(super) struct Target {
    uri: Uri,
    endpoint: Endpoint,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, ConnectError> {
        let wrong = |why: String| OpenError::Url { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|error: uri::InvalidUri| wrong(error.to_string()))?;
        let endpoint = Endpoint::new(&uri, "ws", "wss").map_err(wrong)?;
        Ok(Self { uri, endpoint })
    }

    /// One attempt.
    pub(super) async fn connect(&self, options: &PeerOptions) -> Result<Socket, ConnectError> {
        let after = options.connect_timeout;
        let attempt = tokio::time::timeout(after, self.try_connect(options)).await;
        attempt.unwrap_or_else(|_| Err(ConnectError::Timeout { address: self.endpoint.address(), after }))
    }

    async fn try_connect(&self, options: &PeerOptions) -> Result<Socket, ConnectError> {
        let stream = self.endpoint.open(&options.tls).await?;
        let protocol = |why: tungstenite::Error| self.explain(why);
        let mut request = self.uri.clone().into_client_request().map_err(protocol)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("protoo"));
        let config = WebSocketConfig::default()
            .max_message_size(Some(options.max_message_bytes))
            .max_frame_size(Some(options.max_message_bytes));
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await.map_err(protocol)?;
        Ok(socket)
    }

    fn explain(&self, error: tungstenite::Error) -> ConnectError {
        let address = self.endpoint.address();
        let tungstenite::Error::Http(response) = error else {
            return ConnectError::Protocol { address, why: error.to_string() };
        };
        let status = response.status();
        let reason = reason(status, response.body().as_deref().unwrap_or_default());
        ConnectError::Refused { address, status: status.as_u16(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_one_and_end() {
        let waits = |reconnect: &Reconnect| (0..12).map_while(|at| reconnect.wait(at)).collect::<Vec<_>>();
        let seconds = [1, 2, 4, 8, 8, 8, 8, 8, 8, 8].map(Duration::from_secs);
        assert_eq!(waits(&Reconnect::default()), seconds);
        let endless = Reconnect { retries: None, randomize: true, ..Reconnect::default() };
        let random = waits(&endless);
        assert_eq!(random.len(), 12);
        assert!(random.iter().all(|wait| *wait >= Duration::from_secs(1) && *wait <= Duration::from_secs(8)));
        assert_eq!(endless.wait(u32::MAX), Some(Duration::from_secs(8)));
        let nonsense = Reconnect { factor: f64::NAN, ..Reconnect::default() };
        assert!(nonsense.wait(3).is_some());
    }

    #[test]
    fn wrong_urls_are_named() {
        for (url, part) in [
            ("", "empty"),
            ("https://a", "neither wss nor ws"),
            ("a:1", "scheme"),
            ("wss://", ""),
            ("wss://a b/", "invalid"),
            ("wss://a:99999/", ""),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains(&format!("{url:?}")) && error.contains(part), "{error}");
        }
    }
}
