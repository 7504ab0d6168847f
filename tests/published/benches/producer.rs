#![allow(warnings, clippy::all, reason = "not our code")]
include!(concat!(env!("OUT_DIR"), "/producer.rs"));
