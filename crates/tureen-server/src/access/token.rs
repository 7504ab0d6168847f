//! Tokens: signed, and checked.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header,
    crypto::{self, CryptoProvider},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    claims::{Claims, Seconds},
    config::{ApiSecret, AuthConfig, AuthError},
    key_set::LiveKeySet,
    keys::ApiKeys,
};
use crate::tally::{Denied, Shown};

/// Reason for which a token is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None was given.
    #[error("an access token is needed: Authorization: Bearer, or access_token in the query")]
    Missing,
    /// Longer than `auth.max_token_bytes`.
    #[error("the access token has {len} bytes, more than {most}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The longest that is read.
        most: usize,
    },
    /// It is no JWT (RFC 7519).
    #[error("the access token is no JWT: {0}")]
    Unreadable(String),
    /// No key here is for its algorithm.
    #[error("the access token's algorithm {0} is not accepted")]
    Algorithm(String),
    /// It names no key that is known.
    #[error("the access token is signed by an unknown key: {0}")]
    UnknownKey(String),
    /// The JWKS could not be read yet.
    #[error("the keys of access tokens could not be read yet")]
    NoKeysYet,
    /// The signature is not that of its key.
    #[error("the access token's signature is wrong")]
    Signature,
    /// `exp` is missing.
    #[error("the access token has no exp")]
    NoExpiry,
    /// `exp` has passed.
    #[error("the access token has expired {ago} s ago")]
    Expired {
        /// Seconds since then.
        ago: i64,
    },
    /// `nbf` has not come.
    #[error("the access token is not valid before {in_s} s from now")]
    NotYet {
        /// Seconds until then.
        in_s: i64,
    },
    /// `iss` is not `auth.issuer`.
    #[error("the access token is of another issuer than {0}")]
    Issuer(String),
    /// `aud` does not have `auth.audience`.
    #[error("the access token is not for the audience {0}")]
    Audience(String),
    /// A claim is missing or wrong.
    #[error("the access token's claims are wrong: {0}")]
    Claims(String),
    /// Tokens of this identity were revoked since it was issued.
    #[error("the access token was revoked")]
    Revoked,
    /// Its identity is kept out of the room.
    #[error("this identity is banned from the room for {for_s} more s")]
    Banned {
        /// Seconds until the ban ends.
        for_s: i64,
    },
}

impl TokenError {
    /// Counter of such refusals.
    pub(crate) fn counter(&self) -> Denied {
        match self {
            Self::Missing => Denied::TokenMissing,
            Self::TooLong { .. } | Self::Unreadable(_) => Denied::TokenUnreadable,
            Self::Algorithm(_) => Denied::TokenAlgorithm,
            Self::UnknownKey(_) | Self::NoKeysYet => Denied::TokenKey,
            Self::Signature => Denied::TokenSignature,
            Self::NoExpiry | Self::Expired { .. } | Self::NotYet { .. } => Denied::TokenTime,
            Self::Issuer(_) | Self::Audience(_) | Self::Claims(_) => Denied::TokenClaims,
            Self::Revoked | Self::Banned { .. } => Denied::TokenRevoked,
        }
    }
}

/// Checks tokens against the keys of a configuration.
pub struct Verifier {
    api_keys: ApiKeys,
    key_set: Option<LiveKeySet>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: i64,
    max_bytes: usize,
}

/// Protected header of a token, as far as it matters here.
#[derive(Deserialize)]
struct Head {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that a reader must know (RFC 7515 §4.1.11). None is known here.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

impl Verifier {
    /// Reads the keys, and starts to read the JWKS, which needs a tokio runtime.
    ///
    /// # Errors
    /// If a file can't be used, a secret is too short, or no source of keys is set.
    pub fn start(config: &AuthConfig) -> Result<Self, AuthError> {
        install_cryptography();
        let api_keys = ApiKeys::load(config)?;
        let key_set = LiveKeySet::start(config)?;
        if api_keys.is_empty() && key_set.is_none() {
            return Err(AuthError::NoKeys);
        }
        Ok(Self::new(config, api_keys, key_set))
    }

