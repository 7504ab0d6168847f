//! SCTP's wire format (RFC 9260 §3, RFC 3758, RFC 6525).

use crc::{CRC_32_ISCSI, Crc, Table};

use super::MAX_PACKET;

/// Source port, destination port, verification tag, checksum.
pub(super) const HEADER_LEN: usize = 12;
pub(super) const CHUNK_HEADER_LEN: usize = 4;
/// TSN, stream identifier and sequence number, payload protocol identifier.
const DATA_HEADER_LEN: usize = 12;
/// Length of the chunk header and the DATA header.
pub(super) const DATA_CHUNK_HEADER_LEN: usize = CHUNK_HEADER_LEN + DATA_HEADER_LEN;
/// Fixed parts of the values of SACK and FORWARD-TSN chunks.
const SACK_LEN: usize = 12;
const FORWARD_TSN_LEN: usize = 4;
/// Fixed part of an INIT chunk's value.
const INIT_LEN: usize = 16;
static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Chunk types (RFC 9260 §3.2, RFC 3758, RFC 6525).
pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    pub(crate) const RE_CONFIG: u8 = 130;
    pub(crate) const FORWARD_TSN: u8 = 192;
}

/// Parameter types (RFC 9260 §3.3.3, RFC 5061 §4.2.7, RFC 3758 §3.1, RFC 6525 §4).
mod parameter {
    pub(super) const STATE_COOKIE: u16 = 7;
    pub(super) const OUTGOING_RESET: u16 = 13;
    pub(super) const INCOMING_RESET: u16 = 14;
    pub(super) const TSN_RESET: u16 = 15;
    pub(super) const RECONFIG_RESPONSE: u16 = 16;
    pub(super) const ADD_OUTGOING: u16 = 17;
    pub(super) const ADD_INCOMING: u16 = 18;
    pub(super) const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    pub(super) const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
}

/// Source and destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) source: u16,
    pub(super) destination: u16,
}

impl Ports {
    pub(super) fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

/// A packet whose chunk lengths fit the packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    bytes: &'a [u8],
}

/// One chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) value: &'a [u8],
    /// Header, value and padding.
    pub(super) whole: &'a [u8],
}

/// A DATA chunk (RFC 9260 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataChunk<'a> {
    /// Transmission sequence number.
    pub(super) tsn: u32,
    pub(super) stream: u16,
    /// Stream sequence number.
    pub(super) ssn: u16,
    /// Payload protocol identifier.
    pub(super) ppid: u32,
    pub(super) flags: FlagsOfData,
    pub(super) payload: &'a [u8],
}

/// Flags of a DATA chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlagsOfData {
    /// True for the first fragment of a message.
    pub(super) begins: bool,
    pub(super) ends: bool,
    pub(super) unordered: bool,
    /// True if the chunk has to be acknowledged at once (I bit).
    pub(super) immediate: bool,
}

/// A SACK chunk (RFC 9260 §3.3.4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sack<'a> {
    pub(super) cumulative: u32,
    pub(super) window: u32,
    gaps: &'a [u8],
}

/// A FORWARD-TSN chunk (RFC 3758 §3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct ForwardTsn<'a> {
    pub(super) cumulative: u32,
    skipped: &'a [u8],
}

/// A parameter of a RE-CONFIG chunk (RFC 6525 §4).
#[derive(Clone, Copy, Debug)]
pub(super) enum ReConfig<'a> {
    Reset(ResetRequest<'a>),
    Response {
        number: u32,
        result: u32,
    },
    /// Any other request, by its number.
    Other(u32),
}

