use proptest::prelude::*;

use super::*;

const ALL: [CodecKind; 6] =
    [CodecKind::Vp8, CodecKind::Vp9, CodecKind::H264, CodecKind::H265, CodecKind::Av1, CodecKind::Opus];

/// Payloads of a frame, after a check of their marker bits.
fn packetize(
    packetizer: &mut Packetizer,
    frame: &OutgoingFrame<'_>,
) -> Result<(FrameInfo, Vec<Vec<u8>>), FrameError> {
    let mut payloads = Payloads::default();
    let info = packetizer.packetize(frame, &mut payloads)?;
    let last = payloads.len() - 1;
    for (at, (_, marker)) in payloads.iter().enumerate() {
        assert_eq!(marker, at == last && !frame.more_layers, "the marker bit is on the last packet");
    }
    Ok((info, payloads.iter().map(|(payload, _)| payload.to_vec()).collect()))
}

fn assemble(codec: CodecKind, payloads: &[Vec<u8>]) -> Result<(FrameInfo, Vec<u8>), FrameError> {
    let mut out = vec![7; 3];
    let info = FrameAssembler::new(codec)?.assemble(payloads.iter().map(Vec::as_slice), &mut out)?;
    Ok((info, out))
}

/// Packetises a frame with at most `max` bytes in each packet, assembles it again and compares it with `expected`.
fn round_trip(codec: CodecKind, max: usize, frame: &OutgoingFrame<'_>, expected: &[u8]) -> FrameInfo {
    let mut packetizer = Packetizer::new(codec, max, 0x7fff).unwrap();
    let (sent, payloads) = packetize(&mut packetizer, frame).unwrap();
    assert!(codec == CodecKind::Opus || payloads.iter().all(|payload| payload.len() <= max));
    assert_ne!(frame_start(codec, &payloads[0]), Some(Start::No));
    for payload in &payloads {
        assert!(frame_start(codec, payload).is_some(), "{payload:02x?}");
    }
    let (info, data) = assemble(codec, &payloads).unwrap();
    assert_eq!((info, data.as_slice()), (sent, expected));
    info
}

fn with_start_codes(units: &[Vec<u8>]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1], unit.as_slice()].concat()).collect()
}

/// OBU with a size field.
fn obu(kind: u8, extension: Option<u8>, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind << 3 | 2 | u8::from(extension.is_some()) << 2];
    out.extend(extension);
    leb128::push_leb128(&mut out, payload.len());
    out.extend_from_slice(payload);
    out
}

fn temporal_unit(obus: &[Vec<u8>]) -> Vec<u8> {
    [vec![0x12, 0], obus.concat()].concat()
}

/// Frame of at least `len` bytes in each codec's format.
fn frame(codec: CodecKind, key: bool, len: usize) -> Vec<u8> {
    let body: Vec<u8> = (0..len.max(4)).map(|at| (at % 250) as u8 + 1).collect();
    match codec {
        CodecKind::Vp8 => [vec![0x10 | u8::from(!key)], body].concat(),
        CodecKind::Vp9 => [vec![if key { 0x82 } else { 0x86 }], body].concat(),
        CodecKind::H264 if key => {
            with_start_codes(&[vec![0x67, 0x42], vec![0x68, 0xce], [vec![0x65], body].concat()])
        }
        CodecKind::H264 => with_start_codes(&[[vec![0x41], body].concat()]),
        CodecKind::H265 if key => {
            let sets = [32, 33, 34].map(|kind| vec![kind << 1, 1, 0x0c]);
            with_start_codes(&[&sets[..], &[[vec![19 << 1, 1, 0xaf], body].concat()]].concat())
        }
        CodecKind::H265 => with_start_codes(&[[vec![1 << 1, 1, 0xd0], body].concat()]),
        CodecKind::Av1 => {
            let frame = obu(6, None, &[vec![if key { 0x10 } else { 0x30 }], body].concat());
            temporal_unit(&if key { vec![obu(1, None, &[0, 0, 0, 4]), frame] } else { vec![frame] })
        }
        CodecKind::Opus | CodecKind::Other => [vec![0x78], body].concat(),
    }
}

#[test]
fn frames_of_each_codec_are_reassembled_unchanged() {
    for codec in ALL {
        for (key, len, max) in [(true, 5000, 1100), (false, 5000, 32), (false, 1, 1100), (true, 1, 32)] {
            let data = frame(codec, key, len);
            let info = round_trip(codec, max, &OutgoingFrame::new(&data, 0), &data);
            assert_eq!(info.key_frame, key || codec == CodecKind::Opus, "{codec:?}");
        }
    }
}

