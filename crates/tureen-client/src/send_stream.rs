//! Outgoing RTP stream and its retransmissions.

use std::time::{Duration, Instant};

use tureen_rtc::srtp::SrtpSealer;
use tureen_rtc::units::{PayloadType, Ssrc};
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtcp::{NtpTime, SenderInfo};
use tureen_rtc::wire::rtp::extension::{AbsSendTime, AudioLevel, TransportSequenceNumber};
use tureen_rtc::wire::rtp::{
    Extension, ExtensionIds, FIXED_HEADER_LEN, RTX_OSN_LEN, RtpFields, RtpHeaderWriter,
};

use crate::frames::{DEFAULT_MAX_PAYLOAD, FrameError, FrameInfo, OutgoingFrame, Packetizer, Payloads};
use crate::session::SessionError;

/// Longest payload of [`Session::send_rtp`](crate::Session::send_rtp), in bytes.
pub const MAX_PAYLOAD: usize = 1400;

/// Time in addition to a round trip within which a repeated NACK is ignored.
const RESEND_MARGIN: Duration = Duration::from_millis(5);

/// Packets of video that are buffered.
const VIDEO_PACKETS: usize = 512;

/// Longest MID or RID.
pub const MAX_MEDIA_ID: usize = 32;

/// Settings of an outgoing stream.
#[derive(Clone, Debug)]
pub struct SendStreamConfig {
    /// SSRC of the media packets.
    pub ssrc: u32,
    /// Payload type of the media packets.
    pub payload_type: u8,
    /// Retransmissions by RTX. `None` ignores NACKs.
    pub rtx: Option<Rtx>,
    /// Clock rate in Hz.
    pub clock_rate: u32,
    /// Codec of the frames of [`Session::send_frame`](crate::Session::send_frame). [`CodecKind::Other`] allows packets
    /// only.
    pub codec: CodecKind,
    /// Longest payload of a frame's packets, clamped to 32 to [`MAX_PAYLOAD`] bytes.
    pub max_frame_payload: usize,
    /// Negotiated ids of the header extensions to write.
    pub extension_ids: ExtensionIds,
    /// MID, at most [`MAX_MEDIA_ID`] printable characters. Packets contain it until the server has reported on the
    /// stream, and retransmissions until it has reported on these.
    pub mid: Option<String>,
    /// RTP stream id, with the limits of `mid`.
    pub rid: Option<String>,
    /// First sequence number. `None` draws a random one below 32768, so that losses at the start cannot make the server
    /// miss a wrap (RFC 3711 §3.3.1).
    pub first_sequence_number: Option<u16>,
    /// Number of packets that are stored until they are sent and for retransmission, at least 16. Each costs the size
    /// of its payload.
    pub buffered_packets: usize,
}

impl SendStreamConfig {
    /// Creates settings of a stream without RTX, extensions, MID and RID, with a buffer of 64 packets.
    pub fn new(ssrc: u32, payload_type: u8, clock_rate: u32) -> Self {
        Self {
            ssrc,
            payload_type,
            rtx: None,
            clock_rate,
            codec: CodecKind::Other,
            max_frame_payload: DEFAULT_MAX_PAYLOAD,
            extension_ids: ExtensionIds::default(),
            mid: None,
            rid: None,
            first_sequence_number: None,
            buffered_packets: 64,
        }
    }

    /// Takes whole frames of this codec, and for video buffers at least 512 packets: a key frame may take more than 64.
    pub fn with_frames(self, codec: CodecKind) -> Self {
        let is_video = !matches!(codec, CodecKind::Opus | CodecKind::Other);
        let buffered_packets = self.buffered_packets.max(if is_video { VIDEO_PACKETS } else { 0 });
        Self { codec, buffered_packets, ..self }
    }

    /// Enables retransmissions by RTX, with a buffer of 512 packets: 3 s of video at 1.5 Mbit/s.
    pub fn with_rtx(self, ssrc: u32, payload_type: u8) -> Self {
        Self { rtx: Some(Rtx { ssrc, payload_type }), buffered_packets: VIDEO_PACKETS, ..self }
    }
}

/// SSRC and payload type of retransmissions (RFC 4588).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtx {
    /// SSRC of the retransmissions.
    pub ssrc: u32,
    /// Payload type of the retransmissions.
    pub payload_type: u8,
}

/// Content of an outgoing RTP packet.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRtp<'a> {
    /// Payload, at most [`MAX_PAYLOAD`] bytes.
    pub payload: &'a [u8],
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Audio level, sent if the extension was negotiated.
    pub audio_level: Option<AudioLevel>,
}

