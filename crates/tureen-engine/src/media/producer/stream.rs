//! One incoming encoding of a Producer: its statistics, its repair, and the packets that consumers read.

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

/// Smallest retransmission ring; it grows with the stream's bitrate.
const INITIAL_RING_BYTES: usize = 16 << 10;

/// Ring of a stream that is not repaired: it only has to hold a batch.
const UNREPAIRED_RING_BYTES: usize = 4 << 10;

/// How far behind the first packet of a key frame packets are looked for that overtook it.
const MAX_OVERTAKERS: usize = 64;

/// How old a key frame may be that a consumer starts with. What came since goes with it at once: the older it is, the
/// further its receiver lags behind at first.
const MAX_BACKLOG_AGE: Duration = Duration::from_millis(500);

/// How many packets may go with it.
const MAX_BACKLOG: u64 = 500;

/// As [`LAYER_INACTIVITY`], for a stream with discontinuous transmission (mediasoup `InactivityCheckIntervalWithDtx`).
const DTX_INACTIVITY: Duration = Duration::from_secs(5);

/// After this time in which no stream of a Producer came their score is 0, though they may go on any time.
const SILENCE: Duration = Duration::from_secs(5);

/// One encoding as it comes in.
#[derive(Debug)]
pub(crate) struct ProducerStream {
    /// Which encoding.
    pub(crate) encoding_idx: usize,
    /// Its RTP stream id.
    pub(crate) rid: Option<String>,
    /// Its codec.
    pub(crate) codec: StreamCodec,
    /// SSRC of its retransmissions, signalled or learned.
    pub(crate) rtx: Option<RtxStreamStats>,
    /// Statistics.
    pub(crate) stats: RecvStreamStats,
    /// Asks for what is lost.
    pub(crate) nack: Option<NackGenerator>,
    /// Which packets were taken. A consumer gives each packet one number, so it must come out of here once only, even after
    /// the buffer has lost it: twice the same number would be twice the same SRTP nonce, with other header values.
    seen: SeenWindow,
    /// What consumers read.
    pub(crate) buffer: PacketBuffer,
    /// Extended sequence numbers of this batch, in order of arrival.
    pub(crate) arrivals: Vec<u64>,
    /// When the first packet came of those that wait for the end of their frame.
    frame_since: Option<Instant>,
    /// Highest extended sequence number so far.
    highest: u64,
    /// First packet of the newest key frame, its timestamp, and when it came.
    newest_key_frame: Option<(u64, u32, Instant)>,
    /// 0 to 10.
    pub(crate) score: Score,
    /// NACK messages and packets named in them, PLIs and FIRs sent.
    pub(crate) requests: FeedbackCounts,
    /// Sequence numbering started anew with this packet: consumers must synchronise again.
    pub(crate) restarted_at: Option<u64>,
    /// Reads layers and frame numbers.
    pub(crate) frames: FrameReader,
    /// What each layer takes.
    pub(crate) layers: LayerRates,
    /// Number of spatial layers within the stream, and of temporal ones, as signalled.
    layer_counts: (u8, u8),
    last_packet_at: Option<Instant>,
    presence: Presence,
    /// Pictures that came; at the last look for streams that have ended; and of the other streams since the last one came.
    pictures: u32,
    pictures_seen: u32,
    pictures_elsewhere: u32,
    newest_timestamp: u32,
    known_bitrate: Bitrate,
    lacks_clock: bool,
    dtx: bool,
    /// What is added to the sender's timestamps: another source goes on where the one before ended.
    timestamp_shift: u32,
    identity: StreamIdentity,
}

/// Whether a stream comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Present,
    /// Nothing came for a while, nor of the Producer's other streams: it may be a static picture.
    Silent,
    /// The other streams go on without it.
    Ended,
}

/// Feedback sent for a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FeedbackCounts {
    /// NACK messages.
    pub(crate) nacks: u64,
    /// Packets named in them.
    pub(crate) nacked_packets: u64,
    /// Picture loss indications.
    pub(crate) plis: u64,
    /// Full intra requests.
    pub(crate) firs: u64,
}

