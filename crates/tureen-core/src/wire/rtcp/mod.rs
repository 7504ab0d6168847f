//! RTCP packets (RFC 3550 §6).

mod ntp;

pub use self::ntp::{NtpTime, compact_to_duration, duration_to_compact};