/// Counters of an outgoing stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Packets sent, without retransmissions.
    pub packets: u64,
    /// Payload bytes of these packets.
    pub bytes: u64,
    /// Packets retransmitted.
    pub retransmitted: u64,
    /// NACK messages received.
    pub nacks: u64,
    /// Packets named by a NACK that were no longer buffered.
    pub nacked_too_late: u64,
    /// PLI and FIR messages received.
    pub key_frame_requests: u64,
    /// Fraction of lost packets in the last report, in 1/256.
    pub fraction_lost: u8,
    /// Cumulative number of lost packets in the last report.
    pub lost: i32,
}

/// State of an outgoing stream, which numbers, stores and encrypts packets.
#[derive(Debug)]
pub(crate) struct SendStream {
    config: SendStreamConfig,
    packetizer: Option<Packetizer>,
    /// SRTP index of the next packet: rollover counter << 16 | sequence number.
    next_index: u64,
    next_rtx_index: u64,
    /// Slot `index % len` contains packet `index` until a later packet overwrites it.
    ring: Box<[Slot]>,
    /// Number of stored packets that were not sent yet.
    unsent: usize,
    /// RTP timestamp of the newest packet, and the time of its `push`.
    newest: Option<(u32, Instant)>,
    /// True after a report on the stream, by which the server confirms that it knows MID and RID.
    known_to_server: bool,
    /// True after a report on the retransmissions.
    rtx_known_to_server: bool,
    /// Highest sequence number of the last report, with cycles.
    reported_highest: Option<u32>,
    stats: SendStats,
}

#[derive(Debug, Default)]
struct Slot {
    index: Option<u64>,
    timestamp: u32,
    marker: bool,
    audio_level: Option<AudioLevel>,
    resent_at: Option<Instant>,
    payload: Vec<u8>,
}

/// Header extension values that differ at each sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HopValues {
    pub(crate) abs_send_time: AbsSendTime,
    pub(crate) transport_seq: TransportSequenceNumber,
}

/// Size of a header with all extensions: MID, RID and 6 bytes of values, each with two bytes of extension header.
const MAX_HEADER: usize = FIXED_HEADER_LEN + 4 + 2 * (2 + MAX_MEDIA_ID) + 3 * 2 + 6 + 3;

impl SendStream {
    /// `first_index` is used if the settings contain no first sequence number.
    pub(crate) fn new(
        config: SendStreamConfig,
        first_index: u16,
        first_rtx_index: u16,
        first_picture_id: u16,
    ) -> Result<Self, SessionError> {
        let names = config.mid.iter().chain(&config.rid);
        if let Some(name) = names.into_iter().find(|name| !is_media_id(name)) {
            return Err(SessionError::BadMediaId(name.clone()));
        }
        let slots = config.buffered_packets.max(16);
        let max_payload = config.max_frame_payload.min(MAX_PAYLOAD);
        let packetizer = match config.codec {
            CodecKind::Other => None,
            codec => Some(Packetizer::new(codec, max_payload, first_picture_id)?),
        };
        Ok(Self {
            packetizer,
            next_index: u64::from(config.first_sequence_number.unwrap_or(first_index)),
            next_rtx_index: u64::from(first_rtx_index),
            ring: (0..slots).map(|_| Slot::default()).collect(),
            unsent: 0,
            newest: None,
            known_to_server: false,
            rtx_known_to_server: false,
            reported_highest: None,
            stats: SendStats::default(),
            config,
        })
    }

    /// Continues the SRTP indices of earlier streams with the same SSRCs, because the SRTP key is the same.
    pub(crate) fn continue_from(&mut self, next_index: impl Fn(Ssrc) -> Option<u64>) {
        if let Some(next) = next_index(self.ssrc()) {
            self.next_index = next;
        }
        if let Some(next) = self.config.rtx.and_then(|rtx| next_index(Ssrc(rtx.ssrc))) {
            self.next_rtx_index = next;
        }
    }

    /// SSRCs of the stream, each with the SRTP index of its next packet.
    pub(crate) fn next_indices(&self) -> impl Iterator<Item = (Ssrc, u64)> {
        let rtx = self.config.rtx.map(|rtx| (Ssrc(rtx.ssrc), self.next_rtx_index));
        [(self.ssrc(), self.next_index)].into_iter().chain(rtx)
    }

    pub(crate) fn ssrc(&self) -> Ssrc {
        Ssrc(self.config.ssrc)
    }

    pub(crate) fn has_ssrc(&self, ssrc: Ssrc) -> bool {
        self.config.ssrc == ssrc.0 || self.config.rtx.is_some_and(|rtx| rtx.ssrc == ssrc.0)
    }

