//! `tureen serve`: reads settings from flags, file and defaults, and runs the server until a signal.

use std::{
    error::Error,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use tureen_server::{Server, ServerConfig, lan_address};

pub(crate) const ABOUT: &str = "\
Run the room server and its web app

Serves everything on one HTTPS port: the web app, the signalling of mediasoup-demo (protoo over WebSocket) and the
HTTP API. Media goes over one UDP and TCP port per worker, from --rtc-port up.

Every setting has a default. Flags go before environment variables, those before the file of --config.";

pub(crate) const EXAMPLES: &str = "\
Examples:
  tureen serve
      A server for this machine and its network. Open the printed address in a browser.
  tureen serve --announce 203.0.113.7 --tls-cert fullchain.pem --tls-key privkey.pem
      On a public machine. Open TCP 4443, and 44444 up (one per worker) for UDP and TCP.
  tureen serve --no-tls --listen 127.0.0.1:8080 --announce sfu.example.org
      Behind a proxy that does TLS. It must pass WebSockets on. If its host name is not the announced one, list its
      origin in allowed_origins; list its address in trusted_proxies (--config).
  tureen serve --config tureen.toml --workers 2

TUREEN_LOG sets what is logged, e.g. TUREEN_LOG=warn or TUREEN_LOG=info,tureen_server=debug.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// TOML file with settings; a key that is not known is an error
    #[arg(long, value_name = "FILE", env = "TUREEN_CONFIG", help_heading = "General")]
    config: Option<PathBuf>,

    /// Directory for what the server keeps, such as its own certificate
    /// [default: $XDG_STATE_HOME/tureen or ~/.local/state/tureen]
    #[arg(long, value_name = "DIR", env = "TUREEN_STATE_DIR", help_heading = "General")]
    state_dir: Option<PathBuf>,

    /// Media workers; each is a thread and an RTC port [default: one per core]
    #[arg(long, value_name = "N", env = "TUREEN_WORKERS", help_heading = "General")]
    workers: Option<usize>,

    /// Where HTTPS and WSS are served [default: 0.0.0.0:4443]
    #[arg(long, value_name = "IP:PORT", env = "TUREEN_LISTEN", help_heading = "Web server")]
    listen: Option<SocketAddr>,

    /// Certificate chain (PEM) [default: a self-signed one, made once]
    #[arg(long, value_name = "FILE", env = "TUREEN_TLS_CERT", help_heading = "Web server")]
    tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", env = "TUREEN_TLS_KEY", help_heading = "Web server")]
    tls_key: Option<PathBuf>,

    /// Serve plain HTTP, for use behind a proxy: browsers give no camera to plain HTTP but on localhost
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"], help_heading = "Web server")]
    no_tls: bool,

    /// Address or name that clients send media to; an address of this machine is listened on too
    /// [default: this machine's address in its network]
    #[arg(long, value_name = "IP|NAME", env = "TUREEN_ANNOUNCE", help_heading = "Media")]
    announce: Option<String>,

    /// Local address for media; may be repeated [default: this machine's in its network, and 127.0.0.1]
    #[arg(long, value_name = "IP", help_heading = "Media")]
    rtc_listen: Vec<IpAddr>,

    /// UDP and TCP port of the first worker; the others take the next ones [default: 44444]
    #[arg(long, value_name = "N", env = "TUREEN_RTC_PORT", help_heading = "Media")]
    rtc_port: Option<u16>,
}

impl Args {
    /// Settings in order of precedence: flags, file, defaults.
    fn config(self) -> Result<ServerConfig, tureen_server::ConfigError> {
        let mut config = match &self.config {
            Some(path) => ServerConfig::from_file(path)?,
            None => ServerConfig::default(),
        };
        config.listen = self.listen.unwrap_or(config.listen);
        config.workers = self.workers.unwrap_or(config.workers);
        config.state_dir = self.state_dir.or(config.state_dir);
        config.tls.enabled &= !self.no_tls;
        if self.tls_cert.is_some() || self.tls_key.is_some() {
            // Certificate and key are set together, so that a flag is never combined with a value of the file.
            (config.tls.cert, config.tls.key) = (self.tls_cert, self.tls_key);
        }
        config.rtc.announce = self.announce.or(config.rtc.announce);
        config.rtc.port = self.rtc_port.unwrap_or(config.rtc.port);
        if !self.rtc_listen.is_empty() {
            config.rtc.listen = self.rtc_listen;
        }
        Ok(config)
    }
}

