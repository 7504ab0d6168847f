//! Parameters that applications share with the engine – transport, RTP, SCTP, SRTP – and their matching ([`ortc`]).
//!
//! Names, fields and JSON are those of the `mediasoup-types` crate 0.10, so that an application moves over by renaming
//! its dependency and keeps its stored or signalled JSON. Two things differ, both on purpose: [`rtp_parameters::MimeTypeVideo`]
//! knows H265, and fields that the mediasoup documentation calls optional may be left out of the JSON that is read.
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
