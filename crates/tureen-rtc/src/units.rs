//! Newtypes for wire numbers and units.

use std::fmt;
use std::ops::{Add, Mul, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Synchronization source of an RTP stream (RFC 3550 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ssrc(pub u32);

/// RTP payload type, 0–127 (RFC 3550 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayloadType(pub u8);

/// Bits per second.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Zero; in settings that set a limit, "no limit".
    pub const ZERO: Bitrate = Bitrate(0);

    /// Creates a bitrate from bits per second.
    pub const fn bps(bps: u64) -> Self {
        Self(bps)
    }

    /// Creates a bitrate from thousands of bits per second.
    pub const fn kbps(kbps: u64) -> Self {
        Self(kbps * 1000)
    }

    /// Creates a bitrate from millions of bits per second.
    pub const fn mbps(mbps: u64) -> Self {
        Self(mbps * 1_000_000)
    }

    /// Value in bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// True if the bitrate is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Number of whole bytes that are transmitted at this rate in `time`.
    pub fn bytes_in(self, time: Duration) -> u64 {
        (self.0 as u128 * time.as_micros() / 8_000_000) as u64
    }
}

impl Add for Bitrate {
    type Output = Bitrate;
    fn add(self, other: Bitrate) -> Bitrate {
        Bitrate(self.0.saturating_add(other.0))
    }
}

impl Sub for Bitrate {
    type Output = Bitrate;
    fn sub(self, other: Bitrate) -> Bitrate {
        Bitrate(self.0.saturating_sub(other.0))
    }
}

impl Mul<f64> for Bitrate {
    type Output = Bitrate;
    fn mul(self, factor: f64) -> Bitrate {
        Bitrate((self.0 as f64 * factor) as u64)
    }
}

impl fmt::Debug for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssrc({})", self.0)
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadType({})", self.0)
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrate_counts_bytes() {
        assert_eq!(Bitrate::kbps(800).bytes_in(Duration::from_millis(100)), 10_000);
        assert_eq!(Bitrate::bps(u64::MAX).bytes_in(Duration::from_secs(1)), u64::MAX / 8);
    }

    #[test]
    fn bitrate_subtraction_stops_at_zero() {
        assert_eq!(Bitrate::kbps(1) - Bitrate::kbps(2), Bitrate::ZERO);
    }
}
