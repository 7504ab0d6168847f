//! Video rooms: signalling, HTTP API and the web app.
//!
//! [`Server::start`] runs everything from one [`ServerConfig`]. Inside, from a client to its media:
//! `listener` (TCP, TLS) → `http` (routes, WebSocket) → `protoo` (messages, order, time-outs) → `rooms` (by id) →
//! `room` (peers and what they ask for) → `workers` (Tureen's media workers).

mod addresses;
mod bucket;
mod codecs;
pub mod config;
mod http;
mod networks;
mod per_address;
mod placement;
mod room;
mod server;
mod signaling;
mod tally;

pub use self::{
    addresses::{MediaAddress, lan_address},
    config::{ConfigError, ServerConfig},
    http::tls::TlsError,
    networks::Network,
    placement::workers::StartWorkerError,
    server::{Server, StartError},
};

/// What clients are told at the start: the mediasoup version whose behaviour they can expect, and ours.
fn mediasoup_version() -> String {
    format!("{}+tureen.{}", tureen::MEDIASOUP_VERSION, env!("CARGO_PKG_VERSION"))
}
