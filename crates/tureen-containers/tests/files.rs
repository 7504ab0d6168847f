//! Files of FFmpeg (`files/make.sh`), read as an application reads them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tureen_containers::{ErrorKind, Format, Frame, Options, Profile, Source, open, read};
use tureen_rtc::wire::codecs::CodecKind::{self, Av1, H264, H265, Opus, Vp8, Vp9};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

fn frames(source: &mut Source) -> Vec<Frame> {
    std::iter::from_fn(|| source.next_frame().unwrap()).collect()
}

/// Two seconds of ten pictures each, the first and the eleventh of which are key frames.
fn assert_pictures(name: &str, frames: &[&Frame]) {
    assert_eq!(frames.len(), 20, "{name}");
    let start = frames[0].time;
    // FFmpeg writes no edit list in front of fragments: the first picture lasts for the audio that is not played, too.
    let tolerance = Duration::from_millis(if name.contains("fragmented") { 7 } else { 1 });
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!(frame.key_frame, at % 10 == 0, "{name}: key frame {at}");
        let due = Duration::from_millis(100) * at as u32;
        assert!((frame.time - start).abs_diff(due) < tolerance, "{name} {at}: {:?}", frame.time);
        let lasts = frame.duration.abs_diff(Duration::from_millis(100));
        assert!(lasts < tolerance, "{name} {at}: {:?}", frame.duration);
    }
}

/// Two seconds of packets of 20 ms, and a little more, because the encoder looks ahead.
fn assert_tone(name: &str, packets: &[&Frame]) {
    assert!((100..=102).contains(&packets.len()), "{name}: {}", packets.len());
    let start = packets[0].time;
    for (at, packet) in packets.iter().enumerate() {
        assert!(packet.key_frame && packet.duration == Duration::from_millis(20), "{name} {at}: {packet:?}");
        let due = Duration::from_millis(20) * at as u32;
        assert!(
            (packet.time - start).abs_diff(due) < Duration::from_millis(2),
            "{name} {at}: {:?}",
            packet.time
        );
    }
}

#[test]
fn every_format_gives_its_tracks_and_frames() {
    const BASELINE: Profile = Profile::H264([66, 0xc0, 10]);
    const MAIN: Profile = Profile::H265 { profile: 1, high_tier: false, level: 30 };
    const AV1: Profile = Profile::Av1 { profile: 0, level: 0, high_tier: false };
    const TONE: (CodecKind, Profile) = (Opus, Profile::Opus { channels: 1 });
    type Tracks = &'static [(CodecKind, Profile)];
    let files: [(&str, Format, Tracks); 16] = [
        ("vp8.ivf", Format::Ivf, &[(Vp8, Profile::Unknown)]),
        ("vp9.ivf", Format::Ivf, &[(Vp9, Profile::Vp9(0))]),
        ("av1.ivf", Format::Ivf, &[(Av1, AV1)]),
        ("opus.ogg", Format::Ogg, &[TONE]),
        ("h264.h264", Format::AnnexB, &[(H264, BASELINE)]),
        ("h265.h265", Format::AnnexB, &[(H265, MAIN)]),
        ("vp8-opus.webm", Format::Matroska, &[(Vp8, Profile::Unknown), TONE]),
        ("vp9-opus.webm", Format::Matroska, &[(Vp9, Profile::Vp9(0)), TONE]),
        ("av1.mkv", Format::Matroska, &[(Av1, AV1)]),
        ("h264-opus.mkv", Format::Matroska, &[(H264, BASELINE), TONE]),
        ("h265.mkv", Format::Matroska, &[(H265, MAIN)]),
        ("h264-opus.mp4", Format::Mp4, &[(H264, BASELINE), TONE]),
        ("h264-opus-fragmented.mp4", Format::Mp4, &[(H264, BASELINE), TONE]),
        ("h265.mp4", Format::Mp4, &[(H265, MAIN)]),
        ("av1.mp4", Format::Mp4, &[(Av1, AV1)]),
        ("vp9.mp4", Format::Mp4, &[(Vp9, Profile::Vp9(0))]),
    ];
    for (name, format, tracks) in files {
        let mut source = open(path(name)).unwrap();
        assert_eq!(source.format(), format, "{name}");
        let found: Vec<_> = source.tracks().iter().map(|track| (track.codec, track.profile)).collect();
        assert_eq!(found, tracks, "{name}");
        assert!(source.tracks().iter().all(|track| !track.reorders), "{name}");
        let all = frames(&mut source);
        assert!(all.is_sorted_by_key(|frame| frame.time), "{name}: in the order of time");
        assert_eq!(all[0].time, Duration::ZERO, "{name}");
        for (at, &(codec, _)) in tracks.iter().enumerate() {
            let of_track: Vec<_> = all.iter().filter(|frame| frame.track == at).collect();
            assert!(of_track.iter().all(|frame| frame.codec == codec), "{name}");
            if codec == Opus {
                assert_tone(name, &of_track);
            } else {
                assert_eq!(source.tracks()[at].size, Some((64, 48)), "{name}");
                assert_pictures(name, &of_track);
            }
        }
        source.rewind().unwrap();
        assert_eq!(frames(&mut source), all, "{name}: once more");
    }
}

