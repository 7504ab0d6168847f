//! One video stream to many WebRtcTransports on one WebRtcServer port, over loopback with real sockets. Measures the
//! cost of a forwarded packet, the cost of copying, sealing and sending the same packets without an SFU, and the memory
//! of a consumer.
//!
//! `cargo bench -p tureen --bench fanout -- [--consumers 200] [--seconds 5] [--rounds 3] [--pipe]
//! [--layers none|simulcast|svc]`
//!
//! With `--pipe` the stream arrives at another worker, on CPU 1, and is piped to the measured one.
//!
//! With `--layers simulcast` the stream is the highest of three encodings, with `svc` it has three temporal layers. All
//! packets of the stream are forwarded, so that their number is the same in each mode; packets of the lower encodings
//! are received too, but not counted.
//!
//! Linux only. This process contains the worker, on CPU 0; the load is a separate process, on CPU 1. The receivers'
//! sockets accept segmented sends as a whole, like a network card with segmentation offload; `--no-gro` makes the
//! kernel split them on the sender's CPU.
#![allow(unsafe_code, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

#[cfg(target_os = "linux")]
mod floor;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod sfu;

use std::net::{IpAddr, Ipv4Addr};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FPS: u32 = 30;
/// Number of packets of a frame.
const PACKETS: usize = 8;
const PAYLOAD: usize = 1200;
/// SSRC of the forwarded stream; other encodings have the following numbers.
const SSRC: u32 = 1111;

/// Structure of the producer's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layers {
    /// One stream.
    None,
    /// Three encodings with three temporal layers each.
    Simulcast,
    /// One stream with three temporal layers.
    Svc,
}

impl Layers {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Simulcast => "simulcast",
            Self::Svc => "svc",
        }
    }

    fn parse(name: &str) -> Self {
        let all = [Self::None, Self::Simulcast, Self::Svc];
        all.into_iter()
            .find(|layers| layers.name() == name)
            .unwrap_or_else(|| panic!("--layers {name}: there are none, simulcast and svc"))
    }

    fn encodings(self) -> u8 {
        if self == Self::Simulcast { 3 } else { 1 }
    }
}

/// SSRC of an encoding, the lowest of which is 0.
fn ssrc_of(encoding: u8, layers: Layers) -> u32 {
    SSRC + u32::from(layers.encodings() - 1 - encoding)
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the fan-out benchmark needs Linux");
}

#[cfg(target_os = "linux")]
fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == load::ARGUMENT).is_some() {
        load::main(arguments);
    } else {
        sfu::main(arguments);
    }
}
