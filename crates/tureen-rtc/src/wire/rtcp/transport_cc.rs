//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use std::time::Duration;

use super::list::u16_at;
use super::writer::PacketWriter;
use super::{packet_type, rtpfb, split_feedback};
use crate::units::Ssrc;

const MAX_STATUSES: usize = u16::MAX as usize;
const MAX_RUN_LENGTH: usize = 0x1fff;
const ONE_BIT_CAPACITY: usize = 14;
const TWO_BIT_CAPACITY: usize = 7;
const CHUNK_LEN: usize = 2;
/// Offset of the packet status count in the packet.
const STATUS_COUNT_OFFSET: usize = 14;

/// Feedback on the arrival of the packets of a transport.
#[derive(Clone, Copy, Debug)]
pub struct TransportCc<'a> {
    /// Fixed part in front of the statuses.
    pub header: TransportCcHeader,
    /// Number of packets reported on.
    pub packet_status_count: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// The fixed part of transport-wide feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportCcHeader {
    /// SSRC of the sender of the feedback.
    pub sender_ssrc: Ssrc,
    /// SSRC of any stream of the transport.
    pub media_ssrc: Ssrc,
    /// Transport-wide sequence number of the first packet reported on.
    pub base_sequence_number: u16,
    /// Instant from which the first delta is counted, in units of [`TransportCcHeader::REFERENCE_TIME_UNIT`]: signed 24
    /// bits, wrapping.
    pub reference_time: i32,
    /// Counter of the feedback packets, wrapping, to detect lost ones.
    pub feedback_count: u8,
}

impl TransportCcHeader {
    /// 64 ms.
    pub const REFERENCE_TIME_UNIT: Duration = Duration::from_millis(64);
}

/// Status of one packet in feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketStatus {
    /// Transport-wide sequence number of the packet.
    pub sequence_number: u16,
    /// For a received packet, the time since the arrival of the previous received packet in the feedback, or since the
    /// reference time, in units of [`PacketStatus::DELTA_UNIT`].
    pub delta: Option<i16>,
}

impl PacketStatus {
    /// 250 µs.
    pub const DELTA_UNIT: Duration = Duration::from_micros(250);
}

impl<'a> TransportCc<'a> {
    /// Status of each packet in the order of sequence numbers: exactly `packet_status_count` items.
    pub fn statuses(&self) -> PacketStatuses<'a> {
        PacketStatuses {
            sequence_number: self.header.base_sequence_number,
            left: usize::from(self.packet_status_count),
            chunk: Chunk::Run(Symbol::NotReceived, 0),
            position: 0,
            chunks: self.chunks,
            deltas: self.deltas,
        }
    }

    /// Sequence number and delta of each received packet. Unlike [`Self::statuses`] the iterator skips a run of lost
    /// packets in one step, so that the work is bounded by the size of the feedback, because a few bytes can report
    /// 65535 lost packets.
    pub fn received(&self) -> impl Iterator<Item = (u16, i16)> + use<'a> {
        let mut statuses = self.statuses();
        std::iter::from_fn(move || {
            loop {
                statuses.skip_lost_run();
                let status = statuses.next()?;
                if let Some(delta) = status.delta {
                    return Some((status.sequence_number, delta));
                }
            }
        })
    }

    /// Checks that chunks and deltas are complete. The work is bounded by the bytes of the chunks, not by the status
    /// count.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, body) = split_feedback(body)?;
        let (fixed, content) = body.split_first_chunk::<8>()?;
        let header = TransportCcHeader {
            sender_ssrc,
            media_ssrc,
            base_sequence_number: u16_at(fixed, 0),
            reference_time: i32::from_be_bytes([fixed[4], fixed[5], fixed[6], 0]) >> 8,
            feedback_count: fixed[7],
        };
        let packet_status_count = u16_at(fixed, 2);

        let mut rest = content;
        let mut left = usize::from(packet_status_count);
        let mut deltas_len = 0;
        while left > 0 {
            let (bits, after) = rest.split_first_chunk()?;
            let chunk = Chunk::parse(u16::from_be_bytes(*bits))?;
            // The last chunk may have room for more statuses than the status count.
            let used = chunk.len().min(left);
            deltas_len += chunk.deltas_len(used)?;
            left -= used;
            rest = after;
        }
        let chunks = &content[..content.len() - rest.len()];
        Some(Self { header, packet_status_count, chunks, deltas: rest.get(..deltas_len)? })
    }
}

