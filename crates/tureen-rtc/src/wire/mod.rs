//! Parsers and writers of wire formats, without state, time or policy.

pub mod codecs;
pub mod rtcp;
pub mod rtp;
pub mod stun;
