//! Jitter buffer: assembles the frames of a stream and returns them in order and at regular intervals.

mod delay;
mod order;
mod packets;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use tureen_rtc::wire::codecs::CodecKind;

use self::delay::{Delay, MediaTime};
use self::order::{Order, Verdict};
use self::packets::Packets;
use crate::frames::{FrameAssembler, FrameError, FrameInfo, Start, frame_start};

/// Default of [`JitterConfig::max_delay`].
pub const DEFAULT_MAX_DELAY: Duration = Duration::from_secs(1);

/// Settings of a [`JitterBuffer`].
#[derive(Clone, Debug)]
pub struct JitterConfig {
    /// Codec of the stream.
    pub codec: CodecKind,
    /// Clock rate of the RTP timestamps in Hz.
    pub clock_rate: u32,
    /// Longest time that a frame is delayed, because of jitter or of missing packets. At most one minute; default 1 s.
    /// With zero, each frame is returned as soon as it is complete, and missing packets are given up as soon as
    /// something after them is complete.
    pub max_delay: Duration,
    /// The span of sequence numbers that is kept, from 16 to 4096. Default 2048: 3 s at 8 Mbit/s.
    pub max_packets: usize,
    /// Limit of stored payloads and frames, in bytes. Default 8 MiB.
    pub max_bytes: usize,
}

impl JitterConfig {
    /// Default settings for a codec.
    pub fn new(codec: CodecKind, clock_rate: u32) -> Self {
        Self { codec, clock_rate, max_delay: Duration::from_secs(1), max_packets: 2048, max_bytes: 8 << 20 }
    }
}

/// Packet for a [`JitterBuffer`].
#[derive(Clone, Copy, Debug)]
pub struct JitterPacket<'a> {
    /// Sequence number, extended to 64 bits; below 2⁶².
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Capture time since the Unix epoch by the sender's clock, if known.
    pub capture_time: Option<Duration>,
    /// Payload without padding; empty if the packet contains nothing else.
    pub payload: &'a [u8],
}

/// Properties of a returned frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// Key frame flag and layers.
    pub info: FrameInfo,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Capture time since the Unix epoch by the sender's clock, if known.
    pub capture_time: Option<Duration>,
    /// Arrival time of the frame's last packet.
    pub received_at: Instant,
    /// True if frames are missing between the previous frame and this one. A video decoder can decode this frame
    /// nevertheless.
    pub after_loss: bool,
}

/// Counters of a [`JitterBuffer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Frames returned.
    pub frames: u64,
    /// Key frames among them; for audio all frames.
    pub key_frames: u64,
    /// Complete frames that were dropped because no decoder could decode them.
    pub frames_dropped: u64,
    /// Number of times that missing packets were given up.
    pub losses: u64,
    /// Packets that arrived too late or repeatedly.
    pub late_packets: u64,
    /// Packets and frames that violate the payload format.
    pub malformed: u64,
    /// Number of times that the stored packets exceeded a limit.
    pub overflows: u64,
    /// Current playout delay.
    pub target_delay: Duration,
}

/// Assembles the frames of one stream and returns them in order, each with a delay that covers the measured jitter.
///
/// Sans-IO: [`insert`](Self::insert) packets in any order, call [`poll_frame`](Self::poll_frame) until it returns
/// `None`, then [`poll_key_frame_request`](Self::poll_key_frame_request). Call both again at
/// [`poll_timeout`](Self::poll_timeout).
///
/// Missing packets are waited for until a later frame that does not depend on them is due, but not longer than the
/// longest delay. Then the buffer continues with the next decodable frame: in video a key frame, or in VP8 and VP9 a
/// frame of a temporal layer that depends on none of the missing frames.
#[derive(Debug)]
pub struct JitterBuffer {
    config: JitterConfig,
    assembler: FrameAssembler,
    packets: Packets,
    /// Complete frames, in order.
    frames: VecDeque<Frame>,
    frame_bytes: usize,
    spare: Vec<Vec<u8>>,
    /// The length of the largest frame, less the longer ago it was.
    usual_len: usize,
    delay: Delay,
    order: Order,
    /// Sequence number after the last packet that was returned or given up.
    next: Option<u64>,
    /// True if packets were given up since the last frame.
    after_loss: bool,
    wants_key_frame: bool,
    key_frame_requested_at: Option<Instant>,
    stats: JitterStats,
}

