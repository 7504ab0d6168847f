//! A Consumer: one Producer's media on its way to one remote side.
//!
//! Consumers do nothing while packets come in. After a batch, when its transport is drained, each decides packet by
//! packet what to do with its Producer's arrivals ([`Consumer::decide`]) and writes its own header in front of the shared
//! payload.

pub mod send_stream;
pub mod seq_rewriter;

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use crate::api::{
    Consume, ConsumerDump, ConsumerId, ConsumerLayers, ConsumerScore, MediaTrace, RequestError,
    RtpStreamDump, RtpStreamStats, StreamDirection, StreamType,
};
use crate::keys::{ProducerKey, TransportKey};
use crate::producer::codec::{StreamCodec, is_rtx};
use crate::producer::packet_buffer::{ForwardedExtension, PacketBuffer, StoredPacket};
use crate::types::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};
use crate::units::{PayloadType, Ssrc};
use crate::wire::codecs::{self, CodecKind, opus};
use crate::wire::rtcp::{DlrrEntry, NtpTime, ReportBlock, duration_to_compact};
use crate::wire::rtp::extensions::{AbsSendTime, TransportSequenceNumber};
use crate::wire::rtp::{ExtensionIds, RtpFields, RtpHeaderWriter, RtpWriteError};
use send_stream::SendStream;
use seq_rewriter::SeqRewriter;

/// Extended output numbers start one cycle up; SRTP's rollover counter starts at zero (RFC 3711 §3.3.1).
const FIRST_CYCLE: u64 = 0x1_0000;

/// How many sent packets a stream without RTX remembers, to repeat them exactly.
const REPEATABLE_PACKETS: usize = 128;

/// One Consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Its identifier.
    pub id: ConsumerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// The Producer it reads.
    pub producer: ProducerKey,
    /// The transport it sends on.
    pub transport: TransportKey,
    /// What is sent.
    pub rtp_parameters: RtpParameters,
    /// How it reads its Producer.
    pub stream_type: StreamType,
    /// Paused by request.
    pub paused: bool,
    /// Its Producer is paused.
    pub producer_paused: bool,
    /// Weight when bandwidth is short.
    pub priority: u8,
    /// Traced events.
    pub trace: MediaTrace,
    /// The outgoing stream.
    pub stream: SendStream,
    codec: StreamCodec,
    consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    supported_payload_types: u128,
    /// Leave out Opus packets of discontinuous transmission.
    ignore_dtx: bool,
    ids: ExtensionIds,
    mid: Option<(NonZeroU8, Box<[u8]>)>,
    rewriter: SeqRewriter,
    sync_required: bool,
    rtx: Option<Rtx>,
    repeats: Option<Box<RepeatLog>>,
    recently_resent: Vec<(u64, Instant)>,
    score: ConsumerScore,
    /// Who told its reference time last, which, and when.
    reference_time: Option<(Ssrc, NtpTime, Instant)>,
}

/// Where retransmissions go (RFC 4588).
#[derive(Debug)]
struct Rtx {
    ssrc: Ssrc,
    payload_type: PayloadType,
    next_seq: u64,
}

/// Hop-by-hop header values of recent packets: without RTX a packet that is sent again must be the same bit for bit,
/// because its SRTP index, and with it the cipher's nonce, is the same.
#[derive(Debug)]
struct RepeatLog {
    entries: [HopValues; REPEATABLE_PACKETS],
}

/// Header values that differ from send to send.
#[derive(Clone, Copy, Debug)]
pub struct HopValues {
    output: u64,
    /// abs-send-time.
    pub abs_send_time: AbsSendTime,
    /// Transport-wide sequence number.
    pub transport_seq: TransportSequenceNumber,
}

impl HopValues {
    const NONE: Self = Self {
        output: 0,
        abs_send_time: AbsSendTime::from_bits(0),
        transport_seq: TransportSequenceNumber(0),
    };

    /// The values for a packet that is sent now.
    pub fn new(abs_send_time: AbsSendTime, transport_seq: TransportSequenceNumber) -> Self {
        Self { output: 0, abs_send_time, transport_seq }
    }
}

