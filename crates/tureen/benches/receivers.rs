//! What one I/O thread of the native client takes for many receiving transports, against a worker of this process.
//!
//! `cargo bench -p tureen --bench receivers -- [TRANSPORTS] [SECONDS]`: one video of 300 kbit/s, 30 frames a second, goes to
//! each of the transports (1000), each with its own socket, SRTP keys and jitter buffer, for some seconds (10). Printed are
//! the frames that were handed out, and the processor time of each thread.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_lite::future::block_on;
use tureen::prelude::*;
use tureen_client::io::{
    BoxError, ClientIo, ClientIoConfig, ConnectionState, ConsumeOptions, EncodedFrame, FrameRef,
    ProduceRequest, ProduceRtpOptions, RecvTransport, RecvTransportHandler, SendTransport,
    SendTransportHandler, TransportHandler, TransportOptions,
};

const FRAME: usize = 300_000 / 8 / 30;

struct Signalling(WebRtcTransport, async_lock::Mutex<Vec<Producer>>);

#[async_trait]
impl TransportHandler for Signalling {
    async fn connect(&self, dtls_parameters: DtlsParameters) -> Result<(), BoxError> {
        self.0.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await.map_err(Into::into)
    }
}

#[async_trait]
impl SendTransportHandler for Signalling {
    async fn produce(&self, request: ProduceRequest) -> Result<String, BoxError> {
        let producer = self.0.produce(ProducerOptions::new(request.kind, request.rtp_parameters)).await?;
        let id = producer.id().to_string();
        self.1.lock().await.push(producer);
        Ok(id)
    }
}

impl RecvTransportHandler for Signalling {}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let (transports, seconds) = (numbers.next().unwrap_or(1000), numbers.next().unwrap_or(10));
    block_on(run(transports, seconds));
}

async fn run(transports: u64, seconds: u64) {
    let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await.unwrap();
    let router = worker.create_router(RouterOptions::new(vec![vp8()])).await.unwrap();
    let server =
        worker.create_webrtc_server(WebRtcServerOptions::new(WebRtcServerListenInfos::new(listen_info())));
    let server = server.await.unwrap();
    let receiving = ClientIo::new(ClientIoConfig::default()).unwrap();
    let sending = ClientIo::new(ClientIoConfig::default()).unwrap();

    let transport = server_transport(&router, &server).await;
    let signalling = Arc::new(Signalling(transport.clone(), Default::default()));
    let send = SendTransport::new(&sending, options_of(&transport), signalling.clone());
    let producer = send.produce_rtp(ProduceRtpOptions::new(MediaKind::Video, parameters())).await.unwrap();

    let frames = Arc::new(AtomicU64::new(0));
    let mut receivers = Vec::new();
    let started = now();
    for _ in 0..transports {
        receivers.push(receiver(&router, &server, &receiving, producer.id(), &frames).await);
    }
    for (transport, ..) in &receivers {
        let mut states = transport.connection_states();
        states.wait_for(|state| *state == ConnectionState::Connected).await.unwrap();
    }
    println!("{transports} transports connected in {:.1} s", (now() - started).as_secs_f64());

    // The first seconds fill jitter buffers and the kernel's tables.
    send_for(&producer, 0, 3 * 30).await;
    frames.store(0, Ordering::Relaxed);
    let (before, started) = (processor_times(), now());
    send_for(&producer, 3 * 30, seconds * 30).await;
    let elapsed = (now() - started).as_secs_f64();
    let sent = seconds * 30 * transports;
    println!("{} of {sent} frames handed out in {elapsed:.1} s", frames.load(Ordering::Relaxed));
    for ((name, after), (_, before)) in processor_times().into_iter().zip(before) {
        if after > before {
            println!("{name:16} {:5.1} % of a core", (after - before) / elapsed * 100.0);
        }
    }
    let mut lost = 0;
    for (_, consumer, _) in &receivers {
        let stats = consumer.stats().await.unwrap();
        lost += stats.frames.losses;
    }
    println!("losses: {lost}");
}

