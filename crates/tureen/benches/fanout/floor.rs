//! Lower bound for comparison: the same packets copied, sealed and sent without an SFU.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tureen_net::{Net, NetConfig, Port, UdpOptions};
use tureen_rtc::srtp::{SrtpSealer, SrtpSuite};
use tureen_rtc::units::Ssrc;

use crate::process::{pin, this_thread, thread_cpu_ns};
use crate::{FPS, LOCALHOST, PACKETS, PAYLOAD, SSRC};

/// Copies, seals and sends packets on a separate thread. Returns its CPU time in ns per packet.
pub(crate) fn copy_seal_send(suite: SrtpSuite, destinations: &[SocketAddr], seconds: f64) -> f64 {
    let frames = (seconds * f64::from(FPS)) as u64;
    let cpu = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            pin(0);
            send_frames(suite, destinations, frames)
        });
        thread.join().expect("the floor thread ends")
    });
    cpu as f64 / (frames * PACKETS as u64 * destinations.len() as u64) as f64
}

/// Cost of sealing alone, in the order in which the worker seals, in ns per packet.
pub(crate) fn seal(suite: SrtpSuite) -> f64 {
    let sealers: Vec<SrtpSealer> = (0..200).map(|i| sealer(suite, i)).collect();
    let payloads = payloads();
    let (header, mut out) = (header(), vec![0; 2048]);
    let start = Instant::now();
    let mut packets = 0u32;
    while start.elapsed() < Duration::from_millis(200) {
        for sealer in &sealers {
            for payload in &payloads {
                let sealed = sealer.seal_rtp(Ssrc(SSRC), packets.into(), &header, &[], payload, &mut out);
                std::hint::black_box(sealed.expect("a large buffer"));
                packets += 1;
            }
        }
    }
    start.elapsed().as_nanos() as f64 / f64::from(packets)
}

fn send_frames(suite: SrtpSuite, destinations: &[SocketAddr], frames: u64) -> u64 {
    const WARM_UP: u64 = 10;
    let mut net = Net::new(NetConfig::default()).expect("a network");
    net.bind_udp(0, &UdpOptions::new(LOCALHOST, Port::Any)).expect("a socket");
    let sealers: Vec<SrtpSealer> = (0..destinations.len()).map(|i| sealer(suite, i)).collect();
    let (payloads, header) = (payloads(), header());
    let (tid, start) = (this_thread(), Instant::now());
    let mut before = 0;
    for frame in 0..frames + WARM_UP {
        if frame == WARM_UP {
            before = thread_cpu_ns(tid);
        }
        for (sealer, &destination) in sealers.iter().zip(destinations) {
            let slot = net.send_slot();
            let mut len = 0;
            for (packet, payload) in payloads.iter().enumerate() {
                let index = frame * PACKETS as u64 + packet as u64;
                let sealed = sealer.seal_rtp(Ssrc(SSRC), index, &header, &[], payload, &mut slot[len..]);
                len += sealed.expect("a large slot");
            }
            net.commit(0, destination, len, len / PACKETS);
        }
        net.flush();
        let next = start + Duration::from_secs(1) * (frame as u32 + 1) / FPS;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    thread_cpu_ns(tid) - before
}

fn sealer(suite: SrtpSuite, index: usize) -> SrtpSealer {
    let key: Vec<u8> = (0..suite.key_len()).map(|i| (i * 7 + index) as u8).collect();
    SrtpSealer::new(suite, &key, &vec![index as u8; suite.salt_len()]).expect("a key of the right length")
}

fn payloads() -> Vec<Vec<u8>> {
    (0..PACKETS).map(|i| vec![i as u8; PAYLOAD]).collect()
}

/// A header with the extensions that consumers send.
fn header() -> Vec<u8> {
    let mut header = vec![0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 2];
    header.extend_from_slice(&[0x10, b'0', 0x22, 1, 2, 3, 0x51, 0]);
    header
}
