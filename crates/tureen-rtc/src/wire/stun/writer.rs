//! Writes STUN messages.

use std::net::SocketAddr;

use hmac::Mac;

use super::{
    ATTRIBUTE_HEADER_LEN, FAMILY_IPV4, FAMILY_IPV6, HEADER_LEN, INTEGRITY_LEN, MAGIC_COOKIE, StunClass,
    StunError, StunMessage, TEXT_MAX_LEN, USERNAME_MAX_LEN, attribute, fingerprint, integrity, xor_address,
};

/// Appends one message to a buffer: attributes in the order of the calls, then [`finish`](Self::finish) or
/// [`finish_with_integrity`](Self::finish_with_integrity).
#[derive(Debug)]
#[must_use = "a message ends with finish or finish_with_integrity"]
pub struct StunWriter<'b> {
    out: &'b mut Vec<u8>,
    /// Offset of the message in `out`.
    start: usize,
}

impl<'b> StunWriter<'b> {
    /// Begins a message after the existing contents of `out`. Only the lowest 12 bits of `method` are used.
    pub fn new(out: &'b mut Vec<u8>, class: StunClass, method: u16, transaction_id: [u8; 12]) -> Self {
        let start = out.len();
        out.extend_from_slice(&join_type(class, method).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC_COOKIE);
        out.extend_from_slice(&transaction_id);
        Self { out, start }
    }

    /// Begins the success response to `request`.
    pub(crate) fn success_response(out: &'b mut Vec<u8>, request: &StunMessage<'_>) -> Self {
        Self::new(out, StunClass::SuccessResponse, request.method(), request.transaction_id())
    }

    /// Begins the error response to `request`, with ERROR-CODE. `code` is 300–699; `reason` is cut to 763 bytes.
    pub fn error_response(out: &'b mut Vec<u8>, request: &StunMessage<'_>, code: u16, reason: &str) -> Self {
        Self::new(out, StunClass::ErrorResponse, request.method(), request.transaction_id())
            .error_code(code, reason)
    }

    /// USERNAME: the receiver's ufrag, a colon, the sender's. Fails if it is longer than 513 bytes.
    pub fn username(self, username: &str) -> Result<Self, StunError> {
        if username.len() > USERNAME_MAX_LEN {
            return Err(StunError::MalformedAttribute { kind: attribute::USERNAME, len: username.len() });
        }
        Ok(self.attribute(attribute::USERNAME, &[username.as_bytes()]))
    }

    /// PRIORITY of the peer-reflexive candidate that is learned from this check.
    pub fn priority(self, priority: u32) -> Self {
        self.attribute(attribute::PRIORITY, &[&priority.to_be_bytes()])
    }

    /// USE-CANDIDATE: nominates the pair.
    pub fn use_candidate(self) -> Self {
        self.attribute(attribute::USE_CANDIDATE, &[])
    }

