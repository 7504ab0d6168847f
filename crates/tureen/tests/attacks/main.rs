//! Attackers at the sockets of a worker, beside a call that must not notice them.
//!
//! Each test has a victim that sends packet after packet, each of which must arrive, while attackers do their worst
//! between them; and each measures that memory does not grow by what they do. A binary of its own, for it counts what
//! the process allocates: one test runs at a time.

mod call;
mod feedback;
#[path = "../member/mod.rs"]
mod member;
mod memory;
mod paths;
mod plain;
mod sctp;
mod sctp_chunks;
mod slow_line;
mod tcp;

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use tureen::prelude::*;

fn listen_info(protocol: Protocol) -> ListenInfo {
    ListenInfo {
        protocol,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        announced_address: None,
        expose_internal_ip: false,
        port: None,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }
}

async fn router() -> Router {
    router_with(WorkerSettings::default()).await
}

/// A router of a worker of its own.
async fn router_with(settings: WorkerSettings) -> Router {
    let worker = WorkerManager::new().create_worker(settings).await.unwrap();
    let codecs = serde_json::from_value(json!([opus()])).unwrap();
    worker.create_router(RouterOptions::new(codecs)).await.unwrap()
}

fn opus() -> serde_json::Value {
    json!({
        "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100, "clockRate": 48000, "channels": 2,
        "parameters": {}, "rtcpFeedback": [],
    })
}

/// What a member can receive.
fn capabilities() -> RtpCapabilities {
    serde_json::from_value(json!({ "codecs": [opus()], "headerExtensions": [] })).unwrap()
}

/// Opus with payload type 100.
fn audio(ssrc: u32) -> ProducerOptions {
    let parameters = json!({
        "mid": "audio",
        "codecs": [{
            "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
            "parameters": {}, "rtcpFeedback": [],
        }],
        "encodings": [{ "ssrc": ssrc }],
        "headerExtensions": [],
        "rtcp": { "cname": "victim" },
    });
    ProducerOptions::new(MediaKind::Audio, serde_json::from_value(parameters).unwrap())
}
