//! Allocation of a transport's outgoing bitrate to its consumers.
//!
//! A consumer forwards media that another endpoint encoded, so a consumer cannot use any bitrate, only one of a few
//! steps: nothing, or one operating point at its current price. [`share`] picks a step for each consumer (mediasoup:
//! `BitrateAllocator`): first each candidate climbs one step, in the order of weights; then the rest is shared by
//! weight.
//!
//! The [`Budget`](tureen_rtc::bwe::Budget) distinguishes the capacity of the path from the bitrate that may be sent at
//! a moment. While a queue drains, candidates are *reduced* instead of downgraded, because they would climb again at
//! once: their highest temporal layer is left out, which costs no key frame.
//!
//! Two mechanisms prevent oscillation: the current step costs less than a step up, and [`UpgradeBackoff`] makes a
//! consumer wait longer after each failed upgrade.

mod allocation;
mod operating_point;
mod share;
mod upgrade_backoff;

pub(crate) use self::allocation::Allocation;
pub(crate) use self::operating_point::OperatingPoint;
pub use self::share::{Candidate, Prices, share};
pub use self::upgrade_backoff::UpgradeBackoff;
