//! RTP packets (RFC 3550 §5): parsing the header of a received datagram and writing the header of a sent one.
//!
//! [`RtpHeader`] holds offsets instead of borrows, so that it stays valid when SRTP decrypts the datagram in place
//! after the header was parsed. Header extensions (RFC 8285) are read by [`RtpHeader::extension`] and the typed values
//! of [`extension`]. [`RtpHeaderWriter`] writes a complete header in one pass.

pub mod extension;
mod writer;

use std::num::NonZeroU8;
use std::ops::Range;

use thiserror::Error;

pub use self::extension::{Extension, ExtensionIds, ExtensionValue};
pub use self::writer::{ExtensionSlot, RtpFields, RtpHeaderWriter, RtpWriteError, WrittenHeader};
use crate::units::{PayloadType, Ssrc};

/// Length of the fixed part of the header.
pub const FIXED_HEADER_LEN: usize = 12;

/// Length of the original sequence number at the start of an RTX payload (RFC 4588 §4).
pub const RTX_OSN_LEN: usize = 2;

const VERSION: u8 = 2;
const EXTENSION_HEADER_LEN: usize = 4;
const ONE_BYTE_PROFILE: u16 = 0xbede;
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// Reason why a datagram is not an RTP packet. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtpError {
    /// The datagram ends inside its own header.
    #[error("RTP header needs {needed} bytes, the packet has {available}")]
    Truncated {
        /// Number of bytes that the header requires.
        needed: usize,
        /// Number of bytes in the packet.
        available: usize,
    },
    /// The version field is not 2.
    #[error("RTP version is {0}, expected 2")]
    Version(u8),
    /// The padding count is zero, larger than the payload, or missing.
    #[error("RTP padding of {padding} bytes does not fit a payload of {available}")]
    Padding {
        /// Padding count in the packet, which includes its own byte.
        padding: usize,
        /// Number of bytes after the header.
        available: usize,
    },
}

/// Layout of the elements in a header extension block (RFC 8285 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionForm {
    /// Profile 0xBEDE: ids 1–14, values of 1–16 bytes.
    OneByte,
    /// Profile 0x100X: ids 1–255, values of 0–255 bytes.
    TwoByte,
    /// Any other profile, whose contents are opaque.
    Opaque,
}

/// Header of an RTP packet, parsed once and valid as long as the header bytes are not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit: last packet of a video frame, first packet of a talk spurt.
    pub marker: bool,
    /// True if the payload ends in padding, whose count is in the last byte of the (decrypted) packet.
    pub has_padding: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// Sequence number as sent: 16 bits, not extended.
    pub sequence_number: u16,
    /// RTP timestamp in units of the codec's clock rate.
    pub timestamp: u32,
    /// Synchronization source of the stream.
    pub ssrc: Ssrc,
    /// Number of contributing sources after the fixed header, 0–15.
    pub csrc_count: u8,
    /// The 16 "defined by profile" bits of the extension block, if there is one.
    pub(crate) extension_profile: Option<u16>,
    len: u32,
}

impl RtpHeader {
    /// Parses the header of `packet`, which may still be encrypted, because payload and padding are not read.
    ///
    /// Fails when the version is not 2 or when the CSRC list or the extension block exceeds the packet. The elements
    /// inside the block are not checked.
    pub fn parse(packet: &[u8]) -> Result<RtpHeader, RtpError> {
        let truncated = |needed| RtpError::Truncated { needed, available: packet.len() };
        let fixed = packet.first_chunk::<FIXED_HEADER_LEN>().ok_or(truncated(FIXED_HEADER_LEN))?;
        let version = fixed[0] >> 6;
        if version != VERSION {
            return Err(RtpError::Version(version));
        }

        let csrc_count = fixed[0] & 0x0f;
        let mut len = FIXED_HEADER_LEN + 4 * usize::from(csrc_count);
        let mut extension_profile = None;
        if fixed[0] & 0x10 != 0 {
            let header = packet
                .get(len..)
                .and_then(|rest| rest.first_chunk::<EXTENSION_HEADER_LEN>())
                .ok_or(truncated(len + EXTENSION_HEADER_LEN))?;
            extension_profile = Some(u16::from_be_bytes([header[0], header[1]]));
            len += EXTENSION_HEADER_LEN + 4 * usize::from(u16::from_be_bytes([header[2], header[3]]));
        }
        if len > packet.len() {
            return Err(truncated(len));
        }

        Ok(RtpHeader {
            marker: fixed[1] & 0x80 != 0,
            has_padding: fixed[0] & 0x20 != 0,
            payload_type: PayloadType(fixed[1] & 0x7f),
            sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
            csrc_count,
            extension_profile,
            len: len as u32, // at most 12 + 15 × 4 + 4 + 65535 × 4
        })
    }

