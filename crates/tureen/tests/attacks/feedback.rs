//! A viewer that requests everything repeatedly, sends false reports, and reads nothing.

use std::time::Duration;

use futures_lite::future::block_on;
use serde_json::json;
use tureen::prelude::*;
use tureen_client::SendStreamConfig;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{ReportBlock, write_nack, write_pli, write_receiver_report, write_xr_rrtr};

use crate::call::Call;
use crate::member::{Member, Wire, now};
use crate::memory::Alone;

/// Stream of the viewer: packets of 1100 bytes every 4 ms, 2.2 Mbit/s.
const SSRC: u32 = 6000;
const PAYLOAD: usize = 1100;
const INTERVAL: Duration = Duration::from_millis(4);

/// Bytes of the stream per second.
const MEDIA_RATE: f64 = PAYLOAD as f64 * 250.0;

/// Bytes that the viewer sends per second: 10 Mbit/s.
const ATTACK_RATE: f64 = 1.25e6;

/// Duration of each measurement in seconds.
const SECONDS: f64 = 2.0;

/// Latency that the attack may add to the call.
const MARGIN: Duration = Duration::from_millis(5);

/// Number of measurements, of which one must be good, because other processes may use the machine.
const ATTEMPTS: usize = 5;

/// Returns the next datagram of the viewer.
type Attack = dyn Fn(&Scene) -> Vec<u8>;

/// A call, and a source with one viewer, which is the attacker.
struct Scene {
    call: Call,
    source: Member,
    viewer: Member,
    /// SSRC that the viewer receives, and the last sequence number.
    viewed: u32,
    newest: u16,
    number: u32,
    _kept: (Producer, Consumer, [WebRtcTransport; 2]),
}

impl Scene {
    fn new() -> Self {
        let call = Call::new(Protocol::Udp);
        let (transports, producer, consumer) = block_on(async {
            let sending = call.router.create_webrtc_transport(call.options.clone()).await.unwrap();
            let viewing = call.router.create_webrtc_transport(call.options.clone()).await.unwrap();
            let producer = sending.produce(source()).await.unwrap();
            // Without RTX and without any feedback for the congestion control, so that the viewer cannot influence it.
            let codec = json!({
                "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100, "clockRate": 48000,
                "channels": 2, "parameters": {}, "rtcpFeedback": [{ "type": "nack", "parameter": "" }],
            });
            let capabilities =
                serde_json::from_value(json!({ "codecs": [codec], "headerExtensions": [] })).unwrap();
            let consumer = viewing.consume(ConsumerOptions::new(producer.id(), capabilities)).await.unwrap();
            ([sending, viewing], producer, consumer)
        });
        let [mut source, viewer] = transports.each_ref().map(Member::connect);
        source.session.add_send_stream(SendStreamConfig::new(SSRC, 100, 48_000)).unwrap();
        let viewed = consumer.rtp_parameters().encodings[0].ssrc.unwrap();
        let _kept = (producer, consumer, transports);
        Self { call, source, viewer, viewed, newest: 0, number: 0, _kept }
    }

    /// Sends packets of the call one after the other while the source sends and the viewer sends compounds made by
    /// `attack`. Returns the 99th percentile of the latency, and the bytes per second that the viewer got.
    fn measure(&mut self, attack: Option<&Attack>) -> (Duration, f64) {
        let start = now();
        let (mut attacked, mut got, mut sent) = (0.0, 0, 0);
        let mut times = Vec::new();
        loop {
            let elapsed = start.elapsed();
            if elapsed.as_secs_f64() >= SECONDS {
                break;
            }
            while INTERVAL * sent <= elapsed {
                sent += 1;
                self.number += 1;
                self.source.send_as(SSRC, self.number, &[self.number as u8; PAYLOAD]);
            }
            while let Some(attack) = attack
                && attacked < elapsed.as_secs_f64() * ATTACK_RATE
            {
                let compound = attack(self);
                self.viewer.session.send_raw_rtcp(now(), &compound).unwrap();
                attacked += self.flush_viewer() as f64;
            }
            got += self.take_in();
            let before = now();
            self.call.exchange();
            times.push(before.elapsed());
        }
        times.sort_unstable();
        (times[times.len() * 99 / 100], got as f64 / SECONDS)
    }

