//! Shares what a transport may send among its consumers.
//!
//! A consumer forwards what somebody else encoded, so that it cannot take any bitrate, only one of a few steps: nothing, or
//! one operating point, at what that costs now. [`share`] picks a step for each (mediasoup: `BitrateAllocator`): first
//! each candidate climbs one step, the heaviest first; then the rest is shared by weight.
//!
//! The [`Budget`](tureen_rtc::bwe::Budget) tells apart what the path carries and what may be sent at a moment. While a queue
//! drains, candidates are *reduced* – their highest temporal layer is left out, which costs no key frame – because they would
//! climb again at once.
//!
//! Two things keep consumers from going up and down: the current step costs less than a step up, and [`UpgradeBackoff`] makes
//! a consumer wait longer after each upgrade that failed.

mod allocation;
mod operating_point;
mod share;
mod upgrade_backoff;

pub(crate) use self::allocation::Allocation;
pub(crate) use self::operating_point::OperatingPoint;
pub use self::share::{Candidate, Prices, share};
pub use self::upgrade_backoff::UpgradeBackoff;