#[test]
fn packets_of_a_frame_are_of_nearly_equal_size() {
    let data = frame(CodecKind::Vp8, true, 2300);
    let mut packetizer = Packetizer::new(CodecKind::Vp8, 1104, 0).unwrap();
    let (_, payloads) = packetize(&mut packetizer, &OutgoingFrame::new(&data, 0)).unwrap();
    assert_eq!(payloads.iter().map(Vec::len).collect::<Vec<_>>(), [771, 771, 771]);
}

#[test]
fn payloads_are_never_longer_than_their_lengths_can_say() {
    for codec in ALL.into_iter().filter(|codec| *codec != CodecKind::Opus) {
        let mut packetizer = Packetizer::new(codec, usize::MAX, 0).unwrap();
        let data = frame(codec, true, 200_000);
        let (_, payloads) = packetize(&mut packetizer, &OutgoingFrame::new(&data, 0)).unwrap();
        assert!(payloads.iter().all(|payload| payload.len() <= 65_535), "{codec:?}");
        assert_eq!(assemble(codec, &payloads).unwrap().1, data);
    }
}

#[test]
fn frames_without_a_first_or_last_packet_are_refused() {
    for codec in ALL.into_iter().filter(|codec| *codec != CodecKind::Opus) {
        let mut packetizer = Packetizer::new(codec, 100, 0).unwrap();
        let data = frame(codec, false, 1000);
        let (_, payloads) = packetize(&mut packetizer, &OutgoingFrame::new(&data, 0)).unwrap();
        assert!(payloads.len() > 9, "{codec:?}");
        let refused = Err(FrameError::BadPayload(codec));
        assert_eq!(assemble(codec, &payloads[1..]), refused, "first");
        if codec != CodecKind::Vp8 {
            // VP8 signals the end of a frame by the marker bit only.
            assert_eq!(assemble(codec, &payloads[..payloads.len() - 1]), refused, "last");
        }
        let twice = [&payloads[..3], &payloads[..]].concat();
        assert_eq!(assemble(codec, &twice), refused, "first packets repeated");
        assert!(assemble(codec, &[]).is_err(), "nothing");
    }
    assert!(assemble(CodecKind::Opus, &[vec![0x78, 1], vec![0x78, 2]]).is_err(), "two packets");
}

#[test]
fn malformed_frames_are_not_sent() {
    let cases: [(CodecKind, &[u8]); 10] = [
        (CodecKind::Vp9, &[0x00, 1]),
        (CodecKind::H264, &[0x67, 1]),
        (CodecKind::H264, &[0, 0, 1, 0x78, 1]),
        (CodecKind::H264, &[0, 0, 1, 0x80, 1]),
        (CodecKind::H265, &[0, 0, 1, 0x40]),
        (CodecKind::H265, &[0, 0, 1, 48 << 1, 1]),
        (CodecKind::H265, &[0, 0, 1, 0x40, 0]),
        (CodecKind::Av1, &[0x12, 0, 0x32, 9, 1]),
        (CodecKind::Av1, &[0x80]),
        (CodecKind::Opus, &[0x7b]),
    ];
    for (codec, data) in cases {
        let mut packetizer = Packetizer::new(codec, 1100, 0).unwrap();
        let error = packetize(&mut packetizer, &OutgoingFrame::new(data, 0)).unwrap_err();
        assert!(
            matches!(error, FrameError::BadFrame { codec: of, .. } if of == codec),
            "{data:02x?}: {error}"
        );
    }
    for codec in ALL {
        let mut packetizer = Packetizer::new(codec, 1100, 0).unwrap();
        let error = packetize(&mut packetizer, &OutgoingFrame::new(&[], 0)).unwrap_err();
        assert!(
            matches!(
                error,
                FrameError::Empty(_)
                    | FrameError::BadFrame { what: "it does not begin with a start code", .. }
            ),
            "{codec:?}: {error}"
        );
    }
    assert!(Packetizer::new(CodecKind::Other, 1100, 0).is_err());
    assert!(FrameAssembler::new(CodecKind::Other).is_err());
}

#[test]
fn vp8_counts_pictures_and_base_layers() {
    // RFC 7741 §4.6.1: a key frame with the picture id 17 of seven bits.
    let (info, data) =
        assemble(CodecKind::Vp8, &[vec![0x90, 0x80, 0x11, 0x50, 1], vec![0x80, 0x80, 0x11, 2]]).unwrap();
    assert_eq!((info.key_frame, data), (true, vec![0x50, 1, 2]));

    let mut packetizer = Packetizer::new(CodecKind::Vp8, 1100, 0x7ffe).unwrap();
    let mut seen = Vec::new();
    for (layer, sync) in [(0, false), (2, true), (1, true), (2, false), (0, false)] {
        let frame = OutgoingFrame {
            temporal_layer: Some(layer),
            layer_sync: sync,
            ..OutgoingFrame::new(&[0x11, 0, 0], 0)
        };
        let (_, payloads) = packetize(&mut packetizer, &frame).unwrap();
        let read = tureen_rtc::wire::codecs::vp8::parse(&payloads[0]).unwrap();
        assert_eq!((read.temporal_layer, read.layer_sync), (Some(layer), sync));
        seen.push((read.picture_id.unwrap().value, read.tl0_pic_idx.unwrap().value));
    }
    assert_eq!(seen, [(0x7ffe, 1), (0x7fff, 1), (0, 1), (1, 1), (2, 2)]);
}

