//! The server from a client's view: signalling over real WebSockets, and HTTP. Media is tested with browsers.

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
