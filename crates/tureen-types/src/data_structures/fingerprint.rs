use std::fmt::{self, Write};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Fingerprint of a certificate: the hash function (RFC 8122 §5) and its value.
#[derive(Copy, Clone, PartialOrd, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "AlgorithmAndValue", into = "AlgorithmAndValue")]
pub enum DtlsFingerprint {
    /// SHA-1.
    Sha1 {
        /// Hash value.
        value: [u8; 20],
    },
    /// SHA-224.
    Sha224 {
        /// Hash value.
        value: [u8; 28],
    },
    /// SHA-256.
    Sha256 {
        /// Hash value.
        value: [u8; 32],
    },
    /// SHA-384.
    Sha384 {
        /// Hash value.
        value: [u8; 48],
    },
    /// SHA-512.
    Sha512 {
        /// Hash value.
        value: [u8; 64],
    },
}

impl DtlsFingerprint {
    /// Parses an algorithm, such as `sha-256`, and pairs of hexadecimal digits separated by colons.
    ///
    /// # Errors
    /// The text contains the invalid part.
    pub fn parse(algorithm: &str, value: &str) -> Result<Self, String> {
        AlgorithmAndValue { algorithm: algorithm.to_owned(), value: value.to_owned() }.try_into()
    }

    /// Hash value as in SDP: upper case hexadecimal bytes separated by colons.
    pub fn value_string(&self) -> String {
        let value = self.value();
        let mut text = String::with_capacity(value.len() * 3);
        for (i, byte) in value.iter().enumerate() {
            let separator = if i == 0 { "" } else { ":" };
            write!(text, "{separator}{byte:02X}").expect("a String takes any text");
        }
        text
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Sha1 { value } => value,
            Self::Sha224 { value } => value,
            Self::Sha256 { value } => value,
            Self::Sha384 { value } => value,
            Self::Sha512 { value } => value,
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha1 { .. } => "sha-1",
            Self::Sha224 { .. } => "sha-224",
            Self::Sha256 { .. } => "sha-256",
            Self::Sha384 { .. } => "sha-384",
            Self::Sha512 { .. } => "sha-512",
        }
    }
}

impl fmt::Debug for DtlsFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Sha1 { .. } => "Sha1",
            Self::Sha224 { .. } => "Sha224",
            Self::Sha256 { .. } => "Sha256",
            Self::Sha384 { .. } => "Sha384",
            Self::Sha512 { .. } => "Sha512",
        };
        f.debug_struct(name).field("value", &self.value_string()).finish()
    }
}

/// The JSON form.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AlgorithmAndValue {
    algorithm: String,
    value: String,
}

impl From<DtlsFingerprint> for AlgorithmAndValue {
    fn from(fingerprint: DtlsFingerprint) -> Self {
        Self { algorithm: fingerprint.algorithm().to_owned(), value: fingerprint.value_string() }
    }
}

impl TryFrom<AlgorithmAndValue> for DtlsFingerprint {
    type Error = String;

    fn try_from(AlgorithmAndValue { algorithm, value }: AlgorithmAndValue) -> Result<Self, Self::Error> {
        // RFC 8122 §5: names of hash functions are case-insensitive.
        let parsed = match algorithm.to_ascii_lowercase().as_str() {
            "sha-1" => parse_bytes(&value).map(|value| Self::Sha1 { value }),
            "sha-224" => parse_bytes(&value).map(|value| Self::Sha224 { value }),
            "sha-256" => parse_bytes(&value).map(|value| Self::Sha256 { value }),
            "sha-384" => parse_bytes(&value).map(|value| Self::Sha384 { value }),
            "sha-512" => parse_bytes(&value).map(|value| Self::Sha512 { value }),
            _ => return Err(format!("unknown fingerprint algorithm {algorithm:?}")),
        };
        parsed.ok_or_else(|| format!("{value:?} is not a {algorithm} fingerprint"))
    }
}

/// Deserializes fingerprints and drops those with unsupported hashes: RFC 8122 §5 requires ignoring them if there are
/// others.
pub fn deserialize_known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<DtlsFingerprint>, D::Error> {
    let all = Vec::<AlgorithmAndValue>::deserialize(from)?;
    let is_known =
        |one: &AlgorithmAndValue| KNOWN.iter().any(|name| name.eq_ignore_ascii_case(&one.algorithm));
    let any_known = all.iter().any(is_known);
    let heeded = all.into_iter().filter(|one| !any_known || is_known(one));
    heeded.map(DtlsFingerprint::try_from).collect::<Result<_, _>>().map_err(D::Error::custom)
}

const KNOWN: [&str; 5] = ["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"];

/// Parses exactly `N` bytes of two hexadecimal digits each, separated by colons.
fn parse_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_hashes_are_ignored_beside_known_ones() {
        #[derive(Deserialize)]
        struct Parameters(#[serde(deserialize_with = "deserialize_known")] Vec<DtlsFingerprint>);
        let value = [7; 20].map(|byte| format!("{byte:02x}")).join(":");
        let read = |hashes: &[&str]| {
            let list = hashes.iter().map(|hash| format!(r#"{{"algorithm":"{hash}","value":"{value}"}}"#));
            let json = format!("[{}]", list.collect::<Vec<_>>().join(","));
            serde_json::from_str::<Parameters>(&json)
                .map(|Parameters(read)| read.len())
                .map_err(|e| e.to_string())
        };
        assert_eq!(read(&["md5", "sha-1", "sha3-256", "SHA-1"]), Ok(2));
        assert_eq!(read(&[]), Ok(0));
        assert!(read(&["md5", "md2"]).unwrap_err().contains("unknown fingerprint algorithm \"md5\""));
        assert!(read(&["sha-1", "sha-256"]).unwrap_err().contains("is not a sha-256 fingerprint"));
    }

    #[test]
    fn each_algorithm_survives_a_round_trip() {
        for (algorithm, len) in
            [("sha-1", 20), ("sha-224", 28), ("sha-256", 32), ("sha-384", 48), ("sha-512", 64)]
        {
            let value = (0..len).map(|i| format!("{:02X}", 255 - i)).collect::<Vec<_>>().join(":");
            let json = format!(r#"{{"algorithm":"{algorithm}","value":"{value}"}}"#);
            let fingerprint: DtlsFingerprint = serde_json::from_str(&json).unwrap();
            assert_eq!(fingerprint.value_string(), value);
            assert_eq!(serde_json::to_string(&fingerprint).unwrap(), json);
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        let good = ["AB"; 20].join(":");
        let long = format!("{good}:AB");
        let short = &good[3..];
        let signed = good.replacen("AB", "+B", 1);
        let no_separator = good.replacen(':', "A", 1);
        let multibyte = good.replacen("AB", "é", 1);
        for value in [&long, short, &signed, &no_separator, &multibyte, ""] {
            let json = serde_json::json!({ "algorithm": "sha-1", "value": value });
            assert!(serde_json::from_value::<DtlsFingerprint>(json).is_err(), "{value}");
        }
        let json = serde_json::json!({ "algorithm": "sha-200", "value": good });
        assert!(serde_json::from_value::<DtlsFingerprint>(json).is_err());
    }

    #[test]
    fn lower_case_digits_are_read() {
        let json = serde_json::json!({ "algorithm": "sha-1", "value": (["ab"; 20].join(":")) });
        let fingerprint: DtlsFingerprint = serde_json::from_value(json).unwrap();
        assert_eq!(fingerprint, DtlsFingerprint::Sha1 { value: [0xAB; 20] });
    }
}