/// The same stream in all containers makes the same frames, but for access unit delimiters and repeated parameter sets.
#[test]
fn containers_of_one_stream_give_the_same_slices() {
    fn slices(name: &str) -> Vec<Vec<Vec<u8>>> {
        let mut source = open(path(name)).unwrap();
        let video = frames(&mut source).into_iter().filter(|frame| frame.codec != Opus);
        let slice = |codec, unit: &[u8]| match codec {
            H264 => matches!(unit[0] & 0x1f, 1 | 5),
            _ => unit[0] >> 1 & 0x3f < 32,
        };
        let units = |frame: &Frame| {
            let mut units: Vec<Vec<u8>> = Vec::new();
            for part in frame.data.split(|&byte| byte == 1).map(<[u8]>::to_vec) {
                // A start code has three zeros in front of the one.
                match units.last_mut() {
                    Some(last) if !last.ends_with(&[0, 0, 0]) => {
                        last.push(1);
                        last.extend_from_slice(&part);
                    }
                    _ => units.push(part),
                }
            }
            let codec = frame.codec;
            units
                .into_iter()
                .skip(1)
                .filter(|unit| slice(codec, unit))
                .map(|mut unit| {
                    while unit.last() == Some(&0) {
                        unit.pop();
                    }
                    unit
                })
                .collect::<Vec<_>>()
        };
        video.map(|frame| units(&frame)).collect()
    }
    let h264 = slices("h264.h264");
    assert!(h264.iter().all(|slices| slices.len() == 2), "an access unit has all slices of its picture");
    for name in ["h264-opus.mkv", "h264-opus.mp4", "h264-opus-fragmented.mp4"] {
        assert!(slices(name) == h264, "{name}");
    }
    for name in ["h265.mkv", "h265.mp4"] {
        assert!(slices(name) == slices("h265.h265"), "{name}");
    }
}

#[test]
fn every_key_frame_of_h264_and_h265_has_its_parameter_sets() {
    let has = |frame: &Frame, kinds: &[u8]| {
        kinds
            .iter()
            .all(|kind| frame.data.windows(5).any(|bytes| bytes[..4] == [0, 0, 0, 1] && bytes[4] == *kind))
    };
    for name in ["h264.h264", "h264-opus.mkv", "h264-opus.mp4", "h264-opus-fragmented.mp4"] {
        let frames = frames(&mut open(path(name)).unwrap());
        let mut keys = frames.iter().filter(|frame| frame.codec == H264 && frame.key_frame);
        assert!(keys.all(|frame| has(frame, &[0x67, 0x68, 0x65])), "{name}");
    }
    for name in ["h265.h265", "h265.mkv", "h265.mp4"] {
        let frames = frames(&mut open(path(name)).unwrap());
        assert!(
            frames.iter().filter(|frame| frame.key_frame).all(|frame| has(frame, &[0x40, 0x42, 0x44])),
            "{name}"
        );
    }
}

#[test]
fn parameter_sets_that_a_byte_stream_shows_once_are_repeated() {
    let stream = std::fs::read(path("h264.h264")).unwrap();
    let second = stream.windows(5).rposition(|bytes| bytes == [0, 0, 0, 1, 0x67]).unwrap();
    let slice = second + stream[second..].windows(4).position(|bytes| bytes == [0, 0, 1, 0x65]).unwrap();
    let once = [&stream[..second], &[0], &stream[slice..]].concat();
    let mut source = read("once", once.into(), Options::default()).unwrap();
    let keys: Vec<_> = frames(&mut source).into_iter().filter(|frame| frame.key_frame).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[1].data.starts_with(&[0, 0, 0, 1, 0x67]), "{:02x?}", &keys[1].data[..8]);
}

