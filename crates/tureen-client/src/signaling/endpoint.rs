//! Where a server is, and the connection to it.

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::{TlsOptions, TlsOptionsError};

/// Why there is no connection to a server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL can't be used.
    #[error("{url:?} can't be used as a URL: {why}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS options can't be used.
    #[error(transparent)]
    TlsOptions(#[from] TlsOptionsError),
    /// Nobody answers there.
    #[error("can't connect to {address}: {why}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// TLS fails, which includes a certificate that is not accepted.
    #[error("TLS with {address} fails: {why}")]
    Tls {
        /// Host and port.
        address: String,
        /// What TLS says.
        why: std::io::Error,
    },
}

/// TCP or TLS.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    pub(crate) is_secure: bool,
}

impl Endpoint {
    /// The server of a URL, with the names of the two schemes.
    pub(crate) fn new(uri: &Uri, plain: &str, secure: &str) -> Result<Self, String> {
        let is_secure = match uri.scheme_str() {
            Some(scheme) if scheme == secure => true,
            Some(scheme) if scheme == plain => false,
            Some(_) => return Err(format!("the scheme is neither {secure} nor {plain}")),
            None => return Err(format!("the scheme, {secure} or {plain}, is missing")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("the host is missing")?;
        let port = port_text(uri, host).map_or(Ok(if is_secure { 443 } else { 80 }), |text| {
            text.parse().map_err(|_| format!("the port {text:?} is not a number up to 65535"))
        })?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, is_secure })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    pub(crate) async fn open(&self, tls: &TlsOptions) -> Result<Box<dyn ByteStream>, OpenError> {
        let address = self.address();
        let connected = TcpStream::connect((&*self.host, self.port)).await;
        let stream = connected.map_err(|why| OpenError::Connect { address: address.clone(), why })?;
        // Requests are small, and answers are waited for. Where it can't be set, it is only slower.
        let _ = stream.set_nodelay(true);
        if !self.is_secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|why| OpenError::Url {
            url: self.host.clone(),
            why: format!("no certificate can have this host: {why}"),
        })?;
        let secured = TlsConnector::from(tls.client_config()?).connect(name, stream).await;
        Ok(Box::new(secured.map_err(|why| OpenError::Tls { address, why })?))
    }
}

/// What stands behind the colon. `Uri` takes a port out of range for none.
fn port_text<'a>(uri: &'a Uri, host: &str) -> Option<&'a str> {
    let authority = uri.authority()?.as_str();
    let after_user = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    after_user.strip_prefix(host)?.strip_prefix(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_and_a_port() {
        let endpoint = |url: &str| Endpoint::new(&url.parse().unwrap(), "ws", "wss");
        let address = |url| endpoint(url).unwrap().address();
        assert_eq!(address("ws://[::1]/?roomId=r"), "[::1]:80");
        assert_eq!(address("wss://a.example"), "a.example:443");
        assert_eq!(address("wss://a:4443/b"), "a:4443");
        assert!(endpoint("wss://a").unwrap().is_secure && !endpoint("ws://a").unwrap().is_secure);
        assert_eq!(endpoint("https://a").unwrap_err(), "the scheme is neither wss nor ws");
        assert_eq!(endpoint("a:1").unwrap_err(), "the scheme, wss or ws, is missing");
        assert_eq!(address("ws://user:1@[::1]:4443"), "[::1]:4443");
        assert!(endpoint("wss://a:99999/").unwrap_err().contains("\"99999\""));
    }
}