/// A packet as the stream takes it: RTX already unwrapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncomingPacket<'a> {
    /// Its header as received.
    pub(crate) header: &'a RtpHeader,
    /// All its bytes, decrypted.
    pub(crate) packet: &'a [u8],
    /// The payload without padding and, for RTX, without the original sequence number.
    pub(crate) payload: &'a [u8],
    /// The (original) sequence number.
    pub(crate) seq: u16,
    /// How its payload is read, by its payload type.
    pub(crate) kind: CodecKind,
    /// The media payload type as the router knows it.
    pub(crate) mapped_payload_type: PayloadType,
    /// Came by RTX.
    pub(crate) retransmission: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingest {
    /// It is stored and in line for the consumers.
    Stored {
        /// Its extended sequence number.
        seq: u64,
        /// A key frame starts with it.
        key_frame: bool,
        /// A layer or the stream has come (back) with it.
        layers_changed: bool,
    },
    /// It makes no sense or brings nothing new.
    Discarded,
}

impl Ingest {
    /// Whether a key frame starts with the packet.
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

    /// Takes a packet of the stream.
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
        // A payload of another codec, comfort noise for one, tells nothing.
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
                // Nobody asked for it, or it has come already.
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
        self.highest = self.highest.max(seq);
        if key_frame {
            self.note_key_frame(now, seq, stored.timestamp);
        }
        // Padding says nothing of a stream: senders probe with it where they send no media.
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

    /// Whether another SSRC may go on with the stream, now that a packet of it came.
    pub(crate) fn may_change_ssrc(&mut self, now: Instant, ssrc: Ssrc, named: bool) -> bool {
        self.identity.may_change(now, ssrc, named)
    }

    /// The stream goes on with another SSRC, of which a packet with this timestamp came. Numbers and timestamps continue;
    /// consumers need a key frame.
    pub(crate) fn change_ssrc(&mut self, now: Instant, ssrc: Ssrc, timestamp: u32) {
        if let Some((highest, at)) = self.stats.highest_timestamp() {
            let passed = now.saturating_duration_since(at).as_micros();
            let ticks = (passed * u128::from(self.codec.clock_rate) / 1_000_000) as u32;
            self.timestamp_shift = highest.wrapping_add(ticks.max(1)).wrapping_sub(timestamp);
        }
        self.identity.change(now, self.stats.ssrc());
        if !self.identity.rtx_is_signalled {
            self.rtx = None;
        }
        self.stats.change_source(ssrc);
        self.frames = FrameReader::new(self.codec.kind);
    }

    /// The sender of the stream said goodbye (RFC 3550 §6.6).
    pub(crate) fn on_bye(&mut self) {
        self.identity.has_left = true;
    }

    /// Takes note of a sender report; see [`RecvStreamStats::handle_sender_report`].
    pub(crate) fn handle_sender_report(&mut self, now: Instant, ntp: u64, rtp_timestamp: u32) {
        self.stats.handle_sender_report(now, ntp, rtp_timestamp.wrapping_add(self.timestamp_shift));
    }

    /// Takes note of `abs-capture-time` on a packet with this timestamp.
    pub(crate) fn handle_abs_capture_time(&mut self, rtp_timestamp: u32, time: AbsCaptureTime) {
        self.stats.handle_abs_capture_time(rtp_timestamp.wrapping_add(self.timestamp_shift), time);
    }

    /// Pictures that came since the last look for streams that have ended.
    pub(crate) fn pictures_since_check(&self) -> u32 {
        self.pictures.wrapping_sub(self.pictures_seen)
    }

    /// Notes which layers have not come for a while although the stream did, and, given how many pictures came of the
    /// Producer's other streams since the last time, whether those go on without this one. True when something has ended, or
    /// the stream can be aligned with the others now because its sender has no clock to be waited for.
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

