//! Incoming RTP stream: reception, NACK, frames and reports.

use std::time::{Duration, Instant};

use tureen_rtc::receive::nack_generator::NackGenerator;
use tureen_rtc::receive::reception::SeqVerdict;
use tureen_rtc::receive::recv_stream::{PacketInfo, RecvStreamStats};
use tureen_rtc::receive::rtx_stream::RtxStreamStats;
use tureen_rtc::seq::SeenWindow;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::codecs::{CodecKind, is_key_frame};
use tureen_rtc::wire::rtcp::{NtpTime, ReportBlock};
use tureen_rtc::wire::rtp::extension::AbsCaptureTime;
use tureen_rtc::wire::rtp::{Extension, ExtensionIds, RTX_OSN_LEN, RtpHeader, rtx_original_sequence_number};

use crate::frames::FrameError;
use crate::jitter::{
    DEFAULT_MAX_DELAY, JitterBuffer, JitterConfig, JitterPacket, JitterStats, ReceivedFrame,
};
use crate::send_stream::Rtx;

/// Settings of an incoming stream.
#[derive(Clone, Debug)]
pub struct RecvStreamConfig {
    /// SSRC of the media packets.
    pub ssrc: u32,
    /// Payload type of the media packets.
    pub payload_type: u8,
    /// SSRC and payload type of retransmissions, if they were negotiated.
    pub rtx: Option<Rtx>,
    /// True if lost packets are requested by NACK.
    pub nack: bool,
    /// Clock rate in Hz.
    pub clock_rate: u32,
    /// Codec, by which key frames are recognised and frames are assembled.
    pub codec: CodecKind,
    /// Longest delay of frames that [`Session::poll_frame`](crate::Session::poll_frame) returns, because of jitter or
    /// of missing packets; at most one minute. `None` delivers packets only. Frames need a codec with a supported
    /// payload format.
    pub max_frame_delay: Option<Duration>,
    /// Negotiated ids of the header extensions to read.
    pub extension_ids: ExtensionIds,
}

impl RecvStreamConfig {
    /// Creates settings of a stream without NACK, RTX and extensions, whose payload is not parsed.
    pub fn new(ssrc: u32, payload_type: u8, clock_rate: u32) -> Self {
        Self {
            ssrc,
            payload_type,
            rtx: None,
            nack: false,
            clock_rate,
            codec: CodecKind::Other,
            max_frame_delay: None,
            extension_ids: ExtensionIds::default(),
        }
    }

    /// Enables whole frames of this codec, delayed by at most 1 s.
    pub fn with_frames(self, codec: CodecKind) -> Self {
        Self { codec, max_frame_delay: Some(DEFAULT_MAX_DELAY), ..self }
    }

    /// Enables NACK and retransmissions by RTX.
    pub fn with_rtx(self, ssrc: u32, payload_type: u8) -> Self {
        Self { rtx: Some(Rtx { ssrc, payload_type }), nack: true, ..self }
    }
}

/// Received media packet, authentic and not a duplicate.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedRtp<'a> {
    /// SSRC of the media stream, also of a retransmitted packet.
    pub ssrc: u32,
    /// Extended sequence number. The first cycle is 1, so that packets before the first received one have a number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// True if the packet was received as a retransmission by RTX.
    pub retransmitted: bool,
    /// True if a key frame starts with this packet.
    pub key_frame: bool,
    /// Payload; empty for a packet that consists of padding.
    pub payload: &'a [u8],
    /// Header with its extensions; that of the RTX packet if the packet was retransmitted.
    pub header: RtpHeader,
    /// Whole packet, from which `header` was parsed.
    pub packet: &'a [u8],
}

/// Counters of an incoming stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvStats {
    /// Packets that should have come, by their sequence numbers; more than were delivered if some are missing or lost.
    pub expected: u64,
    /// Packets delivered, each once.
    pub packets: u64,
    /// Payload bytes of delivered packets.
    pub bytes: u64,
    /// Delivered packets that were received by RTX.
    pub repaired: u64,
    /// Packets that were duplicates or malformed.
    pub discarded: u64,
    /// Packets that are missing and not given up.
    pub missing: u64,
    /// NACK messages sent.
    pub nacks: u64,
    /// Packets requested by NACK, counted each time.
    pub nacked_packets: u64,
    /// PLIs sent.
    pub plis: u64,
}