    pub(crate) fn stats(&self) -> &SendStats {
        &self.stats
    }

    pub(crate) fn uses_transport_seq(&self) -> bool {
        self.config.extension_ids[Extension::TransportWideCcDraft01].is_some()
    }

    /// Splits a frame into `payloads`. Afterwards `push` succeeds for all of them.
    pub(crate) fn packetize(
        &mut self,
        frame: &OutgoingFrame<'_>,
        payloads: &mut Payloads,
    ) -> Result<FrameInfo, SessionError> {
        let packetizer = self.packetizer.as_mut().ok_or(FrameError::UnsupportedCodec(self.config.codec))?;
        let info = packetizer.packetize(frame, payloads)?;
        if let Some(len) = payloads.iter().map(|(payload, _)| payload.len()).find(|&len| len > MAX_PAYLOAD) {
            return Err(SessionError::PayloadTooLong(len));
        }
        let (packets, buffered) = (payloads.len(), self.ring.len());
        if packets > buffered {
            return Err(SessionError::FrameTooLong { packets, buffered });
        }
        if self.unsent + packets > buffered {
            return Err(SessionError::Backlog);
        }
        Ok(info)
    }

    /// Stores a packet and returns its index.
    pub(crate) fn push(&mut self, now: Instant, packet: &OutgoingRtp<'_>) -> Result<u64, SessionError> {
        if packet.payload.len() > MAX_PAYLOAD {
            return Err(SessionError::PayloadTooLong(packet.payload.len()));
        }
        if self.unsent == self.ring.len() {
            return Err(SessionError::Backlog);
        }
        let index = self.next_index;
        self.next_index += 1;
        self.unsent += 1;
        self.newest = Some((packet.timestamp, now));
        let at = self.slot_of(index);
        let slot = &mut self.ring[at];
        slot.index = Some(index);
        slot.timestamp = packet.timestamp;
        slot.marker = packet.marker;
        slot.audio_level = packet.audio_level;
        slot.resent_at = None;
        slot.payload.clear();
        slot.payload.extend_from_slice(packet.payload);
        Ok(index)
    }

    /// Handles the NACK of one packet. Returns its index if the packet is still stored and was not retransmitted within
    /// the last `rtt` plus 5 ms (as in libwebrtc).
    pub(crate) fn on_nack(&mut self, now: Instant, seq: u16, rtt: Duration) -> Option<u64> {
        self.config.rtx?;
        // Index of the newest packet with this sequence number.
        let newest = self.next_index.checked_sub(1)?;
        let index = newest.checked_sub(u64::from((newest as u16).wrapping_sub(seq)))?;
        let at = self.slot_of(index);
        let slot = &mut self.ring[at];
        if slot.index != Some(index) {
            self.stats.nacked_too_late += 1;
            return None;
        }
        if slot.resent_at.is_some_and(|at| now.saturating_duration_since(at) < rtt + RESEND_MARGIN) {
            return None;
        }
        slot.resent_at = Some(now);
        Some(index)
    }

    pub(crate) fn on_nack_message(&mut self) {
        self.stats.nacks += 1;
    }

    pub(crate) fn on_key_frame_request(&mut self) {
        self.stats.key_frame_requests += 1;
    }

    pub(crate) fn on_rtx_report(&mut self) {
        self.rtx_known_to_server = true;
    }

    /// Takes a report, and returns how many packets were lost since the last one, of how many.
    pub(crate) fn on_report(&mut self, fraction_lost: u8, lost: i32, highest: u32) -> (u64, u64) {
        self.known_to_server = true;
        let before = self.reported_highest.replace(highest);
        let expected = before.map_or(0, |before| highest.wrapping_sub(before));
        let newly_lost = lost.saturating_sub(self.stats.lost).max(0);
        self.stats.fraction_lost = fraction_lost;
        self.stats.lost = lost;
        // A report that was overtaken by a later one, or one of a receiver that began anew, tells nothing.
        match before {
            Some(_) if expected < 1 << 31 => (u64::from(newly_lost.unsigned_abs()), u64::from(expected)),
            _ => (0, 0),
        }
    }

    pub(crate) fn has_rtx(&self) -> bool {
        self.config.rtx.is_some()
    }

    pub(crate) fn is_audio(&self) -> bool {
        self.config.codec == CodecKind::Opus
    }