/// Iterator of [`TransportCc::statuses`].
#[derive(Clone, Debug)]
pub struct PacketStatuses<'a> {
    sequence_number: u16,
    left: usize,
    chunk: Chunk,
    position: usize,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl PacketStatuses<'_> {
    /// Skips the rest of the current chunk if that is a run of lost packets.
    fn skip_lost_run(&mut self) {
        if let Chunk::Run(Symbol::NotReceived, len) = self.chunk {
            let skipped = (usize::from(len) - self.position).min(self.left);
            self.position += skipped;
            self.left -= skipped;
            self.sequence_number = self.sequence_number.wrapping_add(skipped as u16);
        }
    }
}

impl Iterator for PacketStatuses<'_> {
    type Item = PacketStatus;

    fn next(&mut self) -> Option<PacketStatus> {
        if self.left == 0 {
            return None;
        }
        while self.position == self.chunk.len() {
            let (bits, rest) = self.chunks.split_first_chunk()?;
            self.chunk = Chunk::parse(u16::from_be_bytes(*bits))?;
            self.chunks = rest;
            self.position = 0;
        }
        let delta = match self.chunk.symbol(self.position)? {
            Symbol::NotReceived => None,
            Symbol::SmallDelta => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i16::from(delta))
            }
            Symbol::LargeDelta => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i16::from_be_bytes(*delta))
            }
        };
        let status = PacketStatus { sequence_number: self.sequence_number, delta };
        self.position += 1;
        self.left -= 1;
        self.sequence_number = self.sequence_number.wrapping_add(1);
        Some(status)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for PacketStatuses<'_> {}

/// Appends feedback on the packets from `header.base_sequence_number` on, with one entry of `statuses` for each: the
/// delta to the previous received packet (for the first one, to the reference time), or `None` for a packet not
/// received.
///
/// Returns the number of statuses written: as many as keep the packet within `max_len` bytes, and at most 65535.
/// Nothing is written if that number is zero.
pub fn write_transport_cc(
    out: &mut Vec<u8>,
    header: &TransportCcHeader,
    statuses: &[Option<i16>],
    max_len: usize,
) -> usize {
    let TransportCcHeader { sender_ssrc, media_ssrc, base_sequence_number, reference_time, feedback_count } =
        *header;
    let mut packet =
        PacketWriter::feedback(out, packet_type::RTPFB, rtpfb::TRANSPORT_CC, sender_ssrc, media_ssrc);
    packet.u16(base_sequence_number);
    packet.u16(0);
    packet.u32((reference_time as u32) << 8 | u32::from(feedback_count));

    let mut encoder = ChunkEncoder::default();
    let mut deltas_len = 0;
    let mut written = 0;
    for &status in &statuses[..statuses.len().min(MAX_STATUSES)] {
        let symbol = Symbol::of(status);
        let fits = encoder.can_add(symbol);
        // One chunk for the symbols in the encoder, and one more if the encoder must emit a chunk first.
        let chunks_len = if fits { CHUNK_LEN } else { 2 * CHUNK_LEN };
        let len = packet.len() + chunks_len + deltas_len + symbol.delta_len();
        if len.next_multiple_of(4) > max_len {
            break;
        }
        if !fits {
            packet.u16(encoder.emit());
        }
        encoder.add(symbol);
        deltas_len += symbol.delta_len();
        written += 1;
    }
    if written == 0 {
        packet.abandon();
        return 0;
    }

    packet.u16(encoder.emit_last());
    for &delta in statuses[..written].iter().flatten() {
        match u8::try_from(delta) {
            Ok(small) => packet.u8(small),
            Err(_) => packet.u16(delta as u16),
        }
    }
    packet.patch_u16(STATUS_COUNT_OFFSET, written as u16);
    packet.finish();
    written
}

