//! Writes dependency descriptors, for tests.

use crate::wire::codecs::bits::BitWriter;

/// Template to write: spatial and temporal layer, an indication for each decode target (A.8.3.5), and the frame number
/// differences to the frames to which it refers.
pub type WrittenTemplate<'a> = (u8, u8, Vec<u32>, &'a [u32]);

/// Writes the descriptor of a key frame with its structure; the frame uses the first template. Templates must be in the
/// order of their layers.
pub fn structure_descriptor(frame_number: u16, templates: &[WrittenTemplate<'_>]) -> Vec<u8> {
    let mut out = vec![0; 255];
    let mut w = BitWriter::new(&mut out);
    let mut put = |value: u32, count: u32| w.write(value, count).expect("there is room");
    let targets = templates[0].2.len() as u32;
    put(0b11, 2);
    put(0, 6);
    put(frame_number.into(), 16);
    put(0b10000, 5);
    put(0, 6);
    put(targets - 1, 5);
    for pair in templates.windows(2) {
        let [(s, t, ..), (next_s, next_t, ..)] = pair else { unreachable!("windows of two") };
        put(if next_s > s { 2 } else { u32::from(next_t > t) }, 2);
    }
    put(3, 2);
    for indication in templates.iter().flat_map(|(_, _, indications, _)| indications) {
        put(*indication, 2);
    }
    for (.., dependencies) in templates {
        for difference in *dependencies {
            put(1, 1);
            put(difference - 1, 4);
        }
        put(0, 1);
    }
    // No chains (of `targets + 1` values, the first has the fewest bits), no resolutions.
    let width = 32 - (targets + 1).leading_zeros();
    put(0, if (1u32 << width) > targets + 1 { width - 1 } else { width });
    put(0, 1);
    let len = w.finish();
    out.truncate(len);
    out
}

/// As [`structure_descriptor`], for `spatial` × `temporal` layers in which every target needs all lower layers, with
/// one template for each layer.
pub fn key_frame_descriptor(spatial: u8, temporal: u8, frame_number: u16) -> Vec<u8> {
    let layers = || (0..spatial).flat_map(|s| (0..temporal).map(move |t| (s, t)));
    let indication = |(s, t): (u8, u8), (ds, dt): (u8, u8)| match ds >= s && dt >= t {
        true if ds == s => 2,
        true => 3,
        false => 0,
    };
    // References to the previous frame of the same spatial layer and to that of the spatial layer below.
    let dependencies = [u32::from(spatial), 1];
    let template = |layer: (u8, u8)| {
        let indications = layers().map(|target| indication(layer, target)).collect();
        (layer.0, layer.1, indications, &dependencies[..1 + usize::from(layer.0 > 0)])
    };
    structure_descriptor(frame_number, &layers().map(template).collect::<Vec<_>>())
}

/// Writes the descriptor of a later frame that uses the template with this index in the structure.
pub fn frame_descriptor(template: u8, frame_number: u16, start: bool, end: bool) -> Vec<u8> {
    let [high, low] = frame_number.to_be_bytes();
    vec![u8::from(start) << 7 | u8::from(end) << 6 | template, high, low]
}