/// An Outgoing SSN Reset Request (RFC 6525 §4.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct ResetRequest<'a> {
    pub(super) number: u32,
    pub(super) last_tsn: u32,
    streams: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// `None` unless it is a DATA chunk.
    pub(super) fn data(&self) -> Option<DataChunk<'a>> {
        let header = self.value.get(..DATA_HEADER_LEN).filter(|_| self.kind == kind::DATA)?;
        Some(DataChunk {
            tsn: u32_at(header, 0),
            stream: u16_at(header, 4),
            ssn: u16_at(header, 6),
            ppid: u32_at(header, 8),
            flags: FlagsOfData::from_bits(self.flags),
            payload: &self.value[DATA_HEADER_LEN..],
        })
    }

    /// `None` unless it is a SACK chunk.
    pub(super) fn sack(&self) -> Option<Sack<'a>> {
        let header = self.value.get(..SACK_LEN).filter(|_| self.kind == kind::SACK)?;
        let gaps = self.value.get(SACK_LEN..SACK_LEN + 4 * usize::from(u16_at(header, 8)))?;
        Some(Sack { cumulative: u32_at(header, 0), window: u32_at(header, 4), gaps })
    }

    /// `None` unless it is a FORWARD-TSN chunk.
    pub(super) fn forward_tsn(&self) -> Option<ForwardTsn<'a>> {
        if self.kind != kind::FORWARD_TSN || self.value.len() < FORWARD_TSN_LEN {
            return None;
        }
        let (cumulative, skipped) = self.value.split_at(FORWARD_TSN_LEN);
        Some(ForwardTsn { cumulative: u32_at(cumulative, 0), skipped })
    }

    /// Well-formed parameters of a RE-CONFIG chunk, at most two (RFC 6525 §3.1).
    pub(super) fn reconfig(&self) -> impl Iterator<Item = ReConfig<'a>> + use<'a> {
        let mut rest = if self.kind == kind::RE_CONFIG { self.value } else { &[] };
        let parameters = std::iter::from_fn(move || {
            let header = rest.get(..CHUNK_HEADER_LEN)?;
            let (kind, len) = (u16_at(header, 0), usize::from(u16_at(header, 2)));
            let content = rest.get(CHUNK_HEADER_LEN..len)?;
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, content))
        });
        parameters.take(2).filter_map(|(kind, content)| {
            let number = content.get(..4).map(|number| u32_at(number, 0))?;
            match kind {
                parameter::OUTGOING_RESET => {
                    let last_tsn = content.get(8..12).map(|tsn| u32_at(tsn, 0))?;
                    Some(ReConfig::Reset(ResetRequest { number, last_tsn, streams: &content[12..] }))
                }
                parameter::RECONFIG_RESPONSE => {
                    let result = content.get(4..8).map(|result| u32_at(result, 0))?;
                    Some(ReConfig::Response { number, result })
                }
                parameter::INCOMING_RESET
                | parameter::TSN_RESET
                | parameter::ADD_OUTGOING
                | parameter::ADD_INCOMING => Some(ReConfig::Other(number)),
                _ => None,
            }
        })
    }
}

impl FlagsOfData {
    fn from_bits(bits: u8) -> Self {
        Self {
            ends: bits & 1 != 0,
            begins: bits & 2 != 0,
            unordered: bits & 4 != 0,
            immediate: bits & 8 != 0,
        }
    }

    fn bits(self) -> u8 {
        u8::from(self.ends)
            | u8::from(self.begins) << 1
            | u8::from(self.unordered) << 2
            | u8::from(self.immediate) << 3
    }
}

impl Sack<'_> {
    /// Gap blocks: first and last TSN as offsets from the cumulative TSN.
    pub(super) fn gaps(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.gaps.chunks_exact(4).map(|gap| (u16_at(gap, 0), u16_at(gap, 2)))
    }
}

impl ForwardTsn<'_> {
    /// Streams and the last stream sequence number that is skipped on each.
    pub(super) fn skipped(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.skipped.chunks_exact(4).map(|skipped| (u16_at(skipped, 0), u16_at(skipped, 2)))
    }
}

impl ResetRequest<'_> {
    /// Streams to reset; no streams mean all.
    pub(super) fn streams(&self) -> impl Iterator<Item = u16> + '_ {
        self.streams.chunks_exact(2).map(|stream| u16_at(stream, 0))
    }
}

/// A Re-configuration Response parameter (RFC 6525 §4.4).
pub(super) fn reconfig_response(number: u32, result: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    let content = [number.to_be_bytes(), result.to_be_bytes()].concat();
    write_parameter(&mut out, parameter::RECONFIG_RESPONSE, &content);
    out
}

