//! A JWKS: public keys by their `kid`, each for one algorithm.

use std::sync::Arc;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Duration, Instant, sleep_until},
};
use tracing::{info, warn};

use super::{
    config::{AuthConfig, AuthError},
    fetch::{self, Address},
};

/// Most keys of a set; those after them are left out.
const MAX_KEYS: usize = 100;

/// Largest JWKS (bytes).
pub(super) const MAX_SET: usize = 256 << 10;

/// Shortest time between two readings, whatever tokens come.
const MIN_BETWEEN: Duration = Duration::from_secs(10);

/// Public keys that tokens may be signed with.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a JWKS. Keys that are not for signatures by RS256, ES256 or EdDSA are left out, because identity providers
    /// publish others beside them; so is a second key of the same `kid` and algorithm.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("is no JSON: {error}"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("has no array \"keys\"")?;
        let mut known = Self::default();
        for key in keys.iter().take(MAX_KEYS) {
            let Some(key) = public_key(key) else { continue };
            if known.0.iter().all(|other| (&other.kid, other.algorithm) != (&key.kid, key.algorithm)) {
                known.0.push(key);
            }
        }
        match known.0.is_empty() {
            true => Err("has no key for RS256, ES256 or EdDSA".to_owned()),
            false => Ok(known),
        }
    }

    /// The key of a token. One without `kid` has a key only where there is no choice.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self
            .0
            .iter()
            .filter(|key| key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid));
        let found = fitting.next()?;
        fitting.next().is_none().then_some(&found.key)
    }
}

/// Reads one key of a set; `None` if it is not for verifying signatures by a known algorithm.
fn public_key(value: &Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        // A symmetric key is no public key: whoever reads the set could sign with it.
        _ => return None,
    };
    let is_for_it = jwk.common.key_algorithm.is_none_or(|named| named == algorithm.into());
    let is_for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    if !is_for_it || !is_for_signatures {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(PublicKey { kid: jwk.common.key_id, algorithm, key })
}

/// A JWKS that is read again from time to time, until this is dropped.
#[derive(Debug)]
pub(super) struct LiveKeySet {
    shared: Arc<Shared>,
    task: Option<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    /// `None` until it was read once.
    keys: watch::Sender<Option<Arc<KeySet>>>,
    /// A token came with a key that is not known.
    wanted: Notify,
}

/// Place of a JWKS.
#[derive(Clone, Debug)]
enum Place {
    File(std::path::PathBuf),
    Web(Address),
}

impl LiveKeySet {
    /// Starts to read the JWKS of the configuration, if it has one. A file must be good at the start; an address need
    /// not answer yet, because identity providers restart too.
    pub(super) fn start(config: &AuthConfig) -> Result<Option<Self>, AuthError> {
        let (place, first) = match (&config.jwks_file, &config.jwks_url) {
            (Some(path), _) => {
                let read = |source| AuthError::Read { key: "auth.jwks_file", path: path.clone(), source };
                let text = std::fs::read(path).map_err(read)?;
                let wrong = |why| AuthError::File { key: "auth.jwks_file", path: path.clone(), why };
                (Place::File(path.clone()), Some(KeySet::parse(&text).map_err(wrong)?))
            }
            (None, Some(url)) => {
                let address = Address::parse(url).expect("AuthConfig::validate checks the address");
                (Place::Web(address), None)
            }
            (None, None) => return Ok(None),
        };
        let shared =
            Arc::new(Shared { keys: watch::Sender::new(first.map(Arc::new)), wanted: Notify::new() });
        let task = tokio::spawn(keep_fresh(Arc::clone(&shared), place, config.jwks_refresh));
        Ok(Some(Self { shared, task: Some(task.abort_handle()) }))
    }

    /// The keys; `None` while they could not be read yet.
    pub(super) fn get(&self) -> Option<Arc<KeySet>> {
        self.shared.keys.borrow().clone()
    }

    /// Waits until it was read once.
    pub(super) async fn ready(&self) {
        let mut keys = self.shared.keys.subscribe();
        // The sender lives in self.
        let _ = keys.wait_for(Option::is_some).await;
    }

