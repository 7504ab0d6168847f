//! Inspection of the first datagrams of a handshake before a library sees them: the client's offer, and a server's
//! refusal. This data is not authenticated; it only chooses among acceptable handshakes.

use std::ops::Range;

/// Length of the header of a plaintext record (RFC 6347 §4.1).
const RECORD_HEADER_LEN: usize = 13;
/// Bound of plaintext record sequence numbers, which no handshake reaches with all its retransmissions.
const MAX_PLAINTEXT_RECORDS: u64 = 1 << 16;
/// Most records of a datagram. A flight of the longest handshake has six; each record costs the library far more than
/// its bytes cost an attacker.
const MAX_RECORDS: usize = 16;
/// Longest reassembled ClientHello in bytes: it fits in one record (RFC 6347 §4.1). With a post-quantum key share a
/// ClientHello has about 2000.
const MAX_CLIENT_HELLO: usize = (1 << 14) - FRAGMENT_HEADER_LEN;
/// Most separate ranges of a ClientHello kept. A peer sends a few fragments of 1000 bytes.
const MAX_STRETCHES: usize = 64;
const FRAGMENT_HEADER_LEN: usize = 12;

const CONTENT_CHANGE_CIPHER_SPEC: u8 = 20;
const CONTENT_ALERT: u8 = 21;
const CONTENT_HANDSHAKE: u8 = 22;
const CONTENT_ACK: u8 = 26;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const ALERT_LEVEL_FATAL: u8 = 2;
const EXTENSION_USE_SRTP: u16 = 14;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const DTLS_1_2: u16 = 0xfefd;
const DTLS_1_3: u16 = 0xfefc;

/// Reassembles a ClientHello from fragments in any order. A fragment costs its length and at most [`MAX_STRETCHES`]
/// steps.
#[derive(Debug, Default)]
pub(super) struct ClientHelloBuffer {
    /// Sequence number of the message.
    message_seq: u16,
    /// Length of the whole message.
    length: usize,
    /// Received bytes of the message, with zeros in the gaps.
    body: Vec<u8>,
    /// Received ranges of `body`, ascending, with a gap between any two.
    stretches: Vec<Range<usize>>,
    /// Version of the records.
    version: u16,
    /// Highest sequence number of its records.
    sequence: u64,
}

impl ClientHelloBuffer {
    /// Adds one datagram. Returns the client's offer once the ClientHello is complete. Anything but a fragment of a
    /// ClientHello is ignored.
    pub(super) fn push(&mut self, datagram: &[u8]) -> Option<ClientHello> {
        let mut is_newer = false;
        for (record, part) in fragments(datagram) {
            is_newer |= self.add(&record, &part);
        }
        if !is_newer || !self.is_whole() {
            return None;
        }
        let hello = ClientHello::parse(&self.body);
        if hello.is_none() {
            *self = Self::default();
        }
        hello
    }

    /// The client's offer, if the ClientHello is complete.
    pub(super) fn hello(&self) -> Option<ClientHello> {
        if self.is_whole() { ClientHello::parse(&self.body) } else { None }
    }

    /// The complete ClientHello as one record for the library.
    pub(super) fn into_record(self) -> Vec<u8> {
        let u24 = |value: usize| (value as u32).to_be_bytes();
        let mut record = Vec::with_capacity(RECORD_HEADER_LEN + FRAGMENT_HEADER_LEN + self.body.len());
        record.push(CONTENT_HANDSHAKE);
        record.extend(self.version.to_be_bytes());
        // Epoch 0 and a 48-bit sequence number, which no later record has.
        record.extend(self.sequence.to_be_bytes());
        record.extend(((FRAGMENT_HEADER_LEN + self.body.len()) as u16).to_be_bytes());
        record.push(HANDSHAKE_CLIENT_HELLO);
        record.extend(&u24(self.body.len())[1..]);
        record.extend(self.message_seq.to_be_bytes());
        record.extend([0; 3]);
        record.extend(&u24(self.body.len())[1..]);
        record.extend(self.body);
        record
    }

    fn is_whole(&self) -> bool {
        self.length > 0 && self.stretches.first() == Some(&(0..self.length))
    }

