//! Generic negative acknowledgements (RFC 4585 §6.2.1).

use super::list::u16_at;
use super::writer::PacketWriter;
use super::{WireList, WireRecord, packet_type, rtpfb, split_feedback};
use crate::units::Ssrc;

/// Maximum number of items in one written packet, which keeps the packet near a kilobyte and below every MTU.
const MAX_ITEMS: usize = 256;

/// Request to retransmit lost packets of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    /// SSRC of the sender of the request.
    pub sender_ssrc: Ssrc,
    /// SSRC of the stream.
    pub media_ssrc: Ssrc,
    /// Lost packets, up to 17 in each item.
    pub items: WireList<'a, NackItem>,
}

/// A lost packet, and a bitmask of lost packets among the 16 after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackItem {
    /// Sequence number of the lost packet (PID).
    pub(crate) packet_id: u16,
    /// Bit `i` is set if packet `packet_id + i + 1` is lost (BLP).
    pub(crate) lost_bitmask: u16,
}

impl<'a> Nack<'a> {
    /// Sequence numbers of all lost packets, in the order of the packet.
    pub fn lost(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.items.iter().flat_map(NackItem::lost)
    }

    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, body) = split_feedback(body)?;
        Some(Self { sender_ssrc, media_ssrc, items: WireList::new(body)? })
    }
}

impl NackItem {
    /// Sequence numbers of its lost packets, 1 to 17.
    pub fn lost(self) -> impl Iterator<Item = u16> {
        let NackItem { packet_id, lost_bitmask } = self;
        let following = (0..16).filter(move |bit| lost_bitmask >> bit & 1 == 1);
        std::iter::once(packet_id).chain(following.map(move |bit| packet_id.wrapping_add(bit + 1)))
    }

    /// Adds `sequence_number` if it lies within the 17 packets of this item. Returns false otherwise.
    fn cover(&mut self, sequence_number: u16) -> bool {
        match sequence_number.wrapping_sub(self.packet_id) {
            0 => true,
            distance @ 1..=16 => {
                self.lost_bitmask |= 1 << (distance - 1);
                true
            }
            _ => false,
        }
    }
}

impl WireRecord for NackItem {
    const LEN: usize = 4;

    fn read(bytes: &[u8]) -> Self {
        Self { packet_id: u16_at(bytes, 0), lost_bitmask: u16_at(bytes, 2) }
    }
}

/// Appends a request for the `lost` packets, whose sequence numbers ascend (across the wrap); in another order the
/// request is valid but longer. More than 256 items take several packets. Nothing is written without a lost packet.
pub fn write_nack(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, lost: &[u16]) {
    let mut lost = lost.iter().copied().peekable();
    while lost.peek().is_some() {
        let mut packet = PacketWriter::feedback(out, packet_type::RTPFB, rtpfb::NACK, sender, media);
        for _ in 0..MAX_ITEMS {
            let Some(packet_id) = lost.next() else { break };
            let mut item = NackItem { packet_id, lost_bitmask: 0 };
            while lost.next_if(|&sequence_number| item.cover(sequence_number)).is_some() {}
            packet.u16(item.packet_id);
            packet.u16(item.lost_bitmask);
        }
        packet.finish();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{RtcpCompound, RtcpError, RtcpPacket, parse_one};
    use super::*;

    #[test]
    fn item_is_read_and_written_byte_for_byte() {
        let bytes = [0x81, 205, 0, 3, 0, 0, 0, 1, 0x03, 0x30, 0xbd, 0xee, 0x0b, 0x8f, 0x00, 0x03];
        let Ok(RtcpPacket::Nack(nack)) = parse_one(&bytes) else { panic!("not a NACK") };
        assert_eq!((nack.sender_ssrc, nack.media_ssrc), (Ssrc(1), Ssrc(0x0330bdee)));
        assert!(nack.items.iter().eq([NackItem { packet_id: 2959, lost_bitmask: 3 }]));
        assert!(nack.lost().eq([2959, 2960, 2961]));

        let mut out = Vec::new();
        write_nack(&mut out, nack.sender_ssrc, nack.media_ssrc, &[2959, 2960, 2961]);
        assert_eq!(out, bytes);
    }

    #[test]
    fn item_covers_seventeen_packets_across_the_wrap() {
        let mut out = Vec::new();
        write_nack(&mut out, Ssrc(1), Ssrc(2), &[65530, 65531, 10, 11]);
        let Ok(RtcpPacket::Nack(nack)) = parse_one(&out) else { panic!("not a NACK") };
        let items = [
            NackItem { packet_id: 65530, lost_bitmask: 0x8001 },
            NackItem { packet_id: 11, lost_bitmask: 0 },
        ];
        assert!(nack.items.iter().eq(items));
        assert!(nack.lost().eq([65530, 65531, 10, 11]));
    }

    #[test]
    fn nothing_lost_writes_nothing() {
        let mut out = Vec::new();
        write_nack(&mut out, Ssrc(1), Ssrc(2), &[]);
        assert!(out.is_empty());
    }

    #[test]
    fn missing_media_source_is_malformed() {
        assert_eq!(parse_one(&[0x81, 205, 0, 1, 0, 0, 0, 1]).unwrap_err(), RtcpError::Malformed("NACK"));
    }

    #[test]
    fn no_packet_grows_beyond_a_kilobyte() {
        let lost: Vec<u16> = (0..3000).map(|n| n * 20).collect();
        let mut out = Vec::new();
        write_nack(&mut out, Ssrc(1), Ssrc(2), &lost);
        let mut read = Vec::new();
        for packet in RtcpCompound::new(&out) {
            let Ok(RtcpPacket::Nack(nack)) = packet else { panic!("not a NACK") };
            assert!(nack.items.len() <= MAX_ITEMS);
            read.extend(nack.lost());
        }
        assert_eq!(read, lost);
    }

    proptest! {
        #[test]
        fn any_ascending_numbers_round_trip(first: u16, gaps in prop::collection::vec(1u16..40, 0..600)) {
            let lost: Vec<u16> = gaps
                .iter()
                .scan(first, |seq, gap| {
                    *seq = seq.wrapping_add(*gap);
                    Some(*seq)
                })
                .collect();
            let mut out = Vec::new();
            write_nack(&mut out, Ssrc(1), Ssrc(2), &lost);
            let mut read = Vec::new();
            for packet in RtcpCompound::new(&out) {
                let RtcpPacket::Nack(nack) = packet.unwrap() else { panic!("not a NACK") };
                read.extend(nack.lost());
            }
            prop_assert_eq!(read, lost);
        }

        #[test]
        fn numbers_in_any_order_are_all_listed(lost in prop::collection::vec(any::<u16>(), 0..100)) {
            let mut out = Vec::new();
            write_nack(&mut out, Ssrc(1), Ssrc(2), &lost);
            let mut read = std::collections::BTreeSet::new();
            for packet in RtcpCompound::new(&out) {
                let RtcpPacket::Nack(nack) = packet.unwrap() else { panic!("not a NACK") };
                read.extend(nack.lost());
            }
            prop_assert_eq!(read, lost.into_iter().collect());
        }
    }
}