#[test]
fn pictures_that_are_reordered_are_sent_in_the_order_of_decoding() {
    for name in ["b-frames.mkv", "b-frames.mp4"] {
        let mut source = open(path(name)).unwrap();
        assert!(source.tracks()[0].reorders, "{name}");
        let frames = frames(&mut source);
        assert_eq!(frames.len(), 20, "{name}");
        for (at, frame) in frames.iter().enumerate() {
            let due = Duration::from_millis(100) * at as u32;
            assert!(frame.time.abs_diff(due) < Duration::from_millis(1), "{name} {at}: {:?}", frame.time);
        }
    }
}

#[test]
fn key_frames_are_jumped_to() {
    for name in ["vp8.ivf", "h264.h264", "vp9-opus.webm", "h264-opus.mp4"] {
        let mut source = open(path(name)).unwrap();
        assert!(source.next_key_frame(0).unwrap().unwrap().time < Duration::from_millis(20), "{name}");
        let next = source.next_key_frame(0).unwrap().unwrap();
        assert!(
            next.time.abs_diff(Duration::from_secs(1)) < Duration::from_millis(20),
            "{name}: {:?}",
            next.time
        );
        assert_eq!(source.next_key_frame(0).unwrap(), None, "{name}");
        source.rewind().unwrap();
        assert!(source.next_key_frame(0).unwrap().is_some(), "{name}");
    }
}

#[test]
fn audio_that_prepares_the_decoder_lies_in_front_of_the_presentation() {
    for name in ["opus.ogg", "vp8-opus.webm", "h264-opus.mkv", "h264-opus.mp4"] {
        let source = open(path(name)).unwrap();
        // libopus looks ahead by 312 samples.
        let origin = source.origin();
        assert!(
            origin.abs_diff(Duration::from_micros(6500)) < Duration::from_millis(1),
            "{name}: {origin:?}"
        );
    }
}

#[test]
fn the_frame_rate_of_a_byte_stream_can_be_given() {
    let options = Options { frame_rate: Some(25.0) };
    let mut source = tureen_containers::open_with(path("h264.h264"), options).unwrap();
    let frames = frames(&mut source);
    assert_eq!(frames[19].time, Duration::from_millis(760));
    let error =
        tureen_containers::open_with(path("h264.h264"), Options { frame_rate: Some(0.0) }).unwrap_err();
    assert!(error.to_string().contains("a frame rate of 0"), "{error}");
}

#[test]
fn files_that_are_no_media_are_refused_with_a_reason() {
    let error = open(path("make.sh")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::UnknownFormat(_)), "{error}");
    assert!(error.to_string().ends_with("(it begins with 23 21 2f 62 69 6e 2f 73)"), "{error}");
    let error = open(path("aac.mp4")).unwrap_err();
    assert!(error.to_string().contains("no track that WebRTC can carry, only mp4a"), "{error}");
    let error = read("empty", Vec::new().into(), Options::default()).unwrap_err();
    assert!(error.to_string().contains("(it begins with its end)"), "{error}");
}

/// A file that ends anywhere is an error with its place, or gives the frames that are whole.
#[test]
fn files_that_end_too_early_give_what_is_whole() {
    for name in [
        "vp8.ivf",
        "opus.ogg",
        "h264.h264",
        "h265.mkv",
        "vp8-opus.webm",
        "h264-opus-fragmented.mp4",
        "av1.mp4",
    ] {
        let whole = std::fs::read(path(name)).unwrap();
        let all = frames(&mut open(path(name)).unwrap());
        for len in (0..whole.len()).step_by(97) {
            let Ok(mut source) = read(name, whole[..len].to_vec().into(), Options::default()) else {
                continue;
            };
            let mut count = 0;
            let error = loop {
                match source.next_frame() {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            assert!(count <= all.len(), "{name}: {count} frames of {len} bytes");
            assert!(error.is_none_or(|error| error.to_string().starts_with(name)));
        }
    }
}

#[test]
fn a_length_that_no_frame_has_is_named_with_its_place() {
    let mut file = std::fs::read(path("vp8.ivf")).unwrap();
    file[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = read("film.ivf", file.into(), Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "film.ivf, byte 44: a frame of 4294967295, more than the limit of 16777216"
    );
}

#[test]
fn a_page_with_a_wrong_checksum_is_named_with_its_place() {
    let mut file = std::fs::read(path("opus.ogg")).unwrap();
    let last = file.len() - 1;
    file[last] ^= 1;
    let mut source = read("tone.ogg", file.into(), Options::default()).unwrap();
    let error = loop {
        match source.next_frame() {
            Ok(frame) => assert!(frame.is_some(), "the end, without an error"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("a page with checksum"), "{error}");
    assert!(error.at().is_some_and(|at| at > 0));
}
