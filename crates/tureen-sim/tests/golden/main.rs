//! Golden traces: the engine's outputs in seeded simulations, compared with files in this folder.
//!
//! A change that keeps behaviour keeps every trace, including the order of outputs. A change of behaviour records the
//! traces again (`scripts/golden-traces record`), and its commit message names each changed trace with the reason.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use sha2::{Digest, Sha256};
use tureen_engine::api::AudioLevelOptions;
use tureen_engine::api::{
    ActiveSpeakerOptions, ConnectPlain, ConsumerLayers, CreatePlainTransport, Request, TransportId,
};
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::units::Bitrate;
use tureen_sim::{AudioConfig, Call, LinkConfig, Loss, NodeId, ROUTER, Trace, VideoConfig};
use tureen_types::data_structures::{ListenInfo, Protocol};
use tureen_types::sctp_parameters::SctpStreamParameters;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

type Scenario = fn() -> Trace;

/// Traces whose whole text is stored, so that a difference is readable. Of the others only a hash is stored.
const WHOLE: [&str; 3] = ["audio", "layers", "plain"];

fn good() -> LinkConfig {
    LinkConfig::with_delay(20 * MS)
}

fn lossy(part: f64) -> LinkConfig {
    LinkConfig { loss: Loss::Random(part), ..good() }
}

fn capped(rate: Bitrate) -> LinkConfig {
    LinkConfig {
        rate: Some(rate),
        queue: rate.bytes_in(300 * MS) as usize,
        ..LinkConfig::with_delay(25 * MS)
    }
}

/// A call whose members connect over links without loss and get these links afterwards. DTLS uses its own random
/// numbers, so that only what follows the handshake is determined by the seed.
fn call(
    seed: u64,
    links: &[(LinkConfig, LinkConfig)],
    prepare: impl FnOnce(&mut Call),
) -> (Call, Vec<NodeId>) {
    let mut call = Call::new(seed);
    prepare(&mut call);
    call.network.start_trace();
    let nodes = call.join_all(&vec![good(); links.len()]);
    for (node, (up, down)) in nodes.iter().zip(links) {
        call.network.set_links(*node, up.clone(), down.clone());
    }
    (call, nodes)
}

fn end(mut call: Call) -> Trace {
    call.close_router();
    call.network.end_trace().expect("it was started")
}

fn encodings() -> [VideoConfig; 3] {
    [417, 1667, 5000].map(|frame_bytes| VideoConfig {
        frame_bytes,
        key_frame_factor: 3,
        ..VideoConfig::default()
    })
}

fn prefer(call: &mut Call, consumer: &tureen_sim::Consumption, spatial_layer: u8, temporal_layer: u8) {
    let layers = ConsumerLayers { spatial_layer, temporal_layer: Some(temporal_layer) };
    call.request(Request::SetPreferredLayers(consumer.id.clone(), layers));
}

/// Four members consume each other's audio over lossy links.
fn audio() -> Trace {
    let links = vec![(lossy(0.05), lossy(0.05)); 4];
    let (mut call, nodes) = call(1, &links, |_| {});
    let productions: Vec<_> =
        nodes.iter().map(|node| call.produce_audio(*node, AudioConfig::default())).collect();
    for (at, production) in productions.iter().enumerate() {
        for node in nodes.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, node)| *node) {
            call.consume(node, production);
        }
    }
    call.network.run_for(SECOND);
    end(call)
}

/// Eight members consume one video, half of them over lossy links; one joins late, one pauses.
fn video() -> Trace {
    let mut links = vec![(good(), good()); 9];
    for (at, link) in links.iter_mut().enumerate().skip(1).filter(|(at, _)| at % 2 == 0) {
        link.1 = LinkConfig { loss: Loss::Random(0.02 * at as f64), jitter: 5 * MS, ..good() };
    }
    let (mut call, nodes) = call(2, &links, |_| {});
    let video = call.produce_video(nodes[0], VideoConfig::default());
    let consumers: Vec<_> = nodes[1..8].iter().map(|node| call.consume(*node, &video)).collect();
    call.network.run_for(2 * SECOND);
    call.consume(nodes[8], &video);
    call.request(Request::PauseConsumer(consumers[0].id.clone()));
    call.network.run_for(SECOND);
    call.request(Request::ResumeConsumer(consumers[0].id.clone()));
    call.network.run_for(2 * SECOND);
    end(call)
}

