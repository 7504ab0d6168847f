//! Access tokens: who may do what, signed by somebody whom the configuration trusts.
//!
//! Tokens have LiveKit's form. [`Verifier::check`] says if one is genuine and valid now; `admission` decides what it opens.

mod claims;
mod config;
mod fetch;
mod key_set;
mod keys;
mod revocations;
mod sources;
mod token;

pub use self::{
    claims::{Audience, Claims, Seconds, VideoGrant},
    config::{ApiSecret, AuthConfig, AuthError},
    token::{TokenError, Verifier, read_unverified, sign, unix_now},
};
pub(crate) use self::{
    revocations::Revocations,
    sources::{Muted, Source, Sources},
};
