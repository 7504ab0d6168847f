//! H264 access units in packetisation mode 1 (RFC 6184 §6.3): single NAL units, STAP-A and FU-A.

use tureen_rtc::wire::codecs::{CodecKind, Cursor, h264};

use super::packetizer::Payloads;
use super::{FrameError, FrameInfo, Start, nal};

const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const AUD: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

pub(super) fn frame_start(payload: &[u8]) -> Option<Start> {
    if let &[header] = payload {
        // End of sequence and end of stream, which the engine does not parse.
        return (1..=23).contains(&(header & 0x1f)).then_some(Start::Maybe);
    }
    let descriptor = h264::parse(payload)?;
    Some(match descriptor.nal_unit_type {
        _ if !descriptor.nal_unit_start => Start::No,
        SPS | AUD => Start::Yes,
        _ => Start::Maybe,
    })
}

pub(super) fn assemble<'a>(payloads: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Option<FrameInfo> {
    let mut kinds = 0;
    // Header of the NAL unit whose fragments are being joined.
    let mut fragmented = None;
    for payload in payloads {
        let mut cursor = Cursor::new(payload);
        let header = cursor.u8()?;
        if fragmented.is_some() && header & 0x1f != FU_A {
            return None;
        }
        match header & 0x1f {
            1..=23 => push_unit(payload, &mut kinds, out)?,
            STAP_A => {
                while !cursor.rest().is_empty() {
                    let len = cursor.u16()?;
                    push_unit(cursor.bytes(len.into())?, &mut kinds, out)?;
                }
            }
            FU_A => {
                let fragment = cursor.u8()?;
                let (start, end) = (fragment & 0x80 != 0, fragment & 0x40 != 0);
                let unit = header & 0xe0 | fragment & 0x1f;
                if start {
                    if fragmented.is_some() {
                        return None;
                    }
                    nal::push_start_code(out);
                    out.push(unit);
                    kinds |= 1 << (unit & 0x1f);
                } else if fragmented? != unit & 0x1f {
                    return None;
                }
                fragmented = (!end).then_some(unit & 0x1f);
                out.extend_from_slice(cursor.rest());
            }
            // Interleaved modes are never negotiated.
            _ => return None,
        }
    }
    fragmented.is_none().then(|| info(kinds))
}

fn push_unit(unit: &[u8], kinds: &mut u32, out: &mut Vec<u8>) -> Option<()> {
    let kind = unit.first()? & 0x1f;
    if !(1..=23).contains(&kind) {
        return None;
    }
    *kinds |= 1 << kind;
    nal::push_start_code(out);
    out.extend_from_slice(unit);
    Some(())
}

/// Properties of a frame that contains NAL units of these types.
fn info(kinds: u32) -> FrameInfo {
    let has = |kind: u8| kinds >> kind & 1 == 1;
    FrameInfo { key_frame: has(IDR) || (has(SPS) && has(SEI)), ..FrameInfo::default() }
}

pub(super) fn packetize(
    frame: &[u8],
    max_payload: usize,
    out: &mut Payloads,
) -> Result<FrameInfo, FrameError> {
    let codec = CodecKind::H264;
    let bad = |what| FrameError::BadFrame { codec, what };
    let units: Vec<&[u8]> = nal::units(frame).ok_or(bad("it does not begin with a start code"))?.collect();
    if units.is_empty() {
        return Err(FrameError::Empty(codec));
    }
    if units.iter().any(|unit| !(1..=23).contains(&(unit[0] & 0x1f))) {
        return Err(bad("a NAL unit type that is none of 1 to 23"));
    }
    nal::packetize(&units, max_payload, aggregation_header, fragment_header, out);
    Ok(info(units.iter().fold(0, |kinds, unit| kinds | 1 << (unit[0] & 0x1f))))
}

/// RFC 6184 §5.7: F is set if any has it, NRI is the highest.
fn aggregation_header(units: &[&[u8]]) -> [u8; 1] {
    let highest = units.iter().map(|unit| unit[0] & 0x60).max().unwrap_or(0);
    let forbidden = units.iter().fold(0, |bit, unit| bit | unit[0] & 0x80);
    [forbidden | highest | STAP_A]
}

/// RFC 6184 §5.8: the FU indicator is |F|NRI|28|, the FU header |S|E|R|Type|.
fn fragment_header([header]: [u8; 1]) -> ([u8; 1], u8) {
    ([header & 0xe0 | FU_A], header & 0x1f)
}
