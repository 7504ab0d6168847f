//! The dependency descriptor header extension (RTP Payload Format For AV1, AOMedia, appendix A).
//!
//! The descriptor of a frame contains its layers and the decode targets that need it, outside of the payload, so that
//! layers can be selected even if the payload is encrypted end to end. Most frames refer to a template of a structure
//! that was sent with the last key frame.

use super::bits::{BitReader, BitWriter};

/// Maximum number of templates in one structure, because their ids have six bits.
const MAX_TEMPLATES: usize = 64;
/// Maximum number of frames to which one frame refers.
const MAX_DEPENDENCIES: usize = 8;
/// Number of bits of the mandatory fields.
const MANDATORY_BITS: usize = 24;
/// Number of bits of the flags after them.
const FLAG_BITS: u32 = 5;

/// Dependency descriptor of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// True if the packet is the first of the frame.
    pub start_of_frame: bool,
    /// True if the packet is the last of the frame.
    pub end_of_frame: bool,
    /// Counter of frames.
    pub frame_number: u16,
    /// Spatial layer.
    pub spatial_layer: u8,
    /// Temporal layer.
    pub temporal_layer: u8,
    /// Bitmask of the decode targets that include the frame.
    pub present: u32,
    /// Bitmask of the decode targets to which a receiver can switch at this frame.
    pub switch: u32,
    /// Frame number differences to the frames to which this one refers.
    pub dependencies: Dependencies,
    /// Structure, sent with a key frame.
    pub structure: Option<Structure>,
    /// Bitmask of the decode targets that are sent from here on, if present.
    pub(crate) active_decode_targets: Option<u32>,
}

/// Differences of frame numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    len: u8,
    differences: [u16; MAX_DEPENDENCIES],
}

impl Dependencies {
    /// Iterates over the differences.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.differences[..usize::from(self.len)].iter().copied()
    }

    fn push(&mut self, difference: u16) -> Option<()> {
        *self.differences.get_mut(usize::from(self.len))? = difference;
        self.len += 1;
        Some(())
    }
}

/// Templates of a coded video sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    template_id_offset: u8,
    decode_targets: u8,
    templates: Vec<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Template {
    spatial_layer: u8,
    temporal_layer: u8,
    present: u32,
    switch: u32,
    dependencies: Dependencies,
}

/// Decode target indications (A.8.3.5).
const NOT_PRESENT: u32 = 0;
const SWITCH: u32 = 2;

impl Structure {
    /// Number of decode targets, 1–32.
    pub fn decode_targets(&self) -> u8 {
        self.decode_targets
    }

    /// Highest spatial and temporal layer of a decode target (A.8.3.3 "decode_target_layers").
    pub fn layers_of(&self, target: u8) -> (u8, u8) {
        let part = self.templates.iter().filter(|t| t.present >> target & 1 == 1);
        part.fold((0, 0), |(s, t), template| (s.max(template.spatial_layer), t.max(template.temporal_layer)))
    }

    /// Decode target with the highest layers of those with no layer above the given ones; if there is none, the lowest
    /// one.
    pub fn target_for(&self, spatial: u8, temporal: u8) -> u8 {
        let layered = (0..self.decode_targets).map(|target| (self.layers_of(target), target));
        let fitting = layered.filter(|&((s, t), _)| s <= spatial && t <= temporal);
        let lowest = || (0..self.decode_targets).min_by_key(|&target| self.layers_of(target)).unwrap_or(0);
        fitting
            .max_by_key(|&(layers, target)| (layers, std::cmp::Reverse(target)))
            .map_or_else(lowest, |(_, t)| t)
    }

    /// Bitmask of the decode targets with no layer above those of `target`, on which a receiver of `target` can rely.
    pub fn targets_within(&self, target: u8) -> u32 {
        let (spatial, temporal) = self.layers_of(target);
        let within = |&other: &u8| {
            let (s, t) = self.layers_of(other);
            s <= spatial && t <= temporal
        };
        (0..self.decode_targets).filter(within).fold(0, |mask, other| mask | 1 << other)
    }

