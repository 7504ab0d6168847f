//! Source descriptions (RFC 3550 §6.5).

use super::writer::PacketWriter;
use super::{packet_type, split_ssrc};
use crate::units::Ssrc;

const CNAME: u8 = 1;
const MAX_CHUNKS: usize = 31;

/// Source description: names of the sources of a session.
#[derive(Clone, Copy, Debug)]
pub struct Sdes<'a> {
    body: &'a [u8],
    count: u8,
}

/// Source description of one source.
#[derive(Clone, Copy, Debug)]
pub struct SdesChunk<'a> {
    /// SSRC of the source.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

/// One item of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesItem<'a> {
    /// Type of the item: 1 is CNAME.
    pub(crate) item_type: u8,
    /// Text of the item, at most 255 bytes, intended to be UTF-8 but not checked.
    pub text: &'a [u8],
}

impl<'a> Sdes<'a> {
    /// Chunks of the packet, at most 31.
    pub fn chunks(&self) -> impl Iterator<Item = SdesChunk<'a>> + use<'a> {
        let mut rest = self.body;
        (0..self.count).map_while(move |_| {
            let (chunk, after) = split_chunk(rest)?;
            rest = after;
            Some(chunk)
        })
    }

    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let sdes = Self { body, count };
        (sdes.chunks().count() == usize::from(count)).then_some(sdes)
    }
}

impl<'a> SdesChunk<'a> {
    /// Items of the chunk.
    pub fn items(&self) -> impl Iterator<Item = SdesItem<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (item, after) = split_item(rest)?;
            rest = after;
            Some(item)
        })
    }

    /// Canonical name: the first item of that type.
    pub fn cname(&self) -> Option<&'a [u8]> {
        self.items().find(|item| item.item_type == CNAME).map(|item| item.text)
    }
}

/// Appends source descriptions with the canonical name of each source, cut to 255 bytes; more than 31 sources take
/// several packets. Nothing is written without a source.
pub fn write_sdes_cname(out: &mut Vec<u8>, sources: &[(Ssrc, &[u8])]) {
    for sources in sources.chunks(MAX_CHUNKS) {
        let mut packet = PacketWriter::new(out, packet_type::SDES, sources.len() as u8);
        for (ssrc, cname) in sources {
            let cname = &cname[..cname.len().min(255)];
            packet.u32(ssrc.0);
            packet.u8(CNAME);
            packet.u8(cname.len() as u8);
            packet.bytes(cname);
            // RFC 3550 §6.5: "The list of items in each chunk MUST be terminated by one or more null octets".
            packet.u8(0);
            packet.align();
        }
        packet.finish();
    }
}

/// Splits off the first chunk. A list of items may also end at the end of the packet.
fn split_chunk(bytes: &[u8]) -> Option<(SdesChunk<'_>, &[u8])> {
    let (ssrc, list) = split_ssrc(bytes)?;
    let mut rest = list;
    while let Some((_, after)) = split_item(rest) {
        rest = after;
    }
    if rest.first().is_some_and(|&item_type| item_type != 0) {
        return None; // an item passes the end
    }
    let len = list.len() - rest.len();
    let padded = (len + 1).next_multiple_of(4).min(list.len());
    Some((SdesChunk { ssrc, items: &list[..len] }, &list[padded..]))
}

/// Splits off the first item; `None` at the end of the list and for an item longer than the rest.
fn split_item(bytes: &[u8]) -> Option<(SdesItem<'_>, &[u8])> {
    let (&[item_type, len], rest) = bytes.split_first_chunk()?;
    if item_type == 0 {
        return None;
    }
    let (text, rest) = rest.split_at_checked(usize::from(len))?;
    Some((SdesItem { item_type, text }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{RtcpCompound, RtcpError, RtcpPacket, parse_one};
    use super::*;

    #[test]
    fn cname_is_read_and_written_byte_for_byte() {
        let mut bytes = vec![0x81, 202, 0, 6, 0x9f, 0x65, 0xe7, 0x42, 1, 16];
        bytes.extend(b"t7mkYnCm46OcINy/\0\0");
        let Ok(RtcpPacket::Sdes(sdes)) = parse_one(&bytes) else { panic!("not a source description") };
        let chunks: Vec<_> = sdes.chunks().collect();
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].ssrc, Ssrc(0x9f65e742));
        assert_eq!(chunks[0].cname(), Some(&b"t7mkYnCm46OcINy/"[..]));

        let mut out = Vec::new();
        write_sdes_cname(&mut out, &[(Ssrc(0x9f65e742), b"t7mkYnCm46OcINy/")]);
        assert_eq!(out, bytes);
    }

    #[test]
    fn chunks_with_several_items_and_full_padding_words_are_read() {
        let mut bytes = vec![0x82, 202, 0, 0, 0, 0, 0x04, 0xd2, 1, 6];
        bytes.extend(b"qwerty\x06\x06i\xc3\xb1aki\0\0\0\0");
        bytes.extend([0, 0, 0x16, 0x2e, 5, 3]);
        bytes.extend(b"loc\0\0\0");
        bytes[3] = (bytes.len() / 4 - 1) as u8;
        let Ok(RtcpPacket::Sdes(sdes)) = parse_one(&bytes) else { panic!("not a source description") };
        let [first, second] = sdes.chunks().collect::<Vec<_>>()[..] else { panic!("two chunks") };
        let items: Vec<_> = first.items().map(|item| (item.item_type, item.text)).collect();
        assert_eq!(items, [(1, &b"qwerty"[..]), (6, "iñaki".as_bytes())]);
        assert_eq!((second.ssrc, second.cname()), (Ssrc(5678), None));
        assert_eq!(second.items().next(), Some(SdesItem { item_type: 5, text: b"loc" }));
    }

    #[test]
    fn item_past_the_end_is_malformed() {
        let bytes = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 3, b'a', b'b'];
        assert_eq!(parse_one(&bytes).unwrap_err(), RtcpError::Malformed("source description"));
        let missing_chunk = [0x81, 202, 0, 0];
        assert_eq!(parse_one(&missing_chunk).unwrap_err(), RtcpError::Malformed("source description"));
    }

    #[test]
    fn missing_terminator_at_the_end_of_the_packet_is_tolerated() {
        let bytes = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b'];
        let Ok(RtcpPacket::Sdes(sdes)) = parse_one(&bytes) else { panic!("not a source description") };
        assert_eq!(sdes.chunks().next().unwrap().cname(), Some(&b"ab"[..]));
    }

    proptest! {
        #[test]
        fn any_cnames_round_trip(
            sources in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)), 0..70),
        ) {
            let sources: Vec<_> = sources.iter().map(|(ssrc, cname)| (Ssrc(*ssrc), &cname[..])).collect();
            let mut out = Vec::new();
            write_sdes_cname(&mut out, &sources);
            let mut read = Vec::new();
            for packet in RtcpCompound::new(&out) {
                let RtcpPacket::Sdes(sdes) = packet.unwrap() else { panic!("not a source description") };
                read.extend(sdes.chunks().map(|chunk| (chunk.ssrc, chunk.cname().unwrap())));
            }
            let expected: Vec<_> = sources.iter().map(|(ssrc, cname)| (*ssrc, &cname[..cname.len().min(255)])).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
