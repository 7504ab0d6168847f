//! Costs of the process for its parent: time to start, round trips of requests, memory.
//!
//! `cargo bench -p tureen-worker`
#![cfg(unix)]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/process/parent.rs"]
mod parent;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/process/room.rs"]
mod room;

use std::time::{Duration, Instant};

use parent::Parent;

const STARTS: usize = 50;
/// Each transport has a socket, and a process may have 1024 file descriptors by default.
const TRANSPORTS: usize = 500;

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn main() {
    let mut starts = Vec::new();
    let mut idle = Vec::new();
    for _ in 0..STARTS {
        let start = Instant::now();
        let parent = Parent::start(&[]);
        starts.push(start.elapsed());
        idle.extend(parent.resident_kib());
    }
    report("from fork to `running`, shell in between included", &mut starts);

    let mut parent = Parent::start(&[]);
    let before = parent.resident_kib();
    let mut made = Vec::new();
    for number in 0..TRANSPORTS {
        let start = Instant::now();
        room::create_webrtc_transport(
            &mut parent,
            &format!("router {number}"),
            &format!("transport {number}"),
        );
        made.push(start.elapsed());
    }
    report("createRouter, then createWebRtcTransport: both round trips", &mut made);

    if let (Some(before), Some(after), Some(idle)) = (before, parent.resident_kib(), idle.iter().max()) {
        println!("RSS of an idle worker: at most {idle} KiB");
        println!(
            "RSS of a router with a WebRtcTransport: {:.1} KiB",
            (after - before) as f64 / TRANSPORTS as f64
        );
    }
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort();
    let [median, slowest] =
        [times[times.len() / 2], times[times.len() * 99 / 100]].map(|time| time.as_secs_f64() * 1e3);
    println!("{what}: median {median:.3} ms, 99th percentile {slowest:.3} ms of {}", times.len());
}