/// Status of one packet in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Symbol {
    #[default]
    NotReceived = 0,
    SmallDelta = 1,
    LargeDelta = 2,
}

impl Symbol {
    fn of(status: Option<i16>) -> Self {
        match status {
            None => Symbol::NotReceived,
            Some(0..=255) => Symbol::SmallDelta,
            Some(_) => Symbol::LargeDelta,
        }
    }

    /// Returns `None` for the reserved value 3.
    fn from_bits(bits: u16) -> Option<Self> {
        match bits & 3 {
            0 => Some(Symbol::NotReceived),
            1 => Some(Symbol::SmallDelta),
            2 => Some(Symbol::LargeDelta),
            _ => None,
        }
    }

    fn delta_len(self) -> usize {
        self as usize
    }
}

/// A packet status chunk.
#[derive(Clone, Copy, Debug)]
enum Chunk {
    /// A number of equal symbols.
    Run(Symbol, u16),
    /// 14 symbols of one bit.
    OneBit(u16),
    /// 7 symbols of two bits.
    TwoBit(u16),
}

impl Chunk {
    fn parse(bits: u16) -> Option<Self> {
        Some(match bits >> 14 {
            0 | 1 => Chunk::Run(Symbol::from_bits(bits >> 13)?, bits & 0x1fff),
            2 => Chunk::OneBit(bits),
            _ => Chunk::TwoBit(bits),
        })
    }

    fn len(self) -> usize {
        match self {
            Chunk::Run(_, len) => usize::from(len),
            Chunk::OneBit(_) => ONE_BIT_CAPACITY,
            Chunk::TwoBit(_) => TWO_BIT_CAPACITY,
        }
    }

    /// Symbol at `position`, which is below the length; `None` for the reserved one.
    fn symbol(self, position: usize) -> Option<Symbol> {
        match self {
            Chunk::Run(symbol, _) => Some(symbol),
            Chunk::OneBit(bits) => Symbol::from_bits(bits >> (ONE_BIT_CAPACITY - 1 - position) & 1),
            Chunk::TwoBit(bits) => Symbol::from_bits(bits >> (2 * (TWO_BIT_CAPACITY - 1 - position))),
        }
    }

    /// Bytes of the deltas of the first `used` symbols; `None` if one of them is the reserved one.
    fn deltas_len(self, used: usize) -> Option<usize> {
        match self {
            Chunk::Run(symbol, _) => Some(used * symbol.delta_len()),
            _ => (0..used).map(|position| self.symbol(position).map(Symbol::delta_len)).sum(),
        }
    }
}

/// Collects symbols until no single chunk can hold them, preferring runs, then one-bit vectors, as libwebrtc does.
#[derive(Debug, Default)]
struct ChunkEncoder {
    /// The first symbols; all further ones equal the first.
    symbols: [Symbol; ONE_BIT_CAPACITY],
    len: usize,
    mixed: bool,
    has_large: bool,
}

impl ChunkEncoder {
    /// True if the symbol fits in the current chunk.
    fn can_add(&self, symbol: Symbol) -> bool {
        self.len < TWO_BIT_CAPACITY
            || self.len < ONE_BIT_CAPACITY && !self.has_large && symbol != Symbol::LargeDelta
            || self.len < MAX_RUN_LENGTH && !self.mixed && symbol == self.symbols[0]
    }

    /// Adds a symbol for which [`Self::can_add`] holds.
    fn add(&mut self, symbol: Symbol) {
        if let Some(slot) = self.symbols.get_mut(self.len) {
            *slot = symbol;
        }
        self.len += 1;
        self.mixed |= symbol != self.symbols[0];
        self.has_large |= symbol == Symbol::LargeDelta;
    }

