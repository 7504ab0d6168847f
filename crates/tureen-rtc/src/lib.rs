//! The protocols of WebRTC without I/O, for both endpoints of a connection.
//!
//! Bytes and time are arguments; bytes and events are results. The server's engine and the client are built on this
//! crate; it knows no Producer, no Consumer and no Worker.
//!
//! - [`wire`]: packet formats (RTP with its extensions and payload descriptors, RTCP, STUN).
//! - [`demux`], [`ice`], [`dtls`], [`srtp`], [`sctp`]: a connection, from the first datagram to messages.
//! - [`receive`]: the state of each received RTP stream, and its feedback.
//! - [`bwe`]: congestion control of a sender.
//! - [`units`], [`seq`], [`rate`], [`mod@tuple`]: types shared by all of them.
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