    /// True if every frame of `target` is also part of `other`, so that a receiver of `other` can be downgraded at
    /// once.
    pub fn is_part_of(&self, target: u8, other: u8) -> bool {
        self.templates.iter().all(|t| t.present >> target & 1 == 0 || t.present >> other & 1 == 1)
    }

    fn all_targets(&self) -> u32 {
        u32::MAX >> (32 - u32::from(self.decode_targets))
    }

    fn template(&self, id: u8) -> Option<&Template> {
        self.templates.get(usize::from((id + 64 - self.template_id_offset) % 64))
    }

    fn parse(bits: &mut BitReader<'_>) -> Option<Self> {
        let template_id_offset = bits.read(6)? as u8;
        let decode_targets = bits.read(5)? as u8 + 1;
        let mut structure = Self { template_id_offset, decode_targets, templates: Vec::new() };
        let max_spatial_layer = structure.parse_layers(bits)?;
        for template in &mut structure.templates {
            (template.present, template.switch) = parse_indications(bits, decode_targets)?;
        }
        for template in &mut structure.templates {
            while bits.read(1)? == 1 {
                template.dependencies.push(bits.read(4)? as u16 + 1)?;
            }
        }
        structure.skip_chains(bits)?;
        if bits.read(1)? == 1 {
            // Width and height of each spatial layer.
            for _ in 0..=max_spatial_layer {
                bits.read(32)?;
            }
        }
        Some(structure)
    }

    fn parse_layers(&mut self, bits: &mut BitReader<'_>) -> Option<u8> {
        let (mut spatial_layer, mut temporal_layer) = (0u8, 0u8);
        loop {
            if self.templates.len() == MAX_TEMPLATES {
                return None;
            }
            self.templates.push(Template {
                spatial_layer,
                temporal_layer,
                present: 0,
                switch: 0,
                dependencies: Dependencies::default(),
            });
            match bits.read(2)? {
                0 => {}
                1 => temporal_layer += 1,
                2 => (spatial_layer, temporal_layer) = (spatial_layer + 1, 0),
                _ => return Some(spatial_layer),
            }
        }
    }

    fn skip_chains(&self, bits: &mut BitReader<'_>) -> Option<()> {
        let chains = bits.read_non_symmetric(u32::from(self.decode_targets) + 1)?;
        if chains == 0 {
            return Some(());
        }
        for _ in 0..self.decode_targets {
            bits.read_non_symmetric(chains)?;
        }
        bits.skip(self.templates.len() * chains as usize * 4)
    }
}

impl Descriptor {
    /// Parses the value of the header extension. `known` is the structure of the last key frame; without `known`, a
    /// descriptor without a structure cannot be parsed.
    pub fn parse(value: &[u8], known: Option<&Structure>) -> Option<Self> {
        let mut bits = BitReader::new(value);
        let start_of_frame = bits.read(1)? == 1;
        let end_of_frame = bits.read(1)? == 1;
        let template_id = bits.read(6)? as u8;
        let frame_number = bits.read(16)? as u16;
        let mut flags = [false; FLAG_BITS as usize];
        if value.len() * 8 > MANDATORY_BITS {
            for flag in &mut flags {
                *flag = bits.read(1)? == 1;
            }
        }
        let [has_structure, has_targets, custom_indications, custom_dependencies, _custom_chains] = flags;
        let attached = if has_structure { Some(Structure::parse(&mut bits)?) } else { None };
        let structure = attached.as_ref().or(known)?;
        let active_decode_targets =
            if has_targets { Some(bits.read(structure.decode_targets.into())?) } else { None };
        let template = *structure.template(template_id)?;
        let (present, switch) = if custom_indications {
            parse_indications(&mut bits, structure.decode_targets)?
        } else {
            (template.present, template.switch)
        };
        let dependencies =
            if custom_dependencies { parse_dependencies(&mut bits)? } else { template.dependencies };
        Some(Self {
            start_of_frame,
            end_of_frame,
            frame_number,
            spatial_layer: template.spatial_layer,
            temporal_layer: template.temporal_layer,
            present,
            switch,
            dependencies,
            active_decode_targets: active_decode_targets
                .or_else(|| attached.as_ref().map(Structure::all_targets)),
            structure: attached,
        })
    }
}

