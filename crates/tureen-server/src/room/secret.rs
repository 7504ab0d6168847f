//! Secret by which a new connection proves that it belongs to a peer.

use std::fmt;

/// Secret of a peer, which the server sends to its client at the start: 128 random bits as 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn generate() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on the position of the first difference.
    pub(super) fn is(&self, claimed: &str) -> bool {
        let differences = self.0.bytes().zip(claimed.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        self.0.len() == claimed.len() && differences == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_secret_matches() {
        let secret = Secret::generate();
        assert!(secret.is(secret.as_str()));
        for other in
            ["", &secret.as_str()[1..], &format!("{}0", secret.as_str()), Secret::generate().as_str()]
        {
            assert!(!secret.is(other), "{other}");
        }
        assert_eq!(secret.as_str().len(), 32);
    }
}
