//! A Producer: receives media from one remote endpoint into the router.

pub(crate) mod capture_clock;
pub(crate) mod codec;
pub(crate) mod frames;
pub(crate) mod key_frame_requests;
pub(crate) mod layer_rates;
pub(crate) mod packet_buffer;
pub(crate) mod stream;
pub(crate) mod stream_identity;

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use capture_clock::CaptureClocks;
use codec::{StreamCodec, apt_of, codec_kind_of};
use key_frame_requests::KeyFrameRequests;
use stream::{IncomingPacket, Ingest, ProducerStream, unwrap_rtx};
use stream_identity::LONG_SILENCE;

use crate::api::{MediaTrace, Produce, ProducerDump, ProducerId, ProducerScore, RequestError, StreamType};
use crate::keys::{ConsumerKey, ObserverKey, TransportKey};
use crate::worker::Limits;
use tureen_rtc::receive::rtx_stream::RtxStreamStats;
use tureen_rtc::units::{PayloadType, Ssrc};
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtp::extension::{AbsCaptureTime, MediaId, TransportSequenceNumber, VideoOrientation};
use tureen_rtc::wire::rtp::{Extension, ExtensionIds, RtpHeader};
use tureen_types::data_structures::RtpPacketTraceInfo;
use tureen_types::ortc::{RtpMapping, RtpMappingEncoding};
use tureen_types::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpParameters};

/// Reason of a key frame request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFrameNeed {
    /// A decoder needs a key frame: that of a Consumer, or after losses that no retransmission repaired.
    Decoder,
    /// The stream has begun in the middle of a group of pictures.
    Begun,
}

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) kind: MediaKind,
    pub(crate) transport: TransportKey,
    /// RTP parameters of the remote endpoint.
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) stream_type: StreamType,
    /// True if paused by request.
    pub(crate) paused: bool,
    /// Enabled trace events.
    pub(crate) trace: MediaTrace,
    /// Consumers of this Producer.
    pub(crate) consumers: Vec<ConsumerKey>,
    /// RTP observers of this Producer.
    pub(crate) observers: Vec<ObserverKey>,
    /// Received streams, in the order of their first packets.
    pub(crate) streams: Vec<ProducerStream>,
    /// Merges the key frame requests of the consumers.
    pub(crate) key_frame_requests: KeyFrameRequests,
    /// True if packets of this batch are queued for the consumers.
    pub(crate) queued: bool,
    ids: ExtensionIds,
    rtp_mapping: RtpMapping,
    roles: PayloadRoles,
    orientation: Option<VideoOrientation>,
    ring_bytes: usize,
    retention: Duration,
    ssrc_changes: SsrcChanges,
}

/// Rate limit of SSRC changes of a Producer's streams, because every change requires a key frame for all consumers.
#[derive(Debug)]
struct SsrcChanges {
    /// Changes allowed at once; one more is allowed each second.
    burst: u32,
    left: u32,
    counted_at: Option<Instant>,
}

impl SsrcChanges {
    fn take(&mut self, now: Instant) -> bool {
        let since = *self.counted_at.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            self.left = self.burst.min(self.left.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX)));
            self.counted_at = Some(since + Duration::from_secs(seconds));
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// Rule by which a packet was assigned to its Producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundBy {
    /// The SSRC is known.
    Ssrc,
    /// The packet carries the Producer's MID or RID, or the application assigned the packet.
    Name,
    /// The packet carries no identification, but the transport has no other Producer.
    Elimination,
}

/// Role of each payload type.
#[derive(Debug)]
struct PayloadRoles {
    roles: [Role; 128],
    /// Codec of the payload; for RTX, the codec of the original payload.
    kinds: [CodecKind; 128],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Unknown,
    /// Media, with the router's payload type.
    Media(PayloadType),
    /// Retransmissions, with the router's payload type of the original media.
    Rtx(PayloadType),
}