/// Changes to a descriptor when it is forwarded to a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// New frame number.
    pub frame_number: Option<u16>,
    /// Number of decode targets, and a bitmask of those that are forwarded among the ones sent by the sender.
    pub active_targets: Option<(u8, u32)>,
}

/// Rewrites the descriptor `value` with a change; all other fields are kept. `None` if `value` is malformed or `out`
/// too short: six bytes more than `value` are sufficient.
pub fn rewrite<'b>(value: &[u8], change: &Change, out: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut source = BitReader::new(value);
    let mut writer = BitWriter::new(out);
    writer.write(source.read(8)?, 8)?;
    let frame_number = source.read(16)?;
    writer.write(change.frame_number.map_or(frame_number, u32::from), 16)?;
    let extended = value.len() * 8 > MANDATORY_BITS;
    if let Some((decode_targets, mut mask)) = change.active_targets {
        let flags = if extended { source.read(FLAG_BITS)? } else { 0 };
        let (has_structure, has_targets) = (flags & 0b10000 != 0, flags & 0b01000 != 0);
        writer.write(flags | 0b01000, FLAG_BITS)?;
        if has_structure {
            let mut ahead = source.clone();
            Structure::parse(&mut ahead)?;
            let len = ahead.position() - source.position();
            copy_bits(&mut source, &mut writer, len)?;
        }
        if has_targets {
            mask &= source.read(decode_targets.into())?;
        }
        writer.write(mask, decode_targets.into())?;
    }
    let rest = value.len() * 8 - source.position();
    copy_bits(&mut source, &mut writer, rest)?;
    let len = writer.finish();
    out.get(..len)
}

fn copy_bits(source: &mut BitReader<'_>, writer: &mut BitWriter<'_>, mut count: usize) -> Option<()> {
    while count > 0 {
        let step = count.min(32) as u32;
        writer.write(source.read(step)?, step)?;
        count -= step as usize;
    }
    Some(())
}

/// Decode targets that include a frame, and those to which a receiver can switch at the frame.
fn parse_indications(bits: &mut BitReader<'_>, decode_targets: u8) -> Option<(u32, u32)> {
    let (mut present, mut switch) = (0, 0);
    for target in 0..decode_targets {
        let indication = bits.read(2)?;
        present |= u32::from(indication != NOT_PRESENT) << target;
        switch |= u32::from(indication == SWITCH) << target;
    }
    Some((present, switch))
}

fn parse_dependencies(bits: &mut BitReader<'_>) -> Option<Dependencies> {
    let mut dependencies = Dependencies::default();
    loop {
        let size = bits.read(2)?;
        if size == 0 {
            return Some(dependencies);
        }
        dependencies.push(bits.read(4 * size)? as u16 + 1)?;
    }
}

