//! A Consumer: sends the media of one Producer to one remote endpoint.
//!
//! Consumers do nothing while packets are received. When its transport is drained after a batch, each Consumer decides
//! on its Producer's arrivals packet by packet ([`Consumer::decide`], [`Consumer::decide_layered`]) and writes its own
//! header in front of the shared payload.

pub(crate) mod headers;
pub(crate) mod key_frame_allowance;
pub(crate) mod layers;
pub(crate) mod recent_retransmissions;
pub(crate) mod rtp_send_stream;
pub(crate) mod send_stats;
pub(crate) mod sent_log;
pub(crate) mod seq_rewriter;

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use headers::HeaderSettings;
pub use headers::HopByHopExtensions;
use key_frame_allowance::KeyFrameAllowance;
use layers::{Arrival, Decision, LayerCounts, Layered, ssrc_of, stream_of};
use rtp_send_stream::RtpSendStream;
pub(crate) use rtp_send_stream::{Retransmission, Written};
use sent_log::{DescriptorRewrite, SentPacket};
use smallvec::SmallVec;

use crate::allocator::UpgradeBackoff;
use crate::api::{
    Consume, ConsumerDump, ConsumerId, ConsumerLayers, ConsumerScore, MediaTrace, RequestError,
    RtpStreamDump, RtpStreamStats, StreamDirection, StreamType,
};
use crate::keys::{ProducerKey, TransportKey};
use crate::media::producer::codec::{StreamCodec, is_rtx};
use crate::media::producer::packet_buffer::StoredPacket;
use crate::media::producer::stream::ProducerStream;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::codecs::{self, CodecKind, opus};
use tureen_rtc::wire::rtcp::{NtpTime, ReportBlock};
use tureen_rtc::wire::rtp::{Extension, ExtensionIds};
use tureen_types::data_structures::RtpPacketTraceInfo;
use tureen_types::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};

/// One Consumer.
///
/// The fields that every run of packets touches are last, next to the slot map's version, because they share few cache
/// lines that way: with hundreds of consumers no cache holds all of them from one frame to the next.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    /// Weight in the allocation of scarce bandwidth.
    pub(crate) priority: u8,
    /// Backoff of layer upgrades after upgrades that failed.
    pub(crate) upgrade_backoff: UpgradeBackoff,
    /// Allowance of key frame requests of the remote endpoint and of the application.
    pub(crate) asked_key_frames: KeyFrameAllowance,
    /// Allowance of key frame requests for layer switches.
    pub(crate) switch_key_frames: KeyFrameAllowance,
    /// RTP parameters of the outgoing streams.
    pub(crate) rtp_parameters: RtpParameters,
    consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    score: ConsumerScore,
    headers: HeaderSettings,
    /// Send streams: one for each encoding of a pipe consumer, otherwise one.
    pub(crate) send_streams: SmallVec<[RtpSendStream; 1]>,
    pub(crate) producer: ProducerKey,
    pub(crate) transport: TransportKey,
    supported_payload_types: u128,
    /// Layer selection; `None` for simple and pipe consumers.
    pub(crate) layers: Option<Box<Layered>>,
    pub(crate) kind: MediaKind,
    pub(crate) stream_type: StreamType,
    /// True if paused by request.
    pub(crate) paused: bool,
    /// True if the Producer is paused.
    pub(crate) producer_paused: bool,
    /// Enabled trace events.
    pub(crate) trace: MediaTrace,
    waits_for_key_frames: bool,
    /// True if Opus DTX packets are dropped.
    ignore_dtx: bool,
}

/// Decision on a packet for a consumer without layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Forward the packet with this extended sequence number; the stream starts or resynchronises with the packet.
    Start(u64),
    /// Forward the packet with this extended sequence number.
    Forward(u64),
    /// Drop the packet.
    Drop,
    /// Drop the packet, because the stream can only start with a key frame.
    WaitForKeyFrame,
}