    /// Adds a fragment. Returns false if it is not usable.
    fn add(&mut self, record: &RecordHeader, part: &Fragment<'_>) -> bool {
        let range = part.offset..part.offset + part.bytes.len();
        if part.message_seq != self.message_seq || part.length != self.length || self.contradicts(part) {
            // A new ClientHello, or an earlier message that was none.
            *self = Self { message_seq: part.message_seq, length: part.length, ..Self::default() };
        }
        // Ranges that the fragment touches are merged.
        let first = self.stretches.partition_point(|known| known.end < range.start);
        let after = self.stretches.partition_point(|known| known.start <= range.end);
        if first == after && self.stretches.len() == MAX_STRETCHES {
            return false;
        }
        if self.body.len() < range.end {
            self.body.resize(range.end, 0);
        }
        self.body[range.clone()].copy_from_slice(part.bytes);
        let touched = &self.stretches[first..after];
        let start = touched.first().map_or(range.start, |known| known.start.min(range.start));
        let end = touched.last().map_or(range.end, |known| known.end.max(range.end));
        self.stretches.splice(first..after, std::iter::once(start..end));
        self.version = record.version;
        self.sequence = self.sequence.max(record.sequence);
        true
    }

    /// True if a fragment contradicts bytes received before.
    fn contradicts(&self, part: &Fragment<'_>) -> bool {
        let end = part.offset + part.bytes.len();
        let first = self.stretches.partition_point(|known| known.end <= part.offset);
        self.stretches[first..].iter().take_while(|known| known.start < end).any(|known| {
            let common = known.start.max(part.offset)..known.end.min(end);
            self.body[common.clone()] != part.bytes[common.start - part.offset..common.end - part.offset]
        })
    }
}

/// The parts of a client's offer that decide the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// True if it offers DTLS 1.2, by name or by naming no versions.
    pub(super) dtls12: bool,
    /// True if it offers DTLS 1.3.
    pub(super) dtls13: bool,
    /// Cipher suites by IANA number.
    pub(super) cipher_suites: Vec<u16>,
    /// SRTP protection profiles by IANA number, in the client's order. Empty without the use_srtp extension.
    pub(super) srtp_profiles: Vec<u16>,
}

impl ClientHello {
    /// RFC 6347 §4.2.1 with the extensions of RFC 8446 §4.1.2.
    fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        reader.take(2 + 32)?; // client_version, random
        reader.vec8()?; // session_id
        reader.vec8()?; // cookie
        let cipher_suites = u16_list(reader.vec16()?);
        reader.vec8()?; // compression_methods
        let mut hello = Self { dtls12: true, cipher_suites, ..Self::default() };
        if reader.0.is_empty() {
            return Some(hello);
        }
        let mut extensions = Reader(reader.vec16()?);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let mut data = Reader(extensions.vec16()?);
            match kind {
                EXTENSION_USE_SRTP => hello.srtp_profiles = u16_list(data.vec16()?),
                EXTENSION_SUPPORTED_VERSIONS => {
                    let versions = u16_list(data.vec8()?);
                    hello.dtls12 = versions.contains(&DTLS_1_2);
                    hello.dtls13 = versions.contains(&DTLS_1_3);
                }
                _ => {}
            }
        }
        Some(hello)
    }
}

/// True if a datagram consists of a few whole and plausible DTLS records. The libraries check plaintext less strictly:
/// dimpl moves its replay window to any sequence number, and libssl fails on a bad fragment length.
pub fn is_plausible(datagram: &[u8]) -> bool {
    let mut reader = Reader(datagram);
    let mut records = 0;
    while !reader.0.is_empty() {
        records += 1;
        let plausible = records <= MAX_RECORDS
            && match reader.record() {
                Some(Record::Encrypted) => true,
                Some(Record::Plaintext { header, contents }) => {
                    header.sequence < MAX_PLAINTEXT_RECORDS
                        && match header.kind {
                            CONTENT_CHANGE_CIPHER_SPEC => contents == [1],
                            CONTENT_ALERT => contents.len() == 2,
                            CONTENT_HANDSHAKE => are_fragments(contents),
                            CONTENT_ACK => true,
                            _ => false,
                        }
                }
                None => false,
            };
        if !plausible {
            return false;
        }
    }
    !datagram.is_empty()
}

