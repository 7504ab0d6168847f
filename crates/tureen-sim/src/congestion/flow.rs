//! Flow: a sender with congestion control, and its receiver.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tureen_engine::allocator::{Candidate, Prices, UpgradeBackoff, share};
use tureen_rtc::receive::twcc_receiver::TwccReceiver;
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket, TransportCcHeader, write_transport_cc};

use super::controller::{Algorithm, Controller};
use tureen_client::link::Link;

/// Bytes of a packet below RTP: headers of UDP and IPv4.
const OVERHEAD: usize = 28;
/// Bytes of a video packet, including header and authentication tag.
const PACKET: usize = 1200;
/// Bytes of an audio packet of a stream of 32 kbit/s.
const AUDIO_PACKET: usize = 80;
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const FRAME_INTERVAL: Duration = Duration::from_micros(33_333);
/// Number of frames between key frames of an encoder.
const KEY_FRAME_INTERVAL: u32 = 300;
const KEY_FRAME_SIZE: f64 = 4.0;
/// Part of an encoding's bitrate that the lower two of three temporal layers need.
const REDUCED: f64 = 0.6;
/// Interval of the layer allocation.
const ALLOCATION_INTERVAL: Duration = Duration::from_millis(100);
/// Number of bytes in the pacer from which on the encoder skips frames.
const MAX_WAITING: usize = 200_000;

/// Source of a sender's media.
#[derive(Clone, Debug)]
pub enum Source {
    /// Encoder that follows the target, up to a bitrate.
    Encoder(Bitrate),
    /// Consumers of a server; each gets one of its encodings or none.
    Consumers(Vec<ConsumerSource>),
}

/// Consumer of a server.
#[derive(Clone, Debug)]
pub struct ConsumerSource {
    /// Priority of the consumer.
    pub weight: u8,
    /// Bitrates of its encodings in kbit/s.
    pub encodings: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Flow {
    /// Congestion control of the sender.
    pub(super) controller: Box<dyn Controller>,
    source: Source,
    consumers: Vec<ConsumerState>,
    rng: StdRng,
    frames: u32,
    next_frame: Instant,
    next_audio: Instant,
    next_allocation: Instant,
    rounds: usize,
    /// Sizes of packets that wait for the pacer.
    waiting: VecDeque<usize>,
    waiting_bytes: usize,
    paced_until: Option<Instant>,
    seq: u16,
    receiver: TwccReceiver,
    arriving: BTreeMap<(Instant, u64), (u16, usize)>,
    feedback: VecDeque<(Instant, Vec<u8>)>,
    /// Counters of the flow.
    pub(super) stats: FlowStats,
}

/// Counters of a flow.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowStats {
    /// Packets sent to the link.
    pub sent: u64,
    /// Packets of these that were dropped because the queue was full.
    pub queue_dropped: u64,
    /// Bytes of padding sent in probes.
    pub padding: u64,
    /// Bytes that arrived since this counter was last reset.
    pub arrived: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Number of times that a consumer changed its encoding.
    pub switches: u32,
    /// Queueing delay of each packet in milliseconds.
    pub queue_delays: Vec<f32>,
}

#[derive(Debug, Default)]
struct ConsumerState {
    step: Option<usize>,
    reduced: bool,
    backoff: UpgradeBackoff,
}

impl Flow {
    /// Creates a flow that starts now. Fails if its congestion control cannot be started.
    pub(super) fn new(now: Instant, source: Source, algorithm: &Algorithm, seed: u64) -> io::Result<Self> {
        let (desired, consumers) = match &source {
            Source::Encoder(max) => (*max, Vec::new()),
            Source::Consumers(consumers) => {
                let highest = consumers.iter().filter_map(|c| c.encodings.last());
                let states = consumers.iter().map(|_| ConsumerState::default()).collect();
                (Bitrate::kbps(highest.sum::<u64>() + 40), states)
            }
        };
        let controller = algorithm.controller(now, desired)?;
        Ok(Self {
            controller,
            source,
            consumers,
            rng: StdRng::seed_from_u64(seed),
            frames: 0,
            next_frame: now,
            next_audio: now,
            next_allocation: now,
            rounds: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            paced_until: None,
            seq: 1,
            receiver: TwccReceiver::new(),
            arriving: BTreeMap::new(),
            feedback: VecDeque::new(),
            stats: FlowStats::default(),
        })
    }

    /// Sends the packets that are due, and handles arrivals. Fails if the congestion control failed.
    pub(super) fn step(&mut self, now: Instant, link: &mut Link, back: Duration) -> io::Result<()> {
        self.receive(now, back);
        self.controller.handle_timeout(now);
        if now >= self.next_allocation {
            self.next_allocation = now + ALLOCATION_INTERVAL;
            self.allocate(now);
        }
        while now >= self.next_audio {
            self.next_audio += AUDIO_INTERVAL;
            self.send(now, AUDIO_PACKET, link);
        }
        while now >= self.next_frame {
            self.next_frame += FRAME_INTERVAL;
            self.make_frame();
        }
        if self.paced_until.is_none_or(|until| now >= until) {
            self.send_waiting(now, link);
        }
        while let Some(shot) = self.controller.poll_probe(now) {
            let mut left = shot.bytes;
            while left > 0 {
                let media = shot.media_first.then(|| self.waiting.pop_front()).flatten();
                let size = media.unwrap_or(left.clamp(60, PACKET));
                left = left.saturating_sub(size);
                match media {
                    Some(_) => self.waiting_bytes -= size,
                    None => self.stats.padding += size as u64,
                }
                self.send(now, size, link);
            }
        }
        self.controller.take_error().map_or(Ok(()), Err)
    }

