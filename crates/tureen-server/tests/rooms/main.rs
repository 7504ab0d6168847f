//! The server as clients see it: signalling over real WebSockets, and HTTP. Calls are tested with browsers.

mod access;
mod addresses;
mod broadcasters;
mod client;
mod data;
mod lost;
mod media;
mod moderation;
mod signaling;
mod web;
mod workers;
