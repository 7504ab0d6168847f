//! One outgoing RTP stream of a consumer: sequence numbers, headers and retransmissions. Pipe consumers have one for
//! each encoding, all others have one.

use std::num::NonZeroU8;

use crate::media::consumer::headers::{HeaderSettings, HopByHopExtensions, push_hop_by_hop};
use crate::media::consumer::recent_retransmissions::RecentRetransmissions;
use crate::media::consumer::send_stats::SendStats;
use crate::media::consumer::sent_log::SentPacket;
use crate::media::consumer::seq_rewriter::SeqRewriter;
use crate::media::producer::codec::StreamCodec;
use crate::media::producer::packet_buffer::StoredPacket;
use tureen_rtc::units::{PayloadType, Ssrc};
use tureen_rtc::wire::codecs::{CodecKind, Prefix, vp8, vp9};
use tureen_rtc::wire::rtp::{ExtensionIds, RtpFields, RtpHeaderWriter, RtpWriteError};
use tureen_types::rtp_parameters::RtpEncodingParameters;

/// First cycle of the extended output numbers; SRTP's rollover counter starts at zero (RFC 3711 §3.3.1).
const FIRST_CYCLE: u64 = 0x1_0000;

/// Number of recent packets that a stream without RTX can retransmit bit for bit.
const REPEATABLE_PACKETS: usize = 128;

/// One outgoing RTP stream. The fields that every run of packets touches are last, as in [`Consumer`](super::Consumer).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RtpSendStream {
    rtx: Option<Rtx>,
    /// Recent retransmissions.
    pub(crate) retransmissions: RecentRetransmissions,
    /// Statistics and RTCP reports.
    pub(crate) stats: SendStats,
    repeats: Option<Box<RepeatLog>>,
    codec: StreamCodec,
    /// True if the next packet must resynchronise the stream.
    pub(crate) sync_required: bool,
    /// Maps sequence numbers.
    pub(crate) rewriter: SeqRewriter,
}

/// RTX stream (RFC 4588).
#[derive(Debug)]
struct Rtx {
    ssrc: Ssrc,
    payload_type: PayloadType,
    first_seq: u64,
    next_seq: u64,
}

/// Hop-by-hop header values of recent packets. Without RTX a retransmission must repeat the packet bit for bit, because
/// both have the same SRTP index and with that the same nonce.
#[derive(Debug)]
struct RepeatLog {
    /// Header values, each with the extended output number of its packet.
    entries: [(u64, HopByHopExtensions); REPEATABLE_PACKETS],
}

/// A written header, with the parameters for sealing the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) header_len: usize,
    /// Number of bytes written between the header and the payload: the original sequence number of an RTX packet and a
    /// rewritten payload descriptor.
    pub(crate) front_len: usize,
    /// Number of bytes at the start of the payload that are not sent, because a rewritten descriptor replaces them.
    pub(crate) replaced: usize,
    pub(crate) ssrc: Ssrc,
    /// SRTP packet index.
    pub(crate) index: u64,
    /// RTP timestamp.
    pub(crate) timestamp: u32,
}

/// Reference to a packet to retransmit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retransmission {
    /// Index of the consumer's send stream.
    pub(crate) send_stream: u8,
    /// Index of the Producer's stream.
    pub(crate) stream: u8,
    /// Extended sequence number in the Producer's stream.
    pub(crate) source: u64,
    /// Extended sequence number towards the remote endpoint.
    pub(crate) output: u64,
}

