//! ICE (RFC 8445) as a lite agent: it offers host candidates, answers connectivity checks and never sends any.
//!
//! [`IceServer`] is the state machine of one transport. [`IceCredentials`] authenticate its checks, and
//! [`candidate_priority`] ranks its candidates.

mod credentials;
mod priority;
mod server;

pub use credentials::IceCredentials;
pub use priority::{EXPOSED_INTERNAL_IP_PRIORITY_DECREMENT, candidate_priority, local_preference};
pub use server::{
    CONSENT_TIMEOUTS, Hold, IceConfig, IceEvent, IceServer, IceState, IceVerdict, StunDiscard,
    consent_timeout_from_seconds,
};
