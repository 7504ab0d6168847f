//! STUN messages of ICE (RFC 8489, RFC 8445): a parsed view, and [`StunWriter`] to write them.

mod writer;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac};
use sha1::Sha1;
use thiserror::Error;

pub use writer::StunWriter;

/// Method of a Binding request, the only one that ICE uses (RFC 8489 §18.2).
pub const BINDING: u16 = 0x001;

/// Class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StunClass {
    /// A request, to which a response is expected.
    Request,
    /// An indication, to which no response is expected.
    Indication,
    /// The response to a request that succeeded.
    SuccessResponse,
    /// The response to a request that failed.
    ErrorResponse,
}

/// Reason why bytes are not a valid STUN message, or why a value does not fit in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StunError {
    /// The first two bits are not zero or the magic cookie is missing.
    #[error("not a STUN message")]
    NotStun,
    /// The datagram is shorter than a header, or its length field is wrong or not a multiple of four.
    #[error("STUN message of {len} bytes has a wrong length field")]
    Length {
        /// Length of the datagram in bytes.
        len: usize,
    },
    /// The length of an attribute exceeds the rest of the message.
    #[error("STUN attribute {kind:#06x} runs past the end of the message")]
    AttributeOverrun {
        /// Type of the attribute.
        kind: u16,
    },
    /// The value of a known attribute has an invalid length or form.
    #[error("STUN attribute {kind:#06x} is malformed ({len} bytes)")]
    MalformedAttribute {
        /// Type of the attribute.
        kind: u16,
        /// Length of the value in bytes.
        len: usize,
    },
    /// FINGERPRINT is not the last attribute.
    #[error("STUN message goes on after FINGERPRINT")]
    AfterFingerprint,
    /// FINGERPRINT does not match the message.
    #[error("wrong STUN FINGERPRINT")]
    WrongFingerprint,
}

/// A view of a valid STUN message. Header, length, attribute bounds and FINGERPRINT (if present) have been checked;
/// MESSAGE-INTEGRITY has not: see [`check_integrity`](Self::check_integrity).
///
/// If an attribute occurs more than once, the first one is used (RFC 8489 §14).
#[derive(Clone, Debug)]
pub struct StunMessage<'a> {
    bytes: &'a [u8],
    class: StunClass,
    method: u16,
    transaction_id: [u8; 12],
    /// Offset of the MESSAGE-INTEGRITY attribute.
    integrity_at: Option<usize>,
    has_fingerprint: bool,
    username: Option<&'a [u8]>,
    priority: Option<u32>,
    use_candidate: bool,
    ice_controlling: Option<u64>,
    ice_controlled: Option<u64>,
    nomination: Option<u32>,
    nomination_libwebrtc: Option<u32>,
    error_code: Option<(u16, &'a [u8])>,
    unknown_attributes: Option<&'a [u8]>,
    xor_mapped_address: Option<SocketAddr>,
    software: Option<&'a [u8]>,
}

impl<'a> StunMessage<'a> {
    /// Parses `datagram`, which must be exactly one message.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, StunError> {
        let length_error = StunError::Length { len: datagram.len() };
        let (header, body) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(length_error)?;
        let [t0, t1, l0, l1, cookie @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *header;
        let kind = u16::from_be_bytes([t0, t1]);
        // RFC 8489 §5: the most significant 2 bits of every STUN message MUST be zeroes.
        if kind & 0xc000 != 0 || cookie != MAGIC_COOKIE {
            return Err(StunError::NotStun);
        }
        if usize::from(u16::from_be_bytes([l0, l1])) != body.len() || !body.len().is_multiple_of(4) {
            return Err(length_error);
        }
        let (class, method) = split_type(kind);
        let transaction_id = *header.last_chunk().expect("the header ends with the transaction id");
        let mut message = Self::empty(datagram, class, method, transaction_id);
        let mut rest = body;
        while !rest.is_empty() {
            let offset = datagram.len() - rest.len();
            let (kind, value, after) = split_attribute(rest)?;
            match kind {
                attribute::FINGERPRINT => {
                    // RFC 8489 §14.7: FINGERPRINT MUST be the last attribute in the message.
                    if !after.is_empty() {
                        return Err(StunError::AfterFingerprint);
                    }
                    if u32::from_be_bytes(fixed(kind, value)?) != fingerprint(&datagram[..offset]) {
                        return Err(StunError::WrongFingerprint);
                    }
                    message.has_fingerprint = true;
                }
                // RFC 8489 §14.5: attributes that follow MESSAGE-INTEGRITY, except FINGERPRINT, MUST be ignored.
                _ if message.integrity_at.is_some() => {}
                attribute::MESSAGE_INTEGRITY => {
                    fixed::<INTEGRITY_LEN>(kind, value)?;
                    message.integrity_at = Some(offset);
                }
                _ => message.read_attribute(kind, value)?,
            }
            rest = after;
        }
        Ok(message)
    }

