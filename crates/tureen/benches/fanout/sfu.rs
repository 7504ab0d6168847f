//! The worker under test with its transports and consumers, and the measurements.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use serde_json::json;
use tureen::prelude::*;
use tureen_rtc::srtp::SrtpSuite;

use crate::load::{Arrivals, Load};
use crate::process::{
    allocations, count_this_thread, counted_thread, pin, rss, this_thread, thread_cpu_ns, thread_ticks,
};
use crate::{FPS, Layers, PACKETS, PAYLOAD, floor, ssrc_of};

struct Options {
    consumers: usize,
    seconds: f64,
    rounds: usize,
    gro: bool,
    pipe: bool,
    layers: Layers,
}

pub(crate) fn main(arguments: impl Iterator<Item = String>) {
    let options = Options::parse(arguments);
    pin(1);
    let mut bench = Bench::set_up(&options);
    println!(
        "{} consumers, {FPS} frames/s of {PACKETS} packets, {PAYLOAD} bytes payload, SRTP suite {}, GRO at the receivers {}, \
         layers: {}{}",
        options.consumers,
        bench.suite,
        if options.gro { "on" } else { "off" },
        options.layers.name(),
        if options.pipe { ", piped from another worker" } else { "" },
    );
    let mut ratios = Vec::new();
    for round in 1..=options.rounds {
        let forwarded = bench.forward(options.seconds);
        // Measured before the floor, which allocates buffers in this process too.
        bench.memory.loaded.get_or_insert_with(rss);
        let floor = bench.floor(options.seconds);
        let seal = floor::seal(bench.suite);
        let ratio = forwarded.cpu_ns / floor;
        ratios.push(ratio);
        let system = forwarded.cpu_ns * forwarded.system_share;
        println!(
            "round {round}: forwarded {:.0} ns/packet (crypto {seal:.0}, system calls {system:.0}, ours {:.0}), \
             floor {floor:.0} ns/packet, ratio {ratio:.2}, delivered {:.3} %, allocations in the window {}",
            forwarded.cpu_ns,
            (forwarded.cpu_ns - system - seal).max(0.0),
            forwarded.delivered * 100.0,
            forwarded.allocations,
        );
        println!("         {}", forwarded.runs);
        println!("         {}", forwarded.delays);
        if let Some(cpu_ns) = forwarded.piping_cpu_ns {
            println!("         the other worker: {cpu_ns:.0} ns a packet, reception and SRTP included");
        }
    }
    let [created, connected, loaded] = bench.memory.per_consumer(options.consumers);
    println!(
        "RSS per transport with its consumer: {created:.1} KiB when created, {connected:.1} KiB connected, \
         {loaded:.1} KiB under load"
    );
    ratios.sort_by(f64::total_cmp);
    println!(
        "median ratio to copy + seal + GSO send alone: {:.2} (aim: at most 1.5)",
        ratios[ratios.len() / 2]
    );
}

/// A worker, and the load as its remote endpoints.
struct Bench {
    load: Load,
    worker: Worker,
    suite: SrtpSuite,
    memory: Memory,
    /// Thread of the other worker, with a pipe.
    piping_thread: Option<i32>,
    /// Kept open during the benchmark.
    _consumers: Vec<(WebRtcTransport, Consumer)>,
    _held: (WorkerManager, Router, WebRtcServer, Option<(Router, WebRtcServer)>, WebRtcTransport, Producer),
}

/// Cost of forwarding.
struct Figures {
    cpu_ns: f64,
    system_share: f64,
    delivered: f64,
    allocations: u64,
    runs: String,
    delays: String,
    /// CPU time of the other worker for each packet that it has received.
    piping_cpu_ns: Option<f64>,
}

/// Resident bytes of this process at several stages.
struct Memory {
    /// The producer sends, and there are no consumers.
    before: u64,
    created: u64,
    connected: u64,
    loaded: Option<u64>,
}