/// Result of handling a packet, with the events the worker acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handled {
    /// Index of the stream; `None` if the packet belongs to no encoding.
    pub(crate) stream: Option<usize>,
    pub(crate) taken: Ingest,
    /// True if received on an RTX stream.
    pub(crate) retransmission: bool,
    /// True if the payload type was not negotiated: the packet counts as received and is not forwarded.
    pub(crate) undeclared: bool,
    /// Previous SSRC, if this packet changed the SSRC of the stream or of its RTX stream.
    pub(crate) replaced: Option<Ssrc>,
    /// New video orientation, if it changed.
    pub(crate) orientation: Option<VideoOrientation>,
}

impl Producer {
    /// Creates a Producer from a request.
    ///
    /// # Errors
    /// The parameters have no encodings, no media codec or a payload type without mapping.
    pub(crate) fn new(
        request: Produce,
        transport: TransportKey,
        limits: &Limits,
    ) -> Result<Self, RequestError> {
        let parameters = &request.rtp_parameters;
        if parameters.encodings.is_empty() {
            return Err(RequestError::Invalid(format!(
                "empty rtpParameters.encodings of producer {}",
                request.id
            )));
        }
        if request.rtp_mapping.encodings.len() != parameters.encodings.len() {
            let text = format!(
                "rtpMapping.encodings does not match rtpParameters.encodings of producer {}",
                request.id
            );
            return Err(RequestError::Invalid(text));
        }
        let named = |mapping: &RtpMappingEncoding| mapping.ssrc.is_some() || mapping.rid.is_some();
        let by_mid = parameters.mid.is_some() && parameters.encodings.len() == 1;
        if !by_mid && !request.rtp_mapping.encodings.iter().all(named) {
            let text = format!("rtpMapping.encodings of producer {} lack ssrc, rid and mid", request.id);
            return Err(RequestError::Invalid(text));
        }
        let Some(codec) = StreamCodec::of_encoding(parameters, parameters.encodings.first()) else {
            return Err(RequestError::Invalid(format!(
                "no media codec in rtpParameters of producer {}",
                request.id
            )));
        };
        let stream_type = stream_type(&parameters.encodings);
        if stream_type != StreamType::Simple && !codec.has_layers() {
            let text = format!(
                "{:?} codec not supported for {stream_type:?} producer {}",
                codec.mime_type, request.id
            );
            return Err(RequestError::Invalid(text));
        }
        Ok(Self {
            roles: PayloadRoles::new(parameters, &request.rtp_mapping),
            ids: ExtensionIds::new(&parameters.header_extensions),
            stream_type,
            id: request.id,
            kind: request.kind,
            transport,
            paused: request.paused,
            trace: MediaTrace::default(),
            consumers: Vec::new(),
            observers: Vec::new(),
            streams: Vec::new(),
            key_frame_requests: KeyFrameRequests::new(request.key_frame_request_delay),
            queued: false,
            rtp_mapping: request.rtp_mapping,
            rtp_parameters: request.rtp_parameters,
            orientation: None,
            ring_bytes: limits.retransmission_bytes,
            retention: limits.retransmission_age,
            ssrc_changes: SsrcChanges {
                burst: limits.ssrc_changes,
                left: limits.ssrc_changes,
                counted_at: None,
            },
        })
    }

    /// Ids of the header extensions of the remote endpoint.
    pub(crate) fn extension_ids(&self) -> &ExtensionIds {
        &self.ids
    }

    /// RTCP canonical name of the remote endpoint.
    pub(crate) fn cname(&self) -> &str {
        self.rtp_parameters.rtcp.cname.as_deref().unwrap_or_default()
    }