#[test]
fn vp9_layer_frames_make_a_picture() {
    let mut packetizer = Packetizer::new(CodecKind::Vp9, 100, 5).unwrap();
    let mut payloads = Vec::new();
    for layer in 0..3 {
        let data = [vec![if layer == 0 { 0x82 } else { 0x86 }], vec![layer; 150]].concat();
        let frame = OutgoingFrame {
            spatial_layer: Some(layer),
            more_layers: layer < 2,
            ..OutgoingFrame::new(&data, 3000)
        };
        payloads.extend(packetize(&mut packetizer, &frame).unwrap().1);
    }
    let (info, data) = assemble(CodecKind::Vp9, &payloads).unwrap();
    assert_eq!((info.key_frame, info.spatial_layer, data.len()), (true, 2, 453));
    let ids: Vec<u16> = payloads
        .iter()
        .map(|payload| tureen_rtc::wire::codecs::vp9::parse(payload).unwrap().picture_id.unwrap().value)
        .collect();
    assert_eq!(ids, [5; 6], "all layer frames have one picture id");
    let upper = OutgoingFrame { spatial_layer: Some(1), ..OutgoingFrame::new(&[0x86, 1], 6000) };
    assert!(packetize(&mut packetizer, &upper).is_err(), "without its base layer");
}

#[test]
fn vp9_pictures_reference_the_last_one_of_the_same_or_a_lower_layer() {
    let mut packetizer = Packetizer::new(CodecKind::Vp9, 100, 5).unwrap();
    let mut references = Vec::new();
    for (at, layer) in [0, 2, 1, 2, 0, 2].into_iter().enumerate() {
        let data = [if at == 0 { 0x82 } else { 0x86 }, 1];
        let frame = OutgoingFrame { temporal_layer: Some(layer), ..OutgoingFrame::new(&data, at as u32) };
        let (_, payloads) = packetize(&mut packetizer, &frame).unwrap();
        references.push(if at == 0 { 0 } else { payloads[0][4] >> 1 });
    }
    assert_eq!(references, [0, 1, 2, 1, 4, 1]);
}

#[test]
fn h264_small_units_are_aggregated_and_large_ones_cut() {
    let idr: Vec<u8> = [vec![0x65], vec![9; 60]].concat();
    let data = with_start_codes(&[vec![0x67, 1, 2], vec![0x08, 3], idr.clone()]);
    let mut packetizer = Packetizer::new(CodecKind::H264, 40, 0).unwrap();
    let (info, payloads) = packetize(&mut packetizer, &OutgoingFrame::new(&data, 0)).unwrap();
    assert!(info.key_frame);
    // RFC 6184 §5.7.1: STAP-A with the highest NRI, sizes in front; §5.8: FU-A, S on the first and E on the last.
    assert_eq!(payloads[0], [0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x08, 3]);
    assert_eq!((&payloads[1][..2], &payloads[2][..2]), (&[0x7c, 0x85][..], &[0x7c, 0x45][..]));
    assert_eq!(payloads.len(), 3);
    assert_eq!(frame_start(CodecKind::H264, &payloads[0]), Some(Start::Yes));
    assert_eq!(frame_start(CodecKind::H264, &payloads[2]), Some(Start::No));
    assert_eq!(frame_start(CodecKind::H264, &[0x0a]), Some(Start::Maybe), "end of sequence");
}

#[test]
fn h265_aggregation_packet_has_the_lowest_layer() {
    let data = with_start_codes(&[vec![1 << 1, 3, 1], vec![1 << 1, 2, 2]]);
    let mut packetizer = Packetizer::new(CodecKind::H265, 40, 0).unwrap();
    let (info, payloads) = packetize(&mut packetizer, &OutgoingFrame::new(&data, 0)).unwrap();
    assert_eq!(payloads, [vec![48 << 1, 2, 0, 3, 2, 3, 1, 0, 3, 2, 2, 2]]);
    assert_eq!((info.key_frame, info.temporal_layer), (false, 2));
}

