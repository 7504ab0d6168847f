//! The sans-IO engine of one Tureen worker thread.
//!
//! This crate turns datagrams, requests and the passing of time into datagrams, responses and notifications. It owns no
//! socket, reads no clock, spawns no thread and contains no unsafe code. Everything it needs to know about the world
//! comes in as an argument.
//!
//! Start reading at [`worker::Worker`], whose documentation states the driving contract, then [`api`] for the
//! vocabulary that all control faces share, then [`io`] for what goes in and out on the network side.
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, clippy::unwrap_used)]

pub mod allocator;
pub mod api;
pub mod io;
pub mod worker;

mod data;
mod keys;
mod media;
mod observers;
mod timers;
mod transport;

pub use transport::protection;

/// Parts of a packet's way, for the benches of this crate.
#[doc(hidden)]
pub mod internals {
    pub use crate::media::consumer::HopByHopExtensions;
    pub use crate::media::consumer::headers::HeaderTemplate;
    pub use crate::media::consumer::seq_rewriter::SeqRewriter;
    pub use crate::media::producer::frames::FrameInfo;
    pub use crate::media::producer::packet_buffer::{PacketBuffer, PacketBufferConfig, PacketInfo};
}

/// The version of mediasoup that this engine behaves like.
pub const MEDIASOUP_VERSION: &str = "3.27.1";
