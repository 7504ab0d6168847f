//! The native client against the library: real sockets, one process.

mod data;
mod failures;
mod media;
mod paths;
mod setup;
mod simulcast;