/// Splits a datagram into its records, headers included.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let mut reader = Reader(rest);
        reader.record()?;
        let (record, after) = rest.split_at(rest.len() - reader.0.len());
        rest = after;
        Some(record)
    })
}

/// True if a plaintext handshake record consists of whole handshake fragments, each within its message.
fn are_fragments(record: &[u8]) -> bool {
    let mut reader = Reader(record);
    while !reader.0.is_empty() {
        if reader.fragment().is_none() {
            return false;
        }
    }
    !record.is_empty()
}

/// The description of a fatal plaintext alert, such as a server's refusal of a ClientHello.
pub(super) fn fatal_alert(datagram: &[u8]) -> Option<u8> {
    let (header, body) = plaintext_records(datagram).next()?;
    match body {
        [ALERT_LEVEL_FATAL, description] if header.kind == CONTENT_ALERT => Some(*description),
        _ => None,
    }
}

/// One fragment of a handshake message (RFC 6347 §4.2.2).
struct Fragment<'a> {
    kind: u8,
    length: usize,
    message_seq: u16,
    offset: usize,
    bytes: &'a [u8],
}

/// The fragments of ClientHellos in a datagram.
fn fragments(datagram: &[u8]) -> impl Iterator<Item = (RecordHeader, Fragment<'_>)> {
    plaintext_records(datagram)
        .filter(|(header, _)| header.kind == CONTENT_HANDSHAKE)
        .flat_map(|(header, record)| {
            let mut reader = Reader(record);
            std::iter::from_fn(move || Some((header, reader.fragment()?)))
        })
        .filter(|(_, part)| part.kind == HANDSHAKE_CLIENT_HELLO)
        .filter(|(_, part)| part.length <= MAX_CLIENT_HELLO && !part.bytes.is_empty())
}

/// The unencrypted records at the start of a datagram: headers and contents.
fn plaintext_records(datagram: &[u8]) -> impl Iterator<Item = (RecordHeader, &[u8])> {
    let mut reader = Reader(datagram);
    std::iter::from_fn(move || match reader.record()? {
        Record::Plaintext { header, contents } => Some((header, contents)),
        Record::Encrypted => None,
    })
}

/// Header of a plaintext record.
#[derive(Clone, Copy)]
struct RecordHeader {
    kind: u8,
    version: u16,
    sequence: u64,
}

enum Record<'a> {
    Plaintext { header: RecordHeader, contents: &'a [u8] },
    Encrypted,
}

