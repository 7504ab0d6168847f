//! One outgoing RTP stream of a consumer: its numbers, headers and retransmissions. Pipe consumers have one for each
//! encoding, all others have one.

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

/// Extended output numbers start one cycle up; SRTP's rollover counter starts at zero (RFC 3711 §3.3.1).
const FIRST_CYCLE: u64 = 0x1_0000;

/// How many sent packets a stream without RTX remembers, to repeat them exactly.
const REPEATABLE_PACKETS: usize = 128;

/// One outgoing RTP stream. As in [`Consumer`](super::Consumer), what each run touches comes last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RtpSendStream {
    rtx: Option<Rtx>,
    /// What was sent again of late.
    pub(crate) retransmissions: RecentRetransmissions,
    /// Its statistics and reports.
    pub(crate) stats: SendStats,
    repeats: Option<Box<RepeatLog>>,
    codec: StreamCodec,
    /// The next packet starts anew.
    pub(crate) sync_required: bool,
    /// Its sequence numbers.
    pub(crate) rewriter: SeqRewriter,
}

/// Where retransmissions go (RFC 4588).
#[derive(Debug)]
struct Rtx {
    ssrc: Ssrc,
    payload_type: PayloadType,
    first_seq: u64,
    next_seq: u64,
}

/// Hop-by-hop header values of recent packets: without RTX a packet that is sent again must be the same bit for bit,
/// because its SRTP index, and with it the cipher's nonce, is the same.
#[derive(Debug)]
struct RepeatLog {
    /// With the extended output number of the packet that bore them.
    entries: [(u64, HopByHopExtensions); REPEATABLE_PACKETS],
}

/// A header that was written, and how the packet is to be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Length of the header.
    pub(crate) header_len: usize,
    /// Bytes written behind the header that come before the payload: the original sequence number of a retransmission
    /// and a rewritten payload descriptor.
    pub(crate) front_len: usize,
    /// Bytes at the start of the payload that are not sent.
    pub(crate) replaced: usize,
    /// SSRC.
    pub(crate) ssrc: Ssrc,
    /// SRTP packet index.
    pub(crate) index: u64,
    /// RTP timestamp.
    pub(crate) timestamp: u32,
}

/// What a NACK asks to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retransmission {
    /// Which of the consumer's streams.
    pub(crate) send_stream: u8,
    /// Which of the Producer's streams.
    pub(crate) stream: u8,
    /// Number in the Producer's stream.
    pub(crate) source: u64,
    /// Number that the remote side knows.
    pub(crate) output: u64,
}

impl RtpSendStream {
    /// The stream of an encoding, which must have an SSRC. `random` makes the first sequence numbers unpredictable.
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

    /// Goes on where streams with its SSRCs ended that were sent before under the same SRTP key: `next_index` tells that.
    /// Nothing was sent yet.
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

    /// SSRCs of which packets were numbered, and the SRTP index of the next one of each.
    pub(crate) fn used_indices(&self) -> impl Iterator<Item = (Ssrc, u64)> {
        let media = self.rewriter.has_begun().then(|| (self.stats.ssrc, self.rewriter.highest_output() + 1));
        let rtx = self.rtx.as_ref().filter(|rtx| rtx.next_seq > rtx.first_seq);
        let rtx = rtx.map(|rtx| (rtx.ssrc, rtx.next_seq));
        media.into_iter().chain(rtx).map(|(ssrc, next)| (ssrc, next - FIRST_CYCLE))
    }

    /// Its codec.
    pub(crate) fn codec(&self) -> &StreamCodec {
        &self.codec
    }

    /// Whether packets are repeated bit for bit when they are sent again: NACKs were negotiated, and RTX was not.
    #[inline]
    pub(crate) fn repeats_exactly(&self) -> bool {
        self.repeats.is_some()
    }

    /// SSRC of retransmissions.
    pub(crate) fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.rtx.as_ref().map(|rtx| rtx.ssrc)
    }

    /// Payload type of retransmissions.
    pub(crate) fn rtx_payload_type(&self) -> Option<PayloadType> {
        self.rtx.as_ref().map(|rtx| rtx.payload_type)
    }

    /// Writes the header of a packet on its way out for the first time.
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

    /// Writes the header of a packet that is sent again: as RTX where that was negotiated, else exactly as before.
    /// `None` when the packet can't be repeated exactly any more.
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

    /// Writes a packet of the stream of retransmissions that is nothing but padding, of `padding` bytes (RFC 3550 §5.1).
    /// `None` without such a stream.
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

/// Writes a packet whose payload is `len` zeros. Its index is left to the caller.
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