#[cfg(any(test, feature = "test-util"))]
pub mod writer;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::writer::*;
    use super::*;

    #[test]
    fn structure_of_a_key_frame_is_read() {
        let value = key_frame_descriptor(2, 3, 7);
        let d = Descriptor::parse(&value, None).expect("well formed");
        assert!(d.start_of_frame && d.end_of_frame);
        assert_eq!((d.frame_number, d.spatial_layer, d.temporal_layer), (7, 0, 0));
        assert_eq!((d.present, d.active_decode_targets), (0b11_1111, Some(0b11_1111)));
        let structure = d.structure.expect("attached");
        assert_eq!(structure.decode_targets(), 6);
        assert_eq!(
            (0..6).map(|t| structure.layers_of(t)).collect::<Vec<_>>(),
            [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
        );
        assert_eq!(structure.target_for(0, 9), 2);
        assert_eq!(structure.target_for(1, 1), 4);
        assert_eq!(structure.targets_within(4), 0b01_1011);
        assert!(structure.is_part_of(1, 2) && structure.is_part_of(0, 5) && !structure.is_part_of(5, 4));
    }

    #[test]
    fn later_frames_are_described_by_their_template() {
        let structure = Descriptor::parse(&key_frame_descriptor(2, 2, 0), None).unwrap().structure.unwrap();
        let d = Descriptor::parse(&frame_descriptor(3, 9, true, false), Some(&structure)).unwrap();
        assert_eq!((d.spatial_layer, d.temporal_layer, d.present), (1, 1, 0b1000));
        assert_eq!(d.dependencies.iter().collect::<Vec<_>>(), [2, 1]);
        assert!(d.structure.is_none() && d.start_of_frame && !d.end_of_frame);
        assert_eq!(
            Descriptor::parse(&frame_descriptor(4, 9, true, true), Some(&structure)),
            None,
            "no such template"
        );
        assert_eq!(Descriptor::parse(&frame_descriptor(0, 9, true, true), None), None, "no structure");
    }

    #[test]
    fn custom_dependencies_and_indications_are_read() {
        let structure = Descriptor::parse(&key_frame_descriptor(1, 2, 0), None).unwrap().structure.unwrap();
        let mut value = vec![0; 8];
        let mut w = BitWriter::new(&mut value);
        for (bits, count) in
            [(0xc00009, 24), (0b00110, 5), (0b1000, 4), (1, 2), (4, 4), (2, 2), (99, 8), (0, 2)]
        {
            w.write(bits, count).unwrap();
        }
        let len = w.finish();
        let d = Descriptor::parse(&value[..len], Some(&structure)).unwrap();
        assert_eq!((d.present, d.switch), (0b01, 0b01));
        assert_eq!(d.dependencies.iter().collect::<Vec<_>>(), [5, 100]);
    }

    #[test]
    fn active_targets_are_written_and_nothing_else_changes() {
        let key = key_frame_descriptor(2, 3, 1000);
        let first = Descriptor::parse(&key, None).unwrap();
        let structure = first.structure.clone().unwrap();
        for value in [key, frame_descriptor(2, 1001, true, true)] {
            let original = Descriptor::parse(&value, Some(&structure)).unwrap();
            let mut out = [0; 64];
            let change = Change { frame_number: Some(77), active_targets: Some((6, 0b111)) };
            let written = rewrite(&value, &change, &mut out).expect("there is room");
            let again = Descriptor::parse(written, Some(&structure)).unwrap();
            assert_eq!((again.active_decode_targets, again.frame_number), (Some(0b111), 77));
            let same = Descriptor {
                active_decode_targets: original.active_decode_targets,
                frame_number: original.frame_number,
                ..again
            };
            assert_eq!(same, original);
            let change = Change { frame_number: None, active_targets: Some((6, 0b11_0001)) };
            let mut twice = [0; 64];
            let written = rewrite(written, &change, &mut twice).unwrap();
            let again = Descriptor::parse(written, Some(&structure)).unwrap();
            assert_eq!(again.active_decode_targets, Some(1), "of those that the sender sends");
        }
    }

    #[test]
    fn truncated_structure_is_malformed() {
        let value = key_frame_descriptor(3, 3, 1);
        for len in 0..value.len() - 1 {
            assert_eq!(Descriptor::parse(&value[..len], None), None, "{len}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(value in prop::collection::vec(any::<u8>(), 0..64), mask: u32) {
            let known = Descriptor::parse(&key_frame_descriptor(3, 3, 0), None).unwrap().structure.unwrap();
            if let Some(d) = Descriptor::parse(&value, Some(&known)) {
                let targets = d.structure.as_ref().unwrap_or(&known).decode_targets();
                let mask = mask & (u32::MAX >> (32 - u32::from(targets)));
                let change = Change { frame_number: Some(5), active_targets: Some((targets, mask)) };
                let mut out = [0; 80];
                let written = rewrite(&value, &change, &mut out).unwrap();
                let again = Descriptor::parse(written, Some(&known)).unwrap();
                let sender = d.active_decode_targets.filter(|_| d.structure.is_none()).unwrap_or(mask);
                prop_assert!(d.structure.is_some() || again.active_decode_targets == Some(mask & sender));
                prop_assert_eq!((again.present, again.dependencies), (d.present, d.dependencies));
            }
        }
    }
}