/// An Outgoing SSN Reset Request parameter (RFC 6525 §4.1). `answers` is the number of the peer's last request.
pub(super) fn reset_request(number: u32, answers: u32, last_tsn: u32, streams: &[u16]) -> Vec<u8> {
    let mut content = [number, answers, last_tsn].map(u32::to_be_bytes).concat();
    content.extend(streams.iter().flat_map(|stream| stream.to_be_bytes()));
    let mut out = Vec::with_capacity(CHUNK_HEADER_LEN + content.len());
    write_parameter(&mut out, parameter::OUTGOING_RESET, &content);
    out
}

impl<'a> Packet<'a> {
    /// Parses a packet. `None` unless there is a first chunk and all chunks fit. The checksum is not verified.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let packet = Self { bytes };
        let mut rest = bytes.get(HEADER_LEN..).filter(|rest| !rest.is_empty())?;
        while !rest.is_empty() {
            let chunk = split_chunk(rest)?;
            rest = &rest[chunk.whole.len()..];
        }
        Some(packet)
    }

    /// Length of the whole packet in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn ports(&self) -> Ports {
        Ports { source: u16_at(self.bytes, 0), destination: u16_at(self.bytes, 2) }
    }

    pub(super) fn tag(&self) -> u32 {
        u32_at(self.bytes, 4)
    }

    pub(super) fn checksum_is_right(&self) -> bool {
        let sent = u32::from_le_bytes(self.bytes[8..12].try_into().expect("a range of four"));
        sent == checksum(self.bytes)
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let mut rest = &self.bytes[HEADER_LEN..];
        std::iter::from_fn(move || {
            let chunk = split_chunk(rest)?;
            rest = &rest[chunk.whole.len()..];
            Some(chunk)
        })
    }

    pub(super) fn first(&self) -> Chunk<'a> {
        split_chunk(&self.bytes[HEADER_LEN..]).expect("parse saw a first chunk")
    }
}

fn split_chunk(bytes: &[u8]) -> Option<Chunk<'_>> {
    if bytes.len() < CHUNK_HEADER_LEN {
        return None;
    }
    let len = usize::from(u16_at(bytes, 2));
    // RFC 9260 §3.2: the padding of the last chunk may be missing; this receiver is lenient.
    let padded = len.next_multiple_of(4).min(bytes.len());
    let value = bytes.get(CHUNK_HEADER_LEN..len)?;
    Some(Chunk { kind: bytes[0], flags: bytes[1], value, whole: &bytes[..padded] })
}

/// Writer of one packet.
#[derive(Debug)]
pub(super) struct PacketWriter {
    bytes: Vec<u8>,
}

impl PacketWriter {
    pub(super) fn new(ports: Ports, tag: u32) -> Self {
        let mut bytes = Vec::with_capacity(160);
        bytes.extend_from_slice(&ports.source.to_be_bytes());
        bytes.extend_from_slice(&ports.destination.to_be_bytes());
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes }
    }

    /// Adds a chunk of at most 64 KiB.
    pub(super) fn chunk(mut self, kind: u8, flags: u8, value: &[u8]) -> Self {
        write_chunk(&mut self.bytes, kind, flags, value);
        self
    }

    /// Adds a chunk.
    pub(super) fn append(&mut self, kind: u8, flags: u8, value: &[u8]) {
        write_chunk(&mut self.bytes, kind, flags, value);
    }

    /// Adds a DATA chunk (RFC 9260 §3.3.1).
    pub(super) fn append_data(&mut self, chunk: &DataChunk<'_>) {
        let out = &mut self.bytes;
        out.extend_from_slice(&[kind::DATA, chunk.flags.bits()]);
        out.extend_from_slice(&((DATA_CHUNK_HEADER_LEN + chunk.payload.len()) as u16).to_be_bytes());
        out.extend_from_slice(&chunk.tsn.to_be_bytes());
        out.extend_from_slice(&chunk.stream.to_be_bytes());
        out.extend_from_slice(&chunk.ssn.to_be_bytes());
        out.extend_from_slice(&chunk.ppid.to_be_bytes());
        out.extend_from_slice(chunk.payload);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    /// Length so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if a DATA chunk with this payload fits into a packet of [`MAX_PACKET`].
    pub(super) fn has_room(&self, payload: usize) -> bool {
        self.bytes.len() + DATA_CHUNK_HEADER_LEN + payload.next_multiple_of(4) <= MAX_PACKET
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let sum = checksum(&self.bytes).to_le_bytes();
        self.bytes[8..12].copy_from_slice(&sum);
        self.bytes
    }
}