    /// Handles a decrypted packet; `clocks` are the capture clocks of the transport's senders.
    pub(crate) fn handle_rtp(
        &mut self,
        now: Instant,
        found_by: FoundBy,
        header: &RtpHeader,
        packet: &[u8],
        clocks: &mut CaptureClocks,
    ) -> Handled {
        let mut handled = Handled {
            stream: None,
            taken: Ingest::Discarded,
            retransmission: false,
            undeclared: false,
            replaced: None,
            orientation: None,
        };
        let (role, kind) = self.roles.of(header.payload_type);
        let Some(index) = self.stream_of(now, found_by, header, packet, role, &mut handled.replaced) else {
            self.leave_out(now, header, packet, &mut handled);
            return handled;
        };
        handled.stream = Some(index);
        let Ok(payload) = header.payload_range(packet).map(|range| &packet[range]) else { return handled };
        let stream = &mut self.streams[index];
        let incoming = match role {
            Role::Media(mapped) => IncomingPacket {
                header,
                packet,
                payload,
                seq: header.sequence_number,
                kind,
                mapped_payload_type: mapped,
                retransmission: false,
            },
            Role::Rtx(mapped) => {
                handled.retransmission = true;
                if let Some(rtx) = &mut stream.rtx {
                    rtx.on_heard(now);
                    if rtx.handle_packet(header.sequence_number).accepted().is_none() {
                        return handled;
                    }
                }
                // Padding probes of the sender arrive on the RTX stream without an original packet.
                let Some((seq, payload)) = unwrap_rtx(payload) else { return handled };
                IncomingPacket {
                    header,
                    packet,
                    payload,
                    seq,
                    kind,
                    mapped_payload_type: mapped,
                    retransmission: true,
                }
            }
            Role::Unknown => return handled,
        };
        let capture = self.ids[Extension::AbsCaptureTime]
            .and_then(|id| header.read::<AbsCaptureTime>(packet, Some(id)));
        let mut space = [0; 16];
        let forwarded_capture = capture.and_then(|capture| {
            let cname = self.rtp_parameters.rtcp.cname.as_deref().unwrap_or_default();
            let forwarded = clocks.get_mut(cname)?.forwarded(capture)?;
            Some(forwarded.write(&mut space))
        });
        let elements = forwarded_elements(header, packet, &self.ids, forwarded_capture);
        handled.taken = stream.handle_packet(now, &incoming, elements);
        if let Some(capture) = capture
            && handled.taken != Ingest::Discarded
            && !handled.retransmission
        {
            stream.handle_abs_capture_time(header.timestamp, capture);
        }
        if let Ingest::Stored { key_frame, .. } = handled.taken {
            if key_frame {
                self.key_frame_requests.key_frame_received(stream.stats.ssrc());
            }
            if self.kind == MediaKind::Video {
                handled.orientation = self.turned(header, packet);
            }
        }
        handled
    }

    /// Handles a packet with an undeclared payload type in a stream, such as forward error correction or comfort noise
    /// that was not negotiated. The packet's sequence number counts as received, so that it is neither requested by
    /// NACK nor a gap for the consumers, which skip the packet like padding.
    #[cold]
    fn leave_out(&mut self, now: Instant, header: &RtpHeader, packet: &[u8], handled: &mut Handled) {
        let (ssrc, seq) = (header.ssrc, header.sequence_number);
        if let Some(index) = self.streams.iter().position(|stream| stream.stats.ssrc() == ssrc) {
            let incoming = IncomingPacket {
                header,
                packet,
                payload: &[],
                seq,
                kind: CodecKind::Other,
                mapped_payload_type: header.payload_type,
                retransmission: false,
            };
            handled.stream = Some(index);
            handled.undeclared = true;
            handled.taken = self.streams[index].handle_packet(now, &incoming, std::iter::empty());
            return;
        }
        let mut rtx = self.streams.iter_mut().filter_map(|stream| stream.rtx.as_mut());
        if let Some(rtx) = rtx.find(|rtx| rtx.ssrc() == ssrc) {
            rtx.handle_packet(seq);
        }
    }

    /// Stream with this media SSRC.
    pub(crate) fn stream_by_ssrc(&mut self, ssrc: Ssrc) -> Option<&mut ProducerStream> {
        self.streams.iter_mut().find(|s| s.stats.ssrc() == ssrc)
    }

    pub(crate) fn scores(&self) -> Vec<ProducerScore> {
        self.streams.iter().map(ProducerStream::producer_score).collect()
    }

