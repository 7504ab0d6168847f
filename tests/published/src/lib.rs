//! Tests of the published mediasoup crate, compiled against Tureen under the name `mediasoup`.
//!
//! They are not in this repository: `build.rs` copies them from cargo's registry. The same goes for `benches/`.
//! `tests/items.rs` compares the public items of both crates.

#[cfg(test)]
#[allow(warnings, clippy::all, reason = "not our code")]
mod published {
    include!(concat!(env!("OUT_DIR"), "/tests.rs"));
}
