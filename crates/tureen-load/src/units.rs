//! Quantities as people write and read them: `1%`, `50ms`, `1.5M`.

use std::time::Duration;

use tureen_rtc::units::Bitrate;

/// Why a text is no quantity. The text of the error names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No share.
    #[error("{0:?} is no share: write 1% or 0.01, from 0 to 100%")]
    Share(String),
    /// No duration.
    #[error("{0:?} is no duration: write 50ms, 2s, 1.5m or 1h")]
    Duration(String),
    /// No bitrate.
    #[error("{0:?} is no bitrate: write 64k, 1.5M or 300000 (bit/s), at least 1")]
    Bitrate(String),
}

/// Reads a share: `1%` or `0.01`.
///
/// # Errors
/// Anything else, and what is not between 0 and 1.
pub fn parse_share(text: &str) -> Result<f64, UnitError> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|value| value / 100.0),
        None => text.parse(),
    };
    value.ok().filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| UnitError::Share(text.to_owned()))
}

/// Reads a duration: a number with `us`, `ms`, `s`, `m` or `h`.
///
/// # Errors
/// Anything else; a number without a unit too, unless it is 0.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError::Duration(text.to_owned());
    let (number, unit) = split(text);
    let factor = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" if number == "0" => 1.0,
        _ => return Err(error()),
    };
    let value: f64 = number.parse().map_err(|_| error())?;
    Duration::try_from_secs_f64(value * factor).map_err(|_| error())
}

/// Reads a bitrate: a number of bit/s, with `k`, `M` or `G` of thousands, millions or thousands of millions.
///
/// # Errors
/// Anything else, and less than 1 bit/s.
pub fn parse_bitrate(text: &str) -> Result<Bitrate, UnitError> {
    let error = || UnitError::Bitrate(text.to_owned());
    let (number, unit) = split(text);
    let factor = match unit {
        "" => 1.0,
        "k" | "kbit/s" | "kbps" => 1e3,
        "M" | "Mbit/s" | "Mbps" => 1e6,
        "G" | "Gbit/s" | "Gbps" => 1e9,
        _ => return Err(error()),
    };
    let value = number.parse::<f64>().map_err(|_| error())? * factor;
    (1.0..1e15).contains(&value).then(|| Bitrate::bps(value as u64)).ok_or_else(error)
}

/// The number at the start and the unit behind it.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A share in percent, to two significant digits but not below 0.001 %.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.001 => "< 0.001 %".to_owned(),
        percent if percent < 0.1 => format!("{percent:.3} %"),
        percent if percent < 10.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// Milliseconds with a unit, to about three digits.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// A bitrate with a unit, to three digits.
pub(crate) fn bitrate(bps: f64) -> String {
    scaled(bps, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"], 1000.0)
}

/// An amount of memory with a unit, to three digits.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, &["B", "KiB", "MiB", "GiB"], 1024.0)
}

/// A count with thousands apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn scaled(mut value: f64, units: &[&str], step: f64) -> String {
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    match value {
        value if unit == 0 || value >= 100.0 => format!("{value:.0} {}", units[unit]),
        value if value >= 10.0 => format!("{value:.1} {}", units[unit]),
        value => format!("{value:.2} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        for (text, value) in [("1%", 0.01), ("0.1 %", 0.001), ("0.01", 0.01), ("0", 0.0), ("100%", 1.0)] {
            assert_eq!(parse_share(text), Ok(value), "{text}");
        }
        for text in ["", "%", "x", "-1%", "101%", "1.1", "NaN", "inf", "1‰"] {
            assert!(parse_share(text).unwrap_err().to_string().contains(&format!("{text:?}")), "{text}");
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, ms) in [("50ms", 50), ("2s", 2000), ("1.5m", 90_000), ("1 h", 3_600_000), ("0", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "ms", "-1s", "1d", "1e400s", "1.2.3s", "99999999999999999999h", "é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bitrates_are_read() {
        for (text, bps) in
            [("64k", 64_000), ("1.5M", 1_500_000), ("300000", 300_000), ("1 Gbit/s", 1_000_000_000)]
        {
            assert_eq!(parse_bitrate(text), Ok(Bitrate::bps(bps)), "{text}");
        }
        for text in ["", "0", "k", "1x", "-5k", "1e9"] {
            assert!(parse_bitrate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_are_written_with_units() {
        assert_eq!(
            [percent(0.0), percent(0.00042), percent(0.0142), percent(0.25)],
            ["0 %", "0.042 %", "1.42 %", "25 %"]
        );
        assert_eq!(
            [milliseconds(0.5), milliseconds(42.0), milliseconds(1234.0)],
            ["0.50 ms", "42.0 ms", "1.23 s"]
        );
        assert_eq!(
            [bitrate(900.0), bitrate(1_234_000.0), bytes(2048.0)],
            ["900 bit/s", "1.23 Mbit/s", "2.00 KiB"]
        );
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