#[derive(Debug)]
struct Frame {
    seqs: Range<u64>,
    media_time: MediaTime,
    frame: ReceivedFrame,
    data: Vec<u8>,
}

/// Next action.
#[derive(Debug)]
enum Action {
    /// Return this frame, and give up everything before it.
    HandOut(usize),
    /// Drop the first frame.
    Drop,
    /// Give up the missing packets before this one.
    GiveUp(u64),
}

/// Upper limit of [`JitterConfig::max_delay`].
const MAX_DELAY: Duration = Duration::from_secs(60);
/// Limit of sequence numbers, which no stream reaches in its lifetime.
const MAX_SEQ: u64 = 1 << 62;
/// Minimum time between two key frame requests.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(500);
/// Number of frame buffers that are kept for reuse.
const MAX_SPARE: usize = 4;
/// A spare buffer of this size is kept whatever the size of the frames.
const MIN_SPARE_CAPACITY: usize = 16 << 10;
/// The work for one packet grows with the span: a sender that leaves gaps or sends backwards makes each packet look through
/// all of it. 4096 packets of 1200 bytes are 4 s at 10 Mbit/s.
const MAX_SPAN: usize = 4096;

impl JitterBuffer {
    /// Creates an empty buffer.
    ///
    /// # Errors
    /// [`FrameError::UnsupportedCodec`] for [`CodecKind::Other`].
    pub fn new(config: JitterConfig) -> Result<Self, FrameError> {
        let config = JitterConfig { max_delay: config.max_delay.min(MAX_DELAY), ..config };
        Ok(Self {
            assembler: FrameAssembler::new(config.codec)?,
            packets: Packets::new(),
            frames: VecDeque::new(),
            frame_bytes: 0,
            spare: Vec::new(),
            usual_len: 0,
            delay: Delay::new(config.clock_rate, config.max_delay),
            order: Order::new(config.codec),
            next: None,
            after_loss: false,
            wants_key_frame: false,
            key_frame_requested_at: None,
            stats: JitterStats::default(),
            config,
        })
    }

    /// Counters.
    pub fn stats(&self) -> JitterStats {
        JitterStats { target_delay: self.delay.target(), ..self.stats }
    }

    /// Bytes of stored payloads and frames.
    pub fn bytes(&self) -> usize {
        self.packets.bytes() + self.frame_bytes
    }

    /// Stores a decrypted packet without padding. Duplicates are dropped.
    pub fn insert(&mut self, now: Instant, packet: &JitterPacket<'_>) {
        if packet.seq >= MAX_SEQ {
            self.stats.malformed += 1;
            return;
        }
        let is_late = self.next.is_some_and(|next| packet.seq < next);
        if is_late || self.packets.contains(packet.seq) {
            self.stats.late_packets += 1;
            if is_late && !packet.payload.is_empty() {
                // A late packet raises the delay, so that the next packet that is equally late arrives in time.
                let media_time = self.delay.media_time(packet.timestamp);
                self.delay.observe(now, media_time);
            }
            return;
        }
        let start = if packet.payload.is_empty() {
            Start::Maybe
        } else if let Some(start) = frame_start(self.config.codec, packet.payload) {
            start
        } else {
            self.stats.malformed += 1;
            return;
        };
        if !self.make_room(packet) {
            return;
        }
        self.packets.insert(now, packet, start);
        while let Some(seqs) = self.packets.poll_complete() {
            self.assemble(now, seqs);
        }
        // Frames can be larger than their payloads.
        self.keep_bytes(0);
        if self.packets.is_leftover(packet.seq)
            && let Some(frame) = self.frames.iter_mut().find(|frame| frame.seqs.start == packet.seq + 1)
        {
            frame.seqs.start = packet.seq;
            self.packets.take(packet.seq..packet.seq + 1);
        }
        self.next = self.next.map(|_| self.packets.window().start);
    }

    /// Replaces `data` by the next due frame. The previous buffer of `data` is reused for a later frame.
    pub fn poll_frame(&mut self, now: Instant, data: &mut Vec<u8>) -> Option<ReceivedFrame> {
        while let Some((action, at)) = self.next_action() {
            if at > now {
                return None;
            }
            match action {
                Action::HandOut(at) => return self.hand_out(at, data),
                Action::Drop => self.drop_first(),
                Action::GiveUp(seq) => self.give_up_before(seq, false),
            }
        }
        None
    }