    fn new(config: &AuthConfig, api_keys: ApiKeys, key_set: Option<LiveKeySet>) -> Self {
        Self {
            api_keys,
            key_set,
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: i64::try_from(config.leeway.as_secs()).unwrap_or(0),
            max_bytes: config.max_token_bytes,
        }
    }

    /// Waits until the JWKS was read once, if there is one.
    pub async fn ready(&self) {
        if let Some(key_set) = &self.key_set {
            key_set.ready().await;
        }
    }

    /// Claims of a token that is genuine, and valid at `now` (seconds since 1970).
    ///
    /// The token's own `alg` only chooses between the kinds of keys; each key verifies its one algorithm.
    ///
    /// # Errors
    /// The first reason for which the token is no good; what costs little is checked first.
    pub fn check(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        let claims = self.verify(token)?;
        let exp = claims.exp.ok_or(TokenError::NoExpiry)?.0;
        if exp.saturating_add(self.leeway) <= now {
            return Err(TokenError::Expired { ago: now.saturating_sub(exp) });
        }
        if let Some(Seconds(nbf)) = claims.nbf
            && nbf.saturating_sub(self.leeway) > now
        {
            return Err(TokenError::NotYet { in_s: nbf.saturating_sub(now) });
        }
        if let Some(audience) = &self.audience
            && !claims.aud.as_ref().is_some_and(|aud| aud.has(audience))
        {
            return Err(TokenError::Audience(audience.clone()));
        }
        Ok(claims)
    }

    /// Claims of a token whose signature is good, whatever they are.
    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > self.max_bytes {
            return Err(TokenError::TooLong { len: token.len(), most: self.max_bytes });
        }
        let unreadable = |why: &str| TokenError::Unreadable(why.to_owned());
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| unreadable("it has no dot"))?;
        let (head, payload) = signed.split_once('.').ok_or_else(|| unreadable("it has one dot alone"))?;
        if payload.contains('.') {
            return Err(unreadable("it has more than three parts"));
        }
        let head: Head = part("header", head)?;
        if head.crit.is_some() {
            return Err(unreadable("its header has crit"));
        }
        match head.alg.as_str() {
            "HS256" if !self.api_keys.is_empty() => {
                #[derive(Deserialize)]
                struct Issuer {
                    #[serde(default)]
                    iss: Option<String>,
                }
                let Issuer { iss } = part("payload", payload)?;
                let iss = iss.unwrap_or_default();
                let unknown =
                    || TokenError::UnknownKey(format!("iss \"{}\" is no API key here", Shown(&iss)));
                let key = self.api_keys.get(&iss).ok_or_else(unknown)?;
                verify_signature(signed, signature, key, Algorithm::HS256)?;
                part("payload", payload)
            }
            "RS256" => self.verify_by_set(&head, Algorithm::RS256, signed, signature, payload),
            "ES256" => self.verify_by_set(&head, Algorithm::ES256, signed, signature, payload),
            "EdDSA" => self.verify_by_set(&head, Algorithm::EdDSA, signed, signature, payload),
            other => Err(TokenError::Algorithm(Shown(other).to_string())),
        }
    }

    fn verify_by_set(
        &self,
        head: &Head,
        algorithm: Algorithm,
        signed: &str,
        signature: &str,
        payload: &str,
    ) -> Result<Claims, TokenError> {
        let set = self.key_set.as_ref().ok_or_else(|| TokenError::Algorithm(head.alg.clone()))?;
        let keys = set.get().ok_or(TokenError::NoKeysYet)?;
        let kid = head.kid.as_deref();
        let key = keys.find(kid, algorithm).ok_or_else(|| {
            // It may have been published since.
            set.want();
            TokenError::UnknownKey(match kid {
                Some(kid) => format!("kid \"{}\" is no {algorithm:?} key of the JWKS", Shown(kid)),
                None => format!("it has no kid, and the JWKS has not exactly one {algorithm:?} key"),
            })
        })?;
        verify_signature(signed, signature, key, algorithm)?;
        let claims: Claims = part("payload", payload)?;
        match &self.issuer {
            Some(issuer) if claims.iss.as_ref() != Some(issuer) => Err(TokenError::Issuer(issuer.clone())),
            _ => Ok(claims),
        }
    }
}