/// What to do with a packet of the Producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it with this extended sequence number: the stream starts, or starts anew, with it.
    Start(u64),
    /// Send it with this extended sequence number.
    Forward(u64),
    /// Leave it out.
    Drop,
    /// Leave it out; the stream can only start with a key frame.
    WaitForKeyFrame,
}

/// A header that was written, and how the packet is to be sealed.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Length of the header.
    pub header_len: usize,
    /// SSRC.
    pub ssrc: Ssrc,
    /// SRTP packet index.
    pub index: u64,
    /// Original sequence number in front of the payload of a retransmission.
    pub original_seq: Option<u16>,
}

/// What a NACK asks to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend {
    /// Number in the Producer's stream.
    pub source: u64,
    /// Number that the remote side knows.
    pub output: u64,
}

impl Consumer {
    /// Makes a Consumer from a request. `random` makes the first sequence numbers unpredictable.
    ///
    /// # Errors
    /// Parameters without an encoding with an SSRC, or without a media codec.
    pub fn new(
        request: Consume,
        producer: ProducerKey,
        transport: TransportKey,
        producer_paused: bool,
        random: u64,
    ) -> Result<Self, RequestError> {
        let parameters = &request.rtp_parameters;
        let encoding = parameters.encodings.first();
        let Some(ssrc) = encoding.and_then(|e| e.ssrc) else {
            return Err(RequestError::Invalid(format!(
                "no ssrc in the first encoding of consumer {}",
                request.id
            )));
        };
        let Some(codec) = StreamCodec::of_encoding(parameters, encoding) else {
            return Err(RequestError::Invalid(format!(
                "no media codec in the parameters of consumer {}",
                request.id
            )));
        };
        let ids = extension_ids(parameters);
        let rtx_ssrc = encoding.and_then(|e| e.rtx.as_ref()).map(|rtx| Ssrc(rtx.ssrc));
        let rtx = rtx_ssrc.zip(codec.rtx_payload_type).map(|(ssrc, payload_type)| Rtx {
            ssrc,
            payload_type,
            next_seq: FIRST_CYCLE + (random >> 16 & 0x7fff),
        });
        let supported = parameters.codecs.iter().filter(|c| !is_rtx(&c.mime_type()));
        let supported_payload_types = supported.fold(0u128, |set, c| set | 1 << (c.payload_type() & 0x7f));
        let mid = parameters.mid.as_deref().filter(|mid| !mid.is_empty());
        Ok(Self {
            stream: SendStream::new(Ssrc(ssrc), codec.clock_rate),
            mid: ids.mid.zip(mid.map(|mid| mid.as_bytes().into())),
            repeats: (codec.nack && rtx.is_none())
                .then(|| Box::new(RepeatLog { entries: [HopValues::NONE; REPEATABLE_PACKETS] })),
            rtx,
            ids,
            supported_payload_types,
            ignore_dtx: request.ignore_dtx && codec.kind == CodecKind::Opus,
            codec,
            rewriter: SeqRewriter::new((random & 0x7fff) as u16),
            sync_required: true,
            recently_resent: Vec::new(),
            reference_time: None,
            id: request.id,
            kind: request.kind,
            producer,
            transport,
            stream_type: request.stream_type,
            paused: request.paused,
            producer_paused,
            priority: 1,
            trace: MediaTrace::default(),
            consumable_rtp_encodings: request.consumable_rtp_encodings,
            rtp_parameters: request.rtp_parameters,
            score: ConsumerScore { score: 10, producer_score: 0, producer_scores: Vec::new() },
        })
    }

    /// Whether anything is to be sent, as far as the Consumer itself knows.
    pub fn is_active(&self) -> bool {
        !self.paused && !self.producer_paused
    }