/// Parameters of INIT and INIT ACK, about the side that sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Init {
    /// Verification tag of packets to that side.
    pub(super) tag: u32,
    /// Receive window in bytes.
    pub(super) window: u32,
    pub(super) outbound_streams: u16,
    pub(super) inbound_streams: u16,
    /// TSN of its first DATA chunk.
    pub(super) tsn: u32,
    /// True if that side supports partial reliability (RFC 3758).
    pub(super) forward_tsn: bool,
    /// True if that side supports stream resets (RFC 6525).
    pub(super) re_config: bool,
}

impl Init {
    /// Parses the value of an INIT or INIT ACK, with its state cookie. `None` if it is malformed or contains forbidden
    /// values (RFC 9260 §3.3.2: a zero tag, zero streams, or a window below 1500 bytes).
    pub(super) fn parse(value: &[u8]) -> Option<(Self, Option<&[u8]>)> {
        let fixed = value.get(..INIT_LEN)?;
        let mut init = Self {
            tag: u32_at(fixed, 0),
            window: u32_at(fixed, 4),
            outbound_streams: u16_at(fixed, 8),
            inbound_streams: u16_at(fixed, 10),
            tsn: u32_at(fixed, 12),
            forward_tsn: false,
            re_config: false,
        };
        if init.tag == 0 || init.outbound_streams == 0 || init.inbound_streams == 0 || init.window < 1500 {
            return None;
        }
        let mut cookie = None;
        let mut rest = &value[INIT_LEN..];
        while rest.len() >= CHUNK_HEADER_LEN {
            let (kind, len) = (u16_at(rest, 0), usize::from(u16_at(rest, 2)));
            let content = rest.get(CHUNK_HEADER_LEN..len)?;
            match kind {
                parameter::STATE_COOKIE => cookie = Some(content),
                parameter::FORWARD_TSN_SUPPORTED => init.forward_tsn = true,
                parameter::SUPPORTED_EXTENSIONS => {
                    init.forward_tsn |= content.contains(&kind::FORWARD_TSN);
                    init.re_config |= content.contains(&kind::RE_CONFIG);
                }
                // RFC 9260 §3.2.1: the highest bit of an unknown parameter states whether the following ones are
                // parsed.
                unknown if unknown & 0x8000 == 0 && !is_known_and_unused(unknown) => break,
                _ => {}
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Some((init, cookie))
    }

    /// Value of an INIT, or with a cookie of an INIT ACK.
    pub(super) fn value(&self, cookie: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        out.extend_from_slice(&self.tag.to_be_bytes());
        out.extend_from_slice(&self.window.to_be_bytes());
        out.extend_from_slice(&self.outbound_streams.to_be_bytes());
        out.extend_from_slice(&self.inbound_streams.to_be_bytes());
        out.extend_from_slice(&self.tsn.to_be_bytes());
        if let Some(cookie) = cookie {
            write_parameter(&mut out, parameter::STATE_COOKIE, cookie);
        }
        if self.forward_tsn {
            write_parameter(&mut out, parameter::FORWARD_TSN_SUPPORTED, &[]);
        }
        let extensions: &[u8] = match (self.re_config, self.forward_tsn) {
            (true, true) => &[kind::RE_CONFIG, kind::FORWARD_TSN],
            (true, false) => &[kind::RE_CONFIG],
            (false, true) => &[kind::FORWARD_TSN],
            (false, false) => &[],
        };
        write_parameter(&mut out, parameter::SUPPORTED_EXTENSIONS, extensions);
        out
    }
}

/// Addresses, cookie preservative, host name and supported address types are ignored, and parsing continues.
fn is_known_and_unused(parameter: u16) -> bool {
    matches!(parameter, 5 | 6 | 9 | 11 | 12)
}

fn write_chunk(out: &mut Vec<u8>, kind: u8, flags: u8, value: &[u8]) {
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&((CHUNK_HEADER_LEN + value.len()) as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn write_parameter(out: &mut Vec<u8>, kind: u16, content: &[u8]) {
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&((CHUNK_HEADER_LEN + content.len()) as u16).to_be_bytes());
    out.extend_from_slice(content);
}

/// CRC32c of a packet, computed with a checksum field of zero (RFC 9260 §6.8).
fn checksum(packet: &[u8]) -> u32 {
    let mut digest = CRC32C.digest();
    digest.update(&packet[..8]);
    digest.update(&[0; 4]);
    digest.update(&packet[HEADER_LEN..]);
    digest.finalize()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: Init = Init {
        tag: 0x1234_5678,
        window: 131_072,
        outbound_streams: 65_535,
        inbound_streams: 1024,
        tsn: 7,
        forward_tsn: true,
        re_config: true,
    };

    #[test]
    fn init_round_trips() {
        let value = INIT.value(Some(b"cookie!"));
        assert_eq!(Init::parse(&value), Some((INIT, Some(&b"cookie!"[..]))));
        let plain = Init { forward_tsn: false, re_config: false, ..INIT };
        assert_eq!(Init::parse(&plain.value(None)), Some((plain, None)));
    }

    #[test]
    fn init_with_forbidden_values_is_refused() {
        for bad in [
            Init { tag: 0, ..INIT },
            Init { outbound_streams: 0, ..INIT },
            Init { inbound_streams: 0, ..INIT },
            Init { window: 1499, ..INIT },
        ] {
            assert_eq!(Init::parse(&bad.value(None)), None);
        }
        assert_eq!(Init::parse(&INIT.value(None)[..15]), None);
    }

    #[test]
    fn unknown_parameter_stops_or_is_skipped_by_its_highest_bit() {
        let mut skipped = INIT.value(None)[..INIT_LEN].to_vec();
        write_parameter(&mut skipped, 0x8001, b"zz");
        write_parameter(&mut skipped, parameter::FORWARD_TSN_SUPPORTED, &[]);
        assert!(Init::parse(&skipped).expect("well formed").0.forward_tsn);
        let mut stopped = INIT.value(None)[..INIT_LEN].to_vec();
        write_parameter(&mut stopped, 0x4001, b"zz");
        write_parameter(&mut stopped, parameter::FORWARD_TSN_SUPPORTED, &[]);
        assert!(!Init::parse(&stopped).expect("well formed").0.forward_tsn);
    }

    #[test]
    fn packet_has_a_checksum_that_covers_all_of_it() {
        let ports = Ports { source: 5000, destination: 5001 };
        let bytes =
            PacketWriter::new(ports, 9).chunk(kind::COOKIE_ACK, 0, &[]).chunk(3, 1, b"abcde").finish();
        let packet = Packet::parse(&bytes).expect("well formed");
        assert!(packet.checksum_is_right());
        assert_eq!((packet.ports(), packet.tag()), (ports, 9));
        assert_eq!(packet.chunks().map(|c| (c.kind, c.value.len())).collect::<Vec<_>>(), [(11, 0), (3, 5)]);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            assert!(Packet::parse(&bad).is_none_or(|packet| !packet.checksum_is_right()), "byte {at}");
        }
    }

    #[test]
    fn checksum_is_that_of_the_rfc() {
        // RFC 3720 §B.4: 32 bytes of zeros.
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn truncated_chunks_are_refused() {
        let ports = Ports { source: 1, destination: 2 };
        let bytes = PacketWriter::new(ports, 3).chunk(0, 3, b"12345678").finish();
        for len in 0..bytes.len() {
            assert!(Packet::parse(&bytes[..len]).is_none(), "{len} bytes");
        }
        let mut zero = bytes;
        zero[15] = 0;
        assert!(Packet::parse(&zero).is_none());
    }
}