    /// Bytes of the whole message.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Class of the message.
    pub fn class(&self) -> StunClass {
        self.class
    }

    /// Method of the message, 12 bits; see [`BINDING`].
    pub fn method(&self) -> u16 {
        self.method
    }

    /// Identifier that pairs a response with its request.
    pub fn transaction_id(&self) -> [u8; 12] {
        self.transaction_id
    }

    /// USERNAME, if present and UTF-8. In ICE it is the receiver's ufrag, a colon and the sender's ufrag.
    pub fn username(&self) -> Option<&'a str> {
        std::str::from_utf8(self.username?).ok()
    }

    /// PRIORITY of the peer-reflexive candidate that would be learned (RFC 8445 §7.1.1).
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// True if USE-CANDIDATE is present (RFC 8445 §7.1.2).
    pub fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// Tie-breaker of a controlling sender (RFC 8445 §7.1.3).
    pub fn ice_controlling(&self) -> Option<u64> {
        self.ice_controlling
    }

    /// Tie-breaker of a controlled sender.
    pub fn ice_controlled(&self) -> Option<u64> {
        self.ice_controlled
    }

    /// NOMINATION (draft-thatcher-ice-renomination): type 0x0030, else libwebrtc's 0xC001.
    pub fn nomination(&self) -> Option<u32> {
        self.nomination.or(self.nomination_libwebrtc)
    }

    /// ERROR-CODE: the number, 300–699 from a conforming peer, and the reason (empty if it is not UTF-8).
    pub fn error_code(&self) -> Option<(u16, &'a str)> {
        let (code, reason) = self.error_code?;
        Some((code, std::str::from_utf8(reason).unwrap_or_default()))
    }

    /// Attribute types listed in UNKNOWN-ATTRIBUTES; empty if that is absent.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.unknown_attributes
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// XOR-MAPPED-ADDRESS, decoded.
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.xor_mapped_address
    }

    /// SOFTWARE, if present and UTF-8.
    pub fn software(&self) -> Option<&'a str> {
        std::str::from_utf8(self.software?).ok()
    }

    /// True if FINGERPRINT is present; [`parse`](Self::parse) rejects a wrong one.
    pub fn has_fingerprint(&self) -> bool {
        self.has_fingerprint
    }

    /// True if MESSAGE-INTEGRITY is present, even if it is wrong.
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// True if MESSAGE-INTEGRITY is present and was computed with `password` (short-term credentials, RFC 8489 §9.1).
    /// The comparison takes constant time.
    pub fn check_integrity(&self, password: &[u8]) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let expected = &self.bytes[at + ATTRIBUTE_HEADER_LEN..][..INTEGRITY_LEN];
        integrity(&self.bytes[..at], password).verify_slice(expected).is_ok()
    }

    /// Types of the comprehension-required attributes (0x0000–0x7FFF) before MESSAGE-INTEGRITY that this parser does
    /// not support (RFC 8489 §6.3.1: the response to a request with such attributes is the error 420).
    pub fn unknown_comprehension_required(&self) -> impl Iterator<Item = u16> + use<'a> {
        let end = self.integrity_at.unwrap_or(self.bytes.len());
        let mut rest = &self.bytes[HEADER_LEN..end];
        let kinds = std::iter::from_fn(move || {
            let (kind, _, after) = split_attribute(rest).ok()?;
            rest = after;
            Some(kind)
        });
        kinds.filter(|kind| *kind < 0x8000 && !attribute::COMPREHENDED.contains(kind))
    }

    fn empty(bytes: &'a [u8], class: StunClass, method: u16, transaction_id: [u8; 12]) -> Self {
        Self {
            bytes,
            class,
            method,
            transaction_id,
            integrity_at: None,
            has_fingerprint: false,
            username: None,
            priority: None,
            use_candidate: false,
            ice_controlling: None,
            ice_controlled: None,
            nomination: None,
            nomination_libwebrtc: None,
            error_code: None,
            unknown_attributes: None,
            xor_mapped_address: None,
            software: None,
        }
    }

    fn read_attribute(&mut self, kind: u16, value: &'a [u8]) -> Result<(), StunError> {
        let malformed = StunError::MalformedAttribute { kind, len: value.len() };
        match kind {
            attribute::USERNAME if value.len() > USERNAME_MAX_LEN => return Err(malformed),
            attribute::USERNAME => set_first(&mut self.username, value),
            attribute::PRIORITY => set_first(&mut self.priority, u32::from_be_bytes(fixed(kind, value)?)),
            attribute::USE_CANDIDATE => {
                fixed::<0>(kind, value)?;
                self.use_candidate = true;
            }
            attribute::ICE_CONTROLLING => {
                set_first(&mut self.ice_controlling, u64::from_be_bytes(fixed(kind, value)?))
            }
            attribute::ICE_CONTROLLED => {
                set_first(&mut self.ice_controlled, u64::from_be_bytes(fixed(kind, value)?))
            }
            attribute::NOMINATION => set_first(&mut self.nomination, u32::from_be_bytes(fixed(kind, value)?)),
            attribute::NOMINATION_LIBWEBRTC => {
                set_first(&mut self.nomination_libwebrtc, u32::from_be_bytes(fixed(kind, value)?))
            }
            attribute::ERROR_CODE => {
                let ([_, _, class, number], reason) = value.split_first_chunk().ok_or(malformed)?;
                set_first(&mut self.error_code, (u16::from(class & 0x07) * 100 + u16::from(*number), reason));
            }
            attribute::UNKNOWN_ATTRIBUTES if !value.len().is_multiple_of(2) => return Err(malformed),
            attribute::UNKNOWN_ATTRIBUTES => set_first(&mut self.unknown_attributes, value),
            attribute::XOR_MAPPED_ADDRESS => {
                let address = read_xor_address(value, &self.transaction_id).ok_or(malformed)?;
                set_first(&mut self.xor_mapped_address, address);
            }
            attribute::SOFTWARE if value.len() > TEXT_MAX_LEN => return Err(malformed),
            attribute::SOFTWARE => set_first(&mut self.software, value),
            _ => {}
        }
        Ok(())
    }
}

