//! Layers of scalable media.

use crate::api::ConsumerLayers;

/// A spatial and a temporal layer; the lowest of each is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layers {
    /// Spatial layer, or simulcast encoding.
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
}

impl From<Layers> for ConsumerLayers {
    fn from(layers: Layers) -> Self {
        Self { spatial_layer: layers.spatial, temporal_layer: Some(layers.temporal) }
    }
}
