//! Writing RTP headers on the sending side.

use thiserror::Error;

use super::{EXTENSION_HEADER_LEN, FIXED_HEADER_LEN, ONE_BYTE_PROFILE, TWO_BYTE_PROFILE, VERSION};
use crate::units::{PayloadType, Ssrc};

/// Fields of the fixed RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpFields {
    /// Marker bit.
    pub marker: bool,
    /// Padding bit; the writer of the payload appends the padding.
    pub has_padding: bool,
    /// Payload type; its top bit is ignored.
    pub payload_type: PayloadType,
    /// Sequence number.
    pub sequence_number: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: Ssrc,
}

impl RtpFields {
    /// Writes the fixed part of a header without contributing sources and extensions.
    pub fn write(&self, fixed: &mut [u8; FIXED_HEADER_LEN]) {
        fixed[0] = VERSION << 6 | u8::from(self.has_padding) << 5;
        fixed[1] = u8::from(self.marker) << 7 | self.payload_type.0 & 0x7f;
        fixed[2..4].copy_from_slice(&self.sequence_number.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ssrc.0.to_be_bytes());
    }
}

/// Reason why a header could not be written: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtpWriteError {
    /// The buffer is too small.
    #[error("no space for the RTP header in a buffer of {0} bytes")]
    NoSpace(usize),
    /// Id 0 is padding.
    #[error("header extension id 0 is reserved")]
    ReservedId,
    /// An extension value of more than 255 bytes.
    #[error("header extension value of {0} bytes, at most 255 are possible")]
    ValueTooLong(usize),
    /// More than 15 contributing sources, or one after the first extension.
    #[error("contributing sources come before extensions and are at most 15")]
    Csrc,
}

/// Writes one RTP header from front to back: fields, contributing sources, then extension elements.
///
/// The extension block has the one-byte form as long as every id is at most 14 and every value has 1–16 bytes. The
/// first element beyond these limits changes the block to the two-byte form, which moves the previous elements by one
/// byte each. RFC 8285 §4.1.2 requires one form throughout a stream unless the receiver supports mixed forms
/// (`extmap-allow-mixed`); the caller ensures that by the ids and values it pushes.
///
/// Cost: each byte of the header is written once and nothing is allocated; for a usual packet with four small elements
/// that is about 40 bytes. Only the change of form copies the block written so far; callers avoid the copy by pushing
/// the large element (the dependency descriptor) first.
#[derive(Debug)]
pub struct RtpHeaderWriter<'a> {
    buffer: &'a mut [u8],
    len: usize,
    block: Option<Block>,
}

/// An extension block under construction.
#[derive(Clone, Copy, Debug)]
struct Block {
    start: usize,
    elements: u32,
    two_byte: bool,
    /// Number of elements that were written in the one-byte form and moved when the form changed.
    moved: u32,
}

/// An extension element that was pushed; [`WrittenHeader::offset_of`] returns the final offset of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionSlot {
    ordinal: u32,
    offset: u32,
}

/// A finished header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenHeader {
    /// Length of the header, which is the offset of the payload.
    pub len: usize,
    moved: u32,
}

impl WrittenHeader {
    /// Offset of the value of an extension element in the buffer, to patch it later (abs-send-time, transport-wide
    /// sequence number). `slot` must come from the same writer.
    pub fn offset_of(&self, slot: ExtensionSlot) -> usize {
        let shift = if slot.ordinal < self.moved { slot.ordinal + 1 } else { 0 };
        (slot.offset + shift) as usize
    }
}

impl<'a> RtpHeaderWriter<'a> {
    /// Starts a header at the start of `buffer`, which may be as large as the whole packet.
    pub fn new(buffer: &'a mut [u8], fields: &RtpFields) -> Result<Self, RtpWriteError> {
        let space = buffer.len();
        let fixed = buffer.first_chunk_mut::<FIXED_HEADER_LEN>().ok_or(RtpWriteError::NoSpace(space))?;
        fields.write(fixed);
        Ok(Self { buffer, len: FIXED_HEADER_LEN, block: None })
    }

    /// Adds a contributing source. Fails after 15 of them, or after the first extension element.
    pub fn push_csrc(&mut self, csrc: Ssrc) -> Result<(), RtpWriteError> {
        if self.block.is_some() || self.buffer[0] & 0x0f == 15 {
            return Err(RtpWriteError::Csrc);
        }
        self.append(&csrc.0.to_be_bytes())?;
        self.buffer[0] += 1;
        Ok(())
    }

