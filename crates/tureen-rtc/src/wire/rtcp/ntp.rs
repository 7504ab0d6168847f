//! NTP timestamps (RFC 5905 §6), the wall clock of RTCP.

use std::time::Duration;

/// Seconds from the NTP epoch (1900) to the Unix epoch.
const UNIX_EPOCH: u32 = 2_208_988_800;

/// A wall-clock time: seconds since 1900 as 32.32 fixed point, wrapping in 2036 (RFC 3550 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Converts the time since the Unix epoch, rounded to the nearest 1/2³² of a second.
    pub fn from_unix(time: Duration) -> Self {
        let seconds = (time.as_secs() as u32).wrapping_add(UNIX_EPOCH);
        let fraction = ((u64::from(time.subsec_nanos()) << 32) + 500_000_000) / 1_000_000_000;
        Self(u64::from(seconds) << 32 | fraction)
    }

    /// Time since the Unix epoch, to the nanosecond. Values before 1970 in the first NTP era are interpreted as times
    /// after the end of that era in 2036.
    pub fn to_unix(self) -> Duration {
        let seconds = self.seconds().wrapping_sub(UNIX_EPOCH);
        Duration::from_secs(u64::from(seconds)) + fraction_to_duration(u64::from(self.fraction()), 32)
    }

    /// Difference between this time and an earlier one: 32.32 fixed point seconds, exact up to 68 years.
    pub const fn since(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// Sum of this time and `by`, 32.32 fixed point seconds.
    pub const fn shifted(self, by: i64) -> Self {
        Self(self.0.wrapping_add_signed(by))
    }

    /// Whole seconds since 1900.
    pub const fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Fraction of a second, in 1/2³².
    pub const fn fraction(self) -> u32 {
        self.0 as u32
    }

    /// Middle 32 bits of the timestamp, 16.16 fixed point seconds, as LSR and LRR contain it (RFC 3550 §6.4.1).
    pub const fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// Converts a duration to compact form, 1/65536 of a second (DLSR, DLRR), rounded to nearest; durations saturate at 18
/// hours.
pub fn duration_to_compact(duration: Duration) -> u32 {
    let ticks = ((duration.as_nanos() << 16) + 500_000_000) / 1_000_000_000;
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Converts a difference of compact timestamps, a DLSR or a DLRR to a duration.
pub fn compact_to_duration(compact: u32) -> Duration {
    fraction_to_duration(u64::from(compact), 16)
}

fn fraction_to_duration(value: u64, fraction_bits: u32) -> Duration {
    let nanos = (u128::from(value) * 1_000_000_000 + (1 << (fraction_bits - 1))) >> fraction_bits;
    Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unix_epoch_is_seventy_years_in() {
        assert_eq!(NtpTime::from_unix(Duration::ZERO), NtpTime(2_208_988_800 << 32));
        let half = NtpTime::from_unix(Duration::from_millis(1500));
        assert_eq!((half.seconds(), half.fraction()), (2_208_988_801, 1 << 31));
        assert_eq!(half.compact(), (2_208_988_801u32 << 16) | 0x8000);
    }

    #[test]
    fn times_continue_after_the_era_ends_in_2036() {
        // 2036-02-07T06:28:16Z is second 0 of the second era.
        let rollover = Duration::from_secs(2_085_978_496);
        assert_eq!(NtpTime::from_unix(rollover), NtpTime(0));
        assert_eq!(NtpTime(0).to_unix(), rollover);
    }

    #[test]
    fn compact_durations_match_the_rfc_example() {
        // RFC 3550 §6.4.1, figure 2: DLSR 0x0005:4000 is 5.250 s, the delay 0x0006:2000 is 6.125 s.
        assert_eq!(duration_to_compact(Duration::from_millis(5250)), 0x0005_4000);
        let delay = 0xb710_8000_u32.wrapping_sub(0x0005_4000).wrapping_sub(0xb705_2000);
        assert_eq!(compact_to_duration(delay), Duration::from_millis(6125));
        assert_eq!(duration_to_compact(Duration::from_secs(70_000)), u32::MAX);
    }

    proptest! {
        #[test]
        fn unix_times_round_trip_to_the_nanosecond(seconds: u32, nanos in 0u32..1_000_000_000) {
            let time = Duration::new(u64::from(seconds), nanos);
            prop_assert_eq!(NtpTime::from_unix(time).to_unix(), time);
        }

        #[test]
        fn compact_durations_round_trip(compact: u32) {
            prop_assert_eq!(duration_to_compact(compact_to_duration(compact)), compact);
        }

        #[test]
        fn any_timestamp_converts(bits: u64) {
            let _ = NtpTime(bits).to_unix();
        }
    }
}