fn u16_list(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// Reads TLS presentation language; `None` when the bytes run out.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let first = self.u8()?;
        // RFC 9147 §4: the unified header is 001CSLEE. No connection id is ever negotiated, so C is 0.
        if first >> 4 == 0b0010 {
            self.take(if first & 0b1000 == 0 { 1 } else { 2 })?; // sequence number
            match first & 0b0100 {
                0 => self.take(self.0.len())?,
                _ => self.vec16()?,
            };
            return Some(Record::Encrypted);
        }
        // RFC 6347 §4.1. There is no renegotiation, so after epoch 0 there is only 1.
        let version = self.u16()?;
        let epoch = self.u16()?;
        let sequence = self.take(6)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let contents = self.vec16()?;
        match epoch {
            _ if !(CONTENT_CHANGE_CIPHER_SPEC..=CONTENT_ACK).contains(&first) || version >> 8 != 0xfe => None,
            0 => {
                Some(Record::Plaintext { header: RecordHeader { kind: first, version, sequence }, contents })
            }
            1 => Some(Record::Encrypted),
            _ => None,
        }
    }

    fn fragment(&mut self) -> Option<Fragment<'a>> {
        let kind = self.u8()?;
        let length = self.u24()?;
        let message_seq = self.u16()?;
        let offset = self.u24()?;
        let fragment_length = self.u24()?;
        let bytes = self.take(fragment_length)?;
        (offset + bytes.len() <= length).then_some(Fragment { kind, length, message_seq, offset, bytes })
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u24(&mut self) -> Option<usize> {
        self.take(3)
            .map(|bytes| usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]))
    }

    fn vec8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(len.into())
    }

    fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0]); // session_id, cookie
        body.extend([0, 4, 0xc0, 0x2b, 0x00, 0x9f]);
        body.extend([1, 0]);
        let mut list = Vec::new();
        for (kind, data) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend((data.len() as u16).to_be_bytes());
            list.extend_from_slice(data);
        }
        body.extend((list.len() as u16).to_be_bytes());
        body.extend(list);
        body
    }

    fn record(body: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
        let u24 = |value: usize| [(value >> 16) as u8, (value >> 8) as u8, value as u8];
        let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend(((12 + range.len()) as u16).to_be_bytes());
        record.push(1);
        record.extend(u24(body.len()));
        record.extend([0, 0]);
        record.extend(u24(range.start));
        record.extend(u24(range.len()));
        record.extend_from_slice(&body[range]);
        record
    }

    #[test]
    fn offer_is_read_from_one_datagram() {
        let body = body(&[(14, &[0, 4, 0, 1, 0, 7, 0]), (43, &[4, 0xfe, 0xfc, 0xfe, 0xfd])]);
        let hello = ClientHelloBuffer::default().push(&record(&body, 0..body.len())).unwrap();
        assert_eq!(
            hello,
            ClientHello {
                dtls12: true,
                dtls13: true,
                cipher_suites: vec![0xc02b, 0x009f],
                srtp_profiles: vec![1, 7]
            }
        );
    }

    #[test]
    fn client_without_supported_versions_offers_dtls12_only() {
        let body = body(&[]);
        let hello = ClientHelloBuffer::default().push(&record(&body, 0..body.len())).unwrap();
        assert!(hello.dtls12 && !hello.dtls13 && hello.srtp_profiles.is_empty());
    }

    #[test]
    fn fragments_are_reassembled_in_any_order_and_with_overlap() {
        let body = body(&[(14, &[0, 2, 0, 2, 0])]);
        let mut buffer = ClientHelloBuffer::default();
        assert_eq!(buffer.push(&record(&body, 40..body.len())), None);
        assert_eq!(buffer.push(&record(&body, 0..20)), None);
        assert_eq!(buffer.push(&record(&body, 0..20)), None);
        let hello = buffer.push(&record(&body, 10..45)).unwrap();
        assert_eq!(hello.srtp_profiles, [2]);
        assert_eq!(buffer.into_record(), record(&body, 0..body.len()));
    }

    #[test]
    fn several_fragments_in_a_record_or_datagram_all_count() {
        let body = body(&[(14, &[0, 2, 0, 7, 0])]);
        let cuts = [0..20, 30..body.len(), 20..30];
        let records: Vec<u8> = cuts.iter().flat_map(|range| record(&body, range.clone())).collect();
        assert!(ClientHelloBuffer::default().push(&records).is_some());
        let fragments: Vec<u8> = cuts
            .iter()
            .flat_map(|range| record(&body, range.clone())[RECORD_HEADER_LEN..].to_vec())
            .collect();
        let mut packed = record(&body, 0..20)[..RECORD_HEADER_LEN - 2].to_vec();
        packed.extend((fragments.len() as u16).to_be_bytes());
        packed.extend(fragments);
        assert!(is_plausible(&packed));
        assert!(ClientHelloBuffer::default().push(&packed).is_some());
    }

    #[test]
    fn record_for_the_library_has_the_highest_received_number() {
        let body = body(&[]);
        let mut buffer = ClientHelloBuffer::default();
        for (number, range) in [(7, 20..body.len()), (6, 0..20)] {
            let mut part = record(&body, range);
            part[10] = number;
            buffer.push(&part);
        }
        assert_eq!(buffer.into_record()[..RECORD_HEADER_LEN - 2], [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn fragments_of_one_byte_take_time_and_memory_in_proportion() {
        let padding = vec![0; 8000];
        let body = body(&[(14, &[0, 2, 0, 7, 0]), (21, &padding)]);
        let mut buffer = ClientHelloBuffer::default();
        for at in 0..body.len() - 1 {
            assert_eq!(buffer.push(&record(&body, at..at + 1)), None);
            assert_eq!(buffer.stretches.len(), 1);
        }
        assert!(buffer.push(&record(&body, body.len() - 1..body.len())).is_some());

        // Every other byte first: fragments that would leave too many holes are dropped, and those that fill holes are
        // kept.
        let mut buffer = ClientHelloBuffer::default();
        for at in (0..body.len()).step_by(2) {
            assert_eq!(buffer.push(&record(&body, at..at + 1)), None);
            assert!(buffer.stretches.len() <= MAX_STRETCHES && buffer.body.len() <= MAX_CLIENT_HELLO);
        }
        assert!(buffer.push(&record(&body, 0..body.len())).is_some());
    }

    #[test]
    fn another_hello_replaces_an_incomplete_one() {
        let one = body(&[(14, &[0, 2, 0, 7, 0])]);
        let mut other = one.clone();
        other[5] = 8;
        let mut buffer = ClientHelloBuffer::default();
        assert_eq!(buffer.push(&record(&one, 0..30)), None);
        assert_eq!(buffer.push(&record(&other, 0..20)), None);
        assert!(buffer.push(&record(&other, 20..other.len())).is_some());
        assert_eq!(buffer.into_record(), record(&other, 0..other.len()));

        let mut buffer = ClientHelloBuffer::default();
        for _ in 0..100 {
            assert_eq!(buffer.push(&record(&one, 3..9)), None);
        }
        let shorter = body(&[]);
        assert!(buffer.push(&record(&shorter, 0..shorter.len())).is_some());
    }

    #[test]
    fn truncated_hellos_are_ignored() {
        let body = body(&[(14, &[0, 2, 0, 7, 0]), (43, &[2, 0xfe, 0xfd])]);
        let whole = record(&body, 0..body.len());
        for len in 0..whole.len() {
            assert_eq!(ClientHelloBuffer::default().push(&whole[..len]), None, "{len} bytes");
        }
        for len in 1..body.len() {
            let cut = record(&body[..len], 0..len);
            let hello = ClientHelloBuffer::default().push(&cut);
            // A hello that is cut before its extensions is still well-formed.
            assert!(hello.is_none() || hello.unwrap().srtp_profiles.is_empty(), "{len} bytes of body");
        }
    }

    #[test]
    fn datagrams_of_whole_records_only_are_plausible() {
        let plain = [20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        let encrypted12 = [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2];
        let unified = [0b0010_1111, 0, 1, 0, 2, 7, 7];
        let short = [0b0010_0011, 9, 7, 7, 7];
        let all = [&plain[..], &encrypted12, &unified, &short].concat();
        for len in 0..=all.len() {
            // The last record has no length and reaches to the end of the datagram.
            let whole = len >= 36 + 2 || [14, 29, 36].contains(&len);
            assert_eq!(is_plausible(&all[..len]), whole, "{len} bytes");
        }
        assert_eq!(records(&all).collect::<Vec<_>>(), [&plain[..], &encrypted12, &unified, &short]);
    }

    #[test]
    fn datagrams_of_many_records_are_not_plausible() {
        let record = [20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        assert!(is_plausible(&record.repeat(MAX_RECORDS)));
        assert!(!is_plausible(&record.repeat(MAX_RECORDS + 1)));
    }

    #[test]
    fn impossible_records_are_not_plausible() {
        let good = record(&body(&[]), 0..20);
        assert!(is_plausible(&good));
        // At each of these positions, a byte that no peer's record has.
        for (at, byte) in
            [(0, 23), (0, 63), (1, 3), (4, 2), (6, 1), (14, 0xff), (19, 0xff), (24, 21), (24, 19)]
        {
            let mut bad = good.clone();
            bad[at] = byte;
            let still_fits = (at, byte) == (14, 0xff);
            assert_eq!(is_plausible(&bad), still_fits, "byte {at} = {byte}");
        }
    }

    #[test]
    fn only_fatal_alerts_in_clear_count() {
        let alert = |epoch: u8, level: u8| [21, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0, 0, 2, level, 40];
        assert_eq!(fatal_alert(&alert(0, 2)), Some(40));
        assert_eq!(fatal_alert(&alert(0, 1)), None);
        assert_eq!(fatal_alert(&alert(1, 2)), None);
        assert_eq!(fatal_alert(&alert(0, 2)[..14]), None);
        assert_eq!(fatal_alert(&[]), None);
    }
}
