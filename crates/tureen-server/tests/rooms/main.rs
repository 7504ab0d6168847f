//! The server as clients see it: signalling over real WebSockets, and HTTP. Media is tested with browsers.

mod client;
mod media;
mod signaling;
mod web;