    /// Length of the header with its CSRC list and extension block: the offset of the payload.
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Range of the payload in the decrypted packet, without padding. Empty for a padding-only packet (a bandwidth
    /// probe) and for a packet without payload.
    ///
    /// Fails when the padding count is zero or larger than the rest after the header, and when `packet` is shorter than
    /// the header.
    pub fn payload_range(&self, packet: &[u8]) -> Result<Range<usize>, RtpError> {
        let start = self.len();
        let Some(payload) = packet.get(start..) else {
            return Err(RtpError::Truncated { needed: start, available: packet.len() });
        };
        if !self.has_padding {
            return Ok(start..packet.len());
        }
        // RFC 3550 §5.1: "The last octet of the padding contains a count of how many padding octets should be
        // ignored, including itself."
        let padding = payload.last().map_or(0, |&count| usize::from(count));
        if padding == 0 || padding > payload.len() {
            return Err(RtpError::Padding { padding, available: payload.len() });
        }
        Ok(start..packet.len() - padding)
    }

    /// Layout of the extension block, if there is one.
    pub(crate) fn extension_form(&self) -> Option<ExtensionForm> {
        Some(match self.extension_profile? {
            ONE_BYTE_PROFILE => ExtensionForm::OneByte,
            profile if profile & 0xfff0 == TWO_BYTE_PROFILE => ExtensionForm::TwoByte,
            _ => ExtensionForm::Opaque,
        })
    }

    /// Value of the first extension element with this id. `None` for ids that are invalid (0, and 15 in the one-byte
    /// form).
    pub fn extension<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        self.extensions(packet).find_map(|(found, value)| (found == id).then_some(value))
    }

    /// Typed value of the extension with this negotiated id. `None` if the extension was not negotiated, is absent, or
    /// is not a valid `V`.
    pub fn read<'a, V: ExtensionValue<'a>>(&self, packet: &'a [u8], id: Option<NonZeroU8>) -> Option<V> {
        V::read(self.extension(packet, id?.get())?)
    }

    /// Extension elements as (id, value), in the order of the packet; padding is skipped. A malformed element ends the
    /// iteration after the elements before it.
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> ExtensionIter<'a> {
        let rest = packet.get(self.extension_range()).unwrap_or_default();
        match self.extension_form() {
            Some(form @ (ExtensionForm::OneByte | ExtensionForm::TwoByte)) => ExtensionIter { rest, form },
            Some(ExtensionForm::Opaque) | None => ExtensionIter { rest: &[], form: ExtensionForm::Opaque },
        }
    }

    /// Contributing sources in the order of the packet.
    pub fn csrcs<'a>(&self, packet: &'a [u8]) -> impl Iterator<Item = Ssrc> + use<'a> {
        let list = packet.get(FIXED_HEADER_LEN..self.csrc_end()).unwrap_or_default();
        list.as_chunks().0.iter().map(|&csrc| Ssrc(u32::from_be_bytes(csrc)))
    }

    /// Fields for [`RtpHeaderWriter`], to be changed and written again.
    pub fn fields(&self) -> RtpFields {
        RtpFields {
            marker: self.marker,
            has_padding: self.has_padding,
            payload_type: self.payload_type,
            sequence_number: self.sequence_number,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        }
    }

    fn csrc_end(&self) -> usize {
        FIXED_HEADER_LEN + 4 * usize::from(self.csrc_count)
    }

    fn extension_range(&self) -> Range<usize> {
        match self.extension_profile {
            Some(_) => self.csrc_end() + EXTENSION_HEADER_LEN..self.len(),
            None => self.len()..self.len(),
        }
    }
}

