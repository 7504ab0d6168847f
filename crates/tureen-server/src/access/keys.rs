//! API keys: names with secrets, for tokens by HS256.

use std::{collections::HashMap, fs, io::Read, path::Path};

use jsonwebtoken::DecodingKey;

use super::config::{ApiSecret, AuthConfig, AuthError};
use crate::http::ownership::{self, Problem};

/// Shortest secret (bytes): as long as the output of HMAC-SHA-256 (RFC 7518 §3.2).
const MIN_SECRET: usize = 32;

/// Largest file of keys (bytes).
const MAX_FILE: u64 = 1 << 20;

/// The API keys of the configuration, each good for HS256 alone.
pub(super) struct ApiKeys(HashMap<String, DecodingKey>);

impl ApiKeys {
    /// Reads the keys of the configuration and of its file.
    pub(super) fn load(config: &AuthConfig) -> Result<Self, AuthError> {
        let mut keys = HashMap::new();
        for (key, secret) in config.api_keys()? {
            insert(&mut keys, &key, &secret)?;
        }
        Ok(Self(keys))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, key: &str) -> Option<&DecodingKey> {
        self.0.get(key)
    }
}

impl AuthConfig {
    /// The API keys with their secrets, those of `keys_file` included. A key that is there twice is twice in the list.
    ///
    /// # Errors
    /// If the file can't be read, or others may read it.
    pub fn api_keys(&self) -> Result<Vec<(String, ApiSecret)>, AuthError> {
        let mut keys: Vec<_> = self.keys.iter().map(|(key, secret)| (key.clone(), secret.clone())).collect();
        if let Some(path) = &self.keys_file {
            keys.extend(read(path)?);
        }
        Ok(keys)
    }
}

fn insert(keys: &mut HashMap<String, DecodingKey>, key: &str, secret: &ApiSecret) -> Result<(), AuthError> {
    let wrong = |why: String| AuthError::Key { key: key.to_owned(), why };
    let len = secret.reveal().len();
    if len < MIN_SECRET {
        return Err(wrong(format!("its secret has {len} bytes, fewer than {MIN_SECRET}")));
    }
    let decoding =
        DecodingKey::from_secret(secret.reveal().as_bytes()).map_err(|error| wrong(error.to_string()))?;
    match keys.insert(key.to_owned(), decoding) {
        None => Ok(()),
        Some(_) => Err(wrong("is there twice".to_owned())),
    }
}

/// Reads a file of API keys, which only its owner may read.
pub(super) fn read(path: &Path) -> Result<Vec<(String, ApiSecret)>, AuthError> {
    const KEY: &str = "auth.keys_file";
    let failed = |source| AuthError::Read { key: KEY, path: path.to_owned(), source };
    let wrong = |why: String| AuthError::File { key: KEY, path: path.to_owned(), why };
    let file = fs::File::open(path).map_err(failed)?;
    match ownership::secret_file(&file.metadata().map_err(failed)?) {
        Ok(()) => {}
        Err(Problem::Io(source)) => return Err(failed(source)),
        Err(Problem::Unsafe(why)) => return Err(wrong(why)),
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    parse(&text).map_err(|line| wrong(format!("line {line} is no \"key: secret\"")))
}

/// The keys of a file's text; the error is the number of a line that is none.
fn parse(text: &str) -> Result<Vec<(String, ApiSecret)>, usize> {
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, secret) = line.split_once([':', '=']).ok_or(number + 1)?;
        let (key, secret) = (unquoted(key), unquoted(secret));
        if key.is_empty() || secret.is_empty() {
            return Err(number + 1);
        }
        keys.push((key.to_owned(), ApiSecret::new(secret)));
    }
    Ok(keys)
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_key_and_its_secret_on_each_line() {
        let keys = parse("# keys\nAPIone: s3cret=with:signs\n\n two = \"quoted\"\r\n").unwrap();
        let shown: Vec<_> = keys.iter().map(|(key, secret)| (key.as_str(), secret.reveal())).collect();
        assert_eq!(shown, [("APIone", "s3cret=with:signs"), ("two", "quoted")]);
        assert_eq!(parse("a: b\njust words"), Err(2));
        assert_eq!(parse("a:"), Err(1));
    }

    #[test]
    fn a_short_secret_and_a_key_that_is_there_twice_are_refused_by_name() {
        let mut keys = HashMap::new();
        let error = insert(&mut keys, "devkey", &ApiSecret::new("secret")).unwrap_err().to_string();
        assert_eq!(error, "API key devkey: its secret has 6 bytes, fewer than 32");
        let long = ApiSecret::new("x".repeat(32));
        insert(&mut keys, "devkey", &long).unwrap();
        assert!(insert(&mut keys, "devkey", &long).unwrap_err().to_string().contains("twice"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let path = std::env::temp_dir().join(format!("tureen-keys-{}", std::process::id()));
        fs::write(&path, format!("key: {}\n", "s".repeat(32))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let open = read(&path).map(|keys| keys.len());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let private = read(&path).map(|keys| keys.len());
        fs::remove_file(&path).unwrap();
        let error = open.unwrap_err().to_string();
        assert!(error.contains("mode 644") && error.contains("auth.keys_file"), "{error}");
        assert_eq!(private.unwrap(), 1);
    }
}
