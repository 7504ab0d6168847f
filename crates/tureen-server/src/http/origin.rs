//! Check of the web pages that use the server from a visitor's browser.
//!
//! Browsers allow any page to open WebSockets to any server and to send simple POST requests; they only add the page's
//! origin (RFC 6454, RFC 6455 §10.2). Other programs send no origin.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::{config::ServerConfig, tally::Shown};

/// Checks the `Origin` of a request that changes something.
///
/// Allowed are pages of the request's host, on any port, and `allowed_origins`. Without TLS a page whose host name
/// merely resolves to this server's address (DNS rebinding) would count as a page of the same host, so that the host
/// name must be known. With TLS the certificate prevents that.
pub(crate) fn check(config: &ServerConfig, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let listed =
        config.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
    if listed && origins.next().is_none() {
        return Ok(());
    }
    let host = host_name(headers.get(header::HOST));
    match (parse(origin), host) {
        (Some(from), Some(host)) if from.host.eq_ignore_ascii_case(&host) && origins.next().is_none() => {
            if config.tls.enabled || is_known(config, &host) {
                return Ok(());
            }
            let host = Shown(&host);
            Err(refused(format_args!("host {host} is not known; add its pages' origin to allowed_origins")))
        }
        _ => {
            let origin = Shown(origin);
            Err(refused(format_args!("pages of {origin} may not use this server; see allowed_origins")))
        }
    }
}

/// Origin of a page in the form that browsers send.
pub(crate) struct Origin {
    pub(crate) host: String,
}

/// Reads `scheme://host` or `scheme://host:port`.
pub(crate) fn parse(origin: &str) -> Option<Origin> {
    let uri: Uri = origin.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/") && !origin.ends_with('/');
    let authority = uri.authority()?;
    let plain = !authority.as_str().contains('@');
    (matches!(scheme, "http" | "https") && bare && plain)
        .then(|| Origin { host: authority.host().to_owned() })
}

/// The host of a `Host` header, without its port.
fn host_name(host: Option<&HeaderValue>) -> Option<String> {
    let authority: axum::http::uri::Authority = host?.to_str().ok()?.parse().ok()?;
    Some(authority.host().to_owned())
}

/// True for a host name that cannot be under somebody else's control: an address, this machine, or a host of the
/// configuration.
fn is_known(config: &ServerConfig, host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let local = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    let is_host = |name: &str| name.eq_ignore_ascii_case(host);
    local
        || address.parse::<std::net::IpAddr>().is_ok()
        || config.rtc.announce.as_deref().is_some_and(is_host)
        || config
            .allowed_origins
            .iter()
            .any(|origin| parse(origin).is_some_and(|origin| is_host(&origin.host)))
}

fn refused(why: std::fmt::Arguments<'_>) -> (StatusCode, String) {
    (StatusCode::FORBIDDEN, format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(config: &ServerConfig, host: &str, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        check(config, &headers).is_ok()
    }

    #[test]
    fn pages_of_the_same_host_are_allowed_on_any_port_and_others_are_not() {
        let config = ServerConfig::default();
        assert!(passes(&config, "sfu.example:4443", &[]), "programs send no origin");
        for origin in ["https://sfu.example:4443", "https://SFU.example", "https://sfu.example:3000"] {
            assert!(passes(&config, "sfu.example:4443", &[origin]), "{origin}");
        }
        assert!(passes(&config, "[::1]:4443", &["https://[::1]:3000"]));
        for origin in [
            "https://evil.example",
            "https://sfu.example.evil.example",
            "https://evil.example@sfu.example",
            "https://sfu.example/path",
            "null",
            "",
            "sfu.example",
            "file://sfu.example",
        ] {
            assert!(!passes(&config, "sfu.example:4443", &[origin]), "{origin}");
        }
        assert!(!passes(&config, "sfu.example", &["https://sfu.example", "https://evil.example"]));
        assert!(!passes(&config, "a b", &["https://sfu.example"]));
    }

    #[test]
    fn listed_origins_are_allowed_for_any_host() {
        let allowed_origins = vec!["https://app.example".to_owned()];
        let config = ServerConfig { allowed_origins, ..ServerConfig::default() };
        assert!(passes(&config, "sfu.example:4443", &["https://app.example"]));
        assert!(!passes(&config, "sfu.example:4443", &["https://app.example:8080"]));
        assert!(!passes(&config, "sfu.example:4443", &["https://app.example", "https://evil.example"]));
        let any = ServerConfig { allowed_origins: vec!["*".to_owned()], ..ServerConfig::default() };
        assert!(passes(&any, "sfu.example:4443", &["null"]));
    }

    #[test]
    fn without_tls_other_host_names_must_be_configured() {
        let mut config = ServerConfig::default();
        config.tls.enabled = false;
        for host in ["127.0.0.1:8080", "localhost:8080", "app.localhost:8080", "[::1]:8080", "192.168.1.5"] {
            assert!(passes(&config, host, &[&format!("http://{host}")]), "{host}");
        }
        assert!(!passes(&config, "rebound.example:8080", &["http://rebound.example:8080"]));
        config.allowed_origins = vec!["https://meet.example".to_owned()];
        assert!(passes(&config, "meet.example", &["https://meet.example"]));
        config.rtc.announce = Some("sfu.example".to_owned());
        assert!(passes(&config, "sfu.example", &["https://sfu.example"]));
    }
}
