//! The sans-IO engine of one Tureen worker thread.
//!
//! This crate turns datagrams, requests and the passing of time into datagrams, responses and notifications. It owns no
//! socket, reads no clock, spawns no thread and contains no unsafe code: all input is passed as an argument.
//!
//! Start reading at [`worker::Worker`], whose documentation defines the driving contract, then [`api`], the vocabulary
//! shared by all control interfaces, then [`io`], the input and output on the network side.
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

/// Parts of the packet path, for the benchmarks of this crate.
#[doc(hidden)]
pub mod internals {
    pub use crate::media::consumer::HopByHopExtensions;
    pub use crate::media::consumer::headers::HeaderTemplate;
    pub use crate::media::consumer::seq_rewriter::SeqRewriter;
    pub use crate::media::producer::frames::FrameInfo;
    pub use crate::media::producer::packet_buffer::{PacketBuffer, PacketBufferConfig, PacketInfo};
}

/// Version of mediasoup whose behaviour this engine implements.
pub const MEDIASOUP_VERSION: &str = "3.27.1";