/// Attribute types (RFC 8489 §18.3, RFC 8445 §20.1).
mod attribute {
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    /// draft-thatcher-tsvwg-renomination.
    pub(super) const NOMINATION: u16 = 0x0030;
    pub(super) const SOFTWARE: u16 = 0x8022;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    pub(super) const ICE_CONTROLLING: u16 = 0x802a;
    /// Type that libwebrtc used for NOMINATION before a number was assigned.
    pub(super) const NOMINATION_LIBWEBRTC: u16 = 0xc001;

    const MAPPED_ADDRESS: u16 = 0x0001;
    const REALM: u16 = 0x0014;
    const NONCE: u16 = 0x0015;

    /// Comprehension-required attributes that are accepted from a peer without the error 420.
    pub(super) const COMPREHENDED: [u16; 11] = [
        MAPPED_ADDRESS,
        USERNAME,
        MESSAGE_INTEGRITY,
        ERROR_CODE,
        UNKNOWN_ATTRIBUTES,
        REALM,
        NONCE,
        XOR_MAPPED_ADDRESS,
        PRIORITY,
        USE_CANDIDATE,
        NOMINATION,
    ];
}

const HEADER_LEN: usize = 20;
const ATTRIBUTE_HEADER_LEN: usize = 4;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const INTEGRITY_LEN: usize = 20;
/// Maximum length of USERNAME: two ufrags of 256 characters (RFC 8839 §5.4) and a colon.
const USERNAME_MAX_LEN: usize = 513;
/// Maximum length of SOFTWARE and reason phrases: fewer than 128 characters, which take up to 763 bytes (RFC 8489
/// §14.8, §14.14).
const TEXT_MAX_LEN: usize = 763;
const FAMILY_IPV4: u8 = 0x01;
const FAMILY_IPV6: u8 = 0x02;