/// A Consumer of a simulcast prefers one layer after the other, over a lossy link.
fn layers() -> Trace {
    let (mut call, nodes) = call(3, &[(good(), good()), (good(), lossy(0.03))], |_| {});
    let video = call.produce_simulcast(nodes[0], &encodings());
    let consumer = call.consume(nodes[1], &video);
    call.network.run_for(SECOND);
    for (spatial, temporal) in [(0, 0), (2, 1), (1, 2)] {
        prefer(&mut call, &consumer, spatial, temporal);
        call.network.run_for(700 * MS);
    }
    end(call)
}

/// A member consumes two simulcasts and audio while the capacity of its link falls and rises.
fn bandwidth() -> Trace {
    let links = vec![(good(), good()), (good(), good()), (good(), capped(Bitrate::mbps(3)))];
    let (mut call, nodes) = call(4, &links, |_| {});
    for node in &nodes[..2] {
        let video = call.produce_simulcast(*node, &encodings());
        let audio = call.produce_audio(*node, AudioConfig::default());
        call.consume(nodes[2], &video);
        call.consume(nodes[2], &audio);
    }
    call.network.run_for(6 * SECOND);
    call.network.set_links(nodes[2], good(), capped(Bitrate::kbps(700)));
    call.network.run_for(8 * SECOND);
    call.network.set_links(nodes[2], good(), capped(Bitrate::mbps(4)));
    call.network.run_for(10 * SECOND);
    end(call)
}

/// A pipe Consumer of all encodings, and a Consumer on a plain transport without SRTP.
fn plain() -> Trace {
    let (mut call, nodes) = call(5, &[(good(), good()), (good(), lossy(0.03))], |_| {});
    let address = SocketAddr::from(([198, 51, 100, 1], 6000));
    call.network.listen_at(address);
    let id = TransportId::from("plain");
    call.request(Request::CreatePlainTransport(CreatePlainTransport {
        router_id: ROUTER.into(),
        id: id.clone(),
        listen_info: listen_info(),
        rtcp_listen_info: None,
        rtcp_mux: true,
        comedia: false,
        srtp: None,
        initial_available_outgoing_bitrate: None,
        sctp: None,
    }));
    let connect =
        ConnectPlain { ip: Some(address.ip()), port: Some(address.port()), ..ConnectPlain::default() };
    call.request(Request::ConnectPlainTransport(id.clone(), connect));
    let video = call.produce_simulcast(nodes[0], &encodings());
    let audio = call.produce_audio(nodes[0], AudioConfig::default());
    call.consume_piped(nodes[1], &video);
    for produced in [&video, &audio] {
        let (consumer, _) = call.consume_on(id.clone(), produced);
        call.request(Request::ResumeConsumer(consumer));
    }
    call.network.run_for(1500 * MS);
    end(call)
}

/// Members speak in turn, with both kinds of observers.
fn speakers() -> Trace {
    let (mut call, nodes) = call(6, &vec![(good(), good()); 3], |_| {});
    let quiet = AudioConfig { level: Some(90), ..AudioConfig::default() };
    let productions: Vec<_> = nodes.iter().map(|node| call.produce_audio(*node, quiet)).collect();
    let all: Vec<_> = productions.iter().collect();
    let levels = AudioLevelOptions {
        max_entries: NonZeroU16::new(2).expect("2 is not 0"),
        threshold: -60,
        interval: 300 * MS,
    };
    call.observe_audio(levels, &all);
    call.observe_speaker(ActiveSpeakerOptions { interval: 300 * MS }, &all);
    for production in &productions {
        call.network.set_audio_level(production.ssrc, 20);
        call.network.run_for(3 * SECOND);
        call.network.set_audio_level(production.ssrc, 90);
    }
    end(call)
}

