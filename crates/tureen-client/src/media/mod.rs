//! Synthetic media that servers take for VP8 and Opus.
//!
//! [`Vp8Source`] and [`OpusSource`] make the payloads of packets, with a [`Stamp`] by which a receiver can check what
//! arrived. [`SyntheticVideo`] and [`SyntheticAudio`] make whole frames of a given bitrate, with a [`FrameStamp`] that holds
//! the time of their making; data messages can bear one too.

mod frames;

pub use self::frames::{FrameStamp, SyntheticAudio, SyntheticFrame, SyntheticVideo, VideoSettings};

/// Identification of a synthetic payload, which follows its codec header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// Number of the frame, from 0.
    pub frame: u32,
    /// Number of the packet within the frame, from 0.
    pub packet: u16,
    /// Number of packets of the frame.
    pub packets: u16,
    /// Index of the simulcast encoding.
    pub encoding: u8,
    /// Its temporal layer.
    pub temporal_layer: u8,
}

impl Stamp {
    const LEN: usize = 12;
    const MARK: [u8; 2] = *b"tr";

    /// Reads the stamp of a VP8 payload of [`Vp8Source`]; `None` if any byte has been changed.
    pub fn of_vp8(payload: &[u8]) -> Option<Self> {
        let (body, _) = vp8_body(payload)?;
        Self::read(body)
    }

    /// Reads the stamp of an Opus payload of [`OpusSource`]; `None` if any byte has been changed.
    pub fn of_opus(payload: &[u8]) -> Option<Self> {
        Self::read(payload.strip_prefix(&[OPUS_TOC])?)
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (stamp, filling) = body.strip_prefix(&Self::MARK)?.split_first_chunk::<{ Self::LEN - 2 }>()?;
        let [f0, f1, f2, f3, p0, p1, n0, n1, encoding, temporal_layer] = *stamp;
        let stamp = Self {
            frame: u32::from_be_bytes([f0, f1, f2, f3]),
            packet: u16::from_be_bytes([p0, p1]),
            packets: u16::from_be_bytes([n0, n1]),
            encoding,
            temporal_layer,
        };
        filling.iter().enumerate().all(|(at, byte)| *byte == stamp.filling(at)).then_some(stamp)
    }

    /// Appends the stamp, and filler until `out` is `len` bytes long.
    fn write(self, out: &mut Vec<u8>, len: usize) {
        out.extend_from_slice(&Self::MARK);
        out.extend_from_slice(&self.frame.to_be_bytes());
        out.extend_from_slice(&self.packet.to_be_bytes());
        out.extend_from_slice(&self.packets.to_be_bytes());
        out.extend_from_slice(&[self.encoding, self.temporal_layer]);
        let filling = len.saturating_sub(out.len());
        out.extend((0..filling).map(|at| self.filling(at)));
    }

    fn filling(self, at: usize) -> u8 {
        (self.frame as u8).wrapping_mul(31) ^ (self.packet as u8).wrapping_mul(7) ^ (at as u8)
    }
}

/// RTP clock rate of video in Hz.
pub const VIDEO_CLOCK_RATE: u32 = 90_000;
/// RTP clock rate of Opus in Hz.
pub const OPUS_CLOCK_RATE: u32 = 48_000;

/// Smallest payload of a packet in bytes, with room for descriptor, key frame header and stamp.
pub const MIN_PAYLOAD: usize = 32;

/// Generates the payloads of a VP8 stream with 15-bit picture ids and, optionally, three temporal layers (RFC 7741).
#[derive(Clone, Debug, Default)]
pub struct Vp8Source {
    frame: u32,
    encoding: u8,
    layers: Option<TemporalLayers>,
}

/// Position in the pattern of three temporal layers.
#[derive(Clone, Copy, Debug, Default)]
struct TemporalLayers {
    position: usize,
    tl0_pic_idx: u8,
}

/// Temporal layer of successive frames, and true if the frame depends on the base layer only.
const TEMPORAL_PATTERN: [(u8, bool); 4] = [(0, false), (2, true), (1, true), (2, false)];

/// Frame of a [`Vp8Source`], from which packets are written.
#[derive(Clone, Copy, Debug)]
pub struct Vp8Frame {
    number: u32,
    key_frame: bool,
    bytes: usize,
    packets: u16,
    encoding: u8,
    /// TL0PICIDX and the byte with TID and Y.
    layers: Option<(u8, u8)>,
}

impl Vp8Source {
    /// Creates an encoding of a simulcast, with three temporal layers.
    pub fn of_simulcast(encoding: u8) -> Self {
        Self { encoding, layers: Some(TemporalLayers::default()), ..Self::default() }
    }