/// RFC 8489 §5, figure 3: the class bits C1 and C0 are bits 8 and 4, between those of the method.
fn split_type(kind: u16) -> (StunClass, u16) {
    let class = match kind & 0x0110 {
        0x0000 => StunClass::Request,
        0x0010 => StunClass::Indication,
        0x0100 => StunClass::SuccessResponse,
        _ => StunClass::ErrorResponse,
    };
    (class, kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2)
}

/// Splits off the first attribute of `bytes`: type, value, and the rest after its padding. The length of `bytes` is a
/// multiple of four.
fn split_attribute(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), StunError> {
    let (&[k0, k1, l0, l1], rest) =
        bytes.split_first_chunk::<ATTRIBUTE_HEADER_LEN>().ok_or(StunError::AttributeOverrun { kind: 0 })?;
    let kind = u16::from_be_bytes([k0, k1]);
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    match (rest.get(..len), rest.get(len.next_multiple_of(4)..)) {
        (Some(value), Some(after)) => Ok((kind, value, after)),
        _ => Err(StunError::AttributeOverrun { kind }),
    }
}

fn fixed<const N: usize>(kind: u16, value: &[u8]) -> Result<[u8; N], StunError> {
    value.try_into().map_err(|_| StunError::MalformedAttribute { kind, len: value.len() })
}

fn set_first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

/// RFC 8489 §14.2: the port is XOR'ed with the cookie's first half, the address with cookie and transaction id.
fn read_xor_address(value: &[u8], transaction_id: &[u8; 12]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk()?;
    let ip: IpAddr = match family {
        FAMILY_IPV4 => {
            let mut octets: [u8; 4] = address.try_into().ok()?;
            xor_address(&mut octets, transaction_id);
            Ipv4Addr::from(octets).into()
        }
        FAMILY_IPV6 => {
            let mut octets: [u8; 16] = address.try_into().ok()?;
            xor_address(&mut octets, transaction_id);
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([p0 ^ MAGIC_COOKIE[0], p1 ^ MAGIC_COOKIE[1]])))
}

fn xor_address(octets: &mut [u8], transaction_id: &[u8; 12]) {
    for (octet, mask) in octets.iter_mut().zip(MAGIC_COOKIE.iter().chain(transaction_id)) {
        *octet ^= mask;
    }
}

/// RFC 8489 §14.5: the HMAC covers the message up to the attribute, with a length field that includes the attribute.
fn integrity(before: &[u8], password: &[u8]) -> Hmac<Sha1> {
    let length = (before.len() - HEADER_LEN + ATTRIBUTE_HEADER_LEN + INTEGRITY_LEN) as u16;
    let mut hmac = Hmac::<Sha1>::new_from_slice(password).expect("HMAC takes a key of any length");
    hmac.update(&before[..2]);
    hmac.update(&length.to_be_bytes());
    hmac.update(&before[4..]);
    hmac
}

