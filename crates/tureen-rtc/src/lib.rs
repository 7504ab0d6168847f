//! The protocols of WebRTC without I/O, for both sides of a wire.
//!
//! Bytes and time come in as arguments, bytes and events go out. The engine of the server and the client stand on this
//! crate; nothing in it knows a Producer, a Consumer or a worker.
//!
//! - [`wire`]: packet formats (RTP with its extensions and payload descriptors, RTCP, STUN).
//! - [`demux`], [`ice`], [`dtls`], [`srtp`], [`sctp`]: a connection, from the first datagram to messages.
//! - [`receive`]: what a receiver of RTP keeps for each stream, and its feedback.
//! - [`bwe`]: congestion control of a sender.
//! - [`units`], [`seq`], [`rate`], [`tuple`]: words that all of them use.
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, clippy::unwrap_used)]

pub mod bwe;
pub mod demux;
pub mod dtls;
pub mod ice;
pub mod log;
pub mod rate;
pub mod receive;
pub mod sctp;
pub mod seq;
pub mod srtp;
pub mod tuple;
pub mod units;
pub mod wire;
