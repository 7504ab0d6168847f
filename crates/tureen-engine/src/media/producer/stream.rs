//! One received encoding of a Producer: statistics, NACK and RTX, and the packets that consumers read.

use std::time::{Duration, Instant};

use crate::api::{ProducerScore, RtpStreamDump, RtpStreamStats, StreamDirection};
use crate::media::producer::codec::StreamCodec;
use crate::media::producer::frames::{FrameReader, ReadFrame};
use crate::media::producer::layer_rates::{LAYER_INACTIVITY, LayerRates, MIN_PICTURES_WITHOUT};
use crate::media::producer::packet_buffer::{PacketBuffer, PacketBufferConfig, PacketInfo};
use crate::media::producer::stream_identity::StreamIdentity;
use tureen_rtc::receive::nack_generator::NackGenerator;
use tureen_rtc::receive::reception::SeqVerdict;
use tureen_rtc::receive::recv_stream::{self, RecvStreamStats};
use tureen_rtc::receive::rtx_stream::RtxStreamStats;
use tureen_rtc::receive::score::{MAX_SCORE, Score};
use tureen_rtc::seq::SeenWindow;
use tureen_rtc::units::{Bitrate, PayloadType, Ssrc};
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtp::extension::AbsCaptureTime;
use tureen_rtc::wire::rtp::{Extension, RTX_OSN_LEN, RtpHeader, rtx_original_sequence_number};
use tureen_types::rtp_parameters::{MediaKind, RtpEncodingParameters};

/// Initial size of the retransmission buffer, which grows with the stream's bitrate.
const INITIAL_RING_BYTES: usize = 16 << 10;

/// Buffer size of a stream without NACK, which only has to hold one batch.
const UNREPAIRED_RING_BYTES: usize = 4 << 10;

/// Maximum number of reordered packets searched behind the first packet of a key frame.
const MAX_OVERTAKERS: usize = 64;

/// Maximum age of a key frame with which a consumer starts. The packets received since are sent at once, so the
/// receiver of an older key frame lags further behind at first.
const MAX_BACKLOG_AGE: Duration = Duration::from_millis(500);

/// Maximum number of packets sent with such a key frame.
const MAX_BACKLOG: u64 = 500;

/// As [`LAYER_INACTIVITY`], for a stream with discontinuous transmission (mediasoup `InactivityCheckIntervalWithDtx`).
const DTX_INACTIVITY: Duration = Duration::from_secs(5);

/// Time without packets on all streams of a Producer after which their score is 0, although they may continue any time.
const SILENCE: Duration = Duration::from_secs(5);

/// One encoding as received.
#[derive(Debug)]
pub(crate) struct ProducerStream {
    pub(crate) encoding_idx: usize,
    /// RTP stream id.
    pub(crate) rid: Option<String>,
    pub(crate) codec: StreamCodec,
    /// RTX stream, with an SSRC that was signalled or learned.
    pub(crate) rtx: Option<RtxStreamStats>,
    pub(crate) stats: RecvStreamStats,
    /// Requests lost packets.
    pub(crate) nack: Option<NackGenerator>,
    /// Sequence numbers already ingested. A consumer assigns one output number per packet, so each packet must be
    /// ingested once only, even after the buffer has dropped it: a second use of the number would repeat the SRTP nonce
    /// with other header values.
    seen: SeenWindow,
    /// Packets that consumers read.
    pub(crate) buffer: PacketBuffer,
    /// Extended sequence numbers of this batch, in order of arrival.
    pub(crate) arrivals: Vec<u64>,
    /// Arrival time of the first packet of a frame that is still incomplete.
    frame_since: Option<Instant>,
    /// Highest extended sequence number so far.
    highest: u64,
    /// First packet of the newest key frame, its timestamp, and its arrival time.
    newest_key_frame: Option<(u64, u32, Instant)>,
    /// Score, 0 to 10.
    pub(crate) score: Score,
    /// Counts of the NACKs, PLIs and FIRs sent.
    pub(crate) requests: FeedbackCounts,
    /// Extended sequence number of the packet with which numbering restarted; consumers must resynchronise.
    pub(crate) restarted_at: Option<u64>,
    /// Reads layers and frame numbers.
    pub(crate) frames: FrameReader,
    /// Bitrate of each layer.
    pub(crate) layers: LayerRates,
    /// Signalled numbers of spatial and temporal layers within the stream.
    layer_counts: (u8, u8),
    last_packet_at: Option<Instant>,
    presence: Presence,
    /// Number of pictures received: in all, at the last inactivity check, and on the other streams since this one's
    /// last picture.
    pictures: u32,
    pictures_seen: u32,
    pictures_elsewhere: u32,
    newest_timestamp: u32,
    known_bitrate: Bitrate,
    lacks_clock: bool,
    dtx: bool,
    /// Offset added to the sender's timestamps, so that a new source continues where the previous one ended.
    timestamp_shift: u32,
    identity: StreamIdentity,
}

