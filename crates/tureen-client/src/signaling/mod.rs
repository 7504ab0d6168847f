//! What [`protoo`](crate::protoo) and [`broadcaster`](crate::broadcaster) have in common: connections with TLS, and data.

mod endpoint;
mod schema;
mod tls;

pub use self::endpoint::OpenError;
pub(crate) use self::endpoint::{ByteStream, Endpoint};
pub(crate) use self::schema::router_capabilities;
pub use self::schema::{ConsumerType, DeviceInfo, TransportInfo};
pub use self::tls::{ServerTrust, TlsOptions, TlsOptionsError};

/// Longest reason of a server that is repeated in an error.
const MAX_REASON: usize = 500;

/// What a server says of an error in a body, or the name of the HTTP status.
pub(crate) fn reason(status: http::StatusCode, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).trim().chars().take(MAX_REASON).collect();
    if text.is_empty() { status.canonical_reason().unwrap_or("no reason given").to_owned() } else { text }
}
