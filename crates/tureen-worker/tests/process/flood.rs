//! A worker whose sockets are flooded exits in time.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tureen_rtc::sctp::{Sctp, SctpState};

use crate::json_parent::JsonParent;
use crate::replay::{SCTP, now};

/// Time limit for the end of the worker.
const END: Duration = Duration::from_secs(2);
/// Time limit for everything else, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// One-byte fragments in a packet.
const CHUNKS: u32 = 70;

#[test]
fn signal_ends_a_worker_under_a_flood_of_sctp_fragments() {
    let mut parent = JsonParent::start("3.5.15");
    request(&mut parent, "worker.createRouter", Value::Null);
    let transport = request(
        &mut parent,
        "router.createPlainTransport",
        json!({
            "comedia": true, "enableSctp": true, "enableSrtp": false, "isDataChannel": false, "rtcpMux": true,
            "listenIp": { "ip": "127.0.0.1" }, "maxSctpMessageSize": 262_144,
            "numSctpStreams": { "MIS": 1024, "OS": 1024 },
        }),
    );
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = transport["tuple"]["localPort"].as_u64().unwrap() as u16;
    socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let flood = flood(&socket);
    let floods = AtomicBool::new(true);
    let time = std::thread::scope(|scope| {
        scope.spawn(|| {
            for packet in flood.iter().cycle() {
                if !floods.load(Ordering::Relaxed) {
                    break;
                }
                // Fails once the worker has exited.
                let _ = socket.send(packet);
            }
        });
        let flooded = now() + Duration::from_secs(1);
        while now() < flooded {
            request(&mut parent, "worker.dump", Value::Null);
        }
        let begin: Instant = now();
        kill_process(Pid::from_raw(parent.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
        let status = parent.wait();
        floods.store(false, Ordering::Relaxed);
        assert!(status.success(), "{status}");
        now() - begin
    });
    assert!(time < END, "{time:?}");
}

/// Sends a request and waits for its response.
fn request(parent: &mut JsonParent, method: &str, data: Value) -> Value {
    let internal = json!({ "routerId": "room", "transportId": "bot" });
    parent.send(&json!({ "id": 1, "method": method, "internal": internal, "data": data }));
    let deadline = now() + PATIENCE;
    loop {
        assert!(now() < deadline, "no answer to {method}");
        match parent.receive() {
            Some(message) if message["id"] == 1 => {
                assert_eq!(message["accepted"], true, "{message}");
                return message["data"].clone();
            }
            Some(_) => {}
            None => std::thread::yield_now(),
        }
    }
}

/// Packets of an association with the worker: fragments of a message without the first one.
fn flood(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut sctp = Sctp::new(SCTP, &[7; 32], now());
    sctp.connect(now());
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let (mut tag, mut tsn) = ([0; 4], 0);
    let mut buffer = [0; 2048];
    let deadline = now() + PATIENCE;
    while sctp.state() != SctpState::Connected {
        assert!(now() < deadline, "no association");
        while let Some(packet) = sctp.poll_packet(now()) {
            if packet[4..8] != [0; 4] {
                tag.copy_from_slice(&packet[4..8]);
            }
            // INIT and INIT ACK contain the first TSN.
            if matches!(packet[12], 1 | 2) {
                tsn = u32::from_be_bytes(packet[28..32].try_into().unwrap());
            }
            socket.send(&packet).unwrap();
        }
        while let Ok(len) = socket.recv(&mut buffer) {
            sctp.handle_packet(now(), &buffer[..len]);
        }
        if sctp.poll_timeout().is_some_and(|at| at <= now()) {
            sctp.handle_timeout(now());
        }
    }
    let packet = |number: u32| {
        let mut packet = [&[0x13, 0x88, 0x13, 0x88][..], &tag, &[0; 4]].concat();
        for chunk in 0..CHUNKS {
            let tsn = tsn.wrapping_add(1 + number * CHUNKS + chunk).to_be_bytes();
            packet.extend_from_slice(&[&[0, 0, 0, 17][..], &tsn, &[0; 8], b"x\0\0\0"].concat());
        }
        let sum = !packet.iter().fold(!0u32, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 * (sum & 1)))
        });
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
        packet
    };
    (0..900).map(packet).collect()
}
