//! The bandwidth that a congestion controller grants.

use crate::units::Bitrate;

/// Bandwidth to share among Consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The target of congestion control.
    pub target: Bitrate,
    /// Long-term capacity of the path. It exceeds the target while the target is lowered to drain a queue.
    pub carries: Bitrate,
    /// Rate to send at while a queue left by overuse drains.
    pub draining: Option<Bitrate>,
    /// Rate that a single Consumer may get when the target would give nothing to any, because its packets renew the
    /// estimate.
    pub trial: Bitrate,
}

impl Budget {
    /// A budget without a queue to drain.
    pub fn lasting(target: Bitrate) -> Self {
        Self { target, carries: target, draining: None, trial: target }
    }
}