/// Activity of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Present,
    /// Neither this stream nor the Producer's others received packets for a while: possibly a static picture.
    Silent,
    /// The Producer's other streams continue without this one.
    Ended,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FeedbackCounts {
    /// Number of NACK messages.
    pub(crate) nacks: u64,
    /// Number of packets in those NACK messages.
    pub(crate) nacked_packets: u64,
    /// Number of picture loss indications.
    pub(crate) plis: u64,
    /// Number of full intra requests.
    pub(crate) firs: u64,
}

/// A packet for the stream, with RTX already unwrapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncomingPacket<'a> {
    /// RTP header as received.
    pub(crate) header: &'a RtpHeader,
    /// Whole packet, decrypted.
    pub(crate) packet: &'a [u8],
    /// Payload without padding and, for RTX, without the original sequence number.
    pub(crate) payload: &'a [u8],
    /// Sequence number; for RTX, the original one.
    pub(crate) seq: u16,
    /// Codec of the payload, from the payload type.
    pub(crate) kind: CodecKind,
    /// Media payload type of the router.
    pub(crate) mapped_payload_type: PayloadType,
    /// True if received on an RTX stream.
    pub(crate) retransmission: bool,
}

/// Result of ingesting a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingest {
    /// Stored and queued for the consumers.
    Stored {
        /// Extended sequence number.
        seq: u64,
        /// True if a key frame starts with the packet.
        key_frame: bool,
        /// True if a layer or the stream became active with the packet.
        layers_changed: bool,
    },
    /// Invalid or already received.
    Discarded,
}

impl Ingest {
    /// True if a key frame starts with the packet.
    pub(crate) fn is_key_frame(self) -> bool {
        matches!(self, Self::Stored { key_frame: true, .. })
    }
}

impl ProducerStream {
    /// A stream that has not begun.
    pub(crate) fn new(
        ssrc: Ssrc,
        encoding_idx: usize,
        encoding: &RtpEncodingParameters,
        codec: StreamCodec,
        ring_bytes: usize,
        retention: Duration,
    ) -> Self {
        let repaired = codec.nack;
        let buffer = PacketBufferConfig {
            initial_bytes: if repaired { INITIAL_RING_BYTES } else { UNREPAIRED_RING_BYTES },
            max_bytes: ring_bytes,
            retention: if repaired { retention } else { Duration::ZERO },
        };
        let dtx = encoding.dtx.unwrap_or(codec.dtx);
        let mode = &encoding.scalability_mode;
        let layer_counts = (mode.spatial_layers().get(), mode.temporal_layers().get());
        Self {
            frames: FrameReader::new(codec.kind),
            layers: LayerRates::new(layer_counts.0, layer_counts.1, mode.ksvc()),
            layer_counts,
            last_packet_at: None,
            presence: Presence::Present,
            pictures: 0,
            pictures_seen: 0,
            pictures_elsewhere: 0,
            newest_timestamp: 0,
            known_bitrate: Bitrate::ZERO,
            lacks_clock: false,
            encoding_idx,
            rid: encoding.rid.clone(),
            rtx: encoding.rtx.as_ref().map(|rtx| RtxStreamStats::new(Ssrc(rtx.ssrc))),
            stats: RecvStreamStats::new(ssrc, codec.clock_rate, dtx),
            nack: repaired.then(|| NackGenerator::new(Duration::ZERO)),
            seen: SeenWindow::default(),
            buffer: PacketBuffer::new(buffer),
            arrivals: Vec::new(),
            frame_since: None,
            highest: 0,
            newest_key_frame: None,
            score: Score::new(MAX_SCORE),
            requests: FeedbackCounts::default(),
            restarted_at: None,
            dtx,
            timestamp_shift: 0,
            identity: StreamIdentity::new(encoding.rtx.is_some()),
            codec,
        }
    }