    /// Scores in the order of the encodings, 0 for a stream that has not begun.
    pub(crate) fn encoding_scores(&self) -> Vec<u8> {
        let mut scores = vec![0; self.rtp_parameters.encodings.len()];
        for stream in &self.streams {
            scores[stream.encoding_idx] = stream.score.score();
        }
        scores
    }

    /// Requests a key frame of one stream from the remote endpoint. All key frame requests of the engine use this
    /// function; `keyFrameRequestDelay` delays all of them except for a stream that has begun.
    pub(crate) fn request_key_frame(&mut self, now: Instant, ssrc: Ssrc, need: KeyFrameNeed) {
        match need {
            KeyFrameNeed::Decoder => self.key_frame_requests.request(now, ssrc),
            KeyFrameNeed::Begun => self.key_frame_requests.force(now, ssrc),
        }
    }

    /// Checks streams and layers for inactivity. True if a stream or a layer has ended.
    pub(crate) fn check_inactivity(&mut self, now: Instant) -> bool {
        // As mediasoup: the only stream of a Producer stays alive while silent.
        let has_others = self.rtp_parameters.encodings.len() > 1;
        // The two streams with the most pictures: each stream is compared with the most active of the others.
        let (mut most, mut next) = ((0, usize::MAX), 0);
        for (index, stream) in self.streams.iter().enumerate() {
            let came = stream.pictures_since_check();
            if came > most.0 {
                (most, next) = ((came, index), most.0);
            } else {
                next = next.max(came);
            }
        }
        let mut ended = false;
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let elsewhere = if most.1 == index { next } else { most.0 };
            ended |= stream.check_inactivity(now, has_others.then_some(elsewhere));
        }
        ended
    }

    /// True if single streams or layers of the Producer can start and end.
    pub(crate) fn has_layers(&self) -> bool {
        self.stream_type != StreamType::Simple
    }

    /// SSRCs of the streams whose codec has key frames.
    pub(crate) fn key_frame_ssrcs(&self) -> impl Iterator<Item = Ssrc> {
        self.streams.iter().filter(|stream| stream.codec.has_key_frames()).map(|stream| stream.stats.ssrc())
    }

    /// Time of the next NACK retry.
    pub(crate) fn nack_timeout(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|s| s.nack.as_ref()?.poll_timeout()).min()
    }

    /// Prepares the key frame requests that are due; the next feedback poll sends them.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.key_frame_requests.handle_timeout(now);
    }

    /// True if the stream may have feedback to send after a packet. The check is cheap enough for every packet.
    pub(crate) fn has_feedback(&self, stream: Option<usize>) -> bool {
        let nack = stream.and_then(|index| self.streams.get(index)?.nack.as_ref());
        nack.is_some_and(|nack| nack.is_busy()) || self.key_frame_requests.has_requests()
    }

    /// Trace event data of a received packet.
    pub(crate) fn packet_trace(
        &self,
        header: &RtpHeader,
        packet: &[u8],
        handled: &Handled,
    ) -> RtpPacketTraceInfo {
        let stored = handled.stream.and_then(|index| match handled.taken {
            Ingest::Stored { seq, .. } => self.streams.get(index)?.buffer.get(seq),
            Ingest::Discarded => None,
        });
        let frame = stored.map(|packet| packet.info.frame).unwrap_or_default();
        let text = |id| header.read::<MediaId<'_>>(packet, id).map(|value| value.0.to_owned());
        let wide =
            header.read::<TransportSequenceNumber>(packet, self.ids[Extension::TransportWideCcDraft01]);
        RtpPacketTraceInfo {
            payload_type: header.payload_type.0,
            sequence_number: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            ssrc: header.ssrc.0,
            is_key_frame: handled.taken.is_key_frame(),
            size: packet.len() as u32,
            payload_size: header.payload_range(packet).map_or(0, |range| range.len() as u32),
            spatial_layer: frame.spatial_layer,
            temporal_layer: frame.temporal_layer,
            mid: text(self.ids[Extension::Mid]),
            rid: text(self.ids[Extension::RtpStreamId]),
            rrid: text(self.ids[Extension::RepairRtpStreamId]),
            wide_sequence_number: wide.map(|seq| seq.0),
            is_rtx: handled.retransmission,
        }
    }

    pub(crate) fn dump(&self) -> ProducerDump {
        let cname = self.cname();
        ProducerDump {
            id: self.id.clone(),
            kind: self.kind,
            stream_type: self.stream_type,
            rtp_parameters: self.rtp_parameters.clone(),
            rtp_mapping: self.rtp_mapping.clone(),
            rtp_streams: self.streams.iter().map(|s| s.dump(cname)).collect(),
            trace: self.trace,
            paused: self.paused,
        }
    }

    /// Index of the packet's stream; the first packet creates the stream. `replaced` receives the previous SSRC if the
    /// packet's SSRC replaces that.
    #[inline]
    fn stream_of(
        &mut self,
        now: Instant,
        found_by: FoundBy,
        header: &RtpHeader,
        packet: &[u8],
        role: Role,
        replaced: &mut Option<Ssrc>,
    ) -> Option<usize> {
        let ssrc = header.ssrc;
        let by_media = |s: &ProducerStream| s.stats.ssrc() == ssrc;
        let by_rtx = |s: &ProducerStream| s.rtx.as_ref().is_some_and(|rtx| rtx.ssrc() == ssrc);
        let known = match role {
            Role::Media(_) => self.streams.iter().position(by_media),
            Role::Rtx(_) => self.streams.iter().position(by_rtx),
            Role::Unknown => return None,
        };
        if known.is_some() {
            return known;
        }
        // Media and RTX streams have separate sequence number spaces, and so SSRCs of their own (RFC 4588 §4).
        if self.streams.iter().any(|stream| by_media(stream) || by_rtx(stream)) {
            return None;
        }
        match role {
            Role::Rtx(_) => self.new_rtx(now, header, packet, replaced),
            _ => self.new_media(now, found_by, header, packet, replaced),
        }
    }

    /// Handles media with an unknown SSRC: the SSRC starts a stream or replaces the SSRC of one.
    #[cold]
    fn new_media(
        &mut self,
        now: Instant,
        found_by: FoundBy,
        header: &RtpHeader,
        packet: &[u8],
        replaced: &mut Option<Ssrc>,
    ) -> Option<usize> {
        let encoding = self.encoding_of(header, packet, found_by)?;
        let Some(index) = self.streams.iter().position(|s| s.encoding_idx == encoding) else {
            return if found_by == FoundBy::Elimination {
                None
            } else {
                self.start_stream(header.ssrc, encoding)
            };
        };
        let stream = &mut self.streams[index];
        let is_named = found_by == FoundBy::Name;
        if !stream.may_change_ssrc(now, header.ssrc, is_named) || !self.ssrc_changes.take(now) {
            return None;
        }
        *replaced = Some(stream.stats.ssrc());
        stream.change_ssrc(now, header.ssrc, header.timestamp);
        Some(index)
    }

    /// Handles RTX packets with an unknown SSRC.
    #[cold]
    fn new_rtx(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        packet: &[u8],
        replaced: &mut Option<Ssrc>,
    ) -> Option<usize> {
        // RFC 8852 §3.2: the repaired RID identifies the repaired stream. Without the RID, the only stream is assumed.
        let rid = header.read::<MediaId<'_>>(packet, self.ids[Extension::RepairRtpStreamId]);
        let index = match rid {
            Some(rid) => self.streams.iter().position(|s| s.rid.as_deref() == Some(rid.0))?,
            None if self.rtp_parameters.encodings.len() == 1 && self.streams.len() == 1 => 0,
            None => return None,
        };
        let stream = &mut self.streams[index];
        if let Some(rtx) = &stream.rtx {
            let is_silent = rtx.heard_at().is_none_or(|at| now.saturating_duration_since(at) >= LONG_SILENCE);
            if !is_silent || !self.ssrc_changes.take(now) {
                return None;
            }
            *replaced = Some(rtx.ssrc());
        }
        stream.rtx = Some(RtxStreamStats::new(header.ssrc));
        Some(index)
    }

    fn encoding_of(&self, header: &RtpHeader, packet: &[u8], found_by: FoundBy) -> Option<usize> {
        let encodings = &self.rtp_parameters.encodings;
        if let Some(index) = encodings.iter().position(|e| e.ssrc == Some(header.ssrc.0)) {
            return Some(index);
        }
        let rid = header.read::<MediaId<'_>>(packet, self.ids[Extension::RtpStreamId]);
        if let Some(rid) = rid {
            return encodings.iter().position(|e| e.rid.as_deref() == Some(rid.0));
        }
        let [only] = &encodings[..] else { return None };
        // The MID identified this Producer, or the transport has only one.
        let is_free = only.rid.is_none() && (only.ssrc.is_none() || found_by != FoundBy::Ssrc);
        is_free.then_some(0)
    }

    /// Handles an RTCP BYE for an SSRC.
    pub(crate) fn on_bye(&mut self, ssrc: Ssrc) {
        if let Some(stream) = self.stream_by_ssrc(ssrc) {
            stream.on_bye();
        }
    }

    fn start_stream(&mut self, ssrc: Ssrc, encoding_idx: usize) -> Option<usize> {
        let encoding = &self.rtp_parameters.encodings[encoding_idx];
        let codec = StreamCodec::of_encoding(&self.rtp_parameters, Some(encoding))?;
        self.streams.push(ProducerStream::new(
            ssrc,
            encoding_idx,
            encoding,
            codec,
            self.ring_bytes,
            self.retention,
        ));
        Some(self.streams.len() - 1)
    }

    fn turned(&mut self, header: &RtpHeader, packet: &[u8]) -> Option<VideoOrientation> {
        let orientation = header.read::<VideoOrientation>(packet, self.ids[Extension::VideoOrientation])?;
        if self.orientation == Some(orientation) {
            return None;
        }
        self.orientation = Some(orientation);
        Some(orientation)
    }
}

