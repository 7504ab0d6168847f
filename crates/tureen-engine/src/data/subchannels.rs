//! Receivers of a data message by subchannel, and their encoding between routers (mediasoup's `SubchannelsCodec`).
//!
//! On a pipe a message that is not for all DataConsumers begins with a header: a magic of eight bytes whose two lowest
//! bits are set if there is a required and an ignored subchannel, the number of subchannels, the subchannels, the
//! required one and the ignored one. All fields but the magic are 16 bits, big endian.

use std::collections::BTreeSet;

use bytes::Bytes;

const MAGIC: u64 = 0xa5f0_9cb3_d6e1_f28c;
const REQUIRED: u64 = 2;
const IGNORED: u64 = 1;

/// Receivers of a data message by subchannel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subchannels {
    /// Subchannels of which a receiver must be subscribed to at least one; empty for no such condition.
    pub(crate) any_of: Vec<u16>,
    /// Subchannel to which a receiver must be subscribed.
    pub(crate) required: Option<u16>,
    /// Subchannel to which a receiver must not be subscribed.
    pub(crate) ignored: Option<u16>,
}

impl Subchannels {
    /// Encodes the message for a pipe. A pipe that is subscribed to some subchannels carries only those.
    pub(crate) fn encode(&self, subscribed: &BTreeSet<u16>, payload: &Bytes) -> Bytes {
        let carried = |subchannel: &&u16| subscribed.is_empty() || subscribed.contains(*subchannel);
        let any_of: Vec<u16> = self.any_of.iter().filter(carried).copied().collect();
        let Ok(count) = u16::try_from(any_of.len()) else { return payload.clone() };
        if count == 0 && self.required.is_none() && self.ignored.is_none() {
            return payload.clone();
        }
        let flag = |value: Option<u16>, flag: u64| if value.is_some() { flag } else { 0 };
        let magic = MAGIC | flag(self.required, REQUIRED) | flag(self.ignored, IGNORED);
        let mut out = Vec::with_capacity(14 + 2 * any_of.len() + payload.len());
        out.extend_from_slice(&magic.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        for subchannel in any_of.iter().chain(&self.required).chain(&self.ignored) {
            out.extend_from_slice(&subchannel.to_be_bytes());
        }
        out.extend_from_slice(payload);
        out.into()
    }

    /// Removes the header from a message of a pipe. A message without a header is for all DataConsumers.
    pub(crate) fn decode(message: Bytes) -> (Self, Bytes) {
        match Self::parse(&message) {
            Some((subchannels, len)) => (subchannels, message.slice(len..)),
            None => (Self::default(), message),
        }
    }

    fn parse(message: &[u8]) -> Option<(Self, usize)> {
        let magic = u64::from_be_bytes(message.get(..8)?.try_into().ok()?);
        if magic & !(REQUIRED | IGNORED) != MAGIC {
            return None;
        }
        let mut at = 8;
        let mut next = || {
            let value = message.get(at..at + 2)?;
            at += 2;
            Some(u16::from_be_bytes([value[0], value[1]]))
        };
        let count = next()?;
        let any_of = (0..count).map(|_| next()).collect::<Option<_>>()?;
        let required = if magic & REQUIRED != 0 { Some(next()?) } else { None };
        let ignored = if magic & IGNORED != 0 { Some(next()?) } else { None };
        Some((Self { any_of, required, ignored }, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"text";

    fn text() -> Bytes {
        Bytes::from_static(TEXT)
    }

    fn all() -> Subchannels {
        Subchannels { any_of: vec![1, 700], required: Some(2), ignored: Some(3) }
    }

    #[test]
    fn header_has_mediasoups_format() {
        let encoded = all().encode(&BTreeSet::new(), &text());
        let expected = b"\xa5\xf0\x9c\xb3\xd6\xe1\xf2\x8f\x00\x02\x00\x01\x02\xbc\x00\x02\x00\x03text";
        assert_eq!(encoded[..], expected[..]);
        assert_eq!(Subchannels::decode(encoded), (all(), text()));
    }

    #[test]
    fn message_without_subchannels_has_no_header() {
        assert_eq!(Subchannels::default().encode(&BTreeSet::from([4]), &text()), text());
        assert_eq!(Subchannels::decode(text()), (Subchannels::default(), text()));
    }

    #[test]
    fn pipe_message_contains_only_the_pipes_subchannels() {
        let encoded = all().encode(&BTreeSet::from([700, 2]), &text());
        assert_eq!(Subchannels::decode(encoded).0.any_of, [700]);
    }

    #[test]
    fn truncated_header_is_part_of_the_message() {
        let encoded = all().encode(&BTreeSet::new(), &Bytes::new());
        for len in 0..encoded.len() {
            let part = encoded.slice(..len);
            assert_eq!(Subchannels::decode(part.clone()), (Subchannels::default(), part));
        }
        assert_eq!(Subchannels::decode(encoded), (all(), Bytes::new()));
    }
}