    /// Ingests a packet of the stream.
    pub(crate) fn handle_packet<'e>(
        &mut self,
        now: Instant,
        incoming: &IncomingPacket<'_>,
        elements: impl Iterator<Item = (Extension, &'e [u8])> + Clone,
    ) -> Ingest {
        let timestamp = incoming.header.timestamp.wrapping_add(self.timestamp_shift);
        if !incoming.retransmission {
            self.identity.on_heard(now);
        }
        let info = recv_stream::PacketInfo {
            seq: incoming.seq,
            timestamp,
            size: incoming.packet.len(),
            payload_len: incoming.payload.len(),
        };
        let verdict = if incoming.retransmission {
            self.stats.handle_rtx_packet(now, &info)
        } else {
            self.stats.handle_packet(now, &info)
        };
        let seq = match verdict {
            SeqVerdict::Accepted(seq) => seq,
            SeqVerdict::Restarted(seq) => {
                self.restart(seq);
                seq
            }
            SeqVerdict::Discarded => return Ingest::Discarded,
        };
        let mut elements_of_descriptor =
            elements.clone().filter(|(kind, _)| *kind == Extension::DependencyDescriptor);
        let descriptor = elements_of_descriptor.next().map(|(_, value)| value);
        // A payload of another codec, such as comfort noise, has no frame description.
        let frame = if incoming.kind == self.codec.kind {
            self.frames.read(incoming.payload, descriptor, seq > self.highest)
        } else {
            ReadFrame::other()
        };
        let key_frame = frame.key_frame;
        if let Some(nack) = &mut self.nack {
            let repaired = nack.handle_packet(now, seq, key_frame, incoming.retransmission);
            match (repaired, incoming.retransmission) {
                (true, true) => self.stats.on_rtx_repaired(now, &info),
                // Not requested, or already received.
                (false, true) => return Ingest::Discarded,
                (true, false) if self.rtx.is_none() => self.stats.on_nacked_packet(),
                (_, false) => {}
            }
        }
        let stored = PacketInfo {
            seq,
            timestamp,
            marker: incoming.header.marker,
            payload_type: incoming.mapped_payload_type.0,
            key_frame,
            frame: frame.info,
        };
        // `seen` is checked before the buffer, because the buffer would accept a number again that it has dropped.
        if !self.seen.insert(seq) || !self.buffer.insert(now, stored, elements, incoming.payload) {
            return Ingest::Discarded;
        }
        self.arrivals.push(seq);
        if seq > self.highest && !incoming.payload.is_empty() {
            let waits = self.codec.has_key_frames() && !incoming.header.marker;
            self.frame_since = waits.then(|| self.frame_since.unwrap_or(now));
            let is_next = self.pictures == 0 || self.newest_timestamp != stored.timestamp;
            self.pictures = self.pictures.wrapping_add(is_next.into());
            self.newest_timestamp = stored.timestamp;
        }
        // `highest` advances after the checks above, because they compare the packet with the highest one before it.
        self.highest = self.highest.max(seq);
        if key_frame {
            self.note_key_frame(now, seq, stored.timestamp);
        }
        // Padding does not make a stream active, because senders probe with padding on streams without media.
        let mut layers_changed = false;
        if !incoming.payload.is_empty() {
            layers_changed |= self.last_packet_at.replace(now).is_none();
            layers_changed |= self.layers.add(now, &frame.info, incoming.packet.len(), self.pictures);
            if std::mem::replace(&mut self.presence, Presence::Present) != Presence::Present {
                self.score.reset(MAX_SCORE);
                layers_changed = true;
            }
        }
        Ingest::Stored { seq, key_frame, layers_changed }
    }