/// RFC 8489 §14.7: CRC-32 of the message up to the attribute, XOR'ed with "STUN". The length field already includes the
/// attribute.
fn fingerprint(before: &[u8]) -> u32 {
    crc32fast::hash(before) ^ 0x5354_554e
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
    const TRANSACTION_ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    /// RFC 5769 §2.1.
    const SAMPLE_REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
        802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36\
        000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    /// RFC 5769 §2.2.
    const SAMPLE_IPV4_RESPONSE: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae\
        8022000b7465737420766563746f7220002000080001a147e112a643\
        000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
    /// RFC 5769 §2.3.
    const SAMPLE_IPV6_RESPONSE: &str = "010100482112a442b7e7a701bc34d686fa87dfae\
        8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9\
        00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// A Binding request with these attributes and a valid length field.
    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = hex("000100002112a442b7e7a701bc34d686fa87dfae");
        for (kind, value) in attributes {
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let length = bytes.len() - HEADER_LEN;
        bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        bytes
    }

    fn with_fingerprint(mut bytes: Vec<u8>) -> Vec<u8> {
        let length = (bytes.len() - HEADER_LEN + 8) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let crc = fingerprint(&bytes);
        bytes.extend_from_slice(&hex("80280004"));
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn rfc_5769_request_is_read() {
        let bytes = hex(SAMPLE_REQUEST);
        let message = StunMessage::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (StunClass::Request, BINDING));
        assert_eq!(message.transaction_id(), TRANSACTION_ID);
        assert_eq!(message.software(), Some("STUN test client"));
        assert_eq!(message.username(), Some("evtj:h6vY"));
        assert_eq!(message.priority(), Some(0x6e00_01ff));
        assert_eq!(message.ice_controlled(), Some(0x932f_f9b1_5126_3b36));
        assert_eq!(message.ice_controlling(), None);
        assert!(!message.use_candidate());
        assert!(message.has_fingerprint());
        assert!(message.check_integrity(PASSWORD));
        assert!(!message.check_integrity(b"VOkJxbRl1RmTxUk/WvJxBu"));
        assert_eq!(message.unknown_comprehension_required().count(), 0);
    }

    #[test]
    fn rfc_5769_responses_are_read() {
        for (text, address) in [
            (SAMPLE_IPV4_RESPONSE, "192.0.2.1:32853"),
            (SAMPLE_IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
        ] {
            let bytes = hex(text);
            let message = StunMessage::parse(&bytes).unwrap();
            assert_eq!((message.class(), message.method()), (StunClass::SuccessResponse, BINDING));
            assert_eq!(message.software(), Some("test vector"));
            assert_eq!(message.xor_mapped_address(), Some(address.parse().unwrap()));
            assert!(message.has_fingerprint());
            assert!(message.check_integrity(PASSWORD));
        }
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let bytes = hex(SAMPLE_REQUEST);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let passes = StunMessage::parse(&changed)
                .is_ok_and(|message| message.has_fingerprint() && message.check_integrity(PASSWORD));
            assert!(!passes, "bit {bit}");
        }
    }

    #[test]
    fn integrity_does_not_need_a_fingerprint() {
        let mut bytes = hex(SAMPLE_REQUEST);
        bytes.truncate(bytes.len() - 8);
        bytes[3] -= 8;
        let message = StunMessage::parse(&bytes).unwrap();
        assert!(!message.has_fingerprint());
        assert!(message.check_integrity(PASSWORD));
    }

    #[test]
    fn header_is_checked() {
        let parse = |text: &str| StunMessage::parse(&hex(text)).map(|_| ());
        assert_eq!(parse("000100002112a442b7e7a701bc34d686fa87dfae"), Ok(()));
        assert_eq!(parse("000100002112a442b7e7a701bc34d686fa87df"), Err(StunError::Length { len: 19 }));
        assert_eq!(parse("400100002112a442b7e7a701bc34d686fa87dfae"), Err(StunError::NotStun));
        assert_eq!(parse("000100002112a443b7e7a701bc34d686fa87dfae"), Err(StunError::NotStun));
        assert_eq!(parse("000100042112a442b7e7a701bc34d686fa87dfae"), Err(StunError::Length { len: 20 }));
        assert_eq!(
            parse("000100002112a442b7e7a701bc34d686fa87dfae00000000"),
            Err(StunError::Length { len: 24 })
        );
        assert_eq!(parse("000100022112a442b7e7a701bc34d686fa87dfae0000"), Err(StunError::Length { len: 22 }));
    }

    #[test]
    fn attribute_past_the_end_is_an_error() {
        for len in [5, 8, 0xffff_u16] {
            let mut bytes = request(&[(attribute::USERNAME, b"abcd")]);
            bytes[22..24].copy_from_slice(&len.to_be_bytes());
            let error = StunMessage::parse(&bytes).unwrap_err();
            assert_eq!(error, StunError::AttributeOverrun { kind: attribute::USERNAME }, "{len}");
        }
    }

    #[test]
    fn known_attributes_have_their_lengths() {
        for (kind, right, wrong) in [
            (attribute::USERNAME, &[0; 513][..], &[0; 514][..]),
            (attribute::PRIORITY, &[0; 4], &[0; 3]),
            (attribute::USE_CANDIDATE, &[], &[0; 1]),
            (attribute::ICE_CONTROLLING, &[0; 8], &[0; 4]),
            (attribute::ICE_CONTROLLED, &[0; 8], &[0; 9]),
            (attribute::NOMINATION, &[0; 4], &[]),
            (attribute::NOMINATION_LIBWEBRTC, &[0; 4], &[0; 5]),
            (attribute::ERROR_CODE, &[0; 4], &[0; 3]),
            (attribute::UNKNOWN_ATTRIBUTES, &[0; 6], &[0; 5]),
            (attribute::XOR_MAPPED_ADDRESS, &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 2, 0, 0, 0, 0, 0, 0]),
            (attribute::SOFTWARE, &[0; 763], &[0; 764]),
            (attribute::MESSAGE_INTEGRITY, &[0; 20], &[0; 32]),
        ] {
            assert!(StunMessage::parse(&request(&[(kind, right)])).is_ok(), "{kind:#06x}");
            let error = StunMessage::parse(&request(&[(kind, wrong)])).unwrap_err();
            assert_eq!(error, StunError::MalformedAttribute { kind, len: wrong.len() });
        }
    }

    #[test]
    fn fingerprint_must_be_right_and_last() {
        let right = with_fingerprint(request(&[(attribute::PRIORITY, &[0; 4])]));
        assert!(StunMessage::parse(&right).unwrap().has_fingerprint());
        let wrong = request(&[(attribute::FINGERPRINT, &[0; 4])]);
        assert_eq!(StunMessage::parse(&wrong).unwrap_err(), StunError::WrongFingerprint);
        let early = request(&[(attribute::FINGERPRINT, &[0; 4]), (attribute::PRIORITY, &[0; 4])]);
        assert_eq!(StunMessage::parse(&early).unwrap_err(), StunError::AfterFingerprint);
    }

    #[test]
    fn attributes_after_integrity_are_ignored() {
        let bytes = with_fingerprint(request(&[
            (attribute::PRIORITY, &[0, 0, 0, 1]),
            (attribute::MESSAGE_INTEGRITY, &[0; 20]),
            (attribute::USE_CANDIDATE, b""),
            (attribute::NOMINATION, b"malformed"),
            (0x0031, b""),
        ]));
        let message = StunMessage::parse(&bytes).unwrap();
        assert_eq!(message.priority(), Some(1));
        assert!(message.has_fingerprint());
        assert!(!message.use_candidate());
        assert_eq!(message.nomination(), None);
        assert_eq!(message.unknown_comprehension_required().count(), 0);
    }

    #[test]
    fn first_of_equal_attributes_counts() {
        let bytes = request(&[(attribute::PRIORITY, &[0, 0, 0, 1]), (attribute::PRIORITY, &[0, 0, 0, 2])]);
        assert_eq!(StunMessage::parse(&bytes).unwrap().priority(), Some(1));
    }

    #[test]
    fn nomination_is_read_under_both_types() {
        let nomination = |attributes| StunMessage::parse(&request(attributes)).unwrap().nomination();
        assert_eq!(nomination(&[]), None);
        assert_eq!(nomination(&[(0xc001, &[0, 0, 0, 7])]), Some(7));
        assert_eq!(nomination(&[(0xc001, &[0, 0, 0, 7]), (0x0030, &[0, 0, 0, 8])]), Some(8));
    }

    #[test]
    fn unknown_comprehension_required_attributes_are_listed() {
        let bytes = request(&[(0x7fff, b"x"), (attribute::USERNAME, b"a:b"), (0x8000, b"y"), (0x0002, b"")]);
        let message = StunMessage::parse(&bytes).unwrap();
        assert_eq!(message.unknown_comprehension_required().collect::<Vec<_>>(), [0x7fff, 0x0002]);
    }

    #[test]
    fn text_that_is_not_utf_8_is_absent() {
        let bytes = request(&[
            (attribute::USERNAME, b"\xff"),
            (attribute::SOFTWARE, b"\xff"),
            (attribute::ERROR_CODE, b"\0\0\x04\x14\xff"),
        ]);
        let message = StunMessage::parse(&bytes).unwrap();
        assert_eq!((message.username(), message.software()), (None, None));
        assert_eq!(message.error_code(), Some((420, "")));
    }

    fn read_all(bytes: &[u8]) {
        if let Ok(message) = StunMessage::parse(bytes) {
            let _ = (message.username(), message.software(), message.error_code(), message.nomination());
            let _ = (message.unknown_attributes().count(), message.unknown_comprehension_required().count());
            let _ = message.check_integrity(PASSWORD);
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read_all(&bytes);
        }

        #[test]
        fn random_attributes_never_panic(
            attributes in proptest::collection::vec(
                (prop_oneof![0_u16..0x40, 0x8020_u16..0x8030, any::<u16>()],
                 proptest::collection::vec(any::<u8>(), 0..24)),
                0..8,
            ),
            cut in 0_usize..8,
        ) {
            let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
            let bytes = request(&attributes);
            read_all(&bytes);
            read_all(&with_fingerprint(bytes.clone()));
            read_all(&bytes[..bytes.len() - cut]);
        }
    }
}