/// A member sends messages to two others on all kinds of streams, over lossy links.
fn data() -> Trace {
    let options = SctpOptions {
        max_send_message_size: 262_144,
        max_receive_message_size: 262_144,
        send_buffer_size: 2_000_000,
        per_stream_send_queue_limit: 2_000_000,
        max_receiver_window_buffer_size: 5_242_880,
        default_buffered_amount_low_threshold: 0,
        outbound_streams: 1024,
        inbound_streams: 1024,
    };
    let (mut call, nodes) = call(7, &vec![(good(), lossy(0.02)); 3], |call| call.enable_data(options));
    call.network.run_for(SECOND);
    let ordered = SctpStreamParameters::new_ordered(1);
    let producer = call.produce_data(nodes[0], ordered);
    for (node, stream) in [(nodes[1], 1), (nodes[2], 2)] {
        call.consume_data(node, &producer, SctpStreamParameters::new_ordered(stream));
    }
    for number in 0..50 {
        call.send_text(nodes[0], ordered, format!("message {number}"));
        call.network.run_for(20 * MS);
    }
    call.network.run_for(SECOND);
    end(call)
}

fn listen_info() -> ListenInfo {
    ListenInfo {
        protocol: Protocol::Udp,
        ip: [10, 0, 0, 1].into(),
        announced_address: None,
        expose_internal_ip: false,
        port: None,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn outputs_are_the_recorded_ones() {
    let scenarios: [(&str, Scenario); 7] = [
        ("audio", audio),
        ("video", video),
        ("layers", layers),
        ("bandwidth", bandwidth),
        ("plain", plain),
        ("speakers", speakers),
        ("data", data),
    ];
    let record = env::var_os("RECORD_GOLDEN_TRACES").is_some();
    let mut hashes = String::new();
    let mut different = Vec::new();
    for (name, scenario) in scenarios {
        let trace = scenario();
        let hash: String = Sha256::digest(trace.text()).iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(hashes, "{name} {hash} {} lines", trace.lines()).expect("writing to a string never fails");
        if WHOLE.contains(&name) {
            let path = folder().join(format!("{name}.txt"));
            let recorded = fs::read_to_string(&path).unwrap_or_default();
            if let Some(difference) = first_difference(&recorded, trace.text()) {
                different.push(format!("{name}: {difference}"));
            }
            if record {
                fs::write(path, trace.text()).expect("the folder can be written");
            }
        }
        if let Some(dump) = env::var_os("DUMP_TRACES") {
            fs::write(Path::new(&dump).join(format!("{name}.txt")), trace.text()).expect("it can be written");
        }
    }
    let path = folder().join("hashes.txt");
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    if record {
        fs::write(path, hashes).expect("the folder can be written");
        return;
    }
    if let Some(difference) = first_difference(&recorded, &hashes) {
        different.push(format!("hashes: {difference}"));
    }
    assert!(different.is_empty(), "traces differ from the recorded ones:\n{}", different.join("\n"));
}

fn first_difference(recorded: &str, now: &str) -> Option<String> {
    if recorded == now {
        return None;
    }
    let mut lines = (1..).zip(
        recorded
            .lines()
            .map(Some)
            .chain(std::iter::repeat(None))
            .zip(now.lines().map(Some).chain(std::iter::repeat(None))),
    );
    let (number, (was, is)) = lines.find(|(_, (was, is))| was != is)?;
    let shown = |line: Option<&str>| line.unwrap_or("nothing").to_owned();
    Some(format!("line {number}\n  was {}\n  is  {}", shown(was), shown(is)))
}