type Receiver = (RecvTransport, tureen_client::io::Consumer, Consumer);

async fn receiver(
    router: &Router,
    server: &WebRtcServer,
    io: &ClientIo,
    producer: &str,
    frames: &Arc<AtomicU64>,
) -> Receiver {
    let transport = server_transport(router, server).await;
    let signalling = Arc::new(Signalling(transport.clone(), Default::default()));
    let recv = RecvTransport::new(io, options_of(&transport), signalling);
    let capabilities = RtpCapabilities { codecs: vec![vp8()], header_extensions: vec![] };
    let mut options = ConsumerOptions::new(producer.parse().unwrap(), capabilities);
    options.paused = true;
    let server_consumer = transport.consume(options).await.unwrap();
    let frames = Arc::clone(frames);
    let options = ConsumeOptions::new(
        server_consumer.id().to_string(),
        producer,
        MediaKind::Video,
        server_consumer.rtp_parameters().clone(),
    );
    let sink = move |_: &FrameRef<'_>| {
        frames.fetch_add(1, Ordering::Relaxed);
    };
    let consumer = recv.consume(options.with_sink(sink)).await.unwrap();
    server_consumer.resume().await.unwrap();
    (recv, consumer, server_consumer)
}

/// Sends `count` frames at 30 a second; each can be decoded alone.
async fn send_for(producer: &tureen_client::io::Producer, first: u64, count: u64) {
    let start = now();
    for number in 0..count {
        let due = start + Duration::from_millis(number * 1000 / 30);
        wait(due.saturating_duration_since(now()));
        let mut frame = vec![0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0xe0, 1];
        frame.resize(FRAME, number as u8);
        let time = Duration::from_millis((first + number) * 1000 / 30);
        producer.send_frame(0, EncodedFrame::new(frame, time)).unwrap();
    }
    wait(Duration::from_millis(200));
}

#[expect(clippy::disallowed_methods, reason = "frames are sent in real time")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "real sockets need the real time")]
fn now() -> Instant {
    Instant::now()
}

/// Name and seconds of processor time of each thread of this process, by its number.
fn processor_times() -> Vec<(String, f64)> {
    let mut tasks: Vec<_> =
        std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path()).collect();
    tasks.sort();
    let time = |task: &std::path::PathBuf| {
        let stat = std::fs::read_to_string(task.join("stat")).unwrap();
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        (name.to_owned(), ticks / 100.0)
    };
    tasks.iter().map(time).collect()
}

async fn server_transport(router: &Router, server: &WebRtcServer) -> WebRtcTransport {
    router.create_webrtc_transport(WebRtcTransportOptions::new_with_server(server.clone())).await.unwrap()
}

fn listen_info() -> ListenInfo {
    ListenInfo {
        protocol: Protocol::Udp,
        ip: [127, 0, 0, 1].into(),
        announced_address: None,
        expose_internal_ip: false,
        port: None,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }
}

fn options_of(transport: &WebRtcTransport) -> TransportOptions {
    let (ice, candidates) = (transport.ice_parameters().clone(), transport.ice_candidates().clone());
    TransportOptions::new(transport.id().to_string(), ice, candidates, transport.dtls_parameters())
}

fn vp8() -> RtpCodecCapability {
    RtpCodecCapability::Video {
        mime_type: MimeTypeVideo::Vp8,
        preferred_payload_type: Some(101),
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![RtcpFeedback::Nack, RtcpFeedback::NackPli],
    }
}

fn parameters() -> RtpParameters {
    let codec = RtpCodecParameters::Video {
        mime_type: MimeTypeVideo::Vp8,
        payload_type: 96,
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![RtcpFeedback::NackPli],
    };
    let encoding = RtpEncodingParameters { ssrc: Some(1), ..RtpEncodingParameters::default() };
    RtpParameters {
        mid: Some("0".into()),
        codecs: vec![codec],
        encodings: vec![encoding],
        ..Default::default()
    }
}