    fn flush_viewer(&mut self) -> usize {
        let mut datagram = Vec::new();
        let mut bytes = 0;
        while let Some(to) = self.viewer.session.poll_transmit(&mut datagram) {
            let Wire::Udp(socket) = &self.viewer.wire else { panic!("it connects by UDP") };
            // Datagrams that do not fit into the socket's buffer are lost, as on a network.
            let _ = socket.send_to(&datagram, to);
            bytes += datagram.len();
        }
        bytes
    }

    /// Number of bytes that have arrived at the viewer. Only the sequence numbers are read.
    fn take_in(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(datagram) = self.viewer.wire.receive(false) {
            bytes += datagram.len();
            if datagram.len() > PAYLOAD && datagram[8..12] == self.viewed.to_be_bytes() {
                let seq = u16::from_be_bytes([datagram[2], datagram[3]]);
                if seq.wrapping_sub(self.newest) < 0x8000 || self.newest == 0 {
                    self.newest = seq;
                }
            }
        }
        bytes
    }

    fn assert_unnoticed(&mut self, attack: &Attack, most: f64) {
        let mut measured = Vec::new();
        for _ in 0..ATTEMPTS {
            let (quiet, _) = self.measure(None);
            let (attacked, got) = self.measure(Some(attack));
            assert!(got <= most, "{} kbit/s for the viewer", got / 125.0);
            if attacked <= quiet + MARGIN {
                return;
            }
            measured.push((quiet, attacked));
        }
        panic!("quiet and attacked: {measured:?}");
    }
}

/// Opus that is stored for retransmission.
fn source() -> ProducerOptions {
    let parameters = json!({
        "mid": "audio",
        "codecs": [{
            "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
            "parameters": {}, "rtcpFeedback": [{ "type": "nack", "parameter": "" }],
        }],
        "encodings": [{ "ssrc": SSRC }],
        "headerExtensions": [],
        "rtcp": { "cname": "source" },
    });
    ProducerOptions::new(MediaKind::Audio, serde_json::from_value(parameters).unwrap())
}

/// Report that claims the shortest possible round trip: it refers to a sender report that has just been received.
fn forged_report(scene: &Scene) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(scene.viewed),
        fraction_lost: scene.newest as u8,
        total_lost: 0,
        highest_sequence_number: 0,
        jitter: 0,
        last_sender_report: 1,
        delay_since_last_sender_report: 0u32.wrapping_sub(1),
    }
}

#[test]
fn viewer_that_nacks_everything_repeatedly_gets_a_bounded_share_without_effect_on_others() {
    let _alone = Alone::wait();
    let mut scene = Scene::new();
    let everything = |scene: &Scene| {
        let all: Vec<u16> = (0..1000).rev().map(|back| scene.newest.wrapping_sub(back)).collect();
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(1), &[forged_report(scene)]);
        // Each number twice, as far as they fit into the datagram.
        write_nack(&mut compound, Ssrc(1), Ssrc(scene.viewed), &all);
        write_nack(&mut compound, Ssrc(1), Ssrc(scene.viewed), &all);
        compound
    };
    // The media, retransmissions of the same size, and the reserve with the unused budget.
    scene.assert_unnoticed(&everything, 2.4 * MEDIA_RATE + 120_000.0);
}

#[test]
fn viewer_that_sends_many_small_nacks_gets_no_more() {
    let _alone = Alone::wait();
    let mut scene = Scene::new();
    let few = |scene: &Scene| {
        let lost: Vec<u16> = (0..17).rev().map(|back| scene.newest.wrapping_sub(back)).collect();
        let mut compound = Vec::new();
        write_nack(&mut compound, Ssrc(1), Ssrc(scene.viewed), &lost);
        compound
    };
    scene.assert_unnoticed(&few, 2.4 * MEDIA_RATE + 120_000.0);
}

#[test]
fn viewer_that_floods_reports_and_requests_does_not_affect_others() {
    let _alone = Alone::wait();
    let mut scene = Scene::new();
    let reports = |scene: &Scene| {
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(1), &[forged_report(scene); 20]);
        for _ in 0..20 {
            write_xr_rrtr(&mut compound, Ssrc(1), tureen_rtc::wire::rtcp::NtpTime(1));
            write_pli(&mut compound, Ssrc(1), Ssrc(scene.viewed));
        }
        compound
    };
    scene.assert_unnoticed(&reports, 1.2 * MEDIA_RATE + 60_000.0);
}
