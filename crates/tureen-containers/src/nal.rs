//! NAL units of H264 and H265: their kinds, and the frames that they make.

use tureen_rtc::wire::codecs::CodecKind;

use crate::bits::Bits;

/// Start code in front of each NAL unit of a [`Frame`](crate::Frame).
pub(crate) const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What a NAL unit is to the access unit that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A slice.
    Slice {
        /// The first one of a picture.
        first: bool,
        /// A decoder can begin with the picture: H264 IDR, H265 IRAP.
        key: bool,
    },
    /// A parameter set, with its number among those of its kind.
    ParameterSet {
        /// VPS 0, SPS 1, PPS 2.
        kind: u8,
        /// Its identifier.
        id: u8,
    },
    /// Supplemental information in front of a picture.
    PrefixInformation,
    /// An access unit delimiter.
    Delimiter,
    /// Anything else that belongs in front of the next picture.
    Prefix,
    /// Anything else that belongs to the picture before it.
    Suffix,
    /// Nothing that has to be sent.
    Filler,
}

/// H.264 table 7-1, H.265 table 7-1. `None` if the NAL unit is malformed.
pub(crate) fn role(codec: CodecKind, unit: &[u8]) -> Option<Role> {
    if codec == CodecKind::H265 { h265_role(unit) } else { h264_role(unit) }
}

fn h264_role(unit: &[u8]) -> Option<Role> {
    let header = *unit.first()?;
    Some(match header & 0x1f {
        kind @ 1..=5 => {
            // §7.3.3: first_mb_in_slice. Of data partitions (2 to 4) only the first has it.
            let first = matches!(kind, 1 | 2 | 5) && unit.get(1)? & 0x80 != 0;
            Role::Slice { first, key: kind == 5 }
        }
        6 => Role::PrefixInformation,
        7 => Role::ParameterSet { kind: 1, id: Bits::new(unit.get(4..)?).ue().filter(|&id| id < 32)? as u8 },
        8 => Role::ParameterSet { kind: 2, id: u8::try_from(Bits::new(&unit[1..]).ue()?).ok()? },
        9 => Role::Delimiter,
        12 => Role::Filler,
        14..=18 => Role::Prefix,
        10 | 11 | 13 | 19..=23 => Role::Suffix,
        _ => return None,
    })
}

fn h265_role(unit: &[u8]) -> Option<Role> {
    let &[high, low, ..] = unit else { return None };
    if low & 0x07 == 0 {
        return None;
    }
    // Layers of scalable and multiview streams are for decoders that WebRTC does not have.
    if high & 0x01 != 0 || low & 0xf8 != 0 {
        return Some(Role::Filler);
    }
    let content = &unit[2..];
    Some(match high >> 1 & 0x3f {
        kind @ 0..32 => {
            let first = content.first()? & 0x80 != 0;
            Role::Slice { first, key: (16..24).contains(&kind) }
        }
        32 => Role::ParameterSet { kind: 0, id: content.first()? >> 4 },
        33 => {
            let id = crate::parameter_sets::h265_sps_id(content)?;
            Role::ParameterSet { kind: 1, id }
        }
        34 => Role::ParameterSet { kind: 2, id: Bits::new(content).ue().filter(|&id| id < 64)? as u8 },
        35 => Role::Delimiter,
        38 => Role::Filler,
        39 => Role::PrefixInformation,
        41..=44 | 48..=55 => Role::Prefix,
        _ => Role::Suffix,
    })
}

/// The bytes of a NAL unit without those that only prevent start codes (H.264 §7.4.1, H.265 §7.4.2), at most `limit`.
pub(crate) fn without_emulation(unit: &[u8], limit: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(unit.len().min(limit));
    let mut zeros = 0;
    for &byte in unit {
        if bytes.len() == limit {
            break;
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

/// Total length of the parameter sets that are kept, in bytes.
const MAX_SETS_LEN: usize = 64 * 1024;

/// The parameter sets that a stream has shown, so that each key frame can have them in front.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParameterSets {
    /// In order of kind and identifier.
    sets: Vec<(u8, u8, Vec<u8>)>,
}

impl ParameterSets {
    /// Keeps a set, in place of an earlier one of its kind and identifier. False if there is no room.
    pub(crate) fn insert(&mut self, kind: u8, id: u8, unit: &[u8]) -> bool {
        let others = self.sets.iter().filter(|set| (set.0, set.1) != (kind, id));
        if others.map(|set| set.2.len()).sum::<usize>() + unit.len() > MAX_SETS_LEN {
            return false;
        }
        match self.sets.binary_search_by_key(&(kind, id), |set| (set.0, set.1)) {
            Ok(at) => self.sets[at].2 = unit.to_vec(),
            Err(at) => self.sets.insert(at, (kind, id, unit.to_vec())),
        }
        true
    }

    /// The first sequence parameter set.
    pub(crate) fn sps(&self) -> Option<&[u8]> {
        self.sets.iter().find(|set| set.0 == 1).map(|set| &set.2[..])
    }
}

/// An access unit that NAL units are added to.
#[derive(Debug, Default)]
pub(crate) struct AccessUnit {
    bytes: Vec<u8>,
    has_slice: bool,
    key: bool,
    has_sps: bool,
    has_information: bool,
    /// Kinds of parameter sets in it, as bits.
    kinds: u8,
    delimiter_len: usize,
}

impl AccessUnit {
    pub(crate) fn has_slice(&self) -> bool {
        self.has_slice
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if a NAL unit of this role begins the next access unit (H.264 §7.4.1.2.3, H.265 §7.4.2.4.4).
    pub(crate) fn ends_before(&self, role: Role) -> bool {
        self.has_slice
            && match role {
                Role::Slice { first, .. } => first,
                Role::ParameterSet { .. } | Role::PrefixInformation | Role::Delimiter | Role::Prefix => true,
                Role::Suffix | Role::Filler => false,
            }
    }

    pub(crate) fn push(&mut self, role: Role, unit: &[u8]) {
        match role {
            Role::Filler => return,
            Role::Slice { key, .. } => {
                self.has_slice = true;
                self.key |= key;
            }
            Role::ParameterSet { kind, .. } => {
                self.kinds |= 1 << kind;
                self.has_sps |= kind == 1;
            }
            Role::PrefixInformation => self.has_information = true,
            Role::Delimiter if self.bytes.is_empty() => self.delimiter_len = START_CODE.len() + unit.len(),
            Role::Delimiter | Role::Prefix | Role::Suffix => {}
        }
        self.bytes.extend_from_slice(&START_CODE);
        self.bytes.extend_from_slice(unit);
    }

    /// The frame, and whether it is a key frame: as `tureen_client::frames` tells it, with the parameter sets in front.
    pub(crate) fn finish(&mut self, codec: CodecKind, sets: &ParameterSets) -> (Vec<u8>, bool) {
        let unit = std::mem::take(self);
        let recovers = codec == CodecKind::H264 && unit.has_sps && unit.has_information;
        let key = unit.key || recovers;
        if !key {
            return (unit.bytes, false);
        }
        let missing = |set: &&(u8, u8, Vec<u8>)| unit.kinds >> set.0 & 1 == 0;
        let mut bytes = unit.bytes[..unit.delimiter_len].to_vec();
        for (.., set) in sets.sets.iter().filter(missing) {
            bytes.extend_from_slice(&START_CODE);
            bytes.extend_from_slice(set);
        }
        bytes.extend_from_slice(&unit.bytes[unit.delimiter_len..]);
        (bytes, true)
    }
}