impl PayloadRoles {
    fn new(parameters: &RtpParameters, mapping: &RtpMapping) -> Self {
        let mut all = Self { roles: [Role::Unknown; 128], kinds: [CodecKind::Other; 128] };
        for entry in &mapping.codecs {
            let from = PayloadType(entry.payload_type & 0x7f);
            let apt = apt_of(parameters, from);
            all.kinds[usize::from(from.0)] = codec_kind_of(parameters, apt.unwrap_or(from));
            all.roles[usize::from(from.0)] = match apt {
                None => Role::Media(PayloadType(entry.mapped_payload_type)),
                Some(media) => match mapping.codecs.iter().find(|c| c.payload_type == media.0) {
                    Some(media) => Role::Rtx(PayloadType(media.mapped_payload_type)),
                    None => Role::Unknown,
                },
            };
        }
        all
    }

    fn of(&self, payload_type: PayloadType) -> (Role, CodecKind) {
        let index = usize::from(payload_type.0 & 0x7f);
        (self.roles[index], self.kinds[index])
    }
}

/// Stream type of these encodings.
fn stream_type(encodings: &[RtpEncodingParameters]) -> StreamType {
    let layered = |encoding: &RtpEncodingParameters| {
        let mode = &encoding.scalability_mode;
        mode.spatial_layers().get() > 1 || mode.temporal_layers().get() > 1
    };
    match encodings {
        [one] if layered(one) => StreamType::Svc,
        [] | [_] => StreamType::Simple,
        _ => StreamType::Simulcast,
    }
}

/// Header extension elements of a packet that are forwarded to consumers; `capture` is the abs-capture-time to forward.
fn forwarded_elements<'a>(
    header: &'a RtpHeader,
    packet: &'a [u8],
    ids: &'a ExtensionIds,
    capture: Option<&'a [u8]>,
) -> impl Iterator<Item = (Extension, &'a [u8])> + Clone {
    header.extensions(packet).filter_map(move |(id, value)| {
        let extension = ids.forwarded(NonZeroU8::new(id)?)?;
        Some((extension, if extension == Extension::AbsCaptureTime { capture? } else { value }))
    })
}
