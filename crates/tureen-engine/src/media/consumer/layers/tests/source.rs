//! Simulated encoders of a Producer's streams.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use tureen_rtc::wire::codecs::dependency_descriptor::writer::{
    WrittenTemplate, frame_descriptor, key_frame_descriptor, structure_descriptor,
};

/// Temporal layers of consecutive frames, each with true if a receiver can switch up with the frame.
const PATTERN: [(u8, bool); 4] = [(0, false), (2, true), (1, true), (2, false)];
/// Clock rate of all sources.
pub(super) const CLOCK: u32 = 90_000;

/// One packet of a source.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) stream: usize,
    pub(super) seq: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: Vec<u8>,
    pub(super) descriptor: Option<Vec<u8>>,
}

/// Codec and structure of a source's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Vp8,
    /// VP9 with this number of spatial layers, not in flexible mode.
    Vp9(u8),
    /// Encrypted payloads with dependency descriptors, with this number of spatial layers.
    Av1(u8),
    /// VP9 in mode L2T2_KEY_SHIFT.
    Vp9Shift,
    /// AV1 in mode L2T2_KEY_SHIFT.
    Av1Shift,
}

impl Form {
    /// Number of spatial and of temporal layers in a stream.
    pub(super) fn layers(self) -> (u8, u8) {
        match self {
            Self::Vp8 => (1, 3),
            Self::Vp9(spatial) | Self::Av1(spatial) => (spatial, 3),
            Self::Vp9Shift | Self::Av1Shift => (2, 2),
        }
    }

    /// A stream's scalability mode.
    pub(super) fn mode(self) -> String {
        let (spatial, temporal) = self.layers();
        format!("L{spatial}T{temporal}{}", if self.is_shifted() { "_KEY_SHIFT" } else { "" })
    }

    pub(super) fn is_shifted(self) -> bool {
        matches!(self, Self::Vp9Shift | Self::Av1Shift)
    }

    /// Temporal layer of the frame at this position after a key frame; true if a receiver of lower layers can switch up
    /// with the frame.
    pub(super) fn temporal_layer(self, position: usize, spatial: u8) -> (u8, bool) {
        if self.is_shifted() {
            // The spatial layers have their base layers in different pictures.
            let is_base = position == 0 || position % 2 != usize::from(spatial);
            return (u8::from(!is_base), true);
        }
        PATTERN[position % PATTERN.len()]
    }

    fn is_av1(self) -> bool {
        matches!(self, Self::Av1(_) | Self::Av1Shift)
    }
}

/// Templates of a shifted mode, as in libwebrtc's `ScalabilityStructureL2T2KeyShift`. Targets are S0T0, S0T1, S1T0 and
/// S1T1.
fn shifted_templates() -> [WrittenTemplate<'static>; 7] {
    let (no, discardable, switch) = (0, 1, 2);
    [
        (0, 0, vec![switch; 4], &[]),
        (0, 0, vec![switch, switch, no, no], &[2]),
        (0, 0, vec![switch, switch, no, no], &[4]),
        (0, 1, vec![no, discardable, no, no], &[2]),
        (1, 0, vec![no, no, switch, switch], &[1]),
        (1, 0, vec![no, no, switch, switch], &[4]),
        (1, 1, vec![no, no, no, discardable], &[2]),
    ]
}

/// Template index of the frame at this position after a key frame.
fn shifted_template(position: usize, spatial: u8) -> u8 {
    match (position, spatial) {
        (0, 0) => 0,
        (1, 0) => 1,
        (0, _) => 4,
        (_, 0) if position % 2 == 1 => 2,
        (_, 0) => 3,
        _ if position % 2 == 1 => 6,
        _ => 5,
    }
}

/// One encoding.
#[derive(Clone, Debug)]
pub(super) struct Source {
    form: Form,
    pub(super) stream: usize,
    seq: u16,
    first_timestamp: u32,
    frame: u32,
    tl0: u8,
    /// Position of the next picture after the last key frame.
    pub(super) position: usize,
    pub(super) key_frame: bool,
}

impl Source {
    pub(super) fn new(form: Form, stream: usize, rng: &mut StdRng) -> Self {
        Self {
            form,
            stream,
            seq: rng.random(),
            first_timestamp: rng.random(),
            frame: rng.random_range(0..0x1_0000),
            tl0: rng.random(),
            position: 0,
            key_frame: true,
        }
    }

    pub(super) fn timestamp(&self, since_start: Duration) -> u32 {
        self.first_timestamp.wrapping_add((since_start.as_millis() * u128::from(CLOCK) / 1000) as u32)
    }

    /// Packets of the next picture, `per_frame` for each layer frame.
    pub(super) fn next_picture(&mut self, since_start: Duration, per_frame: usize) -> Vec<Packet> {
        let key = std::mem::take(&mut self.key_frame);
        if key {
            self.position = 0;
        }
        let position = self.position;
        self.position += 1;
        if self.form.temporal_layer(position, 0).0 == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let (spatial_layers, _) = self.form.layers();
        let mut packets = Vec::new();
        for spatial in 0..spatial_layers {
            if spatial == 0 || self.form.is_av1() {
                self.frame += 1;
            }
            for part in 0..per_frame {
                let (first, last) = (part == 0, part + 1 == per_frame);
                let (payload, descriptor) = self.payload(key, position, spatial, first, last);
                packets.push(Packet {
                    stream: self.stream,
                    seq: self.seq,
                    timestamp: self.timestamp(since_start),
                    marker: last && spatial + 1 == spatial_layers,
                    payload,
                    descriptor,
                });
                self.seq = self.seq.wrapping_add(1);
            }
        }
        packets
    }

    fn payload(
        &self,
        key: bool,
        position: usize,
        spatial: u8,
        first: bool,
        last: bool,
    ) -> (Vec<u8>, Option<Vec<u8>>) {
        let [high, low] = (self.frame as u16 | 0x8000).to_be_bytes();
        let bit = |set: bool, bit: u8| u8::from(set) << bit;
        let (temporal, switch) = self.form.temporal_layer(position, spatial);
        match self.form {
            Form::Vp8 => {
                let layer = temporal << 6 | bit(switch, 5);
                (
                    vec![
                        0x80 | bit(first, 4),
                        0xe0,
                        high,
                        low,
                        self.tl0,
                        layer,
                        u8::from(!(key && first)),
                        7,
                    ],
                    None,
                )
            }
            Form::Vp9(_) | Form::Vp9Shift => {
                let flags = 0xa0 | bit(!key, 6) | bit(first, 3) | bit(last, 2);
                // Frames of key modes refer to the layer below at key frames only.
                let inter_layer = spatial > 0 && (key || !self.form.is_shifted());
                let layer =
                    temporal << 5 | bit(switch || temporal == 0, 4) | spatial << 1 | bit(inter_layer, 0);
                (vec![flags, high, low, layer, self.tl0, 7], None)
            }
            Form::Av1(_) | Form::Av1Shift => {
                let number = self.frame as u16;
                let descriptor = match self.form {
                    Form::Av1(layers) if key && spatial == 0 && first => {
                        key_frame_descriptor(layers, 3, number)
                    }
                    Form::Av1(_) => frame_descriptor(spatial * 3 + temporal, number, first, last),
                    _ if key && spatial == 0 && first => structure_descriptor(number, &shifted_templates()),
                    _ => frame_descriptor(shifted_template(position, spatial), number, first, last),
                };
                let mut descriptor = descriptor;
                descriptor[0] = descriptor[0] & 0x3f | bit(first, 7) | bit(last, 6);
                (vec![0xff; 6], Some(descriptor))
            }
        }
    }
}