    /// ICE-CONTROLLING with the sender's tie-breaker.
    pub fn ice_controlling(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLING, &[&tie_breaker.to_be_bytes()])
    }

    /// ICE-CONTROLLED with the sender's tie-breaker.
    pub fn ice_controlled(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLED, &[&tie_breaker.to_be_bytes()])
    }

    /// NOMINATION under both of its types. The first one (0x0030) is comprehension-required, so it must be sent only to
    /// a peer that announced the ICE option `renomination`.
    pub fn nomination(self, nomination: u32) -> Self {
        let value = nomination.to_be_bytes();
        self.attribute(attribute::NOMINATION, &[&value]).attribute(attribute::NOMINATION_LIBWEBRTC, &[&value])
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn xor_mapped_address(self, address: SocketAddr) -> Self {
        let transaction_id = *self.out[self.start..][..HEADER_LEN]
            .last_chunk()
            .expect("the header ends with the transaction id");
        let [p0, p1] = address.port().to_be_bytes();
        let port = [p0 ^ MAGIC_COOKIE[0], p1 ^ MAGIC_COOKIE[1]];
        match address {
            SocketAddr::V4(address) => {
                let mut octets = address.ip().octets();
                xor_address(&mut octets, &transaction_id);
                self.attribute(attribute::XOR_MAPPED_ADDRESS, &[&[0, FAMILY_IPV4], &port, &octets])
            }
            SocketAddr::V6(address) => {
                let mut octets = address.ip().octets();
                xor_address(&mut octets, &transaction_id);
                self.attribute(attribute::XOR_MAPPED_ADDRESS, &[&[0, FAMILY_IPV6], &port, &octets])
            }
        }
    }

    /// ERROR-CODE; `code` is 300–699, and `reason` is cut to 763 bytes.
    pub fn error_code(self, code: u16, reason: &str) -> Self {
        let [class, number] = [(code / 100) as u8 & 0x07, (code % 100) as u8];
        self.attribute(attribute::ERROR_CODE, &[&[0, 0, class, number], truncated(reason).as_bytes()])
    }

    /// UNKNOWN-ATTRIBUTES, which accompanies the error 420. At most 16 are listed.
    pub fn unknown_attributes(self, kinds: impl IntoIterator<Item = u16>) -> Self {
        let mut list = [0; 2 * MAX_UNKNOWN_ATTRIBUTES];
        let mut len = 0;
        for (slot, kind) in list.chunks_exact_mut(2).zip(kinds) {
            slot.copy_from_slice(&kind.to_be_bytes());
            len += 2;
        }
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, &[&list[..len]])
    }

    /// SOFTWARE, a free text that is cut to 763 bytes.
    pub fn software(self, software: &str) -> Self {
        self.attribute(attribute::SOFTWARE, &[truncated(software).as_bytes()])
    }

    /// Ends the message with FINGERPRINT.
    pub fn finish(mut self) {
        // The CRC covers a length field that counts the attribute.
        self.set_length(ATTRIBUTE_HEADER_LEN + 4);
        let crc = fingerprint(&self.out[self.start..]);
        let _ = self.attribute(attribute::FINGERPRINT, &[&crc.to_be_bytes()]);
    }

    /// Ends the message with MESSAGE-INTEGRITY, computed with the short-term `password`, and FINGERPRINT.
    pub fn finish_with_integrity(self, password: &[u8]) {
        let tag: [u8; INTEGRITY_LEN] =
            integrity(&self.out[self.start..], password).finalize().into_bytes().into();
        // FINGERPRINT is appended last, because its CRC covers MESSAGE-INTEGRITY (RFC 8489 §14.7).
        self.attribute(attribute::MESSAGE_INTEGRITY, &[&tag]).finish();
    }

    /// Appends an attribute whose value consists of `parts`, pads it with zeroes and updates the length field.
    fn attribute(mut self, kind: u16, parts: &[&[u8]]) -> Self {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&(len as u16).to_be_bytes());
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.resize(self.out.len() + len.next_multiple_of(4) - len, 0);
        self.set_length(0);
        self
    }

    /// Sets the length field to the current length of the message plus `more` bytes.
    fn set_length(&mut self, more: usize) {
        let length = self.out.len() - self.start - HEADER_LEN + more;
        let length = u16::try_from(length).expect("all attributes together, each once, are below 4 KiB");
        self.out[self.start + 2..][..2].copy_from_slice(&length.to_be_bytes());
    }
}

const MAX_UNKNOWN_ATTRIBUTES: usize = 16;

fn join_type(class: StunClass, method: u16) -> u16 {
    let class = match class {
        StunClass::Request => 0x0000,
        StunClass::Indication => 0x0010,
        StunClass::SuccessResponse => 0x0100,
        StunClass::ErrorResponse => 0x0110,
    };
    class | method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2
}