/// Iterator of [`RtpHeader::extensions`].
#[derive(Clone, Debug)]
pub struct ExtensionIter<'a> {
    rest: &'a [u8],
    form: ExtensionForm,
}

impl<'a> Iterator for ExtensionIter<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let element = match self.form {
            ExtensionForm::OneByte => one_byte_element(self.rest),
            ExtensionForm::TwoByte => two_byte_element(self.rest),
            ExtensionForm::Opaque => None,
        };
        match element {
            Some((id, value, rest)) => {
                self.rest = rest;
                Some((id, value))
            }
            None => {
                self.rest = &[];
                None
            }
        }
    }
}

impl std::iter::FusedIterator for ExtensionIter<'_> {}

/// Original sequence number at the start of the payload of an RTX packet (RFC 4588 §4). `None` for a payload that is
/// too short, because padding-only probes on the RTX stream have no original sequence number.
pub fn rtx_original_sequence_number(payload: &[u8]) -> Option<u16> {
    payload.first_chunk().map(|osn| u16::from_be_bytes(*osn))
}

fn one_byte_element(mut block: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    loop {
        let (&head, rest) = block.split_first()?;
        let (id, len) = (head >> 4, usize::from(head & 0x0f) + 1);
        match id {
            0 if head == 0 => block = rest,
            // RFC 8285 §4.2: id 15, and id 0 with a length, terminate the processing of the block.
            0 | 15 => return None,
            _ => {
                let (value, rest) = rest.split_at_checked(len)?;
                return Some((id, value, rest));
            }
        }
    }
}

