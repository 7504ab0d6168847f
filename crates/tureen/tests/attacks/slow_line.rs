//! Viewers on a slow line with ICE over TCP, which loses nothing: they may get little media, but it must not be late.
//!
//! `SLOW_LINE_SECONDS=25` keeps the line slow for that time instead of [`NARROW`].

use std::collections::HashMap;
use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tureen::prelude::*;
use tureen_client::media::{OpusSource, Stamp, Vp8Source};
use tureen_client::{OutgoingRtp, RecvStreamConfig, Rtx, SendStreamConfig};
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtp::ExtensionIds;

use crate::member::{Member, Wire, now};
use crate::memory::Alone;
use crate::{listen_info, opus};

const WIDE: Duration = Duration::from_millis(1500);
const NARROW: Duration = Duration::from_secs(7);
const WIDE_AGAIN: Duration = Duration::from_millis(3500);

const WIDE_RATE: u64 = 10_000_000;
const NARROW_RATE: u64 = 500_000;
/// Receive buffers of lines, which the server cannot see. The first one holds 100 ms or a little more at the slow rate,
/// as a router's does; a smaller one would drop packets, because the kernel counts its own memory. The other one is
/// Linux's default for a proxy: about 64 KiB, a second.
const SMALL: Option<u32> = Some(8192);
const DEFAULT: Option<u32> = None;

/// Maximum age of received media.
const MAX_LATE: Duration = Duration::from_secs(1);
/// Fraction of audio packets that must arrive. A receiver conceals such losses; some packets are dropped at the start.
const HEARD: f64 = 0.95;
const MAX_SILENCE: Duration = Duration::from_millis(600);
/// Time in which video returns after the line is fast again.
const BACK_WITHIN: Duration = Duration::from_secs(2);

const FRAME: Duration = Duration::from_micros(33_333);
const AUDIO: Duration = Duration::from_millis(20);
const MAX_PAYLOAD: usize = 1150;
/// Bytes of a frame of each encoding: 100, 400 and 1200 kbit/s.
const FRAME_BYTES: [usize; 3] = [417, 1667, 5000];
const SIMULCAST: u32 = 7000;
const SINGLE: u32 = 8000;
const MICROPHONE: u32 = 9000;

/// Line from the server to a viewer with a variable rate; the other direction is unlimited.
struct Line {
    rate: Arc<AtomicU64>,
    near: SocketAddr,
}

impl Line {
    fn to(server: SocketAddr, buffer: Option<u32>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = listener.local_addr().unwrap();
        let rate = Arc::new(AtomicU64::new(WIDE_RATE));
        let shaped = Arc::clone(&rate);
        // The thread ends with its connection.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = runtime.block_on(carry(listener, server, buffer, &shaped));
        });
        Self { rate, near }
    }

    fn set(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }
}

/// Forwards one connection.
async fn carry(
    listener: TcpListener,
    server: SocketAddr,
    buffer: Option<u32>,
    rate: &AtomicU64,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let (viewer, _) = tokio::net::TcpListener::from_std(listener)?.accept().await?;
    viewer.set_nodelay(true)?;
    let socket = tokio::net::TcpSocket::new_v4()?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let server = socket.connect(server).await?;
    server.set_nodelay(true)?;
    let ((mut from_viewer, mut to_viewer), (mut from_server, mut to_server)) =
        (viewer.into_split(), server.into_split());
    let up = tokio::io::copy(&mut from_viewer, &mut to_server);
    let down = async {
        let mut buffer = [0; 1000];
        let mut free_at = tokio::time::Instant::now();
        loop {
            let len = from_server.read(&mut buffer).await?;
            if len == 0 {
                return Ok(());
            }
            let time = Duration::from_secs_f64(len as f64 * 8.0 / rate.load(Ordering::Relaxed) as f64);
            free_at = free_at.max(tokio::time::Instant::now()) + time;
            tokio::time::sleep_until(free_at).await;
            to_viewer.write_all(&buffer[..len]).await?;
        }
    };
    tokio::select! {
        result = up => result.map(|_| ()),
        result = down => result,
    }
}

