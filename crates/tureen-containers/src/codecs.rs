//! What a frame of VP8, VP9 or AV1 tells without decoding, and the length of an Opus packet.

use std::time::Duration;

use tureen_rtc::wire::codecs::{CodecKind, opus};

use crate::bits::Bits;
use crate::source::Profile;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;
const OBU_PADDING: u8 = 15;

/// True if a decoder can begin with this frame. H264 and H265 are told by their NAL units.
pub(crate) fn is_key_frame(codec: CodecKind, frame: &[u8]) -> bool {
    match codec {
        // RFC 6386 §9.1: the inverse key frame flag is the lowest bit.
        CodecKind::Vp8 => frame.first().is_some_and(|first| first & 1 == 0),
        CodecKind::Vp9 => Vp9Header::read(frame).is_some_and(|header| header.key_frame),
        CodecKind::Av1 => av1_shows_key_frame(frame),
        CodecKind::Opus => true,
        CodecKind::H264 | CodecKind::H265 | CodecKind::Other => false,
    }
}

/// The profile that the first frame of a stream states.
pub(crate) fn profile(codec: CodecKind, frame: &[u8]) -> Profile {
    let profile = match codec {
        CodecKind::Vp9 => Vp9Header::read(frame).map(|header| Profile::Vp9(header.profile)),
        CodecKind::Av1 => {
            let sequence_header = obus(frame).find(|obu| obu.kind == OBU_SEQUENCE_HEADER);
            sequence_header.and_then(|obu| av1_profile(obu.payload))
        }
        _ => None,
    };
    profile.unwrap_or(Profile::Unknown)
}

struct Vp9Header {
    profile: u8,
    key_frame: bool,
}

impl Vp9Header {
    /// VP9 bitstream §6.2.
    fn read(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(frame);
        if bits.read(2)? != 0b10 {
            return None;
        }
        let profile = u8::from(bits.bit()?) | u8::from(bits.bit()?) << 1;
        if profile == 3 {
            bits.skip(1)?;
        }
        let shows_existing = bits.bit()?;
        Some(Self { profile, key_frame: !shows_existing && !bits.bit()? })
    }
}

/// An OBU of a low overhead stream (AV1 §5.3).
#[derive(Clone, Copy)]
struct Obu<'a> {
    kind: u8,
    payload: &'a [u8],
    /// With its header.
    whole: &'a [u8],
}