    /// Replaces `out` by the encrypted packet `index`. Returns false if the packet is no longer stored.
    pub(crate) fn write(
        &mut self,
        index: u64,
        hop: HopValues,
        sealer: &SrtpSealer,
        out: &mut Vec<u8>,
    ) -> bool {
        let slot = &self.ring[self.slot_of(index)];
        if slot.index != Some(index) {
            return false;
        }
        let len = self.seal(slot, self.config.ssrc, self.config.payload_type, index, false, hop, sealer, out);
        self.unsent -= 1;
        self.stats.packets += 1;
        self.stats.bytes += slot_len(&self.ring, index) as u64;
        out.truncate(len);
        len > 0
    }

    /// Like [`write`](Self::write), but as an RTX packet.
    pub(crate) fn write_rtx(
        &mut self,
        index: u64,
        hop: HopValues,
        sealer: &SrtpSealer,
        out: &mut Vec<u8>,
    ) -> bool {
        let slot = &self.ring[self.slot_of(index)];
        let Some(rtx) = self.config.rtx.filter(|_| slot.index == Some(index)) else { return false };
        let len = self.seal(slot, rtx.ssrc, rtx.payload_type, self.next_rtx_index, true, hop, sealer, out);
        self.next_rtx_index += 1;
        self.stats.retransmitted += 1;
        out.truncate(len);
        len > 0
    }

    /// Sender info of a sender report; `None` before the first packet.
    pub(crate) fn sender_info(&self, now: Instant, ntp_time: NtpTime) -> Option<SenderInfo> {
        let (timestamp, at) = self.newest?;
        let since =
            now.saturating_duration_since(at).as_micros() * u128::from(self.config.clock_rate) / 1_000_000;
        Some(SenderInfo {
            ntp_time,
            rtp_timestamp: timestamp.wrapping_add(since as u32),
            packet_count: self.stats.packets as u32,
            octet_count: self.stats.bytes as u32,
        })
    }

    /// Encrypts a packet to the start of `out` and returns its length; zero if encryption fails.
    fn seal(
        &self,
        slot: &Slot,
        ssrc: u32,
        payload_type: u8,
        index: u64,
        is_rtx: bool,
        hop: HopValues,
        sealer: &SrtpSealer,
        out: &mut Vec<u8>,
    ) -> usize {
        out.resize(MAX_HEADER + RTX_OSN_LEN + slot.payload.len() + sealer.suite().rtp_tag_len(), 0);
        let fields = RtpFields {
            marker: slot.marker,
            has_padding: false,
            payload_type: PayloadType(payload_type),
            sequence_number: index as u16,
            timestamp: slot.timestamp,
            ssrc: Ssrc(ssrc),
        };
        let header_len = self.write_header(&fields, slot.audio_level, is_rtx, hop, out);
        let original = (slot.index.unwrap_or_default() as u16).to_be_bytes();
        let descriptor = if is_rtx { &original[..] } else { &[] };
        sealer
            .seal_rtp_after_header(Ssrc(ssrc), index, header_len, descriptor, &slot.payload, out)
            .unwrap_or(0)
    }

    fn write_header(
        &self,
        fields: &RtpFields,
        audio_level: Option<AudioLevel>,
        is_rtx: bool,
        hop: HopValues,
        out: &mut [u8],
    ) -> usize {
        let ids = &self.config.extension_ids;
        let mut header = RtpHeaderWriter::new(out, fields).expect("there is room for MAX_HEADER");
        let mut push = |id: Option<std::num::NonZeroU8>, value: &[u8]| {
            if let Some(id) = id {
                header.push(id.get(), value).expect("ids are not zero, and there is room for MAX_HEADER");
            }
        };
        let is_known = if is_rtx { self.rtx_known_to_server } else { self.known_to_server };
        if !is_known {
            if let Some(mid) = &self.config.mid {
                push(ids[Extension::Mid], mid.as_bytes());
            }
            if let Some(rid) = &self.config.rid {
                push(
                    if is_rtx { ids[Extension::RepairRtpStreamId] } else { ids[Extension::RtpStreamId] },
                    rid.as_bytes(),
                );
            }
        }
        push(ids[Extension::AbsSendTime], &hop.abs_send_time.to_bytes());
        push(ids[Extension::TransportWideCcDraft01], &hop.transport_seq.to_bytes());
        if let Some(level) = audio_level {
            push(ids[Extension::SsrcAudioLevel], &level.to_bytes());
        }
        header.finish().expect("there is room for MAX_HEADER").len
    }

    fn slot_of(&self, index: u64) -> usize {
        (index % self.ring.len() as u64) as usize
    }
}

fn slot_len(ring: &[Slot], index: u64) -> usize {
    ring[(index % ring.len() as u64) as usize].payload.len()
}

fn is_media_id(name: &str) -> bool {
    (1..=MAX_MEDIA_ID).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}
