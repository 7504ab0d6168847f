//! Fuzzing of the parsers of STUN, RTP, RTCP and codec payloads.

use std::fmt::Debug;
use std::hint::black_box;

use tureen_rtc::wire::codecs::dependency_descriptor::{self, Change};
use tureen_rtc::wire::codecs::{self, CodecKind, av1, h264, h265, opus, vp8, vp9};
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket};
use tureen_rtc::wire::rtp::{RtpHeader, RtpHeaderWriter, rtx_original_sequence_number};
use tureen_rtc::wire::stun::StunMessage;

/// Parses `data` as a STUN message and reads everything from it.
pub fn fuzz_stun(data: &[u8]) {
    let Ok(message) = StunMessage::parse(data) else { return };
    assert_eq!(message.as_bytes(), data);
    black_box((message.class(), message.method(), message.transaction_id(), message.username()));
    black_box((message.priority(), message.use_candidate(), message.nomination(), message.software()));
    black_box((message.ice_controlling(), message.ice_controlled(), message.error_code()));
    black_box((message.xor_mapped_address(), message.has_fingerprint()));
    black_box(message.unknown_attributes().count());
    black_box(message.unknown_comprehension_required().count());
    let authentic = message.check_integrity(b"password");
    assert!(!authentic || message.has_integrity(), "integrity without the attribute");
}

/// Parses `data` as an RTP packet, reads its extensions and payload, and writes its header again.
pub fn fuzz_rtp(data: &[u8]) {
    let Ok(header) = RtpHeader::parse(data) else { return };
    assert!(header.len() <= data.len());
    assert_eq!(header.csrcs(data).count(), usize::from(header.csrc_count));
    if let Ok(payload) = header.payload_range(data) {
        assert!(payload.start == header.len() && payload.end <= data.len() && payload.start <= payload.end);
        black_box(rtx_original_sequence_number(&data[payload]));
    }
    let elements: Vec<_> = header.extensions(data).collect();
    for &(id, _) in &elements {
        assert!(header.extension(data, id).is_some(), "element {id} is listed but not found");
    }

    let mut buffer = [0; 4096];
    let mut writer = RtpHeaderWriter::new(&mut buffer, &header.fields()).expect("4 KiB hold a fixed header");
    for csrc in header.csrcs(data) {
        writer.push_csrc(csrc).expect("no more sources than the packet had");
    }
    let mut written = Vec::new();
    for (id, value) in elements {
        if !written.contains(&id) && writer.push(id, value).is_ok() {
            written.push(id);
        }
    }
    if let Ok(end) = writer.finish() {
        let again = RtpHeader::parse(&buffer[..end.len]).expect("a written header is valid");
        assert_eq!(again.fields(), header.fields());
        for id in written {
            assert_eq!(again.extension(&buffer, id), header.extension(data, id), "element {id}");
        }
    }
}

/// Parses `data` as a compound RTCP packet and reads every list in it.
pub fn fuzz_rtcp(data: &[u8]) {
    let mut packets = 0;
    for packet in RtcpCompound::new(data) {
        packets += 1;
        if let Ok(packet) = packet {
            read_rtcp(&packet);
        }
    }
    assert!(packets <= data.len() / 4 + 1, "{packets} packets in {} bytes", data.len());
}

/// Parses `data` as the payload of every codec.
pub fn fuzz_codecs(data: &[u8]) {
    show(vp8::parse(data));
    show(vp9::parse(data));
    show(h264::parse(data));
    show(h265::parse(data));
    show(av1::parse(data));
    show(opus::parse(data));
    if let Some((&[number, high, low], payload)) = data.split_first_chunk() {
        let picture_id = u16::from_be_bytes([high & 0x7f, low]);
        for prefix in
            [vp8::rewrite(payload, picture_id, Some(number)), vp9::rewrite(payload, picture_id, Some(number))]
        {
            let Some(prefix) = prefix else { continue };
            assert!(prefix.replaced() <= payload.len() && prefix.bytes().len() <= prefix.replaced() + 1);
        }
    }
    fuzz_dependency_descriptor(data);
    for kind in
        [CodecKind::Vp8, CodecKind::Vp9, CodecKind::H264, CodecKind::H265, CodecKind::Av1, CodecKind::Opus]
    {
        let key_frame = codecs::is_key_frame(kind, data);
        assert!(!key_frame || codecs::can_be_key_frame(kind), "{kind:?} has no key frames");
    }
}

/// Parses a descriptor as the first one of a stream, and again after itself. A rewritten descriptor must contain the
/// changes.
fn fuzz_dependency_descriptor(data: &[u8]) {
    let Some(first) = dependency_descriptor::Descriptor::parse(data, None) else { return };
    show(&first);
    let Some(structure) = &first.structure else { return };
    let targets = structure.decode_targets();
    for target in 0..targets {
        black_box((structure.layers_of(target), structure.targets_within(target)));
        assert!(structure.is_part_of(target, target));
    }
    let change = Change { frame_number: Some(7), active_targets: Some((targets, 1)) };
    let mut space = vec![0; data.len() + 8];
    let written = dependency_descriptor::rewrite(data, &change, &mut space)
        .expect("a parsed descriptor can be rewritten, and the buffer is large enough");
    let again =
        dependency_descriptor::Descriptor::parse(written, None).expect("a written descriptor is valid");
    assert_eq!((again.frame_number, again.present), (7, first.present));
}

/// Reads the lists that the `Debug` text of a packet does not contain.
fn read_rtcp(packet: &RtcpPacket<'_>) {
    show(packet);
    match packet {
        RtcpPacket::Sdes(sdes) => {
            for chunk in sdes.chunks() {
                black_box((chunk.cname(), chunk.items().count()));
            }
        }
        RtcpPacket::Nack(nack) => {
            black_box(nack.lost().count());
        }
        RtcpPacket::TransportCc(feedback) => {
            assert_eq!(feedback.statuses().count(), usize::from(feedback.packet_status_count));
            assert!(feedback.received().count() <= usize::from(feedback.packet_status_count));
        }
        RtcpPacket::Xr(report) => report.blocks().for_each(show),
        _ => {}
    }
}

/// Formats a value, which reads all its fields.
fn show(value: impl Debug) {
    black_box(format!("{value:?}"));
}
