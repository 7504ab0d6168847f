//! `[auth]` of the configuration.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize, Serializer};

use crate::config::{ConfigError, check, seconds};

/// `[auth]`: the keys that access tokens may be signed with. Without this section everybody may enter every room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// API keys with their secrets, for tokens by HS256 whose `iss` is the key. A secret has at least 32 bytes.
    pub keys: BTreeMap<String, ApiSecret>,
    /// File with a line `key: secret` (or `key = secret`) for each API key; `#` begins a comment. Only its owner may read it.
    pub keys_file: Option<PathBuf>,
    /// File with a JWKS (RFC 7517), for tokens by RS256, ES256 or EdDSA. Read again every `jwks_refresh_s`.
    pub jwks_file: Option<PathBuf>,
    /// Address of a JWKS: `https://…`, or `http://` of this machine.
    pub jwks_url: Option<String>,
    /// Between two readings of the JWKS. A token with an unknown `kid` has it read earlier, but no more often than every
    /// ten seconds. Default 300.
    #[serde(rename = "jwks_refresh_s", with = "seconds")]
    pub jwks_refresh: Duration,
    /// `iss` that tokens by JWKS must have. Default: any.
    pub issuer: Option<String>,
    /// `aud` that tokens must have. Default: any.
    pub audience: Option<String>,
    /// Difference of clocks that `exp` and `nbf` allow for; at most 600. Default 60.
    #[serde(rename = "leeway_s", with = "seconds")]
    pub leeway: Duration,
    /// Longest token (bytes). Default 8192.
    pub max_token_bytes: usize,
}

/// The secret of an API key. Neither `Debug` nor serialisation shows it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ApiSecret(pub(super) String);

impl ApiSecret {
    /// Takes a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiSecret")
    }
}

impl Serialize for ApiSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

/// Reason for which the keys of `[auth]` can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file can't be read.
    #[error("{key} = {}: {source}", path.display())]
    Read {
        /// Name of the setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file has the wrong permissions or content.
    #[error("{key} = {}: {why}", path.display())]
    File {
        /// Name of the setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never a secret.
        why: String,
    },
    /// An API key has an unusable secret.
    #[error("API key {key}: {why}")]
    Key {
        /// The API key.
        key: String,
        /// What is wrong with it; never the secret.
        why: String,
    },
    /// No source of keys is set.
    #[error("[auth] has neither keys, keys_file, jwks_file nor jwks_url: nobody could enter")]
    NoKeys,
}

/// Largest difference of clocks that a setting may allow for.
const MAX_LEEWAY: Duration = Duration::from_secs(600);

impl AuthConfig {
    /// Checks the values that a type can't.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let leeway = self.leeway;
        check(leeway <= MAX_LEEWAY, "auth.leeway_s", leeway.as_secs(), "must be at most 600")?;
        let refresh = self.jwks_refresh;
        check(refresh.as_secs() >= 10, "auth.jwks_refresh_s", refresh.as_secs(), "must be at least 10")?;
        let most = self.max_token_bytes;
        check((256..=65_536).contains(&most), "auth.max_token_bytes", most, "must be 256 to 65536")?;
        if let (Some(_), Some(url)) = (&self.jwks_file, &self.jwks_url) {
            check(false, "auth.jwks_url", url, "goes not with auth.jwks_file: one or the other")?;
        }
        if let Some(url) = &self.jwks_url {
            let plausible = super::fetch::Address::parse(url).is_some();
            check(plausible, "auth.jwks_url", url, "is neither https://… nor http:// of this machine")?;
        }
        Ok(())
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            keys: BTreeMap::new(),
            keys_file: None,
            jwks_file: None,
            jwks_url: None,
            jwks_refresh: Duration::from_secs(300),
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(60),
            max_token_bytes: 8192,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let config: AuthConfig =
            toml::from_str("keys = { devkey = \"hush-hush-hush-hush-hush-hush-hush\" }").unwrap();
        assert_eq!(config.keys["devkey"].reveal(), "hush-hush-hush-hush-hush-hush-hush");
        assert!(!format!("{config:?}").contains("hush"));
        assert!(!toml::to_string(&config).unwrap().contains("hush"));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (text, part) in [
            ("leeway_s = 601", "auth.leeway_s = 601"),
            ("jwks_refresh_s = 1", "auth.jwks_refresh_s = 1"),
            ("max_token_bytes = 10", "auth.max_token_bytes = 10"),
            ("jwks_url = \"http://idp.example/jwks\"", "auth.jwks_url = http://idp.example/jwks"),
            ("jwks_url = \"file:///etc/passwd\"", "auth.jwks_url = file:///etc/passwd"),
            ("jwks_url = \"https://idp.example/jwks\"\njwks_file = \"x\"", "one or the other"),
        ] {
            let config: AuthConfig = toml::from_str(text).unwrap();
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        for url in
            ["https://idp.example/jwks", "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:1/x"]
        {
            let config = AuthConfig { jwks_url: Some(url.to_owned()), ..AuthConfig::default() };
            config.validate().unwrap();
        }
    }
}
