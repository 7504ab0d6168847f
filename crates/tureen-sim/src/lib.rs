//! Virtual clock and network for Tureen's simulations.
//!
//! A [`Network`] connects one engine and any number of client sessions by [`Link`]s. Time is virtual: it jumps to the
//! next event, so that a simulated minute takes well under a second and no test sleeps. Losses and jitter are drawn
//! from a seed, which a failing test prints.
//!
//! [`congestion`] simulates the congestion control alone, over many kinds of links.
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