    /// SSRC of retransmissions.
    pub fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.rtx.as_ref().map(|rtx| rtx.ssrc)
    }

    /// Whether a key frame of the Producer would help now.
    pub fn needs_key_frame(&self) -> bool {
        self.is_active() && self.codec.has_key_frames()
    }

    /// The next packet starts anew: after a pause, a reconnection, or with a new source stream.
    pub fn require_sync(&mut self) {
        self.sync_required = true;
    }

    /// Decides what to do with a packet of the Producer. Each packet is decided once, in order of arrival.
    pub fn decide(&mut self, packet: &StoredPacket<'_>) -> Verdict {
        let source = packet.info.seq;
        if self.supported_payload_types >> (packet.info.payload_type & 0x7f) & 1 == 0 {
            if !self.sync_required {
                self.rewriter.skip(source);
            }
            return Verdict::Drop;
        }
        if self.sync_required {
            if packet.payload.is_empty() {
                return Verdict::Drop;
            }
            if self.codec.has_key_frames()
                && codecs::can_be_key_frame(self.codec.kind)
                && !packet.info.key_frame
            {
                return Verdict::WaitForKeyFrame;
            }
            self.rewriter.sync(source);
            self.sync_required = false;
            return self.rewriter.forward(source).map_or(Verdict::Drop, Verdict::Start);
        }
        if packet.payload.is_empty() || (self.ignore_dtx && is_opus_dtx(packet.payload)) {
            // Padding of the sender's bandwidth probes is of no use further on.
            self.rewriter.skip(source);
            return Verdict::Drop;
        }
        self.rewriter.forward(source).map_or(Verdict::Drop, Verdict::Forward)
    }

    /// Writes the header of a packet on its way out for the first time.
    ///
    /// # Errors
    /// The buffer is too small for the header.
    pub fn write_header(
        &mut self,
        packet: &StoredPacket<'_>,
        output: u64,
        hop: HopValues,
        buffer: &mut [u8],
    ) -> Result<Written, RtpWriteError> {
        if let Some(log) = &mut self.repeats {
            log.entries[output as usize % REPEATABLE_PACKETS] = HopValues { output, ..hop };
        }
        self.write(packet, self.stream.ssrc, packet.info.payload_type, output, hop, None, buffer)
    }

    /// Writes the header of a packet that is sent again: as RTX where that was negotiated, else exactly as before.
    /// `None` when the packet can't be repeated exactly any more.
    pub fn write_resend_header(
        &mut self,
        packet: &StoredPacket<'_>,
        resend: Resend,
        hop: HopValues,
        buffer: &mut [u8],
    ) -> Option<Written> {
        let Some(rtx) = &mut self.rtx else {
            let log = self.repeats.as_ref()?;
            let hop = log.entries[resend.output as usize % REPEATABLE_PACKETS];
            if hop.output != resend.output {
                return None;
            }
            return self
                .write(packet, self.stream.ssrc, packet.info.payload_type, resend.output, hop, None, buffer)
                .ok();
        };
        let (ssrc, payload_type, seq) = (rtx.ssrc, rtx.payload_type.0, rtx.next_seq);
        rtx.next_seq += 1;
        self.write(packet, ssrc, payload_type, seq, hop, Some(resend.output as u16), buffer).ok()
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one header")]
    fn write(
        &self,
        packet: &StoredPacket<'_>,
        ssrc: Ssrc,
        payload_type: u8,
        output: u64,
        hop: HopValues,
        original_seq: Option<u16>,
        buffer: &mut [u8],
    ) -> Result<Written, RtpWriteError> {
        let fields = RtpFields {
            marker: packet.info.marker,
            has_padding: false,
            payload_type: PayloadType(payload_type),
            sequence_number: output as u16,
            timestamp: packet.info.timestamp,
            ssrc,
        };
        let mut writer = RtpHeaderWriter::new(buffer, &fields)?;
        for (kind, value) in packet.elements() {
            if let Some(id) = self.forwarded_id(kind) {
                writer.push(id.get(), value)?;
            }
        }
        if let Some((id, mid)) = &self.mid {
            writer.push(id.get(), mid)?;
        }
        if let Some(id) = self.ids.abs_send_time {
            writer.push(id.get(), &hop.abs_send_time.to_bytes())?;
        }
        if let Some(id) = self.ids.transport_wide_cc {
            writer.push(id.get(), &hop.transport_seq.to_bytes())?;
        }
        let header = writer.finish()?;
        Ok(Written { header_len: header.len, ssrc, index: output - FIRST_CYCLE, original_seq })
    }

    fn forwarded_id(&self, kind: ForwardedExtension) -> Option<NonZeroU8> {
        match kind {
            ForwardedExtension::AudioLevel => self.ids.ssrc_audio_level,
            ForwardedExtension::VideoOrientation => self.ids.video_orientation,
            ForwardedExtension::TimeOffset => self.ids.time_offset,
            ForwardedExtension::AbsCaptureTime => self.ids.abs_capture_time,
            ForwardedExtension::PlayoutDelay => self.ids.playout_delay,
            ForwardedExtension::DependencyDescriptor => self.ids.dependency_descriptor,
            ForwardedExtension::MediasoupPacketId => self.ids.mediasoup_packet_id,
        }
    }

    /// Whether packets carry a transport-wide sequence number.
    pub fn uses_transport_seq(&self) -> bool {
        self.ids.transport_wide_cc.is_some()
    }

    /// A NACK of the remote side: appends what can be sent again. A packet that was sent again less than a round trip
    /// ago is left out: the remote side could not know of it yet.
    pub fn on_nack(
        &mut self,
        now: Instant,
        lost: impl Iterator<Item = u16>,
        buffer: &PacketBuffer,
        out: &mut Vec<Resend>,
    ) {
        if !self.codec.nack {
            return;
        }
        self.stream.nacks.0 += 1;
        let measured_rtt = self.stream.remote_report().round_trip_time;
        let rtt = measured_rtt.unwrap_or(DEFAULT_RTT);
        let known_rtt = measured_rtt.unwrap_or(Duration::ZERO);
        self.recently_resent.retain(|&(_, at)| now.saturating_duration_since(at) < rtt);
        for seq in lost {
            self.stream.nacks.1 += 1;
            let Some(source) = self.rewriter.source_of(seq) else { continue };
            let Some(packet) = buffer.get_recent(now, source) else { continue };
            // A late packet may have been forwarded after the remote side had missed it: it arrives by itself.
            let on_its_way = now.saturating_duration_since(packet.received_at) < known_rtt / 2;
            if on_its_way
                || self.recently_resent.iter().any(|&(resent, _)| resent == source)
                || self.recently_resent.len() >= MAX_RECENTLY_RESENT
            {
                continue;
            }
            let Some(output) = self.rewriter.output_of(source) else { continue };
            self.recently_resent.push((source, now));
            out.push(Resend { source, output });
        }
    }

    /// Current score; `producer` has those of the Producer's streams.
    pub fn score_with(&mut self, producer: &[u8]) -> Option<ConsumerScore> {
        let best = producer.iter().copied().max().unwrap_or(0);
        let lost = f64::from(self.stream.remote_report().fraction_lost) / 256.0;
        // As mediasoup's RtpStreamSend: what was lost beyond repair costs score quadratically.
        let own = (10.0 * (1.0 - lost).powi(2)).round() as u8;
        let score = ConsumerScore { score: own, producer_score: best, producer_scores: producer.to_vec() };
        if score == self.score {
            return None;
        }
        self.score = score.clone();
        Some(score)
    }

    /// The last score.
    pub fn score(&self) -> &ConsumerScore {
        &self.score
    }

    /// Layers sent now: none for a simple stream.
    pub fn current_layers(&self) -> Option<ConsumerLayers> {
        None
    }

    /// Statistics of the outgoing stream.
    pub fn stats(&mut self, now: Instant, timestamp_ms: u64) -> RtpStreamStats {
        let report = self.stream.remote_report();
        let sent = self.stream.sent();
        RtpStreamStats {
            direction: StreamDirection::Outbound,
            timestamp_ms,
            ssrc: self.stream.ssrc.0,
            rtx_ssrc: self.rtx_ssrc().map(|ssrc| ssrc.0),
            rid: None,
            kind: self.kind,
            mime_type: self.codec.mime_type.as_str().to_owned(),
            packets_lost: report.packets_lost,
            fraction_lost: report.fraction_lost,
            jitter: report.jitter,
            packets_discarded: 0,
            packets_retransmitted: self.stream.retransmitted().packets,
            packets_repaired: 0,
            nack_count: self.stream.nacks.0,
            nack_packet_count: self.stream.nacks.1,
            pli_count: self.stream.plis,
            fir_count: self.stream.firs,
            packet_count: sent.packets,
            byte_count: sent.bytes,
            bitrate: self.stream.bitrate(now),
            bitrate_by_layer: Vec::new(),
            rtx_packets_discarded: None,
            round_trip_time_ms: report.round_trip_time.map(|rtt| rtt.as_secs_f32() * 1000.0),
            score: self.score.score,
        }
    }

    /// Description of the Consumer.
    pub fn dump(&self, producer_id: crate::api::ProducerId) -> ConsumerDump {
        let rtp = &self.rtp_parameters;
        ConsumerDump {
            id: self.id.clone(),
            stream_type: self.stream_type,
            producer_id,
            kind: self.kind,
            rtp_parameters: rtp.clone(),
            consumable_rtp_encodings: self.consumable_rtp_encodings.clone(),
            supported_codec_payload_types: (0..128)
                .filter(|pt| self.supported_payload_types >> pt & 1 == 1)
                .collect(),
            rtp_streams: vec![RtpStreamDump {
                encoding_idx: 0,
                ssrc: self.stream.ssrc.0,
                payload_type: self.codec.payload_type.0,
                mime_type: self.codec.mime_type.as_str().to_owned(),
                clock_rate: self.codec.clock_rate,
                rid: None,
                cname: rtp.rtcp.cname.clone().unwrap_or_default(),
                rtx_ssrc: self.rtx_ssrc().map(|ssrc| ssrc.0),
                rtx_payload_type: self.rtx.as_ref().map(|rtx| rtx.payload_type.0),
                use_nack: self.codec.nack,
                use_pli: self.codec.pli,
                use_fir: self.codec.fir,
                use_in_band_fec: self.codec.in_band_fec,
                use_dtx: self.codec.dtx,
                spatial_layers: 1,
                temporal_layers: 1,
                score: self.score.score,
            }],
            trace: self.trace,
            paused: self.paused,
            producer_paused: self.producer_paused,
            priority: self.priority,
            preferred_layers: None,
            target_layers: None,
            current_layers: self.current_layers(),
        }
    }

    /// RTCP canonical name of the outgoing stream.
    pub fn cname(&self) -> &str {
        self.rtp_parameters.rtcp.cname.as_deref().unwrap_or_default()
    }

    /// A receiver of this stream told its reference time (RFC 3611 §4.4).
    pub fn on_reference_time(&mut self, now: Instant, receiver: Ssrc, reference: NtpTime) {
        self.reference_time = Some((receiver, reference, now));
    }

    /// The answer to the last reference time (RFC 3611 §4.5).
    pub fn delay_since_reference_time(&self, now: Instant) -> Option<DlrrEntry> {
        let (ssrc, reference, at) = self.reference_time?;
        let delay = duration_to_compact(now.saturating_duration_since(at));
        Some(DlrrEntry { ssrc, last_reference_time: reference.compact(), delay })
    }

    /// A receiver report about this stream.
    pub fn on_receiver_report(&mut self, now: NtpTime, block: &ReportBlock) {
        self.stream.on_receiver_report(
            now,
            block.fraction_lost,
            block.total_lost,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last_sender_report,
        );
    }
}

