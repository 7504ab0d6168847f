//! AV1 temporal units (RTP Payload Format For AV1, AOMedia, §4 and §5).

use tureen_rtc::wire::codecs::{CodecKind, Cursor, av1};

use super::leb128::{leb128_len, push_leb128};
use super::packetizer::Payloads;
use super::{FrameError, FrameInfo, Start};

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
const TILE_LIST: u8 = 8;
const HAS_SIZE: u8 = 0x02;
const HAS_EXTENSION: u8 = 0x04;
/// Temporal delimiter OBU, which starts a temporal unit and has no payload.
const DELIMITER: [u8; 2] = [TEMPORAL_DELIMITER << 3 | HAS_SIZE, 0];
/// Shortest fragment of an OBU, in bytes. It contains header, extension and size, and the bits by which key frames are
/// recognised.
const MIN_PIECE: usize = 8;

/// An OBU (AV1 §5.3).
#[derive(Clone, Copy)]
struct Obu<'a> {
    header: u8,
    extension: Option<u8>,
    payload: &'a [u8],
}

impl<'a> Obu<'a> {
    /// Reads the first one of a low overhead stream; one without a size takes all of it.
    fn take(stream: &mut Cursor<'a>) -> Option<Self> {
        let header = stream.u8()?;
        if header & 0x80 != 0 {
            return None;
        }
        let extension = if header & HAS_EXTENSION != 0 { Some(stream.u8()?) } else { None };
        let len = if header & HAS_SIZE != 0 { stream.leb128()? } else { stream.rest().len() };
        Some(Self { header, extension, payload: stream.bytes(len)? })
    }

    fn kind(&self) -> u8 {
        self.header >> 3 & 0x0f
    }

    /// §5: "The temporal delimiter OBU, if present, MUST be removed"; tile lists are not allowed in RTP.
    fn is_sent(&self) -> bool {
        !matches!(self.kind(), TEMPORAL_DELIMITER | TILE_LIST)
    }

    /// `None` if the OBU is no frame header; true if it is the header of a shown key frame (AV1 §5.9.2).
    fn shown_key_frame(&self) -> Option<bool> {
        matches!(self.kind(), FRAME | FRAME_HEADER)
            .then(|| self.payload.first().is_some_and(|first| first >> 4 == 0b0001))
    }

    fn header_len(&self) -> usize {
        1 + usize::from(self.extension.is_some())
    }

    /// Length as an OBU element, which has no size field.
    fn len(&self) -> usize {
        self.header_len() + self.payload.len()
    }

    /// Appends bytes `from..to` of the OBU element.
    fn push_piece(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        let head = [self.header & !HAS_SIZE, self.extension.unwrap_or(0)];
        let head_len = self.header_len();
        out.extend_from_slice(&head[from.min(head_len)..to.min(head_len)]);
        out.extend_from_slice(&self.payload[from.saturating_sub(head_len)..to.saturating_sub(head_len)]);
    }

    /// Appends the OBU with a size field.
    fn push(&self, out: &mut Vec<u8>) {
        out.push(self.header | HAS_SIZE);
        out.extend(self.extension);
        push_leb128(out, self.payload.len());
        out.extend_from_slice(self.payload);
    }
}

/// Properties of a temporal unit, collected from its OBUs.
#[derive(Default)]
struct Content {
    sequence_header: bool,
    shown_key_frame: Option<bool>,
    layers: Option<(u8, u8)>,
}

impl Content {
    fn add(&mut self, obu: &Obu<'_>) {
        self.sequence_header |= obu.kind() == SEQUENCE_HEADER;
        self.shown_key_frame = self.shown_key_frame.or(obu.shown_key_frame());
        if let Some(extension) = obu.extension {
            let (temporal, spatial) = self.layers.unwrap_or_default();
            self.layers = Some((temporal.max(extension >> 5), spatial.max(extension >> 3 & 0x03)));
        }
    }

    fn info(&self) -> FrameInfo {
        let (temporal_layer, spatial_layer) = self.layers.unwrap_or_default();
        let key_frame = self.sequence_header && self.shown_key_frame == Some(true);
        FrameInfo { key_frame, spatial_layer, temporal_layer, ..FrameInfo::default() }
    }
}

pub(super) fn frame_start(payload: &[u8]) -> Option<Start> {
    let descriptor = av1::parse(payload)?;
    Some(match descriptor.key_frame {
        _ if descriptor.continues_previous => Start::No,
        true => Start::Yes,
        false => Start::Maybe,
    })
}

