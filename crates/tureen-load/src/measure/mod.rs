//! What is measured: distributions, freezes, values over time.

mod durations;
mod freeze;
mod series;

pub use self::durations::{Durations, Quantiles};
pub use self::freeze::FreezeDetector;
pub use self::series::{Point, Series};