/// Longest prefix of at most [`TEXT_MAX_LEN`] bytes.
fn truncated(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX_LEN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::BINDING;
    use super::*;

    const ID: [u8; 12] = *b"abcdefghijkl";
    const CLASSES: [StunClass; 4] =
        [StunClass::Request, StunClass::Indication, StunClass::SuccessResponse, StunClass::ErrorResponse];

    #[test]
    fn message_is_appended_after_what_the_buffer_holds() {
        let mut out = b"before".to_vec();
        StunWriter::new(&mut out, StunClass::Indication, BINDING, ID).finish();
        assert_eq!(&out[..6], b"before");
        assert_eq!(&out[6..26], b"\x00\x11\x00\x08\x21\x12\xa4\x42abcdefghijkl");
        assert!(StunMessage::parse(&out[6..]).unwrap().has_fingerprint());
    }

    #[test]
    fn controlling_request_round_trips() {
        let mut out = Vec::new();
        StunWriter::new(&mut out, StunClass::Request, BINDING, ID)
            .username("remote:local")
            .unwrap()
            .priority(0x7eff_ffff)
            .ice_controlling(0x0102_0304_0506_0708)
            .use_candidate()
            .nomination(3)
            .software("tureen")
            .finish_with_integrity(b"secret");
        let message = StunMessage::parse(&out).unwrap();
        assert_eq!((message.class(), message.method()), (StunClass::Request, BINDING));
        assert_eq!(message.transaction_id(), ID);
        assert_eq!(message.username(), Some("remote:local"));
        assert_eq!(message.priority(), Some(0x7eff_ffff));
        assert_eq!(message.ice_controlling(), Some(0x0102_0304_0506_0708));
        assert_eq!(message.ice_controlled(), None);
        assert!(message.use_candidate());
        assert_eq!(message.nomination(), Some(3));
        assert_eq!(message.software(), Some("tureen"));
        assert!(message.has_fingerprint());
        assert!(message.check_integrity(b"secret"));
        assert!(!message.check_integrity(b"Secret"));
        assert_eq!(message.unknown_comprehension_required().count(), 0);
    }

    #[test]
    fn error_response_names_unknown_attributes_and_answers_its_request() {
        let mut request = Vec::new();
        StunWriter::new(&mut request, StunClass::Request, 0x003, ID).finish();
        let mut out = Vec::new();
        StunWriter::error_response(
            &mut out,
            &StunMessage::parse(&request).unwrap(),
            420,
            "Unknown Attribute",
        )
        .unknown_attributes([1, 0x7fff])
        .finish();
        let message = StunMessage::parse(&out).unwrap();
        assert_eq!((message.class(), message.method()), (StunClass::ErrorResponse, 0x003));
        assert_eq!(message.transaction_id(), ID);
        assert_eq!(message.error_code(), Some((420, "Unknown Attribute")));
        assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), [1, 0x7fff]);
        assert!(!message.has_integrity());
        assert!(!message.check_integrity(b""));
    }

    #[test]
    fn long_values_are_bounded() {
        let mut out = Vec::new();
        let writer =
            StunWriter::new(&mut out, StunClass::Request, BINDING, ID).username(&"u".repeat(513)).unwrap();
        let writer = writer.software(&"é".repeat(500)).unknown_attributes(0..1000);
        let error = writer.username(&"u".repeat(514)).unwrap_err();
        assert_eq!(error, StunError::MalformedAttribute { kind: attribute::USERNAME, len: 514 });
        let message = StunMessage::parse(&out).unwrap();
        assert_eq!(message.software(), Some(&*"é".repeat(381)));
        assert_eq!(message.unknown_attributes().count(), 16);
    }

    proptest! {
        #[test]
        fn type_and_transaction_id_round_trip(
            class in 0_usize..4, method in 0_u16..0x1000, id in any::<[u8; 12]>(),
        ) {
            let mut out = Vec::new();
            StunWriter::new(&mut out, CLASSES[class], method, id).finish();
            let message = StunMessage::parse(&out).unwrap();
            prop_assert_eq!((message.class(), message.method()), (CLASSES[class], method));
            prop_assert_eq!(message.transaction_id(), id);
        }

        #[test]
        fn attributes_round_trip(
            username in "[a-z+/:é]{0,200}", software in ".{0,40}", reason in ".{0,40}", code in 300_u16..700,
            priority in any::<u32>(), tie_breaker in any::<u64>(), nomination in any::<u32>(),
            address in any::<std::net::SocketAddr>(), id in any::<[u8; 12]>(),
            password in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut out = Vec::new();
            StunWriter::new(&mut out, StunClass::Request, BINDING, id)
                .xor_mapped_address(address)
                .username(&username).unwrap()
                .software(&software)
                .error_code(code, &reason)
                .priority(priority)
                .ice_controlled(tie_breaker)
                .nomination(nomination)
                .finish_with_integrity(&password);
            let message = StunMessage::parse(&out).unwrap();
            // Flow label and scope of an IPv6 socket address are not encoded.
            let address = SocketAddr::new(address.ip(), address.port());
            prop_assert_eq!(message.xor_mapped_address(), Some(address));
            prop_assert_eq!(message.username(), Some(&*username));
            prop_assert_eq!(message.software(), Some(&*software));
            prop_assert_eq!(message.error_code(), Some((code, &*reason)));
            prop_assert_eq!(message.priority(), Some(priority));
            prop_assert_eq!(message.ice_controlled(), Some(tie_breaker));
            prop_assert_eq!(message.nomination(), Some(nomination));
            prop_assert!(message.check_integrity(&password));
        }
    }
}
