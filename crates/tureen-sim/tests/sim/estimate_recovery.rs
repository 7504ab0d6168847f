//! Recovery of the bandwidth estimate when no traffic can renew it: video returns after pauses, after outages of the
//! link, and with receivers that send REMBs only.

use std::time::Duration;

use tureen_engine::api::{Request, Response};
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::write_remb;
use tureen_sim::{AudioConfig, Call, Consumption, LinkConfig, NodeId, Production, VideoConfig};

use super::{MS, good_link, received};

const SECOND: Duration = Duration::from_secs(1);

/// Encodings of 100, 400 and 1200 kbit/s.
fn encodings() -> [VideoConfig; 3] {
    [417, 1667, 5000].map(|frame_bytes| VideoConfig {
        frame_bytes,
        key_frame_factor: 3,
        ..VideoConfig::default()
    })
}

/// Link with this rate, a delay of 25 ms and a queue of 300 ms.
fn capped(rate: Bitrate) -> LinkConfig {
    let queue = rate.bytes_in(300 * MS) as usize;
    LinkConfig { rate: Some(rate), queue, ..LinkConfig::with_delay(25 * MS) }
}

/// A sender of three encodings and audio, and a viewer of both.
struct Scene {
    call: Call,
    viewer: NodeId,
    audio: Production,
    video: Production,
    picture: Consumption,
}

impl Scene {
    fn new(seed: u64) -> Self {
        Self::with(seed, |call, node, video| call.consume(node, video))
    }

    fn with(seed: u64, consume: impl Fn(&mut Call, NodeId, &Production) -> Consumption) -> Self {
        let mut call = Call::new(seed);
        let nodes = call.join_all(&[good_link(), good_link()]);
        call.network.set_links(nodes[1], good_link(), capped(Bitrate::mbps(5)));
        let audio = call.produce_audio(nodes[0], AudioConfig::default());
        call.consume(nodes[1], &audio);
        let video = call.produce_simulcast(nodes[0], &encodings());
        let picture = consume(&mut call, nodes[1], &video);
        Self { call, viewer: nodes[1], audio, video, picture }
    }

    /// SSRCs of the encodings.
    fn ssrcs(&self) -> [u32; 3] {
        [0, 2, 4].map(|offset| self.video.ssrc + offset)
    }

    fn run(&mut self, time: Duration) {
        self.call.network.run_for(time);
    }

    /// Changes the link to the viewer.
    fn set_link(&mut self, line: LinkConfig) {
        self.call.network.set_links(self.viewer, good_link(), line);
    }

    /// Bitrate of received payloads within `time`, in bit/s.
    fn rate(&mut self, time: Duration) -> f64 {
        let bytes = |call: &Call, picture: &Consumption| {
            let stats = call.network.session(picture.node).recv_stats(picture.ssrc);
            stats.map_or(0, |stats| stats.bytes) as f64
        };
        let before = bytes(&self.call, &self.picture);
        self.call.network.run_for(time);
        (bytes(&self.call, &self.picture) - before) * 8.0 / time.as_secs_f64()
    }

    /// Times until the first video packet arrives, and until 1 Mbit/s of video arrive.
    fn time_to_return(&mut self) -> (Duration, Duration) {
        let (began, before) = (self.call.network.elapsed(), received(&self.call, &self.picture).len());
        let mut first = None;
        while self.call.network.elapsed() - began < 60 * SECOND {
            let rate = self.rate(250 * MS);
            if received(&self.call, &self.picture).len() > before {
                first.get_or_insert(self.call.network.elapsed() - began);
            }
            if let Some(first) = first.filter(|_| rate > 1e6) {
                return (first, self.call.network.elapsed() - began);
            }
        }
        panic!("the video did not return: {first:?}");
    }

    fn available(&mut self) -> u64 {
        let request = Request::TransportStats(self.call.transport(self.viewer).clone());
        let Response::TransportStats(stats) = self.call.request(request) else { panic!("not statistics") };
        stats.available_outgoing_bitrate.expect("the transport is congestion controlled")
    }

    /// Sends a REMB of the viewer.
    fn send_remb(&mut self, bitrate: Bitrate) {
        let mut packet = Vec::new();
        write_remb(&mut packet, Ssrc(1), bitrate, &[Ssrc(self.picture.ssrc)]);
        let sent = self.call.network.with_session(self.viewer, |s, now| s.send_raw_rtcp(now, &packet));
        sent.expect("the session is connected");
    }
}

#[test]
fn video_returns_at_once_after_a_paused_producer() {
    for seconds in [3, 15, 30, 70] {
        let mut scene = Scene::new(1);
        scene.run(8 * SECOND);
        assert!(scene.rate(2 * SECOND) > 1.1e6, "before");
        let (producer, ssrcs) = (scene.video.id.clone(), scene.ssrcs());
        scene.call.request(Request::PauseProducer(producer.clone()));
        ssrcs.iter().for_each(|&ssrc| scene.call.network.stop_source(ssrc));
        scene.run(seconds * SECOND);
        scene.call.request(Request::ResumeProducer(producer));
        ssrcs.iter().for_each(|&ssrc| scene.call.network.resume_source(ssrc));
        let (first, all) = scene.time_to_return();
        assert!(first <= SECOND && all <= 3 * SECOND, "{seconds} s off: {first:?}, {all:?}");
    }
}

