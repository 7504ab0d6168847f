//! Video rooms: signalling, HTTP API and the web app.
//!
//! [`Server::start`] runs everything from one [`ServerConfig`]. Inside, from a client to its media: `http` (TCP, TLS,
//! routes) → `admission` (who may enter, by the tokens of `access`) → `signaling` (messages, their order, JSON) → `placement` (rooms by id, media
//! workers) → `room` (participants and what they ask for). Events go back from `room` to `signaling`, which writes them.

pub mod access;
mod addresses;
mod admission;
mod bucket;
mod codecs;
pub mod config;
mod error;
mod http;
mod networks;
mod opaque;
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

/// Version that clients are told: the mediasoup version whose behaviour they can expect, and ours.
fn mediasoup_version() -> String {
    format!("{}+tureen.{}", tureen::MEDIASOUP_VERSION, env!("CARGO_PKG_VERSION"))
}
