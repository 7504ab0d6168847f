//! H265 access units (RFC 7798 §4.4) without decoding order numbers: single NAL units, aggregation and fragmentation
//! packets.

use tureen_rtc::wire::codecs::{CodecKind, h265};

use super::bytes::{take, take_u8, take_u16};
use super::packetizer::{Payloads, shares};
use super::{FrameError, FrameInfo, Start, nal};

/// Intra random access pictures.
const IRAP: std::ops::RangeInclusive<u8> = 16..=23;
const VPS: u8 = 32;
const SPS: u8 = 33;
const AUD: u8 = 35;
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

/// The header of a NAL unit: |F| Type (6) | LayerId (6) | TID (3) |.
#[derive(Clone, Copy)]
struct Header(u16);

impl Header {
    fn kind(self) -> u8 {
        (self.0 >> 9 & 0x3f) as u8
    }

    fn layer_id(self) -> u16 {
        self.0 >> 3 & 0x3f
    }

    /// The temporal id plus one, which is not zero.
    fn tid(self) -> u16 {
        self.0 & 0x07
    }

    fn with_kind(self, kind: u8) -> Self {
        Self(self.0 & 0x81ff | u16::from(kind) << 9)
    }

    /// That of a unit that is not an aggregation or a fragment.
    fn of_unit(mut unit: &[u8]) -> Option<Self> {
        let header = Self(take_u16(&mut unit)?);
        (header.kind() < AGGREGATION && header.tid() != 0).then_some(header)
    }
}

pub(super) fn frame_start(payload: &[u8]) -> Option<Start> {
    let descriptor = h265::parse(payload)?;
    Some(match descriptor.nal_unit_type {
        _ if !descriptor.nal_unit_start => Start::No,
        VPS | SPS | AUD => Start::Yes,
        _ => Start::Maybe,
    })
}

/// What the NAL units of a frame say.
#[derive(Default)]
struct Content {
    irap: bool,
    temporal_layer: u8,
}

impl Content {
    fn add(&mut self, header: Header) {
        self.irap |= IRAP.contains(&header.kind());
        self.temporal_layer = self.temporal_layer.max(header.tid() as u8 - 1);
    }

    fn info(&self) -> FrameInfo {
        let (key_frame, temporal_layer) = (self.irap, self.temporal_layer);
        FrameInfo { key_frame, temporal_layer, ..FrameInfo::default() }
    }
}

pub(super) fn assemble<'a>(payloads: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Option<FrameInfo> {
    let mut content = Content::default();
    // Type of the NAL unit whose fragments are to come.
    let mut fragmented = None;
    for payload in payloads {
        let mut rest = payload;
        let header = Header(take_u16(&mut rest)?);
        if header.tid() == 0 || (fragmented.is_some() && header.kind() != FRAGMENTATION) {
            return None;
        }
        match header.kind() {
            0..AGGREGATION => push_unit(payload, &mut content, out)?,
            AGGREGATION => {
                while !rest.is_empty() {
                    let len = take_u16(&mut rest)?;
                    push_unit(take(&mut rest, len.into())?, &mut content, out)?;
                }
            }
            FRAGMENTATION => {
                let fragment = take_u8(&mut rest)?;
                let (start, end, kind) = (fragment & 0x80 != 0, fragment & 0x40 != 0, fragment & 0x3f);
                if start {
                    if fragmented.is_some() || kind >= AGGREGATION {
                        return None;
                    }
                    let unit = header.with_kind(kind);
                    content.add(unit);
                    nal::push_start_code(out);
                    out.extend_from_slice(&unit.0.to_be_bytes());
                } else if fragmented? != kind {
                    return None;
                }
                fragmented = (!end).then_some(kind);
                out.extend_from_slice(rest);
            }
            _ => return None,
        }
    }
    fragmented.is_none().then(|| content.info())
}

fn push_unit(unit: &[u8], content: &mut Content, out: &mut Vec<u8>) -> Option<()> {
    content.add(Header::of_unit(unit)?);
    nal::push_start_code(out);
    out.extend_from_slice(unit);
    Some(())
}

pub(super) fn packetize(
    frame: &[u8],
    max_payload: usize,
    out: &mut Payloads,
) -> Result<FrameInfo, FrameError> {
    let codec = CodecKind::H265;
    let bad = |what| FrameError::BadFrame { codec, what };
    let units: Vec<&[u8]> = nal::units(frame).ok_or(bad("it does not begin with a start code"))?.collect();
    if units.is_empty() {
        return Err(FrameError::Empty(codec));
    }
    let mut content = Content::default();
    for unit in &units {
        content.add(Header::of_unit(unit).ok_or(bad("a NAL unit header that is none"))?);
    }
    let mut rest = &units[..];
    while let Some((&unit, after)) = rest.split_first() {
        match nal::aggregated(rest, 2, max_payload) {
            0 => {
                fragment(unit, max_payload, out);
                rest = after;
            }
            1 => {
                out.open().extend_from_slice(unit);
                out.close();
                rest = after;
            }
            count => {
                let (together, after) = rest.split_at(count);
                rest = after;
                out.open().extend_from_slice(&aggregation_header(together).to_be_bytes());
                for unit in together {
                    out.open().extend_from_slice(&(unit.len() as u16).to_be_bytes());
                    out.open().extend_from_slice(unit);
                }
                out.close();
            }
        }
    }
    Ok(content.info())
}

/// RFC 7798 §4.4.2: F is set if any has it, layer id and TID are the lowest.
fn aggregation_header(units: &[&[u8]]) -> u16 {
    let headers = || units.iter().filter_map(|unit| Header::of_unit(unit));
    let forbidden = headers().fold(0, |bit, header| bit | header.0 & 0x8000);
    let layer_id = headers().map(Header::layer_id).min().unwrap_or(0);
    let tid = headers().map(Header::tid).min().unwrap_or(1);
    forbidden | u16::from(AGGREGATION) << 9 | layer_id << 3 | tid
}

/// RFC 7798 §4.4.3: the payload header with type 49, then |S|E| FuType |.
fn fragment(unit: &[u8], max_payload: usize, out: &mut Payloads) {
    let Some((&header, mut rest)) = unit.split_first_chunk() else { return };
    let header = Header(u16::from_be_bytes(header));
    let mut pieces = shares(rest.len(), max_payload - 3).enumerate().peekable();
    while let Some((at, share)) = pieces.next() {
        let (piece, after) = rest.split_at(share);
        rest = after;
        let (start, end) = (at == 0, pieces.peek().is_none());
        out.open().extend_from_slice(&header.with_kind(FRAGMENTATION).0.to_be_bytes());
        out.open().push(u8::from(start) << 7 | u8::from(end) << 6 | header.kind());
        out.open().extend_from_slice(piece);
        out.close();
    }
}
