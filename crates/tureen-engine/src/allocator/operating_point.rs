//! A point at which a consumer can run.

use crate::media::layers::Layers;
use tureen_rtc::units::Bitrate;

/// Layers that a consumer can send, and their price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OperatingPoint {
    /// Layers to send.
    pub(crate) layers: Layers,
    /// Bitrate of all of them.
    pub(crate) bitrate: Bitrate,
    /// Bitrate without the highest temporal layer; equal to `bitrate` if there is only one.
    pub(crate) reduced: Bitrate,
}

impl OperatingPoint {
    /// Its layers, or those without the highest temporal one.
    pub(crate) fn layers(self, reduced: bool) -> Layers {
        let Layers { spatial, temporal } = self.layers;
        Layers { spatial, temporal: temporal.saturating_sub(reduced.into()) }
    }
}
