//! SRTP and SRTCP (RFC 3711) with AES-GCM (RFC 7714) or AES-CM and HMAC-SHA1.
//!
//! A transport has one [`SrtpSealer`] for the packets it sends and one [`SrtpOpener`] for the packets it receives, each
//! made from the master key and salt of one direction. The sealer keeps no RTP state: each consumer numbers its own
//! packets and passes the 48-bit index. The opener keeps rollover counter and replay window of a bounded number of
//! remote SSRCs.
//!
//! Not implemented, because WebRTC uses none of them: master key identifiers, key derivation rates other than zero,
//! unencrypted SRTCP, encrypted header extensions (RFC 6904).

mod aes_cm;
mod aes_gcm;
mod cipher;
mod kdf;
mod nonce_guard;
mod open;
mod replay;
mod seal;
mod suite;
mod windows;

pub use nonce_guard::NonceGuard;
pub use open::{OpenedRtp, SrtpOpener};
pub use seal::SrtpSealer;
pub use suite::{SrtpSuite, UnknownSrtpSuite};

/// Reason why a packet was not sealed or opened, or a session not created. Each is counted as a drop reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SrtpError {
    /// Peer: the packet has no room for header and tag, or the given header is invalid.
    #[error("packet is too short for its header and tag")]
    TooShort,
    /// Peer or network: a packet with this index was opened before.
    #[error("packet was received before")]
    Replayed,
    /// Peer or network: the index lies behind the replay window.
    #[error("packet is older than the replay window")]
    TooOld,
    /// Peer or network: the tag does not match the packet.
    #[error("packet fails authentication")]
    AuthenticationFailed,
    /// Peer: an SRTCP packet without the E bit.
    #[error("SRTCP packet is not encrypted")]
    NotEncrypted,
    /// Either: one master key may protect at most 2^48 RTP and 2^31 RTCP packets (RFC 3711 §9.2).
    #[error("packet index is used up")]
    IndexExhausted,
    /// Caller: the output has no room for the protected packet.
    #[error("output buffer is too small")]
    BufferTooSmall,
    /// Caller: the length of master key or salt is not that of the suite.
    #[error("master key or salt has the wrong length")]
    BadKeyLength,
    /// This program: the crypto library failed to encrypt.
    #[error("encryption failed")]
    SealFailed,
}