impl Consumer {
    /// Creates a Consumer from a request. `random` makes the first sequence numbers unpredictable.
    ///
    /// # Errors
    /// The parameters have no encoding with an SSRC, no media codec, or layers that do not match the Producer's
    /// encodings.
    pub(crate) fn new(
        request: Consume,
        producer: ProducerKey,
        transport: TransportKey,
        producer_paused: bool,
        random: u64,
    ) -> Result<Self, RequestError> {
        let parameters = &request.rtp_parameters;
        let consumable = &request.consumable_rtp_encodings;
        let invalid = |what: &str| RequestError::Invalid(format!("{what} of consumer {}", request.id));
        let Some(encoding) = parameters.encodings.first() else {
            return Err(invalid("empty rtpParameters.encodings"));
        };
        let is_pipe = request.stream_type == StreamType::Pipe;
        if is_pipe && parameters.encodings.len() != consumable.len() {
            return Err(invalid(
                "number of rtpParameters.encodings and consumableRtpEncodings do not match, those",
            ));
        }
        let used = if is_pipe { &parameters.encodings[..] } else { std::slice::from_ref(encoding) };
        let mut send_streams = SmallVec::<[RtpSendStream; 1]>::with_capacity(used.len());
        for (encoding, shift) in used.iter().zip(0u32..) {
            let codec = StreamCodec::of_encoding(parameters, Some(encoding))
                .ok_or_else(|| invalid("no media codec in the parameters"))?;
            let send_stream = RtpSendStream::new(encoding, codec, random.rotate_left(shift % 64));
            send_streams.push(send_stream.ok_or_else(|| invalid("no ssrc in an encoding"))?);
        }
        let codec = send_streams[0].codec().clone();
        let stream_type = if is_pipe { StreamType::Pipe } else { stream_type(consumable) };
        let mode = &encoding.scalability_mode;
        let counts =
            LayerCounts { spatial: mode.spatial_layers().get(), temporal: mode.temporal_layers().get() };
        let layered = |simulcast| {
            let wanted = request.preferred_layers;
            Box::new(Layered::new(
                simulcast,
                codec.kind,
                counts,
                mode.ksvc(),
                wanted,
                random.rotate_right(13),
            ))
        };
        let layers = match stream_type {
            StreamType::Simulcast if usize::from(counts.spatial) != consumable.len() => {
                return Err(invalid(
                    "spatial layers do not match the number of consumableRtpEncodings, those",
                ));
            }
            StreamType::Simulcast => Some(layered(true)),
            StreamType::Svc => Some(layered(false)),
            StreamType::Simple | StreamType::Pipe => None,
        };
        let supported = parameters.codecs.iter().filter(|c| !is_rtx(&c.mime_type()));
        let supported_payload_types = supported.fold(0u128, |set, c| set | 1 << (c.payload_type() & 0x7f));
        let mid = parameters.mid.as_deref().filter(|mid| !mid.is_empty());
        Ok(Self {
            send_streams,
            layers,
            headers: HeaderSettings::new(ExtensionIds::new(&parameters.header_extensions), mid),
            supported_payload_types,
            waits_for_key_frames: codec.has_key_frames() && codecs::can_be_key_frame(codec.kind),
            ignore_dtx: request.ignore_dtx && codec.kind == CodecKind::Opus,
            id: request.id,
            kind: request.kind,
            producer,
            transport,
            stream_type,
            paused: request.paused,
            producer_paused,
            priority: 1,
            upgrade_backoff: UpgradeBackoff::default(),
            asked_key_frames: KeyFrameAllowance::default(),
            switch_key_frames: KeyFrameAllowance::default(),
            trace: MediaTrace::default(),
            consumable_rtp_encodings: request.consumable_rtp_encodings,
            rtp_parameters: request.rtp_parameters,
            score: ConsumerScore { score: 10, producer_score: 0, producer_scores: Vec::new() },
        })
    }

    /// True if neither the Consumer nor its Producer is paused.
    pub(crate) fn is_active(&self) -> bool {
        !self.paused && !self.producer_paused
    }