pub(super) fn assemble<'a>(
    payloads: impl Iterator<Item = &'a [u8]>,
    obu: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Option<FrameInfo> {
    obu.clear();
    let mut content = Content::default();
    let mut continued = false;
    for payload in payloads {
        let mut cursor = Cursor::new(payload);
        let header = cursor.u8()?;
        let (continues, goes_on, count) = (header & 0x80 != 0, header & 0x40 != 0, header >> 4 & 0x03);
        if continues != continued || cursor.rest().is_empty() {
            return None;
        }
        let mut index = 0;
        while !cursor.rest().is_empty() {
            index += 1;
            let is_last_by_count = count != 0 && index == count;
            // §4.4: with W, the last element has no length.
            let len = if is_last_by_count { cursor.rest().len() } else { cursor.leb128()? };
            obu.extend_from_slice(cursor.bytes(len)?);
            if cursor.rest().is_empty() && goes_on {
                break;
            }
            finish_obu(obu, &mut content, out)?;
            if is_last_by_count && !cursor.rest().is_empty() {
                return None;
            }
            index = index.min(u8::MAX - 1);
        }
        if index < count {
            return None;
        }
        continued = goes_on;
    }
    (!continued).then(|| content.info())
}

/// Appends a complete OBU with its size to `out` and clears `obu`.
fn finish_obu(obu: &mut Vec<u8>, content: &mut Content, out: &mut Vec<u8>) -> Option<()> {
    if !obu.is_empty() {
        let whole = Obu::take(&mut Cursor::new(obu))?;
        if whole.is_sent() {
            if out.is_empty() {
                out.extend_from_slice(&DELIMITER);
            }
            content.add(&whole);
            whole.push(out);
        }
    }
    obu.clear();
    Some(())
}

pub(super) fn packetize(
    frame: &[u8],
    max_payload: usize,
    out: &mut Payloads,
) -> Result<FrameInfo, FrameError> {
    let codec = CodecKind::Av1;
    let bad = |what| FrameError::BadFrame { codec, what };
    let mut content = Content::default();
    let mut obus = Vec::new();
    let mut stream = Cursor::new(frame);
    while !stream.rest().is_empty() {
        let obu = Obu::take(&mut stream).ok_or(bad("an OBU that is cut off, or a size that is none"))?;
        if obu.is_sent() {
            content.add(&obu);
            obus.push(obu);
        }
    }
    if obus.is_empty() {
        return Err(FrameError::Empty(codec));
    }
    let info = content.info();
    let mut packet = Packet { pieces: Vec::new(), len: 1, first_of_sequence: info.key_frame };
    for obu in &obus {
        // §5: a packet must not contain OBUs of different layers.
        if packet.pieces.last().is_some_and(|piece| {
            piece.obu.extension != obu.extension && obu.extension.is_some() && piece.obu.extension.is_some()
        }) {
            packet.write(out);
        }
        let mut from = 0;
        while from < obu.len() {
            let left = obu.len() - from;
            // The length field of the next element is assumed to be as long as that of the largest element.
            let room = max_payload.saturating_sub(packet.len + leb128_len(max_payload));
            if room < left.min(MIN_PIECE) {
                packet.write(out);
                continue;
            }
            let to = from + left.min(room);
            packet.len += leb128_len(to - from) + (to - from);
            packet.pieces.push(Piece { obu, from, to });
            from = to;
        }
    }
    packet.write(out);
    Ok(info)
}

/// Part of an OBU in one packet.
struct Piece<'o, 'a> {
    obu: &'o Obu<'a>,
    from: usize,
    to: usize,
}

/// Packet under construction.
struct Packet<'o, 'a> {
    pieces: Vec<Piece<'o, 'a>>,
    /// Length in bytes if every piece has a length field.
    len: usize,
    /// True for the first packet of a coded video sequence.
    first_of_sequence: bool,
}

impl Packet<'_, '_> {
    /// Writes the packet and starts the next one.
    fn write(&mut self, out: &mut Payloads) {
        let (Some(first), Some(last)) = (self.pieces.first(), self.pieces.last()) else { return };
        // §4.4: W is the number of elements up to three, of which the last has no length. 0 means any number, all with
        // lengths.
        let count = if self.pieces.len() <= 3 { self.pieces.len() as u8 } else { 0 };
        let flags = [first.from > 0, last.to < last.obu.len()];
        let [continues, goes_on] = flags.map(u8::from);
        let open = out.open();
        open.push(continues << 7 | goes_on << 6 | count << 4 | u8::from(self.first_of_sequence) << 3);
        for (at, piece) in self.pieces.iter().enumerate() {
            if at + 1 != usize::from(count) {
                push_leb128(open, piece.to - piece.from);
            }
            piece.obu.push_piece(piece.from, piece.to, open);
        }
        out.close();
        self.pieces.clear();
        self.len = 1;
        self.first_of_sequence = false;
    }
}
