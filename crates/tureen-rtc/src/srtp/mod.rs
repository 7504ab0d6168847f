//! SRTP and SRTCP (RFC 3711) with AES-GCM (RFC 7714) or AES-CM and HMAC-SHA1.
//!
//! A transport has one [`SrtpSealer`] for what it sends and one [`SrtpOpener`] for what its peer sends, each made from
//! one direction's master key and salt. The sealer's RTP side has no state: a consumer numbers its own packets and
//! hands in the 48-bit index. The opener keeps rollover counter and replay window of each remote SSRC, of as many as there may be.
//!
//! Not offered: master key identifiers, key derivation rates other than zero, unencrypted SRTCP, encrypted header
//! extensions (RFC 6904). WebRTC uses none of them.

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

/// Why a packet was not sealed or opened, or a session not made. Each is a drop reason to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SrtpError {
    /// Peer: the packet has no room for header and tag, or the given header is none.
    #[error("packet is too short for its header and tag")]
    TooShort,
    /// Peer or network: this index was opened before.
    #[error("packet was received before")]
    Replayed,
    /// Peer or network: the index lies behind the replay window.
    #[error("packet is older than the replay window")]
    TooOld,
    /// Peer or network: the tag does not fit the packet.
    #[error("packet fails authentication")]
    AuthenticationFailed,
    /// Peer: an SRTCP packet without the E bit.
    #[error("SRTCP packet is not encrypted")]
    NotEncrypted,
    /// Either: 2^48 RTP or 2^31 RTCP packets are all that one master key may protect (RFC 3711 §9.2).
    #[error("packet index is used up")]
    IndexExhausted,
    /// Caller: the output has no room for the protected packet.
    #[error("output buffer is too small")]
    BufferTooSmall,
    /// Caller: master key or salt is not as long as the suite demands.
    #[error("master key or salt has the wrong length")]
    BadKeyLength,
    /// This program: the crypto library refused to encrypt.
    #[error("encryption failed")]
    SealFailed,
}
