//! H265 access units (RFC 7798 §4.4) as single NAL units, aggregation and fragmentation packets, without decoding order
//! numbers.

use tureen_rtc::wire::codecs::{CodecKind, Cursor, h265};

use super::packetizer::Payloads;
use super::{FrameError, FrameInfo, Start, nal};

/// NAL unit types of intra random access pictures.
const IRAP: std::ops::RangeInclusive<u8> = 16..=23;
const VPS: u8 = 32;
const SPS: u8 = 33;
const AUD: u8 = 35;
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

/// Header of a NAL unit: |F| Type (6) | LayerId (6) | TID (3) |.
#[derive(Clone, Copy)]
struct Header(u16);

impl Header {
    fn kind(self) -> u8 {
        (self.0 >> 9 & 0x3f) as u8
    }

    fn layer_id(self) -> u16 {
        self.0 >> 3 & 0x3f
    }

    /// Temporal id plus one, which is never zero.
    fn tid(self) -> u16 {
        self.0 & 0x07
    }

    fn with_kind(self, kind: u8) -> Self {
        Self(self.0 & 0x81ff | u16::from(kind) << 9)
    }

    /// That of a unit that is not an aggregation or a fragment.
    fn of_unit(unit: &[u8]) -> Option<Self> {
        let header = Self(Cursor::new(unit).u16()?);
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

/// Properties of a frame, collected from its NAL units.
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
    // Type of the NAL unit whose fragments are being joined.
    let mut fragmented = None;
    for payload in payloads {
        let mut cursor = Cursor::new(payload);
        let header = Header(cursor.u16()?);
        if header.tid() == 0 || (fragmented.is_some() && header.kind() != FRAGMENTATION) {
            return None;
        }
        match header.kind() {
            0..AGGREGATION => push_unit(payload, &mut content, out)?,
            AGGREGATION => {
                while !cursor.rest().is_empty() {
                    let len = cursor.u16()?;
                    push_unit(cursor.bytes(len.into())?, &mut content, out)?;
                }
            }
            FRAGMENTATION => {
                let fragment = cursor.u8()?;
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
                out.extend_from_slice(cursor.rest());
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
    nal::packetize(&units, max_payload, aggregation_header, fragment_header, out);
    Ok(content.info())
}

/// RFC 7798 §4.4.2: F is set if any has it, layer id and TID are the lowest.
fn aggregation_header(units: &[&[u8]]) -> [u8; 2] {
    let headers = || units.iter().filter_map(|unit| Header::of_unit(unit));
    let forbidden = headers().fold(0, |bit, header| bit | header.0 & 0x8000);
    let layer_id = headers().map(Header::layer_id).min().unwrap_or(0);
    let tid = headers().map(Header::tid).min().unwrap_or(1);
    (forbidden | u16::from(AGGREGATION) << 9 | layer_id << 3 | tid).to_be_bytes()
}

/// RFC 7798 §4.4.3: the payload header with type 49, then |S|E| FuType |.
fn fragment_header(header: [u8; 2]) -> ([u8; 2], u8) {
    let header = Header(u16::from_be_bytes(header));
    (header.with_kind(FRAGMENTATION).0.to_be_bytes(), header.kind())
}