    /// Creates the next frame: `bytes` of payload in packets of nearly equal size and at most `max_payload` bytes.
    /// `max_payload` is at least [`MIN_PAYLOAD`]. Frames that are too small for their headers are enlarged; a frame has
    /// at most 65535 packets.
    pub fn next_frame(&mut self, key_frame: bool, bytes: usize, max_payload: usize) -> Vp8Frame {
        let number = self.frame;
        self.frame = self.frame.wrapping_add(1);
        let packets = bytes.div_ceil(max_payload.max(MIN_PAYLOAD)).clamp(1, usize::from(u16::MAX));
        let layers = self.layers.as_mut().map(|layers| {
            if key_frame {
                layers.position = 0;
            }
            let (temporal_layer, sync) = TEMPORAL_PATTERN[layers.position % TEMPORAL_PATTERN.len()];
            layers.position += 1;
            layers.tl0_pic_idx = layers.tl0_pic_idx.wrapping_add(u8::from(temporal_layer == 0));
            (layers.tl0_pic_idx, temporal_layer << 6 | u8::from(sync) << 5)
        });
        Vp8Frame { number, key_frame, bytes, packets: packets as u16, encoding: self.encoding, layers }
    }
}

impl Vp8Frame {
    /// Number of the frame, as in its [`Stamp`].
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Number of packets.
    pub fn packets(&self) -> u16 {
        self.packets
    }

    /// True for the last packet of the frame, which has the marker bit.
    pub fn is_last(&self, packet: u16) -> bool {
        packet + 1 == self.packets
    }

