//! A small HTTP client: one request, one connection, JSON in and text out.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::signaling::{Endpoint, OpenError, TlsOptions, reason};

/// Longest body of an answer, in bytes.
const MAX_BODY: usize = 1 << 20;

/// Why an HTTP request failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server refuses.
    #[error("{method} {path}: {reason} ({status})")]
    Refused {
        /// Method.
        method: String,
        /// Path.
        path: String,
        /// HTTP status.
        status: u16,
        /// What the server says, or the name of the status.
        reason: String,
    },
    /// What comes is not HTTP, too long, or breaks off.
    #[error("{method} {path}: {why}")]
    Broken {
        /// Method.
        method: String,
        /// Path.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// It takes too long.
    #[error("{method} {path}: no answer within {after:?}")]
    Timeout {
        /// Method.
        method: String,
        /// Path.
        path: String,
        /// The limit.
        after: Duration,
    },
}

/// A server, with a path below which the requests go.
#[derive(Clone, Debug)]
pub(super) struct HttpServer {
    endpoint: Endpoint,
    base_path: String,
    tls: TlsOptions,
    timeout: Duration,
}

impl HttpServer {
    pub(super) fn new(url: &str, tls: TlsOptions, timeout: Duration) -> Result<Self, OpenError> {
        let wrong = |why: String| OpenError::Url { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|error: hyper::http::uri::InvalidUri| wrong(error.to_string()))?;
        let endpoint = Endpoint::new(&uri, "http", "https").map_err(wrong)?;
        let base_path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { endpoint, base_path, tls, timeout })
    }

    /// Sends a request and reads the text of a good answer.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Bytes, HttpError> {
        let after = self.timeout;
        match tokio::time::timeout(after, self.try_call(&method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Timeout { method: method.to_string(), path: path.to_owned(), after }),
        }
    }

    async fn try_call(&self, method: &Method, path: &str, body: Option<Value>) -> Result<Bytes, HttpError> {
        let broken =
            |why: String| HttpError::Broken { method: method.to_string(), path: path.to_owned(), why };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_path))
            .header(HOST, self.endpoint.address())
            .header(CONNECTION, "close")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default())))
            .map_err(|error| broken(error.to_string()))?;
        let stream = TokioIo::new(self.endpoint.open(&self.tls).await?);
        let handshake = hyper::client::conn::http1::handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(error.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|error| broken(error.to_string()))?.to_bytes();
            Ok::<_, HttpError>((status, body))
        };
        // The connection makes progress only while it is polled.
        let mut exchange = std::pin::pin!(exchange);
        let (status, body) = tokio::select! {
            biased;
            answer = &mut exchange => answer?,
            _ = connection => exchange.await?,
        };
        if status.is_success() {
            return Ok(body);
        }
        Err(HttpError::Refused {
            method: method.to_string(),
            path: path.to_owned(),
            status: status.as_u16(),
            reason: reason(status, &body),
        })
    }
}