    /// Selects the consumers' encodings.
    fn allocate(&mut self, now: Instant) {
        let Source::Consumers(sources) = &self.source else { return };
        let mut candidates: Vec<_> = sources
            .iter()
            .zip(&self.consumers)
            .map(|(source, state)| {
                let prices = std::iter::once(&0).chain(&source.encodings).map(|&kbps| Bitrate::kbps(kbps));
                Candidate {
                    weight: source.weight,
                    reduced_prices: prices.clone().map(|price| price * REDUCED).collect(),
                    prices: prices.collect(),
                    current: state.step,
                    may_climb: state.backoff.may_upgrade(now),
                    ..Candidate::default()
                }
            })
            .collect();
        let audio = Prices::from_slice(&[Bitrate::kbps(45)]);
        candidates.push(Candidate { prices: audio, ..Candidate::default() });
        share(self.controller.budget(now), &mut candidates, self.rounds);
        for (state, candidate) in self.consumers.iter_mut().zip(&candidates) {
            let step = candidate.step;
            state.reduced = candidate.reduced;
            if let Some(before) = state.step.replace(step).filter(|&before| before != step) {
                state.backoff.on_change(now, before, step);
                self.stats.switches += 1;
                self.rounds += 1;
            }
        }
    }

    fn make_frame(&mut self) {
        self.frames += 1;
        if self.waiting_bytes > MAX_WAITING {
            return;
        }
        let per_frame = FRAME_INTERVAL.as_secs_f64() / 8.0;
        match &self.source {
            Source::Encoder(max) => {
                let rate = self.controller.target().min(*max) - Bitrate::kbps(45);
                let key_frame = self.frames % KEY_FRAME_INTERVAL == 1;
                let size = if key_frame { KEY_FRAME_SIZE } else { 1.0 - KEY_FRAME_SIZE / 300.0 };
                // Packets of 1200 bytes have 1228 bytes on the link.
                let bytes = rate.as_bps() as f64 * per_frame * 0.977 * size;
                self.packetize(bytes);
            }
            Source::Consumers(sources) => {
                let rates = sources.iter().zip(&self.consumers).map(|(source, state)| {
                    let step = state.step.unwrap_or(0);
                    let kbps = step.checked_sub(1).map_or(0, |encoding| source.encodings[encoding]);
                    kbps as f64 * if state.reduced { REDUCED } else { 1.0 }
                });
                for kbps in rates.collect::<Vec<_>>() {
                    self.packetize(kbps * 1000.0 * per_frame);
                }
            }
        }
    }

    /// The size of frames varies, because encoders do not meet their bitrate with each frame.
    fn packetize(&mut self, bytes: f64) {
        let mut left = (bytes * self.rng.random_range(0.75..1.25)) as usize;
        while left > 0 {
            let size = left.min(PACKET);
            left -= size;
            self.waiting.push_back(size.max(60));
            self.waiting_bytes += size.max(60);
        }
    }

    fn send_waiting(&mut self, now: Instant, link: &mut Link) {
        self.paced_until = None;
        let mut allowance = self.controller.allowance(now);
        while let Some(&size) = self.waiting.front() {
            if allowance == 0 {
                self.paced_until = Some(self.controller.next_burst(now));
                break;
            }
            allowance = allowance.saturating_sub(size + OVERHEAD);
            self.waiting.pop_front();
            self.waiting_bytes -= size;
            self.send(now, size, link);
        }
    }

    fn send(&mut self, now: Instant, size: usize, link: &mut Link) {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        self.controller.on_sent(now, seq, size);
        self.stats.sent += 1;
        self.stats.bytes += (size + OVERHEAD) as u64;
        self.stats.queue_delays.push(link.backlog(now).as_secs_f32() * 1000.0);
        let dropped = link.stats().queue_dropped;
        let arrivals = link.send(now, size + OVERHEAD);
        self.stats.queue_dropped += link.stats().queue_dropped - dropped;
        for at in arrivals.into_iter().flatten() {
            self.arriving.insert((at, self.stats.sent), (seq, size + OVERHEAD));
        }
    }

    fn receive(&mut self, now: Instant, back: Duration) {
        while let Some(entry) = self.arriving.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), (seq, size)) = entry.remove_entry();
            self.receiver.handle_packet(at, seq);
            self.stats.arrived += size as u64;
        }
        self.receiver.handle_timeout(now);
        while let Some(feedback) = self.receiver.poll_feedback() {
            let header = TransportCcHeader {
                sender_ssrc: Ssrc(1),
                media_ssrc: Ssrc(2),
                base_sequence_number: feedback.base_seq,
                reference_time: (feedback.reference_time << 8) as i32 >> 8,
                feedback_count: feedback.feedback_count,
            };
            let mut bytes = Vec::new();
            write_transport_cc(&mut bytes, &header, &feedback.statuses, 1200);
            self.feedback.push_back((now + back, bytes));
        }
        while self.feedback.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, bytes)) = self.feedback.pop_front() else { break };
            for packet in RtcpCompound::new(&bytes) {
                if let Ok(RtcpPacket::TransportCc(feedback)) = packet {
                    self.controller.on_feedback(now, &feedback);
                }
            }
        }
    }
}