impl Memory {
    /// KiB for each of `consumers` at each stage.
    fn per_consumer(&self, consumers: usize) -> [f64; 3] {
        [self.created, self.connected, self.loaded.unwrap_or(self.connected)]
            .map(|rss| rss.saturating_sub(self.before) as f64 / 1024.0 / consumers as f64)
    }
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut options =
            Self { consumers: 200, seconds: 5.0, rounds: 3, gro: true, pipe: false, layers: Layers::None };
        let mut arguments = arguments.filter(|a| a != "--bench");
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--no-gro" => {
                    options.gro = false;
                    continue;
                }
                "--pipe" => {
                    options.pipe = true;
                    continue;
                }
                _ => {}
            }
            let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
            if name == "--layers" {
                options.layers = Layers::parse(&value);
                continue;
            }
            let number: f64 = value.parse().unwrap_or_else(|_| panic!("{name}: {value} is no number"));
            match name.as_str() {
                "--consumers" => options.consumers = number as usize,
                "--seconds" => options.seconds = number,
                "--rounds" => options.rounds = number as usize,
                _ => panic!(
                    "unknown option {name}; there are --consumers, --seconds, --rounds, --layers, --no-gro, --pipe"
                ),
            }
        }
        options
    }
}

impl Bench {
    fn set_up(options: &Options) -> Self {
        let mut load = Load::start(1 + options.consumers, options.gro, options.layers);
        let manager = WorkerManager::new();
        let mut settings = WorkerSettings::default();
        settings.thread_initializer = Some(Arc::new(|| {
            pin(0);
            count_this_thread();
        }));
        let worker = wait(manager.create_worker(settings)).expect("a worker");
        let router = wait(worker.create_router(RouterOptions::new(codecs()))).expect("a router");
        let server = create_server(&worker);
        let piping_tid = Arc::new(AtomicI32::new(0));
        let source = options.pipe.then(|| {
            let mut settings = WorkerSettings::default();
            let tid = Arc::clone(&piping_tid);
            settings.thread_initializer = Some(Arc::new(move || {
                pin(1);
                tid.store(this_thread(), Ordering::Relaxed);
            }));
            let worker = wait(manager.create_worker(settings)).expect("another worker");
            let router = wait(worker.create_router(RouterOptions::new(codecs()))).expect("a router");
            (router, create_server(&worker))
        });

        let (producing_router, producing_server) =
            source.as_ref().map_or((&router, &server), |(r, s)| (r, s));
        let producing = create_transport(producing_router, producing_server, &load);
        let suite = load.connect(&producing).parse().expect("a suite by its name");
        let parameters = serde_json::from_value(producer_parameters(options.layers)).expect("RTP parameters");
        let producer =
            wait(producing.produce(ProducerOptions::new(MediaKind::Video, parameters))).expect("a producer");
        if let Some((source, _)) = &source {
            let pipe = PipeToRouterOptions::new(router.clone());
            wait(source.pipe_producer_to_router(producer.id(), pipe)).expect("a pipe");
        }
        load.send(1.0);

        let before = rss();
        let consumers: Vec<_> = (0..options.consumers)
            .map(|_| {
                let transport = create_transport(&router, &server, &load);
                let capabilities =
                    serde_json::from_value(capabilities(&router, options.layers)).expect("capabilities");
                let options = ConsumerOptions::new(producer.id(), capabilities);
                let consumer = wait(transport.consume(options)).expect("a consumer");
                (transport, consumer)
            })
            .collect();
        let created = rss();
        consumers.iter().for_each(|(transport, _)| drop(load.connect(transport)));
        let connected = rss();
        if options.layers != Layers::None {
            // Waits until the sender has sent a report and the highest encoding is forwarded.
            load.send(4.0);
        }
        Self {
            load,
            worker,
            suite,
            memory: Memory { before, created, connected, loaded: None },
            piping_thread: source.is_some().then(|| piping_tid.load(Ordering::Relaxed)),
            _consumers: consumers,
            _held: (manager, router, server, source, producing, producer),
        }
    }