fn verify_signature(
    signed: &str,
    signature: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<(), TokenError> {
    match crypto::verify(signature, signed.as_bytes(), key, algorithm) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenError::Signature),
    }
}

/// Reads a part of a token: base64url of JSON.
fn part<T: DeserializeOwned>(name: &str, encoded: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| TokenError::Unreadable(format!("its {name} is no base64url")))?;
    // The text of the error names a place and a type, and may repeat a value.
    serde_json::from_slice(&bytes).map_err(|error| {
        let why = error.to_string();
        TokenError::Unreadable(format!("its {name} can't be read: {}", Shown(&why)))
    })
}

/// Header and claims of a token that need not be genuine, for explaining it.
///
/// # Errors
/// If it is no JWT.
pub fn read_unverified(token: &str) -> Result<(serde_json::Value, Claims), TokenError> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(head), Some(payload), Some(_signature), None) => {
            Ok((part("header", head)?, part("payload", payload)?))
        }
        _ => Err(TokenError::Unreadable("it has not three parts".to_owned())),
    }
}

/// Signs a token by HS256.
///
/// # Errors
/// If the secret is empty, or a claim can't be written.
pub fn sign(claims: &Claims, secret: &ApiSecret) -> Result<String, String> {
    install_cryptography();
    let key = EncodingKey::from_secret(secret.reveal().as_bytes()).map_err(|error| error.to_string())?;
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).map_err(|error| error.to_string())
}

/// Chooses the cryptography once, because a guess from cargo features panics where others want another one.
fn install_cryptography() {
    // An error says that it has been chosen.
    let _ = CryptoProvider::install_default(&crypto::aws_lc::DEFAULT_PROVIDER);
}

