//! Virtual clock and network for Tureen's simulations.
//!
//! A [`Network`] connects one engine with any number of client sessions over [`Link`]s. Time is virtual: it jumps to the
//! next thing that happens, so that a minute of a call takes well under a second, and nothing sleeps. What the links do
//! comes from a seed, which a failing test prints.
//!
//! [`congestion`] simulates the congestion control alone, over links of all kinds.
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations)]

mod call;
pub mod congestion;
mod network;
mod source;
mod trace;

pub use call::{Call, Consumption, Produced, Production, ROUTER};
pub use network::{Network, NodeId, Observed, UNIX};
pub use source::{AudioConfig, VideoConfig};
pub use trace::Trace;
pub use tureen_client::link::{Link, LinkConfig, LinkStats, Loss};