/// State of an incoming stream.
#[derive(Debug)]
pub(crate) struct RecvStream {
    config: RecvStreamConfig,
    reception: RecvStreamStats,
    rtx: Option<RtxStreamStats>,
    nack: Option<NackGenerator>,
    /// Rejects a packet that arrives after its retransmission. SRTP rejects only copies of the same packet.
    seen: SeenWindow,
    frames: Option<Box<Frames>>,
    stats: RecvStats,
}

/// Frames of a stream.
#[derive(Debug)]
struct Frames {
    buffer: JitterBuffer,
    /// Next timeout of the jitter buffer.
    due_at: Option<Instant>,
}

impl RecvStream {
    pub(crate) fn new(config: RecvStreamConfig) -> Result<Self, FrameError> {
        let jitter = config.max_frame_delay.map(|max_delay| JitterConfig {
            max_delay,
            ..JitterConfig::new(config.codec, config.clock_rate)
        });
        let frames = jitter.map(JitterBuffer::new).transpose()?;
        Ok(Self {
            reception: RecvStreamStats::new(Ssrc(config.ssrc), config.clock_rate, false),
            rtx: config.rtx.map(|rtx| RtxStreamStats::new(Ssrc(rtx.ssrc))),
            // Without repetition of a NACK, as in browsers.
            nack: config.nack.then(|| NackGenerator::new(Duration::ZERO).without_repetition()),
            seen: SeenWindow::default(),
            frames: frames.map(|buffer| Box::new(Frames { buffer, due_at: None })),
            stats: RecvStats::default(),
            config,
        })
    }

    pub(crate) fn ssrc(&self) -> Ssrc {
        Ssrc(self.config.ssrc)
    }

    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = Ssrc> {
        std::iter::once(self.config.ssrc).chain(self.config.rtx.map(|rtx| rtx.ssrc)).map(Ssrc)
    }

    pub(crate) fn stats(&self) -> RecvStats {
        let missing = self.nack.as_ref().map_or(0, NackGenerator::missing_packets) as u64;
        RecvStats { missing, expected: self.reception.score_totals().expected, ..self.stats }
    }