fn is_opus_dtx(payload: &[u8]) -> bool {
    opus::parse(payload).is_some_and(|descriptor| descriptor.dtx)
}

/// Assumed until a receiver report tells the round-trip time.
const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// How many packets may be on their way again at once.
const MAX_RECENTLY_RESENT: usize = 512;

/// Negotiated header extension ids of RTP parameters.
pub fn extension_ids(parameters: &RtpParameters) -> ExtensionIds {
    use crate::types::rtp_parameters::RtpHeaderExtensionUri as Uri;
    let mut ids = ExtensionIds::default();
    for extension in &parameters.header_extensions {
        let id = u8::try_from(extension.id).ok().and_then(NonZeroU8::new);
        match extension.uri {
            Uri::Mid => ids.mid = id,
            Uri::RtpStreamId => ids.rid = id,
            Uri::RepairRtpStreamId => ids.repaired_rid = id,
            Uri::AbsSendTime => ids.abs_send_time = id,
            Uri::TransportWideCcDraft01 => ids.transport_wide_cc = id,
            Uri::SsrcAudioLevel => ids.ssrc_audio_level = id,
            Uri::DependencyDescriptor => ids.dependency_descriptor = id,
            Uri::VideoOrientation => ids.video_orientation = id,
            Uri::AbsCaptureTime => ids.abs_capture_time = id,
            Uri::PlayoutDelay => ids.playout_delay = id,
            Uri::MediasoupPacketId => ids.mediasoup_packet_id = id,
        }
    }
    ids
}