    /// Has the set read again soon.
    pub(super) fn want(&self) {
        self.shared.wanted.notify_one();
    }

    #[cfg(test)]
    pub(super) fn fixed(keys: Option<KeySet>) -> Self {
        let shared = Shared { keys: watch::Sender::new(keys.map(Arc::new)), wanted: Notify::new() };
        Self { shared: Arc::new(shared), task: None }
    }
}

impl Drop for LiveKeySet {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Place {
    async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
                read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            }
            Self::Web(address) => fetch::get(address, MAX_SET).await.map_err(|error| error.to_string()),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Web(address) => write!(f, "{address}"),
        }
    }
}

/// Reads the set again and again. What was read last stays in use while nothing good can be read.
async fn keep_fresh(set: Arc<Shared>, place: Place, every: Duration) {
    let mut told = String::new();
    loop {
        let read = place.read().await.and_then(|text| KeySet::parse(&text));
        let read_at = Instant::now();
        let is_good = read.is_ok();
        let outcome = match read {
            Ok(keys) => {
                let count = keys.0.len();
                set.keys.send_replace(Some(Arc::new(keys)));
                format!("{count} keys of {place} are in use")
            }
            Err(why) => format!("JWKS {place} {why}"),
        };
        // Told once, and not at each attempt.
        if outcome != told {
            match is_good {
                true => info!("{outcome}"),
                false => warn!("{outcome}; keys that were read before stay in use"),
            }
            told = outcome;
        }
        let next = read_at + if is_good { every } else { MIN_BETWEEN.min(every) };
        tokio::select! {
            () = sleep_until(next) => {}
            () = async {
                sleep_until(read_at + MIN_BETWEEN).await;
                set.wanted.notified().await;
            } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &str = r#"{"kty":"RSA","kid":"a","alg":"RS256","use":"sig","n":"sXch","e":"AQAB"}"#;

    fn set(keys: &[&str]) -> Result<KeySet, String> {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let keys = set(&[
            RSA,
            r#"{"kty":"oct","kid":"b","k":"c2VjcmV0"}"#,
            r#"{"kty":"RSA","kid":"c","use":"enc","n":"sXch","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"d","alg":"PS256","n":"sXch","e":"AQAB"}"#,
            r#"{"kty":"EC","kid":"e","crv":"P-384","x":"AA","y":"AA"}"#,
            r#"{"kty":"OKP","kid":"f","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"new"}"#,
            "7",
        ])
        .unwrap();
        assert!(keys.find(Some("a"), Algorithm::RS256).is_some());
        assert!(keys.find(Some("f"), Algorithm::EdDSA).is_some());
        assert_eq!(keys.0.len(), 2);
        for text in [&b"{}"[..], b"", b"[]", br#"{"keys":[]}"#, br#"{"keys":7}"#] {
            KeySet::parse(text).unwrap_err();
        }
    }

    #[test]
    fn a_key_is_found_for_its_own_algorithm_alone() {
        let keys = set(&[RSA]).unwrap();
        for algorithm in [Algorithm::HS256, Algorithm::RS512, Algorithm::PS256, Algorithm::ES256] {
            assert!(keys.find(Some("a"), algorithm).is_none(), "{algorithm:?}");
        }
        assert!(keys.find(Some("b"), Algorithm::RS256).is_none());
        assert!(keys.find(None, Algorithm::RS256).is_some(), "there is no choice");
    }

    #[test]
    fn of_two_keys_with_one_kid_the_first_counts() {
        let other = RSA.replace("sXch", "AAAA");
        let keys = set(&[RSA, &other]).unwrap();
        assert_eq!(keys.0.len(), 1);
        let elsewhere = RSA.replace("\"a\"", "\"b\"");
        let keys = set(&[RSA, &elsewhere]).unwrap();
        assert!(keys.find(None, Algorithm::RS256).is_none(), "a token without kid must not choose");
    }

    #[test]
    fn a_set_has_no_more_keys_than_its_bound() {
        let keys: Vec<_> = (0..10_000).map(|n| RSA.replace("\"a\"", &format!("\"{n}\""))).collect();
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        assert_eq!(set(&keys).unwrap().0.len(), MAX_KEYS);
    }
}
