//! Command line of the worker process.

use std::ops::RangeInclusive;

use tureen_driver::DtlsFiles;

use crate::dialect::LogSettings;
use crate::versions::supported;

/// Output of `--help`.
pub fn help() -> String {
    let supported = supported();
    format!(
        "\
tureen-worker: the media worker of mediasoup's Node library, a drop-in for its C++ worker.

It is not run by hand. mediasoup's library starts one for each createWorker():

    MEDIASOUP_WORKER_BIN=/path/to/tureen-worker node app.js

or, from mediasoup 3.19.11 on, mediasoup.createWorker({{ workerBin: '/path/to/tureen-worker' }}).
The library says by MEDIASOUP_VERSION which version it is. Supported: {supported}.

Options that the library gives (always --name=value):
    --logLevel=debug|warn|error|none      default error
    --logTag=TAG                          repeated; info ice dtls rtp srtp rtcp rtx bwe score
                                          simulcast svc sctp message
    --rtcMinPort=PORT --rtcMaxPort=PORT   default 10000 to 59999
    --dtlsCertificateFile=FILE --dtlsPrivateKeyFile=FILE
                                          PEM; generated if not given
    --libwebrtcFieldTrials, --disableLiburing are accepted and mean nothing

Exit status: 0 asked to end, or the parent has ended; 41 not started by mediasoup's library;
42 wrong settings or unsupported version; 1 anything else"
    )
}

/// Task of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a worker.
    Run(Arguments),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Settings of a worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Log settings.
    pub log: LogSettings,
    /// Ports of sockets whose listen info has no port.
    pub rtc_port_range: RangeInclusive<u16>,
    /// DTLS certificate and private key of all transports. `None` generates a pair.
    pub dtls_files: Option<DtlsFiles>,
}

/// Parses the command line without the program's name, like mediasoup's worker: `--name=value`, no short forms.
///
/// # Errors
/// A text that names the option and its error.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let (mut level, mut tags) = (None, Vec::new());
    let (mut min_port, mut max_port) = (10_000, 59_999);
    let (mut certificate, mut private_key) = (None, None);
    for argument in arguments {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--version" | "-V" => return Ok(Command::Version),
            _ => {}
        }
        let option = argument.strip_prefix("--").and_then(|option| option.split_once('='));
        let Some((name, value)) = option else {
            return Err(format!("{argument}: an option has the form --name=value"));
        };
        if value.is_empty() {
            return Err(format!("{argument}: the value is missing"));
        }
        let port = || value.parse().map_err(|_| format!("{argument}: a port is a number of 0 to 65535"));
        match name {
            "logLevel" => level = Some(value.to_owned()),
            "logTag" | "logTags" => tags.push(value.to_owned()),
            "rtcMinPort" => min_port = port()?,
            "rtcMaxPort" => max_port = port()?,
            "dtlsCertificateFile" => certificate = Some(value.into()),
            "dtlsPrivateKeyFile" => private_key = Some(value.into()),
            // Ignored, because they tune libraries that are not used here.
            "libwebrtcFieldTrials" | "disableLiburing" => {}
            _ => return Err(format!("{argument}: there is no such option")),
        }
    }
    if max_port < min_port {
        return Err(format!("rtcMaxPort {max_port} is less than rtcMinPort {min_port}"));
    }
    let dtls_files = match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => Some(DtlsFiles { certificate, private_key }),
        (None, None) => None,
        _ => return Err("dtlsCertificateFile and dtlsPrivateKeyFile must be given together".to_owned()),
    };
    let log = LogSettings { level, tags: Some(tags) };
    Ok(Command::Run(Arguments { log, rtc_port_range: min_port..=max_port, dtls_files }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Arguments, String> {
        match parse(arguments.iter().map(|&argument| argument.to_owned()))? {
            Command::Run(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_options_of_the_library_are_read() {
        let arguments = run(&[
            "--logLevel=debug",
            "--logTag=ice",
            "--logTags=dtls",
            "--rtcMinPort=0",
            "--rtcMaxPort=9999",
            "--dtlsCertificateFile=/a=b.pem",
            "--dtlsPrivateKeyFile=/c.pem",
            "--libwebrtcFieldTrials=WebRTC-Bwe-AlrLimitedBackoff/Disabled/",
            "--disableLiburing=true",
        ])
        .unwrap();
        assert_eq!(arguments.log.level.as_deref(), Some("debug"));
        assert_eq!(arguments.log.tags.unwrap(), ["ice", "dtls"]);
        assert_eq!(arguments.rtc_port_range, 0..=9999);
        assert_eq!(arguments.dtls_files.unwrap().certificate.to_str(), Some("/a=b.pem"));
    }

    #[test]
    fn invalid_settings_are_named() {
        for (arguments, part) in [
            (&["--rtcMinPort=1000", "--rtcMaxPort=999"][..], "less than rtcMinPort 1000"),
            (&["--rtcMaxPort=65536"], "--rtcMaxPort=65536"),
            (&["--rtcMinPort=-1"], "--rtcMinPort=-1"),
            (&["--dtlsCertificateFile=/a"], "together"),
            (&["--logLevel"], "--name=value"),
            (&["--logLevel="], "missing"),
            (&["-l=debug"], "--name=value"),
            (&["debug"], "--name=value"),
            (&["--colour=red"], "no such option"),
        ] {
            let error = run(arguments).unwrap_err();
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn help_and_version_come_before_everything_else() {
        assert_eq!(parse(["--help".to_owned(), "--bad".to_owned()]), Ok(Command::Help));
        assert_eq!(parse(["--version".to_owned()]), Ok(Command::Version));
    }
}
