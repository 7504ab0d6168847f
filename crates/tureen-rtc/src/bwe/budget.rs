//! What a controller lets a sender spend.

use crate::units::Bitrate;

/// What there is to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The target of congestion control.
    pub target: Bitrate,
    /// What the path carries lastingly: more than the target where that is low for a moment, to let a queue drain.
    pub carries: Bitrate,
    /// What may be sent at this moment, if overuse has left a queue not long ago.
    pub draining: Option<Bitrate>,
    /// What one candidate may cost, the target being less, when otherwise all would get nothing.
    pub trial: Bitrate,
}

impl Budget {
    /// A target that is not lowered for a moment only.
    pub fn lasting(target: Bitrate) -> Self {
        Self { target, carries: target, draining: None, trial: target }
    }
}