#[test]
fn video_returns_at_once_after_a_paused_consumer() {
    let mut scene = Scene::new(2);
    scene.run(8 * SECOND);
    let consumer = scene.picture.id.clone();
    scene.call.request(Request::PauseConsumer(consumer.clone()));
    scene.run(25 * SECOND);
    scene.call.request(Request::ResumeConsumer(consumer));
    let (first, all) = scene.time_to_return();
    assert!(first <= SECOND && all <= 3 * SECOND, "{first:?}, {all:?}");
}

#[test]
fn video_of_a_new_producer_arrives_after_the_old_one_was_closed() {
    let mut scene = Scene::new(3);
    scene.run(8 * SECOND);
    scene.call.request(Request::CloseProducer(scene.video.id.clone()));
    scene.ssrcs().iter().for_each(|&ssrc| scene.call.network.stop_source(ssrc));
    scene.run(25 * SECOND);
    scene.video = scene.call.produce_simulcast(scene.video.node, &encodings());
    scene.picture = scene.call.consume(scene.viewer, &scene.video);
    let (first, all) = scene.time_to_return();
    assert!(first <= SECOND && all <= 3 * SECOND, "{first:?}, {all:?}");
}

#[test]
fn video_on_a_slow_link_returns_unchanged_after_a_paused_producer() {
    let mut scene = Scene::new(4);
    scene.set_link(capped(Bitrate::kbps(600)));
    scene.run(15 * SECOND);
    let producer = scene.video.id.clone();
    scene.call.request(Request::PauseProducer(producer.clone()));
    scene.run(25 * SECOND);
    scene.call.request(Request::ResumeProducer(producer));
    let began = received(&scene.call, &scene.picture).len();
    scene.run(SECOND);
    assert!(received(&scene.call, &scene.picture).len() > began, "video within a second");
    let rate = scene.rate(3 * SECOND);
    assert!(rate > 300e3, "{rate}");
}

#[test]
fn video_returns_soon_after_an_outage() {
    for (seed, seconds) in [(5, 5), (6, 12), (7, 20), (8, 28)] {
        for audio_too in [true, false] {
            let mut scene = Scene::new(seed);
            if !audio_too {
                scene.call.network.stop_source(scene.audio.ssrc);
            }
            scene.run(8 * SECOND);
            // Only the direction to the viewer is cut, so that its consent checks continue.
            scene.set_link(capped(Bitrate::mbps(5)).with_loss(1.0));
            scene.run(seconds * SECOND);
            scene.set_link(capped(Bitrate::mbps(5)));
            let (first, all) = scene.time_to_return();
            assert!(first <= 2 * SECOND && all <= 5 * SECOND, "{seconds} s cut: {first:?}, {all:?}");
        }
    }
}

#[test]
fn video_returns_soon_after_heavy_loss_or_a_very_low_rate() {
    let lossy = capped(Bitrate::mbps(5)).with_loss(0.6);
    for (seed, line) in [(9, lossy), (10, capped(Bitrate::kbps(20)))] {
        let mut scene = Scene::new(seed);
        scene.run(8 * SECOND);
        scene.set_link(line);
        scene.run(20 * SECOND);
        scene.set_link(capped(Bitrate::mbps(5)));
        let (first, all) = scene.time_to_return();
        assert!(first <= 5 * SECOND && all <= 12 * SECOND, "seed {seed}: {first:?}, {all:?}");
    }
}

#[test]
fn viewer_that_supports_only_remb_gets_its_bitrate() {
    let mut scene = Scene::with(11, |call, node, video| call.consume_by_remb(node, video));
    for _ in 0..30 {
        scene.send_remb(Bitrate::kbps(2000));
        scene.run(SECOND);
    }
    assert!(scene.available() > 1_900_000, "{}", scene.available());
    assert!(scene.rate(SECOND) > 1.1e6);
    for _ in 0..5 {
        scene.send_remb(Bitrate::kbps(600));
        scene.run(SECOND);
    }
    let rate = scene.rate(SECOND);
    assert!((300e3..500e3).contains(&rate), "{rate}");
}

#[test]
fn low_remb_before_a_pause_does_not_prevent_video_after_it() {
    let mut scene = Scene::with(12, |call, node, video| call.consume_by_remb(node, video));
    scene.run(3 * SECOND);
    scene.send_remb(Bitrate::kbps(20));
    scene.run(3 * SECOND);
    assert!(scene.rate(SECOND) < 10e3, "the lowest encoding exceeds the REMB");
    let consumer = scene.picture.id.clone();
    scene.call.request(Request::PauseConsumer(consumer.clone()));
    scene.run(20 * SECOND);
    scene.call.request(Request::ResumeConsumer(consumer));
    let began = received(&scene.call, &scene.picture).len();
    scene.run(SECOND);
    assert!(received(&scene.call, &scene.picture).len() > began, "video within a second");
}
