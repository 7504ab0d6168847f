//! Parameters that applications share with the engine – transport, RTP, SCTP, SRTP – and their matching ([`ortc`]).
//!
//! Names, fields and JSON are those of the `mediasoup-types` crate 0.10, so that an application migrates by renaming
//! its dependency and keeps its stored or signalled JSON. There are two intended differences:
//! [`rtp_parameters::MimeTypeVideo`] includes H265, and fields that the mediasoup documentation calls optional may be
//! absent in parsed JSON.
#![forbid(unsafe_code)]

pub mod data_structures;
pub mod ortc;
pub mod rtp_parameters;
pub mod scalability_modes;
pub mod sctp_parameters;
pub mod srtp_parameters;

mod named_enum;

#[cfg(test)]
mod compatibility_tests;