    /// Replaces `out` by the payload of `packet`, from 0.
    pub fn write_packet(&self, packet: u16, out: &mut Vec<u8>) {
        out.clear();
        let first = packet == 0;
        // RFC 7741 §4.2: X; S on the packet that starts the only partition; I with a picture id of 15 bits; L and T.
        let picture_id = 0x8000 | (self.number as u16 & 0x7fff);
        let extension = if self.layers.is_some() { WITH_LAYERS } else { WITHOUT_LAYERS };
        out.extend_from_slice(&[0x80 | u8::from(first) << 4, extension]);
        out.extend_from_slice(&picture_id.to_be_bytes());
        out.extend(self.layers.iter().flat_map(|&(tl0, layer)| [tl0, layer]));
        if first {
            // RFC 6386 §9.1: frame tag with the inverse key frame flag, show_frame and the size of the first partition.
            let tag = u32::from(!self.key_frame) | 1 << 4 | (self.bytes as u32 & 0x7_ffff) << 5;
            out.extend_from_slice(&tag.to_le_bytes()[..3]);
            if self.key_frame {
                // Start code, then a width and height of 640 × 480.
                out.extend_from_slice(&[0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
            }
        }
        let share = self.bytes / usize::from(self.packets);
        let larger = self.bytes % usize::from(self.packets);
        let len = share + usize::from(usize::from(packet) < larger);
        let temporal_layer = self.layers.map_or(0, |(_, layer)| layer >> 6);
        let (frame, packets, encoding) = (self.number, self.packets, self.encoding);
        Stamp { frame, packet, packets, encoding, temporal_layer }.write(out, len);
    }
}

/// Second byte of a VP8 descriptor, which lists its fields.
const WITHOUT_LAYERS: u8 = 0x80;
const WITH_LAYERS: u8 = 0xe0;

/// True if a VP8 payload starts a key frame.
pub fn is_vp8_key_frame(payload: &[u8]) -> bool {
    vp8_body(payload).is_some_and(|(_, key_frame)| key_frame)
}

/// Returns the bytes after the headers that [`Vp8Frame::write_packet`] writes, and true if a key frame starts. The
/// picture id is not checked, because servers rewrite it.
fn vp8_body(payload: &[u8]) -> Option<(&[u8], bool)> {
    let (&[descriptor, extension, _, _], rest) = payload.split_first_chunk()?;
    let rest = match extension {
        WITHOUT_LAYERS => rest,
        WITH_LAYERS => rest.get(2..)?,
        _ => return None,
    };
    match descriptor {
        0x80 => Some((rest, false)),
        0x90 => {
            let (&[tag, _, _], rest) = rest.split_first_chunk()?;
            let key_frame = tag & 1 == 0;
            Some((
                if key_frame { rest.strip_prefix(&[0x9d, 0x01, 0x2a])?.get(4..)? } else { rest },
                key_frame,
            ))
        }
        _ => None,
    }
}

/// RFC 6716 §3.1: CELT, fullband, 20 ms, mono, one frame.
const OPUS_TOC: u8 = 31 << 3;

/// Generates the payloads of an Opus stream with packets of 20 ms.
#[derive(Clone, Debug, Default)]
pub struct OpusSource {
    frame: u32,
}

impl OpusSource {
    /// Duration of a packet in RTP timestamp units.
    pub const SAMPLES: u32 = OPUS_CLOCK_RATE / 50;

    /// Replaces `out` by the next payload. It is `bytes` long, but never shorter than its stamp.
    pub fn write_next(&mut self, bytes: usize, out: &mut Vec<u8>) {
        out.clear();
        out.push(OPUS_TOC);
        let stamp = Stamp { frame: self.frame, packet: 0, packets: 1, encoding: 0, temporal_layer: 0 };
        stamp.write(out, bytes);
        self.frame = self.frame.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use tureen_rtc::wire::codecs::{opus, vp8};

    use super::*;

    #[test]
    fn vp8_frames_are_split_evenly_and_read_back() {
        let mut source = Vp8Source::default();
        let mut payload = Vec::new();
        for key_frame in [true, false] {
            let frame = source.next_frame(key_frame, 3001, 1200);
            assert_eq!(frame.packets(), 3);
            let mut sizes = Vec::new();
            for packet in 0..frame.packets() {
                frame.write_packet(packet, &mut payload);
                sizes.push(payload.len());
                let stamp =
                    Stamp { frame: frame.number(), packet, packets: 3, encoding: 0, temporal_layer: 0 };
                assert_eq!(Stamp::of_vp8(&payload), Some(stamp));
                assert_eq!(is_vp8_key_frame(&payload), key_frame && packet == 0);
                let descriptor = vp8::parse(&payload).unwrap();
                assert_eq!(descriptor.key_frame, key_frame && packet == 0, "as a server's parser reads it");
                assert_eq!(u32::from(descriptor.picture_id.unwrap().value), frame.number());
            }
            assert_eq!(sizes, [1001, 1000, 1000]);
        }
    }

    #[test]
    fn picture_id_wraps_and_may_be_rewritten() {
        let mut source = Vp8Source { frame: 0x7fff, ..Vp8Source::default() };
        let mut payload = Vec::new();
        for value in [0x7fff, 0] {
            source.next_frame(false, 100, 1200).write_packet(0, &mut payload);
            assert_eq!(vp8::parse(&payload).unwrap().picture_id.unwrap().value, value);
        }
        payload[3] ^= 0x55;
        assert!(Stamp::of_vp8(&payload).is_some());
    }

    #[test]
    fn simulcast_frames_have_temporal_layers() {
        let mut source = Vp8Source::of_simulcast(2);
        let mut payload = Vec::new();
        let mut layers = Vec::new();
        for frame in 0..6 {
            source.next_frame(frame == 0 || frame == 5, 500, 1200).write_packet(0, &mut payload);
            let descriptor = vp8::parse(&payload).unwrap();
            let stamp = Stamp::of_vp8(&payload).unwrap();
            assert_eq!((stamp.encoding, Some(stamp.temporal_layer)), (2, descriptor.temporal_layer));
            assert_eq!(descriptor.key_frame, is_vp8_key_frame(&payload));
            layers.push((stamp.temporal_layer, descriptor.layer_sync, descriptor.tl0_pic_idx.unwrap().value));
        }
        let pattern =
            [(0, false, 1), (2, true, 1), (1, true, 1), (2, false, 1), (0, false, 2), (0, false, 3)];
        assert_eq!(layers, pattern);
    }

    #[test]
    fn opus_payloads_read_back() {
        let mut source = OpusSource::default();
        let mut payload = Vec::new();
        for frame in 0..3 {
            source.write_next(80, &mut payload);
            assert_eq!(payload.len(), 80);
            let stamp = Stamp { frame, packet: 0, packets: 1, encoding: 0, temporal_layer: 0 };
            assert_eq!(Stamp::of_opus(&payload), Some(stamp));
            assert!(!opus::parse(&payload).unwrap().dtx);
        }
    }

    #[test]
    fn stamp_of_a_changed_payload_is_invalid() {
        let mut payload = Vec::new();
        OpusSource::default().write_next(40, &mut payload);
        for at in (0..40).filter(|at| !(3..13).contains(at)) {
            payload[at] ^= 1;
            assert_eq!(Stamp::of_opus(&payload), None, "byte {at}");
            payload[at] ^= 1;
        }
    }

    #[test]
    fn smallest_frames_hold_their_stamp() {
        let mut payload = Vec::new();
        let frame = Vp8Source::default().next_frame(true, 0, 0);
        frame.write_packet(0, &mut payload);
        assert!(payload.len() <= MIN_PAYLOAD);
        assert!(Stamp::of_vp8(&payload).is_some());
    }
}