impl RtpSendStream {
    /// Creates the send stream of an encoding; `None` if the encoding has no SSRC. `random` makes the first sequence
    /// numbers unpredictable.
    pub(crate) fn new(encoding: &RtpEncodingParameters, codec: StreamCodec, random: u64) -> Option<Self> {
        let rtx_ssrc = encoding.rtx.as_ref().map(|rtx| Ssrc(rtx.ssrc));
        let first_seq = FIRST_CYCLE + (random >> 16 & 0x7fff);
        let rtx = rtx_ssrc.zip(codec.rtx_payload_type).map(|(ssrc, payload_type)| Rtx {
            ssrc,
            payload_type,
            first_seq,
            next_seq: first_seq,
        });
        Some(Self {
            stats: SendStats::new(Ssrc(encoding.ssrc?), codec.clock_rate),
            rewriter: SeqRewriter::new((random & 0x7fff) as u16),
            sync_required: true,
            repeats: (codec.nack && rtx.is_none()).then(|| {
                Box::new(RepeatLog { entries: [(0, HopByHopExtensions::NONE); REPEATABLE_PACKETS] })
            }),
            rtx,
            retransmissions: RecentRetransmissions::default(),
            codec,
        })
    }

    /// Continues the SRTP indices of earlier streams with the same SSRCs, because the same SRTP key must not seal two
    /// packets with one index. `next_index` returns the next index of an SSRC. Must be called before the first packet.
    pub(crate) fn continue_from(&mut self, next_index: impl Fn(Ssrc) -> Option<u64>) {
        if let Some(index) = next_index(self.stats.ssrc) {
            self.rewriter = SeqRewriter::after(FIRST_CYCLE + index - 1);
        }
        if let Some(rtx) = &mut self.rtx
            && let Some(index) = next_index(rtx.ssrc)
        {
            (rtx.first_seq, rtx.next_seq) = (FIRST_CYCLE + index, FIRST_CYCLE + index);
        }
    }

    /// SSRCs in use, each with the SRTP index of its next packet.
    pub(crate) fn used_indices(&self) -> impl Iterator<Item = (Ssrc, u64)> {
        let media = self.rewriter.has_begun().then(|| (self.stats.ssrc, self.rewriter.highest_output() + 1));
        let rtx = self.rtx.as_ref().filter(|rtx| rtx.next_seq > rtx.first_seq);
        let rtx = rtx.map(|rtx| (rtx.ssrc, rtx.next_seq));
        media.into_iter().chain(rtx).map(|(ssrc, next)| (ssrc, next - FIRST_CYCLE))
    }

    pub(crate) fn codec(&self) -> &StreamCodec {
        &self.codec
    }

    /// True if retransmissions repeat packets bit for bit: NACK was negotiated, and RTX was not.
    #[inline]
    pub(crate) fn repeats_exactly(&self) -> bool {
        self.repeats.is_some()
    }

