//! The one vocabulary of all control faces: what the Rust library, the worker process and the room server say to a
//! worker, and what it answers.
//!
//! It stands at the level of mediasoup's worker channel: a produce request carries its RTP mapping, a consume request
//! its final RTP parameters. Capability matching happens above it ([`tureen_types::ortc`] in the Rust library, mediasoup's own
//! code in Node). Codec layers translate between a wire form and these types and hold no behaviour.

mod dump;
mod ids;
mod notification;
mod request;
mod response;
mod stats;

pub use dump::*;
pub use ids::*;
pub use notification::*;
pub use request::*;
pub use response::*;
pub use stats::*;

pub use crate::observers::audio_level::AudioLevelOptions;
pub use crate::transport::pipe::PIPE_SUITE;
