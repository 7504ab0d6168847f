//! Operating points of a consumer.

use crate::media::layers::Layers;
use tureen_rtc::units::Bitrate;

/// Layers that a consumer can send, and their bitrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OperatingPoint {
    pub(crate) layers: Layers,
    /// Bitrate of all of these layers.
    pub(crate) bitrate: Bitrate,
    /// Bitrate without the highest temporal layer; equal to `bitrate` if there is only one.
    pub(crate) reduced: Bitrate,
}

impl OperatingPoint {
    /// Returns the layers, without the highest temporal one if `reduced`.
    pub(crate) fn layers(self, reduced: bool) -> Layers {
        let Layers { spatial, temporal } = self.layers;
        Layers { spatial, temporal: temporal.saturating_sub(reduced.into()) }
    }
}