    /// SSRCs of the send streams and of their RTX streams.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + '_ {
        self.send_streams
            .iter()
            .flat_map(|send_stream| [Some(send_stream.stats.ssrc), send_stream.rtx_ssrc()])
            .flatten()
    }

    /// Continues the SRTP indices of earlier streams with the same SSRCs: see [`RtpSendStream::continue_from`].
    pub(crate) fn continue_from(&mut self, next_index: impl Fn(Ssrc) -> Option<u64>) {
        for send_stream in &mut self.send_streams {
            send_stream.continue_from(&next_index);
        }
    }

    /// SSRCs in use, each with the SRTP index of its next packet.
    pub(crate) fn used_indices(&self) -> impl Iterator<Item = (Ssrc, u64)> {
        self.send_streams.iter().flat_map(RtpSendStream::used_indices)
    }

    /// Send stream with this media SSRC; RTX SSRCs do not match.
    pub(crate) fn send_stream_of(&mut self, ssrc: Ssrc) -> Option<&mut RtpSendStream> {
        self.send_streams.iter_mut().find(|send_stream| send_stream.stats.ssrc == ssrc)
    }

    /// True for video whose Producer is not paused.
    pub(crate) fn has_key_frames(&self) -> bool {
        !self.producer_paused && self.send_streams[0].codec().has_key_frames()
    }

    /// Index of the Producer's stream whose key frame starts this consumer, if nothing was sent yet.
    pub(crate) fn awaited_stream(&self, streams: &[ProducerStream]) -> Option<usize> {
        if !self.is_active() || !self.waits_for_key_frames || self.stream_type == StreamType::Pipe {
            return None;
        }
        if self.send_streams[0].stats.sent().packets > 0 {
            return None;
        }
        let encoding = match &self.layers {
            Some(layers) => layers.awaited()?,
            None => 0,
        };
        streams.iter().position(|stream| stream.encoding_idx == usize::from(encoding))
    }

    /// SSRCs whose key frames let the receiver of a layered consumer resume decoding, or let a paused one start.
    pub(crate) fn key_frame_ssrcs<'a>(
        &'a self,
        streams: &'a [ProducerStream],
    ) -> impl Iterator<Item = Ssrc> + 'a {
        let layers = self.layers.as_deref();
        let next = layers.filter(|_| self.paused).and_then(|layers| layers.best_encoding(streams));
        let encodings = layers.into_iter().flat_map(|layers| layers.key_frame_sources());
        encodings.chain(next).filter_map(|encoding| ssrc_of(streams, encoding))
    }

    /// True if key frame requests are charged to the allowance of this consumer: it has begun to send and is not a
    /// pipe. A pipe consumer is exempt because it forwards the requests of all endpoints behind it.
    pub(crate) fn has_key_frame_allowance(&self) -> bool {
        self.stream_type != StreamType::Pipe && self.send_streams[0].stats.sent().packets > 0
    }

    /// Makes the next packet a resynchronisation: after a pause, a reconnection or a change of the source stream.
    pub(crate) fn require_sync(&mut self) {
        for send_stream in &mut self.send_streams {
            send_stream.sync_required = true;
        }
        if let Some(layers) = &mut self.layers {
            layers.require_sync();
        }
    }

    /// Resynchronises after a restart of one of the Producer's streams.
    pub(crate) fn on_restart(&mut self, encoding: usize) {
        match &mut self.layers {
            Some(layers) => layers.on_restart(encoding as u8, &mut self.send_streams[0].rewriter),
            None => {
                let send_stream = if self.stream_type == StreamType::Pipe { encoding } else { 0 };
                if let Some(send_stream) = self.send_streams.get_mut(send_stream) {
                    send_stream.sync_required = true;
                }
            }
        }
    }

    /// True if this layered consumer decides on packets of this encoding.
    pub(crate) fn reads(&self, encoding: usize) -> bool {
        let rewriter = &self.send_streams[0].rewriter;
        self.layers.as_ref().is_some_and(|layers| layers.reads(encoding as u8, rewriter))
    }

    /// Decides on a packet for a consumer without layers. The caller passes each packet once, in order of arrival,
    /// because the decision advances the outgoing sequence numbers.
    #[inline]
    pub(crate) fn decide(&mut self, send_stream: usize, packet: &StoredPacket<'_>) -> Verdict {
        let supported = self.supports(packet);
        let RtpSendStream { rewriter, sync_required, .. } = &mut self.send_streams[send_stream];
        let source = packet.info.seq;
        if !supported {
            if !*sync_required {
                rewriter.skip(source);
            }
            return Verdict::Drop;
        }
        if *sync_required {
            if packet.payload.is_empty() {
                return Verdict::Drop;
            }
            if self.waits_for_key_frames && !packet.info.key_frame {
                return Verdict::WaitForKeyFrame;
            }
            rewriter.sync(source);
            *sync_required = false;
            return rewriter.forward(source).map_or(Verdict::Drop, Verdict::Start);
        }
        if packet.payload.is_empty() || (self.ignore_dtx && is_opus_dtx(packet.payload)) {
            // Padding-only packets are the sender's bandwidth probes, which serve no purpose past this hop.
            rewriter.skip(source);
            return Verdict::Drop;
        }
        rewriter.forward(source).map_or(Verdict::Drop, Verdict::Forward)
    }

    /// Like [`decide`](Self::decide), for a consumer with layers.
    pub(crate) fn decide_layered(&mut self, now: Instant, arrival: &Arrival<'_>) -> Decision {
        let supported = self.supports(arrival.packet);
        let Some(layers) = &mut self.layers else { return Decision::Drop };
        let rewriter = &mut self.send_streams[0].rewriter;
        if !supported {
            layers.leave_out(arrival, rewriter);
            return Decision::Drop;
        }
        layers.decide(now, arrival, rewriter)
    }

    /// True if the packet is forwarded when no layers are dropped.
    fn sends(&self, packet: &StoredPacket<'_>) -> bool {
        let is_dtx = || self.ignore_dtx && is_opus_dtx(packet.payload);
        self.supports(packet) && !packet.payload.is_empty() && !is_dtx()
    }

    fn supports(&self, packet: &StoredPacket<'_>) -> bool {
        self.supported_payload_types >> (packet.info.payload_type & 0x7f) & 1 == 1
    }

    /// Writes the header of a packet that is sent for the first time. `None` if the buffer is too small.
    #[inline(always)]
    pub(crate) fn write_header(
        &mut self,
        send_stream: usize,
        packet: &StoredPacket<'_>,
        sent: &SentPacket,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Option<Written> {
        self.send_streams[send_stream].write_header(&self.headers, packet, sent, hop, buffer).ok()
    }

    /// True if trace events of single packets are enabled.
    pub(crate) fn traces_packets(&self) -> bool {
        self.trace.rtp || self.trace.key_frame
    }

    /// Trace event data of a sent packet.
    pub(crate) fn packet_trace(
        &self,
        packet: &StoredPacket<'_>,
        written: &Written,
        hop: HopByHopExtensions,
        is_rtx: bool,
    ) -> RtpPacketTraceInfo {
        let mid = self.headers.mid().map(|(_, mid)| String::from_utf8_lossy(mid).into_owned());
        let payload_len = packet.payload.len() - written.replaced + written.front_len;
        RtpPacketTraceInfo {
            payload_type: packet.info.payload_type,
            sequence_number: written.index as u16,
            timestamp: written.timestamp,
            marker: packet.info.marker,
            ssrc: written.ssrc.0,
            is_key_frame: packet.info.key_frame,
            size: (written.header_len + payload_len) as u32,
            payload_size: payload_len as u32,
            spatial_layer: packet.info.frame.spatial_layer,
            temporal_layer: packet.info.frame.temporal_layer,
            mid,
            rid: None,
            rrid: None,
            wide_sequence_number: self.uses_transport_seq().then_some(hop.transport_seq.0),
            is_rtx,
        }
    }

    /// Writes the header of a retransmission: RTX if negotiated, otherwise the original header. `None` if the header
    /// values of the original are no longer known.
    pub(crate) fn write_retransmission_header(
        &mut self,
        packet: &StoredPacket<'_>,
        retransmission: Retransmission,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Option<Written> {
        let sent = match &self.layers {
            Some(layers) => *layers.log.get(retransmission.output)?,
            None => unchanged(packet, retransmission.output),
        };
        let send_stream = self.send_streams.get_mut(usize::from(retransmission.send_stream))?;
        send_stream.write_retransmission_header(&self.headers, packet, &sent, hop, buffer)
    }

    /// Writes a padding-only probe packet: see [`RtpSendStream::write_padding`].
    pub(crate) fn write_padding(
        &mut self,
        padding: NonZeroU8,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Option<Written> {
        self.send_streams[0].write_padding(&self.headers, padding, hop, buffer)
    }

    /// True if retransmissions or padding of this consumer can serve as probes.
    pub(crate) fn can_probe(&self) -> bool {
        self.is_active() && self.uses_transport_seq() && self.send_streams[0].rtx_ssrc().is_some()
    }

    /// True if a send stream has an RTX stream.
    pub(crate) fn has_rtx(&self, send_stream: u8) -> bool {
        self.send_streams
            .get(usize::from(send_stream))
            .is_some_and(|send_stream| send_stream.rtx_ssrc().is_some())
    }

    /// True if retransmissions of a send stream repeat the original packet bit for bit.
    #[inline]
    pub(crate) fn repeats_exactly(&self, send_stream: usize) -> bool {
        self.send_streams[send_stream].repeats_exactly()
    }

    /// True if a packet of a send stream was sent after packets that follow it in sequence, because it had to be
    /// recovered first.
    pub(crate) fn is_late(&self, send_stream: usize, sent: &SentPacket) -> bool {
        sent.output < self.send_streams[send_stream].rewriter.highest_output()
    }

    /// Ids of the header extensions of the outgoing packets.
    pub(crate) fn header_ids(&self) -> &ExtensionIds {
        self.headers.ids()
    }

    /// True if packets carry a transport-wide sequence number.
    pub(crate) fn uses_transport_seq(&self) -> bool {
        self.headers.ids()[Extension::TransportWideCcDraft01].is_some()
    }

    /// Handles a NACK for `ssrc`: appends the packets to retransmit and returns the number of packets in the NACK.
    /// Packets retransmitted less than about one round trip time ago are skipped
    /// ([`RecentRetransmissions`](recent_retransmissions::RecentRetransmissions)), because the remote endpoint could
    /// not have received them before it sent the NACK.
    pub(crate) fn on_nack(
        &mut self,
        now: Instant,
        ssrc: Ssrc,
        lost: impl Iterator<Item = u16>,
        streams: &[ProducerStream],
        out: &mut Vec<Retransmission>,
    ) -> usize {
        let Some(index) = self.send_streams.iter().position(|send_stream| send_stream.stats.ssrc == ssrc)
        else {
            return 0;
        };
        if !self.send_streams[index].codec().nack {
            return 0;
        }
        let measured_rtt = self.send_streams[index].stats.remote_report().round_trip_time;
        let known_rtt = measured_rtt.unwrap_or(Duration::ZERO);
        self.send_streams[index].stats.nacks.0 += 1;
        // Expired retransmissions are removed first, because `admit` refuses packets that are in flight.
        self.send_streams[index].retransmissions.forget_old(now, measured_rtt);
        let mut named = 0;
        for seq in lost {
            named += 1;
            let Some(retransmission) = self.sent_as(index, seq, streams) else { continue };
            let Some(stream) = streams.get(usize::from(retransmission.stream)) else { continue };
            let Some(packet) = stream.buffer.get_recent(now, retransmission.source) else { continue };
            // The sequence number was skipped before this packet arrived, so the packet was never forwarded.
            if !self.sends(&packet) {
                continue;
            }
            // A packet that arrived late may have been forwarded after the remote endpoint sent the NACK: no
            // retransmission needed.
            let on_its_way = now.saturating_duration_since(packet.received_at) < known_rtt / 2;
            if !on_its_way && self.send_streams[index].retransmissions.admit(now, retransmission.output) {
                out.push(retransmission);
            }
        }
        self.send_streams[index].stats.nacks.1 += named as u64;
        named
    }

    /// True if a lost packet may be retransmitted before a NACK; the retransmission is then recorded as sent.
    pub(crate) fn may_retransmit(&mut self, now: Instant, retransmission: Retransmission) -> bool {
        let is_active = self.is_active();
        let Some(send_stream) =
            self.send_streams.get_mut(usize::from(retransmission.send_stream)).filter(|_| is_active)
        else {
            return false;
        };
        let rtt = send_stream.stats.remote_report().round_trip_time;
        send_stream.retransmissions.forget_old(now, rtt);
        send_stream.retransmissions.admit_unasked(now, retransmission.output)
    }

    /// Retransmission of the packet that was sent with this sequence number.
    fn sent_as(&self, index: usize, seq: u16, streams: &[ProducerStream]) -> Option<Retransmission> {
        let rewriter = &self.send_streams[index].rewriter;
        if let Some(layers) = &self.layers {
            let sent = layers.log.get(rewriter.extend(seq)?)?;
            return Some(Retransmission {
                send_stream: 0,
                stream: sent.stream,
                source: sent.source,
                output: sent.output,
            });
        }
        let stream = if self.stream_type == StreamType::Pipe {
            streams.iter().position(|stream| stream.encoding_idx == index)?
        } else {
            0
        };
        let source = rewriter.source_of(seq)?;
        let output = rewriter.output_of(source)?;
        Some(Retransmission { send_stream: index as u8, stream: stream as u8, source, output })
    }

    /// Updates the score from the scores of the Producer's streams, in the order of its encodings; `None` if unchanged.
    pub(crate) fn score_with(&mut self, producer: &[u8]) -> Option<ConsumerScore> {
        let source = match &self.layers {
            Some(layers) => layers.source(),
            None => Some(0),
        };
        let producer_score = match self.stream_type {
            // A pipe forwards every stream; mediasoup reports the best score for it.
            StreamType::Pipe => 10,
            _ => source.and_then(|source| producer.get(usize::from(source))).copied().unwrap_or(0),
        };
        // As mediasoup's RtpStreamSend: the reported loss lowers the score quadratically.
        let own = |send_stream: &RtpSendStream| {
            let lost = f64::from(send_stream.stats.remote_report().fraction_lost) / 256.0;
            (10.0 * (1.0 - lost).powi(2)).round() as u8
        };
        let own = self.send_streams.iter().map(own).min().unwrap_or(0);
        let score = ConsumerScore { score: own, producer_score, producer_scores: producer.to_vec() };
        if score == self.score {
            return None;
        }
        self.score = score.clone();
        Some(score)
    }

    /// Fraction lost in 1/256, as the receiver reports it, if this consumer sends this encoding of the Producer.
    pub(crate) fn remote_loss(&self, encoding: usize) -> Option<u8> {
        let send_stream = match self.stream_type {
            StreamType::Pipe => self.send_streams.get(encoding)?,
            _ if self.layers.as_ref().is_none_or(|layers| layers.source() == Some(encoding as u8)) => {
                &self.send_streams[0]
            }
            _ => return None,
        };
        Some(send_stream.stats.remote_report().fraction_lost)
    }

    /// Score as last updated.
    pub(crate) fn score(&self) -> &ConsumerScore {
        &self.score
    }

    /// Preferred layers; `None` without layers.
    pub(crate) fn preferred_layers(&self) -> Option<ConsumerLayers> {
        self.layers.as_ref().map(|layers| layers.preferred().into())
    }

    /// Target layers; `None` without layers or without a target.
    pub(crate) fn target_layers(&self) -> Option<ConsumerLayers> {
        self.layers.as_ref()?.target().map(Into::into)
    }

    /// Layers being sent; `None` without layers or while none are sent.
    pub(crate) fn current_layers(&self) -> Option<ConsumerLayers> {
        self.layers.as_ref()?.current().map(Into::into)
    }

    pub(crate) fn stats(&mut self, now: Instant, timestamp_ms: u64) -> Vec<RtpStreamStats> {
        let (kind, score) = (self.kind, self.score.score);
        self.send_streams
            .iter_mut()
            .map(|send_stream| outlet_stats(send_stream, now, timestamp_ms, kind, score))
            .collect()
    }

    pub(crate) fn dump(&self, producer_id: crate::api::ProducerId) -> ConsumerDump {
        let rtp = &self.rtp_parameters;
        let stream = |(index, send_stream): (usize, &RtpSendStream)| {
            let encoding = rtp.encodings.get(index);
            let mode = encoding.map(|encoding| encoding.scalability_mode.clone()).unwrap_or_default();
            let codec = send_stream.codec();
            RtpStreamDump {
                encoding_idx: index as u32,
                ssrc: send_stream.stats.ssrc.0,
                payload_type: codec.payload_type.0,
                mime_type: codec.mime_type.as_str().to_owned(),
                clock_rate: codec.clock_rate,
                rid: None,
                cname: rtp.rtcp.cname.clone().unwrap_or_default(),
                rtx_ssrc: send_stream.rtx_ssrc().map(|ssrc| ssrc.0),
                rtx_payload_type: send_stream.rtx_payload_type().map(|pt| pt.0),
                use_nack: codec.nack,
                use_pli: codec.pli,
                use_fir: codec.fir,
                use_in_band_fec: codec.in_band_fec,
                use_dtx: codec.dtx,
                spatial_layers: mode.spatial_layers().get(),
                temporal_layers: mode.temporal_layers().get(),
                score: self.score.score,
            }
        };
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
            rtp_streams: self.send_streams.iter().enumerate().map(stream).collect(),
            trace: self.trace,
            paused: self.paused,
            producer_paused: self.producer_paused,
            priority: self.priority,
            preferred_layers: self.preferred_layers(),
            target_layers: self.target_layers(),
            current_layers: self.current_layers(),
        }
    }

    /// Producer stream that a send stream forwards now, and the offset subtracted from its RTP timestamps.
    pub(crate) fn shown<'a>(
        &self,
        send_stream: usize,
        streams: &'a [ProducerStream],
    ) -> Option<(&'a ProducerStream, u32)> {
        match &self.layers {
            Some(layers) => {
                stream_of(streams, layers.source()?).map(|stream| (stream, layers.timestamp_offset()))
            }
            None => {
                let encoding = if self.stream_type == StreamType::Pipe { send_stream } else { 0 };
                stream_of(streams, encoding as u8).map(|stream| (stream, 0))
            }
        }
    }

    /// RTCP canonical name of the send streams.
    pub(crate) fn cname(&self) -> &str {
        self.rtp_parameters.rtcp.cname.as_deref().unwrap_or_default()
    }

    /// Handles a report block for one of the send streams; returns the round trip time if the block allows its
    /// calculation.
    pub(crate) fn on_receiver_report(&mut self, now: NtpTime, block: &ReportBlock) -> Option<Duration> {
        let send_stream = self.send_stream_of(block.ssrc)?;
        send_stream.stats.on_receiver_report(
            now,
            block.fraction_lost,
            block.total_lost,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last_sender_report,
        )
    }
}