    /// Whether its packets come, or would if there was something to show.
    pub(crate) fn is_alive(&self) -> bool {
        self.last_packet_at.is_some()
            && match self.presence {
                Presence::Present => self.score.score() > 0,
                Presence::Silent => true,
                Presence::Ended => false,
            }
    }

    /// Its bitrate; while it is silent, what it was before.
    pub(crate) fn bitrate(&mut self, now: Instant) -> Bitrate {
        let measured = self.stats.bitrate(now);
        if !measured.is_zero() {
            self.known_bitrate = measured;
        }
        self.known_bitrate
    }

    /// Whether it can be told when its newest packet was captured: by the sender's reports or, if those don't tell, by when
    /// it came.
    pub(crate) fn is_alignable(&self) -> bool {
        let newest = self.stats.highest_timestamp();
        newest.is_some_and(|(timestamp, _)| self.stats.capture_ntp(timestamp).is_some())
            || self.stats.lacks_clock()
    }

    /// Number of spatial layers within the stream, as signalled.
    pub(crate) fn spatial_layers(&self) -> u8 {
        self.layer_counts.0
    }

    /// Number of temporal layers, as signalled.
    pub(crate) fn temporal_layers(&self) -> u8 {
        self.layer_counts.1
    }

    /// A key frame may have several packets that say so: parameter sets come first.
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

    /// Packets behind `first` that came before it and are not among `later` arrivals of the batch: a consumer that
    /// starts with `first` has left them to wait.
    pub(crate) fn overtakers<'a>(&'a self, first: u64, later: &'a [u64]) -> impl Iterator<Item = u64> + 'a {
        let ahead = (first + 1..=self.highest).take(MAX_OVERTAKERS);
        ahead.filter(move |seq| !later.contains(seq) && self.buffer.get(*seq).is_some())
    }

    /// First packet of a key frame that came not long ago, if it and what came since is still there: a consumer that has
    /// sent nothing yet can start with it.
    pub(crate) fn recent_key_frame(&self, now: Instant) -> Option<u64> {
        let (seq, _, at) = self.newest_key_frame?;
        let is_recent = now.saturating_duration_since(at) <= MAX_BACKLOG_AGE;
        let is_there = self.highest - seq < MAX_BACKLOG && self.buffer.get(seq).is_some();
        (is_recent && is_there).then_some(seq)
    }

    /// Numbers from a recent key frame on, but for those of this batch, which consumers get anyway. Not all of them need
    /// have come.
    pub(crate) fn backlog(&self, now: Instant) -> impl Iterator<Item = u64> + '_ {
        let sources = self.recent_key_frame(now).map(|first| first..=self.highest);
        sources.into_iter().flatten().filter(|seq| !self.arrivals.contains(seq))
    }

    /// Since when its packets wait for the one that ends their frame: the one with the marker bit (RFC 7741 §4.1, RFC
    /// 9628 §4.1 and others alike). `None` when they do not, or when `limit` of them have come.
    pub(crate) fn waits_since(&self, limit: usize) -> Option<Instant> {
        self.frame_since.filter(|_| self.arrivals.len() < limit)
    }

    /// A batch was forwarded: its packets may give way to new ones.
    pub(crate) fn end_batch(&mut self) {
        self.arrivals.clear();
        self.frame_since = None;
        self.buffer.start_batch();
        self.restarted_at = None;
    }

    /// Brings the score up to date after a report. True when it changed.
    pub(crate) fn update_score(&mut self) -> bool {
        let is_silent = self.presence != Presence::Present;
        self.score.update(self.stats.score_totals(), self.rtx.is_some(), is_silent).is_some()
    }

    /// Score in the words of the API.
    pub(crate) fn producer_score(&self) -> ProducerScore {
        ProducerScore {
            encoding_idx: self.encoding_idx as u32,
            ssrc: self.stats.ssrc().0,
            rid: self.rid.clone(),
            score: self.score.score(),
        }
    }

    /// Statistics in the words of the API.
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

    /// Description in the words of the API.
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
