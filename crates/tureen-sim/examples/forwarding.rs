//! Calls whose instructions `scripts/count-instructions` counts: the engine without sockets.
//!
//! `forwarding SCENARIO SECONDS` simulates the call for that time after all members are connected, and prints the
//! number of packets that the receivers got in it. The difference of the counts of two durations is the cost of the
//! packets in between.

use std::net::SocketAddr;
use std::time::Duration;
use std::{env, process};

use serde_json::json;
use tureen_engine::api::{ConnectPlain, CreatePlainTransport, Request, TransportId};
use tureen_rtc::demux::{PacketKind, classify};
use tureen_sim::{AudioConfig, Call, Consumption, LinkConfig, NodeId, ROUTER, VideoConfig};

const RECEIVERS: usize = 40;
const MEETING: usize = 8;

fn main() {
    let mut arguments = env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let seconds = arguments.next().and_then(|text| text.parse().ok());
    let (Some(seconds), Some(mut scene)) = (seconds, Scene::new(&scenario)) else {
        eprintln!("usage: forwarding video|audio|layers|meeting|clear SECONDS");
        process::exit(2);
    };
    scene.call.network.run_for(Duration::from_secs(seconds));
    println!("{}", scene.received());
}

/// A call and its Consumers.
struct Scene {
    call: Call,
    nodes: Vec<NodeId>,
    consumptions: Vec<Consumption>,
    /// Remote addresses of plain transports.
    addresses: Vec<SocketAddr>,
}

impl Scene {
    fn new(scenario: &str) -> Option<Self> {
        let members = match scenario {
            "meeting" => MEETING,
            "clear" => 1,
            _ => RECEIVERS + 1,
        };
        let mut call = Call::new(1);
        let nodes = call.join_all(&vec![LinkConfig::with_delay(Duration::from_millis(20)); members]);
        let mut scene = Self { call, nodes, consumptions: Vec::new(), addresses: Vec::new() };
        let video = VideoConfig { frame_bytes: 9000, key_frame_factor: 1, ..VideoConfig::default() };
        match scenario {
            "video" => {
                let production = scene.call.produce_video(scene.nodes[0], video);
                scene.consume(&production, 0);
            }
            "audio" => {
                let production = scene.call.produce_audio(scene.nodes[0], AudioConfig::default());
                scene.consume(&production, 0);
            }
            "layers" => {
                let small = VideoConfig { frame_bytes: 1000, ..video };
                let production = scene.call.produce_simulcast(scene.nodes[0], &[small, video]);
                scene.consume(&production, 0);
            }
            "meeting" => {
                for sender in 0..MEETING {
                    let node = scene.nodes[sender];
                    let production = scene.call.produce_video(node, video);
                    scene.consume(&production, sender);
                    let production = scene.call.produce_audio(node, AudioConfig::default());
                    scene.consume(&production, sender);
                }
            }
            "clear" => {
                let production = scene.call.produce_video(scene.nodes[0], video);
                (0..RECEIVERS).for_each(|number| scene.consume_without_srtp(&production, number));
            }
            _ => return None,
        }
        Some(scene)
    }

    /// Creates a Consumer for each member but the sender.
    fn consume(&mut self, production: &tureen_sim::Production, sender: usize) {
        for (_, node) in self.nodes.iter().enumerate().filter(|(at, _)| *at != sender) {
            self.consumptions.push(self.call.consume(*node, production));
        }
    }

    /// Creates a Consumer on a plain transport without SRTP, to measure the cost of a packet without cryptography.
    fn consume_without_srtp(&mut self, production: &tureen_sim::Production, number: usize) {
        let id = TransportId::from(format!("plain-{number}"));
        let address = SocketAddr::from(([198, 51, 100, 1], 6000 + number as u16));
        let listen_info = serde_json::from_value(json!({ "protocol": "udp", "ip": "10.0.0.1" }));
        self.call.request(Request::CreatePlainTransport(CreatePlainTransport {
            router_id: ROUTER.into(),
            id: id.clone(),
            listen_info: listen_info.expect("the JSON is a valid listenInfo"),
            rtcp_listen_info: None,
            rtcp_mux: true,
            comedia: false,
            srtp: None,
            initial_available_outgoing_bitrate: None,
            sctp: None,
        }));
        let (ip, port) = (Some(address.ip()), Some(address.port()));
        let connect = ConnectPlain { ip, port, ..ConnectPlain::default() };
        self.call.request(Request::ConnectPlainTransport(id.clone(), connect));
        let (consumer, _) = self.call.consume_on(id, production);
        self.call.request(Request::ResumeConsumer(consumer));
        self.call.network.listen_at(address);
        self.addresses.push(address);
    }

    /// Number of RTP packets that all receivers have received so far.
    fn received(&mut self) -> usize {
        let network = &mut self.call.network;
        let by_sessions = self.consumptions.iter().map(|consumption| {
            let stats = network.session(consumption.node).recv_stats(consumption.ssrc);
            stats.map_or(0, |stats| stats.packets as usize)
        });
        let by_sessions: usize = by_sessions.sum();
        let in_the_clear = self.addresses.iter().map(|address| {
            let datagrams = network.take_datagrams_at(*address);
            datagrams.iter().filter(|datagram| classify(datagram) == PacketKind::Rtp).count()
        });
        by_sessions + in_the_clear.sum::<usize>()
    }
}
