use std::fmt;

use rand::{Rng, RngCore};

/// ICE credentials of one side (RFC 8445 §5.3; mediasoup's `IceParameters`).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The ufrag, which identifies a transport to the peer. Contains no colon.
    pub username_fragment: String,
    /// Key of MESSAGE-INTEGRITY. Left out of `Debug`.
    pub password: String,
}

impl IceCredentials {
    /// Generates credentials of 32 characters each out of `0-9a-z`, as mediasoup does: 165 bits, where RFC 8445
    /// requires 24 and 128. `rng` must be cryptographically secure outside tests.
    pub fn generate(rng: &mut impl RngCore) -> Self {
        Self { username_fragment: random_string(rng), password: random_string(rng) }
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials")
            .field("username_fragment", &self.username_fragment)
            .finish_non_exhaustive()
    }
}

const LEN: usize = 32;
const ALPHABET: [u8; 36] = *b"0123456789abcdefghijklmnopqrstuvwxyz";

fn random_string(rng: &mut impl RngCore) -> String {
    (0..LEN).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn credentials_have_the_form_of_mediasoup() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let IceCredentials { username_fragment, password } = IceCredentials::generate(&mut rng);
            for text in [username_fragment, password] {
                assert_eq!(text.len(), 32);
                assert!(
                    text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()),
                    "{text}"
                );
                seen.extend(text.bytes());
            }
        }
        assert_eq!(seen.len(), 36, "every character occurs");
    }

    #[test]
    fn password_is_not_logged() {
        let credentials = IceCredentials { username_fragment: "name".into(), password: "secret".into() };
        let text = format!("{credentials:?}");
        assert!(text.contains("name") && !text.contains("secret"), "{text}");
    }
}
