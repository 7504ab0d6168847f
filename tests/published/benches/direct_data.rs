#![allow(warnings, clippy::all, reason = "not our code")]
include!(concat!(env!("OUT_DIR"), "/direct_data.rs"));
