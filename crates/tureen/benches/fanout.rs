//! One video stream to many WebRtcTransports on one WebRtcServer port, over loopback with real sockets: what a forwarded
//! packet costs, beside what copying, sealing and sending the same packets costs without an SFU around it.
//!
//! `cargo bench -p tureen --bench fanout -- [--consumers 200] [--seconds 5] [--rounds 3]`
//!
//! Linux only. The worker is pinned to CPU 0, the load to CPU 1. The receivers' sockets take segmented sends whole, as a
//! network card with segmentation offload would; `--no-gro` makes the kernel split them again, on the sender's CPU.
#![allow(unsafe_code, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the fan-out benchmark needs Linux");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use serde_json::json;
    use tureen::prelude::*;
    use tureen_client::media::Vp8Source;
    use tureen_client::{
        Event, Identity, OutgoingRtp, RecvStreamConfig, SendStreamConfig, Session, SessionConfig,
    };
    use tureen_core::dtls::Role;
    use tureen_core::srtp::{SrtpSealer, SrtpSuite};
    use tureen_core::units::Ssrc;
    use tureen_net::{Net, NetConfig, Port, UdpOptions};

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const FPS: u32 = 30;
    const PACKETS: usize = 8;
    const PAYLOAD: usize = 1200;

    /// Counts what the worker thread allocates.
    struct Counting;

    thread_local! {
        static COUNTED: Cell<bool> = const { Cell::new(false) };
    }
    static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
    static WORKER_TID: AtomicI32 = AtomicI32::new(0);

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    fn count() {
        if COUNTED.try_with(Cell::get).unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }

    // SAFETY: every call goes on to the system's allocator unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count();
            // SAFETY: the caller keeps the contract of GlobalAlloc.
            unsafe { System.alloc(layout) }
        }
        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) }
        }
        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            count();
            // SAFETY: as above.
            unsafe { System.realloc(pointer, layout, size) }
        }
    }

    struct Options {
        consumers: usize,
        seconds: f64,
        rounds: usize,
        gro: bool,
    }

    fn options() -> Options {
        let mut options = Options { consumers: 200, seconds: 5.0, rounds: 3, gro: true };
        let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
        while let Some(name) = arguments.next() {
            if name == "--no-gro" {
                options.gro = false;
                continue;
            }
            let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
            let number: f64 = value.parse().unwrap_or_else(|_| panic!("{name}: {value} is no number"));
            match name.as_str() {
                "--consumers" => options.consumers = number as usize,
                "--seconds" => options.seconds = number,
                "--rounds" => options.rounds = number as usize,
                _ => panic!("unknown option {name}; there are --consumers, --seconds, --rounds, --no-gro"),
            }
        }
        options
    }

    pub(super) fn main() {
        let options = options();
        pin(1);
        let mut bench = Bench::set_up(&options);
        println!(
            "{} consumers, {FPS} frames/s of {PACKETS} packets, {PAYLOAD} bytes payload, SRTP suite {}, GRO at the receivers {}",
            options.consumers,
            bench.suite,
            if options.gro { "on" } else { "off" },
        );
        let mut ratios = Vec::new();
        for round in 1..=options.rounds {
            let forwarded = bench.forward(options.seconds);
            let floor = bench.floor(options.seconds);
            let seal = seal_only(bench.suite);
            let ratio = forwarded.cpu_ns / floor.cpu_ns;
            ratios.push(ratio);
            let system = forwarded.cpu_ns * forwarded.system_share;
            println!(
                "round {round}: forwarded {:.0} ns/packet (crypto {seal:.0}, system calls {system:.0}, ours {:.0}), \
                 floor {:.0} ns/packet, ratio {ratio:.2}, delivered {:.3} %, allocations in the window {}, \
                 RSS per consumer {:.1} KiB",
                forwarded.cpu_ns,
                (forwarded.cpu_ns - system - seal).max(0.0),
                floor.cpu_ns,
                forwarded.delivered * 100.0,
                forwarded.allocations,
                bench.rss_per_consumer(),
            );
            println!("         {}", forwarded.runs);
        }
        let (router, server, producer) = bench.parts.as_ref().expect("set up");
        println!("transport with consumer, created: {:.1} KiB of RSS", created_rss(router, server, producer));
        ratios.sort_by(f64::total_cmp);
        println!(
            "median ratio to copy + seal + GSO send alone: {:.2} (aim: at most 1.5)",
            ratios[ratios.len() / 2]
        );
    }

    /// A worker with its far ends.
    struct Bench {
        net: Net,
        sessions: Vec<Session>,
        addresses: Vec<SocketAddr>,
        source: Vp8Source,
        frames: u32,
        timestamp: u32,
        suite: SrtpSuite,
        rss_before: u64,
        worker: Worker,
        /// What more transports and consumers are made of.
        parts: Option<(Router, WebRtcServer, Producer)>,
        // Held so that nothing closes.
        _held: Vec<Box<dyn std::any::Any>>,
    }

    struct Figures {
        cpu_ns: f64,
        system_share: f64,
        delivered: f64,
        allocations: u64,
        runs: String,
    }

    impl Bench {
        fn set_up(options: &Options) -> Self {
            let config = NetConfig { gro: options.gro, ..NetConfig::default() };
            let mut net = Net::new(config).expect("a network");
            let addresses: Vec<SocketAddr> = (0..=options.consumers)
                .map(|token| {
                    let mut udp = UdpOptions::new(LOCALHOST, Port::Any);
                    udp.recv_buffer = Some(1 << 20);
                    net.bind_udp(token as u32, &udp).expect("a socket")
                })
                .collect();
            let manager = WorkerManager::new();
            let mut settings = WorkerSettings::default();
            settings.thread_initializer = Some(Arc::new(|| {
                pin(0);
                COUNTED.set(true);
                // SAFETY: gettid has no preconditions.
                WORKER_TID.store(unsafe { libc::gettid() }, Ordering::Relaxed);
            }));
            let worker = wait(manager.create_worker(settings)).expect("a worker");
            let router = wait(worker.create_router(RouterOptions::new(codecs()))).expect("a router");
            let listen = WebRtcServerListenInfos::new(listen_info());
            let server =
                wait(worker.create_webrtc_server(WebRtcServerOptions::new(listen))).expect("a server");
            let identity = Identity::generate().expect("a certificate");
            let mut bench = Self {
                net,
                sessions: Vec::new(),
                addresses,
                source: Vp8Source::default(),
                frames: 0,
                timestamp: 0,
                suite: SrtpSuite::AeadAes128Gcm,
                rss_before: 0,
                parts: None,
                worker: worker.clone(),
                _held: Vec::new(),
            };
            let producing = bench.connect(&router, &server, &identity);
            bench.sessions[0].add_send_stream(SendStreamConfig::new(1111, 96, 90_000)).expect("a new SSRC");
            let parameters = serde_json::from_value(producer_parameters()).expect("RTP parameters");
            let producer = wait(producing.produce(ProducerOptions::new(MediaKind::Video, parameters)))
                .expect("a producer");
            bench.send_frame();
            bench.turn(Instant::now());
            bench.rss_before = rss();
            for index in 1..=options.consumers {
                let transport = bench.connect(&router, &server, &identity);
                let capabilities =
                    serde_json::from_value(json!(router.rtp_capabilities())).expect("capabilities");
                let consumer = wait(transport.consume(ConsumerOptions::new(producer.id(), capabilities)))
                    .expect("a consumer");
                let encoding = &consumer.rtp_parameters().encodings[0];
                let ssrc = encoding.ssrc.expect("consumers have an SSRC");
                let payload_type = consumer.rtp_parameters().codecs[0].payload_type();
                let mut stream = RecvStreamConfig::new(ssrc, payload_type, 90_000);
                stream.nack = false;
                bench.sessions[index].add_recv_stream(stream).expect("a new SSRC");
                bench._held.push(Box::new((transport, consumer)));
            }
            bench.parts = Some((router, server, producer));
            bench._held.push(Box::new((manager, worker, producing)));
            bench
        }

        /// Makes a transport and connects the next session to it.
        fn connect(
            &mut self,
            router: &Router,
            server: &WebRtcServer,
            identity: &Identity,
        ) -> WebRtcTransport {
            let options = WebRtcTransportOptions::new_with_server(server.clone());
            let transport = wait(router.create_webrtc_transport(options)).expect("a transport");
            let candidate = &transport.ice_candidates()[0];
            let address = candidate.address.parse().expect("an address");
            let index = self.sessions.len();
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(index as u64 + 1).to_le_bytes());
            let config = SessionConfig {
                identity: identity.clone(),
                dtls_role: Role::Client,
                remote_ice: transport.ice_parameters().clone(),
                candidates: vec![SocketAddr::new(address, candidate.port)],
                remote_dtls: transport.dtls_parameters(),
                cname: format!("session-{index}"),
                seed,
            };
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            let session = Session::new(config, Instant::now(), unix).expect("a session");
            let remote = WebRtcTransportRemoteParameters { dtls_parameters: session.dtls_parameters() };
            wait(transport.connect(remote)).expect("the first connect");
            self.sessions.push(session);
            let limit = Instant::now() + Duration::from_secs(10);
            loop {
                self.flush(index);
                while let Some(event) = self.sessions[index].poll_event() {
                    match event {
                        Event::Connected(suite) => {
                            self.suite = suite;
                            return transport;
                        }
                        Event::Failed(reason) => panic!("session {index} failed: {reason}"),
                        _ => {}
                    }
                }
                assert!(Instant::now() < limit, "session {index} does not connect");
                self.turn(Instant::now() + Duration::from_millis(20));
            }
        }

        /// Sends what a session has ready.
        fn flush(&mut self, index: usize) {
            let mut out = Vec::new();
            while let Some(to) = self.sessions[index].poll_transmit(&mut out) {
                self.net.send_slot()[..out.len()].copy_from_slice(&out);
                self.net.commit(index as u32, to, out.len(), out.len());
            }
            self.net.flush();
        }

        /// Serves all sessions until `until`, or until nothing is due.
        fn turn(&mut self, until: Instant) {
            let now = Instant::now();
            let timeout = until.saturating_duration_since(now);
            self.net.wait(Some(timeout)).expect("sockets");
            let mut touched = Vec::new();
            while let Some(batch) = self.net.receive() {
                let index = batch.token() as usize;
                for datagram in batch {
                    if let Some(session) = self.sessions.get_mut(index) {
                        session.handle_datagram(now, datagram.source, datagram.data);
                    }
                }
                touched.push(index);
            }
            for index in 0..self.sessions.len() {
                if self.sessions[index].poll_timeout().is_some_and(|at| at <= Instant::now()) {
                    self.sessions[index].handle_timeout(Instant::now());
                    touched.push(index);
                }
            }
            for index in touched {
                self.flush(index);
            }
        }

        fn send_frame(&mut self) {
            let now = Instant::now();
            let key_frame = self.frames.is_multiple_of(60);
            self.frames += 1;
            let frame = self.source.next_frame(key_frame, PACKETS * PAYLOAD, PAYLOAD);
            self.timestamp = self.timestamp.wrapping_add(90_000 / FPS);
            let mut payload = Vec::with_capacity(PAYLOAD);
            for packet in 0..frame.packets() {
                payload.clear();
                frame.write_packet(packet, &mut payload);
                let rtp = OutgoingRtp {
                    payload: &payload,
                    timestamp: self.timestamp,
                    marker: frame.is_last(packet),
                    audio_level: None,
                };
                self.sessions[0].send_rtp(now, 1111, &rtp).expect("the sending session is connected");
            }
            self.flush(0);
        }

        /// Drains the receivers' sockets without opening what came, but keeps ICE alive. Returns datagrams of media.
        fn drain(&mut self, until: Instant) -> u64 {
            let mut media = 0;
            loop {
                let now = Instant::now();
                if now >= until {
                    return media;
                }
                self.net.wait(Some(until - now)).expect("sockets");
                let mut touched = Vec::new();
                while let Some(batch) = self.net.receive() {
                    let index = batch.token() as usize;
                    for datagram in batch {
                        if datagram.data.len() > 1000 {
                            media += 1;
                        } else {
                            self.sessions[index].handle_datagram(now, datagram.source, datagram.data);
                            touched.push(index);
                        }
                    }
                }
                for index in touched {
                    self.flush(index);
                }
            }
        }

        /// Lets the worker forward for `seconds` and measures its thread.
        fn forward(&mut self, seconds: f64) -> Figures {
            let tid = WORKER_TID.load(Ordering::Relaxed);
            self.frames = 0; // A key frame starts all consumers.
            self.run(1.0, |bench| bench.send_frame());
            let allocations = ALLOCATIONS.load(Ordering::Relaxed);
            let (cpu, ticks) = (thread_cpu_ns(tid), thread_ticks(tid));
            let before = wait(self.worker.net_stats()).expect("a running worker");
            let (frames, media) = self.run(seconds, |bench| bench.send_frame());
            let cpu = thread_cpu_ns(tid) - cpu;
            let after = thread_ticks(tid);
            let stats = wait(self.worker.net_stats()).expect("a running worker");
            let expected = frames * PACKETS as u64 * (self.sessions.len() as u64 - 1);
            let (user, system) = (after.0 - ticks.0, after.1 - ticks.1);
            let messages: Vec<u64> = stats
                .run_lengths
                .iter()
                .zip(&before.run_lengths)
                .map(|(after, before)| after - before)
                .collect();
            Figures {
                cpu_ns: cpu as f64 / media as f64,
                system_share: system as f64 / (user + system).max(1) as f64,
                delivered: media as f64 / expected as f64,
                allocations: ALLOCATIONS.load(Ordering::Relaxed) - allocations,
                runs: format!(
                    "messages of 1, 2, 3-4, 5-8, 9-16, 17-32, 33-64 datagrams: {messages:?}; {:.1} messages per send call",
                    messages.iter().sum::<u64>() as f64
                        / (stats.send_calls - before.send_calls).max(1) as f64
                ),
            }
        }

        /// Calls `frame` at the frame rate for `seconds`; returns frames and datagrams of media received.
        fn run(&mut self, seconds: f64, mut frame: impl FnMut(&mut Self)) -> (u64, u64) {
            let start = Instant::now();
            let frames = (seconds * f64::from(FPS)) as u64;
            let mut media = 0;
            for number in 1..=frames {
                frame(self);
                media += self.drain(start + Duration::from_secs(1) * number as u32 / FPS);
                for index in 0..self.sessions.len() {
                    if self.sessions[index].poll_timeout().is_some_and(|at| at <= Instant::now()) {
                        self.sessions[index].handle_timeout(Instant::now());
                        self.flush(index);
                    }
                }
            }
            (frames, media)
        }

        /// The same packets copied, sealed and sent by a thread that does nothing else.
        fn floor(&mut self, seconds: f64) -> Figures {
            let destinations = self.addresses[1..].to_vec();
            let suite = self.suite;
            let frames = (seconds * f64::from(FPS)) as u64;
            let worker = std::thread::spawn(move || {
                pin(0);
                let mut net = Net::new(NetConfig::default()).expect("a network");
                net.bind_udp(0, &UdpOptions::new(LOCALHOST, Port::Any)).expect("a socket");
                let sealers: Vec<SrtpSealer> = (0..destinations.len()).map(|i| sealer(suite, i)).collect();
                let payloads: Vec<Vec<u8>> = (0..PACKETS).map(|i| vec![i as u8; PAYLOAD]).collect();
                let header = header();
                // SAFETY: gettid has no preconditions.
                let tid = unsafe { libc::gettid() };
                let start = Instant::now();
                let mut before = thread_cpu_ns(tid);
                for frame in 0..frames + 10 {
                    if frame == 10 {
                        before = thread_cpu_ns(tid);
                    }
                    for (sealer, &destination) in sealers.iter().zip(&destinations) {
                        let slot = net.send_slot();
                        let mut len = 0;
                        for (packet, payload) in payloads.iter().enumerate() {
                            let index = frame * PACKETS as u64 + packet as u64;
                            let sealed =
                                sealer.seal_rtp(Ssrc(1), index, &header, &[], payload, &mut slot[len..]);
                            len += sealed.expect("a large slot");
                        }
                        net.commit(0, destination, len, len / PACKETS);
                    }
                    net.flush();
                    let next = start + Duration::from_secs(1) * (frame as u32 + 1) / FPS;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                thread_cpu_ns(tid) - before
            });
            let mut media = 0;
            while !worker.is_finished() {
                media += self.drain(Instant::now() + Duration::from_millis(30));
            }
            let packets = frames * PACKETS as u64 * (self.sessions.len() as u64 - 1);
            let cpu = worker.join().expect("the floor thread ends");
            Figures {
                cpu_ns: cpu as f64 / packets as f64,
                system_share: 0.0,
                delivered: media as f64 / packets as f64,
                allocations: 0,
                runs: String::new(),
            }
        }

        fn rss_per_consumer(&self) -> f64 {
            // The sessions and sockets of the load live in this process too: an upper bound.
            (rss() - self.rss_before) as f64 / 1024.0 / (self.sessions.len() - 1) as f64
        }
    }

    /// KiB that a transport with a consumer takes before anything connects, handles of the API included.
    fn created_rss(router: &Router, server: &WebRtcServer, producer: &Producer) -> f64 {
        const COUNT: usize = 1000;
        let before = rss();
        let made: Vec<_> = (0..COUNT)
            .map(|_| {
                let options = WebRtcTransportOptions::new_with_server(server.clone());
                let transport = wait(router.create_webrtc_transport(options)).expect("a transport");
                let capabilities =
                    serde_json::from_value(json!(router.rtp_capabilities())).expect("capabilities");
                let options = ConsumerOptions::new(producer.id(), capabilities);
                let consumer = wait(transport.consume(options)).expect("a consumer");
                (transport, consumer)
            })
            .collect();
        let grown = rss() - before;
        drop(made);
        grown as f64 / 1024.0 / COUNT as f64
    }

    fn sealer(suite: SrtpSuite, index: usize) -> SrtpSealer {
        let key: Vec<u8> = (0..suite.key_len()).map(|i| (i * 7 + index) as u8).collect();
        SrtpSealer::new(suite, &key, &vec![index as u8; suite.salt_len()]).expect("a key of the right length")
    }

    fn header() -> Vec<u8> {
        let mut header = vec![0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 2];
        header.extend_from_slice(&[0x10, b'0', 0x22, 1, 2, 3, 0x51, 0]);
        header
    }

    /// Sealing alone, in the order in which the worker seals.
    fn seal_only(suite: SrtpSuite) -> f64 {
        let sealers: Vec<SrtpSealer> = (0..200).map(|i| sealer(suite, i)).collect();
        let payloads: Vec<Vec<u8>> = (0..PACKETS).map(|i| vec![i as u8; PAYLOAD]).collect();
        let (header, mut out) = (header(), vec![0; 2048]);
        let start = Instant::now();
        let mut packets = 0u32;
        while start.elapsed() < Duration::from_millis(200) {
            for sealer in &sealers {
                for payload in &payloads {
                    let sealed =
                        sealer.seal_rtp(Ssrc(1), u64::from(packets), &header, &[], payload, &mut out);
                    std::hint::black_box(sealed.expect("a large buffer"));
                    packets += 1;
                }
            }
        }
        start.elapsed().as_nanos() as f64 / f64::from(packets)
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        futures_lite::future::block_on(future)
    }

    fn listen_info() -> ListenInfo {
        serde_json::from_value(json!({ "protocol": "udp", "ip": "127.0.0.1" })).expect("a listen info")
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

    fn producer_parameters() -> serde_json::Value {
        json!({
            "mid": "0",
            "codecs": [{
                "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "parameters": {},
                "rtcpFeedback": [{ "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" }],
            }],
            "headerExtensions": [],
            "encodings": [{ "ssrc": 1111 }],
            "rtcp": { "cname": "bench", "reducedSize": true },
        })
    }

    fn pin(cpu: usize) {
        // SAFETY: an all-zero cpu_set_t is valid, and the call reads no more than its size.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
    }

    /// Nanoseconds that a thread of this process has run.
    fn thread_cpu_ns(tid: i32) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).expect("a running thread");
        text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("schedstat begins with nanoseconds")
    }

    /// Ticks of user and system time of a thread.
    fn thread_ticks(tid: i32) -> (u64, u64) {
        let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("a running thread");
        let fields: Vec<&str> = text.rsplit(") ").next().expect("a name in brackets").split(' ').collect();
        let number = |index: usize| fields[index].parse().expect("a number of ticks");
        (number(11), number(12))
    }

    fn rss() -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: u64 = text.split(' ').nth(1).and_then(|p| p.parse().ok()).expect("pages");
        pages * 4096
    }
}
