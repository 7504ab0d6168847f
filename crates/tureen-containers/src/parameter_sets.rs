//! What the sequence parameter sets of H264 and H265 state: profile, size, frame rate.

use tureen_rtc::wire::codecs::CodecKind;

use crate::bits::Bits;
use crate::nal::without_emulation;
use crate::source::Profile;

/// A sequence parameter set is read up to here, in bytes.
const MAX_LEN: usize = 4096;

/// What is of interest of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sps {
    pub(crate) profile: Profile,
    pub(crate) size: Option<(u32, u32)>,
    /// Frames a second, if the set states it.
    pub(crate) frame_rate: Option<f64>,
    /// Pictures are shown in another order than they are decoded, as far as the set states it.
    pub(crate) reorders: bool,
}

/// Reads the NAL unit of a sequence parameter set. `None` if it is malformed.
pub(crate) fn sps(codec: CodecKind, unit: &[u8]) -> Option<Sps> {
    let bytes = without_emulation(unit, MAX_LEN);
    if codec == CodecKind::H265 { h265(bytes.get(2..)?) } else { h264(bytes.get(1..)?) }
}

/// H.264 §7.3.2.1.1.
fn h264(bytes: &[u8]) -> Option<Sps> {
    let &[profile_idc, constraints, level, ..] = bytes else { return None };
    let mut bits = Bits::new(&bytes[3..]);
    bits.ue()?;
    let mut chroma_format = 1;
    if matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.ue()?;
        if chroma_format == 3 {
            bits.skip(1)?;
        }
        bits.skip_codes(2)?;
        bits.skip(1)?;
        if bits.bit()? {
            h264_scaling_lists(&mut bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => drop(bits.ue()?),
        1 => {
            bits.skip(1)?;
            bits.skip_codes(2)?;
            for _ in 0..bits.ue().filter(|&count| count < 256)? {
                bits.se()?;
            }
        }
        _ => {}
    }
    let _reference_frames = bits.ue()?;
    bits.skip(1)?;
    let (width, height) =
        (bits.ue()?.checked_add(1)?.checked_mul(16)?, bits.ue()?.checked_add(1)?.checked_mul(16)?);
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let mut cropping = [0; 4];
    if bits.bit()? {
        cropping = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
    }
    let fields = if frames_only { 1 } else { 2 };
    let (unit_x, unit_y) = chroma_units(chroma_format);
    let size = cropped((width, height.checked_mul(fields)?), cropping, (unit_x, unit_y * fields));
    let (frame_rate, reordered) =
        if bits.bit()? { h264_vui(&mut bits).unwrap_or_default() } else { (None, None) };
    let reorders = reordered.is_some_and(|count| count > 0);
    Some(Sps { profile: Profile::H264([profile_idc, constraints, level]), size, frame_rate, reorders })
}

/// H.264 §7.3.2.1.1.1.
fn h264_scaling_lists(bits: &mut Bits<'_>, count: usize) -> Option<()> {
    for list in 0..count {
        if !bits.bit()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.se()?.rem_euclid(256)) % 256;
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// H.264 §E.1.1: frame rate, and how many frames are reordered at most.
fn h264_vui(bits: &mut Bits<'_>) -> Option<(Option<f64>, Option<u32>)> {
    vui_picture(bits)?;
    let frame_rate = if bits.bit()? {
        let (units, scale) = (bits.read(32)?, bits.read(32)?);
        bits.skip(1)?;
        // §E.2.1: a tick is a field, of which a frame has two.
        rate(scale, units).map(|fields| fields / 2.0)
    } else {
        None
    };
    Some((frame_rate, h264_reordered(bits)))
}

/// H.264 §E.1.1, from nal_hrd_parameters_present_flag on.
fn h264_reordered(bits: &mut Bits<'_>) -> Option<u32> {
    let mut has_hrd = false;
    for _ in 0..2 {
        if bits.bit()? {
            has_hrd = true;
            let count = bits.ue().filter(|&count| count < 32)? + 1;
            bits.skip(8)?;
            for _ in 0..count {
                bits.skip_codes(2)?;
                bits.skip(1)?;
            }
            bits.skip(20)?;
        }
    }
    if has_hrd {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    if !bits.bit()? {
        return None;
    }
    bits.skip(1)?;
    bits.skip_codes(4)?;
    bits.ue()
}

/// The first fields of the video usability information, which both codecs share.
fn vui_picture(bits: &mut Bits<'_>) -> Option<()> {
    // Sample aspect ratio; 255 is followed by the ratio.
    if bits.bit()? && bits.read(8)? == 255 {
        bits.skip(32)?;
    }
    // Overscan.
    if bits.bit()? {
        bits.skip(1)?;
    }
    // Format, range, colours.
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    // Place of the chroma samples.
    if bits.bit()? {
        bits.skip_codes(2)?;
    }
    Some(())
}

/// The identifier of a sequence parameter set, from the bytes behind the header of its NAL unit.
pub(crate) fn h265_sps_id(content: &[u8]) -> Option<u8> {
    let bytes = without_emulation(content, 256);
    let mut bits = Bits::new(&bytes);
    bits.skip(4)?;
    let sub_layers = bits.read(3)?;
    bits.skip(1)?;
    h265_profile_tier_level(&mut bits, sub_layers)?;
    bits.ue().filter(|&id| id < 16).map(|id| id as u8)
}

/// H.265 §7.3.2.2.1.
fn h265(bytes: &[u8]) -> Option<Sps> {
    let mut bits = Bits::new(bytes);
    bits.skip(4)?;
    let sub_layers = bits.read(3)?;
    bits.skip(1)?;
    let profile = h265_profile_tier_level(&mut bits, sub_layers)?;
    bits.ue()?;
    let chroma_format = bits.ue()?;
    if chroma_format == 3 {
        bits.skip(1)?;
    }
    let (width, height) = (bits.ue()?, bits.ue()?);
    let mut cropping = [0; 4];
    if bits.bit()? {
        cropping = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?];
    }
    let size = cropped((width, height), cropping, chroma_units(chroma_format));
    bits.skip_codes(3)?;
    let mut reordered = 0;
    let from = if bits.bit()? { 0 } else { sub_layers };
    for _ in from..=sub_layers {
        bits.ue()?;
        reordered = bits.ue()?;
        bits.ue()?;
    }
    let frame_rate = h265_frame_rate(&mut bits);
    Some(Sps { profile, size, frame_rate, reorders: reordered > 0 })
}

/// H.265 §7.3.3.
fn h265_profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Option<Profile> {
    bits.skip(2)?;
    let high_tier = bits.bit()?;
    let profile = bits.read(5)? as u8;
    bits.skip(32 + 48)?;
    let level = bits.read(8)? as u8;
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(Profile::H265 { profile, high_tier, level })
}

/// H.265 §7.3.2.2.1 from the sizes of coding blocks on, and §E.2.1.
fn h265_frame_rate(bits: &mut Bits<'_>) -> Option<f64> {
    for _ in 0..6 {
        bits.ue()?;
    }
    if bits.bit()? && bits.bit()? {
        h265_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    // Samples that are not compressed (PCM).
    if bits.bit()? {
        bits.skip(8)?;
        bits.skip_codes(2)?;
        bits.skip(1)?;
    }
    h265_reference_sets(bits)?;
    // Long-term references: no stream for WebRTC states them here.
    if bits.bit()? {
        return None;
    }
    bits.skip(2)?;
    if !bits.bit()? {
        return None;
    }
    vui_picture(bits)?;
    bits.skip(3)?;
    // The default display window.
    if bits.bit()? {
        bits.skip_codes(4)?;
    }
    if !bits.bit()? {
        return None;
    }
    let (units, scale) = (bits.read(32)?, bits.read(32)?);
    rate(scale, units)
}

/// H.265 §7.3.4.
fn h265_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.bit()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// H.265 §7.3.7, for all sets of short-term references.
fn h265_reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue().filter(|&count| count <= 64)?;
    let mut pictures = 0;
    for set in 0..count {
        if set > 0 && bits.bit()? {
            bits.skip(1)?;
            bits.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                // used_by_curr_pic_flag, and if it is not set use_delta_flag.
                kept += u32::from(bits.bit()? || bits.bit()?);
            }
            pictures = kept;
        } else {
            pictures = bits.ue()?.checked_add(bits.ue()?).filter(|&pictures| pictures <= 32)?;
            for _ in 0..pictures {
                bits.ue()?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}

/// Luma samples of one step of the cropping (SubWidthC and SubHeightC, H.264 table 6-1, H.265 table 6-1).
fn chroma_units(chroma_format: u32) -> (u32, u32) {
    match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    }
}

/// Left, right, top and bottom are cut off.
fn cropped((width, height): (u32, u32), cropping: [u32; 4], unit: (u32, u32)) -> Option<(u32, u32)> {
    let [left, right, top, bottom] = cropping;
    let (x, y) =
        (left.checked_add(right)?.checked_mul(unit.0)?, top.checked_add(bottom)?.checked_mul(unit.1)?);
    Some((width.checked_sub(x)?, height.checked_sub(y)?)).filter(|&(width, height)| width > 0 && height > 0)
}

/// A rate that pictures can have.
fn rate(scale: u32, units: u32) -> Option<f64> {
    let rate = f64::from(scale) / f64::from(units);
    (0.1..=1000.0).contains(&rate).then_some(rate)
}
