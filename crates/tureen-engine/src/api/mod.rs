//! The vocabulary shared by all control interfaces: requests, responses and notifications exchanged between a worker
//! and the Rust library, the worker process or the room server.
//!
//! The vocabulary has the level of mediasoup's worker channel: a produce request contains its RTP mapping, and a
//! consume request its final RTP parameters. Capabilities are matched above it ([`tureen_types::ortc`] in the Rust
//! library, mediasoup's own code in Node). Codecs of the channel translate between a wire format and these types and
//! contain no behaviour.

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