fn two_byte_element(mut block: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    loop {
        let (&id, rest) = block.split_first()?;
        if id == 0 {
            block = rest;
            continue;
        }
        let (&len, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        return Some((id, value, rest));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0xef, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef, 1, 2];

    fn with_block(profile: u16, block: &[u8]) -> Vec<u8> {
        assert_eq!(block.len() % 4, 0, "test blocks are whole words");
        let mut packet = PLAIN[..12].to_vec();
        packet[0] |= 0x10;
        packet.extend(profile.to_be_bytes());
        packet.extend(((block.len() / 4) as u16).to_be_bytes());
        packet.extend(block);
        packet
    }

    fn elements(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let header = RtpHeader::parse(packet).unwrap();
        header.extensions(packet).map(|(id, value)| (id, value.to_vec())).collect()
    }

    #[test]
    fn fixed_header_is_read() {
        let header = RtpHeader::parse(&PLAIN).unwrap();
        assert!(header.marker);
        assert_eq!(header.payload_type, PayloadType(111));
        assert_eq!(header.sequence_number, 0x1234);
        assert_eq!(header.timestamp, 9);
        assert_eq!(header.ssrc, Ssrc(0xdeadbeef));
        assert_eq!(header.csrc_count, 0);
        assert_eq!(header.len(), 12);
        assert_eq!(header.extension_form(), None);
        assert_eq!(header.payload_range(&PLAIN), Ok(12..14));
    }

    #[test]
    fn other_versions_are_refused() {
        for version in [0, 1, 3] {
            let mut packet = PLAIN;
            packet[0] = version << 6;
            assert_eq!(RtpHeader::parse(&packet), Err(RtpError::Version(version)));
        }
    }

    #[test]
    fn every_header_cut_short_is_refused() {
        let mut packet = vec![0x92, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([0, 0, 0, 7, 0, 0, 0, 8]);
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(header.len(), packet.len());
        assert_eq!(header.csrcs(&packet).collect::<Vec<_>>(), [Ssrc(7), Ssrc(8)]);
        assert_eq!(header.extension(&packet, 1), Some(&[0xaa][..]));
        assert_eq!(header.payload_range(&packet), Ok(28..28));
        for len in 0..packet.len() {
            let error = RtpHeader::parse(&packet[..len]).unwrap_err();
            assert!(
                matches!(error, RtpError::Truncated { available, .. } if available == len),
                "{len}: {error}"
            );
        }
    }

    #[test]
    fn padding_is_stripped_and_checked_after_decryption() {
        let mut packet = PLAIN.to_vec();
        packet[0] |= 0x20;
        packet.extend([0, 0, 3]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(header.payload_range(&packet), Ok(12..14));

        *packet.last_mut().unwrap() = 5;
        assert_eq!(header.payload_range(&packet), Ok(12..12), "a probe is padding only");
        for count in [0, 6, 255] {
            *packet.last_mut().unwrap() = count;
            let expected = RtpError::Padding { padding: usize::from(count), available: 5 };
            assert_eq!(header.payload_range(&packet), Err(expected));
        }
        assert_eq!(header.payload_range(&packet[..12]), Err(RtpError::Padding { padding: 0, available: 0 }));
        let truncated = RtpError::Truncated { needed: 12, available: 11 };
        assert_eq!(header.payload_range(&packet[..11]), Err(truncated));
    }

    #[test]
    fn one_byte_elements_are_read_between_padding() {
        let packet = with_block(0xbede, &[0x10, 0xaa, 0, 0, 0x21, 0xbb, 0xbc, 0, 0xe0, 0xcc, 0, 0]);
        assert_eq!(elements(&packet), [(1, vec![0xaa]), (2, vec![0xbb, 0xbc]), (14, vec![0xcc])]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(header.extension_form(), Some(ExtensionForm::OneByte));
        assert_eq!(header.extension(&packet, 2), Some(&[0xbb, 0xbc][..]));
        assert_eq!(header.extension(&packet, 0), None);
        assert_eq!(header.extension(&packet, 3), None);
    }

    #[test]
    fn reserved_one_byte_ids_end_the_block() {
        for stop in [0xf0, 0xff, 0x01] {
            let packet = with_block(0xbede, &[0x10, 0xaa, stop, 0x20, 0x20, 0xbb, 0, 0]);
            assert_eq!(elements(&packet), [(1, vec![0xaa])], "{stop:#x}");
        }
    }

    #[test]
    fn two_byte_elements_may_be_empty_and_carry_app_bits() {
        for profile in [0x1000, 0x1003, 0x100f] {
            let packet = with_block(profile, &[1, 0, 0, 200, 3, 7, 8, 9, 0, 0, 15, 0]);
            assert_eq!(elements(&packet), [(1, vec![]), (200, vec![7, 8, 9]), (15, vec![])]);
        }
    }

    #[test]
    fn elements_before_a_malformed_tail_stay_readable() {
        assert_eq!(elements(&with_block(0xbede, &[0x10, 0xaa, 0x23, 1])), [(1, vec![0xaa])]);
        assert_eq!(elements(&with_block(0x1000, &[1, 1, 9, 2])), [(1, vec![9])]);
        assert_eq!(elements(&with_block(0x1000, &[1, 0, 2, 200])), [(1, vec![])]);
    }

    #[test]
    fn opaque_profiles_have_no_elements() {
        let packet = with_block(0x1010, &[1, 1, 9, 0]);
        assert_eq!(RtpHeader::parse(&packet).unwrap().extension_form(), Some(ExtensionForm::Opaque));
        assert!(elements(&packet).is_empty());
    }

    #[test]
    fn rtx_payload_starts_with_the_original_sequence_number() {
        assert_eq!(rtx_original_sequence_number(&[0x12, 0x34, 9]), Some(0x1234));
        assert_eq!(rtx_original_sequence_number(&[0x12]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(mut packet in prop::collection::vec(any::<u8>(), 0..200), id: u8, cut in 0usize..200) {
            if let Some(first) = packet.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            if let Ok(header) = RtpHeader::parse(&packet) {
                prop_assert!(header.len() <= packet.len());
                for bytes in [&packet[..], &packet[..cut.min(packet.len())]] {
                    let _ = header.payload_range(bytes);
                    let _ = header.extension(bytes, id);
                    prop_assert!(header.extensions(bytes).count() <= bytes.len());
                    let _ = header.csrcs(bytes).count();
                }
            }
        }

        #[test]
        fn any_extension_block_never_panics(words in prop::collection::vec(any::<[u8; 4]>(), 0..20), two: bool) {
            let packet = with_block(if two { 0x1000 } else { 0xbede }, &words.concat());
            let header = RtpHeader::parse(&packet).unwrap();
            let total: usize = header.extensions(&packet).map(|(_, value)| value.len()).sum();
            prop_assert!(total <= packet.len());
        }
    }
}