    /// True if another SSRC, of which a packet arrived, may replace the SSRC of the stream.
    pub(crate) fn may_change_ssrc(&mut self, now: Instant, ssrc: Ssrc, named: bool) -> bool {
        self.identity.may_change(now, ssrc, named)
    }

    /// Replaces the SSRC of the stream, given the timestamp of the new SSRC's packet. Sequence numbers and timestamps
    /// continue; consumers need a key frame.
    pub(crate) fn change_ssrc(&mut self, now: Instant, ssrc: Ssrc, timestamp: u32) {
        if let Some((highest, at)) = self.stats.highest_timestamp() {
            let passed = now.saturating_duration_since(at).as_micros();
            let ticks = (passed * u128::from(self.codec.clock_rate) / 1_000_000) as u32;
            self.timestamp_shift = highest.wrapping_add(ticks.max(1)).wrapping_sub(timestamp);
        }
        // The identity records the previous SSRC, so this precedes `change_source`.
        self.identity.change(now, self.stats.ssrc());
        if !self.identity.rtx_is_signalled {
            self.rtx = None;
        }
        self.stats.change_source(ssrc);
        self.frames = FrameReader::new(self.codec.kind);
    }

    /// Handles an RTCP BYE for the stream (RFC 3550 §6.6).
    pub(crate) fn on_bye(&mut self) {
        self.identity.has_left = true;
    }

    /// Handles a sender report; see [`RecvStreamStats::handle_sender_report`].
    pub(crate) fn handle_sender_report(&mut self, now: Instant, ntp: u64, rtp_timestamp: u32) {
        self.stats.handle_sender_report(now, ntp, rtp_timestamp.wrapping_add(self.timestamp_shift));
    }

    /// Handles the `abs-capture-time` of a packet with this timestamp.
    pub(crate) fn handle_abs_capture_time(&mut self, rtp_timestamp: u32, time: AbsCaptureTime) {
        self.stats.handle_abs_capture_time(rtp_timestamp.wrapping_add(self.timestamp_shift), time);
    }

    /// Number of pictures since the last inactivity check.
    pub(crate) fn pictures_since_check(&self) -> u32 {
        self.pictures.wrapping_sub(self.pictures_seen)
    }

    /// Checks the layers and the stream for inactivity; `elsewhere` is the number of pictures on the Producer's other
    /// streams since the last check. True if a layer or the stream has ended, or if the stream has become alignable
    /// because its sender reports no clock.
    pub(crate) fn check_inactivity(&mut self, now: Instant, elsewhere: Option<u32>) -> bool {
        let ended = self.layers.check(now, self.pictures);
        let (Some(elsewhere), Some(last)) = (elsewhere, self.last_packet_at) else { return ended };
        let lacked_clock = std::mem::replace(&mut self.lacks_clock, self.stats.lacks_clock());
        let ended = ended || lacked_clock != self.lacks_clock;
        if self.pictures_since_check() > 0 {
            self.pictures_elsewhere = 0;
        } else {
            self.pictures_elsewhere = self.pictures_elsewhere.saturating_add(elsewhere);
        }
        self.pictures_seen = self.pictures;
        let idle = now.saturating_duration_since(last);
        let limit = if self.dtx { DTX_INACTIVITY } else { LAYER_INACTIVITY };
        let before = self.presence;
        if idle >= limit && self.pictures_elsewhere >= MIN_PICTURES_WITHOUT {
            self.presence = Presence::Ended;
        } else if idle >= SILENCE && before == Presence::Present {
            self.presence = Presence::Silent;
        }
        if before == Presence::Present && before != self.presence {
            self.score.reset(0);
        }
        ended || before != self.presence
    }