    /// SSRC of the RTX stream.
    pub(crate) fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.rtx.as_ref().map(|rtx| rtx.ssrc)
    }

    /// Payload type of the RTX stream.
    pub(crate) fn rtx_payload_type(&self) -> Option<PayloadType> {
        self.rtx.as_ref().map(|rtx| rtx.payload_type)
    }

    /// Writes the header of a packet that is sent for the first time.
    ///
    /// # Errors
    /// The buffer is too small for the header.
    #[inline(always)]
    pub(crate) fn write_header(
        &mut self,
        settings: &HeaderSettings,
        packet: &StoredPacket<'_>,
        sent: &SentPacket,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Result<Written, RtpWriteError> {
        if let Some(log) = &mut self.repeats {
            log.entries[sent.output as usize % REPEATABLE_PACKETS] = (sent.output, hop);
        }
        self.write(settings, packet, sent, None, hop, buffer)
    }

    /// Writes the header of a retransmission: RTX if negotiated, otherwise the original header. `None` if the header
    /// values of the original are no longer known.
    pub(crate) fn write_retransmission_header(
        &mut self,
        settings: &HeaderSettings,
        packet: &StoredPacket<'_>,
        sent: &SentPacket,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Option<Written> {
        let Some(rtx) = &mut self.rtx else {
            let (output, hop) = self.repeats.as_ref()?.entries[sent.output as usize % REPEATABLE_PACKETS];
            if output != sent.output {
                return None;
            }
            return self.write(settings, packet, sent, None, hop, buffer).ok();
        };
        let repair = (rtx.ssrc, rtx.payload_type, rtx.next_seq);
        rtx.next_seq += 1;
        self.write(settings, packet, sent, Some(repair), hop, buffer).ok()
    }

    #[inline(always)]
    fn write(
        &self,
        settings: &HeaderSettings,
        packet: &StoredPacket<'_>,
        sent: &SentPacket,
        repair: Option<(Ssrc, PayloadType, u64)>,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Result<Written, RtpWriteError> {
        let media = (self.stats.ssrc, PayloadType(packet.info.payload_type), sent.output);
        let (ssrc, payload_type, number) = repair.unwrap_or(media);
        let fields = RtpFields {
            marker: sent.marker,
            has_padding: false,
            payload_type,
            sequence_number: number as u16,
            timestamp: sent.timestamp,
            ssrc,
        };
        let buffer_len = buffer.len();
        let header_len = settings.write(packet, &sent.descriptor, &fields, hop, buffer)?;
        let prefix = sent.descriptor.number.and_then(|number| {
            rewritten_payload(self.codec.kind, packet.payload, number, sent.descriptor.tl0)
        });
        let prefix = prefix.unwrap_or_default();
        let original_seq = (sent.output as u16).to_be_bytes();
        let original_seq = if repair.is_some() { &original_seq[..] } else { &[] };
        let front_len = original_seq.len() + prefix.bytes().len();
        if front_len > 0 {
            let front = buffer
                .get_mut(header_len..header_len + front_len)
                .ok_or(RtpWriteError::NoSpace(buffer_len))?;
            let (before, rest) = front.split_at_mut(original_seq.len());
            before.copy_from_slice(original_seq);
            rest.copy_from_slice(prefix.bytes());
        }
        Ok(Written {
            header_len,
            front_len,
            replaced: prefix.replaced(),
            ssrc,
            index: number - FIRST_CYCLE,
            timestamp: sent.timestamp,
        })
    }

    /// Writes a padding-only packet of the RTX stream, with `padding` bytes (RFC 3550 §5.1). `None` without an RTX
    /// stream.
    pub(crate) fn write_padding(
        &mut self,
        settings: &HeaderSettings,
        padding: NonZeroU8,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Option<Written> {
        let rtx = self.rtx.as_mut()?;
        let (ssrc, payload_type, number) = (rtx.ssrc, rtx.payload_type, rtx.next_seq);
        rtx.next_seq += 1;
        let fields = RtpFields {
            marker: false,
            has_padding: true,
            payload_type,
            sequence_number: number as u16,
            timestamp: self.stats.last_timestamp(),
            ssrc,
        };
        let written =
            write_filler(buffer, &fields, settings.ids(), settings.mid(), hop, padding.get().into()).ok()?;
        buffer[written.header_len + written.front_len - 1] = padding.get();
        Some(Written { index: number - FIRST_CYCLE, ..written })
    }
}

/// Writes a packet whose payload is `len` zeros. The caller sets the index.
///
/// # Errors
/// The buffer is too small.
pub(crate) fn write_filler(
    buffer: &mut [u8],
    fields: &RtpFields,
    ids: &ExtensionIds,
    mid: Option<(NonZeroU8, &[u8])>,
    hop: HopByHopExtensions,
    len: usize,
) -> Result<Written, RtpWriteError> {
    let buffer_len = buffer.len();
    let mut writer = RtpHeaderWriter::new(buffer, fields)?;
    push_hop_by_hop(&mut writer, ids, mid, hop)?;
    let header_len = writer.finish()?.len;
    let filler = buffer.get_mut(header_len..header_len + len).ok_or(RtpWriteError::NoSpace(buffer_len))?;
    filler.fill(0);
    Ok(Written {
        header_len,
        front_len: len,
        replaced: 0,
        ssrc: fields.ssrc,
        index: 0,
        timestamp: fields.timestamp,
    })
}

fn rewritten_payload(kind: CodecKind, payload: &[u8], number: u16, tl0: Option<u8>) -> Option<Prefix> {
    match kind {
        CodecKind::Vp8 => vp8::rewrite(payload, number, tl0),
        CodecKind::Vp9 => vp9::rewrite(payload, number, tl0),
        _ => None,
    }
}