    /// Returns a full chunk and removes its symbols. Afterwards any symbol can be added.
    fn emit(&mut self) -> u16 {
        if !self.mixed {
            let chunk = self.run();
            *self = Self::default();
            return chunk;
        }
        if self.len == ONE_BIT_CAPACITY {
            let chunk = self.one_bit();
            *self = Self::default();
            return chunk;
        }
        let chunk = self.two_bit();
        let (symbols, len) = (self.symbols, self.len);
        *self = Self::default();
        symbols[TWO_BIT_CAPACITY..len].iter().for_each(|&symbol| self.add(symbol));
        chunk
    }

    /// Returns the chunk of the remaining symbols, at least one.
    fn emit_last(&self) -> u16 {
        if !self.mixed {
            self.run()
        } else if self.len <= TWO_BIT_CAPACITY {
            self.two_bit()
        } else {
            self.one_bit()
        }
    }

    fn run(&self) -> u16 {
        (self.symbols[0] as u16) << 13 | self.len as u16
    }

    fn one_bit(&self) -> u16 {
        let symbols = self.symbols.iter().take(self.len).enumerate();
        symbols.fold(0x8000, |bits, (i, &symbol)| bits | (symbol as u16) << (ONE_BIT_CAPACITY - 1 - i))
    }

    fn two_bit(&self) -> u16 {
        let symbols = self.symbols.iter().take(self.len.min(TWO_BIT_CAPACITY)).enumerate();
        symbols.fold(0xc000, |bits, (i, &symbol)| bits | (symbol as u16) << (2 * (TWO_BIT_CAPACITY - 1 - i)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{RtcpError, RtcpPacket, parse_one};
    use super::*;

    const HEADER: TransportCcHeader = TransportCcHeader {
        sender_ssrc: Ssrc(0xfa17fa17),
        media_ssrc: Ssrc(2222),
        base_sequence_number: 1000,
        reference_time: -2,
        feedback_count: 7,
    };

    fn parse(bytes: &[u8]) -> Result<TransportCc<'_>, RtcpError> {
        parse_one(bytes).map(|packet| match packet {
            RtcpPacket::TransportCc(feedback) => feedback,
            other => panic!("{other:?}"),
        })
    }

    fn write(statuses: &[Option<i16>]) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(write_transport_cc(&mut out, &HEADER, statuses, usize::MAX), statuses.len());
        out
    }

    fn deltas(feedback: &TransportCc<'_>) -> Vec<Option<i16>> {
        feedback.statuses().map(|status| status.delta).collect()
    }

    /// The chunks of written feedback.
    fn chunks(bytes: &[u8]) -> Vec<u16> {
        parse(bytes).unwrap().chunks.chunks_exact(2).map(|chunk| u16_at(chunk, 0)).collect()
    }

    #[test]
    fn feedback_of_chrome_is_read_and_written_byte_for_byte() {
        let bytes = [
            0x8f, 0xcd, 0x00, 0x05, 0xfa, 0x17, 0xfa, 0x17, 0x39, 0xe9, 0x42, 0x38, 0x00, 0x01, 0x00, 0x02,
            0xbd, 0x57, 0xaa, 0x00, 0x20, 0x02, 0x8c, 0x44,
        ];
        let feedback = parse(&bytes).unwrap();
        assert_eq!(feedback.header.base_sequence_number, 1);
        assert_eq!(feedback.header.reference_time, -4_368_470);
        assert_eq!(feedback.header.feedback_count, 0);
        let expected = [
            PacketStatus { sequence_number: 1, delta: Some(140) },
            PacketStatus { sequence_number: 2, delta: Some(68) },
        ];
        assert!(feedback.statuses().eq(expected));

        let mut out = Vec::new();
        assert_eq!(write_transport_cc(&mut out, &feedback.header, &deltas(&feedback), 24), 2);
        assert_eq!(out, bytes);
    }

    #[test]
    fn padded_feedback_of_chrome_is_read() {
        let bytes = [
            0xaf, 0xcd, 0x00, 0x06, 0xfa, 0x17, 0xfa, 0x17, 0x1c, 0xb7, 0xda, 0xf3, 0x00, 0x0e, 0x00, 0x04,
            0x00, 0x8a, 0xb0, 0x01, 0x20, 0x04, 0xe8, 0x08, 0x0c, 0xdc, 0x00, 0x02,
        ];
        let feedback = parse(&bytes).unwrap();
        assert_eq!(feedback.header.reference_time, 35504);
        assert_eq!(deltas(&feedback), [Some(232), Some(8), Some(12), Some(220)]);
    }

    #[test]
    fn one_bit_vector_is_read() {
        let bytes = [
            0x8f, 0xcd, 0x00, 0x07, 0xfa, 0x17, 0xfa, 0x17, 0x09, 0xfa, 0xff, 0x67, 0x00, 0x27, 0x00, 0x0d,
            0x5f, 0xc2, 0xf1, 0x03, 0xbf, 0x8e, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1c, 0x04, 0x00,
        ];
        let feedback = parse(&bytes).unwrap();
        assert_eq!((feedback.header.reference_time, feedback.packet_status_count), (6_275_825, 13));
        assert_eq!(
            feedback.received().collect::<Vec<_>>(),
            [(39, 16), (40, 0), (41, 0), (42, 0), (43, 0), (44, 0), (45, 0), (49, 28), (50, 4), (51, 0)]
        );
    }

    #[test]
    fn empty_feedback_is_read() {
        let bytes = [
            0x8f, 0xcd, 0x00, 0x04, 0xfa, 0x17, 0xfa, 0x17, 0x09, 0xfa, 0xff, 0x67, 0x00, 0x27, 0x00, 0x00,
            0xff, 0xff, 0xfe, 0x01,
        ];
        let feedback = parse(&bytes).unwrap();
        assert_eq!(feedback.header.reference_time, -2);
        assert_eq!(feedback.statuses().count(), 0);
    }

    #[test]
    fn chunk_kinds_are_chosen_by_content() {
        let (lost, small, large) = (None, Some(1), Some(-1));
        assert_eq!(chunks(&write(&[small; 20])), [0x2014], "one run");
        assert_eq!(chunks(&write(&[lost; 8191 + 1])), [0x1fff, 0x0001], "runs have 13 bits");
        assert_eq!(chunks(&write(&[large; 3])), [0x4003]);
        assert_eq!(chunks(&write(&[small, lost, large])), [0xc000 | 0b01_00_10 << 8], "short two-bit vector");
        let mut statuses = [small; 14];
        statuses[13] = lost;
        assert_eq!(chunks(&write(&statuses)), [0x8000 | 0x3ffe], "full one-bit vector");
        // The large delta forces out the first seven symbols; the rest goes into one chunk with it.
        let statuses = [small, lost, small, lost, small, lost, small, lost, small, large];
        assert_eq!(chunks(&write(&statuses)), [0xc000 | 0b01_00_01_00_01_00_01, 0xc000 | 0b00_01_10 << 8]);
    }

    #[test]
    fn deltas_take_one_byte_from_0_to_255() {
        let bytes = write(&[Some(0), Some(255), Some(256), Some(-1), Some(i16::MIN), Some(i16::MAX)]);
        assert_eq!(bytes.len(), 20 + 2 + 2 + 8);
        assert_eq!(bytes[22..], [0, 255, 1, 0, 0xff, 0xff, 0x80, 0, 0x7f, 0xff]);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut out = Vec::new();
        let header = TransportCcHeader { base_sequence_number: 65535, ..HEADER };
        write_transport_cc(&mut out, &header, &[Some(1), None, Some(2)], 1200);
        let numbers: Vec<_> = parse(&out).unwrap().statuses().map(|s| s.sequence_number).collect();
        assert_eq!(numbers, [65535, 0, 1]);
    }

    #[test]
    fn inconsistent_feedback_is_malformed() {
        let malformed = Err(RtcpError::Malformed("transport-wide feedback"));
        let packet = |count: u16, content: &[u8]| {
            let mut bytes = vec![0x8f, 0xcd, 0, 4 + (content.len() / 4) as u8];
            bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0]);
            bytes.extend(count.to_be_bytes());
            bytes.extend([0, 0, 0, 0]);
            bytes.extend(content);
            parse(&bytes).map(|feedback| feedback.statuses().count())
        };
        assert_eq!(packet(1, &[]), malformed, "no chunk");
        assert_eq!(packet(65535, &[0x1f, 0xff, 0x1f, 0xff]), malformed, "chunks for 16382 packets only");
        assert_eq!(packet(3, &[0x20, 3, 1, 2]), malformed, "two deltas of three");
        assert_eq!(packet(2, &[0x60, 2, 0, 0]), malformed, "run of the reserved symbol");
        assert_eq!(packet(1, &[0xf0, 0, 0, 0]), malformed, "vector with the reserved symbol");
        assert_eq!(packet(1, &[0xd3, 0xff, 5, 0]), Ok(1), "symbols behind the last packet are ignored");
        assert_eq!(packet(2, &[0x20, 200, 1, 2]), Ok(2), "so is the rest of a run");
        assert_eq!(packet(2, &[0x20, 0, 0x20, 2, 1, 2, 0, 0]), Ok(2), "an empty run says nothing");
    }

    #[test]
    fn feedback_stops_at_the_size_limit() {
        let statuses: Vec<_> = (0..5000).map(|n| (n % 3 != 0).then_some(n % 400)).collect();
        let mut out = vec![9];
        let mut rest = &statuses[..];
        let mut read = Vec::new();
        while !rest.is_empty() {
            out.truncate(1);
            let written = write_transport_cc(&mut out, &HEADER, rest, 1200);
            assert!(written == rest.len() || (1190..=1200).contains(&(out.len() - 1)), "{}", out.len());
            read.extend(deltas(&parse(&out[1..]).unwrap()));
            rest = &rest[written..];
        }
        assert_eq!(read, statuses);

        out.truncate(1);
        assert_eq!(write_transport_cc(&mut out, &HEADER, &statuses, 23), 0);
        assert_eq!(write_transport_cc(&mut out, &HEADER, &[], 1200), 0);
        assert_eq!(out, [9]);
    }

    #[test]
    fn largest_feedback_fits_its_length_field() {
        let statuses = vec![Some(-1); 70_000];
        let mut out = Vec::new();
        assert_eq!(write_transport_cc(&mut out, &HEADER, &statuses, usize::MAX), 65535);
        assert_eq!(parse(&out).unwrap().statuses().len(), 65535);
    }

    fn status() -> impl Strategy<Value = Option<i16>> {
        prop_oneof![Just(None), (0i16..256).prop_map(Some), any::<i16>().prop_map(Some)]
    }

    proptest! {
        #[test]
        fn any_statuses_round_trip(
            runs in prop::collection::vec((status(), prop_oneof![1usize..3, 1usize..30]), 1..80),
            base: u16,
            reference_time in -0x80_0000..=0x7f_ffff,
        ) {
            let statuses: Vec<_> = runs.into_iter().flat_map(|(status, n)| std::iter::repeat_n(status, n)).collect();
            let header = TransportCcHeader { base_sequence_number: base, reference_time, ..HEADER };
            let mut out = Vec::new();
            prop_assert_eq!(write_transport_cc(&mut out, &header, &statuses, usize::MAX), statuses.len());
            let feedback = parse(&out).unwrap();
            prop_assert_eq!(feedback.header, header);
            prop_assert_eq!(deltas(&feedback), &statuses[..]);
            let received = feedback.statuses().filter_map(|s| s.delta.map(|delta| (s.sequence_number, delta)));
            prop_assert!(feedback.received().eq(received));

            // With exactly that size all statuses fit; with one word less, some are left out.
            let mut limited = Vec::new();
            prop_assert_eq!(write_transport_cc(&mut limited, &header, &statuses, out.len()), statuses.len());
            limited.clear();
            prop_assert!(write_transport_cc(&mut limited, &header, &statuses, out.len() - 4) < statuses.len());
            prop_assert!(limited.len() <= out.len() - 4);
        }
    }
}