/// Sender of a simulcast, of a single encoding as large as its largest, and of audio.
struct Sender {
    member: Member,
    sources: Vec<(u32, Vp8Source, usize)>,
    audio: OpusSource,
    started: Instant,
    frames: u32,
    sounds: u32,
    sent: Sent,
}

/// Sending times of frames, by SSRC and number.
type Sent = HashMap<(u32, u32), Instant>;

impl Sender {
    fn new(transport: &WebRtcTransport) -> Self {
        let mut member = Member::connect(transport);
        let simulcast = (0..3)
            .zip(FRAME_BYTES)
            .map(|(index, bytes)| (SIMULCAST + 2 * u32::from(index), Vp8Source::of_simulcast(index), bytes));
        let mut sources: Vec<_> = simulcast.collect();
        sources.push((SINGLE, Vp8Source::default(), FRAME_BYTES[2]));
        for (index, &(ssrc, ..)) in sources.iter().enumerate() {
            let parameters = if ssrc == SINGLE { single() } else { simulcast_of_three() };
            let rid = (ssrc != SINGLE).then(|| format!("r{index}"));
            let base = SendStreamConfig::new(ssrc, 96, 90_000).with_rtx(ssrc + 1, 97);
            let (mid, extension_ids) =
                (parameters.mid.clone(), ExtensionIds::new(&parameters.header_extensions));
            let config = SendStreamConfig { mid, rid, extension_ids, ..base };
            member.session.add_send_stream(config).unwrap();
        }
        member.session.add_send_stream(SendStreamConfig::new(MICROPHONE, 100, 48_000)).unwrap();
        let audio = OpusSource::default();
        Self { member, sources, audio, started: now(), frames: 0, sounds: 0, sent: Sent::new() }
    }

    /// Sends the packets that are due.
    fn turn(&mut self) {
        let mut payload = Vec::new();
        while now() >= self.started + AUDIO * self.sounds {
            self.audio.write_next(80, &mut payload);
            self.sent.insert((MICROPHONE, self.sounds), now());
            self.send(MICROPHONE, &payload, OpusSource::SAMPLES * self.sounds, false);
            self.sounds += 1;
        }
        while now() >= self.started + FRAME * self.frames {
            for index in 0..self.sources.len() {
                let (ssrc, source, bytes) = &mut self.sources[index];
                let ssrc = *ssrc;
                let wanted = &mut self.member.wanted_key_frames;
                let key_frame = self.frames == 0 || wanted.contains(&ssrc);
                wanted.retain(|&wanted| wanted != ssrc);
                let frame = source.next_frame(key_frame, *bytes * if key_frame { 3 } else { 1 }, MAX_PAYLOAD);
                self.sent.insert((ssrc, frame.number()), now());
                for packet in 0..frame.packets() {
                    frame.write_packet(packet, &mut payload);
                    self.send(ssrc, &payload, 3000 * self.frames, frame.is_last(packet));
                }
            }
            self.frames += 1;
        }
        self.member.turn(false);
    }

    fn send(&mut self, ssrc: u32, payload: &[u8], timestamp: u32, marker: bool) {
        let packet = OutgoingRtp { payload, timestamp, marker, audio_level: None };
        self.member.session.send_rtp(now(), ssrc, &packet).unwrap();
        self.member.turn(false);
    }
}

/// Receiver of one video and of the audio through a [`Line`].
struct Viewer {
    name: &'static str,
    member: Member,
    line: Line,
    /// SSRC of the sender's first encoding.
    video: u32,
    pictures: Vec<Arrival>,
    sounds: Vec<Arrival>,
    _kept: (WebRtcTransport, [Consumer; 2]),
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Instant,
    late: Duration,
    frame: u32,
    bytes: usize,
}