/// Runs the server until SIGINT or SIGTERM.
#[tokio::main]
pub(crate) async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let config = args.config()?;
    // Signals are registered before the start, so that none is lost.
    let mut signals = Signals::new()?;
    let server = Server::start(config.clone()).await?;
    let media: Vec<_> = server.media_addresses().iter().map(ToString::to_string).collect();
    print!("{}", welcome(&config, server.local_addr(), &media, server.self_signed_cert(), lan_address()));

    signals.recv().await;
    eprintln!("Stopping. Once more stops at once.");
    tokio::select! {
        () = server.shutdown() => Ok(()),
        () = signals.recv() => Err("stopped at once".into()),
    }
}

/// Text about the next steps, for the person who started the server.
fn welcome(
    config: &ServerConfig,
    address: SocketAddr,
    media: &[String],
    self_signed: Option<&Path>,
    lan: Option<IpAddr>,
) -> String {
    let scheme = if config.tls.enabled { "https" } else { "http" };
    let port = address.port();
    let mut urls = Vec::new();
    if address.ip().is_unspecified() {
        urls.push((format!("{scheme}://localhost:{port}"), "on this machine"));
        if let Some(ip) = lan.filter(|ip| !ip.is_loopback()) {
            urls.push((format!("{scheme}://{}", SocketAddr::new(ip, port)), "in this network"));
        }
    } else if address.ip().is_loopback() {
        urls.push((format!("{scheme}://localhost:{port}"), "on this machine"));
    } else {
        urls.push((format!("{scheme}://{address}"), ""));
    }

    let width = urls.iter().map(|(url, _)| url.len()).max().unwrap_or(0);
    let mut text = String::from("\n  Tureen is running. Open in a browser:\n\n");
    for (url, note) in urls {
        let _ = writeln!(text, "{}", format!("    {url:width$}  {note}").trim_end());
    }
    text.push_str("\n  Media is received on:\n\n");
    for address in media {
        let _ = writeln!(text, "    {address}");
    }
    if let Some(path) = self_signed {
        let _ = write!(
            text,
            "\n  The browser will warn of the self-signed certificate: go on past the warning.\n  \
             It is {}; --tls-cert and --tls-key give another one.\n",
            path.display()
        );
    }
    text.push_str("\n  Ctrl-C stops.\n\n");
    text
}

/// SIGINT and, on Unix, SIGTERM.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn recv(&mut self) {
        // Without a console there are no signals to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn config(flags: &[&str]) -> Result<ServerConfig, tureen_server::ConfigError> {
        let flags = ["serve"].iter().chain(flags);
        Cli::try_parse_from(flags).unwrap().args.config()
    }

    #[test]
    fn flags_go_before_the_file() {
        let path = std::env::temp_dir().join(format!("tureen-flags-{}.toml", std::process::id()));
        std::fs::write(&path, "workers = 3\n[rtc]\nport = 50000\nannounce = \"a.example\"\n").unwrap();
        let config = config(&["--config", path.to_str().unwrap(), "--rtc-port", "50100"]);
        std::fs::remove_file(&path).unwrap();
        let config = config.unwrap();
        assert_eq!((config.workers, config.rtc.port), (3, 50100));
        assert_eq!(config.rtc.announce.as_deref(), Some("a.example"));
        assert_eq!(config.listen, ServerConfig::default().listen);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = config(&["--config", "/nonexistent/tureen.toml"]).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/tureen.toml"), "{error}");
    }

    #[test]
    fn the_start_message_lists_every_address_once() {
        let config = ServerConfig::default();
        let lan = "10.1.2.3".parse().ok();
        let media = ["10.1.2.3, UDP and TCP port 44444, announced as 203.0.113.7".to_owned()];
        let cert = Some(Path::new("/x/cert.pem"));
        let text = welcome(&config, "0.0.0.0:4443".parse().unwrap(), &media, cert, lan);
        for part in ["https://localhost:4443 ", "https://10.1.2.3:4443 ", "/x/cert.pem", &media[0]] {
            assert_eq!(text.matches(part).count(), 1, "{text}");
        }
        let text = welcome(&config, "127.0.0.1:1".parse().unwrap(), &[], None, lan);
        assert!(text.contains("https://localhost:1") && !text.contains("10.1.2.3"), "{text}");
    }
}