/// Seconds since 1970 by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "times of tokens are those of the wall clock")]
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData};
    use serde_json::{Value, json};

    use super::*;
    use crate::access::key_set::KeySet;

    const NOW: i64 = 1_800_000_000;

    fn secret() -> ApiSecret {
        ApiSecret::new("0123456789abcdef0123456789abcdef")
    }

    fn config() -> AuthConfig {
        AuthConfig { keys: [("devkey".to_owned(), secret())].into(), ..AuthConfig::default() }
    }

    /// A verifier with an API key, and a JWKS if there are keys.
    fn verifier(config: &AuthConfig, jwks: &[Value]) -> Verifier {
        install_cryptography();
        let set = json!({ "keys": jwks }).to_string();
        let set = (!jwks.is_empty()).then(|| LiveKeySet::fixed(Some(KeySet::parse(set.as_bytes()).unwrap())));
        Verifier::new(config, ApiKeys::load(config).unwrap(), set)
    }

    fn claims(value: Value) -> Value {
        let mut claims =
            json!({ "iss": "devkey", "sub": "alice", "exp": NOW + 600, "video": { "roomJoin": true } });
        for (name, value) in value.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn encoded(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// A token with any header, signed by HMAC with any secret.
    fn hmac(head: &Value, claims: &Value, secret: &[u8]) -> String {
        install_cryptography();
        let signed = format!("{}.{}", encoded(head), encoded(claims));
        let key = EncodingKey::from_secret(secret).unwrap();
        let signature = crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{signed}.{signature}")
    }

    fn hs256(value: Value) -> String {
        hmac(&json!({ "alg": "HS256", "typ": "JWT" }), &claims(value), secret().reveal().as_bytes())
    }

    #[test]
    fn a_good_token_gives_its_claims() {
        let verifier = verifier(&config(), &[]);
        let claims = verifier.check(&hs256(json!({})), NOW).unwrap();
        assert_eq!(claims.sub.as_deref(), Some("alice"));
        let signed = sign(&claims, &secret()).unwrap();
        assert_eq!(verifier.check(&signed, NOW).unwrap(), claims, "what sign makes is good");
    }

    #[test]
    fn times_count_with_the_leeway_and_no_more() {
        let verifier = verifier(&config(), &[]);
        let check = |value, now| verifier.check(&hs256(value), now).map(|_claims| ());
        check(json!({}), NOW + 659).unwrap();
        assert_eq!(check(json!({}), NOW + 660), Err(TokenError::Expired { ago: 60 }));
        assert_eq!(check(json!({ "exp": null }), NOW), Err(TokenError::NoExpiry));
        check(json!({ "nbf": NOW + 60 }), NOW).unwrap();
        assert_eq!(check(json!({ "nbf": NOW + 61 }), NOW), Err(TokenError::NotYet { in_s: 61 }));
        check(json!({ "exp": 1e300 }), NOW).unwrap();
        assert!(matches!(check(json!({ "exp": -1e300 }), NOW), Err(TokenError::Expired { .. })));
        assert!(matches!(check(json!({ "nbf": 1e300 }), NOW), Err(TokenError::NotYet { .. })));
    }

    #[test]
    fn bad_tokens_are_refused_by_name() {
        let verifier = verifier(&config(), &[]);
        let of = |head: Value| hmac(&head, &claims(json!({})), secret().reveal().as_bytes());
        let unsigned = format!("{}.{}.", encoded(&json!({ "alg": "none" })), encoded(&claims(json!({}))));
        let other_secret = hmac(&json!({ "alg": "HS256" }), &claims(json!({})), &[7; 32]);
        let good = hs256(json!({}));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (head, _) = signed.split_once('.').unwrap();
        let changed = format!("{head}.{}.{signature}", encoded(&claims(json!({ "sub": "bob" }))));
        for (token, why) in [
            ("", "no JWT"),
            ("a.b", "no JWT"),
            ("a.b.c.d", "no JWT"),
            ("....", "no JWT"),
            ("é.é.é", "no JWT"),
            (&unsigned, "algorithm none"),
            (&of(json!({ "alg": "HS512" })), "algorithm HS512"),
            (&of(json!({ "alg": "RS256" })), "algorithm RS256"),
            (&of(json!({ "alg": "hs256" })), "algorithm hs256"),
            (&of(json!({})), "header can't be read"),
            (&of(json!({ "alg": "HS256", "crit": ["exp"] })), "crit"),
            (&hs256(json!({ "iss": "other" })), "iss \"other\""),
            (&hs256(json!({ "iss": null })), "iss \"\""),
            (&hs256(json!({ "video": 7 })), "payload can't be read"),
            (&other_secret, "signature"),
            (&changed, "signature"),
            (&format!("{signed}."), "signature"),
            (&format!("{signed}.AAAA"), "signature"),
            (&format!("{good}="), "signature"),
        ] {
            let error = verifier.check(token, NOW).unwrap_err().to_string();
            assert!(error.contains(why), "{token}: {error}");
        }
        let huge = "x".repeat(100_000);
        assert_eq!(verifier.check(&huge, NOW), Err(TokenError::TooLong { len: 100_000, most: 8192 }));
    }

    #[test]
    fn an_audience_that_is_wanted_must_be_among_the_tokens() {
        let verifier = verifier(&AuthConfig { audience: Some("sfu".to_owned()), ..config() }, &[]);
        for (aud, is_good) in [
            (json!("sfu"), true),
            (json!(["x", "sfu"]), true),
            (json!("x"), false),
            (json!(null), false),
            (json!([]), false),
        ] {
            assert_eq!(verifier.check(&hs256(json!({ "aud": aud })), NOW).is_ok(), is_good, "{aud}");
        }
    }

    /// A key pair of a provider, as a JWK and as a signer.
    fn provider_key(kid: &str, algorithm: Algorithm) -> (Value, EncodingKey) {
        let of = match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            _ => &rcgen::PKCS_ED25519,
        };
        let pair = KeyPair::generate_for(of).unwrap();
        let raw = pair.der_bytes();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match algorithm {
            Algorithm::ES256 => (
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": text(&raw[1..33]), "y": text(&raw[33..]) }),
                EncodingKey::from_ec_der(pair.serialized_der()),
            ),
            _ => (
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(raw) }),
                EncodingKey::from_ed_der(pair.serialized_der()),
            ),
        }
    }

    fn provided(kid: Option<&str>, algorithm: Algorithm, key: &EncodingKey, value: Value) -> String {
        install_cryptography();
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims(value), key).unwrap()
    }

    #[test]
    fn tokens_of_a_provider_are_good_by_the_key_that_they_name() {
        let (ec, ec_signs) = provider_key("ec", Algorithm::ES256);
        let (ed, ed_signs) = provider_key("ed", Algorithm::EdDSA);
        let issuer = Some("https://idp.example".to_owned());
        let verifier = verifier(&AuthConfig { issuer, ..config() }, &[ec, ed]);
        let of_idp = json!({ "iss": "https://idp.example" });
        for (kid, algorithm, key) in [
            (Some("ec"), Algorithm::ES256, &ec_signs),
            (Some("ed"), Algorithm::EdDSA, &ed_signs),
            (None, Algorithm::ES256, &ec_signs),
        ] {
            verifier.check(&provided(kid, algorithm, key, of_idp.clone()), NOW).unwrap();
        }
        let refused = |kid, algorithm, key, value| {
            verifier.check(&provided(kid, algorithm, key, value), NOW).unwrap_err()
        };
        // The key of one algorithm never serves another one.
        let error = refused(Some("ed"), Algorithm::ES256, &ec_signs, of_idp.clone());
        assert!(matches!(error, TokenError::UnknownKey(_)), "{error}");
        let error = refused(Some("gone"), Algorithm::ES256, &ec_signs, of_idp.clone());
        assert!(error.to_string().contains("kid \"gone\""), "{error}");
        let error = refused(Some("ec"), Algorithm::ES256, &ec_signs, json!({}));
        assert_eq!(error, TokenError::Issuer("https://idp.example".to_owned()));
        let (_, stranger) = provider_key("ec", Algorithm::ES256);
        assert_eq!(refused(Some("ec"), Algorithm::ES256, &stranger, of_idp), TokenError::Signature);
        verifier.check(&hs256(json!({})), NOW).unwrap();
    }

    #[test]
    fn a_public_key_is_no_secret_for_hmac() {
        let (ec, _) = provider_key("devkey", Algorithm::ES256);
        let public = ec.to_string();
        let verifier = verifier(&config(), &[ec]);
        for kid in [json!("devkey"), Value::Null] {
            let token = hmac(&json!({ "alg": "HS256", "kid": kid }), &claims(json!({})), public.as_bytes());
            assert_eq!(verifier.check(&token, NOW), Err(TokenError::Signature));
        }
        // Without API keys nothing is verified by HMAC at all.
        let no_keys = AuthConfig::default();
        let (ec, _) = provider_key("k", Algorithm::ES256);
        let token = hmac(&json!({ "alg": "HS256", "kid": "k" }), &claims(json!({})), public.as_bytes());
        let error = self::verifier(&no_keys, &[ec]).check(&token, NOW).unwrap_err();
        assert_eq!(error, TokenError::Algorithm("HS256".to_owned()));
    }

    #[test]
    fn before_a_set_was_read_its_tokens_have_no_key() {
        let (_, signs) = provider_key("ec", Algorithm::ES256);
        let verifier =
            Verifier::new(&config(), ApiKeys::load(&config()).unwrap(), Some(LiveKeySet::fixed(None)));
        let token = provided(Some("ec"), Algorithm::ES256, &signs, json!({}));
        assert_eq!(verifier.check(&token, NOW), Err(TokenError::NoKeysYet));
        verifier.check(&hs256(json!({})), NOW).unwrap();
    }

    #[test]
    fn no_error_repeats_the_token() {
        let verifier = verifier(&config(), &[]);
        let token = hs256(json!({ "exp": NOW - 1000 }));
        let error = verifier.check(&token, NOW).unwrap_err();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(signature) && !text.contains(signed), "{text}");
        }
    }
}
