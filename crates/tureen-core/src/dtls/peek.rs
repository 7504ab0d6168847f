//! A look at the first datagrams of a handshake before a library sees them: what a client offers, and whether a
//! server refused us. Nothing here is authenticated; it only chooses among handshakes that are all acceptable.

/// How many datagrams of one ClientHello are kept. A post-quantum key share makes it two.
const MAX_DATAGRAMS: usize = 8;
/// No handshake has this many records in clear, with all its retransmissions.
const MAX_PLAINTEXT_RECORDS: u64 = 1 << 16;
/// Longest ClientHello that is put together, in bytes.
const MAX_CLIENT_HELLO: usize = 16 * 1024;

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

/// Collects the datagrams of a ClientHello until it is whole.
#[derive(Debug, Default)]
pub(super) struct ClientHelloBuffer {
    datagrams: Vec<Box<[u8]>>,
}

impl ClientHelloBuffer {
    /// Takes one datagram. Returns what the client offers once all of its ClientHello is here. Anything but a
    /// part of a ClientHello is ignored.
    pub(super) fn push(&mut self, datagram: &[u8]) -> Option<ClientHello> {
        fragments(datagram).next()?;
        if self.datagrams.len() == MAX_DATAGRAMS {
            self.datagrams.clear();
        }
        self.datagrams.push(datagram.into());
        let body = self.assemble()?;
        let hello = ClientHello::parse(&body);
        if hello.is_none() {
            self.datagrams.clear();
        }
        hello
    }

    /// The datagrams so far, to be given to the library.
    pub(super) fn into_datagrams(self) -> Vec<Box<[u8]>> {
        self.datagrams
    }

    fn assemble(&self) -> Option<Vec<u8>> {
        let newest = fragments(self.datagrams.last()?).last()?;
        let mut body: Vec<u8> = Vec::new();
        let parts = || {
            self.datagrams
                .iter()
                .flat_map(|datagram| fragments(datagram))
                .filter(|part| part.message_seq == newest.message_seq && part.length == newest.length)
        };
        while body.len() < newest.length {
            let end = body.len();
            let next = parts().find(|part| part.offset <= end && end < part.offset + part.bytes.len())?;
            body.extend_from_slice(&next.bytes[end - next.offset..]);
        }
        Some(body)
    }
}

/// What a client offers, as far as it decides how to answer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// It offers DTLS 1.2: by name, or by not naming versions at all.
    pub(super) dtls12: bool,
    /// It offers DTLS 1.3.
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

/// Whether a datagram is a sequence of whole and plausible DTLS records. The libraries are less careful with what comes
/// in clear: dimpl lets a wild sequence number move its replay window; libssl gives up on a bad fragment length.
pub(super) fn is_plausible(datagram: &[u8]) -> bool {
    let mut reader = Reader(datagram);
    while !reader.0.is_empty() {
        let plausible = match reader.record() {
            Some(Record::Encrypted) => true,
            Some(Record::Plaintext { kind, sequence, contents }) => {
                sequence < MAX_PLAINTEXT_RECORDS
                    && match kind {
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

/// Cuts a datagram into its records, headers included.
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

/// Whether a plaintext handshake record is a sequence of whole handshake fragments, each within its message.
fn are_fragments(record: &[u8]) -> bool {
    let mut reader = Reader(record);
    while !reader.0.is_empty() {
        if reader.fragment().is_none() {
            return false;
        }
    }
    !record.is_empty()
}

/// The description of a fatal alert in clear, such as a server's answer to a ClientHello that it can't accept.
pub(super) fn fatal_alert(datagram: &[u8]) -> Option<u8> {
    let (kind, body) = plaintext_records(datagram).next()?;
    match body {
        [ALERT_LEVEL_FATAL, description] if kind == CONTENT_ALERT => Some(*description),
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
fn fragments(datagram: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    plaintext_records(datagram)
        .filter(|(kind, _)| *kind == CONTENT_HANDSHAKE)
        .filter_map(|(_, record)| Reader(record).fragment())
        .filter(|part| part.kind == HANDSHAKE_CLIENT_HELLO)
        .filter(|part| part.length <= MAX_CLIENT_HELLO && !part.bytes.is_empty())
}

/// The unencrypted records at the start of a datagram: content type and contents.
fn plaintext_records(datagram: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut reader = Reader(datagram);
    std::iter::from_fn(move || match reader.record()? {
        Record::Plaintext { kind, contents, .. } => Some((kind, contents)),
        Record::Encrypted => None,
    })
}

enum Record<'a> {
    Plaintext { kind: u8, sequence: u64, contents: &'a [u8] },
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
            0 => Some(Record::Plaintext { kind: first, sequence, contents }),
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
    fn fragments_are_put_together_in_any_order_and_with_overlap() {
        let body = body(&[(14, &[0, 2, 0, 2, 0])]);
        let mut buffer = ClientHelloBuffer::default();
        assert_eq!(buffer.push(&record(&body, 40..body.len())), None);
        assert_eq!(buffer.push(&record(&body, 0..20)), None);
        assert_eq!(buffer.push(&record(&body, 0..20)), None);
        let hello = buffer.push(&record(&body, 10..45)).unwrap();
        assert_eq!(hello.srtp_profiles, [2]);
        assert_eq!(buffer.into_datagrams().len(), 4);
    }

    #[test]
    fn memory_is_bounded_and_a_later_whole_hello_still_counts() {
        let body = body(&[(14, &[0, 2, 0, 7, 0])]);
        let mut buffer = ClientHelloBuffer::default();
        for _ in 0..100 {
            assert_eq!(buffer.push(&record(&body, 3..9)), None);
            assert!(buffer.datagrams.len() <= MAX_DATAGRAMS);
        }
        assert!(buffer.push(&record(&body, 0..body.len())).is_some());
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
            // Cut before the extensions it is still well-formed.
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
    fn impossible_records_are_not_plausible() {
        let good = record(&body(&[]), 0..20);
        assert!(is_plausible(&good));
        // At each of these places a byte that makes a record that no peer sends.
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