    /// Adds an extension element. Ids are 1–255, values at most 255 bytes; the caller keeps ids unique.
    ///
    /// After an error the header is unfinished and must be discarded.
    pub fn push(&mut self, id: u8, value: &[u8]) -> Result<ExtensionSlot, RtpWriteError> {
        if id == 0 {
            return Err(RtpWriteError::ReservedId);
        }
        let len = u8::try_from(value.len()).map_err(|_| RtpWriteError::ValueTooLong(value.len()))?;
        let fits_one_byte = id <= 14 && (1..=16).contains(&len);
        let mut block = match self.block {
            Some(block) => block,
            None => self.start_block(!fits_one_byte)?,
        };
        if !block.two_byte && !fits_one_byte {
            self.widen(&mut block)?;
        }
        if block.two_byte {
            self.append(&[id, len])?;
        } else {
            self.append(&[id << 4 | (len - 1)])?;
        }
        let slot = ExtensionSlot { ordinal: block.elements, offset: self.len as u32 };
        self.append(value)?;
        block.elements += 1;
        self.block = Some(block);
        Ok(slot)
    }

    /// Pads the extension block to whole 32-bit words, writes its header and returns the length and offsets.
    pub fn finish(mut self) -> Result<WrittenHeader, RtpWriteError> {
        let Some(block) = self.block else {
            return Ok(WrittenHeader { len: self.len, moved: 0 });
        };
        while !(self.len - block.start).is_multiple_of(4) {
            self.append(&[0])?;
        }
        let words = u16::try_from((self.len - block.start) / 4).map_err(|_| self.no_space())?;
        let profile = if block.two_byte { TWO_BYTE_PROFILE } else { ONE_BYTE_PROFILE };
        self.buffer[0] |= 0x10;
        self.buffer[block.start - 4..block.start - 2].copy_from_slice(&profile.to_be_bytes());
        self.buffer[block.start - 2..block.start].copy_from_slice(&words.to_be_bytes());
        Ok(WrittenHeader { len: self.len, moved: block.moved })
    }

    fn start_block(&mut self, two_byte: bool) -> Result<Block, RtpWriteError> {
        self.append(&[0; EXTENSION_HEADER_LEN])?;
        let block = Block { start: self.len, elements: 0, two_byte, moved: 0 };
        self.block = Some(block);
        Ok(block)
    }

    /// Rewrites the previous elements, which have the one-byte form, in the two-byte form.
    fn widen(&mut self, block: &mut Block) -> Result<(), RtpWriteError> {
        let mut read = block.start;
        let old_end = self.len;
        let growth = block.elements as usize;
        if old_end + growth > self.buffer.len() {
            return Err(self.no_space());
        }
        // The block is first moved up by the additional length, then each element is expanded downwards, because then
        // the write position never passes the read position.
        self.buffer.copy_within(read..old_end, read + growth);
        let mut write = read;
        read += growth;
        while read < old_end + growth {
            let head = self.buffer[read];
            let len = usize::from(head & 0x0f) + 1;
            self.buffer.copy_within(read + 1..read + 1 + len, write + 2);
            self.buffer[write] = head >> 4;
            self.buffer[write + 1] = len as u8;
            read += 1 + len;
            write += 2 + len;
        }
        self.len = write;
        block.two_byte = true;
        block.moved = block.elements;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), RtpWriteError> {
        let end = self.len + bytes.len();
        match self.buffer.get_mut(self.len..end) {
            Some(space) => space.copy_from_slice(bytes),
            None => return Err(self.no_space()),
        }
        self.len = end;
        Ok(())
    }

