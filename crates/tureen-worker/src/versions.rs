//! Versions of mediasoup's library, and what each one speaks.

/// The supported versions, for people.
pub const SUPPORTED: &str = "3.27.1";

/// How a version of the library speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// FlatBuffers of 3.27.1. The layout is positional and differs between versions, so that this is exactly one.
    FlatBuffers,
}

impl Version {
    /// What the library of `version`, such as `3.27.1`, speaks; `None` if that is not supported.
    pub fn parse(version: &str) -> Option<Self> {
        match version {
            "3.27.1" => Some(Self::FlatBuffers),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_are_refused() {
        assert_eq!(Version::parse("3.27.1"), Some(Version::FlatBuffers));
        for other in ["", "3", "3.27", "3.27.10", "3.26.0", "3.12.16", "4.0.0", "x"] {
            assert_eq!(Version::parse(other), None, "{other}");
        }
    }
}