impl Viewer {
    fn new(
        (name, buffer): (&'static str, Option<u32>),
        router: &Router,
        transport: WebRtcTransport,
        video: (&Producer, u32),
        audio: &Producer,
    ) -> Self {
        let port = transport.ice_candidates()[0].port;
        let line = Line::to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), buffer);
        let stream = TcpStream::connect(line.near).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut member = Member::connect_by(&transport, Wire::Tcp(stream, Vec::new()));
        let capabilities: RtpCapabilities =
            serde_json::from_value(serde_json::to_value(router.rtp_capabilities()).unwrap()).unwrap();
        let consumers = [video.0, audio].map(|producer| {
            let options = ConsumerOptions::new(producer.id(), capabilities.clone());
            let consumer = block_on(transport.consume(options)).unwrap();
            member.session.add_recv_stream(receives(&consumer)).unwrap();
            consumer
        });
        let (pictures, sounds) = (Vec::new(), Vec::new());
        Self { name, member, line, video: video.1, pictures, sounds, _kept: (transport, consumers) }
    }

    /// Receives waiting packets.
    fn turn(&mut self, sent: &Sent) {
        self.member.turn(true);
        let at = now();
        while let Some(payload) = self.member.heard.pop_front() {
            let (ssrc, frame, to) = match (Stamp::of_vp8(&payload), Stamp::of_opus(&payload)) {
                (Some(stamp), _) => {
                    (self.video + 2 * u32::from(stamp.encoding), stamp.frame, &mut self.pictures)
                }
                (_, Some(stamp)) => (MICROPHONE, stamp.frame, &mut self.sounds),
                // Padding.
                _ => continue,
            };
            to.push(Arrival { at, late: at - sent[&(ssrc, frame)], frame, bytes: payload.len() });
        }
    }

    /// Checks the received packets of a line that was slow from `narrow` until `wide`.
    fn check(&self, narrow: Instant, wide: Instant, sounds: u32) {
        let name = self.name;
        let latest = |all: &[Arrival]| all.iter().map(|arrival| arrival.late).max().unwrap();
        let pause = self.sounds.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
        let heard = self.sounds.len();
        let rate = |from: Instant, until: Instant| {
            let all = self.pictures.iter().filter(|arrival| arrival.at >= from && arrival.at < until);
            all.map(|arrival| arrival.bytes).sum::<usize>() as f64 * 8.0 / (until - from).as_secs_f64()
        };
        let narrow_rate = rate(narrow + (wide - narrow) / 3, wide);
        let back = self.pictures.windows(30).find(|frames| {
            let [first, .., last] = frames else { return false };
            first.at >= wide && rate(first.at, last.at) > 300e3
        });
        let back = back.map(|frames| frames[0].at - wide);
        println!(
            "{name}: pictures at most {:?} late, sounds {:?}, {heard} of {sounds} with pauses of at most {pause:?}; \
             {narrow_rate:.0} bit/s of pictures through the narrow line, they go on {back:?} after it was wide",
            latest(&self.pictures),
            latest(&self.sounds),
        );
        assert!(latest(&self.pictures) <= MAX_LATE, "{name}: pictures {:?} late", latest(&self.pictures));
        assert!(latest(&self.sounds) <= MAX_LATE, "{name}: sounds {:?} late", latest(&self.sounds));
        assert!(pause <= MAX_SILENCE, "{name}: nothing heard for {pause:?}");
        assert!(heard as f64 >= HEARD * f64::from(sounds), "{name}: {heard} of {sounds} sounds");
        assert!(self.sounds.windows(2).all(|pair| pair[0].frame < pair[1].frame), "{name}: in order");
        assert!(narrow_rate > 50e3, "{name}: {narrow_rate} bit/s through the narrow line");
        assert!(back.is_some_and(|back| back <= BACK_WITHIN), "{name}: video is back after {back:?}");
    }
}

