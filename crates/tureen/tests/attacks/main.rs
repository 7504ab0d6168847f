//! Attacks on the sockets of a worker while a call takes place, which must not be affected.
//!
//! In each test a victim sends packets, all of which must arrive, with attacks between them. Each test also measures
//! that the attacks do not make memory grow. This is a separate test binary, because it counts the allocations of the
//! process; one test runs at a time.

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

/// Router of a separate worker.
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

/// RTP capabilities of a member.
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