#[test]
fn av1_units_are_sent_without_delimiter_and_sizes() {
    let unit = temporal_unit(&[obu(1, None, &[1, 2]), obu(6, None, &[0x10, 3, 4])]);
    let mut packetizer = Packetizer::new(CodecKind::Av1, 1100, 0).unwrap();
    let (_, payloads) = packetize(&mut packetizer, &OutgoingFrame::new(&unit, 0)).unwrap();
    // W = 2, N = 1; the last element has no length.
    assert_eq!(payloads, [vec![0x28, 3, 1 << 3, 1, 2, 6 << 3, 0x10, 3, 4]]);
    // W = 0, a delimiter and sizes in the OBUs are allowed too.
    let other = vec![0x08, 2, 0x12, 0, 4, 1 << 3 | 2, 2, 1, 2, 4, 6 << 3, 0x10, 3, 4];
    assert_eq!(assemble(CodecKind::Av1, &[other]).unwrap().1, unit);
    assert!(assemble(CodecKind::Av1, &[vec![0x10, 6 << 3 | 2, 9, 1]]).is_err(), "size beyond the element");
    assert!(assemble(CodecKind::Av1, &[vec![0x10, 0x12, 0]]).is_err(), "only a delimiter");
}

#[test]
fn av1_layers_are_not_in_one_packet() {
    let layers = [0, 1].map(|spatial| obu(6, Some(2 << 5 | spatial << 3), &[0x30, 1]));
    let unit = temporal_unit(&layers);
    let mut packetizer = Packetizer::new(CodecKind::Av1, 1100, 0).unwrap();
    let (info, payloads) = packetize(&mut packetizer, &OutgoingFrame::new(&unit, 0)).unwrap();
    assert_eq!((info.temporal_layer, info.spatial_layer, payloads.len()), (2, 1, 2));
    assert_eq!(assemble(CodecKind::Av1, &payloads).unwrap(), (info, unit));
}

prop_compose! {
    fn body(max: usize)(body in prop::collection::vec(1u8.., 1..max)) -> Vec<u8> { body }
}

proptest! {
    #[test]
    fn any_vp8_frame_is_reassembled(data in body(3000), max in 32usize..1400, layer in prop::option::of(0u8..4)) {
        let frame = OutgoingFrame { temporal_layer: layer, ..OutgoingFrame::new(&data, 0) };
        round_trip(CodecKind::Vp8, max, &frame, &data);
    }

    #[test]
    fn any_vp9_frame_is_reassembled(mut data in body(3000), max in 32usize..1400, layer in prop::option::of(0u8..8)) {
        data[0] = data[0] & 0x3f | 0x80;
        let frame = OutgoingFrame { temporal_layer: layer, ..OutgoingFrame::new(&data, 0) };
        round_trip(CodecKind::Vp9, max, &frame, &data);
    }

    #[test]
    fn any_h264_frame_is_reassembled(
        units in prop::collection::vec((0u8..8, 1u8..24, body(700)), 1..9),
        max in 32usize..1400,
    ) {
        let units: Vec<_> =
            units.into_iter().map(|(high, kind, body)| [vec![high << 5 | kind], body].concat()).collect();
        let data = with_start_codes(&units);
        round_trip(CodecKind::H264, max, &OutgoingFrame::new(&data, 0), &data);
    }

    #[test]
    fn any_h265_frame_is_reassembled(
        units in prop::collection::vec((0u8..48, 0u8..64, 1u8..8, body(700)), 1..9),
        max in 32usize..1400,
    ) {
        let units: Vec<_> = units.into_iter().map(|(kind, layer, tid, body)| {
            [vec![kind << 1 | layer >> 5, layer << 3 | tid], body].concat()
        }).collect();
        let data = with_start_codes(&units);
        round_trip(CodecKind::H265, max, &OutgoingFrame::new(&data, 0), &data);
    }

    #[test]
    fn any_av1_unit_is_reassembled(
        obus in prop::collection::vec(
            (prop::sample::select(vec![1u8, 3, 4, 5, 6, 7, 15]), prop::option::of(any::<u8>()),
             prop::collection::vec(any::<u8>(), 0..600)),
            1..9,
        ),
        max in 32usize..1400,
    ) {
        let obus: Vec<_> = obus.iter().map(|(kind, extension, payload)| obu(*kind, *extension, payload)).collect();
        let data = temporal_unit(&obus);
        round_trip(CodecKind::Av1, max, &OutgoingFrame::new(&data, 0), &data);
    }

    #[test]
    fn arbitrary_payloads_do_not_panic(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
    ) {
        for codec in ALL {
            for payload in &payloads {
                frame_start(codec, payload);
            }
            let _ = assemble(codec, &payloads);
        }
    }

    #[test]
    fn arbitrary_bytes_are_sent_unchanged_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in ALL {
            let mut packetizer = Packetizer::new(codec, 40, 0).unwrap();
            if let Ok((info, payloads)) = packetize(&mut packetizer, &OutgoingFrame::new(&data, 0)) {
                prop_assert_eq!(assemble(codec, &payloads).unwrap().0, info);
            }
        }
    }
}