#[test]
fn viewers_over_tcp_are_never_a_second_late_when_their_line_carries_less_than_is_sent() {
    let _alone = Alone::wait();
    let router = block_on(async {
        let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await.unwrap();
        let vp8 = json!({
            "kind": "video", "mimeType": "video/VP8", "preferredPayloadType": 101, "clockRate": 90_000,
            "parameters": {}, "rtcpFeedback": feedback(),
        });
        let codecs = serde_json::from_value(json!([opus(), vp8])).unwrap();
        worker.create_router(RouterOptions::new(codecs)).await.unwrap()
    });
    let transport = |protocol| {
        let infos = WebRtcTransportListenInfos::new(listen_info(protocol));
        block_on(router.create_webrtc_transport(WebRtcTransportOptions::new(infos))).unwrap()
    };
    let sending = transport(Protocol::Udp);
    let produce =
        |kind, parameters| block_on(sending.produce(ProducerOptions::new(kind, parameters))).unwrap();
    let simulcast = produce(MediaKind::Video, simulcast_of_three());
    let single = produce(MediaKind::Video, single());
    let audio = block_on(sending.produce(crate::audio(MICROPHONE))).unwrap();
    let (simulcast, single) = ((&simulcast, SIMULCAST), (&single, SINGLE));
    let mut viewers = [
        ("simulcast", SMALL, simulcast),
        ("single", SMALL, single),
        ("simulcast by a proxy", DEFAULT, simulcast),
        ("single by a proxy", DEFAULT, single),
    ]
    .map(|(name, buffer, video)| {
        Viewer::new((name, buffer), &router, transport(Protocol::Tcp), video, &audio)
    });
    let mut sender = Sender::new(&sending);

    let mut run = |time: Duration, rate: u64| {
        let began = now();
        viewers.iter().for_each(|viewer| viewer.line.set(rate));
        while now() < began + time {
            sender.turn();
            viewers.iter_mut().for_each(|viewer| viewer.turn(&sender.sent));
        }
        (began, sender.sounds)
    };
    let narrow_for =
        env::var("SLOW_LINE_SECONDS").map_or(NARROW, |s| Duration::from_secs(s.parse().unwrap()));
    run(WIDE, WIDE_RATE);
    let (narrow, _) = run(narrow_for, NARROW_RATE);
    let (wide, sounds) = run(WIDE_AGAIN, WIDE_RATE);
    for viewer in &viewers {
        viewer.check(narrow, wide, sounds);
    }
}

fn feedback() -> Value {
    json!([{ "type": "nack" }, { "type": "nack", "parameter": "pli" }, { "type": "transport-cc" }])
}

fn simulcast_of_three() -> RtpParameters {
    let encodings = ["r0", "r1", "r2"].map(|rid| json!({ "rid": rid, "scalabilityMode": "L1T3" }));
    parameters("simulcast", &json!(encodings))
}

fn single() -> RtpParameters {
    parameters("single", &json!([{ "ssrc": SINGLE, "rtx": { "ssrc": SINGLE + 1 } }]))
}

fn parameters(mid: &str, encodings: &Value) -> RtpParameters {
    let parameters = json!({
        "mid": mid,
        "codecs": [
            { "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90_000, "parameters": {},
              "rtcpFeedback": feedback() },
            { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90_000, "parameters": { "apt": 96 } },
        ],
        "encodings": encodings,
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 },
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "id": 2 },
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", "id": 3 },
            { "uri": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", "id": 5 },
        ],
        "rtcp": { "cname": "sender" },
    });
    serde_json::from_value(parameters).unwrap()
}

/// Settings of a session's stream for a consumer.
fn receives(consumer: &Consumer) -> RecvStreamConfig {
    let parameters = consumer.rtp_parameters();
    let (encoding, codec) = (&parameters.encodings[0], &parameters.codecs[0]);
    let rtx =
        encoding.rtx.map(|rtx| Rtx { ssrc: rtx.ssrc, payload_type: parameters.codecs[1].payload_type() });
    RecvStreamConfig {
        ssrc: encoding.ssrc.unwrap(),
        payload_type: codec.payload_type(),
        nack: rtx.is_some(),
        rtx,
        clock_rate: codec.clock_rate().get(),
        codec: if consumer.kind() == MediaKind::Video { CodecKind::Vp8 } else { CodecKind::Opus },
        extension_ids: ExtensionIds::new(&parameters.header_extensions),
        max_frame_delay: None,
    }
}
