//! SRTP keys and algorithms of plain and pipe transports.

use serde::{Deserialize, Serialize};

/// SRTP parameters of one direction.
#[derive(Debug, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SrtpParameters {
    /// Encryption and authentication algorithms.
    pub crypto_suite: SrtpCryptoSuite,
    /// Master key followed by master salt, in Base64. Its length must fit the crypto suite.
    pub key_base64: String,
}

/// SRTP protection profile (RFC 4568 §6.2, RFC 7714 §14.2).
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash, Deserialize, Serialize, Default)]
pub enum SrtpCryptoSuite {
    /// AES-256 in Galois counter mode; key and salt are 32 + 12 bytes.
    #[serde(rename = "AEAD_AES_256_GCM")]
    AeadAes256Gcm,
    /// AES-128 in Galois counter mode; key and salt are 16 + 12 bytes.
    #[serde(rename = "AEAD_AES_128_GCM")]
    AeadAes128Gcm,
    /// AES-128 in counter mode with an 80 bit HMAC-SHA1 tag; key and salt are 16 + 14 bytes.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    #[default]
    AesCm128HmacSha180,
    /// AES-128 in counter mode with a 32 bit HMAC-SHA1 tag; key and salt are 16 + 14 bytes.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    AesCm128HmacSha132,
}