    /// Lets the worker forward for `seconds` and measures its thread.
    fn forward(&mut self, seconds: f64) -> Figures {
        let tid = counted_thread();
        self.load.send(1.0);
        let allocations_before = allocations();
        let (cpu, ticks) = (thread_cpu_ns(tid), thread_ticks(tid));
        let before = wait(self.worker.net_stats()).expect("a running worker");
        let piping_before = self.piping_thread.map(thread_cpu_ns);
        let Arrivals { frames, media, first, each } = self.load.send(seconds);
        let piping = self.piping_thread.map(thread_cpu_ns).zip(piping_before);
        let cpu = thread_cpu_ns(tid) - cpu;
        let after = thread_ticks(tid);
        let stats = wait(self.worker.net_stats()).expect("a running worker");
        let allocations = allocations() - allocations_before;
        let (user, system) = (after.0 - ticks.0, after.1 - ticks.1);
        let messages: Vec<u64> =
            stats.run_lengths.iter().zip(&before.run_lengths).map(|(after, before)| after - before).collect();
        let per_call = messages.iter().sum::<u64>() as f64 / (stats.send_calls - before.send_calls) as f64;
        Figures {
            cpu_ns: cpu as f64 / media as f64,
            system_share: system as f64 / (user + system).max(1) as f64,
            delivered: media as f64 / (frames * PACKETS as u64 * self._consumers.len() as u64) as f64,
            allocations,
            runs: format!(
                "messages of 1, 2, 3-4, 5-8, 9-16, 17-32, 33-64 datagrams: {messages:?}; \
                 {per_call:.1} messages per send call"
            ),
            delays: format!(
                "from the sending of a frame, median / 99 %: to the first receiver {} / {} us, to each {} / {} us",
                first[0], first[1], each[0], each[1],
            ),
            piping_cpu_ns: piping
                .map(|(after, before)| (after - before) as f64 / (frames * PACKETS as u64) as f64),
        }
    }

    /// CPU time in ns of each of the same packets, sent to the same sockets without an SFU.
    fn floor(&mut self, seconds: f64) -> f64 {
        // Longer than the sending, so that no socket's buffer gets full.
        self.load.receive(seconds + 1.0);
        let destinations = &self.load.greeting.addresses[1..];
        let cpu = floor::copy_seal_send(self.suite, destinations, seconds);
        let _: Arrivals = self.load.answer();
        cpu
    }
}

fn create_server(worker: &Worker) -> WebRtcServer {
    let listen = WebRtcServerListenInfos::new(listen_info());
    wait(worker.create_webrtc_server(WebRtcServerOptions::new(listen))).expect("a server")
}

/// Creates a transport that is connected to the load.
fn create_transport(router: &Router, server: &WebRtcServer, load: &Load) -> WebRtcTransport {
    let options = WebRtcTransportOptions::new_with_server(server.clone());
    let transport = wait(router.create_webrtc_transport(options)).expect("a transport");
    let remote = WebRtcTransportRemoteParameters { dtls_parameters: load.greeting.dtls_parameters.clone() };
    wait(transport.connect(remote)).expect("the first connect");
    transport
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    futures_lite::future::block_on(future)
}

fn listen_info() -> ListenInfo {
    serde_json::from_value(json!({ "protocol": "udp", "ip": "127.0.0.1" })).expect("a listen info")
}

/// RTP capabilities of the receivers.
fn capabilities(router: &Router, layers: Layers) -> serde_json::Value {
    let mut capabilities = json!(router.rtp_capabilities());
    if layers != Layers::None {
        // The receivers negotiate no feedback about arrivals, because with layers the worker would send less and less.
        let codecs = capabilities["codecs"].as_array_mut().into_iter().flatten();
        for feedback in codecs.filter_map(|codec| codec["rtcpFeedback"].as_array_mut()) {
            feedback.retain(|one| one["type"] != "transport-cc" && one["type"] != "goog-remb");
        }
    }
    capabilities
}

fn codecs() -> Vec<RtpCodecCapability> {
    vec![RtpCodecCapability::Video {
        mime_type: MimeTypeVideo::Vp8,
        preferred_payload_type: None,
        clock_rate: NonZeroU32::new(90_000).expect("not zero"),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![RtcpFeedback::Nack, RtcpFeedback::NackPli, RtcpFeedback::TransportCc],
    }]
}

fn producer_parameters(layers: Layers) -> serde_json::Value {
    let mode = if layers == Layers::None { "S1T1" } else { "L1T3" };
    let encodings: Vec<_> = (0..layers.encodings())
        .map(|encoding| json!({ "ssrc": ssrc_of(encoding, layers), "scalabilityMode": mode }))
        .collect();
    json!({
        "mid": "0",
        "codecs": [{
            "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "parameters": {},
            "rtcpFeedback": [{ "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" }],
        }],
        "headerExtensions": [],
        "encodings": encodings,
        "rtcp": { "cname": "bench", "reducedSize": true },
    })
}