/// The OBUs of a temporal unit, until one that is malformed.
fn obus(frame: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    let mut rest = frame;
    std::iter::from_fn(move || {
        let &header = rest.first()?;
        let mut at = if header & 0x04 != 0 { 2 } else { 1 };
        let len = if header & 0x02 != 0 { leb128(rest, &mut at)? } else { rest.len().checked_sub(at)? };
        let end = at.checked_add(len)?;
        let (whole, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(Obu { kind: header >> 3 & 0x0f, payload: &whole[at..], whole })
    })
}

/// AV1 §4.10.5: little endian, seven bits a byte, at most eight bytes.
fn leb128(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..56).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// AV1 §5.9.2: |show_existing_frame|frame_type (2)|show_frame|; frame type 0 is a key frame.
fn av1_shows_key_frame(frame: &[u8]) -> bool {
    let first = obus(frame).find(|obu| matches!(obu.kind, OBU_FRAME | OBU_FRAME_HEADER));
    first.is_some_and(|obu| obu.payload.first().is_some_and(|first| first >> 4 == 0b0001))
}

/// AV1 §5.5.1, sequence_header_obu, up to the first operating point.
fn av1_profile(sequence_header: &[u8]) -> Option<Profile> {
    let mut bits = Bits::new(sequence_header);
    let profile = bits.read(3)? as u8;
    let _still_picture = bits.bit()?;
    let reduced = bits.bit()?;
    if reduced {
        return Some(Profile::Av1 { profile, level: bits.read(5)? as u8, high_tier: false });
    }
    let mut decoder_model = None;
    if bits.bit()? {
        bits.skip(64)?;
        if bits.bit()? {
            bits.ue()?;
        }
        if bits.bit()? {
            decoder_model = Some(bits.read(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let _initial_display_delay = bits.bit()?;
    let _operating_points = bits.read(5)?;
    bits.skip(12)?;
    let level = bits.read(5)? as u8;
    // §5.5.1: levels above 3.3 have a tier. The decoder model follows, which is of no interest here.
    let high_tier = level > 7 && bits.bit()?;
    let _ = decoder_model;
    Some(Profile::Av1 { profile, level, high_tier })
}

/// The temporal unit as WebRTC sends it: a key frame begins with the sequence header, which files may keep apart
/// (AV1 in ISOBMFF §2.3); temporal delimiters and padding go.
pub(crate) fn av1_temporal_unit(config_obus: &[u8], frame: &[u8]) -> Vec<u8> {
    let has_sequence_header = obus(frame).any(|obu| obu.kind == OBU_SEQUENCE_HEADER);
    let mut unit = Vec::with_capacity(frame.len() + config_obus.len());
    if av1_shows_key_frame(frame) && !has_sequence_header {
        for obu in obus(config_obus).filter(|obu| obu.kind == OBU_SEQUENCE_HEADER) {
            unit.extend_from_slice(obu.whole);
        }
    }
    let mut rest = frame;
    for obu in obus(frame) {
        rest = &rest[obu.whole.len()..];
        if !matches!(obu.kind, OBU_TEMPORAL_DELIMITER | OBU_PADDING) {
            unit.extend_from_slice(obu.whole);
        }
    }
    // What is malformed stays, so that the sender says so.
    unit.extend_from_slice(rest);
    unit
}

/// Duration of an Opus packet (RFC 6716 §3.1, §3.2), at most 120 ms. `None` if it is malformed.
pub(crate) fn opus_duration(packet: &[u8]) -> Option<Duration> {
    let descriptor = opus::parse(packet)?;
    let micros: u64 = match descriptor.config {
        // SILK: 10, 20, 40, 60 ms; hybrid: 10, 20 ms; CELT: 2.5, 5, 10, 20 ms.
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        config @ 12..16 => [10_000, 20_000][usize::from(config % 2)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match descriptor.code {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    let micros = micros * frames;
    (1..=120_000).contains(&micros).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_told_by_codec() {
        assert!(is_key_frame(CodecKind::Vp8, &[0x50, 0x42]) && !is_key_frame(CodecKind::Vp8, &[0x51, 0x42]));
        assert!(is_key_frame(CodecKind::Vp9, &[0x82, 0x49]) && !is_key_frame(CodecKind::Vp9, &[0x86, 0x00]));
        assert!(!is_key_frame(CodecKind::Vp9, &[0x88]), "a picture that is shown again");
        assert!(is_key_frame(CodecKind::Vp9, &[0xb0, 0x24]), "profile 3");
        assert!(is_key_frame(CodecKind::Av1, &[0x12, 0, 0x32, 1, 0x10]));
        assert!(!is_key_frame(CodecKind::Av1, &[0x12, 0, 0x32, 1, 0x30]), "an inter frame");
        assert!(!is_key_frame(CodecKind::Av1, &[0x12, 0, 0x32, 9, 0x10]), "cut off");
        for codec in [CodecKind::Vp8, CodecKind::Vp9, CodecKind::Av1] {
            assert!(!is_key_frame(codec, &[]), "{codec:?}");
        }
    }

    #[test]
    fn sequence_headers_are_put_in_front_of_key_frames_that_lack_them() {
        let config = [0x0a, 2, 7, 7];
        let key = [0x12, 0, 0x32, 1, 0x10];
        assert_eq!(av1_temporal_unit(&config, &key), [0x0a, 2, 7, 7, 0x32, 1, 0x10]);
        let inter = [0x12, 0, 0x32, 1, 0x30];
        assert_eq!(av1_temporal_unit(&config, &inter), [0x32, 1, 0x30]);
        let with_its_own = [0x0a, 1, 9, 0x32, 1, 0x10];
        assert_eq!(av1_temporal_unit(&config, &with_its_own), with_its_own);
        assert_eq!(av1_temporal_unit(&config, &[0x32, 9, 0]), [0x32, 9, 0], "malformed");
    }

    #[test]
    fn packets_last_as_their_first_bytes_say() {
        let ms = |micros: u64| Some(Duration::from_micros(micros));
        assert_eq!(opus_duration(&[0x78, 1]), ms(20_000), "hybrid");
        assert_eq!(opus_duration(&[0xfc, 1]), ms(20_000), "CELT");
        assert_eq!(opus_duration(&[0xe1, 1, 1]), ms(5_000), "two frames of 2.5 ms");
        assert_eq!(opus_duration(&[0x1b, 2, 0]), ms(120_000), "two frames of 60 ms");
        assert_eq!(opus_duration(&[0x1b, 3, 0]), None, "more than 120 ms");
        assert_eq!(opus_duration(&[0x7b, 0]), None, "no frame");
        assert_eq!(opus_duration(&[]), None);
    }
}