    /// True if the stream has begun and has not ended; while packets arrive, its score must be above 0 too.
    pub(crate) fn is_alive(&self) -> bool {
        self.last_packet_at.is_some()
            && match self.presence {
                Presence::Present => self.score.score() > 0,
                Presence::Silent => true,
                Presence::Ended => false,
            }
    }

    /// Bitrate; for a silent stream the last one measured.
    pub(crate) fn bitrate(&mut self, now: Instant) -> Bitrate {
        let measured = self.stats.bitrate(now);
        if !measured.is_zero() {
            self.known_bitrate = measured;
        }
        self.known_bitrate
    }

    /// True if the capture time of the newest packet is known: from sender reports or, if those carry no clock, from
    /// the packet's arrival time.
    pub(crate) fn is_alignable(&self) -> bool {
        let newest = self.stats.highest_timestamp();
        newest.is_some_and(|(timestamp, _)| self.stats.capture_ntp(timestamp).is_some())
            || self.stats.lacks_clock()
    }

    /// Signalled number of spatial layers within the stream.
    pub(crate) fn spatial_layers(&self) -> u8 {
        self.layer_counts.0
    }

    /// Signalled number of temporal layers.
    pub(crate) fn temporal_layers(&self) -> u8 {
        self.layer_counts.1
    }

    /// Records a key frame. Several packets of one key frame may be marked, because parameter sets precede the picture.
    fn note_key_frame(&mut self, now: Instant, seq: u64, timestamp: u32) {
        let is_news = self.newest_key_frame.is_none_or(|(newest, of, _)| match of == timestamp {
            true => seq < newest,
            false => seq > newest,
        });
        if is_news {
            self.newest_key_frame = Some((seq, timestamp, now));
        }
    }

    fn restart(&mut self, seq: u64) {
        self.newest_key_frame = None;
        if let Some(nack) = &mut self.nack {
            nack.reset();
        }
        self.restarted_at = Some(seq);
    }

    /// Packets after `first` in sequence that arrived before `first` and are not among the `later` arrivals of the
    /// batch. A consumer that starts with `first` has not sent them yet.
    pub(crate) fn overtakers<'a>(&'a self, first: u64, later: &'a [u64]) -> impl Iterator<Item = u64> + 'a {
        let ahead = (first + 1..=self.highest).take(MAX_OVERTAKERS);
        ahead.filter(move |seq| !later.contains(seq) && self.buffer.get(*seq).is_some())
    }

    /// First packet of a recent key frame, if that packet and those received since are still in the buffer: a consumer
    /// that has sent nothing yet can start with it.
    pub(crate) fn recent_key_frame(&self, now: Instant) -> Option<u64> {
        let (seq, _, at) = self.newest_key_frame?;
        let is_recent = now.saturating_duration_since(at) <= MAX_BACKLOG_AGE;
        let is_there = self.highest - seq < MAX_BACKLOG && self.buffer.get(seq).is_some();
        (is_recent && is_there).then_some(seq)
    }

