//! Fuzz entry points: one for each wire parser, one for the client's frames, one for each format of media files, one for
//! SRTP, one for DTLS, one for SCTP, one for a whole worker, and one for the channel of the worker process.
//!
//! Each one accepts arbitrary bytes and panics if the code violates a property. `fuzz_targets/` passes them to
//! libFuzzer. `smoke.rs` runs them for a few seconds each on stable Rust, with mutations of valid packets ([`seeds`]).

mod channel;
mod containers;
mod dtls;
mod frames;
mod script;
mod sctp;
pub mod seeds;
#[cfg(test)]
mod smoke;
mod srtp;
mod wire;
mod worker;

use std::time::Instant;

pub use channel::{fuzz_channel, fuzz_channel_json};
pub use containers::{fuzz_annexb, fuzz_ivf, fuzz_matroska, fuzz_mp4, fuzz_ogg};
pub use dtls::fuzz_dtls_datagram;
pub use frames::fuzz_frames;
pub use sctp::fuzz_sctp;
pub use srtp::fuzz_srtp;
pub use wire::{fuzz_codecs, fuzz_rtcp, fuzz_rtp, fuzz_stun};
pub use worker::fuzz_worker_datagrams;

/// Start of virtual time.
#[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
fn origin() -> Instant {
    Instant::now()
}