    fn no_space(&self) -> RtpWriteError {
        RtpWriteError::NoSpace(self.buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ExtensionForm, RtpHeader};
    use super::*;

    const FIELDS: RtpFields = RtpFields {
        marker: true,
        has_padding: false,
        payload_type: PayloadType(96),
        sequence_number: 65535,
        timestamp: 0x01020304,
        ssrc: Ssrc(0xcafebabe),
    };

    #[test]
    fn header_without_extensions_is_twelve_bytes() {
        let mut buffer = [0xff; 20];
        let written = RtpHeaderWriter::new(&mut buffer, &FIELDS).unwrap().finish().unwrap();
        assert_eq!(written.len, 12);
        assert_eq!(buffer[..12], [0x80, 0xe0, 0xff, 0xff, 1, 2, 3, 4, 0xca, 0xfe, 0xba, 0xbe]);
        assert_eq!(buffer[12..], [0xff; 8], "bytes behind the header are left alone");
    }

    #[test]
    fn small_elements_take_the_one_byte_form() {
        let mut buffer = [0xff; 64];
        let mut writer = RtpHeaderWriter::new(&mut buffer, &FIELDS).unwrap();
        let first = writer.push(1, &[0xaa]).unwrap();
        let second = writer.push(14, &[1, 2, 3]).unwrap();
        let written = writer.finish().unwrap();
        assert_eq!(written.len, 24);
        assert_eq!(buffer[12..24], [0xbe, 0xde, 0, 2, 0x10, 0xaa, 0xe2, 1, 2, 3, 0, 0]);
        assert_eq!(buffer[0], 0x90);
        assert_eq!(written.offset_of(first), 17);
        assert_eq!(written.offset_of(second), 19);
    }

    #[test]
    fn large_element_widens_the_block_and_slots_follow() {
        for (id, value) in [(15, vec![7]), (3, vec![8; 17]), (3, vec![])] {
            let mut buffer = [0xff; 80];
            let mut writer = RtpHeaderWriter::new(&mut buffer, &FIELDS).unwrap();
            let slots = [
                writer.push(1, &[0xaa]).unwrap(),
                writer.push(2, &[1, 2, 3]).unwrap(),
                writer.push(id, &value).unwrap(),
                writer.push(9, &[0xbb, 0xbc]).unwrap(),
            ];
            let written = writer.finish().unwrap();
            let header = RtpHeader::parse(&buffer[..written.len]).unwrap();
            assert_eq!(header.extension_form(), Some(ExtensionForm::TwoByte));
            let expected: [(u8, &[u8]); 4] =
                [(1, &[0xaa]), (2, &[1, 2, 3]), (id, &value), (9, &[0xbb, 0xbc])];
            assert_eq!(header.extensions(&buffer).collect::<Vec<_>>(), expected);
            for (slot, (_, value)) in slots.into_iter().zip(expected) {
                assert_eq!(buffer[written.offset_of(slot)..][..value.len()], *value);
            }
        }
    }

    #[test]
    fn contributing_sources_come_first_and_are_at_most_fifteen() {
        let mut buffer = [0; 100];
        let mut writer = RtpHeaderWriter::new(&mut buffer, &FIELDS).unwrap();
        for csrc in 0..15 {
            writer.push_csrc(Ssrc(csrc)).unwrap();
        }
        assert_eq!(writer.push_csrc(Ssrc(15)), Err(RtpWriteError::Csrc));
        writer.push(1, &[1]).unwrap();
        let written = writer.finish().unwrap();
        let header = RtpHeader::parse(&buffer[..written.len]).unwrap();
        assert!(header.csrcs(&buffer).eq((0..15).map(Ssrc)));
        assert_eq!(header.extension(&buffer, 1), Some(&[1][..]));

        let mut writer = RtpHeaderWriter::new(&mut buffer, &FIELDS).unwrap();
        writer.push(1, &[1]).unwrap();
        assert_eq!(writer.push_csrc(Ssrc(1)), Err(RtpWriteError::Csrc));
    }

    #[test]
    fn impossible_elements_are_refused() {
        let mut buffer = [0; 1000];
        let mut writer = RtpHeaderWriter::new(&mut buffer, &FIELDS).unwrap();
        assert_eq!(writer.push(0, &[1]), Err(RtpWriteError::ReservedId));
        assert_eq!(writer.push(1, &[0; 256]), Err(RtpWriteError::ValueTooLong(256)));
    }

    fn write(
        buffer: &mut [u8],
        elements: &[(u8, Vec<u8>)],
    ) -> Result<(WrittenHeader, Vec<ExtensionSlot>), RtpWriteError> {
        let mut writer = RtpHeaderWriter::new(buffer, &FIELDS)?;
        let slots = elements.iter().map(|(id, value)| writer.push(*id, value)).collect::<Result<_, _>>()?;
        Ok((writer.finish()?, slots))
    }

    proptest! {
        #[test]
        fn written_headers_are_read_back(
            elements in prop::collection::vec((1u8.., prop::collection::vec(any::<u8>(), 0..20)), 0..8),
        ) {
            let mut buffer = [0xff; 300];
            let (written, slots) = write(&mut buffer, &elements).unwrap();
            let header = RtpHeader::parse(&buffer[..written.len]).unwrap();
            prop_assert_eq!(header.fields(), FIELDS);
            prop_assert_eq!(header.len(), written.len);
            let read: Vec<_> = header.extensions(&buffer).map(|(id, value)| (id, value.to_vec())).collect();
            prop_assert_eq!(&read, &elements);
            let small = elements.iter().all(|(id, v)| *id <= 14 && (1..=16).contains(&v.len()));
            let form = if small { ExtensionForm::OneByte } else { ExtensionForm::TwoByte };
            prop_assert_eq!(header.extension_form(), (!elements.is_empty()).then_some(form));
            for (slot, (_, value)) in slots.into_iter().zip(&elements) {
                prop_assert_eq!(&buffer[written.offset_of(slot)..][..value.len()], &value[..]);
            }
        }

        #[test]
        fn too_small_a_buffer_is_an_error(
            elements in prop::collection::vec((1u8..20, prop::collection::vec(any::<u8>(), 0..18)), 0..6),
        ) {
            let mut buffer = [0; 300];
            let (written, _) = write(&mut buffer, &elements).unwrap();
            for len in 0..written.len {
                prop_assert_eq!(write(&mut buffer[..len], &elements).unwrap_err(), RtpWriteError::NoSpace(len));
            }
        }
    }
}