    /// Sequence numbers from a recent key frame on, except those of this batch, which consumers read anyway. Some of
    /// the packets may be missing.
    pub(crate) fn backlog(&self, now: Instant) -> impl Iterator<Item = u64> + '_ {
        let sources = self.recent_key_frame(now).map(|first| first..=self.highest);
        sources.into_iter().flatten().filter(|seq| !self.arrivals.contains(seq))
    }

    /// Time since which packets wait for the last packet of their frame, the one with the marker bit (RFC 7741 §4.1,
    /// RFC 9628 §4.1 and others alike). `None` if no packets wait or if `limit` packets have arrived.
    pub(crate) fn waits_since(&self, limit: usize) -> Option<Instant> {
        self.frame_since.filter(|_| self.arrivals.len() < limit)
    }

    /// Ends a batch that was forwarded: the buffer may overwrite its packets.
    pub(crate) fn end_batch(&mut self) {
        self.arrivals.clear();
        self.frame_since = None;
        self.buffer.start_batch();
        self.restarted_at = None;
    }

    /// Updates the score after a report. True if the score changed.
    pub(crate) fn update_score(&mut self) -> bool {
        let is_silent = self.presence != Presence::Present;
        self.score.update(self.stats.score_totals(), self.rtx.is_some(), is_silent).is_some()
    }

    pub(crate) fn producer_score(&self) -> ProducerScore {
        ProducerScore {
            encoding_idx: self.encoding_idx as u32,
            ssrc: self.stats.ssrc().0,
            rid: self.rid.clone(),
            score: self.score.score(),
        }
    }

    pub(crate) fn api_stats(&mut self, now: Instant, timestamp_ms: u64, kind: MediaKind) -> RtpStreamStats {
        let received = self.stats.transmission();
        RtpStreamStats {
            direction: StreamDirection::Inbound,
            timestamp_ms,
            ssrc: self.stats.ssrc().0,
            rtx_ssrc: self.rtx.as_ref().map(|rtx| rtx.ssrc().0),
            rid: self.rid.clone(),
            kind,
            mime_type: self.codec.mime_type.as_str().to_owned(),
            packets_lost: i32::try_from(self.stats.packets_lost()).unwrap_or(i32::MAX),
            fraction_lost: self.stats.fraction_lost(),
            jitter: self.stats.jitter(),
            packets_discarded: self.stats.packets_discarded(),
            packets_retransmitted: self.stats.packets_retransmitted(),
            packets_repaired: self.stats.packets_repaired(),
            nack_count: self.requests.nacks,
            nack_packet_count: self.requests.nacked_packets,
            pli_count: self.requests.plis,
            fir_count: self.requests.firs,
            packet_count: received.packets,
            byte_count: received.bytes,
            bitrate: self.stats.bitrate(now).as_bps(),
            bitrate_by_layer: self.layers.by_layer(now),
            rtx_packets_discarded: self.rtx.as_ref().map(RtxStreamStats::packets_discarded),
            round_trip_time_ms: self.stats.rtt().map(|rtt| rtt.as_secs_f32() * 1000.0),
            score: self.score.score(),
        }
    }

    pub(crate) fn dump(&self, cname: &str) -> RtpStreamDump {
        RtpStreamDump {
            encoding_idx: self.encoding_idx as u32,
            ssrc: self.stats.ssrc().0,
            payload_type: self.codec.payload_type.0,
            mime_type: self.codec.mime_type.as_str().to_owned(),
            clock_rate: self.codec.clock_rate,
            rid: self.rid.clone(),
            cname: cname.to_owned(),
            rtx_ssrc: self.rtx.as_ref().map(|rtx| rtx.ssrc().0),
            rtx_payload_type: self.codec.rtx_payload_type.map(|pt| pt.0),
            use_nack: self.codec.nack,
            use_pli: self.codec.pli,
            use_fir: self.codec.fir,
            use_in_band_fec: self.codec.in_band_fec,
            use_dtx: self.dtx,
            spatial_layers: self.layer_counts.0,
            temporal_layers: self.layer_counts.1,
            score: self.score.score(),
        }
    }
}

/// Splits an RTX payload into the original sequence number and the original payload (RFC 4588 §4).
pub(crate) fn unwrap_rtx(payload: &[u8]) -> Option<(u16, &[u8])> {
    let seq = rtx_original_sequence_number(payload)?;
    Some((seq, payload.get(RTX_OSN_LEN..)?))
}
