//! SRTP and SRTCP.

mod suite;

pub use suite::SrtpSuite;
