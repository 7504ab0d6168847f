//! Parse and write wire formats, nothing else: no state, no time, no policy.

pub mod codecs;
pub mod rtcp;
pub mod rtp;
pub mod stun;