    /// Handles a decrypted packet of the stream or of its retransmissions. Returns `None` for duplicates, probes and
    /// malformed packets.
    pub(crate) fn handle_packet<'a>(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        packet: &'a [u8],
    ) -> Option<ReceivedRtp<'a>> {
        let received = self.accept(now, header, packet);
        match &received {
            Some(received) => {
                self.frame_packet(now, received);
                self.stats.packets += 1;
                self.stats.bytes += received.payload.len() as u64;
                self.stats.repaired += u64::from(received.retransmitted);
            }
            None => self.stats.discarded += 1,
        }
        received
    }

    fn accept<'a>(&mut self, now: Instant, header: &RtpHeader, packet: &'a [u8]) -> Option<ReceivedRtp<'a>> {
        let mut payload = &packet[header.payload_range(packet).ok()?];
        let retransmitted = header.ssrc != self.ssrc();
        let mut seq = header.sequence_number;
        let mut payload_type = header.payload_type.0;
        if retransmitted {
            self.rtx.as_mut()?.handle_packet(seq);
            seq = rtx_original_sequence_number(payload)?;
            payload = &payload[RTX_OSN_LEN..];
            payload_type = self.config.payload_type;
        }
        let info =
            PacketInfo { seq, timestamp: header.timestamp, size: packet.len(), payload_len: payload.len() };
        let verdict = if retransmitted {
            self.reception.handle_rtx_packet(now, &info)
        } else {
            self.reception.handle_packet(now, &info)
        };
        let seq = verdict.accepted()?;
        if let SeqVerdict::Restarted(_) = verdict {
            self.seen = SeenWindow::default();
            self.nack.iter_mut().for_each(NackGenerator::reset);
            self.frames.iter_mut().for_each(|frames| frames.buffer.reset());
        }
        let key_frame = is_key_frame(self.config.codec, payload);
        if let Some(nack) = &mut self.nack {
            let repaired = nack.handle_packet(now, seq, key_frame, retransmitted);
            if repaired && retransmitted {
                self.reception.on_rtx_repaired(now, &info);
            }
        }
        self.seen.insert(seq).then_some(ReceivedRtp {
            ssrc: self.config.ssrc,
            seq,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type,
            retransmitted,
            key_frame,
            payload,
            header: *header,
            packet,
        })
    }

    /// Passes a packet to the jitter buffer.
    fn frame_packet(&mut self, now: Instant, received: &ReceivedRtp<'_>) {
        let Some(frames) = &mut self.frames else { return };
        let id = self.config.extension_ids[Extension::AbsCaptureTime];
        if let Some(time) = received.header.read::<AbsCaptureTime>(received.packet, id) {
            self.reception.handle_abs_capture_time(received.timestamp, time);
        }
        // What else comes under the SSRC, as comfort noise or telephone events do, takes up a number and is no frame.
        let expected = match self.config.rtx {
            Some(rtx) if received.retransmitted => rtx.payload_type,
            _ => self.config.payload_type,
        };
        let is_media = received.header.payload_type.0 == expected;
        let packet = JitterPacket {
            seq: received.seq,
            timestamp: received.timestamp,
            marker: received.marker,
            capture_time: None,
            payload: if is_media { received.payload } else { &[] },
        };
        frames.buffer.insert(now, &packet);
        frames.due_at = frames.buffer.poll_timeout();
    }

    /// Replaces `data` by the next due frame.
    pub(crate) fn poll_frame(&mut self, now: Instant, data: &mut Vec<u8>) -> Option<ReceivedFrame> {
        let frames = self.frames.as_mut().filter(|frames| frames.due_at.is_some_and(|at| at <= now))?;
        let mut frame = frames.buffer.poll_frame(now, data);
        frames.due_at = frames.buffer.poll_timeout();
        if let Some(frame) = &mut frame {
            let by_extension = self.reception.capture_ntp_by_extension(frame.timestamp);
            let ntp = by_extension.or_else(|| self.reception.capture_ntp(frame.timestamp));
            frame.capture_time = ntp.map(|ntp| NtpTime(ntp).to_unix());
        }
        frame
    }

    /// Time of the next useful [`poll_frame`](Self::poll_frame).
    pub(crate) fn frame_due_at(&self) -> Option<Instant> {
        self.frames.as_ref()?.due_at
    }

    /// True if the jitter buffer needs a key frame now.
    pub(crate) fn poll_key_frame_request(&mut self, now: Instant) -> bool {
        self.frames.as_mut().is_some_and(|frames| frames.buffer.poll_key_frame_request(now))
    }

    /// Frame counters; `None` if the stream delivers packets only.
    pub(crate) fn frame_stats(&self) -> Option<JitterStats> {
        self.frames.as_ref().map(|frames| frames.buffer.stats())
    }

    /// Appends to `out` the sequence numbers of the next NACK. Returns true if so many packets are missing that a key
    /// frame is needed.
    pub(crate) fn poll_nacks(&mut self, now: Instant, out: &mut Vec<u16>) -> bool {
        let Some(nack) = &mut self.nack else { return false };
        nack.poll_nacks(now, out);
        if !out.is_empty() {
            self.stats.nacks += 1;
            self.stats.nacked_packets += out.len() as u64;
        }
        nack.needs_key_frame()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.nack.as_ref().and_then(NackGenerator::poll_timeout)
    }

    pub(crate) fn on_pli_sent(&mut self) {
        self.stats.plis += 1;
    }

    pub(crate) fn on_sender_report(&mut self, now: Instant, sender: Ssrc, ntp: u64, rtp_timestamp: u32) {
        if sender == self.ssrc() {
            self.reception.handle_sender_report(now, ntp, rtp_timestamp);
        } else if let Some(rtx) = &mut self.rtx {
            rtx.handle_sender_report(now, ntp, rtp_timestamp);
        }
    }

    pub(crate) fn set_rtt(&mut self, rtt: Duration) {
        self.nack.iter_mut().for_each(|nack| nack.set_rtt(rtt));
    }

    /// Appends the stream's report block, and that of its retransmissions if any were received.
    pub(crate) fn report(&mut self, now: Instant, out: &mut Vec<ReportBlock>) {
        if self.stats.packets == 0 {
            return;
        }
        let own = self.reception.report(now, 0);
        let rtx = self.rtx.as_mut().filter(|rtx| rtx.packets() > 0).map(|rtx| rtx.report(now));
        out.extend([own].into_iter().chain(rtx).map(|block| ReportBlock {
            ssrc: block.ssrc,
            fraction_lost: block.fraction_lost,
            total_lost: block.total_lost,
            highest_sequence_number: block.extended_highest_seq,
            jitter: block.jitter,
            last_sender_report: block.last_sr,
            delay_since_last_sender_report: block.delay_since_last_sr,
        }));
    }
}
