//! A GET of a small document over HTTPS, for the JWKS of an identity provider.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, Uri, header},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Time from connecting to the last byte.
const TIME: Duration = Duration::from_secs(10);

/// An address that may be read: HTTPS, or HTTP of this machine.
#[derive(Clone, Debug)]
pub(super) struct Address {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads a URL; `None` if it is none that may be read.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_here =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" if is_here => false,
            _ => return None,
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        (!host.is_empty()).then_some(Self { uri, host, port, tls })
    }
}

/// The address without its query, which may have a secret.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

/// Reason for which a document could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("did not come within {} s", TIME.as_secs())]
    TimedOut,
    #[error("can't be reached: {0}")]
    Io(#[from] io::Error),
    #[error("can't be read: {0}")]
    Http(#[from] hyper::Error),
    #[error("was answered with status {0}; redirections are not followed")]
    Status(StatusCode),
    #[error("is longer than {0} bytes, or ended early")]
    Body(usize),
    #[error("has a host that no certificate names")]
    Host,
}

/// Reads a document of at most `most` bytes.
pub(super) async fn get(address: &Address, most: usize) -> Result<Vec<u8>, FetchError> {
    tokio::time::timeout(TIME, get_slowly(address, most)).await.map_err(|_elapsed| FetchError::TimedOut)?
}

async fn get_slowly(address: &Address, most: usize) -> Result<Vec<u8>, FetchError> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    if !address.tls {
        return exchange(stream, address, most).await;
    }
    let name = ServerName::try_from(address.host.clone()).map_err(|_invalid| FetchError::Host)?;
    let stream = TlsConnector::from(tls_config()).connect(name, stream).await?;
    exchange(stream, address, most).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: &Address,
    most: usize,
) -> Result<Vec<u8>, FetchError> {
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    let target = address.uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = address.uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .body(Body::empty())
        .expect("the parts of a URI that was parsed");
    let answered = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Body::new(response.into_body());
        let bytes = axum::body::to_bytes(body, most).await.map_err(|_too_long| FetchError::Body(most))?;
        Ok(bytes.to_vec())
    };
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        // The connection drives the answer, and may end before it has been read from memory.
        _ended = &mut connection => answered.await,
        answer = &mut answered => answer,
    }
}

/// TLS with the certificate authorities of this machine.
fn tls_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        // Those that can't be read are left out; without any no connection is made.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    };
    Arc::clone(CONFIG.get_or_init(make))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Reads from a server that answers one request with `answer`, and says how many bytes it could send.
    async fn read_from(answer: Vec<u8>, most: usize) -> (Result<Vec<u8>, FetchError>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&format!("http://{}/jwks?x=1", listener.local_addr().unwrap())).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let len = stream.read(&mut request).await.unwrap();
            assert!(request[..len].starts_with(b"GET /jwks?x=1 HTTP/1.1\r\n"));
            let mut sent = 0;
            for chunk in answer.chunks(64 << 10) {
                if stream.write_all(chunk).await.is_err() {
                    break;
                }
                sent += chunk.len();
            }
            sent
        };
        tokio::join!(get(&address, most), serve)
    }

    #[tokio::test]
    async fn a_document_is_read_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec();
        assert_eq!(read_from(answer, 100).await.0.unwrap(), b"{}");
    }

    #[tokio::test]
    async fn a_document_without_end_is_given_up_at_its_bound() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(100 << 20, b' ');
        let (read, sent) = read_from(answer, 1000).await;
        assert!(matches!(read, Err(FetchError::Body(1000))), "{read:?}");
        assert!(sent < 20 << 20, "{sent} bytes were taken");
    }

    #[tokio::test]
    async fn a_redirection_is_not_followed() {
        let answer =
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec();
        let (read, _) = read_from(answer, 100).await;
        assert!(matches!(read, Err(FetchError::Status(StatusCode::FOUND))), "{read:?}");
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let hang = async {
            let (_stream, _) = listener.accept().await.unwrap();
            // From here on the clock stands, and jumps to the next timer: nothing else is to be waited for.
            tokio::time::pause();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            read = get(&address, 100) => assert!(matches!(read, Err(FetchError::TimedOut)), "{read:?}"),
            () = hang => {}
        }
    }

    #[test]
    fn an_address_is_shown_without_its_query() {
        let address = Address::parse("https://idp.example:8443/keys?secret=1").unwrap();
        assert_eq!(address.to_string(), "https://idp.example:8443/keys");
        assert!(Address::parse("https://user:pw@idp.example/").is_none());
    }
}
