//! A worker process for mediasoup's Node library, in place of the library's own.
//!
//! The library starts one process for each `createWorker()`, sends requests on file descriptor 3, and reads responses
//! and events on 4. [`main`] is the whole program. A [`dialect::Dialect`], a codec between the wire and
//! [`tureen_engine::api`], passes the library's messages to the engine:
//!
//! ```text
//! fd 3 ──► channel::Inbox ──► Dialect ──► tureen_driver::Engine ──► sockets
//! fd 4 ◄── channel::Outbox ◄── Dialect ◄───────┘
//! ```
//!
//! Libraries 3.6 to 3.12 have a second pair, 5 and 6, for packets and messages of the application.
//!
//! Everything runs on one thread: requests are served between two batches of datagrams, and their responses are
//! written at the end of the turn. This needs no hand-over and no lock, and one write carries everything of a turn.
#![warn(missing_debug_implementations, clippy::unwrap_used)]

pub mod arguments;
#[cfg(unix)]
pub mod channel;
pub mod dialect;
pub mod flatbuffers;
pub mod json;
pub mod logging;
mod parts;
#[cfg(unix)]
mod process;
pub mod versions;

use std::process::ExitCode;

use tureen_driver::{Engine, EngineConfig};
use tureen_engine::worker::Limits;
use tureen_net::{Net, NetConfig};
use tureen_rtc::dtls::DtlsOptions;

use arguments::{Arguments, Command};
use versions::Version;

/// Exit status without `MEDIASOUP_VERSION`: mediasoup's library did not start this process.
const EXIT_NO_LIBRARY: u8 = 41;
/// Exit status for invalid settings. The library throws a `TypeError` for it.
const EXIT_SETTINGS: u8 = 42;

/// Runs the program. Exit status 0: ended on request, or the parent is gone; 41: not started by mediasoup's library;
/// 42: invalid settings or an unsupported version of the library; 1: an error of the operating system or a defect.
pub fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", arguments::help());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("tureen-worker {} (mediasoup {})", env!("CARGO_PKG_VERSION"), versions::supported());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(arguments)) => arguments,
        Err(error) => return fail(EXIT_SETTINGS, error),
    };
    let Ok(version) = std::env::var("MEDIASOUP_VERSION") else {
        return fail(EXIT_NO_LIBRARY, "not started by mediasoup's library; --help explains how that is done");
    };
    match Version::parse(&version) {
        Some(version) => serve(arguments, version),
        None => {
            let text =
                format!("mediasoup {version} is not supported; supported is {}", versions::supported());
            fail(EXIT_SETTINGS, text)
        }
    }
}

#[cfg(unix)]
fn serve(arguments: Arguments, version: Version) -> ExitCode {
    let channels = match claim_channels(version.has_payload_channel()) {
        Ok(channels) => channels,
        Err(error) => return fail(EXIT_NO_LIBRARY, format!("there is no channel: {error}")),
    };
    let log = logging::Log::default();
    if let Err(error) = log.set(&arguments.log) {
        return fail(EXIT_SETTINGS, error);
    }
    // Cannot fail, because this is the only subscriber of the process.
    let _ = tracing::subscriber::set_global_default(log.clone());
    let engine = match start_engine(arguments) {
        Ok(engine) => engine,
        Err(error) => return fail(EXIT_SETTINGS, error),
    };
    let pid = std::process::id();
    let result = match version {
        Version::FlatBuffers => {
            process::run(engine, flatbuffers::FlatBuffers::new(pid), flatbuffers::FRAMES, channels, log)
        }
        Version::Json(generation) => {
            process::run(engine, json::Json::new(generation, pid), generation.frames(), channels, log)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, error),
    }
}

#[cfg(not(unix))]
fn serve(_: Arguments, _: Version) -> ExitCode {
    fail(1, "the channel needs inherited file descriptors, which only Unix has")
}

/// The channel, and the payload channel if the version has one.
#[cfg(unix)]
fn claim_channels(payload: bool) -> std::io::Result<(process::Fds, Option<process::Fds>)> {
    use tureen_net::claim_fd as claim;
    let main = (claim(3)?, claim(4)?);
    let payload = if payload { Some((claim(5)?, claim(6)?)) } else { None };
    Ok((main, payload))
}

#[cfg(unix)]
fn start_engine(arguments: Arguments) -> std::io::Result<Engine> {
    let config = EngineConfig {
        rtc_port_range: arguments.rtc_port_range,
        dtls_files: arguments.dtls_files,
        dtls: DtlsOptions::default(),
        limits: Limits::default(),
        batches_per_turn: 16,
    };
    Engine::start(config, Net::new(NetConfig::default())?)
}

/// The library logs the lines on standard error.
fn fail(status: u8, error: impl std::fmt::Display) -> ExitCode {
    eprintln!("tureen-worker: {error}");
    ExitCode::from(status)
}
