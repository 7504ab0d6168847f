//! Checks, in builds with debug assertions, that no nonce ever seals two contents.
//!
//! The nonce of a packet is its SSRC and index under the key of a direction (RFC 3711 §4.1.1, RFC 7714 §8.1 and §9.1).
//! Two contents under one nonce reveal their difference, and with AES-GCM the authentication key too (RFC 7714 §17.2:
//! "can result in a complete loss of security"). The content of a nonce depends on every part of the engine that
//! numbers, pads, stamps or retransmits packets, so no test of a single part can show that nonces are not reused.
//! Therefore every test and simulation runs with this guard, which depends on nothing but the sealed bytes.

#[cfg(debug_assertions)]
pub use watching::NonceGuard;

/// Empty, because nonces are checked in builds with debug assertions only.
#[cfg(not(debug_assertions))]
#[derive(Clone, Debug, Default)]
pub struct NonceGuard;

#[cfg(not(debug_assertions))]
impl NonceGuard {
    #[inline(always)]
    pub(super) fn check(&self, _: super::kdf::Usage, _: crate::units::Ssrc, _: u64, _: [&[u8]; 3]) {}
}

#[cfg(debug_assertions)]
mod watching {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::sync::{Arc, Mutex, PoisonError};

    use aws_lc_rs::digest::{Context, SHA256};
    use hashbrown::HashMap;

    use crate::srtp::kdf::Usage;
    use crate::units::Ssrc;

    /// Number of contents remembered per stream. An older index counts as a reuse because its content is unknown; no
    /// packet is retransmitted after so many packets.
    const REMEMBERED: usize = 1 << 16;

    /// Contents sealed under one master key by all sealers that share the guard.
    #[derive(Clone, Default)]
    pub struct NonceGuard {
        streams: Arc<Mutex<HashMap<(Usage, Ssrc), Sealed>>>,
    }

    #[derive(Default)]
    struct Sealed {
        /// Digests by index.
        contents: BTreeMap<u64, [u8; 16]>,
        /// Lowest index that is still remembered.
        floor: u64,
    }

    impl NonceGuard {
        /// Records the content about to be sealed: a header and the parts of a payload.
        ///
        /// # Panics
        /// The nonce has already sealed another content.
        pub(in crate::srtp) fn check(&self, usage: Usage, ssrc: Ssrc, index: u64, parts: [&[u8]; 3]) {
            let [header, front, rest] = parts;
            let mut context = Context::new(&SHA256);
            // The digest includes the boundary between header and payload, but not those between the parts of the
            // payload.
            context.update(&header.len().to_be_bytes());
            [header, front, rest].into_iter().for_each(|part| context.update(part));
            let mut digest = [0; 16];
            digest.copy_from_slice(&context.finish().as_ref()[..16]);
            let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            let sealed = streams.entry((usage, ssrc)).or_default();
            assert!(
                index >= sealed.floor,
                "nonce reuse: {usage:?} packet of SSRC {ssrc} with index {index:#x} is sealed again, too late to \
                 compare"
            );
            let before = *sealed.contents.entry(index).or_insert(digest);
            assert!(
                before == digest,
                "nonce reuse: {usage:?} packet of SSRC {ssrc} with index {index:#x} is sealed with other bytes than \
                 before"
            );
            while sealed.contents.len() > REMEMBERED
                && let Some((oldest, _)) = sealed.contents.pop_first()
            {
                sealed.floor = oldest + 1;
            }
        }
    }

    impl fmt::Debug for NonceGuard {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NonceGuard").finish_non_exhaustive()
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const SSRC: Ssrc = Ssrc(7);

        #[test]
        fn same_bytes_may_be_sealed_again_however_they_are_cut() {
            let guard = NonceGuard::default();
            guard.check(Usage::Rtp, SSRC, 5, [b"header", b"", b"payload"]);
            guard.check(Usage::Rtp, SSRC, 5, [b"header", b"pay", b"load"]);
            guard.check(Usage::Rtp, SSRC, 6, [b"header", b"", b"other"]);
            guard.check(Usage::Rtcp, SSRC, 5, [b"header", b"", b"report"]);
            guard.check(Usage::Rtp, Ssrc(8), 5, [b"header", b"", b"of another stream"]);
        }

        #[test]
        #[should_panic(
            expected = "nonce reuse: Rtp packet of SSRC 7 with index 0x5 is sealed with other bytes"
        )]
        fn other_payload_is_noticed() {
            let guard = NonceGuard::default();
            guard.check(Usage::Rtp, SSRC, 5, [b"header", b"", b"payload"]);
            guard.check(Usage::Rtp, SSRC, 5, [b"header", b"", b"payload\x01"]);
        }

        #[test]
        #[should_panic(expected = "nonce reuse")]
        fn other_header_is_noticed() {
            let guard = NonceGuard::default();
            guard.check(Usage::Rtp, SSRC, 5, [b"header", b"", b"payload"]);
            guard.check(Usage::Rtp, SSRC, 5, [b"Header", b"", b"payload"]);
        }

        #[test]
        #[should_panic(expected = "nonce reuse")]
        fn sealers_of_one_key_share_a_guard() {
            let guard = NonceGuard::default();
            guard.check(Usage::Rtcp, SSRC, 1, [b"header", b"", b"report"]);
            guard.clone().check(Usage::Rtcp, SSRC, 1, [b"header", b"", b"later report"]);
        }

        #[test]
        #[should_panic(expected = "too late to compare")]
        fn evicted_nonces_count_as_reused() {
            let guard = NonceGuard::default();
            for index in 0..=REMEMBERED as u64 {
                guard.check(Usage::Rtp, SSRC, index, [b"header", b"", b"payload"]);
            }
            guard.check(Usage::Rtp, SSRC, 0, [b"header", b"", b"payload"]);
        }
    }
}