/// A packet that is forwarded unchanged except for its sequence number.
#[inline]
pub(crate) fn unchanged(packet: &StoredPacket<'_>, output: u64) -> SentPacket {
    SentPacket {
        output,
        source: packet.info.seq,
        stream: 0,
        timestamp: packet.info.timestamp,
        marker: packet.info.marker,
        descriptor: DescriptorRewrite::default(),
    }
}

/// Stream type of a consumer that is not a pipe, from the Producer's encodings, as in mediasoup.
fn stream_type(consumable: &[RtpEncodingParameters]) -> StreamType {
    match consumable {
        [one] => {
            let mode = &one.scalability_mode;
            let layered = mode.spatial_layers().get() > 1 || mode.temporal_layers().get() > 1;
            if layered { StreamType::Svc } else { StreamType::Simple }
        }
        [] => StreamType::Simple,
        _ => StreamType::Simulcast,
    }
}

fn outlet_stats(
    send_stream: &mut RtpSendStream,
    now: Instant,
    timestamp_ms: u64,
    kind: MediaKind,
    score: u8,
) -> RtpStreamStats {
    let report = send_stream.stats.remote_report();
    let sent = send_stream.stats.sent();
    RtpStreamStats {
        direction: StreamDirection::Outbound,
        timestamp_ms,
        ssrc: send_stream.stats.ssrc.0,
        rtx_ssrc: send_stream.rtx_ssrc().map(|ssrc| ssrc.0),
        rid: None,
        kind,
        mime_type: send_stream.codec().mime_type.as_str().to_owned(),
        packets_lost: report.packets_lost,
        fraction_lost: report.fraction_lost,
        jitter: report.jitter,
        packets_discarded: 0,
        packets_retransmitted: send_stream.stats.retransmitted().packets,
        packets_repaired: send_stream.retransmissions.repaired(),
        nack_count: send_stream.stats.nacks.0,
        nack_packet_count: send_stream.stats.nacks.1,
        pli_count: send_stream.stats.plis,
        fir_count: send_stream.stats.firs,
        packet_count: sent.packets,
        byte_count: sent.bytes,
        bitrate: send_stream.stats.bitrate(now),
        bitrate_by_layer: Vec::new(),
        rtx_packets_discarded: None,
        round_trip_time_ms: report.round_trip_time.map(|rtt| rtt.as_secs_f32() * 1000.0),
        score,
    }
}

fn is_opus_dtx(payload: &[u8]) -> bool {
    opus::parse(payload).is_some_and(|descriptor| descriptor.dtx)
}