    /// Time at which [`poll_frame`](Self::poll_frame) may return a frame without further packets.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_action().map(|(_, at)| at)
    }

    /// True if a key frame has to be requested now: dropped frames made it necessary, and the last request was at least
    /// 500 ms ago.
    pub fn poll_key_frame_request(&mut self, now: Instant) -> bool {
        let waits =
            self.key_frame_requested_at.is_some_and(|at| now.saturating_duration_since(at) < KEY_FRAME_RETRY);
        if !self.wants_key_frame || waits {
            return false;
        }
        self.wants_key_frame = false;
        self.key_frame_requested_at = Some(now);
        true
    }

    /// Drops all packets and frames, for a sender that has restarted its sequence numbers. Video continues with a key
    /// frame.
    pub fn reset(&mut self) {
        self.packets.clear();
        self.frames.clear();
        self.frame_bytes = 0;
        self.next = None;
        self.order = Order::new(self.config.codec);
        self.lose(true);
    }

    /// Returns the next action and its time.
    fn next_action(&self) -> Option<(Action, Instant)> {
        let window = self.packets.window();
        let first = self.frames.front();
        let unfinished = self
            .packets
            .oldest()
            .filter(|(seqs, _)| first.is_none_or(|first| seqs.start < first.seqs.start))
            .map(|(seqs, arrived_at)| {
                let end = first.map_or(seqs.end, |first| seqs.end.min(first.seqs.start));
                (Action::GiveUp(end), arrived_at + self.config.max_delay)
            });
        let Some(first) = first else { return unfinished };
        // Behind a base layer frame that waits, only a key frame can be decoded: the index may have come round.
        let mut base_waits = false;
        let decodable = self.frames.iter().enumerate().find_map(|(at, frame)| match self.verdict(frame) {
            Verdict::Decodable if base_waits && !frame.frame.info.key_frame => None,
            Verdict::Decodable => {
                Some((Action::HandOut(at), self.delay.due(frame.media_time, frame.frame.received_at)))
            }
            Verdict::Useless => Some((Action::Drop, frame.frame.received_at)),
            Verdict::Waits => {
                base_waits |= frame.frame.info.temporal_layer == 0;
                None
            }
        });
        let received_at = first.frame.received_at;
        let action = decodable.unwrap_or_else(|| {
            let something_is_missing = first.seqs.start != self.next.unwrap_or(window.start);
            let at = if something_is_missing {
                received_at + self.config.max_delay
            } else {
                self.delay.due(first.media_time, received_at)
            };
            (Action::Drop, at)
        });
        [Some(action), unfinished].into_iter().flatten().min_by_key(|(_, at)| *at)
    }

    fn verdict(&self, frame: &Frame) -> Verdict {
        self.order.verdict(&frame.frame.info, self.next == Some(frame.seqs.start))
    }

    fn hand_out(&mut self, at: usize, data: &mut Vec<u8>) -> Option<ReceivedFrame> {
        for dropped in self.frames.drain(..at) {
            self.stats.frames_dropped += 1;
            self.frame_bytes -= dropped.data.len();
            self.order.drop_frame(&dropped.frame.info);
        }
        let frame = self.frames.pop_front()?;
        self.frame_bytes -= frame.data.len();
        let is_next = self.next == Some(frame.seqs.start);
        self.order.hand_out(&frame.frame.info, is_next);
        if self.next.is_some() && !is_next {
            self.stats.losses += 1;
            self.after_loss = true;
        }
        self.move_to(frame.seqs.end, true);
        self.stats.frames += 1;
        self.stats.key_frames += u64::from(frame.frame.info.key_frame);
        self.wants_key_frame = false;
        let old = std::mem::replace(data, frame.data);
        self.recycle(old);
        Some(ReceivedFrame { after_loss: std::mem::take(&mut self.after_loss), ..frame.frame })
    }

    /// Joins packets to a frame.
    fn assemble(&mut self, now: Instant, seqs: Range<u64>) {
        let Some(timestamp) = self.packets.timestamp(seqs.start) else { return };
        let mut data = self.spare.pop().unwrap_or_default();
        let result = self.assembler.assemble(self.packets.payloads(seqs.clone()), &mut data);
        let capture_time = self.packets.capture_time(seqs.clone());
        self.packets.take(seqs.clone());
        let Ok(info) = result else {
            self.stats.malformed += 1;
            self.recycle(data);
            if self.next == Some(seqs.start) {
                self.give_up_before(seqs.end, true);
            }
            return;
        };
        let media_time = self.delay.media_time(timestamp);
        self.delay.observe(now, media_time);
        self.frame_bytes += data.len();
        self.usual_len = data.len().max(self.usual_len - self.usual_len / 64);
        let frame = ReceivedFrame { info, timestamp, capture_time, received_at: now, after_loss: false };
        let at = self.frames.partition_point(|frame| frame.seqs.start < seqs.start);
        self.frames.insert(at, Frame { seqs, media_time, frame, data });
    }

    fn drop_first(&mut self) {
        let Some(frame) = self.frames.pop_front() else { return };
        self.frame_bytes -= frame.data.len();
        self.recycle(frame.data);
        self.stats.frames_dropped += 1;
        let is_next = self.next == Some(frame.seqs.start);
        if self.order.verdict(&frame.frame.info, is_next) == Verdict::Waits {
            self.order.drop_frame(&frame.frame.info);
            self.lose(is_next);
        }
        self.move_to(frame.seqs.end, true);
    }

    /// Gives up the missing packets before `seq`, and drops the frames before it.
    fn give_up_before(&mut self, seq: u64, at_boundary: bool) {
        let count = self.frames.partition_point(|frame| frame.seqs.start < seq);
        for frame in self.frames.drain(..count) {
            self.frame_bytes -= frame.data.len();
            self.stats.frames_dropped += 1;
            self.order.drop_frame(&frame.frame.info);
        }
        self.lose(false);
        self.move_to(seq, at_boundary);
    }

    /// Records a loss: the next frame cannot be decoded unless it is a key frame or does not depend on the lost one.
    fn lose(&mut self, is_next: bool) {
        self.order.lose();
        self.after_loss = true;
        self.stats.losses += u64::from(!is_next);
        self.wants_key_frame = self.config.codec != CodecKind::Opus;
    }

    fn move_to(&mut self, seq: u64, at_boundary: bool) {
        self.packets.forget_before(seq, at_boundary);
        self.next = Some(self.packets.window().start);
    }

    /// Makes room for one more packet within the limits. Returns false if the packet cannot be stored.
    fn make_room(&mut self, packet: &JitterPacket<'_>) -> bool {
        let window = self.packets.window();
        let max_span = self.config.max_packets.clamp(16, MAX_SPAN) as u64;
        if !window.is_empty() && packet.seq < window.start && window.end - packet.seq > max_span {
            self.stats.late_packets += 1;
            return false;
        }
        if self.next.is_some() || !window.is_empty() {
            let start = (packet.seq + 1).saturating_sub(max_span);
            if start > window.start {
                self.stats.overflows += 1;
                let end =
                    self.frames.iter().map(|frame| frame.seqs.clone()).find(|seqs| seqs.contains(&start));
                self.give_up_before(end.map_or(start, |seqs| seqs.end), false);
            }
        }
        self.keep_bytes(packet.payload.len()) && self.next.is_none_or(|next| packet.seq >= next)
    }

    /// Gives up what is oldest until there is room for so many bytes more. False if there never is.
    fn keep_bytes(&mut self, more: usize) -> bool {
        while self.bytes() + more > self.config.max_bytes {
            self.stats.overflows += 1;
            let first = self.frames.front().map(|frame| frame.seqs.clone());
            let oldest = self.packets.oldest().map(|(seqs, _)| seqs);
            let Some(seqs) = first.into_iter().chain(oldest).min_by_key(|seqs| seqs.start) else {
                return false;
            };
            self.give_up_before(seqs.end, false);
        }
        true
    }

    /// Keeps a buffer to be used again, unless it is far larger than frames are.
    fn recycle(&mut self, data: Vec<u8>) {
        let max_capacity = (4 * self.usual_len).max(MIN_SPARE_CAPACITY);
        self.spare.retain(|spare| spare.capacity() <= max_capacity);
        if self.spare.len() < MAX_SPARE && data.capacity() <= max_capacity {
            self.spare.push(data);
        }
    }
}
