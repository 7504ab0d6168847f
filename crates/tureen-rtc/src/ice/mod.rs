//! ICE (RFC 8445) as a lite agent: the engine offers host candidates, answers connectivity checks and never sends any.
//!
//! [`IceServer`] is the state machine of one transport. [`IceCredentials`] are what its checks are authenticated
//! with, and [`candidate_priority`] ranks what it offers.

mod credentials;
mod priority;
mod server;

pub use credentials::IceCredentials;
pub use priority::{EXPOSED_INTERNAL_IP_PRIORITY_DECREMENT, candidate_priority, local_preference};
pub use server::{
    CONSENT_TIMEOUTS, Hold, IceConfig, IceEvent, IceServer, IceState, IceVerdict, StunDiscard,
    consent_timeout_from_seconds,
};
