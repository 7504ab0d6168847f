//! Versions of mediasoup's library, and the dialect of each.

use tureen_engine::MEDIASOUP_VERSION;

use crate::json::Generation;

/// Text with the supported versions, for error messages.
pub fn supported() -> String {
    format!("{MEDIASOUP_VERSION} and 3.5 to 3.12")
}

/// Dialect of a version of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// FlatBuffers of exactly [`MEDIASOUP_VERSION`], because the layout is positional and differs between versions.
    FlatBuffers,
    /// JSON of a generation of versions.
    Json(Generation),
}

impl Version {
    /// Dialect of the library `version`, such as `3.27.1`. `None` if the version is not supported.
    pub fn parse(version: &str) -> Option<Self> {
        if version == MEDIASOUP_VERSION {
            return Some(Self::FlatBuffers);
        }
        let mut numbers = version.split('.').map(|number| number.parse::<u16>().ok());
        let version = [numbers.next()??, numbers.next()??, numbers.next()??];
        if numbers.next().is_some() {
            return None;
        }
        Some(match version {
            [3, 5, _] => Self::Json(Generation::V3_5),
            [3, 6..=8, _] => Self::Json(Generation::V3_6),
            [3, 9, _] | [3, 10, ..=5] => Self::Json(Generation::V3_9),
            [3, 10..=12, _] => Self::Json(Generation::V3_10_6),
            _ => return None,
        })
    }

    /// True if the library opens a second pair of file descriptors.
    pub fn has_payload_channel(self) -> bool {
        match self {
            Self::FlatBuffers => false,
            Self::Json(generation) => generation.has_payload_channel(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_dialect() {
        for (versions, speaks) in [
            (&["3.27.1"][..], Version::FlatBuffers),
            (&["3.5.0", "3.5.15"], Version::Json(Generation::V3_5)),
            (&["3.6.0", "3.6.37", "3.7.14", "3.8.4"], Version::Json(Generation::V3_6)),
            (&["3.9.0", "3.9.17", "3.10.5"], Version::Json(Generation::V3_9)),
            (&["3.10.6", "3.11.26", "3.12.16"], Version::Json(Generation::V3_10_6)),
        ] {
            for version in versions {
                assert_eq!(Version::parse(version), Some(speaks), "{version}");
            }
        }
    }

    #[test]
    fn other_versions_are_refused() {
        for other in [
            "", "3", "3.27", "3.27.10", "3.27.1.0", "3.27.0", "3.26.0", "3.13.0", "3.4.1", "4.0.0", "2.6.1",
            "x",
        ] {
            assert_eq!(Version::parse(other), None, "{other}");
        }
        assert_eq!(Version::parse("3.10.6-rc.1"), None);
    }
}
