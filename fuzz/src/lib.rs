//! Fuzz entry points: one for each wire parser, one for SRTP, one for DTLS, one for SCTP and one for a whole worker.
//!
//! Each takes any bytes and panics where the engine breaks a promise. `fuzz_targets/` hands them to libFuzzer;
//! `smoke.rs` runs them for a few seconds each on stable Rust, over mutations of valid packets ([`seeds`]).

mod dtls;
mod script;
mod sctp;
pub mod seeds;
#[cfg(test)]
mod smoke;
mod srtp;
mod wire;
mod worker;

use std::time::Instant;

pub use dtls::fuzz_dtls_datagram;
pub use sctp::fuzz_sctp;
pub use srtp::fuzz_srtp;
pub use wire::{fuzz_codecs, fuzz_rtcp, fuzz_rtp, fuzz_stun};
pub use worker::fuzz_worker_datagrams;

/// An instant to count virtual time from.
#[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
fn origin() -> Instant {
    Instant::now()
}
