//! Scalability modes: the numbers of spatial and temporal layers of a stream.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Declares [`ScalabilityMode`] with the names of the standard modes.
macro_rules! scalability_modes {
    ($($variant:ident = $name:literal,)+) => {
        /// Layers of an encoded stream, as in [webrtc-svc](https://w3c.github.io/webrtc-svc/#scalabilitymodes*) or of
        /// the same form.
        #[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Default)]
        pub enum ScalabilityMode {
            /// One spatial and one temporal layer (`S1T1`).
            #[default]
            None,
            $(#[doc = concat!("`", $name, "`.")] $variant,)+
            /// A mode of the same form that is not in webrtc-svc.
            Custom {
                /// The mode as written.
                scalability_mode: String,
                /// Number of spatial layers.
                spatial_layers: NonZeroU8,
                /// Number of temporal layers.
                temporal_layers: NonZeroU8,
                /// True if spatial layers depend on each other at key frames only.
                ksvc: bool,
            },
        }

        /// Every mode that has a name of its own.
        const STANDARD: &[ScalabilityMode] = &[ScalabilityMode::None, $(ScalabilityMode::$variant,)+];

        impl ScalabilityMode {
            /// The mode as written in RTP parameters.
            pub fn as_str(&self) -> &str {
                match self {
                    Self::None => "S1T1",
                    $(Self::$variant => $name,)+
                    Self::Custom { scalability_mode, .. } => scalability_mode,
                }
            }
        }
    };
}

scalability_modes! {
    L1T2 = "L1T2",
    L1T2h = "L1T2h",
    L1T3 = "L1T3",
    L1T3h = "L1T3h",
    L2T1 = "L2T1",
    L2T1h = "L2T1h",
    L2T1Key = "L2T1_KEY",
    L2T2 = "L2T2",
    L2T2h = "L2T2h",
    L2T2Key = "L2T2_KEY",
    L2T2KeyShift = "L2T2_KEY_SHIFT",
    L2T3 = "L2T3",
    L2T3h = "L2T3h",
    L2T3Key = "L2T3_KEY",
    L2T3KeyShift = "L2T3_KEY_SHIFT",
    L3T1 = "L3T1",
    L3T1h = "L3T1h",
    L3T1Key = "L3T1_KEY",
    L3T2 = "L3T2",
    L3T2h = "L3T2h",
    L3T2Key = "L3T2_KEY",
    L3T2KeyShift = "L3T2_KEY_SHIFT",
    L3T3 = "L3T3",
    L3T3h = "L3T3h",
    L3T3Key = "L3T3_KEY",
    L3T3KeyShift = "L3T3_KEY_SHIFT",
    S2T1 = "S2T1",
    S2T1h = "S2T1h",
    S2T2 = "S2T2",
    S2T2h = "S2T2h",
    S2T3 = "S2T3",
    S2T3h = "S2T3h",
    S3T1 = "S3T1",
    S3T1h = "S3T1h",
    S3T2 = "S3T2",
    S3T2h = "S3T2h",
    S3T3 = "S3T3",
    S3T3h = "S3T3h",
}

/// Error of parsing a [`ScalabilityMode`].
#[derive(Debug, Error, Eq, PartialEq)]
pub enum ParseScalabilityModeError {
    /// The string does not start with `L` or `S`, 1–99, `T`, 1–99.
    #[error("Invalid Scalability Mode input string")]
    InvalidInput,
}

impl ScalabilityMode {
    /// True if there is one layer only.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Number of spatial layers.
    pub fn spatial_layers(&self) -> NonZeroU8 {
        self.layers().spatial
    }

    /// Number of temporal layers.
    pub fn temporal_layers(&self) -> NonZeroU8 {
        self.layers().temporal
    }

    /// True if spatial layers depend on each other at key frames only (K-SVC).
    pub fn ksvc(&self) -> bool {
        self.layers().ksvc
    }

    fn layers(&self) -> Layers {
        match self {
            Self::Custom { spatial_layers, temporal_layers, ksvc, .. } => {
                Layers { spatial: *spatial_layers, temporal: *temporal_layers, ksvc: *ksvc }
            }
            standard => Layers::parse(standard.as_str()).expect("the standard names have the form of a mode"),
        }
    }
}

impl FromStr for ScalabilityMode {
    type Err = ParseScalabilityModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(mode) = STANDARD.iter().find(|mode| mode.as_str() == text) {
            return Ok(mode.clone());
        }
        let layers = Layers::parse(text).ok_or(ParseScalabilityModeError::InvalidInput)?;
        Ok(Self::Custom {
            scalability_mode: text.to_owned(),
            spatial_layers: layers.spatial,
            temporal_layers: layers.temporal,
            ksvc: layers.ksvc,
        })
    }
}

impl fmt::Display for ScalabilityMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ScalabilityMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ScalabilityMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Properties in the name of a mode.
struct Layers {
    spatial: NonZeroU8,
    temporal: NonZeroU8,
    ksvc: bool,
}

impl Layers {
    /// Parses `L` or `S`, a number, `T`, a number and an optional `_KEY`; the rest of the name concerns the encoder
    /// only.
    fn parse(name: &str) -> Option<Self> {
        let (spatial, rest) = layer_count(name.strip_prefix(['L', 'S'])?)?;
        let (temporal, rest) = layer_count(rest.strip_prefix('T')?)?;
        Some(Self { spatial, temporal, ksvc: rest.starts_with("_KEY") })
    }
}

/// Splits a number of one or two digits without leading zero off the start of `text`.
fn layer_count(text: &str) -> Option<(NonZeroU8, &str)> {
    if text.starts_with('0') {
        return None;
    }
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(name: &str) -> (u8, u8, bool) {
        let mode: ScalabilityMode = name.parse().unwrap();
        assert_eq!(mode.as_str(), name);
        (mode.spatial_layers().get(), mode.temporal_layers().get(), mode.ksvc())
    }

    #[test]
    fn standard_names_give_their_layers() {
        assert_eq!(layers("S1T1"), (1, 1, false));
        assert_eq!(layers("L1T3h"), (1, 3, false));
        assert_eq!(layers("S2T3"), (2, 3, false));
        assert_eq!(layers("L3T2_KEY"), (3, 2, true));
        assert_eq!(layers("L3T3_KEY_SHIFT"), (3, 3, true));
        assert_eq!("L3T2_KEY".parse(), Ok(ScalabilityMode::L3T2Key));
    }

    #[test]
    fn every_standard_mode_survives_a_round_trip() {
        for mode in STANDARD {
            assert_eq!(mode.as_str().parse().as_ref(), Ok(mode));
            assert_eq!(mode.ksvc(), mode.as_str().contains("_KEY"));
        }
    }

    #[test]
    fn names_of_the_same_form_are_custom() {
        assert_eq!(layers("L20T3"), (20, 3, false));
        assert_eq!(layers("L4T7_KEY_SHIFT"), (4, 7, true));
        assert_eq!(layers("L1T1"), (1, 1, false));
        assert!(matches!("L20T3".parse(), Ok(ScalabilityMode::Custom { .. })));
    }

    #[test]
    fn other_strings_are_refused() {
        for text in ["", "foo", "L", "L1", "L1T", "S0T3", "S1T0", "S200T3", "L+1T1", "l1t3", "LéT1", "L1Té"]
        {
            assert_eq!(
                text.parse::<ScalabilityMode>(),
                Err(ParseScalabilityModeError::InvalidInput),
                "{text}"
            );
        }
    }
}
