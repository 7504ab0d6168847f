//! Parts of a load test of WebRTC room servers.
//!
//! A [`Plan`](plan::Plan) says which peers come and go, as a sequence of events from a seed. [`measure`] has distributions
//! of delays, freezes and values over time, in bounded memory. A [`Report`](report::Report) is the result of a run: JSON, a
//! page with plots, thresholds. What carries a plan out with peers of `tureen-client` is not here yet; media with the time
//! of its making is in `tureen_client::media`.
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, clippy::unwrap_used)]

pub mod measure;
pub mod plan;
pub mod report;
pub mod units;
